#include "nic-config/port.h"

#include "base/log.h"

#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_mbuf_pool_ops.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

enum {
    PORT_MEMPOOL_CACHE = 256,
    PORT_MBUFS_MAX =
        64 << 20, /* far above what an rte_mempool's ring takes; creation says no first */
    XDP_SOCKETS_MAX = 2 * PW_WORKERS_MAX + 1, /* two ports, and one that is not to be there */
    XDP_FRAME_HEADROOM = 256, /* linux/bpf.h XDP_PACKET_HEADROOM, cut off every AF_XDP frame */
};

/* One mbuf holds a whole frame: Ethernet header, VLAN tag and FCS on top of the MTU. */
static uint16_t
data_room(uint16_t mtu)
{
    uint32_t need = (uint32_t)mtu + RTE_ETHER_HDR_LEN + RTE_VLAN_HLEN + RTE_ETHER_CRC_LEN +
                    RTE_PKTMBUF_HEADROOM + XDP_FRAME_HEADROOM;

    if (need < RTE_MBUF_DEFAULT_BUF_SIZE) {
        need = RTE_MBUF_DEFAULT_BUF_SIZE;
    }
    return (uint16_t)RTE_ALIGN_CEIL(need, 64U);
}

uint32_t
pw_port_mbufs_for(uint64_t rx_buffer_bytes)
{
    uint64_t n = rx_buffer_bytes / RTE_MBUF_DEFAULT_BUF_SIZE + 1 + PW_PORT_MBUFS_SPARE;

    if (rx_buffer_bytes == 0) {
        return PW_PORT_MBUFS_DEFAULT;
    }
    return n < PORT_MBUFS_MAX ? (uint32_t)n : PORT_MBUFS_MAX;
}

/* rte_pktmbuf_pool_create without its IOVA care. net_af_xdp computes the size of its umem as count
 * times object size, but where IOVA contiguity matters a mempool leaves gaps at page borders: with
 * 4 KiB pages two fifths of the mbufs would lie outside the umem and be refused by the kernel.
 * RTE_MEMPOOL_F_NO_IOVA_CONTIG packs the objects; a PCI device does need the care. */
static struct rte_mempool *
make_pool(const char *name, uint32_t count, uint16_t room, bool packed, int socket)
{
    struct rte_pktmbuf_pool_private priv = {.mbuf_data_room_size = room};
    struct rte_mempool *mp;

    mp = rte_mempool_create_empty(name, count, (unsigned)sizeof(struct rte_mbuf) + room,
                                  PORT_MEMPOOL_CACHE, sizeof(priv), socket,
                                  packed ? RTE_MEMPOOL_F_NO_IOVA_CONTIG : 0);
    if (mp == NULL) {
        return NULL;
    }
    if (rte_mempool_set_ops_byname(mp, rte_mbuf_best_mempool_ops(), NULL) != 0) {
        rte_mempool_free(mp);
        return NULL;
    }
    rte_pktmbuf_pool_init(mp, &priv);
    if (rte_mempool_populate_default(mp) < 0 || (packed && mp->nb_mem_chunks != 1)) {
        rte_mempool_free(mp);
        return NULL;
    }
    rte_mempool_obj_iter(mp, rte_pktmbuf_init, NULL);
    return mp;
}

/* Asks for what the stack can use and the device has. */
static struct rte_eth_conf
choose_offloads(const struct rte_eth_dev_info *info, const struct pw_port_cfg *cfg,
                struct pw_port *p)
{
    const uint64_t rx = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM;
    const uint64_t tx = RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM;
    const uint64_t rss =
        info->flow_type_rss_offloads & (RTE_ETH_RSS_NONFRAG_IPV4_TCP | RTE_ETH_RSS_IPV4 |
                                        RTE_ETH_RSS_NONFRAG_IPV6_TCP | RTE_ETH_RSS_IPV6);
    struct rte_eth_conf conf = {.rxmode.mtu = p->mtu};

    if ((info->rx_offload_capa & rx) == rx) {
        conf.rxmode.offloads |= rx;
        p->offloads |= PW_PORT_RX_CKSUM;
    }
    if ((info->tx_offload_capa & tx) == tx) {
        conf.txmode.offloads |= tx;
        p->offloads |= PW_PORT_TX_CKSUM;
    }
    if (info->tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) {
        conf.txmode.offloads |= RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
        p->offloads |= PW_PORT_TX_SEGS;
    }
    if (cfg->queues > 1 && rss != 0) {
        conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
        conf.rx_adv_conf.rss_conf.rss_hf = rss;
        p->offloads |= PW_PORT_RSS;
    }
    return conf;
}

static int
check_limits(const struct rte_eth_dev_info *info, const struct pw_port_cfg *cfg,
             const struct pw_port *p, struct pw_text *why)
{
    if (cfg->queues == 0 || cfg->queues > PW_WORKERS_MAX || cfg->queues > info->max_rx_queues ||
        cfg->queues > info->max_tx_queues) {
        pw_text_printf(why, "%s has %u queues, %u were asked for: lower -dataplane.workers",
                       p->driver, info->max_rx_queues, cfg->queues);
        return PW_ERANGE;
    }
    if (info->max_mtu != 0 && p->mtu > info->max_mtu) {
        pw_text_printf(why, "MTU %u is above what %s takes (%u): lower the MTU of the device",
                       p->mtu, p->driver, info->max_mtu);
        return PW_ERANGE;
    }
    return 0;
}

/* The descriptors of this process that are AF_XDP sockets; how many. */
static uint32_t
xdp_sockets(int fd[XDP_SOCKETS_MAX])
{
    DIR *d = opendir("/proc/self/fd");
    struct dirent *e;
    uint32_t n = 0;

    while (d != NULL && n < XDP_SOCKETS_MAX && (e = readdir(d)) != NULL) {
        int at = atoi(e->d_name);
        int domain = 0;
        socklen_t len = sizeof(domain);

        if (getsockopt(at, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_XDP) {
            fd[n++] = at;
        }
    }
    if (d != NULL) {
        closedir(d);
    }
    return n;
}

/* rte_eth_rx_queue_setup, and the socket it opened: DPDK 22.11 has no receive interrupts for net_af_xdp
 * and keeps the descriptor to itself, but poll(2) on it is how one waits for its frames. */
static int
setup_rx_queue(struct pw_port *p, uint16_t q, uint16_t desc, unsigned socket)
{
    int before[XDP_SOCKETS_MAX], after[XDP_SOCKETS_MAX];
    uint32_t had = xdp_sockets(before);
    int err = rte_eth_rx_queue_setup(p->port_id, q, desc, socket, NULL, p->pool[q]);
    uint32_t has = xdp_sockets(after);

    for (uint32_t i = 0; i < has; i++) {
        uint32_t k = 0;

        while (k < had && before[k] != after[i]) {
            k++;
        }
        if (k == had) {
            p->rx_fd[q] = has == had + 1 ? after[i] : -1;
        }
    }
    return err;
}

static int
setup_queue(struct pw_port *p, uint16_t q, uint16_t desc, bool af_xdp, struct pw_text *why)
{
    int socket = rte_eth_dev_socket_id(p->port_id);
    uint16_t rx_desc = desc, tx_desc = desc;
    char name[RTE_MEMPOOL_NAMESIZE];
    int err = 0;

    snprintf(name, sizeof(name), "pw_port%u_q%u", p->port_id, q);
    p->pool[q] = make_pool(name, p->mbufs_per_queue, data_room(p->mtu), af_xdp, socket);
    if (p->pool[q] == NULL) {
        pw_text_printf(why,
                       "no memory for %u packet buffers of queue %u: reserve more hugepages "
                       "with nic-config/host-prepare.sh hugepages MIB",
                       p->mbufs_per_queue, q);
        return PW_ENOMEM;
    }
    err = rte_eth_dev_adjust_nb_rx_tx_desc(p->port_id, &rx_desc, &tx_desc);
    if (err == 0) {
        err = setup_rx_queue(p, q, rx_desc, (unsigned)socket);
    }
    if (err == 0) {
        err = rte_eth_tx_queue_setup(p->port_id, q, tx_desc, (unsigned)socket, NULL);
    }
    if (err != 0) {
        pw_text_printf(why, "queue %u of %s could not be set up: %s", q, p->driver, strerror(-err));
        return PW_EIO;
    }
    return 0;
}

static int
configure(struct pw_port *p, const struct pw_port_cfg *cfg, struct pw_text *why)
{
    struct rte_eth_dev_info info;
    struct rte_ether_addr mac;
    int err = rte_eth_dev_info_get(p->port_id, &info);

    if (err != 0 || rte_eth_macaddr_get(p->port_id, &mac) != 0) {
        pw_text_printf(why, "port %u is gone", p->port_id);
        return PW_ENOENT;
    }
    memcpy(p->mac, mac.addr_bytes, sizeof(p->mac));
    snprintf(p->driver, sizeof(p->driver), "%s", info.driver_name);
    err = check_limits(&info, cfg, p, why);
    if (err != 0) {
        return err;
    }
    struct rte_eth_conf conf = choose_offloads(&info, cfg, p);

    err = rte_eth_dev_configure(p->port_id, p->queues, p->queues, &conf);
    if (err != 0) {
        pw_text_printf(why, "%s refused %u queues with MTU %u: %s", p->driver, p->queues, p->mtu,
                       strerror(-err));
        return PW_EIO;
    }
    return 0;
}

int
pw_port_open_ctl(struct pw_port *p, const struct pw_port_cfg *cfg, struct pw_text *why)
{
    bool af_xdp;
    int err;

    memset(p, 0, sizeof(*p));
    p->port_id = cfg->port_id;
    p->queues = cfg->queues;
    p->mtu = cfg->mtu != 0 ? cfg->mtu : RTE_ETHER_MTU;
    p->mbufs_per_queue = cfg->mbufs_per_queue != 0 ? cfg->mbufs_per_queue : PW_PORT_MBUFS_DEFAULT;
    err = configure(p, cfg, why);
    if (err != 0) {
        return err;
    }
    af_xdp = strcmp(p->driver, "net_af_xdp") == 0;
    for (uint16_t q = 0; q < PW_WORKERS_MAX; q++) {
        p->rx_fd[q] = -1;
    }
    for (uint16_t q = 0; q < p->queues && err == 0; q++) {
        err = setup_queue(p, q, cfg->desc != 0 ? cfg->desc : PW_PORT_DESC_DEFAULT, af_xdp, why);
    }
    if (err != 0 && af_xdp) {
        /* net_af_xdp keeps pointers to what its failed set-up freed; closing would follow them. The
         * process is about to end, which closes its sockets. */
        return err;
    }
    if (err == 0 && rte_eth_dev_start(p->port_id) != 0) {
        pw_text_printf(why, "%s did not start", p->driver);
        err = PW_EIO;
    }
    if (err != 0) {
        pw_port_close_ctl(p);
        return err;
    }
    for (uint16_t q = 0; q < p->queues && !cfg->wakes; q++) {
        p->rx_fd[q] = -1;
    }
    p->started = true;
    pw_log(PW_LOG_INFO, "pw.nic.port",
           "msg=\"port up\" driver=%s queues=%u mtu=%u rx_cksum=%d tx_cksum=%d rss=%d", p->driver,
           p->queues, p->mtu, (p->offloads & PW_PORT_RX_CKSUM) != 0,
           (p->offloads & PW_PORT_TX_CKSUM) != 0, (p->offloads & PW_PORT_RSS) != 0);
    return 0;
}

int
pw_port_join_ctl(const struct pw_port *p, const uint8_t mac[6])
{
    struct rte_ether_addr group;

    memcpy(group.addr_bytes, mac, sizeof(group.addr_bytes));
    if (rte_eth_dev_set_mc_addr_list(p->port_id, &group, 1) == 0 ||
        rte_eth_allmulticast_enable(p->port_id) == 0 ||
        rte_eth_promiscuous_enable(p->port_id) == 0) {
        return 0;
    }
    return PW_ENOTSUP;
}

void
pw_port_close_ctl(struct pw_port *p)
{
    if (p->started) {
        (void)rte_eth_dev_stop(p->port_id);
    }
    (void)rte_eth_dev_close(p->port_id);
    for (uint16_t q = 0; q < p->queues && q < PW_WORKERS_MAX; q++) {
        rte_mempool_free(p->pool[q]); /* NULL is fine */
        p->pool[q] = NULL;
    }
    p->started = false;
}

void
pw_port_metrics_ctl(const struct pw_port_named *port, uint32_t n, struct pw_text *out)
{
    static const struct {
        const char *name;
        size_t at;
    } rows[] = {
        {"received_packets", offsetof(struct rte_eth_stats, ipackets)},
        {"sent_packets", offsetof(struct rte_eth_stats, opackets)},
        {"received_bytes", offsetof(struct rte_eth_stats, ibytes)},
        {"sent_bytes", offsetof(struct rte_eth_stats, obytes)},
        {"missed_packets", offsetof(struct rte_eth_stats, imissed)},
        {"receive_errors", offsetof(struct rte_eth_stats, ierrors)},
        {"send_errors", offsetof(struct rte_eth_stats, oerrors)},
        {"no_mbuf", offsetof(struct rte_eth_stats, rx_nombuf)},
    };

    for (size_t i = 0; i < PW_ARRAY_LEN(rows); i++) {
        pw_text_printf(out, "# TYPE pyrowire_nic_port_%s_total counter\n", rows[i].name);
        for (uint32_t k = 0; k < n; k++) {
            const struct pw_port *p = port[k].port;
            struct rte_eth_stats s;
            uint64_t value;

            if (p->started && rte_eth_stats_get(p->port_id, &s) == 0) {
                memcpy(&value, (const uint8_t *)&s + rows[i].at, sizeof(value));
                pw_text_printf(out, "pyrowire_nic_port_%s_total{port=\"%s\",driver=\"%s\"} %lu\n",
                               rows[i].name, port[k].name, p->driver, value);
            }
        }
    }
}
