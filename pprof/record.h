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
 *     +--------+---------+----------+-----------+-------+-----------+--------+-------+--------+
 *     | header | strings | mappings | functions | lines | locations | stacks | spans | series |
 *     +--------+---------+----------+-----------+-------+-----------+--------+-------+--------+
 *
 * Or finished in place (record_place.h): then sections lie in another order and dead bytes of the same push
 * between them. Readers go by offsets and know no difference.
 *
 * A record is as large as what it was made from: tables are
 * columns, one after another, each as wide as its largest entry needs; texts and lists of locations
 * keep the varints of the wire they are copied from. Read it through the pw_record_* below. Only what
 * a look-up begins with carries its hash: stacks, locations, mappings; whoever must go deeper hashes
 * the few strings that are new to it.
 */
#ifndef PW_PPROF_RECORD_H
#define PW_PPROF_RECORD_H

#include "base/check.h"
#include "base/err.h"
#include "base/types.h"
#include "pprof/labels.h"
#include "pprof/profile.h"

enum { PW_RECORD_VERSION = 3 };

struct pw_record_span { /* bytes inside the record */
    uint32_t off;
    uint32_t len;
};

struct pw_record_mapping {
    uint64_t memory_start, memory_limit, file_offset;
    uint32_t filename, build_id; /* string indices */
    uint32_t flags;              /* bit 0 functions, 1 filenames, 2 line numbers, 3 inline frames */
    uint32_t pad;
    uint64_t hash; /* keyed, of content */
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
    uint64_t key;        /* keyed hash of labels and sample types: how the head finds the series */
    uint32_t labels_off; /* struct pw_record_label[labels_count], sorted by name; final, stripped of
                              __delta__, __order__; without __type__, __unit__, __profile_type__, ... */
    uint32_t labels_count;
    uint32_t samples_count;
    uint32_t samples_off; /* [samples_count] of stack_bytes: the stack of each */
    uint32_t spans_off;   /* uint32_t[samples_count]: index + 1 into the spans, 0 none; 0 here: no
                             sample has one */
    uint32_t values_off;  /* [samples_count][types_count] of value_bytes */
    uint32_t value_bytes; /* 1, 2, 4: never negative; 8: as int64_t */
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
    /* Widths of columns, in bytes. */
    uint8_t ref_bytes;     /* 2, 4: indices into strings, functions, lines and mappings */
    uint8_t number_bytes;  /* 2, 4, 8: lines in files */
    uint8_t address_bytes; /* 0 (all of them are 0), 4, 8 */
    uint8_t stack_bytes;   /* 2, 4: indices into stacks, and depths */
    struct pw_record_span tenant;
    struct pw_record_span period_type, period_unit;
    uint32_t types_off;   /* struct pw_record_type[types_count] */
    uint32_t strings_off; /* uint32_t[strings_count]: offset of a length as varint and the text */
    uint32_t strings_count;
    uint32_t mappings_off, mappings_count; /* struct pw_record_mapping[mappings_count] */
    uint32_t functions_off;                /* refs: name, system name, file name of each */
    uint32_t start_lines_off;              /* numbers */
    uint32_t functions_count;
    uint32_t line_functions_off; /* refs */
    uint32_t line_numbers_off;   /* numbers */
    uint32_t lines_count;
    uint32_t location_hashes_off;   /* uint64_t, keyed, of content */
    uint32_t addresses_off;         /* of address_bytes */
    uint32_t location_lines_off;    /* refs, one more than locations: first line of each */
    uint32_t location_mappings_off; /* refs: twice the mapping, and 1 when folded */
    uint32_t locations_count;
    uint32_t stack_hashes_off; /* uint64_t, keyed, of content */
    uint32_t stack_locs_off;   /* uint32_t, one more than stacks: where its list begins, in locs */
    uint32_t stack_depths_off; /* of stack_bytes */
    uint32_t stacks_count;
    uint32_t locs_off, locs_bytes;   /* varints: locations as index + 1, leaf first; at least
                                      PW_RECORD_LOCS_SLACK bytes of the record lie behind them */
    uint32_t spans_off, spans_count; /* struct pw_record_span_id[spans_count] */
    uint32_t series_off, series_count;
    /* The gzip body it was made from, when this record is all of it: raw_bytes 0, it is not here. The log
     * keeps that instead of the tables above, and makes the record again from what follows. */
    uint32_t raw_off, raw_bytes;
    uint32_t raw_depth_max,
        raw_symbol_max; /* limits of pw_profile_validate that change a profile */
    uint32_t raw_go;    /* whether it went through the fix-ups for Go */
    uint32_t raw_pad;
};

enum { PW_RECORD_LOCS_SLACK = 64 };

/* One series to write: which of the normalised samples belong to it. */
struct pw_record_group {
    const struct pw_labels *labels; /* final, sorted, stripped */
    uint8_t uuid[16];
    /* Indices into p->sample; samples of equal stack and span are summed. NULL: all of them, in order. */
    const uint32_t *sample;
    const uint32_t *span; /* per entry of sample: index + 1 into spans, 0 for none; NULL: none */
    uint32_t sample_count;
    uint32_t pad;
};

struct pw_record_raw { /* a profile as it was pushed; see struct pw_record */
    const struct pw_slice *piece;
    uint32_t piece_count;
    uint32_t depth_max, symbol_max;
    size_t bytes; /* of all pieces */
    bool go;
};

struct pw_record_source {
    const struct pw_record_raw *raw;  /* NULL: not all of it, or not gzip */
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

/* Entry i of a column. Comparisons, no jump table: a record's widths do not change within a loop. */
static inline uint64_t
pw_record_uint(const struct pw_record *r, uint32_t off, uint32_t width, size_t i)
{
    if (PW_LIKELY(width == 2)) {
        return PW_RECORD_AT(r, uint16_t, off)[i];
    }
    if (width == 4) {
        return PW_RECORD_AT(r, uint32_t, off)[i];
    }
    if (width == 8) {
        return PW_RECORD_AT(r, uint64_t, off)[i];
    }
    return width == 1 ? PW_RECORD_AT(r, uint8_t, off)[i] : 0;
}

/* The same where the width is 2 or 4. */
static inline uint32_t
pw_record_index(const struct pw_record *r, uint32_t off, uint32_t width, size_t i)
{
    return width == 2 ? PW_RECORD_AT(r, uint16_t, off)[i] : PW_RECORD_AT(r, uint32_t, off)[i];
}

static inline uint32_t
pw_record_ref(const struct pw_record *r, uint32_t off, size_t i)
{
    return pw_record_index(r, off, r->ref_bytes, i);
}

/* A varint of at most 32 bits; moves past it. */
static inline uint32_t
pw_record_varint(const uint8_t **p)
{
    uint32_t v = *(*p)++;

    if (PW_UNLIKELY(v >= 0x80)) {
        v &= 0x7F;
        for (uint32_t shift = 7;; shift += 7) { /* at most four turns */
            uint32_t b = *(*p)++;

            v |= (b & 0x7F) << shift;
            if (b < 0x80) {
                break;
            }
        }
    }
    return v;
}

static inline struct pw_slice
pw_record_string(const struct pw_record *r, uint32_t i)
{
    const uint8_t *p = (const uint8_t *)r + PW_RECORD_AT(r, uint32_t, r->strings_off)[i];
    uint32_t len = pw_record_varint(&p);

    return pw_slice(p, len);
}

struct pw_record_function { /* as read */
    uint32_t name, system_name, filename;
    int64_t start_line;
};

static inline struct pw_record_function
pw_record_function(const struct pw_record *r, uint32_t i)
{
    size_t at = 3 * (size_t)i;

    return (struct pw_record_function){
        .name = pw_record_ref(r, r->functions_off, at),
        .system_name = pw_record_ref(r, r->functions_off, at + 1),
        .filename = pw_record_ref(r, r->functions_off, at + 2),
        .start_line = (int64_t)pw_record_uint(r, r->start_lines_off, r->number_bytes, i)};
}

struct pw_record_line { /* as read */
    uint32_t function;
    int64_t line;
};

static inline struct pw_record_line
pw_record_line(const struct pw_record *r, uint32_t i)
{
    return (struct pw_record_line){
        .function = pw_record_ref(r, r->line_functions_off, i),
        .line = (int64_t)pw_record_uint(r, r->line_numbers_off, r->number_bytes, i)};
}

static inline uint64_t
pw_record_location_hash(const struct pw_record *r, uint32_t i)
{
    return PW_RECORD_AT(r, uint64_t, r->location_hashes_off)[i];
}

struct pw_record_location { /* as read, less its hash */
    uint64_t address;
    uint32_t mapping;
    uint32_t line_first;
    uint32_t line_count;
    bool is_folded;
};

static inline struct pw_record_location
pw_record_location(const struct pw_record *r, uint32_t i)
{
    uint32_t first = pw_record_ref(r, r->location_lines_off, i);
    uint32_t mapping = pw_record_ref(r, r->location_mappings_off, i);

    return (struct pw_record_location){
        .address = pw_record_uint(r, r->addresses_off, r->address_bytes, i),
        .mapping = mapping / 2,
        .line_first = first,
        .line_count = pw_record_ref(r, r->location_lines_off, (size_t)i + 1) - first,
        .is_folded = mapping % 2 != 0};
}

static inline uint64_t
pw_record_stack_hash(const struct pw_record *r, uint32_t i)
{
    return PW_RECORD_AT(r, uint64_t, r->stack_hashes_off)[i];
}

static inline uint32_t
pw_record_stack_depth(const struct pw_record *r, uint32_t i)
{
    return pw_record_index(r, r->stack_depths_off, r->stack_bytes, i);
}

/* The locations of stack i, leaf first, to out[depth]. */
void pw_record_stack_locs(const struct pw_record *r, uint32_t i, uint32_t *out);

static inline uint32_t
pw_record_sample_stack(const struct pw_record *r, const struct pw_record_series *s, uint32_t i)
{
    return pw_record_index(r, s->samples_off, r->stack_bytes, i);
}

static inline uint32_t
pw_record_sample_span(const struct pw_record *r, const struct pw_record_series *s, uint32_t i)
{
    return s->spans_off == 0 ? 0 : PW_RECORD_AT(r, uint32_t, s->spans_off)[i];
}

static inline int64_t
pw_record_value(const struct pw_record *r, const struct pw_record_series *s, uint32_t i,
                uint32_t type)
{
    return (int64_t)pw_record_uint(r, s->values_off, s->value_bytes,
                                   (size_t)i * r->types_count + type);
}

#endif
