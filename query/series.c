#include "query/series.h"

#include "query/frames.h"

#include <stdlib.h>

enum { NS_PER_MS = 1000000, SAMPLES_AT_ONCE = 512 };

double
pw_series_value(const struct pw_series_query *q, const struct pw_series_point *p)
{
    return q->average && p->rows > 0 ? (double)p->sum / (double)p->rows : (double)p->sum;
}

/* --- Values of rows ------------------------------------------------------------------------- */

/* Which stacks lie under the call site: looked at once per stack. */
struct under {
    struct pw_names names;
    struct pw_frames *frames; /* per view */
    uint8_t **seen;           /* [view][stack]: 0 not yet, 1 no, 2 yes */
    uint32_t *prefix;
    uint32_t prefix_count;
};

static int
under_init(struct pw_call *c, const struct pw_series_query *q, const struct pw_select *s,
           struct under *u)
{
    *u = (struct under){.prefix_count = (uint32_t)q->call_site_count};
    if (u->prefix_count == 0) {
        return 0;
    }
    u->prefix = pw_arena_zalloc(c->arena, u->prefix_count, sizeof(*u->prefix));
    u->frames = pw_arena_zalloc(c->arena, s->view_count, sizeof(*u->frames));
    u->seen = pw_arena_zalloc(c->arena, s->view_count, sizeof(*u->seen));
    if (u->prefix == NULL || u->frames == NULL || u->seen == NULL ||
        !pw_names_init(&u->names, c->arena, c->t->q->cfg.hash_key)) {
        return pw_call_no_memory(c);
    }
    for (uint32_t i = 0; i < u->prefix_count; i++) {
        u->prefix[i] = pw_names_intern(&u->names, pw_slice_str(q->call_site[i]));
    }
    for (uint32_t v = 0; v < s->view_count; v++) {
        u->seen[v] = pw_arena_zalloc(c->arena, (size_t)s->view[v].src.stacks_count + 1, 1);
        if (u->seen[v] == NULL ||
            !pw_frames_init(&u->frames[v], c->arena, &s->view[v].src, &u->names)) {
            return pw_call_no_memory(c);
        }
    }
    return 0;
}

static bool
is_under(struct under *u, uint32_t view, uint32_t stack)
{
    uint8_t *seen = &u->seen[view][stack];

    if (*seen == 0) {
        uint32_t depth = pw_frames_stack(&u->frames[view], stack);
        bool yes = depth != UINT32_MAX &&
                   pw_frames_has_prefix(&u->frames[view], depth, u->prefix, u->prefix_count);

        *seen = yes ? 2 : 1;
    }
    return *seen == 2;
}

/* The row's total, or what of it lies under the call site. */
static int64_t
row_value(const struct pw_select *s, struct under *u, uint32_t view, const struct pw_head_row *row)
{
    struct pw_head_sample sample[SAMPLES_AT_ONCE];
    int64_t sum = 0;

    if (u->prefix_count == 0) {
        return row->total;
    }
    for (uint32_t first = 0; first < row->samples_count;) {
        uint32_t n = pw_source_samples(&s->view[view].src, row, first, sample, SAMPLES_AT_ONCE);

        if (n == 0) {
            break;
        }
        for (uint32_t i = 0; i < n; i++) {
            sum += is_under(u, view, sample[i].stack) ? sample[i].value : 0;
        }
        first += n;
    }
    return sum;
}

/* --- Points --------------------------------------------------------------------------------- */

static void
merge_point(struct pw_series_point *into, const struct pw_series_point *p)
{
    into->sum += p->sum;
    into->rows += p->rows;
    if (p->best > into->best) {
        int64_t sum = into->sum, k = into->k;
        uint64_t rows = into->rows;

        *into = *p;
        into->k = k;
        into->sum = sum;
        into->rows = rows;
    }
}

/* Rows come nearly in order of time, so a look at the last point mostly finds the bucket; what is
 * out of order is merged at the end. */
static bool
add_point(struct pw_arena *a, struct pw_series *s, const struct pw_series_point *p)
{
    void *list = s->point;

    if (s->count > 0 && s->point[s->count - 1].k == p->k) {
        merge_point(&s->point[s->count - 1], p);
        return true;
    }
    if (!pw_arena_room(a, &list, s->count, &s->cap, sizeof(*s->point))) {
        return false;
    }
    s->point = list;
    s->point[s->count++] = *p;
    return true;
}

static int
by_k(const void *a, const void *b)
{
    int64_t x = ((const struct pw_series_point *)a)->k, y = ((const struct pw_series_point *)b)->k;

    return (x > y) - (x < y);
}

static void
merge_points(const struct pw_series_query *q, struct pw_series *s)
{
    uint32_t n = 0;

    qsort(s->point, s->count, sizeof(*s->point), by_k);
    for (uint32_t i = 0; i < s->count; i++) {
        if (n > 0 && s->point[n - 1].k == s->point[i].k) {
            merge_point(&s->point[n - 1], &s->point[i]);
        } else {
            s->point[n++] = s->point[i];
        }
    }
    s->count = n;
    for (uint32_t i = 0; i < n; i++) {
        s->sum += pw_series_value(q, &s->point[i]);
    }
}

static int
by_sum(const void *a, const void *b)
{
    const struct pw_series *x = a, *y = b;

    if (x->sum != y->sum) {
        return x->sum < y->sum ? 1 : -1;
    }
    return pw_groups_cmp(x->group, y->group);
}

static int
add_rows(struct pw_call *c, const struct pw_series_query *q, struct pw_series_result *r,
         struct under *u, struct pw_series **list, uint32_t *cap)
{
    int64_t start = q->plan.range.start_ms, last = (q->plan.range.end_ms - start) / q->step_ms;
    struct pw_select_cursor cur = {0};
    struct pw_head_row row;

    while (pw_select_next(&r->select, &cur, &row)) {
        uint32_t group = pw_groups_of(&r->groups, cur.view, row.series);
        int64_t t = row.time_ns / NS_PER_MS;
        struct pw_series_point p = {.k = t <= start ? 0 : (t - start + q->step_ms - 1) / q->step_ms,
                                    .rows = 1,
                                    .best_time_ms = t,
                                    .best_view = cur.view,
                                    .best_series = row.series};
        void *grown = *list;

        if (group == UINT32_MAX) {
            return pw_call_no_memory(c);
        }
        while (group >= *cap) {
            if (!pw_arena_room(c->arena, &grown, *cap, cap, sizeof(**list))) {
                return pw_call_no_memory(c);
            }
            *list = grown;
        }
        if (p.k > last) {
            continue; /* behind the last grid point: stock drops it */
        }
        p.sum = p.best = row_value(&r->select, u, cur.view, &row);
        memcpy(p.best_uuid, row.uuid, sizeof(p.best_uuid));
        if (!add_point(c->arena, &(*list)[group], &p)) {
            return pw_call_no_memory(c);
        }
    }
    return 0;
}

int
pw_series_run(struct pw_call *c, const struct pw_series_query *q, struct pw_series_result *r)
{
    struct pw_plan plan = q->plan;
    struct pw_series *list = NULL;
    uint32_t cap = 0, n = 0;
    struct under u;

    *r = (struct pw_series_result){0};
    plan.stacks = plan.samples_by_row = q->call_site_count > 0;
    plan.columns = PW_BLOCK_COL_TOTAL | (plan.stacks ? PW_BLOCK_COL_SAMPLES : 0U) |
                   (q->exemplars ? PW_BLOCK_COL_UUID : 0U);
    plan.range.start_ms -= q->step_ms; /* the first bucket is [start - step, start] */
    if (pw_select_open(c, &plan, &r->select) != 0 || under_init(c, q, &r->select, &u) != 0) {
        return PW_EINVAL;
    }
    if (!pw_groups_init(&r->groups, &r->select, q->group_by, q->group_by_count)) {
        return pw_call_no_memory(c);
    }
    if (add_rows(c, q, r, &u, &list, &cap) != 0) {
        return PW_EINVAL;
    }
    for (uint32_t i = 0; i < r->groups.count; i++) {
        if (list[i].count > 0) {
            list[n] = list[i];
            list[n].group = &r->groups.group[i];
            merge_points(q, &list[n++]);
        }
    }
    if (n > 0) {
        qsort(list, n, sizeof(*list), by_sum);
    }
    r->series = list;
    r->count = q->limit > 0 && (uint64_t)q->limit < n ? (uint32_t)q->limit : n;
    return 0;
}

/* --- SelectSeries --------------------------------------------------------------------------- */

static bool
put_exemplar(struct pw_call *c, struct pw_series_result *r, const struct pw_series_point *p,
             Types__V1__Point *out)
{
    Types__V1__Exemplar *e = pw_arena_zalloc(c->arena, 1, sizeof(*e));

    out->exemplars = pw_arena_zalloc(c->arena, 1, sizeof(*out->exemplars));
    if (e == NULL || out->exemplars == NULL) {
        return false;
    }
    types__v1__exemplar__init(e);
    e->timestamp = p->best_time_ms;
    e->value = p->best;
    e->profile_id = pw_group_uuid(c->arena, p->best_uuid);
    out->exemplars[0] = e;
    out->n_exemplars = 1;
    return pw_group_rest(&r->groups, p->best_view, p->best_series, &e->labels, &e->n_labels);
}

static bool
put_series(struct pw_call *c, const struct pw_series_query *q, struct pw_series_result *r,
           const struct pw_series *s, Types__V1__Series *out)
{
    Types__V1__Point *point = pw_arena_zalloc(c->arena, s->count, sizeof(*point));

    out->points = pw_arena_zalloc(c->arena, s->count, sizeof(*out->points));
    if (point == NULL || out->points == NULL ||
        !pw_group_labels(c->arena, s->group->label, s->group->label_count, &out->labels,
                         &out->n_labels)) {
        return false;
    }
    for (uint32_t i = 0; i < s->count; i++) {
        types__v1__point__init(&point[i]);
        point[i].value = pw_series_value(q, &s->point[i]);
        point[i].timestamp = q->plan.range.start_ms + s->point[i].k * q->step_ms;
        if (q->exemplars && !put_exemplar(c, r, &s->point[i], &point[i])) {
            return false;
        }
        out->points[i] = &point[i];
    }
    out->n_points = s->count;
    return true;
}

static int
read_query(struct pw_call *c, const Querier__V1__SelectSeriesRequest *req,
           struct pw_series_query *q)
{
    struct pw_slice type;

    if (pw_range_profile_type(c, pw_slice_str(req->profile_typeid), &type) != 0 ||
        pw_range_check(c, req->start, req->end, &q->plan.range) != 0) {
        return PW_EINVAL;
    }
    q->plan.profile_type = type;
    if (!(req->step >= 0.001)) {
        return pw_call_fail(c, PW_CONNECT_CODE_INVALID_ARGUMENT, "step must be >= 1ms");
    }
    /* Longer than any range is as good as one bucket, and stays clear of overflow. */
    q->step_ms = req->step > 1e12 ? INT64_C(1000000000000000) : (int64_t)(req->step * 1000);
    if (req->exemplar_type == TYPES__V1__EXEMPLAR_TYPE__EXEMPLAR_TYPE_SPAN) {
        return pw_call_fail(c, PW_CONNECT_CODE_UNIMPLEMENTED,
                            "exemplar type span is not implemented");
    }
    q->exemplars = req->exemplar_type == TYPES__V1__EXEMPLAR_TYPE__EXEMPLAR_TYPE_INDIVIDUAL;
    q->group_by = req->group_by;
    q->group_by_count = req->n_group_by;
    q->average = req->opt_aggregation_case ==
                     QUERIER__V1__SELECT_SERIES_REQUEST__OPT_AGGREGATION_AGGREGATION &&
                 req->aggregation ==
                     TYPES__V1__TIME_SERIES_AGGREGATION_TYPE__TIME_SERIES_AGGREGATION_TYPE_AVERAGE;
    if (req->opt_limit_case == QUERIER__V1__SELECT_SERIES_REQUEST__OPT_LIMIT_LIMIT) {
        q->limit = req->limit;
    }
    return pw_plan_selector(c, &q->plan, pw_slice_str(req->label_selector));
}

static int
read_call_site(struct pw_call *c, const Types__V1__StackTraceSelector *s, struct pw_series_query *q)
{
    if (s == NULL) {
        return 0;
    }
    q->call_site = pw_arena_zalloc(c->arena, s->n_call_site, sizeof(*q->call_site));
    if (q->call_site == NULL) {
        return pw_call_no_memory(c);
    }
    for (size_t i = 0; i < s->n_call_site; i++) {
        q->call_site[i] = s->call_site[i]->name;
    }
    q->call_site_count = s->n_call_site;
    return 0;
}

int
pw_select_series(struct pw_call *c, const ProtobufCMessage *msg)
{
    const Querier__V1__SelectSeriesRequest *req = (const Querier__V1__SelectSeriesRequest *)msg;
    Querier__V1__SelectSeriesResponse res = QUERIER__V1__SELECT_SERIES_RESPONSE__INIT;
    struct pw_series_query q = {0};
    struct pw_series_result r;
    Types__V1__Series *series;

    if (read_query(c, req, &q) != 0 || read_call_site(c, req->stack_trace_selector, &q) != 0 ||
        pw_series_run(c, &q, &r) != 0) {
        return PW_EINVAL;
    }
    series = pw_arena_zalloc(c->arena, r.count, sizeof(*series));
    res.series = pw_arena_zalloc(c->arena, r.count, sizeof(*res.series));
    if (series == NULL || res.series == NULL) {
        return pw_call_no_memory(c);
    }
    for (uint32_t i = 0; i < r.count; i++) {
        types__v1__series__init(&series[i]);
        if (!put_series(c, &q, &r, &r.series[i], &series[i])) {
            return pw_call_no_memory(c);
        }
        res.series[i] = &series[i];
    }
    res.n_series = r.count;
    return pw_call_answer(c, &res.base);
}
