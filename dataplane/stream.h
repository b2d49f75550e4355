/* dataplane/stream.h - the byte stream between a transport and http_conn.
 *
 * Purpose  http_conn is served by two transports: dataplane's TCP and the loopback kernel-socket
 *          listener of app/. Both look like this; neither knows HTTP, http_conn knows neither.
 * Owner    the transport embeds struct pw_stream first in its connection object. Everything
 *          happens on the one thread that polls both sides.
 * Context  hot; no call blocks.
 * Units    bytes; mbufs carry payload only (data_off/data_len at the payload, pkt_len = data_len
 *          when single; chained segments allowed).
 * Errors   see each call. Calls on a stream after `gone` was delivered are broken invariants.
 * Limits   receive: the transport counts buffer bytes (mbuf buf_len, not payload) against the
 *          per-core budget; see reserve.
 */
#ifndef PW_DATAPLANE_STREAM_H
#define PW_DATAPLANE_STREAM_H

#include "base/types.h"

struct rte_mbuf;
struct pw_stream;

/* Address of the peer as it is logged and counted: IPv4 as v4-mapped IPv6. */
struct pw_peer_addr {
    uint8_t ip[16];
    uint16_t port;
};

/* Whose it is: IPv4, v4-mapped, counts whole; of IPv6 the network, which one peer has all of (RFC 6177). */
static inline uint64_t
pw_peer_network(const struct pw_peer_addr *peer)
{
    static const uint8_t v4[12] = {[10] = 0xff, [11] = 0xff};
    uint64_t a;

    memcpy(&a, memcmp(peer->ip, v4, sizeof(v4)) == 0 ? peer->ip + 8 : peer->ip, sizeof(a));
    return a;
}

/* What the transport offers upward (filled by the transport). */
struct pw_stream_ops {
    /* Bytes that send would take now. */
    size_t (*send_room)(struct pw_stream *s);
    /* Copies up to all of iov into the send buffer; returns bytes taken (short: `writable` follows). */
    size_t (*send)(struct pw_stream *s, const struct pw_slice *iov, uint32_t iov_count);
    /* Bytes that send took and the peer has not acknowledged. NULL: this transport cannot tell. */
    size_t (*unacked)(struct pw_stream *s);
    /* The application freed mbufs of buf_bytes total buffer size that it had been given through
     * `input`; the receive window may reopen. */
    void (*consumed)(struct pw_stream *s, size_t buf_bytes);
    /* The application admits a request of `bytes` payload still to come: the transport sets buffers
     * aside so that the request can always finish, and opens the window. 0, or PW_EAGAIN when the
     * core's budget is spent now (answer 503 or wait). A new call replaces the old reservation;
     * 0 gives it back. */
    int (*reserve)(struct pw_stream *s, size_t bytes);
    /* FIN after everything sent. Input may still arrive and is to be consumed. */
    void (*shutdown)(struct pw_stream *s);
    /* RST now; `gone` is not called for it, the stream is dead on return. */
    void (*reset)(struct pw_stream *s);
};

/* What the transport calls (filled by the application side; user is what accept returned). */
struct pw_stream_app {
    void *ctx;
    /* A connection is established. Gives the user pointer, or NULL to refuse (transport resets). */
    void *(*accept)(void *ctx, struct pw_stream *s, uint64_t now_tsc);
    /* In-order payload. Takes m (a chain is allowed). */
    void (*input)(void *user, struct rte_mbuf *m, uint64_t now_tsc);
    /* Send room came back after a short send. */
    void (*writable)(void *user, uint64_t now_tsc);
    /* The peer sent FIN: no more input follows; replies can still be sent. */
    void (*fin)(void *user, uint64_t now_tsc);
    /* The connection is over (RST, timeout, or both sides closed). The user pointer is dead after. */
    void (*gone)(void *user, uint64_t now_tsc);
};

struct pw_stream {
    const struct pw_stream_ops *ops;
    void *user;
    struct pw_peer_addr peer;
};

#endif
