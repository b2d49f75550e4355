/* Overload is first slowed, then refused. A push whose tenant is near its share of an ingester core's memory, or
 * that comes while this thread is behind, has its body held back by the receive window until that is over
 * or PW_HTTP_PRESSED_MS_MAX passed; then it is worked on, and taken or refused. The tenant is known from the
 * head; which core its series go to is not, so any core's pressure counts. */
#include "base/hash.h"
#include "distributor/internal.h"

enum {
    LARGE_KEY = 1, /* this bit of a key: a large body; the rest: of the tenant's hash, 0 for none */
    PRESSED_HALF =
        2, /* a ring, the slots, a lane or the low end of bulk memory is pressed above this part of it */
    LOOK_AT_LANES_ABOVE = 64, /* requests in flight; below, nothing can be full and nobody looks */
};

static bool
tenant_pressed(const struct pw_distributor *d, uint64_t tenant)
{
    for (uint32_t i = 0; i < d->cfg.ingesters_count && d->cfg.pressure != NULL; i++) {
        if (pw_pressure_has(d->cfg.pressure[i], tenant)) {
            return true;
        }
    }
    return false;
}

static bool
any_tenant_pressed(const struct pw_distributor *d)
{
    for (uint32_t i = 0; i < d->cfg.ingesters_count && d->cfg.pressure != NULL; i++) {
        if (pw_pressure_any(d->cfg.pressure[i])) {
            return true;
        }
    }
    return false;
}

static bool
thread_behind(const struct pw_distributor *d, bool large)
{
    const struct pw_waiting_lines *l = &d->desks.waiting;
    bool many = large ? l->line[PW_WAITING_LARGE].count > PW_WAITING_LARGE_MAX / PRESSED_HALF
                      : l->small > PW_WAITING_SMALL_MAX / PRESSED_HALF;
    uint32_t slots = pw_fanout_in_flight(&d->fanout);

    if (many || slots > d->cfg.slots_max / PRESSED_HALF) {
        return true;
    }
    if (slots > LOOK_AT_LANES_ABOVE &&
        d->fanout.bulk.pages_low_used > d->fanout.bulk.pages_low / PRESSED_HALF) {
        return true;
    }
    for (uint32_t i = 0; i < d->cfg.ingesters_count && slots > LOOK_AT_LANES_ABOVE; i++) {
        if (pw_lane_used(d->cfg.out[i]) > pw_lane_capacity(d->cfg.out[i]) / PRESSED_HALF) {
            return true;
        }
    }
    return false;
}

bool
pw_distributor_pressed(const struct pw_distributor *d, uint64_t key)
{
    return (key > LARGE_KEY && tenant_pressed(d, key & ~(uint64_t)LARGE_KEY)) ||
           thread_behind(d, (key & LARGE_KEY) != 0);
}

void
pw_slow_head(struct pw_distributor *d, const struct pw_http_request *req, struct pw_http_verdict *v)
{
    uint8_t bytes[256];
    struct pw_text err;
    struct pw_slice tenant;

    v->pressed_key = req->body_bytes > PW_LARGE_BODY_BYTES ? LARGE_KEY : 0;
    pw_text_fixed(&err, bytes, sizeof(bytes));
    if (any_tenant_pressed(d) &&
        pw_tenant_from_header(d->cfg.multitenancy, pw_http_header(req, "X-Scope-OrgID"), &tenant,
                              &err) == 0) {
        v->pressed_key |= pw_tenant_pressure_key(d->cfg.hash_key, tenant);
    }
    v->pressed = pw_distributor_pressed(d, v->pressed_key);
    if (v->pressed_key > LARGE_KEY && tenant_pressed(d, v->pressed_key & ~(uint64_t)LARGE_KEY)) {
        pw_metrics_tenant(&d->metrics, tenant)->slowed++;
    }
}
