/* tests/support/real_port.h - EAL's one port for a program with one worker, and a wire that loses frames.
 *
 * Purpose  what perf/link_peer.c and tests/dataplane/tcp_echo_main.c do before they differ.
 * Owner    the program.
 * Context  one thread; EAL has one port.
 * Units    frames; a loss in 10,000.
 * Errors   NULL or false, and a line to stderr.
 * Limits   one queue pair.
 */
#ifndef PW_TESTS_REAL_PORT_H
#define PW_TESTS_REAL_PORT_H

#include "dataplane/worker.h"

struct pw_lossy_port {
    uint32_t per_10000; /* frames that are lost, each way */
    uint64_t state;     /* of the rule; not 0 */
    uint64_t dropped;
};

/* Starts port 0; its mempool, of 8191 buffers. */
struct rte_mempool *pw_real_port_start(const char *name, uint16_t desc);

/* What a worker needs of the port, a secret, and ADDRESS/PREFIX of either family, which is ours alone. The
 * text is written to. */
bool pw_real_port_worker_cfg(struct pw_worker_cfg *cfg, struct rte_mempool *pool, char *address);

/* Of port 0; l stays the caller's and has to live as long. */
struct pw_port_io pw_lossy_port_io(struct pw_lossy_port *l);

#endif
