/* The answering half: another appliance asks what is here. What it asks is judged like bytes from anybody. */
#include "query/envelope.h"
#include "query/far.h"
#include "query/far_symbols.h"
#include "query/routes.h"

#include <stdlib.h>

enum { SAMPLES_AT_ONCE = 512 };

struct found {
    struct pw_far_row row;
    uint32_t view;
};

struct serve {
    struct pw_call *c;
    struct pw_far_request req;
    struct pw_select s;
    /* Rows that count, in the order they came; samples of them with stacks of their view, spans of all. */
    struct found *found;
    struct pw_head_sample *sample;
    struct pw_record_span_id *span;
    uint32_t found_count, found_cap, sample_count, sample_cap, span_count, span_cap;
    int64_t **sum;  /* SUMS: [view][stack] */
    uint32_t *seen; /* [key]: rows of it so far */
};

/* --- Reading ------------------------------------------------------------------------------------ */

static int
by_fingerprint(const void *a, const void *b)
{
    const struct pw_far_key *x = a, *y = b;

    if (x->fingerprint != y->fingerprint) {
        return x->fingerprint < y->fingerprint ? -1 : 1;
    }
    return x->time_ns < y->time_ns ? -1 : x->time_ns > y->time_ns;
}

static int
open_select(struct serve *v)
{
    const struct pw_far_request *r = &v->req;
    bool samples = r->what == PW_FAR_SUMS || r->what == PW_FAR_SAMPLES;
    struct pw_plan plan = {
        .profile_type = r->profile_type,
        .range = {.start_ms = r->start_ms, .end_ms = r->end_ms},
        .any_time = (r->flags & PW_FAR_ANY_TIME) != 0,
        .profile_id = r->profile_id,
        .span = r->span,
        .trace = r->trace,
        .profile_id_count = r->profile_id_count,
        .span_count = r->span_count,
        .trace_count = r->trace_count,
        .columns = r->columns,
        .stacks = r->what == PW_FAR_SUMS || (samples && (r->flags & PW_FAR_STACKS) != 0),
        .only_series = r->what == PW_FAR_SERIES,
    };

    plan.columns |= samples ? PW_BLOCK_COL_SAMPLES : 0U;
    if (samples && r->key_count > 0) { /* they are by time: nothing else need be read */
        plan.any_time = false;
        plan.range.start_ms = r->key[0].time_ns / 1000000 - 1;
        plan.range.end_ms = r->key[r->key_count - 1].time_ns / 1000000 + 1;
    }
    if (pw_plan_selector(v->c, &plan, r->selector) != 0 ||
        pw_select_open(v->c, &plan, &v->s) != 0) {
        return PW_EINVAL;
    }
    if (r->key_count > 0) {
        qsort(v->req.key, r->key_count, sizeof(*r->key), by_fingerprint);
    }
    return 0;
}

/* Whether the row is among those asked for. */
static bool
is_wanted(struct serve *v, uint32_t view, const struct pw_head_row *row)
{
    struct pw_far_key key = {.time_ns = row->time_ns}, *k;
    struct pw_head_series series;
    uint32_t n;

    pw_source_series(&v->s.view[view].src, row->series, &series);
    key.fingerprint = series.fingerprint;
    k = v->req.key_count == 0
            ? NULL
            : bsearch(&key, v->req.key, v->req.key_count, sizeof(key), by_fingerprint);
    if (k == NULL) {
        return false;
    }
    n = v->seen[k - v->req.key]++;
    return n >= k->skip && n - k->skip < k->take;
}

static bool
put_span(struct serve *v, const struct pw_source *src, struct pw_head_sample *sample)
{
    struct pw_record_span_id id;
    void *list = v->span;

    if (sample->span == 0) {
        return true;
    }
    pw_source_span(src, sample->span, &id);
    if (!pw_arena_room(v->c->arena, &list, v->span_count, &v->span_cap, sizeof(*v->span))) {
        return false;
    }
    v->span = list;
    v->span[v->span_count++] = id;
    sample->span = v->span_count;
    return true;
}

static bool
put_samples(struct serve *v, const struct pw_source *src, const struct pw_head_row *row,
            struct pw_far_row *out)
{
    struct pw_head_sample sample[SAMPLES_AT_ONCE];

    out->first = v->sample_count;
    for (uint32_t first = 0; first < row->samples_count;) {
        uint32_t n = pw_source_samples(src, row, first, sample, SAMPLES_AT_ONCE);

        if (n == 0) {
            break;
        }
        for (uint32_t i = 0; i < n; i++) {
            void *list = v->sample;

            if (!put_span(v, src, &sample[i]) ||
                !pw_arena_room(v->c->arena, &list, v->sample_count, &v->sample_cap,
                               sizeof(*v->sample))) {
                return false;
            }
            v->sample = list;
            v->sample[v->sample_count++] = sample[i];
        }
        first += n;
    }
    out->samples = v->sample_count - out->first;
    return true;
}

static bool
put_row(struct serve *v, uint32_t view, const struct pw_head_row *row)
{
    void *list = v->found;
    struct found *f;

    if (!pw_arena_room(v->c->arena, &list, v->found_count, &v->found_cap, sizeof(*v->found))) {
        return false;
    }
    v->found = list;
    f = &v->found[v->found_count++];
    *f = (struct found){
        .view = view, .row = {.time_ns = row->time_ns, .total = row->total, .series = row->series}};
    memcpy(f->row.uuid, row->uuid, sizeof(f->row.uuid));
    return v->req.what != PW_FAR_SAMPLES || put_samples(v, &v->s.view[view].src, row, &f->row);
}

static int
read_rows(struct serve *v)
{
    struct pw_select_cursor cur = {0};
    struct pw_head_row row;
    bool named = (v->req.what == PW_FAR_SUMS || v->req.what == PW_FAR_SAMPLES) &&
                 (v->req.flags & PW_FAR_ALL) == 0;

    v->seen = pw_arena_zalloc(v->c->arena, (size_t)v->req.key_count + 1, sizeof(*v->seen));
    if (v->seen == NULL ||
        (v->req.what == PW_FAR_SUMS && pw_select_sums_new(&v->s, &v->sum) != 0)) {
        return pw_call_no_memory(v->c);
    }
    while (pw_select_next(&v->s, &cur, &row)) {
        if (named && !is_wanted(v, cur.view, &row)) {
            continue;
        }
        if (v->req.what == PW_FAR_SUMS) {
            pw_select_sum_row(&v->s, &v->s.view[cur.view], &row, v->sum[cur.view]);
        } else if (!put_row(v, cur.view, &row)) {
            return pw_call_no_memory(v->c);
        }
    }
    return v->c->code == PW_CONNECT_CODE_OK ? 0 : PW_EINVAL;
}

/* --- Writing ------------------------------------------------------------------------------------ */

/* The series of the part's rows, numbered anew. */
static bool
part_series(struct serve *v, const struct pw_source *src, struct pw_far_part *p)
{
    uint32_t *id = pw_arena_zalloc(v->c->arena, (size_t)src->series_count + 1, sizeof(*id));
    uint32_t cap = 0;

    for (uint32_t i = 0; id != NULL && i < p->row_count; i++) {
        uint32_t *of = &id[p->row[i].series];
        void *list = p->series;

        if (*of == 0) {
            if (!pw_arena_room(v->c->arena, &list, p->series_count, &cap, sizeof(*p->series))) {
                return false;
            }
            p->series = list;
            pw_source_series(src, p->row[i].series, &p->series[p->series_count]);
            *of = ++p->series_count;
        }
        p->row[i].series = *of - 1;
    }
    return id != NULL;
}

static bool
part_samples(struct serve *v, struct pw_far_symbols *g, struct pw_far_part *p)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < p->row_count; i++) {
        p->sample_count += p->row[i].samples;
    }
    p->sample = pw_arena_alloc(v->c->arena, ((size_t)p->sample_count + 1) * sizeof(*p->sample));
    p->span = v->span; /* of all parts: few, and their numbers stay */
    p->span_count = v->span_count;
    for (uint32_t i = 0; p->sample != NULL && i < p->row_count; i++) {
        struct pw_far_row *row = &p->row[i];

        for (uint32_t k = 0; k < row->samples; k++) {
            struct pw_head_sample *s = &p->sample[n + k];

            *s = v->sample[row->first + k];
            s->stack = v->s.plan.stacks ? pw_far_symbols_stack(g, s->stack) : 0;
            if (s->stack == UINT32_MAX) {
                return false;
            }
        }
        row->first = n;
        n += row->samples;
    }
    return p->sample != NULL;
}

static bool
part_sums(struct serve *v, struct pw_far_symbols *g, struct pw_far_part *p, const int64_t *sum)
{
    uint32_t cap = 0;

    for (uint32_t i = 0; i < g->src->stacks_count; i++) {
        void *list = p->sum;
        uint32_t at;

        if (sum[i] == 0) {
            continue;
        }
        at = pw_far_symbols_stack(g, i);
        if (at == UINT32_MAX || !pw_arena_room(v->c->arena, &list, at, &cap, sizeof(*p->sum))) {
            return false;
        }
        p->sum = list;
        p->sum[at] = sum[i];
    }
    return true;
}

/* The view's rows, its series, and what their samples name. */
static bool
put_view(struct serve *v, uint32_t view, struct pw_far_row *row, uint32_t rows)
{
    const struct pw_source *src = &v->s.view[view].src;
    struct pw_far_part p = {
        .row = row, .row_count = rows, .has_uuid = (v->req.columns & PW_BLOCK_COL_UUID) != 0};
    struct pw_far_symbols g;
    bool samples = v->req.what == PW_FAR_SAMPLES, sums = v->req.what == PW_FAR_SUMS;

    if (rows == 0 && !sums) {
        return true;
    }
    if (((samples || sums) && !pw_far_symbols_init(&g, v->c->arena, src, &p)) ||
        (samples && !part_samples(v, &g, &p)) || (sums && !part_sums(v, &g, &p, v->sum[view])) ||
        !part_series(v, src, &p)) {
        return false;
    }
    if (sums && p.stack_count == 0) {
        return true;
    }
    pw_far_part_put(&v->c->out, v->req.what, &p);
    return true;
}

/* Rows by view, in the order they came. */
static int
put_views(struct serve *v)
{
    struct pw_arena *a = v->c->arena;
    uint32_t views = v->s.view_count;
    uint32_t *first = pw_arena_zalloc(a, (size_t)views + 2, sizeof(*first));
    struct pw_far_row *row = pw_arena_alloc(a, ((size_t)v->found_count + 1) * sizeof(*row));

    if (first == NULL || row == NULL) {
        return pw_call_no_memory(v->c);
    }
    for (uint32_t i = 0; i < v->found_count; i++) {
        first[v->found[i].view + 2]++;
    }
    for (uint32_t i = 2; i < views + 2; i++) {
        first[i] += first[i - 1];
    }
    for (uint32_t i = 0; i < v->found_count;
         i++) { /* first[view + 1] moves to where the next begins */
        row[first[v->found[i].view + 1]++] = v->found[i].row;
    }
    pw_far_answer_begin(&v->c->out, v->req.what);
    for (uint32_t i = 0; i < views; i++) {
        if (!put_view(v, i, row + first[i], first[i + 1] - first[i])) {
            return pw_call_no_memory(v->c);
        }
    }
    return 0;
}

static int
put_series(struct serve *v)
{
    struct pw_select_series_cursor cur = {0};
    struct pw_far_part p = {0};
    struct pw_head_series series;
    uint32_t cap = 0, row_cap = 0;

    while (pw_select_next_series(&v->s, &cur, &series)) {
        void *list = p.series, *rows = p.row;

        if (!pw_arena_room(v->c->arena, &list, p.series_count, &cap, sizeof(series)) ||
            !pw_arena_room(v->c->arena, &rows, p.row_count, &row_cap, sizeof(*p.row))) {
            return pw_call_no_memory(v->c);
        }
        p.series = list;
        p.row = rows;
        p.row[p.row_count] = (struct pw_far_row){.series = p.row_count};
        p.series[p.series_count++] = series;
        p.row_count++;
    }
    pw_far_answer_begin(&v->c->out, v->req.what);
    pw_far_part_put(&v->c->out, v->req.what, &p);
    return v->c->code == PW_CONNECT_CODE_OK ? 0 : PW_EINVAL;
}

static int
put_times(struct serve *v)
{
    struct pw_head_series none = {0};
    struct pw_far_row row[2] = {0};
    struct pw_far_part p = {.series = &none, .series_count = 1, .row = row};
    bool any = false;

    pw_misc_times(v->c, &row[0].time_ns, &row[1].time_ns, &any);
    p.row_count = any ? 2 : 0;
    pw_far_answer_begin(&v->c->out, v->req.what);
    pw_far_part_put(&v->c->out, v->req.what, &p);
    return 0;
}

int
pw_far_serve(struct pw_call *c, const ProtobufCMessage *req)
{
    struct serve v = {.c = c};
    struct pw_slice body;
    int rc;

    (void)req;
    c->of_peer = true;
    if (pw_envelope_open(c, &body) != 0) {
        return PW_EINVAL;
    }
    rc = pw_far_request_read(&v.req, body, c->arena);
    if (rc == PW_ENOMEM) {
        return pw_call_no_memory(c);
    }
    if (rc != 0) {
        return pw_call_fail(c, PW_CONNECT_CODE_INVALID_ARGUMENT,
                            "a request of another version, or none");
    }
    if (v.req.what == PW_FAR_TIMES) {
        return put_times(&v);
    }
    if ((v.req.flags & PW_FAR_ALL) != 0 && !pw_far_single(c)) {
        return pw_call_fail(c, PW_CONNECT_CODE_UNIMPLEMENTED,
                            "what is here may be elsewhere too: name the rows");
    }
    if (open_select(&v) != 0) {
        return PW_EINVAL;
    }
    if (v.req.what == PW_FAR_SERIES) {
        return put_series(&v);
    }
    return read_rows(&v) != 0 ? PW_EINVAL : put_views(&v);
}
