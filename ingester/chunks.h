/* ingester/chunks.h - an array that grows and never moves: chunk k holds 64 << k elements.
 *
 * Purpose  tables that one writer appends to while readers read below the watermark. 26 chunk pointers
 *          reach 2^32 elements, a small tenant pays for 64, and an element is two loads away.
 * Owner    the writer: count, cap, new chunks. Readers: at(), for indices below a published count.
 * Context  hot.
 * Units    elements.
 * Errors   reserve returns false when the region is exhausted.
 * Limits   2^32 - 64 elements.
 */
#ifndef PW_INGESTER_CHUNKS_H
#define PW_INGESTER_CHUNKS_H

#include "ingester/region.h"

enum { PW_CHUNKS_MAX = 26, PW_CHUNKS_BITS_MIN = 6 };

struct pw_chunks {
    uint8_t *chunk[PW_CHUNKS_MAX]; /* written once each, before anything in it is published */
    uint32_t count;                /* the writer's */
    uint32_t cap;
};

/* Makes room for n more elements; chunks start on a cache line. */
PW_MUST_USE static inline bool
pw_chunks_reserve(struct pw_chunks *c, struct pw_region *r, enum pw_region_kind kind,
                  uint32_t elem_bytes, uint32_t n)
{
    while (n > c->cap - c->count) {
        uint64_t j = (uint64_t)c->cap + (1U << PW_CHUNKS_BITS_MIN);
        uint32_t k = 63U - (uint32_t)__builtin_clzll(j) - PW_CHUNKS_BITS_MIN;

        if (k >= PW_CHUNKS_MAX) {
            return false;
        }
        c->chunk[k] = (uint8_t *)pw_region_alloc(r, kind, j * elem_bytes, 64);
        if (c->chunk[k] == NULL) {
            return false;
        }
        c->cap += (uint32_t)j;
    }
    return true;
}

static inline void *
pw_chunks_at(const struct pw_chunks *c, size_t elem_bytes, uint32_t i)
{
    uint64_t j = (uint64_t)i + (1U << PW_CHUNKS_BITS_MIN);
    uint32_t log2 = 63U - (uint32_t)__builtin_clzll(j);

    return c->chunk[log2 - PW_CHUNKS_BITS_MIN] + (j - (1ULL << log2)) * elem_bytes;
}

#define PW_CHUNKS_AT(c, type, i) ((type *)pw_chunks_at((c), sizeof(type), (i)))

#endif
