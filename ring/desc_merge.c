/* How two values of a ring become one (contract ring.md 4.8). */
#include "ring/desc.h"

#include <stdlib.h>

/* A token and, by index, who claims it. */
struct claim {
    uint32_t token;
    uint32_t instance;
};

static int
by_token(const void *a, const void *b)
{
    const struct claim *x = a, *y = b;

    if (x->token != y->token) {
        return x->token < y->token ? -1 : 1;
    }
    return (x->instance > y->instance) - (x->instance < y->instance);
}

static bool
newer(const struct pw_instance *in, const struct pw_instance *local)
{
    int64_t known = local == NULL ? 0 : local->timestamp;

    if (in->timestamp != known) {
        return in->timestamp > known;
    }
    return local != NULL && in->state == PW_INSTANCE_LEFT && local->state != PW_INSTANCE_LEFT;
}

static bool
same_tokens(const struct pw_instance *a, const struct pw_instance *b)
{
    return a->token_count == b->token_count &&
           (a->token_count == 0 ||
            memcmp(a->token, b->token, a->token_count * sizeof(*a->token)) == 0);
}

/* Puts in, without tokens when it left, and marks it in change; *moved when tokens are now others. */
static int
accept(struct pw_ring_desc *into, const struct pw_instance *in, struct pw_ring_desc *change,
       bool *moved)
{
    const struct pw_instance *local = pw_ring_desc_find(into, in->id);
    struct pw_instance as = *in;
    int rc;

    if (as.state == PW_INSTANCE_LEFT) {
        as.token_count = 0;
    }
    *moved = *moved || (as.token_count > 0 && (local == NULL || !same_tokens(local, &as)));
    rc = pw_ring_desc_put(change, &as);
    return rc != 0 ? rc : pw_ring_desc_put(into, &as);
}

static int
remove_missing(struct pw_ring_desc *into, const struct pw_ring_desc *incoming, int64_t now_s,
               struct pw_ring_desc *change)
{
    int rc = 0;

    for (uint32_t i = 0; i < into->count && rc == 0; i++) {
        struct pw_instance *in = &into->instance[i];

        if (in->state != PW_INSTANCE_LEFT && pw_ring_desc_find(incoming, in->id) == NULL) {
            in->state = PW_INSTANCE_LEFT;
            in->timestamp = in->timestamp > now_s ? in->timestamp : now_s;
            in->token_count = 0;
            rc = pw_ring_desc_put(change, in);
        }
    }
    return rc;
}

/* --- A token has one owner -------------------------------------------------------------------- */

static uint32_t
collect_claims(const struct pw_ring_desc *d, struct claim *claim)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < d->count; i++) {
        for (uint32_t t = 0; t < d->instance[i].token_count; t++) {
            claim[n++] = (struct claim){.token = d->instance[i].token[t], .instance = i};
        }
    }
    return n;
}

/* Instances are in order of their ids, so the smaller index is the smaller id. */
static uint32_t
winner(const struct pw_ring_desc *d, uint32_t a, uint32_t b)
{
    bool a_leaves = d->instance[a].state == PW_INSTANCE_LEAVING;
    bool b_leaves = d->instance[b].state == PW_INSTANCE_LEAVING;

    if (a_leaves != b_leaves) {
        return a_leaves ? b : a;
    }
    return a < b ? a : b;
}

/* The array is the instance's own; view.h hands it out const to everybody else. */
static void
drop_token(struct pw_instance *in, uint32_t token)
{
    uint32_t *own = (uint32_t *)(uintptr_t)in->token;
    uint32_t kept = 0;

    for (uint32_t t = 0; t < in->token_count; t++) {
        if (own[t] != token) {
            own[kept++] = own[t];
        }
    }
    in->token_count = kept;
}

static int
resolve_conflicts(struct pw_ring_desc *d)
{
    struct claim *claim;
    size_t claims = 0;
    uint32_t n;

    for (uint32_t i = 0; i < d->count; i++) {
        claims += d->instance[i].token_count;
    }
    claim = calloc(claims + 1, sizeof(*claim));
    if (claim == NULL) {
        return PW_ENOMEM;
    }
    n = collect_claims(d, claim);
    qsort(claim, n, sizeof(*claim), by_token);
    for (uint32_t i = 1; i < n; i++) {
        uint32_t other = claim[i - 1].instance, mine = claim[i].instance, owner;

        if (claim[i - 1].token == claim[i].token) {
            owner = winner(d, other, mine);
            drop_token(&d->instance[owner == mine ? other : mine], claim[i].token);
            claim[i].instance = owner;
        }
    }
    free(claim);
    return 0;
}

/* What was accepted may have lost tokens since. */
static int
refresh(struct pw_ring_desc *change, const struct pw_ring_desc *from)
{
    int rc = 0;

    for (uint32_t i = 0; i < change->count && rc == 0; i++) {
        rc = pw_ring_desc_put(change, pw_ring_desc_find(from, change->instance[i].id));
    }
    return rc;
}

int
pw_ring_desc_merge(struct pw_ring_desc *into, const struct pw_ring_desc *incoming, bool local_cas,
                   int64_t now_s, struct pw_ring_desc *change)
{
    bool moved = false;
    int rc = 0;

    pw_ring_desc_fini(change);
    for (uint32_t i = 0; i < incoming->count && rc == 0; i++) {
        const struct pw_instance *in = &incoming->instance[i];

        if (newer(in, pw_ring_desc_find(into, in->id))) {
            rc = accept(into, in, change, &moved);
        }
    }
    if (rc == 0 && local_cas) {
        rc = remove_missing(into, incoming, now_s, change);
    }
    if (rc == 0 && moved) {
        rc = resolve_conflicts(into);
    }
    if (rc == 0 && moved) {
        rc = refresh(change, into);
    }
    return rc;
}
