#include "app/limits_yaml.h"

#include <errno.h>
#include <stdlib.h>

/* Of stock 2.2 (operations.md 1.3, write-path.md 4 and 6): refused by name, not as a typing error. */
static const char *const not_yet[] = {
    "limits.adaptive_placement_default_dataset_shards",
    "limits.adaptive_placement_load_balancing",
    "limits.adaptive_placement_tenant_shards",
    "limits.adaptive_placement_unit_size_bytes",
    "limits.async_ingest",
    "limits.compactor_blocks_retention_period",
    "limits.compactor_split_and_merge_shards",
    "limits.compactor_tenant_shard_size",
    "limits.distributor_sampling",
    "limits.distributor_usage_groups",
    "limits.enable_query_backend",
    "limits.enable_query_backend_from",
    "limits.max_query_parallelism",
    "limits.max_recording_rules",
    "limits.retention_period",
    "limits.sample_type_relabeling_rules",
    "limits.split_queries_by_interval",
    "limits.store_gateway_tenant_shard_size",
    "limits.write_path",
    "limits.write_path_compression",
    "limits.write_path_ingester_weight",
    "limits.write_path_segment_writer_timeout",
    "limits.write_path_segment_writer_weight",
};

/* A scalar as text in buf; false when it is none or too long. */
static bool
scalar_text(const yaml_node_t *n, char *buf, size_t cap)
{
    struct pw_slice s = pw_yaml_scalar(n);

    if (s.ptr == NULL || s.len >= cap || memchr(s.ptr, 0, s.len) != NULL) {
        return false;
    }
    memcpy(buf, s.ptr, s.len);
    buf[s.len] = 0;
    return true;
}

static bool
read_number(const yaml_node_t *n, double *v)
{
    char buf[64];
    char *end;

    if (!scalar_text(n, buf, sizeof(buf)) || buf[0] == 0 ||
        strspn(buf, "0123456789.eE+-") != strlen(buf)) {
        return false;
    }
    *v = strtod(buf, &end);
    return *end == 0 && *v >= 0 && *v <= 9e15;
}

static bool
read_bool(const yaml_node_t *n, bool *v)
{
    struct pw_slice s = pw_yaml_scalar(n);

    *v = pw_slice_caseeq_str(s, "true") || pw_slice_caseeq_str(s, "yes") ||
         pw_slice_caseeq_str(s, "on");
    return *v || pw_slice_caseeq_str(s, "false") || pw_slice_caseeq_str(s, "no") ||
           pw_slice_caseeq_str(s, "off");
}

/* `sampling: {num_requests: 0, period: ...}` lets nothing through while the limit is reached, which is
 * what this build does; letting some requests through is not there. */
static void
read_ingestion_sampling(struct pw_yaml_apply *a, const yaml_node_t *n)
{
    if (n->type != YAML_MAPPING_NODE) {
        pw_yaml_fault(a, n, "option limits.ingestion_limit.sampling: must be a mapping");
        return;
    }
    for (yaml_node_pair_t *p = n->data.mapping.pairs.start; p < n->data.mapping.pairs.top; p++) {
        struct pw_slice k = pw_yaml_scalar(pw_yaml_node(a->y, p->key));
        const yaml_node_t *value = pw_yaml_node(a->y, p->value);
        double requests = 0;

        if (pw_slice_eq_str(k, "num_requests")) {
            if (!read_number(value, &requests) || requests != 0) {
                pw_yaml_fault(a, value,
                              "option limits.ingestion_limit.sampling.num_requests: must be 0; "
                              "other values are not yet in this build");
            }
        } else if (!pw_slice_eq_str(k, "period")) {
            pw_yaml_fault(a, pw_yaml_node(a->y, p->key),
                          "field %.*s not found in type ingestlimits.SamplingConfig", (int)k.len,
                          k.ptr == NULL ? "" : (const char *)k.ptr);
        }
    }
}

/* One key of ingestion_limit, write-path.md 6. */
static void
read_ingestion_key(struct pw_yaml_apply *a, struct pw_ingestion_limit *l, const yaml_node_t *key,
                   const yaml_node_t *value)
{
    struct pw_slice k = pw_yaml_scalar(key);
    double number = 0;
    const char *must = NULL;

    if (pw_slice_eq_str(k, "period_type")) {
        must = scalar_text(value, l->period_type, sizeof(l->period_type))
                   ? NULL
                   : "text of at most 15 bytes, such as hour";
    } else if (pw_slice_eq_str(k, "period_limit_mb")) {
        must = read_number(value, &l->period_limit_mb) ? NULL : "a number of MiB from 0";
    } else if (pw_slice_eq_str(k, "limit_reset_time")) {
        must = read_number(value, &number) ? NULL : "a time in seconds since 1970";
        l->limit_reset_time_s = (int64_t)number;
    } else if (pw_slice_eq_str(k, "limit_reached")) {
        must = read_bool(value, &l->limit_reached) ? NULL : "true or false";
    } else if (pw_slice_eq_str(k, "sampling") && !pw_yaml_is_null(value)) {
        read_ingestion_sampling(a, value);
        return;
    } else if (pw_slice_eq_str(k, "sampling") || pw_slice_eq_str(k, "usage_groups")) {
        if (!pw_yaml_is_null(value)) {
            pw_yaml_fault(a, key, "option limits.ingestion_limit.%.*s: not yet in this build",
                          (int)k.len, (const char *)k.ptr);
        }
        return;
    } else {
        pw_yaml_fault(a, key, "field %.*s not found in type ingestlimits.Config", (int)k.len,
                      k.ptr == NULL ? "" : (const char *)k.ptr);
        return;
    }
    if (must != NULL) {
        pw_yaml_fault(a, value, "option limits.ingestion_limit.%.*s: must be %s", (int)k.len,
                      (const char *)k.ptr, must);
    }
}

static void
read_ingestion_limit(struct pw_yaml_apply *a, yaml_node_t *n)
{
    struct pw_ingestion_limit *l = &a->cfg->limits.ingestion_limit;

    *l = (struct pw_ingestion_limit){0};
    if (pw_yaml_is_null(n)) {
        return;
    }
    if (n->type != YAML_MAPPING_NODE) {
        pw_yaml_fault(a, n, "option limits.ingestion_limit: must be a mapping");
        return;
    }
    for (yaml_node_pair_t *p = n->data.mapping.pairs.start; p < n->data.mapping.pairs.top; p++) {
        read_ingestion_key(a, l, pw_yaml_node(a->y, p->key), pw_yaml_node(a->y, p->value));
    }
    l->set = true;
}

bool
pw_limits_yaml_other(void *ctx, struct pw_yaml_apply *a, struct pw_slice path, yaml_node_t *value)
{
    (void)ctx;
    if (pw_slice_eq_str(path, "limits.ingestion_limit")) {
        read_ingestion_limit(a, value);
        return true;
    }
    for (size_t i = 0; i < PW_ARRAY_LEN(not_yet); i++) {
        if (pw_slice_eq_str(path, not_yet[i])) {
            pw_yaml_fault(a, value, "option %s: not yet in this build", not_yet[i]);
            return true;
        }
    }
    return false;
}
