/* Path MTU over IPv6 (RFC 8201): routers do not fragment, so a smaller link on the way is told of by ICMPv6
 * Packet Too Big, or not at all. Over IPv4 we leave DF clear instead. */
#include "dataplane/ip6.h"
#include "dataplane/tcp_seq.h"
#include "dataplane/worker_priv.h"

enum { QUOTE_BYTES_MIN = PW_IP6_BYTES + 8 }; /* up to the sequence number */

/* The connection that sent what is quoted; NULL: none of ours, or a number that is not in flight, which
 * somebody who does not see our segments had to guess (RFC 5927 7.2). */
static struct pw_tcb *
quoted_connection(struct pw_worker *w, const uint8_t *quote, uint32_t n)
{
    const uint8_t *tcp = quote + PW_IP6_BYTES;

    /* We send no extension headers: TCP follows at once. */
    if (n < QUOTE_BYTES_MIN || quote[0] >> 4 != 6 || quote[6] != PW_IP6_NEXT_TCP ||
        !pw_ip6_equal(quote + 8, w->ip6.address)) {
        return NULL;
    }
    struct pw_segment seg = {
        .peer = {.port = pw_load_be16(tcp + 2)},
        .lport = pw_load_be16(tcp),
        .v6 = true,
        .seq = pw_load_be32(tcp + 4),
    };

    memcpy(seg.peer.ip, quote + 24, 16);
    seg.hash = pw_tcp_hash(&w->tcp, &seg);
    struct pw_tcb *tcb = pw_tcp_lookup(&w->tcp, &seg);
    bool in_flight =
        tcb != NULL && pw_seq_leq(tcb->snd_una, seg.seq) && pw_seq_lt(seg.seq, tcb->snd_max);

    return in_flight ? tcb : NULL;
}

/* What is in flight goes again in smaller pieces, now. No sign of congestion (RFC 8201 5.4): the window stays
 * as it is; that the MSS is smaller each time bounds what such messages can make us send. */
static void
send_again(struct pw_worker *w, struct pw_tcb *tcb)
{
    pw_tcb_flag_clear(tcb, PW_TCB_RTT_TIMING | PW_TCB_RECOVERY); /* RFC 6298 3: Karn */
    pw_tcb_flag_set(tcb, PW_TCB_RTO_LOSS); /* duplicates of what did arrive are no loss */
    tcb->dupacks = 0;
    tcb->snd_recover = tcb->snd_max;
    pw_sack_clear(w, tcb);
    tcb->snd_nxt = tcb->snd_una;
    pw_snd_rewind(&tcb->snd);
    pw_tcp_out_later(w, tcb);
}

bool
pw_tcp_too_big6(struct pw_worker *w, const uint8_t *quote, uint32_t n, uint32_t mtu)
{
    struct pw_tcb *tcb = quoted_connection(w, quote, n);

    if (tcb == NULL) {
        return false;
    }
    mtu = mtu < PW_IP6_MTU_MIN ? PW_IP6_MTU_MIN : mtu; /* RFC 8201 4: never below */
    uint32_t mss = mtu - PW_IP6_BYTES - PW_TCP_HDR_BYTES;

    mss -= pw_tcb_is(tcb, PW_TCB_TS) ? PW_TCP_OPT_TS_BYTES : 0;
    if (mss >= tcb->mss) {
        return false;
    }
    tcb->mss = (uint16_t)mss;
    w->stat[PW_STAT_TCP_MTU_REDUCED]++;
    if (tcb->snd.bytes != 0) {
        send_again(w, tcb);
    }
    return true;
}
