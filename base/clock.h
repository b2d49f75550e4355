/* base/clock.h - the TSC as monotonic clock, and its conversions.
 *
 * Purpose  polling code takes `now_tsc` as a parameter, read once per turn of the loop.
 * Owner    struct pw_clock is filled once at start and then read only; app/ owns it.
 * Context  any. Pure state machines never call pw_rdtsc: now is handed in.
 * Units    tsc ticks, us, ns; wall time in ns since the epoch.
 * Errors   -
 * Limits   conversions are exact to a tick for spans below 2^32 seconds and a TSC below 2^34 Hz. They are on every
 *          push's way, so they divide by constants or 64 bits: a division of 128 bits is a call of some 100 cycles.
 */
#ifndef PW_BASE_CLOCK_H
#define PW_BASE_CLOCK_H

#include "base/check.h"

#include <stdint.h>
#include <time.h>
#include <x86intrin.h>

struct pw_clock {
    uint64_t tsc_hz;
};

/* Measures the TSC against CLOCK_MONOTONIC for about 20 ms. Control thread, once at start. */
void pw_clock_init_ctl(struct pw_clock *c);

static inline uint64_t
pw_rdtsc(void)
{
    return __rdtsc();
}

static inline uint64_t
pw_clock_us_to_tsc(const struct pw_clock *c, uint64_t us)
{
    if (PW_LIKELY(us < 1U << 30 && c->tsc_hz < 1ULL << 34)) {
        return us * c->tsc_hz / 1000000U;
    }
    return (uint64_t)((unsigned __int128)us * c->tsc_hz / 1000000U);
}

static inline uint64_t
pw_clock_tsc_to_ns(const struct pw_clock *c, uint64_t tsc)
{
    uint64_t rest = tsc % c->tsc_hz; /* below 2^34, so that the product fits */

    return tsc / c->tsc_hz * 1000000000U + rest * 1000000000U / c->tsc_hz;
}

/* Wall time in ns since the epoch (vDSO, no system call). */
static inline int64_t
pw_wall_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

#endif
