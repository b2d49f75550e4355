/* pprof/text_hash.h - the keyed hash of a string, and whether it is ASCII, in one reading.
 *
 * Purpose  every string of every profile is hashed. Most have at most 64 bytes and no two lengths in a
 *          row are alike, so that a loop over the bytes mispredicts once a string: up to 64 bytes are
 *          taken in two masked vectors instead, whatever the length.
 * Owner    pure.
 * Context  hot. Internal to pprof/: values mean nothing to others (base/hash.h is for them).
 * Units    bytes.
 * Errors   -
 * Limits   reads PW_TEXT_HASH_BLOCK bytes from the start of every block when `readable` says they are
 *          there, else only the string.
 */
#ifndef PW_PPROF_TEXT_HASH_H
#define PW_PPROF_TEXT_HASH_H

#include "base/fiber.h"
#include "base/hash.h"
#include "base/types.h"

#ifdef __AVX2__
#include <immintrin.h>
#endif

enum { PW_TEXT_HASH_BLOCK = 64 };

struct pw_text_key {
    uint64_t seed;
    uint64_t
        word[8]; /* one per word of a block; secret, as a word that meets itself hides its pair */
};

static const uint64_t pw_text_hash_constant[8] = {
    0x40B2D002CC92D33DU, 0x32833106536E95DFU, 0x3170FAB23D90FBADU, 0xF08DB22FD293056BU,
    0x4AD5CFBC1D74BD1DU, 0xF3FAA8E879EAA723U, 0xFFEC3FEE8ED2305DU, 0x3CE1268C9C8052E3U};

/* 64 times 0xFF, then 64 times 0: 64 bytes from 64 - n keep the first n bytes of a block. */
static const uint8_t pw_text_hash_mask[2 * PW_TEXT_HASH_BLOCK] = {
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255};

typedef uint64_t pw_text_words __attribute__((vector_size(32), aligned(1)));

static inline void
pw_text_key_init(struct pw_text_key *k, uint64_t hash_key)
{
    k->seed = hash_key;
    for (int i = 0; i < 8; i++) {
        k->word[i] = pw_hash_mix(hash_key, pw_text_hash_constant[i]);
    }
}

/* n <= 64 bytes of a block that can be read in full. *all collects the bits of all bytes. */
static inline uint64_t
pw_text_hash_block(const uint64_t *k, const uint8_t *p, size_t n, pw_text_words *all)
{
    uint64_t w[8], sum;
    pw_text_words a, b, ma, mb;

    memcpy(&a, p, sizeof(a));
    memcpy(&b, p + 32, sizeof(b));
    memcpy(&ma, pw_text_hash_mask + PW_TEXT_HASH_BLOCK - n, sizeof(ma));
    memcpy(&mb, pw_text_hash_mask + PW_TEXT_HASH_BLOCK + 32 - n, sizeof(mb));
    a &= ma;
    b &= mb;
    memcpy(w, &a, sizeof(a));
    memcpy(w + 4, &b, sizeof(b));
    *all |= a | b;
    sum = pw_fold64(w[0] ^ k[0], w[1] ^ k[1]);
    sum += pw_fold64(w[2] ^ k[2], w[3] ^ k[3]);
    sum += pw_fold64(w[4] ^ k[4], w[5] ^ k[5]);
    sum += pw_fold64(w[6] ^ k[6], w[7] ^ k[7]);
    return sum;
}

/* readable: bytes from s.ptr on that may be touched, at least s.len. fiber: checkpoints, or NULL. */
static inline uint64_t
pw_text_hash(const struct pw_text_key *k, struct pw_slice s, size_t readable, pw_text_words *all,
             struct pw_fiber *fiber)
{
    uint64_t h = k->seed ^ s.len;
    uint8_t copy[PW_TEXT_HASH_BLOCK] = {0};
    const uint8_t *last;
    size_t at = 0;

    for (; s.len - at > PW_TEXT_HASH_BLOCK; at += PW_TEXT_HASH_BLOCK) {
        h = pw_hash_mix(h, pw_text_hash_block(k->word, s.ptr + at, PW_TEXT_HASH_BLOCK, all));
        PW_FIBER_PAUSE_EVERY(fiber, at / PW_TEXT_HASH_BLOCK, 1024);
    }
    last = s.ptr + at;
    if (readable - at < PW_TEXT_HASH_BLOCK) {
        if (s.len != at) {
            memcpy(copy, last, s.len - at);
        }
        last = copy;
    }
    return pw_hash_mix(h, pw_text_hash_block(k->word, last, s.len - at, all));
}

static inline bool
pw_text_is_ascii(pw_text_words all)
{
#ifdef __AVX2__
    return _mm256_movemask_epi8((__m256i)all) == 0;
#else
    return ((all[0] | all[1] | all[2] | all[3]) & 0x8080808080808080U) == 0;
#endif
}

#endif
