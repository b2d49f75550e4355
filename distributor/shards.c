#include "distributor/shards.h"

#include "base/check.h"
#include "base/hash.h"

#include <stdlib.h>

int
pw_shards_init_ctl(struct pw_shards *s)
{
    *s = (struct pw_shards){.kept = calloc(PW_SHARDS_KEPT, sizeof(*s->kept))};
    return s->kept == NULL ? PW_ENOMEM : 0;
}

void
pw_shards_fini_ctl(struct pw_shards *s)
{
    free(s->kept);
    s->kept = NULL;
}

const struct pw_ring_shard *
pw_shards_of(struct pw_shards *s, const struct pw_ring_view *ring, struct pw_slice tenant,
             uint32_t size)
{
    struct pw_shard_kept *k;

    if (size == 0) {
        if (ring->read_only_count == 0) {
            return NULL;
        }
        tenant.len = 0; /* one for all tenants */
    }
    PW_INVARIANT(tenant.len <= PW_TENANT_BYTES_MAX);
    k = &s->kept[pw_xxh64(tenant.ptr, tenant.len) % PW_SHARDS_KEPT];
    if (k->shape != ring->shape || k->size != size ||
        !pw_slice_eq(pw_slice(k->tenant, k->tenant_bytes), tenant)) {
        k->shape = ring->shape;
        k->size = size;
        k->tenant_bytes = (uint32_t)tenant.len;
        if (tenant.len != 0) {
            memcpy(k->tenant, tenant.ptr, tenant.len);
        }
        pw_shuffle_shard_pick(&k->shard, ring, tenant, size);
        s->computed++;
    }
    return &k->shard;
}
