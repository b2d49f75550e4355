/* dataplane/worker_priv.h - the layout of struct pw_worker.
 *
 * Purpose  for the packet side of dataplane/ alone. One per lcore, passed first everywhere; nothing of
 *          it is ever found through a global.
 * Owner    the polling lcore, except where a group says otherwise.
 * Context  hot.
 * Units    addresses in host byte order; now_tick in ms since start_tsc.
 * Errors   pw_worker_drop counts; nothing is logged per frame.
 * Limits   worker.h.
 */
#ifndef PW_DATAPLANE_WORKER_PRIV_H
#define PW_DATAPLANE_WORKER_PRIV_H

#include "base/limits.h"
#include "base/trace.h"
#include "dataplane/ether_arp.h"
#include "dataplane/nd6.h"
#include "dataplane/tcp_tcb.h"
#include "dataplane/udp.h"
#include "dataplane/worker.h"

#include <stdalign.h>
#include <stdatomic.h>

enum pw_drop {
#define PW_DROP_REASON(symbol, name, text) PW_DROP_##symbol,
#include "dataplane/drop.def"
#undef PW_DROP_REASON
    PW_DROP_COUNT,
};

enum pw_stat {
#define PW_WORKER_STAT(symbol, name, help) PW_STAT_##symbol,
#include "dataplane/stat.def"
#undef PW_WORKER_STAT
    PW_STAT_COUNT,
};

/* Our IPv6 address and its link; an address of "::" means that there is none. */
struct pw_worker_ip6 {
    uint8_t address[16];
    uint8_t solicited[16]; /* its solicited-node group */
    uint8_t gateway[16];
    uint8_t prefix;
    bool on;
    bool is_ours;
};

/* A neighbour that the owner needs and the kernel knows: asked by the owner (0 to 1), answered by the control
 * thread (1 to 2), taken by the owner (2 to 0). One at a time: whoever waits sends again anyway. */
struct pw_neigh_wish {
    atomic_uint state;
    uint8_t ip[16]; /* IPv4 as ::ffff:a.b.c.d */
    bool known;
    uint8_t mac[6];
};

struct pw_worker {
    /* Read only after init. */
    alignas(64) struct pw_port_io io;
    struct rte_mempool *mempool;
    uint32_t address; /* IPv4; 0: none */
    uint32_t net_mask;
    uint32_t gateway;
    uint16_t mtu;
    uint8_t mac[6];
    bool address_is_ours;
    bool rx_cksum_offload;
    bool tx_cksum_offload;
    uint16_t port_id;
    uint16_t queue_id;
    uint32_t index;
    const char *kind;
    uint32_t buf_bytes; /* size of one receive buffer of the mempool */
    uint64_t tsc_hz;
    uint64_t tsc_per_tick;
    uint64_t rx_tsc; /* a turn takes no other burst after so long */
    uint64_t start_tsc;
    struct pw_worker_ip6 ip6;
    struct pw_udp_user udp;

    /* Written by the owner, read by the owner. */
    alignas(64) uint64_t now_tsc;
    uint64_t now_tick;
    uint64_t poll_driver_tsc; /* of the poll in progress */
    uint32_t tx_count;
    uint16_t ip_id;
    struct pw_tcp tcp;
    struct rte_mbuf *tx[PW_WORKER_TX_MAX];
    struct pw_neigh_table neigh;
    struct pw_neigh6_table neigh6;

    /* Written by the owner, read by the control thread with skew. */
    alignas(64) uint64_t driver_tsc;
    uint64_t stat[PW_STAT_COUNT];
    uint64_t drop[PW_DROP_COUNT];
    struct pw_trace trace;

    /* Written by the control thread, read by the owner: a late reader accepts one SYN more. */
    alignas(64) atomic_bool draining;
    struct pw_neigh_wish wish;
};

static inline void
pw_worker_drop(struct pw_worker *w, enum pw_drop reason)
{
    w->drop[reason]++;
}

/* Seconds or so (1,024 ms) since the start, for what is counted in minutes or days. */
static inline uint32_t
pw_worker_coarse_s(const struct pw_worker *w)
{
    return (uint32_t)(w->now_tick >> 10);
}

/* worker.c */
/* An empty frame from the mempool; NULL (counted) when there is none. */
struct rte_mbuf *pw_worker_frame(struct pw_worker *w);
/* Takes m: it waits for the flush at the end of the poll. Dropped and counted when too many wait.
 */
void pw_worker_send(struct pw_worker *w, struct rte_mbuf *m);

#endif
