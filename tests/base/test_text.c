#include "base/text.h"

#include "tests/support/cmocka_pw.h"

#include <inttypes.h>
#include <stdio.h>

static void
expect_text(struct pw_text *t, const char *want)
{
    assert_false(t->failed);
    assert_int_equal(t->len, strlen(want));
    assert_memory_equal(t->ptr, want, t->len);
    t->len = 0;
}

static void
test_text_sizes__contract_examples__as_written(void **state)
{
    static const struct {
        uint64_t v;
        const char *si, *iec;
    } rows[] = {
        {0, "0 B", "0 B"},
        {9, "9 B", "9 B"},
        {10, "10 B", "10 B"},
        {120, "120 B", "120 B"},
        {4194304, "4.2 MB", "4.0 MiB"},
        {2097152, "2.1 MB", "2.0 MiB"},
        {67108864, "67 MB", "64 MiB"},
        {1ULL << 60, "1.2 EB", "1.0 EiB"},
    };
    struct pw_text t;

    pw_text_init(&t, 1000);
    for (size_t i = 0; i < PW_ARRAY_LEN(rows); i++) {
        pw_text_size_si(&t, rows[i].v);
        expect_text(&t, rows[i].si);
        pw_text_size_iec(&t, rows[i].v);
        expect_text(&t, rows[i].iec);
    }
    pw_text_fini(&t);
}

static void
test_text_json_string__escapes__as_go(void **state)
{
    struct pw_text t;

    pw_text_init(&t, 1000);
    pw_text_json_string(&t, pw_slice("a\"\\\n<>&\x01\xff\xc3\xa9", 11));
    expect_text(&t, "\"a\\\"\\\\\\n\\u003c\\u003e\\u0026\\u0001\\ufffd\xc3\xa9\"");
    pw_text_json_string(&t, pw_slice("\xe2\x80\xa8", 3));
    expect_text(&t, "\"\\u2028\"");
    pw_text_fini(&t);
}

static void
test_text_go_quoted__bytes_and_runes__as_go(void **state)
{
    struct pw_text t;

    pw_text_init(&t, 1000);
    pw_text_go_quoted(&t, pw_slice("a\"\\\n\x01\xff\xc3\xa9\x7f", 9));
    expect_text(&t, "\"a\\\"\\\\\\n\\x01\\xff\xc3\xa9\\x7f\"");
    pw_text_fini(&t);
}

static void
test_text_put__beyond_limit__sticky_failure(void **state)
{
    struct pw_text t;

    pw_text_init(&t, 4);
    pw_text_str(&t, "abcd");
    assert_false(t.failed);
    pw_text_char(&t, 'e');
    assert_true(t.failed);
    assert_int_equal(t.len, 4);
    pw_text_fini(&t);
}

static void
test_text_numbers__every_length__as_printf(void **state)
{
    struct pw_text t;
    char want[32];

    pw_text_init(&t, 1000);
    for (uint64_t p = 1; p != 0; p = p > UINT64_MAX / 10 ? 0 : p * 10) {
        const uint64_t v[] = {p - 1, p, p + 1, p * 9, UINT64_MAX / p, UINT64_MAX - p};

        for (size_t i = 0; i < PW_ARRAY_LEN(v); i++) {
            pw_text_u64(&t, v[i]);
            snprintf(want, sizeof(want), "%" PRIu64, v[i]);
            expect_text(&t, want);
            pw_text_i64(&t, (int64_t)v[i]);
            snprintf(want, sizeof(want), "%" PRId64, (int64_t)v[i]);
            expect_text(&t, want);
        }
    }
    pw_text_fini(&t);
}

static void
test_text_char__limit_within_capacity__stops_at_the_limit(void **state)
{
    char buf[8];
    struct pw_text t;

    pw_text_init(&t, 70); /* the first allocation holds more */
    for (int i = 0; i < 75; i++) {
        pw_text_char(&t, 'x');
    }
    assert_true(t.failed);
    assert_int_equal(t.len, 70);
    pw_text_fini(&t);
    pw_text_fixed(&t, buf, sizeof(buf));
    for (int i = 0; i < 9; i++) {
        pw_text_char(&t, 'y');
    }
    assert_true(t.failed);
    assert_int_equal(t.len, sizeof(buf));
}

static void
test_text_printf__longer_than_stack_buffer__whole(void **state)
{
    struct pw_text t;

    pw_text_init(&t, 10000);
    pw_text_printf(&t, "%0900d|", 7);
    assert_int_equal(t.len, 901);
    assert_int_equal(t.ptr[899], '7');
    pw_text_fini(&t);
}

static void
test_text_base64__paddings(void **state)
{
    struct pw_text t;

    pw_text_init(&t, 100);
    pw_text_base64(&t, PW_SLICE_LIT("fo"));
    expect_text(&t, "Zm8=");
    pw_text_base64(&t, PW_SLICE_LIT("foobar"));
    expect_text(&t, "Zm9vYmFy");
    pw_text_fini(&t);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_sizes__contract_examples__as_written),
        cmocka_unit_test(test_text_json_string__escapes__as_go),
        cmocka_unit_test(test_text_go_quoted__bytes_and_runes__as_go),
        cmocka_unit_test(test_text_put__beyond_limit__sticky_failure),
        cmocka_unit_test(test_text_printf__longer_than_stack_buffer__whole),
        cmocka_unit_test(test_text_numbers__every_length__as_printf),
        cmocka_unit_test(test_text_char__limit_within_capacity__stops_at_the_limit),
        cmocka_unit_test(test_text_base64__paddings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
