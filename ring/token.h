/* ring/token.h - v1 ring token of a series, and who of the local cores owns it.
 *
 * Purpose  FNV-1 of tenant and label-set text (contract write-path.md 5.1) picks the ingester core.
 * Owner    pure functions.
 * Context  hot.
 * Units    32-bit tokens.
 * Errors   -
 * Limits   -
 */
#ifndef PW_RING_TOKEN_H
#define PW_RING_TOKEN_H

#include "base/hash.h"

static inline uint32_t
pw_token(struct pw_slice tenant, struct pw_slice labels_text)
{
    return pw_fnv1_32(pw_fnv1_32(PW_FNV1_32_INIT, tenant.ptr, tenant.len), labels_text.ptr,
                      labels_text.len);
}

/* Splits the token space evenly: the core of 0..cores-1 whose range holds token. FNV-1 ends with an
 * xor of the last byte, so its high bits are the mixed ones; a multiply-shift uses exactly those. */
static inline uint32_t
pw_token_core(uint32_t token, uint32_t cores)
{
    return (uint32_t)(((uint64_t)token * cores) >> 32);
}

#endif
