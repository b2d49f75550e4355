#include "ring/snapshot.h"

#include "base/check.h"

#include <pthread.h>
#include <stdlib.h>

/* What a polling thread looks at, said where the control thread sees it before it frees anything. */
struct reader_slot {
    _Alignas(64) _Atomic(struct pw_ring_snapshot *) looks_at;
};

struct pw_ring_board {
    _Atomic(struct pw_ring_snapshot *) current;
    struct pw_ring_snapshot *former; /* taken down, perhaps looked at */
    uint64_t generation;
    pthread_mutex_t mutex; /* between taking down and those who acquire */
    struct reader_slot slot[PW_RING_READERS_MAX];
};

/* --- One snapshot ----------------------------------------------------------------------------- */

static bool
is_excluded(const struct pw_ring_snapshot_cfg *cfg, const char *zone)
{
    for (uint32_t i = 0; i < cfg->excluded_zones; i++) {
        if (strcmp(cfg->excluded_zone[i], zone) == 0) {
            return true;
        }
    }
    return false;
}

static int
make_view(struct pw_ring_view **view, const struct pw_ring_snapshot_cfg *cfg,
          const struct pw_ring_desc *ring)
{
    struct pw_instance *in = calloc(ring->count + 1, sizeof(*in));
    uint32_t n = 0;
    int rc;

    if (in == NULL) {
        return PW_ENOMEM;
    }
    for (uint32_t i = 0; i < ring->count; i++) {
        if (!is_excluded(cfg, ring->instance[i].zone)) {
            in[n++] = ring->instance[i];
        }
    }
    rc = pw_ring_view_make_ctl(view, &cfg->ring, in, n);
    free(in);
    return rc;
}

static void
free_links(struct pw_ring_link *link, uint32_t n)
{
    for (uint32_t i = 0; link != NULL && i < n; i++) {
        free((void *)(uintptr_t)link[i].addr);
    }
    free(link);
}

static struct pw_ring_link *
make_links(const struct pw_ring_view *view, const struct pw_ring_desc *links)
{
    struct pw_ring_link *link = calloc(view->instance_count + 1, sizeof(*link));

    for (uint32_t i = 0; link != NULL && links != NULL && i < view->instance_count; i++) {
        const struct pw_instance *in = pw_ring_desc_find(links, view->instance[i].id);

        if (in == NULL || in->state == PW_INSTANCE_LEFT) {
            continue;
        }
        link[i] = (struct pw_ring_link){
            .addr = strdup(in->addr),
            .version = in->version_count > 0 ? in->version[0].version : 0,
            .timestamp = in->timestamp,
        };
        if (link[i].addr == NULL) {
            free_links(link, i);
            return NULL;
        }
    }
    return link;
}

static uint32_t
index_of(const struct pw_ring_view *view, const char *id)
{
    for (uint32_t i = 0; i < view->instance_count; i++) {
        if (strcmp(view->instance[i].id, id) == 0) {
            return i;
        }
    }
    return PW_RING_NOT_A_MEMBER;
}

int
pw_ring_snapshot_make_ctl(struct pw_ring_snapshot **out, const struct pw_ring_snapshot_cfg *cfg,
                          const struct pw_ring_desc *ring, const struct pw_ring_desc *links)
{
    struct pw_ring_snapshot *s = calloc(1, sizeof(*s));
    struct pw_ring_view *view = NULL;
    int rc = s == NULL ? PW_ENOMEM : make_view(&view, cfg, ring);

    if (rc != 0) {
        free(s);
        return rc;
    }
    s->view = view;
    s->self = index_of(view, cfg->self);
    s->link = make_links(view, links);
    if (s->link == NULL) {
        pw_ring_snapshot_free_ctl(s);
        return PW_ENOMEM;
    }
    *out = s;
    return 0;
}

void
pw_ring_snapshot_free_ctl(struct pw_ring_snapshot *s)
{
    if (s == NULL) {
        return;
    }
    free_links((struct pw_ring_link *)(uintptr_t)s->link, s->view->instance_count);
    pw_ring_view_free_ctl((struct pw_ring_view *)(uintptr_t)s->view);
    free(s);
}

/* --- The board -------------------------------------------------------------------------------- */

int
pw_ring_board_create_ctl(struct pw_ring_board **out)
{
    struct pw_ring_board *b =
        aligned_alloc(_Alignof(struct pw_ring_board), sizeof(struct pw_ring_board));

    if (b == NULL) {
        return PW_ENOMEM;
    }
    memset(b, 0, sizeof(*b));
    pthread_mutex_init(&b->mutex, NULL);
    *out = b;
    return 0;
}

void
pw_ring_board_destroy_ctl(struct pw_ring_board *b)
{
    struct pw_ring_snapshot *s;

    if (b == NULL) {
        return;
    }
    s = atomic_load(&b->current);
    if (s != NULL) {
        s->next = b->former;
        b->former = s;
    }
    while (b->former != NULL) {
        s = b->former;
        b->former = s->next;
        pw_ring_snapshot_free_ctl(s);
    }
    pthread_mutex_destroy(&b->mutex);
    free(b);
}

/* The slots come first: a reader that holds s does so while its slot still shows s, so whoever's slot
 * has moved on is counted in holders already (A1: pairs with R1). */
static bool
nobody_looks(struct pw_ring_board *b, struct pw_ring_snapshot *s)
{
    for (uint32_t r = 0; r < PW_RING_READERS_MAX; r++) {
        if (atomic_load(&b->slot[r].looks_at) == s) {
            return false;
        }
    }
    return atomic_load_explicit(&s->holders, memory_order_acquire) == 0; /* A2: pairs with R2 */
}

uint32_t
pw_ring_board_sweep_ctl(struct pw_ring_board *b)
{
    struct pw_ring_snapshot **at = &b->former;
    uint32_t kept = 0;

    while (*at != NULL) {
        struct pw_ring_snapshot *s = *at;

        if (nobody_looks(b, s)) {
            *at = s->next;
            pw_ring_snapshot_free_ctl(s);
        } else {
            at = &s->next;
            kept++;
        }
    }
    return kept;
}

void
pw_ring_board_publish_ctl(struct pw_ring_board *b, struct pw_ring_snapshot *s)
{
    struct pw_ring_snapshot *old;

    s->generation = ++b->generation;
    pthread_mutex_lock(&b->mutex);
    old = atomic_exchange(&b->current, s);
    pthread_mutex_unlock(&b->mutex);
    if (old != NULL) {
        old->next = b->former;
        b->former = old;
    }
    (void)pw_ring_board_sweep_ctl(b);
}

/* The slot says what is looked at before it is; that it is still the current one afterwards means that
 * it had not been taken down, so that the control thread's look at the slots comes later (all of these
 * are sequentially consistent: store then load here, exchange then load there). */
const struct pw_ring_snapshot *
pw_ring_board_read(struct pw_ring_board *b, uint32_t reader)
{
    _Atomic(struct pw_ring_snapshot *) *slot = &b->slot[reader].looks_at;
    struct pw_ring_snapshot *s = atomic_load(&b->current);

    PW_DCHECK(reader < PW_RING_READERS_MAX);
    if (s == atomic_load_explicit(slot, memory_order_relaxed)) {
        return s;
    }
    do {
        s = atomic_load(&b->current);
        atomic_store(slot, s); /* R1: pairs with A1 */
    } while (s != atomic_load(&b->current));
    return s;
}

const struct pw_ring_snapshot *
pw_ring_snapshot_acquire(struct pw_ring_board *b)
{
    struct pw_ring_snapshot *s;

    pthread_mutex_lock(&b->mutex);
    s = atomic_load(&b->current);
    if (s != NULL) {
        pw_ring_snapshot_hold(s);
    }
    pthread_mutex_unlock(&b->mutex);
    return s;
}

/* The count of those who look is the one thing about a snapshot that moves. */
static _Atomic uint32_t *
holders(const struct pw_ring_snapshot *s)
{
    return &((struct pw_ring_snapshot *)(uintptr_t)s)->holders;
}

void
pw_ring_snapshot_hold(const struct pw_ring_snapshot *s)
{
    atomic_fetch_add_explicit(holders(s), 1, memory_order_relaxed);
}

void
pw_ring_snapshot_release(const struct pw_ring_snapshot *s)
{
    uint32_t before;

    if (s == NULL) {
        return;
    }
    before = atomic_fetch_sub_explicit(holders(s), 1, memory_order_release); /* R2: pairs with A2 */
    PW_INVARIANT(before > 0);
}
