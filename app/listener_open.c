/* app/listener_open.c - the listener's start and stop: see listener.h. */
#include "app/listener_priv.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static int
parse_address(const struct pw_listener_cfg *cfg, struct sockaddr_storage *ss, socklen_t *len,
              char *errbuf, size_t errbuf_bytes)
{
    const char *text = cfg->address == NULL || cfg->address[0] == 0 ? "0.0.0.0" : cfg->address;
    struct sockaddr_in *sin = (struct sockaddr_in *)(void *)ss;
    struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)(void *)ss;

    *ss = (struct sockaddr_storage){0};
    if (inet_pton(AF_INET, text, &sin->sin_addr) == 1) {
        sin->sin_family = AF_INET;
        sin->sin_port = htons(cfg->port);
        *len = sizeof(*sin);
        return 0;
    }
    if (inet_pton(AF_INET6, text, &sin6->sin6_addr) == 1) {
        sin6->sin6_family = AF_INET6;
        sin6->sin6_port = htons(cfg->port);
        *len = sizeof(*sin6);
        return 0;
    }
    snprintf(errbuf, errbuf_bytes,
             "-server.http-listen-address: \"%s\" is not an IPv4 or IPv6 address", text);
    return PW_EINVAL;
}

static int
listen_error(const struct pw_listener_cfg *cfg, int error, char *errbuf, size_t errbuf_bytes)
{
    const char *why = error == EADDRINUSE ? "the port is in use: stop the other program or set "
                                            "-server.http-listen-port"
                      : error == EADDRNOTAVAIL ? "this machine does not have that address: set "
                                                 "-server.http-listen-address"
                      : error == EACCES        ? "ports below 1024 need root"
                                               : strerror(error);

    snprintf(errbuf, errbuf_bytes, "cannot listen on %s port %u: %s", cfg->address, cfg->port, why);
    return error == EADDRINUSE ? PW_EBUSY : -error;
}

static int
start_listening(struct pw_listener *l, const struct pw_listener_cfg *cfg, char *errbuf,
                size_t errbuf_bytes)
{
    struct sockaddr_storage ss;
    socklen_t len;
    int one = 1;
    int err = parse_address(cfg, &ss, &len, errbuf, errbuf_bytes);
    struct epoll_event ev = {.events = EPOLLIN, .data.u64 = 0};

    if (err != 0) {
        return err;
    }
    l->listen_fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (l->listen_fd < 0 ||
        setsockopt(l->listen_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
        bind(l->listen_fd, (struct sockaddr *)&ss, len) != 0 ||
        listen(l->listen_fd, SOMAXCONN) != 0 ||
        getsockname(l->listen_fd, (struct sockaddr *)&ss, &len) != 0) {
        return listen_error(cfg, errno, errbuf, errbuf_bytes);
    }
    l->port = ss.ss_family == AF_INET6 ? ntohs(((struct sockaddr_in6 *)(void *)&ss)->sin6_port)
                                       : ntohs(((struct sockaddr_in *)(void *)&ss)->sin_port);
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (l->epoll_fd < 0 || epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, l->listen_fd, &ev) != 0) {
        snprintf(errbuf, errbuf_bytes, "epoll: %s", strerror(errno));
        return -errno;
    }
    return 0;
}

struct pw_listener *
pw_listener_create_ctl(const struct pw_listener_cfg *cfg, int *err, char *errbuf,
                       size_t errbuf_bytes)
{
    struct pw_listener *l = calloc(1, sizeof(*l));

    if (l == NULL) {
        *err = PW_ENOMEM;
        snprintf(errbuf, errbuf_bytes, "listener: out of memory");
        return NULL;
    }
    l->app = cfg->stream_app;
    l->mempool = cfg->mempool;
    l->buf_bytes = rte_pktmbuf_data_room_size(cfg->mempool);
    l->room = l->buf_bytes - RTE_PKTMBUF_HEADROOM;
    l->mbufs_max = cfg->mbufs_max != 0 ? cfg->mbufs_max : cfg->mempool->size;
    l->listen_fd = -1;
    l->epoll_fd = -1;
    *err = pw_pool_init_ctl(&l->conns, cfg->conns_max, sizeof(struct listener_conn));
    if (*err != 0) {
        snprintf(errbuf, errbuf_bytes, "listener: no memory for %u connections", cfg->conns_max);
    } else if (l->mbufs_max <= LISTENER_READ_MBUFS_MAX + LISTENER_BASE_MBUFS) {
        *err = PW_EINVAL;
        snprintf(errbuf, errbuf_bytes, "listener: %u receive buffers are too few", l->mbufs_max);
    } else {
        l->mbufs_max -= LISTENER_READ_MBUFS_MAX; /* the spares */
        *err = start_listening(l, cfg, errbuf, errbuf_bytes);
    }
    if (*err != 0) {
        pw_listener_destroy_ctl(l);
        return NULL;
    }
    return l;
}

void
pw_listener_stop_accepting(struct pw_listener *l)
{
    if (l->listen_fd >= 0) {
        close(l->listen_fd);
        l->listen_fd = -1;
    }
}

void
pw_listener_destroy_ctl(struct pw_listener *l)
{
    if (l == NULL) {
        return;
    }
    for (uint32_t i = 0; i < l->conns_used; i++) {
        struct listener_conn *c = pw_pool_at(&l->conns, i);

        if (c->open) {
            l->app->gone(c->stream.user, pw_rdtsc());
            listener_close_conn(c);
        }
    }
    for (uint32_t i = 0; i < l->spare_count; i++) {
        rte_pktmbuf_free(l->spare[i]);
    }
    pw_listener_stop_accepting(l);
    if (l->epoll_fd >= 0) {
        close(l->epoll_fd);
    }
    pw_pool_fini_ctl(&l->conns);
    free(l);
}

int
pw_listener_fd(const struct pw_listener *l)
{
    return l->epoll_fd;
}

uint16_t
pw_listener_port(const struct pw_listener *l)
{
    return l->port;
}
