/* What our parser makes of byte strings: stdin has them one after another, each behind its length (4 bytes,
 * little endian); stdout gets one JSON line each, the messages in order and how it ended: "all" (nothing left
 * over), "more", or the name of the reason for a refusal. tests/dataplane/llhttp_diff.py compares. */
#include "dataplane/http1.h"

#include <stdio.h>
#include <stdlib.h>

enum { INPUT_BYTES_MAX = 1 << 20 };

static void
put_hex(const char *name, struct pw_slice s)
{
    printf("\"%s\":\"", name);
    for (size_t i = 0; i < s.len; i++) {
        printf("%02x", s.ptr[i]);
    }
    printf("\"");
}

static void
put_head(const struct pw_http1_head *h, struct pw_slice text)
{
    size_t method = 0;

    while (method < text.len && text.ptr[method] != ' ') {
        method++;
    }
    printf("{");
    put_hex("method", pw_slice(text.ptr, method));
    printf(",");
    put_hex("target", h->target);
    printf(",\"minor\":%u,\"known\":%s,\"keep\":%s,\"headers\":[", h->minor_version,
           h->method == PW_HTTP_METHOD_OTHER ? "false" : "true", h->keep_alive ? "true" : "false");
    for (uint32_t i = 0; i < h->headers_count; i++) {
        printf("%s{", i == 0 ? "" : ",");
        put_hex("n", h->headers[i].name);
        printf(",");
        put_hex("v", h->headers[i].value);
        printf("}");
    }
    printf("]");
}

/* Ends the object put_head began. Bytes used, PW_PARSE_MORE or PW_PARSE_BAD. */
static int64_t
put_body(const struct pw_http1_head *h, const uint8_t *p, size_t n, enum pw_http_drop *drop)
{
    struct pw_http1_chunked c = {0};
    int64_t used = 0;
    size_t have = h->content_length < n ? (size_t)h->content_length : n;

    printf(",\"body\":\"");
    if (!h->chunked) {
        for (size_t i = 0; i < have; i++) {
            printf("%02x", p[i]);
        }
        printf("\"}");
        return have == h->content_length ? (int64_t)have : PW_PARSE_MORE;
    }
    while (!pw_http1_chunked_done(&c) && (size_t)used < n) {
        struct pw_slice data;
        int64_t r = pw_http1_chunked_next(&c, p + used, n - (size_t)used, &data);

        if (r < 0) {
            *drop = (enum pw_http_drop)c.drop;
            printf("\"}");
            return PW_PARSE_BAD;
        }
        for (size_t i = 0; i < data.len; i++) {
            printf("%02x", data.ptr[i]);
        }
        used += r;
    }
    printf("\"}");
    return pw_http1_chunked_done(&c) ? used : PW_PARSE_MORE;
}

/* RFC 9112 2.2: the head parser skips one empty line before the request line. */
static struct pw_slice
without_empty_line(const uint8_t *p, size_t n)
{
    return n >= 2 && p[0] == '\r' && p[1] == '\n' ? pw_slice(p + 2, n - 2) : pw_slice(p, n);
}

static void
probe(const uint8_t *p, size_t n)
{
    static struct pw_http1_head h;
    const char *end = "all";
    size_t at = 0;
    uint32_t count = 0;
    uint32_t whole = 0;

    printf("{\"messages\":[");
    while (at < n) {
        struct pw_http1_resume r = {0};
        int head = pw_http1_head_parse(&h, p + at, n - at, &r);
        enum pw_http_drop drop = h.drop;
        int64_t body;

        if (head < 0) {
            end = head == PW_PARSE_MORE ? "more" : pw_http_drop_info(drop)->name;
            break;
        }
        printf("%s", count++ == 0 ? "" : ",");
        put_head(&h, without_empty_line(p + at, n - at));
        at += (size_t)head;
        body = put_body(&h, p + at, n - at, &drop);
        if (body < 0) {
            end = body == PW_PARSE_MORE ? "more" : pw_http_drop_info(drop)->name;
            break;
        }
        at += (size_t)body;
        whole++;
        if (!h.keep_alive) {
            end = "close";
            break;
        }
    }
    printf("],\"whole\":%u,\"end\":\"%s\"}\n", whole, end);
}

int
main(void)
{
    uint8_t *in = malloc(INPUT_BYTES_MAX);
    uint8_t len[4];

    if (in == NULL) {
        return EXIT_FAILURE;
    }
    while (fread(len, 1, sizeof(len), stdin) == sizeof(len)) {
        size_t n =
            (size_t)len[0] | (size_t)len[1] << 8 | (size_t)len[2] << 16 | (size_t)len[3] << 24;

        if (n > INPUT_BYTES_MAX || fread(in, 1, n, stdin) != n) {
            return EXIT_FAILURE;
        }
        probe(in, n);
        fflush(stdout);
    }
    free(in);
    return EXIT_SUCCESS;
}
