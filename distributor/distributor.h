/* distributor/distributor.h - the write path on one polling thread: a push request in, records out,
 * one reply when every owner has acknowledged.
 *
 * Purpose  the routes /push.v1.PusherService/Push, /ingest and /pyroscope/ingest.
 * Owner    one struct pw_distributor per I/O worker (and one for the control thread's listener); only
 *          that thread calls it. Lanes are borrowed.
 * Context  hot except *_ctl.
 * Units    -
 * Errors   every refusal is answered through pw_http_reply, counted under its reason (reason.def) and
 *          logged (rate limited).
 * Limits   slots_max requests in flight; scratch_bytes for one profile at work; bulk_bytes for large
 *          records in flight. Work that lasts longer than slice_us goes on in later polls; PW_DESKS requests
 *          are at work at once, others wait (base/limits.h).
 */
#ifndef PW_DISTRIBUTOR_DISTRIBUTOR_H
#define PW_DISTRIBUTOR_DISTRIBUTOR_H

#include "base/clock.h"
#include "dataplane/http_app.h"
#include "distributor/limits.h"
#include "ring/lane.h"
#include "ring/pressure.h"

#include <stdatomic.h>

struct pw_distributor;
struct pw_owners;     /* distributor/owners.h */
struct pw_owner_link; /* the same */
struct pw_link_from;  /* dataplane/peer_link.h */
struct pw_rate_table; /* distributor/rate.h */

struct pw_distributor_cfg {
    struct pw_clock clock;
    uint64_t hash_key;    /* the process-wide secret of interning */
    uint64_t random_seed; /* of this worker's UUIDs: from getrandom at start */
    bool multitenancy;
    uint32_t slots_max;
    size_t scratch_bytes; /* of each desk: address space, touched as it is used */
    uint32_t slice_us;    /* work is interrupted after it; 0: it runs to its end in one go */
    uint32_t busy_us;     /* the same while many wait; 0: slice_us */
    uint32_t turn_us;     /* no other begins in a turn in which both would take longer; 0: slice_us */
    uint64_t (*work_clock)(void *arg); /* tests: asked by work instead of the TSC; NULL otherwise */
    void *work_clock_arg;
    size_t bulk_bytes;
    uint32_t replication_factor;               /* 0: 1; of a ring that is known, its view's */
    uint32_t push_timeout_ms;                  /* that an owner has to acknowledge; 0: 5000 */
    uint32_t ingesters_count;                  /* 0: owners are elsewhere */
    struct pw_lane *const *out;                /* [ingesters_count], to ingester i */
    struct pw_lane *const *back;               /* [ingesters_count], completions from ingester i */
    const struct pw_pressure *const *pressure; /* [ingesters_count]; NULL: no tenant is slowed */
    _Atomic(const struct pw_overrides *) *overrides; /* current snapshot (acquire per request) */
    struct pw_http_server
        *http; /* where replies go; may be set later with pw_distributor_bind_http_ctl */
    /* Token buckets shared by all workers, so that a tenant's rate is one of the appliance; borrowed.
     * NULL: this distributor has its own. */
    struct pw_rate_table *rates;
};

PW_MUST_USE int pw_distributor_create_ctl(struct pw_distributor **d,
                                          const struct pw_distributor_cfg *cfg);
void pw_distributor_destroy_ctl(struct pw_distributor *d);
void pw_distributor_bind_http_ctl(struct pw_distributor *d, struct pw_http_server *http);

/* True when path is one of ours (then use the calls below with the same request). */
bool pw_distributor_owns_path(struct pw_slice path);
/* The struct pw_http_app callbacks for our paths. */
void pw_distributor_head(struct pw_distributor *d, const struct pw_http_request *req,
                         struct pw_http_verdict *v);
void pw_distributor_request(struct pw_distributor *d, const struct pw_http_request *req);
void pw_distributor_body_too_large(struct pw_distributor *d, const struct pw_http_request *req,
                                   uint64_t bytes_read);
void pw_distributor_abandoned(struct pw_distributor *d, uint64_t conn);

/* Whether the body of a push that waits under this key (struct pw_http_verdict) has to wait on. */
bool pw_distributor_pressed(const struct pw_distributor *d, uint64_t key);

/* --- Replication (distributor/replicate.h, replica.h); all on the polling thread but _ctl ----------- */

void pw_distributor_bind_link_ctl(struct pw_distributor *d, const struct pw_owner_link *link);
/* Whose what is from now on; borrowed until the next. NULL: everything is ours, or nobody knows yet, when
 * there is more than one replica or no ingester here: then pushes are refused. */
void pw_distributor_set_owners(struct pw_distributor *d, const struct pw_owners *owners);
/* on_done and on_request of the link. */
void pw_distributor_link_done(struct pw_distributor *d, uint64_t cookie, int status,
                              struct pw_slice text);
void pw_distributor_link_request(struct pw_distributor *d, struct pw_link_from from,
                                 struct pw_slice message);

/* struct pw_poller functions. _work: what waits for a desk or is parked on one; before the ingesters, so that what
 * it sends is answered in the same turn. _answers: completions from the ingesters, deadlines (push timeout 5 s).
 * pw_distributor_poll: both, for who has no ingester on his loop. */
uint32_t pw_distributor_poll_work(void *ctx, uint64_t now_tsc);
uint32_t pw_distributor_poll_answers(void *ctx, uint64_t now_tsc);
uint32_t pw_distributor_poll(void *ctx, uint64_t now_tsc);
/* rest_us of all of them: ingester loops ring; only the deadlines come without. */
uint32_t pw_distributor_rest_us(void *ctx);
/* Whether a request at work reads these overrides; others that begin will not, once they were replaced. Any
 * thread. */
bool pw_distributor_uses(const struct pw_distributor *d, const struct pw_overrides *o);
/* Requests at work or waiting for an ingester: zero when drained. */
uint32_t pw_distributor_in_flight(const struct pw_distributor *d);
/* Prometheus text of n distributors, per reason and tenant, names of write-path.md 7. */
void pw_distributor_metrics(struct pw_distributor *const *d, uint32_t n, struct pw_text *t);

#endif
