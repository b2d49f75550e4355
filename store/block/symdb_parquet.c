/* Symbol tables of format 2 (storage.md 1.6): parquet files, a partition being ranges of their rows. */
#include "store/block/symdb_reader.h"

#include <stdlib.h>

enum { COLUMNS_MAX = 10 };

struct range { /* of rows in a row group */
    uint32_t group, first, rows;
};

/* Calls put with the columns loaded at each row of the partition, in order. */
struct table {
    const struct pw_parquet_file *file;
    const char *const *leaf; /* names */
    uint32_t leaves;
    const uint8_t *range;
    uint32_t ranges;
    struct pw_block_error *err;
    struct pw_parquet_column column[COLUMNS_MAX];
};

typedef int (*put_fn)(struct pw_symdb_symbols *s, const struct table *t, uint64_t row, uint32_t i);

static struct range
range_at(const struct table *t, uint32_t i)
{
    const uint8_t *p = t->range + (size_t)i * PW_SYMDB_RANGE_BYTES;

    return (struct range){pw_load_be32(p), pw_load_be32(p + 4), pw_load_be32(p + 8)};
}

/* How many rows the ranges have together. No row takes less than a bit of its file. */
static int
count_rows(const struct table *t, uint32_t *rows)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < t->ranges; i++) {
        struct range r = range_at(t, i);

        n += r.rows;
        if (r.group >= t->file->group_count || r.first > t->file->group_rows[r.group] ||
            r.rows > t->file->group_rows[r.group] - r.first || n > t->file->bytes.len * 8) {
            return pw_parquet_error(t->err, t->file, PW_EINVAL, 0,
                                    "range of rows %u+%u of group %u", r.first, r.rows, r.group);
        }
    }
    *rows = (uint32_t)n;
    return 0;
}

static int64_t
int_at(const struct table *t, uint32_t column, uint64_t row)
{
    uint32_t from, end;

    pw_parquet_column_row(&t->column[column], row, &from, &end);
    return t->column[column].values.ints[from];
}

static void
close_columns(struct table *t)
{
    for (uint32_t i = 0; i < t->leaves; i++) {
        pw_parquet_column_close(&t->column[i]);
    }
}

static int
open_columns(struct table *t, uint32_t group)
{
    for (uint32_t i = 0; i < t->leaves; i++) {
        int leaf = pw_parquet_find_leaf(t->file, t->leaf[i]);
        bool list = strncmp(t->leaf[i], "Line.", 5) == 0,
             string = strcmp(t->leaf[i], "String") == 0;
        int rc;

        if (leaf < 0 || (t->file->leaf[leaf].max_rep != 0) != list ||
            (t->file->leaf[leaf].type == PW_PARQUET_BYTE_ARRAY) != string ||
            t->file->leaf[leaf].type == PW_PARQUET_FLBA) {
            return pw_parquet_error(t->err, t->file, PW_EINVAL, 0, "column %s", t->leaf[i]);
        }
        rc = pw_parquet_column_open(&t->column[i], t->file, group, (uint32_t)leaf, false, t->err);
        if (rc != 0) {
            return rc;
        }
        /* Slices of strings are kept: they have to point into the file. */
        if (string && t->column[i].chunk->codec != PW_PARQUET_UNCOMPRESSED) {
            return pw_parquet_error(t->err, t->file, PW_ENOTSUP, 0, "compressed strings");
        }
    }
    return 0;
}

static int
read_range(struct table *t, struct pw_symdb_symbols *s, struct range r, uint32_t *done, put_fn put)
{
    int rc = open_columns(t, r.group);

    for (uint64_t row = r.first; rc == 0 && row < (uint64_t)r.first + r.rows; row++) {
        for (uint32_t c = 0; rc == 0 && c < t->leaves; c++) {
            rc = pw_parquet_column_load(&t->column[c], row, t->err);
        }
        rc = rc != 0 ? rc : put(s, t, row, (*done)++);
    }
    close_columns(t);
    return rc;
}

static int
read_all(struct table *t, struct pw_symdb_symbols *s, put_fn put)
{
    uint32_t done = 0;
    int rc = 0;

    for (uint32_t i = 0; i < t->ranges && rc == 0; i++) {
        rc = read_range(t, s, range_at(t, i), &done, put);
    }
    return rc;
}

/* --- The four tables -------------------------------------------------------------------------------- */

static int
put_string(struct pw_symdb_symbols *s, const struct table *t, uint64_t row, uint32_t i)
{
    uint32_t from, end;

    pw_parquet_column_row(&t->column[0], row, &from, &end);
    s->string[i] = t->column[0].values.strings[from];
    return 0;
}

static int
put_function(struct pw_symdb_symbols *s, const struct table *t, uint64_t row, uint32_t i)
{
    s->function[i] = (struct pw_block_function){
        .name = (uint32_t)int_at(t, 0, row),
        .system_name = (uint32_t)int_at(t, 1, row),
        .filename = (uint32_t)int_at(t, 2, row),
        .start_line = int_at(t, 3, row),
    };
    return 0;
}

static int
put_mapping(struct pw_symdb_symbols *s, const struct table *t, uint64_t row, uint32_t i)
{
    s->mapping[i] = (struct pw_block_mapping){
        .memory_start = (uint64_t)int_at(t, 0, row),
        .memory_limit = (uint64_t)int_at(t, 1, row),
        .file_offset = (uint64_t)int_at(t, 2, row),
        .filename = (uint32_t)int_at(t, 3, row),
        .build_id = (uint32_t)int_at(t, 4, row),
        .flags = (int_at(t, 5, row) != 0 ? PW_BLOCK_HAS_FUNCTIONS : 0) |
                 (int_at(t, 6, row) != 0 ? PW_BLOCK_HAS_FILENAMES : 0) |
                 (int_at(t, 7, row) != 0 ? PW_BLOCK_HAS_LINE_NUMBERS : 0) |
                 (int_at(t, 8, row) != 0 ? PW_BLOCK_HAS_INLINE_FRAMES : 0),
    };
    return 0;
}

static int
put_location(struct pw_symdb_symbols *s, const struct table *t, uint64_t row, uint32_t i)
{
    enum { FUNCTION = 2, LINE = 3 };
    uint32_t from, end, from_line, end_line;

    pw_parquet_column_row(&t->column[FUNCTION], row, &from, &end);
    pw_parquet_column_row(&t->column[LINE], row, &from_line, &end_line);
    if (end - from != end_line - from_line) {
        return pw_parquet_error(t->err, t->file, PW_EINVAL, 0, "lines of location %u", i);
    }
    if (pw_symdb_lines_reserve(s, end - from) != 0) {
        return PW_ENOMEM;
    }
    s->location[i] = (struct pw_symdb_location){
        .address = (uint64_t)int_at(t, 1, row),
        .mapping = (uint32_t)int_at(t, 0, row),
        .line_first = s->line_count,
        .line_count = end - from,
    };
    for (; from < end; from++, from_line++) {
        s->line[s->line_count++] = (struct pw_block_line){
            .function = (uint32_t)t->column[FUNCTION].values.ints[from],
            .line = t->column[LINE].values.ints[from_line],
        };
    }
    return 0;
}

struct table_form {
    const char *leaf[COLUMNS_MAX];
    uint32_t leaves;
    put_fn put;
};

static const struct table_form forms[PW_SYMDB_TABLES] = {
    [PW_SYMDB_LOCATIONS] = {{"MappingId", "Address", "Line.FunctionId", "Line.Line"},
                            4,
                            put_location},
    [PW_SYMDB_MAPPINGS] = {{"MemoryStart", "MemoryLimit", "FileOffset", "Filename", "BuildId",
                            "HasFunctions", "HasFilenames", "HasLineNumbers", "HasInlineFrames"},
                           9,
                           put_mapping},
    [PW_SYMDB_FUNCTIONS] = {{"Name", "SystemName", "Filename", "StartLine"}, 4, put_function},
    [PW_SYMDB_STRINGS] = {{"String"}, 1, put_string},
};

static int
load(const struct pw_symdb *d, const struct pw_symdb_partition *p, enum pw_symdb_table which,
     struct pw_symdb_symbols *s, struct pw_block_error *err)
{
    static const size_t item_bytes[PW_SYMDB_TABLES] = {
        [PW_SYMDB_LOCATIONS] = sizeof(struct pw_symdb_location),
        [PW_SYMDB_MAPPINGS] = sizeof(struct pw_block_mapping),
        [PW_SYMDB_FUNCTIONS] = sizeof(struct pw_block_function),
        [PW_SYMDB_STRINGS] = sizeof(struct pw_slice),
    };
    void **items[PW_SYMDB_TABLES] = {
        [PW_SYMDB_LOCATIONS] = (void **)&s->location,
        [PW_SYMDB_MAPPINGS] = (void **)&s->mapping,
        [PW_SYMDB_FUNCTIONS] = (void **)&s->function,
        [PW_SYMDB_STRINGS] = (void **)&s->string,
    };
    uint32_t *counts[PW_SYMDB_TABLES] = {
        [PW_SYMDB_LOCATIONS] = &s->pub.locations_count,
        [PW_SYMDB_MAPPINGS] = &s->pub.mappings_count,
        [PW_SYMDB_FUNCTIONS] = &s->pub.functions_count,
        [PW_SYMDB_STRINGS] = &s->pub.strings_count,
    };
    struct table t = {
        .file = &d->file[which],
        .leaf = forms[which].leaf,
        .leaves = forms[which].leaves,
        .range = p->range[which],
        .ranges = p->ranges[which],
        .err = err,
    };
    int rc = count_rows(&t, counts[which]);

    if (rc != 0) {
        return rc;
    }
    *items[which] = calloc(*counts[which] + 1UL, item_bytes[which]);
    return *items[which] == NULL ? PW_ENOMEM : read_all(&t, s, forms[which].put);
}

int
pw_symdb_load_parquet(const struct pw_symdb *d, const struct pw_symdb_partition *p,
                      struct pw_symdb_symbols *s, struct pw_block_error *err)
{
    int rc = 0;

    for (uint32_t i = 0; i < PW_SYMDB_TABLES && rc == 0; i++) {
        rc = load(d, p, i, s, err);
    }
    return rc;
}
