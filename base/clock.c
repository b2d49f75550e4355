#include "base/clock.h"

void
pw_clock_init_ctl(struct pw_clock *c)
{
    const uint64_t span_ns = 20000000;
    uint64_t t0 = (uint64_t)pw_mono_ns();
    uint64_t c0 = pw_rdtsc();
    uint64_t t1 = t0;

    while (t1 - t0 < span_ns) {
        t1 = (uint64_t)pw_mono_ns();
    }
    c->tsc_hz = (uint64_t)((unsigned __int128)(pw_rdtsc() - c0) * 1000000000U / (t1 - t0));
}
