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

static int
make_plan(struct pw_nic *nic, const struct pw_nic_cfg *cfg, uint32_t queues, uint16_t node,
          struct pw_text *why)
{
    struct pw_plan_cpu cpus[PW_PLAN_CPUS_MAX];
    struct pw_plan_input in = {.cpus = cpus,
                               .nic_node = node,
                               .nic_queues = queues,
                               .workers_wanted = cfg->workers,
                               .ingesters_wanted = cfg->ingesters};
    int err;

    in.cpu_count = pw_plan_cpus_ctl(cpus, PW_PLAN_CPUS_MAX);
    err = pw_plan_make(&in, &nic->plan);
    if (err != 0) {
        pw_text_printf(why,
                       "%u I/O workers and %u ingesters do not fit on %u CPUs and %u NIC queues: "
                       "lower -nic.queues, -dataplane.workers or -ingester.cores",
                       cfg->workers, cfg->ingesters, in.cpu_count, queues);
    }
    return err;
}

static uint32_t
memory_mb(const struct pw_nic_cfg *cfg, uint32_t queues)
{
    uint64_t mbufs = pw_port_mbufs_for(cfg->rx_buffer_bytes);

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

static int
start_eal(struct pw_nic *nic, const struct pw_nic_cfg *cfg, struct pw_text *why)
{
    struct pw_eal_cfg eal = {.plan = &nic->plan,
                             .netdev = cfg->netdev,
                             .xdp_prog = cfg->netdev != NULL ? nic->xdp.object_path : NULL,
                             .device = cfg->device,
                             .vdev = cfg->vdev,
                             .queues = nic->plan.workers,
                             .busy_budget = busy_budget(cfg, &nic->xdp.dev),
                             .huge = cfg->huge,
                             .memory_mb = memory_mb(cfg, nic->plan.workers)};
    int err = pw_eal_start_ctl(&eal, why);

    nic->eal_started = err == 0;
    return err;
}

static int
open_port(struct pw_nic *nic, const struct pw_nic_cfg *cfg, uint16_t mtu, struct pw_text *why)
{
    struct pw_port_cfg port = {.queues = (uint16_t)nic->plan.workers,
                               .mtu = mtu,
                               .mbufs_per_queue = pw_port_mbufs_for(cfg->rx_buffer_bytes),
                               .wakes = nic->has_xdp && busy_budget(cfg, &nic->xdp.dev) == 0};
    int err;

    if (rte_eth_dev_count_avail() == 0) {
        pw_text_printf(why, "DPDK has no driver for %s, or could not use it",
                       cfg->device != NULL   ? cfg->device
                       : cfg->netdev != NULL ? cfg->netdev
                                             : cfg->vdev);
        return PW_ENOENT;
    }
    port.port_id = (uint16_t)rte_eth_find_next(0);
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
 * polls would go to the kernel, which would reset our clients' connections. */
static int
check_queues(const struct pw_nic *nic, struct pw_text *why)
{
    const struct pw_netdev *dev = &nic->xdp.dev;
    bool combined = dev->queues_combined == dev->queues_rx;

    if (nic->plan.workers >= dev->queues_rx) {
        return 0;
    }
    pw_text_printf(why,
                   "interface %s receives on %u queues and pyrowire would poll %u: "
                   "`ethtool -L %s %s %u`, or raise -nic.queues and -dataplane.workers",
                   dev->name, dev->queues_rx, nic->plan.workers, dev->name,
                   combined ? "combined" : "rx", nic->plan.workers);
    return PW_EINVAL;
}

static int
open_netdev(struct pw_nic *nic, const struct pw_nic_cfg *cfg, struct pw_text *why)
{
    const struct pw_netdev *dev = &nic->xdp.dev;
    int err = pw_xdp_claim_ctl(&nic->xdp, cfg->netdev, why);

    if (err != 0) {
        return err;
    }
    nic->has_xdp = true;
    settle_address(nic, cfg);
    settle_address6(nic, cfg);
    if (nic->addr == 0 && !is_set6(nic->addr6)) {
        pw_text_printf(why, "interface %s has no address: give -nic.address or -nic.address6",
                       dev->name);
        return PW_EINVAL;
    }
    if (cfg->own_addr && (nic->kernel_owns_addr || nic->kernel_owns_addr6)) {
        pw_text_printf(why,
                       "the kernel has the appliance's address on %s too: `ip addr del` it there, "
                       "or leave -nic.own-address out",
                       dev->name);
        return PW_EINVAL;
    }
    err = make_plan(nic, cfg, dev->queues_combined, dev->node, why);
    if (err == 0) {
        err = check_queues(nic, why);
    }
    if (err == 0) {
        err = start_eal(nic, cfg, why);
    }
    if (err == 0) {
        err = open_port(nic, cfg, dev->mtu, why);
    }
    if (err == 0) {
        err = pw_xdp_open_ctl(&nic->xdp, cfg->xdp_generic, why);
    }
    return err;
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
open_device(struct pw_nic *nic, const struct pw_nic_cfg *cfg, struct pw_text *why)
{
    uint16_t node = PW_PLAN_NODE_ANY;
    int err = cfg->device != NULL ? check_pci(cfg->device, &node, why) : 0;

    if (err != 0) {
        return err;
    }
    if (cfg->addr == 0 && !is_set6(cfg->addr6)) {
        pw_text_str(why,
                    "a device of our own needs an address: give -nic.address or -nic.address6");
        return PW_EINVAL;
    }
    nic->addr = cfg->addr;
    nic->prefix_len = cfg->prefix_len != 0 ? cfg->prefix_len : NIC_PREFIX_DEFAULT;
    nic->gateway = cfg->gateway;
    memcpy(nic->addr6, cfg->addr6, 16);
    memcpy(nic->gateway6, cfg->gateway6, 16);
    nic->prefix6_len = cfg->prefix6_len != 0 ? cfg->prefix6_len : NIC_PREFIX6_DEFAULT;
    /* How many queues it has is known only after EAL probed it; the port check says so then. */
    err = make_plan(nic, cfg, cfg->vdev != NULL ? 1 : PW_WORKERS_MAX - 1, node, why);
    if (err == 0) {
        err = start_eal(nic, cfg, why);
    }
    if (err == 0) {
        err = open_port(nic, cfg, cfg->mtu, why);
    }
    return err;
}

int
pw_nic_open_ctl(struct pw_nic *nic, const struct pw_nic_cfg *cfg, struct pw_text *why)
{
    int err;

    memset(nic, 0, sizeof(*nic));
    if ((cfg->netdev != NULL) + (cfg->device != NULL) + (cfg->vdev != NULL) > 1) {
        pw_text_str(why, "give one of -nic.netdev and -nic.device, not both");
        return PW_EINVAL;
    }
    if (cfg->netdev != NULL) {
        err = open_netdev(nic, cfg, why);
    } else if (cfg->device != NULL || cfg->vdev != NULL) {
        err = open_device(nic, cfg, why);
    } else {
        err = make_plan(nic, cfg, 0, PW_PLAN_NODE_ANY, why);
        err = err == 0 ? start_eal(nic, cfg, why) : err;
    }
    if (err == 0 && nic->has_port && join_group6(nic) != 0) {
        pw_log(PW_LOG_WARN, "pw.nic",
               "msg=\"the device does not take the multicast group of neighbour discovery\"");
    }
    if (err != 0) {
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
pw_nic_metrics_ctl(const struct pw_nic *nic, struct pw_text *out)
{
    if (nic->has_port) {
        pw_port_metrics_ctl(&nic->port, out);
    }
    if (nic->has_xdp) {
        pw_xdp_metrics_ctl(&nic->xdp, out);
    }
}
