/* nic-config/netdev.h - what the kernel says of an interface that we share with it.
 *
 * Purpose  index, MAC, MTU, state, queues and addresses of a kernel network device.
 * Owner    the caller; nothing is kept open.
 * Context  control thread; blocks briefly in ioctl and netlink calls.
 * Units    IPv4 addresses in host byte order, IPv6 in network order.
 * Errors   PW_ENOENT: no such device; PW_EIO: the kernel refused a question, errno in the log.
 * Limits   one address of each family is reported: the first the kernel lists, of IPv6 the first that
 *          is not link-local.
 */
#ifndef PW_NIC_CONFIG_NETDEV_H
#define PW_NIC_CONFIG_NETDEV_H

#include "base/err.h"
#include "base/types.h"

#include <net/if.h>

struct pw_netdev {
    char name[IFNAMSIZ];
    char driver[32];
    uint32_t ifindex;
    uint8_t mac[6];
    uint16_t mtu;
    bool up;
    uint32_t queues_combined; /* 1 where the device does not say */
    uint32_t queues_rx;       /* frames arrive on any of them */
    uint16_t node;            /* PW_PLAN_NODE_ANY where it has none */
    uint32_t addr;            /* IPv4 address the kernel has on it; 0: none */
    uint8_t prefix_len;
    uint8_t addr6[16]; /* "::": none */
    uint8_t prefix6_len;
};

PW_MUST_USE int pw_netdev_query_ctl(const char *name, struct pw_netdev *out);

/* Does the kernel own addr on this device? */
bool pw_netdev_has_addr_ctl(const char *name, uint32_t addr);
bool pw_netdev_has_addr6_ctl(const char *name, const uint8_t addr6[16]);

#endif
