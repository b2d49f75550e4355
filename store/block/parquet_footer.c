#include "store/block/parquet_footer.h"

#include "store/block/thrift.h"

enum { INDEX_BYTES_MAX = 1 << 30 };

static const char created_by[] = "pyrowire";

void
pw_parquet_footer_init(struct pw_parquet_footer *f)
{
    *f = (struct pw_parquet_footer){0};
    pw_text_init(&f->columns, INDEX_BYTES_MAX);
    pw_text_init(&f->pages, INDEX_BYTES_MAX);
    pw_text_init(&f->groups, INDEX_BYTES_MAX);
}

void
pw_parquet_footer_fini(struct pw_parquet_footer *f)
{
    pw_text_fini(&f->columns);
    pw_text_fini(&f->pages);
    pw_text_fini(&f->groups);
}

bool
pw_parquet_footer_failed(const struct pw_parquet_footer *f)
{
    return f->columns.failed || f->pages.failed || f->groups.failed;
}

size_t
pw_parquet_footer_memory(const struct pw_parquet_footer *f)
{
    return f->columns.cap + f->pages.cap + f->groups.cap;
}

static struct pw_parquet_column_meta *
column_at(const struct pw_parquet_footer *f, uint32_t group, uint32_t leaf)
{
    struct pw_parquet_column_meta *all = (void *)f->columns.ptr;

    return &all[(size_t)group * PW_PROFILE_LEAVES + leaf];
}

static const struct pw_parquet_page_info *
pages_of(const struct pw_parquet_footer *f, const struct pw_parquet_column_meta *m)
{
    const struct pw_parquet_page_info *all = (const void *)f->pages.ptr;

    return &all[m->page_first];
}

void
pw_parquet_footer_column(struct pw_parquet_footer *f, const struct pw_parquet_chunk *c,
                         const struct pw_parquet_chunk_place *at)
{
    const struct pw_parquet_page_info *page = (const void *)c->info.ptr;
    struct pw_parquet_column_meta m = {
        .dictionary_offset = at->dictionary_bytes != 0 ? at->offset : 0,
        .data_offset = at->offset + at->dictionary_bytes,
        .bytes = at->dictionary_bytes + c->pages.len,
        .bytes_plain = at->dictionary_plain + c->bytes_plain,
        .values = c->values,
        .nulls = c->nulls,
        .min = c->min,
        .max = c->max,
        .codec = at->codec,
        .page_first = f->page_count,
        .page_count = c->page_count,
    };

    for (uint32_t i = 0; i < c->page_count; i++) {
        struct pw_parquet_page_info info = page[i];

        info.offset += m.data_offset;
        pw_text_put(&f->pages, &info, sizeof(info));
    }
    f->page_count += c->page_count;
    pw_text_put(&f->columns, &m, sizeof(m));
}

void
pw_parquet_footer_group(struct pw_parquet_footer *f, uint64_t offset, uint64_t rows)
{
    struct pw_parquet_group_meta g = {.offset = offset, .rows = rows};

    pw_text_put(&f->groups, &g, sizeof(g));
    f->group_count++;
    f->rows += rows;
}

/* --- Page indexes --------------------------------------------------------------------------------- */

/* 1 ascending, 2 descending, 0 neither; pages without a value do not count. */
static int32_t
boundary_order(const struct pw_profile_leaf_spec *spec, const struct pw_parquet_page_info *page,
               uint32_t n)
{
    const struct pw_parquet_page_info *before = NULL;
    bool up = true, down = true;

    for (uint32_t i = 0; i < n; i++) {
        if (page[i].min.len == 0) {
            continue;
        }
        if (before != NULL) {
            int lo = pw_parquet_bound_cmp(spec, &page[i].min, &before->min);
            int hi = pw_parquet_bound_cmp(spec, &page[i].max, &before->max);

            up = up && lo >= 0 && hi >= 0;
            down = down && lo <= 0 && hi <= 0;
        }
        before = &page[i];
    }
    return up ? 1 : down ? 2 : 0;
}

static void
put_column_index(struct pw_text *t, const struct pw_profile_leaf_spec *spec,
                 const struct pw_parquet_page_info *page, uint32_t n)
{
    struct pw_thrift_out o;

    pw_thrift_begin(&o, t);
    pw_thrift_list(&o, 1, PW_THRIFT_FALSE, n);
    for (uint32_t i = 0; i < n; i++) {
        pw_thrift_item_bool(&o, page[i].min.len == 0);
    }
    pw_thrift_list(&o, 2, PW_THRIFT_BINARY, n);
    for (uint32_t i = 0; i < n; i++) {
        pw_thrift_item_binary(&o, pw_slice(page[i].min.byte, page[i].min.len));
    }
    pw_thrift_list(&o, 3, PW_THRIFT_BINARY, n);
    for (uint32_t i = 0; i < n; i++) {
        pw_thrift_item_binary(&o, pw_slice(page[i].max.byte, page[i].max.len));
    }
    pw_thrift_i32(&o, 4, boundary_order(spec, page, n));
    pw_thrift_list(&o, 5, PW_THRIFT_I64, n);
    for (uint32_t i = 0; i < n; i++) {
        pw_thrift_item_int(&o, (int64_t)page[i].nulls);
    }
    pw_thrift_end(&o);
}

static void
put_offset_index(struct pw_text *t, const struct pw_parquet_page_info *page, uint32_t n)
{
    struct pw_thrift_out o;

    pw_thrift_begin(&o, t);
    pw_thrift_list(&o, 1, PW_THRIFT_STRUCT, n);
    for (uint32_t i = 0; i < n; i++) {
        pw_thrift_item_struct(&o);
        pw_thrift_i64(&o, 1, (int64_t)page[i].offset);
        pw_thrift_i32(&o, 2, (int32_t)page[i].bytes);
        pw_thrift_i64(&o, 3, (int64_t)page[i].first_row);
        pw_thrift_end(&o);
    }
    pw_thrift_end(&o);
}

static void
write_indexes(struct pw_parquet_footer *f, struct pw_block_out *out, struct pw_text *t)
{
    for (uint32_t i = 0; i < f->group_count * PW_PROFILE_LEAVES; i++) {
        struct pw_parquet_column_meta *m = column_at(f, 0, i);

        t->len = 0;
        put_column_index(t, &pw_profile_leaf[i % PW_PROFILE_LEAVES], pages_of(f, m), m->page_count);
        m->column_index_offset = out->offset;
        m->column_index_bytes = (uint32_t)t->len;
        pw_block_out_put(out, t->ptr, t->len);
    }
    for (uint32_t i = 0; i < f->group_count * PW_PROFILE_LEAVES; i++) {
        struct pw_parquet_column_meta *m = column_at(f, 0, i);

        t->len = 0;
        put_offset_index(t, pages_of(f, m), m->page_count);
        m->offset_index_offset = out->offset;
        m->offset_index_bytes = (uint32_t)t->len;
        pw_block_out_put(out, t->ptr, t->len);
    }
}

/* --- Footer: FileMetaData ------------------------------------------------------------------------- */

static void
put_int_logical(struct pw_thrift_out *o, int8_t bits, bool is_signed)
{
    pw_thrift_struct(o, 10);
    pw_thrift_byte(o, 1, bits);
    pw_thrift_bool(o, 2, is_signed);
    pw_thrift_end(o);
}

/* Fields 6 (ConvertedType, what old readers know) and 10 (LogicalType) of a SchemaElement. */
static void
put_logical(struct pw_thrift_out *o, enum pw_parquet_logical logical)
{
    enum { UTF8 = 0, LIST = 3, UINT_32 = 13, UINT_64 = 14, INT_64 = 18 };
    static const int8_t converted[] = {
        [PW_PARQUET_LOGICAL_NONE] = -1,     [PW_PARQUET_LOGICAL_LIST] = LIST,
        [PW_PARQUET_LOGICAL_STRING] = UTF8, [PW_PARQUET_LOGICAL_UUID] = -1,
        [PW_PARQUET_LOGICAL_U32] = UINT_32, [PW_PARQUET_LOGICAL_U64] = UINT_64,
        [PW_PARQUET_LOGICAL_I64] = INT_64,  [PW_PARQUET_LOGICAL_TIME_NS] = -1,
    };

    if (logical == PW_PARQUET_LOGICAL_NONE) {
        return;
    }
    if (converted[logical] >= 0) {
        pw_thrift_i32(o, 6, converted[logical]);
    }
    pw_thrift_struct(o, 10);
    switch (logical) {
    case PW_PARQUET_LOGICAL_NONE:
        break;
    case PW_PARQUET_LOGICAL_LIST:
        pw_thrift_struct(o, 3);
        pw_thrift_end(o);
        break;
    case PW_PARQUET_LOGICAL_STRING:
        pw_thrift_struct(o, 1);
        pw_thrift_end(o);
        break;
    case PW_PARQUET_LOGICAL_UUID:
        pw_thrift_struct(o, 14);
        pw_thrift_end(o);
        break;
    case PW_PARQUET_LOGICAL_U32:
        put_int_logical(o, 32, false);
        break;
    case PW_PARQUET_LOGICAL_U64:
        put_int_logical(o, 64, false);
        break;
    case PW_PARQUET_LOGICAL_I64:
        put_int_logical(o, 64, true);
        break;
    case PW_PARQUET_LOGICAL_TIME_NS:
        pw_thrift_struct(o, 8);
        pw_thrift_bool(o, 1, true);
        pw_thrift_struct(o, 2);
        pw_thrift_struct(o, 3);
        pw_thrift_end(o);
        pw_thrift_end(o);
        pw_thrift_end(o);
        break;
    }
    pw_thrift_end(o);
}

static void
put_schema(struct pw_thrift_out *o)
{
    pw_thrift_list(o, 2, PW_THRIFT_STRUCT, PW_PROFILE_ELEMENTS);
    for (uint32_t i = 0; i < PW_PROFILE_ELEMENTS; i++) {
        const struct pw_parquet_element *e = &pw_profile_schema[i];

        pw_thrift_item_struct(o);
        if (e->type != PW_PARQUET_GROUP) {
            pw_thrift_i32(o, 1, e->type);
            if (e->type == PW_PARQUET_FLBA) {
                pw_thrift_i32(o, 2, PW_PARQUET_FLBA_BYTES);
            }
        }
        if (i != 0) { /* the root has no repetition */
            pw_thrift_i32(o, 3, e->repetition);
        }
        pw_thrift_binary(o, 4, pw_slice_str(e->name));
        if (e->type == PW_PARQUET_GROUP) {
            pw_thrift_i32(o, 5, e->children);
        }
        put_logical(o, (enum pw_parquet_logical)e->logical);
        pw_thrift_end(o);
    }
}

static void
put_path(struct pw_thrift_out *o, const char *path)
{
    uint32_t n = 1;

    for (const char *p = path; *p != 0; p++) {
        n += *p == '.';
    }
    pw_thrift_list(o, 3, PW_THRIFT_BINARY, n);
    while (n-- > 0) {
        size_t len = strcspn(path, ".");

        pw_thrift_item_binary(o, pw_slice(path, len));
        path += len + 1;
    }
}

static void
put_statistics(struct pw_thrift_out *o, const struct pw_parquet_column_meta *m)
{
    pw_thrift_struct(o, 12);
    pw_thrift_i64(o, 3, (int64_t)m->nulls);
    if (m->min.len != 0) {
        pw_thrift_binary(o, 5, pw_slice(m->max.byte, m->max.len));
        pw_thrift_binary(o, 6, pw_slice(m->min.byte, m->min.len));
    }
    pw_thrift_end(o);
}

static void
put_encodings(struct pw_thrift_out *o, const struct pw_profile_leaf_spec *spec)
{
    uint8_t list[3], n = 0;

    if (spec->element->encoding == PW_PARQUET_RLE_DICTIONARY) {
        list[n++] = PW_PARQUET_PLAIN; /* of the dictionary page */
    }
    if (spec->max_def != 0) {
        list[n++] = PW_PARQUET_RLE;
    }
    list[n++] = spec->element->encoding;
    pw_thrift_list(o, 2, PW_THRIFT_I32, n);
    for (uint8_t i = 0; i < n; i++) {
        pw_thrift_item_int(o, list[i]);
    }
}

static void
put_column(struct pw_thrift_out *o, const struct pw_profile_leaf_spec *spec,
           const struct pw_parquet_column_meta *m)
{
    pw_thrift_item_struct(o);
    pw_thrift_i64(o, 2, 0); /* file_offset: deprecated, 0 as the format now asks for */
    pw_thrift_struct(o, 3);
    pw_thrift_i32(o, 1, spec->element->type);
    put_encodings(o, spec);
    put_path(o, spec->path);
    pw_thrift_i32(o, 4, (int32_t)m->codec);
    pw_thrift_i64(o, 5, (int64_t)m->values);
    pw_thrift_i64(o, 6, (int64_t)m->bytes_plain);
    pw_thrift_i64(o, 7, (int64_t)m->bytes);
    pw_thrift_i64(o, 9, (int64_t)m->data_offset);
    if (m->dictionary_offset != 0) {
        pw_thrift_i64(o, 11, (int64_t)m->dictionary_offset);
    }
    put_statistics(o, m);
    pw_thrift_end(o);
    pw_thrift_i64(o, 4, (int64_t)m->offset_index_offset);
    pw_thrift_i32(o, 5, (int32_t)m->offset_index_bytes);
    pw_thrift_i64(o, 6, (int64_t)m->column_index_offset);
    pw_thrift_i32(o, 7, (int32_t)m->column_index_bytes);
    pw_thrift_end(o);
}

static void
put_group(struct pw_thrift_out *o, const struct pw_parquet_footer *f, uint32_t group)
{
    const struct pw_parquet_group_meta *g =
        &((const struct pw_parquet_group_meta *)(const void *)f->groups.ptr)[group];
    uint64_t plain = 0, bytes = 0;

    pw_thrift_item_struct(o);
    pw_thrift_list(o, 1, PW_THRIFT_STRUCT, PW_PROFILE_LEAVES);
    for (uint32_t leaf = 0; leaf < PW_PROFILE_LEAVES; leaf++) {
        const struct pw_parquet_column_meta *m = column_at(f, group, leaf);

        put_column(o, &pw_profile_leaf[leaf], m);
        plain += m->bytes_plain;
        bytes += m->bytes;
    }
    pw_thrift_i64(o, 2, (int64_t)plain);
    pw_thrift_i64(o, 3, (int64_t)g->rows);
    pw_thrift_i64(o, 5, (int64_t)g->offset);
    pw_thrift_i64(o, 6, (int64_t)bytes);
    pw_thrift_i16(o, 7, (int16_t)group);
    pw_thrift_end(o);
}

static void
put_file_meta(struct pw_text *t, const struct pw_parquet_footer *f)
{
    struct pw_thrift_out o;

    pw_thrift_begin(&o, t);
    pw_thrift_i32(&o, 1, 2); /* version: pages and encodings of format 2 */
    put_schema(&o);
    pw_thrift_i64(&o, 3, (int64_t)f->rows);
    pw_thrift_list(&o, 4, PW_THRIFT_STRUCT, f->group_count);
    for (uint32_t i = 0; i < f->group_count; i++) {
        put_group(&o, f, i);
    }
    pw_thrift_binary(&o, 6, pw_slice_str(created_by));
    pw_thrift_list(&o, 7, PW_THRIFT_STRUCT, PW_PROFILE_LEAVES);
    for (uint32_t i = 0; i < PW_PROFILE_LEAVES; i++) {
        pw_thrift_item_struct(&o); /* ColumnOrder: TYPE_ORDER */
        pw_thrift_struct(&o, 1);
        pw_thrift_end(&o);
        pw_thrift_end(&o);
    }
    pw_thrift_end(&o);
}

bool
pw_parquet_footer_write(struct pw_parquet_footer *f, struct pw_block_out *o)
{
    struct pw_text t;
    bool failed;

    pw_text_init(&t, INDEX_BYTES_MAX);
    write_indexes(f, o, &t);
    t.len = 0;
    put_file_meta(&t, f);
    pw_put_le(&t, t.len, 4);
    pw_text_str(&t, "PAR1");
    failed = t.failed;
    if (!failed) {
        pw_block_out_put(o, t.ptr, t.len);
    }
    pw_text_fini(&t);
    return !failed;
}
