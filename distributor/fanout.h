/* distributor/fanout.h - records out to ingester cores, completions back, one answer per request.
 *
 * Purpose  what "accepted" means: every record of the request was acknowledged by its ingester core
 *          (one appliance alone; replicas come with the peer link).
 * Owner    the polling thread. A slot belongs to a request from its first record until the last
 *          completion; bulk memory of a record until its completion.
 * Context  hot.
 * Units    TSC ticks.
 * Errors   send: a reason (QUEUE_FULL, CORE_MEMORY) with nothing sent.
 * Limits   slots_max requests in flight; the bulk pool; the lanes. Nobody waits for any of them.
 */
#ifndef PW_DISTRIBUTOR_FANOUT_H
#define PW_DISTRIBUTOR_FANOUT_H

#include "base/clock.h"
#include "base/pool.h"
#include "distributor/answer.h"
#include "distributor/metrics.h"
#include "pprof/record.h"
#include "ring/lane.h"

enum { PW_SLOT_TEXT_MAX = 448 };

struct pw_slot {
    uint64_t start_tsc;
    uint64_t deadline_tsc;
    struct pw_answer_to to;
    struct pw_metrics_tenant *stats;
    uint64_t bytes;      /* of the request's profiles, for discard counters */
    uint32_t pending;    /* records without completion */
    uint32_t next, prev; /* list of slots in flight; index + 1 */
    bool open;           /* the request is still being processed */
    bool answered;
    enum pw_reason reason; /* NONE: success so far */
    uint32_t index;
    uint32_t text_len;
    uint32_t text_bulk; /* PW_BULK_NONE: the text is below */
    uint32_t building;  /* bulk memory of a record being written; PW_BULK_NONE: none */
    uint8_t text[PW_SLOT_TEXT_MAX];
};

struct pw_fanout {
    struct pw_clock clock;
    struct pw_lane *const *out;
    struct pw_lane *const *back;
    uint32_t cores;
    struct pw_pool slots;
    struct pw_bulk bulk;
    struct pw_answerer answerer;
    struct pw_metrics *metrics;
    uint32_t first;        /* of the slots in flight; index + 1 */
    uint64_t deadline_tsc; /* no slot is due before; UINT64_MAX: none in flight */
    uint64_t dirty[1];     /* lanes with records not yet flushed; bit per core */
};

struct pw_fanout_cfg {
    struct pw_clock clock;
    struct pw_lane *const *out;
    struct pw_lane *const *back;
    uint32_t cores;
    uint32_t slots_max;
    size_t bulk_bytes;
    struct pw_scratch *scratch;
    struct pw_metrics *metrics;
};

PW_MUST_USE int pw_fanout_init_ctl(struct pw_fanout *f, const struct pw_fanout_cfg *cfg);
void pw_fanout_fini_ctl(struct pw_fanout *f);

/* A slot for a request at work, or NULL when all are in use. */
struct pw_slot *pw_fanout_open(struct pw_fanout *f, const struct pw_answer_to *to,
                               struct pw_metrics_tenant *stats, uint64_t now_tsc);
/* Writes one record straight into the lane of core, or into the bulk pool: there with checkpoints. */
PW_MUST_USE enum pw_reason pw_fanout_send(struct pw_fanout *f, struct pw_slot *slot, uint32_t core,
                                          const struct pw_record_source *src);
/* The request failed in part: what is answered once the rest is settled. Copies text. */
void pw_fanout_fail(struct pw_fanout *f, struct pw_slot *slot, enum pw_reason reason,
                    uint32_t index, struct pw_slice text);
/* No more records follow: publishes them, answers at once when none is pending. deadline: in ticks. */
void pw_fanout_close(struct pw_fanout *f, struct pw_slot *slot, uint64_t deadline_tsc);

/* Nobody will answer the request: what of it is on its way is stored all the same. */
void pw_fanout_abandon(struct pw_fanout *f, struct pw_slot *slot);

/* Completions and deadlines; returns how many of both. */
uint32_t pw_fanout_poll(struct pw_fanout *f, uint64_t now_tsc);
static inline uint32_t
pw_fanout_in_flight(const struct pw_fanout *f)
{
    return pw_pool_used(&f->slots);
}

#endif
