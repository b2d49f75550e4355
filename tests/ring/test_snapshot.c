/* What a snapshot says of a ring, and when the board lets a former one go. */
#include "ring/snapshot.h"

#include "tests/support/cmocka_pw.h"

static const uint32_t tokens[] = {10, 20};
static const struct pw_ring_version link_version = {1, 3};

static void
put(struct pw_ring_desc *d, const char *id, const char *zone, enum pw_instance_state state,
    int64_t at)
{
    const struct pw_instance in = {.id = id,
                                   .addr = "10.0.0.1:4040",
                                   .zone = zone,
                                   .state = state,
                                   .timestamp = at,
                                   .token = tokens,
                                   .token_count = 2,
                                   .version = &link_version,
                                   .version_count = 1};

    assert_int_equal(pw_ring_desc_put(d, &in), 0);
}

static struct pw_ring_snapshot *
make(int64_t at)
{
    const struct pw_ring_snapshot_cfg cfg = {.ring = {.replication_factor = 1}, .self = "a"};
    struct pw_ring_desc d = {0};
    struct pw_ring_snapshot *s = NULL;

    put(&d, "a", "", PW_INSTANCE_ACTIVE, at);
    assert_int_equal(pw_ring_snapshot_make_ctl(&s, &cfg, &d, NULL), 0);
    pw_ring_desc_fini(&d);
    return s;
}

static void
test_make__left_and_excluded_zones__are_not_there(void **state)
{
    static const char *const zones[] = {"bad"};
    const struct pw_ring_snapshot_cfg cfg = {.ring = {.replication_factor = 3},
                                             .self = "c",
                                             .excluded_zone = zones,
                                             .excluded_zones = 1};
    struct pw_ring_desc d = {0}, links = {0};
    struct pw_ring_snapshot *s;

    put(&d, "a", "good", PW_INSTANCE_ACTIVE, 1);
    put(&d, "b", "bad", PW_INSTANCE_ACTIVE, 1);
    put(&d, "c", "good", PW_INSTANCE_LEAVING, 1);
    put(&d, "d", "good", PW_INSTANCE_LEFT, 1);
    put(&links, "c", "", PW_INSTANCE_ACTIVE, 77);
    put(&links, "a", "", PW_INSTANCE_LEFT, 78);
    assert_int_equal(pw_ring_snapshot_make_ctl(&s, &cfg, &d, &links), 0);
    pw_ring_desc_fini(&d);
    pw_ring_desc_fini(&links);
    assert_int_equal(s->view->instance_count, 2);
    assert_int_equal(s->view->cfg.replication_factor, 3);
    assert_int_equal(s->self, 1);
    assert_null(s->link[0].addr);
    assert_string_equal(s->link[1].addr, "10.0.0.1:4040");
    assert_int_equal(s->link[1].version, 3);
    assert_int_equal(s->link[1].timestamp, 77);
    pw_ring_snapshot_free_ctl(s);
}

static void
test_make__process_not_in_the_ring__is_no_member(void **state)
{
    const struct pw_ring_snapshot_cfg cfg = {.self = "me"};
    struct pw_ring_desc d = {0};
    struct pw_ring_snapshot *s;

    assert_int_equal(pw_ring_snapshot_make_ctl(&s, &cfg, &d, NULL), 0);
    assert_int_equal(s->view->instance_count, 0);
    assert_int_equal(s->self, PW_RING_NOT_A_MEMBER);
    pw_ring_snapshot_free_ctl(s);
}

static void
test_read__before_the_first__is_null(void **state)
{
    struct pw_ring_board *b;

    assert_int_equal(pw_ring_board_create_ctl(&b), 0);
    assert_null(pw_ring_board_read(b, 0));
    assert_null(pw_ring_snapshot_acquire(b));
    pw_ring_board_publish_ctl(b, make(1));
    assert_int_equal(pw_ring_board_read(b, 0)->generation, 1);
    pw_ring_board_destroy_ctl(b);
}

static void
test_publish__former_one_still_read__stays_until_that_reader_reads_again(void **state)
{
    const struct pw_ring_snapshot *old;
    struct pw_ring_board *b;

    assert_int_equal(pw_ring_board_create_ctl(&b), 0);
    pw_ring_board_publish_ctl(b, make(1));
    old = pw_ring_board_read(b, 3);
    pw_ring_board_publish_ctl(b, make(2));
    assert_int_equal(pw_ring_board_sweep_ctl(b), 1);
    assert_int_equal(old->view->instance[0].timestamp, 1);
    assert_int_equal(pw_ring_board_read(b, 3)->view->instance[0].timestamp, 2);
    assert_int_equal(pw_ring_board_sweep_ctl(b), 0);
    pw_ring_board_destroy_ctl(b);
}

static void
test_publish__former_one_held__stays_until_released(void **state)
{
    const struct pw_ring_snapshot *held, *acquired;
    struct pw_ring_board *b;

    assert_int_equal(pw_ring_board_create_ctl(&b), 0);
    pw_ring_board_publish_ctl(b, make(1));
    held = pw_ring_board_read(b, 0);
    pw_ring_snapshot_hold(held);
    acquired = pw_ring_snapshot_acquire(b);
    assert_ptr_equal(held, acquired);
    pw_ring_board_publish_ctl(b, make(2));
    assert_int_equal(pw_ring_board_read(b, 0)->generation, 2);
    assert_int_equal(pw_ring_board_sweep_ctl(b), 1);
    pw_ring_snapshot_release(held);
    assert_int_equal(pw_ring_board_sweep_ctl(b), 1);
    pw_ring_snapshot_release(acquired);
    assert_int_equal(pw_ring_board_sweep_ctl(b), 0);
    pw_ring_board_destroy_ctl(b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_make__left_and_excluded_zones__are_not_there),
        cmocka_unit_test(test_make__process_not_in_the_ring__is_no_member),
        cmocka_unit_test(test_read__before_the_first__is_null),
        cmocka_unit_test(test_publish__former_one_still_read__stays_until_that_reader_reads_again),
        cmocka_unit_test(test_publish__former_one_held__stays_until_released),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
