#include "dataplane/worker.h"

#include "dataplane/ip4.h"
#include "dataplane/ip6.h"
#include "dataplane/worker_priv.h"

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <inttypes.h>
#include <stdlib.h>

enum {
    TIMERS_PER_POLL_MAX = 64,
    REST_TICKS_MAX = 1000,
    STARVED_REST_US = 1000, /* between looks whether send buffers came back */
    /* Full bursts are followed by others in the same turn, as long as nothing made of them took long: where each turn
     * has a slice of somebody's work in it, one burst a turn would let the queue grow. */
    RX_BURSTS_MAX = 16,
    RX_US = 50,
};

static uint16_t
ethdev_rx(void *ctx, struct rte_mbuf **m, uint16_t n)
{
    const struct pw_worker *w = ctx;

    return rte_eth_rx_burst(w->port_id, w->queue_id, m, n);
}

static uint16_t
ethdev_tx(void *ctx, struct rte_mbuf **m, uint16_t n)
{
    const struct pw_worker *w = ctx;

    return rte_eth_tx_burst(w->port_id, w->queue_id, m, n);
}

static int
cfg_check(const struct pw_worker_cfg *cfg)
{
    bool mac_bad = pw_ether_multicast(cfg->mac);
    bool has_ip6 = !pw_ip6_unspecified(cfg->ip6_address);
    bool ip6_bad = pw_ip6_multicast(cfg->ip6_address) || cfg->ip6_prefix > 128;

    if (cfg->mempool == NULL || (cfg->ip4_address == 0 && !has_ip6) || cfg->ip4_prefix > 32 ||
        ip6_bad || mac_bad || cfg->clock.tsc_hz < 1000000 || cfg->app.accept == NULL) {
        return PW_EINVAL;
    }
    if (cfg->mtu != 0 && (cfg->mtu < 576 || cfg->mtu > 9000)) {
        return PW_ERANGE;
    }
    return has_ip6 && cfg->mtu != 0 && cfg->mtu < PW_IP6_MTU_MIN ? PW_ERANGE : 0;
}

static void
ip6_fill(struct pw_worker_ip6 *ip6, const struct pw_worker_cfg *cfg)
{
    memcpy(ip6->address, cfg->ip6_address, 16);
    memcpy(ip6->gateway, cfg->ip6_gateway, 16);
    pw_ip6_solicited_node(ip6->address, ip6->solicited);
    ip6->prefix = cfg->ip6_prefix;
    ip6->on = !pw_ip6_unspecified(cfg->ip6_address);
    ip6->is_ours = cfg->ip6_is_ours;
}

static void
worker_fill(struct pw_worker *w, const struct pw_worker_cfg *cfg, uint64_t now_tsc)
{
    if (cfg->io != NULL) {
        w->io = *cfg->io;
    } else {
        w->io = (struct pw_port_io){.ctx = w, .rx_burst = ethdev_rx, .tx_burst = ethdev_tx};
    }
    w->mempool = cfg->mempool;
    w->address = cfg->ip4_address;
    w->net_mask = cfg->ip4_prefix == 0 ? 0 : UINT32_MAX << (32 - cfg->ip4_prefix);
    w->gateway = cfg->ip4_gateway;
    ip6_fill(&w->ip6, cfg);
    w->mtu = cfg->mtu == 0 ? 1500 : cfg->mtu;
    memcpy(w->mac, cfg->mac, sizeof(w->mac));
    w->address_is_ours = cfg->address_is_ours;
    w->rx_cksum_offload = cfg->rx_cksum_offload;
    w->tx_cksum_offload = cfg->tx_cksum_offload;
    w->port_id = cfg->port_id;
    w->queue_id = cfg->queue_id;
    w->index = cfg->index;
    w->kind = cfg->kind == NULL ? "" : cfg->kind;
    w->buf_bytes = rte_pktmbuf_data_room_size(cfg->mempool);
    w->tsc_hz = cfg->clock.tsc_hz;
    w->tsc_per_tick = cfg->clock.tsc_hz / 1000;
    w->rx_tsc = pw_clock_us_to_tsc(&cfg->clock, RX_US);
    w->start_tsc = now_tsc;
    w->now_tsc = now_tsc;
}

struct pw_worker *
pw_worker_create_ctl(const struct pw_worker_cfg *cfg, uint64_t now_tsc, int *err)
{
    int rc = cfg_check(cfg);
    struct pw_worker *w = NULL;

    if (rc == 0) {
        w = aligned_alloc(64, pw_align_up(sizeof(*w), 64));
        rc = w == NULL ? PW_ENOMEM : 0;
    }
    if (rc == 0) {
        memset(w, 0, sizeof(*w));
        worker_fill(w, cfg, now_tsc);
        w->tcp.app = cfg->app;
        rc = pw_tcp_init_ctl(w, &cfg->tcp, cfg->secret);
    }
    if (rc != 0) {
        free(w);
        w = NULL;
    }
    if (err != NULL) {
        *err = rc;
    }
    return w;
}

const struct pw_trace *
pw_worker_trace(const struct pw_worker *w)
{
    return &w->trace;
}

int
pw_worker_listen_ctl(struct pw_worker *w, uint16_t port)
{
    struct pw_tcp *t = &w->tcp;

    for (uint32_t i = 0; i < t->port_count; i++) {
        if (t->port[i] == port) {
            return PW_EEXIST;
        }
    }
    if (t->port_count == PW_TCP_LISTEN_PORTS_MAX) {
        return PW_ENOSPC;
    }
    t->port[t->port_count++] = port;
    return 0;
}

struct rte_mbuf *
pw_worker_frame(struct pw_worker *w)
{
    struct rte_mbuf *m = rte_pktmbuf_alloc(w->mempool);

    if (m == NULL) {
        pw_worker_drop(w, PW_DROP_TX_NO_BUFFER);
    }
    return m;
}

/* Hands the port what it takes; the rest waits for the next poll. Returns frames taken. */
static uint32_t
tx_flush(struct pw_worker *w)
{
    uint32_t sent = 0;

    if (w->tx_count == 0) {
        return 0;
    }
    uint64_t bytes = 0;
    uint64_t t0 = pw_rdtsc();

    for (uint32_t i = 0; i < w->tx_count; i++) {
        bytes += w->tx[i]->pkt_len; /* before the port owns them */
    }
    /* All at once: over AF_XDP a call with more than the kernel's 32 frees buffers as it goes, and they are taken again
     * while they are in the cache. Some ports take a part of a long burst though they have room. */
    for (uint16_t took = PW_BURST_MAX; took >= PW_BURST_MAX && sent < w->tx_count; sent += took) {
        took = w->io.tx_burst(w->io.ctx, w->tx + sent, (uint16_t)(w->tx_count - sent));
    }
    w->poll_driver_tsc += pw_rdtsc() - t0;
    w->tx_count -= sent;
    memmove(w->tx, w->tx + sent, w->tx_count * sizeof(w->tx[0]));
    for (uint32_t i = 0; i < w->tx_count; i++) {
        bytes -= w->tx[i]->pkt_len;
    }
    w->stat[PW_STAT_TX_FRAMES] += sent;
    w->stat[PW_STAT_TX_BYTES] += bytes;
    return sent;
}

void
pw_worker_destroy_ctl(struct pw_worker *w)
{
    if (w == NULL) {
        return;
    }
    pw_tcp_fini_ctl(w);
    (void)tx_flush(w);
    for (uint32_t i = 0; i < w->tx_count; i++) {
        rte_pktmbuf_free(w->tx[i]);
    }
    free(w);
}

void
pw_worker_send(struct pw_worker *w, struct rte_mbuf *m)
{
    if (w->tx_count == PW_WORKER_TX_MAX) {
        (void)tx_flush(w);
    }
    if (w->tx_count == PW_WORKER_TX_MAX) {
        pw_worker_drop(w, PW_DROP_TX_FULL);
        rte_pktmbuf_free(m);
        return;
    }
    w->tx[w->tx_count++] = m;
}

static void
poll_begin(struct pw_worker *w, uint64_t now_tsc)
{
    PW_DCHECK(now_tsc >= w->now_tsc);
    w->now_tsc = now_tsc;
    w->now_tick = (now_tsc - w->start_tsc) / w->tsc_per_tick;
    w->poll_driver_tsc = 0;
}

/* An empty poll is the idle loop's time, not the driver's. */
static uint32_t
poll_end(struct pw_worker *w, uint32_t work)
{
    if (work != 0) {
        w->driver_tsc += w->poll_driver_tsc;
    }
    return work;
}

static bool
parse_ip4(struct pw_worker *w, struct rte_mbuf *m, struct pw_segment *seg)
{
    struct pw_ip4 ip;

    if (!pw_ip4_check(w, m, &ip)) {
        return false;
    }
    if (ip.protocol != PW_IP4_PROTO_TCP) {
        if (ip.protocol == PW_IP4_PROTO_UDP) {
            pw_udp_input(w, m, &ip);
        } else if (ip.protocol == PW_IP4_PROTO_ICMP) {
            pw_icmp_input(w, m, &ip);
        } else {
            pw_worker_drop(w, PW_DROP_IP4_PROTOCOL);
        }
        return false;
    }
    struct pw_tcp_l3 l3 = {
        .src = {[10] = 0xFF, [11] = 0xFF},
        .pseudo = pw_cksum_pseudo(ip.src, ip.dst, PW_IP4_PROTO_TCP, ip.payload_len),
        .off = ip.payload_off,
        .len = ip.payload_len,
    };

    pw_store_be32(l3.src + 12, ip.src);
    return pw_tcp_parse(w, m, &l3, seg);
}

static bool
parse_ip6(struct pw_worker *w, struct rte_mbuf *m, struct pw_segment *seg)
{
    struct pw_ip6 ip;

    if (!pw_ip6_check(w, m, &ip)) {
        return false;
    }
    if (ip.next_header != PW_IP6_NEXT_TCP) {
        if (ip.next_header == PW_IP6_NEXT_UDP) {
            pw_udp_input6(w, m, &ip);
        } else if (ip.next_header == PW_IP6_NEXT_ICMP6) {
            pw_icmp6_input(w, m, &ip);
        } else {
            pw_worker_drop(w, PW_DROP_IP6_PROTOCOL);
        }
        return false;
    }
    struct pw_tcp_l3 l3 = {
        .pseudo = pw_ip6_pseudo(ip.src, ip.dst, PW_IP6_NEXT_TCP, ip.payload_len),
        .off = ip.payload_off,
        .len = ip.payload_len,
        .v6 = true,
    };

    memcpy(l3.src, ip.src, 16);
    return pw_tcp_parse(w, m, &l3, seg);
}

/* Ethernet and IP. True: seg is a TCP segment in m. False: handled or counted, m is the caller's. */
static bool
parse_frame(struct pw_worker *w, struct rte_mbuf *m, struct pw_segment *seg)
{
    const uint8_t *p = rte_pktmbuf_mtod(m, const uint8_t *);

    if (m->nb_segs != 1) {
        pw_worker_drop(w, PW_DROP_ETHER_SEGMENTED);
        return false;
    }
    if (m->data_len < PW_ETHER_BYTES) {
        pw_worker_drop(w, PW_DROP_ETHER_SHORT);
        return false;
    }
    bool to_us = memcmp(p, w->mac, 6) == 0;
    uint16_t type = pw_load_be16(p + 12);

    if (to_us && type == PW_ETHER_TYPE_IP4 && w->address != 0) {
        return parse_ip4(w, m, seg);
    }
    /* ARP may be broadcast, neighbour discovery multicast; TCP over either is refused further down. */
    if (!to_us &&
        !((type == PW_ETHER_TYPE_ARP || type == PW_ETHER_TYPE_IP6) && pw_ether_multicast(p))) {
        pw_worker_drop(w, PW_DROP_ETHER_NOT_OURS);
        return false;
    }
    if (type == PW_ETHER_TYPE_IP6 && w->ip6.on) {
        return parse_ip6(w, m, seg);
    }
    if (type == PW_ETHER_TYPE_ARP && w->address != 0) {
        pw_arp_input(w, m);
        return false;
    }
    pw_worker_drop(w, PW_DROP_ETHER_TYPE);
    return false;
}

/* One burst, through TCP and to whoever is called with it. Frames taken. */
static uint16_t
rx_burst(struct pw_worker *w)
{
    struct rte_mbuf *m[PW_BURST_MAX];
    struct pw_segment seg[PW_BURST_MAX];
    uint16_t segs = 0;
    uint64_t t0 = pw_rdtsc();
    uint16_t n = w->io.rx_burst(w->io.ctx, m, PW_BURST_MAX);

    w->poll_driver_tsc += pw_rdtsc() - t0;
    for (uint16_t i = 0; i < n; i++) {
        rte_prefetch0(rte_pktmbuf_mtod(m[i], const void *));
    }
    for (uint16_t i = 0; i < n; i++) {
        w->stat[PW_STAT_RX_BYTES] += m[i]->pkt_len;
        if (parse_frame(w, m[i], &seg[segs])) {
            pw_tcp_prefetch_slot(&w->tcp, seg[segs].hash);
            segs++;
        } else {
            rte_pktmbuf_free(m[i]);
        }
    }
    w->stat[PW_STAT_RX_FRAMES] += n;
    pw_tcp_input_burst(w, seg, segs);
    return n;
}

uint32_t
pw_worker_poll_rx(void *ctx, uint64_t now_tsc)
{
    struct pw_worker *w = ctx;
    uint32_t n = 0, bursts = 0;
    uint16_t last;

    poll_begin(w, now_tsc);
    uint64_t from = pw_rdtsc();

    do { /* bound: RX_BURSTS_MAX */
        last = rx_burst(w);
        n += last;
    } while (last == PW_BURST_MAX && ++bursts < RX_BURSTS_MAX && pw_rdtsc() - from < w->rx_tsc);
    return poll_end(w, n);
}

uint32_t
pw_worker_poll_timers(void *ctx, uint64_t now_tsc)
{
    struct pw_worker *w = ctx;
    uint32_t work = 0;

    poll_begin(w, now_tsc);
    pw_timer_wheel_advance(&w->tcp.wheel, w->now_tick);
    while (work < TIMERS_PER_POLL_MAX) {
        struct pw_timer *t = pw_timer_wheel_pop(&w->tcp.wheel);

        if (t == NULL) {
            break;
        }
        pw_tcp_timer_expired(w, t);
        work++;
    }
    work += TAILQ_EMPTY(&w->tcp.starved) ? 0 : pw_tcp_starved_wake(w);
    work += pw_tcp_flush(w);
    work += w->udp.ctx == NULL ? 0 : w->udp.flush(w->udp.ctx, w);
    work += tx_flush(w);
    return poll_end(w, work);
}

uint32_t
pw_worker_rest_us(void *ctx)
{
    const struct pw_worker *w = ctx;
    uint64_t now = pw_rdtsc();

    if (w->tx_count > 0 || !TAILQ_EMPTY(&w->tcp.out)) {
        return 0;
    }
    if (!TAILQ_EMPTY(&w->tcp.starved)) {
        return STARVED_REST_US;
    }
    uint64_t tick = pw_timer_wheel_next(&w->tcp.wheel, REST_TICKS_MAX);
    uint64_t at = w->start_tsc + tick * w->tsc_per_tick;
    uint32_t rest = at <= now ? 0 : (uint32_t)((at - now) * 1000 / w->tsc_per_tick);
    uint32_t udp = w->udp.ctx == NULL ? UINT32_MAX : w->udp.rest_us(w->udp.ctx);

    return udp < rest ? udp : rest;
}

uint32_t
pw_worker_drain(struct pw_worker *w)
{
    atomic_store_explicit(&w->draining, true, memory_order_relaxed);
    return pw_worker_open_count(w);
}

uint32_t
pw_worker_open_count(const struct pw_worker *w)
{
    return w->tcp.open;
}

const uint64_t *
pw_worker_driver_tsc(const struct pw_worker *w)
{
    return &w->driver_tsc;
}
