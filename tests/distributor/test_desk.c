/* Long work in pieces: what is parked, what waits, who is let in, and what is left when a connection dies in
 * the middle. Time passes by being looked at (harness.h), so the numbers are exact. */
#include "tests/distributor/harness.h"

#include "base/limits.h"
#include "pprof/wire.h"
#include "tests/pprof/hostile.h"
#include "tests/support/cmocka_pw.h"

#include <stdio.h>
#include <stdlib.h>

enum { SHAPE_TWO_FRAMES = 2, SHAPE_LABEL_SETS = 5, SHAPE_STRINGS = 11, BIG = 300 << 10 };

static const char *const header[] = {"Content-Type", "application/proto", NULL};

struct fixture {
    struct pw_t t;
    struct pw_t_reply reply[PW_T_CONNS_MAX];
    struct pw_text big, small; /* push bodies */
};

/* A push of one hostile profile. */
static void
make_push(struct pw_text *out, uint32_t shape, size_t bytes)
{
    struct pw_text profile, sample, series;

    pw_text_init(&profile, 64 << 20);
    pw_text_init(&sample, 64 << 20);
    pw_text_init(&series, 64 << 20);
    (void)hostile_profile(&profile, shape, bytes);
    pw_wire_put_bytes(&sample, 1, pw_slice(profile.ptr, profile.len));
    pw_t_put_label(&series, "__name__", "process_cpu");
    pw_t_put_label(&series, "service_name", "svc");
    pw_wire_put_bytes(&series, 2, pw_slice(sample.ptr, sample.len));
    pw_text_init(out, 64 << 20);
    pw_wire_put_bytes(out, 1, pw_slice(series.ptr, series.len));
    pw_text_fini(&profile);
    pw_text_fini(&sample);
    pw_text_fini(&series);
}

static int
set_up(void **state)
{
    struct fixture *x = calloc(1, sizeof(*x));

    make_push(&x->big, SHAPE_TWO_FRAMES, BIG);
    make_push(&x->small, SHAPE_TWO_FRAMES, 400);
    for (uint32_t i = 0; i < PW_T_CONNS_MAX; i++) {
        x->reply[i].body = malloc(PW_T_REPLY_MAX + 1);
    }
    pw_t_up(&x->t, &(struct pw_t_cfg){.slice_us = 1,
                                      .scratch_bytes = 512 << 20,
                                      .bulk_bytes = 64 << 20,
                                      .lane_bytes = 4 << 20});
    *state = x;
    return 0;
}

static int
tear_down(void **state)
{
    struct fixture *x = *state;

    pw_t_down(&x->t);
    pw_text_fini(&x->big);
    pw_text_fini(&x->small);
    for (uint32_t i = 0; i < PW_T_CONNS_MAX; i++) {
        free(x->reply[i].body);
    }
    free(x);
    return 0;
}

static void
send_body(struct fixture *x, uint32_t conn, const struct pw_text *body, uint32_t address)
{
    pw_t_send_on(&x->t, conn,
                 &(struct pw_t_request){.path = "/push.v1.PusherService/Push",
                                        .header = header,
                                        .body = body->ptr,
                                        .body_len = body->len,
                                        .piece = 1400,
                                        .address = address},
                 &x->reply[conn]);
}

static double
metric(struct fixture *x, const char *name)
{
    static char buf[256 << 10];
    struct pw_text t;
    char line[128];
    const char *at;

    pw_text_fixed(&t, buf, sizeof(buf) - 1);
    pw_distributor_metrics(&x->t.d, 1, &t);
    assert_false(t.failed);
    buf[t.len] = 0;
    snprintf(line, sizeof(line), "\n%s ", name);
    at = strstr(buf, line);
    assert_non_null(at);
    return strtod(at + strlen(line), NULL);
}

/* Everything is as if nothing had ever come. */
static void
assert_level(struct fixture *x)
{
    assert_int_equal(pw_distributor_in_flight(x->t.d), 0);
    assert_true(metric(x, "pyrowire_distributor_parked") == 0);
    assert_true(metric(x, "pyrowire_distributor_waiting") == 0);
    assert_true(metric(x, "pyrowire_distributor_bulk_bytes") == 0);
    for (uint32_t i = 0; i < PW_T_CONNS_MAX; i++) {
        assert_false(pw_t_holds(i));
    }
}

/* Turns until nothing is left to do; their number. */
static uint32_t
settle(struct fixture *x)
{
    uint32_t turns = 0;

    while (pw_distributor_in_flight(x->t.d) != 0) {
        pw_t_settle(&x->t);
        assert_true(++turns < 1000000);
    }
    return turns;
}

static void
test_pw_distributor_request__short_work__answered_in_one_go(void **state)
{
    struct fixture *x = *state;

    send_body(x, 1, &x->small, 1);
    assert_false(pw_t_holds(1));
    pw_t_settle(&x->t);
    assert_int_equal(x->reply[1].status, 200);
    assert_true(metric(x, "pyrowire_distributor_parked_total") == 0);
    assert_level(x);
}

static void
test_pw_distributor_request__long_work__parked_and_stored_the_same(void **state)
{
    struct fixture *x = *state;
    char *straight;
    struct pw_t other;

    pw_t_up(&other, &(struct pw_t_cfg){.scratch_bytes = 512 << 20, .bulk_bytes = 64 << 20});
    pw_t_send_on(&other, 100,
                 &(struct pw_t_request){.path = "/push.v1.PusherService/Push",
                                        .header = header,
                                        .body = x->big.ptr,
                                        .body_len = x->big.len},
                 &x->reply[100]);
    pw_t_settle(&other);
    assert_int_equal(x->reply[100].status, 200);
    straight = strndup(other.stored, other.stored_len);
    pw_t_down(&other);

    pw_t_up(&other,
            &(struct pw_t_cfg){.slice_us = 1, .scratch_bytes = 512 << 20, .bulk_bytes = 64 << 20});
    pw_t_send_on(&other, 100,
                 &(struct pw_t_request){.path = "/push.v1.PusherService/Push",
                                        .header = header,
                                        .body = x->big.ptr,
                                        .body_len = x->big.len,
                                        .piece = 1400},
                 &x->reply[100]);
    assert_true(pw_t_holds(100));
    assert_int_equal(x->reply[100].count, 0);
    while (pw_distributor_in_flight(other.d) != 0) {
        pw_t_settle(&other);
    }
    assert_int_equal(x->reply[100].count, 1);
    assert_int_equal(x->reply[100].status, 200);
    assert_int_equal(other.stored_len, strlen(straight));
    assert_memory_equal(other.stored, straight, other.stored_len);
    assert_false(pw_t_holds(100));
    free(straight);
    pw_t_down(&other);
}

static void
test_pw_distributor_poll__parked_work__others_are_answered_between(void **state)
{
    struct fixture *x = *state;
    uint32_t answered = 0;

    send_body(x, 0, &x->big, 1);
    while (x->reply[0].count == 0) {
        uint64_t before = x->t.work_tsc;

        if (!pw_t_holds(1)) {
            send_body(x, 1, &x->small, 2);
        }
        pw_t_settle(&x->t);
        answered += x->reply[1].count;
        /* A slice of the long one, a whole short one, and little else. */
        assert_true(x->t.work_tsc - before < 3000);
    }
    assert_true(answered > 2);
    assert_int_equal(x->reply[0].status, 200);
    (void)settle(x);
    assert_level(x);
}

static void
test_pw_distributor_abandoned__in_mid_work__dropped_and_nothing_leaks(void **state)
{
    struct fixture *x = *state;
    uint32_t slices = 1;

    /* After one slice, after two, ... until the work is done within as many. */
    for (bool done = false; !done; slices++) {
        send_body(x, 0, &x->big, 1);
        for (uint32_t i = 1; i < slices && pw_t_holds(0); i++) {
            (void)pw_distributor_poll(x->t.d, x->t.now_tsc);
        }
        done = !pw_t_holds(0);
        if (!done) {
            pw_t_hang_up(&x->t, 0);
        }
        (void)settle(x);
        assert_level(x);
        send_body(x, 1, &x->small, 1); /* the desk is good for another */
        (void)settle(x);
        assert_int_equal(x->reply[1].status, 200);
    }
    assert_true(slices > 4);
    assert_true(metric(x, "pyrowire_distributor_work_abandoned_total") == slices - 2);
}

static void
test_pw_distributor_poll__work_past_its_deadline__504_and_dropped(void **state)
{
    struct fixture *x = *state;

    send_body(x, 0, &x->big, 1);
    assert_true(pw_t_holds(0));
    (void)pw_distributor_poll(x->t.d, x->t.now_tsc); /* the turn that it began in is over */
    x->t.now_tsc += 5000000000;
    pw_t_settle(&x->t);
    assert_int_equal(x->reply[0].count, 1);
    assert_int_equal(x->reply[0].status, 504);
    (void)settle(x);
    assert_level(x);
    assert_true(metric(x, "pyrowire_distributor_work_expired_total") == 1);
}

static void
test_pw_distributor_request__one_address__leaves_desks_for_others(void **state)
{
    struct fixture *x = *state;
    struct pw_text long_work;
    double most = 0;

    for (uint32_t i = 0; i < 20;
         i++) { /* each is shorter than those before, and so begins before they go on */
        make_push(&long_work, SHAPE_STRINGS, (100 - 3 * i) << 10);
        send_body(x, i, &long_work, 1);
        pw_text_fini(&long_work);
        (void)pw_distributor_poll(x->t.d, x->t.now_tsc);
        assert_true(metric(x, "pyrowire_distributor_parked") <= PW_DESKS_PER_ADDRESS);
        most = metric(x, "pyrowire_distributor_parked") > most
                   ? metric(x, "pyrowire_distributor_parked")
                   : most;
    }
    assert_true(most == PW_DESKS_PER_ADDRESS);
    assert_true(metric(x, "pyrowire_distributor_waiting") > 0);
    (void)pw_distributor_poll(x->t.d, x->t.now_tsc);
    send_body(x, 30, &x->small, 2);
    (void)pw_distributor_poll(x->t.d, x->t.now_tsc);
    assert_false(pw_t_holds(30)); /* done, though 17 came before */
    (void)settle(x);
    for (uint32_t i = 0; i < 20; i++) {
        assert_int_equal(x->reply[i].count, 1);
    }
    assert_level(x);
}

static void
test_pw_distributor_request__large_bodies__few_at_work_and_a_bounded_queue(void **state)
{
    struct fixture *x = *state;
    uint32_t refused = 0;

    for (uint32_t i = 0; i < PW_DESKS_LARGE + PW_WAITING_LARGE_MAX + 5; i++) {
        if (i < 4) { /* in turns of their own: as many begin as may */
            (void)pw_distributor_poll(x->t.d, x->t.now_tsc);
        }
        send_body(x, i, &x->big, 10 + i);
        assert_true(metric(x, "pyrowire_distributor_parked") <= PW_DESKS_LARGE);
        if (x->reply[i].count == 1 && x->reply[i].status == 503) {
            refused++;
        }
    }
    assert_true(refused > 0);
    send_body(x, 200, &x->small, 2);
    (void)settle(x);
    assert_int_equal(x->reply[200].status, 200);
    assert_true(metric(x, "pyrowire_distributor_waiting_peak") <= PW_WAITING_LARGE_MAX + 1);
    assert_level(x);
}

static void
test_pw_distributor_request__turn_is_spent__begun_in_later_turns_in_order(void **state)
{
    struct fixture *x = *state;
    struct pw_text ordinary;

    pw_t_down(&x->t);
    pw_t_up(&x->t, &(struct pw_t_cfg){.slice_us = 100000, .turn_us = 1});
    make_push(&ordinary, SHAPE_STRINGS, 100 << 10);
    send_body(x, 0, &ordinary, 1);
    assert_false(pw_t_holds(0)); /* longer than a slice, within a first one */
    assert_true(metric(x, "pyrowire_distributor_slices_total") == 1);
    for (uint32_t i = 1; i < 5; i++) {
        send_body(x, i, &ordinary, 1);
        assert_true(pw_t_holds(i)); /* the first one's answer goes out before */
    }
    assert_int_equal(pw_distributor_poll_work(x->t.d, x->t.now_tsc), 0);
    send_body(x, 5, &ordinary, 1);
    assert_true(pw_t_holds(5)); /* a new turn, but others came before */
    for (uint32_t i = 1; i < 6; i++) {
        assert_int_equal(pw_distributor_poll_work(x->t.d, x->t.now_tsc), 1);
        assert_false(pw_t_holds(i));
        assert_true(i == 5 || pw_t_holds(i + 1));
    }
    (void)settle(x);
    for (uint32_t i = 0; i < 6; i++) {
        assert_int_equal(x->reply[i].status, 200);
    }
    assert_level(x);
    pw_text_fini(&ordinary);
}

/* Bodies of several lengths wait while another is worked on: they begin as they are short, not as they came, and the
 * one that has waited too long before all. */
static void
test_pw_distributor_poll__several_wait__the_short_and_the_old_go_first(void **state)
{
    static const uint32_t kib[] = {60, 8, 30,
                                   2}; /* of connections 1 to 4, in the order they came */
    static const uint32_t order[] = {4, 2, 3, 1}, old_first[] = {1, 4, 2, 3};
    struct fixture *x = *state;

    pw_t_down(&x->t);
    pw_t_up(&x->t, &(struct pw_t_cfg){.slice_us = 100000, .turn_us = 1});
    for (uint32_t round = 0; round < 2; round++) {
        send_body(x, 0, &x->small, 1); /* the turn is spent */
        assert_false(pw_t_holds(0));
        for (uint32_t i = 0; i < 4; i++) {
            struct pw_text body;

            make_push(&body, SHAPE_STRINGS, kib[i] << 10);
            send_body(x, i + 1, &body, 1);
            assert_true(pw_t_holds(i + 1));
            pw_text_fini(&body);
            x->t.now_tsc += round == 1 && i == 0 ? PW_WAITING_OLD_US * 1000 + 1 : 0;
        }
        assert_int_equal(pw_distributor_poll_work(x->t.d, x->t.now_tsc), 0);
        for (uint32_t i = 0; i < 4; i++) {
            assert_true(pw_t_holds(round == 0 ? order[i] : old_first[i]));
            assert_int_equal(pw_distributor_poll_work(x->t.d, x->t.now_tsc), 1);
            assert_false(pw_t_holds(round == 0 ? order[i] : old_first[i]));
        }
        (void)settle(x);
        assert_level(x);
    }
}

/* Work that was begun goes on although shorter work comes in every turn. */
static void
test_pw_distributor_poll__short_work_without_end__long_work_is_not_starved(void **state)
{
    struct fixture *x = *state;
    uint32_t turns = 0;

    send_body(x, 0, &x->big, 1);
    assert_true(pw_t_holds(0));
    for (; x->reply[0].count == 0; turns++) {
        assert_true(turns < 100000);
        if (!pw_t_holds(1)) {
            send_body(x, 1, &x->small, 2);
        }
        if (!pw_t_holds(2)) {
            send_body(x, 2, &x->small, 3);
        }
        pw_t_settle(&x->t);
    }
    assert_int_equal(x->reply[0].status, 200);
    (void)settle(x);
    assert_level(x);
}

/* One that came long ago goes on before a shorter one begins, if its body is an ordinary one. */
static void
test_pw_distributor_poll__parked_work_is_old__goes_on_before_shorter_work_begins(void **state)
{
    enum { YOUNG, OLD, OLD_AND_LARGE, CASES };
    struct fixture *x = *state;
    struct pw_text ordinary;

    make_push(&ordinary, SHAPE_STRINGS, 60 << 10);
    for (int i = 0; i < CASES; i++) {
        send_body(x, 0, i == OLD_AND_LARGE ? &x->big : &ordinary, 1);
        assert_int_equal(pw_distributor_poll_work(x->t.d, x->t.now_tsc), 0); /* its turn is over */
        assert_true(pw_t_holds(0));
        x->t.now_tsc += i == YOUNG ? 0 : PW_WORK_OLD_US * 1000 + 1;
        send_body(x, 1, &x->small, 2);
        assert_true(pw_t_holds(1));
        assert_int_equal(pw_distributor_poll_work(x->t.d, x->t.now_tsc), 1);
        assert_int_equal(pw_t_holds(1), i == OLD);
        assert_true(pw_t_holds(0));
        (void)settle(x);
        assert_int_equal(x->reply[0].status, 200);
        assert_int_equal(x->reply[1].status, 200);
        assert_level(x);
    }
    pw_text_fini(&ordinary);
}

static void
test_pw_distributor_poll__memory_of_large_work__kept_for_a_while_then_given_back(void **state)
{
    struct fixture *x = *state;
    const char *kept = "pyrowire_distributor_scratch_kept_bytes";
    struct pw_text huge;
    uint32_t pieces = 0;

    make_push(&huge, SHAPE_STRINGS, 3 << 20);
    for (int round = 0; round < 2; round++) {
        send_body(x, 0, &huge, 1);
        (void)settle(x);
        assert_int_equal(x->reply[0].count, 1);
        assert_true(metric(x, kept) > PW_DESK_SCRATCH_KEEP);
        x->t.now_tsc += (uint64_t)PW_DESK_KEEP_MS * 1000000 / 2;
        assert_int_equal(pw_distributor_poll(x->t.d, x->t.now_tsc), 0); /* not yet */
        assert_true(metric(x, kept) > PW_DESK_SCRATCH_KEEP);
        x->t.now_tsc += (uint64_t)PW_DESK_KEEP_MS * 1000000;
        for (pieces = 0; pw_distributor_poll(x->t.d, x->t.now_tsc) != 0; pieces++) {
            assert_true(pieces < 1000);
        }
        assert_true(pieces > 4); /* not all in one turn */
        assert_true(metric(x, kept) == 0);
    }
    assert_level(x);
    pw_text_fini(&huge);
}

static void
test_pw_distributor_poll__waiting_connection_dies__passed_over(void **state)
{
    struct fixture *x = *state;

    send_body(x, 0, &x->big, 1);
    send_body(x, 1, &x->big, 1); /* the same address: waits */
    send_body(x, 2, &x->big, 1);
    assert_true(pw_t_holds(0) && pw_t_holds(1) && pw_t_holds(2));
    pw_t_hang_up(&x->t, 1);
    (void)settle(x);
    assert_int_equal(x->reply[0].status, 200);
    assert_int_equal(x->reply[1].count, 0);
    assert_int_equal(x->reply[2].status, 200);
    assert_level(x);
}

static void
test_pw_distributor_uses__while_work_is_parked__says_so(void **state)
{
    struct fixture *x = *state;

    send_body(x, 0, &x->big, 1);
    for (int i = 0; i < 3 && !pw_distributor_uses(x->t.d, x->t.overrides); i++) {
        (void)pw_distributor_poll(x->t.d, x->t.now_tsc);
    }
    assert_true(pw_distributor_uses(x->t.d, x->t.overrides));
    (void)settle(x);
    assert_false(pw_distributor_uses(x->t.d, x->t.overrides));
    assert_level(x);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_pw_distributor_request__short_work__answered_in_one_go),
        T(test_pw_distributor_request__long_work__parked_and_stored_the_same),
        T(test_pw_distributor_poll__parked_work__others_are_answered_between),
        T(test_pw_distributor_abandoned__in_mid_work__dropped_and_nothing_leaks),
        T(test_pw_distributor_poll__work_past_its_deadline__504_and_dropped),
        T(test_pw_distributor_request__one_address__leaves_desks_for_others),
        T(test_pw_distributor_request__large_bodies__few_at_work_and_a_bounded_queue),
        T(test_pw_distributor_request__turn_is_spent__begun_in_later_turns_in_order),
        T(test_pw_distributor_poll__several_wait__the_short_and_the_old_go_first),
        T(test_pw_distributor_poll__short_work_without_end__long_work_is_not_starved),
        T(test_pw_distributor_poll__parked_work_is_old__goes_on_before_shorter_work_begins),
        T(test_pw_distributor_poll__memory_of_large_work__kept_for_a_while_then_given_back),
        T(test_pw_distributor_poll__waiting_connection_dies__passed_over),
        T(test_pw_distributor_uses__while_work_is_parked__says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
