/* app/listener.c - see listener.h: accepting and receiving.
 *
 * Receive: readv straight into mbufs, as many as the connection may hold; above that it is not read
 * and the kernel's window closes. Send: straight into the kernel's buffer, nothing is kept here.
 * What ends a connection inside a stream call is delivered as `gone` by the next poll.
 */
#include "app/listener_priv.h"
#include "base/check.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    READS_PER_EVENT = 8, /* then the others get a turn; epoll is level-triggered */
    EVENTS_MAX = 64,     /* of one poll */
    ACCEPTS_PER_POLL = 64,
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
    struct iovec v[LISTENER_READ_MBUFS_MAX];
    uint32_t n = listener_may_hold(c);
    uint32_t used;
    ssize_t got;

    n = refill_spares(l, n < LISTENER_READ_MBUFS_MAX ? n : LISTENER_READ_MBUFS_MAX);
    if (n == 0) {
        c->unread = true;
        l->starved = true;
        listener_watch(c);
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

        listener_set_held(c, c->held + used, c->allowed);
        l->app->input(c->stream.user, m, now_tsc);
        return full;
    }
    if (got == 0) {
        c->peer_fin = true;
        listener_watch(c);
        if (c->our_fin) {
            listener_die_later(c);
        } else {
            l->app->fin(c->stream.user, now_tsc);
        }
    } else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
        listener_die_later(c);
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
        listener_ops.reset(&c->stream);
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
            listener_close_conn(c);
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
            listener_watch(c);
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
        listener_die_later(c);
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
            if (listener_may_hold(c) > 0 && refill_spares(l, 1) > 0) {
                c->unread = false;
                listener_watch(c);
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
