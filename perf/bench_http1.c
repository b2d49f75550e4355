/* perf/bench_http1.c - what HTTP costs: a head, a request through http_conn, chunk framing.
 *
 * head_*       pw_http1_head_parse of a request as sent by wrk, and as sent by an SDK
 * conn_get     empty GET through a connection: accept of the mbuf, head, both callbacks, reply
 * conn_push    a POST of 15.5 KB in segments of 1448 bytes; the body is looked at by nobody
 * chunked      body bytes with chunks of 4 KiB removed in place
 */
#include "perf/bench.h"

#include "dataplane/http1.h"
#include "dataplane/http_conn.h"

#include <rte_eal.h>
#include <rte_mbuf.h>

#include <stdio.h>
#include <stdlib.h>

static const char get_head[] = "GET /ready HTTP/1.1\r\nHost: 10.99.0.2:4040\r\n\r\n";
static const char push_head[] =
    "POST /push.v1.PusherService/Push HTTP/1.1\r\nHost: 10.99.0.2:4040\r\n"
    "User-Agent: connect-go/1.19.1 (go1.26.8)\r\nContent-Length: 15500\r\n"
    "Accept-Encoding: gzip\r\nConnect-Protocol-Version: 1\r\nConnect-Timeout-Ms: 10000\r\n"
    "Content-Type: application/proto\r\nX-Scope-Orgid: tenant-1\r\n\r\n";

static void
parse_head(void *arg)
{
    const struct pw_slice *s = arg;
    static struct pw_http1_head h;
    struct pw_http1_resume r = {0};

    bench_keep((uint64_t)pw_http1_head_parse(&h, s->ptr, s->len, &r));
}

struct null_stream {
    struct pw_stream stream;
    const struct pw_stream_app *app;
    struct rte_mempool *pool;
    struct pw_slice input;
    uint64_t sent;
};

static size_t
null_send_room(struct pw_stream *s)
{
    (void)s;
    return SIZE_MAX;
}

static size_t
null_send(struct pw_stream *s, const struct pw_slice *iov, uint32_t iov_count)
{
    size_t n = 0;

    for (uint32_t i = 0; i < iov_count; i++) {
        n += iov[i].len;
    }
    ((struct null_stream *)s)->sent += n;
    return n;
}

static void
null_consumed(struct pw_stream *s, size_t buf_bytes)
{
    (void)s;
    bench_keep(buf_bytes);
}

static int
null_reserve(struct pw_stream *s, size_t bytes)
{
    (void)s;
    bench_keep(bytes);
    return 0;
}

static void
null_end(struct pw_stream *s)
{
    (void)s;
}

static const struct pw_stream_ops null_ops = {
    .send_room = null_send_room,
    .send = null_send,
    .consumed = null_consumed,
    .reserve = null_reserve,
    .shutdown = null_end,
    .reset = null_end,
};

static void
app_head(void *ctx, struct pw_http_server *srv, const struct pw_http_request *req,
         struct pw_http_verdict *v)
{
    (void)ctx;
    (void)srv;
    bench_keep(req->path.len);
    v->body_bytes_limit = 1 << 20;
}

static void
app_request(void *ctx, struct pw_http_server *srv, const struct pw_http_request *req)
{
    (void)ctx;
    bench_keep((uint64_t)pw_http_reply(
        srv, req->conn,
        &(struct pw_http_reply){.status = 200, .content_type = "text/plain; charset=utf-8"}));
}

/* Segments as a network would bring them; the mbufs' contents are copied by the NIC, not by us, so
 * this copy is part of neither figure of a stack. It is small beside the rest. */
static void
one_request(void *arg)
{
    struct null_stream *s = arg;
    size_t pos = 0;

    while (pos < s->input.len) {
        size_t n = s->input.len - pos < 1448 ? s->input.len - pos : 1448;
        struct rte_mbuf *m = rte_pktmbuf_alloc(s->pool);

        if (m == NULL) {
            abort();
        }
        memcpy(rte_pktmbuf_append(m, (uint16_t)n), s->input.ptr + pos, n);
        s->app->input(s->stream.user, m, 1);
        pos += n;
    }
}

/* The same without http_conn, to be subtracted. */
static void
mbufs_only(void *arg)
{
    struct null_stream *s = arg;
    size_t pos = 0;

    while (pos < s->input.len) {
        size_t n = s->input.len - pos < 1448 ? s->input.len - pos : 1448;
        struct rte_mbuf *m = rte_pktmbuf_alloc(s->pool);

        if (m == NULL) {
            abort();
        }
        memcpy(rte_pktmbuf_append(m, (uint16_t)n), s->input.ptr + pos, n);
        rte_pktmbuf_free(m);
        pos += n;
    }
}

static void
decode_chunked(void *arg)
{
    const struct pw_slice *s = arg;
    struct pw_http1_chunked c = {0};
    size_t pos = 0;

    while (pos < s->len) {
        struct pw_slice data;

        pos += (size_t)pw_http1_chunked_next(&c, s->ptr + pos, s->len - pos, &data);
        bench_keep(data.len);
    }
}

int
main(void)
{
    char *eal[] = {"bench", "--no-pci",    "--no-telemetry", "--no-huge", "-m",
                   "64",    "--no-shconf", "--log-level",    "error"};
    struct pw_clock clock = {.tsc_hz = 1000000000};
    struct pw_http_app app = {.head = app_head, .request = app_request};
    struct pw_slice get = PW_SLICE_LIT(get_head);
    struct pw_slice push = PW_SLICE_LIT(push_head);
    static uint8_t body[sizeof(push_head) + 15500];
    static uint8_t chunks[16 * (4096 + 8) + 5];
    struct null_stream s = {.stream.ops = &null_ops};
    size_t n = 0;
    int err;

    if (rte_eal_init(PW_ARRAY_LEN(eal), eal) < 0) {
        return 1;
    }
    bench_begin();
    bench_run("head_get", parse_head, &get, 1);
    bench_run("head_push", parse_head, &push, 1);
    s.pool = rte_pktmbuf_pool_create("bench", 1023, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
    struct pw_http_server *srv = pw_http_server_create_ctl(
        &(struct pw_http_server_cfg){.app = &app, .clock = &clock, .conns_max = 16}, &err);

    if (s.pool == NULL || srv == NULL) {
        return 1;
    }
    s.app = pw_http_server_stream_app(srv);
    s.stream.user = s.app->accept(s.app->ctx, &s.stream, 1);
    s.input = get;
    bench_run("mbufs_get", mbufs_only, &s, 1);
    bench_run("conn_get", one_request, &s, 1);
    memcpy(body, push_head, sizeof(push_head) - 1);
    s.input = pw_slice(body, sizeof(push_head) - 1 + 15500);
    bench_run("mbufs_push", mbufs_only, &s, 1);
    bench_run("conn_push", one_request, &s, 1);
    for (int i = 0; i < 16; i++) {
        n += (size_t)sprintf((char *)chunks + n, "1000\r\n");
        n += 4096;
        memcpy(chunks + n, "\r\n", 2);
        n += 2;
    }
    memcpy(chunks + n, "0\r\n\r\n", 5);
    s.input = pw_slice(chunks, n + 5);
    bench_run("chunked_64k", decode_chunked, &s.input, 1);
    s.app->gone(s.stream.user, 1);
    pw_http_server_destroy_ctl(srv);
    return 0;
}
