#include "ring/replication_set.h"

#include "ring/shuffle_shard.h"

/* States of an operation as bits (ring.md 2.2). */
#define STATE(s) (1U << PW_INSTANCE_##s)

static const struct {
    uint32_t healthy, extends;
} op_states[] = {
    [PW_RING_WRITE] = {STATE(ACTIVE),
                       STATE(LEAVING) | STATE(PENDING) | STATE(JOINING) | STATE(LEFT)},
    [PW_RING_WRITE_NO_EXTEND] = {STATE(ACTIVE), 0},
    [PW_RING_READ] = {STATE(ACTIVE) | STATE(PENDING) | STATE(LEAVING),
                      STATE(PENDING) | STATE(JOINING) | STATE(LEFT)},
    [PW_RING_REPORTING] = {STATE(ACTIVE) | STATE(LEAVING) | STATE(PENDING) | STATE(JOINING) |
                               STATE(LEFT),
                           0},
};

static void
say(struct pw_text *why, const char *text)
{
    if (why != NULL) {
        pw_text_str(why, text);
    }
}

bool
pw_instance_healthy(const struct pw_instance *in, enum pw_ring_op op, int64_t now,
                    int64_t heartbeat_timeout)
{
    return (op_states[op].healthy >> in->state & 1) != 0 &&
           now - in->timestamp <= heartbeat_timeout;
}

/* ---- one key ------------------------------------------------------------------------------------ */

/* What the walk has seen of each zone. */
struct zone_walk {
    uint32_t found[PW_RING_ZONES_MAX];
    uint32_t examined[PW_RING_ZONES_MAX];
};

static bool
zones_done(const struct pw_ring_view *ring, const struct pw_ring_shard *shard,
           const struct zone_walk *z)
{
    for (uint32_t i = 0; i < ring->zone_count; i++) {
        uint32_t instances = shard == NULL ? ring->zone[i].instances : shard->zone_instances[i];

        if (z->found[i] == 0 && z->examined[i] < instances) {
            return false;
        }
    }
    return true;
}

static bool
has(const struct pw_replication_set *set, uint32_t instance)
{
    for (uint32_t i = 0; i < set->count; i++) {
        if (set->instance[i] == instance) {
            return true;
        }
    }
    return false;
}

/* Candidates in the order of the tokens after key (ring.md 2.3). Heartbeats are not looked at here. */
static void
walk(const struct pw_ring_view *ring, const struct pw_ring_shard *shard, uint32_t key,
     enum pw_ring_op op, struct pw_replication_set *set)
{
    uint32_t instances = shard == NULL ? ring->instance_count : shard->count;
    struct zone_walk zones = {{0}, {0}};
    uint32_t size = ring->cfg.replication_factor;
    uint32_t at = pw_ring_search(ring->token, ring->token_count, key);

    for (uint32_t visited = 0; visited < ring->token_count; visited++) {
        uint32_t most = instances < size ? instances : size;
        uint32_t i = ring->token[at].instance, z = ring->instance_zone[i];
        bool zoned = ring->cfg.zone_awareness && ring->zone[z].name[0] != 0;

        if (set->count >= most || (ring->cfg.zone_awareness && zones_done(ring, shard, &zones))) {
            return;
        }
        at = at + 1 == ring->token_count ? 0 : at + 1;
        if (has(set, i) || (shard != NULL && !pw_ring_shard_has(shard, i))) {
            continue;
        }
        if (zoned) {
            if (zones.found[z] > 0) {
                continue;
            }
            zones.examined[z]++;
        }
        set->instance[set->count++] = i;
        if ((op_states[op].extends >> ring->instance[i].state & 1) != 0) {
            size++;
        } else if (zoned) {
            zones.found[z]++;
        }
    }
}

static void
say_too_few(const struct pw_ring_view *ring, uint32_t need, uint32_t live, const uint32_t *dropped,
            uint32_t dropped_count, struct pw_text *why)
{
    if (why == NULL) {
        return;
    }
    pw_text_printf(why, "at least %u live replicas required%s, could only find %u", need,
                   ring->cfg.zone_awareness ? " across different availability zones" : "", live);
    for (uint32_t i = 0; i < dropped_count; i++) {
        pw_text_str(why, i == 0 ? " - unhealthy instances: " : ",");
        pw_text_str(why, ring->instance[dropped[i]].addr);
    }
}

int
pw_ring_get(const struct pw_ring_view *ring, uint32_t key, enum pw_ring_op op, int64_t now,
            struct pw_replication_set *set, struct pw_text *why)
{
    return pw_ring_get_in(ring, NULL, key, op, now, set, why);
}

int
pw_ring_get_in(const struct pw_ring_view *ring, const struct pw_ring_shard *shard, uint32_t key,
               enum pw_ring_op op, int64_t now, struct pw_replication_set *set, struct pw_text *why)
{
    uint32_t dropped[PW_RING_INSTANCES_MAX];
    uint32_t live = 0, dropped_count = 0, all, need;

    set->count = set->max_errors = set->max_unavailable_zones = 0;
    walk(ring, shard, key, op, set);
    if (set->count == 0) { /* nobody has a token */
        say(why, "empty ring");
        return PW_ENOENT;
    }
    all = set->count > ring->cfg.replication_factor ? set->count : ring->cfg.replication_factor;
    need = all / 2 + 1;
    for (uint32_t i = 0; i < set->count; i++) {
        const struct pw_instance *in = &ring->instance[set->instance[i]];

        if (pw_instance_healthy(in, op, now, ring->cfg.heartbeat_timeout)) {
            set->instance[live++] = set->instance[i];
        } else {
            dropped[dropped_count++] = set->instance[i];
        }
    }
    set->count = live;
    if (live < need) {
        say_too_few(ring, need, live, dropped, dropped_count, why);
        set->count = 0;
        return PW_EAGAIN;
    }
    set->max_errors = live - need;
    return 0;
}

/* ---- the whole ring ------------------------------------------------------------------------------ */

int
pw_ring_get_all_healthy(const struct pw_ring_view *ring, enum pw_ring_op op, int64_t now,
                        struct pw_replication_set *set, struct pw_text *why)
{
    set->count = set->max_errors = set->max_unavailable_zones = 0;
    if (ring->instance_count == 0) {
        say(why, "empty ring");
        return PW_ENOENT;
    }
    for (uint32_t i = 0; i < ring->instance_count; i++) {
        if (pw_instance_healthy(&ring->instance[i], op, now, ring->cfg.heartbeat_timeout)) {
            set->instance[set->count++] = i;
        }
    }
    return 0;
}

/* Zones: whole zones may be missing, and an instance of a failing one is not asked at all. */
static int
set_by_zones(const struct pw_ring_view *ring, enum pw_ring_op op, int64_t now,
             struct pw_replication_set *set)
{
    uint32_t zones = ring->zone_count < ring->cfg.replication_factor ? ring->zone_count
                                                                     : ring->cfg.replication_factor;
    bool failing[PW_RING_ZONES_MAX] = {false};
    uint32_t tolerated = zones / 2, failed = 0;

    for (uint32_t i = 0; i < ring->instance_count; i++) {
        uint32_t z = ring->instance_zone[i];

        if (!failing[z] &&
            !pw_instance_healthy(&ring->instance[i], op, now, ring->cfg.heartbeat_timeout)) {
            failing[z] = true;
            failed++;
        }
    }
    if (failed > tolerated) {
        return PW_EAGAIN;
    }
    for (uint32_t i = 0; i < ring->instance_count; i++) {
        if (!failing[ring->instance_zone[i]]) {
            set->instance[set->count++] = i;
        }
    }
    set->max_unavailable_zones = tolerated - failed;
    return 0;
}

int
pw_ring_set_for_operation(const struct pw_ring_view *ring, enum pw_ring_op op, int64_t now,
                          struct pw_replication_set *set, struct pw_text *why)
{
    uint32_t factor = ring->cfg.replication_factor;
    uint32_t need = (ring->instance_count > factor ? ring->instance_count : factor) - factor / 2;
    int rc = pw_ring_get_all_healthy(ring, op, now, set, why);

    if (rc != 0) {
        return rc;
    }
    if (ring->cfg.zone_awareness) {
        set->count = 0;
        rc = set_by_zones(ring, op, now, set);
    } else if (set->count < need) {
        rc = PW_EAGAIN;
    } else {
        set->max_errors = set->count - need;
    }
    if (rc != 0) {
        set->count = 0;
        say(why, "too many unhealthy instances in the ring");
    }
    return rc;
}
