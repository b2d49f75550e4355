/* What is in flight: acknowledgements, round trips (RFC 6298), losses, congestion. */
#include "dataplane/peer_link_priv.h"

enum {
    CWND_FIRST_PACKETS = 32,
    CWND_MIN_PACKETS = 4,
    REORDER_FIRST = 3, /* RFC 5681 3.2 */
    REORDER_MAX = 128,
    RTO_FIRST_US = 30000,
    RTO_MIN_US = 5000,   /* an end may nap, or be preempted, for some milliseconds */
    RTO_MAX_US = 150000, /* several fit into the shortest silence */
    ACK_DELAY_US_MAX = 1000,
    LOSS_US_MIN = 1000,
    BACKOFF_MAX = 5,
};

void
pw_link_flight_begin(struct pw_link_session *s)
{
    s->flight = (struct pw_link_flight){.next_pn = 1,
                                        .oldest = 1,
                                        .cwnd = CWND_FIRST_PACKETS * (uint32_t)s->packet_bytes,
                                        .ssthresh = UINT32_MAX,
                                        .reorder = REORDER_FIRST};
    for (uint32_t i = 0; i < PW_LINK_SENT_MAX; i++) {
        s->sent[i].pn = 0;
        s->sent[i].in_flight = false;
        s->sent[i].lost = false;
    }
}

static uint64_t
rto_us(const struct pw_link_flight *f)
{
    uint64_t rto = f->srtt_us == 0
                       ? RTO_FIRST_US
                       : (uint64_t)f->srtt_us + 4 * (uint64_t)f->rttvar_us + ACK_DELAY_US_MAX;

    rto = rto < RTO_MIN_US ? RTO_MIN_US : rto;
    rto <<= f->backoff;
    return rto < RTO_MAX_US ? rto : RTO_MAX_US;
}

/* RFC 6298 2.2, 2.3. */
static void
rtt_sample(struct pw_link_flight *f, uint64_t us)
{
    uint32_t r = us > 10000000 ? 10000000 : us == 0 ? 1 : (uint32_t)us;

    if (f->srtt_us == 0) {
        f->srtt_us = r;
        f->rttvar_us = r / 2;
        return;
    }
    uint32_t off = r > f->srtt_us ? r - f->srtt_us : f->srtt_us - r;

    f->rttvar_us = (3 * f->rttvar_us + off) / 4;
    f->srtt_us = (7 * f->srtt_us + r) / 8;
    f->srtt_us = f->srtt_us == 0 ? 1 : f->srtt_us;
}

static void
grow(struct pw_link_session *s, uint32_t acked, uint32_t before)
{
    struct pw_link_flight *f = &s->flight;
    uint32_t most = PW_LINK_SENT_MAX * (uint32_t)s->packet_bytes;

    if (before < f->cwnd / 2) {
        return; /* a window that was not used says nothing about the path */
    }
    if (f->cwnd < f->ssthresh) {
        f->cwnd += acked;
    } else {
        f->cwnd += (uint32_t)((uint64_t)s->packet_bytes * acked / f->cwnd);
    }
    f->cwnd = f->cwnd < most ? f->cwnd : most;
}

/* One cut a round trip (RFC 5681 5): 7/10, as CUBIC (RFC 9438 4.6). */
static void
congested(struct pw_link_session *s, uint64_t lost_pn)
{
    struct pw_link_flight *f = &s->flight;
    uint32_t least = CWND_MIN_PACKETS * (uint32_t)s->packet_bytes;

    if (lost_pn < f->recover) {
        return;
    }
    f->recover = f->next_pn;
    f->cwnd = (uint32_t)((uint64_t)f->cwnd * 7 / 10);
    f->cwnd = f->cwnd > least ? f->cwnd : least;
    f->ssthresh = f->cwnd;
}

static void
landed(struct pw_link_session *s, struct pw_link_sent *r)
{
    r->in_flight = false;
    s->flight.packets--;
    s->flight.bytes -= r->bytes;
}

static bool
still_wanted(const struct pw_link_session *s, const struct pw_link_item *i)
{
    const struct pw_link_call *c = &s->call[i->slot];
    const struct pw_link_slot *r = &s->slot[i->slot];

    switch ((enum pw_link_kind)i->kind) {
    case PW_LINK_ITEM_PING:
        return false;
    case PW_LINK_ITEM_FRAGMENT:
        return c->turn == i->turn &&
               (c->state == PW_LINK_CALL_SENDING || c->state == PW_LINK_CALL_SENT);
    case PW_LINK_ITEM_CANCEL:
        return c->turn == i->turn && c->state == PW_LINK_CALL_CANCEL && !c->todo;
    case PW_LINK_ITEM_REPLY:
        return r->turn == i->turn && r->state == PW_LINK_SLOT_REPLIED && !r->todo;
    }
    PW_UNREACHABLE("item");
}

bool
pw_link_lose(struct pw_link *l, struct pw_link_session *s, struct pw_link_sent *r)
{
    if (s->todo_count + r->count > PW_LINK_TODO_MAX - PW_LINK_TODO_FRESH) {
        return false;
    }
    landed(s, r);
    r->lost = true;
    l->stat[PW_LINK_STAT_LOST]++;
    for (uint32_t i = 0; i < r->count; i++) {
        const struct pw_link_item *item = &r->item[i];

        if (still_wanted(s, item) && pw_link_todo(l, s, *item)) {
            if (item->kind == PW_LINK_ITEM_CANCEL) {
                s->call[item->slot].todo = true;
            } else if (item->kind == PW_LINK_ITEM_REPLY) {
                s->slot[item->slot].todo = true;
            }
        }
    }
    return true;
}

static void
oldest_forward(struct pw_link_session *s)
{
    struct pw_link_flight *f = &s->flight;

    while (f->oldest < f->next_pn) { /* bound: packets sent, each passed once */
        const struct pw_link_sent *r = pw_link_sent_at(s, f->oldest);

        if (r->pn == f->oldest && r->in_flight) {
            return;
        }
        f->oldest++;
    }
}

/* What lies far enough below the largest acknowledged, in packets or in time, is lost. */
static void
find_losses(struct pw_link *l, struct pw_link_session *s, uint64_t now_us)
{
    struct pw_link_flight *f = &s->flight;
    uint64_t wait = (uint64_t)f->srtt_us * 9 / 8;

    wait = wait < LOSS_US_MIN ? LOSS_US_MIN : wait;
    f->loss_us = 0;
    for (uint64_t pn = f->oldest; pn < f->largest; pn++) { /* bound: PW_LINK_SENT_MAX */
        struct pw_link_sent *r = pw_link_sent_at(s, pn);

        if (r->pn != pn || !r->in_flight) {
            continue;
        }
        if (pn + f->reorder <= f->largest || r->at_us + wait <= now_us) {
            if (!pw_link_lose(l, s, r)) {
                return;
            }
            congested(s, pn);
        } else if (f->loss_us == 0 || r->at_us + wait < f->loss_us) {
            f->loss_us = r->at_us + wait;
        }
    }
    oldest_forward(s);
}

static bool
acked(const struct pw_link_frame *f, uint64_t pn)
{
    if (pn == f->largest) {
        return true;
    }
    uint64_t below = f->largest - 1 - pn;

    return below < (uint64_t)f->words * 64 && (f->word[below / 64] >> (below % 64) & 1) != 0;
}

static void
record_acked(struct pw_link *l, struct pw_link_session *s, struct pw_link_sent *r)
{
    if (r->lost) {
        l->stat[PW_LINK_STAT_LOST_NOT]++;
        s->flight.reorder *= s->flight.reorder < REORDER_MAX ? 2 : 1;
        r->lost = false;
    } else {
        landed(s, r);
    }
    for (uint32_t i = 0; i < r->count; i++) {
        if (r->item[i].kind == PW_LINK_ITEM_CANCEL) {
            pw_link_cancel_acked(l, s, r->item[i].slot, r->item[i].turn);
        }
    }
}

void
pw_link_ack_input(struct pw_link *l, struct pw_link_session *s, const struct pw_link_frame *f,
                  uint64_t now_us)
{
    struct pw_link_flight *fl = &s->flight;
    uint64_t reach = (uint64_t)f->words * 64 + 1;
    uint64_t from = f->largest > reach ? f->largest - reach : 1;
    uint32_t before = fl->bytes;
    bool news = false;

    if (f->largest == 0 || f->largest >= fl->next_pn) {
        pw_link_dropped(l, PW_LINK_DROP_FRAME);
        return;
    }
    if (f->credit > s->credit_max && s->client) {
        s->credit_max = f->credit;
    }
    for (uint64_t pn = from; pn <= f->largest; pn++) { /* bound: 64 PW_LINK_ACK_WORDS_MAX + 2 */
        struct pw_link_sent *r = pw_link_sent_at(s, pn);

        if (r->pn != pn || !(r->in_flight || r->lost) || !acked(f, pn)) {
            continue;
        }
        if (pn == f->largest && r->in_flight) {
            uint64_t us = now_us - r->at_us;
            uint64_t delay = f->delay_us < ACK_DELAY_US_MAX ? f->delay_us : ACK_DELAY_US_MAX;

            rtt_sample(fl, us > delay ? us - delay : us);
        }
        news |= r->in_flight;
        record_acked(l, s, r);
    }
    fl->largest = f->largest > fl->largest ? f->largest : fl->largest;
    oldest_forward(s);
    if (news) {
        fl->backoff = 0;
        fl->probes = 0;
        grow(s, before - fl->bytes, before);
    }
    find_losses(l, s, now_us);
    pw_link_want_tick(l, pw_link_flight_next_us(s));
    pw_link_want_out(l, s); /* there may be room, or credit, now */
}

/* Nothing was heard of what was sent: the oldest goes again, the second time around all of it. */
static void
timed_out(struct pw_link *l, struct pw_link_session *s, uint64_t now_us)
{
    struct pw_link_flight *f = &s->flight;
    uint32_t most = f->backoff == 0 ? 2 : PW_LINK_SENT_MAX;

    l->stat[PW_LINK_STAT_TIMEOUTS]++;
    if (f->backoff > 0) {
        f->ssthresh = f->cwnd / 2;
        f->cwnd = CWND_MIN_PACKETS * (uint32_t)s->packet_bytes;
        f->recover = f->next_pn;
    }
    f->backoff += f->backoff < BACKOFF_MAX ? 1 : 0;
    f->probes = 2;
    f->last_us = now_us;
    for (uint64_t pn = f->oldest; pn < f->next_pn && most > 0; pn++) {
        struct pw_link_sent *r = pw_link_sent_at(s, pn);

        if (r->pn == pn && r->in_flight) {
            if (!pw_link_lose(l, s, r)) {
                break;
            }
            most--;
        }
    }
    oldest_forward(s);
    pw_link_want_out(l, s);
}

bool
pw_link_flight_tick(struct pw_link *l, struct pw_link_session *s, uint64_t now_us)
{
    struct pw_link_flight *f = &s->flight;

    if (f->packets == 0) {
        return false;
    }
    if (f->loss_us != 0 && now_us >= f->loss_us) {
        find_losses(l, s, now_us);
        pw_link_want_out(l, s);
        return true;
    }
    if (now_us >= f->last_us + rto_us(f)) {
        timed_out(l, s, now_us);
        return true;
    }
    return false;
}

uint64_t
pw_link_flight_next_us(const struct pw_link_session *s)
{
    const struct pw_link_flight *f = &s->flight;
    uint64_t at = f->last_us + rto_us(f);

    if (f->packets == 0) {
        return UINT64_MAX;
    }
    return f->loss_us != 0 && f->loss_us < at ? f->loss_us : at;
}
