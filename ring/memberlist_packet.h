/* ring/memberlist_packet.h - what is around the messages of the gossip on a TCP connection.
 *
 * Purpose  the transport's head and MD5, label, CRC, compression and compound of contract ring.md 4.1, 4.2.
 * Owner    pure functions; slices point into the input or into the `plain` text that is handed in.
 * Context  cold: the gossip's thread.
 * Units    bytes.
 * Errors   PW_EPROTO broken, PW_EMSGSIZE over a limit, PW_EPERM another cluster's label, PW_ENOMEM.
 * Limits   PW_ML_PACKET_BYTES_MAX, PW_ML_DECODED_BYTES_MAX.
 */
#ifndef PW_RING_MEMBERLIST_PACKET_H
#define PW_RING_MEMBERLIST_PACKET_H

#include "base/text.h"

enum {
    PW_ML_PACKET_BYTES_MAX = 10 << 20, /* of messages in one packet */
    PW_ML_DECODED_BYTES_MAX = 21 << 20,
    PW_ML_PARTS_MAX = 255,
    PW_ML_PART_BYTES_MAX = 65535,
};

enum pw_ml_compression { PW_ML_COMPRESSION_NONE, PW_ML_COMPRESSION_LZW, PW_ML_COMPRESSION_SNAPPY };

/* First byte of a connection. */
enum pw_ml_connection { PW_ML_CONNECTION_PACKET = 1, PW_ML_CONNECTION_STREAM = 2 };

struct pw_ml_wire_cfg {
    struct pw_slice label; /* empty: none */
    bool label_unchecked;
    enum pw_ml_compression compression;
};

struct pw_ml_packet {
    struct pw_slice from; /* the sender's "ip:port" */
    bool md5_differs;     /* counted; the packet is taken all the same (4.1) */
    struct pw_slice message;
};

/* A whole connection, first byte included. message is one message or a compound, decompressed into
 * plain (initialised, replaced) where it was compressed. */
PW_MUST_USE int pw_ml_packet_read(const struct pw_ml_wire_cfg *cfg, struct pw_slice connection,
                                  struct pw_text *plain, struct pw_ml_packet *p);
/* Appends a whole connection around the message, compressed where that makes it smaller. */
void pw_ml_packet_write(const struct pw_ml_wire_cfg *cfg, const char *from, bool crc,
                        struct pw_slice message, struct pw_text *t);

/* The parts of a compound, its type byte not included; calls fn for each. 0 or PW_EPROTO (parts before
 * the fault have been called). */
PW_MUST_USE int pw_ml_compound_read(struct pw_slice in, void (*fn)(void *ctx, struct pw_slice part),
                                    void *ctx);

/* The label at the head of a stream or packet: bytes to go over, PW_PARSE_MORE, PW_PARSE_BAD when it is
 * not ours. */
PW_MUST_USE int pw_ml_label_read(const struct pw_ml_wire_cfg *cfg, struct pw_slice in);
void pw_ml_label_write(const struct pw_ml_wire_cfg *cfg, struct pw_text *t);
/* The bytes within a compress message (its map, without the type byte) into plain (replaced). */
PW_MUST_USE int pw_ml_decompress(struct pw_slice map, struct pw_text *plain);
/* Appends in, or a compress message of it where that is smaller. */
void pw_ml_compress(const struct pw_ml_wire_cfg *cfg, struct pw_slice in, struct pw_text *t);

/* CRC-32 of IEEE 802.3 (reflected, as zlib's). */
uint32_t pw_ml_crc32(struct pw_slice s);

#endif
