/* tests/support/fake_port.h - a NIC, a clock and a peer for tests of the packet side.
 *
 * Purpose  frames in, frames out, time by hand: a worker without a port.
 * Owner    the test.
 * Context  tests. EAL starts without hugepages, devices or files.
 * Units    addresses in host byte order; ms.
 * Errors   a failed set-up ends the program.
 * Limits   PW_FAKE_FRAMES_MAX frames waiting on either side.
 */
#ifndef PW_TESTS_FAKE_PORT_H
#define PW_TESTS_FAKE_PORT_H

#include "dataplane/tcp_options.h"
#include "dataplane/worker.h"

#include <rte_mbuf.h>

enum {
    PW_FAKE_FRAMES_MAX = 4096,
    PW_FAKE_TSC_HZ = 1000000000, /* a tick of the virtual clock is a nanosecond */
    PW_FAKE_PEER_IP = 0x0A000002,
    PW_FAKE_OUR_IP = 0x0A000001,
    PW_FAKE_PORT = 4040,
};

extern const uint8_t pw_fake_our_mac[6];
extern const uint8_t pw_fake_peer_mac[6];

struct pw_fake_port {
    struct rte_mempool *pool;
    struct pw_port_io io;
    uint64_t now_tsc;
    struct rte_mbuf *rx[PW_FAKE_FRAMES_MAX];
    uint32_t rx_count;
    struct rte_mbuf *tx[PW_FAKE_FRAMES_MAX];
    uint64_t tx_tsc[PW_FAKE_FRAMES_MAX];
    uint32_t tx_count;
    uint32_t tx_room; /* frames the port takes before it says full; UINT32_MAX: all */
};

/* A TCP segment as a test says it; what came out is read into the same. With v6 the addresses are
 * those of pw_fake_ip6. */
struct pw_fake_seg {
    bool v6;
    uint8_t ext_first; /* IPv6: Next Header of the fixed header when ext_len is not 0 */
    uint8_t ext[64];   /* IPv6: extension headers, as bytes */
    uint32_t ext_len;
    uint32_t saddr;
    uint32_t daddr;
    uint16_t sport;
    uint16_t dport;
    uint32_t seq;
    uint32_t ack;
    uint16_t wnd;
    uint8_t flags;
    struct pw_tcp_options opt;
    uint8_t raw_opt[40]; /* instead of opt when raw_opt_len is not 0 */
    uint32_t raw_opt_len;
    const uint8_t *payload;
    uint32_t len;
    bool df;      /* what came out: IPv4 may not be fragmented */
    uint32_t pad; /* Ethernet padding behind the packet */
    bool bad_ip_sum;
    bool bad_tcp_sum;
};

/* fd00:: and the 32 bits of an IPv4 address of the tests. */
void pw_fake_ip6(uint32_t ip4, uint8_t out[16]);

/* Starts EAL once; 77 from main is right when it returns false. */
bool pw_fake_eal_init(void);
void pw_fake_port_init(struct pw_fake_port *p, uint32_t mbufs);
/* Frees what waits; the number of mbufs somebody still holds. */
uint32_t pw_fake_port_fini(struct pw_fake_port *p);
/* A worker configuration over p: our addresses of both families are ours, clock at 1 GHz, and no
 * connection is accepted. */
struct pw_worker_cfg pw_fake_worker_cfg(struct pw_fake_port *p);

/* What a test of the packet side begins with. */
struct pw_fake_worker {
    struct pw_fake_port port;
    struct pw_worker *w;
};

/* A worker by it; which of the two addresses are its own. NULL: no room. */
struct pw_worker *pw_fake_worker_new(struct pw_fake_port *p, bool ip4_is_ours, bool ip6_is_ours);
/* cmocka's setup: *state is a calloc of such a struct, both addresses its own. */
int pw_fake_worker_setup(void **state);
/* cmocka's teardown of a struct that begins with one, from calloc; not 0 when an mbuf leaked. */
int pw_fake_worker_teardown(void **state);

/* Gives m to the worker at its next poll. */
void pw_fake_rx(struct pw_fake_port *p, struct rte_mbuf *m);
/* A frame of raw bytes. */
struct rte_mbuf *pw_fake_frame(struct pw_fake_port *p, const void *bytes, uint32_t len);
struct rte_mbuf *pw_fake_segment(struct pw_fake_port *p, const struct pw_fake_seg *s);
/* One rx poll and one timer poll at p->now_tsc. */
void pw_fake_poll(struct pw_fake_port *p, struct pw_worker *w);
/* ms milliseconds, polled each. */
void pw_fake_run(struct pw_fake_port *p, struct pw_worker *w, uint32_t ms);
/* The oldest frame that came out; NULL: none. Gives m. */
struct rte_mbuf *pw_fake_tx_pop(struct pw_fake_port *p, uint64_t *tsc);
/* Checks headers and checksums of a TCP frame and reads it; false with *why set. payload is
 * borrowed. */
bool pw_fake_read(const struct rte_mbuf *m, struct pw_fake_seg *s, const char **why);

#endif
