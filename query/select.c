#include "query/select.h"

enum { NS_PER_MS = 1000000, SAMPLES_AT_ONCE = 512 };

/* --- Plan ----------------------------------------------------------------------------------- */

int
pw_plan_selector(struct pw_call *c, struct pw_plan *plan, struct pw_slice text)
{
    struct pw_text err;
    char *buf;
    int rc;

    /* Room for the selector quoted and an expression's error, which may repeat it. */
    size_t cap = 1024 + text.len * 6;

    buf = pw_arena_alloc(c->arena, cap);
    if (buf == NULL) {
        return pw_call_no_memory(c);
    }
    pw_text_fixed(&err, buf, cap);
    rc = pw_selector_parse(&plan->selector, text, c->arena, &c->t->regex, &err);
    if (rc == PW_ENOMEM) {
        return pw_call_no_memory(c);
    }
    if (rc != 0 && c->code == PW_CONNECT_CODE_OK) {
        c->code = PW_CONNECT_CODE_INVALID_ARGUMENT;
        pw_text_str(&c->err, "parsing label selector ");
        pw_text_go_quoted(&c->err, text);
        pw_text_str(&c->err, ": ");
        pw_text_put(&c->err, err.ptr, err.len);
    }
    return rc;
}

static int
hex_digit(char ch)
{
    if (ch >= '0' && ch <= '9') {
        return ch - '0';
    }
    if (ch >= 'a' && ch <= 'f') {
        return ch - 'a' + 10;
    }
    return ch >= 'A' && ch <= 'F' ? ch - 'A' + 10 : -1;
}

/* Exactly n bytes of hex; dashes are skipped when they may stand there. */
static bool
read_hex(const char *s, uint8_t *out, size_t n, bool dashes)
{
    size_t i = 0;

    for (; *s != 0; s++) {
        int d = hex_digit(*s);

        if (dashes && *s == '-') {
            continue;
        }
        if (d < 0 || i >= n * 2) {
            return false;
        }
        out[i / 2] = (uint8_t)(i % 2 == 0 ? d << 4 : out[i / 2] | d);
        i++;
    }
    return i == n * 2;
}

int
pw_plan_spans(struct pw_call *c, struct pw_plan *plan, char **id, size_t n)
{
    uint8_t(*out)[8] = pw_arena_zalloc(c->arena, n, 8);

    if (out == NULL) {
        return pw_call_no_memory(c);
    }
    for (size_t i = 0; i < n; i++) {
        if (strlen(id[i]) != 16) { /* status and words as stock has them, contract 1.1 */
            return pw_call_fail(
                c, PW_CONNECT_CODE_UNKNOWN,
                "rpc error: code = Unknown desc = invalid span id length: \"%.100s\"", id[i]);
        }
        if (!read_hex(id[i], out[i], 8, false)) {
            return pw_call_fail(c, PW_CONNECT_CODE_INVALID_ARGUMENT, "invalid span id: \"%.100s\"",
                                id[i]);
        }
    }
    plan->span = (const uint8_t(*)[8])out;
    plan->span_count = (uint32_t)n;
    return 0;
}

int
pw_plan_traces(struct pw_call *c, struct pw_plan *plan, char **id, size_t n)
{
    uint8_t(*out)[16] = pw_arena_zalloc(c->arena, n, 16);

    if (out == NULL) {
        return pw_call_no_memory(c);
    }
    for (size_t i = 0; i < n; i++) {
        if (!read_hex(id[i], out[i], 16, false)) {
            return pw_call_fail(c, PW_CONNECT_CODE_INVALID_ARGUMENT, "invalid trace id: \"%.100s\"",
                                id[i]);
        }
    }
    plan->trace = (const uint8_t(*)[16])out;
    plan->trace_count = (uint32_t)n;
    return 0;
}

int
pw_plan_profiles(struct pw_call *c, struct pw_plan *plan, char **id, size_t n)
{
    uint8_t(*out)[16] = pw_arena_zalloc(c->arena, n, 16);

    if (out == NULL) {
        return pw_call_no_memory(c);
    }
    for (size_t i = 0; i < n; i++) {
        if (!read_hex(id[i], out[i], 16, true)) {
            return pw_call_fail(c, PW_CONNECT_CODE_INVALID_ARGUMENT,
                                "invalid profile id: \"%.100s\"", id[i]);
        }
    }
    plan->profile_id = (const uint8_t(*)[16])out;
    plan->profile_id_count = (uint32_t)n;
    return 0;
}

/* --- Views ---------------------------------------------------------------------------------- */

static bool
series_matches(const struct pw_select *s, const struct pw_head_series *series)
{
    if (s->plan.profile_type.len > 0 &&
        !pw_slice_eq(
            pw_selector_label(series->label, series->label_count, PW_SLICE_LIT("__profile_type__")),
            s->plan.profile_type)) {
        return false;
    }
    return pw_selector_matches(&s->plan.selector, &s->call->t->regex, series->label,
                               series->label_count);
}

static int
match_series(struct pw_select *s, struct pw_select_view *v)
{
    v->series = pw_arena_zalloc(s->call->arena, v->head.series_count, sizeof(bool));
    if (v->series == NULL) {
        return pw_call_no_memory(s->call);
    }
    for (uint32_t i = 0; i < v->head.series_count; i++) {
        struct pw_head_series series;

        pw_head_series_at(&v->head, i, &series);
        v->series[i] = series_matches(s, &series);
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
    s->view =
        pw_arena_zalloc(c->arena, (size_t)from->heads_count * c->tenant_count, sizeof(*s->view));
    if (s->view == NULL) {
        return pw_call_no_memory(c);
    }
    if (plan->range.empty) {
        return 0;
    }
    for (uint32_t i = 0; i < from->heads_count; i++) {
        for (uint32_t k = 0; k < c->tenant_count; k++) {
            struct pw_select_view *v = &s->view[s->view_count];

            if (!pw_head_view_open(from->head[i], c->tenant[k], &v->head)) {
                continue;
            }
            if (match_series(s, v) != 0) {
                return PW_EINVAL;
            }
            s->view_count++;
        }
    }
    return 0;
}

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

bool
pw_select_next(const struct pw_select *s, struct pw_select_cursor *cur, struct pw_head_row *row)
{
    while (cur->view < s->view_count) {
        const struct pw_select_view *v = &s->view[cur->view];
        uint64_t rows = v->series_matched == 0 ? 0 : v->head.rows_count;

        for (; cur->row < rows; cur->row++) {
            pw_head_row_at(&v->head, cur->row, row);
            if (row->time_ns < s->start_ns || row->time_ns > s->end_ns || !v->series[row->series]) {
                continue;
            }
            if (s->plan.profile_id_count > 0 &&
                !id_among(row->uuid, s->plan.profile_id, s->plan.profile_id_count)) {
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
    pw_head_span(&v->head, sample->span, &id);
    for (uint32_t i = 0; i < s->plan.span_count && !span_fits; i++) {
        span_fits = id.has_span != 0 && memcmp(id.span_id, s->plan.span[i], 8) == 0;
    }
    if (!span_fits || s->plan.trace_count == 0) {
        return span_fits;
    }
    return id.has_trace != 0 && id_among(id.trace_id, s->plan.trace, s->plan.trace_count);
}

static void
sum_row(const struct pw_select *s, const struct pw_select_view *v, const struct pw_head_row *row,
        int64_t *sum)
{
    struct pw_head_sample sample[SAMPLES_AT_ONCE];
    bool filter = pw_select_filters_samples(s);

    for (uint32_t first = 0; first < row->samples_count;) {
        uint32_t n = pw_head_samples(&v->head, row, first, sample, SAMPLES_AT_ONCE);

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
pw_select_sums(const struct pw_select *s, int64_t ***out)
{
    struct pw_select_cursor cur = {0};
    struct pw_head_row row;
    int64_t **sums = pw_arena_zalloc(s->call->arena, s->view_count + 1, sizeof(*sums));

    if (sums == NULL) {
        return pw_call_no_memory(s->call);
    }
    for (uint32_t i = 0; i < s->view_count; i++) {
        sums[i] = pw_arena_zalloc(s->call->arena, s->view[i].head.stacks_count, sizeof(int64_t));
        if (sums[i] == NULL) {
            return pw_call_no_memory(s->call);
        }
    }
    while (pw_select_next(s, &cur, &row)) {
        sum_row(s, &s->view[cur.view], &row, sums[cur.view]);
    }
    *out = sums;
    return 0;
}
