/* The readers' half of head.h. Nothing here waits, and nothing writes. */
#include "ingester/head_priv.h"

#include "base/check.h"

static void
copy_snap(const struct pw_head_tenant *tn, uint64_t n, struct pw_head_view *v)
{
    const struct pw_head_snap *s = &tn->snap[(n - 1) % PW_HEAD_SNAPS];

    *v = (struct pw_head_view){
        .tenant = tn,
        .rows_count = atomic_load_explicit(&s->rows, memory_order_relaxed),
        .series_count = atomic_load_explicit(&s->series, memory_order_relaxed),
        .strings_count = atomic_load_explicit(&s->strings, memory_order_relaxed),
        .functions_count = atomic_load_explicit(&s->functions, memory_order_relaxed),
        .locations_count = atomic_load_explicit(&s->locations, memory_order_relaxed),
        .mappings_count = atomic_load_explicit(&s->mappings, memory_order_relaxed),
        .stacks_count = atomic_load_explicit(&s->stacks, memory_order_relaxed),
    };
}

/* False when nothing was published yet. */
static bool
newest_view(const struct pw_head_tenant *tn, struct pw_head_view *v)
{
    for (;;) {
        /* A1: pairs with R1. What lies below the counts of snapshot n may be read. */
        uint64_t n = atomic_load_explicit(&tn->snaps, memory_order_acquire);

        if (n == 0) {
            return false;
        }
        copy_snap(tn, n, v);
        /* Had the writer come round to this slot, the fence makes its later counts visible here. */
        atomic_thread_fence(memory_order_acquire);
        if (atomic_load_explicit(&tn->snaps, memory_order_relaxed) - n < PW_HEAD_SNAPS - 1) {
            return true;
        }
    }
}

bool
pw_head_view_open(const struct pw_head *h, struct pw_slice tenant, struct pw_head_view *v)
{
    const struct pw_head_tenant *tn = pw_head_find_tenant(h, tenant);

    return tn != NULL && newest_view(tn, v);
}

bool
pw_head_tenant_at(const struct pw_head *h, uint32_t i, struct pw_slice *tenant)
{
    /* A4: pairs with R4. */
    if (i >= atomic_load_explicit(&h->list_count, memory_order_acquire)) {
        return false;
    }
    const struct pw_head_tenant *tn = h->tenant[h->list[i]];

    *tenant = pw_slice(tn->name, tn->name_len);
    return true;
}

void
pw_head_stats(const struct pw_head *h, struct pw_head_stats *st)
{
    uint32_t tenants = atomic_load_explicit(&h->list_count, memory_order_acquire);

    *st = (struct pw_head_stats){
        .bytes_used = atomic_load_explicit(&h->bytes_used, memory_order_relaxed),
        .bytes_max = h->cfg.bytes_max,
        .tenants = tenants,
        .samples = atomic_load_explicit(&h->samples, memory_order_relaxed),
        .symbols_leaked = atomic_load_explicit(&h->leaked, memory_order_relaxed),
        .time_min_ns = atomic_load_explicit(&h->time_min_ns, memory_order_relaxed),
        .time_max_ns = atomic_load_explicit(&h->time_max_ns, memory_order_relaxed),
        .bytes_symbols =
            atomic_load_explicit(&h->kind_bytes[PW_REGION_SYMBOLS], memory_order_relaxed),
        .bytes_stacks =
            atomic_load_explicit(&h->kind_bytes[PW_REGION_STACKS], memory_order_relaxed),
        .bytes_series =
            atomic_load_explicit(&h->kind_bytes[PW_REGION_SERIES], memory_order_relaxed),
        .bytes_samples =
            atomic_load_explicit(&h->kind_bytes[PW_REGION_SAMPLES], memory_order_relaxed),
        .bytes_index = atomic_load_explicit(&h->kind_bytes[PW_REGION_INDEX], memory_order_relaxed),
    };
    for (uint32_t i = 0; i < tenants; i++) {
        struct pw_head_view v;

        if (newest_view(h->tenant[h->list[i]], &v)) {
            st->series += v.series_count;
            st->rows += v.rows_count;
            st->stacks += v.stacks_count;
            st->locations += v.locations_count;
            st->functions += v.functions_count;
            st->strings += v.strings_count;
        }
    }
}

/* --- Series and rows -------------------------------------------------------------------------- */

static const struct pw_series *
series_of(const struct pw_head_view *v, uint32_t id)
{
    PW_DCHECK(id < v->series_count);
    return PW_CHUNKS_AT(&v->tenant->series.series, const struct pw_series, id);
}

static const struct pw_row *
row_of(const struct pw_head_view *v, uint64_t i)
{
    PW_DCHECK(i < v->rows_count);
    return PW_CHUNKS_AT(&v->tenant->row, const struct pw_row, (uint32_t)i);
}

static const void *
at8(const struct pw_head_view *v, uint32_t ref8)
{
    return pw_region_at8(v->tenant->base, ref8);
}

void
pw_head_series_at(const struct pw_head_view *v, uint32_t id, struct pw_head_series *out)
{
    const struct pw_series *s = series_of(v, id);

    *out = (struct pw_head_series){
        .label = s->label,
        .label_count = s->label_count,
        .id = id,
        .fingerprint = s->fingerprint,
    };
}

void
pw_head_series_time(const struct pw_head_view *v, uint32_t id, int64_t *min_ns, int64_t *max_ns)
{
    const struct pw_series *s = series_of(v, id);

    *min_ns = atomic_load_explicit(&s->time_min_ns, memory_order_relaxed);
    *max_ns = atomic_load_explicit(&s->time_max_ns, memory_order_relaxed);
}

/* The first row of the chain from `row` on that the view may see. */
static uint64_t
visible_from(const struct pw_head_view *v, uint32_t row)
{
    while (row != UINT32_MAX && row >= v->rows_count) {
        row = PW_CHUNKS_AT(&v->tenant->row, const struct pw_row, row)->prev_row;
    }
    return row == UINT32_MAX ? PW_HEAD_NO_ROW : row;
}

uint64_t
pw_head_series_last_row(const struct pw_head_view *v, uint32_t id)
{
    /* A3: pairs with R3. The row may be newer than the view, but it is written. */
    return visible_from(v, atomic_load_explicit(&series_of(v, id)->last_row, memory_order_acquire));
}

uint64_t
pw_head_row_prev(const struct pw_head_view *v, uint64_t i)
{
    return visible_from(v, row_of(v, i)->prev_row);
}

void
pw_head_row_peek(const struct pw_head_view *v, uint64_t i, uint32_t *series, int64_t *time_ns)
{
    const struct pw_row *row = row_of(v, i);

    *series = row->series;
    *time_ns = row->time_ns;
}

void
pw_head_row_at(const struct pw_head_view *v, uint64_t i, struct pw_head_row *out)
{
    const struct pw_row *row = row_of(v, i);
    const struct pw_row_profile *profile = at8(v, row->profile_ref8);

    *out = (struct pw_head_row){
        .time_ns = row->time_ns,
        .duration_ns = row->duration_ns,
        .period = profile->period,
        .total = row->total,
        .series = row->series,
        .samples_count = row->samples_count,
        .samples_ref = i,
    };
    memcpy(out->uuid, profile->uuid, sizeof(out->uuid));
}

uint32_t
pw_head_samples(const struct pw_head_view *v, const struct pw_head_row *r, uint32_t first,
                struct pw_head_sample *out, uint32_t n)
{
    const struct pw_row *row = row_of(v, r->samples_ref);
    const void *stacks = at8(v, row->stacks_ref8);
    const void *values = at8(v, row->values_ref8);
    const void *spans = row->spans_ref8 != 0 ? at8(v, row->spans_ref8) : NULL;
    struct pw_row k = *row; /* widths in registers: out could alias the row otherwise */
    uint32_t left = first < k.samples_count ? k.samples_count - first : 0;

    n = left < n ? left : n;
    for (uint32_t i = 0; i < n; i++) {
        out[i].stack = k.stack_base + (uint32_t)pw_column_at(stacks, k.stack_width, first + i);
        out[i].value = (int64_t)pw_column_at(values, k.value_width, first + i);
        out[i].span = 0;
    }
    for (uint32_t i = 0; spans != NULL && i < n; i++) {
        uint32_t span = (uint32_t)pw_column_at(spans, k.span_width, first + i);

        out[i].span = span == 0 ? 0 : k.span_base + span;
    }
    return n;
}

void
pw_head_span(const struct pw_head_view *v, uint32_t span, struct pw_record_span_id *out)
{
    *out = *PW_CHUNKS_AT(&v->tenant->sym.span, const struct pw_record_span_id, span - 1);
}

/* --- Symbols ---------------------------------------------------------------------------------- */

const uint32_t *
pw_head_stack_locs(const struct pw_head_view *v, uint32_t stack, uint32_t *depth)
{
    PW_DCHECK(stack < v->stacks_count);
    const struct pw_sym_stack *s =
        PW_CHUNKS_AT(&v->tenant->sym.stack, const struct pw_sym_stack, stack);

    *depth = s->depth;
    return at8(v, s->locs_ref8);
}

uint32_t
pw_head_stack(const struct pw_head_view *v, uint32_t stack, uint32_t *loc, uint32_t n)
{
    uint32_t depth;
    const uint32_t *locs = pw_head_stack_locs(v, stack, &depth);

    memcpy(loc, locs, (depth < n ? depth : n) * sizeof(*loc));
    return depth;
}

void
pw_head_location(const struct pw_head_view *v, uint32_t id, struct pw_head_location *out)
{
    PW_DCHECK(id < v->locations_count);
    const struct pw_sym_location *l =
        PW_CHUNKS_AT(&v->tenant->sym.location, const struct pw_sym_location, id);

    *out = (struct pw_head_location){
        .address = l->address,
        .mapping = l->mapping,
        .line_count = l->line_count,
        .line = at8(v, l->lines_ref8),
        .is_folded = l->is_folded != 0,
    };
}

void
pw_head_function(const struct pw_head_view *v, uint32_t id, struct pw_head_function *out)
{
    PW_DCHECK(id < v->functions_count);
    *out = *PW_CHUNKS_AT(&v->tenant->sym.function, const struct pw_head_function, id);
}

void
pw_head_mapping(const struct pw_head_view *v, uint32_t id, struct pw_head_mapping *out)
{
    PW_DCHECK(id < v->mappings_count);
    *out = *PW_CHUNKS_AT(&v->tenant->sym.mapping, const struct pw_head_mapping, id);
}

struct pw_slice
pw_head_string(const struct pw_head_view *v, uint32_t id)
{
    PW_DCHECK(id < v->strings_count);
    return pw_symbols_string(&v->tenant->sym, v->tenant->base, id);
}
