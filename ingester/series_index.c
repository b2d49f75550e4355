#include "ingester/series_index.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/limits.h"

enum { LABELS_ADDED_MAX = 6 };

static struct pw_series *
series_at(const struct pw_series_index *ix, uint32_t id)
{
    return PW_CHUNKS_AT(&ix->series, struct pw_series, id);
}

/* --- Signature: labels, types and period type of a record's series, as bytes ------------------- */

static uint8_t *
sign(uint8_t *p, const struct pw_record *rec, struct pw_record_span a, struct pw_record_span b)
{
    memcpy(p, &a.len, 4);
    memcpy(p + 4, &b.len, 4);
    p += 8;
    memcpy(p, (const uint8_t *)rec + a.off, a.len);
    p += a.len;
    memcpy(p, (const uint8_t *)rec + b.off, b.len);
    return p + b.len;
}

static int
make_signature(struct pw_slice *sig, struct pw_scratch *scratch, const struct pw_record *rec,
               const struct pw_record_series *rs)
{
    const struct pw_record_label *l = PW_RECORD_AT(rec, struct pw_record_label, rs->labels_off);
    const struct pw_record_type *type = PW_RECORD_AT(rec, struct pw_record_type, rec->types_off);
    size_t bytes = 16 + (size_t)rec->period_type.len + rec->period_unit.len;

    for (uint32_t i = 0; i < rs->labels_count; i++) {
        bytes += 8 + (size_t)l[i].name.len + l[i].value.len;
    }
    for (uint32_t t = 0; t < rec->types_count; t++) {
        bytes += 8 + (size_t)type[t].type.len + type[t].unit.len;
    }
    uint8_t *start = pw_scratch_alloc(scratch, bytes);

    if (start == NULL) {
        return PW_ENOMEM;
    }
    memcpy(start, &rec->has_period_type, 4);
    memcpy(start + 4, &rs->labels_count, 4);
    uint8_t *p = start + 8;

    for (uint32_t i = 0; i < rs->labels_count; i++) {
        p = sign(p, rec, l[i].name, l[i].value);
    }
    for (uint32_t t = 0; t < rec->types_count; t++) {
        p = sign(p, rec, type[t].type, type[t].unit);
    }
    if (rec->has_period_type != 0) {
        p = sign(p, rec, rec->period_type, rec->period_unit);
    }
    *sig = pw_slice(start, (size_t)(p - start));
    return 0;
}

static uint32_t
find_group(const struct pw_series_index *ix, const uint8_t *base, const struct pw_series_plan *plan)
{
    uint32_t probe = 0;

    for (;;) {
        uint32_t id = pw_htab_next(&ix->group_ix, plan->signature_hash,
                                   (uint32_t)plan->signature.len, &probe);

        if (id == PW_HTAB_NONE) {
            return PW_SERIES_NONE;
        }
        const struct pw_series_group *g = PW_CHUNKS_AT(&ix->group, struct pw_series_group, id);
        struct pw_slice sig = pw_slice(pw_region_at8(base, g->signature_ref8), g->signature_bytes);

        if (pw_slice_eq(sig, plan->signature)) {
            return id;
        }
    }
}

static uint32_t *
group_ids(const struct pw_series_index *ix, const uint8_t *base, uint32_t group)
{
    return pw_region_at8(base, PW_CHUNKS_AT(&ix->group, struct pw_series_group, group)->ids_ref8);
}

/* --- Final labels of one type (write-path.md 4, "Stored label set") ---------------------------- */

static int
set(struct pw_labels *l, const char *name, struct pw_slice value)
{
    return pw_labels_set(l, pw_slice_str(name), value);
}

/* <__name__>:<type>:<unit>:<period type>:<period unit>, in scratch. */
static struct pw_slice
profile_type(struct pw_scratch *scratch, const struct pw_slice part[5])
{
    size_t bytes = 4, at = 0;

    for (int i = 0; i < 5; i++) {
        bytes += part[i].len;
    }
    uint8_t *p = pw_scratch_alloc(scratch, bytes);

    for (int i = 0; p != NULL && i < 5; i++) {
        if (i > 0) {
            p[at++] = ':';
        }
        if (part[i].len > 0) {
            memcpy(p + at, part[i].ptr, part[i].len);
        }
        at += part[i].len;
    }
    return pw_slice(p, at);
}

static int
final_labels(struct pw_labels *l, struct pw_scratch *scratch, const struct pw_record *rec,
             const struct pw_record_series *rs, uint32_t t)
{
    const struct pw_record_label *rl = PW_RECORD_AT(rec, struct pw_record_label, rs->labels_off);
    const struct pw_record_type *type =
        PW_RECORD_AT(rec, struct pw_record_type, rec->types_off) + t;
    struct pw_slice none = {0};
    bool period = rec->has_period_type != 0;

    *l = (struct pw_labels){.cap = rs->labels_count + LABELS_ADDED_MAX};
    l->pair = pw_scratch_array(scratch, l->cap, sizeof(*l->pair));
    if (l->pair == NULL) {
        return PW_ENOMEM;
    }
    for (uint32_t i = 0; i < rs->labels_count; i++) {
        l->pair[l->count++] = (struct pw_label_pair){pw_record_slice(rec, rl[i].name),
                                                     pw_record_slice(rec, rl[i].value)};
    }
    struct pw_slice service = pw_labels_get(l, PW_SLICE_LIT("service_name"));
    struct pw_slice part[5] = {pw_labels_get(l, PW_SLICE_LIT("__name__")),
                               pw_record_slice(rec, type->type), pw_record_slice(rec, type->unit),
                               period ? pw_record_slice(rec, rec->period_type) : none,
                               period ? pw_record_slice(rec, rec->period_unit) : none};
    struct pw_slice full = profile_type(scratch, part);

    if (full.ptr == NULL) {
        return PW_ENOMEM;
    }
    /* There is room for all six: cap counts them. */
    int rc = set(l, "__type__", part[1]) | set(l, "__unit__", part[2]) |
             set(l, "__profile_type__", full);

    if (service.ptr != NULL) {
        rc |= set(l, "__service_name__", service);
    }
    if (period) {
        rc |= set(l, "__period_type__", part[3]) | set(l, "__period_unit__", part[4]);
    }
    PW_INVARIANT(rc == 0);
    pw_labels_sort(l);
    return 0;
}

static bool
labels_eq(const struct pw_series *s, const struct pw_labels *l)
{
    if (s->label_count != l->count) {
        return false;
    }
    for (uint32_t i = 0; i < l->count; i++) {
        if (!pw_slice_eq(s->label[i].name, l->pair[i].name) ||
            !pw_slice_eq(s->label[i].value, l->pair[i].value)) {
            return false;
        }
    }
    return true;
}

/* The index is keyed; the fingerprint, which clients can compute, is only what is stored. */
static uint64_t
labels_hash(const struct pw_labels *l, uint64_t hash_key)
{
    uint64_t h = hash_key;

    for (uint32_t i = 0; i < l->count; i++) {
        h = pw_hash_mix(h, pw_hash_keyed(h, l->pair[i].name.ptr, l->pair[i].name.len));
        h = pw_hash_mix(h, pw_hash_keyed(h, l->pair[i].value.ptr, l->pair[i].value.len));
    }
    return h;
}

static uint32_t
find_series(const struct pw_series_index *ix, const struct pw_labels *l, uint64_t hash)
{
    uint32_t probe = 0;

    for (;;) {
        uint32_t id = pw_htab_next(&ix->series_ix, hash, l->count, &probe);

        if (id == PW_HTAB_NONE || labels_eq(series_at(ix, id), l)) {
            return id;
        }
    }
}

static struct pw_activity_ref
activity_of(const struct pw_series_index *ix, uint64_t hash)
{
    return (struct pw_activity_ref){.key = pw_activity_series_key(ix->tenant.key, hash)};
}

/* --- Plan and create -------------------------------------------------------------------------- */

static int
plan_missing(struct pw_scratch *scratch, uint32_t types_count, struct pw_series_plan *plan)
{
    if (plan->missing == NULL) {
        plan->missing = pw_scratch_array(scratch, types_count, sizeof(*plan->missing));
        if (plan->missing == NULL) {
            return PW_ENOMEM;
        }
        memset(plan->missing, 0, types_count * sizeof(*plan->missing));
    }
    return 0;
}

int
pw_series_plan(const struct pw_series_index *ix, struct pw_head_mem *mem, uint64_t hash_key,
               const struct pw_record *rec, const struct pw_record_series *rs,
               const struct pw_samples_stat *stat, struct pw_series_plan *plan)
{
    struct pw_scratch *scratch = &mem->scratch;
    const uint8_t *base = mem->region.base;
    uint32_t types = rec->types_count;

    *plan = (struct pw_series_plan){.group = PW_SERIES_NONE, .hash_key = hash_key};
    plan->id = pw_scratch_array(scratch, types, sizeof(uint32_t));
    if (plan->id == NULL || make_signature(&plan->signature, scratch, rec, rs) != 0) {
        return PW_ENOMEM;
    }
    plan->signature_hash = pw_hash_keyed(hash_key, plan->signature.ptr, plan->signature.len);
    plan->group = find_group(ix, base, plan);
    for (uint32_t t = 0; t < types; t++) {
        plan->id[t] =
            plan->group == PW_SERIES_NONE ? PW_SERIES_NONE : group_ids(ix, base, plan->group)[t];
        if (plan->id[t] != PW_SERIES_NONE || stat[t].nonzero == 0) {
            continue;
        }
        if (plan_missing(scratch, types, plan) != 0 ||
            final_labels(&plan->missing[t], scratch, rec, rs, t) != 0) {
            return PW_ENOMEM;
        }
        plan->id[t] = find_series(ix, &plan->missing[t], labels_hash(&plan->missing[t], hash_key));
    }
    return 0;
}

static bool
create_group(struct pw_series_index *ix, struct pw_head_mem *mem, uint32_t types_count,
             struct pw_series_plan *plan)
{
    struct pw_region *r = &mem->region;

    if (!pw_chunks_reserve(&ix->group, r, PW_REGION_SERIES, sizeof(struct pw_series_group), 1) ||
        !pw_htab_reserve(&ix->group_ix, &mem->htab, r, plan->signature_hash)) {
        return false;
    }
    uint8_t *sig = pw_region_alloc(r, PW_REGION_SERIES, plan->signature.len, 8);
    uint32_t *ids = pw_region_alloc(r, PW_REGION_SERIES, types_count * sizeof(*ids), 8);

    if (sig == NULL || ids == NULL) {
        return false;
    }
    memcpy(sig, plan->signature.ptr, plan->signature.len);
    memset(ids, 0xff, types_count * sizeof(*ids)); /* PW_SERIES_NONE */
    plan->group = ix->group.count++;
    *PW_CHUNKS_AT(&ix->group, struct pw_series_group, plan->group) = (struct pw_series_group){
        .signature_ref8 = pw_region_ref8(r, sig),
        .signature_bytes = (uint32_t)plan->signature.len,
        .ids_ref8 = pw_region_ref8(r, ids),
        .types_count = types_count,
    };
    pw_htab_put(&ix->group_ix, plan->signature_hash, (uint32_t)plan->signature.len, plan->group);
    return true;
}

/* The pairs and, behind them, their bytes. NULL when the region is exhausted. */
static struct pw_label_pair *
copy_labels(struct pw_region *r, const struct pw_labels *l)
{
    size_t bytes = 0;

    for (uint32_t i = 0; i < l->count; i++) {
        bytes += l->pair[i].name.len + l->pair[i].value.len;
    }
    struct pw_label_pair *pair =
        pw_region_alloc(r, PW_REGION_SERIES, l->count * sizeof(*pair) + bytes, 8);

    if (pair == NULL) {
        return NULL;
    }
    uint8_t *p = (uint8_t *)(pair + l->count);

    for (uint32_t i = 0; i < l->count; i++) {
        struct pw_slice name = l->pair[i].name, value = l->pair[i].value;

        pair[i].name = pw_slice(memcpy(p, name.ptr, name.len), name.len);
        p += name.len;
        pair[i].value = pw_slice(p, value.len);
        if (value.len > 0) {
            memcpy(p, value.ptr, value.len);
        }
        p += value.len;
    }
    return pair;
}

static uint32_t
create_series(struct pw_series_index *ix, struct pw_head_mem *mem, const struct pw_labels *l,
              uint64_t hash)
{
    struct pw_region *r = &mem->region;

    if (!pw_chunks_reserve(&ix->series, r, PW_REGION_SERIES, sizeof(struct pw_series), 1) ||
        !pw_htab_reserve(&ix->series_ix, &mem->htab, r, hash)) {
        return PW_SERIES_NONE;
    }
    struct pw_label_pair *pair = copy_labels(r, l);

    if (pair == NULL) {
        return PW_SERIES_NONE;
    }
    uint32_t id = ix->series.count++;
    struct pw_series *s = series_at(ix, id);

    *s =
        (struct pw_series){.label = pair, .label_count = l->count, .active = activity_of(ix, hash)};
    s->fingerprint = pw_labels_fingerprint(l);
    atomic_store_explicit(&s->last_row, UINT32_MAX, memory_order_relaxed);
    atomic_store_explicit(&s->time_min_ns, INT64_MAX, memory_order_relaxed);
    atomic_store_explicit(&s->time_max_ns, INT64_MIN, memory_order_relaxed);
    pw_htab_put(&ix->series_ix, hash, l->count, id);
    return id;
}

int
pw_series_create(struct pw_series_index *ix, struct pw_head_mem *mem,
                 const struct pw_samples_stat *stat, uint32_t types_count,
                 struct pw_series_plan *plan)
{
    if (plan->missing == NULL) {
        return 0;
    }
    if (plan->group == PW_SERIES_NONE) { /* perhaps made for an equal series of this record */
        plan->group = find_group(ix, mem->region.base, plan);
    }
    if (plan->group == PW_SERIES_NONE && !create_group(ix, mem, types_count, plan)) {
        return PW_ENOMEM;
    }
    uint32_t *ids = group_ids(ix, mem->region.base, plan->group);

    for (uint32_t t = 0; t < types_count; t++) {
        const struct pw_labels *l = &plan->missing[t];

        if (stat[t].nonzero == 0 || l->pair == NULL) {
            continue;
        }
        uint64_t hash = labels_hash(l, plan->hash_key);

        plan->id[t] = find_series(ix, l, hash); /* perhaps created a moment ago by this record */
        if (plan->id[t] == PW_SERIES_NONE) {
            plan->id[t] = create_series(ix, mem, l, hash);
        }
        if (plan->id[t] == PW_SERIES_NONE) {
            return PW_ENOMEM;
        }
        ids[t] = plan->id[t];
    }
    return 0;
}

void
pw_series_undo(struct pw_series_index *ix, struct pw_head_mem *mem, uint32_t count,
               const struct pw_series_plan *plan, uint32_t plans)
{
    while (ix->series.count > count) {
        uint32_t id = ix->series.count - 1;
        const struct pw_series *s = series_at(ix, id);
        struct pw_labels l = {.pair = (struct pw_label_pair *)(uintptr_t)s->label,
                              .count = s->label_count};

        pw_htab_del(&ix->series_ix, labels_hash(&l, plan->hash_key), id);
        ix->series.count--;
    }
    for (uint32_t i = 0; i < plans; i++) {
        if (plan[i].group == PW_SERIES_NONE) {
            continue;
        }
        uint32_t *ids = group_ids(ix, mem->region.base, plan[i].group);
        uint32_t n = PW_CHUNKS_AT(&ix->group, struct pw_series_group, plan[i].group)->types_count;

        for (uint32_t t = 0; t < n; t++) {
            ids[t] = ids[t] >= count ? PW_SERIES_NONE : ids[t];
        }
    }
}

/* --- Activity --------------------------------------------------------------------------------- */

void
pw_series_touch(struct pw_series_index *ix, struct pw_activity *a, uint32_t id)
{
    pw_activity_touch(a, &ix->tenant, &series_at(ix, id)->active);
}

/* One that this head does not have may be active since the head before. */
static bool
is_active(const struct pw_series_index *ix, const struct pw_activity *a,
          const struct pw_series_plan *plan, uint32_t t)
{
    struct pw_activity_ref ref;

    if (plan->id[t] != PW_SERIES_NONE) {
        return pw_activity_is_active(a, &series_at(ix, plan->id[t])->active);
    }
    ref = activity_of(ix, labels_hash(&plan->missing[t], plan->hash_key));
    return pw_activity_is_active(a, &ref);
}

uint64_t
pw_series_newly_active(const struct pw_series_index *ix, const struct pw_activity *a,
                       const struct pw_samples_stat *stat, uint32_t types_count,
                       const struct pw_series_plan *plan)
{
    uint64_t n = 0;

    for (uint32_t t = 0; t < types_count; t++) {
        n += stat[t].nonzero != 0 && !is_active(ix, a, plan, t);
    }
    return n;
}
