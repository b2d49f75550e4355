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

int
pw_link_socket_create_ctl(struct pw_link_socket *s, struct pw_link *link, uint32_t ip,
                          uint16_t port, const struct pw_clock *clock)
{
    const int bytes = BUFFER_BYTES;
    struct sockaddr_in addr = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(ip), .sin_port = htons(port)};

    *s = (struct pw_link_socket){.link = link, .tsc_per_us = clock->tsc_hz / 1000000};
    if (pw_link_packet_bytes(link) > PACKET_BYTES_MAX) {
        s->fd = -1;
        return PW_EMSGSIZE;
    }
    s->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->fd < 0) {
        return -errno;
    }
    /* Less than asked for costs retransmissions, nothing else. */
    (void)setsockopt(s->fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
    (void)setsockopt(s->fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
    if (bind(s->fd, (struct sockaddr *)&addr, sizeof(addr)) != 0) {
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
        struct sockaddr_in a;
        socklen_t len = sizeof(a);
        ssize_t got = recvfrom(s->fd, buf, sizeof(buf), 0, (struct sockaddr *)&a, &len);

        if (got < 0) {
            break; /* nothing more; or an ICMP error of one of many peers, whose silence will tell */
        }
        struct pw_link_addr from = {.ip = {[10] = 0xFF, [11] = 0xFF}, .port = ntohs(a.sin_port)};

        memcpy(from.ip + 12, &a.sin_addr.s_addr, 4);
        pw_link_input(s->link, &from, buf, (size_t)got, now_us);
        work++;
    }
    work += pw_link_tick(s->link, now_us);
    for (uint32_t i = 0; i < 4 * BURST && (n = pw_link_output(s->link, buf, &to, now_us)) > 0;
         i++) {
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(to.port)};

        memcpy(&a.sin_addr.s_addr, to.ip + 12, 4);
        /* What the kernel does not take is lost, and sent again as such. */
        (void)sendto(s->fd, buf, n, 0, (struct sockaddr *)&a, sizeof(a));
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
