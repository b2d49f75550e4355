/* nic-config/xdp_load.h - the steering program on an interface: claim, fill, read, leave clean.
 *
 * Purpose  make sure the interface can be ours before DPDK touches it, fill the maps of the program
 *          that net_af_xdp loaded, read its counters, and leave no program attached.
 * Owner    one pyrowire an interface: the claim is an abstract unix socket, which the kernel frees
 *          with the process and which is private to the network namespace.
 * Context  control thread.
 * Units    -
 * Errors   a negative pw_err, and in *why a sentence for the operator that says what to do.
 *          PW_EPERM no privileges, PW_ENOENT no such interface, PW_EBUSY somebody else's program or
 *          another pyrowire, PW_ENOTSUP no native XDP in the driver.
 * Limits   PW_STEER_PORTS_MAX ports, PW_STEER_QUEUES_MAX queues.
 */
#ifndef PW_NIC_CONFIG_XDP_LOAD_H
#define PW_NIC_CONFIG_XDP_LOAD_H

#include "base/err.h"
#include "base/text.h"
#include "nic-config/netdev.h"
#include "nic-config/xdp_steer.h"

enum { PW_XDP_PATH_MAX = 64 };

struct pw_xdp {
    struct pw_netdev dev;
    int claim_fd;
    int object_fd; /* a memfd with the program's ELF file */
    int cfg_fd;
    int cnt_fd;
    uint32_t prog_id; /* 0 until opened */
    uint32_t cpus;    /* of the per-CPU counters */
    bool generic;     /* attached in the kernel's generic mode */
    char object_path[PW_XDP_PATH_MAX];
};

/* The program as built into this binary. */
struct pw_slice pw_xdp_object(void);

/* Before EAL starts: privileges, interface, claim; detaches what a killed pyrowire left. Then
 * x->object_path is what net_af_xdp takes as xdp_prog. */
PW_MUST_USE int pw_xdp_claim_ctl(struct pw_xdp *x, const char *netdev, struct pw_text *why);
/* After the port is up: finds the attached program's maps. allow_generic accepts a driver without
 * native XDP. Nothing is steered yet. */
PW_MUST_USE int pw_xdp_open_ctl(struct pw_xdp *x, bool allow_generic, struct pw_text *why);
/* Why net_af_xdp could not open a queue, told from whether its program got attached: PW_EBUSY
 * (another program's socket has the queue) or PW_ENOTSUP (the driver refused XDP). Replaces *why. */
PW_MUST_USE int pw_xdp_explain_ctl(const struct pw_xdp *x, struct pw_text *why);
/* Steering starts, changes, or with NULL stops: from then on every frame passes. */
PW_MUST_USE int pw_xdp_steer_ctl(struct pw_xdp *x, const struct pw_steer_cfg *cfg);
/* Frames by verdict since the program was loaded. */
PW_MUST_USE int pw_xdp_counters_ctl(const struct pw_xdp *x, uint64_t out[PW_STEER_VERDICTS]);
struct pw_xdp_named {
    const struct pw_xdp *xdp;
    const char *name; /* value of the label port */
};
/* pyrowire_nic_steered_frames_total{port="...",verdict="..."} of n interfaces. */
void pw_xdp_metrics_ctl(const struct pw_xdp_named *xdp, uint32_t n, struct pw_text *out);
/* After the port is closed, or after a failed start: detaches our program if it is still there and
 * gives the claim back. */
void pw_xdp_close_ctl(struct pw_xdp *x);


#endif
