/* The lives of ring.md 1.5 and 1.6, row by row, over a store that is one desc and a merge. */
#include "ring/lifecycler.h"

#include "tests/support/cmocka_pw.h"
#include "tests/support/mem_fs.h"

enum { TOKENS = 8, PERIOD_MS = 5000 };

struct fake_store {
    struct pw_ring_desc ring, change;
    bool fails;
    uint32_t writes;
};

static struct fake_store fake;
static struct pw_ring_now now;
static struct pw_lifecycler *l;

static const struct pw_ring_desc *
fake_get(void *ctx, const char *key)
{
    assert_string_equal(key, "collectors/ring");
    return &((struct fake_store *)ctx)->ring;
}

static int
fake_cas(void *ctx, const char *key, pw_ring_edit_fn edit, void *arg, int64_t now_s)
{
    struct fake_store *f = ctx;
    struct pw_ring_desc copy = {0};
    int rc;

    assert_string_equal(key, "collectors/ring");
    if (f->fails) {
        return PW_EIO;
    }
    f->writes++;
    assert_int_equal(pw_ring_desc_copy(&copy, &f->ring), 0);
    rc = edit(arg, &copy);
    if (rc == 0) {
        rc = pw_ring_desc_merge(&f->ring, &copy, true, now_s, &f->change);
    }
    pw_ring_desc_fini(&copy);
    return rc;
}

static struct pw_lifecycler_cfg
classic(void)
{
    return (struct pw_lifecycler_cfg){
        .kind = PW_LIFECYCLER_CLASSIC,
        .store = {.ctx = &fake, .get = fake_get, .cas = fake_cas},
        .key = "collectors/ring",
        .id = "me",
        .addr = "10.0.0.1:4040",
        .zone = "z",
        .num_tokens = TOKENS,
        .heartbeat_period_ms = PERIOD_MS,
        .seed = 42,
    };
}

static struct pw_lifecycler_cfg
basic(void)
{
    struct pw_lifecycler_cfg cfg = classic();

    cfg.kind = PW_LIFECYCLER_BASIC;
    cfg.num_tokens = 1;
    cfg.register_state = PW_INSTANCE_ACTIVE;
    cfg.forget_after_s = 600;
    return cfg;
}

static void
begin(const struct pw_lifecycler_cfg *cfg)
{
    assert_int_equal(pw_lifecycler_create_ctl(&l, cfg), 0);
    assert_int_equal(pw_lifecycler_start(l, now), 0);
}

static void
pass(int64_t ms)
{
    now.mono_ms += ms;
    now.wall_s = 1000000 + now.mono_ms / 1000;
}

static struct pw_instance *
me(void)
{
    return pw_ring_desc_find(&fake.ring, "me");
}

/* An entry that somebody, or we in an earlier life, left in the ring. */
static void
put(const char *id, enum pw_instance_state state, uint32_t tokens, int64_t age)
{
    uint32_t token[2 * TOKENS];
    struct pw_instance in = {.id = id,
                             .addr = "10.0.0.9:1",
                             .zone = "",
                             .state = state,
                             .timestamp = now.wall_s - age,
                             .registered = 777,
                             .read_only = true,
                             .read_only_updated = 778,
                             .token = token,
                             .token_count = tokens};

    for (uint32_t i = 0; i < tokens; i++) {
        token[i] = 100 + i;
    }
    assert_int_equal(pw_ring_desc_put(&fake.ring, &in), 0);
}

static int
setup(void **state)
{
    fake = (struct fake_store){0};
    now = (struct pw_ring_now){.wall_s = 1000000, .mono_ms = 0};
    l = NULL;
    return 0;
}

static int
teardown(void **state)
{
    pw_lifecycler_destroy_ctl(l);
    pw_ring_desc_fini(&fake.ring);
    pw_ring_desc_fini(&fake.change);
    return 0;
}

static void
test_start__empty_ring_and_no_waits__is_active_in_one_change(void **state)
{
    const struct pw_lifecycler_cfg cfg = classic();

    begin(&cfg);
    assert_int_equal(fake.writes, 1);
    assert_int_equal(me()->state, PW_INSTANCE_ACTIVE);
    assert_int_equal(me()->token_count, TOKENS);
    assert_int_equal(me()->timestamp, 1000000);
    assert_int_equal(me()->registered, 1000000);
    assert_string_equal(me()->addr, "10.0.0.1:4040");
    assert_string_equal(me()->zone, "z");
    assert_false(me()->read_only);
}

static void
test_start__join_after__is_pending_without_tokens_until_then(void **state)
{
    struct pw_lifecycler_cfg cfg = classic();

    cfg.join_after_ms = 3000;
    begin(&cfg);
    assert_int_equal(me()->state, PW_INSTANCE_PENDING);
    assert_int_equal(me()->token_count, 0);
    assert_int_equal(pw_lifecycler_step(l, now), 3000);
    pass(2999);
    assert_int_equal(pw_lifecycler_step(l, now), 3000);
    assert_int_equal(me()->state, PW_INSTANCE_PENDING);
    pass(1);
    assert_int_equal(pw_lifecycler_step(l, now), 3000 + PERIOD_MS);
    assert_int_equal(me()->state, PW_INSTANCE_ACTIVE);
    assert_int_equal(me()->token_count, TOKENS);
    assert_int_equal(me()->registered, 1000000);
}

static void
test_observe__tokens_still_ours__becomes_active(void **state)
{
    struct pw_lifecycler_cfg cfg = classic();

    cfg.observe_period_ms = 2000;
    begin(&cfg);
    assert_int_equal(me()->state, PW_INSTANCE_JOINING);
    assert_int_equal(me()->token_count, TOKENS);
    pass(2000);
    assert_int_equal(pw_lifecycler_step(l, now), 2000 + PERIOD_MS);
    assert_int_equal(me()->state, PW_INSTANCE_ACTIVE);
}

static void
test_observe__token_lost_to_another__is_replaced_and_observed_again(void **state)
{
    struct pw_lifecycler_cfg cfg = classic();
    struct pw_instance other = {
        .id = "a", .addr = "", .zone = "", .timestamp = 1000000, .token_count = 1};
    struct pw_ring_desc in = {0};
    uint32_t lost;

    cfg.observe_period_ms = 2000;
    begin(&cfg);
    lost = me()->token[0];
    other.token = &lost;
    assert_int_equal(pw_ring_desc_put(&in, &other), 0);
    assert_int_equal(pw_ring_desc_merge(&fake.ring, &in, false, now.wall_s, &fake.change), 0);
    pw_ring_desc_fini(&in);
    assert_int_equal(me()->token_count, TOKENS - 1);
    pass(2000);
    assert_int_equal(pw_lifecycler_step(l, now), 4000);
    assert_int_equal(me()->state, PW_INSTANCE_JOINING);
    assert_int_equal(me()->token_count, TOKENS);
    assert_true(me()->token[0] != lost);
    pass(2000);
    (void)pw_lifecycler_step(l, now);
    assert_int_equal(me()->state, PW_INSTANCE_ACTIVE);
}

static void
test_start__left_leaving_with_too_few_tokens__is_active_and_keeps_what_it_had(void **state)
{
    const struct pw_lifecycler_cfg cfg = classic();

    put("me", PW_INSTANCE_LEAVING, 3, 10);
    begin(&cfg);
    assert_int_equal(me()->state, PW_INSTANCE_ACTIVE);
    assert_int_equal(me()->token_count, TOKENS);
    assert_int_equal(me()->token[0], 100);
    assert_int_equal(me()->registered, 777);
    assert_true(me()->read_only);
    assert_string_equal(me()->addr, "10.0.0.1:4040");
}

static void
test_start__left_leaving_with_too_many_tokens__drops_some(void **state)
{
    const struct pw_lifecycler_cfg cfg = classic();

    put("me", PW_INSTANCE_LEAVING, 2 * TOKENS, 10);
    begin(&cfg);
    assert_int_equal(me()->token_count, TOKENS);
}

static void
test_start__found_active__is_adopted(void **state)
{
    const struct pw_lifecycler_cfg cfg = classic();

    put("me", PW_INSTANCE_ACTIVE, 3, 10);
    begin(&cfg);
    assert_int_equal(me()->state, PW_INSTANCE_ACTIVE);
    assert_int_equal(me()->token_count, 3);
    assert_int_equal(me()->read_only_updated, 778);
    assert_string_equal(me()->zone, "z");
}

static void
test_start__found_joining__begins_again(void **state)
{
    struct pw_lifecycler_cfg cfg = classic();

    cfg.join_after_ms = 1000;
    put("me", PW_INSTANCE_JOINING, 3, 10);
    begin(&cfg);
    assert_int_equal(me()->state, PW_INSTANCE_PENDING);
    pass(1000);
    (void)pw_lifecycler_step(l, now);
    assert_int_equal(me()->state, PW_INSTANCE_ACTIVE);
    assert_int_equal(me()->token_count, TOKENS);
    assert_int_equal(me()->registered, 777);
}

static void
test_start__tombstone_of_the_same_second__comes_back(void **state)
{
    const struct pw_lifecycler_cfg cfg = classic();

    put("me", PW_INSTANCE_LEFT, 0, 0);
    begin(&cfg);
    assert_int_equal(me()->state, PW_INSTANCE_ACTIVE);
    assert_int_equal(me()->registered, 1000000);
    assert_false(me()->read_only);
}

static void
test_start__tokens_file__is_used_only_when_the_ring_knows_nothing(void **state)
{
    struct mem_fs *m = mem_fs_new();
    struct pw_lifecycler_cfg cfg = classic();
    uint32_t kept[TOKENS];

    cfg.fs = mem_fs_table(m);
    cfg.tokens_path = "/tokens";
    cfg.join_after_ms = 60000; /* whoever has all tokens does not wait for it */
    begin(&cfg);
    assert_int_equal(me()->state, PW_INSTANCE_PENDING);
    pass(60000);
    (void)pw_lifecycler_step(l, now);
    memcpy(kept, me()->token, sizeof(kept));
    pw_lifecycler_destroy_ctl(l);
    pw_ring_desc_fini(&fake.ring);
    cfg.seed = 43;
    begin(&cfg);
    assert_int_equal(me()->state, PW_INSTANCE_ACTIVE);
    assert_memory_equal(me()->token, kept, sizeof(kept));
    pw_lifecycler_destroy_ctl(l);
    pw_ring_desc_fini(&fake.ring);
    put("me", PW_INSTANCE_ACTIVE, 3, 10);
    begin(&cfg);
    assert_int_equal(me()->token[0], 100);
    mem_fs_free(m);
}

static void
test_step__heartbeat_due__moves_the_timestamp_alone(void **state)
{
    const struct pw_lifecycler_cfg cfg = classic();

    begin(&cfg);
    pass(PERIOD_MS - 1);
    (void)pw_lifecycler_step(l, now);
    assert_int_equal(me()->timestamp, 1000000);
    pass(1);
    assert_int_equal(pw_lifecycler_step(l, now), 2 * PERIOD_MS);
    assert_int_equal(me()->timestamp, 1000005);
    assert_int_equal(me()->registered, 1000000);
    assert_int_equal(pw_lifecycler_heartbeats(l), 1);
    assert_int_equal(fake.writes, 2);
}

static void
test_step__forgotten_by_somebody__registers_anew(void **state)
{
    const struct pw_lifecycler_cfg cfg = classic();

    begin(&cfg);
    me()->state = PW_INSTANCE_LEFT;
    me()->token_count = 0;
    me()->timestamp = 1000003;
    pass(PERIOD_MS);
    (void)pw_lifecycler_step(l, now);
    assert_int_equal(me()->state, PW_INSTANCE_ACTIVE);
    assert_int_equal(me()->token_count, TOKENS);
    assert_int_equal(me()->registered, 1000005);
}

static void
test_step__store_fails__tries_again_in_a_second(void **state)
{
    const struct pw_lifecycler_cfg cfg = classic();

    assert_int_equal(pw_lifecycler_create_ctl(&l, &cfg), 0);
    fake.fails = true;
    assert_int_equal(pw_lifecycler_start(l, now), PW_EIO);
    pass(1000);
    assert_int_equal(pw_lifecycler_step(l, now), 2000);
    fake.fails = false;
    pass(1000);
    (void)pw_lifecycler_step(l, now);
    assert_int_equal(me()->state, PW_INSTANCE_ACTIVE);
}

static void
test_leave__in_the_second_of_a_heartbeat__is_seen_and_beats_on(void **state)
{
    const struct pw_lifecycler_cfg cfg = classic();

    begin(&cfg);
    assert_int_equal(pw_lifecycler_leave(l, now), 0);
    assert_int_equal(me()->state, PW_INSTANCE_LEAVING);
    assert_int_equal(me()->timestamp, 1000001);
    assert_int_equal(me()->token_count, TOKENS);
    pass(PERIOD_MS);
    (void)pw_lifecycler_step(l, now);
    assert_int_equal(me()->state, PW_INSTANCE_LEAVING);
    assert_int_equal(me()->timestamp, 1000005);
}

static void
test_unregister__after_leaving__is_left_and_silent(void **state)
{
    const struct pw_lifecycler_cfg cfg = classic();

    begin(&cfg);
    assert_int_equal(pw_lifecycler_leave(l, now), 0);
    assert_int_equal(pw_lifecycler_unregister(l, now), 0);
    assert_int_equal(me()->state, PW_INSTANCE_LEFT);
    assert_int_equal(me()->token_count, 0);
    pass(10 * PERIOD_MS);
    assert_true(pw_lifecycler_step(l, now) == INT64_MAX);
    assert_int_equal(me()->state, PW_INSTANCE_LEFT);
}

static void
test_change_state__not_allowed__is_refused_in_the_words_of_stock(void **state)
{
    const struct pw_lifecycler_cfg cfg = classic();
    char bytes[128];
    struct pw_text why;

    begin(&cfg);
    pw_text_fixed(&why, bytes, sizeof(bytes));
    assert_int_equal(pw_lifecycler_change_state(l, PW_INSTANCE_PENDING, now, &why), PW_EINVAL);
    bytes[why.len] = 0;
    assert_string_equal(bytes, "changing instance state from ACTIVE -> PENDING is disallowed");
    assert_int_equal(pw_lifecycler_change_state(l, PW_INSTANCE_LEAVING, now, &why), 0);
    assert_int_equal(me()->state, PW_INSTANCE_LEAVING);
    assert_int_equal(pw_lifecycler_change_state(l, PW_INSTANCE_ACTIVE, now, &why), PW_EINVAL);
}

static void
test_set_read_only__on_and_off__its_second_only_grows(void **state)
{
    const struct pw_lifecycler_cfg cfg = classic();
    uint32_t writes;

    begin(&cfg);
    assert_int_equal(pw_lifecycler_set_read_only(l, true, now), 0);
    assert_true(me()->read_only);
    assert_int_equal(me()->read_only_updated, 1000000);
    writes = fake.writes;
    assert_int_equal(pw_lifecycler_set_read_only(l, true, now), 0);
    assert_int_equal(fake.writes, writes);
    assert_int_equal(pw_lifecycler_set_read_only(l, false, now), 0);
    assert_false(me()->read_only);
    assert_int_equal(me()->read_only_updated, 1000001);
    assert_int_equal(me()->state, PW_INSTANCE_ACTIVE);
}

static void
test_basic__life__registers_beats_and_is_removed(void **state)
{
    const struct pw_lifecycler_cfg cfg = basic();

    begin(&cfg);
    assert_int_equal(me()->state, PW_INSTANCE_ACTIVE);
    assert_int_equal(me()->token_count, 1);
    assert_int_equal(pw_lifecycler_leave(l, now), 0);
    assert_int_equal(me()->state, PW_INSTANCE_LEAVING);
    assert_int_equal(pw_lifecycler_unregister(l, now), 0);
    assert_int_equal(me()->state, PW_INSTANCE_LEFT);
}

static void
test_basic__known_before__keeps_tokens_and_registration(void **state)
{
    const struct pw_lifecycler_cfg cfg = basic();

    put("me", PW_INSTANCE_LEAVING, 2, 10);
    begin(&cfg);
    assert_int_equal(me()->state, PW_INSTANCE_ACTIVE);
    assert_int_equal(me()->token_count, 2);
    assert_int_equal(me()->registered, 777);
}

static void
test_basic__members_silent_for_long__are_forgotten_with_the_heartbeat(void **state)
{
    const struct pw_lifecycler_cfg cfg = basic();

    begin(&cfg);
    put("long", PW_INSTANCE_ACTIVE, 0, 596);
    put("short", PW_INSTANCE_ACTIVE, 0, 590);
    pass(PERIOD_MS);
    (void)pw_lifecycler_step(l, now);
    assert_int_equal(pw_ring_desc_find(&fake.ring, "long")->state, PW_INSTANCE_LEFT);
    assert_int_equal(pw_ring_desc_find(&fake.ring, "short")->state, PW_INSTANCE_ACTIVE);
}

static void
test_classic__members_silent_for_long__stay(void **state)
{
    const struct pw_lifecycler_cfg cfg = classic();

    begin(&cfg);
    put("long", PW_INSTANCE_ACTIVE, 0, 100000);
    pass(PERIOD_MS);
    (void)pw_lifecycler_step(l, now);
    assert_int_equal(pw_ring_desc_find(&fake.ring, "long")->state, PW_INSTANCE_ACTIVE);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(test_start__empty_ring_and_no_waits__is_active_in_one_change),
        TEST(test_start__join_after__is_pending_without_tokens_until_then),
        TEST(test_observe__tokens_still_ours__becomes_active),
        TEST(test_observe__token_lost_to_another__is_replaced_and_observed_again),
        TEST(test_start__left_leaving_with_too_few_tokens__is_active_and_keeps_what_it_had),
        TEST(test_start__left_leaving_with_too_many_tokens__drops_some),
        TEST(test_start__found_active__is_adopted),
        TEST(test_start__found_joining__begins_again),
        TEST(test_start__tombstone_of_the_same_second__comes_back),
        TEST(test_start__tokens_file__is_used_only_when_the_ring_knows_nothing),
        TEST(test_step__heartbeat_due__moves_the_timestamp_alone),
        TEST(test_step__forgotten_by_somebody__registers_anew),
        TEST(test_step__store_fails__tries_again_in_a_second),
        TEST(test_leave__in_the_second_of_a_heartbeat__is_seen_and_beats_on),
        TEST(test_unregister__after_leaving__is_left_and_silent),
        TEST(test_change_state__not_allowed__is_refused_in_the_words_of_stock),
        TEST(test_set_read_only__on_and_off__its_second_only_grows),
        TEST(test_basic__life__registers_beats_and_is_removed),
        TEST(test_basic__known_before__keeps_tokens_and_registration),
        TEST(test_basic__members_silent_for_long__are_forgotten_with_the_heartbeat),
        TEST(test_classic__members_silent_for_long__stay),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
