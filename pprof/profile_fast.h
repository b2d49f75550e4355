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
#include "pprof/profile_walk.h"

enum { PW_FAST_SLACK = 128 };

#define PW_MORE_BITS    0x8080808080808080U
#define PW_PAYLOAD_BITS 0x7F7F7F7F7F7F7F7FU

struct pw_take {
    const uint8_t *p;
    bool odd; /* something was not as usual */
};

static inline uint64_t
pw_load64(const uint8_t *p)
{
    uint64_t x;

    memcpy(&x, p, sizeof(x));
    return x;
}

/* The payload of a varint whose bytes, and nothing above them, are in x. */
static inline uint64_t
pw_squeeze(uint64_t x)
{
#ifdef __BMI2__
    return __builtin_ia32_pext_di(x, PW_PAYLOAD_BITS);
#else
    x = (x & 0x007F007F007F007FU) | (x & 0x7F007F007F007F00U) >> 1;
    x = (x & 0x00003FFF00003FFFU) | (x & 0x3FFF00003FFF0000U) >> 2;
    return (x & 0x000000000FFFFFFFU) | (x & 0x0FFFFFFF00000000U) >> 4;
#endif
}

/* If the field at t->p has this one-byte tag, its varint (not 0, at most 7 bytes), else 0. */
static inline uint64_t
pw_take(struct pw_take *t, uint8_t tag)
{
    uint64_t x = pw_load64(t->p), stop, low;

    if ((uint8_t)x != tag) {
        return 0;
    }
    x >>= 8;
    stop = ~x & (PW_MORE_BITS >> 8);
    x &= stop ^ (stop - 1);
    low = (stop & -stop) >> 7; /* the lowest bit of the last byte; 0 when there is no last byte */
    /* Last byte zero (an explicit 0, or longer than needed), or none. */
    t->odd |= x <= low - 1;
    t->p += 2 + ((unsigned)__builtin_ctzll(stop | 1ULL << 63) >> 3);
    return pw_squeeze(x);
}

/* One varint of a repeated field, zero allowed, at most 8 bytes. */
static inline uint64_t
pw_take_value(struct pw_take *t)
{
    uint64_t x = pw_load64(t->p), stop = ~x & PW_MORE_BITS, low;

    x &= stop ^ (stop - 1);
    low = (stop & -stop) >> 7;
    t->odd |= x <= low - 1 && low != 1;
    t->p += 1 + ((unsigned)__builtin_ctzll(stop | 1ULL << 63) >> 3);
    return pw_squeeze(x);
}

/* A length of one or two bytes at t->p. A branch, here: the next message waits for this sum, and
 * guessing it right most of the time beats computing it. */
static inline uint32_t
pw_take_len(struct pw_take *t)
{
    uint32_t b0 = t->p[0], b1 = t->p[1];

    if (PW_LIKELY(b0 < 0x80)) {
        t->p++;
        return b0;
    }
    t->odd |= b1 - 1 >= 0x7F;
    t->p += 2;
    return (b0 & 0x7F) | b1 << 7;
}

/* As pw_take where the field is there or not as if by chance: no branch on its tag either. */
static inline uint64_t
pw_take_if(struct pw_take *t, uint8_t tag, const uint8_t *end)
{
    uint64_t x = pw_load64(t->p), stop, low, here = t->p < end && (uint8_t)x == tag;

    x = (x >> 8) & (0 - here);
    stop = ~x & (PW_MORE_BITS >> 8);
    x &= stop ^ (stop - 1);
    low = (stop & -stop) >> 7;
    t->odd |= (x <= low - 1) & here;
    t->p += (2 + ((unsigned)__builtin_ctzll(stop | 1ULL << 63) >> 3)) & (0 - here);
    return pw_squeeze(x);
}

static inline int64_t
pw_max3(int64_t a, int64_t b, int64_t c)
{
    uint64_t m = (uint64_t)a > (uint64_t)b ? (uint64_t)a : (uint64_t)b;

    return (int64_t)(m > (uint64_t)c ? m : (uint64_t)c);
}

static inline bool
pw_fast_function(struct pw_walk *w, struct pw_slice bytes)
{
    struct pw_profile *p = w->p;
    struct pw_take t = {.p = bytes.ptr};
    struct pw_function f = {.hash = 0};

    f.id = pw_take(&t, 0x08);
    f.name_ref = (int64_t)pw_take(&t, 0x10);
    f.system_name_ref = (int64_t)pw_take(&t, 0x18);
    f.filename_ref = (int64_t)pw_take(&t, 0x20);
    f.start_line = (int64_t)pw_take(&t, 0x28);
    if (t.odd || t.p != bytes.ptr + bytes.len || p->function_count >= w->cap.function) {
        return false;
    }
    p->function[p->function_count++] = f;
    pw_raise_max(&p->max_function_ref, pw_max3(f.name_ref, f.system_name_ref, f.filename_ref));
    p->dense_functions &= f.id == p->function_count;
    p->zero_function_id |= f.id == 0;
    return true;
}

static inline bool
pw_fast_location(struct pw_walk *w, struct pw_slice bytes)
{
    struct pw_profile *p = w->p;
    struct pw_take t = {.p = bytes.ptr};
    const uint8_t *end = bytes.ptr + bytes.len;
    uint32_t lines = p->line_count;
    struct pw_location l = {.line_first = lines};

    l.id = pw_take(&t, 0x08);
    l.mapping_id = pw_take(&t, 0x10);
    l.address = pw_take(&t, 0x18);
    while (t.p < end && *t.p == 0x22) {
        const uint8_t *line_end = t.p + 2 + t.p[1]; /* a length of two bytes will not fit below */
        struct pw_line *line = &p->line[lines];

        t.p += 2;
        if (lines >= w->cap.line) {
            return false;
        }
        line->function_id = pw_take(&t, 0x08);
        line->line = (int64_t)pw_take_if(&t, 0x10, line_end);
        if (t.p != line_end) {
            return false;
        }
        lines++;
    }
    if (t.p < end && l.mapping_id == 0) { /* Go's runtime writes it last */
        l.mapping_id = pw_take(&t, 0x10);
    }
    if (t.p < end) {
        uint64_t folded = pw_take(&t, 0x28);

        l.is_folded = folded != 0;
        t.odd |= folded > 1;
    }
    if (t.odd || t.p != end || p->location_count >= w->cap.location) {
        return false;
    }
    l.line_count = lines - p->line_count;
    p->line_count = lines;
    p->location[p->location_count++] = l;
    p->dense_locations &= l.id == p->location_count;
    p->zero_location_id |= l.id == 0;
    return true;
}

static inline bool
pw_fast_label(struct pw_walk *w, struct pw_take *t, uint32_t index)
{
    struct pw_sample_label *l = &w->p->sample_label[index];
    const uint8_t *end;

    end = t->p + 2 + t->p[1];
    t->p += 2;
    if (index >= w->cap.label) {
        return false;
    }
    l->key_ref = (int64_t)pw_take(t, 0x08);
    l->str_ref = (int64_t)pw_take(t, 0x10);
    l->num = (int64_t)pw_take(t, 0x18);
    l->num_unit_ref = (int64_t)pw_take(t, 0x20);
    pw_raise_max(&w->p->max_label_ref, pw_max3(l->key_ref, l->str_ref, l->num_unit_ref));
    return t->p == end;
}

/* Where a sample stands while its fields are read; goes into the tables when it is whole. */
struct pw_fast_sample {
    struct pw_take t;
    uint32_t locs, values, labels; /* next free in their tables */
    uint64_t id_bytes, value_bytes,
        label_bytes; /* of their contents, as a packed encoder has them */
};

static inline bool
pw_fast_ids(struct pw_walk *w, struct pw_fast_sample *s, const uint8_t *end)
{
    uint32_t len;
    int64_t n;

    s->t.p++;
    len = pw_take_len(&s->t);
    if (s->t.odd || len > (size_t)(end - s->t.p)) {
        return false;
    }
    n = pw_packed_u14_minus1(s->t.p, len, w->p->loc_ids + s->locs);
    if (n < 0) {
        n = pw_packed_u16_minus1(s->t.p, len, w->p->loc_ids + s->locs);
    }
    s->t.p += len;
    s->id_bytes += len;
    s->locs += (uint32_t)n;
    return n >= 0;
}

static inline bool
pw_fast_values(struct pw_walk *w, struct pw_fast_sample *s, const uint8_t *end)
{
    const uint8_t *stop;
    uint32_t len;

    s->t.p++;
    len = pw_take_len(&s->t);
    if (s->t.odd || len > (size_t)(end - s->t.p)) {
        return false;
    }
    stop = s->t.p + len;
    s->value_bytes += len;
    while (s->t.p < stop) {
        if (s->values >= w->cap.value) {
            return false;
        }
        w->p->value[s->values++] = (int64_t)pw_take_value(&s->t);
    }
    return s->t.p == stop;
}

/* Fields in any order; ids and values are lists, so their order among each other does not matter. */
static inline bool
pw_fast_fields(struct pw_walk *w, struct pw_fast_sample *s, const uint8_t *end)
{
    struct pw_profile *p = w->p;

    while (s->t.p < end) {
        const uint8_t *at = s->t.p;

        switch (*at) {
        case 0x0A:
            if (!pw_fast_ids(w, s, end)) {
                return false;
            }
            break;
        case 0x12:
            if (!pw_fast_values(w, s, end)) {
                return false;
            }
            break;
        case 0x1A:
            if (!pw_fast_label(w, &s->t, s->labels++)) {
                return false;
            }
            s->label_bytes += (uint64_t)(s->t.p - at);
            break;
        case 0x10:
            if (s->values >= w->cap.value) {
                return false;
            }
            s->t.p++;
            p->value[s->values++] = (int64_t)pw_take_value(&s->t);
            s->value_bytes += (uint64_t)(s->t.p - at) - 1;
            break;
        case 0x08: {
            uint64_t id = pw_take(&s->t, 0x08);

            if (id > UINT16_MAX) {
                return false;
            }
            p->loc_ids[s->locs++] = (uint16_t)(id - 1);
            s->id_bytes += (uint64_t)(s->t.p - at) - 1;
            break;
        }
        default:
            return false;
        }
    }
    return s->t.p == end && !s->t.odd;
}

/* wire_bytes: of the message with its tag and length. */
static inline bool
pw_fast_sample(struct pw_walk *w, struct pw_slice bytes, uint64_t wire_bytes)
{
    struct pw_profile *p = w->p;
    struct pw_fast_sample s = {.t = {.p = bytes.ptr},
                               .locs = p->loc_ids_count,
                               .values = w->value_count,
                               .labels = w->label_count};
    uint64_t size;

    if (p->sample_count >= w->cap.sample || p->loc_ids_wide != NULL ||
        !pw_fast_fields(w, &s, bytes.ptr + bytes.len)) {
        return false;
    }
    p->sample[p->sample_count++] = (struct pw_sample){.loc_first = p->loc_ids_count,
                                                      .loc_count = s.locs - p->loc_ids_count,
                                                      .label_first = w->label_count,
                                                      .label_count = s.labels - w->label_count,
                                                      .value_first = w->value_count,
                                                      .value_count = s.values - w->value_count};
    p->loc_ids_count = s.locs;
    w->value_count = s.values;
    w->label_count = s.labels;
    size = s.label_bytes + (s.id_bytes == 0 ? 0 : pw_len_field_size(s.id_bytes)) +
           (s.value_bytes == 0 ? 0 : pw_len_field_size(s.value_bytes));
    w->shrink += (int64_t)wire_bytes - (int64_t)pw_len_field_size(size);
    return true;
}

#endif
