/* base/clock.h - the TSC as monotonic clock, its conversions, and the kernel's two clocks.
 *
 * Purpose  polling code takes `now_tsc` as a parameter, read once per turn of the loop.
 * Owner    struct pw_clock is filled once at start and then read only; app/ owns it.
 * Context  any. Pure state machines never call pw_rdtsc: now is handed in.
 * Units    tsc ticks, us, ns; wall time in ns since the epoch. Wall time is for what is stored or compared with
 *          the times of profiles, and may be set at any moment; ages and waits go by the monotonic clock.
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

/* Since some moment before the process; goes on evenly whatever becomes of wall time (vDSO, no system call). */
static inline int64_t
pw_mono_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static inline int64_t
pw_mono_ms(void)
{
    return pw_mono_ns() / 1000000;
}

/* One moment, for those who need both. */
struct pw_now {
    int64_t wall_ns;
    int64_t mono_ns;
};

static inline struct pw_now
pw_now_read(void)
{
    return (struct pw_now){.wall_ns = pw_wall_ns(), .mono_ns = pw_mono_ns()};
}

#endif
