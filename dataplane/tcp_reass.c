/* Receive memory. A connection holds rx_reserved bytes of the worker's budget. They stand behind
 * what the application holds, what waits out of order, and the window that was offered: a window is
 * never offered without buffers for it.
 *
 * How many buffer bytes a window of payload can take depends on the segments' sizes. Neighbours are
 * put together whenever they fit into one buffer (here, and by the application in its own queue),
 * so of two neighbours at least one buffer's room (buf_bytes less headroom and headers, 9/10 of it)
 * is payload: 20/9 buffer bytes a payload byte, rounded up to 9/4, plus one buffer at each end.
 *
 * A window of no more than a segment needs one buffer, while nothing is held: its pieces are put
 * together in the first one's. That is all an idle connection has when buffers are not plenty, and what
 * is kept for those still to come; a share grows when text comes.
 *
 * Out-of-order segments with holes between them do not obey that; they are taken only while they
 * fit into the reservation, and given up again when in-order text needs the room (RFC 9293 lets a
 * receiver drop what it has not acknowledged). */
#include "dataplane/buf.h"
#include "dataplane/tcp_seq.h"
#include "dataplane/worker_priv.h"

enum {
    COST_NUM = 9,
    COST_DEN = 4,
    SPARE_BUFS = 2,
    FRAME_HDR_MAX = 14 + 60 + 60, /* Ethernet, IPv4 or IPv6 with little, TCP */
};

static uint64_t
rx_cost(const struct pw_worker *w, uint64_t window)
{
    return window * COST_NUM / COST_DEN + SPARE_BUFS * (uint64_t)w->buf_bytes;
}

static uint32_t
held(const struct pw_tcb *tcb)
{
    return tcb->rx_held_app + tcb->rx_held_ooo;
}

/* What is kept for connections that are not open yet, a buffer each, so that none that only waits is
 * ever without: shares of the others grow out of the rest. No more than 5/8 of the budget. */
static uint64_t
kept_for_idle(const struct pw_worker *w)
{
    const struct pw_tcp *t = &w->tcp;
    uint64_t keep = (uint64_t)t->tcbs.free_count * w->buf_bytes;
    uint64_t most = t->cfg.rx_budget_bytes / 8 * 5;

    return keep < most ? keep : most;
}

/* Of the budget, what shares may still grow into. */
static uint64_t
growable(const struct pw_worker *w)
{
    uint64_t keep = kept_for_idle(w);

    return w->tcp.rx_budget_free > keep ? w->tcp.rx_budget_free - keep : 0;
}

/* The share of a connection whose peer sends: generous while buffers are plenty. */
static uint32_t
base_share(const struct pw_worker *w)
{
    const struct pw_tcp *t = &w->tcp;

    return growable(w) > t->cfg.rx_budget_bytes / 8 ? t->cfg.rx_base_bytes
                                                    : t->cfg.rx_base_bytes_min;
}

/* Before the first text: a full share only where it is a trifle, else a buffer, which stands behind a
 * window of a segment (edge_allowed), or, when even that is not to be had, nothing: the connection
 * starts with a closed window, and the peer's probes open it once there are buffers. */
static uint32_t
first_share(const struct pw_worker *w)
{
    const struct pw_tcp *t = &w->tcp;
    /* A flood of SYNs may set aside a quarter of the budget in full shares, no more. */
    bool flood = (uint64_t)(t->half_open + 1) * t->cfg.rx_base_bytes > t->cfg.rx_budget_bytes / 4;
    uint64_t low = (t->cfg.rx_budget_bytes - kept_for_idle(w)) / 2;

    return !flood && growable(w) > low ? t->cfg.rx_base_bytes : w->buf_bytes;
}

void
pw_tcp_rx_open(struct pw_worker *w, struct pw_tcb *tcb)
{
    struct pw_tcp *t = &w->tcp;
    uint32_t want = first_share(w);

    if (want > t->rx_budget_free) {
        w->stat[PW_STAT_TCP_RX_STARVED]++;
        want = 0;
    }
    t->rx_budget_free -= want;
    tcb->rx_reserved = want;
}

/* A window of one segment that one buffer stands behind: whatever sizes its pieces have, each fits
 * into the first's buffer, and is put there before the next comes. Rounded up to what the field can say:
 * with a byte less than its segment Linux sends nothing until its persist timer, 200 ms later. */
uint32_t
pw_tcp_rx_window_least(const struct pw_worker *w)
{
    uint32_t room = w->buf_bytes - RTE_PKTMBUF_HEADROOM - FRAME_HDR_MAX;
    uint32_t segment = (uint32_t)pw_align_up(w->tcp.mss, 1U << PW_TCP_RCV_WSCALE);

    return segment < room ? segment : room;
}

/* The window that the peer sees with the edge there. */
static uint32_t
seen(const struct pw_tcb *tcb, uint32_t edge)
{
    return (edge - tcb->rcv_nxt) >> tcb->rcv_wscale << tcb->rcv_wscale;
}

/* A peer that sees less than a segment of it waits (RFC 9293 3.8.6.2.1), if it is Linux for its persist
 * timer even when the window is not closed: however little is gained, it is told when there is one. */
static bool
frees_peer(const struct pw_worker *w, const struct pw_tcb *tcb, uint32_t edge)
{
    return seen(tcb, tcb->rcv_adv) < w->tcp.mss && seen(tcb, edge) >= w->tcp.mss;
}

/* What stands behind held text and the window offered. */
static uint64_t
committed(const struct pw_worker *w, const struct pw_tcb *tcb)
{
    uint32_t wnd = pw_tcb_rcv_wnd(tcb);

    if (held(tcb) == 0 && wnd <= pw_tcp_rx_window_least(w)) {
        return w->buf_bytes;
    }
    return held(tcb) + rx_cost(w, wnd);
}

/* Of room, what brings the share to want. */
static void
share_grow(struct pw_tcp *t, struct pw_tcb *tcb, uint64_t want, uint64_t room)
{
    if (want > tcb->rx_reserved) {
        uint64_t more = want - tcb->rx_reserved;

        more = more < room ? more : room;
        t->rx_budget_free -= more;
        tcb->rx_reserved += (uint32_t)more;
    }
}

void
pw_tcp_rx_settle(struct pw_worker *w, struct pw_tcb *tcb)
{
    struct pw_tcp *t = &w->tcp;
    bool text_came = tcb->rcv_nxt != tcb->irs + 1;
    uint32_t base = text_came ? base_share(w) : w->buf_bytes;
    uint32_t want = tcb->rx_admitted > base ? tcb->rx_admitted : base;

    if (want > tcb->rx_reserved) {
        share_grow(t, tcb, tcb->rx_admitted, t->rx_budget_free);
        if (t->rx_budget_free >= w->buf_bytes) { /* the first buffer, from what is kept for that */
            share_grow(t, tcb, w->buf_bytes, t->rx_budget_free);
        }
        share_grow(t, tcb, want, growable(w));
        return;
    }
    /* What is held and what was offered cannot be taken back. */
    uint64_t floor = committed(w, tcb);
    uint64_t keep = want > floor ? want : floor;

    if (keep < tcb->rx_reserved) {
        t->rx_budget_free += tcb->rx_reserved - keep;
        tcb->rx_reserved = (uint32_t)keep;
    }
}

int
pw_tcp_rx_reserve(struct pw_worker *w, struct pw_tcb *tcb, size_t bytes)
{
    struct pw_tcp *t = &w->tcp;
    /* The edge moves by segments (edge_step) and is rounded down twice, as it is reckoned and in the
     * field: with buffers for no more than the bytes, their end might stay behind a closed window. */
    uint64_t slack = w->tcp.mss + (2U << tcb->rcv_wscale);
    uint64_t want = bytes == 0 ? 0 : held(tcb) + rx_cost(w, bytes + slack);
    /* New requests leave an eighth to new connections: a refused request has an answer, a refused
     * connection has none. */
    uint64_t keep = tcb->rx_admitted == 0 ? t->cfg.rx_budget_bytes / 8 : 0;
    uint64_t free_bytes = t->rx_budget_free > keep ? t->rx_budget_free - keep : 0;

    if (bytes > t->cfg.rx_budget_bytes || want > UINT32_MAX ||
        want > tcb->rx_reserved + free_bytes) {
        w->stat[PW_STAT_TCP_RESERVE_FAILED]++;
        return PW_EAGAIN;
    }
    tcb->rx_admitted = (uint32_t)want;
    pw_tcp_rx_settle(w, tcb);
    pw_tcp_rx_reopen(w, tcb);
    return 0;
}

/* The right edge that buffers allow now; never left of what was offered. */
static uint32_t
edge_allowed(const struct pw_worker *w, const struct pw_tcb *tcb)
{
    uint64_t used = held(tcb) + SPARE_BUFS * (uint64_t)w->buf_bytes;
    uint64_t wnd = 0;

    if (tcb->rx_reserved > used) {
        wnd = (tcb->rx_reserved - used) * COST_DEN / COST_NUM;
    }
    if (held(tcb) == 0 && tcb->rx_reserved >= w->buf_bytes && wnd < pw_tcp_rx_window_least(w)) {
        wnd = pw_tcp_rx_window_least(w);
    }
    uint64_t max = w->tcp.cfg.rcv_wnd_max;
    uint64_t field_max = (uint64_t)UINT16_MAX << tcb->rcv_wscale;

    max = max < field_max ? max : field_max;
    wnd = wnd < max ? wnd : max;
    wnd = wnd >> tcb->rcv_wscale << tcb->rcv_wscale; /* what the field can say */
    return pw_seq_max(tcb->rcv_adv, tcb->rcv_nxt + (uint32_t)wnd);
}

/* RFC 9293 3.8.6.2.2: the edge moves when at least min(half of what there is room for, MSS) can be
 * had. Half of the room, not of the whole reservation: where buffers are held for an unfinished
 * request, the whole may never come free, and the peer would wait for us while we wait for it. */
static uint32_t
edge_step(const struct pw_worker *w, const struct pw_tcb *tcb, uint32_t edge, uint32_t segments)
{
    uint32_t half = (edge - tcb->rcv_nxt) / 2;
    uint32_t full = segments * w->tcp.mss;

    return half < full ? half : full;
}

uint32_t
pw_tcp_rx_window(struct pw_worker *w, struct pw_tcb *tcb)
{
    if (tcb->state != PW_TCP_SYN_RECEIVED && !pw_tcp_state_receives(tcb->state)) {
        return pw_tcb_rcv_wnd(tcb); /* after the peer's FIN nothing is set aside any more */
    }
    if (tcb->state != PW_TCP_SYN_RECEIVED) { /* half open: what pw_tcp_rx_open gave, no more */
        pw_tcp_rx_settle(w, tcb);
    }
    uint32_t edge = edge_allowed(w, tcb);
    uint32_t gain = edge - tcb->rcv_adv;

    if (gain != 0 && (gain >= edge_step(w, tcb, edge, 1) || frees_peer(w, tcb, edge))) {
        tcb->rcv_adv = edge;
    }
    return pw_tcb_rcv_wnd(tcb);
}

void
pw_tcp_rx_reopen(struct pw_worker *w, struct pw_tcb *tcb)
{
    uint32_t edge = edge_allowed(w, tcb);
    uint32_t gain = edge - tcb->rcv_adv;

    if (!pw_tcp_state_receives(tcb->state) || gain == 0 ||
        (gain < edge_step(w, tcb, edge, 2) && !frees_peer(w, tcb, edge))) {
        return;
    }
    /* A peer with window left is not waiting for this; the next answer may carry it. */
    bool starved = pw_tcb_rcv_wnd(tcb) < 2U * w->tcp.mss;

    pw_tcb_flag_set(tcb, starved ? PW_TCB_ACK_NOW : PW_TCB_ACK_LATER | PW_TCB_ACK_SOON);
    pw_tcp_out_later(w, tcb);
}

bool
pw_tcp_rx_admit(struct pw_worker *w, struct pw_tcb *tcb, uint32_t cost)
{
    while (held(tcb) + cost > tcb->rx_reserved && pw_tcp_ooo_evict(w, tcb) > 0) {
    }
    /* Or a piece of a one-buffer window, on its way into the buffer of the piece before. */
    return held(tcb) + cost <= tcb->rx_reserved ||
           (held(tcb) <= w->buf_bytes && tcb->rx_reserved >= w->buf_bytes);
}

bool
pw_tcp_ooo_fits(const struct pw_worker *w, const struct pw_tcb *tcb, uint32_t cost)
{
    uint64_t used = (uint64_t)held(tcb) + cost + SPARE_BUFS * (uint64_t)w->buf_bytes;

    return tcb->ooo_count < PW_TCP_OOO_SEGMENTS_MAX && used <= tcb->rx_reserved;
}
