#include "ingester/region.h"

#include "ingester/head.h"

#include <sys/mman.h>

enum {
    FIRST_BYTES = 64, /* so that no reference is 0 */
    HUGE_PAGE_BYTES = 2 << 20,
    SMALL_PAGE_BYTES = 4096,
};

int
pw_region_init_ctl(struct pw_region *r, size_t cap)
{
    if (cap < PW_HEAD_BYTES_MIN || cap > PW_HEAD_BYTES_MAX) {
        return PW_EINVAL;
    }
    /* Address space only: pages come when the writer first touches them, on its own NUMA node. */
    void *p =
        mmap(NULL, cap, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (p == MAP_FAILED) {
        return PW_ENOMEM;
    }
    /* Without huge pages this only costs TLB misses: the answer is not needed. */
    (void)madvise(p, cap, MADV_HUGEPAGE);
    *r = (struct pw_region){.base = p, .cap = cap, .limit = cap, .used = FIRST_BYTES};
    return 0;
}

void
pw_region_touch_ctl(struct pw_region *r, size_t n)
{
    n = n < r->cap ? n : r->cap;
    for (size_t at = r->touched; at < n; at += SMALL_PAGE_BYTES) {
        *(volatile uint8_t *)(r->base + at) = 0;
    }
    r->touched = n > r->touched ? n : r->touched;
}

void
pw_region_prefault(struct pw_region *r)
{
    size_t page = (size_t)HUGE_PAGE_BYTES;

    if (r->touched < r->used) { /* the page used ends in was touched by whoever wrote there */
        r->touched = pw_align_up((uintptr_t)r->base + r->used, page) - (uintptr_t)r->base;
    }
    if (r->touched >= r->limit || r->touched - r->used >= 2 * page) {
        return;
    }
    *(volatile uint8_t *)(r->base + r->touched) = 0; /* beyond used: is zero already */
    r->touched += page;
}

void
pw_region_fini_ctl(struct pw_region *r)
{
    if (r->base != NULL) {
        munmap(r->base, r->cap);
    }
    *r = (struct pw_region){0};
}
