/* distributor/rate.h - token buckets of tenants, shared by all polling threads without a lock.
 *
 * Purpose  ingestion_rate_mb and ingestion_burst_size_mb of write-path.md 6: one bucket a tenant and
 *          appliance, whichever worker a request arrives at.
 * Owner    the table is shared; every bucket is one atomic word (GCRA: the theoretical arrival time),
 *          which is a token bucket turned inside out: refused requests take nothing.
 * Context  take: hot; at most PW_RATE_TRIES compare-and-swaps. create/destroy: control thread.
 * Units    bytes, bytes per second; time from the TSC in 1/64 ns.
 * Errors   take returns false when the bucket has not enough.
 * Limits   PW_RATE_TENANTS_MAX tenants; those beyond share one bucket per hash slot they probe last.
 */
#ifndef PW_DISTRIBUTOR_RATE_H
#define PW_DISTRIBUTOR_RATE_H

#include "base/err.h"
#include "base/types.h"

enum { PW_RATE_TENANTS_MAX = 4096, PW_RATE_PROBES = 64, PW_RATE_TRIES = 16 };

struct pw_rate_table;

PW_MUST_USE int pw_rate_create_ctl(struct pw_rate_table **t);
void pw_rate_destroy_ctl(struct pw_rate_table *t);

/* A tenant's rate is one of all distributors together: each gives its share (write-path.md 6, "rate limit"; the burst
 * is not divided). Any thread; 0 is taken as 1, which it is at first. */
void pw_rate_set_sharers(struct pw_rate_table *t, uint32_t distributors);
uint32_t pw_rate_sharers(const struct pw_rate_table *t);

struct pw_rate_ask {
    uint64_t tenant_hash;    /* of the tenant's name, never 0 by custom; 0 is taken as 1 */
    double rate_bytes_per_s; /* the share */
    uint64_t burst_bytes;
    uint64_t bytes;
    uint64_t now_ns;
};

/* Any polling thread. True: bytes were taken. More than the burst never passes. */
PW_MUST_USE bool pw_rate_take(struct pw_rate_table *t, const struct pw_rate_ask *ask);

#endif
