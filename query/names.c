#include "query/names.h"

#include "base/check.h"
#include "base/hash.h"

#include <stdlib.h>

enum { SLOTS_FIRST = 1024, NAMES_FIRST = 512 };

static void
place(struct pw_names *n, uint32_t id)
{
    uint32_t i = (uint32_t)n->hash[id] & (n->slots - 1);

    while (n->slot[i] != 0) { /* at most half full */
        i = (i + 1) & (n->slots - 1);
    }
    n->slot[i] = id + 1;
}

static bool
grow(struct pw_names *n, uint32_t cap)
{
    struct pw_slice *name = pw_arena_alloc(n->arena, (size_t)cap * sizeof(*name));
    uint64_t *hash = pw_arena_alloc(n->arena, (size_t)cap * sizeof(*hash));
    uint32_t *slot = pw_arena_zalloc(n->arena, (size_t)cap * 2, sizeof(*slot));

    if (name == NULL || hash == NULL || slot == NULL || cap > UINT32_MAX / 4) {
        return false;
    }
    if (n->count > 0) {
        memcpy(name, n->name, n->count * sizeof(*name));
        memcpy(hash, n->hash, n->count * sizeof(*hash));
    }
    n->name = name;
    n->hash = hash;
    n->slot = slot;
    n->slots = cap * 2;
    n->cap = cap;
    for (uint32_t i = 0; i < n->count; i++) {
        place(n, i);
    }
    return true;
}

bool
pw_names_init(struct pw_names *n, struct pw_arena *a, uint64_t hash_key)
{
    *n = (struct pw_names){.arena = a, .hash_key = hash_key};
    return grow(n, NAMES_FIRST) && pw_names_intern(n, PW_SLICE_LIT("")) == PW_NAMES_EMPTY &&
           pw_names_intern(n, PW_SLICE_LIT("other")) == PW_NAMES_OTHER;
}

uint32_t
pw_names_intern(struct pw_names *n, struct pw_slice name)
{
    uint64_t h = pw_hash_keyed(n->hash_key, name.ptr, name.len);
    uint32_t i = (uint32_t)h & (n->slots - 1);

    for (; n->slot[i] != 0; i = (i + 1) & (n->slots - 1)) {
        uint32_t id = n->slot[i] - 1;

        if (n->hash[id] == h && pw_slice_eq(n->name[id], name)) {
            return id;
        }
    }
    if (n->count == n->cap && !grow(n, n->cap * 2)) {
        return UINT32_MAX;
    }
    n->name[n->count] = name;
    n->hash[n->count] = h;
    place(n, n->count);
    return n->count++;
}

static int
by_bytes(const void *a, const void *b, void *ctx)
{
    const struct pw_names *n = ctx;

    return pw_slice_cmp(n->name[*(const uint32_t *)a], n->name[*(const uint32_t *)b]);
}

void
pw_names_sort(const struct pw_names *n, uint32_t *id, uint32_t count)
{
    qsort_r(id, count, sizeof(*id), by_bytes, (void *)(uintptr_t)n);
}
