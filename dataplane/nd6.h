/* dataplane/nd6.h - IPv6 neighbour discovery (RFC 4861): who has which MAC.
 *
 * Purpose  answer solicitations for our own address, learn neighbours from what arrives, find the next
 *          hop. Router discovery, redirects and address configuration are the operator's -nic options.
 * Owner    the worker's lcore.
 * Context  hot.
 * Units    addresses are 16 bytes in network order.
 * Errors   a bad message is counted and left to the caller to free.
 * Limits   PW_NEIGH_SETS * PW_NEIGH_WAYS neighbours; the oldest of a set makes room.
 */
#ifndef PW_DATAPLANE_ND6_H
#define PW_DATAPLANE_ND6_H

#include "base/err.h"
#include "base/types.h"
#include "dataplane/ether_arp.h"

struct pw_ip6;
struct pw_worker;
struct rte_mbuf;

struct pw_neigh6 {
    uint8_t ip[16]; /* "::": empty */
    uint64_t tick;  /* when it was learned last; when an unanswered solicitation went out */
    uint8_t mac[6];
    bool known; /* mac is valid */
    bool asked; /* a solicitation went out at tick */
};

struct pw_neigh6_table {
    struct pw_neigh6 entry[PW_NEIGH_SETS][PW_NEIGH_WAYS];
};

void pw_neigh6_learn(struct pw_neigh6_table *t, const uint8_t ip[16], const uint8_t mac[6],
                     uint64_t now_tick);
/* NULL: not known. */
const struct pw_neigh6 *pw_neigh6_find(const struct pw_neigh6_table *t, const uint8_t ip[16]);
/* MAC of the next hop to ip: the address itself on our prefix or link-local, else the gateway. 0;
 * PW_EAGAIN: a solicitation was sent, ask again later (at most one a second; where the kernel owns the
 * address it is asked instead); PW_ENOENT: not on our link and no gateway. */
PW_MUST_USE int pw_neigh6_resolve(struct pw_worker *w, const uint8_t ip[16], uint8_t mac[6]);

/* A neighbour solicitation or advertisement, checksum checked. Borrows m; counts and answers. */
void pw_nd6_input(struct pw_worker *w, const struct rte_mbuf *m, const struct pw_ip6 *ip);

#endif
