#include "dataplane/peer_link_priv.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>

enum {
    AWAY_US = 100000,     /* a longer pause between ticks is our own, not the peers' silence */
    KEYS_PER_SESSION = 5, /* two directions, one with three epochs, and one while they change */
};

static void
kernel_random(void *ctx, uint8_t *dst, size_t n)
{
    ssize_t got = getrandom(dst, n, 0);

    (void)ctx;
    PW_INVARIANT(got == (ssize_t)n); /* below 256 bytes it cannot be cut short */
}

static int
cfg_check(const struct pw_link_cfg *cfg)
{
    size_t id = cfg->self_id == NULL ? 0 : strlen(cfg->self_id);

    if (id == 0 || id > PW_LINK_ID_BYTES_MAX || cfg->app.on_done == NULL ||
        cfg->app.on_request == NULL) {
        return PW_EINVAL;
    }
    if (!cfg->insecure && (cfg->secret.len < PW_LINK_SECRET_BYTES_MIN ||
                           cfg->secret.len > PW_LINK_SECRET_BYTES_MAX)) {
        return PW_EINVAL;
    }
    if (cfg->peers_max > PW_LINK_PEERS_MAX || cfg->sessions_max > PW_LINK_SESSIONS_MAX ||
        (cfg->packet_bytes != 0 && cfg->packet_bytes < PW_LINK_PACKET_BYTES_MIN) ||
        cfg->epoch_bits > 28) {
        return PW_ERANGE;
    }
    return 0;
}

static uint64_t
or_default(uint64_t v, uint64_t d)
{
    return v == 0 ? d : v;
}

/* A message of the largest size has to fit. */
static uint64_t
at_least(uint64_t v, uint64_t least)
{
    return v < least ? least : v;
}

static void
fill(struct pw_link *l, const struct pw_link_cfg *cfg, uint64_t now_us)
{
    l->app = cfg->app;
    memcpy(l->self_id, cfg->self_id, strlen(cfg->self_id) + 1);
    l->insecure = cfg->insecure;
    l->packet_bytes = (uint16_t)or_default(cfg->packet_bytes, 1472);
    l->peers_max = (uint32_t)or_default(cfg->peers_max, 16);
    l->sessions_max = (uint32_t)or_default(cfg->sessions_max, 64);
    l->session_bytes = at_least(or_default(cfg->session_bytes, 8 << 20), PW_LINK_MESSAGE_BYTES_MAX);
    l->calls_bytes = or_default(cfg->calls_bytes, 16 << 20);
    l->silence_us = or_default(cfg->silence_ms, 800) * 1000;
    l->epoch_bits = (uint32_t)or_default(cfg->epoch_bits, 24);
    l->local_port = cfg->local_port;
    l->local_ports = (uint16_t)or_default(cfg->local_ports, 1);
    l->random = cfg->random != NULL ? cfg->random : kernel_random;
    l->random_ctx = cfg->random_ctx;
    l->tick_us = now_us;
    l->next_us = UINT64_MAX;
    l->hello_refill_us = now_us;
    l->hello_tokens = 16;
    TAILQ_INIT(&l->out);
}

static int
aead_choose(struct pw_link *l, const struct pw_link_cfg *cfg)
{
    uint32_t keys = KEYS_PER_SESSION * pw_link_sessions(l) + 2;

    if (cfg->insecure) {
        pw_link_aead_plain_ctl(&l->aead);
        return 0;
    }
    if (!cfg->no_cryptodev && pw_link_aead_cryptodev_ctl(&l->aead, keys) == 0) {
        return 0;
    }
    return pw_link_aead_libcrypto_ctl(&l->aead, keys);
}

static int
memory(struct pw_link *l, const struct pw_link_cfg *cfg)
{
    uint64_t rx = at_least(or_default(cfg->rx_bytes, 96 << 20),
                           PW_LINK_MESSAGE_BYTES_MAX + 2 * PW_LINK_BLOCK_BYTES);
    int rc = pw_link_arena_init_ctl(&l->arena, rx);

    l->session_map_bytes = pw_link_sessions(l) * sizeof(struct pw_link_session);
    l->session = mmap(NULL, l->session_map_bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (l->session == MAP_FAILED) {
        l->session = NULL;
        return PW_ENOMEM;
    }
    l->opened = malloc(l->packet_bytes);
    return l->opened == NULL ? PW_ENOMEM : rc;
}

struct pw_link *
pw_link_create_ctl(const struct pw_link_cfg *cfg, uint64_t now_us, int *err)
{
    int rc = cfg_check(cfg);
    struct pw_link *l = rc == 0 ? calloc(1, sizeof(*l)) : NULL;

    if (rc == 0 && l == NULL) {
        rc = PW_ENOMEM;
    }
    if (rc == 0) {
        fill(l, cfg, now_us);
        rc = aead_choose(l, cfg);
    }
    rc = rc != 0 ? rc : memory(l, cfg);
    rc = rc != 0 ? rc
                 : pw_link_keys_init_ctl(l, cfg->insecure ? PW_SLICE_LIT("-link.insecure")
                                                          : cfg->secret);
    if (rc != 0 && l != NULL) {
        pw_link_destroy_ctl(l);
        l = NULL;
    }
    if (err != NULL) {
        *err = rc;
    }
    return l;
}

void
pw_link_destroy_ctl(struct pw_link *l)
{
    if (l == NULL) {
        return;
    }
    for (uint32_t i = 0; l->session != NULL && i < pw_link_sessions(l); i++) {
        if (l->live[i]) {
            pw_link_keys_drop(l, &l->session[i]);
        }
    }
    if (l->session != NULL) {
        munmap(l->session, l->session_map_bytes);
    }
    pw_link_arena_fini_ctl(&l->arena);
    free(l->opened);
    if (l->aead.drop != NULL) {
        pw_link_keys_fini_ctl(l);
        l->aead.destroy(l->aead.ctx);
    }
    free(l);
}

int
pw_link_open(struct pw_link *l, const char *peer_id, const struct pw_link_addr *addr)
{
    size_t n = strlen(peer_id);
    uint32_t at = UINT32_MAX;

    if (n == 0 || n > PW_LINK_ID_BYTES_MAX) {
        return PW_EINVAL;
    }
    for (uint32_t i = l->peers_max; i-- > 0;) {
        if (l->live[i] && strcmp(l->session[i].id, peer_id) == 0) {
            return PW_EEXIST;
        }
        at = l->live[i] ? at : i;
    }
    if (at == UINT32_MAX) {
        return PW_ENOSPC;
    }
    struct pw_link_session *s = &l->session[at];

    s->index = at;
    s->client = true;
    s->addr = *addr;
    s->path_bytes = 0;
    memcpy(s->id, peer_id, n + 1);
    pw_link_session_seek(l, s, l->tick_us);
    return (int)at;
}

/* One packet says good-bye; then, in pw_link_output, the session ends. */
static void
bye(struct pw_link *l, struct pw_link_session *s)
{
    if (s->state != PW_LINK_STATE_UP) {
        pw_link_session_end(l, s, false, l->tick_us);
        return;
    }
    s->state = PW_LINK_STATE_BYE;
    s->up_told = false;
    if (s->client) {
        l->stat[PW_LINK_STAT_SESSIONS_DOWN]++;
        pw_link_calls_fail(l, s);
    }
    pw_link_want_out(l, s);
}

void
pw_link_close(struct pw_link *l, uint32_t peer)
{
    PW_INVARIANT(peer < l->peers_max);
    struct pw_link_session *s = &l->session[peer];

    if (l->live[peer] && s->state != PW_LINK_STATE_BYE) {
        s->id[0] = 0;
        bye(l, s);
    }
}

bool
pw_link_peer_up(const struct pw_link *l, uint32_t peer)
{
    return peer < l->peers_max && l->live[peer] && l->session[peer].state == PW_LINK_STATE_UP;
}

struct pw_link_down
pw_link_down(const struct pw_link *l, uint32_t peer)
{
    PW_INVARIANT(peer < l->peers_max);
    return l->session[peer].down;
}

void
pw_link_leave(struct pw_link *l)
{
    l->leaving = true;
    for (uint32_t i = 0; i < pw_link_sessions(l); i++) {
        if (l->live[i] && l->session[i].state != PW_LINK_STATE_BYE) {
            bool told = l->session[i].up_told;

            bye(l, &l->session[i]);
            if (told && l->app.on_peer != NULL) {
                l->app.on_peer(l->app.ctx, i, false);
            }
        }
    }
}

uint16_t
pw_link_packet_bytes(const struct pw_link *l)
{
    return l->packet_bytes;
}

uint64_t
pw_link_next_us(const struct pw_link *l)
{
    return TAILQ_EMPTY(&l->out) ? l->next_us : 0;
}

static uint64_t
later(uint64_t at_us, uint64_t us, uint64_t now_us)
{
    return at_us + us < now_us ? at_us + us : now_us;
}

/* While this thread did not run (stopped, preempted, busy) nobody could be heard. Whom it heard in this turn it heard
 * now, not later. */
static void
away(struct pw_link *l, uint64_t us, uint64_t now_us)
{
    for (uint32_t i = 0; i < pw_link_sessions(l); i++) {
        if (l->live[i]) {
            struct pw_link_session *s = &l->session[i];

            s->heard_us = later(s->heard_us, us, now_us);
            s->pinged_us = later(s->pinged_us, us, now_us);
            s->down.away_us += us;
        }
    }
}

uint32_t
pw_link_tick(struct pw_link *l, uint64_t now_us)
{
    uint64_t since = now_us - l->tick_us;
    uint32_t acted = 0;

    l->tick_us = now_us;
    if (since > AWAY_US) {
        away(l, since, now_us);
    }
    if (now_us < l->next_us) {
        return 0;
    }
    l->next_us = UINT64_MAX;
    for (uint32_t i = 0; i < pw_link_sessions(l); i++) {
        if (l->live[i]) {
            acted += pw_link_session_tick(l, &l->session[i], now_us) ? 1 : 0;
        }
    }
    return acted;
}

static size_t
session_output(struct pw_link *l, struct pw_link_session *s, uint8_t *buf, uint64_t now_us)
{
    switch (s->state) {
    case PW_LINK_STATE_HELLO:
        return s->hello_due ? pw_link_hello_output(l, s, buf) : 0;
    case PW_LINK_STATE_HALF:
        return s->hello_due ? pw_link_welcome_output(l, s, buf) : 0;
    case PW_LINK_STATE_UP:
    case PW_LINK_STATE_BYE:
        return pw_link_data_output(l, s, buf, now_us);
    case PW_LINK_STATE_FREE:
        return 0;
    }
    PW_UNREACHABLE("session state");
}

size_t
pw_link_output(struct pw_link *l, uint8_t *buf, struct pw_link_addr *to, uint64_t now_us)
{
    struct pw_link_session *s;

    while ((s = TAILQ_FIRST(&l->out)) != NULL) { /* bound: a session without a packet leaves */
        size_t n = session_output(l, s, buf, now_us);
        bool over = s->state == PW_LINK_STATE_BYE;

        *to = s->addr;
        TAILQ_REMOVE(&l->out, s, link);
        s->queued = false;
        if (over) {
            pw_link_session_end(l, s, false, now_us);
        } else if (n > 0) {
            pw_link_want_out(l, s); /* behind the others */
        }
        if (n > 0) {
            l->stat[PW_LINK_STAT_PACKETS_OUT]++;
            l->stat[PW_LINK_STAT_BYTES_OUT] += n;
            return n;
        }
    }
    return 0;
}
