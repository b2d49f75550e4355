/* Cutting: the active head is swapped for the spare, what was cut is handed over once and in order, and
 * the bytes of sealed heads come off the active one's limit. */
#include "ingester/head_set.h"

#include "tests/support/cmocka_pw.h"
#include "tests/support/record_build.h"

#include <stdlib.h>

enum {
    KEY = 5,
    RECORD_CAP = 1 << 20,
    HEAD_BYTES = 8 << 20,
    HEADS = 32,
    FIRST_BYTES = 64 /* of an empty head */
};
#define NOW  1700000000000000000LL
#define IDLE 600000000000LL

struct fixture {
    struct pw_head_set *set;
    struct pw_head *head[HEADS]; /* all that were made */
    uint32_t heads;
    struct rb_profile profile;
    void *buf;
};

static struct pw_head *
new_head(struct fixture *f)
{
    const struct pw_head_cfg cfg = {
        .bytes_max = HEAD_BYTES, .hash_key = KEY, .tenants_max = 4, .series_idle_ns = IDLE};

    assert_true(f->heads < HEADS);
    assert_int_equal(pw_head_create_ctl(&f->head[f->heads], &cfg), 0);
    return f->head[f->heads++];
}

static void
setup(struct fixture *f, uint64_t cut_bytes)
{
    memset(f, 0, sizeof(*f));
    assert_int_equal(
        pw_head_set_create_ctl(&f->set, &(struct pw_head_set_cfg){.first = new_head(f),
                                                                  .bytes_max = HEAD_BYTES,
                                                                  .cut_bytes = cut_bytes}),
        0);
    f->buf = aligned_alloc(64, RECORD_CAP);
    f->profile = (struct rb_profile){.tenant = "t", .types_count = 1, .series_count = 1};
    f->profile.series[0].sample_count = 1;
    f->profile.series[0].sample[0] = (struct rb_sample){.stack = 1, .value = {1}};
}

static void
teardown(struct fixture *f)
{
    pw_head_set_destroy_ctl(f->set);
    for (uint32_t i = 0; i < f->heads; i++) {
        pw_head_destroy_ctl(f->head[i]);
    }
    free(f->buf);
}

static int
append(struct fixture *f, struct pw_head *h)
{
    struct pw_head_append_info info;

    return pw_head_append(h, rb_build(&f->profile, KEY, 1, f->buf, RECORD_CAP), (struct pw_now){0},
                          0, &info);
}

/* A profile of that series, when so many may be active; what append says. */
static int
append_series(struct fixture *f, uint32_t label_set, int64_t mono_ns, uint64_t limit)
{
    struct pw_head_append_info info;

    f->profile.series[0].label_set = label_set;
    return pw_head_append(pw_head_set_turn(f->set),
                          rb_build(&f->profile, KEY, 1, f->buf, RECORD_CAP),
                          (struct pw_now){.mono_ns = mono_ns}, limit, &info);
}

static uint64_t
rows(const struct pw_head *h)
{
    struct pw_head_stats st;

    pw_head_stats(h, &st);
    return st.rows;
}

static struct pw_head *
take_sealed(struct fixture *f)
{
    struct pw_head_sealed s;

    return pw_head_set_take_sealed(f->set, &s) ? s.head : NULL;
}

static void
test_cut__spare_there__next_turn_writes_to_it(void **state)
{
    struct fixture f;
    struct pw_head *a, *b;
    uint64_t ticket;

    (void)state;
    setup(&f, 0);
    a = pw_head_set_turn(f.set);
    assert_int_equal(append(&f, a), 0);
    assert_true(pw_head_set_wants_spare(f.set));
    b = new_head(&f);
    pw_head_set_give_spare(f.set, b);
    assert_false(pw_head_set_wants_spare(f.set));
    assert_ptr_equal(pw_head_set_turn(f.set), a); /* nobody asked for a cut */
    ticket = pw_head_set_cut(f.set);
    assert_false(pw_head_set_cut_done(f.set, ticket));
    assert_null(take_sealed(&f));
    assert_ptr_equal(pw_head_set_turn(f.set), b);
    assert_true(pw_head_set_cut_done(f.set, ticket));
    assert_ptr_equal(take_sealed(&f), a);
    assert_null(take_sealed(&f));
    assert_true(pw_head_set_wants_spare(f.set));
    assert_int_equal(append(&f, pw_head_set_turn(f.set)), 0);
    assert_int_equal(rows(a), 1);
    assert_int_equal(rows(b), 1);
    teardown(&f);
}

static void
cut_now(struct fixture *f)
{
    struct pw_head *fresh = new_head(f);

    pw_head_set_give_spare(f->set, fresh);
    (void)pw_head_set_cut(f->set);
    assert_ptr_equal(pw_head_set_turn(f->set), fresh);
    pw_head_set_retire(f->set, take_sealed(f));
}

static void
test_cut__series_limit__those_of_the_head_before_count(void **state)
{
    struct fixture f;

    (void)state;
    setup(&f, 0);
    for (uint32_t i = 0; i < 10; i++) {
        assert_int_equal(append_series(&f, i, NOW + i, 10), 0);
    }
    assert_int_equal(append_series(&f, 10, NOW + 10, 10), PW_ERANGE);
    cut_now(&f);
    assert_int_equal(append_series(&f, 10, NOW + 20, 10), PW_ERANGE); /* ten are active */
    assert_int_equal(append_series(&f, 3, NOW + 20, 10), 0);          /* it is one of them */
    assert_int_equal(append_series(&f, 3, NOW + 21, 10), 0);
    assert_int_equal(append_series(&f, 10, NOW + 21, 10), PW_ERANGE);
    cut_now(&f);
    assert_int_equal(append_series(&f, 10, NOW + IDLE, 10), PW_ERANGE);
    /* Series 0 is idle for too long, two heads after its profile; then 1. */
    assert_int_equal(append_series(&f, 10, NOW + IDLE + 1, 10), 0);
    assert_int_equal(append_series(&f, 0, NOW + IDLE + 1, 10), PW_ERANGE);
    assert_int_equal(append_series(&f, 0, NOW + IDLE + 2, 10), 0);
    /* All of them; the other tenant was never counted with them. */
    f.profile.tenant = "u";
    assert_int_equal(append_series(&f, 0, NOW + IDLE + 2, 1), 0);
    assert_int_equal(append_series(&f, 1, NOW + IDLE + 2, 1), PW_ERANGE);
    f.profile.tenant = "t";
    for (uint32_t i = 20; i < 30; i++) {
        assert_int_equal(append_series(&f, i, NOW + 3 * IDLE, 10), 0);
    }
    assert_int_equal(append_series(&f, 30, NOW + 3 * IDLE, 10), PW_ERANGE);
    teardown(&f);
}

static void
test_cut__many_series__forgotten_and_found_again(void **state)
{
    enum { MANY = 1000, ROUNDS = 4 };
    struct fixture f;

    (void)state;
    setup(&f, 0);
    for (uint32_t r = 0; r < ROUNDS; r++) {
        int64_t now = NOW + 2 * r * IDLE;

        for (uint32_t i = 0; i < MANY; i++) {
            assert_int_equal(append_series(&f, r % 2 * MANY + i, now, MANY), 0);
        }
        assert_int_equal(append_series(&f, 2 * MANY, now, MANY), PW_ERANGE);
        cut_now(&f);
        assert_int_equal(append_series(&f, 2 * MANY, now, MANY), PW_ERANGE);
        assert_int_equal(append_series(&f, r % 2 * MANY + 7, now, MANY), 0);
        cut_now(&f);
    }
    teardown(&f);
}

static void
test_cut__nothing_in_the_head__done_without_a_new_one(void **state)
{
    struct fixture f;
    struct pw_head *a;
    uint64_t ticket;

    (void)state;
    setup(&f, 0);
    a = pw_head_set_turn(f.set);
    pw_head_set_give_spare(f.set, new_head(&f));
    ticket = pw_head_set_cut(f.set);
    assert_ptr_equal(pw_head_set_turn(f.set), a);
    assert_true(pw_head_set_cut_done(f.set, ticket));
    assert_false(pw_head_set_wants_spare(f.set));
    teardown(&f);
}

static void
test_cut__no_spare__waits_and_goes_on_writing(void **state)
{
    struct fixture f;
    struct pw_head *a;
    uint64_t ticket;

    (void)state;
    setup(&f, 0);
    a = pw_head_set_turn(f.set);
    assert_int_equal(append(&f, a), 0);
    ticket = pw_head_set_cut(f.set);
    assert_ptr_equal(pw_head_set_turn(f.set), a);
    assert_false(pw_head_set_cut_done(f.set, ticket));
    assert_int_equal(atomic_load(&f.set->cut_waits), 1);
    assert_int_equal(append(&f, a), 0);
    pw_head_set_give_spare(f.set, new_head(&f));
    assert_ptr_not_equal(pw_head_set_turn(f.set), a);
    assert_true(pw_head_set_cut_done(f.set, ticket));
    assert_int_equal(rows(a), 2);
    teardown(&f);
}

static void
test_turn__cut_bytes_reached__cuts_by_itself(void **state)
{
    struct fixture f;
    struct pw_head *a;

    (void)state;
    setup(&f, 100 << 10);
    a = pw_head_set_turn(f.set);
    pw_head_set_give_spare(f.set, new_head(&f));
    while (pw_head_bytes(a) < 100 << 10) {
        assert_ptr_equal(pw_head_set_turn(f.set), a);
        f.profile.series[0].sample[0].stack++;
        f.profile.series[0].label_set++;
        assert_int_equal(append(&f, a), 0);
    }
    assert_ptr_not_equal(pw_head_set_turn(f.set), a);
    assert_ptr_equal(take_sealed(&f), a);
    teardown(&f);
}

static void
test_turn__sealed_heads__their_bytes_are_off_the_limit_until_retired(void **state)
{
    struct fixture f;
    struct pw_head *a, *b;
    uint64_t full;

    (void)state;
    setup(&f, HEAD_BYTES);
    a = pw_head_set_turn(f.set);
    while (append(&f, a) == 0) { /* to the limit */
        f.profile.series[0].sample[0].stack = (f.profile.series[0].sample[0].stack + 1) % RB_STACKS;
        f.profile.series[0].label_set++;
    }
    full = pw_head_bytes(a);
    assert_true(full > HEAD_BYTES / 2);
    b = new_head(&f);
    pw_head_set_give_spare(f.set, b);
    pw_head_set_cut(f.set);
    assert_ptr_equal(pw_head_set_turn(f.set), b);
    while (append(&f, b) == 0) {
        f.profile.series[0].label_set++;
    }
    assert_true(full + pw_head_bytes(b) <= HEAD_BYTES + FIRST_BYTES);
    assert_ptr_equal(take_sealed(&f), a);
    assert_int_equal(append(&f, pw_head_set_turn(f.set)),
                     PW_EBUSY); /* its share of no free bytes */
    pw_head_set_retire(f.set, a);
    assert_int_equal(append(&f, pw_head_set_turn(f.set)), 0);
    teardown(&f);
}

static void
test_cut__ring_of_sealed_heads_full__no_cut_until_one_is_retired(void **state)
{
    struct fixture f;

    (void)state;
    setup(&f, 0);
    for (int i = 0; i < PW_HEADS_SEALED_MAX; i++) {
        assert_int_equal(append(&f, pw_head_set_turn(f.set)), 0);
        pw_head_set_give_spare(f.set, new_head(&f));
        assert_true(pw_head_set_turn(f.set) == f.head[f.heads - 2]);
        pw_head_set_cut(f.set);
        assert_ptr_equal(pw_head_set_turn(f.set), f.head[f.heads - 1]);
    }
    assert_int_equal(append(&f, pw_head_set_turn(f.set)), 0);
    pw_head_set_give_spare(f.set, new_head(&f));
    pw_head_set_cut(f.set);
    assert_ptr_equal(pw_head_set_turn(f.set), f.head[f.heads - 2]);
    for (uint32_t i = 0; i < PW_HEADS_SEALED_MAX; i++) {
        assert_ptr_equal(take_sealed(&f), f.head[i]);
    }
    assert_ptr_equal(pw_head_set_turn(f.set), f.head[f.heads - 2]); /* taken is not retired */
    pw_head_set_retire(f.set, f.head[0]);
    assert_ptr_equal(pw_head_set_turn(f.set), f.head[f.heads - 1]);
    teardown(&f);
}

static void
mark_7(const void *wal, struct pw_wal_mark *mark)
{
    assert_null(wal);
    *mark = (struct pw_wal_mark){.sequence = 7};
}

static void
test_cut__with_a_log__its_mark_of_that_moment_goes_with_the_head(void **state)
{
    struct fixture f;
    struct pw_head_sealed s;

    (void)state;
    setup(&f, 0);
    pw_head_set_log_ctl(f.set, NULL, mark_7);
    assert_int_equal(append(&f, pw_head_set_turn(f.set)), 0);
    pw_head_set_give_spare(f.set, new_head(&f));
    pw_head_set_cut(f.set);
    pw_head_set_turn(f.set);
    assert_true(pw_head_set_take_sealed(f.set, &s));
    assert_true(s.has_mark);
    assert_int_equal(s.mark.sequence, 7);
    teardown(&f);
}

/* A profile of some 1.5 KB in the head. */
static void
full_profile(struct fixture *f, const char *tenant)
{
    f->profile.tenant = tenant;
    f->profile.series[0].sample_count = RB_SAMPLES_MAX;
    for (uint32_t i = 0; i < RB_SAMPLES_MAX; i++) {
        f->profile.series[0].sample[i] = (struct rb_sample){.stack = i, .value = {1}};
    }
}

/* Appends profiles of a tenant until one is refused; how that was. */
static int
fill(struct fixture *f, const char *tenant, uint32_t *taken)
{
    struct pw_head_append_info info;
    const struct pw_record *rec; /* made once: that takes far longer than to append it */
    int rc = 0;

    full_profile(f, tenant);
    rec = rb_build(&f->profile, KEY, 1, f->buf, RECORD_CAP);
    for (*taken = 0; rc == 0 && *taken < 1000000; *taken += rc == 0) {
        rc = pw_head_append(pw_head_set_turn(f->set), rec, (struct pw_now){0}, 0, &info);
    }
    return rc;
}

static void
test_share__one_tenant_fills_the_head__others_are_still_taken(void **state)
{
    struct fixture f;
    uint32_t first, second, third;
    struct pw_head_stats st;

    (void)state;
    setup(&f, HEAD_BYTES); /* no cut */
    assert_int_equal(fill(&f, "greedy", &first), PW_EBUSY);
    pw_head_stats(f.head[0], &st);
    assert_in_range(st.bytes_used, HEAD_BYTES / 4 * 3, HEAD_BYTES / 5 * 4 + HEAD_BYTES / 16);
    assert_int_equal(fill(&f, "second", &second), PW_EBUSY);
    assert_true(second > first / 8);
    assert_int_equal(fill(&f, "greedy", &first), PW_EBUSY);
    assert_int_equal(first, 0);
    assert_int_equal(fill(&f, "third", &third), PW_EBUSY);
    assert_true(third > 0); /* its symbols alone are most of what is left */
    pw_head_stats(f.head[0], &st);
    assert_true(st.bytes_used < HEAD_BYTES);
    teardown(&f);
}

static void
test_share__sealed_heads__count_until_they_are_retired(void **state)
{
    struct fixture f;
    struct pw_head *a;
    uint32_t before, after, other;

    (void)state;
    setup(&f, HEAD_BYTES);
    a = pw_head_set_turn(f.set);
    assert_int_equal(fill(&f, "t", &before), PW_EBUSY);
    pw_head_set_give_spare(f.set, new_head(&f));
    (void)pw_head_set_cut(f.set);
    assert_int_equal(fill(&f, "t", &after), PW_EBUSY);
    assert_in_range(after, 0, before / 50);
    assert_int_equal(fill(&f, "other", &other), PW_EBUSY);
    assert_true(other > before / 50);
    assert_ptr_equal(take_sealed(&f), a);
    pw_head_set_retire(f.set, a);
    assert_int_equal(fill(&f, "t", &after), PW_EBUSY);
    assert_true(after > before / 2);
    teardown(&f);
}

static void
test_share__near_it__pressed_until_there_is_room(void **state)
{
    struct fixture f;
    struct pw_head *a;
    const struct pw_pressure *p;
    uint64_t key = pw_tenant_pressure_key(KEY, PW_SLICE_LIT("t"));
    uint32_t n;
    bool at_once = true;

    (void)state;
    setup(&f, HEAD_BYTES);
    p = &f.set->share.pressure;
    a = pw_head_set_turn(f.set);
    full_profile(&f, "t");
    for (n = 0; !pw_pressure_has(p, key); n++) { /* before it is refused */
        assert_int_equal(append(&f, pw_head_set_turn(f.set)), 0);
        at_once = n == 0;
    }
    assert_false(at_once);
    assert_false(pw_pressure_has(p, pw_tenant_pressure_key(KEY, PW_SLICE_LIT("u"))));
    pw_head_set_give_spare(f.set, new_head(&f));
    (void)pw_head_set_cut(f.set);
    (void)pw_head_set_turn(f.set);
    assert_true(pw_pressure_has(p, key)); /* its bytes are still held */
    assert_int_equal(append(&f, pw_head_set_turn(f.set)), 0);
    assert_int_equal(atomic_load(&p->count), 1);
    assert_ptr_equal(take_sealed(&f), a);
    pw_head_set_retire(f.set, a);
    (void)pw_head_set_turn(f.set);
    assert_false(pw_pressure_any(p));
    teardown(&f);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cut__spare_there__next_turn_writes_to_it),
        cmocka_unit_test(test_cut__series_limit__those_of_the_head_before_count),
        cmocka_unit_test(test_cut__many_series__forgotten_and_found_again),
        cmocka_unit_test(test_cut__nothing_in_the_head__done_without_a_new_one),
        cmocka_unit_test(test_cut__with_a_log__its_mark_of_that_moment_goes_with_the_head),
        cmocka_unit_test(test_cut__no_spare__waits_and_goes_on_writing),
        cmocka_unit_test(test_turn__cut_bytes_reached__cuts_by_itself),
        cmocka_unit_test(test_turn__sealed_heads__their_bytes_are_off_the_limit_until_retired),
        cmocka_unit_test(test_cut__ring_of_sealed_heads_full__no_cut_until_one_is_retired),
        cmocka_unit_test(test_share__one_tenant_fills_the_head__others_are_still_taken),
        cmocka_unit_test(test_share__sealed_heads__count_until_they_are_retired),
        cmocka_unit_test(test_share__near_it__pressed_until_there_is_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
