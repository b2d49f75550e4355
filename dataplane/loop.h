/* dataplane/loop.h - what a polling lcore does all day: a list of polls, turn after turn.
 *
 * Purpose  run struct pw_pollers on one thread, count busy and idle cycles, be quiet when idle.
 * Owner    the polling thread writes everything but `stop`; others read the counters with skew.
 * Context  init, stop, metrics: control thread. run/turn: the polling thread.
 * Units    TSC ticks; microseconds where the name says us.
 * Errors   -
 * Limits   PW_POLLERS_MAX. A napping loop wakes within PW_LOOP_NAP_US_MAX and the kernel's delay. One whose
 *          pollers all have rest_us dozes: it wakes by a descriptor, its bell, or after the shortest rest,
 *          PW_LOOP_DOZE_US_MAX at the latest.
 */
#ifndef PW_DATAPLANE_LOOP_H
#define PW_DATAPLANE_LOOP_H

#include "base/bell.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/poller.h"
#include "base/text.h"

#include <stdatomic.h>

enum {
    PW_LOOP_PAUSE_TURNS = 256,
    PW_LOOP_NAP_US_MAX = 500,
    PW_LOOP_DOZE_AFTER_US = 64, /* naps grow to this, then a loop that may doze does */
    PW_LOOP_DOZE_US_MAX =
        250000, /* everything that may come rings or has a descriptor; a safety net */
};

enum { PW_LOOP_PEERS_MAX = PW_WORKERS_MAX + PW_INGESTERS_MAX };

enum pw_loop_idle {
    PW_LOOP_IDLE_BACKOFF, /* pause, then nap, then doze: an idle core rests */
    PW_LOOP_IDLE_SPIN,    /* pause only: for latency work */
};

struct pw_loop {
    /* Read only after init. */
    struct pw_poller poller[PW_POLLERS_MAX];
    uint32_t poller_count;
    uint32_t index; /* label of the metrics */
    enum pw_loop_idle idle;
    uint32_t doze_us_max; /* PW_LOOP_DOZE_US_MAX; a test may sleep longer to see that it is woken */
    uint64_t tsc_hz;
    uint64_t long_tsc; /* PW_POLLER_LONG_US */
    /* Cycles that pollers spent inside a NIC driver during calls that did work; left out of busy.
     */
    const uint64_t *driver_tsc[PW_POLLERS_MAX];
    uint32_t driver_count;
    struct pw_bell *bell;                    /* NULL: nobody can wake this loop */
    struct pw_bell *peer[PW_LOOP_PEERS_MAX]; /* of loops that this one's work may make work for */
    uint32_t peer_count;
    int fd[PW_POLLERS_MAX]; /* readable when a poller has work */
    uint32_t fd_count;

    /* Written by the polling thread. */
    uint64_t turns;
    uint64_t idle_turns; /* consecutive, drives the back-off */
    uint64_t busy_tsc;   /* calls that did work, driver included; see pw_loop_busy_tsc */
    uint64_t idle_tsc;   /* everything else, sleep included */
    uint64_t sleeps;     /* naps and dozes */

    /* Written by the control thread. */
    atomic_bool stop;
};

void pw_loop_init_ctl(struct pw_loop *l, uint32_t index, const struct pw_clock *clock,
                      enum pw_loop_idle idle);
/* Copies p: read its counters back from l->poller[]. PW_ENOSPC when the list is full. */
PW_MUST_USE int pw_loop_add_ctl(struct pw_loop *l, struct pw_poller p);
/* Both borrow for the life of the loop. PW_ENOSPC when there are too many. */
void pw_loop_set_bell_ctl(struct pw_loop *l, struct pw_bell *bell);
PW_MUST_USE int pw_loop_add_peer_ctl(struct pw_loop *l, struct pw_bell *bell);
/* A descriptor that is readable when a poller has work; polled, never read. */
PW_MUST_USE int pw_loop_add_fd_ctl(struct pw_loop *l, int fd);
/* Borrows the counter for the life of the loop (pw_worker_driver_tsc). */
PW_MUST_USE int pw_loop_add_driver_ctl(struct pw_loop *l, const uint64_t *driver_tsc);

/* One turn: every poller once, in order. Returns the work done; 0 was an idle turn. No sleeping. */
uint32_t pw_loop_turn(struct pw_loop *l, uint64_t now_tsc);
/* Turns until pw_loop_stop_ctl. */
void pw_loop_run(struct pw_loop *l);
void pw_loop_stop_ctl(struct pw_loop *l);

/* Cycles spent working, without those inside the NIC driver. Any thread. */
uint64_t pw_loop_busy_tsc(const struct pw_loop *l);
/* Prometheus text of n loops: pyrowire_loop_*. Any thread. */
void pw_loop_metrics(struct pw_loop *const *l, uint32_t n, struct pw_text *out);

#endif
