/* The operators' pages: readiness as the sum of the modules' states, metrics that parse, routes. */
#include "tests/support/cmocka_pw.h"

#include "app/admin.h"
#include "tests/support/prom_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static const char *const modules[] = {"server", "ingester", "distributor"};

struct world {
    struct pw_config cfg;
    struct pw_admin *a;
    struct pw_text t;
};

static void
write_gauge(void *ctx, struct pw_text *t)
{
    const char *name = ctx;

    pw_text_printf(t, "# HELP %s Help.\n# TYPE %s gauge\n%s{a=\"x\\\\\\\"\"} 1.5e+06\n", name, name,
                   name);
}

static void
write_starting(void *ctx, struct pw_text *t)
{
    const struct world *w = ctx;

    pw_text_printf(t, "replaying, %u modules\n", w->a != NULL ? 3 : 0);
}

static void
create(struct world *w, const struct pw_metrics_source *source, uint32_t sources)
{
    assert_int_equal(pw_admin_create_ctl(&w->a, &(struct pw_admin_cfg){.config = &w->cfg,
                                                                       .module = modules,
                                                                       .modules_count = 3,
                                                                       .source = source,
                                                                       .sources_count = sources,
                                                                       .starting = write_starting,
                                                                       .ctx = w}),
                     0);
}

static int
setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    static char first[] = "pyrowire_test_one", second[] = "pyrowire_test_two";
    const struct pw_metrics_source source[] = {{write_gauge, first}, {write_gauge, second}};

    assert_non_null(w);
    pw_config_defaults(&w->cfg);
    pw_text_init(&w->t, 1 << 20);
    create(w, source, PW_ARRAY_LEN(source));
    *state = w;
    return 0;
}

static int
teardown(void **state)
{
    struct world *w = *state;

    pw_admin_destroy_ctl(w->a);
    pw_config_fini(&w->cfg);
    pw_text_fini(&w->t);
    free(w);
    return 0;
}

static const char *
text(struct pw_text *t)
{
    pw_text_char(t, 0);
    t->len--;
    return (const char *)t->ptr;
}

/* A request on path; the body ends up in w->t. */
static struct pw_query_reply
get(struct world *w, enum pw_http_method method, const char *path, const char *query)
{
    struct pw_query_reply rep;

    pw_admin_execute_cold(w->a,
                          &(struct pw_query_request){.method = method,
                                                     .path = pw_slice_str(path),
                                                     .query = pw_slice_str(query)},
                          &rep);
    w->t.len = 0;
    pw_text_put(&w->t, rep.body, rep.body_bytes);
    free(rep.body);
    rep.body = NULL;
    return rep;
}

static void
test_ready__life_of_the_process__starting_ready_draining(void **state)
{
    struct world *w = *state;
    char buf[PW_ADMIN_READY_BYTES_MAX];
    struct pw_text fixed;

    assert_int_equal(get(w, PW_HTTP_METHOD_GET, "/ready", "").status, 503);
    assert_string_equal(text(&w->t),
                        "Some services are not Running:\nNew: [distributor ingester server]\n");
    pw_admin_set_state_ctl(w->a, 0, PW_ADMIN_RUNNING);
    pw_admin_set_state_ctl(w->a, 1, PW_ADMIN_STARTING);
    pw_admin_set_state_ctl(w->a, 2, PW_ADMIN_RUNNING);
    assert_int_equal(get(w, PW_HTTP_METHOD_GET, "/ready", "").status, 503);
    assert_string_equal(text(&w->t), "Some services are not Running:\nStarting: [ingester]\n"
                                     "Running: [distributor server]\n");
    pw_admin_set_all_ctl(w->a, PW_ADMIN_RUNNING);
    assert_int_equal(get(w, PW_HTTP_METHOD_GET, "/ready", "").status, 200);
    assert_string_equal(text(&w->t), "ready"); /* 5 bytes, no newline */
    pw_admin_set_all_ctl(w->a, PW_ADMIN_STOPPING);
    pw_admin_set_state_ctl(w->a, 0, PW_ADMIN_TERMINATED);
    pw_text_fixed(&fixed, buf, sizeof(buf));
    assert_int_equal(pw_admin_ready(w->a, &fixed), 503);
    assert_string_equal(text(&fixed), "Some services are not Running:\n"
                                      "Stopping: [distributor ingester]\nTerminated: [server]\n");
}

static void
test_ready__starting__says_at_what(void **state)
{
    struct world *w = *state;

    assert_false(pw_admin_is_starting(w->a));
    pw_admin_set_all_ctl(w->a, PW_ADMIN_STARTING);
    assert_true(pw_admin_is_starting(w->a));
    assert_int_equal(get(w, PW_HTTP_METHOD_GET, "/ready", "").status, 503);
    assert_string_equal(text(&w->t), "Some services are not Running:\n"
                                     "Starting: [distributor ingester server]\n"
                                     "replaying, 3 modules\n");
    pw_admin_set_all_ctl(w->a, PW_ADMIN_RUNNING);
    assert_false(pw_admin_is_starting(w->a));
}

static void
test_services__states__one_line_each_in_start_order(void **state)
{
    struct world *w = *state;

    pw_admin_set_state_ctl(w->a, 1, PW_ADMIN_RUNNING);
    assert_int_equal(get(w, PW_HTTP_METHOD_GET, "/services", "").status, 200);
    assert_string_equal(text(&w->t), "server => New\ningester => Running\ndistributor => New\n");
}

static void
test_execute__methods__get_and_head_alone(void **state)
{
    struct world *w = *state;
    struct pw_query_reply rep = get(w, PW_HTTP_METHOD_POST, "/ready", "");

    assert_int_equal(rep.status, 405);
    assert_int_equal(rep.body_bytes, 0);
    assert_string_equal(rep.headers, "Allow: GET\r\n");
    assert_int_equal(get(w, PW_HTTP_METHOD_HEAD, "/services", "").status, 200);
}

static void
test_owns_path__pages_and_others__only_ours(void **state)
{
    static const char *const ours[] = {"/ready",
                                       "/metrics",
                                       "/config",
                                       "/services",
                                       "/runtime_config",
                                       "/api/v1/status/config",
                                       "/api/v1/status/config/diff",
                                       "/api/v1/status/config/default"};
    static const char *const others[] = {
        "/", "", "/ready/", "/Metrics", "/api/v1/status", "/api/v1/status/buildinfo"};

    (void)state;
    for (size_t i = 0; i < PW_ARRAY_LEN(ours); i++) {
        assert_true(pw_admin_owns_path(pw_slice_str(ours[i])));
    }
    for (size_t i = 0; i < PW_ARRAY_LEN(others); i++) {
        assert_false(pw_admin_owns_path(pw_slice_str(others[i])));
    }
}

static void
test_config__views__all_diff_default(void **state)
{
    struct world *w = *state;

    w->cfg.http_listen_port = 5;
    assert_int_equal(get(w, PW_HTTP_METHOD_GET, "/config", "").status, 200);
    assert_non_null(strstr(text(&w->t), "\n    http_listen_port: 5\n"));
    assert_int_equal(get(w, PW_HTTP_METHOD_GET, "/api/v1/status/config/diff", "").status, 200);
    assert_string_equal(text(&w->t), "server:\n    http_listen_port: 5\n");
    assert_int_equal(get(w, PW_HTTP_METHOD_GET, "/api/v1/status/config/default", "").status, 200);
    assert_non_null(strstr(text(&w->t), "\n    http_listen_port: 4040\n"));
    assert_int_equal(get(w, PW_HTTP_METHOD_GET, "/runtime_config", "").status, 404);
}

/* Value of the sample whose series is `series`; fails when it is not there. */
static double
sample(struct world *w, const char *series)
{
    char line[256];
    const char *p;

    (void)snprintf(line, sizeof(line), "\n%s ", series);
    p = strstr(text(&w->t), line);
    assert_non_null(p);
    return strtod(p + strlen(line), NULL);
}

static void
write_too_much(void *ctx, struct pw_text *t)
{
    (void)ctx;
    for (uint32_t i = 0; !t->failed; i++) {
        pw_text_printf(t, "pyrowire_test_huge{tenant=\"%u\"} 1\n", i);
    }
}

static void
test_metrics__one_source_is_too_large__the_others_are_told(void **state)
{
    struct world *w = *state;
    static char before[] = "pyrowire_test_one", behind[] = "pyrowire_test_two";
    const struct pw_metrics_source source[] = {
        {write_gauge, before}, {write_too_much, NULL}, {write_gauge, behind}};
    struct pw_query_reply rep;

    pw_admin_destroy_ctl(w->a);
    create(w, source, PW_ARRAY_LEN(source));
    rep = get(w, PW_HTTP_METHOD_GET, "/metrics", "");
    assert_int_equal(rep.status, 200);
    assert_true(sample(w, "pyrowire_test_one{a=\"x\\\\\\\"\"}") == 1.5e6);
    assert_true(sample(w, "pyrowire_test_two{a=\"x\\\\\\\"\"}") == 1.5e6);
    assert_true(sample(w, "pyrowire_metrics_left_out") == 1);
    assert_null(strstr(text(&w->t), "pyrowire_test_huge"));
}

static void
test_metrics__process_and_sources__valid_and_plausible(void **state)
{
    struct world *w = *state;
    struct pw_query_reply rep;
    struct pw_text err;
    time_t now = time(NULL);

    rep = get(w, PW_HTTP_METHOD_GET, "/metrics", "");
    assert_int_equal(rep.status, 200);
    assert_string_equal(rep.content_type,
                        "text/plain; version=0.0.4; charset=utf-8; escaping=underscores");
    pw_text_init(&err, 4096);
    if (prom_check(pw_slice(w->t.ptr, w->t.len), &err) != 0) {
        fail_msg("%s", text(&err));
    }
    pw_text_fini(&err);
    assert_true(sample(w, "process_resident_memory_bytes") > 100000);
    assert_true(sample(w, "process_resident_memory_bytes") < 1e9);
    assert_true(sample(w, "process_start_time_seconds") > (double)now - 60);
    assert_true(sample(w, "process_start_time_seconds") < (double)now + 3);
    assert_true(sample(w, "process_threads") >= 1);
    assert_true(sample(w, "process_open_fds") >= 3);
    assert_true(sample(w, "pyrowire_metrics_left_out") == 0);
    assert_true(sample(w, "pyrowire_test_two{a=\"x\\\\\\\"\"}") == 1.5e6);
    assert_true(sample(w, "pyrowire_module_running{module=\"ingester\"}") == 0);
}

/* A test that cannot fail proves nothing: the checker refuses what it is there for. */
static void
test_prom_check__broken_pages__refused(void **state)
{
#define HEAD "# HELP a A.\n# TYPE a gauge\n"
    static const struct {
        const char *page, *why; /* NULL: valid */
    } row[] = {
        {HEAD "a 1\n", NULL},
        {HEAD "a{b=\"c\",d=\"\"} +Inf\n", NULL},
        {"# HELP h H.\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n", NULL},
        {"a 1\n", "no TYPE"},
        {"# TYPE a gauge\na 1\n", NULL},
        {HEAD "a 1", "last line"},
        {HEAD "a x\n", "malformed value"},
        {HEAD "a 1 \n", "malformed value"},
        {HEAD "a{b=c} 1\n", "malformed labels"},
        {HEAD "a{b=\"\\x\"} 1\n", "malformed labels"},
        {HEAD "a{b=\"c} 1\n", "malformed labels"},
        {HEAD "1a 1\n", "malformed sample"},
        {HEAD "a 1\na 2\n", "given twice"},
        {HEAD HEAD "a 1\n", "given twice"},
        {HEAD "a 1\n" HEAD, "given twice"},
        {HEAD "a{x=\"1\"} 1\n# HELP b B.\n# TYPE b gauge\nb 1\na{x=\"2\"} 1\n", "several pieces"},
        {"# HELP a A.\n# TYPE a number\n", "unknown type"},
        {HEAD "a_bucket{le=\"1\"} 1\n", "no TYPE"},
    };

    (void)state;
    for (size_t i = 0; i < PW_ARRAY_LEN(row); i++) {
        struct pw_text err;
        int rc;

        pw_text_init(&err, 4096);
        rc = prom_check(pw_slice_str(row[i].page), &err);
        if (row[i].why == NULL) {
            assert_int_equal(rc, 0);
        } else {
            assert_int_equal(rc, PW_EINVAL);
            assert_non_null(strstr(text(&err), row[i].why));
        }
        pw_text_fini(&err);
    }
#undef HEAD
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(test_ready__life_of_the_process__starting_ready_draining),
        T(test_ready__starting__says_at_what),
        T(test_services__states__one_line_each_in_start_order),
        T(test_execute__methods__get_and_head_alone),
        T(test_owns_path__pages_and_others__only_ours),
        T(test_config__views__all_diff_default),
        T(test_metrics__process_and_sources__valid_and_plausible),
        T(test_metrics__one_source_is_too_large__the_others_are_told),
        cmocka_unit_test(test_prom_check__broken_pages__refused),
#undef T
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
