/* The fake that tests of callers link instead of the protocol keeps the promises of peer_link.h. */
#include "tests/support/cmocka_pw.h"
#include "tests/support/fake_link.h"

struct seen {
    uint32_t done;
    uint64_t cookie;
    int status;
    uint32_t requests;
    struct pw_link_from from;
    bool up;
};

static void
on_done(void *ctx, uint64_t cookie, int status, struct pw_slice text)
{
    struct seen *s = ctx;

    (void)text;
    s->done++;
    s->cookie = cookie;
    s->status = status;
}

static void
on_request(void *ctx, struct pw_link_from from, struct pw_slice bytes)
{
    struct seen *s = ctx;

    assert_true(pw_slice_eq_str(bytes, "ask"));
    s->requests++;
    s->from = from;
}

static void
on_peer(void *ctx, uint32_t peer, bool up)
{
    struct seen *s = ctx;

    assert_int_equal(peer, 0);
    s->up = up;
}

static struct pw_link *
created(struct seen *s)
{
    struct pw_link_cfg cfg = {
        .app = {.ctx = s, .on_done = on_done, .on_request = on_request, .on_peer = on_peer}};
    struct pw_link *l = pw_link_create_ctl(&cfg, 0, NULL);
    struct pw_link_addr addr = {.port = 1};

    assert_int_equal(pw_link_open(l, "b", &addr), 0);
    assert_int_equal(pw_link_open(l, "b", &addr), PW_EEXIST);
    return l;
}

static void
test_pw_link_call__down_up_down__refused_answered_dead(void **state)
{
    struct seen s = {0};
    struct pw_link *l = created(&s);
    const struct pw_slice parts[] = {PW_SLICE_LIT("ab"), PW_SLICE_LIT("c")};

    (void)state;
    assert_int_equal(pw_link_call(l, 0, parts, 2, 7), PW_ECONNRESET);
    pw_fake_link_up(l, 0, true);
    assert_true(s.up);
    assert_int_equal(pw_link_call(l, 0, parts, 2, 7), 0);
    assert_int_equal(pw_link_call(l, 0, parts, 1, 8), 0);
    assert_int_equal(pw_link_call(l, 0, parts, 1, 9), 0);
    assert_true(pw_slice_eq_str(
        pw_slice(pw_fake_link_call(l, 0)->bytes, pw_fake_link_call(l, 0)->len), "abc"));
    assert_true(pw_fake_link_answer(l, 0, 200, ""));
    assert_int_equal(s.cookie, 7);
    assert_int_equal(s.status, 200);
    assert_int_equal(pw_link_cancel(l, 8), 0);
    assert_int_equal(pw_link_cancel(l, 8), PW_ENOENT);
    pw_fake_link_up(l, 0, false);
    assert_int_equal(s.done, 2);
    assert_int_equal(s.cookie, 9);
    assert_int_equal(s.status, PW_LINK_DEAD);
    pw_link_destroy_ctl(l);
}

static void
test_pw_link_reply__twice__second_is_refused(void **state)
{
    struct seen s = {0};
    struct pw_link *l = created(&s);
    uint32_t r = pw_fake_link_request(l, "b", PW_SLICE_LIT("ask"));

    (void)state;
    assert_int_equal(s.requests, 1);
    assert_null(pw_fake_link_reply(l, r));
    assert_string_equal(pw_link_from_id(l, s.from), "b");
    assert_int_equal(pw_link_reply(l, s.from, 503, PW_SLICE_LIT("busy")), 0);
    assert_int_equal(pw_link_reply(l, s.from, 200, PW_SLICE_LIT("")), PW_ENOENT);
    assert_int_equal(pw_fake_link_reply(l, r)->status, 503);
    assert_string_equal(pw_fake_link_reply(l, r)->text, "busy");
    pw_link_destroy_ctl(l);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pw_link_call__down_up_down__refused_answered_dead),
        cmocka_unit_test(test_pw_link_reply__twice__second_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
