#include "app/wire.h"

#include "app/bucket.h"
#include "app/control.h"
#include "app/durable.h"
#include "app/gossip.h"
#include "app/link.h"
#include "app/nic_options.h"
#include "app/pages.h"
#include "app/parts.h"
#include "app/peers.h"
#include "app/shipping.h"
#include "app/storage.h"
#include "base/check.h"
#include "base/log.h"
#include "distributor/rate.h"

#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>

#include <stdlib.h>
#include <sys/random.h>

static const char module[] = "pw.app";

enum {
    LANE_OUT_BYTES = 8 << 20, /* of each worker to each ingester: about 200 records of the mix */
    LANE_BACK_BYTES = 256 << 10,
    SLOTS_MAX = 4096,      /* requests of one thread that wait for an ingester */
    BULK_BYTES = 64 << 20, /* records above PW_LANE_INLINE_BYTES_MAX in flight, per thread */
    LISTENER_MBUFS = 8191,
    LISTENER_CONNS_MAX = 1024,
    PEER_THREADS =
        2, /* for the questions of other appliances, which these answer without asking anybody */
};

/* One line that says what failed; returns rc. */
static int
failed(const char *what, int rc, const struct pw_text *why)
{
    char quoted[512];
    struct pw_slice text = why != NULL && why->len > 0 ? (struct pw_slice){why->ptr, why->len}
                                                       : pw_slice_str(pw_err_text(rc));

    pw_log(PW_LOG_ERROR, module, "msg=\"cannot start\" part=%s err=%s", what,
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
        };
        int rc = pw_ingester_create_ctl(&app->ingester[i], &cfg);

        if (rc != 0) {
            return failed("ingester", rc, NULL);
        }
    }
    return 0;
}

/* --- Doors: what a polling thread needs to answer HTTP ------------------------------------------ */

static int
start_lanes(struct pw_app *app, struct pw_app_door *door)
{
    for (uint32_t i = 0; i < app->ingesters; i++) {
        int rc = pw_lane_create_ctl(&door->out[i], LANE_OUT_BYTES, SOCKET_ID_ANY);

        if (rc == 0) {
            rc = pw_lane_create_ctl(&door->back[i], LANE_BACK_BYTES, SOCKET_ID_ANY);
        }
        if (rc != 0) {
            return failed("lane", rc, NULL);
        }
    }
    return 0;
}

/* Scratch for the largest request a tenant may send: the body unpacked, and the tables of one
 * profile. Address space only until it is used. */
static size_t
scratch_bytes(const struct pw_config *cfg)
{
    double body = cfg->limits.ingestion_body_limit_mb * 1048576.0;
    size_t profile = cfg->limits.max_profile_size_bytes;

    profile = profile == 0 ? PW_PROFILE_BYTES_MAX : profile;
    return (body > 0 ? (size_t)body : (size_t)256 << 20) + 16 * profile + (64U << 20);
}

static int
start_link(struct pw_app *app, uint32_t d)
{
    char bytes[512];
    struct pw_text why;

    pw_text_fixed(&why, bytes, sizeof(bytes));
    int rc = pw_app_link_create_ctl(app, d, &why);

    return rc == 0 ? 0 : failed("link", rc, &why);
}

static int
start_door(struct pw_app *app, uint32_t d, uint32_t conns_max)
{
    struct pw_app_door *door = &app->door[d];
    struct pw_http_server_cfg http = {
        .app = &door->routes.app,
        .clock = &app->clock,
        .conns_max = conns_max,
        /* A proxy in front of the listener has one address: all of its connections are its own. */
        .conns_per_address = d < app->workers ? app->cfg->dataplane_connections_per_address : 0,
        .hash_key = app->hash_key,
    };
    struct pw_distributor_cfg dist = {
        .clock = app->clock,
        .hash_key = app->hash_key,
        .multitenancy = app->cfg->multitenancy_enabled,
        .slots_max = SLOTS_MAX,
        .scratch_bytes = scratch_bytes(app->cfg),
        .slice_us = PW_WORK_SLICE_US,
        .first_us = PW_WORK_FIRST_US,
        .turn_us = PW_WORK_TURN_US,
        .bulk_bytes = BULK_BYTES,
        .replication_factor = app->cfg->ring.replication_factor,
        .push_timeout_ms = (uint32_t)app->cfg->ring.push_timeout_ms,
        .ingesters_count = app->ingesters,
        .out = door->out,
        .back = door->back,
        .pressure = app->pressure,
        .overrides = &app->overrides,
        .rates = app->rates,
    };
    int rc = start_lanes(app, door);

    rc = rc != 0 ? rc : start_link(app, d);
    if (rc != 0) {
        return rc;
    }
    rc = random_bytes(&dist.random_seed, sizeof(dist.random_seed));
    if (rc == 0) {
        rc = pw_distributor_create_ctl(&door->distributor, &dist);
    }
    if (rc != 0) {
        return failed("distributor", rc, NULL);
    }
    door->jobs = pw_jobs_client(app->jobs, d);
    door->routes.distributor = door->distributor;
    door->routes.jobs = door->jobs;
    door->routes.admin = app->admin;
    door->routes.pushes = pw_config_runs(app->cfg, "distributor");
    door->routes.queries = app->ingesters != 0 || pw_config_runs(app->cfg, "querier");
    door->routes.ring = &app->ring;
    door->routes.number = d;
    pw_routes_init_ctl(&door->routes);
    door->http = pw_http_server_create_ctl(&http, &rc);
    if (door->http == NULL) {
        return failed("http", rc, NULL);
    }
    pw_distributor_bind_http_ctl(door->distributor, door->http);
    pw_replicas_door_init_ctl(&door->replicas, app, d);
    pw_jobs_client_bind_http_ctl(door->jobs, door->http);
    return 0;
}

static int
start_doors(struct pw_app *app)
{
    if (pw_rate_create_ctl(&app->rates) != 0) {
        return failed("rate limits", PW_ENOMEM, NULL);
    }
    for (uint32_t d = 0; d < app->doors; d++) {
        int rc = start_door(
            app, d, d < app->workers ? app->cfg->dataplane_connections_max : LISTENER_CONNS_MAX);

        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

static void
stop_doors(struct pw_app *app)
{
    for (uint32_t d = 0; d < app->doors; d++) {
        struct pw_app_door *door = &app->door[d];

        pw_replicas_door_fini_ctl(&door->replicas);
        if (door->http != NULL) {
            pw_http_server_destroy_ctl(door->http);
        }
        if (door->distributor != NULL) {
            pw_distributor_destroy_ctl(door->distributor);
        }
        for (uint32_t i = 0; i < app->ingesters; i++) {
            if (door->out[i] != NULL) {
                pw_lane_destroy_ctl(door->out[i]);
            }
            if (door->back[i] != NULL) {
                pw_lane_destroy_ctl(door->back[i]);
            }
        }
    }
    pw_rate_destroy_ctl(app->rates);
}

/* --- Queries --------------------------------------------------------------------------------- */

static int
start_queries(struct pw_app *app)
{
    struct pw_query_cfg cfg;
    struct pw_jobs_cfg jobs = {
        .threads = app->cfg->query_threads,
        .peer_threads = PEER_THREADS,
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

/* --- Loops: who polls what ---------------------------------------------------------------------- */

static int
add(struct pw_loop *l, const char *name, uint32_t (*poll)(void *, uint64_t),
    uint32_t (*rest_us)(void *), void *ctx)
{
    return pw_loop_add_ctl(
        l, (struct pw_poller){.name = name, .poll = poll, .rest_us = rest_us, .ctx = ctx});
}

/* The receive poll of a worker; where no descriptor tells of its frames the loop may only nap. */
static int
add_rx(struct pw_loop *l, const char *name, struct pw_worker *w, int fd)
{
    int rc = add(l, name, pw_worker_poll_rx, fd < 0 ? NULL : pw_poller_rest_until_woken, w);

    rc = rc != 0 || fd < 0 ? rc : pw_loop_add_fd_ctl(l, fd);
    return rc != 0 ? rc : pw_loop_add_driver_ctl(l, pw_worker_driver_tsc(w));
}

static int
add_receive(struct pw_app *app, struct pw_loop *l, uint32_t i)
{
    int rc = add_rx(l, "rx", app->worker[i], app->nic.port.rx_fd[i]);

    return rc != 0 || app->link_worker[i] == NULL
               ? rc
               : add_rx(l, "link rx", app->link_worker[i], app->link_nic.port.rx_fd[i]);
}

/* Last in a turn: both send what the turn made. */
static int
add_timers(struct pw_app *app, struct pw_loop *l, uint32_t i)
{
    int rc = add(l, "timers", pw_worker_poll_timers, pw_worker_rest_us, app->worker[i]);

    return rc != 0 || app->link_worker[i] == NULL ? rc
                                                  : add(l, "link timers", pw_worker_poll_timers,
                                                        pw_worker_rest_us, app->link_worker[i]);
}

/* Order within a turn: receive, work, ingest, collect completions and answers, then timers and transmit,
 * so that on a shared core a push is taken, stored and answered in one turn. */
static int
fill_loop(struct pw_app *app, struct pw_loop *l, uint32_t lcore)
{
    int rc = 0;

    for (uint32_t i = 0; i < app->workers && rc == 0; i++) {
        if (app->nic.plan.worker_lcore[i] == lcore) {
            rc = add_receive(app, l, i);
            rc = rc != 0 ? rc
                         : add(l, "work", pw_distributor_poll_work, pw_distributor_rest_us,
                               app->door[i].distributor);
        }
    }
    for (uint32_t i = 0; i < app->ingesters && rc == 0; i++) {
        if (app->nic.plan.ingester_lcore[i] == lcore) {
            pw_wal_bind_bell_ctl(pw_wal_dir_log(app->wal_dir, i), l->bell);
            rc = add(l, "ingester", pw_ingester_poll, pw_ingester_rest_us, app->ingester[i]);
        }
    }
    for (uint32_t i = 0; i < app->workers && rc == 0; i++) {
        struct pw_app_door *door = &app->door[i];

        if (app->nic.plan.worker_lcore[i] == lcore) {
            pw_jobs_client_bind_bell_ctl(door->jobs, l->bell);
            rc = add(l, "distributor", pw_distributor_poll_answers, pw_distributor_rest_us,
                     door->distributor);
            rc = rc != 0 ? rc
                         : add(l, "answers", pw_jobs_poll, pw_poller_rest_until_woken, door->jobs);
            rc = rc != 0 ? rc
                         : add(l, "http", pw_http_server_poll, pw_http_server_rest_us, door->http);
            rc = rc != 0 ? rc
                         : add(l, "replicas", pw_replicas_poll, pw_poller_rest_until_woken,
                               &door->replicas);
            rc = rc != 0 ? rc : add_timers(app, l, i);
        }
    }
    return rc;
}

/* Records make work for ingesters, completions for workers: whoever did something wakes all others. A
 * loop that was woken for nothing takes one turn. */
static int
make_peers(struct pw_app *app)
{
    int rc = 0;

    for (uint32_t i = 0; i < app->loops; i++) {
        for (uint32_t k = 0; k < app->loops && rc == 0; k++) {
            rc = i == k ? 0 : pw_loop_add_peer_ctl(app->loop[i], &app->bell[k]);
        }
    }
    return rc;
}

static int
start_loops(struct pw_app *app)
{
    enum pw_loop_idle idle =
        app->cfg->dataplane_idle == PW_CONFIG_IDLE_SPIN ? PW_LOOP_IDLE_SPIN : PW_LOOP_IDLE_BACKOFF;

    for (uint32_t i = 0; i < app->nic.plan.lcores; i++) {
        int rc = PW_ENOMEM;

        app->loop[i] = aligned_alloc(64, pw_align_up(sizeof(struct pw_loop), 64));
        if (app->loop[i] != NULL) {
            app->loops++;
            pw_loop_init_ctl(app->loop[i], i + 1, &app->clock, idle);
            rc = pw_bell_init_ctl(&app->bell[i]);
        }
        if (rc == 0) {
            pw_loop_set_bell_ctl(app->loop[i], &app->bell[i]);
            rc = fill_loop(app, app->loop[i], i + 1);
        }
        if (rc != 0) {
            return failed("loop", rc, NULL);
        }
    }
    return make_peers(app) == 0 ? 0 : failed("loop", PW_ENOSPC, NULL);
}

static int
lcore_main(void *arg)
{
    pw_loop_run(arg);
    return 0;
}

static int
launch(struct pw_app *app)
{
    for (uint32_t i = 0; i < app->loops; i++) {
        int rc = rte_eal_remote_launch(lcore_main, app->loop[i], i + 1);

        if (rc != 0) {
            return failed("lcore", rc, NULL);
        }
    }
    return 0;
}

static void
join(struct pw_app *app)
{
    for (uint32_t i = 0; i < app->loops; i++) {
        pw_loop_stop_ctl(app->loop[i]);
    }
    rte_eal_mp_wait_lcore();
    for (uint32_t i = 0; i < app->loops; i++) {
        free(app->loop[i]);
    }
    app->loops = 0;
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
        .conns_max = LISTENER_CONNS_MAX,
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
    rc = rc != 0 ? rc : start_doors(app);
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
    rc = rc != 0 ? rc : launch(app);
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
        failed("nic", rc, &why);
        goto err_free;
    }
    pw_clock_init_ctl(&app->clock);
    app->workers = app->nic.plan.workers;
    app->doors = app->workers + 1;
    rc = start_parts(app);
    if (rc != 0) {
        pw_app_stop(app);
        return rc;
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
    join(app);
    /* Streams go before the HTTP servers that they call. */
    for (uint32_t i = 0; i < app->workers; i++) {
        pw_worker_destroy_ctl(app->worker[i]); /* NULL is fine */
        pw_worker_destroy_ctl(app->link_worker[i]);
    }
    if (app->listener != NULL) {
        pw_listener_destroy_ctl(app->listener);
    }
    if (app->jobs != NULL) {
        pw_jobs_destroy_ctl(app->jobs);
    }
    pw_flush_stop_ctl(app->flush);
    pw_durable_stop_ctl(app); /* its writers read the doors' bulk memory */
    pw_bucket_stop_ctl(app);
    stop_doors(app);
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
        pw_bell_fini_ctl(&app->bell[i]);
    }
    rte_mempool_free(app->listener_pool);
    pw_nic_close_ctl(&app->link_nic);
    pw_nic_close_ctl(&app->nic);
    stop_runtime_config(app);
    free(app);
}
