/* distributor/fanout.h - records out to ingester cores, completions back, one answer per request.
 *
 * Purpose  what "accepted" means: every record of the request was acknowledged by its ingester core (one
 *          appliance alone), or by a quorum of its owners (replicate.h).
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
#include "distributor/replica.h"
#include "distributor/replicate.h"
#include "pprof/record.h"
#include "ring/lane.h"

enum { PW_SLOT_TEXT_MAX = 448 };

/* What a lane message carries back to us: whose it is, and bulk memory to give back with it.
 *
 *     63           32 31  30 29       0
 *    +---------------+------+----------+
 *    | bulk handle   | kind | index    |
 *    +---------------+------+----------+
 */
enum pw_cookie_kind {
    PW_COOKIE_SLOT,    /* of a request: struct pw_slot */
    PW_COOKIE_ITEM,    /* of a replicated record: struct pw_item, which has its own bulk memory */
    PW_COOKIE_REPLICA, /* of a peer's request: replica.h */
};
enum { PW_COOKIE_INDEX_BITS = 30 };

static inline uint64_t
pw_fanout_cookie(enum pw_cookie_kind kind, uint32_t index, uint32_t bulk)
{
    return (uint64_t)bulk << 32 | (uint32_t)kind << PW_COOKIE_INDEX_BITS | index;
}

struct pw_slot {
    uint64_t start_tsc;
    uint64_t deadline_tsc;
    struct pw_answer_to to;
    struct pw_metrics_tenant *stats;
    uint64_t bytes;      /* of the request's profiles, for discard counters */
    uint32_t pending;    /* records without completion, items without decision */
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
    uint64_t now_tsc;      /* of the last poll */
    struct pw_replicate replicate;
    struct pw_replica replica;
};

struct pw_fanout_cfg {
    struct pw_clock clock;
    struct pw_lane *const *out;
    struct pw_lane *const *back;
    uint32_t cores;
    uint32_t slots_max;
    size_t bulk_bytes;
    uint64_t timeout_tsc; /* that an owner has to answer */
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
/* Whether send_placed would be refused now. */
bool pw_fanout_has_room(struct pw_fanout *f, uint32_t core);
/* The same with a record that was finished in bulk memory (pprof/record_place.h), which is taken in any case. */
PW_MUST_USE enum pw_reason pw_fanout_send_placed(struct pw_fanout *f, struct pw_slot *slot,
                                                 uint32_t core, uint32_t handle, size_t bytes);
/* No more records follow: publishes them, answers at once when none is pending. deadline: in ticks. */
void pw_fanout_close(struct pw_fanout *f, struct pw_slot *slot, uint64_t deadline_tsc);

/* An item of the slot is decided: NONE, or why it is lost, which is answered at once. */
void pw_fanout_item_over(struct pw_fanout *f, uint32_t slot, enum pw_reason reason,
                         struct pw_slice text);
/* The client's words for what an ingester refused. */
enum pw_reason pw_fanout_done_text(const struct pw_lane_done *done, struct pw_text *t);
/* The largest record that travels in that lane itself. */
size_t pw_fanout_inline_max(const struct pw_lane *lane);

/* Nobody will answer the request: what of it is on its way is stored all the same. */
void pw_fanout_abandon(struct pw_fanout *f, struct pw_slot *slot);

/* Completions and deadlines; returns how many of both. */
uint32_t pw_fanout_poll(struct pw_fanout *f, uint64_t now_tsc);
static inline uint32_t
pw_fanout_in_flight(const struct pw_fanout *f)
{
    return pw_pool_used(&f->slots) + pw_replicate_in_flight(&f->replicate) +
           pw_replica_in_flight(&f->replica);
}

#endif
