/* Contract write-path.md 3.4, and the keyed hashes of content by which the head knows what it has.
 *
 * Order of work: strings are hashed, then what refers to them (mappings, functions, locations),
 * then the samples. Unreferenced symbols simply stay where they are (step 4). Stacks are compared
 * by the 64-bit keyed hash of their content, so equal stacks under different location ids merge
 * too, which step 3 of the reference would leave to a later merge; sums do not change by it. */
#include "pprof/profile_ids.h"

#include "base/check.h"

static void
hash_strings(struct pw_profile *p)
{
    pw_text_words all = {0};

    for (uint32_t i = p->string_hashed; i < p->string_count; i++) {
        struct pw_slice s = pw_profile_text(p, i);

        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 1024);
        p->string[i].hash = pw_text_hash(&p->text_key, s, s.len, &all, p->scratch->fiber);
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

static inline void
clamp_ref32(const struct pw_profile *p, int32_t *ref)
{
    if ((uint32_t)*ref >= p->string_count) {
        *ref = 0;
    }
}

/* Step 5, strings: string 0 is "", references outside the table are 0. */
static void
clamp_refs(struct pw_profile *p)
{
    if (p->string_count == 0) {
        (void)pw_profile_add_string(p, pw_slice("", 0));
    } else if (p->string[0].len != 0) {
        p->string[0].len = p->string[0].off = 0;
        p->string_loose_count++;
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
        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 4096);
        clamp_ref32(p, &p->function[i].name_ref);
        clamp_ref32(p, &p->function[i].system_name_ref);
        clamp_ref32(p, &p->function[i].filename_ref);
    }
    for (uint32_t i = 0; p->max_mapping_ref >= p->string_count && i < p->mapping_count; i++) {
        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 4096);
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
    h = pw_hash_mix(h, p->string[m->filename_ref].hash);
    h = pw_hash_mix(h, p->string[m->build_id_ref].hash);
    m->hash = pw_hash_mix(h, flags);
}

/* Step 6 for mappings, their hashes, and their ids. */
static bool
prepare_mappings(struct pw_profile *p, struct pw_id_map *ids)
{
    if (!pw_id_map_init(ids, p, p->mapping_count, p->dense_mappings)) {
        return false;
    }
    for (uint32_t i = 0; i < p->mapping_count; i++) {
        struct pw_mapping *m = &p->mapping[i];

        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 1024);
        if (m->has_functions) {
            m->memory_start = m->memory_limit = m->file_offset = 0;
        }
        hash_mapping(p, m);
        if (ids->id != NULL) {
            pw_id_map_put(ids, m->id, i);
        }
    }
    return true;
}

/* The stub of step 5 for locations without a mapping; appended once. */
static uint32_t
stub_mapping(struct pw_profile *p, uint32_t *stub)
{
    if (*stub == PW_ID_NOT_FOUND) {
        *stub = p->mapping_count++; /* parse left room for one more */
        p->mapping[*stub] = (struct pw_mapping){0};
        hash_mapping(p, &p->mapping[*stub]);
    }
    return *stub;
}

static bool
prepare_functions(struct pw_profile *p, struct pw_id_map *ids)
{
    const struct pw_string *string = p->string;
    struct pw_function *f = p->function;
    uint64_t number = 0;

    if (!pw_id_map_init(ids, p, p->function_count, p->dense_functions)) {
        return false;
    }
    for (uint32_t i = 0, n = p->function_count; i < n; i++, f++) {
        uint64_t name = pw_hash_mix(string[f->name_ref].hash, string[f->system_name_ref].hash);
        uint64_t start_line = pw_profile_number(p, f->start_line);
        uint64_t place = pw_hash_mix(string[f->filename_ref].hash, start_line);

        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 1024);
        if (ids->id != NULL) {
            pw_id_map_put(ids, f->id, i);
        }
        f->hash = pw_hash_mix(name, place); /* where its id was */
        number |= start_line;
    }
    p->number_bits = number;
    return true;
}

/* Where the tables lie, which the compiler has to look up again after every store into one of them. */
struct tables {
    struct pw_line *line;
    const struct pw_function *function;
    struct pw_mapping *mapping; /* with room for the stub */
    struct pw_fiber *fiber;
};

/* Resolves the functions of a location's lines; false when one is unknown. */
static inline bool
resolve_lines(const struct pw_profile *p, const struct tables *t, const struct pw_id_map *functions,
              const struct pw_location *l, uint64_t h, uint64_t *hash, uint64_t *number)
{
    struct pw_line *line = t->line + l->line_first, *end = t->line + l[1].line_first;

    for (; line < end; line++) {
        uint32_t f = pw_id_map_get(functions, pw_profile_number(p, line->function));
        uint64_t at = pw_profile_number(p, line->line);

        PW_FIBER_PAUSE_EVERY(t->fiber, (size_t)(end - line), 1024);
        if (f == PW_ID_NOT_FOUND) {
            return false;
        }
        line->function = f;
        *number |= at;
        h = pw_hash_mix(h, pw_hash_mix(t->function[f].hash, at));
    }
    *hash = h;
    return true;
}

/* Steps 5 and 6 for one location. */
static inline bool
resolve_location(struct pw_profile *p, const struct tables *t, const struct pw_id_map *mappings,
                 const struct pw_id_map *functions, struct pw_location *l, uint32_t *stub,
                 uint64_t *hash, uint64_t *number, uint64_t *address)
{
    uint64_t at = pw_profile_number(p, l->address);
    uint32_t m, lines = pw_profile_line_count(l);

    *address = 0;
    if (lines == 0 && at == 0) {
        return false;
    }
    m = l->mapping == 0 ? stub_mapping(p, stub)
                        : pw_id_map_get(mappings, pw_profile_number(p, l->mapping));
    if (m == PW_ID_NOT_FOUND) {
        return false;
    }
    l->mapping = m;
    if (t->mapping[m].has_functions) {
        l->address = 0;
        at = 0;
    }
    *address = at;
    return resolve_lines(
        p, t, functions, l,
        pw_hash_mix(t->mapping[m].hash ^ lines, at * 2 + l->is_folded + (at >> 63)), hash, number);
}

/* Of the ids only the maps say whether they are dense; this way the compiler knows it, and most profiles
 * need no look at a table. */
static inline __attribute__((always_inline)) void
resolve_locations(struct pw_profile *p, const struct pw_id_map *mappings,
                  const struct pw_id_map *functions, struct pw_id_map *ids, bool *any_dropped)
{
    const struct tables t = {.line = p->line,
                             .function = p->function,
                             .mapping = p->mapping,
                             .fiber = p->scratch->fiber};
    struct pw_location *l = p->location;
    uint32_t stub = PW_ID_NOT_FOUND;
    uint64_t address = 0, one = 0, number = p->number_bits;

    for (uint32_t i = 0, n = p->location_count; i < n; i++, l++) {
        PW_FIBER_PAUSE_EVERY(t.fiber, i, 1024);
        if (ids->id != NULL) {
            pw_id_map_put(ids, p->location_id[i], i);
        }
        if (PW_UNLIKELY(!resolve_location(p, &t, mappings, functions, l, &stub, &p->location_id[i],
                                          &number, &one))) {
            l->dropped = 1;
            *any_dropped = true;
            l->mapping = p->mapping_count == 0 ? stub_mapping(p, &stub) : 0;
            l->address = 0;
        }
        address |= one;
    }
    p->address_bits = address;
    p->number_bits = number; /* of lines that no location has nobody asks */
}

static bool
prepare_locations(struct pw_profile *p, const struct pw_id_map *mappings,
                  const struct pw_id_map *functions, struct pw_id_map *ids, bool *any_dropped)
{
    if (!pw_id_map_init(ids, p, p->location_count, p->dense_locations)) {
        return false;
    }
    if (mappings->id == NULL && functions->id == NULL && ids->id == NULL) {
        const struct pw_id_map m = {.count = mappings->count}, f = {.count = functions->count};
        struct pw_id_map l = {.count = ids->count};

        resolve_locations(p, &m, &f, &l, any_dropped);
    } else {
        resolve_locations(p, mappings, functions, ids, any_dropped);
    }
    return true;
}

int
pw_profile_normalize(struct pw_profile *p)
{
    struct pw_id_map mappings, functions, locations;
    bool any_dropped = false;

    clamp_refs(p);
    hash_strings(p);
    if (!prepare_mappings(p, &mappings) || !prepare_functions(p, &functions) ||
        !prepare_locations(p, &mappings, &functions, &locations, &any_dropped) ||
        !pw_profile_keep_samples(p, &locations, any_dropped) || !pw_profile_resolve_label_sets(p) ||
        !pw_profile_merge_samples(p)) {
        return PW_ENOMEM;
    }
    return 0;
}
