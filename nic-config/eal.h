/* nic-config/eal.h - starting and stopping DPDK's environment.
 *
 * Purpose  build EAL's arguments so that it touches only the device it was given; route its log.
 * Owner    EAL is one per process and cannot be started twice (rte_eal_init refuses).
 * Context  control thread, which becomes EAL's main lcore and is pinned to plan->main.
 * Units    memory in MiB.
 * Errors   a negative pw_err, and in *why a sentence for the operator that says what to do.
 * Limits   PW_EAL_ARGS_MAX arguments, PW_EAL_ARG_BYTES_MAX bytes together.
 */
#ifndef PW_NIC_CONFIG_EAL_H
#define PW_NIC_CONFIG_EAL_H

#include "base/err.h"
#include "base/text.h"
#include "nic-config/plan.h"

enum { PW_EAL_ARGS_MAX = 32, PW_EAL_ARG_BYTES_MAX = 4096, PW_EAL_PORTS_MAX = 2 };

enum pw_eal_huge {
    PW_EAL_HUGE_AUTO,     /* hugepages when enough are free, else ordinary pages */
    PW_EAL_HUGE_REQUIRED, /* refuse to start without */
    PW_EAL_HUGE_OFF,
};

/* One port: at most one of netdev, device and vdev; none: there is no such port. */
struct pw_eal_port {
    const char *netdev;   /* kernel interface for net_af_xdpI, I being the place in the array */
    const char *xdp_prog; /* file of the steering program; needed with netdev */
    const char *device;   /* PCI address; EAL may probe those that are named, and no others */
    const char *vdev;     /* a virtual device as EAL spells it; for tests */
    /* SO_BUSY_POLL budget of the AF_XDP sockets: 0 leaves receiving to the kernel's softirq and
     * makes an empty poll free of system calls (see README.md for the measurement). */
    uint32_t busy_budget;
};

/* Without any port EAL starts without root and hugepages. */
struct pw_eal_cfg {
    const struct pw_plan *plan; /* borrowed; NULL: one lcore, where the caller runs now */
    struct pw_eal_port port[PW_EAL_PORTS_MAX];
    uint32_t queues; /* of each netdev */
    enum pw_eal_huge huge;
    uint32_t memory_mb;
};

struct pw_eal_args {
    int argc;
    char *argv[PW_EAL_ARGS_MAX + 1];
    size_t used;
    char text[PW_EAL_ARG_BYTES_MAX];
};

/* Pure: what EAL would be started with. huge tells whether hugepages are to be used. */
PW_MUST_USE int pw_eal_args_build(const struct pw_eal_cfg *cfg, bool huge, struct pw_eal_args *out);

/* PW_EAGAIN: with PW_EAL_HUGE_AUTO there were hugepages, and another program had them first. EAL starts once in a process:
 * this one has to begin anew, with PW_EAL_HUGE_OFF. */
PW_MUST_USE int pw_eal_start_ctl(const struct pw_eal_cfg *cfg, struct pw_text *why);
/* After every lcore returned and every port is closed. */
void pw_eal_stop_ctl(void);

#endif
