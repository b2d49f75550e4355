/* Index of the partitions, and what both formats have in common. */
#include "store/block/symdb_reader.h"

#include "base/crc32c.h"

#include <stdio.h>
#include <stdlib.h>

int
pw_symdb_error(struct pw_block_error *err, const char *file, int rc, uint64_t offset,
               const char *fmt, ...)
{
    int n =
        snprintf(err->text, sizeof(err->text), "%s at %llu: ", file, (unsigned long long)offset);
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(err->text + n, sizeof(err->text) - (size_t)n, fmt, ap);
    va_end(ap);
    return rc;
}

/* --- Partition headers ---------------------------------------------------------------------------- */

/* The 64 bytes of a chunk of stacks. */
static bool
read_stacks(struct pw_bytes *in, struct pw_symdb_place *t, uint64_t partition)
{
    const uint8_t *p = pw_bytes_take(in, PW_SYMDB_STACKS_BYTES);
    uint64_t size;

    if (p == NULL) {
        return false;
    }
    size = pw_load_be64(p + 8);
    t->offset = pw_load_be64(p);
    t->size = (uint32_t)size;
    t->count = pw_load_be32(p + 36);
    t->crc = pw_load_be32(p + 60);
    return size <= UINT32_MAX && pw_load_be64(p + 16) == partition &&
           p[27] == PW_SYMDB_STACKS_GROUP_VARINT;
}

static bool
read_table(struct pw_bytes *in, struct pw_symdb_place *t, const struct pw_symdb_table_form *form)
{
    const uint8_t *p = pw_bytes_take(in, PW_SYMDB_TABLE_BYTES);

    if (p == NULL) {
        return false;
    }
    t->offset = pw_load_be64(p);
    t->size = pw_load_be32(p + 8);
    t->crc = pw_load_be32(p + 12);
    t->count = pw_load_be32(p + 16);
    t->block_items = pw_load_be32(p + 20);
    return t->count == 0 || (pw_load_be16(p + 24) == form->block_header_bytes &&
                             pw_load_be16(p + 26) == form->format && t->block_items != 0);
}

static int
read_partition(struct pw_symdb *d, struct pw_bytes *in, struct pw_symdb_partition *p)
{
    uint32_t chunks;

    p->id = pw_bytes_be64(in);
    chunks = pw_bytes_be32(in);
    if (chunks > 1) {
        return in->bad ? PW_EINVAL : PW_ENOTSUP;
    }
    for (uint32_t i = 0; i < PW_SYMDB_TABLES && d->version == 2; i++) {
        p->ranges[i] = pw_bytes_be32(in);
    }
    if (chunks == 1 && !read_stacks(in, &p->stacks, p->id)) {
        return PW_EINVAL;
    }
    for (uint32_t i = 0; i < PW_SYMDB_TABLES; i++) {
        if (d->version == 2) {
            p->range[i] = pw_bytes_take(in, (uint64_t)p->ranges[i] * PW_SYMDB_RANGE_BYTES);
        } else if (!read_table(in, &p->table[i], &pw_symdb_form[i])) {
            return PW_EINVAL;
        }
    }
    return in->bad ? PW_EINVAL : 0;
}

static int
read_partitions(struct pw_symdb *d, struct pw_bytes in, uint64_t base, struct pw_block_error *err)
{
    enum { PARTITION_BYTES_MIN = 12 };
    const uint8_t *start = in.p;
    uint32_t n = pw_bytes_be32(&in);

    if (n > pw_bytes_left(&in) / PARTITION_BYTES_MIN) {
        return pw_symdb_error(err, d->index_name, PW_EINVAL, base, "%u partitions", n);
    }
    d->partition = calloc(n + 1UL, sizeof(*d->partition));
    if (d->partition == NULL) {
        return PW_ENOMEM;
    }
    for (uint32_t i = 0; i < n; i++) {
        int rc = read_partition(d, &in, &d->partition[i]);

        if (rc != 0) {
            return pw_symdb_error(err, d->index_name, rc, base + (uint64_t)(in.p - start),
                                  "header of partition %u", i);
        }
        d->partitions++;
    }
    return 0;
}

/* Header, one TOC entry (size, offset), partition headers, checksum of all before it. base: where the
 * index is in its file. */
static int
read_index(struct pw_symdb *d, uint64_t base, struct pw_block_error *err)
{
    struct pw_slice ix = d->index;
    uint64_t size, offset;

    if (ix.len < PW_SYMDB_HEADER_BYTES + PW_SYMDB_TOC_BYTES + 4 ||
        memcmp(ix.ptr, PW_SYMDB_MAGIC, 4) != 0) {
        return pw_symdb_error(err, d->index_name, PW_EINVAL, base, "not a symbols index");
    }
    if (pw_crc32c(0, ix.ptr, ix.len - 4) != pw_load_be32(ix.ptr + ix.len - 4) &&
        !d->skip_checksums_fortest) {
        return pw_symdb_error(err, d->index_name, PW_EINVAL, base, "index: checksum differs");
    }
    if (pw_load_be32(ix.ptr + 4) != d->version) {
        return pw_symdb_error(err, d->index_name, PW_ENOTSUP, base, "format %u",
                              pw_load_be32(ix.ptr + 4));
    }
    size = pw_load_be64(ix.ptr + PW_SYMDB_HEADER_BYTES);
    offset = pw_load_be64(ix.ptr + PW_SYMDB_HEADER_BYTES + 8);
    if (offset > ix.len - 4 || size > ix.len - 4 - offset) {
        return pw_symdb_error(err, d->index_name, PW_EINVAL, base, "table of contents");
    }
    return read_partitions(d, pw_bytes(pw_slice(ix.ptr + offset, size)), base + offset, err);
}

int
pw_symdb_open_file(struct pw_symdb *d, struct pw_slice symbols, struct pw_block_error *err)
{
    const uint8_t *footer;
    uint64_t offset;
    int rc;

    *d = (struct pw_symdb){
        .version = 3,
        .skip_checksums_fortest = d->skip_checksums_fortest,
        .files = d->files,
        .data = symbols,
        .index_name = "symbols.symdb",
        .data_name = "symbols.symdb",
    };
    if (symbols.len < PW_SYMDB_FOOTER_BYTES) {
        return pw_symdb_error(err, d->index_name, PW_EINVAL, 0, "%zu bytes", symbols.len);
    }
    footer = symbols.ptr + symbols.len - PW_SYMDB_FOOTER_BYTES;
    rc = pw_block_need(d->files, symbols, symbols.len - PW_SYMDB_FOOTER_BYTES,
                       PW_SYMDB_FOOTER_BYTES, err);
    if (rc != 0) {
        return rc;
    }
    offset = pw_load_be64(footer + 8);
    if (memcmp(footer, PW_SYMDB_MAGIC, 4) != 0 || pw_load_be32(footer + 4) != 3 ||
        (!d->skip_checksums_fortest && pw_crc32c(0, footer, PW_SYMDB_FOOTER_BYTES - 4) !=
                                           pw_load_be32(footer + PW_SYMDB_FOOTER_BYTES - 4)) ||
        offset > symbols.len - PW_SYMDB_FOOTER_BYTES) {
        return pw_symdb_error(err, d->index_name, PW_EINVAL, symbols.len - PW_SYMDB_FOOTER_BYTES,
                              "footer");
    }
    d->index = pw_slice(symbols.ptr + offset, symbols.len - PW_SYMDB_FOOTER_BYTES - offset);
    rc = pw_block_need(d->files, symbols, offset, d->index.len, err);
    rc = rc != 0 ? rc : read_index(d, offset, err);
    if (rc != 0) {
        pw_symdb_close(d);
    }
    return rc;
}

int
pw_symdb_open_directory(struct pw_symdb *d, const struct pw_symdb_files *files,
                        struct pw_block_error *err)
{
    static const char *const name[PW_SYMDB_TABLES] = {
        [PW_SYMDB_LOCATIONS] = "locations.parquet",
        [PW_SYMDB_MAPPINGS] = "mappings.parquet",
        [PW_SYMDB_FUNCTIONS] = "functions.parquet",
        [PW_SYMDB_STRINGS] = "strings.parquet",
    };
    int rc;

    *d = (struct pw_symdb){
        .version = 2,
        .skip_checksums_fortest = d->skip_checksums_fortest,
        .files = d->files,
        .index = files->index,
        .data = files->stacktraces,
        .index_name = "index.symdb",
        .data_name = "stacktraces.symdb",
    };
    rc = pw_block_need(d->files, d->index, 0, d->index.len, err);
    rc = rc != 0 ? rc : read_index(d, 0, err);
    for (uint32_t i = 0; i < PW_SYMDB_TABLES && rc == 0; i++) {
        d->file[i].skip_checksums_fortest = d->skip_checksums_fortest;
        d->file[i].files = d->files;
        rc = pw_parquet_open(&d->file[i], files->table[i], name[i], err);
        d->files_open += rc == 0;
    }
    if (rc != 0) {
        pw_symdb_close(d);
    }
    return rc;
}

void
pw_symdb_close(struct pw_symdb *d)
{
    for (uint32_t i = 0; i < d->files_open; i++) {
        pw_parquet_close(&d->file[i]);
    }
    free(d->partition);
    *d = (struct pw_symdb){0};
}

/* --- Symbols of a partition ------------------------------------------------------------------------ */

int
pw_symdb_lines_reserve(struct pw_symdb_symbols *s, uint64_t n)
{
    uint64_t need = s->line_count + n, cap = s->line_cap * 2ULL;
    struct pw_block_line *line;

    if (need <= s->line_cap) {
        return 0;
    }
    cap = cap < need ? need : cap;
    if (cap > UINT32_MAX) {
        return PW_ENOMEM;
    }
    line = realloc(s->line, cap * sizeof(*line));
    if (line == NULL) {
        return PW_ENOMEM;
    }
    s->line = line;
    s->line_cap = (uint32_t)cap;
    return 0;
}

static int
load_stacks(const struct pw_symdb *d, const struct pw_symdb_place *t, struct pw_symdb_symbols *s,
            struct pw_block_error *err)
{
    struct pw_slice data;
    int rc;

    if (t->offset > d->data.len || t->size > d->data.len - t->offset ||
        t->count > pw_stack_tree_nodes_max(t->size)) {
        return pw_symdb_error(err, d->data_name, PW_EINVAL, t->offset, "place of the stacks");
    }
    data = pw_slice(d->data.ptr + t->offset, t->size);
    rc = pw_block_need(d->files, d->data, t->offset, t->size, err);
    if (rc != 0) {
        return rc;
    }
    if (pw_crc32c(0, data.ptr, data.len) != t->crc && !d->skip_checksums_fortest) {
        return pw_symdb_error(err, d->data_name, PW_EINVAL, t->offset, "stacks: checksum differs");
    }
    s->node = malloc((t->count + 1UL) * sizeof(*s->node));
    if (s->node == NULL) {
        return PW_ENOMEM;
    }
    if (pw_stack_tree_read(data, s->node, t->count) != 0) {
        return pw_symdb_error(err, d->data_name, PW_EINVAL, t->offset, "stacks");
    }
    s->pub.stacks_count = t->count;
    return 0;
}

/* What refers to what, all of it. The name of the first that refers to nothing, or NULL. */
static const char *
check_references(const struct pw_symdb_symbols *s)
{
    const struct pw_block_symbols *n = &s->pub;

    for (uint32_t i = 1; i < n->stacks_count; i++) {
        if (s->node[i].location >= n->locations_count) {
            return "location of a stack";
        }
    }
    for (uint32_t i = 0; i < n->locations_count; i++) {
        if (s->location[i].mapping >= n->mappings_count) {
            return "mapping of a location";
        }
    }
    for (uint32_t i = 0; i < s->line_count; i++) {
        if (s->line[i].function >= n->functions_count) {
            return "function of a line";
        }
    }
    for (uint32_t i = 0; i < n->functions_count; i++) {
        const struct pw_block_function *f = &s->function[i];

        if (f->name >= n->strings_count || f->system_name >= n->strings_count ||
            f->filename >= n->strings_count) {
            return "string of a function";
        }
    }
    for (uint32_t i = 0; i < n->mappings_count; i++) {
        if (s->mapping[i].filename >= n->strings_count ||
            s->mapping[i].build_id >= n->strings_count) {
            return "string of a mapping";
        }
    }
    return NULL;
}

int
pw_symdb_load(const struct pw_symdb *d, uint64_t partition, struct pw_symdb_symbols **out,
              struct pw_block_error *err)
{
    const struct pw_symdb_partition *p = NULL;
    struct pw_symdb_symbols *s;
    const char *broken;
    int rc;

    for (uint32_t i = 0; i < d->partitions && p == NULL; i++) {
        p = d->partition[i].id == partition ? &d->partition[i] : NULL;
    }
    if (p == NULL) {
        return pw_symdb_error(err, d->index_name, PW_ENOENT, 0, "no partition %llu",
                              (unsigned long long)partition);
    }
    s = calloc(1, sizeof(*s));
    if (s == NULL) {
        return PW_ENOMEM;
    }
    s->pub.partition = partition;
    rc = load_stacks(d, &p->stacks, s, err);
    if (rc == 0) {
        rc = d->version == 2 ? pw_symdb_load_parquet(d, p, s, err)
                             : pw_symdb_load_tables(d, p, s, err);
    }
    if (rc == 0 && (broken = check_references(s)) != NULL) {
        rc = pw_symdb_error(err, d->data_name, PW_EINVAL, p->stacks.offset,
                            "partition %llu: %s does not exist", (unsigned long long)partition,
                            broken);
    }
    if (rc != 0) {
        pw_symdb_free(s);
        return rc;
    }
    *out = s;
    return 0;
}

void
pw_symdb_free(struct pw_symdb_symbols *s)
{
    free(s->node);
    free(s->location);
    free(s->line);
    free(s->function);
    free(s->mapping);
    free(s->string);
    free(s);
}
