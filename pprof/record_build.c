/* Writes a record: the tables of the profile as they stand, indices unchanged, then the stacks and
 * series of the groups. Symbols that no sample of the groups uses stay in: leaving them out would
 * cost a pass over all of them and a renumbering, and the head never looks at them.
 *
 * Texts lie in the wire as a length and its bytes, and lists of locations as varints of ids that, in
 * all profiles but a few, are their indices plus one: both are copied as they are. */
#include "pprof/record.h"

#include "base/check.h"
#include "pprof/record_write.h"

enum { VARINT_MAX = 5, SECTIONS = 24, COPY_BLOCK = 64 };

static_assert((int)COPY_BLOCK <= (int)PW_RECORD_LOCS_SLACK, "what write_locs puts behind a list");
static_assert((int)COPY_BLOCK <= (int)PW_PROFILE_IDS_SLACK, "what write_locs reads behind a list");

struct pw_record_widths
pw_record_widths_of(const struct pw_profile *p)
{
    uint64_t refs = p->string_count | (uint64_t)p->function_count | p->line_count |
                    (2ULL * p->mapping_count + 1);
    uint32_t address = p->address_bits == 0 ? 0 : pw_record_width(p->address_bits, 4);

    return (struct pw_record_widths){.ref = pw_record_width(refs, 2),
                                     .number = pw_record_width(p->number_bits, 2),
                                     .address = address,
                                     .stack = pw_record_width(p->stack_count | p->depth_bits, 2)};
}

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
pw_record_texts_bytes_max(const struct pw_record_source *src)
{
    const struct pw_profile *p = src->profile;

    return src->tenant.len + type_text_bytes(p) + p->string_loose_bytes +
           (size_t)p->string_loose_count * VARINT_MAX;
}

size_t
pw_record_bytes_max(const struct pw_record_source *src)
{
    const struct pw_profile *p = src->profile;
    struct pw_record_widths width = pw_record_widths_of(p);
    size_t n = sizeof(struct pw_record) + pw_record_texts_bytes_max(src);

    n += p->string_count * sizeof(uint32_t) + p->string_stretch.len + VARINT_MAX;
    n += p->mapping_count * sizeof(struct pw_record_mapping);
    n += p->function_count * (3 * (size_t)width.ref + width.number);
    n += p->line_count * ((size_t)width.ref + width.number);
    n += p->location_count * (sizeof(uint64_t) + width.address + 2 * (size_t)width.ref) + width.ref;
    n += p->stack_count * (sizeof(uint64_t) + sizeof(uint32_t) + width.stack) + sizeof(uint32_t);
    n += p->stack_wire_bytes + PW_RECORD_LOCS_SLACK;
    n += src->raw == NULL ? 0 : src->raw->bytes;
    n += src->span_count * sizeof(struct pw_record_span_id);
    n += p->sample_type_count * sizeof(struct pw_record_type);
    n += pw_record_series_bytes_max(src, width.stack);
    return pw_align_up(n + (size_t)SECTIONS * PW_RECORD_SECTION_ALIGN, PW_RECORD_ALIGN);
}

static size_t
varint_put(uint8_t *to, uint32_t v)
{
    size_t n = 0;

    for (; v >= 0x80; v >>= 7) {
        to[n++] = (uint8_t)(v | 0x80);
    }
    to[n++] = (uint8_t)v;
    return n;
}

/* Whether the bytes before s are its length, as a record has it; then how many. */
static uint32_t
length_before(struct pw_slice s, size_t room)
{
    uint8_t want[VARINT_MAX];
    size_t n;

    if (PW_LIKELY(s.len < 0x80 && room > 0)) {
        return s.ptr[-1] == s.len;
    }
    n = varint_put(want, (uint32_t)s.len);
    return n <= room && memcmp(s.ptr - n, want, n) == 0 ? (uint32_t)n : 0;
}

/* A string that does not lie in the wire as it is, with its length. */
static bool
put_loose(struct pw_record_writer *w, struct pw_slice s, uint32_t *off)
{
    uint8_t head[VARINT_MAX];
    struct pw_record_span span;

    if (!pw_record_put_text(w, pw_slice(head, varint_put(head, (uint32_t)s.len)), &span)) {
        return false;
    }
    *off = span.off;
    return pw_record_put_text(w, s, &span);
}

static bool
fill_strings(struct pw_record_writer *w, size_t strings_at)
{
    const struct pw_profile *p = w->src->profile;
    uint32_t *out = w->at.strings;

    for (uint32_t i = 0; i < p->string_count; i++) {
        struct pw_slice s = pw_profile_text(p, i);
        uintptr_t at = (uintptr_t)s.ptr - (uintptr_t)p->string_stretch.ptr;
        uint32_t n;

        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 2048);
        if (PW_LIKELY(at <= p->string_stretch.len && (n = length_before(s, at)) != 0)) {
            out[i] = (uint32_t)(strings_at + at) - n;
        } else if (!put_loose(w, s, &out[i])) {
            return false;
        }
    }
    return true;
}

static void
fill_mappings(struct pw_record_writer *w)
{
    const struct pw_profile *p = w->src->profile;
    struct pw_record_mapping *out = w->at.mappings;

    for (uint32_t i = 0; i < p->mapping_count; i++) {
        const struct pw_mapping *m = &p->mapping[i];

        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 1024);
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
}

/* The loops over symbols, made once for the widths of most profiles and once for all others. */
static inline __attribute__((always_inline)) void
fill_columns(const struct pw_profile *p, const struct pw_record_columns *restrict c, uint32_t ref,
             uint32_t number, uint32_t address)
{
    uint32_t functions = p->function_count, lines = p->line_count, locations = p->location_count;
    const struct pw_function *f = p->function;
    const struct pw_line *line = p->line;
    const struct pw_location *l = p->location;

    for (uint32_t i = 0; i < functions; i++, f++) {
        pw_record_put_uint(c->function_refs, ref, 3 * (size_t)i, (uint64_t)f->name_ref);
        pw_record_put_uint(c->function_refs, ref, 3 * (size_t)i + 1, (uint64_t)f->system_name_ref);
        pw_record_put_uint(c->function_refs, ref, 3 * (size_t)i + 2, (uint64_t)f->filename_ref);
        pw_record_put_uint(c->start_lines, number, i, pw_profile_number(p, f->start_line));
        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 4096);
    }
    for (uint32_t i = 0; i < lines; i++, line++) {
        /* Lines of dropped locations can still hold a wire id; nothing refers to them. */
        uint64_t function = line->function < functions ? line->function : 0;

        pw_record_put_uint(c->line_functions, ref, i, function);
        pw_record_put_uint(c->line_numbers, number, i, pw_profile_number(p, line->line));
        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 4096);
    }
    for (uint32_t i = 0; i < locations; i++, l++) {
        c->location_hashes[i] = p->location_id[i];
        pw_record_put_uint(c->addresses, address, i, pw_profile_number(p, l->address));
        pw_record_put_uint(c->location_lines, ref, i, l->line_first);
        pw_record_put_uint(c->location_mappings, ref, i, 2 * (uint64_t)l->mapping + l->is_folded);
        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 4096);
    }
    pw_record_put_uint(c->location_lines, ref, locations, lines);
}

static void
fill_symbols(struct pw_record_writer *w)
{
    const struct pw_profile *p = w->src->profile;
    const struct pw_record_columns *c = &w->at.columns;
    struct pw_record_widths width = pw_record_widths_of(p);

    if (width.ref == 2 && width.number == 2 && width.address == 0) {
        fill_columns(p, c, 2, 2, 0);
    } else if (width.ref == 2 && width.number == 2 && width.address == 8) {
        fill_columns(p, c, 2, 2, 8);
    } else {
        fill_columns(p, c, width.ref, width.number, width.address);
    }
}

static bool
take_columns(struct pw_record_writer *w, const struct pw_record_widths *width)
{
    const struct pw_profile *p = w->src->profile;
    struct pw_record *r = w->rec;
    struct pw_record_columns *c = &w->at.columns;

    *c = (struct pw_record_columns){
        .location_hashes =
            pw_record_section(w, p->location_count, sizeof(uint64_t), &r->location_hashes_off),
        .addresses = pw_record_section(w, p->location_count, width->address, &r->addresses_off),
        .start_lines = pw_record_section(w, p->function_count, width->number, &r->start_lines_off),
        .line_numbers = pw_record_section(w, p->line_count, width->number, &r->line_numbers_off),
        .function_refs =
            pw_record_section(w, 3 * (size_t)p->function_count, width->ref, &r->functions_off),
        .line_functions = pw_record_section(w, p->line_count, width->ref, &r->line_functions_off),
        .location_lines =
            pw_record_section(w, (size_t)p->location_count + 1, width->ref, &r->location_lines_off),
        .location_mappings =
            pw_record_section(w, p->location_count, width->ref, &r->location_mappings_off),
    };
    return c->location_hashes && c->addresses && c->start_lines && c->line_numbers &&
           c->function_refs && c->line_functions && c->location_lines && c->location_mappings;
}

bool
pw_record_take_tables(struct pw_record_writer *w)
{
    const struct pw_profile *p = w->src->profile;
    struct pw_record *r = w->rec;
    struct pw_record_widths width = pw_record_widths_of(p);
    struct pw_record_tables *t = &w->at;
    uint32_t stacks = r->stacks_count;

    r->ref_bytes = (uint8_t)width.ref;
    r->number_bytes = (uint8_t)width.number;
    r->address_bytes = (uint8_t)width.address;
    r->stack_bytes = (uint8_t)width.stack;
    r->strings_count = p->string_count;
    r->mappings_count = p->mapping_count;
    r->functions_count = p->function_count;
    r->lines_count = p->line_count;
    r->locations_count = p->location_count;
    r->types_count = (uint16_t)p->sample_type_count;
    if (!take_columns(w, &width)) {
        return false;
    }
    t->stack_hashes = pw_record_section(w, stacks, sizeof(uint64_t), &r->stack_hashes_off);
    t->strings = pw_record_section(w, p->string_count, sizeof(*t->strings), &r->strings_off);
    t->stack_locs = pw_record_section(w, (size_t)stacks + 1, sizeof(uint32_t), &r->stack_locs_off);
    t->stack_depths = pw_record_section(w, stacks, width.stack, &r->stack_depths_off);
    t->mappings = pw_record_section(w, p->mapping_count, sizeof(*t->mappings), &r->mappings_off);
    t->types = pw_record_section(w, p->sample_type_count, sizeof(*t->types), &r->types_off);
    return t->stack_hashes && t->strings && t->stack_locs && t->stack_depths && t->mappings &&
           t->types;
}

static bool
fill_types(struct pw_record_writer *w)
{
    const struct pw_profile *p = w->src->profile;
    struct pw_record_type *out = w->at.types;
    bool ok = true;

    for (uint32_t i = 0; ok && i < p->sample_type_count; i++) {
        struct pw_value_type t = p->sample_type[i];

        ok = pw_record_put_text(w, pw_profile_string(p, t.type_ref), &out[i].type) &&
             pw_record_put_text(w, pw_profile_string(p, t.unit_ref), &out[i].unit);
    }
    return ok &&
           pw_record_put_text(w, pw_profile_string(p, p->period_type.type_ref),
                              &w->rec->period_type) &&
           pw_record_put_text(w, pw_profile_string(p, p->period_type.unit_ref),
                              &w->rec->period_unit) &&
           pw_record_put_text(w, w->src->tenant, &w->rec->tenant);
}

bool
pw_record_fill_tables(struct pw_record_writer *w, size_t strings_at)
{
    if (!fill_strings(w, strings_at)) {
        return false;
    }
    fill_mappings(w);
    fill_symbols(w);
    return fill_types(w);
}

static bool
write_spans(struct pw_record_writer *w)
{
    struct pw_record_span_id *out =
        pw_record_section(w, w->src->span_count, sizeof(*out), &w->rec->spans_off);

    if (out == NULL) {
        return false;
    }
    w->rec->spans_count = w->src->span_count;
    if (w->src->span_count != 0) {
        memcpy(out, w->src->span, w->src->span_count * sizeof(*out));
    }
    return true;
}

/* Numbers the stacks the groups use, in the order they meet them. */
static void
number_stacks(struct pw_record_writer *w)
{
    const struct pw_profile *p = w->src->profile;
    uint32_t count = 0;

    if (w->straight) {
        w->rec->stacks_count = p->stack_count;
        return;
    }
    for (uint32_t g = 0; g < w->src->group_count; g++) {
        const struct pw_record_group *group = &w->src->group[g];

        for (uint32_t i = 0; i < group->sample_count; i++) {
            uint32_t stack = pw_profile_stack_of(p, pw_record_sample_of(group, i));

            PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 2048);
            if (w->stack_at[stack] == 0) {
                w->stack_from[count] = stack;
                w->stack_at[stack] = ++count;
            }
        }
    }
    w->rec->stacks_count = count;
}

/* Stack i of the record. */
static inline const struct pw_stack *
stack_at(const struct pw_record_writer *w, uint32_t i)
{
    return &w->src->profile->stack[w->straight ? i : w->stack_from[i]];
}

/* The list of one stack to `to`, behind which there are COPY_BLOCK bytes to spill over; its end. */
static uint8_t *
write_locs(const struct pw_profile *p, const struct pw_stack *s, uint8_t *to)
{
    const uint8_t *from = pw_profile_ids(p, s);

    if (PW_UNLIKELY(!pw_profile_ids_roomy(p, s))) {
        memcpy(to, from, s->ids_len);
        return to + s->ids_len;
    }
    memcpy(to, from, COPY_BLOCK); /* most lists end here; a loop would not be guessed right */
    for (uint32_t i = COPY_BLOCK; i < s->ids_len; i += COPY_BLOCK) {
        memcpy(to + i, from + i, COPY_BLOCK);
    }
    return to + s->ids_len;
}

static bool
write_stacks(struct pw_record_writer *w)
{
    const struct pw_profile *p = w->src->profile;
    struct pw_record *r = w->rec;
    uint32_t n = r->stacks_count, width = r->stack_bytes;
    size_t bytes = w->straight ? p->stack_wire_bytes : 0;
    uint32_t *at = w->at.stack_locs;
    uint8_t *first, *to;

    for (uint32_t i = 0; i < n && !w->straight; i++) {
        bytes += stack_at(w, i)->ids_len;
        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 4096);
    }
    first = to = pw_record_section(w, bytes + PW_RECORD_LOCS_SLACK, 1, &r->locs_off);
    if (first == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < n; i++) {
        const struct pw_stack *s = stack_at(w, i);

        w->at.stack_hashes[i] = p->stack_hash[w->straight ? i : w->stack_from[i]];
        at[i] = (uint32_t)(to - first);
        pw_record_put_uint(w->at.stack_depths, width, i, s->loc_count);
        to = write_locs(p, s, to);
        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 128);
    }
    at[n] = (uint32_t)(to - first);
    r->locs_bytes = at[n];
    PW_INVARIANT(r->locs_bytes <= bytes);
    memset(to, 0, PW_RECORD_LOCS_SLACK); /* nothing of what lay behind the lists leaves with it */
    w->used = r->locs_off + (size_t)r->locs_bytes + PW_RECORD_LOCS_SLACK;
    return true;
}

/* Working memory for stacks and samples, from the profile's scratch and given back after. */
static bool
writer_tables(struct pw_record_writer *w)
{
    struct pw_scratch *scratch = w->src->profile->scratch;
    uint32_t stacks = w->src->profile->stack_count, most = 0;
    uint64_t size = 16;

    if (w->straight) {
        return true;
    }
    for (uint32_t g = 0; g < w->src->group_count; g++) {
        const struct pw_record_group *group = &w->src->group[g];

        most = group->span != NULL && group->sample_count > most ? group->sample_count : most;
    }
    while (size < 2ULL * most) { /* at most 33 turns */
        size *= 2;
    }
    w->slot_mask = size - 1;
    w->stack_at = pw_scratch_array(scratch, 3ULL * stacks, sizeof(*w->stack_at));
    w->sample_slot = pw_scratch_array(scratch, size, sizeof(*w->sample_slot));
    if (w->stack_at == NULL || w->sample_slot == NULL) {
        return false;
    }
    w->sample_at = w->stack_at + stacks;
    w->stack_from = w->sample_at + stacks;
    pw_fiber_clear(scratch->fiber, w->stack_at, 2ULL * stacks * sizeof(*w->stack_at));
    return true;
}

/* Samples of a profile without label sets are merged by their stacks: each has one of its own, in
 * order. */
bool
pw_record_is_straight(const struct pw_record_source *src)
{
    const struct pw_profile *p = src->profile;

    return src->group_count == 1 && src->group->sample == NULL && src->group->span == NULL &&
           src->group->sample_count == p->sample_count && p->stack_count == p->sample_count &&
           p->label_set_count == 1;
}

static bool
write_raw(struct pw_record_writer *w)
{
    const struct pw_record_raw *raw = w->src->raw;
    struct pw_record *r = w->rec;

    if (raw == NULL) {
        return true;
    }
    uint8_t *out = pw_record_section(w, raw->bytes, 1, &r->raw_off);

    if (out == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < raw->piece_count; i++) {
        memcpy(out, raw->piece[i].ptr, raw->piece[i].len);
        out += raw->piece[i].len;
    }
    r->raw_bytes = (uint32_t)raw->bytes;
    r->raw_depth_max = raw->depth_max;
    r->raw_symbol_max = raw->symbol_max;
    r->raw_go = raw->go;
    return true;
}

void
pw_record_head(struct pw_record_writer *w)
{
    const struct pw_profile *p = w->src->profile;

    *w->rec = (struct pw_record){.version = PW_RECORD_VERSION,
                                 .time_nanos = p->time_nanos,
                                 .duration_nanos = p->duration_nanos,
                                 .period = p->period,
                                 .has_period_type = p->has_period_type};
}

int64_t
pw_record_build(const struct pw_record_source *src, void *out, size_t cap)
{
    const struct pw_profile *p = src->profile;
    struct pw_record_writer w = {.src = src,
                                 .rec = out,
                                 .base = out,
                                 .cap = cap,
                                 .used = sizeof(*w.rec),
                                 .straight = pw_record_is_straight(src)};
    size_t mark = p->scratch->used, bytes;
    struct pw_record_span stretch;
    bool ok;

    PW_INVARIANT(((uintptr_t)out & (PW_RECORD_ALIGN - 1)) == 0);
    if (cap < sizeof(*w.rec)) {
        return PW_ENOSPC;
    }
    pw_record_head(&w);
    ok = writer_tables(&w);
    if (ok) {
        number_stacks(&w);
        ok = pw_record_take_tables(&w) && write_stacks(&w) &&
             pw_record_put_text(&w, p->string_stretch, &stretch) &&
             pw_record_fill_tables(&w, stretch.off) && write_spans(&w) &&
             pw_record_write_series(&w) && write_raw(&w);
    }
    pw_scratch_rewind(p->scratch, mark);
    bytes = pw_align_up(w.used, PW_RECORD_ALIGN);
    if (!ok || bytes > cap || bytes > UINT32_MAX) {
        return PW_ENOSPC;
    }
    memset(w.base + w.used, 0, bytes - w.used);
    w.rec->bytes = (uint32_t)bytes;
    return (int64_t)bytes;
}
