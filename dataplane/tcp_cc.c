#include "dataplane/tcp_cc.h"

enum { CWND_MAX = 1 << 30 };

/* RFC 6928 2: min(10 MSS, max(2 MSS, 14600)). */
static uint32_t
initial_window(uint32_t mss)
{
    uint32_t floor = 2 * mss > 14600 ? 2 * mss : 14600;

    return 10 * mss < floor ? 10 * mss : floor;
}

static void
reno_init(struct pw_tcp_cc *c, uint32_t mss, bool handshake_lost)
{
    /* RFC 5681 3.1: a lost SYN,ACK makes the initial window one segment. */
    c->cwnd = handshake_lost ? mss : initial_window(mss);
    c->ssthresh = UINT32_MAX;
}

/* Slow start by bytes acknowledged, L = 2 (RFC 3465 2.2): delayed ACKs do not slow it. */
static uint32_t
slow_start(uint32_t mss, uint32_t acked)
{
    return acked < 2 * mss ? acked : 2 * mss;
}

static void
grow_by(struct pw_tcp_cc *c, uint32_t n)
{
    if (c->cwnd < CWND_MAX) {
        c->cwnd += n;
    }
}

static void
reno_acked(struct pw_tcp_cc *c, uint32_t mss, uint32_t acked, uint64_t now_ms, uint32_t rtt_ms)
{
    if (c->cwnd < c->ssthresh) {
        grow_by(c, slow_start(mss, acked));
        return;
    }
    uint32_t grow = (uint32_t)((uint64_t)mss * mss / c->cwnd); /* RFC 5681 equation (3) */

    grow_by(c, grow == 0 ? 1 : grow);
}

static uint32_t
half_flight(uint32_t mss, uint32_t flight)
{
    return flight / 2 > 2 * mss ? flight / 2 : 2 * mss; /* RFC 5681 equation (4) */
}

static void
reno_lost(struct pw_tcp_cc *c, uint32_t mss, uint32_t flight)
{
    c->ssthresh = half_flight(mss, flight);
    c->cwnd = c->ssthresh;
}

static void
reno_timeout(struct pw_tcp_cc *c, uint32_t mss, uint32_t flight)
{
    c->ssthresh = half_flight(mss, flight);
    c->cwnd = mss; /* RFC 5681 3.1: the loss window */
}

static void
reno_idle(struct pw_tcp_cc *c, uint32_t mss)
{
    uint32_t iw = initial_window(mss); /* RFC 5681 4.1: the restart window */

    c->cwnd = c->cwnd < iw ? c->cwnd : iw;
}

const struct pw_tcp_cc_ops pw_tcp_cc_reno = {
    .name = "reno",
    .init = reno_init,
    .acked = reno_acked,
    .lost = reno_lost,
    .timeout = reno_timeout,
    .idle = reno_idle,
};

/* --- CUBIC: RFC 9438, C = 0.4, beta = 0.7; windows in bytes, so C is 0.4 segments --- */

enum { BETA_NUM = 7, BETA_DEN = 10, EPOCH_MS_MAX = 60000 };

static void
cubic_init(struct pw_tcp_cc *c, uint32_t mss, bool handshake_lost)
{
    reno_init(c, mss, handshake_lost);
    c->w_max = 0;
    c->epoch_ms = 0;
}

/* The largest integer whose cube is at most x. */
static uint32_t
cube_root(uint64_t x)
{
    uint64_t y = 0;

    for (int32_t s = 63; s >= 0; s -= 3) {
        y *= 2;
        uint64_t b = 3 * y * (y + 1) + 1;

        if (x >> s >= b) {
            x -= b << s;
            y++;
        }
    }
    return (uint32_t)y;
}

/* 4.8 and 4.2: where the curve starts, when congestion avoidance does. */
static void
epoch_begin(struct pw_tcp_cc *c, uint32_t mss, uint64_t now_ms)
{
    c->epoch_ms = now_ms == 0 ? 1 : now_ms;
    c->w_est = c->cwnd;
    c->target_rem = 0;
    c->est_rem = 0;
    if (c->cwnd >= c->w_max) {
        c->w_max = c->cwnd;
        c->k_ms = 0;
        return;
    }
    /* K = cbrt((W_max - cwnd) / C) seconds, windows in segments: 1e9 ms^3 / 0.4. */
    c->k_ms = cube_root((uint64_t)(c->w_max - c->cwnd) * 2500000000U / mss);
}

/* W_cubic(t), equation (1). */
static uint32_t
curve(const struct pw_tcp_cc *c, uint32_t mss, uint64_t t_ms)
{
    uint64_t t = t_ms < EPOCH_MS_MAX ? t_ms : EPOCH_MS_MAX;
    bool below = t < c->k_ms;
    uint64_t d = below ? c->k_ms - t : t - c->k_ms;

    d = d < EPOCH_MS_MAX ? d : EPOCH_MS_MAX;
    uint64_t delta = d * d * d / 1000000 * (4ULL * mss) / 10000; /* 0.4 segments (d / 1 s)^3 */

    if (below) {
        return delta < c->w_max ? c->w_max - (uint32_t)delta : 0;
    }
    return c->w_max + delta < CWND_MAX ? c->w_max + (uint32_t)delta : CWND_MAX;
}

/* 4.3: W_est += alpha * acked / cwnd segments, alpha = 3 (1 - beta) / (1 + beta) = 9/17. */
static void
estimate_reno(struct pw_tcp_cc *c, uint32_t mss, uint32_t acked)
{
    bool caught_up = c->w_est >= c->prior;
    uint64_t part = (uint64_t)mss * acked * (caught_up ? 17 : 9) / 17 + c->est_rem;

    if (c->w_est < CWND_MAX) {
        c->w_est += (uint32_t)(part / c->cwnd);
    }
    c->est_rem = (uint32_t)(part % c->cwnd);
}

static void
cubic_acked(struct pw_tcp_cc *c, uint32_t mss, uint32_t acked, uint64_t now_ms, uint32_t rtt_ms)
{
    if (c->cwnd < c->ssthresh) {
        grow_by(c, slow_start(mss, acked));
        return;
    }
    if (c->epoch_ms == 0) {
        epoch_begin(c, mss, now_ms);
    }
    uint64_t t = now_ms - c->epoch_ms;

    estimate_reno(c, mss, acked);
    if (curve(c, mss, t) < c->w_est) { /* 4.3: the Reno-friendly region */
        c->cwnd = c->cwnd > c->w_est ? c->cwnd : c->w_est;
        return;
    }
    /* 4.4, 4.5: toward where the curve is one round trip ahead, at most half as much again. */
    uint64_t target = curve(c, mss, t + rtt_ms);
    uint64_t most = (uint64_t)c->cwnd + c->cwnd / 2;

    target = target < most ? target : most;
    if (target > c->cwnd) {
        uint64_t part = (target - c->cwnd) * acked + c->target_rem;

        c->target_rem = (uint32_t)(part % c->cwnd);
        grow_by(c, (uint32_t)(part / c->cwnd));
    }
}

/* 4.6, 4.7. Of the window, not of what is in flight: an ACK that says both how much arrived and that more is
 * missing comes before the flush fills the window again. 4.6 allows it where a window that is not used
 * does not grow (cwnd_limited in tcp_recovery.c). */
static void
cubic_reduce(struct pw_tcp_cc *c, uint32_t mss)
{
    uint32_t down = (uint32_t)((uint64_t)c->cwnd * BETA_NUM / BETA_DEN);

    /* Fast convergence: who was cut twice on the way up makes room for newcomers. */
    c->prior = c->cwnd;
    c->w_max = c->cwnd < c->w_max
                   ? (uint32_t)((uint64_t)c->cwnd * (BETA_DEN + BETA_NUM) / (2 * BETA_DEN))
                   : c->cwnd;
    c->ssthresh = down > 2 * mss ? down : 2 * mss;
    c->epoch_ms = 0;
}

static void
cubic_lost(struct pw_tcp_cc *c, uint32_t mss, uint32_t flight)
{
    cubic_reduce(c, mss);
    c->cwnd = c->ssthresh;
}

static void
cubic_timeout(struct pw_tcp_cc *c, uint32_t mss, uint32_t flight)
{
    cubic_reduce(c, mss);
    c->w_max = 0; /* 4.8: the curve starts anew where slow start ends */
    c->cwnd = mss;
}

static void
cubic_idle(struct pw_tcp_cc *c, uint32_t mss)
{
    reno_idle(c, mss);
    c->epoch_ms = 0; /* 4.2: time without text is none of the epoch's */
}

const struct pw_tcp_cc_ops pw_tcp_cc_cubic = {
    .name = "cubic",
    .init = cubic_init,
    .acked = cubic_acked,
    .lost = cubic_lost,
    .timeout = cubic_timeout,
    .idle = cubic_idle,
};
