/* The files of one log: begun, ended, let go. The next segment is made beforehand, because naming and
 * allocating a file waits for the disk several times; its header is written with its first commit.
 *
 * Room that was allocated and never written costs each commit the journal's interrupts too, so some segments that were
 * let go are kept, to be written over. That fools no replay: what they held is in blocks, by marks that were on disk
 * before; a header with another index than the name's says that the segment was not begun; and each segment's
 * records have a salt of their own. One that a write or a sync failed for is never among them. */
#include "ingester/wal_priv.h"

#include "base/log.h"

#include <stdlib.h>

static const char module[] = "pw.ingester.wal";

enum { KEEP_ROOM = 64 }; /* segments are kept where so many more would fit on the disk */

static void
path_of(const struct pw_wal *w, uint32_t index, bool kept, char path[PW_FS_PATH_MAX])
{
    struct pw_wal_name n = {
        .generation = w->dir->generation, .core = w->core, .index = index, .kept = kept};
    char name[PW_WAL_NAME_MAX];

    pw_wal_name_write(&n, name);
    pw_wal_path(w->dir, name, path);
}

static void
add(_Atomic uint64_t *c, uint64_t n)
{
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

static void
one_less(struct pw_wal *w, uint64_t bytes)
{
    add(&w->segments, (uint64_t)-1);
    add(&w->segment_bytes, 0 - bytes);
}

/* A new file with room for bytes. Under mutex. */
static int
make_new(struct pw_wal *w, uint64_t bytes, struct pw_wal_open *out)
{
    const struct pw_fs *fs = w->dir->cfg.fs;
    char path[PW_FS_PATH_MAX];
    uint32_t index = w->next_index++; /* a failed one's number is not used again */
    int fd;
    int rc;

    path_of(w, index, false, path);
    fd = fs->open(fs->ctx, path, PW_FS_CREATE_DIRECT);
    if (fd < 0) {
        return fd;
    }
    rc = fs->allocate(fs->ctx, fd, bytes);
    rc = rc != 0 ? rc : fs->sync(fs->ctx, fd);
    rc = rc != 0 ? rc : fs->sync_dir(fs->ctx, w->dir->path);
    if (rc != 0) {
        fs->close(fs->ctx, fd);
        (void)fs->unlink(fs->ctx, path); /* what is left of it holds nothing */
        return rc;
    }
    *out = (struct pw_wal_open){.fd = fd, .index = index, .bytes = bytes};
    add(&w->segments, 1);
    add(&w->segment_bytes, bytes);
    return 0;
}

static struct pw_wal_closed *
take_kept(struct pw_wal *w)
{
    struct pw_wal_closed *c = w->kept;

    if (c != NULL) {
        w->kept = c->next;
        w->kept_count--;
    }
    return c;
}

/* One that was kept, under a new name. Under mutex. */
static int
make_of_kept(struct pw_wal *w, struct pw_wal_open *out)
{
    const struct pw_fs *fs = w->dir->cfg.fs;
    struct pw_wal_closed *c = take_kept(w);
    char from[PW_FS_PATH_MAX], to[PW_FS_PATH_MAX];
    uint32_t index;
    int fd = -1;
    int rc;

    if (c == NULL) {
        return PW_ENOENT;
    }
    index = w->next_index++;
    path_of(w, c->index, true, from);
    path_of(w, index, false, to);
    rc = fs->rename(fs->ctx, from, to);
    if (rc == 0) {
        fd = fs->open(fs->ctx, to, PW_FS_REUSE_DIRECT);
        rc = fd < 0 ? fd : fs->sync_dir(fs->ctx, w->dir->path);
    } else {
        memcpy(to, from, sizeof(to));
    }
    if (rc == 0) {
        *out = (struct pw_wal_open){.fd = fd, .index = index, .bytes = c->bytes, .reused = true};
        add(&w->reused, 1);
    } else {
        if (fd >= 0) {
            fs->close(fs->ctx, fd);
        }
        (void)fs->unlink(fs->ctx, to); /* else replay finds that it was not begun */
        one_less(w, c->bytes);
    }
    free(c);
    return rc;
}

/* Under mutex. */
static int
make(struct pw_wal *w, uint64_t bytes, struct pw_wal_open *out)
{
    if (bytes == w->dir->cfg.segment_bytes && make_of_kept(w, out) == 0) {
        return 0;
    }
    return make_new(w, bytes, out);
}

/* Under mutex, or when the threads are gone. */
static bool
drop_kept(struct pw_wal *w)
{
    const struct pw_fs *fs = w->dir->cfg.fs;
    struct pw_wal_closed *c = take_kept(w);
    char path[PW_FS_PATH_MAX];

    if (c == NULL) {
        return false;
    }
    path_of(w, c->index, true, path);
    (void)fs->unlink(fs->ctx, path); /* else the next process does */
    one_less(w, c->bytes);
    free(c);
    return true;
}

/* A spare that is too small for a huge record must not come after it: replay goes by the index. */
static void
drop_spare(struct pw_wal *w)
{
    const struct pw_fs *fs = w->dir->cfg.fs;
    char path[PW_FS_PATH_MAX];

    path_of(w, w->spare.index, false, path);
    fs->close(fs->ctx, w->spare.fd);
    (void)fs->unlink(fs->ctx, path); /* never begun: replay passes it by */
    one_less(w, w->spare.bytes);
    w->spare.fd = -1;
}

/* At a clean end: no allocated room stays that the next process would read. */
void
pw_wal_segment_trim(struct pw_wal *w)
{
    const struct pw_fs *fs = w->dir->cfg.fs;
    char path[PW_FS_PATH_MAX];

    while (drop_kept(w)) { /* the list ends */
    }
    if (w->spare.fd >= 0) {
        drop_spare(w);
    }
    if (w->segment.fd >= 0 && w->at != 0) {
        (void)fs->truncate(fs->ctx, w->segment.fd, w->at); /* else it is read as zeros */
        fs->close(fs->ctx, w->segment.fd);
    } else if (w->segment.fd >= 0) {
        path_of(w, w->segment.index, false, path);
        fs->close(fs->ctx, w->segment.fd);
        (void)fs->unlink(fs->ctx, path);
    }
    w->segment.fd = -1;
}

int
pw_wal_segment_begin(struct pw_wal *w, uint64_t bytes)
{
    int rc = 0;

    bytes = bytes < w->dir->cfg.segment_bytes ? w->dir->cfg.segment_bytes : bytes;
    pthread_mutex_lock(&w->mutex);
    if (w->spare.fd >= 0 && w->spare.bytes < bytes) {
        drop_spare(w);
    }
    if (w->spare.fd >= 0) {
        w->segment = w->spare;
        w->spare.fd = -1;
    } else {
        rc = make(w, bytes, &w->segment);
    }
    pthread_mutex_unlock(&w->mutex);
    if (rc != 0) {
        w->segment.fd = -1;
        return rc;
    }
    pthread_mutex_lock(&w->dir->mutex);
    pthread_cond_signal(&w->dir->wake);
    pthread_mutex_unlock(&w->dir->mutex);
    w->at = 0;
    w->salt_seed = w->salt_seed * 6364136223846793005U + 1442695040888963407U; /* Knuth's MMIX */
    w->salt = (uint32_t)(w->salt_seed >> 32);
    return 0;
}

void
pw_wal_segment_end(struct pw_wal *w)
{
    const struct pw_fs *fs = w->dir->cfg.fs;
    struct pw_wal_closed *c = malloc(sizeof(*c));

    fs->close(fs->ctx,
              w->segment.fd); /* synced before, or abandoned: its result says nothing new */
    if (c != NULL) {
        *c = (struct pw_wal_closed){.index = w->segment.index,
                                    .last_sequence = w->taken,
                                    .bytes = w->segment.bytes,
                                    .spoiled = w->segment.spoiled};
        pthread_mutex_lock(&w->mutex);
        *w->closed_tail = c;
        w->closed_tail = &c->next;
        pthread_mutex_unlock(&w->mutex);
    } /* else it stays on disk until the next process lets it go */
    w->segment.fd = -1;
}

/* The oldest closed segment when all of it was released. */
static struct pw_wal_closed *
take_released(struct pw_wal *w)
{
    struct pw_wal_closed *c;

    pthread_mutex_lock(&w->mutex);
    c = w->closed;
    if (c != NULL && c->last_sequence <= w->released) {
        w->closed = c->next;
        if (w->closed == NULL) {
            w->closed_tail = &w->closed;
        }
    } else {
        c = NULL;
    }
    pthread_mutex_unlock(&w->mutex);
    return c;
}

/* Room for what else the disk is for; asked again while some are kept. */
static bool
has_room(const struct pw_wal *w)
{
    const struct pw_fs *fs = w->dir->cfg.fs;
    int64_t bytes = fs->free_bytes(fs->ctx, w->dir->path);

    return bytes > 0 && (uint64_t)bytes / KEEP_ROOM >= w->dir->cfg.segment_bytes;
}

/* Makes a segment that was released one to be written over; false: it cannot be. */
static bool
keep(struct pw_wal *w, struct pw_wal_closed *c)
{
    const struct pw_fs *fs = w->dir->cfg.fs;
    char from[PW_FS_PATH_MAX], to[PW_FS_PATH_MAX];

    if (c->spoiled || c->bytes != w->dir->cfg.segment_bytes || !has_room(w)) {
        return false;
    }
    pthread_mutex_lock(&w->mutex);
    bool enough = w->kept_count >= w->dir->cfg.reuse_max; /* only we add to them */

    pthread_mutex_unlock(&w->mutex);
    if (enough) {
        return false;
    }
    path_of(w, c->index, false, from);
    path_of(w, c->index, true, to);
    if (fs->rename(fs->ctx, from, to) != 0) {
        return false;
    }
    pthread_mutex_lock(&w->mutex);
    c->next = w->kept;
    w->kept = c;
    w->kept_count++;
    pthread_mutex_unlock(&w->mutex);
    return true;
}

static void
let_go(struct pw_wal *w, struct pw_wal_closed *c)
{
    const struct pw_fs *fs = w->dir->cfg.fs;
    char path[PW_FS_PATH_MAX];

    path_of(w, c->index, false, path);
    int rc = fs->unlink(fs->ctx, path);

    if (rc != 0) {
        pw_log(PW_LOG_WARN, module, "msg=\"cannot unlink a segment\" path=%s err=\"%s\"", path,
               pw_err_text(rc));
    }
    pthread_mutex_lock(&w->mutex);
    one_less(w, c->bytes);
    pthread_mutex_unlock(&w->mutex);
    free(c);
}

bool
pw_wal_housekeep(struct pw_wal *w)
{
    struct pw_wal_closed *c;
    bool worked = false;

    while ((c = take_released(w)) != NULL) { /* one segment a turn */
        if (!keep(w, c)) {
            let_go(w, c);
        }
        worked = true;
    }
    pthread_mutex_lock(&w->mutex);
    if (w->kept != NULL && !has_room(w)) {
        worked |= drop_kept(w);
    }
    if (w->spare.fd < 0 && atomic_load_explicit(&w->state, memory_order_relaxed) == 0) {
        /* A failure shows when the segment is needed; until then there is nothing to say. */
        worked |= make(w, w->dir->cfg.segment_bytes, &w->spare) == 0;
    }
    pthread_mutex_unlock(&w->mutex);
    return worked;
}
