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
    TURN_WAIT_MS = 250, /* of a packet for its turn to be written; then it is lost */
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

static struct gossip_socket *
free_socket(struct pw_gossip *g, enum gossip_kind kind)
{
    for (uint32_t i = 0; i < GOSSIP_SOCKETS_MAX; i++) {
        if (g->socket[i].kind == GOSSIP_FREE) {
            g->socket[i] = (struct gossip_socket){.kind = kind, .fd = -1};
            return &g->socket[i];
        }
    }
    return NULL;
}

/* Under the lock. */
static void
end_socket(struct pw_gossip *g, struct gossip_socket *s)
{
    if (s->fd >= 0) {
        close(s->fd);
    }
    if (s->conn != NULL) {
        if (pw_ml_conn_is_join(s->conn)) {
            gossip_join_ended(g, pw_ml_conn_ok(s->conn));
        }
        pw_ml_conn_free(s->conn);
    }
    free(s->bytes);
    *s = (struct gossip_socket){.kind = GOSSIP_FREE, .fd = -1};
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

static int
set_interest(struct pw_gossip *g, struct gossip_socket *s, int op, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data = {.u64 = (uint64_t)(s - g->socket)}};

    return epoll_ctl(g->epoll_fd, op, s->fd, &ev);
}

/* Begins to connect; what comes of it epoll says. */
static bool
connect_to(struct pw_gossip *g, struct gossip_socket *s)
{
    union gossip_sockaddr sa;
    socklen_t len = gossip_sockaddr(&s->to, &sa);
    int one = 1;

    if (len == 0) {
        return false;
    }
    s->fd = socket(sa.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->fd < 0) {
        return false;
    }
    setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    s->connecting = true;
    return (connect(s->fd, &sa.any, len) == 0 || errno == EINPROGRESS) &&
           set_interest(g, s, EPOLL_CTL_ADD, EPOLLOUT) == 0;
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
    s->to = *to;
    s->deadline_ms = gossip_mono_ms() + TURN_WAIT_MS;
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
    s->to = *to;
    s->deadline_ms = gossip_mono_ms() + g->cfg->stream_timeout_ms;
    return 0;
}

/* So many to one member at a time: one that does not answer must not keep the others waiting. */
static bool
has_turn(const struct pw_gossip *g, const struct gossip_socket *s)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < GOSSIP_SOCKETS_MAX; i++) {
        const struct gossip_socket *other = &g->socket[i];

        n += other->kind == GOSSIP_PACKET && pw_ml_addr_equal(&other->to, &s->to);
    }
    return n < g->cfg->max_concurrent_writes;
}

/* Connections for what was asked of us since. */
static void
begin_connections(struct pw_gossip *g)
{
    for (uint32_t i = 0; i < GOSSIP_SOCKETS_MAX; i++) {
        struct gossip_socket *s = &g->socket[i];
        bool dial = s->kind == GOSSIP_DIALED && s->fd < 0;

        if (s->kind == GOSSIP_WAITING && has_turn(g, s)) {
            s->kind = GOSSIP_PACKET;
            s->deadline_ms = gossip_mono_ms() + g->cfg->packet_dial_timeout_ms;
            dial = true;
        }
        if (dial && !connect_to(g, s)) {
            g->sockets_failed++;
            drop_socket(g, s);
        }
    }
}

/* --- Events --------------------------------------------------------------------------------------- */

static void
accept_new(struct pw_gossip *g)
{
    for (uint32_t i = 0; i < ACCEPTS_MAX; i++) {
        int fd = accept4(g->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        struct gossip_socket *s;

        if (fd < 0) {
            return;
        }
        lock(g);
        s = free_socket(g, GOSSIP_ACCEPTED);
        if (s != NULL) {
            s->conn = pw_ml_conn_accept(g->ml);
        }
        unlock(g);
        if (s == NULL || s->conn == NULL) {
            close(fd);
            if (s != NULL) {
                s->kind = GOSSIP_FREE;
            }
            continue;
        }
        s->fd = fd;
        s->deadline_ms =
            gossip_mono_ms() + (g->cfg->stream_timeout_ms > g->cfg->packet_write_timeout_ms
                                    ? g->cfg->stream_timeout_ms
                                    : g->cfg->packet_write_timeout_ms);
        if (set_interest(g, s, EPOLL_CTL_ADD, EPOLLIN) != 0) {
            drop_socket(g, s);
        }
    }
}

static bool
is_connected(struct gossip_socket *s)
{
    socklen_t len = sizeof(int);
    int err = 0;

    return getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &err, &len) == 0 && err == 0;
}

/* True while there is something to do; false when the socket is to go. */
static bool
write_packet(struct gossip_socket *s)
{
    ssize_t n = send(s->fd, s->bytes + s->written, s->len - s->written, MSG_NOSIGNAL);

    if (n < 0) {
        return errno == EAGAIN || errno == EINTR;
    }
    s->written += (size_t)n;
    return s->written < s->len;
}

static bool
write_stream(struct pw_gossip *g, struct gossip_socket *s)
{
    struct pw_slice out = pw_ml_conn_output(s->conn); /* grows only where this thread reads */
    uint32_t events = EPOLLIN;

    if (out.len > 0) {
        ssize_t n = send(s->fd, out.ptr, out.len, MSG_NOSIGNAL);

        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            return false;
        }
        pw_ml_conn_written(s->conn, n > 0 ? (size_t)n : 0);
        out.len -= n > 0 ? (size_t)n : 0;
    }
    if (s->done && out.len == 0) {
        return false;
    }
    events = (s->done ? 0 : (uint32_t)EPOLLIN) | (out.len > 0 ? (uint32_t)EPOLLOUT : 0);
    return set_interest(g, s, EPOLL_CTL_MOD, events) == 0;
}

static bool
read_stream(struct pw_gossip *g, struct gossip_socket *s)
{
    uint8_t bytes[READ_BYTES];
    ssize_t n = recv(s->fd, bytes, sizeof(bytes), 0);
    enum pw_ml_conn_next next;

    if (n < 0) {
        return errno == EAGAIN || errno == EINTR;
    }
    lock(g);
    next = n > 0 ? pw_ml_conn_input(s->conn, pw_slice(bytes, (size_t)n), gossip_now())
                 : pw_ml_conn_eof(s->conn, gossip_now());
    unlock(g);
    if (next == PW_ML_CONN_CLOSE) {
        return false;
    }
    s->done = next == PW_ML_CONN_DONE;
    return write_stream(g, s);
}

static void
take_event(struct pw_gossip *g, struct gossip_socket *s, uint32_t events)
{
    bool keep = true;

    if (s->kind == GOSSIP_FREE || s->fd < 0) {
        return; /* ended by an event before this one */
    }
    if (s->connecting && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))) {
        s->connecting = false;
        if (!is_connected(s)) {
            g->sockets_failed++;
            drop_socket(g, s);
            return;
        }
        if (s->kind == GOSSIP_PACKET) {
            s->deadline_ms = gossip_mono_ms() + g->cfg->packet_write_timeout_ms;
        }
    }
    if (s->kind == GOSSIP_PACKET) {
        keep = write_packet(s);
    } else if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && !s->done) {
        keep = read_stream(g, s);
    } else {
        keep = write_stream(g, s);
    }
    if (!keep) {
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
        } else if (ev[i].data.u64 == GOSSIP_SOCKETS_MAX) {
            accept_new(g);
        } else {
            (void)!read(g->wake_fd, &drained, sizeof(drained));
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
    next -= gossip_mono_ms();
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

static void
run_until_idle(struct pw_gossip *g, int64_t ms)
{
    int64_t until = gossip_mono_ms() + ms;

    while (!is_set(&g->ending) && !idle(g) && gossip_mono_ms() < until) {
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
