/* What ICMP says about a connection: path MTU (RFC 1191, RFC 8201) and errors (RFC 1122 4.2.3.9). Anybody
 * can send ICMP, so nothing is believed that does not quote a number in flight (RFC 5927 4.1), and no
 * error ends a connection (RFC 5927 5.2): what is really unreachable runs into its timeouts. */
#include "dataplane/ip4.h"
#include "dataplane/ip6.h"
#include "dataplane/tcp_seq.h"
#include "dataplane/worker_priv.h"

enum {
    MTU_IP4_MIN = 576,   /* below, we let routers fragment instead: small segments cost us dearly */
    QUOTE_TCP_BYTES = 8, /* ports and sequence number: what every router quotes */
    UNREACH_FRAG_NEEDED = 4,
};

/* RFC 1191 7.1: from a router that does not say its MTU, the next lower one in use. */
static uint32_t
plateau(uint32_t quoted_total)
{
    static const uint16_t mtu[] = {8166, 4352, 2002, 1492, 1006};

    for (uint32_t i = 0; i < PW_ARRAY_LEN(mtu); i++) {
        if (mtu[i] < quoted_total) {
            return mtu[i];
        }
    }
    return MTU_IP4_MIN;
}

/* What is in flight goes again in smaller segments. No congestion: the window stays (RFC 1191 6.5). */
static void
send_again(struct pw_worker *w, struct pw_tcb *tcb)
{
    pw_tcb_flag_clear(tcb, PW_TCB_RTT_TIMING | PW_TCB_RECOVERY);
    pw_tcb_flag_set(tcb, PW_TCB_RTO_LOSS);
    tcb->snd_recover = tcb->snd_max;
    tcb->dupacks = 0;
    pw_sack_clear(w, tcb);
    tcb->snd_nxt = tcb->snd_una;
    pw_snd_rewind(&tcb->snd);
    pw_tcp_out_later(w, tcb);
}

bool
pw_tcp_mtu_lower(struct pw_tcb *tcb, uint32_t mtu)
{
    uint32_t least = tcb->v6 ? PW_IP6_MTU_MIN : MTU_IP4_MIN;
    uint32_t hdr = PW_TCP_HDR_BYTES;

    hdr += tcb->v6 ? PW_IP6_BYTES : PW_IP4_BYTES;
    hdr += pw_tcb_is(tcb, PW_TCB_TS) ? PW_TCP_OPT_TS_BYTES : 0;
    if (mtu < least) {
        pw_tcb_flag_set(tcb, PW_TCB_NO_DF);
        mtu = least;
    }
    if (mtu - hdr >= tcb->mss) {
        return false;
    }
    tcb->mss = (uint16_t)(mtu - hdr);
    return true;
}

void
pw_tcp_icmp(struct pw_worker *w, const struct pw_tcp_quote *q)
{
    struct pw_segment key = {.peer = q->peer, .lport = q->lport, .v6 = q->v6};

    key.hash = pw_tcp_hash(&w->tcp, &key);
    struct pw_tcb *tcb = pw_tcp_lookup(&w->tcp, &key);

    if (tcb == NULL || !pw_seq_in(q->seq, tcb->snd_una, tcb->snd_max)) {
        pw_worker_drop(w, PW_DROP_ICMP_STALE);
        return;
    }
    w->stat[PW_STAT_TCP_ICMP_IN]++;
    if (!q->too_big || tcb->state == PW_TCP_SYN_RECEIVED) {
        return;
    }
    bool df = !pw_tcb_is(tcb, PW_TCB_NO_DF);
    bool smaller = pw_tcp_mtu_lower(tcb, q->mtu == 0 ? plateau(q->total_bytes) : q->mtu);

    if (smaller || (df && pw_tcb_is(tcb, PW_TCB_NO_DF))) {
        w->stat[PW_STAT_TCP_MTU_REDUCED]++;
        send_again(w, tcb);
    }
}

void
pw_icmp4_error(struct pw_worker *w, const uint8_t *icmp, uint32_t len)
{
    const uint8_t *ip = icmp + 8;
    uint32_t left = len - 8;
    uint32_t ihl = left == 0 ? 0 : (uint32_t)(ip[0] & 0xF) * 4;
    struct pw_tcp_quote q = {.too_big = icmp[1] == UNREACH_FRAG_NEEDED};
    bool ours = left >= PW_IP4_BYTES && ip[0] >> 4 == 4 && ihl >= PW_IP4_BYTES &&
                left >= ihl + QUOTE_TCP_BYTES && pw_load_be32(ip + 12) == w->address;

    if (ours && ip[9] == PW_IP4_PROTO_UDP && q.too_big) {
        struct pw_udp_datagram d = {.port = pw_load_be16(ip + ihl + 2),
                                    .local_port = pw_load_be16(ip + ihl)};
        uint32_t mtu = pw_load_be16(icmp + 6);

        pw_ip6_map(d.ip, pw_load_be32(ip + 16));
        pw_udp_too_big(w, &d, mtu == 0 ? plateau(pw_load_be16(ip + 2)) : mtu);
        return;
    }
    if (!ours || ip[9] != PW_IP4_PROTO_TCP) {
        pw_worker_drop(w, PW_DROP_ICMP_STALE);
        return;
    }
    q.mtu = q.too_big ? pw_load_be16(icmp + 6) : 0;
    q.total_bytes = pw_load_be16(ip + 2);
    q.peer = (struct pw_peer_addr){.ip = {[10] = 0xFF, [11] = 0xFF}};
    memcpy(q.peer.ip + 12, ip + 16, 4);
    q.lport = pw_load_be16(ip + ihl);
    q.peer.port = pw_load_be16(ip + ihl + 2);
    q.seq = pw_load_be32(ip + ihl + 4);
    pw_tcp_icmp(w, &q);
}

void
pw_icmp6_error(struct pw_worker *w, const uint8_t *icmp, uint32_t len)
{
    const uint8_t *ip = icmp + 8;
    struct pw_tcp_quote q = {.v6 = true, .too_big = icmp[0] == PW_ICMP6_TOO_BIG};

    /* Our segments carry no extension headers: what quotes some is not ours. */
    bool ours = len >= 8U + PW_IP6_BYTES + QUOTE_TCP_BYTES && ip[0] >> 4 == 6 &&
                memcmp(ip + 8, w->ip6.address, 16) == 0;
    uint32_t mtu = pw_load_be32(icmp + 4);

    if (ours && ip[6] == PW_IP6_NEXT_UDP && q.too_big) {
        struct pw_udp_datagram d = {.port = pw_load_be16(ip + PW_IP6_BYTES + 2),
                                    .local_port = pw_load_be16(ip + PW_IP6_BYTES)};

        memcpy(d.ip, ip + 24, 16);
        pw_udp_too_big(w, &d, mtu < PW_IP6_MTU_MIN ? PW_IP6_MTU_MIN : mtu);
        return;
    }
    if (!ours || ip[6] != PW_IP6_NEXT_TCP) {
        pw_worker_drop(w, PW_DROP_ICMP_STALE);
        return;
    }

    q.mtu = mtu < PW_IP6_MTU_MIN ? PW_IP6_MTU_MIN : mtu; /* RFC 8201 4 */
    q.total_bytes = PW_IP6_BYTES + (uint32_t)pw_load_be16(ip + 4);
    memcpy(q.peer.ip, ip + 24, 16);
    q.lport = pw_load_be16(ip + PW_IP6_BYTES);
    q.peer.port = pw_load_be16(ip + PW_IP6_BYTES + 2);
    q.seq = pw_load_be32(ip + PW_IP6_BYTES + 4);
    pw_tcp_icmp(w, &q);
}
