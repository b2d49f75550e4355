#include "base/clock.h"

static uint64_t
mono_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
}

void
pw_clock_init_ctl(struct pw_clock *c)
{
    const uint64_t span_ns = 20000000;
    uint64_t t0 = mono_ns();
    uint64_t c0 = pw_rdtsc();
    uint64_t t1 = t0;

    while (t1 - t0 < span_ns) {
        t1 = mono_ns();
    }
    c->tsc_hz = (uint64_t)((unsigned __int128)(pw_rdtsc() - c0) * 1000000000U / (t1 - t0));
}
