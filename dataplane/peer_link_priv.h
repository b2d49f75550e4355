/* dataplane/peer_link_priv.h - the layout of struct pw_link and of its sessions.
 *
 * Purpose  for peer_link*.c alone.
 * Owner    the thread that polls the link.
 * Context  hot.
 * Units    microseconds; packet numbers count from 1.
 * Errors   what peers send is refused and counted; broken state of our own is a PW_INVARIANT.
 * Limits   all memory is mapped at creation and touched as it is used.
 *
 * A session goes one way: its client (who opened it) sends requests, its server answers. Two appliances that
 * replicate to each other have two. The first peers_max of struct pw_link.session are our clients', at the peer's
 * number; behind them are those that others opened to us.
 *
 * What goes out is asked for (pw_link_output): a session that has something stands in the list `out`.
 * Things to be sent apart from the first sending of fragments (answers, cancellations, whatever was lost) wait as items in
 * `todo`. Every packet that wants an acknowledgement has a record in `sent` with its items: lost, they go back to `todo`.
 */
#ifndef PW_DATAPLANE_PEER_LINK_PRIV_H
#define PW_DATAPLANE_PEER_LINK_PRIV_H

#include "base/check.h"
#include "dataplane/peer_link_aead.h"
#include "dataplane/peer_link_io.h"
#include "dataplane/peer_link_wire.h"

#include <sys/queue.h>

enum pw_link_drop {
#define PW_LINK_DROP(symbol, name, text) PW_LINK_DROP_##symbol,
#include "dataplane/peer_link_drop.def"
#undef PW_LINK_DROP
    PW_LINK_DROP_COUNT,
};

enum pw_link_stat {
#define PW_LINK_STAT(symbol, name, help) PW_LINK_STAT_##symbol,
#include "dataplane/peer_link_stat.def"
#undef PW_LINK_STAT
    PW_LINK_STAT_COUNT,
};

enum {
    PW_LINK_SENT_MAX = 64 * PW_LINK_ACK_WORDS_MAX, /* packets in flight */
    PW_LINK_ITEMS_MAX = 16,                        /* of one packet */
    PW_LINK_TODO_MAX = 2048,                       /* a power of two */
    PW_LINK_TODO_FRESH = 640, /* of them kept for answers, cancellations and pings */
    PW_LINK_SEEN_BITS = 2048, /* packet numbers whose replay is recognised */
    PW_LINK_INDEX_BITS = 10,  /* of a session id: which session; the rest is random */
    PW_LINK_BLOCK_BYTES = 16 << 10,
    PW_LINK_SECRET_BYTES = 32,
};

enum pw_link_kind {
    PW_LINK_ITEM_PING,
    PW_LINK_ITEM_FRAGMENT,
    PW_LINK_ITEM_REPLY,
    PW_LINK_ITEM_CANCEL,
};

struct pw_link_item {
    uint32_t turn;
    uint16_t slot;
    uint16_t index; /* of the fragment */
    uint8_t kind;
};

/* Answers and cancellations that wait are of whatever turn their slot has when they go out; the turn of an
 * item matters for fragments, and for what was sent. */

/* A packet that wants an acknowledgement; at pn % PW_LINK_SENT_MAX. */
struct pw_link_sent {
    uint64_t pn;
    uint64_t at_us;
    uint16_t bytes;
    uint8_t count;
    bool in_flight;
    bool lost; /* taken for lost; may still be acknowledged */
    struct pw_link_item item[PW_LINK_ITEMS_MAX];
};

enum pw_link_call_state {
    PW_LINK_CALL_FREE,
    PW_LINK_CALL_SENDING, /* waits in `sending`, some of it may be out */
    PW_LINK_CALL_SENT,    /* all of it went out once */
    PW_LINK_CALL_CANCEL,  /* its bytes are no longer ours; the peer is told */
};

struct pw_link_call {
    uint64_t cookie;
    uint32_t turn;
    uint32_t total;
    uint32_t fragments;
    uint32_t next; /* fragment that was not sent yet */
    enum pw_link_call_state state;
    bool todo; /* its cancellation waits to be sent */
    uint32_t parts;
    struct pw_slice part[PW_LINK_PARTS_MAX];
};

enum pw_link_slot_state {
    PW_LINK_SLOT_IDLE,    /* nothing yet, or cancelled */
    PW_LINK_SLOT_PARTIAL, /* fragments are missing */
    PW_LINK_SLOT_ASKED,   /* the application has it */
    PW_LINK_SLOT_REPLIED,
};

struct pw_link_slot {
    uint32_t turn;
    enum pw_link_slot_state state;
    uint32_t total;
    uint32_t fragments;
    uint32_t missing;
    uint32_t block; /* of the arena: a bitmap of fragments, then the bytes */
    uint32_t blocks;
    uint16_t status;
    uint16_t text_len;
    bool todo; /* its answer waits to be sent */
    uint8_t text[PW_LINK_TEXT_BYTES_MAX];
};

enum pw_link_state {
    PW_LINK_STATE_FREE,
    PW_LINK_STATE_HELLO, /* client: looks for the peer */
    PW_LINK_STATE_HALF,  /* server: answered a handshake, no packet under the new keys yet */
    PW_LINK_STATE_UP,
    PW_LINK_STATE_BYE, /* one packet to say so, then free */
};

struct pw_link_key {
    void *key;
    uint8_t iv[PW_LINK_NONCE_BYTES];
};

/* One direction: keys of an epoch come from its secret, and so does the next epoch's secret. */
struct pw_link_rx_keys {
    struct pw_link_key slot[3];                /* at epoch % 3: the last, this and the next epoch */
    uint8_t next_secret[PW_LINK_SECRET_BYTES]; /* of the epoch behind those three */
    uint64_t epoch;
};

struct pw_link_tx_keys {
    struct pw_link_key key;
    uint8_t next_secret[PW_LINK_SECRET_BYTES];
    uint64_t epoch;
};

/* What arrived, and whether to say so. */
struct pw_link_seen {
    uint64_t max;                          /* highest packet number that was taken; 0: none */
    uint64_t bits[PW_LINK_SEEN_BITS / 64]; /* pn % PW_LINK_SEEN_BITS */
    uint64_t max_at_us;
    uint64_t told;    /* max of the last acknowledgement */
    uint32_t waiting; /* packets that want an acknowledgement and have none */
    bool now;         /* it may not wait */
    uint64_t due_us;
};

struct pw_link_flight {
    uint64_t next_pn;
    uint64_t oldest;  /* nothing below is in flight */
    uint64_t largest; /* acknowledged */
    uint32_t packets;
    uint32_t bytes;
    uint32_t cwnd;
    uint32_t ssthresh;
    uint64_t recover; /* losses up to here belong to one congestion event */
    uint32_t reorder; /* packets behind which a missing one is lost */
    uint32_t srtt_us; /* 0: no sample yet */
    uint32_t rttvar_us;
    uint32_t backoff;
    uint32_t probes;  /* packets that may go out beyond cwnd */
    uint64_t last_us; /* when something was sent that wants an acknowledgement */
    uint64_t loss_us; /* when the oldest becomes lost by time; 0: not armed */
};

struct pw_link_session {
    TAILQ_ENTRY(pw_link_session) link;
    bool queued; /* in `out` */
    bool client;
    enum pw_link_state state;
    uint32_t index;
    uint32_t local_id;
    uint32_t remote_id;
    struct pw_link_addr addr;
    char id[PW_LINK_ID_BYTES_MAX + 1]; /* the peer's */
    uint16_t fragment_bytes;
    uint16_t packet_bytes;
    uint16_t
        path_bytes; /* client: what the path takes, as a router said at path_us; 0: nobody did */
    uint64_t path_us;

    /* Handshake. */
    uint8_t client_nonce[PW_LINK_SECRET_BYTES];
    uint8_t server_nonce[PW_LINK_SECRET_BYTES];
    uint64_t hello_us; /* client: when the next goes out; server: when the half session ends */
    uint32_t hello_tries;
    bool hello_due;
    bool up_told;

    uint64_t heard_us; /* both are moved on by what this end slept through */
    uint64_t pinged_us;
    uint32_t asked; /* pings that went out since something was heard */
    struct pw_link_down down;
    struct pw_link_tx_keys tx;
    struct pw_link_rx_keys rx;
    struct pw_link_seen seen;
    struct pw_link_flight flight;
    bool ping_due;

    uint32_t todo_head;
    uint32_t todo_count;
    struct pw_link_item todo[PW_LINK_TODO_MAX];

    /* Client: what was granted and used. Server: what was granted, taken and given back. */
    uint64_t credit_max;
    uint64_t credit_used;

    /* Client. */
    uint64_t calls_bytes; /* whose memory we hold */
    uint32_t calls_free;
    uint32_t sending_head;
    uint32_t sending_count;
    uint16_t free_call[PW_LINK_CALLS_MAX];
    uint16_t sending[PW_LINK_CALLS_MAX];

    union {
        struct pw_link_call call[PW_LINK_CALLS_MAX];
        struct pw_link_slot slot[PW_LINK_CALLS_MAX];
    };
    struct pw_link_sent sent[PW_LINK_SENT_MAX];
};

TAILQ_HEAD(pw_link_list, pw_link_session);

/* Memory of requests of several packets: runs of blocks. */
struct pw_link_arena {
    uint8_t *base;
    uint8_t *used; /* a byte a block */
    uint32_t blocks;
    uint32_t free;
    uint32_t hint;
};

struct pw_link {
    struct pw_link_app app;
    char self_id[PW_LINK_ID_BYTES_MAX + 1];
    bool insecure;
    bool leaving;
    uint16_t packet_bytes;
    uint32_t peers_max;
    uint32_t sessions_max;
    uint64_t session_bytes;
    uint64_t calls_bytes;
    uint64_t silence_us;
    uint32_t epoch_bits;
    uint16_t local_port;
    uint16_t local_ports;
    void (*random)(void *ctx, uint8_t *dst, size_t n);
    void *random_ctx;
    struct pw_link_aead aead;
    void *hello_seal;
    void *hello_open;
    void *kdf;                          /* EVP_KDF */
    uint8_t root[PW_LINK_SECRET_BYTES]; /* of the secret; what session keys come from */

    uint64_t tick_us; /* of the last tick */
    uint64_t next_us; /* of the next that has anything to do */
    uint64_t hello_refill_us;
    uint32_t hello_tokens;
    struct pw_link_list out;
    struct pw_link_arena arena;
    uint64_t stat[PW_LINK_STAT_COUNT];
    uint64_t drop[PW_LINK_DROP_COUNT];

    uint8_t *opened;                                     /* packet_bytes: the packet that is read */
    struct pw_link_session *session;                     /* peers_max + sessions_max */
    bool live[PW_LINK_PEERS_MAX + PW_LINK_SESSIONS_MAX]; /* session[i] is not free */
    size_t session_map_bytes;
};

static inline void
pw_link_dropped(struct pw_link *l, enum pw_link_drop reason)
{
    l->drop[reason]++;
}

static inline uint32_t
pw_link_sessions(const struct pw_link *l)
{
    return l->peers_max + l->sessions_max;
}

static inline struct pw_link_sent *
pw_link_sent_at(struct pw_link_session *s, uint64_t pn)
{
    return &s->sent[pn % PW_LINK_SENT_MAX];
}

/* The session has something for pw_link_output. */
static inline void
pw_link_want_out(struct pw_link *l, struct pw_link_session *s)
{
    if (!s->queued) {
        s->queued = true;
        TAILQ_INSERT_TAIL(&l->out, s, link);
    }
}

static inline void
pw_link_want_tick(struct pw_link *l, uint64_t at_us)
{
    l->next_us = at_us < l->next_us ? at_us : l->next_us;
}

/* peer_link_keys.c. 0 or PW_ENOMEM: libcrypto or the cipher had no memory. */
PW_MUST_USE int pw_link_keys_init_ctl(struct pw_link *l, struct pw_slice secret);
void pw_link_keys_fini_ctl(struct pw_link *l);
/* Keys of both directions from both nonces. */
PW_MUST_USE int pw_link_keys_session(struct pw_link *l, struct pw_link_session *s);
void pw_link_keys_drop(struct pw_link *l, struct pw_link_session *s);
PW_MUST_USE int pw_link_keys_next_tx(struct pw_link *l, struct pw_link_session *s);
PW_MUST_USE int pw_link_keys_next_rx(struct pw_link *l, struct pw_link_session *s);
void pw_link_nonce(const struct pw_link_key *k, uint64_t pn, uint8_t nonce[PW_LINK_NONCE_BYTES]);

/* peer_link_hello.c */
enum { PW_LINK_HELLO_HALF_US = 2000000 };
void pw_link_hello_input(struct pw_link *l, const struct pw_link_addr *from, uint8_t *bytes,
                         size_t len, uint64_t now_us);
void pw_link_welcome_input(struct pw_link *l, struct pw_link_session *s,
                           const struct pw_link_addr *from, uint8_t *bytes, size_t len,
                           uint64_t now_us);
size_t pw_link_hello_output(struct pw_link *l, struct pw_link_session *s, uint8_t *buf);
size_t pw_link_welcome_output(struct pw_link *l, struct pw_link_session *s, uint8_t *buf);
/* A half session had a packet under its keys: whoever sent its handshake holds the secret now. */
void pw_link_confirmed(struct pw_link *l, struct pw_link_session *s);

/* peer_link_session.c */
struct pw_link_session *pw_link_find(struct pw_link *l, uint32_t local_id);
/* A free session of others; NULL: none. */
struct pw_link_session *pw_link_session_get(struct pw_link *l);
/* Both ends know the keys, or will. fragment_bytes follows from packet_bytes. */
void pw_link_session_begin(struct pw_link *l, struct pw_link_session *s, uint64_t now_us);
/* Timers; whether one acted. Tells when it wants to be called again. */
bool pw_link_session_tick(struct pw_link *l, struct pw_link_session *s, uint64_t now_us);
/* Ends what the session is about: calls are done with PW_LINK_DEAD, parts of requests are given back, keys are dropped. A
 * client goes on to look for its peer when again is set, else the session is free. */
void pw_link_session_end(struct pw_link *l, struct pw_link_session *s, bool again, uint64_t now_us);
void pw_link_session_seek(struct pw_link *l, struct pw_link_session *s, uint64_t now_us);
void pw_link_new_id(struct pw_link *l, struct pw_link_session *s);

/* peer_link_calls.c */
/* False: no room, nothing was put. */
bool pw_link_todo(struct pw_link *l, struct pw_link_session *s, struct pw_link_item item);
void pw_link_calls_begin(struct pw_link_session *s);
void pw_link_calls_fail(struct pw_link *l, struct pw_link_session *s);
void pw_link_reply_input(struct pw_link *l, struct pw_link_session *s,
                         const struct pw_link_frame *f);
/* The peer knows that the call was given up: its place is free. */
void pw_link_cancel_acked(struct pw_link *l, struct pw_link_session *s, uint16_t slot,
                          uint32_t turn);
void pw_link_sending_done(struct pw_link_session *s);

/* peer_link_requests.c. 0; PW_ENOMEM: the packet must not count as arrived; PW_EPROTO. */
PW_MUST_USE int pw_link_fragment_input(struct pw_link *l, struct pw_link_session *s,
                                       const struct pw_link_frame *f);
PW_MUST_USE int pw_link_cancel_input(struct pw_link *l, struct pw_link_session *s,
                                     const struct pw_link_frame *f);
void pw_link_requests_drop(struct pw_link *l, struct pw_link_session *s);
PW_MUST_USE int pw_link_arena_init_ctl(struct pw_link_arena *a, uint64_t bytes);
void pw_link_arena_fini_ctl(struct pw_link_arena *a);

/* peer_link_flight.c */
void pw_link_flight_begin(struct pw_link_session *s);
void pw_link_ack_input(struct pw_link *l, struct pw_link_session *s, const struct pw_link_frame *f,
                       uint64_t now_us);
/* Timers of what is in flight: returns whether one acted. */
bool pw_link_flight_tick(struct pw_link *l, struct pw_link_session *s, uint64_t now_us);
uint64_t pw_link_flight_next_us(const struct pw_link_session *s);
/* Takes the packet for lost: its items wait again. False: no room for them, it stays in flight. */
bool pw_link_lose(struct pw_link *l, struct pw_link_session *s, struct pw_link_sent *r);

/* peer_link_input.c */
/* An ACK frame of what arrived; returns its length. */
size_t pw_link_ack_put(struct pw_link_session *s, uint8_t *dst, uint64_t now_us);

/* peer_link_output.c: the next packet of an open session; 0: none for now. */
size_t pw_link_data_output(struct pw_link *l, struct pw_link_session *s, uint8_t *buf,
                           uint64_t now_us);

/* peer_link_path.c: the largest datagram that may be offered to that peer. */
uint16_t pw_link_datagram_max(const struct pw_link *l, const struct pw_link_session *s);

#endif
