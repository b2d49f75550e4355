/* query/peers.h - the door to the other appliances of the ring; app/peers.c fills it in, tests play it.
 *
 * Purpose  query/ decides what is asked and what of the answers counts; who is asked, and how bytes get there
 *          and back, is behind this table. NULL in the query's configuration: this appliance is alone.
 * Owner    app/; one thread object a query thread.
 * Context  cold; ask waits for the network.
 * Units    ms.
 * Errors   set: PW_EAGAIN when too few are healthy, with the text. ask: each its own.
 * Limits   PW_PEERS_MAX; PW_PEER_TIMEOUT_MS for all of one call to ask, whatever hangs.
 */
#ifndef PW_QUERY_PEERS_H
#define PW_QUERY_PEERS_H

#include "base/err.h"
#include "base/text.h"
#include "base/types.h"

struct pw_patience;

enum {
    PW_PEERS_MAX = 256,
    PW_PEER_NAME_BYTES = 128,
    PW_PEER_TIMEOUT_MS = 10000,
    PW_PEER_GRACE_MS = 100, /* for the rest, once enough have answered */
};
#define PW_PEER_ROUTE "/pyrowire.v1.Reader/Select"

struct pw_peer {
    char addr[PW_PEER_NAME_BYTES]; /* host:port */
    char zone[PW_PEER_NAME_BYTES];
};

/* Who is to be asked beside this appliance itself (ring.md 2.5, ReplicationSetForOperation). */
struct pw_peer_set {
    uint32_t count;
    uint32_t max_errors;            /* so many may fail; */
    uint32_t max_unavailable_zones; /* or, when not 0, all of so many zones */
    struct pw_peer peer[PW_PEERS_MAX];
};

struct pw_peer_ask {
    uint32_t peer;
    struct pw_slice body;
    /* What came of it. */
    int rc;         /* 0: a reply with status 200; PW_EAGAIN: not waited for */
    uint8_t *reply; /* malloc'ed, the caller's; NULL without */
    size_t reply_bytes;
    char why[256];
};

struct pw_peer_round { /* one question to each of some */
    const struct pw_peer_set *set;
    struct pw_slice tenants; /* X-Scope-OrgID */
    struct pw_peer_ask *ask;
    uint32_t count;
    uint32_t max_errors;
    const struct pw_patience *patience; /* of whoever asked us; NULL: without end */
};

struct pw_peers {
    void *ctx;
    /* Whether each profile is on one appliance alone, as far as this one knows: there is one replica, and was when what is here was
     * written. NULL: no. */
    bool (*single)(void *ctx);
    void *(*thread_new)(void *ctx);
    void (*thread_free)(void *ctx, void *thread);
    PW_MUST_USE int (*set)(void *ctx, struct pw_peer_set *set, struct pw_text *why);
    /* All at once, as POST of body. Returns when all are done, or PW_PEER_GRACE_MS after all but max_errors have
     * answered with 200, or after PW_PEER_TIMEOUT_MS, or soon after patience ended. */
    void (*ask)(void *ctx, void *thread, const struct pw_peer_round *r);
};

#endif
