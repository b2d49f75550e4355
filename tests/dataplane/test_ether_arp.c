#include "dataplane/ether_arp.h"

#include "dataplane/worker_priv.h"
#include "tests/support/cmocka_pw.h"
#include "tests/support/fake_port.h"

#include <stdlib.h>

static const uint8_t broadcast[6] = {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF};

struct arp {
    const uint8_t *dst_mac;
    uint16_t op;
    uint32_t sender;
    uint32_t target;
    uint32_t len; /* of the frame; 0: whole, padded to 60 as on a wire */
    uint16_t htype;
};

static void
arp_input(struct pw_fake_worker *f, struct arp a)
{
    uint8_t b[60] = {0};
    uint8_t *p = b + PW_ETHER_BYTES;

    pw_ether_put(b, a.dst_mac, pw_fake_peer_mac, PW_ETHER_TYPE_ARP);
    pw_store_be16(p, a.htype == 0 ? 1 : a.htype);
    pw_store_be16(p + 2, PW_ETHER_TYPE_IP4);
    p[4] = 6;
    p[5] = 4;
    pw_store_be16(p + 6, a.op);
    memcpy(p + 8, pw_fake_peer_mac, 6);
    pw_store_be32(p + 14, a.sender);
    pw_store_be32(p + 24, a.target);
    pw_fake_rx(&f->port, pw_fake_frame(&f->port, b, a.len == 0 ? sizeof(b) : a.len));
    pw_fake_poll(&f->port, f->w);
}

static void
test_arp_input__request_for_us__reply_and_learned(void **state)
{
    struct pw_fake_worker *f = *state;

    arp_input(f, (struct arp){broadcast, 1, PW_FAKE_PEER_IP, PW_FAKE_OUR_IP, 0, 0});
    struct rte_mbuf *m = pw_fake_tx_pop(&f->port, NULL);

    assert_non_null(m);
    const uint8_t *p = rte_pktmbuf_mtod(m, const uint8_t *);

    assert_int_equal(m->data_len, 42);
    assert_memory_equal(p, pw_fake_peer_mac, 6);
    assert_memory_equal(p + 6, pw_fake_our_mac, 6);
    assert_int_equal(pw_load_be16(p + 20), 2);
    assert_memory_equal(p + 22, pw_fake_our_mac, 6);
    assert_int_equal(pw_load_be32(p + 28), PW_FAKE_OUR_IP);
    assert_memory_equal(p + 32, pw_fake_peer_mac, 6);
    assert_int_equal(pw_load_be32(p + 38), PW_FAKE_PEER_IP);
    rte_pktmbuf_free(m);
    const struct pw_neigh *n = pw_neigh_find(&f->w->neigh, PW_FAKE_PEER_IP);

    assert_non_null(n);
    assert_memory_equal(n->mac, pw_fake_peer_mac, 6);
}

static void
test_arp_input__not_for_us__silence(void **state)
{
    struct pw_fake_worker *f = *state;

    arp_input(f, (struct arp){broadcast, 1, PW_FAKE_PEER_IP, 0x0A000009, 0, 0});
    arp_input(f, (struct arp){broadcast, 1, 0x0B000002, PW_FAKE_OUR_IP, 0, 0}); /* off link */
    arp_input(f, (struct arp){broadcast, 1, PW_FAKE_OUR_IP, PW_FAKE_OUR_IP, 0, 0});
    assert_int_equal(pw_worker_drops(f->w, "arp_not_ours"), 3);
    arp_input(f, (struct arp){broadcast, 1, PW_FAKE_PEER_IP, PW_FAKE_OUR_IP, 41, 0});
    arp_input(f, (struct arp){broadcast, 1, PW_FAKE_PEER_IP, PW_FAKE_OUR_IP, 0, 6});
    assert_int_equal(pw_worker_drops(f->w, "arp_bad"), 2);
    assert_int_equal(f->port.tx_count, 0);
    assert_null(pw_neigh_find(&f->w->neigh, PW_FAKE_PEER_IP));
}

static void
test_arp_input__not_for_us_from_who_is_known__followed(void **state)
{
    static const uint8_t before[6] = {2, 0, 0, 0, 0, 0x55};
    struct pw_fake_worker *f = *state;

    pw_neigh_learn(&f->w->neigh, PW_FAKE_PEER_IP, before, 0);
    arp_input(f, (struct arp){broadcast, 1, PW_FAKE_PEER_IP, PW_FAKE_PEER_IP, 0, 0});
    assert_int_equal(pw_worker_drops(f->w, "arp_not_ours"), 1);
    assert_int_equal(f->port.tx_count, 0);
    assert_memory_equal(pw_neigh_find(&f->w->neigh, PW_FAKE_PEER_IP)->mac, pw_fake_peer_mac, 6);
}

static void
test_arp_input__kernel_owns_the_address__learned_not_answered(void **state)
{
    struct pw_fake_worker *f = *state;

    pw_worker_destroy_ctl(f->w);
    f->w = pw_fake_worker_new(&f->port, false, true);
    arp_input(f, (struct arp){broadcast, 1, PW_FAKE_PEER_IP, PW_FAKE_OUR_IP, 0, 0});
    assert_int_equal(f->port.tx_count, 0);
    assert_non_null(pw_neigh_find(&f->w->neigh, PW_FAKE_PEER_IP));
}

static void
test_ether__frames_not_ours__counted(void **state)
{
    struct pw_fake_worker *f = *state;
    uint8_t b[60] = {0};

    pw_ether_put(b, pw_fake_peer_mac, pw_fake_peer_mac, PW_ETHER_TYPE_IP4);
    pw_fake_rx(&f->port, pw_fake_frame(&f->port, b, sizeof(b)));
    pw_ether_put(b, broadcast, pw_fake_peer_mac, PW_ETHER_TYPE_IP4);
    pw_fake_rx(&f->port, pw_fake_frame(&f->port, b, sizeof(b)));
    pw_ether_put(b, pw_fake_our_mac, pw_fake_peer_mac, 0x8100);
    pw_fake_rx(&f->port, pw_fake_frame(&f->port, b, sizeof(b)));
    pw_fake_rx(&f->port, pw_fake_frame(&f->port, b, 13));
    pw_fake_poll(&f->port, f->w);
    assert_int_equal(pw_worker_drops(f->w, "ether_not_ours"), 2);
    assert_int_equal(pw_worker_drops(f->w, "ether_type"), 1);
    assert_int_equal(pw_worker_drops(f->w, "ether_short"), 1);
    assert_int_equal(pw_worker_stat(f->w, "rx_frames"), 4);
}

static void
test_neigh_resolve__unknown__one_request_a_second_then_the_answer(void **state)
{
    struct pw_fake_worker *f = *state;
    uint8_t mac[6];

    assert_int_equal(pw_neigh_resolve(f->w, PW_FAKE_PEER_IP, mac), PW_EAGAIN);
    assert_int_equal(pw_neigh_resolve(f->w, PW_FAKE_PEER_IP, mac), PW_EAGAIN);
    pw_fake_poll(&f->port, f->w);
    assert_int_equal(f->port.tx_count, 1);
    struct rte_mbuf *m = pw_fake_tx_pop(&f->port, NULL);
    const uint8_t *p = rte_pktmbuf_mtod(m, const uint8_t *);

    assert_memory_equal(p, broadcast, 6);
    assert_int_equal(pw_load_be16(p + 20), 1);
    assert_int_equal(pw_load_be32(p + 38), PW_FAKE_PEER_IP);
    rte_pktmbuf_free(m);
    pw_fake_run(&f->port, f->w, 1001);
    assert_int_equal(pw_neigh_resolve(f->w, PW_FAKE_PEER_IP, mac), PW_EAGAIN);
    pw_fake_poll(&f->port, f->w);
    assert_int_equal(f->port.tx_count, 1);
    rte_pktmbuf_free(pw_fake_tx_pop(&f->port, NULL));
    arp_input(f, (struct arp){pw_fake_our_mac, 2, PW_FAKE_PEER_IP, PW_FAKE_OUR_IP, 0, 0});
    assert_int_equal(pw_neigh_resolve(f->w, PW_FAKE_PEER_IP, mac), 0);
    assert_memory_equal(mac, pw_fake_peer_mac, 6);
}

static void
test_neigh_resolve__off_link__asks_for_the_gateway(void **state)
{
    struct pw_fake_worker *f = *state;
    uint8_t mac[6];

    assert_int_equal(pw_neigh_resolve(f->w, 0x08080808, mac), PW_EAGAIN);
    pw_fake_poll(&f->port, f->w);
    struct rte_mbuf *m = pw_fake_tx_pop(&f->port, NULL);

    assert_int_equal(pw_load_be32(rte_pktmbuf_mtod_offset(m, const uint8_t *, 38)), 0x0A0000FE);
    rte_pktmbuf_free(m);
    f->w->gateway = 0;
    assert_int_equal(pw_neigh_resolve(f->w, 0x08080808, mac), PW_ENOENT);
}

static void
test_neigh_learn__set_full__the_oldest_makes_room(void **state)
{
    struct pw_fake_worker *f = *state;
    uint8_t mac[6] = {2};
    uint32_t ip[PW_NEIGH_WAYS + 1];
    uint32_t found = 0;

    /* Addresses of one set, by looking: the table's hash is its own business. */
    for (uint32_t a = 0x0A010000; found < PW_NEIGH_WAYS + 1; a++) {
        if (((a ^ (a >> 8)) % PW_NEIGH_SETS) == 7) {
            ip[found++] = a;
        }
    }
    for (uint32_t i = 0; i < found; i++) {
        mac[5] = (uint8_t)i;
        pw_neigh_learn(&f->w->neigh, ip[i], mac, 10 + i);
    }
    assert_null(pw_neigh_find(&f->w->neigh, ip[0]));
    for (uint32_t i = 1; i < found; i++) {
        const struct pw_neigh *n = pw_neigh_find(&f->w->neigh, ip[i]);

        assert_non_null(n);
        assert_int_equal(n->mac[5], i);
    }
    pw_neigh_learn(&f->w->neigh, ip[0], broadcast, 99); /* a multicast MAC is nobody's */
    assert_null(pw_neigh_find(&f->w->neigh, ip[0]));
}

#define T(name) cmocka_unit_test_setup_teardown(name, pw_fake_worker_setup, pw_fake_worker_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_arp_input__request_for_us__reply_and_learned),
        T(test_arp_input__not_for_us__silence),
        T(test_arp_input__not_for_us_from_who_is_known__followed),
        T(test_arp_input__kernel_owns_the_address__learned_not_answered),
        T(test_ether__frames_not_ours__counted),
        T(test_neigh_resolve__unknown__one_request_a_second_then_the_answer),
        T(test_neigh_resolve__off_link__asks_for_the_gateway),
        T(test_neigh_learn__set_full__the_oldest_makes_room),
    };

    return pw_fake_eal_init() ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
