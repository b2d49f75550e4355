/* Local blocks that nobody reads are let go when many are open, and read as before by the next query. */
#include "ingester/catalog.h"
#include "tests/query/fixture.h"

#include "tests/support/cmocka_pw.h"

#include <stdio.h>
#include <stdlib.h>

enum { BLOCKS = 8 };

static const char query[] =
    "{\"profileTypeID\":\"process_cpu:cpu:nanoseconds:cpu:nanoseconds\",\"labelSelector\":\"{}\","
    "\"start\":1799998000000,\"end\":1800000000000}";

static void
up(struct qf *f)
{
    qf_init(f, false);
    for (uint32_t i = 0; i < BLOCKS; i++) {
        qf_push(f, &(struct qf_push){.head = QF_ASIDE,
                                     .name = "process_cpu",
                                     .labels = "service_name=a",
                                     .time_ms = 1799999000000 + i * 1000,
                                     .folded = "main;work 10\nmain;idle 3\n"});
        qf_cut(f, QF_HOSTNAME, 1);
    }
}

/* Mappings of blocks' files that this process has. */
static uint32_t
mappings(const struct qf *f)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[4096];
    uint32_t n = 0;

    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps) != NULL) {
        n += strstr(line, f->dir) != NULL;
    }
    (void)fclose(maps);
    return n;
}

static void
test_cool__more_than_so_many_are_open__half_as_many_and_answers_as_before(void **state)
{
    struct qf f;
    char *answer;

    (void)state;
    up(&f);
    assert_int_equal(mappings(&f), 0); /* nobody asked yet */
    qf_post(&f, "SelectMergeStacktraces", query);
    assert_int_equal(f.rep.status, 200);
    answer = strdup(f.body);
    assert_int_equal(mappings(&f), 3 * BLOCKS);
    assert_int_equal(pw_catalog_cool(f.catalog, BLOCKS), 0); /* so many may be */
    assert_int_equal(mappings(&f), 3 * BLOCKS);
    assert_int_equal(pw_catalog_cool(f.catalog, BLOCKS - 2), BLOCKS - (BLOCKS - 2) / 2);
    assert_int_equal(mappings(&f), 3 * (BLOCKS - 2) / 2);
    qf_expect(&f, "SelectMergeStacktraces", query, answer);
    assert_int_equal(mappings(&f), 3 * BLOCKS);
    free(answer);
    qf_fini(&f);
}

static void
test_cool__blocks_in_use__stay(void **state)
{
    struct qf f;
    const struct pw_catalog_view *v;
    struct pw_block_error err;

    (void)state;
    up(&f);
    v = pw_catalog_acquire(f.catalog);
    for (uint32_t i = 0; i < BLOCKS; i++) {
        assert_int_equal(pw_block_use(v->block[i]->block, &err), 0);
    }
    pw_block_unuse(v->block[3]->block);
    assert_int_equal(pw_catalog_cool(f.catalog, 1), 1);
    assert_int_equal(mappings(&f), 3 * (BLOCKS - 1));
    for (uint32_t i = 0; i < BLOCKS; i++) {
        if (i != 3) {
            pw_block_unuse(v->block[i]->block);
        }
    }
    pw_catalog_release(f.catalog, v);
    assert_int_equal(pw_catalog_cool(f.catalog, 1), BLOCKS - 1);
    assert_int_equal(mappings(&f), 0);
    qf_fini(&f);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cool__more_than_so_many_are_open__half_as_many_and_answers_as_before),
        cmocka_unit_test(test_cool__blocks_in_use__stay),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
