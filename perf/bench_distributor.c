/* What the distributor costs a push of the mix: envelope, unpack, walk, checks, split, record into the
 * lane, completion, answer. Bodies come in pieces of one segment; the ingester only acknowledges.
 * One operation is one push; figures are per push over all files of perf/corpus in turn. The stages
 * that are pprof/'s alone are in bench_wire. */
#include "base/log.h"
#include "distributor/distributor.h"
#include "perf/bench.h"
#include "perf/mix.h"
#include "pprof/wire.h"
#include "ring/lane_msg.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { SEGMENT = 1448, PIECES_MAX = 256, HEADERS = 3, LANE_BYTES = 8 << 20, HUGE_BYTES = 2 << 20 };

struct state {
    struct mix mix;
    struct pw_distributor *d;
    struct pw_lane *out;
    struct pw_lane *back;
    struct pw_overrides *overrides;
    _Atomic(const struct pw_overrides *) snapshot;
    struct pw_text body[MIX_FILES_MAX];
    struct pw_slice piece[MIX_FILES_MAX][PIECES_MAX];
    uint32_t pieces[MIX_FILES_MAX];
    struct pw_http_header header[HEADERS];
};

struct pw_http_server {
    uint64_t answers, refused;
};

int
pw_http_reply(struct pw_http_server *srv, uint64_t conn, const struct pw_http_reply *rep)
{
    (void)conn;
    srv->answers++;
    srv->refused += rep->status != 200;
    if (rep->body_free != NULL) {
        rep->body_free(rep->body_arg);
    }
    return 0;
}

/* Nothing is parked here: work has no slices. */
void
pw_http_hold(struct pw_http_server *srv, uint64_t conn)
{
    (void)srv;
    (void)conn;
}

int
pw_http_held(struct pw_http_server *srv, uint64_t conn, struct pw_http_request *req)
{
    (void)srv;
    (void)conn;
    (void)req;
    return PW_ENOENT;
}

void
pw_http_release(struct pw_http_server *srv, uint64_t conn)
{
    (void)srv;
    (void)conn;
}

void
pw_http_body_done(struct pw_http_server *srv, uint64_t conn)
{
    (void)srv;
    (void)conn;
}

struct pw_slice
pw_http_header(const struct pw_http_request *req, const char *name)
{
    for (uint32_t i = 0; i < req->headers_count; i++) {
        if (pw_slice_caseeq_str(req->headers[i].name, name)) {
            return req->headers[i].value;
        }
    }
    return (struct pw_slice){0};
}

static void
put_label(struct pw_text *series, const char *name, const char *value)
{
    struct pw_text pair;

    pw_text_init(&pair, 4096);
    pw_wire_put_bytes(&pair, 1, pw_slice_str(name));
    pw_wire_put_bytes(&pair, 2, pw_slice_str(value));
    pw_wire_put_bytes(series, 1, pw_slice(pair.ptr, pair.len));
    pw_text_fini(&pair);
}

static void
build_body(struct state *s, uint32_t i)
{
    struct pw_text series;
    struct pw_text sample;

    pw_text_init(&series, 1 << 20);
    pw_text_init(&sample, 1 << 20);
    put_label(&series, "__name__", "process_cpu");
    put_label(&series, "__delta__", "false");
    put_label(&series, "service_name", "checkout");
    put_label(&series, "namespace", "default");
    put_label(&series, "pod", "checkout-5d8f7c9b4-x2x7p");
    put_label(&series, "pyroscope_spy", "gospy");
    pw_wire_put_bytes(&sample, 1, s->mix.gz[i]);
    pw_wire_put_bytes(&series, 2, pw_slice(sample.ptr, sample.len));
    pw_text_init(&s->body[i], 1 << 20);
    pw_wire_put_bytes(&s->body[i], 1, pw_slice(series.ptr, series.len));
    pw_text_fini(&series);
    pw_text_fini(&sample);
    for (size_t at = 0; at < s->body[i].len && s->pieces[i] < PIECES_MAX; at += SEGMENT) {
        size_t left = s->body[i].len - at;

        s->piece[i][s->pieces[i]++] =
            pw_slice(s->body[i].ptr + at, left < SEGMENT ? left : SEGMENT);
    }
}

static void
acknowledge(struct state *s, uint64_t now_tsc)
{
    struct pw_lane_record rec;

    while (pw_lane_pop_burst(s->out, &rec, 1) == 1) {
        const struct pw_lane_push *push = rec.data;
        struct pw_lane_done *done = pw_lane_reserve(s->back, sizeof(*done));

        *done = (struct pw_lane_done){.slot = push->slot};
        pw_lane_commit(s->back, PW_LANE_TYPE_DONE, sizeof(*done));
        pw_lane_flush(s->back);
        pw_lane_release(s->out, 1);
    }
    (void)pw_distributor_poll(s->d, now_tsc);
}

static void
step(void *arg)
{
    struct state *s = arg;

    for (uint32_t i = 0; i < s->mix.count; i++) {
        struct pw_http_verdict v = {0};
        struct pw_http_request req = {
            .method = PW_HTTP_METHOD_POST,
            .path = PW_SLICE_LIT("/push.v1.PusherService/Push"),
            .headers = s->header,
            .headers_count = HEADERS,
            .body_bytes = s->body[i].len,
            .now_tsc = pw_rdtsc(),
        };

        pw_distributor_head(s->d, &req, &v);
        req.body = s->piece[i];
        req.body_count = s->pieces[i];
        pw_distributor_request(s->d, &req);
        acknowledge(s, req.now_tsc);
    }
}

/* A request that is refused early: what an attacker makes us pay. */
static void
step_refused(void *arg)
{
    struct state *s = arg;
    struct pw_http_verdict v = {0};
    struct pw_http_request req = {
        .method = PW_HTTP_METHOD_POST,
        .path = PW_SLICE_LIT("/push.v1.PusherService/Push"),
        .headers = s->header,
        .headers_count = HEADERS,
        .now_tsc = pw_rdtsc(),
    };

    pw_distributor_head(s->d, &req, &v);
    pw_distributor_request(s->d, &req);
}

/* In the appliance lanes lie in hugepages. Without EAL they do not, and writing one of 8 MiB round and round through
 * a TLB that does not hold it cost a seventh of the push. */
static int
open_lane(struct pw_lane **lane)
{
    int rc = pw_lane_create_ctl(lane, LANE_BYTES, -1);
    uintptr_t first, end;

    if (rc != 0) {
        return rc;
    }
    first = pw_align_up((uintptr_t)*lane, HUGE_BYTES);
    end = ((uintptr_t)*lane + LANE_BYTES) & ~(uintptr_t)(HUGE_BYTES - 1);
    if (madvise((void *)first, end - first, MADV_HUGEPAGE) != 0) {
        fprintf(stderr, "bench: no huge pages for the lane\n");
    }
    return 0;
}

static void
up(struct state *s, struct pw_http_server *http, struct pw_clock clock)
{
    struct pw_limits lim;
    struct pw_distributor_cfg cfg;

    mix_load(&s->mix, NULL);
    for (uint32_t i = 0; i < s->mix.count; i++) {
        build_body(s, i);
    }
    s->header[0] =
        (struct pw_http_header){PW_SLICE_LIT("Content-Type"), PW_SLICE_LIT("application/proto")};
    s->header[1] = (struct pw_http_header){PW_SLICE_LIT("Host"), PW_SLICE_LIT("10.0.0.1:4040")};
    s->header[2] = (struct pw_http_header){PW_SLICE_LIT("Accept-Encoding"), PW_SLICE_LIT("gzip")};
    pw_limits_defaults(&lim);
    lim.ingestion_rate_mb = lim.ingestion_burst_size_mb = 1e6;
    lim.reject_older_than_ms = 0; /* the corpus carries its own time */
    s->overrides = pw_overrides_new_cold(&lim);
    atomic_store(&s->snapshot, s->overrides);
    cfg = (struct pw_distributor_cfg){
        .clock = clock,
        .hash_key = 1,
        .slots_max = 1024,
        .scratch_bytes = 128 << 20,
        .bulk_bytes = 16 << 20,
        .ingesters_count = 1,
        .out = &s->out,
        .back = &s->back,
        .overrides = &s->snapshot,
        .http = http,
    };
    if (open_lane(&s->out) != 0 || pw_lane_create_ctl(&s->back, 1 << 20, -1) != 0 ||
        pw_distributor_create_ctl(&s->d, &cfg) != 0) {
        fprintf(stderr, "bench: no memory\n");
        exit(1);
    }
}

int
main(int argc, char **argv)
{
    static struct state s;
    struct pw_http_server http = {0};
    struct pw_clock clock;

    bench_begin();
    pw_clock_init_ctl(&clock);
    pw_log_set_level_ctl(PW_LOG_ERROR);
    up(&s, &http, clock);
    (void)bench_run("distributor_push", step, &s, s.mix.count);
    if (http.refused != 0) {
        fprintf(stderr, "bench: %llu of %llu pushes were refused\n",
                (unsigned long long)http.refused, (unsigned long long)http.answers);
        return 1;
    }
    if (argc > 1 && strcmp(argv[1], "push") == 0) {
        return 0; /* for a profiler */
    }
    (void)bench_run("distributor_empty_push_refused", step_refused, &s, 1);
    return 0;
}
