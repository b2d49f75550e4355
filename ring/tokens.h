/* ring/tokens.h - where an instance's tokens come from: chance, and a file that outlives the process.
 *
 * Purpose  draw tokens nobody has yet; keep them in a JSON file {"tokens":[...]} (contract ring.md 1.4).
 * Owner    caller's arrays.
 * Context  cold: control thread. Pure but for the file calls, which go through base/file.h.
 * Units    tokens are 32 bits, ascending and each once.
 * Errors   PW_ENOENT: no such file; PW_EPROTO: not such a file; errno of the file layer.
 * Limits   PW_RING_TOKENS_MAX.
 */
#ifndef PW_RING_TOKENS_H
#define PW_RING_TOKENS_H

#include "base/file.h"
#include "ring/desc.h"

struct pw_tokens {
    uint32_t token[PW_RING_TOKENS_MAX];
    uint32_t count;
};

/* Adds random tokens that neither t nor an instance of taken (may be NULL) has, until there are `want`.
 * seed is the generator's state and moves on. */
void pw_tokens_fill(struct pw_tokens *t, uint32_t want, const struct pw_ring_desc *taken,
                    uint64_t *seed);
/* Takes random ones away until there are `want`. */
void pw_tokens_trim(struct pw_tokens *t, uint32_t want, uint64_t *seed);
void pw_tokens_set(struct pw_tokens *t, const uint32_t *token, uint32_t count);
bool pw_tokens_equal(const struct pw_tokens *t, const uint32_t *token, uint32_t count);

PW_MUST_USE int pw_tokens_load_cold(struct pw_tokens *t, const struct pw_fs *fs, const char *path);
/* Written beside, synced, and renamed: after a crash the file is the old one or the new one. */
PW_MUST_USE int pw_tokens_store_cold(const struct pw_tokens *t, const struct pw_fs *fs,
                                     const char *path);

#endif
