#include "store/block/symdb_writer.h"

#include "base/crc32c.h"
#include "store/block/delta.h"
#include "store/block/symdb_format.h"

#include <stdlib.h>

enum { TEXT_BYTES_MAX = 1 << 30, TREE_STEP = 4096 };

/* Where a table landed. */
struct table_place {
    uint64_t offset, size;
    uint32_t crc, count;
};

int
pw_symdb_writer_init(struct pw_symdb_writer *w, const struct pw_block_source *src,
                     struct pw_block_out *out)
{
    *w = (struct pw_symdb_writer){.src = src, .out = out};
    pw_text_init(&w->headers, TEXT_BYTES_MAX);
    pw_text_init(&w->block, TEXT_BYTES_MAX);
    w->column_cap = PW_SYMDB_BLOCK_ITEMS * 2;
    w->column = malloc(w->column_cap * sizeof(*w->column));
    if (w->column == NULL || pw_id_set_init(&w->locations, src->locations_count) != 0 ||
        pw_id_set_init(&w->functions, src->functions_count) != 0 ||
        pw_id_set_init(&w->mappings, src->mappings_count) != 0 ||
        pw_id_set_init(&w->strings, src->strings_count) != 0) {
        pw_symdb_writer_fini(w);
        return PW_ENOMEM;
    }
    return 0;
}

void
pw_symdb_writer_fini(struct pw_symdb_writer *w)
{
    pw_id_set_fini(&w->locations);
    pw_id_set_fini(&w->functions);
    pw_id_set_fini(&w->mappings);
    pw_id_set_fini(&w->strings);
    pw_text_fini(&w->headers);
    pw_text_fini(&w->block);
    pw_stack_tree_fini(&w->tree);
    free(w->column);
    w->column = NULL;
}

static size_t
memory(const struct pw_symdb_writer *w)
{
    return pw_id_set_memory(&w->locations) + pw_id_set_memory(&w->functions) +
           pw_id_set_memory(&w->mappings) + pw_id_set_memory(&w->strings) + w->headers.cap +
           w->block.cap + w->column_cap * sizeof(*w->column) + pw_stack_tree_memory(&w->tree);
}

/* --- Which symbols -------------------------------------------------------------------------------- */

static void
collect_locations(struct pw_symdb_writer *w, const struct pw_id_set *stacks)
{
    pw_id_set_clear(&w->locations);
    for (uint32_t s = pw_id_set_next(stacks, 0); s != UINT32_MAX;
         s = pw_id_set_next(stacks, s + 1ULL)) {
        uint32_t depth;
        const uint32_t *loc = w->src->stack(w->src->ctx, s, &depth);

        for (uint32_t i = 0; i < depth; i++) {
            pw_id_set_add(&w->locations, loc[i]);
        }
    }
    pw_id_set_freeze(&w->locations);
}

static uint32_t
lines_of(const struct pw_block_location *l)
{
    return l->line_count < PW_BLOCK_LINES_MAX ? l->line_count : PW_BLOCK_LINES_MAX;
}

static void
collect_functions(struct pw_symdb_writer *w)
{
    pw_id_set_clear(&w->functions);
    pw_id_set_clear(&w->mappings);
    w->empty_mapping = false;
    for (uint32_t id = pw_id_set_next(&w->locations, 0); id != UINT32_MAX;
         id = pw_id_set_next(&w->locations, id + 1ULL)) {
        struct pw_block_location l;

        w->src->location(w->src->ctx, id, &l);
        if (l.mapping == PW_BLOCK_NO_MAPPING) {
            w->empty_mapping = true;
        } else {
            pw_id_set_add(&w->mappings, l.mapping);
        }
        for (uint32_t i = 0; i < lines_of(&l); i++) {
            pw_id_set_add(&w->functions, l.line[i].function);
        }
    }
    pw_id_set_freeze(&w->functions);
    pw_id_set_freeze(&w->mappings);
}

static void
use_string(struct pw_symdb_writer *w, uint32_t id)
{
    if (w->src->string(w->src->ctx, id).len != 0) {
        pw_id_set_add(&w->strings, id);
    }
}

static void
collect_strings(struct pw_symdb_writer *w)
{
    pw_id_set_clear(&w->strings);
    for (uint32_t id = pw_id_set_next(&w->functions, 0); id != UINT32_MAX;
         id = pw_id_set_next(&w->functions, id + 1ULL)) {
        struct pw_block_function f;

        w->src->function(w->src->ctx, id, &f);
        use_string(w, f.name);
        use_string(w, f.system_name);
        use_string(w, f.filename);
    }
    for (uint32_t id = pw_id_set_next(&w->mappings, 0); id != UINT32_MAX;
         id = pw_id_set_next(&w->mappings, id + 1ULL)) {
        struct pw_block_mapping m;

        w->src->mapping(w->src->ctx, id, &m);
        use_string(w, m.filename);
        use_string(w, m.build_id);
    }
    pw_id_set_freeze(&w->strings);
}

/* String 0 of a partition is the empty one. */
static int64_t
local_string(const struct pw_symdb_writer *w, uint32_t id)
{
    return w->src->string(w->src->ctx, id).len == 0 ? 0
                                                    : 1 + (int64_t)pw_id_set_rank(&w->strings, id);
}

static int64_t
local_mapping(const struct pw_symdb_writer *w, uint32_t id)
{
    return id == PW_BLOCK_NO_MAPPING ? 0
                                     : w->empty_mapping + (int64_t)pw_id_set_rank(&w->mappings, id);
}

/* --- Tables: blocks of up to 1024 items ------------------------------------------------------------ */

static struct pw_slice
string_at(const struct pw_symdb_writer *w, uint32_t id)
{
    struct pw_slice s = id == UINT32_MAX ? pw_slice("", 0) : w->src->string(w->src->ctx, id);

    s.len = s.len < PW_BLOCK_STRING_BYTES_MAX ? s.len : PW_BLOCK_STRING_BYTES_MAX;
    return s;
}

static void
store_header(struct pw_text *t, const uint32_t *word, uint32_t n)
{
    if (t->failed) {
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        pw_store_be32(t->ptr + 4 * i, word[i]);
    }
    pw_store_be32(t->ptr + 4 * n, pw_crc32c(0, t->ptr, 4 * n));
}

static void
put_strings(struct pw_symdb_writer *w, const uint32_t *id, uint32_t n)
{
    struct pw_text *t = &w->block;
    bool wide = false;
    uint32_t header[2];

    for (uint32_t i = 0; i < n; i++) {
        wide = wide || string_at(w, id[i]).len > UINT8_MAX;
    }
    (void)pw_text_grow(t, pw_symdb_form[PW_SYMDB_STRINGS].block_header_bytes);
    for (uint32_t i = 0; i < n; i++) {
        size_t len = string_at(w, id[i]).len;

        if (wide) {
            pw_text_char(t, (char)(len >> 8));
        }
        pw_text_char(t, (char)len);
    }
    for (uint32_t i = 0; i < n; i++) {
        pw_text_slice(t, string_at(w, id[i]));
    }
    header[0] = n;
    header[1] = (wide ? 16U : 8U) << 16; /* byte 5 of the header */
    store_header(t, header, 2);
}

/* Encodes w->column; how many bytes that took (0 when every value is 0 and that may be left out). */
static uint32_t
put_column(struct pw_symdb_writer *w, size_t n, uint32_t bits, bool optional)
{
    size_t before = w->block.len;
    bool any = !optional;

    for (size_t i = 0; i < n && !any; i++) {
        any = w->column[i] != 0;
    }
    if (any) {
        pw_delta_encode(&w->block, w->column, n, bits);
    }
    return (uint32_t)(w->block.len - before);
}

static void
put_mappings(struct pw_symdb_writer *w, const uint32_t *id, uint32_t n)
{
    enum { COLUMNS = 6 };
    uint32_t header[1 + COLUMNS] = {n};

    (void)pw_text_grow(&w->block, pw_symdb_form[PW_SYMDB_MAPPINGS].block_header_bytes);
    for (uint32_t c = 0; c < COLUMNS; c++) {
        for (uint32_t i = 0; i < n; i++) {
            struct pw_block_mapping m = {0};

            if (id[i] == UINT32_MAX) {
                w->column[i] = 0;
                continue;
            }
            w->src->mapping(w->src->ctx, id[i], &m);
            w->column[i] = c == 0   ? local_string(w, m.filename)
                           : c == 1 ? local_string(w, m.build_id)
                           : c == 2 ? (int64_t)m.flags
                           : c == 3 ? (int64_t)m.memory_start
                           : c == 4 ? (int64_t)m.memory_limit
                                    : (int64_t)m.file_offset;
        }
        header[1 + c] = put_column(w, n, c < 3 ? 32 : 64, c >= 3);
    }
    store_header(&w->block, header, 1 + COLUMNS);
}

static void
put_functions(struct pw_symdb_writer *w, const uint32_t *id, uint32_t n)
{
    enum { COLUMNS = 4 };
    uint32_t header[1 + COLUMNS] = {n};

    (void)pw_text_grow(&w->block, pw_symdb_form[PW_SYMDB_FUNCTIONS].block_header_bytes);
    for (uint32_t c = 0; c < COLUMNS; c++) {
        for (uint32_t i = 0; i < n; i++) {
            struct pw_block_function f;

            w->src->function(w->src->ctx, id[i], &f);
            w->column[i] = c == 0   ? local_string(w, f.name)
                           : c == 1 ? local_string(w, f.system_name)
                           : c == 2 ? local_string(w, f.filename)
                                    : f.start_line;
        }
        header[1 + c] = put_column(w, n, 32, false);
    }
    store_header(&w->block, header, 1 + COLUMNS);
}

static bool
column_reserve(struct pw_symdb_writer *w, size_t n)
{
    int64_t *column;

    if (n <= w->column_cap) {
        return true;
    }
    column = realloc(w->column, n * sizeof(*column));
    if (column == NULL) {
        w->block.failed = true;
        return false;
    }
    w->column = column;
    w->column_cap = n;
    return true;
}

/* (function, line) of every line of the locations, one after another. */
static uint32_t
put_lines(struct pw_symdb_writer *w, const uint32_t *id, uint32_t n, uint32_t lines)
{
    size_t k = 0;

    if (!column_reserve(w, (size_t)lines * 2)) {
        return 0;
    }
    for (uint32_t i = 0; i < n; i++) {
        struct pw_block_location l;

        w->src->location(w->src->ctx, id[i], &l);
        for (uint32_t j = 0; j < lines_of(&l); j++) {
            w->column[k++] = pw_id_set_rank(&w->functions, l.line[j].function);
            w->column[k++] = l.line[j].line;
        }
    }
    return put_column(w, k, 32, false);
}

static void
put_locations(struct pw_symdb_writer *w, const uint32_t *id, uint32_t n)
{
    uint32_t header[6] = {n}; /* count, mapping, lines, lines bytes, addresses, folded: left out */
    struct pw_block_location l;
    bool any_address = false;

    (void)pw_text_grow(&w->block, pw_symdb_form[PW_SYMDB_LOCATIONS].block_header_bytes);
    for (uint32_t i = 0; i < n; i++) {
        w->src->location(w->src->ctx, id[i], &l);
        w->column[i] = local_mapping(w, l.mapping);
        any_address = any_address || l.address != 0;
    }
    header[1] = put_column(w, n, 32, false);
    for (uint32_t i = 0; i < n; i++) {
        w->src->location(w->src->ctx, id[i], &l);
        pw_text_char(&w->block, (char)lines_of(&l));
        header[2] += lines_of(&l);
    }
    header[3] = put_lines(w, id, n, header[2]);
    for (uint32_t i = 0; i < n && any_address; i++) {
        w->src->location(w->src->ctx, id[i], &l);
        w->column[i] = (int64_t)l.address;
    }
    if (any_address) {
        header[4] = put_column(w, n, 64, true);
    }
    store_header(&w->block, header, 6);
}

/* Items of the set in ascending order; `extra`: one more in front, given as UINT32_MAX. */
static struct table_place
put_table(struct pw_symdb_writer *w, const struct pw_id_set *set, bool extra,
          void (*put)(struct pw_symdb_writer *, const uint32_t *, uint32_t))
{
    struct table_place at = {.offset = w->out->offset, .count = set->count + extra};
    uint32_t id[PW_SYMDB_BLOCK_ITEMS];
    uint32_t next = pw_id_set_next(set, 0);

    w->out->crc = 0;
    for (uint32_t done = 0; done < at.count;) {
        uint32_t n = 0;

        if (done == 0 && extra) {
            id[n++] = UINT32_MAX;
        }
        for (; n < PW_SYMDB_BLOCK_ITEMS && next != UINT32_MAX; n++) {
            id[n] = next;
            next = pw_id_set_next(set, next + 1ULL);
        }
        w->block.len = 0;
        put(w, id, n);
        pw_block_out_put(w->out, w->block.ptr, w->block.len);
        done += n;
    }
    at.size = w->out->offset - at.offset;
    at.crc = w->out->crc;
    return at;
}

/* --- Partitions ----------------------------------------------------------------------------------- */

static int
build_tree(struct pw_symdb_writer *w, const struct pw_id_set *stacks, uint32_t *node)
{
    uint32_t *local = NULL;
    uint32_t cap = 0, k = 0;
    int rc = 0;

    pw_stack_tree_fini(&w->tree);
    rc = pw_stack_tree_init(&w->tree);
    for (uint32_t s = pw_id_set_next(stacks, 0); rc == 0 && s != UINT32_MAX;
         s = pw_id_set_next(stacks, s + 1ULL)) {
        uint32_t depth;
        const uint32_t *loc = w->src->stack(w->src->ctx, s, &depth);

        if (depth > cap) {
            uint32_t *more = realloc(local, depth * 2UL * sizeof(*local));

            if (more == NULL) {
                rc = PW_ENOMEM;
                break;
            }
            local = more;
            cap = depth * 2;
        }
        for (uint32_t i = 0; i < depth; i++) {
            local[i] = pw_id_set_rank(&w->locations, loc[i]);
        }
        rc = pw_stack_tree_add(&w->tree, local, depth, &node[k++]);
    }
    free(local);
    return rc;
}

static struct table_place
put_tree(struct pw_symdb_writer *w)
{
    struct table_place at = {.offset = w->out->offset, .count = w->tree.count};

    w->out->crc = 0;
    for (uint32_t i = 0; i < w->tree.count; i += TREE_STEP) {
        uint32_t end = w->tree.count - i < TREE_STEP ? w->tree.count : i + TREE_STEP;

        w->block.len = 0;
        pw_stack_tree_put(w->tree.node, i, end, &w->block);
        pw_block_out_put(w->out, w->block.ptr, w->block.len);
    }
    at.size = w->out->offset - at.offset;
    at.crc = w->out->crc;
    return at;
}

static void
put_stacks_header(struct pw_text *t, uint64_t partition, const struct table_place *at,
                  uint32_t stacks)
{
    pw_put_be64(t, at->offset);
    pw_put_be64(t, at->size);
    pw_put_be64(t, partition);
    pw_put_be32(t, PW_SYMDB_STACKS_GROUP_VARINT); /* chunk 0, reserved, encoding in byte 27 */
    pw_put_be32(t, 0);
    pw_put_be32(t, stacks);
    pw_put_be32(t, at->count);
    pw_put_be32(t, 0);          /* depth */
    pw_put_be32(t, UINT32_MAX); /* nodes of a chunk at most: there is one chunk */
    pw_put_be64(t, 0);
    pw_put_be32(t, 0);
    pw_put_be32(t, at->crc);
}

static void
put_table_header(struct pw_text *t, enum pw_symdb_table table, const struct table_place *at)
{
    pw_put_be64(t, at->offset);
    pw_put_be32(t, (uint32_t)at->size);
    pw_put_be32(t, at->crc);
    pw_put_be32(t, at->count);
    pw_put_be32(t, PW_SYMDB_BLOCK_ITEMS);
    pw_put_be32(t, (uint32_t)pw_symdb_form[table].block_header_bytes << 16 |
                       pw_symdb_form[table].format);
    pw_put_be32(t, 0);
}

int
pw_symdb_writer_partition(struct pw_symdb_writer *w, uint64_t id, const struct pw_id_set *stacks,
                          uint32_t *node)
{
    struct table_place at[PW_SYMDB_TABLES], tree;
    size_t used;
    int rc;

    collect_locations(w, stacks);
    collect_functions(w);
    collect_strings(w);
    rc = build_tree(w, stacks, node);
    if (rc != 0) {
        return rc;
    }
    at[PW_SYMDB_STRINGS] = put_table(w, &w->strings, true, put_strings);
    at[PW_SYMDB_MAPPINGS] = put_table(w, &w->mappings, w->empty_mapping, put_mappings);
    at[PW_SYMDB_FUNCTIONS] = put_table(w, &w->functions, false, put_functions);
    at[PW_SYMDB_LOCATIONS] = put_table(w, &w->locations, false, put_locations);
    tree = put_tree(w);
    for (uint32_t i = 0; i < PW_SYMDB_TABLES; i++) {
        if (at[i].size > UINT32_MAX) {
            return PW_EMSGSIZE;
        }
    }
    pw_put_be64(&w->headers, id);
    pw_put_be32(&w->headers, 1);
    put_stacks_header(&w->headers, id, &tree, stacks->count);
    for (uint32_t i = 0; i < PW_SYMDB_TABLES; i++) {
        put_table_header(&w->headers, i, &at[i]);
    }
    w->partitions++;
    used = memory(w);
    w->memory_peak = used > w->memory_peak ? used : w->memory_peak;
    return w->block.failed || w->headers.failed ? PW_ENOMEM : 0;
}

int
pw_symdb_writer_finish(struct pw_symdb_writer *w)
{
    struct pw_text *t = &w->block;
    uint64_t index_offset = w->out->offset;
    size_t footer;

    t->len = 0;
    pw_text_str(t, PW_SYMDB_MAGIC);
    pw_put_be32(t, 3);
    pw_put_be64(t, 0);
    pw_put_be64(t, 4 + w->headers.len);
    pw_put_be64(t, PW_SYMDB_HEADER_BYTES + PW_SYMDB_TOC_BYTES);
    pw_put_be32(t, w->partitions);
    pw_text_put(t, w->headers.ptr, w->headers.len);
    if (!t->failed) {
        pw_put_be32(t, pw_crc32c(0, t->ptr, t->len));
    }
    footer = t->len;
    pw_text_str(t, PW_SYMDB_MAGIC);
    pw_put_be32(t, 3);
    pw_put_be64(t, index_offset);
    pw_put_be32(t, 0);
    if (t->failed) {
        return PW_ENOMEM;
    }
    pw_put_be32(t, pw_crc32c(0, t->ptr + footer, t->len - footer));
    pw_block_out_put(w->out, t->ptr, t->len);
    return t->failed ? PW_ENOMEM : 0;
}
