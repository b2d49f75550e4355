/* Members under a clock and a network of our own: they find each other, notice who is gone, and agree on
 * the store whatever is lost. Everything comes from a seed. */
#include "ring/memberlist.h"

#include "base/log.h"
#include "tests/support/cmocka_pw.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    MEMBERS_MAX = 8,
    EVENTS_MAX = 4096,
    STEP_MS = 10,
    WALL_S = 1700000000,
    PORT = 7000,
    CHUNK = 777, /* streams arrive in pieces */
};

static const char key[] = "collectors/ring";

struct sim;

struct member {
    struct sim *sim;
    uint32_t index;
    struct pw_ml_addr addr;
    struct pw_memberlist *ml; /* NULL: not running */
    struct pw_kv *kv;
    bool cut; /* nothing reaches or leaves it */
    uint32_t joined, join_failed;
};

/* A connection under way: a packet's bytes, or a dialed one. */
struct event {
    int64_t at_ms;
    uint32_t from;
    struct pw_ml_addr to;
    uint8_t *bytes;
    size_t len;
    struct pw_ml_conn *conn;
};

struct sim {
    struct member member[MEMBERS_MAX];
    struct event event[EVENTS_MAX];
    uint32_t events;
    int64_t now_ms;
    uint32_t loss; /* percent of connections */
    uint64_t random;
    uint64_t lost;
};

static uint32_t
draw(struct sim *s, uint32_t below)
{
    s->random = s->random * 6364136223846793005U + 1442695040888963407U;
    return (uint32_t)((s->random >> 33) % below);
}

static struct pw_ml_now
now_of(const struct sim *s)
{
    return (struct pw_ml_now){.mono_ms = s->now_ms, .wall_s = WALL_S + s->now_ms / 1000};
}

static struct event *
new_event(struct member *m, const struct pw_ml_addr *to)
{
    struct sim *s = m->sim;
    struct event *e;

    assert_true(s->events < EVENTS_MAX);
    e = &s->event[s->events++];
    *e = (struct event){.at_ms = s->now_ms + 1 + draw(s, 30), .from = m->index, .to = *to};
    return e;
}

static void
on_send(void *ctx, const struct pw_ml_addr *to, struct pw_slice bytes)
{
    struct event *e = new_event(ctx, to);

    e->bytes = malloc(bytes.len);
    assert_non_null(e->bytes);
    memcpy(e->bytes, bytes.ptr, bytes.len);
    e->len = bytes.len;
}

static int
on_dial(void *ctx, const struct pw_ml_addr *to, struct pw_ml_conn *conn)
{
    new_event(ctx, to)->conn = conn;
    return 0;
}

static struct member *
at_address(struct sim *s, const struct pw_ml_addr *a)
{
    for (uint32_t i = 0; i < MEMBERS_MAX; i++) {
        if (s->member[i].ml != NULL && pw_ml_addr_equal(&s->member[i].addr, a)) {
            return &s->member[i];
        }
    }
    return NULL;
}

static bool
arrives(struct sim *s, const struct event *e, const struct member *to)
{
    bool ok = to != NULL && !to->cut && !s->member[e->from].cut && draw(s, 100) >= s->loss;

    s->lost += !ok;
    return ok;
}

static void
deliver_packet(struct sim *s, struct member *to, struct pw_slice bytes)
{
    struct pw_ml_conn *c = pw_ml_conn_accept(to->ml);

    assert_non_null(c);
    assert_int_equal(pw_ml_conn_input(c, bytes, now_of(s)), PW_ML_CONN_MORE);
    assert_int_equal(pw_ml_conn_eof(c, now_of(s)), PW_ML_CONN_CLOSE);
    pw_ml_conn_free(c);
}

/* All that from has to say, in pieces; what the last piece led to. */
static enum pw_ml_conn_next
pump(struct sim *s, struct pw_ml_conn *from, struct pw_ml_conn *to)
{
    enum pw_ml_conn_next next = PW_ML_CONN_MORE;

    for (struct pw_slice out = pw_ml_conn_output(from); out.len > 0 && next == PW_ML_CONN_MORE;
         out = pw_ml_conn_output(from)) {
        size_t n = out.len < CHUNK ? out.len : CHUNK;

        next = pw_ml_conn_input(to, pw_slice(out.ptr, n), now_of(s));
        pw_ml_conn_written(from, n);
    }
    return next;
}

static void
deliver_stream(struct sim *s, struct member *to, struct pw_ml_conn *dialed)
{
    struct pw_ml_conn *c = pw_ml_conn_accept(to->ml);

    assert_non_null(c);
    if (pump(s, dialed, c) == PW_ML_CONN_DONE && draw(s, 100) >= s->loss) {
        assert_int_equal(pump(s, c, dialed), PW_ML_CONN_DONE);
    }
    pw_ml_conn_free(c);
}

static void
deliver(struct sim *s, struct event e)
{
    struct member *to = at_address(s, &e.to), *from = &s->member[e.from];
    bool ok = arrives(s, &e, to);

    if (e.conn != NULL) {
        if (ok) {
            deliver_stream(s, to, e.conn);
        }
        if (pw_ml_conn_is_join(e.conn)) {
            from->joined += pw_ml_conn_ok(e.conn);
            from->join_failed += !pw_ml_conn_ok(e.conn);
        }
        pw_ml_conn_free(e.conn);
    } else if (ok) {
        deliver_packet(s, to, pw_slice(e.bytes, e.len));
    }
    free(e.bytes);
}

static void
run(struct sim *s, int64_t ms)
{
    int64_t end = s->now_ms + ms;

    for (; s->now_ms < end; s->now_ms += STEP_MS) {
        for (uint32_t i = 0; i < s->events;) {
            struct event e = s->event[i];

            if (e.at_ms > s->now_ms) {
                i++;
                continue;
            }
            s->event[i] = s->event[--s->events];
            deliver(s, e);
        }
        for (uint32_t i = 0; i < MEMBERS_MAX; i++) {
            if (s->member[i].ml != NULL) {
                assert_true(pw_memberlist_step(s->member[i].ml, now_of(s)) > s->now_ms);
            }
        }
    }
}

static void
start_as(struct sim *s, uint32_t i, const char *name, uint32_t place)
{
    const uint8_t ip[4] = {127, 0, 0, 1};
    const struct pw_kv_cfg kv_cfg = {.left_timeout_s = 300, .obsolete_timeout_s = 30};
    struct member *m = &s->member[i];
    struct pw_memberlist_cfg cfg = {.name = name,
                                    .addr = pw_ml_addr_ip4(ip, (uint16_t)(PORT + place)),
                                    .label = "sim",
                                    .compression = (enum pw_ml_compression)(i % 3),
                                    .gossip_interval_ms = 200,
                                    .push_pull_interval_ms = 30000,
                                    .gossip_to_dead_ms = 30000,
                                    .gossip_nodes = 3,
                                    .retransmit_factor = 4,
                                    .seed = s->random + i};
    const struct pw_memberlist_io io = {.ctx = m, .send = on_send, .dial = on_dial};

    m->sim = s;
    m->index = i;
    m->addr = cfg.addr;
    assert_int_equal(pw_kv_create_ctl(&m->kv, &kv_cfg), 0);
    assert_int_equal(pw_memberlist_create_ctl(&m->ml, &cfg, &io, m->kv, now_of(s)), 0);
}

static void
start(struct sim *s, uint32_t i)
{
    char name[16];

    snprintf(name, sizeof(name), "node-%u", i);
    start_as(s, i, name, i);
}

/* Gone without a word; what it had under way is lost. */
static void
kill_member(struct sim *s, uint32_t i)
{
    struct member *m = &s->member[i];

    for (uint32_t e = 0; e < s->events;) {
        if (s->event[e].from != i) {
            e++;
            continue;
        }
        if (s->event[e].conn != NULL) {
            pw_ml_conn_free(s->event[e].conn);
        }
        free(s->event[e].bytes);
        s->event[e] = s->event[--s->events];
    }
    pw_memberlist_destroy_ctl(m->ml);
    pw_kv_destroy_ctl(m->kv);
    m->ml = NULL;
    m->kv = NULL;
}

static void
join(struct sim *s, uint32_t i, uint32_t seed)
{
    assert_int_equal(pw_memberlist_join(s->member[i].ml, &s->member[seed].addr, now_of(s)), 0);
}

/* n members, all joined through the first. */
static void
start_cluster(struct sim *s, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        start(s, i);
    }
    for (uint32_t i = 1; i < n; i++) {
        join(s, i, 0);
        run(s, 500);
    }
}

static int
setup(void **state)
{
    struct sim *s = calloc(1, sizeof(*s));

    assert_non_null(s);
    pw_log_set_level_ctl(PW_LOG_ERROR);
    s->random = 1;
    s->now_ms = 1000000;
    *state = s;
    return 0;
}

static int
teardown(void **state)
{
    struct sim *s = *state;

    for (uint32_t i = 0; i < MEMBERS_MAX; i++) {
        if (s->member[i].ml != NULL) {
            kill_member(s, i);
        }
    }
    free(s);
    return 0;
}

/* --- What a member thinks ------------------------------------------------------------------------- */

static uint32_t
alive(const struct sim *s, uint32_t i)
{
    return pw_memberlist_count(s->member[i].ml, PW_ML_STATE_ALIVE);
}

static const struct pw_memberlist_stats *
stats(const struct sim *s, uint32_t i)
{
    return pw_memberlist_stats(s->member[i].ml);
}

/* of as i knows it; -1: not at all. */
static int
state_of(const struct sim *s, uint32_t i, const char *of)
{
    for (uint32_t n = 0; n < pw_memberlist_nodes(s->member[i].ml); n++) {
        struct pw_ml_node_info info = pw_memberlist_node(s->member[i].ml, n);

        if (strcmp(info.name, of) == 0) {
            return (int)info.state;
        }
    }
    return -1;
}

static int
beat(void *arg, struct pw_ring_desc *d)
{
    return pw_ring_desc_put(d, arg);
}

/* A heartbeat of instance id, written by member i. */
static void
heartbeat(struct sim *s, uint32_t i, const char *id)
{
    const uint32_t token[] = {1000 + i, 2000 + i};
    struct pw_instance in = {.id = id,
                             .addr = "a:1",
                             .zone = "",
                             .timestamp = now_of(s).wall_s,
                             .token = token,
                             .token_count = 2};

    assert_int_equal(pw_kv_cas(s->member[i].kv, key, beat, &in, in.timestamp), 0);
}

static bool
same_ring(const struct sim *s, uint32_t a, uint32_t b)
{
    const struct pw_ring_desc *x = pw_kv_get(s->member[a].kv, key);
    const struct pw_ring_desc *y = pw_kv_get(s->member[b].kv, key);

    return x != NULL && y != NULL && pw_ring_desc_equal(x, y);
}

/* --- Finding each other --------------------------------------------------------------------------- */

static void
test_join__two__know_each_other_and_the_ring(void **state)
{
    struct sim *s = *state;

    start(s, 0);
    start(s, 1);
    heartbeat(s, 0, "ing-0");
    heartbeat(s, 1, "ing-1");
    join(s, 1, 0);
    run(s, 100);
    assert_int_equal(s->member[1].joined, 1);
    assert_int_equal(alive(s, 0), 2);
    assert_int_equal(alive(s, 1), 2);
    assert_true(same_ring(s, 0, 1));
    assert_int_equal(pw_kv_get(s->member[0].kv, key)->count, 2);
}

static void
test_join__nobody_there__fails(void **state)
{
    struct sim *s = *state;

    start(s, 0);
    start(s, 1);
    s->member[1].cut = true;
    join(s, 0, 1);
    run(s, 100);
    assert_int_equal(s->member[0].join_failed, 1);
    assert_int_equal(stats(s, 0)->push_pull_out_failed, 1);
    assert_int_equal(alive(s, 0), 1);
}

static void
test_gossip__third_member__known_to_all_without_asking(void **state)
{
    struct sim *s = *state;

    start_cluster(s, 3);
    run(s, 2000);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(alive(s, i), 3);
    }
}

/* A change reaches all with the queue alone; then nobody has anything left to say. */
static void
test_gossip__change__reaches_all_and_ends(void **state)
{
    struct sim *s = *state;

    start_cluster(s, 5);
    run(s, 5000);
    heartbeat(s, 4, "ing-4");
    run(s, 3000);
    for (uint32_t i = 0; i < 5; i++) {
        assert_true(same_ring(s, i, 4));
        assert_int_equal(pw_memberlist_queued(s->member[i].ml), 0);
    }
}

static void
test_gossip__newer_change_of_one_instance__replaces_the_older(void **state)
{
    struct sim *s = *state;

    start(s, 0);
    heartbeat(s, 0, "ing-0");
    heartbeat(s, 0, "ing-1");
    s->now_ms += 5000;
    heartbeat(s, 0, "ing-0");
    assert_int_equal(pw_memberlist_queued(s->member[0].ml), 3); /* alive itself, ing-1, ing-0 */
}

static void
test_label__another__not_a_member(void **state)
{
    struct sim *s = *state;
    const struct pw_memberlist_io io = {.ctx = &s->member[1], .send = on_send, .dial = on_dial};
    struct pw_memberlist_cfg cfg = {.name = "stranger",
                                    .label = "other",
                                    .gossip_interval_ms = 200,
                                    .push_pull_interval_ms = 30000,
                                    .gossip_nodes = 3,
                                    .retransmit_factor = 4};

    start(s, 0);
    start(s, 1);
    cfg.addr = s->member[1].addr;
    pw_memberlist_destroy_ctl(s->member[1].ml);
    assert_int_equal(
        pw_memberlist_create_ctl(&s->member[1].ml, &cfg, &io, s->member[1].kv, now_of(s)), 0);
    join(s, 1, 0);
    run(s, 100);
    assert_int_equal(s->member[1].join_failed, 1);
    assert_int_equal(alive(s, 0), 1);
    assert_int_equal(stats(s, 0)->packets_other_label, 1);
}

/* --- Who is gone ---------------------------------------------------------------------------------- */

static void
test_probe__killed__suspect_then_dead_then_forgotten(void **state)
{
    struct sim *s = *state;

    start_cluster(s, 3);
    run(s, 20000);
    kill_member(s, 2);
    run(s, 20000);
    assert_int_equal(state_of(s, 0, "node-2"), PW_ML_STATE_SUSPECT);
    assert_int_equal(state_of(s, 1, "node-2"), PW_ML_STATE_SUSPECT);
    run(s, 25000);
    assert_int_equal(state_of(s, 0, "node-2"), PW_ML_STATE_DEAD);
    assert_int_equal(state_of(s, 1, "node-2"), PW_ML_STATE_DEAD);
    run(s, 60000);
    assert_int_equal(state_of(s, 0, "node-2"), -1);
    assert_int_equal(alive(s, 0), 2);
}

static void
test_probe__all_answer__nobody_is_suspected(void **state)
{
    struct sim *s = *state;

    start_cluster(s, 3);
    run(s, 120000);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(stats(s, i)->probes_failed, 0);
        assert_true(stats(s, i)->probes > 20);
        assert_int_equal(pw_memberlist_health(s->member[i].ml), 0);
    }
}

/* Cut for so long that it is suspected, not for so long that it is dead: it says that it lives. */
static void
test_suspect__comes_back__refutes(void **state)
{
    struct sim *s = *state;

    start_cluster(s, 3);
    run(s, 20000);
    s->member[2].cut = true;
    run(s, 18000);
    assert_int_equal(state_of(s, 0, "node-2"), PW_ML_STATE_SUSPECT);
    s->member[2].cut = false;
    run(s, 30000);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(alive(s, i), 3);
    }
    assert_true(stats(s, 2)->refuted > 0);
}

/* Dead to all, yet push/pull and gossip to the dead bring it back. */
static void
test_dead__comes_back__alive_again(void **state)
{
    struct sim *s = *state;

    start_cluster(s, 3);
    run(s, 20000);
    s->member[2].cut = true;
    run(s, 40000);
    assert_int_equal(state_of(s, 0, "node-2"), PW_ML_STATE_DEAD);
    s->member[2].cut = false;
    join(s, 2, 0);
    run(s, 5000);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(alive(s, i), 3);
    }
}

static void
test_leave__said_to_all__left_and_idle(void **state)
{
    struct sim *s = *state;

    start_cluster(s, 3);
    run(s, 20000);
    pw_memberlist_leave(s->member[2].ml, now_of(s));
    assert_false(pw_memberlist_idle(s->member[2].ml));
    run(s, 3000);
    assert_true(pw_memberlist_idle(s->member[2].ml));
    kill_member(s, 2);
    assert_int_equal(state_of(s, 0, "node-2"), PW_ML_STATE_LEFT);
    assert_int_equal(state_of(s, 1, "node-2"), PW_ML_STATE_LEFT);
    run(s, 60000);
    assert_int_equal(state_of(s, 0, "node-2"), -1);
    assert_int_equal(stats(s, 0)->probes_failed, 0);
}

/* The same name at the same place after leaving: it learns that it has left, and says otherwise. */
static void
test_restart__same_name__alive_at_a_later_incarnation(void **state)
{
    struct sim *s = *state;

    start_cluster(s, 2);
    run(s, 5000);
    pw_memberlist_leave(s->member[1].ml, now_of(s));
    run(s, 3000);
    kill_member(s, 1);
    start(s, 1);
    join(s, 1, 0);
    run(s, 1000);
    assert_int_equal(alive(s, 0), 2);
    assert_int_equal(alive(s, 1), 2);
    assert_int_equal(stats(s, 1)->refuted, 1);
}

static void
test_alive__same_name_elsewhere__conflict_is_ignored(void **state)
{
    struct sim *s = *state;

    start_cluster(s, 2);
    run(s, 1000);
    start_as(s, 2, "node-1", 2);
    join(s, 2, 0);
    run(s, 1000);
    assert_true(stats(s, 0)->conflicts > 0);
    assert_int_equal(alive(s, 0), 2);
}

/* --- Loss ----------------------------------------------------------------------------------------- */

static void
test_loss__a_fifth__rings_agree_and_nobody_dies(void **state)
{
    struct sim *s = *state;

    for (uint64_t seed = 1; seed <= 5; seed++) {
        s->random = seed;
        s->loss = 0;
        start_cluster(s, 4);
        s->loss = 20;
        for (int i = 0; i < 24; i++) {
            for (uint32_t m = 0; m < 4; m++) {
                char id[16];

                snprintf(id, sizeof(id), "ing-%u", m);
                heartbeat(s, m, id);
            }
            run(s, 5000);
            for (uint32_t m = 0; m < 4; m++) {
                assert_int_equal(pw_memberlist_count(s->member[m].ml, PW_ML_STATE_DEAD), 0);
            }
        }
        s->loss = 0;
        run(s, 40000);
        assert_true(s->lost > 100);
        for (uint32_t m = 0; m < 4; m++) {
            assert_int_equal(alive(s, m), 4);
            assert_true(same_ring(s, m, 0));
            assert_int_equal(pw_kv_get(s->member[m].kv, key)->count, 4);
        }
        for (uint32_t m = 0; m < 4; m++) {
            kill_member(s, m);
        }
    }
}

/* --- What hostile ends send ------------------------------------------------------------------------ */

static enum pw_ml_conn_next
feed(struct sim *s, uint32_t i, struct pw_slice bytes)
{
    struct pw_ml_conn *c = pw_ml_conn_accept(s->member[i].ml);
    enum pw_ml_conn_next next;

    assert_non_null(c);
    next = pw_ml_conn_input(c, bytes, now_of(s));
    next = next == PW_ML_CONN_MORE ? pw_ml_conn_eof(c, now_of(s)) : next;
    pw_ml_conn_free(c);
    return next;
}

static void
test_input__garbage__counted_and_survived(void **state)
{
    struct sim *s = *state;

    start(s, 0);
    assert_int_equal(feed(s, 0, PW_SLICE_LIT("GET / HTTP/1.1\r\n\r\n")), PW_ML_CONN_CLOSE);
    assert_int_equal(stats(s, 0)->messages_unknown, 1);
    assert_int_equal(feed(s, 0,
                          PW_SLICE_LIT("\x01\x0f"
                                       "127.0.0.1:1")),
                     PW_ML_CONN_CLOSE);
    assert_int_equal(stats(s, 0)->packets_broken, 1);
    /* A push/pull of 4 billion members. */
    assert_int_equal(
        feed(s, 0, PW_SLICE_LIT("\x02\xf4\x03sim\x06\x81\xa5Nodes\xce\xff\xff\xff\xff")),
        PW_ML_CONN_CLOSE);
    assert_int_equal(stats(s, 0)->push_pull_broken, 1);
    assert_int_equal(alive(s, 0), 1);
}

static void
test_accept__too_many__refused(void **state)
{
    struct pw_ml_conn *c[PW_ML_CONNECTIONS_MAX];
    struct sim *s = *state;

    start(s, 0);
    for (uint32_t i = 0; i < PW_ML_CONNECTIONS_MAX; i++) {
        c[i] = pw_ml_conn_accept(s->member[0].ml);
        assert_non_null(c[i]);
    }
    assert_null(pw_ml_conn_accept(s->member[0].ml));
    assert_int_equal(stats(s, 0)->connections_refused, 1);
    for (uint32_t i = 0; i < PW_ML_CONNECTIONS_MAX; i++) {
        pw_ml_conn_free(c[i]);
    }
}

/* A member without versions would not fit: neither it nor the ring beside it is taken. */
static void
test_push_pull__version_missing__refused_whole(void **state)
{
    static const char in[] = "\x02\xf4\x03sim\x06\x83\xa4Join\xc3\xa5Nodes\x01\xacUserStateLen\0"
                             "\x82\xa4Name\xa1x\xa4"
                             "Addr\xa4\x7f\0\0\x02";
    struct sim *s = *state;

    start(s, 0);
    assert_int_equal(feed(s, 0, PW_SLICE_LIT(in)), PW_ML_CONN_DONE);
    assert_int_equal(stats(s, 0)->push_pull_broken, 1);
    assert_int_equal(pw_memberlist_nodes(s->member[0].ml), 1);
}

int
main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_join__two__know_each_other_and_the_ring),
        CASE(test_join__nobody_there__fails),
        CASE(test_gossip__third_member__known_to_all_without_asking),
        CASE(test_gossip__change__reaches_all_and_ends),
        CASE(test_gossip__newer_change_of_one_instance__replaces_the_older),
        CASE(test_label__another__not_a_member),
        CASE(test_probe__killed__suspect_then_dead_then_forgotten),
        CASE(test_probe__all_answer__nobody_is_suspected),
        CASE(test_suspect__comes_back__refutes),
        CASE(test_dead__comes_back__alive_again),
        CASE(test_leave__said_to_all__left_and_idle),
        CASE(test_restart__same_name__alive_at_a_later_incarnation),
        CASE(test_alive__same_name_elsewhere__conflict_is_ignored),
        CASE(test_loss__a_fifth__rings_agree_and_nobody_dies),
        CASE(test_input__garbage__counted_and_survived),
        CASE(test_accept__too_many__refused),
        CASE(test_push_pull__version_missing__refused_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
