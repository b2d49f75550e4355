/* store/shipper.h - blocks of the local disk go to the bucket, once each (contract storage.md 2.6).
 *
 * Purpose  upload every block of <data>/<tenant>/local that is not in the bucket yet: data files first, in
 *          the order of meta.json, meta.json last, so that a block whose meta.json is there is whole.
 *          shipper.json beside the blocks remembers which were.
 * Owner    one thread ships; the bucket handle is borrowed and must be that thread's.
 * Context  storage thread: allocates, blocks on disk and network.
 * Units    bytes.
 * Errors   a block that fails is logged, counted and tried again at the next pass; the others go on.
 *          A data file that fails takes back what was uploaded of its block; a meta.json that fails
 *          leaves everything, the next pass overwrites it with the same bytes.
 * Limits   blocks of compaction level 0 and 1; PW_BLOCK_META_*.
 */
#ifndef PW_STORE_SHIPPER_H
#define PW_STORE_SHIPPER_H

#include "store/block/ulid.h"
#include "store/objstore/objstore.h"

#define PW_SHIPPER_FILE "shipper.json"

/* The blocks that are in the bucket, ascending. */
struct pw_shipped {
    struct pw_ulid *ulid;
    uint32_t count, cap;
};

/* Of one local directory; a missing file is an empty set, one that cannot be read too (every upload is
 * preceded by a look into the bucket, so nothing is sent twice), with a line in the log. */
PW_MUST_USE int pw_shipped_load(struct pw_shipped *s, const char *local_dir);
void pw_shipped_fini(struct pw_shipped *s);
bool pw_shipped_has(const struct pw_shipped *s, const struct pw_ulid *u);

struct pw_ship_stats {
    uint64_t uploaded; /* blocks sent */
    uint64_t found;    /* were in the bucket already */
    uint64_t failed;
    uint64_t bytes;
};

/* One pass over <data_path>/<tenant>/local. hostname: external label __hostname__ of what is uploaded.
 * Adds to *st. 0, or the error of the first block that failed, with its reason. */
PW_MUST_USE int pw_ship_tenant(struct pw_objstore *bucket, const char *data_path,
                               const char *tenant, const char *hostname, struct pw_ship_stats *st,
                               struct pw_objstore_why *why);
/* All tenants: sub-directories of data_path that have a `local` (storage.md 2.5). */
PW_MUST_USE int pw_ship_all(struct pw_objstore *bucket, const char *data_path, const char *hostname,
                            struct pw_ship_stats *st, struct pw_objstore_why *why);

/* Names in `dir` that parse as ULIDs, ascending, malloc'ed. */
PW_MUST_USE int pw_block_dirs(const char *dir, struct pw_ulid **ulid, uint32_t *count);

#endif
