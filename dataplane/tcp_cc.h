/* dataplane/tcp_cc.h - congestion control behind one table.
 *
 * Purpose  how much may be in flight. Losses are found elsewhere (tcp_recovery.c) and told here.
 * Owner    the connection.
 * Context  hot.
 * Units    bytes; now_ms and rtt_ms in milliseconds.
 * Errors   -
 * Limits   -
 */
#ifndef PW_DATAPLANE_TCP_CC_H
#define PW_DATAPLANE_TCP_CC_H

#include "base/types.h"

struct pw_tcp_cc_ops;

struct pw_tcp_cc {
    const struct pw_tcp_cc_ops *ops;
    uint32_t cwnd;
    uint32_t ssthresh;
    /* CUBIC's own (RFC 9438 4.1.2). */
    uint32_t w_max;
    uint32_t w_est;      /* what Reno would have */
    uint32_t prior;      /* cwnd at the last reduction */
    uint32_t k_ms;       /* from the epoch until w_max is reached again */
    uint64_t epoch_ms;   /* congestion avoidance began; 0: it did not */
    uint32_t target_rem; /* growth below one byte, in units of 1/cwnd */
    uint32_t est_rem;
};

struct pw_tcp_cc_ops {
    const char *name;
    /* The connection is established; handshake_lost: SYN,ACK had to be sent again. */
    void (*init)(struct pw_tcp_cc *c, uint32_t mss, bool handshake_lost);
    /* acked new bytes were acknowledged, outside of recovery, while cwnd was what held us back. */
    void (*acked)(struct pw_tcp_cc *c, uint32_t mss, uint32_t acked, uint64_t now_ms,
                  uint32_t rtt_ms);
    /* A loss found by duplicate ACKs; flight bytes were unacknowledged. */
    void (*lost)(struct pw_tcp_cc *c, uint32_t mss, uint32_t flight);
    /* A retransmission timeout. */
    void (*timeout)(struct pw_tcp_cc *c, uint32_t mss, uint32_t flight);
    /* Nothing was sent for longer than an RTO. */
    void (*idle)(struct pw_tcp_cc *c, uint32_t mss);
};

/* Slow start, congestion avoidance, halving (RFC 5681), initial window of ten (RFC 6928). */
extern const struct pw_tcp_cc_ops pw_tcp_cc_reno;
/* RFC 9438. Slow start and initial window as above. */
extern const struct pw_tcp_cc_ops pw_tcp_cc_cubic;

#endif
