#include "tests/pprof/build.h"

#include "pprof/wire.h"

enum { MESSAGE_MAX = 4096 };

static void
put_message(struct pw_text *t, uint32_t number, const struct pw_text *in)
{
    pw_wire_put_bytes(t, number, pw_slice(in->ptr, in->len));
}

void
build_type(struct pw_text *t, int64_t type, int64_t unit)
{
    uint8_t buf[MESSAGE_MAX];
    struct pw_text m;

    pw_text_fixed(&m, buf, sizeof(buf));
    pw_wire_put_tag_varint(&m, 1, (uint64_t)type);
    pw_wire_put_tag_varint(&m, 2, (uint64_t)unit);
    put_message(t, 1, &m);
}

void
build_string(struct pw_text *t, const char *s)
{
    pw_wire_put_bytes(t, 6, pw_slice_str(s));
}

void
build_strings(struct pw_text *t, const char *const *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        build_string(t, s[i]);
    }
}

void
build_function(struct pw_text *t, uint64_t id, int64_t name, int64_t system, int64_t file,
               int64_t start)
{
    uint8_t buf[MESSAGE_MAX];
    struct pw_text m;

    pw_text_fixed(&m, buf, sizeof(buf));
    pw_wire_put_tag_varint(&m, 1, id);
    pw_wire_put_tag_varint(&m, 2, (uint64_t)name);
    pw_wire_put_tag_varint(&m, 3, (uint64_t)system);
    pw_wire_put_tag_varint(&m, 4, (uint64_t)file);
    pw_wire_put_tag_varint(&m, 5, (uint64_t)start);
    put_message(t, 5, &m);
}

void
build_mapping(struct pw_text *t, uint64_t id, uint64_t start, int64_t file, bool functions)
{
    uint8_t buf[MESSAGE_MAX];
    struct pw_text m;

    pw_text_fixed(&m, buf, sizeof(buf));
    pw_wire_put_tag_varint(&m, 1, id);
    pw_wire_put_tag_varint(&m, 2, start);
    pw_wire_put_tag_varint(&m, 5, (uint64_t)file);
    pw_wire_put_tag_varint(&m, 7, functions);
    put_message(t, 3, &m);
}

void
build_location(struct pw_text *t, uint64_t id, uint64_t mapping, uint64_t address,
               const struct build_line *line, uint32_t lines)
{
    uint8_t buf[MESSAGE_MAX], in_buf[64];
    struct pw_text m, in;

    pw_text_fixed(&m, buf, sizeof(buf));
    pw_wire_put_tag_varint(&m, 1, id);
    pw_wire_put_tag_varint(&m, 2, mapping);
    pw_wire_put_tag_varint(&m, 3, address);
    for (uint32_t i = 0; i < lines; i++) {
        pw_text_fixed(&in, in_buf, sizeof(in_buf));
        pw_wire_put_tag_varint(&in, 1, line[i].function_id);
        pw_wire_put_tag_varint(&in, 2, (uint64_t)line[i].line);
        put_message(&m, 4, &in);
    }
    put_message(t, 4, &m);
}

void
build_sample(struct pw_text *t, const struct build_sample *s)
{
    uint8_t buf[MESSAGE_MAX], in_buf[1024];
    struct pw_text m, in;

    pw_text_fixed(&m, buf, sizeof(buf));
    pw_text_fixed(&in, in_buf, sizeof(in_buf));
    for (uint32_t i = 0; i < s->locs; i++) {
        pw_wire_put_varint(&in, s->loc[i]);
    }
    if (s->locs != 0) {
        put_message(&m, 1, &in);
    }
    pw_text_fixed(&in, in_buf, sizeof(in_buf));
    for (uint32_t i = 0; i < s->values; i++) {
        pw_wire_put_varint(&in, (uint64_t)s->value[i]);
    }
    if (s->values != 0) {
        put_message(&m, 2, &in);
    }
    for (uint32_t i = 0; i < s->labels; i++) {
        pw_text_fixed(&in, in_buf, sizeof(in_buf));
        pw_wire_put_tag_varint(&in, 1, (uint64_t)s->label[i].key);
        pw_wire_put_tag_varint(&in, 2, (uint64_t)s->label[i].str);
        pw_wire_put_tag_varint(&in, 3, (uint64_t)s->label[i].num);
        put_message(&m, 3, &in);
    }
    put_message(t, 2, &m);
}

void
build_symbols(struct pw_text *t)
{
    static const char *const strings[BUILD_STRINGS] = {
        "",     "samples", "count", "cpu",     "nanoseconds", "main",
        "work", "idle",    "a.c",   "handler", "/checkout"};

    build_type(t, BUILD_SAMPLES, BUILD_COUNT);
    build_type(t, BUILD_CPU, BUILD_NANOSECONDS);
    build_mapping(t, 1, 0x400000, BUILD_FILE, true);
    for (uint32_t i = 0; i < 3; i++) {
        build_function(t, i + 1, BUILD_MAIN + i, BUILD_MAIN + i, BUILD_FILE, 10 * i + 1);
        build_location(t, i + 1, 1, 0x400100 + i, &(struct build_line){i + 1, 10 * i + 5}, 1);
    }
    build_strings(t, strings, BUILD_STRINGS);
}

void
build_usual(struct pw_text *t)
{
    build_symbols(t);
    build_sample(t,
                 &(struct build_sample){.loc = {2, 1}, .locs = 2, .value = {1, 10}, .values = 2});
}
