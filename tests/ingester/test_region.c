/* Memory ahead of the writer. */
#include "ingester/region.h"

#include "ingester/head.h"

#include "tests/support/cmocka_pw.h"

#include <sys/resource.h>

enum { MIB = 1 << 20 };

static long
faults(void)
{
    struct rusage r;

    assert_int_equal(getrusage(RUSAGE_THREAD, &r), 0);
    return r.ru_minflt;
}

static struct pw_region
region_of(size_t bytes)
{
    struct pw_region r;

    assert_int_equal(pw_region_init_ctl(&r, bytes), 0);
    return r;
}

static void
test_pw_region_prefault__ahead_of_the_writer__its_stores_do_not_fault(void **state)
{
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
    skip(); /* every store of it touches shadow memory, which does fault */
#endif
#endif
    struct pw_region r = region_of(64 * MIB);
    uint8_t *p;
    long before;

    assert_int_equal(pw_region_prefault(&r, 8 * MIB), 8 * MIB);
    p = pw_region_alloc(&r, PW_REGION_SAMPLES, 4 * MIB, 8);
    before = faults();
    memset(p, 0x5a, 4 * MIB);
    assert_int_equal(faults() - before, 0);
    /* Beyond what was touched they do: the count above can fail. */
    p = pw_region_alloc(&r, PW_REGION_SAMPLES, 16 * MIB, 8);
    before = faults();
    memset(p, 0x5a, 16 * MIB);
    assert_true(faults() - before > 0);
    pw_region_fini_ctl(&r);
}

static void
test_pw_region_prefault__called_again__goes_on_where_the_writer_is(void **state)
{
    struct pw_region r = region_of(64 * MIB);

    assert_int_equal(pw_region_prefault(&r, 8 * MIB), 8 * MIB);
    assert_int_equal(pw_region_prefault(&r, 8 * MIB), 0);
    assert_non_null(pw_region_alloc(&r, PW_REGION_SAMPLES, MIB, 1));
    assert_int_equal(pw_region_prefault(&r, 8 * MIB), MIB);
    assert_non_null(pw_region_alloc(&r, PW_REGION_SAMPLES, 20 * MIB, 1)); /* the writer overtook */
    assert_int_equal(pw_region_prefault(&r, 8 * MIB), 8 * MIB);
    pw_region_fini_ctl(&r);
}

static void
test_pw_region_prefault__near_the_limit__stops_there(void **state)
{
    struct pw_region r = region_of(16 * MIB);
    size_t first = r.used;

    r.limit = 4 * MIB;
    assert_int_equal(pw_region_prefault(&r, 8 * MIB), 4 * MIB - first);
    r.limit = 64 * MIB; /* above what is mapped */
    assert_int_equal(pw_region_prefault(&r, 64 * MIB), 12 * MIB);
    r.limit = 0; /* other heads hold everything */
    assert_int_equal(pw_region_prefault(&r, 8 * MIB), 0);
    pw_region_fini_ctl(&r);
}

static void
test_pw_region_prefault__text_is_there_already__stays(void **state)
{
    struct pw_region r = region_of(16 * MIB);
    uint8_t *p = pw_region_alloc(&r, PW_REGION_SAMPLES, MIB, 1);

    memset(p, 0x5a, MIB);
    r.used = 64; /* as if the writer had come there between the look and the touch */
    (void)pw_region_prefault(&r, 2 * MIB);
    for (size_t i = 0; i < MIB; i++) {
        assert_int_equal(p[i], 0x5a);
    }
    pw_region_fini_ctl(&r);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pw_region_prefault__ahead_of_the_writer__its_stores_do_not_fault),
        cmocka_unit_test(test_pw_region_prefault__called_again__goes_on_where_the_writer_is),
        cmocka_unit_test(test_pw_region_prefault__near_the_limit__stops_there),
        cmocka_unit_test(test_pw_region_prefault__text_is_there_already__stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
