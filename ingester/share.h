/* ingester/share.h - how much of a core's head memory one tenant may hold.
 *
 * Purpose  a tenant that fills the head must not get others refused. A tenant may hold, in the active head
 *          and in those that wait for their blocks, at most PW_SHARE_OF_FREE times what is still free: one
 *          alone gets 4/5 of all, two greedy ones 4/9 each, n of them 4/(4n+1), and there is always something
 *          free for a tenant that comes new. Nobody has to say how many tenants there are.
 * Owner    the ingester core, all of it; polling threads read `pressure`.
 * Context  hot: admit is two loads for who is far from the share.
 * Units    bytes.
 * Errors   admit: false.
 * Limits   of a sealed head the PW_SHARE_LISTED first tenants with at least 1/LISTED of it are counted:
 *          there are no more, so each sealed head hides at most that part of it a tenant.
 */
#ifndef PW_INGESTER_SHARE_H
#define PW_INGESTER_SHARE_H

#include "base/limits.h"
#include "ring/pressure.h"

struct pw_head;
struct pw_head_tenant;

enum {
    PW_HEADS_SEALED_MAX = 8, /* of one core; a power of two */
    PW_SHARE_OF_FREE = 4,
    PW_SHARE_SLOW_PERCENT = 75, /* of the share: who holds so much is slowed */
    PW_SHARE_LISTED = 256,
};

struct pw_share_held {
    uint64_t tenant; /* keyed hash */
    uint64_t bytes;
};

struct pw_share_head { /* one that was sealed */
    uint32_t count;
    struct pw_share_held held[PW_SHARE_LISTED];
};

struct pw_share_pressed {
    uint64_t tenant;
    struct pw_head_tenant *active; /* in the active head; NULL: nothing of it came since the cut */
    uint64_t held, held_epoch;
};

struct pw_share {
    struct pw_pressure pressure;
    uint64_t epoch;      /* moves whenever what sealed heads hold did */
    uint64_t first, end; /* sealed heads that count: of sealed, by number */
    struct pw_share_head sealed[PW_HEADS_SEALED_MAX];
    struct pw_share_pressed pressed[PW_PRESSED_MAX];
    uint32_t pressed_count;
};

/* What a tenant may hold while `left` bytes are free. */
static inline uint64_t
pw_share_max(uint64_t left)
{
    return left * PW_SHARE_OF_FREE;
}

/* What it holds, in all heads of the core. */
uint64_t pw_share_used(const struct pw_share *s, struct pw_head_tenant *t);
/* After an append: a tenant near its share is listed as pressed. */
void pw_share_note(struct pw_share *s, struct pw_head_tenant *t, uint64_t left);

/* head_set.c: the active head was sealed as number n ... */
void pw_share_seal(struct pw_share *s, uint64_t n, const struct pw_head *h);
/* ... and those below number n are gone. */
void pw_share_retire(struct pw_share *s, uint64_t n);
/* Who is not near its share any more is let go. */
void pw_share_relax(struct pw_share *s, uint64_t left);

#endif
