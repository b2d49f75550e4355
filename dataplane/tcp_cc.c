#include "dataplane/tcp_cc.h"

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

static void
reno_acked(struct pw_tcp_cc *c, uint32_t mss, uint32_t acked)
{
    uint32_t grow;

    if (c->cwnd < c->ssthresh) {
        /* Slow start by bytes acknowledged, L = 2 (RFC 3465 2.2): delayed ACKs do not slow it. */
        grow = acked < 2 * mss ? acked : 2 * mss;
    } else {
        grow = (uint32_t)((uint64_t)mss * mss / c->cwnd); /* RFC 5681 equation (3) */
        grow = grow == 0 ? 1 : grow;
    }
    if (c->cwnd < (1U << 30)) {
        c->cwnd += grow;
    }
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
