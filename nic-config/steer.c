#include "nic-config/steer.h"

#include "base/log.h"

#include <rte_ethdev.h>
#include <rte_flow.h>

#include <arpa/inet.h>
#include <netinet/in.h>

static bool
has_addr6(const struct pw_steer_traffic *t)
{
    static const uint8_t none[16];

    return memcmp(t->addr6, none, sizeof(none)) != 0;
}

int
pw_steer_cfg_make(const struct pw_steer_traffic *t, struct pw_steer_cfg *out)
{
    memset(out, 0, sizeof(*out));
    if (t->port_count > PW_STEER_PORTS_MAX) {
        return PW_ERANGE;
    }
    if (t->addr == 0 && !has_addr6(t)) {
        return PW_EINVAL;
    }
    out->addr = htonl(t->addr);
    memcpy(out->addr6, t->addr6, sizeof(out->addr6));
    out->flags = PW_STEER_ACTIVE;
    if (t->addr != 0) {
        out->flags |= PW_STEER_IP4 | (t->own_addr ? PW_STEER_OWN_ADDR : 0);
    }
    if (has_addr6(t)) {
        out->flags |= PW_STEER_IP6 | (t->own_addr6 ? PW_STEER_OWN_ADDR6 : 0);
    }
    for (uint32_t i = 0; i < t->port_count; i++) {
        if (t->ports[i].proto != IPPROTO_TCP && t->ports[i].proto != IPPROTO_UDP) {
            return PW_EINVAL;
        }
        out->ports[i] =
            (struct pw_steer_port){.port = htons(t->ports[i].port), .proto = t->ports[i].proto};
    }
    return 0;
}

uint16_t
pw_steer_reta_queue(uint32_t entry, uint16_t queues)
{
    return (uint16_t)(entry % queues);
}

int
pw_steer_reta_ctl(uint16_t port_id, uint16_t queues)
{
    struct rte_eth_rss_reta_entry64 reta[RTE_ETH_RSS_RETA_SIZE_512 / RTE_ETH_RETA_GROUP_SIZE];
    struct rte_eth_dev_info info;

    if (rte_eth_dev_info_get(port_id, &info) != 0) {
        return PW_ENOENT;
    }
    if (queues < 2 || info.reta_size == 0 || info.reta_size > RTE_ETH_RSS_RETA_SIZE_512) {
        return PW_ENOTSUP;
    }
    memset(reta, 0, sizeof(reta));
    for (uint32_t i = 0; i < info.reta_size; i++) {
        struct rte_eth_rss_reta_entry64 *g = &reta[i / RTE_ETH_RETA_GROUP_SIZE];

        g->mask |= UINT64_C(1) << (i % RTE_ETH_RETA_GROUP_SIZE);
        g->reta[i % RTE_ETH_RETA_GROUP_SIZE] = pw_steer_reta_queue(i, queues);
    }
    return rte_eth_dev_rss_reta_update(port_id, reta, info.reta_size) == 0 ? 0 : PW_EIO;
}

int
pw_steer_isolate_ctl(uint16_t port_id)
{
    struct rte_flow_error e = {0};

    return rte_flow_isolate(port_id, 1, &e) == 0 ? 0 : PW_ENOTSUP;
}

/* One rule: the items up to END, spread over the queues by RSS (or to the only one). */
static int
create_rule(uint16_t port_id, uint16_t queues, const struct rte_flow_item *items, const char *what)
{
    const struct rte_flow_attr attr = {.ingress = 1};
    struct rte_flow_action_queue one = {.index = 0};
    uint16_t list[PW_STEER_QUEUES_MAX];
    struct rte_flow_action_rss rss = {.types = RTE_ETH_RSS_NONFRAG_IPV4_TCP | RTE_ETH_RSS_IPV4 |
                                               RTE_ETH_RSS_NONFRAG_IPV6_TCP | RTE_ETH_RSS_IPV6,
                                      .queue = list};
    struct rte_flow_action actions[] = {
        {.type = RTE_FLOW_ACTION_TYPE_QUEUE, .conf = &one},
        {.type = RTE_FLOW_ACTION_TYPE_END},
    };
    struct rte_flow_error e = {0};

    for (uint16_t q = 0; q < queues && q < PW_STEER_QUEUES_MAX; q++) {
        list[q] = q;
        rss.queue_num++;
    }
    if (queues > 1) {
        actions[0] = (struct rte_flow_action){.type = RTE_FLOW_ACTION_TYPE_RSS, .conf = &rss};
    }
    if (rte_flow_create(port_id, &attr, items, actions, &e) == NULL) {
        pw_log(PW_LOG_ERROR, "pw.nic.steer",
               "msg=\"the device refused a flow rule\" rule=%s why=\"%s\"", what,
               e.message != NULL ? e.message : "-");
        return PW_EIO;
    }
    return 0;
}

/* What goes to our address of one family, up to the item behind it. */
struct to_us {
    struct rte_flow_item_ipv4 ip4, ip4_mask;
    struct rte_flow_item_ipv6 ip6, ip6_mask;
    struct rte_flow_item item;
};

/* proto 0: any. */
static void
match_ip4(struct to_us *m, const struct pw_steer_traffic *t, uint8_t proto)
{
    memset(m, 0, sizeof(*m));
    m->ip4.hdr.dst_addr = htonl(t->addr);
    m->ip4.hdr.next_proto_id = proto;
    m->ip4_mask.hdr.dst_addr = UINT32_MAX;
    m->ip4_mask.hdr.next_proto_id = proto != 0 ? UINT8_MAX : 0;
    m->item = (struct rte_flow_item){
        .type = RTE_FLOW_ITEM_TYPE_IPV4, .spec = &m->ip4, .mask = &m->ip4_mask};
}

static void
match_ip6(struct to_us *m, const uint8_t dst[16], uint8_t proto)
{
    memset(m, 0, sizeof(*m));
    memcpy(m->ip6.hdr.dst_addr, dst, 16);
    m->ip6.hdr.proto = proto;
    memset(m->ip6_mask.hdr.dst_addr, 0xFF, 16);
    m->ip6_mask.hdr.proto = proto != 0 ? UINT8_MAX : 0;
    m->item = (struct rte_flow_item){
        .type = RTE_FLOW_ITEM_TYPE_IPV6, .spec = &m->ip6, .mask = &m->ip6_mask};
}

static int
port_rule(uint16_t port_id, uint16_t queues, const struct to_us *to, const struct pw_nic_port *p)
{
    /* The destination port is the second half-word of both headers. */
    const struct rte_flow_item_tcp tcp = {.hdr.dst_port = htons(p->port)};
    const struct rte_flow_item_tcp tcp_mask = {.hdr.dst_port = UINT16_MAX};
    const struct rte_flow_item_udp udp = {.hdr.dst_port = htons(p->port)};
    const struct rte_flow_item_udp udp_mask = {.hdr.dst_port = UINT16_MAX};
    bool is_tcp = p->proto == IPPROTO_TCP;
    const struct rte_flow_item items[] = {
        {.type = RTE_FLOW_ITEM_TYPE_ETH},
        to->item,
        {.type = is_tcp ? RTE_FLOW_ITEM_TYPE_TCP : RTE_FLOW_ITEM_TYPE_UDP,
         .spec = is_tcp ? (const void *)&tcp : (const void *)&udp,
         .mask = is_tcp ? (const void *)&tcp_mask : (const void *)&udp_mask},
        {.type = RTE_FLOW_ITEM_TYPE_END},
    };

    return create_rule(port_id, queues, items, is_tcp ? "tcp" : "udp");
}

/* Everything of one protocol to us, on the first queue. */
static int
protocol_rule(uint16_t port_id, const struct to_us *to, const char *what)
{
    const struct rte_flow_item items[] = {
        {.type = RTE_FLOW_ITEM_TYPE_ETH},
        to->item,
        {.type = RTE_FLOW_ITEM_TYPE_END},
    };

    return create_rule(port_id, 1, items, what);
}

static int
arp_rule(uint16_t port_id)
{
    const struct rte_flow_item_eth arp = {.type = RTE_BE16(RTE_ETHER_TYPE_ARP)};
    const struct rte_flow_item_eth arp_mask = {.type = UINT16_MAX};
    const struct rte_flow_item items[] = {
        {.type = RTE_FLOW_ITEM_TYPE_ETH, .spec = &arp, .mask = &arp_mask},
        {.type = RTE_FLOW_ITEM_TYPE_END},
    };

    return create_rule(port_id, 1, items, "arp");
}

static int
ip4_rules(uint16_t port_id, uint16_t queues, const struct pw_steer_traffic *t)
{
    struct to_us to;
    int err = 0;

    match_ip4(&to, t, 0);
    for (uint32_t i = 0; i < t->port_count && err == 0; i++) {
        err = port_rule(port_id, queues, &to, &t->ports[i]);
    }
    if (err != 0 || !t->own_addr) {
        return err;
    }
    match_ip4(&to, t, IPPROTO_ICMP);
    err = arp_rule(port_id);
    return err != 0 ? err : protocol_rule(port_id, &to, "icmp");
}

static int
ip6_rules(uint16_t port_id, uint16_t queues, const struct pw_steer_traffic *t)
{
    uint8_t group[16];
    struct to_us to;
    int err = 0;

    match_ip6(&to, t->addr6, 0);
    for (uint32_t i = 0; i < t->port_count && err == 0; i++) {
        err = port_rule(port_id, queues, &to, &t->ports[i]);
    }
    if (err != 0 || !t->own_addr6) {
        return err;
    }
    match_ip6(&to, t->addr6, IPPROTO_ICMPV6);
    err = protocol_rule(port_id, &to, "icmp6");
    if (err == 0) { /* solicitations; others of the group are refused by dataplane/nd6.c */
        pw_steer_solicited_node(t->addr6, group);
        match_ip6(&to, group, IPPROTO_ICMPV6);
        err = protocol_rule(port_id, &to, "nd");
    }
    return err;
}

void
pw_steer_solicited_node(const uint8_t addr6[16], uint8_t group[16])
{
    memset(group, 0, 16);
    group[0] = 0xFF;
    group[1] = 0x02;
    group[11] = 0x01;
    group[12] = 0xFF;
    memcpy(group + 13, addr6 + 13, 3);
}

int
pw_steer_flow_rules_ctl(uint16_t port_id, uint16_t queues, const struct pw_steer_traffic *t)
{
    int err = 0;

    if (t->port_count > PW_STEER_PORTS_MAX) {
        return PW_ERANGE;
    }
    if (t->addr != 0) {
        err = ip4_rules(port_id, queues, t);
    }
    if (err == 0 && has_addr6(t)) {
        err = ip6_rules(port_id, queues, t);
    }
    if (err != 0) {
        pw_steer_flow_flush_ctl(port_id);
    }
    return err;
}

void
pw_steer_flow_flush_ctl(uint16_t port_id)
{
    struct rte_flow_error e = {0};

    if (rte_flow_flush(port_id, &e) != 0) {
        pw_log(PW_LOG_ERROR, "pw.nic.steer", "msg=\"flow rules stay\" why=\"%s\"",
               e.message != NULL ? e.message : "-");
    }
}
