/* dataplane/peer_link_wire.h - headers and frames of the peer link as bytes (peer_link.md).
 *
 * Purpose  pure encoding and decoding, no state.
 * Owner    pure functions; slices of a frame borrow the packet.
 * Context  hot.
 * Units    bytes, big-endian.
 * Errors   pw_link_frame_get: bytes consumed, PW_PARSE_MORE never, PW_PARSE_BAD.
 * Limits   the sizes below.
 */
#ifndef PW_DATAPLANE_PEER_LINK_WIRE_H
#define PW_DATAPLANE_PEER_LINK_WIRE_H

#include "base/err.h"
#include "dataplane/peer_link.h"

enum pw_link_packet {
    PW_LINK_PACKET_HELLO = 1,
    PW_LINK_PACKET_WELCOME = 2,
    PW_LINK_PACKET_DATA = 3,
};

enum {
    PW_LINK_HEADER_BYTES = 16,
    PW_LINK_HELLO_NONCE_BYTES = 12, /* 8 of them are the header's last */
    PW_LINK_FLAG_PLAIN = 1,
    PW_LINK_PACKET_BYTES_MIN = 512,
};

struct pw_link_header {
    uint8_t version;
    uint8_t type;
    uint8_t flags;
    uint32_t session; /* the receiver's; 0 in HELLO */
    uint64_t number;  /* of the packet; random in a handshake */
};

enum pw_link_frame_type {
    PW_LINK_FRAME_PING = 1,
    PW_LINK_FRAME_ACK = 2,
    PW_LINK_FRAME_FRAGMENT = 3,
    PW_LINK_FRAME_REPLY = 4,
    PW_LINK_FRAME_CANCEL = 5,
    PW_LINK_FRAME_BYE = 6,
};

enum {
    PW_LINK_ACK_WORDS_MAX = 16, /* of 64 packet numbers below the largest */
    PW_LINK_ACK_BYTES_MAX = 22 + 8 * PW_LINK_ACK_WORDS_MAX,
    PW_LINK_FRAGMENT_HEAD_BYTES = 13,
    PW_LINK_REPLY_HEAD_BYTES = 11,
    PW_LINK_CANCEL_BYTES = 11,
};

struct pw_link_frame {
    enum pw_link_frame_type type;
    /* FRAGMENT, REPLY, CANCEL */
    uint16_t slot;
    uint16_t index;
    uint32_t turn;
    uint32_t total;
    uint16_t status;
    struct pw_slice bytes; /* of the fragment, or the text */
    /* ACK */
    uint64_t largest;
    uint64_t credit;
    uint32_t delay_us;
    uint32_t words;
    uint64_t word[PW_LINK_ACK_WORDS_MAX]; /* bit b of word w: largest - 1 - 64 w - b arrived */
};

struct pw_link_hello {
    uint32_t session;
    uint8_t nonce[32];
    uint16_t packet_bytes;
    struct pw_slice from;
    struct pw_slice to;
};

struct pw_link_welcome {
    uint32_t session;
    uint8_t client_nonce[32];
    uint8_t server_nonce[32];
    uint16_t packet_bytes;
    uint64_t credit;
};

static inline uint64_t
pw_link_load64(const uint8_t *p)
{
    return ((uint64_t)pw_load_be32(p) << 32) | pw_load_be32(p + 4);
}

static inline void
pw_link_store64(uint8_t *p, uint64_t v)
{
    pw_store_be32(p, (uint32_t)(v >> 32));
    pw_store_be32(p + 4, (uint32_t)v);
}

/* PW_LINK_HEADER_BYTES at p. */
void pw_link_header_put(uint8_t *p, const struct pw_link_header *h);
void pw_link_header_get(const uint8_t *p, struct pw_link_header *h);

/* One frame at p. fragment_bytes: what every fragment but a message's last carries. Bytes consumed or
 * PW_PARSE_BAD. */
int pw_link_frame_get(const uint8_t *p, size_t len, uint16_t fragment_bytes,
                      struct pw_link_frame *f);
/* Each writes one frame and returns its length; a fragment's bytes follow its head and are the caller's to write. */
size_t pw_link_ack_encode(uint8_t *p, const struct pw_link_frame *f);
size_t pw_link_fragment_head_put(uint8_t *p, const struct pw_link_frame *f);
size_t pw_link_reply_put(uint8_t *p, const struct pw_link_frame *f);
size_t pw_link_cancel_put(uint8_t *p, const struct pw_link_frame *f);

static inline uint32_t
pw_link_fragments(uint32_t total, uint16_t fragment_bytes)
{
    return (total + fragment_bytes - 1) / fragment_bytes;
}

/* Bytes of fragment `index` of a message. */
static inline uint32_t
pw_link_fragment_len(uint32_t total, uint16_t fragment_bytes, uint32_t index)
{
    uint32_t left = total - index * fragment_bytes;

    return left < fragment_bytes ? left : fragment_bytes;
}

/* Bodies of handshakes: length written; 0 or PW_PARSE_BAD. */
size_t pw_link_hello_put(uint8_t *p, const struct pw_link_hello *h);
PW_MUST_USE int pw_link_hello_get(const uint8_t *p, size_t len, struct pw_link_hello *h);
size_t pw_link_welcome_put(uint8_t *p, const struct pw_link_welcome *h);
PW_MUST_USE int pw_link_welcome_get(const uint8_t *p, size_t len, struct pw_link_welcome *h);

#endif
