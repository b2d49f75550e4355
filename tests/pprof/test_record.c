/* Groups, spans and limits of a record, and what the check refuses. */
#include "pprof/record.h"

#include "pprof/record_text.h"
#include "tests/pprof/build.h"
#include "tests/pprof/fixture.h"

enum { RECORD_CAP = 1 << 16 };

static const struct pw_record_span_id spans[2] = {
    {.span_id = {1, 2, 3, 4, 5, 6, 7, 8}, .has_span = 1},
    {.span_id = {9}, .trace_id = {1}, .has_span = 1, .has_trace = 1},
};

static void
ready_profile(struct fixture *fx)
{
    struct build_sample s = {.loc = {2, 1}, .locs = 2, .value = {1, 10}, .values = 2, .labels = 1};

    build_symbols(&fx->wire);
    for (int i = 0; i < 3; i++) { /* one stack under three label sets */
        s.label[0] = (struct build_label){.key = BUILD_KEY, .str = BUILD_MAIN + i};
        build_sample(&fx->wire, &s);
    }
    s.loc[0] = 3;
    build_sample(&fx->wire, &s);
    fixture_ready(fx);
    assert_int_equal(fx->p.sample_count, 4);
}

static struct pw_label_pair pairs[] = {{PW_SLICE_LIT("__name__"), PW_SLICE_LIT("process_cpu")},
                                       {PW_SLICE_LIT("a"), PW_SLICE_LIT("\"1\"")}};
static const struct pw_labels one = {.pair = pairs, .count = 1, .cap = 2};
static const struct pw_labels two = {.pair = pairs, .count = 2, .cap = 2};

static void
text_is(const void *record, const char *want)
{
    struct pw_text t;

    pw_text_init(&t, 1 << 20);
    pw_record_text_cold(record, &t);
    pw_text_char(&t, 0);
    assert_string_equal(t.ptr, want);
    pw_text_fini(&t);
}

static void
test_record_build__groups_and_spans__summed_within(void **state)
{
    static const uint32_t all[] = {0, 1, 2, 3}, some[] = {3, 1}, span[] = {1, 2, 1, 0};
    struct fixture *fx = *state;
    struct pw_record_group g[] = {
        {.labels = &one, .uuid = {7}, .sample = all, .span = span, .sample_count = 4},
        {.labels = &two, .sample = some, .sample_count = 2},
        {.labels = &two, .sample = all, .sample_count = 4},
    };
    struct pw_record_source src = {.tenant = PW_SLICE_LIT("team"),
                                   .group = g,
                                   .group_count = 3,
                                   .span = spans,
                                   .span_count = 2};
    uint8_t *out = aligned_alloc(64, RECORD_CAP);
    const struct pw_record *r = (const struct pw_record *)(const void *)out;
    const struct pw_record_series *series;
    int64_t n;

    ready_profile(fx);
    src.profile = &fx->p;
    n = pw_record_build(&src, out, pw_record_bytes_max(&src));
    assert_true(n > 0 && n % 16 == 0);
    assert_int_equal(pw_record_check(out, (size_t)n), 0);
    text_is(out, "{__name__=\"process_cpu\"} samples/count cpu/nanoseconds\n"
                 "main;work span=0102030405060708 2 20\n"
                 "main;work span=0900000000000000 1 10\n"
                 "main;idle 1 10\n"
                 "{__name__=\"process_cpu\", a=\"\\\"1\\\"\"} samples/count cpu/nanoseconds\n"
                 "main;idle 1 10\n"
                 "main;work 1 10\n"
                 "{__name__=\"process_cpu\", a=\"\\\"1\\\"\"} samples/count cpu/nanoseconds\n"
                 "main;work 3 30\n"
                 "main;idle 1 10\n");
    assert_int_equal(r->stacks_count, 2);
    assert_true(pw_slice_eq_str(pw_record_slice(r, r->tenant), "team"));
    series = PW_RECORD_AT(r, struct pw_record_series, r->series_off);
    assert_int_equal(series[0].uuid[0], 7);
    assert_true(series[0].key != series[1].key);
    assert_true(series[1].key == series[2].key);
    free(out);
}

static void
test_record_build__too_little_room__enospc(void **state)
{
    static const uint32_t all[] = {0, 1, 2, 3};
    struct fixture *fx = *state;
    struct pw_record_group g = {.labels = &two, .sample = all, .sample_count = 4};
    struct pw_record_source src = {.group = &g, .group_count = 1};
    uint8_t *out = aligned_alloc(64, RECORD_CAP);
    int64_t need;

    ready_profile(fx);
    src.profile = &fx->p;
    need = pw_record_build(&src, out, RECORD_CAP);
    assert_true(need > 0 && (size_t)need <= pw_record_bytes_max(&src));
    for (size_t cap = 0; cap < RECORD_CAP; cap += 16) {
        int64_t n;

        memset(out, 0xEE, RECORD_CAP);
        n = pw_record_build(&src, out, cap);
        assert_true(n == need || n == PW_ENOSPC);
        for (size_t i = cap; i < RECORD_CAP; i++) {
            assert_int_equal(out[i], 0xEE);
        }
        if (cap >= pw_record_bytes_max(&src)) {
            assert_int_equal(n, need);
        }
    }
    free(out);
}

/* Any byte changed: refused, or readable without leaving the record (the sanitizer builds watch). */
static void
test_record_check__bytes_changed__refused_or_readable(void **state)
{
    static const uint32_t all[] = {0, 1, 2, 3}, span[] = {1, 2, 1, 0};
    struct fixture *fx = *state;
    struct pw_record_group g = {.labels = &two, .sample = all, .span = span, .sample_count = 4};
    struct pw_record_source src = {.group = &g, .group_count = 1, .span = spans, .span_count = 2};
    uint8_t *out = aligned_alloc(64, RECORD_CAP), *copy;
    uint32_t refused = 0;
    size_t n;

    ready_profile(fx);
    src.profile = &fx->p;
    n = (size_t)pw_record_build(&src, out, RECORD_CAP);
    copy = aligned_alloc(16, n);
    for (size_t i = 0; i < n; i++) {
        for (int bit = 0; bit < 8; bit += 7) {
            struct pw_text t;

            memcpy(copy, out, n);
            copy[i] ^= (uint8_t)(1 << bit);
            if (pw_record_check(copy, n) != 0) {
                refused++;
                continue;
            }
            pw_text_init(&t, 1 << 16);
            pw_record_text_cold((const struct pw_record *)(const void *)copy, &t);
            pw_text_fini(&t);
        }
    }
    assert_true(refused > 200);
    assert_int_equal(pw_record_check(out, n - 16), PW_EINVAL);
    assert_int_equal(pw_record_check(out, 8), PW_EINVAL);
    free(copy);
    free(out);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(test_record_build__groups_and_spans__summed_within),
        fixture_test(test_record_build__too_little_room__enospc),
        fixture_test(test_record_check__bytes_changed__refused_or_readable),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
