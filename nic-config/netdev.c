#include "nic-config/netdev.h"

#include "nic-config/plan.h"

#include <ifaddrs.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static uint8_t
prefix_of_mask(uint32_t mask_be)
{
    return (uint8_t)__builtin_popcount(mask_be);
}

/* The first IPv4 address of the device, or the given one when want is not zero. */
static bool
find_addr(const char *name, uint32_t want, uint32_t *addr, uint8_t *prefix_len)
{
    struct ifaddrs *list;
    bool found = false;

    if (getifaddrs(&list) != 0) {
        return false;
    }
    for (const struct ifaddrs *a = list; a != NULL && !found; a = a->ifa_next) {
        if (a->ifa_addr == NULL || a->ifa_addr->sa_family != AF_INET ||
            strcmp(a->ifa_name, name) != 0) {
            continue;
        }
        struct sockaddr_in sin, mask = {0};

        memcpy(&sin, a->ifa_addr, sizeof(sin));
        if (a->ifa_netmask != NULL) {
            memcpy(&mask, a->ifa_netmask, sizeof(mask));
        }
        if (want == 0 || ntohl(sin.sin_addr.s_addr) == want) {
            *addr = ntohl(sin.sin_addr.s_addr);
            *prefix_len = prefix_of_mask(mask.sin_addr.s_addr);
            found = true;
        }
    }
    freeifaddrs(list);
    return found;
}

/* The first IPv6 address of the device that may be reached from elsewhere, or the given one when want is not
 * NULL. */
static bool
find_addr6(const char *name, const uint8_t *want, uint8_t addr6[16], uint8_t *prefix_len)
{
    struct ifaddrs *list;
    bool found = false;

    if (getifaddrs(&list) != 0) {
        return false;
    }
    for (const struct ifaddrs *a = list; a != NULL && !found; a = a->ifa_next) {
        if (a->ifa_addr == NULL || a->ifa_addr->sa_family != AF_INET6 ||
            strcmp(a->ifa_name, name) != 0) {
            continue;
        }
        struct sockaddr_in6 sin6, mask = {0};

        memcpy(&sin6, a->ifa_addr, sizeof(sin6));
        if (a->ifa_netmask != NULL) {
            memcpy(&mask, a->ifa_netmask, sizeof(mask));
        }
        found = want == NULL ? !IN6_IS_ADDR_LINKLOCAL(&sin6.sin6_addr)
                             : memcmp(&sin6.sin6_addr, want, 16) == 0;
        if (found) {
            memcpy(addr6, &sin6.sin6_addr, 16);
            *prefix_len = 0;
            for (uint32_t i = 0; i < 4; i++) {
                *prefix_len = (uint8_t)(*prefix_len + prefix_of_mask(mask.sin6_addr.s6_addr32[i]));
            }
        }
    }
    freeifaddrs(list);
    return found;
}

static void
query_ethtool(int sock, struct ifreq *ifr, struct pw_netdev *out)
{
    struct ethtool_channels ch = {.cmd = ETHTOOL_GCHANNELS};
    struct ethtool_drvinfo drv = {.cmd = ETHTOOL_GDRVINFO};

    out->queues_combined = 1;
    ifr->ifr_data = (void *)&ch;
    if (ioctl(sock, SIOCETHTOOL, ifr) == 0 && ch.combined_count > 0) {
        out->queues_combined = ch.combined_count;
    }
    out->queues_rx = ch.rx_count > out->queues_combined ? ch.rx_count : out->queues_combined;
    snprintf(out->driver, sizeof(out->driver), "unknown");
    ifr->ifr_data = (void *)&drv;
    if (ioctl(sock, SIOCETHTOOL, ifr) == 0) {
        snprintf(out->driver, sizeof(out->driver), "%s", drv.driver);
    }
}

static uint16_t
node_of_netdev(const char *name)
{
    char path[96];
    int node = -1;
    FILE *f;

    snprintf(path, sizeof(path), "/sys/class/net/%s/device/numa_node", name);
    f = fopen(path, "re");
    if (f != NULL) {
        if (fscanf(f, "%d", &node) != 1) {
            node = -1;
        }
        fclose(f);
    }
    return node < 0 ? PW_PLAN_NODE_ANY : (uint16_t)node;
}

static int
query_ioctl(int sock, struct ifreq *ifr, struct pw_netdev *out)
{
    if (ioctl(sock, SIOCGIFINDEX, ifr) != 0) {
        return PW_ENOENT;
    }
    out->ifindex = (uint32_t)ifr->ifr_ifindex;
    if (ioctl(sock, SIOCGIFHWADDR, ifr) != 0) {
        return PW_EIO;
    }
    memcpy(out->mac, ifr->ifr_hwaddr.sa_data, sizeof(out->mac));
    if (ioctl(sock, SIOCGIFMTU, ifr) != 0) {
        return PW_EIO;
    }
    out->mtu = ifr->ifr_mtu > UINT16_MAX ? UINT16_MAX : (uint16_t)ifr->ifr_mtu;
    if (ioctl(sock, SIOCGIFFLAGS, ifr) != 0) {
        return PW_EIO;
    }
    out->up = (ifr->ifr_flags & IFF_UP) != 0;
    query_ethtool(sock, ifr, out);
    return 0;
}

int
pw_netdev_query_ctl(const char *name, struct pw_netdev *out)
{
    struct ifreq ifr = {0};
    int sock, err;

    memset(out, 0, sizeof(*out));
    if (strlen(name) == 0 || strlen(name) >= IFNAMSIZ) {
        return PW_ENOENT;
    }
    snprintf(out->name, sizeof(out->name), "%s", name);
    snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
    sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (sock < 0) {
        return PW_EIO;
    }
    err = query_ioctl(sock, &ifr, out);
    close(sock);
    if (err != 0) {
        return err;
    }
    out->node = node_of_netdev(name);
    (void)find_addr(name, 0, &out->addr, &out->prefix_len);
    (void)find_addr6(name, NULL, out->addr6, &out->prefix6_len);
    return 0;
}

bool
pw_netdev_has_addr_ctl(const char *name, uint32_t addr)
{
    uint32_t found;
    uint8_t prefix_len;

    return addr != 0 && find_addr(name, addr, &found, &prefix_len);
}

bool
pw_netdev_has_addr6_ctl(const char *name, const uint8_t addr6[16])
{
    uint8_t found[16];
    uint8_t prefix_len;

    return find_addr6(name, addr6, found, &prefix_len);
}
