#include "query/dedup.h"

#include "base/hash.h"

enum { FIRST_CAP = 1024 };

int
pw_dedup_init(struct pw_dedup *d, struct pw_arena *arena, uint64_t hash_key)
{
    *d = (struct pw_dedup){.arena = arena, .cap = FIRST_CAP, .key = hash_key};
    d->entry = pw_arena_zalloc(arena, d->cap, sizeof(*d->entry));
    return d->entry == NULL ? PW_ENOMEM : 0;
}

/* The entry of that key, or the free one where it belongs. */
static struct pw_dedup_entry *
find(const struct pw_dedup *d, uint64_t fingerprint, int64_t time)
{
    uint64_t h = pw_hash_mix(pw_hash_mix(d->key, fingerprint), (uint64_t)time);

    for (uint32_t i = (uint32_t)h & (d->cap - 1);; i = (i + 1) & (d->cap - 1)) {
        struct pw_dedup_entry *e = &d->entry[i];

        if (e->origin == 0 || (e->fingerprint == fingerprint && e->time == time)) {
            return e;
        }
    }
}

static int
grow(struct pw_dedup *d)
{
    struct pw_dedup_entry *old = d->entry;
    uint32_t old_cap = d->cap;

    if (old_cap > UINT32_MAX / 2) {
        return PW_ENOMEM;
    }
    d->entry = pw_arena_zalloc(d->arena, (size_t)old_cap * 2, sizeof(*d->entry));
    if (d->entry == NULL) {
        d->entry = old;
        return PW_ENOMEM;
    }
    d->cap = old_cap * 2;
    for (uint32_t i = 0; i < old_cap; i++) {
        if (old[i].origin != 0) {
            *find(d, old[i].fingerprint, old[i].time) = old[i];
        }
    }
    return 0;
}

int
pw_dedup_take(struct pw_dedup *d, uint32_t origin, uint64_t fingerprint, int64_t time)
{
    struct pw_dedup_entry *e = find(d, fingerprint, time);

    if (e->origin == 0) {
        if (d->count >= d->cap / 2) {
            if (grow(d) != 0) {
                return PW_ENOMEM;
            }
            e = find(d, fingerprint, time);
        }
        *e = (struct pw_dedup_entry){.fingerprint = fingerprint, .time = time};
        d->count++;
    }
    if (e->origin != origin + 1) {
        e->origin = origin + 1;
        e->seen = 0;
    }
    if (++e->seen <= e->taken) {
        return 0;
    }
    e->taken = e->seen;
    return 1;
}
