/* Text out of order, what a segment costs from the receive burst to its ACK; making the frames is not in it.
 *   ooo_window_*   500 full segments behind one hole: a lost segment of a full window
 *   ooo_holes_*    500 segments of a byte, in a shuffled order, a hole behind each
 *   ooo_again_*    the same once more: what is held already, and what was refused
 * _cycles is the mean of a segment in the cheapest of the rounds. */
#include "base/hash.h"
#include "dataplane/worker_priv.h"
#include "perf/bench.h"
#include "tests/support/fake_port.h"

#include <rte_mbuf.h>

#include <stdio.h>
#include <stdlib.h>

enum { SEGS = 500, SEG_BYTES = 1448, BURST = 25, ROUNDS = 200 };
enum { WINDOW, HOLES, AGAIN, KINDS };

struct state {
    struct pw_fake_port port;
    struct pw_worker *w;
    uint32_t ack;
    uint32_t seq;
    uint16_t sport;
};

static void *
app_accept(void *ctx, struct pw_stream *stream, uint64_t now_tsc)
{
    return stream;
}

static void
app_input(void *user, struct rte_mbuf *m, uint64_t now_tsc)
{
    struct pw_stream *s = user;
    size_t cost = m->buf_len;

    rte_pktmbuf_free(m);
    s->ops->consumed(s, cost);
}

static void
app_event(void *user, uint64_t now_tsc)
{
}

static void
poll(struct state *s)
{
    s->port.now_tsc += 1000;
    pw_fake_poll(&s->port, s->w);
}

static struct pw_fake_seg
segment(const struct state *s, uint8_t flags, uint32_t seq, uint32_t len)
{
    static const uint8_t text[SEG_BYTES];

    return (struct pw_fake_seg){.saddr = PW_FAKE_PEER_IP,
                                .daddr = PW_FAKE_OUR_IP,
                                .sport = s->sport,
                                .dport = PW_FAKE_PORT,
                                .seq = seq,
                                .ack = s->ack,
                                .wnd = 65535,
                                .flags = flags,
                                .payload = text,
                                .len = len};
}

static void
forget_sent(struct state *s)
{
    struct rte_mbuf *m;

    while ((m = pw_fake_tx_pop(&s->port, NULL)) != NULL) {
        rte_pktmbuf_free(m);
    }
}

static void
open_connection(struct state *s)
{
    struct pw_fake_seg syn = segment(s, PW_TCP_SYN, s->seq, 0);
    struct pw_fake_seg got;
    const char *why;

    syn.opt =
        (struct pw_tcp_options){.mss = 1460, .has_wscale = true, .wscale = 7, .sack_ok = true};
    pw_fake_rx(&s->port, pw_fake_segment(&s->port, &syn));
    poll(s);
    struct rte_mbuf *m = pw_fake_tx_pop(&s->port, NULL);

    if (m == NULL || !pw_fake_read(m, &got, &why)) {
        abort();
    }
    rte_pktmbuf_free(m);
    s->seq++;
    s->ack = got.seq + 1;
    /* The first text opens the window: a share grows with it. */
    for (uint32_t i = 0; i < 2; i++) {
        struct pw_fake_seg a = segment(s, PW_TCP_ACK, s->seq, i * 1000);

        pw_fake_rx(&s->port, pw_fake_segment(&s->port, &a));
        poll(s);
        s->seq += i * 1000;
    }
    forget_sent(s);
}

/* Number of the i-th segment in a fixed shuffled order. */
static uint32_t
shuffled(uint32_t i)
{
    return i * 211 % SEGS;
}

static uint64_t
play(struct state *s, uint32_t kind)
{
    uint64_t cycles = 0;

    for (uint32_t at = 0; at < SEGS; at += BURST) {
        for (uint32_t i = at; i < at + BURST; i++) {
            struct pw_fake_seg a =
                kind == WINDOW ? segment(s, PW_TCP_ACK, s->seq + 100 + i * SEG_BYTES, SEG_BYTES)
                               : segment(s, PW_TCP_ACK, s->seq + 100 + shuffled(i) * 2, 1);

            pw_fake_rx(&s->port, pw_fake_segment(&s->port, &a));
        }
        uint64_t t = pw_rdtsc();

        poll(s);
        cycles += pw_rdtsc() - t;
        forget_sent(s);
    }
    return cycles;
}

/* The hole is filled, and whatever lies between what was kept. */
static void
fill(struct state *s)
{
    for (uint32_t n = 0; n <= SEGS; n++) { /* past the end of the window kind, the largest */
        struct pw_fake_seg a = segment(s, PW_TCP_ACK, s->seq, n == 0 ? 100 : SEG_BYTES);

        pw_fake_rx(&s->port, pw_fake_segment(&s->port, &a));
        poll(s);
        s->seq += a.len;
        forget_sent(s);
    }
}

int
main(void)
{
    static struct state s = {.seq = 1000, .sport = 30000};
    static const char *const name[KINDS] = {"ooo_window_cycles", "ooo_holes_cycles",
                                            "ooo_again_cycles"};
    uint64_t best[KINDS] = {UINT64_MAX, UINT64_MAX, UINT64_MAX};

    if (!pw_fake_eal_init()) {
        return 77;
    }
    bench_begin();
    pw_fake_port_init(&s.port, 8191);
    struct pw_worker_cfg cfg = pw_fake_worker_cfg(&s.port);

    cfg.tcp.rx_base_bytes = 4 << 20;
    cfg.tcp.rcv_wnd_max = 1 << 20;
    cfg.app = (struct pw_stream_app){.accept = app_accept,
                                     .input = app_input,
                                     .writable = app_event,
                                     .fin = app_event,
                                     .gone = app_event};
    s.w = pw_worker_create_ctl(&cfg, s.port.now_tsc, NULL);
    if (s.w == NULL || pw_worker_listen_ctl(s.w, PW_FAKE_PORT) != 0) {
        return 1;
    }
    open_connection(&s);
    for (uint32_t r = 0; r < ROUNDS; r++) {
        for (uint32_t kind = 0; kind < KINDS; kind++) {
            uint64_t kept = pw_worker_stat(s.w, "tcp_ooo_in");
            uint64_t cycles = play(&s, kind);

            best[kind] = cycles < best[kind] ? cycles : best[kind];
            if (kind == WINDOW && pw_worker_stat(s.w, "tcp_ooo_in") - kept != SEGS) {
                fprintf(stderr, "bench_tcp_ooo: the window did not take the segments\n");
                return 1;
            }
            if (kind != HOLES) {
                fill(&s);
            }
        }
    }
    for (uint32_t kind = 0; kind < KINDS; kind++) {
        bench_print(name[kind], (double)best[kind] / SEGS);
    }
    return 0;
}
