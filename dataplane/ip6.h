/* dataplane/ip6.h - IPv6 (RFC 8200, 4291) and ICMPv6 echo (RFC 4443).
 *
 * Purpose  check what arrives, skip extension headers, write what leaves.
 * Owner    the worker's lcore.
 * Context  hot.
 * Units    addresses are 16 bytes in network order, lengths in bytes.
 * Errors   pw_ip6_check counts its reason and returns false; the caller frees.
 * Limits   PW_IP6_EXT_MAX extension headers, PW_IP6_OPTIONS_MAX options in each (RFC 8504 5.3 allows
 *          such limits); fragments are refused: TCP peers obey our MSS.
 */
#ifndef PW_DATAPLANE_IP6_H
#define PW_DATAPLANE_IP6_H

#include "base/types.h"

struct pw_worker;
struct rte_mbuf;

enum {
    PW_IP6_BYTES = 40,
    PW_IP6_MTU_MIN = 1280, /* RFC 8200 5 */
    PW_IP6_HOP_LIMIT = 64,
    PW_IP6_EXT_MAX = 4,
    PW_IP6_OPTIONS_MAX = 8,
    PW_ETHER_TYPE_IP6 = 0x86DD,
};

enum pw_ip6_next {
    PW_IP6_NEXT_HOP_BY_HOP = 0,
    PW_IP6_NEXT_TCP = 6,
    PW_IP6_NEXT_UDP = 17,
    PW_IP6_NEXT_ROUTING = 43,
    PW_IP6_NEXT_FRAGMENT = 44,
    PW_IP6_NEXT_ICMP6 = 58,
    PW_IP6_NEXT_NONE = 59,
    PW_IP6_NEXT_DESTINATION = 60,
};

enum pw_icmp6_type {
    PW_ICMP6_UNREACHABLE = 1,
    PW_ICMP6_TOO_BIG = 2,
    PW_ICMP6_ECHO = 128,
    PW_ICMP6_ECHO_REPLY = 129,
    PW_ICMP6_NEIGHBOUR_SOLICIT = 135,
    PW_ICMP6_NEIGHBOUR_ADVERT = 136,
};

struct pw_ip6 {
    const uint8_t *src;
    const uint8_t *dst;
    uint32_t payload_off; /* behind the extension headers, from the start of the frame */
    uint32_t payload_len; /* by the header: Ethernet padding is not counted */
    uint8_t next_header;  /* of the payload */
    uint8_t hop_limit;
};

static inline bool
pw_ip6_equal(const uint8_t a[16], const uint8_t b[16])
{
    return memcmp(a, b, 16) == 0;
}

static inline bool
pw_ip6_multicast(const uint8_t a[16])
{
    return a[0] == 0xFF;
}

/* ::ffff:a.b.c.d, as which IPv4 addresses stand where both may (RFC 4291 2.5.5.2). */
static inline bool
pw_ip6_mapped(const uint8_t a[16])
{
    static const uint8_t prefix[12] = {[10] = 0xFF, [11] = 0xFF};

    return memcmp(a, prefix, sizeof(prefix)) == 0;
}

static inline void
pw_ip6_map(uint8_t a[16], uint32_t ip4)
{
    memset(a, 0, 10);
    a[10] = a[11] = 0xFF;
    pw_store_be32(a + 12, ip4);
}

/* "::" */
static inline bool
pw_ip6_unspecified(const uint8_t a[16])
{
    static const uint8_t zero[16];

    return memcmp(a, zero, 16) == 0;
}

bool pw_ip6_same_net(const uint8_t a[16], const uint8_t b[16], uint8_t prefix_bits);
/* ff02::1:ffXX:XXXX of a (RFC 4291 2.7.1). */
void pw_ip6_solicited_node(const uint8_t a[16], uint8_t out[16]);
/* 33:33 and the last four bytes (RFC 2464 7). */
void pw_ip6_multicast_mac(const uint8_t group[16], uint8_t mac[6]);

/* Sum of the pseudo header (RFC 8200 8.1), memory order; fold with dataplane/ip4.h. */
uint64_t pw_ip6_pseudo(const uint8_t src[16], const uint8_t dst[16], uint8_t next, uint32_t len);

/* The packet behind the Ethernet header of m; *ip borrows it. False: refused and counted. */
bool pw_ip6_check(struct pw_worker *w, const struct rte_mbuf *m, struct pw_ip6 *ip);
/* PW_IP6_BYTES at dst: ip's src, dst, payload_len, next_header, hop_limit. */
void pw_ip6_put(uint8_t *dst, const struct pw_ip6 *ip);
/* Borrows m, an ICMPv6 packet to us. Answers echo where the address is ours, hands neighbour discovery on. */
void pw_icmp6_input(struct pw_worker *w, const struct rte_mbuf *m, const struct pw_ip6 *ip);
/* An ICMPv6 packet of ours of n bytes behind its headers: *body is where they go. NULL: no buffer. */
struct rte_mbuf *pw_icmp6_frame(struct pw_worker *w, const uint8_t mac[6], const uint8_t dst[16],
                                uint8_t hop_limit, uint32_t n, uint8_t **body);
/* Takes a frame of pw_icmp6_frame whose n bytes are written, checksum field zero: completes, sends. */
void pw_icmp6_send(struct pw_worker *w, struct rte_mbuf *m, uint32_t n);

#endif
