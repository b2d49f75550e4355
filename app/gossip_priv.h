/* app/gossip_priv.h - the gossip's thread between its files.
 *
 * Purpose  gossip.c: life and addresses; gossip_loop.c: the thread and its sockets; gossip_join.c: seeds;
 *          conduit.c and tls.c beneath them: what a connection carries, plain or not.
 * Owner    struct pw_gossip belongs to the thread from start to stop; stopping, joined and wake_fd are
 *          for others too.
 * Context  cold.
 */
#ifndef PW_APP_GOSSIP_PRIV_H
#define PW_APP_GOSSIP_PRIV_H

#include "app/conduit.h"
#include "app/gossip.h"
#include "app/parts.h"
#include "base/log.h"
#include "ring/memberlist.h"

#include <netinet/in.h>
#include <sys/socket.h>

enum {
    GOSSIP_WRITES_MAX = 256, /* packets waiting or being written */
    GOSSIP_SOCKETS_MAX = PW_ML_CONNECTIONS_MAX + GOSSIP_WRITES_MAX,
    GOSSIP_WAKE = GOSSIP_SOCKETS_MAX, /* epoll's word for it; behind it the sockets that listen */
    GOSSIP_LISTEN,
    GOSSIP_SEEDS_MAX = 64,
    GOSSIP_PORT = 7946,
};

/* What a socket is for. */
enum gossip_kind {
    GOSSIP_FREE,
    GOSSIP_ACCEPTED, /* read into conn */
    GOSSIP_DIALED,   /* push/pull that we began */
    GOSSIP_WAITING,  /* a packet whose turn has not come, without a socket */
    GOSSIP_PACKET,   /* a packet being written */
};

struct gossip_socket {
    enum gossip_kind kind;
    struct pw_conduit conduit;
    bool connecting;        /* not connected yet; hands are shaken after that */
    bool done;              /* nothing more is read; closes when all is written */
    uint32_t events;        /* asked of epoll */
    struct pw_ml_addr peer; /* who is dialed, or dialed us */
    int64_t deadline_ms;
    struct pw_ml_conn *conn;
    uint8_t *bytes; /* of a packet */
    size_t len, written;
};

/* Names being looked up, on a thread of its own. The last of the two who know it frees it. */
struct gossip_lookup;

enum gossip_join_state { JOIN_IDLE, JOIN_LOOKUP, JOIN_ASKING, JOIN_WAITING, JOIN_DONE };

struct gossip_join {
    enum gossip_join_state state;
    struct gossip_lookup *lookup;
    uint32_t attempts;
    uint32_t asked, answered, refused; /* seeds of this attempt */
    uint32_t own;                      /* 1: one of them is ourselves, who counts in stock too */
    bool succeeded;                    /* ever */
    bool again;                        /* the first round of attempts is over */
    int64_t next_ms;
    int64_t backoff_ms;
};

struct pw_gossip {
    struct pw_app *app;
    const struct pw_config_memberlist *cfg;
    struct pw_memberlist *ml; /* under app->kv_mutex */
    struct pw_tls *tls;       /* NULL: plain text */
    char name[PW_ML_NAME_MAX + 1];
    struct pw_ml_addr addr;

    int epoll_fd, wake_fd;
    int listen_fd[PW_CONFIG_ITEMS_MAX];
    uint32_t listens;
    pthread_t thread;
    bool running;
    struct gossip_socket socket[GOSSIP_SOCKETS_MAX];
    struct gossip_join join;
    int64_t leave_ms; /* the second half of stopping: leave was said, until then */

    atomic_bool joined;
    atomic_bool stopping; /* leave, then end */
    atomic_bool ending;   /* at once */

    _Atomic uint64_t packets_dropped, sockets_failed, timeouts;
    _Atomic uint64_t handshakes; /* completed, of TLS */
    _Atomic uint64_t handshakes_failed[PW_CONDUIT_FAULT_COUNT];
    struct pw_log_limit handshakes_log;
};

union gossip_sockaddr {
    struct sockaddr any;
    struct sockaddr_in ip4;
    struct sockaddr_in6 ip6;
};

/* gossip_loop.c: its length; 0: the address is none. */
socklen_t gossip_sockaddr(const struct pw_ml_addr *a, union gossip_sockaddr *sa);
/* Of AF_INET or AF_INET6. */
struct pw_ml_addr gossip_addr_of(const union gossip_sockaddr *sa);
struct pw_ml_now gossip_now(void);

/* gossip_loop.c */
void *gossip_thread(void *gossip);
void gossip_on_send(void *gossip, const struct pw_ml_addr *to, struct pw_slice bytes);
int gossip_on_dial(void *gossip, const struct pw_ml_addr *to, struct pw_ml_conn *conn);
void gossip_close_sockets(struct pw_gossip *g);

/* gossip_join.c */
int64_t gossip_join_step(struct pw_gossip *g, int64_t now_ms);
void gossip_join_ended(struct pw_gossip *g, bool ok);
void gossip_join_fini(struct pw_gossip *g);

#endif
