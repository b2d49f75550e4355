/* store/block/parquet_chunk.h - one column of one row group while it is written: finished pages.
 *
 * Purpose  turns levels and encoded values into data pages V2 (and a dictionary page), keeps statistics
 *          and what the page indexes say of each page.
 * Owner    the table writer; memory holds the pages of the open row group only.
 * Context  storage threads; allocates.
 * Units    bytes; offsets of pages are relative to the chunk until the row group is written.
 * Errors   those of pw_text (sticky).
 * Limits   a page below 2 GiB.
 */
#ifndef PW_STORE_PARQUET_CHUNK_H
#define PW_STORE_PARQUET_CHUNK_H

#include "base/text.h"
#include "store/block/profile_schema.h"

#include <zstd.h>

/* A min or max as the page index has it: PLAIN bytes, at most 16. */
struct pw_parquet_bound {
    uint8_t byte[PW_PARQUET_FLBA_BYTES];
    uint8_t len;
};

struct pw_parquet_page_info {
    struct pw_parquet_bound min, max; /* len 0: the page has no value */
    uint64_t offset;
    uint64_t first_row; /* of the row group */
    uint64_t nulls;
    uint32_t bytes; /* with its header */
};

struct pw_parquet_chunk {
    const struct pw_profile_leaf_spec *spec;
    struct pw_text pages;      /* data pages */
    struct pw_text dictionary; /* PLAIN values; RLE_DICTIONARY columns */
    uint32_t dictionary_count;
    uint64_t values, nulls; /* levels; levels without a value */
    uint64_t bytes_plain;   /* of pages before compression, headers included */
    struct pw_parquet_bound min, max;
    struct pw_text info; /* struct pw_parquet_page_info[page_count] */
    uint32_t page_count;
};

/* What all chunks of a file share. */
struct pw_parquet_codec_state {
    enum pw_parquet_codec codec;
    int level;
    ZSTD_CCtx *zstd; /* UNCOMPRESSED: unused */
    struct pw_text tmp;
};

PW_MUST_USE int pw_parquet_codec_init(struct pw_parquet_codec_state *s, enum pw_parquet_codec codec,
                                      int level);
void pw_parquet_codec_fini(struct pw_parquet_codec_state *s);

void pw_parquet_chunk_init(struct pw_parquet_chunk *c, const struct pw_profile_leaf_spec *spec);
void pw_parquet_chunk_fini(struct pw_parquet_chunk *c);
/* For the next row group; keeps its memory. */
void pw_parquet_chunk_reset(struct pw_parquet_chunk *c);

struct pw_parquet_page_in {
    struct pw_slice rep, def; /* RLE without length prefix; empty where the maximum is 0 */
    struct pw_slice values;   /* encoded */
    uint64_t levels, nulls, rows, first_row;
    struct pw_parquet_bound min, max;
};
void pw_parquet_chunk_page(struct pw_parquet_chunk *c, struct pw_parquet_codec_state *s,
                           const struct pw_parquet_page_in *in);

/* Page header and (compressed) values of the dictionary; empty when the column has none. */
void pw_parquet_dictionary_page(const struct pw_parquet_chunk *c, struct pw_parquet_codec_state *s,
                                struct pw_text *out);
/* The codec the chunk's metadata has to name: a chunk without any value is not compressed. */
enum pw_parquet_codec pw_parquet_chunk_codec(const struct pw_parquet_chunk *c,
                                             const struct pw_parquet_codec_state *s);

/* --- Bounds --------------------------------------------------------------------------------------- */

/* Widens min..max by the values; both start with len 0. width: 4 or 8 bytes. */
void pw_parquet_bound_ints(const struct pw_profile_leaf_spec *spec, const int64_t *v, size_t n,
                           struct pw_parquet_bound *min, struct pw_parquet_bound *max);
void pw_parquet_bound_flba(const uint8_t *v, size_t n, struct pw_parquet_bound *min,
                           struct pw_parquet_bound *max);
/* <0, 0, >0 in the column's order. Both have a value. */
int pw_parquet_bound_cmp(const struct pw_profile_leaf_spec *spec, const struct pw_parquet_bound *a,
                         const struct pw_parquet_bound *b);

#endif
