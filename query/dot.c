#include "query/dot.h"

#include <inttypes.h>
#include <stdlib.h>

struct box {
    uint32_t name;
    uint32_t node; /* in the graph */
    int64_t flat, cum;
};

/* Whether an ancestor of the node has its name: recursion counts once. */
static bool
is_recursive(const struct pw_tree *t, uint32_t node)
{
    uint32_t name = t->node[node].name;

    for (uint32_t i = t->node[node].parent; i != 0; i = t->node[i].parent) {
        if (t->node[i].name == name) {
            return true;
        }
    }
    return false;
}

/* The call graph, kept as a tree of two levels: functions under the root, callees under them. self
 * is flat and total is cumulative for a function, total is the weight of an arrow. */
static bool
make_graph(const struct pw_tree *t, struct pw_tree *g)
{
    for (uint32_t i = 1; i < t->count; i++) {
        const struct pw_tree_node *n = &t->node[i];
        bool recursive = is_recursive(t, i);
        uint32_t fn, arrow;

        if (n->dead) {
            continue;
        }
        fn = pw_tree_child(g, 0, n->name);
        if (fn == UINT32_MAX) {
            return false;
        }
        g->node[fn].self += n->self;
        g->node[fn].total += recursive ? 0 : n->total;
        if (n->parent == 0) {
            continue;
        }
        fn = pw_tree_child(g, 0, t->node[n->parent].name);
        arrow = fn == UINT32_MAX ? UINT32_MAX : pw_tree_child(g, fn, n->name);
        if (arrow == UINT32_MAX) {
            return false;
        }
        g->node[arrow].total += recursive ? 0 : n->total;
    }
    return true;
}

static int
by_cum(const void *a, const void *b)
{
    const struct box *x = a, *y = b;

    if (x->cum != y->cum) {
        return x->cum < y->cum ? 1 : -1;
    }
    return (x->name > y->name) - (x->name < y->name);
}

/* A string inside double quotes of the DOT language. */
static void
put_quoted(struct pw_text *t, struct pw_slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '"' || s.ptr[i] == '\\') {
            pw_text_char(t, '\\');
        }
        pw_text_char(t, s.ptr[i] == '\n' ? ' ' : (char)s.ptr[i]);
    }
}

static void
put_value(struct pw_text *t, int64_t v, struct pw_slice unit)
{
    if (pw_slice_eq_str(unit, "nanoseconds")) {
        pw_text_printf(t, "%.2fs", (double)v / 1e9);
    } else if (pw_slice_eq_str(unit, "bytes")) {
        pw_text_printf(t, "%.2fMB", (double)v / (1 << 20));
    } else {
        pw_text_i64(t, v);
    }
}

static double
percent(int64_t v, int64_t total)
{
    return total == 0 ? 0 : 100.0 * (double)v / (double)total;
}

struct picture {
    const struct pw_tree *g;
    const struct pw_names *names;
    const struct box *box;
    const uint32_t *number; /* by node of g: 1, 2, ...; 0: not shown */
    uint32_t count;
    int64_t total;
    struct pw_slice unit;
};

static void
put_box(const struct picture *p, uint32_t i, struct pw_text *t)
{
    const struct box *b = &p->box[i];
    int size = 8 + (int)(percent(b->flat, p->total) * 0.24);

    pw_text_printf(t, "N%u [label=\"", i + 1);
    put_quoted(t, p->names->name[b->name]);
    pw_text_str(t, "\\n");
    put_value(t, b->flat, p->unit);
    pw_text_printf(t, " (%.2f%%)", percent(b->flat, p->total));
    if (b->cum != b->flat) {
        pw_text_str(t, "\\nof ");
        put_value(t, b->cum, p->unit);
        pw_text_printf(t, " (%.2f%%)", percent(b->cum, p->total));
    }
    pw_text_printf(t, "\" id=\"node%u\" fontsize=%d shape=box]\n", i + 1, size);
}

static void
put_arrows(const struct picture *p, struct pw_text *t)
{
    for (uint32_t i = 1; i < p->g->count; i++) {
        const struct pw_tree_node *n = &p->g->node[i];
        uint32_t from = n->parent == 0 ? 0 : p->number[n->parent], to = 0;

        for (uint32_t k = 0; from != 0 && k < p->count && to == 0; k++) {
            to = p->box[k].name == n->name ? k + 1 : 0;
        }
        if (from == 0 || to == 0 || n->total == 0) {
            continue;
        }
        pw_text_printf(t, "N%u -> N%u [label=\" ", from, to);
        put_value(t, n->total, p->unit);
        pw_text_printf(t, "\" weight=%d penwidth=%d]\n", 1 + (int)percent(n->total, p->total),
                       1 + (int)(percent(n->total, p->total) / 25));
    }
}

int
pw_dot_write(struct pw_call *c, struct pw_merge *m, struct pw_text *out)
{
    uint32_t shown = m->max_nodes > 0 && m->max_nodes < PW_DOT_SOURCE_NODES ? (uint32_t)m->max_nodes
                                                                            : PW_DOT_NODES;
    struct pw_names names;
    struct pw_tree t, g;
    struct picture p = {.g = &g, .names = &names, .unit = pw_range_type_part(m->type, 2)};
    struct box *box;
    uint32_t *number, n = 0;

    m->nodes = PW_DOT_SOURCE_NODES;
    if (pw_merge_tree(c, m, &names, &t) != 0) {
        return PW_EINVAL;
    }
    if (!pw_tree_truncate(&t, m->nodes, true) || !pw_tree_init(&g, c->arena, &names) ||
        !make_graph(&t, &g)) {
        return pw_call_no_memory(c);
    }
    box = pw_arena_zalloc(c->arena, g.count, sizeof(*box));
    number = pw_arena_zalloc(c->arena, g.count, sizeof(*number));
    if (box == NULL || number == NULL) {
        return pw_call_no_memory(c);
    }
    for (uint32_t i = 1; i < g.count; i++) {
        if (g.node[i].parent == 0) {
            box[n++] = (struct box){
                .name = g.node[i].name, .node = i, .flat = g.node[i].self, .cum = g.node[i].total};
        }
    }
    if (n == 0) {
        return 0;
    }
    qsort(box, n, sizeof(*box), by_cum);
    p.count = n < shown ? n : shown;
    p.box = box;
    p.number = number;
    p.total = t.node[0].total;
    pw_text_str(out, "digraph \"");
    put_quoted(out, m->type);
    pw_text_str(out, "\" {\nnode [style=filled fillcolor=\"#f8f8f8\"]\n");
    for (uint32_t i = 0; i < p.count; i++) {
        number[box[i].node] = i + 1;
        put_box(&p, i, out);
    }
    put_arrows(&p, out);
    pw_text_str(out, "}\n");
    return 0;
}
