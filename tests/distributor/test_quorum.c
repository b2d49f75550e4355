/* Every order of every outcome of up to five targets, against ring.md 2.7 said in one sentence: decided by
 * the first vote after which `needed` have succeeded or more than max_errors have failed. */
#include "distributor/quorum.h"

#include "tests/support/cmocka_pw.h"

enum { TARGETS_MAX = 5 };

struct counts {
    uint32_t runs, met, lost;
};

/* The votes in that order; which of them decided, by counting, is what must come out. */
static void
run(const uint32_t *order, uint32_t n, uint32_t max_errors, uint32_t outcome, struct counts *c)
{
    struct pw_quorum q;
    uint32_t good = 0, bad = 0, decisions = 0;
    bool was = false;

    assert_int_equal(pw_quorum_init(&q, n, max_errors), 0);
    for (uint32_t i = 0; i < n; i++) {
        bool success = (outcome >> order[i] & 1) != 0;
        enum pw_quorum_verdict v;

        assert_int_equal(pw_quorum_decided(&q), was);
        v = pw_quorum_vote(&q, order[i], success);
        good += success;
        bad += !success;
        if (!was && good == n - max_errors) {
            assert_int_equal(v, PW_QUORUM_MET);
        } else if (!was && bad == max_errors + 1) {
            assert_int_equal(v, PW_QUORUM_LOST);
        } else {
            assert_int_equal(v, PW_QUORUM_OPEN);
        }
        decisions += v != PW_QUORUM_OPEN;
        c->met += v == PW_QUORUM_MET;
        c->lost += v == PW_QUORUM_LOST;
        was = was || v != PW_QUORUM_OPEN;
        /* A second word of the same target, whatever it says. */
        assert_int_equal(pw_quorum_vote(&q, order[i], !success), PW_QUORUM_OPEN);
        assert_int_equal(q.succeeded, good);
        assert_int_equal(q.failed, bad);
    }
    assert_int_equal(decisions, 1);
    c->runs++;
}

static void
swap(uint32_t *a, uint32_t *b)
{
    uint32_t t = *a;

    *a = *b;
    *b = t;
}

/* Heap's algorithm, without recursion. */
static void
all_orders(uint32_t n, uint32_t max_errors, uint32_t outcome, struct counts *c)
{
    uint32_t order[TARGETS_MAX] = {0, 1, 2, 3, 4};
    uint32_t at[TARGETS_MAX] = {0};
    uint32_t i = 1;

    run(order, n, max_errors, outcome, c);
    while (i < n) {
        if (at[i] < i) {
            swap(&order[i % 2 == 0 ? 0 : at[i]], &order[i]);
            run(order, n, max_errors, outcome, c);
            at[i]++;
            i = 1;
        } else {
            at[i++] = 0;
        }
    }
}

static void
test_vote__every_order_and_outcome__decides_once_and_rightly(void **state)
{
    uint32_t orders = 1;

    (void)state;
    for (uint32_t n = 1; n <= TARGETS_MAX; n++) {
        orders *= n;
        for (uint32_t max_errors = 0; max_errors < n; max_errors++) {
            struct counts c = {0};

            for (uint32_t outcome = 0; outcome < 1U << n; outcome++) {
                all_orders(n, max_errors, outcome, &c);
            }
            assert_int_equal(c.runs, orders << n);
            assert_int_equal(c.met + c.lost, c.runs);
            assert_true(c.met > 0 && c.lost > 0);
        }
    }
}

static void
test_vote__one_of_three_dead__two_still_needed(void **state)
{
    struct pw_quorum q;

    (void)state;
    assert_int_equal(pw_quorum_init(&q, 3, 1), 0);
    assert_int_equal(pw_quorum_vote(&q, 2, false), PW_QUORUM_OPEN);
    assert_int_equal(pw_quorum_vote(&q, 0, true), PW_QUORUM_OPEN);
    assert_int_equal(pw_quorum_vote(&q, 1, true), PW_QUORUM_MET);
}

static void
test_init__sets_that_cannot_be__refused(void **state)
{
    struct pw_quorum q;

    (void)state;
    assert_int_equal(pw_quorum_init(&q, 0, 0), PW_EINVAL);
    assert_int_equal(pw_quorum_init(&q, 3, 3), PW_EINVAL);
    assert_int_equal(pw_quorum_init(&q, PW_QUORUM_TARGETS_MAX + 1, 1), PW_EINVAL);
    assert_int_equal(pw_quorum_init(&q, PW_QUORUM_TARGETS_MAX, 3), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vote__every_order_and_outcome__decides_once_and_rightly),
        cmocka_unit_test(test_vote__one_of_three_dead__two_still_needed),
        cmocka_unit_test(test_init__sets_that_cannot_be__refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
