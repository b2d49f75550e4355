/* tests/fuzz/fuzz_http1.c - request heads and chunked bodies.
 *
 * The first byte seeds the cuts, the rest is input. Properties:
 * - the outcome of a head, and of the chunked body behind it, does not depend on the cuts (each call
 *   sees an exact copy, so ASan sees any read beyond it);
 * - an accepted head printed from what was parsed parses to the same again;
 * - no accepted head has an ambiguous length, and the vector scan agrees with its scalar twin.
 */
#include "dataplane/http1.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);                             \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* A small step sequence from a seed: 1 to 64, often small. */
static size_t
next_step(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return (*seed >> 28) < 8 ? 1 : 1 + ((*seed >> 20) & 63);
}

/* n bytes in a block of that very size. */
static uint8_t *
copy_of(const uint8_t *p, size_t n)
{
    uint8_t *c = malloc(n != 0 ? n : 1);

    CHECK(c != NULL);
    memcpy(c, p, n);
    return c;
}

/* Compares against the bytes, as the slices of the two point into different copies. */
static void
check_same(const struct pw_http1_head *a, const struct pw_http1_head *b)
{
    CHECK(a->method == b->method && a->minor_version == b->minor_version);
    CHECK(a->chunked == b->chunked && a->has_length == b->has_length);
    CHECK(a->content_length == b->content_length && a->keep_alive == b->keep_alive);
    CHECK(a->expect_continue == b->expect_continue && a->expect_unknown == b->expect_unknown);
    CHECK(pw_slice_eq(a->target, b->target));
    CHECK(pw_slice_eq(a->path, b->path) && pw_slice_eq(a->query, b->query));
    CHECK(a->headers_count == b->headers_count);
    for (uint32_t i = 0; i < a->headers_count; i++) {
        CHECK(pw_slice_eq(a->headers[i].name, b->headers[i].name));
        CHECK(pw_slice_eq(a->headers[i].value, b->headers[i].value));
    }
}

static void
check_cut_head(const struct pw_http1_head *whole, int want, const uint8_t *p, size_t n,
               uint32_t seed)
{
    struct pw_http1_resume r = {0};
    struct pw_http1_head h;
    int ret = PW_PARSE_MORE;
    size_t have = 0;
    uint8_t *c = NULL;

    do {
        size_t step = next_step(&seed);

        have = n - have < step ? n : have + step;
        free(c);
        c = copy_of(p, have);
        ret = pw_http1_head_parse(&h, c, have, &r);
    } while (ret == PW_PARSE_MORE && have < n);
    CHECK(ret == want);
    if (ret == PW_PARSE_BAD) {
        CHECK(h.drop == whole->drop);
    } else if (ret != PW_PARSE_MORE) {
        check_same(whole, &h);
    }
    free(c);
}

/* The method as sent: what stands before the target. */
static size_t
print_head(const struct pw_http1_head *h, const uint8_t *p, uint8_t *out)
{
    size_t n = 0;
    const uint8_t *start = p[0] == '\r' ? p + 2 : p;

#define PUT(ptr, len)                                                                              \
    do {                                                                                           \
        memcpy(out + n, (ptr), (len));                                                             \
        n += (len);                                                                                \
    } while (0)
    PUT(start, (size_t)(h->target.ptr - start));
    PUT(h->target.ptr, h->target.len);
    PUT(h->minor_version == 1 ? " HTTP/1.1\r\n" : " HTTP/1.0\r\n", 11);
    for (uint32_t i = 0; i < h->headers_count; i++) {
        PUT(h->headers[i].name.ptr, h->headers[i].name.len);
        PUT(":", 1);
        if (h->headers[i].value.len != 0) {
            PUT(h->headers[i].value.ptr, h->headers[i].value.len);
        }
        PUT("\r\n", 2);
    }
    PUT("\r\n", 2);
#undef PUT
    return n;
}

static void
check_accepted(const struct pw_http1_head *h, const uint8_t *p, size_t n)
{
    uint8_t *out = malloc(n + 16);
    struct pw_http1_resume r = {0};
    struct pw_http1_head again;
    size_t printed;

    CHECK(out != NULL && h->drop == PW_HTTP_DROP_NONE);
    CHECK(!(h->chunked && h->has_length));
    CHECK(!(h->chunked && h->minor_version == 0));
    CHECK(h->path.len != 0);
    for (size_t i = 0; i < n; i++) {
        CHECK(p[i] != '\n' || (i > 0 && p[i - 1] == '\r'));
    }
    printed = print_head(h, p, out);
    CHECK(printed <= n);
    CHECK(pw_http1_head_parse(&again, out, printed, &r) == (int)printed);
    check_same(h, &again);
    free(out);
}

struct body {
    uint8_t *data;
    size_t len;
    size_t consumed;
    bool done;
    uint8_t drop;
};

static struct body
decode(const uint8_t *p, size_t n, uint32_t seed)
{
    struct pw_http1_chunked c = {0};
    struct body b = {.data = malloc(n != 0 ? n : 1)};

    CHECK(b.data != NULL);
    while (b.consumed < n && !pw_http1_chunked_done(&c)) {
        size_t step = seed == 0 ? n : next_step(&seed);
        size_t have = n - b.consumed < step ? n - b.consumed : step;
        uint8_t *piece = copy_of(p + b.consumed, have);
        struct pw_slice data;
        int64_t ret = pw_http1_chunked_next(&c, piece, have, &data);

        if (ret < 0) {
            CHECK(ret == PW_PARSE_BAD && c.drop != PW_HTTP_DROP_NONE);
            b.drop = c.drop;
            b.consumed = 0; /* how far a refused body was read is nobody's business */
            free(piece);
            return b;
        }
        CHECK(ret > 0 && (size_t)ret <= have);
        if (data.len != 0) {
            CHECK(data.ptr >= piece && data.ptr + data.len == piece + ret);
            memcpy(b.data + b.len, data.ptr, data.len);
            b.len += data.len;
        }
        b.consumed += (size_t)ret;
        free(piece);
    }
    b.done = pw_http1_chunked_done(&c);
    return b;
}

static void
check_chunked(const uint8_t *p, size_t n, uint32_t seed)
{
    struct body whole = decode(p, n, 0);
    struct body cut = decode(p, n, seed | 1);

    CHECK(whole.done == cut.done && whole.drop == cut.drop && whole.consumed == cut.consumed);
    CHECK(whole.len == cut.len && memcmp(whole.data, cut.data, cut.len) == 0);
    free(whole.data);
    free(cut.data);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pw_http1_resume r = {0};
    struct pw_http1_head h;
    uint32_t seed = size == 0 ? 0 : data[0];
    int ret;

    if (size < 1) {
        return 0;
    }
    data++;
    size--;
    CHECK(pw_http1_find_control(data, size) == pw_http1_find_control_scalar(data, size));
    ret = pw_http1_head_parse(&h, data, size, &r);
    check_cut_head(&h, ret, data, size, seed);
    if (ret >= 0) {
        CHECK((size_t)ret <= size);
        check_accepted(&h, data, (size_t)ret);
        check_chunked(data + ret, size - (size_t)ret, seed);
    } else {
        check_chunked(data, size, seed);
    }
    return 0;
}
