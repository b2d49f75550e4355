#include "distributor/quorum.h"

#include "base/check.h"

int
pw_quorum_init(struct pw_quorum *q, uint32_t targets, uint32_t max_errors)
{
    if (targets == 0 || targets > PW_QUORUM_TARGETS_MAX || max_errors >= targets) {
        return PW_EINVAL;
    }
    *q = (struct pw_quorum){.targets = (uint8_t)targets, .max_errors = (uint8_t)max_errors};
    return 0;
}

enum pw_quorum_verdict
pw_quorum_vote(struct pw_quorum *q, uint32_t target, bool success)
{
    bool before = pw_quorum_decided(q);

    PW_INVARIANT(target < q->targets);
    if ((q->voted & 1U << target) != 0) {
        return PW_QUORUM_OPEN;
    }
    q->voted = (uint8_t)(q->voted | 1U << target);
    q->succeeded = (uint8_t)(q->succeeded + success);
    q->failed = (uint8_t)(q->failed + !success);
    if (before || !pw_quorum_decided(q)) {
        return PW_QUORUM_OPEN;
    }
    return success ? PW_QUORUM_MET : PW_QUORUM_LOST;
}

static_assert(PW_QUORUM_TARGETS_MAX <= 8, "a bit of `voted` each");
