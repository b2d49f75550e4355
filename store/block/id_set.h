/* store/block/id_set.h - which ids of a table are used, and the how-manyth each of them is.
 *
 * Purpose  ids of the source become dense local ids of a partition: the rank of an id in its set.
 * Owner    the storage thread that writes the block.
 * Context  storage threads; allocates.
 * Units    ids below the universe given at init.
 * Errors   PW_ENOMEM.
 * Limits   1.5 bits an id of the universe; a frozen copy takes that or 4 bytes an id that it has,
 *          whichever is less.
 */
#ifndef PW_STORE_ID_SET_H
#define PW_STORE_ID_SET_H

#include "base/err.h"
#include "base/types.h"

struct pw_id_set {
    uint64_t *word; /* NULL in a sparse copy */
    uint32_t *rank; /* ids below word i; after pw_id_set_count */
    uint32_t *id;   /* sparse copy: ascending */
    uint32_t words;
    uint32_t first_word; /* of the copy: what word[0] is */
    uint32_t count;
};

PW_MUST_USE int pw_id_set_init(struct pw_id_set *s, uint32_t universe);
void pw_id_set_fini(struct pw_id_set *s);
void pw_id_set_clear(struct pw_id_set *s);

static inline void
pw_id_set_add(struct pw_id_set *s, uint32_t id)
{
    s->word[id / 64] |= 1ULL << (id % 64);
}

/* To be called between the last add and the first rank. */
void pw_id_set_freeze(struct pw_id_set *s);
/* A small copy of a frozen set. */
PW_MUST_USE int pw_id_set_copy(struct pw_id_set *copy, const struct pw_id_set *s);

uint32_t pw_id_set_rank_sparse(const struct pw_id_set *s, uint32_t id);

/* Of an id that is in the frozen set. */
static inline uint32_t
pw_id_set_rank(const struct pw_id_set *s, uint32_t id)
{
    uint32_t w = id / 64 - s->first_word;

    if (s->word == NULL) {
        return pw_id_set_rank_sparse(s, id);
    }
    return s->rank[w] + (uint32_t)__builtin_popcountll(s->word[w] & ((1ULL << (id % 64)) - 1));
}

/* The first id >= from that is in a set that is no copy; UINT32_MAX: none. */
uint32_t pw_id_set_next(const struct pw_id_set *s, uint64_t from);
size_t pw_id_set_memory(const struct pw_id_set *s);

#endif
