/* EVP has no MD5 without an allocation; this interface of libcrypto has, and is deprecated for what it is: not for secrets. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "ring/shuffle_shard.h"

#include "ring/go_rand.h"

#include <openssl/md5.h>
#include <stdlib.h>

/* One computation. */
struct pick {
    const struct pw_ring_view *ring;
    int64_t lookback, until; /* unix seconds that data is wanted from */
    bool in[PW_RING_INSTANCES_MAX];
};

int64_t
pw_shuffle_shard_seed(struct pw_slice id, const char *zone)
{
    uint8_t digest[MD5_DIGEST_LENGTH];
    uint64_t v = 0;
    MD5_CTX md5;

    /* These three cannot fail. */
    (void)MD5_Init(&md5);
    (void)MD5_Update(&md5, id.ptr, id.len);
    if (zone[0] != 0) {
        (void)MD5_Update(&md5, "", 1);
        (void)MD5_Update(&md5, zone, strlen(zone));
    }
    (void)MD5_Final(digest, &md5);
    for (int i = 0; i < 8; i++) {
        v = v << 8 | digest[i];
    }
    return (int64_t)v;
}

/* Read-only instances take no new data; with a look-back they count while they may hold what is asked
 * for. */
static bool
includable(const struct pick *p, const struct pw_instance *in)
{
    if (!in->read_only) {
        return true;
    }
    return p->lookback > 0 && !(in->read_only_updated > 0 && in->read_only_updated < p->until);
}

/* An instance that came, or changed its mind about writes, since then was not in the shard all the time:
 * somebody else held that range, so the pick goes on. */
static bool
recent(const struct pick *p, const struct pw_instance *in)
{
    return p->lookback > 0 &&
           (in->registered >= p->until || in->read_only || in->read_only_updated >= p->until);
}

/* One pick: the first instance after a random token that is not in yet; false when there is none. */
static bool
pick_one(struct pick *p, const struct pw_ring_token *token, uint32_t count, uint32_t key)
{
    uint32_t at = pw_ring_search(token, count, key);

    for (uint32_t visited = 0; visited < count; visited++) {
        uint32_t i = token[at].instance;
        const struct pw_instance *in = &p->ring->instance[i];

        at = at + 1 == count ? 0 : at + 1;
        if (p->in[i] || !includable(p, in)) {
            continue;
        }
        p->in[i] = true;
        if (!recent(p, in)) {
            return true;
        }
    }
    return false;
}

static void
pick_zone(struct pick *p, struct pw_slice tenant, const char *zone,
          const struct pw_ring_token *token, uint32_t count, int64_t picks)
{
    struct pw_go_rand rand;

    pw_go_rand_seed(&rand, pw_shuffle_shard_seed(tenant, zone));
    while (picks-- > 0 && pick_one(p, token, count, pw_go_rand_uint32(&rand))) {
    }
}

/* Everybody was there all the time: then the shard cannot have been larger before. */
static bool
all_recent(const struct pick *p)
{
    int64_t first = INT64_MAX;

    if (p->lookback <= 0 || p->ring->instance_count == 0) {
        return false;
    }
    for (uint32_t i = 0; i < p->ring->instance_count; i++) {
        int64_t registered = p->ring->instance[i].registered;

        if (registered == 0) {
            return false;
        }
        first = registered < first ? registered : first;
    }
    return first >= p->until;
}

static void
pick_zones(struct pick *p, struct pw_slice tenant, int64_t size)
{
    const struct pw_ring_view *ring = p->ring;
    int64_t zones = ring->zone_count > 0 ? ring->zone_count : 1;
    int64_t per_zone = (size + zones - 1) / zones;

    if (!ring->cfg.zone_awareness) {
        pick_zone(p, tenant, "", ring->token, ring->token_count, size);
        return;
    }
    for (uint32_t z = 0; z < ring->zone_count; z++) {
        if (per_zone < (int64_t)ring->zone[z].instances) {
            pick_zone(p, tenant, ring->zone[z].name, ring->zone[z].token, ring->zone[z].token_count,
                      per_zone);
            continue;
        }
        for (uint32_t i = 0; i < ring->instance_count; i++) {
            p->in[i] |= ring->instance_zone[i] == z && includable(p, &ring->instance[i]);
        }
    }
}

static void
pick_all(struct pick *p, struct pw_slice tenant, int64_t size)
{
    const struct pw_ring_view *ring = p->ring;

    if (size <= 0) {
        for (uint32_t i = 0; i < ring->instance_count; i++) {
            p->in[i] = includable(p, &ring->instance[i]);
        }
    } else if (all_recent(p)) {
        memset(p->in, true, ring->instance_count);
    } else {
        pick_zones(p, tenant, size);
    }
}

void
pw_shuffle_shard_pick(struct pw_ring_shard *shard, const struct pw_ring_view *ring,
                      struct pw_slice tenant, int64_t size)
{
    struct pick p = {.ring = ring};

    pick_all(&p, tenant, size);
    memset(shard, 0, sizeof(*shard));
    for (uint32_t i = 0; i < ring->instance_count; i++) {
        if (p.in[i]) {
            shard->member[i / 64] |= 1ULL << (i % 64);
            shard->zone_instances[ring->instance_zone[i]]++;
            shard->count++;
        }
    }
}

int
pw_shuffle_shard_ctl(struct pw_ring_view **shard, const struct pw_ring_view *ring,
                     const char *tenant, int64_t size, int64_t lookback, int64_t now)
{
    struct pick p = {.ring = ring, .lookback = lookback, .until = now - lookback};
    struct pw_instance *member = calloc(ring->instance_count + 1, sizeof(*member));
    uint32_t count = 0;
    int rc;

    if (member == NULL) {
        return PW_ENOMEM;
    }
    pick_all(&p, pw_slice_str(tenant), size);
    for (uint32_t i = 0; i < ring->instance_count; i++) {
        if (p.in[i]) {
            member[count++] = ring->instance[i];
        }
    }
    rc = pw_ring_view_make_ctl(shard, &ring->cfg, member, count);
    free(member);
    return rc;
}
