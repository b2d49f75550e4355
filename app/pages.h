/* app/pages.h - what runs on query threads: the query room, and the appliance's own pages.
 *
 * Purpose  the struct pw_jobs_runner: operators' pages by app/admin, all else by query/; and the table
 *          of whom /metrics asks.
 * Owner    query threads; reads counters of other threads, skew tolerated.
 * Context  cold.
 * Units    -
 * Errors   always an answer.
 * Limits   those of app/admin.h and query/api.h.
 */
#ifndef PW_APP_PAGES_H
#define PW_APP_PAGES_H

#include "app/admin.h"
#include "app/jobs.h"
#include "query/api.h"

struct pw_app;

struct pw_jobs_runner pw_pages_runner(struct pw_app *app);
/* Of the appliance itself: they read counters and configuration, and wait for nobody. */
bool pw_pages_is_page(struct pw_slice path);
/* Fills source[PW_ADMIN_SOURCES_MAX] with every room's metrics; returns how many. */
uint32_t pw_pages_sources(struct pw_app *app, struct pw_metrics_source *source);
/* What query/ needs of this appliance: heads, limits and tenants. */
void pw_pages_query_cfg(struct pw_app *app, struct pw_query_cfg *cfg);

#endif
