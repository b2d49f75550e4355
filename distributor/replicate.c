#include "distributor/replicate.h"

#include "base/check.h"
#include "distributor/fanout.h"
#include "ring/lane_msg.h"

enum { NO_LOCAL = 0xFF };

int
pw_replicate_init_ctl(struct pw_replicate *r, uint32_t items_max, uint64_t timeout_tsc)
{
    int rc;

    *r = (struct pw_replicate){.timeout_tsc = timeout_tsc};
    rc = pw_pool_init_ctl(&r->items, items_max, (uint32_t)sizeof(struct pw_item));
    return rc != 0 ? rc : pw_shards_init_ctl(&r->shards);
}

void
pw_replicate_fini_ctl(struct pw_replicate *r)
{
    pw_pool_fini_ctl(&r->items);
    pw_shards_fini_ctl(&r->shards);
}

/* A call's cookie: which item, and which of its targets.
 *
 *     63           32 31            0
 *    +---------------+---------------+
 *    | target        | item index    |
 *    +---------------+---------------+
 */
static uint64_t
cookie(uint32_t item, uint32_t target)
{
    return (uint64_t)target << 32 | item;
}

static struct pw_item *
item_at(const struct pw_replicate *r, uint32_t i)
{
    return pw_pool_at(&r->items, i);
}

int
pw_replicate_owners(struct pw_replicate *r, struct pw_slice tenant, uint32_t shard_size,
                    uint32_t token, int64_t now_s, struct pw_targets *to, struct pw_text *why)
{
    const struct pw_ring_shard *shard =
        r->owners == NULL ? NULL : pw_shards_of(&r->shards, r->owners->view, tenant, shard_size);

    return pw_owners_resolve(r->owners, shard, token, now_s, to, why);
}

/* --- The list by age: every item has the same time, so it is in the order of expiry too ---------- */

static void
list_append(struct pw_replicate *r, struct pw_item *it)
{
    uint32_t self = pw_pool_index(&r->items, it) + 1;

    it->aged = false;
    it->next = 0;
    it->prev = r->last;
    if (r->last != 0) {
        item_at(r, r->last - 1)->next = self;
    } else {
        r->first = self;
    }
    r->last = self;
}

static void
list_remove(struct pw_replicate *r, struct pw_item *it)
{
    if (it->aged) {
        return;
    }
    it->aged = true;
    if (it->prev != 0) {
        item_at(r, it->prev - 1)->next = it->next;
    } else {
        r->first = it->next;
    }
    if (it->next != 0) {
        item_at(r, it->next - 1)->prev = it->prev;
    } else {
        r->last = it->prev;
    }
}

/* --- Votes ------------------------------------------------------------------------------------------ */

/* Nobody reads the record any more. */
static void
let_go(struct pw_fanout *f, struct pw_item *it)
{
    struct pw_replicate *r = &f->replicate;

    if (it->calling != 0 || it->local != NO_LOCAL) {
        return;
    }
    PW_INVARIANT(pw_quorum_decided(&it->quorum));
    list_remove(r, it);
    pw_bulk_free(&f->bulk, it->bulk);
    pw_pool_put(&r->items, it);
}

static void
vote(struct pw_fanout *f, struct pw_item *it, uint32_t target, enum pw_reason reason,
     struct pw_slice text)
{
    struct pw_replicate *r = &f->replicate;

    r->stats.late += pw_quorum_decided(&it->quorum);
    switch (pw_quorum_vote(&it->quorum, target, reason == PW_REASON_NONE)) {
    case PW_QUORUM_OPEN:
        return;
    case PW_QUORUM_MET:
        r->stats.met++;
        pw_fanout_item_over(f, it->slot, PW_REASON_NONE, text);
        return;
    case PW_QUORUM_LOST:
        r->stats.lost++;
        pw_fanout_item_over(f, it->slot, reason, text);
        return;
    }
}

/* --- Sending ---------------------------------------------------------------------------------------- */

static const char *
instance_of(const struct pw_fanout *f, const struct pw_targets *to, uint32_t target)
{
    return f->replicate.owners->view->instance[to->instance[target]].id;
}

static void
send_local(struct pw_fanout *f, struct pw_item *it, uint32_t target, uint32_t core)
{
    const struct pw_slot *slot = pw_pool_at(&f->slots, it->slot);
    struct pw_lane *lane = core < f->cores ? f->out[core] : NULL;
    struct pw_lane_push *push = lane == NULL ? NULL : pw_lane_reserve(lane, sizeof(*push));

    if (push == NULL) {
        f->replicate.stats.full++;
        vote(f, it, target, PW_REASON_QUEUE_FULL, PW_SLICE_LIT("ingester queue is full, retry"));
        return;
    }
    *push = (struct pw_lane_push){
        .slot =
            pw_fanout_cookie(PW_COOKIE_ITEM, pw_pool_index(&f->replicate.items, it), PW_BULK_NONE),
        .bulk = pw_bulk_at(&f->bulk, it->bulk),
        .bulk_bytes = it->head.record_bytes,
        .since_tsc = slot->start_tsc,
    };
    pw_lane_commit(lane, PW_LANE_TYPE_PUSH, sizeof(*push));
    f->dirty[0] |= 1ULL << core;
    it->local = (uint8_t)target;
    f->metrics->records_bulk++;
    f->metrics->record_bytes += it->head.record_bytes;
}

/* Why a call could not even begin. */
static enum pw_reason
not_called(struct pw_replicate *r, int rc, const char *id, struct pw_text *t)
{
    switch (rc) {
    case PW_EAGAIN:
        r->stats.full++;
        pw_text_printf(t, "too much is on its way to ingester %s, retry", id);
        return PW_REASON_QUEUE_FULL;
    case PW_EMSGSIZE:
        r->stats.large++;
        pw_text_printf(t, "the profile is too large to be replicated to ingester %s", id);
        return PW_REASON_REPLICA_TOO_LARGE;
    default:
        r->stats.down++;
        pw_text_printf(t, "ingester %s does not answer", id);
        return PW_REASON_REPLICA_DOWN;
    }
}

static void
send_peer(struct pw_fanout *f, struct pw_item *it, uint32_t target, const char *id)
{
    struct pw_replicate *r = &f->replicate;
    const struct pw_slice parts[2] = {
        {.ptr = (const uint8_t *)&it->head, .len = sizeof(it->head)},
        {.ptr = pw_bulk_at(&f->bulk, it->bulk), .len = it->head.record_bytes},
    };
    char buf[PW_SLOT_TEXT_MAX];
    struct pw_text t;
    enum pw_reason reason;
    int rc = PW_ECONNRESET;

    pw_text_fixed(&t, buf, sizeof(buf));
    if (it->peer[target] == PW_OWNER_UNKNOWN) {
        r->stats.unknown++;
        pw_text_printf(&t,
                       "ingester %s of the ring announces no pyrowire link: a ring with other "
                       "ingesters in it is shown, and takes no writes for them",
                       id);
        vote(f, it, target, PW_REASON_REPLICA_UNKNOWN, pw_slice(buf, t.len));
        return;
    }
    if (r->link.link != NULL) {
        rc = r->link.call(r->link.link, it->peer[target], parts, PW_ARRAY_LEN(parts),
                          cookie(pw_pool_index(&r->items, it), target));
    }
    if (rc == 0) {
        it->calling = (uint8_t)(it->calling | 1U << target);
        r->stats.calls++;
        r->stats.call_bytes += parts[0].len + parts[1].len;
        return;
    }
    reason = not_called(r, rc, id, &t);
    vote(f, it, target, reason, pw_slice(buf, t.len));
}

/* From here on nothing waits: the numbers of peers hold until the end. */
static enum pw_reason
start(struct pw_fanout *f, struct pw_slot *slot, const struct pw_replicate_order *o, uint32_t bulk,
      uint32_t bytes, struct pw_text *why)
{
    struct pw_replicate *r = &f->replicate;
    struct pw_targets to;
    struct pw_item *it;
    int rc;

    why->len = 0;
    if (pw_replicate_owners(r, o->src->tenant, o->shard_size, o->token, o->now_s, &to, why) != 0) {
        return PW_REASON_RING;
    }
    it = pw_pool_get(&r->items);
    if (it == NULL) {
        pw_text_str(why, "ingester queue is full, retry");
        return PW_REASON_QUEUE_FULL;
    }
    it->calling = 0;
    it->local = NO_LOCAL;
    it->slot = pw_pool_index(&f->slots, slot);
    it->bulk = bulk;
    it->expires_tsc =
        (slot->start_tsc > f->now_tsc ? slot->start_tsc : f->now_tsc) + r->timeout_tsc;
    memcpy(it->peer, to.peer, sizeof(it->peer));
    pw_replica_head_init(&it->head, bytes);
    rc = pw_quorum_init(&it->quorum, to.count, to.max_errors);
    PW_INVARIANT(rc == 0); /* the ring says so */
    list_append(r, it);
    slot->pending++;
    r->stats.items++;
    for (uint32_t i = 0; i < to.count; i++) {
        if (to.peer[i] == PW_OWNER_SELF) {
            send_local(f, it, i, o->core);
        } else {
            send_peer(f, it, i, instance_of(f, &to, i));
        }
    }
    let_go(f, it);
    return PW_REASON_NONE;
}

enum pw_reason
pw_replicate_send_placed(struct pw_fanout *f, struct pw_slot *slot,
                         const struct pw_replicate_order *o, uint32_t handle, size_t bytes,
                         struct pw_text *why)
{
    enum pw_reason reason;

    pw_bulk_trim(&f->bulk, handle, bytes);
    reason = start(f, slot, o, handle, (uint32_t)bytes, why);
    if (reason != PW_REASON_NONE) {
        pw_bulk_free(&f->bulk, handle);
    }
    return reason;
}

enum pw_reason
pw_replicate_send(struct pw_fanout *f, struct pw_slot *slot, const struct pw_replicate_order *o,
                  struct pw_text *why)
{
    size_t bytes_max = pw_record_bytes_max(o->src);
    uint32_t h = pw_bulk_alloc(&f->bulk, bytes_max);
    int64_t n;

    why->len = 0;
    if (h == PW_BULK_NONE) {
        pw_text_str(why, "ingester queue is full, retry");
        return PW_REASON_QUEUE_FULL;
    }
    slot->building = h; /* other work may come between, and this one be dropped */
    n = pw_record_build(o->src, pw_bulk_at(&f->bulk, h), bytes_max);
    slot->building = PW_BULK_NONE;
    if (n < 0) {
        pw_bulk_free(&f->bulk, h);
        pw_text_str(why, "profile needs more memory than this core has");
        return PW_REASON_CORE_MEMORY;
    }
    return pw_replicate_send_placed(f, slot, o, h, (size_t)n, why);
}

/* --- Answers ---------------------------------------------------------------------------------------- */

static enum pw_reason
refusal(uint32_t status)
{
    switch (status) {
    case PW_REPLICA_SERIES_LIMIT:
        return PW_REASON_SERIES_LIMIT;
    case PW_REPLICA_HEAD_FULL:
        return PW_REASON_HEAD_FULL;
    case PW_REPLICA_TENANT_SHARE:
        return PW_REASON_TENANT_SHARE;
    case PW_REPLICA_DISK_FULL:
        return PW_REASON_DISK_FULL;
    case PW_REPLICA_DISK_ERROR:
        return PW_REASON_DISK_ERROR;
    case PW_REPLICA_BUSY:
        return PW_REASON_QUEUE_FULL;
    case PW_REPLICA_NO_INGESTER:
        return PW_REASON_REPLICA_DOWN;
    default:
        return PW_REASON_INTERNAL;
    }
}

void
pw_replicate_called(struct pw_fanout *f, uint64_t c, int status, struct pw_slice text)
{
    struct pw_replicate *r = &f->replicate;
    uint32_t index = (uint32_t)c;
    uint32_t target = (uint32_t)(c >> 32);
    struct pw_item *it;

    PW_INVARIANT(index < r->items.count);
    it = item_at(r, index);
    PW_INVARIANT(target < it->quorum.targets && (it->calling & 1U << target) != 0);
    it->calling = (uint8_t)(it->calling & ~(1U << target));
    if (status == PW_REPLICA_OK) {
        r->stats.acks++;
        vote(f, it, target, PW_REASON_NONE, text);
    } else if (status == PW_LINK_DEAD) {
        r->stats.died++;
        vote(f, it, target, PW_REASON_REPLICA_DOWN,
             PW_SLICE_LIT("an ingester went away before it acknowledged the profile"));
    } else {
        r->stats.refused[status < PW_REPLICA_STATUSES ? status : PW_REPLICA_INTERNAL]++;
        vote(f, it, target, refusal((uint32_t)status), text);
    }
    let_go(f, it);
}

void
pw_replicate_stored(struct pw_fanout *f, uint32_t index, const struct pw_lane_done *done)
{
    struct pw_item *it;
    uint32_t target;
    char buf[PW_SLOT_TEXT_MAX];
    struct pw_text t;
    enum pw_reason reason = PW_REASON_NONE;

    PW_INVARIANT(index < f->replicate.items.count);
    it = item_at(&f->replicate, index);
    PW_INVARIANT(it->local != NO_LOCAL);
    target = it->local;
    it->local = NO_LOCAL;
    pw_text_fixed(&t, buf, sizeof(buf));
    if (done->status != 0) {
        reason = pw_fanout_done_text(done, &t);
    }
    vote(f, it, target, reason, pw_slice(buf, t.len));
    let_go(f, it);
}

/* Its peers are let off. A lane of ours reads on, so that the memory stays until it is through. */
static void
give_up(struct pw_fanout *f, struct pw_item *it)
{
    struct pw_replicate *r = &f->replicate;
    uint32_t calling = it->calling;

    r->stats.expired++;
    list_remove(r, it);
    for (uint32_t i = 0; i < it->quorum.targets; i++) {
        if ((calling & 1U << i) != 0) {
            int rc = r->link.cancel(r->link.link, cookie(pw_pool_index(&r->items, it), i));

            PW_INVARIANT(rc == 0);
            it->calling = (uint8_t)(it->calling & ~(1U << i));
            r->stats.cancelled++;
        }
    }
    for (uint32_t i = 0; i < it->quorum.targets; i++) {
        if ((it->quorum.voted & 1U << i) == 0) {
            vote(f, it, i, PW_REASON_DEADLINE, PW_SLICE_LIT("context deadline exceeded"));
        }
    }
    let_go(f, it);
}

uint32_t
pw_replicate_expire(struct pw_fanout *f, uint64_t now_tsc)
{
    struct pw_replicate *r = &f->replicate;
    uint32_t n = 0;

    while (r->first != 0 && item_at(r, r->first - 1)->expires_tsc <= now_tsc) { /* each once */
        give_up(f, item_at(r, r->first - 1));
        n++;
    }
    return n;
}
