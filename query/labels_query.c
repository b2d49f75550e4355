#include "query/labels_query.h"

#include "query/group.h"
#include "query/names.h"

#include <querier.pb-c.h>
#include <stdlib.h>

enum { MS_PER_H = 3600000 };

/* --- What is there -------------------------------------------------------------------------- */

/* Calls each for every series that has a row in range. False from it: no memory. */
struct each {
    bool (*fn)(void *ctx, const struct pw_head_series *series);
    void *ctx;
};

static int
each_series(struct pw_call *c, const struct pw_plan *plan, const struct each *e)
{
    struct pw_plan series_plan = *plan;
    struct pw_select s;
    struct pw_select_series_cursor cur = {0};
    struct pw_head_series series;

    series_plan.only_series = true;
    if (pw_select_open(c, &series_plan, &s) != 0) {
        return PW_EINVAL;
    }
    while (pw_select_next_series(&s, &cur, &series)) {
        if (!e->fn(e->ctx, &series)) {
            return pw_call_no_memory(c);
        }
    }
    return 0;
}

struct value_ctx {
    struct pw_names set;
    struct pw_slice name;
    bool seen_empty, seen_other; /* pw_names has these two from the start */
};

static bool
add_to_set(struct value_ctx *x, struct pw_slice v)
{
    uint32_t id = pw_names_intern(&x->set, v);

    x->seen_empty |= id == PW_NAMES_EMPTY;
    x->seen_other |= id == PW_NAMES_OTHER;
    return id != UINT32_MAX;
}

static bool
add_value(void *ctx, const struct pw_head_series *series)
{
    struct value_ctx *x = ctx;
    struct pw_slice v = pw_selector_label(series->label, series->label_count, x->name);

    return v.ptr == NULL || add_to_set(x, v);
}

static bool
add_names(void *ctx, const struct pw_head_series *series)
{
    struct value_ctx *x = ctx;

    for (uint32_t i = 0; i < series->label_count; i++) {
        if (!add_to_set(x, series->label[i].name)) {
            return false;
        }
    }
    return true;
}

static int
collect(struct pw_call *c, const struct pw_plan *plan, struct value_ctx *x, bool names,
        struct pw_value_set *out)
{
    const struct each e = {.fn = names ? add_names : add_value, .ctx = x};
    uint32_t *id, n = 0;

    if (!pw_names_init(&x->set, c->arena, c->t->q->cfg.hash_key)) {
        return pw_call_no_memory(c);
    }
    if (each_series(c, plan, &e) != 0) {
        return PW_EINVAL;
    }
    id = pw_arena_alloc(c->arena, x->set.count * sizeof(*id));
    out->value = pw_arena_zalloc(c->arena, x->set.count, sizeof(*out->value));
    if (id == NULL || out->value == NULL) {
        return pw_call_no_memory(c);
    }
    for (uint32_t i = 0; i < x->set.count; i++) {
        if ((i != PW_NAMES_EMPTY || x->seen_empty) && (i != PW_NAMES_OTHER || x->seen_other)) {
            id[n++] = i;
        }
    }
    pw_names_sort(&x->set, id, n);
    for (uint32_t i = 0; i < n; i++) {
        out->value[i] = x->set.name[id[i]];
    }
    out->count = n;
    return 0;
}

int
pw_labels_values(struct pw_call *c, const struct pw_plan *plan, struct pw_slice name,
                 struct pw_value_set *out)
{
    struct value_ctx x = {.name = name};

    return collect(c, plan, &x, false, out);
}

/* --- Plans ---------------------------------------------------------------------------------- */

int
pw_labels_types_plan(struct pw_call *c, int64_t start_ms, int64_t end_ms, struct pw_plan *plan)
{
    *plan = (struct pw_plan){0};
    if (start_ms == 0 && end_ms == 0) {
        start_ms = c->req->now_ms - MS_PER_H;
        end_ms = c->req->now_ms;
    }
    return pw_range_check(c, start_ms, end_ms, &plan->range);
}

static int
plan_of(struct pw_call *c, char **matcher, size_t n, const int64_t range_ms[2],
        struct pw_plan *plan)
{
    *plan = (struct pw_plan){0};
    if (pw_range_check(c, range_ms[0], range_ms[1], &plan->range) != 0) {
        return PW_EINVAL;
    }
    for (size_t i = 0; i < n; i++) { /* all must hold: contract 1.1, LabelNames / LabelValues */
        if (pw_plan_selector(c, plan, pw_slice_str(matcher[i])) != 0) {
            return PW_EINVAL;
        }
    }
    return 0;
}

/* [a-zA-Z_][a-zA-Z0-9_]*: what clients without the UTF-8 capability can take. */
static bool
is_plain_name(struct pw_slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        uint8_t ch = s.ptr[i];
        bool alpha = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || ch == '_';

        if (!alpha && (i == 0 || ch < '0' || ch > '9')) {
            return false;
        }
    }
    return s.len > 0;
}

/* --- Handlers ------------------------------------------------------------------------------- */

static bool
put_strings(struct pw_call *c, const struct pw_value_set *set, bool plain_only, char ***out,
            size_t *n)
{
    *n = 0;
    *out = pw_arena_zalloc(c->arena, set->count, sizeof(**out));
    for (uint32_t i = 0; *out != NULL && i < set->count; i++) {
        if (!plain_only || is_plain_name(set->value[i])) {
            (*out)[(*n)++] = pw_codec_string(c->arena, set->value[i]);
        }
    }
    return *out != NULL;
}

static Types__V1__ProfileType *
put_type(struct pw_call *c, struct pw_slice id)
{
    Types__V1__ProfileType *t = pw_arena_zalloc(c->arena, 1, sizeof(*t));

    if (t != NULL) {
        types__v1__profile_type__init(t);
        t->id = pw_codec_string(c->arena, id);
        t->name = pw_codec_string(c->arena, pw_range_type_part(id, 0));
        t->sample_type = pw_codec_string(c->arena, pw_range_type_part(id, 1));
        t->sample_unit = pw_codec_string(c->arena, pw_range_type_part(id, 2));
        t->period_type = pw_codec_string(c->arena, pw_range_type_part(id, 3));
        t->period_unit = pw_codec_string(c->arena, pw_range_type_part(id, 4));
    }
    return t;
}

int
pw_profile_types(struct pw_call *c, const ProtobufCMessage *msg)
{
    const Querier__V1__ProfileTypesRequest *req = (const Querier__V1__ProfileTypesRequest *)msg;
    Querier__V1__ProfileTypesResponse res = QUERIER__V1__PROFILE_TYPES_RESPONSE__INIT;
    struct pw_value_set set;
    struct pw_plan plan;

    if (pw_labels_types_plan(c, req->start, req->end, &plan) != 0 ||
        pw_labels_values(c, &plan, PW_SLICE_LIT("__profile_type__"), &set) != 0) {
        return PW_EINVAL;
    }
    res.profile_types = pw_arena_zalloc(c->arena, set.count, sizeof(*res.profile_types));
    if (res.profile_types == NULL) {
        return pw_call_no_memory(c);
    }
    for (uint32_t i = 0; i < set.count; i++) {
        res.profile_types[i] = put_type(c, set.value[i]);
        if (res.profile_types[i] == NULL) {
            return pw_call_no_memory(c);
        }
    }
    res.n_profile_types = set.count;
    return pw_call_answer(c, &res.base);
}

int
pw_label_names(struct pw_call *c, const ProtobufCMessage *msg)
{
    const Types__V1__LabelNamesRequest *req = (const Types__V1__LabelNamesRequest *)msg;
    Types__V1__LabelNamesResponse res = TYPES__V1__LABEL_NAMES_RESPONSE__INIT;
    struct value_ctx x = {0};
    struct pw_value_set set;
    struct pw_plan plan;

    if (plan_of(c, req->matchers, req->n_matchers, (const int64_t[2]){req->start, req->end},
                &plan) != 0 ||
        collect(c, &plan, &x, true, &set) != 0) {
        return PW_EINVAL;
    }
    return put_strings(c, &set, !c->utf8_names, &res.names, &res.n_names)
               ? pw_call_answer(c, &res.base)
               : pw_call_no_memory(c);
}

int
pw_label_values(struct pw_call *c, const ProtobufCMessage *msg)
{
    const Types__V1__LabelValuesRequest *req = (const Types__V1__LabelValuesRequest *)msg;
    Types__V1__LabelValuesResponse res = TYPES__V1__LABEL_VALUES_RESPONSE__INIT;
    struct pw_value_set set;
    struct pw_plan plan;

    if (plan_of(c, req->matchers, req->n_matchers, (const int64_t[2]){req->start, req->end},
                &plan) != 0) {
        return PW_EINVAL;
    }
    if (req->name[0] == 0) {
        return pw_call_fail(c, PW_CONNECT_CODE_INVALID_ARGUMENT, "name is required");
    }
    if (pw_labels_values(c, &plan, pw_slice_str(req->name), &set) != 0) {
        return PW_EINVAL;
    }
    return put_strings(c, &set, false, &res.names, &res.n_names) ? pw_call_answer(c, &res.base)
                                                                 : pw_call_no_memory(c);
}

/* --- Series --------------------------------------------------------------------------------- */

struct series_ctx {
    struct pw_call *c;
    char **name;
    size_t name_count;
    struct pw_names seen; /* projected sets as bytes */
    struct pw_group *set;
    uint32_t count, cap;
};

static bool
wanted(const struct series_ctx *x, struct pw_slice name)
{
    if (!x->c->utf8_names && !is_plain_name(name)) {
        return false;
    }
    for (size_t i = 0; i < x->name_count; i++) {
        if (pw_slice_eq_str(name, x->name[i])) {
            return true;
        }
    }
    return x->name_count == 0;
}

/* Remembers the labels in *set when they are new. */
static bool
keep_set(struct series_ctx *x, const struct pw_group *set)
{
    struct pw_arena *a = x->c->arena;
    void *list = x->set;
    struct pw_text t;
    uint32_t before = x->seen.count, id;
    size_t len = 1;

    for (uint32_t i = 0; i < set->label_count; i++) {
        len += set->label[i].name.len + set->label[i].value.len + 2;
    }
    pw_text_fixed(&t, pw_arena_alloc(a, len), len);
    if (t.ptr == NULL) {
        return false;
    }
    pw_text_char(&t, 1); /* never one of the names pw_names begins with */
    for (uint32_t i = 0; i < set->label_count; i++) {
        pw_text_slice(&t, set->label[i].name);
        pw_text_char(&t, (char)0xFF);
        pw_text_slice(&t, set->label[i].value);
        pw_text_char(&t, (char)0xFF);
    }
    id = pw_names_intern(&x->seen, pw_slice(t.ptr, t.len));
    if (id == UINT32_MAX) {
        return false;
    }
    if (x->seen.count == before) {
        return true;
    }
    if (!pw_arena_room(a, &list, x->count, &x->cap, sizeof(*x->set))) {
        return false;
    }
    x->set = list;
    x->set[x->count++] = *set;
    return true;
}

static bool
add_series(void *ctx, const struct pw_head_series *series)
{
    struct series_ctx *x = ctx;
    struct pw_group set = {
        .label = pw_arena_zalloc(x->c->arena, series->label_count, sizeof(*set.label))};

    if (set.label == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < series->label_count; i++) {
        if (wanted(x, series->label[i].name)) {
            set.label[set.label_count++] = series->label[i];
        }
    }
    return set.label_count == 0 || keep_set(x, &set);
}

static int
by_labels(const void *a, const void *b)
{
    return pw_groups_cmp(a, b);
}

static int
answer_series(struct pw_call *c, const struct series_ctx *x)
{
    Querier__V1__SeriesResponse res = QUERIER__V1__SERIES_RESPONSE__INIT;
    Types__V1__Labels *labels = pw_arena_zalloc(c->arena, x->count, sizeof(*labels));

    res.labels_set = pw_arena_zalloc(c->arena, x->count, sizeof(*res.labels_set));
    if (labels == NULL || res.labels_set == NULL) {
        return pw_call_no_memory(c);
    }
    for (uint32_t i = 0; i < x->count; i++) {
        types__v1__labels__init(&labels[i]);
        if (!pw_group_labels(c->arena, x->set[i].label, x->set[i].label_count, &labels[i].labels,
                             &labels[i].n_labels)) {
            return pw_call_no_memory(c);
        }
        res.labels_set[i] = &labels[i];
    }
    res.n_labels_set = x->count;
    return pw_call_answer(c, &res.base);
}

int
pw_series_labels(struct pw_call *c, const ProtobufCMessage *msg)
{
    const Querier__V1__SeriesRequest *req = (const Querier__V1__SeriesRequest *)msg;
    struct series_ctx x = {.c = c, .name = req->label_names, .name_count = req->n_label_names};
    const struct each e = {.fn = add_series, .ctx = &x};
    struct pw_plan plan;

    if (plan_of(c, req->matchers, req->n_matchers, (const int64_t[2]){req->start, req->end},
                &plan) != 0) {
        return PW_EINVAL;
    }
    if (!pw_names_init(&x.seen, c->arena, c->t->q->cfg.hash_key)) {
        return pw_call_no_memory(c);
    }
    if (each_series(c, &plan, &e) != 0) {
        return PW_EINVAL;
    }
    if (x.count > 0) {
        qsort(x.set, x.count, sizeof(*x.set), by_labels);
    }
    return answer_series(c, &x);
}
