#include "base/check.h"
#include "base/json.h"
#include "query/codec_priv.h"

struct frame {
    const ProtobufCMessage *msg;
    uint32_t field;
    size_t index; /* next element of a list of messages; SIZE_MAX: list not begun */
};

static size_t
list_count(const ProtobufCMessage *msg, const ProtobufCFieldDescriptor *f)
{
    size_t n;

    memcpy(&n, (const uint8_t *)msg + f->quantifier_offset, sizeof(n));
    return n;
}

static const void *
element_at(const ProtobufCMessage *msg, const ProtobufCFieldDescriptor *f, size_t i)
{
    const uint8_t *p = (const uint8_t *)msg + f->offset;

    if (f->label != PROTOBUF_C_LABEL_REPEATED) {
        return p;
    }
    memcpy(&p, p, sizeof(void *)); /* the field of a repeated one points to its elements */
    return p == NULL ? NULL
                     : p + i * pw_codec_element_size(f->type); /* an empty list has no elements */
}

static bool
all_zero(const void *p, size_t n)
{
    const uint8_t *b = p;

    for (size_t i = 0; i < n; i++) {
        if (b[i] != 0) {
            return false;
        }
    }
    return true;
}

/* proto3 JSON leaves out what has its zero value; a oneof member is written when it is the one. */
static bool
is_set(const ProtobufCMessage *msg, const ProtobufCFieldDescriptor *f)
{
    const void *p = element_at(msg, f, 0);
    ProtobufCBinaryData b;
    const char *s;

    if (pw_codec_is_oneof(f)) {
        uint32_t which;

        memcpy(&which, (const uint8_t *)msg + f->quantifier_offset, sizeof(which));
        return which == f->id;
    }
    if (f->label == PROTOBUF_C_LABEL_REPEATED) {
        return list_count(msg, f) > 0;
    }
    if (f->type == PROTOBUF_C_TYPE_STRING) {
        memcpy(&s, p, sizeof(s));
        return s != NULL && s[0] != 0;
    }
    if (f->type == PROTOBUF_C_TYPE_BYTES) {
        memcpy(&b, p, sizeof(b));
        return b.len > 0;
    }
    return !all_zero(p, pw_codec_element_size(f->type));
}

static void
write_bytes(struct pw_json *j, const ProtobufCFieldDescriptor *f, const void *p)
{
    ProtobufCBinaryData b;

    memcpy(&b, p, sizeof(b));
    /* profile.proto declares the strings of a pprof as bytes so that NULs survive protobuf-c. */
    if (strcmp(f->name, "string_table") == 0) {
        pw_json_str(j, pw_slice(b.data, b.len));
    } else {
        pw_json_base64(j, pw_slice(b.data, b.len));
    }
}

static void
write_enum(struct pw_json *j, const ProtobufCFieldDescriptor *f, int32_t v)
{
    const ProtobufCEnumValue *e = protobuf_c_enum_descriptor_get_value(f->descriptor, v);

    if (e != NULL) {
        pw_json_cstr(j, e->name);
    } else {
        pw_json_i64(j, v);
    }
}

static void
write_scalar(struct pw_json *j, const ProtobufCFieldDescriptor *f, const void *p)
{
    int64_t i64 = 0;
    int32_t i32 = 0;
    double d;
    const char *s;

    if (pw_codec_element_size(f->type) == 8) {
        memcpy(&i64, p, 8);
    } else if (pw_codec_element_size(f->type) == 4) {
        memcpy(&i32, p, 4);
    }
    switch (f->type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        pw_json_i64_string(j, i64);
        return;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        pw_json_u64_string(j, (uint64_t)i64);
        return;
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        pw_json_i64(j, i32);
        return;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        pw_json_i64(j, (uint32_t)i32);
        return;
    case PROTOBUF_C_TYPE_DOUBLE:
        memcpy(&d, p, sizeof(d));
        pw_json_double(j, d);
        return;
    case PROTOBUF_C_TYPE_BOOL:
        pw_json_bool(j, !all_zero(p, sizeof(protobuf_c_boolean)));
        return;
    case PROTOBUF_C_TYPE_ENUM:
        write_enum(j, f, i32);
        return;
    case PROTOBUF_C_TYPE_STRING:
        memcpy(&s, p, sizeof(s));
        pw_json_cstr(j, s == NULL ? "" : s);
        return;
    case PROTOBUF_C_TYPE_BYTES:
        write_bytes(j, f, p);
        return;
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_MESSAGE:
        break;
    }
    PW_UNREACHABLE("scalar type");
}

static void
write_key(struct pw_json *j, const ProtobufCFieldDescriptor *f)
{
    char buf[PW_CODEC_NAME_MAX];

    pw_json_key(j, pw_codec_json_name(f->name, buf));
}

static void
write_scalar_field(struct pw_json *j, const ProtobufCMessage *msg,
                   const ProtobufCFieldDescriptor *f)
{
    write_key(j, f);
    if (f->label != PROTOBUF_C_LABEL_REPEATED) {
        write_scalar(j, f, element_at(msg, f, 0));
        return;
    }
    pw_json_array(j);
    for (size_t i = 0, n = list_count(msg, f); i < n; i++) {
        write_scalar(j, f, element_at(msg, f, i));
    }
    pw_json_array_end(j);
}

/* The next message of the field at the top frame, or NULL when the field is done. */
static const ProtobufCMessage *
next_child(struct pw_json *j, struct frame *top, const ProtobufCFieldDescriptor *f)
{
    const ProtobufCMessage *child = NULL;
    bool list = f->label == PROTOBUF_C_LABEL_REPEATED;
    size_t n = list ? list_count(top->msg, f) : 1;

    if (top->index == SIZE_MAX) {
        write_key(j, f);
        if (list) {
            pw_json_array(j);
        }
        top->index = 0;
    }
    if (top->index < n) {
        memcpy(&child, element_at(top->msg, f, top->index), sizeof(child));
        top->index++;
        return child;
    }
    if (list) {
        pw_json_array_end(j);
    }
    return NULL;
}

void
pw_codec_to_json(struct pw_text *t, const ProtobufCMessage *msg)
{
    struct frame stack[PW_CODEC_DEPTH_MAX];
    uint32_t depth = 0;
    struct pw_json j;

    pw_json_init(&j, t);
    pw_json_object(&j);
    stack[depth++] = (struct frame){.msg = msg, .index = SIZE_MAX};
    while (depth > 0) { /* one turn per field or message */
        struct frame *top = &stack[depth - 1];
        const ProtobufCFieldDescriptor *f;
        const ProtobufCMessage *child;

        if (top->field >= top->msg->descriptor->n_fields) {
            pw_json_object_end(&j);
            depth--;
            continue;
        }
        f = &top->msg->descriptor->fields[top->field];
        if (!is_set(top->msg, f)) {
            top->field++;
            continue;
        }
        if (f->type != PROTOBUF_C_TYPE_MESSAGE) {
            write_scalar_field(&j, top->msg, f);
            top->field++;
            continue;
        }
        child = next_child(&j, top, f);
        if (child == NULL) {
            top->field++;
            top->index = SIZE_MAX;
            continue;
        }
        PW_INVARIANT(depth < PW_CODEC_DEPTH_MAX);
        pw_json_object(&j);
        stack[depth++] = (struct frame){.msg = child, .index = SIZE_MAX};
    }
}
