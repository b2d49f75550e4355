/* /ingest and /pyroscope/ingest: contract write-path.md 1.3, 1.3.1 (folded) and 1.3.2 (pprof). */
#include "base/limits.h"
#include "distributor/folded.h"
#include "distributor/ingest.h"
#include "distributor/internal.h"
#include "distributor/pprof_form.h"

#include <stdio.h>

#define PARSING "parsing IngestInput-pprof failed "

static void
refuse(struct pw_work *w, enum pw_reason reason, uint16_t status, bool vary)
{
    w->d->metrics.refused[reason]++;
    pw_work_log(w, reason, NULL);
    pw_answer_plain(&w->d->fanout.answerer, w->to.conn, status, vary,
                    pw_slice(w->err.ptr, w->err.len));
}

/* The first step of auth: a header has to be there; what is in it is judged later. */
static bool
tenant_present(const struct pw_distributor *d, const struct pw_http_request *req)
{
    return !d->cfg.multitenancy || pw_http_header(req, "X-Scope-OrgID").len != 0;
}

/* Limits for the body; a bad tenant id gets the defaults, and its refusal later. */
static uint64_t
body_limit(struct pw_distributor *d, const struct pw_http_request *req)
{
    const struct pw_overrides *o = atomic_load_explicit(d->cfg.overrides, memory_order_acquire);
    struct pw_slice tenant = PW_SLICE_LIT("");
    char buf[256];
    struct pw_text err;

    pw_text_fixed(&err, buf, sizeof(buf));
    if (pw_tenant_from_header(d->cfg.multitenancy, pw_http_header(req, "X-Scope-OrgID"), &tenant,
                              &err) != 0) {
        tenant = PW_SLICE_LIT("");
    }
    return pw_body_limit(pw_overrides_get(o, tenant));
}

static const char *
unsupported_name(enum pw_ingest_format format)
{
    switch (format) {
    case PW_INGEST_TRIE:
        return "trie";
    case PW_INGEST_TREE:
        return "tree";
    case PW_INGEST_LINES:
        return "lines";
    case PW_INGEST_JFR:
        return "jfr";
    case PW_INGEST_SPEEDSCOPE:
        return "speedscope";
    case PW_INGEST_FOLDED:
    case PW_INGEST_PPROF:
    case PW_INGEST_PPROF_FORM:
        break;
    }
    return NULL;
}

/* Query parameters, which are judged before the body is read; false: answered. */
static bool
parse_params(struct pw_work *w, struct pw_ingest_params *p)
{
    struct pw_slice type = pw_http_header(w->req, "Content-Type");
    const char *name;
    int rc = pw_ingest_params_parse(p, w->req->query, type, w->now_ns, w->scratch, &w->err);

    if (rc != 0) {
        if (rc == PW_ENOMEM) {
            pw_text_str(&w->err, "request needs more memory than this core has");
        }
        refuse(w, rc == PW_ENOMEM ? PW_REASON_CORE_MEMORY : PW_REASON_BAD_REQUEST,
               rc == PW_ENOMEM ? 503 : 400, true);
        return false;
    }
    name = unsupported_name(p->format);
    if (name != NULL) {
        pw_text_printf(&w->err, "format %s is not implemented by this server yet", name);
        refuse(w, PW_REASON_UNSUPPORTED, 501, true);
        return false;
    }
    return true;
}

void
pw_ingest_head(struct pw_distributor *d, const struct pw_http_request *req,
               struct pw_http_verdict *v)
{
    struct pw_ingest_params params;
    struct pw_work w;

    v->answered = true;
    if (req->method != PW_HTTP_METHOD_POST) {
        d->metrics.refused[PW_REASON_BAD_REQUEST]++;
        pw_answer_empty(&d->fanout.answerer, req->conn, 405, (struct pw_slice){0});
        return;
    }
    if (!pw_work_init(&w, &d->front, req)) {
        pw_answer_empty(&d->fanout.answerer, req->conn, 503, (struct pw_slice){0});
        return;
    }
    if (!tenant_present(d, req)) {
        pw_text_str(&w.err, "no org id");
        refuse(&w, PW_REASON_UNAUTHENTICATED, 401, false);
        return;
    }
    if (!parse_params(&w, &params)) {
        return;
    }
    v->answered = false;
    v->body_bytes_limit = body_limit(d, req);
    pw_slow_head(d, req, v);
}

void
pw_ingest_too_large(struct pw_distributor *d, const struct pw_http_request *req)
{
    struct pw_work w;

    if (!pw_work_init(&w, &d->front, req)) {
        pw_answer_empty(&d->fanout.answerer, req->conn, 413, (struct pw_slice){0});
        return;
    }
    /* Stock reads up to the limit and then fails, so bytes_read is the limit. */
    pw_text_printf(&w.err,
                   "request body too large: error reading request body bytes_read %llu: http: "
                   "request body too large",
                   (unsigned long long)body_limit(d, req));
    refuse(&w, PW_REASON_BODY_SIZE_LIMIT_EXCEEDED, 413, true);
}

/* A body that could not be read as what it claims to be: 422, no profile counted. */
static void
refuse_parse(struct pw_work *w, const char *prefix)
{
    struct pw_text *t = &w->failures.text; /* unused so far */

    pw_text_str(t, prefix);
    pw_text_slice(t, pw_slice(w->err.ptr, w->err.len));
    w->d->metrics.refused[PW_REASON_BAD_REQUEST]++;
    pw_work_log(w, PW_REASON_BAD_REQUEST, NULL);
    pw_answer_plain(&w->d->fanout.answerer, w->to.conn, 422, true, pw_slice(t->ptr, t->len));
}

static void
refuse_memory(struct pw_work *w)
{
    w->err.len = 0;
    pw_text_str(&w->err, "request needs more memory than this core has");
    refuse(w, PW_REASON_CORE_MEMORY, 429, true);
}

static bool
put_label(struct pw_labels *l, const char *name, struct pw_slice value)
{
    if (l->count == l->cap) {
        return false;
    }
    l->pair[l->count++] = (struct pw_label_pair){pw_slice_str(name), value};
    return true;
}

/* write-path.md 1.3, last paragraph: the labels of the series. */
static bool
series_labels(struct pw_work *w, const struct pw_ingest_params *p, struct pw_slice metric,
              struct pw_slice app, struct pw_labels *out)
{
    const struct pw_labels *in = &p->name.labels;
    bool folded = w->to.kind == PW_ANSWER_INGEST_FOLDED;
    bool has_service = false;
    bool has_app = false;

    if (!pw_work_labels(w, NULL, 0, out)) {
        return false;
    }
    out->cap = in->count + PW_LABELS_SLACK + PW_LABELS_SLACK;
    out->pair = pw_scratch_array(w->scratch, out->cap, sizeof(*out->pair));
    if (out->pair == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < in->count; i++) {
        struct pw_slice name = in->pair[i].name;
        bool hidden = name.len >= 2 && name.ptr[0] == '_' && name.ptr[1] == '_';

        if (hidden && !pw_slice_eq_str(name, "__session_id__")) {
            continue;
        }
        has_service |= pw_slice_eq_str(name, "service_name");
        has_app |= pw_slice_eq_str(name, "app_name");
        out->pair[out->count++] = in->pair[i];
    }
    return put_label(out, "__name__", metric) &&
           put_label(out, "__delta__", PW_SLICE_LIT("false")) &&
           put_label(out, "pyroscope_spy", p->spy_name) &&
           (has_service ? !folded || has_app || put_label(out, "app_name", app)
                        : put_label(out, "service_name", app));
}

static void
process(struct pw_work *w, struct pw_series_in *in)
{
    enum pw_reason reason = pw_process(w, in);

    pw_metrics_observe(&w->d->metrics, &w->stats->batch_series, PW_BUCKETS_BATCH, 1);
    if (reason != PW_REASON_NONE) {
        pw_work_fail(w, reason, true, 0);
    }
    pw_work_finish(w);
}

static void
ingest_folded(struct pw_work *w, const struct pw_ingest_params *p)
{
    struct pw_scratch *s = w->scratch;
    struct pw_series_in in = {.profile = pw_scratch_alloc(s, sizeof(*in.profile)),
                              .raw_bytes = w->req->body_bytes};
    struct pw_folded_type type;
    struct pw_slice body;
    struct pw_slice pprof;
    const char *text;
    bool known = pw_folded_type(&type, p->name.app, p->sample_rate) == 0;
    int rc;

    w->to.kind = PW_ANSWER_INGEST_FOLDED;
    if (in.profile == NULL || !pw_contiguous(s, w->req->body, w->req->body_count, &body)) {
        refuse_memory(w);
        return;
    }
    rc = pw_folded_encode(&type, body, p->from_ns, w->d->cfg.hash_key, s, &pprof, &w->err);
    if (rc == PW_EINVAL) {
        refuse_parse(w, "");
        return;
    }
    if (pw_labels_get(&p->name.labels, PW_SLICE_LIT("profile_id")).len != 0) {
        pw_answer_ok(&w->d->fanout.answerer, &w->to); /* accepted and discarded */
        return;
    }
    if (!known) {
        pw_text_str(&w->err,
                    "pyroscopeIngesterAdapter failed to convert metadata: unknown profile type: ");
        pw_text_slice(&w->err, type.suffix);
        w->d->metrics.refused[PW_REASON_BAD_REQUEST]++;
        pw_answer_failure(&w->d->fanout.answerer, &w->to, PW_REASON_BAD_REQUEST, 0,
                          pw_slice(w->err.ptr, w->err.len));
        return;
    }
    if (pw_work_tenant(w) != 0) {
        w->d->metrics.refused[PW_REASON_UNAUTHENTICATED]++;
        pw_answer_failure(&w->d->fanout.answerer, &w->to, PW_REASON_UNAUTHENTICATED, 0,
                          pw_slice(w->err.ptr, w->err.len));
        return;
    }
    if (rc != 0 || pw_profile_parse(in.profile, s, w->d->cfg.hash_key, pprof, &text) != 0 ||
        !series_labels(w, p, pw_slice_str(type.metric), type.app, &in.labels)) {
        refuse_memory(w);
        return;
    }
    process(w, &in);
}

/* The profile bytes of the body; false: answered already. form->profile empty: nothing to store. */
static bool
find_profile(struct pw_work *w, const struct pw_ingest_params *p, struct pw_pprof_form *form)
{
    struct pw_slice body;
    int rc;

    *form = (struct pw_pprof_form){0};
    if (p->format != PW_INGEST_PPROF_FORM) {
        return true;
    }
    if (!pw_contiguous(w->scratch, w->req->body, w->req->body_count, &body)) {
        refuse_memory(w);
        return false;
    }
    rc = pw_pprof_form_parse(form, pw_http_header(w->req, "Content-Type"), body, w->scratch,
                             &w->err);
    if (rc != 0) {
        refuse_parse(w, PARSING);
        return false;
    }
    return true;
}

/* Unpacks and reads the profile; false: answered. */
static bool
read_profile(struct pw_work *w, const struct pw_slice *piece, uint32_t count,
             struct pw_series_in *in)
{
    struct pw_decoded decoded;
    const char *text;
    enum pw_reason reason = pw_decode_placed(w, piece, count, in->raw_bytes, &decoded);
    int rc = 0;

    if (reason == PW_REASON_NONE) {
        rc = pw_profile_parse(in->profile, w->scratch, w->d->cfg.hash_key, decoded.bytes, &text);
        if (rc == PW_EINVAL) {
            pw_text_str(&w->err, text);
        }
    }
    if (reason == PW_REASON_CORE_MEMORY || rc == PW_ENOMEM) {
        refuse_memory(w);
        return false;
    }
    if (reason != PW_REASON_NONE || rc != 0) {
        if (reason != PW_REASON_PROFILE_SIZE_LIMIT) {
            pw_metrics_discard(w->stats, PW_REASON_UNDECODABLE, 1, in->raw_bytes);
        }
        refuse_parse(w, PARSING "invalid_argument: ");
        return false;
    }
    in->raw = decoded.raw;
    in->raw_count = decoded.raw_count;
    return true;
}

static void
ingest_pprof(struct pw_work *w, const struct pw_ingest_params *p)
{
    struct pw_scratch *s = w->scratch;
    struct pw_series_in in = {.profile = pw_scratch_alloc(s, sizeof(*in.profile))};
    uint64_t start_tsc = pw_rdtsc();
    struct pw_pprof_form form;
    const struct pw_slice *piece = w->req->body;
    uint32_t count = w->req->body_count;
    struct pw_slice metric;

    w->to.kind = PW_ANSWER_INGEST_PPROF;
    if (in.profile == NULL) {
        refuse_memory(w);
        return;
    }
    if (!find_profile(w, p, &form)) {
        return;
    }
    in.raw_bytes = w->req->body_bytes;
    if (p->format == PW_INGEST_PPROF_FORM) {
        piece = &form.profile;
        count = 1;
        in.raw_bytes = form.profile.len;
    }
    if (in.raw_bytes == 0) {
        pw_answer_ok(&w->d->fanout.answerer, &w->to);
        return;
    }
    if (pw_work_tenant(w) != 0) {
        refuse_parse(w, PARSING);
        return;
    }
    if (!read_profile(w, piece, count, &in)) {
        return;
    }
    metric = pw_pprof_metric_name(in.profile, &form.config);
    if (pw_pprof_fix(in.profile, p->spy_name, p->from_ns, &form.config) != 0 ||
        !series_labels(w, p, metric, p->name.app, &in.labels)) {
        refuse_memory(w);
        return;
    }
    if (pw_pprof_fixes(p->spy_name, &form.config)) {
        in.raw = NULL;
    }
    pw_metrics_observe(&w->d->metrics, &w->stats->parse_pprof, PW_BUCKETS_SECONDS,
                       (double)(pw_rdtsc() - start_tsc) / (double)w->d->cfg.clock.tsc_hz);
    process(w, &in);
}

void
pw_ingest_request(struct pw_desk *desk)
{
    const struct pw_http_request *req = &desk->req;
    struct pw_distributor *d = desk->d;
    struct pw_ingest_params params;
    struct pw_work w;

    if (!pw_work_init(&w, desk, req)) {
        pw_answer_empty(&d->fanout.answerer, req->conn, 503, (struct pw_slice){0});
        return;
    }
    d->metrics.requests_ingest++;
    if (!parse_params(&w, &params)) {
        return;
    }
    if (params.format == PW_INGEST_FOLDED) {
        ingest_folded(&w, &params);
    } else {
        ingest_pprof(&w, &params);
    }
}
