/* ring/pressure.h - which tenants are near their share of an ingester core's memory.
 *
 * Purpose  the ingester core tells the polling threads who is to be slowed before anybody is refused.
 * Owner    the ingester core writes (ingester/share.h); any thread reads.
 * Context  hot, no lock: a wish, not a promise. A reader may see an entry a turn late or miss one.
 * Units    tenants as pw_tenant_pressure_key of their names.
 * Errors   -
 * Limits   PW_PRESSED_MAX tenants; further ones are not slowed, only refused.
 */
#ifndef PW_RING_PRESSURE_H
#define PW_RING_PRESSURE_H

#include "base/hash.h"
#include "base/types.h"

#include <stdalign.h>
#include <stdatomic.h>

enum { PW_PRESSED_MAX = 64 };

struct pw_pressure {
    alignas(64) _Atomic uint32_t count;
    _Atomic uint64_t tenant[PW_PRESSED_MAX];
};

/* Under the process's secret; bit 0 is clear, for whoever keeps a flag beside it. */
static inline uint64_t
pw_tenant_pressure_key(uint64_t hash_key, struct pw_slice name)
{
    return pw_hash_keyed(hash_key, name.ptr, name.len) & ~(uint64_t)1;
}

static inline bool
pw_pressure_any(const struct pw_pressure *p)
{
    return atomic_load_explicit(&p->count, memory_order_relaxed) != 0;
}

static inline bool
pw_pressure_has(const struct pw_pressure *p, uint64_t tenant)
{
    uint32_t n = atomic_load_explicit(&p->count, memory_order_relaxed);

    for (uint32_t i = 0; i < n && i < PW_PRESSED_MAX; i++) {
        if (atomic_load_explicit(&p->tenant[i], memory_order_relaxed) == tenant) {
            return true;
        }
    }
    return false;
}

#endif
