#include "store/block/thrift.h"

#include "base/check.h"

void
pw_thrift_begin(struct pw_thrift_out *o, struct pw_text *t)
{
    o->t = t;
    o->depth = 1;
    o->last[0] = 0;
}

static void
push(struct pw_thrift_out *o)
{
    PW_INVARIANT(o->depth < PW_THRIFT_DEPTH_MAX);
    o->last[o->depth++] = 0;
}

void
pw_thrift_end(struct pw_thrift_out *o)
{
    PW_INVARIANT(o->depth > 0);
    pw_text_char(o->t, PW_THRIFT_STOP);
    o->depth--;
}

static void
field(struct pw_thrift_out *o, int16_t id, enum pw_thrift_type type)
{
    int16_t *last = &o->last[o->depth - 1];
    int delta = id - *last;

    PW_DCHECK(delta > 0 && delta <= 15); /* every struct of parquet's metadata keeps to it */
    pw_text_char(o->t, (char)(delta << 4 | (int)type));
    *last = id;
}

void
pw_thrift_bool(struct pw_thrift_out *o, int16_t id, bool v)
{
    field(o, id, v ? PW_THRIFT_TRUE : PW_THRIFT_FALSE);
}

void
pw_thrift_byte(struct pw_thrift_out *o, int16_t id, int8_t v)
{
    field(o, id, PW_THRIFT_BYTE);
    pw_text_char(o->t, (char)v);
}

void
pw_thrift_i16(struct pw_thrift_out *o, int16_t id, int16_t v)
{
    field(o, id, PW_THRIFT_I16);
    pw_put_uvarint(o->t, pw_zigzag(v));
}

void
pw_thrift_i32(struct pw_thrift_out *o, int16_t id, int32_t v)
{
    field(o, id, PW_THRIFT_I32);
    pw_put_uvarint(o->t, pw_zigzag(v));
}

void
pw_thrift_i64(struct pw_thrift_out *o, int16_t id, int64_t v)
{
    field(o, id, PW_THRIFT_I64);
    pw_put_uvarint(o->t, pw_zigzag(v));
}

void
pw_thrift_binary(struct pw_thrift_out *o, int16_t id, struct pw_slice v)
{
    field(o, id, PW_THRIFT_BINARY);
    pw_put_string(o->t, v);
}

void
pw_thrift_struct(struct pw_thrift_out *o, int16_t id)
{
    field(o, id, PW_THRIFT_STRUCT);
    push(o);
}

void
pw_thrift_list(struct pw_thrift_out *o, int16_t id, enum pw_thrift_type item, uint32_t n)
{
    field(o, id, PW_THRIFT_LIST);
    pw_text_char(o->t, (char)((n < 15 ? n : 15) << 4 | item));
    if (n >= 15) {
        pw_put_uvarint(o->t, n);
    }
}

void
pw_thrift_item_struct(struct pw_thrift_out *o)
{
    push(o);
}

void
pw_thrift_item_int(struct pw_thrift_out *o, int64_t v)
{
    pw_put_uvarint(o->t, pw_zigzag(v));
}

void
pw_thrift_item_bool(struct pw_thrift_out *o, bool v)
{
    pw_text_char(o->t, v ? 1 : 0);
}

void
pw_thrift_item_binary(struct pw_thrift_out *o, struct pw_slice v)
{
    pw_put_string(o->t, v);
}

bool
pw_thrift_next(struct pw_bytes *in, struct pw_thrift_field *f)
{
    uint8_t head = pw_bytes_u8(in);
    int64_t id;

    if (in->bad || head == PW_THRIFT_STOP) {
        return false;
    }
    id = head >> 4 != 0 ? f->id + (head >> 4) : pw_unzigzag(pw_bytes_uvarint(in));
    f->type = head & 15;
    if (in->bad || id <= 0 || id > INT16_MAX || f->type > PW_THRIFT_STRUCT ||
        f->type == PW_THRIFT_STOP) {
        in->bad = true;
        return false;
    }
    f->id = (int16_t)id;
    return true;
}

int64_t
pw_thrift_read_int(struct pw_bytes *in, const struct pw_thrift_field *f)
{
    switch (f->type) {
    case PW_THRIFT_BYTE:
        return (int8_t)pw_bytes_u8(in);
    case PW_THRIFT_I16:
    case PW_THRIFT_I32:
    case PW_THRIFT_I64:
        return pw_unzigzag(pw_bytes_uvarint(in));
    default:
        pw_thrift_skip(in, f);
        return 0;
    }
}

bool
pw_thrift_read_bool(struct pw_bytes *in, const struct pw_thrift_field *f)
{
    if (f->type != PW_THRIFT_TRUE) {
        pw_thrift_skip(in, f);
    }
    return f->type == PW_THRIFT_TRUE;
}

struct pw_slice
pw_thrift_read_binary(struct pw_bytes *in, const struct pw_thrift_field *f)
{
    if (f->type != PW_THRIFT_BINARY) {
        pw_thrift_skip(in, f);
        return pw_slice("", 0);
    }
    return pw_bytes_string(in);
}

/* Item type and count of a list or set. A list of n items takes at least n bytes. */
static uint32_t
list_header(struct pw_bytes *in, uint8_t *item)
{
    uint8_t head = pw_bytes_u8(in);
    uint64_t n = head >> 4 == 15 ? pw_bytes_uvarint(in) : head >> 4;

    *item = head & 15;
    if (in->bad || n > pw_bytes_left(in) || *item == PW_THRIFT_STOP || *item > PW_THRIFT_STRUCT) {
        in->bad = true;
        return 0;
    }
    return (uint32_t)n;
}

uint32_t
pw_thrift_read_list(struct pw_bytes *in, const struct pw_thrift_field *f, enum pw_thrift_type item)
{
    uint8_t have;
    uint32_t n;

    if (f->type != PW_THRIFT_LIST) {
        pw_thrift_skip(in, f);
        return 0;
    }
    const struct pw_bytes at = *in;

    n = list_header(in, &have);
    if (!in->bad && n != 0 && have != item &&
        !(item == PW_THRIFT_TRUE && have == PW_THRIFT_FALSE)) {
        *in = at;
        pw_thrift_skip(in, f);
        return 0;
    }
    return n;
}

struct pw_slice
pw_thrift_read_item_binary(struct pw_bytes *in)
{
    return pw_bytes_string(in);
}

/* An open container while skipping. */
struct skipping {
    uint8_t item; /* PW_THRIFT_STRUCT's own fields when is_struct */
    bool is_struct;
    uint64_t left;
};

/* Skips a plain value; a container is pushed instead. */
static void
skip_value(struct pw_bytes *in, uint8_t type, bool in_list, struct skipping *stack, uint32_t *depth)
{
    struct skipping s = {0};

    switch (type) {
    case PW_THRIFT_TRUE:
    case PW_THRIFT_FALSE:
        (void)pw_bytes_take(in, in_list ? 1 : 0);
        return;
    case PW_THRIFT_BYTE:
        (void)pw_bytes_take(in, 1);
        return;
    case PW_THRIFT_I16:
    case PW_THRIFT_I32:
    case PW_THRIFT_I64:
        (void)pw_bytes_uvarint(in);
        return;
    case PW_THRIFT_DOUBLE:
        (void)pw_bytes_take(in, 8);
        return;
    case PW_THRIFT_BINARY:
        (void)pw_bytes_string(in);
        return;
    case PW_THRIFT_LIST:
    case PW_THRIFT_SET:
        s.left = list_header(in, &s.item);
        break;
    case PW_THRIFT_STRUCT:
        s.is_struct = true;
        break;
    default: /* maps: parquet has none */
        in->bad = true;
        return;
    }
    if (*depth == PW_THRIFT_DEPTH_MAX) {
        in->bad = true;
        return;
    }
    stack[(*depth)++] = s;
}

void
pw_thrift_skip(struct pw_bytes *in, const struct pw_thrift_field *f)
{
    struct skipping stack[PW_THRIFT_DEPTH_MAX];
    uint32_t depth = 0;

    skip_value(in, f->type, false, stack, &depth);
    while (depth != 0 && !in->bad) { /* every turn takes a byte or closes a container */
        struct skipping *top = &stack[depth - 1];

        if (top->is_struct) {
            struct pw_thrift_field inner = {0};

            if (pw_thrift_next(in, &inner)) {
                skip_value(in, inner.type, false, stack, &depth);
            } else {
                depth--;
            }
        } else if (top->left == 0) {
            depth--;
        } else {
            top->left--;
            skip_value(in, top->item, true, stack, &depth);
        }
    }
}
