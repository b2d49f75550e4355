/* tests/dataplane/test_http1.c - tables of one-line rows for heads and chunked bodies.
 *
 * Every row is parsed whole and grown byte by byte, and its bytes end at an unmapped page.
 */
#include "tests/support/cmocka_pw.h"

#include "dataplane/http1.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- A buffer whose end is the end of the mapping ------------------------------------------ */

enum { GUARD_BYTES = 1 << 16 };
static uint8_t *guard_end;

static int
set_up(void **state)
{
    uint8_t *p =
        mmap(NULL, GUARD_BYTES + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)state;
    assert_true(p != MAP_FAILED);
    assert_int_equal(mprotect(p + GUARD_BYTES, 4096, PROT_NONE), 0);
    guard_end = p + GUARD_BYTES;
    return 0;
}

static const uint8_t *
at_guard(const void *p, size_t n)
{
    assert_true(n <= GUARD_BYTES);
    memcpy(guard_end - n, p, n);
    return guard_end - n;
}

/* ---- Heads --------------------------------------------------------------------------------- */

static int
parse_whole(struct pw_http1_head *h, const char *s, size_t n)
{
    struct pw_http1_resume r = {0};

    return pw_http1_head_parse(h, at_guard(s, n), n, &r);
}

/* Feeds ever longer prefixes, each at another place, until the outcome is known. */
static int
parse_growing(struct pw_http1_head *h, const char *s, size_t n, size_t step)
{
    struct pw_http1_resume r = {0};
    int ret = PW_PARSE_MORE;

    for (size_t have = 0; have < n && ret == PW_PARSE_MORE;) {
        have = n - have < step ? n : have + step;
        ret = pw_http1_head_parse(h, at_guard(s, have), have, &r);
    }
    return ret;
}

static void
assert_same_head(const struct pw_http1_head *a, const struct pw_http1_head *b)
{
    assert_int_equal(a->drop, b->drop);
    assert_int_equal(a->method, b->method);
    assert_int_equal(a->minor_version, b->minor_version);
    assert_int_equal(a->chunked, b->chunked);
    assert_int_equal(a->keep_alive, b->keep_alive);
    assert_int_equal(a->content_length, b->content_length);
    assert_int_equal(a->headers_count, b->headers_count);
    assert_int_equal(a->target.len, b->target.len);
    assert_int_equal(a->path.len, b->path.len);
    assert_int_equal(a->query.len, b->query.len);
}

static int
parse_all_ways(struct pw_http1_head *h, const char *s, size_t n)
{
    static const size_t steps[] = {1, 2, 3, 7, 16, 17, 61};
    int whole;

    for (size_t i = 0; i < PW_ARRAY_LEN(steps); i++) {
        struct pw_http1_head grown;
        int ret = parse_growing(&grown, s, n, steps[i]);

        whole = parse_whole(h, s, n);
        assert_int_equal(ret, whole);
        if (whole == PW_PARSE_BAD) {
            assert_int_equal(h->drop, grown.drop);
        } else if (whole != PW_PARSE_MORE) {
            assert_same_head(h, &grown);
        }
    }
    return parse_whole(h, s, n);
}

#define HOST "Host: a\r\n"
#define D(x) PW_HTTP_DROP_##x

struct bad_row {
    const char *input;
    enum pw_http_drop drop;
};

static const struct bad_row bad_rows[] = {
    /* 2.2, 3 request line */
    {"GET /\r\n\r\n", D(REQUEST_LINE_BAD)}, /* HTTP/0.9 */
    {"GET\r\n", D(REQUEST_LINE_BAD)},
    {" GET / HTTP/1.1\r\n", D(METHOD_BAD)},
    {"G(T / HTTP/1.1\r\n", D(METHOD_BAD)},
    {"GET  / HTTP/1.1\r\n", D(VERSION_BAD)}, /* two spaces: the target is empty */
    {"GET / HTTP/1.1 \r\n", D(VERSION_BAD)},
    {"GET / x HTTP/1.1\r\n", D(VERSION_BAD)},
    {"GET / http/1.1\r\n", D(VERSION_BAD)},
    {"GET / HTTP/11\r\n", D(VERSION_BAD)},
    {"GET / HTTP/1.10\r\n", D(VERSION_BAD)},
    {"GET / HTTP/1.2\r\n", D(VERSION_UNSUPPORTED)},
    {"GET / HTTP/2.0\r\n", D(VERSION_UNSUPPORTED)},
    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", D(VERSION_UNSUPPORTED)},
    {"CONNECT a:1 HTTP/1.1\r\n", D(METHOD_UNSUPPORTED)},
    {"GET * HTTP/1.1\r\n", D(TARGET_BAD)},
    {"GET x HTTP/1.1\r\n", D(TARGET_BAD)},
    {"GET ftp://a/ HTTP/1.1\r\n", D(TARGET_BAD)},
    {"GET http:///p HTTP/1.1\r\n", D(TARGET_BAD)},
    {"GET http://u@a/p HTTP/1.1\r\n", D(TARGET_BAD)},
    {"GET /\t HTTP/1.1\r\n", D(TARGET_BAD)},
    {"\r\n\r\nGET / HTTP/1.1\r\n", D(REQUEST_LINE_BAD)}, /* one empty line is enough */
    /* line ends and control bytes */
    {"GET / HTTP/1.1\n", D(BARE_LF)},
    {"GET / HTTP/1.1\r\n" HOST "A: b\nC: d\r\n", D(BARE_LF)},
    {"GET / HTTP/1.1\r\nHost: a\n\n", D(BARE_LF)},
    {"GET / HTTP/1.1\rX", D(BARE_CR)},
    {"GET / HTTP/1.1\r\n" HOST "A: b\rc\r\n", D(BARE_CR)},
    {"GET / HTTP/1.1\r\n" HOST "A: b\r\r\n", D(BARE_CR)},
    {"GET / HTTP/1.1\r\n" HOST "A: b\x01\r\n", D(CONTROL_BYTE)},
    {"GET / HTTP/1.1\r\n" HOST "A: b\x7f\r\n", D(CONTROL_BYTE)},
    {"GET /\x0b HTTP/1.1\r\n", D(CONTROL_BYTE)},
    {"\x16\x03\x01\x02", D(CONTROL_BYTE)}, /* TLS to the plain port */
    /* 5 field lines */
    {"GET / HTTP/1.1\r\n" HOST "A: b\r\n c\r\n\r\n", D(OBS_FOLD)},
    {"GET / HTTP/1.1\r\n" HOST "A: b\r\n\tc\r\n\r\n", D(OBS_FOLD)},
    {"GET / HTTP/1.1\r\n Host: a\r\n\r\n", D(OBS_FOLD)},
    {"GET / HTTP/1.1\r\nHost : a\r\n\r\n", D(SPACE_BEFORE_COLON)},
    {"GET / HTTP/1.1\r\n" HOST "Content-Length\t: 5\r\n\r\n", D(SPACE_BEFORE_COLON)},
    {"GET / HTTP/1.1\r\n" HOST "Transfer-Encoding : chunked\r\n\r\n", D(SPACE_BEFORE_COLON)},
    {"GET / HTTP/1.1\r\n" HOST ": b\r\n\r\n", D(FIELD_NAME_BAD)},
    {"GET / HTTP/1.1\r\n" HOST "A\r\n\r\n", D(FIELD_NAME_BAD)},
    {"GET / HTTP/1.1\r\n" HOST "A(: b\r\n\r\n", D(FIELD_NAME_BAD)},
    {"GET / HTTP/1.1\r\n" HOST "A\xc3\xa4: b\r\n\r\n", D(FIELD_NAME_BAD)},
    {"GET / HTTP/1.1\r\n" HOST "A B: b\r\n\r\n", D(SPACE_BEFORE_COLON)},
    /* 3.2 Host */
    {"GET / HTTP/1.1\r\n\r\n", D(HOST_MISSING)},
    {"GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", D(HOST_DUPLICATE)},
    {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", D(HOST_BAD)},
    {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", D(HOST_BAD)},
    {"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", D(HOST_BAD)},
    {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", D(HOST_DUPLICATE)},
    /* 6.3 lengths */
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
     D(LENGTH_DUPLICATE)},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Length: 1\r\n\r\n",
     D(LENGTH_DUPLICATE)},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 1, 1\r\n\r\n", D(LENGTH_BAD)},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\n", D(LENGTH_BAD)},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: +1\r\n\r\n", D(LENGTH_BAD)},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\n", D(LENGTH_BAD)},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 0x1\r\n\r\n", D(LENGTH_BAD)},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 1 1\r\n\r\n", D(LENGTH_BAD)},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 1_0\r\n\r\n", D(LENGTH_BAD)},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 18446744073709551617\r\n\r\n", D(LENGTH_BAD)},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
     D(LENGTH_AND_CODING)},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
     D(LENGTH_AND_CODING)},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n", D(CODING_UNKNOWN)},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: identity\r\n\r\n", D(CODING_UNKNOWN)},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n\r\n", D(CODING_UNKNOWN)},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked, gzip\r\n\r\n", D(CODING_BAD)},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked, chunked\r\n\r\n", D(CODING_BAD)},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked;q=1\r\n\r\n", D(CODING_BAD)},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding:\r\n\r\n", D(CODING_BAD)},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: \x80"
     "chunked\r\n\r\n",
     D(CODING_BAD)},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
     D(CODING_BAD)},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n",
     D(CODING_BAD)},
    {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", D(CODING_IN_1_0)},
};

static void
test_head_parse__bad_rows__bad_with_reason(void **state)
{
    (void)state;
    for (size_t i = 0; i < PW_ARRAY_LEN(bad_rows); i++) {
        const struct bad_row *row = &bad_rows[i];
        struct pw_http1_head h;
        int ret = parse_all_ways(&h, row->input, strlen(row->input));

        if (ret != PW_PARSE_BAD || h.drop != row->drop) {
            fail_msg("row %zu: %d %s, wanted %s", i, ret, pw_http_drop_info(h.drop)->name,
                     pw_http_drop_info(row->drop)->name);
        }
        assert_true(pw_http_drop_info(h.drop)->status >= 400);
    }
}

struct good_row {
    const char *input; /* one head, nothing behind it */
    enum pw_http_method method;
    const char *path;
    const char *query;
    int64_t length; /* -1: none, -2: chunked */
    uint32_t fields;
    bool keep_alive;
};

#define M(x) PW_HTTP_METHOD_##x

static const struct good_row good_rows[] = {
    {"GET / HTTP/1.1\r\n" HOST "\r\n", M(GET), "/", "", -1, 1, true},
    {"\r\nGET / HTTP/1.1\r\n" HOST "\r\n", M(GET), "/", "", -1, 1, true},
    {"HEAD /a%20b?x=1&y=2 HTTP/1.1\r\nHost:\r\n\r\n", M(HEAD), "/a%20b", "x=1&y=2", -1, 1, true},
    {"GET /a?b?c HTTP/1.1\r\n" HOST "\r\n", M(GET), "/a", "b?c", -1, 1, true},
    {"GET /?n={a=\xc3\xa4} HTTP/1.1\r\n" HOST "\r\n", M(GET), "/", "n={a=\xc3\xa4}", -1, 1, true},
    {"GET http://h:1/p?q HTTP/1.1\r\n" HOST "\r\n", M(GET), "/p", "q", -1, 1, true},
    {"GET HTTPS://h HTTP/1.1\r\n" HOST "\r\n", M(GET), "/", "", -1, 1, true},
    {"GET http://h?q HTTP/1.1\r\n" HOST "\r\n", M(GET), "/", "q", -1, 1, true},
    {"OPTIONS * HTTP/1.1\r\n" HOST "\r\n", M(OPTIONS), "*", "", -1, 1, true},
    {"get / HTTP/1.1\r\n" HOST "\r\n", M(OTHER), "/", "", -1, 1, true},
    {"M-SEARCH / HTTP/1.1\r\n" HOST "\r\n", M(OTHER), "/", "", -1, 1, true},
    {"PUT / HTTP/1.1\r\nHost: [::1]:4040\r\ncontent-length:\t 12 \r\n\r\n", M(PUT), "/", "", 12, 2,
     true},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 007\r\n\r\n", M(POST), "/", "", 7, 2, true},
    {"POST / HTTP/1.1\r\n" HOST "TRANSFER-ENCODING: Chunked\r\n\r\n", M(POST), "/", "", -2, 2,
     true},
    {"DELETE / HTTP/1.1\r\n" HOST "Connection: Close\r\n\r\n", M(DELETE), "/", "", -1, 2, false},
    {"PATCH / HTTP/1.1\r\n" HOST "Connection: x, close\r\n\r\n", M(PATCH), "/", "", -1, 2, false},
    {"GET / HTTP/1.1\r\n" HOST "Connection: closed\r\n\r\n", M(GET), "/", "", -1, 2, true},
    {"GET / HTTP/1.1\r\n" HOST "Connection: keep-alive\r\nConnection: close\r\n\r\n", M(GET), "/",
     "", -1, 3, false},
    {"GET / HTTP/1.0\r\n\r\n", M(GET), "/", "", -1, 0, false},
    {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", M(GET), "/", "", -1, 1, true},
    {"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", M(GET), "/", "", -1, 1, false},
    {"GET / HTTP/1.1\r\n" HOST "A: \t b c\td\xff \t\r\n!#$%&'*+-.^_`|~9: :\r\n\r\n", M(GET), "/",
     "", -1, 3, true},
};

static void
test_head_parse__good_rows__fields_as_written(void **state)
{
    (void)state;
    for (size_t i = 0; i < PW_ARRAY_LEN(good_rows); i++) {
        const struct good_row *row = &good_rows[i];
        struct pw_http1_head h;
        size_t n = strlen(row->input);
        int ret = parse_all_ways(&h, row->input, n);
        int64_t length = h.chunked ? -2 : h.has_length ? (int64_t)h.content_length : -1;

        if (ret != (int)n || h.method != row->method || !pw_slice_eq_str(h.path, row->path) ||
            !pw_slice_eq_str(h.query, row->query) || length != row->length ||
            h.headers_count != row->fields || h.keep_alive != row->keep_alive) {
            fail_msg("row %zu: %d %s", i, ret, pw_http_drop_info(h.drop)->name);
        }
    }
}

static void
test_head_parse__every_proper_prefix_of_a_good_head__more(void **state)
{
    static const char head[] = "\r\nPOST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    size_t n = sizeof(head) - 1 - 3;

    (void)state;
    for (size_t i = 0; i < n; i++) {
        struct pw_http1_head h;

        assert_int_equal(parse_whole(&h, head, i), PW_PARSE_MORE);
    }
    struct pw_http1_head h;

    assert_int_equal(parse_all_ways(&h, head, sizeof(head) - 1), (int)n);
    assert_true(pw_slice_eq_str(h.headers[1].value, "3"));
}

static void
test_head_parse__expectations__told_apart(void **state)
{
    struct pw_http1_head h;
    const char *cont = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\n\r\n";
    const char *other = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\n\r\n";
    const char *old = "POST / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n";

    (void)state;
    assert_true(parse_all_ways(&h, cont, strlen(cont)) > 0);
    assert_true(h.expect_continue && !h.expect_unknown);
    assert_true(parse_all_ways(&h, other, strlen(other)) > 0);
    assert_true(!h.expect_continue && h.expect_unknown);
    assert_true(parse_all_ways(&h, old, strlen(old)) > 0);
    assert_true(!h.expect_continue && !h.expect_unknown); /* RFC 9110 10.1.1 */
}

/* "GET /xx...x" with `target` bytes of target, then `rest`. */
static int
parse_long_target(size_t target, const char *rest, enum pw_http_drop *drop)
{
    char *s = malloc(target + 4 + strlen(rest) + 1);
    struct pw_http1_head h;
    int ret;

    assert_non_null(s);
    memcpy(s, "GET /", 5);
    memset(s + 5, 'x', target - 1);
    memcpy(s + 4 + target, rest, strlen(rest));
    ret = parse_all_ways(&h, s, target + 4 + strlen(rest));
    *drop = h.drop;
    free(s);
    return ret;
}

static void
test_head_parse__long_target__414_above_the_limit_only(void **state)
{
    enum pw_http_drop drop;

    (void)state;
    assert_true(parse_long_target(PW_HTTP_TARGET_BYTES_MAX, " HTTP/1.1\r\nHost: a\r\n\r\n", &drop) >
                0);
    assert_int_equal(
        parse_long_target(PW_HTTP_TARGET_BYTES_MAX + 1, " HTTP/1.1\r\nHost: a\r\n\r\n", &drop),
        PW_PARSE_BAD);
    assert_int_equal(drop, PW_HTTP_DROP_TARGET_TOO_LONG);
    assert_int_equal(parse_long_target(PW_HTTP_TARGET_BYTES_MAX + 100, "", &drop), PW_PARSE_BAD);
    assert_int_equal(drop, PW_HTTP_DROP_TARGET_TOO_LONG);
}

static void
test_head_parse__head_limits__431_above_them_only(void **state)
{
    char *s = malloc(2 * PW_HTTP_HEAD_BYTES_MAX);
    struct pw_http1_head h;
    size_t n;

    (void)state;
    assert_non_null(s);
    n = (size_t)sprintf(s, "GET / HTTP/1.1\r\nHost: a\r\nA: ");
    memset(s + n, 'v', PW_HTTP_HEAD_BYTES_MAX);
    memcpy(s + PW_HTTP_HEAD_BYTES_MAX - 4, "\r\n\r\n", 4);
    assert_int_equal(parse_all_ways(&h, s, PW_HTTP_HEAD_BYTES_MAX), PW_HTTP_HEAD_BYTES_MAX);
    memcpy(s + PW_HTTP_HEAD_BYTES_MAX - 4, "v\r\n\r\n", 5);
    assert_int_equal(parse_all_ways(&h, s, PW_HTTP_HEAD_BYTES_MAX + 1), PW_PARSE_BAD);
    assert_int_equal(h.drop, PW_HTTP_DROP_HEAD_TOO_LARGE);

    n = (size_t)sprintf(s, "GET / HTTP/1.1\r\nHost: a\r\n");
    for (uint32_t i = 1; i < PW_HTTP_HEADERS_MAX; i++) {
        n += (size_t)sprintf(s + n, "A: b\r\n");
    }
    memcpy(s + n, "\r\n", 2);
    assert_int_equal(parse_all_ways(&h, s, n + 2), (int)n + 2);
    assert_int_equal(h.headers_count, PW_HTTP_HEADERS_MAX);
    memcpy(s + n, "A: b\r\n\r\n", 8);
    assert_int_equal(parse_all_ways(&h, s, n + 8), PW_PARSE_BAD);
    assert_int_equal(h.drop, PW_HTTP_DROP_TOO_MANY_FIELDS);
    free(s);
}

static void
test_find_control__every_byte_at_every_place__as_the_scalar_twin(void **state)
{
    uint8_t buf[80];

    (void)state;
    for (size_t n = 0; n <= sizeof(buf); n++) {
        for (uint32_t b = 0; b < 256; b++) {
            size_t at = n == 0 ? 0 : (b * 7) % n;

            memset(buf, 'a' + (int)(b % 26), sizeof(buf));
            buf[at] = (uint8_t)b;
            const uint8_t *p = at_guard(buf, n);

            assert_int_equal(pw_http1_find_control(p, n), pw_http1_find_control_scalar(p, n));
        }
    }
}

/* ---- Chunked ------------------------------------------------------------------------------- */

struct decoded {
    int64_t consumed; /* or PW_PARSE_MORE, PW_PARSE_BAD */
    enum pw_http_drop drop;
    char data[512];
    size_t data_len;
};

static void
decode(struct decoded *d, const char *s, size_t n, size_t step)
{
    struct pw_http1_chunked c = {0};
    size_t pos = 0;

    *d = (struct decoded){.consumed = PW_PARSE_MORE};
    while (pos < n && !pw_http1_chunked_done(&c)) {
        size_t have = n - pos < step ? n - pos : step;
        struct pw_slice data;
        int64_t ret = pw_http1_chunked_next(&c, at_guard(s + pos, have), have, &data);

        if (ret < 0) {
            d->consumed = ret;
            d->drop = (enum pw_http_drop)c.drop;
            return;
        }
        assert_true(ret > 0 && (size_t)ret <= have);
        if (data.len != 0) {
            assert_true(data.ptr + data.len == guard_end - have + ret);
            memcpy(d->data + d->data_len, data.ptr, data.len);
            d->data_len += data.len;
        }
        pos += (size_t)ret;
    }
    if (pw_http1_chunked_done(&c)) {
        d->consumed = (int64_t)pos;
    }
}

struct chunk_row {
    const char *input;
    int64_t consumed;
    const char *data; /* good rows */
    enum pw_http_drop drop;
};

static const struct chunk_row chunk_rows[] = {
    {"0\r\n\r\n", 5, "", 0},
    {"3\r\nabc\r\n0\r\n\r\nGET", 13, "abc", 0},
    {"A\r\n0123456789\r\n000\r\n\r\n", 22, "0123456789", 0},
    {"1\r\na\r\n1\r\nb\r\n0\r\nX: y\r\nZ:\r\n\r\n", 27, "ab", 0},
    {"0\r\nHos: a\r\nHosts: b\r\nContent-Lengt: 1\r\nXHost: c\r\n\r\n", 51, "", 0},
    {"3;a\r\nabc\r\n0;b=c;d=\"e;\\\"\"\r\n\r\n", 28, "abc", 0},
    {"3\r\nabc\r\n0\r\n", PW_PARSE_MORE, "abc", 0},
    {"\r\n", PW_PARSE_BAD, "", D(CHUNK_SIZE_BAD)},
    {"0x10\r\n", PW_PARSE_BAD, "", D(CHUNK_SIZE_BAD)},
    {"0_2e\r\n", PW_PARSE_BAD, "", D(CHUNK_SIZE_BAD)},
    {"+1\r\n", PW_PARSE_BAD, "", D(CHUNK_SIZE_BAD)},
    {"-1\r\n", PW_PARSE_BAD, "", D(CHUNK_SIZE_BAD)},
    {" 1\r\n", PW_PARSE_BAD, "", D(CHUNK_SIZE_BAD)},
    {"1 \r\n", PW_PARSE_BAD, "", D(CHUNK_SIZE_BAD)},
    {"1 ;a\r\n", PW_PARSE_BAD, "", D(CHUNK_SIZE_BAD)},
    {"1\t\r\n", PW_PARSE_BAD, "", D(CHUNK_SIZE_BAD)},
    {"g\r\n", PW_PARSE_BAD, "", D(CHUNK_SIZE_BAD)},
    {"1\n", PW_PARSE_BAD, "", D(CHUNK_SIZE_BAD)},
    {"1\rX", PW_PARSE_BAD, "", D(CHUNK_SIZE_BAD)},
    {"0000000000000001\r\n", PW_PARSE_BAD, "", D(CHUNK_SIZE_BAD)}, /* 16 digits */
    {"fffffffffffffffff\r\n", PW_PARSE_BAD, "", D(CHUNK_SIZE_BAD)},
    {"1;\r\n", PW_PARSE_BAD, "", D(CHUNK_EXT_BAD)},
    {"1;a\n", PW_PARSE_BAD, "", D(CHUNK_EXT_BAD)},
    {"1;a b\r\n", PW_PARSE_BAD, "", D(CHUNK_EXT_BAD)},
    {"1;a=\r\n", PW_PARSE_BAD, "", D(CHUNK_EXT_BAD)},
    {"1;a=\"b\r\n", PW_PARSE_BAD, "", D(CHUNK_EXT_BAD)},
    {"1;a=\"b\"c\r\n", PW_PARSE_BAD, "", D(CHUNK_EXT_BAD)},
    {"1;a=b\x01\r\n", PW_PARSE_BAD, "", D(CHUNK_EXT_BAD)},
    {"1\r\nab\r\n", PW_PARSE_BAD, "a", D(CHUNK_END_BAD)},
    {"1\r\na\n0\r\n\r\n", PW_PARSE_BAD, "a", D(CHUNK_END_BAD)},
    {"1\r\na0\r\n\r\n", PW_PARSE_BAD, "a", D(CHUNK_END_BAD)},
    {"0\r\n x: y\r\n\r\n", PW_PARSE_BAD, "", D(TRAILER_BAD)},
    {"0\r\nx : y\r\n\r\n", PW_PARSE_BAD, "", D(TRAILER_BAD)},
    {"0\r\nx: y\n\r\n", PW_PARSE_BAD, "", D(TRAILER_BAD)},
    {"0\r\nx: y\r\n z\r\n\r\n", PW_PARSE_BAD, "", D(TRAILER_BAD)},
    {"0\r\n\n", PW_PARSE_BAD, "", D(TRAILER_BAD)},
    {"0\r\nxy\r\n\r\n", PW_PARSE_BAD, "", D(TRAILER_BAD)},
    {"0\r\nContent-Length: 3\r\n\r\n", PW_PARSE_BAD, "", D(TRAILER_BAD)},
    {"0\r\na: b\r\ntransfer-Encoding: x\r\n\r\n", PW_PARSE_BAD, "", D(TRAILER_BAD)},
    {"0\r\nHOST:\r\n\r\n", PW_PARSE_BAD, "", D(TRAILER_BAD)},
};

static void
test_chunked_next__rows__same_for_every_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < PW_ARRAY_LEN(chunk_rows); i++) {
        const struct chunk_row *row = &chunk_rows[i];
        size_t n = strlen(row->input);

        for (size_t step = 1; step <= n; step++) {
            struct decoded d;

            decode(&d, row->input, n, step);
            if (d.consumed != row->consumed || d.drop != row->drop ||
                d.data_len != strlen(row->data) || memcmp(d.data, row->data, d.data_len) != 0) {
                fail_msg("row %zu step %zu: %lld %s, data %.*s", i, step, (long long)d.consumed,
                         pw_http_drop_info(d.drop)->name, (int)d.data_len, d.data);
            }
        }
    }
}

static void
test_chunked_next__too_much_beside_the_data__bad(void **state)
{
    char ext[3 + PW_HTTP1_CHUNK_EXT_BYTES_MAX + 1];
    char trailer[5 + PW_HTTP1_TRAILER_BYTES_MAX + 1];
    struct decoded d;

    (void)state;
    memset(ext, 'x', sizeof(ext));
    memcpy(ext, "1;", 2);
    decode(&d, ext, sizeof(ext), sizeof(ext));
    assert_int_equal(d.drop, PW_HTTP_DROP_CHUNK_EXT_TOO_LARGE);
    memset(trailer, 'x', sizeof(trailer));
    memcpy(trailer, "0\r\nx:", 5);
    decode(&d, trailer, sizeof(trailer), 1);
    assert_int_equal(d.drop, PW_HTTP_DROP_TRAILER_TOO_LARGE);
}

/* ---- Requests of real clients ---------------------------------------------------------------- */

/* Bytes of the request at p, body included. */
static size_t
request_bytes(const char *path, const uint8_t *p, size_t n)
{
    struct pw_http1_resume r = {0};
    struct pw_http1_chunked c = {0};
    struct pw_http1_head h;
    int head = pw_http1_head_parse(&h, p, n, &r);
    size_t pos;

    if (head < 0) {
        fail_msg("%s: %d %s", path, head, pw_http_drop_info(h.drop)->name);
    }
    pos = (size_t)head + (size_t)h.content_length;
    while (h.chunked && !pw_http1_chunked_done(&c)) {
        struct pw_slice data;
        int64_t used = pw_http1_chunked_next(&c, p + pos, n - pos, &data);

        if (used <= 0) {
            fail_msg("%s: chunked %lld %s", path, (long long)used,
                     pw_http_drop_info((enum pw_http_drop)c.drop)->name);
        }
        pos += (size_t)used;
    }
    assert_true(pos <= n);
    return pos;
}

static void
test_recorded_requests__heads_and_bodies__end_where_the_file_ends(void **state)
{
    glob_t found;
    uint32_t files = 0;

    (void)state;
    assert_int_equal(glob(PW_SOURCE_ROOT "/tests/golden/pushes/*/*.http", 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        FILE *f = fopen(found.gl_pathv[i], "rb");
        uint8_t *data = malloc(8 << 20);
        size_t n;
        size_t pos = 0;

        assert_true(f != NULL && data != NULL);
        n = fread(data, 1, 8 << 20, f);
        fclose(f);
        files += n > 3 && memcmp(data, "PRI", 3) != 0;
        while (pos < n && memcmp(data, "PRI", 3) != 0) { /* HTTP/2 is not for this parser */
            pos += request_bytes(found.gl_pathv[i], data + pos, n - pos);
        }
        free(data);
    }
    globfree(&found);
    assert_true(files > 50);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_head_parse__bad_rows__bad_with_reason),
        cmocka_unit_test(test_head_parse__good_rows__fields_as_written),
        cmocka_unit_test(test_head_parse__every_proper_prefix_of_a_good_head__more),
        cmocka_unit_test(test_head_parse__expectations__told_apart),
        cmocka_unit_test(test_head_parse__long_target__414_above_the_limit_only),
        cmocka_unit_test(test_head_parse__head_limits__431_above_them_only),
        cmocka_unit_test(test_find_control__every_byte_at_every_place__as_the_scalar_twin),
        cmocka_unit_test(test_chunked_next__rows__same_for_every_cut),
        cmocka_unit_test(test_recorded_requests__heads_and_bodies__end_where_the_file_ends),
        cmocka_unit_test(test_chunked_next__too_much_beside_the_data__bad),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
