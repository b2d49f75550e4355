/* distributor/quorum.h - when enough owners of one item have acknowledged it, or too many have not.
 *
 * Purpose  stock's tracker (contract ring.md 2.7) for one item: the series of one profile that have the
 *          same owners. targets - max_errors acknowledgements meet it; the failure that is one more than
 *          max_errors loses it, and the text of that very failure is the answer: a replica's 4xx stays a
 *          4xx, a dead one is a 5xx. What comes after the decision changes nothing.
 * Owner    the caller's memory.
 * Context  hot, pure.
 * Units    targets by their place in the replication set.
 * Errors   PW_EINVAL: no target, too many, or all of them may fail.
 * Limits   PW_QUORUM_TARGETS_MAX.
 *
 * A dead owner votes like any other: how many acknowledgements are needed was decided by the ring's walk
 * (2.3, 2.4) and never shrinks.
 */
#ifndef PW_DISTRIBUTOR_QUORUM_H
#define PW_DISTRIBUTOR_QUORUM_H

#include "base/err.h"
#include "base/types.h"

enum { PW_QUORUM_TARGETS_MAX = 8 };

enum pw_quorum_verdict {
    PW_QUORUM_OPEN, /* by this vote nothing was decided: not yet, or before */
    PW_QUORUM_MET,
    PW_QUORUM_LOST,
};

struct pw_quorum {
    uint8_t targets;
    uint8_t max_errors;
    uint8_t succeeded, failed;
    uint8_t voted; /* bit per target */
};

PW_MUST_USE int pw_quorum_init(struct pw_quorum *q, uint32_t targets, uint32_t max_errors);
/* Says what this vote decided: MET or LOST once in the life of q. Only the first vote of a target counts. */
enum pw_quorum_verdict pw_quorum_vote(struct pw_quorum *q, uint32_t target, bool success);

static inline bool
pw_quorum_decided(const struct pw_quorum *q)
{
    return q->succeeded >= q->targets - q->max_errors || q->failed > q->max_errors;
}

#endif
