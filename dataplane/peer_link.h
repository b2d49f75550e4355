/* dataplane/peer_link.h - requests to other appliances and their answers, over datagrams.
 *
 * Purpose  one struct pw_link is the end of one polling thread: it calls peers and is called by them.
 *          Authenticated, encrypted, retransmitted; the protocol is in peer_link.md. What carries the
 *          datagrams (a worker's queue, a kernel socket) is behind peer_link_io.h.
 * Owner    the thread that polls it; every function here is called on that thread, from anywhere, also
 *          from within the callbacks (but for create and destroy).
 * Context  open, close: cold (they may be called while polling). The others: hot.
 * Units    microseconds of any monotonic clock.
 * Errors   as said at each function. A peer that is silent is down: its calls are done with PW_LINK_DEAD
 *          at once, and it is tried again until it is closed. What the other end answered is a status of
 *          0..65535 whose meaning is the callers'.
 * Limits   below; memory is taken at creation and never grows.
 */
#ifndef PW_DATAPLANE_PEER_LINK_H
#define PW_DATAPLANE_PEER_LINK_H

#include "base/err.h"
#include "base/text.h"
#include "base/types.h"

struct pw_link;

enum {
    PW_LINK_VERSION = 1,
    PW_LINK_PEERS_MAX = 64,                        /* that one end may have open */
    PW_LINK_SESSIONS_MAX = 256,                    /* that others may have open to one end */
    PW_LINK_CALLS_MAX = 256,                       /* in flight to one peer */
    PW_LINK_PARTS_MAX = 8,                         /* of one request */
    PW_LINK_MESSAGE_BYTES_MAX = (64 << 20) + 4096, /* what a distributor has room for, and a head */
    PW_LINK_TEXT_BYTES_MAX = 256,                  /* of an answer; more is cut off */
    PW_LINK_ID_BYTES_MAX = 63,
    PW_LINK_SECRET_BYTES_MIN = 16,
    PW_LINK_SECRET_BYTES_MAX = 4096,
};

/* The status of on_done when there was no answer: the peer went silent, said good-bye or was closed. It
 * may or may not have done what it was asked to. */
enum { PW_LINK_DEAD = -1 };

/* IPv4 as ::ffff:a.b.c.d. */
struct pw_link_addr {
    uint8_t ip[16];
    uint16_t port;
    uint16_t local; /* for what carries datagrams: our own port; 0 in pw_link_open */
};

/* A request that waits for its answer. Plain data: copy it, keep it as long as it takes; one whose
 * session has ended is recognised. */
struct pw_link_from {
    uint32_t session;
    uint32_t turn;
    uint16_t slot;
};

/* Why a peer is down that was up. */
struct pw_link_down {
    bool bye;           /* it said so; else it was silent */
    uint64_t silent_us; /* while this end was there to hear it */
    uint64_t away_us;   /* and that this end was not, meanwhile */
    uint32_t asked;     /* pings without an answer */
};

/* What the end calls. text and bytes are borrowed for the call alone. */
struct pw_link_app {
    void *ctx;
    /* The call is over and its bytes are the caller's again. status: PW_LINK_DEAD or the answer. */
    void (*on_done)(void *ctx, uint64_t cookie, int status, struct pw_slice text);
    /* A peer asks, each request once. Answer it with pw_link_reply, now or later. */
    void (*on_request)(void *ctx, struct pw_link_from from, struct pw_slice bytes);
    /* A peer that was opened answers now, or no longer does. NULL: not told. */
    void (*on_peer)(void *ctx, uint32_t peer, bool up);
};

/* Zero fields take the defaults named. */
struct pw_link_cfg {
    struct pw_link_app app;
    const char *self_id; /* ring instance id of this appliance; peers call us by it */
    struct pw_slice
        secret;    /* of -link.secret-file; read by create alone. Empty: insecure must be set */
    bool insecure; /* neither authenticated nor encrypted: anybody may call. secret is ignored */
    bool no_cryptodev;     /* AES-GCM by libcrypto instead of DPDK's drivers: tests without EAL */
    uint16_t packet_bytes; /* 1472: largest datagram, both ways; to an IPv6 peer 20 less */
    uint32_t peers_max;    /* 16 */
    uint32_t sessions_max; /* 64: of others to us */
    uint64_t
        rx_bytes; /* 96 MiB: requests of several packets that are not whole yet, all sessions */
    uint64_t session_bytes; /* 8 MiB: the same of one session, what is granted to it */
    uint64_t calls_bytes;   /* 16 MiB: requests in flight to one peer */
    uint32_t silence_ms;    /* 800: a peer that says nothing for so long is down */
    uint32_t epoch_bits;    /* 24: keys change every 2^n packets */
    /* Our own ports, one after the other, that handshakes are sent from in turn until an answer reaches this
     * end: where receive queues are chosen by a hash, a session has to find a port that leads back here. */
    uint16_t local_port;  /* 0: the carrier's business */
    uint16_t local_ports; /* 1 */
    /* n bytes nobody can guess; NULL: getrandom. Called at each handshake. */
    void (*random)(void *ctx, uint8_t *dst, size_t n);
    void *random_ctx;
};

/* NULL with a reason in *err (may be NULL): PW_EINVAL no secret and not insecure, or one too short;
 * PW_ENOTSUP no driver and no library for AES-GCM; PW_ENOMEM. now_us: the clock at start. */
struct pw_link *pw_link_create_ctl(const struct pw_link_cfg *cfg, uint64_t now_us, int *err);
/* No callback comes any more; bytes of calls in flight are the caller's again. */
void pw_link_destroy_ctl(struct pw_link *l);

/* Begins to look for the peer of that id at that address, and keeps a session with it until it is closed;
 * on_peer tells when there is one. Returns its number, 0..peers_max-1; PW_EEXIST: the id is open (at
 * whatever address); PW_ENOSPC; PW_EINVAL: the id is empty or too long. */
PW_MUST_USE int pw_link_open(struct pw_link *l, const char *peer_id,
                             const struct pw_link_addr *addr);
/* Says good-bye. Its calls are done with PW_LINK_DEAD before this returns; on_peer is not called. */
void pw_link_close(struct pw_link *l, uint32_t peer);
bool pw_link_peer_up(const struct pw_link *l, uint32_t peer);
/* Of the last time it went down, until it is up again; all zero when it was closed. */
struct pw_link_down pw_link_down(const struct pw_link *l, uint32_t peer);

/* Sends a request of 1..PW_LINK_MESSAGE_BYTES_MAX bytes, the parts in order. The parts are copied, the bytes they
 * name are borrowed until on_done (never called from within) or pw_link_cancel. cookie: the caller's, one of a
 * kind among its calls in flight. 0; PW_EAGAIN: PW_LINK_CALLS_MAX or calls_bytes in flight; PW_ECONNRESET:
 * the peer is not up; PW_EMSGSIZE: too long, or too many parts; PW_EINVAL: empty. */
PW_MUST_USE int pw_link_call(struct pw_link *l, uint32_t peer, const struct pw_slice *parts,
                             uint32_t count, uint64_t cookie);
/* Gives up on a call: its bytes are the caller's again at once, on_done does not come. The peer may have
 * done what it was asked to. 0; PW_ENOENT: no such call. */
int pw_link_cancel(struct pw_link *l, uint64_t cookie);

/* Answers a request. 0; PW_ENOENT: it was answered, cancelled or its session ended: no harm. */
int pw_link_reply(struct pw_link *l, struct pw_link_from from, uint16_t status,
                  struct pw_slice text);
/* Instance id of who asked, borrowed while its session lasts; "" when it ended. */
const char *pw_link_from_id(const struct pw_link *l, struct pw_link_from from);

/* Says good-bye to everybody and takes no new sessions: peers know at once instead of after silence_ms. */
void pw_link_leave(struct pw_link *l);

/* A counter by its name in peer_link_stat.def or a reason of peer_link_drop.def; UINT64_MAX: unknown name. */
uint64_t pw_link_stat(const struct pw_link *l, const char *name);
/* Prometheus text of n ends: pyrowire_link_*. Any thread, values may be skewed. */
void pw_link_metrics(struct pw_link *const *l, uint32_t n, struct pw_text *out);

#endif
