/* dataplane/worker.h - one NIC queue pair and the connections that live on it.
 *
 * Purpose  receive, parse, TCP, hand up; segment, send. One struct pw_worker per polling lcore.
 * Owner    the lcore that polls it. Everything marked _ctl is called before that lcore starts or
 *          after it stopped; drain, open_count and metrics may be called from the control thread.
 * Context  polls: hot.
 * Units    IPv4 addresses in host byte order, IPv6 in network order; now_tsc in TSC ticks, never going backwards.
 * Errors   a refused frame is counted under one reason of drop.def and freed.
 * Limits   struct pw_tcp_cfg; PW_WORKER_TX_MAX frames wait for the port, what does not fit is
 *          dropped and counted (TCP sends it again).
 */
#ifndef PW_DATAPLANE_WORKER_H
#define PW_DATAPLANE_WORKER_H

#include "base/clock.h"
#include "base/err.h"
#include "base/text.h"
#include "dataplane/stream.h"
#include "dataplane/tcp.h"

struct rte_mbuf;
struct rte_mempool;
struct pw_trace;
struct pw_worker;

enum { PW_WORKER_TX_MAX = 1024 };

/* Where frames come from and go to. Tests put their own here; both borrow the array and give/take
 * the mbufs they count, as rte_eth_rx_burst and rte_eth_tx_burst do. */
struct pw_port_io {
    void *ctx;
    uint16_t (*rx_burst)(void *ctx, struct rte_mbuf **m, uint16_t n);
    uint16_t (*tx_burst)(void *ctx, struct rte_mbuf **m, uint16_t n);
};

struct pw_worker_cfg {
    uint32_t index;              /* label of the metrics, */
    const char *kind;            /* and what stands before it, borrowed; NULL: nothing */
    uint16_t port_id;            /* ethdev, started by nic-config */
    uint16_t queue_id;           /* of both rx and tx */
    const struct pw_port_io *io; /* NULL: the ethdev above; else borrowed for the worker's life */
    struct rte_mempool *mempool; /* of the rx queue; tx frames come from it too */
    uint16_t mtu;                /* 0: 1500 */
    uint8_t mac[6];
    uint32_t ip4_address;    /* 0: none, then there is an IPv6 address */
    uint8_t ip4_prefix;      /* bits of the network part */
    uint32_t ip4_gateway;    /* 0: none */
    bool address_is_ours;    /* answer ARP and ICMP echo; else the kernel owns the address */
    uint8_t ip6_address[16]; /* "::": none; network order, as the gateway */
    uint8_t ip6_prefix;
    uint8_t ip6_gateway[16]; /* "::": none */
    bool ip6_is_ours;        /* answer neighbour solicitations and ICMPv6 echo */
    bool rx_cksum_offload;   /* trust the mbuf's checksum verdict where it has one */
    bool tx_cksum_offload;   /* leave IPv4 and TCP checksums to the port */
    struct pw_clock clock;
    uint8_t secret[16];       /* keys ISNs (RFC 6528) and the connection table; from getrandom */
    struct pw_stream_app app; /* called for connections on every listening port */
    struct pw_tcp_cfg tcp;    /* zero fields take defaults */
};

/* NULL and errno-style reason in *err (may be NULL). now_tsc: the clock at start. */
struct pw_worker *pw_worker_create_ctl(const struct pw_worker_cfg *cfg, uint64_t now_tsc, int *err);
/* Resets what is open (the app sees `gone`), frees everything. */
void pw_worker_destroy_ctl(struct pw_worker *w);
/* PW_ENOSPC above PW_TCP_LISTEN_PORTS_MAX, PW_EEXIST. */
PW_MUST_USE int pw_worker_listen_ctl(struct pw_worker *w, uint16_t port);
/* Its last events, for pw_trace_bind_thread of the thread that polls it. */
const struct pw_trace *pw_worker_trace(const struct pw_worker *w);

/* Polls for struct pw_poller; ctx is the worker; both return 0 when there was nothing to do. A worker
 * needs both in its list: poll_rx takes frames in and leaves what they cause to poll_timers, which
 * sends. Put whatever may answer a request between the two: its answer then carries the ACK. */
uint32_t pw_worker_poll_rx(void *ctx, uint64_t now_tsc);
/* Expired timers, at most a burst per call; then sends what they and other pollers left to send. */
uint32_t pw_worker_poll_timers(void *ctx, uint64_t now_tsc);

/* rest_us of a poller list with both polls: until the next timer, nothing while something waits to be
 * sent. Frames have to wake the loop by other means. */
uint32_t pw_worker_rest_us(void *ctx);

/* Stops accepting: a SYN is answered with RST from now on. Any thread, once. Returns open_count. */
uint32_t pw_worker_drain(struct pw_worker *w);
/* Connections whose application still has them (TIME_WAIT and half-open ones are not counted). */
uint32_t pw_worker_open_count(const struct pw_worker *w);

/* A neighbour this worker needs where the kernel owns the address: true and its address in ip, IPv4 as ::ffff:a.b.c.d.
 * Control thread; answer it with pw_worker_neighbour_ctl, mac NULL when the kernel does not know (yet). */
bool pw_worker_wants_neighbour_ctl(struct pw_worker *w, uint8_t ip[16]);
void pw_worker_neighbour_ctl(struct pw_worker *w, const uint8_t mac[6]);

/* Cycles inside rx_burst and tx_burst, in polls that did work; for pw_loop_add_driver_ctl. */
const uint64_t *pw_worker_driver_tsc(const struct pw_worker *w);
/* Frames dropped for a reason, by its short name in drop.def; UINT64_MAX for an unknown name. */
uint64_t pw_worker_drops(const struct pw_worker *w, const char *reason);
/* A counter by its short name in stat.def; UINT64_MAX for an unknown name. */
uint64_t pw_worker_stat(const struct pw_worker *w, const char *name);
/* Prometheus text of n workers: pyrowire_worker_*. Any thread, values may be skewed. */
void pw_worker_metrics(struct pw_worker *const *w, uint32_t n, struct pw_text *out);

#endif
