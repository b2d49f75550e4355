/* query/select.h - which rows of which heads a query is about.
 *
 * Purpose  snapshot of every head and tenant of the query, the series that match, and one loop over
 *          their rows in the time range (contract read-path.md 2 and 2.4).
 * Owner    one query; everything lives in its arena.
 * Context  cold; never blocks a writer.
 * Units    ms in the plan, ns in rows. Bounds are inclusive, at ms.
 * Errors   PW_EINVAL with the error in the call.
 * Limits   memory of the query.
 */
#ifndef PW_QUERY_SELECT_H
#define PW_QUERY_SELECT_H

#include "query/call.h"
#include "query/range.h"

struct pw_plan {
    struct pw_slice profile_type; /* five parts; empty: any */
    struct pw_selector selector;
    struct pw_range range;
    bool any_time; /* range is not looked at */
    /* When not empty, only profiles, samples of spans, samples of traces named here. */
    const uint8_t (*profile_id)[16];
    const uint8_t (*span)[8];
    const uint8_t (*trace)[16];
    uint32_t profile_id_count, span_count, trace_count;
};

struct pw_select_view {
    struct pw_head_view head;
    bool *series; /* [series_count]: matches */
    uint32_t series_matched;
};

struct pw_select {
    struct pw_call *call;
    struct pw_plan plan;
    struct pw_select_view *view;
    uint32_t view_count;
    int64_t start_ns, end_ns;
};

struct pw_select_cursor { /* zero to begin */
    uint32_t view;
    uint64_t row;
};

/* Adds a label selector text to the plan. 0, or the error in c (v2's wording). */
PW_MUST_USE int pw_plan_selector(struct pw_call *c, struct pw_plan *plan, struct pw_slice text);
/* Hex ids of spans and traces, UUIDs of profiles. 0, or the error in c. */
PW_MUST_USE int pw_plan_spans(struct pw_call *c, struct pw_plan *plan, char **id, size_t n);
PW_MUST_USE int pw_plan_traces(struct pw_call *c, struct pw_plan *plan, char **id, size_t n);
PW_MUST_USE int pw_plan_profiles(struct pw_call *c, struct pw_plan *plan, char **id, size_t n);

PW_MUST_USE int pw_select_open(struct pw_call *c, const struct pw_plan *plan, struct pw_select *s);
/* The next matching row; cur->view says of which view. False at the end. */
bool pw_select_next(const struct pw_select *s, struct pw_select_cursor *cur,
                    struct pw_head_row *row);
/* Whether a sample passes the span and trace filters. */
bool pw_select_sample(const struct pw_select *s, const struct pw_select_view *v,
                      const struct pw_head_sample *sample);
static inline bool
pw_select_filters_samples(const struct pw_select *s)
{
    return s->plan.span_count > 0 || s->plan.trace_count > 0;
}

/* Sum of all matching samples per stack id of each view: *sums is [view_count] arrays of
 * [stacks_count]. */
PW_MUST_USE int pw_select_sums(const struct pw_select *s, int64_t ***sums);

#endif
