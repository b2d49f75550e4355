#include "dataplane/peer_link_priv.h"

enum {
    ACK_EVERY = 32,     /* packets wait together for one acknowledgement */
    ACK_DELAY_US = 400, /* and at most so long: an answer usually carries it before */
};

/* --- Packet numbers that were taken ----------------------------------------------------------- */

static bool
seen_has(const struct pw_link_seen *n, uint64_t pn)
{
    return (n->bits[pn / 64 % (PW_LINK_SEEN_BITS / 64)] >> (pn % 64) & 1) != 0;
}

/* Of a number that is new. */
static void
seen_put(struct pw_link_seen *n, uint64_t pn, uint64_t now_us)
{
    if (pn > n->max) {
        if (pn - n->max >= PW_LINK_SEEN_BITS) {
            memset(n->bits, 0, sizeof(n->bits));
        } else {
            for (uint64_t i = n->max + 1; i < pn; i++) { /* bound: PW_LINK_SEEN_BITS */
                n->bits[i / 64 % (PW_LINK_SEEN_BITS / 64)] &= ~(1ULL << (i % 64));
            }
        }
        n->now |= pn != n->max + 1 && n->max != 0; /* a hole: who sent it wants to know */
        n->max = pn;
        n->max_at_us = now_us;
    } else {
        n->now = true;
    }
    n->bits[pn / 64 % (PW_LINK_SEEN_BITS / 64)] |= 1ULL << (pn % 64);
}

/* Words of an acknowledgement: what arrived since the last one, which may be lost, and some before; all where there
 * are holes. */
static uint32_t
ack_words(const struct pw_link_seen *n)
{
    uint64_t back = n->max - n->told + 64;
    uint64_t words;

    for (uint64_t i = 1; i < back + 64 && i < n->max; i++) { /* bound: PW_LINK_SENT_MAX and some */
        if (i > 64 * PW_LINK_ACK_WORDS_MAX || !seen_has(n, n->max - i)) {
            back += 128;
            break;
        }
    }
    back = back < n->max - 1 ? back : n->max - 1;
    words = (back + 63) / 64;
    return words < PW_LINK_ACK_WORDS_MAX ? (uint32_t)words : PW_LINK_ACK_WORDS_MAX;
}

size_t
pw_link_ack_put(struct pw_link_session *s, uint8_t *dst, uint64_t now_us)
{
    struct pw_link_seen *n = &s->seen;
    uint64_t late = now_us - n->max_at_us;
    struct pw_link_frame f = {.largest = n->max,
                              .credit = s->client ? 0 : s->credit_max,
                              .delay_us = late > UINT32_MAX ? UINT32_MAX : (uint32_t)late};

    f.words = ack_words(n);
    for (uint32_t i = 0; i < 64 * f.words && i + 1 < n->max; i++) {
        if (seen_has(n, n->max - 1 - i)) {
            f.word[i / 64] |= 1ULL << (i % 64);
        }
    }
    n->told = n->max;
    n->waiting = 0;
    n->now = false;
    return pw_link_ack_encode(dst, &f);
}

/* --- Frames ------------------------------------------------------------------------------------- */

/* One frame. 0; PW_EPROTO: it may not be here; PW_ENOMEM: the packet is not taken; PW_ECONNRESET: the session
 * is over. */
static int
frame_input(struct pw_link *l, struct pw_link_session *s, const struct pw_link_frame *f,
            uint64_t now_us)
{
    switch (f->type) {
    case PW_LINK_FRAME_PING:
        s->seen.now = true;
        return 0;
    case PW_LINK_FRAME_ACK:
        pw_link_ack_input(l, s, f, now_us);
        return 0;
    case PW_LINK_FRAME_FRAGMENT:
        return s->client ? PW_EPROTO : pw_link_fragment_input(l, s, f);
    case PW_LINK_FRAME_REPLY:
        if (!s->client) {
            return PW_EPROTO;
        }
        pw_link_reply_input(l, s, f);
        return 0;
    case PW_LINK_FRAME_CANCEL:
        return s->client ? PW_EPROTO : pw_link_cancel_input(l, s, f);
    case PW_LINK_FRAME_BYE:
        return PW_ECONNRESET;
    }
    PW_UNREACHABLE("frame type");
}

/* True: the packet counts as arrived. A callback may have ended the session: its id tells. */
static bool
frames_input(struct pw_link *l, struct pw_link_session *s, const uint8_t *p, size_t len,
             uint64_t now_us, bool *wants_ack)
{
    uint32_t id = s->local_id;

    while (len > 0) {           /* bound: every frame has a byte */
        struct pw_link_frame f; /* what its type has is set by pw_link_frame_get */
        int n = pw_link_frame_get(p, len, s->fragment_bytes, &f);
        int rc = n < 0 ? PW_EPROTO : frame_input(l, s, &f, now_us);

        if (s->local_id != id || s->state != PW_LINK_STATE_UP) {
            return false;
        }
        if (rc == PW_ECONNRESET) {
            s->down.bye = true;
            pw_link_session_end(l, s, true, now_us);
            return false;
        }
        if (rc == PW_ENOMEM) {
            return false;
        }
        if (rc != 0) {
            pw_link_dropped(l, PW_LINK_DROP_FRAME);
            return true; /* who is authentic and wrong will be so again: no use in asking */
        }
        *wants_ack |= f.type != PW_LINK_FRAME_ACK;
        p += n;
        len -= (size_t)n;
    }
    return true;
}

/* --- Packets under a session's keys ----------------------------------------------------------------- */

/* The keys of a packet number; NULL: gone, or too far ahead. */
static const struct pw_link_key *
keys_of(const struct pw_link *l, const struct pw_link_session *s, uint64_t pn)
{
    uint64_t epoch = pn >> l->epoch_bits;

    if (epoch + 1 < s->rx.epoch || epoch > s->rx.epoch + 1) {
        return NULL;
    }
    return &s->rx.slot[epoch % 3];
}

static bool
is_new(struct pw_link *l, const struct pw_link_session *s, uint64_t pn)
{
    if (pn > s->seen.max) {
        return true;
    }
    if (pn == 0 || s->seen.max - pn >= PW_LINK_SEEN_BITS) {
        pw_link_dropped(l, PW_LINK_DROP_OLD);
        return false;
    }
    if (seen_has(&s->seen, pn)) {
        pw_link_dropped(l, PW_LINK_DROP_REPLAY);
        return false;
    }
    return true;
}

static bool
data_open(struct pw_link *l, struct pw_link_session *s, uint64_t pn, uint8_t *bytes, size_t len)
{
    const struct pw_link_key *k = keys_of(l, s, pn);
    uint8_t nonce[PW_LINK_NONCE_BYTES];

    if (k == NULL || k->key == NULL) {
        pw_link_dropped(l, PW_LINK_DROP_EPOCH);
        return false;
    }
    pw_link_nonce(k, pn, nonce);
    if (!l->aead.open(l->aead.ctx, k->key, nonce, pw_slice(bytes, PW_LINK_HEADER_BYTES),
                      bytes + PW_LINK_HEADER_BYTES, len)) {
        pw_link_dropped(l, PW_LINK_DROP_AUTH);
        return false;
    }
    return true;
}

static void
data_input(struct pw_link *l, struct pw_link_session *s, uint64_t pn, uint8_t *bytes, size_t len,
           uint64_t now_us)
{
    size_t body = len - PW_LINK_HEADER_BYTES - PW_LINK_TAG_BYTES;
    bool wants_ack = false;
    uint32_t id = s->local_id;

    if (!is_new(l, s, pn)) {
        return;
    }
    /* Deciphered in a copy: memory that whoever fills the port's buffers next finds unwritten is cheaper for them, and
     * the cipher finds it in the nearest cache. */
    memcpy(l->opened, bytes, len);
    bytes = l->opened;
    if (!data_open(l, s, pn, bytes, body)) {
        return;
    }
    if (s->state == PW_LINK_STATE_HALF) {
        pw_link_confirmed(l, s);
    }
    if (pn >> l->epoch_bits > s->rx.epoch && pw_link_keys_next_rx(l, s) != 0) {
        pw_link_dropped(l, PW_LINK_DROP_EPOCH);
        return;
    }
    s->heard_us = now_us;
    s->asked = 0;
    s->down.away_us = 0;
    if (!frames_input(l, s, bytes + PW_LINK_HEADER_BYTES, body, now_us, &wants_ack) ||
        s->local_id != id) {
        return;
    }
    seen_put(&s->seen, pn, now_us);
    if (!wants_ack) {
        s->seen.now &= s->seen.waiting > 0;
        return;
    }
    if (s->seen.waiting++ == 0) {
        s->seen.due_us = now_us + ACK_DELAY_US;
    }
    s->seen.now |= s->seen.waiting >= ACK_EVERY;
    if (s->seen.now) {
        pw_link_want_out(l, s);
    } else {
        pw_link_want_tick(l, s->seen.due_us);
    }
}

void
pw_link_input(struct pw_link *l, const struct pw_link_addr *from, uint8_t *bytes, size_t len,
              uint64_t now_us)
{
    struct pw_link_header h;
    struct pw_link_session *s;

    l->stat[PW_LINK_STAT_PACKETS_IN]++;
    l->stat[PW_LINK_STAT_BYTES_IN] += len;
    if (len < PW_LINK_HEADER_BYTES + PW_LINK_TAG_BYTES || len > l->packet_bytes) {
        pw_link_dropped(l, len > l->packet_bytes ? PW_LINK_DROP_LONG : PW_LINK_DROP_SHORT);
        return;
    }
    pw_link_header_get(bytes, &h);
    if (h.version != PW_LINK_VERSION) {
        pw_link_dropped(l, PW_LINK_DROP_VERSION);
        return;
    }
    if (((h.flags & PW_LINK_FLAG_PLAIN) != 0) != l->insecure) {
        pw_link_dropped(l, PW_LINK_DROP_PLAIN);
        return;
    }
    if (h.type == PW_LINK_PACKET_HELLO) {
        pw_link_hello_input(l, from, bytes, len, now_us);
        return;
    }
    if (h.type != PW_LINK_PACKET_WELCOME && h.type != PW_LINK_PACKET_DATA) {
        pw_link_dropped(l, PW_LINK_DROP_TYPE);
        return;
    }
    s = pw_link_find(l, h.session);
    if (s == NULL || (h.type == PW_LINK_PACKET_DATA && s->state == PW_LINK_STATE_HELLO)) {
        pw_link_dropped(l, PW_LINK_DROP_SESSION);
        return;
    }
    if (h.type == PW_LINK_PACKET_WELCOME) {
        pw_link_welcome_input(l, s, from, bytes, len, now_us);
    } else {
        data_input(l, s, h.number, bytes, len, now_us);
    }
}
