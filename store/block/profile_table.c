#include "store/block/profile_table.h"

#include "store/block/delta.h"
#include "store/block/dictionary_column.h"
#include "store/block/parquet_footer.h"

#include <stdlib.h>

enum { PAGE_VALUES_BYTES_MAX = 1 << 30 };

/* Values a row of the columns with one value a row. */
struct row_page {
    uint8_t uuid[PW_PROFILE_PAGE_ROWS][PW_PARQUET_FLBA_BYTES];
    int64_t series[PW_PROFILE_PAGE_ROWS], partition[PW_PROFILE_PAGE_ROWS];
    int64_t total[PW_PROFILE_PAGE_ROWS], time[PW_PROFILE_PAGE_ROWS];
    int64_t duration[PW_PROFILE_PAGE_ROWS], period[PW_PROFILE_PAGE_ROWS];
    uint32_t rows;
    uint64_t first_row;
};

struct sample_page {
    struct pw_text stack, value; /* int64_t each */
    struct pw_text rep1, rep2;   /* repetition levels of width 1 and 2: same runs */
    struct pw_rle rep1_rle, rep2_rle;
    struct pw_dictionary_column span, trace;
    uint64_t samples, rows, first_row;
};

struct pw_profile_table {
    struct pw_profile_table_cfg cfg;
    struct pw_block_out *out;
    struct pw_parquet_codec_state codec;
    struct pw_parquet_footer footer;
    struct pw_parquet_chunk chunk[PW_PROFILE_LEAVES];
    struct pw_text encoded, def; /* of the page being finished */
    struct sample_page sample;
    uint64_t group_rows, group_offset;
    int rc;
    struct row_page row;
};

static void
fail(struct pw_profile_table *t, int rc)
{
    if (t->rc == 0) {
        t->rc = rc;
    }
}

/* --- Columns of samples --------------------------------------------------------------------------- */

static void
sample_page_begin(struct sample_page *p, uint64_t first_row)
{
    p->stack.len = p->value.len = p->rep1.len = p->rep2.len = 0;
    p->samples = p->rows = 0;
    p->first_row = first_row;
    pw_rle_begin(&p->rep1_rle, &p->rep1, 1);
    pw_rle_begin(&p->rep2_rle, &p->rep2, 2);
    pw_dictionary_column_page_begin(&p->span);
    pw_dictionary_column_page_begin(&p->trace);
}

static void
put_page(struct pw_profile_table *t, enum pw_profile_leaf leaf, struct pw_parquet_page_in *in)
{
    in->values = pw_slice(t->encoded.ptr, t->encoded.len);
    pw_parquet_chunk_page(&t->chunk[leaf], &t->codec, in);
}

/* n definition levels that are all the same. */
static struct pw_slice
def_all(struct pw_profile_table *t, enum pw_profile_leaf leaf, uint32_t level, uint64_t n)
{
    struct pw_rle r;

    t->def.len = 0;
    pw_rle_begin(&r, &t->def, pw_bit_width(pw_profile_leaf[leaf].max_def));
    pw_rle_put(&r, level, n);
    pw_rle_end(&r);
    return pw_slice(t->def.ptr, t->def.len);
}

/* A page whose every level says that there is no value. */
static void
put_empty_page(struct pw_profile_table *t, enum pw_profile_leaf leaf, struct pw_slice rep,
               uint32_t level, struct pw_parquet_page_in in)
{
    in.rep = rep;
    in.def = def_all(t, leaf, level, in.levels);
    in.nulls = in.levels;
    t->encoded.len = 0;
    if (pw_profile_leaf[leaf].element->encoding != PW_PARQUET_PLAIN) {
        pw_delta_encode(&t->encoded, NULL, 0, 64); /* also what a list of no lengths is */
    }
    put_page(t, leaf, &in);
}

static void
put_sample_ints(struct pw_profile_table *t, enum pw_profile_leaf leaf, const struct pw_text *v,
                struct pw_parquet_page_in in)
{
    const int64_t *value = (const void *)v->ptr;

    in.rep = pw_slice(t->sample.rep1.ptr, t->sample.rep1.len);
    in.def = def_all(t, leaf, 1, in.levels);
    pw_parquet_bound_ints(&pw_profile_leaf[leaf], value, in.levels, &in.min, &in.max);
    t->encoded.len = 0;
    pw_delta_encode(&t->encoded, value, in.levels, 64);
    put_page(t, leaf, &in);
}

static void
put_ids(struct pw_profile_table *t, enum pw_profile_leaf leaf, struct pw_dictionary_column *d,
        struct pw_parquet_page_in in)
{
    pw_dictionary_column_page_end(d, &t->chunk[leaf], &t->encoded, &in);
    in.rep = pw_slice(t->sample.rep1.ptr, t->sample.rep1.len);
    put_page(t, leaf, &in);
}

static void
flush_samples(struct pw_profile_table *t)
{
    struct sample_page *p = &t->sample;
    struct pw_parquet_page_in in = {
        .levels = p->samples, .rows = p->rows, .first_row = p->first_row};
    uint64_t next = p->first_row + p->rows;

    if (p->rows == 0) {
        return;
    }
    pw_rle_end(&p->rep1_rle);
    pw_rle_end(&p->rep2_rle);
    put_sample_ints(t, PW_PROFILE_STACK, &p->stack, in);
    put_sample_ints(t, PW_PROFILE_VALUE, &p->value, in);
    for (uint32_t leaf = PW_PROFILE_LABEL_KEY; leaf <= PW_PROFILE_LABEL_UNIT; leaf++) {
        put_empty_page(t, leaf, pw_slice(p->rep2.ptr, p->rep2.len), 1, in);
    }
    put_ids(t, PW_PROFILE_SPAN, &p->span, in);
    put_ids(t, PW_PROFILE_TRACE, &p->trace, in);
    sample_page_begin(p, next);
}

static void
put_id(struct pw_profile_table *t, enum pw_profile_leaf leaf, struct pw_dictionary_column *d,
       const uint8_t *id)
{
    int rc = pw_dictionary_column_put(d, &t->chunk[leaf], id);

    if (rc != 0) {
        fail(t, rc);
    }
}

static void
put_samples(struct pw_profile_table *t, const struct pw_profile_in *row)
{
    struct sample_page *p = &t->sample;
    uint32_t n = row->samples_count;
    uint8_t *at = pw_text_grow(&p->stack, n * sizeof(int64_t));

    for (uint32_t i = 0; at != NULL && i < n; i++) {
        int64_t v = row->stack[i];

        memcpy(at + i * sizeof(v), &v, sizeof(v));
    }
    pw_text_put(&p->value, row->value, n * sizeof(int64_t));
    pw_rle_put(&p->rep1_rle, 0, 1);
    pw_rle_put(&p->rep1_rle, 1, n - 1);
    pw_rle_put(&p->rep2_rle, 0, 1);
    pw_rle_put(&p->rep2_rle, 1, n - 1);
    p->samples += n;
    p->rows++;
    if (row->span == NULL) {
        pw_dictionary_column_null(&p->span, n);
        pw_dictionary_column_null(&p->trace, n);
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        static const uint8_t none[PW_PARQUET_FLBA_BYTES];

        /* Storage.md 1.4.1: the id's bytes read little-endian, which is how PLAIN stores them. */
        put_id(t, PW_PROFILE_SPAN, &p->span, row->span[i].span_id);
        if (memcmp(row->span[i].trace_id, none, sizeof(none)) == 0) {
            pw_dictionary_column_null(&p->trace, 1);
        } else {
            put_id(t, PW_PROFILE_TRACE, &p->trace, row->span[i].trace_id);
        }
    }
}

/* --- Columns of rows ------------------------------------------------------------------------------ */

static void
put_row_ints(struct pw_profile_table *t, enum pw_profile_leaf leaf, const int64_t *v,
             struct pw_parquet_page_in in)
{
    const struct pw_parquet_element *e = pw_profile_leaf[leaf].element;

    pw_parquet_bound_ints(&pw_profile_leaf[leaf], v, in.levels, &in.min, &in.max);
    t->encoded.len = 0;
    if (e->encoding == PW_PARQUET_PLAIN) {
        pw_text_put(&t->encoded, v, in.levels * sizeof(*v));
    } else {
        pw_delta_encode(&t->encoded, v, in.levels, e->type == PW_PARQUET_INT32 ? 32 : 64);
    }
    put_page(t, leaf, &in);
}

/* PLAIN values with 0 for null. */
static void
put_optional_ints(struct pw_profile_table *t, enum pw_profile_leaf leaf, const int64_t *v,
                  struct pw_parquet_page_in in)
{
    struct pw_rle r;

    t->encoded.len = t->def.len = 0;
    pw_rle_begin(&r, &t->def, 1);
    for (uint64_t i = 0; i < in.levels; i++) {
        pw_rle_put(&r, v[i] != 0, 1);
        if (v[i] != 0) {
            pw_text_put(&t->encoded, &v[i], sizeof(v[i]));
            pw_parquet_bound_ints(&pw_profile_leaf[leaf], &v[i], 1, &in.min, &in.max);
        }
    }
    pw_rle_end(&r);
    in.def = pw_slice(t->def.ptr, t->def.len);
    in.nulls = in.levels - t->encoded.len / sizeof(*v);
    put_page(t, leaf, &in);
}

static void
flush_rows(struct pw_profile_table *t)
{
    static const enum pw_profile_leaf empty[] = {
        PW_PROFILE_DROP_FRAMES,  PW_PROFILE_KEEP_FRAMES,    PW_PROFILE_COMMENTS,
        PW_PROFILE_DEFAULT_TYPE, PW_PROFILE_ANNOTATION_KEY, PW_PROFILE_ANNOTATION_VALUE,
    };
    struct row_page *p = &t->row;
    struct pw_parquet_page_in in = {.levels = p->rows, .rows = p->rows, .first_row = p->first_row};
    struct pw_parquet_page_in id = in;
    uint8_t rep[16];
    struct pw_text rep_text;
    struct pw_rle r;

    if (p->rows == 0) {
        return;
    }
    pw_parquet_bound_flba(p->uuid[0], p->rows, &id.min, &id.max);
    t->encoded.len = 0;
    pw_text_put(&t->encoded, p->uuid, (size_t)p->rows * sizeof(p->uuid[0]));
    put_page(t, PW_PROFILE_ID, &id);
    put_row_ints(t, PW_PROFILE_SERIES_INDEX, p->series, in);
    put_row_ints(t, PW_PROFILE_PARTITION, p->partition, in);
    put_row_ints(t, PW_PROFILE_TOTAL, p->total, in);
    put_row_ints(t, PW_PROFILE_TIME, p->time, in);
    put_optional_ints(t, PW_PROFILE_DURATION, p->duration, in);
    put_optional_ints(t, PW_PROFILE_PERIOD, p->period, in);
    pw_text_fixed(&rep_text, rep, sizeof(rep));
    pw_rle_begin(&r, &rep_text, 1);
    pw_rle_put(&r, 0, p->rows);
    pw_rle_end(&r);
    for (size_t i = 0; i < PW_ARRAY_LEN(empty); i++) {
        bool list = pw_profile_leaf[empty[i]].max_rep != 0;

        put_empty_page(t, empty[i], pw_slice(rep, list ? rep_text.len : 0), 0, in);
    }
    p->first_row += p->rows;
    p->rows = 0;
}

static void
put_row(struct pw_profile_table *t, const struct pw_profile_in *in)
{
    struct row_page *p = &t->row;
    uint32_t i = p->rows++;
    uint64_t total = 0;

    for (uint32_t k = 0; k < in->samples_count; k++) {
        total += (uint64_t)in->value[k];
    }
    memcpy(p->uuid[i], in->uuid, sizeof(p->uuid[i]));
    p->series[i] = in->series;
    p->partition[i] = (int64_t)in->partition;
    p->total[i] = (int64_t)total;
    p->time[i] = in->time_ns;
    p->duration[i] = in->duration_ns;
    p->period[i] = in->period;
}

/* --- Row groups ----------------------------------------------------------------------------------- */

static bool
texts_failed(const struct pw_profile_table *t)
{
    const struct sample_page *p = &t->sample;
    bool failed = t->encoded.failed || t->def.failed || t->codec.tmp.failed || p->stack.failed ||
                  p->value.failed || p->rep1.failed || p->rep2.failed ||
                  pw_dictionary_column_failed(&p->span) || pw_dictionary_column_failed(&p->trace) ||
                  pw_parquet_footer_failed(&t->footer);

    for (uint32_t i = 0; i < PW_PROFILE_LEAVES; i++) {
        const struct pw_parquet_chunk *c = &t->chunk[i];

        failed = failed || c->pages.failed || c->dictionary.failed || c->info.failed;
    }
    return failed;
}

static void
write_chunk(struct pw_profile_table *t, struct pw_parquet_chunk *c)
{
    struct pw_parquet_chunk_place at = {
        .offset = t->out->offset,
        .codec = pw_parquet_chunk_codec(c, &t->codec),
    };

    t->encoded.len = 0;
    if (c->spec->element->encoding == PW_PARQUET_RLE_DICTIONARY) {
        size_t header;

        pw_parquet_dictionary_page(c, &t->codec, &t->encoded);
        header = t->encoded.len < c->dictionary.len ? 0 : t->encoded.len - c->dictionary.len;
        at.dictionary_bytes = t->encoded.len;
        at.dictionary_plain = c->dictionary.len + header;
    }
    pw_parquet_footer_column(&t->footer, c, &at);
    pw_block_out_put(t->out, t->encoded.ptr, t->encoded.len);
    pw_block_out_put(t->out, c->pages.ptr, c->pages.len);
    pw_parquet_chunk_reset(c);
}

static void
flush_group(struct pw_profile_table *t)
{
    flush_rows(t);
    flush_samples(t);
    if (t->group_rows == 0) {
        return;
    }
    if (texts_failed(t)) {
        fail(t, PW_ENOMEM);
        return;
    }
    t->group_offset = t->out->offset;
    for (uint32_t i = 0; i < PW_PROFILE_LEAVES; i++) {
        write_chunk(t, &t->chunk[i]);
    }
    pw_parquet_footer_group(&t->footer, t->group_offset, t->group_rows);
    pw_dictionary_column_forget(&t->sample.span);
    pw_dictionary_column_forget(&t->sample.trace);
    t->group_rows = 0;
    t->row.first_row = 0;
    sample_page_begin(&t->sample, 0);
}

static size_t
group_bytes(const struct pw_profile_table *t)
{
    size_t n = 0;

    for (uint32_t i = 0; i < PW_PROFILE_LEAVES; i++) {
        n += t->chunk[i].pages.len + t->chunk[i].dictionary.len;
    }
    return n;
}

void
pw_profile_table_row(struct pw_profile_table *t, const struct pw_profile_in *row)
{
    if (t->rc != 0) {
        return;
    }
    put_row(t, row);
    put_samples(t, row);
    t->group_rows++;
    if (t->row.rows == PW_PROFILE_PAGE_ROWS) {
        flush_rows(t);
    }
    if (t->sample.samples >= PW_PROFILE_PAGE_SAMPLES) {
        flush_samples(t);
        if (group_bytes(t) >= t->cfg.row_group_bytes) {
            flush_group(t);
        }
    }
    if (t->group_rows == t->cfg.row_group_rows) {
        flush_group(t);
    }
}

int
pw_profile_table_finish(struct pw_profile_table *t, uint32_t *row_groups, uint64_t *rows)
{
    flush_group(t);
    if (t->rc == 0 && !pw_parquet_footer_write(&t->footer, t->out)) {
        fail(t, PW_ENOMEM);
    }
    *row_groups = t->footer.group_count;
    *rows = t->footer.rows;
    return t->rc;
}

size_t
pw_profile_table_memory(const struct pw_profile_table *t)
{
    const struct sample_page *p = &t->sample;
    size_t n = sizeof(*t) + t->encoded.cap + t->def.cap + t->codec.tmp.cap + p->stack.cap +
               p->value.cap + p->rep1.cap + p->rep2.cap + pw_dictionary_column_memory(&p->span) +
               pw_dictionary_column_memory(&p->trace) + pw_parquet_footer_memory(&t->footer);

    for (uint32_t i = 0; i < PW_PROFILE_LEAVES; i++) {
        n += t->chunk[i].pages.cap + t->chunk[i].dictionary.cap + t->chunk[i].info.cap;
    }
    return n + (t->codec.zstd == NULL ? 0 : ZSTD_sizeof_CCtx(t->codec.zstd));
}

int
pw_profile_table_create(struct pw_profile_table **out, const struct pw_profile_table_cfg *cfg,
                        struct pw_block_out *file)
{
    struct pw_profile_table *t = calloc(1, sizeof(*t));
    int rc;

    if (t == NULL) {
        return PW_ENOMEM;
    }
    rc = pw_parquet_codec_init(&t->codec, cfg->codec, cfg->level);
    if (rc != 0) {
        free(t);
        return rc;
    }
    t->cfg = *cfg;
    t->out = file;
    pw_parquet_footer_init(&t->footer);
    for (uint32_t i = 0; i < PW_PROFILE_LEAVES; i++) {
        pw_parquet_chunk_init(&t->chunk[i], &pw_profile_leaf[i]);
    }
    pw_text_init(&t->encoded, PAGE_VALUES_BYTES_MAX);
    pw_text_init(&t->def, PAGE_VALUES_BYTES_MAX);
    pw_text_init(&t->sample.stack, PAGE_VALUES_BYTES_MAX);
    pw_text_init(&t->sample.value, PAGE_VALUES_BYTES_MAX);
    pw_text_init(&t->sample.rep1, PAGE_VALUES_BYTES_MAX);
    pw_text_init(&t->sample.rep2, PAGE_VALUES_BYTES_MAX);
    pw_dictionary_column_init(&t->sample.span, 8);
    pw_dictionary_column_init(&t->sample.trace, PW_PARQUET_FLBA_BYTES);
    sample_page_begin(&t->sample, 0);
    pw_block_out_put(file, "PAR1", 4);
    *out = t;
    return 0;
}

void
pw_profile_table_destroy(struct pw_profile_table *t)
{
    if (t == NULL) {
        return;
    }
    for (uint32_t i = 0; i < PW_PROFILE_LEAVES; i++) {
        pw_parquet_chunk_fini(&t->chunk[i]);
    }
    pw_parquet_footer_fini(&t->footer);
    pw_parquet_codec_fini(&t->codec);
    pw_text_fini(&t->encoded);
    pw_text_fini(&t->def);
    pw_text_fini(&t->sample.stack);
    pw_text_fini(&t->sample.value);
    pw_text_fini(&t->sample.rep1);
    pw_text_fini(&t->sample.rep2);
    pw_dictionary_column_fini(&t->sample.span);
    pw_dictionary_column_fini(&t->sample.trace);
    free(t);
}
