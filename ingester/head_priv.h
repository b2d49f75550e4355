/* ingester/head_priv.h - what head.c (the writer) and head_view.c (the readers) both know.
 *
 * Purpose  layout of a head and of a tenant in it, and how what is visible is published.
 * Owner    fields say whose they are.
 * Context  hot.
 * Units    -
 * Errors   -
 * Limits   -
 */
#ifndef PW_INGESTER_HEAD_PRIV_H
#define PW_INGESTER_HEAD_PRIV_H

#include "base/limits.h"
#include "ingester/series_index.h"
#include "ingester/share.h"

#include <stdalign.h>

/* What was visible after one record. A reader copies the newest; the writer goes round the ring, so
 * that the slot a reader copies is not overwritten before PW_HEAD_SNAPS - 1 further records are in
 * (it checks, and copies again if they were). */
struct pw_head_snap {
    _Atomic uint64_t rows;
    _Atomic uint32_t series, strings, functions, locations, mappings, stacks;
};

enum { PW_HEAD_SNAPS = 8 };

struct pw_head_tenant {
    /* --- read-only once the tenant is reachable --- */
    const uint8_t *base; /* of the region */
    uint8_t name[PW_TENANT_BYTES_MAX];
    uint32_t name_len;
    uint64_t hash; /* pw_tenant_pressure_key of name */

    /* --- the writer's; readers use elements below a published count --- */
    struct pw_symbols sym;
    struct pw_series_index series;
    struct pw_chunks row; /* struct pw_row */
    bool listed;
    bool pressed;                    /* share.c lists it */
    uint64_t bytes;                  /* of this head, that came with its records */
    uint64_t held_bytes, held_epoch; /* of other heads of the core: pw_share_used */

    /* --- published --- */
    alignas(
        64) _Atomic uint64_t snaps; /* how many were written; the newest is (snaps - 1) % SNAPS */
    struct pw_head_snap snap[PW_HEAD_SNAPS];
};

struct pw_head {
    /* --- read-only after create --- */
    struct pw_head_cfg cfg;
    struct pw_head_tenant **tenant; /* [tenants_max], in order of creation */
    _Atomic uint32_t *slot; /* open addressing: index + 1 into tenant; by keyed hash of name */
    uint32_t slot_mask;

    /* --- the writer's --- */
    struct pw_head_mem mem;
    struct pw_share *share;       /* NULL: any tenant may have everything */
    struct pw_activity *activity; /* NULL: nobody counts, no series limit */
    uint32_t tenants_count;
    uint64_t samples_count, symbols_leaked;
    int64_t created_ns;

    /* --- published; single values may be a record apart from one another --- */
    uint32_t *list; /* tenants that have rows, in order of their first */
    alignas(64) _Atomic uint32_t list_count;
    _Atomic uint64_t bytes_used, samples, leaked;
    _Atomic uint64_t kind_bytes[PW_REGION_KINDS];
    _Atomic int64_t time_min_ns, time_max_ns;
};

/* Any thread. NULL when the tenant was never seen. */
struct pw_head_tenant *pw_head_find_tenant(const struct pw_head *h, struct pw_slice name);

#endif
