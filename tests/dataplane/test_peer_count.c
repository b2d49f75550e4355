#include "dataplane/peer_count.h"
#include "tests/support/cmocka_pw.h"

#include <string.h>

enum { CONNS_MAX = 64, PER_PEER = 3 };

static struct pw_peer_addr
v4(uint32_t n)
{
    struct pw_peer_addr a = {.port = (uint16_t)n};

    a.ip[10] = a.ip[11] = 0xff;
    memcpy(a.ip + 12, &n, 4);
    return a;
}

static void
test_add__more_than_allowed__refused_until_one_leaves(void **state)
{
    struct pw_peer_count p;
    struct pw_peer_addr a = v4(1);
    struct pw_peer_addr b = v4(2);

    (void)state;
    assert_int_equal(pw_peer_count_init_ctl(&p, CONNS_MAX, PER_PEER, 1), 0);
    for (uint16_t i = 0; i < PER_PEER; i++) {
        a.port = i;
        assert_true(pw_peer_count_add(&p, &a));
    }
    assert_false(pw_peer_count_add(&p, &a));
    assert_int_equal(pw_peer_count_of(&p, &a), PER_PEER);
    assert_true(pw_peer_count_add(&p, &b));
    pw_peer_count_remove(&p, &a);
    assert_true(pw_peer_count_add(&p, &a));
    pw_peer_count_fini_ctl(&p);
}

static void
test_add__no_limit__anything_goes(void **state)
{
    struct pw_peer_count p;
    struct pw_peer_addr a = v4(1);

    (void)state;
    assert_int_equal(pw_peer_count_init_ctl(&p, CONNS_MAX, 0, 1), 0);
    for (int i = 0; i < 1000; i++) {
        assert_true(pw_peer_count_add(&p, &a));
    }
    pw_peer_count_remove(&p, &a);
    pw_peer_count_fini_ctl(&p);
}

static void
test_add__addresses_of_one_v6_network__counted_as_one(void **state)
{
    struct pw_peer_count p;
    struct pw_peer_addr a = {.ip = {0x20, 1, 0xd, 0xb8, 0, 0, 0, 1}};
    struct pw_peer_addr other = {.ip = {0x20, 1, 0xd, 0xb8, 0, 0, 0, 2}};

    (void)state;
    assert_int_equal(pw_peer_count_init_ctl(&p, CONNS_MAX, PER_PEER, 1), 0);
    for (uint8_t i = 0; i < PER_PEER; i++) {
        a.ip[15] = i;
        assert_true(pw_peer_count_add(&p, &a));
    }
    a.ip[15] = 200;
    assert_false(pw_peer_count_add(&p, &a));
    assert_true(pw_peer_count_add(&p, &other));
    pw_peer_count_fini_ctl(&p);
}

/* Against an array of counts: long chains (half full), removals in every order. */
static void
test_churn__random_order__as_a_plain_array_counts(void **state)
{
    enum { PEERS = 48, STEPS = 200000 };
    struct pw_peer_count p;
    uint32_t want[PEERS] = {0};
    uint32_t total = 0;
    uint32_t seed = 1;

    (void)state;
    for (uint64_t key = 0; key < 8; key++) {
        assert_int_equal(pw_peer_count_init_ctl(&p, CONNS_MAX, PER_PEER, key), 0);
        memset(want, 0, sizeof(want));
        total = 0;
        for (uint32_t i = 0; i < STEPS / 8; i++) {
            seed = seed * 1664525 + 1013904223;
            uint32_t who = (seed >> 16) % PEERS;
            struct pw_peer_addr a = v4(who * 2654435761U);

            if (((seed >> 8) & 1) != 0 && total < CONNS_MAX) {
                bool ok = pw_peer_count_add(&p, &a);

                assert_int_equal(ok, want[who] < PER_PEER);
                want[who] += ok ? 1 : 0;
                total += ok ? 1 : 0;
            } else if (want[who] > 0) {
                pw_peer_count_remove(&p, &a);
                want[who]--;
                total--;
            }
            assert_int_equal(pw_peer_count_of(&p, &a), want[who]);
        }
        for (uint32_t who = 0; who < PEERS; who++) {
            struct pw_peer_addr a = v4(who * 2654435761U);

            assert_int_equal(pw_peer_count_of(&p, &a), want[who]);
        }
        pw_peer_count_fini_ctl(&p);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_add__more_than_allowed__refused_until_one_leaves),
        cmocka_unit_test(test_add__no_limit__anything_goes),
        cmocka_unit_test(test_add__addresses_of_one_v6_network__counted_as_one),
        cmocka_unit_test(test_churn__random_order__as_a_plain_array_counts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
