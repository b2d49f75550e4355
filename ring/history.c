#include "ring/history.h"

#include <stdlib.h>
#include <string.h>

struct pw_history_node {
    struct pw_history_entry entry; /* first: an entry handed out is its node */
    struct pw_history_node *next;
    uint8_t bytes[]; /* pair, ids */
};

enum { HISTORY_OVERHEAD = sizeof(struct pw_history_node) };

static size_t
bytes_of(const struct pw_history_entry *e)
{
    return HISTORY_OVERHEAD + e->pair.len + e->ids.len;
}

static void
drop_oldest(struct pw_history *h)
{
    struct pw_history_node *n = h->oldest;

    h->oldest = n->next;
    h->newest = h->oldest == NULL ? NULL : h->newest;
    h->bytes -= bytes_of(&n->entry);
    free(n);
}

void
pw_history_add(struct pw_history *h, const struct pw_history_entry *e)
{
    size_t bytes = bytes_of(e);
    struct pw_history_node *n;

    if (bytes > h->bytes_max || (n = malloc(bytes)) == NULL) {
        return;
    }
    while (h->bytes + bytes > h->bytes_max) {
        drop_oldest(h);
    }
    n->entry = *e;
    n->entry.id = ++h->last_id;
    n->entry.pair = pw_slice(n->bytes, e->pair.len);
    n->entry.ids = pw_slice(n->bytes + e->pair.len, e->ids.len);
    n->next = NULL;
    if (e->pair.len > 0) {
        memcpy(n->bytes, e->pair.ptr, e->pair.len);
    }
    if (e->ids.len > 0) {
        memcpy(n->bytes + e->pair.len, e->ids.ptr, e->ids.len);
    }
    *(h->newest == NULL ? &h->oldest : &h->newest->next) = n;
    h->newest = n;
    h->bytes += bytes;
}

const struct pw_history_entry *
pw_history_next(const struct pw_history *h, const struct pw_history_entry *e)
{
    const struct pw_history_node *n =
        e == NULL ? h->oldest : ((const struct pw_history_node *)(const void *)e)->next;

    return n == NULL ? NULL : &n->entry;
}

void
pw_history_clear(struct pw_history *h)
{
    while (h->oldest != NULL) {
        drop_oldest(h);
    }
}
