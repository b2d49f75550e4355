#include "app/ring.h"

#include "app/control.h"
#include "app/parts.h"
#include "app/ring_priv.h"
#include "base/log.h"
#include "distributor/rate.h"
#include "ingester/series_limit.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

static const char module[] = "pw.app.ring";

enum {
    FORGET_AFTER_TIMEOUTS = 10, /* silent distributors (ring.md 1.6) */
    RETRY_SNAPSHOT_MS = 1000,
};

struct pw_ring_now
pw_app_ring_now(void)
{
    struct timespec wall, mono;

    clock_gettime(CLOCK_REALTIME_COARSE, &wall);
    clock_gettime(CLOCK_MONOTONIC_COARSE, &mono);
    return (struct pw_ring_now){
        .wall_s = wall.tv_sec,
        .mono_ms = (int64_t)mono.tv_sec * 1000 + mono.tv_nsec / 1000000,
    };
}

/* --- Who we are ------------------------------------------------------------------------------- */

/* RFC 1918, and what carriers use (RFC 6598). */
static bool
is_private(uint32_t addr)
{
    return addr >> 24 == 10 || addr >> 20 == 0xAC1 || addr >> 16 == 0xC0A8 || addr >> 22 == 0x191;
}

static bool
find_private(char *text, size_t cap)
{
    struct ifaddrs *list;
    bool found = false;

    if (getifaddrs(&list) != 0) {
        return false;
    }
    for (const struct ifaddrs *a = list; a != NULL && !found; a = a->ifa_next) {
        struct sockaddr_in sin;

        if (a->ifa_addr == NULL || a->ifa_addr->sa_family != AF_INET ||
            (a->ifa_flags & IFF_UP) == 0) {
            continue;
        }
        memcpy(&sin, a->ifa_addr, sizeof(sin));
        found = is_private(ntohl(sin.sin_addr.s_addr)) &&
                inet_ntop(AF_INET, &sin.sin_addr, text, (socklen_t)cap) != NULL;
    }
    freeifaddrs(list);
    return found;
}

/* The first address of a port, IPv4 before IPv6; false: it has none. */
static bool
port_address(const struct pw_nic *nic, char *text, size_t cap)
{
    static const uint8_t none[16];
    struct in_addr ip4 = {.s_addr = htonl(nic->addr)};

    if (nic->addr != 0) {
        return inet_ntop(AF_INET, &ip4, text, (socklen_t)cap) != NULL;
    }
    return memcmp(nic->addr6, none, sizeof(none)) != 0 &&
           inet_ntop(AF_INET6, nic->addr6, text, (socklen_t)cap) != NULL;
}

/* Where others reach us: what was said, else the NIC, else where the listener binds, else a private
 * address of this host. */
static void
find_address(const struct pw_app *app, const char *said, char *text, size_t cap)
{
    const char *listen = app->cfg->http_listen_address;

    if (said[0] != 0) {
        snprintf(text, cap, "%s", said);
    } else if (port_address(&app->nic, text, cap)) {
        return;
    } else if (listen[0] != 0 && strcmp(listen, "0.0.0.0") != 0 && strcmp(listen, "::") != 0) {
        snprintf(text, cap, "%s", listen);
    } else if (!find_private(text, cap)) {
        snprintf(text, cap, "127.0.0.1");
    }
}

static void
write_address(const struct pw_app *app, const char *said, uint32_t port, char *to, size_t cap)
{
    char host[PW_CONFIG_TEXT_BYTES];

    find_address(app, said, host, sizeof(host));
    port = port != 0 ? port : pw_listener_port(app->listener);
    snprintf(to, cap, strchr(host, ':') != NULL ? "[%s]:%u" : "%s:%u", host, port);
}

/* --- Made and unmade -------------------------------------------------------------------------- */

static void
init_rings(struct pw_app_ring *r)
{
    const struct pw_config_ring *cfg = &r->app->cfg->ring;
    struct pw_one_ring *in = &r->ring[PW_APP_RING_INGESTERS];
    struct pw_one_ring *dist = &r->ring[PW_APP_RING_DISTRIBUTORS];

    in->name = "ingester";
    in->cfg.ring = (struct pw_ring_cfg){
        .replication_factor = cfg->replication_factor,
        .zone_awareness = cfg->zone_awareness,
        .heartbeat_timeout = cfg->heartbeat_timeout_ms / 1000,
    };
    for (uint32_t i = 0; i < cfg->excluded_zones.count; i++) {
        r->excluded_zone[i] = cfg->excluded_zones.item[i];
    }
    in->cfg.excluded_zone = r->excluded_zone;
    in->cfg.excluded_zones = cfg->excluded_zones.count;
    in->page_timeout_s = cfg->lifecycler_timeout_ms / 1000;
    dist->name = "distributor";
    dist->cfg.ring = (struct pw_ring_cfg){.replication_factor = 1,
                                          .heartbeat_timeout = cfg->distributor_timeout_ms / 1000};
    dist->page_timeout_s = dist->cfg.ring.heartbeat_timeout;
    snprintf(in->key, sizeof(in->key), "%sring", cfg->prefix);
    snprintf(dist->key, sizeof(dist->key), "%sdistributor", cfg->prefix);
    snprintf(r->links_key, sizeof(r->links_key), "%spyrowire-links", cfg->prefix);
    in->cfg.self = !pw_config_runs(r->app->cfg, "ingester") ? ""
                   : cfg->id[0] != 0                        ? cfg->id
                                                            : r->app->hostname;
    dist->cfg.self = cfg->distributor_id[0] != 0 ? cfg->distributor_id : r->app->hostname;
    in->dirty = dist->dirty = true;
}

static int
create_ingester(struct pw_app_ring *r, uint64_t seed)
{
    const struct pw_config_ring *cfg = &r->app->cfg->ring;
    struct pw_one_ring *one = &r->ring[PW_APP_RING_INGESTERS];
    char addr[PW_CONFIG_TEXT_BYTES + 16];
    const struct pw_lifecycler_cfg life = {
        .kind = PW_LIFECYCLER_CLASSIC,
        .store = r->store,
        .key = one->key,
        .id = one->cfg.self,
        .addr = addr,
        .zone = cfg->zone,
        .num_tokens = cfg->num_tokens,
        .heartbeat_period_ms = cfg->heartbeat_period_ms,
        .join_after_ms = cfg->join_after_ms,
        .observe_period_ms = cfg->observe_period_ms,
        .tokens_path = cfg->tokens_file,
        .fs = pw_fs_os(),
        .seed = seed,
    };

    if (!pw_config_runs(r->app->cfg, "ingester")) {
        return 0;
    }
    write_address(r->app, cfg->addr, cfg->port, addr, sizeof(addr));
    r->readiness.cfg = (struct pw_readiness_cfg){
        .id = one->cfg.self,
        .heartbeat_timeout_s = one->cfg.ring.heartbeat_timeout,
        .min_ready_ms = cfg->min_ready_ms,
        .check_all = cfg->check_health,
    };
    return pw_lifecycler_create_ctl(&one->life, &life);
}

static int
create_distributor(struct pw_app_ring *r, uint64_t seed)
{
    const struct pw_config_ring *cfg = &r->app->cfg->ring;
    struct pw_one_ring *one = &r->ring[PW_APP_RING_DISTRIBUTORS];
    char addr[PW_CONFIG_TEXT_BYTES + 16];
    const struct pw_lifecycler_cfg life = {
        .kind = PW_LIFECYCLER_BASIC,
        .store = r->store,
        .key = one->key,
        .id = one->cfg.self,
        .addr = addr,
        .zone = "",
        .num_tokens = 1,
        .heartbeat_period_ms = cfg->distributor_period_ms,
        .register_state = PW_INSTANCE_ACTIVE,
        .forget_after_s = FORGET_AFTER_TIMEOUTS * one->cfg.ring.heartbeat_timeout,
        .seed = seed,
    };

    if (!pw_config_runs(r->app->cfg, "distributor")) {
        return 0;
    }
    write_address(r->app, cfg->distributor_addr[0] != 0 ? cfg->distributor_addr : cfg->addr,
                  cfg->distributor_port, addr, sizeof(addr));
    return pw_lifecycler_create_ctl(&one->life, &life);
}

/* --- The store: app->kv ------------------------------------------------------------------------ */

static const struct pw_ring_desc *
kv_get(void *ctx, const char *key)
{
    return pw_kv_get(ctx, key);
}

static int
kv_cas(void *ctx, const char *key, pw_ring_edit_fn edit, void *arg, int64_t now_s)
{
    return pw_kv_cas(ctx, key, edit, arg, now_s);
}

/* Whoever changed it has the mutex. */
static void
kv_changed(void *ctx, const char *key)
{
    struct pw_app_ring *r = ctx;

    for (uint32_t i = 0; i < PW_APP_RINGS; i++) {
        r->ring[i].dirty |= strcmp(r->ring[i].key, key) == 0;
    }
    r->ring[PW_APP_RING_INGESTERS].dirty |= strcmp(r->links_key, key) == 0;
}

/* What peers need to reach the link of this ingester (app/replicas.h). */
static int
create_link(struct pw_app_ring *r)
{
    static const struct pw_ring_version version = {.component = 1, .version = PW_LINK_VERSION};
    const struct pw_config_ring *cfg = &r->app->cfg->ring;
    char addr[PW_CONFIG_TEXT_BYTES + 16];
    const struct pw_lifecycler_cfg life = {
        .kind = PW_LIFECYCLER_BASIC,
        .store = r->store,
        .key = r->links_key,
        .id = r->ring[PW_APP_RING_INGESTERS].cfg.self,
        .addr = addr,
        .zone = cfg->zone,
        .version = &version,
        .heartbeat_period_ms = cfg->heartbeat_period_ms,
        .register_state = PW_INSTANCE_ACTIVE,
        .forget_after_s = FORGET_AFTER_TIMEOUTS * cfg->heartbeat_timeout_ms / 1000,
    };

    if (!pw_config_runs(r->app->cfg, "ingester") || pw_app_control_door(r->app)->link == NULL) {
        return 0;
    }
    const char *said = cfg->addr; /* of this host; a port of its own has an address of its own */
    char own[PW_CONFIG_TEXT_BYTES];

    if (r->app->link_nic.has_port && port_address(&r->app->link_nic, own, sizeof(own))) {
        said = own;
    }
    write_address(r->app, said, r->app->cfg->link_port, addr, sizeof(addr));
    return pw_lifecycler_create_ctl(&r->link.life, &life);
}

int
pw_app_ring_create_ctl(struct pw_app *app, struct pw_text *why)
{
    struct pw_app_ring *r = calloc(1, sizeof(*r));
    uint64_t seed[PW_APP_RINGS];
    int rc = r == NULL ? PW_ENOMEM : 0;

    if (rc != 0) {
        return rc;
    }
    app->ring = r;
    r->app = app;
    pthread_mutex_init(&r->mutex, NULL);
    pthread_cond_init(&r->forgotten, NULL);
    r->store = (struct pw_ring_store){.ctx = app->kv, .get = kv_get, .cas = kv_cas};
    init_rings(r);
    rc = pw_kv_watch(app->kv, kv_changed, r);
    for (uint32_t i = 0; i < PW_APP_RINGS && rc == 0; i++) {
        rc = pw_ring_board_create_ctl(&r->ring[i].board);
    }
    if (rc == 0 && getrandom(seed, sizeof(seed), 0) != (ssize_t)sizeof(seed)) {
        rc = PW_EIO;
    }
    rc = rc != 0 ? rc : create_ingester(r, seed[PW_APP_RING_INGESTERS]);
    rc = rc != 0 ? rc : create_distributor(r, seed[PW_APP_RING_DISTRIBUTORS]);
    rc = rc != 0 ? rc : create_link(r);
    if (rc != 0) {
        pw_text_printf(why, "ring: %s", pw_err_text(rc));
    }
    return rc;
}

void
pw_app_ring_destroy_ctl(struct pw_app *app)
{
    struct pw_app_ring *r = app->ring;

    if (r == NULL) {
        return;
    }
    for (uint32_t i = 0; i < PW_APP_RINGS; i++) {
        pw_lifecycler_destroy_ctl(r->ring[i].life);
        pw_ring_board_destroy_ctl(r->ring[i].board);
    }
    pw_lifecycler_destroy_ctl(r->link.life);
    pthread_mutex_destroy(&r->mutex);
    pthread_cond_destroy(&r->forgotten);
    free(r);
    app->ring = NULL;
}

/* --- Snapshots -------------------------------------------------------------------------------- */

/* What cannot be shown (too many members, no memory) leaves the former snapshot up. */
static void
publish(struct pw_app_ring *r, struct pw_one_ring *one, struct pw_ring_now now)
{
    static const struct pw_ring_desc nothing;
    const struct pw_ring_desc *ring = r->store.get(r->store.ctx, one->key);
    const struct pw_ring_desc *links = r->store.get(r->store.ctx, r->links_key);
    struct pw_ring_snapshot *s;
    int rc;

    if (!one->dirty || now.mono_ms < one->publish_after_ms) {
        return;
    }
    rc = pw_ring_snapshot_make_ctl(&s, &one->cfg, ring != NULL ? ring : &nothing,
                                   one == &r->ring[PW_APP_RING_INGESTERS] ? links : NULL);
    if (rc != 0) {
        one->publish_after_ms = now.mono_ms + RETRY_SNAPSHOT_MS;
        pw_log(PW_LOG_ERROR, module,
               "msg=\"ring not shown, the former one stays\" ring=%s err=\"%s\"", one->name,
               pw_err_text(rc));
        return;
    }
    one->dirty = false;
    pw_ring_board_publish_ctl(one->board, s);
    pw_control_wake_loops(r->app);
}

/* --- Somebody wants a member forgotten --------------------------------------------------------- */

struct removal {
    const char *id;
    bool found;
};

static int
remove_member(void *arg, struct pw_ring_desc *d)
{
    struct removal *rm = arg;
    const struct pw_instance *in = pw_ring_desc_find(d, rm->id);

    rm->found = in != NULL && in->state != PW_INSTANCE_LEFT;
    if (!rm->found) {
        return PW_ENOENT;
    }
    pw_ring_desc_remove(d, rm->id);
    return 0;
}

static void
serve_forget(struct pw_app_ring *r, struct pw_ring_now now)
{
    struct pw_forget *f;

    pthread_mutex_lock(&r->mutex);
    while ((f = r->forget) != NULL) {
        struct removal rm = {.id = f->id};

        r->forget = f->next;
        f->rc = r->store.cas(r->store.ctx, r->ring[f->kind].key, remove_member, &rm, now.wall_s);
        f->done = true;
        pw_log(PW_LOG_INFO, module, "msg=\"asked to forget a member\" ring=%s result=\"%s\"",
               r->ring[f->kind].name, f->rc == 0 ? "done" : pw_err_text(f->rc));
        pthread_cond_broadcast(&r->forgotten);
    }
    pthread_mutex_unlock(&r->mutex);
}

static void
take_back(struct pw_app_ring *r, struct pw_forget *mine)
{
    struct pw_forget **at = &r->forget;

    while (*at != NULL && *at != mine) {
        at = &(*at)->next;
    }
    if (*at == mine) {
        *at = mine->next;
    }
}

int
pw_app_ring_forget(struct pw_app_ring *r, enum pw_app_ring_kind kind, const char *id)
{
    struct pw_forget f = {.kind = kind, .id = id};
    struct timespec until;
    int rc = 0;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += FORGET_WAIT_MS / 1000;
    pthread_mutex_lock(&r->mutex);
    f.next = r->forget;
    r->forget = &f;
    while (!f.done && rc == 0) {
        rc = pthread_cond_clockwait(&r->forgotten, &r->mutex, CLOCK_MONOTONIC, &until);
    }
    if (!f.done) {
        take_back(r, &f);
    }
    pthread_mutex_unlock(&r->mutex);
    return f.done ? f.rc : PW_ETIMEDOUT;
}

/* --- The control thread ------------------------------------------------------------------------ */

/* Distributors that are ACTIVE and heard of: a tenant's rate is divided among them (ring.md 1.6); ingesters: its series. */
static void
share_limits(struct pw_app_ring *r, enum pw_app_ring_kind kind, struct pw_ring_now now)
{
    const struct pw_one_ring *one = &r->ring[kind];
    const struct pw_ring_desc *d = r->store.get(r->store.ctx, one->key);
    uint32_t n = 0;

    for (uint32_t i = 0; d != NULL && i < d->count; i++) {
        n += d->instance[i].state == PW_INSTANCE_ACTIVE &&
             now.wall_s - d->instance[i].timestamp <= one->cfg.ring.heartbeat_timeout;
    }
    if (kind == PW_APP_RING_DISTRIBUTORS) {
        pw_rate_set_sharers(r->app->rates, n);
    } else {
        atomic_store_explicit(&r->app->ingesters_known, n, memory_order_relaxed);
    }
}

uint64_t
pw_app_series_limit(void *ctx, struct pw_slice tenant)
{
    struct pw_app *app = ctx;
    const struct pw_overrides *o = atomic_load_explicit(&app->overrides, memory_order_acquire);
    const struct pw_limits *l = pw_overrides_get(o, tenant);

    return pw_series_limit(&(struct pw_series_limit_in){
        .local = l->max_local_series_per_tenant,
        .global = l->max_global_series_per_tenant,
        .shard_size = l->ingestion_tenant_shard_size,
        .ingesters = atomic_load_explicit(&app->ingesters_known, memory_order_relaxed),
        .replication_factor = app->cfg->ring.replication_factor,
        .cores = app->ingesters,
    });
}

/* With the mutex. */
static void
poll_rings(struct pw_app_ring *r, struct pw_ring_now now)
{
    serve_forget(r, now);
    for (uint32_t i = 0; i < PW_APP_RINGS; i++) {
        struct pw_one_ring *one = &r->ring[i];

        if (one->life != NULL && (now.mono_ms >= one->step_at_ms || one->dirty)) {
            one->step_at_ms = pw_lifecycler_step(one->life, now);
            atomic_store_explicit(&one->heartbeats, pw_lifecycler_heartbeats(one->life),
                                  memory_order_relaxed);
            share_limits(r, (enum pw_app_ring_kind)i, now);
        }
        publish(r, one, now);
        (void)pw_ring_board_sweep_ctl(one->board);
    }
    if (r->link.life != NULL && now.mono_ms >= r->link.step_at_ms) {
        r->link.step_at_ms = pw_lifecycler_step(r->link.life, now);
    }
}

void
pw_app_ring_poll_ctl(struct pw_app_ring *r)
{
    pthread_mutex_lock(&r->app->kv_mutex);
    poll_rings(r, pw_app_ring_now());
    pthread_mutex_unlock(&r->app->kv_mutex);
}

/* What goes wrong below is logged by the lifecycler, and tried again by poll while that makes sense. */
void
pw_app_ring_start_ctl(struct pw_app_ring *r)
{
    struct pw_ring_now now = pw_app_ring_now();

    pthread_mutex_lock(&r->app->kv_mutex);
    if (r->link.life != NULL) { /* before the ring: who reads of a member reads of its link */
        (void)!pw_lifecycler_start(r->link.life, now);
    }
    for (uint32_t i = 0; i < PW_APP_RINGS; i++) {
        if (r->ring[i].life != NULL) {
            (void)!pw_lifecycler_start(r->ring[i].life, now);
        }
    }
    poll_rings(r, now);
    pthread_mutex_unlock(&r->app->kv_mutex);
}

void
pw_app_ring_leave_ctl(struct pw_app_ring *r)
{
    struct pw_ring_now now = pw_app_ring_now();

    pthread_mutex_lock(&r->app->kv_mutex);
    for (uint32_t i = 0; i < PW_APP_RINGS; i++) {
        if (r->ring[i].life != NULL) {
            (void)!pw_lifecycler_leave(r->ring[i].life, now);
        }
    }
    poll_rings(r, now);
    pthread_mutex_unlock(&r->app->kv_mutex);
}

static void
gone(struct pw_app_ring *r, enum pw_app_ring_kind kind)
{
    struct pw_ring_now now = pw_app_ring_now();

    pthread_mutex_lock(&r->app->kv_mutex);
    if (kind == PW_APP_RING_INGESTERS && r->link.life != NULL) {
        (void)!pw_lifecycler_unregister(r->link.life, now);
    }
    if (r->ring[kind].life != NULL) {
        (void)!pw_lifecycler_unregister(r->ring[kind].life, now);
    }
    poll_rings(r, now);
    pthread_mutex_unlock(&r->app->kv_mutex);
}

void
pw_app_ring_distributor_gone_ctl(struct pw_app_ring *r)
{
    gone(r, PW_APP_RING_DISTRIBUTORS);
}

void
pw_app_ring_ingester_gone_ctl(struct pw_app_ring *r)
{
    if (r->app->cfg->ring.unregister) {
        gone(r, PW_APP_RING_INGESTERS);
    }
}

/* --- For everybody ---------------------------------------------------------------------------- */

struct pw_ring_board *
pw_app_ring_board(struct pw_app_ring *r)
{
    return r->ring[PW_APP_RING_INGESTERS].board;
}

const struct pw_ring_snapshot *
pw_app_ring_acquire(struct pw_app_ring *r, enum pw_app_ring_kind kind)
{
    return pw_ring_snapshot_acquire(r->ring[kind].board);
}

/* Stages 3 and 6 of operations.md 2.2. */
uint16_t
pw_app_ring_ready(struct pw_app_ring *r, uint32_t door, struct pw_text *t)
{
    struct pw_ring_now now = pw_app_ring_now();
    size_t at = t->len;
    const struct pw_ring_snapshot *s = pw_ring_board_read(pw_app_ring_board(r), door);

    pw_text_str(t, "Ingester not ready: ");
    if (r->ring[PW_APP_RING_INGESTERS].life == NULL ||
        pw_readiness_check(&r->readiness, s, now.wall_s, now.mono_ms, t)) {
        t->len = at;
        pw_text_str(t, "Distributor not ready: ");
        if (!pw_config_runs(r->app->cfg, "distributor") ||
            pw_readiness_writable(s, now.wall_s, t)) {
            t->len = at;
            return 200;
        }
    }
    pw_text_char(t, '\n');
    return 503;
}
