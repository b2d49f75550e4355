/* dataplane/http1.h - HTTP/1.1 request syntax (RFC 9112): heads and chunked bodies.
 *
 * Purpose  bytes in, a checked request head or body bytes out; strict, because every leniency of a
 *          parser is somebody's request smuggling.
 * Owner    the caller owns all state; slices in struct pw_http1_head point into the caller's bytes.
 * Context  hot, pure: no clock, no allocation.
 * Units    bytes.
 * Errors   PW_PARSE_BAD with a reason of http_drop.def; PW_PARSE_MORE when the bytes end too early.
 *          The outcome does not depend on how the bytes were cut (fuzz_http1 states it).
 * Limits   PW_HTTP_HEAD_BYTES_MAX, PW_HTTP_TARGET_BYTES_MAX, PW_HTTP_HEADERS_MAX, and below.
 */
#ifndef PW_DATAPLANE_HTTP1_H
#define PW_DATAPLANE_HTTP1_H

#include "base/err.h"
#include "base/limits.h"
#include "base/types.h"
#include "dataplane/http_app.h"

enum pw_http_drop {
    PW_HTTP_DROP_NONE = 0,
#define PW_HTTP_DROP(sym, name, status, text) PW_HTTP_DROP_##sym,
#include "dataplane/http_drop.def"
#undef PW_HTTP_DROP
    PW_HTTP_DROP_COUNT,
};

struct pw_http_drop_info {
    const char *name;
    uint16_t status;
    const char *text;
};

const struct pw_http_drop_info *pw_http_drop_info(enum pw_http_drop drop);

enum {
    PW_HTTP1_CHUNK_DIGITS_MAX = 15,      /* hex digits of one chunk size, leading zeros included */
    PW_HTTP1_CHUNK_EXT_BYTES_MAX = 4096, /* extensions of one body, all chunks together */
    PW_HTTP1_TRAILER_BYTES_MAX = 4096,   /* trailer section of one body */
};

/* Where an incomplete head was left; all zero for a new one. */
struct pw_http1_resume {
    uint16_t line;    /* offset of the first line without its CRLF yet */
    uint16_t scanned; /* everything before is known to be free of control bytes */
    bool request_line_seen;
};

struct pw_http1_head {
    enum pw_http_method method;
    enum pw_http_drop drop; /* why, after PW_PARSE_BAD */
    uint8_t minor_version;
    bool chunked;
    bool has_length;
    bool keep_alive;      /* after Connection and the version's default (RFC 9112 9.3) */
    bool expect_continue; /* Expect: 100-continue, HTTP/1.1 only */
    bool expect_unknown;  /* another expectation: 417 */
    uint64_t content_length;
    struct pw_slice target;
    struct pw_slice path;
    struct pw_slice query;
    uint32_t headers_count;
    struct pw_http_header headers[PW_HTTP_HEADERS_MAX];
};

/* Parses the head at p (request line to empty line). Returns its bytes; PW_PARSE_MORE: call again
 * with the same bytes and more behind them, wherever they lie then, and the same *r; PW_PARSE_BAD:
 * h->drop says why. One empty line before the request line is skipped (RFC 9112 2.2). */
PW_MUST_USE int pw_http1_head_parse(struct pw_http1_head *h, const uint8_t *p, size_t n,
                                    struct pw_http1_resume *r);

/* State of one chunked body; all zero for a new one. */
struct pw_http1_chunked {
    uint64_t chunk_left; /* data bytes of the current chunk still to come, or its size so far */
    uint32_t ext_bytes;
    uint32_t trailer_bytes;
    uint8_t state;
    uint8_t digits;
    uint8_t drop;     /* enum pw_http_drop, after PW_PARSE_BAD */
    uint8_t name_len; /* of the trailer name in progress */
    uint8_t name_may; /* bit i: it may still become forbidden_trailer[i] */
};

/* Decodes up to one run of body bytes from p. Returns bytes consumed, data included, and the run in
 * *data (it ends where the consumed bytes end; empty when framing only was read). Returns 0 only
 * for n == 0 or when done. PW_PARSE_BAD: c->drop says why. */
PW_MUST_USE int64_t pw_http1_chunked_next(struct pw_http1_chunked *c, const uint8_t *p, size_t n,
                                          struct pw_slice *data);
/* The last chunk and the trailer section were consumed. */
bool pw_http1_chunked_done(const struct pw_http1_chunked *c);

/* Offset of the first byte in p[0..n) below 0x20 other than HTAB, or 0x7f; n when there is none.
 * The scalar twin exists for the test that compares them. */
size_t pw_http1_find_control(const uint8_t *p, size_t n);
size_t pw_http1_find_control_scalar(const uint8_t *p, size_t n);

#endif
