/* dataplane/peer_count.c - open addressing with linear probing; a removal moves later entries of its
 * chain up, so there are no tombstones and a look-up ends at the first empty slot. */
#include "dataplane/peer_count.h"

#include "base/check.h"
#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

int
pw_peer_count_init_ctl(struct pw_peer_count *p, uint32_t conns_max, uint32_t conns_per_peer,
                       uint64_t hash_key)
{
    uint32_t slots = 2;

    PW_INVARIANT(conns_max <= 1U << 30);
    *p = (struct pw_peer_count){.hash_key = hash_key, .conns_per_peer = conns_per_peer};
    if (conns_per_peer == 0) {
        return 0;
    }
    while (slots < 2 * conns_max) {
        slots *= 2;
    }
    p->slot = calloc(slots, sizeof(*p->slot)); /* touched as used */
    p->mask = slots - 1;
    return p->slot == NULL ? PW_ENOMEM : 0;
}

void
pw_peer_count_fini_ctl(struct pw_peer_count *p)
{
    free(p->slot);
    p->slot = NULL;
}

static struct pw_peer_slot
network_of(const struct pw_peer_addr *peer)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    struct pw_peer_slot s = {.conns = 0};

    memcpy(s.network, peer->ip, memcmp(peer->ip, mapped, sizeof(mapped)) == 0 ? 16 : 8);
    return s;
}

static uint32_t
home_of(const struct pw_peer_count *p, const struct pw_peer_slot *s)
{
    return (uint32_t)pw_hash_keyed(p->hash_key, s->network, sizeof(s->network)) & p->mask;
}

/* The slot of s, or the empty one where it would be. */
static uint32_t
find(const struct pw_peer_count *p, const struct pw_peer_slot *s)
{
    uint32_t i = home_of(p, s);

    while (p->slot[i].conns != 0 &&
           memcmp(p->slot[i].network, s->network, sizeof(s->network)) != 0) {
        i = (i + 1) & p->mask; /* ends: at most half of the slots are in use */
    }
    return i;
}

bool
pw_peer_count_add(struct pw_peer_count *p, const struct pw_peer_addr *peer)
{
    struct pw_peer_slot s;
    uint32_t i;

    if (p->conns_per_peer == 0) {
        return true;
    }
    s = network_of(peer);
    i = find(p, &s);
    if (p->slot[i].conns >= p->conns_per_peer) {
        return false;
    }
    s.conns = p->slot[i].conns + 1;
    p->slot[i] = s;
    return true;
}

/* Empties slot `hole`. An entry further down its chain fills it unless that would put the entry before
 * its home. */
static void
close_gap(struct pw_peer_count *p, uint32_t hole)
{
    uint32_t i = hole;

    p->slot[hole].conns = 0;
    for (;;) { /* ends at the first empty slot */
        i = (i + 1) & p->mask;
        if (p->slot[i].conns == 0) {
            return;
        }
        if (((i - home_of(p, &p->slot[i])) & p->mask) >= ((i - hole) & p->mask)) {
            p->slot[hole] = p->slot[i];
            p->slot[i].conns = 0;
            hole = i;
        }
    }
}

void
pw_peer_count_remove(struct pw_peer_count *p, const struct pw_peer_addr *peer)
{
    struct pw_peer_slot s;
    uint32_t i;

    if (p->conns_per_peer == 0) {
        return;
    }
    s = network_of(peer);
    i = find(p, &s);
    PW_INVARIANT(p->slot[i].conns > 0);
    if (--p->slot[i].conns == 0) {
        close_gap(p, i);
    }
}

uint32_t
pw_peer_count_of(const struct pw_peer_count *p, const struct pw_peer_addr *peer)
{
    struct pw_peer_slot s = network_of(peer);

    return p->conns_per_peer == 0 ? 0 : p->slot[find(p, &s)].conns;
}
