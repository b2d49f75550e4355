#include "ingester/flush_journal.h"

#include "store/block/block_writer.h"

#include <stdio.h>
#include <stdlib.h>

static const char prefix[] = "~flush-";
static const char first_line[] = "pyrowire flush 1\n";

/* --- Paths ------------------------------------------------------------------------------------- */

static int
fail(struct pw_text *why, int rc, const char *what, const char *path)
{
    pw_text_printf(why, "%s %s: %s", what, path, pw_err_text(rc));
    return rc;
}

/* <data>/<a>[/<b>[/<c>]] */
static int
join(const struct pw_journal_dir *d, const char *a, const char *b, const char *c,
     char path[PW_FS_PATH_MAX])
{
    int n = snprintf(path, PW_FS_PATH_MAX, "%s/%s%s%s%s%s", d->data_path, a, b == NULL ? "" : "/",
                     b == NULL ? "" : b, c == NULL ? "" : "/", c == NULL ? "" : c);

    return n < PW_FS_PATH_MAX ? 0 : PW_EMSGSIZE;
}

static int
block_path(const struct pw_journal_dir *d, const struct pw_journal_block *b, const char *sub,
           char path[PW_FS_PATH_MAX])
{
    char ulid[PW_ULID_CHARS + 1];

    pw_ulid_print(&b->ulid, ulid);
    return join(d, b->tenant, sub, ulid, path);
}

/* --- Lists of names ------------------------------------------------------------------------------ */

struct names {
    char **name;
    uint32_t count, cap;
    bool failed;
};

static void
add_name(void *arg, const char *name)
{
    struct names *n = arg;

    if (n->count == n->cap) {
        uint32_t cap = n->cap * 2 + 8;
        char **grown = realloc((void *)n->name, cap * sizeof(*grown));

        if (grown == NULL) {
            n->failed = true;
            return;
        }
        n->name = grown;
        n->cap = cap;
    }
    n->name[n->count] = strdup(name);
    n->failed |= n->name[n->count] == NULL;
    n->count += n->name[n->count] != NULL ? 1 : 0;
}

static void
free_names(struct names *n)
{
    for (uint32_t i = 0; i < n->count; i++) {
        free(n->name[i]);
    }
    free((void *)n->name);
    *n = (struct names){0};
}

static int
by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The entries of a directory in order; a missing one has none. To be freed whatever is returned. */
static int
list_names(const struct pw_journal_dir *d, const char *path, struct names *n)
{
    *n = (struct names){0};
    int rc = d->fs->list(d->fs->ctx, path, add_name, n);

    if (n->count > 1) {
        qsort((void *)n->name, n->count, sizeof(*n->name), by_name);
    }
    if (rc == PW_ENOENT || rc == -ENOTDIR) {
        return 0;
    }
    return rc != 0 ? rc : n->failed ? PW_ENOMEM : 0;
}

int
pw_journal_ulids(const struct pw_journal_dir *d, const char *dir, pw_journal_ulid_fn fn, void *ctx)
{
    struct names n;
    int rc = list_names(d, dir, &n);

    for (uint32_t i = 0; rc == 0 && i < n.count; i++) {
        struct pw_ulid ulid;

        if (pw_ulid_parse(&ulid, pw_slice_str(n.name[i])) == 0) {
            rc = fn(ctx, &ulid);
        }
    }
    free_names(&n);
    return rc;
}

static bool
has_dir(const struct pw_journal_dir *d, const char *tenant, const char *sub)
{
    char path[PW_FS_PATH_MAX];
    struct names n;
    bool there;

    if (join(d, tenant, sub, NULL, path) != 0) {
        return false;
    }
    there = d->fs->list(d->fs->ctx, path, add_name, memset(&n, 0, sizeof(n))) == 0;
    free_names(&n);
    return there;
}

int
pw_journal_tenants(const struct pw_journal_dir *d, pw_journal_tenant_fn fn, void *ctx)
{
    struct names n;
    int rc = list_names(d, d->data_path, &n);

    for (uint32_t i = 0; rc == 0 && i < n.count; i++) {
        if (strlen(n.name[i]) <= PW_TENANT_BYTES_MAX &&
            (has_dir(d, n.name[i], "local") || has_dir(d, n.name[i], "head"))) {
            rc = fn(ctx, n.name[i]);
        }
    }
    free_names(&n);
    return rc;
}

/* --- A journal in memory -------------------------------------------------------------------------- */

int
pw_journal_add(struct pw_journal *j, struct pw_slice tenant, const struct pw_ulid *ulid)
{
    struct pw_journal_block *b;

    if (tenant.len == 0 || tenant.len > PW_TENANT_BYTES_MAX) {
        return PW_EINVAL;
    }
    if (j->count == j->cap) {
        uint32_t cap = j->cap * 2 + 4;
        struct pw_journal_block *grown = realloc(j->block, cap * sizeof(*grown));

        if (grown == NULL) {
            return PW_ENOMEM;
        }
        j->block = grown;
        j->cap = cap;
    }
    b = &j->block[j->count++];
    *b = (struct pw_journal_block){.ulid = *ulid};
    memcpy(b->tenant, tenant.ptr, tenant.len);
    return 0;
}

void
pw_journal_fini(struct pw_journal *j)
{
    free(j->block);
    *j = (struct pw_journal){0};
}

/* --- Staging ------------------------------------------------------------------------------------- */

int
pw_journal_stage_dir(const struct pw_journal_dir *d, struct pw_slice tenant,
                     char path[PW_FS_PATH_MAX], struct pw_text *why)
{
    char name[PW_TENANT_BYTES_MAX + 1] = "";
    int rc = tenant.len > PW_TENANT_BYTES_MAX ? PW_EMSGSIZE : 0;

    if (rc == 0) {
        memcpy(name, tenant.ptr, tenant.len);
        rc = join(d, name, NULL, NULL, path);
    }
    rc = rc != 0 ? rc : pw_fs_mkdirs_cold(d->fs, path);
    rc = rc != 0 ? rc : join(d, name, "head", NULL, path);
    rc = rc != 0 ? rc : pw_fs_mkdirs_cold(d->fs, path);
    return rc == 0 ? 0 : fail(why, rc, "make", path);
}

/* A block we staged has files only. What cannot be removed stays: the next start tries again. */
static void
remove_block(const struct pw_journal_dir *d, const char *path)
{
    char file[PW_FS_PATH_MAX];
    struct names n;

    if (list_names(d, path, &n) == 0) {
        for (uint32_t i = 0; i < n.count; i++) {
            if (snprintf(file, sizeof(file), "%s/%s", path, n.name[i]) < PW_FS_PATH_MAX) {
                (void)d->fs->unlink(d->fs->ctx, file);
            }
        }
        (void)d->fs->rmdir(d->fs->ctx, path);
    }
    free_names(&n);
}

void
pw_journal_undo(const struct pw_journal_dir *d, const struct pw_journal *j)
{
    char path[PW_FS_PATH_MAX];

    for (uint32_t i = 0; i < j->count; i++) {
        if (block_path(d, &j->block[i], "head", path) == 0) {
            remove_block(d, path);
        }
    }
}

/* --- The file ------------------------------------------------------------------------------------ */

static void
print(const struct pw_journal *j, struct pw_text *t)
{
    char ulid[PW_ULID_CHARS + 1];

    pw_text_str(t, first_line);
    if (j->has_mark) {
        char mark[PW_WAL_MARK_TEXT_MAX];

        pw_text_str(t, "log ");
        pw_text_put(t, mark, pw_wal_mark_write(&j->mark, mark)); /* with its newline */
    }
    for (uint32_t i = 0; i < j->count; i++) {
        pw_ulid_print(&j->block[i].ulid, ulid);
        pw_text_printf(t, "block %s %s\n", ulid, j->block[i].tenant);
    }
    pw_text_str(t, "end\n");
}

int
pw_journal_write(const struct pw_journal_dir *d, struct pw_journal *j, struct pw_text *why)
{
    char name[PW_JOURNAL_NAME_MAX], path[PW_FS_PATH_MAX], ulid[PW_ULID_CHARS + 1];
    struct pw_text t;
    int rc;

    pw_ulid_print(&j->block[0].ulid, ulid);
    snprintf(name, sizeof(name), "%s%s", prefix, ulid);
    rc = join(d, name, NULL, NULL, path);
    if (rc != 0) {
        return fail(why, rc, "write", path);
    }
    pw_text_init(&t, PW_JOURNAL_BYTES_MAX);
    print(j, &t);
    rc = t.failed ? PW_ENOMEM : pw_fs_replace_cold(d->fs, path, pw_slice(t.ptr, t.len));
    pw_text_fini(&t);
    if (rc != 0) {
        return fail(why, rc, "write", path);
    }
    snprintf(j->name, sizeof(j->name), "%s%s", prefix, ulid);
    /* From here on a crash may find it. A sync that fails leaves that open, and is tried again by
     * pw_journal_move, before anything is moved. */
    return 0;
}

/* --- Moving -------------------------------------------------------------------------------------- */

static int
move_block(const struct pw_journal_dir *d, const struct pw_journal_block *b)
{
    char from[PW_FS_PATH_MAX], to[PW_FS_PATH_MAX], dir[PW_FS_PATH_MAX];
    int rc = join(d, b->tenant, "local", NULL, dir);

    rc = rc != 0 ? rc : block_path(d, b, "head", from);
    rc = rc != 0 ? rc : block_path(d, b, "local", to);
    rc = rc != 0 ? rc : pw_fs_mkdirs_cold(d->fs, dir);
    rc = rc != 0 ? rc : d->fs->rename(d->fs->ctx, from, to);
    /* Moved already; or even let go by retention since. */
    return rc == PW_ENOENT ? 0 : rc;
}

static int
sync_tenant(const struct pw_journal_dir *d, const char *tenant)
{
    char path[PW_FS_PATH_MAX];
    int rc = join(d, tenant, "local", NULL, path);

    rc = rc != 0 ? rc : d->fs->sync_dir(d->fs->ctx, path);
    rc = rc != 0 ? rc : join(d, tenant, "head", NULL, path);
    rc = rc != 0 ? rc : d->fs->sync_dir(d->fs->ctx, path);
    return rc == PW_ENOENT ? 0 : rc; /* at recovery: nothing is staged there any more */
}

int
pw_journal_move(const struct pw_journal_dir *d, const struct pw_journal *j, struct pw_text *why)
{
    int rc = d->fs->sync_dir(d->fs->ctx, d->data_path); /* the journal's own name */

    if (rc != 0) {
        return fail(why, rc, "sync", d->data_path);
    }
    for (uint32_t i = 0; i < j->count; i++) {
        const char *tenant = j->block[i].tenant;

        rc = move_block(d, &j->block[i]);
        /* Blocks of one tenant follow one another. */
        if (rc == 0 && (i + 1 == j->count || strcmp(tenant, j->block[i + 1].tenant) != 0)) {
            rc = sync_tenant(d, tenant);
        }
        if (rc != 0) {
            return fail(why, rc, "move a block of", tenant);
        }
    }
    return 0;
}

int
pw_journal_remove(const struct pw_journal_dir *d, const struct pw_journal *j, struct pw_text *why)
{
    char path[PW_FS_PATH_MAX];
    int rc = join(d, j->name, NULL, NULL, path);

    rc = rc != 0 ? rc : d->fs->unlink(d->fs->ctx, path);
    return rc == 0 || rc == PW_ENOENT ? 0 : fail(why, rc, "remove", path);
}

/* --- Recovery ------------------------------------------------------------------------------------ */

static bool
take(struct pw_slice *s, const char *word)
{
    size_t n = strlen(word);

    if (s->len < n || memcmp(s->ptr, word, n) != 0) {
        return false;
    }
    *s = pw_slice(s->ptr + n, s->len - n);
    return true;
}

/* The line without its newline; false: there is none. */
static bool
take_line(struct pw_slice *s, struct pw_slice *line)
{
    const uint8_t *nl = s->len == 0 ? NULL : memchr(s->ptr, '\n', s->len);

    if (nl == NULL) {
        return false;
    }
    *line = pw_slice(s->ptr, (size_t)(nl - s->ptr));
    *s = pw_slice(nl + 1, s->len - line->len - 1);
    return true;
}

/* A tenant from a file becomes part of a path. */
static bool
is_tenant(struct pw_slice s)
{
    return s.len > 0 && s.len <= PW_TENANT_BYTES_MAX && memchr(s.ptr, '/', s.len) == NULL &&
           memchr(s.ptr, 0, s.len) == NULL && !pw_slice_eq_str(s, ".") && !pw_slice_eq_str(s, "..");
}

static int
parse_line(struct pw_journal *j, struct pw_slice line)
{
    struct pw_ulid ulid;

    if (take(&line, "log ")) {
        j->has_mark = true;
        /* With the newline that follows it in the file. */
        return pw_wal_mark_read(pw_slice(line.ptr, line.len + 1), &j->mark);
    }
    if (!take(&line, "block ") || line.len < PW_ULID_CHARS + 2 ||
        pw_ulid_parse(&ulid, pw_slice(line.ptr, PW_ULID_CHARS)) != 0 ||
        line.ptr[PW_ULID_CHARS] != ' ') {
        return PW_EINVAL;
    }
    line = pw_slice(line.ptr + PW_ULID_CHARS + 1, line.len - PW_ULID_CHARS - 1);
    return is_tenant(line) ? pw_journal_add(j, line, &ulid) : PW_EINVAL;
}

static int
parse(struct pw_journal *j, struct pw_slice s)
{
    struct pw_slice line;

    if (!take(&s, first_line)) {
        return PW_EINVAL;
    }
    while (take_line(&s, &line)) {
        if (pw_slice_eq_str(line, "end")) {
            return s.len == 0 && j->count > 0 ? 0 : PW_EINVAL;
        }
        int rc = parse_line(j, line);

        if (rc != 0) {
            return rc;
        }
    }
    return PW_EINVAL;
}

static int
read_journal(const struct pw_journal_dir *d, const char *name, struct pw_journal *j)
{
    char path[PW_FS_PATH_MAX];
    uint8_t *bytes = NULL;
    int64_t size, n = 0;
    int rc = join(d, name, NULL, NULL, path);
    int fd = rc != 0 ? rc : d->fs->open(d->fs->ctx, path, PW_FS_READ);

    *j = (struct pw_journal){0};
    if (fd < 0) {
        return fd;
    }
    snprintf(j->name, sizeof(j->name), "%s", name);
    size = d->fs->size(d->fs->ctx, fd);
    if (size < 0 || size > PW_JOURNAL_BYTES_MAX) {
        rc = size < 0 ? (int)size : PW_EINVAL;
    } else if ((bytes = malloc((size_t)size + 1)) == NULL) {
        rc = PW_ENOMEM;
    } else {
        n = pw_fs_read_all_cold(d->fs, fd, bytes, (size_t)size, 0);
        rc = n < 0 ? (int)n : parse(j, pw_slice(bytes, (size_t)n));
    }
    free(bytes);
    (void)d->fs->close(d->fs->ctx, fd);
    if (rc != 0) {
        pw_journal_fini(j);
    }
    return rc;
}

struct cleaning {
    const struct pw_journal_dir *d;
    const char *tenant;
};

static int
remove_staged(void *ctx, const struct pw_ulid *ulid)
{
    const struct cleaning *c = ctx;
    char path[PW_FS_PATH_MAX], name[PW_ULID_CHARS + 1];

    pw_ulid_print(ulid, name);
    if (join(c->d, c->tenant, "head", name, path) == 0) {
        remove_block(c->d, path);
    }
    return 0;
}

static int
clean_tenant(void *ctx, const char *tenant)
{
    struct cleaning c = {.d = ctx, .tenant = tenant};
    char path[PW_FS_PATH_MAX];
    int rc = join(c.d, tenant, "head", NULL, path);
    struct pw_block_error err;

    if (rc != 0) {
        return rc;
    }
    /* One that was being written when the machine stopped. What cannot be looked at, the next line says. */
    (void)!pw_block_remove_leftovers(path, c.d->fs, &err);
    return pw_journal_ulids(c.d, path, remove_staged, &c);
}

/* Journals by name, and temporary ones that a crash left. */
static int
read_all(const struct pw_journal_dir *d, const struct names *n, struct pw_journal *list,
         uint32_t *count, struct pw_text *why)
{
    for (uint32_t i = 0; i < n->count; i++) {
        struct pw_slice s = pw_slice_str(n->name[i]);
        struct pw_ulid ulid;
        char path[PW_FS_PATH_MAX];
        int rc;

        if (!take(&s, prefix) || s.len < PW_ULID_CHARS ||
            pw_ulid_parse(&ulid, pw_slice(s.ptr, PW_ULID_CHARS)) != 0) {
            continue;
        }
        rc = s.len == PW_ULID_CHARS ? read_journal(d, n->name[i], &list[*count]) : PW_EINVAL;
        if (rc == 0) {
            ++*count;
        } else if (rc != PW_EINVAL) {
            return fail(why, rc, "read", n->name[i]);
        } else if (join(d, n->name[i], NULL, NULL, path) == 0) {
            (void)d->fs->unlink(d->fs->ctx, path);
        }
    }
    return 0;
}

int
pw_journal_recover(const struct pw_journal_dir *d, struct pw_journal **list, uint32_t *count,
                   struct pw_text *why)
{
    struct names n;
    int rc = list_names(d, d->data_path, &n);

    *count = 0;
    *list = calloc(n.count + 1U, sizeof(**list));
    if (rc != 0 || *list == NULL) {
        free_names(&n);
        return fail(why, rc != 0 ? rc : PW_ENOMEM, "list", d->data_path);
    }
    rc = read_all(d, &n, *list, count, why);
    free_names(&n);
    for (uint32_t i = 0; rc == 0 && i < *count; i++) {
        rc = pw_journal_move(d, &(*list)[i], why);
    }
    if (rc != 0) {
        return rc;
    }
    rc = pw_journal_tenants(d, clean_tenant, (void *)(uintptr_t)d);
    return rc == 0 ? 0 : fail(why, rc, "clean", d->data_path);
}
