/* query/codec_priv.h - what codec.c, codec_json_in.c and codec_json_out.c share.
 *
 * Purpose  the JSON name of a field, the size of its elements.
 * Owner    -
 * Context  cold.
 * Units    bytes.
 * Errors   -
 * Limits   PW_CODEC_NAME_MAX.
 */
#ifndef PW_QUERY_CODEC_PRIV_H
#define PW_QUERY_CODEC_PRIV_H

#include "query/codec.h"

/* Go's protobuf writes a no-break space behind its prefix [obs, read case 072]. */
#define PW_CODEC_ERROR_PREFIX "proto:\xc2\xa0"

enum { PW_CODEC_NAME_MAX = 64 };

/* profile_typeID -> profileTypeID: an underscore goes, the letter behind it becomes a capital. */
const char *pw_codec_json_name(const char *name, char buf[PW_CODEC_NAME_MAX]);
/* Bytes of one element in a message's field or list. */
size_t pw_codec_element_size(ProtobufCType type);

static inline bool
pw_codec_is_oneof(const ProtobufCFieldDescriptor *f)
{
    return (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0;
}

#endif
