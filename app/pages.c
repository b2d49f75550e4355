#include "app/pages.h"

#include "app/config_help.h"
#include "app/gateway.h"
#include "app/gossip.h"
#include "app/link.h"
#include "app/parts.h"
#include "app/peers.h"
#include "app/ring_page.h"
#include "app/shipping.h"
#include "app/storage.h"

/* --- Query threads ------------------------------------------------------------------------------ */

static void *
thread_new(void *ctx)
{
    struct pw_app *app = ctx;

    return pw_query_thread_new_cold(app->query);
}

static void
thread_free(void *ctx, void *thread)
{
    (void)ctx;
    pw_query_thread_free_cold(thread);
}

static void
run(void *ctx, void *thread, const struct pw_query_request *req, struct pw_query_reply *rep)
{
    struct pw_app *app = ctx;

    if (pw_gossip_page_owns_path(req->path)) {
        pw_gossip_page_execute_cold(app, req, rep);
    } else if (pw_ring_page_owns_path(req->path)) {
        pw_ring_page_execute_cold(app, req, rep);
    } else if (pw_admin_owns_path(req->path)) {
        pw_admin_execute_cold(app->admin, req, rep);
    } else {
        pw_query_execute_cold(thread, req, rep);
    }
}

bool
pw_pages_is_page(struct pw_slice path)
{
    return pw_gossip_page_owns_path(path) || pw_ring_page_owns_path(path) ||
           pw_admin_owns_path(path);
}

struct pw_jobs_runner
pw_pages_runner(struct pw_app *app)
{
    return (struct pw_jobs_runner){
        .ctx = app, .thread_new = thread_new, .thread_free = thread_free, .run = run};
}

/* --- What query/ asks of us ---------------------------------------------------------------------- */

/* The mutex keeps the control thread from freeing the snapshot while its values are copied. */
static void
query_limits(void *ctx, struct pw_slice tenant, struct pw_query_limits *out)
{
    struct pw_app *app = ctx;
    const struct pw_limits *l;

    pthread_mutex_lock(&app->overrides_mutex);
    l = pw_overrides_get(atomic_load_explicit(&app->overrides, memory_order_acquire),
                         tenant); /* A2 */
    *out = (struct pw_query_limits){
        .max_query_lookback_ms = l->max_query_lookback_ms,
        .max_query_length_ms = l->max_query_length_ms,
        .max_flamegraph_nodes_default = l->max_flamegraph_nodes_default,
        .max_flamegraph_nodes_max = l->max_flamegraph_nodes_max,
    };
    pthread_mutex_unlock(&app->overrides_mutex);
}

static int
query_tenant(void *ctx, struct pw_slice header, struct pw_slice *tenant, struct pw_text *err)
{
    const struct pw_app *app = ctx;

    return pw_tenant_from_header(app->cfg->multitenancy_enabled, header, tenant, err);
}

static int
query_flush(void *ctx)
{
    return pw_storage_flush(ctx);
}

void
pw_pages_query_cfg(struct pw_app *app, struct pw_query_cfg *cfg)
{
    *cfg = (struct pw_query_cfg){
        .catalog = app->catalog,
        .multitenancy = app->cfg->multitenancy_enabled,
        .hash_key = app->hash_key,
        .hostname = app->hostname,
        .limits = query_limits,
        .tenant = query_tenant,
        .flush = query_flush,
        .ctx = app,
        .peers = pw_peers_ops(app->peers),
        .build = {.version = pw_build_info()->version,
                  .revision = pw_build_info()->revision,
                  .branch = pw_build_info()->branch,
                  .build_user = "",
                  .build_date = ""},
    };
}

/* --- /metrics ------------------------------------------------------------------------------------ */

static void
write_loops(void *ctx, struct pw_text *t)
{
    struct pw_app *app = ctx;

    pw_loop_metrics(app->loop, app->loops, t);
}

static void
write_workers(void *ctx, struct pw_text *t)
{
    struct pw_app *app = ctx;

    struct pw_worker *all[2 * PW_WORKERS_MAX];
    uint32_t n = 0;

    for (uint32_t i = 0; i < app->workers; i++) {
        all[n++] = app->worker[i];
    }
    for (uint32_t i = 0; i < app->workers && app->link_worker[i] != NULL; i++) {
        all[n++] = app->link_worker[i];
    }
    pw_worker_metrics(all, n, t);
}

static void
write_http(void *ctx, struct pw_text *t)
{
    struct pw_app *app = ctx;
    const struct pw_http_server *srv[PW_WORKERS_MAX];

    for (uint32_t d = 0; d < app->doors; d++) {
        srv[d] = app->door[d].http;
    }
    pw_http_server_metrics(srv, app->doors, t);
    pw_peers_metrics(app->peers, t);
    pw_jobs_metrics(app->jobs, t);
}

static void
write_distributors(void *ctx, struct pw_text *t)
{
    struct pw_app *app = ctx;
    struct pw_distributor *d[PW_WORKERS_MAX];

    for (uint32_t i = 0; i < app->doors; i++) {
        d[i] = app->door[i].distributor;
    }
    pw_distributor_metrics(d, app->doors, t);
}

static void
write_ingesters(void *ctx, struct pw_text *t)
{
    struct pw_app *app = ctx;

    const struct pw_catalog_view *heads = pw_catalog_acquire(app->catalog);

    pw_ingester_metrics(app->ingester, app->ingesters, heads, t);
    pw_catalog_release(app->catalog, heads);
    if (app->flush != NULL) {
        pw_flush_metrics(app->flush, t);
    }
}

static void
write_wal(void *ctx, struct pw_text *t)
{
    struct pw_app *app = ctx;

    if (app->wal_dir != NULL) {
        pw_wal_metrics(app->wal_dir, t);
    }
}

static void
write_shipping(void *ctx, struct pw_text *t)
{
    struct pw_app *app = ctx;

    if (app->shipping != NULL) {
        pw_shipping_metrics(app->shipping, t);
        pw_gateway_metrics(app->gateway, t);
    }
}

static void
write_ring(void *ctx, struct pw_text *t)
{
    struct pw_app *app = ctx;

    if (app->ring != NULL) {
        pw_app_ring_metrics(app->ring, t);
    }
}

static void
write_links(void *ctx, struct pw_text *t)
{
    pw_app_link_metrics(ctx, t);
}

static void
write_gossip(void *ctx, struct pw_text *t)
{
    pw_gossip_metrics(ctx, t);
}

static void
write_nic(void *ctx, struct pw_text *t)
{
    struct pw_app *app = ctx;

    const struct pw_nic_named nic[] = {{&app->nic, "nic"}, {&app->link_nic, "link"}};

    if (app->nic.has_port) {
        pw_nic_metrics_ctl(nic, app->link_nic.has_port ? 2 : 1, t);
    }
}

/* Without files to read there is nothing to say of them. */
static void
write_runtime_config(void *ctx, struct pw_text *t)
{
    struct pw_app *app = ctx;

    if (app->cfg->runtime_config_file.count > 0) {
        pw_runtime_config_metrics(app->runtime, t);
    }
}

uint32_t
pw_pages_sources(struct pw_app *app, struct pw_metrics_source *source)
{
    static void (*const write[])(void *, struct pw_text *) = {
        write_loops,         write_nic,       write_workers, write_http,
        write_distributors,  write_ingesters, write_ring,    write_wal,
        write_shipping,      write_links,     write_gossip,  pw_replicas_metrics,
        write_runtime_config};

    for (uint32_t i = 0; i < PW_ARRAY_LEN(write); i++) {
        source[i] = (struct pw_metrics_source){.write = write[i], .ctx = app};
    }
    return PW_ARRAY_LEN(write);
}
