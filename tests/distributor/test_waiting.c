/* Lines of those that wait: order, age, bounds. */
#include "distributor/waiting.h"

#include "tests/support/cmocka_pw.h"

enum { OLD = 1000 };

static int
set_up(void **state)
{
    static struct pw_waiting_lines lines;

    assert_int_equal(pw_waiting_init_ctl(&lines, OLD), 0);
    *state = &lines;
    return 0;
}

static int
tear_down(void **state)
{
    pw_waiting_fini_ctl(*state);
    return 0;
}

static void
put(struct pw_waiting_lines *l, uint64_t conn, uint64_t bytes, uint64_t since)
{
    assert_true(
        pw_waiting_put(l, &(struct pw_waiting){.conn = conn, .bytes = bytes, .since_tsc = since}));
}

static uint64_t
take_next(struct pw_waiting_lines *l, uint64_t now)
{
    uint32_t line = pw_waiting_next(l, now, 0);

    assert_true(line < PW_WAITING_LINES);
    return pw_waiting_take(l, line).conn;
}

static void
test_pw_waiting_next__bodies_of_all_sizes__shortest_first_and_in_order(void **state)
{
    struct pw_waiting_lines *l = *state;
    uint64_t n = 0;

    for (uint64_t bytes = PW_LARGE_BODY_BYTES * 2; bytes != 0; bytes /= 2) { /* longest first */
        put(l, bytes * 2 + 1, bytes + bytes / 2, 0);
        put(l, bytes * 2, bytes, 0);
    }
    n = pw_waiting_count(l);
    uint64_t before = 0;

    for (uint64_t i = 0; i < n; i++) {
        uint64_t conn = take_next(l, OLD);

        if (conn / 2 >= 2048 && conn / 2 <= PW_LARGE_BODY_BYTES / 2) {
            assert_true(conn > before); /* two sizes for each power of two are told apart */
            before = conn;
        }
    }
    assert_int_equal(pw_waiting_next(l, 0, 0), PW_WAITING_LINES);
    for (uint64_t i = 1; i < 5; i++) {
        put(l, i, 5000 + i, 0);
    }
    for (uint64_t i = 1; i < 5; i++) {
        assert_int_equal(take_next(l, OLD), i);
    }
    assert_int_equal(pw_waiting_count(l), 0);
}

static void
test_pw_waiting_next__waited_long__the_oldest_before_the_shortest(void **state)
{
    struct pw_waiting_lines *l = *state;

    put(l, 1, PW_LARGE_BODY_BYTES + 1, 10);
    put(l, 2, 60000, 5);
    put(l, 3, 100, 20);
    assert_int_equal(take_next(l, OLD + 5), 3); /* nobody is old */
    put(l, 3, 100, 20);
    assert_int_equal(take_next(l, OLD + 11), 2);
    assert_int_equal(take_next(l, OLD + 11), 1);
    assert_int_equal(take_next(l, OLD + 11), 3);
}

static void
test_pw_waiting_put_back__first_of_a_line__behind_the_others(void **state)
{
    struct pw_waiting_lines *l = *state;

    put(l, 1, 100, 0);
    put(l, 2, 100, 0);
    put(l, 3, 70000, 0);
    uint32_t line = pw_waiting_next(l, 0, 0);
    struct pw_waiting w = pw_waiting_take(l, line);

    pw_waiting_put_back(l, line, &w);
    assert_int_equal(pw_waiting_count(l), 3);
    assert_int_equal(pw_waiting_first(l, line)->conn, 2);
    assert_int_equal(pw_waiting_first(l, pw_waiting_next(l, 0, 1U << line))->conn, 3);
}

static void
test_pw_waiting_put__full__refused_and_room_after_one_left(void **state)
{
    struct pw_waiting_lines *l = *state;
    const struct pw_waiting large = {.bytes = PW_LARGE_BODY_BYTES + 1};
    const struct pw_waiting small = {.bytes = 1000};

    for (uint32_t i = 0; i < PW_WAITING_SMALL_MAX; i++) { /* all lines together */
        put(l, i, i % 2 == 0 ? 1000 : 50000, 0);
    }
    assert_false(pw_waiting_put(l, &small));
    for (uint32_t i = 0; i < PW_WAITING_LARGE_MAX; i++) {
        assert_true(pw_waiting_put(l, &large));
    }
    assert_false(pw_waiting_put(l, &large));
    assert_int_equal(pw_waiting_count(l), PW_WAITING_SMALL_MAX + PW_WAITING_LARGE_MAX);
    assert_int_equal(take_next(l, 0), 0);
    assert_true(pw_waiting_put(l, &small));
    (void)pw_waiting_take(l, PW_WAITING_LARGE);
    assert_true(pw_waiting_put(l, &large));
    assert_int_equal(l->small_peak, PW_WAITING_SMALL_MAX);
    assert_int_equal(l->large_peak, PW_WAITING_LARGE_MAX);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_pw_waiting_next__bodies_of_all_sizes__shortest_first_and_in_order),
        T(test_pw_waiting_next__waited_long__the_oldest_before_the_shortest),
        T(test_pw_waiting_put_back__first_of_a_line__behind_the_others),
        T(test_pw_waiting_put__full__refused_and_room_after_one_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
