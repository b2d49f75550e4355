#include "distributor/limits.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "distributor/relabel.h"

#include <stdlib.h>

enum { OVERRIDES_CAP_FIRST = 16 };

void
pw_limits_defaults(struct pw_limits *l)
{
    *l = (struct pw_limits){
        .ingestion_rate_mb = 4,
        .ingestion_burst_size_mb = 2,
        .ingestion_body_limit_mb = 256,
        .max_label_name_length = 1024,
        .max_label_value_length = 2048,
        .max_label_names_per_series = 30,
        .max_sessions_per_series = 0,
        .enforce_labels_order = false,
        .disable_label_sanitization = true,
        .max_profile_size_bytes = 4194304,
        .max_profile_stacktrace_samples = 16000,
        .max_profile_stacktrace_sample_labels = 100,
        .max_profile_stacktrace_depth = 1000,
        .max_profile_symbol_value_length = 65535,
        .reject_older_than_ms = 3600 * 1000,
        .reject_newer_than_ms = 600 * 1000,
        .max_local_series_per_tenant = 0,
        .max_global_series_per_tenant = 5000,
        .max_query_lookback_ms = 7LL * 24 * 3600 * 1000,
        .max_query_length_ms = 24LL * 3600 * 1000,
        .max_flamegraph_nodes_default = 8192,
        .max_flamegraph_nodes_max = 1048576,
    };
}

struct override {
    struct pw_slice tenant; /* NULL ptr: free slot */
    struct pw_limits limits;
};

struct pw_overrides {
    struct pw_limits defaults;
    struct override **slot; /* open addressing, power of two, at most half full */
    uint32_t cap;
    uint32_t count;
};

struct pw_overrides *
pw_overrides_new_cold(const struct pw_limits *defaults)
{
    struct pw_overrides *o = calloc(1, sizeof(*o));

    if (o == NULL) {
        return NULL;
    }
    o->defaults = *defaults;
    o->cap = OVERRIDES_CAP_FIRST;
    o->slot = calloc(o->cap, sizeof(*o->slot));
    if (o->slot == NULL) {
        free(o);
        return NULL;
    }
    return o;
}

static struct override **
find_slot(struct override **slot, uint32_t cap, struct pw_slice tenant)
{
    uint32_t i = (uint32_t)pw_xxh64(tenant.ptr, tenant.len) & (cap - 1);

    while (slot[i] != NULL && !pw_slice_eq(slot[i]->tenant, tenant)) {
        i = (i + 1) & (cap - 1); /* ends: the table is at most half full */
    }
    return &slot[i];
}

static int
grow_cold(struct pw_overrides *o)
{
    uint32_t cap = o->cap * 2;
    struct override **slot = calloc(cap, sizeof(*slot));

    if (slot == NULL) {
        return PW_ENOMEM;
    }
    for (uint32_t i = 0; i < o->cap; i++) {
        if (o->slot[i] != NULL) {
            *find_slot(slot, cap, o->slot[i]->tenant) = o->slot[i];
        }
    }
    free(o->slot);
    o->slot = slot;
    o->cap = cap;
    return 0;
}

struct pw_limits *
pw_overrides_tenant_cold(struct pw_overrides *o, struct pw_slice tenant)
{
    struct override **s = find_slot(o->slot, o->cap, tenant);
    struct override *e;
    uint8_t *name;

    if (*s != NULL) {
        return &(*s)->limits;
    }
    if ((o->count + 1) * 2 > o->cap) {
        if (grow_cold(o) != 0) {
            return NULL;
        }
        s = find_slot(o->slot, o->cap, tenant);
    }
    e = malloc(sizeof(*e) + tenant.len);
    if (e == NULL) {
        return NULL;
    }
    name = (uint8_t *)(e + 1);
    if (tenant.len != 0) {
        memcpy(name, tenant.ptr, tenant.len);
    }
    e->tenant = pw_slice(name, tenant.len);
    e->limits = o->defaults;
    *s = e;
    o->count++;
    return &e->limits;
}

void
pw_overrides_free_cold(struct pw_overrides *o)
{
    if (o == NULL) {
        return;
    }
    for (uint32_t i = 0; i < o->cap; i++) {
        if (o->slot[i] != NULL) {
            pw_relabel_release_cold(o->slot[i]->limits.relabel, o->defaults.relabel);
            free(o->slot[i]);
        }
    }
    pw_relabel_release_cold(o->defaults.relabel, NULL);
    free(o->slot);
    free(o);
}

const struct pw_limits *
pw_overrides_get(const struct pw_overrides *o, struct pw_slice tenant)
{
    struct override *const *s = find_slot(o->slot, o->cap, tenant);

    return *s == NULL ? &o->defaults : &(*s)->limits;
}

/* write-path.md 2: letters, digits and ! - _ . * ' ( ). */
static bool
tenant_byte_ok(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != 0 && strchr("!-_.*'()", c) != NULL);
}

/* In the contract's order: characters, length, dots. */
static int
tenant_check(struct pw_slice t, struct pw_text *err)
{
    for (size_t i = 0; i < t.len; i++) {
        if (!tenant_byte_ok(t.ptr[i])) {
            pw_text_str(err, "tenant ID '");
            pw_text_slice(err, t);
            pw_text_str(err, "' contains unsupported character '");
            /* One byte taken as a code point: two bytes of UTF-8 above 0x7f. */
            if (t.ptr[i] < 0x80) {
                pw_text_char(err, (char)t.ptr[i]);
            } else {
                pw_text_char(err, (char)(0xC0 | (t.ptr[i] >> 6)));
                pw_text_char(err, (char)(0x80 | (t.ptr[i] & 0x3F)));
            }
            pw_text_char(err, '\'');
            return PW_EPERM;
        }
    }
    if (t.len > PW_TENANT_BYTES_MAX) {
        pw_text_printf(err, "tenant ID is too long: max %d characters", PW_TENANT_BYTES_MAX);
        return PW_EPERM;
    }
    if (pw_slice_eq_str(t, ".") || pw_slice_eq_str(t, "..")) {
        pw_text_str(err, "tenant ID is '.' or '..'");
        return PW_EPERM;
    }
    return 0;
}

/* The part of value up to the next '|', without its metadata suffix (from the first ':'). */
static struct pw_slice
next_part(struct pw_slice *value)
{
    const uint8_t *bar = memchr(value->ptr, '|', value->len);
    size_t n = bar == NULL ? value->len : (size_t)(bar - value->ptr);
    struct pw_slice part = pw_slice(value->ptr, n);
    const uint8_t *colon = n == 0 ? NULL : memchr(part.ptr, ':', n);

    if (colon != NULL) {
        part.len = (size_t)(colon - part.ptr);
    }
    *value = bar == NULL ? (struct pw_slice){0} : pw_slice(bar + 1, value->len - n - 1);
    return part;
}

int
pw_tenant_from_header(bool multitenancy, struct pw_slice value, struct pw_slice *tenant,
                      struct pw_text *err)
{
    bool more;

    if (!multitenancy) {
        *tenant = PW_SLICE_LIT("anonymous");
        return 0;
    }
    if (value.ptr == NULL || value.len == 0) {
        pw_text_str(err, "no org id");
        return PW_EPERM;
    }
    *tenant = next_part(&value);
    if (tenant_check(*tenant, err) != 0) {
        return PW_EPERM;
    }
    for (more = value.ptr != NULL; more; more = value.ptr != NULL) { /* one part a turn */
        struct pw_slice part = next_part(&value);

        if (tenant_check(part, err) != 0) {
            return PW_EPERM;
        }
        if (!pw_slice_eq(part, *tenant)) {
            pw_text_str(err, "multiple org IDs present");
            return PW_EPERM;
        }
    }
    if (tenant->len == 0) {
        pw_text_str(err, "no org id");
        return PW_EPERM;
    }
    return 0;
}
