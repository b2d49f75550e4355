#include "nic-config/eal.h"

#include "base/log.h"

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>

#include <bpf/libbpf.h>
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>
#include <xdp/libxdp.h>

static void arg_add(struct pw_eal_args *a, const char *fmt, ...) PW_PRINTF(2, 3);

/* An argument that does not fit leaves used above its limit; the builder checks that once. */
static void
arg_add(struct pw_eal_args *a, const char *fmt, ...)
{
    va_list ap;
    int n;

    if (a->argc >= PW_EAL_ARGS_MAX || a->used >= sizeof(a->text)) {
        a->used = sizeof(a->text) + 1;
        return;
    }
    va_start(ap, fmt);
    n = vsnprintf(a->text + a->used, sizeof(a->text) - a->used, fmt, ap);
    va_end(ap);
    a->argv[a->argc++] = a->text + a->used;
    a->used += (size_t)n + 1;
}

static int
check_port(const struct pw_eal_port *p, uint32_t queues)
{
    int devices = (p->netdev != NULL) + (p->device != NULL) + (p->vdev != NULL);

    if (devices > 1 || (p->netdev != NULL && (p->xdp_prog == NULL || queues == 0))) {
        return PW_EINVAL;
    }
    /* A comma would start another argument of the driver. */
    if ((p->netdev != NULL && strpbrk(p->netdev, ",= ") != NULL) ||
        (p->xdp_prog != NULL && strpbrk(p->xdp_prog, ",= ") != NULL) ||
        (p->device != NULL && strpbrk(p->device, ", ") != NULL)) {
        return PW_EINVAL;
    }
    return 0;
}

static int
check_cfg(const struct pw_eal_cfg *cfg)
{
    int rc = cfg->memory_mb == 0 ? PW_EINVAL : 0;

    for (uint32_t i = 0; i < PW_EAL_PORTS_MAX && rc == 0; i++) {
        rc = check_port(&cfg->port[i], cfg->queues);
    }
    return rc;
}

/* EAL allows --in-memory with hugepages only: without them it runs in its legacy memory mode. Both
 * leave no file behind and need no hugetlbfs mount. */
static void
add_memory(const struct pw_eal_cfg *cfg, bool huge, struct pw_eal_args *out)
{
    arg_add(out, "-m");
    arg_add(out, "%u", cfg->memory_mb);
    if (huge) {
        arg_add(out, "--in-memory");
        arg_add(out, "--single-file-segments"); /* one descriptor a list, not one a page */
    } else {
        arg_add(out, "--no-huge");
        arg_add(out, "--no-shconf");
    }
}

static void
add_ports(const struct pw_eal_cfg *cfg, struct pw_eal_args *out)
{
    bool pci = false;

    for (uint32_t i = 0; i < PW_EAL_PORTS_MAX; i++) {
        const struct pw_eal_port *p = &cfg->port[i];

        pci |= p->device != NULL;
        if (p->device != NULL) {
            arg_add(out, "-a");
            arg_add(out, "%s", p->device);
        } else if (p->netdev != NULL) {
            arg_add(out,
                    "--vdev=net_af_xdp%u,iface=%s,start_queue=0,queue_count=%u,busy_budget=%u,"
                    "xdp_prog=%s",
                    i, p->netdev, cfg->queues, p->busy_budget, p->xdp_prog);
        } else if (p->vdev != NULL) {
            arg_add(out, "--vdev=%s", p->vdev);
        }
    }
    if (!pci) {
        arg_add(out, "--no-pci");
        arg_add(out, "--iova-mode=va"); /* no device of ours reads physical addresses */
    }
}

int
pw_eal_args_build(const struct pw_eal_cfg *cfg, bool huge, struct pw_eal_args *out)
{
    char lcores[1024];
    int err = check_cfg(cfg);

    if (err != 0) {
        return err;
    }
    memset(out, 0, sizeof(*out));
    arg_add(out, "pyrowire");
    if (cfg->plan != NULL) {
        err = pw_plan_lcores_text(cfg->plan, lcores, sizeof(lcores));
        if (err != 0) {
            return err;
        }
        arg_add(out, "--lcores=%s", lcores);
        arg_add(out, "--main-lcore=0");
    } else {
        arg_add(out, "--lcores=0@%d", sched_getcpu());
    }
    arg_add(out, "--no-telemetry");
    /* Neither --in-memory nor --no-shconf shares files, so one name serves every process and a
     * killed one leaves at most this empty directory. */
    arg_add(out, "--file-prefix=pyrowire");
    arg_add(out, "--log-level=*:%s", pw_log_on(PW_LOG_DEBUG) ? "info" : "warning");
    if (!pw_log_on(PW_LOG_DEBUG)) {
        arg_add(out, "--log-level=lib.eal:error"); /* it warns of every page size not reserved */
    }
    add_memory(cfg, huge, out);
    add_ports(cfg, out);
    return out->used <= sizeof(out->text) ? 0 : PW_ENOSPC;
}

static uint32_t
hugepages_free_mb(void)
{
    DIR *d = opendir("/sys/kernel/mm/hugepages");
    struct dirent *e;
    uint64_t free_kb = 0;

    if (d == NULL) {
        return 0;
    }
    while ((e = readdir(d)) != NULL) {
        char path[320];
        unsigned long size_kb, pages;
        FILE *f;

        if (sscanf(e->d_name, "hugepages-%lukB", &size_kb) != 1) {
            continue;
        }
        snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/%s/free_hugepages", e->d_name);
        f = fopen(path, "re");
        if (f != NULL && fscanf(f, "%lu", &pages) == 1) {
            free_kb += (uint64_t)size_kb * pages;
        }
        if (f != NULL) {
            fclose(f);
        }
    }
    closedir(d);
    return (uint32_t)(free_kb >> 10);
}

/* Libraries log "EAL: text\n"; we want one logfmt line. */
static void
log_text(enum pw_log_level level, const char *module, const char *text, size_t len)
{
    char quoted[PW_LOG_LINE_MAX / 2];

    while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == ' ')) {
        len--;
    }
    if (len > 0) {
        pw_log(level, module, "msg=%s", pw_log_quote(quoted, sizeof(quoted), pw_slice(text, len)));
    }
}

static ssize_t
dpdk_log_write(void *cookie, const char *buf, size_t size)
{
    int level = rte_log_cur_msg_loglevel();

    log_text(level > 0 && level <= (int)RTE_LOG_ERR       ? PW_LOG_ERROR
             : level > 0 && level <= (int)RTE_LOG_WARNING ? PW_LOG_WARN
                                                          : PW_LOG_INFO,
             "pw.dpdk", buf, size);
    return (ssize_t)size;
}

static int
bpf_log(enum libbpf_print_level level, const char *fmt, va_list ap)
{
    char line[PW_LOG_LINE_MAX / 2];
    int n = 0;

    if (level == LIBBPF_WARN || pw_log_on(PW_LOG_DEBUG)) {
        n = vsnprintf(line, sizeof(line), fmt, ap);
        log_text(level == LIBBPF_WARN ? PW_LOG_WARN : PW_LOG_DEBUG, "pw.libbpf", line,
                 strnlen(line, sizeof(line)));
    }
    return n;
}

static int
xdp_log(enum libxdp_print_level level, const char *fmt, va_list ap)
{
    return bpf_log(level == LIBXDP_WARN ? LIBBPF_WARN : LIBBPF_DEBUG, fmt, ap);
}

static int
redirect_logs(void)
{
    cookie_io_functions_t io = {.write = dpdk_log_write};
    FILE *stream = fopencookie(NULL, "w", io);

    if (stream == NULL) {
        return PW_ENOMEM;
    }
    setvbuf(stream, NULL, _IOLBF, 0);
    (void)rte_openlog_stream(stream); /* always 0; the stream lives as long as the process */
    libbpf_set_print(bpf_log);
    libxdp_set_print(xdp_log);
    return 0;
}

/* Processes of this program that start at once would count the same free pages and all take them: each counts what those before
 * it left, and has its own when the next one counts. Locked is the program's file, which leaves nothing behind; namespaces of
 * the network do not part it. -1: none, which is no reason not to start. */
static int
memory_lock(void)
{
    enum { STEP_US = 10000, TRIES = 1000 };
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

    for (uint32_t i = 0; fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0; i++) {
        if (i == TRIES) {
            close(fd);
            return -1;
        }
        usleep(STEP_US);
    }
    return fd;
}

static void
memory_unlock(int fd)
{
    if (fd >= 0) {
        close(fd);
    }
}

/* Decides between hugepages and ordinary pages; *huge is valid on 0. */
static int
choose_memory(const struct pw_eal_cfg *cfg, bool *huge, struct pw_text *why)
{
    uint32_t free_mb = hugepages_free_mb();

    *huge = cfg->huge != PW_EAL_HUGE_OFF && free_mb >= cfg->memory_mb;
    /* Only root may map hugepages through memfd without a limit; others run without, and nothing is wrong. */
    if (*huge && geteuid() != 0 && cfg->huge == PW_EAL_HUGE_AUTO) {
        *huge = false;
        return 0;
    }
    if (!*huge && cfg->huge == PW_EAL_HUGE_AUTO && free_mb > 0) {
        pw_log(
            PW_LOG_WARN, "pw.nic.eal",
            "msg=\"too few hugepages are free, ordinary pages are taken\" needed_mb=%u free_mb=%u",
            cfg->memory_mb, free_mb);
    }
    if (*huge || cfg->huge != PW_EAL_HUGE_REQUIRED) {
        return 0;
    }
    pw_text_printf(why,
                   "no hugepages: %u MiB are needed and %u MiB are free; reserve them with "
                   "`nic-config/host-prepare.sh hugepages %u` as root",
                   cfg->memory_mb, free_mb, cfg->memory_mb);
    return PW_ENOMEM;
}

static int
start(const struct pw_eal_cfg *cfg, struct pw_text *why)
{
    struct pw_eal_args args;
    bool huge;
    int err = choose_memory(cfg, &huge, why);

    if (err != 0) {
        return err;
    }
    err = pw_eal_args_build(cfg, huge, &args);
    if (err != 0) {
        pw_text_printf(why, "bad device arguments: %s", pw_err_text(err));
        return err;
    }
    err = redirect_logs();
    if (err != 0) {
        return err;
    }
    /* EAL shuffles and keeps argv; the text behind it is only read during the call. */
    if (rte_eal_init(args.argc, args.argv) < 0) {
        int e = rte_errno;

        if (huge && e == ENOMEM && cfg->huge == PW_EAL_HUGE_AUTO) {
            pw_log(PW_LOG_WARN, "pw.nic.eal",
                   "msg=\"another program took the hugepages that were free a moment ago, ordinary "
                   "pages are taken\" "
                   "needed_mb=%u",
                   cfg->memory_mb);
            return PW_EAGAIN;
        }
        pw_text_printf(why, "DPDK's environment did not start: %s (its own lines are above)",
                       rte_strerror(e));
        if (huge && e == ENOMEM) {
            pw_text_str(why, "; another program took the hugepages that were free a moment ago: "
                             "start again, or with -nic.hugepages=off");
        }
        return e == EACCES || e == EPERM ? PW_EPERM : e == ENOMEM ? PW_ENOMEM : PW_EIO;
    }
    pw_log(PW_LOG_INFO, "pw.nic.eal", "msg=\"EAL started\" hugepages=%s memory_mb=%u lcores=%u",
           huge ? "yes" : "no", cfg->memory_mb, cfg->plan != NULL ? cfg->plan->lcores + 1 : 1);
    return 0;
}

int
pw_eal_start_ctl(const struct pw_eal_cfg *cfg, struct pw_text *why)
{
    int lock = cfg->huge == PW_EAL_HUGE_OFF ? -1 : memory_lock();
    int err = start(cfg, why);

    memory_unlock(lock);
    return err;
}

void
pw_eal_stop_ctl(void)
{
    char dir[256];

    snprintf(dir, sizeof(dir), "%s", rte_eal_get_runtime_dir());
    (void)rte_eal_cleanup();
    /* EAL makes this directory even where it puts nothing into it. */
    (void)rmdir(dir);
}
