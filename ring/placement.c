#include "ring/placement.h"

#include "ring/go_rand.h"

#include <stdlib.h>

static const int64_t PERMUTATION_SEED = -3035313949336265834;

void
pw_placement_permutation(uint32_t *v, uint32_t n)
{
    struct pw_go_rand rand;

    pw_go_rand_seed(&rand, PERMUTATION_SEED);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t j = pw_go_rand_intn(&rand, i + 1);

        v[i] = v[j];
        v[j] = i;
    }
}

int
pw_distribution_make_ctl(struct pw_distribution *d, const struct pw_ring_view *ring, int64_t now)
{
    uint32_t *list, *order, n = 0, shards = 0;

    *d = (struct pw_distribution){0};
    if (ring->token_count > PW_PLACEMENT_SHARDS_MAX) {
        return PW_EMSGSIZE;
    }
    list = calloc(ring->token_count + 1, sizeof(*list));
    order = calloc(ring->token_count + 1, sizeof(*order));
    d->instance = calloc(ring->token_count + 1, sizeof(*d->instance));
    if (list == NULL || order == NULL || d->instance == NULL) {
        free(list);
        free(order);
        pw_distribution_free_ctl(d);
        return PW_ENOMEM;
    }
    for (uint32_t i = 0; i < ring->instance_count; i++) {
        const struct pw_instance *in = &ring->instance[i];

        if (now - in->timestamp <= ring->cfg.heartbeat_timeout) {
            for (n = 0; n < in->token_count; n++) {
                list[shards++] = i;
            }
        }
    }
    pw_placement_permutation(order, shards);
    for (uint32_t k = 0; k < shards; k++) {
        d->instance[k] = list[order[k]];
    }
    d->shards = shards;
    free(list);
    free(order);
    return 0;
}

void
pw_distribution_free_ctl(struct pw_distribution *d)
{
    free(d->instance);
    *d = (struct pw_distribution){0};
}

/* Lamping and Veach, "A Fast, Minimal Memory, Consistent Hash Algorithm" (2014). */
static uint32_t
jump_hash(uint64_t key, uint32_t buckets)
{
    int64_t b = -1, j = 0;

    while (j < buckets) {
        b = j;
        key = key * 2862933555777941757U + 1;
        j = (int64_t)((double)(b + 1) * ((double)(INT64_C(1) << 31) / (double)((key >> 33) + 1)));
    }
    return (uint32_t)b;
}

/* Offset k of the window of `count` shards that begins at `from`, itself inside the ring. */
static uint32_t
in_window(const struct pw_distribution *d, uint32_t from, uint32_t count, uint32_t k)
{
    return (uint32_t)(((uint64_t)from + k % count) % d->shards);
}

/* Offset k of the dataset's window, which wraps inside the tenant's. */
static uint32_t
in_dataset(const struct pw_distribution *d, const struct pw_placement *p, uint32_t k)
{
    uint32_t in_tenant =
        (p->dataset_from - p->tenant_from + k % p->dataset_count) % p->tenant_count;

    return in_window(d, p->tenant_from, p->tenant_count, in_tenant);
}

void
pw_placement_of(const struct pw_distribution *d, const struct pw_placement_key *key,
                struct pw_placement *p)
{
    *p = (struct pw_placement){0};
    if (d->shards == 0) {
        return;
    }
    p->tenant_count =
        key->tenant_shards == 0 || key->tenant_shards > d->shards ? d->shards : key->tenant_shards;
    p->dataset_count = key->dataset_shards > 1 ? key->dataset_shards : 1;
    p->dataset_count = p->dataset_count < p->tenant_count ? p->dataset_count : p->tenant_count;
    p->tenant_from = jump_hash(key->tenant, d->shards);
    p->dataset_from = p->tenant_from + jump_hash(key->dataset, p->tenant_count);
    p->offset = (uint32_t)(key->fingerprint % p->dataset_count);
    p->shard = in_dataset(d, p, p->offset) + 1;
}

bool
pw_placement_instance(const struct pw_distribution *d, const struct pw_placement *p, uint32_t n,
                      uint32_t *instance)
{
    uint32_t rest_of_tenant, shard;

    if (p->shard == 0) {
        return false;
    }
    rest_of_tenant = p->tenant_count - p->dataset_count;
    if (n < p->dataset_count) {
        shard = in_dataset(d, p, p->offset + n);
    } else if (n - p->dataset_count < rest_of_tenant) {
        shard = in_window(d, p->tenant_from, p->tenant_count, p->dataset_from - p->tenant_from + n);
    } else if (n < d->shards) {
        shard = in_window(d, p->tenant_from, d->shards, n);
    } else {
        return false;
    }
    *instance = d->instance[shard];
    return true;
}
