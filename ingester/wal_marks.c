/* Marks: what of the logs is in blocks already, by what blocks say at start and by the file of marks, one line
 * a log, written anew with each release. */
#include "ingester/wal_priv.h"

#include "ring/token.h"

#include <stdio.h>
#include <stdlib.h>

static const char marks_name[] = "released";

enum { MARKS_BYTES_MAX = 1 << 20 };

size_t
pw_wal_mark_write(const struct pw_wal_mark *m, char text[PW_WAL_MARK_TEXT_MAX])
{
    unsigned long long sequence = m->sequence;
    int n = m->replay == 0 ? snprintf(text, PW_WAL_MARK_TEXT_MAX, "%u %u %u %llu\n", m->generation,
                                      m->cores, m->core, sequence)
                           : snprintf(text, PW_WAL_MARK_TEXT_MAX, "%u %u %u %llu %u\n",
                                      m->generation, m->cores, m->core, sequence, m->replay);

    return (size_t)n;
}

int
pw_wal_mark_read(struct pw_slice text, struct pw_wal_mark *m)
{
    char line[PW_WAL_MARK_TEXT_MAX];
    char again[PW_WAL_MARK_TEXT_MAX];
    unsigned long long sequence;

    if (text.len == 0 || text.len >= sizeof(line)) {
        return PW_EINVAL;
    }
    memcpy(line, text.ptr, text.len);
    line[text.len] = 0;
    m->replay = 0;
    if (sscanf(line, "%u %u %u %llu %u", &m->generation, &m->cores, &m->core, &sequence,
               &m->replay) < 4) {
        return PW_EINVAL;
    }
    m->sequence = sequence;
    if (pw_wal_mark_write(m, again) != text.len || memcmp(again, line, text.len) != 0 ||
        m->cores == 0 || m->core >= m->cores || m->cores > PW_INGESTERS_MAX ||
        m->replay > PW_INGESTERS_MAX) {
        return PW_EINVAL;
    }
    return 0;
}

/* Of a head that was cut during replay: the logs in the order in which they are replayed. */
static bool
replay_covers(const struct pw_wal_mark *m, const struct pw_wal_name *log, uint64_t sequence,
              uint32_t token)
{
    if (pw_token_core(token, m->cores) != m->core) {
        return false;
    }
    if (log->generation != m->generation) {
        return log->generation < m->generation;
    }
    return log->core != m->replay - 1 ? log->core < m->replay - 1 : sequence <= m->sequence;
}

static bool
mark_covers(const struct pw_wal_mark *m, const struct pw_wal_name *log, uint64_t sequence,
            uint32_t token)
{
    if (m->replay != 0) {
        return replay_covers(m, log, sequence, token);
    }
    if (log->generation == m->generation) {
        return log->core == m->core && sequence <= m->sequence;
    }
    /* What was older than that generation was replayed into its heads before they took anything. */
    return log->generation < m->generation && pw_token_core(token, m->cores) == m->core;
}

bool
pw_wal_covered(const struct pw_wal_dir *d, const struct pw_wal_name *log, uint64_t sequence,
               struct pw_slice tenant, uint32_t token)
{
    for (uint32_t i = 0; i < d->mark_count; i++) {
        if (mark_covers(&d->mark[i], log, sequence, token)) {
            return true;
        }
    }
    for (uint32_t i = 0; i < d->cover_count; i++) {
        const struct pw_wal_cover *c = &d->cover[i];

        if (pw_slice_eq(tenant, pw_slice(c->tenant, c->tenant_len)) &&
            mark_covers(&c->mark, log, sequence, token)) {
            return true;
        }
    }
    return false;
}

int
pw_wal_dir_covered_cold(struct pw_wal_dir *d, const struct pw_wal_mark *mark,
                        struct pw_slice tenant)
{
    struct pw_wal_cover *c = realloc(d->cover, (d->cover_count + 1) * sizeof(*c));

    if (c == NULL) {
        return PW_ENOMEM;
    }
    d->cover = c;
    if (tenant.len > PW_TENANT_BYTES_MAX) {
        return PW_EINVAL;
    }
    c[d->cover_count] = (struct pw_wal_cover){.mark = *mark, .tenant_len = (uint32_t)tenant.len};
    if (tenant.len != 0) {
        memcpy(c[d->cover_count].tenant, tenant.ptr, tenant.len);
    }
    d->cover_count++;
    if (mark->generation >= d->generation) {
        d->generation = mark->generation + 1; /* whose segments are all gone */
    }
    return 0;
}

/* The later of two marks of one log is the one that counts. */
int
pw_wal_marks_add(struct pw_wal_dir *d, const struct pw_wal_mark *m)
{
    for (uint32_t i = 0; i < d->mark_count; i++) {
        struct pw_wal_mark *have = &d->mark[i];

        if (have->generation == m->generation && have->core == m->core) {
            have->sequence = m->sequence > have->sequence ? m->sequence : have->sequence;
            have->cores = m->cores < have->cores ? m->cores : have->cores; /* see drop_old */
            return 0;
        }
    }
    struct pw_wal_mark *p = realloc(d->mark, (d->mark_count + 1) * sizeof(*p));

    if (p == NULL) {
        return PW_ENOMEM;
    }
    d->mark = p;
    p[d->mark_count++] = *m;
    return 0;
}

int
pw_wal_marks_read(struct pw_wal_dir *d)
{
    const struct pw_fs *fs = d->cfg.fs;
    char path[PW_FS_PATH_MAX];
    struct pw_text text;
    int rc = 0;

    pw_wal_path(d, marks_name, path);
    int fd = fs->open(fs->ctx, path, PW_FS_READ);

    if (fd < 0) {
        return fd == PW_ENOENT ? 0 : fd;
    }
    uint8_t *buf = malloc(MARKS_BYTES_MAX);
    int64_t n = buf == NULL ? PW_ENOMEM : pw_fs_read_all_cold(fs, fd, buf, MARKS_BYTES_MAX, 0);

    pw_text_fixed(&text, buf, MARKS_BYTES_MAX);
    rc = n < 0 ? (int)n : 0;
    for (int64_t at = 0; rc == 0 && at < n;) { /* one line a turn */
        const uint8_t *nl = memchr(buf + at, '\n', (size_t)(n - at));
        int64_t len = nl == NULL ? n - at : nl + 1 - (buf + at);
        struct pw_wal_mark m;

        rc = pw_wal_mark_read(pw_slice(buf + at, (size_t)len), &m);
        rc = rc != 0 ? rc : pw_wal_marks_add(d, &m);
        at += len;
    }
    free(buf);
    fs->close(fs->ctx, fd);
    return rc;
}

/* Under mutex. */
int
pw_wal_marks_write(struct pw_wal_dir *d)
{
    const struct pw_fs *fs = d->cfg.fs;
    char path[PW_FS_PATH_MAX];
    char *buf = malloc((size_t)d->mark_count * PW_WAL_MARK_TEXT_MAX);
    size_t n = 0;
    int rc;

    if (buf == NULL) {
        return PW_ENOMEM;
    }
    for (uint32_t i = 0; i < d->mark_count; i++) {
        n += pw_wal_mark_write(&d->mark[i], buf + n);
    }
    pw_wal_path(d, marks_name, path);
    rc = pw_fs_replace_cold(fs, path, pw_slice(buf, n));
    free(buf);
    return rc != 0 ? rc : fs->sync_dir(fs->ctx, d->path);
}

/* --- Release ------------------------------------------------------------------------------------ */

/* Marks that no segment on disk needs any more. Under mutex. */
static void
forget_marks(struct pw_wal_dir *d)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < d->mark_count; i++) {
        if (!d->old_gone || d->mark[i].generation == d->generation) {
            d->mark[n++] = d->mark[i];
        }
    }
    d->mark_count = n;
}

int
pw_wal_release_cold(struct pw_wal *w, const struct pw_wal_mark *mark)
{
    struct pw_wal_dir *d = w->dir;
    int rc;

    if (mark->generation != d->generation || mark->core != w->core) {
        return PW_EINVAL;
    }
    pthread_mutex_lock(&d->mutex);
    forget_marks(d);
    rc = pw_wal_marks_add(d, mark);
    rc = rc != 0 ? rc : pw_wal_marks_write(d);
    if (rc == 0) {
        d->old_held[w->core] = false;
    }
    pthread_cond_signal(&d->wake);
    pthread_mutex_unlock(&d->mutex);
    if (rc == 0) {
        pthread_mutex_lock(&w->mutex);
        w->released = mark->sequence > w->released ? mark->sequence : w->released;
        pthread_mutex_unlock(&w->mutex);
    }
    return rc;
}
