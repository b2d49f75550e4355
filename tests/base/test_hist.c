#include "base/hist.h"

#include "tests/support/cmocka_pw.h"

#include <stdlib.h>

static void
test_hist_quantile__against_sorted__within_one_in_64(void **state)
{
    static struct pw_hist h;
    static uint64_t v[10000];
    uint64_t x = 88172645463325252ULL;

    for (size_t i = 0; i < 10000; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        v[i] = i + 1 < 5000 ? i * i * 31 : 25000000 * 31ULL + i * 1000003;
        pw_hist_record(&h, v[i]);
    }
    for (int q = 1; q < 100; q++) {
        uint64_t want = v[(size_t)q * 100 - 1];
        uint64_t got = pw_hist_quantile(&h, q / 100.0);

        assert_true(got >= want);
        assert_true(got - want <= want / 64 + 1);
    }
    assert_int_equal(pw_hist_quantile(&h, 1.0), h.max);
}

static void
test_hist_index__extremes__inside(void **state)
{
    assert_int_equal(pw_hist_index(0), 0);
    assert_int_equal(pw_hist_index(UINT64_MAX), PW_HIST_BUCKETS - 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hist_quantile__against_sorted__within_one_in_64),
        cmocka_unit_test(test_hist_index__extremes__inside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
