#include "distributor/owners.h"

#include "ring/replication_set.h"

#include <assert.h>

bool
pw_owners_alone(const struct pw_owners *o)
{
    const struct pw_ring_view *v = o->view;

    return v->cfg.replication_factor == 1 && v->instance_count == 1 && o->peer[0] == PW_OWNER_SELF;
}

int
pw_owners_resolve(const struct pw_owners *o, const struct pw_ring_shard *shard, uint32_t token,
                  int64_t now_s, struct pw_targets *to, struct pw_text *why)
{
    struct pw_replication_set set;
    int rc;

    if (o == NULL) {
        pw_text_str(why, "empty ring");
        return PW_ENOENT;
    }
    rc = pw_ring_get_in(o->view, shard, token, PW_RING_WRITE, now_s, &set, why);

    if (rc != 0) {
        return rc;
    }
    if (set.count > PW_QUORUM_TARGETS_MAX) {
        pw_text_printf(why, "a series has %u owners, more than %u", set.count,
                       PW_QUORUM_TARGETS_MAX);
        return PW_EINVAL;
    }
    to->count = set.count;
    to->max_errors = set.max_errors;
    for (uint32_t i = 0; i < set.count; i++) {
        to->instance[i] = (uint16_t)set.instance[i];
        to->peer[i] = o->peer[set.instance[i]];
    }
    return 0;
}

bool
pw_targets_has(const struct pw_targets *t, uint8_t peer)
{
    for (uint32_t i = 0; i < t->count; i++) {
        if (t->peer[i] == peer) {
            return true;
        }
    }
    return false;
}

bool
pw_targets_same(const struct pw_targets *a, const struct pw_targets *b)
{
    uint32_t found = 0;

    for (uint32_t i = 0; i < a->count; i++) {
        for (uint32_t k = 0; k < b->count; k++) {
            found += a->instance[i] == b->instance[k];
        }
    }
    return a->count == b->count && found == a->count;
}

static_assert(PW_RING_INSTANCES_MAX <= UINT16_MAX, "an instance's index fits");
static_assert((int)PW_LINK_PEERS_MAX <= (int)PW_OWNER_UNKNOWN, "a peer's number is none of ours");
