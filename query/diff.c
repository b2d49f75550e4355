#include "query/diff.h"

#include "pprof/wire.h"

#include <querier.pb-c.h>

/* The united tree; selfs and totals of both sides by node. */
struct both {
    struct pw_tree tree;
    struct pw_names names;
    struct pw_tree_order order;
    int64_t *self[2], *total[2];
    int64_t least;
};

struct visit {
    uint32_t node; /* UINT32_MAX: the folded "other" */
    uint32_t level;
    int64_t offset[2], self[2], total[2];
};

struct walk {
    const struct both *b;
    struct pw_arena *arena;
    struct visit *stack, *seen;
    uint32_t depth, stack_cap, seen_count, seen_cap;
};

/* --- Building ------------------------------------------------------------------------------- */

static bool
sum_up(struct pw_call *c, struct both *b, int side)
{
    uint32_t n = b->tree.count;

    b->total[side] = pw_arena_zalloc(c->arena, n, sizeof(int64_t));
    if (b->total[side] == NULL) {
        return false;
    }
    for (uint32_t i = n; i > 0; i--) { /* children lie behind their parents */
        b->total[side][i - 1] += b->self[side][i - 1];
        if (i > 1) {
            b->total[side][b->tree.node[i - 1].parent] += b->total[side][i - 1];
        }
    }
    return true;
}

/* Moves the selfs of the tree into side's own array, and clears them. */
static bool
take_selfs(struct pw_call *c, struct both *b, int side, uint32_t room)
{
    b->self[side] = pw_arena_zalloc(c->arena, room, sizeof(int64_t));
    if (b->self[side] == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < b->tree.count; i++) {
        b->self[side][i] = b->tree.node[i].self;
        b->tree.node[i].self = 0;
    }
    return true;
}

static int
check_signs(struct pw_call *c, const struct both *b)
{
    bool bad[2] = {false, false};

    for (int side = 0; side < 2; side++) {
        for (uint32_t i = 0; i < b->tree.count; i++) {
            bad[side] |= b->self[side][i] < 0;
        }
    }
    if (!bad[0] && !bad[1]) {
        return 0;
    }
    return pw_call_fail(c, PW_CONNECT_CODE_INVALID_ARGUMENT,
                        bad[0] && bad[1] ? "both trees require only positive values"
                                         : "left tree require only positive values");
}

static int
build(struct pw_call *c, struct pw_merge *left, struct pw_merge *right, struct both *b)
{
    int64_t *first;
    uint32_t left_count;

    *b = (struct both){0};
    if (!pw_names_init(&b->names, c->arena, c->t->q->cfg.hash_key) ||
        !pw_tree_init(&b->tree, c->arena, &b->names)) {
        return pw_call_no_memory(c);
    }
    if (pw_merge_add(c, left, &b->tree) != 0) {
        return PW_EINVAL;
    }
    left_count = b->tree.count;
    if (!take_selfs(c, b, 0, left_count)) {
        return pw_call_no_memory(c);
    }
    if (pw_merge_add(c, right, &b->tree) != 0) {
        return PW_EINVAL;
    }
    first = b->self[0];
    b->self[0] = pw_arena_zalloc(c->arena, b->tree.count, sizeof(int64_t));
    if (b->self[0] == NULL || !take_selfs(c, b, 1, b->tree.count)) {
        return pw_call_no_memory(c);
    }
    memcpy(b->self[0], first, left_count * sizeof(int64_t));
    if (!sum_up(c, b, 0) || !sum_up(c, b, 1) || !pw_tree_order(&b->tree, &b->order)) {
        return pw_call_no_memory(c);
    }
    return check_signs(c, b);
}

static int64_t
larger(const struct both *b, uint32_t node)
{
    int64_t l = b->total[0][node], r = b->total[1][node];

    return l > r ? l : r;
}

static bool
find_least(struct pw_call *c, struct both *b, int64_t max_nodes)
{
    int64_t *v;

    if (max_nodes <= 0 || b->tree.count <= max_nodes) { /* the root counts */
        return true;
    }
    v = pw_arena_alloc(c->arena, b->tree.count * sizeof(*v));
    if (v == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < b->tree.count; i++) {
        v[i] = larger(b, i);
    }
    b->least = pw_tree_nth_largest(v, b->tree.count, (uint32_t)max_nodes);
    return true;
}

/* --- Drawing -------------------------------------------------------------------------------- */

static bool
push(struct walk *w, const struct visit *v)
{
    void *p = w->stack;

    if (!pw_arena_room(w->arena, &p, w->depth, &w->stack_cap, sizeof(*v))) {
        return false;
    }
    w->stack = p;
    w->stack[w->depth++] = *v;
    return true;
}

static bool
push_children(struct walk *w, const struct visit *v)
{
    const struct both *b = w->b;
    struct visit other = {.node = UINT32_MAX, .level = v->level + 1};
    int64_t offset[2] = {v->offset[0] + v->self[0], v->offset[1] + v->self[1]};

    for (uint32_t k = b->order.first[v->node]; k < b->order.first[v->node + 1]; k++) {
        uint32_t child = b->order.child[k];
        struct visit next = {.node = child, .level = v->level + 1};

        if (b->tree.node[child].name == PW_NAMES_OTHER || larger(b, child) < b->least) {
            other.total[0] += b->total[0][child];
            other.total[1] += b->total[1][child];
            continue;
        }
        for (int side = 0; side < 2; side++) {
            next.offset[side] = offset[side];
            next.self[side] = b->self[side][child];
            next.total[side] = b->total[side][child];
            offset[side] += next.total[side];
        }
        if (!push(w, &next)) {
            return false;
        }
    }
    if (other.total[0] == 0 && other.total[1] == 0) {
        return true;
    }
    memcpy(other.self, other.total, sizeof(other.self));
    memcpy(other.offset, offset, sizeof(offset));
    return push(w, &other);
}

static bool
visit_all(struct walk *w)
{
    struct visit root = {.node = 0};

    for (int side = 0; side < 2; side++) {
        root.self[side] = w->b->self[side][0];
        root.total[side] = w->b->total[side][0];
    }
    if (!push(w, &root)) {
        return false;
    }
    while (w->depth > 0) { /* one turn per node of the answer */
        struct visit v = w->stack[--w->depth];
        void *p = w->seen;

        if (!pw_arena_room(w->arena, &p, w->seen_count, &w->seen_cap, sizeof(v))) {
            return false;
        }
        w->seen = p;
        w->seen[w->seen_count++] = v;
        if (v.node != UINT32_MAX && !push_children(w, &v)) {
            return false;
        }
    }
    return true;
}

static bool
draw(const struct walk *w, struct pw_flame *f)
{
    const struct both *b = w->b;
    uint32_t levels = 0, *nodes;

    for (uint32_t i = 0; i < w->seen_count; i++) {
        levels = w->seen[i].level + 1 > levels ? w->seen[i].level + 1 : levels;
    }
    nodes = pw_arena_zalloc(w->arena, levels, sizeof(*nodes));
    if (nodes == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < w->seen_count; i++) {
        nodes[w->seen[i].level]++;
    }
    if (!pw_flame_init(f, w->arena, 7, nodes, levels, b->names.count)) {
        return false;
    }
    for (uint32_t i = 0; i < w->seen_count; i++) {
        const struct visit *v = &w->seen[i];
        uint32_t id = v->node == UINT32_MAX ? (uint32_t)PW_NAMES_OTHER : b->tree.node[v->node].name;
        int64_t tuple[7] = {v->offset[0],
                            v->total[0],
                            v->self[0],
                            v->offset[1],
                            v->total[1],
                            v->self[1],
                            v->level == 0 ? 0 : pw_flame_name(f, &b->names, id)};

        pw_flame_put(f, v->level, tuple);
        for (int side = 0; side < 2; side++) {
            f->max_self = v->self[side] > f->max_self ? v->self[side] : f->max_self;
        }
    }
    f->left_ticks = b->total[0][0];
    f->right_ticks = b->total[1][0];
    f->total = f->left_ticks + f->right_ticks;
    pw_flame_delta(f);
    return true;
}

int
pw_diff_flame(struct pw_call *c, struct pw_merge *left, struct pw_merge *right, struct pw_flame *f)
{
    struct both b;
    struct walk w = {.b = &b, .arena = c->arena};
    int64_t max_nodes;

    if (pw_merge_plan(c, left) != 0 || pw_merge_plan(c, right) != 0) {
        return PW_EINVAL;
    }
    max_nodes = left->max_nodes > right->max_nodes ? left->max_nodes : right->max_nodes;
    if (max_nodes == 0) {
        max_nodes = c->limits.max_flamegraph_nodes_default;
    }
    if (build(c, left, right, &b) != 0) {
        return PW_EINVAL;
    }
    return find_least(c, &b, max_nodes) && visit_all(&w) && draw(&w, f) ? 0 : pw_call_no_memory(c);
}

/* --- Diff ----------------------------------------------------------------------------------- */

static void
read_side(const Querier__V1__SelectMergeStacktracesRequest *req, struct pw_merge *m)
{
    *m = (struct pw_merge){.profile_type_id = "", .selector = ""};
    if (req == NULL) {
        return; /* refused by the check of the profile type */
    }
    *m = (struct pw_merge){.profile_type_id = req->profile_typeid,
                           .selector = req->label_selector,
                           .start_ms = req->start,
                           .end_ms = req->end,
                           .stack = req->stack_trace_selector,
                           .profile_id = req->profile_id_selector,
                           .profile_id_count = req->n_profile_id_selector,
                           .span = req->span_selector,
                           .span_count = req->n_span_selector,
                           .trace = req->trace_id_selector,
                           .trace_count = req->n_trace_id_selector};
    if (req->opt_max_nodes_case ==
        QUERIER__V1__SELECT_MERGE_STACKTRACES_REQUEST__OPT_MAX_NODES_MAX_NODES) {
        m->max_nodes = req->max_nodes;
    }
}

int
pw_diff(struct pw_call *c, const ProtobufCMessage *msg)
{
    const Querier__V1__DiffRequest *req = (const Querier__V1__DiffRequest *)msg;
    struct pw_merge left, right;
    struct pw_flame f;

    read_side(req->left, &left);
    read_side(req->right, &right);
    if (pw_diff_flame(c, &left, &right, &f) != 0) {
        return PW_EINVAL;
    }
    pw_flame_answer(c, &f);
    return 0;
}
