#include "query/pprof_out.h"

#include "query/pprof_build.h"

#include <querier.pb-c.h>

enum { NS_PER_MS = 1000000 };

/* --- Truncation and selection of stacks ----------------------------------------------------- */

/* What the stacks of a view are cut by: a planned tree, walked again stack by stack. */
struct cutter {
    struct pw_tree tree;
    struct pw_names names;
    int64_t least; /* 0: nothing is cut */
};

static int
make_cutter(struct pw_call *c, struct pw_merge *m, struct cutter *k)
{
    int64_t *total;

    *k = (struct cutter){0};
    if (m->nodes <= 0) {
        return 0;
    }
    if (pw_merge_tree(c, m, &k->names, &k->tree) != 0) {
        return PW_EINVAL;
    }
    if (k->tree.count <= m->nodes) {
        return 0;
    }
    total = pw_arena_alloc(c->arena, k->tree.count * sizeof(*total));
    if (total == NULL) {
        return pw_call_no_memory(c);
    }
    for (uint32_t i = 0; i < k->tree.count; i++) { /* the root counts */
        total[i] = k->tree.node[i].total;
    }
    k->least = pw_tree_nth_largest(total, k->tree.count, (uint32_t)m->nodes);
    return 0;
}

/* How many leaf-side locations of the stack in f->loc lie below the threshold. */
static uint32_t
small_frames(struct cutter *k, struct pw_frames *f, uint32_t depth)
{
    uint32_t node = 0, small = 0;

    for (uint32_t i = depth; i > 0; i--) {
        uint32_t n = 0;
        const uint32_t *name = pw_frames_of(f, f->loc[i - 1], &n);

        for (uint32_t x = 0; name != NULL && x < n; x++) {
            node = pw_tree_child(&k->tree, node, name[x]);
        }
        if (name == NULL || node == UINT32_MAX) {
            return UINT32_MAX;
        }
        small = k->tree.node[node].total < k->least ? small + 1 : 0;
    }
    return small;
}

/* How many leaf-side locations of the stack in f->loc the stub stands for; UINT32_MAX: no memory. Contract
 * 3.7, observed: the frame next to a kept one stays although it is small, what is further to the leaf becomes
 * one stub, and a stack of small frames only becomes the stub alone. */
static uint32_t
cut_frames(struct cutter *k, struct pw_frames *f, uint32_t depth)
{
    uint32_t small = k->least > 0 ? small_frames(k, f, depth) : 0;

    if (small == UINT32_MAX || small == depth) {
        return small;
    }
    return small < 2 ? 0 : small - 1;
}

struct add {
    struct pw_pprof_build *b;
    struct pw_pprof_view v;
    struct pw_frames frames; /* over the cutter's names */
    struct cutter *cutter;
    const uint32_t *prefix;
    uint32_t prefix_count;
    uint32_t keep; /* go_pgo keep_locations; 0: all */
    uint32_t *loc;
    uint32_t loc_cap;
};

/* The stack in frames.loc, depth deep. Only what is kept of it is put into the answer's tables. */
static bool
add_stack(struct add *x, uint32_t depth, int64_t value)
{
    uint32_t cut = cut_frames(x->cutter, &x->frames, depth), kept = 0;

    if (cut == UINT32_MAX) {
        return false;
    }
    if (depth + 1 > x->loc_cap) {
        x->loc_cap = (depth + 1) * 2;
        x->loc = pw_arena_alloc(x->b->a, x->loc_cap * sizeof(*x->loc));
        if (x->loc == NULL) {
            return false;
        }
    }
    if (cut > 0) {
        x->loc[kept++] = pw_pprof_put_other(x->b);
    }
    for (uint32_t i = cut; i < depth && (x->keep == 0 || kept < x->keep); i++) {
        x->loc[kept++] = pw_pprof_put_location(x->b, &x->v, x->frames.loc[i]);
    }
    for (uint32_t i = 0; i < kept; i++) {
        if (x->loc[i] == 0) {
            return false;
        }
    }
    return pw_pprof_put_stack(x->b, x->loc, kept, value);
}

static bool
add_view(struct add *x, const int64_t *sum)
{
    const struct pw_source *src = x->v.src;
    struct pw_arena *a = x->b->a;

    x->v.function = pw_arena_zalloc(a, src->functions_count, sizeof(uint32_t));
    x->v.mapping = pw_arena_zalloc(a, src->mappings_count, sizeof(uint32_t));
    x->v.location = pw_arena_zalloc(a, src->locations_count, sizeof(uint32_t));
    if (x->v.function == NULL || x->v.mapping == NULL || x->v.location == NULL ||
        !pw_frames_init(&x->frames, a, src, &x->cutter->names)) {
        return false;
    }
    for (uint32_t i = 0; i < src->stacks_count; i++) {
        uint32_t depth;

        if (sum[i] == 0) {
            continue;
        }
        depth = pw_frames_stack(&x->frames, i);
        if (depth == UINT32_MAX) {
            return false;
        }
        if (depth == 0 || (x->prefix_count > 0 &&
                           !pw_frames_has_prefix(&x->frames, depth, x->prefix, x->prefix_count))) {
            continue;
        }
        if (!add_stack(x, depth, sum[i])) {
            return false;
        }
    }
    return true;
}

/* --- The message ---------------------------------------------------------------------------- */

static bool
put_samples(struct pw_pprof_build *b, Google__V1__Profile *p)
{
    uint32_t n = b->stacks.count - PW_PPROF_FIRST_ID;
    Google__V1__Sample *sample = pw_arena_zalloc(b->a, n, sizeof(*sample));

    p->sample = pw_arena_zalloc(b->a, n, sizeof(*p->sample));
    if (sample == NULL || p->sample == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < n; i++) {
        struct pw_slice blob = b->stacks.name[PW_PPROF_FIRST_ID + i];
        size_t depth = blob.len / sizeof(uint32_t);

        google__v1__sample__init(&sample[i]);
        sample[i].location_id = pw_arena_alloc(b->a, depth * sizeof(uint64_t));
        if (sample[i].location_id == NULL) {
            return false;
        }
        for (size_t k = 0; k < depth; k++) {
            uint32_t id;

            memcpy(&id, blob.ptr + k * sizeof(id), sizeof(id));
            sample[i].location_id[k] = id;
        }
        sample[i].n_location_id = depth;
        sample[i].value = &b->value[i];
        sample[i].n_value = 1;
        p->sample[i] = &sample[i];
    }
    p->n_sample = n;
    return true;
}

static int64_t
guess_period(struct pw_slice name)
{
    if (pw_slice_eq_str(name, "process_cpu")) {
        return 1000000000;
    }
    return pw_slice_eq_str(name, "memory") ? 524288 : 1;
}

static Google__V1__ValueType *
put_value_type(struct pw_pprof_build *b, struct pw_slice type, struct pw_slice unit)
{
    Google__V1__ValueType *v = pw_arena_zalloc(b->a, 1, sizeof(*v));

    if (v == NULL) {
        return NULL;
    }
    google__v1__value_type__init(v);
    v->type = pw_pprof_put_string(b, type);
    v->unit = pw_pprof_put_string(b, unit);
    return v->type == UINT32_MAX || v->unit == UINT32_MAX ? NULL : v;
}

static bool
put_head(struct pw_pprof_build *b, const struct pw_merge *m, Google__V1__Profile *p)
{
    p->sample_type = pw_arena_zalloc(b->a, 1, sizeof(*p->sample_type));
    if (p->sample_type == NULL) {
        return false;
    }
    p->sample_type[0] =
        put_value_type(b, pw_range_type_part(m->type, 1), pw_range_type_part(m->type, 2));
    p->period_type =
        put_value_type(b, pw_range_type_part(m->type, 3), pw_range_type_part(m->type, 4));
    if (p->sample_type[0] == NULL || p->period_type == NULL) {
        return false;
    }
    p->n_sample_type = 1;
    p->default_sample_type = p->sample_type[0]->type;
    p->period = guess_period(pw_range_type_part(m->type, 0));
    p->time_nanos = m->plan.range.end_ms * NS_PER_MS;
    return true;
}

static bool
finish(struct pw_pprof_build *b, const struct pw_merge *m, Google__V1__Profile *p)
{
    if (m->stack != NULL && m->stack->go_pgo != NULL && m->stack->go_pgo->aggregate_callees &&
        !pw_pprof_drop_leaf_lines(b)) {
        return false;
    }
    pw_pprof_finish_other(b);
    if (!put_head(b, m, p) || !put_samples(b, p)) {
        return false;
    }
    p->function = b->function;
    p->n_function = b->functions.count - PW_PPROF_FIRST_ID;
    p->mapping = b->mapping;
    p->n_mapping = b->mappings.count - PW_PPROF_FIRST_ID;
    p->location = b->location;
    p->n_location = b->locations.count - PW_PPROF_FIRST_ID;
    p->string_table = b->string_table;
    p->n_string_table = b->string_count;
    return true;
}

static int
add_views(struct pw_pprof_build *b, struct pw_merge *m, const struct pw_select *s, struct cutter *k)
{
    struct pw_call *c = b->c;
    struct add x = {.b = b, .cutter = k, .prefix_count = (uint32_t)m->call_site_count};
    uint32_t *prefix = pw_arena_zalloc(c->arena, m->call_site_count + 1, sizeof(*prefix));
    int64_t **sums;

    if (prefix == NULL ||
        (k->names.count == 0 && !pw_names_init(&k->names, c->arena, c->t->q->cfg.hash_key))) {
        return pw_call_no_memory(c);
    }
    for (size_t i = 0; i < m->call_site_count; i++) {
        prefix[i] = pw_names_intern(&k->names, pw_slice_str(m->call_site[i]));
    }
    x.prefix = prefix;
    x.keep = m->stack != NULL && m->stack->go_pgo != NULL ? m->stack->go_pgo->keep_locations : 0;
    if (pw_select_sums(s, &sums) != 0) {
        return PW_EINVAL;
    }
    for (uint32_t i = 0; i < s->view_count; i++) {
        x.v = (struct pw_pprof_view){.src = &s->view[i].src};
        if (!add_view(&x, sums[i])) {
            return pw_call_no_memory(c);
        }
    }
    return 0;
}

int
pw_pprof_merge(struct pw_call *c, struct pw_merge *m, Google__V1__Profile **out)
{
    Google__V1__Profile *p = pw_arena_zalloc(c->arena, 1, sizeof(*p));
    struct cutter k;
    struct pw_pprof_build b;
    struct pw_select s;

    if (p == NULL || !pw_pprof_build_init(&b, c)) {
        return pw_call_no_memory(c);
    }
    google__v1__profile__init(p);
    *out = p;
    if (make_cutter(c, m, &k) != 0 || pw_select_open(c, &m->plan, &s) != 0 ||
        add_views(&b, m, &s, &k) != 0) {
        return PW_EINVAL;
    }
    if (b.stacks.count == PW_PPROF_FIRST_ID) {
        return 0; /* nothing selected: the empty message, as v2 answers */
    }
    return finish(&b, m, p) ? 0 : pw_call_no_memory(c);
}

int
pw_merge_profile(struct pw_call *c, const ProtobufCMessage *msg)
{
    const Querier__V1__SelectMergeProfileRequest *req =
        (const Querier__V1__SelectMergeProfileRequest *)msg;
    struct pw_merge m = {.profile_type_id = req->profile_typeid,
                         .selector = req->label_selector,
                         .start_ms = req->start,
                         .end_ms = req->end,
                         .no_default_nodes = true,
                         .stack = req->stack_trace_selector,
                         .profile_id = req->profile_id_selector,
                         .profile_id_count = req->n_profile_id_selector,
                         .trace = req->trace_id_selector,
                         .trace_count = req->n_trace_id_selector};
    Google__V1__Profile *p;

    if (req->opt_max_nodes_case ==
        QUERIER__V1__SELECT_MERGE_PROFILE_REQUEST__OPT_MAX_NODES_MAX_NODES) {
        m.max_nodes = req->max_nodes;
    }
    if (pw_merge_plan(c, &m) != 0 || pw_pprof_merge(c, &m, &p) != 0) {
        return PW_EINVAL;
    }
    return pw_call_answer(c, &p->base);
}
