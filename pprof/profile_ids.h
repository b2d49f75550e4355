/* pprof/profile_ids.h - from the ids of a pprof to indices; private to normalising.
 *
 * Purpose  locations, functions and mappings refer to one another, and samples to locations, by ids that a
 *          client is free to choose.
 * Owner    memory of the profile's scratch.
 * Context  hot, on a fiber; nothing allocates.
 * Units    -
 * Errors   no room in the scratch is false or NULL.
 * Limits   tables are at most half full.
 */
#ifndef PW_PPROF_PROFILE_IDS_H
#define PW_PPROF_PROFILE_IDS_H

#include "base/hash.h"
#include "pprof/profile.h"

/* id -> index for one symbol table. Dense ids (id == index + 1) need no table; sparse ones get open
 * addressing under a keyed hash, so that hostile ids cannot pile up in one place. */
struct pw_id_map {
    uint32_t count; /* dense: ids 1 ... count */
    uint32_t *slot; /* index + 1, 0 empty; NULL when dense */
    uint64_t *id;
    uint64_t mask;
    uint64_t key;
};

enum { PW_ID_NOT_FOUND = UINT32_MAX };

static inline uint64_t
pw_table_size(uint64_t n)
{
    uint64_t size = 16;

    while (size < 2 * n) { /* at most 33 turns */
        size *= 2;
    }
    return size;
}

static inline uint32_t *
pw_zeroed_slots(struct pw_scratch *s, uint64_t size)
{
    uint32_t *slot = pw_scratch_array(s, size, sizeof(*slot));

    if (slot != NULL) {
        pw_fiber_clear(s->fiber, slot, size * sizeof(*slot));
    }
    return slot;
}

static inline bool
pw_id_map_init(struct pw_id_map *m, struct pw_profile *p, uint32_t count, bool dense)
{
    *m = (struct pw_id_map){.count = count, .key = p->hash_key};
    if (dense) {
        return true;
    }
    m->mask = pw_table_size(count) - 1;
    m->slot = pw_zeroed_slots(p->scratch, m->mask + 1);
    m->id = pw_scratch_array(p->scratch, m->mask + 1, sizeof(*m->id));
    return m->slot != NULL && m->id != NULL;
}

/* Duplicate ids: the last one wins. */
static inline void
pw_id_map_put(struct pw_id_map *m, uint64_t id, uint32_t index)
{
    uint64_t i = pw_hash_mix(m->key, id) & m->mask;

    while (m->slot[i] != 0 && m->id[i] != id) { /* the table is at most half full */
        i = (i + 1) & m->mask;
    }
    m->slot[i] = index + 1;
    m->id[i] = id;
}

static inline uint32_t
pw_id_map_get(const struct pw_id_map *m, uint64_t id)
{
    uint64_t i;

    if (m->slot == NULL) {
        return id - 1 < m->count ? (uint32_t)(id - 1) : (uint32_t)PW_ID_NOT_FOUND;
    }
    for (i = pw_hash_mix(m->key, id) & m->mask; m->slot[i] != 0; i = (i + 1) & m->mask) {
        if (m->id[i] == id) {
            return m->slot[i] - 1;
        }
    }
    return PW_ID_NOT_FOUND;
}

/* The samples' half of normalising (pprof/profile_merge.c): stacks resolved, hashed and interned, label
 * sets interned, equal samples merged. false: no room. */
PW_MUST_USE bool pw_profile_merge_samples(struct pw_profile *p, const struct pw_id_map *locations,
                                          bool any_dropped);

#endif
