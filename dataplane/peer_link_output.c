#include "dataplane/peer_link_priv.h"

/* A packet in the making. */
struct packet {
    uint8_t *at; /* the next frame's place */
    size_t room;
    struct pw_link_item item[PW_LINK_ITEMS_MAX];
    uint32_t count;
};

static void
put_item(struct packet *p, struct pw_link_item item, size_t bytes)
{
    p->at += bytes;
    p->room -= bytes;
    p->item[p->count++] = item;
}

/* The bytes of a call from `off` on, out of its parts. */
static void
gather(const struct pw_link_call *c, size_t off, uint8_t *dst, size_t n)
{
    for (uint32_t i = 0; n > 0; i++) {
        struct pw_slice part = c->part[i];

        PW_DCHECK(i < c->parts);
        if (off >= part.len) {
            off -= part.len;
            continue;
        }
        size_t take = part.len - off < n ? part.len - off : n;

        memcpy(dst, part.ptr + off, take);
        dst += take;
        n -= take;
        off = 0;
    }
}

/* False: no room left in this packet. */
static bool
put_fragment(struct pw_link *l, struct pw_link_session *s, struct packet *p, uint16_t slot,
             uint32_t index)
{
    const struct pw_link_call *c = &s->call[slot];
    uint32_t n = pw_link_fragment_len(c->total, s->fragment_bytes, index);
    struct pw_link_frame f; /* most of it is an acknowledgement's words: setting them costs */

    if (PW_LINK_FRAGMENT_HEAD_BYTES + n > p->room) {
        return false;
    }
    f.slot = slot;
    f.turn = c->turn;
    f.total = c->total;
    f.index = (uint16_t)index;
    size_t head = pw_link_fragment_head_put(p->at, &f);

    gather(c, (size_t)index * s->fragment_bytes, p->at + head, n);
    put_item(
        p,
        (struct pw_link_item){
            .kind = PW_LINK_ITEM_FRAGMENT, .slot = slot, .index = (uint16_t)index, .turn = c->turn},
        head + n);
    l->stat[PW_LINK_STAT_FRAGMENTS_OUT]++;
    return true;
}

static bool
put_reply(struct pw_link_session *s, struct packet *p, struct pw_link_item item)
{
    struct pw_link_slot *r = &s->slot[item.slot];
    struct pw_link_frame f = {.slot = item.slot,
                              .turn = r->turn,
                              .status = r->status,
                              .bytes = pw_slice(r->text, r->text_len)};

    if (r->state != PW_LINK_SLOT_REPLIED) {
        r->todo = false; /* the slot went on without it */
        return true;
    }
    if (PW_LINK_REPLY_HEAD_BYTES + (size_t)r->text_len > p->room) {
        return false;
    }
    r->todo = false;
    item.turn = r->turn;
    put_item(p, item, pw_link_reply_put(p->at, &f));
    return true;
}

static bool
put_cancel(struct pw_link_session *s, struct packet *p, struct pw_link_item item)
{
    struct pw_link_call *c = &s->call[item.slot];
    struct pw_link_frame f = {.slot = item.slot, .turn = c->turn, .total = c->total};

    if (c->state != PW_LINK_CALL_CANCEL) {
        c->todo = false;
        return true;
    }
    if (PW_LINK_CANCEL_BYTES > p->room) {
        return false;
    }
    c->todo = false;
    item.turn = c->turn;
    put_item(p, item, pw_link_cancel_put(p->at, &f));
    return true;
}

/* False: no room left in this packet. True: it is in, or nobody wants it any more. */
static bool
put_todo(struct pw_link *l, struct pw_link_session *s, struct packet *p, struct pw_link_item item)
{
    const struct pw_link_call *c = &s->call[item.slot];

    switch ((enum pw_link_kind)item.kind) {
    case PW_LINK_ITEM_PING:
        return true; /* put_ping's */
    case PW_LINK_ITEM_FRAGMENT:
        if (c->turn != item.turn ||
            (c->state != PW_LINK_CALL_SENDING && c->state != PW_LINK_CALL_SENT)) {
            return true;
        }
        return put_fragment(l, s, p, item.slot, item.index);
    case PW_LINK_ITEM_REPLY:
        return put_reply(s, p, item);
    case PW_LINK_ITEM_CANCEL:
        return put_cancel(s, p, item);
    }
    PW_UNREACHABLE("item");
}

/* First, and whatever the window: a peer that is not asked would seem silent because of what is on its way to it. */
static void
put_ping(struct pw_link *l, struct pw_link_session *s, struct packet *p)
{
    s->ping_due = false;
    s->asked++;
    l->stat[PW_LINK_STAT_PINGS_OUT]++;
    *p->at = PW_LINK_FRAME_PING;
    put_item(p, (struct pw_link_item){.kind = PW_LINK_ITEM_PING}, 1);
}

/* The call whose turn it is may go on: it has begun, or the peer has granted room for all of it. */
static bool
may_send(const struct pw_link_session *s)
{
    if (!s->client || s->sending_count == 0) {
        return false;
    }
    const struct pw_link_call *c = &s->call[s->sending[s->sending_head]];

    return c->next > 0 || s->credit_used + c->total <= s->credit_max;
}

static void
put_fresh(struct pw_link *l, struct pw_link_session *s, struct packet *p)
{
    while (p->count < PW_LINK_ITEMS_MAX && may_send(s)) {
        uint16_t slot = s->sending[s->sending_head];
        struct pw_link_call *c = &s->call[slot];

        if (!put_fragment(l, s, p, slot, c->next)) {
            return;
        }
        s->credit_used += c->next == 0 ? c->total : 0;
        if (++c->next == c->fragments) {
            c->state = PW_LINK_CALL_SENT;
            pw_link_sending_done(s);
        }
    }
}

static void
put_items(struct pw_link *l, struct pw_link_session *s, struct packet *p)
{
    while (s->todo_count > 0 && p->count < PW_LINK_ITEMS_MAX) {
        if (!put_todo(l, s, p, s->todo[s->todo_head])) {
            return;
        }
        s->todo_head = (s->todo_head + 1) % PW_LINK_TODO_MAX;
        s->todo_count--;
    }
    put_fresh(l, s, p);
}

static void
record(struct pw_link *l, struct pw_link_session *s, const struct packet *p, uint64_t pn,
       size_t bytes, uint64_t now_us)
{
    struct pw_link_flight *f = &s->flight;
    struct pw_link_sent *r = pw_link_sent_at(s, pn);

    if (p->count == 0) {
        return; /* who is told of arrivals alone does not answer */
    }
    r->pn = pn;
    r->at_us = now_us;
    r->bytes = (uint16_t)bytes;
    r->count = (uint8_t)p->count;
    r->in_flight = true;
    r->lost = false;
    memcpy(r->item, p->item, p->count * sizeof(p->item[0]));
    f->packets++;
    f->bytes += (uint32_t)bytes;
    f->last_us = now_us;
    f->probes -= f->probes > 0 ? 1 : 0;
    pw_link_want_tick(l, pw_link_flight_next_us(s));
}

/* There is a record for something that wants an acknowledgement. */
static bool
recordable(struct pw_link_session *s)
{
    return !pw_link_sent_at(s, s->flight.next_pn)->in_flight;
}

static bool
window_open(const struct pw_link_session *s)
{
    const struct pw_link_flight *f = &s->flight;

    return f->bytes < f->cwnd || f->probes > 0;
}

/* Who fills the window has to wait: the other end is asked for its acknowledgement, which would come late. */
static void
ask_when_full(const struct pw_link_session *s, struct packet *p, const uint8_t *buf)
{
    size_t bytes = (size_t)(p->at - buf) + PW_LINK_TAG_BYTES;

    if (p->count > 0 && p->count < PW_LINK_ITEMS_MAX && p->room > 0 &&
        s->flight.bytes + bytes >= s->flight.cwnd) {
        *p->at = PW_LINK_FRAME_PING;
        put_item(p, (struct pw_link_item){.kind = PW_LINK_ITEM_PING}, 1);
    }
}

static size_t
sealed(struct pw_link *l, struct pw_link_session *s, uint8_t *buf, size_t body, uint64_t pn)
{
    struct pw_link_header h = {.version = PW_LINK_VERSION,
                               .type = PW_LINK_PACKET_DATA,
                               .flags = l->insecure ? PW_LINK_FLAG_PLAIN : 0,
                               .session = s->remote_id,
                               .number = pn};
    uint8_t nonce[PW_LINK_NONCE_BYTES];

    pw_link_header_put(buf, &h);
    pw_link_nonce(&s->tx.key, pn, nonce);
    l->aead.seal(l->aead.ctx, s->tx.key.key, nonce, pw_slice(buf, PW_LINK_HEADER_BYTES),
                 buf + PW_LINK_HEADER_BYTES, body);
    s->flight.next_pn++;
    return PW_LINK_HEADER_BYTES + body + PW_LINK_TAG_BYTES;
}

size_t
pw_link_data_output(struct pw_link *l, struct pw_link_session *s, uint8_t *buf, uint64_t now_us)
{
    uint64_t pn = s->flight.next_pn;
    bool more = recordable(s);
    bool ping = more && s->ping_due;
    bool open = more && window_open(s) && (s->todo_count > 0 || may_send(s));
    bool bye = s->state == PW_LINK_STATE_BYE;
    struct packet p; /* its items are not set before there are some */

    p.at = buf + PW_LINK_HEADER_BYTES;
    p.room = (size_t)s->packet_bytes - PW_LINK_HEADER_BYTES - PW_LINK_TAG_BYTES;
    p.count = 0;
    if (pn >> l->epoch_bits > s->tx.epoch && pw_link_keys_next_tx(l, s) != 0) {
        return 0;
    }
    if (s->seen.waiting > 0 && (open || ping || s->seen.now)) {
        size_t n = pw_link_ack_put(s, p.at, now_us);

        p.at += n;
        p.room -= n;
        l->stat[PW_LINK_STAT_ACKS_OUT] += open || ping ? 0 : 1;
    }
    if (bye) {
        *p.at++ = PW_LINK_FRAME_BYE;
    } else if (ping) {
        put_ping(l, s, &p);
    }
    if (open && !bye) {
        put_items(l, s, &p);
        ask_when_full(s, &p, buf);
    }
    size_t body = (size_t)(p.at - buf) - PW_LINK_HEADER_BYTES;

    if (body == 0) {
        return 0;
    }
    size_t len = sealed(l, s, buf, body, pn);

    record(l, s, &p, pn, len, now_us);
    return len;
}
