#include "dataplane/loop.h"

#include "tests/support/cmocka_pw.h"

#include <pthread.h>

struct fake {
    uint32_t work;
    uint64_t calls;
    uint64_t last_now;
    uint64_t driver;
    atomic_bool knock; /* work that comes from outside */
    _Atomic uint64_t seen_tsc;
};

static uint32_t
poll_fixed(void *ctx, uint64_t now_tsc)
{
    struct fake *f = ctx;
    uint64_t t0 = pw_rdtsc();

    f->calls++;
    f->last_now = now_tsc;
    while (f->work != 0 && pw_rdtsc() - t0 < 20000) {
    }
    f->driver += f->work != 0 ? 5000 : 0;
    return f->work;
}

static uint32_t
poll_knock(void *ctx, uint64_t now_tsc)
{
    struct fake *f = ctx;

    if (!atomic_exchange(&f->knock, false)) {
        return 0;
    }
    atomic_store(&f->seen_tsc, pw_rdtsc());
    return 1;
}

static struct pw_clock
clock_now(void)
{
    struct pw_clock c;

    pw_clock_init_ctl(&c);
    return c;
}

static void
test_loop_turn__one_busy_one_idle__one_clock_and_cycles_apart(void **state)
{
    struct pw_clock clock = clock_now();
    static struct pw_loop l;
    struct fake busy = {.work = 3};
    struct fake idle = {0};

    pw_loop_init_ctl(&l, 0, &clock, PW_LOOP_IDLE_SPIN);
    assert_int_equal(pw_loop_add_ctl(&l, (struct pw_poller){.poll = poll_fixed, .ctx = &busy}), 0);
    assert_int_equal(pw_loop_add_ctl(&l, (struct pw_poller){.poll = poll_fixed, .ctx = &idle}), 0);
    assert_int_equal(pw_loop_add_driver_ctl(&l, &busy.driver), 0);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(pw_loop_turn(&l, 77), 3);
    }
    assert_int_equal(busy.last_now, 77);
    assert_int_equal(idle.last_now, 77);
    assert_int_equal(l.poller[0].turns, 10);
    assert_int_equal(l.poller[1].turns, 0);
    assert_int_equal(l.poller[1].busy_tsc, 0);
    assert_true(l.poller[0].busy_tsc >= 200000);
    assert_int_equal(pw_loop_busy_tsc(&l), l.poller[0].busy_tsc - 50000);
    busy.work = 0;
    uint64_t before = l.busy_tsc;

    assert_int_equal(pw_loop_turn(&l, 78), 0);
    assert_int_equal(l.busy_tsc, before);
}

static void
test_loop_add__list_full__no_space(void **state)
{
    struct pw_clock clock = {.tsc_hz = 1000000000};
    static struct pw_loop l;
    struct fake f = {0};

    pw_loop_init_ctl(&l, 0, &clock, PW_LOOP_IDLE_SPIN);
    for (int i = 0; i < PW_POLLERS_MAX; i++) {
        assert_int_equal(pw_loop_add_ctl(&l, (struct pw_poller){.poll = poll_fixed, .ctx = &f}), 0);
    }
    assert_int_equal(pw_loop_add_ctl(&l, (struct pw_poller){.poll = poll_fixed, .ctx = &f}),
                     PW_ENOSPC);
}

static void *
run_thread(void *arg)
{
    pw_loop_run(arg);
    return NULL;
}

/* An idle loop sleeps, and still sees work soon. The bound is 1 ms on a machine of its own; tests share
 * theirs, so the best of many tries counts, and a generous bound for the rest. */
static void
test_loop_run__idle_back_off__rests_and_reacts(void **state)
{
    struct pw_clock clock = clock_now();
    static struct pw_loop l;
    struct fake f = {0};
    pthread_t thread;
    uint64_t best_ns = UINT64_MAX;

    pw_loop_init_ctl(&l, 0, &clock, PW_LOOP_IDLE_BACKOFF);
    assert_int_equal(pw_loop_add_ctl(&l, (struct pw_poller){.poll = poll_knock, .ctx = &f}), 0);
    assert_int_equal(pthread_create(&thread, NULL, run_thread, &l), 0);
    for (int i = 0; i < 20; i++) {
        struct timespec rest = {.tv_nsec = 20000000};

        nanosleep(&rest, NULL); /* long enough for the deepest sleep */
        atomic_store(&f.seen_tsc, 0);
        uint64_t t0 = pw_rdtsc();

        atomic_store(&f.knock, true);
        while (atomic_load(&f.seen_tsc) == 0) {
            struct timespec nap = {.tv_nsec = 50000};

            nanosleep(&nap, NULL);
            assert_true(pw_clock_tsc_to_ns(&clock, pw_rdtsc() - t0) < 2000000000);
        }
        uint64_t ns = pw_clock_tsc_to_ns(&clock, atomic_load(&f.seen_tsc) - t0);

        best_ns = ns < best_ns ? ns : best_ns;
    }
    pw_loop_stop_ctl(&l);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(best_ns < 1000000);
    assert_true(l.sleeps > 100);
    assert_true(l.idle_tsc > 10 * l.busy_tsc);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loop_turn__one_busy_one_idle__one_clock_and_cycles_apart),
        cmocka_unit_test(test_loop_add__list_full__no_space),
        cmocka_unit_test(test_loop_run__idle_back_off__rests_and_reacts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
