/* ring/shuffle_shard.h - the part of the ring that belongs to one tenant (contract ring.md 2.6).
 *
 * Purpose  a tenant with a shard size writes to the same few instances, whoever computes them.
 * Owner    the result is a view of its own.
 * Context  _ctl: control thread. The others: any; callers keep what they computed until the ring changes.
 * Units    unix seconds; lookback 0: who is written to, above: who may hold data of that long ago.
 * Errors   those of pw_ring_view_make_ctl.
 * Limits   -
 */
#ifndef PW_RING_SHUFFLE_SHARD_H
#define PW_RING_SHUFFLE_SHARD_H

#include "ring/view.h"

/* Who of a view is in a shard, without a view of its own. */
struct pw_ring_shard {
    uint64_t member[PW_RING_INSTANCES_MAX / 64]; /* a bit an instance */
    uint32_t count;
    uint16_t zone_instances[PW_RING_ZONES_MAX];
};

static inline bool
pw_ring_shard_has(const struct pw_ring_shard *s, uint32_t instance)
{
    return (s->member[instance / 64] >> (instance % 64) & 1) != 0;
}

/* Of MD5(id [NUL zone]), big-endian. */
int64_t pw_shuffle_shard_seed(struct pw_slice id, const char *zone);

/* The same members as the view below has with a look-back of 0; hot, no allocation. */
void pw_shuffle_shard_pick(struct pw_ring_shard *shard, const struct pw_ring_view *ring,
                           struct pw_slice tenant, int64_t size);
PW_MUST_USE int pw_shuffle_shard_ctl(struct pw_ring_view **shard, const struct pw_ring_view *ring,
                                     const char *tenant, int64_t size, int64_t lookback,
                                     int64_t now);

#endif
