/* Writes a record: the tables of the profile as they stand, indices unchanged, then the stacks and
 * series of the groups. Symbols that no sample of the groups uses stay in: leaving them out would
 * cost a pass over all of them and a renumbering, and the head never looks at them. */
#include "pprof/record.h"

#include "base/check.h"
#include "base/hash.h"

enum { RECORD_ALIGN = 16, SECTION_ALIGN = 8 };

struct writer {
    const struct pw_record_source *src;
    struct pw_record *rec;
    uint8_t *base;
    size_t used;
    size_t cap;
    uint32_t *stack_at;    /* by stack of the profile: index + 1 in the record */
    uint32_t *sample_at;   /* by stack of the record: the last sample without a span that has it */
    uint32_t *sample_slot; /* samples with a span, by stack and span: index + 1 in the series */
    uint64_t slot_mask;
};

static size_t
type_text_bytes(const struct pw_profile *p)
{
    size_t n = pw_profile_string(p, p->period_type.type_ref).len +
               pw_profile_string(p, p->period_type.unit_ref).len;

    for (uint32_t i = 0; i < p->sample_type_count; i++) {
        n += pw_profile_string(p, p->sample_type[i].type_ref).len +
             pw_profile_string(p, p->sample_type[i].unit_ref).len;
    }
    return n;
}

size_t
pw_record_bytes_max(const struct pw_record_source *src)
{
    const struct pw_profile *p = src->profile;
    size_t n = sizeof(struct pw_record) + src->tenant.len + type_text_bytes(p);

    n += p->string_count * sizeof(struct pw_record_string);
    n += p->string_stretch.len + p->string_loose_bytes;
    n += p->mapping_count * sizeof(struct pw_record_mapping);
    n += p->function_count * sizeof(struct pw_record_function);
    n += p->line_count * sizeof(struct pw_record_line);
    n += p->location_count * sizeof(struct pw_record_location);
    n += p->stack_count * sizeof(struct pw_record_stack);
    n += p->loc_ids_count * sizeof(uint32_t);
    n += src->span_count * sizeof(struct pw_record_span_id);
    n += p->sample_type_count * sizeof(struct pw_record_type);
    for (uint32_t g = 0; g < src->group_count; g++) {
        const struct pw_record_group *group = &src->group[g];

        n += sizeof(struct pw_record_series) + 3 * SECTION_ALIGN;
        n += group->labels->count * sizeof(struct pw_record_label);
        for (uint32_t i = 0; i < group->labels->count; i++) {
            n += group->labels->pair[i].name.len + group->labels->pair[i].value.len;
        }
        n += group->sample_count *
             (sizeof(struct pw_record_sample) + p->sample_type_count * sizeof(int64_t));
    }
    return pw_align_up(n + 16 * SECTION_ALIGN, RECORD_ALIGN);
}

/* Room for n * size bytes, aligned; NULL when the record would be larger than cap or 4 GiB. */
static void *
section(struct writer *w, size_t n, size_t size, uint32_t *off)
{
    size_t at = pw_align_up(w->used, SECTION_ALIGN);
    size_t bytes = n * size; /* n comes from tables that fit memory, size is a small constant */

    if (at > w->cap || bytes > w->cap - at || at + bytes > UINT32_MAX) {
        return NULL;
    }
    w->used = at + bytes;
    *off = (uint32_t)at;
    return w->base + at;
}

static bool
put_text(struct writer *w, struct pw_slice s, struct pw_record_span *span)
{
    if (s.len > w->cap - w->used || w->used + s.len > UINT32_MAX) {
        return false;
    }
    *span = (struct pw_record_span){.off = (uint32_t)w->used, .len = (uint32_t)s.len};
    if (s.len != 0) {
        memcpy(w->base + w->used, s.ptr, s.len);
        w->used += s.len;
    }
    return true;
}

static bool
write_strings(struct writer *w)
{
    const struct pw_profile *p = w->src->profile;
    struct pw_record_string *out = section(w, p->string_count, sizeof(*out), &w->rec->strings_off);
    struct pw_record_span stretch;

    if (out == NULL || !put_text(w, p->string_stretch, &stretch)) {
        return false;
    }
    w->rec->strings_count = p->string_count;
    for (uint32_t i = 0; i < p->string_count; i++) {
        struct pw_slice s = p->string_table[i];
        uintptr_t at = (uintptr_t)s.ptr - (uintptr_t)p->string_stretch.ptr;
        struct pw_record_span own = {.off = stretch.off + (uint32_t)at};

        if (at >= p->string_stretch.len && !put_text(w, s, &own)) {
            return false;
        }
        out[i] = (struct pw_record_string){
            .off = own.off, .len = (uint32_t)s.len, .hash = p->string_hash[i]};
    }
    return true;
}

static bool
write_mappings(struct writer *w)
{
    const struct pw_profile *p = w->src->profile;
    struct pw_record_mapping *out =
        section(w, p->mapping_count, sizeof(*out), &w->rec->mappings_off);

    if (out == NULL) {
        return false;
    }
    w->rec->mappings_count = p->mapping_count;
    for (uint32_t i = 0; i < p->mapping_count; i++) {
        const struct pw_mapping *m = &p->mapping[i];

        out[i] = (struct pw_record_mapping){
            .memory_start = m->memory_start,
            .memory_limit = m->memory_limit,
            .file_offset = m->file_offset,
            .filename = (uint32_t)m->filename_ref,
            .build_id = (uint32_t)m->build_id_ref,
            .flags = (uint32_t)m->has_functions | (uint32_t)m->has_filenames << 1 |
                     (uint32_t)m->has_line_numbers << 2 | (uint32_t)m->has_inline_frames << 3,
            .hash = m->hash};
    }
    return true;
}

static bool
write_functions(struct writer *w)
{
    const struct pw_profile *p = w->src->profile;
    struct pw_record_function *out =
        section(w, p->function_count, sizeof(*out), &w->rec->functions_off);

    if (out == NULL) {
        return false;
    }
    w->rec->functions_count = p->function_count;
    for (uint32_t i = 0; i < p->function_count; i++) {
        const struct pw_function *f = &p->function[i];

        out[i] = (struct pw_record_function){.name = (uint32_t)f->name_ref,
                                             .system_name = (uint32_t)f->system_name_ref,
                                             .filename = (uint32_t)f->filename_ref,
                                             .start_line = f->start_line,
                                             .hash = f->hash};
    }
    return true;
}

static bool
write_locations(struct writer *w)
{
    const struct pw_profile *p = w->src->profile;
    struct pw_record_line *line = section(w, p->line_count, sizeof(*line), &w->rec->lines_off);
    struct pw_record_location *out =
        line == NULL ? NULL : section(w, p->location_count, sizeof(*out), &w->rec->locations_off);

    if (out == NULL) {
        return false;
    }
    w->rec->lines_count = p->line_count;
    w->rec->locations_count = p->location_count;
    for (uint32_t i = 0; i < p->line_count; i++) {
        /* Lines of dropped locations can still hold a wire id; nothing refers to them. */
        uint64_t f = p->line[i].function_id < p->function_count ? p->line[i].function_id : 0;

        line[i] = (struct pw_record_line){.function = (uint32_t)f, .line = p->line[i].line};
    }
    for (uint32_t i = 0; i < p->location_count; i++) {
        const struct pw_location *l = &p->location[i];

        out[i] = (struct pw_record_location){.address = l->address,
                                             .hash = l->hash,
                                             .mapping = (uint32_t)l->mapping_id,
                                             .line_first = l->line_first,
                                             .line_count = l->line_count,
                                             .is_folded = l->is_folded};
    }
    return true;
}

static bool
write_types(struct writer *w)
{
    const struct pw_profile *p = w->src->profile;
    struct pw_record_type *out = section(w, p->sample_type_count, sizeof(*out), &w->rec->types_off);
    bool ok = out != NULL;

    w->rec->types_count = (uint16_t)p->sample_type_count;
    for (uint32_t i = 0; ok && i < p->sample_type_count; i++) {
        ok = put_text(w, pw_profile_string(p, p->sample_type[i].type_ref), &out[i].type) &&
             put_text(w, pw_profile_string(p, p->sample_type[i].unit_ref), &out[i].unit);
    }
    return ok && put_text(w, pw_profile_string(p, p->period_type.type_ref), &w->rec->period_type) &&
           put_text(w, pw_profile_string(p, p->period_type.unit_ref), &w->rec->period_unit) &&
           put_text(w, w->src->tenant, &w->rec->tenant);
}

static bool
write_spans(struct writer *w)
{
    struct pw_record_span_id *out =
        section(w, w->src->span_count, sizeof(*out), &w->rec->spans_off);

    if (out == NULL) {
        return false;
    }
    w->rec->spans_count = w->src->span_count;
    if (w->src->span_count != 0) {
        memcpy(out, w->src->span, w->src->span_count * sizeof(*out));
    }
    return true;
}

/* Location ids of count entries from first on. */
static void
copy_locs(const struct pw_profile *p, uint32_t first, uint32_t count, uint8_t *out, uint32_t width)
{
    uint64_t *wide = p->loc_ids_wide;

    if (wide == NULL) { /* as wide as in the record: normalise widens what has more locations */
        memcpy(out, p->loc_ids + first, count * sizeof(uint16_t));
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (width == sizeof(uint16_t)) {
            ((uint16_t *)(void *)out)[i] = (uint16_t)wide[first + i];
        } else {
            ((uint32_t *)(void *)out)[i] = (uint32_t)wide[first + i];
        }
    }
}

/* Stacks the groups use, in the order they meet them; stacks that lie side by side are copied
 * together. */
static bool
write_stacks(struct writer *w)
{
    const struct pw_profile *p = w->src->profile;
    uint32_t width = p->location_count <= UINT16_MAX ? 2 : 4, count = 0, locs = 0;
    uint32_t from = 0, pending = 0; /* ids found, not yet copied */
    struct pw_record_stack *out = section(w, p->stack_count, sizeof(*out), &w->rec->stacks_off);
    uint8_t *loc =
        out == NULL ? NULL : section(w, p->loc_ids_count, sizeof(uint32_t), &w->rec->locs_off);

    if (loc == NULL) {
        return false;
    }
    for (uint32_t g = 0; g < w->src->group_count; g++) {
        const struct pw_record_group *group = &w->src->group[g];

        for (uint32_t i = 0; i < group->sample_count; i++) {
            uint32_t stack = p->sample[group->sample[i]].stack;
            const struct pw_stack *s = &p->stack[stack];

            if (w->stack_at[stack] != 0) {
                continue;
            }
            if (s->loc_first != from + pending) {
                copy_locs(p, from, pending, loc + (size_t)(locs - pending) * width, width);
                from = s->loc_first;
                pending = 0;
            }
            out[count] = (struct pw_record_stack){
                .hash = s->hash, .loc_first = locs, .loc_count = s->loc_count};
            locs += s->loc_count;
            pending += s->loc_count;
            w->stack_at[stack] = ++count;
        }
    }
    copy_locs(p, from, pending, loc + (size_t)(locs - pending) * width, width);
    w->rec->stacks_count = count;
    w->rec->locs_count = locs;
    w->rec->loc_bytes = width;
    w->used = w->rec->locs_off + (size_t)locs * width;
    return true;
}

static bool
write_labels(struct writer *w, const struct pw_labels *labels, struct pw_record_series *series)
{
    struct pw_record_label *out = section(w, labels->count, sizeof(*out), &series->labels_off);
    bool ok = out != NULL;

    series->labels_count = labels->count;
    for (uint32_t i = 0; ok && i < labels->count; i++) {
        ok = put_text(w, labels->pair[i].name, &out[i].name) &&
             put_text(w, labels->pair[i].value, &out[i].value);
    }
    return ok;
}

/* The place of (stack, span) among the n samples of this series: an earlier one or n. Tables are
 * shared by all series and not cleared in between: an entry counts only when it points at an equal
 * sample. */
static uint32_t
sample_place(struct writer *w, const struct pw_record_sample *out, uint32_t n,
             struct pw_record_sample x)
{
    uint64_t i;

    if (x.span == 0) {
        uint32_t at = w->sample_at[x.stack];

        if (at < n && out[at].stack == x.stack && out[at].span == 0) {
            return at;
        }
        w->sample_at[x.stack] = n;
        return n;
    }
    i = pw_hash_mix(w->src->profile->hash_key, (uint64_t)x.stack << 32 | x.span) & w->slot_mask;
    for (; w->sample_slot[i] != 0; i = (i + 1) & w->slot_mask) {
        uint32_t at = w->sample_slot[i] - 1;

        if (at < n && out[at].stack == x.stack && out[at].span == x.span) {
            return at;
        }
    }
    w->sample_slot[i] = n + 1;
    return n;
}

static bool
write_samples(struct writer *w, const struct pw_record_group *group,
              struct pw_record_series *series)
{
    const struct pw_profile *p = w->src->profile;
    uint32_t types = p->sample_type_count, n = 0;
    struct pw_record_sample *out =
        section(w, group->sample_count, sizeof(*out), &series->samples_off);
    int64_t *value = out == NULL ? NULL
                                 : section(w, (size_t)group->sample_count * types, sizeof(*value),
                                           &series->values_off);

    if (value == NULL) {
        return false;
    }
    if (group->span != NULL) {
        memset(w->sample_slot, 0, (w->slot_mask + 1) * sizeof(*w->sample_slot));
    }
    for (uint32_t i = 0; i < group->sample_count; i++) {
        const struct pw_sample *s = &p->sample[group->sample[i]];
        struct pw_record_sample x = {.stack = w->stack_at[s->stack] - 1,
                                     .span = group->span == NULL ? 0 : group->span[i]};
        uint32_t at = sample_place(w, out, n, x);
        uint64_t *to = (uint64_t *)value + (size_t)at * types;
        const int64_t *from = p->value + s->value_first;

        if (at == n) {
            out[n++] = x;
            memcpy(to, from, types * sizeof(*to));
            continue;
        }
        for (uint32_t t = 0; t < types; t++) {
            to[t] += (uint64_t)from[t];
        }
    }
    series->samples_count = n;
    w->used = series->values_off + (size_t)n * types * sizeof(*value);
    return true;
}

static bool
write_series(struct writer *w)
{
    const struct pw_profile *p = w->src->profile;
    struct pw_record_series *out =
        section(w, w->src->group_count, sizeof(*out), &w->rec->series_off);

    if (out == NULL) {
        return false;
    }
    w->rec->series_count = w->src->group_count;
    for (uint32_t g = 0; g < w->src->group_count; g++) {
        const struct pw_record_group *group = &w->src->group[g];
        uint64_t key = p->hash_key;

        out[g] = (struct pw_record_series){0};
        memcpy(out[g].uuid, group->uuid, sizeof(out[g].uuid));
        for (uint32_t i = 0; i < group->labels->count; i++) {
            const struct pw_label_pair *l = &group->labels->pair[i];

            key = pw_hash_mix(key, pw_hash_keyed(p->hash_key, l->name.ptr, l->name.len));
            key = pw_hash_mix(key, pw_hash_keyed(p->hash_key, l->value.ptr, l->value.len));
        }
        for (uint32_t t = 0; t < p->sample_type_count; t++) {
            key = pw_hash_mix(key, p->string_hash[p->sample_type[t].type_ref]);
            key = pw_hash_mix(key, p->string_hash[p->sample_type[t].unit_ref]);
        }
        out[g].key = pw_hash_mix(key, group->labels->count);
        if (!write_labels(w, group->labels, &out[g]) || !write_samples(w, group, &out[g])) {
            return false;
        }
    }
    return true;
}

/* Working memory for stacks and samples, from the profile's scratch and given back after. */
static bool
writer_tables(struct writer *w)
{
    struct pw_scratch *scratch = w->src->profile->scratch;
    uint32_t stacks = w->src->profile->stack_count, most = 0;
    uint64_t size = 16;

    for (uint32_t g = 0; g < w->src->group_count; g++) {
        most = w->src->group[g].sample_count > most ? w->src->group[g].sample_count : most;
    }
    while (size < 2ULL * most) { /* at most 33 turns */
        size *= 2;
    }
    w->slot_mask = size - 1;
    w->stack_at = pw_scratch_array(scratch, 2ULL * stacks, sizeof(*w->stack_at));
    w->sample_slot = pw_scratch_array(scratch, size, sizeof(*w->sample_slot));
    if (w->stack_at == NULL || w->sample_slot == NULL) {
        return false;
    }
    w->sample_at = w->stack_at + stacks;
    memset(w->stack_at, 0, 2ULL * stacks * sizeof(*w->stack_at));
    return true;
}

int64_t
pw_record_build(const struct pw_record_source *src, void *out, size_t cap)
{
    const struct pw_profile *p = src->profile;
    struct writer w = {.src = src, .rec = out, .base = out, .cap = cap, .used = sizeof(*w.rec)};
    size_t mark = p->scratch->used, bytes;
    bool ok;

    PW_INVARIANT(((uintptr_t)out & (RECORD_ALIGN - 1)) == 0);
    if (cap < sizeof(*w.rec)) {
        return PW_ENOSPC;
    }
    *w.rec = (struct pw_record){.version = PW_RECORD_VERSION,
                                .time_nanos = p->time_nanos,
                                .duration_nanos = p->duration_nanos,
                                .period = p->period,
                                .has_period_type = p->has_period_type};
    ok = writer_tables(&w) && write_strings(&w) && write_mappings(&w) && write_functions(&w) &&
         write_locations(&w) && write_types(&w) && write_spans(&w) && write_stacks(&w) &&
         write_series(&w);
    pw_scratch_rewind(p->scratch, mark);
    bytes = pw_align_up(w.used, RECORD_ALIGN);
    if (!ok || bytes > cap || bytes > UINT32_MAX) {
        return PW_ENOSPC;
    }
    memset(w.base + w.used, 0, bytes - w.used);
    w.rec->bytes = (uint32_t)bytes;
    return (int64_t)bytes;
}
