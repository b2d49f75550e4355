/* Is every offset, count and index of a record inside its bounds. Sections may overlap: that can
 * make content wrong but never memory unsafe. */
#include "pprof/record.h"

struct range {
    const struct pw_record *r;
    size_t len;
};

static bool
section_fits(const struct range *in, uint32_t off, uint64_t count, size_t size)
{
    return off % 8 == 0 && off <= in->len && count <= (in->len - off) / size;
}

static bool
span_fits(const struct range *in, struct pw_record_span s)
{
    return s.off <= in->len && s.len <= in->len - s.off;
}

static bool
window_fits(uint32_t first, uint32_t count, uint32_t total)
{
    return first <= total && count <= total - first;
}

static bool
strings_ok(const struct range *in)
{
    const struct pw_record *r = in->r;
    const struct pw_record_string *s;

    if (!section_fits(in, r->strings_off, r->strings_count, sizeof(*s))) {
        return false;
    }
    s = PW_RECORD_AT(r, struct pw_record_string, r->strings_off);
    for (uint32_t i = 0; i < r->strings_count; i++) {
        if (!span_fits(in, (struct pw_record_span){.off = s[i].off, .len = s[i].len})) {
            return false;
        }
    }
    return true;
}

static bool
functions_ok(const struct range *in)
{
    const struct pw_record *r = in->r;
    const struct pw_record_mapping *m;
    const struct pw_record_function *f;

    if (!section_fits(in, r->mappings_off, r->mappings_count, sizeof(*m)) ||
        !section_fits(in, r->functions_off, r->functions_count, sizeof(*f))) {
        return false;
    }
    m = PW_RECORD_AT(r, struct pw_record_mapping, r->mappings_off);
    for (uint32_t i = 0; i < r->mappings_count; i++) {
        if (m[i].filename >= r->strings_count || m[i].build_id >= r->strings_count) {
            return false;
        }
    }
    f = PW_RECORD_AT(r, struct pw_record_function, r->functions_off);
    for (uint32_t i = 0; i < r->functions_count; i++) {
        if (f[i].name >= r->strings_count || f[i].system_name >= r->strings_count ||
            f[i].filename >= r->strings_count) {
            return false;
        }
    }
    return true;
}

static bool
locations_ok(const struct range *in)
{
    const struct pw_record *r = in->r;
    const struct pw_record_line *line;
    const struct pw_record_location *l;

    if (!section_fits(in, r->lines_off, r->lines_count, sizeof(*line)) ||
        !section_fits(in, r->locations_off, r->locations_count, sizeof(*l))) {
        return false;
    }
    line = PW_RECORD_AT(r, struct pw_record_line, r->lines_off);
    for (uint32_t i = 0; i < r->lines_count; i++) {
        /* A line that no location uses can stand in a record without functions. */
        if (line[i].function >= r->functions_count && line[i].function != 0) {
            return false;
        }
    }
    l = PW_RECORD_AT(r, struct pw_record_location, r->locations_off);
    for (uint32_t i = 0; i < r->locations_count; i++) {
        if (l[i].mapping >= r->mappings_count ||
            !window_fits(l[i].line_first, l[i].line_count, r->lines_count) ||
            (l[i].line_count != 0 && r->functions_count == 0)) {
            return false;
        }
    }
    return true;
}

static bool
stacks_ok(const struct range *in)
{
    const struct pw_record *r = in->r;
    const struct pw_record_stack *s;
    const uint8_t *loc = (const uint8_t *)r + r->locs_off;

    if ((r->loc_bytes != 2 && r->loc_bytes != 4) ||
        !section_fits(in, r->locs_off, r->locs_count, r->loc_bytes) ||
        !section_fits(in, r->stacks_off, r->stacks_count, sizeof(*s))) {
        return false;
    }
    for (uint32_t i = 0; i < r->locs_count; i++) {
        uint32_t l = r->loc_bytes == 2 ? ((const uint16_t *)(const void *)loc)[i]
                                       : ((const uint32_t *)(const void *)loc)[i];

        if (l >= r->locations_count) {
            return false;
        }
    }
    s = PW_RECORD_AT(r, struct pw_record_stack, r->stacks_off);
    for (uint32_t i = 0; i < r->stacks_count; i++) {
        if (!window_fits(s[i].loc_first, s[i].loc_count, r->locs_count)) {
            return false;
        }
    }
    return true;
}

static bool
types_ok(const struct range *in)
{
    const struct pw_record *r = in->r;
    const struct pw_record_type *t;

    if (r->types_count > PW_PROFILE_TYPES_MAX ||
        !section_fits(in, r->types_off, r->types_count, sizeof(*t)) ||
        !section_fits(in, r->spans_off, r->spans_count, sizeof(struct pw_record_span_id)) ||
        !span_fits(in, r->tenant) || !span_fits(in, r->period_type) ||
        !span_fits(in, r->period_unit)) {
        return false;
    }
    t = PW_RECORD_AT(r, struct pw_record_type, r->types_off);
    for (uint32_t i = 0; i < r->types_count; i++) {
        if (!span_fits(in, t[i].type) || !span_fits(in, t[i].unit)) {
            return false;
        }
    }
    return true;
}

static bool
one_series_ok(const struct range *in, const struct pw_record_series *s)
{
    const struct pw_record *r = in->r;
    const struct pw_record_label *l;
    const struct pw_record_sample *x;

    if (!section_fits(in, s->labels_off, s->labels_count, sizeof(*l)) ||
        !section_fits(in, s->samples_off, s->samples_count, sizeof(*x)) ||
        !section_fits(in, s->values_off, (uint64_t)s->samples_count * r->types_count,
                      sizeof(int64_t))) {
        return false;
    }
    l = PW_RECORD_AT(r, struct pw_record_label, s->labels_off);
    for (uint32_t i = 0; i < s->labels_count; i++) {
        if (!span_fits(in, l[i].name) || !span_fits(in, l[i].value)) {
            return false;
        }
    }
    x = PW_RECORD_AT(r, struct pw_record_sample, s->samples_off);
    for (uint32_t i = 0; i < s->samples_count; i++) {
        if (x[i].stack >= r->stacks_count || x[i].span > r->spans_count) {
            return false;
        }
    }
    return true;
}

static bool
series_ok(const struct range *in)
{
    const struct pw_record *r = in->r;
    const struct pw_record_series *s;

    if (!section_fits(in, r->series_off, r->series_count, sizeof(*s))) {
        return false;
    }
    s = PW_RECORD_AT(r, struct pw_record_series, r->series_off);
    for (uint32_t i = 0; i < r->series_count; i++) {
        if (!one_series_ok(in, &s[i])) {
            return false;
        }
    }
    return true;
}

int
pw_record_check(const void *data, size_t len)
{
    const struct pw_record *r = data;
    struct range in = {.r = r, .len = len};

    if (((uintptr_t)data & 7) != 0 || len < sizeof(*r) || r->bytes != len || r->bytes % 16 != 0 ||
        r->version != PW_RECORD_VERSION) {
        return PW_EINVAL;
    }
    return strings_ok(&in) && functions_ok(&in) && locations_ok(&in) && stacks_ok(&in) &&
                   types_ok(&in) && series_ok(&in)
               ? 0
               : PW_EINVAL;
}
