/* A segment in memory: one cache line of header, then its slots. The header is touched by inserts
 * only; what a look-up needs is in the directory and the slots. */
#include "ingester/htab.h"

#include "base/check.h"

#include <stdlib.h>

enum { HEADER_BYTES = 64 };

struct seg_header {
    uint32_t count;
    uint32_t depth; /* how many top bits of the hash its entries share */
    uint32_t log2;
    struct pw_hslot *next_free;
};
static_assert(sizeof(struct seg_header) <= HEADER_BYTES, "slots start on a cache line");

static struct seg_header *
header_of(struct pw_hslot *seg)
{
    return (struct seg_header *)(void *)((uint8_t *)seg - HEADER_BYTES);
}

/* 11/16: beyond it linear probing starts to cost more than the next cache line. */
static bool
is_loaded(const struct seg_header *h)
{
    return (uint64_t)h->count * 16 >= (11ULL << h->log2);
}

int
pw_htab_pool_init_ctl(struct pw_htab_pool *pool)
{
    *pool = (struct pw_htab_pool){0};
    pool->tmp = calloc(1U << PW_HTAB_LOG2_MAX, sizeof(*pool->tmp));
    return pool->tmp == NULL ? PW_ENOMEM : 0;
}

void
pw_htab_pool_fini_ctl(struct pw_htab_pool *pool)
{
    free(pool->tmp);
    *pool = (struct pw_htab_pool){0};
}

static struct pw_hslot *
seg_take(struct pw_htab_pool *pool, struct pw_region *r, uint32_t log2, uint32_t depth)
{
    size_t slots_bytes = sizeof(struct pw_hslot) << log2;
    struct pw_hslot *seg = pool->free_seg[log2];

    if (seg != NULL) {
        pool->free_seg[log2] = header_of(seg)->next_free;
        memset(seg, 0, slots_bytes);
    } else {
        uint8_t *p = pw_region_alloc(r, PW_REGION_INDEX, HEADER_BYTES + slots_bytes, 64);

        if (p == NULL) {
            return NULL;
        }
        seg = (struct pw_hslot *)(void *)(p + HEADER_BYTES);
    }
    *header_of(seg) = (struct seg_header){.depth = depth, .log2 = log2};
    return seg;
}

static void
seg_give(struct pw_htab_pool *pool, struct pw_hslot *seg)
{
    struct seg_header *h = header_of(seg);

    h->next_free = pool->free_seg[h->log2];
    pool->free_seg[h->log2] = seg;
}

static void
seg_put(struct pw_hslot *seg, uint32_t mask, const struct pw_hslot *entry)
{
    uint64_t i = entry->hash;

    while (seg[i & mask].id_1 != 0) {
        i++;
    }
    seg[i & mask] = *entry;
    header_of(seg)->count++;
}

static bool
first_segment(struct pw_htab *t, struct pw_htab_pool *pool, struct pw_region *r)
{
    struct pw_hslot **dir = pw_region_alloc(r, PW_REGION_INDEX, sizeof(*dir), 8);

    if (dir == NULL || (dir[0] = seg_take(pool, r, PW_HTAB_LOG2_MIN, 0)) == NULL) {
        return false;
    }
    t->dir = dir;
    t->mask = (1U << PW_HTAB_LOG2_MIN) - 1;
    return true;
}

/* A table of one segment doubles it, up to the size that all segments have from then on. */
static bool
grow_only_segment(struct pw_htab *t, struct pw_htab_pool *pool, struct pw_region *r)
{
    struct pw_hslot *old = t->dir[0];
    struct pw_hslot *seg = seg_take(pool, r, header_of(old)->log2 + 1, 0);

    if (seg == NULL) {
        return false;
    }
    uint32_t mask = t->mask * 2 + 1;

    for (uint32_t i = 0; i <= t->mask; i++) {
        if (old[i].id_1 != 0) {
            seg_put(seg, mask, &old[i]);
        }
    }
    t->dir[0] = seg;
    t->mask = mask;
    seg_give(pool, old);
    return true;
}

static bool
double_directory(struct pw_htab *t, struct pw_region *r)
{
    size_t n = (size_t)1 << t->dir_bits;

    if (t->dir_bits == PW_HTAB_DIR_BITS_MAX) {
        return false;
    }
    struct pw_hslot **dir = pw_region_alloc(r, PW_REGION_INDEX, 2 * n * sizeof(*dir), 8);

    if (dir == NULL) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        dir[2 * i] = dir[2 * i + 1] = t->dir[i];
    }
    t->dir = dir; /* the old one stays in the region: all of them together are as large as this */
    t->dir_bits++;
    return true;
}

static bool
split(struct pw_htab *t, struct pw_htab_pool *pool, struct pw_region *r, uint64_t hash)
{
    struct pw_hslot *low = pw_htab_segment(t, hash);
    uint32_t depth = header_of(low)->depth;

    if (depth == t->dir_bits && !double_directory(t, r)) {
        return false;
    }
    struct pw_hslot *high = seg_take(pool, r, PW_HTAB_LOG2_MAX, depth + 1);

    if (high == NULL) {
        return false;
    }
    memcpy(pool->tmp, low, sizeof(*low) << PW_HTAB_LOG2_MAX);
    memset(low, 0, sizeof(*low) << PW_HTAB_LOG2_MAX);
    header_of(low)->count = 0;
    header_of(low)->depth = depth + 1;
    for (uint32_t i = 0; i <= t->mask; i++) {
        const struct pw_hslot *e = &pool->tmp[i];

        if (e->id_1 != 0) {
            seg_put((e->hash >> (63 - depth) & 1) != 0 ? high : low, t->mask, e);
        }
    }
    /* The entries that pointed to it are 2^(dir_bits - depth) neighbours: the upper half moves. */
    size_t span = (size_t)1 << (t->dir_bits - depth);
    size_t first = (size_t)((hash >> 1) >> (63 - t->dir_bits)) & ~(span - 1);

    for (size_t i = span / 2; i < span; i++) {
        t->dir[first + i] = high;
    }
    return true;
}

bool
pw_htab_reserve(struct pw_htab *t, struct pw_htab_pool *pool, struct pw_region *r, uint64_t hash)
{
    if (t->dir == NULL && !first_segment(t, pool, r)) {
        return false;
    }
    /* Bounded: each turn grows the segment or uses up one more bit of the hash. */
    while (is_loaded(header_of(pw_htab_segment(t, hash)))) {
        bool ok = t->mask < (1U << PW_HTAB_LOG2_MAX) - 1 ? grow_only_segment(t, pool, r)
                                                         : split(t, pool, r, hash);

        if (!ok) {
            return false;
        }
    }
    return true;
}

void
pw_htab_put(struct pw_htab *t, uint64_t hash, uint32_t aux, uint32_t id)
{
    struct pw_hslot e = {.hash = hash, .id_1 = id + 1, .aux = aux};

    seg_put(pw_htab_segment(t, hash), t->mask, &e);
    t->count++;
}

void
pw_htab_del(struct pw_htab *t, uint64_t hash, uint32_t id)
{
    struct pw_hslot *seg = pw_htab_segment(t, hash);
    uint32_t hole = (uint32_t)hash & t->mask;

    while (seg[hole].id_1 != id + 1) {
        PW_INVARIANT(seg[hole].id_1 != 0);
        hole = (hole + 1) & t->mask;
    }
    /* Linear probing without tombstones: pull back whatever may stand in the hole. */
    for (uint32_t i = (hole + 1) & t->mask; seg[i].id_1 != 0; i = (i + 1) & t->mask) {
        uint32_t home = (uint32_t)seg[i].hash & t->mask;

        if (((i - home) & t->mask) >= ((i - hole) & t->mask)) {
            seg[hole] = seg[i];
            hole = i;
        }
    }
    seg[hole] = (struct pw_hslot){0};
    header_of(seg)->count--;
    t->count--;
}
