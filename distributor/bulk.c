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
    *b = (struct pw_bulk){.base = p, .pages = pages};
    b->used = calloc((pages + 63) / 64, sizeof(*b->used));
    b->run = calloc(pages, sizeof(*b->run));
    if (b->used == NULL || b->run == NULL) {
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
    free(b->used);
    free(b->run);
    *b = (struct pw_bulk){0};
}

static bool
is_used(const struct pw_bulk *b, uint32_t page)
{
    return (b->used[page / 64] >> (page % 64)) & 1;
}

static void
mark(struct pw_bulk *b, uint32_t page, uint32_t n, bool used)
{
    for (uint32_t i = page; i < page + n; i++) {
        uint64_t bit = 1ULL << (i % 64);

        b->used[i / 64] = used ? b->used[i / 64] | bit : b->used[i / 64] & ~bit;
    }
    b->pages_used = used ? b->pages_used + n : b->pages_used - n;
    if (b->pages_used > b->pages_used_peak) {
        b->pages_used_peak = b->pages_used;
    }
}

/* First run of n free pages within [from, to); PW_BULK_NONE when there is none. */
static uint32_t
find_run(const struct pw_bulk *b, uint32_t from, uint32_t to, uint32_t n)
{
    uint32_t have = 0;

    for (uint32_t i = from; i < to; i++) {
        if (have == 0 && i % 64 == 0 && b->used[i / 64] == UINT64_MAX) {
            i += 63; /* a full word: on to the next */
            continue;
        }
        have = is_used(b, i) ? 0 : have + 1;
        if (have == n) {
            return i + 1 - n;
        }
    }
    return PW_BULK_NONE;
}

static uint32_t
pages_of(size_t bytes)
{
    return bytes == 0 ? 1 : (uint32_t)((bytes + PW_BULK_PAGE_BYTES - 1) / PW_BULK_PAGE_BYTES);
}

uint32_t
pw_bulk_alloc(struct pw_bulk *b, size_t bytes)
{
    uint32_t n;
    uint32_t h;

    if (bytes > (size_t)b->pages * PW_BULK_PAGE_BYTES) {
        return PW_BULK_NONE;
    }
    n = pages_of(bytes);
    /* Always from the start: memory that was just given back is still in the cache, the far end of
     * the pool is not (bench_distributor). */
    h = find_run(b, 0, b->pages, n);
    if (h != PW_BULK_NONE) {
        mark(b, h, n, true);
        b->run[h] = n;
    }
    return h;
}

void
pw_bulk_trim(struct pw_bulk *b, uint32_t handle, size_t bytes)
{
    uint32_t n = pages_of(bytes);

    PW_INVARIANT(handle < b->pages && n <= b->run[handle]);
    mark(b, handle + n, b->run[handle] - n, false);
    b->run[handle] = n;
}

void
pw_bulk_free(struct pw_bulk *b, uint32_t handle)
{
    PW_INVARIANT(handle < b->pages && b->run[handle] != 0 && is_used(b, handle));
    mark(b, handle, b->run[handle], false);
    b->run[handle] = 0;
}
