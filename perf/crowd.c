/* perf/crowd - many TCP connections that say nothing, without a kernel behind them.
 *
 * crowd INTERFACE PEER_MAC PEER_ADDR:PORT FIRST_ADDR ADDRESSES PORTS
 *
 * Opens ADDRESSES x PORTS connections from consecutive IPv4 addresses (which the kernel must not have: it would
 * reset what it did not open) through raw frames, so that neither descriptors, nor the 64k ports of an address, nor the
 * memory of kernel sockets bounds them. Prints established=N and closed_windows=N, waits for a line on its input,
 * then sends a GET over a few hundred of them and prints answered=N of asked=N: they were alive. Ends without a
 * word to the peer. Exit code 0: all came up and all that were asked answered. */
#include "base/types.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    CONNS_MAX = 1 << 20,
    IN_FLIGHT_MAX = 128, /* handshakes at once: below any bound on half-open connections */
    RETRY_MS = 200,
    GIVE_UP_MS = 60000,
    ASKED = 400,
    ANSWER_MS = 5000,
    ISN = 1000,
    PORT_FIRST = 10000,
    HEADERS = 54,
    FRAME_MAX = 1600,
    MSS = 1460,
    BURST = 64,
    SOCKET_BYTES = 32 << 20,
};

enum state { WAITING, SYN_SENT, ESTABLISHED, ASKING, ANSWERED };

enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16 };

struct conn {
    uint64_t sent_ms;
    uint32_t rcv_nxt;
    uint8_t state;
};

struct crowd {
    int fd;
    uint8_t mac[6], peer_mac[6];
    uint32_t peer, first; /* addresses, host order */
    uint16_t port;
    uint32_t addresses, ports;
    uint32_t conns, next, in_flight, established, closed_windows, resets, answered;
    struct conn *conn;
    /* Frames of this turn. */
    uint8_t out[BURST][FRAME_MAX];
    struct mmsghdr msg[BURST];
    struct iovec iov[BURST];
    uint32_t out_count;
    uint8_t in[BURST][FRAME_MAX];
};

static void
die(const char *what)
{
    fprintf(stderr, "crowd: %s: %s\n", what, strerror(errno));
    exit(2);
}

static uint64_t
now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* --- Frames ----------------------------------------------------------------------------------- */

static uint32_t
sum16(const uint8_t *p, size_t n, uint32_t sum)
{
    for (size_t i = 0; i + 1 < n; i += 2) {
        sum += pw_load_be16(p + i);
    }
    return (n & 1) != 0 ? sum + ((uint32_t)p[n - 1] << 8) : sum;
}

static uint16_t
fold(uint32_t sum)
{
    sum = (sum & 0xFFFF) + (sum >> 16);
    return (uint16_t) ~((sum & 0xFFFF) + (sum >> 16));
}

static void
flush(struct crowd *c)
{
    uint32_t sent = 0;

    while (sent < c->out_count) {
        int n = sendmmsg(c->fd, c->msg + sent, c->out_count - sent, 0);

        if (n < 0 && errno != ENOBUFS && errno != EAGAIN && errno != EINTR) {
            die("sendmmsg");
        }
        sent += n > 0 ? (uint32_t)n : 0;
    }
    c->out_count = 0;
}

/* A segment of connection i; RFC 791 3.1, RFC 9293 3.1. */
static void
send_segment(struct crowd *c, uint32_t i, uint8_t flags, const char *text)
{
    size_t text_len = strlen(text), options = (flags & SYN) != 0 ? 4 : 0;
    size_t tcp_len = 20 + options + text_len;
    uint8_t *f = c->out[c->out_count];
    uint8_t *ip = f + 14, *tcp = f + 34;
    uint32_t src = c->first + i % c->addresses;

    memset(f, 0, HEADERS);
    memcpy(f, c->peer_mac, 6);
    memcpy(f + 6, c->mac, 6);
    pw_store_be16(f + 12, ETH_P_IP);
    ip[0] = 0x45;
    pw_store_be16(ip + 2, (uint16_t)(20 + tcp_len));
    pw_store_be16(ip + 6, 0x4000); /* DF */
    ip[8] = 64;
    ip[9] = IPPROTO_TCP;
    pw_store_be32(ip + 12, src);
    pw_store_be32(ip + 16, c->peer);
    pw_store_be16(ip + 10, fold(sum16(ip, 20, 0)));
    pw_store_be16(tcp, (uint16_t)(PORT_FIRST + i / c->addresses));
    pw_store_be16(tcp + 2, c->port);
    pw_store_be32(tcp + 4, (flags & SYN) != 0 ? ISN : ISN + 1);
    pw_store_be32(tcp + 8, (flags & ACK) != 0 ? c->conn[i].rcv_nxt : 0);
    tcp[12] = (uint8_t)((20 + options) << 2);
    tcp[13] = flags;
    pw_store_be16(tcp + 14, 65535);
    if (options != 0) {
        tcp[20] = 2; /* MSS */
        tcp[21] = 4;
        pw_store_be16(tcp + 22, MSS);
    }
    memcpy(tcp + 20 + options, text, text_len);
    pw_store_be16(tcp + 16,
                  fold(sum16(tcp, tcp_len, sum16(ip + 12, 8, IPPROTO_TCP + (uint32_t)tcp_len))));
    c->iov[c->out_count] = (struct iovec){.iov_base = f, .iov_len = 34 + tcp_len};
    c->msg[c->out_count].msg_hdr =
        (struct msghdr){.msg_iov = &c->iov[c->out_count], .msg_iovlen = 1};
    if (++c->out_count == BURST) {
        flush(c);
    }
}

/* --- What comes ------------------------------------------------------------------------------- */

static void
segment(struct crowd *c, uint32_t i, const uint8_t *tcp, const uint8_t *text, size_t text_len)
{
    struct conn *k = &c->conn[i];
    uint8_t flags = tcp[13];

    if ((flags & RST) != 0) {
        c->resets++;
        return;
    }
    if (k->state == SYN_SENT && (flags & (SYN | ACK)) == (SYN | ACK) &&
        pw_load_be32(tcp + 8) == ISN + 1) {
        k->rcv_nxt = pw_load_be32(tcp + 4) + 1;
        k->state = ESTABLISHED;
        c->in_flight--;
        c->established++;
        c->closed_windows += pw_load_be16(tcp + 14) == 0;
        send_segment(c, i, ACK, "");
    } else if (k->state == ESTABLISHED && (flags & SYN) != 0) {
        send_segment(c, i, ACK, ""); /* our ACK was lost */
    } else if (k->state == ASKING && text_len >= 12 && memcmp(text, "HTTP/1.1 200", 12) == 0) {
        k->rcv_nxt = pw_load_be32(tcp + 4) + (uint32_t)text_len;
        k->state = ANSWERED;
        c->answered++;
        send_segment(c, i, ACK, "");
    }
}

static void
frame(struct crowd *c, const uint8_t *f, size_t len)
{
    const uint8_t *ip = f + 14, *tcp = f + 34;
    uint32_t host, at;

    if (len < HEADERS || pw_load_be16(f + 12) != ETH_P_IP || ip[0] != 0x45 ||
        ip[9] != IPPROTO_TCP || pw_load_be32(ip + 12) != c->peer || pw_load_be16(tcp) != c->port) {
        return;
    }
    size_t end = 14 + (size_t)pw_load_be16(ip + 2), text = 34 + (size_t)(tcp[12] >> 4) * 4;

    host = pw_load_be32(ip + 16) - c->first;
    at = (uint32_t)(pw_load_be16(tcp + 2) - PORT_FIRST);
    if (host < c->addresses && at < c->ports && text <= end && end <= len) {
        segment(c, at * c->addresses + host, tcp, f + text, end - text);
    }
}

static void
receive(struct crowd *c, int wait_ms)
{
    struct mmsghdr msg[BURST] = {0};
    struct iovec iov[BURST];
    struct pollfd p = {.fd = c->fd, .events = POLLIN};
    int n;

    if (poll(&p, 1, wait_ms) <= 0) {
        return;
    }
    for (uint32_t i = 0; i < BURST; i++) {
        iov[i] = (struct iovec){.iov_base = c->in[i], .iov_len = FRAME_MAX};
        msg[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
    }
    n = recvmmsg(c->fd, msg, BURST, MSG_DONTWAIT, NULL);
    for (int i = 0; i < n; i++) {
        frame(c, c->in[i], msg[i].msg_len);
    }
    flush(c);
}

/* --- What is done ----------------------------------------------------------------------------- */

static void
open_next(struct crowd *c)
{
    while (c->in_flight < IN_FLIGHT_MAX && c->next < c->conns) {
        struct conn *k = &c->conn[c->next];

        k->state = SYN_SENT;
        k->sent_ms = now_ms();
        c->in_flight++;
        send_segment(c, c->next++, SYN, "");
    }
    flush(c);
}

/* SYNs or GETs that were not answered, again. */
static void
again(struct crowd *c, uint32_t from, uint32_t to, enum state state, uint8_t flags,
      const char *text)
{
    uint64_t now = now_ms();

    for (uint32_t i = from; i < to; i++) {
        if (c->conn[i].state == state && now - c->conn[i].sent_ms > RETRY_MS) {
            c->conn[i].sent_ms = now;
            send_segment(c, i, flags, text);
        }
    }
    flush(c);
}

static void
establish(struct crowd *c)
{
    uint64_t until = now_ms() + GIVE_UP_MS, swept = now_ms();

    while (c->established < c->conns && now_ms() < until) {
        open_next(c);
        receive(c, 1);
        if (now_ms() - swept > RETRY_MS) {
            swept = now_ms();
            again(c, 0, c->next, SYN_SENT, SYN, "");
        }
    }
    /* The last ACKs, or a peer whose queue was full, may need a moment. */
    for (int i = 0; i < 200; i++) {
        receive(c, 1);
    }
}

static uint32_t
ask(struct crowd *c)
{
    static const char get[] = "GET /ready HTTP/1.1\r\nHost: crowd\r\n\r\n";
    uint64_t until = now_ms() + ANSWER_MS;
    uint32_t step = c->conns > ASKED ? c->conns / ASKED : 1, asked = 0;

    for (uint32_t i = 0; i < c->conns; i += step) {
        if (c->conn[i].state == ESTABLISHED) {
            c->conn[i].state = ASKING;
            c->conn[i].sent_ms = now_ms();
            send_segment(c, i, ACK | PSH, get);
            asked++;
        }
        receive(c, 0);
    }
    flush(c);
    while (c->answered < asked && now_ms() < until) {
        receive(c, 10);
        again(c, 0, c->conns, ASKING, ACK | PSH, get);
    }
    return asked;
}

/* --- Start ------------------------------------------------------------------------------------ */

static void
open_socket(struct crowd *c, const char *interface)
{
    struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP)};
    struct ifreq ifr = {0};
    int one = 1, bytes = SOCKET_BYTES;

    c->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_IP));
    (void)snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", interface);
    if (c->fd < 0 || ioctl(c->fd, SIOCGIFHWADDR, &ifr) != 0) {
        die(interface);
    }
    memcpy(c->mac, ifr.ifr_hwaddr.sa_data, 6);
    at.sll_ifindex = (int)if_nametoindex(interface);
    (void)setsockopt(c->fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one));
    (void)setsockopt(c->fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one));
    (void)setsockopt(c->fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
    if (bind(c->fd, (struct sockaddr *)&at, sizeof(at)) != 0) {
        die("bind");
    }
}

static bool
parse(struct crowd *c, char **argv)
{
    struct in_addr peer, first;
    char *colon = strchr(argv[3], ':');
    uint8_t *m = c->peer_mac;

    if (colon == NULL) {
        return false;
    }
    *colon = 0;
    c->port = (uint16_t)strtoul(colon + 1, NULL, 10);
    c->addresses = (uint32_t)strtoul(argv[5], NULL, 10);
    c->ports = (uint32_t)strtoul(argv[6], NULL, 10);
    if (sscanf(argv[2], "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", m, m + 1, m + 2, m + 3, m + 4, m + 5) !=
            6 ||
        inet_pton(AF_INET, argv[3], &peer) != 1 || inet_pton(AF_INET, argv[4], &first) != 1 ||
        c->addresses == 0 || c->ports == 0 || c->ports > UINT16_MAX - PORT_FIRST ||
        c->addresses > CONNS_MAX / c->ports) {
        return false;
    }
    c->peer = ntohl(peer.s_addr);
    c->first = ntohl(first.s_addr);
    c->conns = c->addresses * c->ports;
    return true;
}

int
main(int argc, char **argv)
{
    static struct crowd c;
    char line[16];
    uint32_t asked;

    if (argc != 7 || !parse(&c, argv)) {
        fprintf(stderr,
                "usage: crowd INTERFACE PEER_MAC PEER_ADDR:PORT FIRST_ADDR ADDRESSES PORTS\n");
        return 2;
    }
    c.conn = calloc(c.conns, sizeof(*c.conn));
    if (c.conn == NULL) {
        die("memory");
    }
    open_socket(&c, argv[1]);
    establish(&c);
    printf("established=%u\nclosed_windows=%u\nresets=%u\n", c.established, c.closed_windows,
           c.resets);
    fflush(stdout);
    (void)!fgets(line, sizeof(line), stdin);
    asked = ask(&c);
    printf("asked=%u\nanswered=%u\n", asked, c.answered);
    return c.established == c.conns && c.answered == asked && asked > 0 ? 0 : 1;
}
