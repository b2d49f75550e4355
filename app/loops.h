/* app/loops.h - which lcore polls what, in which order.
 *
 * Purpose  one loop per EAL lcore of the plan (nic-config/plan.h), filled with the polls of its workers and ingesters;
 *          launched, and joined.
 * Owner    the main thread; a loop belongs to its lcore between launch and join.
 * Context  cold.
 * Units    -
 * Errors   a negative pw_err; join undoes what there is of them.
 * Limits   PW_PLAN_LCORES_MAX loops, PW_POLLERS_MAX polls in each.
 */
#ifndef PW_APP_LOOPS_H
#define PW_APP_LOOPS_H

#include "base/err.h"

struct pw_app;

/* Doors, workers and ingesters are there, and every carrier is bound. */
PW_MUST_USE int pw_loops_create_ctl(struct pw_app *app);
PW_MUST_USE int pw_loops_launch_ctl(struct pw_app *app);
/* Stops the loops and waits until they have returned; nothing when there are none. They are freed when the threads that
 * read their counters are gone (app/wire.c). */
void pw_loops_join_ctl(struct pw_app *app);

#endif
