/* ingester/wal_pace.h - how long the log's writer waits for company between two commits.
 *
 * Purpose  a commit costs interrupts and switches of threads whatever its size. Where the polling cores have time to
 *          spare the next one begins at once, since waiting would only make answers late; where one of them is half
 *          busy two commits are some way apart, so that what it does is interrupted less; where one has no time left,
 *          records share commits.
 * Owner    the writer thread of one log.
 * Context  storage thread; no system call.
 * Units    cycles of the TSC, microseconds where the name says us.
 * Errors   -
 * Limits   PW_WAL_PACE_CORES_MAX; PW_WAL_GATHER_US.
 */
#ifndef PW_INGESTER_WAL_PACE_H
#define PW_INGESTER_WAL_PACE_H

#include "base/limits.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    PW_WAL_PACE_CORES_MAX = PW_WORKERS_MAX + PW_INGESTERS_MAX,
    PW_WAL_PACE_WINDOW_US = 10000, /* over which a core's rest is taken */
    PW_WAL_PACE_SPARE_NONE = 80,   /* of 1024: who rests no more than this has no time */
    PW_WAL_PACE_SPARE_ENOUGH =
        200, /* who rests as much has plenty; between the two in proportion */
    PW_WAL_PACE_SPARE_LITTLE =
        614, /* who rests no more than this is kept from its work by each interrupt */
    PW_WAL_PACE_SPARE_PLENTY =
        768, /* who rests as much is not; between the two in proportion, too */
    PW_WAL_APART_US =
        600, /* between the beginnings of two commits, where a core is kept from its work */
    PW_WAL_GATHER_US = 4000,     /* between the beginnings of two commits, at most, */
    PW_WAL_GATHER_STEP_US = 400, /* and this much for each record of the first but one */
};

struct pw_wal_pace {
    int64_t at_ns; /* of the last window's end */
    uint64_t at_tsc;
    uint64_t idle[PW_WAL_PACE_CORES_MAX]; /* counters then */
    uint32_t cores;                       /* that were there then */
    uint32_t spare;                       /* of 1024, of the core that has least, smoothed */
};

/* For how many cycles `n` polling cores have had nothing to do so far. A look within a window of the one that counted
 * last is passed by. With no cores there is nobody whose time is to be saved. */
void pw_wal_pace_look(struct pw_wal_pace *p, int64_t now_ns, uint64_t now_tsc,
                      const uint64_t *const *idle_tsc, uint32_t n);
/* Whether some core has so little time to spare that records are to share commits, whoever waits. */
static inline bool
pw_wal_pace_gathers(const struct pw_wal_pace *p)
{
    return p->spare < PW_WAL_PACE_SPARE_ENOUGH;
}

/* From the beginning of a commit of that many records to the next. */
uint32_t pw_wal_pace_us(const struct pw_wal_pace *p, uint32_t records);

#endif
