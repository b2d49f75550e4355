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

/* The core of a group. One core needs no token: spelling out the labels costs more than the walk of
 * a small profile. */
static uint32_t
core_of(struct pw_work *w, const struct pw_labels *l)
{
    struct pw_scratch *s = w->scratch;
    size_t mark = s->used;
    struct pw_text t;
    void *buf;
    uint32_t core;

    if (w->d->cfg.ingesters_count == 1) {
        return 0;
    }
    buf = pw_scratch_alloc(s, LABELS_TEXT_MAX);
    if (buf == NULL) {
        return 0;
    }
    pw_text_fixed(&t, buf, LABELS_TEXT_MAX);
    pw_labels_text(l, &t);
    core = pw_token_core(pw_token(w->tenant, pw_slice(t.ptr, t.len)), w->d->cfg.ingesters_count);
    pw_scratch_rewind(s, mark);
    return core;
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

static enum pw_reason
send_core(struct pw_work *w, uint32_t core, const struct pw_record_source *src)
{
    enum pw_reason reason;

    if (w->slot == NULL) {
        w->slot = pw_fanout_open(&w->d->fanout, &w->to, w->stats, w->req->now_tsc);
        if (w->slot == NULL) {
            return say(w, PW_REASON_QUEUE_FULL);
        }
        w->desk->slot = w->slot;
    }
    reason = pw_fanout_send(&w->d->fanout, w->slot, core, src);
    return reason == PW_REASON_NONE ? reason : say(w, reason);
}

enum pw_reason
pw_route(struct pw_work *w, const struct pw_profile *p, struct pw_split *split,
         const struct pw_record_raw *raw, uint64_t size)
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
    if (w->slot != NULL) {
        w->slot->bytes += size;
    }
    return reason;
}

static_assert(PW_INGESTERS_MAX <= UINT8_MAX, "a core number fits the array of cores");
