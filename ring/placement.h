/* ring/placement.h - v2 placement: tenant, then dataset, then shard (contract ring.md 3.2).
 *
 * Purpose  the shard of a series and the instances that may take it, as a stock v2 distributor places it. Held to the vectors
 *          of the contract (tests/ring/ring_vectors.c); the write path places as v1 does and has no use for it yet.
 * Owner    a distribution owns its arrays; it borrows nothing.
 * Context  make: control thread. place: hot.
 * Units    shard ids from 1; 0 is none.
 * Errors   PW_ENOMEM, PW_EMSGSIZE.
 * Limits   PW_PLACEMENT_SHARDS_MAX tokens in all.
 */
#ifndef PW_RING_PLACEMENT_H
#define PW_RING_PLACEMENT_H

#include "ring/view.h"

enum { PW_PLACEMENT_SHARDS_MAX = 1 << 20 };

struct pw_distribution {
    uint32_t *instance; /* of shard k (from 0): index into the view's instances */
    uint32_t shards;
};

struct pw_placement_key {
    uint64_t tenant, dataset, fingerprint; /* XXH64 */
    uint32_t tenant_shards;                /* 0: all */
    uint32_t dataset_shards;
};

struct pw_placement {
    uint32_t shard; /* from 1; 0: the ring is empty */
    /* Windows over the shards; pw_placement_instance walks them. */
    uint32_t tenant_from, tenant_count, dataset_from, dataset_count, offset;
};

/* Instances with a fresh heartbeat that are not LEFT, each as often as it has tokens. */
PW_MUST_USE int pw_distribution_make_ctl(struct pw_distribution *d, const struct pw_ring_view *ring,
                                         int64_t now);
void pw_distribution_free_ctl(struct pw_distribution *d);

void pw_placement_of(const struct pw_distribution *d, const struct pw_placement_key *key,
                     struct pw_placement *p);
/* The n-th choice, from 0; false past the last one (an instance may come more than once). */
bool pw_placement_instance(const struct pw_distribution *d, const struct pw_placement *p,
                           uint32_t n, uint32_t *instance);
/* The first n numbers of the fixed permutation: inside-out shuffle with a fixed seed. */
void pw_placement_permutation(uint32_t *v, uint32_t n);

#endif
