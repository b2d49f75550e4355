/* Properties: a state that comes in one piece and one that comes in many lead to the same members, the same
 * store and the same counters, in either role; and what we answer is a state that another member takes.
 * The first byte chooses the role (low bit) and the size of the pieces. */
#include "ring/memberlist.h"

#include "base/check.h"
#include "base/log.h"

#include <stdlib.h>

enum { WALL_S = 1700000000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct pw_ml_now now = {.mono_ms = 1000, .wall_s = WALL_S};

struct member {
    struct pw_kv *kv;
    struct pw_memberlist *ml;
    struct pw_ml_conn *dialed;
    bool ok;
};

static void
on_send(void *ctx, const struct pw_ml_addr *to, struct pw_slice bytes)
{
    (void)ctx;
    (void)to;
    (void)bytes;
}

static int
on_dial(void *ctx, const struct pw_ml_addr *to, struct pw_ml_conn *conn)
{
    struct member *m = ctx;

    (void)to;
    m->dialed = conn;
    return 0;
}

static void
open_member(struct member *m, const char *name, uint16_t port)
{
    static const uint8_t ip[4] = {127, 0, 0, 1};
    const struct pw_memberlist_io io = {.ctx = m, .send = on_send, .dial = on_dial};
    const struct pw_kv_cfg kv_cfg = {.left_timeout_s = 300, .obsolete_timeout_s = 30};
    const struct pw_memberlist_cfg cfg = {.name = name,
                                          .addr = pw_ml_addr_ip4(ip, port),
                                          .label = "",
                                          .gossip_interval_ms = 200,
                                          .push_pull_interval_ms = 30000,
                                          .gossip_to_dead_ms = 30000,
                                          .gossip_nodes = 3,
                                          .retransmit_factor = 4,
                                          .seed = 1};

    *m = (struct member){0};
    PW_INVARIANT(pw_kv_create_ctl(&m->kv, &kv_cfg) == 0);
    PW_INVARIANT(pw_memberlist_create_ctl(&m->ml, &cfg, &io, m->kv, now) == 0);
}

static void
close_member(struct member *m)
{
    pw_memberlist_destroy_ctl(m->ml);
    pw_kv_destroy_ctl(m->kv);
}

static struct pw_ml_conn *
open_conn(struct member *m, bool dial)
{
    static const uint8_t ip[4] = {127, 0, 0, 1};
    const struct pw_ml_addr to = pw_ml_addr_ip4(ip, 7950);

    if (!dial) {
        return pw_ml_conn_accept(m->ml);
    }
    PW_INVARIANT(pw_memberlist_join(m->ml, &to, now) == 0);
    return m->dialed;
}

/* All of it in pieces of so many bytes; true when it was done. */
static bool
feed(struct pw_ml_conn *c, struct pw_slice in, size_t piece)
{
    while (in.len > 0) {
        size_t n = in.len < piece ? in.len : piece;
        enum pw_ml_conn_next next = pw_ml_conn_input(c, pw_slice(in.ptr, n), now);

        if (next != PW_ML_CONN_MORE) {
            return next == PW_ML_CONN_DONE;
        }
        in = pw_slice(in.ptr + n, in.len - n);
    }
    return false;
}

static void
take(struct member *m, bool dial, struct pw_slice in, size_t piece)
{
    struct pw_ml_conn *c = open_conn(m, dial);

    PW_INVARIANT(c != NULL);
    (void)feed(c, in, piece);
    m->ok = pw_ml_conn_ok(c);
    pw_ml_conn_free(c);
}

static void
check_same(const struct member *a, const struct member *b)
{
    const struct pw_memberlist_stats *x = pw_memberlist_stats(a->ml),
                                     *y = pw_memberlist_stats(b->ml);

    PW_INVARIANT(a->ok == b->ok);
    PW_INVARIANT(pw_memberlist_nodes(a->ml) == pw_memberlist_nodes(b->ml));
    PW_INVARIANT(pw_memberlist_queued(a->ml) == pw_memberlist_queued(b->ml));
    PW_INVARIANT(x->push_pull_broken == y->push_pull_broken && x->refuted == y->refuted &&
                 x->conflicts == y->conflicts && x->nodes_refused == y->nodes_refused);
    PW_INVARIANT(pw_kv_count(a->kv) == pw_kv_count(b->kv));
    for (uint32_t i = 0; i < pw_kv_count(a->kv); i++) {
        struct pw_kv_entry p = pw_kv_entry(a->kv, i), q = pw_kv_entry(b->kv, i);

        PW_INVARIANT(strcmp(p.key, q.key) == 0 && pw_ring_desc_equal(p.desc, q.desc));
    }
}

/* Our state, asked for by one who knows nothing: it takes it, unless versions of those we list are apart. */
static void
check_answer(struct member *m)
{
    struct pw_ml_conn *ask, *answer;
    struct member fresh;
    struct pw_slice out;

    open_member(&fresh, "fresh", 7999);
    ask = open_conn(&fresh, true);
    answer = pw_ml_conn_accept(m->ml);
    PW_INVARIANT(ask != NULL && answer != NULL);
    out = pw_ml_conn_output(ask);
    PW_INVARIANT(feed(answer, out, out.len));
    out = pw_ml_conn_output(answer);
    PW_INVARIANT(out.len > 0 && feed(ask, out, out.len));
    PW_INVARIANT(pw_ml_conn_ok(ask) == pw_ml_conn_ok(answer));
    pw_ml_conn_free(ask);
    pw_ml_conn_free(answer);
    close_member(&fresh);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct member whole, pieces;
    struct pw_slice in;
    bool dial;

    if (size < 2 || size > 65536) {
        return 0;
    }
    pw_log_set_level_ctl(PW_LOG_ERROR + 1);
    dial = data[0] & 1;
    in = pw_slice(data + 1, size - 1);
    open_member(&whole, "me", 7946);
    open_member(&pieces, "me", 7946);
    take(&whole, dial, in, in.len);
    take(&pieces, dial, in, 1 + data[0] / 8);
    check_same(&whole, &pieces);
    check_answer(&whole);
    close_member(&whole);
    close_member(&pieces);
    return 0;
}
