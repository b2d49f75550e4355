/* HTTP over TCP over a fake port, no shortcut between them: what neither side's own tests can see is
 * whether the two together ever stop while each waits for the other. */
#include "dataplane/http_conn.h"
#include "dataplane/worker_priv.h"
#include "tests/support/cmocka_pw.h"
#include "tests/support/fake_port.h"

#include <rte_mbuf.h>

#include <stdio.h>
#include <stdlib.h>

enum { PEERS_MAX = 64, REPLY_BYTES = 200000, WSCALE = 7, MBUFS = 4095 };

/* The other end of one connection; it acknowledges only when told. */
struct peer {
    uint16_t port;
    bool no_wscale;
    uint32_t snd_nxt;
    uint32_t rcv_nxt;
    uint32_t edge; /* what they offered: snd_una + window */
    bool rst;
    bool fin;
    uint8_t head[16];
    uint32_t received; /* reply bytes in order */
    uint32_t fin_seq;  /* where their FIN stands */
    bool fin_moved;    /* it stood elsewhere before */
};

struct fixture {
    struct pw_fake_port port;
    struct pw_worker *w;
    struct pw_clock clock;
    struct pw_http_app app;
    struct pw_http_server *srv;
    uint8_t *reply;
    uint32_t requests;
    uint64_t body_bytes;
    struct peer peer[PEERS_MAX];
};

/* ---- The application: POST counts, GET /big answers REPLY_BYTES -------------------------------- */

static void
app_head(void *ctx, struct pw_http_server *srv, const struct pw_http_request *req,
         struct pw_http_verdict *v)
{
    v->body_bytes_limit = 64 << 20;
}

static void
nothing(void *arg)
{
}

static void
app_request(void *ctx, struct pw_http_server *srv, const struct pw_http_request *req)
{
    struct fixture *fx = ctx;
    struct pw_http_reply rep = {.status = 200};

    fx->requests++;
    fx->body_bytes = req->body_bytes;
    if (pw_slice_eq_str(req->path, "/big")) {
        rep.body = pw_slice(fx->reply, REPLY_BYTES);
        rep.body_free = nothing;
    }
    assert_int_equal(pw_http_reply(srv, req->conn, &rep), 0);
}

static void
start(struct fixture *fx, const struct pw_tcp_cfg *tcp)
{
    memset(fx, 0, sizeof(*fx));
    pw_fake_port_init(&fx->port, MBUFS);
    fx->reply = calloc(1, REPLY_BYTES);
    fx->clock = (struct pw_clock){.tsc_hz = PW_FAKE_TSC_HZ};
    fx->app = (struct pw_http_app){.ctx = fx, .head = app_head, .request = app_request};
    int err = 0;

    fx->srv = pw_http_server_create_ctl(
        &(struct pw_http_server_cfg){.app = &fx->app, .clock = &fx->clock, .conns_max = 256}, &err);
    assert_non_null(fx->srv);
    struct pw_worker_cfg cfg = pw_fake_worker_cfg(&fx->port);

    cfg.app = *pw_http_server_stream_app(fx->srv);
    cfg.tcp = *tcp;
    cfg.tcp.conns_max = 256;
    fx->w = pw_worker_create_ctl(&cfg, fx->port.now_tsc, &err);
    assert_non_null(fx->w);
    assert_int_equal(pw_worker_listen_ctl(fx->w, PW_FAKE_PORT), 0);
}

static void
stop(struct fixture *fx)
{
    pw_worker_destroy_ctl(fx->w);
    pw_http_server_destroy_ctl(fx->srv);
    assert_int_equal(pw_fake_port_fini(&fx->port), 0);
    free(fx->reply);
}

/* ---- Peers ------------------------------------------------------------------------------------- */

static void
peer_read(struct fixture *fx, const struct rte_mbuf *m)
{
    struct pw_fake_seg s;
    const char *why;

    if (!pw_fake_read(m, &s, &why)) {
        fail_msg("frame out: %s", why);
    }
    struct peer *p = &fx->peer[s.dport - 1000];

    p->rst |= (s.flags & PW_TCP_RST) != 0;
    if ((s.flags & PW_TCP_SYN) != 0) {
        p->rcv_nxt = s.seq + 1;
        p->edge = s.ack + s.wnd;
        return;
    }
    p->edge = s.ack + ((uint32_t)s.wnd << WSCALE);
    if ((s.flags & PW_TCP_FIN) != 0) {
        p->fin_moved |= p->fin_seq != 0 && p->fin_seq != s.seq + s.len;
        p->fin_seq = s.seq + s.len;
    }
    if (s.seq == p->rcv_nxt) {
        p->rcv_nxt += s.len;
        p->received += s.len;
        if ((s.flags & PW_TCP_FIN) != 0 && !p->fin) {
            p->fin = true;
            p->rcv_nxt++;
        }
    }
}

static void
run(struct fixture *fx, uint32_t ms)
{
    for (uint32_t i = 0; i < ms; i++) {
        struct rte_mbuf *m;

        fx->port.now_tsc += PW_FAKE_TSC_HZ / 1000;
        (void)pw_worker_poll_rx(fx->w, fx->port.now_tsc);
        (void)pw_http_server_poll(fx->srv, fx->port.now_tsc);
        (void)pw_worker_poll_timers(fx->w, fx->port.now_tsc);
        while ((m = pw_fake_tx_pop(&fx->port, NULL)) != NULL) {
            peer_read(fx, m);
            rte_pktmbuf_free(m);
        }
    }
}

static void
peer_send(struct fixture *fx, struct peer *p, uint8_t flags, const void *bytes, uint32_t len,
          uint16_t wnd)
{
    struct pw_fake_seg s = {
        .saddr = PW_FAKE_PEER_IP,
        .daddr = PW_FAKE_OUR_IP,
        .sport = p->port,
        .dport = PW_FAKE_PORT,
        .seq = p->snd_nxt,
        .ack = p->rcv_nxt,
        .wnd = wnd,
        .flags = flags,
        .payload = bytes,
        .len = len,
        .opt = {.mss = (flags & PW_TCP_SYN) != 0 ? 1460 : 0,
                .has_wscale = (flags & PW_TCP_SYN) != 0 && !p->no_wscale,
                .wscale = WSCALE},
    };

    pw_fake_rx(&fx->port, pw_fake_segment(&fx->port, &s));
    p->snd_nxt += len + ((flags & (PW_TCP_SYN | PW_TCP_FIN)) != 0);
}

static struct peer *
peer_open(struct fixture *fx, uint32_t i)
{
    struct peer *p = &fx->peer[i];

    *p = (struct peer){.port = (uint16_t)(1000 + i), .snd_nxt = UINT32_MAX - 1000 * i};
    peer_send(fx, p, PW_TCP_SYN, NULL, 0, 65535);
    run(fx, 1);
    assert_true(p->rcv_nxt != 0);
    peer_send(fx, p, PW_TCP_ACK, NULL, 0, 4096);
    run(fx, 1);
    return p;
}

static void
peer_ask(struct fixture *fx, struct peer *p, const char *text)
{
    peer_send(fx, p, PW_TCP_ACK | PW_TCP_PSH, text, (uint32_t)strlen(text), 4096);
    run(fx, 1);
}

/* ---- Whose frames come from elsewhere ----------------------------------------------------------- */

/* The last request again, from another MAC; acknowledged is that much less than all. */
static void
ask_again(struct fixture *fx, struct peer *p, const char *text, uint32_t before, uint32_t ack_off)
{
    struct pw_fake_seg s = {
        .saddr = PW_FAKE_PEER_IP,
        .daddr = PW_FAKE_OUR_IP,
        .sport = p->port,
        .dport = PW_FAKE_PORT,
        .seq = p->snd_nxt - (uint32_t)strlen(text) - before,
        .ack = p->rcv_nxt - ack_off,
        .wnd = 4096,
        .flags = PW_TCP_ACK | PW_TCP_PSH,
        .payload = (const uint8_t *)text,
        .len = (uint32_t)strlen(text),
    };
    struct rte_mbuf *m = pw_fake_segment(&fx->port, &s);

    rte_pktmbuf_mtod(m, uint8_t *)[11] = 0x77;
    pw_fake_rx(&fx->port, m);
}

/* Frames of the next ms milliseconds by where they went; to that port of the peer, 0: to any. */
static void
count_frames(struct fixture *fx, uint32_t ms, uint16_t port, uint32_t *old, uint32_t *moved)
{
    *old = *moved = 0;
    for (uint32_t i = 0; i < ms; i++) {
        struct rte_mbuf *m;

        fx->port.now_tsc += PW_FAKE_TSC_HZ / 1000;
        (void)pw_worker_poll_rx(fx->w, fx->port.now_tsc);
        (void)pw_http_server_poll(fx->srv, fx->port.now_tsc);
        (void)pw_worker_poll_timers(fx->w, fx->port.now_tsc);
        while ((m = pw_fake_tx_pop(&fx->port, NULL)) != NULL) {
            const uint8_t *frame = rte_pktmbuf_mtod(m, const uint8_t *);

            if (port == 0 || pw_load_be16(frame + 36) == port) {
                *old += frame[5] == pw_fake_peer_mac[5];
                *moved += frame[5] == 0x77;
            }
            rte_pktmbuf_free(m);
        }
    }
}

static void
test_get__address_moved_before_the_answer__request_sent_again_finds_it(void **state)
{
    static const char text[] = "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    struct fixture fx;
    uint32_t old, moved;

    start(&fx, &(struct pw_tcp_cfg){0});
    struct peer *p = peer_open(&fx, 1);

    peer_send(&fx, p, PW_TCP_ACK | PW_TCP_PSH, text, (uint32_t)strlen(text), 4096);
    count_frames(&fx, 300, 0, &old, &moved); /* the answer, and again, where nobody is any more */
    assert_int_equal(fx.requests, 1);
    assert_true(old > 1);
    ask_again(&fx, p, text, 100000, 0); /* numbers of nobody who was there */
    count_frames(&fx, 2000, 0, &old, &moved);
    assert_int_equal(moved, 0);
    ask_again(&fx, p, text, 0, 100000000);
    count_frames(&fx, 2000, 0, &old, &moved);
    assert_int_equal(moved, 0);
    ask_again(&fx, p, text, 0, 0);
    count_frames(&fx, 5000, 0, &old, &moved);
    assert_true(moved > 1); /* the acknowledgement, and the answer */
    assert_int_equal(old, 0);
    assert_int_equal(fx.requests, 1);
    stop(&fx);
}

/* Its reader has had its acknowledgement and only waits; another connection of the same address tells where it is now. */
static void
test_get__address_moved_before_the_answer__another_connection_tells(void **state)
{
    static const char text[] = "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    struct fixture fx;
    uint32_t old, moved;

    (void)state;
    start(&fx, &(struct pw_tcp_cfg){0});
    struct peer *p = peer_open(&fx, 1);
    struct peer *q = peer_open(&fx, 2);

    peer_send(&fx, q, PW_TCP_ACK | PW_TCP_PSH, text, (uint32_t)strlen(text), 4096);
    peer_send(&fx, p, PW_TCP_ACK | PW_TCP_PSH, text, (uint32_t)strlen(text), 4096);
    count_frames(&fx, 300, 0, &old, &moved);
    assert_true(old > 2 && moved == 0);
    ask_again(&fx, q, text, 0, 0);
    count_frames(&fx, 5000, p->port, &old, &moved);
    assert_true(moved > 0);
    stop(&fx);
}

/* ---- Bodies against the receive window --------------------------------------------------------- */

/* Sends a POST of body bytes in segments of up to mss, as the window allows. False: it stopped. */
static bool
post(struct fixture *fx, struct peer *p, uint32_t body, uint32_t mss)
{
    static uint8_t text[1 << 16];
    int head = snprintf((char *)text, sizeof(text),
                        "POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: %u\r\n\r\n", body);
    uint32_t total = (uint32_t)head + body;
    uint32_t requests = fx->requests;
    uint32_t idle_ms = 0;

    assert_true(total <= sizeof(text));
    for (uint32_t off = 0; fx->requests == requests;) {
        uint32_t room = p->edge - p->snd_nxt;
        uint32_t n = total - off < mss ? total - off : mss;

        n = (int32_t)room <= 0 ? 0 : n < room ? n : room;
        idle_ms = n == 0 ? idle_ms + 1 : 0;
        if (idle_ms > 500) {
            return false;
        }
        if (n != 0) {
            peer_send(fx, p, PW_TCP_ACK, text + off, n, 4096);
            off += n;
        }
        run(fx, 1);
    }
    return fx->body_bytes == body;
}

static void
test_post__buffers_scarce__every_body_length_and_segment_size_arrives(void **state)
{
    static const uint32_t mss[] = {536, 991, 1000, 1025, 1448, 1460};
    struct fixture fx;

    /* The smallest share is the only one: nothing but the reservation stands behind a body. */
    start(&fx, &(struct pw_tcp_cfg){.rx_base_bytes = 10 << 10, .rx_base_bytes_min = 10 << 10});
    for (uint32_t i = 0; i < PW_ARRAY_LEN(mss); i++) {
        struct peer *p = peer_open(&fx, i);

        for (uint32_t body = 1000; body < 20000; body += 37) {
            if (!post(&fx, p, body, mss[i])) {
                fail_msg("body of %u bytes in segments of %u stopped, window %d", body, mss[i],
                         (int32_t)(p->edge - p->snd_nxt));
            }
        }
    }
    stop(&fx);
}

static void
test_get__many_bodies_half_sent__a_new_connection_is_answered(void **state)
{
    struct fixture fx;

    start(&fx, &(struct pw_tcp_cfg){.rx_budget_bytes = 1 << 20});
    for (uint32_t i = 0; i < 20; i++) {
        peer_ask(&fx, peer_open(&fx, i),
                 "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 30000\r\n\r\nhalf");
    }
    struct peer *good = peer_open(&fx, 20);

    peer_ask(&fx, good, "GET /small HTTP/1.1\r\nHost: a\r\n\r\n");
    run(&fx, 10);
    assert_true(good->received > 0);
    /* What was admitted finishes. */
    static const uint8_t rest[30000];
    struct peer *p = &fx.peer[0];

    for (uint32_t off = 4; off < sizeof(rest); off += 1000) {
        uint32_t n = (uint32_t)sizeof(rest) - off < 1000 ? (uint32_t)sizeof(rest) - off : 1000;

        assert_true(p->edge - p->snd_nxt >= n);
        peer_send(&fx, p, PW_TCP_ACK, rest, n, 4096);
        run(&fx, 1);
    }
    run(&fx, 50);
    assert_int_equal(fx.body_bytes, sizeof(rest));
    stop(&fx);
}

/* ---- Replies against the send buffers ---------------------------------------------------------- */

static void
test_get__send_buffers_held_by_peers_that_do_not_read__others_are_answered(void **state)
{
    struct fixture fx;

    start(&fx, &(struct pw_tcp_cfg){.snd_pool_bytes = 1 << 20, .snd_buf_bytes_max = 256 << 10});
    for (uint32_t i = 0; i < 20; i++) {
        peer_ask(&fx, peer_open(&fx, i), "GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    struct peer *good = peer_open(&fx, 20);

    peer_ask(&fx, good, "GET /small HTTP/1.1\r\nHost: a\r\n\r\n");
    run(&fx, 100);
    assert_true(good->received > 0);
    stop(&fx);
}

static void
test_get__send_buffers_all_taken__answered_when_some_come_back(void **state)
{
    struct fixture fx;

    /* 4 chunks in all: the first peer's reply holds every one of them. */
    start(&fx, &(struct pw_tcp_cfg){.snd_pool_bytes = 4 * 2048, .snd_buf_bytes_max = 256 << 10});
    struct peer *slow = peer_open(&fx, 0);

    peer_ask(&fx, slow, "GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
    struct peer *good = peer_open(&fx, 1);

    peer_ask(&fx, good, "GET /small HTTP/1.1\r\nHost: a\r\n\r\n");
    run(&fx, 20);
    assert_int_equal(good->received, 0);
    peer_send(&fx, slow, PW_TCP_RST, NULL, 0, 0);
    run(&fx, 20);
    assert_true(good->received > 0);
    stop(&fx);
}

static void
test_get__reader_slower_than_the_linger_time__gets_every_byte(void **state)
{
    struct fixture fx;

    start(&fx, &(struct pw_tcp_cfg){.snd_buf_bytes_max = 256 << 10});
    struct peer *p = peer_open(&fx, 0);

    peer_send(&fx, p, PW_TCP_ACK, NULL, 0, 80); /* 10 KiB */
    peer_ask(&fx, p, "GET /big HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    for (uint32_t s = 0; s < 60 && !p->fin && !p->rst; s++) {
        run(&fx, 1000);
        peer_send(&fx, p, PW_TCP_ACK, NULL, 0, 80);
    }
    assert_false(p->rst);
    assert_true(p->fin);
    assert_true(p->received > REPLY_BYTES);
    stop(&fx);
}

static void
test_get__reader_stops_after_our_fin__reset_in_the_end(void **state)
{
    struct fixture fx;

    start(&fx, &(struct pw_tcp_cfg){.snd_buf_bytes_max = 256 << 10});
    struct peer *p = peer_open(&fx, 0);

    peer_ask(&fx, p, "GET /big HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    run(&fx, 40000);
    assert_true(p->rst);
    assert_int_equal(pw_worker_open_count(fx.w), 0);
    stop(&fx);
}

static void
test_get__window_shrinks_and_duplicate_acks_come__fin_stays_behind_the_reply(void **state)
{
    struct fixture fx;

    start(&fx, &(struct pw_tcp_cfg){0});
    struct peer *p = &fx.peer[0];

    *p = (struct peer){.port = 1000, .snd_nxt = 77, .no_wscale = true};
    peer_send(&fx, p, PW_TCP_SYN, NULL, 0, 160);
    run(&fx, 1);
    peer_send(&fx, p, PW_TCP_ACK, "GET /small HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 51,
              160);
    uint32_t start_seq = p->rcv_nxt;

    run(&fx, 2);
    assert_in_range(p->received, 81, 160); /* fitted at first, does not fit any more */
    assert_true(p->fin_seq == start_seq + p->received);
    p->rcv_nxt = start_seq; /* all of it was lost */
    peer_send(&fx, p, PW_TCP_ACK, NULL, 0, 80);
    run(&fx, 1500); /* the timer sends the part that fits */
    for (uint32_t i = 0; i < 4; i++) {
        p->rcv_nxt = start_seq;
        peer_send(&fx, p, PW_TCP_ACK, NULL, 0, 80);
        run(&fx, 2);
    }
    assert_false(p->fin_moved);
    stop(&fx);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_post__buffers_scarce__every_body_length_and_segment_size_arrives),
        cmocka_unit_test(test_get__address_moved_before_the_answer__request_sent_again_finds_it),
        cmocka_unit_test(test_get__address_moved_before_the_answer__another_connection_tells),
        cmocka_unit_test(test_get__many_bodies_half_sent__a_new_connection_is_answered),
        cmocka_unit_test(
            test_get__send_buffers_held_by_peers_that_do_not_read__others_are_answered),
        cmocka_unit_test(test_get__send_buffers_all_taken__answered_when_some_come_back),
        cmocka_unit_test(test_get__reader_slower_than_the_linger_time__gets_every_byte),
        cmocka_unit_test(test_get__reader_stops_after_our_fin__reset_in_the_end),
        cmocka_unit_test(
            test_get__window_shrinks_and_duplicate_acks_come__fin_stays_behind_the_reply),
    };

    if (!pw_fake_eal_init()) {
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
