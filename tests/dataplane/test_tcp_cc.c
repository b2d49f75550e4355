#include "dataplane/tcp_cc.h"

#include "tests/support/cmocka_pw.h"

#include <math.h>

enum { MSS = 1000 };

/* One congestion-avoidance round trip: every segment of the window is acknowledged. */
static void
round_trip(struct pw_tcp_cc *c, uint64_t now_ms, uint32_t rtt_ms)
{
    for (uint32_t n = c->cwnd / MSS; n > 0; n--) {
        c->ops->acked(c, MSS, MSS, now_ms, rtt_ms);
    }
}

static struct pw_tcp_cc
cc_at(const struct pw_tcp_cc_ops *ops, uint32_t cwnd)
{
    struct pw_tcp_cc c = {.ops = ops};

    ops->init(&c, MSS, false);
    c.cwnd = cwnd;
    c.ssthresh = cwnd;
    return c;
}

static void
test_init__ten_segments_or_one_after_a_lost_handshake(void **state)
{
    struct pw_tcp_cc c = {.ops = &pw_tcp_cc_cubic};

    c.ops->init(&c, 1460, false);
    assert_int_equal(c.cwnd, 14600);
    c.ops->init(&c, 8960, false); /* RFC 6928 2: no more than 14600, no less than two segments */
    assert_int_equal(c.cwnd, 17920);
    c.ops->init(&c, 1460, true);
    assert_int_equal(c.cwnd, 1460);
}

static void
test_reno__one_segment_a_round_trip(void **state)
{
    struct pw_tcp_cc c = cc_at(&pw_tcp_cc_reno, 100 * MSS);

    for (uint32_t i = 0; i < 10; i++) {
        round_trip(&c, i * 100, 100);
    }
    assert_in_range(c.cwnd, 109 * MSS, 110 * MSS);
    c.ops->lost(&c, MSS, 100 * MSS);
    assert_int_equal(c.cwnd, 50 * MSS);
}

/* RFC 9438 figure 1: after a loss at W_max the window follows 0.4 (t - K)^3 + W_max, in segments and
 * seconds, with K = cbrt(0.3 W_max / 0.4). Checked against floating point on every step. */
static void
test_cubic__follows_its_curve_past_w_max(void **state)
{
    const double w_max = 2000;
    struct pw_tcp_cc c = cc_at(&pw_tcp_cc_cubic, (uint32_t)w_max * MSS);
    double k = cbrt(w_max * 0.3 / 0.4);

    c.ops->lost(&c, MSS, c.cwnd);
    assert_int_equal(c.cwnd, 1400 * MSS);
    for (uint64_t ms = 1; ms < 20000; ms += 100) {
        round_trip(&c, ms, 100);
        double t = (double)(ms - 1) / 1000 + 0.1;
        double want = 0.4 * pow(t - k, 3) + w_max;

        assert_true(fabs(c.cwnd / (double)MSS - want) < want * 0.02);
    }
    assert_true(c.cwnd > w_max * MSS); /* 11.4 s to W_max, then beyond */
}

/* 4.3: where windows are small, CUBIC is no slower than Reno with the same beta would be. */
static void
test_cubic__is_not_slower_than_reno_in_small_networks(void **state)
{
    struct pw_tcp_cc c = cc_at(&pw_tcp_cc_cubic, 10 * MSS);

    c.ops->lost(&c, MSS, c.cwnd);
    for (uint32_t i = 1; i <= 100; i++) {
        round_trip(&c, i, 1); /* 100 round trips in 100 ms: the curve has hardly moved */
    }
    assert_in_range(c.cwnd, 40 * MSS, 120 * MSS); /* alpha 9/17, then 1 beyond the old window */
}

static void
test_cubic__fast_convergence_gives_up_a_part_of_w_max(void **state)
{
    struct pw_tcp_cc c = cc_at(&pw_tcp_cc_cubic, 100 * MSS);

    c.ops->lost(&c, MSS, c.cwnd);
    assert_int_equal(c.w_max, 100 * MSS);
    c.ops->lost(&c, MSS, c.cwnd); /* at 70: below the old W_max */
    assert_int_equal(c.w_max, 70 * MSS * 17 / 20);
    assert_int_equal(c.cwnd, 49 * MSS);
    c.ops->timeout(&c, MSS, c.cwnd);
    assert_int_equal(c.cwnd, MSS);
    assert_int_equal(c.ssthresh, 49 * MSS * 7 / 10);
}

static void
test_acked__windows_stay_bounded_and_never_shrink(void **state)
{
    const struct pw_tcp_cc_ops *ops[] = {&pw_tcp_cc_reno, &pw_tcp_cc_cubic};
    uint64_t r = 42;

    for (size_t k = 0; k < PW_ARRAY_LEN(ops); k++) {
        struct pw_tcp_cc c = cc_at(ops[k], 20 * MSS);
        uint64_t now = 0;

        for (uint32_t i = 0; i < 200000; i++) {
            uint32_t before = c.cwnd;

            r = r * 6364136223846793005U + 1442695040888963407U;
            now += r >> 60;
            if (i % 5000 == 4999) {
                c.ops->lost(&c, MSS, c.cwnd);
                continue;
            }
            c.ops->acked(&c, MSS, (uint32_t)(r >> 33) % (3 * MSS), now, (uint32_t)(r >> 50) % 500);
            assert_true(c.cwnd >= before && c.cwnd >= MSS);
            assert_true(c.cwnd - before <= before / 2 + 3 * MSS);
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_init__ten_segments_or_one_after_a_lost_handshake),
        cmocka_unit_test(test_reno__one_segment_a_round_trip),
        cmocka_unit_test(test_cubic__follows_its_curve_past_w_max),
        cmocka_unit_test(test_cubic__is_not_slower_than_reno_in_small_networks),
        cmocka_unit_test(test_cubic__fast_convergence_gives_up_a_part_of_w_max),
        cmocka_unit_test(test_acked__windows_stay_bounded_and_never_shrink),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
