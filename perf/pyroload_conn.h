/* perf/pyroload_conn.h - one kernel socket of the load generator.
 *
 * Purpose  connect, send a whole request, read; never blocks.
 * Owner    the engine.
 * Context  perf; one thread.
 * Units    bytes.
 * Errors   PW_EAGAIN: later; other negative values: the connection is of no more use.
 * Limits   -
 */
#ifndef PW_PERF_PYROLOAD_CONN_H
#define PW_PERF_PYROLOAD_CONN_H

#include "perf/pyroload_body.h"
#include "perf/pyroload_reply.h"

#include <sys/socket.h>
#include <sys/types.h>

enum pyroload_conn_state {
    PYROLOAD_CONN_CLOSED,
    PYROLOAD_CONN_CONNECTING,
    PYROLOAD_CONN_FREE,
    PYROLOAD_CONN_BUSY, /* a request is being sent or its answer is awaited */
};

struct pyroload_conn {
    int fd;
    uint32_t index; /* epoll data */
    enum pyroload_conn_state state;
    bool queued;       /* in the engine's ring of free connections */
    bool measured;     /* the request came due after the warm-up */
    uint64_t retry_ns; /* CLOSED: not before */
    uint64_t due_ns, sent_ns;
    uint64_t free_ns;    /* since when it is free */
    struct pw_slice out; /* rest of the request */
    struct pyroload_reply reply;
};

/* Begins to connect, registers with epoll edge-triggered for both directions. */
PW_MUST_USE int pyroload_conn_open(struct pyroload_conn *c, int epoll_fd,
                                   const struct sockaddr_storage *addr, socklen_t len);
/* After an event: 0 connected, PW_EAGAIN not yet, else the errno of the attempt. */
PW_MUST_USE int pyroload_conn_connected(const struct pyroload_conn *c);
/* Starts a request on a FREE connection; what does not fit now is sent by flush. */
PW_MUST_USE int pyroload_conn_send(struct pyroload_conn *c, const struct pyroload_request *q);
PW_MUST_USE int pyroload_conn_flush(struct pyroload_conn *c);
/* Bytes, 0 at the end, PW_EAGAIN, or another negative errno. */
PW_MUST_USE ssize_t pyroload_conn_read(struct pyroload_conn *c, uint8_t *buf, size_t cap);
void pyroload_conn_close(struct pyroload_conn *c);

/* A connected descriptor for a connection that says nothing, or a negative errno. */
PW_MUST_USE int pyroload_connect_blocking(const struct sockaddr_storage *addr, socklen_t len);

#endif
