/* app/ring_priv.h - what app/ring*.c share; nobody else includes it. */
#ifndef PW_APP_RING_PRIV_H
#define PW_APP_RING_PRIV_H

#include "app/config.h"
#include "app/ring.h"
#include "ring/readiness.h"

#include <pthread.h>
#include <stdatomic.h>

enum { PW_APP_RINGS = 2, FORGET_WAIT_MS = 10000 };

/* One ring this process is in. */
struct pw_one_ring {
    const char *name; /* as metrics say it */
    char key[PW_CONFIG_TEXT_BYTES + 16];
    struct pw_ring_snapshot_cfg cfg;
    int64_t page_timeout_s; /* older heartbeats are UNHEALTHY on the page */
    struct pw_ring_board *board;
    struct pw_lifecycler *life;
    int64_t step_at_ms; /* monotonic */
    int64_t publish_after_ms;
    bool dirty; /* the store knows more than the board */
    _Atomic uint64_t heartbeats;
};

/* A wish of another thread, in its stack while it waits. */
struct pw_forget {
    struct pw_forget *next;
    enum pw_app_ring_kind kind;
    const char *id;
    bool done;
    int rc;
};

struct pw_app_ring {
    struct pw_app *app;
    struct pw_ring_store store; /* app->kv; used with app->kv_mutex */
    struct pw_one_ring ring[PW_APP_RINGS];
    struct pw_one_ring link; /* what is announced of our link; no board */
    char links_key[PW_CONFIG_TEXT_BYTES + 16];
    const char *excluded_zone[PW_CONFIG_ITEMS_MAX];
    struct pw_readiness readiness;

    pthread_mutex_t mutex; /* of the wishes */
    pthread_cond_t forgotten;
    struct pw_forget *forget;
};

struct pw_ring_now pw_app_ring_now(void);

#endif
