#include "ingester/samples.h"

static uint32_t
width_of(uint64_t max)
{
    return max <= UINT8_MAX ? 1 : max <= UINT16_MAX ? 2 : max <= UINT32_MAX ? 4 : 8;
}

#define WIDEN(T)                                                                                   \
    do {                                                                                           \
        const T *v = PW_RECORD_AT(rec, T, rs->values_off);                                         \
        for (size_t i = 0; i < n; i++) {                                                           \
            out[i] = v[i];                                                                         \
        }                                                                                          \
    } while (0)

const int64_t *
pw_samples_values(struct pw_scratch *scratch, const struct pw_record *rec,
                  const struct pw_record_series *rs)
{
    size_t n = (size_t)rs->samples_count * rec->types_count;
    int64_t *out;

    if (rs->value_bytes == sizeof(*out)) {
        return PW_RECORD_AT(rec, int64_t, rs->values_off);
    }
    out = pw_scratch_array(scratch, n, sizeof(*out));
    if (out == NULL) {
        return NULL;
    }
    switch (rs->value_bytes) {
    case 1:
        WIDEN(uint8_t);
        break;
    case 2:
        WIDEN(uint16_t);
        break;
    default:
        WIDEN(uint32_t);
        break;
    }
    return out;
}

void
pw_samples_measure(const int64_t *value, uint32_t n, uint32_t types, struct pw_samples_stat *stat)
{
    for (uint32_t t = 0; t < types; t++) {
        const int64_t *v = value + t;
        uint64_t total = 0, any = 0;
        uint32_t nonzero = 0;

        for (uint32_t i = 0; i < n; i++, v += types) {
            total += (uint64_t)*v; /* wraps as Go's int64 sums do */
            any |= (uint64_t)*v;   /* a negative one sets the top bit: width 8 keeps the sign */
            nonzero += *v != 0;
        }
        stat[t] = (struct pw_samples_stat){
            .total = (int64_t)total, .nonzero = nonzero, .value_width = width_of(any)};
    }
}

size_t
pw_samples_bytes_max(const struct pw_record *rec, const struct pw_record_series *rs,
                     const struct pw_samples_stat *stat)
{
    size_t bytes = sizeof(struct pw_row_profile) + 8;

    for (uint32_t t = 0; t < rec->types_count; t++) {
        size_t per_sample = stat[t].value_width + 2 * sizeof(uint32_t); /* stack, span */

        /* Three columns: each may lose 7 bytes to alignment, and values_write takes one value more. */
        bytes += stat[t].nonzero * per_sample + 4 * (size_t)8;
    }
    return bytes;
}

static uint32_t
column_write(struct pw_region *r, const uint32_t *v, uint32_t n, uint32_t base, uint32_t width)
{
    void *column = pw_region_alloc(r, PW_REGION_SAMPLES, (size_t)n * width, 8);

    switch (width) {
    case 1:
        for (uint32_t i = 0; i < n; i++) {
            ((uint8_t *)column)[i] = (uint8_t)(v[i] - base);
        }
        break;
    case 2:
        for (uint32_t i = 0; i < n; i++) {
            ((uint16_t *)column)[i] = (uint16_t)(v[i] - base);
        }
        break;
    default:
        for (uint32_t i = 0; i < n; i++) {
            ((uint32_t *)column)[i] = v[i] - base;
        }
    }
    return pw_region_ref8(r, column);
}

/* Copies the non-zero values of type t, one loop a width so that each is a plain strided copy. */
#define COPY_NONZERO(T)                                                                            \
    do {                                                                                           \
        T *out = (T *)column;                                                                      \
        for (uint32_t i = 0; i < n; i++, v += types) {                                             \
            *out = (T)*v;                                                                          \
            out += *v != 0;                                                                        \
        }                                                                                          \
    } while (0)

static uint32_t
values_write(struct pw_region *r, const struct pw_samples_in *in, uint32_t t)
{
    uint32_t types = in->rec->types_count, n = in->rs->samples_count;
    uint32_t width = in->stat[t].value_width;
    const int64_t *v = in->value + t;
    /* One more: a trailing zero is written behind the last before it is found to be zero. */
    void *column =
        pw_region_alloc(r, PW_REGION_SAMPLES, ((size_t)in->stat[t].nonzero + 1) * width, 8);

    switch (width) {
    case 1:
        COPY_NONZERO(uint8_t);
        break;
    case 2:
        COPY_NONZERO(uint16_t);
        break;
    case 4:
        COPY_NONZERO(uint32_t);
        break;
    default:
        COPY_NONZERO(uint64_t);
    }
    return pw_region_ref8(r, column);
}

/* The stack and span columns of the samples that are not zero in type t. */
static void
stacks_write(struct pw_region *r, const struct pw_samples_in *in, uint32_t t, struct pw_row *row)
{
    uint32_t types = in->rec->types_count, n = in->rs->samples_count, kept = 0;
    const int64_t *v = in->value + t;
    uint32_t min = UINT32_MAX, max = 0, any_span = 0;

    for (uint32_t i = 0; i < n; i++, v += types) {
        if (*v != 0) {
            uint32_t id = in->stack_id[pw_record_sample_stack(in->rec, in->rs, i)];

            in->tmp[kept++] = id;
            min = id < min ? id : min;
            max = id > max ? id : max;
            any_span |= pw_record_sample_span(in->rec, in->rs, i);
        }
    }
    row->stack_base = min;
    row->stack_width = (uint8_t)width_of(max - min);
    row->stacks_ref8 = column_write(r, in->tmp, kept, min, row->stack_width);
    row->spans_ref8 = 0;
    if (any_span == 0) {
        return;
    }
    v = in->value + t;
    kept = 0;
    for (uint32_t i = 0; i < n; i++, v += types) {
        if (*v != 0) {
            in->tmp[kept++] = pw_record_sample_span(in->rec, in->rs, i);
        }
    }
    row->span_base = in->span_base;
    row->span_width = (uint8_t)width_of(in->rec->spans_count);
    row->spans_ref8 = column_write(r, in->tmp, kept, 0, row->span_width);
}

/* Whether types t and u are zero in the same samples. */
static bool
same_samples(const struct pw_samples_in *in, uint32_t t, uint32_t u)
{
    uint32_t types = in->rec->types_count, n = in->rs->samples_count;
    const int64_t *v = in->value;
    uint32_t differ = 0;

    if (in->stat[t].nonzero != in->stat[u].nonzero) {
        return false;
    }
    if (in->stat[t].nonzero == n) {
        return true;
    }
    for (uint32_t i = 0; i < n; i++, v += types) {
        differ |= (v[t] != 0) ^ (v[u] != 0);
    }
    return differ == 0;
}

void
pw_samples_write(struct pw_region *r, const struct pw_samples_in *in, struct pw_row **row)
{
    struct pw_row_profile *profile = pw_region_alloc(r, PW_REGION_SAMPLES, sizeof(*profile), 8);

    profile->period = in->rec->period;
    memcpy(profile->uuid, in->rs->uuid, sizeof(profile->uuid));
    for (uint32_t t = 0; t < in->rec->types_count; t++) {
        uint32_t u = 0;

        if (in->stat[t].nonzero == 0) {
            continue;
        }
        row[t]->profile_ref8 = pw_region_ref8(r, profile);
        row[t]->total = in->stat[t].total;
        row[t]->samples_count = in->stat[t].nonzero;
        row[t]->value_width = (uint8_t)in->stat[t].value_width;
        row[t]->values_ref8 = values_write(r, in, t);
        while (u < t && !same_samples(in, t, u)) {
            u++;
        }
        if (u == t) {
            stacks_write(r, in, t, row[t]);
        } else {
            row[t]->stack_base = row[u]->stack_base;
            row[t]->stack_width = row[u]->stack_width;
            row[t]->stacks_ref8 = row[u]->stacks_ref8;
            row[t]->spans_ref8 = row[u]->spans_ref8;
            row[t]->span_base = row[u]->span_base;
            row[t]->span_width = row[u]->span_width;
        }
    }
}
