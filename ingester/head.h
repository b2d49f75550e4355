/* ingester/head.h - the recent profiles of one ingester core: one writer, many lock-free readers.
 *
 * Purpose  keep what was pushed, interned, so that queries read it while pushes go on.
 * Owner    the ingester lcore is the only writer. Query threads read below a watermark that the
 *          writer publishes with one release store per record (R1) and they take with one acquire
 *          load (A1): everything a row refers to was written before it was published.
 *          Symbols, stacks, series and rows live in chunked arrays that never move.
 * Context  append: hot, no malloc (chunks come from a region mapped at start). Views: query threads,
 *          any number at once, never block the writer.
 * Units    times in ns or ms as named; ids are uint32_t indices of the tenant's tables.
 * Errors   append: PW_ENOMEM when the byte limit is reached (nothing of the record is stored then),
 *          PW_EBUSY when the tenant's share of it is (share.h), PW_ERANGE when its series limit is.
 * Limits   bytes_max at creation, PW_HEAD_BYTES_MIN..MAX; memory only grows. A head that is to be cut
 *          is sealed and replaced as a whole (head_set.h).
 */
#ifndef PW_INGESTER_HEAD_H
#define PW_INGESTER_HEAD_H

#include "base/clock.h"
#include "base/err.h"
#include "base/text.h"
#include "base/types.h"
#include "pprof/labels.h"
#include "pprof/record.h"

struct pw_head;
struct pw_head_tenant;
struct pw_share;
struct pw_activity;

#define PW_HEAD_BYTES_MIN (1ULL << 20)
#define PW_HEAD_BYTES_MAX (32ULL << 30) /* references are 32 bits in units of 8 bytes */

struct pw_head_cfg {
    size_t bytes_max;  /* all tenants of this core together */
    uint64_t hash_key; /* the process-wide secret */
    uint32_t tenants_max;
    int socket;
    int64_t series_idle_ns; /* a series is active this long after its last profile (10 min) */
};

struct pw_head_append_info { /* for texts: series with PW_ERANGE, bytes with PW_EBUSY */
    uint64_t actual;
    uint64_t limit;
};

PW_MUST_USE int pw_head_create_ctl(struct pw_head **h, const struct pw_head_cfg *cfg);
void pw_head_destroy_ctl(struct pw_head *h);

/* Writer. Borrows rec. All of it becomes visible to readers at once, or nothing does.
 * series_limit 0 means none. now: wall time for when the head began, monotonic for activity. */
PW_MUST_USE int pw_head_append(struct pw_head *h, const struct pw_record *rec, struct pw_now now,
                               uint64_t series_limit, struct pw_head_append_info *info);

/* One thread beside the writer, on a CPU that does not poll: touches what will be written next, so many bytes
 * ahead, so that the writer does not wait for the kernel to find and clear a huge page (5 ms in a virtual
 * machine whose host has to find it first). Returns how many bytes that took. */
size_t pw_head_prefault_cold(struct pw_head *h, size_t ahead);

/* Writer: how much of that is left; SIZE_MAX when nothing more can be touched. */
size_t pw_head_touched_left(const struct pw_head *h);

/* Writer: bytes_used may not pass `bytes` (at most bytes_max of the configuration) from here on. */
void pw_head_limit(struct pw_head *h, uint64_t bytes);
/* Writer: from here on tenants have shares of the bytes, counted there over all heads of the core. Borrowed. */
void pw_head_share(struct pw_head *h, struct pw_share *share);
/* Writer: where it is kept which series are active, for the series limit; without it there is none. Borrowed. */
void pw_head_activity(struct pw_head *h, struct pw_activity *activity);
/* Writer, or anyone once the head is sealed. */
uint64_t pw_head_bytes(const struct pw_head *h);
/* Writer: bytes until its limit. */
uint64_t pw_head_left(const struct pw_head *h);
bool pw_head_is_empty(const struct pw_head *h);
/* Wall time when its first record came; 0: none did. Of a sealed head. */
int64_t pw_head_created_ns(const struct pw_head *h);

/* Any thread. */
struct pw_head_stats {
    uint64_t bytes_used, bytes_max;
    uint64_t tenants, series, rows, samples, stacks, locations, functions, strings;
    int64_t time_min_ns, time_max_ns; /* over all rows; 0, 0 when empty */
    uint64_t symbols_leaked;          /* interned for a record that was refused afterwards */
    uint64_t bytes_symbols, bytes_stacks, bytes_series, bytes_samples,
        bytes_index; /* of bytes_used */
};
void pw_head_stats(const struct pw_head *h, struct pw_head_stats *st);

/* --- Readers ------------------------------------------------------------------------------- */

/* A consistent snapshot of one tenant; plain values, copied freely; valid while the head lives. */
struct pw_head_view {
    const struct pw_head_tenant *tenant;
    uint32_t series_count;
    uint64_t rows_count;
    uint32_t stacks_count; /* ids of all visible stacks are below it: size of a dense sum array */
    uint32_t strings_count, functions_count, locations_count, mappings_count;
};

struct pw_head_series {                /* one per label set and sample type */
    const struct pw_label_pair *label; /* sorted by name, with __type__, __unit__, __profile_type__,
                                          __service_name__, __period_type__, __period_unit__ */
    uint32_t label_count;
    uint32_t id;
    uint64_t fingerprint; /* XXH64 of those labels (write-path.md 5.1) */
};

struct pw_head_row { /* one profile of one series */
    int64_t time_ns;
    int64_t duration_ns;
    int64_t period;
    uint8_t uuid[16];
    int64_t total;   /* sum of the row's sample values */
    uint32_t series; /* id */
    uint32_t samples_count;
    uint64_t samples_ref; /* for pw_head_samples */
};

struct pw_head_sample {
    uint32_t stack;
    uint32_t span; /* 0: none; else pw_head_span */
    int64_t value;
};

struct pw_head_location {
    uint64_t address;
    uint32_t mapping; /* id; UINT32_MAX none */
    uint32_t line_count;
    const struct pw_head_line *line; /* [0] innermost inlined */
    bool is_folded;
};

struct pw_head_line {
    uint32_t function; /* id */
    uint32_t pad;
    int64_t line;
};

struct pw_head_function {
    uint32_t name, system_name, filename; /* string ids */
    uint32_t pad;
    int64_t start_line;
};

struct pw_head_mapping {
    uint64_t memory_start, memory_limit, file_offset;
    uint32_t filename, build_id; /* string ids */
    uint32_t flags;              /* as struct pw_record_mapping */
    uint32_t pad;
};

/* False when the tenant has nothing in this head. */
bool pw_head_view_open(const struct pw_head *h, struct pw_slice tenant, struct pw_head_view *v);
/* Tenants that have anything, for all-tenant statistics; i from 0; false past the end. */
bool pw_head_tenant_at(const struct pw_head *h, uint32_t i, struct pw_slice *tenant);

void pw_head_series_at(const struct pw_head_view *v, uint32_t id, struct pw_head_series *out);
/* Times of the series' rows lie within; it may cover rows that are above the watermark of v. */
void pw_head_series_time(const struct pw_head_view *v, uint32_t id, int64_t *min_ns,
                         int64_t *max_ns);
/* The rows of one series, latest arrival first: start with pw_head_series_last_row, go on with
 * pw_head_row_prev until PW_HEAD_NO_ROW. For one series among thousands; to read most rows, scan. */
#define PW_HEAD_NO_ROW UINT64_MAX
uint64_t pw_head_series_last_row(const struct pw_head_view *v, uint32_t id);
uint64_t pw_head_row_prev(const struct pw_head_view *v, uint64_t i);
/* The two fields a scan filters by, from one cache line; cheaper than pw_head_row_at. */
void pw_head_row_peek(const struct pw_head_view *v, uint64_t i, uint32_t *series, int64_t *time_ns);
/* Rows in order of arrival, i < rows_count. */
void pw_head_row_at(const struct pw_head_view *v, uint64_t i, struct pw_head_row *out);
/* Up to n samples of the row from the first-th on; returns how many. Values are never 0. */
uint32_t pw_head_samples(const struct pw_head_view *v, const struct pw_head_row *row,
                         uint32_t first, struct pw_head_sample *out, uint32_t n);
/* Location ids of a stack, leaf first, at most n; returns the depth (may exceed n: call again). */
uint32_t pw_head_stack(const struct pw_head_view *v, uint32_t stack, uint32_t *loc, uint32_t n);
/* The same in place, without a copy: *depth ids, valid while the head lives. */
const uint32_t *pw_head_stack_locs(const struct pw_head_view *v, uint32_t stack, uint32_t *depth);
void pw_head_location(const struct pw_head_view *v, uint32_t id, struct pw_head_location *out);
void pw_head_function(const struct pw_head_view *v, uint32_t id, struct pw_head_function *out);
void pw_head_mapping(const struct pw_head_view *v, uint32_t id, struct pw_head_mapping *out);
struct pw_slice pw_head_string(const struct pw_head_view *v, uint32_t id);
void pw_head_span(const struct pw_head_view *v, uint32_t span, struct pw_record_span_id *out);

#endif
