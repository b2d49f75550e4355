/* Contract write-path.md 3.4, and the keyed hashes of content by which the head knows what it has.
 *
 * Order of work: strings are hashed, then what refers to them (mappings, functions, locations),
 * then the samples. Unreferenced symbols simply stay where they are (step 4). Stacks are compared
 * by the 64-bit keyed hash of their content, so equal stacks under different location ids merge
 * too, which step 3 of the reference would leave to a later merge; sums do not change by it. */
#include "pprof/profile.h"

#include "base/check.h"
#include "base/hash.h"

#include <stdlib.h>

/* id -> index for one symbol table. Dense ids (id == index + 1) need no table; sparse ones get open
 * addressing under a keyed hash, so that hostile ids cannot pile up in one place. */
struct id_map {
    uint32_t count; /* dense: ids 1 ... count */
    uint32_t *slot; /* index + 1, 0 empty; NULL when dense */
    uint64_t *id;
    uint64_t mask;
    uint64_t key;
};

enum { NOT_FOUND = UINT32_MAX };

static uint64_t
table_size(uint64_t n)
{
    uint64_t size = 16;

    while (size < 2 * n) { /* at most 33 turns */
        size *= 2;
    }
    return size;
}

static uint32_t *
zeroed_slots(struct pw_scratch *s, uint64_t size)
{
    uint32_t *slot = pw_scratch_array(s, size, sizeof(*slot));

    if (slot != NULL) {
        memset(slot, 0, size * sizeof(*slot));
    }
    return slot;
}

static bool
id_map_init(struct id_map *m, struct pw_profile *p, uint32_t count, bool dense)
{
    *m = (struct id_map){.count = count, .key = p->hash_key};
    if (dense) {
        return true;
    }
    m->mask = table_size(count) - 1;
    m->slot = zeroed_slots(p->scratch, m->mask + 1);
    m->id = pw_scratch_array(p->scratch, m->mask + 1, sizeof(*m->id));
    return m->slot != NULL && m->id != NULL;
}

/* Duplicate ids: the last one wins. */
static void
id_map_put(struct id_map *m, uint64_t id, uint32_t index)
{
    uint64_t i = pw_hash_mix(m->key, id) & m->mask;

    while (m->slot[i] != 0 && m->id[i] != id) { /* the table is at most half full */
        i = (i + 1) & m->mask;
    }
    m->slot[i] = index + 1;
    m->id[i] = id;
}

static uint32_t
id_map_get(const struct id_map *m, uint64_t id)
{
    uint64_t i;

    if (m->slot == NULL) {
        return id - 1 < m->count ? (uint32_t)(id - 1) : (uint32_t)NOT_FOUND;
    }
    for (i = pw_hash_mix(m->key, id) & m->mask; m->slot[i] != 0; i = (i + 1) & m->mask) {
        if (m->id[i] == id) {
            return m->slot[i] - 1;
        }
    }
    return NOT_FOUND;
}

static void
hash_strings(struct pw_profile *p)
{
    for (uint32_t i = p->string_hashed; i < p->string_count; i++) {
        p->string_hash[i] =
            pw_hash_keyed(p->hash_key, p->string_table[i].ptr, p->string_table[i].len);
    }
    p->string_hashed = p->string_count;
}

static inline void
clamp_ref(const struct pw_profile *p, int64_t *ref)
{
    if ((uint64_t)*ref >= p->string_count) {
        *ref = 0;
    }
}

/* Step 5, strings: string 0 is "", references outside the table are 0. */
static void
clamp_refs(struct pw_profile *p)
{
    if (p->string_count == 0) {
        (void)pw_profile_add_string(p, pw_slice("", 0));
    } else if (p->string_table[0].len != 0) {
        p->string_table[0] = pw_slice("", 0);
        p->string_hashed = 0;
    }
    for (uint32_t i = 0; i < p->sample_type_count; i++) {
        clamp_ref(p, &p->sample_type[i].type_ref);
        clamp_ref(p, &p->sample_type[i].unit_ref);
    }
    clamp_ref(p, &p->period_type.type_ref);
    clamp_ref(p, &p->period_type.unit_ref);
    clamp_ref(p, &p->default_sample_type_ref);
    for (uint32_t i = 0; p->max_function_ref >= p->string_count && i < p->function_count; i++) {
        clamp_ref(p, &p->function[i].name_ref);
        clamp_ref(p, &p->function[i].system_name_ref);
        clamp_ref(p, &p->function[i].filename_ref);
    }
    for (uint32_t i = 0; p->max_mapping_ref >= p->string_count && i < p->mapping_count; i++) {
        clamp_ref(p, &p->mapping[i].filename_ref);
        clamp_ref(p, &p->mapping[i].build_id_ref);
    }
}

static void
hash_mapping(struct pw_profile *p, struct pw_mapping *m)
{
    uint64_t flags = (uint64_t)m->has_functions | (uint64_t)m->has_filenames << 1 |
                     (uint64_t)m->has_line_numbers << 2 | (uint64_t)m->has_inline_frames << 3;
    uint64_t h = pw_hash_mix(p->hash_key, m->memory_start);

    h = pw_hash_mix(h, m->memory_limit);
    h = pw_hash_mix(h, m->file_offset);
    h = pw_hash_mix(h, p->string_hash[m->filename_ref]);
    h = pw_hash_mix(h, p->string_hash[m->build_id_ref]);
    m->hash = pw_hash_mix(h, flags);
}

/* Step 6 for mappings, their hashes, and their ids. */
static bool
prepare_mappings(struct pw_profile *p, struct id_map *ids)
{
    if (!id_map_init(ids, p, p->mapping_count, p->dense_mappings)) {
        return false;
    }
    for (uint32_t i = 0; i < p->mapping_count; i++) {
        struct pw_mapping *m = &p->mapping[i];

        if (m->has_functions) {
            m->memory_start = m->memory_limit = m->file_offset = 0;
        }
        hash_mapping(p, m);
        if (ids->slot != NULL) {
            id_map_put(ids, m->id, i);
        }
    }
    return true;
}

/* The stub of step 5 for locations without a mapping; appended once. */
static uint32_t
stub_mapping(struct pw_profile *p, uint32_t *stub)
{
    if (*stub == NOT_FOUND) {
        *stub = p->mapping_count++; /* parse left room for one more */
        p->mapping[*stub] = (struct pw_mapping){0};
        hash_mapping(p, &p->mapping[*stub]);
    }
    return *stub;
}

static bool
prepare_functions(struct pw_profile *p, struct id_map *ids)
{
    const uint64_t *sh = p->string_hash;

    if (!id_map_init(ids, p, p->function_count, p->dense_functions)) {
        return false;
    }
    for (uint32_t i = 0; i < p->function_count; i++) {
        struct pw_function *f = &p->function[i];
        uint64_t name = pw_hash_mix(sh[f->name_ref], sh[f->system_name_ref]);
        uint64_t place = pw_hash_mix(sh[f->filename_ref], (uint64_t)f->start_line);

        f->hash = pw_hash_mix(name, place);
        if (ids->slot != NULL) {
            id_map_put(ids, f->id, i);
        }
    }
    return true;
}

/* Resolves the functions of a location's lines; false when one is unknown. */
static bool
resolve_lines(struct pw_profile *p, const struct id_map *functions, struct pw_location *l)
{
    struct pw_line *line = p->line + l->line_first;
    uint64_t h = l->hash;

    for (uint32_t i = 0; i < l->line_count; i++) {
        uint32_t f = id_map_get(functions, line[i].function_id);

        if (f == NOT_FOUND) {
            return false;
        }
        line[i].function_id = f;
        h = pw_hash_mix(h, pw_hash_mix(p->function[f].hash, (uint64_t)line[i].line));
    }
    l->hash = h;
    return true;
}

/* Steps 5 and 6 for one location. */
static bool
resolve_location(struct pw_profile *p, const struct id_map *mappings,
                 const struct id_map *functions, struct pw_location *l, uint32_t *stub)
{
    uint32_t m;

    if (l->line_count == 0 && l->address == 0) {
        return false;
    }
    m = l->mapping_id == 0 ? stub_mapping(p, stub) : id_map_get(mappings, l->mapping_id);
    if (m == NOT_FOUND) {
        return false;
    }
    l->mapping_id = m;
    if (p->mapping[m].has_functions) {
        l->address = 0;
    }
    l->hash = pw_hash_mix(p->mapping[m].hash ^ l->line_count,
                          l->address * 2 + (l->is_folded ? 1 : 0) + (l->address >> 63));
    return resolve_lines(p, functions, l);
}

static bool
prepare_locations(struct pw_profile *p, const struct id_map *mappings,
                  const struct id_map *functions, struct id_map *ids)
{
    uint32_t stub = NOT_FOUND;

    if (!id_map_init(ids, p, p->location_count, p->dense_locations)) {
        return false;
    }
    for (uint32_t i = 0; i < p->location_count; i++) {
        struct pw_location *l = &p->location[i];

        if (ids->slot != NULL) {
            id_map_put(ids, l->id, i);
        }
        if (!resolve_location(p, mappings, functions, l, &stub)) {
            l->dropped = true;
            l->mapping_id = p->mapping_count == 0 ? stub_mapping(p, &stub) : 0;
            l->line_count = 0;
        }
    }
    return true;
}

/* Steps 2 and 5: what makes a sample worth keeping before its stack is looked at. */
static bool
values_count(const struct pw_profile *p, const struct pw_sample *s)
{
    const int64_t *v = p->value + s->value_first;
    int64_t any = 0, negative = 0;

    for (uint32_t i = 0; i < s->value_count; i++) {
        any |= v[i];
        negative |= v[i] >> 63;
    }
    return any != 0 && negative == 0 && s->value_count == p->sample_type_count;
}

/* Keys that only the owner of hash_key can predict differ by position; the location hashes they
 * meet are keyed already, so constants do. */
static inline uint64_t
fold(uint64_t a, uint64_t b)
{
    unsigned __int128 m = (unsigned __int128)a * b;

    return (uint64_t)m ^ (uint64_t)(m >> 64);
}

/* Ids to indices, and the hash of the stack: sums of products of pairs, which do not wait for one
 * another as a chain of mixes would. False when an id is unknown. */
static bool
resolve_stack(struct pw_profile *p, const struct id_map *locations, struct pw_sample *s)
{
    uint64_t h = p->hash_key, position = 0x9E3779B97F4A7C15U;

    for (uint32_t i = 0; i < s->loc_count; i++) {
        uint32_t at = s->loc_first + i;
        uint64_t id = p->loc_ids_wide != NULL ? p->loc_ids_wide[at] : p->loc_ids[at];
        uint32_t l = id_map_get(locations, id);

        if (l == NOT_FOUND || p->location[l].dropped) {
            return false;
        }
        p->loc_ids[at] = l;
        h += fold(p->location[l].hash ^ position, (p->location[l].hash >> 32) + position);
        position = position * 0x2545F4914F6CDD1DU + 0x9E3779B97F4A7C15U;
    }
    s->stack_hash = pw_hash_mix(h, s->loc_count);
    return true;
}

struct sample_tables {
    uint32_t *stack_slot; /* index + 1 into p->stack */
    uint32_t *merge_slot; /* index + 1 into p->sample, by stack and label set */
    uint32_t *set_slot;   /* index + 1 into p->label_set */
    uint64_t *set_hash;
    uint64_t mask;
    uint32_t pair_count;
    bool empty_set_used;
};

static bool
sample_tables_init(struct pw_profile *p, struct sample_tables *t)
{
    uint32_t labels = 0;

    for (uint32_t i = 0; i < p->sample_count; i++) {
        labels += p->sample[i].label_count;
    }
    t->mask = table_size(p->sample_count) - 1;
    t->stack_slot = zeroed_slots(p->scratch, t->mask + 1);
    t->merge_slot = zeroed_slots(p->scratch, t->mask + 1);
    t->set_slot = zeroed_slots(p->scratch, t->mask + 1);
    t->set_hash = pw_scratch_array(p->scratch, p->sample_count + 1, sizeof(*t->set_hash));
    p->label_set = pw_scratch_array(p->scratch, p->sample_count + 1, sizeof(*p->label_set));
    p->label_set_pair = pw_scratch_array(p->scratch, labels, sizeof(*p->label_set_pair));
    p->stack = pw_scratch_array(p->scratch, p->sample_count, sizeof(*p->stack));
    return t->stack_slot && t->merge_slot && t->set_slot && t->set_hash && p->label_set &&
           p->label_set_pair && p->stack;
}

static int
pair_cmp(const struct pw_profile *p, struct pw_label_set_pair a, struct pw_label_set_pair b)
{
    int c = pw_slice_cmp(p->string_table[a.key], p->string_table[b.key]);

    return c != 0 ? c : pw_slice_cmp(p->string_table[a.str], p->string_table[b.str]);
}

/* Places the pair among the n sorted ones at pair[0]: insertion, by binary search because a sample
 * may carry as many labels as its tenant allows. */
static void
insert_pair(const struct pw_profile *p, struct pw_label_set_pair *pair, uint32_t n,
            struct pw_label_set_pair x)
{
    uint32_t lo = 0, hi = n;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;

        if (pair_cmp(p, pair[mid], x) <= 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    memmove(&pair[lo + 1], &pair[lo], (n - lo) * sizeof(x));
    pair[lo] = x;
}

/* Step 1, then the set of what is left. */
static void
resolve_label_set(struct pw_profile *p, struct sample_tables *t, struct pw_sample *s)
{
    const struct pw_sample_label *l = p->sample_label + s->label_first;
    struct pw_label_set_pair *pair = p->label_set_pair + t->pair_count;
    uint64_t h = p->hash_key, i;
    uint32_t n = 0;

    for (uint32_t j = 0; j < s->label_count; j++) {
        struct pw_label_set_pair x = {.key = (uint32_t)l[j].key_ref, .str = (uint32_t)l[j].str_ref};

        if ((uint64_t)l[j].str_ref - 1 < (uint64_t)p->string_count - 1 &&
            (uint64_t)l[j].key_ref < p->string_count && p->string_table[x.str].len != 0) {
            insert_pair(p, pair, n++, x);
        }
    }
    s->label_set = 0;
    if (n == 0) {
        t->empty_set_used = true;
        return;
    }
    for (uint32_t j = 0; j < n; j++) {
        h = pw_hash_mix(h, pw_hash_mix(p->string_hash[pair[j].key], p->string_hash[pair[j].str]));
    }
    for (i = h & t->mask; t->set_slot[i] != 0; i = (i + 1) & t->mask) {
        s->label_set = t->set_slot[i] - 1;
        if (t->set_hash[s->label_set] == h && p->label_set[s->label_set].pair_count == n) {
            return;
        }
    }
    s->label_set = p->label_set_count++;
    t->set_slot[i] = s->label_set + 1;
    t->set_hash[s->label_set] = h;
    p->label_set[s->label_set] =
        (struct pw_label_set){.pair_first = t->pair_count, .pair_count = n};
    t->pair_count += n;
}

static void
intern_stack(struct pw_profile *p, struct sample_tables *t, struct pw_sample *s)
{
    uint64_t i = s->stack_hash & t->mask;

    for (; t->stack_slot[i] != 0; i = (i + 1) & t->mask) {
        s->stack = t->stack_slot[i] - 1;
        if (p->stack[s->stack].hash == s->stack_hash) {
            return;
        }
    }
    s->stack = p->stack_count++;
    t->stack_slot[i] = s->stack + 1;
    p->stack[s->stack] = (struct pw_stack){
        .hash = s->stack_hash, .loc_first = s->loc_first, .loc_count = s->loc_count};
}

/* Step 3: adds s to an earlier sample with the same stack and labels, or keeps it at index n. */
static bool
merge_sample(struct pw_profile *p, struct sample_tables *t, const struct pw_sample *s, uint32_t n)
{
    uint64_t i = pw_hash_mix(s->stack_hash, s->label_set) & t->mask;

    for (; t->merge_slot[i] != 0; i = (i + 1) & t->mask) {
        const struct pw_sample *o = &p->sample[t->merge_slot[i] - 1];

        if (o->stack == s->stack && o->label_set == s->label_set) {
            uint64_t *to = (uint64_t *)(p->value + o->value_first);

            for (uint32_t v = 0; v < s->value_count; v++) {
                to[v] += (uint64_t)p->value[s->value_first + v]; /* wraps, as the reference does */
            }
            return true;
        }
    }
    t->merge_slot[i] = n + 1;
    return false;
}

/* The empty set keeps place 0 while samples are read; when none has it, it goes. */
static void
drop_empty_set(struct pw_profile *p, const struct sample_tables *t)
{
    if (t->empty_set_used || p->label_set_count == 0) {
        return;
    }
    p->label_set++;
    p->label_set_count--;
    for (uint32_t i = 0; i < p->sample_count; i++) {
        p->sample[i].label_set--;
    }
}

static bool
prepare_samples(struct pw_profile *p, const struct id_map *locations)
{
    struct sample_tables t = {0};
    uint32_t n = 0;

    if (!sample_tables_init(p, &t)) {
        return false;
    }
    p->label_set[0] = (struct pw_label_set){0};
    p->label_set_count = 1;
    for (uint32_t i = 0; i < p->sample_count; i++) {
        struct pw_sample s = p->sample[i];

        if (!values_count(p, &s) || !resolve_stack(p, locations, &s)) {
            continue;
        }
        resolve_label_set(p, &t, &s);
        intern_stack(p, &t, &s);
        if (!merge_sample(p, &t, &s, n)) {
            p->sample[n++] = s;
        }
    }
    p->sample_count = n;
    drop_empty_set(p, &t);
    return true;
}

int
pw_profile_normalize(struct pw_profile *p)
{
    struct id_map mappings, functions, locations;

    clamp_refs(p);
    hash_strings(p);
    if (!prepare_mappings(p, &mappings) || !prepare_functions(p, &functions) ||
        !prepare_locations(p, &mappings, &functions, &locations) ||
        !prepare_samples(p, &locations)) {
        return PW_ENOMEM;
    }
    return 0;
}
