#include "query/tree.h"

#include "base/check.h"
#include "base/hash.h"
#include "pprof/wire.h"
#include "query/patience.h"

enum { NODES_FIRST = 1024, LOOK_STACKS = 1024 };

struct pw_tree_slot {
    uint64_t key;  /* parent << 32 | name */
    uint32_t node; /* 0: free (the root is nobody's child) */
    uint32_t pad;
};

/* --- Building ------------------------------------------------------------------------------- */

static uint32_t
slot_of(const struct pw_tree *t, uint64_t key)
{
    return (uint32_t)((key * 0x9E3779B97F4A7C15U) >> 32) & (t->slots - 1);
}

static bool
grow(struct pw_tree *t, uint32_t cap)
{
    struct pw_tree_node *node = pw_arena_zalloc(t->arena, cap, sizeof(*node));
    struct pw_tree_slot *slot = pw_arena_zalloc(t->arena, (size_t)cap * 2, sizeof(*slot));

    if (node == NULL || slot == NULL || cap > UINT32_MAX / 4) {
        return false;
    }
    if (t->count > 0) {
        memcpy(node, t->node, t->count * sizeof(*node));
    }
    t->node = node;
    t->cap = cap;
    t->slot = slot;
    t->slots = cap * 2;
    for (uint32_t i = 1; i < t->count; i++) {
        uint64_t key = (uint64_t)node[i].parent << 32 | node[i].name;
        uint32_t k = slot_of(t, key);

        while (slot[k].node != 0) { /* at most half full */
            k = (k + 1) & (t->slots - 1);
        }
        slot[k] = (struct pw_tree_slot){.key = key, .node = i};
    }
    return true;
}

bool
pw_tree_init(struct pw_tree *t, struct pw_arena *a, struct pw_names *names)
{
    *t = (struct pw_tree){.arena = a, .names = names};
    if (!grow(t, NODES_FIRST)) {
        return false;
    }
    t->count = 1;
    t->node[0] = (struct pw_tree_node){.name = PW_NAMES_EMPTY};
    return true;
}

uint32_t
pw_tree_child(struct pw_tree *t, uint32_t parent, uint32_t name)
{
    uint64_t key = (uint64_t)parent << 32 | name;
    uint32_t k = slot_of(t, key);

    for (; t->slot[k].node != 0; k = (k + 1) & (t->slots - 1)) {
        if (t->slot[k].key == key) {
            return t->slot[k].node;
        }
    }
    if (t->count == t->cap) {
        if (!grow(t, t->cap * 2)) {
            return UINT32_MAX;
        }
        for (k = slot_of(t, key); t->slot[k].node != 0;) {
            k = (k + 1) & (t->slots - 1);
        }
    }
    t->slot[k] = (struct pw_tree_slot){.key = key, .node = t->count};
    t->node[t->count] = (struct pw_tree_node){.name = name, .parent = parent};
    return t->count++;
}

void
pw_tree_total(struct pw_tree *t)
{
    for (uint32_t i = t->count; i > 1; i--) { /* children lie behind their parents */
        struct pw_tree_node *n = &t->node[i - 1];

        n->total += n->self;
        t->node[n->parent].total += n->total;
    }
}

/* The path of the stack added last: the next one often shares its root side, and then needs no
 * look-up for it. */
struct path {
    uint32_t *loc;
    uint32_t *node; /* after that location */
    uint32_t depth, cap;
};

static bool
path_room(struct pw_arena *a, struct path *p, uint32_t depth)
{
    if (depth > p->cap) {
        uint32_t cap = depth * 2;
        uint32_t *loc = pw_arena_alloc(a, cap * sizeof(*loc));
        uint32_t *node = pw_arena_alloc(a, cap * sizeof(*node));

        if (loc == NULL || node == NULL) {
            return false;
        }
        *p = (struct path){.loc = loc, .node = node, .cap = cap}; /* forgets the shared part */
    }
    return true;
}

static bool
add_stack(struct pw_tree *t, struct pw_frames *f, struct path *p, uint32_t depth, int64_t value)
{
    uint32_t common = 0, node;

    if (!path_room(t->arena, p, depth)) {
        return false;
    }
    while (common < depth && common < p->depth && p->loc[common] == f->loc[depth - 1 - common]) {
        common++;
    }
    node = common == 0 ? 0 : p->node[common - 1];
    for (uint32_t k = common; k < depth; k++) {
        uint32_t n = 0, loc = f->loc[depth - 1 - k];
        const uint32_t *name = pw_frames_of(f, loc, &n);

        for (uint32_t i = 0; name != NULL && i < n && node != UINT32_MAX; i++) {
            node = pw_tree_child(t, node, name[i]);
        }
        if (name == NULL || node == UINT32_MAX) {
            return false;
        }
        p->loc[k] = loc;
        p->node[k] = node;
    }
    p->depth = depth;
    t->node[node].self += value;
    return true;
}

static bool
add_view(struct pw_tree *t, const struct pw_source *src, const int64_t *sum, const uint32_t *prefix,
         uint32_t prefix_count)
{
    struct pw_frames f;
    struct path path = {0};

    if (!pw_frames_init(&f, t->arena, src, t->names)) {
        return false;
    }
    for (uint32_t i = 0; i < src->stacks_count; i++) {
        uint32_t depth;

        if (i % LOOK_STACKS == 0 && pw_patience_is_over(t->arena->patience)) {
            return false; /* as if memory had run out: pw_call_no_memory tells them apart */
        }
        if (sum[i] == 0) {
            continue;
        }
        depth = pw_frames_stack(&f, i);
        if (depth == UINT32_MAX) {
            return false;
        }
        if (depth == 0 ||
            (prefix_count > 0 && !pw_frames_has_prefix(&f, depth, prefix, prefix_count))) {
            continue;
        }
        if (!add_stack(t, &f, &path, depth, sum[i])) {
            return false;
        }
    }
    return true;
}

int
pw_tree_add(struct pw_tree *t, const struct pw_select *s, const struct pw_tree_source *src)
{
    struct pw_call *c = s->call;
    uint32_t *prefix = pw_arena_zalloc(c->arena, src->call_site_count + 1, sizeof(*prefix));
    int64_t **sums;

    if (prefix == NULL) {
        return pw_call_no_memory(c);
    }
    for (size_t i = 0; i < src->call_site_count; i++) {
        prefix[i] = pw_names_intern(t->names, pw_slice_str(src->call_site[i]));
    }
    if (pw_select_sums(s, &sums) != 0) {
        return PW_EINVAL;
    }
    for (uint32_t i = 0; i < s->view_count; i++) {
        if (!add_view(t, &s->view[i].src, sums[i], prefix, (uint32_t)src->call_site_count)) {
            return pw_call_no_memory(c);
        }
    }
    return 0;
}

/* --- Truncation ----------------------------------------------------------------------------- */

int64_t
pw_tree_nth_largest(int64_t *v, uint32_t count, uint32_t n)
{
    int64_t lo = 0, hi = (int64_t)count - 1, want = (int64_t)n - 1;

    PW_INVARIANT(n >= 1 && n <= count);
    while (lo < hi) { /* Hoare's selection, descending; the range shrinks every turn */
        int64_t pivot = v[lo + (hi - lo) / 2], i = lo, k = hi;

        while (i <= k) {
            while (v[i] > pivot) {
                i++;
            }
            while (v[k] < pivot) {
                k--;
            }
            if (i <= k) {
                int64_t x = v[i];

                v[i++] = v[k];
                v[k--] = x;
            }
        }
        if (want <= k) {
            hi = k;
        } else if (want >= i) {
            lo = i;
        } else {
            return v[want];
        }
    }
    return v[want];
}

/* The max_nodes-th largest total of live nodes; 0 when there are not more than max_nodes.
 * False: no memory. */
static bool
threshold(const struct pw_tree *t, int64_t max_nodes, bool count_root, int64_t *out)
{
    int64_t *total;
    uint32_t n = 0;

    *out = 0;
    if (max_nodes <= 0 || max_nodes >= t->count) {
        return true;
    }
    total = pw_arena_alloc(t->arena, t->count * sizeof(*total));
    if (total == NULL) {
        return false;
    }
    for (uint32_t i = count_root ? 0 : 1; i < t->count; i++) {
        if (!t->node[i].dead) {
            total[n++] = t->node[i].total;
        }
    }
    if (n > max_nodes) {
        *out = pw_tree_nth_largest(total, n, (uint32_t)max_nodes);
    }
    return true;
}

/* Kills what is below the threshold; sums it up by parent in cut[]. */
static void
kill_small(struct pw_tree *t, int64_t least, int64_t *cut)
{
    for (uint32_t i = 1; i < t->count; i++) {
        struct pw_tree_node *n = &t->node[i], *parent = &t->node[n->parent];

        if (n->dead || parent->dead) {
            n->dead = 1;
            continue;
        }
        n->whole = parent->whole || n->name == PW_NAMES_OTHER;
        if (n->name == PW_NAMES_OTHER) {
            parent->other = i;
        }
        if (!n->whole && n->total < least) {
            n->dead = 1;
            cut[n->parent] += n->total;
        }
    }
}

bool
pw_tree_truncate(struct pw_tree *t, int64_t max_nodes, bool count_root)
{
    uint32_t count = t->count;
    int64_t least, *cut;

    if (!threshold(t, max_nodes, count_root, &least)) {
        return false;
    }
    if (least == 0) {
        return true;
    }
    cut = pw_arena_zalloc(t->arena, count, sizeof(*cut));
    if (cut == NULL) {
        return false;
    }
    kill_small(t, least, cut);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t other;

        if (cut[i] == 0) {
            continue;
        }
        other = pw_tree_child(t, i, PW_NAMES_OTHER);
        if (other == UINT32_MAX) {
            return false;
        }
        t->node[i].other = other;
        t->node[other].dead = 0;
        t->node[other].whole = 1;
        t->node[other].self += cut[i];
        t->node[other].total += cut[i];
    }
    return true;
}

/* --- Order ---------------------------------------------------------------------------------- */

/* Live node ids sorted by name: counting over the ranks of the names that live nodes use. */
static bool
sort_by_name(const struct pw_tree *t, uint32_t *sorted, uint32_t *sorted_count)
{
    uint32_t names = t->names->count, used = 0, at = 0;
    uint32_t *count = pw_arena_zalloc(t->arena, names + 1, sizeof(*count));
    uint32_t *id = pw_arena_alloc(t->arena, (names + 1) * sizeof(*id));

    if (count == NULL || id == NULL) {
        return false;
    }
    for (uint32_t i = 1; i < t->count; i++) {
        if (!t->node[i].dead && count[t->node[i].name]++ == 0) {
            id[used++] = t->node[i].name;
        }
    }
    pw_names_sort(t->names, id, used);
    for (uint32_t i = 0; i < used; i++) { /* counts become first places */
        uint32_t n = count[id[i]];

        count[id[i]] = at;
        at += n;
    }
    for (uint32_t i = 1; i < t->count; i++) {
        if (!t->node[i].dead) {
            sorted[count[t->node[i].name]++] = i;
        }
    }
    *sorted_count = at;
    return true;
}

bool
pw_tree_order(const struct pw_tree *t, struct pw_tree_order *o)
{
    uint32_t *sorted = pw_arena_alloc(t->arena, t->count * sizeof(*sorted)), n, *at;

    o->first = pw_arena_zalloc(t->arena, (size_t)t->count + 2, sizeof(*o->first));
    o->child = pw_arena_alloc(t->arena, t->count * sizeof(*o->child));
    if (sorted == NULL || o->first == NULL || o->child == NULL || !sort_by_name(t, sorted, &n)) {
        return false;
    }
    at = o->first + 1; /* filling turns at[p] from the first into the end: first of p + 1 */
    for (uint32_t i = 0; i < n; i++) {
        at[t->node[sorted[i]].parent + 1]++;
    }
    for (uint32_t i = 1; i <= t->count; i++) {
        at[i] += at[i - 1];
    }
    for (uint32_t i = 0; i < n; i++) {
        o->child[at[t->node[sorted[i]].parent]++] = sorted[i];
    }
    return true;
}

/* --- Levels --------------------------------------------------------------------------------- */

struct visit {
    uint32_t node; /* UINT32_MAX: the folded "other" */
    uint32_t level;
    int64_t offset;
    int64_t self, total; /* of the folded "other" */
};

struct walk {
    const struct pw_tree *t;
    struct pw_tree_order order;
    int64_t least;
    struct visit *stack;
    uint32_t depth, cap;
};

static bool
push(struct walk *w, struct visit v)
{
    void *stack = w->stack;

    if (!pw_arena_room(w->t->arena, &stack, w->depth, &w->cap, sizeof(*w->stack))) {
        return false;
    }
    w->stack = stack;
    w->stack[w->depth++] = v;
    return true;
}

/* Pushes the children of v ascending, so that they are visited descending; what is too small or
 * named "other" becomes one leaf at the right. */
static bool
push_children(struct walk *w, const struct visit *v)
{
    const struct pw_tree_node *n = &w->t->node[v->node];
    int64_t offset = v->offset + n->self, folded = 0;

    for (uint32_t k = w->order.first[v->node]; k < w->order.first[v->node + 1]; k++) {
        const struct pw_tree_node *child = &w->t->node[w->order.child[k]];

        if (child->name == PW_NAMES_OTHER || child->total < w->least) {
            folded += child->total;
            continue;
        }
        if (!push(w, (struct visit){
                         .node = w->order.child[k], .level = v->level + 1, .offset = offset})) {
            return false;
        }
        offset += child->total;
    }
    return folded == 0 || push(w, (struct visit){.node = UINT32_MAX,
                                                 .level = v->level + 1,
                                                 .offset = offset,
                                                 .self = folded,
                                                 .total = folded});
}

/* All visits in order, in the arena. */
static bool
visit_all(struct walk *w, struct visit **out, uint32_t *out_count)
{
    struct visit *seen = NULL;
    uint32_t n = 0, cap = 0;

    if (!push(w, (struct visit){.node = 0})) {
        return false;
    }
    while (w->depth > 0) { /* one turn per node of the answer */
        struct visit v = w->stack[--w->depth];
        void *p = seen;

        if (!pw_arena_room(w->t->arena, &p, n, &cap, sizeof(*seen))) {
            return false;
        }
        seen = p;
        if (v.node != UINT32_MAX) {
            v.self = w->t->node[v.node].self;
            v.total = w->t->node[v.node].total;
            if (!push_children(w, &v)) {
                return false;
            }
        }
        seen[n++] = v;
    }
    *out = seen;
    *out_count = n;
    return true;
}

static bool
draw(const struct pw_tree *t, const struct visit *v, uint32_t n, struct pw_flame *f)
{
    uint32_t levels = 0, *nodes;

    for (uint32_t i = 0; i < n; i++) {
        levels = v[i].level + 1 > levels ? v[i].level + 1 : levels;
    }
    nodes = pw_arena_zalloc(t->arena, levels, sizeof(*nodes));
    if (nodes == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < n; i++) {
        nodes[v[i].level]++;
    }
    if (!pw_flame_init(f, t->arena, 4, nodes, levels, t->names->count)) {
        return false;
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t id = v[i].node == UINT32_MAX ? (uint32_t)PW_NAMES_OTHER : t->node[v[i].node].name;
        uint32_t name = v[i].level == 0 ? 0 : pw_flame_name(f, t->names, id);
        int64_t tuple[4] = {v[i].offset, v[i].total, v[i].self, name};

        pw_flame_put(f, v[i].level, tuple);
        f->max_self = v[i].self > f->max_self ? v[i].self : f->max_self;
    }
    f->total = t->node[0].total;
    pw_flame_delta(f);
    return true;
}

bool
pw_tree_flame(const struct pw_tree *t, int64_t max_nodes, struct pw_flame *f)
{
    struct walk w = {.t = t};
    struct visit *seen;
    uint32_t n;

    return threshold(t, max_nodes, false, &w.least) && pw_tree_order(t, &w.order) &&
           visit_all(&w, &seen, &n) && draw(t, seen, n, f);
}

/* --- Tree bytes ----------------------------------------------------------------------------- */

bool
pw_tree_bytes(const struct pw_tree *t, struct pw_text *out)
{
    struct walk w = {.t = t};

    if (t->count == 1) {
        return true;
    }
    if (!pw_tree_order(t, &w.order) || !push(&w, (struct visit){.node = 0})) {
        return false;
    }
    while (w.depth > 0) { /* one turn per live node */
        struct visit v = w.stack[--w.depth];
        const struct pw_tree_node *n = &t->node[v.node];
        struct pw_slice name = t->names->name[n->name];
        uint32_t first = w.order.first[v.node], end = w.order.first[v.node + 1];

        pw_wire_put_varint(out, name.len);
        pw_text_slice(out, name);
        pw_wire_put_varint(out, (uint64_t)n->self);
        pw_wire_put_varint(out, end - first);
        for (uint32_t k = first; k < end; k++) {
            if (!push(&w, (struct visit){.node = w.order.child[k]})) {
                return false;
            }
        }
    }
    return true;
}
