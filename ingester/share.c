#include "ingester/share.h"

#include "ingester/head_priv.h"

/* In sealed heads. */
static uint64_t
held(const struct pw_share *s, uint64_t tenant)
{
    uint64_t sum = 0;

    for (uint64_t n = s->first; n != s->end; n++) { /* at most PW_HEADS_SEALED_MAX */
        const struct pw_share_head *h = &s->sealed[n % PW_HEADS_SEALED_MAX];

        for (uint32_t i = 0; i < h->count; i++) {
            if (h->held[i].tenant == tenant) {
                sum += h->held[i].bytes;
                break;
            }
        }
    }
    return sum;
}

uint64_t
pw_share_used(const struct pw_share *s, struct pw_head_tenant *t)
{
    if (t->held_epoch != s->epoch) {
        t->held_epoch = s->epoch;
        t->held_bytes = held(s, t->hash);
    }
    return t->bytes + t->held_bytes;
}

static bool
is_near(uint64_t used, uint64_t left)
{
    return used * 100 > pw_share_max(left) * PW_SHARE_SLOW_PERCENT;
}

void
pw_share_note(struct pw_share *s, struct pw_head_tenant *t, uint64_t left)
{
    uint32_t n = s->pressed_count, i = 0;

    if (t->pressed || !is_near(pw_share_used(s, t), left)) {
        return;
    }
    while (i < n && s->pressed[i].tenant != t->hash) { /* it may be there since the head before */
        i++;
    }
    if (i == PW_PRESSED_MAX) {
        return;
    }
    t->pressed = true;
    s->pressed[i] = (struct pw_share_pressed){
        .tenant = t->hash, .active = t, .held = t->held_bytes, .held_epoch = t->held_epoch};
    if (i == n) {
        s->pressed_count = n + 1;
        atomic_store_explicit(&s->pressure.tenant[i], t->hash, memory_order_relaxed);
        atomic_store_explicit(&s->pressure.count, n + 1, memory_order_release);
    }
}

void
pw_share_seal(struct pw_share *s, uint64_t n, const struct pw_head *h)
{
    struct pw_share_head *out = &s->sealed[n % PW_HEADS_SEALED_MAX];
    uint64_t least = h->mem.region.used / PW_SHARE_LISTED;

    out->count = 0;
    for (uint32_t i = 0; i < h->tenants_count && out->count < PW_SHARE_LISTED; i++) {
        const struct pw_head_tenant *t = h->tenant[i];

        if (t->bytes >= least) {
            out->held[out->count++] = (struct pw_share_held){.tenant = t->hash, .bytes = t->bytes};
        }
    }
    for (uint32_t i = 0; i < s->pressed_count; i++) {
        s->pressed[i].active = NULL;
    }
    s->end = n + 1;
    s->epoch++;
}

void
pw_share_retire(struct pw_share *s, uint64_t n)
{
    if (n != s->first) {
        s->first = n;
        s->epoch++;
    }
}

void
pw_share_relax(struct pw_share *s, uint64_t left)
{
    for (uint32_t i = 0; i < s->pressed_count;) { /* every turn goes on or takes one off */
        struct pw_share_pressed *p = &s->pressed[i];

        if (p->held_epoch != s->epoch) {
            p->held_epoch = s->epoch;
            p->held = held(s, p->tenant);
        }
        if (is_near(p->held + (p->active != NULL ? p->active->bytes : 0), left)) {
            i++;
            continue;
        }
        if (p->active != NULL) {
            p->active->pressed = false;
        }
        *p = s->pressed[--s->pressed_count];
        atomic_store_explicit(&s->pressure.tenant[i], p->tenant, memory_order_relaxed);
        atomic_store_explicit(&s->pressure.count, s->pressed_count, memory_order_release);
    }
}
