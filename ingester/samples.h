/* ingester/samples.h - the numbers of a profile, as columns.
 *
 * Purpose  a row keeps its non-zero samples as two columns, stack ids and values, each in the smallest
 *          width that holds them. Sample types of one profile whose non-zero samples are the same ones
 *          share the stack column. Columns make a row small and let a query add it up in sequence.
 * Owner    the writer of the head writes, readers read below the watermark.
 * Context  hot.
 * Units    widths in bytes: 1, 2, 4, 8.
 * Errors   write cannot fail: the caller has made room for pw_samples_bytes_max.
 * Limits   -
 */
#ifndef PW_INGESTER_SAMPLES_H
#define PW_INGESTER_SAMPLES_H

#include "ingester/symbols.h"

/* One cache line. */
struct pw_row {
    int64_t time_ns;
    int64_t duration_ns;
    int64_t total;
    uint32_t series;
    uint32_t samples_count;
    uint32_t prev_row;     /* of the same series; UINT32_MAX none */
    uint32_t profile_ref8; /* struct pw_row_profile, shared by the rows of one profile */
    uint32_t stacks_ref8;
    uint32_t values_ref8;
    uint32_t spans_ref8; /* 0: no sample has a span */
    uint32_t stack_base; /* added to the entries of the stack column */
    uint32_t span_base;  /* added to the non-zero entries of the span column */
    uint8_t stack_width, span_width;
    uint8_t value_width; /* unsigned below 8 */
    uint8_t pad;
};
static_assert(sizeof(struct pw_row) == 64, "one line a row");

struct pw_row_profile {
    int64_t period;
    uint8_t uuid[16];
};

struct pw_samples_stat { /* of one series of a record and one sample type */
    int64_t total;
    uint32_t nonzero;
    uint32_t value_width;
};

/* The values of a series 64 bits wide, [samples_count][types_count]: in place or in scratch, NULL
 * when that is exhausted. */
const int64_t *pw_samples_values(struct pw_scratch *scratch, const struct pw_record *rec,
                                 const struct pw_record_series *rs);
/* What n samples of each type amount to; stat[types]. */
void pw_samples_measure(const int64_t *value, uint32_t n, uint32_t types,
                        struct pw_samples_stat *stat);
/* Most that write allocates for the series, scratch included in neither. */
size_t pw_samples_bytes_max(const struct pw_record *rec, const struct pw_record_series *rs,
                            const struct pw_samples_stat *stat);

struct pw_samples_in {
    const struct pw_record *rec;
    const struct pw_record_series *rs;
    const struct pw_samples_stat *stat;
    const int64_t *value;     /* pw_samples_values */
    const uint32_t *stack_id; /* per stack of the record */
    uint32_t *tmp;            /* rs->samples_count */
    uint32_t span_base;       /* spans of the tenant before this record */
};

/* Writes the columns; row[t] of every type with non-zero samples gets its column fields, total and
 * count. Rows of other types are left alone. */
void pw_samples_write(struct pw_region *r, const struct pw_samples_in *in, struct pw_row **row);

/* Readers. i < samples_count. */
static inline uint64_t
pw_column_at(const void *column, uint8_t width, uint32_t i)
{
    switch (width) {
    case 1:
        return ((const uint8_t *)column)[i];
    case 2:
        return ((const uint16_t *)column)[i];
    case 4:
        return ((const uint32_t *)column)[i];
    default:
        return ((const uint64_t *)column)[i];
    }
}

#endif
