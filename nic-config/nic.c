#include "nic-config/nic.h"

#include "base/log.h"
#include "nic-config/neigh.h"

#include <rte_bus_pci.h>
#include <rte_ethdev.h>

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    NIC_MBUF_BYTES = 2560, /* header, headroom and data of one packet buffer, rounded up */
    NIC_PREFIX_DEFAULT = 24,
    NIC_PREFIX6_DEFAULT = 64,
    NIC_BUSY_BUDGET = 64, /* frames of one NAPI turn, the driver's own default */
};

/* What the options of this port begin with. */
static const char *
group(const struct pw_nic_cfg *cfg)
{
    return cfg->group != NULL ? cfg->group : "nic";
}

static bool
is_wanted(const struct pw_nic_cfg *cfg)
{
    return cfg->netdev != NULL || cfg->device != NULL || cfg->vdev != NULL;
}

static int
make_plan(struct pw_nic *nic, const struct pw_nic_cfg *cfg, struct pw_text *why)
{
    struct pw_plan_cpu cpus[PW_PLAN_CPUS_MAX];
    struct pw_plan_input in = {.cpus = cpus,
                               .nic_node = nic->node,
                               .nic_queues = nic->queues_max,
                               .workers_wanted = cfg->workers,
                               .ingesters_wanted = cfg->ingesters};
    int err;

    in.cpu_count = pw_plan_cpus_ctl(cpus, PW_PLAN_CPUS_MAX);
    err = pw_plan_make(&in, &nic->plan);
    if (err != 0) {
        pw_text_printf(why,
                       "%u I/O workers and %u ingesters do not fit on %u CPUs and %u NIC queues: "
                       "lower -nic.queues, -dataplane.workers or -ingester.cores",
                       cfg->workers, cfg->ingesters, in.cpu_count, nic->queues_max);
    }
    return err;
}

static uint32_t
memory_mb(const struct pw_nic_cfg *cfg, const struct pw_nic_cfg *second, uint32_t queues)
{
    uint64_t mbufs = pw_port_mbufs_for(cfg->rx_buffer_bytes);

    mbufs += second != NULL ? pw_port_mbufs_for(second->rx_buffer_bytes) : 0;
    if (cfg->memory_mb != 0) {
        return cfg->memory_mb;
    }
    return PW_NIC_MEMORY_MB_EXTRA + (uint32_t)((mbufs * queues * NIC_MBUF_BYTES) >> 20);
}

/* Copying drivers have no queue of their own to poll: busy polling would only add a system call to
 * every empty turn. Zero-copy drivers need it, because without it net_af_xdp may sleep in poll() for
 * up to a second when the fill ring ran dry. */
static uint32_t
busy_budget(const struct pw_nic_cfg *cfg, const struct pw_netdev *dev)
{
    bool copies = strcmp(dev->driver, "veth") == 0 || strcmp(dev->driver, "tun") == 0;

    switch (cfg->busy) {
    case PW_NIC_BUSY_OFF:
        return 0;
    case PW_NIC_BUSY_ON:
        return NIC_BUSY_BUDGET;
    case PW_NIC_BUSY_AUTO:
        return copies ? 0 : NIC_BUSY_BUDGET;
    }
    return 0;
}

static struct pw_eal_port
eal_port(const struct pw_nic *nic, const struct pw_nic_cfg *cfg)
{
    return (struct pw_eal_port){.netdev = cfg->netdev,
                                .xdp_prog = cfg->netdev != NULL ? nic->xdp.object_path : NULL,
                                .device = cfg->device,
                                .vdev = cfg->vdev,
                                .busy_budget = busy_budget(cfg, &nic->xdp.dev)};
}

/* second and second_cfg: NULL when there is one port. */
static int
start_eal(struct pw_nic *nic, const struct pw_nic_cfg *cfg, const struct pw_nic *second,
          const struct pw_nic_cfg *second_cfg, struct pw_text *why)
{
    struct pw_eal_cfg eal = {.plan = &nic->plan,
                             .port = {eal_port(nic, cfg)},
                             .queues = nic->plan.workers,
                             .huge = cfg->huge,
                             .memory_mb = memory_mb(cfg, second_cfg, nic->plan.workers)};
    int err;

    if (second != NULL) {
        eal.port[1] = eal_port(second, second_cfg);
    }
    err = pw_eal_start_ctl(&eal, why);
    nic->eal_started = err == 0;
    return err;
}

/* The port that EAL made of place `at` of its list; a driver that shares a PCI device may call it otherwise, which
 * does not matter as long as it is the only one. */
static int
find_port(const struct pw_nic_cfg *cfg, uint32_t at, uint16_t *port_id)
{
    char name[RTE_ETH_NAME_MAX_LEN];
    struct rte_pci_addr addr;

    if (cfg->netdev != NULL) {
        snprintf(name, sizeof(name), "net_af_xdp%u", at);
    } else if (cfg->device != NULL && rte_pci_addr_parse(cfg->device, &addr) == 0) {
        rte_pci_device_name(&addr, name, sizeof(name));
    } else {
        snprintf(name, sizeof(name), "%s", cfg->vdev != NULL ? cfg->vdev : "");
        name[strcspn(name, ",")] = 0;
    }
    if (rte_eth_dev_get_port_by_name(name, port_id) == 0) {
        return 0;
    }
    if (at != 0 || rte_eth_dev_count_avail() != 1) {
        return PW_ENOENT;
    }
    *port_id = (uint16_t)rte_eth_find_next(0);
    return 0;
}

static int
open_port(struct pw_nic *nic, const struct pw_nic_cfg *cfg, uint32_t at, struct pw_text *why)
{
    struct pw_port_cfg port = {.queues = (uint16_t)nic->plan.workers,
                               .mtu = nic->has_xdp ? nic->xdp.dev.mtu : cfg->mtu,
                               .mbufs_per_queue = pw_port_mbufs_for(cfg->rx_buffer_bytes),
                               .wakes = nic->has_xdp && busy_budget(cfg, &nic->xdp.dev) == 0};
    int err;

    if (find_port(cfg, at, &port.port_id) != 0) {
        pw_text_printf(why, "DPDK has no driver for %s, or could not use it",
                       cfg->device != NULL   ? cfg->device
                       : cfg->netdev != NULL ? cfg->netdev
                                             : cfg->vdev);
        return PW_ENOENT;
    }
    /* Only a driver that shares its device with the kernel knows isolation; from others everything
     * arrives, because the device is ours alone. */
    nic->isolated = cfg->device != NULL && pw_steer_isolate_ctl(port.port_id) == 0;
    err = pw_port_open_ctl(&nic->port, &port, why);
    nic->has_port = err == 0;
    if (nic->has_port && (nic->port.offloads & PW_PORT_RSS) &&
        pw_steer_reta_ctl(port.port_id, port.queues) != 0) {
        pw_log(PW_LOG_WARN, "pw.nic", "msg=\"the device keeps its own redirection table\"");
    }
    if (err == PW_EIO && nic->has_xdp) {
        nic->port_broken = true;
        err = pw_xdp_explain_ctl(&nic->xdp, why);
    }
    return err;
}

static bool
is_set6(const uint8_t addr6[16])
{
    static const uint8_t none[16];

    return memcmp(addr6, none, sizeof(none)) != 0;
}

static void
settle_address6(struct pw_nic *nic, const struct pw_nic_cfg *cfg)
{
    const struct pw_netdev *dev = &nic->xdp.dev;
    /* Whoever wants an address of the appliance's own does not want the kernel's beside it. */
    bool kernels = !is_set6(cfg->addr6) && !cfg->own_addr;

    memcpy(nic->addr6, kernels ? dev->addr6 : cfg->addr6, 16);
    memcpy(nic->gateway6, cfg->gateway6, 16);
    nic->kernel_owns_addr6 = is_set6(nic->addr6) && pw_netdev_has_addr6_ctl(dev->name, nic->addr6);
    nic->prefix6_len = cfg->prefix6_len != 0 ? cfg->prefix6_len
                       : kernels             ? dev->prefix6_len
                                             : NIC_PREFIX6_DEFAULT;
}

/* Neighbour solicitations for an address of our own come to a multicast MAC that nobody told the
 * device about. */
static int
join_group6(struct pw_nic *nic)
{
    struct packet_mreq mr = {.mr_ifindex = (int)nic->xdp.dev.ifindex,
                             .mr_type = PACKET_MR_MULTICAST,
                             .mr_alen = 6,
                             .mr_address = {0x33, 0x33}};
    uint8_t group[16];

    if (!is_set6(nic->addr6) || nic->kernel_owns_addr6) {
        return 0;
    }
    pw_steer_solicited_node(nic->addr6, group);
    memcpy(mr.mr_address + 2, group + 12, 4);
    if (!nic->has_xdp) {
        return pw_port_join_ctl(&nic->port, mr.mr_address);
    }
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0); /* protocol 0: it receives nothing */

    if (fd < 0 || setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &mr, sizeof(mr)) != 0) {
        if (fd >= 0) {
            close(fd);
        }
        return PW_EIO;
    }
    nic->group_fd = fd;
    return 0;
}

static void
settle_address(struct pw_nic *nic, const struct pw_nic_cfg *cfg)
{
    const struct pw_netdev *dev = &nic->xdp.dev;

    bool ip6_alone = cfg->own_addr && is_set6(cfg->addr6);

    nic->addr = cfg->addr != 0 || ip6_alone ? cfg->addr : dev->addr;
    nic->kernel_owns_addr = nic->addr != 0 && pw_netdev_has_addr_ctl(dev->name, nic->addr);
    nic->prefix_len = cfg->prefix_len != 0 ? cfg->prefix_len
                      : dev->addr != 0     ? dev->prefix_len
                                           : NIC_PREFIX_DEFAULT;
    nic->gateway = cfg->gateway;
    if (nic->gateway == 0 && nic->kernel_owns_addr &&
        pw_neigh_gateway_ctl(dev->ifindex, &nic->gateway) != 0) {
        nic->gateway = 0; /* a link without a way out is fine */
    }
}

/* An AF_XDP socket receives from its own queue alone: what the NIC puts into a queue that nobody
 * polls would go to the kernel, which would reset our clients' connections. And each worker has a queue. */
static int
check_queues(const struct pw_nic *nic, struct pw_text *why)
{
    const struct pw_netdev *dev = &nic->xdp.dev;
    bool combined = dev->queues_combined == dev->queues_rx;

    if (!nic->has_xdp ||
        (nic->plan.workers >= dev->queues_rx && nic->plan.workers <= dev->queues_combined)) {
        return 0;
    }
    pw_text_printf(why,
                   "interface %s receives on %u queues and pyrowire would poll %u: "
                   "`ethtool -L %s %s %u`, or %s -dataplane.workers",
                   dev->name, dev->queues_rx, nic->plan.workers, dev->name,
                   combined ? "combined" : "rx", nic->plan.workers,
                   nic->plan.workers < dev->queues_rx ? "raise -nic.queues and" : "lower");
    return PW_EINVAL;
}

static int
claim_netdev(struct pw_nic *nic, const struct pw_nic_cfg *cfg, struct pw_text *why)
{
    const struct pw_netdev *dev = &nic->xdp.dev;
    int err = pw_xdp_claim_ctl(&nic->xdp, cfg->netdev, why);

    if (err != 0) {
        return err;
    }
    nic->has_xdp = true;
    nic->node = dev->node;
    nic->queues_max = dev->queues_combined;
    settle_address(nic, cfg);
    settle_address6(nic, cfg);
    if (nic->addr == 0 && !is_set6(nic->addr6)) {
        pw_text_printf(why, "interface %s has no address: give -%s.address or -%s.address6",
                       dev->name, group(cfg), group(cfg));
        return PW_EINVAL;
    }
    if (cfg->own_addr && (nic->kernel_owns_addr || nic->kernel_owns_addr6)) {
        pw_text_printf(why,
                       "the kernel has the appliance's address on %s too: `ip addr del` it there, "
                       "or leave -%s.own-address out",
                       dev->name, group(cfg));
        return PW_EINVAL;
    }
    return 0;
}

/* A short or long PCI address that the machine has; *node is its NUMA node. */
static int
check_pci(const char *device, uint16_t *node, struct pw_text *why)
{
    char path[128], driver[256];
    struct rte_pci_addr addr;
    FILE *f;
    int n = -1;

    if (rte_pci_addr_parse(device, &addr) != 0) {
        pw_text_printf(why, "%s is not a PCI address such as 0000:3b:00.0", device);
        return PW_EINVAL;
    }
    n = snprintf(path, sizeof(path), "/sys/bus/pci/devices/" PCI_PRI_FMT, addr.domain, addr.bus,
                 addr.devid, addr.function);
    if (access(path, F_OK) != 0) {
        pw_text_printf(why, "there is no PCI device %s: see `dpdk-devbind.py --status-dev net`",
                       device);
        return PW_ENOENT;
    }
    snprintf(path + n, sizeof(path) - (size_t)n, "/driver");
    ssize_t len = readlink(path, driver, sizeof(driver) - 1);

    if (len <= 0) {
        pw_text_printf(why, "%s has no driver: `dpdk-devbind.py --bind=vfio-pci %s`", device,
                       device);
        return PW_ENOTSUP;
    }
    snprintf(path + n, sizeof(path) - (size_t)n, "/numa_node");
    f = fopen(path, "re");
    n = -1;
    if (f != NULL) {
        if (fscanf(f, "%d", &n) != 1) {
            n = -1;
        }
        fclose(f);
    }
    *node = n < 0 ? PW_PLAN_NODE_ANY : (uint16_t)n;
    return 0;
}

static int
claim_device(struct pw_nic *nic, const struct pw_nic_cfg *cfg, struct pw_text *why)
{
    int err = 0;

    nic->node = PW_PLAN_NODE_ANY;
    if (cfg->device != NULL) {
        err = check_pci(cfg->device, &nic->node, why);
    }
    if (err != 0) {
        return err;
    }
    if (cfg->addr == 0 && !is_set6(cfg->addr6)) {
        pw_text_printf(why,
                       "a device of our own needs an address: give -%s.address or -%s.address6",
                       group(cfg), group(cfg));
        return PW_EINVAL;
    }
    nic->addr = cfg->addr;
    nic->prefix_len = cfg->prefix_len != 0 ? cfg->prefix_len : NIC_PREFIX_DEFAULT;
    nic->gateway = cfg->gateway;
    memcpy(nic->addr6, cfg->addr6, 16);
    memcpy(nic->gateway6, cfg->gateway6, 16);
    nic->prefix6_len = cfg->prefix6_len != 0 ? cfg->prefix6_len : NIC_PREFIX6_DEFAULT;
    /* How many queues it has is known only after EAL probed it; the port check says so then. */
    nic->queues_max = cfg->vdev != NULL ? 1 : PW_WORKERS_MAX - 1;
    return 0;
}

/* What can be done before EAL starts: afterwards nothing stands in a device's way but its driver. An error begins with
 * the option it is about. */
static int
claim(struct pw_nic *nic, const struct pw_nic_cfg *cfg, struct pw_text *why)
{
    if ((cfg->netdev != NULL) + (cfg->device != NULL) + (cfg->vdev != NULL) > 1) {
        pw_text_printf(why, "give one of -%s.netdev and -%s.device, not both", group(cfg),
                       group(cfg));
        return PW_EINVAL;
    }
    nic->node = PW_PLAN_NODE_ANY;
    if (!is_wanted(cfg)) {
        return 0;
    }
    size_t start = why->len;

    pw_text_printf(why, "-%s.%s: ", group(cfg), cfg->netdev != NULL ? "netdev" : "device");
    int err = cfg->netdev != NULL ? claim_netdev(nic, cfg, why) : claim_device(nic, cfg, why);

    if (err == 0) {
        why->len = start;
    }
    return err;
}

static int
bring_up(struct pw_nic *nic, const struct pw_nic_cfg *cfg, uint32_t at, struct pw_text *why)
{
    int err = open_port(nic, cfg, at, why);

    if (err == 0 && nic->has_xdp) {
        err = pw_xdp_open_ctl(&nic->xdp, cfg->xdp_generic, why);
    }
    if (err == 0 && join_group6(nic) != 0) {
        pw_log(PW_LOG_WARN, "pw.nic",
               "msg=\"the device does not take the multicast group of neighbour discovery\"");
    }
    return err;
}

int
pw_nic_open_ctl(struct pw_nic *nic, const struct pw_nic_cfg *cfg, struct pw_text *why)
{
    int err;

    memset(nic, 0, sizeof(*nic));
    err = claim(nic, cfg, why);
    err = err != 0 ? err : make_plan(nic, cfg, why);
    err = err != 0 ? err : check_queues(nic, why);
    err = err != 0 ? err : start_eal(nic, cfg, NULL, NULL, why);
    if (err == 0 && is_wanted(cfg)) {
        err = bring_up(nic, cfg, 0, why);
    }
    if (err != 0) {
        pw_nic_close_ctl(nic);
    }
    return err;
}

int
pw_nic_open_two_ctl(struct pw_nic *nic, const struct pw_nic_cfg *cfg, struct pw_nic *second,
                    const struct pw_nic_cfg *second_cfg, struct pw_text *why)
{
    int err;

    memset(nic, 0, sizeof(*nic));
    memset(second, 0, sizeof(*second));
    err = claim(nic, cfg, why);
    err = err != 0 ? err : claim(second, second_cfg, why);
    err = err != 0 ? err : make_plan(nic, cfg, why);
    second->plan = nic->plan;
    err = err != 0 ? err : check_queues(nic, why);
    err = err != 0 ? err : check_queues(second, why);
    err = err != 0 ? err : start_eal(nic, cfg, second, second_cfg, why);
    err = err != 0 ? err : bring_up(nic, cfg, 0, why);
    err = err != 0 ? err : bring_up(second, second_cfg, 1, why);
    if (err != 0) {
        nic->port_broken |= second->port_broken; /* EAL is not to touch it either */
        pw_nic_close_ctl(second);
        pw_nic_close_ctl(nic);
    }
    return err;
}

static int
traffic_of(const struct pw_nic *nic, const struct pw_nic_cfg *cfg, struct pw_steer_traffic *t)
{
    if (cfg->port_count > PW_STEER_PORTS_MAX) {
        return PW_ERANGE;
    }
    *t = (struct pw_steer_traffic){
        .addr = nic->addr,
        .own_addr = !nic->kernel_owns_addr,
        .own_addr6 = !nic->kernel_owns_addr6,
        .port_count = cfg->port_count,
    };
    memcpy(t->addr6, nic->addr6, sizeof(t->addr6));
    memcpy(t->ports, cfg->ports, sizeof(t->ports));
    return 0;
}

int
pw_nic_steer_ctl(struct pw_nic *nic, const struct pw_nic_cfg *cfg)
{
    struct pw_steer_traffic t;
    struct pw_steer_cfg map;
    int err = traffic_of(nic, cfg, &t);

    if (err == 0 && nic->isolated) {
        return pw_steer_flow_rules_ctl(nic->port.port_id, nic->port.queues, &t);
    }
    if (err != 0 || !nic->has_xdp) {
        return err; /* a device of our own gives us everything */
    }
    err = pw_steer_cfg_make(&t, &map);
    return err != 0 ? err : pw_xdp_steer_ctl(&nic->xdp, &map);
}

void
pw_nic_unsteer_ctl(struct pw_nic *nic)
{
    if (nic->isolated) {
        pw_steer_flow_flush_ctl(nic->port.port_id);
    }
    if (nic->has_xdp && nic->xdp.prog_id != 0 && pw_xdp_steer_ctl(&nic->xdp, NULL) != 0) {
        pw_log(PW_LOG_ERROR, "pw.nic", "msg=\"steering could not be stopped\"");
    }
}

void
pw_nic_close_ctl(struct pw_nic *nic)
{
    if (nic->group_fd != 0) {
        close(nic->group_fd);
        nic->group_fd = 0;
    }
    if (nic->has_port) {
        pw_nic_unsteer_ctl(nic);
        pw_port_close_ctl(&nic->port);
    }
    if (nic->has_xdp) {
        pw_xdp_close_ctl(&nic->xdp);
    }
    if (nic->eal_started && !nic->port_broken) {
        pw_eal_stop_ctl(); /* closes devices too, which a broken port does not survive */
    }
    nic->has_port = nic->has_xdp = nic->eal_started = false;
}

void
pw_nic_metrics_ctl(const struct pw_nic_named *nic, uint32_t n, struct pw_text *out)
{
    struct pw_port_named port[PW_EAL_PORTS_MAX];
    struct pw_xdp_named xdp[PW_EAL_PORTS_MAX];
    uint32_t ports = 0, xdps = 0;

    for (uint32_t i = 0; i < n && i < PW_EAL_PORTS_MAX; i++) {
        if (nic[i].nic->has_port) {
            port[ports++] = (struct pw_port_named){&nic[i].nic->port, nic[i].port};
        }
        if (nic[i].nic->has_xdp) {
            xdp[xdps++] = (struct pw_xdp_named){&nic[i].nic->xdp, nic[i].port};
        }
    }
    if (ports > 0) {
        pw_port_metrics_ctl(port, ports, out);
    }
    pw_xdp_metrics_ctl(xdp, xdps, out);
}
