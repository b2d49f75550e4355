/* Vectors: RFC 3720 B.4 and the check value of the CRC catalogues. */
#include "base/crc32c.h"

#include "tests/support/cmocka_pw.h"

static void
test_crc32c__published_vectors(void **state)
{
    uint8_t zeros[32] = {0}, ones[32], up[32];

    memset(ones, 0xFF, sizeof(ones));
    for (size_t i = 0; i < sizeof(up); i++) {
        up[i] = (uint8_t)i;
    }
    assert_int_equal(pw_crc32c(0, "123456789", 9), 0xE3069283U);
    assert_int_equal(pw_crc32c(0, zeros, sizeof(zeros)), 0x8A9136AAU);
    assert_int_equal(pw_crc32c(0, ones, sizeof(ones)), 0x62A8AB43U);
    assert_int_equal(pw_crc32c(0, up, sizeof(up)), 0x46DD794EU);
    assert_int_equal(pw_crc32c(0, "", 0), 0);
}

static void
test_crc32c__any_split__same_as_table(void **state)
{
    uint8_t buf[100];

    for (size_t i = 0; i < sizeof(buf); i++) {
        buf[i] = (uint8_t)(i * 37 + 11);
    }
    for (size_t len = 0; len <= sizeof(buf); len++) {
        uint32_t want = pw_crc32c_table(0, buf, len);

        for (size_t cut = 0; cut <= len; cut++) {
            assert_int_equal(pw_crc32c(pw_crc32c(0, buf, cut), buf + cut, len - cut), want);
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crc32c__published_vectors),
        cmocka_unit_test(test_crc32c__any_split__same_as_table),
    };

    return cmocka_run_group_tests_name("crc32c", tests, NULL, NULL);
}
