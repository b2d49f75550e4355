#include "nic-config/plan.h"

#include <dirent.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

/* Of three polling CPUs two receive: unpacking and walking a profile costs about twice what
 * interning it does (architecture.md 3, "What a push may cost"). */
static uint32_t
worker_share(uint32_t polling)
{
    return (polling * 2 + 2) / 3;
}

static uint32_t
min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static uint32_t
max_u32(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

/* How many CPUs each role gets to itself. Zero for ingesters means they share the workers'. */
struct split {
    uint32_t worker_cpus;
    uint32_t ingester_cpus;
};

static struct split
split_cpus(const struct pw_plan_input *in, uint32_t polling)
{
    struct split s = {0};
    uint32_t rest;

    if (in->nic_queues == 0) {
        s.ingester_cpus = min_u32(polling, in->ingesters_wanted == 0 ? 1 : in->ingesters_wanted);
        return s;
    }
    s.worker_cpus = in->workers_wanted;
    if (s.worker_cpus == 0) {
        s.worker_cpus = min_u32(in->nic_queues, polling == 1 ? 1 : worker_share(polling));
        s.worker_cpus = min_u32(s.worker_cpus, PW_WORKERS_MAX - 1);
        /* Somebody has to take the profiles in. */
        if (polling > 1 && s.worker_cpus == polling) {
            s.worker_cpus--;
        }
    }
    s.worker_cpus = min_u32(s.worker_cpus, polling);
    rest = polling - s.worker_cpus;
    s.ingester_cpus =
        min_u32(rest, in->ingesters_wanted != 0 ? in->ingesters_wanted : (s.worker_cpus + 1) / 2);
    return s;
}

/* CPUs of the NIC's node first, otherwise as they came: a worker across the socket pays for every
 * descriptor it reads. */
static void
order_cpus(const struct pw_plan_input *in, uint32_t skip, struct pw_plan *out, uint32_t *unused,
           uint32_t *unused_count)
{
    uint32_t want = out->lcores, n = 0;

    *unused_count = 0;
    for (uint32_t pass = 0; pass < 2; pass++) {
        for (uint32_t i = skip; i < in->cpu_count; i++) {
            bool near = in->nic_node == PW_PLAN_NODE_ANY || in->cpus[i].node == in->nic_node;

            if (near != (pass == 0)) {
                continue;
            }
            if (n < want) {
                out->lcore[n++] = in->cpus[i];
            } else {
                unused[(*unused_count)++] = i;
            }
        }
    }
}

static int
check_input(const struct pw_plan_input *in)
{
    if (in->cpu_count == 0) {
        return PW_EINVAL;
    }
    if (in->cpu_count > PW_PLAN_CPUS_MAX || in->ingesters_wanted > PW_INGESTERS_MAX ||
        in->workers_wanted > PW_WORKERS_MAX - 1 || in->workers_wanted > in->nic_queues) {
        return PW_ERANGE;
    }
    return 0;
}

int
pw_plan_make(const struct pw_plan_input *in, struct pw_plan *out)
{
    uint32_t unused[PW_PLAN_CPUS_MAX], unused_count;
    uint32_t skip = in->cpu_count > 1 ? 1 : 0; /* the control thread has the first for itself */
    uint32_t polling = in->cpu_count - skip;
    int err = check_input(in);

    if (err != 0) {
        return err;
    }
    struct split s = split_cpus(in, polling);

    if (in->workers_wanted > s.worker_cpus) {
        return PW_ERANGE; /* two I/O workers on one CPU would only wait for each other */
    }
    memset(out, 0, sizeof(*out));
    out->main = in->cpus[0];
    out->lcores = s.worker_cpus + s.ingester_cpus;
    order_cpus(in, skip, out, unused, &unused_count);

    out->workers = s.worker_cpus;
    for (uint32_t i = 0; i < out->workers; i++) {
        out->worker_lcore[i] = (uint8_t)(i + 1);
    }
    /* Ingesters beyond their CPUs double up; without CPUs of their own they join the workers. */
    uint32_t first = s.ingester_cpus == 0 ? 0 : s.worker_cpus;
    uint32_t span = s.ingester_cpus == 0 ? s.worker_cpus : s.ingester_cpus;

    out->ingesters = in->ingesters_wanted != 0 ? in->ingesters_wanted : span;
    out->ingesters = min_u32(max_u32(out->ingesters, 1), PW_INGESTERS_MAX);
    for (uint32_t i = 0; i < out->ingesters; i++) {
        out->ingester_lcore[i] = (uint8_t)(first + i % span + 1);
    }
    out->background[out->background_count++] = out->main.cpu;
    for (uint32_t i = 0; i < unused_count; i++) {
        out->background[out->background_count++] = in->cpus[unused[i]].cpu;
    }
    return 0;
}

int
pw_plan_lcores_text(const struct pw_plan *plan, char *buf, size_t cap)
{
    int n = snprintf(buf, cap, "0@%u", plan->main.cpu);
    size_t len = (size_t)n;

    for (uint32_t i = 0; i < plan->lcores && len < cap; i++) {
        n = snprintf(buf + len, cap - len, ",%u@%u", i + 1, plan->lcore[i].cpu);
        len += (size_t)n;
    }
    return len < cap ? 0 : PW_ENOSPC;
}

/* /sys names the node of a CPU by a directory entry "node<N>". */
static uint16_t
node_of_cpu(unsigned cpu)
{
    char path[64];
    uint16_t node = 0;
    struct dirent *e;
    DIR *d;

    snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%u", cpu);
    d = opendir(path);
    if (d == NULL) {
        return 0;
    }
    while ((e = readdir(d)) != NULL) {
        unsigned n;

        if (sscanf(e->d_name, "node%u", &n) == 1) {
            node = (uint16_t)n;
            break;
        }
    }
    closedir(d);
    return node;
}

uint32_t
pw_plan_cpus_ctl(struct pw_plan_cpu *cpus, uint32_t cap)
{
    cpu_set_t set;
    uint32_t n = 0;

    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof(set), &set) != 0) {
        return 0;
    }
    for (unsigned c = 0; c < CPU_SETSIZE && n < cap; c++) {
        if (CPU_ISSET(c, &set)) {
            cpus[n++] = (struct pw_plan_cpu){.cpu = (uint16_t)c, .node = node_of_cpu(c)};
        }
    }
    return n;
}

static void
background_set(const struct pw_plan *plan, cpu_set_t *set)
{
    CPU_ZERO(set);
    for (uint32_t i = 0; i < plan->background_count; i++) {
        CPU_SET(plan->background[i], set);
    }
}

int
pw_plan_background_ctl(const struct pw_plan *plan)
{
    cpu_set_t set;

    background_set(plan, &set);
    return sched_setaffinity(0, sizeof(set), &set) == 0 ? 0 : -errno;
}

int
pw_plan_everywhere_ctl(const struct pw_plan *plan)
{
    cpu_set_t set;

    background_set(plan, &set);
    for (uint32_t i = 0; i < plan->lcores; i++) {
        CPU_SET(plan->lcore[i].cpu, &set);
    }
    return sched_setaffinity(0, sizeof(set), &set) == 0 ? 0 : -errno;
}
