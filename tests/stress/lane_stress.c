/* Two real threads on one lane: every record arrives once, in order, whole. Sizes vary so that wraps,
 * padding, full and empty all happen all the time.
 *
 * usage: lane_stress [milliseconds]       prints ns per record as the two threads saw it */
#include "ring/lane.h"

#include "base/limits.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { BURST = 16, SPINS = 64 };

struct run {
    struct pw_lane *lane;
    uint64_t deadline_ns, sent, got, full, empty;
    _Atomic int done;
};

static uint64_t
now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
}

/* What record n is: both sides know. */
static uint64_t
scramble(uint64_t n)
{
    n = (n + 1) * 0x9E3779B97F4A7C15ULL;
    return n ^ (n >> 29);
}

static uint32_t
bytes_of(uint64_t n)
{
    uint64_t r = scramble(n);

    return (r & 15) == 0 ? (uint32_t)(r >> 8) % (PW_LANE_BYTES_MIN / 4 - 16)
                         : 8 + (uint32_t)(r >> 8) % 200;
}

static void
fail(const char *what, uint64_t n)
{
    fprintf(stderr, "lane_stress: %s at record %llu\n", what, (unsigned long long)n);
    abort();
}

static void *
produce(void *arg)
{
    struct run *r = arg;

    for (uint64_t n = 0; n % 256 != 0 || now_ns() < r->deadline_ns; n++) {
        uint32_t bytes = bytes_of(n), spins = 0;
        uint8_t *p;

        while ((p = pw_lane_reserve(r->lane, bytes)) == NULL) {
            pw_lane_flush(r->lane);
            r->full++;
            if (++spins % SPINS == 0) {
                sched_yield();
            }
        }
        if ((n & 31) == 3) { /* changes its mind: the next one takes the place */
            pw_lane_cancel(r->lane);
            p = pw_lane_reserve(r->lane, bytes);
            if (p == NULL) {
                fail("no room where there was", n);
            }
        }
        memset(p, (int)(scramble(n) & 0xff), bytes);
        pw_lane_commit(r->lane, 1 + (uint32_t)(n & 0xffff), bytes);
        if (scramble(n) % 5 != 0) {
            pw_lane_flush(r->lane);
        }
        r->sent = n + 1;
    }
    pw_lane_flush(r->lane);
    atomic_store_explicit(&r->done, 1, memory_order_release);
    return NULL;
}

static void
check(const struct pw_lane_record *rec, uint64_t n)
{
    const uint8_t *p = rec->data, want = (uint8_t)(scramble(n) & 0xff);

    if (rec->type != 1 + (uint32_t)(n & 0xffff) || rec->bytes != bytes_of(n)) {
        fail("wrong header", n);
    }
    for (uint32_t i = 0; i < rec->bytes; i++) {
        if (p[i] != want) {
            fail("wrong byte", n);
        }
    }
}

static void *
consume(void *arg)
{
    struct run *r = arg;
    struct pw_lane_record rec[BURST];
    uint32_t spins = 0;

    for (;;) {
        int done = atomic_load_explicit(&r->done, memory_order_acquire);
        uint32_t n = pw_lane_pop_burst(r->lane, rec, 1 + (uint32_t)(r->got % BURST));

        for (uint32_t i = 0; i < n; i++) {
            check(&rec[i], r->got++);
        }
        if (n > 1) { /* in two parts */
            pw_lane_release(r->lane, n / 2);
            n -= n / 2;
        }
        if (n > 0) {
            pw_lane_release(r->lane, n);
            spins = 0;
            continue;
        }
        if (done) {
            return NULL;
        }
        r->empty++;
        if (++spins % SPINS == 0) {
            sched_yield();
        }
    }
}

int
main(int argc, char **argv)
{
    uint64_t ms = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000;
    struct run r = {.deadline_ns = now_ns() + ms * 1000000};
    pthread_t producer, consumer;
    uint64_t start = now_ns();

    if (pw_lane_create_ctl(&r.lane, PW_LANE_BYTES_MIN, 0) != 0) {
        return 1;
    }
    pw_lane_start_at_fortest(r.lane, 0 - (uint64_t)(1 << 20)); /* the index wraps early on */
    if (pthread_create(&producer, NULL, produce, &r) != 0 ||
        pthread_create(&consumer, NULL, consume, &r) != 0) {
        return 1;
    }
    pthread_join(producer, NULL);
    pthread_join(consumer, NULL);
    if (r.got != r.sent || pw_lane_used(r.lane) != 0 || r.sent < 1000) {
        fail("count", r.got);
    }
    printf("records=%llu full=%llu empty=%llu ns_per_record=%.0f\n", (unsigned long long)r.got,
           (unsigned long long)r.full, (unsigned long long)r.empty,
           (double)(now_ns() - start) / (double)r.got);
    pw_lane_destroy_ctl(r.lane);
    return 0;
}
