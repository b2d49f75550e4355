#include "query/heatmap.h"

#include "query/group.h"

#include <querier.pb-c.h>
#include <stdio.h>
#include <stdlib.h>

enum { NS_PER_MS = 1000000, SAMPLES_AT_ONCE = 512 };

/* One dot: a profile, or a span at one time. */
struct dot {
    int64_t slot; /* timestamp = start + slot * step */
    int64_t time_ms;
    int64_t value;
    uint32_t group, view, series;
    uint32_t has_trace;
    uint8_t profile[16], span[8], trace[16];
};

struct heatmap {
    struct pw_call *c;
    struct pw_select s;
    struct pw_groups groups;
    struct dot *dot;
    uint32_t count, cap;
    int64_t start_ms, end_ms, step_ms;
    bool spans, exemplars;
    int64_t min, max;
};

/* --- Dots ----------------------------------------------------------------------------------- */

static bool
put_dot(struct heatmap *h, const struct dot *d)
{
    void *p = h->dot;

    if (!pw_arena_room(h->c->arena, &p, h->count, &h->cap, sizeof(*d))) {
        return false;
    }
    h->dot = p;
    h->dot[h->count++] = *d;
    return true;
}

/* The row's spans, each with the sum of its samples. The few spans of one profile are searched one
 * by one, from the dots that this row began. */
static bool
put_spans(struct heatmap *h, const struct pw_head_row *row, const struct dot *base)
{
    const struct pw_source *src = &h->s.view[base->view].src;
    struct pw_head_sample sample[SAMPLES_AT_ONCE];
    uint32_t begin = h->count;

    for (uint32_t first = 0; first < row->samples_count;) {
        uint32_t n = pw_source_samples(src, row, first, sample, SAMPLES_AT_ONCE);

        for (uint32_t i = 0; i < n; i++) {
            struct pw_record_span_id id = {0};
            struct dot d = *base;
            uint32_t k = begin;

            if (sample[i].span != 0) {
                pw_source_span(src, sample[i].span, &id);
            }
            if (!id.has_span) {
                continue;
            }
            memcpy(d.span, id.span_id, sizeof(d.span));
            memcpy(d.trace, id.trace_id, sizeof(d.trace));
            d.has_trace = id.has_trace;
            d.value = sample[i].value;
            while (k < h->count && (memcmp(h->dot[k].span, d.span, sizeof(d.span)) != 0 ||
                                    memcmp(h->dot[k].trace, d.trace, sizeof(d.trace)) != 0)) {
                k++;
            }
            if (k < h->count) {
                h->dot[k].value += d.value;
            } else if (!put_dot(h, &d)) {
                return false;
            }
        }
        if (n == 0) {
            break;
        }
        first += n;
    }
    return true;
}

static int64_t
round_up(const struct heatmap *h, int64_t t)
{
    return t <= h->start_ms ? 0 : (t - h->start_ms + h->step_ms - 1) / h->step_ms;
}

static int
gather(struct heatmap *h)
{
    struct pw_select_cursor cur = {0};
    struct pw_head_row row;

    while (pw_select_next(&h->s, &cur, &row)) {
        int64_t t = row.time_ns / NS_PER_MS;
        struct dot d = {.slot = round_up(h, t),
                        .time_ms = t,
                        .value = row.total,
                        .group = pw_groups_of(&h->groups, cur.view, row.series),
                        .view = cur.view,
                        .series = row.series};

        memcpy(d.profile, row.uuid, sizeof(d.profile));
        if (d.group == UINT32_MAX || !(h->spans ? put_spans(h, &row, &d) : put_dot(h, &d))) {
            return pw_call_no_memory(h->c);
        }
    }
    for (uint32_t i = 0; i < h->count; i++) {
        h->min = i == 0 || h->dot[i].value < h->min ? h->dot[i].value : h->min;
        h->max = i == 0 || h->dot[i].value > h->max ? h->dot[i].value : h->max;
    }
    if (h->max == h->min) {
        h->max = h->min + 1;
    }
    return 0;
}

static int
by_group_and_slot(const void *a, const void *b)
{
    const struct dot *x = a, *y = b;

    if (x->group != y->group) {
        return x->group < y->group ? -1 : 1;
    }
    return (x->slot > y->slot) - (x->slot < y->slot);
}

/* --- Answer --------------------------------------------------------------------------------- */

/* Bounds of the y axis, twenty equal buckets over everything. */
static double
lower(const struct heatmap *h, uint32_t bucket)
{
    double step = (double)(h->max - h->min) / PW_HEATMAP_BUCKETS;

    return (double)(h->min + (int64_t)(bucket * step));
}

static uint32_t
bucket_of(const struct heatmap *h, int64_t value)
{
    uint32_t i = PW_HEATMAP_BUCKETS - 1;

    while (i > 0 && (double)value < lower(h, i)) {
        i--;
    }
    return i;
}

static void
put_hex(struct pw_call *c, const uint8_t *id, size_t n, char **out)
{
    char text[40];

    for (size_t i = 0; i < n; i++) {
        snprintf(text + i * 2, sizeof(text) - i * 2, "%02x", id[i]);
    }
    *out = pw_codec_string(c->arena, pw_slice(text, n * 2));
}

static Types__V1__Exemplar *
make_exemplar(struct heatmap *h, const struct dot *d)
{
    Types__V1__Exemplar *e = pw_arena_zalloc(h->c->arena, 1, sizeof(*e));

    if (e == NULL) {
        return NULL;
    }
    types__v1__exemplar__init(e);
    e->timestamp = d->time_ms;
    e->value = d->value;
    if (h->spans) {
        put_hex(h->c, d->span, sizeof(d->span), &e->span_id);
        if (d->has_trace) {
            put_hex(h->c, d->trace, sizeof(d->trace), &e->trace_id);
        }
    } else {
        e->profile_id = pw_group_uuid(h->c->arena, d->profile);
    }
    return pw_group_rest(&h->groups, d->view, d->series, &e->labels, &e->n_labels) ? e : NULL;
}

/* Dots of one group in one slot. */
static Querier__V1__HeatmapSlot *
make_slot(struct heatmap *h, const struct dot *d, uint32_t n)
{
    struct pw_arena *a = h->c->arena;
    Querier__V1__HeatmapSlot *slot = pw_arena_zalloc(a, 1, sizeof(*slot));
    const struct dot *best[PW_HEATMAP_BUCKETS] = {NULL};

    if (slot == NULL) {
        return NULL;
    }
    querier__v1__heatmap_slot__init(slot);
    slot->y_min = pw_arena_alloc(a, PW_HEATMAP_BUCKETS * sizeof(*slot->y_min));
    slot->counts = pw_arena_zalloc(a, PW_HEATMAP_BUCKETS, sizeof(*slot->counts));
    slot->exemplars = pw_arena_zalloc(a, PW_HEATMAP_BUCKETS, sizeof(*slot->exemplars));
    if (slot->y_min == NULL || slot->counts == NULL || slot->exemplars == NULL) {
        return NULL;
    }
    slot->timestamp = h->start_ms + d->slot * h->step_ms;
    slot->n_y_min = slot->n_counts = PW_HEATMAP_BUCKETS;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t b = bucket_of(h, d[i].value);

        slot->counts[b]++;
        best[b] = best[b] == NULL || d[i].value > best[b]->value ? &d[i] : best[b];
    }
    for (uint32_t b = 0; b < PW_HEATMAP_BUCKETS; b++) {
        slot->y_min[b] = lower(h, b);
        if (h->exemplars && best[b] != NULL) {
            Types__V1__Exemplar *e = make_exemplar(h, best[b]);

            if (e == NULL) {
                return NULL;
            }
            slot->exemplars[slot->n_exemplars++] = e;
        }
    }
    return slot;
}

struct ranked {
    Querier__V1__HeatmapSeries series;
    const struct pw_group *group;
    uint32_t dots;
};

static bool
make_series(struct heatmap *h, const struct dot *d, uint32_t n, struct ranked *out)
{
    struct pw_arena *a = h->c->arena;

    querier__v1__heatmap_series__init(&out->series);
    out->group = &h->groups.group[d->group];
    out->dots = n;
    out->series.slots = pw_arena_zalloc(a, n, sizeof(*out->series.slots));
    if (out->series.slots == NULL || !pw_group_labels(a, out->group->label, out->group->label_count,
                                                      &out->series.labels, &out->series.n_labels)) {
        return false;
    }
    for (uint32_t i = 0, end; i < n; i = end) {
        Querier__V1__HeatmapSlot *slot;

        for (end = i; end < n && d[end].slot == d[i].slot;) {
            end++;
        }
        slot = make_slot(h, d + i, end - i);
        if (slot == NULL) {
            return false;
        }
        out->series.slots[out->series.n_slots++] = slot;
    }
    return true;
}

static int
by_count(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;

    if (x->dots != y->dots) {
        return x->dots < y->dots ? 1 : -1;
    }
    return pw_groups_cmp(x->group, y->group);
}

static int
answer(struct heatmap *h, int64_t limit)
{
    struct pw_arena *a = h->c->arena;
    Querier__V1__SelectHeatmapResponse res = QUERIER__V1__SELECT_HEATMAP_RESPONSE__INIT;
    struct ranked *list = pw_arena_zalloc(a, h->groups.count, sizeof(*list));
    uint32_t n = 0;

    res.series = pw_arena_zalloc(a, h->groups.count, sizeof(*res.series));
    if (list == NULL || res.series == NULL) {
        return pw_call_no_memory(h->c);
    }
    if (h->count > 0) {
        qsort(h->dot, h->count, sizeof(*h->dot), by_group_and_slot);
    }
    for (uint32_t i = 0, end; i < h->count; i = end) {
        for (end = i; end < h->count && h->dot[end].group == h->dot[i].group;) {
            end++;
        }
        if (!make_series(h, h->dot + i, end - i, &list[n++])) {
            return pw_call_no_memory(h->c);
        }
    }
    if (n > 0) {
        qsort(list, n, sizeof(*list), by_count);
    }
    for (uint32_t i = 0; i < n && (limit == 0 || i < limit); i++) {
        res.series[res.n_series++] = &list[i].series;
    }
    return pw_call_answer(h->c, &res.base);
}

static int
check_exemplars(struct pw_call *c, const Querier__V1__SelectHeatmapRequest *req, struct heatmap *h)
{
    bool individual = req->exemplar_type == TYPES__V1__EXEMPLAR_TYPE__EXEMPLAR_TYPE_INDIVIDUAL;
    bool span = req->exemplar_type == TYPES__V1__EXEMPLAR_TYPE__EXEMPLAR_TYPE_SPAN;

    h->spans = req->query_type == QUERIER__V1__HEATMAP_QUERY_TYPE__HEATMAP_QUERY_TYPE_SPAN;
    h->exemplars = individual || span;
    if (individual && h->spans) {
        return pw_call_fail(c, PW_CONNECT_CODE_INVALID_ARGUMENT,
                            "individual exemplars only available for individual query type");
    }
    if (span && !h->spans) {
        return pw_call_fail(c, PW_CONNECT_CODE_INVALID_ARGUMENT,
                            "span exemplars only available for span query type");
    }
    return 0;
}

static int
read_query(struct pw_call *c, const Querier__V1__SelectHeatmapRequest *req, struct pw_plan *plan,
           struct heatmap *h)
{
    struct pw_slice type;

    if (pw_range_profile_type(c, pw_slice_str(req->profile_typeid), &type) != 0) {
        return PW_EINVAL;
    }
    plan->profile_type = type;
    if (req->start != 0 && req->end != 0 && req->start >= req->end) {
        return pw_call_fail(c, PW_CONNECT_CODE_INVALID_ARGUMENT,
                            "start time must be before end time, got start=%lld end=%lld",
                            (long long)req->start, (long long)req->end);
    }
    if (!(req->step >= 0.001)) {
        return pw_call_fail(c, PW_CONNECT_CODE_INVALID_ARGUMENT, "step must be >= 1ms, got %f",
                            req->step);
    }
    if (req->limit < 0) {
        return pw_call_fail(c, PW_CONNECT_CODE_INVALID_ARGUMENT,
                            "limit must be non-negative, got %lld", (long long)req->limit);
    }
    if (pw_range_check(c, req->start, req->end, &plan->range) != 0 ||
        check_exemplars(c, req, h) != 0) {
        return PW_EINVAL;
    }
    h->start_ms = plan->range.start_ms;
    h->end_ms = plan->range.end_ms;
    h->step_ms = req->step > 1e12 ? INT64_C(1000000000000000) : (int64_t)(req->step * 1000);
    plan->columns = h->spans ? PW_BLOCK_COL_SAMPLES | PW_BLOCK_COL_SPANS | PW_BLOCK_COL_TRACES
                             : PW_BLOCK_COL_TOTAL;
    plan->columns |= PW_BLOCK_COL_UUID;
    plan->samples_by_row = h->spans;
    plan->range.start_ms -= h->step_ms;
    return pw_plan_selector(c, plan, pw_slice_str(req->label_selector));
}

int
pw_heatmap(struct pw_call *c, const ProtobufCMessage *msg)
{
    const Querier__V1__SelectHeatmapRequest *req = (const Querier__V1__SelectHeatmapRequest *)msg;
    struct heatmap h = {.c = c};
    struct pw_plan plan = {0};

    if (read_query(c, req, &plan, &h) != 0 || pw_select_open(c, &plan, &h.s) != 0) {
        return PW_EINVAL;
    }
    if (!pw_groups_init(&h.groups, &h.s, req->group_by, req->n_group_by)) {
        return pw_call_no_memory(c);
    }
    return gather(&h) != 0 ? PW_EINVAL : answer(&h, req->limit);
}
