/* A worker over a real port with a small application, for tests against other TCPs (kernel_interop.sh).
 *
 *   tcp_echo EAL-ARGUMENTS -- ADDRESS/PREFIX PORT [DROP_PER_10000 SEED]
 *
 * Request: u32 body length, u32 reply length (big endian), body. Reply: CRC-32 of the body (big endian),
 * then reply-length bytes of the pattern below. Requests may be pipelined. Every n-th frame, by a seeded
 * rule, is dropped on its way in and on its way out. Ends on SIGTERM and prints its counters. */
#include "dataplane/loop.h"
#include "dataplane/worker.h"
#include "tests/support/real_port.h"

#include <isa-l/crc.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

enum { HEADER = 8, CONNS_MAX = 64, QUEUE = 512 };

struct echo;

struct conn {
    struct echo *echo;
    struct pw_stream *stream;
    uint8_t header[HEADER];
    uint32_t header_len;
    uint32_t body_left;
    uint32_t crc;
    uint32_t reply_len; /* of the request being answered */
    uint32_t reply_off; /* bytes of it given to the stream; the CRC is the first four */
    bool answering;
    bool fin;
    struct rte_mbuf *pending; /* came while answering: chain in order */
    struct rte_mbuf *pending_last;
};

struct echo {
    struct conn conn[CONNS_MAX];
    struct pw_worker *worker;
    struct pw_lossy_port lossy;
    uint8_t pattern[65536];
};

static struct pw_loop loop; /* for the signal handler, the only way it can be told */

static void
on_signal(int sig)
{
    pw_loop_stop_ctl(&loop);
}

/* --- the application --- */

static void
answer(struct echo *e, struct conn *c)
{
    while (c->reply_off < c->reply_len + 4) {
        uint8_t crc[4];
        struct pw_slice s;

        if (c->reply_off < 4) {
            pw_store_be32(crc, c->crc);
            s = pw_slice(crc + c->reply_off, 4 - c->reply_off);
        } else {
            uint32_t off = c->reply_off - 4;
            uint32_t at = off % sizeof(e->pattern);
            uint32_t left = c->reply_len - off;
            uint32_t run = (uint32_t)sizeof(e->pattern) - at;

            s = pw_slice(e->pattern + at, left < run ? left : run);
        }
        size_t n = c->stream->ops->send(c->stream, &s, 1);

        c->reply_off += (uint32_t)n;
        if (n < s.len) {
            return; /* writable goes on */
        }
    }
    c->answering = false;
    c->header_len = 0;
}

static void
request_begins(struct conn *c)
{
    c->body_left = pw_load_be32(c->header);
    c->reply_len = pw_load_be32(c->header + 4);
    c->reply_off = 0;
    c->crc = 0;
    if (c->stream->ops->reserve(c->stream, c->body_left) != 0) {
        fprintf(stderr, "no buffers for %u bytes\n", c->body_left);
    }
}

/* Eats from p until the end or until an answer has to go out first. Returns bytes eaten. */
static uint32_t
eat(struct echo *e, struct conn *c, const uint8_t *p, uint32_t n)
{
    uint32_t i = 0;

    while (i < n && !c->answering) {
        if (c->header_len < HEADER) {
            c->header[c->header_len++] = p[i++];
            if (c->header_len == HEADER) {
                request_begins(c);
            }
        } else {
            uint32_t part = n - i < c->body_left ? n - i : c->body_left;

            c->crc = crc32_gzip_refl(c->crc, p + i, part);
            i += part;
            c->body_left -= part;
        }
        if (c->header_len == HEADER && c->body_left == 0) {
            c->answering = true;
            (void)c->stream->ops->reserve(c->stream, 0);
            answer(e, c);
        }
    }
    return i;
}

static void
work(struct echo *e, struct conn *c)
{
    while (c->pending != NULL && !c->answering) {
        struct rte_mbuf *m = c->pending;
        uint32_t n = eat(e, c, rte_pktmbuf_mtod(m, const uint8_t *), m->data_len);

        if (n < m->data_len) {
            (void)rte_pktmbuf_adj(m, (uint16_t)n);
            return;
        }
        size_t cost = m->buf_len;

        c->pending = m->next;
        rte_pktmbuf_free_seg(m);
        c->stream->ops->consumed(c->stream, cost);
    }
    if (c->fin && c->pending == NULL && !c->answering) {
        c->stream->ops->shutdown(c->stream);
    }
}

static void *
app_accept(void *ctx, struct pw_stream *s, uint64_t now_tsc)
{
    struct echo *e = ctx;

    for (uint32_t i = 0; i < CONNS_MAX; i++) {
        if (e->conn[i].stream == NULL) {
            e->conn[i] = (struct conn){.echo = e, .stream = s};
            return &e->conn[i];
        }
    }
    return NULL;
}

static void
app_input(void *user, struct rte_mbuf *m, uint64_t now_tsc)
{
    struct conn *c = user;

    m->next = NULL;
    if (c->pending == NULL) {
        c->pending = m;
    } else {
        c->pending_last->next = m;
    }
    c->pending_last = m;
    work(c->echo, c);
}

static void
app_writable(void *user, uint64_t now_tsc)
{
    struct conn *c = user;

    if (c->answering) {
        answer(c->echo, c);
    }
    work(c->echo, c);
}

static void
app_fin(void *user, uint64_t now_tsc)
{
    struct conn *c = user;

    c->fin = true;
    work(c->echo, c);
}

static void
app_gone(void *user, uint64_t now_tsc)
{
    struct conn *c = user;

    while (c->pending != NULL) {
        struct rte_mbuf *m = c->pending;

        c->pending = m->next;
        rte_pktmbuf_free_seg(m);
    }
    c->stream = NULL;
}

/* --- set-up --- */

static struct pw_worker *
worker_start(struct echo *e, int argc, char **argv)
{
    struct pw_port_io io = pw_lossy_port_io(&e->lossy);
    struct pw_worker_cfg cfg = {.io = argc >= 5 ? &io : NULL};
    int err = 0;

    if (argc < 3) {
        fprintf(stderr, "usage: tcp_echo EAL... -- ADDRESS/PREFIX PORT [DROP_PER_10000 SEED]\n");
        return NULL;
    }
    if (argc >= 5) {
        e->lossy.per_10000 = (uint32_t)atoi(argv[3]);
        e->lossy.state = strtoull(argv[4], NULL, 0) * 2 + 1;
    }
    struct rte_mempool *pool = pw_real_port_start("echo", QUEUE);

    if (pool == NULL || !pw_real_port_worker_cfg(&cfg, pool, argv[1])) {
        return NULL;
    }
    pw_clock_init_ctl(&cfg.clock);
    cfg.app = (struct pw_stream_app){.ctx = e,
                                     .accept = app_accept,
                                     .input = app_input,
                                     .writable = app_writable,
                                     .fin = app_fin,
                                     .gone = app_gone};
    struct pw_worker *w = pw_worker_create_ctl(&cfg, pw_rdtsc(), &err);

    if (w == NULL || pw_worker_listen_ctl(w, (uint16_t)atoi(argv[2])) != 0) {
        fprintf(stderr, "no worker: %s\n", pw_err_text(err));
        return NULL;
    }
    pw_loop_init_ctl(&loop, 0, &cfg.clock, PW_LOOP_IDLE_BACKOFF);
    if (pw_loop_add_ctl(&loop, (struct pw_poller){"rx", pw_worker_poll_rx, w, 0, 0}) != 0 ||
        pw_loop_add_ctl(&loop, (struct pw_poller){"timers", pw_worker_poll_timers, w, 0, 0}) != 0 ||
        pw_loop_add_driver_ctl(&loop, pw_worker_driver_tsc(w)) != 0) {
        return NULL;
    }
    return w;
}

int
main(int argc, char **argv)
{
    static struct echo echo;
    struct pw_text text;
    int eal = rte_eal_init(argc, argv);

    if (eal < 0) {
        return 1;
    }
    for (uint32_t i = 0; i < sizeof(echo.pattern); i++) {
        echo.pattern[i] = (uint8_t)(i * 7 + (i >> 8) * 13 + 1);
    }
    echo.worker = worker_start(&echo, argc - eal, argv + eal);
    if (echo.worker == NULL) {
        return 1;
    }
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    printf("ready\n");
    fflush(stdout);
    pw_loop_run(&loop);

    struct pw_worker *workers[1] = {echo.worker};
    struct pw_loop *loops[1] = {&loop};

    pw_text_init(&text, 1 << 20);
    pw_worker_metrics(workers, 1, &text);
    pw_loop_metrics(loops, 1, &text);
    printf("dropped by rule: %" PRIu64 "\n%.*s", echo.lossy.dropped, (int)text.len,
           (char *)text.ptr);
    pw_text_fini(&text);
    pw_worker_destroy_ctl(echo.worker);
    (void)rte_eth_dev_stop(0);
    return 0;
}
