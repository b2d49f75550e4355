/* ring/memberlist_msg.h - the messages of the gossip as MessagePack maps.
 *
 * Purpose  read and write each message type of contract ring.md 4.3, byte for byte as stock writes them.
 * Owner    pure functions; slices of a message that was read point into its bytes.
 * Context  cold: the gossip's thread.
 * Units    -
 * Errors   a parser's: bytes used, PW_PARSE_MORE, PW_PARSE_BAD.
 * Limits   PW_ML_META_MAX; lengths by what is there.
 */
#ifndef PW_RING_MEMBERLIST_MSG_H
#define PW_RING_MEMBERLIST_MSG_H

#include "base/text.h"

enum pw_ml_type {
    PW_ML_PING = 0,
    PW_ML_INDIRECT_PING = 1,
    PW_ML_ACK = 2,
    PW_ML_SUSPECT = 3,
    PW_ML_ALIVE = 4,
    PW_ML_DEAD = 5,
    PW_ML_PUSH_PULL = 6, /* the header; PW_ML_NODE_STATE maps and the user state follow */
    PW_ML_COMPOUND = 7,  /* no map */
    PW_ML_USER = 8,      /* no map in a packet */
    PW_ML_COMPRESS = 9,
    PW_ML_NACK = 11,
    PW_ML_CRC = 12, /* no map */
    PW_ML_ERR = 13,
    PW_ML_NODE_STATE = 14,  /* ours: one node within push/pull, has no type byte */
    PW_ML_USER_STREAM = 15, /* ours: what comes before a user message on a stream, no type byte */
    PW_ML_LABEL = 244,      /* no map */
};

enum {
    PW_ML_META_MAX = 512,
    PW_ML_VSN_BYTES = 6,
    PW_ML_NAME_MAX = 255, /* longer names are refused */
};

/* 4 or 16 bytes as the sender wrote them, 0: absent. */
struct pw_ml_addr {
    uint8_t ip[16];
    uint8_t ip_len;
    uint16_t port;
};

/* The fields of all messages; which of them a message has is in the table of its type. */
struct pw_ml_msg {
    uint32_t seq;
    uint32_t incarnation;
    struct pw_slice node; /* Node, Name */
    struct pw_slice from;
    struct pw_ml_addr addr; /* Addr, Target and Port */
    struct pw_ml_addr source;
    struct pw_slice source_node;
    struct pw_slice meta;
    struct pw_slice vsn; /* [pmin, pmax, pcur, dmin, dmax, dcur], or empty */
    bool nack;
    bool join;
    uint32_t state;
    uint32_t nodes;
    uint32_t user_bytes; /* UserStateLen, UserMsgLen */
    uint32_t algo;
    struct pw_slice bytes; /* Buf, Payload, Error */
};

/* The map of a message of that type, without the type's byte. m is filled; what is not there is 0. */
PW_MUST_USE int64_t pw_ml_msg_read(enum pw_ml_type type, struct pw_slice in, struct pw_ml_msg *m);
/* Appends the type's byte (but for those of our own) and the map. */
void pw_ml_msg_write(enum pw_ml_type type, const struct pw_ml_msg *m, struct pw_text *t);

/* The same address, whichever form each was written in. */
bool pw_ml_addr_equal(const struct pw_ml_addr *a, const struct pw_ml_addr *b);
/* From four bytes, in the 16 byte form that stock sends. */
struct pw_ml_addr pw_ml_addr_ip4(const uint8_t ip[4], uint16_t port);
/* "1.2.3.4" or "::1". 0 or PW_EINVAL. */
PW_MUST_USE int pw_ml_addr_read(const char *ip, uint16_t port, struct pw_ml_addr *a);
/* True and the four bytes when it is an IPv4 address in either form. */
bool pw_ml_addr_is_ip4(const struct pw_ml_addr *a, uint8_t ip[4]);
/* "127.0.0.1", "::1"; "" for none. */
enum { PW_ML_IP_TEXT = 46 };
void pw_ml_addr_ip_text(const struct pw_ml_addr *a, char text[PW_ML_IP_TEXT]);
/* "127.0.0.1:7946", "[::1]:7946". */
enum { PW_ML_ADDR_TEXT = 56 };
void pw_ml_addr_text(const struct pw_ml_addr *a, char text[PW_ML_ADDR_TEXT]);

#endif
