/* Symbol tables of format 3 (storage.md 1.5): blocks of items, each with a header and columns. */
#include "store/block/symdb_reader.h"

#include "base/crc32c.h"
#include "store/block/delta.h"

#include <stdlib.h>

enum {
    /* Most items a byte of a table can stand for: a block of functions whose columns are all constant
     * takes about 0.2 bytes an item. It bounds what a count can make us allocate. */
    ITEMS_A_BYTE_MAX = 16,
    HEADER_WORDS_MAX = 7,
    BLOCK_ITEMS_MAX = 1 << 20,
};

struct table_reader {
    const struct pw_symdb *d;
    const struct pw_symdb_place *table;
    const struct pw_symdb_table_form *form;
    struct pw_symdb_symbols *s;
    struct pw_block_error *err;
    struct pw_bytes in;
    uint32_t done; /* items of earlier blocks */
    uint32_t word[HEADER_WORDS_MAX];
    int64_t *column;
    size_t column_cap;
};

static int
bad(const struct table_reader *r, const char *what)
{
    return pw_symdb_error(r->err, r->d->data_name, PW_EINVAL, (uint64_t)(r->in.p - r->d->data.ptr),
                          "%s: %s", r->form->name, what);
}

/* n values of a DELTA_BINARY_PACKED stream that takes exactly `bytes`, into r->column; no bytes: zeros,
 * where that is allowed. */
static bool
read_column(struct table_reader *r, uint32_t bytes, uint32_t bits, size_t n, bool optional)
{
    const uint8_t *p = pw_bytes_take(&r->in, bytes);
    struct pw_bytes in;

    if (n > r->column_cap) {
        free(r->column);
        r->column_cap = 0;
        r->column = malloc(n * sizeof(*r->column));
        if (r->column == NULL) {
            return false;
        }
        r->column_cap = n;
    }
    if (p == NULL || (bytes == 0 && !optional && n != 0)) {
        return false;
    }
    if (bytes == 0) {
        memset(r->column, 0, n * sizeof(*r->column));
        return true;
    }
    in = pw_bytes(pw_slice(p, bytes));
    return pw_delta_decode(&in, bits, r->column, n) == 0;
}

/* --- The four tables: n items from r->done on, header words in r->word ------------------------------ */

static bool
read_strings(struct table_reader *r, uint32_t n)
{
    uint32_t width = r->word[1] >> 16 & 0xFF;
    const uint8_t *len = pw_bytes_take(&r->in, (uint64_t)n * (width / 8));

    if ((width != 8 && width != 16) || len == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < n; i++) {
        size_t bytes = width == 8 ? len[i] : pw_load_be16(len + 2UL * i);
        const uint8_t *p = pw_bytes_take(&r->in, bytes);

        if (p == NULL) {
            return false;
        }
        r->s->string[r->done + i] = pw_slice(p, bytes);
    }
    return true;
}

static bool
read_mappings(struct table_reader *r, uint32_t n)
{
    for (uint32_t c = 0; c < 6; c++) {
        if (!read_column(r, r->word[1 + c], c < 3 ? 32 : 64, n, c >= 3)) {
            return false;
        }
        for (uint32_t i = 0; i < n; i++) {
            struct pw_block_mapping *m = &r->s->mapping[r->done + i];
            int64_t v = r->column[i];

            switch (c) {
            case 0:
                m->filename = (uint32_t)v;
                break;
            case 1:
                m->build_id = (uint32_t)v;
                break;
            case 2:
                m->flags = (uint32_t)v;
                break;
            case 3:
                m->memory_start = (uint64_t)v;
                break;
            case 4:
                m->memory_limit = (uint64_t)v;
                break;
            default:
                m->file_offset = (uint64_t)v;
                break;
            }
        }
    }
    return true;
}

static bool
read_functions(struct table_reader *r, uint32_t n)
{
    for (uint32_t c = 0; c < 4; c++) {
        if (!read_column(r, r->word[1 + c], 32, n, false)) {
            return false;
        }
        for (uint32_t i = 0; i < n; i++) {
            struct pw_block_function *f = &r->s->function[r->done + i];
            uint32_t v = (uint32_t)(uint64_t)r->column[i];

            switch (c) {
            case 0:
                f->name = v;
                break;
            case 1:
                f->system_name = v;
                break;
            case 2:
                f->filename = v;
                break;
            default:
                f->start_line = (int32_t)v;
                break;
            }
        }
    }
    return true;
}

static bool
read_lines(struct table_reader *r, uint32_t lines, uint32_t bytes)
{
    if ((uint64_t)lines > (uint64_t)bytes * ITEMS_A_BYTE_MAX + BLOCK_ITEMS_MAX ||
        !read_column(r, bytes, 32, lines * 2UL, lines == 0) ||
        pw_symdb_lines_reserve(r->s, lines) != 0) {
        return false;
    }
    for (uint32_t i = 0; i < lines; i++) {
        r->s->line[r->s->line_count++] = (struct pw_block_line){
            .function = (uint32_t)(uint64_t)r->column[2UL * i],
            .line = r->column[2UL * i + 1],
        };
    }
    return true;
}

static bool
read_locations(struct table_reader *r, uint32_t n)
{
    struct pw_symdb_location *l = r->s->location + r->done;
    uint64_t lines = 0;
    const uint8_t *count;

    if (!read_column(r, r->word[1], 32, n, false)) {
        return false;
    }
    count = pw_bytes_take(&r->in, n);
    for (uint32_t i = 0; count != NULL && i < n; i++) {
        l[i].mapping = (uint32_t)(uint64_t)r->column[i];
        l[i].line_first = r->s->line_count + (uint32_t)lines;
        l[i].line_count = count[i];
        lines += count[i];
    }
    if (count == NULL || lines != r->word[2] || !read_lines(r, r->word[2], r->word[3]) ||
        !read_column(r, r->word[4], 64, n, true)) {
        return false;
    }
    for (uint32_t i = 0; i < n; i++) {
        l[i].address = (uint64_t)r->column[i];
    }
    return pw_bytes_take(&r->in, r->word[5]) != NULL; /* folded: not used, see storage.md 1.5 */
}

/* --- Blocks ----------------------------------------------------------------------------------------- */

static int
read_block(struct table_reader *r, bool (*read)(struct table_reader *, uint32_t))
{
    uint32_t words = (uint32_t)r->form->block_header_bytes / 4 - 1;
    const uint8_t *p = pw_bytes_take(&r->in, r->form->block_header_bytes);
    uint32_t left = r->table->count - r->done, want;

    if (p == NULL) {
        return bad(r, "block header");
    }
    if (pw_crc32c(0, p, words * 4UL) != pw_load_be32(p + words * 4UL) &&
        !r->d->skip_checksums_fortest) {
        return bad(r, "checksum of a block header differs");
    }
    for (uint32_t i = 0; i < words; i++) {
        r->word[i] = pw_load_be32(p + 4UL * i);
    }
    want = left < r->table->block_items ? left : r->table->block_items;
    if (r->word[0] != want || want > BLOCK_ITEMS_MAX) {
        return bad(r, "items of a block");
    }
    if (!read(r, want)) {
        return bad(r, "block");
    }
    r->done += want;
    return 0;
}

static int
read_table(struct table_reader *r, enum pw_symdb_table which, void **items, size_t item_bytes,
           bool (*read)(struct table_reader *, uint32_t))
{
    const struct pw_symdb *d = r->d;
    const struct pw_symdb_place *t = r->table + which;
    const struct pw_symdb_place *first = r->table;
    int rc = 0;

    r->form = &pw_symdb_form[which];
    r->in = pw_bytes(d->data);
    (void)pw_bytes_take(&r->in, t->offset);
    if (r->in.bad || t->size > pw_bytes_left(&r->in) ||
        t->count > (uint64_t)t->size * ITEMS_A_BYTE_MAX) {
        return bad(r, "place of the table");
    }
    r->in.end = r->in.p + t->size;
    rc = pw_block_need(d->files, d->data, t->offset, t->size, r->err);
    if (rc != 0) {
        return rc;
    }
    if (pw_crc32c(0, r->in.p, t->size) != t->crc && !d->skip_checksums_fortest) {
        return bad(r, "checksum of the table differs");
    }
    *items = calloc(t->count + 1UL, item_bytes);
    if (*items == NULL) {
        return PW_ENOMEM;
    }
    r->table = t;
    for (r->done = 0; rc == 0 && r->done < t->count;) {
        rc = read_block(r, read);
    }
    r->table = first;
    return rc;
}

int
pw_symdb_load_tables(const struct pw_symdb *d, const struct pw_symdb_partition *p,
                     struct pw_symdb_symbols *s, struct pw_block_error *err)
{
    struct table_reader r = {.d = d, .table = p->table, .s = s, .err = err};
    int rc;

    rc = read_table(&r, PW_SYMDB_STRINGS, (void **)&s->string, sizeof(*s->string), read_strings);
    rc = rc != 0 ? rc
                 : read_table(&r, PW_SYMDB_MAPPINGS, (void **)&s->mapping, sizeof(*s->mapping),
                              read_mappings);
    rc = rc != 0 ? rc
                 : read_table(&r, PW_SYMDB_FUNCTIONS, (void **)&s->function, sizeof(*s->function),
                              read_functions);
    rc = rc != 0 ? rc
                 : read_table(&r, PW_SYMDB_LOCATIONS, (void **)&s->location, sizeof(*s->location),
                              read_locations);
    free(r.column);
    s->pub.strings_count = p->table[PW_SYMDB_STRINGS].count;
    s->pub.mappings_count = p->table[PW_SYMDB_MAPPINGS].count;
    s->pub.functions_count = p->table[PW_SYMDB_FUNCTIONS].count;
    s->pub.locations_count = p->table[PW_SYMDB_LOCATIONS].count;
    return rc;
}
