#include "dataplane/ether_arp.h"

#include "dataplane/ip6.h"
#include "dataplane/worker_priv.h"

#include <rte_mbuf.h>

enum {
    ARP_BYTES = 28,
    ARP_REQUEST = 1,
    ARP_REPLY = 2,
    ARP_ASK_AGAIN_TICKS = 1000, /* RFC 1122 2.3.2.1: one request a second for one address */
};

static struct pw_neigh *
set_of(struct pw_neigh_table *t, uint32_t ip)
{
    return t->entry[(ip ^ (ip >> 8)) % PW_NEIGH_SETS];
}

/* The entry of ip, or the one of its set that makes room: an empty one, else the oldest. */
static struct pw_neigh *
slot_for(struct pw_neigh_table *t, uint32_t ip)
{
    struct pw_neigh *set = set_of(t, ip);
    struct pw_neigh *oldest = &set[0];

    for (uint32_t i = 0; i < PW_NEIGH_WAYS; i++) {
        if (set[i].ip == ip) {
            return &set[i];
        }
        if (oldest->ip != 0 && (set[i].ip == 0 || set[i].tick < oldest->tick)) {
            oldest = &set[i];
        }
    }
    *oldest = (struct pw_neigh){.ip = ip};
    return oldest;
}

void
pw_neigh_learn(struct pw_neigh_table *t, uint32_t ip, const uint8_t mac[6], uint64_t now_tick)
{
    if (ip == 0 || pw_ether_multicast(mac)) {
        return;
    }
    struct pw_neigh *n = slot_for(t, ip);

    memcpy(n->mac, mac, 6);
    n->tick = now_tick;
    n->known = true;
}

const struct pw_neigh *
pw_neigh_find(const struct pw_neigh_table *t, uint32_t ip)
{
    const struct pw_neigh *set = t->entry[(ip ^ (ip >> 8)) % PW_NEIGH_SETS];

    for (uint32_t i = 0; i < PW_NEIGH_WAYS; i++) {
        if (set[i].ip == ip && ip != 0) {
            return set[i].known ? &set[i] : NULL;
        }
    }
    return NULL;
}

static void
arp_send(struct pw_worker *w, uint16_t op, uint32_t ip, const uint8_t mac[6])
{
    static const uint8_t broadcast[6] = {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF};
    static const uint8_t ethernet_ip4[6] = {0, 1, 0x08, 0x00, 6, 4};
    struct rte_mbuf *r = pw_worker_frame(w);

    if (r == NULL) {
        return;
    }
    uint8_t *p = (uint8_t *)rte_pktmbuf_append(r, PW_ETHER_BYTES + ARP_BYTES);

    PW_INVARIANT(p != NULL);
    pw_ether_put(p, op == ARP_REQUEST ? broadcast : mac, w->mac, PW_ETHER_TYPE_ARP);
    p += PW_ETHER_BYTES;
    memcpy(p, ethernet_ip4, 6);
    pw_store_be16(p + 6, op);
    memcpy(p + 8, w->mac, 6);
    pw_store_be32(p + 14, w->address);
    memcpy(p + 18, mac, 6);
    pw_store_be32(p + 24, ip);
    pw_worker_send(w, r);
}

enum { WISH_NONE, WISH_ASKED, WISH_ANSWERED };

int
pw_neigh_ask_kernel(struct pw_worker *w, const uint8_t hop[16], uint8_t mac[6])
{
    struct pw_neigh_wish *x = &w->wish;
    unsigned state = atomic_load_explicit(&x->state, memory_order_acquire);
    int rc = PW_EAGAIN;

    if (state == WISH_ANSWERED) {
        if (x->known && pw_ip6_mapped(x->ip)) {
            pw_neigh_learn(&w->neigh, pw_load_be32(x->ip + 12), x->mac, w->now_tick);
        } else if (x->known) {
            pw_neigh6_learn(&w->neigh6, x->ip, x->mac, w->now_tick);
        }
        if (x->known && pw_ip6_equal(x->ip, hop)) {
            memcpy(mac, x->mac, 6);
            rc = 0;
        }
        state = WISH_NONE;
        atomic_store_explicit(&x->state, WISH_NONE, memory_order_relaxed);
    }
    if (rc != 0 && state == WISH_NONE) {
        memcpy(x->ip, hop, 16);
        atomic_store_explicit(&x->state, WISH_ASKED, memory_order_release);
    }
    return rc;
}

bool
pw_worker_wants_neighbour_ctl(struct pw_worker *w, uint8_t ip[16])
{
    if (atomic_load_explicit(&w->wish.state, memory_order_acquire) != WISH_ASKED) {
        return false;
    }
    memcpy(ip, w->wish.ip, 16);
    return true;
}

void
pw_worker_neighbour_ctl(struct pw_worker *w, const uint8_t mac[6])
{
    w->wish.known = mac != NULL;
    if (mac != NULL) {
        memcpy(w->wish.mac, mac, 6);
    }
    atomic_store_explicit(&w->wish.state, WISH_ANSWERED, memory_order_release);
}

int
pw_neigh_resolve(struct pw_worker *w, uint32_t ip, uint8_t mac[6])
{
    static const uint8_t unknown[6] = {0};
    uint32_t hop = (ip & w->net_mask) == (w->address & w->net_mask) ? ip : w->gateway;

    if (hop == 0) {
        return PW_ENOENT;
    }
    struct pw_neigh *n = slot_for(&w->neigh, hop);

    if (n->known) {
        memcpy(mac, n->mac, 6);
        return 0;
    }
    /* Where the kernel owns the address it is the kernel's business to ask; what it learns comes to us
     * through the control thread and through frames. */
    if (!w->address_is_ours) {
        uint8_t mapped[16];

        pw_ip6_map(mapped, hop);
        return pw_neigh_ask_kernel(w, mapped, mac);
    }
    bool waiting = n->asked && w->now_tick - n->tick < ARP_ASK_AGAIN_TICKS;

    if (!waiting) {
        n->asked = true;
        n->tick = w->now_tick;
        arp_send(w, ARP_REQUEST, hop, unknown);
    }
    return PW_EAGAIN;
}

void
pw_arp_input(struct pw_worker *w, const struct rte_mbuf *m)
{
    const uint8_t *p = rte_pktmbuf_mtod_offset(m, const uint8_t *, PW_ETHER_BYTES);
    uint32_t left = (uint32_t)m->data_len - PW_ETHER_BYTES;

    if (left < ARP_BYTES || pw_load_be32(p) != 0x00010800U || pw_load_be16(p + 4) != 0x0604) {
        pw_worker_drop(w, PW_DROP_ARP_BAD);
        return;
    }
    uint16_t op = pw_load_be16(p + 6);
    uint32_t sender = pw_load_be32(p + 14);
    uint32_t target = pw_load_be32(p + 24);
    bool neighbour = (sender & w->net_mask) == (w->address & w->net_mask) && sender != w->address;

    /* RFC 826: who is in the table is followed, whomever he asks; so he tells everybody that he moved. */
    if (neighbour && (target == w->address || pw_neigh_find(&w->neigh, sender) != NULL)) {
        pw_neigh_learn(&w->neigh, sender, p + 8, w->now_tick);
    }
    if (!neighbour || target != w->address) {
        pw_worker_drop(w, PW_DROP_ARP_NOT_OURS);
        return;
    }
    if (op != ARP_REQUEST) {
        return;
    }
    if (!w->address_is_ours) {
        pw_worker_drop(w, PW_DROP_ARP_NOT_OURS);
        return;
    }
    arp_send(w, ARP_REPLY, sender, p + 8);
}
