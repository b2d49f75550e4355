#include "distributor/json_read.h"

#include "base/utf8.h"

void
pw_json_read_init(struct pw_json_read *j, struct pw_slice s, struct pw_fiber *fiber)
{
    *j = (struct pw_json_read){.p = s.ptr, .start = s.ptr, .end = s.ptr + s.len, .fiber = fiber};
}

static bool
fail(struct pw_json_read *j, const char *why)
{
    if (j->err == NULL) {
        j->err = why;
    }
    return false;
}

static void
skip_space(struct pw_json_read *j)
{
    while (j->p < j->end && (*j->p == ' ' || *j->p == '\t' || *j->p == '\n' || *j->p == '\r')) {
        j->p++;
        PW_FIBER_PAUSE_EVERY(j->fiber, (size_t)(j->p - j->start), 8192);
    }
}

uint8_t
pw_json_read_peek(struct pw_json_read *j)
{
    skip_space(j);
    return j->p < j->end ? *j->p : 0;
}

bool
pw_json_read_char(struct pw_json_read *j, char c)
{
    if (j->err != NULL) {
        return false;
    }
    if (pw_json_read_peek(j) != (uint8_t)c) {
        return fail(j, j->p == j->end ? "unexpected end of JSON input" : "unexpected token");
    }
    j->p++;
    return true;
}

bool
pw_json_read_string(struct pw_json_read *j, struct pw_json_string *s)
{
    const uint8_t *from;

    if (!pw_json_read_char(j, '"')) {
        return false;
    }
    from = j->p;
    s->escaped = false;
    for (uint32_t i = 0; j->p < j->end && *j->p != '"'; j->p++, i++) {
        PW_FIBER_PAUSE_EVERY(j->fiber, i, 8192);
        if (*j->p < 0x20) {
            return fail(j, "invalid character in string literal");
        }
        if (*j->p == '\\') {
            s->escaped = true;
            j->p++;
            if (j->p == j->end) {
                break;
            }
            if (*j->p == 0 || strchr("\"\\/bfnrtu", *j->p) == NULL) {
                return fail(j, "invalid escape code in string");
            }
        }
    }
    if (j->p >= j->end) {
        return fail(j, "unexpected end of JSON input");
    }
    s->raw = pw_slice(from, (size_t)(j->p - from));
    j->p++;
    if (!pw_utf8_valid_paused(j->fiber, s->raw)) {
        return fail(j, "invalid UTF-8 in string");
    }
    return true;
}

static bool
read_word(struct pw_json_read *j, const char *word)
{
    size_t n = strlen(word);

    if ((size_t)(j->end - j->p) < n || memcmp(j->p, word, n) != 0) {
        return fail(j, "unexpected token");
    }
    j->p += n;
    return true;
}

bool
pw_json_read_null(struct pw_json_read *j)
{
    skip_space(j);
    return j->err == NULL && read_word(j, "null");
}

static size_t
skip_digits(struct pw_json_read *j)
{
    const uint8_t *from = j->p;

    while (j->p < j->end && *j->p >= '0' && *j->p <= '9') {
        j->p++;
        PW_FIBER_PAUSE_EVERY(j->fiber, (size_t)(j->p - from), 8192);
    }
    return (size_t)(j->p - from);
}

/* RFC 8259 6: [minus] int [frac] [exp]. */
static bool
read_number(struct pw_json_read *j)
{
    const uint8_t *from;
    size_t n;

    if (j->p < j->end && *j->p == '-') {
        j->p++;
    }
    from = j->p;
    n = skip_digits(j);
    if (n == 0 || (n > 1 && *from == '0')) {
        return fail(j, "unexpected token");
    }
    if (j->p < j->end && *j->p == '.') {
        j->p++;
        if (skip_digits(j) == 0) {
            return fail(j, "unexpected token");
        }
    }
    if (j->p < j->end && (*j->p == 'e' || *j->p == 'E')) {
        j->p++;
        if (j->p < j->end && (*j->p == '+' || *j->p == '-')) {
            j->p++;
        }
        if (skip_digits(j) == 0) {
            return fail(j, "unexpected token");
        }
    }
    return true;
}

static bool
read_scalar(struct pw_json_read *j, uint8_t c)
{
    struct pw_json_string s;

    switch (c) {
    case '"':
        return pw_json_read_string(j, &s);
    case 't':
        return read_word(j, "true");
    case 'f':
        return read_word(j, "false");
    case 'n':
        return read_word(j, "null");
    case 0:
        return fail(j, "unexpected end of JSON input");
    default:
        return read_number(j);
    }
}

static bool
read_key(struct pw_json_read *j)
{
    struct pw_json_string s;

    return pw_json_read_string(j, &s) && pw_json_read_char(j, ':');
}

/* One step into a value: opens a container (depth grows; an empty one closes at once) or reads a
 * scalar. *open tells whether a value inside is expected next. */
static bool
step_in(struct pw_json_read *j, uint64_t *is_object, uint32_t *depth, bool *open)
{
    uint8_t c = pw_json_read_peek(j);

    *open = false;
    if (c != '{' && c != '[') {
        return read_scalar(j, c);
    }
    j->p++;
    if (pw_json_read_peek(j) == (c == '{' ? '}' : ']')) {
        j->p++;
        return true;
    }
    if (*depth == PW_JSON_READ_DEPTH_MAX) {
        return fail(j, "exceeded max recursion depth");
    }
    *is_object = *is_object << 1 | (c == '{');
    (*depth)++;
    *open = true;
    return c != '{' || read_key(j);
}

bool
pw_json_read_skip(struct pw_json_read *j)
{
    uint64_t is_object = 0; /* bit 0: the innermost container */
    uint32_t depth = 0, turn = 0;
    bool open;

    if (j->err != NULL) {
        return false;
    }
    do { /* one value or one closing bracket a turn */
        PW_FIBER_PAUSE_EVERY(j->fiber, turn, 256);
        turn++;
        if (!step_in(j, &is_object, &depth, &open)) {
            return false;
        }
        while (!open && depth != 0) {
            bool object = is_object & 1;

            if (pw_json_read_more(j, object ? '}' : ']')) {
                open = true;
                if (object && !read_key(j)) {
                    return false;
                }
            } else if (j->err != NULL) {
                return false;
            } else {
                is_object >>= 1;
                depth--;
            }
        }
    } while (depth != 0);
    return true;
}

bool
pw_json_read_end(struct pw_json_read *j)
{
    skip_space(j);
    return j->err == NULL && (j->p == j->end || fail(j, "unexpected token"));
}

bool
pw_json_read_more(struct pw_json_read *j, char close)
{
    uint8_t c;

    if (j->err != NULL) {
        return false;
    }
    c = pw_json_read_peek(j);
    if (c == ',') {
        j->p++;
        return true;
    }
    (void)pw_json_read_char(j, close);
    return false;
}

static int32_t
hex4(const uint8_t *p, const uint8_t *end)
{
    int32_t v = 0;

    if (end - p < 4) {
        return -1;
    }
    for (int i = 0; i < 4; i++) {
        uint8_t c = pw_ascii_lower(p[i]);
        int32_t d = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;

        if (d < 0) {
            return -1;
        }
        v = v << 4 | d;
    }
    return v;
}

static size_t
put_utf8(uint8_t *out, uint32_t r)
{
    if (r < 0x80) {
        out[0] = (uint8_t)r;
        return 1;
    }
    if (r < 0x800) {
        out[0] = (uint8_t)(0xC0 | r >> 6);
        out[1] = (uint8_t)(0x80 | (r & 0x3F));
        return 2;
    }
    if (r < 0x10000) {
        out[0] = (uint8_t)(0xE0 | r >> 12);
        out[1] = (uint8_t)(0x80 | (r >> 6 & 0x3F));
        out[2] = (uint8_t)(0x80 | (r & 0x3F));
        return 3;
    }
    out[0] = (uint8_t)(0xF0 | r >> 18);
    out[1] = (uint8_t)(0x80 | (r >> 12 & 0x3F));
    out[2] = (uint8_t)(0x80 | (r >> 6 & 0x3F));
    out[3] = (uint8_t)(0x80 | (r & 0x3F));
    return 4;
}

/* \uXXXX at p (behind the u), with its low surrogate where it is a high one. Bytes used, 0 bad. */
static size_t
read_u(const uint8_t *p, const uint8_t *end, uint32_t *rune)
{
    int32_t hi = hex4(p, end);
    int32_t lo;

    if (hi < 0 || (hi >= 0xDC00 && hi <= 0xDFFF)) {
        return 0;
    }
    if (hi < 0xD800 || hi > 0xDBFF) {
        *rune = (uint32_t)hi;
        return 4;
    }
    if (end - p < 10 || p[4] != '\\' || p[5] != 'u') {
        return 0;
    }
    lo = hex4(p + 6, end);
    if (lo < 0xDC00 || lo > 0xDFFF) {
        return 0;
    }
    *rune = 0x10000 + (((uint32_t)hi - 0xD800) << 10) + ((uint32_t)lo - 0xDC00);
    return 10;
}

bool
pw_json_unescape(struct pw_json_read *j, struct pw_json_string s, struct pw_scratch *scratch,
                 struct pw_slice *out)
{
    static const char from[] = "\"\\/bfnrt";
    static const char to[] = "\"\\/\b\f\n\r\t";
    const uint8_t *end = s.raw.ptr + s.raw.len;
    uint8_t *buf;
    size_t n = 0;
    uint32_t turn = 0;

    if (!s.escaped) {
        *out = s.raw;
        return true;
    }
    buf = pw_scratch_alloc(scratch, s.raw.len); /* an escape is never shorter than its UTF-8 */
    if (buf == NULL) {
        return fail(j, "string too large");
    }
    for (const uint8_t *p = s.raw.ptr; p < end;) {
        const char *named;
        uint32_t rune;
        size_t used;

        PW_FIBER_PAUSE_EVERY(j->fiber, turn, 8192);
        turn++;
        if (*p != '\\') {
            buf[n++] = *p++;
            continue;
        }
        p++; /* the reader saw a byte behind every backslash */
        named = *p == 0 ? NULL : strchr(from, *p);
        if (named != NULL) {
            buf[n++] = (uint8_t)to[named - from];
            p++;
            continue;
        }
        used = *p == 'u' ? read_u(p + 1, end, &rune) : 0;
        if (used == 0) {
            return fail(j, "invalid escape code in string");
        }
        n += put_utf8(buf + n, rune);
        p += 1 + used;
    }
    *out = pw_slice(buf, n);
    return true;
}
