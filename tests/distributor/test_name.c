/* The name grammar, the query string, the time grammar and the format decision of write-path.md 1.3. */
#include "distributor/ingest.h"

#include "tests/support/cmocka_pw.h"

struct name_case {
    const char *in;
    const char *app;  /* NULL: refused */
    const char *want; /* LS(labels), or the text */
};

static const struct name_case name_cases[] = {
    {"app", "app", "{}"},
    {" app ", "app", "{}"},
    {"a.b/c-d_E9", "a.b/c-d_E9", "{}"},
    {"app{}", "app", "{}"},
    {"app{a=b}", "app", "{a=\"b\"}"},
    {"app { a = b , c = d } tail", "app", "{a=\"b\", c=\"d\"}"},
    {"app{a=b", "app", "{}"},             /* unterminated: dropped */
    {"app{a=b,c=d", "app", "{a=\"b\"}"},  /* only the last one */
    {"app{a=b,a=c}", "app", "{a=\"c\"}"}, /* the last wins */
    {"app{a=x=y{\"}", "app", "{a=\"x=y{\\\"\"}"},
    {"app{9a.b_=v}", "app", "{9a.b_=\"v\"}"},
    {"app{a=}", "app", "{a=\"\"}"},
    {"app{__name__=other,a=b}", "other", "{a=\"b\"}"},
    {"app{a}", "app", "{}"},
    {"", NULL, "name: service name is required"},
    {" {a=b}", NULL, "name: service name is required"},
    {"app{=b}", NULL, "name: label name is required"},
    {"app{ =b}", NULL, "name: label name is required"},
    {"a b", NULL, "name: invalid service name: a b: character is not allowed: ' '"},
    {"a\xc3\xa9", NULL,
     "name: invalid service name: a\xc3\xa9: character is not allowed: '\xc3\xa9'"},
    {"a\xff", NULL, "name: invalid service name: a\xff: character is not allowed: '\xef\xbf\xbd'"},
    {"app{a-b=c}", NULL, "name: invalid label name: a-b: character is not allowed: '-'"},
    {"app{a,b=c}", NULL, "name: invalid label name: a,b: character is not allowed: ','"},
};

static void
test_pw_name_parse__table__as_written(void **state)
{
    (void)state;
    for (size_t i = 0; i < PW_ARRAY_LEN(name_cases); i++) {
        const struct name_case *c = &name_cases[i];
        struct pw_label_pair pair[8];
        struct pw_name n = {.labels = {.pair = pair, .cap = 8}};
        char buf[256];
        struct pw_text t;
        int rc;

        pw_text_fixed(&t, buf, sizeof(buf));
        rc = pw_name_parse(&n, pw_slice_str(c->in), &t);
        assert_int_equal(rc, c->app == NULL ? PW_EINVAL : 0);
        if (rc == 0) {
            assert_int_equal(t.len, 0);
            assert_true(pw_slice_eq_str(n.app, c->app));
            pw_labels_text(&n.labels, &t);
        }
        pw_text_char(&t, 0);
        assert_string_equal(buf, c->want);
    }
}

static void
test_pw_name_parse__more_labels_than_room__refused(void **state)
{
    struct pw_label_pair pair[2];
    struct pw_name n = {.labels = {.pair = pair, .cap = 2}};
    char buf[64];
    struct pw_text t;

    (void)state;
    pw_text_fixed(&t, buf, sizeof(buf));
    assert_int_equal(pw_name_parse(&n, PW_SLICE_LIT("a{a=1,b=2,c=3}"), &t), PW_ENOSPC);
}

#define NOW 1700000000123456789LL
#define SEC 1000000000LL

static void
test_pw_ingest_time__table__as_written(void **state)
{
    static const struct {
        const char *in;
        int64_t want;
    } rows[] = {
        {"1577836800", 1577836800 * SEC},
        {"1577836800123", 1577836800123 * 1000000},
        {"1577836800123456", 1577836800123456 * 1000},
        {"1577836800123456789", 1577836800123456789},
        {"20200101", 1577836800 * SEC},
        {"20200229", 1582934400 * SEC},
        {"20210229", 20210229 * SEC}, /* no such day: seconds */
        {"18991231", 18991231 * SEC}, /* not after 1900: seconds */
        {"20201301", 20201301 * SEC},
        {"1_577,836 800", 1577836800 * SEC},
        {"5", 5 * SEC},
        {"", NOW},
        {"now", NOW},
        {"now-1h", NOW - 3600 * SEC},
        {"whatever-1h30min", NOW - 5400 * SEC},
        {"now+1d", NOW + 86400 * SEC},
        {"-10s", NOW - 10 * SEC},
        {"now-1mon", NOW - 2592000 * SEC},
        {"now-1M", NOW - 2592000 * SEC},
        {"now-2m", NOW - 120 * SEC},
        {"now-1w", NOW - 604800 * SEC},
        {"now-1y", NOW - 31536000 * SEC},
        {"now-7parsecs", NOW},
        {"99999999999999999999999", INT64_MAX}, /* not an overflow */
    };

    (void)state;
    for (size_t i = 0; i < PW_ARRAY_LEN(rows); i++) {
        int64_t got = pw_ingest_time(pw_slice_str(rows[i].in), NOW);

        if (got != rows[i].want) {
            fail_msg("%s: %lld, want %lld", rows[i].in, (long long)got, (long long)rows[i].want);
        }
    }
}

static void
test_pw_ingest_query_get__table__as_go_decodes(void **state)
{
    static const struct {
        const char *query, *key, *want; /* NULL: absent */
    } rows[] = {
        {"name=a", "name", "a"},        {"x=1&name=a%20b+c", "name", "a b c"},
        {"name=1&name=2", "name", "1"}, {"name=%zz&name=ok", "name", "ok"},
        {"name=%4", "name", NULL},      {"name=a;b&x=1", "name", NULL},
        {"na%6De=q", "name", "q"},      {"name", "name", ""},
        {"&&name=1&", "name", "1"},     {"", "name", NULL},
        {"name=a=b", "name", "a=b"},
    };
    struct pw_scratch s;

    (void)state;
    assert_int_equal(pw_scratch_init_ctl(&s, 1 << 16), 0);
    for (size_t i = 0; i < PW_ARRAY_LEN(rows); i++) {
        struct pw_slice v = pw_ingest_query_get(pw_slice_str(rows[i].query), rows[i].key, &s);

        if (rows[i].want == NULL) {
            assert_null(v.ptr);
        } else {
            assert_non_null(v.ptr);
            assert_true(pw_slice_eq_str(v, rows[i].want));
        }
    }
    pw_scratch_fini_ctl(&s);
}

static void
test_pw_ingest_format__table__first_match(void **state)
{
    static const struct {
        const char *format, *type;
        enum pw_ingest_format want;
    } rows[] = {
        {"", "", PW_INGEST_FOLDED},
        {"groups", "text/plain", PW_INGEST_FOLDED},
        {"PPROF", "", PW_INGEST_FOLDED}, /* case-sensitive */
        {"pprof", "multipart/form-data; boundary=x", PW_INGEST_PPROF},
        {"", "multipart/form-data; boundary=x", PW_INGEST_PPROF_FORM},
        {"collapsed", "multipart/form-data", PW_INGEST_PPROF_FORM},
        {"jfr", "multipart/form-data", PW_INGEST_JFR},
        {"pprof", "binary/octet-stream+trie", PW_INGEST_TRIE},
        {"lines", "binary/octet-stream+tree", PW_INGEST_TREE},
        {"trie", "", PW_INGEST_TRIE},
        {"tree", "", PW_INGEST_TREE},
        {"lines", "", PW_INGEST_LINES},
        {"speedscope", "", PW_INGEST_SPEEDSCOPE},
    };

    (void)state;
    for (size_t i = 0; i < PW_ARRAY_LEN(rows); i++) {
        assert_int_equal(pw_ingest_format(pw_slice_str(rows[i].format), pw_slice_str(rows[i].type)),
                         rows[i].want);
    }
}

static void
test_pw_ingest_params_parse__defaults_and_rates__as_written(void **state)
{
    static const struct {
        const char *query;
        uint32_t rate;
        const char *spy;
    } rows[] = {
        {"name=a", 100, "unknown"},
        {"name=a&sampleRate=-5&spyName=", 100, "unknown"},
        {"name=a&sampleRate=x&spyName=gospy", 100, "gospy"},
        {"name=a&sampleRate=0", 0, "unknown"},
        {"name=a&sampleRate=%2B250", 250, "unknown"},
        {"name=a&sampleRate=99999999999999999999", 100, "unknown"},
    };
    struct pw_scratch s;

    (void)state;
    assert_int_equal(pw_scratch_init_ctl(&s, 1 << 20), 0);
    for (size_t i = 0; i < PW_ARRAY_LEN(rows); i++) {
        struct pw_ingest_params p;
        char buf[128];
        struct pw_text err;

        pw_text_fixed(&err, buf, sizeof(buf));
        assert_int_equal(pw_ingest_params_parse(&p, pw_slice_str(rows[i].query), PW_SLICE_LIT(""),
                                                NOW, &s, &err),
                         0);
        assert_int_equal(p.sample_rate, rows[i].rate);
        assert_true(pw_slice_eq_str(p.spy_name, rows[i].spy));
        assert_int_equal(p.from_ns, NOW);
        pw_scratch_rewind(&s, 0);
    }
    pw_scratch_fini_ctl(&s);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pw_name_parse__table__as_written),
        cmocka_unit_test(test_pw_name_parse__more_labels_than_room__refused),
        cmocka_unit_test(test_pw_ingest_time__table__as_written),
        cmocka_unit_test(test_pw_ingest_query_get__table__as_go_decodes),
        cmocka_unit_test(test_pw_ingest_format__table__first_match),
        cmocka_unit_test(test_pw_ingest_params_parse__defaults_and_rates__as_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
