/* pprof/pairs.h - eight varints of one or two bytes at a time, in eight 16-bit lanes.
 *
 * Purpose  the step that packed.c repeats over lists of ids, and profile_fast.h over whole messages:
 *          a function is ten varints, tags included, and rarely one has three bytes.
 * Owner    pure.
 * Context  hot. Internal to pprof/; only where AVX2 and BMI2 are (PW_PAIRS).
 * Units    -
 * Errors   -
 * Limits   reads 16 bytes at p.
 */
#ifndef PW_PPROF_PAIRS_H
#define PW_PPROF_PAIRS_H

#include "base/types.h"

#if defined(__AVX2__) && defined(__BMI2__)
#define PW_PAIRS 1
#include <immintrin.h>

/* Row b: which byte goes where when, of eight varints in a row, those with a set bit have two bytes. */
extern const uint8_t pw_pairs_shuffle[256][16];

/* From a mask of continuation bits, one bit per varint: has it more than one byte. */
static inline uint32_t
pw_pairs_pattern(uint32_t more)
{
    return _pext_u32(more << 1, ~more);
}

/* Bytes of the eight varints under pattern b. */
static inline uint32_t
pw_pairs_bytes(uint32_t b)
{
    return 8 + (uint32_t)_mm_popcnt_u32(b);
}

static inline __m128i
pw_pairs_eight(const uint8_t *p, uint32_t b)
{
    __m128i x = _mm_loadu_si128((const __m128i *)(const void *)p);
    __m128i row = _mm_load_si128((const __m128i *)(const void *)pw_pairs_shuffle[b]);
    __m128i low = _mm_and_si128(_mm_shuffle_epi8(x, row), _mm_set1_epi8(0x7F));

    /* low + 128 * high in each lane: the constants are the unsigned factors, 1 and 128. */
    return _mm_maddubs_epi16(_mm_set1_epi16((short)0x8001), low);
}

#else
#define PW_PAIRS 0
#endif

#endif
