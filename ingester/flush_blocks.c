#include "ingester/flush_blocks.h"

#include "ingester/head_source.h"

#include <stdio.h>
#include <stdlib.h>

/* --- Windows ------------------------------------------------------------------------------------ */

static int64_t
window_of(int64_t time_ns, int64_t window_ns)
{
    int64_t w = time_ns / window_ns;

    return time_ns % window_ns < 0 ? w - 1 : w; /* floor */
}

struct order {
    const struct pw_head_view *v;
    int64_t window_ns;
};

static int64_t
window_of_row(const struct order *o, uint64_t i)
{
    uint32_t series;
    int64_t time_ns;

    pw_head_row_peek(o->v, i, &series, &time_ns);
    return window_of(time_ns, o->window_ns);
}

static int
by_window(const void *a, const void *b, void *ctx)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    int64_t p = window_of_row(ctx, x), q = window_of_row(ctx, y);

    if (p != q) {
        return p < q ? -1 : 1;
    }
    return (x > y) - (x < y);
}

static bool
one_window(const struct order *o)
{
    int64_t first = window_of_row(o, 0);

    for (uint64_t i = 1; i < o->v->rows_count; i++) {
        if (window_of_row(o, i) != first) {
            return false;
        }
    }
    return true;
}

/* --- Writing ------------------------------------------------------------------------------------ */

static int
fail(struct pw_block_error *err, int rc, const char *what)
{
    snprintf(err->text, sizeof(err->text), "%s: %s", what, pw_err_text(rc));
    return rc;
}

static int
write_one(const struct pw_flush_blocks_cfg *cfg, const struct pw_head_source *s,
          struct pw_flush_blocks *out, struct pw_block_error *err)
{
    struct pw_block_writer_cfg w = cfg->writer;
    struct pw_block_source src;
    struct pw_block_info info;
    int rc = pw_ulid_make(&w.ulid, cfg->created_ns / 1000000);

    if (rc != 0) {
        return fail(err, rc, "ULID");
    }
    if (out->count == out->cap) {
        uint32_t cap = out->cap * 2 + 4;
        struct pw_ulid *grown = realloc(out->ulid, cap * sizeof(*grown));

        if (grown == NULL) {
            return fail(err, PW_ENOMEM, "list of blocks");
        }
        out->ulid = grown;
        out->cap = cap;
    }
    pw_head_source_describe(s, &src);
    rc = cfg->store->write(&w, &src, &info, err);
    if (rc != 0) {
        return rc;
    }
    out->ulid[out->count++] = w.ulid;
    out->rows += info.rows;
    out->bytes += info.bytes_meta + info.bytes_index + info.bytes_profiles + info.bytes_symbols;
    out->memory_peak = info.memory_peak > out->memory_peak ? info.memory_peak : out->memory_peak;
    return 0;
}

static int
write_windows(const struct pw_flush_blocks_cfg *cfg, struct pw_head_source *s,
              const struct order *o, struct pw_flush_blocks *out, struct pw_block_error *err)
{
    uint64_t rows = s->v.rows_count;
    uint32_t *row = malloc(rows * sizeof(*row));
    int rc = row == NULL ? fail(err, PW_ENOMEM, "rows by window") : 0;

    for (uint64_t i = 0; row != NULL && i < rows; i++) {
        row[i] = (uint32_t)i;
    }
    if (row != NULL) {
        qsort_r(row, rows, sizeof(*row), by_window, (void *)(uintptr_t)o);
    }
    for (uint64_t i = 0; rc == 0 && i < rows;) {
        uint64_t end = i + 1;

        while (end < rows && window_of_row(o, row[end]) == window_of_row(o, row[i])) {
            end++;
        }
        s->row = row + i;
        s->rows = end - i;
        rc = write_one(cfg, s, out, err);
        i = end;
    }
    free(row);
    return rc;
}

int
pw_flush_blocks_write(const struct pw_flush_blocks_cfg *cfg, const struct pw_head_view *v,
                      struct pw_flush_blocks *out, struct pw_block_error *err)
{
    const struct order o = {.v = v, .window_ns = cfg->window_ns};
    struct pw_head_source s = {.v = *v, .rows = v->rows_count};
    uint64_t *partition = pw_head_source_partitions(v);
    int rc;

    if (partition == NULL) {
        return fail(err, PW_ENOMEM, "partitions");
    }
    s.partition = partition;
    rc = one_window(&o) ? write_one(cfg, &s, out, err) : write_windows(cfg, &s, &o, out, err);
    free(partition);
    return rc;
}

void
pw_flush_blocks_fini(struct pw_flush_blocks *b)
{
    free(b->ulid);
    *b = (struct pw_flush_blocks){0};
}
