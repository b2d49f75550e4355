/* The example is that of storage.md 1.2: a block that stock wrote. */
#include "store/block/ulid.h"

#include "tests/support/cmocka_pw.h"

static void
test_ulid_parse__of_stock__prints_the_same(void **state)
{
    static const char text[] = "01M7Y1GEPHRX9AZS6AWW3AARP5";
    char out[PW_ULID_CHARS + 1];
    struct pw_ulid u;

    assert_int_equal(pw_ulid_parse(&u, pw_slice_str(text)), 0);
    pw_ulid_print(&u, out);
    assert_string_equal(out, text);
    assert_true(pw_ulid_ms(&u) == 1795230808785);
}

static void
test_ulid_parse__not_a_ulid__einval(void **state)
{
    static const char *const rows[] = {
        "",
        "01M7Y1GEPHRX9AZS6AWW3AARP",   /* 25 */
        "01M7Y1GEPHRX9AZS6AWW3AARP55", /* 27 */
        "81M7Y1GEPHRX9AZS6AWW3AARP5",  /* 129 bits */
        "01M7Y1GEPHRX9AZS6AWW3AARPU",  /* U is no digit */
        "01M7Y1GEPHRX9AZS6AWW3AARP/",
    };
    struct pw_ulid u;

    for (size_t i = 0; i < PW_ARRAY_LEN(rows); i++) {
        assert_int_equal(pw_ulid_parse(&u, pw_slice_str(rows[i])), PW_EINVAL);
    }
    assert_int_equal(pw_ulid_parse(&u, pw_slice("01M7Y1GEPHRX9AZS6AWW3AARP\0", 26)), PW_EINVAL);
}

static void
test_ulid_make__same_ms__differs_and_keeps_time(void **state)
{
    struct pw_ulid a, b;

    assert_int_equal(pw_ulid_make(&a, 281474976710655), 0); /* the last ms there is */
    assert_int_equal(pw_ulid_make(&b, 281474976710655), 0);
    assert_true(pw_ulid_ms(&a) == 281474976710655);
    assert_int_not_equal(pw_ulid_cmp(&a, &b), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ulid_parse__of_stock__prints_the_same),
        cmocka_unit_test(test_ulid_parse__not_a_ulid__einval),
        cmocka_unit_test(test_ulid_make__same_ms__differs_and_keeps_time),
    };

    return cmocka_run_group_tests_name("ulid", tests, NULL, NULL);
}
