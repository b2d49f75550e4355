#include "tests/support/real_port.h"

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

enum { MBUFS = 8191, MBUF_CACHE = 256 };

struct rte_mempool *
pw_real_port_start(const char *name, uint16_t desc)
{
    const struct rte_eth_conf conf = {0};
    struct rte_mempool *pool = rte_pktmbuf_pool_create(name, MBUFS, MBUF_CACHE, 0,
                                                       RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);

    if (pool == NULL || rte_eth_dev_count_avail() != 1 ||
        rte_eth_dev_configure(0, 1, 1, &conf) != 0 ||
        rte_eth_rx_queue_setup(0, 0, desc, 0, NULL, pool) != 0 ||
        rte_eth_tx_queue_setup(0, 0, desc, 0, NULL) != 0 || rte_eth_dev_start(0) != 0) {
        fprintf(stderr, "the port does not start\n");
        return NULL;
    }
    return pool;
}

static bool
address_parse(char *text, struct pw_worker_cfg *cfg)
{
    char *slash = strchr(text, '/');
    struct in_addr a;

    if (slash == NULL) {
        return false;
    }
    *slash = 0;
    if (inet_pton(AF_INET6, text, cfg->ip6_address) == 1) {
        cfg->ip6_prefix = (uint8_t)atoi(slash + 1);
        return true;
    }
    cfg->ip4_prefix = (uint8_t)atoi(slash + 1);
    if (inet_pton(AF_INET, text, &a) != 1) {
        return false;
    }
    cfg->ip4_address = ntohl(a.s_addr);
    return true;
}

bool
pw_real_port_worker_cfg(struct pw_worker_cfg *cfg, struct rte_mempool *pool, char *address)
{
    struct rte_ether_addr mac;

    if (!address_parse(address, cfg)) {
        fprintf(stderr, "%s is not ADDRESS/PREFIX\n", address);
        return false;
    }
    if (rte_eth_macaddr_get(0, &mac) != 0 ||
        getrandom(cfg->secret, sizeof(cfg->secret), 0) != sizeof(cfg->secret)) {
        fprintf(stderr, "no MAC, or no secret\n");
        return false;
    }
    memcpy(cfg->mac, mac.addr_bytes, 6);
    cfg->mempool = pool;
    cfg->address_is_ours = true;
    cfg->ip6_is_ours = true;
    return true;
}

static bool
drop_now(struct pw_lossy_port *l)
{
    l->state ^= l->state << 13;
    l->state ^= l->state >> 7;
    l->state ^= l->state << 17;
    bool drop = l->state % 10000 < l->per_10000;

    l->dropped += drop;
    return drop;
}

static uint16_t
lossy_rx(void *ctx, struct rte_mbuf **m, uint16_t n)
{
    uint16_t got = rte_eth_rx_burst(0, 0, m, n);
    uint16_t kept = 0;

    for (uint16_t i = 0; i < got; i++) {
        if (drop_now(ctx)) {
            rte_pktmbuf_free(m[i]);
        } else {
            m[kept++] = m[i];
        }
    }
    return kept;
}

static uint16_t
lossy_tx(void *ctx, struct rte_mbuf **m, uint16_t n)
{
    for (uint16_t i = 0; i < n; i++) {
        if (drop_now(ctx)) {
            rte_pktmbuf_free(m[i]);
        } else if (rte_eth_tx_burst(0, 0, &m[i], 1) == 0) {
            return i;
        }
    }
    return n;
}

struct pw_port_io
pw_lossy_port_io(struct pw_lossy_port *l)
{
    return (struct pw_port_io){.ctx = l, .rx_burst = lossy_rx, .tx_burst = lossy_tx};
}
