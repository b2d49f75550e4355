/* ingester/ingester.h - the poller of one ingester core: lanes in, head, completions out.
 *
 * Purpose  take records from every I/O worker's lane, append them to the head and to the log, answer each
 *          with one completion on the reverse lane of that worker, when the log has synced it.
 * Owner    one lcore polls it. Lanes are borrowed for its life.
 * Context  poll: hot. create/destroy: control thread.
 * Units    -
 * Errors   a full reverse lane stops taking records from that worker until there is room (nobody
 *          spins, nothing is dropped). So does a full log buffer, for all workers.
 * Limits   PW_WORKERS_MAX lanes, PW_BURST_MAX records a lane and turn.
 */
#ifndef PW_INGESTER_INGESTER_H
#define PW_INGESTER_INGESTER_H

#include "ingester/catalog.h"
#include "ingester/head_set.h"
#include "ingester/wal.h"
#include "ring/lane.h"

struct pw_ingester;

struct pw_ingester_cfg {
    struct pw_head_set *heads; /* borrowed; this ingester is their writer */
    uint32_t lanes_count;
    struct pw_lane *const *in;  /* [lanes_count], from worker w */
    struct pw_lane *const *out; /* [lanes_count], to worker w */
    struct pw_wal *wal;         /* borrowed; NULL: nothing survives this process */
    /* How many series of the tenant may be active in this core, asked for every record; 0 none. NULL: none of any. */
    uint64_t (*series_limit)(void *ctx, struct pw_slice tenant);
    void *series_limit_ctx;
    /* A push whose request came so long ago does not wait for company in the log. */
    uint64_t old_tsc;
};

struct pw_ingester_stats {
    uint64_t records, refused_head_full, refused_tenant_share, refused_series_limit, malformed;
    uint64_t not_durable; /* refused, or failed, because of the log's disk */
    uint64_t record_bytes;
};

PW_MUST_USE int pw_ingester_create_ctl(struct pw_ingester **ing, const struct pw_ingester_cfg *cfg);
void pw_ingester_destroy_ctl(struct pw_ingester *ing);
/* struct pw_poller function; ctx is the struct pw_ingester. Returns records taken. */
uint32_t pw_ingester_poll(void *ctx, uint64_t now_tsc);
/* rest_us of that poller: records come with a bell. */
uint32_t pw_ingester_rest_us(void *ctx);
void pw_ingester_stats(const struct pw_ingester *ing, struct pw_ingester_stats *st);
/* Prometheus text of n ingesters and of their heads. */
void pw_ingester_metrics(struct pw_ingester *const *ing, uint32_t n,
                         const struct pw_catalog_view *heads, struct pw_text *t);

#endif
