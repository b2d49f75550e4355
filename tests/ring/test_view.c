/* What the vectors do not have: rings that are refused, empty ones, and the edges of the search. */
#include "ring/placement.h"
#include "ring/replication_set.h"
#include "ring/shuffle_shard.h"

#include "tests/support/cmocka_pw.h"

static const struct pw_ring_cfg cfg = {.replication_factor = 3, .heartbeat_timeout = 60};
static const uint32_t low[] = {10, 20}, high[] = {30, 4000000000}, down[] = {2, 1};

static struct pw_instance
make(const char *id, const uint32_t *token, uint32_t count)
{
    return (struct pw_instance){
        .id = id, .addr = id, .zone = "", .timestamp = 1000, .token = token, .token_count = count};
}

static void
test_view_make__tokens_not_ascending_or_id_twice__is_refused(void **state)
{
    const struct pw_instance descending = make("a", down, 2);
    const struct pw_instance twice[] = {make("a", low, 2), make("a", high, 2)};
    struct pw_ring_view *v;

    assert_int_equal(pw_ring_view_make_ctl(&v, &cfg, &descending, 1), PW_EINVAL);
    assert_int_equal(pw_ring_view_make_ctl(&v, &cfg, twice, 2), PW_EINVAL);
}

static void
test_view_make__left_instance__is_left_out(void **state)
{
    struct pw_instance two[] = {make("b", low, 2), make("a", high, 2)};
    struct pw_ring_view *v;

    two[0].state = PW_INSTANCE_LEFT;
    assert_int_equal(pw_ring_view_make_ctl(&v, &cfg, two, 2), 0);
    assert_int_equal(v->instance_count, 1);
    assert_int_equal(v->token_count, 2);
    assert_string_equal(v->instance[0].id, "a");
    pw_ring_view_free_ctl(v);
}

static void
test_view_make__too_many_zones__is_refused(void **state)
{
    struct pw_instance many[PW_RING_ZONES_MAX + 1];
    char name[PW_RING_ZONES_MAX + 1][8];
    struct pw_ring_view *v;

    for (int i = 0; i <= PW_RING_ZONES_MAX; i++) {
        name[i][0] = (char)('0' + i / 10);
        name[i][1] = (char)('0' + i % 10);
        name[i][2] = 0;
        many[i] = make(name[i], NULL, 0);
        many[i].zone = name[i];
    }
    assert_int_equal(pw_ring_view_make_ctl(&v, &cfg, many, PW_RING_ZONES_MAX), 0);
    pw_ring_view_free_ctl(v);
    assert_int_equal(pw_ring_view_make_ctl(&v, &cfg, many, PW_RING_ZONES_MAX + 1), PW_EMSGSIZE);
}

static void
test_search__key_at_a_token_and_past_the_last__belongs_to_the_next(void **state)
{
    const struct pw_ring_token token[] = {{10, 0}, {20, 1}, {4000000000, 2}};

    assert_int_equal(pw_ring_search(token, 3, 9), 0);
    assert_int_equal(pw_ring_search(token, 3, 10), 1);
    assert_int_equal(pw_ring_search(token, 3, 3999999999), 2);
    assert_int_equal(pw_ring_search(token, 3, 4000000000), 0);
    assert_int_equal(pw_ring_search(token, 3, UINT32_MAX), 0);
    assert_int_equal(pw_ring_search(token, 0, 1), 0);
}

static void
test_get__empty_ring_and_instances_without_tokens__say_so(void **state)
{
    const struct pw_instance bare = make("a", NULL, 0);
    struct pw_replication_set set;
    struct pw_ring_view *v;
    char buf[64];
    struct pw_text why;

    for (uint32_t n = 0; n < 2; n++) {
        assert_int_equal(pw_ring_view_make_ctl(&v, &cfg, &bare, n), 0);
        pw_text_fixed(&why, buf, sizeof(buf));
        assert_int_equal(pw_ring_get(v, 5, PW_RING_WRITE, 1000, &set, &why), PW_ENOENT);
        assert_int_equal(why.len, strlen("empty ring"));
        assert_memory_equal(buf, "empty ring", why.len);
        pw_ring_view_free_ctl(v);
    }
}

static void
test_get__heartbeat_at_the_timeout__is_healthy_and_one_later_is_not(void **state)
{
    const struct pw_instance two[] = {make("a", low, 2), make("b", high, 2)};
    struct pw_replication_set set;
    struct pw_ring_view *v;

    assert_int_equal(pw_ring_view_make_ctl(&v, &cfg, two, 2), 0);
    assert_int_equal(pw_ring_get(v, 5, PW_RING_WRITE, 1060, &set, NULL), 0);
    assert_int_equal(set.count, 2);
    assert_int_equal(set.max_errors, 0);
    assert_int_equal(pw_ring_get(v, 5, PW_RING_WRITE, 1061, &set, NULL), PW_EAGAIN);
    assert_int_equal(set.count, 0);
    pw_ring_view_free_ctl(v);
}

static void
test_placement__nobody_is_fresh__has_no_shard(void **state)
{
    const struct pw_instance one = make("a", low, 2);
    struct pw_distribution d;
    struct pw_placement p;
    struct pw_ring_view *v;
    uint32_t i;

    assert_int_equal(pw_ring_view_make_ctl(&v, &cfg, &one, 1), 0);
    assert_int_equal(pw_distribution_make_ctl(&d, v, 2000), 0);
    pw_placement_of(&d, &(struct pw_placement_key){.dataset_shards = 1}, &p);
    assert_int_equal(p.shard, 0);
    assert_false(pw_placement_instance(&d, &p, 0, &i));
    pw_distribution_free_ctl(&d);
    pw_ring_view_free_ctl(v);
}

static void
test_shuffle_shard__larger_than_the_ring__is_the_ring(void **state)
{
    const struct pw_instance two[] = {make("a", low, 2), make("b", high, 2)};
    struct pw_ring_view *v, *shard;

    assert_int_equal(pw_ring_view_make_ctl(&v, &cfg, two, 2), 0);
    assert_int_equal(pw_shuffle_shard_ctl(&shard, v, "anonymous", INT64_MAX / 2, 0, 1000), 0);
    assert_int_equal(shard->instance_count, 2);
    pw_ring_view_free_ctl(shard);
    pw_ring_view_free_ctl(v);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_view_make__tokens_not_ascending_or_id_twice__is_refused),
        cmocka_unit_test(test_view_make__left_instance__is_left_out),
        cmocka_unit_test(test_view_make__too_many_zones__is_refused),
        cmocka_unit_test(test_search__key_at_a_token_and_past_the_last__belongs_to_the_next),
        cmocka_unit_test(test_get__empty_ring_and_instances_without_tokens__say_so),
        cmocka_unit_test(test_get__heartbeat_at_the_timeout__is_healthy_and_one_later_is_not),
        cmocka_unit_test(test_placement__nobody_is_fresh__has_no_shard),
        cmocka_unit_test(test_shuffle_shard__larger_than_the_ring__is_the_ring),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
