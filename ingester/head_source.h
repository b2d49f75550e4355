/* ingester/head_source.h - a sealed head, or some of its rows, as the block writer reads it.
 *
 * Purpose  the writer knows no head (store/block/block_writer.h): this answers its questions from one.
 * Owner    the caller keeps the source, and what it points to, until the writer is done.
 * Context  storage threads; the head is only read.
 * Units    ns.
 * Errors   pw_head_source_partitions gives NULL without memory.
 * Limits   -
 */
#ifndef PW_INGESTER_HEAD_SOURCE_H
#define PW_INGESTER_HEAD_SOURCE_H

#include "ingester/head.h"
#include "store/block/block_writer.h"

struct pw_head_source {
    struct pw_head_view v;
    const uint64_t *partition; /* by series */
    const uint32_t *row;       /* NULL: all rows */
    uint64_t rows;
};

/* out->ctx is s. */
void pw_head_source_describe(const struct pw_head_source *s, struct pw_block_source *out);
/* The symbol partition of each series (contract storage.md 1.5); the caller frees it. */
uint64_t *pw_head_source_partitions(const struct pw_head_view *v);

#endif
