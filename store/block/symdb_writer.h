/* store/block/symdb_writer.h - symbols.symdb, one partition after another (storage.md 1.5).
 *
 * Purpose  from the set of stacks that a partition's rows use: its tree, and every location, function,
 *          mapping and string the tree needs, once.
 * Owner    one storage thread.
 * Context  allocates; blocks where the file does.
 * Units    ids of the source in, ids of the partition out.
 * Errors   PW_ENOMEM; what the file says is sticky there.
 * Limits   strings and lines are cut (PW_BLOCK_STRING_BYTES_MAX, PW_BLOCK_LINES_MAX).
 */
#ifndef PW_STORE_SYMDB_WRITER_H
#define PW_STORE_SYMDB_WRITER_H

#include "store/block/block_out.h"
#include "store/block/block_writer.h"
#include "store/block/id_set.h"
#include "store/block/stack_tree.h"

struct pw_symdb_writer {
    const struct pw_block_source *src;
    struct pw_block_out *out;
    struct pw_id_set locations, functions, mappings, strings; /* of the partition being written */
    struct pw_stack_tree tree;
    bool empty_mapping;     /* local mapping 0 stands for none */
    struct pw_text headers; /* of partitions written so far */
    uint32_t partitions;
    struct pw_text block; /* a table block */
    int64_t *column;      /* and what its columns are encoded from */
    size_t column_cap;
    size_t memory_peak;
};

PW_MUST_USE int pw_symdb_writer_init(struct pw_symdb_writer *w, const struct pw_block_source *src,
                                     struct pw_block_out *out);
void pw_symdb_writer_fini(struct pw_symdb_writer *w);

/* Partitions in ascending order of id. stacks: frozen, not empty. node[rank of the stack]: its id in the
 * partition, for the caller to keep. */
PW_MUST_USE int pw_symdb_writer_partition(struct pw_symdb_writer *w, uint64_t id,
                                          const struct pw_id_set *stacks, uint32_t *node);
/* Index and footer; the file itself is finished by its owner. */
PW_MUST_USE int pw_symdb_writer_finish(struct pw_symdb_writer *w);

#endif
