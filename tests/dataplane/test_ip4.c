#include "dataplane/ip4.h"

#include "dataplane/worker_priv.h"
#include "tests/support/cmocka_pw.h"
#include "tests/support/fake_port.h"

#include <stdlib.h>

/* The example of RFC 1071 section 3: 00 01 f2 03 f4 f5 f6 f7 sums to ddf2. */
static void
test_cksum__rfc_1071_example__ddf2(void **state)
{
    static const uint8_t b[] = {0x00, 0x01, 0xF2, 0x03, 0xF4, 0xF5, 0xF6, 0xF7};
    uint16_t sum = pw_cksum_fold(pw_cksum_add(0, b, sizeof(b)));
    uint8_t out[2];

    memcpy(out, &sum, 2);
    assert_int_equal(out[0], 0xDD);
    assert_int_equal(out[1], 0xF2);
}

/* Against 16-bit words added one by one, for every length and alignment up to 80. */
static void
test_cksum__lengths_and_alignments__as_word_by_word(void **state)
{
    uint8_t b[128];

    for (uint32_t i = 0; i < sizeof(b); i++) {
        b[i] = (uint8_t)(i * 151 + 77);
    }
    memset(b + 20, 0xFF, 40); /* carries everywhere */
    for (uint32_t at = 0; at < 8; at++) {
        for (uint32_t n = 0; n < 80; n++) {
            uint32_t want = 0;

            for (uint32_t i = 0; i < n; i += 2) {
                want += b[at + i] + (i + 1 < n ? (uint32_t)b[at + i + 1] << 8 : 0);
                want = (want & 0xFFFF) + (want >> 16);
            }
            assert_int_equal(pw_cksum_fold(pw_cksum_add(0, b + at, n)), want);
        }
    }
}

struct packet {
    uint8_t frame[256];
    uint32_t len;
};

/* The header's sum is made of its values, not of its bytes. */
static void
test_ip4_put__any_values__header_sums_to_ffff(void **state)
{
    struct pw_fake_worker *f = *state;
    uint64_t x = 88172645463325252ULL;

    for (uint32_t i = 0; i < 100000; i++) {
        uint8_t h[PW_IP4_BYTES];

        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        /* Every id in turn; addresses of all ones and zeros among the others. */
        struct pw_ip4 ip = {.src = i % 5 == 0 ? UINT32_MAX : (uint32_t)x,
                            .dst = i % 7 == 0 ? 0 : (uint32_t)(x >> 32),
                            .payload_len = (uint32_t)(x >> 20) % 65516,
                            .protocol = (uint8_t)(x >> 11),
                            .df = i % 2 == 0};

        pw_ip4_put(f->w, h, &ip);
        assert_int_equal(pw_cksum_fold(pw_cksum_add(0, h, PW_IP4_BYTES)), 0xFFFF);
        assert_int_equal(pw_load_be16(h + 2), PW_IP4_BYTES + ip.payload_len);
        assert_int_equal(pw_load_be16(h + 6), ip.df ? 0x4000 : 0);
        assert_int_equal(h[9], ip.protocol);
        assert_int_equal(pw_load_be32(h + 12), ip.src);
        assert_int_equal(pw_load_be32(h + 16), ip.dst);
    }
}

/* An IPv4 packet of ihl words and payload bytes, checksum right. */
static struct packet
packet_of(uint32_t ihl, uint8_t protocol, uint32_t payload)
{
    struct packet p = {.len = PW_ETHER_BYTES + ihl * 4 + payload};
    uint8_t *ip = p.frame + PW_ETHER_BYTES;

    pw_ether_put(p.frame, pw_fake_our_mac, pw_fake_peer_mac, PW_ETHER_TYPE_IP4);
    ip[0] = (uint8_t)(0x40 | ihl);
    pw_store_be16(ip + 2, (uint16_t)(ihl * 4 + payload));
    ip[8] = 1;
    ip[9] = protocol;
    pw_store_be32(ip + 12, PW_FAKE_PEER_IP);
    pw_store_be32(ip + 16, PW_FAKE_OUR_IP);
    return p;
}

static void
seal(struct packet *p)
{
    uint8_t *ip = p->frame + PW_ETHER_BYTES;
    uint32_t ihl = (uint32_t)(ip[0] & 0xF) * 4;

    memset(ip + 10, 0, 2);
    uint16_t sum = (uint16_t)~pw_cksum_fold(pw_cksum_add(0, ip, ihl < 20 ? 20 : ihl));

    memcpy(ip + 10, &sum, 2);
}

static void
input(struct pw_fake_worker *f, const struct packet *p)
{
    pw_fake_rx(&f->port, pw_fake_frame(&f->port, p->frame, p->len));
    pw_fake_poll(&f->port, f->w);
}

static void
put_be16(struct packet *p, uint32_t off, uint16_t v)
{
    pw_store_be16(p->frame + PW_ETHER_BYTES + off, v);
}

static void
put_be32(struct packet *p, uint32_t off, uint32_t v)
{
    pw_store_be32(p->frame + PW_ETHER_BYTES + off, v);
}

static void
test_ip4_check__each_lie__counted_under_its_name(void **state)
{
    struct pw_fake_worker *f = *state;
    struct packet p = packet_of(5, 47, 20);

    seal(&p);
    input(f, &p);
    assert_int_equal(pw_worker_drops(f->w, "ip4_protocol"), 1);
    p.frame[PW_ETHER_BYTES + 10] ^= 1;
    input(f, &p);
    assert_int_equal(pw_worker_drops(f->w, "ip4_checksum"), 1);

    p = packet_of(5, 6, 20), p.frame[PW_ETHER_BYTES] = 0x65, seal(&p), input(f, &p);
    p = packet_of(5, 6, 20), p.frame[PW_ETHER_BYTES] = 0x44, seal(&p), input(f, &p);
    assert_int_equal(pw_worker_drops(f->w, "ip4_version"), 2);

    p = packet_of(5, 6, 20), put_be16(&p, 2, 41), seal(&p), input(f, &p); /* beyond the frame */
    p = packet_of(5, 6, 20), put_be16(&p, 2, 19), seal(&p), input(f, &p); /* below the header */
    p = packet_of(5, 6, 20), p.len = PW_ETHER_BYTES + 19, input(f, &p);
    p = packet_of(15, 6, 0), p.len = PW_ETHER_BYTES + 30, input(f, &p);
    assert_int_equal(pw_worker_drops(f->w, "ip4_short"), 4);

    p = packet_of(5, 6, 20), put_be16(&p, 6, 0x2000), seal(&p), input(f, &p); /* first */
    p = packet_of(5, 6, 20), put_be16(&p, 6, 0x0001), seal(&p), input(f, &p); /* last */
    assert_int_equal(pw_worker_drops(f->w, "ip4_fragment"), 2);
    p = packet_of(5, 47, 20), put_be16(&p, 6, 0x4000), seal(&p), input(f, &p); /* DF is fine */
    assert_int_equal(pw_worker_drops(f->w, "ip4_protocol"), 2);

    p = packet_of(5, 17, 20), seal(&p), input(f, &p); /* whose length says 0 */
    assert_int_equal(pw_worker_drops(f->w, "udp_short"), 1);
    p = packet_of(5, 17, 20), put_be16(&p, 24, 20), seal(&p), input(f, &p);
    assert_int_equal(pw_worker_drops(f->w, "udp_port"), 1);

    p = packet_of(5, 6, 20), put_be32(&p, 16, 0x0A000003), seal(&p), input(f, &p);
    assert_int_equal(pw_worker_drops(f->w, "ip4_not_ours"), 1);

    static const uint32_t bad_source[] = {0,          0xFFFFFFFF, 0xE0000001,
                                          0x7F000001, 0x0A0000FF, PW_FAKE_OUR_IP};

    for (uint32_t i = 0; i < PW_ARRAY_LEN(bad_source); i++) {
        p = packet_of(5, 6, 20), put_be32(&p, 12, bad_source[i]), seal(&p), input(f, &p);
        assert_int_equal(pw_worker_drops(f->w, "ip4_source"), i + 1);
    }
    assert_int_equal(f->port.tx_count, 0);
}

static void
test_ip4_check__options__tolerated(void **state)
{
    struct pw_fake_worker *f = *state;
    struct packet p = packet_of(15, 47, 4);

    memset(p.frame + PW_ETHER_BYTES + 20, 1, 40); /* NOP */
    seal(&p);
    input(f, &p);
    assert_int_equal(pw_worker_drops(f->w, "ip4_protocol"), 1);
}

static struct packet
echo_request(uint32_t bytes)
{
    struct packet p = packet_of(5, PW_IP4_PROTO_ICMP, bytes);
    uint8_t *icmp = p.frame + PW_ETHER_BYTES + PW_IP4_BYTES;

    for (uint32_t i = 4; i < bytes; i++) {
        icmp[i] = (uint8_t)(i * 3);
    }
    icmp[0] = 8;
    uint16_t sum = (uint16_t)~pw_cksum_fold(pw_cksum_add(0, icmp, bytes));

    memcpy(icmp + 2, &sum, 2);
    seal(&p);
    return p;
}

static void
test_icmp_input__echo_request__same_bytes_back(void **state)
{
    struct pw_fake_worker *f = *state;
    struct packet p = echo_request(57); /* odd */

    p.len += 3; /* Ethernet padding is not part of it */
    input(f, &p);
    struct rte_mbuf *m = pw_fake_tx_pop(&f->port, NULL);

    assert_non_null(m);
    const uint8_t *r = rte_pktmbuf_mtod(m, const uint8_t *);
    const uint8_t *icmp = r + PW_ETHER_BYTES + PW_IP4_BYTES;

    assert_int_equal(m->data_len, p.len - 3);
    assert_memory_equal(r, pw_fake_peer_mac, 6);
    assert_int_equal(pw_cksum_fold(pw_cksum_add(0, r + PW_ETHER_BYTES, 20)), 0xFFFF);
    assert_int_equal(pw_load_be32(r + PW_ETHER_BYTES + 12), PW_FAKE_OUR_IP);
    assert_int_equal(pw_load_be32(r + PW_ETHER_BYTES + 16), PW_FAKE_PEER_IP);
    assert_int_equal(icmp[0], 0);
    assert_int_equal(pw_cksum_fold(pw_cksum_add(0, icmp, 57)), 0xFFFF);
    assert_memory_equal(icmp + 4, p.frame + PW_ETHER_BYTES + PW_IP4_BYTES + 4, 53);
    rte_pktmbuf_free(m);
}

static void
test_icmp_input__kernel_owns_the_address_or_broken__silence(void **state)
{
    struct pw_fake_worker *f = *state;
    struct packet p = echo_request(16);

    p.frame[PW_ETHER_BYTES + PW_IP4_BYTES + 9] ^= 1;
    input(f, &p);
    assert_int_equal(pw_worker_drops(f->w, "icmp_bad"), 1);
    pw_worker_destroy_ctl(f->w);
    f->w = pw_fake_worker_new(&f->port, false, true);
    p = echo_request(16);
    input(f, &p);
    assert_int_equal(pw_worker_drops(f->w, "icmp_ignored"), 1);
    assert_int_equal(f->port.tx_count, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, pw_fake_worker_setup, pw_fake_worker_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cksum__rfc_1071_example__ddf2),
        cmocka_unit_test(test_cksum__lengths_and_alignments__as_word_by_word),
        T(test_ip4_put__any_values__header_sums_to_ffff),
        T(test_ip4_check__each_lie__counted_under_its_name),
        T(test_ip4_check__options__tolerated),
        T(test_icmp_input__echo_request__same_bytes_back),
        T(test_icmp_input__kernel_owns_the_address_or_broken__silence),
    };

    return pw_fake_eal_init() ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
