#include "nic-config/neigh.h"

#include <arpa/inet.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum {
    NEIGH_BUF_BYTES = 32768, /* what the kernel fills per dump message, rounded up */
    NEIGH_ANSWER_MS = 1000,
    NEIGH_POLL_US = 5000,
    NEIGH_DUMP_MAX = 1024, /* messages of one dump */
};

static int
nl_open(void)
{
    struct timeval tv = {.tv_sec = NEIGH_ANSWER_MS / 1000};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) != 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

struct neigh_request {
    struct nlmsghdr nh; /* its length ends behind the address */
    struct ndmsg nd;
    struct rtattr dst;
    uint8_t addr[16]; /* 4 of them for IPv4 */
};

static struct neigh_request
neigh_request(uint16_t type, uint16_t flags, uint32_t ifindex, const uint8_t addr[16])
{
    static const uint8_t mapped[12] = {[10] = 0xFF, [11] = 0xFF};
    const bool ip4 = memcmp(addr, mapped, sizeof(mapped)) == 0;
    const unsigned bytes = ip4 ? 4 : 16;
    struct neigh_request req = {
        .nh = {.nlmsg_len = (uint32_t)(NLMSG_LENGTH(sizeof(struct ndmsg)) + RTA_LENGTH(bytes)),
               .nlmsg_type = type,
               .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags),
               .nlmsg_seq = 1},
        .nd = {.ndm_family = ip4 ? AF_INET : AF_INET6, .ndm_ifindex = (int)ifindex},
        .dst = {.rta_len = (uint16_t)RTA_LENGTH(bytes), .rta_type = NDA_DST},
    };

    memcpy(req.addr, ip4 ? addr + 12 : addr, bytes);
    return req;
}
_Static_assert(sizeof(struct neigh_request) == NLMSG_HDRLEN + sizeof(struct ndmsg) + RTA_LENGTH(16),
               "the request has no holes");

/* 0 or a negative pw_err from an NLMSG_ERROR; PW_EIO when it is cut short. */
static int
nl_error(const struct nlmsghdr *nh)
{
    const struct nlmsgerr *e = NLMSG_DATA(nh);

    if (nh->nlmsg_len < NLMSG_LENGTH(sizeof(*e))) {
        return PW_EIO;
    }
    return e->error == 0 ? 0 : e->error == -ENOENT ? PW_ENOENT : PW_EIO;
}

/* The attributes after a message's fixed part. */
struct attrs {
    const uint8_t *p;
    size_t left;
};

static struct attrs
attrs_of(const struct nlmsghdr *nh, size_t fixed)
{
    size_t skip = NLMSG_ALIGN(NLMSG_LENGTH(fixed));

    if (nh->nlmsg_len < skip) {
        return (struct attrs){0};
    }
    return (struct attrs){.p = (const uint8_t *)nh + skip, .left = nh->nlmsg_len - skip};
}

/* The next attribute in *a, its value in *v; false at the end or where a length lies. */
static bool
next_attr(struct attrs *at, struct rtattr *a, struct pw_slice *v)
{
    size_t step;

    if (at->left < sizeof(*a)) {
        return false;
    }
    memcpy(a, at->p, sizeof(*a));
    if (a->rta_len < sizeof(*a) || a->rta_len > at->left) {
        return false;
    }
    *v = pw_slice(at->p + sizeof(*a), a->rta_len - sizeof(*a));
    step = RTA_ALIGN((size_t)a->rta_len);
    step = step < at->left ? step : at->left;
    at->p += step;
    at->left -= step;
    return true;
}

static int
parse_neigh(const struct nlmsghdr *nh, uint8_t mac[6])
{
    const struct ndmsg *nd = NLMSG_DATA(nh);
    const uint16_t known =
        NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT | NUD_NOARP;
    struct attrs at = attrs_of(nh, sizeof(*nd));
    struct rtattr a;
    struct pw_slice v;

    if (nh->nlmsg_len < NLMSG_LENGTH(sizeof(*nd)) || !(nd->ndm_state & known)) {
        return PW_ENOENT;
    }
    while (next_attr(&at, &a, &v)) {
        if (a.rta_type == NDA_LLADDR && v.len == 6) {
            memcpy(mac, v.ptr, 6);
            return 0;
        }
    }
    return PW_ENOENT;
}

int
pw_neigh_lookup_ctl(uint32_t ifindex, const uint8_t addr[16], uint8_t mac[6])
{
    struct neigh_request req = neigh_request(RTM_GETNEIGH, 0, ifindex, addr);
    uint8_t buf[NEIGH_BUF_BYTES] __attribute__((aligned(8)));
    const struct nlmsghdr *nh = (const void *)buf;
    int fd = nl_open();
    ssize_t n;

    if (fd < 0) {
        return PW_EIO;
    }
    n = send(fd, &req, req.nh.nlmsg_len, 0);
    n = n == (ssize_t)req.nh.nlmsg_len ? recv(fd, buf, sizeof(buf), 0) : -1;
    close(fd);
    if (n < 0 || !NLMSG_OK(nh, (size_t)n)) {
        return PW_EIO;
    }
    if (nh->nlmsg_type == NLMSG_ERROR) {
        return nl_error(nh);
    }
    return nh->nlmsg_type == RTM_NEWNEIGH ? parse_neigh(nh, mac) : PW_EIO;
}

int
pw_neigh_probe_ctl(uint32_t ifindex, const uint8_t addr[16])
{
    /* NTF_USE: "as if a packet were sent", without changing an entry that is there. */
    struct neigh_request req = neigh_request(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_ACK, ifindex, addr);
    uint8_t buf[NEIGH_BUF_BYTES] __attribute__((aligned(8)));
    const struct nlmsghdr *nh = (const void *)buf;
    int fd = nl_open();
    ssize_t n;

    if (fd < 0) {
        return PW_EIO;
    }
    req.nd.ndm_flags = NTF_USE;
    n = send(fd, &req, req.nh.nlmsg_len, 0);
    n = n == (ssize_t)req.nh.nlmsg_len ? recv(fd, buf, sizeof(buf), 0) : -1;
    close(fd);
    if (n < 0 || !NLMSG_OK(nh, (size_t)n) || nh->nlmsg_type != NLMSG_ERROR) {
        return PW_EIO;
    }
    return nl_error(nh);
}

int
pw_neigh_resolve_ctl(uint32_t ifindex, const uint8_t addr[16], uint32_t wait_ms, uint8_t mac[6])
{
    int err = pw_neigh_lookup_ctl(ifindex, addr, mac);

    if (err != PW_ENOENT) {
        return err;
    }
    err = pw_neigh_probe_ctl(ifindex, addr);
    if (err != 0) {
        return err;
    }
    for (uint32_t waited_us = 0; waited_us < wait_ms * 1000; waited_us += NEIGH_POLL_US) {
        err = pw_neigh_lookup_ctl(ifindex, addr, mac);
        if (err != PW_ENOENT) {
            return err;
        }
        usleep(NEIGH_POLL_US);
    }
    return PW_ENOENT;
}

/* A default route (no destination) through the interface with a gateway. */
static int
parse_route(const struct nlmsghdr *nh, uint32_t ifindex, uint32_t *gateway)
{
    const struct rtmsg *rt = NLMSG_DATA(nh);
    struct attrs at = attrs_of(nh, sizeof(*rt));
    struct rtattr a;
    struct pw_slice v;
    uint32_t via = 0, oif = 0;

    if (nh->nlmsg_len < NLMSG_LENGTH(sizeof(*rt)) || rt->rtm_family != AF_INET ||
        rt->rtm_dst_len != 0 || rt->rtm_table != RT_TABLE_MAIN) {
        return PW_ENOENT;
    }
    while (next_attr(&at, &a, &v)) {
        if (a.rta_type == RTA_GATEWAY && v.len == sizeof(via)) {
            memcpy(&via, v.ptr, sizeof(via));
        } else if (a.rta_type == RTA_OIF && v.len == sizeof(oif)) {
            memcpy(&oif, v.ptr, sizeof(oif));
        }
    }
    if (via == 0 || oif != ifindex) {
        return PW_ENOENT;
    }
    *gateway = ntohl(via);
    return 0;
}

/* PW_PARSE_MORE while the dump goes on without a match. */
static int
scan_routes(const uint8_t *buf, size_t n, uint32_t ifindex, uint32_t *gateway)
{
    const struct nlmsghdr *nh = (const void *)buf;

    for (; NLMSG_OK(nh, n); nh = NLMSG_NEXT(nh, n)) {
        if (nh->nlmsg_type == NLMSG_DONE) {
            return PW_ENOENT;
        }
        if (nh->nlmsg_type == NLMSG_ERROR) {
            return PW_EIO;
        }
        if (nh->nlmsg_type == RTM_NEWROUTE && parse_route(nh, ifindex, gateway) == 0) {
            return 0;
        }
    }
    return PW_PARSE_MORE;
}

int
pw_neigh_gateway_ctl(uint32_t ifindex, uint32_t *gateway)
{
    const struct {
        struct nlmsghdr nh;
        struct rtmsg rt;
    } req = {
        .nh = {.nlmsg_len = sizeof(req),
               .nlmsg_type = RTM_GETROUTE,
               .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
               .nlmsg_seq = 1},
        .rt = {.rtm_family = AF_INET},
    };
    uint8_t buf[NEIGH_BUF_BYTES] __attribute__((aligned(8)));
    int fd = nl_open();
    int err = PW_PARSE_MORE;

    if (fd < 0) {
        return PW_EIO;
    }
    if (send(fd, &req, sizeof(req), 0) != (ssize_t)sizeof(req)) {
        close(fd);
        return PW_EIO;
    }
    for (uint32_t i = 0; i < NEIGH_DUMP_MAX && err == PW_PARSE_MORE; i++) {
        ssize_t n = recv(fd, buf, sizeof(buf), 0);

        err = n <= 0 ? PW_EIO : scan_routes(buf, (size_t)n, ifindex, gateway);
    }
    close(fd);
    return err == PW_PARSE_MORE ? PW_EIO : err;
}
