#include "app/replicas.h"

#include "app/parts.h"
#include "base/check.h"
#include "base/log.h"
#include "base/metric.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char module[] = "pw.app.replicas";

/* --- Addresses -------------------------------------------------------------------------------------- */

static int
parse_addr(const char *text, struct pw_link_addr *addr)
{
    const char *colon = strrchr(text, ':');
    char host[64];
    char *end;
    size_t n;
    unsigned long port;

    *addr = (struct pw_link_addr){.ip = {[10] = 0xff, [11] = 0xff}};
    if (colon == NULL || colon == text || (size_t)(colon - text) >= sizeof(host)) {
        return PW_EINVAL;
    }
    port = strtoul(colon + 1, &end, 10);
    if (end == colon + 1 || *end != 0 || port == 0 || port > UINT16_MAX) {
        return PW_EINVAL;
    }
    n = (size_t)(colon - text);
    memcpy(host, text, n);
    host[n] = 0;
    addr->port = (uint16_t)port;
    if (inet_pton(AF_INET, host, addr->ip + 12) == 1) {
        return 0;
    }
    if (host[0] == '[' && host[n - 1] == ']') {
        host[n - 1] = 0;
        return inet_pton(AF_INET6, host + 1, addr->ip) == 1 ? 0 : PW_EINVAL;
    }
    return PW_EINVAL;
}

/* --- The key of hashes ------------------------------------------------------------------------------- */

int
pw_replicas_hash_key_cold(const char *secret_file, uint64_t *key)
{
    static const char purpose[] = "pyrowire hash key 1";
    uint8_t secret[PW_LINK_SECRET_BYTES_MAX];
    uint8_t mac[EVP_MAX_MD_SIZE];
    unsigned int mac_bytes = 0;
    int fd = open(secret_file, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, secret, sizeof(secret));
    int rc = n < 0 ? -errno : 0;

    if (fd >= 0) {
        close(fd);
    }
    if (rc == 0 && HMAC(EVP_sha256(), secret, (int)n, (const uint8_t *)purpose, sizeof(purpose) - 1,
                        mac, &mac_bytes) == NULL) {
        rc = PW_ENOMEM;
    }
    if (rc == 0) {
        memcpy(key, mac, sizeof(*key));
    }
    explicit_bzero(secret, sizeof(secret));
    explicit_bzero(mac, sizeof(mac));
    return rc;
}

/* --- What the link calls ---------------------------------------------------------------------------- */

static void
on_done(void *ctx, uint64_t cookie, int status, struct pw_slice text)
{
    const struct pw_replicas_door *p = ctx;

    pw_distributor_link_done(p->door->distributor, cookie, status, text);
}

static void
on_request(void *ctx, struct pw_link_from from, struct pw_slice bytes)
{
    const struct pw_replicas_door *p = ctx;

    pw_distributor_link_request(p->door->distributor, from, bytes);
}

static void
on_peer(void *ctx, uint32_t peer, bool up)
{
    struct pw_replicas_door *p = ctx;

    p->up += up ? 1 : UINT32_MAX; /* one fewer */
    p->downs += !up;
    if (up) {
        pw_log(PW_LOG_INFO, module, "msg=\"peer answers\" id=%s door=%u", p->open[peer].id,
               p->index);
        return;
    }
    struct pw_link_down why = pw_link_down(p->door->link, peer);

    pw_log(PW_LOG_WARN, module,
           "msg=\"peer %s\" id=%s door=%u silent_ms=%" PRIu64 " pings=%u away_ms=%" PRIu64,
           why.bye ? "says good-bye" : "is silent", p->open[peer].id, p->index,
           why.silent_us / 1000, why.asked, why.away_us / 1000);
}

struct pw_link_app
pw_replicas_link_app(struct pw_replicas_door *p)
{
    return (struct pw_link_app){
        .ctx = p, .on_done = on_done, .on_request = on_request, .on_peer = on_peer};
}

/* --- The ring into sessions -------------------------------------------------------------------------- */

void
pw_replicas_door_init_ctl(struct pw_replicas_door *p, struct pw_app *app, uint32_t door)
{
    struct pw_owner_link link = {.link = app->door[door].link,
                                 .call = pw_link_call,
                                 .cancel = pw_link_cancel,
                                 .reply = pw_link_reply};

    p->app = app;
    p->door = &app->door[door];
    p->index = door;
    pw_distributor_bind_link_ctl(p->door->distributor, &link);
}

void
pw_replicas_door_fini_ctl(struct pw_replicas_door *p)
{
    if (p->snapshot != NULL) {
        pw_ring_snapshot_release(p->snapshot);
        p->snapshot = NULL;
    }
}

/* on_peer is not called for a peer that is closed. */
static void
close_peer(struct pw_replicas_door *p, uint32_t i)
{
    p->up -= pw_link_peer_up(p->door->link, i);
    p->opened--;
    pw_link_close(p->door->link, i);
    p->open[i].id[0] = 0;
}

static int
find(const struct pw_replicas_door *p, const char *id)
{
    for (int i = 0; i < PW_LINK_PEERS_MAX; i++) {
        if (strcmp(p->open[i].id, id) == 0) {
            return i;
        }
    }
    return PW_ENOENT;
}

/* The number of that member on our link, which is opened when it is not yet. */
static uint8_t
number_of(struct pw_replicas_door *p, const char *id, const struct pw_link_addr *addr)
{
    int i = find(p, id);

    if (i >= 0 && memcmp(&p->open[i].addr, addr, sizeof(*addr)) != 0) {
        close_peer(p, (uint32_t)i); /* it came back elsewhere */
        i = PW_ENOENT;
    }
    if (i < 0) {
        i = pw_link_open(p->door->link, id, addr);
        if (i < 0) {
            pw_log(PW_LOG_WARN, module, "msg=\"no session with a peer\" id=%s err=\"%s\"", id,
                   pw_err_text(i));
            return PW_OWNER_UNKNOWN;
        }
        snprintf(p->open[i].id, sizeof(p->open[i].id), "%s", id);
        p->open[i].addr = *addr;
        p->opened++;
    }
    p->open[i].seen = true;
    return (uint8_t)i;
}

static void
close_unseen(struct pw_replicas_door *p)
{
    for (uint32_t i = 0; i < PW_LINK_PEERS_MAX; i++) {
        if (p->open[i].id[0] != 0 && !p->open[i].seen) {
            close_peer(p, i);
        }
        p->open[i].seen = false;
    }
}

static void
take_up(struct pw_replicas_door *p, const struct pw_ring_snapshot *s)
{
    const struct pw_ring_snapshot *old = p->snapshot;
    uint8_t *peer = p->peer[p->turn];
    struct pw_owners *owners = &p->owners[p->turn];
    struct pw_link_addr addr;

    pw_ring_snapshot_hold(s);
    p->snapshot = s;
    for (uint32_t i = 0; i < s->view->instance_count; i++) {
        peer[i] = PW_OWNER_UNKNOWN;
        if (i == s->self) {
            peer[i] = p->app->ingesters == 0 ? PW_OWNER_UNKNOWN : PW_OWNER_SELF;
        } else if (p->door->link != NULL && s->link[i].addr != NULL &&
                   parse_addr(s->link[i].addr, &addr) == 0) {
            peer[i] = number_of(p, s->view->instance[i].id, &addr);
        }
    }
    *owners = (struct pw_owners){.view = s->view, .peer = peer};
    pw_distributor_set_owners(p->door->distributor, owners);
    p->turn ^= 1;
    if (p->door->link != NULL) {
        close_unseen(p);
    }
    if (old != NULL) {
        pw_ring_snapshot_release(old);
    }
}

uint32_t
pw_replicas_poll(void *ctx, uint64_t now_tsc)
{
    struct pw_replicas_door *p = ctx;
    const struct pw_ring_snapshot *s =
        pw_ring_board_read(pw_app_ring_board(p->app->ring), p->index);

    (void)now_tsc;
    if (s == NULL || s == p->snapshot) {
        return 0;
    }
    take_up(p, s);
    return 1;
}

/* --- Metrics ------------------------------------------------------------------------------------------ */

void
pw_replicas_metrics(void *ctx, struct pw_text *t)
{
    const struct pw_app *app = ctx;
    uint32_t opened = UINT32_MAX;
    uint32_t up = UINT32_MAX;
    uint64_t downs = 0;

    for (uint32_t i = 0; i < app->doors; i++) {
        const struct pw_replicas_door *p = &app->door[i].replicas;

        opened = p->opened < opened ? p->opened : opened;
        up = p->up < up ? p->up : up;
        downs += p->downs;
    }
    pw_metric_u64(t, "pyrowire_replica_peers", "gauge",
                  "Appliances of the ring that every door has a session with, or tries to.",
                  opened);
    pw_metric_u64(t, "pyrowire_replica_peers_up", "gauge",
                  "Of those, the ones that answer every door.", up);
    pw_metric_u64(t, "pyrowire_replica_peers_silent_total", "counter",
                  "Times that a peer went silent, all doors together.", downs);
}
