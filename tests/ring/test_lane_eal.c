/* With EAL's memory initialised a lane lies in it, and gives it back. */
#include "ring/lane.h"

#include "base/limits.h"
#include "tests/support/cmocka_pw.h"

#include <rte_eal.h>
#include <rte_malloc.h>

static size_t
heap_in_use(void)
{
    struct rte_malloc_socket_stats st;

    assert_int_equal(rte_malloc_get_socket_stats(0, &st), 0);
    return st.heap_allocsz_bytes;
}

static void
test_create__eal_has_memory__taken_from_it_and_given_back(void **state)
{
    size_t before = heap_in_use();
    struct pw_lane *lane;
    struct pw_lane_record rec;

    assert_int_equal(pw_lane_create_ctl(&lane, 1 << 20, 0), 0);
    assert_true(heap_in_use() >= before + (1 << 20));
    memcpy(pw_lane_reserve(lane, 5), "hello", 5);
    pw_lane_commit(lane, 3, 5);
    pw_lane_flush(lane);
    assert_int_equal(pw_lane_pop_burst(lane, &rec, 1), 1);
    assert_memory_equal(rec.data, "hello", 5);
    pw_lane_release(lane, 1);
    pw_lane_destroy_ctl(lane);
    assert_int_equal(heap_in_use(), before);
}

static void
test_create__more_than_eal_has__enomem(void **state)
{
    struct pw_lane *lane;

    assert_int_equal(pw_lane_create_ctl(&lane, PW_LANE_BYTES_MAX, 0), PW_ENOMEM);
}

int
main(void)
{
    char *argv[] = {"test", "--no-pci", "--no-telemetry",    "--no-huge", "-m", "64", "--no-shconf",
                    "-l",   "0",        "--log-level=error", NULL};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_create__eal_has_memory__taken_from_it_and_given_back),
        cmocka_unit_test(test_create__more_than_eal_has__enomem),
    };

    if (rte_eal_init((int)PW_ARRAY_LEN(argv) - 1, argv) < 0) {
        return 77; /* EAL has said why */
    }
    int rc = cmocka_run_group_tests(tests, NULL, NULL);

    rte_eal_cleanup();
    return rc;
}
