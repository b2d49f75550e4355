#include "perf/pyroload_reply.h"

/* RFC 9112 2.1: status line, field lines, an empty line, then the body of section 6. */
enum state {
    STATUS_LINE,
    FIELD_LINE,
    BODY_LENGTH,
    BODY_EOF,
    CHUNK_SIZE,
    CHUNK_DATA,
    CHUNK_END,
    TRAILER,
};

enum verdict { VERDICT_MORE, VERDICT_DONE, VERDICT_BAD };

void
pyroload_reply_reset(struct pyroload_reply *r)
{
    r->state = STATUS_LINE;
    r->chunked = false;
    r->close = false;
    r->has_length = false;
    r->status = 0;
    r->line_len = 0;
    r->body_left = 0;
    r->body_kept = 0;
}

bool
pyroload_reply_begun(const struct pyroload_reply *r)
{
    return r->state != STATUS_LINE || r->line_len > 0;
}

bool
pyroload_reply_eof(const struct pyroload_reply *r)
{
    return r->state == BODY_EOF;
}

static bool
parse_number(struct pw_slice s, uint32_t base, uint64_t *v)
{
    *v = 0;
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = pw_ascii_lower(s.ptr[i]);
        uint32_t digit = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
                         : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
                                                : 99;

        if (digit >= base || __builtin_mul_overflow(*v, base, v)) {
            return false;
        }
        *v += digit;
    }
    return s.len > 0;
}

static enum verdict
status_line(struct pyroload_reply *r, struct pw_slice line)
{
    uint64_t v;

    if (line.len < 12 || memcmp(line.ptr, "HTTP/1.", 7) != 0 || line.ptr[8] != ' ' ||
        !parse_number(pw_slice(line.ptr + 9, 3), 10, &v)) {
        return VERDICT_BAD;
    }
    r->status = (uint16_t)v;
    r->close = line.ptr[7] == '0';
    r->state = FIELD_LINE;
    return VERDICT_MORE;
}

static struct pw_slice
trim(struct pw_slice s)
{
    while (s.len > 0 && (s.ptr[0] == ' ' || s.ptr[0] == '\t')) {
        s = pw_slice(s.ptr + 1, s.len - 1);
    }
    while (s.len > 0 && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t')) {
        s.len--;
    }
    return s;
}

static enum verdict
head_ends(struct pyroload_reply *r)
{
    if (r->status < 200) { /* 100 Continue: the answer comes after it */
        pyroload_reply_reset(r);
        return VERDICT_MORE;
    }
    if (r->status == 204 || r->status == 304) {
        return VERDICT_DONE;
    }
    if (r->chunked) {
        r->state = CHUNK_SIZE;
        return VERDICT_MORE;
    }
    if (!r->has_length) {
        r->state = BODY_EOF;
        r->close = true;
        return VERDICT_MORE;
    }
    r->state = BODY_LENGTH;
    return r->body_left == 0 ? VERDICT_DONE : VERDICT_MORE;
}

static enum verdict
field_line(struct pyroload_reply *r, struct pw_slice line)
{
    const uint8_t *colon = line.len == 0 ? NULL : memchr(line.ptr, ':', line.len);
    struct pw_slice name;
    struct pw_slice value;

    if (line.len == 0) {
        return head_ends(r);
    }
    if (colon == NULL) {
        return VERDICT_BAD;
    }
    name = pw_slice(line.ptr, (size_t)(colon - line.ptr));
    value = trim(pw_slice(colon + 1, line.len - name.len - 1));
    if (pw_slice_caseeq_str(name, "content-length")) {
        r->has_length = true;
        return parse_number(value, 10, &r->body_left) ? VERDICT_MORE : VERDICT_BAD;
    }
    if (pw_slice_caseeq_str(name, "transfer-encoding")) {
        r->chunked = pw_slice_caseeq_str(value, "chunked");
        return r->chunked ? VERDICT_MORE : VERDICT_BAD;
    }
    if (pw_slice_caseeq_str(name, "connection")) {
        r->close = pw_slice_caseeq_str(value, "close");
    }
    return VERDICT_MORE;
}

static enum verdict
chunk_size(struct pyroload_reply *r, struct pw_slice line)
{
    const uint8_t *semicolon = line.len == 0 ? NULL : memchr(line.ptr, ';', line.len);

    if (semicolon != NULL) {
        line.len = (size_t)(semicolon - line.ptr);
    }
    if (!parse_number(trim(line), 16, &r->body_left)) {
        return VERDICT_BAD;
    }
    r->state = r->body_left == 0 ? TRAILER : CHUNK_DATA;
    return VERDICT_MORE;
}

static enum verdict
take_line(struct pyroload_reply *r, struct pw_slice line)
{
    switch ((enum state)r->state) {
    case STATUS_LINE:
        return status_line(r, line);
    case FIELD_LINE:
        return field_line(r, line);
    case CHUNK_SIZE:
        return chunk_size(r, line);
    case CHUNK_END:
        r->state = CHUNK_SIZE;
        return line.len == 0 ? VERDICT_MORE : VERDICT_BAD;
    case TRAILER:
        return line.len == 0 ? VERDICT_DONE : VERDICT_MORE;
    case BODY_LENGTH:
    case BODY_EOF:
    case CHUNK_DATA:
        break;
    }
    return VERDICT_BAD;
}

/* Up to the next line feed; bytes used. *done says whether the line is whole. */
static size_t
gather_line(struct pyroload_reply *r, struct pw_slice s, bool *done)
{
    const uint8_t *lf = memchr(s.ptr, '\n', s.len);
    size_t n = lf == NULL ? s.len : (size_t)(lf - s.ptr);
    size_t room = PYROLOAD_LINE_MAX - r->line_len;
    size_t keep = n < room ? n : room;

    memcpy(r->line + r->line_len, s.ptr, keep);
    r->line_len += (uint32_t)keep;
    *done = lf != NULL;
    return n + (lf != NULL);
}

/* Body bytes that are here; bytes used. */
static size_t
gather_body(struct pyroload_reply *r, struct pw_slice s)
{
    size_t n = r->state == BODY_EOF || s.len < r->body_left ? s.len : (size_t)r->body_left;
    size_t room = PYROLOAD_BODY_KEPT - r->body_kept;
    size_t keep = n < room ? n : room;

    memcpy(r->body + r->body_kept, s.ptr, keep);
    r->body_kept += (uint32_t)keep;
    if (r->state != BODY_EOF) {
        r->body_left -= n;
    }
    return n;
}

static enum verdict
take_some(struct pyroload_reply *r, struct pw_slice s, size_t *used)
{
    bool whole;

    if (r->state == BODY_LENGTH || r->state == BODY_EOF || r->state == CHUNK_DATA) {
        *used = gather_body(r, s);
        if (r->state == BODY_EOF || r->body_left > 0) {
            return VERDICT_MORE;
        }
        if (r->state == BODY_LENGTH) {
            return VERDICT_DONE;
        }
        r->state = CHUNK_END;
        return VERDICT_MORE;
    }
    *used = gather_line(r, s, &whole);
    if (!whole) {
        return VERDICT_MORE;
    }

    struct pw_slice line = pw_slice(r->line, r->line_len);

    if (line.len > 0 && line.ptr[line.len - 1] == '\r') {
        line.len--;
    }
    r->line_len = 0;
    return take_line(r, line);
}

int64_t
pyroload_reply_feed(struct pyroload_reply *r, struct pw_slice s)
{
    size_t at = 0;

    while (at < s.len) {
        size_t used;
        enum verdict v = take_some(r, pw_slice(s.ptr + at, s.len - at), &used);

        at += used;
        if (v != VERDICT_MORE) {
            return v == VERDICT_DONE ? (int64_t)at : PW_PARSE_BAD;
        }
    }
    return PW_PARSE_MORE;
}
