/* Lanes without EAL: bounds at full, empty and where the index wraps; a model of random operations. */
#include "ring/lane.h"

#include "base/limits.h"
#include "tests/support/cmocka_pw.h"

enum { BYTES = PW_LANE_BYTES_MIN, HEADER = 16, QUARTER = BYTES / 4 - HEADER };

static struct pw_lane *
lane_at(uint64_t index)
{
    struct pw_lane *lane = NULL;

    assert_int_equal(pw_lane_create_ctl(&lane, BYTES, 0), 0);
    pw_lane_start_at_fortest(lane, index);
    return lane;
}

static bool
push(struct pw_lane *lane, uint32_t bytes, uint8_t fill)
{
    uint8_t *p = pw_lane_reserve(lane, bytes);

    if (p == NULL) {
        return false;
    }
    assert_int_equal((uintptr_t)p % 16, 0);
    memset(p, fill, bytes);
    pw_lane_commit(lane, 1, bytes);
    pw_lane_flush(lane);
    return true;
}

static void
pop_expect(struct pw_lane *lane, uint32_t bytes, uint8_t fill)
{
    struct pw_lane_record rec;

    assert_int_equal(pw_lane_pop_burst(lane, &rec, 1), 1);
    assert_int_equal(rec.bytes, bytes);
    for (uint32_t i = 0; i < bytes; i++) {
        assert_int_equal(((const uint8_t *)rec.data)[i], fill);
    }
    pw_lane_release(lane, 1);
}

static void
test_create__bad_sizes__einval(void **state)
{
    static const size_t sizes[] = {
        0, 1, BYTES - 1, BYTES + 1, BYTES / 2, 3 * BYTES, 2 * (size_t)PW_LANE_BYTES_MAX};
    struct pw_lane *lane;

    for (size_t i = 0; i < PW_ARRAY_LEN(sizes); i++) {
        assert_int_equal(pw_lane_create_ctl(&lane, sizes[i], 0), PW_EINVAL);
    }
}

static void
test_pop__empty__zero(void **state)
{
    struct pw_lane *lane = lane_at(0);
    struct pw_lane_record rec[4];

    assert_int_equal(pw_lane_pop_burst(lane, rec, 4), 0);
    assert_true(push(lane, 0, 0));
    assert_int_equal(pw_lane_pop_burst(lane, rec, 4), 1);
    assert_int_equal(rec[0].bytes, 0);
    assert_int_equal(pw_lane_pop_burst(lane, rec, 4), 0);
    pw_lane_release(lane, 1);
    assert_int_equal(pw_lane_used(lane), 0);
    pw_lane_destroy_ctl(lane);
}

static void
test_reserve__larger_than_a_quarter__never(void **state)
{
    struct pw_lane *lane = lane_at(0);

    assert_int_equal(pw_lane_record_bytes_max(lane), QUARTER);
    assert_null(pw_lane_reserve(lane, QUARTER + 1));
    assert_null(pw_lane_reserve(lane, UINT32_MAX));
    assert_non_null(pw_lane_reserve(lane, QUARTER));
    pw_lane_cancel(lane);
    pw_lane_destroy_ctl(lane);
}

/* To the last byte: 4 quarters fit, nothing more does, one released quarter makes room for one. */
static void
test_reserve__exactly_full__null_until_release(void **state)
{
    static const uint64_t starts[] = {0, BYTES * 3ULL, 0 - (uint64_t)BYTES,
                                      0 - (uint64_t)BYTES / 2};

    for (size_t s = 0; s < PW_ARRAY_LEN(starts); s++) {
        struct pw_lane *lane = lane_at(starts[s]);

        for (uint8_t i = 0; i < 4; i++) {
            assert_true(push(lane, QUARTER, i));
        }
        assert_int_equal(pw_lane_used(lane), BYTES);
        assert_null(pw_lane_reserve(lane, 0));
        for (uint8_t i = 0; i < 9; i++) {
            pop_expect(lane, QUARTER, i);
            assert_true(push(lane, QUARTER, (uint8_t)(i + 4)));
            assert_null(pw_lane_reserve(lane, 0));
        }
        pw_lane_destroy_ctl(lane);
    }
}

/* Every distance of the write position from the end of the memory, and the 64-bit index at its wrap. */
static void
test_reserve__record_across_the_end__contiguous(void **state)
{
    for (uint64_t back = 16; back <= 256; back += 16) {
        for (uint32_t bytes = 0; bytes <= 272; bytes += 17) {
            struct pw_lane *lane = lane_at(0 - back);

            assert_true(push(lane, bytes, 7));
            assert_true(push(lane, bytes, 8));
            pop_expect(lane, bytes, 7);
            pop_expect(lane, bytes, 8);
            assert_int_equal(pw_lane_used(lane), 0);
            pw_lane_destroy_ctl(lane);
        }
    }
}

/* Padding counts: with a quarter released but the end too short, the record has to wait. */
static void
test_reserve__room_only_with_padding__exact(void **state)
{
    struct pw_lane *lane = lane_at(0);

    for (uint8_t i = 0; i < 3; i++) {
        assert_true(push(lane, QUARTER, i));
    }
    assert_true(push(lane, QUARTER - 16, 3)); /* leaves one header's worth at the end */
    assert_true(push(lane, 0, 4));            /* fills it */
    assert_false(push(lane, 0, 5));
    pop_expect(lane, QUARTER, 0);
    assert_true(push(lane, QUARTER, 5));
    pw_lane_destroy_ctl(lane);

    lane = lane_at(0);
    for (uint8_t i = 0; i < 3; i++) {
        assert_true(push(lane, QUARTER, i));
    }
    assert_true(push(lane, QUARTER - 16, 3));
    pop_expect(lane, QUARTER, 0);
    /* 16 bytes at the end become padding: they are no longer free for this record's sum. */
    assert_true(push(lane, QUARTER, 4));
    assert_int_equal(pw_lane_used(lane), BYTES);
    assert_false(push(lane, 0, 5));
    pw_lane_destroy_ctl(lane);
}

static void
test_commit__smaller_than_reserved__shrinks(void **state)
{
    struct pw_lane *lane = lane_at(0);
    uint8_t *p = pw_lane_reserve(lane, 1000);

    memset(p, 9, 5);
    pw_lane_commit(lane, 1, 5);
    pw_lane_flush(lane);
    assert_int_equal(pw_lane_used(lane), 32);
    pop_expect(lane, 5, 9);
    pw_lane_destroy_ctl(lane);
}

static void
test_flush__committed_before_it__visible_after_it(void **state)
{
    struct pw_lane *lane = lane_at(0);
    struct pw_lane_record rec[8];

    for (uint32_t i = 0; i < 3; i++) {
        assert_non_null(pw_lane_reserve(lane, 8));
        pw_lane_commit(lane, i + 1, 8);
    }
    assert_int_equal(pw_lane_pop_burst(lane, rec, 8), 0);
    pw_lane_flush(lane);
    assert_int_equal(pw_lane_pop_burst(lane, rec, 2), 2);
    assert_int_equal(rec[0].type, 1);
    assert_int_equal(rec[1].type, 2);
    assert_int_equal(pw_lane_pop_burst(lane, rec, 8), 1);
    assert_int_equal(rec[0].type, 3);
    pw_lane_release(lane, 3);
    pw_lane_destroy_ctl(lane);
}

static void
test_cancel__reservation__leaves_no_trace(void **state)
{
    struct pw_lane *lane = lane_at((uint64_t)BYTES - 32);

    assert_non_null(pw_lane_reserve(lane, 500)); /* would have wrapped */
    pw_lane_cancel(lane);
    pw_lane_flush(lane);
    assert_int_equal(pw_lane_used(lane), 0);
    assert_true(push(lane, 16, 3)); /* still fits before the end */
    assert_int_equal(pw_lane_used(lane), 32);
    pop_expect(lane, 16, 3);
    pw_lane_destroy_ctl(lane);
}

/* --- Model: a queue of (bytes, fill) beside the lane ------------------------------------------ */

static uint64_t
rnd(uint64_t *s)
{
    *s ^= *s << 13;
    *s ^= *s >> 7;
    *s ^= *s << 17;
    return *s;
}

struct model {
    struct {
        uint32_t bytes;
        uint8_t fill;
    } q[BYTES / HEADER];
    uint64_t pushed, flushed, popped, released;
};

static void
model_step(struct pw_lane *lane, struct model *m, uint64_t *seed)
{
    uint64_t r = rnd(seed);
    struct pw_lane_record rec[16];
    uint32_t bytes = (uint32_t)(rnd(seed) % ((r & 64) != 0 ? QUARTER + 1 : 300));

    switch (r % 5) {
    case 0:
    case 1: {
        uint8_t *p = pw_lane_reserve(lane, bytes);

        if (p == NULL) {
            /* Only a lane that holds something may say no. */
            assert_true(m->pushed != m->released);
            break;
        }
        if ((r & 0xf000) == 0) {
            pw_lane_cancel(lane);
            break;
        }
        memset(p, (int)(m->pushed & 0xff), bytes);
        pw_lane_commit(lane, 5, bytes);
        m->q[m->pushed % PW_ARRAY_LEN(m->q)].bytes = bytes;
        m->q[m->pushed % PW_ARRAY_LEN(m->q)].fill = (uint8_t)m->pushed;
        m->pushed++;
        break;
    }
    case 2:
        pw_lane_flush(lane);
        m->flushed = m->pushed;
        break;
    case 3: {
        uint32_t want = (uint32_t)(r >> 8) % 17;
        uint32_t n = pw_lane_pop_burst(lane, rec, want);
        uint64_t have = m->flushed - m->popped;

        assert_int_equal(n, have < want ? have : want);
        for (uint32_t i = 0; i < n; i++, m->popped++) {
            const uint8_t *d = rec[i].data;
            uint32_t len = m->q[m->popped % PW_ARRAY_LEN(m->q)].bytes;

            assert_int_equal(rec[i].bytes, len);
            assert_true(len == 0 ||
                        (d[0] == (uint8_t)m->popped && d[len - 1] == d[0] && d[len / 2] == d[0]));
        }
        break;
    }
    default:
        if (m->popped > m->released) {
            uint64_t n = 1 + (r >> 8) % (m->popped - m->released);

            pw_lane_release(lane, (uint32_t)n);
            m->released += n;
        }
    }
}

static void
test_lane__random_operations__as_the_model(void **state)
{
    for (uint64_t seed0 = 1; seed0 <= 40; seed0++) {
        uint64_t seed = seed0 * 0x9E3779B97F4A7C15ULL;
        struct pw_lane *lane = lane_at(0 - (rnd(&seed) % (4 * BYTES) & ~15ULL));
        static struct model m;

        memset(&m, 0, sizeof(m));
        for (int i = 0; i < 5000; i++) {
            model_step(lane, &m, &seed);
        }
        assert_true(m.pushed > 100);
        pw_lane_destroy_ctl(lane);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_create__bad_sizes__einval),
        cmocka_unit_test(test_pop__empty__zero),
        cmocka_unit_test(test_reserve__larger_than_a_quarter__never),
        cmocka_unit_test(test_reserve__exactly_full__null_until_release),
        cmocka_unit_test(test_reserve__record_across_the_end__contiguous),
        cmocka_unit_test(test_reserve__room_only_with_padding__exact),
        cmocka_unit_test(test_commit__smaller_than_reserved__shrinks),
        cmocka_unit_test(test_flush__committed_before_it__visible_after_it),
        cmocka_unit_test(test_cancel__reservation__leaves_no_trace),
        cmocka_unit_test(test_lane__random_operations__as_the_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
