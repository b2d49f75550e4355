/* The client's half: requests from the application until they are answered. */
#include "dataplane/peer_link_priv.h"

bool
pw_link_todo(struct pw_link *l, struct pw_link_session *s, struct pw_link_item item)
{
    if (s->todo_count == PW_LINK_TODO_MAX) {
        return false;
    }
    s->todo[(s->todo_head + s->todo_count) % PW_LINK_TODO_MAX] = item;
    s->todo_count++;
    pw_link_want_out(l, s);
    return true;
}

void
pw_link_calls_begin(struct pw_link_session *s)
{
    memset(s->call, 0, sizeof(s->call));
    s->calls_bytes = 0;
    s->sending_head = 0;
    s->sending_count = 0;
    s->calls_free = PW_LINK_CALLS_MAX;
    for (uint32_t i = 0; i < PW_LINK_CALLS_MAX; i++) {
        s->free_call[i] = (uint16_t)(PW_LINK_CALLS_MAX - 1 - i);
    }
}

/* The call's place may be taken by another. */
static void
call_free(struct pw_link_session *s, uint16_t slot)
{
    s->call[slot].state = PW_LINK_CALL_FREE;
    s->free_call[s->calls_free++] = slot;
}

void
pw_link_sending_done(struct pw_link_session *s)
{
    s->sending_head = (s->sending_head + 1) % PW_LINK_CALLS_MAX;
    s->sending_count--;
}

/* Rare: a call that is given up before all of it went out. */
static void
sending_remove(struct pw_link_session *s, uint16_t slot)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < s->sending_count; i++) {
        uint16_t at = s->sending[(s->sending_head + i) % PW_LINK_CALLS_MAX];

        if (at != slot) {
            s->sending[(s->sending_head + kept) % PW_LINK_CALLS_MAX] = at;
            kept++;
        }
    }
    s->sending_count = kept;
}

static int
parts_total(const struct pw_slice *parts, uint32_t count, uint32_t *total)
{
    size_t n = 0;

    if (count > PW_LINK_PARTS_MAX) {
        return PW_EMSGSIZE;
    }
    for (uint32_t i = 0; i < count; i++) {
        n += parts[i].len;
        if (parts[i].len > PW_LINK_MESSAGE_BYTES_MAX || n > PW_LINK_MESSAGE_BYTES_MAX) {
            return PW_EMSGSIZE;
        }
    }
    *total = (uint32_t)n;
    return n == 0 ? PW_EINVAL : 0;
}

static int
call_refused(const struct pw_link *l, const struct pw_link_session *s, uint32_t total)
{
    if (s->state != PW_LINK_STATE_UP) {
        return PW_ECONNRESET;
    }
    /* One call always fits, so that none is too large for ever. */
    if (s->calls_free == 0 || (s->calls_bytes > 0 && s->calls_bytes + total > l->calls_bytes)) {
        return PW_EAGAIN;
    }
    return 0;
}

int
pw_link_call(struct pw_link *l, uint32_t peer, const struct pw_slice *parts, uint32_t count,
             uint64_t cookie)
{
    uint32_t total = 0;
    int rc = parts_total(parts, count, &total);

    PW_INVARIANT(peer < l->peers_max);
    struct pw_link_session *s = &l->session[peer];

    rc = rc != 0 ? rc : call_refused(l, s, total);
    if (rc == 0 && pw_link_fragments(total, s->fragment_bytes) > UINT16_MAX) {
        rc = PW_EMSGSIZE; /* on a path of small packets */
    }
    if (rc != 0) {
        l->stat[PW_LINK_STAT_CALLS_REFUSED]++;
        return rc;
    }
    uint16_t slot = s->free_call[--s->calls_free];
    struct pw_link_call *c = &s->call[slot];

    c->cookie = cookie;
    c->turn++;
    c->total = total;
    c->fragments = pw_link_fragments(total, s->fragment_bytes);
    c->next = 0;
    c->state = PW_LINK_CALL_SENDING;
    c->parts = count;
    memcpy(c->part, parts, count * sizeof(parts[0]));
    s->calls_bytes += total;
    s->sending[(s->sending_head + s->sending_count) % PW_LINK_CALLS_MAX] = slot;
    s->sending_count++;
    l->stat[PW_LINK_STAT_CALLS]++;
    pw_link_want_out(l, s);
    return 0;
}

static void
cancel(struct pw_link *l, struct pw_link_session *s, uint16_t slot)
{
    struct pw_link_call *c = &s->call[slot];
    bool untouched = c->state == PW_LINK_CALL_SENDING && c->next == 0;

    l->stat[PW_LINK_STAT_CALLS_CANCELLED]++;
    s->calls_bytes -= c->total;
    if (c->state == PW_LINK_CALL_SENDING) {
        sending_remove(s, slot);
    }
    c->state = PW_LINK_CALL_CANCEL;
    if (untouched) { /* the peer never heard of it */
        call_free(s, slot);
        return;
    }
    if (!c->todo) {
        c->todo = pw_link_todo(
            l, s,
            (struct pw_link_item){.kind = PW_LINK_ITEM_CANCEL, .slot = slot, .turn = c->turn});
        PW_INVARIANT(c->todo); /* room for one a call is kept: PW_LINK_TODO_FRESH */
    }
}

int
pw_link_cancel(struct pw_link *l, uint64_t cookie)
{
    for (uint32_t i = 0; i < l->peers_max; i++) {
        struct pw_link_session *s = &l->session[i];

        if (!l->live[i] || s->state != PW_LINK_STATE_UP) {
            continue;
        }
        for (uint16_t k = 0; k < PW_LINK_CALLS_MAX; k++) {
            enum pw_link_call_state state = s->call[k].state;

            if (s->call[k].cookie == cookie &&
                (state == PW_LINK_CALL_SENDING || state == PW_LINK_CALL_SENT)) {
                cancel(l, s, k);
                return 0;
            }
        }
    }
    return PW_ENOENT;
}

void
pw_link_cancel_acked(struct pw_link *l, struct pw_link_session *s, uint16_t slot, uint32_t turn)
{
    (void)l;
    if (s->call[slot].turn == turn && s->call[slot].state == PW_LINK_CALL_CANCEL) {
        call_free(s, slot);
    }
}

void
pw_link_reply_input(struct pw_link *l, struct pw_link_session *s, const struct pw_link_frame *f)
{
    struct pw_link_call *c = &s->call[f->slot];

    if (c->turn != f->turn || c->state == PW_LINK_CALL_FREE) {
        return; /* a second copy */
    }
    if (c->state == PW_LINK_CALL_CANCEL) {
        call_free(s, f->slot);
        return;
    }
    if (c->state ==
        PW_LINK_CALL_SENDING) { /* it has not even been sent whole: nobody has read it */
        pw_link_dropped(l, PW_LINK_DROP_FRAME);
        return;
    }
    s->calls_bytes -= c->total;
    call_free(s, f->slot);
    l->stat[PW_LINK_STAT_CALLS_DONE]++;
    l->app.on_done(l->app.ctx, c->cookie, f->status, f->bytes);
}

void
pw_link_calls_fail(struct pw_link *l, struct pw_link_session *s)
{
    for (uint32_t i = 0; i < PW_LINK_CALLS_MAX; i++) {
        struct pw_link_call *c = &s->call[i];
        enum pw_link_call_state state = c->state;

        c->state = PW_LINK_CALL_FREE;
        if (state == PW_LINK_CALL_SENDING || state == PW_LINK_CALL_SENT) {
            l->stat[PW_LINK_STAT_CALLS_DEAD]++;
            l->app.on_done(l->app.ctx, c->cookie, PW_LINK_DEAD, pw_slice(NULL, 0));
        }
    }
}
