#include "ingester/head_set.h"

#include "base/check.h"
#include "ingester/head_priv.h"

#include <stdlib.h>

static_assert((PW_HEADS_SEALED_MAX & (PW_HEADS_SEALED_MAX - 1)) == 0, "a ring");

int
pw_head_set_create_ctl(struct pw_head_set **out, const struct pw_head_set_cfg *cfg)
{
    struct pw_head_set *s = aligned_alloc(64, pw_align_up(sizeof(*s), 64));

    if (s == NULL) {
        return PW_ENOMEM;
    }
    memset(s, 0, sizeof(*s));
    if (pw_activity_create_ctl(&s->activity) != 0) {
        free(s);
        return PW_ENOMEM;
    }
    s->cfg = *cfg;
    s->cfg.cut_bytes = cfg->cut_bytes != 0 ? cfg->cut_bytes : cfg->bytes_max / PW_HEAD_CUT_SHARE;
    s->head = cfg->first;
    s->held_seen = UINT64_MAX; /* the first turn sets its limit and share; replay knows no shares */
    pw_head_limit(s->head, cfg->bytes_max);
    *out = s;
    return 0;
}

void
pw_head_set_destroy_ctl(struct pw_head_set *s)
{
    if (s != NULL) {
        pw_activity_destroy_ctl(s->activity);
    }
    free(s);
}

void
pw_head_set_log_ctl(struct pw_head_set *s, const void *log,
                    void (*mark)(const void *log, struct pw_wal_mark *mark))
{
    s->log = log;
    s->mark = mark;
}

void
pw_head_set_bell_ctl(struct pw_head_set *s, struct pw_bell *storage)
{
    s->storage = storage;
}

void
pw_head_set_memory_ctl(struct pw_head_set *s, struct pw_bell *memory, size_t low)
{
    s->memory = memory;
    s->memory_low = low;
}

/* --- The ingester core ----------------------------------------------------------------------- */

static void
seal(struct pw_head_set *s, struct pw_head *next)
{
    uint64_t n = atomic_load_explicit(&s->sealed_count, memory_order_relaxed);
    struct pw_head_sealed *slot;

    atomic_fetch_add_explicit(&s->held, pw_head_bytes(s->head), memory_order_relaxed);
    slot = &s->sealed[n % PW_HEADS_SEALED_MAX];
    *slot = (struct pw_head_sealed){.head = s->head, .has_mark = s->mark != NULL};
    if (slot->has_mark) {
        s->mark(s->log, &slot->mark);
    }
    s->head = next;
    s->held_seen = UINT64_MAX; /* its limit is not set yet */
    pw_share_seal(&s->share, n, slot->head);
    /* T2: pairs with S2. The head is complete, and this core will not write to it again. */
    atomic_store_explicit(&s->sealed_count, n + 1, memory_order_release);
    atomic_store_explicit(&s->spare, NULL, memory_order_release);
    if (s->storage != NULL) {
        pw_bell_ring(s->storage);
    }
}

static void
cut(struct pw_head_set *s, uint64_t wanted)
{
    uint64_t sealed = atomic_load_explicit(&s->sealed_count, memory_order_relaxed) -
                      atomic_load_explicit(&s->retired, memory_order_acquire);

    if (!pw_head_is_empty(s->head)) {
        /* T1: pairs with S1. The head is whole, and readers know of it. */
        struct pw_head *next = atomic_load_explicit(&s->spare, memory_order_acquire);

        if (next == NULL || sealed == PW_HEADS_SEALED_MAX) {
            uint64_t waits = atomic_load_explicit(&s->cut_waits, memory_order_relaxed);

            atomic_store_explicit(&s->cut_waits, waits + 1, memory_order_relaxed);
            return;
        }
        seal(s, next);
    }
    atomic_store_explicit(&s->cuts, wanted, memory_order_release);
}

struct pw_head *
pw_head_set_turn(struct pw_head_set *s)
{
    uint64_t wanted = atomic_load_explicit(&s->wanted, memory_order_relaxed);
    uint64_t held;

    if (wanted != atomic_load_explicit(&s->cuts, memory_order_relaxed) ||
        pw_head_bytes(s->head) >= s->cfg.cut_bytes) {
        cut(s, wanted);
    }
    held = atomic_load_explicit(&s->held, memory_order_relaxed);
    if (held != s->held_seen) {
        s->held_seen = held;
        pw_head_limit(s->head, held < s->cfg.bytes_max ? s->cfg.bytes_max - held : 0);
        pw_head_share(s->head, &s->share);
        pw_head_activity(s->head, s->activity);
    }
    pw_share_retire(&s->share, atomic_load_explicit(&s->retired, memory_order_relaxed));
    if (s->share.pressed_count != 0) {
        pw_share_relax(&s->share, pw_head_left(s->head));
    }
    if (s->memory != NULL && pw_head_touched_left(s->head) < s->memory_low) {
        pw_bell_ring(s->memory);
    }
    return s->head;
}

bool
pw_head_set_holds(const struct pw_head_set *s)
{
    return atomic_load_explicit(&s->held, memory_order_relaxed) != 0;
}

/* --- The storage thread ---------------------------------------------------------------------- */

bool
pw_head_set_wants_spare(const struct pw_head_set *s)
{
    return atomic_load_explicit(&s->spare, memory_order_acquire) == NULL;
}

void
pw_head_set_give_spare(struct pw_head_set *s, struct pw_head *head)
{
    PW_INVARIANT(pw_head_set_wants_spare(s));
    atomic_store_explicit(&s->spare, head, memory_order_release); /* S1 */
}

uint64_t
pw_head_set_cut(struct pw_head_set *s)
{
    return atomic_fetch_add_explicit(&s->wanted, 1, memory_order_relaxed) + 1;
}

bool
pw_head_set_cut_done(const struct pw_head_set *s, uint64_t ticket)
{
    return atomic_load_explicit(&s->cuts, memory_order_acquire) >= ticket;
}

bool
pw_head_set_has_sealed(const struct pw_head_set *s)
{
    return atomic_load_explicit(&s->sealed_count, memory_order_relaxed) !=
           atomic_load_explicit(&s->taken, memory_order_relaxed);
}

bool
pw_head_set_take_sealed(struct pw_head_set *s, struct pw_head_sealed *out)
{
    uint64_t taken = atomic_load_explicit(&s->taken, memory_order_relaxed);

    if (atomic_load_explicit(&s->sealed_count, memory_order_acquire) == taken) { /* S2 */
        return false;
    }
    atomic_store_explicit(&s->taken, taken + 1, memory_order_relaxed);
    *out = s->sealed[taken % PW_HEADS_SEALED_MAX];
    return true;
}

void
pw_head_set_retire(struct pw_head_set *s, const struct pw_head *head)
{
    uint64_t retired = atomic_load_explicit(&s->retired, memory_order_relaxed);

    atomic_fetch_sub_explicit(&s->held, pw_head_bytes(head), memory_order_relaxed);
    /* The slot of the ring may be written again. */
    atomic_store_explicit(&s->retired, retired + 1, memory_order_release);
}
