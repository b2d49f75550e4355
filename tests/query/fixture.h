/* tests/query/fixture.h - a head filled with small profiles written as text, and a query thread on it.
 *
 * Purpose  tests of query/ go the way of real profiles: pprof bytes, reader, normaliser, record, head.
 * Owner    the test.
 * Context  tests only.
 * Units    times in ms.
 * Errors   asserts.
 * Limits   one query thread, QF_HEADS heads.
 */
#ifndef PW_TESTS_QUERY_FIXTURE_H
#define PW_TESTS_QUERY_FIXTURE_H

#include "query/api.h"

enum {
    QF_HEADS = 2,
    QF_ASIDE = QF_HEADS, /* a head that no query sees: for qf_cut */
    QF_LABELS_MAX = 16,
};

#define QF_HOSTNAME "this"

struct qf {
    struct pw_head *head[QF_HEADS + 1];
    struct pw_catalog *catalog;
    struct pw_query *q;
    struct pw_query_thread *t;
    int64_t now_ms;
    uint32_t pushed;
    char dir[64];       /* of blocks; "": none yet */
    bool cut_to_bucket; /* what is cut is listed as read from object storage */
    struct pw_query_limits limits;
    struct pw_query_reply rep;
    char *body; /* of the last reply, ended by a NUL */
};

struct qf_push {
    uint32_t head;
    const char *tenant; /* NULL: anonymous */
    const char *name;   /* __name__: process_cpu, memory, ... */
    const char *labels; /* "service_name=a,region=eu" */
    const char *types;  /* "samples:count,cpu:nanoseconds"; NULL: "cpu:nanoseconds" */
    const char *period; /* "cpu:nanoseconds"; NULL the same */
    int64_t time_ms;
    bool has_functions; /* of its mapping */
    uint8_t uuid;       /* its last byte; 0: a number of its own */
    /* One stack a line, "root;...;leaf value[,value...][ @span[/trace]]". A frame "a|b" is one location
     * with b inlined into a; "a~20" is line 20 of a instead of 10. */
    const char *folded;
};

void qf_init(struct qf *f, bool multitenancy);
/* One appliance of several (query/peers.h). */
void qf_init_peer(struct qf *f, bool multitenancy, const struct pw_peers *peers);
void qf_fini(struct qf *f);
void qf_push(struct qf *f, const struct qf_push *p);

/* What the tenant anonymous has in the head QF_ASIDE becomes a block of that host and level, which queries
 * see; the head is empty then. */
void qf_cut(struct qf *f, const char *hostname, uint32_t level);

/* The last reply is in f->rep and f->body. */
void qf_post(struct qf *f, const char *method, const char *json);
void qf_post_proto(struct qf *f, const char *method, struct pw_slice body);
void qf_get(struct qf *f, const char *target);
void qf_execute(struct qf *f, const struct pw_query_request *req);
/* Posts to querier.v1.QuerierService and expects 200 and these bytes. */
void qf_expect(struct qf *f, const char *method, const char *json, const char *body);

#endif
