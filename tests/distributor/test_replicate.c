/* Pushes among appliances: whose acknowledgements make an answer and which one, what happens to those that come
 * late or never, and what a peer's message becomes. The link is a fake, the ring is real, the ingester cores
 * are played by the harness. */
#include "distributor/internal.h"
#include "tests/distributor/harness.h"
#include "tests/distributor/push_gzip.h"
#include "tests/support/cmocka_pw.h"
#include "tests/support/fake_link.h"

#include <stdio.h>
#include <stdlib.h>

enum { INSTANCES_MAX = 8, TOKENS = 16, SELF = 0 };

static const char *const ids[INSTANCES_MAX] = {"a", "b", "c", "d", "e", "f", "g", "h"};
static const char folded[] = "main;work 10\nmain;idle 3\n";

struct world {
    struct pw_t t;
    struct pw_link *link;
    struct pw_ring_view *view;
    enum pw_instance_state state[INSTANCES_MAX];
    bool read_only[INSTANCES_MAX];
    bool spread; /* whoever comes first in the ring changes */
    uint8_t peer[INSTANCES_MAX];
    struct pw_owners owners;
    struct pw_distributor *d; /* of t */
};

static void
on_done(void *ctx, uint64_t cookie, int status, struct pw_slice text)
{
    pw_distributor_link_done(((struct world *)ctx)->d, cookie, status, text);
}

static void
on_request(void *ctx, struct pw_link_from from, struct pw_slice bytes)
{
    pw_distributor_link_request(((struct world *)ctx)->d, from, bytes);
}

/* Instance 0 is us; the others are peers that are up. */
static void
ring(struct world *w, uint32_t n, uint32_t rf)
{
    struct pw_instance in[INSTANCES_MAX];
    uint32_t token[INSTANCES_MAX][TOKENS];
    struct pw_ring_cfg cfg = {.replication_factor = rf, .heartbeat_timeout = 60};

    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t k = 0; k < TOKENS; k++) {
            token[i][k] = k * (UINT32_MAX / TOKENS) + (w->spread ? (i + k) % n : i) * 1000003 + 17;
        }
        in[i] = (struct pw_instance){
            .id = ids[i],
            .addr = "10.0.0.1:4040",
            .zone = "",
            .state = w->state[i],
            .read_only = w->read_only[i],
            .timestamp = pw_wall_ns() / 1000000000,
            .token = token[i],
            .token_count = TOKENS,
        };
    }
    if (w->view != NULL) {
        pw_ring_view_free_ctl(w->view);
    }
    assert_int_equal(pw_ring_view_make_ctl(&w->view, &cfg, in, n), 0);
    w->owners = (struct pw_owners){.view = w->view, .peer = w->peer};
    pw_distributor_set_owners(w->d, &w->owners);
}

static void
up(struct world *w, const struct pw_t_cfg *cfg, uint32_t n, uint32_t rf)
{
    struct pw_link_cfg lc = {
        .app = {.ctx = w, .on_done = on_done, .on_request = on_request},
        .self_id = ids[SELF],
    };
    struct pw_link_addr addr = {.port = 1};
    struct pw_owner_link link = {
        .call = pw_link_call, .cancel = pw_link_cancel, .reply = pw_link_reply};

    *w = (struct world){0};
    pw_t_up(&w->t, cfg);
    w->d = w->t.d;
    w->link = link.link = pw_link_create_ctl(&lc, 0, NULL);
    pw_distributor_bind_link_ctl(w->d, &link);
    w->peer[SELF] = PW_OWNER_SELF;
    for (uint32_t i = 1; i < n; i++) {
        int p = pw_link_open(w->link, ids[i], &addr);

        assert_true(p >= 0);
        w->peer[i] = (uint8_t)p;
        pw_fake_link_up(w->link, (uint32_t)p, true);
    }
    ring(w, n, rf);
}

static void
down(struct world *w)
{
    assert_int_equal(w->d->fanout.bulk.pages_used, 0);
    assert_int_equal(pw_replicate_in_flight(&w->d->fanout.replicate), 0);
    assert_int_equal(pw_replica_in_flight(&w->d->fanout.replica), 0);
    pw_t_down(&w->t);
    pw_link_destroy_ctl(w->link);
    pw_ring_view_free_ctl(w->view);
}

static const struct pw_t_request push = {
    .path = "/ingest?name=app", .body = folded, .body_len = sizeof(folded) - 1};

static void
send(struct world *w)
{
    pw_t_send(&w->t, &push);
}

static bool
answered(const struct world *w, uint16_t status)
{
    return w->t.reply.count == 1 && w->t.reply.status == status;
}

static bool
says(const struct world *w, const char *text)
{
    return strstr((const char *)w->t.reply.body, text) != NULL;
}

static void
ack(struct world *w, uint32_t i)
{
    assert_true(pw_fake_link_answer(w->link, w->peer[i], PW_REPLICA_OK, ""));
}

static const struct pw_t_cfg plain = {.bulk_bytes = 1 << 20};

/* --- What they get --- */

static void
test_push__a_gzip_profile__peers_get_the_record_that_was_finished_in_place(void **state)
{
    static const char *const header[] = {"Content-Type", "application/proto", NULL};
    struct pw_text member, body;
    struct world w;

    (void)state;
    up(&w, &(struct pw_t_cfg){.bulk_bytes = 4 << 20}, 3, 3);
    push_gzip_profile(&member, 40 << 10, 1);
    push_gzip_body(&body, &member, 1);
    pw_t_send(&w.t, &(struct pw_t_request){.path = "/push.v1.PusherService/Push",
                                           .header = header,
                                           .body = body.ptr,
                                           .body_len = body.len,
                                           .piece = 1448});
    assert_int_equal(w.d->metrics.records_placed, 1);
    for (uint32_t i = 1; i < 3; i++) {
        const struct pw_fake_call *call = pw_fake_link_call(w.link, w.peer[i]);
        struct pw_slice got;
        void *record;

        assert_non_null(call);
        assert_int_equal(pw_replica_read(pw_slice(call->bytes, call->len), &got), PW_REPLICA_OK);
        record = aligned_alloc(16, got.len);
        memcpy(record, got.ptr, got.len);
        assert_true(pw_replica_record_ok(record, got.len));
        assert_int_equal(((const struct pw_record *)record)->raw_bytes, member.len);
        free(record);
        ack(&w, i);
    }
    pw_t_settle(&w.t);
    assert_true(answered(&w, 200));
    assert_int_equal(w.t.records, 1);
    pw_text_fini(&member);
    pw_text_fini(&body);
    down(&w);
}

/* --- Who must answer --- */

static void
test_push__two_of_three_acknowledge__answered_then_and_the_third_is_late(void **state)
{
    struct world w;

    (void)state;
    up(&w, &plain, 3, 3);
    send(&w);
    assert_int_equal(pw_fake_link_calls(w.link, w.peer[1]), 1);
    assert_int_equal(pw_fake_link_calls(w.link, w.peer[2]), 1);
    ack(&w, 1);
    assert_int_equal(w.t.reply.count, 0);
    pw_t_settle(&w.t); /* our own */
    assert_true(answered(&w, 200));
    assert_true(w.d->fanout.bulk.pages_used > 0); /* the third still reads it */
    ack(&w, 2);
    assert_int_equal(w.d->fanout.replicate.stats.late, 1);
    assert_int_equal(w.d->fanout.replicate.stats.met, 1);
    down(&w);
}

static void
test_push__peers_before_our_own_disk__answered_without_it(void **state)
{
    struct world w;

    (void)state;
    up(&w, &plain, 3, 3);
    send(&w);
    ack(&w, 2);
    ack(&w, 1);
    assert_true(answered(&w, 200));
    assert_int_equal(w.t.records, 0);
    pw_t_settle(&w.t);
    assert_int_equal(w.t.records, 1);
    assert_int_equal(w.t.reply.count, 1);
    down(&w);
}

static void
test_push__a_dead_peer__failed_at_once_and_both_others_are_needed(void **state)
{
    struct world w;

    (void)state;
    up(&w, &plain, 3, 3);
    pw_fake_link_up(w.link, w.peer[2], false);
    send(&w);
    assert_int_equal(w.d->fanout.replicate.stats.down, 1);
    pw_t_settle(&w.t);
    assert_int_equal(w.t.reply.count, 0);
    ack(&w, 1);
    assert_true(answered(&w, 200));
    down(&w);
}

static void
test_push__a_peer_dies_with_the_record__others_make_the_quorum(void **state)
{
    struct world w;

    (void)state;
    up(&w, &plain, 3, 3);
    send(&w);
    pw_fake_link_up(w.link, w.peer[1], false);
    assert_int_equal(w.d->fanout.replicate.stats.died, 1);
    assert_int_equal(w.t.reply.count, 0);
    ack(&w, 2);
    pw_t_settle(&w.t);
    assert_true(answered(&w, 200));
    down(&w);
}

static void
test_push__both_peers_dead__503_that_names_one(void **state)
{
    struct world w;

    (void)state;
    up(&w, &plain, 3, 3);
    pw_fake_link_up(w.link, w.peer[1], false);
    pw_fake_link_up(w.link, w.peer[2], false);
    send(&w);
    assert_true(answered(&w, 503));
    assert_true(says(&w, "does not answer"));
    pw_t_settle(&w.t); /* stored here all the same */
    assert_int_equal(w.t.records, 1);
    assert_int_equal(w.t.reply.count, 1);
    down(&w);
}

static void
test_push__a_leaving_owner__every_other_one_is_needed(void **state)
{
    struct world w;

    (void)state;
    up(&w, &plain, 4, 3);
    w.state[3] = PW_INSTANCE_LEAVING; /* in every set, or a set has three that are ACTIVE */
    w.state[2] = PW_INSTANCE_LEAVING;
    ring(&w, 4, 3);
    send(&w);
    assert_true(answered(&w, 500));
    assert_true(says(&w, "at least 3 live replicas required, could only find 2"));
    assert_int_equal(pw_fake_link_calls(w.link, w.peer[1]),
                     0); /* refused before anything is sent */
    pw_t_settle(&w.t);
    assert_int_equal(w.t.records, 0);
    down(&w);
}

static void
test_push__an_empty_ring__500_as_stock(void **state)
{
    struct world w;

    (void)state;
    up(&w, &plain, 1, 1);
    ring(&w, 0, 1);
    send(&w);
    assert_true(answered(&w, 500));
    assert_true(says(&w, "\"code\":\"unknown\",\"message\":\"empty ring\""));
    down(&w);
}

static void
test_push__alone_with_one_replica__straight_into_the_lane(void **state)
{
    struct world w;

    (void)state;
    up(&w, &plain, 1, 1);
    pw_t_call(&w.t, &push);
    assert_true(answered(&w, 200));
    assert_int_equal(w.d->fanout.replicate.stats.items, 0);
    assert_int_equal(w.d->metrics.records_inline, 1);
    down(&w);
}

static void
test_push__the_ring_is_not_known_yet__nothing_is_stored(void **state)
{
    struct world w;
    struct pw_t_cfg three = {.bulk_bytes = 1 << 20, .replication_factor = 3};

    (void)state;
    up(&w, &three, 3, 3);
    pw_distributor_set_owners(w.d, NULL);
    send(&w);
    assert_true(answered(&w, 500));
    assert_true(says(&w, "empty ring"));
    pw_t_settle(&w.t);
    assert_int_equal(w.t.records, 0);
    down(&w);
}

static void
test_push__members_without_a_link__refused_clearly_when_they_are_needed(void **state)
{
    struct world w;

    (void)state;
    up(&w, &plain, 3, 3);
    w.peer[1] = PW_OWNER_UNKNOWN;
    send(&w);
    ack(&w, 2);
    pw_t_settle(&w.t);
    assert_true(answered(&w, 200));
    w.peer[2] = PW_OWNER_UNKNOWN;
    send(&w);
    assert_true(answered(&w, 503));
    assert_true(says(&w, "announces no pyrowire link"));
    pw_t_settle(&w.t);
    down(&w);
}

/* --- Shards of tenants --- */

static uint32_t
calls_to(const struct world *w, uint32_t n, uint32_t *who)
{
    uint32_t calls = 0;

    for (uint32_t i = 1; i < n; i++) {
        uint32_t c = pw_fake_link_calls(w->link, w->peer[i]);

        calls += c;
        *who |= c > 0 ? 1U << i : 0;
    }
    return calls;
}

static void
answer_everything(struct world *w, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++) {
        while (pw_fake_link_calls(w->link, w->peer[i]) > 0) {
            ack(w, i);
        }
    }
    pw_t_settle(&w->t);
    assert_true(answered(w, 200));
}

/* Pushes of many names, which have owners all over the ring. */
static uint32_t
owners_of_many(struct world *w, uint32_t n, uint32_t *calls)
{
    uint32_t who = 0;

    *calls = 0;
    for (uint32_t i = 0; i < 64; i++) {
        char path[64];
        struct pw_t_request r = push;

        (void)snprintf(path, sizeof(path), "/ingest?name=app%u", i);
        r.path = path;
        pw_t_send(&w->t, &r);
        *calls += calls_to(w, n, &who);
        answer_everything(w, n);
    }
    return who;
}

static void
test_push__tenant_with_a_shard__goes_to_its_members_alone(void **state)
{
    struct world w;
    uint32_t calls, whole, part;
    struct pw_ring_view *sub;

    (void)state;
    up(&w, &plain, 8, 2);
    w.spread = true;
    ring(&w, 8, 2);
    whole = owners_of_many(&w, 8, &calls);
    assert_int_equal(whole, 0xFE); /* everybody takes part */
    assert_int_equal(w.d->fanout.replicate.shards.computed, 0);

    pw_overrides_tenant_cold(w.t.overrides, PW_SLICE_LIT("anonymous"))
        ->ingestion_tenant_shard_size = 3;
    part = owners_of_many(&w, 8, &calls);
    assert_int_equal(pw_shuffle_shard_ctl(&sub, w.view, "anonymous", 3, 0, 0), 0);
    assert_int_equal(sub->instance_count, 3);
    for (uint32_t i = 0; i < sub->instance_count; i++) {
        uint32_t at = (uint32_t)(sub->instance[i].id[0] - 'a');

        assert_true(at == SELF || (part >> at & 1) != 0);
        part &= ~(1U << at);
    }
    assert_int_equal(part, 0);
    pw_ring_view_free_ctl(sub);
    assert_int_equal(w.d->fanout.replicate.shards.computed, 1);
    ring(&w, 8, 2); /* another heartbeat, the same ring */
    (void)owners_of_many(&w, 8, &calls);
    assert_int_equal(w.d->fanout.replicate.shards.computed, 1);
    down(&w);
}

static void
test_push__a_read_only_member__takes_nothing(void **state)
{
    struct world w;
    uint32_t calls;

    (void)state;
    up(&w, &plain, 4, 2);
    w.spread = w.read_only[2] = true;
    ring(&w, 4, 2);
    assert_int_equal(owners_of_many(&w, 4, &calls), 0xA);
    down(&w);
}

/* --- Whose error --- */

static void
test_push__one_owner_refuses__200_and_two_that_do_are_the_answer(void **state)
{
    struct world w;

    (void)state;
    up(&w, &plain, 3, 3);
    send(&w);
    assert_true(pw_fake_link_answer(w.link, w.peer[1], PW_REPLICA_SERIES_LIMIT, "too many series"));
    ack(&w, 2);
    pw_t_settle(&w.t);
    assert_true(answered(&w, 200));

    send(&w);
    assert_true(pw_fake_link_answer(w.link, w.peer[1], PW_REPLICA_DISK_ERROR, "disk"));
    assert_int_equal(w.t.reply.count, 0);
    assert_true(pw_fake_link_answer(w.link, w.peer[2], PW_REPLICA_SERIES_LIMIT, "too many series"));
    assert_true(answered(&w, 429)); /* the failure that was one too many, before our own answer */
    assert_true(says(&w, "too many series"));
    pw_t_settle(&w.t);
    assert_int_equal(w.t.reply.count, 1);

    send(&w);
    assert_true(pw_fake_link_answer(w.link, w.peer[1], PW_REPLICA_SERIES_LIMIT, "too many series"));
    assert_true(pw_fake_link_answer(w.link, w.peer[2], PW_REPLICA_DISK_ERROR, "disk"));
    assert_true(answered(&w, 503));
    pw_t_settle(&w.t);
    down(&w);
}

static void
test_push__our_own_head_is_full__peers_make_the_quorum(void **state)
{
    struct world w;

    (void)state;
    up(&w, &plain, 3, 3);
    w.t.answer_status = PW_ENOMEM;
    send(&w);
    pw_t_settle(&w.t);
    assert_int_equal(w.t.reply.count, 0);
    ack(&w, 1);
    ack(&w, 2);
    assert_true(answered(&w, 200));
    down(&w);
}

static void
test_push__a_status_nobody_knows__an_internal_error_of_that_owner(void **state)
{
    struct world w;

    (void)state;
    up(&w, &plain, 3, 3);
    send(&w);
    assert_true(pw_fake_link_answer(w.link, w.peer[1], 60000, "?"));
    assert_true(pw_fake_link_answer(w.link, w.peer[2], 60000, "?"));
    assert_true(answered(&w, 500));
    pw_t_settle(&w.t);
    down(&w);
}

/* --- Who never answers --- */

static void
test_push__peers_stay_silent__504_after_the_timeout_and_nothing_is_kept(void **state)
{
    struct world w;

    (void)state;
    up(&w, &plain, 3, 3);
    send(&w);
    pw_t_settle(&w.t);
    w.t.now_tsc += 4900000000ULL;
    (void)pw_distributor_poll(w.d, w.t.now_tsc);
    assert_int_equal(w.t.reply.count, 0);
    w.t.now_tsc += 200000000ULL;
    (void)pw_distributor_poll(w.d, w.t.now_tsc);
    assert_true(answered(&w, 504));
    assert_int_equal(w.d->fanout.replicate.stats.cancelled, 2);
    assert_int_equal(pw_fake_link_calls(w.link, w.peer[1]), 0); /* cancelled: its bytes are ours */
    down(&w);
}

static void
test_push__one_slow_peer__memory_held_no_longer_than_the_timeout(void **state)
{
    struct world w;
    uint32_t sent = 0;

    (void)state;
    up(&w, &plain, 3, 3);
    for (uint32_t i = 0; i < 65; i++) { /* an item for each 16 KiB of a MiB, and one */
        send(&w);
        if (w.t.reply.count == 0) {
            ack(&w, 1);
            sent++;
        }
        pw_t_settle(&w.t);
        assert_true(answered(&w, 200));
    }
    assert_int_equal(sent, 65);
    assert_true(w.d->fanout.bulk.pages_used >= 65);
    send(&w);
    assert_true(answered(&w, 503)); /* pushed back, not queued */
    w.t.now_tsc += 5100000000ULL;
    (void)pw_distributor_poll(w.d, w.t.now_tsc);
    assert_int_equal(w.d->fanout.replicate.stats.expired, 65);
    assert_int_equal(w.d->fanout.bulk.pages_used, 0);
    down(&w);
}

static void
test_push__our_own_lane_is_slow__its_memory_stays_until_it_is_through(void **state)
{
    struct world w;

    (void)state;
    up(&w, &plain, 3, 3);
    send(&w);
    w.t.now_tsc += 5100000000ULL;
    (void)pw_distributor_poll(w.d, w.t.now_tsc);
    assert_true(answered(&w, 504));
    assert_true(w.d->fanout.bulk.pages_used > 0);
    pw_t_settle(&w.t);
    assert_int_equal(w.t.records, 1);
    down(&w);
}

static void
test_push__too_much_is_on_its_way_to_a_peer__it_has_failed_at_once(void **state)
{
    struct world w;

    (void)state;
    up(&w, &plain, 3, 3);
    pw_fake_link_room(w.link, 1);
    send(&w);
    assert_int_equal(w.d->fanout.replicate.stats.full, 1);
    pw_t_settle(&w.t);
    assert_true(pw_fake_link_calls(w.link, w.peer[1]) + pw_fake_link_calls(w.link, w.peer[2]) == 1);
    (void)(pw_fake_link_answer(w.link, w.peer[1], PW_REPLICA_OK, "") ||
           pw_fake_link_answer(w.link, w.peer[2], PW_REPLICA_OK, ""));
    assert_true(answered(&w, 200));
    down(&w);
}

static void
test_push__its_connection_dies__stored_all_the_same(void **state)
{
    struct world w;

    (void)state;
    up(&w, &plain, 3, 3);
    send(&w);
    pw_t_hang_up(&w.t, 77);
    pw_t_settle(&w.t);
    ack(&w, 1);
    ack(&w, 2);
    assert_int_equal(w.t.reply.count, 0);
    assert_int_equal(w.t.records, 1);
    down(&w);
}

static void
test_push__the_link_is_closed__its_owners_have_failed(void **state)
{
    struct world w;

    (void)state;
    up(&w, &plain, 3, 3);
    send(&w);
    pw_t_settle(&w.t);
    pw_link_close(w.link, w.peer[1]);
    pw_link_close(w.link, w.peer[2]);
    assert_true(answered(&w, 503));
    down(&w);
}

/* --- More than one set of owners --- */

static void
test_push__more_members_than_replicas__only_owners_are_asked(void **state)
{
    struct world w;
    uint32_t total = 0;
    uint32_t seen = 0;
    char path[64];

    (void)state;
    up(&w, &plain, 6, 3);
    for (uint32_t i = 0; i < 40; i++) {
        struct pw_t_request r = push;
        uint32_t before = w.t.records;
        uint32_t asked = 0;

        snprintf(path, sizeof(path), "/ingest?name=app%u", i);
        r.path = path;
        pw_t_send(&w.t, &r);
        for (uint32_t k = 1; k < 6; k++) {
            if (pw_fake_link_answer(w.link, w.peer[k], PW_REPLICA_OK, "")) {
                seen |= 1U << k;
                asked++;
            }
        }
        pw_t_settle(&w.t);
        assert_true(answered(&w, 200));
        assert_int_equal(asked + (w.t.records - before), 3);
        total += asked;
    }
    assert_true(total < 40 * 3); /* some were ours too */
    assert_int_equal(seen, 0x3E);
    down(&w);
}

/* --- The other end --- */

/* What w has for instance i goes to `other`, and the answer back. */
static void
carry(struct world *w, uint32_t i, struct world *other)
{
    const struct pw_fake_call *c = pw_fake_link_call(w->link, w->peer[i]);
    const struct pw_fake_reply *rep;
    uint32_t n;

    assert_non_null(c);
    n = pw_fake_link_request(other->link, ids[SELF], pw_slice(c->bytes, c->len));
    pw_t_settle(&other->t);
    rep = pw_fake_link_reply(other->link, n);
    assert_non_null(rep);
    assert_true(pw_fake_link_answer(w->link, w->peer[i], rep->status, rep->text));
}

static void
test_replica__what_a_peer_stores__is_what_we_store(void **state)
{
    struct world w;
    struct world other;
    struct pw_t_cfg cores = {.cores = 3, .bulk_bytes = 1 << 20};

    (void)state;
    up(&other, &cores, 1, 1);
    up(&w, &plain, 2, 2);
    send(&w);
    carry(&w, 1, &other);
    assert_int_equal(w.t.reply.count, 0); /* two of two are needed */
    pw_t_settle(&w.t);
    assert_true(answered(&w, 200));
    assert_int_equal(other.t.records, 1);
    assert_int_equal(w.t.stored_len, other.t.stored_len);
    assert_memory_equal(w.t.stored, other.t.stored, w.t.stored_len);
    assert_memory_equal(w.t.last_uuid, other.t.last_uuid, 16);
    assert_string_equal(w.t.last_tenant, "anonymous");
    assert_int_equal(other.d->fanout.replica.answered[PW_REPLICA_OK], 1);
    down(&w);
    down(&other);
}

static void
test_replica__its_ingester_refuses__the_client_reads_why(void **state)
{
    struct world w;
    struct world other;

    (void)state;
    up(&other, &plain, 1, 1);
    up(&w, &plain, 2, 2);
    other.t.answer_status = PW_ERANGE;
    other.t.answer_actual = 5;
    other.t.answer_limit = 5;
    send(&w);
    carry(&w, 1, &other);
    assert_true(answered(&w, 429));
    assert_true(says(&w, "Maximum active series limit exceeded (5/5)"));
    pw_t_settle(&w.t);
    down(&w);
    down(&other);
}

/* The bytes of one call, to be spoilt. */
static uint8_t *
message(struct world *w, size_t *len)
{
    const struct pw_fake_call *c;
    uint8_t *copy;

    send(w);
    c = pw_fake_link_call(w->link, w->peer[1]);
    assert_non_null(c);
    *len = c->len;
    copy = malloc(c->len);
    memcpy(copy, c->bytes, c->len);
    ack(w, 1);
    pw_t_settle(&w->t);
    return copy;
}

static uint16_t
status_of(struct world *w, const void *bytes, size_t len)
{
    uint32_t n = pw_fake_link_request(w->link, "b", pw_slice(bytes, len));

    pw_t_settle(&w->t);
    assert_non_null(pw_fake_link_reply(w->link, n));
    return pw_fake_link_reply(w->link, n)->status;
}

static void
test_replica__messages_that_are_none__refused_and_counted(void **state)
{
    struct world w;
    size_t len;
    uint8_t *m;
    uint32_t records;

    (void)state;
    up(&w, &plain, 2, 2);
    m = message(&w, &len);
    records = w.t.records;
    assert_int_equal(status_of(&w, m, 3), PW_REPLICA_MALFORMED);
    assert_int_equal(status_of(&w, m, len - 16), PW_REPLICA_MALFORMED);
    m[0] ^= 1;
    assert_int_equal(status_of(&w, m, len), PW_REPLICA_MALFORMED);
    m[0] ^= 1;
    m[4]++; /* version */
    assert_int_equal(status_of(&w, m, len), PW_REPLICA_VERSION_ALIEN);
    m[4]--;
    m[6]++; /* of the record */
    assert_int_equal(status_of(&w, m, len), PW_REPLICA_VERSION_ALIEN);
    m[6]--;
    m[sizeof(struct pw_replica_head)]++; /* bytes of the record */
    assert_int_equal(status_of(&w, m, len), PW_REPLICA_MALFORMED);
    m[sizeof(struct pw_replica_head)]--;
    assert_int_equal(w.t.records, records);
    assert_int_equal(status_of(&w, m, len), PW_REPLICA_OK);
    assert_int_equal(w.t.records, records + 1);
    assert_int_equal(w.d->fanout.replica.answered[PW_REPLICA_MALFORMED], 4);
    assert_int_equal(w.d->fanout.replica.answered[PW_REPLICA_VERSION_ALIEN], 2);
    free(m);
    down(&w);
}

static void
test_replica__lanes_are_full__busy_at_once(void **state)
{
    struct world w;
    struct pw_t_cfg small = {.bulk_bytes = 1 << 20, .lane_bytes = 64 << 10};
    size_t len;
    uint8_t *m;
    uint32_t n;
    uint32_t last = 0;

    (void)state;
    up(&w, &small, 2, 2);
    m = message(&w, &len);
    for (n = 0; n < 200; n++) {
        last = pw_fake_link_request(w.link, "b", pw_slice(m, len));
        if (pw_fake_link_reply(w.link, last) != NULL) {
            break;
        }
    }
    assert_true(n > 1 && n < 200);
    assert_int_equal(pw_fake_link_reply(w.link, last)->status, PW_REPLICA_BUSY);
    for (uint32_t i = 0; i < n; i++) { /* a burst of completions each */
        pw_t_settle(&w.t);
    }
    assert_int_equal(w.d->fanout.replica.answered[PW_REPLICA_OK], n);
    free(m);
    down(&w);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            test_push__a_gzip_profile__peers_get_the_record_that_was_finished_in_place),
        cmocka_unit_test(test_push__two_of_three_acknowledge__answered_then_and_the_third_is_late),
        cmocka_unit_test(test_push__peers_before_our_own_disk__answered_without_it),
        cmocka_unit_test(test_push__a_dead_peer__failed_at_once_and_both_others_are_needed),
        cmocka_unit_test(test_push__a_peer_dies_with_the_record__others_make_the_quorum),
        cmocka_unit_test(test_push__both_peers_dead__503_that_names_one),
        cmocka_unit_test(test_push__a_leaving_owner__every_other_one_is_needed),
        cmocka_unit_test(test_push__an_empty_ring__500_as_stock),
        cmocka_unit_test(test_push__alone_with_one_replica__straight_into_the_lane),
        cmocka_unit_test(test_push__the_ring_is_not_known_yet__nothing_is_stored),
        cmocka_unit_test(test_push__members_without_a_link__refused_clearly_when_they_are_needed),
        cmocka_unit_test(test_push__tenant_with_a_shard__goes_to_its_members_alone),
        cmocka_unit_test(test_push__a_read_only_member__takes_nothing),
        cmocka_unit_test(test_push__one_owner_refuses__200_and_two_that_do_are_the_answer),
        cmocka_unit_test(test_push__our_own_head_is_full__peers_make_the_quorum),
        cmocka_unit_test(test_push__a_status_nobody_knows__an_internal_error_of_that_owner),
        cmocka_unit_test(test_push__peers_stay_silent__504_after_the_timeout_and_nothing_is_kept),
        cmocka_unit_test(test_push__one_slow_peer__memory_held_no_longer_than_the_timeout),
        cmocka_unit_test(test_push__our_own_lane_is_slow__its_memory_stays_until_it_is_through),
        cmocka_unit_test(test_push__too_much_is_on_its_way_to_a_peer__it_has_failed_at_once),
        cmocka_unit_test(test_push__its_connection_dies__stored_all_the_same),
        cmocka_unit_test(test_push__the_link_is_closed__its_owners_have_failed),
        cmocka_unit_test(test_push__more_members_than_replicas__only_owners_are_asked),
        cmocka_unit_test(test_replica__what_a_peer_stores__is_what_we_store),
        cmocka_unit_test(test_replica__its_ingester_refuses__the_client_reads_why),
        cmocka_unit_test(test_replica__messages_that_are_none__refused_and_counted),
        cmocka_unit_test(test_replica__lanes_are_full__busy_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
