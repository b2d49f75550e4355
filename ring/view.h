/* ring/view.h - the ring at one moment: instances, their tokens in order, zones.
 *
 * Purpose  an immutable snapshot for look-ups (contract ring.md 2.1); the control thread makes a new one
 *          when the ring changes and publishes it.
 * Owner    the view owns copies of everything; freed by pw_ring_view_free_ctl.
 * Context  made on the control thread; read by any.
 * Units    times in unix seconds, 0 unknown; tokens are 32 bits.
 * Errors   PW_EINVAL: tokens not ascending or an id twice; PW_EMSGSIZE: over a limit; PW_ENOMEM.
 * Limits   PW_RING_INSTANCES_MAX, PW_RING_ZONES_MAX, PW_RING_TOKENS_MAX an instance.
 */
#ifndef PW_RING_VIEW_H
#define PW_RING_VIEW_H

#include "base/err.h"
#include "base/types.h"

enum { PW_RING_INSTANCES_MAX = 1024, PW_RING_ZONES_MAX = 64, PW_RING_TOKENS_MAX = 4096 };

enum pw_instance_state { /* the numbers of the wire (ring.md 1.2) */
                         PW_INSTANCE_ACTIVE = 0,
                         PW_INSTANCE_LEAVING = 1,
                         PW_INSTANCE_PENDING = 2,
                         PW_INSTANCE_JOINING = 3,
                         PW_INSTANCE_LEFT = 4,
};

struct pw_ring_version { /* component -> version, for information (ring.md 1.2) */
    uint64_t component;
    uint64_t version;
};

struct pw_instance {
    const char *id;
    const char *addr; /* host:port */
    const char *zone; /* "" none */
    enum pw_instance_state state;
    bool read_only;
    int64_t timestamp; /* last heartbeat */
    int64_t registered;
    int64_t read_only_updated;
    const uint32_t *token; /* ascending */
    uint32_t token_count;
    const struct pw_ring_version *version; /* ascending by component; a view has none */
    uint32_t version_count;
};

struct pw_ring_token {
    uint32_t token;
    uint32_t instance;
};

struct pw_ring_zone {
    const char *name;
    uint32_t instances; /* those without tokens too */
    const struct pw_ring_token *token;
    uint32_t token_count;
};

struct pw_ring_cfg {
    uint32_t replication_factor;
    bool zone_awareness;
    int64_t heartbeat_timeout; /* seconds */
};

struct pw_ring_view {
    struct pw_ring_cfg cfg;
    const struct pw_instance *instance; /* ascending by id */
    const uint32_t *instance_zone;      /* index into zone */
    uint32_t instance_count;
    const struct pw_ring_token *token; /* ascending by token, then instance */
    uint32_t token_count;
    const struct pw_ring_zone *zone; /* ascending by name */
    uint32_t zone_count;
    uint32_t read_only_count;
    uint64_t
        shape; /* a hash of what shards of tenants follow from: ids, zones, tokens, who is read-only; never 0 */
};

/* Copies the n instances, in any order. Instances in state LEFT are left out. */
PW_MUST_USE int pw_ring_view_make_ctl(struct pw_ring_view **view, const struct pw_ring_cfg *cfg,
                                      const struct pw_instance *instance, uint32_t n);
void pw_ring_view_free_ctl(struct pw_ring_view *view);

/* Index of the first token above key, 0 when there is none. A key that equals a token belongs to the
 * token after it. */
uint32_t pw_ring_search(const struct pw_ring_token *token, uint32_t count, uint32_t key);

/* Static word such as "ACTIVE". */
const char *pw_instance_state_name(enum pw_instance_state state);

#endif
