#include "query/arena.h"

#include "query/patience.h"

#include <stdlib.h>

enum {
    CHUNK_BYTES = 256 << 10,
    ALIGN = 16,
    ROOM_FIRST = 16,
};

struct pw_arena_chunk {
    struct pw_arena_chunk *next;
    uint64_t pad; /* keeps what follows aligned to 16 */
};

void
pw_arena_init(struct pw_arena *a, size_t bytes_max)
{
    *a = (struct pw_arena){.bytes_max = bytes_max};
}

void
pw_arena_reset(struct pw_arena *a)
{
    struct pw_arena_chunk *c = a->chunk;

    while (c != NULL) {
        struct pw_arena_chunk *next = c->next;

        free(c);
        c = next;
    }
    *a = (struct pw_arena){.bytes_max = a->bytes_max};
}

static uint8_t *
chunk_new(struct pw_arena *a, size_t n)
{
    struct pw_arena_chunk *c;

    if (n > a->bytes_max - a->bytes_used || pw_patience_is_over(a->patience)) {
        return NULL;
    }
    c = calloc(1, sizeof(*c) + n);
    if (c == NULL) {
        return NULL;
    }
    a->bytes_used += n;
    c->next = a->chunk;
    a->chunk = c;
    return (uint8_t *)(c + 1);
}

void *
pw_arena_alloc(struct pw_arena *a, size_t n)
{
    uint8_t *p;

    if (n > SIZE_MAX / 2) {
        return NULL;
    }
    n = pw_align_up(n == 0 ? 1 : n, ALIGN);
    if (n > CHUNK_BYTES / 4) {
        return chunk_new(a, n);
    }
    if (n > a->left) {
        p = chunk_new(a, CHUNK_BYTES);
        if (p == NULL) {
            return NULL;
        }
        a->p = p;
        a->left = CHUNK_BYTES;
    }
    p = a->p;
    a->p += n;
    a->left -= n;
    return p;
}

void *
pw_arena_zalloc(struct pw_arena *a, size_t n, size_t size)
{
    /* Chunks come from calloc and no byte is handed out twice: everything is zero already. */
    return size != 0 && n > SIZE_MAX / 2 / size ? NULL : pw_arena_alloc(a, n * size);
}

struct pw_slice
pw_arena_copy(struct pw_arena *a, struct pw_slice s)
{
    uint8_t *p = pw_arena_alloc(a, s.len + 1);

    if (p == NULL) {
        return (struct pw_slice){0};
    }
    if (s.len > 0) {
        memcpy(p, s.ptr, s.len);
    }
    p[s.len] = 0;
    return pw_slice(p, s.len);
}

bool
pw_arena_room(struct pw_arena *a, void **array, uint32_t count, uint32_t *cap, size_t size)
{
    uint32_t want = *cap == 0 ? ROOM_FIRST : *cap * 2;
    void *p;

    if (count < *cap) {
        return true;
    }
    if (*cap > UINT32_MAX / 4) {
        return false;
    }
    p = pw_arena_zalloc(a, want, size);
    if (p == NULL) {
        return false;
    }
    if (count > 0) {
        memcpy(p, *array, count * size);
    }
    *array = p;
    *cap = want;
    return true;
}
