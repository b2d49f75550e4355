/* The order of things (block_writer.h, Errors): a temporary directory; symbols.symdb while rows are read
 * partition by partition, which also tells the rows that have a sample; profiles.parquet while they are
 * read series by series; index.tsdb, which needs the times of the series; meta.json, which needs the
 * sizes of all. Every file is synced, then the directory; the rename is what makes the block, and the
 * sync of the parent makes it last. */
#include "store/block/block_writer.h"

#include "store/block/meta.h"
#include "store/block/profile_table.h"
#include "store/block/row_order.h"
#include "store/block/row_samples.h"
#include "store/block/symdb_writer.h"
#include "store/block/tsdb_writer.h"

#include <stdio.h>
#include <stdlib.h>

enum { STOP_ROWS = 256, ZSTD_LEVEL = 1 };

static const char name_symbols[] = "symbols.symdb", name_profiles[] = "profiles.parquet",
                  name_index[] = "index.tsdb", name_meta[] = "meta.json", tmp_suffix[] = ".tmp";
static const char *const all_names[] = {name_symbols, name_profiles, name_index, name_meta};

struct writer {
    const struct pw_block_writer_cfg *cfg;
    const struct pw_block_source *src;
    const struct pw_fs *fs;
    struct pw_block_info *info;
    struct pw_block_error *err;
    char tmp[PW_FS_PATH_MAX], final[PW_FS_PATH_MAX];
    struct pw_block_out *out;
    struct pw_row_order order;
    struct pw_row_samples s;
    struct pw_tsdb_series *index; /* per written series */
    uint32_t row_groups;
};

static int
say(struct writer *w, int rc, const char *what)
{
    if (w->err->text[0] == 0) {
        pw_block_error_file(w->err, w->final, what, rc);
    }
    return rc;
}

static void
note_memory(struct writer *w, size_t step)
{
    size_t n = step + sizeof(*w->out) + pw_row_samples_memory(&w->s) +
               pw_row_order_memory(&w->order) + w->info->series * sizeof(*w->index);

    w->info->memory_peak = n > w->info->memory_peak ? n : w->info->memory_peak;
}

static int
read_samples(struct writer *w, const struct pw_block_in_row *row)
{
    int rc = pw_row_samples_read(&w->s, w->src, row);

    return rc != 0 ? say(w, rc, "samples of a row") : 0;
}

static bool
stopped(const struct writer *w)
{
    return w->cfg->stop != NULL && w->cfg->stop(w->cfg->stop_ctx);
}

/* --- symbols.symdb -------------------------------------------------------------------------------- */

/* Marks the stacks of the partition's rows, and drops rows without a sample from the order. */
static int
collect_stacks(struct writer *w, const struct pw_row_partition *p, struct pw_id_set *stacks)
{
    for (uint32_t i = p->series_first; i < p->series_first + p->series_count; i++) {
        struct pw_row_series *series = &w->order.series[w->order.by_partition[i]];
        uint32_t kept = 0;

        for (uint32_t r = 0; r < series->rows; r++) {
            uint32_t *slot = &w->order.row[series->first];
            struct pw_block_in_row row;
            int rc;

            if (r % STOP_ROWS == 0 && stopped(w)) {
                return say(w, PW_EAGAIN, "stopped");
            }
            w->src->row(w->src->ctx, slot[r], &row);
            rc = read_samples(w, &row);
            if (rc != 0) {
                return rc;
            }
            for (uint32_t k = 0; k < w->s.n; k++) {
                pw_id_set_add(stacks, w->s.in[k].stack);
            }
            slot[kept] = slot[r];
            kept += w->s.n != 0;
        }
        series->rows = kept;
    }
    return 0;
}

static int
write_partition(struct writer *w, struct pw_symdb_writer *symdb, struct pw_row_partition *p,
                struct pw_id_set *stacks)
{
    int rc;

    pw_id_set_clear(stacks);
    rc = collect_stacks(w, p, stacks);
    if (rc != 0) {
        return rc;
    }
    pw_id_set_freeze(stacks);
    if (stacks->count == 0) {
        return 0;
    }
    p->node = malloc(stacks->count * sizeof(*p->node));
    if (p->node == NULL || pw_id_set_copy(&p->stacks, stacks) != 0) {
        return say(w, PW_ENOMEM, "stacks");
    }
    w->info->stacks += stacks->count;
    w->info->partitions++;
    rc = pw_symdb_writer_partition(symdb, p->id, stacks, p->node);
    return rc != 0 ? say(w, rc, name_symbols) : w->out->rc;
}

static int
write_symbols(struct writer *w)
{
    struct pw_symdb_writer symdb;
    struct pw_id_set stacks;
    int rc;

    if (pw_id_set_init(&stacks, w->src->stacks_count) != 0) {
        return say(w, PW_ENOMEM, "stacks");
    }
    if (pw_symdb_writer_init(&symdb, w->src, w->out) != 0) {
        pw_id_set_fini(&stacks);
        return say(w, PW_ENOMEM, name_symbols);
    }
    pw_block_out_create(w->out, w->fs, w->tmp, name_symbols);
    rc = w->out->rc;
    for (uint32_t i = 0; i < w->order.partition_count && rc == 0; i++) {
        rc = write_partition(w, &symdb, &w->order.partition[i], &stacks);
    }
    if (rc == 0 && w->info->partitions == 0) {
        rc = say(w, PW_EINVAL, "no row has a sample");
    }
    if (rc == 0) {
        rc = pw_symdb_writer_finish(&symdb);
    }
    note_memory(w, symdb.memory_peak + pw_id_set_memory(&stacks));
    pw_symdb_writer_fini(&symdb);
    pw_id_set_fini(&stacks);
    return rc;
}

/* --- profiles.parquet ----------------------------------------------------------------------------- */

static int
write_row(struct writer *w, struct pw_profile_table *table, const struct pw_row_ref *ref,
          uint32_t series_index)
{
    struct pw_tsdb_series *index = &w->index[series_index];
    struct pw_profile_in in;
    struct pw_block_in_row row;
    int rc;

    w->src->row(w->src->ctx, ref->row, &row);
    rc = read_samples(w, &row);
    if (rc != 0) {
        return rc;
    }
    const struct pw_row_partition *p = &w->order.partition[w->order.series[row.series].partition];

    pw_row_samples_order(&w->s, w->src, p);
    in = (struct pw_profile_in){
        .partition = p->id,
        .time_ns = row.time_ns,
        .duration_ns = row.duration_ns,
        .period = row.period,
        .series = series_index,
        .samples_count = w->s.n,
        .stack = w->s.stack,
        .value = w->s.value,
        .span = w->s.has_span ? w->s.span : NULL,
    };
    memcpy(in.uuid, row.uuid, sizeof(in.uuid));
    pw_profile_table_row(table, &in);
    index->min_time_ns = row.time_ns < index->min_time_ns ? row.time_ns : index->min_time_ns;
    index->max_time_ns = row.time_ns > index->max_time_ns ? row.time_ns : index->max_time_ns;
    w->info->samples += w->s.n;
    return w->out->rc;
}

static int
write_series(struct writer *w, struct pw_profile_table *table, const struct pw_row_series *first,
             uint32_t from, uint32_t series_index)
{
    const struct pw_row_ref *ref;
    uint64_t n;
    int rc = pw_row_order_rows(&w->order, w->src, from, &ref, &n);

    if (rc != 0) {
        return say(w, rc, "rows of a series");
    }
    w->index[series_index] = (struct pw_tsdb_series){
        .label = first->label,
        .label_count = first->label_count,
        .fingerprint = first->fingerprint,
        .min_time_ns = INT64_MAX,
        .max_time_ns = INT64_MIN,
    };
    for (uint64_t i = 0; i < n && rc == 0; i++) {
        if (i % STOP_ROWS == 0) {
            note_memory(w, pw_profile_table_memory(table));
            if (stopped(w)) {
                return say(w, PW_EAGAIN, "stopped");
            }
        }
        rc = write_row(w, table, &ref[i], series_index);
    }
    return rc;
}

static int
write_rows(struct writer *w, struct pw_profile_table *table)
{
    uint32_t written = 0;
    int rc = 0;

    for (uint32_t i = 0; i < w->order.series_kept && rc == 0;) {
        rc = write_series(w, table, &w->order.series[w->order.by_labels[i]], i, written++);
        i = pw_row_order_next(&w->order, i);
    }
    w->info->series = written;
    return rc;
}

static int
write_profiles(struct writer *w)
{
    struct pw_profile_table_cfg cfg = {
        .codec = w->cfg->codec == PW_BLOCK_ZSTD ? PW_PARQUET_ZSTD : PW_PARQUET_UNCOMPRESSED,
        .level = ZSTD_LEVEL,
        .row_group_bytes =
            w->cfg->row_group_bytes != 0 ? w->cfg->row_group_bytes : PW_BLOCK_ROW_GROUP_BYTES,
        .row_group_rows = PW_BLOCK_ROW_GROUP_ROWS_MAX,
    };
    struct pw_profile_table *table = NULL;
    int rc;

    w->index = calloc(w->order.series_kept, sizeof(*w->index));
    pw_block_out_create(w->out, w->fs, w->tmp, name_profiles);
    if (w->out->rc != 0) {
        return w->out->rc;
    }
    if (w->index == NULL || pw_profile_table_create(&table, &cfg, w->out) != 0) {
        return say(w, PW_ENOMEM, name_profiles);
    }
    rc = write_rows(w, table);
    if (rc == 0) {
        rc = pw_profile_table_finish(table, &w->row_groups, &w->info->rows);
    }
    note_memory(w, pw_profile_table_memory(table));
    pw_profile_table_destroy(table);
    return rc;
}

/* --- index.tsdb, meta.json ------------------------------------------------------------------------ */

static int
write_index(struct writer *w)
{
    size_t memory = 0;
    int rc;

    pw_block_out_create(w->out, w->fs, w->tmp, name_index);
    rc = w->out->rc != 0 ? w->out->rc
                         : pw_tsdb_write(w->out, w->index, (uint32_t)w->info->series, &memory);
    note_memory(w, memory);
    return rc;
}

static void
span_of_time(struct writer *w)
{
    w->info->min_time_ns = INT64_MAX;
    w->info->max_time_ns = INT64_MIN;
    for (uint64_t i = 0; i < w->info->series; i++) {
        const struct pw_tsdb_series *s = &w->index[i];

        w->info->min_time_ns =
            s->min_time_ns < w->info->min_time_ns ? s->min_time_ns : w->info->min_time_ns;
        w->info->max_time_ns =
            s->max_time_ns > w->info->max_time_ns ? s->max_time_ns : w->info->max_time_ns;
    }
}

static void
add_file(struct pw_block_meta *m, const char *name, uint64_t bytes)
{
    struct pw_block_file *f = &m->file[m->file_count++];

    snprintf(f->rel_path, sizeof(f->rel_path), "%s", name);
    f->size_bytes = bytes;
    f->has_size = true;
}

static int
write_meta(struct writer *w)
{
    struct pw_block_meta *m = calloc(1, sizeof(*m));
    struct pw_ulid source = w->cfg->ulid;
    struct pw_text t;
    int rc = 0;

    if (m == NULL) {
        return say(w, PW_ENOMEM, name_meta);
    }
    span_of_time(w);
    *m = (struct pw_block_meta){
        .ulid = w->cfg->ulid,
        .min_time_ms = w->info->min_time_ns / 1000000,
        .max_time_ms = w->info->max_time_ns / 1000000,
        .samples = w->info->samples,
        .series = w->info->series,
        .profiles = w->info->rows,
        .version = 3,
        .level = 1,
        .source = &source,
        .source_count = 1,
        .origin = "ingester",
    };
    add_file(m, name_index, w->info->bytes_index); /* sorted by name */
    m->file[0].series = w->info->series;
    add_file(m, name_profiles, w->info->bytes_profiles);
    m->file[1].row_groups = w->row_groups;
    m->file[1].rows = w->info->rows;
    add_file(m, name_symbols, w->info->bytes_symbols);
    if (w->cfg->hostname != NULL) {
        m->label_count = 1;
        m->label[0].name = PW_SLICE_LIT("__hostname__");
        m->label[0].value = pw_slice_str(w->cfg->hostname);
    }
    pw_text_init(&t, PW_BLOCK_META_BYTES_MAX);
    pw_block_meta_print(m, &t);
    pw_block_out_create(w->out, w->fs, w->tmp, name_meta);
    if (t.failed) {
        rc = say(w, PW_ENOMEM, name_meta);
    } else {
        pw_block_out_put(w->out, t.ptr, t.len);
    }
    pw_text_fini(&t);
    free(m);
    return rc;
}

/* --- All of it ------------------------------------------------------------------------------------ */

/* Runs a step that creates and fills a file, and sees it to the disk. */
static int
file_step(struct writer *w, int (*step)(struct writer *), uint64_t *bytes)
{
    int rc = step(w);

    if (rc != 0 && w->out->rc == 0) {
        pw_block_out_abandon(w->out);
        return rc;
    }
    rc = pw_block_out_finish(w->out, w->err);
    *bytes = w->out->offset;
    return rc;
}

static int
write_files(struct writer *w)
{
    int rc = file_step(w, write_symbols, &w->info->bytes_symbols);

    if (rc == 0) {
        rc = pw_row_order_by_labels(&w->order);
        rc =
            rc != 0 ? say(w, rc, "series") : file_step(w, write_profiles, &w->info->bytes_profiles);
    }
    rc = rc != 0 ? rc : file_step(w, write_index, &w->info->bytes_index);
    return rc != 0 ? rc : file_step(w, write_meta, &w->info->bytes_meta);
}

/* From temporary directory to block. */
static int
publish(struct writer *w)
{
    int rc = w->fs->sync_dir(w->fs->ctx, w->tmp);

    if (rc != 0) {
        return say(w, rc, "sync of the directory");
    }
    rc = w->fs->rename(w->fs->ctx, w->tmp, w->final);
    if (rc != 0) {
        return say(w, rc, "rename");
    }
    rc = w->fs->sync_dir(w->fs->ctx, w->cfg->dir);
    if (rc == 0) {
        return 0;
    }
    /* Whole, but perhaps not to last: the caller keeps its head, so nobody may count the block too. */
    (void)w->fs->rename(w->fs->ctx, w->final, w->tmp);
    return say(w, rc, "sync of the parent directory");
}

static void
remove_tree(const struct pw_fs *fs, const char *dir)
{
    char path[PW_FS_PATH_MAX + 32];

    for (size_t i = 0; i < PW_ARRAY_LEN(all_names); i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, all_names[i]);
        (void)fs->unlink(fs->ctx, path);
    }
    (void)fs->rmdir(fs->ctx, dir);
}

static int
set_paths(struct writer *w)
{
    char ulid[PW_ULID_CHARS + 1];
    int n;

    pw_ulid_print(&w->cfg->ulid, ulid);
    n = snprintf(w->final, sizeof(w->final), "%s/%s", w->cfg->dir, ulid);
    if (n < 0 || (size_t)n + sizeof(tmp_suffix) + sizeof(name_profiles) > sizeof(w->tmp)) {
        return PW_EMSGSIZE;
    }
    memcpy(w->tmp, w->final, (size_t)n);
    memcpy(w->tmp + n, tmp_suffix, sizeof(tmp_suffix));
    return 0;
}

static int
run(struct writer *w)
{
    int rc = set_paths(w);

    if (rc != 0) {
        return say(w, rc, "path");
    }
    rc = pw_row_order_init(&w->order, w->src);
    if (rc != 0) {
        return say(w, rc, "rows");
    }
    rc = w->fs->mkdir(w->fs->ctx, w->tmp);
    if (rc != 0) {
        return say(w, rc, "make directory");
    }
    rc = write_files(w);
    rc = rc != 0 ? rc : publish(w);
    if (rc != 0) {
        remove_tree(w->fs, w->tmp);
    }
    return rc;
}

int
pw_block_write(const struct pw_block_writer_cfg *cfg, const struct pw_block_source *src,
               struct pw_block_info *info, struct pw_block_error *err)
{
    struct writer *w = calloc(1, sizeof(*w));
    int rc = PW_ENOMEM;

    *info = (struct pw_block_info){.ulid = cfg->ulid};
    err->text[0] = 0;
    if (w != NULL) {
        w->out = calloc(1, sizeof(*w->out));
        w->cfg = cfg;
        w->src = src;
        w->fs = cfg->fs != NULL ? cfg->fs : pw_fs_os();
        w->info = info;
        w->err = err;
    }
    if (w == NULL || w->out == NULL) {
        snprintf(err->text, sizeof(err->text), "%s: %s", cfg->dir, pw_err_text(rc));
    } else {
        w->out->fd = -1;
        rc = run(w);
    }
    if (w != NULL) {
        pw_row_order_fini(&w->order);
        free(w->index);
        pw_row_samples_fini(&w->s);
        free(w->out);
        free(w);
    }
    return rc;
}

/* --- Leftovers ------------------------------------------------------------------------------------ */

struct leftovers {
    const char *dir;
    const struct pw_fs *fs;
    struct pw_text names; /* of directories to remove, each with its NUL */
};

static void
note_leftover(void *arg, const char *name)
{
    struct leftovers *l = arg;
    struct pw_ulid u;

    if (strlen(name) == PW_ULID_CHARS + sizeof(tmp_suffix) - 1 &&
        strcmp(name + PW_ULID_CHARS, tmp_suffix) == 0 &&
        pw_ulid_parse(&u, pw_slice(name, PW_ULID_CHARS)) == 0) {
        pw_text_put(&l->names, name, strlen(name) + 1);
    }
}

int
pw_block_remove_leftovers(const char *dir, const struct pw_fs *fs, struct pw_block_error *err)
{
    enum { NAMES_BYTES_MAX = 16 << 20 };
    struct leftovers l = {.dir = dir, .fs = fs != NULL ? fs : pw_fs_os()};
    int removed = 0;
    int rc;

    pw_text_init(&l.names, NAMES_BYTES_MAX);
    rc = l.fs->list(l.fs->ctx, dir, note_leftover, &l);
    if (rc < 0) {
        pw_block_error_file(err, dir, "list", rc);
    }
    for (size_t at = 0; rc >= 0 && at < l.names.len;) {
        const char *name = (const char *)l.names.ptr + at;
        char path[PW_FS_PATH_MAX];

        at += strlen(name) + 1;
        if ((size_t)snprintf(path, sizeof(path), "%s/%s", dir, name) < sizeof(path)) {
            remove_tree(l.fs, path);
            removed++;
        }
    }
    pw_text_fini(&l.names);
    return rc < 0 ? rc : removed;
}
