/* query/names.h - function names of one query, one small id per distinct text.
 *
 * Purpose  heads have string tables of their own; a tree over several heads is keyed by the text.
 * Owner    one query's arena. Names are borrowed from heads.
 * Context  cold.
 * Units    ids from 0; id 0 is the empty name, id 1 is "other".
 * Errors   UINT32_MAX when memory ran out.
 * Limits   memory of the query.
 */
#ifndef PW_QUERY_NAMES_H
#define PW_QUERY_NAMES_H

#include "query/arena.h"

enum { PW_NAMES_EMPTY = 0, PW_NAMES_OTHER = 1 };

struct pw_names {
    struct pw_arena *arena;
    uint64_t hash_key;
    struct pw_slice *name;
    uint64_t *hash;
    uint32_t count, cap;
    uint32_t *slot; /* open addressing: id + 1 */
    uint32_t slots; /* a power of two */
};

/* False: no memory. */
bool pw_names_init(struct pw_names *n, struct pw_arena *a, uint64_t hash_key);
uint32_t pw_names_intern(struct pw_names *n, struct pw_slice name);
/* Sorts ids by the bytes of their names. */
void pw_names_sort(const struct pw_names *n, uint32_t *id, uint32_t count);

#endif
