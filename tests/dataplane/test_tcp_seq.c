#include "dataplane/tcp_seq.h"

#include "tests/support/cmocka_pw.h"

struct row {
    uint32_t a;
    uint32_t b;
    int order; /* of a against b */
};

static const struct row rows[] = {
    {0, 0, 0},
    {0, 1, -1},
    {0xFFFFFFFF, 0, -1}, /* across 2^32 */
    {0xFFFFFFF0, 0x10, -1},
    {0x10, 0xFFFFFFF0, 1},
    {0x7FFFFFFF, 0x80000000, -1}, /* across the sign */
    {0, 0x7FFFFFFF, -1},          /* as far apart as it means something */
    {0x80000001, 0, -1},
    {0xFFFFFFFF, 0xFFFFFFFF, 0},
};

static void
test_tcp_seq__rows_and_their_mirror__one_order(void **state)
{
    for (size_t i = 0; i < PW_ARRAY_LEN(rows); i++) {
        uint32_t a = rows[i].a;
        uint32_t b = rows[i].b;
        int o = rows[i].order;

        assert_int_equal(pw_seq_lt(a, b), o < 0);
        assert_int_equal(pw_seq_leq(a, b), o <= 0);
        assert_int_equal(pw_seq_gt(a, b), o > 0);
        assert_int_equal(pw_seq_geq(a, b), o >= 0);
        assert_int_equal(pw_seq_lt(b, a), o > 0);
        assert_int_equal(pw_seq_max(a, b), o < 0 ? b : a);
        assert_int_equal(pw_seq_min(a, b), o < 0 ? a : b);
    }
}

static void
test_tcp_seq_in__window_around_two_to_the_32__ends_excluded(void **state)
{
    assert_true(pw_seq_in(0xFFFFFFF0, 0xFFFFFFF0, 0x10));
    assert_true(pw_seq_in(0xFFFFFFFF, 0xFFFFFFF0, 0x10));
    assert_true(pw_seq_in(0, 0xFFFFFFF0, 0x10));
    assert_true(pw_seq_in(0xF, 0xFFFFFFF0, 0x10));
    assert_false(pw_seq_in(0x10, 0xFFFFFFF0, 0x10));
    assert_false(pw_seq_in(0xFFFFFFEF, 0xFFFFFFF0, 0x10));
    assert_false(pw_seq_in(5, 5, 5)); /* an empty window has nothing inside */
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tcp_seq__rows_and_their_mirror__one_order),
        cmocka_unit_test(test_tcp_seq_in__window_around_two_to_the_32__ends_excluded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
