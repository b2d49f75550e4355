#include "ring/compress.h"

#include <snappy-c.h>
#include <stdlib.h>

/* --- Snappy ----------------------------------------------------------------------------------- */

int
pw_snappy_decode(struct pw_slice in, struct pw_text *out)
{
    size_t claimed = 0;
    uint8_t *to;

    if (snappy_uncompressed_length((const char *)in.ptr, in.len, &claimed) != SNAPPY_OK) {
        return PW_EPROTO;
    }
    if (claimed > out->limit - out->len) {
        return PW_EMSGSIZE;
    }
    if (snappy_validate_compressed_buffer((const char *)in.ptr, in.len) != SNAPPY_OK) {
        return PW_EPROTO; /* before memory is taken for what it claims */
    }
    if (claimed == 0) {
        return 0;
    }
    to = pw_text_grow(out, claimed);
    if (to == NULL) {
        return PW_ENOMEM;
    }
    return snappy_uncompress((const char *)in.ptr, in.len, (char *)to, &claimed) == SNAPPY_OK
               ? 0
               : PW_EPROTO;
}

void
pw_snappy_encode(struct pw_slice in, struct pw_text *out)
{
    size_t room = snappy_max_compressed_length(in.len), n = room;
    uint8_t *to = malloc(room);

    if (to == NULL || snappy_compress(in.len > 0 ? (const char *)in.ptr : "", in.len, (char *)to,
                                      &n) != SNAPPY_OK) {
        out->failed = true;
    } else {
        pw_text_put(out, to, n);
    }
    free(to);
}

/* --- LZW -------------------------------------------------------------------------------------- */

enum {
    LZW_LITERALS = 256,
    LZW_CLEAR = 256,
    LZW_END = 257,
    LZW_FIRST = 258,
    LZW_BITS_MIN = 9,
    LZW_BITS_MAX = 12,
    LZW_CODES = 1 << LZW_BITS_MAX,
};

/* An entry of the table is the entry `prefix` and one byte more. */
struct lzw_entry {
    uint16_t prefix;
    uint16_t len;
    uint8_t first;
    uint8_t last;
};

struct lzw_reader {
    struct pw_slice in;
    size_t at;
    uint32_t bits, have;
    uint32_t width;
    uint32_t next;     /* the code the next entry gets; LZW_CODES: the table is full */
    uint32_t previous; /* LZW_CLEAR: none */
    struct lzw_entry entry[LZW_CODES];
};

static int
read_code(struct lzw_reader *r, uint32_t *code)
{
    while (r->have < r->width) {
        if (r->at == r->in.len) {
            return PW_EPROTO; /* cut: there is no end code */
        }
        r->bits |= (uint32_t)r->in.ptr[r->at++] << r->have;
        r->have += 8;
    }
    *code = r->bits & ((1U << r->width) - 1);
    r->bits >>= r->width;
    r->have -= r->width;
    return 0;
}

static void
clear_reader(struct lzw_reader *r)
{
    r->width = LZW_BITS_MIN;
    r->next = LZW_FIRST;
    r->previous = LZW_CLEAR;
}

static void
add_entry(struct lzw_reader *r, uint8_t last)
{
    const struct lzw_entry *p = &r->entry[r->previous];

    r->entry[r->next] = (struct lzw_entry){.prefix = (uint16_t)r->previous,
                                           .len = (uint16_t)(p->len + 1),
                                           .first = p->first,
                                           .last = last};
    r->next++;
}

/* The bytes of code, from the last to the first. */
static int
put_entry(const struct lzw_reader *r, uint32_t code, struct pw_text *out)
{
    uint32_t n = r->entry[code].len;
    uint8_t *to;

    if (n > out->limit - out->len) {
        return PW_EMSGSIZE;
    }
    to = pw_text_grow(out, n);
    if (to == NULL) {
        return PW_ENOMEM;
    }
    for (uint32_t i = n; i > 0; i--) {
        to[i - 1] = r->entry[code].last;
        code = r->entry[code].prefix;
    }
    return 0;
}

/* One code that is neither clear nor end. */
static int
take_code(struct lzw_reader *r, uint32_t code, struct pw_text *out)
{
    bool grows = r->previous != LZW_CLEAR && r->next < LZW_CODES;
    int rc;

    if (code > r->next || (code == r->next && !grows) ||
        (r->previous == LZW_CLEAR && code >= LZW_FIRST)) {
        return PW_EPROTO; /* an entry nobody has made */
    }
    if (grows) {
        /* The entry being made may be the one that is asked for: then it ends as it begins. */
        add_entry(r, code == r->next ? r->entry[r->previous].first : r->entry[code].first);
    }
    rc = put_entry(r, code, out);
    r->previous = code;
    if (r->next == 1U << r->width && r->width < LZW_BITS_MAX) {
        r->width++;
    }
    return rc;
}

int
pw_lzw_decode(struct pw_slice in, struct pw_text *out)
{
    struct lzw_reader *r = malloc(sizeof(*r));
    uint32_t code = LZW_CLEAR;
    int rc = 0;

    if (r == NULL) {
        return PW_ENOMEM;
    }
    r->in = in;
    r->at = r->bits = r->have = 0;
    for (uint32_t i = 0; i < LZW_LITERALS; i++) {
        r->entry[i] = (struct lzw_entry){.len = 1, .first = (uint8_t)i, .last = (uint8_t)i};
    }
    clear_reader(r);
    while (rc == 0 && (rc = read_code(r, &code)) == 0 && code != LZW_END) {
        if (code == LZW_CLEAR) {
            clear_reader(r);
        } else {
            rc = take_code(r, code, out);
        }
    }
    free(r);
    return rc;
}

enum { LZW_SLOTS = 4 * LZW_CODES, LZW_SLOT_BITS = 14 };

/* Slots hold key + 1 (prefix and byte) and the code of that entry; key 0 is an empty slot. */
struct lzw_writer {
    struct pw_text *out;
    uint32_t bits, have;
    uint32_t width;
    uint32_t last; /* the code the newest entry has */
    uint32_t key[LZW_SLOTS];
    uint16_t code[LZW_SLOTS];
};

static void
write_code(struct lzw_writer *w, uint32_t code)
{
    w->bits |= code << w->have;
    w->have += w->width;
    while (w->have >= 8) {
        pw_text_char(w->out, (char)(w->bits & 0xFF));
        w->bits >>= 8;
        w->have -= 8;
    }
}

static void
write_clear(struct lzw_writer *w)
{
    write_code(w, LZW_CLEAR);
    memset(w->key, 0, sizeof(w->key));
    w->width = LZW_BITS_MIN;
    w->last = LZW_END;
}

/* Where prefix and byte are, or would be. */
static uint32_t
find_slot(const struct lzw_writer *w, uint32_t prefix, uint8_t byte)
{
    uint32_t key = (prefix << 8 | byte) + 1;
    uint32_t slot = (key * 2654435761U) >> (32 - LZW_SLOT_BITS);

    while (w->key[slot] != 0 && w->key[slot] != key) { /* at most a quarter is taken */
        slot = (slot + 1) % LZW_SLOTS;
    }
    return slot;
}

/* A code went out, so the reader has one entry more; true when there is room for it. */
static bool
next_entry(struct lzw_writer *w)
{
    w->last++;
    if (w->last == 1U << w->width) {
        w->width++;
    }
    if (w->last == LZW_CODES - 1) {
        write_clear(w);
        return false;
    }
    return true;
}

static void
write_bytes(struct lzw_writer *w, struct pw_slice in)
{
    uint32_t code = in.ptr[0];

    for (size_t i = 1; i < in.len; i++) {
        uint32_t slot = find_slot(w, code, in.ptr[i]);

        if (w->key[slot] != 0) {
            code = w->code[slot];
            continue;
        }
        write_code(w, code);
        if (next_entry(w)) {
            w->key[slot] = (code << 8 | in.ptr[i]) + 1;
            w->code[slot] = (uint16_t)w->last;
        }
        code = in.ptr[i];
    }
    write_code(w, code);
    (void)next_entry(w);
}

void
pw_lzw_encode(struct pw_slice in, struct pw_text *out)
{
    struct lzw_writer *w = malloc(sizeof(*w));

    if (w == NULL) {
        out->failed = true;
        return;
    }
    w->out = out;
    w->bits = w->have = 0;
    w->width = LZW_BITS_MIN;
    write_clear(w);
    if (in.len > 0) {
        write_bytes(w, in);
    }
    write_code(w, LZW_END);
    if (w->have > 0) {
        pw_text_char(out, (char)(w->bits & 0xFF));
    }
    free(w);
}
