/* tests/distributor/harness.h - a distributor with a fake http server and fake ingester cores.
 *
 * Purpose  the routes without a network: requests are structs, replies are captured at the link-time
 *          fake of pw_http_reply; lanes and records are real, the ingester behind them is played here.
 * Owner    one test program; one harness at a time, or others `beside` it.
 * Context  tests.
 * Units    -
 * Errors   cmocka assertions.
 * Limits   PW_T_REPLY_MAX, PW_T_RECORDS_MAX.
 */
#ifndef PW_TESTS_DISTRIBUTOR_HARNESS_H
#define PW_TESTS_DISTRIBUTOR_HARNESS_H

#include "distributor/distributor.h"
#include "distributor/relabel.h"
#include "pprof/record.h"

enum {
    PW_T_CORES_MAX = 4,
    PW_T_REPLY_MAX = 1 << 20,
    PW_T_HEADERS_MAX = 16,
    PW_T_LANE = 1 << 20,
    PW_T_CONNS_MAX = 256,
    PW_T_HASH_KEY = 0x1234567,
};

struct pw_t_reply {
    uint32_t count; /* replies since the request */
    uint16_t status;
    char content_type[64];
    char headers[1024];
    uint8_t *body;
    size_t body_len;
};

struct pw_t_cfg {
    bool multitenancy;
    uint32_t cores;              /* 0: 1 */
    uint32_t replication_factor; /* 0: 1 */
    uint32_t slots_max;          /* 0: 64 */
    size_t scratch_bytes;        /* 0: 64 MiB */
    size_t bulk_bytes;           /* 0: 4 MiB */
    size_t lane_bytes;           /* 0: PW_T_LANE */
    uint32_t slice_us;           /* of work: 33 looks at pw_t.work_tsc each; 0: no slices */
    uint32_t busy_us;            /* while many wait; 0: slice_us */
    uint32_t turn_us;            /* after which nothing begins; 0: slice_us */
    bool beside; /* another is up: they share the http server, each with connections of its own */
};

struct pw_t {
    struct pw_distributor *d;
    struct pw_lane *out[PW_T_CORES_MAX];
    struct pw_lane *back[PW_T_CORES_MAX];
    uint32_t cores;
    struct pw_clock clock;
    uint64_t now_tsc;
    uint64_t work_tsc; /* the clock of work, when it is in slices */
    struct pw_overrides *overrides;
    _Atomic(const struct pw_overrides *) snapshot;
    struct pw_t_reply reply;
    char *stored; /* text of all records taken so far (pprof/record_text.h) */
    size_t stored_len;
    uint32_t records;
    int32_t answer_status; /* what the fake ingesters answer with */
    uint64_t answer_actual, answer_limit;
    uint8_t last_uuid[16];
    int64_t last_time_nanos;
    char last_tenant[160];
    struct pw_pressure pressure; /* of every core */
    const struct pw_pressure *pressures[PW_T_CORES_MAX];
    bool
        pressed; /* the last verdict: the body was to be held back, under pressed_key; it was not */
    uint64_t pressed_key;
};

/* Overrides start as the defaults; t->overrides may be changed before the first request. */
void pw_t_up(struct pw_t *t, const struct pw_t_cfg *cfg);
void pw_t_down(struct pw_t *t);
/* As a process ends that is killed: with whatever is at work. Nobody holds a connection of it. */
void pw_t_crash(struct pw_t *t);

struct pw_t_request {
    const char *method;        /* NULL: POST */
    const char *path;          /* with its query */
    const char *const *header; /* name, value, ..., NULL; may be NULL */
    const void *body;
    size_t body_len;
    size_t piece;     /* the body comes in pieces of so many bytes; 0: whole */
    uint32_t address; /* of the peer: 10.0.0.<address> */
};

/* A request that was given and not answered, as http_conn holds it. */
struct pw_t_held {
    struct pw_http_request req;
    struct pw_http_header headers[PW_T_HEADERS_MAX];
    struct pw_slice *body;
    uint8_t *copy;
    size_t body_len;
    struct pw_t_reply *reply;
    uint32_t owed;      /* answers; several at once only when none is held */
    uint32_t body_done; /* times that it was let go before the answer; never set back */
    bool held;
};

/* head, then request or body_too_large, as http_conn would; no ingester runs. The connection is 77. */
void pw_t_send(struct pw_t *t, const struct pw_t_request *r);
/* The same on a connection of its own, 0 ... PW_T_CONNS_MAX - 1; where the answer goes. */
void pw_t_send_on(struct pw_t *t, uint32_t conn, const struct pw_t_request *r,
                  struct pw_t_reply *reply);
/* The connection dies: told, then what was held is overwritten. */
void pw_t_hang_up(struct pw_t *t, uint32_t conn);
bool pw_t_holds(uint32_t conn);
/* How often the body of a request of that connection was let go before the answer, since the program began. */
uint32_t pw_t_bodies_done(uint32_t conn);
/* All ingesters take what is in their lanes and answer; completions are polled. */
void pw_t_settle(struct pw_t *t);
/* Both; asserts exactly one reply. */
void pw_t_call(struct pw_t *t, const struct pw_t_request *r);
/* Appends a label (types.v1.LabelPair) to a RawProfileSeries. */
void pw_t_put_label(struct pw_text *series, const char *name, const char *value);

#endif
