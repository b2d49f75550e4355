#include "ingester/region.h"

#include "ingester/head.h"

#include <sys/mman.h>

enum { FIRST_BYTES = 64 }; /* so that no reference is 0 */

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
    *r = (struct pw_region){.base = p, .cap = cap, .used = FIRST_BYTES};
    return 0;
}

void
pw_region_fini_ctl(struct pw_region *r)
{
    if (r->base != NULL) {
        munmap(r->base, r->cap);
    }
    *r = (struct pw_region){0};
}
