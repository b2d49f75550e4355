#include "query/selector_lex.h"

#include "base/utf8.h"

void
pw_lexer_put_position(struct pw_lexer *l, size_t pos)
{
    size_t line = 1, line_start = 0;

    if (l->in.len == 0) {
        pw_text_str(l->err, "unknown position: parse error: ");
        return;
    }
    for (size_t i = 0; i < pos && i < l->in.len; i++) {
        if (l->in.ptr[i] == '\n') {
            line++;
            line_start = i + 1;
        }
    }
    pw_text_printf(l->err, "%zu:%zu: parse error: ", line, pos - line_start + 1);
}

static void
put_rune_quoted(struct pw_text *t, struct pw_slice rest)
{
    size_t used = 1;

    if (rest.len > 0) {
        (void)pw_utf8_next(rest.ptr, rest.len, &used);
    }
    if (rest.len > 0 && rest.ptr[0] == '\'') {
        pw_text_str(t, "'\\''");
    } else if (rest.len > 0 && rest.ptr[0] < ' ') {
        pw_text_printf(t, "'\\x%02x'", rest.ptr[0]);
    } else {
        pw_text_char(t, '\'');
        pw_text_put(t, rest.ptr, rest.len > 0 ? used : 0);
        pw_text_char(t, '\'');
    }
}

static void
lex_error(struct pw_lexer *l, size_t pos, const char *text)
{
    l->tok.type = PW_TOKEN_ERROR;
    pw_lexer_put_position(l, pos);
    pw_text_str(l->err, text);
}

static void
lex_error_rune(struct pw_lexer *l, size_t pos, const char *text, size_t rune_pos)
{
    lex_error(l, pos, text);
    put_rune_quoted(l->err, pw_slice(l->in.ptr + rune_pos, l->in.len - rune_pos));
}

static bool
is_alpha(uint8_t c)
{
    return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool
is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static void
put_utf8(struct pw_text *t, uint32_t r)
{
    if (r < 0x80) {
        pw_text_char(t, (char)r);
    } else if (r < 0x800) {
        pw_text_char(t, (char)(0xC0 | (r >> 6)));
        pw_text_char(t, (char)(0x80 | (r & 0x3F)));
    } else if (r < 0x10000) {
        pw_text_char(t, (char)(0xE0 | (r >> 12)));
        pw_text_char(t, (char)(0x80 | ((r >> 6) & 0x3F)));
        pw_text_char(t, (char)(0x80 | (r & 0x3F)));
    } else {
        pw_text_char(t, (char)(0xF0 | (r >> 18)));
        pw_text_char(t, (char)(0x80 | ((r >> 12) & 0x3F)));
        pw_text_char(t, (char)(0x80 | ((r >> 6) & 0x3F)));
        pw_text_char(t, (char)(0x80 | (r & 0x3F)));
    }
}

static int
digit_value(uint8_t c, uint32_t base)
{
    int v = is_digit(c)              ? c - '0'
            : (c >= 'a' && c <= 'f') ? c - 'a' + 10
            : (c >= 'A' && c <= 'F') ? c - 'A' + 10
                                     : 99;

    return v < (int)base ? v : -1;
}

/* A numeric escape of n digits at l->pos. False: an error was written. */
static bool
lex_numeric_escape(struct pw_lexer *l, struct pw_text *out, uint32_t n, uint32_t base, uint32_t max)
{
    uint32_t x = 0;

    for (uint32_t i = 0; i < n; i++, l->pos++) {
        int d = l->pos < l->in.len ? digit_value(l->in.ptr[l->pos], base) : -1;

        if (d < 0) {
            lex_error(l, l->tok.pos,
                      l->pos >= l->in.len ? "escape sequence not terminated"
                                          : "illegal character in escape sequence");
            return false;
        }
        x = x * base + (uint32_t)d;
    }
    if (x > max || (n >= 4 && x >= 0xD800 && x < 0xE000)) {
        lex_error(l, l->tok.pos, "escape sequence is an invalid Unicode code point");
        return false;
    }
    if (n < 4) {
        pw_text_char(out, (char)x); /* \x and octal name bytes */
    } else {
        put_utf8(out, x);
    }
    return true;
}

/* After a backslash. */
static bool
lex_escape(struct pw_lexer *l, struct pw_text *out, uint8_t quote)
{
    static const char plain[] = "abfnrtv\\";
    static const char plain_value[] = "\a\b\f\n\r\t\v\\";
    const char *hit;
    uint8_t c;

    if (l->pos >= l->in.len) {
        lex_error(l, l->tok.pos, "escape sequence not terminated");
        return false;
    }
    c = l->in.ptr[l->pos++];
    hit = c == 0 ? NULL : strchr(plain, c);
    if (c == quote || hit != NULL) {
        pw_text_char(out, c == quote ? (char)c : plain_value[hit - plain]);
        return true;
    }
    switch (c) {
    case 'x':
        return lex_numeric_escape(l, out, 2, 16, 255);
    case 'u':
        return lex_numeric_escape(l, out, 4, 16, 0x10FFFF);
    case 'U':
        return lex_numeric_escape(l, out, 8, 16, 0x10FFFF);
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
        l->pos--;
        return lex_numeric_escape(l, out, 3, 8, 255);
    default:
        lex_error(l, l->tok.pos, "unknown escape sequence ");
        pw_text_printf(l->err, "U+%04X ", c);
        put_rune_quoted(l->err, pw_slice(l->in.ptr + l->pos - 1, l->in.len - l->pos + 1));
        return false;
    }
}

/* At the opening quote. */
static void
lex_string(struct pw_lexer *l)
{
    uint8_t quote = l->in.ptr[l->pos++];
    struct pw_text out;
    bool fine = false;

    /* Unquoting never makes a string longer than it is written. */
    pw_text_fixed(&out, pw_arena_alloc(l->arena, l->in.len + 4), l->in.len + 4);
    if (out.ptr == NULL) {
        lex_error(l, l->tok.pos, "out of memory");
        return;
    }
    while (l->pos < l->in.len) {
        uint8_t c = l->in.ptr[l->pos++];

        if (c == quote) {
            fine = true;
            break;
        }
        if (c == '\\' && quote != '`') {
            if (!lex_escape(l, &out, quote)) {
                return;
            }
        } else if (c == '\n' && quote != '`') {
            break;
        } else {
            pw_text_char(&out, (char)c);
        }
    }
    if (!fine) {
        lex_error(l, l->tok.pos,
                  quote == '`' ? "unterminated raw string" : "unterminated quoted string");
        return;
    }
    l->tok.type = PW_TOKEN_STRING;
    l->tok.value = pw_slice(out.ptr, out.len);
}

static void
lex_identifier(struct pw_lexer *l)
{
    bool colon = false;

    for (; l->pos < l->in.len; l->pos++) {
        uint8_t c = l->in.ptr[l->pos];

        if (!is_alpha(c) && !is_digit(c) && (c != ':' || l->inside)) {
            break;
        }
        colon |= c == ':';
    }
    l->tok.type = colon ? PW_TOKEN_METRIC_IDENTIFIER : PW_TOKEN_IDENTIFIER;
}

static void
lex_one(struct pw_lexer *l, enum pw_token_type type, size_t n)
{
    l->tok.type = type;
    l->pos += n;
}

static uint8_t
peek(const struct pw_lexer *l, size_t ahead)
{
    return l->pos + ahead < l->in.len ? l->in.ptr[l->pos + ahead] : 0;
}

static void
lex_inside(struct pw_lexer *l)
{
    uint8_t c = peek(l, 0);

    if (is_alpha(c)) {
        lex_identifier(l);
    } else if (c == '"' || c == '\'' || c == '`') {
        lex_string(l);
    } else if (c == ',') {
        lex_one(l, PW_TOKEN_COMMA, 1);
    } else if (c == '}') {
        l->inside = false;
        lex_one(l, PW_TOKEN_RIGHT_BRACE, 1);
    } else if (c == '{') {
        lex_error_rune(l, l->pos, "unexpected left brace ", l->pos);
    } else if (c == '=') {
        lex_one(l, peek(l, 1) == '~' ? PW_TOKEN_RE : PW_TOKEN_EQ, peek(l, 1) == '~' ? 2 : 1);
    } else if (c == '!' && (peek(l, 1) == '~' || peek(l, 1) == '=')) {
        lex_one(l, peek(l, 1) == '~' ? PW_TOKEN_NRE : PW_TOKEN_NE, 2);
    } else if (c == '!') {
        lex_error_rune(l, l->pos, "unexpected character after '!' inside braces: ", l->pos + 1);
    } else {
        lex_error_rune(l, l->pos, "unexpected character inside braces: ", l->pos);
    }
}

static void
lex_outside(struct pw_lexer *l)
{
    uint8_t c = peek(l, 0);

    if (is_alpha(c) || c == ':') {
        lex_identifier(l);
    } else if (c == '{') {
        l->inside = true;
        lex_one(l, PW_TOKEN_LEFT_BRACE, 1);
    } else if (c == '}') {
        lex_error_rune(l, l->pos, "unexpected right brace ", l->pos);
    } else if (c == '"' || c == '\'' || c == '`') {
        lex_string(l);
    } else if (c == ',') {
        lex_one(l, PW_TOKEN_COMMA, 1);
    } else if (c == '=') {
        lex_one(l, PW_TOKEN_EQ, 1);
    } else if (is_digit(c)) {
        lex_one(l, PW_TOKEN_OTHER, 1);
    } else {
        lex_error_rune(l, l->pos, "unexpected character: ", l->pos);
    }
}

/* White space and comments (# to the end of the line). */
static void
skip_blank(struct pw_lexer *l)
{
    while (l->pos < l->in.len) {
        uint8_t c = l->in.ptr[l->pos];

        if (c == '#') {
            while (l->pos < l->in.len && l->in.ptr[l->pos] != '\n') {
                l->pos++;
            }
        } else if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
            l->pos++;
        } else {
            return;
        }
    }
}

void
pw_lexer_next(struct pw_lexer *l)
{
    skip_blank(l);
    l->tok = (struct pw_token){.pos = l->pos};
    if (l->pos >= l->in.len) {
        if (l->inside) {
            lex_error(l, l->pos, "unexpected end of input inside braces");
        }
        return;
    }
    if (l->inside) {
        lex_inside(l);
    } else {
        lex_outside(l);
    }
    l->tok.raw = pw_slice(l->in.ptr + l->tok.pos, l->pos - l->tok.pos);
}
