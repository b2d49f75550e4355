/* app/link_socket.h - a peer link over a kernel UDP socket.
 *
 * Purpose  the control thread's door reaches peers too, and an appliance without a port is reached by them. Never
 *          the path of a figure we quote.
 * Owner    one thread polls it.
 * Context  poll: system calls, never blocks. create, destroy: cold.
 * Units    microseconds of the TSC.
 * Errors   create: a negative pw_err.
 * Limits   IPv4 alone where the kernel has no IPv6.
 */
#ifndef PW_APP_LINK_SOCKET_H
#define PW_APP_LINK_SOCKET_H

#include "base/clock.h"
#include "dataplane/peer_link_io.h"

struct pw_link_socket {
    int fd;
    bool ip4; /* of the socket; else it speaks both */
    struct pw_link *link;
    uint64_t tsc_per_us;
};

/* Binds to ip (IPv4 as ::ffff:a.b.c.d; ::: all) and port (0: any free one). Borrows link. */
PW_MUST_USE int pw_link_socket_create_ctl(struct pw_link_socket *s, struct pw_link *link,
                                          const uint8_t ip[16], uint16_t port,
                                          const struct pw_clock *clock);
void pw_link_socket_destroy_ctl(struct pw_link_socket *s);
/* As a struct pw_poller function; fd is readable when it has something to take in. */
uint32_t pw_link_socket_poll(struct pw_link_socket *s, uint64_t now_tsc);
/* How long the thread may sleep unless fd becomes readable. */
uint32_t pw_link_socket_rest_us(const struct pw_link_socket *s, uint64_t now_tsc);

static inline uint64_t
pw_link_socket_us(const struct pw_link_socket *s, uint64_t now_tsc)
{
    return now_tsc / s->tsc_per_us;
}

#endif
