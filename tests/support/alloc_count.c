/* tests/support/alloc_count.c - a library to preload: counts every thread's calls that allocate or free.
 *
 * Purpose  proof that a polling core does neither after start-up (tests/e2e/allocations.py).
 * Owner    each thread writes its own row of a shared file, whose path is in PW_ALLOC_COUNT_FILE;
 *          another process reads it.
 * Context  any.
 * Units    struct row: 64 bytes; the reader knows the layout.
 * Errors   without the file nothing is counted.
 * Limits   ROWS_MAX threads; later ones are not counted, which the reader can see (tid of the last row).
 */
#define _GNU_SOURCE 1

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { ROWS_MAX = 512 };

struct row {
    uint64_t tid;
    uint64_t allocs;      /* malloc, calloc, realloc and the aligned ones */
    uint64_t frees;       /* of anything but NULL */
    uint64_t maps;        /* mmap, munmap, madvise */
    uint64_t last_caller; /* return address of the last of them */
    uint64_t reserved[3];
};

static struct row *rows;
static atomic_uint rows_used;
static __thread struct row *mine __attribute__((tls_model("initial-exec")));
static __thread int tried __attribute__((tls_model("initial-exec")));

/* glibc's own, which a preloaded library may call. */
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t align, size_t n);
void __libc_free(void *p);

__attribute__((constructor)) static void
map_rows(void)
{
    const char *path = getenv("PW_ALLOC_COUNT_FILE");
    int fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);

    if (fd < 0) {
        return;
    }
    if (ftruncate(fd, ROWS_MAX * sizeof(struct row)) == 0) {
        long at = syscall(SYS_mmap, NULL, ROWS_MAX * sizeof(struct row), PROT_READ | PROT_WRITE,
                          MAP_SHARED, fd, 0);

        rows = at > 0 ? (struct row *)at : NULL;
    }
    close(fd);
}

static struct row *
row(const void *caller)
{
    if (mine == NULL && rows != NULL && !tried) {
        unsigned i = atomic_fetch_add(&rows_used, 1);

        tried = 1;
        if (i < ROWS_MAX) {
            mine = &rows[i];
            mine->tid = (uint64_t)syscall(SYS_gettid);
        }
    }
    if (mine != NULL) {
        mine->last_caller = (uint64_t)(uintptr_t)caller;
    }
    return mine;
}

#define COUNT(field)                                                                               \
    do {                                                                                           \
        struct row *r = row(__builtin_return_address(0));                                          \
        if (r != NULL) {                                                                           \
            r->field++;                                                                            \
        }                                                                                          \
    } while (0)

void *
malloc(size_t n)
{
    COUNT(allocs);
    return __libc_malloc(n);
}

void *
calloc(size_t n, size_t size)
{
    COUNT(allocs);
    return __libc_calloc(n, size);
}

void *
realloc(void *p, size_t n)
{
    COUNT(allocs);
    return __libc_realloc(p, n);
}

void *
memalign(size_t align, size_t n)
{
    COUNT(allocs);
    return __libc_memalign(align, n);
}

void *
aligned_alloc(size_t align, size_t n)
{
    COUNT(allocs);
    return __libc_memalign(align, n);
}

int
posix_memalign(void **out, size_t align, size_t n)
{
    COUNT(allocs);
    *out = __libc_memalign(align, n);
    return *out == NULL ? ENOMEM : 0;
}

void
free(void *p)
{
    if (p != NULL) {
        COUNT(frees);
    }
    __libc_free(p);
}

void *
mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off)
{
    long at;

    COUNT(maps);
    at = syscall(SYS_mmap, addr, len, prot, flags, fd, off);
    return at == -1 ? MAP_FAILED : (void *)at;
}

int
munmap(void *addr, size_t len)
{
    COUNT(maps);
    return (int)syscall(SYS_munmap, addr, len);
}

int
madvise(void *addr, size_t len, int advice)
{
    COUNT(maps);
    return (int)syscall(SYS_madvise, addr, len, advice);
}
