#include "store/shipper.h"

#include "base/file.h"
#include "base/log.h"
#include "store/block/meta.h"

#include <dirent.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_MAX_ = 4096, SHIPPER_VERSION = 1 };

static const char module[] = "pw.store.shipper";

/* One block on its way. */
struct shipment {
    struct pw_objstore *bucket;
    char dir[PATH_MAX_];         /* local, of the block */
    char key[PW_OBJECT_KEY_MAX]; /* <tenant>/phlaredb/<ULID>, without '/' at the end */
    struct pw_block_meta meta;
    uint64_t bytes;
};

/* ---- shipper.json ------------------------------------------------------------------------------ */

static int
by_ulid(const void *a, const void *b)
{
    return pw_ulid_cmp(a, b);
}

static int
shipped_add(struct pw_shipped *s, const struct pw_ulid *u)
{
    if (s->count == s->cap) {
        uint32_t cap = s->cap == 0 ? 64 : s->cap * 2;
        struct pw_ulid *p = realloc(s->ulid, cap * sizeof(*p));

        if (p == NULL) {
            return PW_ENOMEM;
        }
        s->ulid = p;
        s->cap = cap;
    }
    s->ulid[s->count++] = *u;
    return 0;
}

int
pw_shipped_load(struct pw_shipped *s, const char *local_dir)
{
    char path[PATH_MAX_];
    struct pw_ulid ulid;
    json_error_t error;
    size_t i;
    json_t *root, *item;
    int rc = 0;

    *s = (struct pw_shipped){0};
    snprintf(path, sizeof(path), "%s/" PW_SHIPPER_FILE, local_dir);
    if (access(path, F_OK) != 0) {
        return 0;
    }
    root = json_load_file(path, 0, &error);
    if (root == NULL) {
        pw_log(PW_LOG_WARN, module,
               "msg=\"cannot read, every block is looked up in the bucket again\" file=%s line=%d "
               "error=\"%s\"",
               path, error.line, error.text);
        return 0;
    }
    json_array_foreach(json_object_get(root, "uploaded"), i, item)
    {
        const char *text = json_string_value(item);

        if (rc == 0 && text != NULL && pw_ulid_parse(&ulid, pw_slice_str(text)) == 0) {
            rc = shipped_add(s, &ulid);
        }
    }
    json_decref(root);
    if (s->count > 0) {
        qsort(s->ulid, s->count, sizeof(*s->ulid), by_ulid);
    }
    return rc;
}

void
pw_shipped_fini(struct pw_shipped *s)
{
    free(s->ulid);
    *s = (struct pw_shipped){0};
}

bool
pw_shipped_has(const struct pw_shipped *s, const struct pw_ulid *u)
{
    return s->count > 0 && bsearch(u, s->ulid, s->count, sizeof(*s->ulid), by_ulid) != NULL;
}

/* Blocks that are no longer on this disk are left out: the list would only grow. */
static int
shipped_save(const struct pw_fs *fs, const struct pw_shipped *s, const struct pw_ulid *here,
             uint32_t here_count, const char *local_dir)
{
    char path[PATH_MAX_], name[PW_ULID_CHARS + 1];
    json_t *list = json_array(), *root = NULL;
    char *text = NULL;
    int rc = PW_ENOMEM;

    for (uint32_t i = 0; i < here_count; i++) {
        if (pw_shipped_has(s, &here[i])) {
            pw_ulid_print(&here[i], name);
            json_array_append_new(list, json_string(name));
        }
    }
    /* Stock writes null for an empty list (storage.md 2.6). */
    if (json_array_size(list) == 0) {
        json_decref(list);
        list = json_null();
    }
    root = json_pack("{s:i, s:o}", "version", (int)SHIPPER_VERSION, "uploaded", list);
    text = root != NULL ? json_dumps(root, JSON_COMPACT) : NULL;
    if (text != NULL) {
        snprintf(path, sizeof(path), "%s/" PW_SHIPPER_FILE, local_dir);
        rc = pw_fs_replace_cold(fs, path, pw_slice_str(text));
    }
    free(text);
    json_decref(root);
    return rc;
}

/* ---- directories ------------------------------------------------------------------------------- */

int
pw_block_dirs(const char *dir, struct pw_ulid **ulid, uint32_t *count)
{
    struct pw_shipped found = {0};
    struct dirent *e;
    DIR *d = opendir(dir);
    int rc = 0;

    if (d == NULL) {
        return -errno;
    }
    while (rc == 0 && (e = readdir(d)) != NULL) {
        struct pw_ulid u;

        if (pw_ulid_parse(&u, pw_slice_str(e->d_name)) == 0) {
            rc = shipped_add(&found, &u);
        }
    }
    closedir(d);
    if (rc != 0) {
        pw_shipped_fini(&found);
        return rc;
    }
    if (found.count > 0) {
        qsort(found.ulid, found.count, sizeof(*found.ulid), by_ulid);
    }
    *ulid = found.ulid;
    *count = found.count;
    return 0;
}

/* ---- one block --------------------------------------------------------------------------------- */

static int
why_of(struct pw_objstore_why *why, int rc, const char *path, const char *text)
{
    snprintf(why->text, sizeof(why->text), "%.300s: %.150s", path, text);
    return rc;
}

static int
load_meta(struct shipment *s, struct pw_objstore_why *why)
{
    char path[PATH_MAX_ + 16];
    struct pw_block_error err;
    struct stat st;
    uint8_t *bytes;
    ssize_t n = -1;
    int fd, rc;

    snprintf(path, sizeof(path), "%s/meta.json", s->dir);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0 || st.st_size > PW_BLOCK_META_BYTES_MAX) {
        rc = fd < 0 ? -errno : PW_EMSGSIZE;
        if (fd >= 0) {
            close(fd);
        }
        return why_of(why, rc, path, pw_err_text(rc));
    }
    bytes = malloc((size_t)st.st_size + 1);
    if (bytes != NULL) {
        n = read(fd, bytes, (size_t)st.st_size);
    }
    close(fd);
    if (n != st.st_size) {
        free(bytes);
        return why_of(why, PW_EIO, path, "cannot be read");
    }
    rc = pw_block_meta_parse(&s->meta, pw_slice(bytes, (size_t)n), &err);
    free(bytes);
    return rc == 0 ? 0 : why_of(why, rc, path, err.text);
}

static void
join_key(const struct shipment *s, const char *rel_path, char *key)
{
    snprintf(key, PW_OBJECT_KEY_MAX + PW_BLOCK_PATH_BYTES_MAX, "%s/%s", s->key, rel_path);
}

/* Data files in the order of meta.json; after a failure what went before is taken back. */
static int
upload_data(struct shipment *s, struct pw_objstore_why *why)
{
    char key[PW_OBJECT_KEY_MAX + PW_BLOCK_PATH_BYTES_MAX];
    char path[PATH_MAX_ + PW_BLOCK_PATH_BYTES_MAX];
    uint32_t sent = 0;
    int rc = 0;

    for (; rc == 0 && sent < s->meta.file_count; sent++) {
        const struct pw_block_file *f = &s->meta.file[sent];

        snprintf(path, sizeof(path), "%s/%s", s->dir, f->rel_path);
        join_key(s, f->rel_path, key);
        rc = pw_objstore_put_file(s->bucket, key, path, why);
        s->bytes += f->size_bytes;
    }
    for (uint32_t i = 0; rc != 0 && i < sent; i++) {
        struct pw_objstore_why ignored;

        join_key(s, s->meta.file[i].rel_path, key);
        (void)!pw_objstore_delete(s->bucket, key, &ignored); /* the next pass overwrites it */
    }
    return rc;
}

/* meta.json as the bucket gets it: with the host's name among the external labels. */
static int
upload_meta(struct shipment *s, const char *hostname, struct pw_objstore_why *why)
{
    struct pw_block_meta *m = &s->meta;
    char key[PW_OBJECT_KEY_MAX + PW_BLOCK_PATH_BYTES_MAX];
    bool named = false;
    struct pw_text t;
    int rc;

    for (uint32_t i = 0; i < m->label_count; i++) {
        named |= pw_slice_eq_str(m->label[i].name, "__hostname__");
    }
    if (!named && m->label_count < PW_BLOCK_META_LABELS_MAX) {
        m->label[m->label_count++] = (struct pw_label_pair){.name = PW_SLICE_LIT("__hostname__"),
                                                            .value = pw_slice_str(hostname)};
    }
    snprintf(m->origin, sizeof(m->origin), "ingester");
    pw_text_init(&t, PW_BLOCK_META_BYTES_MAX);
    pw_block_meta_print(m, &t);
    join_key(s, "meta.json", key);
    rc = t.failed ? why_of(why, PW_ENOMEM, key, "meta.json is too large")
                  : pw_objstore_put(s->bucket, key, pw_slice(t.ptr, t.len), why);
    pw_text_fini(&t);
    return rc;
}

/* 0 uploaded, 1 it was in the bucket or is none of ours to ship, negative: failed. */
static int
ship_block(struct shipment *s, const char *hostname, struct pw_objstore_why *why)
{
    char key[PW_OBJECT_KEY_MAX + PW_BLOCK_PATH_BYTES_MAX];
    struct pw_object_info info;
    int rc;

    join_key(s, "meta.json", key);
    rc = pw_objstore_stat(s->bucket, key, &info, why);
    if (rc != PW_ENOENT) {
        return rc == 0 ? 1 : rc;
    }
    rc = load_meta(s, why);
    if (rc != 0) {
        return rc;
    }
    if (s->meta.level > 1) {
        rc = 1;
    } else if ((rc = upload_data(s, why)) == 0) {
        rc = upload_meta(s, hostname, why);
    }
    pw_block_meta_fini(&s->meta);
    return rc;
}

/* ---- passes ------------------------------------------------------------------------------------ */

/* Ships one block and remembers it; the first failure of a pass stays in *rc. */
static void
ship_one(struct shipment *s, const struct pw_ulid *ulid, struct pw_shipped *shipped,
         const char *hostname, struct pw_ship_stats *st, int *rc, struct pw_objstore_why *why)
{
    struct pw_objstore_why this_why = {""};
    int got = ship_block(s, hostname, &this_why);

    if (got < 0) {
        st->failed++;
        pw_log(PW_LOG_WARN, module,
               "msg=\"block was not uploaded, next pass tries again\" block=%s "
               "error=\"%s\"",
               s->dir, this_why.text);
        if (*rc == 0) {
            *rc = got;
            *why = this_why;
        }
        return;
    }
    st->uploaded += got == 0;
    st->found += got == 1;
    st->bytes += s->bytes;
    if (got == 0) {
        pw_log(PW_LOG_INFO, module, "msg=\"block uploaded\" block=%s bytes=%ju", s->key,
               (uintmax_t)s->bytes);
    }
    if (shipped_add(shipped, ulid) == 0) {
        qsort(shipped->ulid, shipped->count, sizeof(*shipped->ulid), by_ulid);
    }
}

int
pw_ship_tenant(struct pw_objstore *bucket, const char *data_path, const char *tenant,
               const char *hostname, struct pw_ship_stats *st, struct pw_objstore_why *why)
{
    char local[PATH_MAX_ / 2];
    struct shipment *s = malloc(sizeof(*s));
    struct pw_shipped shipped = {0};
    struct pw_ulid *here = NULL;
    uint32_t count = 0;
    int rc, save;

    snprintf(local, sizeof(local), "%s/%s/local", data_path, tenant);
    rc = s == NULL ? PW_ENOMEM : pw_block_dirs(local, &here, &count);
    if (rc == 0) {
        rc = pw_shipped_load(&shipped, local);
    }
    if (rc != 0) {
        free(s);
        free(here);
        return why_of(why, rc, local, pw_err_text(rc));
    }
    for (uint32_t i = 0; i < count; i++) {
        char name[PW_ULID_CHARS + 1];

        if (pw_shipped_has(&shipped, &here[i])) {
            continue;
        }
        pw_ulid_print(&here[i], name);
        *s = (struct shipment){.bucket = bucket};
        snprintf(s->dir, sizeof(s->dir), "%s/%s", local, name);
        snprintf(s->key, sizeof(s->key), "%s/phlaredb/%s", tenant, name);
        ship_one(s, &here[i], &shipped, hostname, st, &rc, why);
    }
    save = shipped_save(pw_fs_os(), &shipped, here, count, local);
    if (rc == 0 && save != 0) {
        rc = why_of(why, save, local, "cannot write " PW_SHIPPER_FILE);
    }
    pw_shipped_fini(&shipped);
    free(here);
    free(s);
    return rc;
}

int
pw_ship_all(struct pw_objstore *bucket, const char *data_path, const char *hostname,
            struct pw_ship_stats *st, struct pw_objstore_why *why)
{
    char local[PATH_MAX_];
    struct dirent *e;
    int rc = 0;
    DIR *d = opendir(data_path);

    if (d == NULL) {
        return why_of(why, -errno, data_path, strerror(errno));
    }
    while ((e = readdir(d)) != NULL) {
        struct pw_objstore_why this_why = {""};
        struct stat is;

        snprintf(local, sizeof(local), "%s/%s/local", data_path, e->d_name);
        if (e->d_name[0] == '.' || stat(local, &is) != 0 || !S_ISDIR(is.st_mode)) {
            continue;
        }
        int got = pw_ship_tenant(bucket, data_path, e->d_name, hostname, st, &this_why);
        if (rc == 0 && got != 0) {
            rc = got;
            *why = this_why;
        }
    }
    closedir(d);
    return rc;
}
