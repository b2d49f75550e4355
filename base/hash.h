/* base/hash.h - the hashes whose values the outside world can see, and the keyed one it cannot.
 *
 * Purpose  FNV-1 for v1 ring tokens, XXH64 for label fingerprints and v2 keys (contract
 *          write-path.md 5.1), and a keyed hash for interning tables that hostile input reaches.
 * Owner    pure functions. The key is drawn once by app/ and handed down.
 * Context  hot.
 * Units    bytes in, 32 or 64 bits out.
 * Errors   -
 * Limits   -
 */
#ifndef PW_BASE_HASH_H
#define PW_BASE_HASH_H

#include "base/types.h"

#define PW_FNV1_32_INIT 2166136261U

/* FNV-1 (multiply, then xor; not FNV-1a), 32 bits, continued from `h`. Source: write-path.md 5.1. */
static inline uint32_t
pw_fnv1_32(uint32_t h, const void *data, size_t len)
{
    const uint8_t *p = (const uint8_t *)data;

    for (size_t i = 0; i < len; i++) {
        h = (h * 16777619U) ^ p[i];
    }
    return h;
}

/* XXH64 with seed 0 of `len` bytes. */
uint64_t pw_xxh64(const void *data, size_t len);

/* Keyed hash for tables: XXH3-64 under a secret seed, so that a client cannot aim at one bucket. */
uint64_t pw_hash_keyed(uint64_t key, const void *data, size_t len);

/* Both halves of the 128-bit product, xor-ed. As one instruction: through a 128-bit type gcc 12 keeps
 * the low half on the stack, which halves the speed of loops over stacks (perf/bench_wire). */
static inline uint64_t
pw_fold64(uint64_t a, uint64_t b)
{
#if defined(__BMI2__) && defined(__x86_64__)
    uint64_t low, high;

    __asm__("mulx %3, %0, %1" : "=r"(low), "=r"(high) : "d"(a), "rm"(b));
    return low ^ high;
#else
    unsigned __int128 m = (unsigned __int128)a * b;

    return (uint64_t)m ^ (uint64_t)(m >> 64);
#endif
}

/* Mixes a further 64-bit word into a keyed hash (order matters). Cheap: one 64x64 multiply. */
static inline uint64_t
pw_hash_mix(uint64_t h, uint64_t v)
{
    return pw_fold64(h ^ 0x9E3779B97F4A7C15U, v ^ 0xD6E8FEB86659FD93U) ^ h;
}

#endif
