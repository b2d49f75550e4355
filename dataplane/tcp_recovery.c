/* Retransmission: the timer (RFC 6298), what it finds (RFC 5681 3.1: back to snd_una, slow start),
 * and duplicate ACKs: with SACK by RFC 6675 (the board is in tcp_sack.c, what recovery sends in
 * tcp_output.c), without by RFC 6582. */
#include "dataplane/tcp_seq.h"
#include "dataplane/worker_priv.h"

enum { RTT_US_MAX = 120 * 1000 * 1000, BLACK_HOLE_RETRIES = 3 };
enum { LOSS_PROBES_MAX = 3, PTO_MS_MORE = 3 };

static void
rtt_sample(struct pw_worker *w, struct pw_tcb *tcb, uint64_t rtt_us)
{
    const struct pw_tcp_cfg *cfg = &w->tcp.cfg;
    uint32_t r = rtt_us > RTT_US_MAX ? RTT_US_MAX : (uint32_t)rtt_us;

    if (!pw_tcb_is(tcb, PW_TCB_RTT_KNOWN)) { /* RFC 6298 (2.2) */
        pw_tcb_flag_set(tcb, PW_TCB_RTT_KNOWN);
        tcb->srtt_us = r;
        tcb->rttvar_us = r / 2;
    } else { /* (2.3): alpha = 1/8, beta = 1/4, rttvar first */
        uint32_t delta = tcb->srtt_us > r ? tcb->srtt_us - r : r - tcb->srtt_us;

        tcb->rttvar_us = tcb->rttvar_us - tcb->rttvar_us / 4 + delta / 4;
        tcb->srtt_us = tcb->srtt_us - tcb->srtt_us / 8 + r / 8;
    }
    /* The clock's granularity G is a tick, 1 ms. */
    uint32_t var = 4 * tcb->rttvar_us > 1000 ? 4 * tcb->rttvar_us : 1000;
    uint32_t rto_ms = (tcb->srtt_us + var) / 1000;

    rto_ms = rto_ms > cfg->rto_ms_min ? rto_ms : cfg->rto_ms_min;      /* (2.4) */
    tcb->rto_ms = rto_ms < cfg->rto_ms_max ? rto_ms : cfg->rto_ms_max; /* (2.5) */
    tcb->backoff = 0;
}

bool
pw_tcp_pto_wanted(const struct pw_tcb *tcb)
{
    /* A single segment may be waiting for the peer's delayed ACK: that is the RTO's business. */
    return pw_tcb_is(tcb, PW_TCB_SACK) && pw_tcb_is(tcb, PW_TCB_RTT_KNOWN) &&
           !pw_tcb_is(tcb, PW_TCB_PERSIST | PW_TCB_RTO_LOSS) && tcb->retries == 0 &&
           tcb->loss_probes < LOSS_PROBES_MAX && tcb->snd_max - tcb->snd_una > tcb->mss;
}

void
pw_tcp_rto_arm(struct pw_worker *w, struct pw_tcb *tcb)
{
    uint32_t pto = 2 * (tcb->srtt_us / 1000) + PTO_MS_MORE; /* RFC 8985 7.2 */

    pw_tcb_flag_clear(tcb, PW_TCB_PTO);
    if (pto < tcb->rto_ms && pw_tcp_pto_wanted(tcb)) {
        pw_tcb_flag_set(tcb, PW_TCB_PTO);
        pw_timer_arm(&w->tcp.wheel, &tcb->timer, w->now_tick + pto);
        return;
    }
    uint64_t ms = (uint64_t)tcb->rto_ms << tcb->backoff;

    ms = ms < w->tcp.cfg.rto_ms_max ? ms : w->tcp.cfg.rto_ms_max;
    pw_timer_arm(&w->tcp.wheel, &tcb->timer, w->now_tick + ms);
}

static void
back_off(struct pw_worker *w, struct pw_tcb *tcb)
{
    /* RFC 6298 (5.5); the shift stops where rto_ms_max caps it anyway. */
    if (((uint64_t)tcb->rto_ms << tcb->backoff) < w->tcp.cfg.rto_ms_max) {
        tcb->backoff++;
    }
    tcb->retries++;
}

/* RFC 9293 3.8.3: R2 was reached. */
static void
give_up(struct pw_worker *w, struct pw_tcb *tcb)
{
    w->stat[PW_STAT_TCP_TIMEOUTS]++;
    if (tcb->state != PW_TCP_SYN_RECEIVED) {
        pw_tcp_rst_send(w, tcb);
    }
    pw_tcp_close(w, tcb);
}

static void
syn_received_expired(struct pw_worker *w, struct pw_tcb *tcb)
{
    if (tcb->retries >= w->tcp.cfg.syn_retries_max) {
        give_up(w, tcb);
        return;
    }
    back_off(w, tcb);
    w->stat[PW_STAT_TCP_RETRANSMITS]++;
    pw_tcb_flag_clear(tcb, PW_TCB_RTT_TIMING);
    pw_tcp_syn_ack_send(w, tcb);
    pw_tcp_rto_arm(w, tcb);
}

static void
recovery_begin(struct pw_worker *w, struct pw_tcb *tcb)
{
    w->stat[PW_STAT_TCP_FAST_RETRANSMITS]++;
    tcb->cc.ops->lost(&tcb->cc, tcb->mss, tcb->snd_max - tcb->snd_una);
    tcb->snd_recover = tcb->snd_max;
    pw_tcb_flag_set(tcb, PW_TCB_RECOVERY | PW_TCB_GUARDED);
    pw_tcb_flag_clear(tcb, PW_TCB_RESCUED);
    uint32_t n = pw_tcp_resend(w, tcb, tcb->snd_una, tcb->mss);

    if (tcb->board != NULL) {
        tcb->board->rxt = tcb->snd_una + n;
    } else {
        tcb->cc.cwnd += PW_TCP_DUPACKS * tcb->mss; /* RFC 5681 3.2 step 3: what left the network */
    }
    pw_tcp_rto_arm(w, tcb);
}

/* Two round trips without an ACK, and more than a segment in flight. With text above a hole the holes are
 * lost, those sent again included (RFC 8985 6.2: what was sent long before what arrived); without, the
 * last segment again makes the peer say what it has (RFC 8985 7.3). */
static void
probe_expired(struct pw_worker *w, struct pw_tcb *tcb)
{
    uint32_t flight = tcb->snd_max - tcb->snd_una;

    tcb->loss_probes++;
    w->stat[PW_STAT_TCP_LOSS_PROBES]++;
    if (tcb->board != NULL && tcb->board->count > 0) {
        tcb->board->timed = true;
        if (!pw_tcb_is(tcb, PW_TCB_RECOVERY)) {
            recovery_begin(w, tcb);
        } else {
            tcb->board->rxt = tcb->snd_una;
        }
        pw_tcp_out_later(w, tcb);
    } else {
        uint32_t n = flight < tcb->mss ? flight : tcb->mss;

        (void)pw_tcp_resend(w, tcb, tcb->snd_max - n, n);
        tcb->loss_probes = LOSS_PROBES_MAX; /* one, unless it is answered */
    }
    pw_tcp_rto_arm(w, tcb);
}

static void
retransmission_expired(struct pw_worker *w, struct pw_tcb *tcb)
{
    /* RFC 9293 3.8.3, 3.9.1 (the user timeout): whichever comes first. */
    if (tcb->retries >= w->tcp.cfg.retries_max ||
        (uint32_t)w->now_tick - tcb->una_tick >= w->tcp.cfg.user_timeout_ms) {
        give_up(w, tcb);
        return;
    }
    if (pw_tcb_is(tcb, PW_TCB_PERSIST)) {
        back_off(w, tcb);
        pw_tcp_probe_send(w, tcb);
        pw_tcp_rto_arm(w, tcb);
        return;
    }
    if (tcb->snd_una == tcb->snd_max) {
        return; /* everything was acknowledged meanwhile */
    }
    if (pw_tcb_is(tcb, PW_TCB_PTO)) {
        probe_expired(w, tcb);
        return;
    }
    w->stat[PW_STAT_TCP_RTO]++;
    if (tcb->retries == 0) { /* RFC 5681 3.1: ssthresh once for one loss */
        tcb->cc.ops->timeout(&tcb->cc, tcb->mss, tcb->snd_max - tcb->snd_una);
    } else {
        tcb->cc.cwnd = tcb->mss;
    }
    back_off(w, tcb);
    if (tcb->retries == BLACK_HOLE_RETRIES) { /* RFC 2923 2.1: nobody may say that it is too big */
        pw_tcb_flag_set(tcb, PW_TCB_NO_DF);
        if (tcb->v6) {
            (void)pw_tcp_mtu_lower(tcb, 0);
        }
    }
    pw_tcp_follow_others(w, tcb);
    tcb->dupacks = 0;
    pw_tcb_flag_clear(tcb, PW_TCB_RTT_TIMING | PW_TCB_RECOVERY); /* RFC 6298 3: Karn */
    pw_tcb_flag_set(tcb, PW_TCB_RTO_LOSS | PW_TCB_GUARDED);
    tcb->snd_recover = tcb->snd_max;
    pw_sack_clear(w, tcb); /* RFC 2018 8: the peer may have given it up */
    tcb->snd_nxt = tcb->snd_una;
    pw_snd_rewind(&tcb->snd);
    pw_tcp_output(w, tcb);
    /* No buffer for the frame, or the window closed while text was in flight: keep the timer. */
    if (!pw_timer_armed(&tcb->timer)) {
        pw_tcp_rto_arm(w, tcb);
    }
}

static void
main_expired(struct pw_worker *w, struct pw_tcb *tcb)
{
    switch ((enum pw_tcp_state)tcb->state) {
    case PW_TCP_SYN_RECEIVED:
        syn_received_expired(w, tcb);
        break;
    case PW_TCP_ESTABLISHED:
    case PW_TCP_CLOSE_WAIT:
    case PW_TCP_FIN_WAIT_1:
    case PW_TCP_CLOSING:
    case PW_TCP_LAST_ACK:
        retransmission_expired(w, tcb);
        break;
    case PW_TCP_FIN_WAIT_2:
        give_up(w, tcb);
        break;
    case PW_TCP_TIME_WAIT:
        pw_tcp_close(w, tcb); /* RFC 9293 3.10.8: the 2 MSL timeout */
        break;
    case PW_TCP_CLOSED:
    case PW_TCP_STATES:
        PW_INVARIANT(false);
    }
}

void
pw_tcp_keepalive_arm(struct pw_worker *w, struct pw_tcb *tcb, uint64_t ms)
{
    if (w->tcp.cfg.keepalive_idle_ms != 0) {
        pw_timer_arm(&w->tcp.wheel, &tcb->keepalive, w->now_tick + ms);
    }
}

/* RFC 9293 3.8.4: after so long without a sign from the peer it is asked for one. */
static void
keepalive_expired(struct pw_worker *w, struct pw_tcb *tcb)
{
    const struct pw_tcp_cfg *cfg = &w->tcp.cfg;
    uint64_t idle_ms = (uint64_t)(pw_worker_coarse_s(w) - tcb->heard) << 10;

    if (tcb->state != PW_TCP_ESTABLISHED && tcb->state != PW_TCP_CLOSE_WAIT) {
        return; /* closing has timers of its own */
    }
    if (idle_ms < cfg->keepalive_idle_ms || tcb->snd_una != tcb->snd_max) {
        tcb->keepalive_probes = 0;
        pw_tcp_keepalive_arm(
            w, tcb, cfg->keepalive_idle_ms - (idle_ms < cfg->keepalive_idle_ms ? idle_ms : 0));
        return;
    }
    if (tcb->keepalive_probes >= PW_TCP_KEEPALIVE_PROBES) {
        give_up(w, tcb);
        return;
    }
    tcb->keepalive_probes++;
    pw_tcp_keepalive_send(w, tcb);
    pw_tcp_keepalive_arm(w, tcb, cfg->keepalive_interval_ms);
}

void
pw_tcp_timer_expired(struct pw_worker *w, struct pw_timer *t)
{
    if (t->kind == PW_TCB_TIMER_KEEPALIVE) {
        keepalive_expired(
            w, (struct pw_tcb *)(void *)((uint8_t *)t - offsetof(struct pw_tcb, keepalive)));
        return;
    }
    if (t->kind == PW_TCB_TIMER_MAIN) {
        main_expired(w, (struct pw_tcb *)(void *)((uint8_t *)t - offsetof(struct pw_tcb, timer)));
        return;
    }
    struct pw_tcb *tcb = (struct pw_tcb *)(void *)((uint8_t *)t - offsetof(struct pw_tcb, delack));

    pw_tcb_flag_set(tcb, PW_TCB_ACK_NOW);
    pw_tcp_out_later(w, tcb);
}

static void
take_rtt(struct pw_worker *w, struct pw_tcb *tcb, const struct pw_segment *seg)
{
    if (pw_tcb_is(tcb, PW_TCB_COOKIE)) {
        pw_tcb_flag_clear(tcb, PW_TCB_COOKIE);
        return;
    }
    if (pw_tcb_is(tcb, PW_TCB_TS) && seg->opt.has_ts) { /* RFC 7323 4.1 */
        uint32_t now = (uint32_t)w->now_tick + w->tcp.ts_offset;
        uint32_t ticks = now - seg->opt.ts_ecr;

        if (pw_seq_leq(seg->opt.ts_ecr, now)) {
            rtt_sample(w, tcb, (uint64_t)ticks * 1000);
        }
        return;
    }
    if (pw_tcb_is(tcb, PW_TCB_RTT_TIMING) && pw_seq_gt(seg->ack, tcb->rtt_seq)) {
        pw_tcb_flag_clear(tcb, PW_TCB_RTT_TIMING);
        rtt_sample(w, tcb, (w->now_tick - tcb->rtt_tick) * 1000);
    }
}

/* RFC 6582 3.2 step 3 and RFC 6675 5: an ACK of new text while in recovery. */
static void
recovery_acked(struct pw_worker *w, struct pw_tcb *tcb, uint32_t n)
{
    uint32_t mss = tcb->mss;

    if (pw_seq_geq(tcb->snd_una, tcb->snd_recover)) {
        uint32_t flight = tcb->snd_max - tcb->snd_una;
        uint32_t after = (flight > mss ? flight : mss) + mss;

        pw_tcb_flag_clear(tcb, PW_TCB_RECOVERY);
        if (tcb->board == NULL && !pw_tcb_is(tcb, PW_TCB_SACK)) { /* no burst: step 3, option 1 */
            tcb->cc.cwnd = tcb->cc.ssthresh < after ? tcb->cc.ssthresh : after;
        }
        return;
    }
    if (tcb->board != NULL) {
        return; /* the flush sends what the pipe has room for */
    }
    /* A partial ACK names the next loss; the window shrinks by what left the network. */
    tcb->cc.cwnd = tcb->cc.cwnd > n + mss ? tcb->cc.cwnd - n : mss;
    tcb->cc.cwnd += n >= mss ? mss : 0;
    (void)pw_tcp_resend(w, tcb, tcb->snd_una, mss);
}

/* RFC 9438 5.8, RFC 7661: a window that was not used says nothing about the network. */
static bool
cwnd_limited(const struct pw_tcb *tcb, uint32_t n)
{
    uint64_t flight = (uint64_t)(tcb->snd_max - tcb->snd_una) + n;

    return tcb->cc.cwnd < tcb->cc.ssthresh ? 2 * flight >= tcb->cc.cwnd
                                           : flight + 2ULL * tcb->mss >= tcb->cc.cwnd;
}

void
pw_tcp_acked(struct pw_worker *w, struct pw_tcb *tcb, const struct pw_segment *seg, uint32_t n)
{
    take_rtt(w, tcb, seg);
    tcb->una_tick = (uint32_t)w->now_tick;
    tcb->loss_probes = 0;
    tcb->retries = 0;
    tcb->dupacks = 0;
    if (pw_tcb_is(tcb, PW_TCB_PERSIST)) {
        tcb->backoff = tcb->snd_wnd != 0 ? 0 : tcb->backoff; /* probes say nothing about losses */
        if (tcb->snd.bytes == 0) {
            pw_tcb_flag_clear(tcb,
                              PW_TCB_PERSIST); /* a FIN may be left, but no text to probe with */
        }
    }
    if (pw_tcb_is(tcb, PW_TCB_RTO_LOSS) && pw_seq_geq(tcb->snd_una, tcb->snd_recover)) {
        pw_tcb_flag_clear(tcb, PW_TCB_RTO_LOSS);
    }
    if (pw_seq_gt(tcb->snd_una, tcb->snd_recover)) {
        pw_tcb_flag_clear(tcb, PW_TCB_GUARDED);
    }
    if (pw_tcb_is(tcb, PW_TCB_RECOVERY)) {
        recovery_acked(w, tcb, n);
    } else if (cwnd_limited(tcb, n)) {
        tcb->cc.ops->acked(&tcb->cc, tcb->mss, n, w->now_tick, tcb->srtt_us / 1000);
    }
    pw_sack_trim(w, tcb);
    if (tcb->snd_una == tcb->snd_max) {
        pw_timer_cancel(&w->tcp.wheel, &tcb->timer); /* RFC 6298 (5.2) */
        pw_tcb_flag_clear(tcb, PW_TCB_PERSIST);
    } else {
        pw_tcp_rto_arm(w, tcb); /* (5.3) */
    }
}

void
pw_tcp_dupack(struct pw_worker *w, struct pw_tcb *tcb)
{
    pw_tcp_out_later(w, tcb); /* limited transmit, or what recovery may send */
    if (pw_tcb_is(tcb, PW_TCB_RECOVERY)) {
        if (tcb->board == NULL) {
            tcb->cc.cwnd += tcb->mss; /* RFC 5681 3.2 step 4 */
        }
        return;
    }
    tcb->dupacks = (uint8_t)(tcb->dupacks < UINT8_MAX ? tcb->dupacks + 1 : UINT8_MAX);
    if (tcb->loss_probes != 0 &&
        tcb->board != NULL) { /* a probe's answer names a hole: soon lost */
        tcb->loss_probes = 1;
        pw_tcp_rto_arm(w, tcb);
    }
    bool lost =
        tcb->dupacks >= PW_TCP_DUPACKS || (tcb->board != NULL && pw_sack_view_of(tcb).first_lost);

    /* RFC 6675 5.1: what a timeout sends again is not lost twice. RFC 6582 3.2 step 1: without SACK nobody can
     * tell the echo of what was sent again, by a timeout or in a recovery, from a loss: an ACK beyond it must
     * have come first. */
    bool echo = pw_tcb_is(tcb, PW_TCB_GUARDED) && !pw_tcb_is(tcb, PW_TCB_SACK);

    if (lost && !echo && !pw_tcb_is(tcb, PW_TCB_RTO_LOSS)) {
        recovery_begin(w, tcb);
    }
}
