/* A bad network between two interfaces, for tests of one TCP against another (kernel_interop.sh).
 *
 *   relay INTERFACE INTERFACE SEED DROP DUPLICATE REORDER CORRUPT      rates per 10,000 frames of TCP
 *
 * Frames go from each interface to the other. By a seeded rule some are dropped, sent twice, held back
 * until up to five others passed (or 2 ms), or have one byte behind the Ethernet header flipped; ARP and
 * neighbour discovery pass as they are. Ends on SIGTERM and prints what it did. */
#include "base/types.h"

#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FRAME_MAX = 2048, HOLD_MAX = 16, SIDES = 2 };

struct held {
    uint8_t frame[FRAME_MAX];
    size_t len;
    uint32_t behind; /* frames that are to pass first; 0: free */
};

struct side {
    int fd;
    uint64_t
        rule; /* state of this direction's generator: one direction does not disturb the other */
    struct held held[HOLD_MAX];
};

enum what { PASS, DROP, DUPLICATE, REORDER, CORRUPT, WHATS };

static volatile sig_atomic_t stop;

static void
on_signal(int sig)
{
    stop = 1;
}

static uint64_t
next(struct side *s)
{
    s->rule ^= s->rule << 13;
    s->rule ^= s->rule >> 7;
    s->rule ^= s->rule << 17;
    return s->rule;
}

static int
side_open(const char *name)
{
    struct sockaddr_ll a = {.sll_family = AF_PACKET,
                            .sll_protocol = htons(ETH_P_ALL),
                            .sll_ifindex = (int)if_nametoindex(name)};
    int fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
    const int bytes = 8 << 20;
    const int one = 1;

    if (fd < 0 || a.sll_ifindex == 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) != 0 ||
        setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) != 0) {
        perror(name);
        exit(1);
    }
    return fd;
}

static bool
is_tcp(const uint8_t *f, size_t len)
{
    return (len > 34 && pw_load_be16(f + 12) == ETH_P_IP && f[23] == IPPROTO_TCP) ||
           (len > 54 && pw_load_be16(f + 12) == ETH_P_IPV6 && f[20] == IPPROTO_TCP);
}

static enum what
judge(struct side *s, const uint32_t rate[WHATS])
{
    uint32_t roll = (uint32_t)(next(s) >> 32) % 10000;

    for (enum what w = DROP; w < WHATS; w++) {
        if (roll < rate[w]) {
            return w;
        }
        roll -= rate[w];
    }
    return PASS;
}

static void
out(int fd, const uint8_t *f, size_t len)
{
    /* A full queue behind the veth is a loss like any other. */
    (void)!send(fd, f, len, MSG_DONTWAIT);
}

/* One frame more has passed (or, with all, time has): those that waited long enough follow. */
static void
release(struct side *s, int to, bool all)
{
    for (uint32_t i = 0; i < HOLD_MAX; i++) {
        struct held *h = &s->held[i];

        if (h->behind != 0 && (--h->behind == 0 || all)) {
            out(to, h->frame, h->len);
            h->behind = 0;
        }
    }
}

static bool
hold(struct side *s, const uint8_t *f, size_t len)
{
    for (uint32_t i = 0; i < HOLD_MAX; i++) {
        if (s->held[i].behind == 0) {
            memcpy(s->held[i].frame, f, len);
            s->held[i].len = len;
            s->held[i].behind = 2 + (uint32_t)(next(s) >> 40) % 5;
            return true;
        }
    }
    return false;
}

static void
relay(struct side *s, int to, const uint32_t rate[WHATS], uint64_t count[WHATS])
{
    uint8_t f[FRAME_MAX];
    ssize_t n;

    while ((n = recv(s->fd, f, sizeof(f), MSG_DONTWAIT)) > 0) {
        size_t len = (size_t)n;
        enum what w = is_tcp(f, len) ? judge(s, rate) : PASS;

        count[w]++;
        if (w == CORRUPT) {
            f[14 + (next(s) >> 32) % (len - 14)] ^= (uint8_t)(1 + (next(s) >> 32) % 255);
        }
        if (w != DROP && !(w == REORDER && hold(s, f, len))) {
            out(to, f, len);
        }
        if (w == DUPLICATE) {
            out(to, f, len);
        }
        release(s, to, false);
    }
}

int
main(int argc, char **argv)
{
    static struct side side[SIDES];
    uint32_t rate[WHATS] = {0};
    uint64_t count[WHATS] = {0};

    if (argc != 8) {
        fprintf(stderr, "usage: relay IF IF SEED DROP DUPLICATE REORDER CORRUPT (per 10,000)\n");
        return 2;
    }
    for (uint32_t w = DROP; w < WHATS; w++) {
        rate[w] = (uint32_t)atoi(argv[3 + w]);
    }
    for (uint32_t i = 0; i < SIDES; i++) {
        side[i].fd = side_open(argv[1 + i]);
        side[i].rule = (strtoull(argv[3], NULL, 0) * SIDES + i) * 0x9E3779B97F4A7C15U + 1;
    }
    struct sigaction act = {.sa_handler = on_signal};

    sigaction(SIGTERM, &act, NULL);
    printf("ready\n");
    fflush(stdout);
    while (!stop) {
        struct pollfd p[SIDES] = {{.fd = side[0].fd, .events = POLLIN},
                                  {.fd = side[1].fd, .events = POLLIN}};
        bool quiet = poll(p, SIDES, 2) == 0;

        for (uint32_t i = 0; i < SIDES; i++) {
            if (quiet) {
                release(&side[i], side[1 - i].fd, true);
            } else if (p[i].revents != 0) {
                relay(&side[i], side[1 - i].fd, rate, count);
            }
        }
    }
    printf("relayed %llu dropped %llu twice %llu late %llu corrupted %llu\n",
           (unsigned long long)count[PASS], (unsigned long long)count[DROP],
           (unsigned long long)count[DUPLICATE], (unsigned long long)count[REORDER],
           (unsigned long long)count[CORRUPT]);
    return 0;
}
