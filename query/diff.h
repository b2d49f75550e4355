/* query/diff.h - two merged trees side by side.
 *
 * Purpose  Diff and /pyroscope/render-diff: 7-tuples (contract read-path.md 3.3).
 * Owner    one query's arena.
 * Context  cold.
 * Units    -
 * Errors   in the call.
 * Limits   max_nodes: the larger one of the two sides.
 */
#ifndef PW_QUERY_DIFF_H
#define PW_QUERY_DIFF_H

#include "query/merge.h"

/* Both sides are planned here. */
PW_MUST_USE int pw_diff_flame(struct pw_call *c, struct pw_merge *left, struct pw_merge *right,
                              struct pw_flame *f);

/* RPC handler of Diff. */
int pw_diff(struct pw_call *c, const ProtobufCMessage *req);

#endif
