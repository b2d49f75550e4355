#include "nic-config/steer.h"

#include "base/log.h"

#include <rte_ethdev.h>
#include <rte_flow.h>

#include <arpa/inet.h>
#include <netinet/in.h>

int
pw_steer_cfg_make(const struct pw_steer_traffic *t, struct pw_steer_cfg *out)
{
    memset(out, 0, sizeof(*out));
    if (t->port_count > PW_STEER_PORTS_MAX) {
        return PW_ERANGE;
    }
    if (t->addr == 0) {
        return PW_EINVAL;
    }
    out->addr = htonl(t->addr);
    out->flags = PW_STEER_ACTIVE | (t->own_addr ? PW_STEER_OWN_ADDR : 0);
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
    struct rte_flow_action_rss rss = {.types = RTE_ETH_RSS_NONFRAG_IPV4_TCP | RTE_ETH_RSS_IPV4,
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

static int
port_rule(uint16_t port_id, uint16_t queues, const struct pw_steer_traffic *t, uint32_t i)
{
    const struct rte_flow_item_ipv4 ip = {.hdr.dst_addr = htonl(t->addr)};
    const struct rte_flow_item_ipv4 ip_mask = {.hdr.dst_addr = UINT32_MAX};
    /* The destination port is the second half-word of both headers. */
    const struct rte_flow_item_tcp tcp = {.hdr.dst_port = htons(t->ports[i].port)};
    const struct rte_flow_item_tcp tcp_mask = {.hdr.dst_port = UINT16_MAX};
    const struct rte_flow_item_udp udp = {.hdr.dst_port = htons(t->ports[i].port)};
    const struct rte_flow_item_udp udp_mask = {.hdr.dst_port = UINT16_MAX};
    bool is_tcp = t->ports[i].proto == IPPROTO_TCP;
    const struct rte_flow_item items[] = {
        {.type = RTE_FLOW_ITEM_TYPE_ETH},
        {.type = RTE_FLOW_ITEM_TYPE_IPV4, .spec = &ip, .mask = &ip_mask},
        {.type = is_tcp ? RTE_FLOW_ITEM_TYPE_TCP : RTE_FLOW_ITEM_TYPE_UDP,
         .spec = is_tcp ? (const void *)&tcp : (const void *)&udp,
         .mask = is_tcp ? (const void *)&tcp_mask : (const void *)&udp_mask},
        {.type = RTE_FLOW_ITEM_TYPE_END},
    };

    return create_rule(port_id, queues, items, is_tcp ? "tcp" : "udp");
}

int
pw_steer_flow_rules_ctl(uint16_t port_id, uint16_t queues, const struct pw_steer_traffic *t)
{
    const struct rte_flow_item_eth arp = {.type = RTE_BE16(RTE_ETHER_TYPE_ARP)};
    const struct rte_flow_item_eth arp_mask = {.type = UINT16_MAX};
    const struct rte_flow_item_ipv4 icmp = {.hdr.dst_addr = htonl(t->addr),
                                            .hdr.next_proto_id = IPPROTO_ICMP};
    const struct rte_flow_item_ipv4 icmp_mask = {.hdr.dst_addr = UINT32_MAX,
                                                 .hdr.next_proto_id = UINT8_MAX};
    const struct rte_flow_item arp_items[] = {
        {.type = RTE_FLOW_ITEM_TYPE_ETH, .spec = &arp, .mask = &arp_mask},
        {.type = RTE_FLOW_ITEM_TYPE_END},
    };
    const struct rte_flow_item icmp_items[] = {
        {.type = RTE_FLOW_ITEM_TYPE_ETH},
        {.type = RTE_FLOW_ITEM_TYPE_IPV4, .spec = &icmp, .mask = &icmp_mask},
        {.type = RTE_FLOW_ITEM_TYPE_END},
    };
    int err = 0;

    if (t->port_count > PW_STEER_PORTS_MAX) {
        return PW_ERANGE;
    }
    for (uint32_t i = 0; i < t->port_count && err == 0; i++) {
        err = port_rule(port_id, queues, t, i);
    }
    if (err == 0 && t->own_addr) {
        err = create_rule(port_id, 1, arp_items, "arp");
    }
    if (err == 0 && t->own_addr) {
        err = create_rule(port_id, 1, icmp_items, "icmp");
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
