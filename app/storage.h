/* app/storage.h - what keeps profiles: heads, and the thread that writes them as blocks.
 *
 * Purpose  the part of app/wire.c that has to do with storage: started before anything polls, stopped
 *          after everything did.
 * Owner    the main thread.
 * Context  cold.
 * Units    -
 * Errors   as app/wire.h: one line in the log that says what failed.
 * Limits   -
 */
#ifndef PW_APP_STORAGE_H
#define PW_APP_STORAGE_H

#include "base/err.h"

struct pw_app;
struct pw_text;

/* Heads for every ingester core, and what is on disk already, readable. */
PW_MUST_USE int pw_storage_open_ctl(struct pw_app *app, struct pw_text *why);
/* The storage thread. Heads may have been filled meanwhile. */
PW_MUST_USE int pw_storage_start_ctl(struct pw_app *app, struct pw_text *why);
/* Everything that heads hold becomes blocks; ingesters still poll. Any thread that may wait. */
PW_MUST_USE int pw_storage_flush(struct pw_app *app);
/* Nothing polls, no query runs. */
void pw_storage_stop_ctl(struct pw_app *app);

#endif
