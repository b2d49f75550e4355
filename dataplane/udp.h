/* dataplane/udp.h - UDP (RFC 768) over IPv4 and IPv6 for one user of a worker: the peer link.
 *
 * Purpose  datagrams to ports of ours go to whom they are bound to; datagrams go out.
 * Owner    the worker's lcore; bind before it polls.
 * Context  hot.
 * Units    addresses of 16 bytes in network order, IPv4 as ::ffff:a.b.c.d; bytes.
 * Errors   what is refused is counted in drop.def.
 * Limits   one user; ports in a row.
 *
 * Over IPv4 the checksum is neither written nor verified (RFC 768 allows that): the payload authenticates itself. Over IPv6 it
 * is both (RFC 8200 8.1).
 */
#ifndef PW_DATAPLANE_UDP_H
#define PW_DATAPLANE_UDP_H

#include "base/err.h"
#include "base/types.h"

struct pw_worker;
struct rte_mbuf;
struct pw_ip4;
struct pw_ip6;

enum { PW_UDP_BYTES = 8, PW_UDP_HEADERS_BYTES = 14 + 20 + 8, PW_IP4_PROTO_UDP = 17 };

struct pw_udp_datagram {
    uint8_t ip[16]; /* theirs */
    uint16_t port;
    uint16_t local_port;
    uint8_t *bytes; /* may be written */
    uint32_t len;
};

struct pw_udp_user {
    void *ctx; /* NULL: there is no user */
    uint16_t port;
    uint16_t ports;
    /* Borrows the datagram. True: who sent it is a neighbour worth remembering. */
    bool (*input)(void *ctx, struct pw_worker *w, const struct pw_udp_datagram *d);
    /* A router says that datagrams of more than `bytes` from that port of ours do not reach ip:port. NULL: not told. */
    void (*too_big)(void *ctx, const struct pw_udp_datagram *quoted, uint32_t bytes);
    /* Once a turn, before frames go out; returns work done. */
    uint32_t (*flush)(void *ctx, struct pw_worker *w);
    /* As rest_us of struct pw_poller. */
    uint32_t (*rest_us)(void *ctx);
};

/* PW_EEXIST: there is one; PW_EINVAL: no address. */
PW_MUST_USE int pw_udp_bind_ctl(struct pw_worker *w, const struct pw_udp_user *u);

/* The packet at ip in m. Borrows m. */
void pw_udp_input(struct pw_worker *w, struct rte_mbuf *m, const struct pw_ip4 *ip);
void pw_udp_input6(struct pw_worker *w, struct rte_mbuf *m, const struct pw_ip6 *ip);

/* An ICMP error says that the path takes packets of ip_bytes at most; quoted: whither, and from which port of ours. Not
 * believed when no user has that port (counted). */
void pw_udp_too_big(struct pw_worker *w, struct pw_udp_datagram *quoted, uint32_t ip_bytes);

/* An empty frame whose payload may be written at *payload, up to *room; NULL: no buffer, or too many frames
 * wait for the port. */
struct rte_mbuf *pw_udp_frame(struct pw_worker *w, uint8_t **payload, uint32_t *room);
/* Takes m. Over IPv6 the room is 20 bytes less. 0; PW_EAGAIN: the neighbour is being looked for, the datagram is gone; PW_ENOENT: no way there. */
int pw_udp_send(struct pw_worker *w, struct rte_mbuf *m, const struct pw_udp_datagram *d);

#endif
