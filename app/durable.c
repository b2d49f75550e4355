#include "app/durable.h"

#include "app/parts.h"
#include "base/log.h"
#include "ingester/wal_replay.h"

#include <stdio.h>
#include <unistd.h>

static const char module[] = "pw.app";

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
        .thread_begins = go_to_background,
        .ctx = app,
    };
    int rc;

    if (cfg.path[0] == 0) {
        snprintf(path, sizeof(path), "%s/wal", c->data_path);
        cfg.path = path;
    }
    rc = pw_wal_dir_open_cold(&app->wal_dir, &cfg, why);
    if (rc != 0) {
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

/* The ingesters do not poll yet: the heads are ours. No limit is applied again. */
static int
append(void *ctx, uint32_t core, const struct pw_record *rec)
{
    struct pw_app *app = ctx;
    struct pw_head_append_info info;

    return pw_head_append(pw_flush_heads(app->flush, core)->head, rec, pw_wall_ns(), 0, &info);
}

static uint32_t
threads(void)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);

    return cpus < 1                           ? 1
           : cpus > PW_WAL_REPLAY_THREADS_MAX ? PW_WAL_REPLAY_THREADS_MAX
                                              : (uint32_t)cpus;
}

int
pw_durable_start_ctl(struct pw_app *app, struct pw_text *why)
{
    const struct pw_wal_sink sink = {.ctx = app, .append = append, .threads = threads()};
    struct pw_wal_replay_stats st;
    int rc = pw_wal_replay_cold(app->wal_dir, &sink, &st, why);

    rc = rc != 0 ? rc : pw_wal_dir_start_cold(app->wal_dir, st.held, why);
    for (uint32_t i = 0; rc == 0 && i < app->ingesters; i++) {
        pw_head_set_log_ctl(pw_flush_heads(app->flush, i), pw_wal_dir_log(app->wal_dir, i),
                            pw_wal_mark);
    }
    return rc;
}

void
pw_durable_stop_ctl(struct pw_app *app)
{
    pw_wal_dir_close_cold(app->wal_dir);
    app->wal_dir = NULL;
}
