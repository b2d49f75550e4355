/* ingester/head_set.h - the heads of one ingester core: the one that grows, a fresh one in reserve, and
 * those that were cut and wait for their blocks.
 *
 * Purpose  cut a head without a pause: the storage thread maps and touches the next one beforehand, the
 *          ingester core only swaps two pointers. A head that was cut (sealed) is never written again.
 * Owner    the ingester core: the active head, and turn(). One storage thread: everything else. They
 *          meet in single words, published by release stores:
 *            spare    storage -> ingester   the next head (S1 / T1)
 *            wanted   storage -> ingester   how many cuts were asked for; relaxed, a wish
 *            sealed   ingester -> storage   a ring of heads that were cut (T2 / S2)
 *            held     both                  bytes of sealed heads, taken off the active one's limit
 *          Heads are borrowed: whoever made them (ingester/flush.h; a test) frees them.
 * Context  turn: hot. create, destroy: control thread. The rest: the storage thread, never waits.
 * Units    bytes.
 * Errors   turn cannot fail: without a spare the active head goes on up to its limit, then append says
 *          PW_ENOMEM.
 * Limits   bytes_max for all heads of the core together; PW_HEADS_SEALED_MAX sealed ones.
 */
#ifndef PW_INGESTER_HEAD_SET_H
#define PW_INGESTER_HEAD_SET_H

#include "base/bell.h"
#include "ingester/activity.h"
#include "ingester/head.h"
#include "ingester/share.h"
#include "ingester/wal.h"

#include <stdalign.h>
#include <stdatomic.h>

enum {
    PW_HEAD_CUT_SHARE = 4, /* the active head is cut at this part of the core's bytes */
};

struct pw_head_set_cfg {
    struct pw_head *first; /* active from the start */
    uint64_t bytes_max;
    uint64_t cut_bytes; /* the active head is cut when it holds so many; 0: bytes_max / CUT_SHARE */
};

struct pw_head_sealed {
    struct pw_head *head;
    bool has_mark;
    struct pw_wal_mark mark; /* of the log, when it was cut */
};

struct pw_head_set {
    /* --- read-only after create --- */
    struct pw_head_set_cfg cfg;
    const void *log;                                         /* what mark is asked with */
    void (*mark)(const void *log, struct pw_wal_mark *mark); /* NULL: no log */
    struct pw_bell
        *storage; /* rung when a head was cut; NULL: the storage thread looks by itself */
    struct pw_bell *
        memory; /* rung when the active head has little touched memory left; NULL: nobody touches it */
    size_t memory_low; /* so little */

    /* --- the ingester core's --- */
    struct pw_head *head; /* active */
    uint64_t held_seen;
    struct pw_activity *activity; /* which series of which tenant are: it outlives heads */
    struct pw_share share; /* what tenants hold of all heads; its `pressure` is for any thread */
    alignas(64) _Atomic uint64_t cuts; /* what of `wanted` is done */
    _Atomic uint64_t sealed_count;
    struct pw_head_sealed sealed[PW_HEADS_SEALED_MAX];
    _Atomic uint64_t cut_waits; /* turns in which a cut was due and no spare or no room was there */

    /* --- the storage thread's --- */
    alignas(64) _Atomic uint64_t wanted;
    _Atomic(struct pw_head *) spare; /* taken by the ingester core */
    _Atomic uint64_t taken;          /* of sealed */
    _Atomic uint64_t retired;        /* of taken: not kept in memory for their blocks any more */

    alignas(64) _Atomic uint64_t held;
};

PW_MUST_USE int pw_head_set_create_ctl(struct pw_head_set **out, const struct pw_head_set_cfg *cfg);
void pw_head_set_destroy_ctl(struct pw_head_set *s);
/* Before the ingester polls: how far the log is that the active head's records came from. Borrowed. */
void pw_head_set_log_ctl(struct pw_head_set *s, const void *log,
                         void (*mark)(const void *log, struct pw_wal_mark *mark));

/* Before the ingester polls; both borrow. Who sleeps on them: the storage thread; whoever touches heads' memory
 * ahead of their writer, when less than `low` bytes of that are left. */
void pw_head_set_bell_ctl(struct pw_head_set *s, struct pw_bell *storage);
void pw_head_set_memory_ctl(struct pw_head_set *s, struct pw_bell *memory, size_t low);

/* --- The ingester core ----------------------------------------------------------------------- */

/* Once a turn, between records: cuts when that is due. The head to append to until the next call. */
struct pw_head *pw_head_set_turn(struct pw_head_set *s);
/* Whether heads that were cut still take of the active one's room. */
bool pw_head_set_holds(const struct pw_head_set *s);

/* --- The storage thread ---------------------------------------------------------------------- */

/* Whether a spare is missing. */
bool pw_head_set_wants_spare(const struct pw_head_set *s);
/* Gives one. Readers must be able to see it already: its first row may come at once. */
void pw_head_set_give_spare(struct pw_head_set *s, struct pw_head *head);
/* Any thread. Asks for a cut; returns the ticket to wait for. An empty head is not cut: the ticket is just done. */
uint64_t pw_head_set_cut(struct pw_head_set *s);
bool pw_head_set_cut_done(const struct pw_head_set *s, uint64_t ticket);
/* Whether one waits to be taken. */
bool pw_head_set_has_sealed(const struct pw_head_set *s);
/* The next head that was cut, oldest first; false: none. It counts as held until it is retired. */
bool pw_head_set_take_sealed(struct pw_head_set *s, struct pw_head_sealed *out);
/* The bytes of the oldest taken head are free again, or as good as. */
void pw_head_set_retire(struct pw_head_set *s, const struct pw_head *head);

#endif
