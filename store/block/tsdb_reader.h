/* store/block/tsdb_reader.h - reads index.tsdb (storage.md 1.3).
 *
 * Purpose  symbols, series, label names and values, postings.
 * Owner    borrows the bytes of the file until close.
 * Context  query and storage threads; open allocates, reads do not. Read by any number of threads.
 * Units    series are numbered in the order of the all-postings list, which is that of SeriesIndex.
 * Errors   PW_EINVAL, PW_ENOTSUP, PW_ENOMEM and a line naming file and offset.
 * Limits   files below 4 GiB; memory: 4 bytes a symbol and series, 24 a label value.
 */
#ifndef PW_STORE_TSDB_READER_H
#define PW_STORE_TSDB_READER_H

#include "store/block/block_reader.h"

struct pw_tsdb_value { /* an entry of the postings offset table */
    uint64_t offset;   /* of its postings list */
    uint32_t text;     /* where its value is in the file (a string) */
};

struct pw_tsdb_name {
    struct pw_slice name;
    uint32_t first, count; /* in value[] */
};

struct pw_tsdb {
    struct pw_slice bytes;
    bool skip_checksums_fortest;
    uint32_t *symbol; /* offset of each */
    uint32_t symbols;
    uint32_t *ref; /* of each series */
    uint32_t series;
    struct pw_tsdb_value *value;
    uint32_t values;
    struct pw_tsdb_name *name; /* without the empty one */
    uint32_t names;
};

/* Sets all of *t but skip_checksums_fortest. */
PW_MUST_USE int pw_tsdb_open(struct pw_tsdb *t, struct pw_slice bytes, struct pw_block_error *err);
void pw_tsdb_close(struct pw_tsdb *t);

PW_MUST_USE int pw_tsdb_series(const struct pw_tsdb *t, uint32_t id, struct pw_block_series *out,
                               struct pw_block_error *err);
struct pw_slice pw_tsdb_value_text(const struct pw_tsdb *t, uint32_t value);
PW_MUST_USE int pw_tsdb_postings(const struct pw_tsdb *t, struct pw_slice name,
                                 struct pw_slice value, uint32_t *out, uint32_t n, uint32_t *count,
                                 struct pw_block_error *err);
size_t pw_tsdb_memory(const struct pw_tsdb *t);

#endif
