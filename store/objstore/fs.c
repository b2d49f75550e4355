/* The bucket as a directory: a key is a relative path, a directory exists while something is in it. */
#include "store/objstore/backend.h"

#include <dirent.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FS_PATH_MAX = 4096, FS_READ_BYTES = 256 * 1024 };

/* Where a put is written before its rename; no key can name it (a listing leaves it out). */
#define FS_TEMP_SUFFIX ".pyrowire-tmp"

struct fs {
    char dir[FS_PATH_MAX / 2]; /* without '/' at the end */
};

static void
path_of(const struct fs *fs, const char *key, char *path)
{
    snprintf(path, FS_PATH_MAX, "%s/%s", fs->dir, key);
}

static int
fail(struct pw_objstore_why *why, const char *what, const char *path)
{
    int err = errno;

    return pw_objstore_fail(why, err == ENOTDIR ? PW_ENOENT : -err, "filesystem bucket: %s %s: %s",
                            what, path, strerror(err));
}

/* Makes the directories above the file of `path`. The same string is cut and mended on the way. */
static int
make_parents(const struct fs *fs, char *path)
{
    for (char *p = path + strlen(fs->dir); (p = strchr(p, '/')) != NULL; p++) {
        *p = 0;
        int rc = mkdir(path, 0777);
        *p = '/';
        if (rc != 0 && errno != EEXIST) {
            return -1;
        }
    }
    return 0;
}

static int
sync_parent(const char *path)
{
    char dir[FS_PATH_MAX];
    int fd, rc;

    snprintf(dir, sizeof(dir), "%s", path);
    *strrchr(dir, '/') = 0;
    fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return -1;
    }
    rc = fsync(fd);
    close(fd);
    return rc;
}

static int
write_all(int fd, struct pw_slice body)
{
    while (body.len > 0) {
        ssize_t n = write(fd, body.ptr, body.len);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return -1;
        }
        body.ptr += n;
        body.len -= (size_t)n;
    }
    return fsync(fd);
}

static int
fs_put(void *ctx, const char *key, struct pw_slice body, struct pw_objstore_why *why)
{
    const struct fs *fs = ctx;
    char path[FS_PATH_MAX], temp[FS_PATH_MAX + sizeof(FS_TEMP_SUFFIX)];
    int fd, rc;

    path_of(fs, key, path);
    if (make_parents(fs, path) != 0) {
        return fail(why, "mkdir for", path);
    }
    snprintf(temp, sizeof(temp), "%s" FS_TEMP_SUFFIX, path);
    fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) {
        return fail(why, "create", temp);
    }
    rc = write_all(fd, body) == 0 ? 0 : fail(why, "write", temp);
    if (close(fd) != 0 && rc == 0) {
        rc = fail(why, "close", temp);
    }
    if (rc == 0 && rename(temp, path) != 0) {
        rc = fail(why, "rename", temp);
    }
    if (rc != 0) {
        unlink(temp);
        return rc;
    }
    return sync_parent(path) == 0 ? 0 : fail(why, "sync the directory of", path);
}

static int
read_range(int fd, const char *path, uint64_t from, uint64_t left, struct pw_text *out,
           struct pw_objstore_why *why)
{
    while (left > 0) {
        size_t want = left < FS_READ_BYTES ? (size_t)left : FS_READ_BYTES;
        uint8_t *to = pw_text_grow(out, want);
        ssize_t n;

        if (to == NULL) {
            return pw_objstore_fail(why, PW_EMSGSIZE, "filesystem bucket: %s: more than %zu bytes",
                                    path, out->limit);
        }
        n = pread(fd, to, want, (off_t)from);
        out->len -= want - (n > 0 ? (size_t)n : 0);
        if (n < 0) {
            return fail(why, "read", path);
        }
        if (n == 0) {
            return pw_objstore_fail(why, PW_EIO, "filesystem bucket: %s became shorter", path);
        }
        from += (uint64_t)n;
        left -= (uint64_t)n;
    }
    return 0;
}

static int
fs_get(void *ctx, const char *key, uint64_t from, uint64_t len, struct pw_text *out,
       struct pw_objstore_why *why)
{
    const struct fs *fs = ctx;
    char path[FS_PATH_MAX];
    struct stat st;
    int fd, rc;

    path_of(fs, key, path);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return fail(why, "open", path);
    }
    if (fstat(fd, &st) != 0) {
        rc = fail(why, "stat", path);
    } else if (!S_ISREG(st.st_mode)) {
        rc = pw_objstore_fail(why, PW_ENOENT, "filesystem bucket: %s is not a file", path);
    } else if (from > 0 && from >= (uint64_t)st.st_size) {
        rc = pw_objstore_fail(why, PW_ERANGE, "filesystem bucket: %s ends before byte %ju", path,
                              (uintmax_t)from);
    } else {
        uint64_t rest = (uint64_t)st.st_size - from;

        rc = read_range(fd, path, from, len < rest ? len : rest, out, why);
    }
    close(fd);
    return rc;
}

static struct pw_object_info
info_of(const struct stat *st)
{
    return (struct pw_object_info){
        .size = (uint64_t)st->st_size,
        .mtime_ns = st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec,
    };
}

static int
fs_stat(void *ctx, const char *key, struct pw_object_info *info, struct pw_objstore_why *why)
{
    const struct fs *fs = ctx;
    char path[FS_PATH_MAX];
    struct stat st;

    path_of(fs, key, path);
    if (stat(path, &st) != 0) {
        return fail(why, "stat", path);
    }
    if (!S_ISREG(st.st_mode)) {
        return pw_objstore_fail(why, PW_ENOENT, "filesystem bucket: %s is not a file", path);
    }
    *info = info_of(&st);
    return 0;
}

static bool
is_temp(const char *name)
{
    size_t len = strlen(name), suffix = strlen(FS_TEMP_SUFFIX);

    return len > suffix && strcmp(name + len - suffix, FS_TEMP_SUFFIX) == 0;
}

/* What a listing orders by: a directory counts with the '/' its key ends in. */
static int
by_key(const FTSENT **a, const FTSENT **b)
{
    struct pw_slice x = pw_slice((*a)->fts_name, (*a)->fts_namelen);
    struct pw_slice y = pw_slice((*b)->fts_name, (*b)->fts_namelen);
    size_t n = x.len < y.len ? x.len : y.len;
    int c = memcmp(x.ptr, y.ptr, n);

    if (c != 0) {
        return c;
    }
    uint8_t x_next = x.len > n ? x.ptr[n] : (*a)->fts_info == FTS_D ? '/' : 0;
    uint8_t y_next = y.len > n ? y.ptr[n] : (*b)->fts_info == FTS_D ? '/' : 0;

    return x_next - y_next;
}

/* One entry of the walk: reports it, or says to go into it. */
static int
list_entry(const struct fs *fs, FTS *walk, FTSENT *e, bool deep, pw_objstore_found_fn *found,
           void *arg, struct pw_objstore_why *why)
{
    const char *key = e->fts_path + strlen(fs->dir) + 1;
    char dir[FS_PATH_MAX];

    switch (e->fts_info) {
    case FTS_D:
        if (e->fts_level == FTS_ROOTLEVEL || deep) {
            return 0;
        }
        fts_set(walk, e, FTS_SKIP);
        snprintf(dir, sizeof(dir), "%s/", key);
        return found(arg, dir, &(struct pw_object_info){0});
    case FTS_F: {
        struct pw_object_info info = info_of(e->fts_statp);

        return is_temp(e->fts_name) ? 0 : found(arg, key, &info);
    }
    case FTS_ERR:
    case FTS_DNR:
    case FTS_NS:
        if (e->fts_errno == ENOENT) { /* deleted meanwhile, or the directory was never there */
            return 0;
        }
        errno = e->fts_errno;
        return fail(why, "list", e->fts_path);
    default:
        return 0;
    }
}

static int
fs_list(void *ctx, const char *dir, bool deep, pw_objstore_found_fn *found, void *arg,
        struct pw_objstore_why *why)
{
    const struct fs *fs = ctx;
    char path[FS_PATH_MAX];
    char *roots[] = {path, NULL};
    size_t len;
    int rc = 0;
    FTS *walk;

    path_of(fs, dir, path);
    len = strlen(path);
    path[len - 1] = 0; /* both dir and the join end in '/' */
    walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, by_key);
    if (walk == NULL) {
        return fail(why, "list", path);
    }
    for (FTSENT *e; rc == 0 && (errno = 0, e = fts_read(walk)) != NULL;) {
        rc = list_entry(fs, walk, e, deep, found, arg, why);
    }
    if (rc == 0 && errno != 0) {
        rc = fail(why, "list", path);
    }
    fts_close(walk);
    return rc;
}

static int
fs_remove(void *ctx, const char *key, struct pw_objstore_why *why)
{
    const struct fs *fs = ctx;
    char path[FS_PATH_MAX];

    path_of(fs, key, path);
    if (unlink(path) != 0 && errno != ENOENT && errno != ENOTDIR) {
        return fail(why, "delete", path);
    }
    for (char *slash; (slash = strrchr(path, '/')) > path + strlen(fs->dir);) {
        *slash = 0;
        if (rmdir(path) != 0) {
            break; /* something else is in it */
        }
    }
    return 0;
}

static int
fs_check(void *ctx, struct pw_objstore_why *why)
{
    const struct fs *fs = ctx;

    if (access(fs->dir, R_OK | W_OK | X_OK) != 0) {
        return fail(why, "cannot write to", fs->dir);
    }
    return 0;
}

static uint64_t
fs_retries(const void *ctx)
{
    return 0;
}

int
pw_objstore_fs_open(void **ctx, const struct pw_objstore_ops **ops,
                    const struct pw_objstore_cfg *cfg, struct pw_objstore_why *why)
{
    static const struct pw_objstore_ops fs_ops = {
        .check = fs_check,
        .put = fs_put,
        .get = fs_get,
        .stat = fs_stat,
        .list = fs_list,
        .remove = fs_remove,
        .retries = fs_retries,
        .close = free,
    };
    size_t len = strlen(cfg->filesystem_dir);
    char path[FS_PATH_MAX];
    struct fs *fs;

    if (len == 0 || len >= sizeof(fs->dir)) {
        return pw_objstore_fail(why, PW_EINVAL,
                                "filesystem bucket: -storage.filesystem.dir has %zu bytes", len);
    }
    fs = calloc(1, sizeof(*fs));
    if (fs == NULL) {
        return pw_objstore_fail(why, PW_ENOMEM, "out of memory");
    }
    snprintf(fs->dir, sizeof(fs->dir), "%s", cfg->filesystem_dir);
    while (len > 1 && fs->dir[len - 1] == '/') {
        fs->dir[--len] = 0;
    }
    snprintf(path, sizeof(path), "%s/", fs->dir);
    for (char *p = path + 1; (p = strchr(p, '/')) != NULL; p++) {
        *p = 0;
        if (mkdir(path, 0777) != 0 && errno != EEXIST) {
            int rc = fail(why, "mkdir", path);

            free(fs);
            return rc;
        }
        *p = '/';
    }
    *ctx = fs;
    *ops = &fs_ops;
    return 0;
}
