/* dataplane/ether_arp.h - Ethernet II frames, ARP (RFC 826), who has which MAC.
 *
 * Purpose  answer ARP for our own address, learn neighbours from what arrives, find the next hop.
 * Owner    the worker's lcore.
 * Context  hot.
 * Units    IPv4 addresses in host byte order.
 * Errors   a bad frame is counted and left to the caller to free.
 * Limits   PW_NEIGH_SETS * PW_NEIGH_WAYS neighbours; the oldest of a set makes room.
 */
#ifndef PW_DATAPLANE_ETHER_ARP_H
#define PW_DATAPLANE_ETHER_ARP_H

#include "base/err.h"
#include "base/types.h"

struct pw_worker;
struct rte_mbuf;

enum {
    PW_ETHER_BYTES = 14,
    PW_ETHER_TYPE_IP4 = 0x0800,
    PW_ETHER_TYPE_ARP = 0x0806,
    PW_NEIGH_SETS = 256,
    PW_NEIGH_WAYS = 4,
};

struct pw_neigh {
    uint32_t ip; /* 0: empty */
    uint8_t mac[6];
    uint64_t tick; /* when it was learned last; when an unanswered request went out */
    bool known;    /* mac is valid */
    bool asked;    /* a request went out at tick */
};

struct pw_neigh_table {
    struct pw_neigh entry[PW_NEIGH_SETS][PW_NEIGH_WAYS];
};

/* 14 bytes at dst. */
static inline void
pw_ether_put(uint8_t *dst, const uint8_t to[6], const uint8_t from[6], uint16_t type)
{
    memcpy(dst, to, 6);
    memcpy(dst + 6, from, 6);
    pw_store_be16(dst + 12, type);
}

static inline bool
pw_ether_multicast(const uint8_t mac[6])
{
    return (mac[0] & 1U) != 0;
}

void pw_neigh_learn(struct pw_neigh_table *t, uint32_t ip, const uint8_t mac[6], uint64_t now_tick);
/* NULL: not known. */
const struct pw_neigh *pw_neigh_find(const struct pw_neigh_table *t, uint32_t ip);
/* MAC of the next hop to ip: the address itself on our network, else the gateway. 0; PW_EAGAIN: an
 * ARP request was sent, ask again later (at most one a second; where the kernel owns the address the
 * control thread is asked instead); PW_ENOENT: not on our network and no gateway. */
PW_MUST_USE int pw_neigh_resolve(struct pw_worker *w, uint32_t ip, uint8_t mac[6]);

/* An ARP frame, Ethernet header included. Borrows m; counts and answers. */
void pw_arp_input(struct pw_worker *w, const struct rte_mbuf *m);

/* Where the kernel owns the address: 0 when its answer for hop (IPv4 as ::ffff:a.b.c.d) is here; PW_EAGAIN: it is asked,
 * unless it is busy with another (pw_worker_wants_neighbour_ctl). */
PW_MUST_USE int pw_neigh_ask_kernel(struct pw_worker *w, const uint8_t hop[16], uint8_t mac[6]);

#endif
