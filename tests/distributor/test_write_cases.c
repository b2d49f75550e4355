/* Every case of contract write-cases.json that is in scope, against the routes: status, body and
 * headers; each with the body whole, in pieces of seven bytes and byte by byte. Where stock answers
 * 500 to bad client data the expected answer is ours (distributor/README.md); what is out of scope is
 * listed with its reason.
 *
 * usage: test_write_cases write-cases.json
 */
#include "tests/distributor/harness.h"

#include "base/json.h"
#include "base/regex.h"

#include "tests/support/cmocka_pw.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

struct ours { /* deliberate differences */
    const char *name;
    uint16_t status;
    const char *regex;
};

static const struct ours ours[] = {
    {"push-malformed-profile-is-500-unknown", 400,
     "^\\{\"code\":\"invalid_argument\",\"message\":\""},
    {"push-short-profile-under-10-bytes", 400,
     "^\\{\"code\":\"invalid_argument\",\"message\":\"gzip reset: EOF\"\\}$"},
    {"push-truncated-gzip-profile", 400,
     "^\\{\"code\":\"invalid_argument\",\"message\":\"copy to buffer: unexpected EOF\"\\}$"},
    {"push-zero-sample-without-period-type-500", 200, "^$"},
    {"push-two-malformed-profiles-multierror", 400,
     "^\\{\"code\":\"invalid_argument\",\"message\":\"2 errors: .*; .*\"\\}$"},
};

struct later {
    const char *part; /* of the case's name */
    const char *why;
};

static const struct later later[] = {
    {"grpc", "gRPC and gRPC-Web come with HTTP/2"},
    {"jfr", "JFR is a later issue (answered 501)"},
    {"speedscope", "speedscope is a later issue (answered 501)"},
    {"otlp-ok", "OTLP is a later issue (answered 501)"},
    {"otlp-gzip-ok", "OTLP is a later issue (answered 501)"},
    {"otlp-json", "OTLP is a later issue (answered 501)"},
    {"otlp-garbage", "OTLP is a later issue (answered 501)"},
};

static const char *cases_path;

static const char *
later_reason(const char *name)
{
    for (size_t i = 0; i < PW_ARRAY_LEN(later); i++) {
        if (strstr(name, later[i].part) != NULL) {
            return later[i].why;
        }
    }
    return NULL;
}

/* regex searched in the body decoded as Latin-1, dot matches newline. */
static bool
found(const char *regex, struct pw_slice body)
{
    struct pw_text latin1;
    char pattern[PW_REGEX_BYTES_MAX];
    char err[256] = "";
    struct pw_regex *re;
    struct pw_slice groups[PW_REGEX_GROUPS_MAX];
    bool ok;
    int n = snprintf(pattern, sizeof(pattern), "(?s).*(?:%s).*", regex);

    assert_true(n > 0 && (size_t)n < sizeof(pattern));
    if (pw_regex_compile_cold(pw_slice_str(pattern), &re, err, sizeof(err)) != 0) {
        fail_msg("%s: %s", pattern, err);
    }
    pw_text_init(&latin1, 2 * PW_T_REPLY_MAX);
    for (size_t i = 0; i < body.len; i++) {
        uint8_t c = body.ptr[i];

        if (c >= 0x80) {
            pw_text_char(&latin1, (char)(0xC0 | c >> 6));
            c = 0x80 | (c & 0x3F);
        }
        pw_text_char(&latin1, (char)c);
    }
    ok = pw_regex_captures(re, pw_slice(latin1.ptr, latin1.len), groups) != 0;
    pw_text_fini(&latin1);
    pw_regex_free_cold(re);
    return ok;
}

/* Value of a response header; NULL when absent. */
static const char *
reply_header(const struct pw_t_reply *r, const char *name, char *buf, size_t cap)
{
    const char *p = r->headers;
    size_t n = strlen(name);

    if (strcasecmp(name, "content-type") == 0) {
        return r->content_type[0] == 0 ? NULL : r->content_type;
    }
    if (strcasecmp(name, "content-length") == 0) {
        snprintf(buf, cap, "%zu", r->body_len);
        return buf;
    }
    while (*p != 0) {
        const char *end = strstr(p, "\r\n");

        assert_non_null(end);
        if (strncasecmp(p, name, n) == 0 && p[n] == ':') {
            snprintf(buf, cap, "%.*s", (int)(end - p - (ptrdiff_t)n - 2), p + n + 2);
            return buf;
        }
        p = end + 2;
    }
    return NULL;
}

static void
check(const char *name, const struct pw_t_reply *r, json_t *expect)
{
    uint16_t status = (uint16_t)json_integer_value(json_object_get(expect, "status"));
    const char *regex = json_string_value(json_object_get(expect, "body_regex"));
    const char *key;
    json_t *value;

    for (size_t i = 0; i < PW_ARRAY_LEN(ours); i++) {
        if (strcmp(name, ours[i].name) == 0) {
            status = ours[i].status;
            regex = ours[i].regex;
        }
    }
    if (r->status != status || !found(regex, pw_slice(r->body, r->body_len))) {
        fail_msg("%s: got %u %s, want %u %s", name, r->status, (const char *)r->body, status,
                 regex);
    }
    json_object_foreach(json_object_get(expect, "headers"), key, value)
    {
        char buf[1024];
        const char *got = reply_header(r, key, buf, sizeof(buf));

        if (got == NULL || strcmp(got, json_string_value(value)) != 0) {
            fail_msg("%s: header %s is %s, want %s", name, key, got == NULL ? "absent" : got,
                     json_string_value(value));
        }
    }
}

static void
run_case(struct pw_t *t, json_t *c)
{
    static const size_t pieces[] = {0, 7, 1};
    const char *name = json_string_value(json_object_get(c, "name"));
    const char *b64 = json_string_value(json_object_get(c, "body_base64"));
    const char *header[2 * PW_T_HEADERS_MAX + 1] = {0};
    const char *key;
    json_t *value;
    size_t cap = b64 == NULL ? 0 : strlen(b64);
    uint8_t *body = malloc(cap + 4);
    size_t n = 0;
    uint32_t h = 0;

    assert_int_equal(pw_base64_decode(pw_slice(b64 == NULL ? "" : b64, cap), body, cap + 4, &n), 0);
    json_object_foreach(json_object_get(c, "headers"), key, value)
    {
        header[h++] = key;
        header[h++] = json_string_value(value);
    }
    for (size_t i = 0; i < PW_ARRAY_LEN(pieces); i++) {
        struct pw_t_request r = {
            .method = json_string_value(json_object_get(c, "method")),
            .path = json_string_value(json_object_get(c, "path")),
            .header = header,
            .body = body,
            .body_len = n,
            .piece = pieces[i],
        };

        t->now_tsc += 10 * t->clock.tsc_hz; /* the rate limit is not what is tested here */
        pw_t_call(t, &r);
        check(name, &t->reply, json_object_get(c, "expect"));
    }
    free(body);
}

/* The limits that the notes of the multitenant cases ask for. */
static void
set_limits(struct pw_overrides *o)
{
    struct pw_limits *l = pw_overrides_tenant_cold(o, PW_SLICE_LIT("limited"));

    l->ingestion_limit = (struct pw_ingestion_limit){
        .set = true,
        .period_type = "month",
        .period_limit_mb = 2,
        .limit_reset_time_s = 1767225600,
        .limit_reached = true,
    };
    l = pw_overrides_tenant_cold(o, PW_SLICE_LIT("rate"));
    l->ingestion_rate_mb = 0.00001;
    l->ingestion_burst_size_mb = 0.00001;
    l = pw_overrides_tenant_cold(o, PW_SLICE_LIT("body"));
    l->ingestion_body_limit_mb = 0.0005;
}

static void
run_server(json_t *cases, const char *server, uint32_t *ran)
{
    struct pw_t t;
    size_t i;
    json_t *c;

    pw_t_up(&t, &(struct pw_t_cfg){.multitenancy = strcmp(server, "multitenant") == 0, .cores = 2});
    set_limits(t.overrides);
    json_array_foreach(cases, i, c)
    {
        const char *name = json_string_value(json_object_get(c, "name"));
        const char *why = later_reason(name);

        if (strcmp(json_string_value(json_object_get(c, "server")), server) != 0) {
            continue;
        }
        if (why != NULL) {
            print_message("skipped %s: %s\n", name, why);
            continue;
        }
        run_case(&t, c);
        (*ran)++;
    }
    pw_t_down(&t);
}

static void
test_routes__write_cases__answers_as_recorded(void **state)
{
    json_error_t err;
    json_t *cases = json_load_file(cases_path, 0, &err);
    uint32_t ran = 0;

    (void)state;
    if (cases == NULL) {
        fail_msg("%s: %s", cases_path, err.text);
    }
    run_server(cases, "default", &ran);
    run_server(cases, "multitenant", &ran);
    print_message("%u cases ran, three ways each\n", ran);
    assert_true(ran >= 60);
    json_decref(cases);
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_routes__write_cases__answers_as_recorded),
    };

    if (argc != 2) {
        fprintf(stderr, "usage: test_write_cases write-cases.json\n");
        return 77;
    }
    cases_path = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
