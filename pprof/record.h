/* pprof/record.h - a profile in canonical form: what crosses a lane, and later the WAL and the link.
 *
 * Purpose  the part of one pushed profile that goes to one owner: its symbols once, and one or more
 *          series (label sets) with their samples. Self-contained, position independent, written
 *          once and read in place. Hashes are carried, so that the head looks a whole stack up before
 *          it touches a single symbol.
 * Owner    the writer owns the memory until it is committed to the lane; readers never change it.
 * Context  hot.
 * Units    offsets in bytes from the start of the record; host byte order (never leaves the machine
 *          in this form).
 * Errors   build returns bytes written or PW_ENOSPC. Readers trust a record: it is our own state
 *          (pw_record_check is for tests and for what comes from disk or a peer).
 * Limits   PW_PROFILE_* (base/limits.h).
 *
 *     +--------+---------+---------+-----------+---------+----------+-------+--------+-------+
 *     | header | strings | mapping | functions | lines   | location | stack | series | bytes |
 *     +--------+---------+---------+-----------+---------+----------+-------+--------+-------+
 *     series: labels, then per sample one pw_record_sample and types_count int64 values
 */
#ifndef PW_PPROF_RECORD_H
#define PW_PPROF_RECORD_H

#include "base/err.h"
#include "base/types.h"
#include "pprof/labels.h"
#include "pprof/profile.h"

enum { PW_RECORD_VERSION = 1 };

struct pw_record_span { /* bytes inside the record */
    uint32_t off;
    uint32_t len;
};

struct pw_record_string {
    uint32_t off;
    uint32_t len;
    uint64_t hash; /* keyed */
};

struct pw_record_mapping {
    uint64_t memory_start, memory_limit, file_offset;
    uint32_t filename, build_id; /* string indices */
    uint32_t flags;              /* bit 0 functions, 1 filenames, 2 line numbers, 3 inline frames */
    uint32_t pad;
    uint64_t hash;
};

struct pw_record_function {
    uint32_t name, system_name, filename;
    uint32_t pad;
    int64_t start_line;
    uint64_t hash;
};

struct pw_record_line {
    uint32_t function;
    uint32_t pad;
    int64_t line;
};

struct pw_record_location {
    uint64_t address;
    uint64_t hash;
    uint32_t mapping;
    uint32_t line_first;
    uint32_t line_count;
    uint32_t is_folded;
};

struct pw_record_stack {
    uint64_t hash;      /* keyed, of content */
    uint32_t loc_first; /* into the loc table, leaf first */
    uint32_t loc_count;
};

struct pw_record_sample {
    uint32_t stack;
    uint32_t span; /* index + 1 into the spans table of this record, 0 for none */
};

struct pw_record_span_id { /* sample labels span_id and trace_id, decoded */
    uint8_t span_id[8];
    uint8_t trace_id[16];
    uint8_t has_span, has_trace;
    uint8_t pad[6];
};

struct pw_record_label {
    struct pw_record_span name;
    struct pw_record_span value;
};

struct pw_record_series {
    uint8_t uuid[16];
    uint64_t key;          /* keyed hash of labels and sample types: how the head finds the series */
    uint32_t labels_off;   /* struct pw_record_label[labels_count], sorted by name; final, stripped of
                              __delta__, __order__; without __type__, __unit__, __profile_type__, ... */
    uint32_t labels_count;
    uint32_t samples_off;  /* struct pw_record_sample[samples_count] */
    uint32_t samples_count;
    uint32_t values_off;   /* int64_t[samples_count][types_count] */
    uint32_t pad;
};

struct pw_record_type {
    struct pw_record_span type;
    struct pw_record_span unit;
};

struct pw_record {
    uint32_t bytes; /* of the whole record, a multiple of 16 */
    uint16_t version;
    uint16_t types_count;
    int64_t time_nanos;
    int64_t duration_nanos;
    int64_t period;
    uint32_t has_period_type;
    uint32_t loc_bytes; /* 2 or 4: width of the entries of the loc table */
    struct pw_record_span tenant;
    struct pw_record_span period_type, period_unit;
    uint32_t types_off; /* struct pw_record_type[types_count] */
    uint32_t strings_off, strings_count;
    uint32_t mappings_off, mappings_count;
    uint32_t functions_off, functions_count;
    uint32_t lines_off, lines_count;
    uint32_t locations_off, locations_count;
    uint32_t stacks_off, stacks_count;
    uint32_t locs_off, locs_count;
    uint32_t spans_off, spans_count;
    uint32_t series_off, series_count;
};

/* One series to write: which of the normalised samples belong to it. */
struct pw_record_group {
    const struct pw_labels *labels; /* final, sorted, stripped */
    uint8_t uuid[16];
    const uint32_t *sample; /* indices into p->sample; samples of equal stack and span are summed */
    const uint32_t *span;   /* per entry of sample: index + 1 into spans, 0 for none; NULL: none */
    uint32_t sample_count;
    uint32_t pad;
};

struct pw_record_source {
    const struct pw_profile *profile; /* normalised */
    struct pw_slice tenant;
    const struct pw_record_group *group;
    uint32_t group_count;
    uint32_t span_count;
    const struct pw_record_span_id *span;
};

/* Upper bound of what build writes for src. */
size_t pw_record_bytes_max(const struct pw_record_source *src);
/* Writes the record at out (16-aligned). Only symbols that the groups' samples use need be valid;
 * others may be left out as long as indices agree. Bytes written, or PW_ENOSPC. */
PW_MUST_USE int64_t pw_record_build(const struct pw_record_source *src, void *out, size_t cap);

/* Every offset, count and index inside bounds; for records from outside this process. 0 or PW_EINVAL. */
PW_MUST_USE int pw_record_check(const void *data, size_t len);

#define PW_RECORD_AT(rec, type, off) ((const type *)(const void *)((const uint8_t *)(rec) + (off)))

static inline struct pw_slice
pw_record_slice(const struct pw_record *r, struct pw_record_span s)
{
    return pw_slice((const uint8_t *)r + s.off, s.len);
}

#endif
