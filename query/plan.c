/* What a request asks to be selected, as far as it is text: selectors and ids. */
#include "query/select.h"

int
pw_plan_selector(struct pw_call *c, struct pw_plan *plan, struct pw_slice text)
{
    struct pw_text err;
    char *buf;
    int rc;

    /* Room for the selector quoted and an expression's error, which may repeat it. */
    size_t cap = 1024 + text.len * 6;

    buf = pw_arena_alloc(c->arena, cap);
    if (buf == NULL) {
        return pw_call_no_memory(c);
    }
    pw_text_fixed(&err, buf, cap);
    rc = pw_selector_parse(&plan->selector, text, c->arena, &c->t->regex, &err);
    if (rc == PW_ENOMEM) {
        return pw_call_no_memory(c);
    }
    if (rc != 0 && c->code == PW_CONNECT_CODE_OK) {
        c->code = PW_CONNECT_CODE_INVALID_ARGUMENT;
        pw_text_str(&c->err, "parsing label selector ");
        pw_text_go_quoted(&c->err, text);
        pw_text_str(&c->err, ": ");
        pw_text_put(&c->err, err.ptr, err.len);
    }
    return rc;
}

static int
hex_digit(char ch)
{
    if (ch >= '0' && ch <= '9') {
        return ch - '0';
    }
    if (ch >= 'a' && ch <= 'f') {
        return ch - 'a' + 10;
    }
    return ch >= 'A' && ch <= 'F' ? ch - 'A' + 10 : -1;
}

/* Exactly n bytes of hex; dashes are skipped when they may stand there. */
static bool
read_hex(const char *s, uint8_t *out, size_t n, bool dashes)
{
    size_t i = 0;

    for (; *s != 0; s++) {
        int d = hex_digit(*s);

        if (dashes && *s == '-') {
            continue;
        }
        if (d < 0 || i >= n * 2) {
            return false;
        }
        out[i / 2] = (uint8_t)(i % 2 == 0 ? d << 4 : out[i / 2] | d);
        i++;
    }
    return i == n * 2;
}

int
pw_plan_spans(struct pw_call *c, struct pw_plan *plan, char **id, size_t n)
{
    uint8_t(*out)[8] = pw_arena_zalloc(c->arena, n, 8);

    if (out == NULL) {
        return pw_call_no_memory(c);
    }
    for (size_t i = 0; i < n; i++) {
        if (strlen(id[i]) != 16) { /* status and words as stock has them, contract 1.1 */
            return pw_call_fail(
                c, PW_CONNECT_CODE_UNKNOWN,
                "rpc error: code = Unknown desc = invalid span id length: \"%.100s\"", id[i]);
        }
        if (!read_hex(id[i], out[i], 8, false)) {
            return pw_call_fail(c, PW_CONNECT_CODE_INVALID_ARGUMENT, "invalid span id: \"%.100s\"",
                                id[i]);
        }
    }
    plan->span = (const uint8_t(*)[8])out;
    plan->span_count = (uint32_t)n;
    return 0;
}

int
pw_plan_traces(struct pw_call *c, struct pw_plan *plan, char **id, size_t n)
{
    uint8_t(*out)[16] = pw_arena_zalloc(c->arena, n, 16);

    if (out == NULL) {
        return pw_call_no_memory(c);
    }
    for (size_t i = 0; i < n; i++) {
        if (!read_hex(id[i], out[i], 16, false)) {
            return pw_call_fail(c, PW_CONNECT_CODE_INVALID_ARGUMENT, "invalid trace id: \"%.100s\"",
                                id[i]);
        }
    }
    plan->trace = (const uint8_t(*)[16])out;
    plan->trace_count = (uint32_t)n;
    return 0;
}

int
pw_plan_profiles(struct pw_call *c, struct pw_plan *plan, char **id, size_t n)
{
    uint8_t(*out)[16] = pw_arena_zalloc(c->arena, n, 16);

    if (out == NULL) {
        return pw_call_no_memory(c);
    }
    for (size_t i = 0; i < n; i++) {
        if (!read_hex(id[i], out[i], 16, true)) {
            return pw_call_fail(c, PW_CONNECT_CODE_INVALID_ARGUMENT,
                                "invalid profile id: \"%.100s\"", id[i]);
        }
    }
    plan->profile_id = (const uint8_t(*)[16])out;
    plan->profile_id_count = (uint32_t)n;
    return 0;
}
