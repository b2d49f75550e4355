/* Is every offset, count and index of a record inside its bounds. Sections may overlap: that can
 * make content wrong but never memory unsafe. */
#include "pprof/record.h"

#include <immintrin.h>

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

/* A column of refs, numbers or the like: where it lies, and each entry below a bound. */
static bool
column_fits(const struct range *in, uint32_t off, uint64_t count, uint32_t width)
{
    return width == 0 ? off <= in->len : section_fits(in, off, count, width);
}

static bool
refs_below(const struct range *in, uint32_t off, uint64_t count, uint64_t bound)
{
    if (!column_fits(in, off, count, in->r->ref_bytes)) {
        return false;
    }
    for (uint64_t i = 0; i < count; i++) {
        if (pw_record_ref(in->r, off, i) >= bound) {
            return false;
        }
    }
    return true;
}

/* The varint at *at, of at most 32 bits, which ends before end. */
static bool
varint_ok(const uint8_t *base, size_t *at, size_t end, uint32_t *v)
{
    uint64_t sum = 0;

    for (uint32_t shift = 0; shift < 35 && *at < end; shift += 7) {
        uint8_t b = base[(*at)++];

        sum |= (uint64_t)(b & 0x7F) << shift;
        if (b < 0x80) {
            *v = (uint32_t)sum;
            return sum <= UINT32_MAX;
        }
    }
    return false;
}

static bool
widths_ok(const struct pw_record *r)
{
    return (r->ref_bytes == 2 || r->ref_bytes == 4) &&
           (r->number_bytes == 2 || r->number_bytes == 4 || r->number_bytes == 8) &&
           (r->address_bytes == 0 || r->address_bytes == 4 || r->address_bytes == 8) &&
           (r->stack_bytes == 2 || r->stack_bytes == 4);
}

static bool
strings_ok(const struct range *in)
{
    const struct pw_record *r = in->r;

    if (!section_fits(in, r->strings_off, r->strings_count, sizeof(uint32_t))) {
        return false;
    }
    for (uint32_t i = 0; i < r->strings_count; i++) {
        size_t at = PW_RECORD_AT(r, uint32_t, r->strings_off)[i];
        uint32_t len;

        if (!varint_ok((const uint8_t *)r, &at, in->len, &len) || len > in->len - at) {
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

    if (!section_fits(in, r->mappings_off, r->mappings_count, sizeof(*m)) ||
        !column_fits(in, r->start_lines_off, r->functions_count, r->number_bytes) ||
        !refs_below(in, r->functions_off, 3ULL * r->functions_count, r->strings_count)) {
        return false;
    }
    m = PW_RECORD_AT(r, struct pw_record_mapping, r->mappings_off);
    for (uint32_t i = 0; i < r->mappings_count; i++) {
        if (m[i].filename >= r->strings_count || m[i].build_id >= r->strings_count) {
            return false;
        }
    }
    return true;
}

static bool
locations_ok(const struct range *in)
{
    const struct pw_record *r = in->r;
    uint64_t n = r->locations_count;

    /* A line that no location uses can stand in a record without functions. */
    if (!refs_below(in, r->line_functions_off, r->lines_count,
                    r->functions_count == 0 ? 1 : r->functions_count) ||
        !column_fits(in, r->line_numbers_off, r->lines_count, r->number_bytes) ||
        !section_fits(in, r->location_hashes_off, n, sizeof(uint64_t)) ||
        !column_fits(in, r->addresses_off, n, r->address_bytes) ||
        !refs_below(in, r->location_mappings_off, n, 2ULL * r->mappings_count) ||
        !refs_below(in, r->location_lines_off, n + 1, r->lines_count + 1ULL)) {
        return false;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (pw_record_ref(r, r->location_lines_off, i) >
            pw_record_ref(r, r->location_lines_off, i + 1ULL)) {
            return false;
        }
    }
    return true;
}

/* Where a reader of whole stacks meets an unseen location it looks at its functions. */
static bool
location_ok(const struct range *in, uint32_t v)
{
    const struct pw_record *r = in->r;

    return v - 1 < r->locations_count &&
           (r->functions_count != 0 || pw_record_location(r, v - 1).line_count == 0);
}

/* Whether [at, end) of the lists is `depth` varints of locations and nothing else. */
static bool
list_ok_slow(const struct range *in, size_t at, size_t end, uint32_t depth)
{
    const uint8_t *locs = (const uint8_t *)in->r + in->r->locs_off;

    for (uint32_t d = 0; d < depth; d++) {
        uint32_t v;

        if (!varint_ok(locs, &at, end, &v) || !location_ok(in, v)) {
            return false;
        }
    }
    return at == end;
}

/* One bit a byte of p[0..31]: whether the varint of one or two bytes that begins there is 1..count. */
static uint32_t
locations_at(const uint8_t *p, uint32_t count)
{
    const __m256i most = _mm256_set1_epi16((int16_t)(count - 1));
    uint32_t ok[2];

    for (int half = 0; half < 2; half++) {
        __m256i b = _mm256_cvtepu8_epi16(_mm_loadu_si128((const void *)(p + 16 * half)));
        __m256i next = _mm256_cvtepu8_epi16(_mm_loadu_si128((const void *)(p + 16 * half + 1)));
        __m256i more = _mm256_srai_epi16(_mm256_slli_epi16(b, 8), 15);
        __m256i v = _mm256_or_si256(_mm256_and_si256(b, _mm256_set1_epi16(0x7F)),
                                    _mm256_slli_epi16(_mm256_and_si256(next, more), 7));
        __m256i at = _mm256_sub_epi16(v, _mm256_set1_epi16(1));
        __m256i fits = _mm256_cmpeq_epi16(_mm256_min_epu16(at, most), at);

        fits = _mm256_packs_epi16(fits, fits); /* the low half of each lane, twice */
        ok[half] = (uint32_t)_mm256_movemask_epi8(_mm256_permute4x64_epi64(fits, 0x08)) & 0xFFFF;
    }
    return ok[0] | ok[1] << 16;
}

/* The same for varints of one and two bytes, which most of a record is, 32 bytes a turn. Reads as far
 * as PW_RECORD_LOCS_SLACK behind the lists. */
static bool
list_ok(const struct range *in, size_t at, size_t end, uint32_t depth)
{
    const struct pw_record *r = in->r;
    const uint8_t *locs = (const uint8_t *)r + r->locs_off;
    uint32_t more_before = 0; /* the byte before has a second one behind it */
    uint64_t found = 0;

    if (r->functions_count == 0 || r->locations_count == 0 || r->locations_count > INT16_MAX) {
        return list_ok_slow(in, at, end, depth);
    }
    for (size_t p = at; p < end; p += 32) {
        uint32_t mask = end - p >= 32 ? UINT32_MAX : (1U << (end - p)) - 1;
        uint32_t more =
            (uint32_t)_mm256_movemask_epi8(_mm256_loadu_si256((const void *)(locs + p))) & mask;
        uint32_t second = more << 1 | more_before;

        if ((more & second) != 0) {
            return list_ok_slow(in, at, end, depth); /* one of three bytes or more */
        }
        if ((~second & mask & ~locations_at(locs + p, r->locations_count)) != 0) {
            return false;
        }
        found += (uint32_t)__builtin_popcount(~second & mask);
        more_before = more >> 31;
    }
    return found == depth && (end == at || locs[end - 1] < 0x80);
}

static bool
stacks_ok(const struct range *in)
{
    const struct pw_record *r = in->r;
    const uint32_t *at = PW_RECORD_AT(r, uint32_t, r->stack_locs_off);
    uint64_t n = r->stacks_count;

    if (!section_fits(in, r->stack_hashes_off, n, sizeof(uint64_t)) ||
        !section_fits(in, r->stack_locs_off, n + 1, sizeof(*at)) ||
        !column_fits(in, r->stack_depths_off, n, r->stack_bytes) ||
        !section_fits(in, r->locs_off, r->locs_bytes + (uint64_t)PW_RECORD_LOCS_SLACK, 1)) {
        return false;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (at[i] > at[i + 1] || at[i + 1] > r->locs_bytes ||
            !list_ok(in, at[i], at[i + 1], pw_record_stack_depth(r, i))) {
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
samples_ok(const struct range *in, const struct pw_record_series *s)
{
    const struct pw_record *r = in->r;
    uint64_t values = (uint64_t)s->samples_count * r->types_count;

    if ((s->value_bytes != 1 && s->value_bytes != 2 && s->value_bytes != 4 &&
         s->value_bytes != 8) ||
        !column_fits(in, s->samples_off, s->samples_count, r->stack_bytes) ||
        !column_fits(in, s->values_off, values, s->value_bytes) ||
        (s->spans_off != 0 &&
         !section_fits(in, s->spans_off, s->samples_count, sizeof(uint32_t)))) {
        return false;
    }
    for (uint32_t i = 0; i < s->samples_count; i++) {
        if (pw_record_sample_stack(r, s, i) >= r->stacks_count ||
            pw_record_sample_span(r, s, i) > r->spans_count) {
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

    if (!section_fits(in, s->labels_off, s->labels_count, sizeof(*l)) || !samples_ok(in, s)) {
        return false;
    }
    l = PW_RECORD_AT(r, struct pw_record_label, s->labels_off);
    for (uint32_t i = 0; i < s->labels_count; i++) {
        if (!span_fits(in, l[i].name) || !span_fits(in, l[i].value)) {
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
    if (r->raw_bytes != 0 && !section_fits(&in, r->raw_off, r->raw_bytes, 1)) {
        return PW_EINVAL;
    }
    return widths_ok(r) && strings_ok(&in) && functions_ok(&in) && locations_ok(&in) &&
                   stacks_ok(&in) && types_ok(&in) && series_ok(&in)
               ? 0
               : PW_EINVAL;
}
