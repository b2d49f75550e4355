/* /push.v1.PusherService/Push over Connect unary: contract write-path.md 1.1 and 3.1. */
#include "base/limits.h"
#include "distributor/internal.h"
#include "distributor/push.h"

#include <stdio.h>

#define ACCEPT_POST                                                                                \
    "Accept-Post: application/grpc, application/grpc+json, application/grpc+json; charset=utf-8, " \
    "application/grpc+proto, application/grpc-web, application/grpc-web+json, "                    \
    "application/grpc-web+json; charset=utf-8, application/grpc-web+proto, application/json, "     \
    "application/json; charset=utf-8, application/proto\r\n"

enum { HEAD_TEXT_MAX = 1024, TIMEOUT_DIGITS_MAX = 10 };

/* Media types are compared without regard to case and to white space around the semicolon. */
static bool
media_type(struct pw_slice v, enum pw_answer_kind *kind)
{
    char buf[64];
    size_t n = 0;

    for (size_t i = 0; i < v.len; i++) {
        if (v.ptr[i] == ' ' || v.ptr[i] == '\t') {
            continue;
        }
        if (n == sizeof(buf)) {
            return false;
        }
        buf[n++] = (char)pw_ascii_lower(v.ptr[i]);
    }
    v = pw_slice(buf, n);
    if (pw_slice_eq_str(v, "application/proto")) {
        *kind = PW_ANSWER_PUSH_PROTO;
    } else if (pw_slice_eq_str(v, "application/json")) {
        *kind = PW_ANSWER_PUSH_JSON;
    } else if (pw_slice_eq_str(v, "application/json;charset=utf-8")) {
        *kind = PW_ANSWER_PUSH_JSON_UTF8;
    } else {
        return false;
    }
    return true;
}

static bool
is_gzip(const struct pw_http_request *req)
{
    return pw_slice_eq_str(pw_http_header(req, "Content-Encoding"), "gzip");
}

/* RFC 9110 12.5.3, as far as it matters: a gzip token without q=0. */
static bool
accepts_gzip(struct pw_slice v)
{
    while (v.len != 0) { /* one element a turn */
        const uint8_t *comma = memchr(v.ptr, ',', v.len);
        size_t n = comma == NULL ? v.len : (size_t)(comma - v.ptr);
        struct pw_slice e = pw_slice(v.ptr, n);

        v = comma == NULL ? (struct pw_slice){0} : pw_slice(comma + 1, v.len - n - 1);
        while (e.len != 0 && e.ptr[0] == ' ') {
            e = pw_slice(e.ptr + 1, e.len - 1);
        }
        while (e.len != 0 && e.ptr[e.len - 1] == ' ') {
            e.len--;
        }
        if (pw_slice_eq_str(e, "gzip")) {
            return true;
        }
    }
    return false;
}

/* Headers in the order stock judges them: compression, protocol version, timeout. */
static enum pw_code
judge_headers(const struct pw_http_request *req, struct pw_text *err)
{
    struct pw_slice enc = pw_http_header(req, "Content-Encoding");
    struct pw_slice version = pw_http_header(req, "Connect-Protocol-Version");
    struct pw_slice timeout = pw_http_header(req, "Connect-Timeout-Ms");

    if (enc.len != 0 && !pw_slice_eq_str(enc, "identity") && !pw_slice_eq_str(enc, "gzip")) {
        pw_text_str(err, "unknown compression ");
        pw_text_go_quoted(err, enc);
        pw_text_str(err, ": supported encodings are gzip");
        return PW_CODE_UNIMPLEMENTED;
    }
    if (version.len != 0 && !pw_slice_eq_str(version, "1")) {
        pw_text_str(err, "Connect-Protocol-Version must be \"1\": got ");
        pw_text_go_quoted(err, version);
        return PW_CODE_INVALID_ARGUMENT;
    }
    for (size_t i = 0; i < timeout.len; i++) {
        bool range = timeout.len > TIMEOUT_DIGITS_MAX;

        if (range || timeout.ptr[i] < '0' || timeout.ptr[i] > '9') {
            pw_text_str(err, "parse timeout: ");
            if (range) {
                pw_text_go_quoted(err, timeout);
                pw_text_str(err, " has >10 digits");
            } else {
                pw_text_str(err, "strconv.ParseInt: parsing ");
                pw_text_go_quoted(err, timeout);
                pw_text_str(err, ": invalid syntax");
            }
            return PW_CODE_INVALID_ARGUMENT;
        }
    }
    return PW_CODE_OK;
}

static void
refused(struct pw_distributor *d, enum pw_reason reason)
{
    d->metrics.refused[reason]++;
}

void
pw_push_head(struct pw_distributor *d, const struct pw_http_request *req, struct pw_http_verdict *v)
{
    const struct pw_overrides *o = atomic_load_explicit(d->cfg.overrides, memory_order_acquire);
    enum pw_answer_kind kind;
    char buf[HEAD_TEXT_MAX];
    struct pw_text err;
    enum pw_code code;

    pw_scratch_rewind(&d->front.scratch, 0);
    v->answered = true;
    if (req->method != PW_HTTP_METHOD_POST) {
        refused(d, PW_REASON_BAD_REQUEST);
        pw_answer_empty(&d->fanout.answerer, req->conn, 405, PW_SLICE_LIT("Allow: POST\r\n"));
        return;
    }
    if (!media_type(pw_http_header(req, "Content-Type"), &kind)) {
        refused(d, PW_REASON_UNSUPPORTED);
        pw_answer_empty(&d->fanout.answerer, req->conn, 415, PW_SLICE_LIT(ACCEPT_POST));
        return;
    }
    pw_text_fixed(&err, buf, sizeof(buf));
    code = judge_headers(req, &err);
    if (code != PW_CODE_OK) {
        refused(d, PW_REASON_BAD_REQUEST);
        pw_answer_connect(&d->fanout.answerer, req->conn, code, pw_slice(buf, err.len));
        return;
    }
    v->answered = false;
    /* The default tenant's limit, as in stock: the caller is not known before the message is read. */
    v->body_bytes_limit = pw_body_limit(pw_overrides_get(o, PW_SLICE_LIT("")));
    pw_slow_head(d, req, v);
}

void
pw_push_too_large(struct pw_distributor *d, const struct pw_http_request *req)
{
    const struct pw_overrides *o = atomic_load_explicit(d->cfg.overrides, memory_order_acquire);
    char buf[128];
    int n = snprintf(buf, sizeof(buf), "message is larger than configured max %llu",
                     (unsigned long long)pw_body_limit(pw_overrides_get(o, PW_SLICE_LIT(""))));

    pw_scratch_rewind(&d->front.scratch, 0);
    refused(d, PW_REASON_REQUEST_TOO_LARGE);
    pw_answer_connect(&d->fanout.answerer, req->conn, PW_CODE_RESOURCE_EXHAUSTED,
                      pw_slice(buf, (size_t)n));
}

/* A request that is refused whole. */
static void
refuse(struct pw_work *w, enum pw_reason reason)
{
    refused(w->d, reason);
    pw_work_log(w, reason, NULL);
    pw_answer_connect(&w->d->fanout.answerer, w->to.conn, pw_reason_code(reason),
                      pw_slice(w->err.ptr, w->err.len));
}

/* Deflate reaches 1032:1 on bytes that are all the same; pprof, JSON and text stay below 20:1. Small bodies
 * may unpack to anything up to the floor, larger ones to RATIO_MAX times their size: unpacking holds the core
 * (about 1 ms a MiB with the first touch of its memory), and so no request holds it much longer than its own
 * bytes took to arrive. Stock goes on to the body limit. */
enum { UNPACKED_FLOOR_BYTES = 8 << 20, RATIO_MAX = 32 };

static uint64_t
unpacked_max(uint64_t packed_bytes)
{
    uint64_t max = packed_bytes * RATIO_MAX;

    return max > UNPACKED_FLOOR_BYTES ? max : UNPACKED_FLOOR_BYTES;
}

/* Undoes the outer gzip. */
static enum pw_reason
unpack_body(struct pw_work *w, struct pw_slice *out)
{
    const struct pw_overrides *o = atomic_load_explicit(w->d->cfg.overrides, memory_order_acquire);
    uint64_t limit = pw_body_limit(pw_overrides_get(o, PW_SLICE_LIT("")));
    struct pw_scratch *s = w->scratch;
    size_t left = pw_scratch_left(s) & ~(size_t)15;
    uint64_t bomb = unpacked_max(w->req->body_bytes);
    uint64_t most = limit < bomb ? limit : bomb;
    size_t cap = left < most ? left : (size_t)most;
    size_t len;
    uint8_t *to = s->base + s->used;

    switch (pw_inflate(w->desk->inflater, w->req->body, w->req->body_count, to, cap, &len)) {
    case PW_INFLATE_OK:
        *out = pw_slice(pw_scratch_alloc(s, len), len);
        return PW_REASON_NONE;
    case PW_INFLATE_TOO_LARGE:
        pw_scratch_note(s, len);
        pw_text_printf(&w->err, "message is larger than configured max %llu",
                       (unsigned long long)cap);
        return PW_REASON_REQUEST_TOO_LARGE;
    case PW_INFLATE_BAD_HEADER:
        pw_text_str(&w->err, "get decompressor: gzip: invalid header");
        return PW_REASON_BAD_REQUEST;
    case PW_INFLATE_TRUNCATED:
    case PW_INFLATE_CORRUPT:
    case PW_INFLATE_BAD_CHECKSUM:
        break;
    }
    pw_text_str(&w->err, "decompress: ");
    pw_text_str(&w->err, len == 0 && w->req->body_bytes < 10
                             ? "unexpected EOF"
                             : pw_inflate_text(PW_INFLATE_TRUNCATED));
    return PW_REASON_BAD_REQUEST;
}

static enum pw_reason
parse_body(struct pw_work *w, struct pw_push *push)
{
    const struct pw_slice *body = w->req->body;
    uint32_t count = w->req->body_count;
    struct pw_slice whole;
    int rc;

    if (is_gzip(w->req) && w->req->body_bytes != 0) {
        enum pw_reason reason = unpack_body(w, &whole);

        if (reason != PW_REASON_NONE) {
            return reason;
        }
        body = &whole;
        count = 1;
    }
    pw_text_str(&w->err, "unmarshal message: ");
    if (w->to.kind == PW_ANSWER_PUSH_PROTO) {
        rc = pw_push_parse_proto(push, body, count, w->scratch, &w->err);
    } else {
        pw_text_str(&w->err, "unmarshal into *pushv1.PushRequest: ");
        rc = pw_contiguous(w->scratch, body, count, &whole)
                 ? pw_push_parse_json(push, whole, w->scratch, &w->err)
                 : PW_ENOMEM;
    }
    if (rc == 0) {
        w->err.len = 0;
        return PW_REASON_NONE;
    }
    if (rc == PW_ENOMEM) {
        w->err.len = 0;
        pw_text_str(&w->err, "request needs more memory than this core has");
        return PW_REASON_CORE_MEMORY;
    }
    return PW_REASON_BAD_REQUEST;
}

static bool
own_text(struct pw_scratch *s, struct pw_slice *text)
{
    uint8_t *to = pw_scratch_alloc(s, text->len);

    if (to == NULL) {
        return false;
    }
    if (text->len != 0) {
        pw_fiber_copy(s->fiber, to, text->ptr, text->len);
    }
    text->ptr = to;
    return true;
}

/* The only profile of a request was unpacked, and lies joined where its record will be: once its labels are copied, nobody
 * needs the packets any more. */
static void
let_body_go(struct pw_work *w, const struct pw_labels *l)
{
    for (uint32_t i = 0; i < l->count; i++) {
        PW_FIBER_PAUSE_EVERY(w->scratch->fiber, i, 128);
        if (!own_text(w->scratch, &l->pair[i].name) || !own_text(w->scratch, &l->pair[i].value)) {
            return;
        }
    }
    pw_http_body_done(w->d->cfg.http, w->req->conn);
}

/* One raw profile of one series, from its bytes to the lanes. */
static void
push_sample(struct pw_work *w, const struct pw_push_series *series,
            const struct pw_push_sample *sample, uint32_t index, bool only)
{
    struct pw_scratch *s = w->scratch;
    struct pw_profile *p = pw_scratch_alloc(s, sizeof(*p));
    struct pw_series_in in = {.profile = p, .raw_bytes = sample->bytes};
    struct pw_decoded decoded;
    const char *text = NULL;
    enum pw_reason reason;

    if (p == NULL || !pw_work_labels(w, series->label, series->label_count, &in.labels)) {
        pw_text_str(&w->err, "profile needs more memory than this core has");
        pw_work_fail(w, PW_REASON_CORE_MEMORY, true, index);
        return;
    }
    reason = pw_decode_placed(w, sample->piece, sample->piece_count, sample->bytes, &decoded);
    if (only && w->desk->placed != PW_BULK_NONE) {
        let_body_go(w, &in.labels);
    }
    if (reason == PW_REASON_NONE) {
        int rc = pw_profile_parse(p, s, w->d->cfg.hash_key, decoded.bytes, &text);

        if (rc != 0) {
            reason = rc == PW_ENOMEM ? PW_REASON_CORE_MEMORY : PW_REASON_UNDECODABLE;
            decoded.coded = rc == PW_ENOMEM;
            pw_text_str(&w->err,
                        rc == PW_ENOMEM ? "profile needs more memory than this core has" : text);
        }
    }
    if (reason != PW_REASON_NONE) {
        if (reason != PW_REASON_PROFILE_SIZE_LIMIT) {
            pw_metrics_discard(w->stats, reason, 1, sample->bytes);
        }
        pw_work_log(w, reason, &in.labels);
        pw_work_fail(w, reason, decoded.coded, index);
        return;
    }
    in.raw = decoded.raw;
    in.raw_count = decoded.raw_count;
    reason = pw_process(w, &in);
    if (reason != PW_REASON_NONE) {
        pw_work_fail(w, reason, true, index);
    }
}

/* write-path.md 3.1 step 2: the batch as a whole, before anything of it is stored. Only a batch that
 * could pass the limit is unpacked twice. */
static bool
batch_fits(struct pw_work *w, const struct pw_push *push)
{
    double limit = w->limits->ingestion_body_limit_mb * 1048576;
    uint64_t sum = 0;

    if (!(limit > 0) || (double)w->limits->max_profile_size_bytes * push->sample_count <= limit) {
        return true;
    }
    for (uint32_t i = 0; i < push->series_count; i++) {
        for (uint32_t k = 0; k < push->series[i].sample_count; k++) {
            const struct pw_push_sample *sample = &push->series[i].sample[k];
            size_t mark = w->scratch->used;
            struct pw_decoded decoded;

            if (pw_decode(w, sample->piece, sample->piece_count, sample->bytes, &decoded) ==
                PW_REASON_NONE) {
                sum += decoded.bytes.len;
            }
            w->err.len = 0;
            pw_scratch_rewind(w->scratch, mark);
        }
    }
    if ((double)sum <= limit) {
        return true;
    }
    pw_metrics_discard(w->stats, PW_REASON_BODY_SIZE_LIMIT_EXCEEDED, push->sample_count, sum);
    pw_text_str(&w->err, "uncompressed batched profile payload size exceeds limit of ");
    pw_text_size_si(&w->err, (uint64_t)limit);
    return false;
}

void
pw_push_request(struct pw_desk *desk)
{
    const struct pw_http_request *req = &desk->req;
    struct pw_distributor *d = desk->d;
    struct pw_work w;
    struct pw_push push;
    enum pw_reason reason;
    size_t mark;

    if (!pw_work_init(&w, desk, req) ||
        !media_type(pw_http_header(req, "Content-Type"), &w.to.kind)) {
        pw_answer_empty(&d->fanout.answerer, req->conn, 503, (struct pw_slice){0});
        return;
    }
    d->metrics.requests_push++;
    w.to.gzip = is_gzip(req) || accepts_gzip(pw_http_header(req, "Accept-Encoding"));
    reason = parse_body(&w, &push);
    if (reason != PW_REASON_NONE) {
        refuse(&w, reason);
        return;
    }
    if (pw_work_tenant(&w) != 0) {
        refuse(&w, PW_REASON_UNAUTHENTICATED);
        return;
    }
    pw_metrics_observe(&d->metrics, &w.stats->batch_series, PW_BUCKETS_BATCH, push.series_count);
    if (push.sample_count == 0) {
        pw_text_str(&w.err, "no profiles received");
        refuse(&w, PW_REASON_BAD_REQUEST);
        return;
    }
    if (!batch_fits(&w, &push)) {
        refuse(&w, PW_REASON_BODY_SIZE_LIMIT_EXCEEDED);
        return;
    }
    mark = w.scratch->used;
    for (uint32_t i = 0; i < push.series_count; i++) {
        for (uint32_t k = 0; k < push.series[i].sample_count; k++) {
            push_sample(&w, &push.series[i], &push.series[i].sample[k], i, push.sample_count == 1);
            pw_place_drop(desk);
            pw_scratch_rewind(w.scratch, mark);
            pw_fiber_pause(w.scratch->fiber);
        }
    }
    pw_work_finish(&w);
}
