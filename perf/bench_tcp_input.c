/* One push through the packet side: 11 full segments (15.9 KB) of one of 250 connections arrive, the
 * application keeps them until the last, gives them back and answers 120 bytes, the peer acknowledges.
 * Covers parsing, both checksums, look-up, RFC 9293, the ACK decision and the answer's segment; not
 * HTTP, not a NIC. The frames are made in the same loop, so that is measured alone and taken off:
 *   tcp_push_*      all of it       tcp_frames_*    making and freeing the frames
 *   tcp_push_net_cycles, tcp_segment_net_cycles     the difference, per push and per segment */
#include "dataplane/ip4.h"
#include "dataplane/worker_priv.h"
#include "perf/bench.h"
#include "tests/support/fake_port.h"

#include <stdio.h>
#include <stdlib.h>

enum { CONNS = 250, SEGS = 11, SEG_BYTES = 1448, REPLY = 120, HELD_MAX = 16, OPTIONS = 12 };
enum { IP_AT = 14, TCP_AT = 34, TEXT_AT = TCP_AT + 20 + OPTIONS };

struct peer {
    struct pw_stream *stream;
    struct rte_mbuf *held[HELD_MAX];
    uint32_t held_count;
    uint32_t held_bytes;
    uint32_t seq;
    uint32_t ack;
};

struct state {
    struct pw_worker *w;
    struct rte_mempool *pool;
    struct peer peer[CONNS];
    uint32_t next;
    uint32_t accepting;
    struct rte_mbuf *rx[PW_BURST_MAX];
    uint16_t rx_count;
    uint32_t last_seq; /* of what was sent: how the handshake learns our ISN */
    uint32_t last_ts;
    uint64_t segments_out;
    uint8_t text[SEG_BYTES];
    uint64_t text_sum;
};

static uint16_t
rx_burst(void *ctx, struct rte_mbuf **m, uint16_t n)
{
    struct state *s = ctx;
    uint16_t took = s->rx_count;

    memcpy(m, s->rx, took * sizeof(m[0]));
    s->rx_count = 0;
    return took;
}

static uint16_t
tx_burst(void *ctx, struct rte_mbuf **m, uint16_t n)
{
    struct state *s = ctx;

    for (uint16_t i = 0; i < n; i++) {
        const uint8_t *t = rte_pktmbuf_mtod_offset(m[i], const uint8_t *, TCP_AT);

        s->last_seq = pw_load_be32(t + 4);
        s->last_ts = pw_load_be32(t + (t[20] == 2 ? 28 : 24));
    }
    s->segments_out += n;
    rte_pktmbuf_free_bulk(m, n);
    return n;
}

/* --- the application: keeps a push, then answers --- */

static void *
app_accept(void *ctx, struct pw_stream *stream, uint64_t now_tsc)
{
    struct state *s = ctx;
    struct peer *p = &s->peer[s->accepting];

    p->stream = stream;
    return p;
}

static void
app_input(void *user, struct rte_mbuf *m, uint64_t now_tsc)
{
    static const uint8_t reply[REPLY];
    struct peer *p = user;
    size_t cost = 0;

    p->held[p->held_count++] = m;
    p->held_bytes += m->data_len;
    if (p->held_bytes < SEGS * SEG_BYTES) {
        return;
    }
    for (uint32_t i = 0; i < p->held_count; i++) {
        cost += p->held[i]->buf_len;
        rte_pktmbuf_free(p->held[i]);
    }
    p->held_count = 0;
    p->held_bytes = 0;
    p->stream->ops->consumed(p->stream, cost);
    struct pw_slice iov = pw_slice(reply, sizeof(reply));

    if (p->stream->ops->send(p->stream, &iov, 1) != REPLY) {
        abort();
    }
}

static void
app_event(void *user, uint64_t now_tsc)
{
    abort(); /* nothing but pushes happens here */
}

static void
app_gone(void *user, uint64_t now_tsc)
{
}

/* --- the peer --- */

static struct rte_mbuf *
frame(struct state *s, uint32_t conn, uint8_t flags, uint32_t len)
{
    struct peer *p = &s->peer[conn];
    struct rte_mbuf *m = rte_pktmbuf_alloc(s->pool);
    uint32_t opt = flags == PW_TCP_SYN ? 20 : OPTIONS;
    uint32_t tcp_len = 20 + opt + len;

    if (m == NULL) {
        abort();
    }
    uint8_t *f = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)(TCP_AT + tcp_len));
    uint8_t *ip = f + IP_AT;
    uint8_t *t = f + TCP_AT;

    pw_ether_put(f, pw_fake_our_mac, pw_fake_peer_mac, PW_ETHER_TYPE_IP4);
    memset(ip, 0, 40);
    ip[0] = 0x45;
    pw_store_be16(ip + 2, (uint16_t)(20 + tcp_len));
    ip[9] = PW_IP4_PROTO_TCP;
    pw_store_be32(ip + 12, PW_FAKE_PEER_IP + conn);
    pw_store_be32(ip + 16, PW_FAKE_OUR_IP);
    uint16_t sum = (uint16_t)~pw_cksum_fold(pw_cksum_add(0, ip, 20));

    memcpy(ip + 10, &sum, 2);
    pw_store_be16(t, (uint16_t)(30000 + conn));
    pw_store_be16(t + 2, PW_FAKE_PORT);
    pw_store_be32(t + 4, p->seq);
    pw_store_be32(t + 8, p->ack);
    t[12] = (uint8_t)((20 + opt) << 2);
    t[13] = flags;
    pw_store_be16(t + 14, 65535);
    struct pw_tcp_options o = {
        .mss = 1460, .has_ts = true, .ts_val = 1, .ts_ecr = s->last_ts, .has_wscale = true};

    if (flags == PW_TCP_SYN) {
        (void)pw_tcp_options_put_syn(t + 20, &o);
    } else {
        (void)pw_tcp_options_put_ts(t + 20, o.ts_val, o.ts_ecr);
    }
    memcpy(t + 20 + opt, s->text, len);
    uint64_t text_sum = len == 0 ? 0 : s->text_sum;

    sum = (uint16_t)~pw_cksum_fold(pw_cksum_add(
        pw_cksum_pseudo(PW_FAKE_PEER_IP + conn, PW_FAKE_OUR_IP, PW_IP4_PROTO_TCP, tcp_len) +
            text_sum,
        t, 20 + opt));
    memcpy(t + 16, &sum, 2);
    p->seq += len + (flags == PW_TCP_SYN);
    return m;
}

static void
poll(struct state *s)
{
    uint64_t now = pw_rdtsc();

    (void)pw_worker_poll_rx(s->w, now);
    (void)pw_worker_poll_timers(s->w, now);
}

static void
handshakes(struct state *s)
{
    for (uint32_t c = 0; c < CONNS; c++) {
        s->accepting = c;
        s->rx[s->rx_count++] = frame(s, c, PW_TCP_SYN, 0);
        poll(s);
        s->peer[c].ack = s->last_seq + 1;
        s->rx[s->rx_count++] = frame(s, c, PW_TCP_ACK, 0);
        poll(s);
        if (s->peer[c].stream == NULL) {
            abort();
        }
    }
}

static void
push_frames(struct state *s)
{
    uint32_t c = s->next;

    s->next = (s->next + 1) % CONNS;
    for (uint32_t i = 0; i < SEGS; i++) {
        s->rx[s->rx_count++] =
            frame(s, c, i + 1 == SEGS ? PW_TCP_ACK | PW_TCP_PSH : PW_TCP_ACK, SEG_BYTES);
    }
    s->peer[c].ack += REPLY;
}

static void
step_push(void *arg)
{
    struct state *s = arg;
    uint32_t c = s->next;

    push_frames(s);
    poll(s);
    s->rx[s->rx_count++] = frame(s, c, PW_TCP_ACK, 0);
    poll(s);
}

static void
step_frames(void *arg)
{
    struct state *s = arg;
    uint32_t c = s->next;

    push_frames(s);
    s->rx[s->rx_count++] = frame(s, c, PW_TCP_ACK, 0);
    rte_pktmbuf_free_bulk(s->rx, s->rx_count);
    s->rx_count = 0;
}

int
main(void)
{
    static struct state s;
    struct pw_fake_port unused;

    if (!pw_fake_eal_init()) {
        return 77;
    }
    bench_begin();
    pw_fake_port_init(&unused, 63); /* for its worker configuration */
    s.pool = rte_pktmbuf_pool_create("bench", 32767, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
    struct pw_worker_cfg cfg = pw_fake_worker_cfg(&unused);
    struct pw_port_io io = {.ctx = &s, .rx_burst = rx_burst, .tx_burst = tx_burst};

    cfg.io = &io;
    cfg.mempool = s.pool;
    cfg.ip4_prefix = 16;
    cfg.tcp.conns_max = 4096;
    pw_clock_init_ctl(&cfg.clock);
    cfg.app = (struct pw_stream_app){.ctx = &s,
                                     .accept = app_accept,
                                     .input = app_input,
                                     .writable = app_event,
                                     .fin = app_event,
                                     .gone = app_gone};
    for (uint32_t i = 0; i < SEG_BYTES; i++) {
        s.text[i] = (uint8_t)(i * 167 + (i >> 3));
    }
    s.text_sum = pw_cksum_add(0, s.text, SEG_BYTES);
    s.w = pw_worker_create_ctl(&cfg, pw_rdtsc(), NULL);
    if (s.pool == NULL || s.w == NULL || pw_worker_listen_ctl(s.w, PW_FAKE_PORT) != 0) {
        return 1;
    }
    handshakes(&s);
    uint64_t out = s.segments_out;
    uint64_t in = pw_worker_stat(s.w, "rx_frames");
    struct bench_result all = bench_run("tcp_push", step_push, &s, 1);

    /* Every push was taken, or the figure means nothing. */
    if (pw_worker_stat(s.w, "tcp_payload_in") !=
        (pw_worker_stat(s.w, "rx_frames") - in) / (SEGS + 1) * SEGS * SEG_BYTES) {
        struct pw_text text;

        fprintf(stderr, "bench_tcp_input: pushes were lost\n");
        pw_text_init(&text, 1 << 20);
        pw_worker_metrics(&s.w, 1, &text);
        fwrite(text.ptr, 1, text.len, stderr);
        return 1;
    }
    bench_print("tcp_segments_out_per_push", (double)(s.segments_out - out) * (SEGS + 1) /
                                                 (double)(pw_worker_stat(s.w, "rx_frames") - in));
    struct bench_result make = bench_run("tcp_frames", step_frames, &s, 1);

    bench_print("tcp_push_net_cycles", all.cycles_min - make.cycles_min);
    bench_print("tcp_segment_net_cycles", (all.cycles_min - make.cycles_min) / (SEGS + 1));
    bench_print("tcp_idle_conn_bytes",
                (double)(s.w->tcp.tcbs.obj_bytes + 2 * sizeof(struct pw_tcp_slot)));
    return 0;
}
