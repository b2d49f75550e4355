#include "dataplane/loop.h"

#include "tests/support/cmocka_pw.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct fake {
    uint32_t work;
    uint32_t rest;
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

/* A tick of the clock that poll_fixed waits by is said to be a microsecond: each of its calls takes 20 ms. */
static void
test_loop_turn__a_poll_that_takes_long__counted_and_its_length_kept(void **state)
{
    struct pw_clock clock = {.tsc_hz = 1000000};
    static struct pw_loop l;
    struct pw_loop *list[1] = {&l};
    struct fake busy = {.work = 1}, idle = {0};
    struct pw_text page;

    pw_loop_init_ctl(&l, 0, &clock, PW_LOOP_IDLE_SPIN);
    assert_int_equal(
        pw_loop_add_ctl(&l, (struct pw_poller){.name = "a", .poll = poll_fixed, .ctx = &busy}), 0);
    assert_int_equal(
        pw_loop_add_ctl(&l, (struct pw_poller){.name = "b", .poll = poll_fixed, .ctx = &idle}), 0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pw_loop_turn(&l, 1), 1);
    }
    assert_true(l.poller[0].longest_tsc >= 20000);
    assert_true(l.poller[0].longest_tsc <= l.poller[0].busy_tsc);
    assert_int_equal(l.poller[1].longest_tsc, 0);
    pw_text_init(&page, 1 << 16);
    pw_loop_metrics(list, 1, &page);
    pw_text_char(&page, 0);
    assert_non_null(strstr((const char *)page.ptr,
                           "pyrowire_loop_poller_long_total{loop=\"0\",poller=\"a\"} 4\n"));
    assert_non_null(strstr((const char *)page.ptr,
                           "pyrowire_loop_poller_longest_seconds{loop=\"0\",poller=\"b\"} 0.0"));
    pw_text_fini(&page);
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

static void
nap_ms(long ms)
{
    struct timespec rest = {.tv_nsec = ms > 0 ? ms * 1000000 : 50000};

    nanosleep(&rest, NULL);
}

static void *
run_thread(void *arg)
{
    pw_loop_run(arg);
    return NULL;
}

/* An idle loop sleeps, and still sees work that nobody rings for. */
static void
test_loop_run__idle_back_off__rests_and_reacts(void **state)
{
    struct pw_clock clock = clock_now();
    static struct pw_loop l;
    struct fake f = {0};
    pthread_t thread;

    pw_loop_init_ctl(&l, 0, &clock, PW_LOOP_IDLE_BACKOFF);
    assert_int_equal(pw_loop_add_ctl(&l, (struct pw_poller){.poll = poll_knock, .ctx = &f}), 0);
    assert_int_equal(pthread_create(&thread, NULL, run_thread, &l), 0);
    for (int i = 0; i < 20; i++) {
        nap_ms(20); /* long enough for the deepest sleep */
        atomic_store(&f.seen_tsc, 0);
        atomic_store(&f.knock, true);
        while (atomic_load(&f.seen_tsc) == 0) {
            nap_ms(0);
        }
    }
    pw_loop_stop_ctl(&l);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(l.sleeps > 100);
    assert_true(l.idle_tsc > 10 * l.busy_tsc);
}

/* --- Dozing ----------------------------------------------------------------------------------- */

static uint32_t
rest_fixed(void *ctx)
{
    const struct fake *f = ctx;

    return f->rest;
}

struct dozer {
    struct pw_clock clock;
    struct pw_loop l;
    struct pw_bell bell;
    struct fake f;
    pthread_t thread;
};

static void
dozer_start(struct dozer *d, uint32_t rest, int fd)
{
    *d = (struct dozer){.clock = clock_now(), .f.rest = rest};
    pw_loop_init_ctl(&d->l, 0, &d->clock, PW_LOOP_IDLE_BACKOFF);
    d->l.doze_us_max = 3600U * 1000000;
    assert_int_equal(pw_bell_init_ctl(&d->bell), 0);
    pw_loop_set_bell_ctl(&d->l, &d->bell);
    assert_int_equal(
        pw_loop_add_ctl(
            &d->l, (struct pw_poller){.poll = poll_knock, .rest_us = rest_fixed, .ctx = &d->f}),
        0);
    if (fd >= 0) {
        assert_int_equal(pw_loop_add_fd_ctl(&d->l, fd), 0);
    }
    assert_int_equal(pthread_create(&d->thread, NULL, run_thread, &d->l), 0);
    nap_ms(30); /* long enough to be dozing */
}

static void
dozer_stop(struct dozer *d)
{
    pw_loop_stop_ctl(&d->l);
    assert_int_equal(pthread_join(d->thread, NULL), 0);
    pw_bell_fini_ctl(&d->bell);
}

struct sleeps {
    uint64_t count, elapsed_ms;
};

static struct sleeps
sleeps_during(struct dozer *d, uint32_t ms)
{
    struct timespec from, to;
    uint64_t before;

    clock_gettime(CLOCK_MONOTONIC, &from);
    before = __atomic_load_n(&d->l.sleeps, __ATOMIC_RELAXED);
    nap_ms(ms);
    struct sleeps s = {.count = __atomic_load_n(&d->l.sleeps, __ATOMIC_RELAXED) - before};

    clock_gettime(CLOCK_MONOTONIC, &to);
    s.elapsed_ms =
        (uint64_t)((to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000);
    return s;
}

static void
test_loop_run__every_poller_may_rest__dozes_longest(void **state)
{
    static struct dozer d;

    dozer_start(&d, UINT32_MAX, -1);
    /* A doze lasts an hour, naps about half a millisecond. */
    struct sleeps s = sleeps_during(&d, 50);

    for (int i = 0; i < 100 && s.count > 1; i++) { /* the naps before it take the machine's time */
        s = sleeps_during(&d, 50);
    }
    assert_true(s.count <= 1);
    dozer_stop(&d);
}

static void
test_loop_run__a_poller_wants_its_turn_soon__dozes_no_longer(void **state)
{
    static struct dozer d;

    struct sleeps s = {0};

    dozer_start(&d, 1000, -1);
    /* Some 9 in 10 ms where the machine is there for us, which in one of so many trials it is. */
    for (int i = 0; i < 400 && s.count <= s.elapsed_ms / 4; i++) {
        s = sleeps_during(&d, 20);
    }
    assert_true(s.count > s.elapsed_ms / 4);
    dozer_stop(&d);
}

/* Knocks come when a doze has just begun, which would last an hour: who is not woken hangs. */
static void
knock_often(struct dozer *d, void (*wake)(struct dozer *d, int fd), int fd)
{
    for (int i = 0; i < 21; i++) {
        nap_ms(20); /* through the naps since the last knock */
        atomic_store(&d->f.seen_tsc, 0);
        atomic_store(&d->f.knock, true);
        wake(d, fd);
        while (atomic_load(&d->f.seen_tsc) == 0) {
            nap_ms(0);
        }
    }
}

static void
wake_by_bell(struct dozer *d, int fd)
{
    (void)fd;
    pw_bell_ring(&d->bell);
}

static void
test_loop_run__bell_rings_while_it_dozes__is_woken(void **state)
{
    static struct dozer d;

    dozer_start(&d, UINT32_MAX, -1);
    knock_often(&d, wake_by_bell, -1);
    dozer_stop(&d);
}

static void
wake_by_fd(struct dozer *d, int fd)
{
    const uint64_t one = 1;

    (void)d;
    assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
}

static void
test_loop_run__descriptor_readable_while_it_dozes__is_woken(void **state)
{
    static struct dozer d;
    int fd = eventfd(0, EFD_CLOEXEC);

    dozer_start(&d, UINT32_MAX, fd);
    knock_often(&d, wake_by_fd, fd);
    dozer_stop(&d);
    (void)close(fd);
}

static void
test_loop_turn__work_done__rings_sleeping_peers_only(void **state)
{
    struct pw_clock clock = clock_now();
    static struct pw_loop l;
    struct fake busy = {.work = 1};
    struct pw_bell bell;
    uint64_t times;

    assert_int_equal(pw_bell_init_ctl(&bell), 0);
    pw_loop_init_ctl(&l, 0, &clock, PW_LOOP_IDLE_SPIN);
    assert_int_equal(pw_loop_add_peer_ctl(&l, &bell), 0);
    assert_int_equal(pw_loop_add_ctl(&l, (struct pw_poller){.poll = poll_fixed, .ctx = &busy}), 0);
    pw_loop_turn(&l, 1);
    assert_int_equal(read(bell.fd, &times, sizeof(times)), -1); /* awake: not rung */
    pw_bell_listen(&bell);
    busy.work = 0;
    pw_loop_turn(&l, 2);
    assert_int_equal(read(bell.fd, &times, sizeof(times)), -1); /* nothing done */
    busy.work = 1;
    pw_loop_turn(&l, 3);
    assert_int_equal(read(bell.fd, &times, sizeof(times)), sizeof(times));
    pw_bell_awake(&bell, false);
    pw_loop_turn(&l, 4);
    assert_int_equal(read(bell.fd, &times, sizeof(times)), -1);
    pw_bell_fini_ctl(&bell);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loop_turn__one_busy_one_idle__one_clock_and_cycles_apart),
        cmocka_unit_test(test_loop_turn__a_poll_that_takes_long__counted_and_its_length_kept),
        cmocka_unit_test(test_loop_add__list_full__no_space),
        cmocka_unit_test(test_loop_run__idle_back_off__rests_and_reacts),
        cmocka_unit_test(test_loop_run__every_poller_may_rest__dozes_longest),
        cmocka_unit_test(test_loop_run__a_poller_wants_its_turn_soon__dozes_no_longer),
        cmocka_unit_test(test_loop_run__bell_rings_while_it_dozes__is_woken),
        cmocka_unit_test(test_loop_run__descriptor_readable_while_it_dozes__is_woken),
        cmocka_unit_test(test_loop_turn__work_done__rings_sleeping_peers_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
