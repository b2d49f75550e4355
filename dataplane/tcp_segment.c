/* A segment as a frame: addresses, header, options, checksum; and the segments that carry no text: ACK, challenge
 * ACK, keep-alive, RST, SYN,ACK. What goes when: tcp_output.c. */
#include "base/hash.h"
#include "dataplane/ip4.h"
#include "dataplane/ip6.h"
#include "dataplane/tcp_seq.h"
#include "dataplane/worker_priv.h"

#include <rte_mbuf.h>

enum {
    CHALLENGE_ACKS_PER_S = 100,
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

/* A segment without text; false: there is no buffer for it. */
static bool
bare_frame_send(struct pw_worker *w, const struct hdr *h)
{
    uint8_t *payload;
    struct rte_mbuf *m = frame_new(w, h, &payload);

    if (m == NULL) {
        return false;
    }
    frame_send(w, m, h);
    return true;
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

    w->stat[PW_STAT_TCP_ACKS_OUT] += bare_frame_send(w, &h);
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

    w->stat[PW_STAT_TCP_RST_OUT] += bare_frame_send(w, &h);
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

    w->stat[PW_STAT_TCP_RST_OUT] += bare_frame_send(w, &h);
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

    h.wnd = wnd > UINT16_MAX ? UINT16_MAX : wnd; /* RFC 7323 2.2: never scaled in a SYN */
    h.opt = opt;
    h.opt_len = pw_tcp_options_put_syn(opt, &o);
    (void)bare_frame_send(w, &h); /* a timeout sends it again */
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

    (void)bare_frame_send(w, &h); /* the peer sends its SYN again */
}

bool
pw_tcp_segment_send(struct pw_worker *w, struct pw_tcb *tcb, uint32_t seq, uint32_t len,
                    uint8_t flags)
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
