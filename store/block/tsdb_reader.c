#include "store/block/tsdb_reader.h"

#include "base/crc32c.h"
#include "store/block/bytes.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    HEADER_BYTES = 5,
    TOC_BYTES = 76,
    TOC_SYMBOLS = 0,
    TOC_POSTINGS_TABLE = 5,
    TOC_OFFSETS = 7,
    REF_BYTES = 16, /* a reference counts these */
    NO_ROOM = UINT32_MAX,
};

PW_PRINTF(4, 5)
static int
bad(struct pw_block_error *err, int rc, uint64_t offset, const char *fmt, ...)
{
    int n =
        snprintf(err->text, sizeof(err->text), "index.tsdb at %llu: ", (unsigned long long)offset);
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(err->text + n, sizeof(err->text) - (size_t)n, fmt, ap);
    va_end(ap);
    return rc;
}

static uint64_t
offset_of(const struct pw_tsdb *t, const uint8_t *p)
{
    return (uint64_t)(p - t->bytes.ptr);
}

/* The payload of a section: u32 length, payload, CRC-32C of the payload. */
static int
open_section(const struct pw_tsdb *t, uint64_t offset, const char *what, struct pw_bytes *payload,
             struct pw_block_error *err)
{
    struct pw_bytes in = pw_bytes(t->bytes);
    uint32_t len;
    const uint8_t *p;

    (void)pw_bytes_take(&in, offset);
    len = pw_bytes_be32(&in);
    p = pw_bytes_take(&in, len);
    uint32_t crc = pw_bytes_be32(&in);

    if (in.bad) {
        return bad(err, PW_EINVAL, offset, "%s: not inside the file", what);
    }
    if (pw_crc32c(0, p, len) != crc && !t->skip_checksums_fortest) {
        return bad(err, PW_EINVAL, offset, "%s: checksum differs", what);
    }
    *payload = pw_bytes(pw_slice(p, len));
    return 0;
}

static int
read_toc(const struct pw_tsdb *t, uint64_t toc[TOC_OFFSETS], struct pw_block_error *err)
{
    static const uint8_t header[HEADER_BYTES] = {0xBA, 0xAA, 0xD7, 0x00, 0x02};
    const uint8_t *p;

    if (t->bytes.len < HEADER_BYTES + TOC_BYTES || t->bytes.len > UINT32_MAX) {
        return bad(err, t->bytes.len > UINT32_MAX ? PW_ENOTSUP : PW_EINVAL, 0, "%zu bytes",
                   t->bytes.len);
    }
    if (memcmp(t->bytes.ptr, header, sizeof(header)) != 0) {
        return bad(err, PW_EINVAL, 0, "not an index of version 2");
    }
    p = t->bytes.ptr + t->bytes.len - TOC_BYTES;
    if (pw_crc32c(0, p, TOC_BYTES - 4) != pw_load_be32(p + TOC_BYTES - 4) &&
        !t->skip_checksums_fortest) {
        return bad(err, PW_EINVAL, offset_of(t, p), "table of contents: checksum differs");
    }
    for (int i = 0; i < TOC_OFFSETS; i++) {
        toc[i] = pw_load_be64(p + 8 * i);
    }
    return 0;
}

static int
read_symbols(struct pw_tsdb *t, uint64_t offset, struct pw_block_error *err)
{
    struct pw_slice before = pw_slice("", 0);
    struct pw_bytes in;
    int rc = open_section(t, offset, "symbols", &in, err);
    uint32_t n = rc == 0 ? pw_bytes_be32(&in) : 0;

    if (rc != 0) {
        return rc;
    }
    if (n > pw_bytes_left(&in)) {
        return bad(err, PW_EINVAL, offset, "%u symbols in %zu bytes", n, pw_bytes_left(&in));
    }
    t->symbol = malloc((n + 1UL) * sizeof(*t->symbol));
    if (t->symbol == NULL) {
        return PW_ENOMEM;
    }
    for (uint32_t i = 0; i < n; i++) {
        struct pw_slice s;

        t->symbol[i] = (uint32_t)offset_of(t, in.p);
        s = pw_bytes_string(&in);
        if (in.bad || (i != 0 && pw_slice_cmp(before, s) >= 0)) {
            return bad(err, PW_EINVAL, t->symbol[i], "symbol %u", i);
        }
        before = s;
    }
    t->symbols = n;
    return 0;
}

static struct pw_slice
text_at(const struct pw_tsdb *t, uint32_t offset)
{
    struct pw_bytes in = pw_bytes(t->bytes);

    (void)pw_bytes_take(&in, offset);
    return pw_bytes_string(&in);
}

/* --- Postings ------------------------------------------------------------------------------------- */

static int
open_postings(const struct pw_tsdb *t, uint64_t offset, struct pw_bytes *in, uint32_t *n,
              struct pw_block_error *err)
{
    int rc = open_section(t, offset, "postings", in, err);

    *n = 0;
    if (rc != 0) {
        return rc;
    }
    *n = pw_bytes_be32(in);
    return *n == pw_bytes_left(in) / 4 && !in->bad
               ? 0
               : bad(err, PW_EINVAL, offset, "postings: %u references", *n);
}

static int
read_all_postings(struct pw_tsdb *t, uint64_t offset, struct pw_block_error *err)
{
    struct pw_bytes in;
    uint32_t n;
    int rc = open_postings(t, offset, &in, &n, err);

    if (rc != 0) {
        return rc;
    }
    t->ref = malloc((n + 1UL) * sizeof(*t->ref));
    if (t->ref == NULL) {
        return PW_ENOMEM;
    }
    for (uint32_t i = 0; i < n; i++) {
        t->ref[i] = pw_bytes_be32(&in);
        if (i != 0 && t->ref[i] <= t->ref[i - 1]) {
            return bad(err, PW_EINVAL, offset, "postings do not ascend");
        }
    }
    t->series = n;
    return 0;
}

struct table_entry {
    struct pw_slice name, value;
    uint64_t offset;
    uint32_t text;
};

static bool
read_entry(struct pw_tsdb *t, struct pw_bytes *in, struct table_entry *e)
{
    uint64_t keys = pw_bytes_uvarint(in);

    e->name = pw_bytes_string(in);
    e->text = (uint32_t)offset_of(t, in->p);
    e->value = pw_bytes_string(in);
    e->offset = pw_bytes_uvarint(in);
    return keys == 2 && !in->bad;
}

/* Entries ascend by (name, value); the first one, both empty, is the list of all series. */
static int
add_entry(struct pw_tsdb *t, const struct table_entry *e, struct table_entry *before,
          struct pw_block_error *err)
{
    int c = pw_slice_cmp(before->name, e->name);

    if (t->values == 0) {
        c = -1;
        if (e->name.len != 0 || e->value.len != 0) {
            return bad(err, PW_EINVAL, e->text, "no list of all series");
        }
    } else if (c > 0 || (c == 0 && pw_slice_cmp(before->value, e->value) >= 0)) {
        return bad(err, PW_EINVAL, e->text, "postings table does not ascend");
    }
    if (c < 0 && t->values != 0) {
        t->name[t->names++] = (struct pw_tsdb_name){.name = e->name, .first = t->values};
    }
    if (t->names != 0) {
        t->name[t->names - 1].count++;
    }
    t->value[t->values++] = (struct pw_tsdb_value){.offset = e->offset, .text = e->text};
    *before = *e;
    return 0;
}

static int
read_postings_table(struct pw_tsdb *t, uint64_t offset, struct pw_block_error *err)
{
    enum { ENTRY_BYTES_MIN = 4 };
    struct table_entry before = {0};
    struct pw_bytes in;
    uint32_t n;
    int rc = open_section(t, offset, "postings table", &in, err);

    if (rc != 0) {
        return rc;
    }
    n = pw_bytes_be32(&in);
    if (n == 0 || n > pw_bytes_left(&in) / ENTRY_BYTES_MIN) {
        return bad(err, PW_EINVAL, offset, "postings table: %u entries", n);
    }
    t->value = malloc(n * sizeof(*t->value));
    t->name = malloc(n * sizeof(*t->name));
    if (t->value == NULL || t->name == NULL) {
        return PW_ENOMEM;
    }
    for (uint32_t i = 0; i < n && rc == 0; i++) {
        struct table_entry e;

        rc = read_entry(t, &in, &e) ? add_entry(t, &e, &before, err)
                                    : bad(err, PW_EINVAL, offset, "postings table: entry %u", i);
    }
    return rc;
}

int
pw_tsdb_open(struct pw_tsdb *t, struct pw_slice bytes, struct pw_block_error *err)
{
    uint64_t toc[TOC_OFFSETS];
    int rc;

    *t = (struct pw_tsdb){.bytes = bytes, .skip_checksums_fortest = t->skip_checksums_fortest};
    rc = read_toc(t, toc, err);
    rc = rc != 0 ? rc : read_symbols(t, toc[TOC_SYMBOLS], err);
    rc = rc != 0 ? rc : read_postings_table(t, toc[TOC_POSTINGS_TABLE], err);
    rc = rc != 0 ? rc : read_all_postings(t, t->value[0].offset, err);
    if (rc == PW_ENOMEM) {
        bad(err, rc, 0, "out of memory");
    }
    if (rc != 0) {
        pw_tsdb_close(t);
    }
    return rc;
}

void
pw_tsdb_close(struct pw_tsdb *t)
{
    free(t->symbol);
    free(t->ref);
    free(t->value);
    free(t->name);
    *t = (struct pw_tsdb){0};
}

size_t
pw_tsdb_memory(const struct pw_tsdb *t)
{
    return t->symbols * sizeof(*t->symbol) + t->series * sizeof(*t->ref) +
           t->values * (sizeof(*t->value) + sizeof(*t->name));
}

struct pw_slice
pw_tsdb_value_text(const struct pw_tsdb *t, uint32_t value)
{
    return text_at(t, t->value[value].text);
}

static const struct pw_tsdb_name *
find_name(const struct pw_tsdb *t, struct pw_slice name)
{
    uint32_t lo = 0, hi = t->names;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        int c = pw_slice_cmp(t->name[mid].name, name);

        if (c == 0) {
            return &t->name[mid];
        }
        if (c < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return NULL;
}

/* Index in value[] or NO_ROOM. */
static uint32_t
find_value(const struct pw_tsdb *t, const struct pw_tsdb_name *n, struct pw_slice value)
{
    uint32_t lo = n->first, hi = n->first + n->count;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        int c = pw_slice_cmp(pw_tsdb_value_text(t, mid), value);

        if (c == 0) {
            return mid;
        }
        if (c < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return NO_ROOM;
}

/* The series that has the reference, or NO_ROOM. */
static uint32_t
series_of(const struct pw_tsdb *t, uint32_t ref)
{
    uint32_t lo = 0, hi = t->series;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;

        if (t->ref[mid] < ref) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo < t->series && t->ref[lo] == ref ? lo : NO_ROOM;
}

int
pw_tsdb_postings(const struct pw_tsdb *t, struct pw_slice name, struct pw_slice value,
                 uint32_t *out, uint32_t n, uint32_t *count, struct pw_block_error *err)
{
    const struct pw_tsdb_name *at = find_name(t, name);
    uint32_t v = at == NULL ? NO_ROOM : find_value(t, at, value);
    struct pw_bytes in;
    int rc;

    *count = 0;
    if (v == NO_ROOM) {
        return 0;
    }
    rc = open_postings(t, t->value[v].offset, &in, count, err);
    for (uint32_t i = 0; rc == 0 && i < *count && i < n; i++) {
        out[i] = series_of(t, pw_bytes_be32(&in));
        if (out[i] == NO_ROOM || (i != 0 && out[i] <= out[i - 1])) {
            rc = bad(err, PW_EINVAL, t->value[v].offset, "postings name no series");
        }
    }
    return rc;
}

/* --- Series --------------------------------------------------------------------------------------- */

static bool
read_labels(const struct pw_tsdb *t, struct pw_bytes *in, struct pw_block_series *out)
{
    uint64_t n = pw_bytes_uvarint(in);

    if (n > PW_BLOCK_LABELS_MAX) {
        return false;
    }
    out->label_count = (uint32_t)n;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t name = pw_bytes_uvarint(in), value = pw_bytes_uvarint(in);

        if (in->bad || name >= t->symbols || value >= t->symbols) {
            return false;
        }
        out->label[i].name = text_at(t, t->symbol[name]);
        out->label[i].value = text_at(t, t->symbol[value]);
    }
    return true;
}

/* Exactly one chunk; its fourth number joins the series with the rows. */
static bool
read_chunk(struct pw_bytes *in, uint32_t id, struct pw_block_series *out)
{
    uint64_t chunks = pw_bytes_uvarint(in);
    uint64_t series_index;

    out->min_time_ns = pw_unzigzag(pw_bytes_uvarint(in));
    out->max_time_ns = (int64_t)((uint64_t)out->min_time_ns + pw_bytes_uvarint(in));
    (void)pw_bytes_uvarint(in);
    series_index = pw_bytes_uvarint(in);
    return chunks == 1 && series_index == id && !in->bad;
}

int
pw_tsdb_series(const struct pw_tsdb *t, uint32_t id, struct pw_block_series *out,
               struct pw_block_error *err)
{
    uint64_t offset = (uint64_t)t->ref[id] * REF_BYTES;
    struct pw_bytes in = pw_bytes(t->bytes);
    const uint8_t *p;
    uint64_t len;

    (void)pw_bytes_take(&in, offset);
    len = pw_bytes_uvarint(&in);
    p = pw_bytes_take(&in, len);
    uint32_t crc = pw_bytes_be32(&in);

    if (in.bad) {
        return bad(err, PW_EINVAL, offset, "series %u is not inside the file", id);
    }
    if (pw_crc32c(0, p, len) != crc && !t->skip_checksums_fortest) {
        return bad(err, PW_EINVAL, offset, "series %u: checksum differs", id);
    }
    in = pw_bytes(pw_slice(p, len));
    out->id = id;
    out->fingerprint = pw_bytes_be64(&in);
    if (!read_labels(t, &in, out)) {
        return bad(err, PW_EINVAL, offset, "series %u: labels", id);
    }
    return read_chunk(&in, id, out) ? 0 : bad(err, PW_EINVAL, offset, "series %u: chunk", id);
}
