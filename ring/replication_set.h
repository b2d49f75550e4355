/* ring/replication_set.h - which instances a key goes to, and how many of them may fail.
 *
 * Purpose  the walk over the tokens, the filter by health, the quorum (contract ring.md 2.2-2.5).
 * Owner    pure over a borrowed view; indexes of a set are those of the view's instances.
 * Context  get: hot (no allocation). The others: cold.
 * Units    now in unix seconds.
 * Errors   PW_ENOENT: the ring has no instances or no tokens. PW_EAGAIN: too few are healthy; the words
 *          for it are stock's, in `why`.
 * Limits   PW_RING_INSTANCES_MAX instances a set.
 */
#ifndef PW_RING_REPLICATION_SET_H
#define PW_RING_REPLICATION_SET_H

#include "base/text.h"
#include "ring/view.h"

enum pw_ring_op { PW_RING_WRITE, PW_RING_WRITE_NO_EXTEND, PW_RING_READ, PW_RING_REPORTING };

struct pw_replication_set {
    uint32_t instance[PW_RING_INSTANCES_MAX]; /* in the order of the walk */
    uint32_t count;
    uint32_t max_errors;
    uint32_t max_unavailable_zones;
};

bool pw_instance_healthy(const struct pw_instance *in, enum pw_ring_op op, int64_t now,
                         int64_t heartbeat_timeout);

struct pw_ring_shard; /* ring/shuffle_shard.h */

/* As if the ring had no others than the members of the shard; NULL: all. */
PW_MUST_USE int pw_ring_get_in(const struct pw_ring_view *ring, const struct pw_ring_shard *shard,
                               uint32_t key, enum pw_ring_op op, int64_t now,
                               struct pw_replication_set *set, struct pw_text *why);
/* why (may be NULL) gets the text of an error. */
PW_MUST_USE int pw_ring_get(const struct pw_ring_view *ring, uint32_t key, enum pw_ring_op op,
                            int64_t now, struct pw_replication_set *set, struct pw_text *why);
/* All healthy instances; PW_ENOENT only when the ring has none at all. */
PW_MUST_USE int pw_ring_get_all_healthy(const struct pw_ring_view *ring, enum pw_ring_op op,
                                        int64_t now, struct pw_replication_set *set,
                                        struct pw_text *why);
/* Who must be asked so that every replica group is heard. */
PW_MUST_USE int pw_ring_set_for_operation(const struct pw_ring_view *ring, enum pw_ring_op op,
                                          int64_t now, struct pw_replication_set *set,
                                          struct pw_text *why);

#endif
