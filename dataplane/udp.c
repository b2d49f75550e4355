#include "dataplane/udp.h"

#include "base/check.h"
#include "dataplane/ip4.h"
#include "dataplane/ip6.h"
#include "dataplane/worker_priv.h"

#include <rte_mbuf.h>

enum { TX_KEPT_FREE = 128 }; /* places that datagrams leave to TCP */

int
pw_udp_bind_ctl(struct pw_worker *w, const struct pw_udp_user *u)
{
    if (w->udp.ctx != NULL) {
        return PW_EEXIST;
    }
    if ((w->address == 0 && !w->ip6.on) || u->ctx == NULL || u->ports == 0) {
        return PW_EINVAL;
    }
    w->udp = *u;
    return 0;
}

/* The len bytes at p are a datagram from d->ip. True: its sender is a neighbour worth remembering. */
static bool
deliver(struct pw_worker *w, uint8_t *p, uint32_t len, struct pw_udp_datagram *d)
{
    if (len < PW_UDP_BYTES || pw_load_be16(p + 4) < PW_UDP_BYTES || pw_load_be16(p + 4) > len) {
        pw_worker_drop(w, PW_DROP_UDP_SHORT);
        return false;
    }
    d->port = pw_load_be16(p);
    d->local_port = pw_load_be16(p + 2);
    d->bytes = p + PW_UDP_BYTES;
    d->len = (uint32_t)pw_load_be16(p + 4) - PW_UDP_BYTES;
    if (w->udp.ctx == NULL || d->local_port < w->udp.port ||
        d->local_port - w->udp.port >= w->udp.ports) {
        pw_worker_drop(w, PW_DROP_UDP_PORT);
        return false;
    }
    w->stat[PW_STAT_UDP_IN]++;
    return w->udp.input(w->udp.ctx, w, d);
}

void
pw_udp_input(struct pw_worker *w, struct rte_mbuf *m, const struct pw_ip4 *ip)
{
    uint8_t *frame = rte_pktmbuf_mtod(m, uint8_t *);
    bool on_link = (ip->src & w->net_mask) == (w->address & w->net_mask);
    struct pw_udp_datagram d;

    pw_ip6_map(d.ip, ip->src);
    if (deliver(w, frame + ip->payload_off, ip->payload_len, &d) && on_link) {
        pw_neigh_learn(&w->neigh, ip->src, frame + 6, w->now_tick);
    }
}

/* A checksum of zero would mean that there is none, which IPv6 does not allow (RFC 8200 8.1). */
static bool
checksum6_ok(const uint8_t *p, const struct pw_ip6 *ip)
{
    uint32_t n = ip->payload_len < PW_UDP_BYTES ? 0 : pw_load_be16(p + 4);

    if (n < PW_UDP_BYTES || n > ip->payload_len) {
        return true; /* to be refused for its length */
    }
    uint64_t pseudo = pw_ip6_pseudo(ip->src, ip->dst, PW_IP6_NEXT_UDP, n);

    return pw_load_be16(p + 6) != 0 && pw_cksum_fold(pw_cksum_add(pseudo, p, n)) == 0xFFFF;
}

void
pw_udp_input6(struct pw_worker *w, struct rte_mbuf *m, const struct pw_ip6 *ip)
{
    uint8_t *frame = rte_pktmbuf_mtod(m, uint8_t *);
    bool on_link = pw_ip6_same_net(ip->src, w->ip6.address, w->ip6.prefix);
    struct pw_udp_datagram d;

    if (!checksum6_ok(frame + ip->payload_off, ip)) {
        pw_worker_drop(w, PW_DROP_UDP_CHECKSUM);
        return;
    }
    memcpy(d.ip, ip->src, 16);
    if (deliver(w, frame + ip->payload_off, ip->payload_len, &d) && on_link) {
        pw_neigh6_learn(&w->neigh6, ip->src, frame + 6, w->now_tick);
    }
}

void
pw_udp_too_big(struct pw_worker *w, struct pw_udp_datagram *quoted, uint32_t ip_bytes)
{
    uint32_t headers = PW_UDP_BYTES;

    headers += pw_ip6_mapped(quoted->ip) ? PW_IP4_BYTES : PW_IP6_BYTES;
    if (w->udp.ctx == NULL || w->udp.too_big == NULL || quoted->local_port < w->udp.port ||
        quoted->local_port - w->udp.port >= w->udp.ports || ip_bytes < headers) {
        pw_worker_drop(w, PW_DROP_ICMP_STALE);
        return;
    }
    w->udp.too_big(w->udp.ctx, quoted, ip_bytes - headers);
}

struct rte_mbuf *
pw_udp_frame(struct pw_worker *w, uint8_t **payload, uint32_t *room)
{
    struct rte_mbuf *m = w->tx_count + TX_KEPT_FREE > PW_WORKER_TX_MAX ? NULL : pw_worker_frame(w);

    if (m != NULL) {
        *payload = rte_pktmbuf_mtod_offset(m, uint8_t *, PW_UDP_HEADERS_BYTES);
        *room = (uint32_t)rte_pktmbuf_tailroom(m) - PW_UDP_HEADERS_BYTES;
    }
    return m;
}

static void
udp_put(uint8_t *p, const struct pw_udp_datagram *d)
{
    pw_store_be16(p, d->local_port);
    pw_store_be16(p + 2, d->port);
    pw_store_be16(p + 4, (uint16_t)(PW_UDP_BYTES + d->len));
    pw_store_be16(p + 6, 0);
}

/* Headers in front of d->len bytes that the caller wrote. */
static void
put4(struct pw_worker *w, struct rte_mbuf *m, const struct pw_udp_datagram *d, const uint8_t mac[6])
{
    uint8_t *p = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)(PW_UDP_HEADERS_BYTES + d->len));

    PW_INVARIANT(p != NULL); /* the caller was told how much room there is */
    pw_ether_put(p, mac, w->mac, PW_ETHER_TYPE_IP4);
    pw_ip4_put(w, p + PW_ETHER_BYTES,
               &(struct pw_ip4){.src = w->address,
                                .dst = pw_load_be32(d->ip + 12),
                                .payload_len = PW_UDP_BYTES + d->len,
                                .protocol = PW_IP4_PROTO_UDP,
                                .df = true});
    m->l2_len = PW_ETHER_BYTES;
    m->l3_len = PW_IP4_BYTES;
    if (w->tx_cksum_offload) {
        m->ol_flags |= RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM;
    }
    udp_put(p + PW_ETHER_BYTES + PW_IP4_BYTES, d);
}

/* The longer header begins in the headroom. */
static void
put6(struct pw_worker *w, struct rte_mbuf *m, const struct pw_udp_datagram *d, const uint8_t mac[6])
{
    uint8_t *p = (uint8_t *)rte_pktmbuf_prepend(m, PW_IP6_BYTES - PW_IP4_BYTES);
    char *rest = rte_pktmbuf_append(m, (uint16_t)(PW_UDP_HEADERS_BYTES + d->len));
    const struct pw_ip6 ip = {.src = w->ip6.address,
                              .dst = d->ip,
                              .payload_len = PW_UDP_BYTES + d->len,
                              .next_header = PW_IP6_NEXT_UDP,
                              .hop_limit = PW_IP6_HOP_LIMIT};

    PW_INVARIANT(p != NULL && rest != NULL);
    pw_ether_put(p, mac, w->mac, PW_ETHER_TYPE_IP6);
    pw_ip6_put(p + PW_ETHER_BYTES, &ip);
    p += PW_ETHER_BYTES + PW_IP6_BYTES;
    udp_put(p, d);
    uint64_t pseudo = pw_ip6_pseudo(ip.src, ip.dst, PW_IP6_NEXT_UDP, ip.payload_len);
    uint16_t sum = (uint16_t)~pw_cksum_fold(pw_cksum_add(pseudo, p, ip.payload_len));

    sum = sum == 0 ? 0xFFFF : sum;
    memcpy(p + 6, &sum, 2);
}

/* PW_ENOENT also for a family that this port has no address of. */
static int
resolve(struct pw_worker *w, const uint8_t ip[16], uint8_t mac[6])
{
    if (pw_ip6_mapped(ip)) {
        return w->address == 0 ? PW_ENOENT : pw_neigh_resolve(w, pw_load_be32(ip + 12), mac);
    }
    return w->ip6.on ? pw_neigh6_resolve(w, ip, mac) : PW_ENOENT;
}

int
pw_udp_send(struct pw_worker *w, struct rte_mbuf *m, const struct pw_udp_datagram *d)
{
    uint8_t mac[6];
    int rc = resolve(w, d->ip, mac);

    if (rc != 0) {
        pw_worker_drop(w, PW_DROP_UDP_NO_NEIGHBOUR);
        rte_pktmbuf_free(m);
        return rc;
    }
    if (pw_ip6_mapped(d->ip)) {
        put4(w, m, d, mac);
    } else {
        put6(w, m, d, mac);
    }
    w->stat[PW_STAT_UDP_OUT]++;
    pw_worker_send(w, m);
    return 0;
}
