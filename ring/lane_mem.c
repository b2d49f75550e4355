#include "ring/lane_mem.h"

#include <rte_malloc.h>
#include <rte_memory.h>

#include <sys/mman.h>

int
pw_lane_mem_take_ctl(struct pw_lane_mem *m, size_t bytes, int socket)
{
    *m = (struct pw_lane_mem){.bytes = bytes};
    /* Before rte_eal_init, or when EAL runs without any memory, this size is 0 and rte_malloc would
     * walk heaps that do not exist. */
    m->from_eal = rte_eal_get_physmem_size() > 0;
    if (m->from_eal) {
        m->ptr = rte_zmalloc_socket("pw_lane", bytes, PW_LANE_MEM_ALIGN, socket);
        return m->ptr == NULL ? PW_ENOMEM : 0;
    }
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED) {
        return PW_ENOMEM;
    }
    m->ptr = p;
    return 0;
}

void
pw_lane_mem_give_ctl(struct pw_lane_mem *m)
{
    if (m->ptr == NULL) {
        return;
    }
    if (m->from_eal) {
        rte_free(m->ptr);
    } else {
        munmap(m->ptr, m->bytes);
    }
    m->ptr = NULL;
}
