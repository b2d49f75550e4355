/* distributor/limits.h - the limits of a tenant, and which tenant a request is for.
 *
 * Purpose  one struct with every write-path limit of contract write-path.md 6, the table of
 *          overrides per tenant, and the tenant rules of section 2.
 * Owner    an overrides table is immutable once published; the control thread builds a new one and
 *          app/ swaps the pointer every worker reads once per turn.
 * Context  look-up: hot. build: cold.
 * Units    in the names; *_mb as the contract gives them (multiplied by 1048576 when used).
 * Errors   see each function.
 * Limits   PW_TENANT_BYTES_MAX.
 */
#ifndef PW_DISTRIBUTOR_LIMITS_H
#define PW_DISTRIBUTOR_LIMITS_H

#include "base/err.h"
#include "base/text.h"
#include "base/types.h"

struct pw_ingestion_limit { /* ingestion_limit, an external switch */
    bool set;
    char period_type[16];
    double period_limit_mb;
    int64_t limit_reset_time_s;
    bool limit_reached;
};

struct pw_limits {
    double ingestion_rate_mb;
    double ingestion_burst_size_mb;
    double ingestion_body_limit_mb; /* 0 off */
    uint32_t max_label_name_length;
    uint32_t max_label_value_length;
    uint32_t max_label_names_per_series;
    uint32_t max_sessions_per_series;
    bool enforce_labels_order;
    bool disable_label_sanitization;
    uint64_t max_profile_size_bytes;
    uint32_t max_profile_stacktrace_samples;
    uint32_t max_profile_stacktrace_sample_labels;
    uint32_t max_profile_stacktrace_depth;
    uint32_t max_profile_symbol_value_length;
    int64_t reject_older_than_ms;
    int64_t reject_newer_than_ms;
    uint32_t max_local_series_per_tenant;
    uint32_t max_global_series_per_tenant;
    uint32_t ingestion_tenant_shard_size; /* 0: all of the ring */
    struct pw_ingestion_limit ingestion_limit;
    /* query side, read by query/ through app/ */
    int64_t max_query_lookback_ms;
    int64_t max_query_length_ms;
    int64_t max_flamegraph_nodes_default;
    int64_t max_flamegraph_nodes_max;
    struct pw_relabel_config
        *relabel; /* ingestion_relabeling_rules compiled with the defaults; may be NULL */
};

/* The defaults of write-path.md 6 and read-path.md 3.9. */
void pw_limits_defaults(struct pw_limits *l);

struct pw_overrides; /* default limits and per-tenant ones */

struct pw_overrides *pw_overrides_new_cold(const struct pw_limits *defaults);
/* Limits of one tenant: a copy of the defaults that the caller then changes; borrowed from o. */
struct pw_limits *pw_overrides_tenant_cold(struct pw_overrides *o, struct pw_slice tenant);
void pw_overrides_free_cold(struct pw_overrides *o);
/* Never NULL. */
const struct pw_limits *pw_overrides_get(const struct pw_overrides *o, struct pw_slice tenant);

/* Tenant of the X-Scope-OrgID value (ptr == NULL: header absent) by write-path.md 2. 0 and *tenant
 * (a part of value, or "anonymous"); PW_EPERM with the client text ("no org id", "tenant ID ...
 * contains unsupported character ...", "multiple org IDs present") in err. */
PW_MUST_USE int pw_tenant_from_header(bool multitenancy, struct pw_slice value,
                                      struct pw_slice *tenant, struct pw_text *err);

#endif
