/* dataplane/timer_wheel.h - a core's timers.
 *
 * Purpose  arm, move and cancel in constant time; many timers, most of them never fire.
 * Owner    one core. A struct pw_timer lives inside its user's object and is linked while armed.
 * Context  hot.
 * Units    ticks of one millisecond, counted by the caller from its own start.
 * Errors   -
 * Limits   a deadline further away than PW_TIMER_SPAN ticks is looked at then and put back.
 *
 * Two levels: 1,024 slots of one tick, 256 slots of 1,024 ticks. A timer whose deadline moves later
 * stays where it is linked and is put back when its old slot comes up, because a retransmission
 * timer is moved by every ACK and fires almost never.
 *
 * A due timer waits in a list until pw_timer_wheel_pop gives it out: until then it can be cancelled
 * or armed again like any other.
 */
#ifndef PW_DATAPLANE_TIMER_WHEEL_H
#define PW_DATAPLANE_TIMER_WHEEL_H

#include "base/types.h"

enum {
    PW_TIMER_NEAR_BITS = 10,
    PW_TIMER_FAR_BITS = 8,
    PW_TIMER_NEAR_SLOTS = 1 << PW_TIMER_NEAR_BITS,
    PW_TIMER_FAR_SLOTS = 1 << PW_TIMER_FAR_BITS,
    PW_TIMER_SPAN = (PW_TIMER_FAR_SLOTS - 1) << PW_TIMER_NEAR_BITS,
};

struct pw_timer {
    struct pw_timer *next;
    struct pw_timer **pprev; /* NULL: not armed */
    uint64_t deadline;       /* tick */
    uint64_t slot_tick; /* when its slot comes up, at or before the deadline; UINT64_MAX: due */
    uint8_t kind;       /* the user's: which timer of the object this is */
};

struct pw_timer_wheel {
    uint64_t tick; /* every slot up to here was emptied */
    uint32_t armed;
    struct pw_timer *due;
    struct pw_timer *near[PW_TIMER_NEAR_SLOTS];
    struct pw_timer *far[PW_TIMER_FAR_SLOTS];
};

void pw_timer_wheel_init(struct pw_timer_wheel *w, uint64_t now_tick);
/* Arms t, or moves it. A deadline that has passed is due at the next tick. */
void pw_timer_arm(struct pw_timer_wheel *w, struct pw_timer *t, uint64_t deadline);
/* Harmless when t is not armed. */
void pw_timer_cancel(struct pw_timer_wheel *w, struct pw_timer *t);
/* Makes everything with a deadline up to now_tick due. */
void pw_timer_wheel_advance(struct pw_timer_wheel *w, uint64_t now_tick);
/* The next tick at which advance may find something, at most `max` ticks from the last one. */
uint64_t pw_timer_wheel_next(const struct pw_timer_wheel *w, uint32_t max);
/* A due timer, no longer armed; NULL when there is none. */
struct pw_timer *pw_timer_wheel_pop(struct pw_timer_wheel *w);

static inline bool
pw_timer_armed(const struct pw_timer *t)
{
    return t->pprev != NULL;
}

#endif
