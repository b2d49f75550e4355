/* app/ring_store.h - the store of the rings while no gossip joins it: a process alone.
 *
 * Purpose  keys and their values in memory, changed by this process only.
 * Owner    the control thread.
 * Context  cold.
 * Units    -
 * Errors   those of pw_ring_desc_merge; PW_ENOSPC: more keys than PW_RING_STORE_KEYS_MAX.
 * Limits   PW_RING_STORE_KEYS_MAX.
 */
#ifndef PW_APP_RING_STORE_H
#define PW_APP_RING_STORE_H

#include "ring/lifecycler.h"

enum { PW_RING_STORE_KEYS_MAX = 4 };

struct pw_ring_store_memory {
    void (*changed)(void *ctx, const char *key); /* after every change */
    void *ctx;
    struct {
        char key[256];
        struct pw_ring_desc ring;
    } entry[PW_RING_STORE_KEYS_MAX];
    uint32_t count;
};

struct pw_ring_store pw_ring_store_memory_table(struct pw_ring_store_memory *m);
void pw_ring_store_memory_fini(struct pw_ring_store_memory *m);

#endif
