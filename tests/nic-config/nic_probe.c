/* A port without a stack, for test_veth.sh: brings nic-config up on an interface, counts what arrives,
 * sends raw frames, and says what it saw as key=value lines.
 *
 * nic_probe port IF [addr=A] [own] [secs=N] [tx=N] [hold=N] [huge=auto|required|off] [memory=MIB]
 *     hold=N keeps N buffers first, so that those sent come from the far end of the pool
 * nic_probe none                         EAL without a NIC
 * nic_probe foreign IF                   leaves somebody else's XDP program attached
 * nic_probe socket IF SECONDS            somebody else's AF_XDP socket on queue 0
 * nic_probe neigh IF ADDR                MAC and default gateway that the kernel knows
 * Exit 0, or 1 with "error=<text>".
 */
#include "base/check.h"
#include "base/log.h"
#include "nic-config/neigh.h"
#include "nic-config/nic.h"

#include <rte_ethdev.h>
#include <rte_ip.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_tcp.h>

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xdp/xsk.h>

enum { PROBE_BURST = 32, PROBE_FRAME = 60, PROBE_TICK_US = 20000, PROBE_UMEM = 1 << 20 };

/* Written by the polling lcore, read after it returned. */
struct probe {
    const struct pw_port *port;
    _Atomic bool stop;
    uint64_t frames, syns, arps, icmps;
    uint64_t tx_wanted, tx_sent;
    uint32_t hold;
};

static atomic_int signalled;

static void
on_signal(int sig)
{
    atomic_store(&signalled, sig);
}

static void
look_at(struct probe *p, const struct rte_mbuf *m)
{
    const struct rte_ether_hdr *eth = rte_pktmbuf_mtod(m, const struct rte_ether_hdr *);
    const struct rte_ipv4_hdr *ip = (const void *)(eth + 1);

    p->frames++;
    if (eth->ether_type == htons(RTE_ETHER_TYPE_ARP)) {
        p->arps++;
    } else if (eth->ether_type == htons(RTE_ETHER_TYPE_IPV4) && m->data_len >= 34) {
        const struct rte_tcp_hdr *tcp = (const void *)((const uint8_t *)ip + rte_ipv4_hdr_len(ip));

        p->icmps += ip->next_proto_id == IPPROTO_ICMP;
        p->syns += ip->next_proto_id == IPPROTO_TCP && m->data_len >= 54 &&
                   tcp->dst_port == htons(4040) && tcp->tcp_flags == RTE_TCP_SYN_FLAG;
    }
}

/* Broadcast frames of the type that is kept for local experiments. */
static void
send_some(struct probe *p)
{
    struct rte_mbuf *m[PROBE_BURST];
    uint16_t n = 0, sent;

    while (n < PROBE_BURST && p->tx_sent + n < p->tx_wanted) {
        uint8_t *b;

        m[n] = rte_pktmbuf_alloc(p->port->pool[0]);
        if (m[n] == NULL) {
            break;
        }
        b = (uint8_t *)rte_pktmbuf_append(m[n], PROBE_FRAME);
        PW_INVARIANT(b != NULL);
        memset(b, 0, PROBE_FRAME);
        memset(b, 0xff, 6);
        memcpy(b + 6, p->port->mac, 6);
        pw_store_be16(b + 12, 0x88b5);
        n++;
    }
    sent = rte_eth_tx_burst(p->port->port_id, 0, m, n);
    p->tx_sent += sent;
    rte_pktmbuf_free_bulk(m + sent, n - sent);
}

static int
poll_loop(void *arg)
{
    struct probe *p = arg;
    struct rte_mbuf *m[PROBE_BURST];

    for (uint32_t i = 0; i < p->hold; i++) {
        PW_INVARIANT(rte_pktmbuf_alloc(p->port->pool[0]) != NULL);
    }
    while (!atomic_load_explicit(&p->stop, memory_order_relaxed)) {
        uint16_t n = rte_eth_rx_burst(p->port->port_id, 0, m, PROBE_BURST);

        for (uint16_t i = 0; i < n; i++) {
            look_at(p, m[i]);
        }
        rte_pktmbuf_free_bulk(m, n);
        if (p->tx_sent < p->tx_wanted) {
            send_some(p);
        }
        if (n == 0) {
            usleep(100); /* several tests share the machine */
        }
    }
    return 0;
}

static int
fail(const struct pw_text *why)
{
    printf("error=%.*s\n", (int)why->len, (const char *)why->ptr);
    return 1;
}

static void
parse_arg(const char *a, struct pw_nic_cfg *cfg, unsigned *secs, struct probe *p)
{
    struct in_addr in;

    if (strncmp(a, "addr=", 5) == 0 && inet_aton(a + 5, &in) != 0) {
        cfg->addr = ntohl(in.s_addr);
    } else if (strncmp(a, "secs=", 5) == 0) {
        *secs = (unsigned)atoi(a + 5);
    } else if (strncmp(a, "tx=", 3) == 0) {
        p->tx_wanted = (uint64_t)atoll(a + 3);
    } else if (strncmp(a, "hold=", 5) == 0) {
        p->hold = (uint32_t)atoi(a + 5);
    } else if (strncmp(a, "memory=", 7) == 0) {
        cfg->memory_mb = (uint32_t)atoi(a + 7);
    } else if (strcmp(a, "own") == 0) {
        cfg->own_addr = true;
    } else if (strcmp(a, "huge=required") == 0) {
        cfg->huge = PW_EAL_HUGE_REQUIRED;
    } else if (strcmp(a, "huge=off") == 0) {
        cfg->huge = PW_EAL_HUGE_OFF;
    } else if (strcmp(a, "huge=auto") != 0) {
        fprintf(stderr, "nic_probe: what is %s?\n", a);
        exit(2);
    }
}

static int
run_port(int argc, char **argv, struct pw_text *why)
{
    static struct pw_nic nic;
    static struct probe probe;
    struct pw_nic_cfg cfg = {.port_count = 1, .ports = {{4040, IPPROTO_TCP}}, .memory_mb = 96};
    struct pw_text metrics;
    unsigned secs = 0;

    if (strcmp(argv[1], "port") == 0) {
        cfg.netdev = argv[2];
        for (int i = 3; i < argc; i++) {
            parse_arg(argv[i], &cfg, &secs, &probe);
        }
    }
    if (pw_nic_open_ctl(&nic, &cfg, why) != 0) {
        return fail(why);
    }
    probe.port = &nic.port;
    signal(SIGTERM, on_signal);
    if (nic.has_port) {
        rte_eal_remote_launch(poll_loop, &probe, 1);
        if (pw_nic_steer_ctl(&nic, &cfg) != 0) {
            return 1;
        }
    }
    printf("ready=1\nkernel_owns=%d\nworkers=%u\n", nic.kernel_owns_addr, nic.plan.workers);
    fflush(stdout);
    for (unsigned t = 0; t < secs * 1000000 && atomic_load(&signalled) == 0; t += PROBE_TICK_US) {
        usleep(PROBE_TICK_US);
    }
    pw_nic_unsteer_ctl(&nic);
    atomic_store(&probe.stop, true);
    rte_eal_mp_wait_lcore();
    printf("frames=%lu\nsyns=%lu\narps=%lu\nicmps=%lu\nsent=%lu\n", probe.frames, probe.syns,
           probe.arps, probe.icmps, probe.tx_sent);
    pw_text_init(&metrics, 1 << 16);
    pw_nic_metrics_ctl(&(struct pw_nic_named){&nic, "nic"}, 1, &metrics);
    printf("%.*s", (int)metrics.len, (const char *)metrics.ptr);
    pw_text_fini(&metrics);
    pw_nic_close_ctl(&nic);
    return 0;
}

/* return XDP_PASS; */
static int
run_foreign(const char *netdev)
{
    const struct bpf_insn insns[] = {
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = XDP_PASS},
        {.code = BPF_JMP | BPF_EXIT},
    };
    int fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "somebody_else", "GPL", insns, 2, NULL);

    return fd < 0 || bpf_xdp_attach((int)if_nametoindex(netdev), fd, XDP_FLAGS_DRV_MODE, NULL) != 0;
}

static int
run_socket(const char *netdev, unsigned secs)
{
    struct xsk_socket_config cfg = {
        .rx_size = 256, .tx_size = 256, .libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD};
    struct xsk_ring_prod fill, tx;
    struct xsk_ring_cons comp, rx;
    struct xsk_socket *s;
    struct xsk_umem *umem;
    void *mem = mmap(NULL, PROBE_UMEM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (mem == MAP_FAILED || xsk_umem__create(&umem, mem, PROBE_UMEM, &fill, &comp, NULL) != 0 ||
        xsk_socket__create(&s, netdev, 0, umem, &rx, &tx, &cfg) != 0) {
        return 1;
    }
    printf("ready=1\n");
    fflush(stdout);
    sleep(secs);
    return 0;
}

static int
run_neigh(const char *netdev, const char *addr)
{
    uint32_t ifindex = if_nametoindex(netdev), gateway = 0;
    uint8_t ip[16] = {[10] = 0xFF, [11] = 0xFF};
    struct in_addr in;
    uint8_t mac[6];
    int err;

    if (inet_pton(AF_INET, addr, ip + 12) != 1 && inet_pton(AF_INET6, addr, ip) != 1) {
        return 2;
    }
    err = pw_neigh_resolve_ctl(ifindex, ip, 1000, mac);
    if (err == 0) {
        printf("mac=%02x:%02x:%02x:%02x:%02x:%02x\n", mac[0], mac[1], mac[2], mac[3], mac[4],
               mac[5]);
    } else {
        printf("mac=none\n");
    }
    err = pw_neigh_gateway_ctl(ifindex, &gateway);
    in.s_addr = htonl(gateway);
    printf("gateway=%s\n", err == 0 ? inet_ntoa(in) : "none");
    return 0;
}

int
main(int argc, char **argv)
{
    char buf[1024];
    struct pw_text why;

    pw_text_fixed(&why, buf, sizeof(buf));
    if (argc >= 3 && strcmp(argv[1], "foreign") == 0) {
        return run_foreign(argv[2]);
    }
    if (argc >= 4 && strcmp(argv[1], "socket") == 0) {
        return run_socket(argv[2], (unsigned)atoi(argv[3]));
    }
    if (argc >= 4 && strcmp(argv[1], "neigh") == 0) {
        return run_neigh(argv[2], argv[3]);
    }
    if (argc >= 2 && (strcmp(argv[1], "none") == 0 || argc >= 3)) {
        return run_port(argc, argv, &why);
    }
    return 2;
}
