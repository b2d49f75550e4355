#include "distributor/push.h"

#include "pprof/wire.h"

/* Where we are in a body that lies in pieces, and how much of the current message is left. A piece
 * may be empty; a message never ends outside the body (checked where its length is read). */
struct cursor {
    const struct pw_slice *piece;
    size_t off; /* in *piece */
    uint64_t left;
};

struct field {
    uint32_t number;
    uint32_t type;
    struct cursor bytes; /* PW_WIRE_LEN */
};

enum { FIELD_END = 0, FIELD_OK = 1, FIELD_BAD = -1 };

static bool
bad(struct pw_push_build *b, const char *why)
{
    if (!b->said) {
        b->said = true;
        pw_text_str(b->err, why);
    }
    return false;
}

static uint8_t
next_byte(struct cursor *c)
{
    while (c->off == c->piece->len) {
        c->piece++;
        c->off = 0;
    }
    c->left--;
    return c->piece->ptr[c->off++];
}

static void
skip(struct cursor *c, uint64_t n)
{
    c->left -= n;
    while (n > c->piece->len - c->off) { /* one piece a turn */
        n -= c->piece->len - c->off;
        c->piece++;
        c->off = 0;
    }
    c->off += n;
}

/* Bytes used, 0 when the message ends inside it, -1 when it is longer than ten bytes. */
static int
read_varint(struct cursor *c, uint64_t *v)
{
    uint64_t x = 0;

    for (int i = 0; i < 10; i++) {
        uint8_t byte;

        if (c->left == 0) {
            return 0;
        }
        byte = next_byte(c);
        x |= (uint64_t)(byte & 0x7F) << (7 * i);
        if (byte < 0x80) {
            *v = x;
            return i + 1;
        }
    }
    return -1;
}

static bool
need_varint(struct pw_push_build *b, struct cursor *c, uint64_t *v)
{
    int n = read_varint(c, v);

    return n > 0 || bad(b, n == 0 ? "unexpected EOF" : "proto: integer overflow");
}

static bool
need_skip(struct pw_push_build *b, struct cursor *c, uint64_t n)
{
    if (n > c->left) {
        return bad(b, "unexpected EOF");
    }
    skip(c, n);
    return true;
}

static bool
skip_value(struct pw_push_build *b, struct cursor *c, uint32_t type)
{
    uint64_t v;

    switch (type) {
    case PW_WIRE_VARINT:
        return need_varint(b, c, &v);
    case PW_WIRE_FIXED64:
        return need_skip(b, c, 8);
    case PW_WIRE_LEN:
        return need_varint(b, c, &v) && need_skip(b, c, v);
    case PW_WIRE_FIXED32:
        return need_skip(b, c, 4);
    default:
        return bad(b, "proto: illegal wireType");
    }
}

/* An unknown group (wire type 3) with whatever is nested in it. */
static bool
skip_group(struct pw_push_build *b, struct cursor *c)
{
    uint32_t depth = 1;

    for (uint32_t i = 0; depth != 0; i++) { /* one tag a turn */
        uint64_t tag;
        uint32_t type;

        PW_FIBER_PAUSE_EVERY(b->scratch->fiber, i, 1024);

        if (!need_varint(b, c, &tag)) {
            return false;
        }
        type = (uint32_t)(tag & 7);
        if (type == 3) {
            depth++;
        } else if (type == 4) {
            depth--;
        } else if (!skip_value(b, c, type)) {
            return false;
        }
        if (depth > PW_WIRE_DEPTH_MAX) {
            return bad(b, "proto: groups nested too deep");
        }
    }
    return true;
}

/* The next field; a value that is not length-delimited is skipped already. */
static int
next_field(struct pw_push_build *b, struct cursor *c, struct field *f)
{
    uint64_t tag;
    uint64_t n;

    PW_FIBER_PAUSE_EVERY(b->scratch->fiber, b->turn, 256);
    b->turn++;
    if (c->left == 0) {
        return FIELD_END;
    }
    if (!need_varint(b, c, &tag)) {
        return FIELD_BAD;
    }
    f->type = (uint32_t)(tag & 7);
    if (tag >> 3 == 0 || tag >> 3 > (1U << 29) - 1) {
        bad(b, "proto: illegal tag");
        return FIELD_BAD;
    }
    f->number = (uint32_t)(tag >> 3);
    if (f->type == 4) {
        bad(b, "proto: wiretype end group for non-group");
        return FIELD_BAD;
    }
    if (f->type == 3) {
        return skip_group(b, c) ? FIELD_OK : FIELD_BAD;
    }
    if (f->type != PW_WIRE_LEN) {
        return skip_value(b, c, f->type) ? FIELD_OK : FIELD_BAD;
    }
    if (!need_varint(b, c, &n)) {
        return FIELD_BAD;
    }
    if (n > c->left) { /* the length lies about bytes that do not come */
        bad(b, "unexpected EOF");
        return FIELD_BAD;
    }
    f->bytes = *c;
    f->bytes.left = n;
    skip(c, n);
    return FIELD_OK;
}

/* A known field has to be length-delimited; all of ours are. */
static bool
is_len(struct pw_push_build *b, const struct field *f, const char *name)
{
    if (f->type != PW_WIRE_LEN && !b->said) {
        b->said = true;
        pw_text_printf(b->err, "proto: wrong wireType = %u for field %s", f->type, name);
    }
    return f->type == PW_WIRE_LEN;
}

/* The bytes as one slice: in place where they lie in one piece, else copied. */
static bool
as_slice(struct pw_push_build *b, struct cursor c, struct pw_slice *out)
{
    uint8_t *buf;

    if (b->out == NULL) {
        return true;
    }
    while (c.left != 0 && c.off == c.piece->len) {
        c.piece++;
        c.off = 0;
    }
    if (c.left == 0) {
        *out = PW_SLICE_LIT("");
        return true;
    }
    if (c.left <= c.piece->len - c.off) {
        *out = pw_slice(c.piece->ptr + c.off, (size_t)c.left);
        return true;
    }
    buf = pw_scratch_alloc(b->scratch, (size_t)c.left);
    if (buf == NULL) {
        b->no_memory = true;
        return false;
    }
    *out = pw_slice(buf, (size_t)c.left);
    for (size_t i = 0; c.left != 0; i++) {
        buf[i] = next_byte(&c);
        PW_FIBER_PAUSE_EVERY(b->scratch->fiber, i, 8192);
    }
    return true;
}

/* The bytes as pieces; counts them in the first pass. */
static void
as_pieces(struct pw_push_build *b, struct cursor c, struct pw_push_sample *s)
{
    uint64_t bytes = c.left;
    uint32_t n = 0;

    while (c.left != 0) { /* one piece a turn */
        size_t here = c.piece->len - c.off;
        size_t take = c.left < here ? (size_t)c.left : here;

        if (take != 0) {
            if (b->out != NULL) {
                b->piece[b->pieces + n] = pw_slice(c.piece->ptr + c.off, take);
            }
            n++;
            c.left -= take;
        }
        c.piece++;
        c.off = 0;
        PW_FIBER_PAUSE_EVERY(b->scratch->fiber, n, 1024);
    }
    if (b->out != NULL) {
        s->piece = b->piece + b->pieces;
        s->piece_count = n;
        s->bytes = (size_t)bytes;
    }
    b->pieces += n;
}

static bool
read_label(struct pw_push_build *b, struct cursor c)
{
    struct pw_label_pair pair = {PW_SLICE_LIT(""), PW_SLICE_LIT("")};
    struct field f;
    int rc;

    while ((rc = next_field(b, &c, &f)) == FIELD_OK) {
        if (f.number == 1 && (!is_len(b, &f, "Name") || !as_slice(b, f.bytes, &pair.name))) {
            return false;
        }
        if (f.number == 2 && (!is_len(b, &f, "Value") || !as_slice(b, f.bytes, &pair.value))) {
            return false;
        }
    }
    if (b->out != NULL) {
        b->label[b->labels] = pair;
    }
    b->labels++;
    return rc == FIELD_END;
}

static bool
read_sample(struct pw_push_build *b, struct cursor c)
{
    struct pw_push_sample s = {.id = PW_SLICE_LIT("")};
    struct field f;
    int rc;

    while ((rc = next_field(b, &c, &f)) == FIELD_OK) {
        if (f.number == 1) {
            if (!is_len(b, &f, "RawProfile")) {
                return false;
            }
            as_pieces(b, f.bytes, &s); /* a second one replaces the first: the last wins */
        }
        if (f.number == 2 && (!is_len(b, &f, "ID") || !as_slice(b, f.bytes, &s.id))) {
            return false;
        }
    }
    if (b->out != NULL) {
        b->sample[b->samples] = s;
    }
    b->samples++;
    return rc == FIELD_END;
}

static bool
read_series(struct pw_push_build *b, struct cursor c)
{
    uint32_t labels = b->labels;
    uint32_t samples = b->samples;
    struct field f;
    int rc;

    while ((rc = next_field(b, &c, &f)) == FIELD_OK) {
        if (f.number == 1 && (!is_len(b, &f, "Labels") || !read_label(b, f.bytes))) {
            return false;
        }
        if (f.number == 2 && (!is_len(b, &f, "Samples") || !read_sample(b, f.bytes))) {
            return false;
        }
        if (f.number == 3 && !is_len(b, &f, "Annotations")) { /* ignored when sent by a client */
            return false;
        }
    }
    if (b->out != NULL) {
        b->out->series[b->series] = (struct pw_push_series){
            .label = b->label + labels,
            .sample = b->sample + samples,
            .label_count = b->labels - labels,
            .sample_count = b->samples - samples,
        };
    }
    b->series++;
    return rc == FIELD_END;
}

static bool
read_request(struct pw_push_build *b, struct cursor c)
{
    struct field f;
    int rc;

    while ((rc = next_field(b, &c, &f)) == FIELD_OK) {
        if (f.number == 1 && (!is_len(b, &f, "Series") || !read_series(b, f.bytes))) {
            return false;
        }
    }
    return rc == FIELD_END;
}

int
pw_push_parse_proto(struct pw_push *out, const struct pw_slice *body, uint32_t body_count,
                    struct pw_scratch *scratch, struct pw_text *err)
{
    struct pw_push_build b = {.scratch = scratch, .err = err};
    struct cursor c = {.piece = body};
    int rc;

    for (uint32_t i = 0; i < body_count; i++) {
        c.left += body[i].len;
        PW_FIBER_PAUSE_EVERY(scratch->fiber, i, 4096);
    }
    if (!read_request(&b, c)) {
        return PW_EINVAL;
    }
    rc = pw_push_build_alloc(&b, out);
    if (rc == 0 && !read_request(&b, c)) {
        rc = b.no_memory ? PW_ENOMEM : PW_EINVAL;
    }
    return rc;
}
