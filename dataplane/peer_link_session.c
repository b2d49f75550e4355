#include "dataplane/peer_link_priv.h"

enum {
    HELLO_FIRST_US = 20000, /* until the second handshake; doubles */
    HELLO_DOUBLINGS = 5,
    PINGS_PER_SILENCE = 5,             /* a lost ping or two are not silence, */
    ASKED_MIN = PINGS_PER_SILENCE - 1, /* and so many without an answer are needed */
    SILENCES_OF_SERVER = 10, /* its client pings; one that did not run for seconds goes on */
    NOT_FRAGMENT_BYTES = PW_LINK_HEADER_BYTES + PW_LINK_TAG_BYTES + PW_LINK_FRAGMENT_HEAD_BYTES +
                         22 + 16, /* an acknowledgement of 128 packets rides along */
};

struct pw_link_session *
pw_link_find(struct pw_link *l, uint32_t local_id)
{
    uint32_t index = local_id & ((1U << PW_LINK_INDEX_BITS) - 1);

    if (index >= pw_link_sessions(l) || !l->live[index]) {
        return NULL;
    }
    struct pw_link_session *s = &l->session[index];

    return s->local_id == local_id && s->state != PW_LINK_STATE_BYE ? s : NULL;
}

void
pw_link_new_id(struct pw_link *l, struct pw_link_session *s)
{
    uint32_t bits;

    do { /* 0 is nobody's */
        l->random(l->random_ctx, (uint8_t *)&bits, sizeof(bits));
    } while (bits >> PW_LINK_INDEX_BITS == 0);
    s->local_id = (bits & ~((1U << PW_LINK_INDEX_BITS) - 1)) | s->index;
}

struct pw_link_session *
pw_link_session_get(struct pw_link *l)
{
    for (uint32_t i = l->peers_max; i < pw_link_sessions(l); i++) {
        if (!l->live[i]) {
            l->live[i] = true;
            l->session[i].index = i;
            l->session[i].client = false;
            return &l->session[i];
        }
    }
    return NULL;
}

void
pw_link_session_begin(struct pw_link *l, struct pw_link_session *s, uint64_t now_us)
{
    s->fragment_bytes = (uint16_t)(s->packet_bytes - NOT_FRAGMENT_BYTES);
    s->heard_us = now_us;
    s->pinged_us = now_us;
    s->ping_due = false;
    s->asked = 0;
    s->down = (struct pw_link_down){.bye = false};
    s->hello_due = false;
    s->todo_head = 0;
    s->todo_count = 0;
    s->seen = (struct pw_link_seen){.max = 0};
    s->credit_used = 0;
    pw_link_flight_begin(s);
    if (s->client) {
        pw_link_calls_begin(s);
    } else {
        s->credit_max = l->session_bytes;
        memset(s->slot, 0, sizeof(s->slot));
    }
}

void
pw_link_session_seek(struct pw_link *l, struct pw_link_session *s, uint64_t now_us)
{
    l->live[s->index] = true;
    s->state = PW_LINK_STATE_HELLO;
    s->hello_tries = 0;
    s->hello_us = now_us;
    s->hello_due = false;
    pw_link_new_id(l, s);
    l->random(l->random_ctx, s->client_nonce, sizeof(s->client_nonce));
    pw_link_want_tick(l, now_us);
}

static void
unlist(struct pw_link *l, struct pw_link_session *s)
{
    if (s->queued) {
        s->queued = false;
        TAILQ_REMOVE(&l->out, s, link);
    }
}

void
pw_link_session_end(struct pw_link *l, struct pw_link_session *s, bool again, uint64_t now_us)
{
    bool told = s->up_told;

    /* What is called below may open, close and call: this session is no longer there for it. */
    s->state = PW_LINK_STATE_FREE;
    s->up_told = false;
    s->local_id = 0;
    l->live[s->index] = false;
    unlist(l, s);
    pw_link_keys_drop(l, s);
    if (!s->client) {
        pw_link_requests_drop(l, s);
        return;
    }
    if (told) {
        l->stat[PW_LINK_STAT_SESSIONS_DOWN]++;
    }
    if (again) { /* its number stays taken while the callbacks run */
        l->live[s->index] = true;
    }
    pw_link_calls_fail(l, s);
    if (!again || s->id[0] == 0) {
        l->live[s->index] = s->state != PW_LINK_STATE_FREE;
        return;
    }
    if (told && l->app.on_peer != NULL) {
        l->app.on_peer(l->app.ctx, s->index, false);
    }
    if (s->state == PW_LINK_STATE_FREE && s->id[0] != 0) {
        pw_link_session_seek(l, s, now_us);
    }
    l->live[s->index] = s->state != PW_LINK_STATE_FREE;
}

static bool
hello_tick(struct pw_link *l, struct pw_link_session *s, uint64_t now_us)
{
    bool due = now_us >= s->hello_us;
    uint8_t jitter;

    if (due) {
        uint32_t doublings =
            s->hello_tries < HELLO_DOUBLINGS ? s->hello_tries : (uint32_t)HELLO_DOUBLINGS;
        uint64_t wait = (uint64_t)HELLO_FIRST_US << doublings;

        l->random(l->random_ctx, &jitter, 1); /* peers that start together do not stay together */
        s->hello_us = now_us + wait - wait * jitter / 1024;
        s->hello_tries++;
        s->hello_due = true;
        pw_link_want_out(l, s);
    }
    pw_link_want_tick(l, s->hello_us);
    return due;
}

/* True: the session ended. Time alone does not make a peer silent: it has to have been asked, again and again, by an end
 * that was there to hear the answer. */
static bool
silence_tick(struct pw_link *l, struct pw_link_session *s, uint64_t now_us)
{
    uint64_t longest = s->client ? l->silence_us : SILENCES_OF_SERVER * l->silence_us;
    uint64_t silent = now_us - s->heard_us;

    if (silent < longest) {
        pw_link_want_tick(l, s->heard_us + longest);
        return false;
    }
    if (s->client &&
        (s->asked < ASKED_MIN || now_us - s->pinged_us < l->silence_us / PINGS_PER_SILENCE)) {
        return false; /* ping_tick wants the next turn */
    }
    l->stat[PW_LINK_STAT_SILENT]++;
    s->down.silent_us = silent;
    s->down.asked = s->asked;
    pw_link_session_end(l, s, true, now_us);
    return true;
}

static bool
ping_tick(struct pw_link *l, struct pw_link_session *s, uint64_t now_us)
{
    uint64_t each = l->silence_us / PINGS_PER_SILENCE;
    uint64_t last = s->heard_us > s->pinged_us ? s->heard_us : s->pinged_us;
    bool due = now_us - last >= each;

    if (due) {
        s->pinged_us = now_us;
        last = now_us;
        s->ping_due = true;
        pw_link_want_out(l, s);
    }
    pw_link_want_tick(l, last + each);
    return due;
}

static bool
up_tick(struct pw_link *l, struct pw_link_session *s, uint64_t now_us)
{
    bool acted;

    if (silence_tick(l, s, now_us)) {
        return true;
    }
    acted = s->client && ping_tick(l, s, now_us);
    acted |= pw_link_flight_tick(l, s, now_us);
    pw_link_want_tick(l, pw_link_flight_next_us(s));
    if (s->seen.waiting > 0 && !s->seen.now) {
        if (now_us >= s->seen.due_us) {
            s->seen.now = true;
            pw_link_want_out(l, s);
            acted = true;
        } else {
            pw_link_want_tick(l, s->seen.due_us);
        }
    }
    return acted;
}

bool
pw_link_session_tick(struct pw_link *l, struct pw_link_session *s, uint64_t now_us)
{
    switch (s->state) {
    case PW_LINK_STATE_HELLO:
        return hello_tick(l, s, now_us);
    case PW_LINK_STATE_HALF:
        if (now_us >= s->hello_us) {
            pw_link_session_end(l, s, false, now_us);
            return true;
        }
        pw_link_want_tick(l, s->hello_us);
        return false;
    case PW_LINK_STATE_UP:
        return up_tick(l, s, now_us);
    case PW_LINK_STATE_BYE:
    case PW_LINK_STATE_FREE:
        return false;
    }
    PW_UNREACHABLE("session state");
}
