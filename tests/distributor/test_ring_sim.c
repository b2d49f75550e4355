/* Appliances that write to one another, in virtual time: real distributors, real links, a wire that loses by seed. One is killed
 * or cut off and comes back. What has to hold for every seed:
 *   - no push that a living appliance took is refused, whenever it came;
 *   - one second after the kill nobody has anything on its way to the dead one, nor sends it anything but handshakes: the ring,
 *     whose heartbeats are judged by the minute, still says that it is ACTIVE;
 *   - everything acknowledged is on two disks, one of those that live, and on two of those when it came after the kill;
 *   - the dead one is back in the write path by itself: pushes to it succeed, and owners are three again. */
#include "distributor/internal.h"
#include "tests/distributor/harness.h"
#include "tests/support/cmocka_pw.h"
#include "tests/support/link_wire.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    APPLIANCES_MAX = 5,
    TOKENS = 16,
    PUSHES_MAX = 8192,
    CONNS_EACH = 48, /* pushes on their way to one appliance */
    TURN_US = 200,
    SYNC_US_MAX = 5000, /* that a write to a log takes */
    PUSH_EVERY_TURNS = 8,
    SECOND_US = 1000000,
};

static const char *const ids[APPLIANCES_MAX] = {"a", "b", "c", "d", "e"};

struct sim;

struct appliance {
    struct sim *sim;
    uint32_t number;
    bool alive;
    struct pw_t t;
    struct pw_link *link;
    struct pw_owners owners;
    uint8_t peer[APPLIANCES_MAX];
    uint64_t sync_us; /* when its log is written next */
    struct pw_t_reply reply[CONNS_EACH];
    uint32_t push[CONNS_EACH]; /* number of the push on that connection + 1; 0: free */
    bool stored[PUSHES_MAX];   /* its disk, which a kill leaves alone */
};

struct sim {
    struct pw_wire *wire;
    struct pw_ring_view *view;
    uint32_t n;
    uint32_t pushes, answered, refused_away, acknowledged;
    uint64_t sent_us[PUSHES_MAX];
    uint8_t to[PUSHES_MAX];
    bool acked[PUSHES_MAX];
    int32_t away; /* who is not there; -1: nobody */
    struct appliance a[APPLIANCES_MAX];
};

/* --- One appliance -------------------------------------------------------------------------------- */

static void
on_done(void *ctx, uint64_t cookie, int status, struct pw_slice text)
{
    pw_distributor_link_done(((struct appliance *)ctx)->t.d, cookie, status, text);
}

static void
on_request(void *ctx, struct pw_link_from from, struct pw_slice bytes)
{
    pw_distributor_link_request(((struct appliance *)ctx)->t.d, from, bytes);
}

static void
start(struct sim *s, uint32_t i)
{
    struct appliance *a = &s->a[i];
    const struct pw_t_cfg cfg = {
        .bulk_bytes = 16 << 20, .slots_max = 256, .beside = i > 0 || s->away >= 0};
    struct pw_link_cfg lc = {
        .app = {.ctx = a, .on_done = on_done, .on_request = on_request},
        .self_id = ids[i],
        .secret = PW_SLICE_LIT("sixteen bytes or more of it"),
        .no_cryptodev = true,
        .random = pw_wire_bytes,
        .random_ctx = s->wire,
    };
    struct pw_owner_link link = {
        .call = pw_link_call, .cancel = pw_link_cancel, .reply = pw_link_reply};
    int err = 0;

    a->sim = s;
    a->number = i;
    pw_t_up(&a->t, &cfg);
    a->t.now_tsc = (SECOND_US + s->wire->now_us) * 1000;
    a->link = link.link = pw_link_create_ctl(&lc, s->wire->now_us, &err);
    assert_int_equal(err, 0);
    s->wire->end[i] = a->link;
    pw_distributor_bind_link_ctl(a->t.d, &link);
    for (uint32_t k = 0; k < s->n; k++) {
        struct pw_link_addr addr = pw_wire_addr(k);

        a->peer[k] =
            k == i ? (uint8_t)PW_OWNER_SELF : (uint8_t)pw_link_open(a->link, ids[k], &addr);
    }
    a->owners = (struct pw_owners){.view = s->view, .peer = a->peer};
    pw_distributor_set_owners(a->t.d, &a->owners);
    a->alive = true;
}

/* kill -9: what was on its way is nobody's; the disk stays. */
static void
crash(struct appliance *a)
{
    a->alive = false;
    a->sim->wire->end[a->number] = NULL;
    pw_link_destroy_ctl(a->link);
    for (uint32_t k = 0; k < CONNS_EACH; k++) {
        if (a->push[k] != 0) {
            pw_t_hang_up(&a->t, a->number * CONNS_EACH + k);
            a->push[k] = 0;
        }
    }
    pw_t_crash(&a->t);
}

/* What its cores were given is written to its disk and acknowledged. */
static void
sync_disk(struct appliance *a)
{
    const char *at;

    pw_t_settle(&a->t);
    at = a->t.stored == NULL ? NULL : strstr(a->t.stored, "push_");
    while (at != NULL) { /* the name may be in a text more than once */
        unsigned long n = strtoul(at + 5, NULL, 10);

        assert_true(n < a->sim->pushes);
        a->stored[n] = true;
        at = strstr(at + 5, "push_");
    }
    free(a->t.stored);
    a->t.stored = NULL;
    a->t.stored_len = 0;
}

static void
take_answers(struct appliance *a)
{
    struct sim *s = a->sim;

    for (uint32_t k = 0; k < CONNS_EACH; k++) {
        uint32_t n = a->push[k] - 1;

        if (a->push[k] == 0 || a->reply[k].count == 0) {
            continue;
        }
        a->push[k] = 0;
        s->answered++;
        if (a->reply[k].status == 200) {
            s->acked[n] = true;
            s->acknowledged++;
        } else if (s->away == (int32_t)a->number) {
            s->refused_away++; /* it is alone and cannot have two acknowledgements */
        } else {
            fail_msg("push %u to %s, sent at %" PRIu64 " us: %u %s", n, ids[a->number],
                     s->sent_us[n], a->reply[k].status, (const char *)a->reply[k].body);
        }
    }
}

static void
push(struct sim *s, uint32_t i)
{
    struct appliance *a = &s->a[i];
    char body[64];
    uint32_t k = 0;

    while (k < CONNS_EACH && a->push[k] != 0) {
        k++;
    }
    if (k == CONNS_EACH || s->pushes == PUSHES_MAX) {
        return; /* its clients wait for answers */
    }
    uint32_t n = s->pushes++;
    char path[64];
    int len = snprintf(body, sizeof(body), "main;push_%u 1\n", n);

    (void)snprintf(path, sizeof(path), "/ingest?name=app%u", n % 61);
    s->sent_us[n] = s->wire->now_us;
    s->to[n] = (uint8_t)i;
    a->push[k] = n + 1;
    pw_t_send_on(&a->t, i * CONNS_EACH + k,
                 &(struct pw_t_request){.path = path, .body = body, .body_len = (size_t)len},
                 &a->reply[k]);
    take_answers(a);
}

/* --- All of them ------------------------------------------------------------------------------------ */

static void
ring(struct sim *s)
{
    struct pw_instance in[APPLIANCES_MAX];
    uint32_t token[APPLIANCES_MAX][TOKENS];
    struct pw_ring_cfg cfg = {.replication_factor = 3, .heartbeat_timeout = 60};
    int64_t heard = pw_wall_ns() / 1000000000 + 86400; /* however long this is stopped */

    for (uint32_t i = 0; i < s->n; i++) {
        for (uint32_t k = 0; k < TOKENS; k++) {
            token[i][k] = k * (UINT32_MAX / TOKENS) + (i + k) % s->n * 40000003 + 17;
        }
        in[i] = (struct pw_instance){.id = ids[i],
                                     .addr = "10.0.0.1:4040",
                                     .zone = "",
                                     .timestamp = heard,
                                     .token = token[i],
                                     .token_count = TOKENS};
    }
    assert_int_equal(pw_ring_view_make_ctl(&s->view, &cfg, in, s->n), 0);
}

static struct sim *
begin(uint64_t seed, uint32_t n)
{
    struct sim *s = calloc(1, sizeof(*s));

    assert_non_null(s);
    s->n = n;
    s->away = -1;
    s->wire = pw_wire_new(seed);
    s->wire->ends = n;
    s->wire->loss = (uint32_t)(pw_wire_random(s->wire) % 30);
    s->wire->reorder = (uint32_t)(pw_wire_random(s->wire) % 30);
    s->wire->delay_us = 20 + (uint32_t)(pw_wire_random(s->wire) % 400);
    ring(s);
    for (uint32_t i = 0; i < n; i++) {
        start(s, i);
        for (uint32_t k = 0; k < CONNS_EACH; k++) {
            s->a[i].reply[k].body = malloc(PW_T_REPLY_MAX + 1);
            assert_non_null(s->a[i].reply[k].body);
        }
    }
    return s;
}

static void
turn(struct sim *s, bool load)
{
    pw_wire_run(s->wire, TURN_US);
    for (uint32_t i = 0; i < s->n; i++) {
        struct appliance *a = &s->a[i];

        if (!a->alive) {
            continue;
        }
        a->t.now_tsc = (SECOND_US + s->wire->now_us) * 1000;
        if (s->wire->now_us >= a->sync_us) {
            a->sync_us = s->wire->now_us + pw_wire_random(s->wire) % SYNC_US_MAX;
            sync_disk(a);
        }
        (void)pw_distributor_poll(a->t.d, a->t.now_tsc);
        take_answers(a);
        if (load && pw_wire_random(s->wire) % PUSH_EVERY_TURNS == 0) {
            push(s, i);
        }
    }
}

static void
run(struct sim *s, uint64_t us, bool load)
{
    for (uint64_t until = s->wire->now_us + us; s->wire->now_us < until;) {
        turn(s, load);
    }
}

static bool
all_up(const struct sim *s)
{
    for (uint32_t i = 0; i < s->n; i++) {
        for (uint32_t k = 0; k < s->n; k++) {
            if (k != i && (!s->a[i].alive || !pw_link_peer_up(s->a[i].link, s->a[i].peer[k]))) {
                return false;
            }
        }
    }
    return true;
}

static void
wait_all_up(struct sim *s)
{
    uint64_t until = s->wire->now_us + 10 * (uint64_t)SECOND_US;

    while (!all_up(s)) {
        assert_true(s->wire->now_us < until);
        turn(s, false);
    }
}

/* Until every push to those that are there has its answer. */
static void
drain(struct sim *s)
{
    run(s, 600000, false);
    for (uint32_t i = 0; i < s->n; i++) {
        struct appliance *a = &s->a[i];

        if ((int32_t)i == s->away) {
            continue;
        }
        for (uint32_t k = 0; k < CONNS_EACH; k++) {
            assert_int_equal(a->push[k], 0);
        }
        assert_int_equal(pw_distributor_in_flight(a->t.d), 0);
        assert_int_equal(pw_replicate_in_flight(&a->t.d->fanout.replicate), 0);
        assert_int_equal(a->t.d->fanout.bulk.pages_used, 0);
    }
}

/* What was acknowledged from push `from` on is on at least so many disks, of those that live and of all. */
static void
judge(const struct sim *s, uint32_t from, uint32_t least_alive, uint32_t least)
{
    for (uint32_t n = from; n < s->pushes; n++) {
        uint32_t copies = 0, alive = 0;

        for (uint32_t i = 0; i < s->n; i++) {
            copies += s->a[i].stored[n] ? 1 : 0;
            alive += s->a[i].stored[n] && (int32_t)i != s->away ? 1 : 0;
        }
        if (s->acked[n] && (copies < least || alive < least_alive)) {
            fail_msg("push %u to %s, sent at %" PRIu64 " us: acknowledged, on %u disks, %u alive",
                     n, ids[s->to[n]], s->sent_us[n], copies, alive);
        }
    }
}

static void
finish(struct sim *s)
{
    for (uint32_t i = 0; i < s->n; i++) {
        pw_t_down(&s->a[i].t);
        pw_link_destroy_ctl(s->a[i].link);
        for (uint32_t k = 0; k < CONNS_EACH; k++) {
            free(s->a[i].reply[k].body);
        }
    }
    pw_ring_view_free_ctl(s->view);
    pw_wire_free(s->wire);
    free(s);
}

/* A second after it went nobody waits for it: it is down on every link, and no record is on its way to it. */
static void
judge_out_of_the_path(const struct sim *s)
{
    for (uint32_t i = 0; i < s->n; i++) {
        const struct appliance *a = &s->a[i];

        if ((int32_t)i != s->away) {
            assert_false(pw_link_peer_up(a->link, a->peer[s->away]));
        }
    }
}

static void
one_story(uint64_t seed, uint32_t n, bool by_kill)
{
    struct sim *s = begin(seed, n);
    uint32_t who = (uint32_t)(pw_wire_random(s->wire) % n);
    uint32_t died[APPLIANCES_MAX];
    uint32_t from;

    wait_all_up(s);
    run(s, 300000 + pw_wire_random(s->wire) % 200000, true);
    assert_true(s->acknowledged > 50);

    s->away = (int32_t)who;
    if (by_kill) {
        crash(&s->a[who]);
    } else {
        s->wire->cut[who] = true;
    }
    run(s, SECOND_US, true);
    judge_out_of_the_path(s);
    for (uint32_t i = 0; i < n; i++) {
        died[i] = i == who ? 0 : (uint32_t)s->a[i].t.d->fanout.replicate.stats.died;
    }
    from = s->pushes;
    run(s, SECOND_US, true);
    drain(s);
    judge(s, 0, 1, 2);
    judge(s, from, 2, 2);
    for (uint32_t i = 0; i < n; i++) { /* none was sent to it any more */
        assert_true(i == who || s->a[i].t.d->fanout.replicate.stats.died == died[i]);
    }
    for (uint32_t k = from; k < s->pushes; k++) {
        assert_true(s->acked[k] || s->to[k] == who);
    }

    if (by_kill) {
        start(s, who);
    } else {
        s->wire->cut[who] = false;
        run(s, 6 * SECOND_US, false); /* what it was asked while it was alone has its 504 */
    }
    s->away = -1;
    wait_all_up(s);
    from = s->pushes;
    run(s, 300000, true);
    drain(s);
    assert_true(s->pushes > from + 50);
    for (uint32_t k = from; k < s->pushes; k++) {
        assert_true(s->acked[k]);
    }
    judge(s, 0, 2, 2);
    judge(s, from, 3, 3);
    assert_int_equal(s->answered, s->acknowledged + s->refused_away);
    finish(s);
}

static void
test_push__one_of_three_killed__none_refused_and_it_comes_back(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        one_story(seed, 3, true);
    }
}

static void
test_push__one_of_three_cut_off__none_refused_and_it_comes_back(void **state)
{
    (void)state;
    for (uint64_t seed = 101; seed <= 106; seed++) {
        one_story(seed, 3, false);
    }
}

static void
test_push__one_of_five_killed__none_refused_and_it_comes_back(void **state)
{
    (void)state;
    for (uint64_t seed = 201; seed <= 203; seed++) {
        one_story(seed, 5, true);
    }
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_push__one_of_three_killed__none_refused_and_it_comes_back),
        cmocka_unit_test(test_push__one_of_three_cut_off__none_refused_and_it_comes_back),
        cmocka_unit_test(test_push__one_of_five_killed__none_refused_and_it_comes_back),
    };

    if (argc > 1) { /* seeds of one's own: FIRST LAST, each of every kind */
        uint64_t last = strtoull(argv[argc > 2 ? 2 : 1], NULL, 10);

        for (uint64_t seed = strtoull(argv[1], NULL, 10); seed <= last; seed++) {
            one_story(seed, seed % 5 == 4 ? 5 : 3, seed % 2 == 0);
            printf("seed %" PRIu64 "\n", seed);
        }
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
