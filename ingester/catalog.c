#include "ingester/catalog.h"

#include "base/check.h"

#include <pthread.h>
#include <stdlib.h>

struct item { /* a head, or a block */
    struct pw_head *head;
    struct pw_catalog_block block;
    uint32_t generations; /* that list it; the editor's */
};

struct generation {
    struct pw_catalog_view view; /* first: what readers hold */
    uint32_t readers;            /* under the mutex */
    struct generation *older;    /* the editor's, as are the rest */
    struct item **item;          /* heads, then blocks */
    uint32_t items;
};

struct pw_catalog {
    pthread_mutex_t editor; /* held by whoever edits or reaps; taken before the other */
    pthread_mutex_t mutex;
    struct generation *current; /* written by the editor, under the mutex */
    struct generation *old;     /* the editor's: those that were current */
};

/* --- Generations ------------------------------------------------------------------------------ */

static void
free_item(struct item *it)
{
    if (it->head != NULL) {
        pw_head_destroy_ctl(it->head);
    } else {
        it->block.close(it->block.block);
    }
    free(it);
}

static void
free_generation(struct generation *g)
{
    for (uint32_t i = 0; i < g->items; i++) {
        if (--g->item[i]->generations == 0) {
            free_item(g->item[i]);
        }
    }
    free((void *)(uintptr_t)g->view.head);
    free((void *)(uintptr_t)g->view.block);
    free((void *)g->item);
    free(g);
}

static struct generation *
new_generation(uint32_t items)
{
    struct generation *g = calloc(1, sizeof(*g));

    if (g == NULL) {
        return NULL;
    }
    g->item = calloc(items + 1, sizeof(*g->item));
    g->view.head = calloc(items + 1, sizeof(*g->view.head));
    g->view.block = calloc(items + 1, sizeof(*g->view.block));
    if (g->item == NULL || g->view.head == NULL || g->view.block == NULL) {
        free_generation(g);
        return NULL;
    }
    return g;
}

static void
list(struct generation *g, struct item *it)
{
    struct pw_catalog_view *v = &g->view;

    if (it->head != NULL) {
        ((struct pw_head **)(uintptr_t)v->head)[v->heads_count++] = it->head;
    } else {
        ((const struct pw_catalog_block **)(uintptr_t)v->block)[v->blocks_count++] = &it->block;
    }
    g->item[g->items++] = it;
    it->generations++;
}

int
pw_catalog_create_ctl(struct pw_catalog **out)
{
    struct pw_catalog *cat = calloc(1, sizeof(*cat));

    if (cat != NULL) {
        cat->current = new_generation(0);
    }
    if (cat == NULL || cat->current == NULL) {
        free(cat);
        return PW_ENOMEM;
    }
    pthread_mutex_init(&cat->editor, NULL);
    pthread_mutex_init(&cat->mutex, NULL);
    *out = cat;
    return 0;
}

void
pw_catalog_destroy_ctl(struct pw_catalog *cat)
{
    if (cat == NULL) {
        return;
    }
    PW_INVARIANT(pw_catalog_reap(cat) == 0 && cat->current->readers == 0);
    free_generation(cat->current);
    pthread_mutex_destroy(&cat->mutex);
    pthread_mutex_destroy(&cat->editor);
    free(cat);
}

/* --- Readers ---------------------------------------------------------------------------------- */

const struct pw_catalog_view *
pw_catalog_acquire(struct pw_catalog *cat)
{
    const struct pw_catalog_view *view;

    pthread_mutex_lock(&cat->mutex);
    cat->current->readers++;
    view = &cat->current->view;
    pthread_mutex_unlock(&cat->mutex);
    return view;
}

void
pw_catalog_release(struct pw_catalog *cat, const struct pw_catalog_view *view)
{
    struct generation *g = (struct generation *)(uintptr_t)view;

    pthread_mutex_lock(&cat->mutex);
    PW_INVARIANT(g->readers > 0);
    g->readers--;
    pthread_mutex_unlock(&cat->mutex);
}

/* --- The editor ------------------------------------------------------------------------------- */

static bool
removes(const struct pw_catalog_edit *e, const struct item *it)
{
    for (uint32_t i = 0; it->head != NULL && i < e->remove_heads; i++) {
        if (e->remove_head[i] == it->head) {
            return true;
        }
    }
    for (uint32_t i = 0; it->head == NULL && i < e->remove_blocks; i++) {
        if (e->remove_block[i] == it->block.block) {
            return true;
        }
    }
    return false;
}

/* The same block from elsewhere: between the moment its directory is there and the one it is listed as local, the shipper
 * may have uploaded it and the gateway listed it in the bucket. Read in both places it would count twice. */
static bool
replaces(const struct pw_catalog_edit *e, const struct item *it)
{
    for (uint32_t i = 0; it->head == NULL && i < e->add_blocks; i++) {
        if (pw_ulid_cmp(&e->add_block[i].ulid, &it->block.ulid) == 0 &&
            strcmp(e->add_block[i].tenant, it->block.tenant) == 0) {
            return true;
        }
    }
    return false;
}

/* Lists one item for each thing that is new; false: no memory, nothing of e is listed. */
static bool
list_new(struct generation *g, const struct pw_catalog_edit *e)
{
    uint32_t n = e->add_heads + e->add_blocks;
    struct item **fresh = calloc(n + 1, sizeof(*fresh));
    uint32_t made = 0;

    while (fresh != NULL && made < n && (fresh[made] = calloc(1, sizeof(**fresh))) != NULL) {
        made++;
    }
    for (uint32_t i = 0; i < made; i++) {
        if (made < n) {
            free(fresh[i]);
        } else if (i < e->add_heads) {
            fresh[i]->head = e->add_head[i];
            list(g, fresh[i]);
        } else {
            fresh[i]->block = e->add_block[i - e->add_heads];
            list(g, fresh[i]);
        }
    }
    free((void *)fresh);
    return made == n;
}

static int
edit_locked(struct pw_catalog *cat, const struct pw_catalog_edit *e)
{
    struct generation *old = cat->current;
    struct generation *g = new_generation(old->items + e->add_heads + e->add_blocks);

    if (g == NULL || !list_new(g, e)) {
        if (g != NULL) {
            free_generation(g);
        }
        return PW_ENOMEM;
    }
    g->view.generation = old->view.generation + 1;
    for (uint32_t i = 0; i < old->items; i++) {
        if (!removes(e, old->item[i]) && !replaces(e, old->item[i])) {
            list(g, old->item[i]);
        }
    }
    old->older = cat->old;
    cat->old = old;
    pthread_mutex_lock(&cat->mutex);
    cat->current = g;
    pthread_mutex_unlock(&cat->mutex);
    return 0;
}

int
pw_catalog_edit(struct pw_catalog *cat, const struct pw_catalog_edit *e)
{
    pthread_mutex_lock(&cat->editor);
    int rc = edit_locked(cat, e);

    pthread_mutex_unlock(&cat->editor);
    return rc;
}

int
pw_catalog_replace_block(struct pw_catalog *cat, const struct pw_catalog_block *with)
{
    int rc = PW_ENOENT;

    pthread_mutex_lock(&cat->editor);
    const struct pw_catalog_view *v = &cat->current->view;

    for (uint32_t i = 0; i < v->blocks_count; i++) {
        const struct pw_block *b = v->block[i]->block;

        if (pw_ulid_cmp(&v->block[i]->ulid, &with->ulid) == 0 &&
            strcmp(v->block[i]->tenant, with->tenant) == 0) {
            rc = edit_locked(cat, &(struct pw_catalog_edit){.remove_block = &b,
                                                            .remove_blocks = 1,
                                                            .add_block = with,
                                                            .add_blocks = 1});
            break;
        }
    }
    pthread_mutex_unlock(&cat->editor);
    return rc;
}

static bool
is_held(struct pw_catalog *cat, const struct generation *g)
{
    bool held;

    /* Nobody takes a generation that is not current any more: what is free stays free. */
    pthread_mutex_lock(&cat->mutex);
    held = g->readers > 0;
    pthread_mutex_unlock(&cat->mutex);
    return held;
}

uint32_t
pw_catalog_reap(struct pw_catalog *cat)
{
    uint32_t waiting = 0;

    pthread_mutex_lock(&cat->editor);
    struct generation **at = &cat->old;

    while (*at != NULL) {
        struct generation *g = *at;

        if (is_held(cat, g)) {
            at = &g->older;
            waiting++;
            continue;
        }
        *at = g->older;
        free_generation(g);
    }
    pthread_mutex_unlock(&cat->editor);
    return waiting;
}
