/* app/wire.h - joins the rooms into one running appliance, and takes it apart again.
 *
 * Purpose  start in dependency order, run the control thread, drain, stop.
 * Owner    the main thread; struct pw_app is the root that everything is handed down from.
 * Context  cold.
 * Units    -
 * Errors   start logs one line that says what failed and what to do, undoes what it had started, and
 *          returns the error.
 * Limits   PW_WORKERS_MAX - 1 I/O workers: the control thread's listener counts as one.
 */
#ifndef PW_APP_WIRE_H
#define PW_APP_WIRE_H

#include "app/config.h"
#include "base/err.h"

struct pw_app;

/* Borrows cfg for the life of the app. PW_EAGAIN: nothing is wrong, but hugepages that were free went to another program;
 * the process has to begin anew without them (nic-config/eal.h). */
PW_MUST_USE int pw_app_start(struct pw_app **app, const struct pw_config *cfg);
/* The control thread's loop, until SIGTERM or SIGINT; then drains within
 * -server.graceful-shutdown-timeout. 0, or PW_ETIMEDOUT when requests in flight were cut off. */
PW_MUST_USE int pw_app_run(struct pw_app *app);
void pw_app_stop(struct pw_app *app);

#endif
