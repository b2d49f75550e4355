#include "query/selector.h"

#include "tests/support/cmocka_pw.h"

#include <stdio.h>

struct fixture {
    struct pw_arena arena;
    struct pw_regex_cache cache;
};

static int
setup(void **state)
{
    static struct fixture f;

    pw_arena_init(&f.arena, 1 << 24);
    assert_int_equal(pw_regex_cache_init_cold(&f.cache), 0);
    *state = &f;
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *f = *state;

    pw_arena_reset(&f->arena);
    pw_regex_cache_fini_cold(&f->cache);
    return 0;
}

/* The rule for labels: sorted by name. */
static const struct pw_label_pair labels[] = {
    {PW_SLICE_LIT("__name__"), PW_SLICE_LIT("process_cpu")},
    {PW_SLICE_LIT("pod"), PW_SLICE_LIT("c-0")},
    {PW_SLICE_LIT("region"), PW_SLICE_LIT("eu")},
    {PW_SLICE_LIT("service.name"), PW_SLICE_LIT("x\"y\n")},
    {PW_SLICE_LIT("service_name"), PW_SLICE_LIT("checkout")},
};

static void
test_pw_selector_matches__rows(void **state)
{
    static const struct {
        const char *text;
        bool matches;
    } rows[] = {
        {"{}", true},
        {" { } ", true},
        {"{service_name=\"checkout\"}", true},
        {"{service_name='checkout',}", true}, /* trailing comma, other quotes */
        {"{service_name=`checkout`}", true},
        {"{service_name=\"check\\x6fut\"}", true}, /* escapes */
        {"{service_name=\"\\u0063heck\\157ut\"}", true},
        {"{service_name=`check\\x6fut`}", false}, /* none in raw strings */
        {"process_cpu{region=\"eu\"}", true},
        {"process_cpu", true},
        {"memory{region=\"eu\"}", false},
        {"{\"service.name\"=\"x\\\"y\\n\"}", true}, /* quoted name */
        {"{\"process_cpu\"}", true},                /* a bare quoted name is the metric */
        {"{\"process_cpu\", pod=\"c-0\"}", true},
        {"{service_name=~\"check.*\",region!=\"us\"}", true},
        {"{service_name=~\"check\"}", false}, /* anchored */
        {"{service_name!~\"cart|store\"}", true},
        {"{service_name!~\"cart|checkout\"}", false},
        {"{nope=\"\"}", true}, /* missing is empty */
        {"{nope!=\"\"}", false},
        {"{nope=~\".*\"}", true},
        {"{nope=~\".+\"}", false},
        {"{nope!=\"x\"}", true},
        {"{pod=\"c-0\",pod=\"c-1\"}", false},
        {"{ pod = \"c-0\" , # why\n region=\"eu\" }", true},
        {"{__name__=\"process_cpu\"}", true},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < PW_ARRAY_LEN(rows); i++) {
        struct pw_selector sel = {0};
        struct pw_text err;
        char buf[256] = "";

        pw_text_fixed(&err, buf, sizeof(buf) - 1);
        if (pw_selector_parse(&sel, pw_slice_str(rows[i].text), &f->arena, &f->cache, &err) != 0) {
            fail_msg("%s: %s", rows[i].text, buf);
        }
        if (pw_selector_matches(&sel, &f->cache, labels, PW_ARRAY_LEN(labels)) != rows[i].matches) {
            fail_msg("%s", rows[i].text);
        }
    }
}

static void
test_pw_selector_parse__bad_texts__say_where_and_why(void **state)
{
    static const struct {
        const char *text;
        const char *err;
    } rows[] = {
        {"", "unknown position: parse error: unexpected end of input"},
        {" ", "1:2: parse error: unexpected end of input"},
        {"{service_name=", "1:15: parse error: unexpected end of input inside braces"},
        {"{{{", "1:2: parse error: unexpected left brace '{'"},
        {"{nope==\"x\"}", "1:7: parse error: unexpected \"=\" in label matching, expected string"},
        {"{nope=~\"(\"}", "1:2: parse error: error parsing regexp: missing closing ): `(`"},
        {"{a=\"b\"", "1:7: parse error: unexpected end of input inside braces"},
        {"{a}", "1:3: parse error: unexpected \"}\" in label matching, expected label matching "
                "operator"},
        {"{=\"b\"}",
         "1:2: parse error: unexpected \"=\" in label matching, expected identifier or \"}\""},
        {"{a=\"b\" c=\"d\"}", "1:8: parse error: unexpected identifier \"c\" in label matching, "
                              "expected \",\" or \"}\""},
        {"{a=!=\"b\"}", "1:4: parse error: unexpected <op:!=> in label matching, expected string"},
        {"{a=b}", "1:4: parse error: unexpected identifier \"b\" in label matching, expected "
                  "string"},
        {"{a=\"b}", "1:4: parse error: unterminated quoted string"},
        {"{a=`b}", "1:4: parse error: unterminated raw string"},
        {"{a=\"\\q\"}", "1:4: parse error: unknown escape sequence U+0071 'q'"},
        {"{a!\"b\"}", "1:3: parse error: unexpected character after '!' inside braces: '\"'"},
        {"{a;b}", "1:3: parse error: unexpected character inside braces: ';'"},
        {"{a=\"b\"} x", "1:9: parse error: unexpected identifier \"x\""},
        {"}", "1:1: parse error: unexpected right brace '}'"},
        {"{\n a=~\"[\"}", "2:2: parse error: error parsing regexp: missing closing ]: `[`"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < PW_ARRAY_LEN(rows); i++) {
        struct pw_selector sel = {0};
        struct pw_text err;
        char buf[256] = "";

        pw_text_fixed(&err, buf, sizeof(buf) - 1);
        assert_int_equal(
            pw_selector_parse(&sel, pw_slice_str(rows[i].text), &f->arena, &f->cache, &err),
            PW_EINVAL);
        assert_string_equal(buf, rows[i].err);
    }
}

static void
test_pw_regex_cache__same_expression_twice__one_entry_kept_until_trimmed(void **state)
{
    struct fixture *f = *state;
    struct pw_selector sel = {0};
    struct pw_text err;
    char buf[256];

    pw_text_fixed(&err, buf, sizeof(buf));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pw_selector_parse(&sel, PW_SLICE_LIT("{pod=~\"c-[0-9]\",a=~\"x.\"}"),
                                           &f->arena, &f->cache, &err),
                         0);
    }
    assert_int_equal(sel.count, 4);
    assert_ptr_equal(sel.matcher[0].regex, sel.matcher[2].regex);
    for (int i = 0; i < PW_REGEX_CACHE_MAX + 5; i++) {
        char text[64];

        snprintf(text, sizeof(text), "{pod=~\"p-%d\"}", i);
        assert_int_equal(pw_selector_parse(&sel, pw_slice_str(text), &f->arena, &f->cache, &err),
                         0);
    }
    pw_regex_cache_trim(&f->cache);
    assert_true(
        pw_regex_match(sel.matcher[sel.count - 1].regex, f->cache.scratch, PW_SLICE_LIT("p-68")));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_pw_selector_matches__rows, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pw_selector_parse__bad_texts__say_where_and_why, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            test_pw_regex_cache__same_expression_twice__one_entry_kept_until_trimmed, setup,
            teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
