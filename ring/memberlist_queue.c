/* Messages that wait to be told to others, each so many times (contract ring.md 4.5). What was told once
 * goes to the end, so all get their turn where not all fit. */
#include "ring/memberlist_internal.h"

#include <stdlib.h>

void
ml_queue_init(struct ml_queue *q)
{
    *q = (struct ml_queue){.tail = &q->head};
}

static void
free_item(struct ml_item *i)
{
    free(i->bytes);
    free(i->subject);
    free(i->ids);
    free(i);
}

/* Takes the item out of the list at. */
static struct ml_item *
unlink_item(struct ml_queue *q, struct ml_item **at)
{
    struct ml_item *i = *at;

    *at = i->next;
    if (i->next == NULL) {
        q->tail = at;
    }
    i->next = NULL;
    q->count--;
    q->bytes -= i->len;
    return i;
}

static void
append(struct ml_queue *q, struct ml_item *i)
{
    *q->tail = i;
    q->tail = &i->next;
    q->count++;
    q->bytes += i->len;
}

void
ml_queue_fini(struct ml_queue *q)
{
    while (q->head != NULL) {
        free_item(unlink_item(q, &q->head));
    }
}

/* Every id of old is in new; both ascend. */
static bool
covers(struct pw_slice new, const struct ml_item *old)
{
    const char *n = (const char *)new.ptr, *n_end = n + new.len;
    const char *o = old->ids, *o_end = o + old->ids_len;

    while (o < o_end) {
        int c;

        if (n == n_end) {
            return false;
        }
        c = strcmp(n, o);
        if (c > 0) {
            return false;
        }
        n += strlen(n) + 1;
        if (c == 0) {
            o += strlen(o) + 1;
        }
    }
    return true;
}

static bool
replaced(const struct ml_item *old, const char *subject, struct pw_slice ids)
{
    if (strcmp(old->subject, subject) != 0) {
        return false;
    }
    return old->ids == NULL || ids.ptr == NULL ? old->ids == NULL && ids.ptr == NULL
                                               : covers(ids, old);
}

static struct ml_item *
new_item(struct pw_slice message, const char *subject, struct pw_slice ids)
{
    struct ml_item *i = calloc(1, sizeof(*i));

    if (i == NULL) {
        return NULL;
    }
    i->bytes = malloc(message.len + 1);
    i->subject = strdup(subject);
    i->ids = ids.ptr == NULL ? NULL : malloc(ids.len + 1);
    if (i->bytes == NULL || i->subject == NULL || (ids.ptr != NULL && i->ids == NULL)) {
        free_item(i);
        return NULL;
    }
    memcpy(i->bytes, message.ptr, message.len);
    i->len = message.len;
    if (ids.ptr != NULL) {
        memcpy(i->ids, ids.ptr, ids.len);
        i->ids_len = ids.len;
    }
    return i;
}

uint32_t
ml_queue_put(struct ml_queue *q, struct pw_slice message, const char *subject, struct pw_slice ids)
{
    struct ml_item *fresh = new_item(message, subject, ids);
    uint32_t dropped = 0;

    if (fresh == NULL) {
        return 1;
    }
    for (struct ml_item **at = &q->head; *at != NULL;) {
        if (replaced(*at, subject, ids)) {
            free_item(unlink_item(q, at));
        } else {
            at = &(*at)->next;
        }
    }
    append(q, fresh);
    while (q->count > PW_ML_QUEUE_MAX || q->bytes > PW_ML_QUEUE_BYTES_MAX) {
        free_item(unlink_item(q, &q->head));
        dropped++;
    }
    return dropped;
}

void
ml_queue_take(struct ml_queue *q, uint32_t limit, size_t overhead, size_t *budget,
              void (*fn)(void *ctx, struct pw_slice message), void *ctx)
{
    struct ml_item **at = &q->head;

    for (uint32_t n = q->count; n > 0; n--) {
        struct ml_item *i = *at;

        if (i->len + overhead > *budget) {
            at = &i->next;
            continue;
        }
        *budget -= i->len + overhead;
        fn(ctx, pw_slice(i->bytes, i->len));
        i = unlink_item(q, at);
        if (++i->transmits < limit) {
            append(q, i);
        } else {
            free_item(i);
        }
    }
}
