/* base/check.h - how broken state of our own stops the process.
 *
 * Purpose  PW_INVARIANT is always compiled; PW_DCHECK only with -Ddcheck=true (debug, fuzz).
 * Owner    -
 * Context  any. PW_INVARIANT: cold paths and once per request. PW_DCHECK: per packet, per sample.
 * Errors   input from outside is never checked with these: it returns an error and is counted.
 *          A failed check prints file, line and condition, dumps the trace ring that the thread bound
 *          (base/trace.h), if it has one, then aborts.
 * Limits   -
 */
#ifndef PW_BASE_CHECK_H
#define PW_BASE_CHECK_H

#include <assert.h>
#include <stddef.h>

#define PW_LIKELY(x)   __builtin_expect(!!(x), 1)
#define PW_UNLIKELY(x) __builtin_expect(!!(x), 0)

_Noreturn void pw_check_failed(const char *file, int line, const char *cond);

#define PW_INVARIANT(cond)                                                                         \
    do {                                                                                           \
        if (PW_UNLIKELY(!(cond))) {                                                                \
            pw_check_failed(__FILE__, __LINE__, #cond);                                            \
        }                                                                                          \
    } while (0)

/* For the end of a switch that handles every value there is. */
#define PW_UNREACHABLE(what) pw_check_failed(__FILE__, __LINE__, "unreachable: " what)

#ifdef PW_DCHECK_ON
#define PW_DCHECK(cond) PW_INVARIANT(cond)
#else
#define PW_DCHECK(cond)                                                                            \
    do {                                                                                           \
        (void)sizeof(cond);                                                                        \
    } while (0)
#endif

#endif
