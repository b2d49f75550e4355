#include "base/metric.h"
#include "ingester/wal_priv.h"

static uint64_t
get(const _Atomic uint64_t *c)
{
    return atomic_load_explicit(c, memory_order_relaxed);
}

void
pw_wal_stats(const struct pw_wal *w, struct pw_wal_stats *st)
{
    *st = (struct pw_wal_stats){
        .records = get(&w->records),
        .bytes = get(&w->bytes),
        .commits = get(&w->commits),
        .raw_records = get(&w->raw_records),
        .failed_commits = get(&w->failed_commits),
        .refused_full = get(&w->refused_full),
        .refused_error = get(&w->refused_error),
        .abandoned_segments = get(&w->abandoned),
        .segments = get(&w->segments),
        .segment_bytes = get(&w->segment_bytes),
        .sequence = get(&w->sequence),
        .settled = get(&w->through),
        .reused_segments = get(&w->reused),
        .writer_cpu_ns = get(&w->cpu_ns),
        .disk_full = atomic_load_explicit(&w->state, memory_order_relaxed) == PW_ENOSPC,
    };
}

void
pw_wal_metrics(struct pw_wal_dir *d, struct pw_text *t)
{
    struct pw_wal_stats sum = {0};
    uint64_t full = 0;

    for (uint32_t i = 0; i < d->logs; i++) {
        struct pw_wal_stats st;

        pw_wal_stats(d->log[i], &st);
        sum.records += st.records;
        sum.raw_records += st.raw_records;
        sum.bytes += st.bytes;
        sum.commits += st.commits;
        sum.failed_commits += st.failed_commits;
        sum.refused_full += st.refused_full;
        sum.refused_error += st.refused_error;
        sum.abandoned_segments += st.abandoned_segments;
        sum.segments += st.segments;
        sum.segment_bytes += st.segment_bytes;
        sum.reused_segments += st.reused_segments;
        sum.writer_cpu_ns += st.writer_cpu_ns;
        sum.sequence += st.sequence - st.settled;
        full += st.disk_full;
    }
    pw_metric_f64(t, "pyrowire_wal_records_total", "counter", "Records written to the log.",
                  (double)sum.records);
    pw_metric_f64(t, "pyrowire_wal_raw_records_total", "counter",
                  "Of them, those kept as they were pushed.", (double)sum.raw_records);
    pw_metric_f64(t, "pyrowire_wal_bytes_total", "counter", "Bytes written to the log.",
                  (double)sum.bytes);
    pw_metric_f64(t, "pyrowire_wal_commits_total", "counter",
                  "Group commits: one write and one sync each.", (double)sum.commits);
    pw_metric_f64(t, "pyrowire_wal_failed_commits_total", "counter",
                  "Commits that no segment took.", (double)sum.failed_commits);
    pw_metric_f64(t, "pyrowire_wal_abandoned_segments_total", "counter",
                  "Segments given up after a failed write or sync.",
                  (double)sum.abandoned_segments);
    pw_metric_f64(t, "pyrowire_wal_segments", "gauge",
                  "Segments on disk, spare and kept ones included.", (double)sum.segments);
    pw_metric_f64(t, "pyrowire_wal_segment_bytes", "gauge", "Bytes allocated to them.",
                  (double)sum.segment_bytes);
    pw_metric_f64(t, "pyrowire_wal_reused_segments_total", "counter",
                  "Segments begun in a file that was one before.", (double)sum.reused_segments);
    pw_metric_f64(t, "pyrowire_wal_unsettled_records", "gauge", "Records that wait for their sync.",
                  (double)sum.sequence);
    pw_metric_f64(t, "pyrowire_wal_full_logs", "gauge", "Logs without room on their disk.",
                  (double)full);
    pw_metric_f64(t, "pyrowire_wal_writer_cpu_seconds_total", "counter",
                  "CPU time of the writer threads.", (double)sum.writer_cpu_ns / 1e9);
    pw_text_printf(t,
                   "# HELP pyrowire_wal_refused_total Pushes refused because of the log's disk.\n"
                   "# TYPE pyrowire_wal_refused_total counter\n"
                   "pyrowire_wal_refused_total{reason=\"disk_full\"} %llu\n"
                   "pyrowire_wal_refused_total{reason=\"disk_error\"} %llu\n",
                   (unsigned long long)sum.refused_full, (unsigned long long)sum.refused_error);
}
