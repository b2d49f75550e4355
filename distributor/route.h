/* distributor/route.h - which appliances and which of our ingester cores get which series of a profile.
 *
 * Purpose  v1 token of tenant and labels to its owners in the ring and to one of the local cores (contract
 *          write-path.md 5.1, 5.2); all groups of one profile that go the same way travel in one record.
 * Owner    everything in the request's scratch.
 * Context  hot.
 * Units    bytes.
 * Errors   a reason, with the text in the work's err; what was sent before stays sent.
 * Limits   PW_INGESTERS_MAX cores.
 */
#ifndef PW_DISTRIBUTOR_ROUTE_H
#define PW_DISTRIBUTOR_ROUTE_H

#include "distributor/connect.h"
#include "distributor/split.h"

struct pw_work;

/* raw: what was sent, for the record of a profile that goes whole to one core; or NULL. */
PW_MUST_USE enum pw_reason pw_route(struct pw_work *w, const struct pw_profile *p,
                                    struct pw_split *split, const struct pw_record_raw *raw,
                                    uint64_t size);

#endif
