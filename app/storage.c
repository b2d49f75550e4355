#include "app/storage.h"

#include "app/control.h"
#include "app/gateway.h"
#include "app/parts.h"
#include "app/shipping.h"
#include "base/log.h"
#include "store/shipper.h"

#include <rte_memory.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

static const char module[] = "pw.app.storage";

enum {
    TENANTS_MAX = 4096,
    FLUSH_TIMEOUT_MS = 600000, /* a head is on disk in seconds; a slow disk may take its time */
    SERIES_IDLE_MS = 600000,
    NICE = 10, /* of the thread that writes blocks */
};

static void
thread_init(void *ctx)
{
    struct pw_app *app = ctx;

    if (pw_plan_background_ctl(&app->nic.plan) != 0) {
        pw_log(PW_LOG_WARN, module, "msg=\"flushing stays on the control thread's CPU\"");
    }
    /* Whoever else is there goes first, the log's writer above all. It still gets a tenth when they take all. */
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
}

static void
wake_ingesters(void *ctx)
{
    pw_control_wake_loops(ctx);
}

/* --- The log ------------------------------------------------------------------------------------- */

static int
release_log(void *ctx, uint32_t core, const struct pw_wal_mark *mark)
{
    struct pw_app *app = ctx;

    return pw_wal_release_cold(pw_wal_dir_log(app->wal_dir, core), mark);
}

static int
covered(void *ctx, const struct pw_wal_mark *mark, struct pw_slice tenant)
{
    struct pw_app *app = ctx;

    return pw_wal_dir_covered_cold(app->wal_dir, mark, tenant);
}

/* --- Object storage ------------------------------------------------------------------------------ */

static bool
is_gone(const char *local, const struct pw_ulid *ulid)
{
    char name[PW_ULID_CHARS + 1], path[PW_FS_PATH_MAX + PW_ULID_CHARS + 2];

    pw_ulid_print(ulid, name);
    snprintf(path, sizeof(path), "%s/%s", local, name);
    return access(path, F_OK) != 0 && errno == ENOENT;
}

/* In the bucket, as the shipper has noted it; or gone from here, which only follows that. */
static bool
is_uploaded(void *ctx, const char *tenant, const struct pw_ulid *ulid)
{
    struct pw_app *app = ctx;
    char local[PW_FS_PATH_MAX];
    struct pw_shipped shipped = {0};
    bool yes = false;

    if (snprintf(local, sizeof(local), "%s/%s/local", app->cfg->data_path, tenant) <
            (int)sizeof(local) &&
        pw_shipped_load(&shipped, local) == 0) {
        yes = pw_shipped_has(&shipped, ulid);
    }
    pw_shipped_fini(&shipped);
    return yes || is_gone(local, ulid);
}

static void
blocks_written(void *ctx)
{
    struct pw_app *app = ctx;

    if (app->shipping != NULL) {
        pw_shipping_poke(app->shipping);
    }
}

/* --- Start and stop ------------------------------------------------------------------------------ */

static int
check_head_bytes(const struct pw_app *app, uint64_t each, struct pw_text *why)
{
    if (each >= PW_HEAD_BYTES_MIN && each <= PW_HEAD_BYTES_MAX) {
        return 0;
    }
    pw_text_printf(why, "-ingester.head.max-bytes leaves each of %u -ingester.cores ",
                   app->nic.plan.ingesters);
    pw_text_size_iec(why, each);
    pw_text_str(why, "; it must be between ");
    pw_text_size_iec(why, PW_HEAD_BYTES_MIN);
    pw_text_str(why, " and ");
    pw_text_size_iec(why, PW_HEAD_BYTES_MAX);
    return PW_ERANGE;
}

static int
open_flush(struct pw_app *app, uint64_t each, struct pw_text *why)
{
    uint64_t cut = each / PW_HEAD_CUT_SHARE, target = app->cfg->row_group_target_size;
    struct pw_flush_cfg cfg = {
        .catalog = app->catalog,
        .cores = app->ingesters,
        .head = {.bytes_max = each,
                 .hash_key = app->hash_key,
                 .tenants_max = TENANTS_MAX,
                 .socket = SOCKET_ID_ANY,
                 .series_idle_ns = SERIES_IDLE_MS * 1000000LL},
        .cut_bytes = target < cut ? target : cut,
        .window_ns = app->cfg->max_block_duration_ms * 1000000,
        .data_path = app->cfg->data_path,
        .hostname = app->hostname,
        .is_safe = app->cfg->storage_backend == PW_OBJSTORE_NONE ? NULL : is_uploaded,
        .wrote = blocks_written,
        .release = release_log,
        .thread_init = thread_init,
        .wake = wake_ingesters,
        .ctx = app,
    };

    return pw_flush_create_ctl(&app->flush, &cfg, why);
}

static void
find_hostname(struct pw_app *app)
{
    if (app->cfg->ring.id[0] != 0) {
        snprintf(app->hostname, sizeof(app->hostname), "%s", app->cfg->ring.id);
    } else if (gethostname(app->hostname, sizeof(app->hostname) - 1) != 0) {
        snprintf(app->hostname, sizeof(app->hostname), "pyrowire");
    }
}

int
pw_storage_open_ctl(struct pw_app *app, struct pw_text *why)
{
    uint64_t each = app->cfg->ingester_head_max_bytes / app->nic.plan.ingesters;
    int rc = pw_catalog_create_ctl(&app->catalog);

    find_hostname(app);
    if (!pw_config_runs(app->cfg, "ingester")) {
        return rc; /* nothing is kept here, and queries find nothing of ours */
    }
    rc = rc != 0 ? rc : check_head_bytes(app, each, why);
    app->ingesters = app->nic.plan.ingesters;
    rc = rc != 0 ? rc : open_flush(app, each, why);
    for (uint32_t i = 0; rc == 0 && i < app->ingesters; i++) {
        app->pressure[i] = &pw_flush_heads(app->flush, i)->share.pressure;
    }
    rc = rc != 0 ? rc : pw_flush_recover_ctl(app->flush, covered, app, why);
    rc = rc != 0 ? rc
                 : pw_prefault_start_ctl(&app->prefault, app->catalog,
                                         app->cfg->ingester_head_prefault_bytes, &app->nic.plan);
    for (uint32_t i = 0; rc == 0 && i < app->ingesters; i++) {
        pw_head_set_memory_ctl(pw_flush_heads(app->flush, i), pw_prefault_bell(app->prefault),
                               app->cfg->ingester_head_prefault_bytes / 2);
    }
    return rc;
}

int
pw_storage_start_ctl(struct pw_app *app, struct pw_text *why)
{
    (void)why;
    return app->flush == NULL ? 0 : pw_flush_start_ctl(app->flush);
}

int
pw_storage_flush(struct pw_app *app)
{
    return app->flush == NULL ? 0 : pw_flush_now(app->flush, FLUSH_TIMEOUT_MS);
}

void
pw_storage_stop_ctl(struct pw_app *app)
{
    if (app->prefault != NULL) {
        pw_prefault_stop_ctl(app->prefault);
    }
    pw_flush_stop_ctl(app->flush);
    pw_flush_destroy_ctl(app->flush);
    pw_catalog_destroy_ctl(app->catalog);
    pw_gateway_destroy_ctl(app->gateway);
}
