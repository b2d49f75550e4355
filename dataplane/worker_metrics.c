#include "dataplane/worker_priv.h"

#include <rte_mempool.h>

#include <inttypes.h>

struct named {
    const char *name;
    const char *text;
};

static const struct named drops[] = {
#define PW_DROP_REASON(symbol, name, text) [PW_DROP_##symbol] = {name, text},
#include "dataplane/drop.def"
#undef PW_DROP_REASON
};

static const struct named stats[] = {
#define PW_WORKER_STAT(symbol, name, help) [PW_STAT_##symbol] = {name, help},
#include "dataplane/stat.def"
#undef PW_WORKER_STAT
};

static uint64_t
by_name(const struct named *list, uint32_t n, const uint64_t *value, const char *name)
{
    for (uint32_t i = 0; i < n; i++) {
        if (strcmp(list[i].name, name) == 0) {
            return value[i];
        }
    }
    return UINT64_MAX;
}

uint64_t
pw_worker_drops(const struct pw_worker *w, const char *reason)
{
    return by_name(drops, PW_DROP_COUNT, w->drop, reason);
}

uint64_t
pw_worker_stat(const struct pw_worker *w, const char *name)
{
    return by_name(stats, PW_STAT_COUNT, w->stat, name);
}

static void
head(struct pw_text *out, const char *name, const char *type, const char *help)
{
    pw_text_printf(out, "# HELP pyrowire_worker_%s %s\n# TYPE pyrowire_worker_%s %s\n", name, help,
                   name, type);
}

static void
line(struct pw_text *out, const char *name, const struct pw_worker *w, uint64_t value)
{
    pw_text_printf(out, "pyrowire_worker_%s{worker=\"%s%" PRIu32 "\"} %" PRIu64 "\n", name, w->kind,
                   w->index, value);
}

struct gauge {
    const char *name;
    const char *help;
    uint64_t (*read)(const struct pw_worker *w);
};

static uint64_t
gauge_open(const struct pw_worker *w)
{
    return w->tcp.open;
}

static uint64_t
gauge_half_open(const struct pw_worker *w)
{
    return w->tcp.half_open;
}

static uint64_t
gauge_tcbs(const struct pw_worker *w)
{
    return pw_pool_used(&w->tcp.tcbs);
}

static uint64_t
gauge_tcbs_peak(const struct pw_worker *w)
{
    return w->tcp.tcbs.used_peak;
}

static uint64_t
gauge_chunks(const struct pw_worker *w)
{
    return (uint64_t)pw_pool_used(&w->tcp.chunks) * sizeof(struct pw_snd_chunk);
}

static uint64_t
gauge_rx_budget(const struct pw_worker *w)
{
    return w->tcp.cfg.rx_budget_bytes;
}

static uint64_t
gauge_rx_free(const struct pw_worker *w)
{
    return w->tcp.rx_budget_free;
}

static uint64_t
gauge_mbufs_free(const struct pw_worker *w)
{
    return rte_mempool_avail_count(w->mempool);
}

static const struct gauge gauges[] = {
    {"connections", "Connections that applications have.", gauge_open},
    {"connections_half_open", "Connections in SYN_RECEIVED.", gauge_half_open},
    {"connections_all", "Connections in any state, TIME_WAIT included.", gauge_tcbs},
    {"connections_all_peak", "The most there ever were.", gauge_tcbs_peak},
    {"send_buffer_bytes", "Bytes of send buffers in use.", gauge_chunks},
    {"receive_budget_bytes", "Buffer bytes that windows may be offered against.", gauge_rx_budget},
    {"receive_budget_free_bytes", "The part of it not set aside.", gauge_rx_free},
    {"mbufs_free", "Buffers in the mempool.", gauge_mbufs_free},
};

void
pw_worker_metrics(struct pw_worker *const *w, uint32_t n, struct pw_text *out)
{
    char name[64];

    for (uint32_t s = 0; s < PW_STAT_COUNT; s++) {
        snprintf(name, sizeof(name), "%s_total", stats[s].name);
        head(out, name, "counter", stats[s].text);
        for (uint32_t i = 0; i < n; i++) {
            line(out, name, w[i], w[i]->stat[s]);
        }
    }
    head(out, "drops_total", "counter", "Frames refused or lost, by reason.");
    for (uint32_t d = 0; d < PW_DROP_COUNT; d++) {
        for (uint32_t i = 0; i < n; i++) {
            pw_text_printf(out,
                           "pyrowire_worker_drops_total{worker=\"%s%" PRIu32
                           "\",reason=\"%s\"} %" PRIu64 "\n",
                           w[i]->kind, w[i]->index, drops[d].name, w[i]->drop[d]);
        }
    }
    for (uint32_t g = 0; g < PW_ARRAY_LEN(gauges); g++) {
        head(out, gauges[g].name, "gauge", gauges[g].help);
        for (uint32_t i = 0; i < n; i++) {
            line(out, gauges[g].name, w[i], gauges[g].read(w[i]));
        }
    }
    head(out, "driver_seconds_total", "counter",
         "Time inside rx_burst and tx_burst that did work.");
    for (uint32_t i = 0; i < n; i++) {
        pw_text_printf(out, "pyrowire_worker_driver_seconds_total{worker=\"%s%" PRIu32 "\"} %.9f\n",
                       w[i]->kind, w[i]->index, (double)w[i]->driver_tsc / (double)w[i]->tsc_hz);
    }
}
