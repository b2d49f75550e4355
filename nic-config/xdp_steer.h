/* nic-config/xdp_steer.h - what the steering program and its loader agree on.
 *
 * Purpose  layouts of the maps of xdp_steer.bpf.c, included by both sides.
 * Owner    pw_steer_cfg is written by the loader alone, pw_steer_cnt by the program alone.
 * Context  kernel (the program) and control thread (the loader).
 * Units    addresses and ports in network byte order, as they stand in a frame.
 * Errors   an inactive configuration (all zero, as a fresh map is) passes every frame.
 * Limits   PW_STEER_PORTS_MAX.
 */
#ifndef PW_NIC_CONFIG_XDP_STEER_H
#define PW_NIC_CONFIG_XDP_STEER_H

#include <linux/types.h>

/* The kernel cuts names of programs and maps at 15 bytes; these are how a start recognises what an
 * earlier, killed pyrowire left behind. */
#define PW_STEER_PROG_NAME "pw_steer"
#define PW_STEER_MAP_CFG   "pw_steer_cfg"
#define PW_STEER_MAP_CNT   "pw_steer_cnt"
#define PW_STEER_MAP_XSKS  "xsks_map" /* the name net_af_xdp looks for */

#define PW_STEER_PORTS_MAX  8
#define PW_STEER_QUEUES_MAX 64

enum pw_steer_flag {
    PW_STEER_ACTIVE = 1,   /* off: everything passes */
    PW_STEER_OWN_ADDR = 2, /* the address is not the kernel's: its ARP and ICMP are ours */
    PW_STEER_IP4 = 4,      /* addr is set */
    PW_STEER_IP6 = 8,      /* addr6 is set */
    PW_STEER_OWN_ADDR6 =
        16, /* addr6 is not the kernel's: its neighbour discovery and ICMPv6 are ours */
};

/* One port of ours; an unused slot has proto 0. */
struct pw_steer_port {
    __be16 port;
    __u8 proto; /* IPPROTO_TCP or IPPROTO_UDP */
    __u8 pad;
};

struct pw_steer_cfg {
    __be32 addr;
    __be32 addr6[4];
    __u32 flags; /* enum pw_steer_flag */
    struct pw_steer_port ports[PW_STEER_PORTS_MAX];
};

/* Every frame is counted under exactly one of these. */
enum pw_steer_verdict {
    PW_STEER_PASS_INACTIVE, /* no configuration (yet, or any more) */
    PW_STEER_PASS_OTHER,    /* not IP and not ARP, or malformed: the kernel's */
    PW_STEER_PASS_ADDRESS,  /* another address, or ARP, ND and ICMP of one the kernel owns */
    PW_STEER_PASS_PORT,     /* the address, but not a port of ours */
    PW_STEER_PASS_FRAGMENT, /* a later fragment: it carries no ports */
    PW_STEER_PASS_SOCKET,   /* ours, but nobody has a socket on that queue */
    PW_STEER_OURS_TCP,
    PW_STEER_OURS_UDP,
    PW_STEER_OURS_ARP,
    PW_STEER_OURS_ICMP,
    PW_STEER_OURS_ICMP_ERROR, /* it quotes a packet that we sent */
    PW_STEER_OURS_ND,         /* IPv6 neighbour discovery */
    PW_STEER_DROP_FRAGMENT,   /* a first fragment for a port of ours */
    PW_STEER_VERDICTS,
};

#endif
