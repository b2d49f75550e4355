/* store/block/row_samples.h - the samples of the row being written.
 *
 * Purpose  read them from the source, and bring them into the order of the file (storage.md 0.4).
 * Owner    the storage thread that writes the block.
 * Context  allocates when a row is larger than all before.
 * Units    -
 * Errors   PW_ENOMEM; PW_EMSGSIZE: more than PW_BLOCK_ROW_SAMPLES_MAX.
 * Limits   memory: 60 bytes a sample of the largest row.
 */
#ifndef PW_STORE_ROW_SAMPLES_H
#define PW_STORE_ROW_SAMPLES_H

#include "store/block/row_order.h"

struct pw_row_samples {
    struct pw_block_in_sample *in; /* as read, without those of value 0 */
    uint32_t n;
    uint32_t cap;
    bool has_span;
    uint32_t *stack; /* ordered: ids of the partition, ascending */
    int64_t *value;
    struct pw_block_span *span; /* when has_span */
    uint64_t *key;              /* to sort by: stack, place; and the sort's other half */
};

void pw_row_samples_fini(struct pw_row_samples *s);
PW_MUST_USE int pw_row_samples_read(struct pw_row_samples *s, const struct pw_block_source *src,
                                    const struct pw_block_in_row *row);
/* p has the stacks of what was read. */
void pw_row_samples_order(struct pw_row_samples *s, const struct pw_block_source *src,
                          const struct pw_row_partition *p);
size_t pw_row_samples_memory(const struct pw_row_samples *s);

#endif
