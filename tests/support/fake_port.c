#include "tests/support/fake_port.h"

#include "dataplane/ether_arp.h"
#include "dataplane/ip4.h"
#include "dataplane/ip6.h"
#include "dataplane/tcp_tcb.h"

#include <rte_eal.h>
#include <rte_errno.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

const uint8_t pw_fake_our_mac[6] = {0x02, 0, 0, 0, 0, 0x01};
const uint8_t pw_fake_peer_mac[6] = {0x02, 0, 0, 0, 0, 0x02};

void
pw_fake_ip6(uint32_t ip4, uint8_t out[16])
{
    memset(out, 0, 16);
    out[0] = 0xFD;
    pw_store_be32(out + 12, ip4);
}

bool
pw_fake_eal_init(void)
{
    /* One lcore, on whatever CPU is free: tests run side by side. */
    char lcores[64];
    char prefix[64];
    char *argv[] = {"test",        "--no-huge",
                    "--no-pci",    "--no-telemetry",
                    "--no-shconf", "-m",
                    "256",         "--lcores",
                    lcores,        "--file-prefix",
                    prefix,        "--log-level=lib.eal:error",
                    NULL};

    snprintf(prefix, sizeof(prefix), "pwtest%d", (int)getpid());
    snprintf(lcores, sizeof(lcores), "(0)@(0-%ld)", sysconf(_SC_NPROCESSORS_ONLN) - 1);
    if (rte_eal_init((int)PW_ARRAY_LEN(argv) - 1, argv) < 0) {
        fprintf(stderr, "skip: EAL does not start here: %s\n", rte_strerror(rte_errno));
        return false;
    }
    return true;
}

static uint16_t
fake_rx_burst(void *ctx, struct rte_mbuf **m, uint16_t n)
{
    struct pw_fake_port *p = ctx;
    uint16_t took = (uint16_t)(p->rx_count < n ? p->rx_count : n);

    memcpy(m, p->rx, took * sizeof(m[0]));
    p->rx_count -= took;
    memmove(p->rx, p->rx + took, p->rx_count * sizeof(p->rx[0]));
    return took;
}

static uint16_t
fake_tx_burst(void *ctx, struct rte_mbuf **m, uint16_t n)
{
    struct pw_fake_port *p = ctx;
    uint16_t i = 0;

    for (; i < n && p->tx_room > 0 && p->tx_count < PW_FAKE_FRAMES_MAX; i++) {
        p->tx_tsc[p->tx_count] = p->now_tsc;
        p->tx[p->tx_count++] = m[i];
        p->tx_room -= p->tx_room != UINT32_MAX;
    }
    return i;
}

void
pw_fake_port_init(struct pw_fake_port *p, uint32_t mbufs)
{
    char name[32];

    memset(p, 0, sizeof(*p));
    snprintf(name, sizeof(name), "fake%p", (void *)p);
    p->pool = rte_pktmbuf_pool_create(name, mbufs, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    if (p->pool == NULL) {
        fprintf(stderr, "no mempool: %s\n", rte_strerror(rte_errno));
        exit(1);
    }
    p->io = (struct pw_port_io){.ctx = p, .rx_burst = fake_rx_burst, .tx_burst = fake_tx_burst};
    p->now_tsc = PW_FAKE_TSC_HZ;
    p->tx_room = UINT32_MAX;
}

uint32_t
pw_fake_port_fini(struct pw_fake_port *p)
{
    for (uint32_t i = 0; i < p->rx_count; i++) {
        rte_pktmbuf_free(p->rx[i]);
    }
    for (uint32_t i = 0; i < p->tx_count; i++) {
        rte_pktmbuf_free(p->tx[i]);
    }
    uint32_t held = rte_mempool_in_use_count(p->pool);

    rte_mempool_free(p->pool);
    return held;
}

static void *
refuse(void *ctx, struct pw_stream *s, uint64_t now_tsc)
{
    return NULL;
}

struct pw_worker_cfg
pw_fake_worker_cfg(struct pw_fake_port *p)
{
    struct pw_worker_cfg cfg = {
        .io = &p->io,
        .mempool = p->pool,
        .ip4_address = PW_FAKE_OUR_IP,
        .ip4_prefix = 24,
        .ip4_gateway = 0x0A0000FE,
        .address_is_ours = true,
        .ip6_prefix = 64,
        .ip6_is_ours = true,
        .clock = {.tsc_hz = PW_FAKE_TSC_HZ},
        .secret = "0123456789abcde",
        .tcp = {.conns_max = 256, .snd_pool_bytes = 4 << 20},
        .app = {.accept = refuse},
    };

    pw_fake_ip6(PW_FAKE_OUR_IP, cfg.ip6_address);
    pw_fake_ip6(0x0A0000FE, cfg.ip6_gateway);
    memcpy(cfg.mac, pw_fake_our_mac, 6);
    return cfg;
}

struct pw_worker *
pw_fake_worker_new(struct pw_fake_port *p, bool ip4_is_ours, bool ip6_is_ours)
{
    struct pw_worker_cfg cfg = pw_fake_worker_cfg(p);

    cfg.address_is_ours = ip4_is_ours;
    cfg.ip6_is_ours = ip6_is_ours;
    return pw_worker_create_ctl(&cfg, p->now_tsc, NULL);
}

int
pw_fake_worker_setup(void **state)
{
    struct pw_fake_worker *f = calloc(1, sizeof(*f));

    pw_fake_port_init(&f->port, 511);
    f->w = pw_fake_worker_new(&f->port, true, true);
    *state = f;
    return f->w == NULL;
}

int
pw_fake_worker_teardown(void **state)
{
    struct pw_fake_worker *f = *state;

    pw_worker_destroy_ctl(f->w);
    uint32_t held = pw_fake_port_fini(&f->port);

    free(f);
    return held != 0;
}

void
pw_fake_rx(struct pw_fake_port *p, struct rte_mbuf *m)
{
    if (p->rx_count == PW_FAKE_FRAMES_MAX) {
        abort();
    }
    p->rx[p->rx_count++] = m;
}

struct rte_mbuf *
pw_fake_frame(struct pw_fake_port *p, const void *bytes, uint32_t len)
{
    struct rte_mbuf *m = rte_pktmbuf_alloc(p->pool);

    if (m == NULL) {
        abort();
    }
    void *dst = rte_pktmbuf_append(m, (uint16_t)len);

    if (dst == NULL) {
        abort();
    }
    memcpy(dst, bytes, len);
    return m;
}

static uint32_t
put_options(uint8_t *dst, const struct pw_fake_seg *s)
{
    if (s->raw_opt_len != 0) {
        memcpy(dst, s->raw_opt, s->raw_opt_len);
        return s->raw_opt_len;
    }
    if ((s->flags & PW_TCP_SYN) != 0 &&
        (s->opt.mss != 0 || s->opt.has_ts || s->opt.has_wscale || s->opt.sack_ok)) {
        return pw_tcp_options_put_syn(dst, &s->opt);
    }
    uint32_t n = s->opt.has_ts ? pw_tcp_options_put_ts(dst, s->opt.ts_val, s->opt.ts_ecr) : 0;

    if (s->opt.sack_count != 0) {
        pw_store_be32(dst + n, 0x01010502U + s->opt.sack_count * 8U);
        memcpy(dst + n + 4, s->opt.sack, s->opt.sack_count * 8U);
        n += 4 + s->opt.sack_count * 8U;
    }
    return n;
}

/* Ethernet and IPv4 at f; the pseudo header's sum. */
static uint64_t
put_ip4(uint8_t *f, const struct pw_fake_seg *s, uint32_t tcp_len)
{
    uint8_t *ip = f + PW_ETHER_BYTES;

    pw_ether_put(f, pw_fake_our_mac, pw_fake_peer_mac, PW_ETHER_TYPE_IP4);
    ip[0] = 0x45;
    pw_store_be16(ip + 2, (uint16_t)(PW_IP4_BYTES + tcp_len));
    ip[8] = 64;
    ip[9] = PW_IP4_PROTO_TCP;
    pw_store_be32(ip + 12, s->saddr);
    pw_store_be32(ip + 16, s->daddr);
    uint16_t sum = (uint16_t)~pw_cksum_fold(pw_cksum_add(s->bad_ip_sum, ip, PW_IP4_BYTES));

    memcpy(ip + 10, &sum, 2);
    return pw_cksum_pseudo(s->saddr, s->daddr, PW_IP4_PROTO_TCP, tcp_len);
}

static uint64_t
put_ip6(uint8_t *f, const struct pw_fake_seg *s, uint32_t tcp_len)
{
    uint8_t *ip = f + PW_ETHER_BYTES;

    pw_ether_put(f, pw_fake_our_mac, pw_fake_peer_mac, PW_ETHER_TYPE_IP6);
    ip[0] = 0x60;
    pw_store_be16(ip + 4, (uint16_t)(s->ext_len + tcp_len));
    ip[6] = s->ext_len != 0 ? s->ext_first : PW_IP6_NEXT_TCP;
    ip[7] = 64;
    pw_fake_ip6(s->saddr, ip + 8);
    pw_fake_ip6(s->daddr, ip + 24);
    memcpy(ip + PW_IP6_BYTES, s->ext, s->ext_len);
    return pw_ip6_pseudo(ip + 8, ip + 24, PW_IP6_NEXT_TCP, tcp_len);
}

/* Headers by hand, not through the code under test; only the checksum and option helpers are
 * shared, and those have tests of their own against constants. */
struct rte_mbuf *
pw_fake_segment(struct pw_fake_port *p, const struct pw_fake_seg *s)
{
    uint8_t f[2048] = {0};
    uint32_t lower = PW_ETHER_BYTES + (s->v6 ? PW_IP6_BYTES + s->ext_len : PW_IP4_BYTES);
    uint8_t *t = f + lower;
    uint32_t opt = put_options(t + PW_TCP_HDR_BYTES, s);
    uint32_t tcp_len = PW_TCP_HDR_BYTES + opt + s->len;
    uint64_t pseudo = s->v6 ? put_ip6(f, s, tcp_len) : put_ip4(f, s, tcp_len);

    pw_store_be16(t, s->sport);
    pw_store_be16(t + 2, s->dport);
    pw_store_be32(t + 4, s->seq);
    pw_store_be32(t + 8, s->ack);
    t[12] = (uint8_t)(((PW_TCP_HDR_BYTES + opt) / 4) << 4);
    t[13] = s->flags;
    pw_store_be16(t + 14, s->wnd);
    if (s->len != 0) {
        memcpy(t + PW_TCP_HDR_BYTES + opt, s->payload, s->len);
    }
    uint16_t sum = (uint16_t)~pw_cksum_fold(pw_cksum_add(pseudo + s->bad_tcp_sum, t, tcp_len));

    memcpy(t + 16, &sum, 2);
    return pw_fake_frame(p, f, lower + tcp_len + s->pad);
}

void
pw_fake_poll(struct pw_fake_port *p, struct pw_worker *w)
{
    (void)pw_worker_poll_rx(w, p->now_tsc);
    (void)pw_worker_poll_timers(w, p->now_tsc);
}

void
pw_fake_run(struct pw_fake_port *p, struct pw_worker *w, uint32_t ms)
{
    for (uint32_t i = 0; i < ms; i++) {
        p->now_tsc += PW_FAKE_TSC_HZ / 1000;
        pw_fake_poll(p, w);
    }
}

struct rte_mbuf *
pw_fake_tx_pop(struct pw_fake_port *p, uint64_t *tsc)
{
    if (p->tx_count == 0) {
        return NULL;
    }
    struct rte_mbuf *m = p->tx[0];

    if (tsc != NULL) {
        *tsc = p->tx_tsc[0];
    }
    p->tx_count--;
    memmove(p->tx, p->tx + 1, p->tx_count * sizeof(p->tx[0]));
    memmove(p->tx_tsc, p->tx_tsc + 1, p->tx_count * sizeof(p->tx_tsc[0]));
    return m;
}

/* Where TCP begins and how long it is, 0: not TCP over IP as we send it. Fills addresses and *pseudo. */
static uint32_t
read_ip(const uint8_t *f, uint32_t n, struct pw_fake_seg *s, uint64_t *pseudo)
{
    const uint8_t *ip = f + PW_ETHER_BYTES;
    uint8_t want[16];
    uint16_t type = n < PW_ETHER_BYTES + PW_IP4_BYTES ? 0 : pw_load_be16(f + 12);

    if (type == PW_ETHER_TYPE_IP4 && ip[0] == 0x45 && ip[9] == PW_IP4_PROTO_TCP &&
        (uint32_t)pw_load_be16(ip + 2) + PW_ETHER_BYTES == n) {
        s->saddr = pw_load_be32(ip + 12);
        s->daddr = pw_load_be32(ip + 16);
        *pseudo = pw_cksum_pseudo(s->saddr, s->daddr, PW_IP4_PROTO_TCP,
                                  n - PW_ETHER_BYTES - PW_IP4_BYTES);
        return PW_ETHER_BYTES + PW_IP4_BYTES;
    }
    if (type != PW_ETHER_TYPE_IP6 || n < PW_ETHER_BYTES + PW_IP6_BYTES || ip[0] != 0x60 ||
        ip[6] != PW_IP6_NEXT_TCP ||
        (uint32_t)pw_load_be16(ip + 4) + PW_ETHER_BYTES + PW_IP6_BYTES != n) {
        return 0;
    }
    s->v6 = true;
    s->saddr = pw_load_be32(ip + 20);
    s->daddr = pw_load_be32(ip + 36);
    *pseudo = pw_ip6_pseudo(ip + 8, ip + 24, PW_IP6_NEXT_TCP, n - PW_ETHER_BYTES - PW_IP6_BYTES);
    pw_fake_ip6(s->saddr, want);
    bool known = pw_ip6_equal(want, ip + 8);

    pw_fake_ip6(s->daddr, want);
    return known && pw_ip6_equal(want, ip + 24) ? PW_ETHER_BYTES + PW_IP6_BYTES : 0;
}

bool
pw_fake_read(const struct rte_mbuf *m, struct pw_fake_seg *s, const char **why)
{
    const uint8_t *f = rte_pktmbuf_mtod(m, const uint8_t *);
    uint64_t pseudo = 0;

    *why = NULL;
    *s = (struct pw_fake_seg){0};
    uint32_t lower = read_ip(f, m->data_len, s, &pseudo);
    uint32_t tcp_len = m->data_len - lower;
    const uint8_t *t = f + lower;

    if (lower == 0) {
        *why = "not TCP over IP, or lengths disagree";
        return false;
    }
    uint32_t hdr = tcp_len < PW_TCP_HDR_BYTES ? 0 : (uint32_t)(t[12] >> 4) * 4;

    if (hdr < PW_TCP_HDR_BYTES || hdr > tcp_len) {
        *why = "lengths disagree";
        return false;
    }
    s->sport = pw_load_be16(t);
    s->dport = pw_load_be16(t + 2);
    s->seq = pw_load_be32(t + 4);
    s->ack = pw_load_be32(t + 8);
    s->flags = t[13];
    s->wnd = pw_load_be16(t + 14);
    s->payload = t + hdr;
    s->len = tcp_len - hdr;
    s->df = !s->v6 && (f[PW_ETHER_BYTES + 6] & 0x40) != 0;
    if (!s->v6 && pw_cksum_fold(pw_cksum_add(0, f + PW_ETHER_BYTES, PW_IP4_BYTES)) != 0xFFFF) {
        *why = "IPv4 checksum";
    } else if (pw_cksum_fold(pw_cksum_add(pseudo, t, tcp_len)) != 0xFFFF) {
        *why = "TCP checksum";
    } else if (memcmp(f, pw_fake_peer_mac, 6) != 0 || memcmp(f + 6, pw_fake_our_mac, 6) != 0) {
        *why = "MAC addresses";
    } else if (pw_tcp_options_parse(t + PW_TCP_HDR_BYTES, hdr - PW_TCP_HDR_BYTES, &s->opt) < 0) {
        *why = "options";
    }
    return *why == NULL;
}
