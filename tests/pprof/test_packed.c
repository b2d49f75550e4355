/* The vector decoder against its scalar twin, and against the end of a page. */
#include "pprof/packed.h"

#include "pprof/wire.h"
#include "tests/support/cmocka_pw.h"

#include <stdlib.h>
#include <sys/mman.h>

enum { LEN_MAX = 200, ROUNDS = 200000 };

static uint64_t
next_random(uint64_t *s)
{
    *s ^= *s << 13;
    *s ^= *s >> 7;
    *s ^= *s << 17;
    return *s;
}

/* n bytes of varints; kind: 0 all short, 1 mixed, 2 mostly two bytes, 3 any bytes. */
static void
fill(uint8_t *p, size_t n, int kind, uint64_t *seed)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t r = next_random(seed);
        bool two = i + 1 < n && (kind == 1 ? (r & 3) == 0 : kind == 2 && (r & 7) != 0);

        if (kind == 3) {
            p[i] = (uint8_t)(r >> 8);
        } else if (two) {
            p[i] = (uint8_t)(0x80 | (r >> 8));
            p[++i] = (uint8_t)(1 + (r >> 16) % 127);
        } else {
            p[i] = (uint8_t)(1 + (r >> 8) % 127);
        }
    }
}

static void
test_packed_u14__random_lists__equal_scalar(void **state)
{
    uint8_t in[LEN_MAX + PW_PACKED_SLACK];
    uint16_t fast[LEN_MAX + PW_PACKED_SLACK], slow[LEN_MAX + PW_PACKED_SLACK];
    uint64_t seed = 20240611;

    for (int round = 0; round < ROUNDS; round++) {
        size_t n = next_random(&seed) % (LEN_MAX + 1);
        uint16_t fast_max = 1, slow_max = 2;
        int64_t a, b;

        fill(in, n, round & 3, &seed);
        for (size_t i = n; i < sizeof(in); i++) {
            in[i] = (uint8_t)next_random(&seed); /* what follows must not matter */
        }
        a = pw_packed_u14_minus1(in, n, fast, &fast_max);
        b = pw_packed_u14_minus1_scalar(in, n, slow, &slow_max);
        assert_int_equal(a, b);
        assert_int_equal(pw_packed_u14_count(in, n), b);
        if (a >= 0) {
            assert_int_equal(pw_packed_count(in, n), b);
            assert_int_equal(fast_max, slow_max);
        }
        if (a > 0) {
            assert_memory_equal(fast, slow, (size_t)a * sizeof(fast[0]));
        }
    }
}

static void
test_packed__rows__refused_or_not(void **state)
{
    static const struct {
        uint8_t in[10];
        size_t n;
        int64_t u14, any;
        uint16_t first;
    } rows[] = {
        {{0}, 0, 0, 0, 0},                    /* nothing */
        {{1}, 1, 1, 1, 0},                    /* id 1 is index 0 */
        {{0}, 1, -1, -1, 0},                  /* id 0 */
        {{0x80, 0x01}, 2, 1, 1, 127},         /* two bytes */
        {{0x81, 0x00}, 2, -1, -1, 0},         /* longer than needed */
        {{0x81}, 1, -1, -1, 0},               /* cut */
        {{0x01, 0x81}, 2, -1, -1, 0},         /* the second cut */
        {{0xFF, 0x7F}, 2, 1, 1, 16382},       /* largest of two bytes */
        {{0x80, 0x80, 0x01}, 3, -1, 1, 0},    /* smallest of three */
        {{0xFF, 0xFF, 0x03, 7}, 4, -1, 2, 0}, /* three and one */
        {{0x80, 0x80, 0x00}, 3, -1, -1, 0},   /* three, longer than needed */
        {{0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F}, 9, -1, 1, 0},         /* 63 bits */
        {{0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01}, 10, -1, -1, 0}, /* 64 */
    };

    for (size_t i = 0; i < PW_ARRAY_LEN(rows); i++) {
        uint8_t in[PW_PACKED_SLACK * 2] = {0};
        uint16_t out[PW_PACKED_SLACK * 2], max = 1;

        memcpy(in, rows[i].in, sizeof(rows[i].in));
        assert_int_equal(pw_packed_u14_minus1(in, rows[i].n, out, &max), rows[i].u14);
        assert_int_equal(pw_packed_u14_count(in, rows[i].n), rows[i].u14);
        assert_int_equal(pw_packed_count(in, rows[i].n), rows[i].any);
        if (rows[i].u14 > 0) {
            assert_int_equal(out[0], rows[i].first);
            assert_int_equal(max, rows[i].first);
        }
    }
}

/* Reads end at most PW_PACKED_SLACK bytes past the list. */
static void
test_packed_u14__slack_against_unmapped_page__no_fault(void **state)
{
    size_t page = 4096;
    uint8_t *map = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint16_t out[LEN_MAX + PW_PACKED_SLACK], max;

    assert_true(map != MAP_FAILED);
    assert_int_equal(mprotect(map + page, page, PROT_NONE), 0);
    for (size_t n = 0; n <= LEN_MAX; n++) {
        for (int kind = 0; kind < 4; kind++) {
            uint8_t *p = map + page - PW_PACKED_SLACK - n;
            uint64_t seed = n + 1;

            memset(map, 0xFF, page);
            fill(p, n, kind, &seed);
            (void)pw_packed_u14_minus1(p, n, out, &max);
            (void)pw_packed_u14_count(p, n);
        }
    }
    munmap(map, 2 * page);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_packed_u14__random_lists__equal_scalar),
        cmocka_unit_test(test_packed__rows__refused_or_not),
        cmocka_unit_test(test_packed_u14__slack_against_unmapped_page__no_fault),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
