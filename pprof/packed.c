#include "pprof/packed.h"

#include "pprof/pairs.h"

int64_t
pw_packed_u14_minus1_scalar(const uint8_t *p, size_t n, uint16_t *out, uint16_t *max)
{
    int64_t count = 0;

    *max = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t v = p[i];

        if (v >= 0x80) {
            if (++i == n || p[i] >= 0x80 || p[i] == 0) {
                return -1;
            }
            v = (v & 0x7F) | (uint32_t)p[i] << 7;
        }
        if (v == 0) {
            return -1;
        }
        out[count] = (uint16_t)(v - 1);
        *max = out[count] > *max ? out[count] : *max;
        count++;
    }
    return count;
}

int64_t
pw_packed_count(const uint8_t *p, size_t n)
{
    enum { BYTES_MAX = 9 };
    int64_t count = 0;
    uint32_t used = 0;

    for (size_t i = 0; i < n; i++) {
        if (p[i] == 0 || used == BYTES_MAX) {
            return -1;
        }
        used = p[i] >= 0x80 ? used + 1 : 0;
        count += used == 0;
    }
    return used == 0 ? count : -1;
}

const uint8_t *
pw_packed_skip(const uint8_t *p, size_t skip)
{
    while (skip > 0) {
        skip -= *p++ < 0x80;
    }
    return p;
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

/* 32 bytes of a list, or what is left of it. */
struct look {
    uint32_t more; /* continuation bits, of what follows the list too */
    uint32_t ends; /* bytes of the list that end a varint */
    bool good;
};

static inline struct look
look_at(const uint8_t *p, size_t left)
{
    uint32_t in = left >= 32 ? UINT32_MAX : (1U << left) - 1; /* bytes that are ours */
    __m256i x = _mm256_loadu_si256((const __m256i *)(const void *)p);
    uint32_t more = (uint32_t)_mm256_movemask_epi8(x);
    uint32_t zero = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(x, _mm256_setzero_si256()));

    return (struct look){.more = more,
                         .ends = ~more & in,
                         .good = (((more & (more << 1)) | zero) & in) == 0 &&
                                 (left > 32 || (more >> (left - 1) & 1) == 0)};
}

/* A two-byte varint across the 32-byte border is left to the next turn. */
static inline size_t
look_bytes(struct look l, size_t left)
{
    return left <= 32 ? left : 32 - (l.more >> 31);
}

/* The same for 64 bytes: a list is seldom longer, and how often a loop turns is not to be guessed. Continuation
 * and zero bytes, and how many varints end. */
static inline bool
count_64(const uint8_t *p, size_t left, uint32_t *ends)
{
    const __m256i none = _mm256_setzero_si256();
    __m256i a = _mm256_loadu_si256((const __m256i *)(const void *)p);
    __m256i b = _mm256_loadu_si256((const __m256i *)(const void *)(p + 32));
    uint64_t more = (uint32_t)_mm256_movemask_epi8(a) | (uint64_t)(uint32_t)_mm256_movemask_epi8(b)
                                                            << 32;
    uint64_t zero = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(a, none)) |
                    (uint64_t)(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(b, none)) << 32;
    uint64_t in = left >= 64 ? UINT64_MAX : (1ULL << left) - 1;

    *ends = (uint32_t)_mm_popcnt_u64(~more & in);
    return (((more & more << 1) | zero) & in) == 0;
}

int64_t
pw_packed_u14_count(const uint8_t *p, size_t n)
{
    const uint8_t *first = p;
    int64_t count = 0;

    while (n > 0) {
        /* Where a varint may lie across the border the next turn sees its second byte again. */
        size_t bytes = n <= 64 ? n : 64 - (size_t)(p[63] >> 7);
        uint32_t ends;

        if (!count_64(p, n, &ends)) {
            return -1;
        }
        count += ends;
        p += bytes;
        n -= bytes;
    }
    return p == first || p[-1] < 0x80 ? count : -1; /* the last is whole */
}

/* All bits in the first n of 8 * g entries and what follows them, at [32 - n + 8 * g]. */
static const uint16_t lanes[64] = {
#define ONES8 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF
    ONES8, ONES8, ONES8, ONES8};

/* Eight indices to out; gives the largest of most and those that are in the list. */
static inline __m128i
put_eight(__m128i ids, uint16_t *out, const uint16_t *in_list, __m128i most)
{
    __m128i v = _mm_sub_epi16(ids, _mm_set1_epi16(1));
    __m128i in = _mm_loadu_si128((const __m128i *)(const void *)in_list);

    _mm_storeu_si128((__m128i *)(void *)out, v);
    return _mm_max_epu16(most, _mm_and_si128(v, in));
}

static inline __m128i
put_singles(const uint8_t *p, uint16_t *out, const uint16_t *in_list, __m128i most)
{
    for (int g = 0; g < 4; g++) {
        __m128i x = _mm_loadl_epi64((const __m128i *)(const void *)(p + 8 * g));

        most = put_eight(_mm_cvtepu8_epi16(x), out + 8 * g, in_list + 8 * g, most);
    }
    return most;
}

static inline __m128i
put_pairs(const uint8_t *p, uint32_t more, uint16_t *out, const uint16_t *in_list, __m128i most)
{
    uint32_t pattern = pw_pairs_pattern(more);

    for (uint32_t g = 0; g < 4; g++) {
        uint32_t b = (pattern >> (8 * g)) & 0xFF;

        most = put_eight(pw_pairs_eight(p, b), out + 8 * g, in_list + 8 * g, most);
        p += pw_pairs_bytes(b);
    }
    return most;
}

int64_t
pw_packed_u14_minus1(const uint8_t *p, size_t n, uint16_t *out, uint16_t *max)
{
    uint16_t *first = out;
    __m128i most = _mm_setzero_si128();

    while (n > 0) {
        struct look l = look_at(p, n);
        size_t bytes = look_bytes(l, n);
        uint32_t count = (uint32_t)_mm_popcnt_u32(l.ends);

        if (!l.good) {
            return -1;
        }
        most = count == bytes ? put_singles(p, out, lanes + 32 - count, most)
                              : put_pairs(p, l.more, out, lanes + 32 - count, most);
        out += count;
        p += bytes;
        n -= bytes;
    }
    /* There is an instruction for the smallest lane. */
    most = _mm_minpos_epu16(_mm_xor_si128(most, _mm_set1_epi16(-1)));
    *max = (uint16_t)~_mm_cvtsi128_si32(most);
    return out - first;
}

#else

int64_t
pw_packed_u14_minus1(const uint8_t *p, size_t n, uint16_t *out, uint16_t *max)
{
    return pw_packed_u14_minus1_scalar(p, n, out, max);
}

int64_t
pw_packed_u14_count(const uint8_t *p, size_t n)
{
    int64_t count = pw_packed_count(p, n);

    for (size_t i = 2; i < n; i++) {
        if (p[i - 1] >= 0x80 && p[i - 2] >= 0x80) {
            return -1;
        }
    }
    return count;
}

#endif
