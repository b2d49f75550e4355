/* app/listener.c - see listener.h.
 *
 * Receive: readv straight into mbufs, as many as the connection may hold; above that it is not read
 * and the kernel's window closes. Send: straight into the kernel's buffer, nothing is kept here.
 * What ends a connection inside a stream call is delivered as `gone` by the next poll.
 *
 * Buffers are counted in mbufs. A connection may hold BASE_MBUFS of them, or what it reserved; the sum
 * over all never passes the pool, so that a reserved body can always finish:
 *
 *     charge(connection) = max(held, allowed by its reservation)      sum of charges <= mbufs_max
 */
#include "app/listener.h"
#include "base/check.h"
#include "base/pool.h"

#include <rte_mbuf.h>
#include <rte_mempool.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    BASE_MBUFS = 8,           /* held by a connection that reserved nothing */
    PIECE_BYTES_LEAST = 1024, /* payload of an mbuf where pieces of any size trickle in */
    READ_MBUFS_MAX = 16,      /* by one readv */
    READS_PER_EVENT = 8,      /* then the others get a turn; epoll is level-triggered */
    EVENTS_MAX = 64,          /* of one poll */
    ACCEPTS_PER_POLL = 64,
    SEND_SLICES_MAX = 8,
    SEND_ROOM_BYTES = 64 << 10, /* told to send_room while the kernel takes bytes */
};

struct listener_conn {
    struct pw_stream stream; /* first: a stream is its connection */
    struct pw_listener *l;
    struct listener_conn *next_dying;
    int fd;
    uint32_t held;    /* mbufs given to the application and not consumed */
    uint32_t allowed; /* by its reservation; 0: none */
    uint32_t events;  /* as epoll knows them */
    uint32_t generation;
    bool open;
    bool peer_fin;
    bool our_fin;
    bool send_blocked;
    bool dying;  /* on l->dying: gone at the next poll */
    bool unread; /* input is left in the kernel because of the limits */
};

struct pw_listener {
    const struct pw_stream_app *app;
    struct rte_mempool *mempool;
    struct pw_pool conns;
    uint32_t conns_used; /* indexes below were in use at some time */
    uint32_t mbufs_max;
    uint32_t mbufs_charged;
    uint32_t buf_bytes; /* buf_len of one mbuf */
    uint32_t room;      /* payload bytes of one mbuf */
    int epoll_fd;
    int listen_fd;
    uint16_t port;
    struct listener_conn *dying;
    struct rte_mbuf *spare[READ_MBUFS_MAX]; /* for the next readv */
    uint32_t spare_count;
    bool starved; /* some connection is unread for lack of buffers */
};

/* ---- Accounting ---------------------------------------------------------------------------- */

static uint32_t
charge(const struct listener_conn *c)
{
    return c->held > c->allowed ? c->held : c->allowed;
}

/* mbufs the connection may take now. */
static uint32_t
may_hold(const struct listener_conn *c)
{
    uint32_t limit = c->allowed != 0 ? c->allowed : BASE_MBUFS;
    uint32_t free_mbufs = c->l->mbufs_max - c->l->mbufs_charged;

    if (c->held >= limit) {
        return 0;
    }
    uint32_t want = limit - c->held;
    uint32_t paid = charge(c) - c->held; /* charged already, through the reservation */

    return want <= paid + free_mbufs ? want : paid + free_mbufs;
}

static void
set_held(struct listener_conn *c, uint32_t held, uint32_t allowed)
{
    c->l->mbufs_charged -= charge(c);
    c->held = held;
    c->allowed = allowed;
    c->l->mbufs_charged += charge(c);
    PW_INVARIANT(c->l->mbufs_charged <= c->l->mbufs_max);
}

/* ---- epoll --------------------------------------------------------------------------------- */

static void
watch(struct listener_conn *c)
{
    bool reading = !c->peer_fin && !c->unread;
    uint32_t events =
        (reading ? (uint32_t)EPOLLIN : 0) | (c->send_blocked ? (uint32_t)EPOLLOUT : 0);
    struct epoll_event ev = {.events = events,
                             .data.u64 = ((uint64_t)c->generation << 32) |
                                         (pw_pool_index(&c->l->conns, c) + 1)};

    if (events != c->events) {
        c->events = events;
        /* Cannot fail for a registered descriptor: MOD allocates nothing. */
        PW_INVARIANT(epoll_ctl(c->l->epoll_fd, EPOLL_CTL_MOD, c->fd, &ev) == 0);
    }
}

static void
die_later(struct listener_conn *c)
{
    if (!c->dying) {
        c->dying = true;
        c->next_dying = c->l->dying;
        c->l->dying = c;
    }
}

/* The place in the pool is given back by reap_dying if the connection is on that list. */
static void
close_conn(struct listener_conn *c)
{
    set_held(c, 0, 0);
    close(c->fd); /* leaves the epoll set with it: the descriptor was never duplicated */
    c->open = false;
    c->generation++;
    if (!c->dying) {
        pw_pool_put(&c->l->conns, c);
    }
}

/* ---- What the application calls -------------------------------------------------------------- */

static size_t
stream_send_room(struct pw_stream *s)
{
    const struct listener_conn *c = (const struct listener_conn *)s;

    return c->send_blocked || c->our_fin || c->dying ? 0 : SEND_ROOM_BYTES;
}

static size_t
send_some(struct listener_conn *c, const struct pw_slice *iov, uint32_t n, size_t *wanted)
{
    struct iovec v[SEND_SLICES_MAX];
    struct msghdr msg = {.msg_iov = v, .msg_iovlen = n};
    ssize_t sent;

    *wanted = 0;
    for (uint32_t i = 0; i < n; i++) {
        v[i] = (struct iovec){.iov_base = (void *)(uintptr_t)iov[i].ptr, .iov_len = iov[i].len};
        *wanted += iov[i].len;
    }
    do {
        sent = sendmsg(c->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != ENOBUFS) {
        die_later(c);
    }
    return sent < 0 ? 0 : (size_t)sent;
}

static size_t
stream_send(struct pw_stream *s, const struct pw_slice *iov, uint32_t iov_count)
{
    struct listener_conn *c = (struct listener_conn *)s;
    size_t total = 0;

    PW_INVARIANT(c->open && !c->our_fin);
    while (iov_count > 0 && !c->dying) {
        uint32_t n = iov_count < SEND_SLICES_MAX ? iov_count : SEND_SLICES_MAX;
        size_t wanted;
        size_t sent = send_some(c, iov, n, &wanted);

        total += sent;
        if (sent < wanted) {
            c->send_blocked = !c->dying;
            watch(c);
            break;
        }
        iov += n;
        iov_count -= n;
    }
    return total;
}

static size_t
stream_unacked(struct pw_stream *s)
{
    const struct listener_conn *c = (const struct listener_conn *)s;
    int n = 0;

    return ioctl(c->fd, SIOCOUTQ, &n) == 0 && n > 0 ? (size_t)n : 0;
}

static void
stream_consumed(struct pw_stream *s, size_t buf_bytes)
{
    struct listener_conn *c = (struct listener_conn *)s;
    uint32_t n = (uint32_t)(buf_bytes / c->l->buf_bytes);

    PW_INVARIANT(n <= c->held);
    set_held(c, c->held - n, c->allowed);
    if (c->unread && may_hold(c) > 0) {
        c->unread = false;
        watch(c);
    }
}

static int
stream_reserve(struct pw_stream *s, size_t bytes)
{
    struct listener_conn *c = (struct listener_conn *)s;
    struct pw_listener *l = c->l;
    uint32_t free_mbufs = l->mbufs_max - (l->mbufs_charged - charge(c));
    /* What trickles in comes in pieces that share an mbuf only where both fit and the second is short
     * (struct pw_http_conn's queues copy up to 1 KiB): of two neighbours half is payload. More: the
     * ends, and one still being filled. */
    uint32_t least = l->room / 2 < PIECE_BYTES_LEAST ? l->room / 2 : PIECE_BYTES_LEAST;
    uint64_t need = bytes == 0 ? 0 : (uint64_t)c->held + bytes / least + 4;

    uint64_t best = (uint64_t)c->held + bytes / l->room + 2;

    /* A body for which the whole pool would not do in the worst case gets half of what can be spared
     * beyond the best: its sender alone can make it stop. */
    if (need > l->mbufs_max && best <= free_mbufs) {
        need = best + (free_mbufs - best) / 2;
    }
    if (need > free_mbufs) {
        return PW_EAGAIN;
    }
    set_held(c, c->held, (uint32_t)need);
    if (c->unread && may_hold(c) > 0) {
        c->unread = false;
        watch(c);
    }
    return 0;
}

static void
stream_shutdown(struct pw_stream *s)
{
    struct listener_conn *c = (struct listener_conn *)s;

    if (!c->our_fin) {
        c->our_fin = true;
        c->send_blocked = false;
        (void)shutdown(c->fd, SHUT_WR);
        watch(c);
        if (c->peer_fin) {
            die_later(c);
        }
    }
}

static void
stream_reset(struct pw_stream *s)
{
    struct listener_conn *c = (struct listener_conn *)s;
    struct linger hard = {.l_onoff = 1, .l_linger = 0};

    PW_INVARIANT(c->open);
    (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    close_conn(c);
}

static const struct pw_stream_ops listener_ops = {
    .send_room = stream_send_room,
    .send = stream_send,
    .unacked = stream_unacked,
    .consumed = stream_consumed,
    .reserve = stream_reserve,
    .shutdown = stream_shutdown,
    .reset = stream_reset,
};

/* ---- Receiving -------------------------------------------------------------------------------- */

/* Fills the spares up to n; how many there are. */
static uint32_t
refill_spares(struct pw_listener *l, uint32_t n)
{
    while (l->spare_count < n) {
        struct rte_mbuf *m = rte_pktmbuf_alloc(l->mempool);

        if (m == NULL) {
            break;
        }
        l->spare[l->spare_count++] = m;
    }
    return l->spare_count < n ? l->spare_count : n;
}

/* Makes a chain of the first spares, which now hold `bytes`. */
static struct rte_mbuf *
take_spares(struct pw_listener *l, size_t bytes, uint32_t *count)
{
    struct rte_mbuf *first = l->spare[0];
    uint32_t n = 0;

    first->pkt_len = (uint32_t)bytes;
    while (bytes > 0) {
        struct rte_mbuf *m = l->spare[n];
        size_t take = bytes < l->room ? bytes : l->room;

        m->data_len = (uint16_t)take;
        if (n > 0) {
            l->spare[n - 1]->next = m;
        }
        bytes -= take;
        n++;
    }
    first->nb_segs = (uint16_t)n;
    memmove(l->spare, l->spare + n, (l->spare_count - n) * sizeof(l->spare[0]));
    l->spare_count -= n;
    *count = n;
    return first;
}

/* One readv. False when nothing more is to be read now. */
static bool
read_some(struct listener_conn *c, uint64_t now_tsc)
{
    struct pw_listener *l = c->l;
    struct iovec v[READ_MBUFS_MAX];
    uint32_t n = may_hold(c);
    uint32_t used;
    ssize_t got;

    n = refill_spares(l, n < READ_MBUFS_MAX ? n : READ_MBUFS_MAX);
    if (n == 0) {
        c->unread = true;
        l->starved = true;
        watch(c);
        return false;
    }
    for (uint32_t i = 0; i < n; i++) {
        v[i] =
            (struct iovec){.iov_base = rte_pktmbuf_mtod(l->spare[i], void *), .iov_len = l->room};
    }
    got = readv(c->fd, v, (int)n);
    if (got > 0) {
        struct rte_mbuf *m = take_spares(l, (size_t)got, &used);
        bool full = (size_t)got == (size_t)n * l->room;

        set_held(c, c->held + used, c->allowed);
        l->app->input(c->stream.user, m, now_tsc);
        return full;
    }
    if (got == 0) {
        c->peer_fin = true;
        watch(c);
        if (c->our_fin) {
            die_later(c);
        } else {
            l->app->fin(c->stream.user, now_tsc);
        }
    } else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
        die_later(c);
    }
    return false;
}

/* ---- Accepting -------------------------------------------------------------------------------- */

static void
fill_peer(struct pw_peer_addr *peer, const struct sockaddr_storage *ss)
{
    if (ss->ss_family == AF_INET6) {
        const struct sockaddr_in6 *sin6 = (const struct sockaddr_in6 *)(const void *)ss;

        memcpy(peer->ip, &sin6->sin6_addr, 16);
        peer->port = ntohs(sin6->sin6_port);
    } else {
        const struct sockaddr_in *sin = (const struct sockaddr_in *)(const void *)ss;

        peer->ip[10] = peer->ip[11] = 0xff;
        memcpy(peer->ip + 12, &sin->sin_addr, 4);
        peer->port = ntohs(sin->sin_port);
    }
}

/* Takes fd. */
static void
open_conn(struct pw_listener *l, int fd, const struct sockaddr_storage *ss, uint64_t now_tsc)
{
    struct listener_conn *c = pw_pool_get(&l->conns);
    struct epoll_event ev = {.events = EPOLLIN};
    uint32_t generation;
    uint32_t idx;
    int one = 1;

    if (c == NULL) {
        close(fd);
        return;
    }
    generation = c->generation;
    idx = pw_pool_index(&l->conns, c);
    l->conns_used = idx >= l->conns_used ? idx + 1 : l->conns_used;
    *c = (struct listener_conn){
        .stream.ops = &listener_ops, .l = l, .fd = fd, .events = EPOLLIN, .generation = generation};
    fill_peer(&c->stream.peer, ss);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    ev.data.u64 = ((uint64_t)generation << 32) | (idx + 1);
    if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &ev) != 0) {
        close(fd);
        pw_pool_put(&l->conns, c);
        return;
    }
    c->open = true;
    c->stream.user = l->app->accept(l->app->ctx, &c->stream, now_tsc);
    if (c->stream.user == NULL) {
        stream_reset(&c->stream);
    }
}

static uint32_t
accept_some(struct pw_listener *l, uint64_t now_tsc)
{
    uint32_t work = 0;

    while (work < ACCEPTS_PER_POLL) {
        struct sockaddr_storage ss = {0};
        socklen_t len = sizeof(ss);
        int fd = accept4(l->listen_fd, (struct sockaddr *)&ss, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd < 0) {
            break;
        }
        open_conn(l, fd, &ss, now_tsc);
        work++;
    }
    return work;
}

/* ---- Poll ---------------------------------------------------------------------------------------- */

static uint32_t
reap_dying(struct pw_listener *l, uint64_t now_tsc)
{
    uint32_t work = 0;

    while (l->dying != NULL) {
        struct listener_conn *c = l->dying;

        l->dying = c->next_dying;
        if (c->open) {
            l->app->gone(c->stream.user, now_tsc);
            c->dying = false;
            close_conn(c);
        } else { /* reset meanwhile */
            c->dying = false;
            pw_pool_put(&l->conns, c);
        }
        work++;
    }
    return work;
}

static void
handle_event(struct pw_listener *l, const struct epoll_event *ev, uint64_t now_tsc)
{
    struct listener_conn *c = pw_pool_at(&l->conns, (uint32_t)ev->data.u64 - 1);
    uint32_t generation = (uint32_t)(ev->data.u64 >> 32);

    if (!c->open || c->generation != generation || c->dying) {
        return; /* ended by an earlier event of this burst */
    }
    if ((ev->events & EPOLLOUT) != 0) {
        c->send_blocked = false;
        l->app->writable(c->stream.user, now_tsc);
        if (c->open && c->generation == generation) {
            watch(c);
        }
    }
    for (int i = 0; i < READS_PER_EVENT; i++) {
        if (!c->open || c->generation != generation || c->dying || (c->events & EPOLLIN) == 0 ||
            (ev->events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0 || !read_some(c, now_tsc)) {
            break;
        }
    }
    /* HUP and ERR come whether asked for or not: with nothing left to read they end it. */
    if (c->open && c->generation == generation && !c->dying && (c->events & EPOLLIN) == 0 &&
        (ev->events & (EPOLLHUP | EPOLLERR)) != 0) {
        die_later(c);
    }
}

/* Connections that were left unread for want of buffers that others held. */
static void
wake_starved(struct pw_listener *l)
{
    l->starved = false;
    for (uint32_t i = 0; i < l->conns_used; i++) {
        struct listener_conn *c = pw_pool_at(&l->conns, i);

        if (c->open && c->unread) {
            if (may_hold(c) > 0 && refill_spares(l, 1) > 0) {
                c->unread = false;
                watch(c);
            } else {
                l->starved = true;
            }
        }
    }
}

uint32_t
pw_listener_poll(void *ctx, uint64_t now_tsc)
{
    struct pw_listener *l = ctx;
    struct epoll_event ev[EVENTS_MAX];
    uint32_t work = reap_dying(l, now_tsc);
    int n;

    if (l->starved) {
        wake_starved(l);
    }
    n = epoll_wait(l->epoll_fd, ev, EVENTS_MAX, 0);
    for (int i = 0; i < n; i++) {
        if (ev[i].data.u64 == 0) {
            work += accept_some(l, now_tsc);
        } else {
            handle_event(l, &ev[i], now_tsc);
            work++;
        }
    }
    return work + reap_dying(l, now_tsc);
}

/* ---- Start and stop --------------------------------------------------------------------------- */

static int
parse_address(const struct pw_listener_cfg *cfg, struct sockaddr_storage *ss, socklen_t *len,
              char *errbuf, size_t errbuf_bytes)
{
    const char *text = cfg->address == NULL || cfg->address[0] == 0 ? "0.0.0.0" : cfg->address;
    struct sockaddr_in *sin = (struct sockaddr_in *)(void *)ss;
    struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)(void *)ss;

    text = strcmp(text, "localhost") == 0 ? "127.0.0.1" : text;
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
             "server.http-listen-address: \"%s\" is not an IPv4 or IPv6 address", text);
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
    } else if (l->mbufs_max <= READ_MBUFS_MAX + BASE_MBUFS) {
        *err = PW_EINVAL;
        snprintf(errbuf, errbuf_bytes, "listener: %u receive buffers are too few", l->mbufs_max);
    } else {
        l->mbufs_max -= READ_MBUFS_MAX; /* the spares */
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
            close_conn(c);
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
