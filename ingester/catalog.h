/* ingester/catalog.h - what there is to read: the heads and blocks of one moment, as one snapshot.
 *
 * Purpose  a profile is in a head first and in a block later. A query takes one generation of the
 *          catalog and reads what that lists: a head leaves the list in the same step in which its
 *          blocks join it, so no profile is counted twice or not at all. A head that is about to
 *          receive rows is listed before its first one.
 * Owner    one editor (the storage thread) publishes generations. Any number of readers hold one for as
 *          long as they read; what it lists lives until no generation that lists it is held. The
 *          editor frees it, in a later call of its own: readers never wait for an munmap.
 * Context  cold, never on a polling core: a mutex, held for a few loads.
 * Units    -
 * Errors   PW_ENOMEM: the catalog is as before.
 * Limits   memory.
 */
#ifndef PW_INGESTER_CATALOG_H
#define PW_INGESTER_CATALOG_H

#include "ingester/head.h"

struct pw_catalog;

/* One generation. Borrowed from the catalog between acquire and release. */
struct pw_catalog_view {
    struct pw_head *const *head; /* any order */
    uint32_t heads_count;
    uint64_t generation;
};

PW_MUST_USE int pw_catalog_create_ctl(struct pw_catalog **cat);
/* No reader is left. Frees what is listed, by its destroy function. */
void pw_catalog_destroy_ctl(struct pw_catalog *cat);

/* Readers, any thread. */
const struct pw_catalog_view *pw_catalog_acquire(struct pw_catalog *cat);
void pw_catalog_release(struct pw_catalog *cat, const struct pw_catalog_view *view);

/* The editor: one generation that has all of `add` and nothing of `remove`. */
struct pw_catalog_edit {
    struct pw_head *const *add_head; /* given */
    uint32_t add_heads;
    const struct pw_head *const *remove_head;
    uint32_t remove_heads;
};
PW_MUST_USE int pw_catalog_edit(struct pw_catalog *cat, const struct pw_catalog_edit *e);
/* The editor: frees what no held generation lists any more. Returns how many things still wait. */
uint32_t pw_catalog_reap(struct pw_catalog *cat);

#endif
