/* dataplane/tcp_seq.h - arithmetic modulo 2^32 (RFC 9293 3.4).
 *
 * Purpose  the only way sequence numbers and timestamps are compared in this house.
 * Owner    pure functions.
 * Context  hot.
 * Units    sequence numbers, host byte order.
 * Errors   -
 * Limits   meaningful while the two are less than 2^31 apart.
 */
#ifndef PW_DATAPLANE_TCP_SEQ_H
#define PW_DATAPLANE_TCP_SEQ_H

#include "base/types.h"

static inline bool
pw_seq_lt(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) < 0;
}

static inline bool
pw_seq_leq(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) <= 0;
}

static inline bool
pw_seq_gt(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) > 0;
}

static inline bool
pw_seq_geq(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) >= 0;
}

static inline uint32_t
pw_seq_max(uint32_t a, uint32_t b)
{
    return pw_seq_gt(a, b) ? a : b;
}

static inline uint32_t
pw_seq_min(uint32_t a, uint32_t b)
{
    return pw_seq_lt(a, b) ? a : b;
}

/* first <= x < end */
static inline bool
pw_seq_in(uint32_t x, uint32_t first, uint32_t end)
{
    return x - first < end - first;
}

#endif
