/* tests/dataplane/test_http_conn.c - connections against a stream of the test's own.
 *
 * Every script is sent whole, in pieces of several sizes down to one byte, and must give the same
 * bytes back (the clock stands still, so the Date does too). Tear-down checks that every mbuf is home
 * and was reported as consumed.
 */
#include "tests/support/cmocka_pw.h"

#include "base/limits.h"
#include "dataplane/http_conn.h"

#include <rte_eal.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

#include <stdio.h>
#include <stdlib.h>

/* ---- The fake stream ----------------------------------------------------------------------- */

enum { OUT_BYTES = 4 << 20, MS = 1000 /* the test's TSC runs at 1 MHz */ };

struct fake {
    struct pw_stream stream;
    const struct pw_stream_app *app;
    void *user;
    uint8_t *out;
    size_t out_len;
    size_t room; /* bytes send takes from now on */
    size_t unacked;
    size_t given; /* buffer bytes handed over through input */
    size_t given_peak;
    size_t consumed;
    size_t reserved;
    uint32_t reserve_calls;
    int reserve_result;
    bool shut;
    bool reset;
    bool gone;
};

static size_t
fake_send_room(struct pw_stream *s)
{
    return ((struct fake *)s)->room;
}

static size_t
fake_send(struct pw_stream *s, const struct pw_slice *iov, uint32_t iov_count)
{
    struct fake *f = (struct fake *)s;
    size_t total = 0;

    assert_false(f->reset || f->gone || f->shut);
    for (uint32_t i = 0; i < iov_count; i++) {
        size_t n = iov[i].len < f->room ? iov[i].len : f->room;

        assert_true(iov[i].len != 0);
        assert_true(n <= OUT_BYTES - f->out_len);
        memcpy(f->out + f->out_len, iov[i].ptr, n);
        f->out_len += n;
        f->room -= n;
        total += n;
    }
    return total;
}

static size_t
fake_unacked(struct pw_stream *s)
{
    return ((struct fake *)s)->unacked;
}

static void
fake_consumed(struct pw_stream *s, size_t buf_bytes)
{
    struct fake *f = (struct fake *)s;

    assert_false(f->reset || f->gone);
    f->consumed += buf_bytes;
    assert_true(f->consumed <= f->given);
}

static int
fake_reserve(struct pw_stream *s, size_t bytes)
{
    struct fake *f = (struct fake *)s;

    f->reserve_calls++;
    if (bytes != 0 && f->reserve_result != 0) {
        return f->reserve_result;
    }
    f->reserved = bytes;
    return 0;
}

static void
fake_shutdown(struct pw_stream *s)
{
    assert_false(((struct fake *)s)->shut);
    ((struct fake *)s)->shut = true;
}

static void
fake_reset(struct pw_stream *s)
{
    ((struct fake *)s)->reset = true;
}

static const struct pw_stream_ops fake_ops = {
    .send_room = fake_send_room,
    .send = fake_send,
    .unacked = fake_unacked,
    .consumed = fake_consumed,
    .reserve = fake_reserve,
    .shutdown = fake_shutdown,
    .reset = fake_reset,
};

/* ---- The fake application: echoes what it was asked ------------------------------------------ */

struct fixture {
    struct rte_mempool *pool;
    struct pw_clock clock;
    struct pw_http_app app;
    struct pw_http_server *srv;
    struct fake f;
    uint64_t now;
    uint32_t pool_level;
    uint64_t waiting; /* conn of the last request to /async */
    uint32_t abandoned;
    uint32_t left; /* calls of `leaving` */
    uint64_t leaving;
    uint32_t buffers_when_abandoned;
    uint32_t heads;
    uint32_t requests;
    uint32_t bodies_freed;
    uint64_t bytes_read;
    bool pressed;
    uint32_t pressed_asked;
};

static struct fixture fx;

static int64_t
fixed_wall_ns(void)
{
    return INT64_C(1795231470) * 1000000000 + 500000000;
}

#define DATE "Date: Sat, 21 Nov 2026 03:24:30 GMT\r\n"

static void
reply_text(struct pw_http_server *srv, uint64_t conn, uint16_t status, const char *text)
{
    assert_int_equal(pw_http_reply(srv, conn,
                                   &(struct pw_http_reply){
                                       .status = status,
                                       .content_type = "text/plain",
                                       .headers = PW_SLICE_LIT("X-A: b\r\n"),
                                       .body = pw_slice_str(text),
                                   }),
                     0);
}

static void
app_head(void *ctx, struct pw_http_server *srv, const struct pw_http_request *req,
         struct pw_http_verdict *v)
{
    struct fixture *x = ctx;

    x->heads++;
    assert_int_equal(req->body_count, 0);
    v->body_bytes_limit = pw_slice_eq_str(req->path, "/small") ? 10 : 8 << 20;
    if (pw_slice_eq_str(req->path, "/early")) {
        reply_text(srv, req->conn, 405, "early");
        v->answered = true;
    }
    v->pressed = x->pressed;
    v->pressed_key = 7;
}

static bool
app_pressed(void *ctx, uint64_t key)
{
    struct fixture *x = ctx;

    assert_int_equal(key, 7);
    x->pressed_asked++;
    return x->pressed;
}

static void
free_body(void *arg)
{
    fx.bodies_freed++;
    free(arg);
}

static void
reply_big(struct pw_http_server *srv, const struct pw_http_request *req)
{
    size_t n = 1 << 20;
    uint8_t *big = malloc(n);

    assert_non_null(big);
    for (size_t i = 0; i < n; i++) {
        big[i] = (uint8_t)(i * 31 >> 3);
    }
    assert_int_equal(pw_http_reply(srv, req->conn,
                                   &(struct pw_http_reply){.status = 200,
                                                           .body = pw_slice(big, n),
                                                           .body_free = free_body,
                                                           .body_arg = big}),
                     0);
}

/* FNV-1a over the pieces: short, and no piece can hide. */
static uint32_t
body_hash(const struct pw_http_request *req, uint64_t *bytes)
{
    uint32_t h = 2166136261;

    *bytes = 0;
    for (uint32_t i = 0; i < req->body_count; i++) {
        assert_true(req->body[i].len != 0);
        for (size_t j = 0; j < req->body[i].len; j++) {
            h = (h ^ req->body[i].ptr[j]) * 16777619;
        }
        *bytes += req->body[i].len;
    }
    return h;
}

static void
app_request(void *ctx, struct pw_http_server *srv, const struct pw_http_request *req)
{
    struct fixture *x = ctx;
    char text[512];
    struct pw_slice tag = pw_http_header(req, "x-tag");
    uint64_t bytes;
    uint32_t hash = body_hash(req, &bytes);

    x->requests++;
    assert_int_equal(bytes, req->body_bytes);
    if (pw_slice_eq_str(req->path, "/async")) {
        x->waiting = req->conn;
        return;
    }
    if (pw_slice_eq_str(req->path, "/held")) {
        x->waiting = req->conn;
        pw_http_hold(srv, req->conn);
        return;
    }
    if (pw_slice_eq_str(req->path, "/big")) {
        reply_big(srv, req);
        return;
    }
    snprintf(text, sizeof(text), "%d %.*s ?%.*s %.*s %llu %08x\n", (int)req->method,
             (int)req->path.len, req->path.ptr, (int)req->query.len, req->query.ptr, (int)tag.len,
             tag.ptr, (unsigned long long)bytes, hash);
    reply_text(srv, req->conn, 200, text);
}

static void
app_too_large(void *ctx, struct pw_http_server *srv, const struct pw_http_request *req,
              uint64_t bytes_read)
{
    ((struct fixture *)ctx)->bytes_read = bytes_read;
    reply_text(srv, req->conn, 413, "too large");
}

static void
app_abandoned(void *ctx, uint64_t conn)
{
    struct fixture *x = ctx;

    x->abandoned++;
    x->buffers_when_abandoned = rte_mempool_avail_count(x->pool);
    /* A reply to it is dropped and its body still freed. */
    assert_int_equal(pw_http_reply(x->srv, conn,
                                   &(struct pw_http_reply){.status = 200,
                                                           .body = PW_SLICE_LIT("x"),
                                                           .body_free = free_body,
                                                           .body_arg = NULL}),
                     PW_ENOENT);
}

static void
app_leaving(void *ctx, uint64_t conn)
{
    struct fixture *x = ctx;

    x->left++;
    x->leaving = conn;
}

/* ---- Set-up, feeding --------------------------------------------------------------------------- */

static int
set_up(void **state)
{
    struct rte_mempool *pool = fx.pool;
    int err = 0;

    (void)state;
    fx = (struct fixture){.pool = pool, .now = 1000 * MS};
    fx.clock.tsc_hz = 1000 * MS;
    fx.app = (struct pw_http_app){.ctx = &fx,
                                  .head = app_head,
                                  .request = app_request,
                                  .body_too_large = app_too_large,
                                  .abandoned = app_abandoned,
                                  .leaving = app_leaving,
                                  .pressed = app_pressed};
    fx.srv = pw_http_server_create_ctl(&(struct pw_http_server_cfg){.app = &fx.app,
                                                                    .clock = &fx.clock,
                                                                    .wall_ns = fixed_wall_ns,
                                                                    .conns_max = 4,
                                                                    .head_bufs = 2,
                                                                    .reply_bufs = 2},
                                       &err);
    assert_int_equal(err, 0);
    assert_non_null(fx.srv);
    fx.f.out = malloc(OUT_BYTES);
    assert_non_null(fx.f.out);
    fx.pool_level = rte_mempool_avail_count(pool);
    return 0;
}

static void
open_conn(void)
{
    uint8_t *out = fx.f.out;

    fx.f = (struct fake){.stream.ops = &fake_ops, .out = out, .room = SIZE_MAX / 2};
    fx.f.app = pw_http_server_stream_app(fx.srv);
    fx.f.user = fx.f.app->accept(fx.f.app->ctx, &fx.f.stream, fx.now);
    assert_non_null(fx.f.user);
    fx.f.stream.user = fx.f.user;
}

static bool
is_open(void)
{
    return !fx.f.reset && !fx.f.gone;
}

/* The transport's end of the connection; all buffers must be home after it. */
static void
close_conn(void)
{
    if (fx.f.app != NULL && is_open()) {
        fx.f.app->gone(fx.f.user, fx.now);
        fx.f.gone = true;
    }
    assert_int_equal(pw_http_server_open(fx.srv), 0);
    assert_int_equal(rte_mempool_avail_count(fx.pool), fx.pool_level);
}

static int
tear_down(void **state)
{
    (void)state;
    close_conn();
    pw_http_server_destroy_ctl(fx.srv);
    free(fx.f.out);
    return 0;
}

static void
feed(const void *data, size_t n, size_t piece)
{
    const uint8_t *p = data;

    while (n > 0 && is_open()) {
        size_t take = n < piece ? n : piece;
        struct rte_mbuf *m = rte_pktmbuf_alloc(fx.pool);

        assert_non_null(m);
        take = take < rte_pktmbuf_tailroom(m) ? take : rte_pktmbuf_tailroom(m);
        memcpy(rte_pktmbuf_append(m, (uint16_t)take), p, take);
        fx.f.given += m->buf_len;
        fx.f.app->input(fx.f.user, m, fx.now);
        if (fx.f.given - fx.f.consumed > fx.f.given_peak) {
            fx.f.given_peak = fx.f.given - fx.f.consumed;
        }
        p += take;
        n -= take;
    }
}

static void
feed_str(const char *s)
{
    feed(s, strlen(s), SIZE_MAX);
}

static void
assert_out(const char *want)
{
    fx.f.out[fx.f.out_len] = 0;
    assert_string_equal((const char *)fx.f.out, want);
}

static void
poll_after(uint64_t ms)
{
    fx.now += ms * MS;
    (void)pw_http_server_poll(fx.srv, fx.now);
    fx.now += PW_HTTP_SWEEP_MS * MS;
    (void)pw_http_server_poll(fx.srv, fx.now); /* the end of that sweep */
    (void)pw_http_server_poll(fx.srv, fx.now);
}

static const char *
metrics_of(const struct pw_http_server *srv)
{
    static char text[1 << 15];
    struct pw_text t;

    pw_text_fixed(&t, text, sizeof(text));
    pw_http_server_metrics(&srv, 1, &t);
    pw_text_char(&t, 0);
    assert_false(t.failed);
    return text;
}

static const size_t pieces[] = {SIZE_MAX, 1, 2, 3, 7, 64, 700, 1448};

/* Sends `input` in every way on connections of their own; the answers must be `want`, and afterwards
 * the connection has sent FIN or not. */
static void
check_script(const void *input, size_t n, const char *want, bool shut)
{
    for (size_t i = 0; i < PW_ARRAY_LEN(pieces); i++) {
        open_conn();
        feed(input, n, pieces[i]);
        assert_out(want);
        assert_int_equal(fx.f.shut, shut);
        assert_false(fx.f.reset);
        assert_int_equal(fx.f.given, fx.f.consumed);
        assert_int_equal(fx.f.reserved, 0);
        close_conn();
    }
}

static void
check_text(const char *input, const char *want, bool shut)
{
    check_script(input, strlen(input), want, shut);
}

#define OK(len, text)                                                                              \
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-A: b\r\n" DATE "Content-Length: " len        \
    "\r\n\r\n" text
#define REFUSED(status, len, text)                                                                 \
    "HTTP/1.1 " status "\r\nContent-Type: text/plain; charset=utf-8\r\n" DATE                      \
    "Content-Length: " len "\r\nConnection: close\r\n\r\n" text

/* ---- Requests ------------------------------------------------------------------------------------ */

static void
test_request__get__answered_and_kept_alive(void **state)
{
    (void)state;
    check_text("GET /a?b=c HTTP/1.1\r\nHost: h\r\nX-Tag: t\r\n\r\n",
               OK("23", "0 /a ?b=c t 0 811c9dc5\n"), false);
}

static void
test_request__head__length_but_no_body(void **state)
{
    (void)state;
    check_text("HEAD /a HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n",
               OK("19", "") OK("19", "0 /b ?  0 811c9dc5\n"), false);
}

static void
test_request__content_length_body__delivered_whole(void **state)
{
    (void)state;
    check_text("POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
               OK("19", "2 /p ?  5 4f9f2cab\n"), false);
    check_text("POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
               OK("19", "2 /p ?  0 811c9dc5\n"), false);
}

static void
test_request__chunked_body__framing_removed(void **state)
{
    (void)state;
    check_text("POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
               "2\r\nhe\r\n1;x=y\r\nl\r\n02\r\nlo\r\n0\r\nT: u\r\n\r\n"
               "POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
               OK("19", "2 /p ?  5 4f9f2cab\n") OK("19", "2 /p ?  0 811c9dc5\n"), false);
}

static void
test_request__pipelined__answered_in_order(void **state)
{
    (void)state;
    check_text("GET /1 HTTP/1.1\r\nHost: h\r\n\r\n"
               "POST /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
               "POST /3 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
               "5\r\nhello\r\n0\r\n\r\n"
               "\r\nGET /4 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
               "GET /ignored HTTP/1.1\r\nHost: h\r\n\r\n",
               OK("19", "0 /1 ?  0 811c9dc5\n") OK("19", "2 /2 ?  5 4f9f2cab\n") OK(
                   "19", "2 /3 ?  5 4f9f2cab\n") "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
                                                 "X-A: b\r\n" DATE "Content-Length: 19\r\n"
                                                 "Connection: close\r\n\r\n"
                                                 "0 /4 ?  0 811c9dc5\n",
               true);
}

static void
test_request__http_1_0__closes_unless_asked(void **state)
{
    (void)state;
    check_text("GET /a HTTP/1.0\r\n\r\n",
               "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-A: b\r\n" DATE
               "Content-Length: 19\r\nConnection: close\r\n\r\n0 /a ?  0 811c9dc5\n",
               true);
    check_text("GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
               "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-A: b\r\n" DATE
               "Content-Length: 19\r\nConnection: keep-alive\r\n\r\n0 /a ?  0 811c9dc5\n",
               false);
}

static void
test_request__options_star__answered_here(void **state)
{
    (void)state;
    check_text("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
               "HTTP/1.1 200 OK\r\n" DATE "Content-Length: 0\r\n\r\n", false);
    assert_int_equal(fx.heads, 0);
}

static void
test_request__large_bodies__every_byte_and_few_buffers(void **state)
{
    size_t n = 300000;
    uint8_t *in = malloc(n + 200);
    char want[512];
    char text[64];
    uint32_t hash = 2166136261;
    int head;

    (void)state;
    assert_non_null(in);
    head = sprintf((char *)in, "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n", n);
    for (size_t i = 0; i < n; i++) {
        in[(size_t)head + i] = (uint8_t)(i * 2654435761U >> 24);
        hash = (hash ^ in[(size_t)head + i]) * 16777619;
    }
    snprintf(text, sizeof(text), "2 /p ?  %zu %08x\n", n, hash);
    snprintf(want, sizeof(want), OK("%zu", "%s"), strlen(text), text);
    check_script(in, (size_t)head + n, want, false);
    /* One-byte segments: 300000 of them live in buffers worth of their bytes, not of their number. */
    open_conn();
    feed(in, (size_t)head + n, 1);
    assert_true(fx.f.given_peak < 2 * n);
    close_conn();
    free(in);
}

/* A body in chunks of 1 to 4999 bytes, cut every way. */
static void
test_request__large_chunked_body__every_byte(void **state)
{
    size_t n = 200000;
    uint8_t *in = malloc(2 * n);
    char want[512];
    char text[64];
    uint32_t hash = 2166136261;
    size_t pos;
    size_t done = 0;

    (void)state;
    assert_non_null(in);
    pos = (size_t)sprintf((char *)in,
                          "POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (size_t chunk = 1; done < n; chunk = chunk * 7 % 4999 + 1) {
        chunk = chunk < n - done ? chunk : n - done;
        pos += (size_t)sprintf((char *)in + pos, "%zx\r\n", chunk);
        for (size_t i = 0; i < chunk; i++, done++) {
            in[pos] = (uint8_t)(done * 2654435761U >> 24);
            hash = (hash ^ in[pos++]) * 16777619;
        }
        memcpy(in + pos, "\r\n", 2);
        pos += 2;
    }
    memcpy(in + pos, "0\r\n\r\n", 5);
    snprintf(text, sizeof(text), "2 /p ?  %zu %08x\n", n, hash);
    snprintf(want, sizeof(want), OK("%zu", "%s"), strlen(text), text);
    check_script(in, pos + 5, want, false);
    free(in);
}

static void
test_request__long_head__gathered_over_mbufs(void **state)
{
    char *in = malloc(20000);
    size_t n;

    (void)state;
    assert_non_null(in);
    n = (size_t)sprintf(in, "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n");
    for (int i = 0; i < 50; i++) {
        n += (size_t)sprintf(in + n, "Field-%d: %0250d\r\n", i, i);
    }
    n += (size_t)sprintf(in + n, "X-Tag: last\r\n\r\nhelloGET /b HTTP/1.1\r\nHost: h\r\n\r\n");
    check_script(in, n, OK("23", "2 /p ? last 5 4f9f2cab\n") OK("19", "0 /b ?  0 811c9dc5\n"),
                 false);
    free(in);
}

/* ---- Expect --------------------------------------------------------------------------------------- */

static void
test_expect__continue__interim_after_the_head_only(void **state)
{
    (void)state;
    open_conn();
    feed_str("POST /p HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    assert_out("HTTP/1.1 100 Continue\r\n\r\n");
    assert_int_equal(fx.f.reserved, 5);
    feed_str("hello");
    assert_out("HTTP/1.1 100 Continue\r\n\r\n" OK("19", "2 /p ?  5 4f9f2cab\n"));
    close_conn();
    check_text(
        "POST /p HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 100 Continue\r\n\r\n" OK("19", "2 /p ?  5 4f9f2cab\n"), false);
    check_text("POST /p HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n",
               OK("19", "2 /p ?  0 811c9dc5\n"), false);
}

static void
test_expect__something_else__417(void **state)
{
    (void)state;
    check_text("POST /p HTTP/1.1\r\nHost: h\r\nExpect: tea\r\nContent-Length: 5\r\n\r\n",
               REFUSED("417 Expectation Failed", "22", "417 Expectation Failed"), true);
    assert_int_equal(fx.heads, 0);
}

static void
test_expect__answered_early__no_interim_and_close(void **state)
{
    (void)state;
    check_text(
        "POST /early HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 405 Method Not Allowed\r\nContent-Type: text/plain\r\nX-A: b\r\n" DATE
        "Content-Length: 5\r\nConnection: close\r\n\r\nearly",
        true);
}

/* ---- Refusals -------------------------------------------------------------------------------------- */

static void
test_refuse__malformed_head__status_text_and_fin(void **state)
{
    (void)state;
    check_text("GET / HTTP/1.1\r\n\r\n",
               REFUSED("400 Bad Request", "45", "400 Bad Request: missing required Host header"),
               true);
    check_text("GET / HTTP/2.0\r\n\r\n",
               REFUSED("505 HTTP Version Not Supported", "58",
                       "505 HTTP Version Not Supported: only HTTP/1.0 and HTTP/1.1"),
               true);
    check_text("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n"
               "\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
               REFUSED("400 Bad Request", "58",
                       "400 Bad Request: both Content-Length and Transfer-Encoding"),
               true);
    assert_int_equal(fx.heads, 0);
}

static void
test_refuse__post_without_length__411_unless_the_route_refuses_first(void **state)
{
    (void)state;
    check_text("POST /p HTTP/1.1\r\nHost: h\r\n\r\n",
               REFUSED("411 Length Required", "19", "411 Length Required"), true);
    check_text("PUT /early HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n",
               "HTTP/1.1 405 Method Not Allowed\r\nContent-Type: text/plain\r\nX-A: b\r\n" DATE
               "Content-Length: 5\r\n\r\nearly" OK("19", "0 /b ?  0 811c9dc5\n"),
               false);
}

static void
test_refuse__bad_chunk__400_and_abandoned(void **state)
{
    (void)state;
    check_text(
        "POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0x\r\n",
        REFUSED("400 Bad Request", "37", "400 Bad Request: malformed chunk size"), true);
    assert_int_equal(fx.requests, 0);
    assert_int_equal(fx.abandoned, PW_ARRAY_LEN(pieces));
}

static void
test_early_answer__short_body__dropped_and_kept_alive(void **state)
{
    (void)state;
    check_text("POST /early HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
               "GET /b HTTP/1.1\r\nHost: h\r\n\r\n",
               "HTTP/1.1 405 Method Not Allowed\r\nContent-Type: text/plain\r\nX-A: b\r\n" DATE
               "Content-Length: 5\r\n\r\nearly" OK("19", "0 /b ?  0 811c9dc5\n"),
               false);
}

#define TOO_LARGE                                                                                  \
    "HTTP/1.1 413 Request Entity Too Large\r\nContent-Type: text/plain\r\nX-A: b\r\n" DATE         \
    "Content-Length: 9\r\nConnection: close\r\n\r\ntoo large"

static void
test_body_too_large__length_or_chunks__413_with_what_stock_would_have_read(void **state)
{
    (void)state;
    check_text("POST /small HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\n", TOO_LARGE, true);
    assert_int_equal(fx.bytes_read, 10);
    fx.bytes_read = 0;
    check_text("POST /small HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
               "8\r\n12345678\r\n3\r\n123\r\n0\r\n\r\n",
               TOO_LARGE, true);
    assert_int_equal(fx.bytes_read, 10);
    check_text("POST /small HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n1234567890",
               OK("24", "2 /small ?  10 6108e844\n"), false);
}

static void
test_reserve__refused__503(void **state)
{
    (void)state;
    open_conn();
    fx.f.reserve_result = PW_EAGAIN;
    feed_str("POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhel");
    poll_after(PW_HTTP_STARVED_MS_DEFAULT - 600);
    assert_int_equal(fx.f.out_len, 0); /* it waits: others may finish */
    poll_after(600);
    assert_out(REFUSED("503 Service Unavailable", "19", "service unavailable"));
    assert_int_equal(fx.abandoned, 1);
    close_conn();
    open_conn();
    fx.f.reserve_result = PW_EAGAIN; /* who asked first is told at once */
    feed_str("POST /p HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    assert_out(REFUSED("503 Service Unavailable", "19", "service unavailable"));
    close_conn();
    open_conn();
    fx.f.reserve_result = PW_EAGAIN; /* nothing to reserve when all is here */
    feed_str("POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello");
    assert_out(OK("19", "2 /p ?  5 4f9f2cab\n"));
    assert_int_equal(fx.f.reserve_calls, 0);
}

static void
test_reserve__buffers_come_back_while_it_waits__answered(void **state)
{
    (void)state;
    open_conn();
    fx.f.reserve_result = PW_EAGAIN;
    feed_str("POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhel");
    for (int i = 0; i < 100; i++) {
        fx.now += MS / 100;
        (void)pw_http_server_poll(fx.srv, fx.now);
    }
    assert_in_range(fx.f.reserve_calls, 2, 3); /* asked again, but not in every turn */
    fx.f.reserve_result = 0;
    fx.now += MS;
    assert_int_equal(pw_http_server_poll(fx.srv, fx.now), 1);
    assert_int_equal(fx.f.reserved, 2);
    assert_int_equal(pw_http_server_poll(fx.srv, fx.now), 0);
    feed_str("lo");
    assert_out(OK("19", "2 /p ?  5 4f9f2cab\n"));
    assert_int_equal(fx.f.reserved, 0);
}

static void
poll_for(uint64_t ms)
{
    for (uint64_t i = 0; i < ms; i++) {
        fx.now += MS;
        (void)pw_http_server_poll(fx.srv, fx.now);
    }
}

static void
test_pressed__until_it_is_over__body_is_not_read(void **state)
{
    (void)state;
    open_conn();
    fx.pressed = true;
    feed_str("POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhel");
    for (int i = 0; i < 100; i++) {
        fx.now += MS / 10;
        (void)pw_http_server_poll(fx.srv, fx.now);
    }
    assert_in_range(fx.pressed_asked, 9, 12); /* once a millisecond */
    assert_int_equal(fx.f.reserve_calls, 0);  /* the window stays as it was */
    feed_str("lo");
    assert_int_equal(fx.requests, 0);
    assert_int_equal(fx.f.out_len, 0);
    fx.pressed = false;
    poll_for(2);
    assert_out(OK("19", "2 /p ?  5 4f9f2cab\n"));
}

static void
test_pressed__too_long__tried_all_the_same(void **state)
{
    (void)state;
    open_conn();
    fx.pressed = true;
    feed_str("POST /p HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    poll_for(PW_HTTP_PRESSED_MS_MAX - 1);
    assert_int_equal(fx.f.out_len, 0); /* nobody is asked to continue */
    poll_for(3);
    assert_out("HTTP/1.1 100 Continue\r\n\r\n");
    feed_str("hello");
    assert_int_equal(fx.requests, 1);
    close_conn();
    open_conn();
    feed_str("POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhel");
    close_conn(); /* gone while it waits */
    poll_for(2);
    assert_int_equal(fx.requests, 1);
    assert_non_null(strstr(metrics_of(fx.srv), "pyrowire_http_bodies_slowed_total 2\n"));
}

static void
test_reserve__long_body__grows_with_what_came(void **state)
{
    static char part[32 << 10];

    (void)state;
    open_conn();
    feed_str("POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 1048576\r\n\r\n");
    assert_int_equal(fx.f.reserved, 32 << 10); /* a promise of a MiB is worth no more */
    for (uint32_t i = 1; i < 32; i++) {
        feed(part, sizeof(part), SIZE_MAX);
        assert_in_range(fx.f.reserved, 1, i * sizeof(part) + (32 << 10));
    }
    assert_true(fx.f.reserve_calls < 16);
    feed(part, sizeof(part), SIZE_MAX);
    assert_int_equal(fx.requests, 1);
    assert_int_equal(fx.f.reserved, 0);
}

static void
test_reserve__none_left__slow_bodies_are_reset(void **state)
{
    size_t given;

    (void)state;
    open_conn(); /* the slow one; its stream is the same object as the next one's */
    feed_str("POST /slow HTTP/1.1\r\nHost: h\r\nContent-Length: 5000\r\n\r\nhel");
    assert_int_equal(fx.f.reserved, 4997);
    given = fx.f.given;
    poll_after(2 * PW_HTTP_SLOW_MS_DEFAULT);
    assert_false(fx.f.reset); /* nobody misses the buffers */
    open_conn();
    fx.f.given = given;
    fx.f.reserve_result = PW_EAGAIN;
    feed_str("POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhel");
    poll_after(0);
    assert_true(fx.f.reset);
    assert_int_equal(pw_http_server_open(fx.srv), 1);
    assert_non_null(strstr(metrics_of(fx.srv), "refused_total{reason=\"body_slow\"} 1\n"));
    fx.f.reset = false;
    fx.f.reserve_result = 0;
    poll_after(0);
    feed_str("lo");
    assert_out(OK("19", "2 /p ?  5 4f9f2cab\n"));
}

static void
test_reserve__chunked__grows_with_the_body_and_is_given_back(void **state)
{
    size_t peak = 0;
    char chunk[1010];

    (void)state;
    open_conn();
    feed_str("POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    memcpy(chunk, "3e8\r\n", 5);
    memset(chunk + 5, 'x', 1000);
    memcpy(chunk + 1005, "\r\n", 2);
    for (int i = 0; i < 1000; i++) {
        feed(chunk, 1007, SIZE_MAX);
        assert_true(fx.f.reserved != 0);
        peak = fx.f.reserved > peak ? fx.f.reserved : peak;
    }
    assert_true(peak > 200000 && peak < 2000000);
    assert_true(fx.f.reserve_calls < 30);
    feed_str("0\r\n\r\n");
    assert_int_equal(fx.f.reserved, 0);
    assert_int_equal(fx.requests, 1);
}

/* ---- Replies later, slow readers, ends ------------------------------------------------------------- */

static void
test_reply__later__pipelined_requests_wait(void **state)
{
    (void)state;
    open_conn();
    feed_str("GET /async HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_int_equal(fx.f.out_len, 0);
    assert_true(fx.f.given != fx.f.consumed); /* what waits is not given back: the window closes */
    assert_int_equal(fx.requests, 1);
    reply_text(fx.srv, fx.waiting, 200, "later");
    assert_out(OK("5", "later")); /* the next one has its turn in the next poll */
    assert_int_equal(fx.requests, 1);
    assert_int_equal(pw_http_server_poll(fx.srv, fx.now), 1);
    assert_out(OK("5", "later") OK("19", "0 /b ?  0 811c9dc5\n"));
    assert_int_equal(fx.f.given, fx.f.consumed);
}

static void
test_reply__connection_died_first__abandoned_and_harmless(void **state)
{
    uint64_t conn;

    (void)state;
    open_conn();
    feed_str("GET /async HTTP/1.1\r\nHost: h\r\n\r\n");
    conn = fx.waiting;
    close_conn();
    assert_int_equal(fx.abandoned, 1);
    assert_int_equal(fx.bodies_freed, 1);
    open_conn(); /* the same place in the pool, another generation */
    feed_str("GET /async HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_int_equal(pw_http_reply(fx.srv, conn, &(struct pw_http_reply){.status = 200}),
                     PW_ENOENT);
    reply_text(fx.srv, fx.waiting, 200, "mine");
    assert_out(OK("4", "mine"));
}

static void
test_reply__peer_closes_its_side_first__told_and_still_answered(void **state)
{
    (void)state;
    open_conn();
    feed_str("GET /async HTTP/1.1\r\nHost: h\r\n\r\nGET /async HTTP/1.1\r\nHost: h\r\n\r\n"
             "GET /b HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_int_equal(fx.left, 0);
    fx.f.app->fin(fx.f.user, fx.now);
    assert_int_equal(fx.left, 1);
    assert_int_equal(fx.leaving, fx.waiting);
    assert_int_equal(fx.abandoned, 0);
    reply_text(fx.srv, fx.waiting, 200, "one");
    (void)pw_http_server_poll(fx.srv, fx.now);
    assert_int_equal(fx.left, 2); /* of the one behind it, too */
    reply_text(fx.srv, fx.waiting, 200, "two");
    (void)pw_http_server_poll(fx.srv, fx.now);
    assert_int_equal(fx.left, 2); /* and not of one that is answered at once */
    assert_out(OK("3", "one") OK("3", "two") OK("19", "0 /b ?  0 811c9dc5\n"));
}

static void
test_reply__slow_reader__nothing_buffered_beyond_the_given_body(void **state)
{
    static const char head[] = "HTTP/1.1 200 OK\r\n" DATE "Content-Length: 1048576\r\n\r\n";
    size_t turns = 0;

    (void)state;
    open_conn();
    fx.f.room = 10;
    feed_str("GET /big HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_int_equal(fx.f.out_len, 10);
    assert_int_equal(fx.bodies_freed, 0);
    while (fx.bodies_freed == 0) {
        fx.f.room = 1000 + turns++;
        fx.f.app->writable(fx.f.user, fx.now);
    }
    fx.f.room = SIZE_MAX / 2;
    fx.f.app->writable(fx.f.user, fx.now);
    assert_memory_equal(fx.f.out, head, sizeof(head) - 1);
    for (size_t i = 0; i < 1 << 20; i++) {
        assert_int_equal(fx.f.out[sizeof(head) - 1 + i], (uint8_t)(i * 31 >> 3));
    }
    fx.f.out_len -= sizeof(head) - 1 + (1 << 20);
    memmove(fx.f.out, fx.f.out + sizeof(head) - 1 + (1 << 20), fx.f.out_len);
    assert_out(OK("19", "0 /b ?  0 811c9dc5\n"));
}

static void
test_reply__no_room_at_all__byte_by_byte(void **state)
{
    (void)state;
    open_conn();
    fx.f.room = 0;
    feed_str(
        "POST /p HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello");
    assert_int_equal(fx.f.out_len, 0);
    for (int i = 0; i < 400; i++) {
        fx.f.room = 1;
        fx.f.app->writable(fx.f.user, fx.now);
    }
    assert_out("HTTP/1.1 100 Continue\r\n\r\n" OK("19", "2 /p ?  5 4f9f2cab\n"));
}

static void
test_reply__dead_while_sending__given_body_freed(void **state)
{
    (void)state;
    open_conn();
    fx.f.room = 100;
    feed_str("GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
    close_conn();
    assert_int_equal(fx.bodies_freed, 1);
    open_conn();
    feed_str("HEAD /big HTTP/1.1\r\nHost: h\r\n\r\n"); /* HEAD frees it unsent */
    assert_int_equal(fx.bodies_freed, 2);
    assert_out("HTTP/1.1 200 OK\r\n" DATE "Content-Length: 1048576\r\n\r\n");
}

static void
test_fin__in_every_state__answered_then_closed(void **state)
{
    (void)state;
    open_conn(); /* between requests */
    fx.f.app->fin(fx.f.user, fx.now);
    assert_true(fx.f.shut);
    assert_out("");
    close_conn();
    open_conn(); /* half a head */
    feed_str("GET / HT");
    fx.f.app->fin(fx.f.user, fx.now);
    assert_true(fx.f.shut);
    assert_out("");
    close_conn();
    open_conn(); /* half a body */
    feed_str("POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhel");
    fx.f.app->fin(fx.f.user, fx.now);
    assert_out(REFUSED("400 Bad Request", "45", "400 Bad Request: body ended before its length"));
    assert_true(fx.f.shut);
    close_conn();
    open_conn(); /* waiting for the application */
    feed_str("GET /async HTTP/1.1\r\nHost: h\r\n\r\n");
    fx.f.app->fin(fx.f.user, fx.now);
    assert_false(fx.f.shut);
    reply_text(fx.srv, fx.waiting, 200, "later");
    assert_out(OK("5", "later"));
    assert_true(fx.f.shut);
}

static void
test_linger__input_after_fin__dropped_up_to_a_limit(void **state)
{
    static const char junk[1448];

    (void)state;
    open_conn();
    feed_str("GET / HTTP/1.1\r\n\r\n");
    assert_true(fx.f.shut);
    feed(junk, sizeof(junk), SIZE_MAX);
    assert_false(fx.f.reset);
    assert_int_equal(fx.f.given, fx.f.consumed);
    for (size_t i = 0; i <= PW_HTTP_LINGER_BYTES_MAX / sizeof(junk) && !fx.f.reset; i++) {
        feed(junk, sizeof(junk), SIZE_MAX);
    }
    assert_true(fx.f.reset);
    assert_int_equal(pw_http_server_open(fx.srv), 0);
}

static void
test_pipelining__thousands_at_once__others_get_a_turn(void **state)
{
    static const char get[] = "GET /1 HTTP/1.1\r\nHost: h\r\n\r\n";
    char many[sizeof(get) * 60];
    size_t n = 0;
    uint32_t polls = 0;

    (void)state;
    for (int i = 0; i < 60; i++) {
        memcpy(many + n, get, sizeof(get) - 1);
        n += sizeof(get) - 1;
    }
    open_conn();
    feed(many, n, SIZE_MAX);
    assert_true(fx.requests < 60);
    while (fx.requests < 60) {
        assert_int_equal(pw_http_server_poll(fx.srv, fx.now), 1);
        assert_true(++polls < 10);
    }
    assert_int_equal(pw_http_server_poll(fx.srv, fx.now), 0);
}

/* Bodies count by their bytes: three of these are what one connection gets in a turn. */
static void
test_pipelining__large_bodies__fewer_of_them_a_turn(void **state)
{
    static char many[100 + 12 * (60 + (30 << 10))];
    static char body[30 << 10];
    size_t n = 0;

    (void)state;
    memset(body, 'x', sizeof(body));
    n += (size_t)sprintf(many,
                         "GET /async HTTP/1.1\r\nHost: h\r\n\r\n"); /* the others gather behind */
    for (int i = 0; i < 12; i++) {
        n += (size_t)sprintf(many + n, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n",
                             sizeof(body));
        memcpy(many + n, body, sizeof(body));
        n += sizeof(body);
    }
    open_conn();
    feed(many, n, SIZE_MAX);
    reply_text(fx.srv, fx.waiting, 200, "later");
    assert_int_equal(fx.requests, 1);
    for (uint32_t polls = 0; fx.requests < 13; polls++) {
        uint32_t before = fx.requests;

        assert_int_equal(pw_http_server_poll(fx.srv, fx.now), 1);
        assert_in_range(fx.requests - before, 1, 3);
        assert_true(polls < 12);
    }
    close_conn();
}

/* ---- Deadlines, limits, drain ------------------------------------------------------------------------ */

static void
test_poll__idle_connection__closed_without_a_word(void **state)
{
    (void)state;
    open_conn();
    feed_str("GET /b HTTP/1.1\r\nHost: h\r\n\r\n");
    fx.f.out_len = 0;
    poll_after(PW_HTTP_IDLE_MS_DEFAULT - 1000);
    assert_false(fx.f.shut);
    poll_after(2000);
    assert_true(fx.f.shut);
    assert_out("");
    assert_false(fx.f.reset);
    poll_after(PW_HTTP_LINGER_MS_DEFAULT + 1000);
    assert_true(fx.f.reset);
}

static void
test_poll__slow_head__408_counted_from_its_first_byte(void **state)
{
    (void)state;
    open_conn();
    for (int i = 0; i < 6; i++) {
        feed_str("G");
        poll_after(1000);
        assert_int_equal(fx.f.out_len, 0);
    }
    poll_after(3000);
    assert_out(REFUSED("408 Request Timeout", "25", "408 Request Timeout: head"));
    assert_true(fx.f.shut);
}

static void
test_poll__slow_body__408_when_there_is_too_little_progress(void **state)
{
    static const char some[PW_HTTP_BODY_STEP_BYTES];

    (void)state;
    open_conn();
    feed_str("POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n");
    for (int i = 0; i < 5; i++) { /* enough in time */
        poll_after(PW_HTTP_BODY_MS_DEFAULT - 1000);
        assert_int_equal(fx.f.out_len, 0);
        feed(some, sizeof(some), SIZE_MAX);
    }
    for (int i = 0; i < 40; i++) { /* a byte a second is not progress */
        feed_str("x");
        poll_after(1000);
    }
    assert_out(REFUSED("408 Request Timeout", "25", "408 Request Timeout: body"));
    assert_int_equal(fx.abandoned, 1);
}

static void
test_poll__reader_that_never_reads__reset(void **state)
{
    (void)state;
    open_conn();
    fx.f.room = 10;
    feed_str("GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
    poll_after(PW_HTTP_SEND_MS_DEFAULT - 1000);
    assert_false(fx.f.reset);
    poll_after(2000);
    assert_true(fx.f.reset);
    assert_int_equal(fx.bodies_freed, 1);
}

static void
test_poll__reader_that_reads_slowly__reset_when_it_is_too_slow(void **state)
{
    (void)state;
    open_conn();
    fx.f.room = 10;
    fx.f.unacked = 256 << 10;
    feed_str("GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
    for (int i = 0; i < 10; i++) { /* nothing more was taken by the stream, but the peer reads */
        fx.f.unacked -= PW_HTTP_SEND_STEP_BYTES;
        poll_after(PW_HTTP_SEND_MS_DEFAULT + 1000);
        assert_false(fx.f.reset);
    }
    fx.f.unacked -= PW_HTTP_SEND_STEP_BYTES - 1;
    poll_after(PW_HTTP_SEND_MS_DEFAULT + 1000);
    assert_true(fx.f.reset);
    assert_int_equal(fx.bodies_freed, 1);
}

static void
test_poll__application_takes_its_time__no_deadline(void **state)
{
    (void)state;
    open_conn();
    feed_str("GET /async HTTP/1.1\r\nHost: h\r\n\r\n");
    poll_after(3600 * 1000);
    reply_text(fx.srv, fx.waiting, 200, "later");
    assert_out(OK("5", "later"));
}

static void
test_accept__pool_full__refused(void **state)
{
    struct pw_stream s[5] = {0};
    const struct pw_stream_app *app = pw_http_server_stream_app(fx.srv);
    void *user[5];

    (void)state;
    for (int i = 0; i < 5; i++) {
        s[i].ops = &fake_ops;
        user[i] = app->accept(app->ctx, &s[i], fx.now);
    }
    assert_null(user[4]);
    assert_int_equal(pw_http_server_open(fx.srv), 4);
    for (int i = 0; i < 4; i++) {
        app->gone(user[i], fx.now);
    }
}

static void
test_accept__too_many_of_one_address__refused_and_counted(void **state)
{
    struct pw_http_server *srv;
    const struct pw_stream_app *app;
    struct pw_stream s[4] = {0};
    void *user[4];
    int err = 0;

    (void)state;
    srv = pw_http_server_create_ctl(&(struct pw_http_server_cfg){.app = &fx.app,
                                                                 .clock = &fx.clock,
                                                                 .conns_max = 8,
                                                                 .conns_per_address = 2,
                                                                 .hash_key = 7},
                                    &err);
    assert_non_null(srv);
    app = pw_http_server_stream_app(srv);
    for (int i = 0; i < 4; i++) {
        s[i].ops = &fake_ops;
        s[i].peer.ip[10] = s[i].peer.ip[11] = 0xff;
        s[i].peer.ip[15] = i < 3 ? 1 : 2;
        s[i].peer.port = (uint16_t)i;
        user[i] = app->accept(app->ctx, &s[i], fx.now);
    }
    assert_non_null(user[1]);
    assert_null(user[2]);
    assert_non_null(user[3]); /* another address is not their neighbour's prisoner */
    assert_int_equal(pw_http_server_open(srv), 3);
    assert_non_null(
        strstr(metrics_of(srv), "refused_total{reason=\"connections_per_address\"} 1\n"));
    app->gone(user[0], fx.now);
    user[0] = app->accept(app->ctx, &s[2], fx.now);
    assert_non_null(user[0]);
    app->gone(user[0], fx.now);
    app->gone(user[1], fx.now);
    app->gone(user[3], fx.now);
    pw_http_server_destroy_ctl(srv);
}

static void
test_drain__idle_closed_busy_answered_new_refused(void **state)
{
    struct pw_stream other = {.ops = &fake_ops};

    (void)state;
    open_conn();
    feed_str("GET /async HTTP/1.1\r\nHost: h\r\n\r\n");
    pw_http_server_drain(fx.srv);
    (void)pw_http_server_poll(fx.srv, fx.now);
    assert_false(fx.f.shut);
    assert_null(fx.f.app->accept(fx.f.app->ctx, &other, fx.now));
    reply_text(fx.srv, fx.waiting, 200, "last");
    assert_true(fx.f.shut);
    assert_out("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-A: b\r\n" DATE
               "Content-Length: 4\r\nConnection: close\r\n\r\nlast");
    assert_int_equal(pw_http_server_open(fx.srv), 1);
}

static void
test_drain__idle_connection__fin_at_next_poll(void **state)
{
    (void)state;
    open_conn();
    pw_http_server_drain(fx.srv);
    assert_false(fx.f.shut);
    (void)pw_http_server_poll(fx.srv, fx.now);
    assert_true(fx.f.shut);
}

static void
test_head_buffers__all_in_use__503(void **state)
{
    struct fake hog[2];
    char big[3000];
    uint8_t *out = fx.f.out;

    (void)state;
    memset(big, 'x', sizeof(big));
    memcpy(big, "GET / HTTP/1.1\r\nA: ", 19);
    for (int i = 0; i < 2; i++) {
        open_conn();
        feed(big, sizeof(big), SIZE_MAX);
        assert_int_equal(fx.f.out_len, 0);
        hog[i] = fx.f;
    }
    fx.f.out = out;
    open_conn();
    feed(big, sizeof(big), SIZE_MAX);
    assert_out(REFUSED("503 Service Unavailable", "19", "service unavailable"));
    for (int i = 0; i < 2; i++) {
        hog[i].app->gone(hog[i].user, fx.now);
    }
}

static void
test_metrics__after_some_traffic__counted_by_reason(void **state)
{
    struct pw_text t;
    const struct pw_http_server *one;

    (void)state;
    check_text("GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/3.0\r\n",
               OK("19", "0 /a ?  0 811c9dc5\n")
                   REFUSED("505 HTTP Version Not Supported", "58",
                           "505 HTTP Version Not Supported: only HTTP/1.0 and HTTP/1.1"),
               true);
    one = fx.srv;
    pw_text_init(&t, 1 << 16);
    pw_http_server_metrics(&one, 1, &t);
    pw_text_char(&t, 0);
    assert_false(t.failed);
    assert_non_null(strstr((char *)t.ptr, "pyrowire_http_responses_total{code=\"2xx\"} 8\n"));
    assert_non_null(
        strstr((char *)t.ptr, "pyrowire_http_refused_total{reason=\"version_unsupported\"} 8\n"));
    assert_non_null(strstr((char *)t.ptr, "pyrowire_http_connections 0\n"));
    pw_text_fini(&t);
}

/* ---- Chaos ----------------------------------------------------------------------------------------- */

static uint32_t
dice(uint32_t *seed, uint32_t n)
{
    *seed = *seed * 1664525 + 1013904223;
    return (uint32_t)(((uint64_t)*seed * n) >> 32);
}

static void
one_accident(uint32_t *seed)
{
    static const char *const texts[] = {
        "GET /b HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /async HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /big HTTP/1.1\r\nHost: h\r\n\r\n",
        "HEAD /big HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n",
        "POST /early HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n",
        "POST /small HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST /early HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST /p HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n",
        "123456789",
        "4\r\nabcd\r\n",
        "0\r\n\r\n",
        "\r\n",
        "GET / HT",
    };
    const char *text = texts[dice(seed, PW_ARRAY_LEN(texts))];

    switch (dice(seed, 12)) {
    case 0:
        poll_after(dice(seed, 40000));
        break;
    case 1:
        if (fx.waiting != 0) {
            uint64_t conn = fx.waiting;

            fx.waiting = 0;
            (void)pw_http_reply(fx.srv, conn, &(struct pw_http_reply){.status = 200});
        }
        break;
    case 2:
        fx.f.app->fin(fx.f.user, fx.now);
        break;
    case 3:
        fx.f.reserve_result = dice(seed, 2) == 0 ? 0 : PW_EAGAIN;
        break;
    case 4:
    case 5:
        fx.f.room = dice(seed, 3) == 0 ? 1 << 20 : dice(seed, 100);
        fx.f.app->writable(fx.f.user, fx.now);
        break;
    default:
        feed(text, strlen(text), 1 + dice(seed, 60));
        break;
    }
}

/* No script: thousands of connections to which anything happens in any order, until they die or are
 * ended. What must hold are the checks of the fake stream, of close_conn, and our own invariants. */
static void
test_chaos__anything_in_any_order__everything_comes_home(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < 20000; round++) {
        uint32_t seed = round * 2654435761U;

        open_conn();
        fx.waiting = 0;
        fx.f.room = dice(&seed, 2) == 0 ? 20 : SIZE_MAX / 2;
        for (uint32_t i = 0; i < 30 && is_open(); i++) {
            one_accident(&seed);
            fx.f.out_len = 0;
        }
        close_conn();
    }
    assert_true(fx.requests > 10000 && fx.abandoned > 100);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/* ---- Held requests ------------------------------------------------------------------------------ */

#define HELD "POST /held?q HTTP/1.1\r\nHost: h\r\nX-Tag: t\r\nContent-Length: 100000\r\n\r\n"

/* A body of 100,000 bytes to /held; its hash as app_request would print it. */
static uint32_t
feed_held(void)
{
    static uint8_t body[100000];
    struct pw_slice one = pw_slice(body, sizeof(body));
    struct pw_http_request req = {.body = &one, .body_count = 1};
    uint64_t n;

    for (size_t i = 0; i < sizeof(body); i++) {
        body[i] = (uint8_t)(i * 11 >> 4);
    }
    feed_str(HELD);
    feed(body, sizeof(body), 1448);
    return body_hash(&req, &n);
}

/* A request on a connection of its own, while fx.f has one at work. */
static void
ask_beside(const char *text, const char *want)
{
    struct fake g = {.stream.ops = &fake_ops, .room = SIZE_MAX / 2, .out = malloc(OUT_BYTES)};
    struct rte_mbuf *m = rte_pktmbuf_alloc(fx.pool);
    void *user = fx.f.app->accept(fx.f.app->ctx, &g.stream, fx.now);

    assert_non_null(user);
    memcpy(rte_pktmbuf_append(m, (uint16_t)strlen(text)), text, strlen(text));
    g.given = m->buf_len;
    fx.f.app->input(user, m, fx.now);
    g.out[g.out_len] = 0;
    assert_string_equal((const char *)g.out, want);
    fx.f.app->gone(user, fx.now);
    free(g.out);
}

static void
test_pw_http_held__after_other_heads_were_read__is_the_request_again(void **state)
{
    struct pw_http_request req;
    uint64_t bytes;
    uint32_t hash;

    (void)state;
    open_conn();
    hash = feed_held();
    feed_str("GET /next HTTP/1.1\r\nHost: h\r\n\r\n"); /* has to wait */
    ask_beside("POST /other HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
               OK("23", "2 /other ?  5 4f9f2cab\n"));
    assert_int_equal(pw_http_held(fx.srv, fx.waiting, &req), 0);
    assert_true(pw_slice_eq_str(req.path, "/held") && pw_slice_eq_str(req.query, "q"));
    assert_true(pw_slice_eq_str(pw_http_header(&req, "x-tag"), "t"));
    assert_int_equal(body_hash(&req, &bytes), hash);
    assert_int_equal(bytes, 100000);
    assert_int_equal(req.body_bytes, 100000);
    assert_int_equal(req.conn, fx.waiting);
    assert_int_equal(fx.f.out_len, 0);
    reply_text(fx.srv, fx.waiting, 200, "ok");
    poll_after(0);
    assert_out(OK("2", "ok") OK("22", "0 /next ?  0 811c9dc5\n"));
}

static void
test_pw_http_reply__to_a_held_request__gives_its_buffers_back(void **state)
{
    struct pw_http_request req;

    (void)state;
    open_conn();
    (void)feed_held();
    assert_true(fx.f.consumed < fx.f.given);
    reply_text(fx.srv, fx.waiting, 200, "ok");
    assert_int_equal(fx.f.consumed, fx.f.given);
    assert_int_equal(rte_mempool_avail_count(fx.pool), fx.pool_level);
    assert_int_equal(pw_http_held(fx.srv, fx.waiting, &req), PW_ENOENT);
    feed_str("GET /b HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_out(OK("2", "ok") OK("19", "0 /b ?  0 811c9dc5\n"));
}

static void
test_pw_http_release__before_the_reply__gives_its_buffers_back(void **state)
{
    (void)state;
    open_conn();
    (void)feed_held();
    pw_http_release(fx.srv, fx.waiting);
    assert_int_equal(fx.f.consumed, fx.f.given);
    assert_int_equal(rte_mempool_avail_count(fx.pool), fx.pool_level);
    pw_http_release(fx.srv, fx.waiting);
    reply_text(fx.srv, fx.waiting, 200, "ok");
    assert_out(OK("2", "ok"));
}

static void
test_pw_http_body_done__of_a_held_request__head_stays_and_the_rest_goes_back(void **state)
{
    struct pw_http_request req;

    (void)state;
    open_conn();
    (void)feed_held();
    pw_http_body_done(fx.srv, fx.waiting);
    assert_true(rte_mempool_avail_count(fx.pool) + 1 >= fx.pool_level); /* one may hold the head */
    assert_int_equal(pw_http_held(fx.srv, fx.waiting, &req), 0);
    assert_true(pw_slice_eq_str(req.path, "/held") && pw_slice_eq_str(req.query, "q"));
    assert_true(pw_slice_eq_str(pw_http_header(&req, "x-tag"), "t"));
    assert_int_equal(req.body_bytes, 100000);
    pw_http_body_done(fx.srv, fx.waiting);
    reply_text(fx.srv, fx.waiting, 200, "ok");
    assert_int_equal(fx.f.consumed, fx.f.given);
    assert_int_equal(rte_mempool_avail_count(fx.pool), fx.pool_level);
    pw_http_body_done(fx.srv, fx.waiting); /* nothing is in progress */
    feed_str("GET /b HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_out(OK("2", "ok") OK("19", "0 /b ?  0 811c9dc5\n"));
}

static void
test_pw_http_hold__connection_dies__told_before_the_buffers_go(void **state)
{
    struct pw_http_request req;

    (void)state;
    open_conn();
    (void)feed_held();
    fx.f.app->gone(fx.f.user, fx.now);
    fx.f.gone = true;
    assert_int_equal(fx.abandoned, 1);
    assert_true(fx.buffers_when_abandoned < fx.pool_level);
    assert_int_equal(rte_mempool_avail_count(fx.pool), fx.pool_level);
    assert_int_equal(pw_http_held(fx.srv, fx.waiting, &req), PW_ENOENT);
    pw_http_release(fx.srv, fx.waiting);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_request__get__answered_and_kept_alive),
        T(test_request__head__length_but_no_body),
        T(test_request__content_length_body__delivered_whole),
        T(test_request__chunked_body__framing_removed),
        T(test_request__pipelined__answered_in_order),
        T(test_request__http_1_0__closes_unless_asked),
        T(test_request__options_star__answered_here),
        T(test_request__large_bodies__every_byte_and_few_buffers),
        T(test_request__large_chunked_body__every_byte),
        T(test_request__long_head__gathered_over_mbufs),
        T(test_expect__continue__interim_after_the_head_only),
        T(test_expect__something_else__417),
        T(test_expect__answered_early__no_interim_and_close),
        T(test_pw_http_held__after_other_heads_were_read__is_the_request_again),
        T(test_pw_http_reply__to_a_held_request__gives_its_buffers_back),
        T(test_pw_http_release__before_the_reply__gives_its_buffers_back),
        T(test_pw_http_body_done__of_a_held_request__head_stays_and_the_rest_goes_back),
        T(test_pw_http_hold__connection_dies__told_before_the_buffers_go),
        T(test_refuse__malformed_head__status_text_and_fin),
        T(test_refuse__post_without_length__411_unless_the_route_refuses_first),
        T(test_refuse__bad_chunk__400_and_abandoned),
        T(test_early_answer__short_body__dropped_and_kept_alive),
        T(test_body_too_large__length_or_chunks__413_with_what_stock_would_have_read),
        T(test_reserve__refused__503),
        T(test_reserve__buffers_come_back_while_it_waits__answered),
        T(test_pressed__until_it_is_over__body_is_not_read),
        T(test_pressed__too_long__tried_all_the_same),
        T(test_reserve__long_body__grows_with_what_came),
        T(test_reserve__none_left__slow_bodies_are_reset),
        T(test_reserve__chunked__grows_with_the_body_and_is_given_back),
        T(test_reply__later__pipelined_requests_wait),
        T(test_reply__connection_died_first__abandoned_and_harmless),
        T(test_reply__peer_closes_its_side_first__told_and_still_answered),
        T(test_reply__slow_reader__nothing_buffered_beyond_the_given_body),
        T(test_reply__no_room_at_all__byte_by_byte),
        T(test_reply__dead_while_sending__given_body_freed),
        T(test_fin__in_every_state__answered_then_closed),
        T(test_linger__input_after_fin__dropped_up_to_a_limit),
        T(test_pipelining__thousands_at_once__others_get_a_turn),
        T(test_pipelining__large_bodies__fewer_of_them_a_turn),
        T(test_poll__idle_connection__closed_without_a_word),
        T(test_poll__slow_head__408_counted_from_its_first_byte),
        T(test_poll__slow_body__408_when_there_is_too_little_progress),
        T(test_poll__reader_that_never_reads__reset),
        T(test_poll__reader_that_reads_slowly__reset_when_it_is_too_slow),
        T(test_poll__application_takes_its_time__no_deadline),
        T(test_accept__pool_full__refused),
        T(test_accept__too_many_of_one_address__refused_and_counted),
        T(test_drain__idle_closed_busy_answered_new_refused),
        T(test_drain__idle_connection__fin_at_next_poll),
        T(test_head_buffers__all_in_use__503),
        T(test_chaos__anything_in_any_order__everything_comes_home),
        T(test_metrics__after_some_traffic__counted_by_reason),
    };
    char *eal[] = {"test", "--no-pci", "--no-telemetry", "--no-huge", "-m", "64", "--no-shconf",
                   "-l",   "0",        "--log-level",    "error"};

    if (rte_eal_init(PW_ARRAY_LEN(eal), eal) < 0) {
        fprintf(stderr, "EAL does not start\n");
        return 1;
    }
    fx.pool = rte_pktmbuf_pool_create("test", 2047, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
    if (fx.pool == NULL) {
        fprintf(stderr, "no mbufs\n");
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
