/* The store: edits of our own, pairs of others, who is told of what, and what is forgotten when. */
#include "ring/kv.h"

#include "pprof/wire.h"
#include "tests/support/cmocka_pw.h"

#include <stdio.h>

enum { NOW = 1700000000, LEFT_TIMEOUT = 300, OBSOLETE_TIMEOUT = 30, HISTORY_BYTES = 4096 };

static const char ring_key[] = "collectors/ring";
static const uint32_t tokens[] = {10, 20, 30};

/* A store and what it said. */
struct fixture {
    struct pw_kv *kv;
    uint32_t told, told_local, watched, instances;
    char last_watched[PW_KV_KEY_MAX + 1];
    struct pw_text pair; /* the last change as a pair */
};

static void
on_change(void *ctx, const struct pw_kv_change *change)
{
    struct fixture *fx = ctx;

    fx->told++;
    fx->told_local += change->local;
    fx->instances = change->desc->count;
    fx->pair.len = 0;
    pw_kv_put_pair(&fx->pair, change);
}

static void
on_key(void *ctx, const char *key)
{
    struct fixture *fx = ctx;

    fx->watched++;
    snprintf(fx->last_watched, sizeof(fx->last_watched), "%s", key);
}

static void
open_store(struct fixture *fx)
{
    const struct pw_kv_cfg cfg = {.left_timeout_s = LEFT_TIMEOUT,
                                  .obsolete_timeout_s = OBSOLETE_TIMEOUT,
                                  .history_bytes = HISTORY_BYTES};

    memset(fx, 0, sizeof(*fx));
    pw_text_init(&fx->pair, 1 << 20);
    assert_int_equal(pw_kv_create_ctl(&fx->kv, &cfg), 0);
    pw_kv_tell(fx->kv, on_change, fx);
    assert_int_equal(pw_kv_watch(fx->kv, on_key, fx), 0);
}

static void
close_store(struct fixture *fx)
{
    pw_kv_destroy_ctl(fx->kv);
    pw_text_fini(&fx->pair);
}

/* Two stores: a of ours, b of another member. */
static int
setup(void **state)
{
    static struct fixture fx[2];

    open_store(&fx[0]);
    open_store(&fx[1]);
    *state = fx;
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *fx = *state;

    close_store(&fx[0]);
    close_store(&fx[1]);
    return 0;
}

struct edit {
    const char *id;
    enum pw_instance_state state;
    int64_t at;
    bool remove;
};

static int
edit_one(void *arg, struct pw_ring_desc *d)
{
    const struct edit *e = arg;
    const struct pw_instance in = {.id = e->id,
                                   .addr = "a:1",
                                   .zone = "",
                                   .state = e->state,
                                   .timestamp = e->at,
                                   .token = tokens,
                                   .token_count = PW_ARRAY_LEN(tokens)};

    if (e->remove) {
        pw_ring_desc_remove(d, e->id);
        return 0;
    }
    return pw_ring_desc_put(d, &in);
}

static int
put_at(struct fixture *fx, const char *id, int64_t at)
{
    struct edit e = {.id = id, .state = PW_INSTANCE_ACTIVE, .at = at};

    return pw_kv_cas(fx->kv, ring_key, edit_one, &e, at);
}

static int
remove_at(struct fixture *fx, const char *id, int64_t at)
{
    struct edit e = {.id = id, .remove = true};

    return pw_kv_cas(fx->kv, ring_key, edit_one, &e, at);
}

static int
pass_on(const struct fixture *from, struct fixture *to, int64_t now)
{
    return pw_kv_merge_pair(to->kv, pw_slice(from->pair.ptr, from->pair.len), now);
}

static const struct pw_instance *
instance(const struct fixture *fx, const char *id)
{
    const struct pw_ring_desc *d = pw_kv_get(fx->kv, ring_key);

    return d == NULL ? NULL : pw_ring_desc_find(d, id);
}

/* --- Edits of our own ------------------------------------------------------------------------- */

static void
test_cas__new_instance__told_and_watched(void **state)
{
    struct fixture *fx = *state;

    assert_null(pw_kv_get(fx->kv, ring_key));
    assert_int_equal(put_at(fx, "a", NOW), 0);
    assert_int_equal(instance(fx, "a")->token_count, 3);
    assert_int_equal(fx->told_local, 1);
    assert_int_equal(fx->watched, 1);
    assert_string_equal(fx->last_watched, ring_key);
    assert_int_equal(pw_kv_entry(fx->kv, 0).version, 1);
}

static void
test_cas__only_the_changed_instance__is_told(void **state)
{
    struct fixture *fx = *state;

    assert_int_equal(put_at(fx, "a", NOW), 0);
    assert_int_equal(put_at(fx, "b", NOW + 1), 0);
    assert_int_equal(fx->instances, 1);
    assert_int_equal(pw_kv_get(fx->kv, ring_key)->count, 2);
}

static void
test_cas__same_second__try_again(void **state)
{
    struct fixture *fx = *state;
    struct edit leaving = {.id = "a", .state = PW_INSTANCE_LEAVING, .at = NOW};

    assert_int_equal(put_at(fx, "a", NOW), 0);
    assert_int_equal(put_at(fx, "a", NOW), 0); /* edits nothing */
    assert_int_equal(pw_kv_cas(fx->kv, ring_key, edit_one, &leaving, NOW), PW_EAGAIN);
    leaving.at = NOW + 1;
    assert_int_equal(pw_kv_cas(fx->kv, ring_key, edit_one, &leaving, NOW + 1), 0);
    assert_int_equal(fx->told, 2);
    assert_int_equal(pw_kv_stats(fx->kv)->cas_unchanged, 1);
}

static int
refuse(void *arg, struct pw_ring_desc *d)
{
    pw_ring_desc_remove(d, "a");
    return PW_EPERM;
}

static void
test_cas__edit_fails__nothing_happens(void **state)
{
    struct fixture *fx = *state;

    assert_int_equal(put_at(fx, "a", NOW), 0);
    assert_int_equal(pw_kv_cas(fx->kv, ring_key, refuse, NULL, NOW + 1), PW_EPERM);
    assert_int_equal(instance(fx, "a")->state, PW_INSTANCE_ACTIVE);
    assert_int_equal(fx->told, 1);
}

static int
expect_empty(void *arg, struct pw_ring_desc *d)
{
    assert_int_equal(d->count, 0);
    return 0;
}

static void
test_cas__removed__left_that_edits_do_not_see(void **state)
{
    struct fixture *fx = *state;

    assert_int_equal(put_at(fx, "a", NOW), 0);
    assert_int_equal(remove_at(fx, "a", NOW + 5), 0);
    assert_int_equal(instance(fx, "a")->state, PW_INSTANCE_LEFT);
    assert_int_equal(instance(fx, "a")->token_count, 0);
    assert_int_equal(instance(fx, "a")->timestamp, NOW + 5);
    assert_int_equal(pw_kv_cas(fx->kv, ring_key, expect_empty, NULL, NOW + 6), 0);
}

static void
test_expire__tombstone_past_its_time__dropped(void **state)
{
    struct fixture *fx = *state;

    assert_int_equal(put_at(fx, "a", NOW), 0);
    assert_int_equal(remove_at(fx, "a", NOW), 0);
    pw_kv_expire(fx->kv, NOW + LEFT_TIMEOUT);
    assert_non_null(instance(fx, "a"));
    pw_kv_expire(fx->kv, NOW + LEFT_TIMEOUT + 1);
    assert_null(instance(fx, "a"));
}

/* --- Pairs of others ---------------------------------------------------------------------------- */

static void
test_merge_pair__news__taken_once_and_told_on(void **state)
{
    struct fixture *a = *state, *b = a + 1;

    assert_int_equal(put_at(a, "a", NOW), 0);
    assert_int_equal(pass_on(a, b, NOW), 0);
    assert_int_equal(pass_on(a, b, NOW), 0);
    assert_true(pw_ring_desc_equal(pw_kv_get(a->kv, ring_key), pw_kv_get(b->kv, ring_key)));
    assert_int_equal(b->told, 1);
    assert_int_equal(b->told_local, 0);
    assert_int_equal(b->watched, 1);
}

static void
test_merge_pair__unknown_instances_missing__not_removed(void **state)
{
    struct fixture *a = *state, *b = a + 1;

    assert_int_equal(put_at(b, "b", NOW), 0);
    assert_int_equal(put_at(a, "a", NOW), 0);
    assert_int_equal(pass_on(a, b, NOW), 0);
    assert_int_equal(instance(b, "b")->state, PW_INSTANCE_ACTIVE);
    assert_int_equal(pw_kv_get(b->kv, ring_key)->count, 2);
}

static void
test_merge_pair__old_tombstone__not_stored(void **state)
{
    struct fixture *a = *state, *b = a + 1;

    assert_int_equal(put_at(a, "a", NOW), 0);
    assert_int_equal(remove_at(a, "a", NOW), 0);
    assert_int_equal(pass_on(a, b, NOW + LEFT_TIMEOUT + 1), 0);
    assert_null(instance(b, "a"));
    assert_int_equal(b->told, 0);
}

static void
put_raw(struct pw_text *t, const char *key, const char *codec, int64_t deleted_ms)
{
    t->len = 0;
    pw_wire_put_bytes(t, 1, pw_slice_str(key));
    pw_wire_put_bytes(t, 3, pw_slice_str(codec));
    pw_wire_put_tag_varint(t, 4, deleted_ms != 0);
    pw_wire_put_tag_varint(t, 5, (uint64_t)deleted_ms);
}

static void
test_merge_pair__deleted__gone_until_newer_then_purged(void **state)
{
    struct fixture *a = *state, *b = a + 1;
    struct pw_text raw;

    pw_text_init(&raw, 1000);
    assert_int_equal(put_at(a, "a", NOW), 0);
    assert_int_equal(pass_on(a, b, NOW), 0);
    put_raw(&raw, ring_key, "ringDesc", NOW * 1000LL);
    assert_int_equal(pw_kv_merge_pair(b->kv, pw_slice(raw.ptr, raw.len), NOW), 0);
    assert_null(pw_kv_get(b->kv, ring_key));
    assert_int_equal(b->told, 2);
    assert_int_equal(pw_kv_merge_pair(b->kv, pw_slice(raw.ptr, raw.len), NOW), 0);
    assert_int_equal(b->told, 2);
    assert_int_equal(pass_on(a, b, NOW), 0); /* from before the deletion */
    assert_null(pw_kv_get(b->kv, ring_key));
    pw_kv_expire(b->kv, NOW + OBSOLETE_TIMEOUT);
    assert_int_equal(pw_kv_count(b->kv), 1);
    pw_kv_expire(b->kv, NOW + OBSOLETE_TIMEOUT + 1);
    assert_int_equal(pw_kv_count(b->kv), 0);
    pw_text_fini(&raw);
}

static void
test_cas__deleted_key__lives_again_everywhere(void **state)
{
    struct fixture *a = *state, *b = a + 1;
    struct pw_text raw;

    pw_text_init(&raw, 1000);
    put_raw(&raw, ring_key, "ringDesc", NOW * 1000LL);
    assert_int_equal(pw_kv_merge_pair(a->kv, pw_slice(raw.ptr, raw.len), NOW), 0);
    assert_int_equal(pw_kv_merge_pair(b->kv, pw_slice(raw.ptr, raw.len), NOW), 0);
    assert_int_equal(put_at(a, "a", NOW), 0);
    assert_non_null(instance(a, "a"));
    assert_int_equal(pass_on(a, b, NOW), 0);
    assert_non_null(instance(b, "a"));
    pw_text_fini(&raw);
}

static void
test_merge_pair__unknown_key__stored_and_relayed(void **state)
{
    struct fixture *a = *state, *b = a + 1;
    struct edit e = {.id = "a", .at = NOW};

    assert_int_equal(pw_kv_cas(a->kv, "collectors/pyrowire-links", edit_one, &e, NOW), 0);
    assert_int_equal(pass_on(a, b, NOW), 0);
    assert_non_null(pw_kv_get(b->kv, "collectors/pyrowire-links"));
    assert_int_equal(b->told, 1);
}

static void
test_merge_pair__broken_or_foreign__counted_and_dropped(void **state)
{
    struct fixture *fx = *state;
    struct pw_text raw;

    pw_text_init(&raw, 1000);
    put_raw(&raw, "collectors/versions", "versions", 0);
    assert_int_equal(pw_kv_merge_pair(fx->kv, pw_slice(raw.ptr, raw.len), NOW), PW_ENOTSUP);
    put_raw(&raw, "", "ringDesc", 0);
    assert_int_equal(pw_kv_merge_pair(fx->kv, pw_slice(raw.ptr, raw.len), NOW), PW_EPROTO);
    assert_int_equal(pw_kv_merge_pair(fx->kv, PW_SLICE_LIT("\x0a\x7f!"), NOW), PW_EPROTO);
    put_raw(&raw, "k", "ringDesc", 0);
    pw_wire_put_bytes(&raw, 2, PW_SLICE_LIT("\x05\x00?")); /* snappy that is cut */
    assert_int_equal(pw_kv_merge_pair(fx->kv, pw_slice(raw.ptr, raw.len), NOW), PW_EPROTO);
    assert_int_equal(pw_kv_count(fx->kv), 0);
    assert_int_equal(pw_kv_stats(fx->kv)->pairs_broken, 3);
    assert_int_equal(pw_kv_stats(fx->kv)->pairs_unknown_codec, 1);
    pw_text_fini(&raw);
}

static void
test_merge_pair__too_many_keys__refused(void **state)
{
    struct fixture *fx = *state;
    struct pw_text raw;
    char key[32];

    pw_text_init(&raw, 1000);
    for (int i = 0; i <= PW_KV_KEYS_MAX; i++) {
        snprintf(key, sizeof(key), "key-%d", i);
        put_raw(&raw, key, "ringDesc", 0);
        assert_int_equal(pw_kv_merge_pair(fx->kv, pw_slice(raw.ptr, raw.len), NOW),
                         i < PW_KV_KEYS_MAX ? 0 : PW_EMSGSIZE);
    }
    assert_int_equal(pw_kv_count(fx->kv), PW_KV_KEYS_MAX);
    pw_text_fini(&raw);
}

/* --- The whole state -------------------------------------------------------------------------- */

static void
test_merge_state__of_another__same_store(void **state)
{
    struct fixture *a = *state, *b = a + 1;
    struct edit e = {.id = "d", .at = NOW};
    struct pw_text all;

    pw_text_init(&all, 1 << 20);
    assert_int_equal(put_at(a, "a", NOW), 0);
    assert_int_equal(pw_kv_cas(a->kv, "collectors/distributor", edit_one, &e, NOW), 0);
    pw_kv_put_state(a->kv, &all);
    assert_int_equal(pw_kv_merge_state(b->kv, pw_slice(all.ptr, all.len), NOW), 0);
    assert_int_equal(pw_kv_count(b->kv), 2);
    assert_true(pw_ring_desc_equal(pw_kv_get(a->kv, ring_key), pw_kv_get(b->kv, ring_key)));
    assert_int_equal(pw_kv_merge_state(b->kv, pw_slice(all.ptr, all.len - 1), NOW), PW_EPROTO);
    pw_text_fini(&all);
}

static void
check_message(const struct pw_history_entry *e, uint64_t id, uint64_t version, const char *instance)
{
    struct pw_kv_pair p;

    assert_non_null(e);
    assert_int_equal(e->id, id);
    assert_int_equal(e->version, version);
    assert_int_equal(pw_kv_read_pair(e->pair, &p), 0);
    assert_true(pw_slice_eq_str(p.key, ring_key));
    assert_int_equal(e->ids.len, instance == NULL ? 0 : strlen(instance) + 1);
    assert_true(instance == NULL || strcmp((const char *)e->ids.ptr, instance) == 0);
}

/* b hears twice of a's change, the second time nothing new, and then of an edit of its own nobody told it. */
static void
test_history__sent_and_received__with_what_they_changed(void **state)
{
    struct fixture *fx = *state, *b = fx + 1;
    const struct pw_history_entry *e;

    assert_int_equal(put_at(fx, "one", NOW), 0);
    e = pw_history_next(pw_kv_history_sent(fx->kv), NULL);
    check_message(e, 1, 1, "one");
    assert_int_equal(e->time_s, NOW);
    assert_null(pw_history_next(pw_kv_history_sent(fx->kv), e));
    assert_null(pw_history_next(pw_kv_history_received(fx->kv), NULL));
    assert_int_equal(pw_kv_merge_pair(b->kv, e->pair, NOW), 0);
    assert_int_equal(put_at(b, "two", NOW + 1), 0);
    assert_int_equal(pw_kv_merge_pair(b->kv, e->pair, NOW + 2), 0);
    e = pw_history_next(pw_kv_history_received(b->kv), NULL);
    check_message(e, 1, 1, "one");
    e = pw_history_next(pw_kv_history_received(b->kv), e);
    check_message(e, 2, 0, NULL);
    assert_null(pw_history_next(pw_kv_history_received(b->kv), e));
    e = pw_history_next(pw_kv_history_sent(b->kv), NULL);
    check_message(e, 1, 1, "one"); /* told on */
    e = pw_history_next(pw_kv_history_sent(b->kv), e);
    check_message(e, 2, 2, "two");
    pw_history_clear(pw_kv_history_sent(b->kv));
    assert_null(pw_history_next(pw_kv_history_sent(b->kv), NULL));
    assert_int_equal(put_at(b, "two", NOW + 3), 0);
    check_message(pw_history_next(pw_kv_history_sent(b->kv), NULL), 3, 3, "two");
}

static void
test_history__more_than_fits__the_newest_are_there(void **state)
{
    struct fixture *fx = *state;
    const struct pw_history *h = pw_kv_history_sent(fx->kv);
    const struct pw_history_entry *e = NULL;
    uint64_t expected;

    for (int i = 0; i < 200; i++) {
        assert_int_equal(put_at(fx, "one", NOW + i), 0);
        assert_true(h->bytes <= HISTORY_BYTES);
    }
    e = pw_history_next(h, NULL);
    assert_true(e->id > 1 && e->id <= 200);
    for (expected = e->id; e != NULL; e = pw_history_next(h, e)) {
        check_message(e, expected, expected, "one");
        expected++;
    }
    assert_int_equal(expected, 201);
}

/* The value of ring.md 4.9 has the form 72 snappy bytes: pair of 101 bytes for "collectors/ring". */
static void
test_put_pair__form_of_the_contract(void **state)
{
    static const uint8_t head[] = "\x0a\x0f"
                                  "collectors/ring\x12";
    static const uint8_t tail[] = "\x1a\x08ringDesc";
    struct fixture *fx = *state;

    assert_int_equal(put_at(fx, "a", NOW), 0);
    assert_memory_equal(fx->pair.ptr, head, sizeof(head) - 1);
    assert_memory_equal(fx->pair.ptr + fx->pair.len - (sizeof(tail) - 1), tail, sizeof(tail) - 1);
}

int
main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_cas__new_instance__told_and_watched),
        CASE(test_cas__only_the_changed_instance__is_told),
        CASE(test_cas__same_second__try_again),
        CASE(test_cas__edit_fails__nothing_happens),
        CASE(test_cas__removed__left_that_edits_do_not_see),
        CASE(test_expire__tombstone_past_its_time__dropped),
        CASE(test_merge_pair__news__taken_once_and_told_on),
        CASE(test_merge_pair__unknown_instances_missing__not_removed),
        CASE(test_merge_pair__old_tombstone__not_stored),
        CASE(test_merge_pair__deleted__gone_until_newer_then_purged),
        CASE(test_cas__deleted_key__lives_again_everywhere),
        CASE(test_merge_pair__unknown_key__stored_and_relayed),
        CASE(test_merge_pair__broken_or_foreign__counted_and_dropped),
        CASE(test_merge_pair__too_many_keys__refused),
        CASE(test_merge_state__of_another__same_store),
        CASE(test_history__sent_and_received__with_what_they_changed),
        CASE(test_history__more_than_fits__the_newest_are_there),
        CASE(test_put_pair__form_of_the_contract),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
