/* base/pool.h - fixed pool of equal objects for one core.
 *
 * Purpose  connections, slots, timers: hot objects that never come from malloc while polling.
 * Owner    one core; an object is given back on the core it came from.
 * Context  get/put: hot. init/fini: control thread.
 * Units    objects; index 0 .. count-1 is stable for the life of the pool, so 32-bit handles work.
 * Errors   get returns NULL when the pool is empty: push back upstream and count it.
 * Limits   count given at init; `used_peak` is the high-water mark.
 */
#ifndef PW_BASE_POOL_H
#define PW_BASE_POOL_H

#include "base/err.h"
#include "base/types.h"

struct pw_pool {
    uint8_t *objs;
    uint32_t *free_idx; /* a stack: last in, first out keeps the caches warm */
    uint32_t obj_bytes;
    uint32_t count;
    uint32_t free_count;
    uint32_t used_peak;
    size_t map_bytes;
};

/* Memory is mapped lazily: an unused tail of the pool costs address space only. Zero-filled. */
PW_MUST_USE int pw_pool_init_ctl(struct pw_pool *p, uint32_t count, uint32_t obj_bytes);
void pw_pool_fini_ctl(struct pw_pool *p);

static inline void *
pw_pool_at(const struct pw_pool *p, uint32_t idx)
{
    return p->objs + (size_t)idx * p->obj_bytes;
}

static inline uint32_t
pw_pool_index(const struct pw_pool *p, const void *obj)
{
    return (uint32_t)((size_t)((const uint8_t *)obj - p->objs) / p->obj_bytes);
}

static inline uint32_t
pw_pool_used(const struct pw_pool *p)
{
    return p->count - p->free_count;
}

/* Gives an object with whatever its last user left in it; NULL when empty. */
static inline void *
pw_pool_get(struct pw_pool *p)
{
    if (p->free_count == 0) {
        return NULL;
    }
    void *obj = pw_pool_at(p, p->free_idx[--p->free_count]);

    if (pw_pool_used(p) > p->used_peak) {
        p->used_peak = pw_pool_used(p);
    }
    return obj;
}

/* Takes obj. */
static inline void
pw_pool_put(struct pw_pool *p, void *obj)
{
    p->free_idx[p->free_count++] = pw_pool_index(p, obj);
}

#endif
