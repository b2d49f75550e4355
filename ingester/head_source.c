#include "ingester/head_source.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

enum { PARTITION_LOCATIONS = 64 }; /* looked at to name a series' partition */

/* Lines and samples are handed over in place. */
static_assert(sizeof(struct pw_head_line) == sizeof(struct pw_block_line) &&
                  offsetof(struct pw_head_line, line) == offsetof(struct pw_block_line, line),
              "one shape");
static_assert(
    sizeof(struct pw_head_sample) == sizeof(struct pw_block_in_sample) &&
        offsetof(struct pw_head_sample, stack) == offsetof(struct pw_block_in_sample, stack) &&
        offsetof(struct pw_head_sample, span) == offsetof(struct pw_block_in_sample, span) &&
        offsetof(struct pw_head_sample, value) == offsetof(struct pw_block_in_sample, value),
    "one shape");

/* --- The callbacks -------------------------------------------------------------------------------- */

static uint64_t
row_of(const struct pw_head_source *s, uint64_t i)
{
    return s->row == NULL ? i : s->row[i];
}

static void
src_series(const void *ctx, uint32_t id, struct pw_block_in_series *out)
{
    const struct pw_head_source *s = ctx;
    struct pw_head_series series;

    pw_head_series_at(&s->v, id, &series);
    *out = (struct pw_block_in_series){
        .label = series.label,
        .label_count = series.label_count,
        .fingerprint = series.fingerprint,
        .partition = s->partition[id],
    };
}

static void
src_row_peek(const void *ctx, uint64_t i, uint32_t *series, int64_t *time_ns)
{
    const struct pw_head_source *s = ctx;

    pw_head_row_peek(&s->v, row_of(s, i), series, time_ns);
}

static void
src_row(const void *ctx, uint64_t i, struct pw_block_in_row *out)
{
    const struct pw_head_source *s = ctx;
    struct pw_head_row row;

    pw_head_row_at(&s->v, row_of(s, i), &row);
    *out = (struct pw_block_in_row){
        .time_ns = row.time_ns,
        .duration_ns = row.duration_ns,
        .period = row.period,
        .series = row.series,
        .samples_count = row.samples_count,
        .samples_ref = row.samples_ref,
    };
    memcpy(out->uuid, row.uuid, sizeof(out->uuid));
}

static uint32_t
src_samples(const void *ctx, const struct pw_block_in_row *row, uint32_t first,
            struct pw_block_in_sample *out, uint32_t n)
{
    const struct pw_head_source *s = ctx;
    const struct pw_head_row head_row = {.samples_ref = row->samples_ref};

    return pw_head_samples(&s->v, &head_row, first, (struct pw_head_sample *)out, n);
}

static const uint32_t *
src_stack(const void *ctx, uint32_t id, uint32_t *depth)
{
    const struct pw_head_source *s = ctx;

    return pw_head_stack_locs(&s->v, id, depth);
}

static void
src_location(const void *ctx, uint32_t id, struct pw_block_location *out)
{
    const struct pw_head_source *s = ctx;
    struct pw_head_location l;

    pw_head_location(&s->v, id, &l);
    *out = (struct pw_block_location){
        .address = l.address,
        .mapping = l.mapping == UINT32_MAX ? PW_BLOCK_NO_MAPPING : l.mapping,
        .line_count = l.line_count,
        .line = (const struct pw_block_line *)l.line,
    };
}

static void
src_function(const void *ctx, uint32_t id, struct pw_block_function *out)
{
    const struct pw_head_source *s = ctx;
    struct pw_head_function f;

    pw_head_function(&s->v, id, &f);
    *out = (struct pw_block_function){
        .name = f.name,
        .system_name = f.system_name,
        .filename = f.filename,
        .start_line = f.start_line,
    };
}

static void
src_mapping(const void *ctx, uint32_t id, struct pw_block_mapping *out)
{
    /* Bits of pprof/record.h: functions, filenames, line numbers, inline frames. */
    static const uint32_t flag[] = {PW_BLOCK_HAS_FUNCTIONS, PW_BLOCK_HAS_FILENAMES,
                                    PW_BLOCK_HAS_LINE_NUMBERS, PW_BLOCK_HAS_INLINE_FRAMES};
    const struct pw_head_source *s = ctx;
    struct pw_head_mapping m;

    pw_head_mapping(&s->v, id, &m);
    *out = (struct pw_block_mapping){
        .memory_start = m.memory_start,
        .memory_limit = m.memory_limit,
        .file_offset = m.file_offset,
        .filename = m.filename,
        .build_id = m.build_id,
    };
    for (uint32_t i = 0; i < PW_ARRAY_LEN(flag); i++) {
        out->flags |= (m.flags & 1U << i) != 0 ? flag[i] : 0;
    }
}

static struct pw_slice
src_string(const void *ctx, uint32_t id)
{
    const struct pw_head_source *s = ctx;

    return pw_head_string(&s->v, id);
}

static void
src_span(const void *ctx, uint32_t span, struct pw_block_span *out)
{
    const struct pw_head_source *s = ctx;
    struct pw_record_span_id id;

    pw_head_span(&s->v, span, &id);
    *out = (struct pw_block_span){0};
    if (id.has_span) {
        memcpy(out->span_id, id.span_id, sizeof(out->span_id));
    }
    if (id.has_trace) {
        memcpy(out->trace_id, id.trace_id, sizeof(out->trace_id));
    }
}

void
pw_head_source_describe(const struct pw_head_source *s, struct pw_block_source *out)
{
    *out = (struct pw_block_source){
        .ctx = s,
        .rows_count = s->rows,
        .series_count = s->v.series_count,
        .stacks_count = s->v.stacks_count,
        .locations_count = s->v.locations_count,
        .functions_count = s->v.functions_count,
        .mappings_count = s->v.mappings_count,
        .strings_count = s->v.strings_count,
        .series = src_series,
        .row_peek = src_row_peek,
        .row = src_row,
        .samples = src_samples,
        .stack = src_stack,
        .location = src_location,
        .function = src_function,
        .mapping = src_mapping,
        .string = src_string,
        .span = src_span,
    };
}

/* --- Symbol partitions -------------------------------------------------------------------------- */

/* File name of the first mapping on the way from the root of a stack of the series: mostly the program
 * itself. (The head does not keep which mapping a profile listed first; readers take any partition.) */
static struct pw_slice
mapping_of(const struct pw_head_view *v, uint32_t series)
{
    uint64_t i = pw_head_series_last_row(v, series);
    struct pw_head_row row;
    struct pw_head_sample sample;
    const uint32_t *loc;
    uint32_t depth;

    if (i == PW_HEAD_NO_ROW) {
        return (struct pw_slice){0};
    }
    pw_head_row_at(v, i, &row);
    if (pw_head_samples(v, &row, 0, &sample, 1) == 0) {
        return (struct pw_slice){0};
    }
    loc = pw_head_stack_locs(v, sample.stack, &depth);
    for (uint32_t k = 0; k < depth && k < PARTITION_LOCATIONS; k++) {
        struct pw_head_location l;
        struct pw_head_mapping m;

        pw_head_location(v, loc[depth - 1 - k], &l);
        if (l.mapping == UINT32_MAX) {
            continue;
        }
        pw_head_mapping(v, l.mapping, &m);
        if (pw_head_string(v, m.filename).len > 0) {
            return pw_head_string(v, m.filename);
        }
    }
    return (struct pw_slice){0};
}

static struct pw_slice
service_of(const struct pw_head_series *s)
{
    for (uint32_t i = 0; i < s->label_count; i++) {
        if (pw_slice_eq_str(s->label[i].name, "service_name")) {
            return s->label[i].value;
        }
    }
    return (struct pw_slice){0};
}

uint64_t *
pw_head_source_partitions(const struct pw_head_view *v)
{
    uint64_t *p = malloc(((size_t)v->series_count + 1) * sizeof(*p));

    for (uint32_t i = 0; p != NULL && i < v->series_count; i++) {
        struct pw_head_series s;

        pw_head_series_at(v, i, &s);
        p[i] = pw_block_partition(mapping_of(v, i), service_of(&s));
    }
    return p;
}
