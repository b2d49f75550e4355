/* ingester/flush_blocks.h - one tenant's part of a sealed head, written as blocks.
 *
 * Purpose  a block belongs to one aligned window of time (contract storage.md 2.1); rows of one head can
 *          lie in several. Each window becomes a block of its own, in the tenant's staging directory.
 * Owner    the storage thread. The head is only read: it is sealed.
 * Context  cold: allocates, waits for the disk, takes seconds.
 * Units    ns.
 * Errors   negative enum pw_err and a line of text; blocks written before the error are listed in out.
 * Limits   memory: the writer's (store/block/block_writer.h), 8 bytes a series, and 4 bytes a row when
 *          the head spans windows.
 */
#ifndef PW_INGESTER_FLUSH_BLOCKS_H
#define PW_INGESTER_FLUSH_BLOCKS_H

#include "ingester/head.h"
#include "store/block/block_writer.h"

/* What of store/block flushing uses; a test puts its own here. */
struct pw_flush_store {
    int (*write)(const struct pw_block_writer_cfg *cfg, const struct pw_block_source *src,
                 struct pw_block_info *info, struct pw_block_error *err);
};

struct pw_flush_blocks {
    struct pw_ulid *ulid; /* malloc'ed */
    uint32_t count, cap;
    uint64_t rows, bytes,
        memory_peak; /* of the files; most that one block took while it was written */
};

struct pw_flush_blocks_cfg {
    const struct pw_flush_store *store;
    struct pw_block_writer_cfg writer; /* dir: where to; ulid is set for each block */
    int64_t window_ns;
    int64_t created_ns; /* of the head: time of the ULIDs */
};

/* Adds to out what the tenant has in the head. */
PW_MUST_USE int pw_flush_blocks_write(const struct pw_flush_blocks_cfg *cfg,
                                      const struct pw_head_view *v, struct pw_flush_blocks *out,
                                      struct pw_block_error *err);
void pw_flush_blocks_fini(struct pw_flush_blocks *b);

#endif
