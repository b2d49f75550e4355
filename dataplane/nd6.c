#include "dataplane/nd6.h"

#include "dataplane/ip6.h"
#include "dataplane/worker_priv.h"

#include <rte_mbuf.h>

enum {
    ND_BYTES = 24, /* type, code, checksum, flags, target */
    ND_LINK_ADDRESS_BYTES = 8,
    ND_HOP_LIMIT = 255,
    ND_OPTIONS_MAX = 8,
    OPTION_SOURCE_LINK = 1,
    OPTION_TARGET_LINK = 2,
    ADVERT_SOLICITED = 0x40,
    ADVERT_OVERRIDE = 0x20,
    ASK_AGAIN_TICKS = 1000, /* RFC 4861 10: RETRANS_TIMER */
};

static uint32_t
set_index(const uint8_t ip[16])
{
    return (uint32_t)(ip[15] ^ ip[14] ^ ip[13] ^ ip[7]) % PW_NEIGH_SETS;
}

static struct pw_neigh6 *
entry_of(struct pw_neigh6_table *t, const uint8_t ip[16])
{
    struct pw_neigh6 *set = t->entry[set_index(ip)];

    for (uint32_t i = 0; i < PW_NEIGH_WAYS; i++) {
        if (pw_ip6_equal(set[i].ip, ip)) {
            return &set[i];
        }
    }
    return NULL;
}

/* The entry of ip, or the one of its set that makes room: an empty one, else the oldest. */
static struct pw_neigh6 *
slot_for(struct pw_neigh6_table *t, const uint8_t ip[16])
{
    struct pw_neigh6 *set = t->entry[set_index(ip)];
    struct pw_neigh6 *found = entry_of(t, ip);
    struct pw_neigh6 *oldest = &set[0];

    if (found != NULL) {
        return found;
    }
    for (uint32_t i = 1; i < PW_NEIGH_WAYS && !pw_ip6_unspecified(oldest->ip); i++) {
        if (pw_ip6_unspecified(set[i].ip) || set[i].tick < oldest->tick) {
            oldest = &set[i];
        }
    }
    *oldest = (struct pw_neigh6){0};
    memcpy(oldest->ip, ip, 16);
    return oldest;
}

void
pw_neigh6_learn(struct pw_neigh6_table *t, const uint8_t ip[16], const uint8_t mac[6],
                uint64_t now_tick)
{
    if (pw_ip6_unspecified(ip) || pw_ip6_multicast(ip) || pw_ether_multicast(mac)) {
        return;
    }
    struct pw_neigh6 *n = slot_for(t, ip);

    memcpy(n->mac, mac, 6);
    n->tick = now_tick;
    n->known = true;
}

const struct pw_neigh6 *
pw_neigh6_find(const struct pw_neigh6_table *t, const uint8_t ip[16])
{
    const struct pw_neigh6 *set = t->entry[set_index(ip)];

    for (uint32_t i = 0; i < PW_NEIGH_WAYS; i++) {
        if (set[i].known && pw_ip6_equal(set[i].ip, ip)) {
            return &set[i];
        }
    }
    return NULL;
}

/* A message with our link-layer address as its only option. */
static void
nd_send(struct pw_worker *w, uint8_t type, const uint8_t mac[6], const uint8_t dst[16],
        const uint8_t target[16], uint8_t flags)
{
    bool advert = type == PW_ICMP6_NEIGHBOUR_ADVERT;
    uint8_t *p;
    struct rte_mbuf *m =
        pw_icmp6_frame(w, mac, dst, ND_HOP_LIMIT, ND_BYTES + ND_LINK_ADDRESS_BYTES, &p);

    if (m == NULL) {
        return;
    }
    memset(p, 0, ND_BYTES + ND_LINK_ADDRESS_BYTES);
    p[0] = type;
    p[4] = flags;
    memcpy(p + 8, target, 16);
    p[ND_BYTES] = advert ? OPTION_TARGET_LINK : OPTION_SOURCE_LINK;
    p[ND_BYTES + 1] = ND_LINK_ADDRESS_BYTES / 8;
    memcpy(p + ND_BYTES + 2, w->mac, 6);
    pw_icmp6_send(w, m, ND_BYTES + ND_LINK_ADDRESS_BYTES);
}

/* RFC 4861 7.2.2. */
static void
solicit(struct pw_worker *w, const uint8_t ip[16])
{
    uint8_t group[16];
    uint8_t mac[6];

    pw_ip6_solicited_node(ip, group);
    pw_ip6_multicast_mac(group, mac);
    nd_send(w, PW_ICMP6_NEIGHBOUR_SOLICIT, mac, group, ip, 0);
}

int
pw_neigh6_resolve(struct pw_worker *w, const uint8_t ip[16], uint8_t mac[6])
{
    bool link_local = ip[0] == 0xFE && (ip[1] & 0xC0) == 0x80;
    bool near = link_local || pw_ip6_same_net(ip, w->ip6.address, w->ip6.prefix);
    const uint8_t *hop = near ? ip : w->ip6.gateway;

    if (pw_ip6_unspecified(hop)) {
        return PW_ENOENT;
    }
    struct pw_neigh6 *n = slot_for(&w->neigh6, hop);

    if (n->known) {
        memcpy(mac, n->mac, 6);
        return 0;
    }
    if (!w->ip6.is_ours) {
        return pw_neigh_ask_kernel(w, hop, mac);
    }
    bool waiting = n->asked && w->now_tick - n->tick < ASK_AGAIN_TICKS;

    if (!waiting) {
        n->asked = true;
        n->tick = w->now_tick;
        solicit(w, hop);
    }
    return PW_EAGAIN;
}

/* Walks the options (RFC 4861 4.6). False: one lies. *link: the address in the option `want`. */
static bool
options_read(const uint8_t *p, uint32_t n, uint8_t want, const uint8_t **link)
{
    *link = NULL;
    for (uint32_t i = 0; n > 0; i++) {
        uint32_t len = n < 8 ? 0 : (uint32_t)p[1] * 8;

        if (len == 0 || len > n || i == ND_OPTIONS_MAX) { /* 7.1.1: all have a length above 0 */
            return false;
        }
        if (p[0] == want && len == ND_LINK_ADDRESS_BYTES) {
            *link = p + 2;
        }
        p += len;
        n -= len;
    }
    return true;
}

/* RFC 4861 7.2.3, 7.2.4. */
static void
solicited(struct pw_worker *w, const uint8_t *frame, const struct pw_ip6 *ip, const uint8_t *link)
{
    static const uint8_t all_nodes[16] = {0xFF, 0x02, [15] = 1};
    const uint8_t *mac = link != NULL ? link : frame + 6;
    uint8_t group_mac[6];

    if (pw_ip6_unspecified(ip->src)) { /* somebody is about to take our address (RFC 4862 5.4.3) */
        if (w->ip6.is_ours) {
            pw_ip6_multicast_mac(all_nodes, group_mac);
            nd_send(w, PW_ICMP6_NEIGHBOUR_ADVERT, group_mac, all_nodes, w->ip6.address,
                    ADVERT_OVERRIDE);
        }
        return;
    }
    pw_neigh6_learn(&w->neigh6, ip->src, mac, w->now_tick);
    if (!w->ip6.is_ours) {
        pw_worker_drop(w, PW_DROP_ND_NOT_OURS);
        return;
    }
    nd_send(w, PW_ICMP6_NEIGHBOUR_ADVERT, mac, ip->src, w->ip6.address,
            ADVERT_SOLICITED | ADVERT_OVERRIDE);
}

/* RFC 4861 7.2.5, without reachability states: an answer we did not ask for makes no entry. */
static void
advertised(struct pw_worker *w, const uint8_t *target, uint8_t flags, const uint8_t *link)
{
    const struct pw_neigh6 *n = entry_of(&w->neigh6, target);

    if (n == NULL || link == NULL || (n->known && (flags & ADVERT_OVERRIDE) == 0)) {
        pw_worker_drop(w, PW_DROP_ND_NOT_OURS);
        return;
    }
    pw_neigh6_learn(&w->neigh6, target, link, w->now_tick);
}

void
pw_nd6_input(struct pw_worker *w, const struct rte_mbuf *m, const struct pw_ip6 *ip)
{
    const uint8_t *frame = rte_pktmbuf_mtod(m, const uint8_t *);
    const uint8_t *p = frame + ip->payload_off;
    const uint8_t *target = p + 8;
    const uint8_t *link = NULL;
    bool solicit = p[0] == PW_ICMP6_NEIGHBOUR_SOLICIT;

    /* RFC 4861 7.1.1, 7.1.2: a hop limit of 255 shows that no router was between. */
    bool ok = ip->hop_limit == ND_HOP_LIMIT && p[1] == 0 && ip->payload_len >= ND_BYTES &&
              !pw_ip6_multicast(target) &&
              options_read(p + ND_BYTES, ip->payload_len - ND_BYTES,
                           solicit ? OPTION_SOURCE_LINK : OPTION_TARGET_LINK, &link) &&
              (link == NULL || !pw_ether_multicast(link));

    if (ok && solicit && pw_ip6_unspecified(ip->src)) {
        ok = link == NULL && pw_ip6_equal(ip->dst, w->ip6.solicited);
    } else if (ok && !solicit) {
        ok = !pw_ip6_unspecified(ip->src) &&
             !(pw_ip6_multicast(ip->dst) && (p[4] & ADVERT_SOLICITED) != 0);
    }
    if (!ok) {
        pw_worker_drop(w, PW_DROP_ND_BAD);
    } else if (!solicit) {
        advertised(w, target, p[4], link);
    } else if (!pw_ip6_equal(target, w->ip6.address)) {
        pw_worker_drop(w, PW_DROP_ND_NOT_OURS);
    } else {
        solicited(w, frame, ip, link);
    }
}
