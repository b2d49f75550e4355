/* ring/lane_msg.h - what travels on the lanes between distributor and ingester.
 *
 * Purpose  the two rooms may not include one another; this is the shape both know.
 * Owner    the producer of the lane writes, the consumer reads in place until it releases.
 * Context  hot.
 * Units    -
 * Errors   status of a completion is 0 or a negative enum pw_err.
 * Limits   a record that was finished in place, or is above PW_LANE_INLINE_BYTES_MAX, travels as a pointer
 *          into the producer's bulk pool; the producer takes it back when the completion arrives.
 */
#ifndef PW_RING_LANE_MSG_H
#define PW_RING_LANE_MSG_H

#include "base/err.h"
#include "base/limits.h"
#include "base/types.h"

enum pw_lane_type {
    PW_LANE_TYPE_PUSH =
        1, /* distributor -> ingester: struct pw_lane_push, then the record inline */
    PW_LANE_TYPE_DONE = 2, /* ingester -> distributor: struct pw_lane_done */
};

struct pw_lane_push {
    uint64_t slot;    /* the producer's completion slot, given back unchanged */
    const void *bulk; /* NULL: the record follows this header; else where it lies */
    uint64_t bulk_bytes;
    uint64_t since_tsc; /* when its request came; 0: not known. The inline record is 16-aligned */
};

struct pw_lane_done {
    uint64_t slot;
    int32_t status; /* 0; PW_ENOMEM: head full; PW_EBUSY: the tenant's share of it; PW_ERANGE: its
                        series limit; PW_ENOSPC, PW_EIO: the disk of the log */
    uint32_t pad;
    uint64_t actual; /* for texts: with PW_ERANGE active series and limit, with PW_EBUSY bytes */
    uint64_t limit;
};

static_assert(sizeof(struct pw_lane_push) == 32, "keeps the record behind it 16-aligned");
static_assert(sizeof(struct pw_lane_done) == 32, "");

#endif
