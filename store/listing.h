/* store/listing.h - which blocks the bucket has, and which of them queries are to read.
 *
 * Purpose  the periodic look of a store-gateway: tenants, their blocks' meta.json (each read once: a block is
 *          never rewritten), deletion marks (contract storage.md 1.1, 2.8 and 3). The bucket index of the
 *          compactor is not needed, so that a bucket without a compactor is read too.
 * Owner    one thread refreshes and asks.
 * Context  storage thread: lists, and one GET for each block that is new, of several threads at once.
 * Units    ms since 1970.
 * Errors   refresh: negative enum pw_err with its reason; then no block is forgotten that was there. A block
 *          whose meta.json is missing is not there yet; one that cannot be read is logged once and left
 *          out.
 * Limits   memory: some 200 bytes a block and 16 a source of a compacted one.
 *
 * A block is wanted unless
 *     it is superseded: all its sources are in compacted blocks of a higher level that are there (where
 *         the compactor splits by series: when all of the shards are), or
 *     it was marked for deletion more than PW_LISTING_MARK_DELAY_MS ago, as stock's store-gateway has it.
 */
#ifndef PW_STORE_LISTING_H
#define PW_STORE_LISTING_H

#include "base/limits.h"
#include "base/text.h"
#include "store/block/ulid.h"
#include "store/objstore/objstore.h"

enum {
    PW_LISTING_MARK_DELAY_MS = 30 * 60 * 1000,
    PW_LISTING_THREADS =
        8, /* that fetch side by side: a request waits for the bucket, not for a CPU */
};

struct pw_listing_block {
    char tenant[PW_TENANT_BYTES_MAX + 1];
    struct pw_ulid ulid;
    bool wanted;
    bool broken;     /* its meta.json cannot be read */
    bool seen;       /* in the refresh that runs */
    int64_t mark_ms; /* when it was marked for deletion; 0: it is not, -1: not known */
    uint32_t level;
    uint32_t shard, shards; /* __compactor_shard_id__; 0 of 0: none */
    uint32_t source_count;
    struct pw_ulid *source; /* ascending; NULL: itself alone */
    /* meta.json as it was read, of blocks that are new in the last refresh. Whoever opens the block
     * then does not fetch it again; the next refresh frees it. */
    struct pw_text meta;
};

struct pw_listing {
    struct pw_listing_block *block; /* by tenant, then ULID */
    uint32_t count, cap;
    /* Sources that are in compacted blocks, with the highest level of one. */
    struct pw_listing_covered *covered;
    uint32_t covered_count, covered_cap;
};

PW_MUST_USE int pw_listing_refresh(struct pw_listing *l, struct pw_objstore *bucket, int64_t now_ms,
                                   struct pw_objstore_why *why);
void pw_listing_fini(struct pw_listing *l);

const struct pw_listing_block *pw_listing_find(const struct pw_listing *l, const char *tenant,
                                               const struct pw_ulid *ulid);
/* Whether compacted blocks have everything of that block of level 1, be it in the bucket or not. */
bool pw_listing_supersedes(const struct pw_listing *l, const char *tenant,
                           const struct pw_ulid *ulid);

#endif
