#include "base/fiber.h"
#include "pprof/inflate.h"

#include "tests/support/cmocka_pw.h"

#include <libdeflate.h>
#include <stdlib.h>

enum { RAW = 300000, GZ_MAX = 400000 };

struct fixture {
    struct pw_inflater *inf;
    struct pw_fiber fiber;
    bool in_pieces;            /* on the fiber, which gives way at every checkpoint */
    const struct pw_slice *in; /* of the call on it */
    uint32_t in_count;
    size_t cap, *n;
    enum pw_inflate_result result;
    uint8_t *raw, *gz, *out;
    size_t gz_len;
};

static int
setup(void **state)
{
    struct fixture *fx = calloc(1, sizeof(*fx));
    struct libdeflate_compressor *c = libdeflate_alloc_compressor(6);

    fx->raw = malloc(RAW);
    fx->gz = malloc(2 * GZ_MAX);
    fx->out = malloc(2 * RAW + 1);
    for (size_t i = 0; i < RAW; i++) {
        fx->raw[i] = (uint8_t)((i * i) >> 7 ^ i);
    }
    fx->gz_len = libdeflate_gzip_compress(c, fx->raw, RAW, fx->gz, GZ_MAX);
    libdeflate_free_compressor(c);
    *state = fx;
    return pw_inflater_init_ctl(&fx->inf);
}

static int
setup_fiber(void **state)
{
    int rc = setup(state);
    struct fixture *fx = *state;

    fx->in_pieces = true;
    pw_inflater_set_fiber_ctl(fx->inf, &fx->fiber);
    return rc != 0 ? rc : pw_fiber_init_ctl(&fx->fiber);
}

static int
teardown(void **state)
{
    struct fixture *fx = *state;

    pw_fiber_fini_ctl(&fx->fiber);

    pw_inflater_fini_ctl(fx->inf);
    free(fx->raw);
    free(fx->gz);
    free(fx->out);
    free(fx);
    return 0;
}

static void
inflate_on_fiber(void *arg)
{
    struct fixture *fx = arg;

    fx->result = pw_inflate(fx->inf, fx->in, fx->in_count, fx->out, fx->cap, fx->n);
}

static enum pw_inflate_result
run_pieces(struct fixture *fx, const struct pw_slice *in, uint32_t count, size_t cap, size_t *n)
{
    if (!fx->in_pieces) {
        return pw_inflate(fx->inf, in, count, fx->out, cap, n);
    }
    fx->in = in;
    fx->in_count = count;
    fx->cap = cap;
    fx->n = n;
    pw_fiber_start(&fx->fiber, inflate_on_fiber, fx);
    while (!pw_fiber_run(&fx->fiber, 0)) {
    }
    return fx->result;
}

static enum pw_inflate_result
run(struct fixture *fx, struct pw_slice in, size_t cap, size_t *n)
{
    return run_pieces(fx, &in, 1, cap, n);
}

static void
test_inflate__whole_and_in_pieces__same_bytes(void **state)
{
    static const size_t piece[] = {1 << 20, 1460, 100, 7};
    struct fixture *fx = *state;
    struct pw_slice *in = calloc(fx->gz_len, sizeof(*in));
    size_t n;

    for (size_t i = 0; i < PW_ARRAY_LEN(piece); i++) {
        uint32_t count = 0;

        for (size_t at = 0; at < fx->gz_len; at += piece[i]) {
            size_t left = fx->gz_len - at;

            in[count++] = pw_slice(fx->gz + at, left < piece[i] ? left : piece[i]);
        }
        assert_true(pw_inflate_is_gzip(in, count));
        assert_int_equal(run_pieces(fx, in, count, RAW, &n), PW_INFLATE_OK);
        assert_int_equal(n, RAW);
        assert_memory_equal(fx->out, fx->raw, RAW);
    }
    free(in);
}

static void
test_inflate__two_members__one_stream(void **state)
{
    struct fixture *fx = *state;
    size_t n;

    memcpy(fx->gz + fx->gz_len, fx->gz, fx->gz_len);
    assert_int_equal(run(fx, pw_slice(fx->gz, 2 * fx->gz_len), 2 * RAW, &n), PW_INFLATE_OK);
    assert_int_equal(n, 2 * RAW);
    assert_memory_equal(fx->out + RAW, fx->raw, RAW);
    /* the second one cut */
    assert_int_equal(run(fx, pw_slice(fx->gz, 2 * fx->gz_len - 1), 2 * RAW, &n),
                     PW_INFLATE_TRUNCATED);
    /* something else behind the first */
    fx->gz[fx->gz_len] = 'x';
    assert_int_equal(run(fx, pw_slice(fx->gz, 2 * fx->gz_len), 2 * RAW, &n), PW_INFLATE_BAD_HEADER);
}

static void
test_inflate__limit__exactly_full_is_fine_one_less_is_not(void **state)
{
    struct fixture *fx = *state;
    size_t n;

    fx->out[RAW - 1] = 0x5A;
    assert_int_equal(run(fx, pw_slice(fx->gz, fx->gz_len), RAW - 1, &n), PW_INFLATE_TOO_LARGE);
    assert_int_equal(fx->out[RAW - 1], 0x5A);
    assert_int_equal(run(fx, pw_slice(fx->gz, fx->gz_len), RAW, &n), PW_INFLATE_OK);
    assert_int_equal(run(fx, pw_slice(fx->gz, fx->gz_len), 0, &n), PW_INFLATE_TOO_LARGE);
}

/* 100 MB of zeros in 100 KB. */
static void
test_inflate__bomb__stops_at_the_limit(void **state)
{
    struct fixture *fx = *state;
    struct libdeflate_compressor *c = libdeflate_alloc_compressor(9);
    size_t size = 100 << 20, n;
    uint8_t *zeros = calloc(1, size), *gz = malloc(1 << 20);
    size_t len = libdeflate_gzip_compress(c, zeros, size, gz, 1 << 20);

    assert_true(len > 0);
    assert_int_equal(run(fx, pw_slice(gz, len), RAW, &n), PW_INFLATE_TOO_LARGE);
    assert_true(n <= RAW);
    assert_true(!fx->in_pieces ||
                fx->fiber.switches > 5); /* what promises 100 MB is not begun in one go */
    libdeflate_free_compressor(c);
    free(zeros);
    free(gz);
}

static void
test_inflate__faults__named(void **state)
{
    struct fixture *fx = *state;
    size_t n;

    for (size_t cut = 0; cut < fx->gz_len; cut += cut < 40 ? 1 : 997) {
        assert_int_equal(run(fx, pw_slice(fx->gz, cut), RAW, &n), PW_INFLATE_TRUNCATED);
    }
    fx->gz[fx->gz_len - 6] ^= 1; /* CRC */
    assert_int_equal(run(fx, pw_slice(fx->gz, fx->gz_len), RAW, &n), PW_INFLATE_BAD_CHECKSUM);
    fx->gz[fx->gz_len - 6] ^= 1;
    fx->gz[fx->gz_len - 1] ^= 1; /* length */
    assert_int_equal(run(fx, pw_slice(fx->gz, fx->gz_len), RAW, &n), PW_INFLATE_BAD_CHECKSUM);
    fx->gz[10] = 0x07; /* block type 3 */
    assert_int_equal(run(fx, pw_slice(fx->gz, fx->gz_len), RAW, &n), PW_INFLATE_CORRUPT);
    assert_int_equal(run(fx, PW_SLICE_LIT("garbage-garbage"), RAW, &n), PW_INFLATE_BAD_HEADER);
    assert_string_equal(pw_inflate_text(PW_INFLATE_TRUNCATED), "unexpected EOF");
    assert_string_equal(pw_inflate_text(PW_INFLATE_BAD_HEADER), "gzip: invalid header");
}

#define STRAIGHT(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define IN_PIECES(f)                                                                               \
    {                                                                                              \
#f " on a fiber", f, setup_fiber, teardown, NULL                                           \
    }

int
main(void)
{
    const struct CMUnitTest tests[] = {
        STRAIGHT(test_inflate__whole_and_in_pieces__same_bytes),
        STRAIGHT(test_inflate__two_members__one_stream),
        STRAIGHT(test_inflate__limit__exactly_full_is_fine_one_less_is_not),
        STRAIGHT(test_inflate__bomb__stops_at_the_limit),
        STRAIGHT(test_inflate__faults__named),
        IN_PIECES(test_inflate__whole_and_in_pieces__same_bytes),
        IN_PIECES(test_inflate__two_members__one_stream),
        IN_PIECES(test_inflate__limit__exactly_full_is_fine_one_less_is_not),
        IN_PIECES(test_inflate__bomb__stops_at_the_limit),
        IN_PIECES(test_inflate__faults__named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
