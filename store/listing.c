#include "store/listing.h"

#include "base/log.h"
#include "store/block/meta.h"

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static const char module[] = "pw.store.listing";

struct pw_listing_covered {
    const char *tenant; /* of a block of the listing */
    struct pw_ulid source;
    uint32_t level;
};

/* --- The list --------------------------------------------------------------------------------------- */

static void
free_block(struct pw_listing_block *b)
{
    free(b->source);
    pw_text_fini(&b->meta);
}

static int
compare(const char *tenant, const struct pw_ulid *ulid, const struct pw_listing_block *b)
{
    int order = strcmp(tenant, b->tenant);

    return order != 0 ? order : pw_ulid_cmp(ulid, &b->ulid);
}

/* Where the block is, or where it belongs. */
static uint32_t
place_of(const struct pw_listing *l, const char *tenant, const struct pw_ulid *ulid)
{
    uint32_t lo = 0, hi = l->count;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;

        if (compare(tenant, ulid, &l->block[mid]) > 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

static struct pw_listing_block *
find(const struct pw_listing *l, const char *tenant, const struct pw_ulid *ulid)
{
    uint32_t at = place_of(l, tenant, ulid);

    return at < l->count && compare(tenant, ulid, &l->block[at]) == 0 ? &l->block[at] : NULL;
}

const struct pw_listing_block *
pw_listing_find(const struct pw_listing *l, const char *tenant, const struct pw_ulid *ulid)
{
    return find(l, tenant, ulid);
}

static struct pw_listing_block *
insert(struct pw_listing *l, const char *tenant, const struct pw_ulid *ulid)
{
    uint32_t at = place_of(l, tenant, ulid);

    if (l->count == l->cap) {
        uint32_t cap = l->cap == 0 ? 64 : l->cap * 2;
        struct pw_listing_block *p = realloc(l->block, cap * sizeof(*p));

        if (p == NULL) {
            return NULL;
        }
        l->block = p;
        l->cap = cap;
    }
    memmove(&l->block[at + 1], &l->block[at], (l->count - at) * sizeof(*l->block));
    l->count++;
    l->block[at] = (struct pw_listing_block){.ulid = *ulid, .seen = true};
    snprintf(l->block[at].tenant, sizeof(l->block[at].tenant), "%s", tenant);
    return &l->block[at];
}

void
pw_listing_fini(struct pw_listing *l)
{
    for (uint32_t i = 0; i < l->count; i++) {
        free_block(&l->block[i]);
    }
    free(l->block);
    free(l->covered);
    *l = (struct pw_listing){0};
}

/* --- What the bucket has ---------------------------------------------------------------------------- */

struct look {
    struct pw_listing *l;
    struct pw_objstore *bucket;
    struct pw_objstore_why *why;
    char (*tenant)[PW_TENANT_BYTES_MAX + 1];
    uint32_t tenants;
    const char *now; /* the tenant whose blocks are listed */
    struct pw_ulid *fresh;
    uint32_t fresh_count;
};

/* The last segment of a key, without a '/' at its end. */
static struct pw_slice
last_segment(const char *key)
{
    size_t len = strlen(key), from;

    len -= len > 0 && key[len - 1] == '/' ? 1 : 0;
    for (from = len; from > 0 && key[from - 1] != '/'; from--) {
    }
    return pw_slice(key + from, len - from);
}

/* Grows at powers of two, so no capacity is kept. */
static void *
one_more(void *list, uint32_t count, size_t size)
{
    return (count & (count - 1)) != 0 ? list : realloc(list, (count == 0 ? 1 : 2UL * count) * size);
}

static int
found_tenant(void *arg, const char *key, const struct pw_object_info *info)
{
    struct look *k = arg;
    struct pw_slice name = last_segment(key);
    void *grown;

    (void)info;
    if (key[strlen(key) - 1] != '/' || name.len > PW_TENANT_BYTES_MAX) {
        return 0;
    }
    grown = one_more((void *)k->tenant, k->tenants, sizeof(*k->tenant));
    if (grown == NULL) {
        return PW_ENOMEM;
    }
    k->tenant = grown;
    snprintf(k->tenant[k->tenants++], sizeof(*k->tenant), "%.*s", (int)name.len,
             (const char *)name.ptr);
    return 0;
}

static int
found_block(void *arg, const char *key, const struct pw_object_info *info)
{
    struct look *k = arg;
    struct pw_listing_block *b;
    struct pw_ulid ulid;
    void *grown;

    (void)info;
    if (key[strlen(key) - 1] != '/' || pw_ulid_parse(&ulid, last_segment(key)) != 0) {
        return 0;
    }
    b = find(k->l, k->now, &ulid);
    if (b != NULL) {
        b->seen = true;
        return 0;
    }
    grown = one_more(k->fresh, k->fresh_count, sizeof(*k->fresh));
    if (grown == NULL) {
        return PW_ENOMEM;
    }
    k->fresh = grown;
    k->fresh[k->fresh_count++] = ulid;
    return 0;
}

/* <ULID>-deletion-mark.json */
static int
found_mark(void *arg, const char *key, const struct pw_object_info *info)
{
    static const char tail[] = "-deletion-mark.json";
    struct look *k = arg;
    struct pw_slice name = last_segment(key);
    struct pw_listing_block *b;
    struct pw_ulid ulid;

    (void)info;
    if (name.len == PW_ULID_CHARS + sizeof(tail) - 1 &&
        memcmp(name.ptr + PW_ULID_CHARS, tail, sizeof(tail) - 1) == 0 &&
        pw_ulid_parse(&ulid, pw_slice(name.ptr, PW_ULID_CHARS)) == 0 &&
        (b = find(k->l, k->now, &ulid)) != NULL && b->mark_ms == 0) {
        b->mark_ms = -1;
    }
    return 0;
}

/* "i_of_n" */
static void
read_shard(struct pw_listing_block *b, struct pw_slice text)
{
    char copy[32];
    unsigned i = 0, n = 0;

    snprintf(copy, sizeof(copy), "%.*s", (int)(text.len < 31 ? text.len : 31),
             (const char *)text.ptr);
    if (sscanf(copy, "%u_of_%u", &i, &n) == 2 && i >= 1 && i <= n) {
        b->shard = i;
        b->shards = n;
    }
}

static int
by_ulid(const void *a, const void *b)
{
    return pw_ulid_cmp(a, b);
}

static int
take_meta(struct pw_listing_block *b, struct pw_block_error *err)
{
    struct pw_block_meta m;
    int rc = pw_block_meta_parse(&m, pw_slice(b->meta.ptr, b->meta.len), err);

    if (rc != 0) {
        return rc;
    }
    b->level = m.level;
    for (uint32_t i = 0; i < m.label_count; i++) {
        if (pw_slice_eq_str(m.label[i].name, "__compactor_shard_id__")) {
            read_shard(b, m.label[i].value);
        }
    }
    if (m.level > 1 && m.source_count > 0) {
        b->source = calloc(m.source_count, sizeof(*b->source));
        if (b->source == NULL) {
            rc = PW_ENOMEM;
        } else {
            memcpy(b->source, m.source, m.source_count * sizeof(*b->source));
            qsort(b->source, m.source_count, sizeof(*b->source), by_ulid);
            b->source_count = m.source_count;
        }
    }
    pw_block_meta_fini(&m);
    return rc;
}

/* --- meta.json of blocks that are new, fetched side by side ------------------------------------------- */

struct got {
    struct pw_text meta;
    int rc;
};

struct fetch {
    const char *tenant;
    const struct pw_ulid *ulid;
    struct got *got; /* [count] */
    uint32_t count;
    _Atomic uint32_t next;
};

struct fetcher { /* a thread */
    struct fetch *f;
    struct pw_objstore *bucket; /* a handle of its own */
    struct pw_objstore_why why; /* of the one that failed */
    uint32_t failed;            /* UINT32_MAX: none */
    pthread_t thread;
    bool running;
};

static bool
is_no_block(int rc)
{
    return rc == PW_ENOENT || rc == PW_ERANGE; /* not uploaded to its end, or about to go */
}

static void *
fetch_main(void *arg)
{
    struct fetcher *me = arg;
    struct fetch *f = me->f;
    uint32_t i;

    while ((i = atomic_fetch_add_explicit(&f->next, 1, memory_order_relaxed)) < f->count) {
        char name[PW_ULID_CHARS + 1], key[PW_OBJECT_KEY_MAX + 1];
        struct got *g = &f->got[i];

        pw_ulid_print(&f->ulid[i], name);
        snprintf(key, sizeof(key), "%s/phlaredb/%s/meta.json", f->tenant, name);
        pw_text_init(&g->meta, PW_BLOCK_META_BYTES_MAX);
        g->rc = pw_objstore_get(me->bucket, key, 0, UINT64_MAX, &g->meta, &me->why);
        if (g->rc != 0 && !is_no_block(g->rc)) {
            me->failed = i;
            atomic_store_explicit(&f->next, f->count, memory_order_relaxed); /* enough */
            return NULL;
        }
    }
    return NULL;
}

/* Fewer threads do when no more can be had. */
static void
fetch_all(struct look *k, struct fetch *f)
{
    struct fetcher t[PW_LISTING_THREADS];
    uint32_t threads = f->count < PW_LISTING_THREADS ? f->count : PW_LISTING_THREADS;
    struct pw_objstore_why why;
    uint32_t first = UINT32_MAX;

    for (uint32_t i = 0; i < threads; i++) {
        t[i] = (struct fetcher){.f = f, .bucket = k->bucket, .failed = UINT32_MAX};
        if (i > 0 && pw_objstore_open_twin(&t[i].bucket, k->bucket, &why) != 0) {
            threads = i;
        }
    }
    for (uint32_t i = 1; i < threads; i++) {
        t[i].running = pthread_create(&t[i].thread, NULL, fetch_main, &t[i]) == 0;
    }
    fetch_main(&t[0]);
    for (uint32_t i = 0; i < threads; i++) {
        if (t[i].running) {
            pthread_join(t[i].thread, NULL);
        }
        if (t[i].failed < first) {
            first = t[i].failed;
            *k->why = t[i].why;
        }
        if (i > 0) {
            pw_objstore_close(t[i].bucket);
        }
    }
}

/* What was fetched of it, which is the listing's from here on. */
static int
add_block(struct look *k, const struct pw_ulid *ulid, struct got *got)
{
    struct pw_block_error err = {""};
    struct pw_listing_block *b;
    char name[PW_ULID_CHARS + 1];
    int rc;

    if (got->rc != 0) {
        return is_no_block(got->rc) ? 0 : got->rc;
    }
    if (find(k->l, k->now, ulid) != NULL) {
        return 0; /* pages of a listing may overlap: it was named twice */
    }
    b = insert(k->l, k->now, ulid);
    if (b == NULL) {
        return PW_ENOMEM;
    }
    b->meta = got->meta;
    got->meta = (struct pw_text){0};
    rc = take_meta(b, &err);
    b->broken = rc != 0;
    if (b->broken) {
        pw_ulid_print(ulid, name);
        pw_log(PW_LOG_ERROR, module,
               "msg=\"a block of the bucket cannot be read\" key=%s/phlaredb/%s/meta.json "
               "error=\"%s\"",
               k->now, name, err.text[0] != 0 ? err.text : pw_err_text(rc));
    }
    return 0;
}

static int
add_fresh(struct look *k)
{
    struct fetch f = {.tenant = k->now, .ulid = k->fresh, .count = k->fresh_count};
    int rc = 0;

    if (f.count == 0) {
        return 0;
    }
    f.got = calloc(f.count, sizeof(*f.got));
    if (f.got == NULL) {
        return PW_ENOMEM;
    }
    for (uint32_t i = 0; i < f.count; i++) {
        f.got[i].rc = PW_EAGAIN; /* nobody came so far */
    }
    fetch_all(k, &f);
    for (uint32_t i = 0; i < f.count; i++) {
        int added = f.got[i].rc == PW_EAGAIN ? 0 : add_block(k, &k->fresh[i], &f.got[i]);

        rc = rc != 0 ? rc : added;
        pw_text_fini(&f.got[i].meta);
    }
    free(f.got);
    return rc;
}

static void
read_mark(struct look *k, struct pw_listing_block *b, int64_t now_ms)
{
    char name[PW_ULID_CHARS + 1], key[PW_OBJECT_KEY_MAX + 1];
    struct pw_objstore_why why;
    struct pw_text text;

    pw_ulid_print(&b->ulid, name);
    snprintf(key, sizeof(key), "%s/phlaredb/markers/%s-deletion-mark.json", b->tenant, name);
    pw_text_init(&text, 1 << 20);
    if (pw_objstore_get(k->bucket, key, 0, UINT64_MAX, &text, &why) == 0) {
        json_t *root = json_loadb((const char *)text.ptr, text.len, 0, NULL);
        int64_t at = json_integer_value(json_object_get(root, "deletion_time"));

        b->mark_ms = at > 0 && at < INT64_MAX / 1000 ? at * 1000 : now_ms;
        json_decref(root);
    }
    pw_text_fini(&text);
}

static int
look_at_tenant(struct look *k)
{
    char dir[PW_OBJECT_KEY_MAX + 1];
    int rc;

    snprintf(dir, sizeof(dir), "%s/phlaredb/", k->now);
    k->fresh_count = 0;
    free(k->fresh);
    k->fresh = NULL;
    rc = pw_objstore_list(k->bucket, dir, false, found_block, k, k->why);
    rc = rc != 0 ? rc : add_fresh(k);
    snprintf(dir, sizeof(dir), "%s/phlaredb/markers/", k->now);
    return rc != 0 ? rc : pw_objstore_list(k->bucket, dir, false, found_mark, k, k->why);
}

/* --- Which are wanted ------------------------------------------------------------------------------- */

static int
by_source(const void *a, const void *b)
{
    const struct pw_listing_covered *x = a, *y = b;
    int order = strcmp(x->tenant, y->tenant);

    return order != 0 ? order : pw_ulid_cmp(&x->source, &y->source);
}

static bool
same_sources(const struct pw_listing_block *x, const struct pw_listing_block *y)
{
    return strcmp(x->tenant, y->tenant) == 0 && x->source_count == y->source_count &&
           memcmp(x->source, y->source, x->source_count * sizeof(*x->source)) == 0;
}

/* Whether the shards it was split into are all there. */
static bool
is_complete(const struct pw_listing *l, const struct pw_listing_block *b)
{
    uint32_t found = 0;

    for (uint32_t i = 0; i < l->count && b->shards > 1; i++) {
        const struct pw_listing_block *o = &l->block[i];

        found += !o->broken && o->level == b->level && o->shards == b->shards &&
                 o->source != NULL && same_sources(o, b);
    }
    return b->shards <= 1 || found >= b->shards;
}

/* Of the source: the highest level of a block that has it; 0: none has. */
static uint32_t
level_of(const struct pw_listing *l, const char *tenant, const struct pw_ulid *source)
{
    uint32_t lo = 0, hi = l->covered_count, level = 0;
    const struct pw_listing_covered key = {.tenant = tenant, .source = *source};

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;

        if (by_source(&l->covered[mid], &key) < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    for (; lo < l->covered_count && by_source(&l->covered[lo], &key) == 0; lo++) {
        level = l->covered[lo].level > level ? l->covered[lo].level : level;
    }
    return level;
}

static int
cover(struct pw_listing *l)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < l->count; i++) {
        n += l->block[i].source_count;
    }
    free(l->covered);
    l->covered_count = 0;
    l->covered = calloc(n + 1, sizeof(*l->covered));
    if (l->covered == NULL) {
        return PW_ENOMEM;
    }
    for (uint32_t i = 0; i < l->count; i++) {
        const struct pw_listing_block *b = &l->block[i];
        uint32_t count = !b->broken && is_complete(l, b) ? b->source_count : 0;

        for (uint32_t s = 0; s < count; s++) {
            l->covered[l->covered_count++] = (struct pw_listing_covered){
                .tenant = b->tenant, .source = b->source[s], .level = b->level};
        }
    }
    if (l->covered_count > 0) {
        qsort(l->covered, l->covered_count, sizeof(*l->covered), by_source);
    }
    return 0;
}

static bool
is_superseded(const struct pw_listing *l, const struct pw_listing_block *b)
{
    if (b->source_count == 0) {
        return level_of(l, b->tenant, &b->ulid) > b->level;
    }
    for (uint32_t i = 0; i < b->source_count; i++) {
        if (level_of(l, b->tenant, &b->source[i]) <= b->level) {
            return false;
        }
    }
    return true;
}

bool
pw_listing_supersedes(const struct pw_listing *l, const char *tenant, const struct pw_ulid *ulid)
{
    return level_of(l, tenant, ulid) > 1;
}

/* --- Refresh ---------------------------------------------------------------------------------------- */

static int
look_everywhere(struct look *k)
{
    int rc = pw_objstore_list(k->bucket, "", false, found_tenant, k, k->why);

    for (uint32_t i = 0; i < k->tenants && rc == 0; i++) {
        k->now = k->tenant[i];
        rc = look_at_tenant(k);
    }
    return rc;
}

static void
forget_unseen(struct pw_listing *l)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < l->count; i++) {
        if (l->block[i].seen) {
            l->block[kept++] = l->block[i];
        } else {
            free_block(&l->block[i]);
        }
    }
    l->count = kept;
}

int
pw_listing_refresh(struct pw_listing *l, struct pw_objstore *bucket, int64_t now_ms,
                   struct pw_objstore_why *why)
{
    struct look k = {.l = l, .bucket = bucket, .why = why};
    int rc;

    for (uint32_t i = 0; i < l->count; i++) {
        l->block[i].seen = false;
        pw_text_fini(&l->block[i].meta);
    }
    rc = look_everywhere(&k);
    if (rc == 0) {
        forget_unseen(l);
    }
    for (uint32_t i = 0; i < l->count; i++) {
        if (l->block[i].mark_ms < 0) {
            read_mark(&k, &l->block[i], now_ms);
        }
    }
    free((void *)k.tenant);
    free(k.fresh);
    /* Also of what a look that failed has found so far. */
    int covered = cover(l);

    rc = rc != 0 ? rc : covered;
    for (uint32_t i = 0; i < l->count && covered == 0; i++) {
        struct pw_listing_block *b = &l->block[i];

        b->wanted = !b->broken && !is_superseded(l, b) &&
                    (b->mark_ms <= 0 || now_ms - b->mark_ms < PW_LISTING_MARK_DELAY_MS);
    }
    return rc;
}
