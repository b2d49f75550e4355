#include "app/ring_store.h"

#include <stdio.h>

static struct pw_ring_desc *
find(struct pw_ring_store_memory *m, const char *key)
{
    for (uint32_t i = 0; i < m->count; i++) {
        if (strcmp(m->entry[i].key, key) == 0) {
            return &m->entry[i].ring;
        }
    }
    return NULL;
}

static struct pw_ring_desc *
find_or_add(struct pw_ring_store_memory *m, const char *key)
{
    struct pw_ring_desc *d = find(m, key);

    if (d == NULL && m->count < PW_RING_STORE_KEYS_MAX) {
        snprintf(m->entry[m->count].key, sizeof(m->entry[m->count].key), "%s", key);
        d = &m->entry[m->count++].ring;
    }
    return d;
}

static const struct pw_ring_desc *
memory_get(void *ctx, const char *key)
{
    return find(ctx, key);
}

static int
memory_cas(void *ctx, const char *key, pw_ring_edit_fn edit, void *arg, int64_t now_s)
{
    struct pw_ring_store_memory *m = ctx;
    struct pw_ring_desc *ring = find_or_add(m, key);
    struct pw_ring_desc copy, change;
    int rc;

    if (ring == NULL) {
        return PW_ENOSPC;
    }
    pw_ring_desc_init(&copy);
    pw_ring_desc_init(&change);
    rc = pw_ring_desc_copy(&copy, ring);
    rc = rc != 0 ? rc : edit(arg, &copy);
    rc = rc != 0 ? rc : pw_ring_desc_merge(ring, &copy, true, now_s, &change);
    if (change.count > 0) {
        m->changed(m->ctx, key);
    }
    pw_ring_desc_fini(&copy);
    pw_ring_desc_fini(&change);
    return rc;
}

struct pw_ring_store
pw_ring_store_memory_table(struct pw_ring_store_memory *m)
{
    return (struct pw_ring_store){.ctx = m, .get = memory_get, .cas = memory_cas};
}

void
pw_ring_store_memory_fini(struct pw_ring_store_memory *m)
{
    for (uint32_t i = 0; i < m->count; i++) {
        pw_ring_desc_fini(&m->entry[i].ring);
    }
    m->count = 0;
}
