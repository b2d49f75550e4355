/* The ring's families of /metrics, under stock's names (operations.md 5). */
#include "app/parts.h"
#include "app/ring_priv.h"
#include "base/metric.h"

#include <inttypes.h>

enum { STATES = 5, UNHEALTHY = 4 }; /* the four of members, and those that are silent */

static const char *const state_name[STATES] = {
    [PW_INSTANCE_ACTIVE] = "ACTIVE",   [PW_INSTANCE_LEAVING] = "LEAVING",
    [PW_INSTANCE_PENDING] = "PENDING", [PW_INSTANCE_JOINING] = "JOINING",
    [UNHEALTHY] = "Unhealthy",
};

/* One ring, counted. */
struct census {
    const char *name;
    uint32_t members[STATES], tokens;
    int64_t oldest[STATES]; /* heartbeat; 0: nobody */
    uint32_t own_tokens, to_own;
    bool read_only;
    uint64_t heartbeats;
};

static void
count(struct census *c, const struct pw_ring_snapshot *s, int64_t now_s)
{
    const struct pw_ring_view *v = s->view;

    c->tokens = v->token_count;
    for (uint32_t i = 0; i < v->instance_count; i++) {
        const struct pw_instance *in = &v->instance[i];
        uint32_t k = now_s - in->timestamp > v->cfg.heartbeat_timeout ? UNHEALTHY : in->state;

        c->members[k]++;
        c->oldest[k] =
            c->oldest[k] == 0 || in->timestamp < c->oldest[k] ? in->timestamp : c->oldest[k];
    }
    if (s->self != PW_RING_NOT_A_MEMBER) {
        c->own_tokens = v->instance[s->self].token_count;
        c->read_only = v->instance[s->self].read_only;
    }
}

static void
write_members(const struct census *c, struct pw_text *t)
{
    pw_metric_family(t, "pyroscope_ring_members", "gauge",
                     "Members of the ring, by state; Unhealthy: no heartbeat for too long.");
    for (uint32_t r = 0; r < PW_APP_RINGS; r++) {
        for (uint32_t k = 0; k < STATES; k++) {
            pw_text_printf(t, "pyroscope_ring_members{name=\"%s\",state=\"%s\"} %u\n", c[r].name,
                           state_name[k], c[r].members[k]);
        }
    }
    pw_metric_family(t, "pyroscope_ring_oldest_member_timestamp", "gauge",
                     "Oldest heartbeat among the members in a state; 0 when there are none.");
    for (uint32_t r = 0; r < PW_APP_RINGS; r++) {
        for (uint32_t k = 0; k < STATES; k++) {
            pw_text_printf(
                t, "pyroscope_ring_oldest_member_timestamp{name=\"%s\",state=\"%s\"} %" PRId64 "\n",
                c[r].name, state_name[k], c[r].oldest[k]);
        }
    }
}

static void
write_own(const struct census *c, struct pw_text *t)
{
    pw_metric_family(t, "pyroscope_ring_tokens_total", "gauge", "Tokens in the ring.");
    for (uint32_t r = 0; r < PW_APP_RINGS; r++) {
        pw_text_printf(t, "pyroscope_ring_tokens_total{name=\"%s\"} %u\n", c[r].name, c[r].tokens);
    }
    pw_metric_family(t, "pyroscope_ring_member_tokens_owned", "gauge", "Tokens of this member.");
    for (uint32_t r = 0; r < PW_APP_RINGS; r++) {
        pw_text_printf(t, "pyroscope_ring_member_tokens_owned{name=\"%s\"} %u\n", c[r].name,
                       c[r].own_tokens);
    }
    pw_metric_family(t, "pyroscope_ring_member_tokens_to_own", "gauge",
                     "Tokens that this member is to have.");
    for (uint32_t r = 0; r < PW_APP_RINGS; r++) {
        pw_text_printf(t, "pyroscope_ring_member_tokens_to_own{name=\"%s\"} %u\n", c[r].name,
                       c[r].to_own);
    }
    pw_metric_family(t, "pyroscope_ring_member_heartbeats_total", "counter",
                     "Heartbeats of this member.");
    for (uint32_t r = 0; r < PW_APP_RINGS; r++) {
        pw_text_printf(t, "pyroscope_ring_member_heartbeats_total{name=\"%s\"} %" PRIu64 "\n",
                       c[r].name, c[r].heartbeats);
    }
}

void
pw_app_ring_metrics(struct pw_app_ring *r, struct pw_text *t)
{
    struct census c[PW_APP_RINGS] = {0};
    struct pw_ring_now now = pw_app_ring_now();

    for (uint32_t i = 0; i < PW_APP_RINGS; i++) {
        const struct pw_ring_snapshot *s = pw_ring_snapshot_acquire(r->ring[i].board);

        c[i].name = r->ring[i].name;
        c[i].to_own = r->ring[i].life == NULL      ? 0
                      : i == PW_APP_RING_INGESTERS ? r->app->cfg->ring.num_tokens
                                                   : 1;
        c[i].heartbeats = atomic_load_explicit(&r->ring[i].heartbeats, memory_order_relaxed);
        if (s != NULL) {
            count(&c[i], s, now.wall_s);
        }
        pw_ring_snapshot_release(s);
    }
    write_members(c, t);
    write_own(c, t);
    pw_metric_family(t, "pyroscope_lifecycler_read_only", "gauge",
                     "1 when this member is read-only.");
    for (uint32_t i = 0; i < PW_APP_RINGS; i++) {
        pw_text_printf(t, "pyroscope_lifecycler_read_only{name=\"%s\"} %d\n", c[i].name,
                       c[i].read_only);
    }
    pw_metric_u64(t, "pyroscope_distributor_replication_factor", "gauge",
                  "Ingesters that every profile is written to.",
                  r->app->cfg->ring.replication_factor);
}
