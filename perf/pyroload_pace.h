/* perf/pyroload_pace.h - when the next request is due.
 *
 * Purpose  uniform or Poisson arrivals at a mean rate, reproducible by seed.
 * Owner    plain values.
 * Context  perf; pure.
 * Units    ns.
 * Errors   -
 * Limits   rate up to 1e9 per second.
 */
#ifndef PW_PERF_PYROLOAD_PACE_H
#define PW_PERF_PYROLOAD_PACE_H

#include "base/types.h"

#include <math.h>

struct pyroload_pace {
    double interval_ns;
    double at_ns; /* since start_ns, exact enough over days */
    uint64_t start_ns, next_ns;
    uint64_t random;
    bool poisson;
};

/* splitmix64: small, and good enough for gaps. (0, 1]. */
static inline double
pyroload_pace_uniform(uint64_t *state)
{
    uint64_t z = (*state += 0x9E3779B97F4A7C15ULL);

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    z ^= z >> 31;
    return (double)((z >> 11) + 1) / 9007199254740992.0;
}

static inline void
pyroload_pace_step(struct pyroload_pace *p)
{
    p->at_ns +=
        p->poisson ? -log(pyroload_pace_uniform(&p->random)) * p->interval_ns : p->interval_ns;
    p->next_ns = p->start_ns + (uint64_t)p->at_ns;
}

/* rate 0: never due (closed loop). */
static inline void
pyroload_pace_init(struct pyroload_pace *p, double rate, bool poisson, uint64_t seed,
                   uint64_t start_ns)
{
    *p = (struct pyroload_pace){.start_ns = start_ns, .random = seed, .poisson = poisson};
    if (rate == 0) {
        p->next_ns = UINT64_MAX;
        return;
    }
    p->interval_ns = 1e9 / rate;
    pyroload_pace_step(p);
}

#endif
