/* ingester/region.h - the bytes of one head: one mapping, handed out from the front.
 *
 * Purpose  everything a head keeps lies here, so that its byte limit is exact and nothing ever moves.
 * Owner    the writer of the head. Readers only follow references into what was published. One more
 *          thread may prefault.
 * Context  alloc: hot. create/destroy: control thread.
 * Units    bytes; a reference (ref8) is an offset in units of 8 bytes, 0 is never a valid one.
 * Errors   NULL when the limit is reached.
 * Limits   PW_HEAD_BYTES_MAX.
 */
#ifndef PW_INGESTER_REGION_H
#define PW_INGESTER_REGION_H

#include "base/err.h"
#include "base/types.h"

enum pw_region_kind { /* what bytes are counted as */
                      PW_REGION_SYMBOLS,
                      PW_REGION_STACKS,
                      PW_REGION_SERIES,
                      PW_REGION_SAMPLES,
                      PW_REGION_INDEX,
                      PW_REGION_KINDS,
};

struct pw_region {
    uint8_t *base;
    size_t cap;
    size_t limit; /* of used; at most cap, moves with what the core's other heads hold */
    size_t used;
    size_t touched; /* pages below it are there; whoever calls pw_region_prefault writes it */
    size_t kind_bytes[PW_REGION_KINDS];
};

PW_MUST_USE int pw_region_init_ctl(struct pw_region *r, size_t cap);
void pw_region_fini_ctl(struct pw_region *r);

/* Any one thread, beside the writer: makes what comes next real, so many bytes beyond what is used.
 * Returns how many bytes that took. */
size_t pw_region_prefault(struct pw_region *r, size_t ahead);

/* The writer: how much of what comes next is real. SIZE_MAX: everything up to the limit, more will not be. */
static inline size_t
pw_region_touched_left(const struct pw_region *r)
{
    size_t touched = __atomic_load_n(&r->touched, __ATOMIC_RELAXED);

    if (touched >= r->limit) {
        return SIZE_MAX;
    }
    return touched > r->used ? touched - r->used : 0;
}

static inline size_t
pw_region_left(const struct pw_region *r)
{
    return r->limit > r->used ? r->limit - r->used : 0;
}

/* Fresh memory is zero. align: a power of two; 1 for bytes. */
static inline void *
pw_region_alloc(struct pw_region *r, enum pw_region_kind kind, size_t n, size_t align)
{
    size_t at = pw_align_up(r->used, align);

    if (at > r->limit || n > r->limit - at) {
        return NULL;
    }
    r->kind_bytes[kind] += at + n - r->used;
    __atomic_store_n(&r->used, at + n, __ATOMIC_RELAXED); /* pw_region_prefault reads it */
    return r->base + at;
}

static inline uint32_t
pw_region_ref8(const struct pw_region *r, const void *p)
{
    return (uint32_t)((size_t)((const uint8_t *)p - r->base) / 8);
}

static inline void *
pw_region_at8(const uint8_t *base, uint32_t ref8)
{
    return (void *)(uintptr_t)(base + (size_t)ref8 * 8);
}

#endif
