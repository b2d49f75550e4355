#include "ring/kv.h"

#include <stdlib.h>

struct entry {
    char key[PW_KV_KEY_MAX + 1];
    struct pw_ring_desc desc;
    uint64_t version;
    int64_t update_time_ms;
    int64_t deleted_s; /* when we learned of it; 0: not deleted */
};

struct watcher {
    pw_kv_watch_fn fn;
    void *ctx;
};

struct pw_kv {
    struct pw_kv_cfg cfg;
    struct entry *entry[PW_KV_KEYS_MAX]; /* ascending by key */
    uint32_t count;
    struct watcher watcher[PW_KV_WATCHERS_MAX];
    uint32_t watchers;
    pw_kv_tell_fn tell;
    void *tell_ctx;
    struct pw_kv_stats stats;
    struct pw_history sent, received;
    struct pw_text changed_ids; /* by the message that is being taken */
};

int
pw_kv_create_ctl(struct pw_kv **kv, const struct pw_kv_cfg *cfg)
{
    if (cfg->left_timeout_s < 0 || cfg->obsolete_timeout_s < 0) {
        return PW_EINVAL;
    }
    *kv = calloc(1, sizeof(**kv));
    if (*kv == NULL) {
        return PW_ENOMEM;
    }
    (*kv)->cfg = *cfg;
    (*kv)->sent.bytes_max = (*kv)->received.bytes_max = cfg->history_bytes;
    pw_text_init(&(*kv)->changed_ids, PW_KV_VALUE_BYTES_MAX);
    return 0;
}

static void
free_entry(struct entry *e)
{
    pw_ring_desc_fini(&e->desc);
    free(e);
}

void
pw_kv_destroy_ctl(struct pw_kv *kv)
{
    if (kv == NULL) {
        return;
    }
    for (uint32_t i = 0; i < kv->count; i++) {
        free_entry(kv->entry[i]);
    }
    pw_history_clear(&kv->sent);
    pw_history_clear(&kv->received);
    pw_text_fini(&kv->changed_ids);
    free(kv);
}

int
pw_kv_watch(struct pw_kv *kv, pw_kv_watch_fn fn, void *ctx)
{
    if (kv->watchers == PW_KV_WATCHERS_MAX) {
        return PW_ENOMEM;
    }
    kv->watcher[kv->watchers++] = (struct watcher){.fn = fn, .ctx = ctx};
    return 0;
}

void
pw_kv_tell(struct pw_kv *kv, pw_kv_tell_fn fn, void *ctx)
{
    kv->tell = fn;
    kv->tell_ctx = ctx;
}

/* --- Entries ---------------------------------------------------------------------------------- */

/* Where key is, or would be. */
static uint32_t
place_of(const struct pw_kv *kv, const char *key)
{
    uint32_t i = 0;

    while (i < kv->count && strcmp(kv->entry[i]->key, key) < 0) {
        i++;
    }
    return i;
}

static struct entry *
find(const struct pw_kv *kv, const char *key)
{
    uint32_t i = place_of(kv, key);

    return i < kv->count && strcmp(kv->entry[i]->key, key) == 0 ? kv->entry[i] : NULL;
}

static int
add(struct pw_kv *kv, const char *key, struct entry **made)
{
    uint32_t i = place_of(kv, key);
    size_t len = strlen(key);
    struct entry *e;

    if (len == 0 || len > PW_KV_KEY_MAX || kv->count == PW_KV_KEYS_MAX) {
        return PW_EMSGSIZE;
    }
    e = calloc(1, sizeof(*e));
    if (e == NULL) {
        return PW_ENOMEM;
    }
    memcpy(e->key, key, len + 1);
    pw_ring_desc_init(&e->desc);
    memmove(&kv->entry[i + 1], &kv->entry[i], (kv->count - i) * sizeof(kv->entry[0]));
    kv->entry[i] = e;
    kv->count++;
    *made = e;
    return 0;
}

static int
find_or_add(struct pw_kv *kv, const char *key, struct entry **e)
{
    *e = find(kv, key);
    return *e != NULL ? 0 : add(kv, key, e);
}

static void
drop(struct pw_kv *kv, uint32_t i)
{
    free_entry(kv->entry[i]);
    kv->count--;
    memmove(&kv->entry[i], &kv->entry[i + 1], (kv->count - i) * sizeof(kv->entry[0]));
}

static uint64_t
tokens_of(const struct pw_ring_desc *d)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < d->count; i++) {
        n += d->instance[i].token_count;
    }
    return n;
}

static bool
fits(const struct pw_kv *kv, const struct pw_ring_desc *in)
{
    uint64_t n = tokens_of(in);

    for (uint32_t i = 0; i < kv->count; i++) {
        n += tokens_of(&kv->entry[i]->desc);
    }
    return n <= PW_KV_TOKENS_MAX;
}

static void
note_sent(struct pw_kv *kv, const struct entry *e, const struct pw_kv_change *told, int64_t now_s)
{
    struct pw_history_entry sent = {.time_s = now_s, .version = e->version};
    struct pw_text pair;

    for (uint32_t i = 0; i < told->desc->count; i++) {
        const char *id = told->desc->instance[i].id;

        pw_text_put(&kv->changed_ids, id, strlen(id) + 1);
    }
    pw_text_init(&pair, PW_KV_VALUE_BYTES_MAX);
    pw_kv_put_pair(&pair, told);
    if (!pair.failed && kv->tell != NULL) {
        sent.pair = pw_slice(pair.ptr, pair.len);
        sent.ids = pw_slice(kv->changed_ids.ptr, kv->changed_ids.len);
        pw_history_add(&kv->sent, &sent);
    }
    pw_text_fini(&pair);
    if (told->local) { /* no message of others has done that */
        kv->changed_ids.len = 0;
    }
}

void
pw_kv_note_received(struct pw_kv *kv, const char *key, struct pw_slice pair, int64_t now_s)
{
    const struct entry *e = find(kv, key);
    const struct pw_history_entry received = {
        .time_s = now_s,
        .version = e == NULL || kv->changed_ids.len == 0 ? 0 : e->version,
        .pair = pair,
        .ids = pw_slice(kv->changed_ids.ptr, kv->changed_ids.len)};

    pw_history_add(&kv->received, &received);
    kv->changed_ids.len = 0;
}

static void
changed(struct pw_kv *kv, struct entry *e, const struct pw_ring_desc *change, bool local,
        int64_t now_s)
{
    const struct pw_kv_change told = {.key = e->key,
                                      .desc = change,
                                      .local = local,
                                      .deleted = e->deleted_s != 0,
                                      .update_time_ms = e->update_time_ms};

    e->version++;
    if (kv->cfg.history_bytes > 0) {
        kv->changed_ids.len = 0;
        note_sent(kv, e, &told, now_s);
    }
    if (kv->tell != NULL) {
        kv->tell(kv->tell_ctx, &told);
    }
    for (uint32_t i = 0; i < kv->watchers; i++) {
        kv->watcher[i].fn(kv->watcher[i].ctx, e->key);
    }
}

static uint32_t
remove_old(const struct pw_kv *kv, struct pw_ring_desc *d, int64_t now_s)
{
    return pw_ring_desc_remove_tombstones(d, now_s - kv->cfg.left_timeout_s);
}

/* --- Reading and our own edits ------------------------------------------------------------------ */

const struct pw_ring_desc *
pw_kv_get(const struct pw_kv *kv, const char *key)
{
    const struct entry *e = find(kv, key);

    return e == NULL || e->deleted_s != 0 ? NULL : &e->desc;
}

/* A key that was deleted lives again when it is later than its deletion. */
static void
revive(struct entry *e, int64_t now_ms)
{
    if (e->deleted_s != 0) {
        e->deleted_s = 0;
        e->update_time_ms = now_ms > e->update_time_ms ? now_ms : e->update_time_ms + 1;
    }
}

static int
merge_edit(struct pw_kv *kv, const char *key, const struct pw_ring_desc *edited, int64_t now_s)
{
    struct pw_ring_desc change;
    struct entry *e;
    int rc = find_or_add(kv, key, &e);

    if (rc != 0) {
        return rc;
    }
    pw_ring_desc_init(&change);
    rc = pw_ring_desc_merge(&e->desc, edited, true, now_s, &change);
    if (change.count > 0) { /* also what was taken before an error: others shall know it */
        revive(e, now_s * 1000);
        (void)remove_old(kv, &e->desc, now_s);
        changed(kv, e, &change, true, now_s);
    } else if (rc == 0) {
        rc = PW_EAGAIN;
    }
    pw_ring_desc_fini(&change);
    return rc;
}

int
pw_kv_cas(struct pw_kv *kv, const char *key, pw_kv_edit_fn edit, void *arg, int64_t now_s)
{
    static const struct pw_ring_desc nothing;
    const struct pw_ring_desc *known = pw_kv_get(kv, key);
    struct pw_ring_desc before, edited;
    int rc;

    pw_ring_desc_init(&before);
    pw_ring_desc_init(&edited);
    rc = pw_ring_desc_copy(&before, known != NULL ? known : &nothing);
    (void)pw_ring_desc_remove_tombstones(&before, INT64_MAX);
    rc = rc != 0 ? rc : pw_ring_desc_copy(&edited, &before);
    rc = rc != 0 ? rc : edit(arg, &edited);
    kv->stats.cas++;
    if (rc == 0 && pw_ring_desc_equal(&before, &edited)) {
        kv->stats.cas_unchanged++;
    } else if (rc == 0) {
        rc = merge_edit(kv, key, &edited, now_s);
    }
    kv->stats.cas_failed += rc != 0;
    pw_ring_desc_fini(&before);
    pw_ring_desc_fini(&edited);
    return rc;
}

/* --- What others say -------------------------------------------------------------------------- */

static int
merge_deletion(struct pw_kv *kv, const struct pw_kv_change *in, int64_t now_s)
{
    static const struct pw_ring_desc nothing;
    struct entry *e = find(kv, in->key);
    int rc = 0;

    if (in->update_time_ms / 1000 < now_s - kv->cfg.obsolete_timeout_s ||
        (e != NULL && in->update_time_ms <= e->update_time_ms)) {
        return 0;
    }
    rc = e == NULL ? add(kv, in->key, &e) : 0;
    if (rc != 0) {
        return rc;
    }
    pw_ring_desc_fini(&e->desc);
    e->update_time_ms = in->update_time_ms;
    e->deleted_s = now_s > 0 ? now_s : 1;
    kv->stats.pairs_changed++;
    changed(kv, e, &nothing, false, now_s);
    return 0;
}

int
pw_kv_merge(struct pw_kv *kv, const struct pw_kv_change *in, int64_t now_s)
{
    struct entry *e = find(kv, in->key);
    struct pw_ring_desc change;
    int rc;

    if (in->deleted) {
        return merge_deletion(kv, in, now_s);
    }
    if (e != NULL && e->deleted_s != 0 && in->update_time_ms <= e->update_time_ms) {
        return 0;
    }
    if (!fits(kv, in->desc)) {
        return PW_EMSGSIZE;
    }
    rc = find_or_add(kv, in->key, &e);
    if (rc != 0) {
        return rc;
    }
    e->deleted_s = 0;
    e->update_time_ms =
        in->update_time_ms > e->update_time_ms ? in->update_time_ms : e->update_time_ms;
    pw_ring_desc_init(&change);
    rc = pw_ring_desc_merge(&e->desc, in->desc, false, now_s, &change);
    kv->stats.tombstones_removed += remove_old(kv, &e->desc, now_s);
    (void)remove_old(kv, &change, now_s);
    if (change.count > 0) {
        kv->stats.pairs_changed++;
        changed(kv, e, &change, false, now_s);
    }
    pw_ring_desc_fini(&change);
    return rc;
}

void
pw_kv_expire(struct pw_kv *kv, int64_t now_s)
{
    for (uint32_t i = kv->count; i > 0; i--) {
        struct entry *e = kv->entry[i - 1];

        if (e->deleted_s != 0 && e->deleted_s + kv->cfg.obsolete_timeout_s < now_s) {
            drop(kv, i - 1);
        } else {
            kv->stats.tombstones_removed += remove_old(kv, &e->desc, now_s);
        }
    }
}

/* --- For pages --------------------------------------------------------------------------------- */

uint32_t
pw_kv_count(const struct pw_kv *kv)
{
    return kv->count;
}

struct pw_kv_entry
pw_kv_entry(const struct pw_kv *kv, uint32_t i)
{
    const struct entry *e = kv->entry[i];

    return (struct pw_kv_entry){.key = e->key,
                                .desc = &e->desc,
                                .version = e->version,
                                .update_time_ms = e->update_time_ms,
                                .deleted = e->deleted_s != 0};
}

const struct pw_kv_stats *
pw_kv_stats(const struct pw_kv *kv)
{
    return &kv->stats;
}

struct pw_history *
pw_kv_history_sent(struct pw_kv *kv)
{
    return &kv->sent;
}

struct pw_history *
pw_kv_history_received(struct pw_kv *kv)
{
    return &kv->received;
}

struct pw_kv_stats *
pw_kv_stats_mutable(struct pw_kv *kv)
{
    return &kv->stats;
}
