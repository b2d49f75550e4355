#include "ring/lifecycler.h"

#include "base/log.h"
#include "ring/tokens.h"

#include <stdlib.h>

static const char module[] = "pw.ring.lifecycler";

enum { RETRY_MS = 1000 };

static const int64_t NEVER = INT64_MAX;

struct pw_lifecycler {
    struct pw_lifecycler_cfg cfg;
    bool started, unregistered;
    enum pw_instance_state state;
    struct pw_tokens tokens;
    int64_t registered;
    bool read_only;
    int64_t read_only_updated;
    int64_t heartbeat_at, join_at, observe_at; /* monotonic ms */
    uint64_t heartbeats;
    uint64_t seed;
};

/* --- Made and unmade -------------------------------------------------------------------------- */

static void
free_texts(struct pw_lifecycler_cfg *cfg)
{
    free((void *)(uintptr_t)cfg->key);
    free((void *)(uintptr_t)cfg->id);
    free((void *)(uintptr_t)cfg->addr);
    free((void *)(uintptr_t)cfg->zone);
    free((void *)(uintptr_t)cfg->tokens_path);
}

static bool
copy_texts(struct pw_lifecycler_cfg *to, const struct pw_lifecycler_cfg *from)
{
    to->key = strdup(from->key);
    to->id = strdup(from->id);
    to->addr = strdup(from->addr);
    to->zone = strdup(from->zone);
    to->tokens_path = strdup(from->tokens_path != NULL ? from->tokens_path : "");
    return to->key != NULL && to->id != NULL && to->addr != NULL && to->zone != NULL &&
           to->tokens_path != NULL;
}

int
pw_lifecycler_create_ctl(struct pw_lifecycler **out, const struct pw_lifecycler_cfg *cfg)
{
    struct pw_lifecycler *l;

    if (cfg->id[0] == 0 || cfg->num_tokens > PW_RING_TOKENS_MAX || cfg->heartbeat_period_ms <= 0) {
        return PW_EINVAL;
    }
    l = calloc(1, sizeof(*l));
    if (l == NULL) {
        return PW_ENOMEM;
    }
    l->cfg = *cfg;
    l->state = PW_INSTANCE_PENDING;
    l->seed = cfg->seed;
    l->heartbeat_at = l->join_at = l->observe_at = NEVER;
    if (!copy_texts(&l->cfg, cfg)) {
        pw_lifecycler_destroy_ctl(l);
        return PW_ENOMEM;
    }
    *out = l;
    return 0;
}

void
pw_lifecycler_destroy_ctl(struct pw_lifecycler *l)
{
    if (l == NULL) {
        return;
    }
    free_texts(&l->cfg);
    free(l);
}

/* --- The tokens file -------------------------------------------------------------------------- */

static void
load_tokens(struct pw_lifecycler *l)
{
    int rc;

    if (l->cfg.tokens_path[0] == 0) {
        return;
    }
    rc = pw_tokens_load_cold(&l->tokens, l->cfg.fs, l->cfg.tokens_path);
    if (rc != 0 && rc != PW_ENOENT) {
        pw_log(PW_LOG_WARN, module,
               "msg=\"tokens file not readable, new tokens are drawn\" err=\"%s\"",
               pw_err_text(rc));
    }
}

static void
store_tokens(const struct pw_lifecycler *l)
{
    int rc;

    if (l->cfg.tokens_path[0] == 0 || l->tokens.count == 0) {
        return;
    }
    rc = pw_tokens_store_cold(&l->tokens, l->cfg.fs, l->cfg.tokens_path);
    if (rc != 0) {
        pw_log(PW_LOG_WARN, module, "msg=\"tokens file not written\" err=\"%s\"", pw_err_text(rc));
    }
}

/* --- Our entry -------------------------------------------------------------------------------- */

/* A tombstone of ours is no entry. */
static const struct pw_instance *
own_entry(const struct pw_lifecycler *l, const struct pw_ring_desc *d)
{
    const struct pw_instance *in = d == NULL ? NULL : pw_ring_desc_find(d, l->cfg.id);

    return in != NULL && in->state != PW_INSTANCE_LEFT ? in : NULL;
}

static bool
says_the_same(const struct pw_instance *a, const struct pw_instance *b)
{
    return a->state == b->state && a->read_only == b->read_only && a->registered == b->registered &&
           a->read_only_updated == b->read_only_updated && strcmp(a->addr, b->addr) == 0 &&
           strcmp(a->zone, b->zone) == 0 && a->token_count == b->token_count &&
           (a->token_count == 0 ||
            memcmp(a->token, b->token, a->token_count * sizeof(*a->token)) == 0);
}

/* Members that have been silent for too long, dropped in the same change as our heartbeat (1.6). */
static void
forget_silent(const struct pw_lifecycler *l, struct pw_ring_desc *d, int64_t now_s)
{
    for (uint32_t i = d->count; l->cfg.forget_after_s > 0 && i-- > 0;) {
        const struct pw_instance *in = &d->instance[i];

        if (in->state != PW_INSTANCE_LEFT && now_s - in->timestamp > l->cfg.forget_after_s &&
            strcmp(in->id, l->cfg.id) != 0) {
            pw_log(PW_LOG_INFO, module, "msg=\"forgetting a silent member\" ring=%s id=%s",
                   l->cfg.key, in->id);
            pw_ring_desc_remove(d, in->id);
        }
    }
}

static const struct pw_ring_desc *
ring(const struct pw_lifecycler *l)
{
    return l->cfg.store.get(l->cfg.store.ctx, l->cfg.key);
}

struct edit {
    struct pw_lifecycler *l;
    int64_t now_s;
};

/* Our entry as of now. One that is missing is registered anew; one that changes within its second gets
 * the next, or it would not be newer. */
static int
put_entry(void *arg, struct pw_ring_desc *d)
{
    const struct edit *e = arg;
    struct pw_lifecycler *l = e->l;
    const struct pw_ring_desc *all = ring(l); /* tombstones too, which d may not have */
    const struct pw_instance *known = all == NULL ? NULL : pw_ring_desc_find(all, l->cfg.id);
    struct pw_instance in = {
        .id = l->cfg.id,
        .addr = l->cfg.addr,
        .zone = l->cfg.zone,
        .state = l->state,
        .timestamp = e->now_s,
        .read_only = l->read_only,
        .read_only_updated = l->read_only_updated,
        .token = l->tokens.token,
        .token_count = l->tokens.count,
        .version = l->cfg.version,
        .version_count = l->cfg.version != NULL,
    };

    if (own_entry(l, d) == NULL) {
        l->registered = e->now_s;
    }
    in.registered = l->registered;
    if (known != NULL && known->timestamp >= in.timestamp && !says_the_same(known, &in)) {
        in.timestamp = known->timestamp + 1;
    }
    forget_silent(l, d, e->now_s);
    return pw_ring_desc_put(d, &in);
}

/* Writes our entry and plans the next heartbeat; sooner when it did not get there. */
static int
publish(struct pw_lifecycler *l, struct pw_ring_now now)
{
    struct edit e = {.l = l, .now_s = now.wall_s};
    int rc = l->cfg.store.cas(l->cfg.store.ctx, l->cfg.key, put_entry, &e, now.wall_s);

    l->heartbeat_at = now.mono_ms + (rc == 0 ? l->cfg.heartbeat_period_ms : RETRY_MS);
    if (rc != 0 && rc != PW_EAGAIN) {
        pw_log(PW_LOG_WARN, module, "msg=\"ring not updated\" ring=%s err=\"%s\"", l->cfg.key,
               pw_err_text(rc));
    }
    return rc;
}

static int
remove_entry(void *arg, struct pw_ring_desc *d)
{
    const struct edit *e = arg;

    pw_ring_desc_remove(d, e->l->cfg.id);
    return 0;
}

/* --- Start ------------------------------------------------------------------------------------ */

static void
complete_tokens(struct pw_lifecycler *l)
{
    pw_tokens_trim(&l->tokens, l->cfg.num_tokens, &l->seed);
    pw_tokens_fill(&l->tokens, l->cfg.num_tokens, ring(l), &l->seed);
}

static void
set_state(struct pw_lifecycler *l, enum pw_instance_state to)
{
    if (l->state != to) {
        pw_log(PW_LOG_INFO, module, "msg=\"state\" ring=%s id=%s from=%s to=%s", l->cfg.key,
               l->cfg.id, pw_instance_state_name(l->state), pw_instance_state_name(to));
        l->state = to;
    }
}

static void
adopt(struct pw_lifecycler *l, const struct pw_instance *in)
{
    l->registered = in->registered;
    l->read_only = in->read_only;
    l->read_only_updated = in->read_only_updated;
    pw_tokens_set(&l->tokens, in->token, in->token_count);
}

/* Tokens are ours from here on: at once, or after a time in which others may say that they have them. */
static void
claim(struct pw_lifecycler *l, struct pw_ring_now now)
{
    l->join_at = NEVER;
    complete_tokens(l);
    if (l->cfg.observe_period_ms == 0) {
        set_state(l, PW_INSTANCE_ACTIVE);
        return;
    }
    set_state(l, PW_INSTANCE_JOINING);
    l->observe_at = now.mono_ms + l->cfg.observe_period_ms;
}

static void
start_classic(struct pw_lifecycler *l, const struct pw_instance *known, struct pw_ring_now now)
{
    l->state = PW_INSTANCE_PENDING;
    if (known == NULL) {
        load_tokens(l);
        if (l->tokens.count > 0 && l->tokens.count >= l->cfg.num_tokens) {
            set_state(l, PW_INSTANCE_ACTIVE);
        }
    } else {
        adopt(l, known);
        if (known->state == PW_INSTANCE_LEAVING) {
            complete_tokens(l);
            set_state(l, PW_INSTANCE_ACTIVE);
        } else if (known->state != PW_INSTANCE_JOINING) { /* that was a start cut short: again */
            set_state(l, known->state);
        }
    }
    if (l->state == PW_INSTANCE_PENDING && l->cfg.join_after_ms == 0) {
        claim(l, now);
    } else if (l->state == PW_INSTANCE_PENDING) {
        l->join_at = now.mono_ms + l->cfg.join_after_ms;
    }
}

static void
start_basic(struct pw_lifecycler *l, const struct pw_instance *known, struct pw_ring_now now)
{
    if (known != NULL) {
        adopt(l, known);
    }
    pw_tokens_fill(&l->tokens, l->cfg.num_tokens, ring(l), &l->seed);
    set_state(l, l->cfg.register_state);
    l->observe_at = l->cfg.observe_period_ms > 0 ? now.mono_ms + l->cfg.observe_period_ms : NEVER;
}

int
pw_lifecycler_start(struct pw_lifecycler *l, struct pw_ring_now now)
{
    const struct pw_instance *known = own_entry(l, ring(l));

    l->started = true;
    if (l->cfg.kind == PW_LIFECYCLER_CLASSIC) {
        start_classic(l, known, now);
    } else {
        start_basic(l, known, now);
    }
    store_tokens(l);
    return publish(l, now);
}

/* --- What is due ------------------------------------------------------------------------------ */

/* Tokens that are still all ours in the ring after the time of observing are ours for good. */
static void
observe(struct pw_lifecycler *l, struct pw_ring_now now)
{
    const struct pw_instance *in = own_entry(l, ring(l));

    l->observe_at = NEVER;
    if (in != NULL && pw_tokens_equal(&l->tokens, in->token, in->token_count)) {
        if (l->cfg.kind == PW_LIFECYCLER_CLASSIC) {
            set_state(l, PW_INSTANCE_ACTIVE);
        }
        return;
    }
    pw_tokens_set(&l->tokens, in == NULL ? NULL : in->token, in == NULL ? 0 : in->token_count);
    complete_tokens(l);
    l->observe_at = now.mono_ms + l->cfg.observe_period_ms;
}

static int64_t
earliest(const struct pw_lifecycler *l)
{
    int64_t at = l->heartbeat_at < l->join_at ? l->heartbeat_at : l->join_at;

    return at < l->observe_at ? at : l->observe_at;
}

int64_t
pw_lifecycler_step(struct pw_lifecycler *l, struct pw_ring_now now)
{
    bool changed = false;

    if (!l->started || l->unregistered) {
        return NEVER;
    }
    if (now.mono_ms >= l->join_at && l->state == PW_INSTANCE_PENDING) {
        claim(l, now);
        changed = true;
    }
    if (now.mono_ms >= l->observe_at) {
        observe(l, now);
        changed = true;
    }
    if (changed) {
        store_tokens(l);
    }
    if (changed || now.mono_ms >= l->heartbeat_at) {
        l->heartbeats += !changed;
        (void)publish(l, now); /* logged; comes again in RETRY_MS */
    }
    return earliest(l);
}

/* --- From outside ----------------------------------------------------------------------------- */

static bool
allowed(enum pw_instance_state from, enum pw_instance_state to)
{
    return (from == PW_INSTANCE_PENDING && to == PW_INSTANCE_JOINING) ||
           (from == PW_INSTANCE_JOINING && to == PW_INSTANCE_PENDING) ||
           (from == PW_INSTANCE_JOINING && to == PW_INSTANCE_ACTIVE) ||
           (from == PW_INSTANCE_PENDING && to == PW_INSTANCE_ACTIVE) ||
           (from == PW_INSTANCE_ACTIVE && to == PW_INSTANCE_LEAVING);
}

int
pw_lifecycler_change_state(struct pw_lifecycler *l, enum pw_instance_state to,
                           struct pw_ring_now now, struct pw_text *why)
{
    if (!allowed(l->state, to)) {
        pw_text_printf(why, "changing instance state from %s -> %s is disallowed",
                       pw_instance_state_name(l->state), pw_instance_state_name(to));
        return PW_EINVAL;
    }
    set_state(l, to);
    return publish(l, now);
}

int
pw_lifecycler_set_read_only(struct pw_lifecycler *l, bool read_only, struct pw_ring_now now)
{
    if (l->read_only == read_only) {
        return 0;
    }
    l->read_only = read_only;
    l->read_only_updated =
        now.wall_s > l->read_only_updated ? now.wall_s : l->read_only_updated + 1; /* only grows */
    return publish(l, now);
}

int
pw_lifecycler_leave(struct pw_lifecycler *l, struct pw_ring_now now)
{
    if (!l->started || l->unregistered) {
        return 0;
    }
    l->join_at = l->observe_at = NEVER;
    set_state(l, PW_INSTANCE_LEAVING);
    return publish(l, now);
}

int
pw_lifecycler_unregister(struct pw_lifecycler *l, struct pw_ring_now now)
{
    struct edit e = {.l = l, .now_s = now.wall_s};

    if (!l->started || l->unregistered) {
        return 0;
    }
    l->unregistered = true;
    set_state(l, PW_INSTANCE_LEFT);
    return l->cfg.store.cas(l->cfg.store.ctx, l->cfg.key, remove_entry, &e, now.wall_s);
}

uint64_t
pw_lifecycler_heartbeats(const struct pw_lifecycler *l)
{
    return l->heartbeats;
}
