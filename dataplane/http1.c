/* dataplane/http1.c - request heads, in the order of RFC 9112.
 *
 * How the head is read: one scan with 16-byte compares stops at control bytes only. Those are the
 * CRs that end lines, and everything that is not allowed anywhere in a head. Each line is then cut
 * at its colon. Faults inside header lines are reported when the head is complete, faults of the
 * request line and control bytes at once, so that the outcome is the same however the input is cut.
 */
#include "dataplane/http1.h"
#include "dataplane/http1_chars.h"

#include <emmintrin.h>

static const struct pw_http_drop_info drop_info[PW_HTTP_DROP_COUNT] = {
    [PW_HTTP_DROP_NONE] = {"none", 0, ""},
#define PW_HTTP_DROP(sym, name, status, text) [PW_HTTP_DROP_##sym] = {name, status, text},
#include "dataplane/http_drop.def"
#undef PW_HTTP_DROP
};

const struct pw_http_drop_info *
pw_http_drop_info(enum pw_http_drop drop)
{
    return &drop_info[drop];
}

/* ---- Characters -------------------------------------------------------------------------- */

/* clang-format off */
#define T PW_HTTP1_CH_TCHAR
#define H PW_HTTP1_CH_HOST
#define X PW_HTTP1_CH_HEX
const uint8_t pw_http1_ch[256] = {
    ['!'] = T | H, ['#'] = T, ['$'] = T | H, ['%'] = T | H, ['&'] = T | H, ['\''] = T | H,
    ['('] = H, [')'] = H, ['*'] = T | H, ['+'] = T | H, [','] = H, ['-'] = T | H, ['.'] = T | H,
    [':'] = H, [';'] = H, ['='] = H, ['['] = H, [']'] = H, ['^'] = T, ['_'] = T | H, ['`'] = T,
    ['|'] = T, ['~'] = T | H,
    ['0' ... '9'] = T | H | X, ['A' ... 'F'] = T | H | X, ['G' ... 'Z'] = T | H,
    ['a' ... 'f'] = T | H | X, ['g' ... 'z'] = T | H,
};
#undef T
#undef H
#undef X
/* clang-format on */

static bool
all_of(struct pw_slice s, uint8_t cls)
{
    uint8_t acc = cls;

    for (size_t i = 0; i < s.len; i++) {
        acc &= pw_http1_ch[s.ptr[i]];
    }
    return acc != 0;
}

size_t
pw_http1_find_control_scalar(const uint8_t *p, size_t n)
{
    size_t i = 0;

    while (i < n && !pw_http1_is_control(p[i])) {
        i++;
    }
    return i;
}

static uint32_t
control_mask16(const uint8_t *p)
{
    __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
    /* min(v, 0x1f) == v finds unsigned v <= 0x1f; there is no unsigned compare. */
    __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v);
    __m128i tab = _mm_cmpeq_epi8(v, _mm_set1_epi8('\t'));
    __m128i del = _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f));

    return (uint32_t)_mm_movemask_epi8(_mm_or_si128(_mm_andnot_si128(tab, low), del));
}

size_t
pw_http1_find_control(const uint8_t *p, size_t n)
{
    size_t i = 0;

    for (; n - i >= 16; i += 16) {
        uint32_t mask = control_mask16(p + i);

        if (mask != 0) {
            return i + (size_t)__builtin_ctz(mask);
        }
    }
    return i + pw_http1_find_control_scalar(p + i, n - i);
}

/* ---- 3 Request line ---------------------------------------------------------------------- */

static enum pw_http_method
method_of(struct pw_slice m)
{
    static const struct {
        char name[8];
        enum pw_http_method method;
    } known[] = {
        {"GET", PW_HTTP_METHOD_GET},       {"POST", PW_HTTP_METHOD_POST},
        {"HEAD", PW_HTTP_METHOD_HEAD},     {"PUT", PW_HTTP_METHOD_PUT},
        {"DELETE", PW_HTTP_METHOD_DELETE}, {"OPTIONS", PW_HTTP_METHOD_OPTIONS},
        {"PATCH", PW_HTTP_METHOD_PATCH},
    };
    char name[8] = {0};

    if (m.len < sizeof(name)) {
        memcpy(name, m.ptr, m.len);
        for (size_t i = 0; i < PW_ARRAY_LEN(known); i++) {
            if (memcmp(name, known[i].name, sizeof(name)) == 0) {
                return known[i].method;
            }
        }
    }
    return PW_HTTP_METHOD_OTHER; /* methods are case-sensitive (RFC 9110 9.1) */
}

static void
split_query(struct pw_http1_head *h, struct pw_slice s)
{
    const uint8_t *q = memchr(s.ptr, '?', s.len);

    h->path = s;
    h->query = pw_slice(NULL, 0);
    if (q != NULL) {
        h->path = pw_slice(s.ptr, (size_t)(q - s.ptr));
        h->query = pw_slice(q + 1, s.len - h->path.len - 1);
    }
}

/* 3.2.2 absolute-form: http://authority[/path][?query]. The authority is checked as a Host would
 * be; it takes precedence over Host, but no route depends on either. */
static bool
split_absolute(struct pw_http1_head *h, struct pw_slice t)
{
    size_t scheme = t.len > 7 && pw_slice_caseeq_str(pw_slice(t.ptr, 7), "http://")    ? 7
                    : t.len > 8 && pw_slice_caseeq_str(pw_slice(t.ptr, 8), "https://") ? 8
                                                                                       : 0;
    size_t end = scheme;

    while (end < t.len && t.ptr[end] != '/' && t.ptr[end] != '?') {
        end++;
    }
    if (scheme == 0 || end == scheme ||
        !all_of(pw_slice(t.ptr + scheme, end - scheme), PW_HTTP1_CH_HOST)) {
        return false;
    }
    split_query(h, pw_slice(t.ptr + end, t.len - end));
    if (h->path.len == 0) {
        h->path = PW_SLICE_LIT("/");
    }
    return true;
}

/* Bytes of the target: control bytes never get here and SP ends it. Everything else is let through
 * as stock does (Go's servers take raw UTF-8 and braces in a query, and SDKs have sent them). */
static enum pw_http_drop
parse_target(struct pw_http1_head *h, struct pw_slice t)
{
    h->target = t;
    if (t.len > PW_HTTP_TARGET_BYTES_MAX) {
        return PW_HTTP_DROP_TARGET_TOO_LONG;
    }
    if (t.len == 0 || memchr(t.ptr, '\t', t.len) != NULL) {
        return PW_HTTP_DROP_TARGET_BAD;
    }
    if (t.ptr[0] == '/') {
        split_query(h, t);
        return PW_HTTP_DROP_NONE;
    }
    if (h->method == PW_HTTP_METHOD_OPTIONS && pw_slice_eq_str(t, "*")) {
        split_query(h, t);
        return PW_HTTP_DROP_NONE;
    }
    return split_absolute(h, t) ? PW_HTTP_DROP_NONE : PW_HTTP_DROP_TARGET_BAD;
}

/* 2.3 HTTP-name "/" DIGIT "." DIGIT */
static enum pw_http_drop
parse_version(struct pw_http1_head *h, struct pw_slice v)
{
    if (v.len != 8 || memcmp(v.ptr, "HTTP/", 5) != 0 || v.ptr[6] != '.' || v.ptr[5] < '0' ||
        v.ptr[5] > '9' || v.ptr[7] < '0' || v.ptr[7] > '9') {
        return PW_HTTP_DROP_VERSION_BAD;
    }
    if (v.ptr[5] != '1' || v.ptr[7] > '1') {
        return PW_HTTP_DROP_VERSION_UNSUPPORTED;
    }
    h->minor_version = (uint8_t)(v.ptr[7] - '0');
    return PW_HTTP_DROP_NONE;
}

/* request-line = method SP request-target SP HTTP-version; exactly one SP each. */
static enum pw_http_drop
parse_request_line(struct pw_http1_head *h, const uint8_t *p, size_t n)
{
    const uint8_t *sp1 = memchr(p, ' ', n);
    const uint8_t *sp2 = sp1 == NULL ? NULL : memchr(sp1 + 1, ' ', n - (size_t)(sp1 + 1 - p));
    struct pw_slice method;
    struct pw_slice version;
    enum pw_http_drop drop;

    if (sp2 == NULL) {
        return PW_HTTP_DROP_REQUEST_LINE_BAD;
    }
    method = pw_slice(p, (size_t)(sp1 - p));
    version = pw_slice(sp2 + 1, n - (size_t)(sp2 + 1 - p));
    if (method.len == 0 || !all_of(method, PW_HTTP1_CH_TCHAR)) {
        return PW_HTTP_DROP_METHOD_BAD;
    }
    h->method = method_of(method);
    drop = parse_version(h, version);
    if (drop != PW_HTTP_DROP_NONE) {
        return drop;
    }
    if (pw_slice_eq_str(method, "CONNECT")) {
        return PW_HTTP_DROP_METHOD_UNSUPPORTED;
    }
    return parse_target(h, pw_slice(sp1 + 1, (size_t)(sp2 - sp1 - 1)));
}

/* ---- 5 Field syntax ---------------------------------------------------------------------- */

static struct pw_slice
trim_ows(const uint8_t *p, const uint8_t *end)
{
    while (p < end && (*p == ' ' || *p == '\t')) {
        p++;
    }
    while (end > p && (end[-1] == ' ' || end[-1] == '\t')) {
        end--;
    }
    return pw_slice(p, (size_t)(end - p));
}

/* One element of a comma-separated list, trimmed; advances *rest. False at the end. */
static bool
next_list_item(struct pw_slice *rest, struct pw_slice *item)
{
    const uint8_t *comma;
    size_t n;

    if (rest->ptr == NULL) {
        return false;
    }
    comma = memchr(rest->ptr, ',', rest->len);
    n = comma == NULL ? rest->len : (size_t)(comma - rest->ptr);
    *item = trim_ows(rest->ptr, rest->ptr + n);
    *rest = comma == NULL ? pw_slice(NULL, 0) : pw_slice(comma + 1, rest->len - n - 1);
    return true;
}

/* What is gathered over the header lines and judged at the end. */
struct framing {
    uint32_t hosts;
    uint32_t codings;
    uint32_t lengths;
    bool connection_close;
    bool connection_keep_alive;
};

/* RFC 9112 6.1: chunked alone is what we decode. A list of valid names that we do not is 501; where
 * chunked is repeated or not last the length is ambiguous. */
static enum pw_http_drop
read_transfer_encoding(struct pw_http1_head *h, struct framing *f, struct pw_slice v)
{
    if (f->codings++ != 0) {
        return PW_HTTP_DROP_CODING_BAD;
    }
    if (pw_slice_caseeq_str(v, "chunked")) {
        h->chunked = true;
        return PW_HTTP_DROP_NONE;
    }
    struct pw_slice item;
    bool chunked_before = false;

    while (next_list_item(&v, &item)) {
        if (item.len == 0 || !all_of(item, PW_HTTP1_CH_TCHAR) || chunked_before) {
            return PW_HTTP_DROP_CODING_BAD;
        }
        chunked_before = pw_slice_caseeq_str(item, "chunked");
    }
    return PW_HTTP_DROP_CODING_UNKNOWN;
}

/* RFC 9110 8.6: 1*DIGIT. Lists and repetitions are refused even when equal, as llhttp does. */
static enum pw_http_drop
read_content_length(struct pw_http1_head *h, struct framing *f, struct pw_slice v)
{
    uint64_t n = 0;

    if (f->lengths++ != 0) {
        return PW_HTTP_DROP_LENGTH_DUPLICATE;
    }
    if (v.len == 0 || v.len > 18) {
        return PW_HTTP_DROP_LENGTH_BAD;
    }
    for (size_t i = 0; i < v.len; i++) {
        if (v.ptr[i] < '0' || v.ptr[i] > '9') {
            return PW_HTTP_DROP_LENGTH_BAD;
        }
        n = n * 10 + (uint64_t)(v.ptr[i] - '0');
    }
    h->has_length = true;
    h->content_length = n;
    return PW_HTTP_DROP_NONE;
}

static void
read_connection(struct framing *f, struct pw_slice v)
{
    struct pw_slice item;

    while (next_list_item(&v, &item)) {
        f->connection_close |= pw_slice_caseeq_str(item, "close");
        f->connection_keep_alive |= pw_slice_caseeq_str(item, "keep-alive");
    }
}

/* The fields that frame the message; the rest is the application's. */
static enum pw_http_drop
note_field(struct pw_http1_head *h, struct framing *f, const struct pw_http_header *field)
{
    switch (field->name.len) {
    case 4:
        if (pw_slice_caseeq_str(field->name, "host")) {
            if (f->hosts++ != 0) {
                return PW_HTTP_DROP_HOST_DUPLICATE;
            }
            return all_of(field->value, PW_HTTP1_CH_HOST) ? PW_HTTP_DROP_NONE
                                                          : PW_HTTP_DROP_HOST_BAD;
        }
        break;
    case 6:
        if (pw_slice_caseeq_str(field->name, "expect")) {
            h->expect_continue = pw_slice_caseeq_str(field->value, "100-continue");
            h->expect_unknown |= !h->expect_continue;
        }
        break;
    case 10:
        if (pw_slice_caseeq_str(field->name, "connection")) {
            read_connection(f, field->value);
        }
        break;
    case 14:
        if (pw_slice_caseeq_str(field->name, "content-length")) {
            return read_content_length(h, f, field->value);
        }
        break;
    case 17:
        if (pw_slice_caseeq_str(field->name, "transfer-encoding")) {
            return read_transfer_encoding(h, f, field->value);
        }
        break;
    default:
        break;
    }
    return PW_HTTP_DROP_NONE;
}

/* field-line = field-name ":" OWS field-value OWS. n > 0. */
static enum pw_http_drop
parse_field_line(struct pw_http1_head *h, struct framing *f, const uint8_t *p, size_t n)
{
    size_t colon = 0;

    if (p[0] == ' ' || p[0] == '\t') {
        return PW_HTTP_DROP_OBS_FOLD; /* 5.2; also white space before the first field, 2.2 */
    }
    while (colon < n && (pw_http1_ch[p[colon]] & PW_HTTP1_CH_TCHAR) != 0) {
        colon++;
    }
    if (colon == n || p[colon] != ':' || colon == 0) {
        return colon < n && colon > 0 && (p[colon] == ' ' || p[colon] == '\t')
                   ? PW_HTTP_DROP_SPACE_BEFORE_COLON /* 5.1 */
                   : PW_HTTP_DROP_FIELD_NAME_BAD;
    }
    if (h->headers_count == PW_HTTP_HEADERS_MAX) {
        return PW_HTTP_DROP_TOO_MANY_FIELDS;
    }
    struct pw_http_header *field = &h->headers[h->headers_count++];

    field->name = pw_slice(p, colon);
    field->value = trim_ows(p + colon + 1, p + n);
    return note_field(h, f, field);
}

/* ---- 6 Message body: what the fields together mean --------------------------------------- */

static enum pw_http_drop
judge_head(struct pw_http1_head *h, const struct framing *f)
{
    h->keep_alive =
        !f->connection_close && (h->minor_version == 1 || f->connection_keep_alive); /* 9.3 */
    if (h->minor_version == 1 && f->hosts == 0) {
        return PW_HTTP_DROP_HOST_MISSING; /* 3.2 */
    }
    if (f->codings != 0 && f->lengths != 0) {
        return PW_HTTP_DROP_LENGTH_AND_CODING; /* 6.3 item 3 */
    }
    if (f->codings != 0 && h->minor_version == 0) {
        return PW_HTTP_DROP_CODING_IN_1_0; /* 6.1 */
    }
    if (h->minor_version == 0) {
        h->expect_continue = false; /* RFC 9110 10.1.1 */
        h->expect_unknown = false;
    }
    return PW_HTTP_DROP_NONE;
}

/* ---- The head as a whole ----------------------------------------------------------------- */

enum line_kind { LINE_BAD, LINE_MORE, LINE_END };

/* Looks for the CRLF of the line at r->line. On LINE_END *end is the offset of its CR. */
static enum line_kind
find_line_end(struct pw_http1_resume *r, const uint8_t *p, size_t n, size_t *end,
              enum pw_http_drop *drop)
{
    size_t i = r->scanned + pw_http1_find_control(p + r->scanned, n - r->scanned);

    r->scanned = (uint16_t)i;
    if (i == n || (p[i] == '\r' && i + 1 == n)) {
        return LINE_MORE;
    }
    if (p[i] == '\r' && p[i + 1] == '\n') {
        *end = i;
        return LINE_END;
    }
    *drop = p[i] == '\n'   ? PW_HTTP_DROP_BARE_LF
            : p[i] == '\r' ? PW_HTTP_DROP_BARE_CR
                           : PW_HTTP_DROP_CONTROL_BYTE;
    return LINE_BAD;
}

/* The longest request line worth waiting for: method, version and spaces beside the target. */
enum { REQUEST_LINE_BYTES_MAX = PW_HTTP_TARGET_BYTES_MAX + 64 };
static_assert(PW_HTTP_HEAD_BYTES_MAX <= UINT16_MAX, "offsets of pw_http1_resume");

static int
bad(struct pw_http1_head *h, enum pw_http_drop drop)
{
    h->drop = drop;
    return PW_PARSE_BAD;
}

static void
reset_head(struct pw_http1_head *h)
{
    h->method = PW_HTTP_METHOD_OTHER;
    h->drop = PW_HTTP_DROP_NONE;
    h->minor_version = 1;
    h->chunked = false;
    h->has_length = false;
    h->keep_alive = false;
    h->expect_continue = false;
    h->expect_unknown = false;
    h->content_length = 0;
    h->target = h->path = h->query = pw_slice(NULL, 0);
    h->headers_count = 0;
}

/* Walks lines from *r on. With `fields` it keeps what the header lines say, else it only looks for
 * the end (their slices would be lost when the bytes move before the next call). */
static int
walk_lines(struct pw_http1_head *h, const uint8_t *p, size_t n, struct pw_http1_resume *r,
           bool fields)
{
    struct framing f = {0};
    enum pw_http_drop later = PW_HTTP_DROP_NONE; /* first fault of a header line */
    enum pw_http_drop drop = PW_HTTP_DROP_NONE;
    size_t end;

    for (;;) {
        size_t cap = r->request_line_seen ? PW_HTTP_HEAD_BYTES_MAX : REQUEST_LINE_BYTES_MAX;
        enum line_kind kind = find_line_end(r, p, n < cap ? n : cap, &end, &drop);

        if (kind == LINE_BAD) {
            return bad(h, drop);
        }
        if (kind == LINE_MORE) {
            if (n < cap) {
                return PW_PARSE_MORE;
            }
            return bad(h, r->request_line_seen ? PW_HTTP_DROP_HEAD_TOO_LARGE
                                               : PW_HTTP_DROP_TARGET_TOO_LONG);
        }
        const uint8_t *line = p + r->line;
        size_t line_bytes = end - r->line;
        bool leading_empty_line = line_bytes == 0 && end == 0;

        r->line = r->scanned = (uint16_t)(end + 2);
        if (leading_empty_line) {
            continue;
        }
        if (!r->request_line_seen) {
            drop = parse_request_line(h, line, line_bytes);
            if (drop != PW_HTTP_DROP_NONE) {
                return bad(h, drop);
            }
            r->request_line_seen = true;
        } else if (line_bytes == 0) {
            break;
        } else if (fields && later == PW_HTTP_DROP_NONE) {
            later = parse_field_line(h, &f, line, line_bytes);
        }
    }
    if (fields && later == PW_HTTP_DROP_NONE) {
        later = judge_head(h, &f);
    }
    return later != PW_HTTP_DROP_NONE ? bad(h, later) : (int)(end + 2);
}

int
pw_http1_head_parse(struct pw_http1_head *h, const uint8_t *p, size_t n, struct pw_http1_resume *r)
{
    bool fresh = r->scanned == 0;

    reset_head(h);
    if (!fresh) {
        int bytes = walk_lines(h, p, n, r, false);

        if (bytes < 0) {
            return bytes;
        }
        n = (size_t)bytes;
        *r = (struct pw_http1_resume){0};
        reset_head(h);
    }
    return walk_lines(h, p, n, r, true);
}
