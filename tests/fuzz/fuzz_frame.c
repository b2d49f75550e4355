/* Frames into the worker: Ethernet, ARP, IPv4, ICMP, IPv6, neighbour discovery, and TCP over either from a
 * handshake on.
 *
 * The input is a list of events, an opcode byte and its operands each: segments of a peer whose numbers
 * are near what the connection waits for, raw frames, time, and what an application does. Properties:
 *  - nothing crashes, no invariant breaks (fuzz builds check PW_DCHECK too);
 *  - every TCP frame that leaves is well formed, and its text is the application's text at that place;
 *  - text reaches the application in order, each byte once and at its place, as long as only segments
 *    of the one honest text were sent;
 *  - at the end every mbuf, every chunk and the whole receive budget are back. */
#include "dataplane/buf.h"
#include "dataplane/ip4.h"
#include "dataplane/ip6.h"
#include "dataplane/worker_priv.h"
#include "tests/support/fake_port.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { EVENTS_MAX = 256, HELD_MAX = 512, SPORT = 30000, PEER_ISN = 0xFFFFF000 };

struct run {
    struct pw_fake_port *port;
    struct pw_worker *w;
    const uint8_t *p;
    size_t left;
    struct pw_stream *stream;
    struct rte_mbuf *held[HELD_MAX];
    uint32_t held_count;
    bool hold;
    bool v6;       /* the honest peer speaks IPv6 */
    bool raw_used; /* somebody may have sent other text */
    uint64_t input_bytes;
    uint64_t sent_bytes;
    uint32_t our_isn;
    uint32_t iss; /* of the stream, the last one when it is gone */
    uint32_t irs;
    uint16_t rport;
    uint32_t our_max; /* highest number that left, relative */
    uint32_t ts_last;
    uint16_t batch;
};

static void
check(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "property broken: %s\n", what);
        abort();
    }
}

static uint8_t
pattern(uint64_t offset)
{
    return (uint8_t)(offset * 7 + (offset >> 8) * 13 + 1);
}

static uint8_t
byte(struct run *r)
{
    if (r->left == 0) {
        return 0;
    }
    r->left--;
    return *r->p++;
}

static uint32_t
word(struct run *r)
{
    uint32_t hi = byte(r);

    return (hi << 8) | byte(r);
}

/* --- the application --- */

static void *
app_accept(void *ctx, struct pw_stream *s, uint64_t now_tsc)
{
    struct run *r = ctx;

    if (r->stream != NULL) {
        return NULL; /* one at a time; others are refused */
    }
    r->stream = s;
    r->input_bytes = 0;
    r->sent_bytes = 0;
    r->iss = ((const struct pw_tcb *)(const void *)s)->iss;
    r->irs = ((const struct pw_tcb *)(const void *)s)->irs;
    r->rport = s->peer.port;
    return r;
}

static void
app_input(void *user, struct rte_mbuf *m, uint64_t now_tsc)
{
    struct run *r = user;
    const uint8_t *b = rte_pktmbuf_mtod(m, const uint8_t *);
    size_t cost = m->buf_len;

    check(m->nb_segs == 1 && m->next == NULL && m->data_len > 0, "input is one buffer with text");
    for (uint32_t i = 0; i < m->data_len && !r->raw_used; i++) {
        check(b[i] == pattern((uint32_t)(r->irs - PEER_ISN + r->input_bytes + i)),
              "text in its place");
    }
    r->input_bytes += m->data_len;
    if (r->hold && r->held_count < HELD_MAX &&
        (r->held_count == 0 || !pw_buf_coalesce(r->held[r->held_count - 1], m))) {
        r->held[r->held_count++] = m;
        return;
    }
    if (!r->hold || r->held_count == HELD_MAX) {
        rte_pktmbuf_free(m);
    }
    r->stream->ops->consumed(r->stream, cost);
}

static void
app_writable(void *user, uint64_t now_tsc)
{
}

static void
app_fin(void *user, uint64_t now_tsc)
{
}

static void
held_free(struct run *r)
{
    for (uint32_t i = 0; i < r->held_count; i++) {
        rte_pktmbuf_free(r->held[i]);
    }
    r->held_count = 0;
}

static void
app_gone(void *user, uint64_t now_tsc)
{
    struct run *r = user;

    held_free(r);
    r->stream = NULL;
}

/* --- what leaves --- */

static bool
is_tcp(const uint8_t *f)
{
    uint16_t type = pw_load_be16(f + 12);

    return (type == PW_ETHER_TYPE_IP4 && f[23] == 6) || (type == PW_ETHER_TYPE_IP6 && f[20] == 6);
}

static void
drain_tx(struct run *r)
{
    struct rte_mbuf *m;

    while ((m = pw_fake_tx_pop(r->port, NULL)) != NULL) {
        const uint8_t *f = rte_pktmbuf_mtod(m, const uint8_t *);
        struct pw_fake_seg s;
        const char *why;

        if (is_tcp(f) && !r->raw_used) {
            check(pw_fake_read(m, &s, &why), "a frame that leaves is well formed");
            check(s.v6 == r->v6, "an answer is of its question's family");
            if ((s.flags & PW_TCP_SYN) != 0) {
                r->our_isn = s.seq;
                r->our_max = 1;
            }
            uint32_t at = s.seq - r->iss;

            check(s.len == 0 || s.dport == r->rport, "text goes to whom it was written for");
            for (uint32_t i = 0; i < s.len; i++) {
                check(s.payload[i] == pattern((uint64_t)at + i - 1), "sent text in its place");
            }
            uint32_t end = s.seq - r->our_isn + s.len + ((s.flags & PW_TCP_FIN) != 0);

            r->our_max = end > r->our_max && end < 1U << 30 ? end : r->our_max;
            r->ts_last = s.opt.has_ts ? s.opt.ts_val : r->ts_last;
        }
        rte_pktmbuf_free(m);
    }
}

/* --- events --- */

/* A number near `base`: exact, a little off, or anywhere. */
static uint32_t
near(struct run *r, uint32_t base)
{
    uint32_t how = byte(r);

    if (how < 160) {
        return base;
    }
    if (how < 250) {
        return base + word(r) - 0x8000;
    }
    return (word(r) << 16) | word(r);
}

static void
ev_segment(struct run *r)
{
    static uint8_t payload[1500];
    static uint8_t blocks[24];
    uint32_t sel = byte(r);
    uint32_t bits = byte(r);
    uint32_t nxt = PEER_ISN + 1 + (uint32_t)r->input_bytes;
    struct pw_fake_seg s = {
        .v6 = r->v6,
        .saddr = PW_FAKE_PEER_IP,
        .daddr = PW_FAKE_OUR_IP,
        .sport = (uint16_t)(SPORT + (sel >> 7)),
        .dport = PW_FAKE_PORT,
        .flags = (uint8_t)(bits & 0x3F),
        .payload = payload,
    };

    if ((sel & 3) != 0) { /* mostly what a peer would say */
        s.flags = (uint8_t)((s.flags & (PW_TCP_FIN | PW_TCP_PSH)) | PW_TCP_ACK);
        s.flags = (uint8_t)((sel & 0x7C) != 0 ? s.flags & ~PW_TCP_FIN : s.flags);
    }
    s.seq = (s.flags & PW_TCP_SYN) != 0 ? near(r, PEER_ISN) : near(r, nxt);
    s.ack = near(r, r->our_isn + r->our_max);
    s.wnd = (uint16_t)word(r);
    s.len = word(r) % 1461;
    s.opt.has_ts = (sel & 0x40) != 0;
    s.opt.ts_val = (uint32_t)(r->port->now_tsc / 1000000);
    s.opt.ts_ecr = r->ts_last;
    s.opt.mss = (uint16_t)((sel & 0x20) != 0 ? word(r) : 0);
    s.opt.has_wscale = (sel & 0x10) != 0;
    s.opt.wscale = (uint8_t)(sel & 0xF);
    s.opt.sack_ok = (bits & 0x80) != 0;
    if ((bits & 0xC0) == 0xC0 && (s.flags & PW_TCP_SYN) == 0) {
        s.opt.sack_count = (uint8_t)(1 + bits % 3);
        s.opt.sack = blocks;
        for (uint32_t i = 0; i < s.opt.sack_count; i++) {
            uint32_t left = s.ack + (word(r) & 0x1FFF);

            pw_store_be32(blocks + (size_t)i * 8, left);
            pw_store_be32(blocks + (size_t)i * 8 + 4, left + (word(r) & 0xFFF));
        }
    }
    for (uint32_t i = 0; i < s.len; i++) {
        payload[i] = pattern(s.seq + i - PEER_ISN - 1);
    }
    pw_fake_rx(r->port, pw_fake_segment(r->port, &s));
}

/* An ICMP error about a number near what is in flight, as it is after the parsers. */
static void
ev_quote(struct run *r)
{
    struct pw_tcp_quote q = {.peer = {.port = SPORT}, .lport = PW_FAKE_PORT, .v6 = r->v6};
    uint32_t how = byte(r);

    if (r->v6) {
        pw_fake_ip6(PW_FAKE_PEER_IP, q.peer.ip);
    } else {
        q.peer.ip[10] = q.peer.ip[11] = 0xFF;
        pw_store_be32(q.peer.ip + 12, PW_FAKE_PEER_IP);
    }
    q.too_big = (how & 3) != 0;
    q.seq = r->our_isn + r->our_max - (word(r) & 0x3FFF);
    q.mtu = (how & 4) != 0 ? word(r) & 0x7FF : 0;
    q.mtu = r->v6 && q.mtu < PW_IP6_MTU_MIN ? PW_IP6_MTU_MIN : q.mtu;
    q.total_bytes = word(r);
    pw_tcp_icmp(r->w, &q);
}

static void
ev_raw(struct run *r)
{
    uint8_t b[1514];
    uint32_t n = word(r) % sizeof(b);

    n = n < r->left ? n : (uint32_t)r->left;
    memcpy(b, r->p, n);
    r->p += n;
    r->left -= n;
    if (n >= 14) { /* to us, or nothing but one counter would ever be reached */
        memcpy(b, pw_fake_our_mac, 6);
    }
    r->raw_used = true;
    pw_fake_rx(r->port, pw_fake_frame(r->port, b, n));
}

/* A raw IPv4 packet with checksums made right: deeper than raw frames get. */
static void
ev_packet(struct run *r)
{
    uint8_t b[600];
    uint32_t n = word(r) % (sizeof(b) - 34) + 34;
    uint32_t have = n - 34 < r->left ? n - 34 : (uint32_t)r->left;
    uint8_t *ip = b + 14;

    memset(b, 0, sizeof(b));
    memcpy(b + 34, r->p, have);
    r->p += have;
    r->left -= have;
    memcpy(b, pw_fake_our_mac, 6);
    memcpy(b + 6, pw_fake_peer_mac, 6);
    pw_store_be16(b + 12, 0x0800);
    ip[0] = 0x45;
    pw_store_be16(ip + 2, (uint16_t)(n - 14));
    ip[9] = (byte(r) & 1) != 0 ? 6 : 1;
    pw_store_be32(ip + 12, PW_FAKE_PEER_IP);
    pw_store_be32(ip + 16, PW_FAKE_OUR_IP);
    uint16_t sum = (uint16_t)~pw_cksum_fold(pw_cksum_add(0, ip, 20));

    memcpy(ip + 10, &sum, 2);
    uint32_t l4 = n - 34;
    uint32_t at = ip[9] == 6 ? 16 : 2;

    if (l4 >= at + 2) {
        memset(b + 34 + at, 0, 2);
        uint64_t pseudo = ip[9] == 6 ? pw_cksum_pseudo(PW_FAKE_PEER_IP, PW_FAKE_OUR_IP, 6, l4) : 0;

        sum = (uint16_t)~pw_cksum_fold(pw_cksum_add(pseudo, b + 34, l4));
        memcpy(b + 34 + at, &sum, 2);
    }
    r->raw_used = true;
    pw_fake_rx(r->port, pw_fake_frame(r->port, b, n));
}

/* The same of IPv6: to us or to our group, behind extension headers whose lengths are right, the checksum
 * of what follows right too. */
static void
ev_packet6(struct run *r)
{
    static const uint8_t kinds[] = {PW_IP6_NEXT_HOP_BY_HOP, PW_IP6_NEXT_ROUTING,
                                    PW_IP6_NEXT_FRAGMENT, PW_IP6_NEXT_DESTINATION};
    uint8_t b[700] = {0};
    uint8_t *ip = b + PW_ETHER_BYTES;
    uint32_t sel = byte(r);
    uint32_t n = word(r) % 500;
    uint32_t off = PW_IP6_BYTES;
    uint8_t *next = ip + 6;
    uint8_t last = (sel & 1) != 0 ? PW_IP6_NEXT_TCP : PW_IP6_NEXT_ICMP6;

    ip[0] = 0x60;
    ip[7] = (sel & 2) != 0 ? 64 : 255;
    pw_fake_ip6(PW_FAKE_PEER_IP, ip + 8);
    pw_fake_ip6(PW_FAKE_OUR_IP, ip + 24);
    memcpy(b, pw_fake_our_mac, 6);
    memcpy(b + 6, pw_fake_peer_mac, 6);
    pw_store_be16(b + 12, PW_ETHER_TYPE_IP6);
    if ((sel & 4) != 0) {
        pw_ip6_solicited_node(r->w->ip6.address, ip + 24);
        pw_ip6_multicast_mac(ip + 24, b);
    }
    for (uint32_t i = 0; i < (sel >> 3) % 6; i++) {
        uint32_t eights = byte(r) % 3;

        *next = kinds[byte(r) % PW_ARRAY_LEN(kinds)];
        next = ip + off;
        ip[off + 1] = (uint8_t)eights;
        for (uint32_t j = 2; j < (eights + 1) * 8; j++) {
            ip[off + j] = byte(r);
        }
        off += (eights + 1) * 8;
    }
    *next = last;
    n = n < r->left ? n : (uint32_t)r->left;
    memcpy(ip + off, r->p, n);
    r->p += n;
    r->left -= n;
    pw_store_be16(ip + 4, (uint16_t)(off - PW_IP6_BYTES + n));
    uint32_t at = last == PW_IP6_NEXT_TCP ? 16 : 2;

    if (n >= at + 2) {
        memset(ip + off + at, 0, 2);
        uint16_t sum = (uint16_t)~pw_cksum_fold(
            pw_cksum_add(pw_ip6_pseudo(ip + 8, ip + 24, last, n), ip + off, n));

        memcpy(ip + off + at, &sum, 2);
    }
    r->raw_used = true;
    pw_fake_rx(r->port, pw_fake_frame(r->port, b, PW_ETHER_BYTES + off + n));
}

static void
app_send(struct run *r, uint32_t n)
{
    static uint8_t b[65536];

    for (uint32_t i = 0; i < n; i++) {
        b[i] = pattern(r->sent_bytes + i);
    }
    struct pw_slice s = pw_slice(b, n);

    r->sent_bytes += r->stream->ops->send(r->stream, &s, 1);
}

static void
ev_app(struct run *r)
{
    uint32_t what = byte(r) % 8;
    size_t cost = 0;

    if (r->stream == NULL) {
        return;
    }
    switch (what) {
    case 0:
    case 1:
        app_send(r, word(r));
        break;
    case 2:
        r->stream->ops->shutdown(r->stream);
        break;
    case 3:
        r->stream->ops->reset(r->stream);
        r->stream = NULL;
        held_free(r);
        break;
    case 4:
        for (uint32_t i = 0; i < r->held_count; i++) {
            cost += r->held[i]->buf_len;
        }
        held_free(r);
        r->stream->ops->consumed(r->stream, cost);
        break;
    case 5:
        (void)r->stream->ops->reserve(r->stream, word(r) << (byte(r) % 12));
        break;
    default:
        r->hold = !r->hold;
    }
}

static void
event(struct run *r)
{
    uint32_t op = byte(r);

    if (op < 128) {
        ev_segment(r);
    } else if (op < 144) {
        ev_raw(r);
    } else if (op < 152) {
        ev_packet(r);
    } else if (op < 160) {
        ev_packet6(r);
    } else if (op < 164) {
        ev_quote(r);
    } else if (op < 208) {
        ev_app(r);
    } else {
        static const uint32_t ms[] = {1, 1, 4, 40, 200, 400, 1000, 61000};

        pw_fake_run(r->port, r->w, ms[op % PW_ARRAY_LEN(ms)] % 2000);
    }
    if ((op & 7) != 7) { /* else: one burst with what follows */
        pw_fake_poll(r->port, r->w);
        drain_tx(r);
    }
}

static void
handshake(struct run *r, bool ts, bool sack)
{
    struct pw_fake_seg s = {
        .v6 = r->v6,
        .saddr = PW_FAKE_PEER_IP,
        .daddr = PW_FAKE_OUR_IP,
        .sport = SPORT,
        .dport = PW_FAKE_PORT,
        .seq = PEER_ISN,
        .flags = PW_TCP_SYN,
        .wnd = 65535,
        .opt = {.mss = 1460, .has_ts = ts, .ts_val = 1, .has_wscale = ts, .sack_ok = sack}};

    pw_fake_rx(r->port, pw_fake_segment(r->port, &s));
    pw_fake_poll(r->port, r->w);
    drain_tx(r);
    s.flags = PW_TCP_ACK;
    s.seq++;
    s.ack = r->our_isn + 1;
    s.opt.ts_val = (uint32_t)(r->port->now_tsc / 1000000);
    s.opt.ts_ecr = r->ts_last;
    pw_fake_rx(r->port, pw_fake_segment(r->port, &s));
    pw_fake_poll(r->port, r->w);
    drain_tx(r);
    check(r->stream != NULL, "the handshake makes a stream");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct pw_fake_port port;
    static bool started;
    struct run r = {.port = &port, .p = data, .left = size};
    struct pw_worker_cfg cfg;

    if (!started) {
        if (!pw_fake_eal_init()) {
            exit(77);
        }
        pw_fake_port_init(&port, 2047);
        started = true;
    }
    uint8_t how = byte(&r);

    port.now_tsc = PW_FAKE_TSC_HZ;
    cfg = pw_fake_worker_cfg(&port);
    cfg.tcp = (struct pw_tcp_cfg){.conns_max = 4,
                                  .syn_received_max = 2,
                                  .rx_base_bytes = 40000,
                                  .snd_buf_bytes_max = 20000,
                                  .snd_pool_bytes = 65536,
                                  .rx_budget_bytes = (how & 8) != 0 ? 30000 : 0,
                                  .keepalive_idle_ms = (how & 16) != 0 ? 3000 : 0,
                                  .reno = (how & 32) != 0};
    cfg.app = (struct pw_stream_app){.ctx = &r,
                                     .accept = app_accept,
                                     .input = app_input,
                                     .writable = app_writable,
                                     .fin = app_fin,
                                     .gone = app_gone};
    r.w = pw_worker_create_ctl(&cfg, port.now_tsc, NULL);
    check(r.w != NULL && pw_worker_listen_ctl(r.w, PW_FAKE_PORT) == 0, "a worker");
    r.v6 = (how & 2) != 0;
    handshake(&r, (how & 1) != 0, (how & 4) != 0);
    for (uint32_t i = 0; i < EVENTS_MAX && r.left > 0; i++) {
        event(&r);
    }
    pw_fake_poll(&port, r.w);
    r.raw_used = true;          /* what the end sends is not looked at */
    pw_worker_destroy_ctl(r.w); /* checks chunks and budget */
    drain_tx(&r);
    check(rte_mempool_in_use_count(port.pool) == 0, "every mbuf is back");
    return 0;
}
