/* The series of a record: labels and samples of each group. */
#include "base/check.h"
#include "base/hash.h"
#include "pprof/record_write.h"

/* Values of a record are as wide as those of the whole profile, unless samples add up to more. */
static uint32_t
value_width(const struct pw_profile *p)
{
    return pw_record_width(p->value_bits, 1);
}

size_t
pw_record_series_bytes_max(const struct pw_record_source *src, uint32_t stack_bytes)
{
    const struct pw_profile *p = src->profile;
    uint32_t value_bytes = p->label_set_count > 1 ? sizeof(int64_t) : value_width(p);
    size_t n = 0;

    for (uint32_t g = 0; g < src->group_count; g++) {
        const struct pw_record_group *group = &src->group[g];

        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, g, 128);
        n += sizeof(struct pw_record_series) + 4 * (size_t)PW_RECORD_SECTION_ALIGN;
        n += group->labels->count * sizeof(struct pw_record_label);
        for (uint32_t i = 0; i < group->labels->count; i++) {
            n += group->labels->pair[i].name.len + group->labels->pair[i].value.len;
        }
        n += group->sample_count * (stack_bytes + (group->span == NULL ? 0 : sizeof(uint32_t)) +
                                    (size_t)p->sample_type_count * value_bytes);
    }
    return n;
}

/* Text that the label at the same place of the group before has too lies there already. */
static bool
put_label_text(struct pw_record_writer *w, struct pw_slice s, const struct pw_slice *before,
               struct pw_record_span there, struct pw_record_span *out)
{
    if (before != NULL && before->ptr == s.ptr && before->len == s.len) {
        *out = there;
        return true;
    }
    return pw_record_put_text(w, s, out);
}

static bool
write_labels(struct pw_record_writer *w, uint32_t g, struct pw_record_series *series)
{
    const struct pw_labels *labels = w->src->group[g].labels;
    const struct pw_labels *before = g == 0 ? NULL : w->src->group[g - 1].labels;
    const struct pw_record_label *there =
        g == 0 ? NULL : PW_RECORD_AT(w->rec, struct pw_record_label, series[-1].labels_off);
    struct pw_record_label *out =
        pw_record_section(w, labels->count, sizeof(*out), &series->labels_off);
    bool ok = out != NULL;

    series->labels_count = labels->count;
    for (uint32_t i = 0; ok && i < labels->count; i++) {
        const struct pw_label_pair *l = &labels->pair[i];
        bool both = before != NULL && i < before->count;
        const struct pw_label_pair *b = both ? &before->pair[i] : NULL;
        struct pw_record_label at = both ? there[i] : (struct pw_record_label){0};

        ok = put_label_text(w, l->name, both ? &b->name : NULL, at.name, &out[i].name) &&
             put_label_text(w, l->value, both ? &b->value : NULL, at.value, &out[i].value);
    }
    return ok;
}

static uint64_t
series_key(const struct pw_profile *p, const struct pw_labels *labels)
{
    uint64_t key = p->hash_key;

    for (uint32_t i = 0; i < labels->count; i++) {
        const struct pw_label_pair *l = &labels->pair[i];

        key = pw_hash_mix(key, pw_hash_keyed(p->hash_key, l->name.ptr, l->name.len));
        key = pw_hash_mix(key, pw_hash_keyed(p->hash_key, l->value.ptr, l->value.len));
    }
    for (uint32_t t = 0; t < p->sample_type_count; t++) {
        key = pw_hash_mix(key, p->string[p->sample_type[t].type_ref].hash);
        key = pw_hash_mix(key, p->string[p->sample_type[t].unit_ref].hash);
    }
    return pw_hash_mix(key, labels->count);
}

/* One series while its samples are written. */
struct samples {
    void *stack;
    uint32_t *span; /* NULL: none has one */
    void *value;
    uint32_t stack_bytes, value_bytes, count;
};

static inline uint32_t
stack_of(const struct samples *x, uint32_t at)
{
    return x->stack_bytes == 2 ? ((const uint16_t *)x->stack)[at]
                               : ((const uint32_t *)x->stack)[at];
}

/* The place of (stack, span) among the samples of this series: an earlier one or the next. Tables
 * are shared by all series and not cleared in between: an entry counts only when it points at an
 * equal sample. */
static uint32_t
sample_place(struct pw_record_writer *w, const struct samples *x, uint32_t stack, uint32_t span)
{
    uint32_t n = x->count;
    uint64_t i;

    if (span == 0) {
        uint32_t at = w->sample_at[stack];

        if (at < n && stack_of(x, at) == stack && (x->span == NULL || x->span[at] == 0)) {
            return at;
        }
        w->sample_at[stack] = n;
        return n;
    }
    i = pw_hash_mix(w->src->profile->hash_key, (uint64_t)stack << 32 | span) & w->slot_mask;
    for (; w->sample_slot[i] != 0; i = (i + 1) & w->slot_mask) {
        uint32_t at = w->sample_slot[i] - 1;

        if (at < n && stack_of(x, at) == stack && x->span[at] == span) {
            return at;
        }
    }
    w->sample_slot[i] = n + 1;
    return n;
}

static uint64_t
value_at(const struct samples *x, size_t i)
{
    switch (x->value_bytes) {
    case 1:
        return ((const uint8_t *)x->value)[i];
    case 2:
        return ((const uint16_t *)x->value)[i];
    case 4:
        return ((const uint32_t *)x->value)[i];
    default:
        return ((const uint64_t *)x->value)[i];
    }
}

/* Adds values of the profile, from entry `from` on, to those that begin at entry i; false when a sum is too wide. */
static bool
add_values(const struct samples *x, size_t i, const struct pw_profile *p, size_t from)
{
    for (uint32_t t = 0; t < p->sample_type_count; t++) {
        uint64_t sum = value_at(x, i + t) + (uint64_t)pw_profile_value(p, from + t);

        if (pw_record_width(sum, 1) > x->value_bytes) {
            return false;
        }
        pw_record_put_uint(x->value, x->value_bytes, i + t, sum);
    }
    return true;
}

/* False when values add up to more than the column holds. */
static inline __attribute__((always_inline)) bool
fill_samples(struct pw_record_writer *w, const struct pw_record_group *group, struct samples *x,
             uint32_t stack_bytes, uint32_t value_bytes)
{
    const struct pw_profile *p = w->src->profile;
    uint32_t types = p->sample_type_count;

    for (uint32_t i = 0; i < group->sample_count; i++) {
        uint32_t sample = pw_record_sample_of(group, i);
        uint32_t stack = w->stack_at[pw_profile_stack_of(p, sample)] - 1;
        uint32_t span = x->span == NULL ? 0 : group->span[i];
        uint32_t at = sample_place(w, x, stack, span);
        size_t from = (size_t)sample * types;

        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 1024);
        if (at != x->count) {
            if (!add_values(x, (size_t)at * types, p, from)) {
                return false;
            }
            continue;
        }
        x->count++;
        pw_record_put_uint(x->stack, stack_bytes, at, stack);
        if (x->span != NULL) {
            x->span[at] = span;
        }
        for (uint32_t t = 0; t < types; t++) {
            pw_record_put_uint(x->value, value_bytes, (size_t)at * types + t,
                               (uint64_t)pw_profile_value(p, from + t));
        }
    }
    return true;
}

/* Each sample is the only one of its stack. */
static inline __attribute__((always_inline)) bool
fill_straight(struct pw_record_writer *w, uint32_t n, struct samples *x, uint32_t stack_bytes,
              uint32_t value_bytes)
{
    const struct pw_profile *p = w->src->profile;
    size_t values = (size_t)n * p->sample_type_count;

    for (uint32_t i = 0; i < n; i++) {
        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 16384);
        pw_record_put_uint(x->stack, stack_bytes, i, i);
    }
    for (size_t i = 0; i < values; i++) {
        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 16384);
        pw_record_put_uint(x->value, value_bytes, i, (uint64_t)pw_profile_value(p, i));
    }
    x->count = n;
    return true;
}

static bool
fill_straight_of(struct pw_record_writer *w, uint32_t n, struct samples *x)
{
    uint32_t value_bytes = x->value_bytes;

    if (x->stack_bytes != 2) {
        return fill_straight(w, n, x, x->stack_bytes, value_bytes);
    }
    return value_bytes == 1   ? fill_straight(w, n, x, 2, 1)
           : value_bytes == 2 ? fill_straight(w, n, x, 2, 2)
           : value_bytes == 4 ? fill_straight(w, n, x, 2, 4)
                              : fill_straight(w, n, x, 2, 8);
}

static bool
fill_samples_of(struct pw_record_writer *w, const struct pw_record_group *group, struct samples *x)
{
    uint32_t value_bytes = x->value_bytes;

    if (x->stack_bytes != 2) {
        return fill_samples(w, group, x, x->stack_bytes, value_bytes);
    }
    return value_bytes == 1   ? fill_samples(w, group, x, 2, 1)
           : value_bytes == 2 ? fill_samples(w, group, x, 2, 2)
           : value_bytes == 4 ? fill_samples(w, group, x, 2, 4)
                              : fill_samples(w, group, x, 2, 8);
}

/* Written at one width of values; 1 when that was enough, 0 when not, PW_ENOSPC. */
static int
try_samples(struct pw_record_writer *w, const struct pw_record_group *group,
            struct pw_record_series *series, uint32_t value_bytes)
{
    size_t n = group->sample_count, types = w->src->profile->sample_type_count;
    struct samples x = {.stack_bytes = w->rec->stack_bytes, .value_bytes = value_bytes};

    x.value = pw_record_section(w, n * types, value_bytes, &series->values_off);
    x.span =
        group->span == NULL ? NULL : pw_record_section(w, n, sizeof(*x.span), &series->spans_off);
    x.stack = pw_record_section(w, n, x.stack_bytes, &series->samples_off);
    if (x.value == NULL || x.stack == NULL || (group->span != NULL && x.span == NULL)) {
        return PW_ENOSPC;
    }
    if (x.span != NULL) {
        /* As much of the table as this group needs: with all of it many small groups beside a large one would
         * clear it many times. */
        uint64_t size = 16;

        while (size < 2 * n) { /* at most 33 turns */
            size *= 2;
        }
        w->slot_mask = size - 1;
        pw_fiber_clear(w->src->profile->scratch->fiber, w->sample_slot,
                       size * sizeof(*w->sample_slot));
    }
    if (!(w->straight ? fill_straight_of(w, (uint32_t)n, &x) : fill_samples_of(w, group, &x))) {
        return 0;
    }
    if (x.count < n) { /* nothing of what lay there leaves with the record */
        memset((uint8_t *)x.value + x.count * types * value_bytes, 0,
               (n - x.count) * types * value_bytes);
        memset((uint8_t *)x.stack + (size_t)x.count * x.stack_bytes, 0,
               (n - x.count) * x.stack_bytes);
        memset(x.span == NULL ? x.stack : (void *)(x.span + x.count), 0,
               x.span == NULL ? 0 : (n - x.count) * sizeof(*x.span));
    }
    series->samples_count = x.count;
    series->value_bytes = value_bytes;
    return 1;
}

static bool
write_samples(struct pw_record_writer *w, const struct pw_record_group *group,
              struct pw_record_series *series)
{
    size_t mark = w->used;
    int rc = try_samples(w, group, series, value_width(w->src->profile));

    if (rc == 0) {
        w->used = mark;
        rc = try_samples(w, group, series, sizeof(int64_t));
    }
    return rc == 1;
}

bool
pw_record_write_series(struct pw_record_writer *w)
{
    struct pw_record_series *out =
        pw_record_section(w, w->src->group_count, sizeof(*out), &w->rec->series_off);

    if (out == NULL) {
        return false;
    }
    w->rec->series_count = w->src->group_count;
    for (uint32_t g = 0; g < w->src->group_count; g++) {
        const struct pw_record_group *group = &w->src->group[g];

        PW_FIBER_PAUSE_EVERY(w->src->profile->scratch->fiber, g, 16);
        out[g] = (struct pw_record_series){.key = series_key(w->src->profile, group->labels)};
        memcpy(out[g].uuid, group->uuid, sizeof(out[g].uuid));
        if (!write_labels(w, g, &out[g]) || !write_samples(w, group, &out[g])) {
            return false;
        }
    }
    return true;
}
