/* ring/go_rand.h - the numbers that a Go program draws from math/rand (version 1) with a given seed.
 *
 * Purpose  members of one ring must pick the same shuffle shards and the same permutation of shards,
 *          whichever language they are written in (contract ring.md 2.6).
 * Owner    the caller owns the state (5 KB).
 * Context  control thread: seeding takes some 2,000 steps.
 * Units    -
 * Errors   -
 * Limits   not for secrets.
 */
#ifndef PW_RING_GO_RAND_H
#define PW_RING_GO_RAND_H

#include "base/types.h"

enum { PW_GO_RAND_LEN = 607 };

extern const uint64_t pw_go_rand_constant[PW_GO_RAND_LEN];

struct pw_go_rand {
    uint64_t state[PW_GO_RAND_LEN];
    uint32_t tap, feed;
};

void pw_go_rand_seed(struct pw_go_rand *r, int64_t seed);
uint32_t pw_go_rand_uint32(struct pw_go_rand *r);
/* Uniform in 0..n-1; 0 < n < 2^31. */
uint32_t pw_go_rand_intn(struct pw_go_rand *r, uint32_t n);

#endif
