/* dataplane/ip4.h - IPv4 (RFC 791, 1122), ICMP echo (RFC 792), the Internet checksum (RFC 1071).
 *
 * Purpose  check what arrives, write what leaves.
 * Owner    the worker's lcore.
 * Context  hot.
 * Units    addresses in host byte order, lengths in bytes.
 * Errors   pw_ip4_check counts its reason and returns false; the caller frees.
 * Limits   fragments are refused: TCP peers obey our MSS, so an honest sender has no need of them.
 */
#ifndef PW_DATAPLANE_IP4_H
#define PW_DATAPLANE_IP4_H

#include "base/types.h"

struct pw_worker;
struct rte_mbuf;

enum {
    PW_IP4_BYTES = 20,
    PW_IP4_PROTO_ICMP = 1,
    PW_IP4_PROTO_TCP = 6,
    PW_IP4_TTL = 64,
};

struct pw_ip4 {
    uint32_t src;
    uint32_t dst;
    uint32_t payload_off; /* from the start of the frame */
    uint32_t payload_len; /* by the total length: Ethernet padding is not counted */
    uint8_t protocol;
    bool df; /* to send: routers may not fragment */
};

/* Sum of n bytes as 16-bit words in memory order, continued from sum; fold before use. An odd last
 * byte counts as if a zero followed, so only the last part of a message may be odd. Reads 32 bits
 * at a time into 64, which the compiler turns into vector adds; 2^32 of them cannot overflow. */
static inline uint64_t
pw_cksum_add(uint64_t sum, const uint8_t *p, uint32_t n)
{
    uint32_t words = n / 4;

    for (uint32_t i = 0; i < words; i++) {
        uint32_t v;

        memcpy(&v, p + (size_t)i * 4, 4);
        sum += v;
    }
    p += (size_t)words * 4;
    if ((n & 2) != 0) {
        uint16_t v;

        memcpy(&v, p, 2);
        sum += v;
        p += 2;
    }
    return (n & 1) != 0 ? sum + *p : sum;
}

/* One's complement sum in memory order: 0xFFFF over a message that includes its right checksum. */
static inline uint16_t
pw_cksum_fold(uint64_t sum)
{
    sum = (sum & 0xFFFFFFFFU) + (sum >> 32);
    sum = (sum & 0xFFFFFFFFU) + (sum >> 32);
    sum = (sum & 0xFFFFU) + (sum >> 16);
    sum = (sum & 0xFFFFU) + (sum >> 16);
    return (uint16_t)sum;
}

/* Sum of the TCP pseudo header (RFC 9293 3.1), memory order. */
static inline uint64_t
pw_cksum_pseudo(uint32_t src, uint32_t dst, uint8_t protocol, uint32_t len)
{
    return (uint64_t)__builtin_bswap32(src) + __builtin_bswap32(dst) +
           (uint64_t)__builtin_bswap32(len) + ((uint64_t)protocol << 8);
}

/* The packet behind the Ethernet header of m. False: refused and counted. Borrows m. */
bool pw_ip4_check(struct pw_worker *w, const struct rte_mbuf *m, struct pw_ip4 *ip);
/* PW_IP4_BYTES at dst, checksum included unless the port writes it; own id. */
void pw_ip4_put(struct pw_worker *w, uint8_t *dst, const struct pw_ip4 *ip);
/* Borrows m. Answers an echo request where the address is ours. */
void pw_icmp_input(struct pw_worker *w, const struct rte_mbuf *m, const struct pw_ip4 *ip);

#endif
