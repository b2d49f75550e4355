#include "tests/store/block_read_all.h"

#include "base/check.h"
#include "base/hash.h"

#include <stdlib.h>

enum { DEPTH_MAX = 512, PARTITIONS_MAX = 64, STACKS_MAX = 1 << 16 };

static void
add(struct block_sum *s, struct pw_slice text)
{
    s->hash = pw_hash_mix(s->hash, pw_xxh64(text.ptr, text.len));
}

static void
keep(int *first, int rc)
{
    *first = *first != 0 ? *first : rc;
}

static int
read_series(const struct pw_block *b, struct block_sum *sum, struct pw_block_error *err)
{
    struct pw_block_series *s = malloc(sizeof(*s));
    struct pw_block_stats st;
    uint32_t ids[16], count, values;
    struct pw_slice name, value;
    int first = 0;

    PW_INVARIANT(s != NULL);
    pw_block_stats(b, &st);
    for (uint32_t i = 0; i < st.series; i++) {
        int rc = pw_block_series_at(b, i, s, err);

        keep(&first, rc);
        for (uint32_t k = 0; rc == 0 && k < s->label_count; k++) {
            add(sum, s->label[k].name);
            add(sum, s->label[k].value);
            sum->labels++;
        }
    }
    for (uint32_t i = 0; pw_block_label_name(b, i, &name, &values); i++) {
        for (uint32_t v = 0; v < values; v++) {
            PW_INVARIANT(pw_block_label_value(b, i, v, &value));
            add(sum, value);
            keep(&first, pw_block_postings(b, name, value, ids, PW_ARRAY_LEN(ids), &count, err));
        }
    }
    free(s);
    return first;
}

static void
read_frames(const struct pw_block_symbols *s, uint32_t location, struct block_sum *sum)
{
    struct pw_block_location l;
    struct pw_block_mapping m;

    pw_block_location(s, location, &l);
    pw_block_mapping(s, l.mapping, &m);
    add(sum, pw_block_string(s, m.filename));
    for (uint32_t i = 0; i < l.line_count; i++) {
        struct pw_block_function f;

        pw_block_function(s, l.line[i].function, &f);
        add(sum, pw_block_string(s, f.name));
        add(sum, pw_block_string(s, f.filename));
        sum->frames++;
    }
}

static int
read_partition(const struct pw_block *b, uint64_t partition, struct block_sum *sum,
               struct pw_block_error *err)
{
    const struct pw_block_symbols *s;
    uint32_t loc[DEPTH_MAX];
    int rc = pw_block_symbols_open(b, partition, &s, err);

    if (rc != 0) {
        return rc;
    }
    for (uint32_t i = 0; i < s->stacks_count && i < STACKS_MAX; i++) {
        uint32_t depth = pw_block_stack(s, i, loc, DEPTH_MAX);

        for (uint32_t k = 0; k < depth && k < 2; k++) {
            read_frames(s, loc[k], sum);
        }
    }
    pw_block_symbols_close(b, s);
    return 0;
}

static int
read_rows(const struct pw_block *b, uint64_t rows_max, uint64_t *partition, uint32_t *partitions,
          struct block_sum *sum, struct pw_block_error *err)
{
    struct pw_block_query q = {
        .min_time_ns = INT64_MIN, .max_time_ns = INT64_MAX, .columns = UINT32_MAX};
    struct pw_block_cursor *c;
    struct pw_block_row row;
    int rc = pw_block_rows_open(&c, b, &q, err);

    if (rc != 0) {
        return rc;
    }
    while (sum->rows < rows_max && (rc = pw_block_rows_next(c, &row, err)) == 1) {
        uint32_t i = 0;

        sum->rows++;
        sum->samples += row.samples_count;
        sum->hash = pw_hash_mix(sum->hash, (uint64_t)row.time_ns);
        add(sum, pw_slice(row.uuid, sizeof(row.uuid)));
        if (row.samples_count != 0) {
            add(sum, pw_slice(row.stack, row.samples_count * sizeof(*row.stack)));
            add(sum, pw_slice(row.value, row.samples_count * sizeof(*row.value)));
        }
        if (row.span != NULL) {
            add(sum, pw_slice(row.span, row.samples_count * sizeof(*row.span)));
        }
        if (row.trace != NULL) {
            add(sum, pw_slice(row.trace, row.samples_count * sizeof(*row.trace)));
        }
        while (i < *partitions && partition[i] != row.partition) {
            i++;
        }
        if (i == *partitions && i < PARTITIONS_MAX) {
            partition[(*partitions)++] = row.partition;
        }
    }
    pw_block_rows_close(c);
    return rc < 0 ? rc : 0;
}

int
block_read_all(const struct pw_block *b, uint64_t rows_max, struct block_sum *sum,
               struct pw_block_error *err)
{
    uint64_t partition[PARTITIONS_MAX];
    uint32_t partitions = 0;
    int first;

    *sum = (struct block_sum){0};
    first = read_series(b, sum, err);
    keep(&first, read_rows(b, rows_max, partition, &partitions, sum, err));
    for (uint32_t i = 0; i < partitions; i++) {
        keep(&first, read_partition(b, partition[i], sum, err));
    }
    return first;
}
