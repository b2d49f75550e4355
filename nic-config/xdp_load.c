#include "nic-config/xdp_load.h"

#include "base/log.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/capability.h>
#include <linux/if_link.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "nic-config/xdp_steer_object.h" /* generated: xdp_steer_object[] */

enum { XDP_MAPS_MAX = 16 };

struct pw_slice
pw_xdp_object(void)
{
    return pw_slice(xdp_steer_object, sizeof(xdp_steer_object));
}

static const char *const verdict_name[] = {
    [PW_STEER_PASS_INACTIVE] = "pass_inactive",
    [PW_STEER_PASS_OTHER] = "pass_other",
    [PW_STEER_PASS_ADDRESS] = "pass_address",
    [PW_STEER_PASS_PORT] = "pass_port",
    [PW_STEER_PASS_FRAGMENT] = "pass_fragment",
    [PW_STEER_PASS_SOCKET] = "pass_no_socket",
    [PW_STEER_OURS_TCP] = "ours_tcp",
    [PW_STEER_OURS_UDP] = "ours_udp",
    [PW_STEER_OURS_ARP] = "ours_arp",
    [PW_STEER_OURS_ICMP] = "ours_icmp",
    [PW_STEER_OURS_ICMP_ERROR] = "ours_icmp_error",
    [PW_STEER_OURS_ND] = "ours_nd",
    [PW_STEER_DROP_FRAGMENT] = "drop_fragment",
};
_Static_assert(PW_ARRAY_LEN(verdict_name) == PW_STEER_VERDICTS, "a name for every verdict");

static bool
has_capability(const struct __user_cap_data_struct *data, unsigned cap)
{
    return (data[cap / 32].effective >> (cap % 32)) & 1;
}

/* CAP_SYS_ADMIN because reading a program's maps by id needs it (bpf(2)). */
static int
check_privileges(struct pw_text *why)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};

    if (syscall(SYS_capget, &head, data) == 0 && has_capability(data, CAP_NET_ADMIN) &&
        has_capability(data, CAP_NET_RAW) && has_capability(data, CAP_SYS_ADMIN)) {
        return 0;
    }
    pw_text_str(why, "no privileges for a NIC port: run as root, or grant CAP_NET_ADMIN, "
                     "CAP_NET_RAW, CAP_SYS_ADMIN and CAP_IPC_LOCK; without any -nic option "
                     "pyrowire serves the loopback listener and needs none");
    return PW_EPERM;
}

static int
query_interface(struct pw_xdp *x, const char *netdev, struct pw_text *why)
{
    int err = pw_netdev_query_ctl(netdev, &x->dev);

    if (err == PW_ENOENT) {
        pw_text_printf(why, "there is no network interface %s: see `ip link`", netdev);
        return err;
    }
    if (err != 0) {
        pw_text_printf(why, "the kernel does not tell about interface %s", netdev);
        return err;
    }
    if (!x->dev.up) {
        pw_text_printf(why, "interface %s is down: `ip link set %s up`", netdev, netdev);
        return PW_EINVAL;
    }
    return 0;
}

static int
take_claim(struct pw_xdp *x, struct pw_text *why)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int n = snprintf(sa.sun_path + 1, sizeof(sa.sun_path) - 1, "pyrowire.nic.%u", x->dev.ifindex);
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);

    x->claim_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (x->claim_fd < 0) {
        pw_text_printf(why, "no socket: %s", strerror(errno));
        return PW_EIO;
    }
    if (bind(x->claim_fd, (struct sockaddr *)&sa, len) != 0) {
        pw_text_printf(why, "interface %s is in use by another pyrowire: stop it first",
                       x->dev.name);
        return PW_EBUSY;
    }
    return 0;
}

/* Maps of a program that we recognise. */
struct prog_maps {
    struct bpf_prog_info info;
    int cfg_fd;
    int cnt_fd;
    bool has_xsks;
};

static void
close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
    *fd = -1;
}

/* Reads name and maps of program id. The caller closes cfg_fd and cnt_fd. */
static int
read_prog(uint32_t id, struct prog_maps *out)
{
    uint32_t map_ids[XDP_MAPS_MAX];
    uint32_t len = sizeof(out->info);
    int prog_fd = bpf_prog_get_fd_by_id(id);

    memset(out, 0, sizeof(*out));
    out->cfg_fd = out->cnt_fd = -1;
    if (prog_fd < 0) {
        return errno == EPERM ? PW_EPERM : PW_ENOENT;
    }
    out->info.map_ids = (uint64_t)(uintptr_t)map_ids;
    out->info.nr_map_ids = XDP_MAPS_MAX;
    if (bpf_obj_get_info_by_fd(prog_fd, &out->info, &len) != 0) {
        close(prog_fd);
        return PW_EIO;
    }
    for (uint32_t i = 0; i < out->info.nr_map_ids && i < XDP_MAPS_MAX; i++) {
        struct bpf_map_info info = {0};
        int fd = bpf_map_get_fd_by_id(map_ids[i]);

        len = sizeof(info);
        if (fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &len) == 0) {
            if (strcmp(info.name, PW_STEER_MAP_CFG) == 0 && out->cfg_fd < 0) {
                out->cfg_fd = fd;
                fd = -1;
            } else if (strcmp(info.name, PW_STEER_MAP_CNT) == 0 && out->cnt_fd < 0) {
                out->cnt_fd = fd;
                fd = -1;
            }
            out->has_xsks |= strcmp(info.name, PW_STEER_MAP_XSKS) == 0;
        }
        close_fd(&fd);
    }
    close(prog_fd);
    return 0;
}

static bool
is_ours(const struct prog_maps *m)
{
    return strcmp(m->info.name, PW_STEER_PROG_NAME) == 0 && m->cfg_fd >= 0 && m->cnt_fd >= 0 &&
           m->has_xsks;
}

/* The program on the interface, and how it is attached. 0 when there is none. */
static uint32_t
attached_prog(const struct pw_xdp *x, bool *generic)
{
    LIBBPF_OPTS(bpf_xdp_query_opts, opts);

    if (bpf_xdp_query((int)x->dev.ifindex, 0, &opts) != 0) {
        return 0;
    }
    *generic = opts.attach_mode == XDP_ATTACHED_SKB;
    return opts.prog_id != 0 ? opts.prog_id
                             : (opts.drv_prog_id != 0 ? opts.drv_prog_id : opts.skb_prog_id);
}

static int
detach(const struct pw_xdp *x, bool generic)
{
    uint32_t flags = generic ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE;

    return bpf_xdp_detach((int)x->dev.ifindex, flags, NULL);
}

/* We hold the claim, so a program of ours that is attached belongs to a process that is gone. */
static int
clear_stale(const struct pw_xdp *x, struct pw_text *why)
{
    struct prog_maps m;
    bool generic = false, ours;
    uint32_t id = attached_prog(x, &generic);
    int err;

    if (id == 0) {
        return 0;
    }
    err = read_prog(id, &m);
    ours = err == 0 && is_ours(&m);
    close_fd(&m.cfg_fd);
    close_fd(&m.cnt_fd);
    if (!ours) {
        pw_text_printf(why,
                       "port in use: interface %s has an XDP program (%s, id %u) that is not "
                       "pyrowire's; stop its owner, or remove it with `ip link set dev %s xdp off`",
                       x->dev.name, err == 0 ? m.info.name : "unreadable", id, x->dev.name);
        return PW_EBUSY;
    }
    if (detach(x, generic) != 0) {
        pw_text_printf(why, "the steering program of an earlier pyrowire (id %u) stays on %s: %s",
                       id, x->dev.name, strerror(errno));
        return PW_EIO;
    }
    pw_log(PW_LOG_WARN, "pw.nic.xdp",
           "msg=\"detached the steering program a killed pyrowire left\" netdev=%s prog_id=%u",
           x->dev.name, id);
    return 0;
}

/* net_af_xdp opens the program by path; a memfd spares an installed file that could go missing. */
static int
make_object_file(struct pw_xdp *x, struct pw_text *why)
{
    struct pw_slice obj = pw_xdp_object();

    x->object_fd = memfd_create("xdp_steer.bpf.o", MFD_CLOEXEC);
    if (x->object_fd < 0 || write(x->object_fd, obj.ptr, obj.len) != (ssize_t)obj.len) {
        pw_text_printf(why, "no memory for the steering program: %s", strerror(errno));
        return PW_ENOMEM;
    }
    snprintf(x->object_path, sizeof(x->object_path), "/proc/self/fd/%d", x->object_fd);
    return 0;
}

int
pw_xdp_claim_ctl(struct pw_xdp *x, const char *netdev, struct pw_text *why)
{
    int err;

    memset(x, 0, sizeof(*x));
    x->claim_fd = x->object_fd = x->cfg_fd = x->cnt_fd = -1;
    err = query_interface(x, netdev, why);
    if (err == 0) {
        err = check_privileges(why);
    }
    if (err == 0) {
        err = take_claim(x, why);
    }
    if (err == 0) {
        err = clear_stale(x, why);
    }
    if (err == 0) {
        err = make_object_file(x, why);
    }
    if (err != 0) {
        close_fd(&x->object_fd);
        close_fd(&x->claim_fd);
    }
    return err;
}

int
pw_xdp_open_ctl(struct pw_xdp *x, bool allow_generic, struct pw_text *why)
{
    struct prog_maps m;
    uint32_t id = attached_prog(x, &x->generic);
    int cpus = libbpf_num_possible_cpus();
    int err = id == 0 || cpus <= 0 ? PW_ENOENT : read_prog(id, &m);

    if (err != 0) {
        pw_text_printf(why, "the steering program is not on %s: %s", x->dev.name, pw_err_text(err));
        return err;
    }
    if (!is_ours(&m)) {
        close_fd(&m.cfg_fd);
        close_fd(&m.cnt_fd);
        pw_text_printf(why, "port in use: %s took the XDP hook of %s meanwhile", m.info.name,
                       x->dev.name);
        return PW_EBUSY;
    }
    x->prog_id = id;
    x->cfg_fd = m.cfg_fd;
    x->cnt_fd = m.cnt_fd;
    x->cpus = (uint32_t)cpus;
    if (x->generic && !allow_generic) {
        pw_text_printf(why,
                       "driver %s of %s has no native XDP: use another interface, bind the device "
                       "to vfio-pci and give -nic.device",
                       x->dev.driver, x->dev.name);
        return PW_ENOTSUP;
    }
    return 0;
}

int
pw_xdp_explain_ctl(const struct pw_xdp *x, struct pw_text *why)
{
    bool generic;

    why->len = 0;
    if (attached_prog(x, &generic) != 0) {
        pw_text_printf(why,
                       "port in use: another program's AF_XDP socket has a queue of %s: stop that "
                       "program (`ss --xdp` may list it) or use another interface",
                       x->dev.name);
        return PW_EBUSY;
    }
    pw_text_printf(why,
                   "driver %s of %s refused the XDP program (see `dmesg`; often the MTU is too "
                   "large or queues are too few): bind the device to vfio-pci and give "
                   "-nic.device, or use another interface",
                   x->dev.driver, x->dev.name);
    return PW_ENOTSUP;
}

int
pw_xdp_steer_ctl(struct pw_xdp *x, const struct pw_steer_cfg *cfg)
{
    struct pw_steer_cfg off = {0};
    uint32_t zero = 0;

    if (x->cfg_fd < 0) {
        return PW_ENOENT;
    }
    return bpf_map_update_elem(x->cfg_fd, &zero, cfg != NULL ? cfg : &off, BPF_ANY) == 0 ? 0
                                                                                         : PW_EIO;
}

int
pw_xdp_counters_ctl(const struct pw_xdp *x, uint64_t out[PW_STEER_VERDICTS])
{
    uint64_t *per_cpu;
    int err = 0;

    memset(out, 0, sizeof(*out) * PW_STEER_VERDICTS);
    if (x->cnt_fd < 0) {
        return PW_ENOENT;
    }
    per_cpu = calloc(x->cpus, sizeof(*per_cpu));
    if (per_cpu == NULL) {
        return PW_ENOMEM;
    }
    for (uint32_t v = 0; v < PW_STEER_VERDICTS && err == 0; v++) {
        if (bpf_map_lookup_elem(x->cnt_fd, &v, per_cpu) != 0) {
            err = PW_EIO;
        }
        for (uint32_t c = 0; c < x->cpus; c++) {
            out[v] += per_cpu[c];
        }
    }
    free(per_cpu);
    return err;
}

void
pw_xdp_metrics_ctl(const struct pw_xdp_named *xdp, uint32_t n, struct pw_text *out)
{
    uint64_t frames[PW_STEER_VERDICTS];

    if (n > 0) {
        pw_text_str(out, "# TYPE pyrowire_nic_steered_frames_total counter\n");
    }
    for (uint32_t i = 0; i < n; i++) {
        if (pw_xdp_counters_ctl(xdp[i].xdp, frames) != 0) {
            continue;
        }
        for (uint32_t v = 0; v < PW_STEER_VERDICTS; v++) {
            pw_text_printf(out,
                           "pyrowire_nic_steered_frames_total{port=\"%s\",verdict=\"%s\"} %lu\n",
                           xdp[i].name, verdict_name[v], frames[v]);
        }
    }
}

void
pw_xdp_close_ctl(struct pw_xdp *x)
{
    struct prog_maps m;
    bool generic = false;
    uint32_t id = x->claim_fd >= 0 ? attached_prog(x, &generic) : 0;

    if (id != 0 && read_prog(id, &m) == 0) {
        if (is_ours(&m) && detach(x, generic) != 0) {
            pw_log(PW_LOG_ERROR, "pw.nic.xdp",
                   "msg=\"the steering program stays attached; it passes everything\" netdev=%s "
                   "errno=%d",
                   x->dev.name, errno);
        }
        close_fd(&m.cfg_fd);
        close_fd(&m.cnt_fd);
    }
    close_fd(&x->cfg_fd);
    close_fd(&x->cnt_fd);
    close_fd(&x->object_fd);
    close_fd(&x->claim_fd);
    x->prog_id = 0;
}
