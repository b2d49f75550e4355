/* dataplane/http_conn_priv.h - the connection object, shared by http_conn.c, http_request.c,
 * http_reserve.c, http_body.c, http_reply.c, http_sweep.c and http_metrics.c only.
 *
 * Purpose  one request in progress per connection; pipelined ones wait unparsed in `in`.
 * Owner    the server's thread.
 * Context  hot.
 * Units    bytes; times in TSC ticks.
 * Errors   -
 * Limits   an idle connection is this struct and nothing else.
 *
 *   HEAD --head complete--> BODY --last byte--> APP --reply--> SEND --all taken--> HEAD
 *     |                      |  (early answer: the body is discarded)              |
 *     +--- refuse() ---------+-------------------------------------> SEND --close--+--> LINGER
 */
#ifndef PW_DATAPLANE_HTTP_CONN_PRIV_H
#define PW_DATAPLANE_HTTP_CONN_PRIV_H

#include "base/check.h"
#include "base/pool.h"
#include "dataplane/http1.h"
#include "dataplane/http_conn.h"
#include "dataplane/peer_count.h"

#include <rte_mbuf.h>
#include <stdatomic.h>

enum {
    INTERIM_BYTES_MAX = 32, /* "HTTP/1.1 100 Continue" and its empty line */
    REPLY_BUF_BYTES = INTERIM_BYTES_MAX + PW_HTTP_REPLY_HEAD_MAX + PW_HTTP_REPLY_COPY_MAX,
    COALESCE_BYTES_MAX = 1024, /* a segment up to this is copied behind the one before it */
    REQUESTS_PER_RUN = 32,     /* pipelined requests of one connection before others get a turn */
    STARVED_REST_US = 1000,    /* between looks whether receive buffers came back */
    RUNS_PER_POLL = 32,        /* such connections before the NIC gets one */
    /* A request costs by its body: after this much of bodies, too, others get their turn. */
    BODY_BYTES_PER_RUN = 64 << 10,
    BODY_BYTES_PER_POLL = 128 << 10,
    RESERVE_STEP = 32 << 10, /* buffers asked for ahead of a body; more once bytes of it came */
    DATE_BYTES = 29,
};

enum conn_state {
    CONN_FREE,
    CONN_HEAD,   /* between requests, or inside a head */
    CONN_BODY,   /* head accepted, body arriving (or being discarded after an early answer) */
    CONN_APP,    /* request delivered, the application owes a reply */
    CONN_SEND,   /* the stream has not taken the whole reply yet */
    CONN_LINGER, /* we sent FIN; input is discarded until the peer's */
};

struct mbuf_list {
    struct rte_mbuf *first; /* single segments, linked by mbuf->next */
    struct rte_mbuf *last;
    uint32_t count;
    uint64_t bytes;
};

struct pw_http_conn {
    struct pw_stream *stream;
    struct pw_http_server *srv;
    struct mbuf_list in;   /* received, not looked at */
    struct mbuf_list body; /* body bytes, transfer coding removed */

    /* The head of the request in progress lies in head_mbuf (which is in `in` or `body`, or loose
     * when nothing but the head was in it) or, when it spanned mbufs, in head_buf. */
    const uint8_t *head;
    struct rte_mbuf *head_mbuf;
    uint8_t *head_buf;
    struct pw_http1_resume resume;
    uint16_t head_bytes; /* complete head; while gathering: bytes in head_buf */

    struct pw_http1_chunked chunked;
    uint64_t body_left; /* Content-Length not yet seen */
    uint64_t body_bytes;
    uint64_t body_limit;
    uint64_t body_mark;     /* body_bytes when the deadline was last moved */
    uint64_t reserved_upto; /* body bytes the stream set buffers aside for; 0: no reservation */
    uint64_t starved_tsc;   /* since when reserving failed; 0: it did not */
    uint64_t pressed_tsc;   /* until when the body may be held back; 0: it is not */
    uint64_t pressed_key;
    struct pw_slice body_tail; /* end of the body in in.first, which holds later bytes too */
    uint32_t body_tail_skip;   /* bytes of in.first it occupied, framing included */

    uint8_t *out; /* reply bytes the stream did not take; from reply_bufs */
    uint32_t out_len;
    uint32_t out_sent;
    struct pw_slice give; /* rest of a taken reply body */
    void (*body_free)(void *body_arg);
    void *body_arg;

    uint64_t lingered;
    uint64_t unacked;     /* reply bytes the peer had yet to acknowledge at the last look, ... */
    uint64_t unacked_tsc; /* ... and since when: while lingering */
    size_t freed;         /* buffer bytes not yet reported to stream->consumed */
    struct pw_http_conn *next_ready;
    uint32_t generation;
    uint8_t state; /* enum conn_state */

    bool head_mbuf_loose;
    bool head_started;
    bool chunked_body;
    bool has_length;
    bool keep_alive;
    bool head_method; /* the request is HEAD: replies drop their body */
    bool expect_continue;
    bool version_1_0;
    bool held;    /* the application works on the request after its callback returned */
    bool owed;    /* `head` was called and no reply was made */
    bool discard; /* answered early, the body is dropped */
    bool close;   /* FIN after the reply */
    bool fin;     /* the peer sent FIN */
    bool running;
    bool doomed; /* reset as soon as nobody is working on it */
    bool ready;  /* on srv->ready or srv->starved */
};
static_assert(sizeof(struct pw_http_conn) <= 512, "idle connections cost at most 1 KB");

struct http_stats {
    uint64_t replies[6]; /* by status class; [0] unused */
    uint64_t drops[PW_HTTP_DROP_COUNT];
    uint64_t accepted;
    uint64_t requests;
    uint64_t bytes_received;
    uint64_t bytes_of_bodies; /* given to the application */
    uint64_t bytes_sent;
    uint64_t bodies_slowed;
};

struct pw_http_server {
    struct pw_http_app app;
    struct pw_stream_app stream_app;
    int64_t (*wall_ns)(void);
    uint64_t second_tsc;
    uint64_t idle_tsc, head_tsc, body_tsc, send_tsc, linger_tsc, sweep_tsc, slow_tsc, starved_tsc;
    struct pw_pool conns;
    struct pw_pool head_bufs;
    struct pw_pool reply_bufs;
    struct pw_peer_count peers;
    /* By connection index, UINT64_MAX for none: dense, so that a sweep reads 8 per cache line. */
    uint64_t *deadline;
    uint32_t deadline_used; /* indexes below were in use at some time */
    uint32_t sweep_next;
    uint64_t short_until_tsc; /* some body found no buffers: until then slow ones have to go */
    uint64_t sweep_start_tsc;
    struct pw_slice *body; /* PW_HTTP_BODY_SLICES_MAX, for the request being delivered */

    uint64_t now_tsc;
    uint64_t date_until_tsc;
    char date[DATE_BYTES + 1];
    bool in_callback;
    bool drained; /* the sweep that closes idle connections was made */
    struct pw_http_conn *ready;
    struct pw_http_conn *ready_last;
    struct pw_http_conn *starved; /* wait for buffers; become ready together, once a millisecond */
    struct pw_http_conn *starved_last;
    uint64_t starved_run_tsc;

    const struct pw_http_conn *head_owner; /* whose head `head` holds; NULL: nobody's */
    struct pw_http1_head head;
    uint8_t reply[REPLY_BUF_BYTES];

    struct http_stats stats; /* written by the owner, read by metrics with skew */
    _Atomic bool draining;
};

static inline bool
reply_pending(const struct pw_http_conn *c)
{
    return c->out != NULL || c->body_free != NULL;
}

static inline void
set_deadline(struct pw_http_conn *c, uint64_t span_tsc)
{
    struct pw_http_server *srv = c->srv;

    srv->deadline[pw_pool_index(&srv->conns, c)] = srv->now_tsc + span_tsc;
}

static inline void
clear_deadline(struct pw_http_conn *c)
{
    c->srv->deadline[pw_pool_index(&c->srv->conns, c)] = UINT64_MAX;
}

/* NULL when the connection is gone. */
static inline struct pw_http_conn *
conn_of_handle(const struct pw_http_server *srv, uint64_t handle)
{
    uint32_t idx = (uint32_t)handle;
    struct pw_http_conn *c = idx < srv->conns.count ? pw_pool_at(&srv->conns, idx) : NULL;

    return c == NULL || c->state == CONN_FREE || c->generation != (uint32_t)(handle >> 32) ? NULL
                                                                                           : c;
}

static inline uint64_t
conn_handle(const struct pw_http_conn *c)
{
    return ((uint64_t)c->generation << 32) | pw_pool_index(&c->srv->conns, c);
}

/* http_body.c: mbufs of a connection. All but the first take m. */
void pw_http_mbuf_free(struct pw_http_conn *c, struct rte_mbuf *m);
void pw_http_input_append(struct pw_http_conn *c, struct rte_mbuf *chain);
struct rte_mbuf *pw_http_list_pop(struct mbuf_list *l);
void pw_http_list_free(struct pw_http_conn *c, struct mbuf_list *l);
/* The body's, but for the one that the head lies in. */
void pw_http_body_free(struct pw_http_conn *c);
/* Drops n bytes from the front of `in`'s first mbuf, which stays even when empty. */
void pw_http_input_adj(struct pw_http_conn *c, uint32_t n);
void pw_http_release_head(struct pw_http_conn *c);
void pw_http_release_request(struct pw_http_conn *c);
/* Moves body bytes from `in` to `body` (or drops them). PW_HTTP_DROP_NONE; BODY_TOO_LARGE when the
 * limit is passed; another reason. *done: the last byte was seen. */
enum pw_http_drop pw_http_body_read(struct pw_http_conn *c, bool *done);
/* Slices of the whole body into srv->body; their number. */
uint32_t pw_http_body_slices(struct pw_http_conn *c);

/* http_reply.c */
/* Answers with the reason's text and closes, or, where the reason has no status, dooms. */
void pw_http_refuse(struct pw_http_conn *c, enum pw_http_drop drop);
void pw_http_send_continue(struct pw_http_conn *c);
/* Frees the taken body, sent or not. */
void pw_http_give_free(struct pw_http_conn *c);
/* Offers the rest of the reply to the stream again. */
void pw_http_send_rest(struct pw_http_conn *c);
/* A reply waits and send_ms are over. True: the peer took enough meanwhile, it has as long again. */
bool pw_http_reader_moves(struct pw_http_conn *c);
/* Reply bytes that the peer did not acknowledge; 0 where the transport cannot tell. */
uint64_t pw_http_unacked(struct pw_http_conn *c);

/* http_conn.c */
/* The callbacks; ctx is filled in per server. */
extern const struct pw_stream_app pw_http_stream_app;
void pw_http_conn_run(struct pw_http_conn *c);
/* Moves the deadline of a connection that lingers by linger_ms. False: it has had its time, which is
 * send_ms without taking any of the reply, or, when it has all of that, linger_ms. */
bool pw_http_linger_on(struct pw_http_conn *c);
/* FIN now, then discard. */
void pw_http_conn_finish(struct pw_http_conn *c);
/* RST now; c is free on return. Not while c is running: set doomed then. */
void pw_http_conn_kill(struct pw_http_conn *c);
void pw_http_ready_push(struct pw_http_conn *c);
/* The stream may open its window by what was freed. */
void pw_http_report_consumed(struct pw_http_conn *c);
/* The application is no longer owed to answer c. */
void pw_http_abandon(struct pw_http_conn *c);
/* When the peer closed its side while the application owes a reply. */
void pw_http_tell_leaving(struct pw_http_conn *c);

/* http_request.c */
/* The parsed head of c, read again when another connection's was parsed since. */
void pw_http_fill_request(struct pw_http_conn *c, struct pw_http_request *req);
/* The whole request is there: calls the application. */
void pw_http_deliver(struct pw_http_conn *c);
/* The body is above its limit: the application words the answer, or the drop's own text is sent. */
void pw_http_call_too_large(struct pw_http_conn *c);

/* http_reserve.c */
/* Buffers the body should have ahead of it and has not; 0: enough. A length is a promise that costs its
 * maker nothing, so what is set aside grows with what came: a step, then half as much again. */
uint64_t pw_http_reserve_wanted(const struct pw_http_conn *c);
/* Asks the stream for buffers. False when there are none now: the window stays closed, and a poll asks
 * again within a millisecond; after starved_tsc of that it was refused with 503. */
bool pw_http_reserve(struct pw_http_conn *c, uint64_t bytes);
/* Gives back what was set aside and did not come. */
void pw_http_reserve_none(struct pw_http_conn *c);
/* Like pw_http_ready_push; asking again in every turn would be all that a core does. */
void pw_http_starved_push(struct pw_http_conn *c);
/* All that wait for buffers become ready, if it is time. */
void pw_http_starved_wake(struct pw_http_server *srv);

#endif
