/* One thread hangs up rings as fast as it can; polling threads read them, now and then holding one for many
 * turns, and others acquire and release. Whatever anybody looks at is whole, and never older than the last.
 *
 * usage: snapshot_stress [milliseconds] */
#include "ring/snapshot.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { POLLING = 3, BLOCKING = 2, HELD_TURNS = 50 };

struct stress {
    struct pw_ring_board *board;
    _Atomic bool stop;
    _Atomic uint64_t looks;
};

struct reader {
    struct stress *stress;
    uint32_t number;
    bool polls;
};

static void
fail(const char *what)
{
    fprintf(stderr, "snapshot_stress: %s\n", what);
    abort();
}

/* The second of the heartbeat, the number of tokens and the token say the same thing. */
static struct pw_ring_snapshot *
make(uint32_t n)
{
    const struct pw_ring_snapshot_cfg cfg = {.ring = {.replication_factor = 1}, .self = "a"};
    const uint32_t token[] = {n, n + 1, n + 2};
    const struct pw_instance in = {.id = "a",
                                   .addr = "b",
                                   .zone = "",
                                   .timestamp = n,
                                   .token = token,
                                   .token_count = 1 + n % 3};
    struct pw_ring_desc d = {0};
    struct pw_ring_snapshot *s = NULL;

    if (pw_ring_desc_put(&d, &in) != 0 || pw_ring_snapshot_make_ctl(&s, &cfg, &d, NULL) != 0) {
        fail("no memory");
    }
    pw_ring_desc_fini(&d);
    return s;
}

static void
check(const struct pw_ring_snapshot *s, uint64_t *last)
{
    const struct pw_instance *in = &s->view->instance[0];
    uint32_t n = (uint32_t)in->timestamp;

    if (s->generation != n || in->token_count != 1 + n % 3 || in->token[0] != n ||
        s->view->token[0].token != n) {
        fail("a snapshot is not whole");
    }
    if (s->generation < *last) {
        fail("a snapshot is older than the one before");
    }
    *last = s->generation;
}

static void
poll_once(struct reader *r, uint64_t turn, const struct pw_ring_snapshot **held, uint64_t *last)
{
    const struct pw_ring_snapshot *s = pw_ring_board_read(r->stress->board, r->number);
    uint64_t of_held = 0;

    check(s, last);
    if (turn % HELD_TURNS == 0) {
        if (*held != NULL) {
            check(*held, &of_held);
        }
        pw_ring_snapshot_release(*held);
        pw_ring_snapshot_hold(s);
        *held = s;
    }
}

static void *
read_all(void *arg)
{
    struct reader *r = arg;
    const struct pw_ring_snapshot *held = NULL;
    uint64_t last = 0, turn = 0;

    for (; !atomic_load(&r->stress->stop); turn++) {
        if (r->polls) {
            poll_once(r, turn, &held, &last);
        } else {
            const struct pw_ring_snapshot *s = pw_ring_snapshot_acquire(r->stress->board);

            check(s, &last);
            pw_ring_snapshot_release(s);
        }
    }
    pw_ring_snapshot_release(held);
    atomic_fetch_add(&r->stress->looks, turn);
    return NULL;
}

static int64_t
mono_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int
main(int argc, char **argv)
{
    int64_t until = mono_ms() + (argc > 1 ? strtol(argv[1], NULL, 10) : 1000);
    struct stress s = {0};
    struct reader r[POLLING + BLOCKING];
    pthread_t thread[POLLING + BLOCKING];
    uint32_t n = 1, kept = 0;

    if (pw_ring_board_create_ctl(&s.board) != 0) {
        fail("no memory");
    }
    pw_ring_board_publish_ctl(s.board, make(n));
    for (uint32_t i = 0; i < POLLING + BLOCKING; i++) {
        r[i] = (struct reader){.stress = &s, .number = i, .polls = i < POLLING};
        if (pthread_create(&thread[i], NULL, read_all, &r[i]) != 0) {
            fail("no thread");
        }
    }
    while (mono_ms() < until) {
        uint32_t former;

        pw_ring_board_publish_ctl(s.board, make(++n));
        former = pw_ring_board_sweep_ctl(s.board);
        kept = former > kept ? former : kept;
    }
    atomic_store(&s.stop, true);
    for (uint32_t i = 0; i < POLLING + BLOCKING; i++) {
        pthread_join(thread[i], NULL);
    }
    printf("%u rings, %llu looks, at most %u former ones kept\n", n,
           (unsigned long long)atomic_load(&s.looks), kept);
    if (kept > 2 * POLLING + BLOCKING) {
        fail("former rings pile up");
    }
    pw_ring_board_destroy_ctl(s.board);
    return 0;
}
