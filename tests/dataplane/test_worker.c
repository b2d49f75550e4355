#include "dataplane/worker.h"

#include "dataplane/ip4.h"
#include "dataplane/worker_priv.h"
#include "tests/support/cmocka_pw.h"
#include "tests/support/fake_port.h"
#include "tests/support/prom_check.h"

#include <stdlib.h>

struct fix {
    struct pw_fake_port port;
    struct pw_worker *w;
    uint32_t gone;
};

static void *
accept_any(void *ctx, struct pw_stream *s, uint64_t now_tsc)
{
    return ctx;
}

static void
gone(void *user, uint64_t now_tsc)
{
    ((struct fix *)user)->gone++;
}

static struct pw_worker_cfg
cfg_of(struct fix *f)
{
    struct pw_worker_cfg cfg = pw_fake_worker_cfg(&f->port);

    cfg.app.ctx = f;
    cfg.app.accept = accept_any;
    cfg.app.gone = gone;
    return cfg;
}

static int
setup(void **state)
{
    struct fix *f = calloc(1, sizeof(*f));

    pw_fake_port_init(&f->port, 2047);
    struct pw_worker_cfg cfg = cfg_of(f);

    f->w = pw_worker_create_ctl(&cfg, f->port.now_tsc, NULL);
    *state = f;
    return f->w == NULL || pw_worker_listen_ctl(f->w, PW_FAKE_PORT) != 0;
}

static void
segment_in(struct fix *f, uint8_t flags, uint32_t seq, uint32_t ack, uint16_t sport)
{
    struct pw_fake_seg s = {.saddr = PW_FAKE_PEER_IP,
                            .daddr = PW_FAKE_OUR_IP,
                            .sport = sport,
                            .dport = PW_FAKE_PORT,
                            .seq = seq,
                            .ack = ack,
                            .wnd = 1000,
                            .flags = flags};

    pw_fake_rx(&f->port, pw_fake_segment(&f->port, &s));
    pw_fake_poll(&f->port, f->w);
}

static void
connect(struct fix *f, uint16_t sport)
{
    struct pw_fake_seg s;
    const char *why;

    segment_in(f, PW_TCP_SYN, 100, 0, sport);
    struct rte_mbuf *m = pw_fake_tx_pop(&f->port, NULL);

    assert_non_null(m);
    assert_true(pw_fake_read(m, &s, &why));
    rte_pktmbuf_free(m);
    segment_in(f, PW_TCP_ACK, 101, s.seq + 1, sport);
}

static void
test_worker_create__bad_settings__refused_with_a_reason(void **state)
{
    struct fix *f = *state;
    struct pw_worker_cfg good = cfg_of(f);
    struct pw_worker_cfg c;
    int err;

    c = good, c.mempool = NULL;
    assert_null(pw_worker_create_ctl(&c, 1, &err));
    assert_int_equal(err, PW_EINVAL);
    c = good, c.ip4_address = 0, memset(c.ip6_address, 0, 16); /* neither family */
    assert_null(pw_worker_create_ctl(&c, 1, &err));
    assert_int_equal(err, PW_EINVAL);
    c = good, c.ip6_address[0] = 0xFF; /* multicast */
    assert_null(pw_worker_create_ctl(&c, 1, &err));
    assert_int_equal(err, PW_EINVAL);
    c = good, c.mtu = 1279; /* RFC 8200 5: IPv6 does not go over such a link */
    assert_null(pw_worker_create_ctl(&c, 1, &err));
    assert_int_equal(err, PW_ERANGE);
    c = good, c.mac[0] = 1; /* multicast */
    assert_null(pw_worker_create_ctl(&c, 1, &err));
    assert_int_equal(err, PW_EINVAL);
    c = good, c.mtu = 500;
    assert_null(pw_worker_create_ctl(&c, 1, &err));
    assert_int_equal(err, PW_ERANGE);
    c = good, c.tcp.rx_budget_bytes = 1ULL << 40; /* more than the mempool has */
    assert_null(pw_worker_create_ctl(&c, 1, &err));
    assert_int_equal(err, PW_ERANGE);
    c = good, c.tcp.rx_base_bytes_min = 100; /* less than a few buffers */
    assert_null(pw_worker_create_ctl(&c, 1, &err));
    assert_int_equal(err, PW_ERANGE);
}

static void
test_worker_listen__twice_and_too_many__refused(void **state)
{
    struct fix *f = *state;

    assert_int_equal(pw_worker_listen_ctl(f->w, PW_FAKE_PORT), PW_EEXIST);
    for (uint16_t i = 1; i < PW_TCP_LISTEN_PORTS_MAX; i++) {
        assert_int_equal(pw_worker_listen_ctl(f->w, (uint16_t)(5000 + i)), 0);
    }
    assert_int_equal(pw_worker_listen_ctl(f->w, 6000), PW_ENOSPC);
}

static void
test_worker_metrics__after_traffic__valid_and_true(void **state)
{
    struct fix *f = *state;
    struct pw_worker *list[1] = {f->w};
    struct pw_text page;
    struct pw_text err;

    connect(f, 30000);
    connect(f, 30001);
    segment_in(f, PW_TCP_RST, 101, 0, 30001);
    segment_in(f, PW_TCP_ACK, 1, 1, 40000);
    pw_text_init(&page, 1 << 20);
    pw_text_init(&err, 4096);
    pw_worker_metrics(list, 1, &page);
    if (prom_check(pw_slice(page.ptr, page.len), &err) != 0) {
        fail_msg("%.*s", (int)err.len, (const char *)err.ptr);
    }
    pw_text_char(&page, 0);
    const char *p = (const char *)page.ptr;

    assert_non_null(strstr(p, "pyrowire_worker_tcp_accepted_total{worker=\"0\"} 2\n"));
    assert_non_null(strstr(p, "pyrowire_worker_connections{worker=\"0\"} 1\n"));
    assert_non_null(strstr(p, "pyrowire_worker_tcp_rst_in_total{worker=\"0\"} 1\n"));
    assert_non_null(
        strstr(p, "pyrowire_worker_drops_total{worker=\"0\",reason=\"tcp_no_connection\"} 1\n"));
    assert_int_equal(pw_worker_drops(f->w, "no such reason"), UINT64_MAX);
    assert_int_equal(f->gone, 1);
    pw_text_fini(&page);
    pw_text_fini(&err);
}

static void
test_worker_send__port_takes_nothing__bounded_then_counted(void **state)
{
    struct fix *f = *state;

    f->port.tx_room = 0;
    for (uint32_t i = 0; i < PW_WORKER_TX_MAX + 50; i++) { /* each earns a RST */
        segment_in(f, PW_TCP_ACK, 1, 1, 40000);
    }
    assert_int_equal(pw_worker_drops(f->w, "tx_full"), 50);
    assert_int_equal(pw_worker_stat(f->w, "tx_frames"), 0);
    f->port.tx_room = 10;
    pw_fake_poll(&f->port, f->w);
    assert_int_equal(pw_worker_stat(f->w, "tx_frames"), 10);
    f->port.tx_room = UINT32_MAX;
    pw_fake_poll(&f->port, f->w);
    assert_int_equal(pw_worker_stat(f->w, "tx_frames"), PW_WORKER_TX_MAX);
    assert_int_equal(pw_worker_stat(f->w, "tx_bytes"), (uint64_t)PW_WORKER_TX_MAX * 54);
}

static void
test_worker_poll_rx__more_than_a_burst_waits__full_bursts_and_a_bound(void **state)
{
    enum { FRAMES = 1500, BURSTS_MAX = 16 };
    struct fix *f = *state;
    struct pw_fake_seg s = {.saddr = PW_FAKE_PEER_IP,
                            .daddr = PW_FAKE_OUR_IP,
                            .sport = 30000,
                            .dport = PW_FAKE_PORT + 1,
                            .flags = PW_TCP_RST};
    uint32_t taken = 0;

    for (uint32_t i = 0; i < FRAMES; i++) {
        pw_fake_rx(&f->port, pw_fake_segment(&f->port, &s));
    }
    while (taken < FRAMES) {
        uint32_t n = pw_worker_poll_rx(f->w, f->port.now_tsc);

        assert_true(n % PW_BURST_MAX == 0 || taken + n == FRAMES);
        assert_in_range(n, 1, BURSTS_MAX * PW_BURST_MAX);
        taken += n;
    }
    assert_int_equal(pw_worker_poll_rx(f->w, f->port.now_tsc), 0);
    assert_int_equal(pw_worker_stat(f->w, "rx_frames"), FRAMES);
}

static void
test_worker_frame__mempool_empty__counted_and_recovers(void **state)
{
    struct fix *f = *state;
    struct rte_mbuf *all[2047];
    struct pw_fake_seg s = {.saddr = PW_FAKE_PEER_IP,
                            .daddr = PW_FAKE_OUR_IP,
                            .sport = 30000,
                            .dport = PW_FAKE_PORT,
                            .flags = PW_TCP_SYN,
                            .wnd = 1000};
    uint32_t n = 0;

    pw_fake_rx(&f->port, pw_fake_segment(&f->port, &s));
    while ((all[n] = rte_pktmbuf_alloc(f->port.pool)) != NULL) {
        n++;
    }
    pw_fake_poll(&f->port, f->w); /* the SYN,ACK has no buffer */
    assert_int_equal(pw_worker_drops(f->w, "tx_no_buffer"), 1);
    assert_int_equal(f->port.tx_count, 0);
    rte_pktmbuf_free_bulk(all, n);
    pw_fake_run(&f->port, f->w, 1000);
    assert_int_equal(f->port.tx_count, 1); /* the timer says it again */
}

static void
test_worker_destroy__open_connections__reset_and_told(void **state)
{
    struct fix *f = *state;
    struct pw_worker_cfg cfg = cfg_of(f);
    struct pw_fake_seg s;
    const char *why;

    connect(f, 30000);
    pw_worker_destroy_ctl(f->w);
    assert_int_equal(f->gone, 1);
    struct rte_mbuf *m = pw_fake_tx_pop(&f->port, NULL);

    assert_non_null(m);
    assert_true(pw_fake_read(m, &s, &why));
    assert_int_equal(s.flags, PW_TCP_RST | PW_TCP_ACK);
    rte_pktmbuf_free(m);
    f->w = pw_worker_create_ctl(&cfg, f->port.now_tsc, NULL);
    assert_non_null(f->w);
}

/* The header sums of a segment that leaves with offload on: what the port adds to has to be there. */
static void
test_worker__checksum_offload__pseudo_header_left_for_the_port(void **state)
{
    struct fix *f = *state;
    struct pw_worker_cfg cfg = cfg_of(f);

    pw_worker_destroy_ctl(f->w);
    cfg.tx_cksum_offload = true;
    cfg.rx_cksum_offload = true;
    f->w = pw_worker_create_ctl(&cfg, f->port.now_tsc, NULL);
    assert_int_equal(pw_worker_listen_ctl(f->w, PW_FAKE_PORT), 0);
    struct pw_fake_seg s = {.saddr = PW_FAKE_PEER_IP,
                            .daddr = PW_FAKE_OUR_IP,
                            .sport = 30000,
                            .dport = PW_FAKE_PORT,
                            .flags = PW_TCP_SYN,
                            .bad_tcp_sum = true};
    struct rte_mbuf *m = pw_fake_segment(&f->port, &s);

    m->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_GOOD; /* the port's word counts */
    pw_fake_rx(&f->port, m);
    pw_fake_rx(&f->port, pw_fake_segment(&f->port, &s)); /* the port has no word: ours */
    pw_fake_poll(&f->port, f->w);
    assert_int_equal(pw_worker_drops(f->w, "tcp_checksum"), 1);
    m = pw_fake_tx_pop(&f->port, NULL);
    assert_non_null(m);
    const uint8_t *ip = rte_pktmbuf_mtod_offset(m, const uint8_t *, 14);
    uint32_t tcp_len = m->data_len - 34U;
    uint16_t want = pw_cksum_fold(pw_cksum_pseudo(PW_FAKE_OUR_IP, PW_FAKE_PEER_IP, 6, tcp_len));

    assert_memory_equal(ip + 20 + 16, &want, 2);
    assert_int_equal(pw_load_be16(ip + 10), 0);
    assert_true((m->ol_flags & RTE_MBUF_F_TX_TCP_CKSUM) != 0);
    assert_int_equal(m->l2_len, 14);
    assert_int_equal(m->l3_len, 20);
    rte_pktmbuf_free(m);
}

/* Opens n connections from different addresses and leaves them alone. Returns how many were taken with a
 * window of at least a segment. */
static uint32_t
open_idle(struct fix *f, struct pw_worker *w, uint32_t n)
{
    uint32_t good = 0;

    for (uint32_t i = 0; i < n; i++) {
        struct pw_fake_seg out;
        const char *why;
        struct pw_fake_seg s = {.saddr = 0x0A010000 + i,
                                .daddr = PW_FAKE_OUR_IP,
                                .sport = (uint16_t)(1024 + i % 50000),
                                .dport = PW_FAKE_PORT,
                                .seq = i,
                                .opt = {.mss = 1460, .has_wscale = true, .wscale = 7},
                                .flags = PW_TCP_SYN,
                                .wnd = 65535};

        pw_fake_rx(&f->port, pw_fake_segment(&f->port, &s));
        pw_fake_poll(&f->port, w);
        struct rte_mbuf *m = pw_fake_tx_pop(&f->port, NULL);

        if (m == NULL || !pw_fake_read(m, &out, &why)) {
            rte_pktmbuf_free(m);
            continue;
        }
        rte_pktmbuf_free(m);
        s.seq++, s.ack = out.seq + 1, s.flags = PW_TCP_ACK, s.opt = (struct pw_tcp_options){0};
        pw_fake_rx(&f->port, pw_fake_segment(&f->port, &s));
        pw_fake_poll(&f->port, w);
        good += out.flags == (PW_TCP_SYN | PW_TCP_ACK) && out.wnd >= 1408;
    }
    return good;
}

static void
idle_fit(uint32_t conns, uint32_t conns_max, uint64_t budget)
{
    struct fix f = {0};
    uint32_t buf_bytes = RTE_MBUF_DEFAULT_BUF_SIZE;

    pw_fake_port_init(&f.port, (uint32_t)(budget / buf_bytes) + 512);
    struct pw_worker_cfg cfg = cfg_of(&f);

    cfg.tcp.conns_max = conns_max;
    cfg.tcp.rx_budget_bytes = budget;
    struct pw_worker *w = pw_worker_create_ctl(&cfg, f.port.now_tsc, NULL);

    assert_non_null(w);
    assert_int_equal(pw_worker_listen_ctl(w, PW_FAKE_PORT), 0);
    assert_int_equal(open_idle(&f, w, conns), conns);
    assert_int_equal(pw_worker_open_count(w), conns);
    assert_int_equal(pw_worker_stat(w, "tcp_rx_starved"), 0);
    pw_worker_destroy_ctl(w);
    assert_int_equal(pw_fake_port_fini(&f.port), 0);
}

static void
test_worker__idle_connections__fit_the_receive_budget(void **state)
{
    idle_fit(16384, 16384, 64 << 20);
    idle_fit(10000, 10000, (256 << 20) / 10); /* 100,000 in 256 MiB, at a tenth */
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, pw_fake_worker_teardown)
    const struct CMUnitTest tests[] = {
        T(test_worker_create__bad_settings__refused_with_a_reason),
        T(test_worker_listen__twice_and_too_many__refused),
        T(test_worker_metrics__after_traffic__valid_and_true),
        T(test_worker_send__port_takes_nothing__bounded_then_counted),
        T(test_worker_poll_rx__more_than_a_burst_waits__full_bursts_and_a_bound),
        T(test_worker_frame__mempool_empty__counted_and_recovers),
        T(test_worker_destroy__open_connections__reset_and_told),
        T(test_worker__checksum_offload__pseudo_header_left_for_the_port),
        cmocka_unit_test(test_worker__idle_connections__fit_the_receive_budget),
    };

    return pw_fake_eal_init() ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
