/* store/block/parquet_reader.h - reads parquet files: ours, stock's, and other people's of that kind.
 *
 * Purpose  footer, page index, and columns page by page.
 * Owner    the file borrows its bytes; a column borrows the file and belongs to one thread.
 * Context  query and storage threads; allocates.
 * Units    rows of a row group; elements: entries of a list, null or not (of a flat column: rows).
 * Errors   PW_EINVAL, PW_ENOTSUP, PW_ENOMEM and a line naming file and offset.
 * Limits   PW_PARQUET_*; at most one repeated level is read; BOOLEAN, INT32, INT64, BYTE_ARRAY and
 *          FIXED_LEN_BYTE_ARRAY(16); PLAIN, dictionary, DELTA_BINARY_PACKED, DELTA_LENGTH_BYTE_ARRAY;
 *          uncompressed, SNAPPY, GZIP or ZSTD; files need an offset index.
 */
#ifndef PW_STORE_PARQUET_READER_H
#define PW_STORE_PARQUET_READER_H

#include "store/block/block_files.h"
#include "store/block/block_types.h"
#include "store/block/bytes.h"
#include "store/block/parquet_format.h"

enum { PW_PARQUET_PATH_BYTES_MAX = 128 };

struct pw_parquet_leaf {
    char path[PW_PARQUET_PATH_BYTES_MAX]; /* dotted, without the root */
    int8_t type;                          /* enum pw_parquet_type */
    uint8_t max_rep, max_def;
    uint8_t element_def; /* levels from it on stand for an element of the list */
    uint32_t length;     /* FLBA */
    bool is_unsigned;
};

struct pw_parquet_read_chunk {  /* of one leaf in one row group */
    uint64_t dictionary_offset; /* 0: none */
    uint64_t data_offset;
    uint64_t column_index_offset, offset_index_offset; /* 0: none */
    uint32_t column_index_bytes, offset_index_bytes;
    uint32_t codec;
};

struct pw_parquet_file {
    struct pw_slice bytes;
    const char *name; /* for errors */
    bool skip_checksums_fortest;
    const struct pw_block_files *files; /* that bytes are of; NULL: they are all there */
    struct pw_parquet_leaf leaf[PW_PARQUET_LEAVES_MAX];
    uint32_t leaf_count;
    uint32_t group_count;
    uint64_t *group_rows;
    struct pw_parquet_read_chunk *chunk; /* [group_count * leaf_count] */
    uint64_t rows;
};

/* Borrows bytes and name until close. Sets all of *f but skip_checksums_fortest and files. */
PW_MUST_USE int pw_parquet_open(struct pw_parquet_file *f, struct pw_slice bytes, const char *name,
                                struct pw_block_error *err);
void pw_parquet_close(struct pw_parquet_file *f);
/* Index of the leaf, or -1. */
int pw_parquet_find_leaf(const struct pw_parquet_file *f, const char *path);

PW_PRINTF(5, 6)
int pw_parquet_error(struct pw_block_error *err, const struct pw_parquet_file *f, int rc,
                     uint64_t offset, const char *fmt, ...);

/* --- A column of one row group -------------------------------------------------------------------- */

struct pw_parquet_page_place {
    uint64_t offset, first_row;
    uint32_t bytes;
    bool has_bounds; /* ints only: min and max are known */
    bool is_null;    /* no value at all */
    int64_t min, max;
};

struct pw_parquet_values { /* one of the three, by type */
    int64_t *ints;
    uint8_t (*flba)[PW_PARQUET_FLBA_BYTES];
    struct pw_slice *strings;
    uint32_t count, cap;
};

struct pw_parquet_column {
    const struct pw_parquet_file *file;
    const struct pw_parquet_leaf *leaf; /* NULL: not open */
    const struct pw_parquet_read_chunk *chunk;
    uint64_t rows; /* of the row group */
    struct pw_parquet_page_place *page;
    uint32_t page_count;
    struct pw_parquet_values dictionary;
    bool has_dictionary;
    uint8_t *dictionary_bytes; /* of a compressed one */

    /* The page that was decoded last. */
    uint32_t page_index; /* page_count: none */
    uint64_t first_row, end_row;
    struct pw_parquet_values values; /* an entry an element; 0 or empty for null */
    bool any_value;
    uint32_t *row_start; /* [rows of the page + 1], elements; NULL for a flat column */
    uint32_t row_start_cap;
    uint8_t *level; /* rep, then def */
    size_t level_cap;
    uint8_t *plain; /* decompressed page */
    size_t plain_cap;
    uint32_t *index; /* into the dictionary */
    size_t index_cap;
    uint64_t pages_decoded;
};

/* Column indexes are looked at when bounds is true (INT32 and INT64 leaves). */
PW_MUST_USE int pw_parquet_column_open(struct pw_parquet_column *c, const struct pw_parquet_file *f,
                                       uint32_t group, uint32_t leaf, bool bounds,
                                       struct pw_block_error *err);
/* Also of one that is all zero. */
void pw_parquet_column_close(struct pw_parquet_column *c);
/* The page that has the row (row < rows). */
uint32_t pw_parquet_column_page_of(const struct pw_parquet_column *c, uint64_t row);
uint64_t pw_parquet_column_page_end(const struct pw_parquet_column *c, uint32_t page);
/* Decodes the page that has the row, unless it is the one at hand. */
PW_MUST_USE int pw_parquet_column_load(struct pw_parquet_column *c, uint64_t row,
                                       struct pw_block_error *err);
/* Elements [*from, *end) of values are the row's; the page is loaded. */
static inline void
pw_parquet_column_row(const struct pw_parquet_column *c, uint64_t row, uint32_t *from,
                      uint32_t *end)
{
    uint32_t i = (uint32_t)(row - c->first_row);

    *from = c->row_start != NULL ? c->row_start[i] : i;
    *end = c->row_start != NULL ? c->row_start[i + 1] : i + 1;
}

/* --- parquet_codec.c: for parquet_page.c ----------------------------------------------------------- */

bool pw_parquet_codec_is_known(uint32_t codec);
/* Exactly n bytes into out, or PW_EINVAL, PW_ENOMEM. */
PW_MUST_USE int pw_parquet_unpack(uint32_t codec, struct pw_slice in, uint8_t *out, size_t n);

/* --- parquet_page.c: for parquet_column.c ---------------------------------------------------------- */

/* Decodes page[index] into values, row_start and any_value. */
PW_MUST_USE int pw_parquet_page_decode(struct pw_parquet_column *c, uint32_t index,
                                       struct pw_block_error *err);
PW_MUST_USE int pw_parquet_dictionary_decode(struct pw_parquet_column *c,
                                             struct pw_block_error *err);
void pw_parquet_values_fini(struct pw_parquet_values *v);

#endif
