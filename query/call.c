#include "query/call.h"

#include "query/patience.h"

#include <stdarg.h>
#include <stdio.h>

static const struct {
    const char *name;
    uint16_t status;
} codes[] = {
    [PW_CONNECT_CODE_OK] = {"ok", 200},
    [PW_CONNECT_CODE_CANCELED] = {"canceled", 499},
    [PW_CONNECT_CODE_UNKNOWN] = {"unknown", 500},
    [PW_CONNECT_CODE_INVALID_ARGUMENT] = {"invalid_argument", 400},
    [PW_CONNECT_CODE_DEADLINE_EXCEEDED] = {"deadline_exceeded", 504},
    [PW_CONNECT_CODE_NOT_FOUND] = {"not_found", 404},
    [PW_CONNECT_CODE_ALREADY_EXISTS] = {"already_exists", 409},
    [PW_CONNECT_CODE_RESOURCE_EXHAUSTED] = {"resource_exhausted", 429},
    [PW_CONNECT_CODE_UNIMPLEMENTED] = {"unimplemented", 501},
    [PW_CONNECT_CODE_INTERNAL] = {"internal", 500},
    [PW_CONNECT_CODE_UNAVAILABLE] = {"unavailable", 503},
    [PW_CONNECT_CODE_UNAUTHENTICATED] = {"unauthenticated", 401},
};

const char *
pw_connect_code_name(enum pw_connect_code code)
{
    return codes[code].name;
}

uint16_t
pw_connect_code_status(enum pw_connect_code code)
{
    return codes[code].status;
}

int
pw_call_fail(struct pw_call *c, enum pw_connect_code code, const char *fmt, ...)
{
    char text[512];
    va_list args;

    if (c->code == PW_CONNECT_CODE_OK) {
        c->code = code;
        va_start(args, fmt);
        vsnprintf(text, sizeof(text), fmt, args);
        va_end(args);
        pw_text_str(&c->err, text);
    }
    return PW_EINVAL;
}

bool
pw_call_stops(struct pw_call *c)
{
    if (!pw_patience_is_over(c->req->patience)) {
        return false;
    }
    (void)pw_call_fail(c, PW_CONNECT_CODE_CANCELED, "the request was cancelled by the client");
    return true;
}

int
pw_call_no_memory(struct pw_call *c)
{
    if (pw_call_stops(c)) {
        return PW_EINVAL;
    }
    return pw_call_fail(
        c, PW_CONNECT_CODE_RESOURCE_EXHAUSTED,
        "the query needs more memory than one query may use: shorten the time range "
        "or add label matchers");
}

struct pw_call_held *
pw_call_hold(struct pw_call *c)
{
    struct pw_call_held *h = pw_arena_zalloc(c->arena, 1, sizeof(*h));

    if (h != NULL) {
        h->next = c->held;
        c->held = h;
    }
    return h;
}

void
pw_call_let_go(struct pw_call_held *h)
{
    if (h->rows != NULL) {
        pw_block_rows_close(h->rows);
    }
    if (h->symbols != NULL) {
        pw_block_symbols_close(h->block, h->symbols);
    }
    if (h->used != NULL) {
        pw_block_unuse(h->used);
    }
    h->rows = NULL;
    h->symbols = NULL;
    h->used = NULL;
}

int
pw_call_block_failed(struct pw_call *c, const struct pw_block *b, const struct pw_block_error *err)
{
    char ulid[PW_ULID_CHARS + 1];

    pw_ulid_print(&pw_block_meta(b)->ulid, ulid);
    return pw_call_fail(c, PW_CONNECT_CODE_INTERNAL, "block %s: %s", ulid, err->text);
}

int
pw_call_answer(struct pw_call *c, const ProtobufCMessage *msg)
{
    if (c->is_json) {
        pw_codec_to_json(&c->out, msg);
    } else {
        pw_codec_to_proto(&c->out, msg);
    }
    return 0;
}

struct pw_slice
pw_call_header(const struct pw_query_request *req, const char *name)
{
    for (uint32_t i = 0; i < req->headers_count; i++) {
        if (pw_slice_caseeq_str(req->headers[i].name, name)) {
            return req->headers[i].value;
        }
    }
    return (struct pw_slice){0};
}
