/* app/ring.h - this process in its rings: it lives in them, and shows them to everybody else.
 *
 * Purpose  runs the lifecyclers of the ingester and the distributor, turns what the store says into
 *          snapshots, and answers for the ring in /ready, /metrics and the pages (app/ring_page.h).
 * Owner    app->ring; the control thread creates, polls and destroys; app->kv stands before, and has ended
 *          before destroy.
 *          What others may call says so.
 * Context  cold, but for pw_app_ring_ready.
 * Units    -
 * Errors   create: why says what to do. A ring that cannot be updated is logged and tried again.
 * Limits   PW_RING_INSTANCES_MAX members; FORGET_WAIT_MS for a request to forget one.
 */
#ifndef PW_APP_RING_H
#define PW_APP_RING_H

#include "base/text.h"
#include "ring/lifecycler.h"
#include "ring/snapshot.h"

struct pw_app;
struct pw_app_ring;

enum pw_app_ring_kind { PW_APP_RING_INGESTERS, PW_APP_RING_DISTRIBUTORS };

/* Control thread. The listener stands already: its port is what is told to others. */
PW_MUST_USE int pw_app_ring_create_ctl(struct pw_app *app, struct pw_text *why);
void pw_app_ring_destroy_ctl(struct pw_app *app);

/* Registers; call it when the store has heard of the others, or there are none. */
void pw_app_ring_start_ctl(struct pw_app_ring *r);
/* What is due: heartbeats, new snapshots, members to forget. */
void pw_app_ring_poll_ctl(struct pw_app_ring *r);
/* The way out: LEAVING in both rings; the distributor is gone; the ingester is gone (or stays LEAVING). */
void pw_app_ring_leave_ctl(struct pw_app_ring *r);
void pw_app_ring_distributor_gone_ctl(struct pw_app_ring *r);
void pw_app_ring_ingester_gone_ctl(struct pw_app_ring *r);

/* The ring of ingesters, for doors (ring/snapshot.h says how to read it) and threads that may block. */
struct pw_ring_board *pw_app_ring_board(struct pw_app_ring *r);

/* Hot, on door's thread: 200, or 503 and the line of /ready that says why, appended. */
uint16_t pw_app_ring_ready(struct pw_app_ring *r, uint32_t door, struct pw_text *t);

/* Hot, any thread that polls: how many series of the tenant may be active in one ingester core; ctx is the app. */
uint64_t pw_app_series_limit(void *ctx, struct pw_slice tenant);

/* Any thread that may block; release it. */
const struct pw_ring_snapshot *pw_app_ring_acquire(struct pw_app_ring *r,
                                                   enum pw_app_ring_kind kind);
/* Any thread that may block: takes a member out of the ring. PW_ENOENT: no such member;
 * PW_ETIMEDOUT: the control thread is busy, the member may still be forgotten. */
PW_MUST_USE int pw_app_ring_forget(struct pw_app_ring *r, enum pw_app_ring_kind kind,
                                   const char *id);
/* Families of /metrics. */
void pw_app_ring_metrics(struct pw_app_ring *r, struct pw_text *t);

#endif
