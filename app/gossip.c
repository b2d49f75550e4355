#include "app/gossip.h"

#include "app/gossip_priv.h"
#include "base/log.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

static const char module[] = "pw.app.gossip";

enum { LISTEN_BACKLOG = 128 };

struct pw_ml_now
gossip_now(void)
{
    return (struct pw_ml_now){.mono_ms = pw_mono_ms(), .wall_s = pw_wall_ns() / 1000000000};
}

/* --- The store ---------------------------------------------------------------------------------- */

int
pw_gossip_open_ctl(struct pw_app *app, struct pw_text *why)
{
    const struct pw_kv_cfg cfg = {
        .left_timeout_s = app->cfg->memberlist.left_timeout_ms / 1000,
        .obsolete_timeout_s = app->cfg->memberlist.obsolete_timeout_ms / 1000,
        .history_bytes = app->cfg->memberlist.history_bytes,
    };

    pthread_mutex_init(&app->kv_mutex, NULL);
    return pw_kv_create_ctl(&app->kv, &cfg);
}

/* --- Addresses ---------------------------------------------------------------------------------- */

static bool
is_wildcard(const char *s)
{
    return s[0] == 0 || strcmp(s, "0.0.0.0") == 0 || strcmp(s, "::") == 0;
}

/* RFC 1918. */
static bool
is_private(uint32_t ip)
{
    return ip >> 24 == 10 || ip >> 20 == 0xAC1 || ip >> 16 == 0xC0A8;
}

static bool
private_address(uint8_t ip[4])
{
    struct ifaddrs *list;
    bool found = false;

    if (getifaddrs(&list) != 0) {
        return false;
    }
    for (const struct ifaddrs *a = list; a != NULL && !found; a = a->ifa_next) {
        struct sockaddr_in sin;

        if (a->ifa_addr != NULL && a->ifa_addr->sa_family == AF_INET && (a->ifa_flags & IFF_UP)) {
            memcpy(&sin, a->ifa_addr, sizeof(sin));
            found = is_private(ntohl(sin.sin_addr.s_addr));
            memcpy(ip, &sin.sin_addr, 4);
        }
    }
    freeifaddrs(list);
    return found;
}

/* What others are told: as said, where we listen, the NIC, where HTTP listens, a private address. */
static int
find_address(struct pw_gossip *g, uint16_t port, struct pw_text *why)
{
    const struct pw_config_memberlist *c = g->cfg;
    const char *http = g->app->cfg->http_listen_address;
    static const uint8_t none[16];
    uint8_t ip[4] = {127, 0, 0, 1};
    const char *text = NULL;
    char nic6[INET6_ADDRSTRLEN];

    if (c->advertise_addr[0] != 0) {
        text = c->advertise_addr;
        port = (uint16_t)c->advertise_port;
    } else if (c->bind_addr.count > 0 && !is_wildcard(c->bind_addr.item[0])) {
        text = c->bind_addr.item[0];
    } else if (g->app->nic.addr != 0) {
        pw_store_be32(ip, g->app->nic.addr);
    } else if (memcmp(g->app->nic.addr6, none, sizeof(none)) != 0) {
        text = inet_ntop(AF_INET6, g->app->nic.addr6, nic6, sizeof(nic6));
    } else if (!is_wildcard(http)) {
        text = http;
    } else {
        (void)private_address(ip);
    }
    if (text == NULL) {
        g->addr = pw_ml_addr_ip4(ip, port);
        return 0;
    }
    if (pw_ml_addr_read(text, port, &g->addr) != 0) {
        pw_text_printf(why, "%s is no IP address; set -memberlist.advertise-addr", text);
        return PW_EINVAL;
    }
    return 0;
}

/* Where to listen unless that was said: all with a port of a NIC, whose addresses the kernel has, or where HTTP
 * listens: a process that serves this host alone does not gossip with others unasked. */
static const char *
default_address(const struct pw_gossip *g)
{
    const char *http = g->app->cfg->http_listen_address;
    struct pw_ml_addr a;

    if (g->app->nic.has_port || is_wildcard(http)) {
        return "::";
    }
    return pw_ml_addr_read(http, 0, &a) == 0 ? http : "127.0.0.1";
}

static int
bind_socket(int fd, union gossip_sockaddr *sa, socklen_t len)
{
    int one = 1, off = 0;

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (sa->any.sa_family == AF_INET6) { /* "::" takes IPv4 too */
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    }
    return bind(fd, &sa->any, len) == 0 && listen(fd, LISTEN_BACKLOG) == 0 &&
                   getsockname(fd, &sa->any, &len) == 0
               ? 0
               : -errno;
}

/* *port 0: one the system picks, which it is then. */
static int
listen_on(struct pw_gossip *g, const char *addr, uint16_t *port, struct pw_text *why)
{
    union gossip_sockaddr sa;
    struct pw_ml_addr a;
    int fd, rc;

    addr = is_wildcard(addr) ? "::" : addr;
    if (pw_ml_addr_read(addr, *port, &a) != 0) {
        pw_text_printf(why, "memberlist.bind-addr %s is no IP address", addr);
        return PW_EINVAL;
    }
    socklen_t len = gossip_sockaddr(&a, &sa);

    fd = socket(sa.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 && strcmp(addr, "::") == 0) { /* a kernel without IPv6 */
        a = pw_ml_addr_ip4((const uint8_t[]){0, 0, 0, 0}, a.port);
        len = gossip_sockaddr(&a, &sa);
        fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    }
    if (fd < 0) {
        return -errno;
    }
    rc = bind_socket(fd, &sa, len);
    if (rc != 0) {
        close(fd);
        pw_text_printf(why, "cannot listen on %s:%u; choose another -memberlist.bind-port", addr,
                       *port);
        return rc;
    }
    g->listen_fd[g->listens++] = fd;
    *port = ntohs(sa.any.sa_family == AF_INET ? sa.ip4.sin_port : sa.ip6.sin6_port);
    return 0;
}

/* On one port at all addresses. */
static int
listen_all(struct pw_gossip *g, uint16_t *port, struct pw_text *why)
{
    const struct pw_config_list *list = &g->cfg->bind_addr;
    int rc = 0;

    *port = (uint16_t)g->cfg->bind_port;
    if (list->count == 0) {
        return listen_on(g, default_address(g), port, why);
    }
    for (uint32_t i = 0; rc == 0 && i < list->count; i++) {
        rc = listen_on(g, list->item[i], port, why);
    }
    return rc;
}

/* --- Start -------------------------------------------------------------------------------------- */

static bool
asked_for(const struct pw_config_memberlist *c)
{
    return c->join.count > 0 || c->bind_addr.count > 0 || c->advertise_addr[0] != 0 ||
           c->bind_port != GOSSIP_PORT || c->tls;
}

static void
find_name(struct pw_gossip *g)
{
    char host[128] = "pyrowire";
    const char *base = host;
    uint32_t random = 0;

    if (g->cfg->node_name[0] != 0) {
        base = g->cfg->node_name;
    } else {
        (void)gethostname(host, sizeof(host) - 1);
    }
    if (g->cfg->randomize_node_name) {
        (void)!getrandom(&random, sizeof(random), 0);
        snprintf(g->name, sizeof(g->name), "%.200s-%08x", base, random);
    } else {
        snprintf(g->name, sizeof(g->name), "%.255s", base);
    }
}

static enum pw_ml_compression
compression_of(const struct pw_config_memberlist *c)
{
    if (!c->compression) {
        return PW_ML_COMPRESSION_NONE;
    }
    return c->compression_algorithm == 0 ? PW_ML_COMPRESSION_LZW : PW_ML_COMPRESSION_SNAPPY;
}

static int
create_memberlist(struct pw_gossip *g)
{
    const struct pw_config_memberlist *c = g->cfg;
    struct pw_memberlist_cfg cfg = {.name = g->name,
                                    .addr = g->addr,
                                    .label = c->cluster_label,
                                    .label_unchecked = c->label_unchecked,
                                    .compression = compression_of(c),
                                    .gossip_interval_ms = c->gossip_interval_ms,
                                    .push_pull_interval_ms = c->pull_push_interval_ms,
                                    .gossip_to_dead_ms = c->gossip_to_dead_ms,
                                    .dead_reclaim_ms = c->dead_reclaim_ms,
                                    .gossip_nodes = c->gossip_nodes,
                                    .retransmit_factor = c->retransmit_factor};
    const struct pw_memberlist_io io = {.ctx = g, .send = gossip_on_send, .dial = gossip_on_dial};
    int rc;

    (void)!getrandom(&cfg.seed, sizeof(cfg.seed), 0);
    pthread_mutex_lock(&g->app->kv_mutex);
    rc = pw_memberlist_create_ctl(&g->ml, &cfg, &io, g->app->kv, gossip_now());
    pthread_mutex_unlock(&g->app->kv_mutex);
    return rc;
}

static int
watch(struct pw_gossip *g, int fd, uint64_t word)
{
    struct epoll_event ev = {.events = EPOLLIN, .data = {.u64 = word}};

    return epoll_ctl(g->epoll_fd, EPOLL_CTL_ADD, fd, &ev) == 0 ? 0 : -errno;
}

static int
start_thread(struct pw_gossip *g)
{
    int rc;

    g->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    g->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (g->epoll_fd < 0 || g->wake_fd < 0) {
        return -errno;
    }
    rc = watch(g, g->wake_fd, GOSSIP_WAKE);
    for (uint32_t i = 0; rc == 0 && i < g->listens; i++) {
        rc = watch(g, g->listen_fd[i], GOSSIP_LISTEN + i);
    }
    rc = rc != 0 ? rc : -pthread_create(&g->thread, NULL, gossip_thread, g);
    g->running = rc == 0;
    return rc;
}

static struct pw_gossip *
new_gossip(struct pw_app *app)
{
    struct pw_gossip *g = calloc(1, sizeof(*g));

    if (g == NULL) {
        return NULL;
    }
    g->app = app;
    g->cfg = &app->cfg->memberlist;
    g->epoll_fd = g->wake_fd = -1;
    for (uint32_t i = 0; i < GOSSIP_SOCKETS_MAX; i++) {
        g->socket[i].conduit.fd = -1;
    }
    g->handshakes_log = (struct pw_log_limit){.every_ms = 10000, .burst = 5};
    return g;
}

static int
open_tls(struct pw_gossip *g, struct pw_text *why)
{
    const struct pw_config_memberlist *c = g->cfg;
    const struct pw_tls_cfg cfg = {.flags = "memberlist.tls-",
                                   .cert_path = c->tls_cert_path,
                                   .key_path = c->tls_key_path,
                                   .ca_path = c->tls_ca_path,
                                   .server_name = c->tls_server_name,
                                   .insecure_skip_verify = c->tls_insecure_skip_verify,
                                   .cipher_suites = c->tls_cipher_suites,
                                   .min_version = c->tls_min_version};

    return c->tls ? pw_tls_open_ctl(&g->tls, &cfg, why) : 0;
}

/* An -errno that says: the port is not to be had. */
static bool
is_taken(int rc)
{
    return rc == -EADDRINUSE || rc == -EADDRNOTAVAIL || rc == -EACCES;
}

int
pw_gossip_start_ctl(struct pw_app *app, struct pw_text *why)
{
    struct pw_gossip *g = new_gossip(app);
    char addr[PW_ML_ADDR_TEXT];
    uint16_t port = 0;
    int rc;

    if (g == NULL) {
        return PW_ENOMEM;
    }
    app->gossip = g;
    rc = open_tls(g, why);
    rc = rc != 0 ? rc : listen_all(g, &port, why);
    if (is_taken(rc) && !asked_for(g->cfg)) {
        pw_log(PW_LOG_WARN, module,
               "msg=\"no gossip: the port is taken, set -memberlist.bind-port\" port=%u",
               g->cfg->bind_port);
        why->len = 0;
        free(g);
        app->gossip = NULL;
        return 0;
    }
    rc = rc != 0 ? rc : find_address(g, port, why);
    find_name(g);
    rc = rc != 0 ? rc : create_memberlist(g);
    rc = rc != 0 ? rc : start_thread(g);
    if (rc == 0) {
        pw_ml_addr_text(&g->addr, addr);
        pw_log(PW_LOG_INFO, module, "msg=\"gossip begins\" member=%s addr=%s seeds=%u tls=%s",
               g->name, addr, g->cfg->join.count, g->tls != NULL ? "true" : "false");
    }
    return rc;
}

const atomic_bool *
pw_gossip_joined(const struct pw_app *app)
{
    static const atomic_bool nobody_to_join = true;

    return app->gossip == NULL ? &nobody_to_join : &app->gossip->joined;
}

/* --- Stop --------------------------------------------------------------------------------------- */

static void
end_thread(struct pw_gossip *g, atomic_bool *how)
{
    if (g->running) {
        atomic_store_explicit(how, true, memory_order_release);
        (void)!write(g->wake_fd, &(uint64_t){1}, sizeof(uint64_t));
        pthread_join(g->thread, NULL);
        g->running = false;
    }
}

void
pw_gossip_stop_ctl(struct pw_app *app)
{
    if (app->gossip != NULL) {
        end_thread(app->gossip, &app->gossip->stopping);
    }
}

static void
close_fd(int fd)
{
    if (fd >= 0) {
        close(fd);
    }
}

void
pw_gossip_close_ctl(struct pw_app *app)
{
    struct pw_gossip *g = app->gossip;

    if (g != NULL) {
        end_thread(g, &g->ending);
        gossip_close_sockets(g);
        gossip_join_fini(g);
        pw_memberlist_destroy_ctl(g->ml);
        pw_tls_close_ctl(g->tls);
        close_fd(g->epoll_fd);
        close_fd(g->wake_fd);
        for (uint32_t i = 0; i < g->listens; i++) {
            close_fd(g->listen_fd[i]);
        }
        free(g);
        app->gossip = NULL;
    }
    pw_kv_destroy_ctl(app->kv);
    app->kv = NULL;
}
