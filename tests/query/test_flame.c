/* Flame graphs, trees and diffs as answers: contract read-path.md 3.1 - 3.3. */
#include "tests/query/fixture.h"

#include "query/codec.h"
#include "query/tree.h"
#include "tests/support/cmocka_pw.h"

#include <querier.pb-c.h>
#include <stdio.h>
#include <stdlib.h>

#define T0    1799999000000
#define TYPE  "\"profileTypeID\":\"process_cpu:cpu:nanoseconds:cpu:nanoseconds\""
#define RANGE "\"start\":1799998000000,\"end\":1799999500000"

static void
test_stacktraces__contract_example__levels_and_names_as_observed(void **state)
{
    struct qf f;

    qf_init(&f, false);
    qf_push(&f, &(struct qf_push){.time_ms = T0, .folded = "a;b;c 40\na;b;d 60\na;e 10\nz 20\n"});
    qf_expect(&f, "SelectMergeStacktraces", "{" TYPE ",\"labelSelector\":\"{}\"," RANGE "}",
              "{\"flamegraph\":{\"names\":[\"total\",\"z\",\"a\",\"e\",\"b\",\"d\",\"c\"],"
              "\"levels\":[{\"values\":[\"0\",\"130\",\"0\",\"0\"]},"
              "{\"values\":[\"0\",\"110\",\"0\",\"2\",\"0\",\"20\",\"20\",\"1\"]},"
              "{\"values\":[\"0\",\"100\",\"0\",\"4\",\"0\",\"10\",\"10\",\"3\"]},"
              "{\"values\":[\"0\",\"40\",\"40\",\"6\",\"0\",\"60\",\"60\",\"5\"]}],"
              "\"total\":\"130\",\"maxSelf\":\"60\"}}");
    qf_expect(&f, "SelectMergeStacktraces",
              "{" TYPE ",\"labelSelector\":\"{}\",\"format\":\"PROFILE_FORMAT_TREE\"," RANGE "}",
              /* "" 0 2 | z 20 0 | a 0 2 | e 10 0 | b 0 2 | d 60 0 | c 40 0 */
              "{\"tree\":\"AAACAXoUAAFhAAIBZQoAAWIAAgFkPAABYygA\"}");
    qf_fini(&f);
}

static void
test_stacktraces__several_profiles_and_heads__summed_by_names(void **state)
{
    struct qf f;

    qf_init(&f, false);
    qf_push(&f, &(struct qf_push){.time_ms = T0, .folded = "main;f 1\nmain;g 2\n"});
    qf_push(&f, &(struct qf_push){.time_ms = T0 + 1, .folded = "main;g 4\nmain 8\n"});
    qf_push(&f, &(struct qf_push){.head = 1, .time_ms = T0, .folded = "main;f|h 16\nmain;g 32\n"});
    qf_push(&f, &(struct qf_push){.name = "memory", .time_ms = T0, .folded = "main;f 1000\n"});
    qf_expect(&f, "SelectMergeStacktraces", "{" TYPE ",\"labelSelector\":\"{}\"," RANGE "}",
              "{\"flamegraph\":{\"names\":[\"total\",\"main\",\"g\",\"f\",\"h\"],"
              "\"levels\":[{\"values\":[\"0\",\"63\",\"0\",\"0\"]},"
              "{\"values\":[\"0\",\"63\",\"8\",\"1\"]},"
              "{\"values\":[\"8\",\"17\",\"1\",\"3\",\"0\",\"38\",\"38\",\"2\"]},"
              "{\"values\":[\"9\",\"16\",\"16\",\"4\"]}],\"total\":\"63\",\"maxSelf\":\"38\"}}");
    qf_fini(&f);
}

static void
test_stacktraces__time_bounds__inclusive_at_ms(void **state)
{
    static const struct {
        int64_t start, end;
        const char *total; /* "" for none */
    } rows[] = {
        {T0, T0, "\"total\":\"1\""},
        {T0, T0 + 1, "\"total\":\"3\""},
        {T0 + 1, T0 + 2, "\"total\":\"6\""},
        {T0 + 2, T0 + 2, "\"total\":\"4\""},
        {T0 - 10, T0 - 1, "\"levels\":[{\"values\":[\"0\",\"0\",\"0\",\"0\"]}]}"},
    };
    struct qf f;
    char req[400];

    qf_init(&f, false);
    for (int i = 0; i < 3; i++) {
        static const char *const folded[] = {"a 1\n", "a 2\n", "a 4\n"};

        qf_push(&f, &(struct qf_push){.time_ms = T0 + i, .folded = folded[i]});
    }
    for (size_t i = 0; i < PW_ARRAY_LEN(rows); i++) {
        snprintf(req, sizeof(req),
                 "{" TYPE ",\"labelSelector\":\"{}\",\"start\":%lld,\"end\":%lld}",
                 (long long)rows[i].start, (long long)rows[i].end);
        qf_post(&f, "SelectMergeStacktraces", req);
        assert_int_equal(f.rep.status, 200);
        assert_non_null(strstr(f.body, rows[i].total));
    }
    qf_fini(&f);
}

static void
test_stacktraces__filters__call_site_span_trace_profile(void **state)
{
    static const struct {
        const char *filter;
        const char *want;
    } rows[] = {
        {"\"stackTraceSelector\":{\"callSite\":[{\"name\":\"main\"},{\"name\":\"f\"}]}",
         "\"total\":\"5\""},
        {"\"stackTraceSelector\":{\"callSite\":[{\"name\":\"f\"}]}", "\"names\":[\"total\"]"},
        {"\"spanSelector\":[\"00000000000000aa\"]", "\"total\":\"1\""},
        {"\"spanSelector\":[\"00000000000000AA\",\"00000000000000bb\"]", "\"total\":\"5\""},
        {"\"traceIdSelector\":[\"000102030405060708090a0b0c0d0e0f\"]", "\"total\":\"4\""},
        {"\"profileIdSelector\":[\"00000000-0000-0000-0000-000000000002\"]", "\"total\":\"16\""},
        {"\"profileIdSelector\":[\"00000000-0000-0000-0000-000000000009\"]",
         "\"names\":[\"total\"]"},
    };
    struct qf f;
    char req[600];

    qf_init(&f, false);
    qf_push(&f, &(struct qf_push){
                    .time_ms = T0,
                    .folded = "main;f 1 @00000000000000aa\nmain;g 2\n"
                              "main;f;h 4 @00000000000000bb/000102030405060708090a0b0c0d0e0f\n"});
    qf_push(&f, &(struct qf_push){.time_ms = T0, .folded = "other;f 16\n"});
    for (size_t i = 0; i < PW_ARRAY_LEN(rows); i++) {
        snprintf(req, sizeof(req), "{" TYPE ",\"labelSelector\":\"{}\"," RANGE ",%s}",
                 rows[i].filter);
        qf_post(&f, "SelectMergeStacktraces", req);
        if (f.rep.status != 200 || strstr(f.body, rows[i].want) == NULL) {
            fail_msg("%s: %s", rows[i].filter, f.body);
        }
    }
    qf_post(&f, "SelectMergeStacktraces",
            "{" TYPE ",\"labelSelector\":\"{}\"," RANGE ",\"spanSelector\":[\"00000000000000aa\"],"
            "\"traceIdSelector\":[\"000102030405060708090a0b0c0d0e0f\"]}");
    assert_string_equal(f.body, "{\"code\":\"invalid_argument\",\"message\":\"span_selector and "
                                "trace_id_selector cannot be combined\"}");
    qf_fini(&f);
}

/* --- Truncation ----------------------------------------------------------------------------- */

/* A tree from levels: what the properties are stated over. */
struct flat {
    int64_t total[4096], self[4096];
    char path[4096][256];
    uint32_t count;
    int64_t root_total;
};

static void
flatten(const Querier__V1__FlameGraph *g, struct flat *out)
{
    static struct {
        int64_t start, end, self;
        char path[256];
    } above[4096], now[4096];
    size_t above_count = 0;

    out->count = 0;
    for (size_t l = 0; l < g->n_levels; l++) {
        const Querier__V1__Level *level = g->levels[l];
        int64_t at = 0;
        size_t n = 0;

        for (size_t k = 0; k < level->n_values; k += 4, n++) {
            const char *name = g->names[level->values[k + 3]];
            size_t parent = 0;

            now[n].start = at + level->values[k];
            now[n].end = now[n].start + level->values[k + 1];
            now[n].self = level->values[k + 2];
            at = now[n].end;
            while (l > 0 && parent < above_count &&
                   !(now[n].start >= above[parent].start + above[parent].self &&
                     now[n].end <= above[parent].end)) {
                parent++;
            }
            assert_true(l == 0 || parent < above_count); /* every node lies inside a parent */
            snprintf(now[n].path, sizeof(now[n].path), "%.100s;%.100s",
                     l == 0 ? "" : above[parent].path, name);
            out->total[out->count] = level->values[k + 1];
            out->self[out->count] = level->values[k + 2];
            snprintf(out->path[out->count++], sizeof(out->path[0]), "%s", now[n].path);
        }
        memcpy(above, now, n * sizeof(now[0]));
        above_count = n;
    }
    out->root_total = g->levels[0]->values[1];
}

static Querier__V1__SelectMergeStacktracesResponse *
query_proto(struct qf *f, int64_t max_nodes)
{
    Querier__V1__SelectMergeStacktracesRequest req =
        QUERIER__V1__SELECT_MERGE_STACKTRACES_REQUEST__INIT;
    char type[] = "process_cpu:cpu:nanoseconds:cpu:nanoseconds", selector[] = "{}";
    uint8_t buf[256];

    req.profile_typeid = type;
    req.label_selector = selector;
    req.start = T0 - 1000;
    req.end = T0 + 1000;
    if (max_nodes > 0) {
        req.opt_max_nodes_case =
            QUERIER__V1__SELECT_MERGE_STACKTRACES_REQUEST__OPT_MAX_NODES_MAX_NODES;
        req.max_nodes = max_nodes;
    }
    qf_post_proto(f, "SelectMergeStacktraces",
                  pw_slice(buf, querier__v1__select_merge_stacktraces_request__pack(&req, buf)));
    assert_int_equal(f->rep.status, 200);
    assert_string_equal(f->rep.content_type, "application/proto");
    return querier__v1__select_merge_stacktraces_response__unpack(NULL, f->rep.body_bytes,
                                                                  f->rep.body);
}

static bool
ends_with_other(const char *path)
{
    size_t n = strlen(path);

    return n >= 6 && strcmp(path + n - 6, ";other") == 0;
}

static bool
has_path(const struct flat *t, const char *path, uint32_t *at)
{
    for (*at = 0; *at < t->count; (*at)++) {
        if (strcmp(t->path[*at], path) == 0) {
            return true;
        }
    }
    return false;
}

/* Kept nodes have their exact totals, "other" is what is missing, the total stays; a node is kept if
 * and only if it reaches the threshold, and at most max_nodes lie above that. */
static void
expect_truncation(const struct flat *full, const struct flat *cut, int64_t max_nodes)
{
    int64_t least = INT64_MAX, above = 0;
    uint32_t at;

    assert_true(cut->root_total == full->root_total);
    for (uint32_t i = 0; i < cut->count; i++) {
        int64_t sum = cut->self[i];
        size_t n = strlen(cut->path[i]);

        for (uint32_t k = 0; k < cut->count; k++) {
            if (strncmp(cut->path[k], cut->path[i], n) == 0 && cut->path[k][n] == ';' &&
                strchr(cut->path[k] + n + 1, ';') == NULL) {
                sum += cut->total[k];
            }
        }
        assert_true(sum == cut->total[i]);
        if (!ends_with_other(cut->path[i])) {
            assert_true(has_path(full, cut->path[i], &at));
            assert_true(cut->total[i] == full->total[at]);
            least = cut->total[i] < least ? cut->total[i] : least;
        }
    }
    for (uint32_t i = 0; i < full->count; i++) {
        assert_true(has_path(cut, full->path[i], &at) == (full->total[i] >= least));
        above += full->total[i] > least ? 1 : 0;
    }
    assert_true(above <= max_nodes);
}

static void
test_stacktraces__random_trees_truncated__totals_kept_other_is_the_rest(void **state)
{
    static struct flat full, cut;
    static char folded[1 << 16];
    uint32_t seed = 7;

    for (int round = 0; round < 8; round++) {
        size_t at = 0;
        struct qf f;

        qf_init(&f, false);
        for (int i = 0; i < 120; i++) {
            int depth = 1 + (int)((seed = seed * 1103515245 + 12345) >> 16) % 7;

            for (int d = 0; d < depth; d++) {
                seed = seed * 1103515245 + 12345;
                at += (size_t)snprintf(folded + at, sizeof(folded) - at, "%sf%u", d > 0 ? ";" : "",
                                       (seed >> 16) % 4);
            }
            /* distinct values, so that no tie at the threshold keeps more nodes */
            at += (size_t)snprintf(folded + at, sizeof(folded) - at, ";leaf%d %d\n", i,
                                   1 + i * i % 997);
        }
        qf_push(&f, &(struct qf_push){.time_ms = T0, .folded = folded});
        {
            Querier__V1__SelectMergeStacktracesResponse *r = query_proto(&f, 0);

            flatten(r->flamegraph, &full);
            querier__v1__select_merge_stacktraces_response__free_unpacked(r, NULL);
        }
        for (int64_t max = 1; max < 200; max = max * 2 + 1) {
            Querier__V1__SelectMergeStacktracesResponse *r = query_proto(&f, max);

            flatten(r->flamegraph, &cut);
            expect_truncation(&full, &cut, max);
            querier__v1__select_merge_stacktraces_response__free_unpacked(r, NULL);
        }
        qf_fini(&f);
    }
}

static void
test_stacktraces__max_nodes__same_passes_as_stock(void **state)
{
    struct qf f;

    /* The totals of read case 020, which stock v2 answered with these levels. */
    qf_init(&f, false);
    qf_push(&f, &(struct qf_push){.time_ms = T0,
                                  .folded = "main.main;main.gcLoop 120\n"
                                            "main.main;main.serve;db.Query;net.read 240\n"
                                            "main.main;main.serve;json.Marshal 180\n"
                                            "main.main;main.serve;json.Marshal;reflect.Value 420\n"
                                            "main.main;main.serve;net.read 300\n"
                                            "runtime.mcall;runtime.park 340\n"});
    qf_expect(&f, "SelectMergeStacktraces",
              "{" TYPE ",\"labelSelector\":\"{}\",\"maxNodes\":5," RANGE "}",
              "{\"flamegraph\":{\"names\":[\"total\",\"other\",\"main.main\",\"main.serve\","
              "\"json.Marshal\"],\"levels\":[{\"values\":[\"0\",\"1600\",\"0\",\"0\"]},"
              "{\"values\":[\"0\",\"1260\",\"0\",\"2\",\"0\",\"340\",\"340\",\"1\"]},"
              "{\"values\":[\"0\",\"1140\",\"0\",\"3\",\"0\",\"120\",\"120\",\"1\"]},"
              "{\"values\":[\"0\",\"600\",\"180\",\"4\",\"0\",\"540\",\"540\",\"1\"]},"
              "{\"values\":[\"180\",\"420\",\"420\",\"1\"]}],"
              "\"total\":\"1600\",\"maxSelf\":\"540\"}}");
    qf_fini(&f);
}

static void
test_pw_tree_nth_largest__rows(void **state)
{
    uint32_t seed = 3;

    for (int round = 0; round < 200; round++) {
        int64_t v[60], sorted[60];
        uint32_t n = 1 + (seed >> 16) % 60;

        for (uint32_t i = 0; i < n; i++) {
            seed = seed * 1103515245 + 12345;
            v[i] = (seed >> 16) % 20;
            sorted[i] = v[i];
        }
        for (uint32_t i = 0; i < n; i++) { /* selection sort, descending: the plain way */
            for (uint32_t k = i + 1; k < n; k++) {
                if (sorted[k] > sorted[i]) {
                    int64_t x = sorted[i];

                    sorted[i] = sorted[k];
                    sorted[k] = x;
                }
            }
        }
        for (uint32_t k = 1; k <= n; k++) {
            assert_true(pw_tree_nth_largest(v, n, k) == sorted[k - 1]);
        }
    }
}

static void
test_stacktraces__frames_named_other_and_empty__folded_and_indexed_as_stock(void **state)
{
    struct qf f;

    qf_init(&f, false);
    qf_push(&f, &(struct qf_push){.time_ms = T0, .folded = "a;other;b 4\na;z 2\n"});
    qf_expect(&f, "SelectMergeStacktraces", "{" TYPE ",\"labelSelector\":\"{}\"," RANGE "}",
              "{\"flamegraph\":{\"names\":[\"total\",\"a\",\"other\",\"z\"],"
              "\"levels\":[{\"values\":[\"0\",\"6\",\"0\",\"0\"]},"
              "{\"values\":[\"0\",\"6\",\"0\",\"1\"]},"
              "{\"values\":[\"0\",\"2\",\"2\",\"3\",\"0\",\"4\",\"4\",\"2\"]}],"
              "\"total\":\"6\",\"maxSelf\":\"4\"}}");
    qf_fini(&f);
}

/* --- Diff ----------------------------------------------------------------------------------- */

static void
test_diff__two_sides__seven_tuples(void **state)
{
    struct qf f;

    qf_init(&f, false);
    qf_push(&f, &(struct qf_push){
                    .labels = "service_name=l", .time_ms = T0, .folded = "a;b 1\na;c 2\n"});
    qf_push(&f,
            &(struct qf_push){.labels = "service_name=r", .time_ms = T0, .folded = "a;c 4\nd 8\n"});
    qf_expect(&f, "Diff",
              "{\"left\":{" TYPE ",\"labelSelector\":\"{service_name=\\\"l\\\"}\"," RANGE "},"
              "\"right\":{" TYPE ",\"labelSelector\":\"{service_name=\\\"r\\\"}\"," RANGE "}}",
              "{\"flamegraph\":{\"names\":[\"total\",\"d\",\"a\",\"c\",\"b\"],\"levels\":["
              "{\"values\":[\"0\",\"3\",\"0\",\"0\",\"12\",\"0\",\"0\"]},"
              "{\"values\":[\"0\",\"3\",\"0\",\"0\",\"4\",\"0\",\"2\","
              "\"0\",\"0\",\"0\",\"0\",\"8\",\"8\",\"1\"]},"
              "{\"values\":[\"0\",\"1\",\"1\",\"0\",\"0\",\"0\",\"4\","
              "\"0\",\"2\",\"2\",\"0\",\"4\",\"4\",\"3\"]}],"
              "\"total\":\"15\",\"maxSelf\":\"8\",\"leftTicks\":\"3\",\"rightTicks\":\"12\"}}");
    qf_post(&f, "Diff", "{}");
    assert_int_equal(f.rep.status, 400);
    assert_non_null(strstr(f.body, "got(1): \\\"\\\""));
    qf_fini(&f);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stacktraces__contract_example__levels_and_names_as_observed),
        cmocka_unit_test(test_stacktraces__several_profiles_and_heads__summed_by_names),
        cmocka_unit_test(test_stacktraces__time_bounds__inclusive_at_ms),
        cmocka_unit_test(test_stacktraces__filters__call_site_span_trace_profile),
        cmocka_unit_test(test_stacktraces__random_trees_truncated__totals_kept_other_is_the_rest),
        cmocka_unit_test(test_stacktraces__max_nodes__same_passes_as_stock),
        cmocka_unit_test(test_pw_tree_nth_largest__rows),
        cmocka_unit_test(
            test_stacktraces__frames_named_other_and_empty__folded_and_indexed_as_stock),
        cmocka_unit_test(test_diff__two_sides__seven_tuples),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
