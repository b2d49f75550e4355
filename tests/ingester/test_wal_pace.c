/* How long the log's writer waits for company, by how much the polling cores rest. */
#include "ingester/wal_pace.h"
#include "tests/support/cmocka_pw.h"

enum { WINDOW_TSC = 26000000, WINDOWS = 6 };

struct cores {
    struct pw_wal_pace pace;
    uint64_t idle[3];
    const uint64_t *at[3];
    uint32_t n;
    int64_t now_ns;
    uint64_t now_tsc;
};

static void
start(struct cores *c, uint32_t n)
{
    *c = (struct cores){.n = n, .now_ns = 5, .now_tsc = 1U << 30};
    for (uint32_t i = 0; i < 3; i++) {
        c->at[i] = &c->idle[i];
    }
}

/* Some windows in which the cores rest so much of 100. */
static void
pass(struct cores *c, uint32_t a, uint32_t b, uint32_t windows)
{
    for (uint32_t i = 0; i < windows; i++) {
        c->now_ns += PW_WAL_PACE_WINDOW_US * 1000LL;
        c->now_tsc += WINDOW_TSC;
        c->idle[0] += (uint64_t)WINDOW_TSC / 100 * a;
        c->idle[1] += (uint64_t)WINDOW_TSC / 100 * b;
        pw_wal_pace_look(&c->pace, c->now_ns, c->now_tsc, c->at, c->n);
    }
}

static void
test_pace__core_with_time_to_spare__at_once(void **state)
{
    struct cores c;

    (void)state;
    start(&c, 1);
    pass(&c, 80, 0, WINDOWS);
    assert_int_equal(pw_wal_pace_us(&c.pace, 1), 0);
    assert_int_equal(pw_wal_pace_us(&c.pace, 200), 0);
}

static void
test_pace__half_busy_core__commits_apart_however_many_records(void **state)
{
    struct cores c;

    (void)state;
    start(&c, 1);
    pass(&c, 50, 0, WINDOWS + 4);
    assert_int_equal(pw_wal_pace_us(&c.pace, 1), PW_WAL_APART_US);
    assert_int_equal(pw_wal_pace_us(&c.pace, 200), PW_WAL_APART_US);
    assert_false(pw_wal_pace_gathers(&c.pace));
}

static void
test_pace__core_without__a_step_each_up_to_the_most(void **state)
{
    struct cores c;

    (void)state;
    start(&c, 1);
    pass(&c, 1, 0, WINDOWS + 4);
    assert_true(pw_wal_pace_gathers(&c.pace));
    assert_int_equal(pw_wal_pace_us(&c.pace, 1), PW_WAL_APART_US);
    assert_int_equal(pw_wal_pace_us(&c.pace, 3), 2 * PW_WAL_GATHER_STEP_US);
    assert_int_equal(pw_wal_pace_us(&c.pace, 4), 3 * PW_WAL_GATHER_STEP_US);
    assert_int_equal(pw_wal_pace_us(&c.pace, 200), PW_WAL_GATHER_US);
}

static void
test_pace__one_core_of_two_without__gathers(void **state)
{
    struct cores c;

    (void)state;
    start(&c, 2);
    pass(&c, 90, 90, WINDOWS);
    assert_int_equal(pw_wal_pace_us(&c.pace, 200), 0);
    pass(&c, 90, 0, WINDOWS + 4);
    assert_int_equal(pw_wal_pace_us(&c.pace, 200), PW_WAL_GATHER_US);
    pass(&c, 90, 90, WINDOWS);
    assert_int_equal(pw_wal_pace_us(&c.pace, 200), 0);
}

static void
test_pace__less_to_spare__never_shorter(void **state)
{
    uint32_t before = PW_WAL_GATHER_US, between = 0;

    (void)state;
    for (uint32_t rest = 0; rest <= 90; rest++) {
        struct cores c;

        start(&c, 1);
        pass(&c, rest, 0, 20);
        uint32_t us = pw_wal_pace_us(&c.pace, 200);

        assert_true(us <= before);
        between += us != 0 && us != PW_WAL_GATHER_US && us != PW_WAL_APART_US;
        before = us;
    }
    assert_int_equal(before, 0);
    assert_true(between >= 3);
}

static void
test_pace_look__within_a_window__passed_by(void **state)
{
    struct cores c;

    (void)state;
    start(&c, 1);
    pass(&c, 1, 0, WINDOWS + 4);
    for (uint32_t i = 0; i < 100; i++) { /* a moment's rest between two commits says nothing */
        c.now_ns += PW_WAL_PACE_WINDOW_US * 1000LL / 200;
        c.now_tsc += WINDOW_TSC / 200;
        c.idle[0] += WINDOW_TSC / 200;
        pw_wal_pace_look(&c.pace, c.now_ns, c.now_tsc, c.at, c.n);
    }
    assert_int_equal(pw_wal_pace_us(&c.pace, 200), PW_WAL_GATHER_US);
}

/* A core that sleeps counts its rest when it wakes: nothing for long, then more than the window. */
static void
test_pace_look__rest_counted_late__taken_as_rest(void **state)
{
    struct cores c;

    (void)state;
    start(&c, 1);
    pass(&c, 90, 0, WINDOWS);
    c.idle[0] += 5ULL * WINDOW_TSC;
    pass(&c, 0, 0, 1);
    assert_int_equal(pw_wal_pace_us(&c.pace, 200), 0);
}

static void
test_pace__nobody_to_watch__at_once(void **state)
{
    struct cores c;

    (void)state;
    start(&c, 0);
    pass(&c, 0, 0, WINDOWS);
    assert_int_equal(pw_wal_pace_us(&c.pace, 200), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pace__core_with_time_to_spare__at_once),
        cmocka_unit_test(test_pace__half_busy_core__commits_apart_however_many_records),
        cmocka_unit_test(test_pace__core_without__a_step_each_up_to_the_most),
        cmocka_unit_test(test_pace__one_core_of_two_without__gathers),
        cmocka_unit_test(test_pace__less_to_spare__never_shorter),
        cmocka_unit_test(test_pace_look__within_a_window__passed_by),
        cmocka_unit_test(test_pace_look__rest_counted_late__taken_as_rest),
        cmocka_unit_test(test_pace__nobody_to_watch__at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
