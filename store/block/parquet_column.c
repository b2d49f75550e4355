/* A column of a row group: its page index, and which page is at hand. */
#include "store/block/parquet_reader.h"

#include "base/check.h"
#include "store/block/thrift.h"

#include <stdlib.h>

static bool
is_inside(const struct pw_parquet_file *f, uint64_t offset, uint64_t bytes)
{
    return offset != 0 && offset <= f->bytes.len && bytes <= f->bytes.len - offset;
}

/* Of a place that is inside. */
static int
bytes_at(const struct pw_parquet_file *f, uint64_t offset, uint64_t bytes, struct pw_bytes *in,
         struct pw_block_error *err)
{
    int rc = pw_block_need(f->files, f->bytes, offset, bytes, err);

    *in = pw_bytes(pw_slice(f->bytes.ptr + offset, rc == 0 ? bytes : 0));
    return rc;
}

static void
read_location(struct pw_bytes *in, struct pw_parquet_page_place *p)
{
    struct pw_thrift_field f = {0};

    while (pw_thrift_next(in, &f)) {
        switch (f.id) {
        case 1:
            p->offset = (uint64_t)pw_thrift_read_int(in, &f);
            break;
        case 2:
            p->bytes = (uint32_t)pw_thrift_read_int(in, &f);
            break;
        case 3:
            p->first_row = (uint64_t)pw_thrift_read_int(in, &f);
            break;
        default:
            pw_thrift_skip(in, &f);
            break;
        }
    }
}

/* Pages are in order, start with row 0, have a row each, and lie inside the file. */
static bool
pages_are_sane(const struct pw_parquet_column *c)
{
    for (uint32_t i = 0; i < c->page_count; i++) {
        const struct pw_parquet_page_place *p = &c->page[i];

        if (p->offset > c->file->bytes.len || p->bytes > c->file->bytes.len - p->offset ||
            p->first_row >= c->rows ||
            (i == 0 ? p->first_row != 0 : p->first_row <= p[-1].first_row)) {
            return false;
        }
    }
    return c->page_count != 0 || c->rows == 0;
}

static int
read_offset_index(struct pw_parquet_column *c, struct pw_block_error *err)
{
    const struct pw_parquet_read_chunk *chunk = c->chunk;
    struct pw_thrift_field f = {0};
    struct pw_bytes in;
    int rc;

    if (chunk->offset_index_offset == 0) {
        return pw_parquet_error(err, c->file, PW_ENOTSUP, chunk->data_offset,
                                "column %s has no offset index", c->leaf->path);
    }
    if (!is_inside(c->file, chunk->offset_index_offset, chunk->offset_index_bytes)) {
        return pw_parquet_error(err, c->file, PW_EINVAL, chunk->offset_index_offset,
                                "offset index of %s is outside of the file", c->leaf->path);
    }
    rc = bytes_at(c->file, chunk->offset_index_offset, chunk->offset_index_bytes, &in, err);
    if (rc != 0) {
        return rc;
    }
    while (pw_thrift_next(&in, &f)) {
        if (f.id != 1 || c->page != NULL) {
            pw_thrift_skip(&in, &f);
            continue;
        }
        c->page_count = pw_thrift_read_list(&in, &f, PW_THRIFT_STRUCT);
        c->page = calloc(c->page_count + 1UL, sizeof(*c->page));
        if (c->page == NULL) {
            return PW_ENOMEM;
        }
        for (uint32_t i = 0; i < c->page_count; i++) {
            read_location(&in, &c->page[i]);
        }
    }
    if (in.bad || !pages_are_sane(c)) {
        return pw_parquet_error(err, c->file, PW_EINVAL, chunk->offset_index_offset,
                                "offset index of %s", c->leaf->path);
    }
    return 0;
}

/* --- Column index: a broken or strange one only means that nothing can be passed over ------------- */

static bool
read_bound(struct pw_bytes *in, const struct pw_parquet_leaf *leaf, int64_t *out)
{
    struct pw_slice s = pw_thrift_read_item_binary(in);

    if (leaf->type == PW_PARQUET_INT32 && s.len == 4) {
        uint32_t v = pw_load_le32(s.ptr);

        *out = leaf->is_unsigned ? (int64_t)v : (int64_t)(int32_t)v;
        return true;
    }
    if (leaf->type == PW_PARQUET_INT64 && s.len == 8) {
        *out = (int64_t)pw_load_le64(s.ptr);
        return true;
    }
    return false;
}

static int
read_column_index(struct pw_parquet_column *c, struct pw_block_error *err)
{
    struct pw_thrift_field f = {0};
    bool min = false, max = false;
    struct pw_bytes in;

    if (!is_inside(c->file, c->chunk->column_index_offset, c->chunk->column_index_bytes)) {
        return 0;
    }
    int rc =
        bytes_at(c->file, c->chunk->column_index_offset, c->chunk->column_index_bytes, &in, err);

    if (rc != 0) {
        return rc;
    }
    while (pw_thrift_next(&in, &f)) {
        if (f.id == 1 && pw_thrift_read_list(&in, &f, PW_THRIFT_TRUE) == c->page_count) {
            for (uint32_t i = 0; i < c->page_count; i++) {
                c->page[i].is_null = pw_bytes_u8(&in) == PW_THRIFT_TRUE;
            }
        } else if ((f.id == 2 || f.id == 3) &&
                   pw_thrift_read_list(&in, &f, PW_THRIFT_BINARY) == c->page_count) {
            bool is_min = f.id == 2, all = true;

            for (uint32_t i = 0; i < c->page_count; i++) {
                struct pw_parquet_page_place *p = &c->page[i];

                all &= read_bound(&in, c->leaf, is_min ? &p->min : &p->max) || p->is_null;
            }
            min = is_min ? all : min;
            max = is_min ? max : all;
        } else if (f.id <= 3) {
            return 0; /* lists of other lengths: their items were not read */
        } else {
            pw_thrift_skip(&in, &f);
        }
    }
    for (uint32_t i = 0; i < c->page_count && !in.bad && min && max; i++) {
        c->page[i].has_bounds = !c->page[i].is_null;
    }
    return 0;
}

int
pw_parquet_column_open(struct pw_parquet_column *c, const struct pw_parquet_file *f, uint32_t group,
                       uint32_t leaf, bool bounds, struct pw_block_error *err)
{
    int rc;

    *c = (struct pw_parquet_column){
        .file = f,
        .leaf = &f->leaf[leaf],
        .chunk = &f->chunk[(size_t)group * f->leaf_count + leaf],
        .rows = f->group_rows[group],
    };
    if (c->leaf->max_rep > 1 ||
        (c->leaf->type == PW_PARQUET_FLBA && c->leaf->length != PW_PARQUET_FLBA_BYTES)) {
        return pw_parquet_error(err, f, PW_ENOTSUP, c->chunk->data_offset, "column %s",
                                c->leaf->path);
    }
    if (!pw_parquet_codec_is_known(c->chunk->codec)) {
        return pw_parquet_error(err, f, PW_ENOTSUP, c->chunk->data_offset,
                                "column %s: pages are compressed with codec %u, which is not read",
                                c->leaf->path, c->chunk->codec);
    }
    rc = read_offset_index(c, err);
    c->page_index = c->page_count;
    if (rc == 0 && bounds) {
        rc = read_column_index(c, err);
    }
    if (rc == 0 && c->chunk->dictionary_offset != 0) {
        rc = pw_parquet_dictionary_decode(c, err);
    }
    if (rc != 0) {
        pw_parquet_column_close(c);
    }
    return rc;
}

void
pw_parquet_column_close(struct pw_parquet_column *c)
{
    free(c->page);
    pw_parquet_values_fini(&c->dictionary);
    pw_parquet_values_fini(&c->values);
    free(c->dictionary_bytes);
    free(c->row_start);
    free(c->level);
    free(c->plain);
    free(c->index);
    *c = (struct pw_parquet_column){.pages_decoded = c->pages_decoded};
}

uint32_t
pw_parquet_column_page_of(const struct pw_parquet_column *c, uint64_t row)
{
    uint32_t lo = 0, hi = c->page_count;

    PW_DCHECK(row < c->rows);
    while (hi - lo > 1) {
        uint32_t mid = lo + (hi - lo) / 2;

        if (c->page[mid].first_row <= row) {
            lo = mid;
        } else {
            hi = mid;
        }
    }
    return lo;
}

uint64_t
pw_parquet_column_page_end(const struct pw_parquet_column *c, uint32_t page)
{
    return page + 1 < c->page_count ? c->page[page + 1].first_row : c->rows;
}

int
pw_parquet_column_load(struct pw_parquet_column *c, uint64_t row, struct pw_block_error *err)
{
    uint32_t page;
    int rc;

    if (c->page_index < c->page_count && row >= c->first_row && row < c->end_row) {
        return 0;
    }
    page = pw_parquet_column_page_of(c, row);
    c->page_index = c->page_count;
    c->first_row = c->page[page].first_row;
    c->end_row = pw_parquet_column_page_end(c, page);
    rc = pw_parquet_page_decode(c, page, err);
    if (rc == 0) {
        c->page_index = page;
        c->pages_decoded++;
    }
    return rc;
}
