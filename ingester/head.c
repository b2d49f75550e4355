/* The writer. One append, in the order that makes it all or nothing:
 *
 *     measure   what each series and type amounts to; types without a value have no row
 *     plan      series that exist, labels of those that do not; the series limit says no here
 *     create    missing series (invisible: readers know only published counts)
 *     intern    stacks, and for unseen ones their symbols
 *     reserve   rows, spans, columns: after this nothing can fail
 *     write     columns and rows
 *     publish   one release store
 *
 * A failure before `write` takes the created series back. Interned symbols stay: complete, found by
 * the next record that has them, and counted. */
#include "ingester/head_priv.h"

#include "base/check.h"
#include "base/hash.h"

#include <stdlib.h>

enum { SCRATCH_BYTES_MAX = 256 << 20 }; /* touched only as far as records need it */

struct insert { /* one record on its way in */
    const struct pw_record *rec;
    const struct pw_record_series *rs;
    struct pw_head_tenant *tenant;
    struct pw_samples_stat *stat; /* [series_count][types_count] */
    struct pw_series_plan *plan;  /* [series_count] */
    uint32_t *stack_id;           /* [stacks_count] */
    uint32_t *tmp;                /* as long as the longest series */
    const int64_t **value;        /* [series_count], each [samples_count][types_count] */
    struct pw_row **row;          /* [types_count] */
    uint32_t rows;
    uint32_t samples_max;
    struct pw_now now;
};

/* --- Create and destroy ----------------------------------------------------------------------- */

static int
alloc_tables(struct pw_head *h)
{
    uint32_t slots = 16;

    while (slots < 2 * h->cfg.tenants_max) {
        slots *= 2;
    }
    h->slot_mask = slots - 1;
    h->tenant = calloc(h->cfg.tenants_max, sizeof(*h->tenant));
    h->list = calloc(h->cfg.tenants_max, sizeof(*h->list));
    h->slot = calloc(slots, sizeof(*h->slot));
    return h->tenant == NULL || h->list == NULL || h->slot == NULL ? PW_ENOMEM : 0;
}

int
pw_head_create_ctl(struct pw_head **out, const struct pw_head_cfg *cfg)
{
    struct pw_head *h;
    int rc;

    if (cfg->tenants_max == 0 || cfg->tenants_max > UINT32_MAX / 4) {
        return PW_EINVAL;
    }
    h = aligned_alloc(64, pw_align_up(sizeof(*h), 64));
    if (h == NULL) {
        return PW_ENOMEM;
    }
    memset(h, 0, sizeof(*h));
    h->cfg = *cfg;
    h->mem.hash_key = cfg->hash_key;
    rc = pw_region_init_ctl(&h->mem.region, cfg->bytes_max);
    if (rc == 0) {
        rc = pw_htab_pool_init_ctl(&h->mem.htab);
    }
    if (rc == 0) {
        rc = pw_scratch_init_ctl(&h->mem.scratch, SCRATCH_BYTES_MAX);
    }
    if (rc == 0) {
        rc = alloc_tables(h);
    }
    if (rc != 0) {
        pw_head_destroy_ctl(h);
        return rc;
    }
    atomic_store(&h->bytes_used, h->mem.region.used);
    *out = h;
    return 0;
}

void
pw_head_destroy_ctl(struct pw_head *h)
{
    if (h == NULL) {
        return;
    }
    pw_region_fini_ctl(&h->mem.region);
    pw_htab_pool_fini_ctl(&h->mem.htab);
    pw_scratch_fini_ctl(&h->mem.scratch);
    free(h->tenant);
    free(h->list);
    free((void *)h->slot);
    free(h);
}

/* --- Tenants ---------------------------------------------------------------------------------- */

struct pw_head_tenant *
pw_head_find_tenant(const struct pw_head *h, struct pw_slice name)
{
    uint64_t i = pw_hash_keyed(h->cfg.hash_key, name.ptr, name.len);

    for (;; i++) {
        /* A2: pairs with R2; the tenant's struct and name are complete. */
        uint32_t id_1 = atomic_load_explicit(&h->slot[i & h->slot_mask], memory_order_acquire);

        if (id_1 == 0) {
            return NULL;
        }
        struct pw_head_tenant *t = h->tenant[id_1 - 1];

        if (pw_slice_eq(pw_slice(t->name, t->name_len), name)) {
            return t;
        }
    }
}

static struct pw_head_tenant *
create_tenant(struct pw_head *h, struct pw_slice name)
{
    struct pw_region *r = &h->mem.region;
    uint64_t hash = pw_hash_keyed(h->cfg.hash_key, name.ptr, name.len), i = hash;

    if (h->tenants_count == h->cfg.tenants_max || name.len > PW_TENANT_BYTES_MAX) {
        return NULL;
    }
    struct pw_head_tenant *t =
        pw_region_alloc(r, PW_REGION_SERIES, sizeof(*t), alignof(struct pw_head_tenant));

    if (t == NULL) {
        return NULL;
    }
    t->base = r->base;
    t->hash = hash & ~(uint64_t)1;
    t->series.tenant.key = pw_activity_tenant_key(hash);
    t->name_len = (uint32_t)name.len;
    if (name.len > 0) {
        memcpy(t->name, name.ptr, name.len);
    }
    h->tenant[h->tenants_count++] = t;
    while (atomic_load_explicit(&h->slot[i & h->slot_mask], memory_order_relaxed) != 0) {
        i++;
    }
    /* R2: pairs with A2. */
    atomic_store_explicit(&h->slot[i & h->slot_mask], h->tenants_count, memory_order_release);
    return t;
}

/* --- The phases of append --------------------------------------------------------------------- */

static int
measure(struct insert *in, struct pw_scratch *scratch)
{
    const struct pw_record *rec = in->rec;
    uint32_t types = rec->types_count;

    in->stat = pw_scratch_array(scratch, (size_t)rec->series_count * types, sizeof(*in->stat));
    in->plan = pw_scratch_array(scratch, rec->series_count, sizeof(*in->plan));
    in->stack_id = pw_scratch_array(scratch, rec->stacks_count, sizeof(*in->stack_id));
    in->row = pw_scratch_array(scratch, types, sizeof(*in->row));
    in->value = pw_scratch_array(scratch, rec->series_count, sizeof(*in->value));
    if (in->stat == NULL || in->plan == NULL || in->stack_id == NULL || in->row == NULL ||
        in->value == NULL) {
        return PW_ENOMEM;
    }
    for (uint32_t i = 0; i < rec->series_count; i++) {
        struct pw_samples_stat *stat = &in->stat[(size_t)i * types];
        uint32_t n = in->rs[i].samples_count;

        in->value[i] = pw_samples_values(scratch, rec, &in->rs[i]);
        if (in->value[i] == NULL) {
            return PW_ENOMEM;
        }
        pw_samples_measure(in->value[i], n, types, stat);
        in->samples_max = n > in->samples_max ? n : in->samples_max;
        for (uint32_t t = 0; t < types; t++) {
            in->rows += stat[t].nonzero != 0;
        }
    }
    in->tmp = pw_scratch_array(scratch, in->samples_max, sizeof(*in->tmp));
    return in->tmp == NULL ? PW_ENOMEM : 0;
}

/* Whether so many more of the tenant's series may become active. */
static bool
may_be_active(struct pw_head *h, struct insert *in, uint64_t more, uint64_t limit,
              struct pw_head_append_info *info)
{
    struct pw_activity_ref *tenant = &in->tenant->series.tenant;

    if (limit == 0 || more == 0 || pw_activity_count(h->activity, tenant) + more <= limit) {
        return true;
    }
    pw_activity_expire(h->activity, in->now.mono_ns, h->cfg.series_idle_ns, true);
    *info = (struct pw_head_append_info){.actual = pw_activity_count(h->activity, tenant),
                                         .limit = limit};
    return info->actual + more <= limit;
}

static int
plan(struct pw_head *h, struct insert *in, uint64_t series_limit, struct pw_head_append_info *info)
{
    struct pw_series_index *ix = &in->tenant->series;
    uint32_t types = in->rec->types_count;
    uint64_t more = 0;

    if (h->activity != NULL) {
        pw_activity_expire(h->activity, in->now.mono_ns, h->cfg.series_idle_ns, false);
    }
    for (uint32_t i = 0; i < in->rec->series_count; i++) {
        const struct pw_samples_stat *stat = &in->stat[(size_t)i * types];
        int rc =
            pw_series_plan(ix, &h->mem, h->cfg.hash_key, in->rec, &in->rs[i], stat, &in->plan[i]);

        if (rc != 0) {
            return rc;
        }
        if (h->activity != NULL && series_limit != 0) {
            more += pw_series_newly_active(ix, h->activity, stat, types, &in->plan[i]);
        }
    }
    return may_be_active(h, in, more, series_limit, info) ? 0 : PW_ERANGE;
}

static int
create(struct pw_head *h, struct insert *in)
{
    uint32_t types = in->rec->types_count;

    for (uint32_t i = 0; i < in->rec->series_count; i++) {
        int rc = pw_series_create(&in->tenant->series, &h->mem, &in->stat[(size_t)i * types], types,
                                  &in->plan[i]);

        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

static int
intern(struct pw_head *h, struct insert *in)
{
    struct pw_symbols *sym = &in->tenant->sym;
    uint64_t before = pw_symbols_count(sym);
    int rc = pw_symbols_intern(sym, &h->mem, in->rec, in->stack_id);

    if (rc != 0) {
        h->symbols_leaked += pw_symbols_count(sym) - before;
    }
    return rc;
}

static int
reserve(struct pw_head *h, struct insert *in)
{
    struct pw_region *r = &h->mem.region;
    uint32_t types = in->rec->types_count;
    size_t bytes = 0;

    if (!pw_chunks_reserve(&in->tenant->row, r, PW_REGION_SAMPLES, sizeof(struct pw_row),
                           in->rows) ||
        !pw_chunks_reserve(&in->tenant->sym.span, r, PW_REGION_SAMPLES,
                           sizeof(struct pw_record_span_id), in->rec->spans_count)) {
        return PW_ENOMEM;
    }
    for (uint32_t i = 0; i < in->rec->series_count; i++) {
        bytes += pw_samples_bytes_max(in->rec, &in->rs[i], &in->stat[(size_t)i * types]);
    }
    return bytes > pw_region_left(r) ? PW_ENOMEM : 0;
}

static void
write_row(struct pw_head *h, struct insert *in, struct pw_row *row, uint32_t index, uint32_t series)
{
    struct pw_series *s = PW_CHUNKS_AT(&in->tenant->series.series, struct pw_series, series);
    int64_t time = in->rec->time_nanos;

    row->time_ns = time;
    row->duration_ns = in->rec->duration_nanos;
    row->series = series;
    row->prev_row = atomic_load_explicit(&s->last_row, memory_order_relaxed);
    if (time < atomic_load_explicit(&s->time_min_ns, memory_order_relaxed)) {
        atomic_store_explicit(&s->time_min_ns, time, memory_order_relaxed);
    }
    if (time > atomic_load_explicit(&s->time_max_ns, memory_order_relaxed)) {
        atomic_store_explicit(&s->time_max_ns, time, memory_order_relaxed);
    }
    /* R3: pairs with A3. The row and its columns are complete; a reader whose watermark is older
     * walks past it. */
    atomic_store_explicit(&s->last_row, index, memory_order_release);
    if (h->activity != NULL) {
        pw_series_touch(&in->tenant->series, h->activity, series);
    }
}

static void
write_rows(struct pw_head *h, struct insert *in)
{
    struct pw_head_tenant *tn = in->tenant;
    const struct pw_record *rec = in->rec;
    uint32_t types = rec->types_count, span_base = tn->sym.span.count;
    const struct pw_record_span_id *span =
        PW_RECORD_AT(rec, struct pw_record_span_id, rec->spans_off);

    for (uint32_t i = 0; i < rec->spans_count; i++) {
        *PW_CHUNKS_AT(&tn->sym.span, struct pw_record_span_id, span_base + i) = span[i];
    }
    tn->sym.span.count += rec->spans_count;
    for (uint32_t i = 0; i < rec->series_count; i++) {
        const struct pw_samples_stat *stat = &in->stat[(size_t)i * types];
        uint32_t first = tn->row.count, next = first;
        struct pw_samples_in si = {
            .rec = rec,
            .rs = &in->rs[i],
            .stat = stat,
            .value = in->value[i],
            .stack_id = in->stack_id,
            .tmp = in->tmp,
            .span_base = span_base,
        };

        for (uint32_t t = 0; t < types; t++) {
            in->row[t] =
                stat[t].nonzero != 0 ? PW_CHUNKS_AT(&tn->row, struct pw_row, next++) : NULL;
        }
        if (next == first) {
            continue;
        }
        pw_samples_write(&h->mem.region, &si, in->row);
        for (uint32_t t = 0; t < types; t++) {
            if (stat[t].nonzero != 0) {
                write_row(h, in, in->row[t], tn->row.count++, in->plan[i].id[t]);
                h->samples_count += stat[t].nonzero;
            }
        }
    }
}

static void
publish(struct pw_head *h, struct pw_head_tenant *tn)
{
    uint64_t n = atomic_load_explicit(&tn->snaps, memory_order_relaxed);
    struct pw_head_snap *snap = &tn->snap[n % PW_HEAD_SNAPS];

    atomic_store_explicit(&snap->rows, tn->row.count, memory_order_relaxed);
    atomic_store_explicit(&snap->series, tn->series.series.count, memory_order_relaxed);
    atomic_store_explicit(&snap->strings, tn->sym.string.count, memory_order_relaxed);
    atomic_store_explicit(&snap->functions, tn->sym.function.count, memory_order_relaxed);
    atomic_store_explicit(&snap->locations, tn->sym.location.count, memory_order_relaxed);
    atomic_store_explicit(&snap->mappings, tn->sym.mapping.count, memory_order_relaxed);
    atomic_store_explicit(&snap->stacks, tn->sym.stack.count, memory_order_relaxed);
    /* R1: pairs with A1. Everything the record added lies below this snapshot's counts. */
    atomic_store_explicit(&tn->snaps, n + 1, memory_order_release);
    /* The next overwrite of a slot is not seen before this publication (see A1). */
    atomic_thread_fence(memory_order_release);
    if (!tn->listed) {
        uint32_t i = atomic_load_explicit(&h->list_count, memory_order_relaxed);
        uint32_t id = 0;

        while (h->tenant[id] != tn) { /* once in a tenant's life */
            id++;
        }
        tn->listed = true;
        h->list[i] = id;
        atomic_store_explicit(&h->list_count, i + 1, memory_order_release); /* R4 / A4 */
    }
}

static void
publish_totals(struct pw_head *h)
{
    const struct pw_region *r = &h->mem.region;

    for (int k = 0; k < PW_REGION_KINDS; k++) {
        atomic_store_explicit(&h->kind_bytes[k], r->kind_bytes[k], memory_order_relaxed);
    }
    atomic_store_explicit(&h->bytes_used, r->used, memory_order_relaxed);
    atomic_store_explicit(&h->samples, h->samples_count, memory_order_relaxed);
    atomic_store_explicit(&h->leaked, h->symbols_leaked, memory_order_relaxed);
}

static void
widen_time(struct pw_head *h, int64_t time)
{
    bool first = atomic_load_explicit(&h->list_count, memory_order_relaxed) == 0;

    if (first || time < atomic_load_explicit(&h->time_min_ns, memory_order_relaxed)) {
        atomic_store_explicit(&h->time_min_ns, time, memory_order_relaxed);
    }
    if (first || time > atomic_load_explicit(&h->time_max_ns, memory_order_relaxed)) {
        atomic_store_explicit(&h->time_max_ns, time, memory_order_relaxed);
    }
}

size_t
pw_head_prefault_cold(struct pw_head *h, size_t ahead)
{
    return pw_region_prefault(&h->mem.region, ahead);
}

size_t
pw_head_touched_left(const struct pw_head *h)
{
    return pw_region_touched_left(&h->mem.region);
}

void
pw_head_limit(struct pw_head *h, uint64_t bytes)
{
    struct pw_region *r = &h->mem.region;

    /* pw_region_prefault reads it */
    __atomic_store_n(&r->limit, bytes < r->cap ? bytes : r->cap, __ATOMIC_RELAXED);
}

void
pw_head_share(struct pw_head *h, struct pw_share *share)
{
    h->share = share;
}

void
pw_head_activity(struct pw_head *h, struct pw_activity *activity)
{
    h->activity = activity;
}

uint64_t
pw_head_bytes(const struct pw_head *h)
{
    return h->mem.region.used;
}

uint64_t
pw_head_left(const struct pw_head *h)
{
    return pw_region_left(&h->mem.region);
}

bool
pw_head_is_empty(const struct pw_head *h)
{
    return atomic_load_explicit(&h->list_count, memory_order_relaxed) == 0;
}

int64_t
pw_head_created_ns(const struct pw_head *h)
{
    return h->created_ns;
}

/* Whether the tenant holds less than its share of what the core's heads may hold. */
static bool
has_room(const struct pw_head *h, struct pw_head_tenant *t, struct pw_head_append_info *info)
{
    uint64_t max = pw_share_max(pw_region_left(&h->mem.region));

    if (h->share == NULL || pw_share_used(h->share, t) < max) {
        return true;
    }
    *info = (struct pw_head_append_info){.actual = pw_share_used(h->share, t), .limit = max};
    return false;
}

/* From the tenant's series to its rows: all of them, or none. */
static int
insert(struct pw_head *h, struct insert *in, uint64_t series_limit,
       struct pw_head_append_info *info)
{
    uint32_t series_before = in->tenant->series.series.count;
    int rc = plan(h, in, series_limit, info);

    if (rc != 0) {
        return rc;
    }
    if ((rc = create(h, in)) != 0 || (rc = intern(h, in)) != 0 || (rc = reserve(h, in)) != 0) {
        pw_series_undo(&in->tenant->series, &h->mem, series_before, in->plan,
                       in->rec->series_count);
        publish_totals(h);
        return rc;
    }
    h->created_ns = pw_head_is_empty(h) ? in->now.wall_ns : h->created_ns;
    write_rows(h, in);
    widen_time(h, in->rec->time_nanos);
    publish(h, in->tenant);
    publish_totals(h);
    return 0;
}

int
pw_head_append(struct pw_head *h, const struct pw_record *rec, struct pw_now now,
               uint64_t series_limit, struct pw_head_append_info *info)
{
    struct insert in = {
        .rec = rec,
        .rs = PW_RECORD_AT(rec, struct pw_record_series, rec->series_off),
        .now = now,
    };
    struct pw_slice name = pw_record_slice(rec, rec->tenant);

    pw_scratch_rewind(&h->mem.scratch, 0);
    int rc = measure(&in, &h->mem.scratch);

    if (rc != 0 || in.rows == 0) {
        return rc;
    }
    in.tenant = pw_head_find_tenant(h, name);
    if (in.tenant == NULL && (in.tenant = create_tenant(h, name)) == NULL) {
        return PW_ENOMEM;
    }
    if (!has_room(h, in.tenant, info)) {
        return PW_EBUSY;
    }
    size_t before = h->mem.region.used;

    rc = insert(h, &in, series_limit, info);
    in.tenant->bytes += h->mem.region.used - before;
    if (h->share != NULL) {
        pw_share_note(h->share, in.tenant, pw_region_left(&h->mem.region));
    }
    return rc;
}
