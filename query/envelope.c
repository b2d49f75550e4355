#include "query/envelope.h"

#include "base/check.h"
#include "base/json.h"

#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    GZIP_WORTH_BYTES = 1024, /* below it the header and the time cost more than they save */
    GZIP_LEVEL = 1,
};

static struct pw_slice
trim(struct pw_slice s)
{
    while (s.len > 0 && (s.ptr[0] == ' ' || s.ptr[0] == '\t')) {
        s.ptr++;
        s.len--;
    }
    while (s.len > 0 && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t')) {
        s.len--;
    }
    return s;
}

/* Cuts the part before the separator off *rest, trimmed. False when nothing is left. */
static bool
cut(struct pw_slice *rest, char sep, struct pw_slice *part)
{
    const uint8_t *p;

    if (rest->ptr == NULL) {
        return false;
    }
    p = rest->len == 0 ? NULL : memchr(rest->ptr, sep, rest->len);
    if (p == NULL) {
        *part = trim(*rest);
        *rest = (struct pw_slice){0};
    } else {
        *part = trim(pw_slice(rest->ptr, (size_t)(p - rest->ptr)));
        *rest = pw_slice(p + 1, rest->len - (size_t)(p + 1 - rest->ptr));
    }
    return true;
}

enum pw_media
pw_envelope_media(struct pw_slice content_type)
{
    struct pw_slice type = {0};

    (void)cut(&content_type, ';', &type);
    if (pw_slice_caseeq_str(type, "application/json")) {
        return PW_MEDIA_JSON;
    }
    return pw_slice_caseeq_str(type, "application/proto") ? PW_MEDIA_PROTO : PW_MEDIA_OTHER;
}

static bool
is_token(struct pw_slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] <= ' ' || s.ptr[i] >= 0x7F || strchr("()<>@,;:\\\"/[]?=", s.ptr[i]) != NULL) {
            return false;
        }
    }
    return s.len > 0;
}

int
pw_envelope_accept(struct pw_slice accept, bool *utf8_names)
{
    struct pw_slice element, part, type;

    *utf8_names = false;
    while (cut(&accept, ',', &element)) {
        if (element.len == 0) {
            continue;
        }
        (void)cut(&element, ';', &part);
        (void)cut(&part, '/', &type);
        if (!is_token(type) || (part.ptr != NULL && !is_token(trim(part)))) {
            return PW_EINVAL;
        }
        while (cut(&element, ';', &part)) {
            struct pw_slice name;

            (void)cut(&part, '=', &name);
            *utf8_names |= pw_slice_caseeq_str(name, "allow-utf8-labelnames") &&
                           pw_slice_eq_str(trim(part), "true");
        }
    }
    return 0;
}

static int
gunzip(struct pw_call *c, struct pw_slice in, struct pw_slice *out)
{
    uint8_t *buf = pw_arena_alloc(c->arena, PW_ENVELOPE_UNPACKED_BYTES_MAX);
    enum libdeflate_result rc;
    size_t n = 0;

    if (buf == NULL) {
        return pw_call_no_memory(c);
    }
    rc = libdeflate_gzip_decompress(c->t->inflate, in.ptr, in.len, buf,
                                    PW_ENVELOPE_UNPACKED_BYTES_MAX, &n);
    if (rc == LIBDEFLATE_INSUFFICIENT_SPACE) {
        return pw_call_fail(c, PW_CONNECT_CODE_RESOURCE_EXHAUSTED,
                            "message size exceeds the maximum of %d bytes",
                            PW_ENVELOPE_UNPACKED_BYTES_MAX);
    }
    if (rc != LIBDEFLATE_SUCCESS) {
        return pw_call_fail(c, PW_CONNECT_CODE_INVALID_ARGUMENT,
                            "decompress: gzip: invalid header or data");
    }
    *out = pw_slice(buf, n);
    return 0;
}

int
pw_envelope_open(struct pw_call *c, struct pw_slice *body)
{
    struct pw_slice version = pw_call_header(c->req, "Connect-Protocol-Version");
    struct pw_slice timeout = pw_call_header(c->req, "Connect-Timeout-Ms");
    struct pw_slice encoding = pw_call_header(c->req, "Content-Encoding");

    *body = c->req->body;
    if (version.ptr != NULL && !pw_slice_eq_str(version, "1")) {
        return pw_call_fail(c, PW_CONNECT_CODE_INVALID_ARGUMENT,
                            "Connect-Protocol-Version must be \"1\": got \"%.*s\"",
                            (int)(version.len > 100 ? 100 : version.len), version.ptr);
    }
    if (pw_slice_eq_str(timeout, "0")) {
        return pw_call_fail(c, PW_CONNECT_CODE_DEADLINE_EXCEEDED, "context deadline exceeded");
    }
    if (encoding.len == 0 || pw_slice_caseeq_str(encoding, "identity")) {
        return 0;
    }
    if (!pw_slice_caseeq_str(encoding, "gzip")) {
        return pw_call_fail(c, PW_CONNECT_CODE_UNIMPLEMENTED,
                            "unknown compression \"%.*s\": supported encodings are gzip",
                            (int)(encoding.len > 100 ? 100 : encoding.len), encoding.ptr);
    }
    return body->len == 0 ? 0 : gunzip(c, *body, body);
}

void
pw_envelope_header(struct pw_query_reply *rep, const char *line)
{
    size_t n = strlen(rep->headers);

    PW_INVARIANT(n + strlen(line) + 3 <= sizeof(rep->headers));
    snprintf(rep->headers + n, sizeof(rep->headers) - n, "%s\r\n", line);
}

void
pw_envelope_text(struct pw_query_reply *rep, uint16_t status, const char *content_type,
                 const char *text)
{
    size_t n = strlen(text);

    rep->status = status;
    rep->content_type = content_type;
    if (n > 0) {
        rep->body = malloc(n);
        if (rep->body == NULL) {
            rep->status = 500;
            return;
        }
        memcpy(rep->body, text, n);
        rep->body_bytes = n;
    }
}

void
pw_envelope_error(struct pw_call *c, struct pw_query_reply *rep)
{
    struct pw_text t;
    struct pw_json j;

    pw_text_init(&t, PW_CALL_ERR_BYTES_MAX * 8);
    pw_json_init(&j, &t);
    pw_json_object(&j);
    pw_json_key(&j, "code");
    pw_json_cstr(&j, pw_connect_code_name(c->code));
    pw_json_key(&j, "message");
    pw_json_str(&j, pw_slice(c->err.ptr, c->err.len));
    pw_json_object_end(&j);
    rep->status = pw_connect_code_status(c->code);
    rep->content_type = "application/json";
    rep->body = pw_text_steal(&t, &rep->body_bytes);
}

static bool
accepts_gzip(const struct pw_query_request *req)
{
    struct pw_slice rest = pw_call_header(req, "Accept-Encoding"), part, name;

    while (cut(&rest, ',', &part)) {
        if (cut(&part, ';', &name) && pw_slice_caseeq_str(name, "gzip")) {
            part = trim(part);
            return !(pw_slice_eq_str(part, "q=0") || pw_slice_eq_str(part, "q=0.0"));
        }
    }
    return false;
}

void
pw_envelope_close(struct pw_call *c, struct pw_query_reply *rep)
{
    size_t bound, n;
    uint8_t *z;

    rep->body = pw_text_steal(&c->out, &rep->body_bytes);
    if (rep->body == NULL) {
        rep->body_bytes = 0;
        (void)pw_call_fail(c, PW_CONNECT_CODE_RESOURCE_EXHAUSTED,
                           "response larger than the max message size (%zu)",
                           (size_t)PW_QUERY_REPLY_BYTES_MAX);
        pw_envelope_error(c, rep);
        return;
    }
    if (rep->body_bytes < GZIP_WORTH_BYTES || !accepts_gzip(c->req)) {
        return;
    }
    bound = libdeflate_gzip_compress_bound(c->t->deflate, rep->body_bytes);
    z = malloc(bound);
    if (z == NULL) {
        return; /* plain is right too */
    }
    n = libdeflate_gzip_compress(c->t->deflate, rep->body, rep->body_bytes, z, bound);
    if (n == 0 || n >= rep->body_bytes) {
        free(z);
        return;
    }
    free(rep->body);
    rep->body = z;
    rep->body_bytes = n;
    pw_envelope_header(rep, "Content-Encoding: gzip");
    pw_envelope_header(rep, "Vary: Accept-Encoding");
}
