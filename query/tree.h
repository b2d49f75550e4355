/* query/tree.h - the tree of function names under a flame graph: build, truncate, draw, encode.
 *
 * Purpose  contract read-path.md 3.1 and 3.2. Nodes are keyed by the path of function names.
 * Owner    one query's arena.
 * Context  cold.
 * Units    values in the profile type's unit; offsets likewise.
 * Errors   false: no memory.
 * Limits   max_nodes of the query; memory of the query.
 *
 * Nodes lie in one array, a parent always before its children, so that every pass over the tree is a
 * loop over the array, forwards (from the root) or backwards (to it).
 */
#ifndef PW_QUERY_TREE_H
#define PW_QUERY_TREE_H

#include "query/flame.h"
#include "query/frames.h"
#include "query/select.h"

struct pw_tree_node {
    uint32_t name;
    uint32_t parent;
    uint32_t other; /* child named "other", 0: none; set by truncation */
    uint8_t dead;   /* truncated away */
    uint8_t whole;  /* at or under a node named "other": not truncated further */
    uint16_t pad;
    int64_t self;
    int64_t total;
};

struct pw_tree {
    struct pw_arena *arena;
    struct pw_names *names;
    struct pw_tree_node *node; /* [0] is the root */
    uint32_t count, cap;
    struct pw_tree_slot *slot; /* (parent, name) -> node */
    uint32_t slots;
};

bool pw_tree_init(struct pw_tree *t, struct pw_arena *a, struct pw_names *names);
/* The child of that name, made when missing. UINT32_MAX: no memory. */
uint32_t pw_tree_child(struct pw_tree *t, uint32_t parent, uint32_t name);
/* Totals from selfs; call once, after building. */
void pw_tree_total(struct pw_tree *t);
/* One stock pass: nodes below the max_nodes-th largest total (root counted when it says so) move into
 * a child "other" of their parent. max_nodes 0: nothing. */
bool pw_tree_truncate(struct pw_tree *t, int64_t max_nodes, bool count_root);

struct pw_tree_source {
    const char *const *call_site; /* names from the root; only stacks under it */
    size_t call_site_count;
};

/* Adds everything selected to the selfs of an initialised tree; totals are not set. */
PW_MUST_USE int pw_tree_add(struct pw_tree *t, const struct pw_select *s,
                            const struct pw_tree_source *src);

/* Children of every live node in ascending order of names. */
struct pw_tree_order {
    uint32_t *first; /* [count + 1] */
    uint32_t *child;
};

bool pw_tree_order(const struct pw_tree *t, struct pw_tree_order *o);
/* Levels as 3.1 has them. max_nodes 0: only what is named "other" is folded. */
bool pw_tree_flame(const struct pw_tree *t, int64_t max_nodes, struct pw_flame *f);
/* Tree bytes of 3.2; nothing for an empty tree. */
bool pw_tree_bytes(const struct pw_tree *t, struct pw_text *out);
/* The n-th largest of v (from 1); reorders v. */
int64_t pw_tree_nth_largest(int64_t *v, uint32_t count, uint32_t n);

#endif
