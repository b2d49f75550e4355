#include "ring/desc.h"

#include <stdlib.h>

enum { GROW_BY = 8 };

void
pw_ring_desc_init(struct pw_ring_desc *d)
{
    *d = (struct pw_ring_desc){0};
}

void
pw_ring_desc_fini(struct pw_ring_desc *d)
{
    for (uint32_t i = 0; i < d->count; i++) {
        free((void *)(uintptr_t)d->instance[i].id);
    }
    free(d->instance);
    pw_ring_desc_init(d);
}

/* Index of the first instance whose id is not below id. */
static uint32_t
lower_bound(const struct pw_ring_desc *d, const char *id)
{
    uint32_t low = 0, high = d->count;

    while (low < high) {
        uint32_t mid = low + (high - low) / 2;

        if (strcmp(d->instance[mid].id, id) < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

static bool
is_at(const struct pw_ring_desc *d, uint32_t i, const char *id)
{
    return i < d->count && strcmp(d->instance[i].id, id) == 0;
}

struct pw_instance *
pw_ring_desc_find(const struct pw_ring_desc *d, const char *id)
{
    uint32_t i = lower_bound(d, id);

    return is_at(d, i, id) ? &d->instance[i] : NULL;
}

static int
by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static uint32_t
sort_unique(uint32_t *token, uint32_t count)
{
    bool ascending = true;
    uint32_t kept = 0;

    for (uint32_t i = 1; i < count && ascending; i++) {
        ascending = token[i - 1] < token[i];
    }
    if (ascending) {
        return count;
    }
    qsort(token, count, sizeof(*token), by_value);
    for (uint32_t i = 0; i < count; i++) {
        if (kept == 0 || token[kept - 1] != token[i]) {
            token[kept++] = token[i];
        }
    }
    return kept;
}

static char *
put_text(char *at, const char *s, size_t bytes)
{
    memcpy(at, s, bytes);
    return at + bytes;
}

/* One allocation: id, addr, zone, then (aligned) versions and tokens. */
static int
copy_instance(struct pw_instance *to, const struct pw_instance *from)
{
    size_t id = strlen(from->id) + 1, addr = strlen(from->addr) + 1, zone = strlen(from->zone) + 1;
    size_t versions = from->version_count * sizeof(*from->version);
    size_t tokens = from->token_count * sizeof(*from->token);
    size_t text = pw_align_up(id + addr + zone, sizeof(uint64_t));
    struct pw_ring_version *version;
    uint32_t *token;
    char *block;

    if (id > PW_RING_NAME_MAX + 1 || addr > PW_RING_NAME_MAX + 1 || zone > PW_RING_NAME_MAX + 1 ||
        from->token_count > PW_RING_TOKENS_MAX || from->version_count > PW_RING_VERSIONS_MAX) {
        return PW_EMSGSIZE;
    }
    block = malloc(text + versions + tokens);
    if (block == NULL) {
        return PW_ENOMEM;
    }
    *to = *from;
    to->id = block;
    to->addr = put_text(block, from->id, id);
    to->zone = put_text(block + id, from->addr, addr);
    put_text(block + id + addr, from->zone, zone);
    version = (void *)(block + text);
    token = (void *)(block + text + versions);
    if (versions > 0) {
        memcpy(version, from->version, versions);
    }
    if (tokens > 0) {
        memcpy(token, from->token, tokens);
    }
    to->version = version;
    to->token = token;
    to->token_count = sort_unique(token, from->token_count);
    return 0;
}

static int
make_room(struct pw_ring_desc *d)
{
    uint32_t cap = d->cap + d->cap / 2 + GROW_BY;
    struct pw_instance *more;

    if (d->count < d->cap) {
        return 0;
    }
    more = reallocarray(d->instance, cap, sizeof(*more));
    if (more == NULL) {
        return PW_ENOMEM;
    }
    d->instance = more;
    d->cap = cap;
    return 0;
}

int
pw_ring_desc_put(struct pw_ring_desc *d, const struct pw_instance *in)
{
    struct pw_instance copy;
    uint32_t i = lower_bound(d, in->id);
    bool there = is_at(d, i, in->id);
    int rc = copy_instance(&copy, in);

    if (rc == 0 && !there) {
        rc = d->count >= PW_RING_INSTANCES_MAX ? PW_EMSGSIZE : make_room(d);
        if (rc != 0) {
            free((void *)(uintptr_t)copy.id);
        }
    }
    if (rc != 0) {
        return rc;
    }
    if (there) {
        free((void *)(uintptr_t)d->instance[i].id);
    } else {
        memmove(&d->instance[i + 1], &d->instance[i], (d->count - i) * sizeof(*d->instance));
        d->count++;
    }
    d->instance[i] = copy;
    return 0;
}

void
pw_ring_desc_remove(struct pw_ring_desc *d, const char *id)
{
    uint32_t i = lower_bound(d, id);

    if (!is_at(d, i, id)) {
        return;
    }
    free((void *)(uintptr_t)d->instance[i].id);
    d->count--;
    memmove(&d->instance[i], &d->instance[i + 1], (d->count - i) * sizeof(*d->instance));
}

int
pw_ring_desc_copy(struct pw_ring_desc *to, const struct pw_ring_desc *from)
{
    int rc = 0;

    pw_ring_desc_fini(to);
    for (uint32_t i = 0; i < from->count && rc == 0; i++) {
        rc = pw_ring_desc_put(to, &from->instance[i]);
    }
    if (rc != 0) {
        pw_ring_desc_fini(to);
    }
    return rc;
}

static bool
same_array(const void *a, size_t na, const void *b, size_t nb, size_t size)
{
    return na == nb && (na == 0 || memcmp(a, b, na * size) == 0);
}

static bool
same_instance(const struct pw_instance *a, const struct pw_instance *b)
{
    return strcmp(a->id, b->id) == 0 && strcmp(a->addr, b->addr) == 0 &&
           strcmp(a->zone, b->zone) == 0 && a->state == b->state && a->read_only == b->read_only &&
           a->timestamp == b->timestamp && a->registered == b->registered &&
           a->read_only_updated == b->read_only_updated &&
           same_array(a->token, a->token_count, b->token, b->token_count, sizeof(*a->token)) &&
           same_array(a->version, a->version_count, b->version, b->version_count,
                      sizeof(*a->version));
}

bool
pw_ring_desc_equal(const struct pw_ring_desc *a, const struct pw_ring_desc *b)
{
    if (a->count != b->count) {
        return false;
    }
    for (uint32_t i = 0; i < a->count; i++) {
        if (!same_instance(&a->instance[i], &b->instance[i])) {
            return false;
        }
    }
    return true;
}

uint32_t
pw_ring_desc_remove_tombstones(struct pw_ring_desc *d, int64_t limit_s)
{
    uint32_t kept = 0, count = d->count;

    for (uint32_t i = 0; i < count; i++) {
        if (d->instance[i].state == PW_INSTANCE_LEFT && d->instance[i].timestamp < limit_s) {
            free((void *)(uintptr_t)d->instance[i].id);
        } else {
            d->instance[kept++] = d->instance[i];
        }
    }
    d->count = kept;
    return count - kept;
}
