/* ring/kv.h - the gossiped key-value store: under each key a ring, the same in every member.
 *
 * Purpose  hold what this process and others know about each ring, take edits of our own and pairs of
 *          others, say what changed (contract ring.md 1.1, 4.4, 4.5, 4.8). With nobody to talk to it is the
 *          store of a process alone.
 * Owner    whoever made it. It has no lock: in the appliance app->kv_mutex is held around every use, the
 *          use of what pw_kv_get gave included.
 * Context  cold. Pure: the time is handed in.
 * Units    unix seconds.
 * Errors   PW_EPROTO: a pair that is none; PW_ENOTSUP: a codec that is not a ring's; PW_EMSGSIZE: over a
 *          limit; PW_ENOMEM. Each is counted in pw_kv_stats.
 * Limits   PW_KV_KEYS_MAX keys of PW_KV_KEY_MAX bytes, PW_KV_VALUE_BYTES_MAX a value, PW_KV_TOKENS_MAX
 *          tokens in all values together, those of ring/desc.h.
 */
#ifndef PW_RING_KV_H
#define PW_RING_KV_H

#include "ring/desc.h"
#include "ring/history.h"

enum {
    PW_KV_KEYS_MAX = 32,
    PW_KV_KEY_MAX = 255,
    PW_KV_VALUE_BYTES_MAX = 20 << 20,
    PW_KV_TOKENS_MAX = 1 << 22,
    PW_KV_WATCHERS_MAX = 8,
};

struct pw_kv;

struct pw_kv_cfg {
    int64_t left_timeout_s;     /* life of a LEFT entry */
    int64_t obsolete_timeout_s; /* life of a deleted key */
    uint32_t history_bytes;     /* of messages kept for the page, in and out each; 0 none */
};

/* Edits a copy of the ring without its LEFT entries; 0, or negative to leave the ring alone. */
typedef int (*pw_kv_edit_fn)(void *arg, struct pw_ring_desc *d);
/* key changed. May call pw_kv_get, must not change the store. */
typedef void (*pw_kv_watch_fn)(void *ctx, const char *key);

/* What is told to others: the changed instances alone. */
struct pw_kv_change {
    const char *key;
    const struct pw_ring_desc *desc;
    bool local; /* an edit of ours; else somebody told us */
    bool deleted;
    int64_t update_time_ms; /* 0: the key never was deleted */
};
typedef void (*pw_kv_tell_fn)(void *ctx, const struct pw_kv_change *change);

struct pw_kv_entry {
    const char *key;
    const struct pw_ring_desc *desc;
    uint64_t version; /* of changes */
    int64_t update_time_ms;
    bool deleted;
};

struct pw_kv_stats {
    uint64_t cas, cas_unchanged, cas_failed;
    uint64_t pairs, pairs_changed, pairs_broken, pairs_too_large, pairs_unknown_codec;
    uint64_t tombstones_removed;
};

PW_MUST_USE int pw_kv_create_ctl(struct pw_kv **kv, const struct pw_kv_cfg *cfg);
void pw_kv_destroy_ctl(struct pw_kv *kv);

/* PW_ENOMEM when there are PW_KV_WATCHERS_MAX. */
PW_MUST_USE int pw_kv_watch(struct pw_kv *kv, pw_kv_watch_fn fn, void *ctx);
/* One listener, the gossip; NULL: nobody. */
void pw_kv_tell(struct pw_kv *kv, pw_kv_tell_fn fn, void *ctx);

/* NULL: no such key, or deleted. LEFT instances in it are tombstones, for readers they are not there.
 * Good until the store next changes. */
const struct pw_ring_desc *pw_kv_get(const struct pw_kv *kv, const char *key);
/* Merges what edit made as our own change: who is missing in it has LEFT. 0 (also when edit changed
 * nothing); what edit returned; PW_EAGAIN when the edit is not newer than what is there, so that others
 * would not take it: again in the next second. */
PW_MUST_USE int pw_kv_cas(struct pw_kv *kv, const char *key, pw_kv_edit_fn edit, void *arg,
                          int64_t now_s);
/* Drops what is past its time. */
void pw_kv_expire(struct pw_kv *kv, int64_t now_s);

/* In order of keys; i below pw_kv_count. */
uint32_t pw_kv_count(const struct pw_kv *kv);
struct pw_kv_entry pw_kv_entry(const struct pw_kv *kv, uint32_t i);
const struct pw_kv_stats *pw_kv_stats(const struct pw_kv *kv);

/* Messages kept: what was told to others, and what others told us. */
struct pw_history *pw_kv_history_sent(struct pw_kv *kv);
struct pw_history *pw_kv_history_received(struct pw_kv *kv);

/* --- On the wire (kv_pair.c) ------------------------------------------------------------------- */

/* One KeyValuePair message. */
void pw_kv_put_pair(struct pw_text *t, const struct pw_kv_change *change);
/* One KeyValuePair of somebody else. */
PW_MUST_USE int pw_kv_merge_pair(struct pw_kv *kv, struct pw_slice pair, int64_t now_s);
/* Everything, as push/pull carries it: pairs with their lengths. */
void pw_kv_put_state(const struct pw_kv *kv, struct pw_text *t);
/* A broken pair is left out, a broken length ends it: PW_EPROTO. */
PW_MUST_USE int pw_kv_merge_state(struct pw_kv *kv, struct pw_slice state, int64_t now_s);

/* What is in a pair, for pages. */
struct pw_kv_pair {
    struct pw_slice key, value, codec;
    bool deleted;
    int64_t update_time_ms;
};
PW_MUST_USE int pw_kv_read_pair(struct pw_slice bytes, struct pw_kv_pair *pair);

/* What kv_pair.c calls once a pair is read; takes nothing. */
PW_MUST_USE int pw_kv_merge(struct pw_kv *kv, const struct pw_kv_change *in, int64_t now_s);
struct pw_kv_stats *pw_kv_stats_mutable(struct pw_kv *kv);
/* Of what it changed; behind pw_kv_merge. */
void pw_kv_note_received(struct pw_kv *kv, const char *key, struct pw_slice pair, int64_t now_s);

#endif
