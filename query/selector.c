#include "query/selector.h"

#include "base/check.h"
#include "query/selector_lex.h"

/* --- Parser ---------------------------------------------------------------------------------- */

static void
put_token(struct pw_text *t, const struct pw_token *tok)
{
    switch (tok->type) {
    case PW_TOKEN_END:
        pw_text_str(t, "end of input");
        return;
    case PW_TOKEN_IDENTIFIER:
        pw_text_str(t, "identifier ");
        break;
    case PW_TOKEN_METRIC_IDENTIFIER:
        pw_text_str(t, "metric identifier ");
        break;
    case PW_TOKEN_STRING:
        pw_text_str(t, "string ");
        break;
    case PW_TOKEN_OTHER:
        pw_text_str(t, "number ");
        break;
    case PW_TOKEN_NE:
    case PW_TOKEN_RE:
    case PW_TOKEN_NRE:
        pw_text_str(t, "<op:");
        pw_text_slice(t, tok->raw);
        pw_text_char(t, '>');
        return;
    case PW_TOKEN_ERROR:
    case PW_TOKEN_LEFT_BRACE:
    case PW_TOKEN_RIGHT_BRACE:
    case PW_TOKEN_COMMA:
    case PW_TOKEN_EQ:
        break;
    }
    pw_text_go_quoted(t, tok->raw);
}

/* The error of an unexpected token; the lexer's own error, when there is one, stands. */
static int
unexpected(struct pw_lexer *l, const char *context, const char *expected)
{
    if (l->tok.type != PW_TOKEN_ERROR) {
        pw_lexer_put_position(l, l->tok.pos);
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
add_matcher(struct pw_lexer *l, struct pw_selector *sel, struct pw_matcher m,
            struct pw_regex_cache *cache, size_t pos)
{
    char text[PW_REGEX_BYTES_MAX + 128] = "";

    if (sel->count >= PW_SELECTOR_MATCHERS_MAX) {
        pw_lexer_put_position(l, pos);
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
        int rc = pw_regex_cache_get(cache, m.value, &m.regex, text, sizeof(text));

        if (rc == PW_ENOMEM) {
            return rc;
        }
        if (rc != 0) {
            pw_lexer_put_position(l, pos);
            pw_text_printf(l->err, "error parsing regexp: %s", text);
            return PW_EINVAL;
        }
    }
    sel->matcher[sel->count++] = m;
    return 0;
}

/* One matcher at the current token, which is left on what follows. */
static int
parse_matcher(struct pw_lexer *l, struct pw_selector *sel, struct pw_regex_cache *cache)
{
    struct pw_token name = l->tok;
    struct pw_matcher m = {.name = name.raw};

    if (name.type != PW_TOKEN_IDENTIFIER && name.type != PW_TOKEN_STRING) {
        return unexpected(l, "label matching", "identifier or \"}\"");
    }
    pw_lexer_next(l);
    if (name.type == PW_TOKEN_STRING) {
        m.name = name.value;
        if (l->tok.type == PW_TOKEN_COMMA || l->tok.type == PW_TOKEN_RIGHT_BRACE) {
            m = (struct pw_matcher){.name = PW_SLICE_LIT("__name__"), .value = name.value};
            return add_matcher(l, sel, m, cache, name.pos);
        }
    }
    if (l->tok.type == PW_TOKEN_EQ) {
        m.op = PW_MATCH_OP_EQ;
    } else if (l->tok.type == PW_TOKEN_NE) {
        m.op = PW_MATCH_OP_NE;
    } else if (l->tok.type == PW_TOKEN_RE) {
        m.op = PW_MATCH_OP_RE;
    } else if (l->tok.type == PW_TOKEN_NRE) {
        m.op = PW_MATCH_OP_NRE;
    } else {
        return unexpected(l, "label matching", "label matching operator");
    }
    pw_lexer_next(l);
    if (l->tok.type != PW_TOKEN_STRING) {
        return unexpected(l, "label matching", "string");
    }
    m.value = l->tok.value;
    pw_lexer_next(l);
    return l->tok.type == PW_TOKEN_ERROR ? PW_EINVAL : add_matcher(l, sel, m, cache, name.pos);
}

/* After the left brace. */
static int
parse_braces(struct pw_lexer *l, struct pw_selector *sel, struct pw_regex_cache *cache)
{
    pw_lexer_next(l);
    while (l->tok.type != PW_TOKEN_RIGHT_BRACE) { /* each turn consumes at least one token */
        int rc = parse_matcher(l, sel, cache);

        if (rc != 0) {
            return rc;
        }
        if (l->tok.type == PW_TOKEN_COMMA) {
            pw_lexer_next(l);
        } else if (l->tok.type != PW_TOKEN_RIGHT_BRACE) {
            return unexpected(l, "label matching", "\",\" or \"}\"");
        }
    }
    pw_lexer_next(l);
    return 0;
}

int
pw_selector_parse(struct pw_selector *sel, struct pw_slice text, struct pw_arena *a,
                  struct pw_regex_cache *cache, struct pw_text *err)
{
    struct pw_lexer l = {.in = text, .arena = a, .err = err};
    int rc = 0;

    pw_lexer_next(&l);
    if (l.tok.type == PW_TOKEN_IDENTIFIER || l.tok.type == PW_TOKEN_METRIC_IDENTIFIER) {
        struct pw_matcher m = {.name = PW_SLICE_LIT("__name__"), .value = l.tok.raw};

        rc = add_matcher(&l, sel, m, cache, l.tok.pos);
        pw_lexer_next(&l);
    } else if (l.tok.type != PW_TOKEN_LEFT_BRACE) {
        return unexpected(&l, "", "");
    }
    if (rc == 0 && l.tok.type == PW_TOKEN_LEFT_BRACE) {
        rc = parse_braces(&l, sel, cache);
    }
    if (rc == 0 && l.tok.type != PW_TOKEN_END) {
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
