#include "dataplane/tcp_state.h"

#include <assert.h>

#define TO(s) (1U << PW_TCP_##s)

/* RFC 9293 figure 5, plus: every state can end in CLOSED by RST, abort or timeout. */
static const uint16_t edges[] = {
    [PW_TCP_CLOSED] = TO(SYN_RECEIVED),
    [PW_TCP_SYN_RECEIVED] = TO(ESTABLISHED) | TO(CLOSED),
    [PW_TCP_ESTABLISHED] = TO(FIN_WAIT_1) | TO(CLOSE_WAIT) | TO(CLOSED),
    [PW_TCP_FIN_WAIT_1] = TO(FIN_WAIT_2) | TO(CLOSING) | TO(CLOSED),
    [PW_TCP_FIN_WAIT_2] = TO(TIME_WAIT) | TO(CLOSED),
    [PW_TCP_CLOSE_WAIT] = TO(LAST_ACK) | TO(CLOSED),
    [PW_TCP_CLOSING] = TO(TIME_WAIT) | TO(CLOSED),
    [PW_TCP_LAST_ACK] = TO(CLOSED),
    [PW_TCP_TIME_WAIT] = TO(CLOSED),
};
static_assert(PW_ARRAY_LEN(edges) == PW_TCP_STATES, "every state has its edges");

bool
pw_tcp_edge_ok(enum pw_tcp_state from, enum pw_tcp_state to)
{
    return (edges[from] >> to & 1U) != 0;
}

const char *
pw_tcp_state_name(enum pw_tcp_state s)
{
    switch (s) {
    case PW_TCP_CLOSED:
        return "CLOSED";
    case PW_TCP_SYN_RECEIVED:
        return "SYN_RECEIVED";
    case PW_TCP_ESTABLISHED:
        return "ESTABLISHED";
    case PW_TCP_FIN_WAIT_1:
        return "FIN_WAIT_1";
    case PW_TCP_FIN_WAIT_2:
        return "FIN_WAIT_2";
    case PW_TCP_CLOSE_WAIT:
        return "CLOSE_WAIT";
    case PW_TCP_CLOSING:
        return "CLOSING";
    case PW_TCP_LAST_ACK:
        return "LAST_ACK";
    case PW_TCP_TIME_WAIT:
        return "TIME_WAIT";
    case PW_TCP_STATES:
        break;
    }
    return "invalid";
}
