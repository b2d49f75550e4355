/* Root frames for cut Go stacks (contract write-path.md 3.5 b): each rule on stacks made for it, then
 * random ones against the rules written down a second time (stitch_case.c). */
#include "tests/pprof/stitch_case.h"

#include "tests/support/cmocka_pw.h"

#include <stdlib.h>

enum { SCRATCH = 64 << 20, CUT = 64 };

static int
setup(void **state)
{
    struct stitch_case *c = malloc(sizeof(*c));

    stitch_case_init(c, SCRATCH);
    *state = c;
    return 0;
}

static int
teardown(void **state)
{
    stitch_case_fini(*state);
    free(*state);
    return 0;
}

/* Ids first, first + 1, ... from the leaf. */
static void
add_run(struct stitch_case *c, uint64_t first, uint32_t n)
{
    uint64_t ids[4096];

    assert_true(n <= 4096);
    for (uint32_t i = 0; i < n; i++) {
        ids[i] = first + i;
    }
    assert_true(stitch_case_add(c, ids, n));
}

/* Ids that repeat with a period. */
static void
add_cycle(struct stitch_case *c, uint64_t first, uint32_t period, uint32_t n)
{
    uint64_t ids[4096];

    for (uint32_t i = 0; i < n; i++) {
        ids[i] = first + i % period;
    }
    assert_true(stitch_case_add(c, ids, n));
}

static void
stitch(struct stitch_case *c)
{
    assert_int_equal(pw_profile_stitch_go(&c->p), 0);
    assert_true(stitch_case_holds(c));
}

static void
assert_run(const struct stitch_case *c, uint32_t sample, uint64_t first, uint32_t n)
{
    assert_int_equal(c->p.stack[sample].loc_count, n);
    for (uint32_t i = 0; i < n; i++) {
        assert_int_equal(stitch_case_id(c, sample, i), first + i);
    }
}

/* Two stacks, the second some frames nearer to the root: whether the first was helped. */
static bool
stitches(struct stitch_case *c, const char *type, uint32_t depth, uint32_t offset)
{
    const uint8_t *own;
    size_t used;

    stitch_case_begin(c, type, false);
    add_run(c, 1, depth);
    add_run(c, 1 + offset, depth);
    own = c->p.own_ids;
    used = c->scratch.used;
    stitch(c);
    if (c->p.stack[0].loc_count == depth) { /* nothing changed, nothing kept */
        assert_ptr_equal(c->p.own_ids, own);
        assert_int_equal(c->scratch.used, used);
        return false;
    }
    assert_run(c, 0, 1, depth + offset);
    assert_run(c, 1, 1 + offset, depth);
    return true;
}

static void
test_stitch__depths_and_types__as_the_contract_has_them(void **state)
{
    static const char *const heap[] = {"alloc_objects", "alloc_space", "inuse_objects",
                                       "inuse_space"};
    struct stitch_case *c = *state;

    assert_false(stitches(c, "cpu", 59, 3));
    assert_true(stitches(c, "cpu", 60, 3));
    assert_true(stitches(c, "cpu", 500, 3));
    for (uint32_t i = 0; i < PW_ARRAY_LEN(heap); i++) {
        assert_false(stitches(c, heap[i], 27, 3));
        assert_true(stitches(c, heap[i], 28, 3));
        assert_true(stitches(c, heap[i], 32, 3));
        assert_false(stitches(c, heap[i], 33, 3));
    }
    assert_false(stitches(c, "goroutine", 32, 3));
    assert_false(stitches(c, "goroutine", CUT, 3));
    assert_false(stitches(c, "samples", CUT, 3));
}

static void
test_stitch__offsets__1_to_8(void **state)
{
    for (uint32_t offset = 1; offset <= 8; offset++) {
        assert_true(stitches(*state, "cpu", CUT, offset));
    }
    assert_false(stitches(*state, "cpu", CUT, 9));
}

static void
test_stitch__stack_of_23_frames__is_left_out(void **state)
{
    struct stitch_case *c = *state;

    stitch_case_begin(c, "cpu", false);
    add_run(c, 1, CUT);
    add_run(c, 46, 23); /* would fit at offset 4 */
    add_run(c, 45, 23); /* and so would this be helped */
    stitch(c);
    assert_run(c, 0, 1, CUT);
    assert_run(c, 2, 45, 23);
    add_run(c, 45, 24);
    stitch(c);
    assert_run(c, 0, 1, CUT + 4);
}

static void
test_stitch__several_fit__largest_offset_then_first(void **state)
{
    struct stitch_case *c = *state;
    uint64_t a[CUT], b[CUT];

    for (uint32_t i = 0; i < CUT; i++) {
        a[i] = i + 5 < CUT ? 5 + i : 1000 + i;
        b[i] = i + 5 < CUT ? 5 + i : 2000 + i;
    }
    stitch_case_begin(c, "cpu", false);
    add_run(c, 3, CUT); /* fits at 3 */
    stitch_case_add(c, a, CUT);
    stitch_case_add(c, b, CUT);
    add_run(c, 1, 63); /* the first, second and third hold its last frames, at 3, 5 and 5 */
    stitch(c);
    assert_int_equal(c->p.stack[3].loc_count, 63 + 5);
    assert_int_equal(stitch_case_id(c, 3, 63), 1000 + 59);
    assert_int_equal(stitch_case_id(c, 3, 67), 1000 + 63);
}

static void
test_stitch__same_16_last_frames__both_helped(void **state)
{
    struct stitch_case *c = *state;
    uint64_t other[CUT];

    for (uint32_t i = 0; i < CUT; i++) {
        other[i] = i < CUT - 16 ? 500 + i : 1 + i;
    }
    stitch_case_begin(c, "cpu", false);
    add_run(c, 1, CUT);
    stitch_case_add(c, other, CUT);
    add_run(c, 6, CUT);
    stitch(c);
    assert_run(c, 0, 1, CUT + 5);
    assert_int_equal(c->p.stack[1].loc_count, CUT + 5);
    assert_int_equal(stitch_case_id(c, 1, CUT + 4), CUT + 5);
}

/* Stack i holds what stack i + 1 does but for eight frames at either end. */
static void
add_ladder(struct stitch_case *c, uint32_t stacks)
{
    for (uint32_t i = 0; i < stacks; i++) {
        add_run(c, 1 + 8 * i, CUT);
    }
}

static void
test_stitch__56_hops__followed_to_the_root(void **state)
{
    struct stitch_case *c = *state;

    for (int wide = 0; wide < 2; wide++) {
        stitch_case_begin(c, "cpu", wide != 0);
        add_ladder(c, 57);
        stitch(c);
        for (uint32_t i = 0; i < 57; i++) {
            assert_run(c, i, 1 + 8 * i, CUT + 8 * (56 - i));
        }
    }
}

/* Callers seen first: the first chain that is followed is the longest. */
static void
test_stitch__56_hops_the_other_way_round__followed_but_not_57(void **state)
{
    struct stitch_case *c = *state;

    for (uint32_t stacks = 57; stacks <= 58; stacks++) {
        stitch_case_begin(c, "cpu", false);
        for (uint32_t i = 0; i < stacks; i++) {
            add_run(c, 1 + 8 * (stacks - i), CUT);
        }
        stitch(c);
        for (uint32_t i = 0; i < stacks; i++) {
            assert_run(c, i, 1 + 8 * (stacks - i), CUT + (stacks == 57 ? 8 * i : 0));
        }
    }
}

static void
test_stitch__57_hops__gives_up_there_and_keeps_what_is_done(void **state)
{
    struct stitch_case *c = *state;

    stitch_case_begin(c, "cpu", false);
    add_run(c, 5000, CUT); /* seen before: left, though one hop would do */
    add_run(c, 5003, CUT);
    add_ladder(c, 58);
    stitch(c);
    assert_run(c, 0, 5000, CUT);
    assert_run(c, 2, 1, CUT);
    assert_run(c, 3, 9, CUT + 8 * 56);
    assert_run(c, 59, 1 + 8 * 57, CUT);
}

static void
test_stitch__recursion__gives_up_there_and_keeps_what_is_done(void **state)
{
    struct stitch_case *c = *state;

    for (uint32_t period = 1; period <= 8; period++) {
        stitch_case_begin(c, "cpu", false);
        add_run(c, 1, CUT); /* seen before the recursion */
        add_run(c, 4, CUT);
        for (uint32_t i = 0; i < period; i++) { /* each cut at another place of the cycle */
            add_cycle(c, 200 + i, 1, CUT);
            add_cycle(c, 300, period, CUT + i);
        }
        add_run(c, 401, CUT); /* and after it */
        add_run(c, 404, CUT);
        stitch(c);
        assert_run(c, 0, 1, CUT);
        assert_run(c, c->p.sample_count - 2, 401, CUT + 3);
    }
}

static void
test_stitch__recursion_with_a_way_out__own_frames_win(void **state)
{
    struct stitch_case *c = *state;
    uint64_t ids[CUT];

    stitch_case_begin(c, "cpu", false);
    for (uint32_t i = 0; i < CUT; i++) {
        ids[i] = i < 60 ? 15 : 15 + i;
    }
    stitch_case_add(c, ids, CUT); /* 15 ... 15, 75, 76, 77, 78: holds the cut one at 4 to 8 */
    add_cycle(c, 15, 1, CUT);
    stitch(c);
    assert_int_equal(c->p.stack[1].loc_count, CUT);
}

static void
test_stitch__hostile_growth__left_as_it_came(void **state)
{
    struct stitch_case *c = *state;

    stitch_case_begin(c, "cpu", false);
    for (uint32_t i = 0; i < 5000; i++) {
        add_run(c, 41, 24); /* 24 frames that would become 472 */
    }
    add_ladder(c, 57);
    assert_int_equal(pw_profile_stitch_go(&c->p), 0);
    for (uint32_t i = 0; i < c->p.sample_count; i++) {
        assert_int_equal(c->p.stack[i].loc_count, i < 5000 ? 24 : CUT);
    }
}

/* Every stack its own group and linked to another, in both orders: what is taken is the tables and what
 * the limit of growth allows. */
static void
test_stitch__hostile_groups__bounded(void **state)
{
    struct stitch_case *c = *state;
    size_t used;

    for (int way = 0; way < 2; way++) {
        stitch_case_begin(c, "cpu", true);
        for (uint32_t i = 0; i < 16000; i++) {
            add_run(c, 1 + (way == 0 ? i : 16000 - i), 60);
        }
        used = c->scratch.used;
        assert_int_equal(pw_profile_stitch_go(&c->p), 0);
        assert_true(c->scratch.used - used < 16000 * 128 + 8192 + 10 * (size_t)c->ids_count * 9);
        assert_true(c->p.own_ids_len <= 10 * (size_t)c->ids_count * 9);
        for (uint32_t i = 0; i < c->p.sample_count; i++) {
            assert_true(c->p.stack[i].loc_count <= 60 + 56 * 8);
        }
    }
}

static void
test_stitch__scratch_exhausted__left_as_it_came(void **state)
{
    struct stitch_case *c = *state;
    size_t cap = c->scratch.cap, spare = 0;
    int rc = PW_ENOMEM;

    while (rc == PW_ENOMEM) { /* every allocation is the one that fails, in turn */
        stitch_case_begin(c, "cpu", false);
        add_ladder(c, 20);
        c->scratch.cap = c->scratch.used + spare;
        rc = pw_profile_stitch_go(&c->p);
        c->scratch.cap = cap;
        if (rc == PW_ENOMEM) {
            for (uint32_t i = 0; i < 20; i++) {
                assert_run(c, i, 1 + 8 * i, CUT);
            }
            assert_true(stitch_case_add(c, &(uint64_t){1}, 1));
        }
        spare += 64;
        assert_true(spare < 1 << 20);
    }
    assert_int_equal(rc, 0);
    assert_true(stitch_case_holds(c));
    assert_run(c, 0, 1, CUT + 8 * 19);
}

/* Stacks cut out of a few long walks over few frames, so that they overlap in every way. */
static void
test_stitch__random_stacks__as_the_slow_way_has_it(void **state)
{
    struct stitch_case *c = *state;
    uint32_t seed = 1, stitched = 0;

    for (int round = 0; round < 400; round++) {
        uint64_t walk[3][512];
        uint32_t frames = 1 + (uint32_t)round % 40;

        for (uint32_t i = 0; i < 3 * 512; i++) {
            seed = seed * 1664525 + 1013904223;
            walk[i / 512][i % 512] = frames > 30 ? i + 1 : 1 + (seed >> 16) % frames;
        }
        stitch_case_begin(c, round % 3 == 0 ? "inuse_space" : "cpu", round % 2 == 0);
        for (uint32_t i = 0; i < 60; i++) {
            uint32_t depth = round % 3 == 0 ? 20 + i % 13 : 20 + i % 45;

            seed = seed * 1664525 + 1013904223;
            stitch_case_add(c, walk[seed >> 30 == 3 ? 0 : seed >> 30] + (seed >> 8) % 400, depth);
        }
        stitch(c);
        for (uint32_t i = 0; i < c->p.sample_count; i++) {
            stitched += c->p.stack[i].loc_count > c->came_count[i];
        }
    }
    assert_true(stitched > 1000);
}

#define stitch_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        stitch_test(test_stitch__depths_and_types__as_the_contract_has_them),
        stitch_test(test_stitch__offsets__1_to_8),
        stitch_test(test_stitch__stack_of_23_frames__is_left_out),
        stitch_test(test_stitch__several_fit__largest_offset_then_first),
        stitch_test(test_stitch__same_16_last_frames__both_helped),
        stitch_test(test_stitch__56_hops__followed_to_the_root),
        stitch_test(test_stitch__56_hops_the_other_way_round__followed_but_not_57),
        stitch_test(test_stitch__57_hops__gives_up_there_and_keeps_what_is_done),
        stitch_test(test_stitch__recursion__gives_up_there_and_keeps_what_is_done),
        stitch_test(test_stitch__recursion_with_a_way_out__own_frames_win),
        stitch_test(test_stitch__hostile_growth__left_as_it_came),
        stitch_test(test_stitch__hostile_groups__bounded),
        stitch_test(test_stitch__scratch_exhausted__left_as_it_came),
        stitch_test(test_stitch__random_stacks__as_the_slow_way_has_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
