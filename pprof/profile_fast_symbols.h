/* pprof/profile_fast_symbols.h - functions and locations as every encoder in use shapes them.
 *
 * Purpose  see profile_fast.h. What a loop over messages learns about all of them is kept in registers and
 *          told to the profile at its end.
 * Owner    one parse call.
 * Context  hot. Internal to pprof/.
 * Units    -
 * Errors   false: not taken, tables as they were.
 * Limits   messages end at least PW_FAST_SLACK bytes before the input does.
 */
#ifndef PW_PPROF_PROFILE_FAST_SYMBOLS_H
#define PW_PPROF_PROFILE_FAST_SYMBOLS_H

#include "pprof/pairs.h"
#include "pprof/profile_fast.h"

/* What a loop over functions learns about all of them: kept in registers, told at its end. */
struct pw_fast_functions {
    uint32_t count;
    uint64_t max_ref;
    bool dense, zero_id;
#if PW_PAIRS
    __m128i max; /* 32-bit lanes: id, then the three references */
#endif
};

#if PW_PAIRS
/* A function whose first fields are there and no others, none of them above 14 bits: all at once, tag
 * and value side by side in each 32-bit lane. */
static inline bool
pw_fast_function_pairs(struct pw_fast_functions *all, struct pw_function *f, struct pw_slice bytes)
{
    static const uint32_t keep[6][4] = {{0, 0, 0, 0},         {~0U, 0, 0, 0},
                                        {~0U, ~0U, 0, 0},     {~0U, ~0U, ~0U, 0},
                                        {~0U, ~0U, ~0U, ~0U}, {~0U, ~0U, ~0U, ~0U}};
    __m256i x = _mm256_loadu_si256((const __m256i *)(const void *)bytes.ptr);
    uint32_t more = (uint32_t)_mm256_movemask_epi8(x);
    uint32_t zero = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(x, _mm256_setzero_si256()));
    uint32_t in = (1U << (bytes.len & 31)) - 1, last = in ^ in >> 1; /* its bytes, and the last */
    uint32_t pattern = pw_pairs_pattern(more), b = pattern & 0xFF, fifth;
    uint32_t n = (uint32_t)_mm_popcnt_u32(~more & in);
    __m128i v, kept, wrong, fields;

    /* Nothing of three bytes, no zeros, no cut, and tags and values in pairs. */
    if (((((more & more << 1) | zero) & in) | (more & last) | (n & 1)) != 0 || n > 10 ||
        bytes.len > 31) {
        return false;
    }
    kept = _mm_loadu_si128((const __m128i *)(const void *)keep[n / 2]);
    v = _mm_and_si128(pw_pairs_eight(bytes.ptr, b), kept);
    fifth = (uint32_t)_mm_cvtsi128_si32(
        pw_pairs_eight(bytes.ptr + pw_pairs_bytes(b), (pattern >> 8) & 0xFF));
    fifth = n == 10 ? fifth : 0x28;
    wrong = _mm_xor_si128(v, _mm_and_si128(_mm_setr_epi32(0x08, 0x10, 0x18, 0x20), kept));
    if (!_mm_testz_si128(wrong, _mm_set1_epi32(0xFFFF)) || (fifth & 0xFFFF) != 0x28) {
        return false;
    }
    fields = _mm_srli_epi32(v, 16);
    /* The lane of the id lands on the upper half of f->id, which is written after. */
    _mm_storeu_si128((__m128i *)(void *)((uint8_t *)f + 4), fields);
    f->id = (uint32_t)_mm_cvtsi128_si32(fields);
    f->start_line = fifth >> 16; /* below PW_PROFILE_BIG */
    all->max = _mm_max_epu32(all->max, fields);
    all->count++;
    if (PW_UNLIKELY((uint32_t)_mm_cvtsi128_si32(fields) != all->count)) {
        all->dense = false;
        all->zero_id |= _mm_cvtsi128_si32(fields) == 0;
    }
    return true;
}
#endif

/* Entries are written in place and belong to the table only once it counts them. */
static inline bool
pw_fast_function(struct pw_walk *w, struct pw_fast_functions *all, struct pw_function *f,
                 struct pw_slice bytes)
{
    const uint8_t *at = bytes.ptr;
    int64_t name, system_name, filename;
    uint64_t start_line;
    struct pw_scan good;

#if PW_PAIRS
    if (PW_LIKELY(pw_fast_function_pairs(all, f, bytes))) {
        return true;
    }
#endif
    if (!pw_scan_init(&good, bytes.ptr, bytes.len, false)) {
        return false;
    }
    f->id = pw_take(&at, 0x08);
    name = (int64_t)pw_take(&at, 0x10);
    system_name = (int64_t)pw_take(&at, 0x18);
    filename = (int64_t)pw_take(&at, 0x20);
    f->name_ref = pw_profile_ref(name);
    f->system_name_ref = pw_profile_ref(system_name);
    f->filename_ref = pw_profile_ref(filename);
    start_line = pw_take(&at, 0x28);
    if (at != bytes.ptr + bytes.len) {
        return false;
    }
    f->start_line = pw_walk_number(w, start_line);
    all->count++;
    pw_raise_max(&all->max_ref, pw_max3(name, system_name, filename));
    all->dense &= f->id == all->count;
    all->zero_id |= f->id == 0;
    return true;
}

/* Into the profile, before anybody else looks at or adds to its functions. */
static inline void
pw_fast_functions_tell(const struct pw_fast_functions *all, struct pw_profile *p)
{
    p->function_count = all->count;
    p->dense_functions &= all->dense;
    p->zero_function_id |= all->zero_id;
    pw_raise_max(&p->max_function_ref, (int64_t)all->max_ref);
#if PW_PAIRS
    pw_raise_max(&p->max_function_ref, (uint32_t)_mm_extract_epi32(all->max, 1));
    pw_raise_max(&p->max_function_ref, (uint32_t)_mm_extract_epi32(all->max, 2));
    pw_raise_max(&p->max_function_ref, (uint32_t)_mm_extract_epi32(all->max, 3));
#endif
}

/* The same for locations: their number and that of their lines. */
struct pw_fast_locations {
    uint32_t count;
    struct pw_line *line, *line_cap; /* next free, and the end of the table */
    bool dense, zero_id;
};

/* The lines at *at; gives the first free entry after them, NULL when odd. */
static inline struct pw_line *
pw_fast_lines(struct pw_walk *w, const struct pw_fast_locations *all, const uint8_t **at,
              const uint8_t *end)
{
    struct pw_line *line = all->line;

    while (*at < end && **at == 0x22) {
        const uint8_t *in = *at + 2;

        *at = in + in[-1]; /* a length of two bytes will not fit below */
        if (line >= all->line_cap) {
            return NULL;
        }
        line->function = pw_walk_number(w, pw_take(&in, 0x08));
        line->line = pw_walk_number(w, pw_take_if(&in, 0x10, *at));
        line++;
        if (in != *at) {
            return NULL;
        }
    }
    return line;
}

static inline bool
pw_fast_location(struct pw_walk *w, struct pw_fast_locations *all, const struct pw_line *lines,
                 struct pw_location *l, struct pw_slice bytes)
{
    const uint8_t *at = bytes.ptr, *end = at + bytes.len;
    uint64_t id, mapping, address, folded = 0;
    struct pw_line *line;
    struct pw_scan good;

    if (!pw_scan_init(&good, bytes.ptr, bytes.len, false)) {
        return false;
    }
    id = pw_take(&at, 0x08);
    mapping = pw_take(&at, 0x10);
    address = pw_take(&at, 0x18);
    line = pw_fast_lines(w, all, &at, end);
    if (at < end && mapping == 0) { /* Go's runtime writes it last */
        mapping = pw_take(&at, 0x10);
    }
    if (at < end) {
        folded = pw_take(&at, 0x28);
    }
    if (line == NULL || at != end || folded > 1) {
        return false;
    }
    w->p->location_id[all->count] = id;
    *l = (struct pw_location){.mapping = pw_walk_number(w, mapping),
                              .address = pw_walk_number(w, address),
                              .line_first = (uint32_t)(all->line - lines) & PW_LINE_FIRST_MAX,
                              .is_folded = folded != 0};
    all->line = line;
    all->count++;
    if (PW_UNLIKELY(id != all->count)) {
        all->dense = false;
        all->zero_id |= id == 0;
    }
    return true;
}

#endif
