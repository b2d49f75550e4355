/* ring/memberlist.h - the gossip among the members of a cluster, as a state machine without sockets.
 *
 * Purpose  know who is there (alive, suspect, dead, left), and spread what changes in a store of rings
 *          (ring/kv.h), so that stock's processes and ours are members of one cluster (contract ring.md 4).
 * Owner    whoever made it; it uses the store it was given and belongs under that store's lock.
 * Context  cold. Sans-I/O: bytes, the time and chance (a seed) come in, connections to be made go out
 *          through struct pw_memberlist_io, which must not call back.
 * Units    ms of a monotonic clock for timers, unix seconds for what is in the store.
 * Errors   what others send is never fatal: it is refused, counted (pw_memberlist_stats) and dropped.
 * Limits   PW_ML_NODES_MAX members, PW_ML_RELAYS_MAX pings for others under way, PW_ML_QUEUE_MAX messages
 *          and PW_ML_QUEUE_BYTES_MAX waiting (the oldest go), PW_ML_CONNECTIONS_MAX connections and
 *          PW_ML_INPUT_BYTES_MAX bytes read from them and not yet taken.
 *
 * The transport is dskit's: no UDP; each packet is a TCP connection of its own, streams are for push/pull.
 *   app                                    memberlist
 *   accepted a connection  --------------> pw_ml_conn_accept, _input, _eof, _output ... _free
 *   timer                  --------------> pw_memberlist_step: probes, gossip, push/pull, suspicion
 *   connects, writes, closes  <----------- io.send
 *   connects, _output, _input ... _free <- io.dial
 */
#ifndef PW_RING_MEMBERLIST_H
#define PW_RING_MEMBERLIST_H

#include "ring/kv.h"
#include "ring/memberlist_msg.h"
#include "ring/memberlist_packet.h"

enum {
    PW_ML_NODES_MAX = 1024,
    PW_ML_RELAYS_MAX = 256,
    PW_ML_QUEUE_MAX = 4096,
    PW_ML_QUEUE_BYTES_MAX = 32 << 20,
    PW_ML_CONNECTIONS_MAX = 128,
    PW_ML_INPUT_BYTES_MAX = 64 << 20,
    PW_ML_STATE_BYTES_MAX = 20 << 20, /* user state of one push/pull */
};

enum pw_ml_state { /* the numbers of the wire */
                   PW_ML_STATE_ALIVE = 0,
                   PW_ML_STATE_SUSPECT =
                       1,                /* did not answer; will be dead unless it says otherwise */
                   PW_ML_STATE_DEAD = 2, /* stayed silent */
                   PW_ML_STATE_LEFT = 3, /* said so itself */
};

struct pw_memberlist;
struct pw_ml_conn;

struct pw_ml_now {
    int64_t mono_ms; /* timers */
    int64_t wall_s;  /* what is in the store */
};

struct pw_memberlist_cfg {
    const char *name;
    struct pw_ml_addr addr; /* what others reach us at */
    const char *label;      /* "" none */
    bool label_unchecked;
    enum pw_ml_compression compression;
    int64_t gossip_interval_ms, push_pull_interval_ms;
    int64_t probe_interval_ms, probe_timeout_ms; /* 0: stock's, 5 s and 2 s */
    int64_t gossip_to_dead_ms, dead_reclaim_ms;
    uint32_t gossip_nodes, retransmit_factor;
    uint64_t seed;
};

struct pw_memberlist_io {
    void *ctx;
    /* Connect, write the bytes (borrowed for the call), close. May lose them. */
    void (*send)(void *ctx, const struct pw_ml_addr *to, struct pw_slice bytes);
    /* Connect for conn, which is taken: pw_ml_conn_free ends it, also when there is no connection. Negative:
     * not taken. */
    int (*dial)(void *ctx, const struct pw_ml_addr *to, struct pw_ml_conn *conn);
};

struct pw_ml_node_info {
    const char *name;
    struct pw_ml_addr addr;
    enum pw_ml_state state;
    uint32_t incarnation;
    int64_t changed_ms;
    struct pw_slice meta;
    const uint8_t *vsn; /* PW_ML_VSN_BYTES: pmin, pmax, pcur, dmin, dmax, dcur */
    bool self;
};

#define PW_MEMBERLIST_COUNTERS(X)                                                                  \
    X(packets_in, "Packets taken.")                                                                \
    X(packets_out, "Packets sent.")                                                                \
    X(bytes_in, "Bytes of connections read.")                                                      \
    X(bytes_out, "Bytes of packets sent.")                                                         \
    X(packets_broken, "Packets that are none: length, checksum, compression.")                     \
    X(packets_md5_differs, "Packets taken although their MD5 differs.")                            \
    X(packets_other_label, "Packets and streams of another cluster.")                              \
    X(messages_in, "Messages taken, parts of compounds counted alone.")                            \
    X(messages_broken, "Messages that cannot be read.")                                            \
    X(messages_unknown, "Messages of a type nobody here knows.")                                   \
    X(user_in, "Changes of rings received.")                                                       \
    X(user_local, "Changes of rings of our own, queued.")                                          \
    X(user_forwarded, "Changes of rings of others, queued.")                                       \
    X(queue_dropped, "Messages dropped because too many waited.")                                  \
    X(probes, "Probes of members.")                                                                \
    X(probes_failed, "Probes nobody answered.")                                                    \
    X(indirect_pings, "Pings asked of others, or by others of us.")                                \
    X(refuted, "Times we said that we are alive after all.")                                       \
    X(conflicts, "Members announced at another address than known.")                               \
    X(nodes_refused, "Members not taken: too many, or a name or version that cannot be.")          \
    X(push_pull_out, "States compared, begun by us.")                                              \
    X(push_pull_out_failed, "Of these, not completed.")                                            \
    X(push_pull_in, "States compared, begun by others.")                                           \
    X(push_pull_broken, "States that cannot be read or whose versions do not fit.")                \
    X(connections_refused, "Connections refused because of too many, or of too many bytes.")

struct pw_memberlist_stats {
#define PW_ML_COUNTER(name, help) uint64_t name;
    PW_MEMBERLIST_COUNTERS(PW_ML_COUNTER)
#undef PW_ML_COUNTER
};

/* Borrows kv, whose changes it is told of from now on (pw_kv_tell). */
PW_MUST_USE int pw_memberlist_create_ctl(struct pw_memberlist **ml,
                                         const struct pw_memberlist_cfg *cfg,
                                         const struct pw_memberlist_io *io, struct pw_kv *kv,
                                         struct pw_ml_now now);
/* Connections of it must be freed before. */
void pw_memberlist_destroy_ctl(struct pw_memberlist *ml);

/* Does what is due; the monotonic ms when it wants to be called next. */
int64_t pw_memberlist_step(struct pw_memberlist *ml, struct pw_ml_now now);
/* Compares states with whoever is at that address, as a joining member; how it ended says pw_ml_conn_ok. */
PW_MUST_USE int pw_memberlist_join(struct pw_memberlist *ml, const struct pw_ml_addr *to,
                                   struct pw_ml_now now);
/* Tells the others that we leave. Steps go on until pw_memberlist_idle, or patience ends. */
void pw_memberlist_leave(struct pw_memberlist *ml, struct pw_ml_now now);
/* Nothing of our own waits to be told to anybody who is alive. */
bool pw_memberlist_idle(const struct pw_memberlist *ml);

uint32_t pw_memberlist_count(const struct pw_memberlist *ml, enum pw_ml_state state);
/* In any order; i below the sum of all counts. Good until the next call. */
uint32_t pw_memberlist_nodes(const struct pw_memberlist *ml);
struct pw_ml_node_info pw_memberlist_node(const struct pw_memberlist *ml, uint32_t i);
uint32_t
pw_memberlist_health(const struct pw_memberlist *ml); /* 0 good ... 7: we ourselves are slow */
uint32_t pw_memberlist_queued(const struct pw_memberlist *ml);
const struct pw_memberlist_stats *pw_memberlist_stats(const struct pw_memberlist *ml);

/* --- Connections (memberlist_conn.c) -------------------------------------------------------------- */

enum pw_ml_conn_next {
    PW_ML_CONN_MORE = 0,  /* read on, write what is there */
    PW_ML_CONN_DONE = 1,  /* write what is there, close */
    PW_ML_CONN_CLOSE = 2, /* close at once */
};

/* For one that was accepted; NULL: refuse it. */
struct pw_ml_conn *pw_ml_conn_accept(struct pw_memberlist *ml);
enum pw_ml_conn_next pw_ml_conn_input(struct pw_ml_conn *c, struct pw_slice bytes,
                                      struct pw_ml_now now);
/* The other end writes no more. */
enum pw_ml_conn_next pw_ml_conn_eof(struct pw_ml_conn *c, struct pw_ml_now now);
/* What is to be written; good until the next call for c. */
struct pw_slice pw_ml_conn_output(const struct pw_ml_conn *c);
void pw_ml_conn_written(struct pw_ml_conn *c, size_t n);
bool pw_ml_conn_is_join(const struct pw_ml_conn *c);
bool pw_ml_conn_ok(const struct pw_ml_conn *c); /* a state was taken */
void pw_ml_conn_free(struct pw_ml_conn *c);

#endif
