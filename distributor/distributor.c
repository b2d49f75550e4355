#include "distributor/distributor.h"

#include "base/check.h"
#include "base/metric.h"
#include "distributor/internal.h"

#include <stdlib.h>

enum {
    LOG_EVERY_MS = 1000,
    LOG_BURST = 10,
    DEADLINE_REST_US = 10000,
    FRONT_SCRATCH_BYTES =
        16 << 20, /* two error texts, escaped; a message of a peer and its tables */
};
#define BODY_LIMIT_NONE (1ULL << 30) /* ingestion_body_limit_mb: 0 is "off", memory is not */

enum route { ROUTE_PUSH, ROUTE_INGEST, ROUTE_OTLP };

struct path {
    const char *path;
    enum route route;
};

static const struct path paths[] = {
    {"/push.v1.PusherService/Push", ROUTE_PUSH},
    {"/ingest", ROUTE_INGEST},
    {"/pyroscope/ingest", ROUTE_INGEST},
    {"/v1development/profiles", ROUTE_OTLP},
    {"/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export", ROUTE_OTLP},
};

static const struct path *
find_path(struct pw_slice path)
{
    for (size_t i = 0; i < PW_ARRAY_LEN(paths); i++) {
        if (pw_slice_eq_str(path, paths[i].path)) {
            return &paths[i];
        }
    }
    return NULL;
}

bool
pw_distributor_owns_path(struct pw_slice path)
{
    return find_path(path) != NULL;
}

static enum route
route_of(const struct pw_http_request *req)
{
    const struct path *p = find_path(req->path);

    PW_INVARIANT(p != NULL); /* pw_distributor_owns_path was asked first */
    return p->route;
}

uint64_t
pw_body_limit(const struct pw_limits *l)
{
    double bytes = l->ingestion_body_limit_mb * 1048576;

    return bytes > 0 && bytes < (double)BODY_LIMIT_NONE ? (uint64_t)bytes : BODY_LIMIT_NONE;
}

/* xoshiro needs a state that is not all zero: splitmix64 of the seed. */
static void
seed_random(uint64_t state[4], uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        uint64_t z = seed += 0x9E3779B97F4A7C15U;

        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
        state[i] = z ^ (z >> 31);
    }
}

static int
init_parts(struct pw_distributor *d)
{
    struct pw_fanout_cfg fc = {
        .clock = d->cfg.clock,
        .out = d->cfg.out,
        .back = d->cfg.back,
        .cores = d->cfg.ingesters_count,
        .slots_max = d->cfg.slots_max,
        .bulk_bytes = d->cfg.bulk_bytes,
        .timeout_tsc = pw_clock_us_to_tsc(
            &d->cfg.clock,
            1000ULL * (d->cfg.push_timeout_ms == 0 ? PW_PUSH_TIMEOUT_MS : d->cfg.push_timeout_ms)),
        .scratch = &d->front.scratch,
        .metrics = &d->metrics,
    };
    char err[128];
    int rc = pw_scratch_init_ctl(&d->front.scratch, FRONT_SCRATCH_BYTES);

    d->front.d = d;
    if (rc == 0) {
        rc = pw_desks_init_ctl(d);
    }
    if (rc == 0 && d->rates == NULL) {
        d->rates_own = true;
        rc = pw_rate_create_ctl(&d->rates);
    }
    if (rc == 0) {
        rc = pw_relabel_compile_cold(NULL, 0, PW_RELABEL_FIRST, &d->relabel_default, err,
                                     sizeof(err));
    }
    if (rc == 0) {
        rc = pw_metrics_init_ctl(&d->metrics);
    }
    return rc == 0 ? pw_fanout_init_ctl(&d->fanout, &fc) : rc;
}

int
pw_distributor_create_ctl(struct pw_distributor **out, const struct pw_distributor_cfg *cfg)
{
    struct pw_distributor *d = calloc(1, sizeof(*d));
    int rc;

    if (d == NULL) {
        return PW_ENOMEM;
    }
    d->cfg = *cfg;
    d->rates = cfg->rates;
    d->log_limit = (struct pw_log_limit){.every_ms = LOG_EVERY_MS, .burst = LOG_BURST};
    seed_random(d->random, cfg->random_seed);
    rc = init_parts(d);
    if (rc != 0) {
        pw_distributor_destroy_ctl(d);
        return rc;
    }
    pw_distributor_bind_http_ctl(d, cfg->http);
    pw_distributor_set_owners(d, NULL);
    *out = d;
    return 0;
}

void
pw_distributor_destroy_ctl(struct pw_distributor *d)
{
    if (d == NULL) {
        return;
    }
    pw_fanout_fini_ctl(&d->fanout);
    pw_metrics_fini_ctl(&d->metrics);
    pw_relabel_release_cold(d->relabel_default, NULL);
    if (d->rates_own) {
        pw_rate_destroy_ctl(d->rates);
    }
    pw_desks_fini_ctl(d);
    pw_scratch_fini_ctl(&d->front.scratch);
    free(d);
}

void
pw_distributor_bind_http_ctl(struct pw_distributor *d, struct pw_http_server *http)
{
    d->cfg.http = http;
    d->fanout.answerer.http = http;
}

/* write-path.md 1.4: what we can say about OTLP before it is built. The content type is judged, all
 * else is 501. */
static void
answer_otlp(struct pw_distributor *d, const struct pw_http_request *req)
{
    struct pw_slice type = pw_http_header(req, "Content-Type");
    static const char *const known[] = {"application/x-protobuf", "application/protobuf",
                                        "application/json"};
    bool grpc = type.len >= 16 && memcmp(type.ptr, "application/grpc", 16) == 0;
    char buf[512];
    struct pw_text t;

    pw_scratch_rewind(&d->front.scratch, 0);
    if (req->method != PW_HTTP_METHOD_POST) {
        pw_answer_empty(&d->fanout.answerer, req->conn, 405, (struct pw_slice){0});
        return;
    }
    d->metrics.refused[PW_REASON_UNSUPPORTED]++;
    for (size_t i = 0; !grpc && i < PW_ARRAY_LEN(known); i++) {
        grpc = pw_slice_eq_str(type, known[i]);
    }
    if (grpc) {
        pw_answer_plain(&d->fanout.answerer, req->conn, 501, true,
                        PW_SLICE_LIT("OTLP profiles are not implemented by this server yet"));
        return;
    }
    pw_text_fixed(&t, buf, sizeof(buf));
    pw_text_str(&t, "Unsupported Content-Type: ");
    pw_text_slice(&t, type.len > 400 ? pw_slice(type.ptr, 400) : type);
    pw_text_char(&t, '\n');
    (void)pw_http_reply(
        d->cfg.http, req->conn,
        &(struct pw_http_reply){
            .status = 415,
            .content_type = "text/plain; charset=utf-8",
            .headers = PW_SLICE_LIT("Vary: Accept-Encoding\r\nX-Content-Type-Options: nosniff\r\n"),
            .body = pw_slice(buf, t.len),
        });
}

void
pw_distributor_head(struct pw_distributor *d, const struct pw_http_request *req,
                    struct pw_http_verdict *v)
{
    switch (route_of(req)) {
    case ROUTE_PUSH:
        pw_push_head(d, req, v);
        return;
    case ROUTE_INGEST:
        pw_ingest_head(d, req, v);
        return;
    case ROUTE_OTLP:
        v->answered = true;
        answer_otlp(d, req);
        return;
    }
}

void
pw_distributor_request(struct pw_distributor *d, const struct pw_http_request *req)
{
    switch (route_of(req)) {
    case ROUTE_PUSH:
    case ROUTE_INGEST:
        pw_desks_request(d, req);
        return;
    case ROUTE_OTLP:
        answer_otlp(d, req);
        return;
    }
}

void
pw_distributor_work(struct pw_desk *desk)
{
    if (route_of(&desk->req) == ROUTE_PUSH) {
        pw_push_request(desk);
    } else {
        pw_ingest_request(desk);
    }
}

void
pw_distributor_refuse(struct pw_distributor *d, const struct pw_http_request *req,
                      enum pw_reason reason, const char *text)
{
    enum pw_code code = pw_reason_code(reason);

    pw_scratch_rewind(&d->front.scratch, 0);
    d->metrics.refused[reason]++;
    if (route_of(req) == ROUTE_PUSH) {
        pw_answer_connect(&d->fanout.answerer, req->conn, code, pw_slice_str(text));
    } else {
        pw_answer_plain(&d->fanout.answerer, req->conn, pw_code_status(code), true,
                        pw_slice_str(text));
    }
}

bool
pw_distributor_uses(const struct pw_distributor *d, const struct pw_overrides *o)
{
    for (uint32_t i = 0; i < PW_DESKS; i++) {
        if (atomic_load_explicit(&d->desks.desk[i].overrides, memory_order_acquire) == o) {
            return true;
        }
    }
    return false;
}

void
pw_distributor_body_too_large(struct pw_distributor *d, const struct pw_http_request *req,
                              uint64_t bytes_read)
{
    (void)bytes_read; /* the texts name the limit */
    switch (route_of(req)) {
    case ROUTE_PUSH:
        pw_push_too_large(d, req);
        return;
    case ROUTE_INGEST:
        pw_ingest_too_large(d, req);
        return;
    case ROUTE_OTLP:
        answer_otlp(d, req);
        return;
    }
}

void
pw_distributor_abandoned(struct pw_distributor *d, uint64_t conn)
{
    /* A reply to it will be dropped; the records in flight are stored all the same. */
    pw_desks_abandoned(d, conn);
    d->metrics.replies_gone++;
}

uint32_t
pw_distributor_poll_work(void *ctx, uint64_t now_tsc)
{
    return pw_desks_poll(ctx, now_tsc);
}

uint32_t
pw_distributor_poll_answers(void *ctx, uint64_t now_tsc)
{
    struct pw_distributor *d = ctx;

    return pw_fanout_poll(&d->fanout, now_tsc);
}

uint32_t
pw_distributor_poll(void *ctx, uint64_t now_tsc)
{
    return pw_distributor_poll_answers(ctx, now_tsc) + pw_distributor_poll_work(ctx, now_tsc);
}

void
pw_distributor_bind_link_ctl(struct pw_distributor *d, const struct pw_owner_link *link)
{
    d->fanout.replicate.link = *link;
}

void
pw_distributor_set_owners(struct pw_distributor *d, const struct pw_owners *owners)
{
    bool one = owners == NULL ? d->cfg.replication_factor <= 1 : pw_owners_alone(owners);

    d->fanout.replicate.owners = owners;
    d->fanout.replicate.alone = one && d->cfg.ingesters_count != 0;
}

void
pw_distributor_link_done(struct pw_distributor *d, uint64_t cookie, int status,
                         struct pw_slice text)
{
    pw_replicate_called(&d->fanout, cookie, status, text);
}

void
pw_distributor_link_request(struct pw_distributor *d, struct pw_link_from from,
                            struct pw_slice message)
{
    pw_replica_request(&d->fanout, from, message);
}

uint32_t
pw_distributor_rest_us(void *ctx)
{
    const struct pw_distributor *d = ctx;

    if (pw_desks_pending(d) > 0) {
        return 0;
    }
    return pw_fanout_in_flight(&d->fanout) > 0 ? DEADLINE_REST_US : UINT32_MAX;
}

uint32_t
pw_distributor_in_flight(const struct pw_distributor *d)
{
    return pw_fanout_in_flight(&d->fanout) + pw_desks_pending(d);
}

static void
put_desks(struct pw_distributor *const *d, uint32_t n, struct pw_text *t)
{
    struct pw_desks sum = {0};
    uint64_t waiting = 0, waiting_peak = 0;

    for (uint32_t i = 0; i < n; i++) {
        const struct pw_desks *one = &d[i]->desks;

        sum.parked += one->parked;
        for (uint32_t k = 0; k < PW_DESKS; k++) {
            sum.scratch_peak += one->desk[k].touched;
        }
        waiting += pw_waiting_count(&one->waiting);
        waiting_peak += one->waiting.small_peak + one->waiting.large_peak;
        sum.parked_total += one->parked_total;
        sum.slices_total += one->slices_total;
        sum.expired_total += one->expired_total;
        sum.abandoned_total += one->abandoned_total;
    }
    pw_metric_u64(t, "pyrowire_distributor_parked", "gauge",
                  "Requests whose work goes on turn by turn.", sum.parked);
    pw_metric_u64(t, "pyrowire_distributor_waiting", "gauge", "Requests that wait for a desk.",
                  waiting);
    pw_metric_u64(t, "pyrowire_distributor_scratch_kept_bytes", "gauge",
                  "Memory that large work took, kept for the next of its kind for some seconds.",
                  sum.scratch_peak);
    pw_metric_u64(t, "pyrowire_distributor_waiting_peak", "gauge", "The most there have been.",
                  waiting_peak);
    pw_metric_u64(t, "pyrowire_distributor_parked_total", "counter",
                  "Requests whose work took more than a slice.", sum.parked_total);
    pw_metric_u64(t, "pyrowire_distributor_slices_total", "counter", "Slices of work.",
                  sum.slices_total);
    pw_metric_u64(t, "pyrowire_distributor_work_expired_total", "counter",
                  "Requests answered 504 before their work was done.", sum.expired_total);
    pw_metric_u64(t, "pyrowire_distributor_work_abandoned_total", "counter",
                  "Work dropped because its connection died.", sum.abandoned_total);
}

static void
put_gauges(struct pw_distributor *const *d, uint32_t n, struct pw_text *t)
{
    uint64_t in_flight = 0;
    uint64_t slots_peak = 0;
    uint64_t bulk = 0;
    uint64_t bulk_peak = 0;
    uint64_t scratch_peak = 0;

    for (uint32_t i = 0; i < n; i++) {
        in_flight += pw_fanout_in_flight(&d[i]->fanout);
        slots_peak += d[i]->fanout.slots.used_peak;
        bulk += d[i]->fanout.bulk.pages_used;
        bulk_peak += d[i]->fanout.bulk.pages_used_peak;
        scratch_peak =
            d[i]->desks.scratch_peak > scratch_peak ? d[i]->desks.scratch_peak : scratch_peak;
    }
    pw_metric_u64(t, "pyroscope_distributor_ingester_clients", "gauge",
                  "Ingester cores records go to.", d[0]->cfg.ingesters_count);
    pw_metric_u64(t, "pyrowire_distributor_in_flight", "gauge",
                  "Requests waiting for ingester cores.", in_flight);
    pw_metric_u64(t, "pyrowire_distributor_in_flight_peak", "gauge", "The most there have been.",
                  slots_peak);
    pw_metric_u64(t, "pyrowire_distributor_bulk_bytes", "gauge",
                  "Bulk memory of large records in use.", bulk * PW_BULK_PAGE_BYTES);
    pw_metric_u64(t, "pyrowire_distributor_bulk_bytes_peak", "gauge", "The most there has been.",
                  bulk_peak * PW_BULK_PAGE_BYTES);
    pw_metric_u64(t, "pyrowire_distributor_scratch_bytes_peak", "gauge",
                  "The most scratch memory one request took.", scratch_peak);
}

void
pw_distributor_metrics(struct pw_distributor *const *d, uint32_t n, struct pw_text *t)
{
    struct pw_metrics *m[PW_WORKERS_MAX];
    const struct pw_fanout *f[PW_WORKERS_MAX];

    if (n == 0 || n > PW_WORKERS_MAX) {
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        m[i] = &d[i]->metrics;
        f[i] = &d[i]->fanout;
    }
    pw_metrics_text_cold(m, n, t);
    put_gauges(d, n, t);
    put_desks(d, n, t);
    pw_replicate_metrics(f, n, t);
}
