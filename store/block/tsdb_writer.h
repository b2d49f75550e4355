/* store/block/tsdb_writer.h - index.tsdb (storage.md 1.3).
 *
 * Purpose  all sections of the index, label indices included, from series in their final order.
 * Owner    one storage thread.
 * Context  allocates; blocks where the file does.
 * Units    ns.
 * Errors   PW_ENOMEM, PW_EMSGSIZE; what the file says is sticky there.
 * Limits   references are offsets / 16 in 32 bits: 64 GiB. Memory: 12 bytes a series and label, 32 bytes
 *          a distinct string.
 */
#ifndef PW_STORE_TSDB_WRITER_H
#define PW_STORE_TSDB_WRITER_H

#include "store/block/block_out.h"
#include "store/block/block_types.h"

struct pw_tsdb_series { /* series i has SeriesIndex i */
    const struct pw_label_pair *label;
    uint32_t label_count;
    uint32_t pad;
    uint64_t fingerprint;
    int64_t min_time_ns, max_time_ns;
};

/* n > 0 series in comparison order (storage.md 0.2). memory: bytes taken for it at most. */
PW_MUST_USE int pw_tsdb_write(struct pw_block_out *out, const struct pw_tsdb_series *series,
                              uint32_t n, size_t *memory);

#endif
