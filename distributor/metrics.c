#include "distributor/metrics.h"

#include "base/hash.h"

#include <math.h>

enum { BATCH_BOUNDS = 13 }; /* 1, 2, 4 ... 4096 */

static const char *const scope_names[] = {
    "unknown",
    "com.grafana.pyroscope/go",
    "com.grafana.pyroscope/godeltaprof",
    "com.grafana.pyroscope/java",
    "com.grafana.pyroscope/dotnet",
    "com.grafana.pyroscope/rust",
    "com.grafana.pyroscope/python",
    "com.grafana.pyroscope/ruby",
    "com.grafana.pyroscope/nodejs",
    "com.grafana.alloy/pyroscope.scrape",
    "com.grafana.alloy/pyroscope.ebpf",
    "com.grafana.alloy/pyroscope.java",
};

const char *
pw_metrics_scope_name(uint32_t i)
{
    return scope_names[i < PW_ARRAY_LEN(scope_names) ? i : 0];
}

static void
exponential(double *bound, double min, double max)
{
    double factor = pow(max / min, 1.0 / (PW_METRICS_BUCKETS - 2));

    for (uint32_t i = 0; i < PW_METRICS_BUCKETS - 1; i++) {
        bound[i] = i == 0 ? min : bound[i - 1] * factor;
    }
}

int
pw_metrics_init_ctl(struct pw_metrics *m)
{
    *m = (struct pw_metrics){0};
    exponential(m->bound[PW_BUCKETS_BYTES], 10240, 15728640);
    exponential(m->bound[PW_BUCKETS_SAMPLES], 100, 100000);
    exponential(m->bound[PW_BUCKETS_SECONDS], 0.001, 10);
    for (uint32_t i = 0; i < PW_METRICS_BUCKETS - 1; i++) {
        m->bound[PW_BUCKETS_BATCH][i] = i < BATCH_BOUNDS ? (double)(1U << i) : INFINITY;
    }
    return pw_pool_init_ctl(&m->tenants, PW_METRICS_TENANTS_MAX,
                            (uint32_t)sizeof(struct pw_metrics_tenant));
}

void
pw_metrics_fini_ctl(struct pw_metrics *m)
{
    pw_pool_fini_ctl(&m->tenants);
}

struct pw_metrics_tenant *
pw_metrics_tenant(struct pw_metrics *m, struct pw_slice name)
{
    uint32_t mask = (uint32_t)PW_ARRAY_LEN(m->slot) - 1;
    uint32_t i = (uint32_t)pw_xxh64(name.ptr, name.len) & mask;
    struct pw_metrics_tenant *t;

    for (; m->slot[i] != 0; i = (i + 1) & mask) { /* ends: at most half full */
        t = pw_pool_at(&m->tenants, m->slot[i] - 1);
        if (pw_slice_eq(pw_slice(t->name, t->name_len), name)) {
            return t;
        }
    }
    if (m->tenant_count == PW_METRICS_TENANTS_MAX - 1) {
        /* The last entry is shared by all further tenants; it is in the pool, not in the table. */
        t = pw_pool_at(&m->tenants, PW_METRICS_TENANTS_MAX - 1);
        name = PW_SLICE_LIT("(other)"); /* not a valid tenant name, so it cannot be mistaken */
    } else {
        t = pw_pool_at(&m->tenants, m->tenant_count);
        m->slot[i] = ++m->tenant_count;
    }
    if (t->name_len == 0 && name.len <= sizeof(t->name)) {
        memcpy(t->name, name.ptr, name.len);
        t->name_len = (uint32_t)name.len;
    }
    return t;
}

struct pw_metrics_type *
pw_metrics_type(struct pw_metrics_tenant *t, struct pw_slice name)
{
    struct pw_metrics_type *e;

    if (name.len > PW_METRICS_NAME_MAX) {
        name.len = PW_METRICS_NAME_MAX;
    }
    for (uint32_t i = 0; i < t->type_count; i++) {
        e = &t->type[i];
        if (pw_slice_eq(pw_slice(e->name, e->name_len), name)) {
            return e;
        }
    }
    if (t->type_count == PW_METRICS_TYPES_MAX) {
        return &t->type[PW_METRICS_TYPES_MAX - 1];
    }
    e = &t->type[t->type_count];
    if (t->type_count == PW_METRICS_TYPES_MAX - 1) {
        name = PW_SLICE_LIT("(other)");
    }
    if (name.len != 0) {
        memcpy(e->name, name.ptr, name.len);
    }
    e->name_len = (uint32_t)name.len;
    t->type_count++;
    return e;
}

void
pw_metrics_observe(const struct pw_metrics *m, struct pw_metrics_hist *h, enum pw_metrics_buckets b,
                   double v)
{
    const double *bound = m->bound[b];
    uint32_t lo = 0;
    uint32_t hi = PW_METRICS_BUCKETS - 1;

    while (lo < hi) { /* the first bound that is at least v */
        uint32_t mid = (lo + hi) / 2;

        if (v <= bound[mid]) {
            hi = mid;
        } else {
            lo = mid + 1;
        }
    }
    h->bucket[lo]++;
    h->count++;
    h->sum += v;
}

/* v?N.N.N */
static bool
is_version(struct pw_slice s)
{
    uint32_t parts = 0;
    size_t i = s.len != 0 && s.ptr[0] == 'v' ? 1 : 0;

    while (i < s.len && parts < 3) {
        size_t from = i;

        while (i < s.len && s.ptr[i] >= '0' && s.ptr[i] <= '9') {
            i++;
        }
        if (i == from) {
            return false;
        }
        parts++;
        if (parts < 3) {
            if (i == s.len || s.ptr[i] != '.') {
                return false;
            }
            i++;
        }
    }
    return parts == 3 && i == s.len && s.len < PW_METRICS_NAME_MAX;
}

void
pw_metrics_profile_received(struct pw_metrics_tenant *t, struct pw_slice scope_name,
                            struct pw_slice scope_version)
{
    uint32_t name = 0;

    for (uint32_t i = 1; scope_name.len != 0 && i < PW_ARRAY_LEN(scope_names); i++) {
        name = pw_slice_eq_str(scope_name, scope_names[i]) ? i : name;
    }
    if (!is_version(scope_version)) {
        scope_version = PW_SLICE_LIT("");
    }
    for (uint32_t i = 0; i < PW_METRICS_SCOPES_MAX; i++) {
        struct pw_metrics_scope *s = &t->scope[i];

        if (s->used == 0) {
            s->name = name;
            if (scope_version.len != 0) {
                memcpy(s->version, scope_version.ptr, scope_version.len);
            }
            s->used = 1;
        }
        if (i == PW_METRICS_SCOPES_MAX - 1 ||
            (s->name == name && pw_slice_eq_str(scope_version, s->version))) {
            s->profiles++;
            return;
        }
    }
}
