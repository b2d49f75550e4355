#include "tests/support/fake_link.h"

#include "base/check.h"

#include <stdlib.h>

struct fake_peer {
    char id[PW_LINK_ID_BYTES_MAX + 1];
    struct pw_link_addr addr;
    bool up;
    struct pw_fake_call call[PW_LINK_CALLS_MAX];
};

struct fake_request {
    char id[PW_LINK_ID_BYTES_MAX + 1];
    bool replied;
    struct pw_fake_reply reply;
};

struct pw_link {
    struct pw_link_app app;
    struct fake_peer peer[PW_LINK_PEERS_MAX];
    struct fake_request *request;
    uint32_t requests;
    uint32_t room;
    uint64_t order;
};

static void *
grown(void *p, size_t n)
{
    p = realloc(p, n);
    PW_INVARIANT(p != NULL);
    return p;
}

struct pw_link *
pw_link_create_ctl(const struct pw_link_cfg *cfg, uint64_t now_us, int *err)
{
    struct pw_link *l = calloc(1, sizeof(*l));

    (void)now_us;
    PW_INVARIANT(l != NULL);
    l->app = cfg->app;
    l->room = UINT32_MAX;
    if (err != NULL) {
        *err = 0;
    }
    return l;
}

static void
call_free(struct pw_fake_call *c)
{
    free(c->bytes);
    *c = (struct pw_fake_call){.used = false};
}

void
pw_link_destroy_ctl(struct pw_link *l)
{
    for (uint32_t i = 0; l != NULL && i < PW_LINK_PEERS_MAX; i++) {
        for (uint32_t k = 0; k < PW_LINK_CALLS_MAX; k++) {
            call_free(&l->peer[i].call[k]);
        }
    }
    if (l != NULL) {
        free(l->request);
    }
    free(l);
}

int
pw_link_open(struct pw_link *l, const char *peer_id, const struct pw_link_addr *addr)
{
    size_t n = strlen(peer_id);
    int at = PW_ENOSPC;

    if (n == 0 || n > PW_LINK_ID_BYTES_MAX) {
        return PW_EINVAL;
    }
    for (int i = PW_LINK_PEERS_MAX - 1; i >= 0; i--) {
        if (strcmp(l->peer[i].id, peer_id) == 0) {
            return PW_EEXIST;
        }
        at = l->peer[i].id[0] == 0 ? i : at;
    }
    if (at >= 0) {
        memcpy(l->peer[at].id, peer_id, n + 1);
        l->peer[at].addr = *addr;
    }
    return at;
}

static struct pw_fake_call *
oldest(const struct pw_link *l, uint32_t peer)
{
    const struct pw_fake_call *found = NULL;

    for (uint32_t k = 0; k < PW_LINK_CALLS_MAX; k++) {
        const struct pw_fake_call *c = &l->peer[peer].call[k];

        if (c->used && (found == NULL || c->order < found->order)) {
            found = c;
        }
    }
    return (struct pw_fake_call *)(uintptr_t)found;
}

static bool
done(struct pw_link *l, uint32_t peer, int status, const char *text)
{
    struct pw_fake_call *c = oldest(l, peer);

    if (c == NULL) {
        return false;
    }
    uint64_t cookie = c->cookie;

    call_free(c);
    l->app.on_done(l->app.ctx, cookie, status, pw_slice_str(text));
    return true;
}

static void
fail_calls(struct pw_link *l, uint32_t peer)
{
    uint32_t n = pw_fake_link_calls(l, peer);

    for (uint32_t i = 0; i < n; i++) {
        (void)done(l, peer, PW_LINK_DEAD, "");
    }
}

void
pw_link_close(struct pw_link *l, uint32_t peer)
{
    l->peer[peer].up = false;
    fail_calls(l, peer);
    l->peer[peer].id[0] = 0;
}

bool
pw_link_peer_up(const struct pw_link *l, uint32_t peer)
{
    return l->peer[peer].up;
}

static size_t
total_of(const struct pw_slice *parts, uint32_t count)
{
    size_t n = 0;

    for (uint32_t i = 0; i < count; i++) {
        n += parts[i].len;
    }
    return n;
}

int
pw_link_call(struct pw_link *l, uint32_t peer, const struct pw_slice *parts, uint32_t count,
             uint64_t cookie)
{
    struct pw_fake_call *c = l->peer[peer].call;
    size_t total = total_of(parts, count);

    if (total == 0 || total > PW_LINK_MESSAGE_BYTES_MAX || count > PW_LINK_PARTS_MAX) {
        return total == 0 ? PW_EINVAL : PW_EMSGSIZE;
    }
    if (!l->peer[peer].up) {
        return PW_ECONNRESET;
    }
    if (l->room == 0 || pw_fake_link_calls(l, peer) == PW_LINK_CALLS_MAX) {
        return PW_EAGAIN;
    }
    l->room -= l->room == UINT32_MAX ? 0 : 1;
    while (c->used) {
        c++;
    }
    *c = (struct pw_fake_call){
        .used = true, .peer = peer, .cookie = cookie, .order = l->order++, .len = total};
    c->bytes = grown(NULL, total);
    for (uint32_t i = 0, at = 0; i < count; at += (uint32_t)parts[i].len, i++) {
        memcpy(c->bytes + at, parts[i].ptr, parts[i].len);
    }
    return 0;
}

int
pw_link_cancel(struct pw_link *l, uint64_t cookie)
{
    for (uint32_t i = 0; i < PW_LINK_PEERS_MAX; i++) {
        for (uint32_t k = 0; k < PW_LINK_CALLS_MAX; k++) {
            struct pw_fake_call *c = &l->peer[i].call[k];

            if (c->used && c->cookie == cookie) {
                call_free(c);
                return 0;
            }
        }
    }
    return PW_ENOENT;
}

int
pw_link_reply(struct pw_link *l, struct pw_link_from from, uint16_t status, struct pw_slice text)
{
    size_t n = text.len < PW_LINK_TEXT_BYTES_MAX ? text.len : PW_LINK_TEXT_BYTES_MAX;

    if (from.turn >= l->requests || l->request[from.turn].replied) {
        return PW_ENOENT;
    }
    struct fake_request *r = &l->request[from.turn];

    r->replied = true;
    r->reply = (struct pw_fake_reply){.from = from, .status = status};
    if (n > 0) {
        memcpy(r->reply.text, text.ptr, n);
    }
    return 0;
}

const char *
pw_link_from_id(const struct pw_link *l, struct pw_link_from from)
{
    return from.turn < l->requests ? l->request[from.turn].id : "";
}

void
pw_link_leave(struct pw_link *l)
{
    for (uint32_t i = 0; i < PW_LINK_PEERS_MAX; i++) {
        if (l->peer[i].id[0] != 0) {
            pw_fake_link_up(l, i, false);
        }
    }
}

uint64_t
pw_link_stat(const struct pw_link *l, const char *name)
{
    (void)l;
    (void)name;
    return UINT64_MAX;
}

void
pw_link_metrics(struct pw_link *const *l, uint32_t n, struct pw_text *out)
{
    (void)l;
    (void)n;
    (void)out;
}

void
pw_fake_link_up(struct pw_link *l, uint32_t peer, bool up)
{
    if (l->peer[peer].up == up) {
        return;
    }
    l->peer[peer].up = up;
    if (!up) {
        fail_calls(l, peer);
    }
    if (l->app.on_peer != NULL) {
        l->app.on_peer(l->app.ctx, peer, up);
    }
}

const struct pw_fake_call *
pw_fake_link_call(const struct pw_link *l, uint32_t peer)
{
    return oldest(l, peer);
}

uint32_t
pw_fake_link_calls(const struct pw_link *l, uint32_t peer)
{
    uint32_t n = 0;

    for (uint32_t k = 0; k < PW_LINK_CALLS_MAX; k++) {
        n += l->peer[peer].call[k].used ? 1 : 0;
    }
    return n;
}

bool
pw_fake_link_answer(struct pw_link *l, uint32_t peer, uint16_t status, const char *text)
{
    return done(l, peer, status, text);
}

void
pw_fake_link_room(struct pw_link *l, uint32_t calls)
{
    l->room = calls;
}

uint32_t
pw_fake_link_request(struct pw_link *l, const char *from_id, struct pw_slice bytes)
{
    uint32_t at = l->requests++;
    struct pw_link_from from = {.session = 1, .turn = at, .slot = (uint16_t)at};
    size_t n = strlen(from_id);

    PW_INVARIANT(n <= PW_LINK_ID_BYTES_MAX);
    l->request = grown(l->request, l->requests * sizeof(l->request[0]));
    l->request[at] = (struct fake_request){.replied = false};
    memcpy(l->request[at].id, from_id, n + 1);
    l->app.on_request(l->app.ctx, from, bytes);
    return at;
}

const struct pw_fake_reply *
pw_fake_link_reply(const struct pw_link *l, uint32_t request)
{
    return request < l->requests && l->request[request].replied ? &l->request[request].reply : NULL;
}

const char *
pw_fake_link_peer(const struct pw_link *l, uint32_t peer, struct pw_link_addr *addr)
{
    *addr = l->peer[peer].addr;
    return l->peer[peer].id;
}
