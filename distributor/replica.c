#include "distributor/replica.h"

#include "base/check.h"
#include "distributor/fanout.h"
#include "ring/lane_msg.h"
#include "ring/token.h"

enum { LABELS_TEXT_MAX = 64 << 10 };

struct request {
    struct pw_link_from from;
    uint32_t pending; /* parts without completion */
    uint16_t status;
    uint16_t text_len;
    uint8_t text[PW_LINK_TEXT_BYTES_MAX];
};

int
pw_replica_init_ctl(struct pw_replica *r, uint32_t requests_max, struct pw_scratch *scratch)
{
    *r = (struct pw_replica){.scratch = scratch};
    return pw_pool_init_ctl(&r->requests, requests_max, (uint32_t)sizeof(struct request));
}

void
pw_replica_fini_ctl(struct pw_replica *r)
{
    pw_pool_fini_ctl(&r->requests);
}

static void
reply(struct pw_fanout *f, struct pw_link_from from, uint16_t status, struct pw_slice text)
{
    const struct pw_owner_link *l = &f->replicate.link;

    f->replica.answered[status]++;
    (void)l->reply(l->link, from, status, text); /* its session may be over: no harm */
}

static void
refuse(struct pw_fanout *f, struct pw_link_from from, enum pw_replica_status status)
{
    reply(f, from, (uint16_t)status,
          status == PW_REPLICA_BUSY ? PW_SLICE_LIT("ingester queue is full, retry")
          : status == PW_REPLICA_VERSION_ALIEN
              ? PW_SLICE_LIT("the ingester speaks another version of replication")
          : status == PW_REPLICA_NO_INGESTER
              ? PW_SLICE_LIT("the appliance asked is no ingester")
              : PW_SLICE_LIT("the ingester could not read the record"));
}

/* What goes wrong in one part is the answer of the whole. */
static void
fail(struct request *q, enum pw_replica_status status, struct pw_slice text)
{
    if (q->status != PW_REPLICA_OK) {
        return;
    }
    q->status = (uint16_t)status;
    q->text_len = (uint16_t)(text.len < sizeof(q->text) ? text.len : sizeof(q->text));
    if (q->text_len != 0) {
        memcpy(q->text, text.ptr, q->text_len);
    }
}

static void
settle(struct pw_fanout *f, struct request *q)
{
    if (q->pending == 0) {
        struct pw_link_from from = q->from;
        uint16_t status = q->status;
        struct pw_slice text = pw_slice(q->text, q->text_len);

        pw_pool_put(&f->replica.requests, q);
        reply(f, from, status, text);
    }
}

static enum pw_replica_status
status_of(enum pw_reason reason)
{
    return reason == PW_REASON_SERIES_LIMIT   ? PW_REPLICA_SERIES_LIMIT
           : reason == PW_REASON_TENANT_SHARE ? PW_REPLICA_TENANT_SHARE
           : reason == PW_REASON_HEAD_FULL    ? PW_REPLICA_HEAD_FULL
           : reason == PW_REASON_DISK_FULL    ? PW_REPLICA_DISK_FULL
           : reason == PW_REASON_DISK_ERROR   ? PW_REPLICA_DISK_ERROR
                                              : PW_REPLICA_INTERNAL;
}

void
pw_replica_stored(struct pw_fanout *f, uint32_t index, const struct pw_lane_done *done)
{
    struct request *q;

    PW_INVARIANT(index < f->replica.requests.count);
    q = pw_pool_at(&f->replica.requests, index);
    PW_INVARIANT(q->pending > 0);
    q->pending--;
    if (done->status != 0) {
        char buf[PW_SLOT_TEXT_MAX];
        struct pw_text t;

        pw_text_fixed(&t, buf, sizeof(buf));
        enum pw_reason reason = pw_fanout_done_text(done, &t);

        fail(q, status_of(reason), pw_slice(buf, t.len));
    }
    settle(f, q);
}

/* --- Into the lanes --------------------------------------------------------------------------------- */

struct part { /* room for one record on its way to a core */
    struct pw_lane_push *push;
    uint32_t bulk;
    uint8_t *to;
};

static bool
part_open(struct pw_fanout *f, uint32_t core, size_t bytes, struct part *p)
{
    bool in_lane = bytes + sizeof(*p->push) <= pw_fanout_inline_max(f->out[core]);

    p->bulk = in_lane ? PW_BULK_NONE : pw_bulk_alloc(&f->bulk, bytes);
    if (!in_lane && p->bulk == PW_BULK_NONE) {
        return false;
    }
    p->push = pw_lane_reserve(f->out[core], (uint32_t)(sizeof(*p->push) + (in_lane ? bytes : 0)));
    if (p->push == NULL) {
        if (!in_lane) {
            pw_bulk_free(&f->bulk, p->bulk);
        }
        return false;
    }
    p->to = in_lane ? (uint8_t *)(p->push + 1) : pw_bulk_at(&f->bulk, p->bulk);
    return true;
}

static void
part_drop(struct pw_fanout *f, uint32_t core, const struct part *p)
{
    pw_lane_cancel(f->out[core]);
    if (p->bulk != PW_BULK_NONE) {
        pw_bulk_free(&f->bulk, p->bulk);
    }
}

static void
part_send(struct pw_fanout *f, uint32_t core, const struct part *p, uint32_t request, size_t bytes)
{
    bool in_lane = p->bulk == PW_BULK_NONE;

    *p->push = (struct pw_lane_push){
        .slot = pw_fanout_cookie(PW_COOKIE_REPLICA, request, p->bulk),
        .bulk = in_lane ? NULL : p->to,
        .bulk_bytes = bytes,
    };
    pw_lane_commit(f->out[core], PW_LANE_TYPE_PUSH,
                   (uint32_t)(sizeof(*p->push) + (in_lane ? bytes : 0)));
    pw_lane_flush(f->out[core]);
}

/* With one core nothing is to be chosen: one copy, checked where it lies. */
static enum pw_replica_status
take_whole(struct pw_fanout *f, struct request *q, struct pw_slice record)
{
    struct part p;

    if (!part_open(f, 0, record.len, &p)) {
        return PW_REPLICA_BUSY;
    }
    memcpy(p.to, record.ptr, record.len);
    if (!pw_replica_record_ok(p.to, record.len)) {
        part_drop(f, 0, &p);
        return PW_REPLICA_MALFORMED;
    }
    q->pending = 1;
    part_send(f, 0, &p, pw_pool_index(&f->replica.requests, q), record.len);
    return PW_REPLICA_OK;
}

/* As replay places it: by the token of the final labels. */
static uint32_t
core_of(const struct pw_fanout *f, const struct pw_record *rec, const struct pw_record_series *s,
        struct pw_label_pair *pair, uint8_t *text)
{
    const struct pw_record_label *l = PW_RECORD_AT(rec, struct pw_record_label, s->labels_off);
    struct pw_labels labels = {.pair = pair, .count = s->labels_count};
    struct pw_text t;

    for (uint32_t i = 0; i < s->labels_count; i++) {
        pair[i] = (struct pw_label_pair){.name = pw_record_slice(rec, l[i].name),
                                         .value = pw_record_slice(rec, l[i].value)};
    }
    pw_text_fixed(&t, text, LABELS_TEXT_MAX);
    pw_labels_text(&labels, &t);
    return pw_token_core(pw_token(pw_record_slice(rec, rec->tenant), pw_slice(t.ptr, t.len)),
                         f->cores);
}

/* The series of one core: the copy's own table is shortened to them. */
static void
send_part(struct pw_fanout *f, struct request *q, const struct pw_record *rec, const uint8_t *core,
          uint32_t c)
{
    const struct pw_record_series *from =
        PW_RECORD_AT(rec, struct pw_record_series, rec->series_off);
    struct pw_record_series *to;
    struct pw_record *copy;
    struct part p;
    uint32_t n = 0;

    if (!part_open(f, c, rec->bytes, &p)) {
        fail(q, PW_REPLICA_BUSY, PW_SLICE_LIT("ingester queue is full, retry"));
        return;
    }
    memcpy(p.to, rec, rec->bytes);
    copy = (struct pw_record *)(void *)p.to;
    to = (struct pw_record_series *)(void *)(p.to + rec->series_off);
    for (uint32_t i = 0; i < rec->series_count; i++) {
        if (core[i] == c) {
            to[n++] = from[i];
        }
    }
    copy->series_count = n;
    if (n != rec->series_count) {
        copy->raw_bytes = 0; /* that is the whole of it */
    }
    q->pending++;
    part_send(f, c, &p, pw_pool_index(&f->replica.requests, q), rec->bytes);
}

static enum pw_replica_status
take_split(struct pw_fanout *f, struct request *q, struct pw_slice record)
{
    struct pw_scratch *s = f->replica.scratch;
    uint8_t *bytes = pw_scratch_alloc(s, record.len);
    struct pw_label_pair *pair = pw_scratch_array(s, (size_t)2 * PW_LABELS_MAX, sizeof(*pair));
    uint8_t *text = pw_scratch_alloc(s, LABELS_TEXT_MAX);
    const struct pw_record *rec = (const struct pw_record *)(void *)bytes;
    uint8_t *core;
    uint32_t used = 0;

    if (bytes == NULL || pair == NULL || text == NULL) {
        return PW_REPLICA_BUSY;
    }
    memcpy(bytes, record.ptr, record.len);
    if (!pw_replica_record_ok(bytes, record.len)) {
        return PW_REPLICA_MALFORMED;
    }
    core = pw_scratch_array(s, rec->series_count, sizeof(*core));
    if (core == NULL) {
        return PW_REPLICA_BUSY;
    }
    for (uint32_t i = 0; i < rec->series_count; i++) {
        core[i] = (uint8_t)core_of(
            f, rec, &PW_RECORD_AT(rec, struct pw_record_series, rec->series_off)[i], pair, text);
        used |= 1U << core[i];
    }
    for (uint32_t c = 0; c < f->cores; c++) {
        if ((used >> c & 1) != 0) {
            send_part(f, q, rec, core, c);
        }
    }
    return PW_REPLICA_OK;
}

void
pw_replica_request(struct pw_fanout *f, struct pw_link_from from, struct pw_slice message)
{
    struct pw_replica *r = &f->replica;
    size_t mark = r->scratch->used;
    struct pw_slice record;
    struct request *q;
    enum pw_replica_status status = pw_replica_read(message, &record);

    if (status == PW_REPLICA_OK && f->cores == 0) {
        status = PW_REPLICA_NO_INGESTER;
    }
    q = status == PW_REPLICA_OK ? pw_pool_get(&r->requests) : NULL;
    if (status != PW_REPLICA_OK || q == NULL) {
        refuse(f, from, status != PW_REPLICA_OK ? status : PW_REPLICA_BUSY);
        return;
    }
    q->from = from;
    q->pending = 0;
    q->status = PW_REPLICA_OK;
    q->text_len = 0;
    r->bytes += message.len;
    status = f->cores == 1 ? take_whole(f, q, record) : take_split(f, q, record);
    pw_scratch_rewind(r->scratch, mark);
    if (status != PW_REPLICA_OK) {
        pw_pool_put(&r->requests, q);
        refuse(f, from, status);
        return;
    }
    settle(f, q); /* when no part could be sent */
}

static_assert(PW_INGESTERS_MAX <= 32, "a bit a core");
