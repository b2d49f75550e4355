/* app/listener_priv.h - the layout of struct pw_listener and its connections.
 *
 * Purpose  for listener.c (poll: accepts, reads), listener_conn.c (one connection: what it may hold, what the
 *          application calls) and listener_open.c (start and stop).
 * Owner    the control thread.
 * Context  cold.
 * Units    buffers are counted in mbufs.
 * Errors   -
 * Limits   below.
 */
#ifndef PW_APP_LISTENER_PRIV_H
#define PW_APP_LISTENER_PRIV_H

#include "app/listener.h"
#include "base/pool.h"

#include <rte_mbuf.h>

enum {
    LISTENER_BASE_MBUFS = 8,      /* held by a connection that reserved nothing */
    LISTENER_READ_MBUFS_MAX = 16, /* by one readv */
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
    struct rte_mbuf *spare[LISTENER_READ_MBUFS_MAX]; /* for the next readv */
    uint32_t spare_count;
    bool starved; /* some connection is unread for lack of buffers */
};

extern const struct pw_stream_ops listener_ops;

/* mbufs the connection may take now. */
uint32_t listener_may_hold(const struct listener_conn *c);
void listener_set_held(struct listener_conn *c, uint32_t held, uint32_t allowed);
/* Tells epoll what the connection waits for. */
void listener_watch(struct listener_conn *c);
/* Its end is delivered as `gone` by the next poll. */
void listener_die_later(struct listener_conn *c);
/* The place in the pool is given back by the poll if the connection is on the list of the dying. */
void listener_close_conn(struct listener_conn *c);

#endif
