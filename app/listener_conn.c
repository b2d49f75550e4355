/* app/listener_conn.c - one connection of the listener: what it may hold, and what the application calls.
 *
 * A connection may hold LISTENER_BASE_MBUFS, or what it reserved; the sum over all never passes the pool, so that a
 * reserved body can always finish:
 *
 *     charge(connection) = max(held, allowed by its reservation)      sum of charges <= mbufs_max
 */
#include "app/listener_priv.h"
#include "base/check.h"

#include <linux/sockios.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    PIECE_BYTES_LEAST = 1024, /* payload of an mbuf where pieces of any size trickle in */
    SEND_SLICES_MAX = 8,
    SEND_ROOM_BYTES = 64 << 10, /* told to send_room while the kernel takes bytes */
};

/* ---- Accounting ---------------------------------------------------------------------------- */

static uint32_t
charge(const struct listener_conn *c)
{
    return c->held > c->allowed ? c->held : c->allowed;
}

uint32_t
listener_may_hold(const struct listener_conn *c)
{
    uint32_t limit = c->allowed != 0 ? c->allowed : LISTENER_BASE_MBUFS;
    uint32_t free_mbufs = c->l->mbufs_max - c->l->mbufs_charged;

    if (c->held >= limit) {
        return 0;
    }
    uint32_t want = limit - c->held;
    uint32_t paid = charge(c) - c->held; /* charged already, through the reservation */

    return want <= paid + free_mbufs ? want : paid + free_mbufs;
}

void
listener_set_held(struct listener_conn *c, uint32_t held, uint32_t allowed)
{
    c->l->mbufs_charged -= charge(c);
    c->held = held;
    c->allowed = allowed;
    c->l->mbufs_charged += charge(c);
    PW_INVARIANT(c->l->mbufs_charged <= c->l->mbufs_max);
}

/* ---- epoll --------------------------------------------------------------------------------- */

void
listener_watch(struct listener_conn *c)
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

void
listener_die_later(struct listener_conn *c)
{
    if (!c->dying) {
        c->dying = true;
        c->next_dying = c->l->dying;
        c->l->dying = c;
    }
}

void
listener_close_conn(struct listener_conn *c)
{
    listener_set_held(c, 0, 0);
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
        listener_die_later(c);
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
            listener_watch(c);
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
    listener_set_held(c, c->held - n, c->allowed);
    if (c->unread && listener_may_hold(c) > 0) {
        c->unread = false;
        listener_watch(c);
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
    listener_set_held(c, c->held, (uint32_t)need);
    if (c->unread && listener_may_hold(c) > 0) {
        c->unread = false;
        listener_watch(c);
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
        listener_watch(c);
        if (c->peer_fin) {
            listener_die_later(c);
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
    listener_close_conn(c);
}

const struct pw_stream_ops listener_ops = {
    .send_room = stream_send_room,
    .send = stream_send,
    .unacked = stream_unacked,
    .consumed = stream_consumed,
    .reserve = stream_reserve,
    .shutdown = stream_shutdown,
    .reset = stream_reset,
};
