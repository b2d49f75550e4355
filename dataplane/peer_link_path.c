/* How large datagrams may be on the way to a peer: what both ports take, less where a router says that it does not pass
 * (RFC 1191, RFC 8201). Anybody can send such an ICMP error, so it costs a session at most one beginning for each
 * STEP_BYTES above the smallest datagram there is, and is forgotten after ten minutes. */
#include "dataplane/ip6.h"
#include "dataplane/peer_link_priv.h"

enum {
    IP6_MORE_BYTES = 20, /* its longer header comes out of the same frame */
    STEP_BYTES = 64,
    FORGET_US = 600 * 1000 * 1000, /* RFC 1191 6.3 */
};

static uint16_t
at_least_min(uint32_t bytes)
{
    return (uint16_t)(bytes < PW_LINK_PACKET_BYTES_MIN ? PW_LINK_PACKET_BYTES_MIN : bytes);
}

uint16_t
pw_link_datagram_max(const struct pw_link *l, const struct pw_link_session *s)
{
    uint16_t most = pw_ip6_mapped(s->addr.ip) ? l->packet_bytes
                                              : at_least_min(l->packet_bytes - IP6_MORE_BYTES);
    bool known = s->path_bytes != 0 && l->tick_us < s->path_us + FORGET_US;

    return known && s->path_bytes < most ? s->path_bytes : most;
}

/* What a server sends has no size that the session agreed upon: it is cut at once. A client's fragments have. */
static void
cut(struct pw_link *l, struct pw_link_session *s, uint16_t most, uint64_t now_us)
{
    bool up = s->state == PW_LINK_STATE_UP && s->packet_bytes > most;

    bool looking = s->state == PW_LINK_STATE_HELLO && pw_link_datagram_max(l, s) > most;

    if (!up && !looking) {
        return;
    }
    l->stat[PW_LINK_STAT_TOO_BIG]++;
    if (!s->client) {
        s->packet_bytes = most;
        return;
    }
    s->path_bytes = most;
    s->path_us = now_us;
    if (up) {
        pw_link_session_end(l, s, true, now_us);
    }
}

void
pw_link_too_big(struct pw_link *l, const struct pw_link_addr *to, uint32_t bytes, uint64_t now_us)
{
    uint16_t most = at_least_min(bytes / STEP_BYTES * STEP_BYTES);

    for (uint32_t i = 0; i < pw_link_sessions(l); i++) {
        struct pw_link_session *s = &l->session[i];
        bool there = l->live[i] && s->addr.port == to->port &&
                     memcmp(s->addr.ip, to->ip, sizeof(to->ip)) == 0 &&
                     (to->local == 0 || s->addr.local == 0 || s->addr.local == to->local);

        if (there) {
            cut(l, s, most, now_us);
        }
    }
}
