/* Apart from catalog.c, which knows blocks by pointer alone and is built without a store where threads are tested. */
#include "ingester/catalog.h"

uint32_t
pw_catalog_cool(struct pw_catalog *cat, uint32_t most)
{
    const struct pw_catalog_view *v = pw_catalog_acquire(cat);
    uint32_t warm = 0, cooled = 0;

    for (uint32_t i = 0; v->blocks_count > most && i < v->blocks_count; i++) {
        warm += !v->block[i]->remote && pw_block_is_warm(v->block[i]->block);
    }
    for (uint32_t i = 0; warm > most && i < v->blocks_count && warm - cooled > most / 2; i++) {
        cooled += !v->block[i]->remote && pw_block_cool(v->block[i]->block);
    }
    pw_catalog_release(cat, v);
    return cooled;
}
