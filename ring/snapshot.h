/* ring/snapshot.h - the ring as everybody in the process reads it, and the board where it hangs.
 *
 * Purpose  the control thread makes a snapshot when the gossiped ring changes and hangs it up; polling cores
 *          and query threads read it without waiting for each other. One snapshot never changes.
 * Owner    the board owns what hangs there; a snapshot lives on until nobody holds it.
 * Context  *_ctl: the control thread alone. read: hot, each polling thread with its own number.
 *          acquire: any thread that may block. hold, release: any thread that has it.
 * Units    unix seconds.
 * Errors   those of pw_ring_view_make_ctl; PW_ENOMEM.
 * Limits   PW_RING_READERS_MAX polling threads.
 */
#ifndef PW_RING_SNAPSHOT_H
#define PW_RING_SNAPSHOT_H

#include "base/limits.h"
#include "ring/desc.h"
#include "ring/view.h"

#include <stdatomic.h>

#define PW_RING_READERS_MAX  PW_WORKERS_MAX /* doors of app/, the control thread's included */
#define PW_RING_NOT_A_MEMBER UINT32_MAX

/* What an appliance announces of its link beside the ring (key `pyrowire-links`). */
struct pw_ring_link {
    const char *addr;  /* "ip:port"; NULL: nothing announced, so this member is no pyrowire */
    uint64_t version;  /* of the link's protocol */
    int64_t timestamp; /* of the announcement */
};

struct pw_ring_snapshot {
    const struct pw_ring_view *view;
    const struct pw_ring_link *link; /* link[i] is of view->instance[i] */
    uint32_t self;                   /* index of this process, or PW_RING_NOT_A_MEMBER */
    uint64_t generation;             /* grows with every one that is hung up; starts with 1 */

    _Atomic uint32_t holders;
    struct pw_ring_snapshot *next; /* the board's list of former ones */
};

struct pw_ring_snapshot_cfg {
    struct pw_ring_cfg ring;
    const char *self;                 /* id of this process in the ring; "" none */
    const char *const *excluded_zone; /* whose instances are left out */
    uint32_t excluded_zones;
};

/* A snapshot of ring; links may be NULL. Borrows nothing. */
PW_MUST_USE int pw_ring_snapshot_make_ctl(struct pw_ring_snapshot **s,
                                          const struct pw_ring_snapshot_cfg *cfg,
                                          const struct pw_ring_desc *ring,
                                          const struct pw_ring_desc *links);
/* One that was never hung up. */
void pw_ring_snapshot_free_ctl(struct pw_ring_snapshot *s);

struct pw_ring_board;

PW_MUST_USE int pw_ring_board_create_ctl(struct pw_ring_board **b);
/* Nobody reads any more. */
void pw_ring_board_destroy_ctl(struct pw_ring_board *b);
/* Hangs s up, numbers it, and frees former ones that nobody looks at. */
void pw_ring_board_publish_ctl(struct pw_ring_board *b, struct pw_ring_snapshot *s);
/* Frees former ones that nobody looks at any more; how many are still looked at. */
uint32_t pw_ring_board_sweep_ctl(struct pw_ring_board *b);

/* The current one, NULL before the first; good until the same reader reads again. Work that goes on for
 * longer than that (a fiber that is parked) holds it. One load when nothing changed. */
const struct pw_ring_snapshot *pw_ring_board_read(struct pw_ring_board *b, uint32_t reader);

/* The current one, NULL before the first, for a thread that may block; to be released. */
const struct pw_ring_snapshot *pw_ring_snapshot_acquire(struct pw_ring_board *b);
void pw_ring_snapshot_hold(const struct pw_ring_snapshot *s);
void pw_ring_snapshot_release(const struct pw_ring_snapshot *s);

#endif
