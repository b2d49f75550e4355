/* The cursor over rows: finds those that are wanted by two columns, SeriesIndex and TimeNanos, and only
 * then loads the page of each other column that the row is in. */
#include "store/block/block_priv.h"

#include "store/block/profile_schema.h"

#include <stdlib.h>

enum slot { /* columns a cursor reads */
            S_SERIES,
            S_TIME,
            S_PARTITION,
            S_TOTAL,
            S_UUID,
            S_STACK,
            S_VALUE,
            S_SPAN,
            S_TRACE,
            S_DURATION,
            S_PERIOD,
            SLOTS,
};

struct slot_form {
    enum pw_profile_leaf leaf;
    uint32_t columns; /* enum pw_block_column that ask for it; 0: always read */
    bool optional;    /* a file may lack it: then it reads as null */
};

static const struct slot_form forms[SLOTS] = {
    [S_SERIES] = {PW_PROFILE_SERIES_INDEX, 0, false},
    [S_TIME] = {PW_PROFILE_TIME, 0, false},
    [S_PARTITION] = {PW_PROFILE_PARTITION, 0, false},
    [S_TOTAL] = {PW_PROFILE_TOTAL, PW_BLOCK_COL_TOTAL, false},
    [S_UUID] = {PW_PROFILE_ID, PW_BLOCK_COL_UUID, true},
    [S_STACK] = {PW_PROFILE_STACK, PW_BLOCK_COL_SAMPLES, false},
    [S_VALUE] = {PW_PROFILE_VALUE, PW_BLOCK_COL_SAMPLES, false},
    [S_SPAN] = {PW_PROFILE_SPAN, PW_BLOCK_COL_SPANS, true},
    [S_TRACE] = {PW_PROFILE_TRACE, PW_BLOCK_COL_TRACES, true},
    [S_DURATION] = {PW_PROFILE_DURATION, PW_BLOCK_COL_DURATION, true},
    [S_PERIOD] = {PW_PROFILE_PERIOD, PW_BLOCK_COL_DURATION, true},
};

struct pw_block_cursor {
    const struct pw_block *block;
    struct pw_block_query query;
    int leaf[SLOTS]; /* -1: not read */
    struct pw_parquet_column column[SLOTS];
    uint32_t group;
    bool group_open;
    uint64_t row;    /* of the group: the next one to look at */
    uint32_t *stack; /* of the stack page at hand, narrowed */
    uint32_t stack_cap;
    uint64_t stack_page;      /* pages_decoded when it was */
    uint64_t pruned, decoded; /* of groups done with */
};

/* --- Opening -------------------------------------------------------------------------------------- */

static int
find_leaves(struct pw_block_cursor *c, struct pw_block_error *err)
{
    const struct pw_parquet_file *f = &c->block->profiles;

    for (uint32_t s = 0; s < SLOTS; s++) {
        const struct pw_profile_leaf_spec *spec = &pw_profile_leaf[forms[s].leaf];
        const struct pw_parquet_leaf *leaf;

        c->leaf[s] = -1;
        if (forms[s].columns != 0 && (c->query.columns & forms[s].columns) == 0) {
            continue;
        }
        c->leaf[s] = pw_parquet_find_leaf(f, spec->path);
        if (c->leaf[s] < 0) {
            if (forms[s].optional) {
                continue;
            }
            return pw_parquet_error(err, f, PW_ENOTSUP, 0, "no column %s", spec->path);
        }
        leaf = &f->leaf[c->leaf[s]];
        if (leaf->type != spec->element->type || leaf->max_rep != spec->max_rep ||
            leaf->max_def > spec->max_def) {
            return pw_parquet_error(err, f, PW_EINVAL, 0, "column %s has another type", spec->path);
        }
    }
    return 0;
}

/* One more or less. Under the lock, so that no page goes that the next cursor has found there. */
static void
count_cursor(const struct pw_block *cb, int more)
{
    struct pw_block *b = (struct pw_block *)(uintptr_t)cb;

    pthread_mutex_lock(&b->lock);
    b->cursors = (uint32_t)((int64_t)b->cursors + more);
    if (b->cursors == 0 && b->files != NULL && b->files->rest != NULL) {
        b->files->rest(b->files->ctx, b->file[PW_BLOCK_FILE_PROFILES]);
    }
    pthread_mutex_unlock(&b->lock);
}

int
pw_block_rows_open(struct pw_block_cursor **out, const struct pw_block *b,
                   const struct pw_block_query *q, struct pw_block_error *err)
{
    struct pw_block_cursor *c = calloc(1, sizeof(*c));
    int rc;

    if (c == NULL) {
        return PW_ENOMEM;
    }
    c->block = b;
    c->query = *q;
    if ((q->columns & (PW_BLOCK_COL_SPANS | PW_BLOCK_COL_TRACES)) != 0) {
        c->query.columns |= PW_BLOCK_COL_SAMPLES;
    }
    rc = find_leaves(c, err);
    if (rc != 0) {
        free(c);
        return rc;
    }
    count_cursor(b, 1);
    *out = c;
    return 0;
}

static void
close_group(struct pw_block_cursor *c)
{
    for (uint32_t s = 0; s < SLOTS; s++) {
        c->decoded += c->column[s].pages_decoded;
        pw_parquet_column_close(&c->column[s]);
        c->column[s].pages_decoded = 0;
    }
    c->group_open = false;
    c->row = 0;
    c->stack_page = 0;
}

static int
open_group(struct pw_block_cursor *c, struct pw_block_error *err)
{
    for (uint32_t s = 0; s < SLOTS; s++) {
        int rc;

        if (c->leaf[s] < 0) {
            continue;
        }
        rc = pw_parquet_column_open(&c->column[s], &c->block->profiles, c->group,
                                    (uint32_t)c->leaf[s], s == S_SERIES || s == S_TIME, err);
        if (rc != 0) {
            return rc;
        }
    }
    c->group_open = true;
    c->row = 0;
    c->stack_page = 0;
    return 0;
}

void
pw_block_rows_pages(const struct pw_block_cursor *c, uint64_t *decoded, uint64_t *pruned)
{
    *decoded = c->decoded;
    *pruned = c->pruned;
    for (uint32_t s = 0; s < SLOTS; s++) {
        *decoded += c->column[s].pages_decoded;
    }
}

void
pw_block_rows_close(struct pw_block_cursor *c)
{
    const struct pw_block *b = c->block;

    close_group(c);
    free(c->stack);
    free(c);
    count_cursor(b, -1);
}

/* --- Which rows ------------------------------------------------------------------------------------ */

static bool
wants_series(const struct pw_block_cursor *c, int64_t series)
{
    return series < c->block->tsdb.series &&
           (c->query.series == NULL || (c->query.series[series / 64] >> (series % 64) & 1) != 0);
}

static bool
wants_any_series(const struct pw_block_cursor *c, int64_t min, int64_t max)
{
    int64_t last = (int64_t)c->block->tsdb.series - 1;

    min = min < 0 ? 0 : min;
    max = max > last ? last : max;
    if (min > max || c->query.series == NULL) {
        return min <= max;
    }
    for (int64_t w = min / 64; w <= max / 64; w++) {
        uint64_t bits = c->query.series[w];

        if (w == min / 64) {
            bits &= UINT64_MAX << (min % 64);
        }
        if (w == max / 64) {
            bits &= UINT64_MAX >> (63 - max % 64);
        }
        if (bits != 0) {
            return true;
        }
    }
    return false;
}

/* If the page that the row is in holds nothing wanted: where it ends. Else the row. */
static uint64_t
pass_over(struct pw_block_cursor *c, enum slot s)
{
    const struct pw_parquet_column *col = &c->column[s];
    uint32_t page;
    const struct pw_parquet_page_place *p;
    bool wanted;

    if (col->page_index < col->page_count && c->row >= col->first_row && c->row < col->end_row) {
        return c->row; /* decoded already: it was wanted */
    }
    page = pw_parquet_column_page_of(col, c->row);
    p = &col->page[page];
    wanted = !p->has_bounds ||
             (s == S_SERIES ? wants_any_series(c, p->min, p->max)
                            : p->min <= c->query.max_time_ns && p->max >= c->query.min_time_ns);
    if (wanted) {
        return c->row;
    }
    c->pruned++;
    return pw_parquet_column_page_end(col, page);
}

static int64_t
int_at(const struct pw_block_cursor *c, enum slot s)
{
    uint32_t from, end;

    pw_parquet_column_row(&c->column[s], c->row, &from, &end);
    return c->column[s].values.ints[from];
}

/* Moves to the next wanted row of the group: 1 found, 0 none. */
static int
find_row(struct pw_block_cursor *c, struct pw_block_error *err)
{
    while (c->row < c->column[S_SERIES].rows) {
        uint64_t next = pass_over(c, S_SERIES);
        int rc;

        next = next == c->row ? pass_over(c, S_TIME) : next;
        if (next != c->row) {
            c->row = next;
            continue;
        }
        rc = pw_parquet_column_load(&c->column[S_SERIES], c->row, err);
        if (rc != 0) {
            return rc;
        }
        if (wants_series(c, (uint32_t)int_at(c, S_SERIES))) {
            int64_t time;

            rc = pw_parquet_column_load(&c->column[S_TIME], c->row, err);
            if (rc != 0) {
                return rc;
            }
            time = int_at(c, S_TIME);
            if (time >= c->query.min_time_ns && time <= c->query.max_time_ns) {
                return 1;
            }
        }
        c->row++;
    }
    return 0;
}

/* --- A row ----------------------------------------------------------------------------------------- */

/* Stack ids are 64 bits in the file and 32 here: the whole page at once, when it was decoded. */
static int
narrow_stacks(struct pw_block_cursor *c, struct pw_block_error *err)
{
    const struct pw_parquet_column *col = &c->column[S_STACK];
    uint64_t all = 0;

    if (c->stack_page == col->pages_decoded) {
        return 0;
    }
    if (col->values.count > c->stack_cap) {
        free(c->stack);
        c->stack_cap = 0;
        c->stack = malloc(col->values.count * sizeof(*c->stack));
        if (c->stack == NULL) {
            return PW_ENOMEM;
        }
        c->stack_cap = col->values.count;
    }
    for (uint32_t i = 0; i < col->values.count; i++) {
        all |= (uint64_t)col->values.ints[i];
        c->stack[i] = (uint32_t)col->values.ints[i];
    }
    if (all > UINT32_MAX) {
        return pw_parquet_error(err, col->file, PW_EINVAL, col->page[col->page_index].offset,
                                "a stack id above 32 bits");
    }
    c->stack_page = col->pages_decoded;
    return 0;
}

static int
fill_samples(struct pw_block_cursor *c, struct pw_block_row *row, struct pw_block_error *err)
{
    struct pw_parquet_column *value = &c->column[S_VALUE], *span = &c->column[S_SPAN],
                             *trace = &c->column[S_TRACE];
    uint32_t from, end, from_value, end_value, from_span = 0, end_span = 0, from_trace = 0,
                                               end_trace = 0;
    int rc = narrow_stacks(c, err);

    if (rc != 0) {
        return rc;
    }
    pw_parquet_column_row(&c->column[S_STACK], c->row, &from, &end);
    pw_parquet_column_row(value, c->row, &from_value, &end_value);
    row->samples_count = end - from;
    if (c->leaf[S_SPAN] >= 0) {
        pw_parquet_column_row(span, c->row, &from_span, &end_span);
    }
    if (c->leaf[S_TRACE] >= 0) {
        pw_parquet_column_row(trace, c->row, &from_trace, &end_trace);
    }
    if (end_value - from_value != row->samples_count ||
        row->samples_count > PW_BLOCK_ROW_SAMPLES_MAX ||
        (c->leaf[S_SPAN] >= 0 && end_span - from_span != row->samples_count) ||
        (c->leaf[S_TRACE] >= 0 && end_trace - from_trace != row->samples_count)) {
        return pw_parquet_error(err, &c->block->profiles, PW_EINVAL,
                                value->page[value->page_index].offset,
                                "columns of samples disagree in row %llu of group %u",
                                (unsigned long long)c->row, c->group);
    }
    if (row->samples_count != 0) {
        row->stack = c->stack + from;
        row->value = value->values.ints + from_value;
        if (c->leaf[S_SPAN] >= 0 && span->any_value) {
            row->span = (const uint8_t(*)[8])(const void *)(span->values.ints + from_span);
        }
        if (c->leaf[S_TRACE] >= 0 && trace->any_value) {
            row->trace = (const uint8_t(*)[16])(const void *)(trace->values.flba + from_trace);
        }
    }
    return 0;
}

static int
fill_row(struct pw_block_cursor *c, struct pw_block_row *row, struct pw_block_error *err)
{
    for (uint32_t s = S_PARTITION; s < SLOTS; s++) {
        int rc = c->leaf[s] < 0 ? 0 : pw_parquet_column_load(&c->column[s], c->row, err);

        if (rc != 0) {
            return rc;
        }
    }
    *row = (struct pw_block_row){
        .time_ns = int_at(c, S_TIME),
        .series = (uint32_t)int_at(c, S_SERIES),
        .partition = (uint64_t)int_at(c, S_PARTITION),
        .total = c->leaf[S_TOTAL] >= 0 ? int_at(c, S_TOTAL) : 0,
        .duration_ns = c->leaf[S_DURATION] >= 0 ? int_at(c, S_DURATION) : 0,
        .period = c->leaf[S_PERIOD] >= 0 ? int_at(c, S_PERIOD) : 0,
    };
    if (c->leaf[S_UUID] >= 0) {
        uint32_t from, end;

        pw_parquet_column_row(&c->column[S_UUID], c->row, &from, &end);
        memcpy(row->uuid, c->column[S_UUID].values.flba[from], sizeof(row->uuid));
    }
    return c->leaf[S_STACK] >= 0 ? fill_samples(c, row, err) : 0;
}

static int
next_row(struct pw_block_cursor *c, struct pw_block_row *row, struct pw_block_error *err)
{
    while (c->group < c->block->profiles.group_count) {
        int rc = c->group_open ? 0 : open_group(c, err);

        rc = rc != 0 ? rc : find_row(c, err);
        if (rc > 0) {
            rc = fill_row(c, row, err);
            c->row++;
            return rc != 0 ? rc : 1;
        }
        if (rc < 0) {
            return rc;
        }
        close_group(c);
        c->group++;
    }
    return 0;
}

int
pw_block_rows_next(struct pw_block_cursor *c, struct pw_block_row *row, struct pw_block_error *err)
{
    int rc = next_row(c, row, err);

    if (rc < 0) { /* and nothing more after that */
        close_group(c);
        c->group = UINT32_MAX;
    }
    return rc;
}
