/* query/range.h - the time range of a query, and times as HTTP parameters spell them.
 *
 * Purpose  the checks of contract read-path.md 3.9 with their texts, 2.3 for /pyroscope/render, and
 *          the profile type id of 2.2.
 * Owner    pure.
 * Context  cold.
 * Units    ms since the epoch unless named otherwise.
 * Errors   through the call.
 * Limits   of the tenant.
 */
#ifndef PW_QUERY_RANGE_H
#define PW_QUERY_RANGE_H

#include "query/call.h"

struct pw_range {
    int64_t start_ms, end_ms; /* both inclusive */
    bool empty;               /* wholly before the lookback: answer with nothing */
};

/* Judges and clamps. 0, or the error in c. */
PW_MUST_USE int pw_range_check(struct pw_call *c, int64_t start_ms, int64_t end_ms,
                               struct pw_range *out);

/* Profile type id: five parts, a sixth is tolerated. *type is the five, a part of id. 0, or the
 * error in c. */
PW_MUST_USE int pw_range_profile_type(struct pw_call *c, struct pw_slice id, struct pw_slice *type);
/* Part i of a five-part id. */
struct pw_slice pw_range_type_part(struct pw_slice type, uint32_t i);

/* An HTTP time (2.3), in ms; never fails. */
int64_t pw_range_attime(struct pw_slice s, int64_t now_ms);

/* Go's time.Duration and Prometheus' model.Duration as text. */
void pw_range_go_duration(struct pw_text *t, int64_t ms);
void pw_range_model_duration(struct pw_text *t, int64_t ms);

#endif
