#include "query/group.h"

#include "query/codec.h"

#include <stdio.h>

bool
pw_groups_init(struct pw_groups *g, const struct pw_select *s, char **by, size_t by_count)
{
    struct pw_call *c = s->call;

    *g = (struct pw_groups){.s = s};
    g->by = pw_arena_zalloc(c->arena, by_count, sizeof(*g->by));
    g->of_series = pw_arena_zalloc(c->arena, s->view_count, sizeof(*g->of_series));
    if (g->by == NULL || g->of_series == NULL ||
        !pw_names_init(&g->keys, c->arena, c->t->q->cfg.hash_key)) {
        return false;
    }
    for (size_t i = 0; i < by_count; i++) { /* a name given twice counts once */
        bool seen = false;

        for (uint32_t k = 0; k < g->by_count; k++) {
            seen |= pw_slice_eq_str(g->by[k], by[i]);
        }
        if (!seen) {
            g->by[g->by_count++] = pw_slice_str(by[i]);
        }
    }
    for (uint32_t v = 0; v < s->view_count; v++) {
        g->of_series[v] = pw_arena_zalloc(c->arena, s->view[v].src.series_count, sizeof(uint32_t));
        if (g->of_series[v] == NULL) {
            return false;
        }
    }
    return true;
}

/* The tuple as bytes: per label a length (UINT32_MAX for missing) and the value. */
static struct pw_slice
key_of(struct pw_groups *g, const struct pw_head_series *series)
{
    struct pw_arena *a = g->s->call->arena;
    size_t len = 1, at = 1;
    uint8_t *key;

    for (uint32_t i = 0; i < g->by_count; i++) {
        len += 4 + pw_selector_label(series->label, series->label_count, g->by[i]).len;
    }
    key = pw_arena_zalloc(a, len, 1);
    if (key == NULL) {
        return (struct pw_slice){0};
    }
    key[0] = 1; /* never empty, never a name of pw_names' own */
    for (uint32_t i = 0; i < g->by_count; i++) {
        struct pw_slice v = pw_selector_label(series->label, series->label_count, g->by[i]);
        uint32_t n = v.ptr == NULL ? UINT32_MAX : (uint32_t)v.len;

        memcpy(key + at, &n, sizeof(n));
        at += sizeof(n);
        if (v.len > 0) {
            memcpy(key + at, v.ptr, v.len);
        }
        at += v.len;
    }
    return pw_slice(key, len);
}

static bool
new_group(struct pw_groups *g, const struct pw_head_series *series)
{
    struct pw_arena *a = g->s->call->arena;
    void *p = g->group;
    struct pw_group *group;

    if (!pw_arena_room(a, &p, g->count, &g->cap, sizeof(*g->group))) {
        return false;
    }
    g->group = p;
    group = &g->group[g->count];
    group->label = pw_arena_zalloc(a, g->by_count, sizeof(*group->label));
    if (group->label == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < g->by_count; i++) {
        struct pw_slice v = pw_selector_label(series->label, series->label_count, g->by[i]);

        if (v.ptr != NULL) {
            group->label[group->label_count++] =
                (struct pw_label_pair){.name = g->by[i], .value = v};
        }
    }
    g->count++;
    return true;
}

uint32_t
pw_groups_of(struct pw_groups *g, uint32_t view, uint32_t series_id)
{
    enum { FIRST = 2 }; /* ids 0 and 1 of pw_names are taken */
    uint32_t *memo = &g->of_series[view][series_id], id;
    struct pw_head_series series;
    struct pw_slice key;

    if (*memo != 0) {
        return *memo - 1;
    }
    pw_source_series(&g->s->view[view].src, series_id, &series);
    key = key_of(g, &series);
    id = key.ptr == NULL ? UINT32_MAX : pw_names_intern(&g->keys, key);
    if (id == UINT32_MAX || (id - FIRST == g->count && !new_group(g, &series))) {
        return UINT32_MAX;
    }
    *memo = id - FIRST + 1;
    return id - FIRST;
}

int
pw_groups_cmp(const struct pw_group *a, const struct pw_group *b)
{
    return pw_label_pairs_cmp(a->label, a->label_count, b->label, b->label_count);
}

static bool
put_pair(struct pw_arena *a, const struct pw_label_pair *p, Types__V1__LabelPair **out)
{
    *out = pw_arena_zalloc(a, 1, sizeof(**out));
    if (*out == NULL) {
        return false;
    }
    types__v1__label_pair__init(*out);
    (*out)->name = pw_codec_string(a, p->name);
    (*out)->value = pw_codec_string(a, p->value);
    return true;
}

bool
pw_group_labels(struct pw_arena *a, const struct pw_label_pair *label, uint32_t count,
                Types__V1__LabelPair ***out, size_t *n)
{
    *n = 0;
    *out = pw_arena_zalloc(a, count, sizeof(**out));
    if (*out == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!put_pair(a, &label[i], &(*out)[i])) {
            return false;
        }
    }
    *n = count;
    return true;
}

static bool
is_first(struct pw_slice name)
{
    return pw_slice_eq_str(name, "__profile_type__") || pw_slice_eq_str(name, "__service_name__");
}

bool
pw_group_rest(struct pw_groups *g, uint32_t view, uint32_t series_id, Types__V1__LabelPair ***out,
              size_t *n)
{
    struct pw_arena *a = g->s->call->arena;
    struct pw_head_series series;

    pw_source_series(&g->s->view[view].src, series_id, &series);
    *n = 0;
    *out = pw_arena_zalloc(a, series.label_count, sizeof(**out));
    if (*out == NULL) {
        return false;
    }
    /* Stock keeps __profile_type__ and __service_name__ in front of the sorted rest [obs]. */
    for (uint32_t i = 0; i < series.label_count * 2; i++) {
        const struct pw_label_pair *p = &series.label[i % series.label_count];
        bool grouped = false;

        for (uint32_t k = 0; k < g->by_count; k++) {
            grouped |= pw_slice_eq(g->by[k], p->name);
        }
        if (grouped || is_first(p->name) != (i < series.label_count)) {
            continue;
        }
        if (!put_pair(a, p, &(*out)[*n])) {
            return false;
        }
        (*n)++;
    }
    return true;
}

char *
pw_group_uuid(struct pw_arena *a, const uint8_t u[16])
{
    char s[37];

    snprintf(s, sizeof(s), "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
             u[0], u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13],
             u[14], u[15]);
    return pw_codec_string(a, pw_slice_str(s));
}
