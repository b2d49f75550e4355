/* query/selector_lex.h - the tokens of a label selector.
 *
 * Purpose  contract read-path.md 2.1: what stands inside the braces reads differently from what stands
 *          outside; strings with Go's escapes.
 * Owner    unquoted strings live in the query's arena.
 * Context  cold; selector.c only.
 * Units    pos in bytes from the start of the text.
 * Errors   a token PW_TOKEN_ERROR, the text in err.
 * Limits   -
 */
#ifndef PW_QUERY_SELECTOR_LEX_H
#define PW_QUERY_SELECTOR_LEX_H

#include "base/text.h"
#include "base/types.h"
#include "query/arena.h"

enum pw_token_type {
    PW_TOKEN_END,
    PW_TOKEN_ERROR, /* the lexer wrote the message */
    PW_TOKEN_IDENTIFIER,
    PW_TOKEN_METRIC_IDENTIFIER,
    PW_TOKEN_STRING,
    PW_TOKEN_LEFT_BRACE,
    PW_TOKEN_RIGHT_BRACE,
    PW_TOKEN_COMMA,
    PW_TOKEN_EQ,
    PW_TOKEN_NE,
    PW_TOKEN_RE,
    PW_TOKEN_NRE,
    PW_TOKEN_OTHER,
};

struct pw_token {
    enum pw_token_type type;
    size_t pos;
    struct pw_slice raw;   /* as written */
    struct pw_slice value; /* of a string: unquoted */
};

struct pw_lexer {
    struct pw_slice in;
    size_t pos;
    bool inside;
    struct pw_token tok; /* the current one */
    struct pw_arena *arena;
    struct pw_text *err;
};

/* Reads the next token into l->tok; at the end of the text PW_TOKEN_END, again and again. */
void pw_lexer_next(struct pw_lexer *l);
/* Begins an error's text: the line and column of a byte. */
void pw_lexer_put_position(struct pw_lexer *l, size_t pos);

#endif
