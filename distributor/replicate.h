/* distributor/replicate.h - one record to all of its owners, and their votes back.
 *
 * Purpose  the sending half of replication: the record lies in bulk memory once, local cores and peers read
 *          it from there, and it goes back when the last of them is done with it.
 * Owner    the polling thread; a part of struct pw_fanout. An item holds its bulk memory and its place in
 *          the slot of the request until its quorum is decided; its memory until nobody reads it.
 * Context  hot, except _ctl.
 * Units    TSC ticks.
 * Errors   send: a reason with text, nothing was sent. What fails later is the slot's (pw_fanout_fail).
 * Limits   one item per 16 KiB of bulk memory. An owner that has not answered push_timeout after the send is
 *          cancelled and has failed, so a slow peer holds memory for that long at most; one that has more
 *          in flight than the link allows, or is down, has failed at once.
 */
#ifndef PW_DISTRIBUTOR_REPLICATE_H
#define PW_DISTRIBUTOR_REPLICATE_H

#include "base/pool.h"
#include "distributor/connect.h"
#include "distributor/owners.h"
#include "distributor/replica_msg.h"
#include "distributor/shards.h"
#include "pprof/record.h"

struct pw_fanout;
struct pw_slot;
struct pw_lane_done;

struct pw_item {
    struct pw_quorum quorum;
    uint8_t peer[PW_QUORUM_TARGETS_MAX]; /* of each target */
    uint8_t calling;                     /* bit per target: its call is in flight */
    uint8_t local;       /* the target that is our own lanes, while they read; or NONE */
    bool aged;           /* taken out of the list below */
    uint32_t next, prev; /* by age, oldest first; index + 1 */
    uint32_t slot;       /* until it is decided */
    uint32_t bulk;
    uint64_t expires_tsc;
    struct pw_replica_head head;
};

/* Written by the polling thread, read by any: skew is fine. */
struct pw_replicate_stats {
    uint64_t items, met, lost, expired;
    uint64_t calls, call_bytes, acks;
    uint64_t down, full, unknown, large; /* owners that failed at once, by cause */
    uint64_t died, cancelled;            /* owners that failed later */
    uint64_t refused[PW_REPLICA_STATUSES];
    uint64_t late; /* answers after the decision */
};

struct pw_replicate {
    const struct pw_owners *owners; /* NULL: alone */
    struct pw_owner_link link;
    bool alone;
    struct pw_pool items;
    uint32_t first, last; /* by age; index + 1 */
    uint64_t timeout_tsc;
    struct pw_shards shards;
    struct pw_replicate_stats stats;
};

PW_MUST_USE int pw_replicate_init_ctl(struct pw_replicate *r, uint32_t items_max,
                                      uint64_t timeout_tsc);
void pw_replicate_fini_ctl(struct pw_replicate *r);

struct pw_replicate_order {
    const struct pw_record_source *src;
    uint32_t token;      /* of any series of src: all have the same owners */
    uint32_t core;       /* of ours, when we are one */
    uint32_t shard_size; /* the tenant's ingestion_tenant_shard_size */
    int64_t now_s;
};

/* Who has to have what has this token, of the tenant's shard; as pw_owners_resolve. */
PW_MUST_USE int pw_replicate_owners(struct pw_replicate *r, struct pw_slice tenant,
                                    uint32_t shard_size, uint32_t token, int64_t now_s,
                                    struct pw_targets *to, struct pw_text *why);
/* Builds the record, with checkpoints, and sends it. */
PW_MUST_USE enum pw_reason pw_replicate_send(struct pw_fanout *f, struct pw_slot *slot,
                                             const struct pw_replicate_order *o,
                                             struct pw_text *why);
/* The same with a record that was finished in bulk memory, which is taken in any case. */
PW_MUST_USE enum pw_reason pw_replicate_send_placed(struct pw_fanout *f, struct pw_slot *slot,
                                                    const struct pw_replicate_order *o,
                                                    uint32_t handle, size_t bytes,
                                                    struct pw_text *why);
/* on_done of the link. */
void pw_replicate_called(struct pw_fanout *f, uint64_t cookie, int status, struct pw_slice text);
/* A completion from one of our lanes. */
void pw_replicate_stored(struct pw_fanout *f, uint32_t item, const struct pw_lane_done *done);
/* Gives up on what is too old; returns how many items. */
uint32_t pw_replicate_expire(struct pw_fanout *f, uint64_t now_tsc);
/* Prometheus text of both halves, of n threads. */
void pw_replicate_metrics(const struct pw_fanout *const *f, uint32_t n, struct pw_text *t);
static inline uint32_t
pw_replicate_in_flight(const struct pw_replicate *r)
{
    return pw_pool_used(&r->items);
}

#endif
