/* Which copy of a row counts. */
#include "query/dedup.h"
#include "query/far.h"

#include <stdlib.h>

/* This appliance's own rows, without reading more of them than their time. */
static int
take_own(const struct pw_select *s, struct pw_dedup *d)
{
    struct pw_select own = *s;
    struct pw_select_cursor cur = {0};
    struct pw_head_row row;

    own.plan.columns = s->plan.profile_id_count > 0 ? PW_BLOCK_COL_UUID : 0U;
    while (pw_select_next(&own, &cur, &row)) {
        struct pw_head_series series;

        pw_source_series(&own.view[cur.view].src, row.series, &series);
        if (pw_dedup_take(d, 0, series.fingerprint, row.time_ns) < 0) {
            return pw_call_no_memory(s->call);
        }
    }
    return s->call->code == PW_CONNECT_CODE_OK ? 0 : PW_EINVAL;
}

static int
take_peer(struct pw_dedup *d, struct pw_far_peer *p, uint32_t origin)
{
    p->taken = 0;
    for (uint32_t i = 0; i < p->part_count; i++) {
        const struct pw_far_part *part = &p->part[i];

        for (uint32_t k = 0; k < part->row_count; k++) {
            const struct pw_far_row *row = &part->row[k];
            int rc = pw_dedup_take(d, origin, part->series[row->series].fingerprint, row->time_ns);

            if (rc < 0) {
                return rc;
            }
            p->take[i][k] = rc > 0;
            p->taken += rc > 0 ? 1 : 0;
        }
    }
    return 0;
}

int
pw_far_take(struct pw_far *r)
{
    struct pw_call *c = r->s->call;
    struct pw_dedup d;

    if (pw_dedup_init(&d, c->arena, c->t->q->cfg.hash_key) != 0) {
        return pw_call_no_memory(c);
    }
    if (take_own(r->s, &d) != 0) {
        return PW_EINVAL;
    }
    for (uint32_t i = 0; i < r->set->count; i++) {
        if (r->peer[i].answered && !r->peer[i].failed && take_peer(&d, &r->peer[i], i + 1) != 0) {
            return pw_call_no_memory(c);
        }
    }
    return 0;
}

/* --- Keys --------------------------------------------------------------------------------------- */

/* In the order the peer named them, which a sort keeps for equal keys by `skip`, their number so far. */
static int
by_time(const void *a, const void *b)
{
    const struct pw_far_key *x = a, *y = b;

    if (x->time_ns != y->time_ns) {
        return x->time_ns < y->time_ns ? -1 : 1;
    }
    if (x->fingerprint != y->fingerprint) {
        return x->fingerprint < y->fingerprint ? -1 : 1;
    }
    return x->skip < y->skip ? -1 : x->skip > y->skip;
}

/* Runs of one key become one: those that do not count come first (dedup.h), then those that do. */
static uint32_t
fold(struct pw_far_key *key, uint32_t n)
{
    uint32_t out = 0;

    for (uint32_t i = 0, end; i < n; i = end) {
        struct pw_far_key one = {.fingerprint = key[i].fingerprint, .time_ns = key[i].time_ns};

        for (end = i;
             end < n && key[end].fingerprint == one.fingerprint && key[end].time_ns == one.time_ns;
             end++) {
            one.skip += key[end].take == 0;
            one.take += key[end].take;
        }
        if (one.take > 0) {
            key[out++] = one;
        }
    }
    return out;
}

struct pw_far_key *
pw_far_keys(const struct pw_far *r, uint32_t peer, uint32_t *count)
{
    const struct pw_far_peer *p = &r->peer[peer];
    struct pw_far_key *key;
    uint32_t rows = 0, n = 0;

    for (uint32_t i = 0; i < p->part_count; i++) {
        rows += p->part[i].row_count;
    }
    key = pw_arena_alloc(r->s->call->arena, ((size_t)rows + 1) * sizeof(*key));
    if (key == NULL) {
        return NULL;
    }
    for (uint32_t i = 0; i < p->part_count; i++) {
        const struct pw_far_part *part = &p->part[i];

        for (uint32_t k = 0; k < part->row_count; k++, n++) {
            key[n] = (struct pw_far_key){
                .fingerprint = part->series[part->row[k].series].fingerprint,
                .time_ns = part->row[k].time_ns,
                .skip = n,
                .take = p->take[i][k] ? 1 : 0,
            };
        }
    }
    qsort(key, n, sizeof(*key), by_time);
    *count = fold(key, n);
    return key;
}
