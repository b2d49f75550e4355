/* query/labels_query.h - which profile types, labels and series there are.
 *
 * Purpose  ProfileTypes, LabelNames, LabelValues, Series (contract read-path.md 1.1). A series counts
 *          when one of its profiles lies in the time range.
 * Owner    one query's arena.
 * Context  cold.
 * Units    -
 * Errors   in the call.
 * Limits   memory of the query.
 */
#ifndef PW_QUERY_LABELS_QUERY_H
#define PW_QUERY_LABELS_QUERY_H

#include "query/select.h"

struct pw_value_set {
    struct pw_slice *value; /* sorted, distinct */
    uint32_t count;
};

/* Distinct values of one label over what is selected. */
PW_MUST_USE int pw_labels_values(struct pw_call *c, const struct pw_plan *plan,
                                 struct pw_slice name, struct pw_value_set *out);
/* The plan of a query for profile types; no range means the last hour. */
PW_MUST_USE int pw_labels_types_plan(struct pw_call *c, int64_t start_ms, int64_t end_ms,
                                     struct pw_plan *plan);

/* RPC handlers. */
int pw_profile_types(struct pw_call *c, const ProtobufCMessage *req);
int pw_label_names(struct pw_call *c, const ProtobufCMessage *req);
int pw_label_values(struct pw_call *c, const ProtobufCMessage *req);
int pw_series_labels(struct pw_call *c, const ProtobufCMessage *req);

#endif
