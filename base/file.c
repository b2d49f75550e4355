#include "base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* A quota that is used up is a disk that is full: there may be room again, by the same means. */
static int
failure(int err)
{
    return err == EDQUOT ? PW_ENOSPC : -err;
}

static int
os_open(void *ctx, const char *path, enum pw_fs_open how)
{
    int fd = -1;

    (void)ctx;
    switch (how) {
    case PW_FS_READ:
        fd = open(path, O_RDONLY | O_CLOEXEC);
        break;
    case PW_FS_CREATE_DIRECT:
        fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_DIRECT, 0600);
        if (fd >= 0 || errno != EINVAL) {
            break;
        }
        /* A file system without it (tmpfs): Linux may have made the name before it said so. */
        unlink(path);
        fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        break;
    case PW_FS_REUSE_DIRECT:
        fd = open(path, O_RDWR | O_CLOEXEC | O_DIRECT);
        fd = fd < 0 && errno == EINVAL ? open(path, O_RDWR | O_CLOEXEC) : fd;
        break;
    case PW_FS_CREATE:
        fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        break;
    case PW_FS_LOCK:
        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0) {
            int err = errno;

            close(fd);
            return err == EWOULDBLOCK ? PW_EBUSY : failure(err);
        }
        break;
    }
    return fd < 0 ? failure(errno) : fd;
}

static int
os_close(void *ctx, int fd)
{
    (void)ctx;
    return close(fd) == 0 ? 0 : failure(errno);
}

static int64_t
os_write(void *ctx, int fd, const void *buf, size_t n, uint64_t off)
{
    ssize_t r;

    (void)ctx;
    do { /* until no signal interrupts */
        r = pwrite(fd, buf, n, (off_t)off);
    } while (r < 0 && errno == EINTR);
    return r < 0 ? failure(errno) : r;
}

static int
os_sync(void *ctx, int fd)
{
    (void)ctx;
    return fdatasync(fd) == 0 ? 0 : failure(errno);
}

static int
os_write_sync(void *ctx, int fd, const void *buf, size_t n, uint64_t off)
{
    int rc = pw_fs_write_all_cold(pw_fs_os(), fd, buf, n, off);

    return rc != 0 ? rc : os_sync(ctx, fd);
}

static int64_t
os_read(void *ctx, int fd, void *buf, size_t n, uint64_t off)
{
    ssize_t r;

    (void)ctx;
    do { /* until no signal interrupts */
        r = pread(fd, buf, n, (off_t)off);
    } while (r < 0 && errno == EINTR);
    return r < 0 ? failure(errno) : r;
}

static int64_t
os_size(void *ctx, int fd)
{
    struct stat st;

    (void)ctx;
    return fstat(fd, &st) == 0 ? st.st_size : failure(errno);
}

static int
os_allocate(void *ctx, int fd, uint64_t bytes)
{
    (void)ctx;
    return failure(posix_fallocate(fd, 0, (off_t)bytes));
}

static int
os_truncate(void *ctx, int fd, uint64_t bytes)
{
    (void)ctx;
    return ftruncate(fd, (off_t)bytes) == 0 ? 0 : failure(errno);
}

static int
os_rename(void *ctx, const char *from, const char *to)
{
    (void)ctx;
    return rename(from, to) == 0 ? 0 : failure(errno);
}

static int
os_unlink(void *ctx, const char *path)
{
    (void)ctx;
    return unlink(path) == 0 ? 0 : failure(errno);
}

static int
os_rmdir(void *ctx, const char *path)
{
    (void)ctx;
    return rmdir(path) == 0 ? 0 : failure(errno);
}

static int
os_mkdir(void *ctx, const char *path)
{
    (void)ctx;
    return mkdir(path, 0700) == 0 || errno == EEXIST ? 0 : failure(errno);
}

static int
os_sync_dir(void *ctx, const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc;

    (void)ctx;
    if (fd < 0) {
        return failure(errno);
    }
    rc = fsync(fd) == 0 ? 0 : failure(errno);
    close(fd);
    return rc;
}

static int
os_list(void *ctx, const char *path, pw_fs_name_fn each, void *arg)
{
    DIR *d = opendir(path);
    const struct dirent *e;

    (void)ctx;
    if (d == NULL) {
        return failure(errno);
    }
    errno = 0;
    while ((e = readdir(d)) != NULL) { /* one name a turn */
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) {
            each(arg, e->d_name);
        }
        errno = 0;
    }
    int rc = failure(errno);

    closedir(d);
    return rc;
}

static int64_t
os_free_bytes(void *ctx, const char *path)
{
    struct statvfs st;

    (void)ctx;
    return statvfs(path, &st) == 0 ? (int64_t)((uint64_t)st.f_bavail * st.f_frsize)
                                   : failure(errno);
}

const struct pw_fs *
pw_fs_os(void)
{
    static const struct pw_fs os = {
        .open = os_open,
        .close = os_close,
        .write = os_write,
        .sync = os_sync,
        .write_sync = os_write_sync,
        .read = os_read,
        .size = os_size,
        .allocate = os_allocate,
        .truncate = os_truncate,
        .rename = os_rename,
        .unlink = os_unlink,
        .rmdir = os_rmdir,
        .mkdir = os_mkdir,
        .sync_dir = os_sync_dir,
        .list = os_list,
        .free_bytes = os_free_bytes,
    };

    return &os;
}

/* --- What every layer gives --------------------------------------------------------------------- */

/* The directory that holds path, in out. */
static void
parent_of(const char *path, size_t len, char *out)
{
    while (len > 1 && path[len - 1] != '/') {
        len--;
    }
    if (path[0] != '/' && len <= 1) {
        strcpy(out, ".");
        return;
    }
    memcpy(out, path, len);
    out[len] = 0;
}

int
pw_fs_mkdirs_cold(const struct pw_fs *fs, const char *path)
{
    char part[PW_FS_PATH_MAX];
    char parent[PW_FS_PATH_MAX];
    size_t len = strlen(path);

    if (len == 0 || len >= sizeof(part)) {
        return PW_EINVAL;
    }
    for (size_t i = 1; i <= len; i++) {
        if (i < len && path[i] != '/') {
            continue;
        }
        memcpy(part, path, i);
        part[i] = 0;
        int rc = fs->mkdir(fs->ctx, part);

        if (rc == 0 && i == len) {
            parent_of(path, i, parent);
            rc = fs->sync_dir(fs->ctx, parent);
        }
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

int64_t
pw_fs_read_all_cold(const struct pw_fs *fs, int fd, void *buf, size_t n, uint64_t off)
{
    size_t done = 0;

    while (done < n) {
        int64_t r = fs->read(fs->ctx, fd, (uint8_t *)buf + done, n - done, off + done);

        if (r < 0) {
            return r;
        }
        if (r == 0) {
            break;
        }
        done += (size_t)r;
    }
    return (int64_t)done;
}

int
pw_fs_write_all_cold(const struct pw_fs *fs, int fd, const void *buf, size_t n, uint64_t off)
{
    size_t done = 0;

    while (done < n) {
        int64_t r = fs->write(fs->ctx, fd, (const uint8_t *)buf + done, n - done, off + done);

        if (r <= 0) {
            return r < 0 ? (int)r : PW_EIO;
        }
        done += (size_t)r;
    }
    return 0;
}

static int
write_new(const struct pw_fs *fs, const char *path, struct pw_slice bytes)
{
    int fd = fs->open(fs->ctx, path, PW_FS_CREATE), rc, closed;

    if (fd < 0) {
        return fd;
    }
    rc = pw_fs_write_all_cold(fs, fd, bytes.ptr, bytes.len, 0);
    rc = rc != 0 ? rc : fs->sync(fs->ctx, fd);
    closed = fs->close(fs->ctx, fd);
    return rc != 0 ? rc : closed;
}

int
pw_fs_replace_cold(const struct pw_fs *fs, const char *path, struct pw_slice bytes)
{
    char tmp[PW_FS_PATH_MAX];
    int n = snprintf(tmp, sizeof(tmp), "%s.tmp", path), rc;

    if (n < 0 || (size_t)n >= sizeof(tmp)) {
        return PW_EMSGSIZE;
    }
    (void)fs->unlink(fs->ctx, tmp); /* of a process that died here */
    rc = write_new(fs, tmp, bytes);
    rc = rc != 0 ? rc : fs->rename(fs->ctx, tmp, path);
    if (rc != 0) {
        (void)fs->unlink(fs->ctx, tmp);
    }
    return rc;
}
