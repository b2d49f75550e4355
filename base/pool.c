#include "base/pool.h"

#include <sys/mman.h>

int
pw_pool_init_ctl(struct pw_pool *p, uint32_t count, uint32_t obj_bytes)
{
    size_t obj = pw_align_up(obj_bytes, 64);
    size_t objs_bytes = obj * count;
    size_t bytes = objs_bytes + (size_t)count * sizeof(uint32_t);
    uint8_t *mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (mem == MAP_FAILED) {
        return -errno;
    }
    *p = (struct pw_pool){
        .objs = mem,
        .free_idx = (uint32_t *)(void *)(mem + objs_bytes),
        .obj_bytes = (uint32_t)obj,
        .count = count,
        .free_count = count,
        .map_bytes = bytes,
    };
    for (uint32_t i = 0; i < count; i++) {
        p->free_idx[i] = count - 1 - i;
    }
    return 0;
}

void
pw_pool_fini_ctl(struct pw_pool *p)
{
    if (p->objs != NULL) {
        munmap(p->objs, p->map_bytes);
    }
    *p = (struct pw_pool){0};
}
