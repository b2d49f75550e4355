#include "store/block/parquet_chunk.h"

#include "store/block/thrift.h"

#include <isa-l/crc.h>

enum { CHUNK_BYTES_MAX = 1 << 30 };

int
pw_parquet_codec_init(struct pw_parquet_codec_state *s, enum pw_parquet_codec codec, int level)
{
    *s = (struct pw_parquet_codec_state){.codec = codec, .level = level};
    pw_text_init(&s->tmp, CHUNK_BYTES_MAX);
    if (codec == PW_PARQUET_ZSTD) {
        s->zstd = ZSTD_createCCtx();
        if (s->zstd == NULL ||
            ZSTD_isError(ZSTD_CCtx_setParameter(s->zstd, ZSTD_c_compressionLevel, level))) {
            pw_parquet_codec_fini(s);
            return PW_ENOMEM;
        }
    }
    return 0;
}

void
pw_parquet_codec_fini(struct pw_parquet_codec_state *s)
{
    ZSTD_freeCCtx(s->zstd);
    pw_text_fini(&s->tmp);
}

void
pw_parquet_chunk_init(struct pw_parquet_chunk *c, const struct pw_profile_leaf_spec *spec)
{
    *c = (struct pw_parquet_chunk){.spec = spec};
    pw_text_init(&c->pages, CHUNK_BYTES_MAX);
    pw_text_init(&c->dictionary, CHUNK_BYTES_MAX);
    pw_text_init(&c->info, CHUNK_BYTES_MAX);
}

void
pw_parquet_chunk_fini(struct pw_parquet_chunk *c)
{
    pw_text_fini(&c->pages);
    pw_text_fini(&c->dictionary);
    pw_text_fini(&c->info);
}

void
pw_parquet_chunk_reset(struct pw_parquet_chunk *c)
{
    c->pages.len = c->dictionary.len = c->info.len = 0;
    c->dictionary_count = c->page_count = 0;
    c->values = c->nulls = c->bytes_plain = 0;
    c->min.len = c->max.len = 0;
}

/* --- Bounds --------------------------------------------------------------------------------------- */

static void
set_int(struct pw_parquet_bound *b, uint64_t v, uint8_t width)
{
    for (uint8_t i = 0; i < width; i++) {
        b->byte[i] = (uint8_t)(v >> (8 * i));
    }
    b->len = width;
}

static int64_t
get_int(const struct pw_parquet_bound *b)
{
    return b->len == 4 ? (int64_t)(int32_t)pw_load_le32(b->byte) : (int64_t)pw_load_le64(b->byte);
}

int
pw_parquet_bound_cmp(const struct pw_profile_leaf_spec *spec, const struct pw_parquet_bound *a,
                     const struct pw_parquet_bound *b)
{
    if (spec->order == PW_PARQUET_ORDER_BYTES) {
        return pw_slice_cmp(pw_slice(a->byte, a->len), pw_slice(b->byte, b->len));
    }
    if (spec->order == PW_PARQUET_ORDER_SIGNED) {
        return (get_int(a) > get_int(b)) - (get_int(a) < get_int(b));
    }
    uint64_t x = (uint64_t)get_int(a), y = (uint64_t)get_int(b);

    if (a->len == 4) {
        x = (uint32_t)x;
        y = (uint32_t)y;
    }
    return (x > y) - (x < y);
}

static void
widen(const struct pw_profile_leaf_spec *spec, struct pw_parquet_bound *min,
      struct pw_parquet_bound *max, const struct pw_parquet_bound *lo,
      const struct pw_parquet_bound *hi)
{
    if (lo->len == 0) {
        return;
    }
    if (min->len == 0 || pw_parquet_bound_cmp(spec, lo, min) < 0) {
        *min = *lo;
    }
    if (max->len == 0 || pw_parquet_bound_cmp(spec, hi, max) > 0) {
        *max = *hi;
    }
}

void
pw_parquet_bound_ints(const struct pw_profile_leaf_spec *spec, const int64_t *v, size_t n,
                      struct pw_parquet_bound *min, struct pw_parquet_bound *max)
{
    /* Unsigned order is signed order with the top bit turned over. */
    uint64_t flip = spec->order == PW_PARQUET_ORDER_UNSIGNED ? 1ULL << 63 : 0;
    uint8_t width = spec->element->type == PW_PARQUET_INT32 ? 4 : 8;
    struct pw_parquet_bound lo, hi;
    int64_t a = INT64_MAX, b = INT64_MIN;

    for (size_t i = 0; i < n; i++) {
        int64_t x = (int64_t)((uint64_t)v[i] ^ flip);

        a = x < a ? x : a;
        b = x > b ? x : b;
    }
    if (n != 0) {
        set_int(&lo, (uint64_t)a ^ flip, width);
        set_int(&hi, (uint64_t)b ^ flip, width);
        widen(spec, min, max, &lo, &hi);
    }
}

void
pw_parquet_bound_flba(const uint8_t *v, size_t n, struct pw_parquet_bound *min,
                      struct pw_parquet_bound *max)
{
    for (size_t i = 0; i < n; i++, v += PW_PARQUET_FLBA_BYTES) {
        if (min->len == 0 || memcmp(v, min->byte, PW_PARQUET_FLBA_BYTES) < 0) {
            memcpy(min->byte, v, PW_PARQUET_FLBA_BYTES);
            min->len = PW_PARQUET_FLBA_BYTES;
        }
        if (max->len == 0 || memcmp(v, max->byte, PW_PARQUET_FLBA_BYTES) > 0) {
            memcpy(max->byte, v, PW_PARQUET_FLBA_BYTES);
            max->len = PW_PARQUET_FLBA_BYTES;
        }
    }
}

/* --- Pages ---------------------------------------------------------------------------------------- */

/* values compressed when that makes them smaller (and the file has a codec), as they are else. */
static struct pw_slice
squeeze(struct pw_parquet_codec_state *s, struct pw_slice values, bool always)
{
    uint8_t *out;
    size_t bound, n;

    if (s->codec != PW_PARQUET_ZSTD || values.len == 0) {
        return values;
    }
    bound = ZSTD_compressBound(values.len);
    s->tmp.len = 0;
    out = pw_text_grow(&s->tmp, bound);
    if (out == NULL) {
        return values;
    }
    n = ZSTD_compress2(s->zstd, out, bound, values.ptr, values.len);
    if (ZSTD_isError(n)) {
        s->tmp.failed = true;
        return values;
    }
    return n < values.len || always ? pw_slice(out, n) : values;
}

static uint32_t
crc32_of(struct pw_slice a, struct pw_slice b, struct pw_slice c)
{
    uint32_t crc = crc32_gzip_refl(0, a.ptr, a.len);

    crc = crc32_gzip_refl(crc, b.ptr, b.len);
    return crc32_gzip_refl(crc, c.ptr, c.len);
}

/* parquet.thrift: PageHeader, DataPageHeaderV2. */
static void
data_page_header(struct pw_text *t, const struct pw_parquet_chunk *c,
                 const struct pw_parquet_page_in *in, struct pw_slice stored)
{
    struct pw_thrift_out o;
    size_t levels = in->rep.len + in->def.len;

    pw_thrift_begin(&o, t);
    pw_thrift_i32(&o, 1, PW_PARQUET_DATA_PAGE_V2);
    pw_thrift_i32(&o, 2, (int32_t)(levels + in->values.len));
    pw_thrift_i32(&o, 3, (int32_t)(levels + stored.len));
    pw_thrift_i32(&o, 4, (int32_t)crc32_of(in->rep, in->def, stored));
    pw_thrift_struct(&o, 8);
    pw_thrift_i32(&o, 1, (int32_t)in->levels);
    pw_thrift_i32(&o, 2, (int32_t)in->nulls);
    pw_thrift_i32(&o, 3, (int32_t)in->rows);
    pw_thrift_i32(&o, 4, c->spec->element->encoding);
    pw_thrift_i32(&o, 5, (int32_t)in->def.len);
    pw_thrift_i32(&o, 6, (int32_t)in->rep.len);
    pw_thrift_bool(&o, 7, stored.ptr != in->values.ptr);
    pw_thrift_end(&o);
    pw_thrift_end(&o);
}

void
pw_parquet_chunk_page(struct pw_parquet_chunk *c, struct pw_parquet_codec_state *s,
                      const struct pw_parquet_page_in *in)
{
    struct pw_slice stored = squeeze(s, in->values, false);
    struct pw_parquet_page_info info = {
        .min = in->min,
        .max = in->max,
        .offset = c->pages.len,
        .first_row = in->first_row,
        .nulls = in->nulls,
    };

    data_page_header(&c->pages, c, in, stored);
    c->bytes_plain += c->pages.len - info.offset + in->rep.len + in->def.len + in->values.len;
    pw_text_slice(&c->pages, in->rep);
    pw_text_slice(&c->pages, in->def);
    pw_text_slice(&c->pages, stored);
    info.bytes = (uint32_t)(c->pages.len - info.offset);
    pw_text_put(&c->info, &info, sizeof(info));
    c->page_count++;
    c->values += in->levels;
    c->nulls += in->nulls;
    widen(c->spec, &c->min, &c->max, &in->min, &in->max);
}

enum pw_parquet_codec
pw_parquet_chunk_codec(const struct pw_parquet_chunk *c, const struct pw_parquet_codec_state *s)
{
    return c->values == c->nulls ? PW_PARQUET_UNCOMPRESSED : s->codec;
}

void
pw_parquet_dictionary_page(const struct pw_parquet_chunk *c, struct pw_parquet_codec_state *s,
                           struct pw_text *out)
{
    struct pw_slice plain = pw_slice(c->dictionary.ptr, c->dictionary.len);
    struct pw_slice stored = squeeze(s, plain, true);
    struct pw_slice none = pw_slice(NULL, 0);
    struct pw_thrift_out o;

    pw_thrift_begin(&o, out);
    pw_thrift_i32(&o, 1, PW_PARQUET_DICTIONARY_PAGE);
    pw_thrift_i32(&o, 2, (int32_t)plain.len);
    pw_thrift_i32(&o, 3, (int32_t)stored.len);
    if (stored.len != 0) {
        pw_thrift_i32(&o, 4, (int32_t)crc32_of(none, none, stored));
    }
    pw_thrift_struct(&o, 7);
    pw_thrift_i32(&o, 1, (int32_t)c->dictionary_count);
    pw_thrift_i32(&o, 2, PW_PARQUET_PLAIN);
    pw_thrift_end(&o);
    pw_thrift_end(&o);
    pw_text_slice(out, stored);
}
