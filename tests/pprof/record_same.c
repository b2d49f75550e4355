#include "tests/pprof/record_same.h"

#include <stdlib.h>

#define SAME(cond)                                                                                 \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            return #cond;                                                                          \
        }                                                                                          \
    } while (0)

static bool
same_span(const struct pw_record *a, struct pw_record_span sa, const struct pw_record *b,
          struct pw_record_span sb)
{
    return pw_slice_eq(pw_record_slice(a, sa), pw_record_slice(b, sb));
}

static const char *
heads_differ(const struct pw_record *a, const struct pw_record *b)
{
    const struct pw_record_type *ta = PW_RECORD_AT(a, struct pw_record_type, a->types_off);
    const struct pw_record_type *tb = PW_RECORD_AT(b, struct pw_record_type, b->types_off);

    SAME(a->version == b->version && a->types_count == b->types_count);
    SAME(a->time_nanos == b->time_nanos && a->duration_nanos == b->duration_nanos);
    SAME(a->period == b->period && a->has_period_type == b->has_period_type);
    SAME(same_span(a, a->tenant, b, b->tenant));
    SAME(same_span(a, a->period_type, b, b->period_type));
    SAME(same_span(a, a->period_unit, b, b->period_unit));
    for (uint32_t i = 0; i < a->types_count; i++) {
        SAME(same_span(a, ta[i].type, b, tb[i].type) && same_span(a, ta[i].unit, b, tb[i].unit));
    }
    SAME(a->raw_bytes == b->raw_bytes && a->raw_depth_max == b->raw_depth_max);
    SAME(a->raw_symbol_max == b->raw_symbol_max && a->raw_go == b->raw_go);
    SAME(memcmp((const uint8_t *)a + a->raw_off, (const uint8_t *)b + b->raw_off, a->raw_bytes) ==
         0);
    return NULL;
}

static const char *
symbols_differ(const struct pw_record *a, const struct pw_record *b)
{
    const struct pw_record_mapping *ma = PW_RECORD_AT(a, struct pw_record_mapping, a->mappings_off);
    const struct pw_record_mapping *mb = PW_RECORD_AT(b, struct pw_record_mapping, b->mappings_off);

    SAME(a->strings_count == b->strings_count && a->mappings_count == b->mappings_count);
    SAME(a->functions_count == b->functions_count && a->lines_count == b->lines_count);
    SAME(a->locations_count == b->locations_count);
    for (uint32_t i = 0; i < a->strings_count; i++) {
        SAME(pw_slice_eq(pw_record_string(a, i), pw_record_string(b, i)));
    }
    SAME(memcmp(ma, mb, a->mappings_count * sizeof(*ma)) == 0);
    for (uint32_t i = 0; i < a->functions_count; i++) {
        struct pw_record_function fa = pw_record_function(a, i), fb = pw_record_function(b, i);

        SAME(fa.name == fb.name && fa.system_name == fb.system_name);
        SAME(fa.filename == fb.filename && fa.start_line == fb.start_line);
    }
    for (uint32_t i = 0; i < a->lines_count; i++) {
        struct pw_record_line la = pw_record_line(a, i), lb = pw_record_line(b, i);

        SAME(la.function == lb.function && la.line == lb.line);
    }
    for (uint32_t i = 0; i < a->locations_count; i++) {
        struct pw_record_location la = pw_record_location(a, i), lb = pw_record_location(b, i);

        SAME(pw_record_location_hash(a, i) == pw_record_location_hash(b, i));
        SAME(la.address == lb.address && la.mapping == lb.mapping && la.is_folded == lb.is_folded);
        SAME(la.line_first == lb.line_first && la.line_count == lb.line_count);
    }
    return NULL;
}

static const char *
stacks_differ(const struct pw_record *a, const struct pw_record *b)
{
    SAME(a->stacks_count == b->stacks_count && a->locs_bytes == b->locs_bytes);
    for (uint32_t i = 0; i < a->stacks_count; i++) {
        uint32_t depth = pw_record_stack_depth(a, i);
        uint32_t *la = malloc((depth + 1) * sizeof(*la)), *lb = malloc((depth + 1) * sizeof(*lb));
        bool same;

        SAME(la != NULL && lb != NULL && depth == pw_record_stack_depth(b, i));
        pw_record_stack_locs(a, i, la);
        pw_record_stack_locs(b, i, lb);
        same = memcmp(la, lb, depth * sizeof(*la)) == 0;
        free(la);
        free(lb);
        SAME(same && pw_record_stack_hash(a, i) == pw_record_stack_hash(b, i));
    }
    return NULL;
}

static const char *
series_differ(const struct pw_record *a, const struct pw_record_series *sa,
              const struct pw_record *b, const struct pw_record_series *sb)
{
    const struct pw_record_label *la = PW_RECORD_AT(a, struct pw_record_label, sa->labels_off);
    const struct pw_record_label *lb = PW_RECORD_AT(b, struct pw_record_label, sb->labels_off);

    SAME(memcmp(sa->uuid, sb->uuid, sizeof(sa->uuid)) == 0 && sa->key == sb->key);
    SAME(sa->labels_count == sb->labels_count && sa->samples_count == sb->samples_count);
    for (uint32_t i = 0; i < sa->labels_count; i++) {
        SAME(same_span(a, la[i].name, b, lb[i].name) && same_span(a, la[i].value, b, lb[i].value));
    }
    for (uint32_t i = 0; i < sa->samples_count; i++) {
        SAME(pw_record_sample_stack(a, sa, i) == pw_record_sample_stack(b, sb, i));
        SAME(pw_record_sample_span(a, sa, i) == pw_record_sample_span(b, sb, i));
        for (uint32_t t = 0; t < a->types_count; t++) {
            SAME(pw_record_value(a, sa, i, t) == pw_record_value(b, sb, i, t));
        }
    }
    return NULL;
}

const char *
record_difference(const struct pw_record *a, const struct pw_record *b)
{
    const char *what = heads_differ(a, b);

    what = what != NULL ? what : symbols_differ(a, b);
    what = what != NULL ? what : stacks_differ(a, b);
    if (what != NULL) {
        return what;
    }
    SAME(a->series_count == b->series_count && a->spans_count == b->spans_count);
    for (uint32_t i = 0; what == NULL && i < a->series_count; i++) {
        what = series_differ(a, &PW_RECORD_AT(a, struct pw_record_series, a->series_off)[i], b,
                             &PW_RECORD_AT(b, struct pw_record_series, b->series_off)[i]);
    }
    return what;
}

bool
record_place_parse(struct pw_record_place *at, size_t cap, uint8_t fill, struct pw_slice body,
                   struct pw_slice raw, struct pw_scratch *scratch, struct pw_profile *p)
{
    const char *text;
    void *base = NULL;

    cap = cap == 0 ? pw_record_place_bytes(body.len, raw.len) : cap;
    if (posix_memalign(&base, 16, cap) !=
        0) { /* of that length exactly: sanitizers watch its end */
        return false;
    }
    *at = (struct pw_record_place){.base = base, .cap = cap, .body_bytes = body.len};
    memset(at->base, fill, cap);
    memcpy(pw_record_place_body(at), body.ptr, body.len);
    memcpy(pw_record_place_unpacked(at), raw.ptr, raw.len);
    return pw_profile_parse(p, scratch, 42, pw_slice(pw_record_place_unpacked(at), raw.len),
                            &text) == 0;
}

void
record_whole_init(struct record_whole *w, const struct pw_profile *p, struct pw_slice body)
{
    *w = (struct record_whole){
        .piece = body,
        .raw = {.piece_count = 1, .depth_max = 7, .symbol_max = 9, .bytes = body.len, .go = true},
        .pair = {{PW_SLICE_LIT("__name__"), PW_SLICE_LIT("process_cpu")},
                 {PW_SLICE_LIT("service_name"), PW_SLICE_LIT("checkout")}},
        .labels = {.count = 2, .cap = 2},
        .group = {.uuid = {1, 2, 3}, .sample_count = p->sample_count},
        .src = {.profile = p, .tenant = PW_SLICE_LIT("team"), .group_count = 1},
    };
    w->raw.piece = &w->piece;
    w->labels.pair = w->pair;
    w->group.labels = &w->labels;
    w->src.group = &w->group;
    w->src.raw = &w->raw;
}
