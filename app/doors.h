/* app/doors.h - what each polling thread needs to answer HTTP: its door (struct pw_app_door).
 *
 * Purpose  lanes to and from every ingester, peer link, distributor, HTTP server and routes, of each I/O worker and
 *          of the control thread, whose door the listener serves.
 * Owner    the main thread creates and destroys; a door belongs to the thread that polls it in between.
 * Context  cold.
 * Units    -
 * Errors   a negative pw_err and a text in *why; what was made is taken apart by destroy.
 * Limits   PW_WORKERS_MAX doors.
 */
#ifndef PW_APP_DOORS_H
#define PW_APP_DOORS_H

#include "base/err.h"
#include "base/text.h"

enum { PW_DOORS_LISTENER_CONNS_MAX = 1024 }; /* of the control thread's door */

struct pw_app;

/* app->doors of them; queries, heads and the admin pages are there. */
PW_MUST_USE int pw_doors_create_ctl(struct pw_app *app, struct pw_text *why);
/* Nothing polls, no stream is open; also after a create that failed. */
void pw_doors_destroy_ctl(struct pw_app *app);

#endif
