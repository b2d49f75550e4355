#include "ring/view.h"

#include "base/hash.h"

#include <stdlib.h>

/* A view and what it points to; the arrays are allocated one by one, a ring changes seldom. */
struct ring_storage {
    struct pw_ring_view view; /* first: what callers hold */
    struct pw_instance *instance;
    uint32_t *instance_zone;
    struct pw_ring_token *token, *zone_token;
    struct pw_ring_zone *zone;
    uint32_t *token_copy;
    char *text;
};

static int
by_id(const void *a, const void *b)
{
    return strcmp(((const struct pw_instance *)a)->id, ((const struct pw_instance *)b)->id);
}

static int
by_token(const void *a, const void *b)
{
    const struct pw_ring_token *x = a, *y = b;

    if (x->token != y->token) {
        return x->token < y->token ? -1 : 1;
    }
    return (x->instance > y->instance) - (x->instance < y->instance);
}

static int
by_name(const void *a, const void *b)
{
    return strcmp(((const struct pw_ring_zone *)a)->name, ((const struct pw_ring_zone *)b)->name);
}

static char *
put_text(char **to, const char *s)
{
    size_t n = strlen(s) + 1;
    char *at = *to;

    memcpy(at, s, n);
    *to += n;
    return at;
}

static int
check_instances(const struct pw_instance *instance, uint32_t n, uint32_t *count, size_t *tokens,
                size_t *text)
{
    *count = 0;
    *tokens = *text = 0;
    for (uint32_t i = 0; i < n; i++) {
        const struct pw_instance *in = &instance[i];

        if (in->state == PW_INSTANCE_LEFT) {
            continue;
        }
        if (in->token_count > PW_RING_TOKENS_MAX || *count == PW_RING_INSTANCES_MAX) {
            return PW_EMSGSIZE;
        }
        for (uint32_t t = 1; t < in->token_count; t++) {
            if (in->token[t - 1] >= in->token[t]) {
                return PW_EINVAL;
            }
        }
        ++*count;
        *tokens += in->token_count;
        *text += strlen(in->id) + strlen(in->addr) + strlen(in->zone) + 3;
    }
    return 0;
}

static void
copy_instances(struct ring_storage *r, const struct pw_instance *instance, uint32_t n)
{
    uint32_t *token = r->token_copy, count = 0;
    char *text = r->text;

    for (uint32_t i = 0; i < n; i++) {
        struct pw_instance *to = &r->instance[count];

        if (instance[i].state == PW_INSTANCE_LEFT) {
            continue;
        }
        *to = instance[i];
        to->id = put_text(&text, instance[i].id);
        to->addr = put_text(&text, instance[i].addr);
        to->zone = put_text(&text, instance[i].zone);
        to->token = token;
        to->version = NULL;
        to->version_count = 0;
        if (to->token_count > 0) {
            memcpy(token, instance[i].token, to->token_count * sizeof(*token));
        }
        token += to->token_count;
        count++;
    }
    if (count > 0) {
        qsort(r->instance, count, sizeof(*r->instance), by_id);
    }
    r->view.instance_count = count;
}

static int
collect_zones(struct ring_storage *r)
{
    struct pw_ring_view *v = &r->view;

    for (uint32_t i = 0; i < v->instance_count; i++) {
        uint32_t z = 0;

        while (z < v->zone_count && strcmp(r->zone[z].name, r->instance[i].zone) != 0) {
            z++;
        }
        if (z == PW_RING_ZONES_MAX) {
            return PW_EMSGSIZE;
        }
        if (z == v->zone_count) {
            r->zone[v->zone_count++] = (struct pw_ring_zone){.name = r->instance[i].zone};
        }
        r->zone[z].instances++;
        r->zone[z].token_count += r->instance[i].token_count;
    }
    if (v->zone_count > 0) {
        qsort(r->zone, v->zone_count, sizeof(*r->zone), by_name);
    }
    for (uint32_t i = 0; i < v->instance_count; i++) {
        for (uint32_t z = 0; z < v->zone_count; z++) {
            if (strcmp(r->zone[z].name, r->instance[i].zone) == 0) {
                r->instance_zone[i] = z;
            }
        }
    }
    return 0;
}

static void
sort_tokens(struct ring_storage *r)
{
    uint32_t filled[PW_RING_ZONES_MAX] = {0};
    struct pw_ring_view *v = &r->view;
    struct pw_ring_token *next = r->zone_token;

    for (uint32_t i = 0; i < v->instance_count; i++) {
        for (uint32_t t = 0; t < r->instance[i].token_count; t++) {
            r->token[v->token_count++] =
                (struct pw_ring_token){.token = r->instance[i].token[t], .instance = i};
        }
    }
    if (v->token_count > 0) {
        qsort(r->token, v->token_count, sizeof(*r->token), by_token);
    }
    for (uint32_t z = 0; z < v->zone_count; z++) {
        r->zone[z].token = next;
        next += r->zone[z].token_count;
    }
    for (uint32_t t = 0; t < v->token_count; t++) {
        uint32_t z = r->instance_zone[r->token[t].instance];

        r->zone_token[(r->zone[z].token - r->zone_token) + filled[z]++] = r->token[t];
    }
}

static struct ring_storage *
alloc_storage(uint32_t count, size_t tokens, size_t text)
{
    struct ring_storage *r = calloc(1, sizeof(*r));

    if (r == NULL) {
        return NULL;
    }
    r->instance = calloc(count + 1, sizeof(*r->instance));
    r->instance_zone = calloc(count + 1, sizeof(*r->instance_zone));
    r->token = calloc(tokens + 1, sizeof(*r->token));
    r->zone_token = calloc(tokens + 1, sizeof(*r->zone_token));
    r->zone = calloc(PW_RING_ZONES_MAX, sizeof(*r->zone));
    r->token_copy = calloc(tokens + 1, sizeof(*r->token_copy));
    r->text = malloc(text + 1);
    if (r->instance == NULL || r->instance_zone == NULL || r->token == NULL ||
        r->zone_token == NULL || r->zone == NULL || r->token_copy == NULL || r->text == NULL) {
        pw_ring_view_free_ctl(&r->view);
        return NULL;
    }
    return r;
}

static uint64_t
mixed(uint64_t h, const void *data, size_t len)
{
    uint64_t both[2] = {h, pw_xxh64(data, len)};

    return pw_xxh64(both, sizeof(both));
}

static void
take_shape(struct ring_storage *r)
{
    uint64_t h = r->view.instance_count;

    r->view.read_only_count = 0;
    for (uint32_t i = 0; i < r->view.instance_count; i++) {
        const struct pw_instance *in = &r->instance[i];

        h = mixed(h, in->id, strlen(in->id));
        h = mixed(h + in->read_only, in->zone, strlen(in->zone));
        h = mixed(h, in->token, in->token_count * sizeof(*in->token));
        r->view.read_only_count += in->read_only;
    }
    r->view.shape = h | 1;
}

int
pw_ring_view_make_ctl(struct pw_ring_view **view, const struct pw_ring_cfg *cfg,
                      const struct pw_instance *instance, uint32_t n)
{
    struct ring_storage *r;
    size_t tokens, text;
    uint32_t count;
    int rc = check_instances(instance, n, &count, &tokens, &text);

    if (rc != 0) {
        return rc;
    }
    r = alloc_storage(count, tokens, text);
    if (r == NULL) {
        return PW_ENOMEM;
    }
    r->view.cfg = *cfg;
    copy_instances(r, instance, n);
    for (uint32_t i = 1; rc == 0 && i < count; i++) {
        rc = strcmp(r->instance[i - 1].id, r->instance[i].id) == 0 ? PW_EINVAL : 0;
    }
    if (rc == 0) {
        rc = collect_zones(r);
    }
    if (rc != 0) {
        pw_ring_view_free_ctl(&r->view);
        return rc;
    }
    sort_tokens(r);
    take_shape(r);
    r->view.instance = r->instance;
    r->view.instance_zone = r->instance_zone;
    r->view.token = r->token;
    r->view.zone = r->zone;
    *view = &r->view;
    return 0;
}

void
pw_ring_view_free_ctl(struct pw_ring_view *view)
{
    struct ring_storage *r = (struct ring_storage *)view;

    if (r == NULL) {
        return;
    }
    free(r->instance);
    free(r->instance_zone);
    free(r->token);
    free(r->zone_token);
    free(r->zone);
    free(r->token_copy);
    free(r->text);
    free(r);
}

uint32_t
pw_ring_search(const struct pw_ring_token *token, uint32_t count, uint32_t key)
{
    uint32_t low = 0, high = count;

    while (low < high) {
        uint32_t mid = low + (high - low) / 2;

        if (token[mid].token > key) {
            high = mid;
        } else {
            low = mid + 1;
        }
    }
    return low == count ? 0 : low;
}

const char *
pw_instance_state_name(enum pw_instance_state state)
{
    static const char *const name[] = {"ACTIVE", "LEAVING", "PENDING", "JOINING", "LEFT"};

    return (unsigned)state < PW_ARRAY_LEN(name) ? name[state] : "UNKNOWN";
}
