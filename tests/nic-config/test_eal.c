/* nic-config/eal.c and steer.c: what is asked of EAL and of the steering program. */
#include "tests/support/cmocka_pw.h"

#include "nic-config/eal.h"
#include "nic-config/steer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

static const char *
joined(const struct pw_eal_args *a, char *buf, size_t cap)
{
    size_t n = 0;

    for (int i = 0; i < a->argc; i++) {
        n += (size_t)snprintf(buf + n, cap - n, "%s ", a->argv[i]);
    }
    return buf;
}

static void
test_eal_args_build__no_device__no_pci_no_huge(void **state)
{
    struct pw_eal_cfg cfg = {.memory_mb = 64};
    struct pw_eal_args a;
    char text[2048];

    assert_int_equal(pw_eal_args_build(&cfg, false, &a), 0);
    joined(&a, text, sizeof(text));
    assert_non_null(strstr(text, " --no-pci "));
    assert_non_null(strstr(text, " --no-huge --no-shconf "));
    assert_non_null(strstr(text, " --no-telemetry "));
    assert_non_null(strstr(text, " -m 64 "));
    assert_null(strstr(text, "--vdev"));
}

static void
test_eal_args_build__netdev__af_xdp_vdev_and_no_pci(void **state)
{
    struct pw_plan plan = {.lcores = 1, .lcore = {{.cpu = 1}}};
    struct pw_eal_cfg cfg = {
        .plan = &plan,
        .port = {{.netdev = "eth1", .xdp_prog = "/p.o"}},
        .queues = 2,
        .memory_mb = 256,
    };
    struct pw_eal_args a;
    char text[2048];

    assert_int_equal(pw_eal_args_build(&cfg, true, &a), 0);
    joined(&a, text, sizeof(text));
    assert_non_null(strstr(text, " --no-pci "));
    assert_non_null(strstr(text, " --in-memory "));
    assert_null(strstr(text, "--no-huge"));
    assert_non_null(strstr(text, " --lcores=0@0,1@1 --main-lcore=0 "));
    assert_non_null(strstr(text, "--vdev=net_af_xdp0,iface=eth1,start_queue=0,queue_count=2,"
                                 "busy_budget=0,xdp_prog=/p.o "));
}

static void
test_eal_args_build__pci_device__allows_it_alone(void **state)
{
    struct pw_eal_cfg cfg = {.port = {{.device = "0000:3b:00.0"}}, .memory_mb = 256};
    struct pw_eal_args a;
    char text[2048];

    assert_int_equal(pw_eal_args_build(&cfg, true, &a), 0);
    joined(&a, text, sizeof(text));
    assert_non_null(strstr(text, " -a 0000:3b:00.0 "));
    assert_null(strstr(text, "--no-pci"));
}

static void
test_eal_args_build__two_ports__a_device_each(void **state)
{
    struct pw_eal_cfg cfg = {
        .port = {{.netdev = "eth1", .xdp_prog = "/p.o"}, {.netdev = "eth2", .xdp_prog = "/q.o"}},
        .queues = 1,
        .memory_mb = 256,
    };
    struct pw_eal_args a;
    char text[2048];

    assert_int_equal(pw_eal_args_build(&cfg, true, &a), 0);
    joined(&a, text, sizeof(text));
    assert_non_null(strstr(text, "--vdev=net_af_xdp0,iface=eth1,start_queue=0,queue_count=1,"
                                 "busy_budget=0,xdp_prog=/p.o "));
    assert_non_null(strstr(text, "--vdev=net_af_xdp1,iface=eth2,start_queue=0,queue_count=1,"
                                 "busy_budget=0,xdp_prog=/q.o "));
    assert_non_null(strstr(text, " --no-pci "));

    cfg.port[1] = (struct pw_eal_port){.device = "0000:3b:00.0"};
    assert_int_equal(pw_eal_args_build(&cfg, true, &a), 0);
    joined(&a, text, sizeof(text));
    assert_non_null(strstr(text, "--vdev=net_af_xdp0,iface=eth1,"));
    assert_non_null(strstr(text, " -a 0000:3b:00.0 "));
    assert_null(strstr(text, "--no-pci"));
}

static void
test_eal_args_build__bad_configuration__refused(void **state)
{
    const struct pw_eal_cfg bad[] = {
        {.memory_mb = 0},
        {.memory_mb = 1, .port = {{.netdev = "eth1"}}, .queues = 1},            /* no program */
        {.memory_mb = 1, .port = {{.netdev = "eth1", .xdp_prog = "/p"}}},       /* no queue */
        {.memory_mb = 1, .port = {[1] = {.netdev = "eth1", .xdp_prog = "/p"}}}, /* likewise */
        {.memory_mb = 1,
         .port = {{.netdev = "e,x=1", .xdp_prog = "/p"}},
         .queues = 1},                                                         /* an argument */
        {.memory_mb = 1, .port = {{.device = "0000:3b:00.0,x"}}, .queues = 1}, /* likewise */
        {.memory_mb = 1, .port = {{.device = "a", .netdev = "b", .xdp_prog = "/p"}}, .queues = 1},
    };
    struct pw_eal_args a;

    for (size_t i = 0; i < PW_ARRAY_LEN(bad); i++) {
        assert_int_equal(pw_eal_args_build(&bad[i], false, &a), PW_EINVAL);
    }
}

static void
test_eal_args_build__overlong_path__enospc(void **state)
{
    static char path[PW_EAL_ARG_BYTES_MAX + 1];
    struct pw_eal_cfg cfg = {
        .port = {{.netdev = "eth1", .xdp_prog = path}}, .queues = 1, .memory_mb = 1};
    struct pw_eal_args a;

    memset(path, 'x', sizeof(path) - 1);
    assert_int_equal(pw_eal_args_build(&cfg, false, &a), PW_ENOSPC);
}

static void
test_eal_start__more_hugepages_than_there_are__says_how_to_get_them(void **state)
{
    struct pw_eal_cfg cfg = {.huge = PW_EAL_HUGE_REQUIRED, .memory_mb = 1U << 30};
    char buf[512];
    struct pw_text why;

    pw_text_fixed(&why, buf, sizeof(buf) - 1);
    assert_int_equal(pw_eal_start_ctl(&cfg, &why), PW_ENOMEM);
    buf[why.len] = 0;
    assert_non_null(strstr(buf, "no hugepages"));
    assert_non_null(strstr(buf, "host-prepare.sh"));
}

static void
test_steer_cfg_make__two_ports__network_order(void **state)
{
    struct pw_steer_traffic t = {.addr = 0x0a000001,
                                 .own_addr = true,
                                 .port_count = 2,
                                 .ports = {{4040, IPPROTO_TCP}, {7946, IPPROTO_UDP}}};
    struct pw_steer_cfg cfg;

    assert_int_equal(pw_steer_cfg_make(&t, &cfg), 0);
    assert_int_equal(cfg.addr, inet_addr("10.0.0.1"));
    assert_int_equal(cfg.flags, PW_STEER_ACTIVE | PW_STEER_IP4 | PW_STEER_OWN_ADDR);
    assert_int_equal(ntohs(cfg.ports[0].port), 4040);
    assert_int_equal(cfg.ports[0].proto, IPPROTO_TCP);
    assert_int_equal(cfg.ports[1].proto, IPPROTO_UDP);
    assert_int_equal(cfg.ports[2].proto, 0);
    t.addr = 0;
    t.addr6[0] = 0xFD, t.addr6[15] = 1;
    assert_int_equal(pw_steer_cfg_make(&t, &cfg), 0);
    assert_int_equal(cfg.flags, PW_STEER_ACTIVE | PW_STEER_IP6); /* own_addr is IPv4's alone */
    assert_memory_equal(cfg.addr6, t.addr6, 16);
    t.own_addr6 = true;
    assert_int_equal(pw_steer_cfg_make(&t, &cfg), 0);
    assert_int_equal(cfg.flags, PW_STEER_ACTIVE | PW_STEER_IP6 | PW_STEER_OWN_ADDR6);
}

static void
test_steer_cfg_make__bad_traffic__refused(void **state)
{
    struct pw_steer_cfg cfg;
    struct pw_steer_traffic t = {.addr = 0, .port_count = 0};

    assert_int_equal(pw_steer_cfg_make(&t, &cfg), PW_EINVAL);
    t = (struct pw_steer_traffic){.addr = 1, .port_count = PW_STEER_PORTS_MAX + 1};
    assert_int_equal(pw_steer_cfg_make(&t, &cfg), PW_ERANGE);
    t = (struct pw_steer_traffic){.addr = 1, .port_count = 1, .ports = {{80, IPPROTO_ICMP}}};
    assert_int_equal(pw_steer_cfg_make(&t, &cfg), PW_EINVAL);
}

static void
test_steer_reta_queue__512_entries__even(void **state)
{
    uint32_t n[3] = {0};

    for (uint32_t i = 0; i < 512; i++) {
        n[pw_steer_reta_queue(i, 3)]++;
    }
    assert_int_equal(n[0], 171);
    assert_int_equal(n[1], 171);
    assert_int_equal(n[2], 170);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_eal_args_build__no_device__no_pci_no_huge),
        cmocka_unit_test(test_eal_args_build__netdev__af_xdp_vdev_and_no_pci),
        cmocka_unit_test(test_eal_args_build__pci_device__allows_it_alone),
        cmocka_unit_test(test_eal_args_build__two_ports__a_device_each),
        cmocka_unit_test(test_eal_args_build__bad_configuration__refused),
        cmocka_unit_test(test_eal_args_build__overlong_path__enospc),
        cmocka_unit_test(test_eal_start__more_hugepages_than_there_are__says_how_to_get_them),
        cmocka_unit_test(test_steer_cfg_make__two_ports__network_order),
        cmocka_unit_test(test_steer_cfg_make__bad_traffic__refused),
        cmocka_unit_test(test_steer_reta_queue__512_entries__even),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
