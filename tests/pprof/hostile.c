#include "tests/pprof/hostile.h"

#include "pprof/wire.h"

enum { FIRST_NAME = 3, NAMES = 3000, FRAMES = 126 };

static void
put(struct pw_text *t, const char *bytes, size_t n)
{
    pw_text_put(t, bytes, n);
}

#define PUT(t, lit) put((t), (lit), sizeof(lit) - 1)

static void
put_varint(struct pw_text *t, uint64_t v)
{
    pw_wire_put_varint(t, v);
}

/* One sample type cpu/ns. */
static void
put_head(struct pw_text *t)
{
    t->len = 0;
    PUT(t, "\x0a\x04\x08\x01\x10\x02\x32\0\x32\x03"
           "cpu\x32\x02ns");
}

static void
put_repeated(struct pw_text *t, const char *bytes, size_t n, size_t end)
{
    while (t->len < end) {
        put(t, bytes, n);
    }
}

#define REPEAT(t, lit, end) put_repeated((t), (lit), sizeof(lit) - 1, (end))

/* `tag` with a varint id that leaves gaps, then `rest`. */
static void
put_sparse(struct pw_text *t, const char *tag, const char *rest, size_t rest_len, size_t end)
{
    for (uint64_t id = 5; t->len < end; id += 7) {
        uint8_t buf[16];
        struct pw_text v;

        pw_text_fixed(&v, buf, sizeof(buf));
        pw_text_char(&v, 0x08);
        put_varint(&v, id);
        put(t, tag, 1);
        put_varint(t, v.len + rest_len);
        pw_text_put(t, buf, v.len);
        put(t, rest, rest_len);
    }
}

/* A message of `tag` that holds inner until end. */
static void
put_filled(struct pw_text *t, const char *tag, const char *first, size_t first_len,
           const char *inner, size_t inner_len, size_t end)
{
    size_t n = end > t->len + 16 ? (end - t->len) / inner_len * inner_len : 0;

    put(t, tag, 1);
    put_varint(t, first_len + n);
    put(t, first, first_len);
    for (size_t i = 0; i < n; i += inner_len) {
        put(t, inner, inner_len);
    }
}

#define FILL(t, tag, first, inner, end)                                                            \
    put_filled((t), (tag), (first), sizeof(first) - 1, (inner), sizeof(inner) - 1, (end))

static void
put_names(struct pw_text *t)
{
    for (uint32_t i = 0; i < NAMES; i++) {
        char name[5] = {0x32, 3, (char)('a' + i % 26), (char)('a' + i / 26 % 26),
                        (char)('a' + i / 676)};

        put(t, name, sizeof(name));
    }
}

static void
put_locations(struct pw_text *t, uint32_t n)
{
    for (uint32_t i = 1; i <= n; i++) {
        char loc[6] = {0x22, 4, 0x08, (char)i, 0x18, (char)i};

        put(t, loc, sizeof(loc));
    }
}

/* A sample with these ids below 128, and the value 1. */
static void
put_stack(struct pw_text *t, const uint8_t *ids, uint32_t n)
{
    char head[4] = {0x12, (char)(n + 5), 0x0a, (char)n};

    put(t, head, sizeof(head));
    pw_text_put(t, ids, n);
    PUT(t, "\x12\x01\x01");
}

static uint32_t
next(uint32_t *r)
{
    *r = *r * 1103515245 + 12345;
    return *r >> 16;
}

/* Stacks of 64 frames; `walk`: each eight frames on from the last one, so that all are one chain. */
static void
put_deep(struct pw_text *t, bool walk, size_t end)
{
    uint8_t ids[64];
    uint32_t r = 1;

    put_locations(t, FRAMES);
    memset(ids, 1, sizeof(ids));
    while (t->len < end) {
        uint32_t keep = walk ? 56 : 0;

        memmove(ids, ids + 64 - keep, keep);
        for (uint32_t i = keep; i < 64; i++) {
            ids[i] = (uint8_t)(1 + next(&r) % FRAMES);
        }
        put_stack(t, ids, sizeof(ids));
    }
}

static void
put_two_frames(struct pw_text *t, size_t end)
{
    put_locations(t, 2);
    for (uint32_t n = 0; t->len < end; n++) {
        uint8_t ids[20];

        for (uint32_t i = 0; i < sizeof(ids); i++) {
            ids[i] = (uint8_t)(1 + (n >> i & 1));
        }
        put_stack(t, ids, sizeof(ids));
    }
}

/* One label a sample, never the same two. */
static void
put_label_sets(struct pw_text *t, size_t end)
{
    put_names(t);
    for (uint32_t i = 0; t->len < end; i++) {
        uint8_t buf[16];
        struct pw_text l;

        pw_text_fixed(&l, buf, sizeof(buf));
        pw_wire_put_tag_varint(&l, 1, FIRST_NAME + i / NAMES);
        pw_wire_put_tag_varint(&l, 2, FIRST_NAME + i % NAMES);
        pw_text_char(t, 0x12);
        put_varint(t, 4 + l.len);
        PUT(t, "\x10\x01");
        pw_wire_put_bytes(t, 3, pw_slice(buf, l.len));
    }
}

static void
put_packed(struct pw_text *t, const char *tag, const char *first, size_t first_len, size_t end)
{
    size_t n = end - t->len - 16;

    put_locations(t, 1);
    pw_text_char(t, 0x12);
    put_varint(t, 2 + 1 + 4 + n + first_len);
    PUT(t, "\x10\x01");
    put(t, tag, 1);
    pw_text_char(t, (char)((n + first_len) | 0x80)); /* four bytes of length */
    pw_text_char(t, (char)((n + first_len) >> 7 | 0x80));
    pw_text_char(t, (char)((n + first_len) >> 14 | 0x80));
    pw_text_char(t, (char)((n + first_len) >> 21));
    put(t, first, first_len);
    for (size_t i = 0; i < n; i++) {
        pw_text_char(t, 1);
    }
}

static const char *
samples_and_labels(struct pw_text *t, uint32_t i, size_t end)
{
    switch (i) {
    case 0:
        REPEAT(t, "\x12\0", end);
        return "empty samples";
    case 1:
        REPEAT(t, "\x12\x02\x10\x01", end);
        return "samples of a value";
    case 2:
        put_two_frames(t, end);
        return "stacks of two frames";
    case 3:
        put_locations(t, 1);
        REPEAT(t, "\x12\x04\x08\x01\x10\x01", end);
        return "stacks not packed";
    case 4:
        FILL(t, "\x12", "\x10\x01", "\x1a\0", end);
        return "empty labels in one sample";
    case 5:
        put_label_sets(t, end);
        return "label sets";
    case 6:
        put_packed(t, "\x0a", "", 0, end);
        return "packed ids";
    case 7:
        put_packed(t, "\x0a", "\x80\x80\x80\x01", 4, end);
        return "packed ids, one of them wide";
    case 8:
        put_packed(t, "\x12", "", 0, end);
        return "packed values";
    case 9:
        put_deep(t, false, end);
        return "deep stacks";
    default:
        put_deep(t, true, end);
        return "deep stacks in a chain";
    }
}

static const char *
symbols(struct pw_text *t, uint32_t i, size_t end)
{
    switch (i) {
    case 11:
        REPEAT(t, "\x32\0", end);
        return "empty strings";
    case 12:
        REPEAT(t, "\x32\x02\xc3\xa9", end);
        return "strings that are not ASCII";
    case 13:
        FILL(t, "\x32", "", "\xc3\xa9", end);
        return "one string";
    case 14:
        FILL(t, "\x32", "", "[go.shape.int]", end);
        return "one string of shapes";
    case 15:
        REPEAT(t, "\x2a\0", end);
        return "empty functions";
    case 16:
        put_sparse(t, "\x2a", "", 0, end);
        return "sparse functions";
    case 17:
        REPEAT(t, "\x22\0", end);
        return "empty locations";
    case 18:
        put_sparse(t, "\x22", "\x18\x01", 2, end);
        return "sparse locations";
    case 19:
        put_sparse(t, "\x1a", "", 0, end);
        return "sparse mappings";
    default:
        FILL(t, "\x22", "\x08\x01\x18\x01", "\x22\0", end);
        return "lines of one location";
    }
}

const char *
hostile_profile(struct pw_text *t, uint32_t i, size_t bytes)
{
    put_head(t);
    if (i <= 10) {
        return samples_and_labels(t, i, bytes);
    }
    if (i <= 20) {
        return symbols(t, i, bytes);
    }
    switch (i) {
    case 21:
        REPEAT(t, "\x5a\0", bytes);
        return "period types";
    case 22:
        REPEAT(t, "\x78\x01", bytes);
        return "unknown fields";
    case 23:
        pw_text_char(t, 0x7b);
        REPEAT(t, "\x08\0", bytes);
        pw_text_char(t, 0x7c);
        return "one unknown group";
    case 24:
        FILL(t, "\x2a", "", "\x08\x01", bytes);
        return "one function of ids";
    default:
        FILL(t, "\x6a", "", "\x01", bytes);
        return "comments";
    }
}
