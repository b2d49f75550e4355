/* dataplane/peer_count.h - how many connections each peer address has.
 *
 * Purpose  so that one address cannot take every connection of a core.
 * Owner    one thread's HTTP server.
 * Context  add/remove: hot, once a connection. init/fini: control thread.
 * Units    connections. An IPv4 address counts by itself, an IPv6 one by its /64: who has one address
 *          of such a network usually has all of them.
 * Errors   add refuses by returning false.
 * Limits   at most conns_max connections are counted at once; the table is twice as large, so it never
 *          fills. The hash is keyed: a peer cannot aim at one chain.
 */
#ifndef PW_DATAPLANE_PEER_COUNT_H
#define PW_DATAPLANE_PEER_COUNT_H

#include "base/err.h"
#include "dataplane/stream.h"

struct pw_peer_slot {
    uint64_t network[2]; /* the address, an IPv6 one without its last 8 bytes */
    uint32_t conns;      /* 0: the slot is empty */
};

struct pw_peer_count {
    struct pw_peer_slot *slot;
    uint64_t hash_key;
    uint32_t mask;
    uint32_t conns_per_peer; /* 0: any number */
};

PW_MUST_USE int pw_peer_count_init_ctl(struct pw_peer_count *p, uint32_t conns_max,
                                       uint32_t conns_per_peer, uint64_t hash_key);
void pw_peer_count_fini_ctl(struct pw_peer_count *p);

/* Counts one more connection of peer. False: it has all it may have, nothing was counted. */
PW_MUST_USE bool pw_peer_count_add(struct pw_peer_count *p, const struct pw_peer_addr *peer);
/* Takes one back that was added. */
void pw_peer_count_remove(struct pw_peer_count *p, const struct pw_peer_addr *peer);
/* Connections counted for peer now. */
uint32_t pw_peer_count_of(const struct pw_peer_count *p, const struct pw_peer_addr *peer);

#endif
