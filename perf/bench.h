/* perf/bench.h - the frame of every bench_*: pin, warm up, repeat, print name=value lines.
 *
 * Purpose  figures of one machine that can be compared: minimum and median over rounds, in
 *          nanoseconds by the monotonic clock and in cycles by the time stamp counter.
 * Owner    the bench.
 * Context  perf only; one thread.
 * Units    ns and TSC cycles per operation; what an operation is, the name says.
 * Errors   bench_begin exits with 77 and a reason when it cannot pin.
 * Limits   BENCH_ROUNDS_MAX.
 *
 *     bench_begin();                              pins to $PW_BENCH_CPU, else to the last allowed CPU
 *     bench_run("parse", step, &arg, 20);         step(arg) does 20 operations
 *         parse_ns=123.4          minimum over rounds, per operation
 *         parse_median_ns=125.0
 *         parse_cycles=320.1
 */
#ifndef PW_PERF_BENCH_H
#define PW_PERF_BENCH_H

#include <stdint.h>

enum { BENCH_ROUNDS_MAX = 256 };

struct bench_result {
    double ns_min, ns_median, cycles_min;
};

typedef void bench_fn(void *arg);

void bench_begin(void);
/* Runs fn until a round takes at least a millisecond, then enough rounds for about 0.2 s (or
 * $PW_BENCH_MS milliseconds). ops: operations one call of fn does. Prints unless name is NULL. */
struct bench_result bench_run(const char *name, bench_fn *fn, void *arg, uint64_t ops);
void bench_print(const char *name, double value);

/* Keeps the compiler from dropping a result. */
static inline void
bench_keep(uint64_t v)
{
    __asm__ volatile("" : : "r"(v) : "memory");
}

#endif
