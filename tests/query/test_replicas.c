/* One profile in several replicas' blocks counts once: contract storage.md 2.8. */
#include "query/dedup.h"
#include "tests/query/fixture.h"

#include "tests/support/cmocka_pw.h"

#include <stdio.h>
#include <stdlib.h>

#define T0   INT64_C(1799999000000)
#define TYPE "\"profileTypeID\":\"process_cpu:cpu:nanoseconds:cpu:nanoseconds\""

/* --- The table ------------------------------------------------------------------------------- */

static void
test_dedup__rows_of_origins__the_most_of_one_count(void **state)
{
    static const struct {
        uint32_t origin;
        uint64_t fingerprint;
        int64_t time;
        int counts;
    } row[] = {
        {0, 1, 10, 1}, {0, 1, 10, 1},                /* twice in one origin: two profiles */
        {0, 1, 11, 1}, {0, 2, 10, 1}, {1, 1, 10, 0}, /* a copy */
        {1, 1, 12, 1},                               /* the first did not have it */
        {2, 1, 10, 0}, {2, 1, 10, 0}, {2, 1, 10, 1}, /* three here: one more than before */
        {2, 1, 12, 0}, {2, 2, 11, 1}, {3, 1, 10, 0},
    };
    struct pw_arena arena;
    struct pw_dedup d;

    (void)state;
    pw_arena_init(&arena, 1 << 20);
    assert_int_equal(pw_dedup_init(&d, &arena, 7), 0);
    for (size_t i = 0; i < PW_ARRAY_LEN(row); i++) {
        assert_int_equal(pw_dedup_take(&d, row[i].origin, row[i].fingerprint, row[i].time),
                         row[i].counts);
    }
    pw_arena_reset(&arena);
}

static void
test_dedup__many_rows__each_counts_once_while_it_grows(void **state)
{
    enum { ROWS = 50000 };
    struct pw_arena arena;
    struct pw_dedup d;

    (void)state;
    pw_arena_init(&arena, (size_t)64 << 20);
    assert_int_equal(pw_dedup_init(&d, &arena, 7), 0);
    for (uint32_t origin = 0; origin < 3; origin++) {
        for (uint32_t i = 0; i < ROWS; i++) {
            assert_int_equal(pw_dedup_take(&d, origin, i % 7, i), origin == 0);
        }
    }
    assert_int_equal(d.count, ROWS);
    pw_arena_reset(&arena);
}

static void
test_dedup__no_memory__says_so(void **state)
{
    struct pw_arena arena;
    struct pw_dedup d;
    int rc = 1;

    (void)state;
    pw_arena_init(&arena, 1 << 20); /* some tables, not the next */
    assert_int_equal(pw_dedup_init(&d, &arena, 7), 0);
    for (int i = 0; i < 100000 && rc == 1; i++) {
        rc = pw_dedup_take(&d, 0, 1, i);
    }
    assert_int_equal(rc, PW_ENOMEM);
    pw_arena_reset(&arena);
}

/* --- Heads and blocks ------------------------------------------------------------------------- */

static void
push(struct qf *f, uint32_t head, const char *labels, int at_s, const char *folded)
{
    qf_push(f, &(struct qf_push){
                   .head = head, .labels = labels, .time_ms = T0 + at_s * 1000, .folded = folded});
}

/* Sum over everything, by the flame graph; SelectSeries says the same. */
static void
expect_total(struct qf *f, int64_t total)
{
    char json[256], want[64];

    snprintf(json, sizeof(json),
             "{\"start\":%lld,\"end\":%lld," TYPE ",\"labelSelector\":\"{}\"%s}", (long long)T0,
             (long long)T0 + 3600000, ",\"step\":3600");
    qf_post(f, "SelectSeries", json);
    assert_int_equal(f->rep.status, 200);
    double sum = 0;
    for (const char *p = f->body; (p = strstr(p, "\"value\":")) != NULL; p++) {
        sum += strtod(p + strlen("\"value\":"), NULL);
    }
    assert_int_equal((int64_t)sum, total);
    snprintf(json, sizeof(json), "{\"start\":%lld,\"end\":%lld," TYPE ",\"labelSelector\":\"{}\"}",
             (long long)T0, (long long)T0 + 3600000);
    qf_post(f, "SelectMergeStacktraces", json);
    assert_int_equal(f->rep.status, 200);
    snprintf(want, sizeof(want), "\"total\":\"%lld\"", (long long)total);
    if (strstr(f->body, want) == NULL) {
        fail_msg("no %s in %s", want, f->body);
    }
}

static void
test_select__two_hosts_blocks_overlap__copies_count_once(void **state)
{
    struct qf f;

    (void)state;
    qf_init(&f, false);
    push(&f, QF_ASIDE, "service_name=a", 0, "main;f 1\nmain;g 2\n");
    push(&f, QF_ASIDE, "service_name=a", 15, "main;f 10\n");
    push(&f, QF_ASIDE, "service_name=b", 15, "main 1000\n");
    qf_cut(&f, "one", 1);
    expect_total(&f, 1013);
    push(&f, QF_ASIDE, "service_name=a", 15,
         "main;f 10\n"); /* has missed the first, has the second */
    push(&f, QF_ASIDE, "service_name=a", 30, "main;f 100\n");
    push(&f, QF_ASIDE, "service_name=c", 15, "main 10000\n");
    qf_cut(&f, "two", 1);
    expect_total(&f, 11113);
    qf_fini(&f);
}

static void
test_select__one_host_same_moment__both_count(void **state)
{
    struct qf f;

    (void)state;
    qf_init(&f, false);
    for (int i = 0; i < 2; i++) {
        push(&f, QF_ASIDE, "service_name=a", 15, "main;f 10\n");
        push(&f, QF_ASIDE, "service_name=a", 15, "main;g 10\n");
        qf_cut(&f, "one", 1);
    }
    expect_total(&f, 40);
    qf_fini(&f);
}

static void
test_select__head_and_another_hosts_block__copies_count_once(void **state)
{
    struct qf f;

    (void)state;
    qf_init(&f, false);
    push(&f, 0, "service_name=a", 0, "main;f 1\n");
    push(&f, 1, "service_name=a", 15, "main;f 10\n");
    push(&f, QF_ASIDE, "service_name=a", 0, "main;f 1\n");
    push(&f, QF_ASIDE, "service_name=a", 15, "main;f 10\n");
    push(&f, QF_ASIDE, "service_name=a", 30, "main;f 100\n");
    qf_cut(&f, "other", 1);
    expect_total(&f, 111);
    /* A block of this appliance is no copy of its heads. */
    push(&f, QF_ASIDE, "service_name=a", 0, "main;f 1000\n");
    qf_cut(&f, QF_HOSTNAME, 1);
    expect_total(&f, 1111);
    qf_fini(&f);
}

static void
test_select__blocks_of_no_host__copies_count_once(void **state)
{
    struct qf f;

    (void)state;
    qf_init(&f, false);
    for (int i = 0; i < 3; i++) {
        push(&f, QF_ASIDE, "service_name=a", 15, "main;f 10\n");
        qf_cut(&f, NULL, 1);
    }
    expect_total(&f, 10);
    qf_fini(&f);
}

static void
test_select__compacted_blocks__only_level_1_makes_it_look(void **state)
{
    struct qf f;

    (void)state;
    qf_init(&f, false);
    push(&f, QF_ASIDE, "service_name=a", 15, "main;f 10\n");
    qf_cut(&f, NULL, 2);
    push(&f, QF_ASIDE, "service_name=a", 15, "main;f 10\n");
    qf_cut(&f, NULL, 2);
    expect_total(&f, 20); /* the compactor has taken copies out: what is there counts */
    push(&f, QF_ASIDE, "service_name=a", 15, "main;f 10\n");
    push(&f, QF_ASIDE, "service_name=a", 30, "main;f 100\n");
    qf_cut(&f, "one", 1);
    expect_total(&f, 120);
    qf_fini(&f);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dedup__rows_of_origins__the_most_of_one_count),
        cmocka_unit_test(test_dedup__many_rows__each_counts_once_while_it_grows),
        cmocka_unit_test(test_dedup__no_memory__says_so),
        cmocka_unit_test(test_select__two_hosts_blocks_overlap__copies_count_once),
        cmocka_unit_test(test_select__one_host_same_moment__both_count),
        cmocka_unit_test(test_select__head_and_another_hosts_block__copies_count_once),
        cmocka_unit_test(test_select__blocks_of_no_host__copies_count_once),
        cmocka_unit_test(test_select__compacted_blocks__only_level_1_makes_it_look),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
