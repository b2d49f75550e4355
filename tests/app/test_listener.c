/* tests/app/test_listener.c - the loopback listener under a real HTTP server, over real sockets.
 *
 * One thread: the test writes what the kernel takes, polls the listener and the server, and reads what
 * came back, as long as something moves.
 */
#include "tests/support/cmocka_pw.h"

#include "app/listener.h"
#include "dataplane/http_conn.h"

#include <rte_eal.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { POOL_MBUFS = 1023, BODY_MAX = 4 << 20 };

struct fixture {
    struct rte_mempool *pool;
    struct pw_clock clock;
    struct pw_http_app app;
    struct pw_http_server *srv;
    struct pw_listener *l;
    uint32_t level;
    char *in; /* what the client read */
    size_t in_len;
    uint32_t requests;
    uint16_t peer_port;
};

static struct fixture fx;

static void
app_head(void *ctx, struct pw_http_server *srv, const struct pw_http_request *req,
         struct pw_http_verdict *v)
{
    (void)ctx;
    (void)srv;
    (void)req;
    v->body_bytes_limit = BODY_MAX;
}

/* Answers the path and the sum of the body's bytes; /down?<n> answers n bytes. */
static void
app_request(void *ctx, struct pw_http_server *srv, const struct pw_http_request *req)
{
    struct fixture *x = ctx;
    char text[128];
    uint64_t sum = 0;

    x->requests++;
    x->peer_port = req->peer.port;
    for (uint32_t i = 0; i < req->body_count; i++) {
        for (size_t j = 0; j < req->body[i].len; j++) {
            sum += req->body[i].ptr[j];
        }
    }
    if (pw_slice_eq_str(req->path, "/down")) {
        size_t n = strtoull((const char *)req->query.ptr, NULL, 10);
        uint8_t *body = malloc(n);

        assert_non_null(body);
        memset(body, 'd', n);
        assert_int_equal(pw_http_reply(srv, req->conn,
                                       &(struct pw_http_reply){.status = 200,
                                                               .body = pw_slice(body, n),
                                                               .body_free = free,
                                                               .body_arg = body}),
                         0);
        return;
    }
    snprintf(text, sizeof(text), "%.*s %llu %llu\n", (int)req->path.len, req->path.ptr,
             (unsigned long long)req->body_bytes, (unsigned long long)sum);
    assert_int_equal(pw_http_reply(srv, req->conn,
                                   &(struct pw_http_reply){.status = 200,
                                                           .content_type = "text/plain",
                                                           .body = pw_slice_str(text)}),
                     0);
}

static struct pw_listener *
listen_on(const char *address, uint16_t port, uint32_t mbufs_max, int *err, char *errbuf)
{
    return pw_listener_create_ctl(
        &(struct pw_listener_cfg){.address = address,
                                  .port = port,
                                  .mempool = fx.pool,
                                  .mbufs_max = mbufs_max,
                                  .stream_app = pw_http_server_stream_app(fx.srv),
                                  .conns_max = 32},
        err, errbuf, 256);
}

static int
set_up(void **state)
{
    struct rte_mempool *pool = fx.pool;
    char errbuf[256];
    int err;

    (void)state;
    fx = (struct fixture){.pool = pool};
    pw_clock_init_ctl(&fx.clock);
    fx.app = (struct pw_http_app){.ctx = &fx, .head = app_head, .request = app_request};
    fx.srv = pw_http_server_create_ctl(
        &(struct pw_http_server_cfg){.app = &fx.app, .clock = &fx.clock, .conns_max = 16}, &err);
    assert_non_null(fx.srv);
    fx.level = rte_mempool_avail_count(pool);
    fx.l = listen_on("127.0.0.1", 0, 0, &err, errbuf);
    assert_non_null(fx.l);
    fx.in = malloc(BODY_MAX + 4096);
    assert_non_null(fx.in);
    return 0;
}

static int
tear_down(void **state)
{
    (void)state;
    pw_listener_destroy_ctl(fx.l);
    assert_int_equal(pw_http_server_open(fx.srv), 0);
    pw_http_server_destroy_ctl(fx.srv);
    assert_int_equal(rte_mempool_avail_count(fx.pool), fx.level);
    free(fx.in);
    return 0;
}

static uint32_t
turn(void)
{
    uint64_t now = pw_rdtsc();

    return pw_listener_poll(fx.l, now) + pw_http_server_poll(fx.srv, now);
}

static int
dial(int rcvbuf)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons(pw_listener_port(fx.l))};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_true(fd >= 0);
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (rcvbuf != 0) {
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof(rcvbuf)), 0);
    }
    assert_int_equal(connect(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
    return fd;
}

/* Sends, polls and reads until `want` answer bytes are in fx.in, or the server closed, or nothing has
 * moved for a while. Returns whether the server closed. */
static bool
talk(int fd, const char *out, size_t n, size_t want)
{
    int quiet = 0;

    while (quiet < 300) {
        ssize_t sent = n == 0 ? 0 : send(fd, out, n, MSG_DONTWAIT | MSG_NOSIGNAL);
        uint32_t work = turn();
        ssize_t got = recv(fd, fx.in + fx.in_len, BODY_MAX + 4095 - fx.in_len, MSG_DONTWAIT);

        if (got == 0) {
            fx.in[fx.in_len] = 0;
            return true;
        }
        fx.in_len += got > 0 ? (size_t)got : 0;
        out = sent > 0 ? out + sent : out;
        n -= sent > 0 ? (size_t)sent : 0;
        if (n == 0 && fx.in_len >= want) {
            break;
        }
        if (sent <= 0 && got < 0 && work == 0) {
            (void)poll(NULL, 0, 1);
            quiet++;
        } else {
            quiet = 0;
        }
    }
    fx.in[fx.in_len] = 0;
    return false;
}

/* Turns until the listener has nothing to do. */
static void
settle(void)
{
    for (int quiet = 0; quiet < 20; quiet++) {
        if (turn() != 0) {
            quiet = 0;
        }
        (void)poll(NULL, 0, 1);
    }
}

static void
request(int fd, const char *text, const char *answer_end)
{
    size_t end = strlen(answer_end);

    fx.in_len = 0;
    for (size_t want = 1; want < 2000; want = fx.in_len + 1) {
        bool closed = talk(fd, text, want == 1 ? strlen(text) : 0, want);

        if (closed || (fx.in_len >= end && strcmp(fx.in + fx.in_len - end, answer_end) == 0)) {
            break;
        }
        assert_true(fx.in_len >= want); /* nothing more came */
    }
    assert_true(fx.in_len >= end);
    assert_string_equal(fx.in + fx.in_len - end, answer_end);
}

static void
test_listener__keep_alive_requests__answered_on_one_connection(void **state)
{
    int fd = dial(0);
    struct sockaddr_in me;
    socklen_t len = sizeof(me);

    (void)state;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&me, &len), 0);
    for (int i = 0; i < 3; i++) {
        request(fd,
                "GET /a HTTP/1.1\r\nHost: localhost:4040\r\nUser-Agent: curl/7.88.1\r\n"
                "Accept: */*\r\n\r\n",
                "\r\n\r\n/a 0 0\n");
        assert_memory_equal(fx.in, "HTTP/1.1 200 OK\r\n", 17);
    }
    assert_int_equal(fx.peer_port, ntohs(me.sin_port));
    request(fd, "POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n\x01\x02\x03",
            "\r\n\r\n/b 3 6\n");
    assert_int_equal(pw_http_server_open(fx.srv), 1);
    close(fd);
    settle();
    assert_int_equal(pw_http_server_open(fx.srv), 0);
}

static void
test_listener__large_upload__whole_and_within_the_pool(void **state)
{
    size_t n = 1 << 20;
    char *out = malloc(4 * n);
    int head = 0;
    char want[64];
    int fd = dial(0);

    (void)state;
    assert_non_null(out);
    head = sprintf(out, "POST /up HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n", n);
    memset(out + head, 1, n);
    fx.in_len = 0;
    assert_false(talk(fd, out, n + (size_t)head, 100));
    snprintf(want, sizeof(want), "/up %zu %zu\n", n, n);
    assert_non_null(strstr(fx.in, want));
    /* More than all receive buffers together can hold: 503 after a wait, not a stall. */
    memset(out, 1, 4 * n);
    head = sprintf(out, "POST /up HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", 4000000);
    out[head] = 1;
    fx.in_len = 0;
    assert_true(talk(fd, out, 4000000 + (size_t)head, 4096));
    assert_memory_equal(fx.in, "HTTP/1.1 503 ", 13);
    close(fd);
    free(out);
}

static void
test_listener__upload_in_small_pieces__whole(void **state)
{
    static const size_t piece[] = {700, 1025, 1100, 1448, 2500};
    size_t n = 200000;
    char *out = malloc(n + 200);
    char want[64];

    (void)state;
    assert_non_null(out);
    int head = sprintf(out, "POST /up HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n", n);

    memset(out + head, 1, n);
    snprintf(want, sizeof(want), "/up %zu %zu\n", n, n);
    for (size_t i = 0; i < PW_ARRAY_LEN(piece); i++) {
        size_t total = n + (size_t)head;
        int fd = dial(0);

        fx.in_len = 0;
        for (size_t off = 0; off < total;
             off += piece[i]) { /* each is read before the next comes */
            size_t part = total - off < piece[i] ? total - off : piece[i];

            assert_int_equal(send(fd, out + off, part, 0), (ssize_t)part);
            (void)turn();
        }
        assert_false(talk(fd, NULL, 0, 100));
        assert_non_null(strstr(fx.in, want));
        close(fd);
        settle();
    }
    free(out);
}

static void
test_listener__large_answer_to_a_slow_reader__whole(void **state)
{
    int fd = dial(4096);
    const char *get = "GET /down?3000000 HTTP/1.1\r\nHost: h\r\n\r\n";
    size_t body = 0;

    (void)state;
    fx.in_len = 0;
    assert_int_equal(send(fd, get, strlen(get), 0), (ssize_t)strlen(get));
    settle(); /* the kernel's buffers are full, the rest waits in the given body */
    assert_int_equal(fx.requests, 1);
    assert_false(talk(fd, NULL, 0, 3000000 + 100));
    for (size_t i = 0; i < fx.in_len; i++) {
        body += fx.in[i] == 'd';
    }
    assert_true(body >= 3000000 && fx.in_len > 3000000 + 60);
    close(fd);
}

static void
test_listener__client_half_closes__still_answered(void **state)
{
    int fd = dial(0);
    const char *get = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";

    (void)state;
    assert_int_equal(send(fd, get, strlen(get), 0), (ssize_t)strlen(get));
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    fx.in_len = 0;
    assert_true(talk(fd, NULL, 0, SIZE_MAX));
    assert_non_null(strstr(fx.in, "/a 0 0\n"));
    settle();
    assert_int_equal(pw_http_server_open(fx.srv), 0);
    close(fd);
}

static void
test_listener__refused_upload__answer_is_read_although_the_client_keeps_sending(void **state)
{
    size_t n = 2 << 20;
    char *out = malloc(n);
    int fd = dial(0);
    int head;

    (void)state;
    assert_non_null(out);
    memset(out, 'x', n);
    head = sprintf(out, "POST /up HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", BODY_MAX + 1);
    out[head] = 'x';
    fx.in_len = 0;
    (void)talk(fd, out, n, SIZE_MAX);
    assert_memory_equal(fx.in, "HTTP/1.1 413 ", 13);
    assert_non_null(strstr(fx.in, "Connection: close"));
    close(fd);
    settle();
    assert_int_equal(pw_http_server_open(fx.srv), 0);
    free(out);
}

static void
test_listener__client_resets__gone(void **state)
{
    struct linger hard = {.l_onoff = 1, .l_linger = 0};
    int fd = dial(0);

    (void)state;
    settle();
    assert_int_equal(pw_http_server_open(fx.srv), 1);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)), 0);
    close(fd);
    settle();
    assert_int_equal(pw_http_server_open(fx.srv), 0);
}

static void
test_listener__bodies_that_stop__others_go_on(void **state)
{
    enum { HOGS = 12, PART = 150000, UPLOAD = 500000 };
    char *out = malloc(UPLOAD + 200);
    int hogs[HOGS];
    int head;
    int fd;

    (void)state;
    assert_non_null(out);
    memset(out, 1, UPLOAD + 200);
    head = sprintf(out, "POST /up HTTP/1.1\r\nHost: h\r\nContent-Length: 300000\r\n\r\n");
    out[head] = 1;
    for (int i = 0; i < HOGS; i++) { /* about 90 buffers each, of 1023 */
        hogs[i] = dial(0);
        assert_int_equal(send(hogs[i], out, PART, 0), PART);
        (void)turn();
        (void)turn();
    }
    fd = dial(0);
    request(fd, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n", "\r\n\r\n/a 0 0\n");
    /* It waits until those that stopped are reset for its sake. */
    head = sprintf(out, "POST /up HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", UPLOAD);
    out[head] = 1;
    fx.in_len = 0;
    assert_false(talk(fd, out, UPLOAD + (size_t)head, 30));
    assert_non_null(strstr(fx.in, "/up 500000 500000\n"));
    assert_true(pw_http_server_open(fx.srv) < HOGS);
    close(fd);
    free(out);
    for (int i = 0; i < HOGS; i++) {
        close(hogs[i]);
    }
    settle();
    assert_int_equal(pw_http_server_open(fx.srv), 0);
}

static void
test_listener__fd__readable_when_there_is_work(void **state)
{
    struct pollfd p = {.fd = pw_listener_fd(fx.l), .events = POLLIN};
    int fd;

    (void)state;
    assert_int_equal(poll(&p, 1, 0), 0);
    fd = dial(0);
    assert_int_equal(poll(&p, 1, 1000), 1);
    settle();
    assert_int_equal(poll(&p, 1, 0), 0);
    close(fd);
    assert_int_equal(poll(&p, 1, 1000), 1);
    settle();
    assert_int_equal(poll(&p, 1, 0), 0);
}

static void
test_create__bad_addresses__a_sentence_for_the_operator(void **state)
{
    char errbuf[256] = "";
    int err = 0;

    (void)state;
    assert_null(listen_on("127.0.0.1", pw_listener_port(fx.l), 0, &err, errbuf));
    assert_int_equal(err, PW_EBUSY);
    assert_non_null(strstr(errbuf, "in use"));
    assert_null(listen_on("nowhere", 1, 0, &err, errbuf));
    assert_int_equal(err, PW_EINVAL);
    assert_non_null(strstr(errbuf, "\"nowhere\" is not an IPv4 or IPv6 address"));
    assert_null(listen_on("192.0.2.1", 0, 0, &err, errbuf));
    assert_non_null(strstr(errbuf, "does not have that address"));
}

static void
test_stop_accepting__open_connections_live_on(void **state)
{
    int fd = dial(0);

    (void)state;
    settle();
    pw_listener_stop_accepting(fx.l);
    request(fd, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n", "\r\n\r\n/a 0 0\n");
    close(fd);
    settle();
    assert_int_equal(pw_http_server_open(fx.srv), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_listener__keep_alive_requests__answered_on_one_connection),
        T(test_listener__large_upload__whole_and_within_the_pool),
        T(test_listener__upload_in_small_pieces__whole),
        T(test_listener__large_answer_to_a_slow_reader__whole),
        T(test_listener__client_half_closes__still_answered),
        T(test_listener__refused_upload__answer_is_read_although_the_client_keeps_sending),
        T(test_listener__client_resets__gone),
        T(test_listener__bodies_that_stop__others_go_on),
        T(test_listener__fd__readable_when_there_is_work),
        T(test_create__bad_addresses__a_sentence_for_the_operator),
        T(test_stop_accepting__open_connections_live_on),
    };
    char *eal[] = {"test", "--no-pci", "--no-telemetry", "--no-huge", "-m", "64", "--no-shconf",
                   "-l",   "0",        "--log-level",    "error"};

    if (rte_eal_init(PW_ARRAY_LEN(eal), eal) < 0) {
        fprintf(stderr, "EAL does not start\n");
        return 1;
    }
    fx.pool = rte_pktmbuf_pool_create("test", POOL_MBUFS, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
    if (fx.pool == NULL) {
        fprintf(stderr, "no mbufs\n");
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
