/* store/block/stack_tree.h - stacks as a tree of parent pointers (storage.md 1.5, stack tree).
 *
 * Purpose  build it from stacks, write and read its group varint form.
 * Owner    one thread.
 * Context  storage and query threads; allocates.
 * Units    node 0 is the root; a stack id is the node of its leaf.
 * Errors   PW_ENOMEM; read: PW_EINVAL.
 * Limits   2^31 nodes.
 */
#ifndef PW_STORE_STACK_TREE_H
#define PW_STORE_STACK_TREE_H

#include "base/text.h"
#include "base/types.h"

struct pw_stack_node {
    int32_t parent; /* -1: the root */
    uint32_t location;
};

/* --- Building ------------------------------------------------------------------------------------- */

struct pw_stack_tree {
    struct pw_stack_node *node;
    uint32_t count, cap;
    uint32_t *slot; /* node, 0 empty; keyed by (parent, location) */
    uint32_t slots;
    uint32_t *path; /* nodes of the stack added last, from the root down */
    uint32_t path_len, path_cap;
};

PW_MUST_USE int pw_stack_tree_init(struct pw_stack_tree *t);
void pw_stack_tree_fini(struct pw_stack_tree *t);
/* Adds a stack, locations leaf first; *id: its node. */
PW_MUST_USE int pw_stack_tree_add(struct pw_stack_tree *t, const uint32_t *loc, uint32_t depth,
                                  uint32_t *id);
size_t pw_stack_tree_memory(const struct pw_stack_tree *t);

/* Appends nodes [from, to) to the text; from and to are even but for the last `to` of all. */
void pw_stack_tree_put(const struct pw_stack_node *node, uint32_t from, uint32_t to,
                       struct pw_text *out);

/* --- Reading -------------------------------------------------------------------------------------- */

/* How many nodes `bytes` can hold at most: what a claimed count is checked against. */
uint64_t pw_stack_tree_nodes_max(uint64_t bytes);
/* count nodes out of data; every parent is below its node. */
PW_MUST_USE int pw_stack_tree_read(struct pw_slice data, struct pw_stack_node *node,
                                   uint32_t count);

#endif
