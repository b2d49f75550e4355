#include "distributor/metrics.h"

#include "base/metric.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* All distributors' tenants merged by name; cold, so plain memory. */
struct merged {
    struct pw_metrics_tenant **tenant;
    uint32_t count;
};

static void
hist_add(struct pw_metrics_hist *into, const struct pw_metrics_hist *from)
{
    into->count += from->count;
    into->sum += from->sum;
    for (uint32_t i = 0; i < PW_METRICS_BUCKETS; i++) {
        into->bucket[i] += from->bucket[i];
    }
}

static void
tenant_add(struct pw_metrics_tenant *into, const struct pw_metrics_tenant *from)
{
    for (uint32_t r = 0; r < PW_REASONS; r++) {
        into->discarded_samples[r] += from->discarded_samples[r];
        into->discarded_bytes[r] += from->discarded_bytes[r];
    }
    into->sanitized_label_names += from->sanitized_label_names;
    into->slowed += from->slowed;
    hist_add(&into->batch_series, &from->batch_series);
    hist_add(&into->parse_pprof, &from->parse_pprof);
    hist_add(&into->stage_received, &from->stage_received);
    hist_add(&into->stage_sampled, &from->stage_sampled);
    for (uint32_t i = 0; i < from->type_count; i++) {
        const struct pw_metrics_type *f = &from->type[i];
        struct pw_metrics_type *e = pw_metrics_type(into, pw_slice(f->name, f->name_len));

        e->decompressed_total += f->decompressed_total;
        hist_add(&e->compressed, &f->compressed);
        hist_add(&e->decompressed, &f->decompressed);
        hist_add(&e->samples, &f->samples);
    }
    for (uint32_t i = 0; i < PW_METRICS_SCOPES_MAX && from->scope[i].used != 0; i++) {
        const struct pw_metrics_scope *f = &from->scope[i];

        for (uint32_t k = 0; k < PW_METRICS_SCOPES_MAX; k++) {
            struct pw_metrics_scope *e = &into->scope[k];

            if (e->used == 0 || k == PW_METRICS_SCOPES_MAX - 1 ||
                (e->name == f->name && strcmp(e->version, f->version) == 0)) {
                uint64_t had = e->used == 0 ? 0 : e->profiles;

                *e = e->used == 0 ? *f : *e;
                e->profiles = had + f->profiles;
                break;
            }
        }
    }
}

static bool
merge_one(struct merged *all, const struct pw_metrics_tenant *from)
{
    struct pw_metrics_tenant **grown;
    struct pw_metrics_tenant *t;

    for (uint32_t i = 0; i < all->count; i++) {
        t = all->tenant[i];
        if (t->name_len == from->name_len && memcmp(t->name, from->name, t->name_len) == 0) {
            tenant_add(t, from);
            return true;
        }
    }
    grown = realloc(all->tenant, (all->count + 1) * sizeof(*grown));
    if (grown == NULL) {
        return false;
    }
    all->tenant = grown;
    t = malloc(sizeof(*t));
    if (t == NULL) {
        return false;
    }
    *t = *from;
    all->tenant[all->count++] = t;
    return true;
}

static bool
merge_all(struct merged *all, struct pw_metrics *const *m, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t k = 0; k < m[i]->tenant_count; k++) {
            if (!merge_one(all, pw_pool_at(&m[i]->tenants, k))) {
                return false;
            }
        }
        if (m[i]->tenant_count == PW_METRICS_TENANTS_MAX - 1) {
            const struct pw_metrics_tenant *o =
                pw_pool_at(&m[i]->tenants, PW_METRICS_TENANTS_MAX - 1);

            if (o->name_len != 0 && !merge_one(all, o)) {
                return false;
            }
        }
    }
    return true;
}

/* key="value" with Prometheus escapes. */
static void
label(struct pw_text *t, const char *key, const uint8_t *value, size_t len)
{
    pw_text_str(t, key);
    pw_text_str(t, "=\"");
    for (size_t i = 0; i < len; i++) {
        if (value[i] == '\n') {
            pw_text_str(t, "\\n");
        } else {
            if (value[i] == '"' || value[i] == '\\') {
                pw_text_char(t, '\\');
            }
            pw_text_char(t, (char)value[i]);
        }
    }
    pw_text_char(t, '"');
}

static void
tenant_label(struct pw_text *t, const struct pw_metrics_tenant *e)
{
    label(t, "tenant", e->name, e->name_len);
}

struct series { /* labels of one histogram, without le */
    const char *name;
    const struct pw_metrics_tenant *tenant;
    const struct pw_metrics_type *type;
    const char *extra; /* such as stage="received"; NULL */
};

static void
series_labels(struct pw_text *t, const struct series *s, const char *suffix)
{
    const char *comma = "";

    pw_text_str(t, s->name);
    pw_text_str(t, suffix);
    pw_text_char(t, '{');
    if (s->extra != NULL) {
        pw_text_str(t, s->extra);
        comma = ",";
    }
    if (s->tenant != NULL) {
        pw_text_str(t, comma);
        tenant_label(t, s->tenant);
        comma = ",";
    }
    if (s->type != NULL) {
        pw_text_str(t, comma);
        label(t, "type", s->type->name, s->type->name_len);
    }
}

static void
hist_text(struct pw_text *t, const struct series *s, const struct pw_metrics_hist *h,
          const double *bound)
{
    uint64_t sum = 0;

    if (h->count == 0) {
        return;
    }
    for (uint32_t i = 0; i < PW_METRICS_BUCKETS - 1 && !isinf(bound[i]); i++) {
        sum += h->bucket[i];
        series_labels(t, s, "_bucket");
        pw_text_printf(t, ",le=\"%.9g\"} ", bound[i]);
        pw_text_u64(t, sum);
        pw_text_char(t, '\n');
    }
    series_labels(t, s, "_bucket");
    pw_text_printf(t, ",le=\"+Inf\"} %llu\n", (unsigned long long)h->count);
    series_labels(t, s, "_sum");
    pw_text_printf(t, "} %.9g\n", h->sum);
    series_labels(t, s, "_count");
    pw_text_printf(t, "} %llu\n", (unsigned long long)h->count);
}

static void
discards(struct pw_text *t, const struct merged *all, bool bytes)
{
    const char *name =
        bytes ? "pyroscope_discarded_bytes_total" : "pyroscope_discarded_samples_total";

    pw_metric_family(t, name, "counter",
                     bytes ? "The total number of bytes that were discarded."
                           : "The total number of samples that were discarded.");
    for (uint32_t i = 0; i < all->count; i++) {
        const struct pw_metrics_tenant *e = all->tenant[i];

        for (uint32_t r = 1; r < PW_REASONS; r++) {
            uint64_t v = bytes ? e->discarded_bytes[r] : e->discarded_samples[r];

            if (v != 0) {
                pw_text_printf(t, "%s{reason=\"%s\",", name, pw_reason_name((enum pw_reason)r));
                tenant_label(t, e);
                pw_text_printf(t, "} %llu\n", (unsigned long long)v);
            }
        }
    }
}

static void
tenant_hists(struct pw_text *t, const struct merged *all, const struct pw_metrics *m)
{
    const char *parse = "pyroscope_distributor_parse_duration_seconds";
    const char *batch = "pyroscope_distributor_push_batch_series";
    const char *stage = "pyroscope_distributor_received_decompressed_bytes_total";

    pw_metric_family(t, batch, "histogram", "The number of series in a push request.");
    for (uint32_t i = 0; i < all->count; i++) {
        hist_text(t, &(struct series){.name = batch, .tenant = all->tenant[i]},
                  &all->tenant[i]->batch_series, m->bound[PW_BUCKETS_BATCH]);
    }
    pw_metric_family(t, parse, "histogram",
                     "The time spent reading the body of an /ingest request.");
    for (uint32_t i = 0; i < all->count; i++) {
        hist_text(
            t, &(struct series){.name = parse, .tenant = all->tenant[i], .extra = "type=\"pprof\""},
            &all->tenant[i]->parse_pprof, m->bound[PW_BUCKETS_SECONDS]);
    }
    pw_metric_family(t, stage, "histogram", "The size of profiles by stage of processing.");
    for (uint32_t i = 0; i < all->count; i++) {
        hist_text(t,
                  &(struct series){
                      .name = stage, .tenant = all->tenant[i], .extra = "stage=\"received\""},
                  &all->tenant[i]->stage_received, m->bound[PW_BUCKETS_BYTES]);
        hist_text(
            t,
            &(struct series){.name = stage, .tenant = all->tenant[i], .extra = "stage=\"sampled\""},
            &all->tenant[i]->stage_sampled, m->bound[PW_BUCKETS_BYTES]);
    }
}

enum type_hist { TYPE_COMPRESSED, TYPE_DECOMPRESSED, TYPE_SAMPLES };

static const struct pw_metrics_hist *
type_hist(const struct pw_metrics_type *e, enum type_hist which)
{
    return which == TYPE_COMPRESSED     ? &e->compressed
           : which == TYPE_DECOMPRESSED ? &e->decompressed
                                        : &e->samples;
}

static void
type_hists(struct pw_text *t, const struct merged *all, const struct pw_metrics *m)
{
    static const struct {
        const char *name;
        const char *help;
        enum type_hist which;
        enum pw_metrics_buckets buckets;
    } rows[] = {
        {"pyroscope_distributor_received_compressed_bytes", "The size of profiles as sent.",
         TYPE_COMPRESSED, PW_BUCKETS_BYTES},
        {"pyroscope_distributor_received_decompressed_bytes", "The size of profiles unpacked.",
         TYPE_DECOMPRESSED, PW_BUCKETS_BYTES},
        {"pyroscope_distributor_received_samples", "The number of samples of a profile.",
         TYPE_SAMPLES, PW_BUCKETS_SAMPLES},
    };

    for (size_t r = 0; r < PW_ARRAY_LEN(rows); r++) {
        pw_metric_family(t, rows[r].name, "histogram", rows[r].help);
        for (uint32_t i = 0; i < all->count; i++) {
            for (uint32_t k = 0; k < all->tenant[i]->type_count; k++) {
                const struct pw_metrics_type *e = &all->tenant[i]->type[k];

                hist_text(
                    t, &(struct series){.name = rows[r].name, .tenant = all->tenant[i], .type = e},
                    type_hist(e, rows[r].which), m->bound[rows[r].buckets]);
            }
        }
    }
}

static void
tenant_counters(struct pw_text *t, const struct merged *all)
{
    pw_metric_family(t, "pyroscope_sanitized_label_names_total", "counter",
                     "Label names that were changed.");
    for (uint32_t i = 0; i < all->count; i++) {
        if (all->tenant[i]->sanitized_label_names != 0) {
            pw_text_str(t, "pyroscope_sanitized_label_names_total{");
            tenant_label(t, all->tenant[i]);
            pw_text_printf(t, "} %llu\n",
                           (unsigned long long)all->tenant[i]->sanitized_label_names);
        }
    }
    pw_metric_family(t, "pyrowire_distributor_slowed_total", "counter",
                     "Pushes held back by the receive window because their tenant is near its share.");
    for (uint32_t i = 0; i < all->count; i++) {
        if (all->tenant[i]->slowed != 0) {
            pw_text_str(t, "pyrowire_distributor_slowed_total{");
            tenant_label(t, all->tenant[i]);
            pw_text_printf(t, "} %llu\n", (unsigned long long)all->tenant[i]->slowed);
        }
    }
    pw_metric_family(t, "pyroscope_distributor_profiles_received_total", "counter",
                     "Profiles by what sent them.");
    for (uint32_t i = 0; i < all->count; i++) {
        for (uint32_t k = 0; k < PW_METRICS_SCOPES_MAX && all->tenant[i]->scope[k].used; k++) {
            const struct pw_metrics_scope *s = &all->tenant[i]->scope[k];

            pw_text_printf(t,
                           "pyroscope_distributor_profiles_received_total{scope_name=\"%s\","
                           "scope_version=\"%s\",",
                           pw_metrics_scope_name(s->name), s->version);
            tenant_label(t, all->tenant[i]);
            pw_text_printf(t, "} %llu\n", (unsigned long long)s->profiles);
        }
    }
    pw_metric_family(t, "pyroscope_usage_group_received_decompressed_total", "counter",
                     "Unpacked bytes by usage group.");
    for (uint32_t i = 0; i < all->count; i++) {
        for (uint32_t k = 0; k < all->tenant[i]->type_count; k++) {
            const struct pw_metrics_type *e = &all->tenant[i]->type[k];

            pw_text_str(t, "pyroscope_usage_group_received_decompressed_total{");
            tenant_label(t, all->tenant[i]);
            pw_text_char(t, ',');
            label(t, "type", e->name, e->name_len);
            pw_text_printf(t, ",usage_group=\"other\"} %llu\n",
                           (unsigned long long)e->decompressed_total);
        }
    }
}

/* What no tenant owns, summed over the distributors. */
static void
shared_counters(struct pw_text *t, struct pw_metrics *const *m, uint32_t n)
{
    static const char *const statuses[] = {"200", "429", "500"};
    const char *downstream = "pyroscope_write_path_downstream_request_duration_seconds";
    uint64_t bulk = 0;
    uint64_t inl = 0, placed = 0;
    uint64_t bytes = 0;
    uint64_t late = 0;
    uint64_t gone = 0;

    pw_metric_family(t, downstream, "histogram", "Time until an ingester acknowledged a record.");
    for (uint32_t s = 0; s < PW_ARRAY_LEN(statuses); s++) {
        struct pw_metrics_hist sum = {0};
        char extra[64];

        for (uint32_t i = 0; i < n; i++) {
            hist_add(&sum, &m[i]->downstream[s]);
        }
        snprintf(extra, sizeof(extra), "route=\"ingester\",primary=\"1\",status=\"%s\"",
                 statuses[s]);
        hist_text(t, &(struct series){.name = downstream, .extra = extra}, &sum,
                  m[0]->bound[PW_BUCKETS_SECONDS]);
    }
    pw_metric_family(t, "pyrowire_distributor_refused_requests_total", "counter",
                     "Requests refused whole.");
    for (uint32_t r = 1; r < PW_REASONS; r++) {
        uint64_t v = 0;

        for (uint32_t i = 0; i < n; i++) {
            v += m[i]->refused[r];
        }
        if (v != 0) {
            pw_text_printf(t, "pyrowire_distributor_refused_requests_total{reason=\"%s\"} %llu\n",
                           pw_reason_name((enum pw_reason)r), (unsigned long long)v);
        }
    }
    for (uint32_t i = 0; i < n; i++) {
        inl += m[i]->records_inline;
        bulk += m[i]->records_bulk;
        bytes += m[i]->record_bytes;
        placed += m[i]->records_placed;
        late += m[i]->replies_late;
        gone += m[i]->replies_gone;
    }
    pw_metric_family(t, "pyrowire_distributor_records_total", "counter",
                     "Records sent to ingester cores.");
    pw_text_printf(t, "pyrowire_distributor_records_total{way=\"inline\"} %llu\n",
                   (unsigned long long)inl);
    pw_text_printf(t, "pyrowire_distributor_records_total{way=\"bulk\"} %llu\n",
                   (unsigned long long)bulk);
    pw_metric_family(t, "pyrowire_distributor_records_placed_total", "counter",
                     "Records finished where their profile was unpacked, to a core or to its owners.");
    pw_text_printf(t, "pyrowire_distributor_records_placed_total %llu\n",
                   (unsigned long long)placed);
    pw_metric_family(t, "pyrowire_distributor_record_bytes_total", "counter",
                     "Bytes of those records.");
    pw_text_printf(t, "pyrowire_distributor_record_bytes_total %llu\n", (unsigned long long)bytes);
    pw_metric_family(t, "pyrowire_distributor_late_total", "counter",
                     "Answers 504 for want of acknowledgement.");
    pw_text_printf(t, "pyrowire_distributor_late_total %llu\n", (unsigned long long)late);
    pw_metric_family(t, "pyrowire_distributor_abandoned_total", "counter",
                     "Connections gone before the answer.");
    pw_text_printf(t, "pyrowire_distributor_abandoned_total %llu\n", (unsigned long long)gone);
}

void
pw_metrics_text_cold(struct pw_metrics *const *m, uint32_t n, struct pw_text *t)
{
    struct merged all = {0};

    if (n == 0) {
        return;
    }
    if (!merge_all(&all, m, n)) {
        t->failed = true;
    }
    discards(t, &all, false);
    discards(t, &all, true);
    tenant_counters(t, &all);
    tenant_hists(t, &all, m[0]);
    type_hists(t, &all, m[0]);
    shared_counters(t, m, n);
    for (uint32_t i = 0; i < all.count; i++) {
        free(all.tenant[i]);
    }
    free(all.tenant);
}
