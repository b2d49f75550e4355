/* How rings become one: the rules of ring.md 4.8, and what must hold whatever arrives in which order. */
#include "ring/desc.h"

#include "tests/support/cmocka_pw.h"

#include <stdio.h>

enum { SEEDS = 400, IDS = 6, TIMES = 4 };

static const uint32_t low[] = {10, 20, 30}, mixed[] = {20, 40};

static uint64_t
next(uint64_t *seed)
{
    uint64_t z = (*seed += 0x9E3779B97F4A7C15U);

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31);
}

static void
put(struct pw_ring_desc *d, const char *id, enum pw_instance_state state, int64_t at,
    const uint32_t *token, uint32_t count)
{
    const struct pw_instance in = {.id = id,
                                   .addr = "a:1",
                                   .zone = "",
                                   .state = state,
                                   .timestamp = at,
                                   .token = token,
                                   .token_count = count};

    assert_int_equal(pw_ring_desc_put(d, &in), 0);
}

struct pair {
    struct pw_ring_desc into, in, change;
};

static int
setup(void **state)
{
    static struct pair p;

    pw_ring_desc_init(&p.into);
    pw_ring_desc_init(&p.in);
    pw_ring_desc_init(&p.change);
    *state = &p;
    return 0;
}

static int
teardown(void **state)
{
    struct pair *p = *state;

    pw_ring_desc_fini(&p->into);
    pw_ring_desc_fini(&p->in);
    pw_ring_desc_fini(&p->change);
    return 0;
}

static void
merge(struct pair *p)
{
    assert_int_equal(pw_ring_desc_merge(&p->into, &p->in, false, 0, &p->change), 0);
}

static void
test_merge__newer_equal_and_older__takes_the_newer_alone(void **state)
{
    struct pair *p = *state;

    put(&p->into, "equal", PW_INSTANCE_ACTIVE, 100, low, 1);
    put(&p->into, "newer", PW_INSTANCE_ACTIVE, 100, NULL, 0);
    put(&p->into, "older", PW_INSTANCE_ACTIVE, 100, NULL, 0);
    put(&p->in, "equal", PW_INSTANCE_LEAVING, 100, mixed, 2);
    put(&p->in, "newer", PW_INSTANCE_LEAVING, 101, mixed, 2);
    put(&p->in, "older", PW_INSTANCE_LEAVING, 99, mixed, 2);
    put(&p->in, "unknown", PW_INSTANCE_PENDING, 1, NULL, 0);
    merge(p);
    assert_int_equal(pw_ring_desc_find(&p->into, "equal")->state, PW_INSTANCE_ACTIVE);
    assert_int_equal(pw_ring_desc_find(&p->into, "older")->state, PW_INSTANCE_ACTIVE);
    assert_int_equal(pw_ring_desc_find(&p->into, "newer")->state, PW_INSTANCE_LEAVING);
    assert_int_equal(pw_ring_desc_find(&p->into, "newer")->token_count, 2);
    assert_int_equal(p->change.count, 2);
    assert_string_equal(p->change.instance[0].id, "newer");
    assert_string_equal(p->change.instance[1].id, "unknown");
}

static void
test_merge__left_at_the_same_second__wins_and_owns_nothing(void **state)
{
    struct pair *p = *state;

    put(&p->into, "a", PW_INSTANCE_ACTIVE, 100, low, 3);
    put(&p->in, "a", PW_INSTANCE_LEFT, 100, low, 3);
    merge(p);
    assert_int_equal(p->into.instance[0].state, PW_INSTANCE_LEFT);
    assert_int_equal(p->into.instance[0].token_count, 0);
    assert_int_equal(p->change.count, 1);
    assert_int_equal(p->change.instance[0].token_count, 0);
    merge(p);
    assert_int_equal(p->change.count, 0);
}

static void
test_merge__missing_in_what_others_send__stays(void **state)
{
    struct pair *p = *state;

    put(&p->into, "a", PW_INSTANCE_ACTIVE, 100, low, 3);
    merge(p);
    assert_int_equal(p->into.instance[0].state, PW_INSTANCE_ACTIVE);
    assert_int_equal(p->change.count, 0);
}

static void
test_merge__missing_in_our_own_edit__becomes_left_now(void **state)
{
    struct pair *p = *state;

    put(&p->into, "ahead", PW_INSTANCE_ACTIVE, 700, NULL, 0);
    put(&p->into, "gone", PW_INSTANCE_ACTIVE, 100, low, 3);
    put(&p->into, "kept", PW_INSTANCE_ACTIVE, 100, NULL, 0);
    put(&p->into, "long gone", PW_INSTANCE_LEFT, 50, NULL, 0);
    put(&p->in, "kept", PW_INSTANCE_ACTIVE, 100, NULL, 0);
    assert_int_equal(pw_ring_desc_merge(&p->into, &p->in, true, 500, &p->change), 0);
    assert_int_equal(p->change.count, 2);
    assert_int_equal(pw_ring_desc_find(&p->change, "gone")->state, PW_INSTANCE_LEFT);
    assert_int_equal(pw_ring_desc_find(&p->change, "gone")->timestamp, 500);
    assert_int_equal(pw_ring_desc_find(&p->into, "gone")->token_count, 0);
    assert_int_equal(pw_ring_desc_find(&p->into, "ahead")->timestamp, 700);
    assert_int_equal(pw_ring_desc_find(&p->into, "long gone")->timestamp, 50);
}

static void
test_merge__token_of_two__goes_to_the_smaller_id(void **state)
{
    struct pair *p = *state;

    put(&p->into, "b", PW_INSTANCE_ACTIVE, 100, low, 3);
    put(&p->in, "a", PW_INSTANCE_ACTIVE, 100, mixed, 2);
    put(&p->in, "c", PW_INSTANCE_ACTIVE, 100, low, 2);
    merge(p);
    assert_int_equal(pw_ring_desc_find(&p->into, "a")->token_count, 2);
    assert_int_equal(pw_ring_desc_find(&p->into, "b")->token_count, 2);
    assert_int_equal(pw_ring_desc_find(&p->into, "b")->token[1], 30);
    assert_int_equal(pw_ring_desc_find(&p->into, "c")->token_count, 0);
    assert_int_equal(p->change.count, 2);
    assert_int_equal(pw_ring_desc_find(&p->change, "c")->token_count, 0);
}

static void
test_merge__token_of_a_leaving_one__goes_to_the_other(void **state)
{
    struct pair *p = *state;

    put(&p->into, "a", PW_INSTANCE_LEAVING, 100, low, 3);
    put(&p->in, "b", PW_INSTANCE_ACTIVE, 100, mixed, 2);
    merge(p);
    assert_int_equal(pw_ring_desc_find(&p->into, "a")->token_count, 2);
    assert_int_equal(pw_ring_desc_find(&p->into, "b")->token_count, 2);
}

static void
test_remove_tombstones__older_than_the_limit__are_dropped(void **state)
{
    struct pair *p = *state;

    put(&p->into, "a", PW_INSTANCE_LEFT, 99, NULL, 0);
    put(&p->into, "b", PW_INSTANCE_LEFT, 100, NULL, 0);
    put(&p->into, "c", PW_INSTANCE_ACTIVE, 1, low, 3);
    assert_int_equal(pw_ring_desc_remove_tombstones(&p->into, 100), 1);
    assert_int_equal(p->into.count, 2);
    assert_string_equal(p->into.instance[0].id, "b");
    assert_string_equal(p->into.instance[1].id, "c");
}

/* --- Properties ------------------------------------------------------------------------------- */

/* What an instance said at a second is one thing, so its contents follow from id, second and LEFT; with
 * `shared` all draw from the same few tokens, else every id has its own. */
static void
put_random(struct pw_ring_desc *d, uint64_t *seed, bool shared)
{
    uint64_t who = next(seed) % IDS, at = 1 + next(seed) % TIMES;
    bool left = next(seed) % 4 == 0;
    uint64_t content = who * 1000 + at;
    uint32_t token[5], count = (uint32_t)(next(&content) % 6);
    char id[8];

    for (uint32_t i = 0; i < count; i++) {
        token[i] = (uint32_t)(next(&content) % 16 + (shared ? 0 : who * 100));
    }
    snprintf(id, sizeof(id), "i%d", (int)who);
    put(d, id, left ? PW_INSTANCE_LEFT : (enum pw_instance_state)(next(&content) % 4), (int64_t)at,
        token, left ? 0 : count);
}

static void
random_desc(struct pw_ring_desc *d, uint64_t *seed, bool shared)
{
    pw_ring_desc_fini(d);
    for (uint64_t n = next(seed) % 8; n > 0; n--) {
        put_random(d, seed, shared);
    }
}

static void
merge_all(struct pw_ring_desc *into, const struct pw_ring_desc *part, const int *order, int n)
{
    struct pw_ring_desc change;

    pw_ring_desc_init(&change);
    pw_ring_desc_fini(into);
    for (int i = 0; i < n; i++) {
        assert_int_equal(pw_ring_desc_merge(into, &part[order[i]], false, 0, &change), 0);
    }
    pw_ring_desc_fini(&change);
}

static void
test_merge__any_order_and_grouping__gives_one_ring(void **state)
{
    static const int orders[][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                    {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    struct pw_ring_desc part[3] = {0}, first = {0}, other = {0}, grouped = {0};

    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        uint64_t s = seed;

        for (int i = 0; i < 3; i++) {
            random_desc(&part[i], &s, false);
        }
        merge_all(&first, part, orders[0], 3);
        for (size_t o = 1; o < PW_ARRAY_LEN(orders); o++) {
            merge_all(&other, part, orders[o], 3);
            assert_true(pw_ring_desc_equal(&first, &other));
        }
        /* b and c first, and that into a */
        merge_all(&grouped, part, (const int[]){1, 2}, 2);
        merge_all(&other, part, (const int[]){0}, 1);
        assert_int_equal(pw_ring_desc_merge(&other, &grouped, false, 0, &part[2]), 0);
        assert_true(pw_ring_desc_equal(&first, &other));
    }
    for (int i = 0; i < 3; i++) {
        pw_ring_desc_fini(&part[i]);
    }
    pw_ring_desc_fini(&first);
    pw_ring_desc_fini(&other);
    pw_ring_desc_fini(&grouped);
}

/* The change alone brings whoever knew the ring before to the ring after. */
static void
test_merge__its_change_sent_on__makes_the_same_ring(void **state)
{
    struct pair *p = *state;
    struct pw_ring_desc other = {0}, ignored = {0};

    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        uint64_t s = seed;

        random_desc(&p->into, &s, seed % 2 == 0);
        random_desc(&p->in, &s, seed % 2 == 0);
        merge_all(&other, &p->into, (const int[]){0}, 1);
        merge_all(&p->into, &other, (const int[]){0}, 1);
        merge(p);
        assert_int_equal(pw_ring_desc_merge(&other, &p->change, false, 0, &ignored), 0);
        assert_true(pw_ring_desc_equal(&p->into, &other));
    }
    pw_ring_desc_fini(&other);
    pw_ring_desc_fini(&ignored);
}

static void
assert_tokens_have_one_owner(const struct pw_ring_desc *d)
{
    bool taken[16] = {false};

    for (uint32_t i = 0; i < d->count; i++) {
        for (uint32_t t = 0; t < d->instance[i].token_count; t++) {
            assert_false(taken[d->instance[i].token[t]]);
            taken[d->instance[i].token[t]] = true;
        }
        assert_true(d->instance[i].state != PW_INSTANCE_LEFT || d->instance[i].token_count == 0);
    }
}

static void
test_merge__twice_the_same__changes_nothing_and_no_token_has_two_owners(void **state)
{
    struct pair *p = *state;

    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        uint64_t s = seed;

        random_desc(&p->in, &s, true);
        pw_ring_desc_fini(&p->into);
        for (int round = 0; round < 5; round++) {
            random_desc(&p->in, &s, true);
            merge(p);
            assert_tokens_have_one_owner(&p->into);
            merge(p);
            assert_int_equal(p->change.count, 0);
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(test_merge__newer_equal_and_older__takes_the_newer_alone),
        TEST(test_merge__left_at_the_same_second__wins_and_owns_nothing),
        TEST(test_merge__missing_in_what_others_send__stays),
        TEST(test_merge__missing_in_our_own_edit__becomes_left_now),
        TEST(test_merge__token_of_two__goes_to_the_smaller_id),
        TEST(test_merge__token_of_a_leaving_one__goes_to_the_other),
        TEST(test_remove_tombstones__older_than_the_limit__are_dropped),
        TEST(test_merge__any_order_and_grouping__gives_one_ring),
        TEST(test_merge__its_change_sent_on__makes_the_same_ring),
        TEST(test_merge__twice_the_same__changes_nothing_and_no_token_has_two_owners),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
