/* ingester/catalog.h - what there is to read: the heads and blocks of one moment, as one snapshot.
 *
 * Purpose  a profile is in a head first and in a block later. A query takes one generation of the
 *          catalog and reads what that lists: a head leaves the list in the same step in which its
 *          blocks join it, so no profile is counted twice or not at all. A head that is about to
 *          receive rows is listed before its first one.
 * Owner    editors (storage threads; one at a time, by a mutex) publish generations. Any number of readers hold
 *          one for as long as they read; what it lists lives until no generation that lists it is held.
 *          An editor frees it, in a later call of its own: readers never wait for an munmap.
 * Context  cold, never on a polling core: a mutex, held for a few loads.
 * Units    ms.
 * Errors   PW_ENOMEM: the catalog is as before.
 * Limits   memory.
 */
#ifndef PW_INGESTER_CATALOG_H
#define PW_INGESTER_CATALOG_H

#include "base/limits.h"
#include "ingester/head.h"
#include "store/block/block_reader.h"

struct pw_catalog;

enum { PW_CATALOG_WARM_MAX = 4096 }; /* local blocks */

struct pw_catalog_block {
    struct pw_block *block;
    struct pw_ulid ulid;
    void (*close)(struct pw_block *b); /* pw_block_close; a test's own */
    bool remote; /* read from object storage (pw_block_use), where every appliance sees it */
    char tenant[PW_TENANT_BYTES_MAX + 1];
};

/* One generation. Borrowed from the catalog between acquire and release. */
struct pw_catalog_view {
    struct pw_head *const *head; /* any order */
    const struct pw_catalog_block *const *block;
    uint32_t heads_count, blocks_count;
    uint64_t generation;
};

PW_MUST_USE int pw_catalog_create_ctl(struct pw_catalog **cat);
/* No reader is left. Destroys the heads and closes the blocks that are listed. */
void pw_catalog_destroy_ctl(struct pw_catalog *cat);

/* Readers, any thread. */
const struct pw_catalog_view *pw_catalog_acquire(struct pw_catalog *cat);
void pw_catalog_release(struct pw_catalog *cat, const struct pw_catalog_view *view);

/* An editor: one generation more, which has all of `add` and nothing of `remove`. A block that is added takes the place of
 * one of the same tenant and ULID. What was removed is destroyed (a head) or closed (a block) by a later reap. */
struct pw_catalog_edit {
    struct pw_head *const *add_head; /* given */
    const struct pw_head *const *remove_head;
    const struct pw_catalog_block *add_block; /* copied; the block in it is given */
    const struct pw_block *const *remove_block;
    uint32_t add_heads, remove_heads, add_blocks, remove_blocks;
};
PW_MUST_USE int pw_catalog_edit(struct pw_catalog *cat, const struct pw_catalog_edit *e);
/* One block in another's place, which has its name: where queries read it from changes between two of
 * them. with: as add_block. PW_ENOENT: it is not listed, and `with` is still the caller's. */
PW_MUST_USE int pw_catalog_replace_block(struct pw_catalog *cat,
                                         const struct pw_catalog_block *with);
/* A local block that is open costs three mappings of its files, and a process has 65,530 (vm.max_map_count): one that keeps its
 * blocks for months has more of them. When more than `most` local blocks are warm, those that nobody reads are let go until
 * half as many are, the ones listed longest first: queries open them again (pw_block_use). Returns how many were. */
uint32_t pw_catalog_cool(struct pw_catalog *cat, uint32_t most);
/* An editor: frees what no held generation lists any more. Returns how many generations still wait. */
uint32_t pw_catalog_reap(struct pw_catalog *cat);

#endif
