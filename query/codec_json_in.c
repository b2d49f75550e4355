#include "base/check.h"
#include "base/json.h"
#include "base/utf8.h"
#include "query/codec_priv.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>

static const ProtobufCFieldDescriptor *
find_field(const ProtobufCMessageDescriptor *desc, const char *key)
{
    char buf[PW_CODEC_NAME_MAX];

    for (unsigned i = 0; i < desc->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &desc->fields[i];

        if (strcmp(key, f->name) == 0 || strcmp(key, pw_codec_json_name(f->name, buf)) == 0) {
            return f;
        }
    }
    return NULL;
}

/* Nesting is walked with an explicit stack: one entry an object or list that waits to be filled. */

struct pending {
    json_t *object;
    ProtobufCMessage *msg;
};

struct json_in {
    struct pw_arena *arena;
    struct pw_text *err;
    struct pending *stack;
    uint32_t depth, cap;
};

static int
bad_value(struct json_in *in, const char *kind, const ProtobufCFieldDescriptor *f, json_t *v)
{
    char buf[PW_CODEC_NAME_MAX];

    pw_text_printf(in->err, PW_CODEC_ERROR_PREFIX "invalid value for %s field %s: ", kind,
                   pw_codec_json_name(f->name, buf));
    if (json_is_string(v)) {
        pw_text_go_quoted(in->err, pw_slice_str(json_string_value(v)));
    } else if (json_is_integer(v)) {
        pw_text_i64(in->err, json_integer_value(v));
    } else if (json_is_object(v) || json_is_array(v)) {
        pw_text_str(in->err, json_is_object(v) ? "{" : "[");
    } else if (json_is_real(v)) {
        pw_text_printf(in->err, "%.17g", json_real_value(v));
    } else {
        pw_text_str(in->err, json_is_true(v) ? "true" : "false");
    }
    return PW_EINVAL;
}

/* Numbers, and strings that hold one, as protobuf JSON accepts for every number. */
static bool
number_of(json_t *v, double *d, int64_t *i, bool *is_int)
{
    const char *s;
    char *end;

    *is_int = true;
    if (json_is_integer(v)) {
        *i = json_integer_value(v);
        *d = (double)*i;
        return true;
    }
    if (json_is_real(v)) {
        *d = json_real_value(v);
    } else if (json_is_string(v)) {
        s = json_string_value(v);
        if (*s == 0 || *s == ' ' || *s == '+') {
            return false;
        }
        errno = 0;
        *i = strtoll(s, &end, 10);
        if (*end == 0 && errno == 0) {
            *d = (double)*i;
            return true;
        }
        *d = strtod(s, &end);
        if (*end != 0) {
            return false;
        }
    } else {
        return false;
    }
    *is_int = *d == trunc(*d) && fabs(*d) < 9.2e18;
    *i = *is_int ? (int64_t)*d : 0;
    return true;
}

static int
read_int(struct json_in *in, const ProtobufCFieldDescriptor *f, json_t *v, void *at)
{
    static const struct {
        const char *kind;
        int64_t min, max;
    } range[] = {
        {"int32", INT32_MIN, INT32_MAX},
        {"uint32", 0, UINT32_MAX},
        {"int64", INT64_MIN, INT64_MAX},
        {"uint64", 0, INT64_MAX},
    };
    bool wide = pw_codec_element_size(f->type) == 8;
    bool no_sign = f->type == PROTOBUF_C_TYPE_UINT32 || f->type == PROTOBUF_C_TYPE_UINT64 ||
                   f->type == PROTOBUF_C_TYPE_FIXED32 || f->type == PROTOBUF_C_TYPE_FIXED64;
    uint32_t r = (wide ? 2U : 0U) + (no_sign ? 1U : 0U);
    bool is_int;
    int64_t i = 0;
    double d;

    if (!number_of(v, &d, &i, &is_int) || !is_int || i < range[r].min || i > range[r].max) {
        return bad_value(in, range[r].kind, f, v);
    }
    if (wide) {
        memcpy(at, &i, sizeof(i));
    } else {
        uint32_t u = (uint32_t)i;

        memcpy(at, &u, sizeof(u));
    }
    return 0;
}

static int
read_enum(struct json_in *in, const ProtobufCFieldDescriptor *f, json_t *v, void *at)
{
    int32_t value = 0; /* unknown names are ignored: the zero value */

    if (json_is_string(v)) {
        const ProtobufCEnumValue *e =
            protobuf_c_enum_descriptor_get_value_by_name(f->descriptor, json_string_value(v));

        value = e == NULL ? 0 : e->value;
    } else if (json_is_integer(v)) {
        value = (int32_t)json_integer_value(v);
    } else {
        return bad_value(in, "enum", f, v);
    }
    memcpy(at, &value, sizeof(value));
    return 0;
}

static int
read_bytes(struct json_in *in, const ProtobufCFieldDescriptor *f, json_t *v, void *at)
{
    ProtobufCBinaryData b = {0};
    size_t n;

    if (!json_is_string(v)) {
        return bad_value(in, "bytes", f, v);
    }
    n = json_string_length(v);
    b.data = pw_arena_alloc(in->arena, n + 4);
    if (b.data == NULL) {
        return PW_ENOMEM;
    }
    if (pw_base64_decode(pw_slice(json_string_value(v), n), b.data, n + 4, &b.len) != 0) {
        return bad_value(in, "bytes", f, v);
    }
    memcpy(at, &b, sizeof(b));
    return 0;
}

static int
read_string(struct json_in *in, const ProtobufCFieldDescriptor *f, json_t *v, void *at)
{
    char *s;

    if (!json_is_string(v)) {
        return bad_value(in, "string", f, v);
    }
    s = pw_codec_string(in->arena, pw_slice(json_string_value(v), json_string_length(v)));
    memcpy(at, &s, sizeof(s));
    return 0;
}

/* A new message, to be filled from the object later. NULL: no memory. */
static ProtobufCMessage *
push_pending(struct json_in *in, json_t *object, const ProtobufCMessageDescriptor *desc)
{
    ProtobufCMessage *msg = pw_arena_zalloc(in->arena, 1, desc->sizeof_message);
    void *stack = in->stack;

    if (msg == NULL || !pw_arena_room(in->arena, &stack, in->depth, &in->cap, sizeof(*in->stack))) {
        return NULL;
    }
    in->stack = stack;
    protobuf_c_message_init(desc, msg);
    in->stack[in->depth++] = (struct pending){.object = object, .msg = msg};
    return msg;
}

static int
read_message(struct json_in *in, const ProtobufCFieldDescriptor *f, json_t *v, void *at)
{
    const ProtobufCMessageDescriptor *desc = f->descriptor;
    ProtobufCMessage *msg;

    if (!json_is_object(v)) {
        pw_text_str(in->err, PW_CODEC_ERROR_PREFIX "syntax error: unexpected token ");
        return bad_value(in, "message", f, v);
    }
    msg = push_pending(in, v, desc);
    memcpy(at, &msg, sizeof(msg));
    return msg == NULL ? PW_ENOMEM : 0;
}

static int
read_element(struct json_in *in, const ProtobufCFieldDescriptor *f, json_t *v, void *at)
{
    double d;
    int64_t i;
    bool is_int;
    protobuf_c_boolean b;

    switch (f->type) {
    case PROTOBUF_C_TYPE_DOUBLE:
        if (!number_of(v, &d, &i, &is_int)) {
            return bad_value(in, "double", f, v);
        }
        memcpy(at, &d, sizeof(d));
        return 0;
    case PROTOBUF_C_TYPE_BOOL:
        if (!json_is_boolean(v)) {
            return bad_value(in, "bool", f, v);
        }
        b = json_is_true(v);
        memcpy(at, &b, sizeof(b));
        return 0;
    case PROTOBUF_C_TYPE_ENUM:
        return read_enum(in, f, v, at);
    case PROTOBUF_C_TYPE_STRING:
        return read_string(in, f, v, at);
    case PROTOBUF_C_TYPE_BYTES:
        return read_bytes(in, f, v, at);
    case PROTOBUF_C_TYPE_MESSAGE:
        return read_message(in, f, v, at);
    case PROTOBUF_C_TYPE_FLOAT: /* no request has one */
        PW_UNREACHABLE("float field");
        return PW_EINVAL;
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return read_int(in, f, v, at);
    }
    PW_UNREACHABLE("protobuf type");
    return PW_EINVAL;
}

static int
read_list(struct json_in *in, const ProtobufCFieldDescriptor *f, json_t *v, uint8_t *msg)
{
    size_t n = json_array_size(v), size = pw_codec_element_size(f->type);
    uint8_t *data;

    if (!json_is_array(v)) {
        return bad_value(in, "repeated", f, v);
    }
    data = pw_arena_zalloc(in->arena, n, size);
    if (data == NULL) {
        return PW_ENOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        int rc = read_element(in, f, json_array_get(v, i), data + i * size);

        if (rc != 0) {
            return rc;
        }
    }
    memcpy(msg + f->offset, &data, sizeof(data));
    memcpy(msg + f->quantifier_offset, &n, sizeof(n));
    return 0;
}

static int
read_object(struct json_in *in, json_t *object, ProtobufCMessage *msg)
{
    uint8_t *base = (uint8_t *)msg;
    const char *key;
    json_t *v;

    json_object_foreach(object, key, v)
    {
        const ProtobufCFieldDescriptor *f = find_field(msg->descriptor, key);
        int rc;

        if (f == NULL || json_is_null(v)) {
            continue; /* unknown fields are ignored, null is the default */
        }
        if (f->label == PROTOBUF_C_LABEL_REPEATED) {
            rc = read_list(in, f, v, base);
        } else {
            rc = read_element(in, f, v, base + f->offset);
            if (rc == 0 && pw_codec_is_oneof(f)) {
                uint32_t which = f->id;

                memcpy(base + f->quantifier_offset, &which, sizeof(which));
            }
        }
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

static json_t *
load_json(struct pw_slice in, struct pw_text *err)
{
    json_error_t e;
    json_t *root;

    if (in.len == 0) {
        pw_text_str(err, "zero-length payload is not a valid JSON object");
        return NULL;
    }
    root = json_loadb((const char *)in.ptr, in.len, JSON_ALLOW_NUL | JSON_DECODE_ANY, &e);
    if (root == NULL) {
        if (json_error_code(&e) == json_error_premature_end_of_input) {
            pw_text_str(err, PW_CODEC_ERROR_PREFIX "unexpected EOF");
        } else {
            pw_text_printf(err, PW_CODEC_ERROR_PREFIX "syntax error (line %d:%d): %s", e.line,
                           e.column, e.text);
        }
        return NULL;
    }
    if (!json_is_object(root)) {
        pw_text_str(err, PW_CODEC_ERROR_PREFIX "syntax error (line 1:1): unexpected token");
        json_decref(root);
        return NULL;
    }
    return root;
}

int
pw_codec_from_json(struct pw_arena *a, struct pw_slice bytes,
                   const ProtobufCMessageDescriptor *desc, ProtobufCMessage **out,
                   struct pw_text *err)
{
    struct json_in in = {.arena = a, .err = err};
    json_t *root = load_json(bytes, err);
    int rc = 0;

    if (root == NULL) {
        return PW_EINVAL;
    }
    *out = push_pending(&in, root, desc);
    rc = *out == NULL ? PW_ENOMEM : 0;
    while (rc == 0 && in.depth > 0) { /* at most one turn per JSON object of the body */
        struct pending p = in.stack[--in.depth];

        rc = read_object(&in, p.object, p.msg);
    }
    json_decref(root);
    return rc;
}
