#include "ingester/activity.h"

#include "base/hash.h"
#include "ingester/chunks.h"
#include "ingester/htab.h"

#include <stdlib.h>
#include <sys/mman.h>

enum { EXPIRE_FEW = 32, AUX = 0 };

struct entry { /* a series, or a tenant that has any; key 0: free */
    uint64_t key;
    int64_t active_ns;       /* of a series */
    uint32_t prev_1, next_1; /* of a series, by active_ns; free ones by next_1 */
    uint32_t tenant;         /* of a series: id of its tenant's entry */
    uint32_t count;          /* of a tenant: its series */
};
static_assert(sizeof(struct entry) == 32, "two a cache line");

struct pw_activity {
    struct pw_region region;
    struct pw_htab_pool pool;
    struct pw_htab ix; /* key -> id */
    struct pw_chunks entry;
    uint32_t free_1, first_1, last_1; /* id + 1; first: idle for the longest */
    int64_t mono_ns;                  /* as it was told last */
};

uint64_t
pw_activity_tenant_key(uint64_t hash)
{
    return (hash & ~(uint64_t)1) | 2;
}

uint64_t
pw_activity_series_key(uint64_t tenant_key, uint64_t hash)
{
    return pw_hash_mix(tenant_key, hash) | 1;
}

int
pw_activity_create_ctl(struct pw_activity **out)
{
    struct pw_activity *a = calloc(1, sizeof(*a));
    int rc = a == NULL ? PW_ENOMEM : pw_region_init_ctl(&a->region, PW_ACTIVITY_BYTES);

    if (rc == 0) {
        /* It grows by a page now and then, on a polling core: a small page is there sooner. */
        (void)madvise(a->region.base, a->region.cap, MADV_NOHUGEPAGE);
        rc = pw_htab_pool_init_ctl(&a->pool);
    }
    if (rc != 0) {
        pw_activity_destroy_ctl(a);
        return rc;
    }
    *out = a;
    return 0;
}

void
pw_activity_destroy_ctl(struct pw_activity *a)
{
    if (a != NULL) {
        pw_region_fini_ctl(&a->region);
        pw_htab_pool_fini_ctl(&a->pool);
        free(a);
    }
}

/* --- Entries ------------------------------------------------------------------------------------ */

static struct entry *
entry_at(const struct pw_activity *a, uint32_t id)
{
    return PW_CHUNKS_AT(&a->entry, struct entry, id);
}

/* NULL: not active. */
static struct entry *
find(const struct pw_activity *a, struct pw_activity_ref *ref)
{
    uint32_t id;

    if (ref->id_1 != 0 && entry_at(a, ref->id_1 - 1)->key == ref->key) {
        return entry_at(a, ref->id_1 - 1);
    }
    id = pw_htab_find(&a->ix, ref->key, AUX);
    ref->id_1 = id == PW_HTAB_NONE ? 0 : id + 1;
    return id == PW_HTAB_NONE ? NULL : entry_at(a, id);
}

static struct entry *
insert(struct pw_activity *a, struct pw_activity_ref *ref)
{
    uint32_t id = a->free_1 - 1;

    if (!pw_htab_reserve(&a->ix, &a->pool, &a->region, ref->key)) {
        return NULL;
    }
    if (a->free_1 != 0) {
        a->free_1 = entry_at(a, id)->next_1;
    } else if (pw_chunks_reserve(&a->entry, &a->region, PW_REGION_SERIES, sizeof(struct entry),
                                 1)) {
        id = a->entry.count++;
    } else {
        return NULL;
    }
    pw_htab_put(&a->ix, ref->key, AUX, id);
    *entry_at(a, id) = (struct entry){.key = ref->key};
    ref->id_1 = id + 1;
    return entry_at(a, id);
}

static void
forget(struct pw_activity *a, uint32_t id)
{
    struct entry *e = entry_at(a, id);

    pw_htab_del(&a->ix, e->key, id);
    *e = (struct entry){.next_1 = a->free_1};
    a->free_1 = id + 1;
}

static void
unlink_entry(struct pw_activity *a, const struct entry *e)
{
    *(e->prev_1 != 0 ? &entry_at(a, e->prev_1 - 1)->next_1 : &a->first_1) = e->next_1;
    *(e->next_1 != 0 ? &entry_at(a, e->next_1 - 1)->prev_1 : &a->last_1) = e->prev_1;
}

/* --- The door ----------------------------------------------------------------------------------- */

void
pw_activity_expire(struct pw_activity *a, int64_t mono_ns, int64_t idle_ns, bool all)
{
    a->mono_ns = mono_ns;
    for (uint32_t n = 0; a->first_1 != 0 && (all || n < EXPIRE_FEW); n++) {
        uint32_t id = a->first_1 - 1, tenant = entry_at(a, id)->tenant;

        if (mono_ns - entry_at(a, id)->active_ns <= idle_ns) {
            break;
        }
        unlink_entry(a, entry_at(a, id));
        forget(a, id);
        if (--entry_at(a, tenant)->count == 0) {
            forget(a, tenant);
        }
    }
}

uint64_t
pw_activity_count(const struct pw_activity *a, struct pw_activity_ref *tenant)
{
    const struct entry *e = find(a, tenant);

    return e == NULL ? 0 : e->count;
}

bool
pw_activity_is_active(const struct pw_activity *a, struct pw_activity_ref *series)
{
    return find(a, series) != NULL;
}

/* NULL: no memory. */
static struct entry *
insert_series(struct pw_activity *a, struct pw_activity_ref *tenant, struct pw_activity_ref *series)
{
    struct entry *t = find(a, tenant), *e;

    if (t == NULL && (t = insert(a, tenant)) == NULL) {
        return NULL;
    }
    e = insert(a, series);
    if (e != NULL) {
        e->tenant = tenant->id_1 - 1;
        t->count++;
    } else if (t->count == 0) {
        forget(a, tenant->id_1 - 1);
    }
    return e;
}

void
pw_activity_touch(struct pw_activity *a, struct pw_activity_ref *tenant,
                  struct pw_activity_ref *series)
{
    struct entry *e = find(a, series);

    if (e != NULL) {
        unlink_entry(a, e);
    } else if ((e = insert_series(a, tenant, series)) == NULL) {
        return;
    }
    e->active_ns = a->mono_ns;
    e->prev_1 = a->last_1;
    e->next_1 = 0;
    *(a->last_1 != 0 ? &entry_at(a, a->last_1 - 1)->next_1 : &a->first_1) = series->id_1;
    a->last_1 = series->id_1;
}
