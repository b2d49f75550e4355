/* ring/readiness.h - may this member of the ring be sent work? (contract ring.md 1.5, last part)
 *
 * Purpose  the ring's part of /ready, asked by probes on any thread.
 * Owner    one struct per process; whoever asks moves its timer, as stock's does.
 * Context  hot: no allocation, no lock.
 * Units    unix seconds for heartbeats, monotonic ms for the wait.
 * Errors   the texts are stock's.
 * Limits   -
 */
#ifndef PW_RING_READINESS_H
#define PW_RING_READINESS_H

#include "base/text.h"
#include "ring/snapshot.h"

struct pw_readiness_cfg {
    const char *id;              /* our own */
    int64_t heartbeat_timeout_s; /* readers' */
    int64_t min_ready_ms;        /* healthy for so long, unless nobody else is in the ring */
    bool check_all;              /* every member must be healthy, not we alone */
};

struct pw_readiness {
    struct pw_readiness_cfg cfg;      /* borrowed texts */
    _Atomic int64_t healthy_since_ms; /* monotonic; 0: not healthy when last asked */
    _Atomic bool ready;               /* once ready, always ready */
};

/* s NULL: no ring yet. False: why has one line without an end. */
bool pw_readiness_check(struct pw_readiness *r, const struct pw_ring_snapshot *s, int64_t now_s,
                        int64_t now_ms, struct pw_text *why);
/* Does a write find anybody? Same form. */
bool pw_readiness_writable(const struct pw_ring_snapshot *s, int64_t now_s, struct pw_text *why);

#endif
