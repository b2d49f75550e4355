/* The gossip's thread: sockets for ring/memberlist.h, none of which it waits for. What the state machine wants
 * sent it says under the lock; connections are made when the lock is gone. */
#include "app/gossip_priv.h"
#include "base/check.h"
#include "base/log.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static const char module[] = "pw.app.gossip";

enum {
    EVENTS_MAX = 64,
    ACCEPTS_MAX = 16, /* then the others get a turn */
    READ_BYTES = 64 << 10,
    SLEEP_MS_MAX = 1000,
    STOP_STEP_MS = 20,
};

static void
lock(struct pw_gossip *g)
{
    pthread_mutex_lock(&g->app->kv_mutex);
}

static void
unlock(struct pw_gossip *g)
{
    pthread_mutex_unlock(&g->app->kv_mutex);
}

/* --- Sockets ------------------------------------------------------------------------------------ */

socklen_t
gossip_sockaddr(const struct pw_ml_addr *a, union gossip_sockaddr *sa)
{
    uint8_t four[4];

    *sa = (union gossip_sockaddr){0};
    if (pw_ml_addr_is_ip4(a, four)) {
        sa->ip4.sin_family = AF_INET;
        sa->ip4.sin_port = htons(a->port);
        memcpy(&sa->ip4.sin_addr, four, sizeof(four));
        return sizeof(sa->ip4);
    }
    if (a->ip_len != 16) {
        return 0;
    }
    sa->ip6.sin6_family = AF_INET6;
    sa->ip6.sin6_port = htons(a->port);
    memcpy(&sa->ip6.sin6_addr, a->ip, 16);
    return sizeof(sa->ip6);
}

struct pw_ml_addr
gossip_addr_of(const union gossip_sockaddr *sa)
{
    struct pw_ml_addr a = {.ip_len = 16};
    uint8_t four[4];

    if (sa->any.sa_family == AF_INET) {
        memcpy(four, &sa->ip4.sin_addr, sizeof(four));
        return pw_ml_addr_ip4(four, ntohs(sa->ip4.sin_port));
    }
    memcpy(a.ip, &sa->ip6.sin6_addr, 16);
    a.port = ntohs(sa->ip6.sin6_port);
    return a;
}

static struct gossip_socket *
free_socket(struct pw_gossip *g, enum gossip_kind kind)
{
    for (uint32_t i = 0; i < GOSSIP_SOCKETS_MAX; i++) {
        if (g->socket[i].kind == GOSSIP_FREE) {
            g->socket[i] = (struct gossip_socket){.kind = kind, .conduit = {.fd = -1}};
            return &g->socket[i];
        }
    }
    return NULL;
}

/* Under the lock. */
static void
end_socket(struct pw_gossip *g, struct gossip_socket *s)
{
    pw_conduit_close(&s->conduit);
    if (s->conn != NULL) {
        if (pw_ml_conn_is_join(s->conn)) {
            gossip_join_ended(g, pw_ml_conn_ok(s->conn));
        }
        pw_ml_conn_free(s->conn);
    }
    free(s->bytes);
    *s = (struct gossip_socket){.kind = GOSSIP_FREE, .conduit = {.fd = -1}};
}

static void
drop_socket(struct pw_gossip *g, struct gossip_socket *s)
{
    lock(g);
    end_socket(g, s);
    unlock(g);
}

void
gossip_close_sockets(struct pw_gossip *g)
{
    for (uint32_t i = 0; i < GOSSIP_SOCKETS_MAX; i++) {
        if (g->socket[i].kind != GOSSIP_FREE) {
            drop_socket(g, &g->socket[i]);
        }
    }
}

/* What the socket waits for now. */
static uint32_t
events_of(const struct gossip_socket *s)
{
    if (s->connecting) {
        return EPOLLOUT;
    }
    if (s->kind == GOSSIP_PACKET) {
        return pw_conduit_events(&s->conduit, EPOLLOUT);
    }
    return pw_conduit_events(&s->conduit,
                             (s->done ? 0 : (uint32_t)EPOLLIN) |
                                 (pw_ml_conn_output(s->conn).len > 0 ? (uint32_t)EPOLLOUT : 0));
}

static bool
watch_socket(struct pw_gossip *g, struct gossip_socket *s, int op)
{
    uint32_t events = events_of(s);
    struct epoll_event ev = {.events = events, .data = {.u64 = (uint64_t)(s - g->socket)}};

    if (op == EPOLL_CTL_MOD && events == s->events) {
        return true;
    }
    s->events = events;
    return epoll_ctl(g->epoll_fd, op, s->conduit.fd, &ev) == 0;
}

/* Of TLS when that is asked for; what it says of who is dialed must fit the address. */
static bool
open_conduit(struct pw_gossip *g, struct gossip_socket *s, int fd)
{
    char address[PW_ML_IP_TEXT];

    pw_conduit_open(&s->conduit, fd);
    if (g->tls == NULL) {
        return true;
    }
    if (s->kind == GOSSIP_ACCEPTED) {
        return pw_conduit_secure(&s->conduit, pw_tls_accept(g->tls));
    }
    pw_ml_addr_ip_text(&s->peer, address);
    return pw_conduit_secure(&s->conduit, pw_tls_dial(g->tls, address));
}

/* For who looks at a connection that does not come about (-memberlist.transport-debug). */
static void
trace(const struct pw_gossip *g, const struct gossip_socket *s, const char *what)
{
    static const char *const name[] = {"", "connection", "comparison", "packet", "packet"};
    char peer[PW_ML_ADDR_TEXT];

    if (g->cfg->transport_debug) {
        pw_ml_addr_text(&s->peer, peer);
        pw_log(PW_LOG_DEBUG, module, "msg=\"%s\" of=%s peer=%s bytes=%zu", what, name[s->kind],
               peer, s->len);
    }
}

/* Begins to connect; what comes of it epoll says. */
static bool
connect_to(struct pw_gossip *g, struct gossip_socket *s)
{
    union gossip_sockaddr sa;
    socklen_t len = gossip_sockaddr(&s->peer, &sa);
    int one = 1, fd;

    if (len == 0) {
        return false;
    }
    fd = socket(sa.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || !open_conduit(g, s, fd)) {
        return false;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    s->connecting = true;
    trace(g, s, "dialing");
    return (connect(fd, &sa.any, len) == 0 || errno == EINPROGRESS) &&
           watch_socket(g, s, EPOLL_CTL_ADD);
}

/* Counted by what was wrong, and said, so that nobody has to guess. */
static void
handshake_failed(struct pw_gossip *g, const struct gossip_socket *s, enum pw_conduit_fault fault,
                 const char *text)
{
    char peer[PW_ML_ADDR_TEXT];

    g->handshakes_failed[fault]++;
    pw_ml_addr_text(&s->peer, peer);
    pw_log_limited(&g->handshakes_log, PW_LOG_WARN, module,
                   "msg=\"no TLS with another member\" %s=%s reason=%s err=\"%s\"",
                   s->kind == GOSSIP_ACCEPTED ? "from" : "to", peer, pw_conduit_fault_name(fault),
                   text);
}

/* --- What the state machine wants, under the lock --------------------------------------------------- */

void
gossip_on_send(void *ctx, const struct pw_ml_addr *to, struct pw_slice bytes)
{
    struct pw_gossip *g = ctx;
    struct gossip_socket *s = NULL;
    uint32_t writes = 0;

    for (uint32_t i = 0; i < GOSSIP_SOCKETS_MAX; i++) {
        writes += g->socket[i].kind == GOSSIP_WAITING || g->socket[i].kind == GOSSIP_PACKET;
    }
    if (writes < GOSSIP_WRITES_MAX) {
        s = free_socket(g, GOSSIP_WAITING);
    }
    if (s == NULL || (s->bytes = malloc(bytes.len)) == NULL) {
        g->packets_dropped++;
        if (s != NULL) {
            s->kind = GOSSIP_FREE;
        }
        return;
    }
    memcpy(s->bytes, bytes.ptr, bytes.len);
    s->len = bytes.len;
    s->peer = *to;
    s->deadline_ms = pw_mono_ms() + g->cfg->acquire_writer_timeout_ms;
}

int
gossip_on_dial(void *ctx, const struct pw_ml_addr *to, struct pw_ml_conn *conn)
{
    struct pw_gossip *g = ctx;
    struct gossip_socket *s = free_socket(g, GOSSIP_DIALED);

    if (s == NULL) {
        return PW_EAGAIN;
    }
    s->conn = conn;
    s->peer = *to;
    s->deadline_ms = pw_mono_ms() + g->cfg->stream_timeout_ms;
    return 0;
}

/* So many to one member at a time: one that does not answer must not keep the others waiting. */
static bool
has_turn(const struct pw_gossip *g, const struct gossip_socket *s)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < GOSSIP_SOCKETS_MAX; i++) {
        const struct gossip_socket *other = &g->socket[i];

        n += other->kind == GOSSIP_PACKET && pw_ml_addr_equal(&other->peer, &s->peer);
    }
    return n < g->cfg->max_concurrent_writes;
}

/* Connections for what was asked of us since. */
static void
begin_connections(struct pw_gossip *g)
{
    for (uint32_t i = 0; i < GOSSIP_SOCKETS_MAX; i++) {
        struct gossip_socket *s = &g->socket[i];
        bool dial = s->kind == GOSSIP_DIALED && s->conduit.fd < 0;

        if (s->kind == GOSSIP_WAITING && has_turn(g, s)) {
            s->kind = GOSSIP_PACKET;
            s->deadline_ms = pw_mono_ms() + g->cfg->packet_dial_timeout_ms;
            dial = true;
        }
        if (dial && !connect_to(g, s)) {
            g->sockets_failed++;
            drop_socket(g, s);
        }
    }
}

/* --- Events --------------------------------------------------------------------------------------- */

static int64_t
longest_ms(const struct pw_config_memberlist *c)
{
    return c->stream_timeout_ms > c->packet_write_timeout_ms ? c->stream_timeout_ms
                                                             : c->packet_write_timeout_ms;
}

/* One that was accepted; false: refuse it. */
static bool
take_connection(struct pw_gossip *g, int fd, const union gossip_sockaddr *from)
{
    struct gossip_socket *s;

    lock(g);
    s = free_socket(g, GOSSIP_ACCEPTED);
    if (s != NULL) {
        s->conn = pw_ml_conn_accept(g->ml);
    }
    unlock(g);
    if (s == NULL) {
        return false;
    }
    if (s->conn == NULL) {
        s->kind = GOSSIP_FREE;
        return false;
    }
    s->peer = gossip_addr_of(from);
    trace(g, s, "accepted");
    s->deadline_ms = pw_mono_ms() + longest_ms(g->cfg);
    if (!open_conduit(g, s, fd) || !watch_socket(g, s, EPOLL_CTL_ADD)) {
        drop_socket(g, s); /* fd with it */
    }
    return true;
}

static void
accept_new(struct pw_gossip *g, int listen_fd)
{
    for (uint32_t i = 0; i < ACCEPTS_MAX; i++) {
        union gossip_sockaddr from = {0};
        socklen_t len = sizeof(from);
        int fd = accept4(listen_fd, &from.any, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd < 0) {
            return;
        }
        if (!take_connection(g, fd, &from)) {
            close(fd);
        }
    }
}

static bool
is_connected(struct gossip_socket *s)
{
    socklen_t len = sizeof(int);
    int err = 0;

    return getsockopt(s->conduit.fd, SOL_SOCKET, SO_ERROR, &err, &len) == 0 && err == 0;
}

/* 0: read and write now; PW_EAGAIN: not yet; else it did not come about. */
static int
establish(struct pw_gossip *g, struct gossip_socket *s)
{
    bool was_established;
    int rc;

    if (s->connecting && !is_connected(s)) {
        trace(g, s, "not connected");
        g->sockets_failed++;
        return PW_ECONNRESET;
    }
    was_established = s->conduit.established && !s->connecting;
    s->connecting = false;
    rc = pw_conduit_handshake(&s->conduit);
    if (rc != 0) {
        if (rc != PW_EAGAIN) {
            handshake_failed(g, s, s->conduit.fault, s->conduit.fault_text);
        }
        return rc;
    }
    if (!was_established) {
        g->handshakes += s->conduit.ssl != NULL;
        if (s->kind == GOSSIP_PACKET) {
            s->deadline_ms = pw_mono_ms() + g->cfg->packet_write_timeout_ms;
        }
    }
    return 0;
}

/* True while there is something to do; false when the socket is to go. */
static bool
write_packet(struct gossip_socket *s)
{
    if (s->written < s->len) {
        int64_t n =
            pw_conduit_write(&s->conduit, pw_slice(s->bytes + s->written, s->len - s->written));

        if (n < 0) {
            return n == PW_EAGAIN;
        }
        s->written += (size_t)n;
    }
    return s->written < s->len || pw_conduit_finish(&s->conduit) == PW_EAGAIN;
}

static bool
write_stream(struct gossip_socket *s)
{
    struct pw_slice out = pw_ml_conn_output(s->conn); /* grows only where this thread reads */

    if (out.len > 0) {
        int64_t n = pw_conduit_write(&s->conduit, out);

        if (n < 0 && n != PW_EAGAIN) {
            return false;
        }
        pw_ml_conn_written(s->conn, n > 0 ? (size_t)n : 0);
        out.len -= n > 0 ? (size_t)n : 0;
    }
    return !s->done || out.len > 0;
}

static bool
read_stream(struct pw_gossip *g, struct gossip_socket *s)
{
    uint8_t bytes[READ_BYTES];
    int64_t n = pw_conduit_read(&s->conduit, bytes, sizeof(bytes));
    enum pw_ml_conn_next next;

    if (n < 0) {
        return n == PW_EAGAIN;
    }
    lock(g);
    next = n > 0 ? pw_ml_conn_input(s->conn, pw_slice(bytes, (size_t)n), gossip_now())
                 : pw_ml_conn_eof(s->conn, gossip_now());
    unlock(g);
    if (next == PW_ML_CONN_CLOSE) {
        return false;
    }
    s->done = next == PW_ML_CONN_DONE;
    return write_stream(s);
}

static void
take_event(struct pw_gossip *g, struct gossip_socket *s, uint32_t events)
{
    bool keep = true;
    int rc;

    if (s->kind == GOSSIP_FREE || s->conduit.fd < 0) {
        return; /* ended by an event before this one */
    }
    rc = establish(g, s);
    if (rc != 0) {
        keep = rc == PW_EAGAIN;
    } else if (s->kind == GOSSIP_PACKET) {
        keep = write_packet(s);
    } else if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && !s->done) {
        keep = read_stream(g, s);
    } else {
        keep = write_stream(s);
    }
    if (!keep || !watch_socket(g, s, EPOLL_CTL_MOD)) {
        drop_socket(g, s);
    }
}

static int64_t
expire(struct pw_gossip *g, int64_t now_ms)
{
    int64_t next = INT64_MAX;

    for (uint32_t i = 0; i < GOSSIP_SOCKETS_MAX; i++) {
        struct gossip_socket *s = &g->socket[i];

        if (s->kind == GOSSIP_FREE) {
            continue;
        }
        if (s->deadline_ms <= now_ms) {
            *(s->kind == GOSSIP_WAITING ? &g->packets_dropped : &g->timeouts) += 1;
            trace(g, s, "timed out");
            if (s->conduit.ssl != NULL && !s->connecting && !s->conduit.established) {
                handshake_failed(g, s, PW_CONDUIT_FAULT_TIMEOUT, "it stays silent");
            }
            drop_socket(g, s);
        } else if (s->deadline_ms < next) {
            next = s->deadline_ms;
        }
    }
    return next;
}

/* --- The loop ------------------------------------------------------------------------------------- */

static void
wait_events(struct pw_gossip *g, int64_t ms)
{
    struct epoll_event ev[EVENTS_MAX];
    int n = epoll_wait(g->epoll_fd, ev, EVENTS_MAX,
                       (int)(ms < 0 ? 0 : (ms > SLEEP_MS_MAX ? SLEEP_MS_MAX : ms)));
    uint64_t drained;

    for (int i = 0; i < n; i++) {
        if (ev[i].data.u64 < GOSSIP_SOCKETS_MAX) {
            take_event(g, &g->socket[ev[i].data.u64], ev[i].events);
        } else if (ev[i].data.u64 == GOSSIP_WAKE) {
            (void)!read(g->wake_fd, &drained, sizeof(drained));
        } else {
            accept_new(g, g->listen_fd[ev[i].data.u64 - GOSSIP_LISTEN]);
        }
    }
}

/* One turn: what is due, what that wants sent, then whatever comes until the next is due. */
static void
turn(struct pw_gossip *g, int64_t ms_max)
{
    struct pw_ml_now now = gossip_now();
    int64_t next, join, sockets;

    lock(g);
    next = pw_memberlist_step(g->ml, now);
    unlock(g);
    join = gossip_join_step(g, now.mono_ms);
    begin_connections(g);
    sockets = expire(g, now.mono_ms);
    next = join < next ? join : next;
    next = sockets < next ? sockets : next;
    next -= pw_mono_ms();
    wait_events(g, next < ms_max ? next : ms_max);
}

static bool
is_set(const atomic_bool *b)
{
    return atomic_load_explicit(b, memory_order_acquire);
}

static bool
idle(struct pw_gossip *g)
{
    bool idle;

    lock(g);
    idle = pw_memberlist_idle(g->ml);
    unlock(g);
    for (uint32_t i = 0; i < GOSSIP_SOCKETS_MAX; i++) {
        idle = idle && g->socket[i].kind != GOSSIP_WAITING && g->socket[i].kind != GOSSIP_PACKET;
    }
    return idle;
}

/* ms 0: however long it takes. */
static void
run_until_idle(struct pw_gossip *g, int64_t ms)
{
    int64_t until = ms == 0 ? INT64_MAX : pw_mono_ms() + ms;

    while (!is_set(&g->ending) && !idle(g) && pw_mono_ms() < until) {
        turn(g, STOP_STEP_MS);
    }
}

/* First what we have to say, then that we go. */
static void
leave(struct pw_gossip *g)
{
    run_until_idle(g, g->cfg->broadcast_timeout_ms);
    lock(g);
    pw_memberlist_leave(g->ml, gossip_now());
    unlock(g);
    run_until_idle(g, g->cfg->leave_timeout_ms);
    pw_log(PW_LOG_INFO, module, "msg=\"left the cluster\" member=%s", g->name);
}

void *
gossip_thread(void *arg)
{
    struct pw_gossip *g = arg;

    pthread_setname_np(pthread_self(), "gossip");
    while (!is_set(&g->stopping) && !is_set(&g->ending)) {
        turn(g, SLEEP_MS_MAX);
    }
    if (!is_set(&g->ending)) {
        leave(g);
    }
    return NULL;
}
