/* query/codec.h - any protobuf message from and to JSON or the wire, by its descriptor.
 *
 * Purpose  one decoder for every request and one encoder for every small answer, in both codecs of
 *          the Connect protocol (contract read-path.md 0, "JSON rules"). Large answers (flame graphs)
 *          are streamed by their own files.
 * Owner    decoded messages live in the arena; nothing to free.
 * Context  cold.
 * Units    -
 * Errors   PW_EINVAL with a text in err; PW_ENOMEM.
 * Limits   PW_CODEC_DEPTH_MAX levels of nesting; PW_QUERY_BODY_BYTES_MAX in.
 */
#ifndef PW_QUERY_CODEC_H
#define PW_QUERY_CODEC_H

#include "base/err.h"
#include "base/text.h"
#include "base/types.h"
#include "query/arena.h"

#include <protobuf-c/protobuf-c.h>

enum { PW_CODEC_DEPTH_MAX = 16 };

PW_MUST_USE int pw_codec_from_proto(struct pw_arena *a, struct pw_slice in,
                                    const ProtobufCMessageDescriptor *desc, ProtobufCMessage **out,
                                    struct pw_text *err);
PW_MUST_USE int pw_codec_from_json(struct pw_arena *a, struct pw_slice in,
                                   const ProtobufCMessageDescriptor *desc, ProtobufCMessage **out,
                                   struct pw_text *err);
/* Appends; a full text shows in t->failed. */
void pw_codec_to_proto(struct pw_text *t, const ProtobufCMessage *msg);
void pw_codec_to_json(struct pw_text *t, const ProtobufCMessage *msg);

/* A string for a message: NUL-terminated copy in the arena; the empty string on a lack of memory. */
char *pw_codec_string(struct pw_arena *a, struct pw_slice s);

#endif
