/* query/pprof_out.h - the merged profile of a query as a pprof.
 *
 * Purpose  contract read-path.md 3.7: one sample type, stacks of all selected profiles added up, with
 *          the lines, addresses and mappings that were pushed.
 * Owner    the message lives in the query's arena.
 * Context  cold.
 * Units    -
 * Errors   in the call.
 * Limits   memory of the query; max_nodes when it is set.
 */
#ifndef PW_QUERY_PPROF_OUT_H
#define PW_QUERY_PPROF_OUT_H

#include "query/merge.h"

#include <profile.pb-c.h>

/* m is planned. *out is never NULL on success; without samples it is the empty message. */
PW_MUST_USE int pw_pprof_merge(struct pw_call *c, struct pw_merge *m, Google__V1__Profile **out);

/* RPC handler of SelectMergeProfile. */
int pw_merge_profile(struct pw_call *c, const ProtobufCMessage *req);

#endif
