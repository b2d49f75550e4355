#include "query/pprof_out.h"

#include "base/check.h"

#include <querier.pb-c.h>

enum { NS_PER_MS = 1000000, FIRST_ID = 2 /* pw_names keeps 0 and 1 for itself */ };

/* Tables of the answer. Functions, locations and stacks are interned by their content, as blobs in
 * pw_names, so that several sources merge: ids there are FIRST_ID, FIRST_ID + 1, ... */
struct build {
    struct pw_call *c;
    struct pw_arena *a;
    struct pw_names strings, functions, mappings, locations, stacks;
    uint32_t *string_index; /* by id of strings: index in the table + 1 */
    uint32_t string_index_cap;
    ProtobufCBinaryData *string_table;
    uint32_t string_count, string_cap;
    Google__V1__Function **function;
    Google__V1__Mapping **mapping;
    Google__V1__Location **location;
    uint32_t function_cap, mapping_cap, location_cap;
    int64_t *value; /* by stack id - FIRST_ID */
    uint32_t value_cap;
    uint32_t other; /* location id of the stub; 0: not made */
};

/* Memos of one source. */
struct view {
    const struct pw_source *src;
    uint32_t *function, *mapping, *location; /* out id, 0: not made */
};

/* Id of a blob from 1; *is_new when it was not known. 0: no memory. */
static uint32_t
intern(struct pw_names *n, const void *blob, size_t len, bool *is_new)
{
    uint32_t before = n->count, id = pw_names_intern(n, pw_slice(blob, len));

    *is_new = false;
    if (id == UINT32_MAX) {
        return 0;
    }
    if (n->count > before) {
        n->name[id] = pw_arena_copy(n->arena, pw_slice(blob, len));
        if (n->name[id].ptr == NULL) {
            return 0;
        }
        *is_new = true;
    }
    return id - FIRST_ID + 1;
}

/* --- Strings -------------------------------------------------------------------------------- */

/* Index in the string table; UINT32_MAX: no memory. */
static uint32_t
put_string(struct build *b, struct pw_slice s)
{
    uint32_t id = pw_names_intern(&b->strings, s), *index;
    void *p;

    if (id == UINT32_MAX) {
        return UINT32_MAX;
    }
    while (id >= b->string_index_cap) {
        p = b->string_index;
        if (!pw_arena_room(b->a, &p, b->string_index_cap, &b->string_index_cap,
                           sizeof(*b->string_index))) {
            return UINT32_MAX;
        }
        b->string_index = p;
    }
    index = &b->string_index[id];
    if (*index == 0) {
        p = b->string_table;
        if (!pw_arena_room(b->a, &p, b->string_count, &b->string_cap, sizeof(*b->string_table))) {
            return UINT32_MAX;
        }
        b->string_table = p;
        b->string_table[b->string_count] =
            (ProtobufCBinaryData){.len = s.len, .data = (uint8_t *)(uintptr_t)s.ptr};
        *index = ++b->string_count;
    }
    return *index - 1;
}

/* --- Symbols -------------------------------------------------------------------------------- */

static void *
put_message(struct build *b, void *list, uint32_t id, uint32_t *cap,
            const ProtobufCMessageDescriptor *desc)
{
    void **array = *(void ***)list, *p = array;
    ProtobufCMessage *msg = pw_arena_zalloc(b->a, 1, desc->sizeof_message);

    if (msg == NULL || !pw_arena_room(b->a, &p, id - 1, cap, sizeof(void *))) {
        return NULL;
    }
    array = p;
    *(void ***)list = array;
    protobuf_c_message_init(desc, msg);
    array[id - 1] = msg;
    return msg;
}

static uint32_t
put_function(struct build *b, struct view *v, uint32_t function)
{
    struct pw_head_function f;
    uint64_t blob[4];
    uint32_t id;
    bool is_new;
    Google__V1__Function *out;

    if (v->function[function] != 0) {
        return v->function[function];
    }
    pw_source_function(v->src, function, &f);
    blob[0] = put_string(b, pw_source_string(v->src, f.name));
    blob[1] = put_string(b, pw_source_string(v->src, f.system_name));
    blob[2] = put_string(b, pw_source_string(v->src, f.filename));
    blob[3] = (uint64_t)f.start_line;
    id = intern(&b->functions, blob, sizeof(blob), &is_new);
    if (id == 0 || blob[0] == UINT32_MAX || blob[1] == UINT32_MAX || blob[2] == UINT32_MAX) {
        return 0;
    }
    if (is_new) {
        out = put_message(b, &b->function, id, &b->function_cap, &google__v1__function__descriptor);
        if (out == NULL) {
            return 0;
        }
        out->id = id;
        out->name = (int64_t)blob[0];
        out->system_name = (int64_t)blob[1];
        out->filename = (int64_t)blob[2];
        out->start_line = f.start_line;
    }
    v->function[function] = id;
    return id;
}

static uint32_t
put_mapping(struct build *b, struct view *v, uint32_t mapping)
{
    struct pw_head_mapping m;
    uint64_t blob[6];
    uint32_t id;
    bool is_new;
    Google__V1__Mapping *out;

    if (v->mapping[mapping] != 0) {
        return v->mapping[mapping];
    }
    pw_source_mapping(v->src, mapping, &m);
    blob[0] = put_string(b, pw_source_string(v->src, m.filename));
    blob[1] = put_string(b, pw_source_string(v->src, m.build_id));
    blob[2] = m.memory_start;
    blob[3] = m.memory_limit;
    blob[4] = m.file_offset;
    blob[5] = m.flags;
    id = intern(&b->mappings, blob, sizeof(blob), &is_new);
    if (id == 0 || blob[0] == UINT32_MAX || blob[1] == UINT32_MAX) {
        return 0;
    }
    if (is_new) {
        out = put_message(b, &b->mapping, id, &b->mapping_cap, &google__v1__mapping__descriptor);
        if (out == NULL) {
            return 0;
        }
        out->id = id;
        out->filename = (int64_t)blob[0];
        out->build_id = (int64_t)blob[1];
        out->memory_start = m.memory_start;
        out->memory_limit = m.memory_limit;
        out->file_offset = m.file_offset;
        out->has_functions = (m.flags & 1) != 0;
        out->has_filenames = (m.flags & 2) != 0;
        out->has_line_numbers = (m.flags & 4) != 0;
        out->has_inline_frames = (m.flags & 8) != 0;
    }
    v->mapping[mapping] = id;
    return id;
}

static bool
put_lines(struct build *b, Google__V1__Location *out, const uint64_t *line, uint32_t count)
{
    Google__V1__Line *lines = pw_arena_zalloc(b->a, count, sizeof(*lines));

    out->line = pw_arena_zalloc(b->a, count, sizeof(*out->line));
    if (lines == NULL || out->line == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        google__v1__line__init(&lines[i]);
        lines[i].function_id = line[i * 2];
        lines[i].line = (int64_t)line[i * 2 + 1];
        out->line[i] = &lines[i];
    }
    out->n_line = count;
    return true;
}

/* blob: mapping, address, then per line function and line. */
static uint32_t
put_location_blob(struct build *b, const uint64_t *blob, uint32_t lines)
{
    bool is_new;
    uint32_t id = intern(&b->locations, blob, (2 + (size_t)lines * 2) * sizeof(*blob), &is_new);
    Google__V1__Location *out;

    if (id != 0 && is_new) {
        out = put_message(b, &b->location, id, &b->location_cap, &google__v1__location__descriptor);
        if (out == NULL) {
            return 0;
        }
        out->id = id;
        out->mapping_id = blob[0];
        out->address = blob[1];
        if (!put_lines(b, out, blob + 2, lines)) {
            return 0;
        }
    }
    return id;
}

static uint32_t
put_location(struct build *b, struct view *v, uint32_t location)
{
    struct pw_head_location loc;
    uint64_t *blob;

    if (v->location[location] != 0) {
        return v->location[location];
    }
    pw_source_location(v->src, location, &loc);
    blob = pw_arena_alloc(b->a, (2 + (size_t)loc.line_count * 2) * sizeof(*blob));
    if (blob == NULL) {
        return 0;
    }
    blob[0] = loc.mapping == UINT32_MAX ? 0 : put_mapping(b, v, loc.mapping);
    blob[1] = loc.address;
    if (loc.mapping != UINT32_MAX && blob[0] == 0) {
        return 0;
    }
    for (uint32_t i = 0; i < loc.line_count; i++) {
        blob[2 + i * 2] = put_function(b, v, loc.line[i].function);
        blob[3 + i * 2] = (uint64_t)loc.line[i].line;
        if (blob[2 + i * 2] == 0) {
            return 0;
        }
    }
    v->location[location] = put_location_blob(b, blob, loc.line_count);
    return v->location[location];
}

/* The stub that stands for truncated frames. */
static uint32_t
put_other(struct build *b)
{
    uint64_t blob[4] = {0}, line[4] = {0, 0, 0, 0};
    Google__V1__Function *out;
    bool is_new;
    uint32_t id;

    if (b->other != 0) {
        return b->other;
    }
    blob[0] = put_string(b, PW_SLICE_LIT("other"));
    id = intern(&b->functions, blob, sizeof(blob), &is_new);
    if (id == 0 || blob[0] == UINT32_MAX) {
        return 0;
    }
    if (is_new) {
        out = put_message(b, &b->function, id, &b->function_cap, &google__v1__function__descriptor);
        if (out == NULL) {
            return 0;
        }
        out->id = id;
        out->name = (int64_t)blob[0];
    }
    line[0] = b->mapping == NULL ? 0 : 1; /* every location names a mapping when there is one */
    line[2] = id;
    b->other = put_location_blob(b, line, 1);
    return b->other;
}

static bool
put_stack(struct build *b, const uint32_t *loc, uint32_t depth, int64_t value)
{
    bool is_new;
    uint32_t id = intern(&b->stacks, loc, depth * sizeof(*loc), &is_new);
    void *p = b->value;

    if (id == 0 || !pw_arena_room(b->a, &p, id - 1, &b->value_cap, sizeof(*b->value))) {
        return false;
    }
    b->value = p;
    b->value[id - 1] = is_new ? value : b->value[id - 1] + value;
    return true;
}

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

/* Contract 3.7, observed: the frame next to a kept one stays although it is small, what is further
 * to the leaf becomes one stub, and a stack of small frames only becomes the stub alone. */
static bool
cut_stack(struct build *b, struct cutter *k, struct pw_frames *f, uint32_t *loc, uint32_t *depth)
{
    uint32_t small = small_frames(k, f, *depth), cut;

    if (small == UINT32_MAX) {
        return false;
    }
    if (small < 2 && small < *depth) {
        return true;
    }
    cut = small == *depth ? small : small - 1;
    loc[cut - 1] = put_other(b);
    memmove(loc, loc + cut - 1, (*depth - cut + 1) * sizeof(*loc));
    *depth -= cut - 1;
    return loc[0] != 0;
}

struct add {
    struct build *b;
    struct view v;
    struct pw_frames frames; /* over the cutter's names */
    struct cutter *cutter;
    const uint32_t *prefix;
    uint32_t prefix_count;
    uint32_t keep; /* go_pgo keep_locations; 0: all */
    uint32_t *loc;
    uint32_t loc_cap;
};

/* The stack in frames.loc, depth deep. */
static bool
add_stack(struct add *x, uint32_t depth, int64_t value)
{
    if (depth > x->loc_cap) {
        x->loc_cap = depth * 2;
        x->loc = pw_arena_alloc(x->b->a, x->loc_cap * sizeof(*x->loc));
        if (x->loc == NULL) {
            return false;
        }
    }
    for (uint32_t i = 0; i < depth; i++) {
        x->loc[i] = put_location(x->b, &x->v, x->frames.loc[i]);
        if (x->loc[i] == 0) {
            return false;
        }
    }
    if (x->cutter->least > 0 && !cut_stack(x->b, x->cutter, &x->frames, x->loc, &depth)) {
        return false;
    }
    if (x->keep > 0 && depth > x->keep) {
        depth = x->keep; /* the leaf side */
    }
    return put_stack(x->b, x->loc, depth, value);
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

/* go_pgo aggregate_callees: a location that is the leaf of any stack loses its line number. */
static void
drop_leaf_lines(struct build *b)
{
    for (uint32_t i = FIRST_ID; i < b->stacks.count; i++) {
        uint32_t leaf;
        Google__V1__Location *loc;

        memcpy(&leaf, b->stacks.name[i].ptr, sizeof(leaf));
        loc = b->location[leaf - 1];
        if (loc->n_line > 0) {
            loc->line[0]->line = 0;
        }
    }
}

static bool
put_samples(struct build *b, Google__V1__Profile *p)
{
    uint32_t n = b->stacks.count - FIRST_ID;
    Google__V1__Sample *sample = pw_arena_zalloc(b->a, n, sizeof(*sample));

    p->sample = pw_arena_zalloc(b->a, n, sizeof(*p->sample));
    if (sample == NULL || p->sample == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < n; i++) {
        struct pw_slice blob = b->stacks.name[FIRST_ID + i];
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
put_value_type(struct build *b, struct pw_slice type, struct pw_slice unit)
{
    Google__V1__ValueType *v = pw_arena_zalloc(b->a, 1, sizeof(*v));

    if (v == NULL) {
        return NULL;
    }
    google__v1__value_type__init(v);
    v->type = put_string(b, type);
    v->unit = put_string(b, unit);
    return v->type == UINT32_MAX || v->unit == UINT32_MAX ? NULL : v;
}

static bool
put_head(struct build *b, const struct pw_merge *m, Google__V1__Profile *p)
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
finish(struct build *b, const struct pw_merge *m, Google__V1__Profile *p)
{
    if (!put_head(b, m, p) || !put_samples(b, p)) {
        return false;
    }
    if (m->stack != NULL && m->stack->go_pgo != NULL && m->stack->go_pgo->aggregate_callees) {
        drop_leaf_lines(b);
    }
    p->function = b->function;
    p->n_function = b->functions.count - FIRST_ID;
    p->mapping = b->mapping;
    p->n_mapping = b->mappings.count - FIRST_ID;
    p->location = b->location;
    p->n_location = b->locations.count - FIRST_ID;
    p->string_table = b->string_table;
    p->n_string_table = b->string_count;
    return true;
}

static bool
init(struct build *b, struct pw_call *c)
{
    uint64_t key = c->t->q->cfg.hash_key;

    *b = (struct build){.c = c, .a = c->arena};
    return pw_names_init(&b->strings, b->a, key) && pw_names_init(&b->functions, b->a, key) &&
           pw_names_init(&b->mappings, b->a, key) && pw_names_init(&b->locations, b->a, key) &&
           pw_names_init(&b->stacks, b->a, key) && put_string(b, PW_SLICE_LIT("")) == 0;
}

static int
add_views(struct build *b, struct pw_merge *m, const struct pw_select *s, struct cutter *k)
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
        x.v = (struct view){.src = &s->view[i].src};
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
    struct build b;
    struct pw_select s;

    if (p == NULL || !init(&b, c)) {
        return pw_call_no_memory(c);
    }
    google__v1__profile__init(p);
    *out = p;
    if (make_cutter(c, m, &k) != 0 || pw_select_open(c, &m->plan, &s) != 0 ||
        add_views(&b, m, &s, &k) != 0) {
        return PW_EINVAL;
    }
    if (b.stacks.count == FIRST_ID) {
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
