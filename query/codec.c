#include "query/codec_priv.h"

#include "base/check.h"

/* --- Wire ----------------------------------------------------------------------------------- */

static void *
arena_alloc_cb(void *ctx, size_t n)
{
    return pw_arena_alloc(ctx, n);
}

static void
arena_free_cb(void *ctx, void *p)
{
    (void)ctx;
    (void)p; /* the arena goes at once */
}

int
pw_codec_from_proto(struct pw_arena *a, struct pw_slice in, const ProtobufCMessageDescriptor *desc,
                    ProtobufCMessage **out, struct pw_text *err)
{
    ProtobufCAllocator alloc = {
        .alloc = arena_alloc_cb, .free = arena_free_cb, .allocator_data = a};

    *out = protobuf_c_message_unpack(desc, &alloc, in.len, in.ptr);
    if (*out == NULL) {
        pw_text_str(err, PW_CODEC_ERROR_PREFIX "cannot parse invalid wire-format data");
        return PW_EINVAL;
    }
    return 0;
}

void
pw_codec_to_proto(struct pw_text *t, const ProtobufCMessage *msg)
{
    size_t n = protobuf_c_message_get_packed_size(msg);
    uint8_t *p = n == 0 ? NULL : pw_text_grow(t, n);

    if (p != NULL) {
        protobuf_c_message_pack(msg, p);
    }
}

char *
pw_codec_string(struct pw_arena *a, struct pw_slice s)
{
    struct pw_slice c = pw_arena_copy(a, s);

    return c.ptr == NULL ? (char *)(uintptr_t)protobuf_c_empty_string : (char *)(uintptr_t)c.ptr;
}

/* --- What both directions of JSON need of a field ------------------------------------------- */

const char *
pw_codec_json_name(const char *name, char buf[PW_CODEC_NAME_MAX])
{
    size_t n = 0;

    for (const char *p = name; *p != 0 && n + 1 < PW_CODEC_NAME_MAX; p++) {
        if (*p == '_' && p[1] != 0) {
            p++;
            buf[n++] = *p >= 'a' && *p <= 'z' ? (char)(*p - 'a' + 'A') : *p;
        } else {
            buf[n++] = *p;
        }
    }
    buf[n] = 0;
    return buf;
}

size_t
pw_codec_element_size(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_ENUM:
        return 4;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return 8;
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    }
    PW_UNREACHABLE("protobuf type");
    return 0;
}
