/* The directory of the logs: its lock, what lies in it, what of it is in blocks already, and the
 * threads' start and stop.
 *
 *     lock                       held by one process
 *     released                   marks: one line a log, written anew with each release
 *     0000000a-02-00000003.wal   generation (hex), core, segment
 *     0000000a-02-00000003.old   it was let go; kept to become another one, worth nothing to the next process */
#include "ingester/wal_priv.h"

#include "base/check.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

static const char module[] = "pw.ingester.wal";

enum {
    NAMES_STEP = 64,
    HOUSEKEEP_S = 1,
    SETTLED_BYTES = PW_LANE_BYTES_MIN,
};

/* --- Names ---------- ---------------------------------------------------------------------------- */

void
pw_wal_path(const struct pw_wal_dir *d, const char *name, char out[PW_FS_PATH_MAX])
{
    int n = snprintf(out, PW_FS_PATH_MAX, "%s/%s", d->path, name);

    PW_INVARIANT(n > 0 && n < PW_FS_PATH_MAX); /* open refuses a longer path */
}

void
pw_wal_name_write(const struct pw_wal_name *n, char out[PW_WAL_NAME_MAX])
{
    snprintf(out, PW_WAL_NAME_MAX, "%08x-%02u-%08u.%s", n->generation, n->core, n->index,
             n->kept ? "old" : "wal");
}

static bool
name_read(const char *text, struct pw_wal_name *n)
{
    char again[PW_WAL_NAME_MAX];
    char suffix[4];

    if (sscanf(text, "%8x-%2u-%8u.%3s", &n->generation, &n->core, &n->index, suffix) != 4) {
        return false;
    }
    n->kept = strcmp(suffix, "old") == 0;
    pw_wal_name_write(n, again);
    return strcmp(text, again) == 0;
}

/* --- Open --------------------------------------------------------------------------------------- */

struct listing {
    struct pw_wal_dir *d;
    uint32_t cap;
    int rc;
};

static void
take_name(void *arg, const char *text)
{
    struct listing *l = arg;
    struct pw_wal_name n;

    if (l->rc != 0 || !name_read(text, &n)) {
        return;
    }
    if (n.kept) {
        char path[PW_FS_PATH_MAX];

        pw_wal_path(l->d, text, path);
        (void)l->d->cfg.fs->unlink(l->d->cfg.fs->ctx, path); /* else the next process does */
        return;
    }
    if (l->d->old_count == l->cap) {
        struct pw_wal_name *p = realloc(l->d->old, (l->cap + NAMES_STEP) * sizeof(*p));

        if (p == NULL) {
            l->rc = PW_ENOMEM;
            return;
        }
        l->d->old = p;
        l->cap += NAMES_STEP;
    }
    l->d->old[l->d->old_count++] = n;
}

static int
compare_names(const void *a, const void *b)
{
    const struct pw_wal_name *x = a;
    const struct pw_wal_name *y = b;

    if (x->generation != y->generation) {
        return x->generation < y->generation ? -1 : 1;
    }
    if (x->core != y->core) {
        return x->core < y->core ? -1 : 1;
    }
    return (x->index > y->index) - (x->index < y->index);
}

static int
list(struct pw_wal_dir *d)
{
    struct listing l = {.d = d};
    int rc = d->cfg.fs->list(d->cfg.fs->ctx, d->path, take_name, &l);

    rc = rc != 0 ? rc : l.rc;
    if (rc == 0 && d->old_count != 0) {
        qsort(d->old, d->old_count, sizeof(*d->old), compare_names);
        d->generation = d->old[d->old_count - 1].generation;
    }
    for (uint32_t i = 0; rc == 0 && i < d->mark_count; i++) {
        d->generation =
            d->mark[i].generation > d->generation ? d->mark[i].generation : d->generation;
    }
    d->generation++;
    return rc;
}

int
pw_wal_dir_header(const struct pw_wal_dir *d, const struct pw_wal_name *n,
                  struct pw_wal_segment *seg)
{
    static const uint8_t zeros[PW_WAL_HEADER_BYTES];
    const struct pw_fs *fs = d->cfg.fs;
    uint8_t block[PW_WAL_HEADER_BYTES];
    char name[PW_WAL_NAME_MAX];
    char path[PW_FS_PATH_MAX];

    pw_wal_name_write(n, name);
    pw_wal_path(d, name, path);
    int fd = fs->open(fs->ctx, path, PW_FS_READ);

    if (fd < 0) {
        return fd;
    }
    int64_t got = pw_fs_read_all_cold(fs, fd, block, sizeof(block), 0);

    fs->close(fs->ctx, fd);
    if (got < 0) {
        return (int)got;
    }
    if (memcmp(block, zeros, (size_t)got) == 0) {
        return PW_ENOENT;
    }
    int rc = pw_wal_segment_read(pw_slice(block, (size_t)got), seg);

    return rc == 0 && seg->index != n->index ? PW_ENOENT : rc;
}

/* The key of the newest segment whose header can be read: the hashes in the records are under it. */
static void
find_key(struct pw_wal_dir *d)
{
    struct pw_wal_segment seg;

    d->hash_key = d->cfg.hash_key;
    for (uint32_t i = d->old_count; i-- > 0;) {
        if (pw_wal_dir_header(d, &d->old[i], &seg) == 0) {
            d->hash_key = seg.hash_key;
            return;
        }
    }
}

int
pw_wal_dir_open_cold(struct pw_wal_dir **out, const struct pw_wal_cfg *cfg, struct pw_text *why)
{
    struct pw_wal_dir *d = calloc(1, sizeof(*d));
    const char *what = "make the directory";
    char path[PW_FS_PATH_MAX];
    int rc = PW_EINVAL;

    if (d == NULL) {
        return PW_ENOMEM;
    }
    d->cfg = *cfg;
    d->lock_fd = -1;
    pthread_mutex_init(&d->mutex, NULL);
    pthread_cond_init(&d->wake, NULL);
    if (strlen(cfg->path) < sizeof(d->path) - PW_WAL_NAME_MAX - 16) {
        strcpy(d->path, cfg->path);
        rc = pw_fs_mkdirs_cold(cfg->fs, d->path);
    }
    if (rc == 0) {
        pw_wal_path(d, "lock", path);
        d->lock_fd = cfg->fs->open(cfg->fs->ctx, path, PW_FS_LOCK);
        rc = d->lock_fd < 0 ? d->lock_fd : 0;
        what = rc == PW_EBUSY ? "lock the directory (is another process using it?)"
                              : "write in the directory";
    }
    if (rc == 0) {
        what = "read the file of marks";
        rc = pw_wal_marks_read(d);
    }
    if (rc == 0) {
        what = "list the directory";
        rc = list(d);
    }
    if (rc != 0) {
        pw_text_printf(why, "cannot %s: %s: %s", what, cfg->path, pw_err_text(rc));
        pw_wal_dir_close_cold(d);
        return rc;
    }
    find_key(d);
    *out = d;
    return 0;
}

uint64_t
pw_wal_dir_hash_key(const struct pw_wal_dir *d)
{
    return d->hash_key;
}

struct pw_wal *
pw_wal_dir_log(struct pw_wal_dir *d, uint32_t core)
{
    return core < d->logs ? d->log[core] : NULL;
}

void
pw_wal_bind_bell_ctl(struct pw_wal *w, struct pw_bell *bell)
{
    atomic_store_explicit(&w->bell, bell, memory_order_release);
}

void
pw_wal_dir_watch_ctl(struct pw_wal_dir *d, const uint64_t *idle_tsc)
{
    uint32_t n = atomic_load_explicit(&d->idle_count, memory_order_relaxed);

    PW_INVARIANT(n < PW_WAL_PACE_CORES_MAX);
    d->idle_tsc[n] = idle_tsc;
    atomic_store_explicit(&d->idle_count, n + 1, memory_order_release);
}

/* --- Start and stop ----------------------------------------------------------------------------- */

static void
log_free(struct pw_wal *w)
{
    if (w == NULL) {
        return;
    }
    if (w->lane != NULL) {
        pw_lane_destroy_ctl(w->lane);
    }
    if (w->settled != NULL) {
        pw_lane_destroy_ctl(w->settled);
    }
    *w->closed_tail = w->kept;
    while (w->closed != NULL) { /* the list ends */
        struct pw_wal_closed *c = w->closed;

        w->closed = c->next;
        free(c);
    }
    pthread_mutex_destroy(&w->mutex);
    free(w->batch);
    free(w);
}

static int
log_make(struct pw_wal_dir *d, uint32_t core)
{
    struct pw_wal *w = aligned_alloc(64, pw_align_up(sizeof(*w), 64));

    if (w == NULL) {
        return PW_ENOMEM;
    }
    memset(w, 0, sizeof(*w));
    w->dir = d;
    w->core = core;
    w->segment.fd = -1;
    w->spare.fd = -1;
    w->next_index = 1;
    w->closed_tail = &w->closed;
    pthread_mutex_init(&w->mutex, NULL);
    d->log[d->logs++] = w;
    w->batch_cap = PW_WAL_BATCH_BYTES + PW_WAL_HEADER_BYTES;
    w->batch = aligned_alloc(PW_FS_BLOCK_BYTES, w->batch_cap);
    if (w->batch == NULL ||
        getrandom(&w->salt_seed, sizeof(w->salt_seed), 0) != (ssize_t)sizeof(w->salt_seed)) {
        return PW_ENOMEM;
    }
    int rc = pw_lane_create_ctl(&w->lane, d->cfg.buffer_bytes, -1);

    return rc != 0 ? rc : pw_lane_create_ctl(&w->settled, SETTLED_BYTES, -1);
}

/* First a mark that says so: with one core for all tokens it covers everything older, so that what a
 * crash leaves of the files is not taken for a log with holes. Under mutex. */
static void
drop_old(struct pw_wal_dir *d)
{
    const struct pw_fs *fs = d->cfg.fs;
    const struct pw_wal_mark all = {.generation = d->generation, .cores = 1};
    char name[PW_WAL_NAME_MAX];
    char path[PW_FS_PATH_MAX];

    if (d->old_count == 0) {
        d->old_gone = true;
        return;
    }
    if (pw_wal_marks_add(d, &all) != 0 || pw_wal_marks_write(d) != 0) {
        return; /* later again */
    }
    for (uint32_t i = 0; i < d->old_count; i++) {
        pw_wal_name_write(&d->old[i], name);
        pw_wal_path(d, name, path);
        (void)fs->unlink(fs->ctx, path); /* else the next process does */
    }
    pw_log(PW_LOG_INFO, module, "msg=\"segments of earlier processes let go\" segments=%u",
           d->old_count);
    d->old_count = 0;
    d->old_gone = true;
}

static bool
old_is_held(const struct pw_wal_dir *d)
{
    bool held = false;

    for (uint32_t i = 0; i < d->cfg.cores; i++) {
        held |= d->old_held[i];
    }
    return held;
}

void
pw_wal_dir_housekeep(struct pw_wal_dir *d)
{
    pthread_mutex_lock(&d->mutex);
    if (!d->old_gone && !old_is_held(d)) {
        drop_old(d);
    }
    pthread_mutex_unlock(&d->mutex);
}

static void *
housekeeper_main(void *arg)
{
    struct pw_wal_dir *d = arg;
    bool worked;
    bool stop;

    if (d->cfg.thread_begins != NULL) {
        d->cfg.thread_begins(d->cfg.ctx);
    }
    do { /* until stopped */
        struct timespec until;

        worked = false;
        for (uint32_t i = 0; i < d->logs; i++) {
            worked |= pw_wal_housekeep(d->log[i]);
        }
        pw_wal_dir_housekeep(d);
        pthread_mutex_lock(&d->mutex);
        if (!worked && !d->stop) {
            clock_gettime(CLOCK_MONOTONIC, &until);
            until.tv_sec += HOUSEKEEP_S;
            pthread_cond_clockwait(&d->wake, &d->mutex, CLOCK_MONOTONIC, &until);
        }
        stop = d->stop;
        pthread_mutex_unlock(&d->mutex);
    } while (!stop);
    return NULL;
}

static int
start_threads(struct pw_wal_dir *d)
{
    for (uint32_t i = 0; i < d->logs; i++) {
        struct pw_wal *w = d->log[i];

        if (pthread_create(&w->thread, NULL, pw_wal_writer_main, w) != 0) {
            return PW_ENOMEM;
        }
        w->running = true;
        pthread_setname_np(w->thread, "wal-writer");
    }
    if (pthread_create(&d->housekeeper, NULL, housekeeper_main, d) != 0) {
        return PW_ENOMEM;
    }
    d->running = true;
    pthread_setname_np(d->housekeeper, "wal-keeper");
    return 0;
}

int
pw_wal_dir_start_cold(struct pw_wal_dir *d, const bool *replayed, struct pw_text *why)
{
    int rc = d->cfg.cores == 0 || d->cfg.cores > PW_INGESTERS_MAX ? PW_EINVAL : 0;

    for (uint32_t i = 0; rc == 0 && i < d->cfg.cores; i++) {
        d->old_held[i] = replayed != NULL && replayed[i];
        rc = log_make(d, i);
        /* The first segment now: a disk that is full or read-only shows before anybody pushes. */
        rc = rc != 0 ? rc : pw_wal_segment_begin(d->log[i], d->cfg.segment_bytes);
    }
    if (rc == PW_ENOSPC) {
        /* Not a reason to stay down: what was replayed can be read, and blocks may free the disk. */
        pw_log(PW_LOG_ERROR, module, "msg=\"no room for the log: pushes are refused\" path=%s",
               d->path);
        rc = 0;
        for (uint32_t i = d->logs; rc == 0 && i < d->cfg.cores; i++) {
            rc = log_make(d, i);
        }
        for (uint32_t i = 0; i < d->logs; i++) {
            d->log[i]->state = d->log[i]->segment.fd < 0 ? PW_ENOSPC : 0;
        }
    }
    if (rc == 0 && !old_is_held(d)) {
        drop_old(d);
    }
    if (rc == 0 && d->cfg.threads) {
        rc = start_threads(d);
    }
    if (rc != 0) {
        pw_text_printf(why, "cannot begin the log in %s: %s", d->path, pw_err_text(rc));
    }
    return rc;
}

static void
stop_threads(struct pw_wal_dir *d)
{
    for (uint32_t i = 0; i < d->logs; i++) {
        struct pw_wal *w = d->log[i];

        atomic_store_explicit(&w->stop, true, memory_order_seq_cst);
        if (w->running) {
            pw_wal_flush(w); /* wakes it */
            pthread_join(w->thread, NULL);
        }
    }
    if (d->running) {
        pthread_mutex_lock(&d->mutex);
        d->stop = true;
        pthread_cond_signal(&d->wake);
        pthread_mutex_unlock(&d->mutex);
        pthread_join(d->housekeeper, NULL);
    }
}

static void
close_segments(struct pw_wal *w)
{
    const struct pw_fs *fs = w->dir->cfg.fs;

    if (w->segment.fd >= 0) {
        fs->close(fs->ctx, w->segment.fd);
    }
    if (w->spare.fd >= 0) {
        fs->close(fs->ctx, w->spare.fd);
    }
}

void
pw_wal_dir_close_cold(struct pw_wal_dir *d)
{
    if (d == NULL) {
        return;
    }
    const struct pw_fs *fs = d->cfg.fs;

    stop_threads(d);
    for (uint32_t i = 0; i < d->logs; i++) {
        if (!d->cfg.threads) { /* a test's process dies like that */
            close_segments(d->log[i]);
        } else {
            pw_wal_segment_trim(d->log[i]);
        }
        log_free(d->log[i]);
    }
    if (d->lock_fd >= 0) {
        fs->close(fs->ctx, d->lock_fd);
    }
    pthread_mutex_destroy(&d->mutex);
    pthread_cond_destroy(&d->wake);
    free(d->old);
    free(d->cover);
    free(d->mark);
    free(d);
}
