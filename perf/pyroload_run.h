/* perf/pyroload_run.h - the engine: when to send, on which connection, how long the answer took.
 *
 * Purpose  open loop (arrivals by a clock that does not wait for answers) or closed loop, over kernel
 *          sockets, one thread, epoll.
 * Owner    struct pyroload_cfg is borrowed during the run.
 * Context  perf; one thread.
 * Units    ns by CLOCK_MONOTONIC.
 * Errors   run: 0, or a negative enum pw_err when it could not start (text on stderr). What fails
 *          later is counted in the result.
 * Limits   PYROLOAD_CONNECTIONS_MAX, PYROLOAD_BACKLOG_MAX.
 *
 * A latency runs from the time at which the request was due, not from when a connection was free for
 * it: a server that stalls for a second pays for every request that came due meanwhile. Requests that
 * never found a connection count with the time they waited (unsent).
 */
#ifndef PW_PERF_PYROLOAD_RUN_H
#define PW_PERF_PYROLOAD_RUN_H

#include "base/hist.h"
#include "perf/pyroload_body.h"

#include <signal.h>
#include <sys/socket.h>

enum {
    PYROLOAD_STALL_NS = 50000000,
    PYROLOAD_CONNECTIONS_MAX = 65536,
    PYROLOAD_BACKLOG_MAX = 1 << 20, /* due, but no connection was free */
    PYROLOAD_STATUS_MAX = 600,
};

struct pyroload_cfg {
    struct sockaddr_storage addr;
    socklen_t addr_len;
    const struct pyroload_set *set;
    double rate; /* per second; 0: closed loop, every connection always busy */
    bool poisson;
    uint32_t connections;
    uint32_t idle_connections; /* opened beside them; they say nothing */
    uint64_t warmup_ns;
    uint64_t duration_ns; /* after the warm-up; 0 with count */
    uint64_t count;       /* send exactly this many after the warm-up; 0: until duration_ns */
    uint64_t timeout_ns;  /* of one request */
    uint64_t seed;
    bool spin; /* never sleep: exact send times, one CPU busy */
    const volatile sig_atomic_t *stop;
};

struct pyroload_result {
    uint64_t sent; /* requests begun after the warm-up */
    uint64_t ok;   /* answered 2xx */
    uint64_t status[PYROLOAD_STATUS_MAX];
    uint64_t errors_connection; /* the connection ended before the answer */
    uint64_t errors_timeout;
    uint64_t errors_protocol; /* what came was no answer */
    uint64_t unsent;          /* due, but the run ended before a connection was free */
    uint64_t unanswered;      /* sent, but the run ended before the answer */
    uint64_t reconnects;
    uint64_t connect_failures;
    uint64_t elapsed_ns;
    uint64_t sent_bytes;
    struct pw_hist latency; /* of answered requests from when they were due, and of unsent ones */
    uint64_t stalls;        /* of those, longer than PYROLOAD_STALL_NS */
    struct pw_hist issue; /* delay of the generator itself: due and a connection free, yet unsent */
    char error[256];      /* of the first failure */
};

PW_MUST_USE int pyroload_run(const struct pyroload_cfg *cfg, struct pyroload_result *r);

#endif
