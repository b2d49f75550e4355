#include "pprof/wire.h"

#include "base/text.h"

static int
bad(struct pw_wire *r, const char *why)
{
    r->err = why;
    return PW_PARSE_BAD;
}

/* Reads a varint at r->p into *v; false with r->err set when cut or too long. */
static bool
take_varint(struct pw_wire *r, uint64_t *v)
{
    int n = pw_wire_varint(r->p, r->end, v);

    if (n <= 0) {
        r->err = n == 0 ? "unexpected EOF" : "proto: integer overflow";
        return false;
    }
    r->p += n;
    return true;
}

static bool
take_bytes(struct pw_wire *r, uint64_t n, const uint8_t **at)
{
    if ((int64_t)n < 0) {
        r->err = "proto: negative length found during unmarshaling";
        return false;
    }
    if (n > (uint64_t)(r->end - r->p)) {
        r->err = "unexpected EOF";
        return false;
    }
    *at = r->p;
    r->p += n;
    return true;
}

static const char *
illegal_tag(uint64_t tag)
{
    static const char *const zero[8] = {
        "proto: illegal tag 0 (wire type 0)", "proto: illegal tag 0 (wire type 1)",
        "proto: illegal tag 0 (wire type 2)", "proto: illegal tag 0 (wire type 3)",
        "proto: illegal tag 0 (wire type 4)", "proto: illegal tag 0 (wire type 5)",
        "proto: illegal tag 0 (wire type 6)", "proto: illegal tag 0 (wire type 7)",
    };

    return (tag >> 3) == 0 ? zero[tag & 7] : "proto: illegal tag";
}

/* The bytes after a start-group tag, up to and with its end-group tag. */
static bool
skip_group(struct pw_wire *r)
{
    const uint8_t *at;
    uint64_t tag, v;
    uint32_t depth = 1;

    for (uint32_t i = 0; depth > 0; i++) { /* every turn consumes at least one byte */
        PW_FIBER_PAUSE_EVERY(r->fiber, i, 1024);
        if (!take_varint(r, &tag)) {
            return false;
        }
        switch (tag & 7) {
        case PW_WIRE_VARINT:
            if (!take_varint(r, &v)) {
                return false;
            }
            break;
        case PW_WIRE_FIXED64:
            if (!take_bytes(r, 8, &at)) {
                return false;
            }
            break;
        case PW_WIRE_LEN:
            if (!take_varint(r, &v) || !take_bytes(r, v, &at)) {
                return false;
            }
            break;
        case 3:
            if (++depth > PW_WIRE_DEPTH_MAX) {
                r->err = "proto: groups nested too deeply";
                return false;
            }
            break;
        case 4:
            depth--;
            break;
        case PW_WIRE_FIXED32:
            if (!take_bytes(r, 4, &at)) {
                return false;
            }
            break;
        default:
            r->err = (tag & 7) == 6 ? "proto: illegal wireType 6" : "proto: illegal wireType 7";
            return false;
        }
    }
    return true;
}

int
pw_wire_next(struct pw_wire *r, struct pw_wire_field *f)
{
    const uint8_t *at = NULL;
    uint64_t tag, n;

    f->number = 0;
    if (r->p == r->end) {
        return 0;
    }
    if (!take_varint(r, &tag)) {
        return PW_PARSE_BAD;
    }
    /* A field number is an int32 in the reference decoder: what lies above is cut off. */
    if ((tag & 7) == 4) {
        return bad(r, "proto: wiretype end group for non-group");
    }
    if ((int32_t)(uint32_t)(tag >> 3) <= 0) {
        return bad(r, illegal_tag(tag));
    }
    f->number = (uint32_t)(tag >> 3);
    f->type = (uint32_t)(tag & 7);
    switch (f->type) {
    case PW_WIRE_VARINT:
        return take_varint(r, &f->varint) ? 1 : PW_PARSE_BAD;
    case PW_WIRE_FIXED64:
        if (!take_bytes(r, 8, &at)) {
            return PW_PARSE_BAD;
        }
        memcpy(&f->varint, at, 8);
        return 1;
    case PW_WIRE_LEN:
        if (!take_varint(r, &n) || !take_bytes(r, n, &at)) {
            return PW_PARSE_BAD;
        }
        f->bytes = pw_slice(at, (size_t)n);
        return 1;
    case 3:
        return skip_group(r) ? 1 : PW_PARSE_BAD;
    case PW_WIRE_FIXED32:
        if (!take_bytes(r, 4, &at)) {
            return PW_PARSE_BAD;
        }
        f->varint = 0;
        memcpy(&f->varint, at, 4);
        return 1;
    default:
        return bad(r, f->type == 6 ? "proto: illegal wireType 6" : "proto: illegal wireType 7");
    }
}

void
pw_wire_put_varint(struct pw_text *t, uint64_t v)
{
    uint8_t buf[10];
    size_t n = 0;

    while (v >= 0x80) {
        buf[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    buf[n++] = (uint8_t)v;
    pw_text_put(t, buf, n);
}

void
pw_wire_put_tag_varint(struct pw_text *t, uint32_t number, uint64_t v)
{
    if (v != 0) {
        pw_wire_put_varint(t, (uint64_t)number << 3 | PW_WIRE_VARINT);
        pw_wire_put_varint(t, v);
    }
}

void
pw_wire_put_bytes(struct pw_text *t, uint32_t number, struct pw_slice s)
{
    pw_wire_put_varint(t, (uint64_t)number << 3 | PW_WIRE_LEN);
    pw_wire_put_varint(t, s.len);
    pw_text_slice(t, s);
}
