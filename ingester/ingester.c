#include "ingester/ingester.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/metric.h"
#include "ingester/ack.h"
#include "ring/lane_msg.h"

#include <stdatomic.h>
#include <stdlib.h>

/* Records taken from one lane in a turn: an append takes some 10 us, and where the I/O worker shares
 * this lcore its receive queue waits meanwhile. */
enum { RECORDS_PER_TURN = 8, CACHE_LINE = 64, PREFETCH_LINES = 8 };

static_assert(RECORDS_PER_TURN <= PW_BURST_MAX, "the door's limit");

struct lane_state {
    struct pw_lane *in, *out;
    /* Popped and not answered: what was left when the reverse lane filled up. */
    struct pw_lane_record rec[RECORDS_PER_TURN];
    uint32_t first, count;
    struct pw_acks acks;
};

enum counter {
    RECORDS,
    HEAD_FULL,
    TENANT_SHARE,
    SERIES_LIMIT,
    MALFORMED,
    RECORD_BYTES,
    NOT_DURABLE,
    COUNTERS
};

struct pw_ingester {
    struct pw_head_set *heads;
    struct pw_head *head; /* of this turn */
    struct pw_wal *wal;
    bool wal_full;  /* its buffer, in this turn */
    bool wal_dirty; /* committed and not flushed */
    uint64_t (*series_limit)(void *ctx, struct pw_slice tenant);
    void *series_limit_ctx;
    uint64_t old_tsc;
    uint32_t lanes_count;
    _Atomic uint64_t
        counter[COUNTERS]; /* written by the poller, relaxed: a reader tolerates skew */
    struct lane_state lane[];
};

int
pw_ingester_create_ctl(struct pw_ingester **out, const struct pw_ingester_cfg *cfg)
{
    if (cfg->lanes_count == 0 || cfg->lanes_count > PW_WORKERS_MAX) {
        return PW_EINVAL;
    }
    struct pw_ingester *ing =
        calloc(1, sizeof(*ing) + cfg->lanes_count * sizeof(struct lane_state));

    if (ing == NULL) {
        return PW_ENOMEM;
    }
    ing->heads = cfg->heads;
    ing->series_limit = cfg->series_limit;
    ing->series_limit_ctx = cfg->series_limit_ctx;
    ing->lanes_count = cfg->lanes_count;
    ing->wal = cfg->wal;
    ing->old_tsc = cfg->old_tsc;
    for (uint32_t i = 0; i < cfg->lanes_count; i++) {
        ing->lane[i].in = cfg->in[i];
        ing->lane[i].out = cfg->out[i];
        if (pw_acks_create_ctl(&ing->lane[i].acks) != 0) {
            pw_ingester_destroy_ctl(ing);
            return PW_ENOMEM;
        }
    }
    *out = ing;
    return 0;
}

void
pw_ingester_destroy_ctl(struct pw_ingester *ing)
{
    for (uint32_t i = 0; i < ing->lanes_count; i++) {
        pw_acks_destroy_ctl(&ing->lane[i].acks);
    }
    free(ing);
}

static void
count(struct pw_ingester *ing, enum counter c, uint64_t n)
{
    uint64_t v = atomic_load_explicit(&ing->counter[c], memory_order_relaxed);

    atomic_store_explicit(&ing->counter[c], v + n, memory_order_relaxed);
}

/* The record of a push, or NULL when the message is not one. It comes from our own distributor, which
 * built it, so its insides are trusted (pprof/record.h). */
static const struct pw_record *
record_of(const struct pw_lane_record *msg)
{
    const struct pw_lane_push *push = msg->data;
    const struct pw_record *rec;
    uint64_t bytes;

    if (msg->type != PW_LANE_TYPE_PUSH || msg->bytes < sizeof(*push)) {
        return NULL;
    }
    rec = push->bulk != NULL ? push->bulk : push + 1;
    bytes = push->bulk != NULL ? push->bulk_bytes : msg->bytes - sizeof(*push);
    if (bytes < sizeof(*rec) || rec->version != PW_RECORD_VERSION || rec->bytes > bytes) {
        return NULL;
    }
    return rec;
}

static void
prefetch(const struct pw_lane_record *msg)
{
    const struct pw_lane_push *push = msg->data;
    const uint8_t *p = push->bulk != NULL ? push->bulk : (const uint8_t *)(push + 1);

    for (uint32_t i = 0; i < PREFETCH_LINES; i++) {
        __builtin_prefetch(p + (size_t)i * CACHE_LINE);
    }
}

enum taken {
    TAKEN_ANSWER, /* done is the answer */
    TAKEN_WAITS,  /* its completion comes with the log's sync */
    TAKEN_NOT,    /* the log's buffer is full: the record stays in the lane */
};

static uint64_t
series_limit(const struct pw_ingester *ing, const struct pw_record *rec)
{
    return ing->series_limit == NULL
               ? 0
               : ing->series_limit(ing->series_limit_ctx, pw_record_slice(rec, rec->tenant));
}

/* The head, and the log around it: room first, so that nothing is in the head that cannot be in the log;
 * a record that the head refuses leaves no trace there. */
static enum taken
store(struct pw_ingester *ing, struct lane_state *l, const struct pw_lane_push *push,
      const struct pw_record *rec, struct pw_lane_done *done, struct pw_now now)
{
    struct pw_head_append_info info = {0};
    int rc = ing->wal == NULL ? 0 : pw_wal_reserve(ing->wal, rec, push->bulk != NULL);

    if (rc == PW_EAGAIN) {
        return TAKEN_NOT;
    }
    done->status = rc;
    count(ing, NOT_DURABLE, rc != 0);
    if (rc != 0) {
        return TAKEN_ANSWER;
    }
    done->status = pw_head_append(ing->head, rec, now, series_limit(ing, rec), &info);
    done->actual = info.actual;
    done->limit = info.limit;
    count(ing, RECORDS, done->status == 0);
    count(ing, RECORD_BYTES, done->status == 0 ? rec->bytes : 0);
    count(ing, HEAD_FULL, done->status == PW_ENOMEM);
    count(ing, TENANT_SHARE, done->status == PW_EBUSY);
    count(ing, SERIES_LIMIT, done->status == PW_ERANGE);
    if (ing->wal == NULL) {
        return TAKEN_ANSWER;
    }
    if (done->status != 0) {
        pw_wal_cancel(ing->wal);
        return TAKEN_ANSWER;
    }
    uint64_t sequence = pw_wal_commit(ing->wal);

    ing->wal_dirty = true;
    if (!pw_wal_waits(ing->wal)) {
        return TAKEN_ANSWER;
    }
    if (push->since_tsc != 0 && pw_rdtsc() - push->since_tsc > ing->old_tsc) {
        pw_wal_hasten(ing->wal);
    }
    pw_acks_put(&l->acks, sequence, done);
    return TAKEN_WAITS;
}

static enum taken
take(struct pw_ingester *ing, struct lane_state *l, struct pw_lane_done *done, struct pw_now now)
{
    const struct pw_lane_record *msg = &l->rec[l->first];
    const struct pw_lane_push *push = msg->data;
    const struct pw_record *rec = record_of(msg);

    *done = (struct pw_lane_done){.status = PW_EINVAL};
    if (msg->bytes >= sizeof(*push)) {
        done->slot = push->slot;
    }
    if (rec == NULL) {
        count(ing, MALFORMED, 1);
        return TAKEN_ANSWER;
    }
    return store(ing, l, push, rec, done, now);
}

/* One record; false: it stays in its lane. */
static bool
take_one(struct pw_ingester *ing, struct lane_state *l, struct pw_now now)
{
    struct pw_lane_done *done = pw_lane_reserve(l->out, sizeof(*done));

    if (done == NULL) {
        return false; /* the worker is behind: its records wait in its lane */
    }
    if (l->first + 1 < l->count) {
        prefetch(&l->rec[l->first + 1]);
    }
    switch (take(ing, l, done, now)) {
    case TAKEN_ANSWER:
        pw_lane_commit(l->out, PW_LANE_TYPE_DONE, sizeof(*done));
        /* At once, not at the end of the burst: the client waits for it. */
        pw_lane_flush(l->out);
        break;
    case TAKEN_WAITS:
        pw_lane_cancel(l->out);
        break;
    case TAKEN_NOT:
        pw_lane_cancel(l->out);
        ing->wal_full = true;
        return false;
    }
    pw_lane_release(l->in, 1); /* the worker's next record perhaps waits for the room */
    l->first++;
    return true;
}

static uint32_t
poll_lane(struct pw_ingester *ing, struct lane_state *l)
{
    uint32_t taken = 0;

    if (l->first == l->count) {
        l->first = 0;
        l->count = pw_lane_pop_burst(l->in, l->rec, RECORDS_PER_TURN);
        if (l->count == 0) {
            return 0;
        }
    }
    struct pw_now now = pw_now_read(); /* stale by at most one turn */

    while (l->first < l->count && !pw_acks_full(&l->acks) && take_one(ing, l, now)) {
        taken++;
    }
    return taken;
}

/* What the log has synced meanwhile is answered. */
static uint32_t
answer(struct pw_ingester *ing)
{
    struct pw_wal_settled s;
    uint32_t n = 0;

    while (pw_wal_settled(ing->wal, &s)) { /* one commit of the log a turn */
        for (uint32_t i = 0; i < ing->lanes_count; i++) {
            count(ing, NOT_DURABLE, pw_acks_settle(&ing->lane[i].acks, &s));
        }
    }
    for (uint32_t i = 0; i < ing->lanes_count; i++) {
        n += pw_acks_send(&ing->lane[i].acks, ing->lane[i].out);
    }
    return n;
}

uint32_t
pw_ingester_poll(void *ctx, uint64_t now_tsc)
{
    struct pw_ingester *ing = ctx;
    uint32_t taken = 0;

    (void)now_tsc;
    ing->head = pw_head_set_turn(ing->heads);
    if (ing->wal != NULL) {
        taken += answer(ing);
    }
    ing->wal_full = false;
    for (uint32_t i = 0; i < ing->lanes_count && !ing->wal_full; i++) {
        taken += poll_lane(ing, &ing->lane[i]);
    }
    if (ing->wal_dirty) {
        ing->wal_dirty = false;
        pw_wal_flush(ing->wal);
    }
    return taken;
}

uint32_t
pw_ingester_rest_us(void *ctx)
{
    const struct pw_ingester *ing = ctx;

    for (uint32_t i = 0; i < ing->lanes_count; i++) {
        const struct lane_state *l = &ing->lane[i];

        if (l->first != l->count || l->acks.sent != l->acks.settled) {
            return 0; /* its worker takes completions soon, and does not ring for that */
        }
    }
    return UINT32_MAX;
}

void
pw_ingester_stats(const struct pw_ingester *ing, struct pw_ingester_stats *st)
{
    uint64_t c[COUNTERS];

    for (int i = 0; i < COUNTERS; i++) {
        c[i] = atomic_load_explicit(&ing->counter[i], memory_order_relaxed);
    }
    *st = (struct pw_ingester_stats){.records = c[RECORDS],
                                     .refused_head_full = c[HEAD_FULL],
                                     .refused_tenant_share = c[TENANT_SHARE],
                                     .refused_series_limit = c[SERIES_LIMIT],
                                     .malformed = c[MALFORMED],
                                     .not_durable = c[NOT_DURABLE],
                                     .record_bytes = c[RECORD_BYTES]};
}

/* --- Metrics ---------------------------------------------------------------------------------- */

struct sums {
    struct pw_ingester_stats ing;
    struct pw_head_stats head;
};

static struct sums
sum(struct pw_ingester *const *ing, uint32_t n, const struct pw_catalog_view *heads)
{
    struct sums s = {0};

    for (uint32_t i = 0; i < n; i++) {
        struct pw_ingester_stats a;

        pw_ingester_stats(ing[i], &a);
        s.ing.records += a.records;
        s.ing.refused_head_full += a.refused_head_full;
        s.ing.refused_tenant_share += a.refused_tenant_share;
        s.ing.refused_series_limit += a.refused_series_limit;
        s.ing.malformed += a.malformed;
        s.ing.not_durable += a.not_durable;
        s.ing.record_bytes += a.record_bytes;
        s.head.bytes_max += ing[i]->heads->cfg.bytes_max;
    }
    for (uint32_t i = 0; i < heads->heads_count; i++) {
        struct pw_head_stats b;

        pw_head_stats(heads->head[i], &b);
        s.head.bytes_used += b.tenants > 0 ? b.bytes_used : 0; /* a spare holds nothing yet */
        s.head.series += b.series;
        s.head.rows += b.rows;
        s.head.samples += b.samples;
        s.head.stacks += b.stacks;
        s.head.symbols_leaked += b.symbols_leaked;
        s.head.bytes_symbols += b.bytes_symbols;
        s.head.bytes_stacks += b.bytes_stacks;
        s.head.bytes_series += b.bytes_series;
        s.head.bytes_samples += b.bytes_samples;
        s.head.bytes_index += b.bytes_index;
    }
    return s;
}

static void
labelled(struct pw_text *t, const char *name, const char *label, const char *value, uint64_t v)
{
    pw_text_printf(t, "%s{%s=\"%s\"} %llu\n", name, label, value, (unsigned long long)v);
}

void
pw_ingester_metrics(struct pw_ingester *const *ing, uint32_t n, const struct pw_catalog_view *heads,
                    struct pw_text *t)
{
    static const char refused[] = "pyrowire_ingester_refused_total";
    static const char size[] = "pyroscope_head_size_bytes"; /* contract operations.md 5 */
    struct sums s = sum(ing, n, heads);

    pw_metric_u64(t, "pyrowire_ingester_records_total", "counter", "Records taken into the head.",
                  s.ing.records);
    pw_metric_u64(t, "pyrowire_ingester_record_bytes_total", "counter", "Bytes of those records.",
                  s.ing.record_bytes);
    pw_metric_family(t, refused, "counter", "Records refused by reason.");
    labelled(t, refused, "reason", "head_full", s.ing.refused_head_full);
    labelled(t, refused, "reason", "tenant_share", s.ing.refused_tenant_share);
    labelled(t, refused, "reason", "series_limit", s.ing.refused_series_limit);
    labelled(t, refused, "reason", "malformed", s.ing.malformed);
    labelled(t, refused, "reason", "not_durable", s.ing.not_durable);
    pw_metric_family(t, size, "gauge", "Size of the head by type.");
    labelled(t, size, "type", "symbols", s.head.bytes_symbols);
    labelled(t, size, "type", "stacktraces", s.head.bytes_stacks);
    labelled(t, size, "type", "series", s.head.bytes_series);
    labelled(t, size, "type", "samples", s.head.bytes_samples);
    labelled(t, size, "type", "index", s.head.bytes_index);
    pw_metric_u64(t, "pyrowire_head_used_bytes", "gauge", "Bytes of the head in use.",
                  s.head.bytes_used);
    pw_metric_u64(t, "pyrowire_head_limit_bytes", "gauge", "Bytes the head may use.",
                  s.head.bytes_max);
    pw_metric_u64(t, "pyrowire_head_series", "gauge", "Series in the head.", s.head.series);
    pw_metric_u64(t, "pyrowire_head_profiles", "gauge",
                  "Profiles (rows, one a sample type) in the head.", s.head.rows);
    pw_metric_u64(t, "pyrowire_head_samples", "gauge", "Samples in the head.", s.head.samples);
    pw_metric_u64(t, "pyrowire_head_stacktraces", "gauge", "Distinct stack traces in the head.",
                  s.head.stacks);
    pw_metric_u64(t, "pyrowire_head_leaked_symbols_total", "counter",
                  "Symbols interned for records that were refused afterwards.",
                  s.head.symbols_leaked);
}
