/* store/block/block_reader.h - opens a block, ours or stock's v1 (storage.md 1.1-1.6), and reads it.
 *
 * Purpose  the view a query needs: series by label, rows of series in a time range, their samples, and
 *          stacks resolved to names.
 * Owner    the block owns what it maps; slices live as long as the block (strings of symbols: as long as
 *          the pw_block_symbols).
 * Context  query and storage threads; allocates, may wait for the disk. A block is never changed after
 *          open: any number of threads read it at once, each with a cursor of its own.
 * Units    ns in rows and series, ms where the name says so.
 * Errors   negative enum pw_err and one line naming file and offset. PW_EINVAL: not as the format says,
 *          or a checksum differs. PW_ENOTSUP: a form that is legal but that nobody writes today.
 *          PW_EIO, PW_ENOENT: the file layer. Nothing in a file can make the reader read outside of it;
 *          what it allocates is bounded by the file's size, and a page's values by
 *          PW_PARQUET_PAGE_VALUES_MAX.
 * Limits   PW_BLOCK_* (block_types.h).
 */
#ifndef PW_STORE_BLOCK_READER_H
#define PW_STORE_BLOCK_READER_H

#include "store/block/block_files.h"
#include "store/block/block_types.h"
#include "store/block/meta.h"

struct pw_block;

/* dir: the block's directory (its base name must be the ULID of its meta.json). files: NULL for local files,
 * mapped. */
PW_MUST_USE int pw_block_open(struct pw_block **b, const char *dir,
                              const struct pw_block_files *files, struct pw_block_error *err);
/* The same, but only meta.json is read: until pw_block_use there is nothing else to ask of it. */
PW_MUST_USE int pw_block_open_later(struct pw_block **b, const char *dir,
                                    const struct pw_block_files *files, struct pw_block_error *err);
/* Nobody uses it. */
void pw_block_close(struct pw_block *b);

/* Everything below needs the block in use, but for pw_block_meta. The first user of a block that was opened
 * for later opens the rest of it; one that cannot be opened is tried again by the next. Any thread. */
PW_MUST_USE int pw_block_use(const struct pw_block *b, struct pw_block_error *err);
void pw_block_unuse(const struct pw_block *b);
/* Of a block opened for later: whether there is more of it than meta.json at the moment. */
bool pw_block_is_warm(const struct pw_block *b);
/* Of a block opened for later: back to meta.json alone, if nobody uses it. Whether it was that. */
bool pw_block_cool(struct pw_block *b);

const struct pw_block_meta *pw_block_meta(const struct pw_block *b);

struct pw_block_stats {
    uint32_t series;
    uint64_t rows;
    uint32_t row_groups;
    uint64_t file_bytes; /* mapped or held */
    uint64_t heap_bytes; /* allocated beside that, symbols in use not counted */
};
void pw_block_stats(const struct pw_block *b, struct pw_block_stats *st);

/* --- Series: ids 0 .. stats.series - 1 are the join key of rows (column SeriesIndex) ------------- */

struct pw_block_series {
    struct pw_label_pair label[PW_BLOCK_LABELS_MAX]; /* in stored order; normally sorted by name */
    uint32_t label_count;
    uint32_t id;
    uint64_t fingerprint;
    int64_t min_time_ns, max_time_ns; /* of its rows */
};
/* id < stats.series. Fails only when the file is broken (its checksum is looked at here). */
PW_MUST_USE int pw_block_series_at(const struct pw_block *b, uint32_t id,
                                   struct pw_block_series *out, struct pw_block_error *err);

/* Label names ascending, i from 0; false past the end. values: how many the name has. */
bool pw_block_label_name(const struct pw_block *b, uint32_t i, struct pw_slice *name,
                         uint32_t *values);
/* Value v (ascending) of the i-th name. */
bool pw_block_label_value(const struct pw_block *b, uint32_t i, uint32_t v, struct pw_slice *value);
/* Ids of the series with name=value, ascending, at most n into out; *count: how many there are. An
 * unknown name or value has none. */
PW_MUST_USE int pw_block_postings(const struct pw_block *b, struct pw_slice name,
                                  struct pw_slice value, uint32_t *out, uint32_t n, uint32_t *count,
                                  struct pw_block_error *err);

/* --- Rows ---------------------------------------------------------------------------------------- */

enum pw_block_column { /* what a cursor fills in beside series, time and partition */
                       PW_BLOCK_COL_TOTAL = 1, /* total */
                       PW_BLOCK_COL_UUID = 2,
                       PW_BLOCK_COL_SAMPLES = 4,   /* stack, value */
                       PW_BLOCK_COL_SPANS = 8,     /* span */
                       PW_BLOCK_COL_DURATION = 16, /* duration_ns, period */
                       PW_BLOCK_COL_TRACES = 32,   /* trace */
};

struct pw_block_query {
    const uint64_t *series; /* bitmap of series ids, (stats.series + 63) / 64 words; NULL: all */
    int64_t min_time_ns, max_time_ns; /* both inclusive */
    uint32_t columns;                 /* enum pw_block_column */
};

struct pw_block_row {
    int64_t time_ns;
    int64_t total;
    int64_t duration_ns, period; /* 0: none */
    uint64_t partition;
    uint32_t series;
    uint32_t samples_count;
    uint8_t uuid[16];
    /* samples_count each, valid until the next call on the cursor */
    const uint32_t *stack; /* of the partition, ascending */
    const int64_t *value;
    const uint8_t (*span)[8];   /* NULL or all zero: none */
    const uint8_t (*trace)[16]; /* likewise */
};

struct pw_block_cursor;

/* Rows in file order: by series, then time, in our blocks and stock's. Borrows q->series until close.
 * Pages whose statistics say that they hold nothing wanted are not read. */
PW_MUST_USE int pw_block_rows_open(struct pw_block_cursor **c, const struct pw_block *b,
                                   const struct pw_block_query *q, struct pw_block_error *err);
/* 1 and a row, 0 at the end, or a negative enum pw_err. */
PW_MUST_USE int pw_block_rows_next(struct pw_block_cursor *c, struct pw_block_row *row,
                                   struct pw_block_error *err);
/* Pages decoded so far, and pages passed over because of their statistics. */
void pw_block_rows_pages(const struct pw_block_cursor *c, uint64_t *decoded, uint64_t *pruned);
void pw_block_rows_close(struct pw_block_cursor *c);

/* --- Symbols of one partition -------------------------------------------------------------------- */

struct pw_block_symbols {
    uint64_t partition;
    uint32_t stacks_count; /* stack ids are below it: size of a dense sum array */
    uint32_t locations_count, functions_count, mappings_count, strings_count;
};

/* Decodes the partition (or shares what another thread decoded and still uses). PW_ENOENT: there is no
 * such partition. */
PW_MUST_USE int pw_block_symbols_open(const struct pw_block *b, uint64_t partition,
                                      const struct pw_block_symbols **s,
                                      struct pw_block_error *err);
void pw_block_symbols_close(const struct pw_block *b, const struct pw_block_symbols *s);

/* Ids come from rows and from one another; every reference was checked when the partition was opened. A
 * stack id that a row names and the partition does not have gives depth 0.
 * Location ids leaf first, at most n; returns the depth (may exceed n: call again). */
uint32_t pw_block_stack(const struct pw_block_symbols *s, uint32_t stack, uint32_t *loc,
                        uint32_t n);
/* out->line lives as long as s. */
void pw_block_location(const struct pw_block_symbols *s, uint32_t id,
                       struct pw_block_location *out);
void pw_block_function(const struct pw_block_symbols *s, uint32_t id,
                       struct pw_block_function *out);
void pw_block_mapping(const struct pw_block_symbols *s, uint32_t id, struct pw_block_mapping *out);
struct pw_slice pw_block_string(const struct pw_block_symbols *s, uint32_t id);

#endif
