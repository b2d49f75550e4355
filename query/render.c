#include "query/render.h"

#include "query/diff.h"
#include "query/dot.h"
#include "query/envelope.h"
#include "query/labels_query.h"
#include "query/params.h"
#include "query/series.h"

#include <stdlib.h>

enum { MS_PER_S = 1000, TIMELINE_POINTS = 1500 };

/* --- Parameters ----------------------------------------------------------------------------- */

struct request {
    struct pw_params params;
    struct pw_merge merge;
    struct pw_slice type;     /* the profile type id as written */
    struct pw_slice selector; /* the other matchers, as text */
};

static void
put_matcher(struct pw_text *t, const struct pw_matcher *m)
{
    static const char *const ops[] = {[PW_MATCH_OP_EQ] = "=",
                                      [PW_MATCH_OP_NE] = "!=",
                                      [PW_MATCH_OP_RE] = "=~",
                                      [PW_MATCH_OP_NRE] = "!~"};

    pw_text_go_quoted(t, m->name);
    pw_text_str(t, ops[m->op]);
    pw_text_go_quoted(t, m->value);
}

/* `<profile type id>{...}`: takes it apart. */
static int
parse_query(struct pw_call *c, const char *name, struct request *r)
{
    struct pw_slice query = pw_params_get(&r->params, name), type = {0};
    struct pw_selector sel = {0};
    struct pw_text err, rest;
    size_t cap = 1024 + query.len * 8;
    char *buf;

    if (query.len == 0) {
        return pw_call_fail(c, PW_CONNECT_CODE_INVALID_ARGUMENT, "\"%s\" is required", name);
    }
    buf = pw_arena_alloc(c->arena, cap * 2);
    if (buf == NULL) {
        return pw_call_no_memory(c);
    }
    pw_text_fixed(&err, buf, cap);
    pw_text_fixed(&rest, buf + cap, cap);
    if (pw_selector_parse(&sel, query, c->arena, &c->t->regex, &err) != 0) {
        return pw_call_fail(c, PW_CONNECT_CODE_INVALID_ARGUMENT, "failed to parse \"%s\": %.*s",
                            name, (int)err.len, buf);
    }
    pw_text_char(&rest, '{');
    for (uint32_t i = 0; i < sel.count; i++) {
        const struct pw_matcher *m = &sel.matcher[i];

        if (type.ptr == NULL && m->op == PW_MATCH_OP_EQ && pw_slice_eq_str(m->name, "__name__")) {
            type = m->value;
            continue;
        }
        if (rest.len > 1) {
            pw_text_char(&rest, ',');
        }
        put_matcher(&rest, m);
    }
    pw_text_str(&rest, "}");
    pw_text_char(&rest, 0);
    if (type.ptr == NULL) {
        return pw_call_fail(c, PW_CONNECT_CODE_INVALID_ARGUMENT,
                            "\"%s\" must contain a profile-type selection", name);
    }
    r->type = pw_arena_copy(c->arena, type);
    if (r->type.ptr == NULL || rest.failed) {
        return pw_call_no_memory(c);
    }
    r->selector = pw_slice(rest.ptr, rest.len - 1);
    return 0;
}

/* A query whose name is no profile type: stock says only this. */
static int
check_type(struct pw_call *c, const char *name, struct request *r)
{
    uint32_t colons = 0;

    for (size_t i = 0; i < r->type.len; i++) {
        colons += r->type.ptr[i] == ':' ? 1 : 0;
    }
    return colons == 4 || colons == 5
               ? 0
               : pw_call_fail(c, PW_CONNECT_CODE_INVALID_ARGUMENT, "failed to parse \"%s\"", name);
}

/* maxNodes wins over max-nodes; what is no number is the default. */
static int64_t
max_nodes(const struct pw_params *p)
{
    struct pw_slice v = pw_params_get(p, "maxNodes");
    char *end;
    long long n;

    if (v.len == 0) {
        v = pw_params_get(p, "max-nodes");
    }
    if (v.len == 0) {
        return 0;
    }
    n = strtoll((const char *)v.ptr, &end, 10);
    return *end == 0 ? n : 0;
}

struct names {
    const char *query, *from, *until;
};

static int
read_request(struct pw_call *c, const struct names *n, struct request *r)
{
    if (parse_query(c, n->query, r) != 0 || check_type(c, n->query, r) != 0) {
        return PW_EINVAL;
    }
    r->merge = (struct pw_merge){
        .profile_type_id = (const char *)r->type.ptr,
        .selector = (const char *)r->selector.ptr,
        .start_ms = pw_range_attime(pw_params_get(&r->params, n->from), c->req->now_ms),
        .end_ms = pw_range_attime(pw_params_get(&r->params, n->until), c->req->now_ms),
        .max_nodes = max_nodes(&r->params)};
    return 0;
}

/* --- Parts of the answer -------------------------------------------------------------------- */

static bool
is_objects(struct pw_slice sample_type)
{
    return pw_slice_eq_str(sample_type, "inuse_objects") ||
           pw_slice_eq_str(sample_type, "alloc_objects") ||
           pw_slice_eq_str(sample_type, "goroutine") || pw_slice_eq_str(sample_type, "samples");
}

static void
put_metadata(struct pw_json *j, const char *format, struct pw_slice type)
{
    struct pw_slice sample_type = pw_range_type_part(type, 1), unit = pw_range_type_part(type, 2);
    bool cpu = pw_slice_eq_str(sample_type, "cpu");

    pw_json_key(j, "metadata");
    pw_json_object(j);
    pw_json_key(j, "format");
    pw_json_cstr(j, format);
    pw_json_key(j, "spyName");
    pw_json_cstr(j, "");
    pw_json_key(j, "sampleRate");
    pw_json_i64(j, cpu ? 1000000000 : 100);
    pw_json_key(j, "units");
    if (is_objects(sample_type)) {
        unit = PW_SLICE_LIT("objects");
    } else if (cpu) {
        unit = PW_SLICE_LIT("samples");
    }
    pw_json_str(j, unit);
    pw_json_key(j, "name");
    pw_json_str(j, sample_type);
    pw_json_object_end(j);
}

static void
put_flamebearer(struct pw_json *j, const struct pw_flame *f)
{
    pw_json_key(j, "version");
    pw_json_i64(j, 1);
    pw_json_key(j, "flamebearer");
    pw_flame_bearer(f, j);
}

int64_t
pw_render_step_ms(int64_t range_ms)
{
    static const struct {
        int64_t up_to_ms; /* of range / 1500 */
        int64_t step_s;
    } steps[] = {
        {17500, 15},          {25000, 20},       {45000, 30},       {90000, 60},
        {210000, 120},        {450000, 300},     {750000, 600},     {1050000, 900},
        {1500000, 1200},      {2700000, 1800},   {5400000, 3600},   {9000000, 7200},
        {16200000, 10800},    {32400000, 21600}, {86400000, 43200}, {604800000, 86400},
        {1814400000, 604800},
    };
    int64_t wanted = range_ms / TIMELINE_POINTS;

    for (size_t i = 0; i < PW_ARRAY_LEN(steps); i++) {
        if (wanted <= steps[i].up_to_ms) {
            return steps[i].step_s * MS_PER_S;
        }
    }
    return (wanted < INT64_C(42) * 86400000 ? INT64_C(30) : INT64_C(365)) * 86400000;
}

struct timeline {
    int64_t from_ms, until_ms, step_ms;
};

/* s NULL: zeros. */
static void
put_timeline(struct pw_json *j, const struct timeline *tl, const struct pw_series_query *q,
             const struct pw_series *s)
{
    int64_t step_s = tl->step_ms / MS_PER_S;
    int64_t start = tl->from_ms / tl->step_ms * step_s, end = tl->until_ms / tl->step_ms * step_s;
    int64_t n = tl->from_ms >= tl->until_ms ? 0 : (end - start) / step_s;
    uint32_t at = 0;

    n = n > PW_RENDER_SAMPLES_MAX ? PW_RENDER_SAMPLES_MAX : n;
    pw_json_object(j);
    pw_json_key(j, "startTime");
    pw_json_i64(j, start);
    pw_json_key(j, "samples");
    pw_json_array(j);
    /* Points lie at from + k * step, less than one step behind the grid of the samples. */
    for (int64_t i = 0; i < n; i++) {
        double v = 0;

        for (; s != NULL && at < s->count && s->point[at].k <= i; at++) {
            v = s->point[at].k == i ? pw_series_value(q, &s->point[at]) : v;
        }
        pw_json_i64(j, v < 0 ? 0 : (int64_t)v);
    }
    pw_json_array_end(j);
    pw_json_key(j, "durationDelta");
    pw_json_i64(j, step_s);
    pw_json_key(j, "watermarks");
    pw_json_null(j);
    pw_json_object_end(j);
}

static void
put_groups(struct pw_json *j, const struct timeline *tl, const struct pw_series_query *q,
           const struct pw_series_result *r)
{
    pw_json_key(j, "groups");
    if (q->group_by_count == 0) {
        pw_json_null(j);
        return;
    }
    pw_json_object(j);
    for (uint32_t i = 0; i < r->count; i++) {
        const struct pw_group *g = r->series[i].group;

        pw_json_key_slice(j, g->label_count == 0 ? PW_SLICE_LIT("*") : g->label[0].value);
        put_timeline(j, tl, q, &r->series[i]);
    }
    pw_json_object_end(j);
}

/* --- /pyroscope/render ---------------------------------------------------------------------- */

static int
render_json(struct pw_call *c, struct request *r)
{
    struct timeline tl = {.from_ms = r->merge.start_ms, .until_ms = r->merge.end_ms};
    struct pw_series_query q = {.plan = r->merge.plan};
    struct pw_slice group_by = pw_params_get(&r->params, "groupBy");
    char *by[1] = {(char *)(uintptr_t)group_by.ptr};
    struct pw_series_result series;
    struct pw_flame f;
    struct pw_json j;

    tl.step_ms = pw_render_step_ms(tl.until_ms - tl.from_ms);
    q.step_ms = tl.step_ms;
    q.group_by = by;
    q.group_by_count = group_by.len > 0 ? 1 : 0;
    q.average = pw_slice_eq_str(pw_params_get(&r->params, "aggregation"), "avg");
    if (pw_merge_flame(c, &r->merge, &f) != 0 || pw_series_run(c, &q, &series) != 0) {
        return PW_EINVAL;
    }
    pw_json_init(&j, &c->out);
    pw_json_object(&j);
    put_flamebearer(&j, &f);
    put_metadata(&j, "single", r->merge.type);
    pw_json_key(&j, "timeline");
    put_timeline(&j, &tl, &q, series.count == 1 ? &series.series[0] : NULL);
    put_groups(&j, &tl, &q, &series);
    pw_json_key(&j, "heatmap");
    pw_json_null(&j);
    pw_json_object_end(&j);
    pw_text_char(&c->out, '\n');
    return 0;
}

int
pw_render(struct pw_call *c, struct pw_query_reply *rep)
{
    static const struct names names = {"query", "from", "until"};
    struct request *r = pw_arena_zalloc(c->arena, 1, sizeof(*r));

    if (r == NULL || !pw_params_parse(&r->params, c->req->query, c->arena)) {
        return pw_call_no_memory(c);
    }
    if (read_request(c, &names, r) != 0 || pw_merge_plan(c, &r->merge) != 0) {
        return PW_EINVAL;
    }
    if (pw_slice_eq_str(pw_params_get(&r->params, "format"), "dot")) {
        rep->content_type = "text/plain; charset=utf-8";
        return pw_dot_write(c, &r->merge, &c->out);
    }
    rep->content_type = "application/json";
    return render_json(c, r);
}

/* --- /pyroscope/render-diff ----------------------------------------------------------------- */

int
pw_render_diff(struct pw_call *c, struct pw_query_reply *rep)
{
    static const struct names left_names = {"leftQuery", "leftFrom", "leftUntil"};
    static const struct names right_names = {"rightQuery", "rightFrom", "rightUntil"};
    struct request *l = pw_arena_zalloc(c->arena, 1, sizeof(*l));
    struct request *r = pw_arena_zalloc(c->arena, 1, sizeof(*r));
    struct pw_flame f;
    struct pw_json j;

    if (l == NULL || r == NULL || !pw_params_parse(&l->params, c->req->query, c->arena)) {
        return pw_call_no_memory(c);
    }
    r->params = l->params;
    if (read_request(c, &left_names, l) != 0 || read_request(c, &right_names, r) != 0) {
        return PW_EINVAL;
    }
    if (!pw_slice_eq(l->type, r->type)) {
        return pw_call_fail(c, PW_CONNECT_CODE_INVALID_ARGUMENT, "profile types must match");
    }
    if (pw_diff_flame(c, &l->merge, &r->merge, &f) != 0) {
        return PW_EINVAL;
    }
    rep->content_type = "application/json";
    pw_json_init(&j, &c->out);
    pw_json_object(&j);
    put_flamebearer(&j, &f);
    put_metadata(&j, "double", l->merge.type);
    for (int i = 0; i < 3; i++) {
        static const char *const keys[] = {"timeline", "groups", "heatmap"};

        pw_json_key(&j, keys[i]);
        pw_json_null(&j);
    }
    if (f.left_ticks != 0) {
        pw_json_key(&j, "leftTicks");
        pw_json_i64(&j, f.left_ticks);
    }
    if (f.right_ticks != 0) {
        pw_json_key(&j, "rightTicks");
        pw_json_i64(&j, f.right_ticks);
    }
    pw_json_object_end(&j);
    pw_text_char(&c->out, '\n');
    return 0;
}

/* --- /pyroscope/label-values ---------------------------------------------------------------- */

int
pw_render_label_values(struct pw_call *c, struct pw_query_reply *rep)
{
    struct pw_params *params = pw_arena_zalloc(c->arena, 1, sizeof(*params));
    struct pw_value_set set;
    struct pw_plan plan;
    struct pw_slice label;
    struct pw_json j;

    if (params == NULL || !pw_params_parse(params, c->req->query, c->arena)) {
        return pw_call_no_memory(c);
    }
    label = pw_params_get(params, "label");
    if (label.len == 0) {
        return pw_call_fail(c, PW_CONNECT_CODE_INVALID_ARGUMENT, "label parameter is required");
    }
    if (!pw_slice_eq_str(label, "__name__")) { /* as stock: it does not forward the label */
        return pw_call_fail(c, PW_CONNECT_CODE_INVALID_ARGUMENT, "missing time range in the query");
    }
    if (pw_labels_types_plan(c, 0, 0, &plan) != 0 ||
        pw_labels_values(c, &plan, PW_SLICE_LIT("__profile_type__"), &set) != 0) {
        return PW_EINVAL;
    }
    rep->content_type = "application/json";
    pw_json_init(&j, &c->out);
    if (set.count == 0) {
        pw_json_null(&j);
    } else {
        pw_json_array(&j);
        for (uint32_t i = 0; i < set.count; i++) {
            pw_json_str(&j, set.value[i]);
        }
        pw_json_array_end(&j);
    }
    pw_text_char(&c->out, '\n');
    return 0;
}
