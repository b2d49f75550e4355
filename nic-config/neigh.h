/* nic-config/neigh.h - neighbours and routes that the kernel knows.
 *
 * Purpose  where the kernel owns the address it also answers ARP, so who is on the link is asked of
 *          its tables (rtnetlink) instead of resolved by us.
 * Owner    -
 * Context  control thread only; each call opens a netlink socket and waits for the answer.
 * Units    neighbours: 16 bytes in network order, IPv4 as ::ffff:a.b.c.d; the gateway: IPv4 in host byte order.
 * Errors   PW_ENOENT: the kernel does not know (yet); PW_EIO: the kernel refused the question.
 * Limits   one answer a question; a dump is read until its first match.
 */
#ifndef PW_NIC_CONFIG_NEIGH_H
#define PW_NIC_CONFIG_NEIGH_H

#include "base/err.h"
#include "base/types.h"

/* MAC of addr on the interface. Stale entries count: the kernel revalidates them by itself. */
PW_MUST_USE int pw_neigh_lookup_ctl(uint32_t ifindex, const uint8_t addr[16], uint8_t mac[6]);
/* Lets the kernel resolve addr now, as if it had a packet to send; look it up a little later. */
PW_MUST_USE int pw_neigh_probe_ctl(uint32_t ifindex, const uint8_t addr[16]);
/* Probe and look up until it is known or wait_ms have passed (PW_ENOENT). */
PW_MUST_USE int pw_neigh_resolve_ctl(uint32_t ifindex, const uint8_t addr[16], uint32_t wait_ms,
                                     uint8_t mac[6]);
/* The default gateway behind the interface. */
PW_MUST_USE int pw_neigh_gateway_ctl(uint32_t ifindex, uint32_t *gateway);

#endif
