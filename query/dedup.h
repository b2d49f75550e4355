/* query/dedup.h - a profile that several replicas hold counts once (contract storage.md 2.8).
 *
 * Purpose  tell of each row whether it counts, when what is read comes from several origins: appliances, or
 *          the blocks of several appliances in one bucket. Two rows are one profile when the fingerprint
 *          of their series and their time are equal and they come from different origins. Rows of one origin
 *          are never one another's copies: two profiles of a series in one moment both count, as they
 *          do where there is one appliance. So of a (fingerprint, time) that one origin has k times
 *          and another m times, max(k, m) rows count.
 * Owner    one query; lives in its arena, nothing to free.
 * Context  cold. A row costs one look into a hash table.
 * Units    ns, or ms where a peer speaks of ms: the same for all rows of one struct.
 * Errors   PW_ENOMEM.
 * Limits   memory of the query: 32 bytes a (fingerprint, time), twice that while growing.
 *
 * Rows of one origin have to come together: all of one, then all of the next. Which copy of a row is kept is
 * then decided by the order of the origins: the first one that has it.
 */
#ifndef PW_QUERY_DEDUP_H
#define PW_QUERY_DEDUP_H

#include "base/err.h"
#include "query/arena.h"

struct pw_dedup_entry {
    uint64_t fingerprint;
    int64_t time;
    uint32_t origin; /* the last that had it, + 1; 0: the entry is free */
    uint32_t seen;   /* how often that origin had it so far */
    uint32_t taken;  /* rows that count so far */
    uint32_t pad;
};

struct pw_dedup {
    struct pw_arena *arena;
    struct pw_dedup_entry *entry; /* [cap], cap a power of two */
    uint32_t cap, count;
    uint64_t key; /* of the hash: fingerprints are the clients' to choose */
};

PW_MUST_USE int pw_dedup_init(struct pw_dedup *d, struct pw_arena *arena, uint64_t hash_key);
/* 1: the row counts. 0: it is a copy of one that was taken. */
PW_MUST_USE int pw_dedup_take(struct pw_dedup *d, uint32_t origin, uint64_t fingerprint,
                              int64_t time);

#endif
