#include "tests/distributor/harness.h"

#include "pprof/record_text.h"
#include "pprof/wire.h"
#include "ring/lane_msg.h"

#include "tests/support/cmocka_pw.h"

#include <stdio.h>
#include <stdlib.h>

/* The fake http server. Tests have one thread. */
struct pw_http_server {
    struct pw_t_held conn[PW_T_CONNS_MAX];
};

static struct pw_http_server server;

/* Nobody may keep a pointer into a request that is not held any more. */
static void
let_go(struct pw_t_held *h)
{
    if (h->copy != NULL) {
        memset(h->copy, 0xEE, h->body_len);
    }
    free(h->copy);
    free(h->body);
    h->copy = NULL;
    h->body = NULL;
    h->held = false;
}

int
pw_http_reply(struct pw_http_server *srv, uint64_t conn, const struct pw_http_reply *rep)
{
    struct pw_t_held *h = &srv->conn[conn];
    struct pw_t_reply *r = h->reply;

    assert_in_range(conn, 0, PW_T_CONNS_MAX - 1);
    if (h->owed == 0) {
        if (rep->body_free != NULL) {
            rep->body_free(rep->body_arg);
        }
        return PW_ENOENT;
    }
    h->owed--;
    assert_true(rep->body_free != NULL || rep->body.len <= PW_HTTP_REPLY_COPY_MAX);
    assert_true(rep->body.len <= PW_T_REPLY_MAX);
    assert_true(rep->headers.len < sizeof(r->headers));
    r->count++;
    r->status = rep->status;
    snprintf(r->content_type, sizeof(r->content_type), "%s",
             rep->content_type == NULL ? "" : rep->content_type);
    snprintf(r->headers, sizeof(r->headers), "%.*s", (int)rep->headers.len,
             (const char *)rep->headers.ptr);
    if (rep->body.len != 0) {
        memcpy(r->body, rep->body.ptr, rep->body.len);
    }
    r->body[rep->body.len] = 0;
    r->body_len = rep->body.len;
    if (rep->body_free != NULL) {
        rep->body_free(rep->body_arg);
    }
    if (h->held) {
        let_go(h);
    }
    return 0;
}

void
pw_http_hold(struct pw_http_server *srv, uint64_t conn)
{
    srv->conn[conn].held = true;
}

int
pw_http_held(struct pw_http_server *srv, uint64_t conn, struct pw_http_request *req)
{
    if (!srv->conn[conn].held) {
        return PW_ENOENT;
    }
    *req = srv->conn[conn].req;
    return 0;
}

void
pw_http_release(struct pw_http_server *srv, uint64_t conn)
{
    if (srv->conn[conn].held) {
        let_go(&srv->conn[conn]);
    }
}

/* Whoever looks at it again finds something else. */
void
pw_http_body_done(struct pw_http_server *srv, uint64_t conn)
{
    struct pw_t_held *h = &srv->conn[conn];

    if (h->copy != NULL) {
        memset(h->copy, 0xEE, h->body_len);
        h->body_done++;
    }
}

bool
pw_t_holds(uint32_t conn)
{
    return server.conn[conn].held;
}

uint32_t
pw_t_bodies_done(uint32_t conn)
{
    return server.conn[conn].body_done;
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

/* Time passes by looking at it: thirty ticks a look. */
static uint64_t
work_clock(void *arg)
{
    return ((struct pw_t *)arg)->work_tsc += 30;
}

void
pw_t_up(struct pw_t *t, const struct pw_t_cfg *cfg)
{
    struct pw_limits def;
    struct pw_distributor_cfg dc;

    *t = (struct pw_t){.cores = cfg->cores == 0 ? 1 : cfg->cores};
    t->clock.tsc_hz = 1000000000; /* a tick is a nanosecond; the test moves time */
    t->now_tsc = 1000000000;
    pw_limits_defaults(&def);
    t->overrides = pw_overrides_new_cold(&def);
    assert_non_null(t->overrides);
    atomic_store(&t->snapshot, t->overrides);
    for (uint32_t i = 0; i < t->cores; i++) {
        size_t bytes = cfg->lane_bytes == 0 ? PW_T_LANE : cfg->lane_bytes;

        assert_int_equal(pw_lane_create_ctl(&t->out[i], bytes, -1), 0);
        assert_int_equal(pw_lane_create_ctl(&t->back[i], PW_T_LANE, -1), 0);
        t->pressures[i] = &t->pressure;
    }
    t->reply.body = malloc(PW_T_REPLY_MAX + 1);
    if (!cfg->beside) {
        server = (struct pw_http_server){0};
    }
    dc = (struct pw_distributor_cfg){
        .clock = t->clock,
        .hash_key = PW_T_HASH_KEY,
        .random_seed = 42,
        .multitenancy = cfg->multitenancy,
        .replication_factor = cfg->replication_factor,
        .slots_max = cfg->slots_max == 0 ? 64 : cfg->slots_max,
        .scratch_bytes = cfg->scratch_bytes == 0 ? 64 << 20 : cfg->scratch_bytes,
        .bulk_bytes = cfg->bulk_bytes == 0 ? 4 << 20 : cfg->bulk_bytes,
        .ingesters_count = t->cores,
        .out = t->out,
        .back = t->back,
        .pressure = t->pressures,
        .overrides = &t->snapshot,
        .http = &server,
        .slice_us = cfg->slice_us,
        .busy_us = cfg->busy_us,
        .turn_us = cfg->turn_us,
        .work_clock = work_clock,
        .work_clock_arg = t,
    };
    assert_int_equal(pw_distributor_create_ctl(&t->d, &dc), 0);
}

void
pw_t_down(struct pw_t *t)
{
    assert_int_equal(pw_distributor_in_flight(t->d), 0);
    pw_t_crash(t);
}

void
pw_t_crash(struct pw_t *t)
{
    pw_distributor_destroy_ctl(t->d);
    for (uint32_t i = 0; i < t->cores; i++) {
        pw_lane_destroy_ctl(t->out[i]);
        pw_lane_destroy_ctl(t->back[i]);
    }
    pw_overrides_free_cold(t->overrides);
    free(t->reply.body);
    free(t->stored);
}

static enum pw_http_method
method_of(const char *m)
{
    return m == NULL || strcmp(m, "POST") == 0 ? PW_HTTP_METHOD_POST
           : strcmp(m, "GET") == 0             ? PW_HTTP_METHOD_GET
           : strcmp(m, "HEAD") == 0            ? PW_HTTP_METHOD_HEAD
           : strcmp(m, "PUT") == 0             ? PW_HTTP_METHOD_PUT
           : strcmp(m, "OPTIONS") == 0         ? PW_HTTP_METHOD_OPTIONS
                                               : PW_HTTP_METHOD_OTHER;
}

static void
fill(struct pw_t_held *h, const struct pw_t *t, uint32_t conn, const struct pw_t_request *r)
{
    size_t piece = r->piece == 0 ? r->body_len : r->piece;
    size_t count = piece == 0 ? 0 : (r->body_len + piece - 1) / piece;
    const char *q = strchr(r->path, '?');

    h->req = (struct pw_http_request){
        .method = method_of(r->method),
        .minor_version = 1,
        .target = pw_slice_str(r->path),
        .path = pw_slice(r->path, q == NULL ? strlen(r->path) : (size_t)(q - r->path)),
        .query = q == NULL ? (struct pw_slice){0} : pw_slice_str(q + 1),
        .headers = h->headers,
        .body_bytes = r->body_len,
        .peer = {.ip = {[10] = 0xff, [11] = 0xff, [12] = 10, [15] = (uint8_t)r->address}},
        .conn = conn,
        .now_tsc = t->now_tsc,
    };
    for (uint32_t i = 0; r->header != NULL && r->header[2 * i] != NULL; i++) {
        assert_true(i < PW_T_HEADERS_MAX);
        h->headers[i].name = pw_slice_str(r->header[2 * i]);
        h->headers[i].value = pw_slice_str(r->header[2 * i + 1]);
        h->req.headers_count++;
    }
    h->body = malloc((count + 1) * sizeof(*h->body));
    h->copy = malloc(r->body_len + 1);
    h->body_len = r->body_len;
    if (r->body_len != 0) {
        memcpy(h->copy, r->body, r->body_len);
    }
    for (size_t i = 0; i < count; i++) {
        size_t left = r->body_len - i * piece;

        h->body[i] = pw_slice(h->copy + i * piece, left < piece ? left : piece);
    }
    h->req.body_count = (uint32_t)count;
}

void
pw_t_send_on(struct pw_t *t, uint32_t conn, const struct pw_t_request *r, struct pw_t_reply *reply)
{
    struct pw_t_held *h = &server.conn[conn];
    struct pw_http_verdict v = {0};
    struct pw_http_request head;

    assert_false(h->held);
    fill(h, t, conn, r);
    h->reply = reply;
    h->owed++;
    reply->count = 0;
    assert_true(pw_distributor_owns_path(h->req.path));
    head = h->req;
    head.body_count = 0;
    pw_distributor_head(t->d, &head, &v);
    t->pressed = v.pressed;
    t->pressed_key = v.pressed_key;
    assert_int_equal(v.answered, reply->count == 1);
    if (!v.answered && r->body_len > v.body_bytes_limit) {
        pw_distributor_body_too_large(t->d, &head, v.body_bytes_limit);
        assert_int_equal(reply->count, 1);
    } else if (!v.answered) {
        h->req.body = h->body;
        pw_distributor_request(t->d, &h->req);
    }
    if (!h->held) {
        let_go(h);
    }
}

void
pw_t_send(struct pw_t *t, const struct pw_t_request *r)
{
    pw_t_send_on(t, 77, r, &t->reply);
}

void
pw_t_hang_up(struct pw_t *t, uint32_t conn)
{
    assert_true(server.conn[conn].owed != 0);
    server.conn[conn].owed = 0;
    pw_distributor_abandoned(t->d, conn);
    let_go(&server.conn[conn]);
}

static void
take_record(struct pw_t *t, const struct pw_record *rec, size_t bytes)
{
    struct pw_text text;
    const struct pw_record_series *s = PW_RECORD_AT(rec, struct pw_record_series, rec->series_off);
    struct pw_slice tenant = pw_record_slice(rec, rec->tenant);
    size_t len;
    uint8_t *p;

    assert_int_equal(pw_record_check(rec, bytes), 0);
    pw_text_init(&text, 64 << 20);
    pw_text_put(&text, t->stored, t->stored_len);
    pw_record_text_cold(rec, &text);
    p = pw_text_steal(&text, &len);
    assert_non_null(p);
    free(t->stored);
    t->stored = (char *)p;
    t->stored_len = len;
    t->records++;
    t->last_time_nanos = rec->time_nanos;
    memcpy(t->last_uuid, s->uuid, 16);
    snprintf(t->last_tenant, sizeof(t->last_tenant), "%.*s", (int)tenant.len,
             (const char *)tenant.ptr);
}

static void
run_ingester(struct pw_t *t, uint32_t core)
{
    struct pw_lane_record rec;

    while (pw_lane_pop_burst(t->out[core], &rec, 1) == 1) {
        const struct pw_lane_push *push = rec.data;
        struct pw_lane_done *done = pw_lane_reserve(t->back[core], sizeof(*done));

        assert_int_equal(rec.type, PW_LANE_TYPE_PUSH);
        assert_non_null(done);
        take_record(t, push->bulk == NULL ? (const void *)(push + 1) : push->bulk,
                    push->bulk_bytes);
        *done = (struct pw_lane_done){
            .slot = push->slot,
            .status = t->answer_status,
            .actual = t->answer_actual,
            .limit = t->answer_limit,
        };
        pw_lane_commit(t->back[core], PW_LANE_TYPE_DONE, sizeof(*done));
        pw_lane_flush(t->back[core]);
        pw_lane_release(t->out[core], 1);
    }
}

void
pw_t_settle(struct pw_t *t)
{
    for (uint32_t i = 0; i < t->cores; i++) {
        run_ingester(t, i);
    }
    (void)pw_distributor_poll(t->d, t->now_tsc);
}

void
pw_t_call(struct pw_t *t, const struct pw_t_request *r)
{
    free(t->stored);
    t->stored = NULL;
    t->stored_len = 0;
    t->records = 0;
    pw_t_send(t, r);
    pw_t_settle(t);
    assert_int_equal(t->reply.count, 1);
    assert_int_equal(pw_distributor_in_flight(t->d), 0);
    if (t->stored == NULL) {
        t->stored = calloc(1, 1);
    }
}

void
pw_t_put_label(struct pw_text *series, const char *name, const char *value)
{
    uint8_t buf[128];
    struct pw_text pair;

    pw_text_fixed(&pair, buf, sizeof(buf));
    pw_wire_put_bytes(&pair, 1, pw_slice_str(name));
    pw_wire_put_bytes(&pair, 2, pw_slice_str(value));
    pw_wire_put_bytes(series, 1, pw_slice(buf, pair.len));
}
