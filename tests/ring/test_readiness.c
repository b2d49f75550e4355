/* /ready's words about the ring, and when they end. */
#include "ring/readiness.h"

#include "tests/support/cmocka_pw.h"

static const uint32_t token[] = {1};
static struct pw_readiness r;
static struct pw_ring_desc d;

static void
put(const char *id, enum pw_instance_state state, int64_t at, uint32_t tokens)
{
    const struct pw_instance in = {.id = id,
                                   .addr = id,
                                   .zone = "",
                                   .state = state,
                                   .timestamp = at,
                                   .token = token,
                                   .token_count = tokens};

    assert_int_equal(pw_ring_desc_put(&d, &in), 0);
}

/* What is said at second 1000, `ms` on the monotonic clock; "" when ready. */
static void
assert_says(int64_t ms, const char *want)
{
    const struct pw_ring_snapshot_cfg cfg = {.ring = {.heartbeat_timeout = 60}, .self = "me"};
    struct pw_ring_snapshot *s;
    char bytes[256];
    struct pw_text why;

    pw_text_fixed(&why, bytes, sizeof(bytes) - 1);
    assert_int_equal(pw_ring_snapshot_make_ctl(&s, &cfg, &d, NULL), 0);
    assert_int_equal(pw_readiness_check(&r, s, 1000, ms, &why), want[0] == 0);
    bytes[why.len] = 0;
    assert_string_equal(bytes, want);
    pw_ring_snapshot_free_ctl(s);
}

static int
setup(void **state)
{
    memset(&r, 0, sizeof(r));
    r.cfg = (struct pw_readiness_cfg){
        .id = "me", .heartbeat_timeout_s = 60, .min_ready_ms = 15000, .check_all = true};
    return 0;
}

static int
teardown(void **state)
{
    pw_ring_desc_fini(&d);
    return 0;
}

static void
test_check__no_ring_or_not_in_it_or_without_tokens__says_so(void **state)
{
    char bytes[64];
    struct pw_text why;

    pw_text_fixed(&why, bytes, sizeof(bytes));
    assert_false(pw_readiness_check(&r, NULL, 1000, 1, &why));
    assert_memory_equal(bytes, "no ring returned from the KV store", why.len);
    assert_says(1, "instance me not found in the ring");
    put("me", PW_INSTANCE_PENDING, 1000, 0);
    assert_says(1, "this instance owns no tokens");
}

static void
test_check__alone_and_active__is_ready_at_once(void **state)
{
    put("me", PW_INSTANCE_ACTIVE, 1000, 1);
    assert_says(0, "");
}

static void
test_check__with_others__waits_from_the_first_time_asked(void **state)
{
    put("me", PW_INSTANCE_ACTIVE, 1000, 1);
    put("you", PW_INSTANCE_ACTIVE, 940, 0);
    assert_says(5000, "waiting for 15s after being ready");
    assert_says(19999, "waiting for 15s after being ready");
    assert_says(20000, "");
    put("you", PW_INSTANCE_LEAVING, 940, 0); /* latched */
    assert_says(20001, "");
}

static void
test_check__other_unhealthy__starts_the_wait_anew(void **state)
{
    r.cfg.min_ready_ms = 1500;
    put("me", PW_INSTANCE_ACTIVE, 1000, 1);
    put("you", PW_INSTANCE_ACTIVE, 1000, 0);
    assert_says(5000, "waiting for 1.5s after being ready");
    put("you", PW_INSTANCE_ACTIVE, 939, 0);
    assert_says(6000, "instance you past heartbeat timeout");
    put("you", PW_INSTANCE_JOINING, 1000, 0);
    assert_says(7000, "instance you in state JOINING");
    put("you", PW_INSTANCE_ACTIVE, 1000, 0);
    assert_says(8000, "waiting for 1.5s after being ready");
    assert_says(9500, "");
}

static void
test_check__others_not_to_be_checked__only_we_count(void **state)
{
    r.cfg.check_all = false;
    r.cfg.min_ready_ms = 0;
    put("me", PW_INSTANCE_JOINING, 1000, 1);
    put("you", PW_INSTANCE_LEAVING, 1, 0);
    assert_says(1, "instance me in state JOINING");
    put("me", PW_INSTANCE_ACTIVE, 1000, 1);
    assert_says(1, "");
}

static void
test_writable__nobody_or_nobody_healthy__says_so(void **state)
{
    const struct pw_ring_snapshot_cfg cfg = {.ring = {.heartbeat_timeout = 60}, .self = ""};
    struct pw_ring_snapshot *s;
    char bytes[64];
    struct pw_text why;

    pw_text_fixed(&why, bytes, sizeof(bytes));
    assert_false(pw_readiness_writable(NULL, 1000, &why));
    assert_memory_equal(bytes, "ingester ring: empty ring", why.len);
    put("a", PW_INSTANCE_LEAVING, 1000, 1);
    put("b", PW_INSTANCE_ACTIVE, 900, 1);
    assert_int_equal(pw_ring_snapshot_make_ctl(&s, &cfg, &d, NULL), 0);
    why.len = 0;
    assert_false(pw_readiness_writable(s, 1000, &why));
    assert_memory_equal(bytes, "ingester ring has no healthy instances", why.len);
    assert_true(pw_readiness_writable(s, 960, &why));
    pw_ring_snapshot_free_ctl(s);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(test_check__no_ring_or_not_in_it_or_without_tokens__says_so),
        TEST(test_check__alone_and_active__is_ready_at_once),
        TEST(test_check__with_others__waits_from_the_first_time_asked),
        TEST(test_check__other_unhealthy__starts_the_wait_anew),
        TEST(test_check__others_not_to_be_checked__only_we_count),
        TEST(test_writable__nobody_or_nobody_healthy__says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
