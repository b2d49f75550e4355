/* Handshake: HELLO, WELCOME, and the first packet under the keys that both nonces make. Both are sealed under a
 * key of the shared secret, so only who holds it can make us do more than one cheap check. A replayed
 * HELLO makes a half session that nobody can confirm. */
#include "dataplane/peer_link_priv.h"

enum {
    BODY_AT = PW_LINK_HEADER_BYTES + PW_LINK_HELLO_NONCE_BYTES - 8,
    HELLOS_PER_SECOND = 256,
    HALF_MAX = 16,
};

/* Seals the body that is at buf + BODY_AT; returns the length of the packet. */
static size_t
handshake_seal(struct pw_link *l, uint8_t *buf, uint8_t type, uint32_t session, size_t body)
{
    struct pw_link_header h = {.version = PW_LINK_VERSION,
                               .type = type,
                               .flags = l->insecure ? PW_LINK_FLAG_PLAIN : 0,
                               .session = session};

    pw_link_header_put(buf, &h);
    l->random(l->random_ctx, buf + 8, PW_LINK_HELLO_NONCE_BYTES);
    l->aead.seal(l->aead.ctx, l->hello_seal, buf + 8, pw_slice(buf, PW_LINK_HEADER_BYTES),
                 buf + BODY_AT, body);
    return BODY_AT + body + PW_LINK_TAG_BYTES;
}

/* Length of the body at bytes + BODY_AT; 0: refused and counted. */
static size_t
handshake_open(struct pw_link *l, uint8_t *bytes, size_t len)
{
    if (len <= BODY_AT + PW_LINK_TAG_BYTES) {
        pw_link_dropped(l, PW_LINK_DROP_HELLO_BAD);
        return 0;
    }
    size_t body = len - BODY_AT - PW_LINK_TAG_BYTES;

    if (!l->aead.open(l->aead.ctx, l->hello_open, bytes + 8, pw_slice(bytes, PW_LINK_HEADER_BYTES),
                      bytes + BODY_AT, body)) {
        pw_link_dropped(l, PW_LINK_DROP_AUTH);
        return 0;
    }
    return body;
}

size_t
pw_link_hello_output(struct pw_link *l, struct pw_link_session *s, uint8_t *buf)
{
    struct pw_link_hello h = {.session = s->local_id,
                              .packet_bytes = pw_link_datagram_max(l, s),
                              .from = pw_slice_str(l->self_id),
                              .to = pw_slice_str(s->id)};

    s->hello_due = false;
    s->addr.local = (uint16_t)(l->local_port + s->hello_tries % l->local_ports);
    memcpy(h.nonce, s->client_nonce, sizeof(h.nonce));
    size_t body = pw_link_hello_put(buf + BODY_AT, &h);
    size_t whole = (size_t)h.packet_bytes - BODY_AT - PW_LINK_TAG_BYTES;

    /* Mostly it is as long as what is to follow: where that does not pass, a router says so now, not when requests are
     * under way. Every fourth round over the ports passes where routers say nothing. */
    if ((s->hello_tries - 1) / l->local_ports % 4 != 3) {
        memset(buf + BODY_AT + body, 0, whole - body);
        body = whole;
    }
    return handshake_seal(l, buf, PW_LINK_PACKET_HELLO, 0, body);
}

size_t
pw_link_welcome_output(struct pw_link *l, struct pw_link_session *s, uint8_t *buf)
{
    struct pw_link_welcome h = {
        .session = s->local_id, .packet_bytes = s->packet_bytes, .credit = s->credit_max};

    s->hello_due = false;
    memcpy(h.client_nonce, s->client_nonce, sizeof(h.client_nonce));
    memcpy(h.server_nonce, s->server_nonce, sizeof(h.server_nonce));
    return handshake_seal(l, buf, PW_LINK_PACKET_WELCOME, s->remote_id,
                          pw_link_welcome_put(buf + BODY_AT, &h));
}

static bool
hello_allowed(struct pw_link *l, uint64_t now_us)
{
    uint64_t since = now_us - l->hello_refill_us;

    if (since >= 1000000) {
        l->hello_refill_us = now_us;
        l->hello_tokens = HELLOS_PER_SECOND;
    }
    if (l->hello_tokens == 0) {
        pw_link_dropped(l, PW_LINK_DROP_HELLO_RATE);
        return false;
    }
    l->hello_tokens--;
    return true;
}

/* The half session of the same handshake, whose WELCOME was lost. */
static struct pw_link_session *
same_half(struct pw_link *l, const struct pw_link_hello *h)
{
    for (uint32_t i = l->peers_max; i < pw_link_sessions(l); i++) {
        struct pw_link_session *s = &l->session[i];

        if (l->live[i] && memcmp(s->client_nonce, h->nonce, sizeof(h->nonce)) == 0) {
            return s;
        }
    }
    return NULL;
}

/* A session for a new handshake: a free one, or the half one that waits longest where they are many. */
static struct pw_link_session *
half_get(struct pw_link *l, uint64_t now_us)
{
    struct pw_link_session *oldest = NULL;
    uint32_t halves = 0;

    for (uint32_t i = l->peers_max; i < pw_link_sessions(l); i++) {
        struct pw_link_session *s = &l->session[i];

        if (l->live[i] && s->state == PW_LINK_STATE_HALF) {
            halves++;
            oldest = oldest == NULL || s->hello_us < oldest->hello_us ? s : oldest;
        }
    }
    if (halves >= HALF_MAX) {
        pw_link_session_end(l, oldest, false, now_us);
    }
    return pw_link_session_get(l);
}

static void
half_begin(struct pw_link *l, struct pw_link_session *s, const struct pw_link_hello *h,
           const struct pw_link_addr *from, uint64_t now_us)
{
    s->state = PW_LINK_STATE_HALF;
    s->remote_id = h->session;
    s->addr = *from;
    s->path_bytes = 0;
    s->packet_bytes = pw_link_datagram_max(l, s);
    s->packet_bytes = h->packet_bytes < s->packet_bytes ? h->packet_bytes : s->packet_bytes;
    memcpy(s->id, h->from.ptr, h->from.len);
    s->id[h->from.len] = 0;
    memcpy(s->client_nonce, h->nonce, sizeof(h->nonce));
    l->random(l->random_ctx, s->server_nonce, sizeof(s->server_nonce));
    pw_link_new_id(l, s);
    s->hello_us = now_us + PW_LINK_HELLO_HALF_US;
    pw_link_session_begin(l, s, now_us);
    if (pw_link_keys_session(l, s) != 0) {
        pw_link_session_end(l, s, false, now_us);
        pw_link_dropped(l, PW_LINK_DROP_HELLO_FULL);
        return;
    }
    s->hello_due = true;
    pw_link_want_out(l, s);
    pw_link_want_tick(l, s->hello_us);
}

void
pw_link_hello_input(struct pw_link *l, const struct pw_link_addr *from, uint8_t *bytes, size_t len,
                    uint64_t now_us)
{
    size_t body = handshake_open(l, bytes, len);
    struct pw_link_hello h;
    struct pw_link_session *s;

    if (body == 0) {
        return;
    }
    if (pw_link_hello_get(bytes + BODY_AT, body, &h) != 0) {
        pw_link_dropped(l, PW_LINK_DROP_HELLO_BAD);
        return;
    }
    if (!pw_slice_eq_str(h.to, l->self_id)) {
        pw_link_dropped(l, PW_LINK_DROP_HELLO_OTHER);
        return;
    }
    if (l->leaving) {
        pw_link_dropped(l, PW_LINK_DROP_HELLO_LEAVING);
        return;
    }
    s = same_half(l, &h);
    if (s != NULL) { /* an open one knows already that its client does */
        s->hello_due = s->state == PW_LINK_STATE_HALF;
        pw_link_want_out(l, s);
        return;
    }
    if (!hello_allowed(l, now_us)) {
        return;
    }
    s = half_get(l, now_us);
    if (s == NULL) {
        pw_link_dropped(l, PW_LINK_DROP_HELLO_FULL);
        return;
    }
    half_begin(l, s, &h, from, now_us);
}

void
pw_link_welcome_input(struct pw_link *l, struct pw_link_session *s, const struct pw_link_addr *from,
                      uint8_t *bytes, size_t len, uint64_t now_us)
{
    struct pw_link_welcome h;
    size_t body = handshake_open(l, bytes, len);

    if (body == 0) {
        return;
    }
    if (pw_link_welcome_get(bytes + BODY_AT, body, &h) != 0 || h.packet_bytes > l->packet_bytes) {
        pw_link_dropped(l, PW_LINK_DROP_HELLO_BAD);
        return;
    }
    if (!s->client || s->state != PW_LINK_STATE_HELLO ||
        memcmp(h.client_nonce, s->client_nonce, sizeof(h.client_nonce)) != 0) {
        pw_link_dropped(l, PW_LINK_DROP_WELCOME_STALE);
        return;
    }
    memcpy(s->server_nonce, h.server_nonce, sizeof(h.server_nonce));
    if (pw_link_keys_session(l, s) != 0) {
        return; /* the next handshake tries again */
    }
    s->remote_id = h.session;
    s->addr.local = from->local;
    s->packet_bytes = h.packet_bytes;
    s->credit_max = h.credit;
    s->state = PW_LINK_STATE_UP;
    s->up_told = true;
    pw_link_session_begin(l, s, now_us);
    l->stat[PW_LINK_STAT_SESSIONS_UP]++;
    /* Something under the new keys tells the server that we are no replay. */
    s->ping_due = true;
    pw_link_want_out(l, s);
    pw_link_want_tick(l, now_us);
    if (l->app.on_peer != NULL) {
        l->app.on_peer(l->app.ctx, s->index, true);
    }
}

void
pw_link_confirmed(struct pw_link *l, struct pw_link_session *s)
{
    s->state = PW_LINK_STATE_UP;
    s->hello_due = false;
    l->stat[PW_LINK_STAT_SESSIONS_IN]++;
    pw_link_want_tick(l, s->heard_us);
    /* A client has one session a port: what it had before is over. */
    for (uint32_t i = l->peers_max; i < pw_link_sessions(l); i++) {
        struct pw_link_session *o = &l->session[i];

        if (o != s && l->live[i] && o->state == PW_LINK_STATE_UP && strcmp(o->id, s->id) == 0 &&
            memcmp(&o->addr.ip, &s->addr.ip, sizeof(s->addr.ip)) == 0 &&
            o->addr.port == s->addr.port) {
            pw_link_session_end(l, o, false, s->heard_us);
        }
    }
}
