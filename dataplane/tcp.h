/* dataplane/tcp.h - what an application may know about TCP: its settings and its limits.
 *
 * Purpose  TCP by RFC 9293 as a server. Applications see byte streams (dataplane/stream.h): accept,
 *          input, writable, fin, gone go up through struct pw_stream_app; send, consumed, reserve,
 *          shutdown, reset come down through struct pw_stream_ops.
 * Owner    one worker; a connection lives and dies on the lcore that received its SYN.
 * Context  settings: control thread, before the worker is created.
 * Units    in the names. A field of 0 takes the default named in the comment.
 * Errors   -
 * Limits   below; receive memory is counted in buffer bytes (mbuf buf_len), not payload.
 */
#ifndef PW_DATAPLANE_TCP_H
#define PW_DATAPLANE_TCP_H

#include "base/types.h"

enum {
    PW_TCP_LISTEN_PORTS_MAX = 8,
    PW_TCP_RCV_WSCALE = 7,         /* the shift we offer: windows up to 8 MiB */
    PW_TCP_MSS_MIN = 64,           /* a smaller MSS option is raised to this: header-only floods */
    PW_TCP_MSS_DEFAULT = 536,      /* RFC 9293 3.7.1: no MSS option */
    PW_TCP_MSS_DEFAULT_V6 = 1220,  /* the same over IPv6 */
    PW_TCP_OOO_SEGMENTS_MAX = 512, /* buffers of one connection that wait behind a hole */
    PW_TCP_OOO_RUNS_MAX = 64,      /* and runs of them: holes */
    PW_TCP_KEEPALIVE_PROBES = 9,
    PW_TCP_DUPACKS = 3,       /* RFC 5681 3.2 */
    PW_TCP_DELACK_PSH_MS = 4, /* see tcp_output.c: an answer usually carries the ACK before */
};

struct pw_tcp_cfg {
    uint32_t conns_max;         /* 4096; connections in any state, TIME_WAIT included */
    uint32_t syn_received_max;  /* conns_max / 4, at most 1024 */
    uint64_t rx_budget_bytes;   /* 3/4 of the mempool: buffers that windows are offered against */
    uint32_t rx_base_bytes;     /* 80 KiB: set aside for each connection while buffers are plenty */
    uint32_t rx_base_bytes_min; /* 10 KiB: the same when they are scarce; idle ones: one buffer */
    uint32_t rcv_wnd_max;       /* 512 KiB: largest window offered */
    uint32_t snd_buf_bytes_max; /* 256 KiB: unacknowledged and unsent bytes of one connection */
    uint64_t snd_pool_bytes;    /* 32 MiB: the same, all connections of the worker */
    uint32_t delack_ms;         /* 40 (RFC 1122 4.2.3.2 allows 500) */
    uint32_t rto_ms_init;       /* 1000 (RFC 6298 2.1) */
    uint32_t rto_ms_min;  /* 200; RFC 6298 2.4 says 1 s SHOULD, every kernel we meet uses 200 ms */
    uint32_t rto_ms_max;  /* 60000 (RFC 6298 2.5) */
    uint32_t retries_max; /* 12 retransmissions of one segment, then the connection is given up */
    uint32_t syn_retries_max; /* 4 retransmissions of SYN,ACK */
    uint32_t time_wait_ms;    /* 60000: 2 MSL (RFC 9293 3.4.2) */
    uint32_t user_timeout_ms; /* 300000: text unacknowledged for so long ends the connection */
    uint32_t
        keepalive_idle_ms; /* 0: off (RFC 9293 3.8.4 asks for that); not less than 2 h is polite */
    uint32_t
        keepalive_interval_ms; /* 75000 between probes; the ninth without an answer was the last */
    bool reno;                 /* NewReno (RFC 5681, 6582) instead of CUBIC (RFC 9438) */
    uint32_t fin_wait_2_ms; /* 60000 without a sign from the peer after our FIN was acknowledged */
};

/* Fills the zero fields with the defaults above. rx_budget_bytes stays 0 when it was: the worker
 * derives it from its mempool. */
void pw_tcp_cfg_defaults(struct pw_tcp_cfg *c);

#endif
