/* ingester/htab.h - the writer's interning table: 64-bit hash to id, growing a segment at a time.
 *
 * Purpose  find what was interned with one cache miss: slots carry the whole hash and the id. Extendible
 *          hashing: a directory, indexed by the top bits of the hash, points to segments of at most
 *          4096 slots; a full segment is split alone, so that no insert ever pays for more than one
 *          split (about 10 us) and no old table is left behind in the region.
 * Owner    the writer of the head; readers never look here.
 * Context  hot.
 * Units    ids below UINT32_MAX.
 * Errors   reserve returns false when the region is exhausted; find returns PW_HTAB_NONE.
 * Limits   the hash is keyed (base/hash.h): segments fill evenly, whatever clients send.
 */
#ifndef PW_INGESTER_HTAB_H
#define PW_INGESTER_HTAB_H

#include "ingester/region.h"

#include <assert.h>

#define PW_HTAB_NONE UINT32_MAX

enum { PW_HTAB_LOG2_MIN = 6, PW_HTAB_LOG2_MAX = 12, PW_HTAB_DIR_BITS_MAX = 22 };

struct pw_hslot {
    uint64_t hash;
    uint32_t id_1; /* id + 1; 0: empty */
    uint32_t aux;  /* compared with the hash: depth, length, ... */
};
static_assert(sizeof(struct pw_hslot) == 16, "four slots a cache line");

/* Shared by all tables of a head: segments that were outgrown, and room to split one. */
struct pw_htab_pool {
    struct pw_hslot *free_seg[PW_HTAB_LOG2_MAX + 1]; /* linked through their first bytes */
    struct pw_hslot *tmp;                            /* 1 << PW_HTAB_LOG2_MAX slots */
};

struct pw_htab {
    struct pw_hslot **dir; /* 1 << dir_bits entries; several may share a segment */
    uint32_t dir_bits;
    uint32_t mask; /* slots of every segment - 1; only a table of one segment has fewer than MAX */
    uint32_t count;
};

PW_MUST_USE int pw_htab_pool_init_ctl(struct pw_htab_pool *pool);
void pw_htab_pool_fini_ctl(struct pw_htab_pool *pool);

/* After this, one put of this hash cannot fail. */
PW_MUST_USE bool pw_htab_reserve(struct pw_htab *t, struct pw_htab_pool *pool, struct pw_region *r,
                                 uint64_t hash);
void pw_htab_put(struct pw_htab *t, uint64_t hash, uint32_t aux, uint32_t id);
/* Removes the entry of that hash and id, which is there. */
void pw_htab_del(struct pw_htab *t, uint64_t hash, uint32_t id);

static inline struct pw_hslot *
pw_htab_segment(const struct pw_htab *t, uint64_t hash)
{
    return t->dir[(hash >> 1) >> (63 - t->dir_bits)];
}

static inline void
pw_htab_prefetch(const struct pw_htab *t, uint64_t hash)
{
    if (t->dir != NULL) {
        __builtin_prefetch(&pw_htab_segment(t, hash)[hash & t->mask]);
    }
}

/* The first match at or after *probe (0 to begin), which is moved behind it, so that a caller who
 * finds the content different can go on. */
static inline uint32_t
pw_htab_next(const struct pw_htab *t, uint64_t hash, uint32_t aux, uint32_t *probe)
{
    if (t->dir == NULL) {
        return PW_HTAB_NONE;
    }
    const struct pw_hslot *seg = pw_htab_segment(t, hash);

    /* Ends at an empty slot: a segment is never full (LOAD in htab.c). */
    for (;;) {
        const struct pw_hslot *s = &seg[(hash + *probe) & t->mask];

        ++*probe;
        if (s->id_1 == 0) {
            return PW_HTAB_NONE;
        }
        if (s->hash == hash && s->aux == aux) {
            return s->id_1 - 1;
        }
    }
}

static inline uint32_t
pw_htab_find(const struct pw_htab *t, uint64_t hash, uint32_t aux)
{
    uint32_t probe = 0;

    return pw_htab_next(t, hash, aux, &probe);
}

#endif
