/* ingester/ack.h - completions that wait for the sync of their records.
 *
 * Purpose  one queue a lane: records leave the worker's lane at once, their completions follow when the
 *          log has settled them, in the order of the lane.
 * Owner    the ingester core.
 * Context  hot; create and destroy: control thread.
 * Units    entries.
 * Errors   put says no when the queue is full: then nothing more is taken from that lane.
 * Limits   PW_ACKS_MAX a lane.
 */
#ifndef PW_INGESTER_ACK_H
#define PW_INGESTER_ACK_H

#include "base/err.h"
#include "ingester/wal.h"
#include "ring/lane.h"
#include "ring/lane_msg.h"

enum { PW_ACKS_MAX = 4096 }; /* a power of two; a worker has as many requests in flight */

struct pw_ack {
    uint64_t sequence;
    struct pw_lane_done done;
};

struct pw_acks { /* free-running indices, masked on access */
    struct pw_ack *entry;
    uint32_t sent, settled, end;
};

PW_MUST_USE int pw_acks_create_ctl(struct pw_acks *a);
void pw_acks_destroy_ctl(struct pw_acks *a);

static inline bool
pw_acks_full(const struct pw_acks *a)
{
    return a->end - a->sent == PW_ACKS_MAX;
}

void pw_acks_put(struct pw_acks *a, uint64_t sequence, const struct pw_lane_done *done);
/* Every entry up to that sequence has its verdict; how many got a bad one. */
uint32_t pw_acks_settle(struct pw_acks *a, const struct pw_wal_settled *s);
/* Settled completions into the lane, while there is room: how many. */
PW_MUST_USE uint32_t pw_acks_send(struct pw_acks *a, struct pw_lane *out);

#endif
