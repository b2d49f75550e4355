#include "store/block/tsdb_writer.h"

#include "base/crc32c.h"
#include "base/hash.h"
#include "store/block/bytes.h"

#include <stdlib.h>

enum {
    SYMBOLS_OFFSET = 5,
    SERIES_ALIGN = 16,
    LIST_ALIGN = 4,
    FINGERPRINT_EVERY = 1024,
    TEXT_BYTES_MAX = 1 << 30,
};

static const uint8_t file_header[SYMBOLS_OFFSET] = {0xBA, 0xAA, 0xD7, 0x00, 0x02};

struct posting {          /* a label of a series */
    uint32_t name, value; /* symbols */
    uint32_t series;
};

struct tsdb_writer {
    struct pw_block_out *out;
    const struct pw_tsdb_series *series;
    uint32_t n;
    struct pw_slice *symbol; /* ascending */
    uint32_t symbols;
    uint32_t *slot; /* hash table over symbols: symbol + 1, 0 empty */
    uint32_t slots;
    struct posting *posting; /* by name, value, series */
    size_t postings;
    uint32_t *ref;       /* of each series: offset / 16 */
    struct pw_text text; /* of an entry or a section */
    struct pw_text label_table, postings_table;
    uint32_t label_count, postings_count;
    uint64_t at_label_indices, at_postings;
};

static size_t
labels_total(const struct tsdb_writer *w)
{
    size_t n = 0;

    for (uint32_t i = 0; i < w->n; i++) {
        n += w->series[i].label_count;
    }
    return n;
}

/* --- Symbols -------------------------------------------------------------------------------------- */

/* The slot that holds s, or the empty one where it belongs. */
static uint32_t *
find(const struct tsdb_writer *w, struct pw_slice s)
{
    uint64_t h = pw_xxh64(s.ptr, s.len);

    for (uint64_t i = h;; i++) {
        uint32_t *slot = &w->slot[i & (w->slots - 1)];

        if (*slot == 0 || pw_slice_eq(w->symbol[*slot - 1], s)) {
            return slot;
        }
    }
}

static int
grow_symbols(struct tsdb_writer *w)
{
    uint32_t slots = w->slots == 0 ? 1024 : w->slots * 2;
    struct pw_slice *symbol = realloc(w->symbol, slots / 2 * sizeof(*symbol));
    uint32_t *slot = calloc(slots, sizeof(*slot));

    if (symbol != NULL) {
        w->symbol = symbol;
    }
    if (symbol == NULL || slot == NULL) {
        free(slot);
        return PW_ENOMEM;
    }
    free(w->slot);
    w->slot = slot;
    w->slots = slots;
    for (uint32_t i = 0; i < w->symbols; i++) {
        *find(w, w->symbol[i]) = i + 1;
    }
    return 0;
}

static int
add_symbol(struct tsdb_writer *w, struct pw_slice s)
{
    if (w->symbols == w->slots / 2 && grow_symbols(w) != 0) {
        return PW_ENOMEM;
    }
    uint32_t *slot = find(w, s);

    if (*slot == 0) {
        w->symbol[w->symbols++] = s;
        *slot = w->symbols;
    }
    return 0;
}

static int
compare_slices(const void *a, const void *b)
{
    return pw_slice_cmp(*(const struct pw_slice *)a, *(const struct pw_slice *)b);
}

static int
collect_symbols(struct tsdb_writer *w)
{
    for (uint32_t i = 0; i < w->n; i++) {
        const struct pw_tsdb_series *s = &w->series[i];

        for (uint32_t k = 0; k < s->label_count; k++) {
            if (add_symbol(w, s->label[k].name) != 0 || add_symbol(w, s->label[k].value) != 0) {
                return PW_ENOMEM;
            }
        }
    }
    qsort(w->symbol, w->symbols, sizeof(*w->symbol), compare_slices);
    memset(w->slot, 0, w->slots * sizeof(*w->slot));
    for (uint32_t i = 0; i < w->symbols; i++) {
        *find(w, w->symbol[i]) = i + 1;
    }
    return 0;
}

static uint32_t
symbol_of(const struct tsdb_writer *w, struct pw_slice s)
{
    return *find(w, s) - 1;
}

/* Writes a section that is whole in w->text: length, payload, checksum. */
static void
put_section(struct tsdb_writer *w, const struct pw_text *payload)
{
    uint8_t word[4];

    pw_store_be32(word, (uint32_t)payload->len);
    pw_block_out_put(w->out, word, sizeof(word));
    pw_block_out_put(w->out, payload->ptr, payload->len);
    pw_store_be32(word, pw_crc32c(0, payload->ptr, payload->len));
    pw_block_out_put(w->out, word, sizeof(word));
}

static void
put_symbols(struct tsdb_writer *w)
{
    w->text.len = 0;
    pw_put_be32(&w->text, w->symbols);
    for (uint32_t i = 0; i < w->symbols; i++) {
        pw_put_string(&w->text, w->symbol[i]);
    }
    put_section(w, &w->text);
}

/* --- Series --------------------------------------------------------------------------------------- */

static int
put_series(struct tsdb_writer *w, uint32_t i)
{
    const struct pw_tsdb_series *s = &w->series[i];
    uint8_t word[PW_UVARINT_BYTES_MAX];
    struct pw_text *t = &w->text;

    pw_block_out_align(w->out, SERIES_ALIGN);
    if (w->out->offset / SERIES_ALIGN > UINT32_MAX) {
        return PW_EMSGSIZE;
    }
    w->ref[i] = (uint32_t)(w->out->offset / SERIES_ALIGN);
    t->len = 0;
    pw_put_be64(t, s->fingerprint);
    pw_put_uvarint(t, s->label_count);
    for (uint32_t k = 0; k < s->label_count; k++) {
        pw_put_uvarint(t, symbol_of(w, s->label[k].name));
        pw_put_uvarint(t, symbol_of(w, s->label[k].value));
    }
    pw_put_uvarint(t, 1); /* always exactly one chunk */
    pw_put_uvarint(t, pw_zigzag(s->min_time_ns));
    pw_put_uvarint(t, (uint64_t)s->max_time_ns - (uint64_t)s->min_time_ns);
    pw_put_uvarint(t, 0); /* KB */
    pw_put_uvarint(t, i);
    pw_put_be32(t, 0); /* checksum of the chunk: unused */
    pw_block_out_put(w->out, word, pw_store_uvarint(word, t->len));
    pw_block_out_put(w->out, t->ptr, t->len);
    pw_store_be32(word, pw_crc32c(0, t->ptr, t->len));
    pw_block_out_put(w->out, word, 4);
    return t->failed ? PW_ENOMEM : 0;
}

/* --- Postings and label indices ------------------------------------------------------------------- */

static int
compare_postings(const void *pa, const void *pb)
{
    const struct posting *a = (const struct posting *)pa, *b = (const struct posting *)pb;

    if (a->name != b->name) {
        return a->name < b->name ? -1 : 1;
    }
    if (a->value != b->value) {
        return a->value < b->value ? -1 : 1;
    }
    return (a->series > b->series) - (a->series < b->series);
}

static int
collect_postings(struct tsdb_writer *w)
{
    w->posting = malloc((labels_total(w) + 1) * sizeof(*w->posting));
    if (w->posting == NULL) {
        return PW_ENOMEM;
    }
    for (uint32_t i = 0; i < w->n; i++) {
        const struct pw_tsdb_series *s = &w->series[i];

        for (uint32_t k = 0; k < s->label_count; k++) {
            w->posting[w->postings++] = (struct posting){
                .name = symbol_of(w, s->label[k].name),
                .value = symbol_of(w, s->label[k].value),
                .series = i,
            };
        }
    }
    qsort(w->posting, w->postings, sizeof(*w->posting), compare_postings);
    return 0;
}

/* The first posting behind `from` of another name, or (values) of another name or value. */
static size_t
run_end(const struct tsdb_writer *w, size_t from, bool values)
{
    size_t i = from;

    while (i < w->postings && w->posting[i].name == w->posting[from].name &&
           (!values || w->posting[i].value == w->posting[from].value)) {
        i++;
    }
    return i;
}

static void
put_label_index(struct tsdb_writer *w, size_t from, size_t end)
{
    uint32_t values = 0;

    for (size_t i = from; i < end; i = run_end(w, i, true)) {
        values++;
    }
    pw_block_out_align(w->out, LIST_ALIGN);
    pw_put_uvarint(&w->label_table, 1);
    pw_put_string(&w->label_table, w->symbol[w->posting[from].name]);
    pw_put_uvarint(&w->label_table, w->out->offset);
    w->label_count++;
    w->text.len = 0;
    pw_put_be32(&w->text, 1);
    pw_put_be32(&w->text, values);
    for (size_t i = from; i < end; i = run_end(w, i, true)) {
        pw_put_be32(&w->text, w->posting[i].value);
    }
    put_section(w, &w->text);
}

static void
put_label_indices(struct tsdb_writer *w)
{
    for (size_t i = 0; i < w->postings;) {
        size_t end = run_end(w, i, false);

        put_label_index(w, i, end);
        i = end;
    }
}

static void
begin_postings(struct tsdb_writer *w, struct pw_slice name, struct pw_slice value, uint32_t n)
{
    pw_block_out_align(w->out, LIST_ALIGN);
    pw_put_uvarint(&w->postings_table, 2);
    pw_put_string(&w->postings_table, name);
    pw_put_string(&w->postings_table, value);
    pw_put_uvarint(&w->postings_table, w->out->offset);
    w->postings_count++;
    w->text.len = 0;
    pw_put_be32(&w->text, n);
}

static void
put_postings(struct tsdb_writer *w)
{
    pw_block_out_align(w->out, LIST_ALIGN);
    w->at_postings = w->out->offset;
    begin_postings(w, pw_slice("", 0), pw_slice("", 0), w->n);
    for (uint32_t i = 0; i < w->n; i++) {
        pw_put_be32(&w->text, w->ref[i]);
    }
    put_section(w, &w->text);
    for (size_t i = 0; i < w->postings;) {
        size_t end = run_end(w, i, true);

        begin_postings(w, w->symbol[w->posting[i].name], w->symbol[w->posting[i].value],
                       (uint32_t)(end - i));
        for (; i < end; i++) {
            pw_put_be32(&w->text, w->ref[w->posting[i].series]);
        }
        put_section(w, &w->text);
    }
}

/* --- Tables at the end ---------------------------------------------------------------------------- */

static void
put_table(struct tsdb_writer *w, const struct pw_text *entries, uint32_t n)
{
    w->text.len = 0;
    pw_put_be32(&w->text, n);
    pw_text_put(&w->text, entries->ptr, entries->len);
    put_section(w, &w->text);
}

static void
put_fingerprints(struct tsdb_writer *w)
{
    w->text.len = 0;
    pw_put_be32(&w->text, (w->n + FINGERPRINT_EVERY - 1) / FINGERPRINT_EVERY);
    for (uint32_t i = 0; i < w->n; i += FINGERPRINT_EVERY) {
        pw_put_be64(&w->text, w->ref[i]);
        pw_put_be64(&w->text, w->series[i].fingerprint);
    }
    put_section(w, &w->text);
}

static void
put_toc(struct tsdb_writer *w, const uint64_t offset[7])
{
    int64_t from = INT64_MAX, through = INT64_MIN;

    for (uint32_t i = 0; i < w->n; i++) {
        from = w->series[i].min_time_ns < from ? w->series[i].min_time_ns : from;
        through = w->series[i].max_time_ns > through ? w->series[i].max_time_ns : through;
    }
    w->text.len = 0;
    for (uint32_t i = 0; i < 7; i++) {
        pw_put_be64(&w->text, offset[i]);
    }
    pw_put_be64(&w->text, (uint64_t)from);
    pw_put_be64(&w->text, (uint64_t)through);
    if (!w->text.failed) {
        pw_put_be32(&w->text, pw_crc32c(0, w->text.ptr, w->text.len));
    }
    pw_block_out_put(w->out, w->text.ptr, w->text.len);
}

static int
write_sections(struct tsdb_writer *w)
{
    enum { SYMBOLS, SERIES, LABEL_INDICES, LABEL_TABLE, POSTINGS, POSTINGS_TABLE, FINGERPRINTS };
    uint64_t at[7] = {[SYMBOLS] = SYMBOLS_OFFSET};
    int rc = 0;

    pw_block_out_put(w->out, file_header, sizeof(file_header));
    put_symbols(w);
    pw_block_out_align(w->out, SERIES_ALIGN);
    at[SERIES] = w->out->offset;
    for (uint32_t i = 0; i < w->n && rc == 0; i++) {
        rc = put_series(w, i);
    }
    if (rc != 0) {
        return rc;
    }
    pw_block_out_align(w->out, LIST_ALIGN);
    at[LABEL_INDICES] = w->out->offset;
    put_label_indices(w);
    put_postings(w);
    at[POSTINGS] = w->at_postings;
    at[LABEL_TABLE] = w->out->offset;
    put_table(w, &w->label_table, w->label_count);
    at[POSTINGS_TABLE] = w->out->offset;
    put_table(w, &w->postings_table, w->postings_count);
    at[FINGERPRINTS] = w->out->offset;
    put_fingerprints(w);
    put_toc(w, at);
    return w->text.failed || w->label_table.failed || w->postings_table.failed ? PW_ENOMEM : 0;
}

int
pw_tsdb_write(struct pw_block_out *out, const struct pw_tsdb_series *series, uint32_t n,
              size_t *memory)
{
    struct tsdb_writer w = {.out = out, .series = series, .n = n};
    int rc = PW_ENOMEM;

    pw_text_init(&w.text, TEXT_BYTES_MAX);
    pw_text_init(&w.label_table, TEXT_BYTES_MAX);
    pw_text_init(&w.postings_table, TEXT_BYTES_MAX);
    w.ref = calloc(n, sizeof(*w.ref));
    if (w.ref != NULL && collect_symbols(&w) == 0 && collect_postings(&w) == 0) {
        rc = write_sections(&w);
    }
    *memory = n * sizeof(*w.ref) + w.slots * (sizeof(*w.slot) + sizeof(*w.symbol) / 2) +
              w.postings * sizeof(*w.posting) + w.text.cap + w.label_table.cap +
              w.postings_table.cap;
    free(w.ref);
    free(w.slot);
    free(w.symbol);
    free(w.posting);
    pw_text_fini(&w.text);
    pw_text_fini(&w.label_table);
    pw_text_fini(&w.postings_table);
    return rc;
}
