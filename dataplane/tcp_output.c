/* What leaves: segments with text, FIN, ACK, RST. Nagle's algorithm is off: whoever writes here
 * writes whole answers.
 *
 * ACK policy (RFC 1122 4.2.3.2, RFC 5681 4.2). Input marks a connection; the flush after the burst
 * decides once: one ACK for all segments of a burst, at least every second segment, at once when
 * text came out of order or filled a hole (with SACK not while a burst makes one run of it longer). A single segment waits for delack_ms, or, when the peer
 * pushed and so probably waits for us, for PW_TCP_DELACK_PSH_MS: our answer usually comes earlier
 * and carries the ACK, and a peer that holds back a small write until we acknowledge is not held
 * for long. */
#include "base/hash.h"
#include "dataplane/ip4.h"
#include "dataplane/ip6.h"
#include "dataplane/tcp_seq.h"
#include "dataplane/worker_priv.h"

#include <rte_mbuf.h>

enum {
    CHALLENGE_ACKS_PER_S = 100,
    SACK_SENDS_MAX = 64, /* of one recovery in one flush */
    SACK_BYTES_MIN = 12, /* NOP NOP, kind, length, one block */
};

struct hdr {
    const struct pw_peer_addr *peer;
    uint16_t lport;
    bool v6;
    uint32_t seq;
    uint32_t ack;
    uint32_t wnd; /* the field, scaled already */
    uint8_t flags;
    const uint8_t *mac;
    const uint8_t *opt;
    uint32_t opt_len;
    uint32_t len; /* payload */
    bool df;
};

static uint32_t
ip_bytes(const struct hdr *h)
{
    return h->v6 ? PW_IP6_BYTES : PW_IP4_BYTES;
}

/* Ethernet and IP at p. */
static void
put_lower(struct pw_worker *w, uint8_t *p, const struct hdr *h, uint32_t tcp_len)
{
    if (h->v6) {
        pw_ether_put(p, h->mac, w->mac, PW_ETHER_TYPE_IP6);
        pw_ip6_put(p + PW_ETHER_BYTES, &(struct pw_ip6){.src = w->ip6.address,
                                                        .dst = h->peer->ip,
                                                        .payload_len = tcp_len,
                                                        .next_header = PW_IP6_NEXT_TCP,
                                                        .hop_limit = PW_IP6_HOP_LIMIT});
        return;
    }
    pw_ether_put(p, h->mac, w->mac, PW_ETHER_TYPE_IP4);
    pw_ip4_put(w, p + PW_ETHER_BYTES,
               &(struct pw_ip4){.src = w->address,
                                .dst = pw_load_be32(h->peer->ip + 12),
                                .payload_len = tcp_len,
                                .protocol = PW_IP4_PROTO_TCP,
                                .df = h->df});
}

/* A frame with all headers written but the checksum; *payload is where h->len bytes go. */
static struct rte_mbuf *
frame_new(struct pw_worker *w, const struct hdr *h, uint8_t **payload)
{
    struct rte_mbuf *m = pw_worker_frame(w);
    uint32_t tcp_len = PW_TCP_HDR_BYTES + h->opt_len + h->len;
    uint32_t lower = PW_ETHER_BYTES + ip_bytes(h);

    if (m == NULL) {
        return NULL;
    }
    uint8_t *p = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)(lower + tcp_len));

    PW_INVARIANT(p != NULL); /* the MSS is cut to what a buffer holds */
    put_lower(w, p, h, tcp_len);
    p += lower;
    pw_store_be16(p, h->lport);
    pw_store_be16(p + 2, h->peer->port);
    pw_store_be32(p + 4, h->seq);
    pw_store_be32(p + 8, h->ack);
    p[12] = (uint8_t)((PW_TCP_HDR_BYTES + h->opt_len) << 2);
    p[13] = h->flags;
    pw_store_be16(p + 14, (uint16_t)h->wnd);
    pw_store_be32(p + 16, 0); /* checksum, urgent pointer */
    if (h->opt_len != 0) {
        memcpy(p + PW_TCP_HDR_BYTES, h->opt, h->opt_len);
    }
    *payload = p + PW_TCP_HDR_BYTES + h->opt_len;
    return m;
}

/* Takes m: checksum, then out. */
static void
frame_send(struct pw_worker *w, struct rte_mbuf *m, const struct hdr *h)
{
    uint32_t lower = PW_ETHER_BYTES + ip_bytes(h);
    uint8_t *tcp = rte_pktmbuf_mtod_offset(m, uint8_t *, lower);
    uint32_t tcp_len = m->data_len - lower;
    uint64_t pseudo = h->v6 ? pw_ip6_pseudo(w->ip6.address, h->peer->ip, PW_IP6_NEXT_TCP, tcp_len)
                            : pw_cksum_pseudo(w->address, pw_load_be32(h->peer->ip + 12),
                                              PW_IP4_PROTO_TCP, tcp_len);
    uint16_t sum;

    if (w->tx_cksum_offload) {
        /* The port adds the segment to what it finds: the pseudo header, not complemented. */
        m->tx_offload = rte_mbuf_tx_offload(PW_ETHER_BYTES, ip_bytes(h),
                                            PW_TCP_HDR_BYTES + h->opt_len, 0, 0, 0, 0);
        m->ol_flags |= RTE_MBUF_F_TX_TCP_CKSUM |
                       (h->v6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM);
        sum = pw_cksum_fold(pseudo);
    } else {
        sum = (uint16_t)~pw_cksum_fold(pw_cksum_add(pseudo, tcp, tcp_len));
    }
    memcpy(tcp + 16, &sum, 2);
    w->stat[PW_STAT_TCP_SEGMENTS_OUT]++;
    pw_worker_send(w, m);
}

/* RFC 2018 4: "SACK options SHOULD be included in all ACKs which do not ACK the highest sequence
 * number". room: bytes for it; a segment with text carries blocks only where it is short anyway. */
static uint32_t
sack_put(struct pw_tcb *tcb, uint8_t *opt, uint32_t room)
{
    struct pw_tcp_range r[PW_TCP_SACK_BLOCKS_MAX];
    uint32_t own = PW_TCP_OPT_BYTES_MAX - (pw_tcb_is(tcb, PW_TCB_TS) ? PW_TCP_OPT_TS_BYTES : 0);

    if (!pw_tcb_is(tcb, PW_TCB_SACK)) {
        return 0;
    }
    room = room < own ? room : own;
    uint32_t n = pw_tcp_sack_blocks(tcb, r, (room - 4) / sizeof(r[0]));

    return n == 0 ? 0 : pw_tcp_options_put_sack(opt, r, n);
}

/* Header of a segment of tcb from seq on; acknowledges, offers a window, and notes both as done. */
static struct hdr
hdr_of(struct pw_worker *w, struct pw_tcb *tcb, uint32_t seq, uint8_t flags, uint8_t *opt,
       uint32_t sack_room)
{
    uint32_t wnd = pw_tcp_rx_window(w, tcb) >> tcb->rcv_wscale;
    struct hdr h = {
        .peer = &tcb->stream.peer,
        .lport = tcb->lport,
        .v6 = tcb->v6,
        .seq = seq,
        .ack = tcb->rcv_nxt,
        .wnd = wnd > UINT16_MAX ? UINT16_MAX : wnd,
        .flags = flags,
        .mac = tcb->peer_mac,
        .opt = opt,
        /* RFC 1191 3, where the answer comes to us: not if the kernel owns the address. */
        .df = w->address_is_ours && !pw_tcb_is(tcb, PW_TCB_NO_DF),
    };

    if (pw_tcb_is(tcb, PW_TCB_TS)) {
        h.opt_len =
            pw_tcp_options_put_ts(opt, (uint32_t)w->now_tick + w->tcp.ts_offset, tcb->ts_recent);
    }
    if (sack_room >= SACK_BYTES_MIN && (tcb->ooo != NULL || pw_tcb_is(tcb, PW_TCB_DSACK))) {
        h.opt_len += sack_put(tcb, opt + h.opt_len, sack_room);
    }
    if (wnd == 0 && tcb->last_ack_sent != tcb->rcv_nxt) { /* text came since: it was open then */
        w->stat[PW_STAT_TCP_ZERO_WINDOWS]++;
    }
    tcb->last_ack_sent = tcb->rcv_nxt;
    tcb->ack_segs = 0;
    pw_tcb_flag_clear(tcb, PW_TCB_ACK_NOW | PW_TCB_ACK_LATER | PW_TCB_ACK_SOON);
    pw_timer_cancel(&w->tcp.wheel, &tcb->delack);
    return h;
}

/* Where a segment without text stands. After a timeout snd_nxt went back, but the peer may have
 * what came after it; a probe or a FIN may have gone beyond the peer's window, where it takes no
 * ACK. */
static uint32_t
bare_seq(const struct pw_tcb *tcb)
{
    return pw_seq_min(tcb->snd_max, tcb->snd_una + tcb->snd_wnd);
}

static void
bare_send(struct pw_worker *w, struct pw_tcb *tcb, uint32_t seq)
{
    uint8_t opt[PW_TCP_OPT_BYTES_MAX];
    struct hdr h = hdr_of(w, tcb, seq, PW_TCP_ACK, opt, PW_TCP_OPT_BYTES_MAX);
    uint8_t *payload;
    struct rte_mbuf *m = frame_new(w, &h, &payload);

    if (m != NULL) {
        w->stat[PW_STAT_TCP_ACKS_OUT]++;
        frame_send(w, m, &h);
    }
}

void
pw_tcp_ack_send(struct pw_worker *w, struct pw_tcb *tcb)
{
    bare_send(w, tcb, bare_seq(tcb));
}

void
pw_tcp_keepalive_send(struct pw_worker *w, struct pw_tcb *tcb)
{
    bare_send(w, tcb, tcb->snd_una - 1);
}

void
pw_tcp_challenge_ack(struct pw_worker *w, struct pw_tcb *tcb)
{
    struct pw_tcp *t = &w->tcp;
    uint64_t second = w->now_tick / 1000;

    if (second != t->challenge_second) {
        t->challenge_second = second;
        t->challenge_count = 0;
    }
    /* Not the same number each second: else what is left of it tells a third party of other
     * connections (the side channel of RFC 5961 7's plain counter). */
    uint32_t most = CHALLENGE_ACKS_PER_S / 2 +
                    (uint32_t)(pw_hash_mix(t->hash_key, second) % CHALLENGE_ACKS_PER_S);

    if (t->challenge_count < most) {
        t->challenge_count++;
        pw_tcp_ack_send(w, tcb);
    }
}

void
pw_tcp_rst_send(struct pw_worker *w, struct pw_tcb *tcb)
{
    uint8_t opt[PW_TCP_OPT_TS_BYTES];
    struct hdr h = hdr_of(w, tcb, bare_seq(tcb), PW_TCP_RST | PW_TCP_ACK, opt, 0);
    uint8_t *payload;
    struct rte_mbuf *m = frame_new(w, &h, &payload);

    if (m != NULL) {
        w->stat[PW_STAT_TCP_RST_OUT]++;
        frame_send(w, m, &h);
    }
}

void
pw_tcp_rst_reply(struct pw_worker *w, const struct pw_segment *seg)
{
    bool has_ack = (seg->flags & PW_TCP_ACK) != 0;
    uint32_t syn = (seg->flags & PW_TCP_SYN) != 0;
    uint32_t fin = (seg->flags & PW_TCP_FIN) != 0;
    struct hdr h = {
        .peer = &seg->peer,
        .lport = seg->lport,
        .v6 = seg->v6,
        .seq = has_ack ? seg->ack : 0,
        .ack = has_ack ? 0 : seg->seq + seg->len + syn + fin,
        .flags = has_ack ? PW_TCP_RST : PW_TCP_RST | PW_TCP_ACK,
        .mac = seg->src_mac,
    };
    uint8_t *payload;
    struct rte_mbuf *m = frame_new(w, &h, &payload);

    if (m != NULL) {
        w->stat[PW_STAT_TCP_RST_OUT]++;
        frame_send(w, m, &h);
    }
}

void
pw_tcp_syn_ack_send(struct pw_worker *w, struct pw_tcb *tcb)
{
    uint8_t ts[PW_TCP_OPT_TS_BYTES];
    uint8_t opt[PW_TCP_OPT_SYN_BYTES_MAX];
    struct pw_tcp_options o = {
        .mss = pw_tcp_mss(&w->tcp, tcb->v6),
        .has_ts = pw_tcb_is(tcb, PW_TCB_TS),
        .ts_val = (uint32_t)w->now_tick + w->tcp.ts_offset,
        .ts_ecr = tcb->ts_recent,
        .has_wscale = tcb->rcv_wscale != 0,
        .wscale = tcb->rcv_wscale,
        .sack_ok = pw_tcb_is(tcb, PW_TCB_SACK),
    };
    struct hdr h = hdr_of(w, tcb, tcb->iss, PW_TCP_SYN | PW_TCP_ACK, ts, 0);
    uint32_t wnd = pw_tcb_rcv_wnd(tcb);
    uint8_t *payload;

    h.wnd = wnd > UINT16_MAX ? UINT16_MAX : wnd; /* RFC 7323 2.2: never scaled in a SYN */
    h.opt = opt;
    h.opt_len = pw_tcp_options_put_syn(opt, &o);
    struct rte_mbuf *m = frame_new(w, &h, &payload);

    if (m != NULL) {
        frame_send(w, m, &h);
    }
}

void
pw_tcp_cookie_send(struct pw_worker *w, const struct pw_segment *seg, uint32_t iss,
                   const struct pw_tcp_options *o)
{
    uint8_t opt[PW_TCP_OPT_SYN_BYTES_MAX];
    struct hdr h = {
        .peer = &seg->peer,
        .v6 = seg->v6,
        .lport = seg->lport,
        .seq = iss,
        .ack = seg->seq + 1,
        .wnd = pw_tcp_rx_window_least(w) >> PW_TCP_RCV_WSCALE << PW_TCP_RCV_WSCALE,
        .flags = PW_TCP_SYN | PW_TCP_ACK,
        .mac = seg->src_mac,
        .opt = opt,
        .opt_len = pw_tcp_options_put_syn(opt, o),
    };
    uint8_t *payload;
    struct rte_mbuf *m = frame_new(w, &h, &payload);

    if (m != NULL) {
        frame_send(w, m, &h);
    }
}

/* len bytes from the send buffer's cursor as one segment. False: no buffer, nothing happened. */
static bool
segment_send(struct pw_worker *w, struct pw_tcb *tcb, uint32_t seq, uint32_t len, uint8_t flags)
{
    uint8_t opt[PW_TCP_OPT_BYTES_MAX];
    struct hdr h = hdr_of(w, tcb, seq, flags, opt, tcb->mss - len);
    uint8_t *payload;

    h.len = len;
    struct rte_mbuf *m = frame_new(w, &h, &payload);

    if (m == NULL) {
        pw_tcb_flag_set(tcb, PW_TCB_ACK_LATER); /* hdr_of thought it was sent */
        return false;
    }
    pw_snd_copy(&tcb->snd, payload, len);
    frame_send(w, m, &h);
    return true;
}

/* Text that may still go: not sent, inside the peer's window and ours (RFC 5681 3.1). */
static uint32_t
sendable(const struct pw_tcb *tcb, uint32_t unsent)
{
    /* RFC 3042: a new segment for each of the first two duplicate ACKs, so that a third can come. */
    uint32_t cwnd = tcb->cc.cwnd;

    if (tcb->dupacks != 0 && !pw_tcb_is(tcb, PW_TCB_RECOVERY | PW_TCB_RTO_LOSS)) {
        cwnd += (tcb->dupacks < PW_TCP_DUPACKS ? tcb->dupacks : PW_TCP_DUPACKS - 1U) * tcb->mss;
    }
    uint32_t wnd = tcb->snd_wnd < cwnd ? tcb->snd_wnd : cwnd;
    uint32_t flight = tcb->snd_nxt - tcb->snd_una;
    uint32_t room = wnd > flight ? wnd - flight : 0;

    return unsent < room ? unsent : room;
}

/* RFC 9293 3.8.6.2.1, without Nagle: a full segment, or everything there is, or half of the largest
 * window the peer ever offered. */
static bool
worth_sending(const struct pw_tcb *tcb, uint32_t n, uint32_t unsent)
{
    return n > 0 && (n >= tcb->mss || n == unsent || n >= tcb->snd_wnd_max / 2);
}

/* Notes that n bytes of sequence space from snd_nxt went out. */
static void
sent(struct pw_worker *w, struct pw_tcb *tcb, uint32_t n)
{
    if (pw_seq_lt(tcb->snd_nxt, tcb->snd_max)) {
        w->stat[PW_STAT_TCP_RETRANSMITS]++;
    } else if (!pw_tcb_is(tcb, PW_TCB_RTT_TIMING | PW_TCB_TS)) {
        pw_tcb_flag_set(tcb, PW_TCB_RTT_TIMING);
        tcb->rtt_seq = tcb->snd_nxt;
        tcb->rtt_tick = w->now_tick;
    }
    if (tcb->snd_nxt == tcb->snd_una && tcb->snd_max == tcb->snd_una) {
        tcb->una_tick = (uint32_t)w->now_tick;
    }
    tcb->snd_nxt += n;
    tcb->snd_max = pw_seq_max(tcb->snd_max, tcb->snd_nxt);
    tcb->sent_tick = w->now_tick;
    if (pw_tcb_is(tcb, PW_TCB_PERSIST)) { /* the window opened: probing is over */
        pw_tcb_flag_clear(tcb, PW_TCB_PERSIST);
        pw_timer_cancel(&w->tcp.wheel, &tcb->timer);
        tcb->backoff = 0;
        tcb->retries = 0;
    }
    /* RFC 6298 (5.1); RFC 8985 7.2: a probe's timer runs from the last segment. */
    if (!pw_timer_armed(&tcb->timer) || pw_tcp_pto_wanted(tcb)) {
        pw_tcp_rto_arm(w, tcb);
    }
}

static uint32_t
unsent_bytes(const struct pw_tcb *tcb)
{
    uint32_t flight = tcb->snd_nxt - tcb->snd_una;

    return tcb->snd.bytes > flight ? tcb->snd.bytes - flight : 0;
}

/* One segment of at most room bytes from snd_nxt on. False: not worth it, or no buffer. */
static bool
send_next(struct pw_worker *w, struct pw_tcb *tcb, uint32_t room)
{
    uint32_t unsent = unsent_bytes(tcb);
    uint32_t n = room < unsent ? room : unsent;

    if (!worth_sending(tcb, n, unsent)) {
        return false;
    }
    n = n < tcb->mss ? n : tcb->mss;
    uint8_t flags = n == unsent ? PW_TCP_ACK | PW_TCP_PSH : PW_TCP_ACK;
    bool fin = n == unsent && pw_tcb_is(tcb, PW_TCB_FIN_QUEUED);

    if (fin) {
        flags = (uint8_t)(flags | PW_TCP_FIN);
        pw_tcb_flag_set(tcb, PW_TCB_FIN_SENT);
        tcb->snd_fin = tcb->snd_nxt + n;
    }
    if (!segment_send(w, tcb, tcb->snd_nxt, n, flags)) {
        return false;
    }
    sent(w, tcb, n + fin);
    return true;
}

static void
send_text(struct pw_worker *w, struct pw_tcb *tcb)
{
    if (tcb->snd_nxt == tcb->snd_una && tcb->snd.bytes > 0 &&
        w->now_tick - tcb->sent_tick > tcb->rto_ms) {
        tcb->cc.ops->idle(&tcb->cc, tcb->mss);
    }
    while (unsent_bytes(tcb) > 0) { /* bound: the peer's window */
        if (!send_next(w, tcb, sendable(tcb, UINT32_MAX))) {
            break;
        }
    }
}

/* Sends part of r again and notes it. False: no buffer. */
static bool
resend_part(struct pw_worker *w, struct pw_tcb *tcb, struct pw_tcp_range r)
{
    uint32_t size = r.right - r.left;
    uint32_t n = pw_tcp_resend(w, tcb, r.left, size < tcb->mss ? size : tcb->mss);

    tcb->board->rxt = r.left + n;
    return n != 0;
}

/* NextSeg (4): text above all that the peer reported may be lost too, and nothing would say so. */
static void
rescue(struct pw_worker *w, struct pw_tcb *tcb, uint32_t top)
{
    uint32_t end = tcb->snd_recover;

    if (pw_tcb_is(tcb, PW_TCB_RESCUED) || pw_seq_geq(top, end)) {
        return;
    }
    uint32_t from = end - top > tcb->mss ? end - tcb->mss : top;

    pw_tcb_flag_set(tcb, PW_TCB_RESCUED);
    (void)pw_tcp_resend(w, tcb, from, end - from);
}

/* RFC 6675 5 step C: what NextSeg names, while the pipe has room for a segment. */
static void
send_recovery(struct pw_worker *w, struct pw_tcb *tcb)
{
    uint32_t budget = SACK_SENDS_MAX;

    for (bool more = true; more && budget > 0; budget--) {
        struct pw_sack_view v = pw_sack_view_of(tcb);
        uint32_t wnd_left = tcb->snd_una + tcb->snd_wnd - tcb->snd_nxt;

        if (v.pipe + tcb->mss > tcb->cc.cwnd) {
            break;
        }
        if (v.lost.left != v.lost.right) { /* NextSeg (1) */
            more = resend_part(w, tcb, v.lost);
        } else if (unsent_bytes(tcb) > 0 && wnd_left <= tcb->snd_wnd &&
                   send_next(w, tcb, wnd_left)) { /* (2) */
            more = true;
        } else if (v.hole.left != v.hole.right) { /* (3) */
            more = resend_part(w, tcb, v.hole);
        } else {
            rescue(w, tcb, v.top);
            more = false;
        }
    }
}

/* A FIN that could not ride on text. The window is not asked: it takes no buffer. */
static void
send_fin(struct pw_worker *w, struct pw_tcb *tcb)
{
    uint32_t fin = tcb->snd_una + tcb->snd.bytes;
    bool acked = pw_tcb_is(tcb, PW_TCB_FIN_SENT) && pw_seq_gt(tcb->snd_una, tcb->snd_fin);

    if (!pw_tcb_is(tcb, PW_TCB_FIN_QUEUED) || acked || tcb->snd_nxt != fin) {
        return;
    }
    if (segment_send(w, tcb, fin, 0, PW_TCP_ACK | PW_TCP_FIN)) {
        pw_tcb_flag_set(tcb, PW_TCB_FIN_SENT);
        tcb->snd_fin = fin;
        sent(w, tcb, 1);
    }
}

/* Text waits, nothing is in flight, nothing could be sent: only a probe gets us going again. */
static void
persist_check(struct pw_worker *w, struct pw_tcb *tcb)
{
    if (tcb->snd.bytes > 0 && tcb->snd_nxt == tcb->snd_una && !pw_timer_armed(&tcb->timer)) {
        pw_tcb_flag_set(tcb, PW_TCB_PERSIST);
        tcb->una_tick = (uint32_t)w->now_tick;
        pw_tcp_rto_arm(w, tcb);
    }
}

static void
ack_if_due(struct pw_worker *w, struct pw_tcb *tcb)
{
    if (pw_tcb_is(tcb, PW_TCB_ACK_NOW) || tcb->ack_segs >= 2) {
        pw_tcp_ack_send(w, tcb);
        return;
    }
    if (pw_tcb_is(tcb, PW_TCB_ACK_LATER) && !pw_timer_armed(&tcb->delack)) {
        uint32_t ms = w->tcp.cfg.delack_ms;

        if (pw_tcb_is(tcb, PW_TCB_ACK_SOON) && ms > PW_TCP_DELACK_PSH_MS) {
            ms = PW_TCP_DELACK_PSH_MS;
        }
        pw_timer_arm(&w->tcp.wheel, &tcb->delack, w->now_tick + ms);
    }
}

void
pw_tcp_output(struct pw_worker *w, struct pw_tcb *tcb)
{
    if (tcb->state != PW_TCP_SYN_RECEIVED && tcb->state != PW_TCP_TIME_WAIT) {
        if (pw_tcb_is(tcb, PW_TCB_RECOVERY) && tcb->board != NULL) {
            send_recovery(w, tcb);
        } else {
            send_text(w, tcb);
        }
        send_fin(w, tcb);
        persist_check(w, tcb);
    }
    ack_if_due(w, tcb);
}

uint32_t
pw_tcp_flush(struct pw_worker *w)
{
    uint32_t n = 0;
    struct pw_tcb *tcb;

    while ((tcb = TAILQ_FIRST(&w->tcp.out)) != NULL) { /* bound: nothing here puts one back */
        TAILQ_REMOVE(&w->tcp.out, tcb, out_link);
        pw_tcb_flag_clear(tcb, PW_TCB_OUT);
        pw_tcp_output(w, tcb);
        n++;
    }
    return n;
}

uint32_t
pw_tcp_resend(struct pw_worker *w, struct pw_tcb *tcb, uint32_t seq, uint32_t max)
{
    struct pw_snd_buf keep = tcb->snd;
    uint32_t off = seq - tcb->snd_una;
    uint32_t flight = tcb->snd_nxt - tcb->snd_una;

    if (pw_seq_lt(seq, tcb->snd_una) || off >= flight) {
        return 0;
    }
    uint32_t left = flight - off; /* after a timeout less is out than was: a FIN must not move up */
    uint32_t text = tcb->snd.bytes > off ? tcb->snd.bytes - off : 0;
    uint32_t n = text < max ? text : max;

    n = n < left ? n : left;
    n = n < tcb->mss ? n : tcb->mss;
    bool fin = pw_tcb_is(tcb, PW_TCB_FIN_SENT) && tcb->snd_fin == seq + n && left > n;
    bool ok = false;

    pw_snd_seek(&tcb->snd, off);
    if (n + fin > 0 && segment_send(w, tcb, seq, n, fin ? PW_TCP_ACK | PW_TCP_FIN : PW_TCP_ACK)) {
        w->stat[PW_STAT_TCP_RETRANSMITS]++;
        pw_tcb_flag_clear(tcb, PW_TCB_RTT_TIMING); /* Karn */
        ok = true;
    }
    tcb->snd.cursor = keep.cursor;
    tcb->snd.cursor_off = keep.cursor_off;
    return ok ? n + fin : 0;
}

void
pw_tcp_probe_send(struct pw_worker *w, struct pw_tcb *tcb)
{
    /* RFC 9293 3.8.6.2.1: a window too small to be worth a segment is used once the timer says so. */
    uint32_t n = tcb->snd_wnd == 0 ? 1 : tcb->snd_wnd;

    PW_DCHECK(tcb->snd_nxt == tcb->snd_una && tcb->snd.bytes > 0);
    n = n < tcb->snd.bytes ? n : tcb->snd.bytes;
    n = n < tcb->mss ? n : tcb->mss;
    pw_snd_rewind(&tcb->snd);
    if (segment_send(w, tcb, tcb->snd_una, n, PW_TCP_ACK)) {
        w->stat[PW_STAT_TCP_PROBES_OUT]++;
        tcb->snd_max = pw_seq_max(tcb->snd_max, tcb->snd_una + n);
    }
    pw_snd_rewind(&tcb->snd);
}
