/* Encodings: what is written is read back, whatever the values; damaged input ends in an error. */
#include "store/block/delta.h"

#include "store/block/thrift.h"
#include "tests/store/block_case.h"
#include "tests/support/cmocka_pw.h"

enum { VALUES_MAX = 1000, BYTES_MAX = 1 << 20 };

static void
round_trip(const int64_t *v, size_t n, uint32_t bits)
{
    static int64_t back[VALUES_MAX];
    struct pw_bytes in;
    struct pw_text t;

    pw_text_init(&t, BYTES_MAX);
    pw_delta_encode(&t, v, n, bits);
    assert_false(t.failed);
    pw_text_char(&t, 'x'); /* what follows is not the decoder's */
    in = pw_bytes(pw_slice(t.ptr, t.len));
    assert_int_equal(pw_delta_decode(&in, bits, back, n), 0);
    assert_int_equal(pw_bytes_left(&in), 1);
    for (size_t i = 0; i < n; i++) {
        int64_t want = bits == 32 ? (int32_t)(uint32_t)(uint64_t)v[i] : v[i];

        assert_true(back[i] == want);
    }
    in = pw_bytes(pw_slice(t.ptr, t.len));
    assert_int_equal(pw_delta_decode(&in, bits, back, n + 1), PW_EINVAL); /* another count */
    for (size_t cut = 0; cut + 1 < t.len; cut += 1 + t.len / 50) {
        in = pw_bytes(pw_slice(t.ptr, cut));
        assert_int_equal(pw_delta_decode(&in, bits, back, n), PW_EINVAL);
    }
    pw_text_fini(&t);
}

static void
test_delta__edges__read_back_equal(void **state)
{
    static const int64_t v[] = {0,         INT64_MIN, INT64_MAX, -1,        1, INT64_MAX,
                                INT64_MIN, 0,         INT32_MIN, INT32_MAX, 0, -1};

    for (size_t n = 0; n <= PW_ARRAY_LEN(v); n++) {
        round_trip(v, n, 64);
        round_trip(v, n, 32);
    }
}

static void
test_delta__random_widths_and_counts__read_back_equal(void **state)
{
    static int64_t v[VALUES_MAX];
    uint64_t seed = 7;

    for (uint32_t round = 0; round < 300; round++) {
        size_t n = block_case_random(&seed) % VALUES_MAX;
        uint32_t width = 1 + (uint32_t)(block_case_random(&seed) % 64);

        for (size_t i = 0; i < n; i++) {
            v[i] = (int64_t)(block_case_random(&seed) >> (64 - width));
        }
        round_trip(v, n, round % 2 == 0 ? 64 : 32);
    }
}

/* 7 5 3 1 2 3 4 5: the example of the format's document. Deltas -2 -2 -2 1 1 1 1, minimum -2, so 0 0 0 3
 * 3 3 3 in two bits. */
static void
test_delta_encode__example_of_the_format__these_bytes(void **state)
{
    static const int64_t v[] = {7, 5, 3, 1, 2, 3, 4, 5};
    static const uint8_t want[] = {0x80, 0x01, 4,    8, 14, 3, 2, 0, 0,
                                   0,    0xC0, 0x3F, 0, 0,  0, 0, 0, 0};
    struct pw_text t;

    pw_text_init(&t, BYTES_MAX);
    pw_delta_encode(&t, v, PW_ARRAY_LEN(v), 64);
    assert_int_equal(t.len, sizeof(want));
    assert_memory_equal(t.ptr, want, sizeof(want));
    pw_text_fini(&t);
}

static void
test_delta_decode__illegal_geometry__einval(void **state)
{
    static const uint8_t rows[][8] = {
        {0x80, 0x01, 0, 1, 0},             /* no miniblocks */
        {0x80, 0x01, 8, 1, 0},             /* miniblocks of 16 */
        {0x7F, 4, 1, 0},                   /* block of 127 */
        {0, 4, 1, 0},                      /* block of 0 */
        {0x80, 0x80, 0x80, 0x80, 1, 4, 1}, /* block of 2^28 */
        {0x80, 0x01, 4, 2, 0, 0, 65, 0},   /* 65 bits */
    };

    for (size_t i = 0; i < PW_ARRAY_LEN(rows); i++) {
        struct pw_bytes in = pw_bytes(pw_slice(rows[i], sizeof(rows[i])));
        int64_t out[2];

        assert_int_equal(pw_delta_decode(&in, 64, out, i == 5 ? 2 : 1), PW_EINVAL);
    }
}

static void
rle_round_trip(uint64_t *seed, uint32_t width)
{
    static uint32_t v[VALUES_MAX], back[VALUES_MAX];
    static uint8_t back8[VALUES_MAX];
    uint32_t mask = width == 32 ? UINT32_MAX : (1U << width) - 1;
    struct pw_text t;
    struct pw_rle r;
    struct pw_bytes in;
    size_t n = 0;

    pw_text_init(&t, BYTES_MAX);
    pw_rle_begin(&r, &t, width);
    while (n < VALUES_MAX) {
        uint64_t x = block_case_random(seed);
        uint32_t value = (uint32_t)x & mask;
        uint64_t run = x >> 60 == 0 ? (x >> 40) % 200 : (x >> 40) % 4; /* zero is a run, too */

        run = run < VALUES_MAX - n ? run : VALUES_MAX - n;
        pw_rle_put(&r, value, run);
        for (uint64_t i = 0; i < run; i++) {
            v[n++] = value;
        }
    }
    pw_rle_end(&r);
    in = pw_bytes(pw_slice(t.ptr, t.len));
    assert_int_equal(pw_rle_decode(&in, width, back, n), 0);
    assert_int_equal(pw_bytes_left(&in), 0);
    assert_memory_equal(back, v, sizeof(v));
    if (width <= 8) {
        in = pw_bytes(pw_slice(t.ptr, t.len));
        assert_int_equal(pw_rle_decode_u8(&in, width, back8, n), 0);
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(back8[i], v[i]);
        }
    }
    in = pw_bytes(pw_slice(t.ptr, t.len / 2));
    assert_int_equal(pw_rle_decode(&in, width, back, n), PW_EINVAL);
    pw_text_fini(&t);
}

static void
test_rle__random_runs__read_back_equal(void **state)
{
    uint64_t seed = 11;

    for (uint32_t round = 0; round < 200; round++) {
        rle_round_trip(&seed, 1 + round % 32);
    }
}

/* Bytes of a stock file: a reader that takes 2 for true answers every query of the block with nothing. */
static void
test_thrift_item_bool__list__bytes_as_stock_writes_them(void **state)
{
    static const uint8_t want[] = {0x19, 0x22, 1, 0};
    struct pw_thrift_out o;
    struct pw_text t;

    pw_text_init(&t, BYTES_MAX);
    pw_thrift_begin(&o, &t);
    pw_thrift_list(&o, 1, PW_THRIFT_FALSE, 2);
    pw_thrift_item_bool(&o, true);
    pw_thrift_item_bool(&o, false);
    assert_int_equal(t.len, sizeof(want));
    assert_memory_equal(t.ptr, want, sizeof(want));
    pw_text_fini(&t);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_delta__edges__read_back_equal),
        cmocka_unit_test(test_delta__random_widths_and_counts__read_back_equal),
        cmocka_unit_test(test_delta_encode__example_of_the_format__these_bytes),
        cmocka_unit_test(test_delta_decode__illegal_geometry__einval),
        cmocka_unit_test(test_rle__random_runs__read_back_equal),
        cmocka_unit_test(test_thrift_item_bool__list__bytes_as_stock_writes_them),
    };

    return cmocka_run_group_tests_name("delta", tests, NULL, NULL);
}
