#include "query/flame.h"

#include "base/check.h"
#include "base/limits.h"
#include "pprof/wire.h"

bool
pw_flame_init(struct pw_flame *f, struct pw_arena *a, uint32_t width, const uint32_t *nodes,
              uint32_t level_count, uint32_t names_count)
{
    *f = (struct pw_flame){.width = width, .level_count = level_count};
    f->name = pw_arena_alloc(a, (size_t)names_count * sizeof(*f->name));
    f->name_index = pw_arena_zalloc(a, names_count, sizeof(*f->name_index));
    f->level = pw_arena_zalloc(a, level_count, sizeof(*f->level));
    if (f->name == NULL || f->name_index == NULL || f->level == NULL) {
        return false;
    }
    for (uint32_t l = 0; l < level_count; l++) {
        struct pw_flame_level *level = &f->level[l];

        level->count = nodes[l] * width;
        level->at = level->count;
        level->value = pw_arena_alloc(a, (size_t)level->count * sizeof(*level->value));
        if (level->value == NULL) {
            return false;
        }
    }
    f->name[0] =
        PW_SLICE_LIT("total"); /* the root; a frame without a name has an entry of its own */
    f->name_count = 1;
    return true;
}

uint32_t
pw_flame_name(struct pw_flame *f, const struct pw_names *names, uint32_t id)
{
    if (f->name_index[id] == 0) {
        f->name[f->name_count++] = names->name[id];
        f->name_index[id] = f->name_count;
    }
    return f->name_index[id] - 1;
}

void
pw_flame_put(struct pw_flame *f, uint32_t level, const int64_t *tuple)
{
    struct pw_flame_level *l = &f->level[level];

    PW_INVARIANT(l->at >= f->width);
    l->at -= f->width;
    memcpy(l->value + l->at, tuple, f->width * sizeof(*tuple));
}

void
pw_flame_delta(struct pw_flame *f)
{
    for (uint32_t i = 0; i < f->level_count; i++) {
        struct pw_flame_level *l = &f->level[i];
        int64_t left = 0, right = 0;

        for (uint32_t k = 0; k < l->count; k += f->width) {
            int64_t *v = l->value + k, absolute = v[0];

            v[0] = absolute - left;
            left = absolute + v[1];
            if (f->width == 7) {
                absolute = v[3];
                v[3] = absolute - right;
                right = absolute + v[4];
            }
        }
    }
}

static void
json_names(const struct pw_flame *f, struct pw_json *j)
{
    pw_json_key(j, "names");
    pw_json_array(j);
    for (uint32_t i = 0; i < f->name_count; i++) {
        pw_json_str(j, f->name[i]);
    }
    pw_json_array_end(j);
}

static void
json_number(struct pw_json *j, const char *key, int64_t v)
{
    if (v != 0) {
        pw_json_key(j, key);
        pw_json_i64_string(j, v);
    }
}

static void
write_json(const struct pw_flame *f, struct pw_json *j)
{
    pw_json_object(j);
    json_names(f, j);
    pw_json_key(j, "levels");
    pw_json_array(j);
    for (uint32_t i = 0; i < f->level_count; i++) {
        pw_json_object(j);
        pw_json_key(j, "values");
        pw_json_array(j);
        for (uint32_t k = 0; k < f->level[i].count; k++) {
            pw_json_i64_string(j, f->level[i].value[k]);
        }
        pw_json_array_end(j);
        pw_json_object_end(j);
    }
    pw_json_array_end(j);
    json_number(j, "total", f->total);
    json_number(j, "maxSelf", f->max_self);
    json_number(j, "leftTicks", f->left_ticks);
    json_number(j, "rightTicks", f->right_ticks);
    pw_json_object_end(j);
}

static size_t
varint_size(uint64_t v)
{
    size_t n = 1;

    for (; v >= 0x80; v >>= 7) {
        n++;
    }
    return n;
}

static void
write_proto(const struct pw_flame *f, struct pw_text *t)
{
    for (uint32_t i = 0; i < f->name_count; i++) {
        pw_wire_put_bytes(t, 1, f->name[i]);
    }
    for (uint32_t i = 0; i < f->level_count; i++) {
        const struct pw_flame_level *l = &f->level[i];
        size_t n = 0;

        for (uint32_t k = 0; k < l->count; k++) {
            n += varint_size((uint64_t)l->value[k]);
        }
        /* levels = 2 { values = 1, packed } */
        pw_wire_put_varint(t, 2 << 3 | PW_WIRE_LEN);
        pw_wire_put_varint(t, 1 + varint_size(n) + n);
        pw_wire_put_varint(t, 1 << 3 | PW_WIRE_LEN);
        pw_wire_put_varint(t, n);
        for (uint32_t k = 0; k < l->count; k++) {
            pw_wire_put_varint(t, (uint64_t)l->value[k]);
        }
    }
    pw_wire_put_tag_varint(t, 3, (uint64_t)f->total);
    pw_wire_put_tag_varint(t, 4, (uint64_t)f->max_self);
    pw_wire_put_tag_varint(t, 5, (uint64_t)f->left_ticks);
    pw_wire_put_tag_varint(t, 6, (uint64_t)f->right_ticks);
}

void
pw_flame_bearer(const struct pw_flame *f, struct pw_json *j)
{
    pw_json_object(j);
    json_names(f, j);
    pw_json_key(j, "levels");
    pw_json_array(j);
    for (uint32_t i = 0; i < f->level_count; i++) {
        pw_json_array(j);
        for (uint32_t k = 0; k < f->level[i].count; k++) {
            pw_json_i64(j, f->level[i].value[k]);
        }
        pw_json_array_end(j);
    }
    pw_json_array_end(j);
    pw_json_key(j, "numTicks");
    pw_json_i64(j, f->total);
    pw_json_key(j, "maxSelf");
    pw_json_i64(j, f->max_self);
    pw_json_object_end(j);
}

void
pw_flame_answer(struct pw_call *c, const struct pw_flame *f)
{
    struct pw_json j;
    struct pw_text t;

    if (c->is_json) {
        pw_json_init(&j, &c->out);
        pw_json_object(&j);
        pw_json_key(&j, "flamegraph");
        write_json(f, &j);
        pw_json_object_end(&j);
        return;
    }
    pw_text_init(&t, PW_QUERY_REPLY_BYTES_MAX);
    write_proto(f, &t);
    pw_wire_put_bytes(&c->out, 1, pw_slice(t.ptr, t.len));
    c->out.failed |= t.failed;
    pw_text_fini(&t);
}
