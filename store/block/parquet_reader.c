/* Footer of a parquet file. */
#include "store/block/parquet_reader.h"

#include "store/block/thrift.h"

#include <stdio.h>
#include <stdlib.h>

enum { FOOTER_TAIL_BYTES = 8, MAGIC_BYTES = 4, CONVERTED_UINT_8 = 11, CONVERTED_UINT_64 = 14 };

int
pw_parquet_error(struct pw_block_error *err, const struct pw_parquet_file *f, int rc,
                 uint64_t offset, const char *fmt, ...)
{
    int n =
        snprintf(err->text, sizeof(err->text), "%s at %llu: ", f->name, (unsigned long long)offset);
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(err->text + n, sizeof(err->text) - (size_t)n, fmt, ap);
    va_end(ap);
    return rc;
}

/* --- Schema --------------------------------------------------------------------------------------- */

struct schema_node {
    struct pw_slice name;
    int64_t type, length, repetition, children, converted;
    bool is_unsigned;
};

/* LogicalType: only field 10, INTEGER, matters here. */
static void
read_logical(struct pw_bytes *in, struct schema_node *n)
{
    struct pw_thrift_field f = {0};

    while (pw_thrift_next(in, &f)) {
        struct pw_thrift_field g = {0};

        if (f.id != 10 || f.type != PW_THRIFT_STRUCT) {
            pw_thrift_skip(in, &f);
            continue;
        }
        while (pw_thrift_next(in, &g)) {
            if (g.id == 2) {
                n->is_unsigned = !pw_thrift_read_bool(in, &g);
            } else {
                pw_thrift_skip(in, &g);
            }
        }
    }
}

static void
read_node(struct pw_bytes *in, struct schema_node *n)
{
    struct pw_thrift_field f = {0};

    *n = (struct schema_node){.type = PW_PARQUET_GROUP, .converted = -1};
    while (pw_thrift_next(in, &f)) {
        switch (f.id) {
        case 1:
            n->type = pw_thrift_read_int(in, &f);
            break;
        case 2:
            n->length = pw_thrift_read_int(in, &f);
            break;
        case 3:
            n->repetition = pw_thrift_read_int(in, &f);
            break;
        case 4:
            n->name = pw_thrift_read_binary(in, &f);
            break;
        case 5:
            n->children = pw_thrift_read_int(in, &f);
            break;
        case 6:
            n->converted = pw_thrift_read_int(in, &f);
            n->is_unsigned = n->converted >= CONVERTED_UINT_8 && n->converted <= CONVERTED_UINT_64;
            break;
        case 10:
            if (f.type == PW_THRIFT_STRUCT) {
                read_logical(in, n);
                break;
            }
            pw_thrift_skip(in, &f);
            break;
        default:
            pw_thrift_skip(in, &f);
            break;
        }
    }
}

struct schema_level { /* an open group */
    int64_t left;
    uint8_t max_rep, max_def, element_def;
    uint32_t path_len;
};

/* Appends ".name"; false when the path is too long or the name no C string. */
static bool
put_name(char *path, uint32_t *len, struct pw_slice name)
{
    uint32_t at = *len;

    if (name.len == 0 || name.len >= PW_PARQUET_PATH_BYTES_MAX - 2 - at ||
        memchr(name.ptr, 0, name.len) != NULL) {
        return false;
    }
    if (at != 0) {
        path[at++] = '.';
    }
    memcpy(path + at, name.ptr, name.len);
    *len = at + (uint32_t)name.len;
    path[*len] = 0;
    return true;
}

/* Elements come in depth-first order; the first is the root. */
static bool
read_schema(struct pw_bytes *in, struct pw_parquet_file *f, uint32_t elements)
{
    struct schema_level open[PW_PARQUET_DEPTH_MAX];
    char path[PW_PARQUET_PATH_BYTES_MAX];
    uint32_t depth = 0;

    for (uint32_t i = 0; i < elements && !in->bad; i++) {
        struct schema_level at = {0};
        struct schema_node n;

        read_node(in, &n);
        if (in->bad || n.children < 0 || n.children > elements) {
            return false;
        }
        while (depth > 0 && open[depth - 1].left == 0) {
            depth--;
        }
        if (i != 0) {
            if (depth == 0) {
                return false;
            }
            at = open[depth - 1];
            open[depth - 1].left--;
            if (!put_name(path, &at.path_len, n.name)) {
                return false;
            }
            at.max_def = (uint8_t)(at.max_def + (n.repetition != PW_PARQUET_REQUIRED));
            if (n.repetition == PW_PARQUET_REPEATED) {
                at.max_rep++;
                at.element_def = at.max_def;
            }
        }
        if (n.type == PW_PARQUET_GROUP) {
            if (depth == PW_PARQUET_DEPTH_MAX) {
                return false;
            }
            at.left = n.children;
            open[depth++] = at;
            continue;
        }
        if (f->leaf_count == PW_PARQUET_LEAVES_MAX || i == 0 || n.type < 0 || n.type > 7) {
            return false;
        }
        struct pw_parquet_leaf *leaf = &f->leaf[f->leaf_count++];

        memcpy(leaf->path, path, at.path_len + 1UL);
        leaf->type = (int8_t)n.type;
        leaf->max_rep = at.max_rep;
        leaf->max_def = at.max_def;
        leaf->element_def = at.element_def;
        leaf->length = n.length < 0 || n.length > UINT16_MAX ? 0 : (uint32_t)n.length;
        leaf->is_unsigned = n.is_unsigned;
    }
    return !in->bad && f->leaf_count != 0;
}

/* --- Row groups ----------------------------------------------------------------------------------- */

static void
read_column_meta(struct pw_bytes *in, struct pw_parquet_read_chunk *c)
{
    struct pw_thrift_field f = {0};

    while (pw_thrift_next(in, &f)) {
        switch (f.id) {
        case 4:
            c->codec = (uint32_t)pw_thrift_read_int(in, &f);
            break;
        case 9:
            c->data_offset = (uint64_t)pw_thrift_read_int(in, &f);
            break;
        case 11:
            c->dictionary_offset = (uint64_t)pw_thrift_read_int(in, &f);
            break;
        default:
            pw_thrift_skip(in, &f);
            break;
        }
    }
}

static void
read_chunk(struct pw_bytes *in, struct pw_parquet_read_chunk *c)
{
    struct pw_thrift_field f = {0};

    while (pw_thrift_next(in, &f)) {
        switch (f.id) {
        case 3:
            if (f.type == PW_THRIFT_STRUCT) {
                read_column_meta(in, c);
                break;
            }
            pw_thrift_skip(in, &f);
            break;
        case 4:
            c->offset_index_offset = (uint64_t)pw_thrift_read_int(in, &f);
            break;
        case 5:
            c->offset_index_bytes = (uint32_t)pw_thrift_read_int(in, &f);
            break;
        case 6:
            c->column_index_offset = (uint64_t)pw_thrift_read_int(in, &f);
            break;
        case 7:
            c->column_index_bytes = (uint32_t)pw_thrift_read_int(in, &f);
            break;
        default:
            pw_thrift_skip(in, &f);
            break;
        }
    }
}

static bool
read_group(struct pw_bytes *in, struct pw_parquet_file *file, uint32_t group)
{
    struct pw_thrift_field f = {0};
    uint32_t columns = 0;
    int64_t rows = -1;

    while (pw_thrift_next(in, &f)) {
        if (f.id == 1 && columns == 0) {
            columns = pw_thrift_read_list(in, &f, PW_THRIFT_STRUCT);
            if (columns != file->leaf_count) {
                return false;
            }
            for (uint32_t i = 0; i < columns; i++) {
                read_chunk(in, &file->chunk[(size_t)group * columns + i]);
            }
        } else if (f.id == 3) {
            rows = pw_thrift_read_int(in, &f);
        } else {
            pw_thrift_skip(in, &f);
        }
    }
    if (in->bad || columns != file->leaf_count || rows < 0 || rows > INT32_MAX) {
        return false;
    }
    file->group_rows[group] = (uint64_t)rows;
    file->rows += (uint64_t)rows;
    return true;
}

static int
read_groups(struct pw_bytes *in, struct pw_parquet_file *f, uint32_t n)
{
    /* A column of a row group takes more bytes than it makes us allocate, or nearly: the footer was
     * found to be that long by pw_thrift_read_list, one byte each at least. */
    if (f->leaf_count == 0 || f->group_rows != NULL || n > pw_bytes_left(in) / f->leaf_count) {
        return n == 0 ? 0 : PW_EINVAL;
    }
    f->group_rows = calloc(n + 1UL, sizeof(*f->group_rows));
    f->chunk = calloc((size_t)n * f->leaf_count + 1, sizeof(*f->chunk));
    if (f->group_rows == NULL || f->chunk == NULL) {
        return PW_ENOMEM;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (!read_group(in, f, i)) {
            return PW_EINVAL;
        }
        f->group_count++;
    }
    return 0;
}

static int
read_footer(struct pw_parquet_file *f, struct pw_bytes *in)
{
    struct pw_thrift_field field = {0};
    int rc = 0;

    while (rc == 0 && pw_thrift_next(in, &field)) {
        if (field.id == 2 && f->leaf_count == 0) {
            uint32_t n = pw_thrift_read_list(in, &field, PW_THRIFT_STRUCT);

            rc = read_schema(in, f, n) ? 0 : PW_EINVAL;
        } else if (field.id == 4) {
            rc = read_groups(in, f, pw_thrift_read_list(in, &field, PW_THRIFT_STRUCT));
        } else {
            pw_thrift_skip(in, &field);
        }
    }
    return rc != 0 ? rc : in->bad || f->leaf_count == 0 ? PW_EINVAL : 0;
}

int
pw_parquet_open(struct pw_parquet_file *f, struct pw_slice bytes, const char *name,
                struct pw_block_error *err)
{
    struct pw_bytes in;
    uint32_t len;
    int rc;

    *f = (struct pw_parquet_file){
        .bytes = bytes,
        .name = name,
        .skip_checksums_fortest = f->skip_checksums_fortest,
        .files = f->files,
    };
    if (bytes.len >= FOOTER_TAIL_BYTES) {
        rc = pw_block_need(f->files, bytes, bytes.len - FOOTER_TAIL_BYTES, FOOTER_TAIL_BYTES, err);
        if (rc != 0) {
            return rc;
        }
    }
    if (bytes.len < FOOTER_TAIL_BYTES + MAGIC_BYTES ||
        memcmp(bytes.ptr + bytes.len - MAGIC_BYTES, "PAR1", MAGIC_BYTES) != 0) {
        return pw_parquet_error(err, f, PW_EINVAL, bytes.len, "not a parquet file");
    }
    len = pw_load_le32(bytes.ptr + bytes.len - FOOTER_TAIL_BYTES);
    if (len > bytes.len - FOOTER_TAIL_BYTES - MAGIC_BYTES) {
        return pw_parquet_error(err, f, PW_EINVAL, bytes.len - FOOTER_TAIL_BYTES,
                                "footer of %u bytes is longer than the file", len);
    }
    rc = pw_block_need(f->files, bytes, bytes.len - FOOTER_TAIL_BYTES - len, len, err);
    if (rc != 0) {
        return rc;
    }
    in = pw_bytes(pw_slice(bytes.ptr + bytes.len - FOOTER_TAIL_BYTES - len, len));
    rc = read_footer(f, &in);
    if (rc != 0) {
        pw_parquet_close(f);
        return pw_parquet_error(err, f, rc, (uint64_t)(in.p - bytes.ptr), "bad footer");
    }
    return 0;
}

void
pw_parquet_close(struct pw_parquet_file *f)
{
    free(f->group_rows);
    free(f->chunk);
    f->group_rows = NULL;
    f->chunk = NULL;
    f->group_count = 0;
}

int
pw_parquet_find_leaf(const struct pw_parquet_file *f, const char *path)
{
    for (uint32_t i = 0; i < f->leaf_count; i++) {
        if (strcmp(f->leaf[i].path, path) == 0) {
            return (int)i;
        }
    }
    return -1;
}
