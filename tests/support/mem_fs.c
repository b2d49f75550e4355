#include "tests/support/mem_fs.h"

#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

enum { FILES_MAX = 512, SECTOR = 512, FDS_MAX = 256 };

struct inode {
    bool used;
    bool locked;
    char name[128];    /* now; empty: unlinked */
    char durable[128]; /* after a crash */
    uint8_t *data, *synced;
    uint64_t len, synced_len, cap;
    uint8_t *dirty; /* a byte a sector */
};

struct mem_fs {
    struct pw_fs table;
    struct inode file[FILES_MAX];
    struct inode *fd[FDS_MAX];
    enum mem_fs_fault fault;
    uint64_t fault_at, fault_times, calls;
    uint64_t capacity;
};

/* What this call is to do. */
static enum mem_fs_fault
judge(struct mem_fs *m)
{
    uint64_t n = m->calls++;

    return m->fault != MEM_FS_NO_FAULT && n >= m->fault_at && n - m->fault_at < m->fault_times
               ? m->fault
               : MEM_FS_NO_FAULT;
}

static int
judge_plain(struct mem_fs *m)
{
    enum mem_fs_fault f = judge(m);

    return f == MEM_FS_NO_FAULT ? 0 : f == MEM_FS_NOSPC ? PW_ENOSPC : PW_EIO;
}

static struct inode *
find(struct mem_fs *m, const char *path)
{
    for (uint32_t i = 0; i < FILES_MAX; i++) {
        if (m->file[i].used && strcmp(m->file[i].name, path) == 0) {
            return &m->file[i];
        }
    }
    return NULL;
}

static void
drop(struct inode *f)
{
    free(f->data);
    free(f->synced);
    free(f->dirty);
    *f = (struct inode){0};
}

static uint64_t
used_bytes(const struct mem_fs *m)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < FILES_MAX; i++) {
        n += m->file[i].used && m->file[i].name[0] != 0 ? m->file[i].len : 0;
    }
    return n;
}

/* Makes the file that long; false: no room. */
static bool
reach(struct mem_fs *m, struct inode *f, uint64_t len)
{
    if (len <= f->len) {
        return true;
    }
    if (m->capacity != 0 && used_bytes(m) + (len - f->len) > m->capacity) {
        return false;
    }
    if (len > f->cap) {
        uint64_t cap = pw_align_up(len + len / 2, SECTOR);

        f->data = realloc(f->data, cap);
        f->synced = realloc(f->synced, cap);
        f->dirty = realloc(f->dirty, cap / SECTOR);
        PW_INVARIANT(f->data != NULL && f->synced != NULL && f->dirty != NULL);
        memset(f->data + f->cap, 0, cap - f->cap);
        memset(f->synced + f->cap, 0, cap - f->cap);
        memset(f->dirty + f->cap / SECTOR, 0, (cap - f->cap) / SECTOR);
        f->cap = cap;
    }
    f->len = len;
    return true;
}

static int
give_fd(struct mem_fs *m, struct inode *f)
{
    for (int i = 0; i < FDS_MAX; i++) {
        if (m->fd[i] == NULL) {
            m->fd[i] = f;
            return i;
        }
    }
    PW_UNREACHABLE("too many descriptors: somebody does not close them");
}

static struct inode *
file_of(struct mem_fs *m, int fd)
{
    PW_INVARIANT(fd >= 0 && fd < FDS_MAX && m->fd[fd] != NULL);
    return m->fd[fd];
}

static int
mem_open(void *ctx, const char *path, enum pw_fs_open how)
{
    struct mem_fs *m = ctx;
    struct inode *f = find(m, path);
    int rc = judge_plain(m);

    if (rc != 0) {
        return rc;
    }
    if (how == PW_FS_READ || how == PW_FS_REUSE_DIRECT) {
        return f == NULL ? PW_ENOENT : give_fd(m, f);
    }
    if (f != NULL && how != PW_FS_LOCK) {
        return PW_EEXIST;
    }
    for (uint32_t i = 0; f == NULL && i < FILES_MAX; i++) {
        if (!m->file[i].used) {
            f = &m->file[i];
            f->used = true;
            snprintf(f->name, sizeof(f->name), "%s", path);
        }
    }
    PW_INVARIANT(f != NULL);
    if (how == PW_FS_LOCK && f->locked) {
        return PW_EBUSY;
    }
    f->locked = how == PW_FS_LOCK;
    return give_fd(m, f);
}

static int
mem_close(void *ctx, int fd)
{
    struct mem_fs *m = ctx;
    struct inode *f = file_of(m, fd);

    f->locked = false;
    m->fd[fd] = NULL;
    return 0;
}

static int64_t
mem_write(void *ctx, int fd, const void *buf, size_t n, uint64_t off)
{
    struct mem_fs *m = ctx;
    struct inode *f = file_of(m, fd);
    enum mem_fs_fault fault = judge(m);
    size_t take = fault == MEM_FS_SHORT || fault == MEM_FS_TORN ? (n + 1) / 2 : n;

    if (fault == MEM_FS_ERROR || fault == MEM_FS_NOSPC) {
        return fault == MEM_FS_ERROR ? PW_EIO : PW_ENOSPC;
    }
    if (!reach(m, f, off + take)) {
        return PW_ENOSPC;
    }
    memcpy(f->data + off, buf, take);
    for (uint64_t s = off / SECTOR; take != 0 && s <= (off + take - 1) / SECTOR; s++) {
        f->dirty[s] = 1;
    }
    return fault == MEM_FS_TORN ? PW_EIO : (int64_t)take;
}

static int
mem_sync(void *ctx, int fd)
{
    struct mem_fs *m = ctx;
    struct inode *f = file_of(m, fd);
    int rc = judge_plain(m);

    for (uint64_t s = 0; s * SECTOR < f->cap; s++) {
        if (f->dirty[s] != 0 && rc == 0) {
            memcpy(f->synced + s * SECTOR, f->data + s * SECTOR, SECTOR);
        }
        f->dirty[s] = 0; /* also after a failure: nobody will write it any more */
    }
    f->synced_len = rc == 0 ? f->len : f->synced_len;
    return rc;
}

static int
mem_write_sync(void *ctx, int fd, const void *buf, size_t n, uint64_t off)
{
    struct mem_fs *m = ctx;
    int rc = pw_fs_write_all_cold(&m->table, fd, buf, n, off);

    return rc != 0 ? rc : mem_sync(ctx, fd);
}

static int64_t
mem_read(void *ctx, int fd, void *buf, size_t n, uint64_t off)
{
    struct mem_fs *m = ctx;
    struct inode *f = file_of(m, fd);
    enum mem_fs_fault fault = judge(m);

    if (fault == MEM_FS_SHORT) {
        n = (n + 1) / 2;
    } else if (fault != MEM_FS_NO_FAULT) {
        return PW_EIO;
    }
    if (off >= f->len) {
        return 0;
    }
    n = n < f->len - off ? n : (size_t)(f->len - off);
    memcpy(buf, f->data + off, n);
    return (int64_t)n;
}

static int64_t
mem_size(void *ctx, int fd)
{
    struct mem_fs *m = ctx;
    int rc = judge_plain(m);

    return rc != 0 ? rc : (int64_t)file_of(m, fd)->len;
}

static int
mem_allocate(void *ctx, int fd, uint64_t bytes)
{
    struct mem_fs *m = ctx;
    int rc = judge_plain(m);

    return rc != 0 ? rc : reach(m, file_of(m, fd), bytes) ? 0 : PW_ENOSPC;
}

static int
mem_truncate(void *ctx, int fd, uint64_t bytes)
{
    struct mem_fs *m = ctx;
    struct inode *f = file_of(m, fd);
    int rc = judge_plain(m);

    if (rc == 0 && bytes < f->len) {
        memset(f->data + bytes, 0, f->cap - bytes);
        f->len = bytes;
    }
    return rc != 0 ? rc : reach(m, f, bytes) ? 0 : PW_ENOSPC;
}

/* The file is below the directory: what its name has behind it and the slash, or NULL. */
static const char *
below(const char *name, const char *dir)
{
    size_t len = strlen(dir);

    return strncmp(name, dir, len) == 0 && name[len] == '/' ? name + len + 1 : NULL;
}

/* A directory is what its files' names begin with: true when there was any. */
static bool
rename_directory(struct mem_fs *m, const char *from, const char *to)
{
    bool any = false;

    for (uint32_t i = 0; i < FILES_MAX; i++) {
        struct inode *f = &m->file[i];
        const char *rest = f->used ? below(f->name, from) : NULL;
        char name[sizeof(f->name)];

        if (rest != NULL) {
            PW_INVARIANT((size_t)snprintf(name, sizeof(name), "%s/%s", to, rest) < sizeof(name));
            memcpy(f->name, name, sizeof(f->name));
            any = true;
        }
    }
    return any;
}

static int
mem_rename(void *ctx, const char *from, const char *to)
{
    struct mem_fs *m = ctx;
    struct inode *f = find(m, from);
    struct inode *old = find(m, to);
    int rc = judge_plain(m);

    if (rc == 0 && f == NULL && rename_directory(m, from, to)) {
        return 0;
    }
    if (rc != 0 || f == NULL) {
        return rc != 0 ? rc : PW_ENOENT;
    }
    if (old != NULL) {
        old->name[0] = 0;
    }
    snprintf(f->name, sizeof(f->name), "%s", to);
    return 0;
}

static int
mem_unlink(void *ctx, const char *path)
{
    struct mem_fs *m = ctx;
    struct inode *f = find(m, path);
    int rc = judge_plain(m);

    if (rc != 0 || f == NULL) {
        return rc != 0 ? rc : PW_ENOENT;
    }
    f->name[0] = 0;
    return 0;
}

static int
mem_mkdir(void *ctx, const char *path)
{
    return judge_plain(ctx);
}

static int
mem_rmdir(void *ctx, const char *path)
{
    return judge_plain(ctx);
}

/* A sync of the directory settles the names in it, names gone from it, and directories in it that were
 * renamed: those take along the files that were settled inside of them. */
static bool
is_settled(const struct inode *f, const char *dir)
{
    const char *now = below(f->name, dir), *then = below(f->durable, dir);

    if (now != NULL && strchr(now, '/') == NULL) {
        return true;
    }
    return now != NULL ? f->durable[0] != 0 : then != NULL && strchr(then, '/') == NULL;
}

static int
mem_sync_dir(void *ctx, const char *path)
{
    struct mem_fs *m = ctx;
    int rc = judge_plain(m);

    for (uint32_t i = 0; rc == 0 && i < FILES_MAX; i++) {
        struct inode *f = &m->file[i];

        if (f->used && is_settled(f, path)) {
            memcpy(f->durable, f->name, sizeof(f->durable));
        }
    }
    return rc;
}

static int
mem_list(void *ctx, const char *path, pw_fs_name_fn each, void *arg)
{
    struct mem_fs *m = ctx;
    size_t len = strlen(path);
    int rc = judge_plain(m);

    for (uint32_t i = 0; rc == 0 && i < FILES_MAX; i++) {
        const char *name = m->file[i].name;

        if (m->file[i].used && strncmp(name, path, len) == 0 && name[len] == '/') {
            each(arg, name + len + 1);
        }
    }
    return rc;
}

static int64_t
mem_free_bytes(void *ctx, const char *path)
{
    struct mem_fs *m = ctx;
    int rc = judge_plain(m);
    uint64_t used = used_bytes(m);

    return rc != 0 ? rc : m->capacity == 0 ? INT64_MAX : (int64_t)(m->capacity - used);
}

struct mem_fs *
mem_fs_new(void)
{
    struct mem_fs *m = calloc(1, sizeof(*m));

    PW_INVARIANT(m != NULL);
    m->table = (struct pw_fs){
        .ctx = m,
        .open = mem_open,
        .close = mem_close,
        .write = mem_write,
        .sync = mem_sync,
        .write_sync = mem_write_sync,
        .read = mem_read,
        .size = mem_size,
        .allocate = mem_allocate,
        .truncate = mem_truncate,
        .rename = mem_rename,
        .unlink = mem_unlink,
        .mkdir = mem_mkdir,
        .rmdir = mem_rmdir,
        .sync_dir = mem_sync_dir,
        .list = mem_list,
        .free_bytes = mem_free_bytes,
    };
    return m;
}

void
mem_fs_free(struct mem_fs *m)
{
    for (uint32_t i = 0; i < FILES_MAX; i++) {
        drop(&m->file[i]);
    }
    free(m);
}

const struct pw_fs *
mem_fs_table(struct mem_fs *m)
{
    return &m->table;
}

void
mem_fs_fail(struct mem_fs *m, enum mem_fs_fault fault, uint64_t at, uint64_t times)
{
    m->fault = fault;
    m->fault_at = at;
    m->fault_times = times;
    m->calls = 0;
}

uint64_t
mem_fs_calls(const struct mem_fs *m)
{
    return m->calls;
}

void
mem_fs_capacity(struct mem_fs *m, uint64_t bytes)
{
    m->capacity = bytes;
}

void
mem_fs_kill(struct mem_fs *m)
{
    memset(m->fd, 0, sizeof(m->fd));
    for (uint32_t i = 0; i < FILES_MAX; i++) {
        m->file[i].locked = false;
    }
}

static uint64_t
draw(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed * 0x2545F4914F6CDD1DULL >> 7;
}

void
mem_fs_crash(struct mem_fs *m, uint64_t seed)
{
    /* All names or none: a rename must not lose both of its ends. */
    bool names_kept = seed != 0 && draw(&seed) % 2 == 0;

    mem_fs_kill(m);
    for (uint32_t i = 0; i < FILES_MAX; i++) {
        struct inode *f = &m->file[i];

        if (!f->used) {
            continue;
        }
        memcpy(f->name, names_kept ? f->name : f->durable, sizeof(f->name));
        memcpy(f->durable, f->name, sizeof(f->durable));
        if (f->name[0] == 0) {
            drop(f);
            continue;
        }
        for (uint64_t s = 0; s * SECTOR < f->cap; s++) {
            if (f->dirty[s] != 0 && seed != 0 && draw(&seed) % 2 == 0) {
                memcpy(f->synced + s * SECTOR, f->data + s * SECTOR, SECTOR);
                f->synced_len = f->synced_len > (s + 1) * SECTOR ? f->synced_len
                                : (s + 1) * SECTOR < f->len      ? (s + 1) * SECTOR
                                                                 : f->len;
            }
            f->dirty[s] = 0;
        }
        f->len = f->synced_len;
        if (f->cap != 0) {
            memcpy(f->data, f->synced, f->cap);
        }
        if (f->cap > f->len) {
            memset(f->data + f->len, 0, f->cap - f->len);
            memset(f->synced + f->len, 0, f->cap - f->len);
        }
    }
}

uint8_t *
mem_fs_bytes(struct mem_fs *m, const char *path, uint64_t *len)
{
    struct inode *f = find(m, path);

    *len = f == NULL ? 0 : f->len;
    return f == NULL ? NULL : f->data;
}

const char *
mem_fs_name(struct mem_fs *m, uint32_t i)
{
    for (uint32_t k = 0; k < FILES_MAX; k++) {
        if (m->file[k].used && m->file[k].name[0] != 0 && i-- == 0) {
            return m->file[k].name;
        }
    }
    return NULL;
}
