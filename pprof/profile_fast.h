/* pprof/profile_fast.h - messages of a profile as every encoder in use shapes them, without a branch
 * per byte.
 *
 * Purpose  what profile_fast_symbols.h and profile_fast_sample.h read with. A reader there takes a whole message or nothing: fields in their usual order, varints of at
 *          most 8 bytes and no longer than needed, no explicit zeros, nothing unknown. Whatever is
 *          different goes to profile_message.c. A varint is read from one unaligned 8-byte load: the
 *          lowest clear continuation bit ends it, pext closes the gaps (about ten instructions, no
 *          branch on its length, which a predictor could not learn).
 * Owner    one parse call.
 * Context  hot. Internal to pprof/.
 * Units    -
 * Errors   false: not taken, tables as they were.
 * Limits   messages end at least PW_FAST_SLACK bytes before the input does.
 */
#ifndef PW_PPROF_PROFILE_FAST_H
#define PW_PPROF_PROFILE_FAST_H

#include "base/check.h"
#include "pprof/packed.h"
#include "pprof/pairs.h"
#include "pprof/profile_walk.h"

enum { PW_FAST_SLACK = 128 };

#define PW_MORE_BITS    0x8080808080808080U
#define PW_PAYLOAD_BITS 0x7F7F7F7F7F7F7F7FU

/* Zero bits below the lowest one; 64 for 0. */
static inline uint32_t
pw_count_zeros(uint64_t x)
{
#ifdef __BMI__
    return (uint32_t)_tzcnt_u64(x);
#else
    return x == 0 ? 64 : (uint32_t)__builtin_ctzll(x);
#endif
}

enum { PW_SCAN_MAX = 48 };

/* A list of varints of at most PW_SCAN_MAX bytes, with a bit per byte: where the next one begins is
 * then a shift and a count away, without waiting for a load. */
struct pw_scan {
    const uint8_t *p;
    uint64_t ends; /* bytes that end a varint, and all past the end */
    uint32_t at;
};

static inline uint64_t
pw_load64(const uint8_t *p)
{
    uint64_t x;

    memcpy(&x, p, sizeof(x));
    return x;
}

/* The varint at the start of x, which has at most 7 more bytes. */
static inline uint64_t
pw_squeeze(uint64_t x)
{
    uint64_t stop = ~x & PW_MORE_BITS;

    x &= stop ^ (stop - 1);
#ifdef __BMI2__
    return _pext_u64(x, PW_PAYLOAD_BITS);
#else
    x = (x & 0x007F007F007F007FU) | (x & 0x7F007F007F007F00U) >> 1;
    x = (x & 0x00003FFF00003FFFU) | (x & 0x3FFF00003FFF0000U) >> 2;
    return (x & 0x000000000FFFFFFFU) | (x & 0x0FFFFFFF00000000U) >> 4;
#endif
}

/* Looks at the n bytes at p (and reads up to 64): a message of tags and varints, or a list. False when
 * there are more than PW_SCAN_MAX of them or the readers below could not judge them: a varint of more
 * than 7 bytes; a varint longer than needed, which ends in a zero byte; and, unless zeros are fine, a
 * field written out although 0, the only other place a zero byte can have. */
static inline bool
pw_scan_init(struct pw_scan *s, const uint8_t *p, size_t n, bool zeros)
{
#ifdef __AVX2__
    const __m256i none = _mm256_setzero_si256();
    __m256i a = _mm256_loadu_si256((const __m256i *)(const void *)p);
    uint64_t more = (uint32_t)_mm256_movemask_epi8(a);
    uint64_t zero = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(a, none));

    if (n > 32) {
        a = _mm256_loadu_si256((const __m256i *)(const void *)(p + 32));
        more |= (uint64_t)(uint32_t)_mm256_movemask_epi8(a) << 32;
        zero |= (uint64_t)(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(a, none)) << 32;
    }
#else
    uint64_t more = 0, zero = 0;

    for (size_t i = 0; i < n && i < PW_SCAN_MAX; i++) {
        more |= (uint64_t)(p[i] >> 7) << i;
        zero |= (uint64_t)(p[i] == 0) << i;
    }
#endif
    uint64_t past = UINT64_MAX << (n & 63);
    uint64_t run = more & more >> 1; /* continuation bytes: two in a row */

    run &= run >> 2; /* four */
    run &= run >> 3; /* seven */
    run |= zeros ? zero & more << 1 : zero;
    *s = (struct pw_scan){.p = p, .ends = ~more | past};
    return n <= PW_SCAN_MAX && (run & ~past) == 0;
}

/* The next value of a list: at < its length. */
static inline uint64_t
pw_scan_next(struct pw_scan *s)
{
    uint64_t x = pw_squeeze(pw_load64(s->p + s->at));

    s->at += 1 + pw_count_zeros(s->ends >> s->at);
    return x;
}

/* If the field at *p has this one-byte tag, its varint, else 0, in a message that pw_scan_init has
 * found good. Moves by at most 9 bytes a call, also when it has left its message: the caller sees
 * that by where it ends. */
static inline uint64_t
pw_take(const uint8_t **p, uint8_t tag)
{
    uint64_t x = pw_load64(*p);

    if ((uint8_t)x != tag) {
        return 0;
    }
    x >>= 8; /* its top byte is 0 now, so that the varint ends at the latest there */
    *p += 2 + (pw_count_zeros(~x & PW_MORE_BITS) >> 3);
    return pw_squeeze(x);
}

/* As pw_take where the field is there or not as if by chance: no branch on its tag. */
static inline uint64_t
pw_take_if(const uint8_t **p, uint8_t tag, const uint8_t *end)
{
    uint64_t x = pw_load64(*p), here = *p < end && (uint8_t)x == tag;

    x >>= 8;
    *p += (2 + (pw_count_zeros(~x & PW_MORE_BITS) >> 3)) & (0 - here);
    return pw_squeeze(x) & (0 - here);
}

/* A length of one or two bytes at *p, which moves past it; UINT32_MAX for any other. A branch, here:
 * what follows waits for this sum, and guessing it right most of the time beats computing it. */
static inline uint32_t
pw_take_len(const uint8_t **p)
{
    uint32_t b0 = (*p)[0], b1 = (*p)[1];

    if (PW_LIKELY(b0 < 0x80)) {
        *p += 1;
        return b0;
    }
    *p += 2;
    return b1 - 1 < 0x7F ? (b0 & 0x7F) | b1 << 7 : UINT32_MAX;
}

static inline int64_t
pw_max3(int64_t a, int64_t b, int64_t c)
{
    uint64_t m = (uint64_t)a > (uint64_t)b ? (uint64_t)a : (uint64_t)b;

    return (int64_t)(m > (uint64_t)c ? m : (uint64_t)c);
}

#endif
