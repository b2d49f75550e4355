/* dataplane/http_conn.h - HTTP/1.1 connections (RFC 9110, 9112) over any struct pw_stream.
 *
 * Purpose  keep-alive, pipelining, bodies, replies, limits and deadlines of one thread's
 *          connections; routes are behind struct pw_http_app.
 * Owner    one struct pw_http_server per polling thread; all calls on that thread, except create and
 *          destroy (control thread, while nobody polls), drain, open and metrics (any thread).
 * Context  hot. Fixed pools: nothing is allocated after create.
 * Units    bytes; times in TSC ticks.
 * Errors   a bad request is answered and counted by its reason (http_drop.def), never returned.
 * Limits   struct pw_http_server_cfg, base/limits.h PW_HTTP_*, and the times below.
 */
#ifndef PW_DATAPLANE_HTTP_CONN_H
#define PW_DATAPLANE_HTTP_CONN_H

#include "base/clock.h"
#include "base/text.h"
#include "dataplane/http_app.h"
#include "dataplane/stream.h"

struct pw_http_server;

struct pw_http_server_cfg {
    const struct pw_http_app *app; /* borrowed while the server lives */
    const struct pw_clock *clock;  /* borrowed while the server lives */
    int64_t (*wall_ns)(void);      /* for the Date header, read once a second; NULL: pw_wall_ns */
    uint32_t conns_max;            /* 0: PW_HTTP_CONNS_DEFAULT. Memory is touched as it is used */
    /* Of one peer address (IPv6: of one /64) on this server; 0: any number. Above: reset at accept. */
    uint32_t conns_per_address;
    uint64_t hash_key;   /* secret: keys the table of addresses */
    uint32_t head_bufs;  /* heads that do not fit one mbuf, at once; 0: default */
    uint32_t reply_bufs; /* replies waiting for send room, at once; 0: default */
    /* Deadlines in milliseconds; 0 takes the default. Kept to about PW_HTTP_SWEEP_MS. */
    uint32_t idle_ms; /* nothing received between requests: closed without a word */
    uint32_t head_ms; /* first to last byte of a head: 408 */
    uint32_t body_ms; /* PW_HTTP_BODY_STEP_BYTES of body (or the rest) within it: else 408 */
    uint32_t
        send_ms; /* PW_HTTP_SEND_STEP_BYTES of a reply (or the rest) taken by the peer within it: else reset */
    uint32_t
        linger_ms; /* from the last reply byte acknowledged, at our FIN, to the peer's: else reset */
};

enum {
    PW_HTTP_CONNS_DEFAULT = 16384,
    PW_HTTP_HEAD_BUFS_DEFAULT = 256,
    PW_HTTP_REPLY_BUFS_DEFAULT = 1024,
    PW_HTTP_IDLE_MS_DEFAULT = 120000,
    PW_HTTP_HEAD_MS_DEFAULT = 10000,
    PW_HTTP_BODY_MS_DEFAULT = 30000,
    PW_HTTP_SEND_MS_DEFAULT = 30000,
    PW_HTTP_LINGER_MS_DEFAULT = 5000,
    PW_HTTP_STARVED_MS_DEFAULT = 2000,     /* a body waits for buffers; then 503 */
    PW_HTTP_SLOW_MS_DEFAULT = 1000,        /* body_ms while others wait for buffers; then reset */
    PW_HTTP_SWEEP_MS = 250,                /* every deadline is looked at once in this time */
    PW_HTTP_BODY_STEP_BYTES = 4096,        /* a body that brings less per body_ms is too slow */
    PW_HTTP_SEND_STEP_BYTES = 4096,        /* a reader that takes less per send_ms is too slow */
    PW_HTTP_LINGER_BYTES_MAX = 16 << 20,   /* discarded after our FIN before the reset */
    PW_HTTP_DISCARD_BYTES_MAX = 256 << 10, /* longest body read and dropped to keep a connection */
};

/* NULL with *err set (pw_err) when memory is short. */
struct pw_http_server *pw_http_server_create_ctl(const struct pw_http_server_cfg *cfg, int *err);
/* Resets every open connection through its stream: the transport must still be there. */
void pw_http_server_destroy_ctl(struct pw_http_server *srv);

/* What the transport calls; lives as long as the server. */
const struct pw_stream_app *pw_http_server_stream_app(struct pw_http_server *srv);

/* Deadlines and the clock of replies. A struct pw_poller function: srv is a struct pw_http_server.
 * Call it every turn of the loop; returns how many connections it acted on. */
uint32_t pw_http_server_poll(void *srv, uint64_t now_tsc);

/* rest_us of that poller. */
uint32_t pw_http_server_rest_us(void *srv);

/* From now on every reply closes, idle connections close at the next poll, new ones are refused. */
void pw_http_server_drain(struct pw_http_server *srv);
/* Connections open now. */
uint32_t pw_http_server_open(const struct pw_http_server *srv);

/* Prometheus text of n servers summed: requests by status class, refusals by reason, open
 * connections, bytes. Cold; any thread, skew between counters is tolerated. */
void pw_http_server_metrics(const struct pw_http_server *const *srv, uint32_t n,
                            struct pw_text *out);

#endif
