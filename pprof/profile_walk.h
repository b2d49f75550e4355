/* pprof/profile_walk.h - the inside of pw_profile_parse: the walk's state, and its two speeds.
 *
 * Purpose  profile_parse.c drives; profile_fast.h reads messages shaped as every encoder we know
 *          shapes them; profile_message.c reads any message and words the faults. What the fast
 *          readers do not take they leave untouched, for the slow ones.
 * Owner    one parse call.
 * Context  hot. Internal to pprof/.
 * Units    bytes of the canonical encoding are counted as `shrink`: how much smaller than the wire.
 * Errors   readers give false with w->err set, or NULL in it when memory ran out.
 * Limits   struct pw_walk_counts: room in the tables.
 */
#ifndef PW_PPROF_PROFILE_WALK_H
#define PW_PPROF_PROFILE_WALK_H

#include "base/check.h"
#include "pprof/profile.h"
#include "pprof/wire.h"

#define PW_LINE_FIRST_MAX ((1U << 30) - 1) /* more than a body can hold */

struct pw_walk_counts {
    size_t sample, value, label, mapping, location, line, function, string, big;
};

struct pw_walk {
    struct pw_profile *p;
    struct pw_walk_counts cap;
    bool padded_strings; /* a tag or length of one is longer than needed */
    bool full;           /* too little room: start again with exact counts */
    size_t staged_bytes; /* that hold something */
    uint32_t label_count;
    uint32_t own_count; /* ids in own_ids */
    size_t string_bytes;
    int64_t shrink; /* wire bytes minus canonical bytes, of what was read */
    uint64_t comment_bytes;
    uint64_t tail[15]; /* top-level scalars by field number; 0 is left out of the encoding */
    uint64_t period_type[3];
    uint64_t period_unknown;
    const char *err;
};

static inline void
pw_walk_wire_init(struct pw_wire *r, struct pw_slice s, struct pw_fiber *fiber)
{
    pw_wire_init(r, s);
    r->fiber = fiber;
}

static inline uint64_t
pw_varint_size(uint64_t v)
{
    return (uint64_t)((64 - __builtin_clzll(v | 1)) * 9 + 64) / 64;
}

/* Tag, length and content of a submessage or string whose number is below 16. */
static inline uint64_t
pw_len_field_size(uint64_t len)
{
    return 1 + pw_varint_size(len) + len;
}

static inline uint64_t
pw_scalar_size(uint64_t v)
{
    return v == 0 ? 0 : 1 + pw_varint_size(v);
}

/* Always false: a table is full. */
static inline bool
pw_walk_full(struct pw_walk *w)
{
    w->full = true;
    w->err = NULL;
    return false;
}

/* A number that has more than 31 bits; full when there is no room for it. */
uint32_t pw_walk_big(struct pw_walk *w, uint64_t v);

static inline uint32_t
pw_walk_number(struct pw_walk *w, uint64_t v)
{
    return PW_LIKELY(v < PW_PROFILE_BIG) ? (uint32_t)v : pw_walk_big(w, v);
}

/* The caller has seen that there is room. fiber: for a long one. */
static inline void
pw_walk_put_string(struct pw_walk *w, struct pw_slice s, struct pw_fiber *fiber)
{
    struct pw_profile *p = w->p;
    size_t readable = (size_t)(p->bytes.ptr + p->bytes.len - s.ptr);
    pw_text_words all = {0};

    p->string[p->string_count++] =
        (struct pw_string){.hash = pw_text_hash(&p->text_key, s, readable, &all, fiber),
                           .off = (uint32_t)(s.ptr - p->bytes.ptr),
                           .len = (uint32_t)s.len};
    w->string_bytes += s.len;
    if (PW_UNLIKELY(!pw_text_is_ascii(all))) {
        p->wide_first = p->wide_end == 0 ? p->string_count - 1 : p->wide_first;
        p->wide_end = p->string_count;
    }
}

static inline void
pw_raise_max(uint64_t *max, int64_t ref)
{
    *max = (uint64_t)ref > *max ? (uint64_t)ref : *max;
}

static inline void
pw_walk_note_label(struct pw_profile *p, int64_t key, int64_t str, int64_t num_unit)
{
    pw_raise_max(&p->max_label_ref, key);
    pw_raise_max(&p->max_label_ref, num_unit);
    p->max_label_str = str > p->max_label_str ? str : p->max_label_str;
}

/* A sample that is whole: what nobody then has to go through all of them for. */
static inline void
pw_walk_note_sample(struct pw_profile *p, uint32_t locs, uint32_t values, uint32_t labels)
{
    /* Branches, as new ones are rare. */
    if (PW_UNLIKELY(locs > p->depth_max)) {
        p->depth_max = locs;
    }
    if (PW_UNLIKELY(labels > p->labels_max)) {
        p->labels_max = labels;
    }
    if (PW_UNLIKELY(values > p->values_max)) {
        p->values_max = values;
    }
    if (PW_UNLIKELY(values < p->values_least)) {
        p->values_least = values;
    }
}

/* From the first value on that needs it they are 8 bytes wide; there is room for that. */
void pw_walk_widen_values(struct pw_profile *p, size_t n, struct pw_fiber *fiber);

/* The values of the sample that is next, one for each type. */
static inline void
pw_walk_put_values(struct pw_walk *w, const uint64_t *v)
{
    struct pw_profile *p = w->p;
    uint32_t types = p->sample_type_count;
    size_t at = (size_t)p->sample_count * types;
    uint64_t bits = 0;

    if (PW_UNLIKELY(at + types > w->cap.value)) {
        return; /* others have too few: nobody reads any */
    }
    for (uint32_t i = 0; i < types; i++) {
        bits |= v[i];
    }
    if (PW_UNLIKELY(bits > UINT32_MAX) && p->value_bytes == sizeof(uint32_t)) {
        pw_walk_widen_values(p, at, p->scratch->fiber);
    }
    for (uint32_t i = 0; i < types; i++) {
        if (p->value_bytes == sizeof(uint32_t)) {
            ((uint32_t *)p->value)[at + i] = (uint32_t)v[i];
        } else {
            ((uint64_t *)p->value)[at + i] = v[i];
        }
    }
}

/* The reference decoder names the message in some of its texts; the wire reader does not know it. */
const char *pw_walk_named(struct pw_walk *w, const char *message, const char *err);
/* False, and the fault worded, when a known top-level field has another wire type than its own. */
PW_MUST_USE bool pw_walk_type_fits(struct pw_walk *w, const struct pw_wire_field *f);
/* One top-level field of any shape. */
PW_MUST_USE bool pw_walk_field(struct pw_walk *w, const struct pw_wire_field *f,
                               uint64_t wire_bytes);
/* After the last field: fills the scalars of the profile and its encoded size. */
void pw_walk_finish(struct pw_walk *w);

#endif
