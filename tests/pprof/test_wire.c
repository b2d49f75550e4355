#include "pprof/wire.h"

#include "base/text.h"
#include "tests/support/cmocka_pw.h"

struct row {
    const char *bytes;
    size_t n;
    int rc;
    const char *err;
};

static void
test_wire_next__broken_fields__stock_texts(void **state)
{
    static const struct row rows[] = {
        {"", 0, 0, NULL},
        {"\x08\x01", 2, 1, NULL},   /* varint */
        {"\x0a\x02zz", 4, 1, NULL}, /* bytes */
        {"\x09"
         "12345678",
         9, 1, NULL}, /* fixed64 */
        {"\x0d"
         "1234",
         5, 1, NULL},                     /* fixed32 */
        {"\x0b\x08\x01\x0c", 4, 1, NULL}, /* a group is passed over */
        {"\x0b\x0b\x0c\x0c", 4, 1, NULL}, /* a group in a group */
        {"\x08", 1, PW_PARSE_BAD, "unexpected EOF"},
        {"\x88", 1, PW_PARSE_BAD, "unexpected EOF"},
        {"\x0a\x05zz", 4, PW_PARSE_BAD, "unexpected EOF"},
        {"\x09"
         "1234567",
         8, PW_PARSE_BAD, "unexpected EOF"},
        {"\x0d"
         "123",
         4, PW_PARSE_BAD, "unexpected EOF"},
        {"\x0b\x08\x01", 3, PW_PARSE_BAD, "unexpected EOF"},
        {"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, PW_PARSE_BAD,
         "proto: negative length found during unmarshaling"},
        {"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12, PW_PARSE_BAD,
         "proto: integer overflow"},
        {"\x00\x01", 2, PW_PARSE_BAD, "proto: illegal tag 0 (wire type 0)"},
        {"\x02\x01", 2, PW_PARSE_BAD, "proto: illegal tag 0 (wire type 2)"},
        {"\x0e", 1, PW_PARSE_BAD, "proto: illegal wireType 6"},
        {"\x0c", 1, PW_PARSE_BAD, "proto: wiretype end group for non-group"},
    };

    for (size_t i = 0; i < PW_ARRAY_LEN(rows); i++) {
        struct pw_wire r;
        struct pw_wire_field f;

        pw_wire_init(&r, pw_slice(rows[i].bytes, rows[i].n));
        assert_int_equal(pw_wire_next(&r, &f), rows[i].rc);
        if (rows[i].err != NULL) {
            assert_string_equal(r.err, rows[i].err);
        } else {
            assert_ptr_equal(r.p, r.end);
        }
    }
}

static void
test_wire_next__groups_too_deep__refused(void **state)
{
    uint8_t deep[2 * PW_WIRE_DEPTH_MAX + 2];
    struct pw_wire r;
    struct pw_wire_field f;

    memset(deep, 0x0B, sizeof(deep) / 2);
    memset(deep + sizeof(deep) / 2, 0x0C, sizeof(deep) / 2);
    pw_wire_init(&r, pw_slice(deep, sizeof(deep)));
    assert_int_equal(pw_wire_next(&r, &f), PW_PARSE_BAD);
    pw_wire_init(&r, pw_slice(deep + 1, sizeof(deep) - 2));
    assert_int_equal(pw_wire_next(&r, &f), 1);
}

static void
test_wire_put__read_back__same(void **state)
{
    static const uint64_t values[] = {0, 1, 127, 128, 16383, 16384, 1ULL << 32, UINT64_MAX};

    for (size_t i = 0; i < PW_ARRAY_LEN(values); i++) {
        uint8_t buf[64];
        struct pw_text t;
        struct pw_wire r;
        struct pw_wire_field f;

        pw_text_fixed(&t, buf, sizeof(buf));
        pw_wire_put_tag_varint(&t, 3, values[i]);
        pw_wire_put_bytes(&t, 4, pw_slice("ab", 2));
        pw_wire_init(&r, pw_slice(t.ptr, t.len));
        if (values[i] != 0) { /* proto3 leaves 0 out */
            assert_int_equal(pw_wire_next(&r, &f), 1);
            assert_int_equal(f.number, 3);
            assert_true(f.varint == values[i]);
        }
        assert_int_equal(pw_wire_next(&r, &f), 1);
        assert_int_equal(f.number, 4);
        assert_true(pw_slice_eq_str(f.bytes, "ab"));
        assert_int_equal(pw_wire_next(&r, &f), 0);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wire_next__broken_fields__stock_texts),
        cmocka_unit_test(test_wire_next__groups_too_deep__refused),
        cmocka_unit_test(test_wire_put__read_back__same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
