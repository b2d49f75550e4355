#include "perf/pyroload_run.h"

#include "perf/pyroload_conn.h"
#include "perf/pyroload_pace.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum {
    EVENTS_MAX = 256,
    SWEEP_NS = 50000000,      /* how often time-outs and broken connections are looked after */
    RETRY_NS = 20000000,      /* between attempts to connect */
    START_NS = 10000000000LL, /* for all connections to come up */
    DRAIN_NS = 20000000000LL, /* for answers outstanding at the end */
};

struct run {
    const struct pyroload_cfg *cfg;
    struct pyroload_result *r;
    int epoll_fd;
    struct pyroload_conn *conn; /* [cfg->connections] */
    int *idle_fd;               /* [cfg->idle_connections] */
    uint32_t idle_open;
    /* Connections that are free, first in first out, so that all of them are used. */
    uint32_t *free_ring;
    uint32_t free_head, free_count;
    /* Times at which requests were due that have not been sent. */
    uint64_t *backlog;
    uint64_t backlog_head, backlog_count;
    struct pyroload_pace pace;
    uint64_t measure_ns, end_ns; /* of the part that counts; end_ns UINT64_MAX by count */
    uint64_t issued;             /* measured requests that came due */
    uint64_t next_request;       /* of the set */
    uint32_t in_flight;
    uint64_t sweep_ns;
    uint64_t progress_ns; /* last answer */
    uint64_t last_done_ns;
    uint8_t buf[65536];
};

static uint64_t
clock_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
}

static void
record_latency(struct pyroload_result *r, uint64_t ns)
{
    pw_hist_record(&r->latency, ns);
    r->stalls += ns > PYROLOAD_STALL_NS;
}

/* --- Connections ------------------------------------------------------------------------------ */

static void
put_free(struct run *run, struct pyroload_conn *c, uint64_t now)
{
    uint32_t n = run->cfg->connections;

    c->state = PYROLOAD_CONN_FREE;
    c->free_ns = now;
    if (!c->queued) { /* it still is when it broke while it waited */
        c->queued = true;
        run->free_ring[(run->free_head + run->free_count++) % n] = c->index;
    }
}

static uint32_t
connected_count(const struct run *run)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < run->cfg->connections; i++) {
        n += run->conn[i].state == PYROLOAD_CONN_FREE;
    }
    return n;
}

/* Next free connection that did not break while it waited. */
static struct pyroload_conn *
take_free(struct run *run)
{
    while (run->free_count > 0) {
        struct pyroload_conn *c = &run->conn[run->free_ring[run->free_head]];

        run->free_head = (run->free_head + 1) % run->cfg->connections;
        run->free_count--;
        c->queued = false;
        if (c->state == PYROLOAD_CONN_FREE) {
            return c;
        }
    }
    return NULL;
}

static void
reconnect(struct run *run, struct pyroload_conn *c, uint64_t now)
{
    pyroload_conn_close(c);
    c->retry_ns = now;
    run->r->reconnects++;
}

static void
try_connect(struct run *run, struct pyroload_conn *c, uint64_t now)
{
    if (pyroload_conn_open(c, run->epoll_fd, &run->cfg->addr, run->cfg->addr_len) != 0) {
        run->r->connect_failures++;
        c->retry_ns = now + RETRY_NS;
        if (run->r->error[0] == 0) {
            (void)snprintf(run->r->error, sizeof(run->r->error), "connect: %s", strerror(errno));
        }
    }
}

/* --- Requests --------------------------------------------------------------------------------- */

/* A request ended without an answer. */
static void
request_failed(struct run *run, struct pyroload_conn *c, uint64_t *counter, const char *what)
{
    run->in_flight--;
    if (c->measured) {
        ++*counter;
        if (run->r->error[0] == 0) {
            (void)snprintf(run->r->error, sizeof(run->r->error), "%s", what);
        }
    }
}

static void
connection_lost(struct run *run, struct pyroload_conn *c, uint64_t now, uint64_t *counter,
                const char *what)
{
    if (c->state == PYROLOAD_CONN_BUSY) {
        request_failed(run, c, counter, what);
    } else if (c->state == PYROLOAD_CONN_CONNECTING) {
        run->r->connect_failures++;
        if (run->r->error[0] == 0) {
            (void)snprintf(run->r->error, sizeof(run->r->error), "connect: %s", what);
        }
        pyroload_conn_close(c);
        c->retry_ns = now + RETRY_NS;
        return;
    }
    reconnect(run, c, now);
}

static void
issue(struct run *run, struct pyroload_conn *c, uint64_t due_ns, uint64_t now)
{
    const struct pyroload_request *q = &run->cfg->set->request[run->next_request];

    run->next_request = (run->next_request + 1) % run->cfg->set->count;
    c->due_ns = due_ns;
    c->sent_ns = now;
    c->measured = due_ns >= run->measure_ns;
    run->in_flight++;
    if (c->measured) {
        run->r->sent++;
        run->r->sent_bytes += q->len;
    }
    if (pyroload_conn_send(c, q) != 0) {
        connection_lost(run, c, now, &run->r->errors_connection,
                        "the connection ended before the answer");
    }
}

static void
keep_error_text(struct run *run, const struct pyroload_conn *c)
{
    if (run->r->error[0] == 0) {
        (void)snprintf(run->r->error, sizeof(run->r->error), "status %u: %.*s", c->reply.status,
                       (int)c->reply.body_kept, c->reply.body);
    }
}

static void
request_answered(struct run *run, struct pyroload_conn *c, uint64_t now)
{
    uint16_t status = c->reply.status;

    run->in_flight--;
    run->progress_ns = now;
    run->last_done_ns = now;
    if (c->measured) {
        run->r->status[status < PYROLOAD_STATUS_MAX ? status : 0]++;
        if (status >= 200 && status < 300) {
            run->r->ok++;
        } else {
            keep_error_text(run, c);
        }
        record_latency(run->r, now - c->due_ns);
    }
    if (c->reply.close || c->out.len > 0) { /* the latter: answered before it heard all */
        c->state = PYROLOAD_CONN_FREE;      /* nothing is lost by closing it */
        reconnect(run, c, now);
        return;
    }
    put_free(run, c, now);
}

/* --- Events ----------------------------------------------------------------------------------- */

static void
readable(struct run *run, struct pyroload_conn *c, uint32_t events, uint64_t now)
{
    bool ends = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;

    for (;;) {
        ssize_t n = pyroload_conn_read(c, run->buf, sizeof(run->buf));

        if (n == PW_EAGAIN) {
            return;
        }
        if (n <= 0) {
            if (n == 0 && c->state == PYROLOAD_CONN_BUSY && pyroload_reply_eof(&c->reply)) {
                c->reply.close = true;
                request_answered(run, c, now);
                return;
            }
            connection_lost(run, c, now, &run->r->errors_connection,
                            "the connection ended before the answer");
            return;
        }
        int64_t used = c->state == PYROLOAD_CONN_BUSY
                           ? pyroload_reply_feed(&c->reply, pw_slice(run->buf, (size_t)n))
                           : PW_PARSE_BAD;

        if (used == PW_PARSE_MORE) {
            continue;
        }
        if (used != n) { /* no answer, or bytes behind it that nobody asked for */
            connection_lost(run, c, now, &run->r->errors_protocol,
                            "what came is not one HTTP/1.1 answer");
            return;
        }
        request_answered(run, c, now);
        if (c->state != PYROLOAD_CONN_FREE || !ends) {
            return; /* the answer was all there was, and a later FIN is an event of its own */
        }
    }
}

static void
handle(struct run *run, struct pyroload_conn *c, uint32_t events, uint64_t now)
{
    if (c->state == PYROLOAD_CONN_CLOSED) {
        return;
    }
    if (c->state == PYROLOAD_CONN_CONNECTING) {
        int rc = pyroload_conn_connected(c);

        if (rc == PW_EAGAIN && (events & (EPOLLERR | EPOLLHUP)) == 0) {
            return;
        }
        if (rc != 0) {
            connection_lost(run, c, now, &run->r->errors_connection, strerror(-rc));
            return;
        }
        put_free(run, c, now);
        return;
    }
    if ((events & EPOLLOUT) != 0 && pyroload_conn_flush(c) != 0) {
        connection_lost(run, c, now, &run->r->errors_connection,
                        "the connection ended before the answer");
        return;
    }
    if ((events & (EPOLLIN | EPOLLERR | EPOLLHUP | EPOLLRDHUP)) != 0) {
        readable(run, c, events, now);
    }
}

static void
wait_events(struct run *run, uint64_t now, uint64_t until)
{
    struct epoll_event ev[EVENTS_MAX];
    uint64_t ns = until <= now || run->cfg->spin ? 0 : until - now;
    struct timespec ts = {.tv_sec = (time_t)(ns / 1000000000U),
                          .tv_nsec = (long)(ns % 1000000000U)};
    int n = epoll_pwait2(run->epoll_fd, ev, EVENTS_MAX, &ts, NULL);

    now = clock_ns();
    for (int i = 0; i < n; i++) {
        handle(run, &run->conn[ev[i].data.u32], ev[i].events, now);
    }
}

/* Time-outs, and connections that wait to be opened again. */
static void
sweep(struct run *run, uint64_t now)
{
    if (now < run->sweep_ns) {
        return;
    }
    run->sweep_ns = now + SWEEP_NS;
    for (uint32_t i = 0; i < run->cfg->connections; i++) {
        struct pyroload_conn *c = &run->conn[i];

        if (c->state == PYROLOAD_CONN_BUSY && now > c->sent_ns + run->cfg->timeout_ns) {
            connection_lost(run, c, now, &run->r->errors_timeout, "no answer in time");
        }
        if (c->state == PYROLOAD_CONN_CLOSED && now >= c->retry_ns) {
            try_connect(run, c, now);
        }
    }
}

/* --- The schedule ----------------------------------------------------------------------------- */

/* May one more request come due at `at`? */
static bool
may_issue(const struct run *run, uint64_t at)
{
    if (at >= run->end_ns || *run->cfg->stop) {
        return false;
    }
    return run->cfg->count == 0 || at < run->measure_ns || run->issued < run->cfg->count;
}

static void
count_due(struct run *run, uint64_t at)
{
    run->issued += at >= run->measure_ns;
}

static void
add_due(struct run *run, uint64_t now)
{
    while (run->pace.next_ns <= now && may_issue(run, run->pace.next_ns)) {
        uint64_t at = run->pace.next_ns;

        count_due(run, at);
        if (run->backlog_count == PYROLOAD_BACKLOG_MAX) {
            run->r->unsent += at >= run->measure_ns;
        } else {
            run->backlog[(run->backlog_head + run->backlog_count++) % PYROLOAD_BACKLOG_MAX] = at;
        }
        pyroload_pace_step(&run->pace);
    }
}

static void
send_due(struct run *run, uint64_t now)
{
    if (run->cfg->rate == 0) {
        while (run->free_count > 0 && may_issue(run, now)) {
            struct pyroload_conn *c = take_free(run);

            if (c == NULL) {
                return;
            }
            count_due(run, now);
            issue(run, c, now, now);
            now = clock_ns();
        }
        return;
    }
    add_due(run, now);
    while (run->backlog_count > 0) {
        uint64_t due = run->backlog[run->backlog_head];
        struct pyroload_conn *c = take_free(run);

        if (c == NULL) {
            return;
        }
        run->backlog_head = (run->backlog_head + 1) % PYROLOAD_BACKLOG_MAX;
        run->backlog_count--;
        if (due >= run->measure_ns) {
            /* What the generator itself adds: beyond the wait for a connection. */
            uint64_t since = c->free_ns > due ? c->free_ns : due;

            pw_hist_record(&run->r->issue, now > since ? now - since : 0);
        }
        issue(run, c, due, now);
        now = clock_ns();
    }
}

/* Nothing is left to send and nothing to wait for. */
static bool
is_over(const struct run *run, uint64_t now)
{
    bool more = may_issue(run, run->cfg->rate == 0 ? now : run->pace.next_ns);

    if (run->cfg->count > 0 && now - run->progress_ns > run->cfg->timeout_ns + DRAIN_NS) {
        return true; /* by count, but nobody answers any more */
    }
    if (more || (run->backlog_count > 0 && now < run->end_ns && !*run->cfg->stop)) {
        return false;
    }
    return run->in_flight == 0 || (run->end_ns != UINT64_MAX && now > run->end_ns + DRAIN_NS) ||
           (*run->cfg->stop && now - run->progress_ns > DRAIN_NS / 20);
}

/* When the loop has to look again at the latest. An arrival that will not be issued is no reason to: its
 * time passes and stays passed, and the loop would spin until the last answers are in. With -fifo that
 * keeps the CPU from the kernel's own half of those very answers, until the 950 ms of each second that
 * real-time threads may have are used up. */
static uint64_t
wake_at(const struct run *run)
{
    uint64_t at = run->sweep_ns;

    if (run->cfg->rate > 0 && run->pace.next_ns < at && may_issue(run, run->pace.next_ns)) {
        at = run->pace.next_ns;
    }
    return at;
}

/* --- Start and end ---------------------------------------------------------------------------- */

static int
start_connections(struct run *run)
{
    uint64_t now = clock_ns();
    uint64_t until = now + START_NS;

    for (uint32_t i = 0; i < run->cfg->connections; i++) {
        run->conn[i] = (struct pyroload_conn){.fd = -1, .index = i};
        try_connect(run, &run->conn[i], now);
    }
    while (connected_count(run) < run->cfg->connections && now < until && !*run->cfg->stop) {
        sweep(run, now);
        wait_events(run, now, run->sweep_ns);
        now = clock_ns();
    }
    if (connected_count(run) < run->cfg->connections) {
        fprintf(stderr, "pyroload: only %u of %u connections came up: %s\n", connected_count(run),
                run->cfg->connections, run->r->error);
        return PW_ETIMEDOUT;
    }
    run->r->error[0] = 0;
    run->r->reconnects = 0;
    run->r->connect_failures = 0;
    return 0;
}

static int
start_idle(struct run *run)
{
    for (uint32_t i = 0; i < run->cfg->idle_connections; i++) {
        int fd = pyroload_connect_blocking(&run->cfg->addr, run->cfg->addr_len);

        if (fd < 0) {
            fprintf(stderr, "pyroload: only %u of %u idle connections came up: %s\n", i,
                    run->cfg->idle_connections, strerror(-fd));
            return fd;
        }
        run->idle_fd[run->idle_open++] = fd;
    }
    return 0;
}

static int
run_init(struct run *run, const struct pyroload_cfg *cfg, struct pyroload_result *r)
{
    run->cfg = cfg;
    run->r = r;
    run->conn = calloc(cfg->connections, sizeof(*run->conn));
    run->free_ring = calloc(cfg->connections, sizeof(*run->free_ring));
    run->idle_fd = calloc((size_t)cfg->idle_connections + 1, sizeof(*run->idle_fd));
    run->backlog = calloc(PYROLOAD_BACKLOG_MAX, sizeof(*run->backlog));
    run->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (run->conn == NULL || run->free_ring == NULL || run->idle_fd == NULL ||
        run->backlog == NULL || run->epoll_fd < 0) {
        fprintf(stderr, "pyroload: out of memory or descriptors\n");
        return PW_ENOMEM;
    }
    (void)prctl(PR_SET_TIMERSLACK, 1UL); /* wake when due, not up to 50 us later */
    return 0;
}

static void
run_fini(struct run *run)
{
    for (uint32_t i = 0; run->conn != NULL && i < run->cfg->connections; i++) {
        pyroload_conn_close(&run->conn[i]);
    }
    for (uint32_t i = 0; i < run->idle_open; i++) {
        close(run->idle_fd[i]);
    }
    if (run->epoll_fd >= 0) {
        close(run->epoll_fd);
    }
    free(run->conn);
    free(run->free_ring);
    free(run->idle_fd);
    free(run->backlog);
    free(run);
}

/* What was due but is neither sent nor answered still counts: with the time it has waited. */
static void
account_rest(struct run *run, uint64_t now)
{
    uint64_t end = run->end_ns < now ? run->end_ns : now;

    for (uint64_t i = 0; i < run->backlog_count; i++) {
        uint64_t due = run->backlog[(run->backlog_head + i) % PYROLOAD_BACKLOG_MAX];

        if (due >= run->measure_ns && due < end) {
            run->r->unsent++;
            record_latency(run->r, end - due);
        }
    }
    for (uint32_t i = 0; i < run->cfg->connections; i++) {
        const struct pyroload_conn *c = &run->conn[i];

        if (c->state == PYROLOAD_CONN_BUSY && c->measured) {
            run->r->unanswered++;
            record_latency(run->r, now - c->due_ns);
        }
    }
    uint64_t until = run->last_done_ns;

    if (run->cfg->count == 0 && !*run->cfg->stop && run->end_ns > until) {
        until = run->end_ns;
    }
    run->r->elapsed_ns = until > run->measure_ns ? until - run->measure_ns : 0;
}

int
pyroload_run(const struct pyroload_cfg *cfg, struct pyroload_result *r)
{
    struct run *run = calloc(1, sizeof(*run));
    uint64_t now;
    int rc;

    memset(r, 0, sizeof(*r));
    if (run == NULL) {
        return PW_ENOMEM;
    }
    run->epoll_fd = -1;
    rc = run_init(run, cfg, r);
    rc = rc != 0 ? rc : start_idle(run);
    rc = rc != 0 ? rc : start_connections(run);
    if (rc != 0) {
        run_fini(run);
        return rc;
    }
    now = clock_ns();
    run->measure_ns = now + cfg->warmup_ns;
    run->end_ns = cfg->count > 0 ? UINT64_MAX : run->measure_ns + cfg->duration_ns;
    run->progress_ns = now;
    run->last_done_ns = now;
    pyroload_pace_init(&run->pace, cfg->rate, cfg->poisson, cfg->seed, now);
    while (!is_over(run, now)) {
        send_due(run, now);
        sweep(run, now);
        wait_events(run, clock_ns(), wake_at(run));
        now = clock_ns();
    }
    account_rest(run, now);
    run_fini(run);
    return 0;
}
