/* distributor/replica.h - what a peer sends to be stored: into our lanes, and the answer when it is.
 *
 * Purpose  the receiving half of replication. A message is copied, checked, and each of its series goes to
 *          the ingester core of its token; never to another appliance. It is answered when every core has
 *          completed its part, which is after the log's sync.
 * Owner    the polling thread; a part of struct pw_fanout, whose lanes and bulk memory it shares.
 * Context  hot, except _ctl.
 * Units    -
 * Errors   what cannot be taken is answered at once with its status, and counted.
 * Limits   requests_max at work; a message as large as the link's. The check of one takes about 0.1 us a
 *          KiB and has no checkpoints.
 */
#ifndef PW_DISTRIBUTOR_REPLICA_H
#define PW_DISTRIBUTOR_REPLICA_H

#include "base/pool.h"
#include "base/scratch.h"
#include "distributor/owners.h"
#include "distributor/replica_msg.h"

struct pw_fanout;
struct pw_lane_done;

struct pw_replica {
    struct pw_pool requests;
    struct pw_scratch *scratch; /* free during a call */
    uint64_t answered[PW_REPLICA_STATUSES];
    uint64_t bytes;
};

PW_MUST_USE int pw_replica_init_ctl(struct pw_replica *r, uint32_t requests_max,
                                    struct pw_scratch *scratch);
void pw_replica_fini_ctl(struct pw_replica *r);

/* on_request of the link. */
void pw_replica_request(struct pw_fanout *f, struct pw_link_from from, struct pw_slice message);
/* A completion from one of our lanes; the bulk memory is free again. */
void pw_replica_stored(struct pw_fanout *f, uint32_t request, const struct pw_lane_done *done);
static inline uint32_t
pw_replica_in_flight(const struct pw_replica *r)
{
    return pw_pool_used(&r->requests);
}

#endif
