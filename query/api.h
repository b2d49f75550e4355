/* query/api.h - a query request in, its answer out, on a query thread.
 *
 * Purpose  the routes of contract read-path.md 1 and IngesterService/Flush: querier.v1 over Connect JSON and proto, the
 *          /pyroscope/render family, settings, version, feature flags, and the page at /.
 * Owner    struct pw_query is shared and immutable after create but for its settings store, which has
 *          its own lock; struct pw_query_thread belongs to one query thread. Replies are given.
 * Context  cold: allocates, may take long; never on a polling lcore.
 * Units    times in ms unless named otherwise.
 * Errors   always an answer: errors are Connect error JSON with their HTTP status.
 * Limits   PW_QUERY_BODY_BYTES_MAX, PW_QUERY_REPLY_BYTES_MAX.
 */
#ifndef PW_QUERY_API_H
#define PW_QUERY_API_H

#include "base/err.h"
#include "base/types.h"
#include "dataplane/http_app.h"
#include "ingester/catalog.h"

struct pw_patience;
struct pw_peers;
struct pw_query;
struct pw_query_thread;

struct pw_query_limits {
    int64_t max_query_lookback_ms, max_query_length_ms;
    int64_t max_flamegraph_nodes_default, max_flamegraph_nodes_max;
};

struct pw_query_cfg {
    struct pw_catalog *catalog; /* borrowed: what there is to read */
    bool multitenancy;
    uint64_t hash_key;
    const char *hostname; /* __hostname__ of the blocks that are this appliance's; NULL: none is */
    /* Limits of a tenant; called on query threads. */
    void (*limits)(void *ctx, struct pw_slice tenant, struct pw_query_limits *out);
    /* Tenant rules (distributor/limits.h pw_tenant_from_header), joined by app/. */
    int (*tenant)(void *ctx, struct pw_slice header, struct pw_slice *tenant, struct pw_text *err);
    /* ingester.v1 Flush: writes what the heads hold as blocks and waits for it. 0, or why not. */
    int (*flush)(void *ctx);
    void *ctx;
    const struct pw_peers *peers; /* the other appliances (peers.h); NULL: this one is alone */
    struct {
        const char *version, *revision, *branch, *build_user, *build_date;
    } build;
};

PW_MUST_USE int pw_query_create_cold(struct pw_query **q, const struct pw_query_cfg *cfg);
void pw_query_destroy_cold(struct pw_query *q);
struct pw_query_thread *pw_query_thread_new_cold(struct pw_query *q);
void pw_query_thread_free_cold(struct pw_query_thread *t);

/* How a path is to be treated; pure, called on polling threads. */
enum pw_query_route {
    PW_QUERY_ROUTE_NONE = 0, /* not ours: 404 */
    PW_QUERY_ROUTE_RPC,      /* POST, Connect unary */
    PW_QUERY_ROUTE_GET,      /* GET (HEAD) */
};
enum pw_query_route pw_query_route(struct pw_slice path);

/* A request copied off its connection; all slices live until execute returns. */
struct pw_query_request {
    enum pw_http_method method;
    struct pw_slice path, query;
    const struct pw_http_header *headers;
    uint32_t headers_count;
    struct pw_slice body;               /* contiguous, Content-Encoding still on */
    int64_t now_ms;                     /* wall time the request is judged by */
    const struct pw_patience *patience; /* of whoever asks; NULL: without end */
};

struct pw_query_reply {
    uint16_t status;
    const char *content_type; /* static text or NULL */
    char headers[512];        /* further header lines, each ended by \r\n; "" for none */
    uint8_t *body;            /* malloc'ed, given to the caller; NULL when empty */
    size_t body_bytes;
};

/* Executes; fills *rep always. When patience ends meanwhile it is 499 soon: it is looked at row by row, series by series,
 * block by block, and where memory is taken; one read of a bucket is seen through. Method and content-type rules (405 with Allow, 415) included. */
void pw_query_execute_cold(struct pw_query_thread *t, const struct pw_query_request *req,
                           struct pw_query_reply *rep);

#endif
