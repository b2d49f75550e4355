#include "dataplane/ip4.h"

#include "dataplane/worker_priv.h"

#include <rte_mbuf.h>

enum { ICMP_ECHO_REPLY = 0, ICMP_UNREACHABLE = 3, ICMP_ECHO = 8, ICMP_BYTES_MIN = 8 };

static bool
source_ok(const struct pw_worker *w, uint32_t src)
{
    /* RFC 1122 3.2.1.3: none of these may be a source; answering them would amplify. */
    bool broadcast =
        src == UINT32_MAX || (w->net_mask < 0xFFFFFFFEU && src == (w->address | ~w->net_mask));

    return src >> 24 != 0 && src >> 24 != 127 && src >> 28 != 0xE && !broadcast &&
           src != w->address;
}

bool
pw_ip4_check(struct pw_worker *w, const struct rte_mbuf *m, struct pw_ip4 *ip)
{
    const uint8_t *p = rte_pktmbuf_mtod_offset(m, const uint8_t *, PW_ETHER_BYTES);
    uint32_t left = (uint32_t)m->data_len - PW_ETHER_BYTES;

    if (left < PW_IP4_BYTES) {
        pw_worker_drop(w, PW_DROP_IP4_SHORT);
        return false;
    }
    uint32_t ihl = (uint32_t)(p[0] & 0xF) * 4;
    uint32_t total = pw_load_be16(p + 2);

    if (p[0] >> 4 != 4 || ihl < PW_IP4_BYTES) {
        pw_worker_drop(w, PW_DROP_IP4_VERSION);
        return false;
    }
    if (ihl > left || total > left || total < ihl) {
        pw_worker_drop(w, PW_DROP_IP4_SHORT);
        return false;
    }
    bool trusted = w->rx_cksum_offload &&
                   (m->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) == RTE_MBUF_F_RX_IP_CKSUM_GOOD;

    if (!trusted && pw_cksum_fold(pw_cksum_add(0, p, ihl)) != 0xFFFF) {
        pw_worker_drop(w, PW_DROP_IP4_CHECKSUM);
        return false;
    }
    if ((pw_load_be16(p + 6) & 0x3FFF) != 0) { /* MF or an offset */
        pw_worker_drop(w, PW_DROP_IP4_FRAGMENT);
        return false;
    }
    *ip = (struct pw_ip4){
        .src = pw_load_be32(p + 12),
        .dst = pw_load_be32(p + 16),
        .payload_off = PW_ETHER_BYTES + ihl, /* options are skipped (RFC 1122 3.2.1.8 allows it) */
        .payload_len = total - ihl,
        .protocol = p[9],
    };
    if (ip->dst != w->address) {
        pw_worker_drop(w, PW_DROP_IP4_NOT_OURS);
        return false;
    }
    if (!source_ok(w, ip->src)) {
        pw_worker_drop(w, PW_DROP_IP4_SOURCE);
        return false;
    }
    return true;
}

void
pw_ip4_put(struct pw_worker *w, uint8_t *dst, const struct pw_ip4 *ip)
{
    /* Where DF is clear, ids must not repeat soon (RFC 6864 4.3). */
    uint16_t id = w->ip_id++;
    uint16_t total = (uint16_t)(PW_IP4_BYTES + ip->payload_len);
    uint16_t fragment = ip->df ? 0x4000 : 0;
    /* The checksum out of the values: reading back bytes that were just stored one by one waits for them. */
    uint64_t sum = 0x4500ULL + total + id + fragment + ((uint64_t)PW_IP4_TTL << 8 | ip->protocol) +
                   ip->src + ip->dst;

    dst[0] = 0x45;
    dst[1] = 0;
    pw_store_be16(dst + 2, total);
    pw_store_be16(dst + 4, id);
    pw_store_be16(dst + 6, fragment);
    dst[8] = PW_IP4_TTL;
    dst[9] = ip->protocol;
    memset(dst + 10, 0, 2);
    pw_store_be32(dst + 12, ip->src);
    pw_store_be32(dst + 16, ip->dst);
    if (!w->tx_cksum_offload) {
        pw_store_be16(dst + 10, (uint16_t)~pw_cksum_fold(sum));
    }
}

void
pw_icmp_input(struct pw_worker *w, const struct rte_mbuf *m, const struct pw_ip4 *ip)
{
    const uint8_t *frame = rte_pktmbuf_mtod(m, const uint8_t *);
    const uint8_t *icmp = frame + ip->payload_off;

    if (ip->payload_len < ICMP_BYTES_MIN ||
        pw_cksum_fold(pw_cksum_add(0, icmp, ip->payload_len)) != 0xFFFF) {
        pw_worker_drop(w, PW_DROP_ICMP_BAD);
        return;
    }
    if (icmp[0] == ICMP_UNREACHABLE) {
        pw_icmp4_error(w, icmp, ip->payload_len);
        return;
    }
    if (icmp[0] != ICMP_ECHO || !w->address_is_ours) {
        pw_worker_drop(w, PW_DROP_ICMP_IGNORED);
        return;
    }
    struct rte_mbuf *r = pw_worker_frame(w);
    uint32_t bytes = PW_ETHER_BYTES + PW_IP4_BYTES + ip->payload_len;

    if (r == NULL) {
        return;
    }
    uint8_t *out = (uint8_t *)rte_pktmbuf_append(r, (uint16_t)bytes);

    if (out == NULL) { /* a jumbo echo from a buffer larger than ours */
        pw_worker_drop(w, PW_DROP_TX_NO_BUFFER);
        rte_pktmbuf_free(r);
        return;
    }
    pw_neigh_learn(&w->neigh, ip->src, frame + 6, w->now_tick);
    pw_ether_put(out, frame + 6, w->mac, PW_ETHER_TYPE_IP4);
    pw_ip4_put(w, out + PW_ETHER_BYTES,
               &(struct pw_ip4){.src = ip->dst,
                                .dst = ip->src,
                                .payload_len = ip->payload_len,
                                .protocol = PW_IP4_PROTO_ICMP});
    r->l2_len = PW_ETHER_BYTES;
    r->l3_len = PW_IP4_BYTES;
    if (w->tx_cksum_offload) {
        r->ol_flags |= RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM;
    }
    uint8_t *reply = out + PW_ETHER_BYTES + PW_IP4_BYTES;

    memcpy(reply, icmp, ip->payload_len);
    reply[0] = ICMP_ECHO_REPLY;
    memset(reply + 2, 0, 2);
    uint16_t sum = (uint16_t)~pw_cksum_fold(pw_cksum_add(0, reply, ip->payload_len));

    memcpy(reply + 2, &sum, 2);
    pw_worker_send(w, r);
}
