/* base/bell.h - wakes a thread that sleeps because it has nothing to do, and costs little while it does not.
 *
 * Purpose  polling threads look at their work without being told; one that went to sleep has to be.
 * Owner    one sleeper; any number of ringers.
 * Context  ring: hot (a fence and a load while the sleeper is awake, a system call when it sleeps).
 * Units    -
 * Errors   a bell that could not be made (fd -1) is never heard: its sleeper must not sleep long.
 * Limits   -
 *
 * The sleeper says that it will sleep, then looks at its work once more, then sleeps; a ringer hands its
 * work over, then looks whether somebody sleeps. Both have a full fence between the two, so at least one
 * of them sees the other.
 */
#ifndef PW_BASE_BELL_H
#define PW_BASE_BELL_H

#include "base/err.h"
#include "base/types.h"

#include <stdatomic.h>

struct pw_bell {
    int fd; /* an eventfd: readable when somebody rang */
    atomic_bool asleep;
};

/* 0, or a negative pw_err. */
PW_MUST_USE int pw_bell_init_ctl(struct pw_bell *b);
void pw_bell_fini_ctl(struct pw_bell *b);

/* The sleeper, before its last look. */
static inline void
pw_bell_listen(struct pw_bell *b)
{
    atomic_store_explicit(&b->asleep, true, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
}

/* The sleeper, awake again; rang: its fd was readable. */
void pw_bell_awake(struct pw_bell *b, bool rang);

/* The sleeper, between the two: sleeps until somebody rings, at most so long, and is awake afterwards. */
void pw_bell_wait(struct pw_bell *b, uint32_t ms);

void pw_bell_wake(struct pw_bell *b);

/* A ringer, after it handed work over. */
static inline void
pw_bell_ring(struct pw_bell *b)
{
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&b->asleep, memory_order_relaxed)) {
        pw_bell_wake(b);
    }
}

#endif
