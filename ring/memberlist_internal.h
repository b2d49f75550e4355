/* ring/memberlist_internal.h - the parts of ring/memberlist.h between its files.
 *
 * Purpose  memberlist.c: life, timers, dispatch; memberlist_node.c: who is what, by which rule;
 *          memberlist_probe.c: failure detection; memberlist_queue.c: what waits to be told;
 *          memberlist_conn.c: connections, push/pull.
 * Owner    struct pw_memberlist owns all.
 * Context  cold.
 */
#ifndef PW_RING_MEMBERLIST_INTERNAL_H
#define PW_RING_MEMBERLIST_INTERNAL_H

#include "ring/memberlist.h"

enum {
    ML_CONFIRMERS_MAX = 2, /* others whose suspicion shortens ours */
    ML_SUSPICION_MULT = 4, /* of the probe interval, at least */
    ML_SUSPICION_MAX_MULT = 6,
    ML_INDIRECT = 3,
    ML_HEALTH_MAX = 7,
    ML_PMAX_NACK = 4, /* protocol versions from which a member answers with nack, reads CRC */
    ML_PMAX_CRC = 5,
};

enum ml_vsn { VSN_PMIN, VSN_PMAX, VSN_PCUR, VSN_DMIN, VSN_DMAX, VSN_DCUR };

struct ml_suspicion {
    int64_t since_ms, min_ms, max_ms;
    uint32_t wanted; /* confirmations that make it shortest; 0: it is short from the start */
    uint32_t confirmed;
    char from[ML_CONFIRMERS_MAX + 1][PW_ML_NAME_MAX + 1]; /* the first is the accuser */
};

struct ml_node {
    char name[PW_ML_NAME_MAX + 1];
    struct pw_ml_addr addr;
    uint8_t meta[PW_ML_META_MAX];
    uint32_t meta_len;
    uint8_t vsn[PW_ML_VSN_BYTES];
    uint32_t incarnation;
    enum pw_ml_state state;
    bool known; /* something was taken of it */
    int64_t changed_ms;
    struct ml_suspicion *suspicion; /* in SUSPECT only */
};

/* One message that waits. */
struct ml_item {
    struct ml_item *next;
    uint8_t *bytes;
    size_t len;
    uint32_t transmits;
    char *subject; /* node's name, or key */
    char *ids;     /* of the instances it is about, ascending, each with its NUL; NULL: a node's */
    size_t ids_len;
};

struct ml_queue {
    struct ml_item *head, **tail;
    uint32_t count;
    size_t bytes;
};

/* A ping on behalf of somebody who asked. */
struct ml_relay {
    uint32_t seq, their_seq;
    struct pw_ml_addr reply_to;
    int64_t nack_ms; /* when a nack is due; 0: none is wanted, the entry only ends */
    int64_t end_ms;
    bool nack;
};

struct ml_probe {
    bool active, indirect;
    char name[PW_ML_NAME_MAX + 1];
    uint32_t seq;
    int64_t direct_until_ms, until_ms;
    uint32_t nacks_expected, nacks;
};

struct pw_memberlist {
    struct pw_memberlist_cfg cfg;
    char label[256];
    char own_addr[PW_ML_ADDR_TEXT];
    struct pw_ml_wire_cfg wire;
    struct pw_memberlist_io io;
    struct pw_kv *kv;
    struct pw_ml_now now; /* of the call at work */
    uint64_t random;

    struct ml_node *node[PW_ML_NODES_MAX]; /* in the order they are probed */
    uint32_t nodes;
    struct ml_node *self;
    bool leaving;

    struct ml_queue members, local, forwarded;

    uint32_t seq;
    uint32_t probe_at; /* index of the next one to probe */
    struct ml_probe probe;
    uint32_t health;
    struct ml_relay relay[PW_ML_RELAYS_MAX];
    uint32_t relays;

    int64_t next_probe_ms, next_gossip_ms, next_push_pull_ms, next_expire_ms;
    uint32_t connections;
    size_t input_bytes;
    struct pw_memberlist_stats stats;
};

/* memberlist.c */
uint64_t ml_random(struct pw_memberlist *ml);
uint32_t ml_below(struct pw_memberlist *ml, uint32_t n); /* uniform; n > 0 */
void ml_take_message(struct pw_memberlist *ml, struct pw_slice message,
                     const struct pw_ml_addr *from);
/* One message, with what waits added where it fits. */
void ml_send(struct pw_memberlist *ml, const struct pw_ml_addr *to, struct pw_slice message);
void ml_send_compound(struct pw_memberlist *ml, const struct pw_ml_addr *to, bool crc,
                      const struct pw_slice *part, uint32_t parts);
uint32_t ml_retransmit_limit(const struct pw_memberlist *ml);

/* memberlist_node.c */
struct ml_node *ml_find(const struct pw_memberlist *ml, struct pw_slice name);
PW_MUST_USE int ml_add_self(struct pw_memberlist *ml);
void ml_alive(struct pw_memberlist *ml, const struct pw_ml_msg *m);
void ml_suspect(struct pw_memberlist *ml, const struct pw_ml_msg *m);
void ml_dead(struct pw_memberlist *ml, const struct pw_ml_msg *m);
void ml_free_node(struct ml_node *n);
/* Suspicions that are over; returns when the next one is. */
int64_t ml_expire_suspicions(struct pw_memberlist *ml);
void ml_forget_dead(struct pw_memberlist *ml);
/* Indexes of up to want members for which fit says yes, each as likely. */
uint32_t ml_pick(struct pw_memberlist *ml,
                 bool (*fit)(const struct pw_memberlist *, const struct ml_node *), uint32_t *index,
                 uint32_t want);
void ml_describe(const struct ml_node *n, struct pw_ml_msg *m);
struct pw_slice ml_own_name(const struct pw_memberlist *ml);

/* memberlist_probe.c */
void ml_take_ping(struct pw_memberlist *ml, const struct pw_ml_msg *m,
                  const struct pw_ml_addr *from);
void ml_take_indirect_ping(struct pw_memberlist *ml, const struct pw_ml_msg *m,
                           const struct pw_ml_addr *from);
void ml_take_ack(struct pw_memberlist *ml, const struct pw_ml_msg *m);
void ml_take_nack(struct pw_memberlist *ml, const struct pw_ml_msg *m);
int64_t ml_step_probe(struct pw_memberlist *ml);
void ml_add_health(struct pw_memberlist *ml, int32_t delta);

/* memberlist_queue.c */
void ml_queue_init(struct ml_queue *q);
void ml_queue_fini(struct ml_queue *q);
/* Copies all; what it covers goes. ids NULL: a message about a node. How many were dropped for room. */
uint32_t ml_queue_put(struct ml_queue *q, struct pw_slice message, const char *subject,
                      struct pw_slice ids);
/* Calls fn for messages that together fit into *budget (each with `overhead` more), counts them as sent,
 * drops those sent limit times. */
void ml_queue_take(struct ml_queue *q, uint32_t limit, size_t overhead, size_t *budget,
                   void (*fn)(void *ctx, struct pw_slice message), void *ctx);

/* memberlist_conn.c */
void ml_push_pull(struct pw_memberlist *ml, const struct pw_ml_addr *to);

#endif
