/* query/heatmap.h - how values of single profiles or spans spread over time.
 *
 * Purpose  SelectHeatmap (contract read-path.md 3.6).
 * Owner    one query's arena.
 * Context  cold.
 * Units    ms; values in the profile type's unit.
 * Errors   in the call.
 * Limits   memory of the query.
 */
#ifndef PW_QUERY_HEATMAP_H
#define PW_QUERY_HEATMAP_H

#include "query/call.h"

enum { PW_HEATMAP_BUCKETS = 20 };

int pw_heatmap(struct pw_call *c, const ProtobufCMessage *req);

#endif
