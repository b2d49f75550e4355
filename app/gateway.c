#include "app/gateway.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"
#include "store/listing.h"
#include "store/remote.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static const char module[] = "pw.app.gateway";

struct pw_gateway {
    struct pw_catalog *catalog;
    struct pw_remote *remote;
    struct pw_listing listing;
    _Atomic uint64_t listed, read; /* blocks in the bucket; those of them that queries read there */
    _Atomic uint64_t syncs, sync_failures, refused;
};

int
pw_gateway_create_ctl(struct pw_gateway **out, struct pw_catalog *catalog,
                      const struct pw_objstore_cfg *bucket, uint64_t cache_bytes)
{
    struct pw_gateway *g = calloc(1, sizeof(*g));
    int rc;

    if (g == NULL) {
        return PW_ENOMEM;
    }
    g->catalog = catalog;
    rc = pw_remote_create_ctl(&g->remote, bucket, cache_bytes);
    if (rc != 0) {
        free(g);
        return rc;
    }
    *out = g;
    return 0;
}

void
pw_gateway_destroy_ctl(struct pw_gateway *g)
{
    if (g != NULL) {
        pw_listing_fini(&g->listing);
        pw_remote_destroy_ctl(g->remote);
        free(g);
    }
}

void
pw_gateway_give_up_ctl(struct pw_gateway *g)
{
    if (g != NULL) {
        pw_remote_give_up(g->remote);
    }
}

/* --- One block -------------------------------------------------------------------------------------- */

static void
refuse(struct pw_gateway *g, const char *tenant, const struct pw_ulid *ulid, const char *why)
{
    char name[PW_ULID_CHARS + 1], quoted[512];

    pw_ulid_print(ulid, name);
    atomic_fetch_add_explicit(&g->refused, 1, memory_order_relaxed);
    pw_log(PW_LOG_WARN, module,
           "msg=\"a block of the bucket cannot be read\" tenant=%s block=%s error=%s", tenant, name,
           pw_log_quote(quoted, sizeof(quoted), pw_slice_str(why)));
}

static int
open_remote(struct pw_gateway *g, const char *tenant, const struct pw_ulid *ulid,
            struct pw_slice meta, struct pw_catalog_block *out)
{
    struct pw_block_error err = {""};
    int rc;

    *out = (struct pw_catalog_block){.ulid = *ulid, .close = pw_block_close, .remote = true};
    snprintf(out->tenant, sizeof(out->tenant), "%s", tenant);
    rc = pw_remote_open(g->remote, tenant, ulid, meta, &out->block, &err);
    if (rc != 0) {
        refuse(g, tenant, ulid, err.text);
    }
    return rc;
}

/* --- All -------------------------------------------------------------------------------------------- */

struct diff {
    const struct pw_catalog_block **here; /* by tenant, then ULID */
    uint32_t here_count;
    struct pw_catalog_block *add;
    const struct pw_block **remove;
    uint32_t add_count, remove_count;
};

static int
by_name(const void *a, const void *b)
{
    const struct pw_catalog_block *x = *(const struct pw_catalog_block *const *)a,
                                  *y = *(const struct pw_catalog_block *const *)b;
    int order = strcmp(x->tenant, y->tenant);

    return order != 0 ? order : pw_ulid_cmp(&x->ulid, &y->ulid);
}

static bool
is_here(const struct diff *d, const struct pw_listing_block *b)
{
    struct pw_catalog_block like = {.ulid = b->ulid};
    const struct pw_catalog_block *key = &like;

    memcpy(like.tenant, b->tenant, sizeof(like.tenant));
    return d->here_count > 0 &&
           bsearch(&key, (void *)d->here, d->here_count, sizeof(*d->here), by_name) != NULL;
}

static bool
is_unwanted(const struct pw_gateway *g, const struct pw_catalog_block *b)
{
    const struct pw_listing_block *l;

    if (!b->remote) {
        return pw_listing_supersedes(&g->listing, b->tenant, &b->ulid);
    }
    l = pw_listing_find(&g->listing, b->tenant, &b->ulid);
    return l == NULL || !l->wanted;
}

static int
find_differences(struct pw_gateway *g, const struct pw_catalog_view *view, struct diff *d)
{
    d->here = calloc(view->blocks_count + 1, sizeof(*d->here));
    d->remove = calloc(view->blocks_count + 1, sizeof(*d->remove));
    d->add = calloc(g->listing.count + 1, sizeof(*d->add));
    if (d->here == NULL || d->remove == NULL || d->add == NULL) {
        return PW_ENOMEM;
    }
    for (uint32_t i = 0; i < view->blocks_count; i++) {
        d->here[d->here_count++] = view->block[i];
        if (is_unwanted(g, view->block[i])) {
            d->remove[d->remove_count++] = view->block[i]->block;
        }
    }
    if (d->here_count > 0) {
        qsort((void *)d->here, d->here_count, sizeof(*d->here), by_name);
    }
    for (uint32_t i = 0; i < g->listing.count; i++) {
        const struct pw_listing_block *b = &g->listing.block[i];

        if (b->wanted && !is_here(d, b) &&
            open_remote(g, b->tenant, &b->ulid, pw_slice(b->meta.ptr, b->meta.len),
                        &d->add[d->add_count]) == 0) {
            d->add_count++;
        }
    }
    return 0;
}

static int
apply(struct pw_gateway *g, const struct diff *d)
{
    const struct pw_catalog_edit e = {.add_block = d->add,
                                      .add_blocks = d->add_count,
                                      .remove_block = d->remove,
                                      .remove_blocks = d->remove_count};
    int rc = d->add_count + d->remove_count == 0 ? 0 : pw_catalog_edit(g->catalog, &e);

    for (uint32_t i = 0; i < d->add_count && rc != 0; i++) {
        pw_block_close(d->add[i].block);
    }
    if (rc == 0 && d->add_count + d->remove_count > 0) {
        pw_log(PW_LOG_INFO, module, "msg=\"blocks of the bucket\" listed=%u new=%u gone=%u",
               g->listing.count, d->add_count, d->remove_count);
    }
    return rc;
}

static void
count_read(struct pw_gateway *g)
{
    const struct pw_catalog_view *view = pw_catalog_acquire(g->catalog);
    uint64_t n = 0;

    for (uint32_t i = 0; i < view->blocks_count; i++) {
        n += view->block[i]->remote;
    }
    pw_catalog_release(g->catalog, view);
    atomic_store_explicit(&g->read, n, memory_order_relaxed);
    atomic_store_explicit(&g->listed, g->listing.count, memory_order_relaxed);
}

int
pw_gateway_sync(struct pw_gateway *g, struct pw_objstore *bucket, struct pw_objstore_why *why)
{
    struct diff d = {0};
    int listed = pw_listing_refresh(&g->listing, bucket, pw_wall_ns() / 1000000, why);
    /* Held until the edit: what is to be removed is still there then. */
    const struct pw_catalog_view *view = pw_catalog_acquire(g->catalog);
    int rc = find_differences(g, view, &d);

    rc = rc != 0 ? rc : apply(g, &d);
    pw_catalog_release(g->catalog, view);
    if (rc != 0) {
        snprintf(why->text, sizeof(why->text), "%s", pw_err_text(rc));
    }
    free((void *)d.here);
    free(d.add);
    free((void *)d.remove);
    count_read(g);
    atomic_fetch_add_explicit(&g->syncs, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&g->sync_failures, listed != 0 || rc != 0, memory_order_relaxed);
    return listed != 0 ? listed : rc;
}

static bool
is_listed_local(struct pw_gateway *g, const char *tenant, const struct pw_ulid *ulid)
{
    const struct pw_catalog_view *view = pw_catalog_acquire(g->catalog);
    bool yes = false;

    for (uint32_t i = 0; i < view->blocks_count && !yes; i++) {
        const struct pw_catalog_block *b = view->block[i];

        yes = !b->remote && pw_ulid_cmp(&b->ulid, ulid) == 0 && strcmp(b->tenant, tenant) == 0;
    }
    pw_catalog_release(g->catalog, view);
    return yes;
}

int
pw_gateway_take_over(struct pw_gateway *g, const char *tenant, const struct pw_ulid *ulid)
{
    struct pw_catalog_block with;
    struct pw_block_error err = {""};
    int rc;

    if (!is_listed_local(g, tenant, ulid)) {
        return 0; /* nobody reads it here: it is compacted, or was never readable */
    }
    rc = open_remote(g, tenant, ulid, (struct pw_slice){0}, &with);
    if (rc != 0) {
        return rc;
    }
    /* Its index and its footers, before the local ones go. */
    rc = pw_block_use(with.block, &err);
    if (rc != 0) {
        refuse(g, tenant, ulid, err.text);
    } else {
        pw_block_unuse(with.block);
        rc = pw_catalog_replace_block(g->catalog, &with);
    }
    if (rc != 0) {
        pw_block_close(with.block);
    }
    count_read(g);
    return rc == PW_ENOENT ? 0 : rc;
}

/* --- /metrics --------------------------------------------------------------------------------------- */

static uint64_t
load(const _Atomic uint64_t *v)
{
    return atomic_load_explicit(v, memory_order_relaxed);
}

void
pw_gateway_metrics(const struct pw_gateway *g, struct pw_text *t)
{
    struct pw_remote_stats st;

    pw_remote_stats(g->remote, &st);
    pw_metric_u64(t, "pyrowire_bucket_blocks", "gauge", "Blocks that the bucket has.",
                  load(&g->listed));
    pw_metric_u64(t, "pyrowire_bucket_blocks_read", "gauge",
                  "Blocks that queries read in the bucket.", load(&g->read));
    pw_metric_u64(t, "pyrowire_bucket_syncs_total", "counter", "Looks at what the bucket has.",
                  load(&g->syncs));
    pw_metric_u64(t, "pyrowire_bucket_sync_failures_total", "counter", "Those that failed.",
                  load(&g->sync_failures));
    pw_metric_u64(t, "pyrowire_bucket_blocks_refused_total", "counter",
                  "Attempts to open a block of the bucket that failed.", load(&g->refused));
    pw_metric_u64(t, "pyrowire_bucket_reads_total", "counter", "Requests for bytes of blocks.",
                  st.requests);
    pw_metric_u64(t, "pyrowire_bucket_read_bytes_total", "counter", "Bytes they brought.",
                  st.bytes);
    pw_metric_u64(t, "pyrowire_bucket_read_failures_total", "counter", "Those that failed.",
                  st.failures);
    pw_metric_u64(t, "pyrowire_bucket_cache_bytes", "gauge", "Bytes of blocks in memory.",
                  st.cached_bytes);
    pw_metric_u64(t, "pyrowire_bucket_cache_blocks", "gauge", "Blocks open beyond their meta.json.",
                  st.warm);
    pw_metric_u64(t, "pyrowire_bucket_cache_evictions_total", "counter",
                  "Blocks let go for want of room.", st.evicted);
}
