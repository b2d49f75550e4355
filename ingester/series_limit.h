/* ingester/series_limit.h - how many series of a tenant may be active in one ingester core.
 *
 * Purpose  the part of a limit that counts for the cluster which falls to one core (contract write-path.md 6).
 * Owner    pure.
 * Context  hot.
 * Units    series.
 * Errors   -
 * Limits   -
 *
 * Of an ingester: the smaller one of the local limit and the global one divided by ingesters times replication factor, as
 * stock; ingesters are those that the tenant's profiles go to. A core of several gets its part and four standard deviations of what
 * chance gives it more, so that a tenant below the limit is not refused because its series are not spread evenly.
 */
#ifndef PW_INGESTER_SERIES_LIMIT_H
#define PW_INGESTER_SERIES_LIMIT_H

#include "base/types.h"

struct pw_series_limit_in {
    uint32_t local, global; /* of the tenant; 0 none */
    uint32_t shard_size;    /* of the tenant; 0: all ingesters take its profiles */
    uint32_t
        ingesters; /* in the ring, ACTIVE and heard of; 0: not known yet, and so nothing is divided */
    uint32_t replication_factor;
    uint32_t cores; /* of this ingester */
};

/* 0: none. */
uint64_t pw_series_limit(const struct pw_series_limit_in *in);

#endif
