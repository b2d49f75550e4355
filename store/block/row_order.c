#include "store/block/row_order.h"

#include "base/check.h"

#include <stdlib.h>

/* --- Rows by series: a counting sort, which keeps the order of arrival ------------------------------ */

static void
place_rows(struct pw_row_order *o, const struct pw_block_source *src)
{
    uint32_t series, at = 0;
    int64_t time;

    for (uint64_t i = 0; i < src->rows_count; i++) {
        src->row_peek(src->ctx, i, &series, &time);
        o->series[series].rows++;
    }
    for (uint32_t i = 0; i < o->series_count; i++) {
        o->series[i].first = at;
        at += o->series[i].rows;
        o->series[i].rows = 0;
    }
    for (uint64_t i = 0; i < src->rows_count; i++) {
        struct pw_row_series *s;

        src->row_peek(src->ctx, i, &series, &time);
        s = &o->series[series];
        o->row[s->first + s->rows++] = (uint32_t)i;
    }
}

/* --- Series by partition --------------------------------------------------------------------------- */

static int
compare_partitions(const void *pa, const void *pb, void *arg)
{
    const struct pw_row_series *series = (const struct pw_row_series *)arg;
    uint32_t ia = *(const uint32_t *)pa, ib = *(const uint32_t *)pb;
    uint64_t a = series[ia].partition_id, b = series[ib].partition_id;

    return a != b ? (a > b) - (a < b) : (ia > ib) - (ia < ib);
}

static int
find_partitions(struct pw_row_order *o)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < o->series_count; i++) {
        o->by_partition[i] = i;
    }
    qsort_r(o->by_partition, o->series_count, sizeof(*o->by_partition), compare_partitions,
            o->series);
    for (uint32_t i = 0; i < o->series_count; i++) {
        uint64_t id = o->series[o->by_partition[i]].partition_id;

        n += i == 0 || id != o->series[o->by_partition[i - 1]].partition_id;
    }
    o->partition = calloc(n + 1UL, sizeof(*o->partition));
    if (o->partition == NULL) {
        return PW_ENOMEM;
    }
    for (uint32_t i = 0; i < o->series_count; i++) {
        struct pw_row_series *s = &o->series[o->by_partition[i]];

        if (i == 0 || s->partition_id != o->partition[o->partition_count - 1].id) {
            o->partition[o->partition_count++] =
                (struct pw_row_partition){.id = s->partition_id, .series_first = i};
        }
        s->partition = o->partition_count - 1;
        o->partition[s->partition].series_count++;
    }
    PW_INVARIANT(o->partition_count == n);
    return 0;
}

int
pw_row_order_init(struct pw_row_order *o, const struct pw_block_source *src)
{
    *o = (struct pw_row_order){.series_count = src->series_count};
    if (src->rows_count >= UINT32_MAX) {
        return PW_ERANGE;
    }
    o->rows_count = (uint32_t)src->rows_count;
    o->series = calloc(o->series_count + 1UL, sizeof(*o->series));
    o->row = malloc((src->rows_count + 1) * sizeof(*o->row));
    o->by_partition = malloc((o->series_count + 1UL) * sizeof(*o->by_partition));
    o->by_labels = malloc((o->series_count + 1UL) * sizeof(*o->by_labels));
    if (o->series == NULL || o->row == NULL || o->by_partition == NULL || o->by_labels == NULL) {
        return PW_ENOMEM;
    }
    for (uint32_t i = 0; i < o->series_count; i++) {
        struct pw_block_in_series in;

        src->series(src->ctx, i, &in);
        o->series[i] = (struct pw_row_series){
            .label = in.label,
            .label_count = in.label_count,
            .fingerprint = in.fingerprint,
            .partition_id = in.partition,
        };
    }
    place_rows(o, src);
    return find_partitions(o);
}

void
pw_row_order_fini(struct pw_row_order *o)
{
    for (uint32_t i = 0; i < o->partition_count; i++) {
        pw_id_set_fini(&o->partition[i].stacks);
        free(o->partition[i].node);
    }
    free(o->series);
    free(o->row);
    free(o->by_partition);
    free(o->partition);
    free(o->by_labels);
    free(o->ref);
    *o = (struct pw_row_order){0};
}

size_t
pw_row_order_memory(const struct pw_row_order *o)
{
    size_t n = o->series_count * (sizeof(*o->series) + 2 * sizeof(uint32_t)) +
               o->rows_count * sizeof(*o->row) + o->ref_cap * sizeof(*o->ref) +
               o->partition_count * sizeof(*o->partition);

    for (uint32_t i = 0; i < o->partition_count; i++) {
        n += pw_id_set_memory(&o->partition[i].stacks) +
             o->partition[i].stacks.count * sizeof(*o->partition[i].node);
    }
    return n;
}

/* --- Series by labels (storage.md 0.2) ------------------------------------------------------------- */

static int
compare_label_sets(const struct pw_row_series *a, const struct pw_row_series *b)
{
    return pw_label_pairs_cmp(a->label, a->label_count, b->label, b->label_count);
}

static int
compare_series(const void *pa, const void *pb, void *arg)
{
    const struct pw_row_series *series = (const struct pw_row_series *)arg;
    uint32_t a = *(const uint32_t *)pa, b = *(const uint32_t *)pb;
    int c = compare_label_sets(&series[a], &series[b]);

    return c != 0 ? c : (a > b) - (a < b);
}

int
pw_row_order_by_labels(struct pw_row_order *o)
{
    o->series_kept = 0;
    for (uint32_t i = 0; i < o->series_count; i++) {
        if (o->series[i].rows != 0) {
            o->by_labels[o->series_kept++] = i;
        }
    }
    qsort_r(o->by_labels, o->series_kept, sizeof(*o->by_labels), compare_series, o->series);
    return 0;
}

uint32_t
pw_row_order_next(const struct pw_row_order *o, uint32_t from)
{
    uint32_t i = from + 1;

    while (i < o->series_kept &&
           compare_label_sets(&o->series[o->by_labels[from]], &o->series[o->by_labels[i]]) == 0) {
        i++;
    }
    return i;
}

/* --- Rows of a series ------------------------------------------------------------------------------- */

static int
compare_refs(const void *pa, const void *pb, void *arg)
{
    const struct pw_row_ref *a = (const struct pw_row_ref *)pa, *b = (const struct pw_row_ref *)pb;
    const struct pw_block_source *src = (const struct pw_block_source *)arg;
    struct pw_block_in_row ra, rb;
    int c;

    if (a->time_ns != b->time_ns) {
        return a->time_ns < b->time_ns ? -1 : 1;
    }
    src->row(src->ctx, a->row, &ra);
    src->row(src->ctx, b->row, &rb);
    c = memcmp(ra.uuid, rb.uuid, sizeof(ra.uuid));
    return c != 0 ? c : (a->row > b->row) - (a->row < b->row);
}

int
pw_row_order_rows(struct pw_row_order *o, const struct pw_block_source *src, uint32_t from,
                  const struct pw_row_ref **ref, uint64_t *n)
{
    uint32_t end = pw_row_order_next(o, from);
    uint64_t rows = 0;
    bool ordered = true;

    for (uint32_t i = from; i < end; i++) {
        rows += o->series[o->by_labels[i]].rows;
    }
    if (rows > o->ref_cap) {
        free(o->ref);
        o->ref_cap = 0;
        o->ref = malloc(rows * sizeof(*o->ref));
        if (o->ref == NULL) {
            return PW_ENOMEM;
        }
        o->ref_cap = rows;
    }
    *n = 0;
    for (uint32_t i = from; i < end; i++) {
        const struct pw_row_series *s = &o->series[o->by_labels[i]];

        for (uint32_t r = 0; r < s->rows; r++) {
            struct pw_row_ref *at = &o->ref[*n];
            uint32_t series;

            at->row = o->row[s->first + r];
            src->row_peek(src->ctx, at->row, &series, &at->time_ns);
            ordered = ordered && (*n == 0 || at[-1].time_ns < at->time_ns);
            (*n)++;
        }
    }
    if (!ordered) {
        qsort_r(o->ref, rows, sizeof(*o->ref), compare_refs, (void *)(uintptr_t)src);
    }
    *ref = o->ref;
    return 0;
}
