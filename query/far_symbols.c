#include "query/far_symbols.h"

enum { DEPTH_FIRST = 256 };

bool
pw_far_symbols_init(struct pw_far_symbols *g, struct pw_arena *a, const struct pw_source *src,
                    struct pw_far_part *part)
{
    *g = (struct pw_far_symbols){.arena = a, .src = src, .part = part, .loc_cap = DEPTH_FIRST};
    g->stack = pw_arena_zalloc(a, (size_t)src->stacks_count + 1, sizeof(uint32_t));
    g->location = pw_arena_zalloc(a, (size_t)src->locations_count + 1, sizeof(uint32_t));
    g->function = pw_arena_zalloc(a, (size_t)src->functions_count + 1, sizeof(uint32_t));
    g->mapping = pw_arena_zalloc(a, (size_t)src->mappings_count + 1, sizeof(uint32_t));
    g->string = pw_arena_zalloc(a, (size_t)src->strings_count + 1, sizeof(uint32_t));
    g->loc = pw_arena_alloc(a, g->loc_cap * sizeof(*g->loc));
    part->stack = pw_arena_zalloc(a, 2, sizeof(uint32_t));
    g->stack_cap = 2;
    return g->stack != NULL && g->location != NULL && g->function != NULL && g->mapping != NULL &&
           g->string != NULL && g->loc != NULL && part->stack != NULL;
}

/* Room for one more in one of the part's tables; its index, UINT32_MAX: no memory. */
static uint32_t
room(struct pw_far_symbols *g, void *table, uint32_t *count, uint32_t *cap, size_t size)
{
    void *list;

    memcpy(&list, table, sizeof(list));
    if (!pw_arena_room(g->arena, &list, *count, cap, size)) {
        return UINT32_MAX;
    }
    memcpy(table, &list, sizeof(list));
    return (*count)++;
}

static uint32_t
put_string(struct pw_far_symbols *g, uint32_t id)
{
    struct pw_far_part *p = g->part;
    uint32_t at;

    if (g->string[id] != 0) {
        return g->string[id] - 1;
    }
    at = room(g, &p->string, &p->string_count, &g->string_cap, sizeof(*p->string));
    if (at != UINT32_MAX) {
        p->string[at] = pw_source_string(g->src, id);
        g->string[id] = at + 1;
    }
    return at;
}

static uint32_t
put_mapping(struct pw_far_symbols *g, uint32_t id)
{
    struct pw_far_part *p = g->part;
    struct pw_head_mapping m;
    uint32_t at;

    if (g->mapping[id] != 0) {
        return g->mapping[id] - 1;
    }
    pw_source_mapping(g->src, id, &m);
    m.filename = put_string(g, m.filename);
    m.build_id = put_string(g, m.build_id);
    at = m.filename == UINT32_MAX || m.build_id == UINT32_MAX
             ? UINT32_MAX
             : room(g, &p->mapping, &p->mapping_count, &g->mapping_cap, sizeof(*p->mapping));
    if (at != UINT32_MAX) {
        p->mapping[at] = m;
        g->mapping[id] = at + 1;
    }
    return at;
}

static uint32_t
put_function(struct pw_far_symbols *g, uint32_t id)
{
    struct pw_far_part *p = g->part;
    struct pw_head_function f;
    uint32_t at;

    if (g->function[id] != 0) {
        return g->function[id] - 1;
    }
    pw_source_function(g->src, id, &f);
    f.name = put_string(g, f.name);
    f.system_name = put_string(g, f.system_name);
    f.filename = put_string(g, f.filename);
    at = f.name == UINT32_MAX || f.system_name == UINT32_MAX || f.filename == UINT32_MAX
             ? UINT32_MAX
             : room(g, &p->function, &p->function_count, &g->function_cap, sizeof(*p->function));
    if (at != UINT32_MAX) {
        p->function[at] = f;
        g->function[id] = at + 1;
    }
    return at;
}

static uint32_t
put_location(struct pw_far_symbols *g, uint32_t id)
{
    struct pw_far_part *p = g->part;
    struct pw_head_location l;
    struct pw_head_line *line;
    uint32_t at;

    if (g->location[id] != 0) {
        return g->location[id] - 1;
    }
    pw_source_location(g->src, id, &l);
    line = pw_arena_zalloc(g->arena, (size_t)l.line_count + 1, sizeof(*line));
    if (line == NULL) {
        return UINT32_MAX;
    }
    for (uint32_t i = 0; i < l.line_count; i++) {
        line[i].line = l.line[i].line;
        line[i].function = put_function(g, l.line[i].function);
        if (line[i].function == UINT32_MAX) {
            return UINT32_MAX;
        }
    }
    l.line = line;
    if (l.mapping != UINT32_MAX && (l.mapping = put_mapping(g, l.mapping)) == UINT32_MAX) {
        return UINT32_MAX;
    }
    at = room(g, &p->location, &p->location_count, &g->location_cap, sizeof(*p->location));
    if (at != UINT32_MAX) {
        p->location[at] = l;
        g->location[id] = at + 1;
    }
    return at;
}

/* Its locations in g->loc; UINT32_MAX: no memory. */
static uint32_t
read_stack(struct pw_far_symbols *g, uint32_t stack)
{
    uint32_t depth =
        stack < g->src->stacks_count ? pw_source_stack(g->src, stack, g->loc, g->loc_cap) : 0;

    if (depth > g->loc_cap) {
        g->loc_cap = depth * 2;
        g->loc = pw_arena_alloc(g->arena, g->loc_cap * sizeof(*g->loc));
        if (g->loc == NULL) {
            return UINT32_MAX;
        }
        depth = pw_source_stack(g->src, stack, g->loc, g->loc_cap);
    }
    return depth;
}

uint32_t
pw_far_symbols_stack(struct pw_far_symbols *g, uint32_t stack)
{
    struct pw_far_part *p = g->part;
    uint32_t depth, ends;

    stack = stack < g->src->stacks_count ? stack : g->src->stacks_count;
    if (g->stack[stack] != 0) {
        return g->stack[stack] - 1;
    }
    depth = read_stack(g, stack);
    for (uint32_t i = 0; depth != UINT32_MAX && i < depth; i++) {
        uint32_t location = put_location(g, g->loc[i]);
        uint32_t at = location == UINT32_MAX
                          ? UINT32_MAX
                          : room(g, &p->loc, &p->loc_count, &g->part_loc_cap, sizeof(*p->loc));

        if (at == UINT32_MAX) {
            return UINT32_MAX;
        }
        p->loc[at] = location;
    }
    ends = p->stack_count + 1; /* stack[] has one more element than there are stacks */
    if (depth == UINT32_MAX ||
        room(g, &p->stack, &ends, &g->stack_cap, sizeof(*p->stack)) == UINT32_MAX) {
        return UINT32_MAX;
    }
    p->stack[++p->stack_count] = p->loc_count;
    g->stack[stack] = p->stack_count;
    return p->stack_count - 1;
}
