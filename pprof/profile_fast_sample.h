/* pprof/profile_fast_sample.h - samples as every encoder in use shapes them.
 *
 * Purpose  see profile_fast.h. Location ids are judged and counted and stay where they are; only those that do
 *          not lie in one packed field are put together elsewhere (own_ids).
 * Owner    one parse call.
 * Context  hot. Internal to pprof/.
 * Units    -
 * Errors   false: not taken, tables as they were.
 * Limits   messages end at least PW_FAST_SLACK bytes before the input does.
 */
#ifndef PW_PPROF_PROFILE_FAST_SAMPLE_H
#define PW_PPROF_PROFILE_FAST_SAMPLE_H

#include "pprof/packed.h"
#include "pprof/profile_fast.h"

enum { PW_FAST_TYPES = 8 };

static_assert(PW_SCAN_MAX + PW_FAST_TYPES < 64, "what is read past a list is in its bits");

/* Where a sample stands while its fields are read; goes into the tables when it is whole. */
struct pw_fast_sample {
    const uint8_t *p;
    const uint8_t *end;
    uint32_t labels; /* next free in their table */
    size_t own;      /* in own_ids */
    uint32_t locs, values;
    uint64_t value[PW_FAST_TYPES];
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
    *l = (struct pw_sample_label){.sample = w->p->sample_count,
                                  .key_ref = pw_profile_ref(key),
                                  .str_ref = pw_profile_ref(str)};
    if (in != s->p) {
        return false; /* something else, maybe the sample's next fields: what was taken is not the label's */
    }
    pw_walk_note_label(w->p, key, str, num_unit);
    return true;
}

/* How many there are, -1 when they are not as they should be. */
static inline int64_t
pw_fast_count(const uint8_t *p, uint32_t len)
{
    int64_t n = pw_packed_u14_count(p, len);

    return PW_LIKELY(n >= 0) ? n : pw_packed_count(p, len);
}

/* Ids that are part of a list of its own. */
static inline void
pw_fast_own(const struct pw_walk *w, struct pw_fast_sample *s, const uint8_t *p, size_t len)
{
    memcpy(w->p->own_ids + s->own, p, len);
    s->own += len;
    s->id_bytes += len;
}

static inline bool
pw_fast_ids(struct pw_walk *w, struct pw_fast_sample *s)
{
    uint32_t len;
    int64_t n;

    s->p++;
    len = pw_take_len(&s->p);
    if ((ptrdiff_t)len > s->end - s->p) {
        return false;
    }
    s->ids = s->p;
    n = pw_fast_count(s->p, len);
    pw_fast_own(w, s, s->p, len);
    s->p += len;
    s->id_fields += len != 0 ? 1 : 2; /* an empty list is not written by a canonical encoder */
    s->locs += (uint32_t)n;
    return n >= 0;
}

/* Varints of the list of len bytes that is to begin at s->p: one for each type, which ends the loop before their
 * lengths are known. */
static inline bool
pw_fast_values(const struct pw_walk *w, struct pw_fast_sample *s, uint32_t len)
{
    uint32_t types = w->p->sample_type_count;
    struct pw_scan in;

    if ((ptrdiff_t)len > s->end - s->p || types > PW_FAST_TYPES || s->values != 0 ||
        !pw_scan_init(&in, s->p, len, true)) {
        return false;
    }
    for (uint32_t i = 0; i < types; i++) {
        s->value[i] = pw_scan_next(&in);
    }
    s->p += len;
    s->value_bytes += len;
    s->values = types;
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
            ok = pw_fast_single(s, &v) && s->values < PW_FAST_TYPES;
            if (ok) {
                s->value[s->values++] = v;
            }
            s->value_bytes += (uint64_t)(s->p - at) - 1;
            s->value_fields = 2;
            break;
        case 0x08:
            ok = pw_fast_single(s, &v);
            pw_fast_own(w, s, at + 1, (size_t)(s->p - at) - 1);
            s->locs++;
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

/* Ids, packed, next in s. */
static inline bool
pw_fast_ids_next(struct pw_fast_sample *s)
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
    n = pw_fast_count(p, len);
    s->ids = p;
    s->p = p + len;
    s->id_bytes = len;
    s->id_fields = 1;
    s->locs = (uint32_t)n;
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

        if (!pw_fast_single(s, &v) || s->values >= PW_FAST_TYPES) {
            return false;
        }
        s->value[s->values++] = v;
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
    bool ok = *s->p == 0x0A ? pw_fast_ids_next(s) && pw_fast_values_next(w, s)
                            : pw_fast_values_next(w, s) && pw_fast_ids_next(s);

    while (ok && s->p < s->end) {
        ok = *s->p == 0x1A && pw_fast_label(w, s);
    }
    return ok && s->p == s->end;
}

static inline void
pw_fast_begin(const struct pw_walk *w, struct pw_fast_sample *s, struct pw_slice bytes)
{
    s->p = bytes.ptr;
    s->end = bytes.ptr + bytes.len;
    s->labels = w->label_count;
    s->own = w->p->own_ids_len;
    s->locs = s->values = s->id_fields = s->value_fields = 0;
    s->id_bytes = s->value_bytes = s->label_bytes = 0;
    s->ids = s->p;
}

static inline bool
pw_fast_sample(struct pw_walk *w, struct pw_slice bytes)
{
    struct pw_profile *p = w->p;
    struct pw_stack *x = &p->stack[p->sample_count];
    struct pw_fast_sample s;

    if (p->sample_count >= w->cap.sample) {
        return false;
    }
    pw_fast_begin(w, &s, bytes);
    if (PW_UNLIKELY(!pw_fast_in_order(w, &s))) {
        pw_fast_begin(w, &s, bytes);
        if (!pw_fast_fields(w, &s)) {
            return false;
        }
    }
    if (PW_UNLIKELY(s.values != p->sample_type_count)) {
        return false;
    }
    x->loc_count = s.locs;
    x->ids_len = (uint32_t)s.id_bytes;
    if (PW_LIKELY(s.id_fields == 1)) {
        x->ids_off = (uint32_t)(s.ids - p->bytes.ptr);
    } else {
        x->ids_off = (uint32_t)(p->bytes.len + p->own_ids_len);
        p->own_ids_len = s.own;
        w->own_count += s.locs;
    }
    pw_walk_put_values(w, s.value);
    p->sample_count++;
    pw_walk_note_sample(p, s.locs, s.values, s.labels - w->label_count);
    w->label_count = s.labels;
    if (s.id_fields > 1 || s.value_fields > 1) {
        pw_fast_repack(w, &s, bytes.len);
    }
    return true;
}

#endif
