/* ring/lane.h - a one-way queue of variable-length records between exactly two lcores.
 *
 * Purpose  hand profiles from one I/O worker to one ingester, and completions back. One lane per
 *          ordered pair; carries bytes, never function pointers. Shape of Aeron's one-to-one ring
 *          buffer and the kernel's BPF ring buffer: a record is contiguous, a wrap is padded.
 * Owner    the producer thread writes `head`, the consumer thread writes `tail`; nobody else writes.
 * Context  reserve/commit/flush, pop/release: hot, never wait. create/destroy: control thread, before
 *          launch and after join.
 * Units    bytes; every record starts 16-aligned (payload too); capacity a power of two.
 * Errors   reserve returns NULL when full, pop returns a short count when empty: no failures.
 * Limits   PW_LANE_BYTES_MIN..MAX; one record at most a quarter of the lane (base/limits.h).
 */
#ifndef PW_RING_LANE_H
#define PW_RING_LANE_H

#include "base/err.h"
#include "base/types.h"

struct pw_lane;

struct pw_lane_record {
    uint32_t type;  /* of the producer's choosing, PW_LANE_TYPE_* of the doors that use it; not 0 */
    uint32_t bytes; /* as reserved */
    const void *data;
};

/* Gives a lane in hugepage memory (rte_malloc on `socket`, or plain memory when EAL runs without).
 * 0, PW_EINVAL (bytes not a power of two or outside the limits), PW_ENOMEM. */
PW_MUST_USE int pw_lane_create_ctl(struct pw_lane **lane, size_t bytes, int socket);
void pw_lane_destroy_ctl(struct pw_lane *lane);

/* Producer. Gives room for one record of at most `bytes`, contiguous; NULL when the lane is full now.
 * At most one reservation is open at a time; it is not visible until commit and flush. */
void *pw_lane_reserve(struct pw_lane *lane, uint32_t bytes);
/* Producer. Closes the open reservation with its final size (<= reserved). */
void pw_lane_commit(struct pw_lane *lane, uint32_t type, uint32_t bytes);
/* Producer. Drops the open reservation. */
void pw_lane_cancel(struct pw_lane *lane);
/* Producer. Publishes everything committed so far with one release store. */
void pw_lane_flush(struct pw_lane *lane);

/* Consumer. Up to n records in order, borrowed until pw_lane_release. */
PW_MUST_USE uint32_t pw_lane_pop_burst(struct pw_lane *lane, struct pw_lane_record *rec, uint32_t n);
/* Consumer. Gives the first n popped, not yet released records back to the producer. */
void pw_lane_release(struct pw_lane *lane, uint32_t n);

/* Any thread. The largest record that ever fits; reserve gives NULL for more, and always will. */
uint32_t pw_lane_record_bytes_max(const struct pw_lane *lane);
/* Any thread, approximate: bytes published and not released. */
size_t pw_lane_used(const struct pw_lane *lane);
size_t pw_lane_capacity(const struct pw_lane *lane);

/* Tests: makes an unused lane begin at `index` instead of 0, such as just below 2^64. */
void pw_lane_start_at_fortest(struct pw_lane *lane, uint64_t index);

#endif
