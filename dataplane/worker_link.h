/* dataplane/worker_link.h - a peer link over a worker's queue.
 *
 * Purpose  frames for the link's UDP ports go to it, its datagrams leave with the worker's frames.
 * Owner    the worker's lcore; the binding lives as long as both.
 * Context  bind: control thread, before the worker polls.
 * Units    -
 * Errors   PW_EINVAL: the worker has no address; PW_EMSGSIZE: the link's datagrams exceed its MTU.
 * Limits   one link a worker.
 */
#ifndef PW_DATAPLANE_WORKER_LINK_H
#define PW_DATAPLANE_WORKER_LINK_H

#include "dataplane/peer_link_io.h"

#include <stdatomic.h>

struct pw_worker;

struct pw_worker_link {
    struct pw_link *link;
    struct pw_worker *worker;
    uint16_t port;
    atomic_bool leave; /* set by the control thread: the link says good-bye in the next turn */
    bool left;
};

/* Takes datagrams to port .. port + ports - 1, which are the link's local_port and local_ports. */
PW_MUST_USE int pw_worker_link_bind_ctl(struct pw_worker_link *b, struct pw_worker *w,
                                        struct pw_link *link, uint16_t port, uint16_t ports);
#endif
