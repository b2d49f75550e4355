#include "app/link_socket.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    BURST = 64,
    BUFFER_BYTES = 4 << 20, /* the kernel's, each way: a burst of requests of several packets */
    PACKET_BYTES_MAX = 9216,
};

/* IPv4 as ::ffff:a.b.c.d means the same to a socket of both families (RFC 3493 3.7). */
union address {
    struct sockaddr any;
    struct sockaddr_in ip4;
    struct sockaddr_in6 ip6;
};

/* 0: the socket does not reach such an address. */
static socklen_t
address_put(const struct pw_link_socket *s, union address *a, const uint8_t ip[16], uint16_t port)
{
    static const uint8_t mapped[12] = {[10] = 0xFF, [11] = 0xFF};
    static const uint8_t any[16];

    *a = (union address){0};
    if (s->ip4 && memcmp(ip, mapped, sizeof(mapped)) != 0 && memcmp(ip, any, sizeof(any)) != 0) {
        return 0;
    }
    if (s->ip4) {
        a->ip4.sin_family = AF_INET;
        a->ip4.sin_port = htons(port);
        memcpy(&a->ip4.sin_addr, ip + 12, 4);
        return sizeof(a->ip4);
    }
    a->ip6.sin6_family = AF_INET6;
    a->ip6.sin6_port = htons(port);
    memcpy(&a->ip6.sin6_addr, ip, 16);
    return sizeof(a->ip6);
}

static struct pw_link_addr
address_get(const struct pw_link_socket *s, const union address *a)
{
    struct pw_link_addr from = {.ip = {[10] = 0xFF, [11] = 0xFF}};

    if (s->ip4) {
        from.port = ntohs(a->ip4.sin_port);
        memcpy(from.ip + 12, &a->ip4.sin_addr, 4);
    } else {
        from.port = ntohs(a->ip6.sin6_port);
        memcpy(from.ip, &a->ip6.sin6_addr, 16);
    }
    return from;
}

int
pw_link_socket_create_ctl(struct pw_link_socket *s, struct pw_link *link, const uint8_t ip[16],
                          uint16_t port, const struct pw_clock *clock)
{
    const int bytes = BUFFER_BYTES, off = 0;
    union address addr;

    *s = (struct pw_link_socket){.link = link, .tsc_per_us = clock->tsc_hz / 1000000};
    if (pw_link_packet_bytes(link) > PACKET_BYTES_MAX) {
        s->fd = -1;
        return PW_EMSGSIZE;
    }
    s->fd = socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    s->ip4 = s->fd < 0;
    if (s->ip4) {
        s->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    }
    if (s->fd < 0) {
        return -errno;
    }
    /* Less than asked for costs retransmissions, nothing else. */
    (void)setsockopt(s->fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
    (void)setsockopt(s->fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
    socklen_t len = address_put(s, &addr, ip, port);

    if ((!s->ip4 && setsockopt(s->fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) != 0) ||
        bind(s->fd, &addr.any, len) != 0) {
        int err = -errno;

        close(s->fd);
        s->fd = -1;
        return err;
    }
    return 0;
}

void
pw_link_socket_destroy_ctl(struct pw_link_socket *s)
{
    if (s->fd >= 0) {
        close(s->fd);
        s->fd = -1;
    }
}

uint32_t
pw_link_socket_poll(struct pw_link_socket *s, uint64_t now_tsc)
{
    uint64_t now_us = pw_link_socket_us(s, now_tsc);
    uint8_t buf[PACKET_BYTES_MAX];
    struct pw_link_addr to;
    uint32_t work = 0;
    size_t n;

    for (uint32_t i = 0; i < BURST; i++) {
        union address a;
        socklen_t len = sizeof(a);
        ssize_t got = recvfrom(s->fd, buf, sizeof(buf), 0, &a.any, &len);

        if (got < 0) {
            break; /* nothing more; or an ICMP error of one of many peers, whose silence will tell */
        }
        struct pw_link_addr from = address_get(s, &a);

        pw_link_input(s->link, &from, buf, (size_t)got, now_us);
        work++;
    }
    work += pw_link_tick(s->link, now_us);
    for (uint32_t i = 0; i < 4 * BURST && (n = pw_link_output(s->link, buf, &to, now_us)) > 0;
         i++) {
        union address a;
        socklen_t len = address_put(s, &a, to.ip, to.port);

        /* What the kernel does not take is lost, and sent again as such. */
        if (len > 0) {
            (void)sendto(s->fd, buf, n, 0, &a.any, len);
        }
        work++;
    }
    return work;
}

uint32_t
pw_link_socket_rest_us(const struct pw_link_socket *s, uint64_t now_tsc)
{
    uint64_t next = pw_link_next_us(s->link);
    uint64_t now_us = pw_link_socket_us(s, now_tsc);

    if (next <= now_us) {
        return 0;
    }
    return next - now_us < UINT32_MAX ? (uint32_t)(next - now_us) : UINT32_MAX;
}
