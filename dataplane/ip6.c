#include "dataplane/ip6.h"

#include "dataplane/ip4.h"
#include "dataplane/worker_priv.h"

#include <rte_mbuf.h>

enum {
    ICMP6_BYTES_MIN = 8,
    HEADERS_BYTES = PW_ETHER_BYTES + PW_IP6_BYTES,
    OPTION_PAD1 = 0,
    OPTION_ACTION = 0xC0, /* RFC 8200 4.2: 00 is "skip over this option" */
};

bool
pw_ip6_same_net(const uint8_t a[16], const uint8_t b[16], uint8_t prefix_bits)
{
    uint32_t whole = prefix_bits / 8;
    uint32_t rest = prefix_bits % 8;

    if (memcmp(a, b, whole) != 0) {
        return false;
    }
    return rest == 0 || ((a[whole] ^ b[whole]) >> (8 - rest)) == 0;
}

void
pw_ip6_solicited_node(const uint8_t a[16], uint8_t out[16])
{
    static const uint8_t prefix[13] = {0xFF, 0x02, [11] = 0x01, [12] = 0xFF};

    memcpy(out, prefix, sizeof(prefix));
    memcpy(out + 13, a + 13, 3);
}

void
pw_ip6_multicast_mac(const uint8_t group[16], uint8_t mac[6])
{
    mac[0] = 0x33;
    mac[1] = 0x33;
    memcpy(mac + 2, group + 12, 4);
}

uint64_t
pw_ip6_pseudo(const uint8_t src[16], const uint8_t dst[16], uint8_t next, uint32_t len)
{
    uint64_t sum = pw_cksum_add(pw_cksum_add(0, src, 16), dst, 16);

    return sum + __builtin_bswap32(len) + __builtin_bswap32(next);
}

/* RFC 4291 2.5.2, 2.5.3, 2.7 and 2.5.5.2: none of these may be a source on a wire. "::" may, in
 * ICMPv6 alone (RFC 4861 7.1.1), where it is looked at again. An IPv4-mapped one would also be taken for
 * an IPv4 peer. */
static bool
source_ok(const struct pw_worker *w, const struct pw_ip6 *ip)
{
    static const uint8_t loopback[16] = {[15] = 1};
    static const uint8_t mapped[12] = {[10] = 0xFF, [11] = 0xFF};

    if (pw_ip6_multicast(ip->src) || pw_ip6_equal(ip->src, loopback) ||
        memcmp(ip->src, mapped, sizeof(mapped)) == 0 || pw_ip6_equal(ip->src, w->ip6.address)) {
        return false;
    }
    return !pw_ip6_unspecified(ip->src) || ip->next_header == PW_IP6_NEXT_ICMP6;
}

static bool
dest_ok(const struct pw_worker *w, const struct pw_ip6 *ip)
{
    static const uint8_t all_nodes[16] = {0xFF, 0x02, [15] = 1};

    if (pw_ip6_equal(ip->dst, w->ip6.address)) {
        return true;
    }
    return ip->next_header == PW_IP6_NEXT_ICMP6 &&
           (pw_ip6_equal(ip->dst, w->ip6.solicited) || pw_ip6_equal(ip->dst, all_nodes));
}

/* RFC 8200 4.2: every option must be one that may be skipped, for we know none but the paddings. */
static bool
options_skippable(const uint8_t *p, uint32_t n)
{
    uint32_t options = 0;

    for (uint32_t i = 0; i < n;) { /* bound: PW_IP6_OPTIONS_MAX, and n of Pad1 */
        if (p[i] == OPTION_PAD1) {
            i++;
            continue;
        }
        if (n - i < 2 || p[i + 1] > n - i - 2 || (p[i] & OPTION_ACTION) != 0 ||
            ++options > PW_IP6_OPTIONS_MAX) {
            return false;
        }
        i += 2U + p[i + 1];
    }
    return true;
}

/* One extension header of n bytes at p; why it is refused, or PW_DROP_COUNT. */
static enum pw_drop
judge_extension(uint8_t kind, const uint8_t *p, uint32_t n, bool first)
{
    if (kind == PW_IP6_NEXT_ROUTING) {
        /* RFC 8200 4.4: nothing is left to route to, then skip. RFC 5095: type 0 is dead in any case. */
        return p[2] == 0 || p[3] != 0 ? PW_DROP_IP6_ROUTING : PW_DROP_COUNT;
    }
    if (kind == PW_IP6_NEXT_HOP_BY_HOP && !first) { /* RFC 8200 4.3 */
        return PW_DROP_IP6_EXTENSION;
    }
    return options_skippable(p + 2, n - 2) ? PW_DROP_COUNT : PW_DROP_IP6_EXTENSION;
}

/* Moves *ip behind the extension headers (RFC 8200 4). Why it is refused, or PW_DROP_COUNT. */
static enum pw_drop
skip_extensions(const uint8_t *frame, struct pw_ip6 *ip)
{
    for (uint32_t i = 0; i <= PW_IP6_EXT_MAX; i++) {
        uint8_t kind = ip->next_header;
        const uint8_t *p = frame + ip->payload_off;

        if (kind == PW_IP6_NEXT_FRAGMENT) {
            return PW_DROP_IP6_FRAGMENT;
        }
        if (kind != PW_IP6_NEXT_HOP_BY_HOP && kind != PW_IP6_NEXT_DESTINATION &&
            kind != PW_IP6_NEXT_ROUTING) {
            return PW_DROP_COUNT;
        }
        uint32_t n = ip->payload_len < 8 ? 0 : ((uint32_t)p[1] + 1) * 8;

        if (i == PW_IP6_EXT_MAX || n == 0 || n > ip->payload_len) {
            return PW_DROP_IP6_EXTENSION;
        }
        enum pw_drop why = judge_extension(kind, p, n, i == 0);

        if (why != PW_DROP_COUNT) {
            return why;
        }
        ip->next_header = p[0];
        ip->payload_off += n;
        ip->payload_len -= n;
    }
    return PW_DROP_IP6_EXTENSION;
}

bool
pw_ip6_check(struct pw_worker *w, const struct rte_mbuf *m, struct pw_ip6 *ip)
{
    const uint8_t *frame = rte_pktmbuf_mtod(m, const uint8_t *);
    const uint8_t *p = frame + PW_ETHER_BYTES;
    uint32_t left = (uint32_t)m->data_len - PW_ETHER_BYTES;

    if (left < PW_IP6_BYTES) {
        pw_worker_drop(w, PW_DROP_IP6_SHORT);
        return false;
    }
    if (p[0] >> 4 != 6) {
        pw_worker_drop(w, PW_DROP_IP6_VERSION);
        return false;
    }
    *ip = (struct pw_ip6){
        .src = p + 8,
        .dst = p + 24,
        .payload_off = HEADERS_BYTES,
        .payload_len = pw_load_be16(p + 4), /* 0, a jumbogram or nothing, has no TCP in it for us */
        .next_header = p[6],
        .hop_limit = p[7],
    };
    if (ip->payload_len > left - PW_IP6_BYTES) {
        pw_worker_drop(w, PW_DROP_IP6_SHORT);
        return false;
    }
    enum pw_drop why = skip_extensions(frame, ip);

    if (why != PW_DROP_COUNT) {
        pw_worker_drop(w, why);
        return false;
    }
    if (!dest_ok(w, ip)) {
        pw_worker_drop(w, PW_DROP_IP6_NOT_OURS);
        return false;
    }
    if (!source_ok(w, ip)) {
        pw_worker_drop(w, PW_DROP_IP6_SOURCE);
        return false;
    }
    return true;
}

void
pw_ip6_put(uint8_t *dst, const struct pw_ip6 *ip)
{
    pw_store_be32(dst,
                  6U << 28); /* no traffic class, no flow label (RFC 6437 3: zero is allowed) */
    pw_store_be16(dst + 4, (uint16_t)ip->payload_len);
    dst[6] = ip->next_header;
    dst[7] = ip->hop_limit;
    memcpy(dst + 8, ip->src, 16);
    memcpy(dst + 24, ip->dst, 16);
}

struct rte_mbuf *
pw_icmp6_frame(struct pw_worker *w, const uint8_t mac[6], const uint8_t dst[16], uint8_t hop_limit,
               uint32_t n, uint8_t **body)
{
    struct rte_mbuf *m = pw_worker_frame(w);

    if (m == NULL) {
        return NULL;
    }
    uint8_t *p = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)(HEADERS_BYTES + n));

    if (p == NULL) { /* a jumbo echo from a buffer larger than ours */
        pw_worker_drop(w, PW_DROP_TX_NO_BUFFER);
        rte_pktmbuf_free(m);
        return NULL;
    }
    pw_ether_put(p, mac, w->mac, PW_ETHER_TYPE_IP6);
    pw_ip6_put(p + PW_ETHER_BYTES, &(struct pw_ip6){.src = w->ip6.address,
                                                    .dst = dst,
                                                    .payload_len = n,
                                                    .next_header = PW_IP6_NEXT_ICMP6,
                                                    .hop_limit = hop_limit});
    *body = p + HEADERS_BYTES;
    return m;
}

void
pw_icmp6_send(struct pw_worker *w, struct rte_mbuf *m, uint32_t n)
{
    uint8_t *ip = rte_pktmbuf_mtod_offset(m, uint8_t *, PW_ETHER_BYTES);
    uint64_t pseudo = pw_ip6_pseudo(ip + 8, ip + 24, PW_IP6_NEXT_ICMP6, n);
    uint16_t sum = (uint16_t)~pw_cksum_fold(pw_cksum_add(pseudo, ip + PW_IP6_BYTES, n));

    memcpy(ip + PW_IP6_BYTES + 2, &sum, 2);
    pw_worker_send(w, m);
}

static void
echo_reply(struct pw_worker *w, const uint8_t *frame, const struct pw_ip6 *ip)
{
    uint8_t *out;
    struct rte_mbuf *r =
        pw_icmp6_frame(w, frame + 6, ip->src, PW_IP6_HOP_LIMIT, ip->payload_len, &out);

    if (r == NULL) {
        return;
    }
    pw_neigh6_learn(&w->neigh6, ip->src, frame + 6, w->now_tick);
    memcpy(out, frame + ip->payload_off, ip->payload_len);
    out[0] = PW_ICMP6_ECHO_REPLY;
    memset(out + 2, 0, 2);
    pw_icmp6_send(w, r, ip->payload_len);
}

void
pw_icmp6_input(struct pw_worker *w, const struct rte_mbuf *m, const struct pw_ip6 *ip)
{
    const uint8_t *frame = rte_pktmbuf_mtod(m, const uint8_t *);
    const uint8_t *icmp = frame + ip->payload_off;
    uint32_t n = ip->payload_len;

    if (n < ICMP6_BYTES_MIN ||
        pw_cksum_fold(pw_cksum_add(pw_ip6_pseudo(ip->src, ip->dst, PW_IP6_NEXT_ICMP6, n), icmp,
                                   n)) != 0xFFFF) {
        pw_worker_drop(w, PW_DROP_ICMP6_BAD);
        return;
    }
    if (icmp[0] == PW_ICMP6_NEIGHBOUR_SOLICIT || icmp[0] == PW_ICMP6_NEIGHBOUR_ADVERT) {
        pw_nd6_input(w, m, ip);
        return;
    }
    if ((icmp[0] == PW_ICMP6_UNREACHABLE || icmp[0] == PW_ICMP6_TOO_BIG) &&
        !pw_ip6_multicast(ip->dst)) {
        pw_icmp6_error(w, icmp, n);
        return;
    }
    /* RFC 4443 4.2: an echo to a group may be answered; one frame would then ask every host. */
    if (icmp[0] != PW_ICMP6_ECHO || !w->ip6.is_ours || pw_ip6_multicast(ip->dst) ||
        pw_ip6_unspecified(ip->src)) {
        pw_worker_drop(w, PW_DROP_ICMP6_IGNORED);
        return;
    }
    echo_reply(w, frame, ip);
}
