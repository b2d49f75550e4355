#include "query/select.h"

#include "query/far.h"
#include "query/replicas.h"
#include "query/select_block.h"

enum { NS_PER_MS = 1000000, SAMPLES_AT_ONCE = 512 };

/* --- Open ----------------------------------------------------------------------------------- */

bool
pw_select_series_matches(const struct pw_select *s, const struct pw_label_pair *label,
                         uint32_t label_count)
{
    if (s->plan.profile_type.len > 0 &&
        !pw_slice_eq(pw_selector_label(label, label_count, PW_SLICE_LIT("__profile_type__")),
                     s->plan.profile_type)) {
        return false;
    }
    return pw_selector_matches(&s->plan.selector, &s->call->t->regex, label, label_count);
}

struct pw_select_view *
pw_select_add_view(struct pw_select *s)
{
    void *list = s->view;

    if (!pw_arena_room(s->call->arena, &list, s->view_count, &s->view_cap, sizeof(*s->view))) {
        return NULL;
    }
    s->view = list;
    s->view[s->view_count] = (struct pw_select_view){0};
    return &s->view[s->view_count++];
}

static int
open_head(struct pw_select *s, const struct pw_head *head, struct pw_slice tenant)
{
    struct pw_head_view snap;
    struct pw_select_view *v;

    if (!pw_head_view_open(head, tenant, &snap)) {
        return 0;
    }
    v = pw_select_add_view(s);
    if (v == NULL) {
        return pw_call_no_memory(s->call);
    }
    pw_source_of_head(&v->src, &snap);
    v->series = pw_arena_zalloc(s->call->arena, snap.series_count, sizeof(bool));
    if (v->series == NULL) {
        return pw_call_no_memory(s->call);
    }
    for (uint32_t i = 0; i < snap.series_count; i++) {
        struct pw_head_series series;

        if (i % PW_SELECT_LOOK_SERIES == 0 && pw_call_stops(s->call)) {
            return PW_EINVAL;
        }
        pw_head_series_at(&snap, i, &series);
        v->series[i] = pw_select_series_matches(s, series.label, series.label_count);
        v->series_matched += v->series[i] ? 1 : 0;
    }
    return 0;
}

static int64_t
ms_to_ns(int64_t ms)
{
    if (ms > INT64_MAX / NS_PER_MS) {
        return INT64_MAX - NS_PER_MS;
    }
    return ms < INT64_MIN / NS_PER_MS ? INT64_MIN : ms * NS_PER_MS;
}

int
pw_select_open(struct pw_call *c, const struct pw_plan *plan, struct pw_select *s)
{
    const struct pw_catalog_view *from = c->sources;

    *s = (struct pw_select){.call = c, .plan = *plan};
    s->start_ns = plan->any_time ? INT64_MIN : ms_to_ns(plan->range.start_ms);
    s->end_ns = plan->any_time ? INT64_MAX : ms_to_ns(plan->range.end_ms) + NS_PER_MS - 1;
    s->plan.columns |= (plan->profile_id_count > 0 ? PW_BLOCK_COL_UUID : 0U) |
                       (pw_select_filters_samples(s) ? PW_BLOCK_COL_SPANS : 0U) |
                       (plan->trace_count > 0 ? PW_BLOCK_COL_TRACES : 0U);
    if (plan->range.empty) {
        return 0;
    }
    for (uint32_t i = 0; i < from->heads_count; i++) {
        for (uint32_t k = 0; k < c->tenant_count; k++) {
            if (open_head(s, from->head[i], c->tenant[k]) != 0) {
                return PW_EINVAL;
            }
        }
    }
    s->head_views = s->view_count;
    if (pw_select_blocks_open(s) != 0 || pw_replicas_mark(s) != 0) {
        return PW_EINVAL;
    }
    s->far_first = s->view_count;
    return pw_far_open(s);
}

/* --- Rows ----------------------------------------------------------------------------------- */

static bool
id_among(const uint8_t id[16], const uint8_t (*list)[16], uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (memcmp(id, list[i], 16) == 0) {
            return true;
        }
    }
    return false;
}

static bool
profile_fits(const struct pw_select *s, const struct pw_head_row *row)
{
    return s->plan.profile_id_count == 0 ||
           id_among(row->uuid, s->plan.profile_id, s->plan.profile_id_count);
}

static bool
next_of_heads(const struct pw_select *s, struct pw_select_cursor *cur, struct pw_head_row *row)
{
    while (cur->view < s->head_views) {
        const struct pw_select_view *v = &s->view[cur->view];
        uint64_t rows = v->series_matched == 0 ? 0 : v->src.head.rows_count;

        for (; cur->row < rows; cur->row++) {
            if (cur->row % PW_SELECT_LOOK_ROWS == 0 && pw_call_stops(s->call)) {
                return false;
            }
            pw_head_row_at(&v->src.head, cur->row, row);
            if (row->time_ns < s->start_ns || row->time_ns > s->end_ns || !v->series[row->series] ||
                !profile_fits(s, row)) {
                continue;
            }
            cur->row++;
            return true;
        }
        cur->view++;
        cur->row = 0;
    }
    return false;
}

/* Rows of other appliances: they fit, and were judged when they came (far.h). */
static bool
next_of_far(const struct pw_select *s, struct pw_select_cursor *cur, struct pw_head_row *row)
{
    for (; cur->far < s->far_views; cur->far++, cur->row = 0) {
        const struct pw_select_view *v = &s->view[s->far_first + cur->far];
        const struct pw_far_part *p = v->src.far;

        for (; cur->row < p->row_count; cur->row++) {
            const struct pw_far_row *r = &p->row[cur->row];

            if (!v->series[r->series] || (v->take != NULL && !v->take[cur->row])) {
                continue;
            }
            *row = (struct pw_head_row){
                .time_ns = r->time_ns,
                .total = r->total,
                .series = r->series,
                .samples_count = r->samples,
                .samples_ref = r->first,
            };
            memcpy(row->uuid, r->uuid, sizeof(row->uuid));
            cur->view = s->far_first + cur->far;
            cur->row++;
            return true;
        }
    }
    return false;
}

static bool
next_anywhere(const struct pw_select *s, struct pw_select_cursor *cur, struct pw_head_row *row)
{
    if (next_of_heads(s, cur, row)) {
        return true;
    }
    if (s->call->code != PW_CONNECT_CODE_OK) {
        return false;
    }
    while (pw_select_block_next(s, cur, row)) {
        if (profile_fits(s, row)) {
            return true;
        }
    }
    return s->call->code == PW_CONNECT_CODE_OK && next_of_far(s, cur, row);
}

bool
pw_select_next(const struct pw_select *s, struct pw_select_cursor *cur, struct pw_head_row *row)
{
    while (next_anywhere(s, cur, row)) {
        if (!s->replicas || pw_replicas_take(s, cur, row)) {
            return true;
        }
        if (s->call->code != PW_CONNECT_CODE_OK) {
            return false;
        }
    }
    return false;
}

bool
pw_select_next_series(struct pw_select *s, struct pw_select_series_cursor *cur,
                      struct pw_head_series *series)
{
    struct pw_head_row row;

    if (pw_select_block_next_series(s, cur, series)) {
        return true;
    }
    if (!pw_select_next(s, &cur->rows, &row)) {
        return false;
    }
    struct pw_select_view *v = &s->view[cur->rows.view];

    pw_source_series(&v->src, row.series, series);
    v->series[row.series] = false; /* its other rows say nothing new */
    v->series_matched--;
    return true;
}

/* --- Samples -------------------------------------------------------------------------------- */

bool
pw_select_sample(const struct pw_select *s, const struct pw_select_view *v,
                 const struct pw_head_sample *sample)
{
    struct pw_record_span_id id;
    bool span_fits = s->plan.span_count == 0;

    if (!pw_select_filters_samples(s)) {
        return true;
    }
    if (sample->span == 0) {
        return false;
    }
    pw_source_span(&v->src, sample->span, &id);
    for (uint32_t i = 0; i < s->plan.span_count && !span_fits; i++) {
        span_fits = id.has_span != 0 && memcmp(id.span_id, s->plan.span[i], 8) == 0;
    }
    if (!span_fits || s->plan.trace_count == 0) {
        return span_fits;
    }
    return id.has_trace != 0 && id_among(id.trace_id, s->plan.trace, s->plan.trace_count);
}

void
pw_select_sum_row(const struct pw_select *s, const struct pw_select_view *v,
                  const struct pw_head_row *row, int64_t *sum)
{
    struct pw_head_sample sample[SAMPLES_AT_ONCE];
    bool filter = pw_select_filters_samples(s);

    for (uint32_t first = 0; first < row->samples_count;) {
        uint32_t n = pw_source_samples(&v->src, row, first, sample, SAMPLES_AT_ONCE);

        if (n == 0) {
            return;
        }
        for (uint32_t i = 0; i < n; i++) {
            if (!filter || pw_select_sample(s, v, &sample[i])) {
                sum[sample[i].stack] += sample[i].value;
            }
        }
        first += n;
    }
}

int
pw_select_sums_new(const struct pw_select *s, int64_t ***out)
{
    int64_t **sums = pw_arena_zalloc(s->call->arena, s->view_count + 1, sizeof(*sums));

    if (sums == NULL) {
        return pw_call_no_memory(s->call);
    }
    for (uint32_t i = 0; i < s->view_count; i++) {
        sums[i] = pw_arena_zalloc(s->call->arena, (size_t)s->view[i].src.stacks_count + 1,
                                  sizeof(int64_t));
        if (sums[i] == NULL) {
            return pw_call_no_memory(s->call);
        }
    }
    *out = sums;
    return 0;
}

int
pw_select_sums(const struct pw_select *s, int64_t ***out)
{
    struct pw_select_cursor cur = {0};
    struct pw_head_row row;

    if (pw_select_sums_new(s, out) != 0) {
        return PW_EINVAL;
    }
    for (uint32_t i = 0; i < s->far_views; i++) {
        uint32_t view = s->far_first + i;
        const struct pw_far_part *p = s->view[view].src.far;

        if (p->sum != NULL) {
            memcpy((*out)[view], p->sum, p->stack_count * sizeof(*p->sum));
        }
    }
    while (pw_select_next(s, &cur, &row)) {
        pw_select_sum_row(s, &s->view[cur.view], &row, (*out)[cur.view]);
    }
    return 0;
}
