#include "base/scratch.h"

#include <sys/mman.h>

enum { TRIM_BYTES = 512 << 10, PAGE_BYTES = 4096 };

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
pw_scratch_small_pages_ctl(struct pw_scratch *s, size_t from)
{
    if (from < s->cap) {
        (void)madvise(s->base + from, s->cap - from, MADV_NOHUGEPAGE); /* a hint, as the other */
    }
}

size_t
pw_scratch_trim(struct pw_scratch *s, size_t keep, size_t end)
{
    size_t from = end > keep + TRIM_BYTES ? end - TRIM_BYTES : keep;

    from &= ~((size_t)PAGE_BYTES - 1);
    from = from < keep ? pw_align_up(keep, PAGE_BYTES) : from;
    if (from >= end) {
        return keep;
    }
    (void)madvise(s->base + from, pw_align_up(end - from, PAGE_BYTES), MADV_DONTNEED);
    return from <= pw_align_up(keep, PAGE_BYTES) ? keep : from;
}
