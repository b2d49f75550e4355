/* distributor/folded.h - folded stacks ("groups") to an encoded pprof.
 *
 * Purpose  contract write-path.md 1.3.1: parse lines, derive the profile type from the application
 *          name's suffix, and write a pprof that takes the common path.
 * Owner    the result lies in the caller's scratch.
 * Context  hot; no allocation.
 * Units    bytes; values as the client counted them times the period.
 * Errors   type: PW_EINVAL for an unknown suffix. encode: PW_EINVAL with the parser's text,
 *          PW_ENOMEM when scratch is exhausted.
 * Limits   PW_FOLDED_LINE_MAX; a longer line ends the input silently, as stock does.
 */
#ifndef PW_DISTRIBUTOR_FOLDED_H
#define PW_DISTRIBUTOR_FOLDED_H

#include "base/err.h"
#include "base/scratch.h"
#include "base/text.h"
#include "base/types.h"

enum { PW_FOLDED_LINE_MAX = 65535 };

struct pw_folded_type {
    const char *metric;   /* __name__ */
    struct pw_slice type; /* sample type */
    const char *unit;
    struct pw_slice app; /* application name without its suffix */
    struct pw_slice suffix;
    uint64_t period; /* 0: no period type */
    bool has_period; /* the rate rule applied (period may still be 0) */
};

/* By the last dot-separated part of the application name, and the rate rule. */
PW_MUST_USE int pw_folded_type(struct pw_folded_type *t, struct pw_slice app, uint32_t sample_rate);

PW_MUST_USE int pw_folded_encode(const struct pw_folded_type *t, struct pw_slice body,
                                 int64_t time_nanos, uint64_t hash_key, struct pw_scratch *scratch,
                                 struct pw_slice *out, struct pw_text *err);

#endif
