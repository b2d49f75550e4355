/* The steering program, frame in and verdict out, run by the kernel (BPF_PROG_TEST_RUN). Each row
 * has its verdict where the kernel owns the address and where the appliance has it alone. The frame
 * data is exactly as long as the row says: the verifier proved there is no over-read. */
#include "tests/support/cmocka_pw.h"

#include "nic-config/steer.h"
#include "nic-config/xdp_load.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_xdp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef SOL_XDP
#define SOL_XDP 283
#endif

#define US    0x0a4d0101 /* 10.77.1.1 */
#define PEER  0x0a4d0102
#define OTHER 0x0a4d0109

enum { FRAME_MAX = 256, UMEM_BYTES = 1 << 16, RING = 64, PORT = 4040, PORT_UDP = 7946 };

struct frame {
    uint8_t b[FRAME_MAX];
    uint32_t len;
};

struct fixture {
    struct bpf_object *obj;
    struct pw_xdp x; /* only what steer and counters need */
    int prog_fd;
    int xsks_fd;
    int sock;
    void *umem;
};

static uint8_t *
grow(struct frame *f, uint32_t n)
{
    uint8_t *p = f->b + f->len;

    assert_true(f->len + n <= FRAME_MAX);
    f->len += n;
    return p;
}

static void
put_eth(struct frame *f, uint16_t type)
{
    memset(f, 0, sizeof(*f));
    pw_store_be16(grow(f, 14) + 12, type);
}

struct ip4 {
    uint32_t src, dst;
    uint8_t proto;
    uint16_t frag; /* flags and offset as on the wire */
    uint8_t ihl;   /* 0: 5 */
};

static void
put_ip4(struct frame *f, const struct ip4 *ip)
{
    uint8_t ihl = ip->ihl != 0 ? ip->ihl : 5;
    uint8_t *p = grow(f, ihl < 5 ? 20 : ihl * 4U);

    p[0] = (uint8_t)(0x40 | ihl);
    pw_store_be16(p + 2, 60);
    pw_store_be16(p + 6, ip->frag);
    p[8] = 64;
    p[9] = ip->proto;
    pw_store_be32(p + 12, ip->src);
    pw_store_be32(p + 16, ip->dst);
}

static void
put_ports(struct frame *f, uint16_t src, uint16_t dst)
{
    uint8_t *p = grow(f, 8);

    pw_store_be16(p, src);
    pw_store_be16(p + 2, dst);
}

/* A datagram for us: protocol, destination port, fragment word, header words. */
static struct frame
l4(uint8_t proto, uint16_t dst_port, uint16_t frag, uint8_t ihl)
{
    struct frame f;

    put_eth(&f, 0x0800);
    put_ip4(&f, &(struct ip4){.src = PEER, .dst = US, .proto = proto, .frag = frag, .ihl = ihl});
    put_ports(&f, 50000, dst_port);
    grow(&f, 12);
    return f;
}

static struct frame
to_other(void)
{
    struct frame f;

    put_eth(&f, 0x0800);
    put_ip4(&f, &(struct ip4){.src = PEER, .dst = OTHER, .proto = IPPROTO_TCP});
    put_ports(&f, 50000, PORT);
    return f;
}

static struct frame
icmp(uint8_t type)
{
    struct frame f;

    put_eth(&f, 0x0800);
    put_ip4(&f, &(struct ip4){.src = PEER, .dst = US, .proto = IPPROTO_ICMP});
    grow(&f, 8)[0] = type;
    return f;
}

struct quote {
    uint8_t type;
    uint32_t src;
    uint16_t src_port;
    uint16_t frag;
    uint8_t ihl;
};

static struct frame
icmp_error(struct quote q)
{
    struct frame f = icmp(q.type);

    put_ip4(&f, &(struct ip4){
                    .src = q.src, .dst = PEER, .proto = IPPROTO_TCP, .frag = q.frag, .ihl = q.ihl});
    put_ports(&f, q.src_port, 50000);
    return f;
}

static struct frame
arp(uint32_t target, uint8_t hln)
{
    struct frame f;
    uint8_t *p;

    put_eth(&f, 0x0806);
    p = grow(&f, 28);
    pw_store_be16(p, 1);
    pw_store_be16(p + 2, 0x0800);
    p[4] = hln;
    p[5] = 4;
    p[7] = 1;
    pw_store_be32(p + 14, PEER);
    pw_store_be32(p + 24, target);
    return f;
}

static struct frame
vlan(void)
{
    struct frame f = l4(IPPROTO_TCP, PORT, 0, 0), v;

    put_eth(&v, 0x8100);
    pw_store_be16(grow(&v, 4) + 2, 0x0800);
    memcpy(grow(&v, f.len - 14), f.b + 14, f.len - 14);
    return v;
}

/* fd00:: and the 32 bits of an address above. */
static void
put_addr6(uint8_t *p, uint32_t addr)
{
    memset(p, 0, 16);
    p[0] = 0xfd;
    pw_store_be32(p + 12, addr);
}

static void
put_ip6(struct frame *f, uint32_t src, uint32_t dst, uint8_t next)
{
    uint8_t *p = grow(f, 40);

    p[0] = 0x60;
    pw_store_be16(p + 4, 60);
    p[6] = next;
    p[7] = 255;
    put_addr6(p + 8, src);
    put_addr6(p + 24, dst);
}

/* A datagram for us over IPv6. */
static struct frame
l4_6(uint8_t proto, uint32_t dst, uint16_t dst_port)
{
    struct frame f;

    put_eth(&f, 0x86dd);
    put_ip6(&f, PEER, dst, proto);
    put_ports(&f, 50000, dst_port);
    return f;
}

/* TCP to our port behind n extension headers of a kind and of eights + 1 times eight bytes. */
static struct frame
behind6(uint8_t kind, uint32_t n, uint8_t eights, uint16_t fragment)
{
    struct frame f;

    put_eth(&f, 0x86dd);
    put_ip6(&f, PEER, US, kind);
    for (uint32_t i = 0; i < n; i++) {
        uint8_t *p = grow(&f, (eights + 1U) * 8);

        p[0] = i + 1 == n ? IPPROTO_TCP : kind;
        p[1] = eights;
        pw_store_be16(p + 2, fragment);
    }
    put_ports(&f, 50000, PORT);
    return f;
}

/* ICMPv6 to us, or to the solicited-node group of target (a solicitation). */
static struct frame
icmp6(uint8_t type, uint32_t target)
{
    struct frame f;
    uint8_t *p;

    put_eth(&f, 0x86dd);
    put_ip6(&f, PEER, US, IPPROTO_ICMPV6);
    if (type == 135) {
        p = f.b + 14 + 24;
        memset(p, 0, 16);
        p[0] = 0xff, p[1] = 2, p[11] = 1, p[12] = 0xff;
        memcpy(p + 13, (uint8_t[]){0x4d, 0x01, (uint8_t)target}, 3);
    }
    p = grow(&f, 24);
    p[0] = type;
    put_addr6(p + 8, target);
    return f;
}

static struct frame
icmp6_error(uint8_t type, uint32_t src, uint16_t src_port)
{
    struct frame f;

    put_eth(&f, 0x86dd);
    put_ip6(&f, PEER, US, IPPROTO_ICMPV6);
    grow(&f, 8)[0] = type;
    put_ip6(&f, src, PEER, IPPROTO_TCP);
    put_ports(&f, src_port, 50000);
    return f;
}

static struct frame
version4_as_6(void)
{
    struct frame f = l4_6(IPPROTO_TCP, US, PORT);

    f.b[14] = 0x40;
    return f;
}

static struct frame
version5(void)
{
    struct frame f = l4(IPPROTO_TCP, PORT, 0, 0);

    f.b[14] = 0x55;
    return f;
}

static struct frame
cut(struct frame f, uint32_t len)
{
    f.len = len;
    return f;
}

static int
make_xsk(struct fixture *fx)
{
    struct xdp_umem_reg reg = {.len = UMEM_BYTES, .chunk_size = 2048};
    int ring = RING;

    fx->umem = mmap(NULL, UMEM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    reg.addr = (uint64_t)(uintptr_t)fx->umem;
    fx->sock = socket(AF_XDP, SOCK_RAW, 0);
    return fx->umem == MAP_FAILED || fx->sock < 0 ||
           setsockopt(fx->sock, SOL_XDP, XDP_UMEM_REG, &reg, sizeof(reg)) != 0 ||
           setsockopt(fx->sock, SOL_XDP, XDP_UMEM_FILL_RING, &ring, sizeof(ring)) != 0 ||
           setsockopt(fx->sock, SOL_XDP, XDP_UMEM_COMPLETION_RING, &ring, sizeof(ring)) != 0 ||
           setsockopt(fx->sock, SOL_XDP, XDP_RX_RING, &ring, sizeof(ring)) != 0;
}

static void
set_socket(struct fixture *fx, bool present)
{
    uint32_t zero = 0;

    if (present) {
        assert_int_equal(bpf_map_update_elem(fx->xsks_fd, &zero, &fx->sock, BPF_ANY), 0);
    } else {
        assert_int_equal(bpf_map_delete_elem(fx->xsks_fd, &zero), 0);
    }
}

static int
setup(void **state)
{
    static struct fixture fx;
    struct pw_slice image = pw_xdp_object();
    struct bpf_program *prog;

    memset(&fx, 0, sizeof(fx));
    fx.obj = bpf_object__open_mem(image.ptr, image.len, NULL);
    if (fx.obj == NULL || bpf_object__load(fx.obj) != 0 || make_xsk(&fx) != 0) {
        return -1;
    }
    prog = bpf_object__find_program_by_name(fx.obj, PW_STEER_PROG_NAME);
    fx.prog_fd = bpf_program__fd(prog);
    fx.x.cfg_fd = bpf_object__find_map_fd_by_name(fx.obj, PW_STEER_MAP_CFG);
    fx.x.cnt_fd = bpf_object__find_map_fd_by_name(fx.obj, PW_STEER_MAP_CNT);
    fx.xsks_fd = bpf_object__find_map_fd_by_name(fx.obj, PW_STEER_MAP_XSKS);
    fx.x.cpus = (uint32_t)libbpf_num_possible_cpus();
    *state = &fx;
    return fx.prog_fd < 0 || fx.x.cfg_fd < 0 || fx.x.cnt_fd < 0 || fx.xsks_fd < 0;
}

static int
teardown(void **state)
{
    struct fixture *fx = *state;

    close(fx->sock);
    bpf_object__close(fx->obj);
    return munmap(fx->umem, UMEM_BYTES);
}

static void
configure_families(struct fixture *fx, bool own_addr, bool ip4, bool ip6)
{
    struct pw_steer_traffic t = {.addr = ip4 ? US : 0,
                                 .own_addr = own_addr,
                                 .own_addr6 = own_addr,
                                 .port_count = 2,
                                 .ports = {{PORT, IPPROTO_TCP}, {PORT_UDP, IPPROTO_UDP}}};
    struct pw_steer_cfg cfg;

    if (ip6) {
        put_addr6(t.addr6, US);
    }
    assert_int_equal(pw_steer_cfg_make(&t, &cfg), 0);
    assert_int_equal(pw_xdp_steer_ctl(&fx->x, &cfg), 0);
}

static void
configure(struct fixture *fx, bool own_addr)
{
    configure_families(fx, own_addr, true, true);
}

static uint32_t
run(const struct fixture *fx, const struct frame *f)
{
    uint8_t out[FRAME_MAX + 64];
    LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = f->b, .data_size_in = f->len, .data_out = out,
                .data_size_out = sizeof(out), .repeat = 1);

    assert_int_equal(bpf_prog_test_run_opts(fx->prog_fd, &opts), 0);
    assert_int_equal(opts.data_size_out, f->len); /* the program never changes a frame */
    assert_memory_equal(out, f->b, f->len);
    return opts.retval;
}

static uint32_t
action_of(enum pw_steer_verdict v)
{
    return v == PW_STEER_DROP_FRAGMENT ? XDP_DROP
           : v >= PW_STEER_OURS_TCP    ? XDP_REDIRECT
                                       : XDP_PASS;
}

static void
expect(const struct fixture *fx, const struct frame *f, enum pw_steer_verdict v, uint32_t action)
{
    uint64_t before[PW_STEER_VERDICTS], after[PW_STEER_VERDICTS];

    assert_int_equal(pw_xdp_counters_ctl(&fx->x, before), 0);
    assert_int_equal(run(fx, f), action);
    assert_int_equal(pw_xdp_counters_ctl(&fx->x, after), 0);
    for (uint32_t i = 0; i < PW_STEER_VERDICTS; i++) {
        assert_int_equal(after[i] - before[i], i == (uint32_t)v);
    }
}

struct row {
    const char *what;
    struct frame frame;
    enum pw_steer_verdict shared; /* the kernel owns the address */
    enum pw_steer_verdict own;    /* it is ours alone */
};

#define V(name)    PW_STEER_##name
#define BOTH(name) PW_STEER_##name, PW_STEER_##name

static void
test_steer__frames__verdict_as_tabled(void **state)
{
    struct fixture *fx = *state;
    const struct row rows[] = {
        {"tcp to our port", l4(IPPROTO_TCP, PORT, 0, 0), BOTH(OURS_TCP)},
        {"tcp, don't fragment", l4(IPPROTO_TCP, PORT, 0x4000, 0), BOTH(OURS_TCP)},
        {"tcp behind ip options", l4(IPPROTO_TCP, PORT, 0, 15), BOTH(OURS_TCP)},
        {"tcp to ssh", l4(IPPROTO_TCP, 22, 0, 0), BOTH(PASS_PORT)},
        {"tcp to port zero", l4(IPPROTO_TCP, 0, 0, 0), BOTH(PASS_PORT)},
        {"our port, another address", to_other(), BOTH(PASS_ADDRESS)},
        {"udp to our udp port", l4(IPPROTO_UDP, PORT_UDP, 0, 0), BOTH(OURS_UDP)},
        {"udp to our tcp port", l4(IPPROTO_UDP, PORT, 0, 0), BOTH(PASS_PORT)},
        {"tcp to our udp port", l4(IPPROTO_TCP, PORT_UDP, 0, 0), BOTH(PASS_PORT)},
        {"protocol 0 to port 0", l4(0, 0, 0, 0), BOTH(PASS_PORT)}, /* an unused slot is no match */
        {"sctp to our port", l4(132, PORT, 0, 0), BOTH(PASS_PORT)},
        {"first fragment for us", l4(IPPROTO_TCP, PORT, 0x2000, 0), BOTH(DROP_FRAGMENT)},
        {"first fragment, udp", l4(IPPROTO_UDP, PORT_UDP, 0x2000, 0), BOTH(DROP_FRAGMENT)},
        {"first fragment for ssh", l4(IPPROTO_TCP, 22, 0x2000, 0), BOTH(PASS_PORT)},
        {"later fragment", l4(IPPROTO_TCP, PORT, 0x2001, 0), BOTH(PASS_FRAGMENT)},
        {"last fragment", l4(IPPROTO_TCP, PORT, 0x00b9, 0), BOTH(PASS_FRAGMENT)},
        {"arp for our address", arp(US, 6), V(PASS_ADDRESS), V(OURS_ARP)},
        {"arp for another", arp(OTHER, 6), BOTH(PASS_ADDRESS)},
        {"arp of another hardware", arp(US, 8), BOTH(PASS_OTHER)},
        {"arp cut short", cut(arp(US, 6), 14 + 27), BOTH(PASS_OTHER)},
        {"ping", icmp(8), V(PASS_ADDRESS), V(OURS_ICMP)},
        {"ping reply", icmp(0), V(PASS_ADDRESS), V(OURS_ICMP)},
        {"unreachable quotes us", icmp_error((struct quote){3, US, PORT, 0, 0}), V(OURS_ICMP_ERROR),
         V(OURS_ICMP)},
        {"time exceeded quotes us", icmp_error((struct quote){11, US, PORT, 0, 0}),
         V(OURS_ICMP_ERROR), V(OURS_ICMP)},
        {"parameter problem quotes us", icmp_error((struct quote){12, US, PORT, 0, 0}),
         V(OURS_ICMP_ERROR), V(OURS_ICMP)},
        {"quote with ip options", icmp_error((struct quote){3, US, PORT, 0, 12}),
         V(OURS_ICMP_ERROR), V(OURS_ICMP)},
        {"quotes ssh", icmp_error((struct quote){3, US, 22, 0, 0}), V(PASS_PORT), V(OURS_ICMP)},
        {"quotes another sender", icmp_error((struct quote){3, OTHER, PORT, 0, 0}), V(PASS_PORT),
         V(OURS_ICMP)},
        {"quotes a later fragment", icmp_error((struct quote){3, US, PORT, 0x2001, 0}),
         V(PASS_PORT), V(OURS_ICMP)},
        {"redirect quotes us", icmp_error((struct quote){5, US, PORT, 0, 0}), V(PASS_ADDRESS),
         V(OURS_ICMP)},
        {"quote of seven bytes", cut(icmp_error((struct quote){3, US, PORT, 0, 0}), 69),
         V(PASS_OTHER), V(OURS_ICMP)},
        {"quote without its header", cut(icmp_error((struct quote){3, US, PORT, 0, 0}), 61),
         V(PASS_OTHER), V(OURS_ICMP)},
        {"icmp cut short", cut(icmp(3), 41), V(PASS_OTHER), V(OURS_ICMP)},
        {"vlan tag before tcp to us", vlan(), BOTH(PASS_OTHER)},
        {"tcp6 to our port", l4_6(IPPROTO_TCP, US, PORT), BOTH(OURS_TCP)},
        {"tcp6 to ssh", l4_6(IPPROTO_TCP, US, 22), BOTH(PASS_PORT)},
        {"tcp6 to another address", l4_6(IPPROTO_TCP, OTHER, PORT), BOTH(PASS_ADDRESS)},
        {"udp6 to our udp port", l4_6(IPPROTO_UDP, US, PORT_UDP), BOTH(OURS_UDP)},
        {"udp6 to our tcp port", l4_6(IPPROTO_UDP, US, PORT), BOTH(PASS_PORT)},
        {"no next header", l4_6(59, US, PORT), BOTH(PASS_PORT)},
        {"tcp6 behind hop-by-hop", behind6(0, 1, 0, 0), BOTH(OURS_TCP)},
        {"tcp6 behind a long header", behind6(60, 1, 9, 0), BOTH(OURS_TCP)},
        {"tcp6 behind a routing header", behind6(43, 1, 2, 0), BOTH(OURS_TCP)},
        {"tcp6 behind four headers", behind6(60, 4, 0, 0), BOTH(OURS_TCP)},
        {"tcp6 behind five", behind6(60, 5, 0, 0), BOTH(PASS_OTHER)},
        {"first fragment of tcp6", behind6(44, 1, 0, 1), BOTH(DROP_FRAGMENT)},
        {"atomic fragment of tcp6", behind6(44, 1, 0, 0), BOTH(DROP_FRAGMENT)},
        {"later fragment of tcp6", behind6(44, 1, 0, 8), BOTH(PASS_FRAGMENT)},
        {"fragment header cut", cut(behind6(44, 1, 0, 1), 14 + 47), BOTH(PASS_OTHER)},
        {"extension header cut", cut(behind6(60, 1, 0, 0), 14 + 47), BOTH(PASS_OTHER)},
        {"extension beyond the frame", cut(behind6(60, 1, 9, 0), 14 + 100), BOTH(PASS_OTHER)},
        {"tcp6 ports cut", cut(l4_6(IPPROTO_TCP, US, PORT), 14 + 47), BOTH(PASS_OTHER)},
        {"ipv6 header cut", cut(l4_6(IPPROTO_TCP, US, PORT), 14 + 39), BOTH(PASS_OTHER)},
        {"version 4 as ipv6", version4_as_6(), BOTH(PASS_OTHER)},
        {"solicitation for us", icmp6(135, US), V(PASS_ADDRESS), V(OURS_ND)},
        {"solicitation for another", icmp6(135, OTHER), BOTH(PASS_ADDRESS)},
        {"solicitation cut", cut(icmp6(135, US), 14 + 40 + 23), BOTH(PASS_ADDRESS)},
        {"advertisement to us", icmp6(136, PEER), V(PASS_ADDRESS), V(OURS_ICMP)},
        {"ping6", icmp6(128, PEER), V(PASS_ADDRESS), V(OURS_ICMP)},
        {"too big quotes us", icmp6_error(2, US, PORT), V(OURS_ICMP_ERROR), V(OURS_ICMP)},
        {"unreachable6 quotes us", icmp6_error(1, US, PORT), V(OURS_ICMP_ERROR), V(OURS_ICMP)},
        {"quotes ssh over ipv6", icmp6_error(2, US, 22), V(PASS_PORT), V(OURS_ICMP)},
        {"quotes another over ipv6", icmp6_error(2, OTHER, PORT), V(PASS_PORT), V(OURS_ICMP)},
        {"no error quotes us", icmp6_error(5, US, PORT), V(PASS_ADDRESS), V(OURS_ICMP)},
        {"quote of seven bytes6", cut(icmp6_error(2, US, PORT), 14 + 40 + 8 + 47), V(PASS_OTHER),
         V(OURS_ICMP)},
        {"version 5", version5(), BOTH(PASS_OTHER)},
        {"header length 4", l4(IPPROTO_TCP, PORT, 0, 4), BOTH(PASS_OTHER)},
        {"header length beyond the frame", cut(l4(IPPROTO_TCP, PORT, 0, 15), 70), BOTH(PASS_OTHER)},
        {"ip header cut", cut(l4(IPPROTO_TCP, PORT, 0, 0), 33), BOTH(PASS_OTHER)},
        {"ports cut", cut(l4(IPPROTO_TCP, PORT, 0, 0), 41), BOTH(PASS_OTHER)},
        {"exactly the ports", cut(l4(IPPROTO_TCP, PORT, 0, 0), 42), BOTH(OURS_TCP)},
        {"ethernet alone", cut(l4(IPPROTO_TCP, PORT, 0, 0), 14), BOTH(PASS_OTHER)},
    };

    set_socket(fx, true);
    for (size_t i = 0; i < PW_ARRAY_LEN(rows); i++) {
        print_message("%s\n", rows[i].what);
        configure(fx, false);
        expect(fx, &rows[i].frame, rows[i].shared, action_of(rows[i].shared));
        configure(fx, true);
        expect(fx, &rows[i].frame, rows[i].own, action_of(rows[i].own));
    }
}

/* Without an address of a family its frames are the kernel's, also those to an address of zeros. */
static void
test_steer__one_family_alone__the_other_passes(void **state)
{
    struct fixture *fx = *state;
    struct frame f4 = l4(IPPROTO_TCP, PORT, 0, 0), f6 = l4_6(IPPROTO_TCP, US, PORT), zero = f4;
    struct frame ns = icmp6(135, US), who = arp(0, 6);

    set_socket(fx, true);
    configure_families(fx, true, true, false);
    expect(fx, &f4, PW_STEER_OURS_TCP, XDP_REDIRECT);
    expect(fx, &f6, PW_STEER_PASS_OTHER, XDP_PASS);
    expect(fx, &ns, PW_STEER_PASS_OTHER, XDP_PASS);
    memset(f6.b + 14 + 24, 0, 16);
    expect(fx, &f6, PW_STEER_PASS_OTHER, XDP_PASS);
    configure_families(fx, true, false, true);
    expect(fx, &f4, PW_STEER_PASS_ADDRESS, XDP_PASS);
    memset(zero.b + 14 + 16, 0, 4);
    expect(fx, &zero, PW_STEER_PASS_ADDRESS, XDP_PASS);
    expect(fx, &who, PW_STEER_PASS_ADDRESS, XDP_PASS);
    f6 = l4_6(IPPROTO_TCP, US, PORT);
    expect(fx, &f6, PW_STEER_OURS_TCP, XDP_REDIRECT);
    expect(fx, &ns, PW_STEER_OURS_ND, XDP_REDIRECT);
}

/* What a killed process leaves: the configuration stands, the socket is gone. */
static void
test_steer__no_socket_in_the_map__passes(void **state)
{
    struct fixture *fx = *state;
    struct frame f = l4(IPPROTO_TCP, PORT, 0, 0);

    set_socket(fx, true);
    configure(fx, true);
    set_socket(fx, false);
    expect(fx, &f, PW_STEER_PASS_SOCKET, XDP_PASS);
    f = arp(US, 6);
    expect(fx, &f, PW_STEER_PASS_SOCKET, XDP_PASS);
}

static void
test_steer__unsteered__passes_with_a_socket(void **state)
{
    struct fixture *fx = *state;
    struct frame f = l4(IPPROTO_TCP, PORT, 0, 0);

    set_socket(fx, true);
    configure(fx, false);
    assert_int_equal(pw_xdp_steer_ctl(&fx->x, NULL), 0);
    expect(fx, &f, PW_STEER_PASS_INACTIVE, XDP_PASS);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steer__frames__verdict_as_tabled),
        cmocka_unit_test(test_steer__one_family_alone__the_other_passes),
        cmocka_unit_test(test_steer__no_socket_in_the_map__passes),
        cmocka_unit_test(test_steer__unsteered__passes_with_a_socket),
    };

    if (geteuid() != 0) {
        puts("skip: loading a BPF program needs root");
        return 77;
    }
    return cmocka_run_group_tests(tests, setup, teardown);
}
