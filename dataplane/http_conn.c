/* dataplane/http_conn.c - the life of a connection: accept, heads, requests, end.
 *
 * Everything is driven by pw_http_conn_run, a loop over the states of http_conn_priv.h; the stream's
 * callbacks only add to the connection and run it. The stream's operations never call back.
 */
#include "dataplane/http_conn_priv.h"

/* ---- Ready list: connections to be run from poll ----------------------------------------- */

void
pw_http_ready_push(struct pw_http_conn *c)
{
    struct pw_http_server *srv = c->srv;

    if (c->ready) {
        return;
    }
    c->ready = true;
    c->next_ready = NULL;
    if (srv->ready_last == NULL) {
        srv->ready = c;
    } else {
        srv->ready_last->next_ready = c;
    }
    srv->ready_last = c;
}

/* ---- End of a connection ----------------------------------------------------------------- */

void
pw_http_abandon(struct pw_http_conn *c)
{
    if (c->owed) {
        uint64_t handle = conn_handle(c);

        c->owed = false;
        c->generation++; /* the old handle is void from here on */
        if (c->srv->app.abandoned != NULL) {
            c->srv->app.abandoned(c->srv->app.ctx, handle);
        }
    }
}

void
pw_http_tell_leaving(struct pw_http_conn *c)
{
    if (c->fin && c->owed && c->state == CONN_APP && c->srv->app.leaving != NULL) {
        c->srv->app.leaving(c->srv->app.ctx, conn_handle(c));
    }
}

/* Everything the connection holds but its place in the pool. */
static void
release_all(struct pw_http_conn *c)
{
    struct pw_http_server *srv = c->srv;

    pw_peer_count_remove(&srv->peers, &c->stream->peer);
    pw_http_abandon(c);
    pw_http_release_request(c);
    pw_http_list_free(c, &c->in);
    if (c->out != NULL) {
        pw_pool_put(&srv->reply_bufs, c->out);
        c->out = NULL;
    }
    pw_http_give_free(c);
}

static void
conn_free(struct pw_http_conn *c)
{
    clear_deadline(c);
    c->state = CONN_FREE;
    c->generation++;
    c->stream = NULL;
    pw_pool_put(&c->srv->conns, c);
}

void
pw_http_report_consumed(struct pw_http_conn *c)
{
    if (c->freed != 0) {
        size_t bytes = c->freed;

        c->freed = 0;
        c->stream->ops->consumed(c->stream, bytes);
    }
}

void
pw_http_conn_kill(struct pw_http_conn *c)
{
    PW_INVARIANT(!c->running);
    release_all(c);
    pw_http_report_consumed(c);
    c->stream->ops->reset(c->stream);
    conn_free(c);
}

bool
pw_http_linger_on(struct pw_http_conn *c)
{
    uint64_t left = pw_http_unacked(c);

    if (left < c->unacked) {
        c->unacked = left;
        c->unacked_tsc = c->srv->now_tsc;
    } else if (left == 0 || c->srv->now_tsc - c->unacked_tsc >= c->srv->send_tsc) {
        return false;
    }
    set_deadline(c, c->srv->linger_tsc);
    return true;
}

void
pw_http_conn_finish(struct pw_http_conn *c)
{
    pw_http_abandon(c);
    pw_http_release_request(c);
    c->state = CONN_LINGER;
    c->lingered = c->in.bytes;
    pw_http_list_free(c, &c->in);
    c->unacked = UINT64_MAX;
    (void)pw_http_linger_on(c);
    c->stream->ops->shutdown(c->stream);
}

/* ---- A request --------------------------------------------------------------------------- */

/* The head was accepted by the application. */
static void
admit_body(struct pw_http_conn *c)
{
    const struct pw_http1_head *h = &c->srv->head;
    bool wants_length = h->method == PW_HTTP_METHOD_POST || h->method == PW_HTTP_METHOD_PUT ||
                        h->method == PW_HTTP_METHOD_PATCH;
    bool has_body = c->chunked_body || c->body_left != 0;

    if (wants_length && !c->chunked_body && !c->has_length) {
        pw_http_refuse(c, PW_HTTP_DROP_LENGTH_REQUIRED);
        return;
    }
    if (!c->chunked_body && c->body_left > c->body_limit) {
        pw_http_call_too_large(c);
        return;
    }
    /* Others reserve once it is known that more is to come (step_body). */
    if (has_body && c->expect_continue) {
        uint64_t wanted = pw_http_reserve_wanted(c);

        if (wanted != 0 && !pw_http_reserve(c, wanted)) {
            return;
        }
        c->expect_continue = false;
        pw_http_send_continue(c);
    }
    set_deadline(c, c->srv->body_tsc);
}

/* A complete, well-formed head; c->head is set, in.first starts behind it. */
static void
start_request(struct pw_http_conn *c)
{
    struct pw_http_server *srv = c->srv;
    const struct pw_http1_head *h = &srv->head;
    struct pw_http_request req;
    struct pw_http_verdict v = {.body_bytes_limit = UINT64_MAX};

    srv->head_owner = c;
    srv->stats.requests++;
    c->head_started = false;
    c->state = CONN_BODY;
    c->chunked_body = h->chunked;
    c->has_length = h->has_length;
    c->keep_alive = h->keep_alive;
    c->head_method = h->method == PW_HTTP_METHOD_HEAD;
    c->expect_continue = h->expect_continue;
    c->version_1_0 = h->minor_version == 0;
    c->chunked = (struct pw_http1_chunked){0};
    c->body_left = h->chunked ? 0 : h->content_length;
    c->body_bytes = 0;
    c->body_mark = 0;
    c->starved_tsc = 0;
    c->pressed_tsc = 0;
    c->discard = false;
    if (h->expect_unknown) {
        pw_http_refuse(c, PW_HTTP_DROP_EXPECT_UNKNOWN);
        return;
    }
    c->owed = true;
    pw_http_fill_request(c, &req);
    if (pw_slice_eq_str(h->target, "*")) { /* OPTIONS *: about the server, not about a route */
        if (pw_http_reply(srv, req.conn, &(struct pw_http_reply){.status = 200}) != 0) {
            return;
        }
    } else {
        req.body_bytes = h->chunked ? UINT64_MAX : h->content_length;
        srv->in_callback = true;
        srv->app.head(srv->app.ctx, srv, &req, &v);
        srv->in_callback = false;
        PW_INVARIANT(!v.answered || !c->owed);
    }
    c->body_limit = v.body_bytes_limit;
    if (c->owed && v.pressed) {
        c->pressed_key = v.pressed_key;
        c->pressed_tsc = srv->now_tsc + srv->second_tsc * PW_HTTP_PRESSED_MS_MAX / 1000;
        srv->stats.bodies_slowed++;
        clear_deadline(c);
    } else if (c->owed) {
        admit_body(c);
    } else {
        pw_http_release_head(c); /* answered early: the body is dropped */
        c->state = c->close ? CONN_SEND : CONN_BODY;
        set_deadline(c, srv->body_tsc);
    }
}

/* ---- Steps: each returns whether another one may follow at once ---------------------------- */

/* Moves bytes of in.first to the head buffer and parses there. */
static int
gather_head(struct pw_http_conn *c)
{
    struct pw_http_server *srv = c->srv;
    int n = PW_PARSE_MORE;

    if (c->head_buf == NULL) {
        c->head_buf = pw_pool_get(&srv->head_bufs);
        c->head_bytes = 0;
        if (c->head_buf == NULL) {
            srv->head.drop = PW_HTTP_DROP_NO_HEAD_BUFFER;
            return PW_PARSE_BAD;
        }
    }
    while (n == PW_PARSE_MORE && c->in.first != NULL) {
        struct rte_mbuf *m = c->in.first;
        uint32_t room = (uint32_t)PW_HTTP_HEAD_BYTES_MAX - c->head_bytes;
        uint32_t take = m->data_len < room ? m->data_len : room;
        uint32_t before = c->head_bytes;

        memcpy(c->head_buf + before, rte_pktmbuf_mtod(m, uint8_t *), take);
        c->head_bytes = (uint16_t)(before + take);
        n = pw_http1_head_parse(&srv->head, c->head_buf, c->head_bytes, &c->resume);
        if (n >= 0) {
            take = (uint32_t)n - before;
            c->head_bytes = (uint16_t)n;
        }
        pw_http_input_adj(c, take);
        if (m->data_len == 0) {
            pw_http_mbuf_free(c, pw_http_list_pop(&c->in));
        }
    }
    c->head = c->head_buf;
    return n;
}

/* The usual case: the head lies in one mbuf. */
static int
parse_in_place(struct pw_http_conn *c)
{
    struct rte_mbuf *m = c->in.first;
    int n =
        pw_http1_head_parse(&c->srv->head, rte_pktmbuf_mtod(m, uint8_t *), m->data_len, &c->resume);

    if (n >= 0) {
        c->head = rte_pktmbuf_mtod(m, uint8_t *);
        c->head_bytes = (uint16_t)n;
        c->head_mbuf = m;
        pw_http_input_adj(c, (uint32_t)n);
        if (m->data_len == 0) {
            c->head_mbuf_loose = true;
            (void)pw_http_list_pop(&c->in);
        }
    }
    return n;
}

static bool
step_head(struct pw_http_conn *c)
{
    struct pw_http_server *srv = c->srv;
    int n = PW_PARSE_MORE;

    srv->head_owner = NULL;
    if (c->in.first != NULL && c->head_buf == NULL) {
        n = parse_in_place(c);
    }
    if (n == PW_PARSE_MORE && c->in.first != NULL &&
        (c->head_buf != NULL || c->in.first != c->in.last)) {
        n = gather_head(c);
    }
    if (n >= 0) {
        start_request(c);
        return true;
    }
    if (n == PW_PARSE_BAD) {
        c->keep_alive = false;
        c->head_method = false;
        c->version_1_0 = false;
        pw_http_refuse(c, srv->head.drop);
        return true;
    }
    bool inside = c->in.first != NULL || c->head_buf != NULL;

    if (c->fin) {
        srv->stats.drops[PW_HTTP_DROP_HEAD_TRUNCATED] += inside ? 1 : 0;
        pw_http_conn_finish(c);
    } else if (inside && !c->head_started) {
        c->head_started = true;
        set_deadline(c, srv->head_tsc);
    }
    return false;
}

/* Whether the body is still held back. When not any more, the request goes on where its head was accepted. */
static bool
step_pressed(struct pw_http_conn *c)
{
    struct pw_http_server *srv = c->srv;
    struct pw_http_request req;

    if (srv->now_tsc < c->pressed_tsc && srv->app.pressed != NULL &&
        srv->app.pressed(srv->app.ctx, c->pressed_key)) {
        pw_http_starved_push(c);
        return true;
    }
    c->pressed_tsc = 0;
    pw_http_fill_request(c, &req); /* admit_body looks at the parsed head */
    admit_body(c);
    return false;
}

static bool
step_body(struct pw_http_conn *c)
{
    bool done = false;
    enum pw_http_drop drop;

    if (c->pressed_tsc != 0) {
        return !step_pressed(c);
    }
    if (c->discard && c->close) {
        c->state = CONN_SEND; /* lingering drops the rest */
        return true;
    }
    drop = pw_http_body_read(c, &done);
    if (drop == PW_HTTP_DROP_BODY_TOO_LARGE && c->owed) {
        pw_http_call_too_large(c);
        return true;
    }
    if (drop != PW_HTTP_DROP_NONE) {
        pw_http_refuse(c, drop);
        return true;
    }
    if (done && c->discard) {
        c->state = CONN_SEND;
        return true;
    }
    if (done) {
        pw_http_deliver(c);
        return true;
    }
    if (c->fin && c->discard) {
        c->close = true;
        c->state = CONN_SEND;
        return true;
    }
    if (c->fin) {
        pw_http_refuse(c, PW_HTTP_DROP_BODY_TRUNCATED);
        return true;
    }
    if (c->body_bytes - c->body_mark >= PW_HTTP_BODY_STEP_BYTES) {
        c->body_mark = c->body_bytes;
        set_deadline(c, c->srv->body_tsc);
    }
    if (!c->discard) {
        uint64_t wanted = pw_http_reserve_wanted(c);

        if (wanted != 0) {
            (void)pw_http_reserve(c, wanted);
        }
    }
    return c->state != CONN_BODY;
}

static bool
step_send(struct pw_http_conn *c)
{
    if (reply_pending(c)) {
        return false;
    }
    pw_http_reserve_none(c);
    pw_http_release_request(c);
    if (c->close) {
        pw_http_conn_finish(c);
        return false;
    }
    c->state = CONN_HEAD;
    c->head_started = false;
    set_deadline(c, c->srv->idle_tsc);
    return true;
}

void
pw_http_conn_run(struct pw_http_conn *c)
{
    const struct http_stats *did = &c->srv->stats;
    uint64_t requests_until = did->requests + REQUESTS_PER_RUN;
    uint64_t bodies_until = did->bytes_of_bodies + BODY_BYTES_PER_RUN;
    bool more = true;

    if (c->running || c->state == CONN_FREE) {
        return;
    }
    c->running = true;
    while (more && !c->doomed) {
        switch ((enum conn_state)c->state) {
        case CONN_HEAD:
            if (did->requests >= requests_until || did->bytes_of_bodies >= bodies_until) {
                pw_http_ready_push(c);
                more = false;
            } else {
                more = step_head(c);
            }
            break;
        case CONN_BODY:
            more = step_body(c);
            break;
        case CONN_SEND:
            more = step_send(c);
            break;
        case CONN_APP:
        case CONN_LINGER:
        case CONN_FREE:
        default:
            more = false;
            break;
        }
    }
    c->running = false;
    if (c->doomed) {
        pw_http_conn_kill(c);
    } else {
        pw_http_report_consumed(c);
    }
}

/* ---- What the stream calls ----------------------------------------------------------------- */

static void *
stream_accept(void *ctx, struct pw_stream *s, uint64_t now_tsc)
{
    struct pw_http_server *srv = ctx;
    bool draining = atomic_load_explicit(&srv->draining, memory_order_relaxed);
    struct pw_http_conn *c = draining ? NULL : pw_pool_get(&srv->conns);
    uint32_t idx;
    uint32_t generation;
    bool ready;
    struct pw_http_conn *next_ready;

    srv->now_tsc = now_tsc;
    if (c == NULL) {
        srv->stats.drops[draining ? PW_HTTP_DROP_DRAINING : PW_HTTP_DROP_CONNS_FULL]++;
        return NULL;
    }
    if (!pw_peer_count_add(&srv->peers, &s->peer)) {
        srv->stats.drops[PW_HTTP_DROP_CONNS_PER_ADDRESS]++;
        pw_pool_put(&srv->conns, c);
        return NULL;
    }
    /* A freed connection can still be on the ready list: running it is harmless then. */
    generation = c->generation;
    ready = c->ready;
    next_ready = c->next_ready;
    *c = (struct pw_http_conn){.stream = s,
                               .srv = srv,
                               .generation = generation,
                               .state = CONN_HEAD,
                               .ready = ready,
                               .next_ready = next_ready};
    idx = pw_pool_index(&srv->conns, c);
    srv->deadline_used = idx >= srv->deadline_used ? idx + 1 : srv->deadline_used;
    srv->stats.accepted++;
    set_deadline(c, srv->idle_tsc);
    return c;
}

static void
stream_input(void *user, struct rte_mbuf *m, uint64_t now_tsc)
{
    struct pw_http_conn *c = user;

    c->srv->now_tsc = now_tsc;
    pw_http_input_append(c, m);
    if (c->state == CONN_LINGER) {
        c->lingered += c->in.bytes;
        pw_http_list_free(c, &c->in);
        if (c->lingered > PW_HTTP_LINGER_BYTES_MAX) {
            c->srv->stats.drops[PW_HTTP_DROP_LINGER_BYTES]++;
            c->doomed = true;
        }
    }
    pw_http_conn_run(c);
}

static void
stream_writable(void *user, uint64_t now_tsc)
{
    struct pw_http_conn *c = user;

    c->srv->now_tsc = now_tsc;
    if (reply_pending(c)) {
        pw_http_send_rest(c);
    }
    pw_http_conn_run(c);
}

static void
stream_fin(void *user, uint64_t now_tsc)
{
    struct pw_http_conn *c = user;

    c->srv->now_tsc = now_tsc;
    c->fin = true;
    pw_http_tell_leaving(c);
    pw_http_conn_run(c);
}

static void
stream_gone(void *user, uint64_t now_tsc)
{
    struct pw_http_conn *c = user;

    c->srv->now_tsc = now_tsc;
    PW_INVARIANT(!c->running);
    release_all(c);
    conn_free(c);
}

const struct pw_stream_app pw_http_stream_app = {
    .accept = stream_accept,
    .input = stream_input,
    .writable = stream_writable,
    .fin = stream_fin,
    .gone = stream_gone,
};
