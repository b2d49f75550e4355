#include "distributor/fanout.h"

#include "base/check.h"
#include "base/limits.h"
#include "ring/lane_msg.h"

#include <stdio.h>

enum {
    REPLICA_REQUESTS_MAX = 4096, /* of peers, in our lanes at once */
    PAGES_AN_ITEM = 4,           /* of bulk memory */
};

static_assert(PW_INGESTERS_MAX <= 64, "one bit a lane in pw_fanout.dirty");

int
pw_fanout_init_ctl(struct pw_fanout *f, const struct pw_fanout_cfg *cfg)
{
    int rc;

    *f = (struct pw_fanout){
        .clock = cfg->clock,
        .out = cfg->out,
        .back = cfg->back,
        .cores = cfg->cores,
        .metrics = cfg->metrics,
        .deadline_tsc = UINT64_MAX,
    };
    if (cfg->cores > PW_INGESTERS_MAX || cfg->slots_max == 0 ||
        cfg->slots_max >> PW_COOKIE_INDEX_BITS != 0) {
        return PW_EINVAL;
    }
    rc = pw_pool_init_ctl(&f->slots, cfg->slots_max, (uint32_t)sizeof(struct pw_slot));
    if (rc != 0) {
        return rc;
    }
    rc = pw_bulk_init_ctl(&f->bulk, cfg->bulk_bytes);
    rc = rc != 0 ? rc
                 : pw_replicate_init_ctl(&f->replicate, f->bulk.pages / PAGES_AN_ITEM + 1,
                                         cfg->timeout_tsc);
    rc = rc != 0 ? rc : pw_replica_init_ctl(&f->replica, REPLICA_REQUESTS_MAX, cfg->scratch);
    if (rc != 0) {
        pw_fanout_fini_ctl(f);
        return rc;
    }
    f->answerer = (struct pw_answerer){.scratch = cfg->scratch, .bulk = &f->bulk};
    return 0;
}

void
pw_fanout_fini_ctl(struct pw_fanout *f)
{
    pw_pool_fini_ctl(&f->slots);
    pw_replicate_fini_ctl(&f->replicate);
    pw_replica_fini_ctl(&f->replica);
    pw_bulk_fini_ctl(&f->bulk);
}

struct pw_slot *
pw_fanout_open(struct pw_fanout *f, const struct pw_answer_to *to, struct pw_metrics_tenant *stats,
               uint64_t now_tsc)
{
    struct pw_slot *s = pw_pool_get(&f->slots);
    uint32_t self;

    if (s == NULL) {
        return NULL;
    }
    self = pw_pool_index(&f->slots, s) + 1;
    /* Not a whole-struct assignment: the text is 448 bytes that need no clearing. */
    s->start_tsc = now_tsc;
    s->deadline_tsc = UINT64_MAX;
    s->to = *to;
    s->stats = stats;
    s->bytes = 0;
    s->pending = 0;
    s->prev = 0;
    s->next = f->first;
    s->open = true;
    s->answered = false;
    s->reason = PW_REASON_NONE;
    s->index = 0;
    s->text_len = 0;
    s->text_bulk = PW_BULK_NONE;
    s->building = PW_BULK_NONE;
    if (f->first != 0) {
        ((struct pw_slot *)pw_pool_at(&f->slots, f->first - 1))->prev = self;
    }
    f->first = self;
    return s;
}

static void
drop_text(struct pw_fanout *f, struct pw_slot *s)
{
    if (s->text_bulk != PW_BULK_NONE) {
        pw_bulk_free(&f->bulk, s->text_bulk);
        s->text_bulk = PW_BULK_NONE;
    }
}

static void
put_slot(struct pw_fanout *f, struct pw_slot *s)
{
    PW_INVARIANT(s->answered && s->pending == 0 && !s->open);
    drop_text(f, s);
    if (s->prev != 0) {
        ((struct pw_slot *)pw_pool_at(&f->slots, s->prev - 1))->next = s->next;
    } else {
        f->first = s->next;
    }
    if (s->next != 0) {
        ((struct pw_slot *)pw_pool_at(&f->slots, s->next - 1))->prev = s->prev;
    }
    if (f->first == 0) {
        f->deadline_tsc = UINT64_MAX;
    }
    pw_pool_put(&f->slots, s);
}

void
pw_fanout_fail(struct pw_fanout *f, struct pw_slot *s, enum pw_reason reason, uint32_t index,
               struct pw_slice text)
{
    uint8_t *to = s->text;

    drop_text(f, s);
    if (text.len > PW_SLOT_TEXT_MAX) {
        s->text_bulk = pw_bulk_alloc(&f->bulk, text.len);
        if (s->text_bulk == PW_BULK_NONE) {
            text.len = PW_SLOT_TEXT_MAX;
        } else {
            to = pw_bulk_at(&f->bulk, s->text_bulk);
        }
    }
    if (text.len != 0) {
        memcpy(to, text.ptr, text.len);
    }
    s->text_len = (uint32_t)text.len;
    s->reason = reason;
    s->index = index;
}

static void
answer(struct pw_fanout *f, struct pw_slot *s)
{
    const uint8_t *text =
        s->text_bulk == PW_BULK_NONE ? s->text : pw_bulk_at(&f->bulk, s->text_bulk);

    s->answered = true;
    if (s->reason == PW_REASON_NONE) {
        pw_answer_ok(&f->answerer, &s->to);
    } else {
        pw_answer_failure(&f->answerer, &s->to, s->reason, s->index, pw_slice(text, s->text_len));
    }
}

size_t
pw_fanout_inline_max(const struct pw_lane *lane)
{
    size_t quarter = pw_lane_capacity(lane) / 4 - 64; /* less the lane's own record header */

    return quarter < PW_LANE_INLINE_BYTES_MAX ? quarter : PW_LANE_INLINE_BYTES_MAX;
}

static enum pw_reason
send_inline(struct pw_fanout *f, const struct pw_slot *slot, uint32_t core,
            const struct pw_record_source *src, size_t bytes_max)
{
    struct pw_lane *lane = f->out[core];
    struct pw_scratch *scratch = src->profile->scratch;
    struct pw_fiber *fiber = scratch->fiber;
    struct pw_lane_push *push;
    int64_t n;

    push = pw_lane_reserve(lane, (uint32_t)(sizeof(*push) + bytes_max));
    if (push == NULL) {
        return PW_REASON_QUEUE_FULL;
    }
    scratch->fiber = NULL; /* no other work may come between: the lane is reserved */
    n = pw_record_build(src, push + 1, bytes_max);
    scratch->fiber = fiber;
    if (n < 0) {
        pw_lane_cancel(lane);
        return PW_REASON_CORE_MEMORY;
    }
    *push = (struct pw_lane_push){
        .slot = pw_fanout_cookie(PW_COOKIE_SLOT, pw_pool_index(&f->slots, slot), PW_BULK_NONE),
        .bulk_bytes = (uint64_t)n,
        .since_tsc = slot->start_tsc};
    pw_lane_commit(lane, PW_LANE_TYPE_PUSH, (uint32_t)(sizeof(*push) + (size_t)n));
    f->metrics->records_inline++;
    f->metrics->record_bytes += (uint64_t)n;
    return PW_REASON_NONE;
}

/* Asked before the work of writing a record, which a lane that is full would make vain. */
bool
pw_fanout_has_room(struct pw_fanout *f, uint32_t core)
{
    PW_INVARIANT(core < f->cores);
    if (pw_lane_reserve(f->out[core], sizeof(struct pw_lane_push)) == NULL) {
        return false;
    }
    pw_lane_cancel(f->out[core]);
    return true;
}

static enum pw_reason
send_handle(struct pw_fanout *f, struct pw_slot *slot, uint32_t core, uint32_t h, size_t bytes)
{
    struct pw_lane_push *push = pw_lane_reserve(f->out[core], sizeof(*push));

    if (push == NULL) {
        pw_bulk_free(&f->bulk, h);
        return PW_REASON_QUEUE_FULL;
    }
    pw_bulk_trim(&f->bulk, h, bytes);
    *push = (struct pw_lane_push){
        .slot = pw_fanout_cookie(PW_COOKIE_SLOT, pw_pool_index(&f->slots, slot), h),
        .bulk = pw_bulk_at(&f->bulk, h),
        .bulk_bytes = bytes,
        .since_tsc = slot->start_tsc};
    pw_lane_commit(f->out[core], PW_LANE_TYPE_PUSH, sizeof(*push));
    f->metrics->records_bulk++;
    f->metrics->record_bytes += bytes;
    return PW_REASON_NONE;
}

/* One more record of the slot is on its way. */
static void
count_sent(struct pw_fanout *f, struct pw_slot *slot, uint32_t core)
{
    slot->pending++;
    f->dirty[0] |= 1ULL << core;
}

static enum pw_reason
send_bulk(struct pw_fanout *f, struct pw_slot *slot, uint32_t core,
          const struct pw_record_source *src, size_t bytes_max)
{
    uint32_t h = pw_fanout_has_room(f, core) ? pw_bulk_alloc(&f->bulk, bytes_max) : PW_BULK_NONE;
    int64_t n;

    if (h == PW_BULK_NONE) {
        return PW_REASON_QUEUE_FULL;
    }
    slot->building = h; /* other work may come between, and this one be dropped */
    n = pw_record_build(src, pw_bulk_at(&f->bulk, h), bytes_max);
    slot->building = PW_BULK_NONE;
    if (n < 0) {
        pw_bulk_free(&f->bulk, h);
        return PW_REASON_CORE_MEMORY;
    }
    return send_handle(f, slot, core, h, (size_t)n);
}

enum pw_reason
pw_fanout_send_placed(struct pw_fanout *f, struct pw_slot *slot, uint32_t core, uint32_t handle,
                      size_t bytes)
{
    enum pw_reason reason;

    PW_INVARIANT(core < f->cores && slot->open);
    reason = send_handle(f, slot, core, handle, bytes);
    if (reason == PW_REASON_NONE) {
        count_sent(f, slot, core);
    }
    return reason;
}

enum pw_reason
pw_fanout_send(struct pw_fanout *f, struct pw_slot *slot, uint32_t core,
               const struct pw_record_source *src)
{
    size_t bytes_max = pw_record_bytes_max(src);
    enum pw_reason reason;

    PW_INVARIANT(core < f->cores && slot->open);
    reason = sizeof(struct pw_lane_push) + bytes_max <= pw_fanout_inline_max(f->out[core])
                 ? send_inline(f, slot, core, src, bytes_max)
                 : send_bulk(f, slot, core, src, bytes_max);
    if (reason == PW_REASON_NONE) {
        count_sent(f, slot, core);
    }
    return reason;
}

static void
flush(struct pw_fanout *f)
{
    while (f->dirty[0] != 0) { /* one lane a turn */
        uint32_t core = (uint32_t)__builtin_ctzll(f->dirty[0]);

        pw_lane_flush(f->out[core]);
        f->dirty[0] &= f->dirty[0] - 1;
    }
}

void
pw_fanout_close(struct pw_fanout *f, struct pw_slot *s, uint64_t deadline_tsc)
{
    flush(f);
    s->open = false;
    s->deadline_tsc = deadline_tsc;
    if (s->pending == 0) {
        answer(f, s);
        put_slot(f, s);
        return;
    }
    if (deadline_tsc < f->deadline_tsc) {
        f->deadline_tsc = deadline_tsc;
    }
}

void
pw_fanout_abandon(struct pw_fanout *f, struct pw_slot *s)
{
    flush(f);
    if (s->building != PW_BULK_NONE) {
        pw_bulk_free(&f->bulk, s->building);
        s->building = PW_BULK_NONE;
    }
    s->open = false;
    s->answered = true;
    if (s->pending == 0) {
        put_slot(f, s);
    }
}

enum pw_reason
pw_fanout_done_text(const struct pw_lane_done *done, struct pw_text *t)
{
    switch (done->status) {
    case PW_ERANGE:
        pw_text_printf(t,
                       "Maximum active series limit exceeded (%llu/%llu), reduce the number of "
                       "active streams (reduce labels or reduce label values), or contact your "
                       "administrator to see if the limit can be increased",
                       (unsigned long long)done->actual, (unsigned long long)done->limit);
        return PW_REASON_SERIES_LIMIT;
    case PW_ENOMEM:
        pw_text_str(t, "head memory limit reached (");
        if (done->limit != 0) {
            pw_text_size_iec(t, done->actual);
            pw_text_str(t, " of ");
            pw_text_size_iec(t, done->limit);
        } else {
            pw_text_str(t, "all of it is in use");
        }
        pw_text_str(t, "), the profile was not stored");
        return PW_REASON_HEAD_FULL;
    case PW_EBUSY:
        pw_text_str(t, "this tenant's share of the head memory is used (");
        pw_text_size_iec(t, done->actual);
        pw_text_str(t, " held, ");
        pw_text_size_iec(t, done->limit);
        pw_text_str(t, " allowed now), the profile was not stored, retry later");
        return PW_REASON_TENANT_SHARE;
    case PW_ENOSPC:
        pw_text_str(t, "no room on the disk of the write-ahead log, the profile was not stored");
        return PW_REASON_DISK_FULL;
    case PW_EIO:
        pw_text_str(t, "the disk of the write-ahead log fails, the profile may not survive a "
                       "restart: send it again");
        return PW_REASON_DISK_ERROR;
    default:
        pw_text_printf(t, "ingester refused the record (%d)", done->status);
        return PW_REASON_INTERNAL;
    }
}

/* Something of the slot was settled: the answer, when it was the last. */
static void
settle(struct pw_fanout *f, struct pw_slot *s)
{
    PW_INVARIANT(s->pending > 0);
    s->pending--;
    if (s->pending == 0 && !s->open) {
        if (!s->answered) {
            answer(f, s);
        }
        put_slot(f, s);
    }
}

static void
refused(struct pw_fanout *f, struct pw_slot *s, enum pw_reason reason, struct pw_slice text)
{
    pw_metrics_discard(s->stats, reason, 1, s->bytes);
    if (s->reason == PW_REASON_NONE) {
        pw_fanout_fail(f, s, reason, s->index, text);
    }
}

void
pw_fanout_item_over(struct pw_fanout *f, uint32_t slot, enum pw_reason reason, struct pw_slice text)
{
    struct pw_slot *s;

    PW_INVARIANT(slot < f->slots.count);
    s = pw_pool_at(&f->slots, slot);
    if (reason != PW_REASON_NONE) {
        refused(f, s, reason, text);
        if (!s->open && !s->answered) {
            answer(f, s); /* ring.md 2.7: at once, the other items go on */
        }
    }
    settle(f, s);
}

static void
complete(struct pw_fanout *f, uint32_t index, const struct pw_lane_done *done, uint64_t now_tsc)
{
    struct pw_slot *s;
    double seconds;

    PW_INVARIANT(index < f->slots.count);
    s = pw_pool_at(&f->slots, index);
    seconds =
        now_tsc < s->start_tsc ? 0 : (double)(now_tsc - s->start_tsc) / (double)f->clock.tsc_hz;
    pw_metrics_observe(f->metrics,
                       &f->metrics->downstream[done->status == 0           ? 0
                                               : done->status == PW_ENOMEM ? 1
                                               : done->status == PW_EBUSY  ? 1
                                               : done->status == PW_ERANGE ? 1
                                                                           : 2],
                       PW_BUCKETS_SECONDS, seconds);
    if (done->status != 0) {
        char buf[PW_SLOT_TEXT_MAX];
        struct pw_text t;
        enum pw_reason reason;

        pw_text_fixed(&t, buf, sizeof(buf));
        reason = pw_fanout_done_text(done, &t);
        refused(f, s, reason, pw_slice(buf, t.len));
    }
    settle(f, s);
}

/* A completion belongs to a request, to a replicated record, or to a peer's request. */
static void
dispatch(struct pw_fanout *f, const struct pw_lane_done *done, uint64_t now_tsc)
{
    uint32_t bulk = (uint32_t)(done->slot >> 32);
    uint32_t index = (uint32_t)done->slot & ((1U << PW_COOKIE_INDEX_BITS) - 1);
    enum pw_cookie_kind kind = (enum pw_cookie_kind)((uint32_t)done->slot >> PW_COOKIE_INDEX_BITS);

    if (bulk != PW_BULK_NONE) {
        pw_bulk_free(&f->bulk, bulk);
    }
    switch (kind) {
    case PW_COOKIE_SLOT:
        complete(f, index, done, now_tsc);
        return;
    case PW_COOKIE_ITEM:
        pw_replicate_stored(f, index, done);
        return;
    case PW_COOKIE_REPLICA:
        pw_replica_stored(f, index, done);
        return;
    }
    PW_INVARIANT(kind <= PW_COOKIE_REPLICA); /* no lane carries a cookie of others */
}

/* Answers every slot that is due. Its records are still on their way: the slot stays until they are
 * acknowledged, since the ingester reads its bulk memory. */
static uint32_t
expire(struct pw_fanout *f, uint64_t now_tsc)
{
    uint64_t next = UINT64_MAX;
    uint32_t due = 0;

    /* An answer may let http_conn hand us the next pipelined request before it returns, and that one
     * brings a deadline of its own. */
    f->deadline_tsc = UINT64_MAX;
    for (uint32_t i = f->first; i != 0;) { /* at most slots_max */
        struct pw_slot *s = pw_pool_at(&f->slots, i - 1);

        i = s->next;
        if (s->answered || s->open) {
            continue;
        }
        if (s->deadline_tsc <= now_tsc) {
            pw_fanout_fail(f, s, PW_REASON_DEADLINE, s->index,
                           PW_SLICE_LIT("context deadline exceeded"));
            answer(f, s);
            f->metrics->replies_late++;
            due++;
        } else if (s->deadline_tsc < next) {
            next = s->deadline_tsc;
        }
    }
    if (next < f->deadline_tsc) {
        f->deadline_tsc = next;
    }
    return due;
}

uint32_t
pw_fanout_poll(struct pw_fanout *f, uint64_t now_tsc)
{
    uint32_t done = 0;

    f->now_tsc = now_tsc;
    for (uint32_t core = 0; core < f->cores; core++) {
        struct pw_lane_record rec[PW_BURST_MAX];
        uint32_t n = pw_lane_pop_burst(f->back[core], rec, PW_BURST_MAX);

        for (uint32_t i = 0; i < n; i++) {
            PW_INVARIANT(rec[i].type == PW_LANE_TYPE_DONE &&
                         rec[i].bytes == sizeof(struct pw_lane_done));
            dispatch(f, rec[i].data, now_tsc);
        }
        if (n != 0) {
            pw_lane_release(f->back[core], n);
        }
        done += n;
    }
    done += pw_replicate_expire(f, now_tsc);
    return now_tsc >= f->deadline_tsc ? done + expire(f, now_tsc) : done;
}
