/* What is packed comes out as it went in; what others packed is read; what is broken is refused. */
#include "ring/compress.h"

#include "tests/support/cmocka_pw.h"

#include <stdlib.h>

enum { BYTES_MAX = 200000, LIMIT = 1 << 20 };

struct codec {
    int (*decode)(struct pw_slice in, struct pw_text *out);
    void (*encode)(struct pw_slice in, struct pw_text *out);
};

static const struct codec lzw = {pw_lzw_decode, pw_lzw_encode};
static const struct codec snappy = {pw_snappy_decode, pw_snappy_encode};

/* kind 0: text that repeats; 1: noise; 2: one byte over and over. */
static void
fill(uint8_t *p, size_t n, unsigned kind)
{
    uint32_t x = 12345;

    for (size_t i = 0; i < n; i++) {
        x = x * 1664525U + 1013904223U;
        p[i] = kind == 0 ? (uint8_t) "ring of appliances, "[(i + (x >> 31) * (i % 3)) % 20]
                         : (kind == 1 ? (uint8_t)(x >> 24) : 'a');
    }
}

static void
check_round_trip(const struct codec *c)
{
    static const size_t length[] = {0, 1, 2, 255, 256, 257, 4000, 70000, BYTES_MAX};
    uint8_t *bytes = malloc(BYTES_MAX);

    assert_non_null(bytes);
    for (unsigned kind = 0; kind < 3; kind++) {
        fill(bytes, BYTES_MAX, kind);
        for (size_t i = 0; i < PW_ARRAY_LEN(length); i++) {
            struct pw_text packed, plain;

            pw_text_init(&packed, LIMIT);
            pw_text_init(&plain, LIMIT);
            c->encode(pw_slice(bytes, length[i]), &packed);
            assert_false(packed.failed);
            assert_int_equal(c->decode(pw_slice(packed.ptr, packed.len), &plain), 0);
            assert_int_equal(plain.len, length[i]);
            assert_true(plain.len == 0 || memcmp(plain.ptr, bytes, plain.len) == 0);
            assert_true(kind == 1 || length[i] < 4000 || packed.len < length[i] / 2);
            pw_text_fini(&packed);
            pw_text_fini(&plain);
        }
    }
    free(bytes);
}

static void
test_lzw__any_bytes__come_back(void **state)
{
    check_round_trip(&lzw);
}

static void
test_snappy__any_bytes__come_back(void **state)
{
    check_round_trip(&snappy);
}

/* By hand: clear, 'a', 258 (the entry being made: "aa"), 258, end, each in 9 bits from the least
 * significant on: 100000000 001100001 100000010 100000010 100000001. */
static void
test_lzw_decode__entry_being_made__ends_as_it_begins(void **state)
{
    static const uint8_t packed[] = {0x00, 0xC3, 0x08, 0x14, 0x18, 0x10};
    struct pw_text plain;

    pw_text_init(&plain, LIMIT);
    assert_int_equal(pw_lzw_decode(pw_slice(packed, sizeof(packed)), &plain), 0);
    assert_int_equal(plain.len, 5);
    assert_memory_equal(plain.ptr, "aaaaa", 5);
    pw_text_fini(&plain);
}

static void
test_lzw_encode__same_bytes__as_by_hand(void **state)
{
    static const uint8_t expected[] = {0x00, 0xC3, 0x08, 0x14, 0x18, 0x10};
    struct pw_text packed;

    pw_text_init(&packed, LIMIT);
    pw_lzw_encode(PW_SLICE_LIT("aaaaa"), &packed);
    assert_int_equal(packed.len, sizeof(expected));
    assert_memory_equal(packed.ptr, expected, sizeof(expected));
    pw_text_fini(&packed);
}

static void
check_refused(const struct codec *c, struct pw_slice in, size_t limit, int expected)
{
    struct pw_text plain;

    pw_text_init(&plain, limit);
    assert_int_equal(c->decode(in, &plain), expected);
    assert_true(plain.len <= limit);
    pw_text_fini(&plain);
}

static void
test_decode__cut_or_over_limit__refused(void **state)
{
    const struct codec *codec[] = {&lzw, &snappy};
    uint8_t bytes[4000];

    fill(bytes, sizeof(bytes), 0);
    for (size_t i = 0; i < PW_ARRAY_LEN(codec); i++) {
        struct pw_text packed;

        pw_text_init(&packed, LIMIT);
        codec[i]->encode(pw_slice(bytes, sizeof(bytes)), &packed);
        check_refused(codec[i], pw_slice(packed.ptr, packed.len), sizeof(bytes) - 1, PW_EMSGSIZE);
        check_refused(codec[i], pw_slice(packed.ptr, packed.len - 2), LIMIT, PW_EPROTO);
        check_refused(codec[i], pw_slice(packed.ptr, 0), LIMIT, PW_EPROTO);
        pw_text_fini(&packed);
    }
}

static void
test_lzw_decode__code_nobody_made__refused(void **state)
{
    static const uint8_t first_is_an_entry[] = {0x00, 0x05, 0x02}; /* clear, 258 */
    static const uint8_t far_ahead[] = {0x00, 0xC3, 0x10, 0x04};   /* clear, 'a', 260 */

    check_refused(&lzw, pw_slice(first_is_an_entry, sizeof(first_is_an_entry)), LIMIT, PW_EPROTO);
    check_refused(&lzw, pw_slice(far_ahead, sizeof(far_ahead)), LIMIT, PW_EPROTO);
}

/* It claims 2^32 - 1 bytes and brings none. */
static void
test_snappy_decode__length_that_lies__refused(void **state)
{
    static const uint8_t lie[] = {0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 0x00, 'x'};
    static const uint8_t small_lie[] = {0x80, 0x80, 0x08, 0x00, 'x'};

    check_refused(&snappy, pw_slice(lie, sizeof(lie)), LIMIT, PW_EMSGSIZE);
    check_refused(&snappy, pw_slice(small_lie, sizeof(small_lie)), LIMIT, PW_EPROTO);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lzw__any_bytes__come_back),
        cmocka_unit_test(test_snappy__any_bytes__come_back),
        cmocka_unit_test(test_lzw_decode__entry_being_made__ends_as_it_begins),
        cmocka_unit_test(test_lzw_encode__same_bytes__as_by_hand),
        cmocka_unit_test(test_decode__cut_or_over_limit__refused),
        cmocka_unit_test(test_lzw_decode__code_nobody_made__refused),
        cmocka_unit_test(test_snappy_decode__length_that_lies__refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
