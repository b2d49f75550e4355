#include "distributor/answer.h"

#include "base/limits.h"

#include <stdio.h>

#define HEADERS_PUSH      "Accept-Encoding: gzip\r\n"
#define HEADERS_PUSH_GZIP "Accept-Encoding: gzip\r\nContent-Encoding: gzip\r\n"
#define HEADERS_VARY      "Vary: Accept-Encoding\r\n"
#define HEADERS_NOSNIFF   "X-Content-Type-Options: nosniff\r\n"

/* RFC 1952: an empty member, and one that holds "{}", with the very bytes stock sends (its encoder
 * writes a time stamp of year 1 into MTIME and closes a stored block with an empty fixed one). */
static const uint8_t gzip_empty[20] = {0x1f, 0x8b, 8, 0, 0x00, 0x09, 0x6e, 0x88, 0, 0xff, 3};
static const uint8_t gzip_object[27] = {0x1f, 0x8b, 8,    0,    0x00, 0x09, 0x6e, 0x88, 0,
                                        0xff, 0x00, 0x02, 0x00, 0xfd, 0xff, '{',  '}',  0x03,
                                        0x00, 0x43, 0xbf, 0xa6, 0xa3, 0x02, 0,    0,    0};

static const char *
content_type(enum pw_answer_kind kind)
{
    switch (kind) {
    case PW_ANSWER_PUSH_PROTO:
        return "application/proto";
    case PW_ANSWER_PUSH_JSON:
        return "application/json";
    case PW_ANSWER_PUSH_JSON_UTF8:
        return "application/json; charset=utf-8";
    case PW_ANSWER_INGEST_PPROF:
    case PW_ANSWER_INGEST_FOLDED:
        break;
    }
    return NULL;
}

void
pw_answer_ok(const struct pw_answerer *a, const struct pw_answer_to *to)
{
    bool push = to->kind != PW_ANSWER_INGEST_PPROF && to->kind != PW_ANSWER_INGEST_FOLDED;
    bool json = push && to->kind != PW_ANSWER_PUSH_PROTO;
    struct pw_http_reply rep = {.status = 200, .content_type = content_type(to->kind)};

    if (!push) {
        rep.headers = PW_SLICE_LIT(HEADERS_VARY);
    } else if (to->gzip) {
        rep.headers = PW_SLICE_LIT(HEADERS_PUSH_GZIP);
        rep.body = json ? pw_slice(gzip_object, sizeof(gzip_object))
                        : pw_slice(gzip_empty, sizeof(gzip_empty));
    } else {
        rep.headers = PW_SLICE_LIT(HEADERS_PUSH);
        rep.body = json ? PW_SLICE_LIT("{}") : PW_SLICE_LIT("");
    }
    (void)pw_http_reply(a->http, to->conn, &rep);
}

void
pw_answer_empty(const struct pw_answerer *a, uint64_t conn, uint16_t status,
                struct pw_slice headers)
{
    struct pw_http_reply rep = {.status = status, .headers = headers};

    (void)pw_http_reply(a->http, conn, &rep);
}

/* What a large body carries in front of it, so that it finds its way home. */
struct bulk_body {
    struct pw_bulk *bulk;
    uint32_t handle;
    uint32_t pad;
};

static void
free_bulk_body(void *arg)
{
    struct bulk_body *b = arg;

    pw_bulk_free(b->bulk, b->handle);
}

static void
send_body(const struct pw_answerer *a, uint64_t conn, struct pw_http_reply *rep)
{
    if (rep->body.len > PW_HTTP_REPLY_COPY_MAX) {
        uint32_t h = pw_bulk_alloc(a->bulk, sizeof(struct bulk_body) + rep->body.len);

        if (h == PW_BULK_NONE) {
            rep->body.len = PW_HTTP_REPLY_COPY_MAX;
        } else {
            struct bulk_body *b = pw_bulk_at(a->bulk, h);

            *b = (struct bulk_body){.bulk = a->bulk, .handle = h};
            memcpy(b + 1, rep->body.ptr, rep->body.len);
            rep->body.ptr = (const uint8_t *)(b + 1);
            rep->body_free = free_bulk_body;
            rep->body_arg = b;
        }
    }
    (void)pw_http_reply(a->http, conn, rep);
}

/* Room for one encoded error in the scratch; escapes may make a text six times as long. */
static bool
text_in_scratch(const struct pw_answerer *a, struct pw_text *t, size_t message_len)
{
    size_t cap = 256 + 6 * message_len;
    void *buf;

    if (cap > pw_scratch_left(a->scratch)) {
        cap = pw_scratch_left(a->scratch) & ~(size_t)15;
    }
    buf = pw_scratch_alloc(a->scratch, cap);
    if (buf == NULL) {
        return false;
    }
    pw_text_fixed(t, buf, cap);
    return true;
}

struct error {
    uint16_t status;
    enum pw_code code;
    bool newline;
    struct pw_slice headers;
};

static void
send_error(const struct pw_answerer *a, uint64_t conn, const struct error *e,
           struct pw_slice message)
{
    size_t mark = a->scratch->used;
    struct pw_http_reply rep = {
        .status = e->status, .content_type = "application/json", .headers = e->headers};
    struct pw_text t;

    if (text_in_scratch(a, &t, message.len)) {
        pw_connect_error(&t, e->code, message);
        if (e->newline) {
            pw_text_char(&t, '\n');
        }
        rep.body = pw_slice(t.ptr, t.len);
    }
    send_body(a, conn, &rep);
    pw_scratch_rewind(a->scratch, mark);
}

void
pw_answer_connect(const struct pw_answerer *a, uint64_t conn, enum pw_code code,
                  struct pw_slice message)
{
    struct error e = {
        .status = pw_code_status(code), .code = code, .headers = PW_SLICE_LIT(HEADERS_PUSH)};

    send_error(a, conn, &e, message);
}

void
pw_answer_plain(const struct pw_answerer *a, uint64_t conn, uint16_t status, bool vary,
                struct pw_slice message)
{
    struct error e = {
        .status = status,
        .code = pw_code_of_status(status),
        .newline = true,
        .headers =
            vary ? PW_SLICE_LIT(HEADERS_VARY HEADERS_NOSNIFF) : PW_SLICE_LIT(HEADERS_NOSNIFF),
    };

    send_error(a, conn, &e, message);
}

/* write-path.md 1.3: 422, but 429 for resource_exhausted; what is our own trouble keeps its status,
 * so that a client tries again. */
static uint16_t
pprof_status(enum pw_code code)
{
    switch (pw_code_status(code)) {
    case 429:
        return 429;
    case 500:
        return 500;
    case 503:
        return 503;
    case 504:
        return 504;
    default:
        return 422;
    }
}

static void
pprof_failure(const struct pw_answerer *a, const struct pw_answer_to *to, enum pw_code code,
              uint32_t index, struct pw_slice message)
{
    size_t mark = a->scratch->used;
    struct pw_text t;

    if (text_in_scratch(a, &t, message.len)) {
        pw_text_printf(
            &t, "pushing IngestInput-pprof failed push series with index %u and id  failed: %s: ",
            index, pw_code_name(code));
        pw_text_slice(&t, message);
        message = pw_slice(t.ptr, t.len);
    }
    pw_answer_plain(a, to->conn, pprof_status(code), true, message);
    pw_scratch_rewind(a->scratch, mark);
}

void
pw_answer_failure(const struct pw_answerer *a, const struct pw_answer_to *to, enum pw_reason reason,
                  uint32_t index, struct pw_slice message)
{
    enum pw_code code = pw_reason_code(reason);
    struct error e = {
        .status = pw_code_status(code), .code = code, .headers = PW_SLICE_LIT(HEADERS_VARY)};

    switch (to->kind) {
    case PW_ANSWER_PUSH_PROTO:
    case PW_ANSWER_PUSH_JSON:
    case PW_ANSWER_PUSH_JSON_UTF8:
        pw_answer_connect(a, to->conn, code, message);
        return;
    case PW_ANSWER_INGEST_PPROF:
        pprof_failure(a, to, code, index, message);
        return;
    case PW_ANSWER_INGEST_FOLDED:
        send_error(a, to->conn, &e, message);
        return;
    }
}
