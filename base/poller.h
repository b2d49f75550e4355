/* base/poller.h - the unit of work of a polling lcore.
 *
 * Purpose  rooms that may not include one another meet in a list of polls which app/ fills in.
 * Owner    the lcore that runs the list.
 * Context  hot; one call per turn of the loop, `now_tsc` read once per turn.
 * Units    poll returns how much work it did; zero from all pollers of a turn is an idle turn.
 * Errors   a poll never fails: it counts.
 * Limits   PW_POLLERS_MAX per lcore (base/limits.h).
 */
#ifndef PW_BASE_POLLER_H
#define PW_BASE_POLLER_H

#include <stdint.h>

enum { PW_POLLER_LONG_US = 1000 };

struct pw_poller {
    const char *name; /* for /metrics: "rx", "ingester", ... */
    uint32_t (*poll)(void *ctx, uint64_t now_tsc);
    void *ctx;
    /* How long, in microseconds, an idle loop may sleep without a poll unless a descriptor of the loop
     * or its bell wakes it; asked after a turn in which poll did nothing. NULL: it has to be polled every
     * few hundred microseconds, which costs an idle appliance percents of a core. */
    uint32_t (*rest_us)(void *ctx);
    uint64_t busy_tsc;    /* written by the loop: cycles spent in calls that returned non-zero */
    uint64_t turns;       /* calls that returned non-zero */
    uint64_t longest_tsc; /* of those calls; others wait as long */
    uint64_t long_turns;  /* of those calls, that took more than PW_POLLER_LONG_US */
};

/* rest_us of a poller whose work always comes with a wake-up. */
static inline uint32_t
pw_poller_rest_until_woken(void *ctx)
{
    (void)ctx;
    return UINT32_MAX;
}

#endif
