/* SelectSeries, SelectHeatmap and the timeline of render: contract read-path.md 3.4 - 3.6. */
#include "query/render.h"
#include "tests/query/fixture.h"

#include "tests/support/cmocka_pw.h"

#include <stdio.h>
#include <stdlib.h>

#define T0   INT64_C(1799999000000)
#define TYPE "\"profileTypeID\":\"process_cpu:cpu:nanoseconds:cpu:nanoseconds\""

/* Profiles of service a at T0, +15 s, +15 s (two), +61 s; of b at +10 s. */
static void
fill(struct qf *f)
{
    static const struct {
        int64_t at_s;
        const char *labels, *folded;
    } rows[] = {
        {0, "service_name=a,region=eu", "main;f 1\n"},
        {15, "service_name=a,region=eu", "main;f 2\n"},
        {15, "service_name=a,region=us", "main;g 4\n"},
        {61, "service_name=a,region=us", "main;g 8\n"},
        {10, "service_name=b", "main 100\n"},
    };

    qf_init(f, false);
    for (size_t i = 0; i < PW_ARRAY_LEN(rows); i++) {
        qf_push(f, &(struct qf_push){.head = i % QF_HEADS,
                                     .labels = rows[i].labels,
                                     .time_ms = T0 + rows[i].at_s * 1000,
                                     .folded = rows[i].folded});
    }
}

/* %T in a text is T0 plus so many seconds: "%T15". */
static void
stamp(char *out, size_t cap, const char *text)
{
    size_t n = 0;

    for (const char *p = text; *p != 0 && n + 24 < cap; p++) {
        if (p[0] == '%' && p[1] == 'T') {
            char *end;
            long long s = strtoll(p + 2, &end, 10);

            n += (size_t)snprintf(out + n, cap - n, "%lld", (long long)T0 + s * 1000);
            p = end - 1;
        } else {
            out[n++] = *p;
        }
    }
    out[n] = 0;
}

static void
test_series__grid_rules__rows(void **state)
{
    static const struct {
        const char *request, *answer;
    } rows[] = {
        /* points on start + k*step, a profile goes to the first point at or after it, no zero fill */
        {"\"labelSelector\":\"{service_name=\\\"a\\\"}\",\"step\":15,\"start\":%T-60,\"end\":%T90",
         "{\"series\":[{\"points\":[{\"value\":1,\"timestamp\":\"%T0\"},"
         "{\"value\":6,\"timestamp\":\"%T15\"},{\"value\":8,\"timestamp\":\"%T75\"}]}]}"},
        {"\"labelSelector\":\"{service_name=\\\"a\\\"}\",\"step\":20,\"start\":%T-5,\"end\":%T95",
         "{\"series\":[{\"points\":[{\"value\":7,\"timestamp\":\"%T15\"},"
         "{\"value\":8,\"timestamp\":\"%T75\"}]}]}"},
        /* profiles of (start - step, start] count in the first point, one exactly at start - step too */
        {"\"labelSelector\":\"{service_name=\\\"a\\\"}\",\"step\":15,\"start\":%T15,\"end\":%T90",
         "{\"series\":[{\"points\":[{\"value\":7,\"timestamp\":\"%T15\"},"
         "{\"value\":8,\"timestamp\":\"%T75\"}]}]}"},
        /* behind the last grid point a profile vanishes */
        {"\"labelSelector\":\"{service_name=\\\"a\\\"}\",\"step\":30,\"start\":%T0,\"end\":%T75",
         "{\"series\":[{\"points\":[{\"value\":1,\"timestamp\":\"%T0\"},"
         "{\"value\":6,\"timestamp\":\"%T30\"}]}]}"},
        /* groups: descending by sum, missing labels left out, order as asked for */
        {"\"labelSelector\":\"{}\",\"groupBy\":[\"service_name\",\"region\"],\"step\":600,"
         "\"start\":%T-60,\"end\":%T600",
         "{\"series\":[{\"labels\":[{\"name\":\"service_name\",\"value\":\"b\"}],"
         "\"points\":[{\"value\":100,\"timestamp\":\"%T540\"}]},"
         "{\"labels\":[{\"name\":\"service_name\",\"value\":\"a\"},"
         "{\"name\":\"region\",\"value\":\"us\"}],"
         "\"points\":[{\"value\":12,\"timestamp\":\"%T540\"}]},"
         "{\"labels\":[{\"name\":\"service_name\",\"value\":\"a\"},"
         "{\"name\":\"region\",\"value\":\"eu\"}],"
         "\"points\":[{\"value\":3,\"timestamp\":\"%T540\"}]}]}"},
        {"\"labelSelector\":\"{}\",\"groupBy\":[\"service_name\"],\"limit\":\"1\",\"step\":600,"
         "\"start\":%T-60,\"end\":%T600",
         "{\"series\":[{\"labels\":[{\"name\":\"service_name\",\"value\":\"b\"}],"
         "\"points\":[{\"value\":100,\"timestamp\":\"%T540\"}]}]}"},
        {"\"labelSelector\":\"{}\",\"groupBy\":[\"nope\"],\"step\":600,\"start\":%T-60,\"end\":%"
         "T600",
         "{\"series\":[{\"points\":[{\"value\":115,\"timestamp\":\"%T540\"}]}]}"},
        /* average: by rows in the bucket */
        {"\"labelSelector\":\"{service_name=\\\"a\\\"}\",\"step\":60,\"start\":%T-60,\"end\":%T90,"
         "\"aggregation\":\"TIME_SERIES_AGGREGATION_TYPE_AVERAGE\"",
         "{\"series\":[{\"points\":[{\"value\":1,\"timestamp\":\"%T0\"},"
         "{\"value\":3,\"timestamp\":\"%T60\"}]}]}"},
        {"\"labelSelector\":\"{service_name=\\\"a\\\"}\",\"step\":600,\"start\":%T-60,\"end\":%"
         "T600,"
         "\"stackTraceSelector\":{\"callSite\":[{\"name\":\"main\"},{\"name\":\"g\"}]}",
         "{\"series\":[{\"points\":[{\"value\":12,\"timestamp\":\"%T540\"}]}]}"},
        {"\"labelSelector\":\"{service_name=\\\"x\\\"}\",\"step\":15,\"start\":%T-60,\"end\":%T90",
         "{}"},
    };
    char request[600], answer[1200], body[700];
    struct qf f;

    fill(&f);
    for (size_t i = 0; i < PW_ARRAY_LEN(rows); i++) {
        stamp(request, sizeof(request), rows[i].request);
        stamp(answer, sizeof(answer), rows[i].answer);
        snprintf(body, sizeof(body), "{" TYPE ",%s}", request);
        qf_expect(&f, "SelectSeries", body, answer);
    }
    qf_fini(&f);
}

static void
test_series__exemplars__the_largest_profile_of_each_point(void **state)
{
    char body[400];
    struct qf f;

    fill(&f);
    stamp(body, sizeof(body),
          "{" TYPE
          ",\"labelSelector\":\"{service_name=\\\"a\\\"}\",\"groupBy\":[\"region\"],\"step\":600,"
          "\"start\":%T-60,\"end\":%T600,\"exemplarType\":\"EXEMPLAR_TYPE_INDIVIDUAL\"}");
    qf_post(&f, "SelectSeries", body);
    assert_int_equal(f.rep.status, 200);
    assert_non_null(strstr(f.body, "\"profileId\":\"00000000-0000-0000-0000-000000000004\""));
    assert_non_null(strstr(f.body, "\"profileId\":\"00000000-0000-0000-0000-000000000002\""));
    assert_null(strstr(f.body, "-000000000003\""));
    assert_null(strstr(strstr(f.body, "exemplars"), "{\"name\":\"region\",\"value\":\"us\"}"));
    qf_fini(&f);
}

static void
test_series__bad_requests__say_why(void **state)
{
    static const struct {
        const char *request;
        int status;
        const char *message;
    } rows[] = {
        {"\"labelSelector\":\"{}\",\"start\":%T-60,\"end\":%T90", 400, "step must be \\u003e= 1ms"},
        {"\"labelSelector\":\"{}\",\"step\":1,\"exemplarType\":\"EXEMPLAR_TYPE_SPAN\",\"start\":%T-"
         "60,"
         "\"end\":%T90",
         501, "exemplar type span is not implemented"},
        {"\"labelSelector\":\"{}\",\"step\":1", 400, "missing time range in the query"},
        {"\"labelSelector\":\"{}\",\"step\":1,\"start\":%T1,\"end\":%T0", 400,
         "query start time is after end time"},
        {"\"labelSelector\":\"{}\",\"step\":1,\"start\":%T-172800,\"end\":%T600", 400,
         "the query time range exceeds the limit (max_query_length, actual: 48h10m0s, limit: 1d)"},
        {"\"labelSelector\":\"{\",\"step\":1,\"start\":%T0,\"end\":%T1", 400,
         "parsing label selector \\\"{\\\": 1:2: parse error: unexpected end of input inside "
         "braces"},
    };
    char request[400], body[500];
    struct qf f;

    fill(&f);
    for (size_t i = 0; i < PW_ARRAY_LEN(rows); i++) {
        stamp(request, sizeof(request), rows[i].request);
        snprintf(body, sizeof(body), "{" TYPE ",%s}", request);
        qf_post(&f, "SelectSeries", body);
        if (f.rep.status != rows[i].status || strstr(f.body, rows[i].message) == NULL) {
            fail_msg("%s: %u %s", rows[i].request, f.rep.status, f.body);
        }
    }
    qf_fini(&f);
}

static void
test_heatmap__twenty_buckets_over_all_values(void **state)
{
    char body[400];
    struct qf f;

    fill(&f);
    stamp(body, sizeof(body),
          "{" TYPE ",\"labelSelector\":\"{service_name=\\\"a\\\"}\",\"step\":60,\"start\":%T-60,"
          "\"end\":%T600,\"queryType\":\"HEATMAP_QUERY_TYPE_INDIVIDUAL\"}");
    qf_post(&f, "SelectHeatmap", body);
    assert_int_equal(f.rep.status, 200);
    /* values 1 | 2 4 | 8: the slots at T0, +60 s, +120 s. Bounds are 1 + trunc(i * 0.35): the buckets
     * before the third begin and end at 1. */
    assert_non_null(strstr(f.body, "\"counts\":[0,0,1,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]"));
    assert_non_null(strstr(f.body, "\"counts\":[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,1]"));
    qf_post(&f, "SelectHeatmap",
            "{" TYPE ",\"labelSelector\":\"{}\",\"step\":1,\"start\":5,\"end\":5}");
    assert_non_null(strstr(f.body, "start time must be before end time, got start=5 end=5"));
    qf_fini(&f);
}

/* --- Render --------------------------------------------------------------------------------- */

static void
test_pw_render_step_ms__thresholds(void **state)
{
    static const struct {
        int64_t range_s, step_s;
    } rows[] = {
        {0, 15},     {3600, 15},       {26250, 15},          {26252, 20},
        {86400, 60}, {7 * 86400, 300}, {30 * 86400LL, 1800}, {365 * 86400LL, 21600},
    };

    for (size_t i = 0; i < PW_ARRAY_LEN(rows); i++) {
        assert_int_equal(pw_render_step_ms(rows[i].range_s * 1000), rows[i].step_s * 1000);
    }
}

static void
test_render__json__timeline_and_groups(void **state)
{
    char target[400], want[300];
    struct qf f;

    fill(&f);
    snprintf(target, sizeof(target),
             "/pyroscope/render?query=process_cpu%%3Acpu%%3Ananoseconds%%3Acpu%%3Ananoseconds"
             "%%7Bservice_name%%3D%%22a%%22%%7D&from=%lld&until=%lld&groupBy=region",
             (long long)(T0 / 1000 - 60), (long long)(T0 / 1000 + 90));
    qf_get(&f, target);
    assert_int_equal(f.rep.status, 200);
    assert_string_equal(f.rep.content_type, "application/json");
    assert_int_equal(f.body[f.rep.body_bytes - 1], '\n');
    assert_non_null(strstr(f.body, "\"numTicks\":15,\"maxSelf\":12}"));
    assert_non_null(strstr(f.body,
                           "\"metadata\":{\"format\":\"single\",\"spyName\":\"\","
                           "\"sampleRate\":1000000000,\"units\":\"samples\",\"name\":\"cpu\"}"));
    /* T0 is no multiple of 15 s: the grid of samples begins before from */
    snprintf(want, sizeof(want),
             "\"groups\":{\"us\":{\"startTime\":%lld,\"samples\":[0,0,0,0,0,4,0,0,0,8],"
             "\"durationDelta\":15,\"watermarks\":null},",
             (long long)((T0 / 1000 - 60) / 15 * 15));
    if (strstr(f.body, want) == NULL) {
        fail_msg("%s\nwant %s", f.body, want);
    }
    assert_non_null(strstr(f.body, "\"timeline\":{"));
    assert_non_null(strstr(f.body, "\"heatmap\":null}"));
    qf_fini(&f);
}

static void
test_render__bad_queries__say_why(void **state)
{
    static const struct {
        const char *target, *body;
    } rows[] = {
        {"/pyroscope/render", "\"message\":\"\\\"query\\\" is required\"}"},
        {"/pyroscope/render?query=%7Ba%3D%22b%22%7D",
         "\"message\":\"\\\"query\\\" must contain a profile-type selection\"}"},
        {"/pyroscope/render?query=%7B%7B%7B", "\"message\":\"failed to parse \\\"query\\\": 1:2: "
                                              "parse error: unexpected left brace '{'\"}"},
        {"/pyroscope/render?query=cpu%7B%7D", "\"message\":\"failed to parse \\\"query\\\"\"}"},
        {"/pyroscope/render-diff?leftQuery=a:b:c:d:e%7B%7D",
         "\"message\":\"\\\"rightQuery\\\" is required\"}"},
        {"/pyroscope/render-diff?leftQuery=a:b:c:d:e%7B%7D&rightQuery=a:b:c:d:f%7B%7D",
         "\"message\":\"profile types must match\"}"},
        {"/pyroscope/label-values", "\"message\":\"label parameter is required\"}"},
        {"/pyroscope/label-values?label=region",
         "\"message\":\"missing time range in the query\"}"},
    };
    struct qf f;

    fill(&f);
    for (size_t i = 0; i < PW_ARRAY_LEN(rows); i++) {
        qf_get(&f, rows[i].target);
        if (f.rep.status != 400 || strstr(f.body, rows[i].body) == NULL) {
            fail_msg("%s: %u %s", rows[i].target, f.rep.status, f.body);
        }
    }
    qf_fini(&f);
}

static void
test_render__dot__a_digraph_or_nothing(void **state)
{
    char target[400];
    struct qf f;

    fill(&f);
    for (int some = 0; some < 2; some++) {
        snprintf(target, sizeof(target),
                 "/pyroscope/render?query=process_cpu:cpu:nanoseconds:cpu:nanoseconds"
                 "%%7Bservice_name%%3D%%22%s%%22%%7D&from=%lld&until=%lld&format=dot",
                 some ? "a" : "x", (long long)(T0 / 1000 - 60), (long long)(T0 / 1000 + 90));
        qf_get(&f, target);
        assert_int_equal(f.rep.status, 200);
        assert_string_equal(f.rep.content_type, "text/plain; charset=utf-8");
        if (some) {
            assert_non_null(strstr(f.body, "digraph \""));
            assert_non_null(strstr(f.body, "N1 -> N2 ["));
        } else {
            assert_int_equal(f.rep.body_bytes, 0);
        }
    }
    qf_fini(&f);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_series__grid_rules__rows),
        cmocka_unit_test(test_series__exemplars__the_largest_profile_of_each_point),
        cmocka_unit_test(test_series__bad_requests__say_why),
        cmocka_unit_test(test_heatmap__twenty_buckets_over_all_values),
        cmocka_unit_test(test_pw_render_step_ms__thresholds),
        cmocka_unit_test(test_render__json__timeline_and_groups),
        cmocka_unit_test(test_render__bad_queries__say_why),
        cmocka_unit_test(test_render__dot__a_digraph_or_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
