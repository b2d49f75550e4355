#include "distributor/route.h"

#include "base/check.h"
#include "distributor/internal.h"
#include "ring/token.h"

enum { LABELS_TEXT_MAX = 64 << 10 };

static enum pw_reason
say(struct pw_work *w, enum pw_reason reason)
{
    w->err.len = 0;
    pw_text_str(&w->err, reason == PW_REASON_QUEUE_FULL
                             ? "ingester queue is full, retry"
                             : "profile needs more memory than this core has");
    return reason;
}

static uint32_t
token_of(struct pw_work *w, const struct pw_labels *l)
{
    struct pw_scratch *s = w->scratch;
    size_t mark = s->used;
    struct pw_text t;
    void *buf = pw_scratch_alloc(s, LABELS_TEXT_MAX);

    if (buf == NULL) {
        return 0;
    }
    pw_text_fixed(&t, buf, LABELS_TEXT_MAX);
    pw_labels_text(l, &t);
    pw_scratch_rewind(s, mark);
    return pw_token(w->tenant, pw_slice(t.ptr, t.len));
}

/* The core of a group. One core needs no token: spelling out the labels costs more than the walk of
 * a small profile. */
static uint32_t
core_of(struct pw_work *w, const struct pw_labels *l)
{
    uint32_t cores = w->d->cfg.ingesters_count;

    return cores == 1 ? 0 : pw_token_core(token_of(w, l), cores);
}

/* v2 behaviour: deltas are never computed, and these two are not stored (write-path.md 4). */
static void
strip(struct pw_labels *l)
{
    pw_labels_del(l, PW_SLICE_LIT("__delta__"));
    pw_labels_del(l, PW_SLICE_LIT("__order__"));
}

static void
fill_group(struct pw_work *w, struct pw_record_group *out, const struct pw_split_group *g)
{
    *out = (struct pw_record_group){
        .labels = &g->labels,
        .sample = g->sample,
        .span = g->span,
        .sample_count = g->sample_count,
    };
    pw_work_uuid(w->d, out->uuid);
}

static bool
have_slot(struct pw_work *w)
{
    if (w->slot == NULL) {
        w->slot = pw_fanout_open(&w->d->fanout, &w->to, w->stats, w->req->now_tsc);
        w->desk->slot = w->slot;
    }
    return w->slot != NULL;
}

/* Bytes of the record when it could be finished where its profile was unpacked; the memory is the caller's then, by
 * *handle. 0: it has to be built elsewhere. */
static size_t
finish_placed(struct pw_work *w, const struct pw_record_source *src, uint32_t *handle)
{
    struct pw_desk *desk = w->desk;
    int64_t n;

    if (desk->placed == PW_BULK_NONE) {
        return 0;
    }
    n = pw_record_finish(src, &desk->place);
    if (n < 0) {
        return 0;
    }
    *handle = desk->placed;
    desk->placed = PW_BULK_NONE;
    w->d->metrics.records_placed++;
    return (size_t)n;
}

static enum pw_reason
send_core(struct pw_work *w, uint32_t core, const struct pw_record_source *src)
{
    enum pw_reason reason;
    uint32_t handle;
    size_t n;

    if (!have_slot(w) || !pw_fanout_has_room(&w->d->fanout, core)) {
        return say(w, PW_REASON_QUEUE_FULL);
    }
    n = finish_placed(w, src, &handle);
    reason = n != 0 ? pw_fanout_send_placed(&w->d->fanout, w->slot, core, handle, n)
                    : pw_fanout_send(&w->d->fanout, w->slot, core, src);
    return reason == PW_REASON_NONE ? reason : say(w, reason);
}

/* --- Alone: a record a core ------------------------------------------------------------------------ */

static enum pw_reason
to_cores(struct pw_work *w, const struct pw_profile *p, struct pw_split *split,
         const struct pw_record_raw *raw)
{
    struct pw_scratch *s = w->scratch;
    uint32_t n = split->group_count;
    struct pw_record_group *group = pw_scratch_array(s, n, sizeof(*group));
    uint8_t *core = pw_scratch_array(s, n, sizeof(*core));
    enum pw_reason reason = PW_REASON_NONE;

    if (group == NULL || core == NULL) {
        return say(w, PW_REASON_CORE_MEMORY);
    }
    for (uint32_t i = 0; i < n; i++) {
        PW_FIBER_PAUSE_EVERY(s->fiber, i, 32);
        core[i] = (uint8_t)core_of(w, &split->group[i].labels);
        strip(&split->group[i].labels);
    }
    for (uint32_t c = 0; c < w->d->cfg.ingesters_count; c++) {
        struct pw_record_source src = {
            .raw = raw,
            .profile = p,
            .tenant = w->tenant,
            .group = group,
            .span_count = split->span_count,
            .span = split->span,
        };
        enum pw_reason rc;

        for (uint32_t i = 0; i < n; i++) {
            if (core[i] == c) {
                fill_group(w, &group[src.group_count++], &split->group[i]);
            }
            PW_FIBER_PAUSE_EVERY(s->fiber, i, 1024);
        }
        if (src.group_count == 0) {
            continue;
        }
        rc = send_core(w, c, &src);
        reason = reason == PW_REASON_NONE ? rc : reason; /* every core is tried */
    }
    return reason;
}

/* --- Among others: a record for all series that have the same owners and, here, the same core ------- */

struct owned { /* of one group */
    struct pw_targets to;
    uint32_t token;
    uint8_t core;
    bool sent;
};

/* Before anything of the profile is sent: one series without owners refuses all of it (ring.md 2.7). */
static enum pw_reason
find_owners(struct pw_work *w, struct pw_split *split, struct owned *own)
{
    int64_t now_s = pw_wall_ns() / 1000000000;

    for (uint32_t i = 0; i < split->group_count; i++) {
        struct owned *o = &own[i];

        PW_FIBER_PAUSE_EVERY(w->scratch->fiber, i, 32);
        *o = (struct owned){.token = token_of(w, &split->group[i].labels)};
        strip(&split->group[i].labels);
        w->err.len = 0;
        if (pw_replicate_owners(&w->d->fanout.replicate, w->tenant,
                                w->limits->ingestion_tenant_shard_size, o->token, now_s, &o->to,
                                &w->err) != 0) {
            return PW_REASON_RING;
        }
        if (w->d->cfg.ingesters_count > 1 && pw_targets_has(&o->to, PW_OWNER_SELF)) {
            o->core = (uint8_t)pw_token_core(o->token, w->d->cfg.ingesters_count);
        }
    }
    return PW_REASON_NONE;
}

static enum pw_reason
to_owners(struct pw_work *w, const struct pw_profile *p, struct pw_split *split,
          const struct pw_record_raw *raw)
{
    struct pw_scratch *s = w->scratch;
    uint32_t n = split->group_count;
    struct pw_record_group *group = pw_scratch_array(s, n, sizeof(*group));
    struct owned *own = pw_scratch_array(s, n, sizeof(*own));
    enum pw_reason reason;

    if (group == NULL || own == NULL || pw_scratch_left(s) < LABELS_TEXT_MAX) {
        return say(w, PW_REASON_CORE_MEMORY);
    }
    reason = find_owners(w, split, own);
    if (reason != PW_REASON_NONE) {
        return reason;
    }
    if (!have_slot(w)) {
        return say(w, PW_REASON_QUEUE_FULL);
    }
    for (uint32_t i = 0; i < n; i++) {
        struct pw_record_source src = {
            .raw = raw,
            .profile = p,
            .tenant = w->tenant,
            .group = group,
            .span_count = split->span_count,
            .span = split->span,
        };
        struct pw_replicate_order order = {
            .src = &src,
            .token = own[i].token,
            .core = own[i].core,
            .shard_size = w->limits->ingestion_tenant_shard_size,
            .now_s = pw_wall_ns() / 1000000000,
        };
        enum pw_reason rc;
        uint32_t handle;
        size_t bytes;

        for (uint32_t k = i; k < n && !own[i].sent; k++) {
            PW_FIBER_PAUSE_EVERY(s->fiber, k, 256);
            if (k == i || (!own[k].sent && own[k].core == own[i].core &&
                           pw_targets_same(&own[i].to, &own[k].to))) {
                fill_group(w, &group[src.group_count++], &split->group[k]);
                own[k].sent = k != i;
            }
        }
        if (src.group_count == 0) {
            continue;
        }
        bytes = finish_placed(w, &src, &handle);
        rc = bytes != 0
                 ? pw_replicate_send_placed(&w->d->fanout, w->slot, &order, handle, bytes, &w->err)
                 : pw_replicate_send(&w->d->fanout, w->slot, &order, &w->err);
        reason = reason == PW_REASON_NONE ? rc : reason; /* all are tried */
    }
    return reason;
}

enum pw_reason
pw_route(struct pw_work *w, const struct pw_profile *p, struct pw_split *split,
         const struct pw_record_raw *raw, uint64_t size)
{
    enum pw_reason reason =
        w->d->fanout.replicate.alone ? to_cores(w, p, split, raw) : to_owners(w, p, split, raw);

    if (w->slot != NULL) {
        w->slot->bytes += size;
    }
    return reason;
}

static_assert(PW_INGESTERS_MAX <= UINT8_MAX, "a core number fits the array of cores");
