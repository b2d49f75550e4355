/* distributor/metrics.h - what the write path counts, per tenant, reason and profile type.
 *
 * Purpose  the metrics of contract write-path.md 7 that belong to the distributor.
 * Owner    the polling thread adds; any thread may read and tolerates skew.
 * Context  record: hot, plain adds. text: cold.
 * Units    in the names.
 * Errors   tenants and types beyond the limits share one overflow entry.
 * Limits   PW_METRICS_TENANTS_MAX, PW_METRICS_TYPES_MAX, PW_METRICS_SCOPES_MAX.
 */
#ifndef PW_DISTRIBUTOR_METRICS_H
#define PW_DISTRIBUTOR_METRICS_H

#include "base/limits.h"
#include "base/pool.h"
#include "base/text.h"
#include "distributor/connect.h"

enum {
    PW_METRICS_TENANTS_MAX = 1024,
    PW_METRICS_TYPES_MAX = 16,
    PW_METRICS_SCOPES_MAX = 16,
    PW_METRICS_NAME_MAX = 48,
    PW_METRICS_BUCKETS = 31, /* 30 bounds and +Inf */
};

enum pw_metrics_buckets {
    PW_BUCKETS_BYTES,
    PW_BUCKETS_SAMPLES,
    PW_BUCKETS_SECONDS,
    PW_BUCKETS_BATCH
};

struct pw_metrics_hist {
    uint64_t count;
    double sum;
    uint64_t bucket[PW_METRICS_BUCKETS];
};

struct pw_metrics_type {
    uint8_t name[PW_METRICS_NAME_MAX];
    uint32_t name_len;
    uint32_t pad;
    uint64_t decompressed_total; /* usage group `other` */
    struct pw_metrics_hist compressed, decompressed, samples;
};

struct pw_metrics_scope {
    char version[PW_METRICS_NAME_MAX];
    uint32_t name; /* index into the known scope names */
    uint32_t used;
    uint64_t profiles;
};

struct pw_metrics_tenant {
    uint8_t name[PW_TENANT_BYTES_MAX];
    uint32_t name_len;
    uint64_t discarded_samples[PW_REASONS];
    uint64_t discarded_bytes[PW_REASONS];
    uint64_t sanitized_label_names;
    uint64_t slowed; /* requests whose body was held back because the tenant is near its share */
    struct pw_metrics_hist batch_series;
    struct pw_metrics_hist parse_pprof;
    struct pw_metrics_hist stage_received, stage_sampled;
    struct pw_metrics_scope scope[PW_METRICS_SCOPES_MAX];
    uint32_t type_count;
    struct pw_metrics_type type[PW_METRICS_TYPES_MAX];
};

struct pw_metrics {
    double bound[4][PW_METRICS_BUCKETS - 1]; /* by enum pw_metrics_buckets; batch has 13 */
    struct pw_pool tenants;
    uint32_t tenant_count;
    uint32_t slot[PW_METRICS_TENANTS_MAX * 2]; /* index + 1 */
    /* requests, not profiles */
    uint64_t refused[PW_REASONS];
    uint64_t requests_push, requests_ingest;
    uint64_t replies_late, replies_gone;
    uint64_t records_inline, records_bulk, record_bytes;
    uint64_t records_placed; /* finished where their profile was unpacked */
    struct pw_metrics_hist downstream[3]; /* status 200, 429, 500 */
};

PW_MUST_USE int pw_metrics_init_ctl(struct pw_metrics *m);
void pw_metrics_fini_ctl(struct pw_metrics *m);

struct pw_metrics_tenant *pw_metrics_tenant(struct pw_metrics *m, struct pw_slice name);
struct pw_metrics_type *pw_metrics_type(struct pw_metrics_tenant *t, struct pw_slice name);
void pw_metrics_observe(const struct pw_metrics *m, struct pw_metrics_hist *h,
                        enum pw_metrics_buckets b, double v);
/* scope_name and scope_version as the labels otel.scope.name and otel.scope.version have them. */
void pw_metrics_profile_received(struct pw_metrics_tenant *t, struct pw_slice scope_name,
                                 struct pw_slice scope_version);
static inline void
pw_metrics_discard(struct pw_metrics_tenant *t, enum pw_reason reason, uint64_t samples,
                   uint64_t bytes)
{
    t->discarded_samples[reason] += samples;
    t->discarded_bytes[reason] += bytes;
}

/* By index of struct pw_metrics_scope. */
const char *pw_metrics_scope_name(uint32_t i);

void pw_metrics_text_cold(struct pw_metrics *const *m, uint32_t n, struct pw_text *t);

#endif
