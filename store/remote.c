#include "store/remote.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/limits.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

enum { BITS = 64, META_FIRST_BYTES = 4096 };

struct handle {
    struct pw_objstore *bucket;
    struct handle *next;
};

struct pw_remote {
    struct pw_objstore_cfg cfg;
    uint64_t cache_bytes;
    atomic_bool give_up;          /* what cfg.stop names */
    _Atomic int64_t ill_until_ms; /* of CLOCK_MONOTONIC */
    pthread_mutex_t mutex;        /* of the two lists */
    struct handle *idle;
    struct block *newest, *oldest; /* by last use */
    _Atomic uint64_t cached, warm, requests, bytes, evicted, failures;
};

struct file {
    struct pw_slice bytes;     /* ptr NULL: the slot is free */
    pthread_mutex_t lock;      /* whoever fetches, or drops all */
    _Atomic uint64_t *present; /* a bit a unit */
    uint64_t present_bytes;    /* below lock */
    const char *rel_path;      /* of the block's meta */
};

struct block {
    struct pw_remote *remote;
    struct pw_block *block; /* NULL until it is open */
    struct pw_block_files files;
    struct block *newer, *older;
    bool listed;
    struct pw_text meta;
    char key[PW_TENANT_BYTES_MAX + 64];    /* without '/' at the end */
    struct file file[PW_REMOTE_FILES_MAX]; /* changed by whoever opens or cools the block */
};

/* --- Handles ---------------------------------------------------------------------------------------- */

static struct handle *
take_handle(struct pw_remote *r, struct pw_objstore_why *why)
{
    struct handle *h;

    pthread_mutex_lock(&r->mutex);
    h = r->idle;
    if (h != NULL) {
        r->idle = h->next;
    }
    pthread_mutex_unlock(&r->mutex);
    if (h != NULL) {
        return h;
    }
    h = calloc(1, sizeof(*h));
    if (h == NULL || pw_objstore_open(&h->bucket, &r->cfg, why) != 0) {
        free(h);
        return NULL;
    }
    return h;
}

static void
give_handle(struct pw_remote *r, struct handle *h)
{
    pthread_mutex_lock(&r->mutex);
    h->next = r->idle;
    r->idle = h;
    pthread_mutex_unlock(&r->mutex);
}

static int
failed(struct pw_remote *r, int rc, const struct pw_objstore_why *why, struct pw_block_error *err)
{
    atomic_fetch_add_explicit(&r->failures, 1, memory_order_relaxed);
    snprintf(err->text, sizeof(err->text), "%.*s", PW_BLOCK_ERROR_BYTES - 1,
             why->text[0] != 0 ? why->text : pw_err_text(rc));
    return rc;
}

/* Appends [from, from + len) of the object. */
static int
fetch(struct pw_remote *r, const char *key, uint64_t from, uint64_t len, struct pw_text *out,
      struct pw_block_error *err)
{
    struct pw_objstore_why why = {""};
    struct handle *h = NULL;
    size_t had = out->len;
    int rc;

    if (pw_mono_ms() < atomic_load_explicit(&r->ill_until_ms, memory_order_relaxed)) {
        snprintf(why.text, sizeof(why.text), "%.200s: the bucket did not answer just now", key);
        return failed(r, PW_ETIMEDOUT, &why, err);
    }
    h = take_handle(r, &why);
    if (h == NULL) {
        return failed(r, PW_EIO, &why, err);
    }
    rc = pw_objstore_get(h->bucket, key, from, len, out, &why);
    give_handle(r, h);
    if (rc == PW_ETIMEDOUT) {
        atomic_store_explicit(&r->ill_until_ms, pw_mono_ms() + PW_REMOTE_ILL_MS,
                              memory_order_relaxed);
    }
    atomic_fetch_add_explicit(&r->requests, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&r->bytes, out->len - had, memory_order_relaxed);
    return rc == 0 ? 0 : failed(r, rc, &why, err);
}

/* --- Room ------------------------------------------------------------------------------------------- */

static void
unlist(struct block *b)
{
    struct pw_remote *r = b->remote;

    if (b->listed) {
        *(b->newer != NULL ? &b->newer->older : &r->newest) = b->older;
        *(b->older != NULL ? &b->older->newer : &r->oldest) = b->newer;
        b->newer = b->older = NULL;
        b->listed = false;
    }
}

/* As the one used last. */
static void
list(struct block *b)
{
    struct pw_remote *r = b->remote;

    pthread_mutex_lock(&r->mutex);
    unlist(b);
    b->older = r->newest;
    *(r->newest != NULL ? &r->newest->newer : &r->oldest) = b;
    r->newest = b;
    b->listed = true;
    pthread_mutex_unlock(&r->mutex);
}

static bool
is_full(const struct pw_remote *r)
{
    return atomic_load_explicit(&r->cached, memory_order_relaxed) > r->cache_bytes ||
           atomic_load_explicit(&r->warm, memory_order_relaxed) > PW_REMOTE_WARM_MAX;
}

/* Lets blocks go that nobody uses. The list's mutex keeps them from being closed meanwhile. */
static void
make_room(struct pw_remote *r)
{
    struct block *next;

    if (!is_full(r)) {
        return;
    }
    pthread_mutex_lock(&r->mutex);
    for (struct block *b = r->oldest; b != NULL && is_full(r); b = next) {
        next = b->newer;
        if (b->block != NULL && pw_block_cool(b->block)) {
            unlist(b);
            atomic_fetch_add_explicit(&r->evicted, 1, memory_order_relaxed);
        }
    }
    pthread_mutex_unlock(&r->mutex);
}

/* Under the file's lock, or alone with it. */
static void
drop(struct pw_remote *r, struct file *f)
{
    size_t units = (f->bytes.len + PW_REMOTE_UNIT_BYTES - 1) / PW_REMOTE_UNIT_BYTES;

    for (size_t i = 0; i < units / BITS + 1; i++) {
        atomic_store_explicit(&f->present[i], 0, memory_order_relaxed);
    }
    madvise((void *)(uintptr_t)f->bytes.ptr, f->bytes.len, MADV_DONTNEED);
    atomic_fetch_sub_explicit(&r->cached, f->present_bytes, memory_order_relaxed);
    f->present_bytes = 0;
}

/* --- Files of a block ------------------------------------------------------------------------------- */

static struct file *
file_of(struct block *b, struct pw_slice bytes)
{
    for (uint32_t i = 0; i < PW_REMOTE_FILES_MAX; i++) {
        if (b->file[i].bytes.ptr != NULL && b->file[i].bytes.ptr == bytes.ptr) {
            return &b->file[i];
        }
    }
    return NULL;
}

static const struct pw_block_file *
find_in_meta(const struct block *b, const char *rel_path)
{
    const struct pw_block_meta *m = pw_block_meta(b->block);

    for (uint32_t i = 0; i < m->file_count; i++) {
        if (strcmp(m->file[i].rel_path, rel_path) == 0) {
            return &m->file[i];
        }
    }
    return NULL;
}

static int
file_size(struct block *b, const struct pw_block_file *listed, uint64_t *size)
{
    char key[PW_OBJECT_KEY_MAX + 1];
    struct pw_objstore_why why = {""};
    struct pw_object_info info = {0};
    struct handle *h;
    int rc;

    if (listed->has_size) {
        *size = listed->size_bytes;
        return 0;
    }
    h = take_handle(b->remote, &why);
    if (h == NULL) {
        return PW_EIO;
    }
    snprintf(key, sizeof(key), "%s/%s", b->key, listed->rel_path);
    rc = pw_objstore_stat(h->bucket, key, &info, &why);
    give_handle(b->remote, h);
    *size = info.size;
    return rc;
}

static int
map_file(struct file *f, uint64_t size)
{
    void *p;

    if (size == 0 || size > SIZE_MAX / 2) {
        return PW_EINVAL;
    }
    f->present = calloc(size / PW_REMOTE_UNIT_BYTES / BITS + 2, sizeof(*f->present));
    if (f->present == NULL) {
        return PW_ENOMEM;
    }
    p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
             0);
    if (p == MAP_FAILED) {
        free((void *)f->present);
        return PW_ENOMEM;
    }
    pthread_mutex_init(&f->lock, NULL);
    f->bytes = pw_slice(p, size);
    f->present_bytes = 0;
    return 0;
}

static int
remote_get(void *ctx, const char *rel_path, struct pw_slice *bytes)
{
    struct block *b = ctx;
    const struct pw_block_file *listed;
    struct file *f = NULL;
    uint64_t size = 0;
    bool first = true;
    int rc;

    if (strcmp(rel_path, "meta.json") == 0) {
        *bytes = pw_slice(b->meta.ptr, b->meta.len);
        return 0;
    }
    for (uint32_t i = PW_REMOTE_FILES_MAX; i-- > 0;) {
        f = b->file[i].bytes.ptr == NULL ? &b->file[i] : f;
        first &= b->file[i].bytes.ptr == NULL;
    }
    listed = find_in_meta(b, rel_path);
    if (f == NULL || listed == NULL) {
        return PW_ENOTSUP;
    }
    f->rel_path = listed->rel_path;
    rc = file_size(b, listed, &size);
    rc = rc != 0 ? rc : map_file(f, size);
    if (rc != 0) {
        return rc;
    }
    *bytes = f->bytes;
    if (first) {
        atomic_fetch_add_explicit(&b->remote->warm, 1, memory_order_relaxed);
        list(b);
    }
    return 0;
}

static void
remote_release(void *ctx, struct pw_slice bytes)
{
    struct block *b = ctx;
    struct file *f = file_of(b, bytes);
    bool last = true;

    if (f == NULL) {
        return; /* meta.json */
    }
    drop(b->remote, f);
    munmap((void *)(uintptr_t)f->bytes.ptr, f->bytes.len);
    free((void *)f->present);
    pthread_mutex_destroy(&f->lock);
    f->bytes = (struct pw_slice){0};
    for (uint32_t i = 0; i < PW_REMOTE_FILES_MAX; i++) {
        last &= b->file[i].bytes.ptr == NULL;
    }
    if (last) {
        atomic_fetch_sub_explicit(&b->remote->warm, 1, memory_order_relaxed);
    }
}

static bool
has_unit(const struct file *f, uint64_t unit)
{
    return (atomic_load_explicit(&f->present[unit / BITS], memory_order_acquire) >> (unit % BITS) &
            1) != 0;
}

/* Units [first, end) of the file, none of them there; under its lock. */
static int
fetch_units(struct block *b, struct file *f, uint64_t first, uint64_t end,
            struct pw_block_error *err)
{
    uint64_t from = first * PW_REMOTE_UNIT_BYTES, to = end * PW_REMOTE_UNIT_BYTES;
    char key[PW_OBJECT_KEY_MAX + 1];
    struct pw_text into;
    int rc;

    to = to > f->bytes.len ? f->bytes.len : to;
    pw_text_fixed(&into, (void *)(uintptr_t)(f->bytes.ptr + from), to - from);
    snprintf(key, sizeof(key), "%s/%s", b->key, f->rel_path);
    rc = fetch(b->remote, key, from, to - from, &into, err);
    if (rc == 0 && into.len != to - from) {
        snprintf(err->text, sizeof(err->text), "%.160s: ends at %llu, meta.json says %zu bytes",
                 key, (unsigned long long)(from + into.len), f->bytes.len);
        rc = PW_EINVAL;
    }
    if (rc != 0) {
        return rc;
    }
    for (uint64_t u = first; u < end; u++) {
        atomic_fetch_or_explicit(&f->present[u / BITS], 1ULL << (u % BITS), memory_order_release);
    }
    f->present_bytes += to - from;
    atomic_fetch_add_explicit(&b->remote->cached, to - from, memory_order_relaxed);
    return 0;
}

/* Where a request that begins at the unit ends: what is asked for, a little more when the file is read
 * on, and nothing that is there. */
static uint64_t
end_of_run(const struct file *f, uint64_t first, uint64_t asked_end)
{
    uint64_t units = (f->bytes.len + PW_REMOTE_UNIT_BYTES - 1) / PW_REMOTE_UNIT_BYTES;
    uint64_t end = asked_end, at = first + 1;

    if (first > 0 && has_unit(f, first - 1) && end < first + PW_REMOTE_AHEAD_UNITS) {
        end = first + PW_REMOTE_AHEAD_UNITS;
    }
    end = end > first + PW_REMOTE_RUN_UNITS ? first + PW_REMOTE_RUN_UNITS : end;
    end = end > units ? units : end;
    while (at < end && !has_unit(f, at)) {
        at++;
    }
    return at;
}

static int
remote_need(void *ctx, struct pw_slice bytes, uint64_t from, uint64_t len,
            struct pw_block_error *err)
{
    struct block *b = ctx;
    struct file *f = file_of(b, bytes);
    uint64_t unit = from / PW_REMOTE_UNIT_BYTES, end;
    bool fetched = false;
    int rc = 0;

    PW_INVARIANT(f != NULL && from <= bytes.len && len <= bytes.len - from);
    end = (from + len + PW_REMOTE_UNIT_BYTES - 1) / PW_REMOTE_UNIT_BYTES;
    while (unit < end && has_unit(f, unit)) {
        unit++;
    }
    if (unit >= end) {
        return 0;
    }
    pthread_mutex_lock(&f->lock);
    while (rc == 0 && unit < end) {
        uint64_t until = has_unit(f, unit) ? unit + 1 : end_of_run(f, unit, end);

        if (!has_unit(f, unit)) {
            rc = fetch_units(b, f, unit, until, err);
            fetched = true;
        }
        unit = until;
    }
    pthread_mutex_unlock(&f->lock);
    if (fetched) {
        list(b);
        make_room(b->remote);
    }
    return rc;
}

/* Kept while there is room. */
static void
remote_rest(void *ctx, struct pw_slice bytes)
{
    struct block *b = ctx;
    struct file *f = file_of(b, bytes);

    if (f != NULL && is_full(b->remote)) {
        pthread_mutex_lock(&f->lock);
        drop(b->remote, f);
        pthread_mutex_unlock(&f->lock);
    }
}

static void
remote_closing(void *ctx)
{
    struct block *b = ctx;

    pthread_mutex_lock(&b->remote->mutex);
    unlist(b);
    b->block = NULL;
    pthread_mutex_unlock(&b->remote->mutex);
}

static void
remote_closed(void *ctx)
{
    struct block *b = ctx;

    pw_text_fini(&b->meta);
    free(b);
}

/* --- Doors ------------------------------------------------------------------------------------------ */

int
pw_remote_open(struct pw_remote *r, const char *tenant, const struct pw_ulid *ulid,
               struct pw_slice meta, struct pw_block **out, struct pw_block_error *err)
{
    struct block *b = calloc(1, sizeof(*b));
    char name[PW_ULID_CHARS + 1], key[PW_OBJECT_KEY_MAX + 1];
    int rc = 0;

    if (b == NULL) {
        snprintf(err->text, sizeof(err->text), "out of memory");
        return PW_ENOMEM;
    }
    pw_ulid_print(ulid, name);
    b->remote = r;
    b->files = (struct pw_block_files){.ctx = b,
                                       .get = remote_get,
                                       .release = remote_release,
                                       .need = remote_need,
                                       .rest = remote_rest,
                                       .closing = remote_closing,
                                       .closed = remote_closed};
    snprintf(b->key, sizeof(b->key), "%s/phlaredb/%s", tenant, name);
    pw_text_init(&b->meta, PW_BLOCK_META_BYTES_MAX);
    if (meta.len != 0) {
        pw_text_slice(&b->meta, meta);
    } else {
        snprintf(key, sizeof(key), "%s/meta.json", b->key);
        rc = fetch(r, key, 0, UINT64_MAX, &b->meta, err);
    }
    rc = rc != 0 ? rc : pw_block_open_later(out, b->key, &b->files, err);
    if (rc != 0) {
        remote_closed(b);
        return rc;
    }
    b->block = *out;
    pw_text_fini(&b->meta); /* it has been read */
    return 0;
}

int
pw_remote_create_ctl(struct pw_remote **out, const struct pw_objstore_cfg *bucket,
                     uint64_t cache_bytes)
{
    struct pw_remote *r = calloc(1, sizeof(*r));

    if (r == NULL) {
        return PW_ENOMEM;
    }
    r->cfg = *bucket;
    r->cfg.stop = &r->give_up;
    r->cfg.patience_ms = bucket->patience_ms != 0 ? bucket->patience_ms : PW_REMOTE_PATIENCE_MS;
    r->cache_bytes = cache_bytes;
    pthread_mutex_init(&r->mutex, NULL);
    *out = r;
    return 0;
}

void
pw_remote_give_up(struct pw_remote *r)
{
    atomic_store_explicit(&r->give_up, true, memory_order_relaxed);
}

void
pw_remote_destroy_ctl(struct pw_remote *r)
{
    if (r == NULL) {
        return;
    }
    PW_INVARIANT(r->newest == NULL);
    while (r->idle != NULL) {
        struct handle *h = r->idle;

        r->idle = h->next;
        pw_objstore_close(h->bucket);
        free(h);
    }
    pthread_mutex_destroy(&r->mutex);
    free(r);
}

void
pw_remote_stats(const struct pw_remote *r, struct pw_remote_stats *st)
{
    *st = (struct pw_remote_stats){
        .requests = atomic_load_explicit(&r->requests, memory_order_relaxed),
        .bytes = atomic_load_explicit(&r->bytes, memory_order_relaxed),
        .cached_bytes = atomic_load_explicit(&r->cached, memory_order_relaxed),
        .warm = atomic_load_explicit(&r->warm, memory_order_relaxed),
        .evicted = atomic_load_explicit(&r->evicted, memory_order_relaxed),
        .failures = atomic_load_explicit(&r->failures, memory_order_relaxed),
    };
}
