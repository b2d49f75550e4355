/* dataplane/peer_link_io.h - the lower side of a peer link: datagrams in and out.
 *
 * Purpose  what a carrier of datagrams (worker_link.c, app/link_socket.c, a simulated wire) calls. No input or
 *          output happens inside: bytes and time are handed in, datagrams are taken out.
 * Owner    the thread that polls the link.
 * Context  hot.
 * Units    microseconds, of the same clock as everywhere in peer_link.h, never going backwards.
 * Errors   whatever arrives is taken, or refused and counted (peer_link_drop.def).
 * Limits   a datagram has at most the packet_bytes of pw_link_cfg.
 */
#ifndef PW_DATAPLANE_PEER_LINK_IO_H
#define PW_DATAPLANE_PEER_LINK_IO_H

#include "dataplane/peer_link.h"

/* Takes in one datagram; bytes may be written to. Callbacks may come from within. */
void pw_link_input(struct pw_link *l, const struct pw_link_addr *from, uint8_t *bytes, size_t len,
                   uint64_t now_us);
/* Timers that are due: silence, retransmission, late acknowledgements. Returns how many acted. Call it once a
 * turn, after the input and before the output. */
uint32_t pw_link_tick(struct pw_link *l, uint64_t now_us);
/* Writes the next datagram into buf, whose room is at least packet_bytes, and whither; its length, or 0: there
 * is no more for now. */
size_t pw_link_output(struct pw_link *l, uint8_t *buf, struct pw_link_addr *to, uint64_t now_us);
/* A router says that datagrams of more than `bytes` do not reach that address, from the port to.local (0: any): the sessions
 * there go on with smaller ones. A session of ours has to begin again for that: its calls are done with PW_LINK_DEAD. */
void pw_link_too_big(struct pw_link *l, const struct pw_link_addr *to, uint32_t bytes,
                     uint64_t now_us);
/* When tick wants to be called at the latest; 0: output has something. UINT64_MAX: never. */
uint64_t pw_link_next_us(const struct pw_link *l);
uint16_t pw_link_packet_bytes(const struct pw_link *l);

#endif
