#include "perf/bench.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <x86intrin.h>

enum { ROUND_NS_MIN = 1000000, BUDGET_MS_DEFAULT = 200, ROUNDS_MIN = 5 };

static uint64_t
now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
}

void
bench_begin(void)
{
    const char *want = getenv("PW_BENCH_CPU");
    cpu_set_t set, one;
    int cpu = -1;

    CPU_ZERO(&one);
    if (sched_getaffinity(0, sizeof(set), &set) == 0) {
        for (int i = 0; i < (int)CPU_SETSIZE; i++) {
            cpu = CPU_ISSET((size_t)i, &set) ? i : cpu;
        }
    }
    cpu = want != NULL ? atoi(want) : cpu;
    if (cpu < 0 || cpu >= (int)CPU_SETSIZE) {
        fprintf(stderr, "bench: no CPU to pin to\n");
        exit(77);
    }
    CPU_SET((size_t)cpu, &one);
    if (sched_setaffinity(0, sizeof(one), &one) != 0) {
        fprintf(stderr, "bench: cannot pin to CPU %d\n", cpu);
        exit(77);
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
}

static int
cmp_double(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

void
bench_print(const char *name, double value)
{
    printf("%s=%.1f\n", name, value);
}

/* Calls of fn per round, so that reading the clock does not show. Warms up on the way. */
static uint64_t
calls_per_round(bench_fn *fn, void *arg)
{
    uint64_t calls = 1;

    for (;;) { /* doubles until a round is long enough */
        uint64_t t0 = now_ns();

        for (uint64_t i = 0; i < calls; i++) {
            fn(arg);
        }
        if (now_ns() - t0 >= ROUND_NS_MIN || calls >= 1U << 30) {
            return calls;
        }
        calls *= 2;
    }
}

struct bench_result
bench_run(const char *name, bench_fn *fn, void *arg, uint64_t ops)
{
    const char *ms = getenv("PW_BENCH_MS");
    uint64_t budget = (ms != NULL ? strtoull(ms, NULL, 10) : BUDGET_MS_DEFAULT) * 1000000U;
    uint64_t calls = calls_per_round(fn, arg), start = now_ns();
    double ns[BENCH_ROUNDS_MAX], per = (double)(calls * ops);
    struct bench_result r = {.cycles_min = 1e300};
    int rounds = 0;
    char line[128];

    while (rounds < BENCH_ROUNDS_MAX && (rounds < ROUNDS_MIN || now_ns() - start < budget)) {
        uint64_t t0 = now_ns(), c0 = __rdtsc();
        double cycles;

        for (uint64_t i = 0; i < calls; i++) {
            fn(arg);
        }
        cycles = (double)(__rdtsc() - c0) / per;
        ns[rounds++] = (double)(now_ns() - t0) / per;
        r.cycles_min = cycles < r.cycles_min ? cycles : r.cycles_min;
    }
    qsort(ns, (size_t)rounds, sizeof(ns[0]), cmp_double);
    r.ns_min = ns[0];
    r.ns_median = ns[rounds / 2];
    if (name != NULL) {
        snprintf(line, sizeof(line), "%s_ns", name);
        bench_print(line, r.ns_min);
        snprintf(line, sizeof(line), "%s_median_ns", name);
        bench_print(line, r.ns_median);
        snprintf(line, sizeof(line), "%s_cycles", name);
        bench_print(line, r.cycles_min);
    }
    return r;
}
