#include "app/doors.h"

#include "app/link.h"
#include "app/parts.h"
#include "distributor/rate.h"

#include <rte_memory.h>

#include <sys/random.h>

enum {
    LANE_OUT_BYTES = 8 << 20, /* of each worker to each ingester: about 200 records of the mix */
    LANE_BACK_BYTES = 256 << 10,
    SLOTS_MAX = 4096, /* requests of one thread that wait for an ingester */
    BULK_BYTES =
        80 << 20, /* records in flight, per thread; a fifth for those that would fit a lane */
};

/* Names the part that failed, unless it said more itself; returns rc. */
static int
failed(const char *part, int rc, struct pw_text *why)
{
    if (why->len == 0) {
        pw_text_printf(why, "%s: %s", part, pw_err_text(rc));
    }
    return rc;
}

static int
create_lanes(struct pw_app *app, struct pw_app_door *door)
{
    for (uint32_t i = 0; i < app->ingesters; i++) {
        int rc = pw_lane_create_ctl(&door->out[i], LANE_OUT_BYTES, SOCKET_ID_ANY);

        if (rc == 0) {
            rc = pw_lane_create_ctl(&door->back[i], LANE_BACK_BYTES, SOCKET_ID_ANY);
        }
        if (rc != 0) {
            return rc;
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
create_distributor(struct pw_app *app, struct pw_app_door *door)
{
    struct pw_distributor_cfg cfg = {
        .clock = app->clock,
        .hash_key = app->hash_key,
        .multitenancy = app->cfg->multitenancy_enabled,
        .slots_max = SLOTS_MAX,
        .scratch_bytes = scratch_bytes(app->cfg),
        .slice_us = PW_WORK_SLICE_US,
        .busy_us = PW_WORK_BUSY_US,
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

    if (getrandom(&cfg.random_seed, sizeof(cfg.random_seed), 0) != sizeof(cfg.random_seed)) {
        return PW_EIO;
    }
    return pw_distributor_create_ctl(&door->distributor, &cfg);
}

static int
create_http(struct pw_app *app, uint32_t d)
{
    struct pw_app_door *door = &app->door[d];
    bool listens = d == app->doors - 1;
    struct pw_http_server_cfg cfg = {
        .app = &door->routes.app,
        .clock = &app->clock,
        .conns_max = listens ? PW_DOORS_LISTENER_CONNS_MAX : app->cfg->dataplane_connections_max,
        /* A proxy in front of the listener has one address: all of its connections are its own. */
        .conns_per_address = listens ? 0 : app->cfg->dataplane_connections_per_address,
        .hash_key = app->hash_key,
    };
    int rc = 0;

    door->routes.distributor = door->distributor;
    door->routes.jobs = door->jobs;
    door->routes.admin = app->admin;
    door->routes.pushes = pw_config_runs(app->cfg, "distributor");
    door->routes.queries = app->ingesters != 0 || pw_config_runs(app->cfg, "querier");
    door->routes.ring = &app->ring;
    door->routes.number = d;
    pw_routes_init_ctl(&door->routes);
    door->http = pw_http_server_create_ctl(&cfg, &rc);
    return rc;
}

static int
create_door(struct pw_app *app, uint32_t d, struct pw_text *why)
{
    struct pw_app_door *door = &app->door[d];
    int rc = create_lanes(app, door);

    if (rc != 0) {
        return failed("lanes", rc, why);
    }
    rc = pw_app_link_create_ctl(app, d, why);
    if (rc != 0) {
        return failed("link", rc, why);
    }
    rc = create_distributor(app, door);
    if (rc != 0) {
        return failed("distributor", rc, why);
    }
    door->jobs = pw_jobs_client(app->jobs, d);
    rc = create_http(app, d);
    if (rc != 0) {
        return failed("HTTP server", rc, why);
    }
    pw_distributor_bind_http_ctl(door->distributor, door->http);
    pw_replicas_door_init_ctl(&door->replicas, app, d);
    pw_jobs_client_bind_http_ctl(door->jobs, door->http);
    return 0;
}

int
pw_doors_create_ctl(struct pw_app *app, struct pw_text *why)
{
    int rc = pw_rate_create_ctl(&app->rates);

    if (rc != 0) {
        return failed("rate limits", rc, why);
    }
    for (uint32_t d = 0; d < app->doors && rc == 0; d++) {
        rc = create_door(app, d, why);
    }
    return rc;
}

void
pw_doors_destroy_ctl(struct pw_app *app)
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
