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

/* Where entries of a table are, in open addressing: index + 1, 0 empty; at most half full. 16 bits each as long
 * as that is enough. */
struct pw_slots {
    uint64_t mask;
    uint16_t *narrow;
    uint32_t *wide; /* instead, or NULL */
};

static inline uint64_t
pw_table_size(uint64_t n)
{
    uint64_t size = 16;

    while (size < 2 * n) { /* at most 33 turns */
        size *= 2;
    }
    return size;
}

/* For at most n entries. */
PW_MUST_USE static inline bool
pw_slots_init(struct pw_slots *t, struct pw_scratch *s, uint64_t n)
{
    uint64_t size = pw_table_size(n);
    bool wide = n > UINT16_MAX;
    size_t bytes = size * (wide ? sizeof(*t->wide) : sizeof(*t->narrow));
    void *slot = pw_scratch_alloc(s, bytes);

    *t = (struct pw_slots){
        .mask = size - 1, .narrow = wide ? NULL : slot, .wide = wide ? slot : NULL};
    if (slot != NULL) {
        pw_fiber_clear(s->fiber, slot, bytes);
    }
    return slot != NULL;
}

static inline uint32_t
pw_slots_get(const struct pw_slots *t, uint64_t i)
{
    return PW_LIKELY(t->wide == NULL) ? t->narrow[i] : t->wide[i];
}

static inline void
pw_slots_set(struct pw_slots *t, uint64_t i, uint32_t index)
{
    if (PW_LIKELY(t->wide == NULL)) {
        t->narrow[i] = (uint16_t)(index + 1);
    } else {
        t->wide[i] = index + 1;
    }
}

/* id -> index for one symbol table. Dense ids (id == index + 1) need no table; sparse ones get open
 * addressing under a keyed hash, so that hostile ids cannot pile up in one place. */
struct pw_id_map {
    uint32_t count; /* dense: ids 1 ... count */
    uint64_t *id;   /* by index; NULL when dense */
    struct pw_slots slots;
    uint64_t key;
};

enum { PW_ID_NOT_FOUND = UINT32_MAX };

static inline bool
pw_id_map_init(struct pw_id_map *m, struct pw_profile *p, uint32_t count, bool dense)
{
    *m = (struct pw_id_map){.count = count, .key = p->hash_key};
    if (dense) {
        return true;
    }
    m->id = pw_scratch_array(p->scratch, count, sizeof(*m->id));
    return m->id != NULL && pw_slots_init(&m->slots, p->scratch, count);
}

/* Duplicate ids: the last one wins. */
static inline void
pw_id_map_put(struct pw_id_map *m, uint64_t id, uint32_t index)
{
    uint64_t i = pw_hash_mix(m->key, id) & m->slots.mask;
    uint32_t at;

    while ((at = pw_slots_get(&m->slots, i)) != 0 && m->id[at - 1] != id) {
        i = (i + 1) & m->slots.mask;
    }
    pw_slots_set(&m->slots, i, index);
    m->id[index] = id;
}

static inline uint32_t
pw_id_map_get(const struct pw_id_map *m, uint64_t id)
{
    uint64_t i;
    uint32_t at;

    if (m->id == NULL) {
        return id - 1 < m->count ? (uint32_t)(id - 1) : (uint32_t)PW_ID_NOT_FOUND;
    }
    for (i = pw_hash_mix(m->key, id) & m->slots.mask; (at = pw_slots_get(&m->slots, i)) != 0;
         i = (i + 1) & m->slots.mask) {
        if (m->id[at - 1] == id) {
            return at - 1;
        }
    }
    return PW_ID_NOT_FOUND;
}

/* The samples' half of normalising. pprof/profile_stacks.c: which of them count, one behind the other in p->stack, the
 * hashes of their stacks at p->stack_hash, where their labels are in p->sample_key. false: no room. */
PW_MUST_USE bool pw_profile_keep_samples(struct pw_profile *p, const struct pw_id_map *locations,
                                         bool any_dropped);
/* pprof/profile_label_sets.c: then their label sets. false: no room. */
PW_MUST_USE bool pw_profile_resolve_label_sets(struct pw_profile *p);
/* pprof/profile_merge.c: then equal ones are one. false: no room. */
PW_MUST_USE bool pw_profile_merge_samples(struct pw_profile *p);

#endif
