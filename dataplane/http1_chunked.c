/* dataplane/http1_chunked.c - RFC 9112 7.1, chunked transfer coding, one byte of framing at a time.
 *
 * Framing is a few bytes per chunk, data passes in runs: a byte-wise machine costs nothing and cannot
 * depend on how its input is cut.
 */
#include "dataplane/http1.h"
#include "dataplane/http1_chars.h"

enum chunk_state {
    CHUNK_SIZE,
    CHUNK_EXT_NAME_FIRST,
    CHUNK_EXT_NAME,
    CHUNK_EXT_VALUE_FIRST,
    CHUNK_EXT_VALUE,
    CHUNK_EXT_QUOTED,
    CHUNK_EXT_QUOTED_PAIR,
    CHUNK_EXT_AFTER,
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    TRAILER_START,
    TRAILER_NAME,
    TRAILER_VALUE,
    TRAILER_LF,
    TRAILER_END_LF,
    CHUNKED_DONE,
};

static enum pw_http_drop
size_byte(struct pw_http1_chunked *c, uint8_t b)
{
    if ((pw_http1_ch[b] & PW_HTTP1_CH_HEX) != 0) {
        if (c->digits == PW_HTTP1_CHUNK_DIGITS_MAX) {
            return PW_HTTP_DROP_CHUNK_SIZE_BAD;
        }
        c->digits++;
        c->chunk_left =
            (c->chunk_left << 4) | (uint64_t)(b <= '9' ? b - '0' : (b | 0x20) - 'a' + 10);
        return PW_HTTP_DROP_NONE;
    }
    if (c->digits == 0 || (b != '\r' && b != ';')) {
        return PW_HTTP_DROP_CHUNK_SIZE_BAD;
    }
    c->state = b == ';' ? CHUNK_EXT_NAME_FIRST : CHUNK_SIZE_LF;
    return PW_HTTP_DROP_NONE;
}

/* After a complete extension name, value or quoted string: the next one, or the end of the line. */
static enum pw_http_drop
ext_end_byte(struct pw_http1_chunked *c, uint8_t b)
{
    if (b != ';' && b != '\r') {
        return PW_HTTP_DROP_CHUNK_EXT_BAD;
    }
    c->state = b == ';' ? CHUNK_EXT_NAME_FIRST : CHUNK_SIZE_LF;
    return PW_HTTP_DROP_NONE;
}

/* 7.1.1 chunk-ext = *( ";" token [ "=" ( token / quoted-string ) ] ); the "bad white space" that
 * the grammar tolerates is not tolerated here. Extensions are read and ignored. */
static enum pw_http_drop
ext_byte(struct pw_http1_chunked *c, uint8_t b)
{
    bool tchar = (pw_http1_ch[b] & PW_HTTP1_CH_TCHAR) != 0;

    if (++c->ext_bytes > PW_HTTP1_CHUNK_EXT_BYTES_MAX) {
        return PW_HTTP_DROP_CHUNK_EXT_TOO_LARGE;
    }
    if (pw_http1_is_control(b) && b != '\r') {
        return PW_HTTP_DROP_CHUNK_EXT_BAD;
    }
    switch (c->state) {
    case CHUNK_EXT_NAME_FIRST:
        c->state = CHUNK_EXT_NAME;
        return tchar ? PW_HTTP_DROP_NONE : PW_HTTP_DROP_CHUNK_EXT_BAD;
    case CHUNK_EXT_NAME:
        if (b == '=') {
            c->state = CHUNK_EXT_VALUE_FIRST;
            return PW_HTTP_DROP_NONE;
        }
        return tchar ? PW_HTTP_DROP_NONE : ext_end_byte(c, b);
    case CHUNK_EXT_VALUE_FIRST:
        c->state = b == '"' ? CHUNK_EXT_QUOTED : CHUNK_EXT_VALUE;
        return b == '"' || tchar ? PW_HTTP_DROP_NONE : PW_HTTP_DROP_CHUNK_EXT_BAD;
    case CHUNK_EXT_VALUE:
        return tchar ? PW_HTTP_DROP_NONE : ext_end_byte(c, b);
    case CHUNK_EXT_QUOTED:
        c->state = b == '"'    ? CHUNK_EXT_AFTER
                   : b == '\\' ? CHUNK_EXT_QUOTED_PAIR
                               : CHUNK_EXT_QUOTED;
        return b == '\r' ? PW_HTTP_DROP_CHUNK_EXT_BAD : PW_HTTP_DROP_NONE;
    case CHUNK_EXT_QUOTED_PAIR:
        c->state = CHUNK_EXT_QUOTED;
        return b == '\r' ? PW_HTTP_DROP_CHUNK_EXT_BAD : PW_HTTP_DROP_NONE;
    default:
        return ext_end_byte(c, b);
    }
}

/* 9110 6.5.1: fields of framing and routing have no place behind the body. Who merged them into the head
 * would read another message than we did, so the request is refused. */
static const char *const forbidden_trailer[] = {"content-length", "transfer-encoding", "host"};

static void
trailer_name_byte(struct pw_http1_chunked *c, uint8_t b)
{
    if (c->state == TRAILER_START) {
        c->name_len = 0;
        c->name_may = (1U << PW_ARRAY_LEN(forbidden_trailer)) - 1;
    }
    for (size_t i = 0; i < PW_ARRAY_LEN(forbidden_trailer); i++) {
        const char *name = forbidden_trailer[i];

        /* The name's end, a zero, is no token byte: what is longer drops out there. */
        if ((c->name_may & (1U << i)) != 0 &&
            (uint8_t)name[c->name_len] != (b >= 'A' && b <= 'Z' ? b | 0x20 : b)) {
            c->name_may = (uint8_t)(c->name_may & ~(1U << i));
        }
    }
    c->name_len = (uint8_t)(c->name_len + (c->name_may != 0 ? 1 : 0));
}

static bool
trailer_is_forbidden(const struct pw_http1_chunked *c)
{
    for (size_t i = 0; i < PW_ARRAY_LEN(forbidden_trailer); i++) {
        if ((c->name_may & (1U << i)) != 0 && forbidden_trailer[i][c->name_len] == 0) {
            return true;
        }
    }
    return false;
}

/* 7.1.2 trailer-section: checked like header lines, then dropped (9110 6.5.1 lets us). */
static enum pw_http_drop
trailer_byte(struct pw_http1_chunked *c, uint8_t b)
{
    bool tchar = (pw_http1_ch[b] & PW_HTTP1_CH_TCHAR) != 0;

    if (++c->trailer_bytes > PW_HTTP1_TRAILER_BYTES_MAX) {
        return PW_HTTP_DROP_TRAILER_TOO_LARGE;
    }
    switch (c->state) {
    case TRAILER_START:
        trailer_name_byte(c, b);
        c->state = b == '\r' ? TRAILER_END_LF : TRAILER_NAME;
        return b == '\r' || tchar ? PW_HTTP_DROP_NONE : PW_HTTP_DROP_TRAILER_BAD;
    case TRAILER_NAME:
        if (b == ':') {
            c->state = TRAILER_VALUE;
            return trailer_is_forbidden(c) ? PW_HTTP_DROP_TRAILER_BAD : PW_HTTP_DROP_NONE;
        }
        trailer_name_byte(c, b);
        return tchar ? PW_HTTP_DROP_NONE : PW_HTTP_DROP_TRAILER_BAD;
    case TRAILER_VALUE:
        c->state = b == '\r' ? TRAILER_LF : TRAILER_VALUE;
        return b == '\r' || !pw_http1_is_control(b) ? PW_HTTP_DROP_NONE : PW_HTTP_DROP_TRAILER_BAD;
    case TRAILER_LF:
        c->state = TRAILER_START;
        return b == '\n' ? PW_HTTP_DROP_NONE : PW_HTTP_DROP_TRAILER_BAD;
    default: /* TRAILER_END_LF */
        c->state = CHUNKED_DONE;
        return b == '\n' ? PW_HTTP_DROP_NONE : PW_HTTP_DROP_TRAILER_BAD;
    }
}

/* One byte of framing (everything but chunk data). */
static enum pw_http_drop
framing_byte(struct pw_http1_chunked *c, uint8_t b)
{
    switch (c->state) {
    case CHUNK_SIZE:
        return size_byte(c, b);
    case CHUNK_SIZE_LF:
        c->state = c->chunk_left == 0 ? TRAILER_START : CHUNK_DATA;
        return b == '\n' ? PW_HTTP_DROP_NONE : PW_HTTP_DROP_CHUNK_SIZE_BAD;
    case CHUNK_DATA_CR:
        c->state = CHUNK_DATA_LF;
        return b == '\r' ? PW_HTTP_DROP_NONE : PW_HTTP_DROP_CHUNK_END_BAD;
    case CHUNK_DATA_LF:
        c->state = CHUNK_SIZE;
        c->digits = 0;
        return b == '\n' ? PW_HTTP_DROP_NONE : PW_HTTP_DROP_CHUNK_END_BAD;
    case TRAILER_START:
    case TRAILER_NAME:
    case TRAILER_VALUE:
    case TRAILER_LF:
    case TRAILER_END_LF:
        return trailer_byte(c, b);
    case CHUNK_EXT_NAME_FIRST:
    case CHUNK_EXT_NAME:
    case CHUNK_EXT_VALUE_FIRST:
    case CHUNK_EXT_VALUE:
    case CHUNK_EXT_QUOTED:
    case CHUNK_EXT_QUOTED_PAIR:
    case CHUNK_EXT_AFTER:
    case CHUNK_DATA:
    case CHUNKED_DONE:
    default:
        return ext_byte(c, b);
    }
}

int64_t
pw_http1_chunked_next(struct pw_http1_chunked *c, const uint8_t *p, size_t n, struct pw_slice *data)
{
    size_t i = 0;

    *data = pw_slice(NULL, 0);
    while (i < n && c->state != CHUNK_DATA && c->state != CHUNKED_DONE) {
        enum pw_http_drop drop = framing_byte(c, p[i++]);

        if (drop != PW_HTTP_DROP_NONE) {
            c->drop = (uint8_t)drop;
            return PW_PARSE_BAD;
        }
    }
    if (c->state == CHUNK_DATA && i < n) {
        size_t take = n - i < c->chunk_left ? n - i : (size_t)c->chunk_left;

        *data = pw_slice(p + i, take);
        c->chunk_left -= take;
        c->state = c->chunk_left == 0 ? CHUNK_DATA_CR : CHUNK_DATA;
        i += take;
    }
    return (int64_t)i;
}

bool
pw_http1_chunked_done(const struct pw_http1_chunked *c)
{
    return c->state == CHUNKED_DONE;
}
