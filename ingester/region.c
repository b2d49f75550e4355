#include "ingester/region.h"

#include "ingester/head.h"

#include <sys/mman.h>

enum {
    FIRST_BYTES = 64, /* so that no reference is 0 */
    PAGE_BYTES = 4096,
};

int
pw_region_init_ctl(struct pw_region *r, size_t cap)
{
    if (cap < PW_HEAD_BYTES_MIN || cap > PW_HEAD_BYTES_MAX) {
        return PW_EINVAL;
    }
    /* Address space only: pages come with pw_region_prefault, or when the writer first touches them. */
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

size_t
pw_region_prefault(struct pw_region *r, size_t ahead)
{
    size_t used = __atomic_load_n(&r->used, __ATOMIC_RELAXED);
    size_t limit = __atomic_load_n(&r->limit, __ATOMIC_RELAXED);
    size_t from = r->touched > used ? r->touched : used;
    size_t end = limit > used && limit - used < ahead ? limit : used + ahead;

    end = end < r->cap ? end : r->cap;
    if (limit <= used || from >= end) {
        return 0;
    }
    for (size_t at = from; at < end; at += PAGE_BYTES) {
        /* Adds nothing, atomically: the writer may have come so far by now. */
        __atomic_fetch_or(r->base + at, 0, __ATOMIC_RELAXED);
    }
    __atomic_store_n(&r->touched, end, __ATOMIC_RELAXED);
    return end - from;
}

void
pw_region_fini_ctl(struct pw_region *r)
{
    if (r->base != NULL) {
        munmap(r->base, r->cap);
    }
    *r = (struct pw_region){0};
}
