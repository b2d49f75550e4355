/* Routes, media types, compression, tenants, settings: contract read-path.md 0, 1.3, 5. */
#include "query/envelope.h"
#include "query/range.h"
#include "tests/query/fixture.h"

#include "tests/support/cmocka_pw.h"

#include <libdeflate.h>
#include <stdio.h>

#define TYPES_PATH "/querier.v1.QuerierService/ProfileTypes"

static void
test_pw_query_route__rows(void **state)
{
    static const struct {
        const char *path;
        enum pw_query_route route;
    } rows[] = {
        {TYPES_PATH, PW_QUERY_ROUTE_RPC},
        {"/querier.v1.QuerierService/Nope", PW_QUERY_ROUTE_RPC},
        {"/settings.v1.SettingsService/Get", PW_QUERY_ROUTE_RPC},
        {"/", PW_QUERY_ROUTE_GET},
        {"/pyroscope/render", PW_QUERY_ROUTE_GET},
        {"/api/v1/status/buildinfo", PW_QUERY_ROUTE_GET},
        {"/api/v1/feature-flags", PW_QUERY_ROUTE_GET},
        {"/pyroscope/labels", PW_QUERY_ROUTE_NONE},
        {"/render", PW_QUERY_ROUTE_NONE},
        {"/push.v1.PusherService/Push", PW_QUERY_ROUTE_NONE},
    };

    for (size_t i = 0; i < PW_ARRAY_LEN(rows); i++) {
        assert_int_equal(pw_query_route(pw_slice_str(rows[i].path)), rows[i].route);
    }
}

struct exchange {
    enum pw_http_method method;
    const char *path;
    const char *header[6]; /* name, value, ... */
    const char *body;
    uint16_t status;
    const char *content_type; /* NULL: none */
    const char *headers;      /* part of the reply's headers, or NULL */
    const char *want;
};

static void
run(struct qf *f, const struct exchange *x)
{
    struct pw_http_header h[3];
    uint32_t n = 0;

    for (; n < 3 && x->header[n * 2] != NULL; n++) {
        h[n] = (struct pw_http_header){pw_slice_str(x->header[n * 2]),
                                       pw_slice_str(x->header[n * 2 + 1])};
    }
    qf_execute(f, &(struct pw_query_request){.method = x->method,
                                             .path = pw_slice_str(x->path),
                                             .headers = h,
                                             .headers_count = n,
                                             .body = pw_slice_str(x->body == NULL ? "" : x->body),
                                             .now_ms = f->now_ms});
    if (f->rep.status != x->status || (x->want != NULL && strcmp(f->body, x->want) != 0) ||
        (x->headers != NULL && strstr(f->rep.headers, x->headers) == NULL)) {
        fail_msg("%s: %u [%s] %s", x->path, f->rep.status, f->rep.headers, f->body);
    }
    if (x->content_type == NULL) {
        assert_null(f->rep.content_type);
    } else {
        assert_string_equal(f->rep.content_type, x->content_type);
    }
}

#define JSON            "content-type", "application/json"
#define ERR(code, text) "{\"code\":\"" code "\",\"message\":\"" text "\"}"

static void
test_execute__transport_rules__rows(void **state)
{
    static const struct exchange rows[] = {
        {PW_HTTP_METHOD_POST,
         TYPES_PATH,
         {JSON},
         "{}",
         200,
         "application/json",
         "Accept-Encoding: gzip\r\n",
         "{}"},
        {PW_HTTP_METHOD_POST,
         TYPES_PATH,
         {"Content-Type", "application/proto"},
         "",
         200,
         "application/proto",
         NULL,
         ""},
        {PW_HTTP_METHOD_GET, TYPES_PATH, {JSON}, "", 405, NULL, "Allow: POST\r\n", ""},
        {PW_HTTP_METHOD_OPTIONS, TYPES_PATH, {NULL}, "", 405, NULL, "Allow: POST\r\n", ""},
        {PW_HTTP_METHOD_POST,
         TYPES_PATH,
         {"Content-Type", "text/plain"},
         "{}",
         415,
         NULL,
         NULL,
         ""},
        {PW_HTTP_METHOD_POST, TYPES_PATH, {NULL}, "{}", 415, NULL, NULL, ""},
        {PW_HTTP_METHOD_POST,
         "/querier.v1.QuerierService/Nope",
         {JSON},
         "{}",
         404,
         "text/plain; charset=utf-8",
         NULL,
         "404 page not found\n"},
        {PW_HTTP_METHOD_POST,
         TYPES_PATH,
         {JSON},
         "{",
         400,
         "application/json",
         NULL,
         ERR("invalid_argument",
             "unmarshal message: unmarshal into *querierv1.ProfileTypesRequest: "
             "proto:\xc2\xa0unexpected EOF")},
        {PW_HTTP_METHOD_POST,
         TYPES_PATH,
         {"Content-Type", "application/proto"},
         "\xff\xff",
         400,
         "application/json",
         NULL,
         ERR("invalid_argument", "unmarshal message: proto:\xc2\xa0"
                                 "cannot parse invalid wire-format data")},
        {PW_HTTP_METHOD_POST,
         TYPES_PATH,
         {JSON, "Connect-Protocol-Version", "2"},
         "{}",
         400,
         "application/json",
         NULL,
         ERR("invalid_argument", "Connect-Protocol-Version must be \\\"1\\\": got \\\"2\\\"")},
        {PW_HTTP_METHOD_POST,
         TYPES_PATH,
         {JSON, "Connect-Timeout-Ms", "0"},
         "{}",
         504,
         "application/json",
         NULL,
         ERR("deadline_exceeded", "context deadline exceeded")},
        {PW_HTTP_METHOD_POST,
         TYPES_PATH,
         {JSON, "Content-Encoding", "br"},
         "{}",
         501,
         "application/json",
         NULL,
         ERR("unimplemented", "unknown compression \\\"br\\\": supported encodings are gzip")},
        {PW_HTTP_METHOD_POST,
         TYPES_PATH,
         {JSON, "Content-Encoding", "gzip"},
         "no gzip",
         400,
         "application/json",
         NULL,
         ERR("invalid_argument", "decompress: gzip: invalid header or data")},
        {PW_HTTP_METHOD_POST,
         TYPES_PATH,
         {JSON, "Accept", "text/html foo"},
         "{}",
         400,
         "text/plain; charset=utf-8",
         NULL,
         "Invalid header format: mime: unexpected content after media subtype\n"},
        {PW_HTTP_METHOD_GET,
         "/api/v1/feature-flags",
         {NULL},
         "",
         404,
         "application/json",
         NULL,
         "{\"code\":5,\"message\":\"Not Found\",\"details\":[]}"},
        {PW_HTTP_METHOD_POST,
         "/pyroscope/render",
         {NULL},
         "",
         405,
         NULL,
         "Allow: GET, HEAD\r\n",
         ""},
        {PW_HTTP_METHOD_GET, "/ui", {NULL}, "", 302, NULL, "Location: /\r\n", ""},
        {PW_HTTP_METHOD_GET, "/", {NULL}, "", 200, "text/html; charset=utf-8", NULL, NULL},
        {PW_HTTP_METHOD_GET,
         "/assets/app.js",
         {NULL},
         "",
         200,
         "text/javascript; charset=utf-8",
         NULL,
         NULL},
        {PW_HTTP_METHOD_POST,
         "/version.v1.Version/Version",
         {JSON},
         "{}",
         200,
         "application/json",
         NULL,
         "{\"QuerierAPI\":\"1\"}"},
        {PW_HTTP_METHOD_POST,
         "/vcs.v1.VCSService/GithubApp",
         {JSON},
         "{}",
         501,
         "application/json",
         NULL,
         ERR("unimplemented", "GitHub integration is not configured")},
        {PW_HTTP_METHOD_POST,
         "/vcs.v1.VCSService/GetFile",
         {JSON},
         "{}",
         401,
         "application/json",
         NULL,
         ERR("unauthenticated", "invalid token")},
        {PW_HTTP_METHOD_POST,
         "/querier.v1.QuerierService/AnalyzeQuery",
         {JSON},
         "{\"query\":\"{}\"}",
         200,
         "application/json",
         NULL,
         "{}"},
        {PW_HTTP_METHOD_GET,
         "/api/v1/status/buildinfo",
         {NULL},
         "",
         200,
         "application/json",
         NULL,
         "{\"status\":\"success\",\"data\":{\"version\":\"test\",\"revision\":\"\",\"branch\":\"\","
         "\"buildUser\":\"\",\"buildDate\":\"\",\"goVersion\":\"\"}}"},
    };
    struct qf f;

    qf_init(&f, false);
    for (size_t i = 0; i < PW_ARRAY_LEN(rows); i++) {
        run(&f, &rows[i]);
    }
    qf_fini(&f);
}

static void
test_execute__gzip_in_and_out__same_message(void **state)
{
    struct libdeflate_compressor *c = libdeflate_alloc_compressor(6);
    struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
    static const char body[] =
        "{\"profileTypeID\":\"process_cpu:cpu:nanoseconds:cpu:nanoseconds\","
        "\"labelSelector\":\"{}\",\"start\":1799998000000,\"end\":1799999900000}";
    static char folded[1 << 14], plain[1 << 16];
    const struct pw_http_header h[] = {
        {PW_SLICE_LIT("Content-Type"), PW_SLICE_LIT("application/json")},
        {PW_SLICE_LIT("Content-Encoding"), PW_SLICE_LIT("gzip")},
        {PW_SLICE_LIT("Accept-Encoding"), PW_SLICE_LIT("br, gzip;q=1")}};
    uint8_t z[512];
    size_t n = 0, z_bytes = libdeflate_gzip_compress(c, body, sizeof(body) - 1, z, sizeof(z)),
           at = 0;
    struct pw_query_request req = {
        .method = PW_HTTP_METHOD_POST,
        .path = PW_SLICE_LIT("/querier.v1.QuerierService/SelectMergeStacktraces"),
        .headers = h,
        .headers_count = 3,
        .body = pw_slice(z, z_bytes)};
    struct qf f;

    qf_init(&f, false);
    req.now_ms = f.now_ms;
    for (int i = 0; i < 100; i++) {
        at += (size_t)snprintf(folded + at, sizeof(folded) - at, "main;function%d %d\n", i, i + 1);
    }
    qf_push(&f, &(struct qf_push){.time_ms = 1799999000000, .folded = folded});
    qf_execute(&f, &req);
    assert_int_equal(f.rep.status, 200);
    assert_non_null(strstr(f.rep.headers, "Content-Encoding: gzip\r\n"));
    assert_int_equal(
        libdeflate_gzip_decompress(d, f.rep.body, f.rep.body_bytes, plain, sizeof(plain) - 1, &n),
        LIBDEFLATE_SUCCESS);
    plain[n] = 0;
    req.headers_count = 2;
    qf_execute(&f, &req);
    assert_null(strstr(f.rep.headers, "Content-Encoding"));
    assert_string_equal(f.body, plain);
    libdeflate_free_compressor(c);
    libdeflate_free_decompressor(d);
    qf_fini(&f);
}

static void
test_execute__multitenancy__tenants_apart_and_united(void **state)
{
    static const struct {
        const char *tenant;
        uint16_t status;
        const char *want;
    } rows[] = {
        {"a", 200, "{\"names\":[\"sa\"]}"},
        {"b", 200, "{\"names\":[\"sb\"]}"},
        {"c", 200, "{}"},
        {"a|b", 200, "{\"names\":[\"sa\",\"sb\"]}"},
        {"b|a|b", 200, "{\"names\":[\"sa\",\"sb\"]}"},
        {"", 401, ERR("unauthenticated", "no org id")},
        {"x/y", 401, ERR("unauthenticated", "tenant ID contains unsupported character '/'")},
    };
    struct exchange x = {
        PW_HTTP_METHOD_POST,
        "/querier.v1.QuerierService/LabelValues",
        {JSON, "X-Scope-OrgID", NULL},
        "{\"name\":\"service_name\",\"start\":1799998000000,\"end\":1799999900000}",
        200,
        "application/json",
        NULL,
        NULL};
    struct qf f;

    qf_init(&f, true);
    qf_push(&f, &(struct qf_push){.tenant = "a",
                                  .labels = "service_name=sa",
                                  .time_ms = 1799999000000,
                                  .folded = "m 1\n"});
    qf_push(&f, &(struct qf_push){.tenant = "b",
                                  .labels = "service_name=sb",
                                  .time_ms = 1799999000000,
                                  .folded = "m 1\n"});
    for (size_t i = 0; i < PW_ARRAY_LEN(rows); i++) {
        x.header[3] = rows[i].tenant;
        x.status = rows[i].status;
        x.want = rows[i].want;
        run(&f, &x);
    }
    x = (struct exchange){PW_HTTP_METHOD_POST,
                          "/querier.v1.QuerierService/GetProfileStats",
                          {JSON, "X-Scope-OrgID", "a|b"},
                          "{}",
                          400,
                          "application/json",
                          NULL,
                          ERR("invalid_argument", "expected 1 tenant, got 2")};
    run(&f, &x);
    x = (struct exchange){PW_HTTP_METHOD_GET,
                          "/pyroscope/render",
                          {NULL},
                          "",
                          401,
                          "application/json",
                          "X-Content-Type-Options: nosniff\r\n",
                          ERR("unauthenticated", "no org id")};
    run(&f, &x);
    qf_fini(&f);
}

static void
test_settings__set_get_delete__newest_wins(void **state)
{
    static const struct {
        const char *method, *body;
        uint16_t status;
        const char *want;
    } rows[] = {
        {"Get", "{}", 200, "{}"},
        {"Set", "{}", 400, ERR("invalid_argument", "no setting values provided")},
        {"Set", "{\"setting\":{\"name\":\"n\",\"value\":\"v\",\"modifiedAt\":\"5\"}}", 200,
         "{\"setting\":{\"name\":\"n\",\"value\":\"v\",\"modifiedAt\":\"5\"}}"},
        {"Set", "{\"setting\":{\"name\":\"n\",\"value\":\"old\",\"modifiedAt\":\"4\"}}", 409,
         ERR("already_exists", "failed to update n: newer update already written")},
        {"Set", "{\"setting\":{\"name\":\"n\",\"value\":\"w\",\"modifiedAt\":\"6\"}}", 200, NULL},
        {"Set", "{\"setting\":{\"name\":\"now\",\"value\":\"x\"}}", 200,
         "{\"setting\":{\"name\":\"now\",\"value\":\"x\",\"modifiedAt\":\"1800000000000\"}}"},
        {"Get", "{}", 200,
         "{\"settings\":[{\"name\":\"n\",\"value\":\"w\",\"modifiedAt\":\"6\"},"
         "{\"name\":\"now\",\"value\":\"x\",\"modifiedAt\":\"1800000000000\"}]}"},
        {"Delete", "{}", 400, ERR("invalid_argument", "no setting name provided")},
        {"Delete", "{\"name\":\"now\"}", 200, "{}"},
        {"Delete", "{\"name\":\"n\"}", 200, "{}"},
        {"Get", "{}", 200, "{}"},
    };
    char path[100];
    struct qf f;

    qf_init(&f, false);
    for (size_t i = 0; i < PW_ARRAY_LEN(rows); i++) {
        snprintf(path, sizeof(path), "/settings.v1.SettingsService/%s", rows[i].method);
        qf_post(&f, path, rows[i].body);
        assert_int_equal(f.rep.status, rows[i].status);
        if (rows[i].want != NULL) {
            assert_string_equal(f.body, rows[i].want);
        }
    }
    qf_fini(&f);
}

/* --- Times ---------------------------------------------------------------------------------- */

static void
test_pw_range_attime__rows(void **state)
{
    enum { NOW = 1000000000 };
    static const struct {
        const char *text;
        int64_t ms;
    } rows[] = {
        {"", NOW},
        {"now", NOW},
        {"anything", NOW},
        {"now-1h", NOW - 3600000},
        {"now - 30 min", NOW - 1800000},
        {"now-90s", NOW - 90000},
        {"now-1d+2h", NOW - 86400000 + 7200000},
        {"now-1M", NOW - 30 * 86400000LL},
        {"now-1mon", NOW - 30 * 86400000LL},
        {"now-1y", NOW - 365 * 86400000LL},
        {"now-5parsec", NOW},
        {"1600000000", 1600000000000},
        {"1600000000123", 1600000000123},
        {"1600000000123456", 1600000000123},
        {"1600000000123456789", 1600000000123},
        {"20200101", 1577836800000}, /* a day */
        {"20201399", 20201399000},   /* none: seconds */
    };

    for (size_t i = 0; i < PW_ARRAY_LEN(rows); i++) {
        int64_t got = pw_range_attime(pw_slice_str(rows[i].text), NOW);

        if (got != rows[i].ms) {
            fail_msg("\"%s\": %lld", rows[i].text, (long long)got);
        }
    }
}

static void
test_pw_range_durations__as_go_and_prometheus_write_them(void **state)
{
    static const struct {
        int64_t ms;
        const char *go, *model;
    } rows[] = {
        {0, "0s", "0s"},
        {250, "250ms", "250ms"},
        {1500, "1.5s", "1s500ms"},
        {61000, "1m1s", "1m1s"},
        {3600000, "1h0m0s", "1h"},
        {173400000, "48h10m0s", "2d10m"},
        {604800000, "168h0m0s", "1w"},
        {691200000, "192h0m0s", "8d"},
        {31536000000, "8760h0m0s", "1y"},
    };

    for (size_t i = 0; i < PW_ARRAY_LEN(rows); i++) {
        char buf[64];
        struct pw_text t;

        pw_text_fixed(&t, buf, sizeof(buf));
        pw_range_go_duration(&t, rows[i].ms);
        assert_true(pw_slice_eq_str(pw_slice(t.ptr, t.len), rows[i].go));
        t.len = 0;
        pw_range_model_duration(&t, rows[i].ms);
        assert_true(pw_slice_eq_str(pw_slice(t.ptr, t.len), rows[i].model));
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pw_query_route__rows),
        cmocka_unit_test(test_execute__transport_rules__rows),
        cmocka_unit_test(test_execute__gzip_in_and_out__same_message),
        cmocka_unit_test(test_execute__multitenancy__tenants_apart_and_united),
        cmocka_unit_test(test_settings__set_get_delete__newest_wins),
        cmocka_unit_test(test_pw_range_attime__rows),
        cmocka_unit_test(test_pw_range_durations__as_go_and_prometheus_write_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
