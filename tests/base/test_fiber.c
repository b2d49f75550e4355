#include "base/fiber.h"

#include "tests/support/cmocka_pw.h"

#include <stdlib.h>

struct work {
    struct pw_fiber fiber;
    uint64_t now; /* the fake clock: one tick a piece */
    uint32_t pieces, done;
    double sum; /* lives in registers across a switch if the compiler likes */
    bool ended;
};

static uint64_t
read_clock(void *arg)
{
    return *(const uint64_t *)arg;
}

static void
do_pieces(void *arg)
{
    struct work *w = arg;
    double sum = 0;

    for (uint32_t i = 0; i < w->pieces; i++) {
        volatile uint8_t frame[512]; /* something of this stack to come back to */

        frame[i % sizeof(frame)] = (uint8_t)i;
        sum += i;
        w->now++;
        w->done++;
        pw_fiber_pause(&w->fiber);
        assert_int_equal(frame[i % sizeof(frame)], (uint8_t)i);
    }
    w->sum = sum;
    w->ended = true;
}

static void
up(struct work *w, uint32_t pieces)
{
    *w = (struct work){.pieces = pieces};
    assert_int_equal(pw_fiber_init_ctl(&w->fiber), 0);
    w->fiber.clock = read_clock;
    w->fiber.clock_arg = &w->now;
}

static void
test_pw_fiber_run__no_end_of_slice__runs_through(void **state)
{
    struct work w;

    (void)state;
    up(&w, 100);
    pw_fiber_start(&w.fiber, do_pieces, &w);
    assert_true(pw_fiber_run(&w.fiber, UINT64_MAX));
    assert_true(w.ended);
    assert_int_equal(w.fiber.switches, 0);
    assert_false(w.fiber.busy);
    pw_fiber_fini_ctl(&w.fiber);
}

static void
test_pw_fiber_run__slices__each_is_kept(void **state)
{
    struct work w;
    uint32_t runs = 1;

    (void)state;
    up(&w, 100);
    pw_fiber_start(&w.fiber, do_pieces, &w);
    while (!pw_fiber_run(&w.fiber, w.now + 7)) {
        assert_int_equal(w.done, 7 * runs);
        assert_false(w.fiber.inside);
        runs++;
    }
    assert_int_equal(runs, 15); /* fourteen of seven, and the rest */
    assert_int_equal(w.fiber.switches, 14);
    assert_true(w.sum == 4950);
    pw_fiber_fini_ctl(&w.fiber);
}

static void
test_pw_fiber_pause__without_a_fiber__does_nothing(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 10; i++) {
        PW_FIBER_PAUSE_EVERY(NULL, i, 2);
    }
}

static void
test_pw_fiber_drop__in_the_middle__next_work_starts_afresh(void **state)
{
    struct work w;

    (void)state;
    up(&w, 100);
    for (uint32_t i = 0; i < 50; i++) {
        pw_fiber_start(&w.fiber, do_pieces, &w);
        if (i % 3 != 0) { /* every third is dropped before its first run */
            assert_false(pw_fiber_run(&w.fiber, w.now + 5));
        }
        pw_fiber_drop(&w.fiber);
        assert_false(w.fiber.busy);
    }
    assert_false(w.ended);
    w.done = 0;
    pw_fiber_start(&w.fiber, do_pieces, &w);
    assert_true(pw_fiber_run(&w.fiber, UINT64_MAX));
    assert_int_equal(w.done, 100);
    assert_true(w.sum == 4950);
    pw_fiber_fini_ctl(&w.fiber);
}

static void
test_pw_fiber_fini_ctl__with_work_under_way__drops_it(void **state)
{
    struct work w;

    (void)state;
    up(&w, 100);
    pw_fiber_start(&w.fiber, do_pieces, &w);
    assert_false(pw_fiber_run(&w.fiber, 3));
    pw_fiber_fini_ctl(&w.fiber);
    pw_fiber_fini_ctl(&w.fiber); /* nothing left to undo */
}

static void
test_pw_fiber_run__two_fibers__take_turns(void **state)
{
    struct work a, b;

    (void)state;
    up(&a, 30);
    up(&b, 20);
    pw_fiber_start(&a.fiber, do_pieces, &a);
    pw_fiber_start(&b.fiber, do_pieces, &b);
    while (a.fiber.busy || b.fiber.busy) {
        (void)(a.fiber.busy && pw_fiber_run(&a.fiber, a.now + 3));
        (void)(b.fiber.busy && pw_fiber_run(&b.fiber, b.now + 3));
    }
    assert_true(a.sum == 435 && b.sum == 190);
    pw_fiber_fini_ctl(&a.fiber);
    pw_fiber_fini_ctl(&b.fiber);
}

enum { BYTES = 1000003 };

struct copy {
    struct pw_fiber fiber;
    uint8_t *from, *to;
};

static void
do_copy(void *arg)
{
    struct copy *c = arg;

    pw_fiber_clear(&c->fiber, c->to, BYTES);
    for (size_t i = 0; i < BYTES; i++) {
        assert_int_equal(c->to[i], 0);
    }
    pw_fiber_copy(&c->fiber, c->to, c->from, BYTES);
}

static void
test_pw_fiber_copy__longer_than_a_piece__is_whole_and_gives_way(void **state)
{
    struct copy c = {.from = malloc(BYTES), .to = malloc(BYTES)};

    (void)state;
    for (size_t i = 0; i < BYTES; i++) {
        c.from[i] = (uint8_t)(i * 7 >> 3);
        c.to[i] = 0xee;
    }
    assert_int_equal(pw_fiber_init_ctl(&c.fiber), 0);
    pw_fiber_start(&c.fiber, do_copy, &c);
    while (!pw_fiber_run(&c.fiber, 0)) { /* gives way at every checkpoint */
    }
    assert_memory_equal(c.from, c.to, BYTES);
    assert_in_range(c.fiber.switches, 2 * (BYTES >> 16), 2 * (BYTES >> 16) + 2);
    pw_fiber_fini_ctl(&c.fiber);
    free(c.from);
    free(c.to);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pw_fiber_run__no_end_of_slice__runs_through),
        cmocka_unit_test(test_pw_fiber_run__slices__each_is_kept),
        cmocka_unit_test(test_pw_fiber_pause__without_a_fiber__does_nothing),
        cmocka_unit_test(test_pw_fiber_drop__in_the_middle__next_work_starts_afresh),
        cmocka_unit_test(test_pw_fiber_fini_ctl__with_work_under_way__drops_it),
        cmocka_unit_test(test_pw_fiber_run__two_fibers__take_turns),
        cmocka_unit_test(test_pw_fiber_copy__longer_than_a_piece__is_whole_and_gives_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
