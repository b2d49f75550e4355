/* nic-config/port.h - an ethdev port, brought up with what the device can do.
 *
 * Purpose  mempools, queue pairs, MTU, checksum offloads and RSS of one port.
 * Owner    the control thread opens and closes; worker i has queue i and pool[i] to itself between.
 * Context  all calls: control thread; nothing polls the port during open, stop and close.
 * Units    descriptors, mbufs; mtu in bytes of IP packet.
 * Errors   a negative pw_err, and in *why a sentence for the operator.
 * Limits   PW_WORKERS_MAX queues.
 */
#ifndef PW_NIC_CONFIG_PORT_H
#define PW_NIC_CONFIG_PORT_H

#include "base/err.h"
#include "base/limits.h"
#include "base/text.h"

struct rte_mempool;

enum {
    PW_PORT_DESC_DEFAULT = 2048,
    PW_PORT_MBUFS_DEFAULT = 16383, /* a queue; 2^n - 1 is what a mempool's ring holds best */
    PW_PORT_MBUFS_SPARE = 10240,   /* in the four rings of a queue and in caches: not for payload */
};

enum pw_port_offload {
    PW_PORT_RX_CKSUM = 1, /* ol_flags of received mbufs tell IP and TCP checksum verdicts */
    PW_PORT_TX_CKSUM = 2, /* the port fills in IPv4 and TCP checksums when asked by ol_flags */
    PW_PORT_TX_SEGS = 4,  /* chained mbufs may be sent; without it a frame is one mbuf */
    PW_PORT_RSS = 8,      /* flows are spread over the queues by a hash */
};

struct pw_port_cfg {
    uint16_t port_id;
    uint16_t queues;
    uint16_t desc;            /* 0: PW_PORT_DESC_DEFAULT */
    uint16_t mtu;             /* 0: 1500. An AF_XDP port must be given the interface's own MTU. */
    uint32_t mbufs_per_queue; /* 0: PW_PORT_MBUFS_DEFAULT */
    bool wakes;               /* AF_XDP whose ring the kernel's softirq fills: rx_fd is wanted */
};

struct pw_port {
    uint16_t port_id;
    uint16_t queues;
    uint16_t mtu;
    uint8_t mac[6];
    uint32_t offloads; /* enum pw_port_offload */
    uint32_t mbufs_per_queue;
    char driver[32];
    bool started;
    int rx_fd
        [PW_WORKERS_MAX]; /* readable while queue i has frames; -1: poll it. The driver's own */
    struct rte_mempool *pool[PW_WORKERS_MAX]; /* of queue i, both directions: see README.md */
};

/* Mbufs of a queue whose worker may hold rx_buffer_bytes of received buffers; 0: the default. */
uint32_t pw_port_mbufs_for(uint64_t rx_buffer_bytes);

PW_MUST_USE int pw_port_open_ctl(struct pw_port *p, const struct pw_port_cfg *cfg,
                                 struct pw_text *why);
/* Frames to one multicast MAC arrive from now on, and others where the device cannot tell them apart. */
PW_MUST_USE int pw_port_join_ctl(const struct pw_port *p, const uint8_t mac[6]);
/* Stops and closes the device and frees the pools. Every mbuf must be back or forgotten. */
void pw_port_close_ctl(struct pw_port *p);

struct pw_port_named {
    const struct pw_port *port;
    const char *name; /* value of the label port */
};
/* Counters of n ports as Prometheus text: pyrowire_nic_port_*. */
void pw_port_metrics_ctl(const struct pw_port_named *port, uint32_t n, struct pw_text *out);

#endif
