/* One page: header, levels, values. Nothing in it is believed before it was compared with what is there. */
#include "store/block/parquet_reader.h"

#include "store/block/delta.h"
#include "store/block/thrift.h"

#include <isa-l/crc.h>
#include <stdlib.h>

struct page_header {
    int64_t type, plain_bytes, stored_bytes;
    int64_t values, encoding;
    int64_t def_bytes, rep_bytes; /* V2 */
    uint32_t crc;
    bool has_crc, is_plain; /* V2: is_compressed false */
};

static int
bad_page(const struct pw_parquet_column *c, struct pw_block_error *err, int rc, const uint8_t *at,
         const char *what)
{
    return pw_parquet_error(err, c->file, rc, (uint64_t)(at - c->file->bytes.ptr), "%s: %s",
                            c->leaf->path, what);
}

static void
read_data_header(struct pw_bytes *in, struct page_header *h, bool v2)
{
    struct pw_thrift_field f = {0};

    while (pw_thrift_next(in, &f)) {
        if (f.id == 1) {
            h->values = pw_thrift_read_int(in, &f);
        } else if (f.id == (v2 ? 4 : 2)) {
            h->encoding = pw_thrift_read_int(in, &f);
        } else if (v2 && f.id == 5) {
            h->def_bytes = pw_thrift_read_int(in, &f);
        } else if (v2 && f.id == 6) {
            h->rep_bytes = pw_thrift_read_int(in, &f);
        } else if (v2 && f.id == 7) {
            h->is_plain = f.type == PW_THRIFT_FALSE;
        } else {
            pw_thrift_skip(in, &f);
        }
    }
}

static void
read_header(struct pw_bytes *in, struct page_header *h)
{
    struct pw_thrift_field f = {0};

    *h = (struct page_header){.type = -1};
    while (pw_thrift_next(in, &f)) {
        switch (f.id) {
        case 1:
            h->type = pw_thrift_read_int(in, &f);
            break;
        case 2:
            h->plain_bytes = pw_thrift_read_int(in, &f);
            break;
        case 3:
            h->stored_bytes = pw_thrift_read_int(in, &f);
            break;
        case 4:
            h->has_crc = true;
            h->crc = (uint32_t)pw_thrift_read_int(in, &f);
            break;
        case 5: /* data page; also of a dictionary page: count and encoding are where V1 has them */
        case 7:
            read_data_header(in, h, false);
            break;
        case 8:
            read_data_header(in, h, true);
            break;
        default:
            pw_thrift_skip(in, &f);
            break;
        }
    }
}

/* The header and the bytes behind it, as stored. */
static int
open_page(const struct pw_parquet_column *c, uint64_t offset, uint64_t bytes, struct page_header *h,
          struct pw_slice *body, struct pw_block_error *err)
{
    struct pw_bytes in = pw_bytes(pw_slice(c->file->bytes.ptr + offset, bytes));
    const uint8_t *at = in.p, *p;
    int rc = pw_block_need(c->file->files, c->file->bytes, offset, bytes, err);

    if (rc != 0) {
        return rc;
    }
    read_header(&in, h);
    if (in.bad || h->stored_bytes < 0 || h->plain_bytes < 0 ||
        h->plain_bytes > PW_PARQUET_PAGE_BYTES_MAX || h->values < 0 ||
        h->values > PW_PARQUET_PAGE_VALUES_MAX) {
        return bad_page(c, err, PW_EINVAL, at, "page header");
    }
    p = pw_bytes_take(&in, (uint64_t)h->stored_bytes);
    if (p == NULL) {
        return bad_page(c, err, PW_EINVAL, at, "page is longer than its place");
    }
    *body = pw_slice(p, (size_t)h->stored_bytes);
    if (h->has_crc && !c->file->skip_checksums_fortest &&
        crc32_gzip_refl(0, p, body->len) != h->crc) {
        return bad_page(c, err, PW_EINVAL, at, "checksum of a page differs");
    }
    return 0;
}

/* stored -> plain; into *buf when it has to be decompressed. */
static int
decompress(const struct pw_parquet_column *c, struct pw_slice stored, uint64_t plain_bytes,
           uint8_t **buf, size_t *cap, struct pw_slice *plain, struct pw_block_error *err)
{
    int rc;

    if (plain_bytes > *cap) {
        free(*buf);
        *cap = 0;
        *buf = malloc(plain_bytes);
        if (*buf == NULL) {
            return PW_ENOMEM;
        }
        *cap = plain_bytes;
    }
    rc = pw_parquet_unpack(c->chunk->codec, stored, *buf, plain_bytes);
    if (rc != 0) {
        return bad_page(c, err, rc, stored.ptr, "compressed data");
    }
    *plain = pw_slice(*buf, plain_bytes);
    return 0;
}

static bool
is_compressed(const struct pw_parquet_column *c, const struct page_header *h)
{
    return c->chunk->codec != PW_PARQUET_UNCOMPRESSED && !h->is_plain;
}

/* --- Values --------------------------------------------------------------------------------------- */

void
pw_parquet_values_fini(struct pw_parquet_values *v)
{
    free(v->ints);
    free(v->flba);
    free(v->strings);
    *v = (struct pw_parquet_values){0};
}

static int
values_reserve(struct pw_parquet_values *v, const struct pw_parquet_leaf *leaf, uint32_t n)
{
    v->count = n;
    if (n <= v->cap) {
        return 0;
    }
    pw_parquet_values_fini(v);
    if (leaf->type == PW_PARQUET_BYTE_ARRAY) {
        v->strings = malloc(n * sizeof(*v->strings));
    } else if (leaf->type == PW_PARQUET_FLBA) {
        v->flba = malloc(n * sizeof(*v->flba));
    } else {
        v->ints = malloc(n * sizeof(*v->ints));
    }
    if (v->strings == NULL && v->flba == NULL && v->ints == NULL) {
        return PW_ENOMEM;
    }
    v->count = v->cap = n;
    return 0;
}

static bool
plain_strings(struct pw_bytes *in, struct pw_slice *out, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *len = pw_bytes_take(in, 4);
        const uint8_t *p = len == NULL ? NULL : pw_bytes_take(in, pw_load_le32(len));

        if (p == NULL) {
            return false;
        }
        out[i] = pw_slice(p, pw_load_le32(len));
    }
    return true;
}

static bool
plain_ints(struct pw_bytes *in, const struct pw_parquet_leaf *leaf, int64_t *out, uint32_t n)
{
    uint32_t width = leaf->type == PW_PARQUET_INT64 ? 8 : 4;
    const uint8_t *p;

    if (leaf->type == PW_PARQUET_BOOLEAN) {
        p = pw_bytes_take(in, (n + 7UL) / 8);
        for (uint32_t i = 0; p != NULL && i < n; i++) {
            out[i] = p[i / 8] >> (i % 8) & 1;
        }
        return p != NULL;
    }
    p = pw_bytes_take(in, (uint64_t)n * width);
    for (uint32_t i = 0; p != NULL && i < n; i++, p += width) {
        out[i] = width == 8 ? (int64_t)pw_load_le64(p) : (int64_t)(int32_t)pw_load_le32(p);
    }
    return p != NULL;
}

static bool
plain(struct pw_bytes *in, const struct pw_parquet_leaf *leaf, struct pw_parquet_values *v)
{
    const uint8_t *p;

    if (leaf->type == PW_PARQUET_BYTE_ARRAY) {
        return plain_strings(in, v->strings, v->count);
    }
    if (leaf->type != PW_PARQUET_FLBA) {
        return plain_ints(in, leaf, v->ints, v->count);
    }
    p = pw_bytes_take(in, (uint64_t)v->count * PW_PARQUET_FLBA_BYTES);
    if (p != NULL && v->count != 0) {
        memcpy(v->flba, p, (size_t)v->count * PW_PARQUET_FLBA_BYTES);
    }
    return p != NULL;
}

/* DELTA_LENGTH_BYTE_ARRAY: lengths, then the bytes of all. */
static bool
delta_strings(struct pw_bytes *in, struct pw_parquet_values *v)
{
    int64_t *len = malloc((v->count + 1UL) * sizeof(*len));
    bool ok = len != NULL && pw_delta_decode(in, 32, len, v->count) == 0;

    for (uint32_t i = 0; i < v->count && ok; i++) {
        const uint8_t *p = len[i] < 0 ? NULL : pw_bytes_take(in, (uint64_t)len[i]);

        ok = p != NULL;
        v->strings[i] = pw_slice(p, (size_t)len[i]);
    }
    free(len);
    return ok;
}

static int
index_reserve(struct pw_parquet_column *c, uint32_t n)
{
    if (n > c->index_cap) {
        free(c->index);
        c->index_cap = 0;
        c->index = malloc(n * sizeof(*c->index));
        if (c->index == NULL) {
            return PW_ENOMEM;
        }
        c->index_cap = n;
    }
    return 0;
}

static bool
dictionary_values(struct pw_parquet_column *c, struct pw_bytes *in)
{
    const struct pw_parquet_values *d = &c->dictionary;
    struct pw_parquet_values *v = &c->values;
    uint8_t width;

    if (v->count == 0) {
        return true;
    }
    width = pw_bytes_u8(in);
    if (!c->has_dictionary || in->bad || width > 32 || index_reserve(c, v->count) != 0 ||
        pw_rle_decode(in, width, c->index, v->count) != 0) {
        return false;
    }
    for (uint32_t i = 0; i < v->count; i++) {
        uint32_t k = c->index[i];

        if (k >= d->count) {
            return false;
        }
        if (v->ints != NULL) {
            v->ints[i] = d->ints[k];
        } else if (v->flba != NULL) {
            memcpy(v->flba[i], d->flba[k], sizeof(v->flba[i]));
        } else {
            v->strings[i] = d->strings[k];
        }
    }
    return true;
}

static bool
decode_values(struct pw_parquet_column *c, struct pw_slice data, int64_t encoding, bool *known)
{
    struct pw_bytes in = pw_bytes(data);
    int8_t type = c->leaf->type;

    *known = true;
    if (encoding == PW_PARQUET_PLAIN) {
        return plain(&in, c->leaf, &c->values);
    }
    if (encoding == PW_PARQUET_RLE_DICTIONARY || encoding == PW_PARQUET_PLAIN_DICTIONARY) {
        return dictionary_values(c, &in);
    }
    if (encoding == PW_PARQUET_DELTA_BINARY_PACKED &&
        (type == PW_PARQUET_INT32 || type == PW_PARQUET_INT64)) {
        return c->values.count == 0 || pw_delta_decode(&in, type == PW_PARQUET_INT32 ? 32 : 64,
                                                       c->values.ints, c->values.count) == 0;
    }
    if (encoding == PW_PARQUET_DELTA_LENGTH_BYTE_ARRAY && type == PW_PARQUET_BYTE_ARRAY) {
        return c->values.count == 0 || delta_strings(&in, &c->values);
    }
    *known = false;
    return false;
}

/* --- Levels --------------------------------------------------------------------------------------- */

struct page_parts {
    struct pw_slice rep, def, values;
};

/* V1: levels have a length in front and are compressed with the values. */
static bool
split_v1(const struct pw_parquet_leaf *leaf, struct pw_slice body, struct page_parts *out)
{
    struct pw_bytes in = pw_bytes(body);
    struct pw_slice *part[2] = {&out->rep, &out->def};

    for (int i = 0; i < 2; i++) {
        const uint8_t *len;

        *part[i] = pw_slice(NULL, 0);
        if ((i == 0 ? leaf->max_rep : leaf->max_def) == 0) {
            continue;
        }
        len = pw_bytes_take(&in, 4);
        if (len == NULL) {
            return false;
        }
        part[i]->len = pw_load_le32(len);
        part[i]->ptr = pw_bytes_take(&in, part[i]->len);
        if (part[i]->ptr == NULL) {
            return false;
        }
    }
    out->values = pw_slice(in.p, pw_bytes_left(&in));
    return true;
}

static int
split_page(struct pw_parquet_column *c, const struct page_header *h, struct pw_slice body,
           struct page_parts *out, struct pw_block_error *err)
{
    uint64_t levels = 0;

    if (h->type == PW_PARQUET_DATA_PAGE_V2) {
        if (h->rep_bytes < 0 || h->def_bytes < 0 || h->rep_bytes > (int64_t)body.len ||
            h->def_bytes > (int64_t)body.len - h->rep_bytes ||
            h->rep_bytes + h->def_bytes > h->plain_bytes) {
            return bad_page(c, err, PW_EINVAL, body.ptr, "lengths of levels");
        }
        levels = (uint64_t)(h->rep_bytes + h->def_bytes);
        out->rep = pw_slice(body.ptr, (size_t)h->rep_bytes);
        out->def = pw_slice(body.ptr + h->rep_bytes, (size_t)h->def_bytes);
        out->values = pw_slice(body.ptr + levels, body.len - levels);
        return !is_compressed(c, h) || out->values.len == 0
                   ? 0
                   : decompress(c, out->values, (uint64_t)h->plain_bytes - levels, &c->plain,
                                &c->plain_cap, &out->values, err);
    }
    if (is_compressed(c, h)) {
        int rc =
            decompress(c, body, (uint64_t)h->plain_bytes, &c->plain, &c->plain_cap, &body, err);

        if (rc != 0) {
            return rc;
        }
    }
    return split_v1(c->leaf, body, out) ? 0
                                        : bad_page(c, err, PW_EINVAL, body.ptr, "levels of a page");
}

/* rep and def of n entries side by side; a maximum of 0 has none, and they are all 0. */
static int
decode_levels(struct pw_parquet_column *c, const struct page_parts *parts, uint32_t n)
{
    struct pw_bytes rep = pw_bytes(parts->rep), def = pw_bytes(parts->def);

    if (n == 0) {
        return 0;
    }
    if (n * 2UL > c->level_cap) {
        free(c->level);
        c->level_cap = 0;
        c->level = malloc(n * 2UL);
        if (c->level == NULL) {
            return PW_ENOMEM;
        }
        c->level_cap = n * 2UL;
    }
    if (pw_rle_decode_u8(&rep, pw_bit_width(c->leaf->max_rep), c->level, n) != 0 ||
        pw_rle_decode_u8(&def, pw_bit_width(c->leaf->max_def), c->level + n, n) != 0) {
        return PW_EINVAL;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (c->level[i] > c->leaf->max_rep || c->level[n + i] > c->leaf->max_def) {
            return PW_EINVAL;
        }
    }
    return 0;
}

static int
row_starts(struct pw_parquet_column *c, uint32_t n, uint32_t *elements)
{
    uint64_t rows = c->end_row - c->first_row, row = 0;

    if (rows + 1 > c->row_start_cap) {
        free(c->row_start);
        c->row_start_cap = 0;
        c->row_start = malloc((rows + 1) * sizeof(*c->row_start));
        if (c->row_start == NULL) {
            return PW_ENOMEM;
        }
        c->row_start_cap = (uint32_t)rows + 1;
    }
    *elements = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (c->level[i] == 0) {
            if (row == rows) {
                return PW_EINVAL;
            }
            c->row_start[row++] = *elements;
        } else if (row == 0) {
            return PW_EINVAL; /* begins in the middle of a row */
        }
        *elements += c->level[n + i] >= c->leaf->element_def;
    }
    c->row_start[rows] = *elements;
    return row == rows ? 0 : PW_EINVAL;
}

/* Values stand packed at the front: moves each to the place of its element, from the last on; nulls
 * become zero. */
static void
spread(struct pw_parquet_column *c, uint32_t n, uint32_t elements, uint32_t present)
{
    struct pw_parquet_values *v = &c->values;
    const uint8_t *def = c->level + n;
    uint32_t at = elements, from = present;

    for (uint32_t i = n; i-- > 0;) {
        bool has = def[i] == c->leaf->max_def;

        if (c->leaf->max_rep != 0 && def[i] < c->leaf->element_def) {
            continue;
        }
        at--;
        from -= has;
        if (v->ints != NULL) {
            v->ints[at] = has ? v->ints[from] : 0;
        } else if (v->strings != NULL) {
            v->strings[at] = has ? v->strings[from] : pw_slice("", 0);
        } else if (has) {
            memmove(v->flba[at], v->flba[from], sizeof(v->flba[at]));
        } else {
            memset(v->flba[at], 0, sizeof(v->flba[at]));
        }
    }
}

int
pw_parquet_page_decode(struct pw_parquet_column *c, uint32_t index, struct pw_block_error *err)
{
    const struct pw_parquet_page_place *place = &c->page[index];
    struct page_parts parts;
    struct page_header h;
    struct pw_slice body;
    uint32_t n, elements, present;
    bool known;
    int rc = open_page(c, place->offset, place->bytes, &h, &body, err);

    if (rc != 0) {
        return rc;
    }
    if (h.type != PW_PARQUET_DATA_PAGE && h.type != PW_PARQUET_DATA_PAGE_V2) {
        return bad_page(c, err, PW_EINVAL, body.ptr, "no data page where the index says");
    }
    rc = split_page(c, &h, body, &parts, err);
    if (rc != 0) {
        return rc;
    }
    n = elements = present = (uint32_t)h.values;
    if (c->leaf->max_def != 0 || c->leaf->max_rep != 0) {
        rc = decode_levels(c, &parts, n);
        present = 0;
        for (uint32_t i = 0; rc == 0 && i < n; i++) {
            present += c->level[n + i] == c->leaf->max_def;
        }
    }
    if (rc == 0 && c->leaf->max_rep != 0) {
        rc = row_starts(c, n, &elements);
    } else if (rc == 0 && n != c->end_row - c->first_row) {
        rc = PW_EINVAL;
    }
    if (rc != 0) {
        return bad_page(c, err, rc, body.ptr, "levels do not make the rows the index says");
    }
    /* A level says "null" in a bit: what is reserved is a small multiple of the level bytes read. */
    rc = values_reserve(&c->values, c->leaf, elements);
    if (rc != 0) {
        return rc;
    }
    c->values.count = present;
    if (!decode_values(c, parts.values, h.encoding, &known)) {
        return bad_page(c, err, known ? PW_EINVAL : PW_ENOTSUP, body.ptr,
                        known ? "values of a page" : "encoding of a page");
    }
    c->values.count = elements;
    c->any_value = present != 0;
    if (present != elements) {
        spread(c, n, elements, present);
    }
    return 0;
}

int
pw_parquet_dictionary_decode(struct pw_parquet_column *c, struct pw_block_error *err)
{
    uint64_t offset = c->chunk->dictionary_offset, bytes;
    struct page_header h;
    struct pw_slice body;
    struct pw_bytes in;
    size_t cap = 0;
    int rc;

    if (offset >= c->file->bytes.len) {
        return pw_parquet_error(err, c->file, PW_EINVAL, offset, "dictionary of %s", c->leaf->path);
    }
    /* It lies before the pages of its column. */
    bytes = c->page_count != 0 && c->page[0].offset > offset ? c->page[0].offset - offset
                                                             : c->file->bytes.len - offset;
    rc = open_page(c, offset, bytes, &h, &body, err);
    if (rc != 0) {
        return rc;
    }
    if (h.type != PW_PARQUET_DICTIONARY_PAGE) {
        return bad_page(c, err, PW_EINVAL, body.ptr, "no dictionary page where the footer says");
    }
    if (c->chunk->codec != PW_PARQUET_UNCOMPRESSED && body.len != 0) {
        rc = decompress(c, body, (uint64_t)h.plain_bytes, &c->dictionary_bytes, &cap, &body, err);
    }
    /* PLAIN: no value takes less than a bit. */
    if (rc == 0 && (uint64_t)h.values > body.len * 8) {
        rc = bad_page(c, err, PW_EINVAL, body.ptr, "count of a dictionary");
    }
    rc =
        rc != 0 || h.values == 0 ? rc : values_reserve(&c->dictionary, c->leaf, (uint32_t)h.values);
    if (rc != 0) {
        return rc;
    }
    in = pw_bytes(body);
    if (h.values != 0 && !plain(&in, c->leaf, &c->dictionary)) {
        return bad_page(c, err, PW_EINVAL, body.ptr, "values of a dictionary");
    }
    c->has_dictionary = true;
    return 0;
}
