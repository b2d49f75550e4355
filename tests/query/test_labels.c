/* ProfileTypes, LabelNames, LabelValues, Series, merged pprofs: contract read-path.md 1.1, 3.7. */
#include "tests/query/fixture.h"

#include "tests/support/cmocka_pw.h"

#include <profile.pb-c.h>
#include <querier.pb-c.h>
#include <stdio.h>

#define T0    INT64_C(1799999000000)
#define RANGE "\"start\":1799998000000,\"end\":1799999900000"

static void
fill(struct qf *f)
{
    qf_init(f, false);
    qf_push(f, &(struct qf_push){
                   .labels = "service_name=a,region=eu", .time_ms = T0, .folded = "m;f 1\n"});
    qf_push(f, &(struct qf_push){.labels = "service_name=b,region=us,otel.scope=x",
                                 .head = 1,
                                 .time_ms = T0 + 60000,
                                 .name = "memory",
                                 .types = "alloc_objects:count,inuse_space:bytes",
                                 .period = "space:bytes",
                                 .folded = "m;f 1,0\nm;g 2,0\n"}); /* inuse_space all zero */
}

static void
test_labels__rows(void **state)
{
    static const struct {
        const char *method, *request, *answer;
    } rows[] = {
        {"ProfileTypes", "{" RANGE "}",
         "{\"profileTypes\":[{\"ID\":\"memory:alloc_objects:count:space:bytes\",\"name\":"
         "\"memory\","
         "\"sampleType\":\"alloc_objects\",\"sampleUnit\":\"count\",\"periodType\":\"space\","
         "\"periodUnit\":\"bytes\"},{\"ID\":\"process_cpu:cpu:nanoseconds:cpu:nanoseconds\","
         "\"name\":\"process_cpu\",\"sampleType\":\"cpu\",\"sampleUnit\":\"nanoseconds\","
         "\"periodType\":\"cpu\",\"periodUnit\":\"nanoseconds\"}]}"},
        {"ProfileTypes", "{\"start\":1000,\"end\":4000}", "{}"}, /* before the lookback */
        {"LabelNames", "{" RANGE "}",
         "{\"names\":[\"__name__\",\"__period_type__\",\"__period_unit__\",\"__profile_type__\","
         "\"__service_name__\",\"__type__\",\"__unit__\",\"region\",\"service_name\"]}"},
        {"LabelValues", "{\"name\":\"region\"," RANGE "}", "{\"names\":[\"eu\",\"us\"]}"},
        {"LabelValues",
         "{\"name\":\"region\",\"matchers\":[\"{service_name=\\\"a\\\"}\"]," RANGE "}",
         "{\"names\":[\"eu\"]}"},
        {"LabelValues", /* all matchers must hold */
         "{\"name\":\"region\",\"matchers\":[\"{service_name=\\\"a\\\"}\",\"{service_name="
         "\\\"b\\\"}\"]," RANGE "}",
         "{}"},
        {"LabelValues", "{\"name\":\"nope\"," RANGE "}", "{}"},
        {"LabelValues", "{\"name\":\"otel.scope\"," RANGE "}", "{\"names\":[\"x\"]}"},
        {"LabelValues", /* only the second profile lies in this range */
         "{\"name\":\"service_name\",\"start\":1799999001000,\"end\":1799999900000}",
         "{\"names\":[\"b\"]}"},
        {"Series", "{\"labelNames\":[\"service_name\",\"__profile_type__\"]," RANGE "}",
         "{\"labelsSet\":[{\"labels\":[{\"name\":\"__profile_type__\","
         "\"value\":\"memory:alloc_objects:count:space:bytes\"},"
         "{\"name\":\"service_name\",\"value\":\"b\"}]},"
         "{\"labels\":[{\"name\":\"__profile_type__\","
         "\"value\":\"process_cpu:cpu:nanoseconds:cpu:nanoseconds\"},"
         "{\"name\":\"service_name\",\"value\":\"a\"}]}]}"},
        {"Series",
         "{\"matchers\":[\"{region=~\\\"e.\\\"}\"],\"labelNames\":[\"region\"]," RANGE "}",
         "{\"labelsSet\":[{\"labels\":[{\"name\":\"region\",\"value\":\"eu\"}]}]}"},
    };
    struct qf f;

    fill(&f);
    for (size_t i = 0; i < PW_ARRAY_LEN(rows); i++) {
        qf_expect(&f, rows[i].method, rows[i].request, rows[i].answer);
    }
    qf_fini(&f);
}

static void
test_labels__utf8_capability__names_with_dots_are_shown(void **state)
{
    const struct pw_http_header h[] = {
        {PW_SLICE_LIT("Content-Type"), PW_SLICE_LIT("application/json; charset=utf-8")},
        {PW_SLICE_LIT("Accept"), PW_SLICE_LIT("*/*;allow-utf8-labelnames=true")}};
    struct qf f;

    fill(&f);
    qf_execute(&f, &(struct pw_query_request){
                       .method = PW_HTTP_METHOD_POST,
                       .path = PW_SLICE_LIT("/querier.v1.QuerierService/LabelNames"),
                       .headers = h,
                       .headers_count = 2,
                       .body = PW_SLICE_LIT("{" RANGE "}"),
                       .now_ms = f.now_ms});
    assert_int_equal(f.rep.status, 200);
    assert_non_null(strstr(f.body, "\"otel.scope\""));
    qf_fini(&f);
}

static void
test_labels__no_range__types_of_the_last_hour_the_rest_refused(void **state)
{
    static const char *const refused[] = {"LabelNames", "LabelValues", "Series"};
    struct qf f;

    fill(&f);
    qf_post(&f, "ProfileTypes", "{}"); /* the profiles are 17 minutes old */
    assert_non_null(strstr(f.body, "process_cpu:cpu"));
    f.now_ms = T0 + 2 * 3600000;
    qf_expect(&f, "ProfileTypes", "{}", "{}");
    for (size_t i = 0; i < PW_ARRAY_LEN(refused); i++) {
        qf_post(&f, refused[i], "{}");
        assert_int_equal(f.rep.status, 400);
        assert_string_equal(f.body,
                            "{\"code\":\"invalid_argument\",\"message\":\"missing time range in "
                            "the query\"}");
    }
    qf_post(&f, "LabelValues", "{" RANGE "}");
    assert_string_equal(f.body, "{\"code\":\"invalid_argument\",\"message\":\"name is required\"}");
    qf_fini(&f);
}

/* --- Merged pprof --------------------------------------------------------------------------- */

static Google__V1__Profile *
merge(struct qf *f, int64_t max_nodes, uint32_t keep, const char *call_site)
{
    Querier__V1__SelectMergeProfileRequest req = QUERIER__V1__SELECT_MERGE_PROFILE_REQUEST__INIT;
    Types__V1__StackTraceSelector sel = TYPES__V1__STACK_TRACE_SELECTOR__INIT;
    Types__V1__GoPGO pgo = TYPES__V1__GO_PGO__INIT;
    Types__V1__Location loc = TYPES__V1__LOCATION__INIT, *locs[] = {&loc};
    char type[] = "process_cpu:cpu:nanoseconds:cpu:nanoseconds", selector[] = "{}";
    uint8_t buf[512];

    req.profile_typeid = type;
    req.label_selector = selector;
    req.start = T0 - 1000;
    req.end = T0 + 1000;
    if (max_nodes > 0) {
        req.opt_max_nodes_case = QUERIER__V1__SELECT_MERGE_PROFILE_REQUEST__OPT_MAX_NODES_MAX_NODES;
        req.max_nodes = max_nodes;
    }
    if (keep > 0) {
        pgo.keep_locations = keep;
        pgo.aggregate_callees = true;
        sel.go_pgo = &pgo;
    }
    if (call_site != NULL) {
        loc.name = (char *)(uintptr_t)call_site;
        sel.call_site = locs;
        sel.n_call_site = 1;
    }
    req.stack_trace_selector = &sel;
    qf_post_proto(f, "SelectMergeProfile",
                  pw_slice(buf, querier__v1__select_merge_profile_request__pack(&req, buf)));
    assert_int_equal(f->rep.status, 200);
    return google__v1__profile__unpack(NULL, f->rep.body_bytes, f->rep.body);
}

static void
put(char *out, size_t cap, const Google__V1__Profile *p, int64_t string)
{
    size_t n = strlen(out);

    snprintf(out + n, cap - n, "%.*s", (int)p->string_table[string].len,
             (const char *)p->string_table[string].data);
}

/* "leaf:line<caller:line=value", the stacks in order of their text. */
static void
expect_stacks(const Google__V1__Profile *p, const char *const *want, size_t count)
{
    assert_int_equal(p->n_sample, count);
    for (size_t i = 0; i < p->n_sample; i++) {
        const Google__V1__Sample *s = p->sample[i];
        char text[256] = "";
        bool found = false;

        for (size_t k = 0; k < s->n_location_id; k++) {
            const Google__V1__Location *loc = p->location[s->location_id[k] - 1];

            assert_true(loc->id == s->location_id[k]); /* dense ids from 1 */
            for (size_t x = 0; x < loc->n_line; x++) {
                snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s",
                         text[0] ? "<" : "");
                put(text, sizeof(text), p, p->function[loc->line[x]->function_id - 1]->name);
                snprintf(text + strlen(text), sizeof(text) - strlen(text), ":%d",
                         (int)loc->line[x]->line);
            }
        }
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "=%lld", (long long)s->value[0]);
        for (size_t k = 0; k < count; k++) {
            found |= strcmp(text, want[k]) == 0;
        }
        if (!found) {
            fail_msg("unexpected stack %s", text);
        }
    }
}

static void
test_merge_profile__two_heads__stacks_summed_symbols_shared(void **state)
{
    static const char *const want[] = {"f:10<m:10=5", "h:10<f:10<m:10=2"};
    Google__V1__Profile *p;
    struct qf f;

    qf_init(&f, false);
    qf_push(&f, &(struct qf_push){.time_ms = T0, .folded = "m;f 1\nm;f|h 2\n"});
    qf_push(&f, &(struct qf_push){.head = 1, .time_ms = T0, .folded = "m;f 4\n"});
    p = merge(&f, 0, 0, NULL);
    expect_stacks(p, want, PW_ARRAY_LEN(want));
    assert_int_equal(p->n_function, 3);
    assert_int_equal(p->n_mapping, 1);
    assert_int_equal(p->string_table[0].len, 0);
    assert_int_equal(p->period, 1000000000);
    assert_true(p->time_nanos == (T0 + 1000) * 1000000);
    assert_int_equal(p->n_sample_type, 1);
    google__v1__profile__free_unpacked(p, NULL);

    qf_post(&f, "SelectMergeProfile",
            "{\"profile_typeID\":\"a:b:c:d:e\",\"label_selector\":\"{}\"," RANGE "}");
    assert_string_equal(f.body, "{}"); /* empty, as v2 */
    qf_fini(&f);
}

static void
test_merge_profile__max_nodes_pgo_call_site__as_observed(void **state)
{
    /* read case 051: the frame next to a kept one stays, the rest is the stub */
    static const char *const cut[] = {"gcLoop:10<main:10=120",
                                      "marshal:10<serve:10<main:10=180",
                                      "value:10<marshal:10<serve:10<main:10=420",
                                      "other:0<query:10<serve:10<main:10=240",
                                      "read:10<serve:10<main:10=300",
                                      "other:0=340"};
    /* read case 053: two leaf-side frames, leaf locations without line everywhere */
    static const char *const pgo[] = {"read:0<query:10=240",    "read:0<serve:10=300",
                                      "park:0<mcall:10=340",    "gcLoop:0<main:10=120",
                                      "marshal:0<serve:10=180", "value:0<marshal:0=420"};
    static const char *const mcall[] = {"park:10<mcall:10=340"};
    Google__V1__Profile *p;
    struct qf f;

    qf_init(&f, false);
    qf_push(&f, &(struct qf_push){.time_ms = T0,
                                  .folded = "main;gcLoop 120\nmain;serve;query;read 240\n"
                                            "main;serve;marshal 180\nmain;serve;marshal;value 420\n"
                                            "main;serve;read 300\nmcall;park 340\n"});
    p = merge(&f, 4, 0, NULL);
    expect_stacks(p, cut, PW_ARRAY_LEN(cut));
    for (size_t i = 0; i < p->n_location; i++) {
        assert_true(p->location[i]->mapping_id == 1); /* the stub's too */
    }
    google__v1__profile__free_unpacked(p, NULL);
    p = merge(&f, 0, 2, NULL);
    expect_stacks(p, pgo, PW_ARRAY_LEN(pgo));
    google__v1__profile__free_unpacked(p, NULL);
    p = merge(&f, 0, 0, "mcall");
    expect_stacks(p, mcall, PW_ARRAY_LEN(mcall));
    google__v1__profile__free_unpacked(p, NULL);
    qf_fini(&f);
}

static void
test_merge_profile__mappings_differ_in_flags_alone__one_with_what_both_have(void **state)
{
    static const char *const want[] = {"f:10<m:10=5"};
    Google__V1__Profile *p;
    struct qf f;

    qf_init(&f, false);
    qf_push(&f, &(struct qf_push){.time_ms = T0, .has_functions = true, .folded = "m;f 1\n"});
    p = merge(&f, 0, 0, NULL);
    assert_true(p->mapping[0]->has_functions && !p->mapping[0]->has_filenames);
    google__v1__profile__free_unpacked(p, NULL);
    qf_push(&f, &(struct qf_push){.head = 1, .time_ms = T0, .folded = "m;f 4\n"});
    p = merge(&f, 0, 0, NULL);
    expect_stacks(p, want, PW_ARRAY_LEN(want));
    assert_int_equal(p->n_mapping, 1);
    assert_false(p->mapping[0]->has_functions);
    google__v1__profile__free_unpacked(p, NULL);
    qf_fini(&f);
}

static void
test_merge_profile__frames_left_out__not_in_the_tables(void **state)
{
    static const char *const kept[] = {"leaf:0<c:10=3"};
    static const char *const cut[] = {"other:0=1", "big:10<root:10=90"};
    Google__V1__Profile *p;
    struct qf f;

    qf_init(&f, false);
    qf_push(&f, &(struct qf_push){.time_ms = T0, .folded = "a;b;c;leaf 3\n"});
    p = merge(&f, 0, 2, NULL);
    expect_stacks(p, kept, PW_ARRAY_LEN(kept));
    assert_int_equal(p->n_location, 2);
    assert_int_equal(p->n_function, 2);
    google__v1__profile__free_unpacked(p, NULL);
    qf_fini(&f);

    qf_init(&f, false);
    qf_push(&f, &(struct qf_push){.time_ms = T0, .folded = "x;y;z 1\nroot;big 90\n"});
    p = merge(&f, 3, 0, NULL);
    expect_stacks(p, cut, PW_ARRAY_LEN(cut));
    assert_int_equal(p->n_location, 3);
    for (size_t i = 0; i < p->n_location; i++) {
        assert_true(p->location[i]->mapping_id == 1); /* the stub was there before any mapping */
    }
    google__v1__profile__free_unpacked(p, NULL);
    qf_fini(&f);
}

static void
test_merge_profile__pgo_stacks_alike_without_leaf_lines__one_sample(void **state)
{
    /* f~11 and f~12 are leaves: they are one location then, in the middle of a stack too; f~13 is none */
    static const char *const want[] = {"f:0<m:10=3", "g:0<f:0<m:10=12", "g:0<f:13<m:10=16"};
    Google__V1__Profile *p;
    struct qf f;

    qf_init(&f, false);
    qf_push(&f, &(struct qf_push){.time_ms = T0,
                                  .folded = "m;f~11 1\nm;f~12 2\nm;f~11;g~5 4\nm;f~12;g~6 8\n"
                                            "m;f~13;g~6 16\n"});
    p = merge(&f, 0, 5, NULL);
    expect_stacks(p, want, PW_ARRAY_LEN(want));
    assert_int_equal(p->n_location, 4);
    assert_int_equal(p->n_function, 3);
    google__v1__profile__free_unpacked(p, NULL);
    qf_fini(&f);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_labels__rows),
        cmocka_unit_test(test_labels__utf8_capability__names_with_dots_are_shown),
        cmocka_unit_test(test_labels__no_range__types_of_the_last_hour_the_rest_refused),
        cmocka_unit_test(test_merge_profile__two_heads__stacks_summed_symbols_shared),
        cmocka_unit_test(test_merge_profile__max_nodes_pgo_call_site__as_observed),
        cmocka_unit_test(
            test_merge_profile__mappings_differ_in_flags_alone__one_with_what_both_have),
        cmocka_unit_test(test_merge_profile__frames_left_out__not_in_the_tables),
        cmocka_unit_test(test_merge_profile__pgo_stacks_alike_without_leaf_lines__one_sample),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
