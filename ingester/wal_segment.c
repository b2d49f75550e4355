/* The files of one log: begun, ended, let go. The next segment is made beforehand, because naming and
 * allocating a file waits for the disk several times; its header is written with its first commit. */
#include "ingester/wal_priv.h"

#include "base/log.h"

#include <stdlib.h>

static const char module[] = "pw.ingester.wal";

static void
name_of(const struct pw_wal *w, uint32_t index, char path[PW_FS_PATH_MAX])
{
    struct pw_wal_name n = {.generation = w->dir->generation, .core = w->core, .index = index};
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

/* A new file with room for bytes. Under mutex. */
static int
make(struct pw_wal *w, uint64_t bytes, struct pw_wal_open *out)
{
    const struct pw_fs *fs = w->dir->cfg.fs;
    char path[PW_FS_PATH_MAX];
    uint32_t index = w->next_index++; /* a failed one's number is not used again */
    int fd;
    int rc;

    name_of(w, index, path);
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

/* A spare that is too small for a huge record must not come after it: replay goes by the index. */
static void
drop_spare(struct pw_wal *w)
{
    const struct pw_fs *fs = w->dir->cfg.fs;
    char path[PW_FS_PATH_MAX];

    name_of(w, w->spare.index, path);
    fs->close(fs->ctx, w->spare.fd);
    (void)fs->unlink(fs->ctx, path); /* all zeros: replay passes it by */
    add(&w->segments, (uint64_t)-1);
    add(&w->segment_bytes, 0 - w->spare.bytes);
    w->spare.fd = -1;
}

/* At a clean end: no allocated room stays that the next process would read. */
void
pw_wal_segment_trim(struct pw_wal *w)
{
    const struct pw_fs *fs = w->dir->cfg.fs;
    char path[PW_FS_PATH_MAX];

    if (w->spare.fd >= 0) {
        drop_spare(w);
    }
    if (w->segment.fd >= 0 && w->at != 0) {
        (void)fs->truncate(fs->ctx, w->segment.fd, w->at); /* else it is read as zeros */
        fs->close(fs->ctx, w->segment.fd);
    } else if (w->segment.fd >= 0) {
        name_of(w, w->segment.index, path);
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
        *c = (struct pw_wal_closed){
            .index = w->segment.index, .last_sequence = w->taken, .bytes = w->segment.bytes};
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

bool
pw_wal_housekeep(struct pw_wal *w)
{
    const struct pw_fs *fs = w->dir->cfg.fs;
    struct pw_wal_closed *c;
    char path[PW_FS_PATH_MAX];
    bool worked = false;

    while ((c = take_released(w)) != NULL) { /* one segment a turn */
        name_of(w, c->index, path);
        int rc = fs->unlink(fs->ctx, path);

        if (rc != 0) {
            pw_log(PW_LOG_WARN, module, "msg=\"cannot unlink a segment\" path=%s err=\"%s\"", path,
                   pw_err_text(rc));
        }
        pthread_mutex_lock(&w->mutex);
        add(&w->segments, (uint64_t)-1);
        add(&w->segment_bytes, 0 - c->bytes);
        pthread_mutex_unlock(&w->mutex);
        free(c);
        worked = true;
    }
    pthread_mutex_lock(&w->mutex);
    if (w->spare.fd < 0 && atomic_load_explicit(&w->state, memory_order_relaxed) == 0) {
        /* A failure shows when the segment is needed; until then there is nothing to say. */
        worked |= make(w, w->dir->cfg.segment_bytes, &w->spare) == 0;
    }
    pthread_mutex_unlock(&w->mutex);
    return worked;
}
