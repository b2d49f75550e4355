/* distributor/internal.h - the structs that the files of distributor/ share; nobody else includes it.
 *
 * Purpose  struct pw_distributor and the work on one request.
 * Owner    the polling thread of the distributor.
 * Context  hot.
 * Units    -
 * Errors   -
 * Limits   -
 */
#ifndef PW_DISTRIBUTOR_INTERNAL_H
#define PW_DISTRIBUTOR_INTERNAL_H

#include "base/fiber.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/scratch.h"
#include "distributor/connect.h"
#include "distributor/distributor.h"
#include "distributor/fanout.h"
#include "distributor/metrics.h"
#include "distributor/rate.h"
#include "distributor/relabel.h"
#include "distributor/waiting.h"
#include "pprof/inflate.h"
#include "pprof/profile.h"
#include "pprof/record_place.h"

#include <stdlib.h>

enum {
    PW_ERROR_TEXT_MAX = 128 << 10, /* an error text with its labels; longer ones are cut */
    PW_PUSH_TIMEOUT_MS = 5000,     /* -distributor.push.timeout */
    PW_LABELS_SLACK = 16,          /* room for the labels the distributor adds */
};

/* Where one request is worked on: what two requests at work may not share. */
struct pw_desk {
    struct pw_distributor *d;
    struct pw_fiber fiber;
    struct pw_scratch scratch;
    size_t mark; /* of scratch: the pieces of the body lie below */
    struct pw_inflater *inflater;
    struct pw_http_request req; /* with arrays of its own */
    struct pw_http_header header[PW_HTTP_HEADERS_MAX];
    uint64_t address;     /* of the peer, see pw_desks_request */
    uint64_t start_tsc;   /* when work on it began */
    uint64_t spent_tsc;   /* on it, by the clock of work */
    uint64_t guess_tsc;   /* that it will take, by its body */
    uint64_t expires_tsc; /* when nobody waits for its answer any more */
    struct pw_slot *slot; /* of a request at work that has sent a record; NULL otherwise */
    uint32_t placed;      /* bulk memory that its profile was unpacked to; PW_BULK_NONE: none */
    struct pw_record_place place;                   /* the same */
    struct pw_slice body;                           /* the gzip body there */
    _Atomic(const struct pw_overrides *) overrides; /* in use here; read by the control thread */
    size_t touched; /* bytes of scratch that are not given back; 0: PW_DESK_SCRATCH_KEEP or less */
    uint64_t touched_tsc; /* when work that needed so much began */
    bool busy;
    bool parked; /* its work goes on in later turns, and its request is held */
    bool large;  /* by its body */
};

struct pw_desks {
    struct pw_desk desk[PW_DESKS];
    uint32_t parked, next;  /* of the desks; whose turn it is */
    uint64_t slice_tsc;     /* 0: every work runs to its end */
    uint64_t busy_tsc;      /* of a slice while many wait */
    uint64_t turn_tsc;      /* no work begins or goes on in a turn when spent_tsc has reached it */
    uint64_t spent_tsc;     /* on requests since the last poll */
    uint64_t parked_tsc;    /* when one that is parked went on last, by the clock of work */
    uint64_t overdue_tsc;   /* after which one of them goes on whatever waits */
    uint64_t old_tsc;       /* and one whose request is so old, if it is an ordinary one: */
    uint64_t old_spent_tsc; /* no more was spent on it */
    bool stuck;             /* of those that wait none may have a desk before one is free */
    struct pw_waiting_lines waiting;
    size_t scratch_peak;
    uint32_t swollen; /* desks with memory to give back */
    uint64_t parked_total, slices_total, expired_total, abandoned_total;
};

struct pw_distributor {
    struct pw_distributor_cfg cfg;
    struct pw_desk front; /* for heads, refusals and the texts of answers: never parked */
    struct pw_desks desks;
    struct pw_rate_table *rates;
    bool rates_own;
    struct pw_relabel_config *relabel_default;
    struct pw_fanout fanout;
    struct pw_metrics metrics;
    struct pw_log_limit log_limit;
    uint64_t random[4]; /* xoshiro256** */
};

/* Why one profile was not stored, in the words the client gets. Stock knows failures with a Connect
 * code and ones without; the first with a code is the answer, else all of them are (write-path.md
 * 3.1). */
struct pw_failures {
    enum pw_reason reason; /* of what will be answered; PW_REASON_NONE: no failure */
    bool coded;
    uint32_t count;      /* of those without a code */
    uint32_t index;      /* of the series the coded one belongs to */
    struct pw_text text; /* of the coded one, else of all joined by "; " */
};

/* One request at work; lives on the stack of its desk. */
struct pw_work {
    struct pw_distributor *d;
    struct pw_desk *desk;
    struct pw_scratch *scratch; /* of the desk */
    uint64_t start_tsc;
    const struct pw_http_request *req;
    struct pw_answer_to to;
    struct pw_slice tenant;
    const struct pw_limits *limits;
    struct pw_metrics_tenant *stats;
    int64_t now_ns;
    struct pw_slot *slot; /* NULL until the first record is sent */
    struct pw_failures failures;
    struct pw_text err; /* of the profile at work */
};

/* --- decode.c: raw_profile to contiguous unpacked bytes (write-path.md 3.1 step 1) --- */

struct pw_decoded {
    struct pw_slice bytes;      /* in scratch, or in place */
    bool coded;                 /* of a failure: stock gives it a Connect code */
    const struct pw_slice *raw; /* the body in pieces when it was gzip; NULL */
    uint32_t raw_count;
};

/* PW_REASON_NONE, or a reason with w->err set. */
PW_MUST_USE enum pw_reason pw_decode(struct pw_work *w, const struct pw_slice *piece,
                                     uint32_t piece_count, size_t bytes, struct pw_decoded *out);
/* The same into the memory of a record, when there is some and the body says what it takes: then desk->placed holds it
 * until pw_place_drop, or until the record is finished there. */
PW_MUST_USE enum pw_reason pw_decode_placed(struct pw_work *w, const struct pw_slice *piece,
                                            uint32_t piece_count, size_t bytes,
                                            struct pw_decoded *out);
void pw_place_drop(struct pw_desk *desk);
/* Pieces as one slice: in place when it is one, else copied to scratch; false: no room. */
PW_MUST_USE bool pw_contiguous(struct pw_scratch *s, const struct pw_slice *piece, uint32_t count,
                               struct pw_slice *out);

/* --- process.c: one series through write-path.md 3.2 --- */

struct pw_series_in {
    struct pw_labels labels; /* with PW_LABELS_SLACK entries of room; changed by the call */
    struct pw_profile *profile;
    size_t raw_bytes; /* as sent */
    /* What was sent, when it is gzip and nothing but steps 5-17 shapes what becomes of it; NULL. */
    const struct pw_slice *raw;
    uint32_t raw_count;
};

/* PW_REASON_NONE: stored, on its way, or rightly dropped. Else the reason, with w->err set. */
PW_MUST_USE enum pw_reason pw_process(struct pw_work *w, struct pw_series_in *in);

/* --- work.c --- */

/* Tenant, limits and counters of the request; 0, or PW_EPERM with w->err set. */
PW_MUST_USE int pw_work_tenant(struct pw_work *w);
/* Resets the desk's scratch and fills w; false when scratch is too small even for that. */
PW_MUST_USE bool pw_work_init(struct pw_work *w, struct pw_desk *desk,
                              const struct pw_http_request *req);
void pw_work_fail(struct pw_work *w, enum pw_reason reason, bool coded, uint32_t index);
/* One logfmt line about a refused profile, rate limited. labels may be NULL. */
void pw_work_log(struct pw_work *w, enum pw_reason reason, const struct pw_labels *labels);
/* Sends the records out; answers now when nothing is awaited. */
void pw_work_finish(struct pw_work *w);
/* Version 4 UUID (RFC 9562) from the distributor's own generator. */
void pw_work_uuid(struct pw_distributor *d, uint8_t uuid[16]);
/* labels of a request plus room for what is added; false: no room. */
PW_MUST_USE bool pw_work_labels(struct pw_work *w, const struct pw_label_pair *pair, uint32_t count,
                                struct pw_labels *out);

/* --- desk.c: which request is worked on when --- */

PW_MUST_USE int pw_desks_init_ctl(struct pw_distributor *d);
void pw_desks_fini_ctl(struct pw_distributor *d);
/* A whole request of a route that has work: on a desk now, or waiting for one, or refused. */
void pw_desks_request(struct pw_distributor *d, const struct pw_http_request *req);
/* What is waiting and what was parked goes on; returns how many of them. */
uint32_t pw_desks_poll(struct pw_distributor *d, uint64_t now_tsc);
void pw_desks_abandoned(struct pw_distributor *d, uint64_t conn);
/* Requests that wait for a desk or are parked on one. */
uint32_t pw_desks_pending(const struct pw_distributor *d);
/* On the desk, before limits of o are looked at: the control thread keeps o as long. */
static inline void
pw_desk_use_overrides(struct pw_desk *k, const struct pw_overrides *o)
{
    atomic_store_explicit(&k->overrides, o, memory_order_release);
}

/* --- distributor.c --- */

/* The work on a desk's request, on its fiber. */
void pw_distributor_work(struct pw_desk *desk);
/* An answer by the request's route: code and reason of `reason`. */
void pw_distributor_refuse(struct pw_distributor *d, const struct pw_http_request *req,
                           enum pw_reason reason, const char *text);

/* --- slow.c --- */

/* A push whose head was accepted: whether its body has to wait. */
void pw_slow_head(struct pw_distributor *d, const struct pw_http_request *req,
                  struct pw_http_verdict *v);

/* --- push_route.c, ingest_route.c --- */

void pw_push_head(struct pw_distributor *d, const struct pw_http_request *req,
                  struct pw_http_verdict *v);
void pw_push_request(struct pw_desk *desk);
void pw_push_too_large(struct pw_distributor *d, const struct pw_http_request *req);
void pw_ingest_head(struct pw_distributor *d, const struct pw_http_request *req,
                    struct pw_http_verdict *v);
void pw_ingest_request(struct pw_desk *desk);
void pw_ingest_too_large(struct pw_distributor *d, const struct pw_http_request *req);
/* Body limit in bytes of ingestion_body_limit_mb; 0 there means no limit. */
uint64_t pw_body_limit(const struct pw_limits *l);

#endif
