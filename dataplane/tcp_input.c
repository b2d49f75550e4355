/* A segment arrives: RFC 9293 3.10.7, in its order. Every handler returns whether the connection is
 * still there to go on with; the text's mbuf is taken by setting seg->m to NULL. */
#include "dataplane/buf.h"
#include "dataplane/ip4.h"
#include "dataplane/tcp_seq.h"
#include "dataplane/worker_priv.h"

bool
pw_tcp_parse(struct pw_worker *w, struct rte_mbuf *m, const struct pw_tcp_l3 *l3,
             struct pw_segment *seg)
{
    const uint8_t *frame = rte_pktmbuf_mtod(m, const uint8_t *);
    const uint8_t *p = frame + l3->off;
    uint32_t n = l3->len;

    if (n < PW_TCP_HDR_BYTES || (uint32_t)(p[12] >> 4) * 4 < PW_TCP_HDR_BYTES ||
        (uint32_t)(p[12] >> 4) * 4 > n) {
        pw_worker_drop(w, PW_DROP_TCP_SHORT);
        return false;
    }
    bool trusted = w->rx_cksum_offload &&
                   (m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD;

    if (!trusted && pw_cksum_fold(pw_cksum_add(l3->pseudo, p, n)) != 0xFFFF) {
        pw_worker_drop(w, PW_DROP_TCP_CHECKSUM);
        return false;
    }
    uint32_t hdr = (uint32_t)(p[12] >> 4) * 4;

    *seg = (struct pw_segment){
        .m = m,
        .src_mac = frame + 6,
        .peer = {.port = pw_load_be16(p)},
        .lport = pw_load_be16(p + 2),
        .v6 = l3->v6,
        .seq = pw_load_be32(p + 4),
        .ack = pw_load_be32(p + 8),
        .wnd = pw_load_be16(p + 14),
        .flags = p[13],
        .len = n - hdr,
    };
    memcpy(seg->peer.ip, l3->src, 16);
    if (pw_tcp_options_parse(p + PW_TCP_HDR_BYTES, hdr - PW_TCP_HDR_BYTES, &seg->opt) < 0) {
        pw_worker_drop(w, PW_DROP_TCP_OPTION);
        return false;
    }
    seg->hash = pw_tcp_hash(&w->tcp, seg);
    /* The headers stay readable in front of the payload; padding behind it goes. */
    m->data_off = (uint16_t)(m->data_off + l3->off + hdr);
    m->data_len = (uint16_t)seg->len;
    m->pkt_len = seg->len;
    return true;
}

/* --- first: the sequence number --- */

enum { TS_RECENT_COARSE_S_MAX = 24U * 86400 * 1000 / 1024, BARE_ACK_MS = 500 };

/* 3.10.7.4: what is not acceptable is answered with an ACK. Without text it is not sent again, and two
 * ends that disagree would answer each other for ever: one each half second, and SYNs, which anybody
 * can send, with the challenges. */
static void
unacceptable_ack(struct pw_worker *w, struct pw_tcb *tcb, const struct pw_segment *seg)
{
    if ((seg->flags & PW_TCP_SYN) != 0) {
        pw_tcp_challenge_ack(w, tcb);
        return;
    }
    if (seg->len == 0 && (seg->flags & PW_TCP_FIN) == 0) {
        if ((uint32_t)w->now_tick - tcb->bare_tick < BARE_ACK_MS) {
            return;
        }
        tcb->bare_tick = (uint32_t)w->now_tick;
    }
    pw_tcp_ack_send(w, tcb);
}

/* RFC 7323 5.3 R1. True: go on. */
static bool
timestamp_ok(struct pw_worker *w, struct pw_tcb *tcb, const struct pw_segment *seg)
{
    if (!pw_tcb_is(tcb, PW_TCB_TS) || (seg->flags & PW_TCP_RST) != 0) {
        return true;
    }
    if (!seg->opt.has_ts) { /* RFC 7323 3.2: SHOULD silently drop */
        pw_worker_drop(w, PW_DROP_TCP_NO_TIMESTAMP);
        return false;
    }
    /* 5.5: after 24 days without a segment ts_recent says nothing any more. */
    if (pw_seq_lt(seg->opt.ts_val, tcb->ts_recent) &&
        pw_worker_coarse_s(w) - tcb->heard < TS_RECENT_COARSE_S_MAX) {
        pw_worker_drop(w, PW_DROP_TCP_PAWS);
        unacceptable_ack(w, tcb, seg);
        return false;
    }
    return true;
}

static uint32_t
seg_space(const struct pw_segment *seg)
{
    return seg->len + ((seg->flags & PW_TCP_SYN) != 0) + ((seg->flags & PW_TCP_FIN) != 0);
}

/* Table 6 of RFC 9293 3.4. A FIN just behind a closed window is let in, alone or sent again with text that
 * we have: it takes no buffer, and refusing it costs its sender a timeout. */
static bool
in_window(const struct pw_tcb *tcb, const struct pw_segment *seg)
{
    uint32_t wnd = pw_tcb_rcv_wnd(tcb);
    uint32_t space = seg_space(seg);

    if (seg->seq == tcb->rcv_nxt && (space == 0 || seg->len == 0)) {
        return true;
    }
    if (wnd == 0) {
        return (seg->flags & PW_TCP_FIN) != 0 && seg->seq + seg->len == tcb->rcv_nxt;
    }
    if (pw_seq_in(seg->seq, tcb->rcv_nxt, tcb->rcv_adv)) {
        return true;
    }
    return space > 0 && pw_seq_in(seg->seq + space - 1, tcb->rcv_nxt, tcb->rcv_adv);
}

static bool
sequence_ok(struct pw_worker *w, struct pw_tcb *tcb, struct pw_segment *seg)
{
    if (in_window(tcb, seg)) {
        return true;
    }
    /* 3.10.7.4: "if the RCV.WND is zero, no segments will be acceptable, but special allowance
     * should be made to accept valid ACKs": a probe's text is refused, its ACK is read. */
    if (pw_tcb_rcv_wnd(tcb) == 0 && seg->seq == tcb->rcv_nxt && (seg->flags & PW_TCP_SYN) == 0) {
        seg->len = 0;
        seg->flags = (uint8_t)(seg->flags & ~PW_TCP_FIN);
        pw_tcb_flag_set(tcb, PW_TCB_ACK_NOW);
        pw_tcp_out_later(w, tcb);
        return true;
    }
    bool old = pw_seq_leq(seg->seq + seg_space(seg), tcb->rcv_nxt);

    if (old) {
        pw_tcp_dsack_note(tcb, seg->seq, seg->seq + seg->len);
        pw_tcp_follow_again(w, tcb, seg);
    }

    pw_worker_drop(w, old ? PW_DROP_TCP_DUPLICATE : PW_DROP_TCP_OUTSIDE_WINDOW);
    if ((seg->flags & PW_TCP_RST) != 0) {
        return false;
    }
    if (tcb->state == PW_TCP_SYN_RECEIVED && (seg->flags & PW_TCP_SYN) != 0 &&
        seg->seq == tcb->irs) {
        pw_tcp_syn_ack_send(w, tcb); /* our SYN,ACK was lost: say it again, not a bare ACK */
        return false;
    }
    if (tcb->state == PW_TCP_TIME_WAIT && (seg->flags & PW_TCP_FIN) != 0) {
        pw_timer_arm(&w->tcp.wheel, &tcb->timer, w->now_tick + w->tcp.cfg.time_wait_ms);
    }
    unacceptable_ack(w, tcb, seg);
    return false;
}

/* --- second: RST; fourth: SYN (third, security, does not apply) --- */

static void
rst_arrives(struct pw_worker *w, struct pw_tcb *tcb, const struct pw_segment *seg)
{
    /* RFC 9293 3.10.7.4 with RFC 5961 3.2: only the exact number resets. */
    if (seg->seq != tcb->rcv_nxt) {
        pw_worker_drop(w, PW_DROP_TCP_RST_INEXACT);
        pw_tcp_challenge_ack(w, tcb);
        return;
    }
    w->stat[PW_STAT_TCP_RST_IN]++;
    pw_tcp_close(w, tcb);
}

/* --- fifth: ACK --- */

static void
window_take(struct pw_tcb *tcb, const struct pw_segment *seg)
{
    tcb->snd_wnd = (uint32_t)seg->wnd << tcb->snd_wscale;
    tcb->snd_wl1 = seg->seq;
    tcb->snd_wl2 = seg->ack;
    if (tcb->snd_wnd > tcb->snd_wnd_max) {
        tcb->snd_wnd_max = tcb->snd_wnd;
    }
}

/* SYN_RECEIVED and our SYN is acknowledged: the application gets the stream. */
static bool
establish(struct pw_worker *w, struct pw_tcb *tcb, const struct pw_segment *seg)
{
    if (!pw_seq_gt(seg->ack, tcb->snd_una) || pw_seq_gt(seg->ack, tcb->snd_nxt)) {
        pw_worker_drop(w, PW_DROP_TCP_BAD_ACK);
        pw_tcp_rst_reply(w, seg);
        return false;
    }
    bool lost = tcb->retries != 0;

    pw_tcp_state_set(w, tcb, PW_TCP_ESTABLISHED);
    pw_tcb_flag_clear(tcb, PW_TCB_HALF_OPEN);
    w->tcp.half_open--;
    window_take(tcb, seg);
    tcb->snd_una = seg->ack;
    tcb->cc.ops->init(&tcb->cc, tcb->mss, lost);
    pw_tcp_acked(w, tcb, seg, 0);
    pw_tcp_keepalive_arm(w, tcb, w->tcp.cfg.keepalive_idle_ms);
    w->stat[PW_STAT_TCP_ACCEPTED]++;
    pw_tcb_flag_set(tcb, PW_TCB_APP);
    w->tcp.open++;
    void *user = w->tcp.app.accept(w->tcp.app.ctx, &tcb->stream, w->now_tsc);

    if (tcb->state == PW_TCP_CLOSED) { /* it reset the stream itself */
        w->stat[PW_STAT_TCP_REFUSED]++;
        return false;
    }
    tcb->stream.user = user;
    if (user == NULL) {
        w->stat[PW_STAT_TCP_REFUSED]++;
        tcb->stream.ops->reset(&tcb->stream);
        return false;
    }
    return true;
}

static void
enter_time_wait(struct pw_worker *w, struct pw_tcb *tcb)
{
    pw_tcp_state_set(w, tcb, PW_TCP_TIME_WAIT);
    TAILQ_INSERT_TAIL(&w->tcp.time_wait, tcb, wait_link);
    /* Nothing more comes in: the buffers set aside go back, the window is what it was. */
    w->tcp.rx_budget_free += tcb->rx_reserved;
    tcb->rx_reserved = 0;
    tcb->rx_held_app = 0;
    tcb->rx_admitted = 0;
    pw_tcp_ooo_clear(w, tcb); /* text behind the FIN, if somebody sent that */
    pw_timer_arm(&w->tcp.wheel, &tcb->timer, w->now_tick + w->tcp.cfg.time_wait_ms);
    pw_tcp_detach(w, tcb);
}

/* Our FIN is acknowledged: 3.10.7.4, fifth, per state. False: the connection is gone. */
static bool
fin_acked(struct pw_worker *w, struct pw_tcb *tcb)
{
    switch ((enum pw_tcp_state)tcb->state) {
    case PW_TCP_FIN_WAIT_1:
        pw_tcp_state_set(w, tcb, PW_TCP_FIN_WAIT_2);
        pw_timer_arm(&w->tcp.wheel, &tcb->timer, w->now_tick + w->tcp.cfg.fin_wait_2_ms);
        return true;
    case PW_TCP_CLOSING:
        enter_time_wait(w, tcb);
        return true;
    case PW_TCP_LAST_ACK:
        pw_tcp_close(w, tcb);
        return false;
    case PW_TCP_CLOSED:
    case PW_TCP_SYN_RECEIVED:
    case PW_TCP_ESTABLISHED:
    case PW_TCP_FIN_WAIT_2:
    case PW_TCP_CLOSE_WAIT:
    case PW_TCP_TIME_WAIT:
    case PW_TCP_STATES:
        break;
    }
    return true;
}

/* SND.UNA < SEG.ACK <= the highest sent. */
static bool
ack_advances(struct pw_worker *w, struct pw_tcb *tcb, const struct pw_segment *seg)
{
    uint32_t n = seg->ack - tcb->snd_una;
    bool fin = pw_tcb_is(tcb, PW_TCB_FIN_SENT) && pw_seq_gt(seg->ack, tcb->snd_fin);
    bool fin_new = fin && pw_seq_leq(tcb->snd_una, tcb->snd_fin);
    uint32_t text = n - fin_new;

    tcb->snd_una = seg->ack;
    pw_snd_ack(&w->tcp.chunks, &tcb->snd, text);
    w->stat[PW_STAT_TCP_PAYLOAD_OUT] += text;
    if (pw_seq_lt(tcb->snd_nxt, tcb->snd_una)) {
        tcb->snd_nxt = tcb->snd_una; /* it had gone back after a timeout, or for a probe */
        pw_snd_rewind(&tcb->snd);
    }
    pw_tcp_acked(w, tcb, seg, n);
    pw_tcp_out_later(w, tcb);
    if (fin_new && !fin_acked(w, tcb)) {
        return false;
    }
    const struct pw_tcp_cfg *cfg = &w->tcp.cfg;

    /* Not for every freed chunk: the application refills half a buffer at a time. */
    if (pw_tcb_is(tcb, PW_TCB_WANT_WRITE) && pw_tcb_is(tcb, PW_TCB_APP) &&
        tcb->snd.bytes <= cfg->snd_buf_bytes_max / 2) {
        pw_tcb_flag_clear(tcb, PW_TCB_WANT_WRITE);
        w->tcp.app.writable(tcb->stream.user, w->now_tsc);
    }
    return tcb->state != PW_TCP_CLOSED;
}

static bool
ack_arrives(struct pw_worker *w, struct pw_tcb *tcb, const struct pw_segment *seg)
{
    if (tcb->state == PW_TCP_SYN_RECEIVED && !establish(w, tcb, seg)) {
        return false;
    }
    /* RFC 5961 5.2 (RFC 9293 3.10.7.4): neither ahead of what we sent nor older than a window. */
    if (pw_seq_gt(seg->ack, tcb->snd_max) || pw_seq_lt(seg->ack, tcb->snd_una - tcb->snd_wnd_max)) {
        pw_worker_drop(w, PW_DROP_TCP_BAD_ACK);
        pw_tcp_challenge_ack(w, tcb);
        return false;
    }
    uint32_t wnd_before = tcb->snd_wnd;
    bool newer = pw_seq_lt(tcb->snd_wl1, seg->seq) ||
                 (tcb->snd_wl1 == seg->seq && pw_seq_leq(tcb->snd_wl2, seg->ack));

    if (pw_seq_geq(seg->ack, tcb->snd_una) && newer) {
        window_take(tcb, seg);
    }
    if (pw_tcb_is(tcb, PW_TCB_PERSIST)) {
        tcb->una_tick = (uint32_t)w->now_tick;
        tcb->retries = 0; /* it is alive: RFC 9293 3.8.6.1 forbids giving up */
    }
    bool news = seg->opt.sack_count != 0 && pw_sack_take(w, tcb, seg);

    if (pw_seq_gt(seg->ack, tcb->snd_una)) {
        return ack_advances(w, tcb, seg);
    }
    if (tcb->snd_wnd != wnd_before) {
        pw_tcp_out_later(w, tcb);
    }
    if (pw_tcb_is(tcb, PW_TCB_SACK)) {
        if (news) {
            pw_tcp_dupack(w, tcb); /* RFC 6675 2 */
        }
    } else if (tcb->snd_wnd == wnd_before && seg->ack == tcb->snd_una && seg->len == 0 &&
               tcb->snd_una != tcb->snd_max && (seg->flags & PW_TCP_FIN) == 0 &&
               !pw_tcb_is(tcb, PW_TCB_PERSIST)) {
        pw_tcp_dupack(w, tcb); /* RFC 5681 2 (a)-(e) */
    }
    return true;
}

/* --- seventh: the segment text (sixth, URG, is ignored: RFC 6093 advises against its use) --- */

/* Gives m up. False: the application ended the connection in it. */
static bool
deliver(struct pw_worker *w, struct pw_tcb *tcb, struct rte_mbuf *m)
{
    uint32_t n = m->data_len;

    tcb->rx_held_app += m->buf_len;
    tcb->rcv_nxt += n;
    if (pw_seq_gt(tcb->rcv_nxt, tcb->rcv_adv)) {
        tcb->rcv_adv = tcb->rcv_nxt;
    }
    w->stat[PW_STAT_TCP_PAYLOAD_IN] += n;
    w->tcp.app.input(tcb->stream.user, m, w->now_tsc);
    return tcb->state != PW_TCP_CLOSED;
}

/* What lies outside the window goes: text we have in front, text we cannot take behind. */
static void
trim_to_window(struct pw_tcb *tcb, struct pw_segment *seg)
{
    if (pw_seq_lt(seg->seq, tcb->rcv_nxt)) {
        uint32_t known = tcb->rcv_nxt - seg->seq;

        known = known < seg->len ? known : seg->len;
        pw_tcp_dsack_note(tcb, seg->seq, seg->seq + known);
        (void)rte_pktmbuf_adj(seg->m, (uint16_t)known);
        seg->seq += known;
        seg->len -= known;
    }
    uint32_t room = tcb->rcv_adv - seg->seq;

    if (seg->len > room) {
        seg->len = room;
        seg->m->data_len = (uint16_t)room;
        seg->m->pkt_len = room;
        seg->flags = (uint8_t)(seg->flags & ~PW_TCP_FIN);
    }
}

static bool
text_in_order(struct pw_worker *w, struct pw_tcb *tcb, struct pw_segment *seg)
{
    bool hole_before = tcb->ooo != NULL;
    struct rte_mbuf *m = seg->m;

    if (!pw_tcp_rx_admit(w, tcb, m->buf_len)) {
        pw_worker_drop(w, PW_DROP_TCP_RX_FULL);
        pw_tcb_flag_set(tcb, PW_TCB_ACK_NOW);
        seg->flags = (uint8_t)(seg->flags & ~PW_TCP_FIN);
        return true;
    }
    seg->m = NULL;
    if (!deliver(w, tcb, m)) {
        return false;
    }
    while ((m = pw_tcp_ooo_take(w, tcb)) != NULL) { /* bound: PW_TCP_OOO_SEGMENTS_MAX */
        if (!deliver(w, tcb, m)) {
            return false;
        }
    }
    /* The share of a connection that was idle grows with its first text. */
    if (pw_tcb_rcv_wnd(tcb) < 2U * w->tcp.mss) {
        pw_tcp_rx_settle(w, tcb);
        pw_tcp_rx_reopen(w, tcb);
    }
    if (hole_before) { /* RFC 5681 4.2: at once when a segment fills a gap */
        pw_tcb_flag_set(tcb, PW_TCB_ACK_NOW);
    }
    tcb->ack_segs = (uint8_t)(tcb->ack_segs < UINT8_MAX ? tcb->ack_segs + 1 : UINT8_MAX);
    pw_tcb_flag_set(tcb, (seg->flags & PW_TCP_PSH) != 0 ? PW_TCB_ACK_LATER | PW_TCB_ACK_SOON
                                                        : PW_TCB_ACK_LATER);
    return true;
}

static bool
text_arrives(struct pw_worker *w, struct pw_tcb *tcb, struct pw_segment *seg)
{
    if (!pw_tcp_state_receives(tcb->state)) {
        pw_worker_drop(w, PW_DROP_TCP_AFTER_CLOSE); /* 3.10.7.4: ignore, the peer sent FIN before */
        return true;
    }
    trim_to_window(tcb, seg);
    if (seg->len == 0) {
        return true;
    }
    if (tcb->state == PW_TCP_FIN_WAIT_2) { /* the peer still talks */
        pw_timer_arm(&w->tcp.wheel, &tcb->timer, w->now_tick + w->tcp.cfg.fin_wait_2_ms);
    }
    pw_tcp_out_later(w, tcb);
    if (seg->seq == tcb->rcv_nxt) {
        return text_in_order(w, tcb, seg);
    }
    /* RFC 5681 4.2: at once, one per segment, for the sender counts them. With SACK it counts what the blocks
     * say (RFC 6675 2): while one run grows, one ACK for all segments of a burst says as much. */
    if (pw_tcp_ooo_put(w, tcb, seg) && pw_tcb_is(tcb, PW_TCB_SACK)) {
        pw_tcb_flag_set(tcb, PW_TCB_ACK_NOW);
    } else {
        pw_tcp_ack_send(w, tcb);
    }
    return true;
}

/* --- eighth: FIN --- */

static void
fin_in_order(struct pw_worker *w, struct pw_tcb *tcb)
{
    tcb->rcv_nxt++;
    tcb->rcv_adv = pw_seq_max(tcb->rcv_adv, tcb->rcv_nxt);
    pw_tcb_flag_set(tcb, PW_TCB_ACK_NOW);
    pw_tcp_out_later(w, tcb);
    switch ((enum pw_tcp_state)tcb->state) {
    case PW_TCP_ESTABLISHED:
        pw_tcp_state_set(w, tcb, PW_TCP_CLOSE_WAIT);
        w->tcp.app.fin(tcb->stream.user, w->now_tsc);
        break;
    case PW_TCP_FIN_WAIT_1: /* our FIN is not acknowledged, or we would be in FIN_WAIT_2 */
        pw_tcp_state_set(w, tcb, PW_TCP_CLOSING);
        w->tcp.app.fin(tcb->stream.user, w->now_tsc);
        break;
    case PW_TCP_FIN_WAIT_2:
        enter_time_wait(w, tcb);
        break;
    case PW_TCP_CLOSED:
    case PW_TCP_SYN_RECEIVED:
    case PW_TCP_CLOSE_WAIT:
    case PW_TCP_CLOSING:
    case PW_TCP_LAST_ACK:
    case PW_TCP_TIME_WAIT:
    case PW_TCP_STATES:
        PW_INVARIANT(false); /* fin_arrives lets only receiving states through */
    }
}

static void
fin_arrives(struct pw_worker *w, struct pw_tcb *tcb, const struct pw_segment *seg)
{
    if (!pw_tcp_state_receives(tcb->state)) {
        return; /* the FIN was processed before: "remain in the state" */
    }
    if ((seg->flags & PW_TCP_FIN) != 0 && !pw_tcb_is(tcb, PW_TCB_FIN_KNOWN)) {
        pw_tcb_flag_set(tcb, PW_TCB_FIN_KNOWN);
        tcb->rcv_fin = seg->seq + seg->len;
    }
    if (!pw_tcb_is(tcb, PW_TCB_FIN_KNOWN)) {
        return;
    }
    if (tcb->rcv_fin == tcb->rcv_nxt) {
        fin_in_order(w, tcb);
        return;
    }
    if ((seg->flags & PW_TCP_FIN) != 0 && seg->len == 0) { /* as text out of order had its ACK */
        pw_tcb_flag_set(tcb, PW_TCB_ACK_NOW);
        pw_tcp_out_later(w, tcb);
    }
    if (pw_seq_lt(tcb->rcv_fin, tcb->rcv_nxt)) {
        pw_tcb_flag_clear(tcb, PW_TCB_FIN_KNOWN); /* text lies behind that FIN: it was a lie */
    }
}

/* --- 3.10.7 --- */

/* RFC 9293 3.10.7.4, fourth, TIME_WAIT, with RFC 6191: may this SYN start anew? */
static bool
new_incarnation(const struct pw_tcb *tcb, const struct pw_segment *seg)
{
    if (tcb->state != PW_TCP_TIME_WAIT ||
        (seg->flags & (PW_TCP_SYN | PW_TCP_ACK | PW_TCP_RST)) != PW_TCP_SYN) {
        return false;
    }
    /* RFC 6191 2: by the timestamp; where that is the same, or the old one had and this has none, by the
     * sequence number; a timestamp where there was none proves it new. */
    if (seg->opt.has_ts && (!pw_tcb_is(tcb, PW_TCB_TS) || seg->opt.ts_val != tcb->ts_recent)) {
        return !pw_tcb_is(tcb, PW_TCB_TS) || pw_seq_gt(seg->opt.ts_val, tcb->ts_recent);
    }
    return pw_seq_gt(seg->seq, tcb->rcv_nxt);
}

void
pw_tcp_segment_arrives(struct pw_worker *w, struct pw_tcb *tcb, struct pw_segment *seg)
{
    if (new_incarnation(tcb, seg)) {
        pw_tcp_close(w, tcb);
        pw_tcp_stranger(w, seg);
        return;
    }
    if (!timestamp_ok(w, tcb, seg) || !sequence_ok(w, tcb, seg)) {
        return;
    }
    if ((seg->flags & PW_TCP_RST) != 0) {
        rst_arrives(w, tcb, seg);
        return;
    }
    if ((seg->flags & PW_TCP_SYN) != 0) { /* RFC 5961 4.2: never a reset, for nobody can prove it */
        pw_worker_drop(w, PW_DROP_TCP_SYN_IN_STATE);
        pw_tcp_challenge_ack(w, tcb);
        return;
    }
    if ((seg->flags & PW_TCP_ACK) == 0) {
        pw_worker_drop(w, PW_DROP_TCP_NO_ACK_BIT);
        return;
    }
    tcb->heard = pw_worker_coarse_s(w);
    /* RFC 7323 4.3 (2); our own next segment echoes it. */
    if (seg->opt.has_ts && pw_seq_leq(seg->seq, tcb->last_ack_sent)) {
        tcb->ts_recent = seg->opt.ts_val;
    }
    pw_tcp_follow(w, tcb, seg);
    if (!ack_arrives(w, tcb, seg)) {
        return;
    }
    if (seg->len > 0 && !text_arrives(w, tcb, seg)) {
        return;
    }
    fin_arrives(w, tcb, seg);
}

void
pw_tcp_input_burst(struct pw_worker *w, struct pw_segment *seg, uint16_t n)
{
    struct pw_tcb *tcb[PW_BURST_MAX];

    PW_DCHECK(n <= PW_BURST_MAX);
    for (uint16_t i = 0; i < n; i++) {
        tcb[i] = pw_tcp_lookup(&w->tcp, &seg[i]);
        if (tcb[i] != NULL) {
            __builtin_prefetch(&tcb[i]->rcv_nxt);
            __builtin_prefetch(&tcb[i]->rx_held_ooo);
        }
    }
    for (uint16_t i = 0; i < n; i++) {
        /* An earlier segment of this burst may have opened the connection, or ended it and given
         * its memory to another. */
        if (tcb[i] == NULL || tcb[i]->state == PW_TCP_CLOSED || !pw_tcp_key_is(tcb[i], &seg[i])) {
            tcb[i] = pw_tcp_lookup(&w->tcp, &seg[i]);
        }
        if (tcb[i] != NULL) {
            pw_tcp_segment_arrives(w, tcb[i], &seg[i]);
        } else {
            pw_tcp_stranger(w, &seg[i]);
        }
        rte_pktmbuf_free(seg[i].m); /* NULL when it was taken */
    }
}
