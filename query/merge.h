/* query/merge.h - queries that merge stack traces: what they share before the format matters.
 *
 * Purpose  SelectMergeStacktraces, SelectMergeSpanProfile, SelectMergeProfile, Diff and
 *          /pyroscope/render check the same fields in the same order (contract read-path.md 1.1).
 * Owner    one query.
 * Context  cold.
 * Units    ms.
 * Errors   in the call.
 * Limits   max_nodes: of the tenant.
 */
#ifndef PW_QUERY_MERGE_H
#define PW_QUERY_MERGE_H

#include "query/select.h"
#include "query/tree.h"

#include <types.pb-c.h>

struct pw_merge {
    const char *profile_type_id;
    const char *selector;
    int64_t start_ms, end_ms;
    int64_t max_nodes;     /* 0: the tenant's default */
    bool no_default_nodes; /* 0 means no truncation at all (pprof) */
    const Types__V1__StackTraceSelector *stack;
    char **profile_id, **span, **trace;
    size_t profile_id_count, span_count, trace_count;

    /* Set by pw_merge_plan. */
    struct pw_slice type; /* five parts */
    int64_t nodes;        /* effective limit; 0 none */
    struct pw_plan plan;
    const char **call_site;
    size_t call_site_count;
};

/* Judges everything; m->plan is ready then. 0, or the error in c. */
PW_MUST_USE int pw_merge_plan(struct pw_call *c, struct pw_merge *m);
/* Adds what is selected to the selfs of a tree. */
PW_MUST_USE int pw_merge_add(struct pw_call *c, struct pw_merge *m, struct pw_tree *t);
/* The tree before any truncation. */
PW_MUST_USE int pw_merge_tree(struct pw_call *c, struct pw_merge *m, struct pw_names *names,
                              struct pw_tree *t);
/* The tree after the passes that stock makes before it draws (contract 3.1). */
PW_MUST_USE int pw_merge_truncated(struct pw_call *c, struct pw_merge *m, struct pw_names *names,
                                   struct pw_tree *t);
/* The flame graph of it. */
PW_MUST_USE int pw_merge_flame(struct pw_call *c, struct pw_merge *m, struct pw_flame *f);

/* RPC handlers, stacktraces.c. */
int pw_stacktraces(struct pw_call *c, const ProtobufCMessage *req);
int pw_span_profile(struct pw_call *c, const ProtobufCMessage *req);

#endif
