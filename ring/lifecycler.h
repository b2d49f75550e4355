/* ring/lifecycler.h - one instance's life in a ring: registers, claims tokens, beats, leaves.
 *
 * Purpose  the classic life of an ingester (contract ring.md 1.5) and the basic one of a distributor (1.6),
 *          as a state machine over a store that is handed in.
 * Owner    the control thread. Copies what its cfg points to, but for the store's ctx and the file layer.
 * Context  cold. Pure but for the tokens file: the time is handed in, chance comes from a seed.
 * Units    wall time in unix seconds (what the ring holds), a monotonic clock in ms (timers).
 * Errors   PW_EINVAL: cfg, or a change of state that is not allowed; what the store returns.
 *          A tokens file that cannot be read or written is logged, and life goes on without.
 * Limits   PW_RING_TOKENS_MAX.
 *
 * Where stock waits a second because a second state change in the same second would not be newer (4.5),
 * this one writes the second after: 128 tokens and ACTIVE are there at once, LEAVING is never lost.
 * With neither join-after nor observe-period, PENDING and ACTIVE are one change.
 */
#ifndef PW_RING_LIFECYCLER_H
#define PW_RING_LIFECYCLER_H

#include "base/file.h"
#include "ring/desc.h"

/* Edits a copy of the ring; 0, or negative to leave the ring alone. */
typedef int (*pw_ring_edit_fn)(void *arg, struct pw_ring_desc *d);

/* The store a ring is kept in, under a key (ring/kv.h, or a test's). */
struct pw_ring_store {
    void *ctx;
    /* NULL: nothing there yet. LEFT instances may be in it. Good until the next change. */
    const struct pw_ring_desc *(*get)(void *ctx, const char *key);
    /* The edited copy is merged as our own change (ring.md 4.8); get may be asked within the edit.
     * PW_EAGAIN: the change is not newer than what is there; again a second later. */
    int (*cas)(void *ctx, const char *key, pw_ring_edit_fn edit, void *arg, int64_t now_s);
};

struct pw_ring_now {
    int64_t wall_s;
    int64_t mono_ms;
};

enum pw_lifecycler_kind { PW_LIFECYCLER_CLASSIC, PW_LIFECYCLER_BASIC };

struct pw_lifecycler_cfg {
    enum pw_lifecycler_kind kind;
    struct pw_ring_store store;
    const char *key, *id, *addr, *zone;
    const struct pw_ring_version
        *version; /* told with the entry; NULL none; lives as long as this */
    uint32_t num_tokens;
    int64_t heartbeat_period_ms;
    int64_t join_after_ms;     /* classic */
    int64_t observe_period_ms; /* 0: tokens are not observed */
    const char *tokens_path;   /* classic; "" none */
    const struct pw_fs *fs;
    enum pw_instance_state register_state; /* basic */
    int64_t forget_after_s; /* basic: members silent for longer are removed; 0: never */
    uint64_t seed;
};

struct pw_lifecycler;

PW_MUST_USE int pw_lifecycler_create_ctl(struct pw_lifecycler **l,
                                         const struct pw_lifecycler_cfg *cfg);
void pw_lifecycler_destroy_ctl(struct pw_lifecycler *l);

/* Joins the ring, as what is there about this id says. Until it has worked, step tries again. */
PW_MUST_USE int pw_lifecycler_start(struct pw_lifecycler *l, struct pw_ring_now now);
/* Does what is due; the monotonic ms when it wants to be called next. */
int64_t pw_lifecycler_step(struct pw_lifecycler *l, struct pw_ring_now now);

/* What others may ask for from outside; refused with stock's text in why. */
PW_MUST_USE int pw_lifecycler_change_state(struct pw_lifecycler *l, enum pw_instance_state to,
                                           struct pw_ring_now now, struct pw_text *why);
PW_MUST_USE int pw_lifecycler_set_read_only(struct pw_lifecycler *l, bool read_only,
                                            struct pw_ring_now now);
/* Stop: LEAVING, whatever it was; heartbeats go on. */
PW_MUST_USE int pw_lifecycler_leave(struct pw_lifecycler *l, struct pw_ring_now now);
/* Takes the entry out of the ring; nothing is written any more. */
PW_MUST_USE int pw_lifecycler_unregister(struct pw_lifecycler *l, struct pw_ring_now now);

uint64_t pw_lifecycler_heartbeats(const struct pw_lifecycler *l);

#endif
