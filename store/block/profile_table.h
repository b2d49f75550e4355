/* store/block/profile_table.h - profiles.parquet, written row by row (storage.md 1.4).
 *
 * Purpose  split rows into columns, columns into pages, pages into row groups, and stream them out.
 * Owner    one storage thread.
 * Context  allocates; blocks where the file does.
 * Units    bytes, rows.
 * Errors   sticky, given by finish: PW_ENOMEM, or what the file says.
 * Limits   memory: the encoded pages of one row group (row_group_bytes and a page more), 28 bytes a sample
 *          of one page, 44 where samples have spans.
 */
#ifndef PW_STORE_PROFILE_TABLE_H
#define PW_STORE_PROFILE_TABLE_H

#include "store/block/block_out.h"
#include "store/block/parquet_format.h"

enum {
    PW_PROFILE_PAGE_ROWS = 2048, /* of the columns with one value a row */
    PW_PROFILE_PAGE_SAMPLES =
        32768, /* and of the others: a page ends with the row that reaches it */
};

struct pw_profile_table;

struct pw_profile_table_cfg {
    enum pw_parquet_codec codec;
    int level;
    size_t row_group_bytes;
    uint32_t row_group_rows;
};

struct pw_profile_in {
    uint8_t uuid[16];
    uint64_t partition;
    int64_t time_ns, duration_ns, period;
    uint32_t series;        /* SeriesIndex */
    uint32_t samples_count; /* not 0 */
    const uint32_t *stack;  /* ascending */
    const int64_t *value;
    const struct pw_block_span *span; /* samples_count, or NULL: the profile has none */
};

PW_MUST_USE int pw_profile_table_create(struct pw_profile_table **t,
                                        const struct pw_profile_table_cfg *cfg,
                                        struct pw_block_out *out);
void pw_profile_table_row(struct pw_profile_table *t, const struct pw_profile_in *row);
/* Writes the rest and the footer (the file itself is finished by its owner). */
PW_MUST_USE int pw_profile_table_finish(struct pw_profile_table *t, uint32_t *row_groups,
                                        uint64_t *rows);
size_t pw_profile_table_memory(const struct pw_profile_table *t);
void pw_profile_table_destroy(struct pw_profile_table *t);

#endif
