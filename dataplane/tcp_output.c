/* What leaves when: text, FIN, and the ACK that is due (as frames: tcp_segment.c). Nagle's algorithm is off: whoever writes here
 * writes whole answers.
 *
 * ACK policy (RFC 1122 4.2.3.2, RFC 5681 4.2). Input marks a connection; the flush after the burst
 * decides once: one ACK for all segments of a burst, at least every second segment, at once when
 * text came out of order or filled a hole (with SACK not while a burst makes one run of it longer). A single segment waits for delack_ms, or, when the peer
 * pushed and so probably waits for us, for PW_TCP_DELACK_PSH_MS: our answer usually comes earlier
 * and carries the ACK, and a peer that holds back a small write until we acknowledge is not held
 * for long. */
#include "dataplane/tcp_seq.h"
#include "dataplane/worker_priv.h"

enum { SACK_SENDS_MAX = 64 }; /* of one recovery in one flush */

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
    if (!pw_tcp_segment_send(w, tcb, tcb->snd_nxt, n, flags)) {
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
    if (pw_tcp_segment_send(w, tcb, fin, 0, PW_TCP_ACK | PW_TCP_FIN)) {
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
    if (n + fin > 0 &&
        pw_tcp_segment_send(w, tcb, seq, n, fin ? PW_TCP_ACK | PW_TCP_FIN : PW_TCP_ACK)) {
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
    if (pw_tcp_segment_send(w, tcb, tcb->snd_una, n, PW_TCP_ACK)) {
        w->stat[PW_STAT_TCP_PROBES_OUT]++;
        tcb->snd_max = pw_seq_max(tcb->snd_max, tcb->snd_una + n);
    }
    pw_snd_rewind(&tcb->snd);
}
