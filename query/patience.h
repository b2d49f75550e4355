/* query/patience.h - until when somebody waits for an answer.
 *
 * Purpose  a query whose client has gone stops at its next look, instead of working for nobody.
 * Owner    the polling thread that has the connection ends it; the query thread looks. One word, relaxed: a look
 *          that comes too early is made up for by the next.
 * Context  any. is_over: a load, and a clock read once an end was set.
 * Units    ns of the monotonic clock.
 * Errors   -
 * Limits   PW_PATIENCE_LEFT_MS.
 */
#ifndef PW_QUERY_PATIENCE_H
#define PW_QUERY_PATIENCE_H

#include "base/clock.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* A client that closed its side has mostly gone (stock, and proxies, take it so), but may also have said all it had to say
 * and read on: so long it is worked for yet. */
enum { PW_PATIENCE_LEFT_MS = 1000 };

struct pw_patience {
    _Atomic int64_t ends_ns; /* 0: not known to end */
};

static inline void
pw_patience_begin(struct pw_patience *p)
{
    atomic_store_explicit(&p->ends_ns, 0, memory_order_relaxed);
}

/* So many ms from now, unless it ends before that. */
static inline void
pw_patience_end(struct pw_patience *p, int64_t ms)
{
    int64_t at = pw_mono_ns() + ms * 1000000;
    int64_t before = atomic_load_explicit(&p->ends_ns, memory_order_relaxed);

    if (before == 0 || at < before) {
        atomic_store_explicit(&p->ends_ns, at, memory_order_relaxed);
    }
}

/* p NULL: never. */
static inline bool
pw_patience_is_over(const struct pw_patience *p)
{
    int64_t at = p == NULL ? 0 : atomic_load_explicit(&p->ends_ns, memory_order_relaxed);

    return at != 0 && pw_mono_ns() >= at;
}

#endif
