/* store/remote.h - blocks of object storage, read where they are: by ranges, kept in a bounded cache.
 *
 * Purpose  struct pw_block over a bucket. Of a file only the address space is there at first; what the reader
 *          says it will look at (block/block_files.h) is fetched in units of PW_REMOTE_UNIT_BYTES by ranged
 *          GETs, more of them at once where it reads on. So a query takes index.tsdb, the pages of the
 *          columns and rows it wants, and the symbols of the partitions it resolves.
 * Owner    shared by all query threads; lives longer than its blocks. Each request to the bucket takes a
 *          handle that is its own for that time, opened when there is none.
 * Context  query and storage threads; waits for the network.
 * Units    bytes.
 * Errors   negative enum pw_err and one line that names bucket and object. A bucket that lets a request wait for
 *          PW_REMOTE_PATIENCE_MS is ill: requests fail at once for a while, so that queries do not all wait in turn.
 * Limits   cache_bytes of memory for what was fetched, and PW_REMOTE_WARM_MAX blocks that nobody reads kept
 *          open: then the one that was used longest ago is let go. Blocks that queries read at that moment are
 *          not: while more than cache_bytes are in use, the cache is as large as that; profiles.parquet counts
 *          only while its rows are read.
 */
#ifndef PW_STORE_REMOTE_H
#define PW_STORE_REMOTE_H

#include "store/block/block_reader.h"
#include "store/objstore/objstore.h"

enum {
    PW_REMOTE_UNIT_BYTES = 64 << 10,
    PW_REMOTE_AHEAD_UNITS = 8, /* where the unit before is there already */
    PW_REMOTE_RUN_UNITS = 128, /* most of one request */
    PW_REMOTE_WARM_MAX = 256,
    PW_REMOTE_FILES_MAX = 8,       /* of one block: meta.json is none */
    PW_REMOTE_PATIENCE_MS = 30000, /* for one request to the bucket, its attempts together */
    PW_REMOTE_ILL_MS = 5000, /* so long it is not asked again after it let one wait for that */
};

struct pw_remote;

PW_MUST_USE int pw_remote_create_ctl(struct pw_remote **r, const struct pw_objstore_cfg *bucket,
                                     uint64_t cache_bytes);
/* Reads that wait for the bucket end with PW_ETIMEDOUT within a second, and so do later ones: the process ends, and one that
 * does not answer would be waited for through all attempts. Any thread. */
void pw_remote_give_up(struct pw_remote *r);
/* Its blocks are closed. NULL is fine. */
void pw_remote_destroy_ctl(struct pw_remote *r);

/* <tenant>/phlaredb/<ULID>, opened for later (pw_block_open_later), to be closed with pw_block_close.
 * meta: its meta.json as just read; empty: it is fetched. PW_ENOENT: there is none, so no block. */
PW_MUST_USE int pw_remote_open(struct pw_remote *r, const char *tenant, const struct pw_ulid *ulid,
                               struct pw_slice meta, struct pw_block **b,
                               struct pw_block_error *err);

struct pw_remote_stats {
    uint64_t requests, bytes;    /* ranged GETs, and what they brought */
    uint64_t cached_bytes, warm; /* at the moment; blocks open beyond meta.json */
    uint64_t evicted;            /* blocks let go for want of room */
    uint64_t failures;
};
void pw_remote_stats(const struct pw_remote *r, struct pw_remote_stats *st);

#endif
