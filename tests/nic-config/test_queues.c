/* Two AF_XDP queues behind one steering program, on a tap with two queues in a namespace of its own:
 * what is written to one file of the tap arrives at the receive queue of the same number. */
#include "tests/support/cmocka_pw.h"

#include "nic-config/eal.h"
#include "nic-config/port.h"
#include "nic-config/steer.h"
#include "nic-config/xdp_load.h"

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define TAP "pwtap0"

enum { QUEUES = 2, FRAME = 60, US = 0x0a4e0101, PEER = 0x0a4e0102, WAIT_TURNS = 2000 };

static int
make_tap(int fd[QUEUES])
{
    struct ifreq r = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_MULTI_QUEUE};
    int sock = socket(AF_INET, SOCK_DGRAM, 0);
    int err;

    snprintf(r.ifr_name, sizeof(r.ifr_name), TAP);
    for (int i = 0; i < QUEUES; i++) {
        fd[i] = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
        if (fd[i] < 0 || ioctl(fd[i], TUNSETIFF, &r) != 0) {
            return -1;
        }
    }
    r.ifr_flags = IFF_UP;
    err = ioctl(sock, SIOCSIFFLAGS, &r);
    close(sock);
    return err;
}

static void
write_syns(int fd, const uint8_t mac[6], int count)
{
    uint8_t f[FRAME] = {0};

    memcpy(f, mac, 6);
    pw_store_be16(f + 12, 0x0800);
    f[14] = 0x45;
    pw_store_be16(f + 16, 40);
    f[22] = 64;
    f[23] = IPPROTO_TCP;
    pw_store_be32(f + 26, PEER);
    pw_store_be32(f + 30, US);
    pw_store_be16(f + 36, 4040);
    f[46] = 0x50;
    for (int i = 0; i < count; i++) {
        assert_int_equal(write(fd, f, sizeof(f)), sizeof(f));
    }
}

static uint16_t
receive(const struct pw_port *p, uint16_t queue, uint16_t want)
{
    struct rte_mbuf *m[PW_BURST_MAX];
    uint16_t got = 0;

    for (int turn = 0; turn < WAIT_TURNS && got < want; turn++) {
        got = (uint16_t)(got + rte_eth_rx_burst(p->port_id, queue, m + got,
                                                (uint16_t)(PW_BURST_MAX - got)));
        usleep(got < want ? 100 : 0);
    }
    rte_pktmbuf_free_bulk(m, got);
    return got;
}

static void
test_port_open__two_queues__each_gets_its_own(void **state)
{
    static struct pw_xdp x;
    static struct pw_port port;
    struct pw_steer_traffic traffic = {.addr = US, .port_count = 1, .ports = {{4040, IPPROTO_TCP}}};
    struct pw_port_cfg cfg = {.queues = QUEUES, .mtu = 1500, .mbufs_per_queue = 8191};
    struct pw_steer_cfg map;
    uint64_t n[PW_STEER_VERDICTS];
    char buf[512] = {0};
    struct pw_text why;
    int fd[QUEUES];

    pw_text_fixed(&why, buf, sizeof(buf) - 1);
    assert_int_equal(make_tap(fd), 0);
    assert_int_equal(pw_xdp_claim_ctl(&x, TAP, &why), 0);
    assert_int_equal(x.dev.queues_combined, QUEUES);
    struct pw_eal_cfg eal = {.port = {{.netdev = TAP, .xdp_prog = x.object_path}},
                             .queues = QUEUES,
                             .huge = PW_EAL_HUGE_OFF,
                             .memory_mb = 128};

    assert_int_equal(pw_eal_start_ctl(&eal, &why), 0);
    assert_int_equal(pw_port_open_ctl(&port, &cfg, &why), 0);
    assert_int_equal(pw_xdp_open_ctl(&x, false, &why), 0);
    assert_int_equal(pw_steer_cfg_make(&traffic, &map), 0);
    assert_int_equal(pw_xdp_steer_ctl(&x, &map), 0);

    write_syns(fd[0], port.mac, 3);
    write_syns(fd[1], port.mac, 5);
    assert_int_equal(receive(&port, 0, 3), 3);
    assert_int_equal(receive(&port, 1, 5), 5);
    assert_int_equal(pw_xdp_counters_ctl(&x, n), 0);
    assert_int_equal(n[PW_STEER_OURS_TCP], 8);

    pw_port_close_ctl(&port);
    pw_xdp_close_ctl(&x);
    pw_eal_stop_ctl();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_port_open__two_queues__each_gets_its_own),
    };

    if (geteuid() != 0 || unshare(CLONE_NEWNET) != 0) {
        puts("skip: a network namespace needs root");
        return 77;
    }
    if (access("/dev/net/tun", R_OK | W_OK) != 0) {
        puts("skip: there is no /dev/net/tun");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
