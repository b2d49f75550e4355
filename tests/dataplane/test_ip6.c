#include "dataplane/ip6.h"

#include "dataplane/ip4.h"
#include "dataplane/worker_priv.h"
#include "tests/support/cmocka_pw.h"
#include "tests/support/fake_port.h"

#include <stdlib.h>

/* Frames written down from the figures of RFC 4861 4.3, 4.4 and RFC 4443 4, their checksums reckoned by a
 * few lines of Python, not by the code under test: we are fd00::a00:1 at 02:00:00:00:00:01, the peer is
 * fd00::a00:2 at :02. */
static const uint8_t solicit[] = {
    0x33, 0x33, 0xff, 0x00, 0x00, 0x01, 0x02, 0x00, 0x00, 0x00, 0x00, 0x02, 0x86, 0xdd, 0x60,
    0x00, 0x00, 0x00, 0x00, 0x20, 0x3a, 0xff, 0xfd, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x0a, 0x00, 0x00, 0x02, 0xff, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x01, 0xff, 0x00, 0x00, 0x01, 0x87, 0x00, 0x69, 0x97, 0x00, 0x00,
    0x00, 0x00, 0xfd, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x0a,
    0x00, 0x00, 0x01, 0x01, 0x01, 0x02, 0x00, 0x00, 0x00, 0x00, 0x02};
static const uint8_t advert[] = {
    0x02, 0x00, 0x00, 0x00, 0x00, 0x02, 0x02, 0x00, 0x00, 0x00, 0x00, 0x01, 0x86, 0xdd, 0x60,
    0x00, 0x00, 0x00, 0x00, 0x20, 0x3a, 0xff, 0xfd, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x0a, 0x00, 0x00, 0x01, 0xfd, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x0a, 0x00, 0x00, 0x02, 0x88, 0x00, 0xfe, 0x9b, 0x60, 0x00,
    0x00, 0x00, 0xfd, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x0a,
    0x00, 0x00, 0x01, 0x02, 0x01, 0x02, 0x00, 0x00, 0x00, 0x00, 0x01};
static const uint8_t probe[] = {
    0x33, 0x33, 0xff, 0x00, 0x00, 0x01, 0x02, 0x00, 0x00, 0x00, 0x00, 0x02, 0x86, 0xdd, 0x60, 0x00,
    0x00, 0x00, 0x00, 0x18, 0x3a, 0xff, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xff, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x01, 0xff, 0x00, 0x00, 0x01, 0x87, 0x00, 0x73, 0xa5, 0x00, 0x00, 0x00, 0x00, 0xfd, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x0a, 0x00, 0x00, 0x01};
static const uint8_t probe_answer[] = {
    0x33, 0x33, 0x00, 0x00, 0x00, 0x01, 0x02, 0x00, 0x00, 0x00, 0x00, 0x01, 0x86, 0xdd, 0x60,
    0x00, 0x00, 0x00, 0x00, 0x20, 0x3a, 0xff, 0xfd, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x0a, 0x00, 0x00, 0x01, 0xff, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x88, 0x00, 0x46, 0x9b, 0x20, 0x00,
    0x00, 0x00, 0xfd, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x0a,
    0x00, 0x00, 0x01, 0x02, 0x01, 0x02, 0x00, 0x00, 0x00, 0x00, 0x01};
static const uint8_t our_solicit[] = {
    0x33, 0x33, 0xff, 0x00, 0x00, 0x02, 0x02, 0x00, 0x00, 0x00, 0x00, 0x01, 0x86, 0xdd, 0x60,
    0x00, 0x00, 0x00, 0x00, 0x20, 0x3a, 0xff, 0xfd, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x0a, 0x00, 0x00, 0x01, 0xff, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x01, 0xff, 0x00, 0x00, 0x02, 0x87, 0x00, 0x69, 0x97, 0x00, 0x00,
    0x00, 0x00, 0xfd, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x0a,
    0x00, 0x00, 0x02, 0x01, 0x01, 0x02, 0x00, 0x00, 0x00, 0x00, 0x01};
static const uint8_t peer_advert[] = {
    0x02, 0x00, 0x00, 0x00, 0x00, 0x01, 0x02, 0x00, 0x00, 0x00, 0x00, 0x02, 0x86, 0xdd, 0x60,
    0x00, 0x00, 0x00, 0x00, 0x20, 0x3a, 0xff, 0xfd, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x0a, 0x00, 0x00, 0x02, 0xfd, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x0a, 0x00, 0x00, 0x01, 0x88, 0x00, 0xfe, 0x99, 0x60, 0x00,
    0x00, 0x00, 0xfd, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x0a,
    0x00, 0x00, 0x02, 0x02, 0x01, 0x02, 0x00, 0x00, 0x00, 0x00, 0x02};
static const uint8_t ping[] = {
    0x02, 0x00, 0x00, 0x00, 0x00, 0x01, 0x02, 0x00, 0x00, 0x00, 0x00, 0x02, 0x86, 0xdd, 0x60,
    0x00, 0x00, 0x00, 0x00, 0x13, 0x3a, 0x03, 0xfd, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x0a, 0x00, 0x00, 0x02, 0xfd, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x0a, 0x00, 0x00, 0x01, 0x80, 0x00, 0x3b, 0xce, 0x00, 0x07,
    0x00, 0x09, 0x6f, 0x64, 0x64, 0x20, 0x6e, 0x75, 0x6d, 0x62, 0x65, 0x72, 0x21};
static const uint8_t pong[] = {
    0x02, 0x00, 0x00, 0x00, 0x00, 0x02, 0x02, 0x00, 0x00, 0x00, 0x00, 0x01, 0x86, 0xdd, 0x60,
    0x00, 0x00, 0x00, 0x00, 0x13, 0x3a, 0x40, 0xfd, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x0a, 0x00, 0x00, 0x01, 0xfd, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x0a, 0x00, 0x00, 0x02, 0x81, 0x00, 0x3a, 0xce, 0x00, 0x07,
    0x00, 0x09, 0x6f, 0x64, 0x64, 0x20, 0x6e, 0x75, 0x6d, 0x62, 0x65, 0x72, 0x21};

struct fix {
    struct pw_fake_port port;
    struct pw_worker *w;
    uint8_t us[16];
    uint8_t peer[16];
};

struct frame {
    uint8_t b[400];
    uint32_t len;
};

static int
setup(void **state)
{
    struct fix *f = calloc(1, sizeof(*f));

    pw_fake_port_init(&f->port, 511);
    pw_fake_ip6(PW_FAKE_OUR_IP, f->us);
    pw_fake_ip6(PW_FAKE_PEER_IP, f->peer);
    f->w = pw_fake_worker_new(&f->port, true, true);
    *state = f;
    return f->w == NULL;
}

static void
input(struct fix *f, const void *bytes, uint32_t len)
{
    pw_fake_rx(&f->port, pw_fake_frame(&f->port, bytes, len));
    pw_fake_poll(&f->port, f->w);
}

static void
expect_frame(struct fix *f, const void *bytes, uint32_t len)
{
    struct rte_mbuf *m = pw_fake_tx_pop(&f->port, NULL);

    assert_non_null(m);
    assert_int_equal(m->data_len, len);
    assert_memory_equal(rte_pktmbuf_mtod(m, const uint8_t *), bytes, len);
    rte_pktmbuf_free(m);
    assert_int_equal(f->port.tx_count, 0);
}

#define INPUT(f, bytes)  input(f, bytes, sizeof(bytes))
#define EXPECT(f, bytes) expect_frame(f, bytes, sizeof(bytes))

static struct frame
copy_of(const void *bytes, uint32_t len)
{
    struct frame c = {.len = len};

    memcpy(c.b, bytes, len);
    return c;
}

#define COPY(bytes) copy_of(bytes, sizeof(bytes))

/* Makes the ICMPv6 checksum right again after a test changed something. */
static void
seal(struct frame *c)
{
    uint8_t *ip = c->b + PW_ETHER_BYTES;
    uint32_t n = c->len - PW_ETHER_BYTES - PW_IP6_BYTES;

    pw_store_be16(ip + 4, (uint16_t)n);
    memset(ip + 42, 0, 2);
    uint16_t sum = (uint16_t)~pw_cksum_fold(
        pw_cksum_add(pw_ip6_pseudo(ip + 8, ip + 24, PW_IP6_NEXT_ICMP6, n), ip + 40, n));

    memcpy(ip + 42, &sum, 2);
}

static void
test_addresses__examples_of_the_rfcs__as_printed(void **state)
{
    /* RFC 4291 2.7.1: 4037::01:800:200E:8C6C has FF02::1:FF0E:8C6C; RFC 2464 7 its MAC. */
    static const uint8_t a[16] = {0x40, 0x37, [9] = 1, 8, 0, 0x20, 0x0E, 0x8C, 0x6C};
    static const uint8_t group[16] = {0xFF, 0x02, [11] = 1, 0xFF, 0x0E, 0x8C, 0x6C};
    static const uint8_t group_mac[6] = {0x33, 0x33, 0xFF, 0x0E, 0x8C, 0x6C};
    uint8_t out[16];

    (void)state;
    pw_ip6_solicited_node(a, out);
    assert_memory_equal(out, group, 16);
    pw_ip6_multicast_mac(group, out);
    assert_memory_equal(out, group_mac, 6);
}

static void
test_same_net__every_prefix_length__the_bit_behind_it_does_not_count(void **state)
{
    uint8_t a[16] = {0};
    uint8_t b[16];

    (void)state;
    for (uint32_t bit = 0; bit < 128; bit++) {
        memcpy(b, a, 16);
        b[bit / 8] = (uint8_t)(0x80 >> (bit % 8));
        assert_true(pw_ip6_same_net(a, b, (uint8_t)bit));
        assert_false(pw_ip6_same_net(a, b, (uint8_t)(bit + 1)));
    }
    assert_true(pw_ip6_same_net(a, a, 128));
}

static struct frame
with(uint32_t off, uint8_t v)
{
    struct frame c = COPY(ping);

    c.b[PW_ETHER_BYTES + off] = v;
    return c;
}

static void
input_frame(struct fix *f, struct frame c)
{
    input(f, c.b, c.len);
}

static void
test_ip6_check__each_lie__counted_under_its_name(void **state)
{
    struct fix *f = *state;
    struct frame c;

    input_frame(f, with(0, 0x40));
    assert_int_equal(pw_worker_drops(f->w, "ip6_version"), 1);
    input_frame(f, with(5, (uint8_t)(sizeof(ping) - PW_ETHER_BYTES - PW_IP6_BYTES + 1)));
    input(f, ping, PW_ETHER_BYTES + PW_IP6_BYTES - 1);
    assert_int_equal(pw_worker_drops(f->w, "ip6_short"), 2);
    input_frame(f, with(39, 9));                                            /* another address */
    c = with(24, 0xFF), c.b[PW_ETHER_BYTES + 25] = 0x05, input_frame(f, c); /* another group */
    assert_int_equal(pw_worker_drops(f->w, "ip6_not_ours"), 2);
    input_frame(f, with(6, 17));
    assert_int_equal(pw_worker_drops(f->w, "udp_checksum") + pw_worker_drops(f->w, "udp_short"), 1);
    input_frame(f, with(6, 132));
    input_frame(f, with(6, 59));
    assert_int_equal(pw_worker_drops(f->w, "ip6_protocol"), 2);
    input_frame(f, with(6, 44));
    assert_int_equal(pw_worker_drops(f->w, "ip6_fragment"), 1);
    assert_int_equal(f->port.tx_count, 0);
}

static void
test_ip6_check__bad_sources__counted_and_never_answered(void **state)
{
    static const uint8_t bad[][16] = {
        {0xFF, 0x02, [15] = 1},                          /* a group */
        {[15] = 1},                                      /* loopback */
        {[10] = 0xFF, 0xFF, 10, 0, 0, 2},                /* IPv4-mapped */
        {0xFD, [12] = 10, [13] = 0, [14] = 0, [15] = 1}, /* ourselves */
    };
    struct fix *f = *state;

    for (uint32_t i = 0; i < PW_ARRAY_LEN(bad); i++) {
        struct frame c = COPY(ping);

        memcpy(c.b + PW_ETHER_BYTES + 8, bad[i], 16);
        seal(&c);
        input_frame(f, c);
        assert_int_equal(pw_worker_drops(f->w, "ip6_source"), i + 1);
    }
    struct frame c = COPY(ping); /* "::" is for duplicate address detection alone */

    memset(c.b + PW_ETHER_BYTES + 8, 0, 16);
    seal(&c);
    input_frame(f, c);
    assert_int_equal(pw_worker_drops(f->w, "icmp6_ignored"), 1);
    c.b[PW_ETHER_BYTES + 6] = PW_IP6_NEXT_TCP;
    input_frame(f, c);
    assert_int_equal(pw_worker_drops(f->w, "ip6_source"), PW_ARRAY_LEN(bad) + 1);
    assert_int_equal(f->port.tx_count, 0);
}

static void
test_icmp6_input__echo_request__the_same_bytes_back(void **state)
{
    struct fix *f = *state;
    struct frame c = COPY(ping);

    c.len += 5; /* Ethernet padding is not part of it */
    input_frame(f, c);
    EXPECT(f, pong);
    c = COPY(ping), c.b[PW_ETHER_BYTES + PW_IP6_BYTES + 9] ^= 1;
    input_frame(f, c);
    assert_int_equal(pw_worker_drops(f->w, "icmp6_bad"), 1);
    c = COPY(ping);
    c.b[PW_ETHER_BYTES + PW_IP6_BYTES] = 1; /* an error is not answered (RFC 4443 2.4) */
    seal(&c);
    input_frame(f, c);
    assert_int_equal(pw_worker_drops(f->w, "icmp_stale"), 1);
    assert_int_equal(f->port.tx_count, 0);
}

static void
test_icmp6_input__echo_to_all_nodes_or_the_kernels__silence(void **state)
{
    static const uint8_t all_nodes[16] = {0xFF, 0x02, [15] = 1};
    struct fix *f = *state;
    struct frame c = COPY(ping);

    pw_ip6_multicast_mac(all_nodes, c.b);
    memcpy(c.b + PW_ETHER_BYTES + 24, all_nodes, 16);
    seal(&c);
    input_frame(f, c);
    assert_int_equal(pw_worker_drops(f->w, "icmp6_ignored"), 1);
    pw_worker_destroy_ctl(f->w);
    f->w = pw_fake_worker_new(&f->port, true, false);
    INPUT(f, ping);
    assert_int_equal(pw_worker_drops(f->w, "icmp6_ignored"), 1);
    assert_int_equal(f->port.tx_count, 0);
}

static void
test_nd6_input__solicitation__answered_and_learned(void **state)
{
    struct fix *f = *state;

    INPUT(f, solicit);
    EXPECT(f, advert);
    const struct pw_neigh6 *n = pw_neigh6_find(&f->w->neigh6, f->peer);

    assert_non_null(n);
    assert_memory_equal(n->mac, pw_fake_peer_mac, 6);
    INPUT(f, probe); /* somebody is about to take our address */
    EXPECT(f, probe_answer);
}

static void
test_nd6_input__solicitation_the_kernel_answers__learned_in_silence(void **state)
{
    struct fix *f = *state;

    pw_worker_destroy_ctl(f->w);
    f->w = pw_fake_worker_new(&f->port, true, false);
    INPUT(f, solicit);
    INPUT(f, probe);
    assert_int_equal(f->port.tx_count, 0);
    assert_non_null(pw_neigh6_find(&f->w->neigh6, f->peer));
}

/* RFC 4861 7.1.1, each "MUST silently discard". */
static void
test_nd6_input__each_broken_solicitation__counted_in_silence(void **state)
{
    struct fix *f = *state;
    const uint32_t icmp = PW_ETHER_BYTES + PW_IP6_BYTES;
    const struct {
        uint32_t at;
        uint8_t v;
    } lie[] = {
        {PW_ETHER_BYTES + 7, 254}, /* it crossed a router */
        {icmp + 1, 1},             /* code */
        {icmp + 8, 0xFF},          /* the target is a group */
        {icmp + 25, 0},            /* an option of no length */
        {icmp + 25, 2},            /* one longer than the message */
        {icmp + 26, 0x03},         /* a group as link-layer address */
    };

    for (uint32_t i = 0; i < PW_ARRAY_LEN(lie); i++) {
        struct frame c = COPY(solicit);

        c.b[lie[i].at] = lie[i].v;
        seal(&c);
        input_frame(f, c);
        assert_int_equal(pw_worker_drops(f->w, "nd_bad"), i + 1);
    }
    struct frame c = COPY(solicit);

    c.len = icmp + 23, seal(&c), input_frame(f, c); /* cut before the target's end */
    c = COPY(solicit), memset(c.b + PW_ETHER_BYTES + 8, 0, 16), seal(&c);
    input_frame(f, c); /* "::" with a link-layer address */
    c = COPY(probe), memcpy(c.b + PW_ETHER_BYTES + 24, f->us, 16), memcpy(c.b, pw_fake_our_mac, 6);
    seal(&c), input_frame(f, c); /* "::", but not to the group */
    assert_int_equal(pw_worker_drops(f->w, "nd_bad"), PW_ARRAY_LEN(lie) + 3);
    c = COPY(solicit), c.b[icmp + 23] = 7, seal(&c), input_frame(f, c);
    assert_int_equal(pw_worker_drops(f->w, "nd_not_ours"), 1);
    assert_null(pw_neigh6_find(&f->w->neigh6, f->peer));
    assert_int_equal(f->port.tx_count, 0);
}

static void
test_neigh6_resolve__unknown__one_solicitation_a_second_then_the_answer(void **state)
{
    struct fix *f = *state;
    uint8_t mac[6];

    INPUT(f, peer_advert); /* unasked: makes no entry (RFC 4861 7.2.5) */
    assert_null(pw_neigh6_find(&f->w->neigh6, f->peer));
    assert_int_equal(pw_worker_drops(f->w, "nd_not_ours"), 1);
    assert_int_equal(pw_neigh6_resolve(f->w, f->peer, mac), PW_EAGAIN);
    assert_int_equal(pw_neigh6_resolve(f->w, f->peer, mac), PW_EAGAIN);
    pw_fake_poll(&f->port, f->w);
    EXPECT(f, our_solicit);
    pw_fake_run(&f->port, f->w, 1000);
    assert_int_equal(pw_neigh6_resolve(f->w, f->peer, mac), PW_EAGAIN);
    pw_fake_poll(&f->port, f->w);
    EXPECT(f, our_solicit);
    INPUT(f, peer_advert);
    assert_int_equal(pw_neigh6_resolve(f->w, f->peer, mac), 0);
    assert_memory_equal(mac, pw_fake_peer_mac, 6);
    struct frame c = COPY(peer_advert); /* without Override another address does not replace it */

    c.b[PW_ETHER_BYTES + PW_IP6_BYTES + 4] = 0x40;
    c.b[PW_ETHER_BYTES + PW_IP6_BYTES + 31] = 9;
    seal(&c);
    input_frame(f, c);
    assert_int_equal(pw_neigh6_resolve(f->w, f->peer, mac), 0);
    assert_memory_equal(mac, pw_fake_peer_mac, 6);
}

static void
test_neigh6_resolve__off_link__asks_for_the_gateway(void **state)
{
    static const uint8_t far_away[16] = {0x20, 0x01, 0x0D, 0xB8, [15] = 1};
    static const uint8_t link_local[16] = {0xFE, 0x80, [15] = 0x77};
    struct fix *f = *state;
    uint8_t mac[6];
    struct rte_mbuf *m;

    assert_int_equal(pw_neigh6_resolve(f->w, far_away, mac), PW_EAGAIN);
    assert_int_equal(pw_neigh6_resolve(f->w, link_local, mac), PW_EAGAIN);
    pw_fake_poll(&f->port, f->w);
    m = pw_fake_tx_pop(&f->port, NULL);
    assert_memory_equal(rte_pktmbuf_mtod_offset(m, const uint8_t *, 62), f->w->ip6.gateway, 16);
    rte_pktmbuf_free(m);
    m = pw_fake_tx_pop(&f->port, NULL);
    assert_memory_equal(rte_pktmbuf_mtod_offset(m, const uint8_t *, 62), link_local, 16);
    rte_pktmbuf_free(m);
    memset(f->w->ip6.gateway, 0, 16);
    assert_int_equal(pw_neigh6_resolve(f->w, far_away, mac), PW_ENOENT);
}

static void
test_neigh6_learn__set_full__the_oldest_makes_room(void **state)
{
    struct fix *f = *state;
    uint8_t ip[PW_NEIGH_WAYS + 1][16] = {0};
    uint8_t mac[6] = {2};

    for (uint32_t i = 0; i <= PW_NEIGH_WAYS; i++) {
        ip[i][0] = 0xFD, ip[i][1] = (uint8_t)i; /* one set: it does not look at this byte */
        pw_neigh6_learn(&f->w->neigh6, ip[i], mac, 10 + i);
    }
    assert_null(pw_neigh6_find(&f->w->neigh6, ip[0]));
    for (uint32_t i = 1; i <= PW_NEIGH_WAYS; i++) {
        assert_non_null(pw_neigh6_find(&f->w->neigh6, ip[i]));
    }
    pw_neigh6_learn(&f->w->neigh6, ip[0], (const uint8_t[]){0x33, 0x33, 0, 0, 0, 1}, 99);
    assert_null(pw_neigh6_find(&f->w->neigh6, ip[0])); /* a group's MAC is nobody's */
}

/* A worker without an address of one family takes nothing of it. */
static void
test_worker__one_family_alone__the_other_is_counted(void **state)
{
    struct fix *f = *state;
    struct pw_worker_cfg cfg = pw_fake_worker_cfg(&f->port);
    struct pw_fake_seg syn = {.saddr = PW_FAKE_PEER_IP,
                              .daddr = 0,
                              .sport = 30000,
                              .dport = PW_FAKE_PORT,
                              .flags = PW_TCP_SYN};

    pw_worker_destroy_ctl(f->w);
    memset(cfg.ip6_address, 0, 16);
    f->w = pw_worker_create_ctl(&cfg, f->port.now_tsc, NULL);
    INPUT(f, ping);
    INPUT(f, solicit);
    assert_int_equal(pw_worker_drops(f->w, "ether_type"), 2);
    pw_worker_destroy_ctl(f->w);
    cfg = pw_fake_worker_cfg(&f->port);
    cfg.ip4_address = 0;
    f->w = pw_worker_create_ctl(&cfg, f->port.now_tsc, NULL);
    pw_fake_rx(&f->port, pw_fake_segment(&f->port, &syn)); /* to 0.0.0.0 */
    pw_fake_poll(&f->port, f->w);
    assert_int_equal(pw_worker_drops(f->w, "ether_type"), 1);
    assert_int_equal(f->port.tx_count, 0);
    INPUT(f, ping);
    EXPECT(f, pong);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, pw_fake_worker_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_addresses__examples_of_the_rfcs__as_printed),
        T(test_same_net__every_prefix_length__the_bit_behind_it_does_not_count),
        T(test_ip6_check__each_lie__counted_under_its_name),
        T(test_ip6_check__bad_sources__counted_and_never_answered),
        T(test_icmp6_input__echo_request__the_same_bytes_back),
        T(test_icmp6_input__echo_to_all_nodes_or_the_kernels__silence),
        T(test_nd6_input__solicitation__answered_and_learned),
        T(test_nd6_input__solicitation_the_kernel_answers__learned_in_silence),
        T(test_nd6_input__each_broken_solicitation__counted_in_silence),
        T(test_neigh6_resolve__unknown__one_solicitation_a_second_then_the_answer),
        T(test_neigh6_resolve__off_link__asks_for_the_gateway),
        T(test_neigh6_learn__set_full__the_oldest_makes_room),
        T(test_worker__one_family_alone__the_other_is_counted),
    };

    return pw_fake_eal_init() ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
