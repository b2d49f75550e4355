/* app/durable.h - the write-ahead log of the appliance: opened, replayed, begun.
 *
 * Purpose  join ingester/wal.h with the options, the heads and the ingesters.
 * Owner    the control thread. app->wal_dir belongs here.
 * Context  cold: start and stop.
 * Units    -
 * Errors   why: for a person. What of a log is damaged does not keep the appliance down; a disk that
 *          cannot be written to, another process in the directory, another version's log do.
 * Limits   -
 */
#ifndef PW_APP_DURABLE_H
#define PW_APP_DURABLE_H

#include "base/err.h"
#include "base/text.h"

struct pw_app;

/* Before the heads: locks the directory; app->hash_key becomes the one its records are hashed under. */
PW_MUST_USE int pw_durable_open_ctl(struct pw_app *app, struct pw_text *why);
/* After the heads, before the ingesters: replays into them, begins this process's logs. The listener answers
 * /ready meanwhile. PW_EAGAIN: SIGTERM or SIGINT came. */
PW_MUST_USE int pw_durable_start_ctl(struct pw_app *app, struct pw_text *why);
/* For pw_admin_cfg.starting; ctx is the struct pw_app. */
void pw_durable_starting(void *app, struct pw_text *t);
/* After the loops have stopped: what was committed is written and synced. */
void pw_durable_stop_ctl(struct pw_app *app);

#endif
