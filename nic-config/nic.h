/* nic-config/nic.h - one call that brings the appliance's port up, one that leaves the host clean.
 *
 * Purpose  the order of claim, EAL, port, program and steering, so that app/ need not know it; and a second
 *          port beside the first, for the link to other appliances.
 * Owner    the control thread.
 * Context  control thread, before the lcores poll and after they returned.
 * Units    IPv4 addresses and ports in host byte order, IPv6 addresses in network order.
 * Errors   a negative pw_err, and in *why a sentence for the operator that says what to do. After a
 *          failed open nothing stays attached; EAL cannot be started again, so the process ends.
 * Limits   PW_STEER_PORTS_MAX ports.
 */
#ifndef PW_NIC_CONFIG_NIC_H
#define PW_NIC_CONFIG_NIC_H

#include "nic-config/eal.h"
#include "nic-config/plan.h"
#include "nic-config/port.h"
#include "nic-config/steer.h"
#include "nic-config/xdp_load.h"

/* How net_af_xdp takes frames from the kernel (README.md, "Busy polling"). */
enum pw_nic_busy {
    PW_NIC_BUSY_AUTO, /* off for veth and tun, which copy anyway; on for NIC drivers */
    PW_NIC_BUSY_OFF,  /* the kernel's softirq fills the ring; an empty poll costs no system call */
    PW_NIC_BUSY_ON,   /* the polling core runs the driver's NAPI itself */
};

/* Without netdev, device and vdev only EAL starts: no root, no hugepages, no port. */
struct pw_nic_cfg {
    const char *group;  /* of the options that name this port, for errors; NULL: "nic" */
    const char *netdev; /* -nic.netdev: AF_XDP on the kernel's driver */
    const char *device; /* -nic.device: PCI address, ours alone */
    const char *vdev;   /* a virtual device as EAL spells it; for tests */
    uint32_t addr;      /* -nic.address; 0 with netdev: the kernel's own address there */
    uint8_t prefix_len; /* 0: the kernel's, or 24 */
    bool own_addr;      /* -nic.own-address: refuse to start when the kernel has an address too */
    uint32_t gateway;   /* -nic.gateway; 0 where the kernel owns the address: its default route */
    /* -nic.address6; "::" with netdev: the kernel's own there, unless own_addr is set */
    uint8_t addr6[16];
    uint8_t prefix6_len; /* 0: the kernel's, or 64 */
    uint8_t gateway6[16];
    struct pw_nic_port ports[PW_STEER_PORTS_MAX];
    uint32_t port_count;
    uint32_t workers; /* 0: as many as CPUs and queues suggest */
    uint32_t ingesters;
    uint16_t mtu;             /* of a PCI device; netdev: the interface's own */
    uint64_t rx_buffer_bytes; /* receive memory of one worker; sizes the mempools */
    uint32_t memory_mb;       /* 0: enough for the mempools and PW_NIC_MEMORY_MB_EXTRA */
    enum pw_eal_huge huge;
    enum pw_nic_busy busy;
    bool xdp_generic; /* accept a driver without native XDP */
};

enum { PW_NIC_MEMORY_MB_EXTRA = 192 };

struct pw_nic {
    bool has_port; /* false: EAL alone; port and xdp are not open */
    bool has_xdp;
    bool isolated; /* a PCI device that its kernel driver keeps sharing: flow rules steer */
    bool eal_started;
    bool port_broken; /* its set-up failed half way: see pw_port_open_ctl */
    bool kernel_owns_addr;
    uint32_t addr; /* 0: none */
    uint8_t prefix_len;
    uint32_t gateway;
    bool kernel_owns_addr6;
    uint8_t addr6[16]; /* "::": none */
    uint8_t prefix6_len;
    uint8_t gateway6[16];
    int group_fd;  /* keeps the kernel's driver listening to the group of addr6; 0: not needed */
    uint16_t node; /* where the device is */
    uint32_t queues_max; /* that it can have, as far as is known before EAL starts */
    struct pw_plan plan; /* of the first port; the second has the same */
    struct pw_port port;
    struct pw_xdp xdp;
};

PW_MUST_USE int pw_nic_open_ctl(struct pw_nic *nic, const struct pw_nic_cfg *cfg,
                                struct pw_text *why);
/* Both in one EAL, with as many queues each: worker i polls queue i of both. Of second_cfg workers, ingesters,
 * huge and memory_mb are not looked at. It is steered on its own, and closed before the first. */
PW_MUST_USE int pw_nic_open_two_ctl(struct pw_nic *nic, const struct pw_nic_cfg *cfg,
                                    struct pw_nic *second, const struct pw_nic_cfg *second_cfg,
                                    struct pw_text *why);
/* Frames for our ports arrive from now on. Call it when the workers poll. */
PW_MUST_USE int pw_nic_steer_ctl(struct pw_nic *nic, const struct pw_nic_cfg *cfg);
/* Everything passes to the kernel again; connections that still live go silent. */
void pw_nic_unsteer_ctl(struct pw_nic *nic);
/* After the lcores returned. */
void pw_nic_close_ctl(struct pw_nic *nic);
/* port: the value of the label. Each family is written once, over all n. */
struct pw_nic_named {
    const struct pw_nic *nic;
    const char *port;
};
void pw_nic_metrics_ctl(const struct pw_nic_named *nic, uint32_t n, struct pw_text *out);

#endif
