/* dataplane/http_metrics.c - the counters of HTTP as Prometheus text. */
#include "dataplane/http_conn_priv.h"

#include "base/metric.h"

static uint64_t
sum(const struct pw_http_server *const *srv, uint32_t n, size_t offset)
{
    uint64_t total = 0;

    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *stats = (const uint8_t *)&srv[i]->stats;

        total += *(const uint64_t *)(const void *)(stats + offset);
    }
    return total;
}

static void
counter(const struct pw_http_server *const *srv, uint32_t n, struct pw_text *out, const char *name,
        const char *help, size_t offset)
{
    pw_metric_u64(out, name, "counter", help, sum(srv, n, offset));
}

static void
pool_gauges(const struct pw_http_server *const *srv, uint32_t n, struct pw_text *out)
{
    uint64_t open = 0;
    uint64_t peak = 0;
    uint64_t heads = 0;
    uint64_t replies = 0;

    for (uint32_t i = 0; i < n; i++) {
        open += pw_http_server_open(srv[i]);
        peak += srv[i]->conns.used_peak;
        heads += pw_pool_used(&srv[i]->head_bufs);
        replies += pw_pool_used(&srv[i]->reply_bufs);
    }
    pw_metric_u64(out, "pyrowire_http_connections", "gauge", "Connections open now.", open);
    pw_metric_u64(out, "pyrowire_http_connections_peak", "gauge", "The most there ever were.",
                  peak);
    pw_metric_u64(out, "pyrowire_http_head_buffers", "gauge",
                  "Buffers of heads in several pieces, in use.", heads);
    pw_metric_u64(out, "pyrowire_http_reply_buffers", "gauge",
                  "Buffers of replies that wait for send room, in use.", replies);
}

void
pw_http_server_metrics(const struct pw_http_server *const *srv, uint32_t n, struct pw_text *out)
{
    pw_metric_family(out, "pyrowire_http_responses_total", "counter", "Replies by status class.");
    for (uint32_t i = 2; i < 6; i++) {
        pw_text_printf(out, "pyrowire_http_responses_total{code=\"%uxx\"} %llu\n", i,
                       (unsigned long long)sum(
                           srv, n, offsetof(struct http_stats, replies) + i * sizeof(uint64_t)));
    }
    pw_metric_family(out, "pyrowire_http_refused_total", "counter",
                     "Requests and connections that HTTP itself refused or ended, by reason.");
    for (uint32_t i = 1; i < PW_HTTP_DROP_COUNT; i++) {
        pw_text_printf(out, "pyrowire_http_refused_total{reason=\"%s\"} %llu\n",
                       pw_http_drop_info((enum pw_http_drop)i)->name,
                       (unsigned long long)sum(
                           srv, n, offsetof(struct http_stats, drops) + i * sizeof(uint64_t)));
    }
    counter(srv, n, out, "pyrowire_http_requests_total", "Well-formed request heads.",
            offsetof(struct http_stats, requests));
    counter(srv, n, out, "pyrowire_http_connections_accepted_total", "Connections accepted.",
            offsetof(struct http_stats, accepted));
    counter(srv, n, out, "pyrowire_http_received_bytes_total", "Bytes received by HTTP.",
            offsetof(struct http_stats, bytes_received));
    counter(srv, n, out, "pyrowire_http_sent_bytes_total", "Bytes handed to the transport.",
            offsetof(struct http_stats, bytes_sent));
    counter(srv, n, out, "pyrowire_http_bodies_slowed_total",
            "Bodies that were held back by the receive window.",
            offsetof(struct http_stats, bodies_slowed));
    pool_gauges(srv, n, out);
}
