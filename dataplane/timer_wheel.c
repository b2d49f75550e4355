#include "dataplane/timer_wheel.h"

#include "base/check.h"

static const uint64_t due_slot = UINT64_MAX;

void
pw_timer_wheel_init(struct pw_timer_wheel *w, uint64_t now_tick)
{
    *w = (struct pw_timer_wheel){.tick = now_tick};
}

static void
link_into(struct pw_timer **slot, struct pw_timer *t)
{
    t->next = *slot;
    t->pprev = slot;
    if (t->next != NULL) {
        t->next->pprev = &t->next;
    }
    *slot = t;
}

static void
unlink_timer(struct pw_timer *t)
{
    *t->pprev = t->next;
    if (t->next != NULL) {
        t->next->pprev = t->pprev;
    }
    t->next = NULL;
    t->pprev = NULL;
}

/* Puts t where its deadline, which is after w->tick, will be found in time. */
static void
insert(struct pw_timer_wheel *w, struct pw_timer *t)
{
    uint64_t at = t->deadline;

    if (at - w->tick < PW_TIMER_NEAR_SLOTS) {
        t->slot_tick = at;
        link_into(&w->near[at % PW_TIMER_NEAR_SLOTS], t);
        return;
    }
    if (at - w->tick > PW_TIMER_SPAN) {
        at = w->tick + PW_TIMER_SPAN;
    }
    t->slot_tick = at >> PW_TIMER_NEAR_BITS << PW_TIMER_NEAR_BITS;
    link_into(&w->far[(at >> PW_TIMER_NEAR_BITS) % PW_TIMER_FAR_SLOTS], t);
}

void
pw_timer_arm(struct pw_timer_wheel *w, struct pw_timer *t, uint64_t deadline)
{
    if (deadline <= w->tick) {
        deadline = w->tick + 1;
    }
    t->deadline = deadline;
    if (pw_timer_armed(t)) {
        if (deadline >= t->slot_tick) {
            return; /* its slot comes up early enough and puts it back */
        }
        unlink_timer(t);
        w->armed--;
    }
    w->armed++;
    insert(w, t);
}

void
pw_timer_cancel(struct pw_timer_wheel *w, struct pw_timer *t)
{
    if (pw_timer_armed(t)) {
        unlink_timer(t);
        w->armed--;
    }
}

/* Empties one slot: what is not due yet goes back into the wheel. */
static void
empty_slot(struct pw_timer_wheel *w, struct pw_timer **slot)
{
    struct pw_timer *t = *slot;

    *slot = NULL;
    while (t != NULL) {
        struct pw_timer *next = t->next;

        if (t->deadline <= w->tick) {
            t->slot_tick = due_slot;
            link_into(&w->due, t);
        } else {
            insert(w, t);
        }
        t = next;
    }
}

void
pw_timer_wheel_advance(struct pw_timer_wheel *w, uint64_t now_tick)
{
    if (w->armed == 0 && now_tick > w->tick) {
        w->tick = now_tick;
        return;
    }
    while (w->tick < now_tick) { /* bound: milliseconds since the last call */
        w->tick++;
        if (w->tick % PW_TIMER_NEAR_SLOTS == 0) {
            empty_slot(w, &w->far[(w->tick >> PW_TIMER_NEAR_BITS) % PW_TIMER_FAR_SLOTS]);
        }
        if (w->near[w->tick % PW_TIMER_NEAR_SLOTS] != NULL) {
            empty_slot(w, &w->near[w->tick % PW_TIMER_NEAR_SLOTS]);
        }
    }
}

uint64_t
pw_timer_wheel_next(const struct pw_timer_wheel *w, uint32_t max)
{
    uint64_t at = w->tick + 1;
    uint64_t last = w->tick + (max < PW_TIMER_NEAR_SLOTS ? max : PW_TIMER_NEAR_SLOTS - 1);

    if (w->armed == 0) {
        return w->tick + max;
    }
    if (w->due != NULL) {
        return w->tick;
    }
    while (at < last && at % PW_TIMER_NEAR_SLOTS != 0 &&
           w->near[at % PW_TIMER_NEAR_SLOTS] == NULL) {
        at++;
    }
    return at;
}

struct pw_timer *
pw_timer_wheel_pop(struct pw_timer_wheel *w)
{
    struct pw_timer *t = w->due;

    if (t != NULL) {
        unlink_timer(t);
        PW_DCHECK(w->armed > 0);
        w->armed--;
    }
    return t;
}
