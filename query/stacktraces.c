/* SelectMergeStacktraces and SelectMergeSpanProfile: one merged tree, in the format asked for. */
#include "query/dot.h"
#include "query/merge.h"
#include "query/pprof_out.h"

#include "pprof/wire.h"

#include <querier.pb-c.h>
#include <stdlib.h>

static int
answer_flame(struct pw_call *c, struct pw_merge *m)
{
    struct pw_flame f;

    if (pw_merge_flame(c, m, &f) != 0) {
        return PW_EINVAL;
    }
    pw_flame_answer(c, &f);
    return 0;
}

static int
answer_tree(struct pw_call *c, struct pw_merge *m)
{
    Querier__V1__SelectMergeStacktracesResponse res =
        QUERIER__V1__SELECT_MERGE_STACKTRACES_RESPONSE__INIT;
    struct pw_names names;
    struct pw_tree tree;
    struct pw_text t;
    int rc = 0;

    if (pw_merge_truncated(c, m, &names, &tree) != 0) {
        return PW_EINVAL;
    }
    pw_text_init(&t, PW_QUERY_REPLY_BYTES_MAX);
    if (pw_tree_bytes(&tree, &t)) {
        res.tree = (ProtobufCBinaryData){.len = t.len, .data = t.ptr};
        (void)pw_call_answer(c, &res.base);
        c->out.failed |= t.failed;
    } else {
        rc = pw_call_no_memory(c);
    }
    pw_text_fini(&t);
    return rc;
}

static int
answer_pprof(struct pw_call *c, struct pw_merge *m)
{
    Querier__V1__SelectMergeStacktracesResponse res =
        QUERIER__V1__SELECT_MERGE_STACKTRACES_RESPONSE__INIT;
    Querier__V1__PprofProfile wrapped = QUERIER__V1__PPROF_PROFILE__INIT;

    m->nodes = m->max_nodes; /* the default limit is one of flame graphs */
    if (pw_pprof_merge(c, m, &wrapped.profile) != 0) {
        return PW_EINVAL;
    }
    res.pprof = &wrapped;
    return pw_call_answer(c, &res.base);
}

static int
answer_dot(struct pw_call *c, struct pw_merge *m)
{
    Querier__V1__SelectMergeStacktracesResponse res =
        QUERIER__V1__SELECT_MERGE_STACKTRACES_RESPONSE__INIT;
    struct pw_text t;
    size_t n;
    int rc;

    pw_text_init(&t, PW_QUERY_REPLY_BYTES_MAX);
    rc = pw_dot_write(c, m, &t);
    if (rc == 0) {
        res.dot = (char *)pw_text_steal(&t, &n);
        if (res.dot == NULL) {
            return pw_call_no_memory(c);
        }
        (void)pw_call_answer(c, &res.base);
        free(res.dot);
    }
    pw_text_fini(&t);
    return rc;
}

int
pw_stacktraces(struct pw_call *c, const ProtobufCMessage *msg)
{
    const Querier__V1__SelectMergeStacktracesRequest *req =
        (const Querier__V1__SelectMergeStacktracesRequest *)msg;
    struct pw_merge m = {.profile_type_id = req->profile_typeid,
                         .selector = req->label_selector,
                         .start_ms = req->start,
                         .end_ms = req->end,
                         .max_nodes = req->max_nodes,
                         .stack = req->stack_trace_selector,
                         .profile_id = req->profile_id_selector,
                         .profile_id_count = req->n_profile_id_selector,
                         .span = req->span_selector,
                         .span_count = req->n_span_selector,
                         .trace = req->trace_id_selector,
                         .trace_count = req->n_trace_id_selector};

    if (req->opt_max_nodes_case !=
        QUERIER__V1__SELECT_MERGE_STACKTRACES_REQUEST__OPT_MAX_NODES_MAX_NODES) {
        m.max_nodes = 0;
    }
    if (pw_merge_plan(c, &m) != 0) {
        return PW_EINVAL;
    }
    /* An enum field can hold any number; those without a name are drawn as a flame graph, as an
     * unknown enum string in JSON is. */
    if (req->format == QUERIER__V1__PROFILE_FORMAT__PROFILE_FORMAT_TREE) {
        return answer_tree(c, &m);
    }
    if (req->format == QUERIER__V1__PROFILE_FORMAT__PROFILE_FORMAT_DOT) {
        return answer_dot(c, &m);
    }
    if (req->format == QUERIER__V1__PROFILE_FORMAT__PROFILE_FORMAT_PPROF) {
        return answer_pprof(c, &m);
    }
    return answer_flame(c, &m);
}

int
pw_span_profile(struct pw_call *c, const ProtobufCMessage *msg)
{
    const Querier__V1__SelectMergeSpanProfileRequest *req =
        (const Querier__V1__SelectMergeSpanProfileRequest *)msg;
    struct pw_merge m = {.profile_type_id = req->profile_typeid,
                         .selector = req->label_selector,
                         .start_ms = req->start,
                         .end_ms = req->end,
                         .max_nodes = req->max_nodes,
                         .span = req->span_selector,
                         .span_count = req->n_span_selector};

    if (req->opt_max_nodes_case !=
        QUERIER__V1__SELECT_MERGE_SPAN_PROFILE_REQUEST__OPT_MAX_NODES_MAX_NODES) {
        m.max_nodes = 0;
    }
    if (pw_merge_plan(c, &m) != 0) {
        return PW_EINVAL;
    }
    /* The flame graph and the tree have the numbers of SelectMergeStacktracesResponse. */
    return req->format == QUERIER__V1__PROFILE_FORMAT__PROFILE_FORMAT_TREE ? answer_tree(c, &m)
                                                                           : answer_flame(c, &m);
}
