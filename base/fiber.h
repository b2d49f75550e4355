/* base/fiber.h - a second stack for one polling core: long work that lets the loop turn meanwhile.
 *
 * Purpose  a polling core runs every call to its end. Work whose length a stranger decides (a body of
 *          megabytes) runs on a fiber instead: at checkpoints it looks at the clock, and when its slice is
 *          over it goes back to the loop, which receives, answers others, and lets it go on next turn.
 * Owner    one core; run, start, drop and pause on its thread only. What the fiber works with (its arg,
 *          its scratch, its inflater) belongs to it alone until it has ended or was dropped.
 * Context  hot but init and fini. A switch saves six registers: no system call, no signal mask.
 * Units    TSC ticks.
 * Errors   -
 * Limits   one piece of work at a time; PW_FIBER_STACK_BYTES, with an unmapped page below it. Work on a
 *          fiber takes no lock and leaves nothing to be unwound: what it holds is listed where its dropper
 *          finds it.
 */
#ifndef PW_BASE_FIBER_H
#define PW_BASE_FIBER_H

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/types.h"

#define PW_FIBER_STACK_BYTES (256U << 10) /* touched as far as it is used */

struct pw_fiber {
    void *sp;         /* of the side that is not running */
    uint8_t *stack;   /* its lowest byte; the unmapped page lies below */
    uint64_t end_tsc; /* of the slice */
    void (*main)(void *arg);
    void *arg;
    uint64_t (*clock)(void *clock_arg); /* tests: asked instead of the TSC; NULL otherwise */
    void *clock_arg;
    uint64_t switches; /* how often a checkpoint gave way */
    bool busy;         /* started, neither ended nor dropped */
    bool inside;       /* the core is on the fiber's stack */
    bool dropped;
    void *asan_fiber, *asan_loop; /* AddressSanitizer's fake stacks of both sides */
    const void *loop_stack;
    size_t loop_stack_bytes;
};

PW_MUST_USE int pw_fiber_init_ctl(struct pw_fiber *f);
void pw_fiber_fini_ctl(struct pw_fiber *f);

/* Has main(arg) called by the next run. Not while busy. */
void pw_fiber_start(struct pw_fiber *f, void (*main)(void *arg), void *arg);
/* Goes on with the work until end_tsc is past at a checkpoint. True: main has returned. */
PW_MUST_USE bool pw_fiber_run(struct pw_fiber *f, uint64_t end_tsc);
/* Forgets the work where it stands; nothing on its stack is undone. From the loop's side only. */
void pw_fiber_drop(struct pw_fiber *f);

/* Back to the loop; returns when it runs the fiber again. */
void pw_fiber_yield(struct pw_fiber *f);

static inline uint64_t
pw_fiber_now(const struct pw_fiber *f)
{
    return PW_UNLIKELY(f->clock != NULL) ? f->clock(f->clock_arg) : pw_rdtsc();
}

/* A checkpoint, after a piece of work that is bounded: some ten microseconds at most. f is NULL where
 * the same code runs straight to its end. */
static inline void
pw_fiber_pause(struct pw_fiber *f)
{
    if (PW_UNLIKELY(f != NULL) && pw_fiber_now(f) >= f->end_tsc) {
        pw_fiber_yield(f);
    }
}

/* A checkpoint at every n-th turn of a loop counted by i; n a power of two. */
#define PW_FIBER_PAUSE_EVERY(f, i, n)                                                              \
    do {                                                                                           \
        if (PW_UNLIKELY(((i) & ((n)-1)) == (n)-1)) {                                               \
            pw_fiber_pause(f);                                                                     \
        }                                                                                          \
    } while (0)

/* memcpy and memset of any length, with checkpoints. */
void pw_fiber_copy(struct pw_fiber *f, void *to, const void *from, size_t n);
void pw_fiber_clear(struct pw_fiber *f, void *to, size_t n);

#endif
