#include "query/replicas.h"

#include "query/dedup.h"

#include <stdlib.h>

enum { LEVEL_COMPACTED = 2, LEVEL_COMPACTED_SPLIT = 3 };

/* --- Origins ------------------------------------------------------------------------------------ */

static struct pw_slice
external_label(const struct pw_block_meta *m, struct pw_slice name)
{
    for (uint32_t i = 0; i < m->label_count; i++) {
        if (pw_slice_eq(m->label[i].name, name)) {
            return m->label[i].value;
        }
    }
    return (struct pw_slice){0};
}

/* The rule: this appliance's blocks, other hosts' by name, blocks of nobody each by itself, compacted
 * ones. */
enum rank { RANK_OWN, RANK_HOST, RANK_NOBODY, RANK_COMPACTED };

static struct pw_slice
host_of(const struct pw_replica_block *b)
{
    return external_label(pw_block_meta(b->from->block), PW_SLICE_LIT("__hostname__"));
}

/* For the time of the sort, origin holds the rank. */
static enum rank
rank_of(const struct pw_select *s, const struct pw_replica_block *b)
{
    const char *own = s->call->t->q->cfg.hostname;
    struct pw_slice host = host_of(b);

    if (pw_block_meta(b->from->block)->level >= LEVEL_COMPACTED) {
        return RANK_COMPACTED;
    }
    if (host.len == 0) {
        return RANK_NOBODY;
    }
    return own != NULL && pw_slice_eq_str(host, own) ? RANK_OWN : RANK_HOST;
}

static int
compare_origins(const struct pw_replica_block *x, const struct pw_replica_block *y)
{
    if (x->origin != y->origin) {
        return x->origin < y->origin ? -1 : 1;
    }
    switch ((enum rank)x->origin) {
    case RANK_HOST:
        return pw_slice_cmp(host_of(x), host_of(y));
    case RANK_NOBODY:
        return pw_ulid_cmp(&x->from->ulid, &y->from->ulid);
    case RANK_OWN:
    case RANK_COMPACTED:
        break;
    }
    return 0;
}

static int
by_origin(const void *a, const void *b)
{
    const struct pw_replica_block *x = a, *y = b;
    int order = compare_origins(x, y);

    return order != 0 ? order : pw_ulid_cmp(&x->from->ulid, &y->from->ulid);
}

void
pw_replicas_order(const struct pw_select *s, struct pw_replica_block *block, uint32_t count)
{
    uint32_t number = 0;

    for (uint32_t i = 0; i < count; i++) {
        block[i].origin = rank_of(s, &block[i]);
    }
    qsort(block, count, sizeof(*block), by_origin);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t here = number;

        /* Compared with the one behind, whose origin is still its rank. */
        if (i == 0 && block[i].origin != RANK_OWN) {
            here = ++number;
        }
        if (i + 1 < count && compare_origins(&block[i], &block[i + 1]) != 0) {
            number++;
        }
        block[i].origin = here;
    }
}

/* --- Series in several origins ------------------------------------------------------------------- */

struct span { /* of a series in a view */
    uint64_t fingerprint;
    int64_t min_ns, max_ns;
    uint32_t view, series, origin;
};

static int
by_series_and_time(const void *a, const void *b)
{
    const struct span *x = a, *y = b;

    if (x->fingerprint != y->fingerprint) {
        return x->fingerprint < y->fingerprint ? -1 : 1;
    }
    return x->min_ns < y->min_ns ? -1 : x->min_ns > y->min_ns;
}

/* Whether copies are to be looked for at all. */
static bool
is_asked_for(const struct pw_select *s)
{
    bool young = s->head_views > 0, several = false;
    uint32_t first = s->head_views > 0 || s->block_count == 0 ? 0 : s->block[0].origin;

    for (uint32_t i = 0; i < s->block_count; i++) {
        const struct pw_block_meta *m = pw_block_meta(s->block[i].from->block);
        bool split = external_label(m, PW_SLICE_LIT("__compactor_shard_id__")).len > 0;

        young |= m->level < (split ? LEVEL_COMPACTED_SPLIT : LEVEL_COMPACTED);
        several |= s->block[i].origin != first;
    }
    return young && several;
}

static bool
add_span(const struct pw_select *s, struct span **list, uint32_t *count, uint32_t *cap,
         const struct span *one)
{
    void *grown = *list;

    if (!pw_arena_room(s->call->arena, &grown, *count, cap, sizeof(**list))) {
        return false;
    }
    *list = grown;
    (*list)[(*count)++] = *one;
    return true;
}

/* A head's series may have rows at any time. */
static bool
gather(const struct pw_select *s, struct span **list, uint32_t *count)
{
    uint32_t cap = 0;

    for (uint32_t v = 0; v < s->head_views; v++) {
        for (uint32_t i = 0; i < s->view[v].src.series_count; i++) {
            struct pw_head_series series;

            if (!s->view[v].series[i]) {
                continue;
            }
            pw_source_series(&s->view[v].src, i, &series);
            if (!add_span(s, list, count, &cap,
                          &(struct span){.fingerprint = series.fingerprint,
                                         .min_ns = INT64_MIN,
                                         .max_ns = INT64_MAX,
                                         .view = v,
                                         .series = i})) {
                return false;
            }
        }
    }
    for (uint32_t b = 0; b < s->block_count; b++) {
        const struct pw_select_block *block = &s->block[b];

        for (uint32_t i = 0; i < block->series_count; i++) {
            if (block->series[i] &&
                !add_span(s, list, count, &cap,
                          &(struct span){.fingerprint = block->label[i].fingerprint,
                                         .min_ns = block->time[i].min_ns,
                                         .max_ns = block->time[i].max_ns,
                                         .view = block->first_view,
                                         .series = i,
                                         .origin = block->origin})) {
                return false;
            }
        }
    }
    return true;
}

static bool
mark(struct pw_select *s, const struct span *one)
{
    struct pw_select_view *v = &s->view[one->view];

    if (v->shared == NULL) {
        v->shared = pw_arena_zalloc(s->call->arena, v->src.series_count, sizeof(bool));
    }
    if (v->shared != NULL) {
        v->shared[one->series] = true;
    }
    return v->shared != NULL;
}

/* Runs of one series whose times overlap, one after the other; of several origins: all are marked. */
static bool
mark_overlaps(struct pw_select *s, const struct span *list, uint32_t count)
{
    for (uint32_t i = 0, end; i < count; i = end) {
        int64_t max = list[i].max_ns;
        bool several = false;

        for (end = i + 1;
             end < count && list[end].fingerprint == list[i].fingerprint && list[end].min_ns <= max;
             end++) {
            max = list[end].max_ns > max ? list[end].max_ns : max;
            several |= list[end].origin != list[i].origin;
        }
        for (uint32_t k = i; k < end && several; k++) {
            if (!mark(s, &list[k])) {
                return false;
            }
        }
        s->replicas |= several;
    }
    return true;
}

int
pw_replicas_mark(struct pw_select *s)
{
    struct span *list = NULL;
    uint32_t count = 0;

    if (!is_asked_for(s)) {
        return 0;
    }
    if (!gather(s, &list, &count)) {
        return pw_call_no_memory(s->call);
    }
    if (count == 0) {
        return 0;
    }
    qsort(list, count, sizeof(*list), by_series_and_time);
    if (!mark_overlaps(s, list, count)) {
        return pw_call_no_memory(s->call);
    }
    for (uint32_t b = 0; b < s->block_count; b++) { /* partitions of one block share it */
        for (uint32_t i = 1; i < s->block[b].views; i++) {
            s->view[s->block[b].first_view + i].shared = s->view[s->block[b].first_view].shared;
        }
    }
    return 0;
}

/* --- Rows --------------------------------------------------------------------------------------- */

bool
pw_replicas_take(const struct pw_select *s, struct pw_select_cursor *cur,
                 const struct pw_head_row *row)
{
    const struct pw_select_view *v = &s->view[cur->view];
    struct pw_call *c = s->call;
    struct pw_head_series series;
    int rc = 0;

    if (v->shared == NULL || !v->shared[row->series]) {
        return true;
    }
    if (cur->dedup == NULL) {
        cur->dedup = pw_arena_alloc(c->arena, sizeof(*cur->dedup));
        rc = cur->dedup == NULL ? PW_ENOMEM
                                : pw_dedup_init(cur->dedup, c->arena, c->t->q->cfg.hash_key);
    }
    if (rc == 0) {
        pw_source_series(&v->src, row->series, &series);
        rc = pw_dedup_take(cur->dedup, cur->view < s->head_views ? 0 : s->block[cur->block].origin,
                           series.fingerprint, row->time_ns);
    }
    if (rc < 0) {
        pw_call_no_memory(c);
    }
    return rc > 0;
}
