#include "ring/go_rand.h"

#include "base/check.h"

enum {
    LCG_FACTOR = 48271,
    LCG_SEED_OF_ZERO = 89482311,
    LCG_DISCARDED = 20,
    FEED_FIRST = 334,
};

static const int64_t LCG_MODULUS = 2147483647;

static int64_t
lcg_next(int64_t x)
{
    return x * LCG_FACTOR % LCG_MODULUS;
}

void
pw_go_rand_seed(struct pw_go_rand *r, int64_t seed)
{
    int64_t x = seed % LCG_MODULUS;

    x = x < 0 ? x + LCG_MODULUS : x;
    x = x == 0 ? LCG_SEED_OF_ZERO : x;
    for (int i = 0; i < LCG_DISCARDED; i++) {
        x = lcg_next(x);
    }
    for (uint32_t i = 0; i < PW_GO_RAND_LEN; i++) {
        int64_t a = lcg_next(x), b = lcg_next(a);

        x = lcg_next(b);
        r->state[i] =
            ((uint64_t)a << 40 ^ (uint64_t)b << 20 ^ (uint64_t)x) ^ pw_go_rand_constant[i];
    }
    r->tap = 0;
    r->feed = FEED_FIRST;
}

static uint64_t
next63(struct pw_go_rand *r)
{
    r->tap = (r->tap + PW_GO_RAND_LEN - 1) % PW_GO_RAND_LEN;
    r->feed = (r->feed + PW_GO_RAND_LEN - 1) % PW_GO_RAND_LEN;
    r->state[r->feed] += r->state[r->tap];
    return r->state[r->feed] & INT64_MAX;
}

uint32_t
pw_go_rand_uint32(struct pw_go_rand *r)
{
    return (uint32_t)(next63(r) >> 31);
}

uint32_t
pw_go_rand_intn(struct pw_go_rand *r, uint32_t n)
{
    PW_INVARIANT(n > 0 && n <= INT32_MAX);
    if ((n & (n - 1)) == 0) {
        return (uint32_t)(next63(r) >> 32) & (n - 1);
    }
    uint32_t most = (uint32_t)INT32_MAX - (uint32_t)((UINT32_C(1) << 31) % n);
    uint32_t v;

    do {
        v = (uint32_t)(next63(r) >> 32);
    } while (v > most);
    return v % n;
}
