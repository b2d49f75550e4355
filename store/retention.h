/* store/retention.h - local blocks are deleted when the bucket has them and they are old, or the disk is
 * nearly full (contract storage.md 2.5).
 *
 * Purpose  keep the data directory from filling up, and never delete the only copy of a block.
 * Owner    nothing is kept between calls.
 * Context  storage thread.
 * Units    milliseconds, bytes.
 * Errors   a block that cannot be deleted is logged and left; the pass goes on.
 * Limits   differs from stock on purpose: a block that was not uploaded is never deleted, also not when
 *          the disk is full.
 */
#ifndef PW_STORE_RETENTION_H
#define PW_STORE_RETENTION_H

#include "base/err.h"
#include "store/block/ulid.h"

struct pw_retention_cfg {
    const char *data_path;
    int64_t min_age_ms;       /* by the ULID's time; default 4 h */
    uint64_t min_free_bytes;  /* default 10 GiB */
    double min_free_fraction; /* default 0.05; the disk is high when both are passed */
    /* Free and total bytes of the file system; NULL: statvfs. */
    int (*free_space)(void *ctx, const char *path, uint64_t *free, uint64_t *total);
    /* Called before a block goes: queries must find it in the bucket from then on. Not 0: it stays, until the next
     * pass asks again. NULL: nobody reads. */
    int (*forget)(void *ctx, const char *tenant, const struct pw_ulid *ulid);
    void *ctx;
};

struct pw_retention_result {
    uint32_t deleted;
    uint32_t kept_unshipped; /* old enough, but not in the bucket */
    uint32_t kept_unread;    /* forget said no */
    bool disk_high;          /* still, after the pass */
};

PW_MUST_USE int pw_retention_run(const struct pw_retention_cfg *cfg, int64_t now_ms,
                                 struct pw_retention_result *r);

#endif
