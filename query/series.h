/* query/series.h - values over time: SelectSeries, and the timeline of /pyroscope/render.
 *
 * Purpose  contract read-path.md 3.4: points on the grid start + k*step, one series per group.
 * Owner    one query's arena.
 * Context  cold.
 * Units    ms; values in the profile type's unit.
 * Errors   in the call.
 * Limits   memory of the query.
 */
#ifndef PW_QUERY_SERIES_H
#define PW_QUERY_SERIES_H

#include "query/group.h"

#include <querier.pb-c.h>

struct pw_series_query {
    struct pw_plan plan; /* range as asked: the step before it is added here */
    int64_t step_ms;
    char **group_by;
    size_t group_by_count;
    bool average;
    bool exemplars;
    char **call_site;
    size_t call_site_count;
    int64_t limit; /* 0: all */
};

struct pw_series_point {
    int64_t k; /* timestamp = start + k * step */
    int64_t sum;
    uint64_t rows;
    int64_t best; /* exemplar: the row of the largest value */
    int64_t best_time_ms;
    uint32_t best_view, best_series;
    uint8_t best_uuid[16];
};

struct pw_series {
    struct pw_group *group;
    struct pw_series_point *point; /* ascending by k, distinct */
    uint32_t count, cap;
    double sum; /* of the points' values */
};

struct pw_series_result {
    struct pw_select select;
    struct pw_groups groups;
    struct pw_series *series; /* in the order of the answer */
    uint32_t count;
};

PW_MUST_USE int pw_series_run(struct pw_call *c, const struct pw_series_query *q,
                              struct pw_series_result *r);
double pw_series_value(const struct pw_series_query *q, const struct pw_series_point *p);

/* RPC handler of SelectSeries. */
int pw_select_series(struct pw_call *c, const ProtobufCMessage *req);

#endif
