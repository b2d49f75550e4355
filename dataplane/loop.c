#include "dataplane/loop.h"

#include <inttypes.h>
#include <poll.h>
#include <sys/prctl.h>

void
pw_loop_init_ctl(struct pw_loop *l, uint32_t index, const struct pw_clock *clock,
                 enum pw_loop_idle idle)
{
    *l = (struct pw_loop){
        .index = index, .idle = idle, .doze_us_max = PW_LOOP_DOZE_US_MAX, .tsc_hz = clock->tsc_hz};
    l->long_tsc = pw_clock_us_to_tsc(clock, PW_POLLER_LONG_US);
}

int
pw_loop_add_ctl(struct pw_loop *l, struct pw_poller p)
{
    if (l->poller_count == PW_POLLERS_MAX) {
        return PW_ENOSPC;
    }
    l->poller[l->poller_count++] = p;
    return 0;
}

int
pw_loop_add_driver_ctl(struct pw_loop *l, const uint64_t *driver_tsc)
{
    if (l->driver_count == PW_POLLERS_MAX) {
        return PW_ENOSPC;
    }
    l->driver_tsc[l->driver_count++] = driver_tsc;
    return 0;
}

void
pw_loop_set_bell_ctl(struct pw_loop *l, struct pw_bell *bell)
{
    l->bell = bell;
}

int
pw_loop_add_peer_ctl(struct pw_loop *l, struct pw_bell *bell)
{
    if (l->peer_count == PW_LOOP_PEERS_MAX) {
        return PW_ENOSPC;
    }
    l->peer[l->peer_count++] = bell;
    return 0;
}

int
pw_loop_add_fd_ctl(struct pw_loop *l, int fd)
{
    if (l->fd_count == PW_POLLERS_MAX) {
        return PW_ENOSPC;
    }
    l->fd[l->fd_count++] = fd;
    return 0;
}

uint32_t
pw_loop_turn(struct pw_loop *l, uint64_t now_tsc)
{
    uint32_t total = 0;
    uint64_t busy = 0;
    uint64_t t0 = pw_rdtsc();
    uint64_t start = t0;

    /* The pollers see one now_tsc a turn; the reads between them only attribute cycles. */
    for (uint32_t i = 0; i < l->poller_count; i++) {
        struct pw_poller *p = &l->poller[i];
        uint32_t work = p->poll(p->ctx, now_tsc);
        uint64_t t1 = pw_rdtsc();

        if (work != 0) {
            p->busy_tsc += t1 - t0;
            p->turns++;
            p->long_turns += t1 - t0 > l->long_tsc;
            p->longest_tsc = t1 - t0 > p->longest_tsc ? t1 - t0 : p->longest_tsc;
            busy += t1 - t0;
            total += work;
        }
        t0 = t1;
    }
    l->busy_tsc += busy;
    l->idle_tsc += t0 - start - busy;
    l->turns++;
    for (uint32_t i = 0; i < l->peer_count && total != 0; i++) {
        pw_bell_ring(l->peer[i]);
    }
    return total;
}

static bool
may_doze(const struct pw_loop *l)
{
    for (uint32_t i = 0; i < l->poller_count; i++) {
        if (l->poller[i].rest_us == NULL) {
            return false;
        }
    }
    return l->bell != NULL && l->bell->fd >= 0;
}

/* Sleeps until a descriptor or the bell says that there is work, or a poller wants its turn. */
static void
doze(struct pw_loop *l)
{
    struct pollfd fds[PW_POLLERS_MAX + 1] = {{.fd = l->bell->fd, .events = POLLIN}};
    uint64_t us = l->doze_us_max;
    bool rang = false;

    pw_bell_listen(l->bell);
    /* The last look: what was handed over before anybody could see that we sleep. */
    if (pw_loop_turn(l, pw_rdtsc()) != 0) {
        l->idle_turns = 0;
        us = 0;
    }
    for (uint32_t i = 0; i < l->poller_count && us > 0; i++) {
        uint32_t rest = l->poller[i].rest_us(l->poller[i].ctx);

        us = rest < us ? rest : us;
    }
    if (us > 0 && !atomic_load_explicit(&l->stop, memory_order_relaxed)) {
        const struct timespec ts = {.tv_sec = (time_t)(us / 1000000),
                                    .tv_nsec = (long)(us % 1000000 * 1000)};

        for (uint32_t i = 0; i < l->fd_count; i++) {
            fds[i + 1] = (struct pollfd){.fd = l->fd[i], .events = POLLIN};
        }
        rang = ppoll(fds, l->fd_count + 1, &ts, NULL) > 0 && fds[0].revents != 0;
        l->sleeps++;
    }
    pw_bell_awake(l->bell, rang);
}

/* How an idle loop rests: pauses first, because the next packet of a burst is microseconds away, then
 * naps that double, then dozing where something wakes it and naps of the longest kind where nothing does. */
static void
back_off(struct pw_loop *l)
{
    l->idle_turns++;
    if (l->idle == PW_LOOP_IDLE_SPIN || l->idle_turns < PW_LOOP_PAUSE_TURNS) {
        __builtin_ia32_pause();
        return;
    }
    uint64_t doublings = (l->idle_turns - PW_LOOP_PAUSE_TURNS) / 8;
    uint64_t us = doublings >= 9 ? PW_LOOP_NAP_US_MAX : 1ULL << doublings;

    if (us > PW_LOOP_DOZE_AFTER_US && may_doze(l)) {
        doze(l);
        return;
    }
    struct timespec ts = {.tv_nsec = (long)(us * 1000)};

    nanosleep(&ts, NULL);
    l->sleeps++;
}

void
pw_loop_run(struct pw_loop *l)
{
    /* The default timer slack of 50 us would make the shortest sleeps fifty times too long. */
    (void)prctl(PR_SET_TIMERSLACK, 1000UL, 0UL, 0UL, 0UL);
    while (!atomic_load_explicit(&l->stop, memory_order_relaxed)) {
        uint64_t now_tsc = pw_rdtsc();

        if (pw_loop_turn(l, now_tsc) != 0) {
            l->idle_turns = 0;
            continue;
        }
        uint64_t rest = pw_rdtsc();

        back_off(l);
        l->idle_tsc += pw_rdtsc() - rest;
    }
}

void
pw_loop_stop_ctl(struct pw_loop *l)
{
    atomic_store_explicit(&l->stop, true, memory_order_relaxed);
    if (l->bell != NULL) {
        pw_bell_ring(l->bell);
    }
}

uint64_t
pw_loop_busy_tsc(const struct pw_loop *l)
{
    uint64_t driver = 0;

    for (uint32_t i = 0; i < l->driver_count; i++) {
        driver += *l->driver_tsc[i];
    }
    /* The two are read at different moments: a reader on another core may see the driver ahead. */
    return l->busy_tsc > driver ? l->busy_tsc - driver : 0;
}

static void
metric_head(struct pw_text *out, const char *name, const char *type, const char *help)
{
    pw_text_printf(out, "# HELP pyrowire_loop_%s %s\n# TYPE pyrowire_loop_%s %s\n", name, help,
                   name, type);
}

static double
seconds(const struct pw_loop *l, uint64_t tsc)
{
    return (double)tsc / (double)l->tsc_hz;
}

void
pw_loop_metrics(struct pw_loop *const *l, uint32_t n, struct pw_text *out)
{
    metric_head(out, "busy_seconds_total", "counter",
                "Time in polls that did work, without the NIC driver.");
    for (uint32_t i = 0; i < n; i++) {
        pw_text_printf(out, "pyrowire_loop_busy_seconds_total{loop=\"%" PRIu32 "\"} %.9f\n",
                       l[i]->index, seconds(l[i], pw_loop_busy_tsc(l[i])));
    }
    metric_head(out, "idle_seconds_total", "counter", "Time in empty polls, pauses and sleeps.");
    for (uint32_t i = 0; i < n; i++) {
        pw_text_printf(out, "pyrowire_loop_idle_seconds_total{loop=\"%" PRIu32 "\"} %.9f\n",
                       l[i]->index, seconds(l[i], l[i]->idle_tsc));
    }
    metric_head(out, "turns_total", "counter", "Turns of the loop.");
    for (uint32_t i = 0; i < n; i++) {
        pw_text_printf(out, "pyrowire_loop_turns_total{loop=\"%" PRIu32 "\"} %" PRIu64 "\n",
                       l[i]->index, l[i]->turns);
    }
    metric_head(out, "sleeps_total", "counter", "Times the loop slept for want of work.");
    for (uint32_t i = 0; i < n; i++) {
        pw_text_printf(out, "pyrowire_loop_sleeps_total{loop=\"%" PRIu32 "\"} %" PRIu64 "\n",
                       l[i]->index, l[i]->sleeps);
    }
    metric_head(out, "poller_busy_seconds_total", "counter",
                "Time in polls that did work, by poller, NIC driver included.");
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t p = 0; p < l[i]->poller_count; p++) {
            pw_text_printf(out,
                           "pyrowire_loop_poller_busy_seconds_total{loop=\"%" PRIu32
                           "\",poller=\"%s\"} %.9f\n",
                           l[i]->index, l[i]->poller[p].name,
                           seconds(l[i], l[i]->poller[p].busy_tsc));
        }
    }
    metric_head(out, "poller_longest_seconds", "gauge",
                "The longest of those polls since the start, whoever preempted it included.");
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t p = 0; p < l[i]->poller_count; p++) {
            pw_text_printf(
                out,
                "pyrowire_loop_poller_longest_seconds{loop=\"%" PRIu32 "\",poller=\"%s\"} %.9f\n",
                l[i]->index, l[i]->poller[p].name, seconds(l[i], l[i]->poller[p].longest_tsc));
        }
    }
    metric_head(out, "poller_long_total", "counter",
                "Those polls that took more than a millisecond.");
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t p = 0; p < l[i]->poller_count; p++) {
            pw_text_printf(out,
                           "pyrowire_loop_poller_long_total{loop=\"%" PRIu32
                           "\",poller=\"%s\"} %" PRIu64 "\n",
                           l[i]->index, l[i]->poller[p].name, l[i]->poller[p].long_turns);
        }
    }
}
