#include "dataplane/timer_wheel.h"

#include "tests/support/cmocka_pw.h"

#include <stdlib.h>

enum { TIMERS = 300 };

static uint32_t
pop_all(struct pw_timer_wheel *w)
{
    uint32_t n = 0;

    while (pw_timer_wheel_pop(w) != NULL) {
        n++;
    }
    return n;
}

static void
test_timer_wheel_advance__each_distance__due_at_its_tick_not_before(void **state)
{
    static const uint64_t distance[] = {
        1,      2,      1023,   1024,    1025,
        2047,   2048,   60000,  261119,  /* the last the far level reaches */
        261120, 261121, 300000, 1000000, /* looked at earlier, put back */
    };
    static struct pw_timer_wheel w;

    for (uint64_t start = 0; start < 5000;
         start += 511) { /* every alignment against the far slots */
        for (size_t i = 0; i < PW_ARRAY_LEN(distance); i++) {
            struct pw_timer t = {0};

            pw_timer_wheel_init(&w, start);
            pw_timer_arm(&w, &t, start + distance[i]);
            pw_timer_wheel_advance(&w, start + distance[i] - 1);
            assert_null(pw_timer_wheel_pop(&w));
            pw_timer_wheel_advance(&w, start + distance[i]);
            assert_ptr_equal(pw_timer_wheel_pop(&w), &t);
            assert_false(pw_timer_armed(&t));
            assert_int_equal(w.armed, 0);
        }
    }
}

/* Whoever sleeps until the tick it names misses nothing, and most of the time it sleeps long. */
static void
test_timer_wheel_next__each_distance__never_behind_the_deadline(void **state)
{
    static struct pw_timer_wheel w;

    for (uint64_t start = 0; start < 3000; start += 97) {
        for (uint64_t distance = 1; distance < 1500; distance += 7) {
            struct pw_timer t = {0};
            uint64_t deadline = start + distance;
            uint64_t at = start;
            uint32_t looks = 0;

            pw_timer_wheel_init(&w, start);
            assert_int_equal(pw_timer_wheel_next(&w, 100), start + 100);
            pw_timer_arm(&w, &t, deadline);
            while (at < deadline) {
                uint64_t next = pw_timer_wheel_next(&w, 100);

                assert_in_range(next, at + 1, deadline < at + 100 ? deadline : at + 100);
                at = next;
                pw_timer_wheel_advance(&w, at);
                looks++;
            }
            assert_in_range(looks, 1, distance / 100 + 3);      /* a level's edge is a look more */
            assert_int_equal(pw_timer_wheel_next(&w, 100), at); /* due already */
            assert_ptr_equal(pw_timer_wheel_pop(&w), &t);
        }
    }
}

static void
test_timer_wheel_arm__deadline_moves_later__fires_at_the_new_one(void **state)
{
    static struct pw_timer_wheel w;
    struct pw_timer t = {0};

    pw_timer_wheel_init(&w, 7);
    pw_timer_arm(&w, &t, 100);
    pw_timer_arm(&w, &t, 5000);
    pw_timer_wheel_advance(&w, 4999);
    assert_null(pw_timer_wheel_pop(&w));
    assert_true(pw_timer_armed(&t));
    pw_timer_wheel_advance(&w, 5000);
    assert_ptr_equal(pw_timer_wheel_pop(&w), &t);
}

static void
test_timer_wheel_arm__deadline_moves_earlier__fires_at_the_new_one(void **state)
{
    static struct pw_timer_wheel w;
    struct pw_timer t = {0};

    pw_timer_wheel_init(&w, 0);
    pw_timer_arm(&w, &t, 100000);
    pw_timer_arm(&w, &t, 10);
    pw_timer_wheel_advance(&w, 10);
    assert_ptr_equal(pw_timer_wheel_pop(&w), &t);
    pw_timer_wheel_advance(&w, 200000);
    assert_null(pw_timer_wheel_pop(&w));
}

static void
test_timer_wheel_arm__deadline_in_the_past__due_at_the_next_tick(void **state)
{
    static struct pw_timer_wheel w;
    struct pw_timer t = {0};

    pw_timer_wheel_init(&w, 1000);
    pw_timer_arm(&w, &t, 3);
    assert_null(pw_timer_wheel_pop(&w));
    pw_timer_wheel_advance(&w, 1001);
    assert_ptr_equal(pw_timer_wheel_pop(&w), &t);
}

static void
test_timer_wheel_cancel__due_but_not_handled__never_given_out(void **state)
{
    static struct pw_timer_wheel w;
    struct pw_timer a = {0};
    struct pw_timer b = {0};

    pw_timer_wheel_init(&w, 0);
    pw_timer_arm(&w, &a, 5);
    pw_timer_arm(&w, &b, 5);
    pw_timer_wheel_advance(&w, 5);
    pw_timer_cancel(&w, &a);
    pw_timer_cancel(&w, &a); /* harmless */
    assert_ptr_equal(pw_timer_wheel_pop(&w), &b);
    assert_null(pw_timer_wheel_pop(&w));
    assert_int_equal(w.armed, 0);
}

static void
test_timer_wheel_arm__due_but_not_handled__waits_for_the_new_deadline(void **state)
{
    static struct pw_timer_wheel w;
    struct pw_timer t = {0};

    pw_timer_wheel_init(&w, 0);
    pw_timer_arm(&w, &t, 5);
    pw_timer_wheel_advance(&w, 5);
    pw_timer_arm(&w, &t, 50);
    assert_null(pw_timer_wheel_pop(&w));
    pw_timer_wheel_advance(&w, 50);
    assert_ptr_equal(pw_timer_wheel_pop(&w), &t);
}

static void
test_timer_wheel_advance__nothing_armed_and_a_long_jump__no_walk(void **state)
{
    static struct pw_timer_wheel w;
    struct pw_timer t = {0};

    pw_timer_wheel_init(&w, 0);
    pw_timer_wheel_advance(&w, 1ULL << 40); /* would take minutes tick by tick */
    pw_timer_arm(&w, &t, (1ULL << 40) + 3);
    pw_timer_wheel_advance(&w, (1ULL << 40) + 3);
    assert_ptr_equal(pw_timer_wheel_pop(&w), &t);
}

/* Random arming, moving, cancelling and jumping against a plain array of deadlines. */
static void
test_timer_wheel__random_use__agrees_with_an_array(void **state)
{
    static struct pw_timer_wheel w;
    static struct pw_timer t[TIMERS];
    static uint64_t want[TIMERS]; /* 0: not armed */
    uint64_t now = 12345;

    srandom(1);
    pw_timer_wheel_init(&w, now);
    for (uint32_t step = 0; step < 200000; step++) {
        uint32_t i = (uint32_t)random() % TIMERS;
        uint32_t what = (uint32_t)random() % 8;

        if (what < 5) {
            uint64_t at = now + 1 + (uint64_t)random() % (what == 0 ? 400000 : 3000);

            pw_timer_arm(&w, &t[i], at);
            want[i] = at;
        } else if (what < 6) {
            pw_timer_cancel(&w, &t[i]);
            want[i] = 0;
        } else {
            struct pw_timer *due;

            now += 1 + (uint64_t)random() % 40;
            pw_timer_wheel_advance(&w, now);
            while ((due = pw_timer_wheel_pop(&w)) != NULL) {
                uint32_t k = (uint32_t)(due - t);

                assert_true(want[k] != 0 && want[k] <= now);
                want[k] = 0;
            }
            for (uint32_t k = 0; k < TIMERS; k++) {
                assert_true(want[k] == 0 || want[k] > now);
                assert_int_equal(pw_timer_armed(&t[k]), want[k] != 0);
            }
        }
    }
    pw_timer_wheel_advance(&w, now + 500000);
    (void)pop_all(&w);
    assert_int_equal(w.armed, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_timer_wheel_advance__each_distance__due_at_its_tick_not_before),
        cmocka_unit_test(test_timer_wheel_arm__deadline_moves_later__fires_at_the_new_one),
        cmocka_unit_test(test_timer_wheel_next__each_distance__never_behind_the_deadline),
        cmocka_unit_test(test_timer_wheel_arm__deadline_moves_earlier__fires_at_the_new_one),
        cmocka_unit_test(test_timer_wheel_arm__deadline_in_the_past__due_at_the_next_tick),
        cmocka_unit_test(test_timer_wheel_cancel__due_but_not_handled__never_given_out),
        cmocka_unit_test(test_timer_wheel_arm__due_but_not_handled__waits_for_the_new_deadline),
        cmocka_unit_test(test_timer_wheel_advance__nothing_armed_and_a_long_jump__no_walk),
        cmocka_unit_test(test_timer_wheel__random_use__agrees_with_an_array),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
