#include "distributor/rate.h"

#include <stdatomic.h>
#include <stdlib.h>

/* Time in 1/64 ns, so that a few bytes at a rate of GB/s still count; 2^58 ns are nine years. */
enum { TICKS_PER_NS = 64 };

struct bucket {
    _Atomic uint64_t tenant; /* 0 free; set once */
    _Atomic uint64_t tat;    /* ticks: when the bucket is full again */
};

struct pw_rate_table {
    _Atomic uint32_t sharers; /* one word, no order needed */
    struct bucket bucket[PW_RATE_TENANTS_MAX];
};

int
pw_rate_create_ctl(struct pw_rate_table **t)
{
    *t = calloc(1, sizeof(**t));
    if (*t == NULL) {
        return PW_ENOMEM;
    }
    pw_rate_set_sharers(*t, 1);
    return 0;
}

void
pw_rate_set_sharers(struct pw_rate_table *t, uint32_t distributors)
{
    atomic_store_explicit(&t->sharers, distributors > 0 ? distributors : 1, memory_order_relaxed);
}

uint32_t
pw_rate_sharers(const struct pw_rate_table *t)
{
    return atomic_load_explicit(&t->sharers, memory_order_relaxed);
}

void
pw_rate_destroy_ctl(struct pw_rate_table *t)
{
    free(t);
}

/* The tenant's bucket, claimed on first sight. Relaxed order is enough: the word itself is all the
 * state there is, nothing else is published by it. */
static struct bucket *
find(struct pw_rate_table *t, uint64_t tenant)
{
    struct bucket *b = NULL;

    tenant = tenant == 0 ? 1 : tenant;
    for (uint32_t i = 0; i < PW_RATE_PROBES; i++) {
        uint64_t seen;

        b = &t->bucket[(tenant + i) & (PW_RATE_TENANTS_MAX - 1)];
        seen = atomic_load_explicit(&b->tenant, memory_order_relaxed);
        if (seen == tenant) {
            return b;
        }
        if (seen == 0 &&
            (atomic_compare_exchange_strong_explicit(&b->tenant, &seen, tenant,
                                                     memory_order_relaxed, memory_order_relaxed) ||
             seen == tenant)) {
            return b;
        }
    }
    return b;
}

bool
pw_rate_take(struct pw_rate_table *t, const struct pw_rate_ask *ask)
{
    struct bucket *b = find(t, ask->tenant_hash);
    uint64_t now = ask->now_ns * TICKS_PER_NS;
    double per_byte;
    uint64_t cost;
    uint64_t depth;
    uint64_t tat;

    if (ask->bytes > ask->burst_bytes || !(ask->rate_bytes_per_s > 0)) {
        return false;
    }
    per_byte = 1e9 * TICKS_PER_NS / ask->rate_bytes_per_s;
    if ((double)ask->burst_bytes * per_byte > 4e18) { /* slower than a byte a year: never refills */
        return false;
    }
    cost = (uint64_t)((double)ask->bytes * per_byte);
    depth = (uint64_t)((double)ask->burst_bytes * per_byte);
    tat = atomic_load_explicit(&b->tat, memory_order_relaxed);
    for (uint32_t i = 0; i < PW_RATE_TRIES; i++) {
        uint64_t from = tat > now ? tat : now;

        if (from + cost - now > depth) {
            return false;
        }
        if (atomic_compare_exchange_weak_explicit(&b->tat, &tat, from + cost, memory_order_relaxed,
                                                  memory_order_relaxed)) {
            return true;
        }
    }
    return true; /* sixteen others won meanwhile: let this one pass uncounted rather than spin */
}
