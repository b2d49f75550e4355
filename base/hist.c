#include "base/hist.h"

static uint64_t
bucket_upper(uint32_t idx)
{
    if (idx < (1U << PW_HIST_SUB_BITS)) {
        return idx;
    }
    uint32_t shift = (idx >> PW_HIST_SUB_BITS) - 1;
    uint64_t low = ((uint64_t)(idx & ((1U << PW_HIST_SUB_BITS) - 1)) + (1U << PW_HIST_SUB_BITS))
                   << shift;

    return low + ((uint64_t)1 << shift) - 1;
}

uint64_t
pw_hist_quantile(const struct pw_hist *h, double q)
{
    uint64_t want = (uint64_t)(q * (double)h->count + 0.999999);
    uint64_t seen = 0;

    want = want == 0 ? 1 : want;
    for (uint32_t i = 0; i < PW_HIST_BUCKETS; i++) {
        seen += h->bucket[i];
        if (seen >= want) {
            uint64_t up = bucket_upper(i);

            return up < h->max ? up : h->max;
        }
    }
    return h->max;
}
