/* nic-config/xdp_steer.bpf.c - which frames of a shared interface are the appliance's.
 *
 * The verdict depends on the frame and on pw_steer_cfg alone. What is ours goes to the AF_XDP
 * socket of the receive queue it came in on; where that slot of xsks_map is empty (no process, or
 * a killed one) bpf_redirect_map falls back to XDP_PASS, so a program left behind harms nobody.
 * Everything that is not recognised passes: a frame we do not understand is the kernel's.
 */
#include "xdp_steer.h"

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <stdbool.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define IP_MF_FLAG     0x2000 /* RFC 791 3.1: more fragments follow */
#define IP_OFFSET_MASK 0x1fff

#define ICMP_DEST_UNREACH  3 /* RFC 792; the three errors that a TCP must hear of (RFC 1122 3.2.2) */
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAM_PROBLEM 12

#define IP6_OFFSET_MASK 0xfff8 /* RFC 8200 4.5 */
#define IP6_EXT_MAX     4      /* as many extension headers as dataplane/ip6.c takes */

#define ICMP6_ERROR_MAX        4 /* RFC 4443: unreachable, too big, time exceeded, parameter problem */
#define ICMP6_NEIGHBOR_SOLICIT 135 /* RFC 4861 */

struct {
    __uint(type, BPF_MAP_TYPE_XSKMAP);
    __uint(max_entries, PW_STEER_QUEUES_MAX);
    __type(key, __u32);
    __type(value, __u32);
} xsks_map SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct pw_steer_cfg);
} pw_steer_cfg SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, PW_STEER_VERDICTS);
    __type(key, __u32);
    __type(value, __u64);
} pw_steer_cnt SEC(".maps");

struct arp_ip4 {
    __be16 hrd, pro;
    __u8 hln, pln;
    __be16 op;
    __u8 sha[ETH_ALEN];
    __u8 spa[4];
    __u8 tha[ETH_ALEN];
    __u8 tpa[4];
} __attribute__((packed));

/* The first bytes of TCP and of UDP; all an ICMP error has to quote is these eight (RFC 792). */
struct l4_ports {
    __be16 src, dst;
    __be32 rest;
};

struct icmp_head {
    __u8 type, code;
    __be16 checksum;
    __be32 rest;
};

struct ip6_ext {
    __u8 next, len;  /* in eights of bytes, the first not counted */
    __be16 fragment; /* of a fragment header */
    __be32 rest;
};

static __always_inline bool
is_our_port(const struct pw_steer_cfg *cfg, __u8 proto, __be16 port)
{
    bool found = false;

#pragma unroll
    for (int i = 0; i < PW_STEER_PORTS_MAX; i++) {
        found |= cfg->ports[i].proto == proto && cfg->ports[i].port == port;
    }
    return found && (proto == IPPROTO_TCP || proto == IPPROTO_UDP);
}

/* The byte after the IPv4 header at ip, or NULL when the header is cut short or malformed. */
static __always_inline void *
ip4_payload(struct iphdr *ip, void *end)
{
    if ((void *)(ip + 1) > end || ip->version != 4 || ip->ihl < 5) {
        return NULL;
    }
    return (void *)ip + (__u32)ip->ihl * 4;
}

static __always_inline enum pw_steer_verdict
judge_arp(const struct pw_steer_cfg *cfg, void *p, void *end)
{
    struct arp_ip4 *arp = p;
    __be32 target;

    if ((void *)(arp + 1) > end || arp->pro != bpf_htons(ETH_P_IP) || arp->pln != 4 ||
        arp->hln != ETH_ALEN) {
        return PW_STEER_PASS_OTHER;
    }
    __builtin_memcpy(&target, arp->tpa, sizeof(target));
    if (!(cfg->flags & PW_STEER_IP4) || !(cfg->flags & PW_STEER_OWN_ADDR) || target != cfg->addr) {
        return PW_STEER_PASS_ADDRESS;
    }
    return PW_STEER_OURS_ARP;
}

/* An ICMP error is ours when the packet it quotes left from our address and a port of ours. */
static __always_inline enum pw_steer_verdict
judge_icmp(const struct pw_steer_cfg *cfg, void *p, void *end)
{
    struct icmp_head *icmp = p;
    struct l4_ports *ports;
    struct iphdr *quoted;

    if (cfg->flags & PW_STEER_OWN_ADDR) {
        return PW_STEER_OURS_ICMP;
    }
    if ((void *)(icmp + 1) > end) {
        return PW_STEER_PASS_OTHER;
    }
    if (icmp->type != ICMP_DEST_UNREACH && icmp->type != ICMP_TIME_EXCEEDED &&
        icmp->type != ICMP_PARAM_PROBLEM) {
        return PW_STEER_PASS_ADDRESS;
    }
    quoted = (void *)(icmp + 1);
    ports = ip4_payload(quoted, end);
    if (ports == NULL || (void *)(ports + 1) > end) {
        return PW_STEER_PASS_OTHER;
    }
    if (quoted->saddr != cfg->addr || (quoted->frag_off & bpf_htons(IP_OFFSET_MASK)) ||
        !is_our_port(cfg, quoted->protocol, ports->src)) {
        return PW_STEER_PASS_PORT;
    }
    return PW_STEER_OURS_ICMP_ERROR;
}

static __always_inline enum pw_steer_verdict
judge_ip4(const struct pw_steer_cfg *cfg, void *p, void *end)
{
    struct iphdr *ip = p;
    struct l4_ports *ports = ip4_payload(ip, end);

    if (ports == NULL) {
        return PW_STEER_PASS_OTHER;
    }
    if (!(cfg->flags & PW_STEER_IP4) || ip->daddr != cfg->addr) {
        return PW_STEER_PASS_ADDRESS;
    }
    /* A later fragment has no ports to judge by. The kernel never completes it, because its first
     * fragment is dropped below; it times out there, bounded by the kernel's own limits. */
    if (ip->frag_off & bpf_htons(IP_OFFSET_MASK)) {
        return PW_STEER_PASS_FRAGMENT;
    }
    if (ip->protocol == IPPROTO_ICMP) {
        return judge_icmp(cfg, ports, end);
    }
    if ((void *)(ports + 1) > end) {
        return PW_STEER_PASS_OTHER;
    }
    if (!is_our_port(cfg, ip->protocol, ports->dst)) {
        return PW_STEER_PASS_PORT;
    }
    if (ip->frag_off & bpf_htons(IP_MF_FLAG)) {
        return PW_STEER_DROP_FRAGMENT;
    }
    return ip->protocol == IPPROTO_TCP ? PW_STEER_OURS_TCP : PW_STEER_OURS_UDP;
}

static __always_inline bool
is_addr6(const struct pw_steer_cfg *cfg, const struct in6_addr *a)
{
    return a->s6_addr32[0] == cfg->addr6[0] && a->s6_addr32[1] == cfg->addr6[1] &&
           a->s6_addr32[2] == cfg->addr6[2] && a->s6_addr32[3] == cfg->addr6[3];
}

/* The byte after the extension headers at p, whose first is *next, which becomes the payload's; NULL
 * when they are cut short or too many. Stops at a fragment header. */
static __always_inline void *
ip6_payload(void *p, void *end, __u8 *next)
{
#pragma unroll
    for (int i = 0; i <= IP6_EXT_MAX; i++) {
        struct ip6_ext *ext = p;

        if (*next != IPPROTO_HOPOPTS && *next != IPPROTO_ROUTING && *next != IPPROTO_DSTOPTS) {
            return p;
        }
        if (i == IP6_EXT_MAX || (void *)(ext + 1) > end) {
            return NULL;
        }
        *next = ext->next;
        p += ((__u32)ext->len + 1) * 8;
    }
    return NULL;
}

/* A solicitation for our address goes to a group, and so cannot be judged by where it goes. */
static __always_inline bool
is_solicitation(const struct pw_steer_cfg *cfg, void *p, void *end)
{
    struct icmp_head *icmp = p;
    struct in6_addr *target = (void *)(icmp + 1);

    return (void *)(target + 1) <= end && icmp->type == ICMP6_NEIGHBOR_SOLICIT &&
           is_addr6(cfg, target);
}

/* ICMPv6 to our address; errors as with IPv4. */
static __always_inline enum pw_steer_verdict
judge_icmp6(const struct pw_steer_cfg *cfg, void *p, void *end)
{
    struct icmp_head *icmp = p;
    struct ipv6hdr *quoted = (void *)(icmp + 1);
    struct l4_ports *ports = (void *)(quoted + 1);

    if (cfg->flags & PW_STEER_OWN_ADDR6) {
        return PW_STEER_OURS_ICMP;
    }
    if ((void *)(icmp + 1) > end) {
        return PW_STEER_PASS_OTHER;
    }
    if (icmp->type == 0 || icmp->type > ICMP6_ERROR_MAX) {
        return PW_STEER_PASS_ADDRESS;
    }
    if ((void *)(ports + 1) > end) {
        return PW_STEER_PASS_OTHER;
    }
    /* We send no extension headers, so none can stand in a quote of ours. */
    if (!is_addr6(cfg, &quoted->saddr) || !is_our_port(cfg, quoted->nexthdr, ports->src)) {
        return PW_STEER_PASS_PORT;
    }
    return PW_STEER_OURS_ICMP_ERROR;
}

static __always_inline enum pw_steer_verdict
judge_ip6(const struct pw_steer_cfg *cfg, void *p, void *end)
{
    struct ipv6hdr *ip = p;
    struct l4_ports *ports;
    bool fragment = false;
    __u8 next;

    if (!(cfg->flags & PW_STEER_IP6) || (void *)(ip + 1) > end || ip->version != 6) {
        return PW_STEER_PASS_OTHER;
    }
    next = ip->nexthdr;
    p = ip6_payload(ip + 1, end, &next);
    if (p == NULL) {
        return PW_STEER_PASS_OTHER;
    }
    if (next == IPPROTO_ICMPV6 && (cfg->flags & PW_STEER_OWN_ADDR6) &&
        is_solicitation(cfg, p, end)) {
        return PW_STEER_OURS_ND;
    }
    if (!is_addr6(cfg, &ip->daddr)) {
        return PW_STEER_PASS_ADDRESS;
    }
    if (next == IPPROTO_FRAGMENT) { /* first ones of ours are dropped, as with IPv4 */
        struct ip6_ext *ext = p;

        if ((void *)(ext + 1) > end) {
            return PW_STEER_PASS_OTHER;
        }
        if (ext->fragment & bpf_htons(IP6_OFFSET_MASK)) {
            return PW_STEER_PASS_FRAGMENT;
        }
        fragment = true;
        next = ext->next;
        p = ext + 1;
    }
    if (next == IPPROTO_ICMPV6) {
        return judge_icmp6(cfg, p, end);
    }
    ports = p;
    if ((void *)(ports + 1) > end) {
        return PW_STEER_PASS_OTHER;
    }
    if (!is_our_port(cfg, next, ports->dst)) {
        return PW_STEER_PASS_PORT;
    }
    if (fragment) {
        return PW_STEER_DROP_FRAGMENT;
    }
    return next == IPPROTO_TCP ? PW_STEER_OURS_TCP : PW_STEER_OURS_UDP;
}

static __always_inline enum pw_steer_verdict
judge(const struct pw_steer_cfg *cfg, void *data, void *end)
{
    struct ethhdr *eth = data;

    if (cfg == NULL || !(cfg->flags & PW_STEER_ACTIVE)) {
        return PW_STEER_PASS_INACTIVE;
    }
    if ((void *)(eth + 1) > end) {
        return PW_STEER_PASS_OTHER;
    }
    if (eth->h_proto == bpf_htons(ETH_P_IP)) {
        return judge_ip4(cfg, eth + 1, end);
    }
    if (eth->h_proto == bpf_htons(ETH_P_ARP)) {
        return judge_arp(cfg, eth + 1, end);
    }
    if (eth->h_proto == bpf_htons(ETH_P_IPV6)) {
        return judge_ip6(cfg, eth + 1, end);
    }
    return PW_STEER_PASS_OTHER; /* VLAN tags too */
}

static __always_inline void
count(__u32 verdict)
{
    __u64 *n = bpf_map_lookup_elem(&pw_steer_cnt, &verdict);

    if (n != NULL) {
        *n += 1;
    }
}

SEC("xdp")
int
pw_steer(struct xdp_md *ctx)
{
    __u32 zero = 0;
    const struct pw_steer_cfg *cfg = bpf_map_lookup_elem(&pw_steer_cfg, &zero);
    enum pw_steer_verdict verdict =
        judge(cfg, (void *)(long)ctx->data, (void *)(long)ctx->data_end);
    int action = XDP_PASS;

    if (verdict == PW_STEER_DROP_FRAGMENT) {
        action = XDP_DROP;
    } else if (verdict >= PW_STEER_OURS_TCP) {
        action = (int)bpf_redirect_map(&xsks_map, ctx->rx_queue_index, XDP_PASS);
        if (action == XDP_PASS) {
            verdict = PW_STEER_PASS_SOCKET;
        }
    }
    count(verdict);
    return action;
}

char pw_license[] SEC("license") = "Apache-2.0";
