#include "ingester/wal_pace.h"

#include "base/types.h"

enum { WHOLE = 1024 };

/* A sleeping core counts its rest when it wakes: what it then says may be more than the window was long. */
static uint32_t
share(uint64_t part, uint64_t all)
{
    return part >= all ? WHOLE : (uint32_t)((unsigned __int128)part * WHOLE / all);
}

void
pw_wal_pace_look(struct pw_wal_pace *p, int64_t now_ns, uint64_t now_tsc,
                 const uint64_t *const *idle_tsc, uint32_t n)
{
    uint64_t took = now_tsc - p->at_tsc;
    uint32_t least = WHOLE;

    if (now_ns - p->at_ns < PW_WAL_PACE_WINDOW_US * 1000LL) {
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        uint64_t idle = __atomic_load_n(idle_tsc[i], __ATOMIC_RELAXED);
        uint32_t rests = i < p->cores ? share(idle - p->idle[i], took) : WHOLE;

        p->idle[i] = idle;
        least = rests < least ? rests : least;
    }
    p->cores = n;
    p->at_ns = now_ns;
    p->at_tsc = now_tsc;
    /* Pushes come in bunches: two windows in a row say more than one. */
    p->spare = (p->spare + least) / 2;
}

/* us; the less of it the more there is to spare between the two, nothing above. */
static uint32_t
less(uint64_t us, uint32_t spare, uint32_t from, uint32_t to)
{
    return spare <= from ? (uint32_t)us
           : spare >= to ? 0
                         : (uint32_t)(us * (to - spare) / (to - from));
}

uint32_t
pw_wal_pace_us(const struct pw_wal_pace *p, uint32_t records)
{
    uint64_t us = (uint64_t)(records - 1) * PW_WAL_GATHER_STEP_US;
    uint32_t gather = less(us < PW_WAL_GATHER_US ? us : PW_WAL_GATHER_US, p->spare,
                           PW_WAL_PACE_SPARE_NONE, PW_WAL_PACE_SPARE_ENOUGH);
    uint32_t apart =
        less(PW_WAL_APART_US, p->spare, PW_WAL_PACE_SPARE_LITTLE, PW_WAL_PACE_SPARE_PLENTY);

    return gather > apart ? gather : apart;
}
