/* Properties: pieces give what the whole gives; what libdeflate unpacks into the same room we unpack
 * to the same bytes; no more than the limit is ever written. First byte of the input: how to cut. */
#include "base/check.h"
#include "pprof/inflate.h"

#include <libdeflate.h>
#include <stdlib.h>

enum { INPUT_MAX = 1 << 16, OUT_MAX = 1 << 18, PIECES_MAX = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct pw_inflater *inf;
    static struct libdeflate_decompressor *d;
    static uint8_t whole[OUT_MAX + 1], parts[OUT_MAX + 1], other[OUT_MAX];
    struct pw_slice piece[PIECES_MAX];
    uint32_t count = 0;
    size_t step, n = 0, m = 0, used = 0, made = 0;
    enum pw_inflate_result a, b;

    if (size < 1 || size > INPUT_MAX || (inf == NULL && pw_inflater_init_ctl(&inf) != 0)) {
        return 0;
    }
    d = d != NULL ? d : libdeflate_alloc_decompressor();
    step = size / (1 + data[0] % (PIECES_MAX - 1)) + 1;
    data++;
    size--;
    for (size_t at = 0; at < size; at += step) {
        piece[count++] = pw_slice(data + at, size - at < step ? size - at : step);
    }
    whole[OUT_MAX] = parts[OUT_MAX] = 0x5A;
    a = pw_inflate(inf, &(struct pw_slice){.ptr = data, .len = size}, 1, whole, OUT_MAX, &n);
    b = pw_inflate(inf, piece, count, parts, OUT_MAX, &m);
    PW_INVARIANT(whole[OUT_MAX] == 0x5A && parts[OUT_MAX] == 0x5A);
    PW_INVARIANT(a == b && n <= OUT_MAX && m <= OUT_MAX);
    PW_INVARIANT(a != PW_INFLATE_OK || (n == m && memcmp(whole, parts, n) == 0));
    if (libdeflate_gzip_decompress_ex(d, data, size, other, OUT_MAX, &used, &made) ==
            LIBDEFLATE_SUCCESS &&
        used == size) {
        PW_INVARIANT(a == PW_INFLATE_OK && n == made && memcmp(whole, other, n) == 0);
    }
    return 0;
}
