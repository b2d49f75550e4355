/* What the machine itself takes, so that a run's latencies can be read: the same minute, nothing of ours in it.
 *
 * usage: machine CPU CPU [milliseconds of rest] [times]
 * prints machine_wake_us (an eventfd's way to a thread that sleeps on the second CPU and back, after so much rest),
 * machine_wake_p99_us, and machine_page_us (the first touch of a small page that was there all along, after so much
 * rest: nothing on bare metal, 5 to 100 us where a hypervisor lost track of it). */
#include "base/types.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { PAGES = 128, PAGE_BYTES = 4096, TIMES_MAX = 1000 };

struct peer {
    size_t cpu;
    int there, back;
};

static uint64_t
now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
}

static void
pin(size_t cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    (void)sched_setaffinity(0, sizeof(set), &set);
}

static void *
answer(void *arg)
{
    const struct peer *p = arg;
    uint64_t n;

    pin(p->cpu);
    while (read(p->there, &n, sizeof(n)) == sizeof(n) &&
           write(p->back, &n, sizeof(n)) == sizeof(n)) {
    }
    return NULL;
}

static int
compare(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

static double
us(uint64_t *v, int n, int percent)
{
    qsort(v, (size_t)n, sizeof(v[0]), compare);
    return (double)v[(n - 1) * percent / 100] / 1e3;
}

int
main(int argc, char **argv)
{
    struct peer p = {.cpu = argc > 2 ? strtoul(argv[2], NULL, 10) : 1,
                     .there = eventfd(0, 0),
                     .back = eventfd(0, 0)};
    long rest_ms = argc > 3 ? atol(argv[3]) : 100;
    int times = argc > 4 ? atoi(argv[4]) : 15;
    static uint64_t wake[TIMES_MAX], page[TIMES_MAX];
    pthread_t thread;
    volatile uint8_t *mem = mmap(NULL, PAGES * PAGE_BYTES, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

    pin(argc > 1 ? strtoul(argv[1], NULL, 10) : 0);
    if (times < 1 || times > TIMES_MAX || mem == MAP_FAILED ||
        madvise((void *)(uintptr_t)mem, PAGES * PAGE_BYTES, MADV_NOHUGEPAGE) != 0 ||
        pthread_create(&thread, NULL, answer, &p) != 0) {
        fprintf(stderr, "machine: cannot measure\n");
        return 2;
    }
    for (int i = 0; i < times; i++) {
        const struct timespec rest = {.tv_sec = rest_ms / 1000,
                                      .tv_nsec = rest_ms % 1000 * 1000000};
        uint64_t one = 1, t0, t1;

        nanosleep(&rest, NULL);
        t0 = now_ns();
        if (write(p.there, &one, sizeof(one)) != sizeof(one) ||
            read(p.back, &one, sizeof(one)) != sizeof(one)) {
            return 2;
        }
        t1 = now_ns();
        wake[i] = t1 - t0;
        for (int k = 0; k < PAGES; k++) {
            (void)mem[k * PAGE_BYTES];
        }
        page[i] = (now_ns() - t1) / PAGES;
    }
    printf("machine_wake_us=%.1f\n", us(wake, times, 50));
    printf("machine_wake_p99_us=%.1f\n", us(wake, times, 99));
    printf("machine_page_us=%.2f\n", us(page, times, 50));
    return 0;
}
