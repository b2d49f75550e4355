/* app/admin.h - the pages for operators: /ready /metrics /config /services /runtime_config.
 *
 * Purpose  one object that knows the modules' states and whom to ask for metrics.
 * Owner    the control thread creates it and moves states; everything else may be called from any
 *          thread (states are atomic, the source table is fixed before launch).
 * Context  pw_admin_ready: no allocation, fit for a polling core with a fixed pw_text. Others: cold.
 * Units    -
 * Errors   an answer always; 500 when it did not fit into PW_ADMIN_PAGE_BYTES_MAX. /metrics leaves out the
 *          sources that do not fit, and says how many.
 * Limits   PW_ADMIN_MODULES_MAX, PW_ADMIN_SOURCES_MAX, PW_ADMIN_PAGE_BYTES_MAX.
 */
#ifndef PW_APP_ADMIN_H
#define PW_APP_ADMIN_H

#include "app/config.h"
#include "app/runtime_config.h"
#include "query/api.h"

enum {
    PW_ADMIN_MODULES_MAX = 16,
    PW_ADMIN_SOURCES_MAX = 32,
    PW_ADMIN_PAGE_BYTES_MAX = 64 << 20,
    PW_ADMIN_READY_BYTES_MAX = 2048, /* enough for any answer of /ready */
};

/* Life of a module, and of the process as the sum of them. Names as printed: New, Starting ... */
enum pw_admin_state {
    PW_ADMIN_NEW,
    PW_ADMIN_STARTING,
    PW_ADMIN_RUNNING,
    PW_ADMIN_STOPPING,
    PW_ADMIN_TERMINATED,
    PW_ADMIN_FAILED,
};

/* A room's part of /metrics: whole families, HELP and TYPE once each (tests/support/prom_check.h). */
struct pw_metrics_source {
    void (*write)(void *ctx, struct pw_text *t);
    void *ctx;
};

struct pw_admin_cfg {
    const struct pw_config *config; /* borrowed */
    const char *const *module;      /* names in start order, borrowed */
    uint32_t modules_count;
    const struct pw_metrics_source *source; /* copied */
    uint32_t sources_count;
    /* A line for /ready that says what the start is at; any thread. NULL: none. */
    void (*starting)(void *ctx, struct pw_text *t);
    void *ctx;
};

struct pw_admin;

PW_MUST_USE int pw_admin_create_ctl(struct pw_admin **a, const struct pw_admin_cfg *cfg);
void pw_admin_destroy_ctl(struct pw_admin *a);
void pw_admin_set_runtime_config_ctl(struct pw_admin *a, struct pw_runtime_config *rc);

void pw_admin_set_state_ctl(struct pw_admin *a, uint32_t module, enum pw_admin_state state);
void pw_admin_set_all_ctl(struct pw_admin *a, enum pw_admin_state state);

/* Whether the process is not yet at work: then /ready alone is answered. */
bool pw_admin_is_starting(const struct pw_admin *a);
/* Status of /ready: 200 with `ready`, or 503 with operations.md 2.2's text, appended to t. */
uint16_t pw_admin_ready(const struct pw_admin *a, struct pw_text *t);

/* True when path is one of the pages (then use execute). Pure, any thread. */
bool pw_admin_owns_path(struct pw_slice path);
/* Answers a page; GET and HEAD alone, others 405. Fills *rep always. */
void pw_admin_execute_cold(struct pw_admin *a, const struct pw_query_request *req,
                           struct pw_query_reply *rep);

#endif
