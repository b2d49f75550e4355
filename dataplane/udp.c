#include "dataplane/udp.h"

#include "base/check.h"
#include "dataplane/ip4.h"
#include "dataplane/worker_priv.h"

#include <rte_mbuf.h>

enum { TX_KEPT_FREE = 128 }; /* places that datagrams leave to TCP */

int
pw_udp_bind_ctl(struct pw_worker *w, const struct pw_udp_user *u)
{
    if (w->udp.ctx != NULL) {
        return PW_EEXIST;
    }
    if (w->address == 0 || u->ctx == NULL || u->ports == 0) {
        return PW_EINVAL;
    }
    w->udp = *u;
    return 0;
}

void
pw_udp_input(struct pw_worker *w, struct rte_mbuf *m, const struct pw_ip4 *ip)
{
    uint8_t *frame = rte_pktmbuf_mtod(m, uint8_t *);
    const uint8_t *p = frame + ip->payload_off;

    if (ip->payload_len < PW_UDP_BYTES || pw_load_be16(p + 4) < PW_UDP_BYTES ||
        pw_load_be16(p + 4) > ip->payload_len) {
        pw_worker_drop(w, PW_DROP_UDP_SHORT);
        return;
    }
    const struct pw_udp_datagram d = {.ip = ip->src,
                                      .port = pw_load_be16(p),
                                      .local_port = pw_load_be16(p + 2),
                                      .bytes = frame + ip->payload_off + PW_UDP_BYTES,
                                      .len = (uint32_t)pw_load_be16(p + 4) - PW_UDP_BYTES};

    if (w->udp.ctx == NULL || d.local_port < w->udp.port ||
        d.local_port - w->udp.port >= w->udp.ports) {
        pw_worker_drop(w, PW_DROP_UDP_PORT);
        return;
    }
    w->stat[PW_STAT_UDP_IN]++;
    bool on_link = (ip->src & w->net_mask) == (w->address & w->net_mask);

    if (w->udp.input(w->udp.ctx, w, &d) && on_link) {
        pw_neigh_learn(&w->neigh, ip->src, frame + 6, w->now_tick);
    }
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

int
pw_udp_send(struct pw_worker *w, struct rte_mbuf *m, const struct pw_udp_datagram *d)
{
    uint8_t mac[6];
    int rc = pw_neigh_resolve(w, d->ip, mac);

    if (rc != 0) {
        pw_worker_drop(w, PW_DROP_UDP_NO_NEIGHBOUR);
        rte_pktmbuf_free(m);
        return rc;
    }
    uint8_t *p = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)(PW_UDP_HEADERS_BYTES + d->len));

    PW_INVARIANT(p != NULL); /* the caller was told how much room there is */
    pw_ether_put(p, mac, w->mac, PW_ETHER_TYPE_IP4);
    pw_ip4_put(w, p + PW_ETHER_BYTES,
               &(struct pw_ip4){.src = w->address,
                                .dst = d->ip,
                                .payload_len = PW_UDP_BYTES + d->len,
                                .protocol = PW_IP4_PROTO_UDP,
                                .df = true});
    m->l2_len = PW_ETHER_BYTES;
    m->l3_len = PW_IP4_BYTES;
    if (w->tx_cksum_offload) {
        m->ol_flags |= RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM;
    }
    p += PW_ETHER_BYTES + PW_IP4_BYTES;
    pw_store_be16(p, d->local_port);
    pw_store_be16(p + 2, d->port);
    pw_store_be16(p + 4, (uint16_t)(PW_UDP_BYTES + d->len));
    pw_store_be16(p + 6, 0);
    w->stat[PW_STAT_UDP_OUT]++;
    pw_worker_send(w, m);
    return 0;
}
