#include "ingester/catalog.h"

#include "base/check.h"

#include <pthread.h>
#include <stdlib.h>

struct item { /* the editor's */
    struct pw_head *head;
    uint32_t generations; /* that list it */
};

struct generation {
    struct pw_catalog_view view; /* first: what readers hold */
    uint32_t readers;            /* under the mutex */
    struct generation *older;    /* the editor's */
    struct item **item;          /* [heads_count], of view.head */
};

struct pw_catalog {
    pthread_mutex_t mutex;
    struct generation *current; /* written by the editor, under the mutex */
    struct generation *old;     /* the editor's: those that were current */
};

/* --- Generations ------------------------------------------------------------------------------ */

static struct generation *
new_generation(uint32_t heads)
{
    struct generation *g = calloc(1, sizeof(*g));

    if (g == NULL) {
        return NULL;
    }
    g->item = calloc(heads + 1, sizeof(struct item *));
    g->view.head = calloc(heads + 1, sizeof(struct pw_head *));
    if (g->item == NULL || g->view.head == NULL) {
        free((void *)(uintptr_t)g->view.head);
        free((void *)g->item);
        free(g);
        return NULL;
    }
    return g;
}

static void
free_generation(struct generation *g)
{
    for (uint32_t i = 0; i < g->view.heads_count; i++) {
        struct item *it = g->item[i];

        if (--it->generations == 0) {
            pw_head_destroy_ctl(it->head);
            free(it);
        }
    }
    free((void *)(uintptr_t)g->view.head);
    free((void *)g->item);
    free(g);
}

static void
list(struct generation *g, struct item *it)
{
    struct pw_head **head = (struct pw_head **)(uintptr_t)g->view.head;

    head[g->view.heads_count] = it->head;
    g->item[g->view.heads_count++] = it;
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
removes(const struct pw_catalog_edit *e, const struct pw_head *head)
{
    for (uint32_t i = 0; i < e->remove_heads; i++) {
        if (e->remove_head[i] == head) {
            return true;
        }
    }
    return false;
}

/* Items of heads that are new, not listed yet. */
static struct item **
new_items(const struct pw_catalog_edit *e)
{
    struct item **it = calloc(e->add_heads + 1, sizeof(*it));

    for (uint32_t i = 0; it != NULL && i < e->add_heads; i++) {
        it[i] = calloc(1, sizeof(**it));
        if (it[i] == NULL) {
            while (i > 0) {
                free(it[--i]);
            }
            free((void *)it);
            return NULL;
        }
        it[i]->head = e->add_head[i];
    }
    return it;
}

int
pw_catalog_edit(struct pw_catalog *cat, const struct pw_catalog_edit *e)
{
    struct generation *old = cat->current;
    struct item **fresh = new_items(e);
    struct generation *g =
        fresh == NULL ? NULL : new_generation(old->view.heads_count + e->add_heads);

    if (g == NULL) {
        for (uint32_t i = 0; fresh != NULL && i < e->add_heads; i++) {
            free(fresh[i]);
        }
        free((void *)fresh);
        return PW_ENOMEM;
    }
    g->view.generation = old->view.generation + 1;
    for (uint32_t i = 0; i < old->view.heads_count; i++) {
        if (!removes(e, old->item[i]->head)) {
            list(g, old->item[i]);
        }
    }
    for (uint32_t i = 0; i < e->add_heads; i++) {
        list(g, fresh[i]);
    }
    free((void *)fresh);
    old->older = cat->old;
    cat->old = old;
    pthread_mutex_lock(&cat->mutex);
    cat->current = g;
    pthread_mutex_unlock(&cat->mutex);
    return 0;
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
    struct generation **at = &cat->old;
    uint32_t waiting = 0;

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
    return waiting;
}
