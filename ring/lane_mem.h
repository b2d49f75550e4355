/* ring/lane_mem.h - where a lane's bytes come from.
 *
 * Purpose  the seam between lanes and EAL: hugepage memory in the appliance, plain pages in unit tests
 *          and tools that run without EAL.
 * Owner    the lane that asked; given back with the same struct.
 * Context  control thread only.
 * Units    bytes; memory is zeroed and aligned to a cache line pair.
 * Errors   PW_ENOMEM.
 * Limits   -
 */
#ifndef PW_RING_LANE_MEM_H
#define PW_RING_LANE_MEM_H

#include "base/err.h"
#include "base/types.h"

enum { PW_LANE_MEM_ALIGN = 128 };

struct pw_lane_mem {
    uint8_t *ptr;
    size_t bytes;
    bool from_eal;
};

PW_MUST_USE int pw_lane_mem_take_ctl(struct pw_lane_mem *m, size_t bytes, int socket);
void pw_lane_mem_give_ctl(struct pw_lane_mem *m);

#endif
