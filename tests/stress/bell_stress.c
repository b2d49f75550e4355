/* A loop that sleeps for an hour when it has nothing to do, and somebody who hands work over at the worst moments:
 * just when it says that it will sleep, and at any other. Every piece has to be taken: a wake-up that is lost is an
 * hour of waiting, and this gives up after HANG_S.
 *
 * usage: bell_stress [milliseconds] */
#include "dataplane/loop.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { HANG_S = 20, PAUSES_MAX = 4000, PAUSES_REST = 64, PAUSES_SIGN = 200000 };

struct work {
    _Atomic uint64_t posted, taken;
    atomic_bool resting;
};

static uint64_t
now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
}

static uint32_t
take(void *ctx, uint64_t now_tsc)
{
    struct work *w = ctx;
    uint64_t posted = atomic_load_explicit(&w->posted, memory_order_acquire);

    (void)now_tsc;
    if (posted == atomic_load_explicit(&w->taken, memory_order_relaxed)) {
        return 0;
    }
    atomic_store_explicit(&w->taken, posted, memory_order_release);
    return 1;
}

static void *
run(void *arg)
{
    pw_loop_run(arg);
    return NULL;
}

/* Asked after the last look and before the sleep: long enough for the other thread to come in between. */
static uint32_t
rest(void *ctx)
{
    struct work *w = ctx;

    atomic_store_explicit(&w->resting, true, memory_order_relaxed);
    for (int i = 0; i < PAUSES_REST; i++) {
        __builtin_ia32_pause();
    }
    return UINT32_MAX;
}

/* Between the last look and the sleep, about the look, or any time. */
static void
wait_for_moment(const struct pw_bell *bell, const struct work *w, uint64_t random)
{
    const atomic_bool *sign = random % 2 == 0 ? &w->resting : &bell->asleep;

    /* The sign may have been there before it was taken down: then it never comes. */
    for (int i = 0; i < PAUSES_SIGN && random % 8 != 0; i++) {
        if (atomic_load_explicit(sign, memory_order_relaxed)) {
            break;
        }
        __builtin_ia32_pause();
    }
    for (uint64_t i = 0; i < (random >> 8) % (random % 8 == 0 ? PAUSES_MAX : PAUSES_REST); i++) {
        __builtin_ia32_pause();
    }
}

static void
wait_until_taken(const struct work *w, uint64_t n)
{
    uint64_t until = now_ns() + HANG_S * 1000000000ULL;

    while (atomic_load_explicit(&w->taken, memory_order_acquire) != n) {
        if (now_ns() > until) {
            fprintf(stderr, "bell_stress: piece %llu was not taken within %d s\n",
                    (unsigned long long)n, HANG_S);
            abort();
        }
    }
}

int
main(int argc, char **argv)
{
    static struct pw_loop l;
    static struct pw_bell bell;
    static struct work w;
    struct pw_clock clock = {.tsc_hz = 1000000000};
    uint64_t until = now_ns() + (argc > 1 ? strtoull(argv[1], NULL, 10) : 1000) * 1000000;
    uint64_t n = 0, random = 1;
    pthread_t thread;

    pw_loop_init_ctl(&l, 0, &clock, PW_LOOP_IDLE_BACKOFF);
    l.doze_us_max = 3600U * 1000000;
    pw_loop_set_bell_ctl(&l, &bell);
    if (pw_bell_init_ctl(&bell) != 0 ||
        pw_loop_add_ctl(
            &l, (struct pw_poller){.name = "take", .poll = take, .rest_us = rest, .ctx = &w}) !=
            0 ||
        pthread_create(&thread, NULL, run, &l) != 0) {
        return 2;
    }
    while (now_ns() < until) {
        random = random * 6364136223846793005ULL + 1442695040888963407ULL;
        atomic_store_explicit(&w.resting, false, memory_order_relaxed);
        wait_for_moment(&bell, &w, random >> 16);
        atomic_store_explicit(&w.posted, ++n, memory_order_release);
        pw_bell_ring(&bell);
        wait_until_taken(&w, n);
    }
    pw_loop_stop_ctl(&l);
    pthread_join(thread, NULL);
    pw_bell_fini_ctl(&bell);
    printf("%llu pieces, %llu sleeps\n", (unsigned long long)n, (unsigned long long)l.sleeps);
    return n > 0 ? 0 : 1;
}
