#include "distributor/multipart.h"

#include "base/fiber.h"

enum { LOOK_BYTES = 256 << 10 }; /* searched between checkpoints */

static bool
is_space(uint8_t c)
{
    return c == ' ' || c == '\t';
}

static struct pw_slice
advance(struct pw_slice s, size_t n)
{
    return pw_slice(s.ptr + n, s.len - n);
}

static struct pw_slice
skip_space(struct pw_slice s)
{
    while (s.len != 0 && is_space(s.ptr[0])) {
        s = advance(s, 1);
    }
    return s;
}

/* A token or a quoted string (backslash escapes) at *s, copied to out; false when it is neither or
 * does not fit. */
static bool
read_value(struct pw_slice *s, uint8_t *out, size_t cap, size_t *len)
{
    size_t n = 0;
    size_t i = 0;
    bool quoted = s->len != 0 && s->ptr[0] == '"';
    bool closed = !quoted;

    for (i = quoted ? 1 : 0; i < s->len; i++) {
        uint8_t c = s->ptr[i];

        if (quoted && c == '"') {
            closed = true;
            i++;
            break;
        }
        if (!quoted && (c == ';' || is_space(c))) {
            break;
        }
        if (quoted && c == '\\' && i + 1 < s->len) {
            c = s->ptr[++i];
        }
        if (n == cap) {
            return false;
        }
        out[n++] = c;
    }
    *s = advance(*s, i);
    *len = n;
    return closed;
}

/* Value of parameter `key` of a header such as `form-data; name="x"; filename="y"`; false when absent
 * or malformed. */
static bool
header_param(struct pw_slice header, const char *key, uint8_t *out, size_t cap, size_t *len)
{
    const uint8_t *semi = memchr(header.ptr, ';', header.len);
    struct pw_slice s;

    if (semi == NULL) {
        return false;
    }
    s = pw_slice(semi, header.len - (size_t)(semi - header.ptr));
    while (s.len != 0 && s.ptr[0] == ';') { /* one parameter a turn */
        struct pw_slice name;
        size_t n = 0;

        s = skip_space(advance(s, 1));
        while (n < s.len && s.ptr[n] != '=' && s.ptr[n] != ';') {
            n++;
        }
        name = pw_slice(s.ptr, n);
        if (n == s.len || s.ptr[n] != '=') {
            s = advance(s, n);
            continue;
        }
        s = advance(s, n + 1);
        if (!read_value(&s, out, cap, len)) {
            return false;
        }
        if (pw_slice_caseeq_str(name, key)) {
            return true;
        }
        s = skip_space(s);
    }
    return false;
}

int
pw_multipart_init(struct pw_multipart *m, struct pw_slice content_type, struct pw_slice body,
                  struct pw_fiber *fiber)
{
    size_t n;

    *m = (struct pw_multipart){.body = body, .fiber = fiber};
    memcpy(m->delim, "\r\n--", 4);
    if (content_type.len == 0 ||
        !header_param(content_type, "boundary", m->delim + 4, PW_MULTIPART_BOUNDARY_MAX, &n) ||
        n == 0) {
        return PW_EINVAL;
    }
    m->delim_len = n + 4;
    return 0;
}

/* memmem with checkpoints: looks overlap by what would be cut. */
static const uint8_t *
find(struct pw_fiber *fiber, struct pw_slice in, const uint8_t *what, size_t len)
{
    while (in.len > LOOK_BYTES + len) {
        const uint8_t *at = memmem(in.ptr, LOOK_BYTES + len, what, len);

        if (at != NULL) {
            return at;
        }
        in = advance(in, LOOK_BYTES);
        pw_fiber_pause(fiber);
    }
    return in.len == 0 ? NULL : memmem(in.ptr, in.len, what, len);
}

/* The line at the start of what is left with its LF; all of it when none comes. */
static struct pw_slice
read_line(const struct pw_multipart *m, bool *complete)
{
    struct pw_slice s = m->body;
    const uint8_t *lf = find(m->fiber, s, (const uint8_t *)"\n", 1);

    *complete = lf != NULL;
    return lf == NULL ? s : pw_slice(s.ptr, (size_t)(lf - s.ptr) + 1);
}

/* line = "--" boundary, then `tail` ("" or "--"), then white space. */
static bool
is_boundary(const struct pw_multipart *m, struct pw_slice line, const char *tail)
{
    size_t n = m->delim_len - 2;
    size_t t = strlen(tail);

    if (line.len < n + t || memcmp(line.ptr, m->delim + 2, n) != 0 ||
        memcmp(line.ptr + n, tail, t) != 0) {
        return false;
    }
    for (size_t i = n + t; i < line.len; i++) {
        if (!is_space(line.ptr[i]) && line.ptr[i] != '\r' && line.ptr[i] != '\n') {
            return false;
        }
    }
    return true;
}

/* Content-Disposition of the part; other headers do not matter here. */
static void
take_header(struct pw_multipart_part *part, struct pw_slice line)
{
    static const char want[] = "content-disposition:";
    uint8_t file[PW_MULTIPART_NAME_MAX];
    size_t n;

    if (line.len < sizeof(want) - 1 ||
        !pw_slice_caseeq_str(pw_slice(line.ptr, sizeof(want) - 1), want)) {
        return;
    }
    while (line.len != 0 && (line.ptr[line.len - 1] == '\n' || line.ptr[line.len - 1] == '\r')) {
        line.len--;
    }
    line = skip_space(advance(line, sizeof(want) - 1));
    if (line.len < 9 || !pw_slice_caseeq_str(pw_slice(line.ptr, 9), "form-data")) {
        return;
    }
    if (header_param(line, "name", part->name_buf, sizeof(part->name_buf), &n)) {
        part->name = pw_slice(part->name_buf, n);
    }
    part->file = (header_param(line, "filename", file, sizeof(file), &n) ||
                  header_param(line, "filename*", file, sizeof(file), &n)) &&
                 n != 0;
}

/* Header lines up to the empty one. 1; 0 when the body ends inside them (which ends the form without
 * an error, write-path.md 1.3.2); PW_EINVAL for a line without a colon. */
static int
read_headers(struct pw_multipart *m, struct pw_multipart_part *part, struct pw_text *err)
{
    while (true) { /* at least one byte a turn, or return */
        bool complete;
        struct pw_slice line = read_line(m, &complete);

        if (!complete) {
            return 0;
        }
        m->body = advance(m->body, line.len);
        pw_fiber_pause(m->fiber);
        if (line.len == 1 || (line.len == 2 && line.ptr[0] == '\r')) {
            return 1;
        }
        if (!is_space(line.ptr[0]) && memchr(line.ptr, ':', line.len) == NULL) {
            while (line.len != 0 &&
                   (line.ptr[line.len - 1] == '\n' || line.ptr[line.len - 1] == '\r')) {
                line.len--;
            }
            pw_text_str(err, "malformed MIME header line: ");
            pw_text_slice(err, line);
            return PW_EINVAL;
        }
        take_header(part, line);
    }
}

/* True when what follows the delimiter makes it one: white space, a line end, "--", or the end. */
static bool
delimits(const struct pw_multipart *m, struct pw_slice rest)
{
    if (rest.len >= 2 && rest.ptr[0] == '-' && rest.ptr[1] == '-') {
        return true;
    }
    (void)m;
    return rest.len == 0 || is_space(rest.ptr[0]) || rest.ptr[0] == '\r' || rest.ptr[0] == '\n';
}

/* The data of the part: up to the delimiter (RFC 2046: the line break before it belongs to it). */
static int
read_data(struct pw_multipart *m, struct pw_multipart_part *part, struct pw_text *err)
{
    const uint8_t *delim = m->delim + (m->bare_lf ? 1 : 0);
    size_t len = m->delim_len - (m->bare_lf ? 1 : 0);
    size_t from = 0;

    /* An empty part: the delimiter follows the blank line at once, without its own line break. */
    if (m->body.len >= m->delim_len - 2 &&
        memcmp(m->body.ptr, m->delim + 2, m->delim_len - 2) == 0 &&
        delimits(m, advance(m->body, m->delim_len - 2))) {
        part->data = pw_slice(m->body.ptr, 0);
        return 1;
    }
    while (from < m->body.len) { /* one candidate a turn */
        const uint8_t *at = find(m->fiber, advance(m->body, from), delim, len);
        size_t off;

        if (at == NULL) {
            break;
        }
        off = (size_t)(at - m->body.ptr);
        if (delimits(m, advance(m->body, off + len))) {
            part->data = pw_slice(m->body.ptr, off);
            m->body = advance(m->body, off + (m->bare_lf ? 1 : 2));
            return 1;
        }
        from = off + 1;
        pw_fiber_pause(m->fiber);
    }
    pw_text_str(err, "unexpected EOF");
    return PW_EINVAL;
}

static int
unexpected_line(struct pw_slice line, struct pw_text *err)
{
    pw_text_str(err, "multipart: expecting a new Part; got line ");
    pw_text_go_quoted(err, line);
    return PW_EINVAL;
}

int
pw_multipart_next(struct pw_multipart *m, struct pw_multipart_part *part, struct pw_text *err)
{
    part->name = (struct pw_slice){0};
    part->file = false;
    part->data = (struct pw_slice){0};
    while (true) { /* one line of preamble a turn */
        bool complete;
        struct pw_slice line = read_line(m, &complete);

        if (is_boundary(m, line, "--")) {
            return 0;
        }
        if (!complete) {
            pw_text_str(err, "multipart: NextPart: EOF");
            return PW_EINVAL;
        }
        m->body = advance(m->body, line.len);
        pw_fiber_pause(m->fiber);
        if (is_boundary(m, line, "")) {
            int rc;

            m->bare_lf = !m->any ? line.ptr[line.len - 1] == '\n' &&
                                       (line.len < 2 || line.ptr[line.len - 2] != '\r')
                                 : m->bare_lf;
            m->any = true;
            rc = read_headers(m, part, err);
            return rc == 1 ? read_data(m, part, err) : rc;
        }
        if (m->any) {
            return unexpected_line(line, err);
        }
    }
}
