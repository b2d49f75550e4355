/* store/block/row_order.h - in which order the writer visits the rows of a source.
 *
 * Purpose  rows by series and partition, series by their labels, rows of a series by (time, ID)
 *          (storage.md 1.4.3).
 * Owner    the storage thread that writes the block.
 * Context  allocates.
 * Units    ids of the source.
 * Errors   PW_ENOMEM; PW_ERANGE: more than 2^32 - 2 rows.
 * Limits   memory: 4 bytes a row, 48 a series, 16 a row of the largest series.
 */
#ifndef PW_STORE_ROW_ORDER_H
#define PW_STORE_ROW_ORDER_H

#include "store/block/block_writer.h"
#include "store/block/id_set.h"

struct pw_row_series {
    const struct pw_label_pair *label;
    uint32_t label_count;
    uint32_t partition; /* index into partition[] */
    uint64_t fingerprint;
    uint64_t partition_id;
    uint32_t first, rows; /* in row[]; the writer lowers rows when it drops some */
};

struct pw_row_partition {
    uint64_t id;
    uint32_t series_first, series_count; /* in by_partition[] */
    struct pw_id_set stacks;             /* filled by the writer: what its rows use */
    uint32_t *node;                      /* and their ids in the partition */
};

struct pw_row_ref {
    int64_t time_ns;
    uint32_t row;
    uint32_t pad;
};

struct pw_row_order {
    struct pw_row_series *series; /* by id of the source */
    uint32_t series_count;
    uint32_t *row; /* grouped by series */
    uint32_t rows_count;
    uint32_t *by_partition;             /* series ids, by partition id */
    struct pw_row_partition *partition; /* ascending id */
    uint32_t partition_count;
    uint32_t *by_labels; /* series ids that have rows, in comparison order */
    uint32_t series_kept;
    struct pw_row_ref *ref;
    uint64_t ref_cap;
};

PW_MUST_USE int pw_row_order_init(struct pw_row_order *o, const struct pw_block_source *src);
void pw_row_order_fini(struct pw_row_order *o);

/* When the rows that stay are known: fills by_labels. */
PW_MUST_USE int pw_row_order_by_labels(struct pw_row_order *o);
/* by_labels[from] and those after it with equal labels are one series of the block: where it ends. */
uint32_t pw_row_order_next(const struct pw_row_order *o, uint32_t from);
/* And its rows, by (time, ID); valid until the next call. */
PW_MUST_USE int pw_row_order_rows(struct pw_row_order *o, const struct pw_block_source *src,
                                  uint32_t from, const struct pw_row_ref **ref, uint64_t *n);
size_t pw_row_order_memory(const struct pw_row_order *o);

#endif
