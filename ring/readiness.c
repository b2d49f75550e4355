#include "ring/readiness.h"

#include "ring/replication_set.h"

static bool
member_is_healthy(const struct pw_readiness *r, const struct pw_instance *in, int64_t now_s,
                  struct pw_text *why)
{
    if (now_s - in->timestamp > r->cfg.heartbeat_timeout_s) {
        pw_text_str(why, "instance ");
        pw_text_str(why, in->addr);
        pw_text_str(why, " past heartbeat timeout");
        return false;
    }
    if (in->state != PW_INSTANCE_ACTIVE) {
        pw_text_str(why, "instance ");
        pw_text_str(why, in->addr);
        pw_text_str(why, " in state ");
        pw_text_str(why, pw_instance_state_name(in->state));
        return false;
    }
    return true;
}

static bool
is_healthy(const struct pw_readiness *r, const struct pw_ring_snapshot *s, int64_t now_s,
           struct pw_text *why)
{
    const struct pw_ring_view *v = s == NULL ? NULL : s->view;

    if (v == NULL) {
        pw_text_str(why, "no ring returned from the KV store");
        return false;
    }
    if (s->self == PW_RING_NOT_A_MEMBER) {
        pw_text_str(why, "instance ");
        pw_text_str(why, r->cfg.id);
        pw_text_str(why, " not found in the ring");
        return false;
    }
    if (v->instance[s->self].token_count == 0) {
        pw_text_str(why, "this instance owns no tokens");
        return false;
    }
    if (!r->cfg.check_all) {
        return member_is_healthy(r, &v->instance[s->self], now_s, why);
    }
    for (uint32_t i = 0; i < v->instance_count; i++) {
        if (!member_is_healthy(r, &v->instance[i], now_s, why)) {
            return false;
        }
    }
    return true;
}

/* "15s", or "1.5s" where it is not whole. */
static void
put_seconds(struct pw_text *t, int64_t ms)
{
    pw_text_i64(t, ms / 1000);
    if (ms % 1000 != 0) {
        char digits[4] = {(char)('0' + ms / 100 % 10), (char)('0' + ms / 10 % 10),
                          (char)('0' + ms % 10), 0};

        for (int last = 2; digits[last] == '0'; last--) {
            digits[last] = 0;
        }
        pw_text_char(t, '.');
        pw_text_str(t, digits);
    }
    pw_text_char(t, 's');
}

bool
pw_readiness_check(struct pw_readiness *r, const struct pw_ring_snapshot *s, int64_t now_s,
                   int64_t now_ms, struct pw_text *why)
{
    int64_t none = 0;

    if (atomic_load_explicit(&r->ready, memory_order_relaxed)) {
        return true;
    }
    if (!is_healthy(r, s, now_s, why)) {
        atomic_store_explicit(&r->healthy_since_ms, 0, memory_order_relaxed);
        return false;
    }
    /* The first who asks starts the timer. */
    (void)atomic_compare_exchange_strong(&r->healthy_since_ms, &none, now_ms > 0 ? now_ms : 1);
    if (s->view->instance_count > 1 &&
        now_ms - atomic_load_explicit(&r->healthy_since_ms, memory_order_relaxed) <
            r->cfg.min_ready_ms) {
        pw_text_str(why, "waiting for ");
        put_seconds(why, r->cfg.min_ready_ms);
        pw_text_str(why, " after being ready");
        return false;
    }
    atomic_store_explicit(&r->ready, true, memory_order_relaxed);
    return true;
}

bool
pw_readiness_writable(const struct pw_ring_snapshot *s, int64_t now_s, struct pw_text *why)
{
    const struct pw_ring_view *v = s == NULL ? NULL : s->view;

    if (v == NULL || v->instance_count == 0) {
        pw_text_str(why, "ingester ring: empty ring");
        return false;
    }
    for (uint32_t i = 0; i < v->instance_count; i++) {
        if (pw_instance_healthy(&v->instance[i], PW_RING_WRITE, now_s, v->cfg.heartbeat_timeout)) {
            return true;
        }
    }
    pw_text_str(why, "ingester ring has no healthy instances");
    return false;
}
