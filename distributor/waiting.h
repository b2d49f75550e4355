/* distributor/waiting.h - requests that wait for a desk, the short ones before the long ones.
 *
 * Purpose  who is worked on next: by how long the work will take, which the size of a body tells well enough. Of
 *          what arrives at random the median waits least when the shortest goes first; who has waited long
 *          goes before all, the oldest first, so nobody waits for ever.
 * Owner    the polling thread of a distributor.
 * Context  hot but init and fini.
 * Units    bytes of a body; TSC ticks.
 * Errors   false: no room.
 * Limits   PW_WAITING_SMALL_MAX, PW_WAITING_LARGE_MAX (base/limits.h).
 */
#ifndef PW_DISTRIBUTOR_WAITING_H
#define PW_DISTRIBUTOR_WAITING_H

#include "base/err.h"
#include "base/limits.h"
#include "base/types.h"

enum {
    PW_WAITING_SIZES =
        12, /* lines by size: two for each power of two from 2 KiB to PW_LARGE_BODY_BYTES */
    PW_WAITING_LARGE = PW_WAITING_SIZES, /* the line of bodies above that */
    PW_WAITING_LINES,
};

/* A request that waits for a desk, held by the HTTP server. */
struct pw_waiting {
    uint64_t conn;
    uint64_t address;
    uint64_t since_tsc;
    uint64_t bytes; /* of the body */
};

struct pw_waiting_ring {
    struct pw_waiting *entry;
    uint32_t cap; /* a power of two */
    uint32_t first, count;
};

struct pw_waiting_lines {
    struct pw_waiting_ring line[PW_WAITING_LINES];
    uint32_t small, small_peak; /* waiting in all lines but the last */
    uint32_t large_peak;
    uint64_t old_tsc; /* who has waited so long goes first */
};

PW_MUST_USE int pw_waiting_init_ctl(struct pw_waiting_lines *l, uint64_t old_tsc);
void pw_waiting_fini_ctl(struct pw_waiting_lines *l);

PW_MUST_USE bool pw_waiting_put(struct pw_waiting_lines *l, const struct pw_waiting *w);
/* The line whose first is next; skip: lines not to look at, as bits. PW_WAITING_LINES when there is none. */
uint32_t pw_waiting_next(const struct pw_waiting_lines *l, uint64_t now_tsc, uint32_t skip);
/* The first of a line that is not empty. */
const struct pw_waiting *pw_waiting_first(const struct pw_waiting_lines *l, uint32_t line);
/* Who was taken from there just now, behind all others of the line. */
void pw_waiting_put_back(struct pw_waiting_lines *l, uint32_t line, const struct pw_waiting *w);
struct pw_waiting pw_waiting_take(struct pw_waiting_lines *l, uint32_t line);

static inline uint32_t
pw_waiting_count(const struct pw_waiting_lines *l)
{
    return l->small + l->line[PW_WAITING_LARGE].count;
}

#endif
