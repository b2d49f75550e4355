/* app/runtime_config.h - limits per tenant from -runtime-config.file, looked at again every period.
 *
 * Purpose  build the struct pw_overrides that workers read, and a new one when a file changed.
 * Owner    the control thread; metrics and page may be called on any. Tables are given to the
 *          caller, who publishes them and frees the old one when every worker has passed on; this
 *          module keeps none.
 * Context  cold.
 * Units    ms.
 * Errors   at start: PW_EINVAL with the text, fatal as stock's. Later: the old table stays, one error
 *          line is logged per changed file, pyroscope_runtime_config_last_reload_successful is 0.
 * Limits   PW_RUNTIME_TENANTS_MAX; PW_CONFIG_FILE_BYTES_MAX a file; PW_CONFIG_ITEMS_MAX files.
 */
#ifndef PW_APP_RUNTIME_CONFIG_H
#define PW_APP_RUNTIME_CONFIG_H

#include "app/config.h"

enum { PW_RUNTIME_TENANTS_MAX = 10000 };

struct pw_runtime_config;

/* Borrows cfg for its life. Gives *rc and the first table; without files the table holds the defaults
 * (relabelling compiled) alone. */
PW_MUST_USE int pw_runtime_config_create_cold(struct pw_runtime_config **rc,
                                              const struct pw_config *cfg,
                                              struct pw_overrides **first, struct pw_text *err);
void pw_runtime_config_destroy_cold(struct pw_runtime_config *rc);

/* Call as often as you like; looks at the files once a period. Gives a table to publish, or NULL when
 * nothing changed or the change is unusable. */
struct pw_overrides *pw_runtime_config_poll_cold(struct pw_runtime_config *rc, int64_t now_ms);

/* struct pw_metrics_source function; ctx is the struct pw_runtime_config. */
void pw_runtime_config_metrics(void *ctx, struct pw_text *t);
/* The page /runtime_config: every limit of every tenant in the files, or (diff) what differs from the
 * defaults. False without files: the route does not exist then (operations.md 1.4). */
bool pw_runtime_config_page(struct pw_runtime_config *rc, bool diff, struct pw_text *t);

#endif
