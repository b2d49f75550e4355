#include "base/scratch.h"

#include <sys/mman.h>

enum { TRIM_BYTES = 2 << 20 }; /* a huge page, and in one go */

int
pw_scratch_init_ctl(struct pw_scratch *s, size_t cap)
{
    void *p =
        mmap(NULL, cap, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (p == MAP_FAILED) {
        return -errno;
    }
    /* A hint only: without transparent huge pages it works the same, with more TLB misses. */
    (void)madvise(p, cap, MADV_HUGEPAGE);
    *s = (struct pw_scratch){.base = (uint8_t *)p, .cap = cap};
    return 0;
}

void
pw_scratch_fini_ctl(struct pw_scratch *s)
{
    if (s->base != NULL) {
        munmap(s->base, s->cap);
    }
    *s = (struct pw_scratch){0};
}

void
pw_scratch_trim(struct pw_scratch *s, size_t keep)
{
    uintptr_t base = (uintptr_t)s->base;
    size_t end = s->peak;

    for (size_t at = pw_align_up(base + keep, TRIM_BYTES) - base; at < end; at += TRIM_BYTES) {
        (void)madvise(s->base + at, TRIM_BYTES < s->cap - at ? TRIM_BYTES : s->cap - at,
                      MADV_DONTNEED);
        pw_fiber_pause(s->fiber);
    }
    s->peak = s->used;
}
