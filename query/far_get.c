/* Bytes to questions and answers: nothing is believed. */
#include "pprof/wire.h"
#include "query/far_wire.h"

/* --- Numbers ------------------------------------------------------------------------------------ */

struct reader {
    const uint8_t *p, *end;
    struct pw_arena *arena;
    int rc; /* the first failure */
};

static size_t
left(const struct reader *r)
{
    return (size_t)(r->end - r->p);
}

static uint64_t
bad(struct reader *r)
{
    r->rc = r->rc == 0 ? PW_EINVAL : r->rc;
    r->p = r->end;
    return 0;
}

static uint64_t
get_u(struct reader *r)
{
    uint64_t v = 0;
    int n = pw_wire_varint(r->p, r->end, &v);

    if (n <= 0) {
        return bad(r);
    }
    r->p += n;
    return v;
}

static int64_t
get_s(struct reader *r)
{
    uint64_t v = get_u(r);

    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

/* A number of things of at least `bytes` bytes each. */
static uint32_t
get_count(struct reader *r, size_t bytes)
{
    uint64_t n = get_u(r);

    return n > left(r) / bytes || n > UINT32_MAX / 2 ? (uint32_t)bad(r) : (uint32_t)n;
}

/* A number below `end`. */
static uint32_t
get_below(struct reader *r, uint64_t end)
{
    uint64_t v = get_u(r);

    return v >= end ? (uint32_t)bad(r) : (uint32_t)v;
}

static struct pw_slice
get_bytes(struct reader *r, size_t n)
{
    struct pw_slice s = pw_slice(r->p, n);

    if (n > left(r)) {
        bad(r);
        return (struct pw_slice){0};
    }
    r->p += n;
    return s;
}

static struct pw_slice
get_slice(struct reader *r)
{
    return get_bytes(r, get_count(r, 1));
}

static void
get_copy(struct reader *r, void *to, size_t n)
{
    struct pw_slice s = get_bytes(r, n);

    if (s.len == n) {
        memcpy(to, s.ptr, n);
    }
}

/* Never NULL while r->rc is 0. */
static void *
room(struct reader *r, size_t n, size_t size)
{
    void *p = r->rc != 0 ? NULL : pw_arena_zalloc(r->arena, n + 1, size);

    if (p == NULL && r->rc == 0) {
        bad(r);
        r->rc = PW_ENOMEM;
    }
    return p;
}

/* --- Request ------------------------------------------------------------------------------------ */

static const void *
get_ids(struct reader *r, uint32_t *count, size_t bytes)
{
    *count = get_count(r, bytes);
    return get_bytes(r, *count * bytes).ptr;
}

static void
get_keys(struct reader *r, struct pw_far_request *out)
{
    enum { KEY_BYTES_MIN = 4 };
    uint32_t n = 0, count = get_count(r, KEY_BYTES_MIN);
    struct pw_far_key *key = room(r, count, sizeof(*key));
    uint64_t *list = room(r, count, sizeof(*list));
    int64_t time = 0;

    for (uint32_t i = 0; i < count && r->rc == 0; i++) {
        key[i].time_ns = (int64_t)((uint64_t)time + get_u(r));
        if (i > 0 && key[i].time_ns < time) {
            bad(r);
        }
        time = key[i].time_ns;
        uint32_t which = get_below(r, (uint64_t)n + 1);

        if (which == 0) {
            get_copy(r, &list[n++], sizeof(*list));
            which = n;
        }
        key[i].fingerprint = list[which - 1];
        key[i].skip = get_below(r, UINT32_MAX);
        key[i].take = get_below(r, UINT32_MAX);
    }
    out->key = key;
    out->key_count = count;
}

int
pw_far_request_read(struct pw_far_request *out, struct pw_slice bytes, struct pw_arena *a)
{
    struct reader r = {.p = bytes.ptr, .end = bytes.ptr + bytes.len, .arena = a};

    *out = (struct pw_far_request){0};
    if (get_u(&r) != PW_FAR_VERSION) {
        return PW_EINVAL;
    }
    out->what = (enum pw_far_what)get_below(&r, PW_FAR_TIMES + 1);
    out->flags = get_below(&r, UINT32_MAX);
    out->start_ms = get_s(&r);
    out->end_ms = get_s(&r);
    out->columns = get_below(&r, UINT32_MAX);
    out->profile_type = get_slice(&r);
    out->selector = get_slice(&r);
    out->profile_id = get_ids(&r, &out->profile_id_count, sizeof(out->profile_id[0]));
    out->span = get_ids(&r, &out->span_count, sizeof(out->span[0]));
    out->trace = get_ids(&r, &out->trace_count, sizeof(out->trace[0]));
    get_keys(&r, out);
    if (r.rc == 0 && (r.p != r.end || out->what < PW_FAR_SERIES)) {
        return PW_EINVAL;
    }
    return r.rc;
}

/* --- Answer ---------------------------------------------------------------------------- */

static void
get_series(struct reader *r, struct pw_far_part *p)
{
    enum { SERIES_BYTES_MIN = 9, LABEL_BYTES_MIN = 2 };

    p->series_count = get_count(r, SERIES_BYTES_MIN);
    p->series = room(r, p->series_count, sizeof(*p->series));
    for (uint32_t i = 0; i < p->series_count && r->rc == 0; i++) {
        struct pw_head_series *s = &p->series[i];
        struct pw_label_pair *label;

        s->id = i;
        get_copy(r, &s->fingerprint, sizeof(s->fingerprint));
        s->label_count = get_count(r, LABEL_BYTES_MIN);
        s->label = label = room(r, s->label_count, sizeof(*label));
        for (uint32_t k = 0; k < s->label_count && r->rc == 0; k++) {
            label[k].name = get_slice(r);
            label[k].value = get_slice(r);
        }
    }
}

/* Stacks and spans of samples are judged when those tables are known. */
static void
get_row(struct reader *r, struct pw_far_part *p, uint32_t i, int64_t *time, uint32_t *samples)
{
    struct pw_far_row *row = &p->row[i];

    row->series = get_below(r, p->series_count);
    *time = (int64_t)((uint64_t)*time + (uint64_t)get_s(r));
    row->time_ns = *time;
    row->total = get_s(r);
    if (p->has_uuid) {
        get_copy(r, row->uuid, sizeof(row->uuid));
    }
    row->first = *samples;
    row->samples = get_below(r, (uint64_t)(p->sample_count - *samples) + 1);
    for (uint32_t k = 0; k < row->samples && r->rc == 0; k++) {
        struct pw_head_sample *s = &p->sample[(*samples)++];

        s->stack = get_below(r, UINT32_MAX);
        s->value = get_s(r);
        s->span = get_below(r, UINT32_MAX);
    }
}

static void
get_rows(struct reader *r, struct pw_far_part *p)
{
    enum { SAMPLE_BYTES_MIN = 3, ROW_BYTES_MIN = 4 };
    int64_t time = 0;
    uint32_t samples = 0;

    p->has_uuid = get_below(r, 2) != 0;
    p->sample_count = get_count(r, SAMPLE_BYTES_MIN);
    p->sample = room(r, p->sample_count, sizeof(*p->sample));
    p->row_count = get_count(r, ROW_BYTES_MIN);
    p->row = room(r, p->row_count, sizeof(*p->row));
    for (uint32_t i = 0; i < p->row_count && r->rc == 0; i++) {
        get_row(r, p, i, &time, &samples);
    }
    if (samples != p->sample_count) {
        bad(r);
    }
}

static void
get_spans(struct reader *r, struct pw_far_part *p)
{
    enum { SPAN_BYTES = 25 };

    p->span_count = get_count(r, SPAN_BYTES);
    p->span = room(r, p->span_count, sizeof(*p->span));
    for (uint32_t i = 0; i < p->span_count && r->rc == 0; i++) {
        uint32_t flags = get_below(r, 4);

        p->span[i].has_span = (flags & 1) != 0;
        p->span[i].has_trace = (flags & 2) != 0;
        get_copy(r, p->span[i].span_id, sizeof(p->span[i].span_id));
        get_copy(r, p->span[i].trace_id, sizeof(p->span[i].trace_id));
    }
    for (uint32_t i = 0; i < p->sample_count && r->rc == 0; i++) {
        if (p->sample[i].span > p->span_count) {
            bad(r);
        }
    }
}

static void
get_names(struct reader *r, struct pw_far_part *p)
{
    enum { MAPPING_BYTES_MIN = 6, FUNCTION_BYTES_MIN = 4 };

    p->string_count = get_count(r, 1);
    p->string = room(r, p->string_count, sizeof(*p->string));
    for (uint32_t i = 0; i < p->string_count && r->rc == 0; i++) {
        p->string[i] = get_slice(r);
    }
    p->mapping_count = get_count(r, MAPPING_BYTES_MIN);
    p->mapping = room(r, p->mapping_count, sizeof(*p->mapping));
    for (uint32_t i = 0; i < p->mapping_count && r->rc == 0; i++) {
        struct pw_head_mapping *m = &p->mapping[i];

        m->memory_start = get_u(r);
        m->memory_limit = get_u(r);
        m->file_offset = get_u(r);
        m->filename = get_below(r, p->string_count);
        m->build_id = get_below(r, p->string_count);
        m->flags = get_below(r, UINT32_MAX);
    }
    p->function_count = get_count(r, FUNCTION_BYTES_MIN);
    p->function = room(r, p->function_count, sizeof(*p->function));
    for (uint32_t i = 0; i < p->function_count && r->rc == 0; i++) {
        struct pw_head_function *f = &p->function[i];

        f->name = get_below(r, p->string_count);
        f->system_name = get_below(r, p->string_count);
        f->filename = get_below(r, p->string_count);
        f->start_line = get_s(r);
    }
}

static void
get_locations(struct reader *r, struct pw_far_part *p)
{
    enum { LOCATION_BYTES_MIN = 4, LINE_BYTES_MIN = 2 };

    p->location_count = get_count(r, LOCATION_BYTES_MIN);
    p->location = room(r, p->location_count, sizeof(*p->location));
    for (uint32_t i = 0; i < p->location_count && r->rc == 0; i++) {
        struct pw_head_location *l = &p->location[i];
        struct pw_head_line *line;

        l->address = get_u(r);
        l->mapping = get_below(r, (uint64_t)p->mapping_count + 1) - 1; /* 0: none, UINT32_MAX */
        l->is_folded = get_below(r, 2) != 0;
        l->line_count = get_count(r, LINE_BYTES_MIN);
        l->line = line = room(r, l->line_count, sizeof(*line));
        for (uint32_t k = 0; k < l->line_count && r->rc == 0; k++) {
            line[k].function = get_below(r, p->function_count);
            line[k].line = get_s(r);
        }
    }
}

static void
get_stacks(struct reader *r, struct pw_far_part *p, bool sums)
{
    uint32_t at = 0;

    p->loc_count = get_count(r, 1);
    p->loc = room(r, p->loc_count, sizeof(*p->loc));
    p->stack_count = get_count(r, 1);
    p->stack = room(r, (size_t)p->stack_count + 1, sizeof(*p->stack));
    p->sum = sums ? room(r, p->stack_count, sizeof(*p->sum)) : NULL;
    for (uint32_t i = 0; i < p->stack_count && r->rc == 0; i++) {
        uint32_t depth = get_below(r, (uint64_t)(p->loc_count - at) + 1);

        for (uint32_t k = 0; k < depth && r->rc == 0; k++) {
            p->loc[at++] = get_below(r, p->location_count);
        }
        p->stack[i + 1] = at;
        if (sums) {
            p->sum[i] = get_s(r);
        }
    }
    if (at != p->loc_count) {
        bad(r);
    }
    for (uint32_t i = 0; i < p->sample_count && r->rc == 0; i++) {
        /* One more than there are: it is nothing that could be resolved (source.h). */
        if (p->sample[i].stack > p->stack_count) {
            bad(r);
        }
    }
}

int
pw_far_answer_read(struct pw_far_part **part, uint32_t *count, enum pw_far_what what,
                   struct pw_slice bytes, struct pw_arena *a)
{
    struct reader r = {.p = bytes.ptr, .end = bytes.ptr + bytes.len, .arena = a};
    uint32_t cap = 0;
    void *list = NULL;

    *part = NULL;
    *count = 0;
    if (get_u(&r) != PW_FAR_VERSION || get_u(&r) != what) {
        return PW_EINVAL;
    }
    while (r.rc == 0 && r.p != r.end) { /* a part has at least a few bytes */
        struct pw_far_part *p;

        if (!pw_arena_room(a, &list, *count, &cap, sizeof(**part))) {
            return PW_ENOMEM;
        }
        *part = list;
        p = &(*part)[(*count)++];
        *p = (struct pw_far_part){0};
        get_series(&r, p);
        get_rows(&r, p);
        if (what == PW_FAR_SAMPLES) {
            get_spans(&r, p);
        }
        if (what == PW_FAR_SAMPLES || what == PW_FAR_SUMS) {
            get_names(&r, p);
            get_locations(&r, p);
            get_stacks(&r, p, what == PW_FAR_SUMS);
        }
    }
    return r.rc;
}
