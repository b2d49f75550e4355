/* The conversions of base/clock against the same in 128 bits, where both ways of computing meet. */
#include "base/clock.h"

#include "tests/support/cmocka_pw.h"

static const uint64_t rate[] = {1000000,    999999937,        2600000000, UINT32_MAX,
                                5100000000, (1ULL << 34) - 1, 1ULL << 34};

static void
test_us_to_tsc__any_span__as_in_128_bits(void **state)
{
    static const uint64_t us[] = {
        0, 1, 999999, 1000000, 10000000, (1U << 30) - 1, 1ULL << 30, 1ULL << 32, 1ULL << 44};

    (void)state;
    for (size_t r = 0; r < sizeof(rate) / sizeof(rate[0]); r++) {
        struct pw_clock c = {.tsc_hz = rate[r]};

        for (size_t i = 0; i < sizeof(us) / sizeof(us[0]); i++) {
            uint64_t want = (uint64_t)((unsigned __int128)us[i] * rate[r] / 1000000U);

            assert_int_equal(pw_clock_us_to_tsc(&c, us[i]), want);
        }
    }
}

static void
test_tsc_to_ns__up_to_a_century__as_in_128_bits(void **state)
{
    (void)state;
    for (size_t r = 0; r < sizeof(rate) / sizeof(rate[0]); r++) {
        struct pw_clock c = {.tsc_hz = rate[r]};
        uint64_t end =
            rate[r] *
            3200000000U; /* a century in ticks; wraps for the fastest, which is a span as well */

        for (uint64_t tsc = 1; tsc < end && tsc < UINT64_MAX / 3; tsc = 3 * tsc + 1) {
            uint64_t want = (uint64_t)((unsigned __int128)tsc * 1000000000U / rate[r]);

            assert_int_equal(pw_clock_tsc_to_ns(&c, tsc), want);
            assert_int_equal(pw_clock_tsc_to_ns(&c, rate[r]), 1000000000U);
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_us_to_tsc__any_span__as_in_128_bits),
        cmocka_unit_test(test_tsc_to_ns__up_to_a_century__as_in_128_bits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
