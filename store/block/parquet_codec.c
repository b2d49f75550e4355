/* Pages as other writers compress them (storage.md 1.4.5); ours are ZSTD. */
#include "store/block/parquet_reader.h"

#include <libdeflate.h>
#include <snappy-c.h>
#include <zstd.h>

bool
pw_parquet_codec_is_known(uint32_t codec)
{
    return codec == PW_PARQUET_UNCOMPRESSED || codec == PW_PARQUET_SNAPPY ||
           codec == PW_PARQUET_GZIP || codec == PW_PARQUET_ZSTD;
}

static bool
unpack_snappy(struct pw_slice in, uint8_t *out, size_t n)
{
    size_t says = 0;

    return snappy_uncompressed_length((const char *)in.ptr, in.len, &says) == SNAPPY_OK &&
           says == n &&
           snappy_uncompress((const char *)in.ptr, in.len, (char *)out, &says) == SNAPPY_OK &&
           says == n;
}

static int
unpack_gzip(struct pw_slice in, uint8_t *out, size_t n)
{
    struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
    enum libdeflate_result rc;

    if (d == NULL) {
        return PW_ENOMEM;
    }
    /* NULL for the length it came to: it has to be n. */
    rc = libdeflate_gzip_decompress(d, in.ptr, in.len, out, n, NULL);
    libdeflate_free_decompressor(d);
    return rc == LIBDEFLATE_SUCCESS ? 0 : PW_EINVAL;
}

int
pw_parquet_unpack(uint32_t codec, struct pw_slice in, uint8_t *out, size_t n)
{
    size_t got;

    switch (codec) {
    case PW_PARQUET_ZSTD:
        got = ZSTD_decompress(out, n, in.ptr, in.len);
        return !ZSTD_isError(got) && got == n ? 0 : PW_EINVAL;
    case PW_PARQUET_SNAPPY:
        return unpack_snappy(in, out, n) ? 0 : PW_EINVAL;
    case PW_PARQUET_GZIP:
        return unpack_gzip(in, out, n);
    default:
        return PW_ENOTSUP;
    }
}
