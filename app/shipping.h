/* app/shipping.h - the thread that takes blocks to object storage and old local ones away, and looks what
 * else is there.
 *
 * Purpose  every PW_SHIPPING_PERIOD_MS, and when a block was written, one pass of store/shipper; each in its
 *          own period, one of store/retention and one look at the bucket (app/gateway.h). A last pass of
 *          the shipper when the appliance stops.
 * Owner    a thread of its own on the background CPUs; it opens its own handle of the bucket.
 * Context  start and stop: control thread. poke and metrics: any.
 * Units    -
 * Errors   start: a bucket that cannot be used (credentials, name, endpoint, a directory that cannot be
 *          written) is an error at start, with one line that names it. Later failures are logged and
 *          tried again.
 * Limits   stop waits for the pass that runs, at most PW_SHIPPING_STOP_MS.
 */
#ifndef PW_APP_SHIPPING_H
#define PW_APP_SHIPPING_H

#include "store/objstore/objstore.h"
#include "store/retention.h"

enum {
    PW_SHIPPING_PERIOD_MS = 5 * 60 * 1000, /* contract storage.md 2.6 */
    PW_SHIPPING_STOP_MS = 30 * 1000,
};

struct pw_gateway;
struct pw_plan;
struct pw_shipping;

struct pw_shipping_cfg { /* borrowed for the life of the thread */
    struct pw_objstore_cfg bucket;
    struct pw_retention_cfg retention;
    bool retain; /* delete local blocks */
    int64_t retention_period_ms, sync_period_ms;
    struct pw_gateway *gateway; /* looked at the bucket once before this */
    const char *data_path;
    const char *hostname;
    const struct pw_plan *plan;
};

PW_MUST_USE int pw_shipping_start_ctl(struct pw_shipping **s, const struct pw_shipping_cfg *cfg,
                                      struct pw_text *why);
/* A block was written: do not wait for the period. */
void pw_shipping_poke(struct pw_shipping *s);
/* One more pass, then the end. NULL is fine. */
void pw_shipping_stop_ctl(struct pw_shipping *s);
/* Prometheus text. */
void pw_shipping_metrics(const struct pw_shipping *s, struct pw_text *t);

#endif
