#include "perf/pyroload_conn.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <unistd.h>

int
pyroload_conn_open(struct pyroload_conn *c, int epoll_fd, const struct sockaddr_storage *addr,
                   socklen_t len)
{
    int one = 1;
    struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                             .data.u32 = c->index};
    int fd = socket(addr->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        return -errno;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if ((connect(fd, (const struct sockaddr *)addr, len) != 0 && errno != EINPROGRESS) ||
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev) != 0) {
        int rc = -errno;

        close(fd);
        errno = -rc;
        return rc;
    }
    c->fd = fd;
    c->state = PYROLOAD_CONN_CONNECTING;
    c->out = pw_slice(NULL, 0);
    return 0;
}

int
pyroload_conn_connected(const struct pyroload_conn *c)
{
    int err = 0;
    socklen_t len = sizeof(err);
    struct sockaddr_storage peer;
    socklen_t peer_len = sizeof(peer);

    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &len) != 0) {
        return -errno;
    }
    if (err != 0) {
        return -err;
    }
    return getpeername(c->fd, (struct sockaddr *)&peer, &peer_len) == 0 ? 0 : PW_EAGAIN;
}

int
pyroload_conn_flush(struct pyroload_conn *c)
{
    while (c->out.len > 0) {
        ssize_t n = send(c->fd, c->out.ptr, c->out.len, MSG_NOSIGNAL);

        if (n < 0) {
            return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        }
        c->out = pw_slice(c->out.ptr + n, c->out.len - (size_t)n);
    }
    return 0;
}

int
pyroload_conn_send(struct pyroload_conn *c, const struct pyroload_request *q)
{
    c->state = PYROLOAD_CONN_BUSY;
    pyroload_reply_reset(&c->reply);
    c->out = pw_slice(q->bytes, q->len);
    return pyroload_conn_flush(c);
}

ssize_t
pyroload_conn_read(struct pyroload_conn *c, uint8_t *buf, size_t cap)
{
    ssize_t n = recv(c->fd, buf, cap, 0);

    if (n >= 0) {
        return n;
    }
    return errno == EINTR || errno == EWOULDBLOCK ? PW_EAGAIN : -errno;
}

void
pyroload_conn_close(struct pyroload_conn *c)
{
    if (c->fd >= 0) {
        close(c->fd); /* epoll forgets it */
    }
    c->fd = -1;
    c->state = PYROLOAD_CONN_CLOSED;
}

int
pyroload_connect_blocking(const struct sockaddr_storage *addr, socklen_t len)
{
    int fd = socket(addr->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        return -errno;
    }
    if (connect(fd, (const struct sockaddr *)addr, len) != 0) {
        int rc = -errno;

        close(fd);
        return rc;
    }
    return fd;
}
