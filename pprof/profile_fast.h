/* pprof/profile_fast.h - messages of a profile as every encoder in use shapes them, without a branch
 * per byte.
 *
 * Purpose  a reader here takes a whole message or nothing: fields in their usual order, varints of at
 *          most 8 bytes and no longer than needed, no explicit zeros, nothing unknown. Whatever is
 *          different goes to profile_message.c. A varint is read from one unaligned 8-byte load: the
 *          lowest clear continuation bit ends it, pext closes the gaps (about ten instructions, no
 *          branch on its length, which a predictor could not learn).
 * Owner    one parse call.
 * Context  hot. Internal to pprof/.
 * Units    -
 * Errors   false: not taken, tables as they were.
 * Limits   messages end at least PW_FAST_SLACK bytes before the input does.
 */
#ifndef PW_PPROF_PROFILE_FAST_H
#define PW_PPROF_PROFILE_FAST_H

#include "base/check.h"
#include "pprof/packed.h"
#include "pprof/pairs.h"
#include "pprof/profile_walk.h"

enum {
    PW_FAST_SLACK = 128,
    PW_FAST_TYPES = 8,
};

#define PW_MORE_BITS    0x8080808080808080U
#define PW_PAYLOAD_BITS 0x7F7F7F7F7F7F7F7FU

/* Zero bits below the lowest one; 64 for 0. */
static inline uint32_t
pw_count_zeros(uint64_t x)
{
#ifdef __BMI__
    return (uint32_t)_tzcnt_u64(x);
#else
    return x == 0 ? 64 : (uint32_t)__builtin_ctzll(x);
#endif
}

enum { PW_SCAN_MAX = 48 };

/* A list of varints of at most PW_SCAN_MAX bytes, with a bit per byte: where the next one begins is
 * then a shift and a count away, without waiting for a load. */
struct pw_scan {
    const uint8_t *p;
    uint64_t ends; /* bytes that end a varint, and all past the end */
    uint32_t at;
};

static inline uint64_t
pw_load64(const uint8_t *p)
{
    uint64_t x;

    memcpy(&x, p, sizeof(x));
    return x;
}

/* The varint at the start of x, which has at most 7 more bytes. */
static inline uint64_t
pw_squeeze(uint64_t x)
{
    uint64_t stop = ~x & PW_MORE_BITS;

    x &= stop ^ (stop - 1);
#ifdef __BMI2__
    return _pext_u64(x, PW_PAYLOAD_BITS);
#else
    x = (x & 0x007F007F007F007FU) | (x & 0x7F007F007F007F00U) >> 1;
    x = (x & 0x00003FFF00003FFFU) | (x & 0x3FFF00003FFF0000U) >> 2;
    return (x & 0x000000000FFFFFFFU) | (x & 0x0FFFFFFF00000000U) >> 4;
#endif
}

/* Looks at the n bytes at p (and reads up to 64): a message of tags and varints, or a list. False when
 * there are more than PW_SCAN_MAX of them or the readers below could not judge them: a varint of more
 * than 7 bytes; a varint longer than needed, which ends in a zero byte; and, unless zeros are fine, a
 * field written out although 0, the only other place a zero byte can have. */
static inline bool
pw_scan_init(struct pw_scan *s, const uint8_t *p, size_t n, bool zeros)
{
#ifdef __AVX2__
    const __m256i none = _mm256_setzero_si256();
    __m256i a = _mm256_loadu_si256((const __m256i *)(const void *)p);
    uint64_t more = (uint32_t)_mm256_movemask_epi8(a);
    uint64_t zero = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(a, none));

    if (n > 32) {
        a = _mm256_loadu_si256((const __m256i *)(const void *)(p + 32));
        more |= (uint64_t)(uint32_t)_mm256_movemask_epi8(a) << 32;
        zero |= (uint64_t)(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(a, none)) << 32;
    }
#else
    uint64_t more = 0, zero = 0;

    for (size_t i = 0; i < n && i < PW_SCAN_MAX; i++) {
        more |= (uint64_t)(p[i] >> 7) << i;
        zero |= (uint64_t)(p[i] == 0) << i;
    }
#endif
    uint64_t past = UINT64_MAX << (n & 63);
    uint64_t run = more & more >> 1; /* continuation bytes: two in a row */

    run &= run >> 2; /* four */
    run &= run >> 3; /* seven */
    run |= zeros ? zero & more << 1 : zero;
    *s = (struct pw_scan){.p = p, .ends = ~more | past};
    return n <= PW_SCAN_MAX && (run & ~past) == 0;
}

/* The next value of a list: at < its length. */
static inline uint64_t
pw_scan_next(struct pw_scan *s)
{
    uint64_t x = pw_squeeze(pw_load64(s->p + s->at));

    s->at += 1 + pw_count_zeros(s->ends >> s->at);
    return x;
}

/* If the field at *p has this one-byte tag, its varint, else 0, in a message that pw_scan_init has
 * found good. Moves by at most 9 bytes a call, also when it has left its message: the caller sees
 * that by where it ends. */
static inline uint64_t
pw_take(const uint8_t **p, uint8_t tag)
{
    uint64_t x = pw_load64(*p);

    if ((uint8_t)x != tag) {
        return 0;
    }
    x >>= 8; /* its top byte is 0 now, so that the varint ends at the latest there */
    *p += 2 + (pw_count_zeros(~x & PW_MORE_BITS) >> 3);
    return pw_squeeze(x);
}

/* As pw_take where the field is there or not as if by chance: no branch on its tag. */
static inline uint64_t
pw_take_if(const uint8_t **p, uint8_t tag, const uint8_t *end)
{
    uint64_t x = pw_load64(*p), here = *p < end && (uint8_t)x == tag;

    x >>= 8;
    *p += (2 + (pw_count_zeros(~x & PW_MORE_BITS) >> 3)) & (0 - here);
    return pw_squeeze(x) & (0 - here);
}

/* A length of one or two bytes at *p, which moves past it; UINT32_MAX for any other. A branch, here:
 * what follows waits for this sum, and guessing it right most of the time beats computing it. */
static inline uint32_t
pw_take_len(const uint8_t **p)
{
    uint32_t b0 = (*p)[0], b1 = (*p)[1];

    if (PW_LIKELY(b0 < 0x80)) {
        *p += 1;
        return b0;
    }
    *p += 2;
    return b1 - 1 < 0x7F ? (b0 & 0x7F) | b1 << 7 : UINT32_MAX;
}

static inline int64_t
pw_max3(int64_t a, int64_t b, int64_t c)
{
    uint64_t m = (uint64_t)a > (uint64_t)b ? (uint64_t)a : (uint64_t)b;

    return (int64_t)(m > (uint64_t)c ? m : (uint64_t)c);
}

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
    f->start_line = fifth >> 16;
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
pw_fast_function(struct pw_fast_functions *all, struct pw_function *f, struct pw_slice bytes)
{
    const uint8_t *at = bytes.ptr;
    int64_t name, system_name, filename;
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
    f->start_line = (int64_t)pw_take(&at, 0x28);
    if (at != bytes.ptr + bytes.len) {
        return false;
    }
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
pw_fast_lines(const struct pw_fast_locations *all, const uint8_t **at, const uint8_t *end)
{
    struct pw_line *line = all->line;

    while (*at < end && **at == 0x22) {
        const uint8_t *in = *at + 2;

        *at = in + in[-1]; /* a length of two bytes will not fit below */
        if (line >= all->line_cap) {
            return NULL;
        }
        line->function_id = pw_take(&in, 0x08);
        line->line = (int64_t)pw_take_if(&in, 0x10, *at);
        line++;
        if (in != *at) {
            return NULL;
        }
    }
    return line;
}

static inline bool
pw_fast_location(struct pw_fast_locations *all, const struct pw_line *lines, struct pw_location *l,
                 struct pw_slice bytes)
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
    line = pw_fast_lines(all, &at, end);
    if (at < end && mapping == 0) { /* Go's runtime writes it last */
        mapping = pw_take(&at, 0x10);
    }
    if (at < end) {
        folded = pw_take(&at, 0x28);
    }
    if (line == NULL || at != end || folded > 1) {
        return false;
    }
    *l = (struct pw_location){.id = id,
                              .mapping_id = mapping,
                              .address = address,
                              .line_first = (uint32_t)(all->line - lines),
                              .line_count = (uint32_t)(line - all->line) & PW_LINES_MAX,
                              .is_folded = folded != 0};
    all->line = line;
    all->count++;
    if (PW_UNLIKELY(id != all->count)) {
        all->dense = false;
        all->zero_id |= id == 0;
    }
    return true;
}

static_assert(PW_SCAN_MAX + PW_FAST_TYPES < 64, "what is read past a list is in its bits");

/* Where a sample stands while its fields are read; goes into the tables when it is whole. */
struct pw_fast_sample {
    const uint8_t *p;
    const uint8_t *end;
    uint32_t locs, values, labels; /* next free in their tables */
    /* Bytes of their contents as a packed encoder has them; read when not one field each did it. */
    uint64_t id_bytes, value_bytes, label_bytes;
    uint32_t id_fields, value_fields;
    const uint8_t *ids; /* the last packed field of them */
};

/* Its length says where the next field is; what is in it is not waited for. */
static inline bool
pw_fast_label(struct pw_walk *w, struct pw_fast_sample *s)
{
    struct pw_sample_label *l = &w->p->sample_label[s->labels];
    const uint8_t *in = s->p + 2;
    uint32_t len = s->p[1];
    int64_t key, str, num_unit;
    struct pw_scan good;

    if (s->labels >= w->cap.label || len >= 0x80 || (ptrdiff_t)len > s->end - s->p - 2 ||
        !pw_scan_init(&good, in, len, false)) {
        return false;
    }
    s->p += 2 + len;
    s->labels++;
    s->label_bytes += 2 + len;
    key = (int64_t)pw_take(&in, 0x08);
    str = (int64_t)pw_take(&in, 0x10);
    (void)pw_take(&in, 0x18);
    num_unit = (int64_t)pw_take(&in, 0x20);
    *l = (struct pw_sample_label){.key_ref = pw_profile_ref(key),
                                  .str_ref = pw_profile_ref(str),
                                  .num_unit_ref = pw_profile_ref(num_unit)};
    pw_raise_max(&w->p->max_label_ref, pw_max3(key, str, num_unit));
    return in == s->p;
}

static inline bool
pw_fast_ids(struct pw_walk *w, struct pw_fast_sample *s)
{
    uint16_t *out = w->p->loc_ids + s->locs;
    uint32_t len;
    int64_t n;

    s->p++;
    len = pw_take_len(&s->p);
    if ((ptrdiff_t)len > s->end - s->p) {
        return false;
    }
    s->ids = s->p;
    n = pw_packed_u14_minus1(s->p, len, out);
    if (n < 0) {
        n = pw_packed_u16_minus1(s->p, len, out);
    }
    s->p += len;
    s->id_bytes += len;
    s->id_fields += len != 0 ? 1 : 2; /* an empty list is not written by a canonical encoder */
    s->locs += (uint32_t)n;
    return n >= 0;
}

/* Varints of the list of len bytes that is to begin at s->p: one for each type, as a rule, which ends the loop
 * before their lengths are known. */
static inline bool
pw_fast_values(struct pw_walk *w, struct pw_fast_sample *s, uint32_t len)
{
    int64_t *value = w->p->value;
    uint32_t types = w->p->sample_type_count;
    struct pw_scan in;

    if ((ptrdiff_t)len > s->end - s->p || !pw_scan_init(&in, s->p, len, true)) {
        return false;
    }
    s->p += len;
    s->value_bytes += len;
    if (PW_LIKELY(types <= PW_FAST_TYPES && s->values + types <= w->cap.value)) {
        for (uint32_t i = 0; i < types; i++) {
            value[s->values + i] = (int64_t)pw_scan_next(&in);
        }
        if (PW_LIKELY(in.at == len)) {
            s->values += types;
            return true;
        }
        in.at = 0;
    }
    while (in.at < len) {
        if (s->values >= w->cap.value) {
            return false;
        }
        value[s->values++] = (int64_t)pw_scan_next(&in);
    }
    return in.at == len;
}

/* One value or id that is not packed: up to 8 bytes, as long as it needs to be. */
static inline bool
pw_fast_single(struct pw_fast_sample *s, uint64_t *v)
{
    uint64_t x = pw_load64(s->p + 1), stop = ~x & PW_MORE_BITS;
    uint64_t low = (stop & -stop) >> 7; /* the lowest bit of the last byte; 0: it is not in here */

    *v = pw_squeeze(x);
    s->p += 2 + (pw_count_zeros(stop) >> 3);
    return (x & (stop ^ (stop - 1))) > low - 1 || low == 1;
}

/* Fields in any order; ids and values are lists, so their order among each other does not matter. */
static inline bool
pw_fast_fields(struct pw_walk *w, struct pw_fast_sample *s)
{
    struct pw_profile *p = w->p;
    bool ok = true;

    while (ok && s->p < s->end) {
        const uint8_t *at = s->p;
        uint64_t v;

        switch (*at) {
        case 0x0A:
            ok = pw_fast_ids(w, s);
            break;
        case 0x12: {
            uint32_t len;

            s->p++;
            len = pw_take_len(&s->p);
            s->value_fields += len != 0 ? 1 : 2;
            ok = pw_fast_values(w, s, len);
            break;
        }
        case 0x1A:
            ok = pw_fast_label(w, s);
            break;
        case 0x10:
            ok = pw_fast_single(s, &v) && s->values < w->cap.value;
            if (ok) {
                p->value[s->values++] = (int64_t)v;
            }
            s->value_bytes += (uint64_t)(s->p - at) - 1;
            s->value_fields = 2;
            break;
        case 0x08:
            ok = pw_fast_single(s, &v) && v <= UINT16_MAX;
            p->loc_ids[s->locs++] = (uint16_t)(v - 1);
            s->id_bytes += (uint64_t)(s->p - at) - 1;
            s->id_fields = 2;
            break;
        default:
            ok = false;
            break;
        }
    }
    return ok && s->p == s->end;
}

/* How much shorter the canonical form is: it packs the ids, and the values, into one field each. */
static inline void
pw_fast_repack(struct pw_walk *w, const struct pw_fast_sample *s, uint64_t wire_size)
{
    uint64_t size = s->label_bytes;

    size += s->id_bytes == 0 ? 0 : pw_len_field_size(s->id_bytes);
    size += s->value_bytes == 0 ? 0 : pw_len_field_size(s->value_bytes);
    w->shrink += (int64_t)pw_len_field_size(wire_size) - (int64_t)pw_len_field_size(size);
}

/* Ids of at most 14 bits, packed, next in s. */
static inline bool
pw_fast_ids_next(struct pw_walk *w, struct pw_fast_sample *s)
{
    const uint8_t *p = s->p;
    uint32_t len = p[1];
    int64_t n;

    if (PW_UNLIKELY(len >= 0x80)) {
        if (p[2] - 1U >= 0x7F) {
            return false;
        }
        len = (len & 0x7F) | (uint32_t)p[2] << 7;
        p++;
    }
    p += 2;
    if (*s->p != 0x0A || len == 0 || (ptrdiff_t)len > s->end - p) {
        return false;
    }
    n = pw_packed_u14_minus1(p, len, w->p->loc_ids + s->locs);
    s->ids = p;
    s->p = p + len;
    s->id_bytes = len;
    s->id_fields = 1;
    s->locs += (uint32_t)n;
    return n >= 0;
}

/* Values next in s: packed, or one by one as Go writes two of them. */
static inline bool
pw_fast_values_next(struct pw_walk *w, struct pw_fast_sample *s)
{
    const uint8_t *first = s->p;
    uint32_t n = 0;

    s->value_fields = 1;
    if (*first == 0x12) {
        s->p += 2;
        return s->end - first > 2 && first[1] != 0 && pw_fast_values(w, s, first[1]);
    }
    while (s->p < s->end && *s->p == 0x10) {
        uint64_t v;

        if (!pw_fast_single(s, &v) || s->values >= w->cap.value) {
            return false;
        }
        w->p->value[s->values++] = (int64_t)v;
        n++;
    }
    s->value_bytes = (uint64_t)(s->p - first) - n;
    if (n != 2 || s->value_bytes >= 0x80) { /* two tags are as long as a tag and a length */
        s->value_fields = 2;
    }
    return n != 0;
}

/* The orders encoders write: ids, values, labels, or values first. Straight on, where the loop above asks
 * at each field which it is. False: nothing of s is right any more. */
static inline bool
pw_fast_in_order(struct pw_walk *w, struct pw_fast_sample *s)
{
    bool ok = *s->p == 0x0A ? pw_fast_ids_next(w, s) && pw_fast_values_next(w, s)
                            : pw_fast_values_next(w, s) && pw_fast_ids_next(w, s);

    while (ok && s->p < s->end) {
        ok = *s->p == 0x1A && pw_fast_label(w, s);
    }
    return ok && s->p == s->end;
}

static inline bool
pw_fast_sample(struct pw_walk *w, struct pw_slice bytes)
{
    struct pw_profile *p = w->p;
    struct pw_sample *x = &p->sample[p->sample_count];
    const struct pw_fast_sample begin = {.p = bytes.ptr,
                                         .end = bytes.ptr + bytes.len,
                                         .locs = p->loc_ids_count,
                                         .values = w->value_count,
                                         .labels = w->label_count};
    struct pw_fast_sample s = begin;

    if (p->sample_count >= w->cap.sample || p->loc_ids_wide != NULL) {
        return false;
    }
    if (PW_UNLIKELY(!pw_fast_in_order(w, &s))) {
        s = begin;
        if (!pw_fast_fields(w, &s)) {
            return false;
        }
    }
    x->loc_first = p->loc_ids_count;
    x->loc_count = s.locs - p->loc_ids_count;
    x->label_first = w->label_count;
    x->label_count = s.labels - w->label_count;
    x->value_first = w->value_count;
    x->value_count = s.values - w->value_count;
    p->sample_count++;
    p->loc_ids_count = s.locs;
    x->ids_off = s.id_fields == 1 ? (uint32_t)(s.ids - p->bytes.ptr) : 0;
    x->ids_len = s.id_fields == 1 ? (uint32_t)s.id_bytes : 0;
    w->value_count = s.values;
    w->label_count = s.labels;
    pw_walk_note_sample(p, x);
    if (s.id_fields > 1 || s.value_fields > 1) {
        pw_fast_repack(w, &s, bytes.len);
    }
    return true;
}

#endif
