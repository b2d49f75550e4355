#include "app/admin.h"

#include "app/process_metrics.h"
#include "base/check.h"
#include "base/metric.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

struct pw_admin {
    const struct pw_config *config;
    struct pw_runtime_config *runtime_config; /* may be NULL */
    uint32_t modules_count;
    const char *module[PW_ADMIN_MODULES_MAX];
    _Atomic(uint32_t)
        state[PW_ADMIN_MODULES_MAX]; /* enum pw_admin_state; one word, no order needed */
    uint32_t sources_count;
    struct pw_metrics_source source[PW_ADMIN_SOURCES_MAX];
    void (*starting)(void *ctx, struct pw_text *t);
    void *ctx;
};

static const char *const state_name[] = {
    [PW_ADMIN_NEW] = "New",
    [PW_ADMIN_STARTING] = "Starting",
    [PW_ADMIN_RUNNING] = "Running",
    [PW_ADMIN_STOPPING] = "Stopping",
    [PW_ADMIN_TERMINATED] = "Terminated",
    [PW_ADMIN_FAILED] = "Failed",
};

/* Order of the lines of /ready: what is furthest from done comes first. */
static const enum pw_admin_state ready_order[] = {
    PW_ADMIN_NEW,      PW_ADMIN_STARTING,   PW_ADMIN_RUNNING,
    PW_ADMIN_STOPPING, PW_ADMIN_TERMINATED, PW_ADMIN_FAILED,
};

#define TEXT_PLAIN "text/plain; charset=utf-8"

int
pw_admin_create_ctl(struct pw_admin **out, const struct pw_admin_cfg *cfg)
{
    struct pw_admin *a;

    if (cfg->modules_count > PW_ADMIN_MODULES_MAX || cfg->sources_count > PW_ADMIN_SOURCES_MAX) {
        return PW_ENOSPC;
    }
    a = calloc(1, sizeof(*a));
    if (a == NULL) {
        return PW_ENOMEM;
    }
    a->config = cfg->config;
    a->modules_count = cfg->modules_count;
    for (uint32_t i = 0; i < cfg->modules_count; i++) {
        a->module[i] = cfg->module[i];
        atomic_init(&a->state[i], PW_ADMIN_NEW);
    }
    a->starting = cfg->starting;
    a->ctx = cfg->ctx;
    a->sources_count = cfg->sources_count;
    for (uint32_t i = 0; i < cfg->sources_count; i++) {
        a->source[i] = cfg->source[i];
    }
    *out = a;
    return 0;
}

void
pw_admin_destroy_ctl(struct pw_admin *a)
{
    free(a);
}

void
pw_admin_set_runtime_config_ctl(struct pw_admin *a, struct pw_runtime_config *rc)
{
    a->runtime_config = rc;
}

void
pw_admin_set_state_ctl(struct pw_admin *a, uint32_t module, enum pw_admin_state state)
{
    PW_INVARIANT(module < a->modules_count);
    atomic_store_explicit(&a->state[module], state, memory_order_relaxed);
}

void
pw_admin_set_all_ctl(struct pw_admin *a, enum pw_admin_state state)
{
    for (uint32_t i = 0; i < a->modules_count; i++) {
        pw_admin_set_state_ctl(a, i, state);
    }
}

static enum pw_admin_state
state_of(const struct pw_admin *a, uint32_t module)
{
    return atomic_load_explicit(&a->state[module], memory_order_relaxed);
}

/* --- /ready, /services ---------------------------------------------------------------------- */

/* "Starting: [ingester server]": names sorted, by repeated minimum since there are few. */
static void
write_modules_in(const struct pw_admin *a, enum pw_admin_state state, struct pw_text *t)
{
    const char *last = "";
    bool any = false;

    for (uint32_t turn = 0; turn < a->modules_count; turn++) {
        const char *next = NULL;

        for (uint32_t i = 0; i < a->modules_count; i++) {
            const char *name = a->module[i];

            if (state_of(a, i) == state && strcmp(name, last) > 0 &&
                (next == NULL || strcmp(name, next) < 0)) {
                next = name;
            }
        }
        if (next == NULL) {
            break;
        }
        pw_text_str(t, any ? " " : "");
        if (!any) {
            pw_text_str(t, state_name[state]);
            pw_text_str(t, ": [");
        }
        pw_text_str(t, next);
        last = next;
        any = true;
    }
    pw_text_str(t, any ? "]\n" : "");
}

bool
pw_admin_is_starting(const struct pw_admin *a)
{
    return state_of(a, 0) == PW_ADMIN_STARTING;
}

uint16_t
pw_admin_ready(const struct pw_admin *a, struct pw_text *t)
{
    bool running = true;

    for (uint32_t i = 0; i < a->modules_count; i++) {
        running = running && state_of(a, i) == PW_ADMIN_RUNNING;
    }
    if (running) {
        pw_text_str(t, "ready");
        return 200;
    }
    pw_text_str(t, "Some services are not Running:\n");
    for (size_t i = 0; i < PW_ARRAY_LEN(ready_order); i++) {
        write_modules_in(a, ready_order[i], t);
    }
    if (a->starting != NULL && pw_admin_is_starting(a)) {
        a->starting(a->ctx, t);
    }
    return 503;
}

static uint16_t
write_services(struct pw_admin *a, struct pw_text *t)
{
    for (uint32_t i = 0; i < a->modules_count; i++) {
        pw_text_printf(t, "%s => %s\n", a->module[i], state_name[state_of(a, i)]);
    }
    return 200;
}

/* --- /metrics ------------------------------------------------------------------------------- */

static void
write_readiness(const struct pw_admin *a, struct pw_text *t)
{
    pw_metric_family(t, "pyrowire_module_running", "gauge",
                     "1 when the module is in state Running.");
    for (uint32_t i = 0; i < a->modules_count; i++) {
        pw_text_printf(t, "pyrowire_module_running{module=\"%s\"} %d\n", a->module[i],
                       state_of(a, i) == PW_ADMIN_RUNNING ? 1 : 0);
    }
}

enum { ROOM_FOR_THE_REST = 4096 }; /* that is told whatever does not fit */

/* The whole of /metrics: build, process, readiness, then every source in order. */
static void
write_metrics(struct pw_admin *a, struct pw_text *t)
{
    uint32_t left_out = 0;

    pw_process_metrics_cold(t);
    write_readiness(a, t);
    for (uint32_t i = 0; i < a->sources_count; i++) {
        size_t before = t->len;

        a->source[i].write(a->source[i].ctx, t);
        /* Such as that of a thousand tenants with many profile types: the others are told all the same. */
        if (t->failed || t->limit - t->len < ROOM_FOR_THE_REST) {
            t->failed = false;
            t->len = before;
            left_out++;
        }
    }
    pw_metric_u64(t, "pyrowire_metrics_left_out", "gauge",
                  "Parts of this page that are not on it, because it would be too large.",
                  left_out);
}

/* --- Pages ---------------------------------------------------------------------------------- */

enum page {
    PAGE_NONE,
    PAGE_READY,
    PAGE_SERVICES,
    PAGE_METRICS,
    PAGE_CONFIG,
    PAGE_CONFIG_DIFF,
    PAGE_CONFIG_DEFAULT,
    PAGE_RUNTIME_CONFIG,
};

static enum page
page_of(struct pw_slice path)
{
    static const struct {
        const char *path;
        enum page page;
    } table[] = {
        {"/ready", PAGE_READY},
        {"/services", PAGE_SERVICES},
        {"/metrics", PAGE_METRICS},
        {"/config", PAGE_CONFIG},
        {"/api/v1/status/config", PAGE_CONFIG},
        {"/api/v1/status/config/diff", PAGE_CONFIG_DIFF},
        {"/api/v1/status/config/default", PAGE_CONFIG_DEFAULT},
        {"/runtime_config", PAGE_RUNTIME_CONFIG},
    };

    for (size_t i = 0; i < PW_ARRAY_LEN(table); i++) {
        if (pw_slice_eq_str(path, table[i].path)) {
            return table[i].page;
        }
    }
    return PAGE_NONE;
}

bool
pw_admin_owns_path(struct pw_slice path)
{
    return page_of(path) != PAGE_NONE;
}

static uint16_t
write_defaults(struct pw_text *t)
{
    struct pw_config *cfg = malloc(sizeof(*cfg));

    if (cfg == NULL) {
        return 500;
    }
    pw_config_defaults(cfg);
    pw_config_write_yaml(cfg, PW_CONFIG_VIEW_ALL, t);
    pw_config_fini(cfg);
    free(cfg);
    return 200;
}

static uint16_t
write_runtime_config(const struct pw_admin *a, struct pw_slice query, struct pw_text *t)
{
    /* Without the option the route does not exist (operations.md 1.4). */
    if (a->runtime_config == NULL ||
        !pw_runtime_config_page(a->runtime_config, pw_slice_eq_str(query, "mode=diff"), t)) {
        pw_text_str(t, "404 page not found\n");
        return 404;
    }
    return 200;
}

static uint16_t
write_page(struct pw_admin *a, enum page page, struct pw_slice query, struct pw_text *t)
{
    switch (page) {
    case PAGE_READY:
        return pw_admin_ready(a, t);
    case PAGE_SERVICES:
        return write_services(a, t);
    case PAGE_METRICS:
        write_metrics(a, t);
        return 200;
    case PAGE_CONFIG:
        pw_config_write_yaml(a->config, PW_CONFIG_VIEW_ALL, t);
        return 200;
    case PAGE_CONFIG_DIFF:
        pw_config_write_yaml(a->config, PW_CONFIG_VIEW_DIFF, t);
        return 200;
    case PAGE_CONFIG_DEFAULT:
        return write_defaults(t);
    case PAGE_RUNTIME_CONFIG:
        return write_runtime_config(a, query, t);
    case PAGE_NONE:
        break;
    }
    pw_text_str(t, "404 page not found\n");
    return 404;
}

void
pw_admin_execute_cold(struct pw_admin *a, const struct pw_query_request *req,
                      struct pw_query_reply *rep)
{
    enum page page = page_of(req->path);
    struct pw_text t;

    *rep = (struct pw_query_reply){.status = 405};
    if (req->method != PW_HTTP_METHOD_GET && req->method != PW_HTTP_METHOD_HEAD) {
        (void)snprintf(rep->headers, sizeof(rep->headers), "Allow: GET\r\n");
        return; /* an empty body, operations.md 2.1 */
    }
    pw_text_init(&t, PW_ADMIN_PAGE_BYTES_MAX);
    rep->status = write_page(a, page, req->query, &t);
    rep->content_type = page == PAGE_METRICS
                            ? "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
                            : TEXT_PLAIN;
    if (rep->status >= 400) {
        (void)snprintf(rep->headers, sizeof(rep->headers), "X-Content-Type-Options: nosniff\r\n");
    }
    rep->body = pw_text_steal(&t, &rep->body_bytes);
    if (rep->body == NULL) {
        rep->status = 500;
        rep->body_bytes = 0;
    }
    pw_text_fini(&t);
}
