#include "ingester/ack.h"

#include "base/check.h"

#include <stdlib.h>

static_assert((PW_ACKS_MAX & (PW_ACKS_MAX - 1)) == 0, "indices are masked");

int
pw_acks_create_ctl(struct pw_acks *a)
{
    *a = (struct pw_acks){.entry = calloc(PW_ACKS_MAX, sizeof(*a->entry))};
    return a->entry == NULL ? PW_ENOMEM : 0;
}

void
pw_acks_destroy_ctl(struct pw_acks *a)
{
    free(a->entry);
}

static struct pw_ack *
at(struct pw_acks *a, uint32_t i)
{
    return &a->entry[i & (PW_ACKS_MAX - 1)];
}

void
pw_acks_put(struct pw_acks *a, uint64_t sequence, const struct pw_lane_done *done)
{
    PW_INVARIANT(!pw_acks_full(a));
    *at(a, a->end++) = (struct pw_ack){.sequence = sequence, .done = *done};
}

uint32_t
pw_acks_settle(struct pw_acks *a, const struct pw_wal_settled *s)
{
    uint32_t bad = 0;

    for (; a->settled != a->end && at(a, a->settled)->sequence <= s->through; a->settled++) {
        if (s->status != 0) {
            at(a, a->settled)->done.status = s->status;
            bad++;
        }
    }
    return bad;
}

uint32_t
pw_acks_send(struct pw_acks *a, struct pw_lane *out)
{
    uint32_t n = 0;

    for (; a->sent != a->settled; a->sent++, n++) {
        struct pw_lane_done *done = pw_lane_reserve(out, sizeof(*done));

        if (done == NULL) {
            break;
        }
        *done = at(a, a->sent)->done;
        pw_lane_commit(out, PW_LANE_TYPE_DONE, sizeof(*done));
    }
    if (n != 0) {
        pw_lane_flush(out);
    }
    return n;
}
