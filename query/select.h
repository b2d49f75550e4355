/* query/select.h - which rows of which heads and blocks a query is about.
 *
 * Purpose  snapshot of every head and block of the query's tenants, the series that match, and one loop
 *          over their rows in the time range (contract read-path.md 2 and 2.4).
 * Owner    one query; everything lives in its arena, or is given back when the call ends (call.h).
 * Context  cold; never blocks a writer; may wait for the disk where there are blocks.
 * Units    ms in the plan, ns in rows. Bounds are inclusive, at ms.
 * Errors   PW_EINVAL with the error in the call.
 * Limits   memory of the query.
 */
#ifndef PW_QUERY_SELECT_H
#define PW_QUERY_SELECT_H

#include "query/call.h"
#include "query/range.h"
#include "query/source.h"

struct pw_dedup;

enum { /* of a head: so many between two looks whether anybody still waits */
       PW_SELECT_LOOK_ROWS = 1024,
       PW_SELECT_LOOK_SERIES = 256,
};

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
    /* What of a row will be looked at beside its time and series: enum pw_block_column. A head has it
     * all anyway; of a block, only these columns are read. */
    uint32_t columns;
    bool stacks; /* stacks will be resolved: symbols of blocks are needed */
    /* What will be done with it, so that other appliances send no more than that. */
    bool only_series;    /* pw_select_next_series alone */
    bool samples_by_row; /* samples are read row by row, not by pw_select_sums */
};

/* A head, what one partition of a block has, or what another appliance sent. */
struct pw_select_view {
    struct pw_source src;
    bool *series;     /* [series_count]: matches. Views of one block share it. */
    bool *shared;     /* [series_count]: other origins may have the same rows; NULL: none has */
    const bool *take; /* of another appliance: which of its rows count; NULL: all */
    uint32_t series_matched;
};

struct pw_select_span {
    int64_t min_ns, max_ns;
};

struct pw_select_block {
    const struct pw_catalog_block *from;
    uint32_t origin;              /* replicas.h */
    bool *series;                 /* [series_count]: matches */
    bool *inside;                 /* all of its rows are in the time range */
    struct pw_select_span *time;  /* of its rows; of those that match */
    struct pw_head_series *label; /* of those that match */
    uint64_t *partition;          /* of each view */
    uint32_t first_view, views;
    uint32_t series_count, series_matched;
    uint32_t last_view; /* of the row before */
    struct pw_block_row row;
};

struct pw_select {
    struct pw_call *call;
    struct pw_plan plan;
    struct pw_select_view *view; /* heads, then partitions of blocks, then other appliances' */
    uint32_t view_count, view_cap, head_views;
    struct pw_select_block *block;
    uint32_t block_count;
    uint32_t far_first, far_views;
    bool replicas; /* some view has shared series */
    int64_t start_ns, end_ns;
};

struct pw_select_cursor { /* zero to begin */
    uint32_t view;
    uint32_t block;
    uint32_t far;
    uint64_t row;
    struct pw_call_held *rows; /* open cursor of the block */
    struct pw_dedup *dedup;    /* what was returned, where there are replicas */
};

/* Adds a label selector text to the plan. 0, or the error in c (v2's wording). */
PW_MUST_USE int pw_plan_selector(struct pw_call *c, struct pw_plan *plan, struct pw_slice text);
/* Hex ids of spans and traces, UUIDs of profiles. 0, or the error in c. */
PW_MUST_USE int pw_plan_spans(struct pw_call *c, struct pw_plan *plan, char **id, size_t n);
PW_MUST_USE int pw_plan_traces(struct pw_call *c, struct pw_plan *plan, char **id, size_t n);
PW_MUST_USE int pw_plan_profiles(struct pw_call *c, struct pw_plan *plan, char **id, size_t n);

PW_MUST_USE int pw_select_open(struct pw_call *c, const struct pw_plan *plan, struct pw_select *s);
/* The next matching row, of copies in several replicas (dedup.h) the first; cur->view says of which view.
 * False at the end, or with the error in the call: then the answer is that error, whatever the handler
 * returns. */
bool pw_select_next(const struct pw_select *s, struct pw_select_cursor *cur,
                    struct pw_head_row *row);
/* The next series that matches and has such a row, each view's once. */
struct pw_select_series_cursor { /* zero to begin */
    uint32_t block, series;
    struct pw_select_cursor rows;
};
bool pw_select_next_series(struct pw_select *s, struct pw_select_series_cursor *cur,
                           struct pw_head_series *series);
/* Whether a sample passes the span and trace filters. */
bool pw_select_sample(const struct pw_select *s, const struct pw_select_view *v,
                      const struct pw_head_sample *sample);
static inline bool
pw_select_filters_samples(const struct pw_select *s)
{
    return s->plan.span_count > 0 || s->plan.trace_count > 0;
}

/* Sum of all matching samples per stack id of each view: *sums is [view_count] arrays of
 * [stacks_count + 1]. Of plans with stacks. */
PW_MUST_USE int pw_select_sums(const struct pw_select *s, int64_t ***sums);
/* The two steps of it, for who chooses among the rows. */
PW_MUST_USE int pw_select_sums_new(const struct pw_select *s, int64_t ***sums);
void pw_select_sum_row(const struct pw_select *s, const struct pw_select_view *v,
                       const struct pw_head_row *row, int64_t *sum);

#endif
