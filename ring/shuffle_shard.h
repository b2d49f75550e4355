/* ring/shuffle_shard.h - the part of the ring that belongs to one tenant (contract ring.md 2.6).
 *
 * Purpose  a tenant with a shard size writes to the same few instances, whoever computes them.
 * Owner    the result is a view of its own.
 * Context  control thread; callers cache it until the ring changes.
 * Units    unix seconds; lookback 0: who is written to, above: who may hold data of that long ago.
 * Errors   those of pw_ring_view_make_ctl; PW_EINVAL when there is no MD5.
 * Limits   -
 */
#ifndef PW_RING_SHUFFLE_SHARD_H
#define PW_RING_SHUFFLE_SHARD_H

#include "ring/view.h"

/* Of MD5(id [NUL zone]), big-endian. */
PW_MUST_USE int pw_shuffle_shard_seed(const char *id, const char *zone, int64_t *seed);

PW_MUST_USE int pw_shuffle_shard_ctl(struct pw_ring_view **shard, const struct pw_ring_view *ring,
                                     const char *tenant, int64_t size, int64_t lookback,
                                     int64_t now);

#endif
