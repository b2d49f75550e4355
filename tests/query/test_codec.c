#include "query/codec.h"

#include "tests/support/cmocka_pw.h"

#include <querier.pb-c.h>

static int
from_json(struct pw_arena *a, const char *json, const ProtobufCMessageDescriptor *d,
          ProtobufCMessage **out, char *err, size_t cap)
{
    struct pw_text t;
    int rc;

    memset(err, 0, cap);
    pw_text_fixed(&t, err, cap - 1);
    rc = pw_codec_from_json(a, pw_slice_str(json), d, out, &t);
    return rc;
}

static void
test_pw_codec_from_json__both_spellings_and_number_forms__same_message(void **state)
{
    static const char *const rows[] = {
        "{\"profileTypeID\":\"t\",\"labelSelector\":\"{}\",\"start\":\"1000\",\"end\":2000,"
        "\"maxNodes\":\"8\",\"format\":\"PROFILE_FORMAT_TREE\",\"spanSelector\":[\"a\",\"b\"],"
        "\"stackTraceSelector\":{\"callSite\":[{\"name\":\"x\"},{\"name\":\"y\"}]}}",
        "{\"profile_typeID\":\"t\",\"label_selector\":\"{}\",\"start\":1000.0,\"end\":\"2e3\","
        "\"max_nodes\":8.0,\"format\":2,\"span_selector\":[\"a\",\"b\"],\"bogus\":{\"x\":[1]},"
        "\"stack_trace_selector\":{\"call_site\":[{\"name\":\"x\"},{\"name\":\"y\"}]},"
        "\"async\":null}",
    };
    struct pw_arena a;

    pw_arena_init(&a, 1 << 20);
    for (size_t i = 0; i < PW_ARRAY_LEN(rows); i++) {
        Querier__V1__SelectMergeStacktracesRequest *r;
        ProtobufCMessage *m;
        char err[256];

        assert_int_equal(from_json(&a, rows[i],
                                   &querier__v1__select_merge_stacktraces_request__descriptor, &m,
                                   err, sizeof(err)),
                         0);
        r = (Querier__V1__SelectMergeStacktracesRequest *)m;
        assert_string_equal(r->profile_typeid, "t");
        assert_string_equal(r->label_selector, "{}");
        assert_int_equal(r->start, 1000);
        assert_int_equal(r->end, 2000);
        assert_int_equal(r->opt_max_nodes_case,
                         QUERIER__V1__SELECT_MERGE_STACKTRACES_REQUEST__OPT_MAX_NODES_MAX_NODES);
        assert_int_equal(r->max_nodes, 8);
        assert_int_equal(r->format, QUERIER__V1__PROFILE_FORMAT__PROFILE_FORMAT_TREE);
        assert_int_equal(r->n_span_selector, 2);
        assert_string_equal(r->span_selector[1], "b");
        assert_int_equal(r->stack_trace_selector->n_call_site, 2);
        assert_string_equal(r->stack_trace_selector->call_site[1]->name, "y");
        assert_null(r->async);
    }
    pw_arena_reset(&a);
}

static void
test_pw_codec_from_json__bad_input__says_why(void **state)
{
    static const struct {
        const char *json;
        const char *err;
    } rows[] = {
        {"{", "proto:\xc2\xa0"
              "unexpected EOF"},
        {"", "zero-length payload is not a valid JSON object"},
        {"[]", "proto:\xc2\xa0"
               "syntax error (line 1:1): unexpected token"},
        {"{\"start\":\"abc\"}", "proto:\xc2\xa0"
                                "invalid value for int64 field start: \"abc\""},
        {"{\"start\":1.5}", "proto:\xc2\xa0"
                            "invalid value for int64 field start: 1.5"},
        {"{\"start\":{}}", "proto:\xc2\xa0"
                           "invalid value for int64 field start: {"},
        {"{\"labelSelector\":7}", "proto:\xc2\xa0"
                                  "invalid value for string field labelSelector: 7"},
        {"{\"spanSelector\":7}", "proto:\xc2\xa0"
                                 "invalid value for repeated field spanSelector: 7"},
    };
    struct pw_arena a;

    pw_arena_init(&a, 1 << 20);
    for (size_t i = 0; i < PW_ARRAY_LEN(rows); i++) {
        ProtobufCMessage *m;
        char err[256];

        assert_int_equal(from_json(&a, rows[i].json,
                                   &querier__v1__select_merge_stacktraces_request__descriptor, &m,
                                   err, sizeof(err)),
                         PW_EINVAL);
        assert_string_equal(err, rows[i].err);
    }
    pw_arena_reset(&a);
}

static void
test_pw_codec_to_json__answer__proto3_rules(void **state)
{
    Types__V1__LabelPair pair = TYPES__V1__LABEL_PAIR__INIT, *pairs[] = {&pair};
    Types__V1__Point p1 = TYPES__V1__POINT__INIT, p2 = TYPES__V1__POINT__INIT;
    Types__V1__Point *points[] = {&p1, &p2};
    Types__V1__Series s = TYPES__V1__SERIES__INIT, empty = TYPES__V1__SERIES__INIT;
    Types__V1__Series *series[] = {&s, &empty};
    Querier__V1__SelectSeriesResponse res = QUERIER__V1__SELECT_SERIES_RESPONSE__INIT;
    struct pw_text t;
    char name[] = "service_name", value[] = "a<b";

    pw_text_init(&t, 1 << 16);
    pw_codec_to_json(&t, &res.base);
    pair.name = name;
    pair.value = value;
    p1.value = 1.5;
    p1.timestamp = 9007199254740993;
    s.labels = pairs;
    s.n_labels = 1;
    s.points = points;
    s.n_points = 2;
    res.series = series;
    res.n_series = 2;
    pw_codec_to_json(&t, &res.base);
    pw_text_char(&t, 0);
    assert_string_equal(
        (char *)t.ptr,
        "{}{\"series\":[{\"labels\":[{\"name\":\"service_name\",\"value\":\"a\\u003cb\""
        "}],\"points\":[{\"value\":1.5,\"timestamp\":\"9007199254740993\"},{}]},{}]}");
    pw_text_fini(&t);
}

static void
test_pw_codec_from_proto__round_trip__and_garbage_refused(void **state)
{
    Querier__V1__SelectSeriesRequest req = QUERIER__V1__SELECT_SERIES_REQUEST__INIT, *back;
    ProtobufCMessage *m;
    struct pw_arena a;
    struct pw_text t, err;
    char type[] = "a:b:c:d:e", buf[128] = "";

    pw_arena_init(&a, 1 << 20);
    pw_text_init(&t, 1 << 16);
    pw_text_fixed(&err, buf, sizeof(buf) - 1);
    req.profile_typeid = type;
    req.step = 15;
    req.opt_limit_case = QUERIER__V1__SELECT_SERIES_REQUEST__OPT_LIMIT_LIMIT;
    pw_codec_to_proto(&t, &req.base);
    assert_int_equal(pw_codec_from_proto(&a, pw_slice(t.ptr, t.len),
                                         &querier__v1__select_series_request__descriptor, &m, &err),
                     0);
    back = (Querier__V1__SelectSeriesRequest *)m;
    assert_string_equal(back->profile_typeid, type);
    assert_true(back->step == 15);
    assert_int_equal(back->opt_limit_case, QUERIER__V1__SELECT_SERIES_REQUEST__OPT_LIMIT_LIMIT);
    assert_int_equal(pw_codec_from_proto(&a, PW_SLICE_LIT("\xff\xff\xff"),
                                         &querier__v1__select_series_request__descriptor, &m, &err),
                     PW_EINVAL);
    assert_string_equal(buf, "proto:\xc2\xa0"
                             "cannot parse invalid wire-format data");
    pw_text_fini(&t);
    pw_arena_reset(&a);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pw_codec_from_json__both_spellings_and_number_forms__same_message),
        cmocka_unit_test(test_pw_codec_from_json__bad_input__says_why),
        cmocka_unit_test(test_pw_codec_to_json__answer__proto3_rules),
        cmocka_unit_test(test_pw_codec_from_proto__round_trip__and_garbage_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
