/* app/listener.h - kernel-socket listener: HTTP for browsers and tools on loopback.
 *
 * Purpose  gives http_conn the same struct pw_stream as dataplane's TCP, over non-blocking sockets
 *          and epoll (architecture "Two doors, one HTTP"). Never the path of a figure we quote.
 * Owner    one thread (control) polls it; all stream calls happen on that thread.
 * Context  poll: system calls, never blocks. create, destroy: cold.
 * Units    bytes; times in TSC ticks.
 * Errors   create: a negative pw_err and a sentence for the operator in errbuf.
 * Limits   conns_max connections; receive buffers only from the given mempool.
 */
#ifndef PW_APP_LISTENER_H
#define PW_APP_LISTENER_H

#include "base/clock.h"
#include "base/text.h"
#include "dataplane/stream.h"

struct rte_mempool;
struct pw_listener;

struct pw_listener_cfg {
    const char *address; /* IPv4 or IPv6 literal, "localhost", or "" for all of IPv4 */
    uint16_t port;       /* 0: the kernel picks, see pw_listener_port */
    struct rte_mempool
        *mempool;       /* rte_pktmbuf_pool for received bytes; used by this thread alone */
    uint32_t mbufs_max; /* how many of the pool's mbufs may be held; 0: all of them */
    const struct pw_stream_app *stream_app;
    uint32_t conns_max;
};

/* NULL with *err and errbuf set. Takes nothing; cfg's pointers are borrowed while it lives. */
struct pw_listener *pw_listener_create_ctl(const struct pw_listener_cfg *cfg, int *err,
                                           char *errbuf, size_t errbuf_bytes);
/* Closes every socket; `gone` is delivered for each open connection. */
void pw_listener_destroy_ctl(struct pw_listener *l);

/* A struct pw_poller function: l is a struct pw_listener. Returns how many events it handled. */
uint32_t pw_listener_poll(void *l, uint64_t now_tsc);
/* Becomes readable when poll has something to do: the control thread may sleep on it. */
int pw_listener_fd(const struct pw_listener *l);
/* The port it listens on. */
uint16_t pw_listener_port(const struct pw_listener *l);
/* Stops accepting (the listening socket is closed); open connections live on. */
void pw_listener_stop_accepting(struct pw_listener *l);

#endif
