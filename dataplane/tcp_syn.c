/* Segments without a connection (RFC 9293 3.10.7.1 CLOSED, 3.10.7.2 LISTEN), and the handshake up
 * to SYN,ACK. Half-open connections are bounded; behind that bound stand SYN cookies
 * (tcp_cookie.c). */
#include "dataplane/tcp_seq.h"
#include "dataplane/worker_priv.h"

/* --- initial sequence numbers: RFC 6528, ISN = M + F(4-tuple, key), M a 4 us clock --- */

static uint64_t
rotl(uint64_t x, uint32_t n)
{
    return x << n | x >> (64 - n);
}

static void
sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[0] = rotl(v[0], 32);
    v[2] += v[3];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[2] = rotl(v[2], 32);
}

/* SipHash-2-4 of the peer's address and both ports (our address is the worker's alone): RFC 6528 wants
 * a keyed function an observer of some ISNs cannot continue, which the table's hash is not. */
uint64_t
pw_tcp_sip(const uint64_t key[2], const uint64_t addr[2], uint32_t ports)
{
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575U, key[1] ^ 0x646f72616e646f6dU,
                     key[0] ^ 0x6c7967656e657261U, key[1] ^ 0x7465646279746573U};
    const uint64_t word[3] = {addr[0], addr[1], ports | 20ULL << 56}; /* the length comes last */

    for (uint32_t i = 0; i < 3; i++) {
        v[3] ^= word[i];
        sip_round(v);
        sip_round(v);
        v[0] ^= word[i];
    }
    v[2] ^= 0xFF;
    for (uint32_t i = 0; i < 4; i++) {
        sip_round(v);
    }
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint32_t
pw_tcp_isn(const struct pw_worker *w, const struct pw_segment *seg)
{
    uint32_t ports = ((uint32_t)seg->lport << 16) | seg->peer.port;
    uint32_t m = (uint32_t)(w->now_tsc / w->tcp.tsc_per_4us);
    uint64_t addr[2];

    memcpy(addr, seg->peer.ip, sizeof(addr));
    return m + (uint32_t)pw_tcp_sip(w->tcp.isn_key, addr, ports);
}

/* --- passive open --- */

static void
take_options(struct pw_worker *w, struct pw_tcb *tcb, const struct pw_segment *seg)
{
    uint32_t none = seg->v6 ? PW_TCP_MSS_DEFAULT_V6 : PW_TCP_MSS_DEFAULT;
    uint32_t mss = seg->opt.mss == 0 ? none : seg->opt.mss;
    uint32_t room = w->buf_bytes - RTE_PKTMBUF_HEADROOM - 14 - (seg->v6 ? 60 : 40);
    uint32_t most = pw_tcp_mss(&w->tcp, seg->v6);

    mss = mss < PW_TCP_MSS_MIN ? PW_TCP_MSS_MIN : mss;
    mss = mss < most ? mss : most;
    mss = mss < room ? mss : room;
    if (seg->opt.has_ts) { /* RFC 7323 3.2 */
        pw_tcb_flag_set(tcb, PW_TCB_TS);
        tcb->ts_recent = seg->opt.ts_val;
        mss -= PW_TCP_OPT_TS_BYTES; /* RFC 6691: the MSS does not count options */
    }
    tcb->mss = (uint16_t)mss;
    if (seg->opt.sack_ok) {
        pw_tcb_flag_set(tcb, PW_TCB_SACK);
    }
    if (seg->opt.has_wscale) { /* RFC 7323 2.2: both or neither */
        tcb->snd_wscale = seg->opt.wscale;
        tcb->rcv_wscale = PW_TCP_RCV_WSCALE;
    }
}

/* A connection in SYN_RECEIVED; NULL when all are in use. Nothing is sent. */
static struct pw_tcb *
half_open(struct pw_worker *w, struct pw_segment *seg, uint32_t irs, uint32_t iss)
{
    struct pw_tcb *tcb = pw_tcp_open(w, seg);

    if (tcb == NULL) {
        pw_worker_drop(w, PW_DROP_TCP_CONNS_FULL);
        return NULL;
    }
    tcb->irs = irs;
    tcb->rcv_nxt = irs + 1;
    tcb->rcv_adv = tcb->rcv_nxt;
    pw_tcp_rx_open(w, tcb);
    pw_tcp_state_set(w, tcb, PW_TCP_SYN_RECEIVED);
    pw_tcb_flag_set(tcb, PW_TCB_HALF_OPEN);
    w->tcp.half_open++;
    take_options(w, tcb, seg);
    tcb->iss = iss;
    tcb->snd_una = iss;
    tcb->snd_nxt = iss + 1;
    tcb->snd_max = tcb->snd_nxt;
    tcb->snd_wnd = seg->wnd;
    tcb->snd_wnd_max = seg->wnd;
    tcb->bare_tick = (uint32_t)w->now_tick - 1000;
    tcb->heard = pw_worker_coarse_s(w);
    pw_tcp_learn_peer(w, seg);
    pw_tcp_rto_arm(w, tcb);
    return tcb;
}

/* RFC 9293 3.10.7.2, third. */
static void
passive_open(struct pw_worker *w, struct pw_segment *seg)
{
    if (w->tcp.half_open >= w->tcp.cfg.syn_received_max) { /* RFC 4987 3.6 */
        pw_worker_drop(w, PW_DROP_TCP_SYN_FULL);
        pw_tcp_cookie_syn(w, seg);
        return;
    }
    struct pw_tcb *tcb = half_open(w, seg, seg->seq, pw_tcp_isn(w, seg));

    if (tcb != NULL) {
        tcb->rtt_seq = tcb->iss;
        tcb->rtt_tick = w->now_tick;
        pw_tcb_flag_set(tcb, PW_TCB_RTT_TIMING);
        pw_tcp_syn_ack_send(w, tcb);
    }
}

/* An ACK without a connection: the answer to a cookie of ours? True: it was, and is handled. */
static bool
cookie_open(struct pw_worker *w, struct pw_segment *seg)
{
    uint32_t irs = seg->seq - 1;
    uint32_t iss = seg->ack - 1;

    if ((seg->flags & (PW_TCP_SYN | PW_TCP_RST | PW_TCP_ACK)) != PW_TCP_ACK ||
        atomic_load_explicit(&w->draining, memory_order_relaxed) || !pw_tcp_cookie_check(w, seg)) {
        return false;
    }
    struct pw_tcb *tcb = half_open(w, seg, irs, iss);

    if (tcb != NULL) {
        w->stat[PW_STAT_TCP_COOKIES_TAKEN]++;
        pw_tcb_flag_set(tcb, PW_TCB_COOKIE);
        (void)pw_tcp_rx_window(w, tcb); /* the SYN,ACK offered no more than this */
        pw_tcp_segment_arrives(w, tcb, seg);
    }
    return tcb != NULL;
}

static bool
listening(const struct pw_tcp *t, uint16_t port)
{
    for (uint32_t i = 0; i < t->port_count; i++) { /* bound: PW_TCP_LISTEN_PORTS_MAX */
        if (t->port[i] == port) {
            return true;
        }
    }
    return false;
}

void
pw_tcp_stranger(struct pw_worker *w, struct pw_segment *seg)
{
    bool rst = (seg->flags & PW_TCP_RST) != 0;

    if (!listening(&w->tcp, seg->lport)) {
        pw_worker_drop(w, PW_DROP_TCP_NO_LISTENER);
        if (!rst) {
            pw_tcp_rst_reply(w, seg);
        }
        return;
    }
    /* First RST, second ACK, third SYN, fourth anything else. */
    if (rst || (seg->flags & (PW_TCP_ACK | PW_TCP_SYN)) == 0) {
        pw_worker_drop(w, PW_DROP_TCP_NO_CONNECTION);
        return;
    }
    if ((seg->flags & PW_TCP_ACK) != 0) {
        if (!cookie_open(w, seg)) {
            pw_worker_drop(w, PW_DROP_TCP_NO_CONNECTION);
            pw_tcp_rst_reply(w, seg);
        }
        return;
    }
    if (atomic_load_explicit(&w->draining, memory_order_relaxed)) {
        pw_worker_drop(w, PW_DROP_TCP_DRAINING);
        pw_tcp_rst_reply(w, seg);
        return;
    }
    passive_open(w, seg);
}
