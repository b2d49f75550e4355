/* Three appliances and one that got everything: whatever is asked of one of the three, the answer is that of
 * the one, with each profile on one, two or three of them, and with one of them dead when it was on two. */
#include "query/far_wire.h"
#include "query/peers.h"
#include "tests/query/fixture.h"

#include "tests/support/cmocka_pw.h"

#include <profile.pb-c.h>
#include <querier.pb-c.h>
#include <stdio.h>
#include <stdlib.h>

#define T0   INT64_C(1799999000000)
#define TYPE "\"profileTypeID\":\"process_cpu:cpu:nanoseconds:cpu:nanoseconds\""
#define ALL  "\"start\":1799998000000,\"end\":1800000000000"
#define WHAT "{" TYPE ",\"labelSelector\":\"{}\"," ALL

enum { APPLIANCES = 3 };

enum ill { WELL, DEAD, DEAD_SECOND, BABBLES };

struct world;

struct appliance {
    struct world *w;
    uint32_t index;
    struct pw_peers peers;
    struct qf f;
    enum ill ill;
};

struct world {
    struct appliance a[APPLIANCES];
    struct qf all;
    uint32_t asked[PW_FAR_TIMES + 1]; /* by kind of question */
    uint32_t max_errors;
    bool single;
    bool copies[APPLIANCES]; /* that one knows that it has some */
};

/* --- The net ------------------------------------------------------------------------------------ */

static void *
thread_new(void *ctx)
{
    return ctx;
}

static void
thread_free(void *ctx, void *thread)
{
    assert_ptr_equal(ctx, thread);
}

static uint32_t
other(const struct appliance *a, uint32_t peer)
{
    return peer < a->index ? peer : peer + 1;
}

static int
set(void *ctx, struct pw_peer_set *s, struct pw_text *why)
{
    struct appliance *a = ctx;

    (void)why;
    memset(s, 0, sizeof(*s));
    s->count = APPLIANCES - 1;
    s->max_errors = a->w->max_errors;
    for (uint32_t i = 0; i < s->count; i++) {
        snprintf(s->peer[i].addr, sizeof(s->peer[i].addr), "appliance-%u", other(a, i));
    }
    return 0;
}

static bool
single(void *ctx)
{
    struct appliance *a = ctx;

    return a->w->single && !a->w->copies[a->index];
}

static void
answer(struct appliance *to, struct pw_slice tenants, struct pw_peer_ask *ask)
{
    const struct pw_http_header h[] = {
        {PW_SLICE_LIT("content-type"), PW_SLICE_LIT("application/proto")},
        {PW_SLICE_LIT("X-Scope-OrgID"), tenants},
    };
    struct pw_query_request req = {.method = PW_HTTP_METHOD_POST,
                                   .path = PW_SLICE_LIT(PW_PEER_ROUTE),
                                   .headers = h,
                                   .headers_count = PW_ARRAY_LEN(h),
                                   .body = ask->body,
                                   .now_ms = to->f.now_ms};
    struct pw_query_reply rep;

    pw_query_execute_cold(to->f.t, &req, &rep);
    ask->reply = rep.body;
    ask->reply_bytes = rep.body_bytes;
    ask->rc = rep.status == 200 ? 0 : PW_EIO;
    snprintf(ask->why, sizeof(ask->why), "status %u %.*s", rep.status, (int)rep.body_bytes,
             rep.body == NULL ? "" : (const char *)rep.body);
    if (to->ill == BABBLES && ask->reply_bytes > 3) {
        ask->reply_bytes -= 1; /* cut short */
    }
}

static void
ask(void *ctx, void *thread, const struct pw_peer_round *r)
{
    struct appliance *a = ctx;
    struct pw_peer_ask *ask = r->ask;

    (void)thread;
    for (uint32_t i = 0; i < r->count; i++) {
        struct appliance *to = &a->w->a[other(a, ask[i].peer)];
        uint8_t what = ask[i].body.ptr[1];

        assert_in_range(what, PW_FAR_SERIES, PW_FAR_TIMES);
        a->w->asked[what]++;
        if (to->ill == DEAD ||
            (to->ill == DEAD_SECOND && (what == PW_FAR_SUMS || what == PW_FAR_SAMPLES))) {
            ask[i].rc = PW_ETIMEDOUT;
            snprintf(ask[i].why, sizeof(ask[i].why), "no answer");
        } else {
            answer(to, r->tenants, &ask[i]);
        }
    }
}

/* --- Set-up ------------------------------------------------------------------------------------- */

static void
up(struct world *w, bool multitenancy)
{
    memset(w, 0, sizeof(*w));
    w->max_errors = 1;
    for (uint32_t i = 0; i < APPLIANCES; i++) {
        struct appliance *a = &w->a[i];

        a->w = w;
        a->index = i;
        a->peers = (struct pw_peers){.ctx = a,
                                     .thread_new = thread_new,
                                     .thread_free = thread_free,
                                     .set = set,
                                     .ask = ask,
                                     .single = single};
        qf_init_peer(&a->f, multitenancy, &a->peers);
    }
    qf_init(&w->all, multitenancy);
}

static void
down(struct world *w)
{
    for (uint32_t i = 0; i < APPLIANCES; i++) {
        qf_fini(&w->a[i].f);
    }
    qf_fini(&w->all);
}

/* To the one, and to those of the three whose bit is set. */
static void
push(struct world *w, uint32_t mask, const struct qf_push *p)
{
    struct qf_push one = *p;

    qf_push(&w->all, &one);
    for (uint32_t i = 0; i < APPLIANCES; i++) {
        one.head = (p->uuid + i) % QF_HEADS; /* cores differ from appliance to appliance */
        if ((mask & (1U << i)) != 0) {
            qf_push(&w->a[i].f, &one);
        }
    }
}

/* masks: the copies of the n-th profile. Spans, several services, two profiles of one series in one moment. */
static void
fill(struct world *w, const uint32_t *masks, uint32_t n)
{
    static const char *const labels[] = {"service_name=a,region=eu", "service_name=b,region=us",
                                         "service_name=a,region=us,pod=\"\\x", "service_name=c"};
    char folded[512];

    for (uint32_t i = 0; i < 40; i++) {
        /* Of one series at one time all profiles have the same owners. */
        uint32_t mask = masks[(i / 5 * 4 + i % 4) % n];

        snprintf(
            folded, sizeof(folded),
            "main;work%u;leaf|inl %u @%016x/%032x\nmain;idle %u\nmain;work%u;deep;deeper;x %u\n",
            i % 5, 100 + i * 3, i % 3 + 1, i % 4 + 1, 1000 + i * 7, i % 2, 5 + i);
        push(w, mask,
             &(struct qf_push){.labels = labels[i % PW_ARRAY_LEN(labels)],
                               .time_ms = T0 + (i / 5) * 15000,
                               .uuid = (uint8_t)(i + 1),
                               .folded = folded});
        if (i % 7 == 0) {
            snprintf(folded, sizeof(folded), "main;twin %u\n", 77000 + i);
            push(w, mask,
                 &(struct qf_push){.labels = labels[i % PW_ARRAY_LEN(labels)],
                                   .time_ms = T0 + (i / 5) * 15000,
                                   .uuid = (uint8_t)(i + 101),
                                   .folded = folded});
        }
    }
}

/* --- Comparing ---------------------------------------------------------------------------------- */

static int
by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The samples of a pprof as sorted lines: its tables have no order that is owed. */
static char *
lines_of(const struct qf *f)
{
    Google__V1__Profile *p =
        google__v1__profile__unpack(NULL, f->rep.body_bytes, (const uint8_t *)f->body);
    char **line, *out;
    size_t len = 1;

    assert_non_null(p);
    line = calloc(p->n_sample + 1, sizeof(*line));
    for (size_t i = 0; i < p->n_sample; i++) {
        char text[4096];
        size_t at = 0;

        for (size_t k = p->sample[i]->n_location_id; k > 0; k--) {
            const Google__V1__Location *l = p->location[p->sample[i]->location_id[k - 1] - 1];

            for (size_t x = l->n_line; x > 0; x--) {
                const Google__V1__Function *fn = p->function[l->line[x - 1]->function_id - 1];
                ProtobufCBinaryData name = p->string_table[fn->name];
                ProtobufCBinaryData file = p->string_table[p->mapping[l->mapping_id - 1]->filename];

                at += (size_t)snprintf(text + at, sizeof(text) - at, "%.*s:%lld(%.*s);",
                                       (int)name.len, (const char *)name.data,
                                       (long long)l->line[x - 1]->line, (int)file.len,
                                       (const char *)file.data);
            }
        }
        at += (size_t)snprintf(text + at, sizeof(text) - at, " %lld\n",
                               (long long)p->sample[i]->value[0]);
        line[i] = strdup(text);
        len += at;
    }
    qsort(line, p->n_sample, sizeof(*line), by_text);
    out = calloc(len, 1);
    for (size_t i = 0; i < p->n_sample; i++) {
        strcat(out, line[i]);
        free(line[i]);
    }
    free(line);
    google__v1__profile__free_unpacked(p, NULL);
    return out;
}

static const char *const questions[][2] = {
    {"SelectMergeStacktraces", WHAT "}"},
    {"SelectMergeStacktraces",
     "{" TYPE ",\"labelSelector\":\"{service_name=\\\"a\\\",region!~\\\"e.\\\"}\"," ALL "}"},
    {"SelectMergeStacktraces", WHAT ",\"maxNodes\":4}"},
    {"SelectMergeStacktraces", WHAT ",\"format\":\"PROFILE_FORMAT_TREE\"}"},
    {"SelectMergeStacktraces",
     WHAT ",\"stackTraceSelector\":{\"callSite\":[{\"name\":\"main\"},{\"name\":\"work1\"}]}}"},
    {"SelectMergeStacktraces", WHAT ",\"spanSelector\":[\"0000000000000002\"]}"},
    {"SelectMergeStacktraces", WHAT ",\"traceIdSelector\":[\"00000000000000000000000000000003\"]}"},
    {"SelectMergeStacktraces", WHAT ",\"profileIdSelector\":[\"00000000-0000-0000-0000-"
                                    "000000000008\",\"00000000-0000-0000-0000-000000000065\"]}"},
    {"SelectMergeSpanProfile", WHAT ",\"spanSelector\":[\"0000000000000001\"]}"},
    {"SelectSeries", WHAT ",\"step\":15,\"groupBy\":[\"service_name\"]}"},
    {"SelectSeries", WHAT ",\"step\":15,\"groupBy\":[\"region\"],\"aggregation\":\"TIME_SERIES_"
                          "AGGREGATION_TYPE_AVERAGE\"}"},
    {"SelectSeries", WHAT ",\"step\":30,\"exemplarType\":\"EXEMPLAR_TYPE_INDIVIDUAL\"}"},
    {"SelectSeries", WHAT ",\"step\":15,\"stackTraceSelector\":{\"callSite\":[{\"name\":\"main\"},{"
                          "\"name\":\"work0\"}]}}"},
    {"SelectHeatmap", WHAT ",\"step\":60,\"queryType\":\"HEATMAP_QUERY_TYPE_INDIVIDUAL\"}"},
    {"SelectHeatmap", WHAT ",\"step\":60,\"queryType\":\"HEATMAP_QUERY_TYPE_SPAN\","
                           "\"exemplarType\":\"EXEMPLAR_TYPE_SPAN\"}"},
    {"Diff", "{\"left\":" WHAT "},\"right\":{" TYPE
             ",\"labelSelector\":\"{service_name=\\\"b\\\"}\"," ALL "}}"},
    {"ProfileTypes", "{" ALL "}"},
    {"LabelNames", "{" ALL "}"},
    {"LabelValues", "{\"name\":\"region\",\"matchers\":[\"{service_name=\\\"a\\\"}\"]," ALL "}"},
    {"Series", "{\"labelNames\":[\"service_name\",\"region\"]," ALL "}"},
    {"Series", "{" ALL "}"},
    {"GetProfileStats", "{}"},
};
/* Not dot: nodes of equal weight have no order that is owed; it is drawn from what SelectMergeProfile gives. */
static const char *const gets[] = {
    "/pyroscope/"
    "render?query=process_cpu%3Acpu%3Ananoseconds%3Acpu%3Ananoseconds%7B%7D&from=1799998000&until="
    "1800000000&groupBy=service_name",
    "/pyroscope/"
    "render-diff?leftQuery=process_cpu%3Acpu%3Ananoseconds%3Acpu%3Ananoseconds%7B%7D&leftFrom="
    "1799998000&leftUntil=1799999060&rightQuery=process_cpu%3Acpu%3Ananoseconds%3Acpu%"
    "3Ananoseconds%7B%7D&rightFrom=1799999060&rightUntil=1800000000",
    "/pyroscope/label-values?label=__name__",
};

static void
compare(struct world *w, uint32_t i, const char *what)
{
    struct qf *f = &w->a[i].f;

    if (f->rep.status != 200 || w->all.rep.status != 200 || strcmp(f->body, w->all.body) != 0) {
        fail_msg("appliance %u: %s\n status %u\n got  %s\n status %u\n want %s", i, what,
                 f->rep.status, f->body, w->all.rep.status, w->all.body);
    }
}

/* Every question, to everyone who is well. */
static void
expect_same(struct world *w)
{
    Querier__V1__SelectMergeProfileRequest req = QUERIER__V1__SELECT_MERGE_PROFILE_REQUEST__INIT;
    uint8_t merge[256];
    size_t len;

    req.profile_typeid = (char *)(uintptr_t) "process_cpu:cpu:nanoseconds:cpu:nanoseconds";
    req.label_selector = (char *)(uintptr_t) "{}";
    req.start = T0 - 1000000;
    req.end = T0 + 1000000;
    len = querier__v1__select_merge_profile_request__pack(&req, merge);
    for (uint32_t i = 0; i < APPLIANCES; i++) {
        struct qf *f = &w->a[i].f;

        if (w->a[i].ill != WELL) {
            continue;
        }
        for (size_t k = 0; k < PW_ARRAY_LEN(questions); k++) {
            qf_post(&w->all, questions[k][0], questions[k][1]);
            qf_post(f, questions[k][0], questions[k][1]);
            compare(w, i, questions[k][1]);
            assert_true(f->rep.body_bytes > 2);
        }
        for (size_t k = 0; k < PW_ARRAY_LEN(gets); k++) {
            qf_get(&w->all, gets[k]);
            qf_get(f, gets[k]);
            compare(w, i, gets[k]);
        }
        qf_post_proto(&w->all, "SelectMergeProfile", pw_slice(merge, len));
        qf_post_proto(f, "SelectMergeProfile", pw_slice(merge, len));
        assert_int_equal(f->rep.status, 200);
        char *got = lines_of(f), *want = lines_of(&w->all);

        assert_true(strlen(want) > 100);
        assert_string_equal(got, want);
        free(got);
        free(want);
    }
}

/* --- Tests -------------------------------------------------------------------------------------- */

static void
test_query__profiles_on_one_two_or_three__as_if_one_had_all(void **state)
{
    static const uint32_t masks[] = {1, 2, 4, 3, 5, 6, 7};
    static struct world w;

    (void)state;
    up(&w, false);
    fill(&w, masks, PW_ARRAY_LEN(masks));
    expect_same(&w);
    assert_true(w.asked[PW_FAR_SUMS] > 0 && w.asked[PW_FAR_SAMPLES] > 0);
    down(&w);
}

static void
test_query__all_on_all__nobody_is_asked_for_samples(void **state)
{
    static const uint32_t masks[] = {7};
    static struct world w;

    (void)state;
    up(&w, false);
    fill(&w, masks, 1);
    expect_same(&w);
    assert_true(w.asked[PW_FAR_ROWS] > 0);
    assert_int_equal(w.asked[PW_FAR_SUMS] + w.asked[PW_FAR_SAMPLES], 0);
    down(&w);
}

static void
test_query__one_is_ill__the_others_answer_for_it(void **state)
{
    static const uint32_t masks[] = {3, 5, 6, 7};
    static const enum ill ills[] = {DEAD, DEAD_SECOND, BABBLES};
    static struct world w;

    (void)state;
    for (uint32_t i = 0; i < APPLIANCES * PW_ARRAY_LEN(ills); i++) {
        up(&w, false);
        fill(&w, masks, PW_ARRAY_LEN(masks));
        w.a[i % APPLIANCES].ill = ills[i / APPLIANCES];
        expect_same(&w);
        down(&w);
    }
}

static void
test_query__long_selector__as_many_questions_as_it_takes(void **state)
{
    enum {
        KEYS_EACH = 10,
        KEY_BYTES = 29,
        FIXED = 1024 + 43 + 20,
        VALUE = 65536 - FIXED - KEYS_EACH * KEY_BYTES
    };
    static const uint32_t masks[] = {4};
    static struct world w;
    static char json[VALUE + 512];

    (void)state;
    up(&w, false);
    fill(&w, masks, 1);
    snprintf(json, sizeof(json),
             "{" TYPE ",\"labelSelector\":\"{service_name!=\\\"%0*d\\\"}\"," ALL "}", (int)VALUE,
             0);
    qf_post(&w.all, "SelectMergeStacktraces", json);
    qf_post(&w.a[0].f, "SelectMergeStacktraces", json);
    compare(&w, 0, "long");
    assert_in_range(w.asked[PW_FAR_SUMS], 3, 4); /* 32 times and series */
    down(&w);
}

static void
test_query__too_many_are_ill__503_names_one(void **state)
{
    static const uint32_t masks[] = {7};
    static struct world w;

    (void)state;
    up(&w, false);
    fill(&w, masks, 1);
    w.a[1].ill = DEAD;
    w.a[2].ill = DEAD;
    qf_post(&w.a[0].f, "SelectMergeStacktraces", WHAT "}");
    assert_int_equal(w.a[0].f.rep.status, 503);
    assert_string_equal(w.a[0].f.body,
                        "{\"code\":\"unavailable\",\"message\":\"2 of 2 other appliances did not "
                        "answer: appliance-2: no answer\"}");
    down(&w);
}

static void
test_query__one_replica__nobody_is_asked_for_rows_first(void **state)
{
    static const uint32_t masks[] = {1, 2, 4};
    static struct world w;

    (void)state;
    up(&w, false);
    fill(&w, masks, PW_ARRAY_LEN(masks));
    w.max_errors = 0;
    expect_same(&w);
    uint32_t rows = w.asked[PW_FAR_ROWS], sums = w.asked[PW_FAR_SUMS];

    memset(w.asked, 0, sizeof(w.asked));
    w.single = true;
    expect_same(&w);
    assert_true(w.asked[PW_FAR_ROWS] < rows); /* totals and labels are rows */
    assert_true(w.asked[PW_FAR_SUMS] >= sums);

    w.a[1].ill = BABBLES; /* nobody can answer for it */
    qf_post(&w.a[0].f, "SelectMergeStacktraces", WHAT "}");
    assert_int_equal(w.a[0].f.rep.status, 503);
    down(&w);
}

/* The factor was more once: one of them remembers, and rows are named again. */
static void
test_query__one_replica_now_and_copies_of_before__each_once(void **state)
{
    static const uint32_t masks[] = {3, 5, 6, 7, 1};
    static struct world w;

    (void)state;
    for (uint32_t i = 0; i < APPLIANCES; i++) {
        up(&w, false);
        fill(&w, masks, PW_ARRAY_LEN(masks));
        w.single = true;
        w.copies[i] = w.copies[(i + 1) % APPLIANCES] =
            true; /* who has none of the copies' owners' */
        w.copies[(i + 2) % APPLIANCES] = i == 0;
        expect_same(&w);
        down(&w);
    }
}

static void
test_query__heads_cut_to_blocks__still_once_each(void **state)
{
    static const uint32_t masks[] = {3, 5, 6, 7, 2};
    static struct world w;

    (void)state;
    up(&w, false);
    fill(&w, masks, PW_ARRAY_LEN(masks));
    for (uint32_t i = 0; i < 3; i++) {
        struct qf_push p = {.head = 0,
                            .time_ms = T0 + 100000 + i,
                            .uuid = (uint8_t)(60 + i),
                            .folded = "main;cut;x 4444\n"};

        qf_push(&w.all, &p);
        qf_push(&w.a[2].f, &p);
        p.head = QF_ASIDE;
        qf_push(&w.a[1].f, &p);
    }
    qf_cut(&w.a[1].f, QF_HOSTNAME, 1);
    expect_same(&w);
    down(&w);
}

static void
test_query__blocks_of_the_bucket__are_everybodys_own_to_read(void **state)
{
    static struct world w;

    (void)state;
    up(&w, false);
    qf_push(&w.a[1].f,
            &(struct qf_push){.head = QF_ASIDE, .time_ms = T0, .folded = "main;cut 4\n"});
    w.a[1].f.cut_to_bucket = true;
    qf_cut(&w.a[1].f, QF_HOSTNAME, 1);
    qf_expect(&w.a[0].f, "LabelNames", "{" ALL "}", "{}"); /* it would have it itself */
    qf_expect(&w.a[0].f, "GetProfileStats", "{}", "{}");
    down(&w);
}

static void
test_query__tenants__cross_as_they_were_named(void **state)
{
    static struct world w;
    static const struct pw_http_header h[] = {
        {PW_SLICE_LIT("content-type"), PW_SLICE_LIT("application/json")},
        {PW_SLICE_LIT("X-Scope-OrgID"), PW_SLICE_LIT("t1|t2")}};
    struct pw_query_request req = {
        .method = PW_HTTP_METHOD_POST,
        .path = PW_SLICE_LIT("/querier.v1.QuerierService/SelectMergeStacktraces"),
        .headers = h,
        .headers_count = 2,
        .body = PW_SLICE_LIT(WHAT "}")};

    (void)state;
    up(&w, true);
    for (uint32_t i = 0; i < 3; i++) {
        static const char *const tenant[] = {"t1", "t2", "t3"};

        push(&w, 6,
             &(struct qf_push){.tenant = tenant[i],
                               .time_ms = T0 + i,
                               .uuid = (uint8_t)(i + 1),
                               .folded = "a;b 3\n"});
    }
    req.now_ms = w.all.now_ms;
    qf_execute(&w.all, &req);
    qf_execute(&w.a[0].f, &req);
    compare(&w, 0, "t1|t2");
    assert_non_null(strstr(w.all.body, "\"total\":\"6\""));
    down(&w);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_query__profiles_on_one_two_or_three__as_if_one_had_all),
        cmocka_unit_test(test_query__all_on_all__nobody_is_asked_for_samples),
        cmocka_unit_test(test_query__one_is_ill__the_others_answer_for_it),
        cmocka_unit_test(test_query__long_selector__as_many_questions_as_it_takes),
        cmocka_unit_test(test_query__too_many_are_ill__503_names_one),
        cmocka_unit_test(test_query__one_replica__nobody_is_asked_for_rows_first),
        cmocka_unit_test(test_query__one_replica_now_and_copies_of_before__each_once),
        cmocka_unit_test(test_query__heads_cut_to_blocks__still_once_each),
        cmocka_unit_test(test_query__blocks_of_the_bucket__are_everybodys_own_to_read),
        cmocka_unit_test(test_query__tenants__cross_as_they_were_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
