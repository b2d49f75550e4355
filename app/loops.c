#include "app/loops.h"

#include "app/parts.h"
#include "base/trace.h"

#include <rte_launch.h>
#include <rte_lcore.h>

#include <stdlib.h>

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

int
pw_loops_create_ctl(struct pw_app *app)
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
            if (app->wal_dir != NULL) {
                pw_wal_dir_watch_ctl(app->wal_dir, &app->loop[i]->idle_tsc);
            }
        }
        if (rc != 0) {
            return rc;
        }
    }
    return make_peers(app);
}

static int
lcore_main(void *arg)
{
    const struct pw_app *app = arg;
    uint32_t lcore = rte_lcore_id();

    for (uint32_t i = 0; i < app->workers; i++) {
        if (app->nic.plan.worker_lcore[i] ==
            lcore) { /* at most one: workers share with ingesters alone */
            pw_trace_bind_thread(pw_worker_trace(app->worker[i]));
        }
    }
    pw_loop_run(app->loop[lcore - 1]);
    return 0;
}

int
pw_loops_launch_ctl(struct pw_app *app)
{
    for (uint32_t i = 0; i < app->loops; i++) {
        int rc = rte_eal_remote_launch(lcore_main, app, i + 1);

        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

void
pw_loops_join_ctl(struct pw_app *app)
{
    for (uint32_t i = 0; i < app->loops; i++) {
        pw_loop_stop_ctl(app->loop[i]);
    }
    rte_eal_mp_wait_lcore();
    app->loops = 0;
}
