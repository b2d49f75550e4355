#include "store/objstore/objstore.h"

#include "store/objstore/backend.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct pw_objstore {
    void *ctx;
    const struct pw_objstore_ops *ops;
    struct pw_objstore_cfg cfg;
    struct pw_objstore *twin_of;        /* or NULL */
    char prefix[PW_OBJECT_KEY_MAX + 1]; /* "" or ending in '/' */
    _Atomic uint64_t done[PW_OBJSTORE_OPS];
    _Atomic uint64_t failed[PW_OBJSTORE_OPS];
    _Atomic uint64_t bytes_put, bytes_got;
    _Atomic uint64_t twins_retries;
};

/* A listing on its way back: the caller's keys are without the prefix. */
struct list_strip {
    const char *prefix;
    pw_objstore_found_fn *found;
    void *arg;
};

int
pw_objstore_fail(struct pw_objstore_why *why, int err, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(why->text, sizeof(why->text), fmt, ap);
    va_end(ap);
    return err;
}

/* No empty, "." or ".." segment, no leading '/': nothing a directory backend could be led astray by.
 * `dir`: empty, or ends in '/'. */
static bool
key_valid(const char *key, bool dir)
{
    size_t len = strlen(key);
    const char *seg = key;

    if (dir) {
        if (len == 0) {
            return true;
        }
        if (key[--len] != '/') {
            return false;
        }
    }
    if (len == 0 || len > PW_OBJECT_KEY_MAX) {
        return false;
    }
    for (const char *end = key + len; seg <= end;) {
        const char *slash = memchr(seg, '/', (size_t)(end - seg));
        size_t n = (size_t)((slash != NULL ? slash : end) - seg);

        if (n == 0 || (n == 1 && seg[0] == '.') || (n == 2 && seg[0] == '.' && seg[1] == '.')) {
            return false;
        }
        seg += n + 1;
    }
    return true;
}

/* Contract storage.md 6: segments of [A-Za-z0-9_.-] that do not start with a digit. */
static bool
prefix_valid(const char *prefix)
{
    bool at_start = true;

    for (const char *p = prefix; *p != 0; p++) {
        bool digit = *p >= '0' && *p <= '9';
        uint8_t lower = pw_ascii_lower((uint8_t)*p);

        if (*p == '/') {
            at_start = true;
            continue;
        }
        if (!(lower >= 'a' && lower <= 'z') && !digit && strchr("_.-", *p) == NULL) {
            return false;
        }
        if (at_start && digit) {
            return false;
        }
        at_start = false;
    }
    return true;
}

static int
set_prefix(struct pw_objstore *s, const char *prefix, struct pw_objstore_why *why)
{
    size_t len = strlen(prefix);

    if (len == 0) {
        return 0;
    }
    if (len >= PW_OBJECT_KEY_MAX / 2) {
        return pw_objstore_fail(why, PW_EINVAL, "storage prefix is longer than %d bytes",
                                PW_OBJECT_KEY_MAX / 2);
    }
    snprintf(s->prefix, sizeof(s->prefix), "%s%s", prefix, prefix[len - 1] == '/' ? "" : "/");
    if (!key_valid(s->prefix, true) || !prefix_valid(s->prefix)) {
        return pw_objstore_fail(
            why, PW_EINVAL,
            "storage prefix \"%s\": segments of letters, digits, '_', '.', '-' that start with no "
            "digit, separated by '/'",
            prefix);
    }
    return 0;
}

int
pw_objstore_open(struct pw_objstore **out, const struct pw_objstore_cfg *cfg,
                 struct pw_objstore_why *why)
{
    struct pw_objstore *s = calloc(1, sizeof(*s));
    int rc;

    if (s == NULL) {
        return pw_objstore_fail(why, PW_ENOMEM, "out of memory");
    }
    s->cfg = *cfg;
    rc = set_prefix(s, cfg->prefix, why);
    if (rc == 0) {
        switch (cfg->backend) {
        case PW_OBJSTORE_FILESYSTEM:
            rc = pw_objstore_fs_open(&s->ctx, &s->ops, cfg, why);
            break;
        case PW_OBJSTORE_S3:
            rc = pw_objstore_s3_open(&s->ctx, &s->ops, cfg, why);
            break;
        case PW_OBJSTORE_NONE:
        default:
            rc = pw_objstore_fail(why, PW_EINVAL, "no storage backend is configured");
            break;
        }
    }
    if (rc != 0) {
        free(s);
        return rc;
    }
    *out = s;
    return 0;
}

int
pw_objstore_open_twin(struct pw_objstore **twin, struct pw_objstore *s, struct pw_objstore_why *why)
{
    int rc = pw_objstore_open(twin, &s->cfg, why);

    if (rc == 0) {
        (*twin)->twin_of = s;
    }
    return rc;
}

static void
add_stats(struct pw_objstore *to, const struct pw_objstore *from)
{
    struct pw_objstore_stats st;

    pw_objstore_stats(from, &st);
    for (int op = 0; op < PW_OBJSTORE_OPS; op++) {
        atomic_fetch_add_explicit(&to->done[op], st.done[op], memory_order_relaxed);
        atomic_fetch_add_explicit(&to->failed[op], st.failed[op], memory_order_relaxed);
    }
    atomic_fetch_add_explicit(&to->bytes_put, st.bytes_put, memory_order_relaxed);
    atomic_fetch_add_explicit(&to->bytes_got, st.bytes_got, memory_order_relaxed);
    atomic_fetch_add_explicit(&to->twins_retries, st.retries, memory_order_relaxed);
}

void
pw_objstore_close(struct pw_objstore *s)
{
    if (s == NULL) {
        return;
    }
    if (s->twin_of != NULL) {
        add_stats(s->twin_of, s);
    }
    s->ops->close(s->ctx);
    free(s);
}

/* Counts the operation; passes rc on. */
static int
counted(struct pw_objstore *s, enum pw_objstore_op op, int rc)
{
    atomic_fetch_add_explicit(&s->done[op], 1, memory_order_relaxed);
    if (rc < 0 && rc != PW_ENOENT) {
        atomic_fetch_add_explicit(&s->failed[op], 1, memory_order_relaxed);
    }
    return rc;
}

/* The key as the backend knows it, in `full` (PW_OBJECT_KEY_MAX + 1 bytes). */
static int
full_key(const struct pw_objstore *s, const char *key, bool dir, char *full,
         struct pw_objstore_why *why)
{
    size_t prefix = strlen(s->prefix), len = strlen(key);

    if (!key_valid(key, dir) || prefix + len > PW_OBJECT_KEY_MAX) {
        return pw_objstore_fail(why, PW_EINVAL, "object key \"%.200s\" is not a relative path",
                                key);
    }
    memcpy(full, s->prefix, prefix);
    memcpy(full + prefix, key, len + 1);
    return 0;
}

int
pw_objstore_check(struct pw_objstore *s, struct pw_objstore_why *why)
{
    return counted(s, PW_OBJSTORE_OP_LIST, s->ops->check(s->ctx, why));
}

int
pw_objstore_put(struct pw_objstore *s, const char *key, struct pw_slice body,
                struct pw_objstore_why *why)
{
    char full[PW_OBJECT_KEY_MAX + 1];
    int rc = full_key(s, key, false, full, why);

    if (rc != 0) {
        return rc;
    }
    rc = counted(s, PW_OBJSTORE_OP_PUT, s->ops->put(s->ctx, full, body, why));
    if (rc == 0) {
        atomic_fetch_add_explicit(&s->bytes_put, body.len, memory_order_relaxed);
    }
    return rc;
}

int
pw_objstore_put_file(struct pw_objstore *s, const char *key, const char *path,
                     struct pw_objstore_why *why)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    void *map = NULL;
    int rc;

    if (fd < 0 || fstat(fd, &st) != 0) {
        rc = pw_objstore_fail(why, -errno, "%s: %m", path);
    } else if (st.st_size > 0 && (map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd,
                                             0)) == MAP_FAILED) {
        rc = pw_objstore_fail(why, -errno, "%s: mmap: %m", path);
    } else {
        rc = pw_objstore_put(s, key, pw_slice(map, (size_t)st.st_size), why);
        if (map != NULL) {
            munmap(map, (size_t)st.st_size);
        }
    }
    if (fd >= 0) {
        close(fd);
    }
    return rc;
}

int
pw_objstore_get(struct pw_objstore *s, const char *key, uint64_t from, uint64_t len,
                struct pw_text *out, struct pw_objstore_why *why)
{
    char full[PW_OBJECT_KEY_MAX + 1];
    size_t before = out->len;
    int rc = full_key(s, key, false, full, why);

    if (rc != 0) {
        return rc;
    }
    rc = counted(s, PW_OBJSTORE_OP_GET, s->ops->get(s->ctx, full, from, len, out, why));
    if (rc == 0) {
        atomic_fetch_add_explicit(&s->bytes_got, out->len - before, memory_order_relaxed);
    }
    return rc;
}

int
pw_objstore_stat(struct pw_objstore *s, const char *key, struct pw_object_info *info,
                 struct pw_objstore_why *why)
{
    char full[PW_OBJECT_KEY_MAX + 1];
    int rc = full_key(s, key, false, full, why);

    return rc != 0 ? rc : counted(s, PW_OBJSTORE_OP_STAT, s->ops->stat(s->ctx, full, info, why));
}

static int
strip_prefix(void *arg, const char *key, const struct pw_object_info *info)
{
    const struct list_strip *strip = arg;
    size_t n = strlen(strip->prefix);

    if (strncmp(key, strip->prefix, n) != 0) { /* a server that answers what was not asked */
        return PW_EPROTO;
    }
    return strip->found(strip->arg, key + n, info);
}

int
pw_objstore_list(struct pw_objstore *s, const char *dir, bool deep, pw_objstore_found_fn *found,
                 void *arg, struct pw_objstore_why *why)
{
    struct list_strip strip = {.prefix = s->prefix, .found = found, .arg = arg};
    char full[PW_OBJECT_KEY_MAX + 1];
    int rc = full_key(s, dir, true, full, why);

    return rc != 0 ? rc
                   : counted(s, PW_OBJSTORE_OP_LIST,
                             s->ops->list(s->ctx, full, deep, strip_prefix, &strip, why));
}

int
pw_objstore_delete(struct pw_objstore *s, const char *key, struct pw_objstore_why *why)
{
    char full[PW_OBJECT_KEY_MAX + 1];
    int rc = full_key(s, key, false, full, why);

    return rc != 0 ? rc : counted(s, PW_OBJSTORE_OP_DELETE, s->ops->remove(s->ctx, full, why));
}

void
pw_objstore_stats(const struct pw_objstore *s, struct pw_objstore_stats *st)
{
    *st = (struct pw_objstore_stats){
        .retries =
            s->ops->retries(s->ctx) + atomic_load_explicit(&s->twins_retries, memory_order_relaxed),
        .bytes_put = atomic_load_explicit(&s->bytes_put, memory_order_relaxed),
        .bytes_got = atomic_load_explicit(&s->bytes_got, memory_order_relaxed),
    };
    for (int op = 0; op < PW_OBJSTORE_OPS; op++) {
        st->done[op] = atomic_load_explicit(&s->done[op], memory_order_relaxed);
        st->failed[op] = atomic_load_explicit(&s->failed[op], memory_order_relaxed);
    }
}

const char *
pw_objstore_op_name(enum pw_objstore_op op)
{
    /* The words of objstore_bucket_operations_total (contract operations.md). */
    static const char *const name[PW_OBJSTORE_OPS] = {"upload", "get", "attributes", "iter",
                                                      "delete"};

    return name[op];
}
