#include "query/selector.h"

#include "base/check.h"
#include "base/utf8.h"

#include <stdlib.h>

/* --- Expressions, compiled once ------------------------------------------------------------- */

struct pw_regex_cache_entry {
    struct pw_regex_cache_entry *next;
    struct pw_regex *regex;
    size_t len;
    uint8_t pattern[];
};

int
pw_regex_cache_init_cold(struct pw_regex_cache *c)
{
    *c = (struct pw_regex_cache){.scratch = pw_regex_scratch_new_cold()};
    return c->scratch == NULL ? PW_ENOMEM : 0;
}

static void
free_entries(struct pw_regex_cache_entry *e)
{
    while (e != NULL) {
        struct pw_regex_cache_entry *next = e->next;

        pw_regex_free_cold(e->regex);
        free(e);
        e = next;
    }
}

void
pw_regex_cache_fini_cold(struct pw_regex_cache *c)
{
    free_entries(c->entry);
    pw_regex_scratch_free_cold(c->scratch);
    *c = (struct pw_regex_cache){0};
}

void
pw_regex_cache_trim(struct pw_regex_cache *c)
{
    struct pw_regex_cache_entry **e = &c->entry;

    for (uint32_t i = 0; i < PW_REGEX_CACHE_MAX && *e != NULL; i++) {
        e = &(*e)->next;
    }
    free_entries(*e);
    *e = NULL;
}

static int
cache_get(struct pw_regex_cache *c, struct pw_slice pattern, const struct pw_regex **out,
          char *err_text, size_t err_cap)
{
    struct pw_regex_cache_entry *e;
    int rc;

    for (struct pw_regex_cache_entry **p = &c->entry; *p != NULL; p = &(*p)->next) {
        e = *p;
        if (pw_slice_eq(pw_slice(e->pattern, e->len), pattern)) {
            *p = e->next;
            e->next = c->entry;
            c->entry = e;
            *out = e->regex;
            return 0;
        }
    }
    e = malloc(sizeof(*e) + pattern.len);
    if (e == NULL) {
        return PW_ENOMEM;
    }
    rc = pw_regex_compile_cold(pattern, &e->regex, err_text, err_cap);
    if (rc == 0) {
        rc = pw_regex_scratch_fit_cold(c->scratch, e->regex);
        if (rc != 0) {
            pw_regex_free_cold(e->regex);
        }
    }
    if (rc != 0) {
        free(e);
        return rc;
    }
    e->len = pattern.len;
    if (pattern.len > 0) {
        memcpy(e->pattern, pattern.ptr, pattern.len);
    }
    e->next = c->entry;
    c->entry = e;
    *out = e->regex;
    return 0;
}

/* --- Lexer ---------------------------------------------------------------------------------- */

enum token_type {
    TOKEN_END,
    TOKEN_ERROR, /* the lexer wrote the message */
    TOKEN_IDENTIFIER,
    TOKEN_METRIC_IDENTIFIER,
    TOKEN_STRING,
    TOKEN_LEFT_BRACE,
    TOKEN_RIGHT_BRACE,
    TOKEN_COMMA,
    TOKEN_EQ,
    TOKEN_NE,
    TOKEN_RE,
    TOKEN_NRE,
    TOKEN_OTHER,
};

struct token {
    enum token_type type;
    size_t pos;
    struct pw_slice raw;   /* as written */
    struct pw_slice value; /* of a string: unquoted */
};

struct lexer {
    struct pw_slice in;
    size_t pos;
    bool inside;
    struct token tok; /* the current one */
    struct pw_arena *arena;
    struct pw_text *err;
};

static void
put_position(struct lexer *l, size_t pos)
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
lex_error(struct lexer *l, size_t pos, const char *text)
{
    l->tok.type = TOKEN_ERROR;
    put_position(l, pos);
    pw_text_str(l->err, text);
}

static void
lex_error_rune(struct lexer *l, size_t pos, const char *text, size_t rune_pos)
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
lex_numeric_escape(struct lexer *l, struct pw_text *out, uint32_t n, uint32_t base, uint32_t max)
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
lex_escape(struct lexer *l, struct pw_text *out, uint8_t quote)
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
lex_string(struct lexer *l)
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
    l->tok.type = TOKEN_STRING;
    l->tok.value = pw_slice(out.ptr, out.len);
}

static void
lex_identifier(struct lexer *l)
{
    bool colon = false;

    for (; l->pos < l->in.len; l->pos++) {
        uint8_t c = l->in.ptr[l->pos];

        if (!is_alpha(c) && !is_digit(c) && (c != ':' || l->inside)) {
            break;
        }
        colon |= c == ':';
    }
    l->tok.type = colon ? TOKEN_METRIC_IDENTIFIER : TOKEN_IDENTIFIER;
}

static void
lex_one(struct lexer *l, enum token_type type, size_t n)
{
    l->tok.type = type;
    l->pos += n;
}

static uint8_t
peek(const struct lexer *l, size_t ahead)
{
    return l->pos + ahead < l->in.len ? l->in.ptr[l->pos + ahead] : 0;
}

static void
lex_inside(struct lexer *l)
{
    uint8_t c = peek(l, 0);

    if (is_alpha(c)) {
        lex_identifier(l);
    } else if (c == '"' || c == '\'' || c == '`') {
        lex_string(l);
    } else if (c == ',') {
        lex_one(l, TOKEN_COMMA, 1);
    } else if (c == '}') {
        l->inside = false;
        lex_one(l, TOKEN_RIGHT_BRACE, 1);
    } else if (c == '{') {
        lex_error_rune(l, l->pos, "unexpected left brace ", l->pos);
    } else if (c == '=') {
        lex_one(l, peek(l, 1) == '~' ? TOKEN_RE : TOKEN_EQ, peek(l, 1) == '~' ? 2 : 1);
    } else if (c == '!' && (peek(l, 1) == '~' || peek(l, 1) == '=')) {
        lex_one(l, peek(l, 1) == '~' ? TOKEN_NRE : TOKEN_NE, 2);
    } else if (c == '!') {
        lex_error_rune(l, l->pos, "unexpected character after '!' inside braces: ", l->pos + 1);
    } else {
        lex_error_rune(l, l->pos, "unexpected character inside braces: ", l->pos);
    }
}

static void
lex_outside(struct lexer *l)
{
    uint8_t c = peek(l, 0);

    if (is_alpha(c) || c == ':') {
        lex_identifier(l);
    } else if (c == '{') {
        l->inside = true;
        lex_one(l, TOKEN_LEFT_BRACE, 1);
    } else if (c == '}') {
        lex_error_rune(l, l->pos, "unexpected right brace ", l->pos);
    } else if (c == '"' || c == '\'' || c == '`') {
        lex_string(l);
    } else if (c == ',') {
        lex_one(l, TOKEN_COMMA, 1);
    } else if (c == '=') {
        lex_one(l, TOKEN_EQ, 1);
    } else if (is_digit(c)) {
        lex_one(l, TOKEN_OTHER, 1);
    } else {
        lex_error_rune(l, l->pos, "unexpected character: ", l->pos);
    }
}

/* White space and comments (# to the end of the line). */
static void
skip_blank(struct lexer *l)
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

static void
next_token(struct lexer *l)
{
    skip_blank(l);
    l->tok = (struct token){.pos = l->pos};
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

/* --- Parser --------------------------------------------------------------------------------- */

static void
put_token(struct pw_text *t, const struct token *tok)
{
    switch (tok->type) {
    case TOKEN_END:
        pw_text_str(t, "end of input");
        return;
    case TOKEN_IDENTIFIER:
        pw_text_str(t, "identifier ");
        break;
    case TOKEN_METRIC_IDENTIFIER:
        pw_text_str(t, "metric identifier ");
        break;
    case TOKEN_STRING:
        pw_text_str(t, "string ");
        break;
    case TOKEN_OTHER:
        pw_text_str(t, "number ");
        break;
    case TOKEN_NE:
    case TOKEN_RE:
    case TOKEN_NRE:
        pw_text_str(t, "<op:");
        pw_text_slice(t, tok->raw);
        pw_text_char(t, '>');
        return;
    case TOKEN_ERROR:
    case TOKEN_LEFT_BRACE:
    case TOKEN_RIGHT_BRACE:
    case TOKEN_COMMA:
    case TOKEN_EQ:
        break;
    }
    pw_text_go_quoted(t, tok->raw);
}

/* The error of an unexpected token; the lexer's own error, when there is one, stands. */
static int
unexpected(struct lexer *l, const char *context, const char *expected)
{
    if (l->tok.type != TOKEN_ERROR) {
        put_position(l, l->tok.pos);
        pw_text_str(l->err, "unexpected ");
        put_token(l->err, &l->tok);
        if (context[0] != 0) {
            pw_text_printf(l->err, " in %s", context);
        }
        if (expected[0] != 0) {
            pw_text_printf(l->err, ", expected %s", expected);
        }
    }
    return PW_EINVAL;
}

static int
add_matcher(struct lexer *l, struct pw_selector *sel, struct pw_matcher m,
            struct pw_regex_cache *cache, size_t pos)
{
    char text[PW_REGEX_BYTES_MAX + 128] = "";

    if (sel->count >= PW_SELECTOR_MATCHERS_MAX) {
        put_position(l, pos);
        pw_text_printf(l->err, "more than %d matchers", PW_SELECTOR_MATCHERS_MAX);
        return PW_EINVAL;
    }
    if (sel->matcher == NULL) {
        sel->matcher = pw_arena_zalloc(l->arena, PW_SELECTOR_MATCHERS_MAX, sizeof(m));
        if (sel->matcher == NULL) {
            return PW_ENOMEM;
        }
    }
    if (m.op == PW_MATCH_OP_RE || m.op == PW_MATCH_OP_NRE) {
        int rc = cache_get(cache, m.value, &m.regex, text, sizeof(text));

        if (rc == PW_ENOMEM) {
            return rc;
        }
        if (rc != 0) {
            put_position(l, pos);
            pw_text_printf(l->err, "error parsing regexp: %s", text);
            return PW_EINVAL;
        }
    }
    sel->matcher[sel->count++] = m;
    return 0;
}

/* One matcher at the current token, which is left on what follows. */
static int
parse_matcher(struct lexer *l, struct pw_selector *sel, struct pw_regex_cache *cache)
{
    struct token name = l->tok;
    struct pw_matcher m = {.name = name.raw};

    if (name.type != TOKEN_IDENTIFIER && name.type != TOKEN_STRING) {
        return unexpected(l, "label matching", "identifier or \"}\"");
    }
    next_token(l);
    if (name.type == TOKEN_STRING) {
        m.name = name.value;
        if (l->tok.type == TOKEN_COMMA || l->tok.type == TOKEN_RIGHT_BRACE) {
            m = (struct pw_matcher){.name = PW_SLICE_LIT("__name__"), .value = name.value};
            return add_matcher(l, sel, m, cache, name.pos);
        }
    }
    if (l->tok.type == TOKEN_EQ) {
        m.op = PW_MATCH_OP_EQ;
    } else if (l->tok.type == TOKEN_NE) {
        m.op = PW_MATCH_OP_NE;
    } else if (l->tok.type == TOKEN_RE) {
        m.op = PW_MATCH_OP_RE;
    } else if (l->tok.type == TOKEN_NRE) {
        m.op = PW_MATCH_OP_NRE;
    } else {
        return unexpected(l, "label matching", "label matching operator");
    }
    next_token(l);
    if (l->tok.type != TOKEN_STRING) {
        return unexpected(l, "label matching", "string");
    }
    m.value = l->tok.value;
    next_token(l);
    return l->tok.type == TOKEN_ERROR ? PW_EINVAL : add_matcher(l, sel, m, cache, name.pos);
}

/* After the left brace. */
static int
parse_braces(struct lexer *l, struct pw_selector *sel, struct pw_regex_cache *cache)
{
    next_token(l);
    while (l->tok.type != TOKEN_RIGHT_BRACE) { /* each turn consumes at least one token */
        int rc = parse_matcher(l, sel, cache);

        if (rc != 0) {
            return rc;
        }
        if (l->tok.type == TOKEN_COMMA) {
            next_token(l);
        } else if (l->tok.type != TOKEN_RIGHT_BRACE) {
            return unexpected(l, "label matching", "\",\" or \"}\"");
        }
    }
    next_token(l);
    return 0;
}

int
pw_selector_parse(struct pw_selector *sel, struct pw_slice text, struct pw_arena *a,
                  struct pw_regex_cache *cache, struct pw_text *err)
{
    struct lexer l = {.in = text, .arena = a, .err = err};
    int rc = 0;

    next_token(&l);
    if (l.tok.type == TOKEN_IDENTIFIER || l.tok.type == TOKEN_METRIC_IDENTIFIER) {
        struct pw_matcher m = {.name = PW_SLICE_LIT("__name__"), .value = l.tok.raw};

        rc = add_matcher(&l, sel, m, cache, l.tok.pos);
        next_token(&l);
    } else if (l.tok.type != TOKEN_LEFT_BRACE) {
        return unexpected(&l, "", "");
    }
    if (rc == 0 && l.tok.type == TOKEN_LEFT_BRACE) {
        rc = parse_braces(&l, sel, cache);
    }
    if (rc == 0 && l.tok.type != TOKEN_END) {
        rc = unexpected(&l, "", "");
    }
    return rc;
}

/* --- Matching ------------------------------------------------------------------------------- */

struct pw_slice
pw_selector_label(const struct pw_label_pair *label, uint32_t label_count, struct pw_slice name)
{
    for (uint32_t i = 0; i < label_count; i++) {
        if (pw_slice_eq(label[i].name, name)) {
            return label[i].value;
        }
    }
    return (struct pw_slice){0};
}

static bool
matcher_holds(const struct pw_matcher *m, const struct pw_regex_cache *cache, struct pw_slice value)
{
    switch (m->op) {
    case PW_MATCH_OP_EQ:
        return pw_slice_eq(m->value, value);
    case PW_MATCH_OP_NE:
        return !pw_slice_eq(m->value, value);
    case PW_MATCH_OP_RE:
        return pw_regex_match(m->regex, cache->scratch, value);
    case PW_MATCH_OP_NRE:
        return !pw_regex_match(m->regex, cache->scratch, value);
    }
    PW_UNREACHABLE("matcher operator");
    return false;
}

bool
pw_selector_matches(const struct pw_selector *sel, const struct pw_regex_cache *cache,
                    const struct pw_label_pair *label, uint32_t label_count)
{
    for (uint32_t i = 0; i < sel->count; i++) {
        const struct pw_matcher *m = &sel->matcher[i];

        if (!matcher_holds(m, cache, pw_selector_label(label, label_count, m->name))) {
            return false;
        }
    }
    return true;
}
