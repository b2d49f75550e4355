#include "app/wire.h"

#include "app/bucket.h"
#include "app/control.h"
#include "app/doors.h"
#include "app/durable.h"
#include "app/gossip.h"
#include "app/link.h"
#include "app/loops.h"
#include "app/nic_options.h"
#include "app/pages.h"
#include "app/parts.h"
#include "app/peers.h"
#include "app/shipping.h"
#include "app/storage.h"
#include "base/check.h"
#include "base/log.h"

#include <rte_mbuf.h>

#include <stdlib.h>
#include <sys/random.h>

static const char module[] = "pw.app";

enum {
    LISTENER_MBUFS = 8191,
    PEER_THREADS =
        2, /* for the questions of other appliances, which these answer without asking anybody */
};

/* One line that says what failed; returns rc. */
static int
failed(const char *what, int rc, const struct pw_text *why)
{
    char part[64];
    char quoted[1024];
    struct pw_slice text = why != NULL && why->len > 0 ? (struct pw_slice){why->ptr, why->len}
                                                       : pw_slice_str(pw_err_text(rc));

    pw_log(PW_LOG_ERROR, module, "msg=\"cannot start\" part=%s err=%s",
           pw_log_quote(part, sizeof(part), pw_slice_str(what)),
           pw_log_quote(quoted, sizeof(quoted), text));
    return rc;
}

static int
random_bytes(void *p, size_t n)
{
    return getrandom(p, n, 0) == (ssize_t)n ? 0 : PW_EIO;
}

/* --- Ingesters ------------------------------------------------------------------------------- */

static int
start_ingesters(struct pw_app *app)
{
    struct pw_lane *in[PW_WORKERS_MAX];
    struct pw_lane *out[PW_WORKERS_MAX];

    for (uint32_t i = 0; i < app->ingesters; i++) {
        for (uint32_t d = 0; d < app->doors; d++) {
            in[d] = app->door[d].out[i];
            out[d] = app->door[d].back[i];
        }
        const struct pw_ingester_cfg cfg = {
            .heads = pw_flush_heads(app->flush, i),
            .wal = pw_wal_dir_log(app->wal_dir, i),
            .lanes_count = app->doors,
            .in = in,
            .out = out,
            .series_limit = pw_app_series_limit,
            .series_limit_ctx = app,
            .old_tsc = pw_clock_us_to_tsc(&app->clock, PW_INGEST_OLD_US),
        };
        int rc = pw_ingester_create_ctl(&app->ingester[i], &cfg);

        if (rc != 0) {
            return failed("ingester", rc, NULL);
        }
    }
    return 0;
}

/* --- Doors: what a polling thread needs to answer HTTP ------------------------------------------ */

/* --- Queries --------------------------------------------------------------------------------- */

static int
start_queries(struct pw_app *app)
{
    struct pw_query_cfg cfg;
    struct pw_jobs_cfg jobs = {
        .threads = app->cfg->query_threads,
        .peer_threads = PEER_THREADS,
        .page_threads = 1,
        .is_page = pw_pages_is_page,
        .clients = app->doors,
        .plan = &app->nic.plan,
        .runner = pw_pages_runner(app),
    };
    int rc = pw_peers_create_cold(&app->peers);

    if (rc != 0) {
        return failed("peers", rc, NULL);
    }
    pw_pages_query_cfg(app, &cfg);
    rc = pw_query_create_cold(&app->query, &cfg);
    if (rc != 0) {
        return failed("query", rc, NULL);
    }
    rc = pw_jobs_create_ctl(&app->jobs, &jobs);
    return rc == 0 ? 0 : failed("query threads", rc, NULL);
}

/* --- I/O workers ------------------------------------------------------------------------------ */

static int
start_worker(struct pw_app *app, uint32_t i)
{
    struct pw_worker_cfg cfg = pw_nic_worker_cfg(&app->nic, i);
    int rc = random_bytes(cfg.secret, sizeof(cfg.secret));

    cfg.clock = app->clock;
    cfg.app = *pw_http_server_stream_app(app->door[i].http);
    cfg.tcp = (struct pw_tcp_cfg){.conns_max = app->cfg->dataplane_connections_max,
                                  .rx_budget_bytes = app->cfg->dataplane_rx_buffer_bytes};
    if (rc == 0) {
        app->worker[i] = pw_worker_create_ctl(&cfg, pw_rdtsc(), &rc);
    }
    if (app->worker[i] == NULL) {
        return failed("worker", rc, NULL);
    }
    rc = pw_worker_listen_ctl(app->worker[i], (uint16_t)app->cfg->http_listen_port);
    if (rc != 0) {
        return failed("listen", rc, NULL);
    }
    rc = pw_app_link_bind_worker_ctl(app, i);
    return rc == 0 ? 0 : failed("link", rc, NULL);
}

static int
start_loops(struct pw_app *app)
{
    int rc = pw_loops_create_ctl(app);

    rc = rc != 0 ? rc : pw_loops_launch_ctl(app);
    return rc == 0 ? 0 : failed("loops", rc, NULL);
}

/* Frames for our ports arrive from here on: the workers poll already. */
static int
start_steering(struct pw_app *app)
{
    int rc = pw_nic_steer_ctl(&app->nic, &app->nic_cfg);

    if (rc == 0 && app->link_nic.has_port) {
        rc = pw_nic_steer_ctl(&app->link_nic, &app->link_nic_cfg);
    }
    return rc == 0 ? 0 : failed("steering", rc, NULL);
}

/* --- The listener ------------------------------------------------------------------------------- */

static int
start_listener(struct pw_app *app)
{
    struct pw_listener_cfg cfg = {
        .address = app->cfg->http_listen_address,
        .port = (uint16_t)app->cfg->http_listen_port,
        .stream_app = pw_http_server_stream_app(pw_app_control_door(app)->http),
        .conns_max = PW_DOORS_LISTENER_CONNS_MAX,
    };
    char text[256] = "";
    struct pw_text why;
    int rc = 0;

    app->listener_pool = rte_pktmbuf_pool_create("pw_listener", LISTENER_MBUFS, 0, 0,
                                                 RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    if (app->listener_pool == NULL) {
        return failed("listener buffers", PW_ENOMEM, NULL);
    }
    cfg.mempool = app->listener_pool;
    app->listener = pw_listener_create_ctl(&cfg, &rc, text, sizeof(text));
    if (app->listener == NULL) {
        pw_text_fixed(&why, text, sizeof(text));
        why.len = strlen(text);
        return failed("listener", rc, &why);
    }
    return 0;
}

static int
start_admin(struct pw_app *app)
{
    static const char *const all[] = {"server", "distributor", "ingester", "querier"};
    const char *name[PW_ARRAY_LEN(all)] = {all[0]};
    uint32_t names = 1;
    struct pw_metrics_source source[PW_ADMIN_SOURCES_MAX];
    struct pw_admin_cfg cfg = {
        .config = app->cfg,
        .module = name,
        .source = source,
        .sources_count = pw_pages_sources(app, source),
        .starting = pw_durable_starting,
        .ctx = app,
    };
    int rc;

    for (uint32_t i = 1; i < PW_ARRAY_LEN(all); i++) {
        if (pw_config_runs(app->cfg, all[i])) {
            name[names++] = all[i];
        }
    }
    cfg.modules_count = names;
    rc = pw_admin_create_ctl(&app->admin, &cfg);

    if (rc != 0) {
        return failed("admin", rc, NULL);
    }
    pw_admin_set_runtime_config_ctl(app->admin, app->runtime);
    pw_admin_set_all_ctl(app->admin, PW_ADMIN_STARTING);
    return 0;
}

/* --- Start and stop ----------------------------------------------------------------------------- */

static int
start_part(struct pw_app *app, const char *what, int (*start)(struct pw_app *, struct pw_text *))
{
    char bytes[1024];
    struct pw_text why;

    pw_text_fixed(&why, bytes, sizeof(bytes));
    int rc = start(app, &why);

    return rc == 0 ? 0 : failed(what, rc, &why);
}

static bool
single_replica(const struct pw_config *cfg)
{
    return pw_config_runs(cfg, "ingester")
               ? pw_peers_single_cold(cfg->data_path, cfg->ring.replication_factor)
               : cfg->ring.replication_factor <= 1;
}

static int
start_parts(struct pw_app *app)
{
    int rc = start_part(app, "gossip", pw_gossip_open_ctl);

    rc = rc != 0 ? rc : start_part(app, "write-ahead log", pw_durable_open_ctl);
    rc = rc != 0 ? rc : start_part(app, "storage", pw_storage_open_ctl);
    rc = rc != 0 ? rc : start_part(app, "object storage", pw_bucket_start_ctl);
    rc = rc != 0 ? rc : start_admin(app);
    rc = rc != 0 ? rc : start_queries(app);
    rc = rc != 0 ? rc : start_part(app, "doors", pw_doors_create_ctl);
    rc = rc != 0 ? rc : start_listener(app); /* from here on /ready is answered: 503 */
    rc = rc != 0 ? rc : start_part(app, "ring", pw_app_ring_create_ctl);
    if (rc == 0) {
        pw_peers_bind_board(app->peers, pw_app_ring_board(app->ring), single_replica(app->cfg));
    }
    rc = rc != 0 ? rc : start_part(app, "storage", pw_storage_start_ctl);
    rc = rc != 0 ? rc : start_part(app, "write-ahead log", pw_durable_start_ctl);
    rc = rc != 0 ? rc : start_ingesters(app);
    for (uint32_t i = 0; i < app->workers && rc == 0; i++) {
        rc = start_worker(app, i);
    }
    rc = rc != 0 ? rc : start_part(app, "link", pw_app_link_bind_control_ctl);
    rc = rc != 0 ? rc : start_loops(app);
    rc = rc != 0 ? rc : start_part(app, "gossip", pw_gossip_start_ctl);
    if (rc == 0) { /* who registers knows the ring that is there; a signal is for pw_control_run */
        (void)pw_control_wait(app, pw_gossip_joined(app));
    }
    if (rc == 0) {
        pw_app_ring_start_ctl(app->ring); /* what it is to hold can be written from here on */
    }
    return rc != 0 || !app->nic.has_port ? rc : start_steering(app);
}

static int
start_runtime_config(struct pw_app *app, struct pw_text *why)
{
    struct pw_overrides *first = NULL;
    int rc = pw_runtime_config_create_cold(&app->runtime, app->cfg, &first, why);

    if (rc == 0) {
        atomic_store_explicit(&app->overrides, first, memory_order_release); /* R2 */
    }
    return rc;
}

static void
stop_runtime_config(struct pw_app *app)
{
    const struct pw_overrides *o = atomic_load_explicit(&app->overrides, memory_order_relaxed);

    if (o != NULL) {
        pw_overrides_free_cold((struct pw_overrides *)(uintptr_t)o);
    }
    if (app->runtime != NULL) {
        pw_runtime_config_destroy_cold(app->runtime);
    }
}

static int
open_ports(struct pw_app *app, struct pw_text *why)
{
    int rc = pw_nic_options(app->cfg, &app->nic_cfg, why);

    if (rc != 0 || !pw_config_has_link_port(app->cfg)) {
        return rc != 0 ? rc : pw_nic_open_ctl(&app->nic, &app->nic_cfg, why);
    }
    rc = pw_nic_link_options(app->cfg, &app->link_nic_cfg, why);
    return rc != 0 ? rc
                   : pw_nic_open_two_ctl(&app->nic, &app->nic_cfg, &app->link_nic,
                                         &app->link_nic_cfg, why);
}

int
pw_app_start(struct pw_app **out, const struct pw_config *cfg)
{
    struct pw_app *app = calloc(1, sizeof(*app));
    char why_bytes[512];
    struct pw_text why;
    int rc;

    if (app == NULL) {
        return failed("app", PW_ENOMEM, NULL);
    }
    app->cfg = cfg;
    app->link_socket.fd = -1;
    app->start_wall_ns = pw_wall_ns();
    for (uint32_t i = 0; i < PW_PLAN_LCORES_MAX; i++) {
        app->bell[i].fd = -1;
    }
    pthread_mutex_init(&app->overrides_mutex, NULL);
    pw_text_fixed(&why, why_bytes, sizeof(why_bytes));
    rc = random_bytes(&app->hash_key, sizeof(app->hash_key));
    if (rc == 0 && cfg->link_secret_file[0] != 0) {
        /* A file that cannot be read stops the start later, with its name. */
        (void)!pw_replicas_hash_key_cold(cfg->link_secret_file, &app->hash_key);
    }
    rc = rc != 0 ? rc : start_runtime_config(app, &why);
    if (rc != 0) {
        failed("runtime config", rc, &why);
        goto err_free;
    }
    rc = open_ports(app, &why);
    if (rc != 0) {
        rc = rc == PW_EAGAIN ? rc : failed("nic", rc, &why);
        goto err_free;
    }
    pw_clock_init_ctl(&app->clock);
    app->workers = app->nic.plan.workers;
    app->doors = app->workers + 1;
    rc = start_parts(app);
    if (rc != 0) {
        pw_app_stop(app);
        return rc == PW_EAGAIN ? PW_EIO
                               : rc; /* it was said which part; PW_EAGAIN is of the hugepages */
    }
    *out = app;
    return 0;
err_free:
    stop_runtime_config(app);
    free(app);
    return rc;
}

int
pw_app_run(struct pw_app *app)
{
    return pw_control_run(app);
}

void
pw_app_stop(struct pw_app *app)
{
    if (app->nic.has_port) {
        pw_nic_unsteer_ctl(&app->nic);
        pw_nic_unsteer_ctl(&app->link_nic);
    }
    pw_loops_join_ctl(app);
    /* Streams go before the HTTP servers that they call. */
    for (uint32_t i = 0; i < app->workers; i++) {
        pw_worker_destroy_ctl(app->worker[i]); /* NULL is fine */
        pw_worker_destroy_ctl(app->link_worker[i]);
    }
    if (app->listener != NULL) {
        pw_listener_destroy_ctl(app->listener);
    }
    pw_bucket_give_up_ctl(app); /* nobody is there any more whom a query could answer */
    if (app->jobs != NULL) {
        pw_jobs_destroy_ctl(app->jobs);
    }
    pw_flush_stop_ctl(app->flush);
    pw_durable_stop_ctl(app); /* its writers read the doors' bulk memory */
    pw_bucket_stop_ctl(app);
    pw_doors_destroy_ctl(app);
    pw_gossip_close_ctl(app); /* its thread tells the ring of changes */
    pw_app_ring_destroy_ctl(app);
    pw_app_link_destroy_ctl(app);
    if (app->query != NULL) {
        pw_query_destroy_cold(app->query);
    }
    pw_peers_destroy_cold(app->peers);
    for (uint32_t i = 0; i < app->ingesters; i++) {
        if (app->ingester[i] != NULL) {
            pw_ingester_destroy_ctl(app->ingester[i]);
        }
    }
    pw_storage_stop_ctl(app);
    if (app->admin != NULL) {
        pw_admin_destroy_ctl(app->admin);
    }
    for (uint32_t i = 0; i < PW_PLAN_LCORES_MAX; i++) {
        free(app->loop[i]); /* the log's writers read how much it rests */
        pw_bell_fini_ctl(&app->bell[i]);
    }
    rte_mempool_free(app->listener_pool);
    pw_nic_close_ctl(&app->link_nic);
    pw_nic_close_ctl(&app->nic);
    stop_runtime_config(app);
    free(app);
}
