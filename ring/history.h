/* ring/history.h - the last messages about rings that came or went, for who looks for what became of one.
 *
 * Purpose  keep as many of the newest as a number of bytes holds (-memberlist.message-history-buffer-bytes).
 * Owner    the store whose messages they are (ring/kv.h), under its lock.
 * Context  cold.
 * Units    bytes; unix seconds.
 * Errors   what there is no memory for, or what is larger than all of it, is left out.
 * Limits   bytes_max, each message with HISTORY_OVERHEAD.
 */
#ifndef PW_RING_HISTORY_H
#define PW_RING_HISTORY_H

#include "base/types.h"

struct pw_history_entry {
    uint64_t id; /* from 1, of those that were kept */
    int64_t time_s;
    struct pw_slice pair; /* a KeyValuePair (pw_kv_read_pair) */
    uint64_t version;     /* of the key, with that message; 0: it brought nothing new */
    struct pw_slice ids;  /* instances it changed, each with a NUL behind */
};

struct pw_history {
    uint32_t bytes_max; /* 0: nothing is kept */
    size_t bytes;
    uint64_t last_id;
    struct pw_history_node *oldest, *newest;
};

/* Copies all of it; the id is given. */
void pw_history_add(struct pw_history *h, const struct pw_history_entry *e);
/* From NULL, the oldest, to the newest, behind which is NULL. Good until the next add. */
const struct pw_history_entry *pw_history_next(const struct pw_history *h,
                                               const struct pw_history_entry *e);
/* Forgets them all; numbers go on. */
void pw_history_clear(struct pw_history *h);

#endif
