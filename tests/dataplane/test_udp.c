/* UDP of a worker, over IPv6: what arrives, what leaves, whom the kernel is asked for. */
#include "dataplane/udp.h"

#include "dataplane/worker_priv.h"
#include "tests/support/cmocka_pw.h"
#include "tests/support/fake_port.h"

#include <stdlib.h>

enum { OUR_UDP = 4041, PEER_UDP = 50000, UDP_AT = 14 + 40, SUM_AT = UDP_AT + 6 };

/* Frames written down from RFC 8200 and RFC 768, their checksums reckoned by a few lines of Python: the peer's "odd"
 * to us, our "even" to it, and two bytes whose checksum comes out as zero, which is sent as ffff. */
static const uint8_t datagram[] = {0x02, 0x00, 0x00, 0x00, 0x00, 0x01, 0x02, 0x00, 0x00, 0x00, 0x00,
                                   0x02, 0x86, 0xdd, 0x60, 0x00, 0x00, 0x00, 0x00, 0x0b, 0x11, 0x40,
                                   0xfd, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
                                   0x00, 0x0a, 0x00, 0x00, 0x02, 0xfd, 0x00, 0x00, 0x00, 0x00, 0x00,
                                   0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x0a, 0x00, 0x00, 0x01, 0xc3,
                                   0x50, 0x0f, 0xc9, 0x00, 0x0b, 0x4b, 0x55, 0x6f, 0x64, 0x64};
static const uint8_t answer[] = {0x02, 0x00, 0x00, 0x00, 0x00, 0x02, 0x02, 0x00, 0x00, 0x00, 0x00,
                                 0x01, 0x86, 0xdd, 0x60, 0x00, 0x00, 0x00, 0x00, 0x0c, 0x11, 0x40,
                                 0xfd, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
                                 0x00, 0x0a, 0x00, 0x00, 0x01, 0xfd, 0x00, 0x00, 0x00, 0x00, 0x00,
                                 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x0a, 0x00, 0x00, 0x02, 0x0f,
                                 0xc9, 0xc3, 0x50, 0x00, 0x0c, 0x53, 0xd3, 0x65, 0x76, 0x65, 0x6e};
static const uint8_t zero_sum[] = {
    0x02, 0x00, 0x00, 0x00, 0x00, 0x02, 0x02, 0x00, 0x00, 0x00, 0x00, 0x01, 0x86, 0xdd, 0x60, 0x00,
    0x00, 0x00, 0x00, 0x0a, 0x11, 0x40, 0xfd, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x0a, 0x00, 0x00, 0x01, 0xfd, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x0a, 0x00, 0x00, 0x02, 0x0f, 0xc9, 0xc3, 0x50, 0x00, 0x0a, 0xff, 0xff, 0x1e, 0xbc};

/* What a router answers to a datagram of ours to the peer: its MTU is 1300 (RFC 4443 3.2), and 1280 (RFC 1191 4). */
static const uint8_t too_big6[] = {
    0x02, 0x00, 0x00, 0x00, 0x00, 0x01, 0x02, 0x00, 0x00, 0x00, 0x00, 0x02, 0x86, 0xdd, 0x60, 0x00,
    0x00, 0x00, 0x00, 0x38, 0x3a, 0x40, 0xfd, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x0a, 0x00, 0x00, 0x02, 0xfd, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x0a, 0x00, 0x00, 0x01, 0x02, 0x00, 0x7a, 0xb1, 0x00, 0x00, 0x05, 0x14, 0x60, 0x00,
    0x00, 0x00, 0x05, 0x98, 0x11, 0x40, 0xfd, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x0a, 0x00, 0x00, 0x01, 0xfd, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x0a, 0x00, 0x00, 0x02, 0x0f, 0xc9, 0xc3, 0x50, 0x05, 0x98, 0x12, 0x34};
static const uint8_t too_big4[] = {
    0x02, 0x00, 0x00, 0x00, 0x00, 0x01, 0x02, 0x00, 0x00, 0x00, 0x00, 0x02, 0x08, 0x00,
    0x45, 0x00, 0x00, 0x38, 0x00, 0x01, 0x00, 0x00, 0x40, 0x01, 0x66, 0xc2, 0x0a, 0x00,
    0x00, 0x02, 0x0a, 0x00, 0x00, 0x01, 0x03, 0x04, 0x40, 0x28, 0x00, 0x00, 0x05, 0x00,
    0x45, 0x00, 0x05, 0xdc, 0x00, 0x01, 0x40, 0x00, 0x40, 0x11, 0x00, 0x00, 0x0a, 0x00,
    0x00, 0x01, 0x0a, 0x00, 0x00, 0x02, 0x0f, 0xc9, 0xc3, 0x50, 0x05, 0xc8, 0x00, 0x00};

struct fix {
    struct pw_fake_port port;
    struct pw_worker *w;
    uint8_t peer[16];
    uint32_t heard;
    struct pw_udp_datagram last;
    uint8_t bytes[64];
    uint32_t too_bigs, most;
    struct pw_udp_datagram quoted;
};

static bool
heard(void *ctx, struct pw_worker *w, const struct pw_udp_datagram *d)
{
    struct fix *f = ctx;

    (void)w;
    assert_true(d->len <= sizeof(f->bytes));
    memcpy(f->bytes, d->bytes, d->len);
    f->last = *d;
    f->heard++;
    return true;
}

static void
told(void *ctx, const struct pw_udp_datagram *quoted, uint32_t bytes)
{
    struct fix *f = ctx;

    f->too_bigs++;
    f->quoted = *quoted;
    f->most = bytes;
}

static uint32_t
nothing_to_flush(void *ctx, struct pw_worker *w)
{
    (void)ctx;
    (void)w;
    return 0;
}

static uint32_t
rest_us(void *ctx)
{
    (void)ctx;
    return UINT32_MAX;
}

/* The addresses are the appliance's own, or the kernel's. */
static struct fix *
made(bool ours)
{
    struct fix *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    pw_fake_port_init(&f->port, 511);
    pw_fake_ip6(PW_FAKE_PEER_IP, f->peer);
    f->w = pw_fake_worker_new(&f->port, ours, ours);
    assert_non_null(f->w);
    assert_int_equal(pw_udp_bind_ctl(f->w, &(struct pw_udp_user){.ctx = f,
                                                                 .port = OUR_UDP,
                                                                 .ports = 1,
                                                                 .input = heard,
                                                                 .too_big = told,
                                                                 .flush = nothing_to_flush,
                                                                 .rest_us = rest_us}),
                     0);
    return f;
}

static int
setup(void **state)
{
    *state = made(true);
    return 0;
}

static int
setup_kernels(void **state)
{
    *state = made(false);
    return 0;
}

static void
input(struct fix *f, const uint8_t *bytes, uint32_t len)
{
    pw_fake_rx(&f->port, pw_fake_frame(&f->port, bytes, len));
    pw_fake_poll(&f->port, f->w);
}

static int
output(struct fix *f, const void *text, uint32_t len)
{
    struct pw_udp_datagram d = {.port = PEER_UDP, .local_port = OUR_UDP, .len = len};
    uint8_t *payload;
    uint32_t room;
    struct rte_mbuf *m = pw_udp_frame(f->w, &payload, &room);

    assert_non_null(m);
    assert_true(room > len);
    memcpy(payload, text, len);
    memcpy(d.ip, f->peer, 16);
    int rc = pw_udp_send(f->w, m, &d);

    pw_fake_poll(&f->port, f->w);
    return rc;
}

static void
expect_frame(struct fix *f, const uint8_t *bytes, uint32_t len)
{
    struct rte_mbuf *m = pw_fake_tx_pop(&f->port, NULL);

    assert_non_null(m);
    assert_int_equal(m->data_len, len);
    assert_memory_equal(rte_pktmbuf_mtod(m, const uint8_t *), bytes, len);
    rte_pktmbuf_free(m);
}

static void
test_udp_input6__right_checksum__given_to_the_user(void **state)
{
    struct fix *f = *state;

    input(f, datagram, sizeof(datagram));
    assert_int_equal(f->heard, 1);
    assert_memory_equal(f->last.ip, f->peer, 16);
    assert_int_equal(f->last.port, PEER_UDP);
    assert_int_equal(f->last.local_port, OUR_UDP);
    assert_int_equal(f->last.len, 3);
    assert_memory_equal(f->bytes, "odd", 3);
}

static void
test_udp_input6__each_lie__counted_under_its_name(void **state)
{
    struct fix *f = *state;
    uint8_t b[sizeof(datagram)];

    memcpy(b, datagram, sizeof(b));
    b[sizeof(b) - 1] ^= 1;
    input(f, b, sizeof(b));
    assert_int_equal(pw_worker_drops(f->w, "udp_checksum"), 1);
    memcpy(b, datagram, sizeof(b));
    memset(b + SUM_AT, 0, 2); /* "none", which IPv4 alone allows */
    input(f, b, sizeof(b));
    assert_int_equal(pw_worker_drops(f->w, "udp_checksum"), 2);
    memcpy(b, datagram, sizeof(b));
    b[UDP_AT + 5]++; /* longer than the packet */
    input(f, b, sizeof(b));
    memcpy(b, datagram, sizeof(b));
    b[UDP_AT + 5] = 7; /* shorter than its header */
    input(f, b, sizeof(b));
    assert_int_equal(pw_worker_drops(f->w, "udp_short"), 2);
    memcpy(b, datagram, sizeof(b));
    b[UDP_AT + 3]++, b[SUM_AT + 1]--; /* the next port, and the sum that goes with it */
    input(f, b, sizeof(b));
    assert_int_equal(pw_worker_drops(f->w, "udp_port"), 1);
    assert_int_equal(f->heard, 0);
}

static void
test_udp_send__neighbour_learned_from_a_datagram__frame_as_written_down(void **state)
{
    struct fix *f = *state;

    input(f, datagram, sizeof(datagram));
    assert_int_equal(output(f, "even", 4), 0);
    expect_frame(f, answer, sizeof(answer));
}

static void
test_udp_send__checksum_of_zero__sent_as_all_ones(void **state)
{
    static const uint8_t text[] = {0x1e, 0xbc};
    struct fix *f = *state;

    input(f, datagram, sizeof(datagram));
    assert_int_equal(output(f, text, sizeof(text)), 0);
    expect_frame(f, zero_sum, sizeof(zero_sum));
}

static void
test_udp_send__unknown_neighbour_of_the_kernels__the_kernel_is_asked(void **state)
{
    struct fix *f = *state;
    uint8_t ip[16];

    assert_false(pw_worker_wants_neighbour_ctl(f->w, ip));
    assert_int_equal(output(f, "even", 4), PW_EAGAIN);
    assert_int_equal(f->port.tx_count, 0); /* no solicitation of ours */
    assert_true(pw_worker_wants_neighbour_ctl(f->w, ip));
    assert_memory_equal(ip, f->peer, 16);
    pw_worker_neighbour_ctl(f->w, pw_fake_peer_mac);
    assert_int_equal(output(f, "even", 4), 0);
    expect_frame(f, answer, sizeof(answer));
    assert_int_equal(output(f, "even", 4), 0); /* remembered */
    assert_false(pw_worker_wants_neighbour_ctl(f->w, ip));
    expect_frame(f, answer, sizeof(answer));
}

static void
test_udp_too_big__a_router_quotes_ours__the_user_is_told(void **state)
{
    struct fix *f = *state;
    uint8_t ip4[16] = {[10] = 0xFF, [11] = 0xFF, 10, 0, 0, 2};

    input(f, too_big6, sizeof(too_big6));
    assert_int_equal(f->too_bigs, 1);
    assert_int_equal(f->most, 1300 - 40 - 8);
    assert_memory_equal(f->quoted.ip, f->peer, 16);
    assert_int_equal(f->quoted.port, PEER_UDP);
    assert_int_equal(f->quoted.local_port, OUR_UDP);
    input(f, too_big4, sizeof(too_big4));
    assert_int_equal(f->too_bigs, 2);
    assert_int_equal(f->most, 1280 - 20 - 8);
    assert_memory_equal(f->quoted.ip, ip4, 16);
    f->w->udp.port++; /* the quoted port is nobody's now */
    input(f, too_big6, sizeof(too_big6));
    input(f, too_big4, sizeof(too_big4));
    assert_int_equal(f->too_bigs, 2);
    assert_int_equal(pw_worker_drops(f->w, "icmp_stale"), 2);
}

#define T(name, how) cmocka_unit_test_setup_teardown(name, how, pw_fake_worker_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_udp_input6__right_checksum__given_to_the_user, setup),
        T(test_udp_input6__each_lie__counted_under_its_name, setup),
        T(test_udp_send__neighbour_learned_from_a_datagram__frame_as_written_down, setup),
        T(test_udp_too_big__a_router_quotes_ours__the_user_is_told, setup),
        T(test_udp_send__checksum_of_zero__sent_as_all_ones, setup),
        T(test_udp_send__unknown_neighbour_of_the_kernels__the_kernel_is_asked, setup_kernels),
    };

    return pw_fake_eal_init() ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
