#include "query/pprof_build.h"

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
    return id - PW_PPROF_FIRST_ID + 1;
}

/* --- Strings -------------------------------------------------------------------------------- */

uint32_t
pw_pprof_put_string(struct pw_pprof_build *b, struct pw_slice s)
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
put_message(struct pw_pprof_build *b, void *list, uint32_t id, uint32_t *cap,
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

/* Id of a blob from 1, and the message of it that is to be filled, NULL when it was known. 0: no memory. */
static uint32_t
put_once(struct pw_pprof_build *b, struct pw_names *names, const void *blob, size_t len, void *list,
         uint32_t *cap, const ProtobufCMessageDescriptor *desc, void *fresh)
{
    void *msg = NULL;
    bool is_new;
    uint32_t id = intern(names, blob, len, &is_new);

    if (id != 0 && is_new) {
        msg = put_message(b, list, id, cap, desc);
        id = msg == NULL ? 0 : id;
    }
    memcpy(fresh, &msg, sizeof(msg));
    return id;
}

/* blob: name, system name, filename, start line. */
static uint32_t
put_function_blob(struct pw_pprof_build *b, const uint64_t blob[4])
{
    Google__V1__Function *out;
    uint32_t id;

    if (blob[0] == UINT32_MAX || blob[1] == UINT32_MAX || blob[2] == UINT32_MAX) {
        return 0;
    }
    id = put_once(b, &b->functions, blob, 4 * sizeof(*blob), &b->function, &b->function_cap,
                  &google__v1__function__descriptor, &out);
    if (out != NULL) {
        out->id = id;
        out->name = (int64_t)blob[0];
        out->system_name = (int64_t)blob[1];
        out->filename = (int64_t)blob[2];
        out->start_line = (int64_t)blob[3];
    }
    return id;
}

static uint32_t
put_function(struct pw_pprof_build *b, struct pw_pprof_view *v, uint32_t function)
{
    struct pw_head_function f;
    uint64_t blob[4];

    if (v->function[function] != 0) {
        return v->function[function];
    }
    pw_source_function(v->src, function, &f);
    blob[0] = pw_pprof_put_string(b, pw_source_string(v->src, f.name));
    blob[1] = pw_pprof_put_string(b, pw_source_string(v->src, f.system_name));
    blob[2] = pw_pprof_put_string(b, pw_source_string(v->src, f.filename));
    blob[3] = (uint64_t)f.start_line;
    v->function[function] = put_function_blob(b, blob);
    return v->function[function];
}

/* Mappings that differ in their flags alone are one: what is said of it holds for all of them. */
static void
join_flags(Google__V1__Mapping *out, uint32_t flags)
{
    out->has_functions &= (flags & 1) != 0;
    out->has_filenames &= (flags & 2) != 0;
    out->has_line_numbers &= (flags & 4) != 0;
    out->has_inline_frames &= (flags & 8) != 0;
}

static uint32_t
put_mapping(struct pw_pprof_build *b, struct pw_pprof_view *v, uint32_t mapping)
{
    struct pw_head_mapping m;
    uint64_t blob[5];
    uint32_t id;
    Google__V1__Mapping *out;

    if (v->mapping[mapping] != 0) {
        return v->mapping[mapping];
    }
    pw_source_mapping(v->src, mapping, &m);
    blob[0] = pw_pprof_put_string(b, pw_source_string(v->src, m.filename));
    blob[1] = pw_pprof_put_string(b, pw_source_string(v->src, m.build_id));
    blob[2] = m.memory_start;
    blob[3] = m.memory_limit;
    blob[4] = m.file_offset;
    if (blob[0] == UINT32_MAX || blob[1] == UINT32_MAX) {
        return 0;
    }
    id = put_once(b, &b->mappings, blob, sizeof(blob), &b->mapping, &b->mapping_cap,
                  &google__v1__mapping__descriptor, &out);
    if (out != NULL) {
        out->id = id;
        out->filename = (int64_t)blob[0];
        out->build_id = (int64_t)blob[1];
        out->memory_start = m.memory_start;
        out->memory_limit = m.memory_limit;
        out->file_offset = m.file_offset;
        out->has_functions = out->has_filenames = out->has_line_numbers = out->has_inline_frames =
            true;
    }
    if (id != 0) {
        join_flags(b->mapping[id - 1], m.flags);
    }
    v->mapping[mapping] = id;
    return id;
}

static bool
put_lines(struct pw_pprof_build *b, Google__V1__Location *out, const uint64_t *line, uint32_t count)
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
put_location_blob(struct pw_pprof_build *b, const uint64_t *blob, uint32_t lines)
{
    Google__V1__Location *out;
    uint32_t id = put_once(b, &b->locations, blob, (2 + (size_t)lines * 2) * sizeof(*blob),
                           &b->location, &b->location_cap, &google__v1__location__descriptor, &out);

    if (out != NULL) {
        out->id = id;
        out->mapping_id = blob[0];
        out->address = blob[1];
        if (!put_lines(b, out, blob + 2, lines)) {
            return 0;
        }
    }
    return id;
}

uint32_t
pw_pprof_put_location(struct pw_pprof_build *b, struct pw_pprof_view *v, uint32_t location)
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

uint32_t
pw_pprof_put_other(struct pw_pprof_build *b)
{
    uint64_t blob[4] = {0}, line[4] = {0};

    if (b->other != 0) {
        return b->other;
    }
    blob[0] = pw_pprof_put_string(b, PW_SLICE_LIT("other"));
    line[2] = put_function_blob(b, blob);
    b->other = line[2] == 0 ? 0 : put_location_blob(b, line, 1);
    return b->other;
}

bool
pw_pprof_put_stack(struct pw_pprof_build *b, const uint32_t *loc, uint32_t depth, int64_t value)
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

void
pw_pprof_finish_other(struct pw_pprof_build *b)
{
    if (b->other != 0 && b->mapping != NULL) {
        b->location[b->other - 1]->mapping_id = 1;
    }
}

/* --- Leaf lines ----------------------------------------------------------------------------- */

/* The location anew, without the line number of its innermost function when it is a leaf. Its id; 0: no memory. */
static uint32_t
put_again(struct pw_pprof_build *b, const Google__V1__Location *loc, bool leaf)
{
    uint64_t *blob = pw_arena_alloc(b->a, (2 + loc->n_line * 2) * sizeof(*blob));

    if (blob == NULL) {
        return 0;
    }
    blob[0] = loc->mapping_id;
    blob[1] = loc->address;
    for (size_t i = 0; i < loc->n_line; i++) {
        blob[2 + i * 2] = loc->line[i]->function_id;
        blob[3 + i * 2] = leaf && i == 0 ? 0 : (uint64_t)loc->line[i]->line;
    }
    return put_location_blob(b, blob, (uint32_t)loc->n_line);
}

/* ids: of the old locations, from 1, the new ones. */
static bool
put_stacks_again(struct pw_pprof_build *b, const struct pw_names *stacks, const int64_t *value,
                 const uint32_t *ids)
{
    for (uint32_t i = PW_PPROF_FIRST_ID; i < stacks->count; i++) {
        uint32_t depth = (uint32_t)(stacks->name[i].len / sizeof(uint32_t));
        uint32_t *loc = pw_arena_alloc(b->a, stacks->name[i].len);

        if (loc == NULL) {
            return false;
        }
        memcpy(loc, stacks->name[i].ptr, stacks->name[i].len);
        for (uint32_t k = 0; k < depth; k++) {
            loc[k] = ids[loc[k]];
        }
        if (!pw_pprof_put_stack(b, loc, depth, value[i - PW_PPROF_FIRST_ID])) {
            return false;
        }
    }
    return true;
}

bool
pw_pprof_drop_leaf_lines(struct pw_pprof_build *b)
{
    const struct pw_pprof_build old = *b;
    uint32_t count = old.locations.count - PW_PPROF_FIRST_ID + 1; /* and 0, which is none */
    uint64_t key = b->c->t->q->cfg.hash_key;
    uint32_t *ids = pw_arena_zalloc(b->a, count, sizeof(*ids));
    bool *leaf = pw_arena_zalloc(b->a, count, sizeof(*leaf));

    b->location = NULL;
    b->value = NULL;
    b->location_cap = b->value_cap = 0;
    if (ids == NULL || leaf == NULL || !pw_names_init(&b->locations, b->a, key) ||
        !pw_names_init(&b->stacks, b->a, key)) {
        return false;
    }
    for (uint32_t i = PW_PPROF_FIRST_ID; i < old.stacks.count; i++) {
        uint32_t id;

        memcpy(&id, old.stacks.name[i].ptr, sizeof(id));
        leaf[id] = true;
    }
    for (uint32_t id = 1; id < count; id++) {
        ids[id] = put_again(b, old.location[id - 1], leaf[id]);
        if (ids[id] == 0) {
            return false;
        }
    }
    b->other = ids[old.other];
    return put_stacks_again(b, &old.stacks, old.value, ids);
}

/* -------------------------------------------------------------------------------------------- */

bool
pw_pprof_build_init(struct pw_pprof_build *b, struct pw_call *c)
{
    uint64_t key = c->t->q->cfg.hash_key;

    *b = (struct pw_pprof_build){.c = c, .a = c->arena};
    return pw_names_init(&b->strings, b->a, key) && pw_names_init(&b->functions, b->a, key) &&
           pw_names_init(&b->mappings, b->a, key) && pw_names_init(&b->locations, b->a, key) &&
           pw_names_init(&b->stacks, b->a, key) && pw_pprof_put_string(b, PW_SLICE_LIT("")) == 0;
}
