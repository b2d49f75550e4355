/* pprof/wire.h - protobuf wire format, read without copying.
 *
 * Purpose  fields of one message in order; used by the pprof walk, the push envelope and (later) link
 *          and gossip messages.
 * Owner    pure; slices point into the input.
 * Context  hot.
 * Units    bytes.
 * Errors   pw_wire_next: 1 a field, 0 clean end, PW_PARSE_BAD broken (r->err says why, as stock
 *          words it: "unexpected EOF", "proto: illegal wireType 6", ...). When the tag itself was
 *          good, number and type are set even then; else number is 0.
 * Limits   groups (wire types 3, 4) are skipped to a depth of PW_WIRE_DEPTH_MAX.
 */
#ifndef PW_PPROF_WIRE_H
#define PW_PPROF_WIRE_H

#include "base/err.h"
#include "base/fiber.h"
#include "base/types.h"

enum { PW_WIRE_DEPTH_MAX = 32 };
enum pw_wire_type { PW_WIRE_VARINT = 0, PW_WIRE_FIXED64 = 1, PW_WIRE_LEN = 2, PW_WIRE_FIXED32 = 5 };

struct pw_wire {
    const uint8_t *p;
    const uint8_t *end;
    const char *err;
    struct pw_fiber *fiber; /* for checkpoints within a long group; NULL: none */
};

struct pw_wire_field {
    uint32_t number;
    uint32_t type;         /* enum pw_wire_type, or 3 for a skipped group */
    uint64_t varint;       /* VARINT, FIXED64, FIXED32 */
    struct pw_slice bytes; /* LEN */
};

static inline void
pw_wire_init(struct pw_wire *r, struct pw_slice s)
{
    /* An empty slice may have no address, and NULL + 0 is not C. */
    *r = (struct pw_wire){.p = s.ptr, .end = s.len > 0 ? s.ptr + s.len : s.ptr};
}

/* Reads one varint at p; returns bytes used, 0 when cut, -1 when longer than 10 bytes. */
static inline int
pw_wire_varint(const uint8_t *p, const uint8_t *end, uint64_t *v)
{
    uint64_t x = 0;

    for (int i = 0; i < 10; i++) {
        if (p + i >= end) {
            return 0;
        }
        x |= (uint64_t)(p[i] & 0x7F) << (7 * i);
        if (p[i] < 0x80) {
            *v = x;
            return i + 1;
        }
    }
    return -1;
}

PW_MUST_USE int pw_wire_next(struct pw_wire *r, struct pw_wire_field *f);

/* Writers, for small messages; append to a pw_text (base/text.h). */
struct pw_text;
void pw_wire_put_varint(struct pw_text *t, uint64_t v);
void pw_wire_put_tag_varint(struct pw_text *t, uint32_t number,
                            uint64_t v); /* proto3: 0 is left out */
void pw_wire_put_bytes(struct pw_text *t, uint32_t number, struct pw_slice s);

#endif
