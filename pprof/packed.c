#include "pprof/packed.h"

#include "pprof/pairs.h"

/* Varints of at most `bytes_max` bytes. */
static inline int64_t
scalar(const uint8_t *p, size_t n, uint16_t *out, uint32_t bytes_max)
{
    int64_t count = 0;
    size_t i = 0;

    while (i < n) {
        uint32_t v = 0, used = 0;
        uint8_t b;

        do {
            if (i == n || used == bytes_max) {
                return -1;
            }
            b = p[i++];
            if (b == 0) {
                return -1;
            }
            v |= (uint32_t)(b & 0x7F) << (7 * used++);
        } while (b >= 0x80);
        if (v > UINT16_MAX) {
            return -1;
        }
        out[count++] = (uint16_t)(v - 1);
    }
    return count;
}

int64_t
pw_packed_u14_minus1_scalar(const uint8_t *p, size_t n, uint16_t *out)
{
    return scalar(p, n, out, 2);
}

int64_t
pw_packed_u16_minus1(const uint8_t *p, size_t n, uint16_t *out)
{
    return scalar(p, n, out, 3);
}

#if PW_PAIRS

/* Which byte goes where when, of eight varints in a row, those with a set bit have two bytes: entry
 * b holds the 16-byte shuffle as eight (low, high) pairs; 0x80 makes a zero. Built by the compiler. */
#define LEN_BEFORE(b, k) ((k) + __builtin_popcount((b) & ((1U << (k)) - 1)))
#define PAIR(b, k)                                                                                 \
    (uint8_t) LEN_BEFORE(b, k), (uint8_t)(((b) >> (k)) & 1 ? LEN_BEFORE(b, k) + 1 : 0x80)
#define ROW(b)                                                                                     \
    {                                                                                              \
        PAIR(b, 0), PAIR(b, 1), PAIR(b, 2), PAIR(b, 3), PAIR(b, 4), PAIR(b, 5), PAIR(b, 6),        \
            PAIR(b, 7)                                                                             \
    }
#define ROW4(b)  ROW(b), ROW((b) + 1), ROW((b) + 2), ROW((b) + 3)
#define ROW16(b) ROW4(b), ROW4((b) + 4), ROW4((b) + 8), ROW4((b) + 12)
#define ROW64(b) ROW16(b), ROW16((b) + 16), ROW16((b) + 32), ROW16((b) + 48)

const uint8_t pw_pairs_shuffle[256][16]
    __attribute__((aligned(64))) = {ROW64(0U), ROW64(64U), ROW64(128U), ROW64(192U)};

static inline void
singles(const uint8_t *p, uint16_t *out)
{
    for (int i = 0; i < 2; i++) {
        __m128i x = _mm_loadu_si128((const __m128i *)(const void *)(p + 16 * i));

        _mm256_storeu_si256((__m256i *)(void *)(out + 16 * i),
                            _mm256_sub_epi16(_mm256_cvtepu8_epi16(x), _mm256_set1_epi16(1)));
    }
}

int64_t
pw_packed_u14_minus1(const uint8_t *p, size_t n, uint16_t *out)
{
    const uint8_t *end = p + n;
    uint16_t *first = out;

    while (p < end) {
        size_t left = (size_t)(end - p);
        uint32_t in = left >= 32 ? UINT32_MAX : (1U << left) - 1; /* bytes that are ours */
        __m256i x = _mm256_loadu_si256((const __m256i *)(const void *)p);
        uint32_t more = (uint32_t)_mm256_movemask_epi8(x);
        uint32_t zero =
            (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(x, _mm256_setzero_si256()));
        uint32_t ends = ~more & in;
        const uint8_t *q = p;

        if ((((more & (more << 1)) | zero) & in) != 0 ||
            (left <= 32 && (more >> (left - 1) & 1) != 0)) {
            return -1;
        }
        if ((more & in) == 0) {
            singles(p, out);
        } else {
            uint32_t pattern = pw_pairs_pattern(more);

            for (uint32_t g = 0; g < 4; g++) {
                uint32_t b = (pattern >> (8 * g)) & 0xFF;
                __m128i v = _mm_sub_epi16(pw_pairs_eight(q, b), _mm_set1_epi16(1));

                _mm_storeu_si128((__m128i *)(void *)(out + 8 * g), v);
                q += pw_pairs_bytes(b);
            }
        }
        out += _mm_popcnt_u32(ends);
        /* A two-byte varint across the 32-byte border is left to the next turn. */
        p += left <= 32 ? left : 32 - (more >> 31);
    }
    return out - first;
}

#else

int64_t
pw_packed_u14_minus1(const uint8_t *p, size_t n, uint16_t *out)
{
    return scalar(p, n, out, 2);
}

#endif
