/* query/far.h - what other appliances hold of a query: the asking half, and the answering one.
 *
 * Purpose  every profile is on several appliances of the ring; a query asks all that must be heard, counts each
 *          profile once and needs as many answers as stock does (contract ring.md 2.5). First each is asked
 *          which rows it has (fingerprint and time). This appliance's own rows count, then those of the peers in
 *          order that no one before has (dedup.h); who has rows that count is asked for their samples, or sums
 *          of them. Mostly nobody is: with as many appliances as replicas all rows are here. Where there is one
 *          replica (peers.h, single) nobody has what another has: all are asked for everything at once.
 * Owner    one query; everything lives in its arena.
 * Context  cold; waits for the network, PW_PEER_TIMEOUT_MS a round at most.
 * Units    as select.h.
 * Errors   PW_EINVAL with the error in the call: too many did not answer (`unavailable`).
 * Limits   PW_QUERY_BODY_BYTES_MAX a question, of which there are as many as it takes; memory of the query.
 */
#ifndef PW_QUERY_FAR_H
#define PW_QUERY_FAR_H

#include "query/peers.h"
#include "query/select.h"

struct pw_far_peer {
    struct pw_far_part *part; /* what it said it has */
    bool **take;              /* [part][row]: it counts */
    uint32_t part_count;
    uint64_t taken;
    bool answered, failed;
};

struct pw_far {
    struct pw_select *s;
    const struct pw_peers *peers;
    struct pw_peer_set *set;
    struct pw_far_peer *peer;  /* [set->count] */
    struct pw_far_request req; /* without keys */
    struct pw_slice tenants;
    char why[256]; /* of the last one that failed */
};

/* At the end of pw_select_open: adds the views of the others. Nothing when there are none, or when it is one of
 * them that asks. */
PW_MUST_USE int pw_far_open(struct pw_select *s);
/* Oldest and newest time of what the others have. *any stays when they have nothing. */
PW_MUST_USE int pw_far_times(struct pw_call *c, int64_t *min_ns, int64_t *max_ns, bool *any);

/* Whether this appliance may say so of what it has. */
bool pw_far_single(const struct pw_call *c);
/* far_take.c: which rows of the peers that answered count. */
PW_MUST_USE int pw_far_take(struct pw_far *r);
/* Those of one peer as keys, ascending by time. NULL: no memory. */
struct pw_far_key *pw_far_keys(const struct pw_far *r, uint32_t peer, uint32_t *count);

/* Handler of PW_PEER_ROUTE, far_serve.c. */
int pw_far_serve(struct pw_call *c, const ProtobufCMessage *req);

#endif
