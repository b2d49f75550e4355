/* base/hist.h - log-linear (HDR) histogram of 64-bit values.
 *
 * Purpose  latencies per core without a lock; merged by the reader.
 * Owner    one writer; a reader on another thread tolerates skew.
 * Context  record: hot.
 * Units    whatever the caller counts (ns by custom); relative error below 1/64.
 * Errors   -
 * Limits   PW_HIST_BUCKETS buckets cover all 64-bit values.
 */
#ifndef PW_BASE_HIST_H
#define PW_BASE_HIST_H

#include "base/types.h"

enum { PW_HIST_SUB_BITS = 6, PW_HIST_BUCKETS = (64 - PW_HIST_SUB_BITS + 1) << PW_HIST_SUB_BITS };

struct pw_hist {
    uint64_t count;
    uint64_t sum;
    uint64_t max;
    uint64_t bucket[PW_HIST_BUCKETS];
};

static inline uint32_t
pw_hist_index(uint64_t v)
{
    if (v < (1U << PW_HIST_SUB_BITS)) {
        return (uint32_t)v;
    }
    uint32_t shift = 63U - (uint32_t)__builtin_clzll(v) - PW_HIST_SUB_BITS;

    return ((shift + 1) << PW_HIST_SUB_BITS) +
           (uint32_t)((v >> shift) & ((1U << PW_HIST_SUB_BITS) - 1));
}

static inline void
pw_hist_record(struct pw_hist *h, uint64_t v)
{
    h->count++;
    h->sum += v;
    h->max = v > h->max ? v : h->max;
    h->bucket[pw_hist_index(v)]++;
}

/* Smallest bucket upper bound that at least `q` (0..1) of the values do not exceed; 0 when empty. */
uint64_t pw_hist_quantile(const struct pw_hist *h, double q);

#endif
