/* One record through a lane, both ends on one core: the instructions, not the cache line transfers
 * between cores (tests/stress/lane_stress prints those of two real threads). 64 B is a completion,
 * 32 KB a profile of the mix; filling it is part of the producer's work and measured with it. */
#include "perf/bench.h"
#include "ring/lane.h"

#include <stdio.h>
#include <stdlib.h>

enum { LANE_BYTES = 4 << 20, BURST = 32 };

struct state {
    struct pw_lane *lane;
    uint32_t bytes;
    int fill;
};

static void
step(void *arg)
{
    struct state *s = arg;
    struct pw_lane_record rec[BURST];

    for (uint32_t i = 0; i < BURST; i++) {
        uint8_t *p = pw_lane_reserve(s->lane, s->bytes);

        if (p == NULL) {
            abort();
        }
        if (s->fill) {
            memset(p, (int)i, s->bytes);
        }
        pw_lane_commit(s->lane, 1, s->bytes);
    }
    pw_lane_flush(s->lane);
    uint32_t n = pw_lane_pop_burst(s->lane, rec, BURST);

    for (uint32_t i = 0; i < n; i++) {
        bench_keep(*(const uint64_t *)rec[i].data);
    }
    pw_lane_release(s->lane, n);
}

int
main(void)
{
    struct state s = {.bytes = 64};

    bench_begin();
    if (pw_lane_create_ctl(&s.lane, LANE_BYTES, 0) != 0) {
        return 1;
    }
    bench_run("lane_64", step, &s, BURST);
    s.bytes = 32 << 10;
    bench_run("lane_32k", step, &s, BURST);
    s.fill = 1;
    bench_run("lane_32k_filled", step, &s, BURST);
    pw_lane_destroy_ctl(s.lane);
    return 0;
}
