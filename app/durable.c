#include "app/durable.h"

#include "app/control.h"
#include "app/parts.h"
#include "base/log.h"
#include "ingester/wal_replay.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

static const char module[] = "pw.app";

enum { ROOM_WAIT_NS = 2000000 };

static void
go_to_background(void *ctx)
{
    struct pw_app *app = ctx;

    if (pw_plan_background_ctl(&app->nic.plan) != 0) {
        pw_log(PW_LOG_WARN, module, "msg=\"a thread of the log stays on the polling cores\"");
    }
}

/* The lane wants a power of two. */
static size_t
buffer_bytes(uint64_t asked)
{
    size_t n = PW_LANE_BYTES_MIN;

    while (2 * n <= asked && 2 * n <= PW_LANE_BYTES_MAX) {
        n *= 2;
    }
    return n;
}

int
pw_durable_open_ctl(struct pw_app *app, struct pw_text *why)
{
    const struct pw_config *c = app->cfg;
    char path[PW_FS_PATH_MAX];
    struct pw_wal_cfg cfg = {
        .fs = pw_fs_os(),
        .path = c->ingester_wal_dir,
        .cores = app->nic.plan.ingesters,
        .sync =
            c->ingester_wal_sync == PW_CONFIG_WAL_SYNC_NONE ? PW_WAL_SYNC_NONE : PW_WAL_SYNC_GROUP,
        .segment_bytes = pw_align_up(c->ingester_wal_segment_bytes, PW_FS_BLOCK_BYTES),
        .buffer_bytes = buffer_bytes(c->ingester_wal_buffer_bytes),
        .hash_key = app->hash_key,
        .threads = true,
        .reuse_max = PW_WAL_REUSE_MAX,
        .realtime_priority = (uint32_t)c->ingester_wal_realtime_priority,
        .thread_begins = go_to_background,
        .ctx = app,
    };
    int rc;

    if (!pw_config_runs(c, "ingester")) {
        return 0;
    }
    if (cfg.path[0] == 0) {
        snprintf(path, sizeof(path), "%s/wal", c->data_path);
        cfg.path = path;
    }
    rc = pw_wal_dir_open_cold(&app->wal_dir, &cfg, why);
    if (rc != 0) {
        pw_text_printf(why, " (-%s=%s)",
                       c->ingester_wal_dir[0] != 0 ? "ingester.wal.dir" : "pyroscopedb.data-path",
                       c->ingester_wal_dir[0] != 0 ? c->ingester_wal_dir : c->data_path);
        return rc;
    }
    app->hash_key = pw_wal_dir_hash_key(app->wal_dir);
    pw_log(cfg.sync == PW_WAL_SYNC_NONE ? PW_LOG_WARN : PW_LOG_INFO, module,
           "msg=\"write-ahead log\" path=%s sync=%s%s", cfg.path,
           cfg.sync == PW_WAL_SYNC_NONE ? "none" : "group",
           cfg.sync == PW_WAL_SYNC_NONE
               ? " note=\"pushes are acknowledged before they are on disk\""
               : "");
    return 0;
}

static uint32_t
threads(void)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);

    return cpus < 1                           ? 1
           : cpus > PW_WAL_REPLAY_THREADS_MAX ? PW_WAL_REPLAY_THREADS_MAX
                                              : (uint32_t)cpus;
}

/* --- Replay, beside the control thread, which answers /ready meanwhile ---------------------------- */

struct replaying {
    struct pw_app *app;
    struct pw_text *why;
    struct pw_wal_replay_stats st;
    struct pw_wal_mark at[PW_INGESTERS_MAX]; /* what the core's active head holds, up to there */
    atomic_bool stop, done;
    int rc;
};

static void
mark_of_log(const void *log, struct pw_wal_mark *mark)
{
    pw_wal_mark(log, mark);
}

static void
mark_of_replay(const void *at, struct pw_wal_mark *mark)
{
    *mark = *(const struct pw_wal_mark *)at;
}

/* The ingesters do not poll yet: the heads are ours, and like an ingester we cut those that are large. No
 * limit is applied again. */
static int
append(void *ctx, const struct pw_wal_mark *at, const struct pw_record *rec)
{
    struct replaying *r = ctx;
    struct pw_head_set *set = pw_flush_heads(r->app->flush, at->core);
    const struct timespec nap = {.tv_nsec = ROOM_WAIT_NS};
    struct pw_head_append_info info;
    bool asked = false;

    for (;;) { /* until there is room: blocks are being written */
        struct pw_head *head = pw_head_set_turn(set);
        int rc = pw_head_append(head, rec, pw_now_read(), 0, &info);

        if (rc == 0) {
            r->at[at->core] = *at;
        }
        if (rc != PW_ENOMEM && rc != PW_EBUSY) {
            return rc;
        }
        if (pw_head_is_empty(head) && !pw_head_set_holds(set)) {
            return PW_ENOMEM;
        }
        if (atomic_load_explicit(&r->stop, memory_order_relaxed)) {
            return PW_EAGAIN;
        }
        if (!asked) {
            asked = true;
            (void)pw_head_set_cut(set);
        }
        nanosleep(&nap, NULL);
    }
}

/* Nobody polls yet: all CPUs are ours. */
static void
go_everywhere(void *ctx)
{
    struct replaying *r = ctx;

    if (pw_plan_everywhere_ctl(&r->app->nic.plan) != 0) {
        pw_log(PW_LOG_WARN, module, "msg=\"replay stays on the control thread's CPU\"");
    }
}

static void *
replay(void *arg)
{
    struct replaying *r = arg;
    const struct pw_wal_sink sink = {.ctx = r,
                                     .append = append,
                                     .threads = threads(),
                                     .thread_begins = go_everywhere,
                                     .stop = &r->stop};

    r->rc = pw_wal_replay_cold(r->app->wal_dir, &sink, &r->st, r->why);
    atomic_store_explicit(&r->done, true, memory_order_release);
    return NULL;
}

void
pw_durable_starting(void *ctx, struct pw_text *t)
{
    struct pw_app *app = ctx;
    struct pw_wal_replay_progress p;

    if (app->wal_dir == NULL) {
        return;
    }
    pw_wal_replay_progress(app->wal_dir, &p);
    pw_text_printf(t, "replaying the write-ahead log: %u of %u files done, %llu records\n", p.files,
                   p.files_all, (unsigned long long)p.records);
}

int
pw_durable_start_ctl(struct pw_app *app, struct pw_text *why)
{
    struct replaying r = {.app = app, .why = why};
    pthread_t thread;
    int rc;

    if (app->wal_dir == NULL) {
        return 0; /* no ingester */
    }
    for (uint32_t i = 0; i < app->ingesters; i++) {
        pw_head_set_log_ctl(pw_flush_heads(app->flush, i), &r.at[i], mark_of_replay);
    }
    rc = -pthread_create(&thread, NULL, replay, &r);
    if (rc == 0) {
        atomic_store_explicit(&r.stop, pw_control_wait(app, &r.done), memory_order_relaxed);
        pthread_join(thread, NULL);
        rc = r.rc;
    }
    rc = rc != 0 ? rc : pw_wal_dir_start_cold(app->wal_dir, r.st.held, why);
    for (uint32_t i = 0; rc == 0 && i < app->ingesters; i++) {
        pw_head_set_log_ctl(pw_flush_heads(app->flush, i), pw_wal_dir_log(app->wal_dir, i),
                            mark_of_log);
    }
    pw_flush_replayed_ctl(app->flush, r.st.held);
    return rc;
}

void
pw_durable_stop_ctl(struct pw_app *app)
{
    pw_wal_dir_close_cold(app->wal_dir);
    app->wal_dir = NULL;
}
