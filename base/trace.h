/* base/trace.h - the last events of a core, dumped on demand or on a broken invariant.
 *
 * Purpose  per-packet truth without logs: fixed events into a ring the core overwrites.
 * Owner    the polling core writes its own ring; a dump from another thread may show a torn event.
 * Context  pw_trace: hot, a few stores. dump: cold.
 * Units    one event = tsc, kind, two words.
 * Errors   -
 * Limits   PW_TRACE_EVENTS events, oldest overwritten.
 */
#ifndef PW_BASE_TRACE_H
#define PW_BASE_TRACE_H

#include <stdint.h>
#include <stdio.h>

enum { PW_TRACE_EVENTS = 1024 };

struct pw_trace_event {
    uint64_t tsc;
    const char *kind; /* a string literal, such as "tcp_state" */
    uint64_t a;
    uint64_t b;
};

struct pw_trace {
    uint64_t next;
    struct pw_trace_event event[PW_TRACE_EVENTS];
};

static inline void
pw_trace(struct pw_trace *t, uint64_t now_tsc, const char *kind, uint64_t a, uint64_t b)
{
    t->event[t->next++ % PW_TRACE_EVENTS] =
        (struct pw_trace_event){.tsc = now_tsc, .kind = kind, .a = a, .b = b};
}

/* Oldest first, one key=value line per event. */
void pw_trace_dump(const struct pw_trace *t, FILE *out);
/* The ring that a failed check on this thread dumps; NULL for none. Called once by the thread. */
void pw_trace_bind_thread(const struct pw_trace *t);
void pw_trace_dump_thread(FILE *out);

#endif
