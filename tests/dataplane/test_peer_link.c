/* Two and more ends of the peer link over a wire that is as bad as its seed says, in virtual time. */
#include "base/check.h"
#include "dataplane/peer_link_priv.h"
#include "tests/support/cmocka_pw.h"
#include "tests/support/link_wire.h"

#include <stdlib.h>

enum { CALLS_MAX = 4096, LATER_MAX = 512, BYTES_MAX = PW_LINK_MESSAGE_BYTES_MAX + 1 };

struct peer {
    struct pw_wire *wire;
    struct pw_link *link;
    /* As a client: what became of each call, by cookie. */
    uint32_t done[CALLS_MAX];
    int status[CALLS_MAX];
    uint32_t dones;
    uint32_t ups;
    uint32_t downs;
    /* As a server: how often each request came, by the number in its first bytes. */
    uint32_t asked[CALLS_MAX];
    uint32_t requests;
    bool mixed; /* cookies are not the numbers of requests */
    bool later; /* answers wait for answer_all */
    struct pw_link_from from[LATER_MAX];
    uint16_t answer[LATER_MAX];
    uint32_t waiting;
    bool from_ok;
};

static uint8_t *message_bytes;

static void
on_done(void *ctx, uint64_t cookie, int status, struct pw_slice text)
{
    struct peer *p = ctx;

    assert_true(cookie < CALLS_MAX);
    p->done[cookie]++;
    p->dones++;
    p->status[cookie] = status;
    if (status != PW_LINK_DEAD && cookie % 3 == 0 && !p->mixed) {
        assert_true(pw_slice_eq_str(text, "divisible by three"));
    }
}

/* A request is its number, then bytes that follow from it. */
static uint32_t
check_message(struct pw_slice bytes)
{
    uint32_t number = pw_load_be32(bytes.ptr);

    for (size_t i = 4; i < bytes.len; i++) {
        if (bytes.ptr[i] != (uint8_t)(number * 31 + i)) {
            fail_msg("request %u of %zu bytes: byte %zu is wrong", number, bytes.len, i);
        }
    }
    return number;
}

static struct pw_slice
message(uint32_t number, size_t len)
{
    pw_store_be32(message_bytes, number);
    for (size_t i = 4; i < len; i++) {
        message_bytes[i] = (uint8_t)(number * 31 + i);
    }
    return pw_slice(message_bytes, len);
}

static void
reply(struct peer *p, struct pw_link_from from, uint32_t number)
{
    struct pw_slice text = number % 3 == 0 ? PW_SLICE_LIT("divisible by three") : pw_slice(NULL, 0);

    (void)pw_link_reply(p->link, from, (uint16_t)(200 + number % 7), text);
}

static void
on_request(void *ctx, struct pw_link_from from, struct pw_slice bytes)
{
    struct peer *p = ctx;
    uint32_t number = check_message(bytes);

    assert_true(number < CALLS_MAX);
    p->asked[number]++;
    p->requests++;
    p->from_ok |= pw_link_from_id(p->link, from)[0] != 0;
    if (!p->later) {
        reply(p, from, number);
        return;
    }
    assert_true(p->waiting < LATER_MAX);
    p->from[p->waiting] = from;
    p->answer[p->waiting++] = (uint16_t)number;
}

static void
answer_all(struct peer *p)
{
    for (uint32_t i = 0; i < p->waiting; i++) {
        reply(p, p->from[i], p->answer[i]);
    }
    p->waiting = 0;
}

static void
on_peer(void *ctx, uint32_t peer, bool up)
{
    struct peer *p = ctx;

    (void)peer;
    p->ups += up ? 1 : 0;
    p->downs += up ? 0 : 1;
}

static const char *const ids[PW_WIRE_ENDS_MAX] = {"a", "b", "c", "d", "e", "f", "g", "h"};

static struct pw_link_cfg
config(struct peer *p, struct pw_wire *w, uint32_t end)
{
    return (struct pw_link_cfg){
        .app = {.ctx = p, .on_done = on_done, .on_request = on_request, .on_peer = on_peer},
        .self_id = ids[end],
        .secret = PW_SLICE_LIT("sixteen bytes or more of it"),
        .no_cryptodev = true,
        .random = pw_wire_bytes,
        .random_ctx = w};
}

static struct peer *
joined(struct pw_wire *w, const struct pw_link_cfg *with)
{
    struct peer *p = calloc(1, sizeof(*p));
    uint32_t end = w->ends++;
    struct pw_link_cfg cfg = config(p, w, end);
    int err = 0;

    assert_non_null(p);
    if (with != NULL) {
        struct pw_link_app app = cfg.app;

        cfg = *with;
        cfg.app = app;
        cfg.self_id = ids[end];
    }
    p->wire = w;
    p->link = pw_link_create_ctl(&cfg, w->now_us, &err);
    assert_int_equal(err, 0);
    w->end[end] = p->link;
    return p;
}

static void
left(struct peer *p)
{
    pw_link_destroy_ctl(p->link);
    free(p);
}

static void
opened(struct peer *p, uint32_t end)
{
    struct pw_link_addr addr = pw_wire_addr(end);

    assert_true(pw_link_open(p->link, ids[end], &addr) >= 0);
}

/* Calls 0..n-1, each of the length that `len` says, kept until done: the bytes of all are alike but for the
 * number, so each call has a buffer of its own head and shares nothing. */
struct load {
    uint8_t **bytes;
    uint32_t n;
    uint32_t next;
};

static size_t
length_of(struct pw_wire *w)
{
    uint64_t r = pw_wire_random(w);

    switch (r % 8) {
    case 0:
        return 4 + r / 8 % 32;
    case 1:
        return 20000 + r / 8 % 200000;
    default:
        return 4 + r / 8 % 6000;
    }
}

static void
feed(struct load *f, struct peer *p)
{
    while (f->next < f->n) {
        size_t len = length_of(p->wire);
        struct pw_slice m = message(f->next, len);
        uint8_t *copy = malloc(len);

        assert_non_null(copy);
        memcpy(copy, m.ptr, len);
        const struct pw_slice parts[3] = {{copy, 4},
                                          {copy + 4, (len - 4) / 2},
                                          {copy + 4 + (len - 4) / 2, len - 4 - (len - 4) / 2}};
        int rc = pw_link_call(p->link, 0, parts, 3, f->next);

        if (rc != 0) {
            assert_true(rc == PW_EAGAIN || rc == PW_ECONNRESET);
            free(copy);
            return;
        }
        f->bytes[f->next++] = copy;
    }
}

static void
load_free(struct load *f)
{
    for (uint32_t i = 0; i < f->next; i++) {
        free(f->bytes[i]);
    }
    free(f->bytes);
}

static uint32_t
run_load(struct pw_wire *w, struct peer *a, uint32_t n, uint64_t limit_us)
{
    struct load f = {.bytes = calloc(n, sizeof(uint8_t *)), .n = n};
    uint64_t until = w->now_us + limit_us;

    while (a->dones < n && w->now_us < until) {
        feed(&f, a);
        pw_wire_run(w, 1000);
    }
    uint32_t sent = f.next;

    load_free(&f);
    return sent;
}

static void
bad_wire(uint32_t per_mille, uint64_t seed, bool insecure)
{
    struct pw_wire *w = pw_wire_new(seed);
    struct pw_link_cfg cfg = {.insecure = insecure,
                              .secret = PW_SLICE_LIT("sixteen bytes or more of it"),
                              .no_cryptodev = true,
                              .silence_ms = 60000, /* the wire is bad, not the peer dead */
                              .epoch_bits = 8,     /* keys change all the time */
                              .random = pw_wire_bytes,
                              .random_ctx = w};
    struct peer *a = joined(w, &cfg);
    struct peer *b = joined(w, &cfg);
    uint32_t n = 1000;

    w->loss = w->duplicate = w->reorder = w->corrupt = per_mille;
    opened(a, 1);
    assert_int_equal(run_load(w, a, n, 300000000), n);
    for (uint32_t i = 0; i < n; i++) {
        assert_int_equal(a->done[i], 1);
        assert_int_equal(a->status[i], 200 + (int)i % 7);
        assert_int_equal(b->asked[i], 1);
    }
    assert_int_equal(b->requests, n);
    assert_int_equal(a->ups, 1);
    assert_int_equal(a->downs, 0);
    assert_true(b->from_ok);
    if (per_mille > 0) {
        assert_true(w->damaged > 0);
        /* A damaged first byte is another version, a damaged session another session, and so on. */
        assert_true(pw_link_stat(b->link, "auth") > 0);
        assert_true(pw_link_stat(b->link, "replay") > 0);
        assert_true(pw_link_stat(a->link, "lost") > 0);
    } else {
        assert_int_equal(pw_link_stat(a->link, "lost"), 0);
    }
    assert_true(pw_link_stat(a->link, "epochs") > 2);
    left(a);
    left(b);
    pw_wire_free(w);
}

static void
test_pw_link_call__clean_wire__each_once(void **state)
{
    (void)state;
    bad_wire(0, 1, false);
    bad_wire(0, 2, true);
}

static void
test_pw_link_call__one_percent_bad__each_once(void **state)
{
    (void)state;
    bad_wire(10, 3, false);
    bad_wire(10, 4, true);
}

static void
test_pw_link_call__five_percent_bad__each_once(void **state)
{
    (void)state;
    bad_wire(50, 5, false);
    bad_wire(50, 6, true);
}

static void
test_pw_link_call__twenty_percent_bad__each_once(void **state)
{
    (void)state;
    bad_wire(200, 7, false);
    bad_wire(200, 8, true);
}

/* a calls b over a good wire, both with default settings. */
static struct pw_wire *
pair(struct peer **a, struct peer **b)
{
    struct pw_wire *w = pw_wire_new(99);

    *a = joined(w, NULL);
    *b = joined(w, NULL);
    opened(*a, 1);
    pw_wire_run(w, 5000);
    assert_true(pw_link_peer_up(b == NULL ? NULL : (*a)->link, 0));
    return w;
}

static void
pair_free(struct pw_wire *w, struct peer *a, struct peer *b)
{
    left(a);
    left(b);
    pw_wire_free(w);
}

static void
call_ok(struct peer *a, uint32_t number, size_t len)
{
    struct pw_slice m = message(number, len);

    assert_int_equal(pw_link_call(a->link, 0, &m, 1, number), 0);
}

static void
test_pw_link_call__largest_and_one_more__whole_and_refused(void **state)
{
    struct peer *a, *b;
    struct pw_wire *w = pair(&a, &b);
    struct pw_slice m = message(1, BYTES_MAX);

    (void)state;
    m.len = PW_LINK_MESSAGE_BYTES_MAX + 1;
    assert_int_equal(pw_link_call(a->link, 0, &m, 1, 1), PW_EMSGSIZE);
    m.len = 0;
    assert_int_equal(pw_link_call(a->link, 0, &m, 1, 1), PW_EINVAL);
    call_ok(a, 1, PW_LINK_MESSAGE_BYTES_MAX);
    for (uint32_t i = 0; i < 100 && a->dones == 0; i++) {
        pw_wire_run(w, 100000);
    }
    assert_int_equal(a->done[1], 1);
    assert_int_equal(b->asked[1], 1);
    pair_free(w, a, b);
}

/* Such as one whose memory is wrong: a profile would count as stored that is nowhere. */
static void
test_pw_link_input__answer_to_what_was_not_sent_whole__is_none(void **state)
{
    struct peer *a, *b;
    struct pw_wire *w = pair(&a, &b);
    struct pw_link_session *s = &b->link->session[b->link->peers_max];
    uint64_t dropped = pw_link_stat(a->link, "frame");
    enum { SLOT = 0, BYTES = 1000000 }; /* more than a first window */
    struct pw_link_item item = {.kind = PW_LINK_ITEM_REPLY, .slot = SLOT, .turn = 1};

    (void)state;
    w->mute[1] = true;
    call_ok(a, 1, BYTES);
    pw_wire_run(w, 300);
    assert_int_equal(a->link->session[0].call[SLOT].state, PW_LINK_CALL_SENDING);
    assert_int_equal(s->slot[SLOT].state, PW_LINK_SLOT_PARTIAL);
    s->slot[SLOT].state = PW_LINK_SLOT_REPLIED;
    s->slot[SLOT].todo = pw_link_todo(b->link, s, item);
    assert_true(s->slot[SLOT].todo);
    w->mute[1] = false;
    pw_wire_run(w, 100);
    assert_int_equal(a->dones, 0);
    assert_true(pw_link_stat(a->link, "frame") > dropped);
    assert_int_equal(pw_link_cancel(a->link, 1), 0); /* it is still on its way */
    pair_free(w, a, b);
}

static void
test_pw_link_call__too_many__pushed_back_until_answered(void **state)
{
    struct peer *a, *b;
    struct pw_wire *w = pair(&a, &b);
    struct pw_slice m = message(7, 4);

    (void)state;
    a->mixed = true;
    b->later = true;
    for (uint32_t i = 0; i < PW_LINK_CALLS_MAX; i++) {
        assert_int_equal(pw_link_call(a->link, 0, &m, 1, i), 0);
    }
    assert_int_equal(pw_link_call(a->link, 0, &m, 1, 999), PW_EAGAIN);
    pw_wire_run(w, 5000);
    assert_int_equal(b->asked[7], PW_LINK_CALLS_MAX);
    assert_int_equal(a->dones, 0);
    answer_all(b);
    answer_all(b); /* nothing twice */
    pw_wire_run(w, 5000);
    assert_int_equal(a->dones, PW_LINK_CALLS_MAX);
    assert_int_equal(pw_link_call(a->link, 0, &m, 1, 999), 0);
    pair_free(w, a, b);
}

static void
test_pw_link_tick__peer_silent__down_within_a_second_and_back(void **state)
{
    struct peer *a, *b;
    struct pw_wire *w = pair(&a, &b);

    (void)state;
    pw_wire_run(w, 5000000);
    assert_int_equal(a->downs, 0); /* idle is not silent */
    b->later = true;
    call_ok(a, 1, 3000);
    pw_wire_run(w, 10000);
    call_ok(a, 2, 3000);
    w->cut[1] = true;
    pw_wire_run(w, 1000000);
    assert_int_equal(a->downs, 1);
    assert_int_equal(a->dones, 2);
    assert_int_equal(a->status[1], PW_LINK_DEAD);
    assert_int_equal(a->status[2], PW_LINK_DEAD);
    struct pw_slice m = message(3, 10);

    assert_int_equal(pw_link_call(a->link, 0, &m, 1, 3), PW_ECONNRESET);
    w->cut[1] = false;
    pw_wire_run(w, 1000000);
    assert_int_equal(a->ups, 2);
    answer_all(b); /* of a session that is over: no harm */
    call_ok(a, 3, 10);
    pw_wire_run(w, 5000);
    answer_all(b);
    pw_wire_run(w, 5000);
    assert_int_equal(a->done[3], 1);
    assert_int_equal(a->done[1], 1);
    pair_free(w, a, b);
}

static void
test_pw_link_tick__we_were_away__peer_stays_up(void **state)
{
    struct peer *a, *b;
    struct pw_wire *w = pair(&a, &b);

    (void)state;
    w->now_us += 30000000; /* both stopped, as by a signal */
    pw_wire_run(w, 100000);
    assert_int_equal(a->downs, 0);
    call_ok(a, 1, 100000);
    pw_wire_run(w, 60);
    w->now_us += 300000; /* and what came meanwhile is taken before the clock is looked at */
    pw_wire_run(w, 100000);
    assert_int_equal(a->downs, 0);
    assert_int_equal(a->done[1], 1);
    assert_int_equal(a->status[1], 201);
    assert_true(pw_link_peer_up(a->link, 0));
    pair_free(w, a, b);
}

static void
test_pw_link_tick__we_could_not_ask__peer_stays_up(void **state)
{
    struct peer *a, *b;
    struct pw_wire *w = pair(&a, &b);

    (void)state;
    w->mute[0] = true; /* out of packet buffers, say */
    pw_wire_run(w, 2000000);
    assert_int_equal(a->downs, 0);
    w->mute[0] = false;
    call_ok(a, 1, 3000);
    pw_wire_run(w, 100000);
    assert_int_equal(a->downs, 0);
    assert_int_equal(a->status[1], 201);
    w->cut[1] = true; /* and who is asked and says nothing is silent all the same */
    pw_wire_run(w, 1000000);
    assert_int_equal(a->downs, 1);
    assert_int_equal(pw_link_down(a->link, 0).asked, 4);
    assert_true(pw_link_down(a->link, 0).silent_us >= 800000);
    assert_false(pw_link_down(a->link, 0).bye);
    pair_free(w, a, b);
}

/* Nothing more may be on its way to a peer that answers nothing; pings may. */
static void
test_pw_link_output__window_full__pings_go_out(void **state)
{
    struct peer *a, *b;
    struct pw_wire *w = pair(&a, &b);
    uint64_t before = pw_link_stat(a->link, "pings_out");

    (void)state;
    w->cut[1] = true;
    for (uint32_t i = 1; i <= 64; i++) {
        call_ok(a, i, 3000);
    }
    pw_wire_run(w, 790000);
    assert_int_equal(a->downs, 0);
    assert_int_equal(pw_link_stat(a->link, "pings_out") - before, 4);
    pw_wire_run(w, 100000);
    assert_int_equal(a->downs, 1);
    pair_free(w, a, b);
}

/* A machine that gives its processes a turn now and then, by chance, for five minutes; sometimes the caller has none for
 * seconds. */
static void
test_pw_link_tick__both_run_seldom__nobody_is_silent(void **state)
{
    struct peer *a, *b;
    struct pw_wire *w = pair(&a, &b);
    uint32_t calls = 0;

    (void)state;
    while (w->now_us < 300000000) {
        for (uint32_t e = 0; e < 2; e++) {
            if (w->asleep_us[e] <= w->now_us) { /* mostly below what counts as having been away */
                uint64_t r = pw_wire_random(w);

                w->asleep_us[e] =
                    w->now_us + 10000 + r % 85000 + (e == 0 && r % 97 == 0 ? 3000000 : 0);
            }
        }
        if (calls + 1 < CALLS_MAX && pw_wire_random(w) % 4 == 0 && a->dones == calls) {
            call_ok(a, ++calls, 2000);
        }
        pw_wire_run(w, 20000);
    }
    assert_true(calls > 100);
    for (uint32_t i = 1; i <= calls && i <= a->dones; i++) {
        assert_int_equal(a->done[i], 1);
    }
    assert_int_equal(a->downs, 0);
    pair_free(w, a, b);
}

static void
test_pw_link_open__peer_restarts__found_again(void **state)
{
    struct peer *a, *b, *b2;
    struct pw_wire *w = pair(&a, &b);
    struct pw_link_cfg cfg;

    (void)state;
    b2 = calloc(1, sizeof(*b2));
    b2->wire = w;
    cfg = config(b2, w, 1);
    b2->link = pw_link_create_ctl(&cfg, w->now_us, NULL);
    w->end[1] = b2->link;
    pw_wire_run(w, 2000000);
    assert_int_equal(a->downs, 1);
    assert_int_equal(a->ups, 2);
    call_ok(a, 5, 100000);
    pw_wire_run(w, 100000);
    assert_int_equal(b2->asked[5], 1);
    assert_int_equal(a->status[5], 205);
    left(b2);
    pair_free(w, a, b);
}

static void
test_pw_link_leave__peers_know_at_once(void **state)
{
    struct peer *a, *b;
    struct pw_wire *w = pair(&a, &b);

    (void)state;
    b->later = true;
    call_ok(a, 1, 100);
    pw_wire_run(w, 5000);
    pw_link_leave(b->link);
    pw_wire_run(w, 5000);
    assert_int_equal(a->downs, 1);
    assert_int_equal(a->status[1], PW_LINK_DEAD);
    pw_wire_run(w, 500000);
    assert_int_equal(a->ups, 1);
    assert_true(pw_link_stat(b->link, "hello_leaving") > 0);
    pair_free(w, a, b);
}

static void
test_pw_link_close__calls_in_flight__dead_and_number_free(void **state)
{
    struct peer *a, *b;
    struct pw_wire *w = pair(&a, &b);

    (void)state;
    b->later = true;
    call_ok(a, 1, 100);
    pw_wire_run(w, 5000);
    pw_link_close(a->link, 0);
    assert_int_equal(a->status[1], PW_LINK_DEAD);
    assert_int_equal(a->downs, 0);
    pw_wire_run(w, 5000);
    assert_string_equal(pw_link_from_id(b->link, b->from[0]), "");
    assert_int_equal(pw_link_reply(b->link, b->from[0], 200, pw_slice(NULL, 0)), PW_ENOENT);
    opened(a, 1);
    pw_wire_run(w, 5000);
    assert_true(pw_link_peer_up(a->link, 0));
    pair_free(w, a, b);
}

static void
test_pw_link_cancel__at_every_stage__not_done_and_place_reused(void **state)
{
    struct peer *a, *b;
    struct pw_wire *w = pair(&a, &b);

    (void)state;
    a->mixed = true;
    b->later = true;
    for (uint32_t round = 0; round < 400; round++) {
        w->loss = round % 2 == 0 ? 0 : 300;
        call_ok(a, round, 4 + (size_t)(round % 5) * 40000);
        pw_wire_run(w, round * 7 % 400);
        if (a->done[round] == 0) {
            assert_int_equal(pw_link_cancel(a->link, round), 0);
            assert_int_equal(pw_link_cancel(a->link, round), PW_ENOENT);
            assert_int_equal(a->done[round], 0);
        }
        answer_all(b);
    }
    w->loss = 0;
    b->later = false;
    pw_wire_run(w, 3000000);
    uint32_t before = a->dones;

    for (uint32_t i = 1000; i < 1000 + PW_LINK_CALLS_MAX; i++) {
        call_ok(a, i, 4);
    }
    pw_wire_run(w, 100000);
    assert_int_equal(a->dones, before + PW_LINK_CALLS_MAX);
    for (uint32_t i = 0; i < 400; i++) {
        assert_true(a->done[i] <= 1 && b->asked[i] <= 1);
    }
    /* Nothing granted leaks away with what was given up: the largest still goes. */
    call_ok(a, 2000, PW_LINK_MESSAGE_BYTES_MAX);
    pw_wire_run(w, 3000000);
    assert_int_equal(a->done[2000], 1);
    pair_free(w, a, b);
}

static void
test_pw_link_input__no_memory_for_all__all_arrive_in_turn(void **state)
{
    struct pw_wire *w = pw_wire_new(5);
    struct pw_link_cfg cfg = {.secret = PW_SLICE_LIT("sixteen bytes or more of it"),
                              .no_cryptodev = true,
                              .rx_bytes = 1, /* raised to one message of the largest size */
                              .calls_bytes = 64 << 20,
                              .session_bytes = 64 << 20,
                              .silence_ms = 60000,
                              .random = pw_wire_bytes,
                              .random_ctx = w};
    struct peer *p[4];

    (void)state;
    for (uint32_t i = 0; i < 4; i++) {
        p[i] = joined(w, &cfg);
    }
    for (uint32_t i = 1; i < 4; i++) {
        opened(p[i], 0);
    }
    pw_wire_run(w, 10000);
    struct pw_slice m = message(9, PW_LINK_MESSAGE_BYTES_MAX - 100000);

    for (uint32_t i = 1; i < 4; i++) { /* together thrice what there is */
        assert_int_equal(pw_link_call(p[i]->link, 0, &m, 1, 9), 0);
    }
    pw_wire_run(w, 20000000);
    assert_int_equal(p[0]->asked[9], 3);
    assert_true(pw_link_stat(p[0]->link, "memory") > 0);
    for (uint32_t i = 0; i < 4; i++) {
        left(p[i]);
    }
    pw_wire_free(w);
}

static void
test_pw_link_input__wrong_key__never_up_and_counted(void **state)
{
    struct pw_wire *w = pw_wire_new(5);
    struct peer *a = joined(w, NULL);
    struct pw_link_cfg cfg = config(a, w, 1);

    (void)state;
    cfg.secret = PW_SLICE_LIT("another secret of the right length");
    struct peer *b = joined(w, &cfg);

    cfg.insecure = true;
    struct peer *c = joined(w, &cfg);

    opened(a, 1);
    opened(b, 0);
    pw_wire_run(w, 3000000);
    assert_int_equal(a->ups + b->ups, 0);
    assert_true(pw_link_stat(a->link, "auth") > 2);
    assert_true(pw_link_stat(b->link, "auth") > 2);
    assert_int_equal(pw_link_stat(a->link, "plain"), 0);
    opened(c, 0);
    pw_wire_run(w, 3000000);
    assert_int_equal(c->ups, 0);
    assert_true(pw_link_stat(a->link, "plain") > 2);
    left(c);
    pair_free(w, a, b);
}

static void
test_pw_link_create_ctl__no_key__refused_unless_insecure(void **state)
{
    struct peer p;
    struct pw_wire *w = pw_wire_new(5);
    struct pw_link_cfg cfg = config(&p, w, 0);
    int err = 0;

    (void)state;
    cfg.secret = pw_slice(NULL, 0);
    assert_null(pw_link_create_ctl(&cfg, 0, &err));
    assert_int_equal(err, PW_EINVAL);
    cfg.secret = PW_SLICE_LIT("fifteen bytes..");
    assert_null(pw_link_create_ctl(&cfg, 0, &err));
    assert_int_equal(err, PW_EINVAL);
    cfg.insecure = true;
    struct pw_link *l = pw_link_create_ctl(&cfg, 0, &err);

    assert_non_null(l);
    pw_link_destroy_ctl(l);
    pw_wire_free(w);
}

/* Everything that went over the wire, to be played again. */
struct recording {
    struct {
        uint32_t from;
        uint32_t len;
        uint8_t bytes[2048];
    } packet[2000];
    uint32_t n;
};

static void
tap(void *ctx, uint32_t from, const uint8_t *bytes, size_t len)
{
    struct recording *r = ctx;

    if (r->n < PW_ARRAY_LEN(r->packet)) {
        r->packet[r->n].from = from;
        r->packet[r->n].len = (uint32_t)len;
        memcpy(r->packet[r->n++].bytes, bytes, len);
    }
}

static void
longest(void *ctx, uint32_t from, const uint8_t *bytes, size_t len)
{
    size_t *most = ctx;

    (void)from;
    (void)bytes;
    *most = len > *most ? len : *most;
}

static void
test_pw_link_open__nobody_there__mostly_long_hellos_and_some_short(void **state)
{
    struct recording *r = calloc(1, sizeof(*r));
    struct pw_wire *w = pw_wire_new(12);
    struct peer *a = joined(w, NULL);
    struct pw_link_addr to = pw_wire_addr(1);
    uint32_t n[3] = {0}; /* whole, cut to 960, short */

    (void)state;
    assert_non_null(r);
    w->tap = tap;
    w->tap_ctx = r;
    assert_true(pw_link_open(a->link, "b", &to) >= 0);
    pw_wire_run(w, 200000);
    assert_in_range(r->n, 4, 6);
    for (uint32_t i = 0; i < r->n; i++) {
        assert_true(r->packet[i].len == 1472 || r->packet[i].len < 200);
        assert_int_equal(r->packet[i].len == 1472, i % 4 != 3);
    }
    r->n = 0;
    pw_link_too_big(a->link, &to, 1000, w->now_us);
    pw_wire_run(w, 5000000);
    for (uint32_t i = 0; i < r->n; i++) {
        n[r->packet[i].len == 1472 ? 0 : r->packet[i].len == 960 ? 1 : 2]++;
    }
    assert_int_equal(n[0], 0);
    assert_true(n[1] > n[2] && n[2] > 0);
    left(a);
    pw_wire_free(w);
    free(r);
}

static void
test_pw_link_too_big__path_of_1000__a_new_session_within_it(void **state)
{
    struct pw_wire *w = pw_wire_new(11);
    struct peer *a = joined(w, NULL);
    struct peer *b = joined(w, NULL);
    struct pw_link_addr to = pw_wire_addr(1);
    size_t most = 0;

    (void)state;
    opened(a, 1);
    pw_wire_run(w, 100000);
    assert_int_equal(a->ups, 1);
    to.port++; /* another's */
    pw_link_too_big(a->link, &to, 1000, w->now_us);
    assert_int_equal(a->downs, 0);
    to.port--;
    pw_link_too_big(a->link, &to, 1000, w->now_us);
    assert_int_equal(a->downs, 1);
    pw_wire_run(w, 100000);
    assert_int_equal(a->ups, 2);
    pw_link_too_big(a->link, &to, 1200, w->now_us); /* smaller already */
    assert_int_equal(a->downs, 1);
    assert_int_equal(pw_link_stat(a->link, "too_big"), 1);
    w->tap = longest;
    w->tap_ctx = &most;
    assert_int_equal(run_load(w, a, 50, 5000000), 50);
    assert_int_equal(b->requests, 50);
    assert_true(most > 896 && most <= 960); /* 1000, down to a multiple of 64 */
    left(a);
    left(b);
    pw_wire_free(w);
}

static void
play(struct pw_wire *w, const struct recording *r)
{
    for (uint32_t i = 0; i < r->n; i++) {
        pw_wire_inject(w, r->packet[i].from, 1 - r->packet[i].from, r->packet[i].bytes,
                       r->packet[i].len);
        pw_wire_run(w, 100);
    }
}

static void
test_pw_link_input__everything_replayed__nothing_twice(void **state)
{
    struct recording *r = calloc(1, sizeof(*r));
    struct pw_wire *w = pw_wire_new(5);
    struct peer *a = joined(w, NULL);
    struct peer *b = joined(w, NULL);

    (void)state;
    w->tap = tap;
    w->tap_ctx = r;
    opened(a, 1);
    assert_int_equal(run_load(w, a, 50, 5000000), 50);
    w->tap = NULL;
    play(w, r);
    pw_wire_run(w, 100000);
    assert_int_equal(b->requests, 50);
    assert_int_equal(a->dones, 50);
    assert_true(pw_link_stat(b->link, "replay") + pw_link_stat(b->link, "old") > 50);
    assert_true(pw_link_stat(a->link, "replay") + pw_link_stat(a->link, "old") > 0);
    assert_int_equal(a->downs, 0);
    /* After both have a new session the old one's packets are nobody's, and its HELLO makes nothing but
     * halves that end by themselves. */
    pw_link_close(a->link, 0);
    pw_wire_run(w, 100000);
    opened(a, 1);
    pw_wire_run(w, 100000);
    play(w, r);
    pw_wire_run(w, 3000000);
    assert_int_equal(b->requests, 50);
    assert_int_equal(pw_link_stat(b->link, "sessions_in"), 2);
    assert_true(pw_link_stat(b->link, "session") > 50);
    assert_int_equal(a->downs, 0);
    call_ok(a, 60, 100);
    pw_wire_run(w, 5000);
    assert_int_equal(a->done[60], 1);
    free(r);
    pair_free(w, a, b);
}

static void
test_pw_link_input__garbage_between_good__served_and_counted(void **state)
{
    struct peer *a, *b;
    struct pw_wire *w = pair(&a, &b);
    uint8_t bytes[1600];

    (void)state;
    for (uint32_t i = 0; i < 20000; i++) {
        size_t len = 1 + pw_wire_random(w) % sizeof(bytes);

        pw_wire_bytes(w, bytes, len);
        bytes[0] = i % 4 == 0 ? bytes[0] : PW_LINK_VERSION;
        if (i % 3 != 0 && len > 2) {
            bytes[1] = (uint8_t)(1 + i % 3);
            bytes[2] = i % 5 == 0 ? 1 : 0;
        }
        pw_wire_inject(w, 0, 1, bytes, len);
        if (i % 200 == 0) {
            call_ok(a, i / 200, 2000);
        }
        if (i % 20 == 0) {
            pw_wire_run(w, 1000);
        }
    }
    pw_wire_run(w, 100000);
    assert_int_equal(a->dones, 100);
    assert_int_equal(b->requests, 100);
    static const char *const reasons[] = {"short", "long",    "version", "type",
                                          "plain", "session", "auth"};

    for (uint32_t i = 0; i < PW_ARRAY_LEN(reasons); i++) {
        if (pw_link_stat(b->link, reasons[i]) == 0) {
            fail_msg("nothing was refused for \"%s\"", reasons[i]);
        }
    }
    pair_free(w, a, b);
}

static void
test_pw_link_input__hello_for_another__refused(void **state)
{
    struct pw_wire *w = pw_wire_new(5);
    struct peer *a = joined(w, NULL);
    struct peer *b = joined(w, NULL);
    struct pw_link_addr addr = pw_wire_addr(1);

    (void)state;
    /* The address was given to somebody else. */
    assert_int_equal(pw_link_open(a->link, "c", &addr), 0);
    pw_wire_run(w, 1000000);
    assert_int_equal(a->ups, 0);
    assert_true(pw_link_stat(b->link, "hello_other") > 0);
    pair_free(w, a, b);
}

static void
test_pw_link_call__both_ways_small_mtu_and_large__each_once(void **state)
{
    struct pw_wire *w = pw_wire_new(15);
    struct pw_link_cfg cfg = {.secret = PW_SLICE_LIT("sixteen bytes or more of it"),
                              .no_cryptodev = true,
                              .packet_bytes = PW_WIRE_PACKET_BYTES - 28,
                              .silence_ms = 60000,
                              .random = pw_wire_bytes,
                              .random_ctx = w};
    struct peer *a = joined(w, &cfg);

    cfg.packet_bytes = 512;
    struct peer *b = joined(w, &cfg);

    (void)state;
    w->loss = 20;
    opened(a, 1);
    opened(b, 0);
    assert_int_equal(run_load(w, a, 200, 60000000), 200);
    assert_int_equal(run_load(w, b, 200, 60000000), 200);
    assert_int_equal(a->requests, 200);
    assert_int_equal(b->requests, 200);
    pair_free(w, a, b);
}

static int
setup(void **state)
{
    (void)state;
    message_bytes = malloc(BYTES_MAX);
    return message_bytes == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
    (void)state;
    free(message_bytes);
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pw_link_call__clean_wire__each_once),
        cmocka_unit_test(test_pw_link_call__one_percent_bad__each_once),
        cmocka_unit_test(test_pw_link_call__five_percent_bad__each_once),
        cmocka_unit_test(test_pw_link_call__twenty_percent_bad__each_once),
        cmocka_unit_test(test_pw_link_call__largest_and_one_more__whole_and_refused),
        cmocka_unit_test(test_pw_link_input__answer_to_what_was_not_sent_whole__is_none),
        cmocka_unit_test(test_pw_link_call__too_many__pushed_back_until_answered),
        cmocka_unit_test(test_pw_link_tick__peer_silent__down_within_a_second_and_back),
        cmocka_unit_test(test_pw_link_tick__we_were_away__peer_stays_up),
        cmocka_unit_test(test_pw_link_tick__we_could_not_ask__peer_stays_up),
        cmocka_unit_test(test_pw_link_output__window_full__pings_go_out),
        cmocka_unit_test(test_pw_link_tick__both_run_seldom__nobody_is_silent),
        cmocka_unit_test(test_pw_link_open__peer_restarts__found_again),
        cmocka_unit_test(test_pw_link_leave__peers_know_at_once),
        cmocka_unit_test(test_pw_link_close__calls_in_flight__dead_and_number_free),
        cmocka_unit_test(test_pw_link_cancel__at_every_stage__not_done_and_place_reused),
        cmocka_unit_test(test_pw_link_input__no_memory_for_all__all_arrive_in_turn),
        cmocka_unit_test(test_pw_link_input__wrong_key__never_up_and_counted),
        cmocka_unit_test(test_pw_link_create_ctl__no_key__refused_unless_insecure),
        cmocka_unit_test(test_pw_link_open__nobody_there__mostly_long_hellos_and_some_short),
        cmocka_unit_test(test_pw_link_too_big__path_of_1000__a_new_session_within_it),
        cmocka_unit_test(test_pw_link_input__everything_replayed__nothing_twice),
        cmocka_unit_test(test_pw_link_input__garbage_between_good__served_and_counted),
        cmocka_unit_test(test_pw_link_input__hello_for_another__refused),
        cmocka_unit_test(test_pw_link_call__both_ways_small_mtu_and_large__each_once),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
