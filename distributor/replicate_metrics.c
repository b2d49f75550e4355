#include "base/metric.h"
#include "distributor/fanout.h"

#include <stdio.h>

static void
add(struct pw_replicate_stats *sum, const struct pw_replicate_stats *s)
{
    sum->items += s->items;
    sum->met += s->met;
    sum->lost += s->lost;
    sum->expired += s->expired;
    sum->calls += s->calls;
    sum->call_bytes += s->call_bytes;
    sum->acks += s->acks;
    sum->down += s->down;
    sum->full += s->full;
    sum->unknown += s->unknown;
    sum->large += s->large;
    sum->died += s->died;
    sum->cancelled += s->cancelled;
    sum->late += s->late;
    for (uint32_t i = 0; i < PW_REPLICA_STATUSES; i++) {
        sum->refused[i] += s->refused[i];
    }
}

static void
value(struct pw_text *t, const char *name, const char *label, const char *of, uint64_t v)
{
    pw_text_printf(t, "%s{%s=\"%s\"} %llu\n", name, label, of, (unsigned long long)v);
}

static void
sender(const struct pw_replicate_stats *s, struct pw_text *t)
{
    static const char items[] = "pyrowire_replication_items_total";
    static const char failures[] = "pyrowire_replication_failures_total";

    pw_metric_family(t, items, "counter", "Records with a quorum of owners, by how it ended.");
    value(t, items, "end", "met", s->met);
    value(t, items, "end", "lost", s->lost);
    pw_metric_u64(t, "pyrowire_replication_calls_total", "counter", "Records sent to peers.",
                  s->calls);
    pw_metric_u64(t, "pyrowire_replication_call_bytes_total", "counter", "Bytes of those.",
                  s->call_bytes);
    pw_metric_u64(t, "pyrowire_replication_acks_total", "counter", "Of those, acknowledged.",
                  s->acks);
    pw_metric_u64(t, "pyrowire_replication_late_total", "counter",
                  "Owners that answered after the request was decided.", s->late);
    pw_metric_u64(t, "pyrowire_replication_expired_total", "counter",
                  "Records some owner of which had not answered in time.", s->expired);
    pw_metric_family(t, failures, "counter", "Owners that failed, by cause.");
    value(t, failures, "cause", "down", s->down);
    value(t, failures, "cause", "died", s->died);
    value(t, failures, "cause", "full", s->full);
    value(t, failures, "cause", "no_link", s->unknown);
    value(t, failures, "cause", "too_large", s->large);
    value(t, failures, "cause", "timeout", s->cancelled);
    for (uint32_t i = 1; i < PW_REPLICA_STATUSES; i++) {
        char cause[48];

        snprintf(cause, sizeof(cause), "refused_%s", pw_replica_status_name(i));
        value(t, failures, "cause", cause, s->refused[i]);
    }
}

void
pw_replicate_metrics(const struct pw_fanout *const *f, uint32_t n, struct pw_text *t)
{
    static const char taken[] = "pyrowire_replica_requests_total";
    struct pw_replicate_stats sum = {0};
    uint64_t in_flight = 0;
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < n; i++) {
        add(&sum, &f[i]->replicate.stats);
        in_flight += pw_replicate_in_flight(&f[i]->replicate);
        bytes += f[i]->replica.bytes;
    }
    sender(&sum, t);
    pw_metric_u64(t, "pyrowire_replication_in_flight", "gauge",
                  "Records some owner of which has not answered yet.", in_flight);
    pw_metric_family(t, taken, "counter", "Records that peers sent, by the answer.");
    for (uint32_t s = 0; s < PW_REPLICA_STATUSES; s++) {
        uint64_t v = 0;

        for (uint32_t i = 0; i < n; i++) {
            v += f[i]->replica.answered[s];
        }
        value(t, taken, "status", pw_replica_status_name(s), v);
    }
    pw_metric_u64(t, "pyrowire_replica_bytes_total", "counter", "Bytes of those.", bytes);
}
