#include "query/merge.h"

static int
plan_nodes(struct pw_call *c, struct pw_merge *m)
{
    int64_t max = c->limits.max_flamegraph_nodes_max;

    m->nodes = m->max_nodes;
    if (m->max_nodes == 0) {
        m->nodes = m->no_default_nodes ? 0 : c->limits.max_flamegraph_nodes_default;
        return 0;
    }
    if (m->max_nodes < 0) {
        return pw_call_fail(c, PW_CONNECT_CODE_INVALID_ARGUMENT,
                            "max flamegraph nodes limit must be set (max allowed %lld)",
                            (long long)max);
    }
    if (max > 0 && m->max_nodes > max) {
        return pw_call_fail(c, PW_CONNECT_CODE_INVALID_ARGUMENT,
                            "max flamegraph nodes limit %lld is greater than allowed %lld",
                            (long long)m->max_nodes, (long long)max);
    }
    return 0;
}

static int
plan_filters(struct pw_call *c, struct pw_merge *m)
{
    size_t n = m->stack == NULL ? 0 : m->stack->n_call_site;

    if (m->span_count > 0 && m->trace_count > 0) {
        return pw_call_fail(c, PW_CONNECT_CODE_INVALID_ARGUMENT,
                            "span_selector and trace_id_selector cannot be combined");
    }
    if (pw_plan_spans(c, &m->plan, m->span, m->span_count) != 0 ||
        pw_plan_traces(c, &m->plan, m->trace, m->trace_count) != 0 ||
        pw_plan_profiles(c, &m->plan, m->profile_id, m->profile_id_count) != 0) {
        return PW_EINVAL;
    }
    m->call_site = pw_arena_zalloc(c->arena, n + 1, sizeof(*m->call_site));
    if (m->call_site == NULL) {
        return pw_call_no_memory(c);
    }
    for (size_t i = 0; i < n; i++) {
        m->call_site[i] = m->stack->call_site[i]->name;
    }
    m->call_site_count = n;
    return 0;
}

int
pw_merge_plan(struct pw_call *c, struct pw_merge *m)
{
    if (pw_range_profile_type(c, pw_slice_str(m->profile_type_id), &m->type) != 0 ||
        pw_range_check(c, m->start_ms, m->end_ms, &m->plan.range) != 0 || plan_nodes(c, m) != 0) {
        return PW_EINVAL;
    }
    m->plan.profile_type = m->type;
    m->plan.columns = PW_BLOCK_COL_SAMPLES;
    m->plan.stacks = true;
    if (pw_plan_selector(c, &m->plan, pw_slice_str(m->selector)) != 0) {
        return PW_EINVAL;
    }
    return plan_filters(c, m);
}

int
pw_merge_add(struct pw_call *c, struct pw_merge *m, struct pw_tree *t)
{
    const struct pw_tree_source src = {.call_site = m->call_site,
                                       .call_site_count = m->call_site_count};
    struct pw_select s;

    return pw_select_open(c, &m->plan, &s) != 0 ? PW_EINVAL : pw_tree_add(t, &s, &src);
}

int
pw_merge_tree(struct pw_call *c, struct pw_merge *m, struct pw_names *names, struct pw_tree *t)
{
    if (!pw_names_init(names, c->arena, c->t->q->cfg.hash_key) ||
        !pw_tree_init(t, c->arena, names)) {
        return pw_call_no_memory(c);
    }
    if (pw_merge_add(c, m, t) != 0) {
        return PW_EINVAL;
    }
    pw_tree_total(t);
    return 0;
}

int
pw_merge_truncated(struct pw_call *c, struct pw_merge *m, struct pw_names *names, struct pw_tree *t)
{
    if (pw_merge_tree(c, m, names, t) != 0) {
        return PW_EINVAL;
    }
    /* Stock truncates once where it reads and once where it merges, with the root counted among the
     * nodes; answers over one block are then equal to ours, node by node. */
    if (!pw_tree_truncate(t, m->nodes, true) || !pw_tree_truncate(t, m->nodes, true)) {
        return pw_call_no_memory(c);
    }
    return 0;
}

int
pw_merge_flame(struct pw_call *c, struct pw_merge *m, struct pw_flame *f)
{
    struct pw_names names;
    struct pw_tree t;

    if (pw_merge_truncated(c, m, &names, &t) != 0) {
        return PW_EINVAL;
    }
    /* Drawing truncates a last time, by an explicit limit only, and without counting the root. */
    return pw_tree_flame(&t, m->max_nodes, f) ? 0 : pw_call_no_memory(c);
}
