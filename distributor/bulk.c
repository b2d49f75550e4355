#include "distributor/bulk.h"

#include "base/check.h"

#include <stdlib.h>
#include <sys/mman.h>

int
pw_bulk_init_ctl(struct pw_bulk *b, size_t bytes)
{
    uint32_t pages = (uint32_t)(bytes / PW_BULK_PAGE_BYTES);
    void *p;

    if (pages == 0 || bytes / PW_BULK_PAGE_BYTES >= PW_BULK_NONE) {
        return PW_EINVAL;
    }
    p = mmap(NULL, (size_t)pages * PW_BULK_PAGE_BYTES, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) {
        return PW_ENOMEM;
    }
    *b = (struct pw_bulk){.base = p, .pages = pages, .pages_low = pages / PW_BULK_LOW_SHARE};
    b->run = calloc(pages, sizeof(*b->run));
    if (b->run == NULL) {
        pw_bulk_fini_ctl(b);
        return PW_ENOMEM;
    }
    return 0;
}

void
pw_bulk_fini_ctl(struct pw_bulk *b)
{
    if (b->base != NULL) {
        munmap(b->base, (size_t)b->pages * PW_BULK_PAGE_BYTES);
    }
    free(b->run);
    *b = (struct pw_bulk){0};
}

/* Pages [page, page + n) are taken, or given back. */
static void
count(struct pw_bulk *b, uint32_t page, uint32_t n, bool used)
{
    uint32_t end = page + n < b->pages_low ? page + n : b->pages_low;
    uint32_t low = end > page ? end - page : 0;

    b->pages_used = used ? b->pages_used + n : b->pages_used - n;
    b->pages_low_used = used ? b->pages_low_used + low : b->pages_low_used - low;
    if (b->pages_used > b->pages_used_peak) {
        b->pages_used_peak = b->pages_used;
    }
}

/* First run of n free pages below `to`; PW_BULK_NONE when there is none. Goes from allocation to allocation,
 * each of which begins where the one before, or a run that is too short, ends. */
static uint32_t
find_run(const struct pw_bulk *b, uint32_t to, uint32_t n)
{
    uint32_t have = 0;

    for (uint32_t i = 0; i < to;) {
        if (b->run[i] != 0) {
            i += b->run[i];
            have = 0;
        } else if (++have == n) {
            return i + 1 - n;
        } else {
            i++;
        }
    }
    return PW_BULK_NONE;
}

static uint32_t
pages_of(size_t bytes)
{
    return bytes == 0 ? 1 : (uint32_t)((bytes + PW_BULK_PAGE_BYTES - 1) / PW_BULK_PAGE_BYTES);
}

/* Always from the start: memory that was just given back is still in the cache, the far end of
 * the pool is not (bench_distributor). */
static uint32_t
alloc_below(struct pw_bulk *b, uint32_t to, size_t bytes)
{
    uint32_t n, h;

    if (bytes > (size_t)to * PW_BULK_PAGE_BYTES) {
        return PW_BULK_NONE;
    }
    n = pages_of(bytes);
    h = find_run(b, to, n);
    if (h != PW_BULK_NONE) {
        count(b, h, n, true);
        b->run[h] = n;
    }
    return h;
}

uint32_t
pw_bulk_alloc(struct pw_bulk *b, size_t bytes)
{
    return alloc_below(b, b->pages, bytes);
}

uint32_t
pw_bulk_alloc_low(struct pw_bulk *b, size_t bytes)
{
    return alloc_below(b, b->pages_low, bytes);
}

void
pw_bulk_trim(struct pw_bulk *b, uint32_t handle, size_t bytes)
{
    uint32_t n = pages_of(bytes);

    PW_INVARIANT(handle < b->pages && n <= b->run[handle]);
    count(b, handle + n, b->run[handle] - n, false);
    b->run[handle] = n;
}

void
pw_bulk_free(struct pw_bulk *b, uint32_t handle)
{
    PW_INVARIANT(handle < b->pages && b->run[handle] != 0);
    count(b, handle, b->run[handle], false);
    b->run[handle] = 0;
}
