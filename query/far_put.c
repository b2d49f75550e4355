/* Questions and answers to bytes. */
#include "pprof/wire.h"
#include "query/far_wire.h"

#include <stdlib.h>

static void
put_u(struct pw_text *t, uint64_t v)
{
    pw_wire_put_varint(t, v);
}

static void
put_s(struct pw_text *t, int64_t v)
{
    put_u(t, ((uint64_t)v << 1) ^ (uint64_t)(v >> 63));
}

static void
put_slice(struct pw_text *t, struct pw_slice s)
{
    put_u(t, s.len);
    pw_text_slice(t, s);
}

static void
put_ids(struct pw_text *t, const void *id, uint32_t count, size_t bytes)
{
    put_u(t, count);
    pw_text_put(t, id, count * bytes);
}

/* Index of the fingerprint among those before, in a list that the keys build up: most requests name few. */
static uint32_t
find_fingerprint(const uint64_t *list, uint32_t n, uint64_t fingerprint, uint32_t near)
{
    if (near < n && list[near] == fingerprint) {
        return near;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (list[i] == fingerprint) {
            return i;
        }
    }
    return n;
}

/* Each key: time as a difference, then 0 and a new fingerprint or the number of a known one from 1. */
static void
put_keys(struct pw_text *t, const struct pw_far_request *r, uint64_t *list)
{
    uint32_t n = 0, last = 0;
    int64_t time = 0;

    put_u(t, r->key_count);
    for (uint32_t i = 0; i < r->key_count; i++) {
        const struct pw_far_key *k = &r->key[i];

        put_u(t, (uint64_t)k->time_ns - (uint64_t)time);
        time = k->time_ns;
        last = find_fingerprint(list, n, k->fingerprint, last + 1);
        if (last == n) {
            list[n++] = k->fingerprint;
            put_u(t, 0);
            pw_text_put(t, &k->fingerprint, sizeof(k->fingerprint));
        } else {
            put_u(t, last + 1);
        }
        put_u(t, k->skip);
        put_u(t, k->take);
    }
}

bool
pw_far_request_put(struct pw_text *t, const struct pw_far_request *r)
{
    uint64_t *list = NULL;

    if (r->key_count > 0 && (list = malloc(r->key_count * sizeof(*list))) == NULL) {
        return false;
    }
    put_u(t, PW_FAR_VERSION);
    put_u(t, r->what);
    put_u(t, r->flags);
    put_s(t, r->start_ms);
    put_s(t, r->end_ms);
    put_u(t, r->columns);
    put_slice(t, r->profile_type);
    put_slice(t, r->selector);
    put_ids(t, r->profile_id, r->profile_id_count, sizeof(r->profile_id[0]));
    put_ids(t, r->span, r->span_count, sizeof(r->span[0]));
    put_ids(t, r->trace, r->trace_count, sizeof(r->trace[0]));
    put_keys(t, r, list);
    free(list);
    return !t->failed;
}

/* --- Answer ---------------------------------------------------------------------------- */

static void
put_series(struct pw_text *t, const struct pw_far_part *p)
{
    put_u(t, p->series_count);
    for (uint32_t i = 0; i < p->series_count; i++) {
        const struct pw_head_series *s = &p->series[i];

        pw_text_put(t, &s->fingerprint, sizeof(s->fingerprint));
        put_u(t, s->label_count);
        for (uint32_t k = 0; k < s->label_count; k++) {
            put_slice(t, s->label[k].name);
            put_slice(t, s->label[k].value);
        }
    }
}

static void
put_rows(struct pw_text *t, const struct pw_far_part *p)
{
    int64_t time = 0;

    put_u(t, p->has_uuid);
    put_u(t, p->sample_count);
    put_u(t, p->row_count);
    for (uint32_t i = 0; i < p->row_count; i++) {
        const struct pw_far_row *row = &p->row[i];

        put_u(t, row->series);
        put_s(t, (int64_t)((uint64_t)row->time_ns - (uint64_t)time));
        time = row->time_ns;
        put_s(t, row->total);
        if (p->has_uuid) {
            pw_text_put(t, row->uuid, sizeof(row->uuid));
        }
        put_u(t, row->samples);
        for (uint32_t k = 0; k < row->samples; k++) {
            const struct pw_head_sample *s = &p->sample[row->first + k];

            put_u(t, s->stack);
            put_s(t, s->value);
            put_u(t, s->span);
        }
    }
}

static void
put_spans(struct pw_text *t, const struct pw_far_part *p)
{
    put_u(t, p->span_count);
    for (uint32_t i = 0; i < p->span_count; i++) {
        const struct pw_record_span_id *id = &p->span[i];

        put_u(t, (id->has_span ? 1U : 0U) | (id->has_trace ? 2U : 0U));
        pw_text_put(t, id->span_id, sizeof(id->span_id));
        pw_text_put(t, id->trace_id, sizeof(id->trace_id));
    }
}

static void
put_symbols(struct pw_text *t, const struct pw_far_part *p)
{
    put_u(t, p->string_count);
    for (uint32_t i = 0; i < p->string_count; i++) {
        put_slice(t, p->string[i]);
    }
    put_u(t, p->mapping_count);
    for (uint32_t i = 0; i < p->mapping_count; i++) {
        const struct pw_head_mapping *m = &p->mapping[i];

        put_u(t, m->memory_start);
        put_u(t, m->memory_limit);
        put_u(t, m->file_offset);
        put_u(t, m->filename);
        put_u(t, m->build_id);
        put_u(t, m->flags);
    }
    put_u(t, p->function_count);
    for (uint32_t i = 0; i < p->function_count; i++) {
        const struct pw_head_function *f = &p->function[i];

        put_u(t, f->name);
        put_u(t, f->system_name);
        put_u(t, f->filename);
        put_s(t, f->start_line);
    }
    put_u(t, p->location_count);
    for (uint32_t i = 0; i < p->location_count; i++) {
        const struct pw_head_location *l = &p->location[i];

        put_u(t, l->address);
        put_u(t, l->mapping == UINT32_MAX ? 0 : (uint64_t)l->mapping + 1);
        put_u(t, l->is_folded);
        put_u(t, l->line_count);
        for (uint32_t k = 0; k < l->line_count; k++) {
            put_u(t, l->line[k].function);
            put_s(t, l->line[k].line);
        }
    }
}

static void
put_stacks(struct pw_text *t, const struct pw_far_part *p)
{
    put_u(t, p->loc_count);
    put_u(t, p->stack_count);
    for (uint32_t i = 0; i < p->stack_count; i++) {
        put_u(t, p->stack[i + 1] - p->stack[i]);
        for (uint32_t k = p->stack[i]; k < p->stack[i + 1]; k++) {
            put_u(t, p->loc[k]);
        }
        if (p->sum != NULL) {
            put_s(t, p->sum[i]);
        }
    }
}

void
pw_far_answer_begin(struct pw_text *t, enum pw_far_what what)
{
    put_u(t, PW_FAR_VERSION);
    put_u(t, what);
}

void
pw_far_part_put(struct pw_text *t, enum pw_far_what what, const struct pw_far_part *p)
{
    put_series(t, p);
    put_rows(t, p);
    if (what == PW_FAR_SAMPLES) {
        put_spans(t, p);
    }
    if (what == PW_FAR_SAMPLES || what == PW_FAR_SUMS) {
        put_symbols(t, p);
        put_stacks(t, p);
    }
}
