/* query/arena.h - memory of one query: allocated piece by piece, given back at once.
 *
 * Purpose  a query builds tables whose sizes it learns on the way; nothing of it outlives the answer.
 * Owner    one query thread.
 * Context  cold: calls malloc for chunks.
 * Units    bytes; every allocation is aligned to 16.
 * Errors   NULL when the limit or the machine's memory is reached, or nobody waits any more: answer so.
 * Limits   bytes_max of init.
 */
#ifndef PW_QUERY_ARENA_H
#define PW_QUERY_ARENA_H

#include "base/types.h"

struct pw_arena_chunk;
struct pw_patience;

struct pw_arena {
    struct pw_arena_chunk *chunk; /* newest first */
    uint8_t *p;
    size_t left;
    size_t bytes_used;
    size_t bytes_max;
    const struct pw_patience *patience; /* NULL: without end */
};

void pw_arena_init(struct pw_arena *a, size_t bytes_max);
/* Frees everything; the arena can be used again, with endless patience. */
void pw_arena_reset(struct pw_arena *a);

/* Bytes are not set. */
void *pw_arena_alloc(struct pw_arena *a, size_t n);
/* n * size bytes of zero; large ones come from the kernel as zero pages, touched lazily. */
void *pw_arena_zalloc(struct pw_arena *a, size_t n, size_t size);
/* Copies, and puts a NUL behind. ptr == NULL when memory ran out. */
struct pw_slice pw_arena_copy(struct pw_arena *a, struct pw_slice s);
/* *array of *cap elements of that size gets room for one more (doubling); false: no memory. */
bool pw_arena_room(struct pw_arena *a, void **array, uint32_t count, uint32_t *cap, size_t size);

#endif
