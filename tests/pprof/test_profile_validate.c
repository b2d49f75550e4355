/* Contract write-path.md 3.3, a row of the table at a time, and their order. */
#include "pprof/wire.h"
#include "tests/pprof/build.h"
#include "tests/pprof/fixture.h"

#define MS 1000000LL

static enum pw_profile_reason
judge(struct fixture *fx, const struct pw_profile_limits *lim, int64_t now_ns,
      struct pw_profile_finding *f)
{
    *f = (struct pw_profile_finding){0};
    assert_int_equal(fixture_parse(fx), 0);
    return pw_profile_validate(&fx->p, lim, now_ns, f);
}

static void
malformed_as(struct fixture *fx, const char *text)
{
    struct pw_profile_limits none = {0};
    struct pw_profile_finding f;

    assert_int_equal(judge(fx, &none, 1, &f), PW_PROFILE_MALFORMED);
    assert_string_equal(f.text, text);
}

static void
test_validate__no_sample_type__empty_profile(void **state)
{
    struct fixture *fx = *state;
    struct pw_profile_limits none = {0};
    struct pw_profile_finding f;

    build_function(&fx->wire, 0, 0, 0, 0, 0); /* a later row would find this */
    assert_int_equal(judge(fx, &none, 1, &f), PW_PROFILE_EMPTY);
    assert_string_equal(f.text, "empty profile");
}

static void
test_validate__window__both_ends_excluded(void **state)
{
    static const struct {
        int64_t time_ms, older_ms, newer_ms;
        enum pw_profile_reason want;
    } rows[] = {
        {1000, 0, 0, PW_PROFILE_FINE},           /* no limits */
        {900, 100, 0, PW_PROFILE_NOT_IN_WINDOW}, /* on the edge */
        {901, 100, 0, PW_PROFILE_FINE},          /* just inside */
        {1100, 0, 100, PW_PROFILE_NOT_IN_WINDOW},
        {1099, 0, 100, PW_PROFILE_FINE},
        {1, 0, 100, PW_PROFILE_FINE}, /* one side alone */
        {5000, 100, 0, PW_PROFILE_FINE},
    };
    struct fixture *fx = *state;

    for (size_t i = 0; i < PW_ARRAY_LEN(rows); i++) {
        struct pw_profile_limits lim = {.reject_older_than_ms = rows[i].older_ms,
                                        .reject_newer_than_ms = rows[i].newer_ms};
        struct pw_profile_finding f;

        fx->wire.len = 0;
        build_usual(&fx->wire);
        pw_wire_put_tag_varint(&fx->wire, 9, (uint64_t)(rows[i].time_ms * MS + 999999));
        assert_int_equal(judge(fx, &lim, 1000 * MS + 5, &f), rows[i].want);
        assert_true(fx->p.time_nanos == rows[i].time_ms * MS + 999999);
    }
}

static void
test_validate__no_or_negative_time__is_now(void **state)
{
    struct fixture *fx = *state;
    struct pw_profile_limits lim = {.reject_older_than_ms = 1, .reject_newer_than_ms = 1};
    struct pw_profile_finding f;

    build_usual(&fx->wire);
    assert_int_equal(judge(fx, &lim, 12345, &f), PW_PROFILE_FINE);
    assert_true(fx->p.time_nanos == 12345);
    pw_wire_put_tag_varint(&fx->wire, 9, (uint64_t)-5);
    assert_int_equal(judge(fx, &lim, 12345, &f), PW_PROFILE_FINE);
    assert_true(fx->p.time_nanos == 12345);
}

static void
test_validate__limits__actual_and_limit(void **state)
{
    struct fixture *fx = *state;
    struct pw_profile_finding f;
    struct build_sample s = {.loc = {1}, .locs = 1, .value = {1, 1}, .values = 2};

    build_usual(&fx->wire);
    s.labels = 3;
    build_sample(&fx->wire, &s);
    assert_int_equal(judge(fx, &(struct pw_profile_limits){.size_bytes_max = fx->wire.len}, 1, &f),
                     PW_PROFILE_FINE);
    assert_int_equal(
        judge(fx, &(struct pw_profile_limits){.size_bytes_max = fx->wire.len - 1}, 1, &f),
        PW_PROFILE_SIZE_LIMIT);
    assert_int_equal(f.actual, fx->wire.len);
    assert_int_equal(f.limit, fx->wire.len - 1);
    assert_int_equal(judge(fx, &(struct pw_profile_limits){.samples_max = 2}, 1, &f),
                     PW_PROFILE_FINE);
    assert_int_equal(judge(fx, &(struct pw_profile_limits){.samples_max = 1}, 1, &f),
                     PW_PROFILE_SAMPLES_LIMIT);
    assert_int_equal(f.actual, 2);
    assert_int_equal(judge(fx, &(struct pw_profile_limits){.sample_labels_max = 3}, 1, &f),
                     PW_PROFILE_FINE);
    assert_int_equal(judge(fx, &(struct pw_profile_limits){.sample_labels_max = 2}, 1, &f),
                     PW_PROFILE_SAMPLE_LABELS_LIMIT);
    assert_int_equal(f.actual, 3);
    assert_int_equal(f.limit, 2);
}

static void
test_validate__deep_stack__keeps_the_root_side(void **state)
{
    struct fixture *fx = *state;
    struct pw_profile_finding f;
    struct build_sample s = {.loc = {3, 2, 1}, .locs = 3, .value = {1, 1}, .values = 2};

    build_symbols(&fx->wire);
    build_sample(&fx->wire, &s);
    assert_int_equal(judge(fx, &(struct pw_profile_limits){.stacktrace_depth_max = 2}, 1, &f),
                     PW_PROFILE_FINE);
    assert_int_equal(fx->p.stack[0].loc_count, 2);
    assert_int_equal(fx->p.stack[0].ids_len, 2);
    assert_memory_equal(pw_profile_ids(&fx->p, &fx->p.stack[0]), "\x02\x01", 2);
}

static void
test_validate__long_symbol__keeps_the_end_and_can_break_utf8(void **state)
{
    struct fixture *fx = *state;
    struct pw_profile_finding f;
    struct pw_profile_limits lim = {.symbol_value_bytes_max = 20};

    build_usual(&fx->wire);
    build_string(&fx->wire, "0123456789012345678901234");
    assert_int_equal(judge(fx, &lim, 1, &f), PW_PROFILE_FINE);
    assert_true(pw_slice_eq_str(pw_profile_string(&fx->p, BUILD_STRINGS), "56789012345678901234"));
    build_string(&fx->wire, "\xC3\xA4"
                            "1234567890123456789");
    assert_int_equal(judge(fx, &lim, 1, &f), PW_PROFILE_MALFORMED);
    assert_string_equal(f.text,
                        "invalid utf8 string hex: a431323334353637383930313233343536373839");
    lim.symbol_value_bytes_max = 21;
    assert_int_equal(judge(fx, &lim, 1, &f), PW_PROFILE_FINE);
}

static void
test_validate__dash_in_type__refused_before_utf8(void **state)
{
    struct fixture *fx = *state;

    build_type(&fx->wire, 1, 0);
    build_string(&fx->wire, "");
    build_string(&fx->wire, "alloc-space");
    build_string(&fx->wire, "\xFF");
    malformed_as(fx, "sample type contains -");
}

static void
test_validate__string_refs__texts(void **state)
{
    static const struct {
        char what;
        int64_t ref;
        const char *text; /* NULL: fine */
    } rows[] = {
        {'t', 99, "sample type type string index out of range"},
        {'t', -1, "sample type type string index out of range"}, /* the reference crashes */
        {'u', 99, NULL},                                         /* the unit is not checked */
        {'k', 99, "sample label string index out of range"},
        {'k', -1, "sample label string index out of range"}, /* the reference crashes */
        {'s', 99, "sample label string index out of range"},
        {'s', -1, NULL},
        {'n', 99, "function name string index out of range"},
        {'n', -1, NULL},
        {'y', 99, "function system name index string out of range"},
        {'f', 99, "function file name string index out of range"},
        {'m', 99, "mapping file name string index out of range"},
        {'m', -1, NULL},
        {'b', 99, "mapping build id string index out of range"},
        {'p', 99, NULL}, /* period_type */
    };
    struct fixture *fx = *state;

    for (size_t i = 0; i < PW_ARRAY_LEN(rows); i++) {
        char c = rows[i].what;
        int64_t r = rows[i].ref;
        struct build_sample s = {.value = {1}, .values = 1};
        struct pw_profile_finding f = {0};

        fx->wire.len = 0;
        build_type(&fx->wire, c == 't' ? r : 0, c == 'u' ? r : 0);
        build_string(&fx->wire, "");
        s.labels = c == 'k' || c == 's';
        s.label[0] = (struct build_label){.key = c == 'k' ? r : 0, .str = c == 's' ? r : 0};
        build_sample(&fx->wire, &s);
        build_function(&fx->wire, 1, c == 'n' ? r : 0, c == 'y' ? r : 0, c == 'f' ? r : 0, 0);
        build_mapping(&fx->wire, 1, 0, c == 'm' ? r : 0, false);
        if (c == 'b') {
            pw_text_put(&fx->wire, "\x1a\x02\x30\x63", 4);
        }
        if (c == 'p') {
            pw_text_put(&fx->wire, "\x5a\x02\x08\x63", 4);
        }
        if (rows[i].text != NULL) {
            malformed_as(fx, rows[i].text);
            continue;
        }
        assert_int_equal(fixture_parse(fx), 0);
        assert_int_equal(fixture_validate(fx, &f), PW_PROFILE_FINE);
        assert_int_equal(pw_profile_normalize(&fx->p), 0); /* and nothing breaks on it */
    }
}

static void
test_validate__ids_values_strings__order_of_rows(void **state)
{
    struct fixture *fx = *state;
    struct build_sample s = {.value = {1, 2}, .values = 2};

    build_type(&fx->wire, 0, 0);
    build_string(&fx->wire, "x");
    malformed_as(fx, "string 0 should be empty string");
    build_sample(&fx->wire, &s);
    malformed_as(fx, "sample value length mismatch");
    build_function(&fx->wire, 0, 0, 0, 0, 0);
    malformed_as(fx, "function id is 0");
    build_location(&fx->wire, 0, 0, 1, NULL, 0);
    malformed_as(fx, "location id is 0");
}

static void
test_validate__no_strings__refused(void **state)
{
    struct fixture *fx = *state;

    build_type(&fx->wire, 0, 0);
    malformed_as(fx, "string 0 should be empty string");
}

/* Strings that are not ASCII are found wherever they stand, and good ones pass. */
static void
test_validate__utf8_anywhere__found(void **state)
{
    struct fixture *fx = *state;
    struct pw_profile_finding f = {0};

    for (int bad = 1; bad < 40; bad++) {
        fx->wire.len = 0;
        build_type(&fx->wire, 0, 0);
        build_string(&fx->wire, "");
        for (int i = 1; i < 40; i++) {
            build_string(&fx->wire, i % 7 == 0 ? "g\xC3\xBCnter" : "plain");
        }
        assert_int_equal(fixture_parse(fx), 0);
        assert_int_equal(fixture_validate(fx, &f), PW_PROFILE_FINE);
        fx->wire.len = 0;
        build_type(&fx->wire, 0, 0);
        build_string(&fx->wire, "");
        for (int i = 1; i < 40; i++) {
            build_string(&fx->wire, i == bad     ? "cut \xE2\x82"
                                    : i % 7 == 0 ? "g\xC3\xBCnter"
                                                 : "plain");
        }
        malformed_as(fx, "invalid utf8 string hex: 63757420e282");
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(test_validate__no_sample_type__empty_profile),
        fixture_test(test_validate__window__both_ends_excluded),
        fixture_test(test_validate__no_or_negative_time__is_now),
        fixture_test(test_validate__limits__actual_and_limit),
        fixture_test(test_validate__deep_stack__keeps_the_root_side),
        fixture_test(test_validate__long_symbol__keeps_the_end_and_can_break_utf8),
        fixture_test(test_validate__dash_in_type__refused_before_utf8),
        fixture_test(test_validate__string_refs__texts),
        fixture_test(test_validate__ids_values_strings__order_of_rows),
        fixture_test(test_validate__no_strings__refused),
        fixture_test(test_validate__utf8_anywhere__found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
