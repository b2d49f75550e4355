/* dataplane/tcp_state.h - the states of a connection and the edges between them.
 *
 * Purpose  RFC 9293 3.3.2, the passive side: figure 5 without LISTEN (a port, not a connection) and
 *          without SYN-SENT (we never open).
 * Owner    pw_tcp_state_set (tcp_tcb.h) is the only writer of a connection's state.
 * Context  hot.
 * Units    -
 * Errors   an edge that is not in the table is broken state of our own: PW_INVARIANT.
 * Limits   -
 */
#ifndef PW_DATAPLANE_TCP_STATE_H
#define PW_DATAPLANE_TCP_STATE_H

#include "base/types.h"

enum pw_tcp_state {
    PW_TCP_CLOSED,       /* a free slot of the pool */
    PW_TCP_SYN_RECEIVED, /* SYN,ACK sent; the application does not know of it */
    PW_TCP_ESTABLISHED,  /* data flows both ways */
    PW_TCP_FIN_WAIT_1,   /* the application shut down; our FIN is not acknowledged */
    PW_TCP_FIN_WAIT_2,   /* our FIN is acknowledged; the peer may still send */
    PW_TCP_CLOSE_WAIT,   /* the peer sent FIN; the application may still send */
    PW_TCP_CLOSING,      /* both sent FIN at once; ours is not acknowledged */
    PW_TCP_LAST_ACK,     /* the peer closed first, then we; our FIN is not acknowledged */
    PW_TCP_TIME_WAIT,    /* both done; old segments die out, a lost last ACK is sent again */
    PW_TCP_STATES,
};

bool pw_tcp_edge_ok(enum pw_tcp_state from, enum pw_tcp_state to);
/* "ESTABLISHED"; never NULL. */
const char *pw_tcp_state_name(enum pw_tcp_state s);

/* States in which the peer may still send text (RFC 9293 3.10.7.4, seventh). */
static inline bool
pw_tcp_state_receives(enum pw_tcp_state s)
{
    return s == PW_TCP_ESTABLISHED || s == PW_TCP_FIN_WAIT_1 || s == PW_TCP_FIN_WAIT_2;
}

#endif
