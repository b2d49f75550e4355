/* distributor/shards.h - the part of the ring that a tenant's series are written to, for one polling thread.
 *
 * Purpose  shuffle sharding of writes (contract ring.md 2.6): which members belong to a tenant's shard, kept until the ring is
 *          another one. Without a shard size it is the whole ring but those that are read-only.
 * Owner    a part of struct pw_replicate.
 * Context  of: hot, no allocation; a shard that is not kept costs some 20 us and the walk over the ring. _ctl: cold.
 * Units    -
 * Errors   -
 * Limits   PW_SHARDS_KEPT shards; tenants whose hashes meet take turns.
 */
#ifndef PW_DISTRIBUTOR_SHARDS_H
#define PW_DISTRIBUTOR_SHARDS_H

#include "base/err.h"
#include "base/limits.h"
#include "ring/shuffle_shard.h"

enum { PW_SHARDS_KEPT = 256 };

struct pw_shard_kept {
    uint64_t shape; /* of the ring; 0: nothing is kept */
    uint32_t size;
    uint32_t tenant_bytes;
    uint8_t tenant[PW_TENANT_BYTES_MAX];
    struct pw_ring_shard shard;
};

struct pw_shards {
    struct pw_shard_kept *kept; /* [PW_SHARDS_KEPT] */
    uint64_t computed;
};

PW_MUST_USE int pw_shards_init_ctl(struct pw_shards *s);
void pw_shards_fini_ctl(struct pw_shards *s);

/* Borrowed until the next call. NULL: every member. size 0: tenants are not parted. */
const struct pw_ring_shard *pw_shards_of(struct pw_shards *s, const struct pw_ring_view *ring,
                                         struct pw_slice tenant, uint32_t size);

#endif
