#include "store/block/stack_tree.h"

#include "base/check.h"
#include "base/hash.h"
#include "store/block/bytes.h"

#include <stdlib.h>

enum { NODES_MIN = 1024, GROUP_VALUES = 4, GROUP_BYTES_MAX = 1 + GROUP_VALUES * 4 };

/* --- Building ------------------------------------------------------------------------------------- */

static int rehash(struct pw_stack_tree *t, uint32_t slots);

int
pw_stack_tree_init(struct pw_stack_tree *t)
{
    *t = (struct pw_stack_tree){.cap = NODES_MIN};
    t->node = malloc(t->cap * sizeof(*t->node));
    if (t->node == NULL || rehash(t, NODES_MIN * 2) != 0) {
        pw_stack_tree_fini(t);
        return PW_ENOMEM;
    }
    t->node[0] = (struct pw_stack_node){.parent = -1};
    t->count = 1;
    return 0;
}

void
pw_stack_tree_fini(struct pw_stack_tree *t)
{
    free(t->node);
    free(t->slot);
    free(t->path);
    *t = (struct pw_stack_tree){0};
}

size_t
pw_stack_tree_memory(const struct pw_stack_tree *t)
{
    return t->cap * sizeof(*t->node) + t->slots * sizeof(*t->slot) + t->path_cap * sizeof(*t->path);
}

/* The slot of the child, or the empty one where it belongs. */
static uint32_t *
find(const struct pw_stack_tree *t, uint32_t parent, uint32_t location)
{
    uint64_t h = pw_hash_mix(parent, location);

    for (uint64_t i = h;; i++) {
        uint32_t *s = &t->slot[i & (t->slots - 1)];

        if (*s == 0 ||
            (t->node[*s].parent == (int32_t)parent && t->node[*s].location == location)) {
            return s;
        }
    }
}

static int
rehash(struct pw_stack_tree *t, uint32_t slots)
{
    uint32_t *slot = calloc(slots, sizeof(*slot));

    if (slot == NULL) {
        return PW_ENOMEM;
    }
    free(t->slot);
    t->slot = slot;
    t->slots = slots;
    for (uint32_t i = 1; i < t->count; i++) {
        *find(t, (uint32_t)t->node[i].parent, t->node[i].location) = i;
    }
    return 0;
}

static int
grow(struct pw_stack_tree *t)
{
    struct pw_stack_node *node;

    if (t->cap > INT32_MAX / 2) {
        return PW_ENOMEM;
    }
    node = realloc(t->node, t->cap * 2UL * sizeof(*node));
    if (node == NULL) {
        return PW_ENOMEM;
    }
    t->node = node;
    t->cap *= 2;
    return rehash(t, t->cap * 2);
}

static int
path_reserve(struct pw_stack_tree *t, uint32_t depth)
{
    uint32_t *path;

    if (depth <= t->path_cap) {
        return 0;
    }
    path = realloc(t->path, depth * sizeof(*path));
    if (path == NULL) {
        return PW_ENOMEM;
    }
    t->path = path;
    t->path_cap = depth;
    return 0;
}

int
pw_stack_tree_add(struct pw_stack_tree *t, const uint32_t *loc, uint32_t depth, uint32_t *id)
{
    uint32_t parent = 0, i = 0;

    if (path_reserve(t, depth) != 0) {
        return PW_ENOMEM;
    }
    /* Stacks arrive with long common roots: what the one before shares needs no look-up. */
    while (i < depth && i < t->path_len && t->node[t->path[i]].location == loc[depth - 1 - i]) {
        parent = t->path[i++];
    }
    for (; i < depth; i++) {
        uint32_t location = loc[depth - 1 - i];
        uint32_t *slot = find(t, parent, location);

        if (*slot == 0) {
            if (t->count == t->cap) {
                if (grow(t) != 0) {
                    return PW_ENOMEM;
                }
                slot = find(t, parent, location);
            }
            t->node[t->count] =
                (struct pw_stack_node){.parent = (int32_t)parent, .location = location};
            *slot = t->count++;
        }
        parent = t->path[i] = *slot;
    }
    t->path_len = depth;
    *id = parent;
    return 0;
}

/* --- Group varint --------------------------------------------------------------------------------- */

static uint32_t
zigzag32(int32_t v)
{
    return ((uint32_t)v << 1) ^ (uint32_t)(v >> 31);
}

static int32_t
unzigzag32(uint32_t v)
{
    return (int32_t)(v >> 1) ^ -(int32_t)(v & 1);
}

static size_t
put_group(uint8_t *out, const uint32_t v[GROUP_VALUES])
{
    size_t n = 1;

    out[0] = 0;
    for (uint32_t i = 0; i < GROUP_VALUES; i++) {
        uint32_t bytes = v[i] == 0 ? 1 : (39 - (uint32_t)__builtin_clz(v[i])) / 8;

        out[0] |= (uint8_t)((bytes - 1) << (2 * i));
        for (uint32_t b = 0; b < bytes; b++) {
            out[n++] = (uint8_t)(v[i] >> (8 * b));
        }
    }
    return n;
}

void
pw_stack_tree_put(const struct pw_stack_node *node, uint32_t from, uint32_t to, struct pw_text *out)
{
    int32_t before = from == 0 ? 0 : node[from - 1].parent;

    for (uint32_t i = from; i < to; i += 2) {
        uint32_t v[GROUP_VALUES] = {zigzag32(node[i].parent - before), node[i].location};
        uint8_t buf[GROUP_BYTES_MAX];

        if (i + 1 < to) {
            v[2] = zigzag32(node[i + 1].parent - node[i].parent);
            v[3] = node[i + 1].location;
            before = node[i + 1].parent;
        }
        pw_text_put(out, buf, put_group(buf, v));
    }
}

uint64_t
pw_stack_tree_nodes_max(uint64_t bytes)
{
    return bytes / (1 + GROUP_VALUES) * 2; /* values of one byte */
}

static bool
take_group(struct pw_bytes *in, uint32_t v[GROUP_VALUES])
{
    uint8_t control = pw_bytes_u8(in);

    for (uint32_t i = 0; i < GROUP_VALUES; i++) {
        uint32_t bytes = (control >> (2 * i) & 3U) + 1;
        const uint8_t *p = pw_bytes_take(in, bytes);

        v[i] = 0;
        for (uint32_t b = 0; p != NULL && b < bytes; b++) {
            v[i] |= (uint32_t)p[b] << (8 * b);
        }
    }
    return !in->bad;
}

int
pw_stack_tree_read(struct pw_slice data, struct pw_stack_node *node, uint32_t count)
{
    struct pw_bytes in = pw_bytes(data);
    int64_t parent = 0;

    for (uint32_t i = 0; i < count; i += 2) {
        uint32_t v[GROUP_VALUES];

        if (!take_group(&in, v)) {
            return PW_EINVAL;
        }
        for (uint32_t k = 0; k < 2 && i + k < count; k++) {
            parent += unzigzag32(v[2 * k]);
            if (parent >= (int64_t)(i + k) || parent < (i + k == 0 ? -1 : 0)) {
                return PW_EINVAL;
            }
            node[i + k] =
                (struct pw_stack_node){.parent = (int32_t)parent, .location = v[2 * k + 1]};
        }
    }
    return pw_bytes_left(&in) == 0 ? 0 : PW_EINVAL;
}
