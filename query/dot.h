/* query/dot.h - the merged profile as a Graphviz digraph.
 *
 * Purpose  format=dot of /pyroscope/render and PROFILE_FORMAT_DOT (contract read-path.md 1.1, 1.2):
 *          functions as boxes, calls as arrows, the largest ones only. Our own layout of labels:
 *          renderers, not programs, read it.
 * Owner    one query's arena.
 * Context  cold.
 * Units    values as shares of the total and in the type's unit.
 * Errors   in the call.
 * Limits   PW_DOT_SOURCE_NODES of the tree are looked at, PW_DOT_NODES shown by default.
 */
#ifndef PW_QUERY_DOT_H
#define PW_QUERY_DOT_H

#include "query/merge.h"

enum { PW_DOT_SOURCE_NODES = 512, PW_DOT_NODES = 100 };

/* m is planned. Writes nothing when there is no data. */
PW_MUST_USE int pw_dot_write(struct pw_call *c, struct pw_merge *m, struct pw_text *out);

#endif
