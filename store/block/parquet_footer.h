/* store/block/parquet_footer.h - what stands behind the pages of profiles.parquet.
 *
 * Purpose  collects every finished chunk, then writes all column indexes, all offset indexes (both row
 *          group by row group: storage.md 1.4.5, placement) and the footer.
 * Owner    the table writer.
 * Context  storage threads; allocates: about 100 bytes a page.
 * Units    offsets from the start of the file.
 * Errors   those of pw_text and pw_block_out.
 * Limits   32767 row groups.
 */
#ifndef PW_STORE_PARQUET_FOOTER_H
#define PW_STORE_PARQUET_FOOTER_H

#include "store/block/block_out.h"
#include "store/block/parquet_chunk.h"

struct pw_parquet_column_meta {
    uint64_t dictionary_offset; /* 0: none */
    uint64_t data_offset;
    uint64_t bytes, bytes_plain; /* of the whole chunk */
    uint64_t values, nulls;
    struct pw_parquet_bound min, max;
    enum pw_parquet_codec codec;
    uint32_t page_first, page_count; /* in pages */
    uint64_t column_index_offset, offset_index_offset;
    uint32_t column_index_bytes, offset_index_bytes;
};

struct pw_parquet_group_meta {
    uint64_t offset, rows;
};

struct pw_parquet_footer {
    struct pw_text columns; /* struct pw_parquet_column_meta[groups * PW_PROFILE_LEAVES] */
    struct pw_text pages;   /* struct pw_parquet_page_info, offsets of the file */
    struct pw_text groups;  /* struct pw_parquet_group_meta */
    uint32_t page_count, group_count;
    uint64_t rows;
};

void pw_parquet_footer_init(struct pw_parquet_footer *f);
void pw_parquet_footer_fini(struct pw_parquet_footer *f);
bool pw_parquet_footer_failed(const struct pw_parquet_footer *f);
size_t pw_parquet_footer_memory(const struct pw_parquet_footer *f);

/* The next column of the row group being written, whose dictionary page (dictionary_bytes, 0 for none;
 * dictionary_plain before compression) begins at offset, its data pages right behind. */
struct pw_parquet_chunk_place {
    uint64_t offset;
    uint64_t dictionary_bytes, dictionary_plain;
    enum pw_parquet_codec codec;
};
void pw_parquet_footer_column(struct pw_parquet_footer *f, const struct pw_parquet_chunk *c,
                              const struct pw_parquet_chunk_place *at);
/* All columns of a row group were given. */
void pw_parquet_footer_group(struct pw_parquet_footer *f, uint64_t offset, uint64_t rows);

/* Writes everything behind the last page. False when memory ran out. */
PW_MUST_USE bool pw_parquet_footer_write(struct pw_parquet_footer *f, struct pw_block_out *o);

#endif
