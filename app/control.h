/* app/control.h - the control thread: listener, runtime config, signals, draining.
 *
 * Purpose  one loop that sleeps when nothing happens and serves the loopback door.
 * Owner    the main thread.
 * Context  cold; may block for PW_CONTROL_SLEEP_MS_MAX at most.
 * Units    -
 * Errors   a runtime config that does not load keeps the old one and is logged.
 * Limits   -
 */
#ifndef PW_APP_CONTROL_H
#define PW_APP_CONTROL_H

#include "base/err.h"

#include <stdatomic.h>
#include <stdbool.h>

struct pw_app;

enum { PW_CONTROL_SLEEP_MS_MAX = 100 };

/* While the start goes on elsewhere: listens, answers /ready, until *done, or SIGTERM or SIGINT is there (true).
 * The signal stays for pw_control_run. */
bool pw_control_wait(struct pw_app *app, const atomic_bool *done);
/* Until SIGTERM or SIGINT, then drains; another one ends the process at once. 0, or PW_ETIMEDOUT when something was cut off. */
PW_MUST_USE int pw_control_run(struct pw_app *app);
/* Any thread: wakes the polling loops that sleep, because something changed that none of their descriptors tells. */
void pw_control_wake_loops(struct pw_app *app);

#endif
