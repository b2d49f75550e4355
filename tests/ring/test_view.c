/* What the vectors do not have: rings that are refused, empty ones, and the edges of the search. */
#include "ring/placement.h"
#include "ring/replication_set.h"
#include "ring/shuffle_shard.h"

#include "tests/support/cmocka_pw.h"

#include <stdio.h>
#include <stdlib.h>

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

/* --- A shard without a view of its own: the same answers as from the view that pw_shuffle_shard_ctl makes --- */

enum { MANY = 24, TOKENS_EACH = 8 };

static uint64_t
next(uint64_t *x) /* splitmix64 */
{
    uint64_t z = *x += 0x9E3779B97F4A7C15ULL;

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31);
}

static int
by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

struct many {
    struct pw_instance in[MANY];
    char id[MANY][8];
    uint32_t token[MANY][TOKENS_EACH];
    struct pw_ring_view *view;
};

static void
many_make(struct many *m, uint64_t *seed, bool zones)
{
    static const char *const zone[] = {"", "a", "b", "c"};
    const struct pw_ring_cfg c = {.replication_factor = 1 + (uint32_t)(next(seed) % 3),
                                  .zone_awareness = zones,
                                  .heartbeat_timeout = 60};
    uint32_t n = 1 + (uint32_t)(next(seed) % MANY);

    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t k = 0; k < TOKENS_EACH; k++) {
            m->token[i][k] = (uint32_t)next(seed) / (MANY + 1) * (MANY + 1) + i;
        }
        qsort(m->token[i], TOKENS_EACH, sizeof(uint32_t), by_value);
        (void)snprintf(m->id[i], sizeof(m->id[i]), "i%u", i);
        m->in[i] = make(m->id[i], m->token[i], next(seed) % 9 == 0 ? 0 : TOKENS_EACH);
        m->in[i].zone = zone[zones ? 1 + next(seed) % 3 : 0];
        m->in[i].read_only = next(seed) % 6 == 0;
        m->in[i].state = next(seed) % 8 == 0 ? PW_INSTANCE_LEAVING : PW_INSTANCE_ACTIVE;
        m->in[i].timestamp = next(seed) % 8 == 0 ? 900 : 1000;
    }
    assert_int_equal(pw_ring_view_make_ctl(&m->view, &c, m->in, n), 0);
}

static void
expect_same(const struct pw_ring_view *ring, const struct pw_ring_shard *shard,
            const struct pw_ring_view *sub, uint32_t key)
{
    struct pw_replication_set got, want;
    char got_text[1024], want_text[1024];
    struct pw_text got_why, want_why;
    int rc;

    pw_text_fixed(&got_why, got_text, sizeof(got_text));
    pw_text_fixed(&want_why, want_text, sizeof(want_text));
    rc = pw_ring_get(sub, key, PW_RING_WRITE, 1000, &want, &want_why);
    assert_int_equal(pw_ring_get_in(ring, shard, key, PW_RING_WRITE, 1000, &got, &got_why), rc);
    assert_int_equal(got_why.len, want_why.len);
    assert_memory_equal(got_text, want_text, want_why.len);
    assert_int_equal(got.count, want.count);
    assert_int_equal(got.max_errors, want.max_errors);
    for (uint32_t i = 0; i < got.count; i++) {
        assert_string_equal(ring->instance[got.instance[i]].id, sub->instance[want.instance[i]].id);
    }
}

static void
test_get_in__shards_of_any_ring__as_from_a_view_of_the_members(void **state)
{
    uint64_t seed = 20261121;

    (void)state;
    for (uint32_t round = 0; round < 400; round++) {
        struct many m;
        struct pw_ring_shard shard;
        struct pw_ring_view *sub;
        char tenant[16];
        int64_t size = (int64_t)(next(&seed) % 8);

        many_make(&m, &seed, round % 2 == 0);
        (void)snprintf(tenant, sizeof(tenant), "tenant-%u", round);
        pw_shuffle_shard_pick(&shard, m.view, pw_slice_str(tenant), size);
        assert_int_equal(pw_shuffle_shard_ctl(&sub, m.view, tenant, size, 0, 1000), 0);
        assert_int_equal(shard.count, sub->instance_count);
        for (uint32_t k = 0; k < 50; k++) {
            expect_same(m.view, &shard, sub, (uint32_t)next(&seed));
        }
        pw_ring_view_free_ctl(sub);
        pw_ring_view_free_ctl(m.view);
    }
}

static void
test_view_make__heartbeats_and_states_change__shape_stays(void **state)
{
    struct pw_instance two[] = {make("a", low, 2), make("b", high, 2)};
    struct pw_ring_view *v;
    uint64_t shape;

    (void)state;
    assert_int_equal(pw_ring_view_make_ctl(&v, &cfg, two, 2), 0);
    shape = v->shape;
    assert_int_not_equal(shape, 0);
    assert_int_equal(v->read_only_count, 0);
    pw_ring_view_free_ctl(v);
    two[0].timestamp++;
    two[1].state = PW_INSTANCE_LEAVING;
    assert_int_equal(pw_ring_view_make_ctl(&v, &cfg, two, 2), 0);
    assert_true(v->shape == shape);
    pw_ring_view_free_ctl(v);
    two[1].read_only = true;
    assert_int_equal(pw_ring_view_make_ctl(&v, &cfg, two, 2), 0);
    assert_true(v->shape != shape);
    assert_int_equal(v->read_only_count, 1);
    pw_ring_view_free_ctl(v);
    two[1] = make("b", high, 1);
    assert_int_equal(pw_ring_view_make_ctl(&v, &cfg, two, 2), 0);
    assert_true(v->shape != shape);
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
        cmocka_unit_test(test_get_in__shards_of_any_ring__as_from_a_view_of_the_members),
        cmocka_unit_test(test_view_make__heartbeats_and_states_change__shape_stays),
        cmocka_unit_test(test_shuffle_shard__larger_than_the_ring__is_the_ring),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
