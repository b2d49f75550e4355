/* nic-config/plan.h - which CPU polls what.
 *
 * Purpose  one pure function from CPUs, NUMA nodes and queues to EAL lcores and their roles.
 * Owner    the caller; the result holds no pointers.
 * Context  control thread, before EAL starts. Pure: pw_plan_cpus_ctl alone reads the system.
 * Units    cpu and node are the kernel's numbers; lcore is EAL's id. EAL lcore 0 is the control
 *          thread, 1 .. lcores poll.
 * Errors   PW_EINVAL: no CPU at all. PW_ERANGE: more asked for than the machine or a limit allows.
 * Limits   PW_WORKERS_MAX, PW_INGESTERS_MAX (base/limits.h), PW_PLAN_CPUS_MAX.
 */
#ifndef PW_NIC_CONFIG_PLAN_H
#define PW_NIC_CONFIG_PLAN_H

#include "base/err.h"
#include "base/limits.h"
#include "base/types.h"

enum {
    PW_PLAN_CPUS_MAX = 512,
    PW_PLAN_LCORES_MAX = PW_WORKERS_MAX + PW_INGESTERS_MAX,
    PW_PLAN_NODE_ANY = 0xffff, /* the NIC has no node, or there is no NIC */
};

struct pw_plan_cpu {
    uint16_t cpu;
    uint16_t node;
};

struct pw_plan_input {
    const struct pw_plan_cpu *cpus; /* borrowed; in the order of preference */
    uint32_t cpu_count;
    uint16_t nic_node;
    uint32_t nic_queues;       /* queues the NIC can have; 0: no NIC, so no I/O worker lcore */
    uint32_t workers_wanted;   /* 0: choose */
    uint32_t ingesters_wanted; /* 0: choose */
};

/* With one CPU the polling lcore shares it with the control thread; with two it has the second for
 * itself and runs both roles; from three on I/O workers and ingesters are apart. */
struct pw_plan {
    struct pw_plan_cpu main;                      /* the control thread, EAL lcore 0 */
    uint32_t lcores;                              /* polling lcores: EAL ids 1 .. lcores */
    struct pw_plan_cpu lcore[PW_PLAN_LCORES_MAX]; /* of EAL id i + 1 */
    uint32_t workers;
    uint8_t worker_lcore[PW_WORKERS_MAX]; /* EAL id; worker i owns queue i */
    uint32_t ingesters;
    uint8_t ingester_lcore[PW_INGESTERS_MAX]; /* EAL id */
    uint32_t background_count;                /* CPUs nobody polls on: query and storage threads */
    uint16_t background[PW_PLAN_CPUS_MAX];
};

PW_MUST_USE int pw_plan_make(const struct pw_plan_input *in, struct pw_plan *out);

/* EAL's --lcores value, such as "0@0,1@1". PW_ENOSPC when cap is too small. */
PW_MUST_USE int pw_plan_lcores_text(const struct pw_plan *plan, char *buf, size_t cap);

/* Fills cpus with those this process may run on and their nodes; returns how many. */
uint32_t pw_plan_cpus_ctl(struct pw_plan_cpu *cpus, uint32_t cap);

/* Lets the calling thread run on the background CPUs instead of where EAL pinned its parent. Every
 * query and storage thread calls it first. */
PW_MUST_USE int pw_plan_background_ctl(const struct pw_plan *plan);
/* Lets it run on all CPUs of the plan, those that are polled on too: before polling starts. */
PW_MUST_USE int pw_plan_everywhere_ctl(const struct pw_plan *plan);

#endif
