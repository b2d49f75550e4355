#include "query/select_block.h"

#include "query/replicas.h"

enum { NS_PER_MS = 1000000, BITS = 64 };

/* --- Series --------------------------------------------------------------------------------- */

struct ids { /* ascending */
    uint32_t *id;
    uint32_t count;
};

/* Keeps of `have` what has that label value; the first time: takes all that have. */
static int
narrow(struct pw_select *s, const struct pw_block *b, struct pw_slice name, struct pw_slice value,
       struct ids *have)
{
    struct pw_block_error err;
    uint32_t count = 0, kept = 0;
    uint32_t *id;

    if (pw_block_postings(b, name, value, NULL, 0, &count, &err) != 0) {
        return pw_call_block_failed(s->call, b, &err);
    }
    id = pw_arena_alloc(s->call->arena, ((size_t)count + 1) * sizeof(*id));
    if (id == NULL) {
        return pw_call_no_memory(s->call);
    }
    if (pw_block_postings(b, name, value, id, count, &count, &err) != 0) {
        return pw_call_block_failed(s->call, b, &err);
    }
    if (have->id == NULL) {
        *have = (struct ids){id, count};
        return 0;
    }
    for (uint32_t i = 0, k = 0; i < have->count && k < count;) {
        if (have->id[i] == id[k]) {
            have->id[kept++] = have->id[i++];
            k++;
        } else if (have->id[i] < id[k]) {
            i++;
        } else {
            k++;
        }
    }
    have->count = kept;
    return 0;
}

/* Series that may match: by the index alone. */
static int
candidates(struct pw_select *s, const struct pw_block *b, uint32_t series, struct ids *out)
{
    const struct pw_selector *sel = &s->plan.selector;

    *out = (struct ids){0};
    if (s->plan.profile_type.len > 0 &&
        narrow(s, b, PW_SLICE_LIT("__profile_type__"), s->plan.profile_type, out) != 0) {
        return PW_EINVAL;
    }
    for (uint32_t i = 0; i < sel->count; i++) {
        const struct pw_matcher *m = &sel->matcher[i];

        /* An empty value is matched by a missing label too: no posting lists those. */
        if (m->op == PW_MATCH_OP_EQ && m->value.len > 0 &&
            narrow(s, b, m->name, m->value, out) != 0) {
            return PW_EINVAL;
        }
    }
    if (out->id != NULL) {
        return 0;
    }
    out->id = pw_arena_alloc(s->call->arena, ((size_t)series + 1) * sizeof(*out->id));
    if (out->id == NULL) {
        return pw_call_no_memory(s->call);
    }
    for (; out->count < series; out->count++) {
        out->id[out->count] = out->count;
    }
    return 0;
}

static int
take_series(struct pw_select *s, struct pw_select_block *b, const struct pw_block_series *in)
{
    struct pw_head_series *out = &b->label[in->id];
    size_t bytes = in->label_count * sizeof(in->label[0]);
    struct pw_label_pair *label = pw_arena_alloc(s->call->arena, bytes + 1);

    if (label == NULL) {
        return pw_call_no_memory(s->call);
    }
    memcpy(label, in->label, bytes);
    *out = (struct pw_head_series){
        .label = label,
        .label_count = in->label_count,
        .id = in->id,
        .fingerprint = in->fingerprint,
    };
    b->series[in->id] = true;
    b->time[in->id] = (struct pw_select_span){in->min_time_ns, in->max_time_ns};
    b->inside[in->id] = in->min_time_ns >= s->start_ns && in->max_time_ns <= s->end_ns;
    b->series_matched++;
    return 0;
}

static int
match_series(struct pw_select *s, struct pw_select_block *b)
{
    struct pw_arena *a = s->call->arena;
    struct pw_block_error err;
    struct ids ids;

    b->series = pw_arena_zalloc(a, (size_t)b->series_count + 1, sizeof(bool));
    b->inside = pw_arena_zalloc(a, (size_t)b->series_count + 1, sizeof(bool));
    b->time = pw_arena_zalloc(a, (size_t)b->series_count + 1, sizeof(*b->time));
    b->label = pw_arena_zalloc(a, (size_t)b->series_count + 1, sizeof(*b->label));
    if (b->series == NULL || b->inside == NULL || b->time == NULL || b->label == NULL) {
        return pw_call_no_memory(s->call);
    }
    if (candidates(s, b->from->block, b->series_count, &ids) != 0) {
        return PW_EINVAL;
    }
    for (uint32_t i = 0; i < ids.count; i++) {
        struct pw_block_series series;

        if (i % PW_SELECT_LOOK_SERIES == 0 && pw_call_stops(s->call)) {
            return PW_EINVAL;
        }
        if (pw_block_series_at(b->from->block, ids.id[i], &series, &err) != 0) {
            return pw_call_block_failed(s->call, b->from->block, &err);
        }
        if (series.max_time_ns >= s->start_ns && series.min_time_ns <= s->end_ns &&
            pw_select_series_matches(s, series.label, series.label_count) &&
            take_series(s, b, &series) != 0) {
            return PW_EINVAL;
        }
    }
    return 0;
}

/* --- Rows ----------------------------------------------------------------------------------- */

static struct pw_call_held *
open_rows(const struct pw_select *s, const struct pw_select_block *b, uint32_t columns)
{
    struct pw_call_held *held = pw_call_hold(s->call);
    size_t words = ((size_t)b->series_count + BITS - 1) / BITS;
    uint64_t *bits = pw_arena_zalloc(s->call->arena, words + 1, sizeof(*bits));
    struct pw_block_error err;
    struct pw_block_query q = {
        .series = bits, .min_time_ns = s->start_ns, .max_time_ns = s->end_ns, .columns = columns};

    if (held == NULL || bits == NULL) {
        pw_call_no_memory(s->call);
        return NULL;
    }
    for (uint32_t i = 0; i < b->series_count; i++) {
        bits[i / BITS] |= (uint64_t)b->series[i] << (i % BITS);
    }
    if (pw_block_rows_open(&held->rows, b->from->block, &q, &err) != 0) {
        held->rows = NULL;
        pw_call_block_failed(s->call, b->from->block, &err);
        return NULL;
    }
    return held;
}

/* The view of the row's partition. */
static uint32_t
view_of(const struct pw_select *s, struct pw_select_block *b)
{
    if (!s->plan.stacks || b->partition[b->last_view] == b->row.partition) {
        return b->first_view + b->last_view;
    }
    for (uint32_t i = 0; i < b->views; i++) {
        if (b->partition[i] == b->row.partition) {
            b->last_view = i;
            break;
        }
    }
    return b->first_view + b->last_view;
}

bool
pw_select_block_next(const struct pw_select *s, struct pw_select_cursor *cur,
                     struct pw_head_row *row)
{
    while (cur->block < s->block_count) {
        struct pw_select_block *b = &s->block[cur->block];
        struct pw_block_error err;
        int rc = 0;

        if (pw_call_stops(s->call)) { /* the next row may be behind a read of the bucket */
            return false;
        }
        if (cur->rows == NULL && b->series_matched > 0 &&
            (cur->rows = open_rows(s, b, s->plan.columns)) == NULL) {
            cur->block = s->block_count;
            return false;
        }
        if (cur->rows != NULL) {
            rc = pw_block_rows_next(cur->rows->rows, &b->row, &err);
        }
        if (rc < 0) {
            pw_call_block_failed(s->call, b->from->block, &err);
            cur->block = s->block_count;
            return false;
        }
        if (rc == 0) {
            if (cur->rows != NULL) {
                pw_call_let_go(cur->rows);
            }
            cur->rows = NULL;
            cur->block++;
            continue;
        }
        if (!b->series[b->row.series]) { /* switched off since the cursor was opened */
            continue;
        }
        *row = (struct pw_head_row){
            .time_ns = b->row.time_ns,
            .duration_ns = b->row.duration_ns,
            .period = b->row.period,
            .total = b->row.total,
            .series = b->row.series,
            .samples_count = b->row.samples_count,
        };
        memcpy(row->uuid, b->row.uuid, sizeof(row->uuid));
        cur->view = view_of(s, b);
        return true;
    }
    return false;
}

bool
pw_select_block_next_series(struct pw_select *s, struct pw_select_series_cursor *cur,
                            struct pw_head_series *series)
{
    for (; cur->block < s->block_count; cur->block++, cur->series = 0) {
        struct pw_select_block *b = &s->block[cur->block];

        for (; cur->series < b->series_count; cur->series++) {
            if (b->series[cur->series] && b->inside[cur->series]) {
                *series = b->label[cur->series];
                b->series[cur->series] = false;
                b->series_matched--;
                return true;
            }
        }
    }
    return false;
}

/* --- Views ---------------------------------------------------------------------------------- */

static int
add_view(struct pw_select *s, struct pw_select_block *b, const struct pw_block_symbols *symbols)
{
    struct pw_select_view *v = pw_select_add_view(s);

    if (v == NULL) {
        return pw_call_no_memory(s->call);
    }
    pw_source_of_block(&v->src, b->from, symbols, b->label, b->series_count);
    v->src.row = &b->row;
    v->series = b->series;
    v->series_matched = b->series_matched;
    b->views++;
    return 0;
}

/* A view for a partition that no row before was in. */
static int
add_partition(struct pw_select *s, struct pw_select_block *b, uint32_t *cap)
{
    struct pw_call_held *held = pw_call_hold(s->call);
    struct pw_block_error err;
    void *list = b->partition;

    if (held == NULL || !pw_arena_room(s->call->arena, &list, b->views, cap, sizeof(uint64_t))) {
        return pw_call_no_memory(s->call);
    }
    b->partition = list;
    b->partition[b->views] = b->row.partition;
    if (pw_block_symbols_open(b->from->block, b->row.partition, &held->symbols, &err) != 0) {
        held->symbols = NULL;
        return pw_call_block_failed(s->call, b->from->block, &err);
    }
    held->block = b->from->block;
    return add_view(s, b, held->symbols);
}

/* One view for every partition that a wanted row is in. */
static int
find_partitions(struct pw_select *s, struct pw_select_block *b)
{
    struct pw_call_held *rows = open_rows(s, b, 0);
    struct pw_block_error err;
    uint32_t cap = 0;
    int rc = rows == NULL ? PW_EINVAL : 0;

    while (rc == 0 && (rc = pw_block_rows_next(rows->rows, &b->row, &err)) > 0) {
        rc = pw_call_stops(s->call) ? PW_EINVAL : 0;
        if (rc == 0 &&
            (b->views == 0 || b->partition[view_of(s, b) - b->first_view] != b->row.partition)) {
            rc = add_partition(s, b, &cap);
        }
    }
    if (rows != NULL) {
        pw_call_let_go(rows);
    }
    if (rc < 0) {
        return s->call->code == PW_CONNECT_CODE_OK
                   ? pw_call_block_failed(s->call, b->from->block, &err)
                   : PW_EINVAL;
    }
    return 0;
}

static bool
overlaps(const struct pw_select *s, const struct pw_block_meta *m)
{
    /* Whole ms, inclusive: a row may lie anywhere in the last one. */
    return m->min_time_ms <= s->end_ns / NS_PER_MS && m->max_time_ms >= s->start_ns / NS_PER_MS - 1;
}

static bool
of_tenants(const struct pw_call *c, const struct pw_catalog_block *b)
{
    for (uint32_t i = 0; i < c->tenant_count; i++) {
        if (pw_slice_eq_str(c->tenant[i], b->tenant)) {
            return true;
        }
    }
    return false;
}

static int
open_block(struct pw_select *s, const struct pw_replica_block *in)
{
    const struct pw_catalog_block *from = in->from;
    struct pw_select_block *b = &s->block[s->block_count];
    struct pw_call_held *held = pw_call_hold(s->call);
    struct pw_block_error err;
    struct pw_block_stats st;
    int rc;

    if (held == NULL || pw_call_stops(s->call)) {
        return pw_call_no_memory(s->call);
    }
    if (pw_block_use(from->block, &err) != 0) {
        return pw_call_block_failed(s->call, from->block, &err);
    }
    held->used = from->block;
    pw_block_stats(from->block, &st);
    *b = (struct pw_select_block){
        .from = from, .origin = in->origin, .first_view = s->view_count, .series_count = st.series};
    if (match_series(s, b) != 0) {
        return PW_EINVAL;
    }
    if (b->series_matched == 0) {
        return 0;
    }
    rc = s->plan.stacks ? find_partitions(s, b) : add_view(s, b, NULL);
    s->block_count += rc == 0 && b->views > 0 ? 1 : 0;
    return rc;
}

/* What another appliance asks for is what it cannot see: the bucket it reads itself. */
static bool
is_read_here(const struct pw_select *s, const struct pw_catalog_block *b)
{
    return !(s->call->of_peer && b->remote) && of_tenants(s->call, b) &&
           overlaps(s, pw_block_meta(b->block));
}

int
pw_select_blocks_open(struct pw_select *s)
{
    const struct pw_catalog_view *from = s->call->sources;

    struct pw_replica_block *in =
        pw_arena_zalloc(s->call->arena, (size_t)from->blocks_count + 1, sizeof(*in));
    uint32_t count = 0;

    if (in == NULL) {
        return pw_call_no_memory(s->call);
    }
    for (uint32_t i = 0; i < from->blocks_count; i++) {
        if (is_read_here(s, from->block[i])) {
            in[count++].from = from->block[i];
        }
    }
    pw_replicas_order(s, in, count);
    s->block = pw_arena_zalloc(s->call->arena, (size_t)count + 1, sizeof(*s->block));
    if (s->block == NULL) {
        return pw_call_no_memory(s->call);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (open_block(s, &in[i]) != 0) {
            return PW_EINVAL;
        }
    }
    return 0;
}
