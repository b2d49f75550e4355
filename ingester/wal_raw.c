/* A profile as it was pushed: written by the polling core, read again at replay in the steps that
 * distributor/process.c took, with the decisions it came to. */
#include "base/limits.h"
#include "base/scratch.h"
#include "ingester/wal_form.h"
#include "pprof/inflate.h"

#include <stdlib.h>

struct pw_wal_rebuilder {
    struct pw_scratch scratch;
    struct pw_inflater *inflater;
    uint64_t hash_key;
};

/* The unpacked profile, its tables, the record: as much as a distributor has for one. Address space. */
#define SCRATCH_BYTES (18 * (size_t)PW_PROFILE_BYTES_MAX)

struct lengths {
    uint32_t name, value;
};

static size_t
texts_bytes(const struct pw_record *rec, const struct pw_record_series *s)
{
    const struct pw_record_label *l = PW_RECORD_AT(rec, struct pw_record_label, s->labels_off);
    size_t n = rec->tenant.len;

    for (uint32_t i = 0; i < s->labels_count; i++) {
        n += l[i].name.len + l[i].value.len;
    }
    return n;
}

size_t
pw_wal_form_raw_bytes(const struct pw_record *rec)
{
    const struct pw_record_series *s = PW_RECORD_AT(rec, struct pw_record_series, rec->series_off);

    if (rec->raw_bytes == 0 || rec->series_count != 1) {
        return 0;
    }
    return sizeof(struct pw_wal_raw_head) + s->labels_count * sizeof(struct lengths) +
           texts_bytes(rec, s) + rec->raw_bytes;
}

static uint8_t *
put(uint8_t *out, const void *p, size_t n)
{
    if (n != 0) {
        memcpy(out, p, n);
    }
    return out + n;
}

void
pw_wal_form_raw(const struct pw_record *rec, uint8_t *out)
{
    const struct pw_record_series *s = PW_RECORD_AT(rec, struct pw_record_series, rec->series_off);
    const struct pw_record_label *l = PW_RECORD_AT(rec, struct pw_record_label, s->labels_off);
    struct pw_wal_raw_head head = {
        .time_nanos = rec->time_nanos,
        .depth_max = rec->raw_depth_max,
        .symbol_max = rec->raw_symbol_max,
        .go = rec->raw_go,
        .tenant_bytes = rec->tenant.len,
        .labels_count = s->labels_count,
        .raw_bytes = rec->raw_bytes,
    };

    memcpy(head.uuid, s->uuid, sizeof(head.uuid));
    out = put(out, &head, sizeof(head));
    for (uint32_t i = 0; i < s->labels_count; i++) {
        struct lengths n = {.name = l[i].name.len, .value = l[i].value.len};

        out = put(out, &n, sizeof(n));
    }
    out = put(out, (const uint8_t *)rec + rec->tenant.off, rec->tenant.len);
    for (uint32_t i = 0; i < s->labels_count; i++) {
        out = put(out, (const uint8_t *)rec + l[i].name.off, l[i].name.len);
        out = put(out, (const uint8_t *)rec + l[i].value.off, l[i].value.len);
    }
    put(out, (const uint8_t *)rec + rec->raw_off, rec->raw_bytes);
}

/* --- Read again --------------------------------------------------------------------------------- */

int
pw_wal_rebuilder_create_cold(struct pw_wal_rebuilder **out, uint64_t hash_key)
{
    struct pw_wal_rebuilder *r = calloc(1, sizeof(*r));
    int rc = r == NULL ? PW_ENOMEM : pw_scratch_init_ctl(&r->scratch, SCRATCH_BYTES);

    if (rc != 0) {
        free(r);
        return rc;
    }
    r->hash_key = hash_key;
    rc = pw_inflater_init_ctl(&r->inflater);
    if (rc != 0) {
        pw_scratch_fini_ctl(&r->scratch);
        free(r);
        return rc;
    }
    *out = r;
    return 0;
}

void
pw_wal_rebuilder_destroy_cold(struct pw_wal_rebuilder *r)
{
    if (r != NULL) {
        pw_inflater_fini_ctl(r->inflater);
        pw_scratch_fini_ctl(&r->scratch);
        free(r);
    }
}

struct parts { /* of a payload */
    struct pw_wal_raw_head head;
    struct pw_labels labels;
    struct pw_slice tenant;
    struct pw_slice raw;
};

static bool
cut(struct pw_slice *from, size_t n, struct pw_slice *out)
{
    if (n > from->len) {
        return false;
    }
    *out = pw_slice(from->ptr, n);
    *from = pw_slice(from->ptr + n, from->len - n);
    return true;
}

static bool
split_payload(struct pw_wal_rebuilder *r, struct pw_slice left, struct parts *p)
{
    struct pw_slice head;
    struct pw_slice table;

    if (!cut(&left, sizeof(p->head), &head)) {
        return false;
    }
    memcpy(&p->head, head.ptr, sizeof(p->head));
    p->labels.count = p->labels.cap = p->head.labels_count;
    if (!cut(&left, (size_t)p->head.labels_count * sizeof(struct lengths), &table) ||
        !cut(&left, p->head.tenant_bytes, &p->tenant)) {
        return false;
    }
    p->labels.pair = pw_scratch_array(&r->scratch, p->labels.cap, sizeof(*p->labels.pair));
    if (p->labels.pair == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < p->labels.count; i++) {
        struct lengths n;

        memcpy(&n, table.ptr + i * sizeof(n), sizeof(n));
        if (!cut(&left, n.name, &p->labels.pair[i].name) ||
            !cut(&left, n.value, &p->labels.pair[i].value)) {
            return false;
        }
    }
    return cut(&left, p->head.raw_bytes, &p->raw) && left.len == 0;
}

/* write-path.md 3.2 steps 9-14, with no limit but those that shape a profile. */
static bool
read_profile(struct pw_wal_rebuilder *r, const struct parts *in, struct pw_profile *p)
{
    struct pw_profile_limits lim = {.stacktrace_depth_max = in->head.depth_max,
                                    .symbol_value_bytes_max = in->head.symbol_max};
    struct pw_profile_finding found;
    const char *text;
    uint8_t *to = pw_scratch_alloc(&r->scratch, PW_PROFILE_BYTES_MAX);
    size_t len;

    if (to == NULL ||
        pw_inflate(r->inflater, &in->raw, 1, to, PW_PROFILE_BYTES_MAX, &len) != PW_INFLATE_OK) {
        return false;
    }
    if (pw_profile_parse(p, &r->scratch, r->hash_key, pw_slice(to, len), &text) != 0) {
        return false;
    }
    p->time_nanos = in->head.time_nanos;
    if (pw_profile_validate(p, &lim, in->head.time_nanos, &found) != PW_PROFILE_FINE) {
        return false;
    }
    if (in->head.go != 0) {
        pw_profile_fix_go(p);
        pw_profile_stitch_go(p);
    }
    return pw_profile_normalize(p) == 0;
}

const struct pw_record *
pw_wal_rebuild(struct pw_wal_rebuilder *r, struct pw_slice payload)
{
    struct parts in;
    struct pw_profile *p;
    struct pw_record_group group = {.labels = &in.labels};
    struct pw_record_source src = {.group = &group, .group_count = 1};
    uint32_t *sample;

    pw_scratch_rewind(&r->scratch, 0);
    p = pw_scratch_alloc(&r->scratch, sizeof(*p));
    if (p == NULL || !split_payload(r, payload, &in) || !read_profile(r, &in, p)) {
        return NULL;
    }
    sample = pw_scratch_array(&r->scratch, p->sample_count, sizeof(*sample));
    if (sample == NULL) {
        return NULL;
    }
    for (uint32_t i = 0; i < p->sample_count; i++) {
        sample[i] = i;
    }
    memcpy(group.uuid, in.head.uuid, sizeof(group.uuid));
    group.sample = sample;
    group.sample_count = p->sample_count;
    src.profile = p;
    src.tenant = in.tenant;

    size_t cap = pw_record_bytes_max(&src);
    void *out = pw_scratch_alloc(&r->scratch, cap);

    return out == NULL || pw_record_build(&src, out, cap) < 0 ? NULL : out;
}
