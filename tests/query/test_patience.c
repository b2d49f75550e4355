/* Whoever asked goes away in the middle: the query stops at its next look and gives its memory back, whatever it was about
 * to read. The other appliances' door (query/peers.h) is the middle: it is asked when heads and blocks are open and no row
 * is read yet. */
#include "query/call.h"
#include "query/patience.h"
#include "query/peers.h"
#include "tests/query/fixture.h"

#include "tests/support/cmocka_pw.h"

#include <stdio.h>

#define TYPE "\"profileTypeID\":\"process_cpu:cpu:nanoseconds:cpu:nanoseconds\""
#define ALL  "\"start\":1799998000000,\"end\":1800000000000"

struct fixture {
    struct qf f;
    struct pw_peers peers;
    struct pw_patience patience;
    uint32_t others; /* appliances in the ring */
    bool leaves_in_set, leaves_in_ask;
    uint32_t sets, asks;
};

static void *
thread_new(void *ctx)
{
    return ctx;
}

static void
thread_free(void *ctx, void *thread)
{
}

static int
set(void *ctx, struct pw_peer_set *s, struct pw_text *why)
{
    struct fixture *x = ctx;

    memset(s, 0, sizeof(*s));
    s->count = x->others;
    x->sets++;
    if (x->leaves_in_set) {
        pw_patience_end(&x->patience, 0);
    }
    return 0;
}

/* Nobody answers, and all may fail. */
static void
ask(void *ctx, void *thread, const struct pw_peer_round *r)
{
    struct fixture *x = ctx;

    assert_ptr_equal(r->patience, &x->patience);
    x->asks++;
    for (uint32_t i = 0; i < r->count; i++) {
        r->ask[i].rc = PW_EIO;
    }
    if (x->leaves_in_ask) {
        pw_patience_end(&x->patience, 0);
    }
}

static void
up(struct fixture *x)
{
    *x = (struct fixture){.peers = {.ctx = x,
                                    .thread_new = thread_new,
                                    .thread_free = thread_free,
                                    .set = set,
                                    .ask = ask}};
    qf_init_peer(&x->f, false, &x->peers);
}

static void
push(struct fixture *x, uint32_t head, int64_t time_ms)
{
    qf_push(&x->f, &(struct qf_push){.head = head,
                                     .name = "process_cpu",
                                     .labels = "service_name=a",
                                     .time_ms = time_ms,
                                     .folded = "main;work 10\nmain;idle 3\n"});
}

static uint16_t
post(struct fixture *x, const char *method, const char *json)
{
    const struct pw_http_header h = {PW_SLICE_LIT("content-type"),
                                     PW_SLICE_LIT("application/json")};
    char path[200];

    pw_patience_begin(&x->patience);
    snprintf(path, sizeof(path), "/querier.v1.QuerierService/%s", method);
    qf_execute(&x->f, &(struct pw_query_request){.method = PW_HTTP_METHOD_POST,
                                                 .path = pw_slice_str(path),
                                                 .headers = &h,
                                                 .headers_count = 1,
                                                 .body = pw_slice_str(json),
                                                 .now_ms = x->f.now_ms,
                                                 .patience = &x->patience});
    assert_int_equal(x->f.t->arena.bytes_used, 0);
    return x->f.rep.status;
}

static const struct {
    const char *method, *json;
} queries[] = {
    {"SelectMergeStacktraces", "{" TYPE ",\"labelSelector\":\"{}\"," ALL "}"},
    {"SelectMergeStacktraces",
     "{" TYPE ",\"labelSelector\":\"{}\"," ALL ",\"format\":\"PROFILE_FORMAT_PPROF\"}"},
    {"SelectMergeProfile", "{" TYPE ",\"labelSelector\":\"{}\"," ALL "}"},
    {"SelectSeries", "{" TYPE ",\"labelSelector\":\"{}\"," ALL ",\"step\":15}"},
    {"SelectHeatmap", "{" TYPE ",\"labelSelector\":\"{}\"," ALL
                      ",\"step\":15,\"queryType\":\"HEATMAP_QUERY_TYPE_INDIVIDUAL\"}"},
    {"Series", "{\"matchers\":[\"{}\"]," ALL "}"},
    {"LabelNames", "{\"matchers\":[\"{}\"]," ALL "}"},
};

static void
each_query(struct fixture *x, uint16_t status)
{
    for (size_t i = 0; i < PW_ARRAY_LEN(queries); i++) {
        uint16_t got = post(x, queries[i].method, queries[i].json);

        if (got != status) {
            fail_msg("%s %s: %u %s, not %u", queries[i].method, queries[i].json, got, x->f.body,
                     status);
        }
    }
}

static void
leave_before_rows(uint32_t head)
{
    struct fixture x;

    up(&x);
    for (uint32_t i = 0; i < 20; i++) {
        push(&x, head, 1799999000000 + i * 1000);
    }
    if (head == QF_ASIDE) {
        qf_cut(&x.f, QF_HOSTNAME, 1);
    }
    each_query(&x, 200);
    x.leaves_in_set = true;
    each_query(&x, 499);
    assert_string_equal(
        x.f.body,
        "{\"code\":\"canceled\",\"message\":\"the request was cancelled by the client\"}");
    x.leaves_in_set = false;
    each_query(&x, 200); /* the next one finds everything as ever */
    qf_fini(&x.f);
}

static void
test_execute__client_leaves_before_the_rows_of_a_head__499(void **state)
{
    (void)state;
    leave_before_rows(0);
}

static void
test_execute__client_leaves_before_the_rows_of_a_block__499(void **state)
{
    (void)state;
    leave_before_rows(QF_ASIDE);
}

static void
test_execute__client_leaves_while_others_are_asked__nobody_is_asked_again(void **state)
{
    struct fixture x;

    (void)state;
    up(&x);
    push(&x, 0, 1799999000000);
    x.others = 2;
    x.leaves_in_ask = true;
    each_query(&x, 499);
    assert_int_equal(x.asks, PW_ARRAY_LEN(queries));
    qf_fini(&x.f);
}

static void
test_execute__client_left_before__nothing_is_read(void **state)
{
    static const char target[] = "/pyroscope/render";
    struct fixture x;

    (void)state;
    up(&x);
    push(&x, 0, 1799999000000);
    pw_patience_end(&x.patience, 0);
    qf_execute(&x.f,
               &(struct pw_query_request){.method = PW_HTTP_METHOD_GET,
                                          .path = pw_slice_str(target),
                                          .query = PW_SLICE_LIT("query=process_cpu:cpu:nanoseconds:"
                                                                "cpu:nanoseconds{}&from=now-1h"),
                                          .now_ms = x.f.now_ms,
                                          .patience = &x.patience});
    assert_int_equal(x.f.rep.status, 499);
    assert_int_equal(x.sets, 0);
    qf_fini(&x.f);
}

static void
test_patience_end__a_later_end__changes_nothing(void **state)
{
    struct pw_patience p = {0};

    (void)state;
    assert_false(pw_patience_is_over(NULL));
    assert_false(pw_patience_is_over(&p));
    pw_patience_end(&p, 3600000);
    assert_false(pw_patience_is_over(&p));
    pw_patience_end(&p, 0);
    assert_true(pw_patience_is_over(&p));
    pw_patience_end(&p, 3600000);
    assert_true(pw_patience_is_over(&p));
    pw_patience_begin(&p);
    assert_false(pw_patience_is_over(&p));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_execute__client_leaves_before_the_rows_of_a_head__499),
        cmocka_unit_test(test_execute__client_leaves_before_the_rows_of_a_block__499),
        cmocka_unit_test(test_execute__client_leaves_while_others_are_asked__nobody_is_asked_again),
        cmocka_unit_test(test_execute__client_left_before__nothing_is_read),
        cmocka_unit_test(test_patience_end__a_later_end__changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
