/* nic-config/steer.h - what is ours, in the two languages a NIC understands.
 *
 * Purpose  one description of our traffic (address and ports) becomes the map of the XDP program or
 *          rte_flow rules of a device that the kernel shares; RSS spreads what arrives.
 * Owner    the caller.
 * Context  control thread. pw_steer_cfg_make and pw_steer_reta_queue are pure.
 * Units    IPv4 addresses and ports in host byte order, IPv6 addresses in network order.
 * Errors   PW_ERANGE: too many ports; PW_ENOTSUP: the device has no such rules (that is no failure
 *          where the device is ours alone: then everything arrives anyway).
 * Limits   PW_STEER_PORTS_MAX.
 */
#ifndef PW_NIC_CONFIG_STEER_H
#define PW_NIC_CONFIG_STEER_H

#include "base/err.h"
#include "base/types.h"
#include "nic-config/xdp_steer.h"

struct pw_nic_port {
    uint16_t port;
    uint8_t proto; /* IPPROTO_TCP or IPPROTO_UDP */
};

struct pw_steer_traffic {
    uint32_t addr;     /* 0: no IPv4 */
    bool own_addr;     /* the kernel does not have it: ARP and ICMP are ours too */
    uint8_t addr6[16]; /* "::": no IPv6 */
    bool own_addr6;    /* the same: neighbour discovery and ICMPv6 are ours too */
    uint32_t port_count;
    struct pw_nic_port ports[PW_STEER_PORTS_MAX];
};

PW_MUST_USE int pw_steer_cfg_make(const struct pw_steer_traffic *t, struct pw_steer_cfg *out);

/* Spreads the redirection table evenly: entry i serves this queue. */
uint16_t pw_steer_reta_queue(uint32_t entry, uint16_t queues);
/* Writes that table where the device has one and several queues. */
PW_MUST_USE int pw_steer_reta_ctl(uint16_t port_id, uint16_t queues);

/* A device whose driver shares it with the kernel (mlx5): asks for isolation, so that only what
 * the rules match reaches us. Call after EAL and before the port is configured; PW_ENOTSUP on
 * devices that are ours alone. */
PW_MUST_USE int pw_steer_isolate_ctl(uint16_t port_id);
/* After the port started in isolation: one rule a port and family, and for an own address ARP, neighbour
 * discovery and ICMP. When
 * the device refuses one, none stays. */
PW_MUST_USE int pw_steer_flow_rules_ctl(uint16_t port_id, uint16_t queues,
                                        const struct pw_steer_traffic *t);
/* ff02::1:ffXX:XXXX: where neighbour solicitations for the address go (RFC 4291 2.7.1). */
void pw_steer_solicited_node(const uint8_t addr6[16], uint8_t group[16]);
/* Takes all rules away: everything is the kernel's again. */
void pw_steer_flow_flush_ctl(uint16_t port_id);

#endif
