/* distributor/owners.h - which appliances a token belongs to, as one polling thread reaches them.
 *
 * Purpose  the ring's answer (ring/replication_set.h) in the numbers of this thread's peer link.
 * Owner    app/ makes a struct pw_owners when the ring or the peers change and hands it to the thread
 *          (pw_distributor_set_owners); borrowed until the next one is set.
 * Context  resolve: hot, no allocation.
 * Units    now_s in unix seconds.
 * Errors   resolve: those of pw_ring_get with stock's words in `why`; PW_EINVAL: more owners than
 *          PW_QUORUM_TARGETS_MAX.
 * Limits   PW_QUORUM_TARGETS_MAX owners of a token.
 */
#ifndef PW_DISTRIBUTOR_OWNERS_H
#define PW_DISTRIBUTOR_OWNERS_H

#include "dataplane/peer_link.h"
#include "distributor/quorum.h"
#include "ring/shuffle_shard.h"
#include "ring/view.h"

enum {
    PW_OWNER_SELF = 0xFF, /* the ingester cores of this process */
    PW_OWNER_UNKNOWN =
        0xFE, /* a member that announces no link: not pyrowire, or not heard of yet */
};

struct pw_owners {
    const struct pw_ring_view *view;
    const uint8_t
        *peer; /* of each of the view's instances: its number on the link, or one of the above */
};

struct pw_targets {
    uint32_t count, max_errors;
    uint8_t peer[PW_QUORUM_TARGETS_MAX];
    uint16_t instance[PW_QUORUM_TARGETS_MAX]; /* of the view, for texts */
};

/* The peer link of one polling thread. The functions are those of dataplane/peer_link.h. */
struct pw_owner_link {
    struct pw_link *link;
    int (*call)(struct pw_link *l, uint32_t peer, const struct pw_slice *parts, uint32_t count,
                uint64_t cookie);
    int (*cancel)(struct pw_link *l, uint64_t cookie);
    int (*reply)(struct pw_link *l, struct pw_link_from from, uint16_t status,
                 struct pw_slice text);
};

/* True when there is nobody else, so that everything is ours whatever its token. */
bool pw_owners_alone(const struct pw_owners *o);
/* o may be NULL: the ring is not known yet. shard: of the tenant (shards.h), or NULL. */
PW_MUST_USE int pw_owners_resolve(const struct pw_owners *o, const struct pw_ring_shard *shard,
                                  uint32_t token, int64_t now_s, struct pw_targets *to,
                                  struct pw_text *why);
/* Whether both name the same appliances, in whatever order. */
bool pw_targets_same(const struct pw_targets *a, const struct pw_targets *b);
bool pw_targets_has(const struct pw_targets *t, uint8_t peer);

#endif
