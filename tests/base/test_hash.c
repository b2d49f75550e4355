/* Vectors: contract write-path.md 5.1. */
#include "base/hash.h"

#include "tests/support/cmocka_pw.h"

static void
test_fnv1_32__token_vectors(void **state)
{
    static const struct {
        const char *tenant, *labels;
        uint32_t want;
    } rows[] = {
        {"", "", 2166136261U},
        {"t", "{}", 745319619U},
        {"anonymous", "{__name__=\"process_cpu\", service_name=\"svc\"}", 1144597414U},
    };

    for (size_t i = 0; i < PW_ARRAY_LEN(rows); i++) {
        uint32_t h = pw_fnv1_32(PW_FNV1_32_INIT, rows[i].tenant, strlen(rows[i].tenant));

        assert_int_equal(pw_fnv1_32(h, rows[i].labels, strlen(rows[i].labels)), rows[i].want);
    }
}

static void
test_xxh64__published_vectors(void **state)
{
    assert_true(pw_xxh64("", 0) == 0xEF46DB3751D8E999ULL);
    assert_true(pw_xxh64("a", 1) == 0xD24EC4F1A98C6E5BULL);
    assert_true(pw_xxh64("abc", 3) == 0x44BC2CF5AD770999ULL);
}

static void
test_hash_keyed__other_key__other_value(void **state)
{
    assert_true(pw_hash_keyed(1, "abc", 3) != pw_hash_keyed(2, "abc", 3));
    assert_true(pw_hash_mix(1, 2) != pw_hash_mix(2, 1));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fnv1_32__token_vectors),
        cmocka_unit_test(test_xxh64__published_vectors),
        cmocka_unit_test(test_hash_keyed__other_key__other_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
