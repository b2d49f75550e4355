#include "store/retention.h"

#include "base/log.h"
#include "store/shipper.h"

#include <dirent.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { PATH_MAX_ = 4096 };

static const char module[] = "pw.store.retention";

static int
statvfs_space(void *ctx, const char *path, uint64_t *free_bytes, uint64_t *total)
{
    struct statvfs v;

    if (statvfs(path, &v) != 0) {
        return -errno;
    }
    *free_bytes = (uint64_t)v.f_bavail * v.f_frsize;
    *total = (uint64_t)v.f_blocks * v.f_frsize;
    return 0;
}

/* Everything below path and itself; meta.json first, so that what a crash leaves is no block. */
static int
remove_block(const char *path)
{
    char meta[PATH_MAX_ + 16];
    char *roots[] = {(char *)(uintptr_t)path, NULL};
    int rc = 0;
    FTS *walk;

    snprintf(meta, sizeof(meta), "%s/meta.json", path);
    if (unlink(meta) != 0 && errno != ENOENT) {
        return -errno;
    }
    walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    if (walk == NULL) {
        return -errno;
    }
    for (FTSENT *e; (e = fts_read(walk)) != NULL;) {
        if (e->fts_info == FTS_DP) {
            rc = rmdir(e->fts_path) == 0 ? rc : -errno;
        } else if (e->fts_info == FTS_F || e->fts_info == FTS_SL) {
            rc = unlink(e->fts_path) == 0 ? rc : -errno;
        }
    }
    fts_close(walk);
    return rc;
}

/* One tenant: the blocks that are old enough, oldest first. */
static int
run_tenant(const struct pw_retention_cfg *cfg, const char *tenant, int64_t now_ms,
           struct pw_retention_result *r)
{
    char local[PATH_MAX_ / 2], path[PATH_MAX_], name[PW_ULID_CHARS + 1];
    struct pw_shipped shipped;
    struct pw_ulid *ulid;
    uint32_t count;
    int rc;

    snprintf(local, sizeof(local), "%s/%s/local", cfg->data_path, tenant);
    rc = pw_block_dirs(local, &ulid, &count);
    if (rc != 0) {
        return rc == PW_ENOENT || rc == -ENOTDIR ? 0 : rc;
    }
    rc = pw_shipped_load(&shipped, local);
    for (uint32_t i = 0; rc == 0 && i < count; i++) {
        if (now_ms - pw_ulid_ms(&ulid[i]) < cfg->min_age_ms) {
            break; /* ascending by time */
        }
        if (!pw_shipped_has(&shipped, &ulid[i])) {
            r->kept_unshipped++;
            continue;
        }
        if (cfg->forget != NULL && cfg->forget(cfg->ctx, tenant, &ulid[i]) != 0) {
            r->kept_unread++;
            continue;
        }
        pw_ulid_print(&ulid[i], name);
        snprintf(path, sizeof(path), "%s/%s", local, name);
        int removed = remove_block(path);
        r->deleted += removed == 0;
        pw_log(removed == 0 ? PW_LOG_INFO : PW_LOG_WARN, module,
               "msg=\"local block of the bucket %s\" block=%s reason=\"%s\"",
               removed == 0 ? "deleted" : "cannot be deleted", path,
               removed == 0 ? "uploaded and old" : pw_err_text(removed));
    }
    pw_shipped_fini(&shipped);
    free(ulid);
    return rc;
}

int
pw_retention_run(const struct pw_retention_cfg *cfg, int64_t now_ms, struct pw_retention_result *r)
{
    uint64_t free_bytes, total;
    struct dirent *e;
    int rc = 0;
    DIR *d;

    *r = (struct pw_retention_result){0};
    d = opendir(cfg->data_path);
    if (d == NULL) {
        return -errno;
    }
    while ((e = readdir(d)) != NULL) {
        if (e->d_name[0] != '.') {
            int got = run_tenant(cfg, e->d_name, now_ms, r);

            rc = rc != 0 ? rc : got;
        }
    }
    closedir(d);
    int got = (cfg->free_space != NULL ? cfg->free_space : statvfs_space)(cfg->ctx, cfg->data_path,
                                                                          &free_bytes, &total);
    if (got != 0) {
        return rc != 0 ? rc : got;
    }
    r->disk_high = free_bytes < cfg->min_free_bytes &&
                   (double)free_bytes <= cfg->min_free_fraction * (double)total;
    if (r->disk_high) {
        pw_log(PW_LOG_WARN, module,
               "msg=\"the disk is nearly full and no more blocks may be deleted\" path=%s "
               "free_bytes=%ju not_uploaded=%u",
               cfg->data_path, (uintmax_t)free_bytes, r->kept_unshipped);
    }
    return rc;
}
