#include "app/control.h"

#include "app/gossip.h"
#include "app/link.h"
#include "app/parts.h"
#include "app/storage.h"
#include "base/clock.h"
#include "base/log.h"

#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

static const char module[] = "pw.app.control";

enum {
    BUSY_WAIT_NS = 50000, /* while an ingester owes us an answer: it has no way to wake us */
    QUIESCE_TURNS = 2,    /* a loop that made so many turns has dropped the old overrides */
    QUIESCE_WAIT_MS = 1000,
    DRAIN_STEP_NS = 1000000,
    START_SLEEP_MS = 20,
};

static void
nap(long ns)
{
    const struct timespec ts = {.tv_nsec = ns};

    nanosleep(&ts, NULL);
}

void
pw_control_wake_loops(struct pw_app *app)
{
    for (uint32_t i = 0; i < app->loops; i++) {
        pw_bell_ring(&app->bell[i]);
    }
}

/* --- Overrides -------------------------------------------------------------------------------- */

/* Waits until every loop has begun a turn after now, so that none can hold the old snapshot. */
static bool
loops_moved_on(struct pw_app *app)
{
    uint64_t from[PW_PLAN_LCORES_MAX];
    int64_t until = pw_mono_ms() + QUIESCE_WAIT_MS;

    for (uint32_t i = 0; i < app->loops; i++) {
        from[i] = __atomic_load_n(&app->loop[i]->turns, __ATOMIC_ACQUIRE);
    }
    for (uint32_t i = 0; i < app->loops; i++) {
        while (__atomic_load_n(&app->loop[i]->turns, __ATOMIC_ACQUIRE) - from[i] < QUIESCE_TURNS) {
            if (pw_mono_ms() > until) {
                return false;
            }
            pw_control_wake_loops(app);
            nap(DRAIN_STEP_NS);
        }
    }
    return true;
}

/* Work on a large request looks at one snapshot over many turns. Waits for it; our own goes on meanwhile. */
static bool
nobody_reads(struct pw_app *app, const struct pw_overrides *old)
{
    int64_t until = pw_mono_ms() + QUIESCE_WAIT_MS;

    for (uint32_t d = 0; d < app->doors; d++) {
        while (pw_distributor_uses(app->door[d].distributor, old)) {
            if (pw_mono_ms() > until) {
                return false;
            }
            (void)pw_distributor_poll(pw_app_control_door(app)->distributor, pw_rdtsc());
            nap(DRAIN_STEP_NS);
        }
    }
    return true;
}

static void
swap_overrides(struct pw_app *app, struct pw_overrides *fresh)
{
    const struct pw_overrides *old;

    pthread_mutex_lock(&app->overrides_mutex);
    old = atomic_exchange_explicit(&app->overrides, fresh, memory_order_acq_rel); /* R2 */
    pthread_mutex_unlock(&app->overrides_mutex);
    if (loops_moved_on(app) && nobody_reads(app, old)) {
        pw_overrides_free_cold((struct pw_overrides *)(uintptr_t)old);
    } else {
        /* A core that does not turn, or work of seconds: leaking the table is the safe side. */
        pw_log(PW_LOG_WARN, module, "msg=\"a core is slow, old runtime config kept in memory\"");
    }
}

/* --- The loop ----------------------------------------------------------------------------------- */

struct control {
    struct pw_app *app;
    int epoll_fd;
    int signal_fd;
    bool stopping;
};

static int
watch(struct control *c, int fd)
{
    struct epoll_event ev = {.events = EPOLLIN, .data = {.fd = fd}};

    return epoll_ctl(c->epoll_fd, EPOLL_CTL_ADD, fd, &ev) == 0 ? 0 : -errno;
}

static int
control_open(struct control *c)
{
    sigset_t set;
    int answers = pw_jobs_client_eventfd_ctl(pw_app_control_door(c->app)->jobs);
    int rc;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    c->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    c->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (c->epoll_fd < 0 || c->signal_fd < 0 || answers < 0) {
        return -errno;
    }
    rc = watch(c, c->signal_fd);
    rc = rc != 0 ? rc : watch(c, answers);
    rc = rc != 0 || pw_app_link_fd(c->app) < 0 ? rc : watch(c, pw_app_link_fd(c->app));
    return rc != 0 ? rc : watch(c, pw_listener_fd(c->app->listener));
}

static void
control_close(struct control *c)
{
    close(c->epoll_fd);
    close(c->signal_fd);
}

static void
take_signals(struct control *c)
{
    struct signalfd_siginfo si;

    while (read(c->signal_fd, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
        c->stopping = true;
    }
}

/* operations.md 3: who signals again does not want to wait for the drain. What is in the log is replayed. */
static void
let_next_signal_kill(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static uint32_t
control_turn(struct pw_app *app)
{
    struct pw_app_door *door = pw_app_control_door(app);
    uint64_t now = pw_rdtsc();
    uint32_t n = pw_listener_poll(app->listener, now);

    n += pw_distributor_poll(door->distributor, now);
    n += pw_replicas_poll(&door->replicas, now);
    n += pw_jobs_poll(door->jobs, now);
    n += pw_http_server_poll(door->http, now);
    n += pw_app_link_poll(app, now);
    pw_app_ring_poll_ctl(app->ring);
    if (n > 0) {
        pw_control_wake_loops(app); /* records may wait for an ingester */
    }
    return n;
}

/* Sleeps until a socket, an answer or a signal is there. */
static void
control_sleep(struct control *c)
{
    struct epoll_event ev[8];
    uint64_t drained;
    int answers = pw_jobs_client_eventfd_ctl(pw_app_control_door(c->app)->jobs);
    uint32_t link_us = pw_app_link_rest_us(c->app, pw_rdtsc());
    long ns = pw_distributor_in_flight(pw_app_control_door(c->app)->distributor) > 0
                  ? BUSY_WAIT_NS
                  : PW_CONTROL_SLEEP_MS_MAX * 1000000L;
    const struct timespec ts = {.tv_nsec = link_us < ns / 1000 ? link_us * 1000L : ns};
    int n = epoll_pwait2(c->epoll_fd, ev, PW_ARRAY_LEN(ev), &ts, NULL);

    for (int i = 0; i < n; i++) {
        if (ev[i].data.fd == c->signal_fd) {
            take_signals(c);
        } else if (ev[i].data.fd == answers && read(answers, &drained, sizeof(drained)) < 0) {
            continue;
        }
    }
}

static uint32_t
in_flight(const struct pw_app *app)
{
    uint32_t n = 0;

    for (uint32_t d = 0; d < app->doors; d++) {
        n += pw_http_server_open(app->door[d].http);
        n += pw_distributor_in_flight(app->door[d].distributor);
        n += pw_jobs_in_flight(app->door[d].jobs);
    }
    return n;
}

/* Stop accepting, answer what is in flight, leave. */
static int
drain(struct pw_app *app)
{
    int64_t until;

    pw_admin_set_all_ctl(app->admin, PW_ADMIN_STOPPING);
    pw_app_ring_leave_ctl(app->ring);
    pw_log(PW_LOG_INFO, module, "msg=\"stopping: draining connections\" open=%u", in_flight(app));
    until = pw_mono_ms() + app->cfg->shutdown_delay_ms;
    while (pw_mono_ms() < until) {
        control_turn(app);
        nap(DRAIN_STEP_NS);
    }
    for (uint32_t i = 0; i < app->workers; i++) {
        pw_worker_drain(app->worker[i]);
    }
    pw_listener_stop_accepting(app->listener);
    for (uint32_t d = 0; d < app->doors; d++) {
        pw_http_server_drain(app->door[d].http);
    }
    pw_control_wake_loops(app);
    until = pw_mono_ms() + app->cfg->graceful_shutdown_timeout_ms;
    while (in_flight(app) > 0) {
        if (pw_mono_ms() > until) {
            pw_log(PW_LOG_WARN, module, "msg=\"drain timed out, connections are cut\" open=%u",
                   in_flight(app));
            return PW_ETIMEDOUT;
        }
        if (control_turn(app) == 0) {
            nap(DRAIN_STEP_NS);
        }
    }
    pw_app_link_leave_ctl(app);
    pw_log(PW_LOG_INFO, module, "msg=\"drained\"");
    return 0;
}

struct heads {
    struct pw_app *app;
    int rc;
    atomic_bool done;
};

static void *
flush_heads(void *arg)
{
    struct heads *h = arg;

    h->rc = pw_storage_flush(h->app);
    atomic_store_explicit(&h->done, true, memory_order_release);
    return NULL;
}

/* What heads hold becomes blocks: the ingesters still poll, nothing new comes. It may take minutes, so a
 * thread does it while heartbeats go on. */
static void
write_heads(struct pw_app *app)
{
    struct heads h = {.app = app};
    pthread_t thread;

    pw_log(PW_LOG_INFO, module, "msg=\"writing heads as blocks\"");
    if (pthread_create(&thread, NULL, flush_heads, &h) == 0) {
        while (!atomic_load_explicit(&h.done, memory_order_acquire)) {
            pw_app_ring_poll_ctl(app->ring);
            nap(DRAIN_STEP_NS);
        }
        pthread_join(thread, NULL);
    } else {
        (void)flush_heads(&h);
    }
    if (h.rc != 0) {
        pw_log(PW_LOG_ERROR, module,
               "msg=\"heads were not all written, the log keeps what they hold\" err=\"%s\"",
               pw_err_text(h.rc));
    }
}

/* LEAVING for -ingester.final-sleep more, everything written; then out of the ring. */
static void
leave_ring(struct pw_app *app)
{
    int64_t until = pw_mono_ms() + app->cfg->ring.final_sleep_ms;

    while (pw_mono_ms() < until) {
        pw_app_ring_poll_ctl(app->ring);
        nap(DRAIN_STEP_NS);
    }
    pw_app_ring_ingester_gone_ctl(app->ring);
}

bool
pw_control_wait(struct pw_app *app, const atomic_bool *done)
{
    struct pollfd listener = {.fd = pw_listener_fd(app->listener), .events = POLLIN};
    struct pw_http_server *http = pw_app_control_door(app)->http;
    sigset_t set;

    while (!atomic_load_explicit(done, memory_order_acquire)) {
        uint64_t now = pw_rdtsc();

        if (pw_listener_poll(app->listener, now) + pw_http_server_poll(http, now) == 0) {
            (void)poll(&listener, 1, START_SLEEP_MS);
        }
        if (sigpending(&set) == 0 && (sigismember(&set, SIGTERM) || sigismember(&set, SIGINT))) {
            return true;
        }
    }
    return false;
}

int
pw_control_run(struct pw_app *app)
{
    struct control c = {.app = app, .epoll_fd = -1, .signal_fd = -1};
    struct pw_overrides *fresh;
    int rc = control_open(&c);

    if (rc != 0) {
        pw_log(PW_LOG_ERROR, module, "msg=\"cannot watch descriptors\" err=\"%s\"",
               pw_err_text(rc));
        control_close(&c);
        return rc;
    }
    pw_admin_set_all_ctl(app->admin, PW_ADMIN_RUNNING);
    pw_log(PW_LOG_INFO, module, "msg=\"ready\" listen=http://%s:%u workers=%u ingesters=%u",
           app->cfg->http_listen_address, pw_listener_port(app->listener), app->workers,
           app->ingesters);
    while (!c.stopping) {
        if (control_turn(app) == 0) {
            control_sleep(&c);
        }
        fresh = pw_runtime_config_poll_cold(app->runtime, pw_mono_ms());
        if (fresh != NULL) {
            swap_overrides(app, fresh);
        }
        take_signals(&c);
    }
    let_next_signal_kill();
    rc = drain(app);
    pw_app_ring_distributor_gone_ctl(app->ring);
    write_heads(app);
    leave_ring(app);
    pw_gossip_stop_ctl(app);
    control_close(&c);
    return rc;
}
