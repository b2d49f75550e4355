#include "ring/memberlist_msg.h"

#include "base/check.h"

#include <arpa/inet.h>
#include <stdio.h>

/* --- Which fields a message has ------------------------------------------------------------------ */

enum kind {
    KIND_UINT,   /* smallest unsigned form */
    KIND_INT,    /* Go's int: signed forms */
    KIND_STRING, /* "" is written as such */
    KIND_BYTES,  /* empty is written as nil */
    KIND_BOOL,
    KIND_IP,
    KIND_PORT,
};

struct field {
    const char *name;
    enum kind kind;
    size_t offset;
};

#define FIELD(name, kind, member)                                                                  \
    {                                                                                              \
        name, KIND_##kind, offsetof(struct pw_ml_msg, member)                                      \
    }

/* Each in the order of its names, which is how they are written. */
static const struct field ping[] = {
    FIELD("Node", STRING, node),       FIELD("SeqNo", UINT, seq),
    FIELD("SourceAddr", IP, source),   FIELD("SourceNode", STRING, source_node),
    FIELD("SourcePort", PORT, source),
};
static const struct field indirect_ping[] = {
    FIELD("Nack", BOOL, nack),         FIELD("Node", STRING, node),
    FIELD("Port", PORT, addr),         FIELD("SeqNo", UINT, seq),
    FIELD("SourceAddr", IP, source),   FIELD("SourceNode", STRING, source_node),
    FIELD("SourcePort", PORT, source), FIELD("Target", IP, addr),
};
static const struct field ack[] = {FIELD("Payload", BYTES, bytes), FIELD("SeqNo", UINT, seq)};
static const struct field nack[] = {FIELD("SeqNo", UINT, seq)};
static const struct field gone[] = {
    /* suspect and dead */
    FIELD("From", STRING, from),
    FIELD("Incarnation", UINT, incarnation),
    FIELD("Node", STRING, node),
};
static const struct field alive[] = {
    FIELD("Addr", IP, addr),    FIELD("Incarnation", UINT, incarnation),
    FIELD("Meta", BYTES, meta), FIELD("Node", STRING, node),
    FIELD("Port", PORT, addr),  FIELD("Vsn", BYTES, vsn),
};
static const struct field push_pull[] = {
    FIELD("Join", BOOL, join),
    FIELD("Nodes", INT, nodes),
    FIELD("UserStateLen", INT, user_bytes),
};
static const struct field node_state[] = {
    FIELD("Addr", IP, addr),    FIELD("Incarnation", UINT, incarnation),
    FIELD("Meta", BYTES, meta), FIELD("Name", STRING, node),
    FIELD("Port", PORT, addr),  FIELD("State", INT, state),
    FIELD("Vsn", BYTES, vsn),
};
static const struct field compress[] = {FIELD("Algo", UINT, algo), FIELD("Buf", BYTES, bytes)};
static const struct field user_stream[] = {FIELD("UserMsgLen", INT, user_bytes)};
static const struct field error[] = {FIELD("Error", STRING, bytes)};

struct table {
    const struct field *field;
    uint32_t count;
};

#define TABLE(fields) ((struct table){fields, PW_ARRAY_LEN(fields)})

static struct table
table_of(enum pw_ml_type type)
{
    switch (type) {
    case PW_ML_PING:
        return TABLE(ping);
    case PW_ML_INDIRECT_PING:
        return TABLE(indirect_ping);
    case PW_ML_ACK:
        return TABLE(ack);
    case PW_ML_NACK:
        return TABLE(nack);
    case PW_ML_SUSPECT:
    case PW_ML_DEAD:
        return TABLE(gone);
    case PW_ML_ALIVE:
        return TABLE(alive);
    case PW_ML_PUSH_PULL:
        return TABLE(push_pull);
    case PW_ML_NODE_STATE:
        return TABLE(node_state);
    case PW_ML_USER_STREAM:
        return TABLE(user_stream);
    case PW_ML_COMPRESS:
        return TABLE(compress);
    case PW_ML_ERR:
        return TABLE(error);
    case PW_ML_COMPOUND:
    case PW_ML_USER:
    case PW_ML_CRC:
    case PW_ML_LABEL:
        break;
    }
    PW_UNREACHABLE("a message without a map");
}

/* --- MessagePack, read -------------------------------------------------------------------------- */

enum value_type {
    VALUE_NIL,
    VALUE_BOOL,
    VALUE_UINT,
    VALUE_RAW,
    VALUE_MAP,
    VALUE_ARRAY,
    VALUE_OTHER
};

/* Of a map or an array only the head is read: `number` values (of a map twice so many) follow. */
struct value {
    enum value_type type;
    uint64_t number;
    struct pw_slice raw;
};

struct reader {
    const uint8_t *p, *end;
};

static int
take(struct reader *r, uint64_t n, const uint8_t **at)
{
    if (n > (uint64_t)(r->end - r->p)) {
        return PW_PARSE_MORE;
    }
    *at = r->p;
    r->p += n;
    return 0;
}

static int
take_number(struct reader *r, uint32_t width, uint64_t *n)
{
    const uint8_t *at;
    int rc = take(r, width, &at);

    *n = 0;
    for (uint32_t i = 0; rc == 0 && i < width; i++) {
        *n = *n << 8 | at[i];
    }
    return rc;
}

static int
take_raw(struct reader *r, uint64_t n, struct value *v)
{
    const uint8_t *at;
    int rc = take(r, n, &at);

    v->type = VALUE_RAW;
    if (rc == 0) {
        v->raw = pw_slice(at, n);
    }
    return rc;
}

static int
take_sized(struct reader *r, uint32_t width, enum value_type type, struct value *v)
{
    uint64_t n;
    int rc = take_number(r, width, &n);

    if (rc != 0) {
        return rc;
    }
    if (type == VALUE_RAW) {
        return take_raw(r, n, v);
    }
    *v = (struct value){.type = type, .number = n};
    return 0;
}

/* Signed forms that are negative are of no field here. */
static int
take_signed(struct reader *r, uint32_t width, struct value *v)
{
    int rc = take_sized(r, width, VALUE_UINT, v);

    if (rc == 0 && v->number >> (8 * width - 1) != 0) {
        v->type = VALUE_OTHER;
    }
    return rc;
}

static int
take_other(struct reader *r, uint64_t n, struct value *v)
{
    int rc = take_raw(r, n, v);

    v->type = VALUE_OTHER;
    return rc;
}

static int
take_long_value(struct reader *r, uint8_t c, struct value *v)
{
    uint64_t n = 0;
    int rc;

    switch (c) {
    case 0xC0:
        v->type = VALUE_NIL;
        return 0;
    case 0xC2:
    case 0xC3:
        *v = (struct value){.type = VALUE_BOOL, .number = c == 0xC3};
        return 0;
    case 0xC4:
    case 0xC5:
    case 0xC6:
        return take_sized(r, 1U << (c - 0xC4), VALUE_RAW, v);
    case 0xC7:
    case 0xC8:
    case 0xC9: /* extensions have a byte more */
        rc = take_number(r, 1U << (c - 0xC7), &n);
        return rc != 0 ? rc : take_other(r, n + 1, v);
    case 0xCA:
        return take_other(r, 4, v);
    case 0xCB:
        return take_other(r, 8, v);
    case 0xCC:
    case 0xCD:
    case 0xCE:
    case 0xCF:
        return take_sized(r, 1U << (c - 0xCC), VALUE_UINT, v);
    case 0xD0:
    case 0xD1:
    case 0xD2:
    case 0xD3:
        return take_signed(r, 1U << (c - 0xD0), v);
    case 0xD4:
    case 0xD5:
    case 0xD6:
    case 0xD7:
    case 0xD8:
        return take_other(r, (1U << (c - 0xD4)) + 1, v);
    case 0xD9:
    case 0xDA:
    case 0xDB:
        return take_sized(r, 1U << (c - 0xD9), VALUE_RAW, v);
    case 0xDC:
    case 0xDD:
        return take_sized(r, c == 0xDC ? 2 : 4, VALUE_ARRAY, v);
    case 0xDE:
    case 0xDF:
        return take_sized(r, c == 0xDE ? 2 : 4, VALUE_MAP, v);
    default:
        return PW_PARSE_BAD; /* 0xC1 is of no type */
    }
}

static int
take_value(struct reader *r, struct value *v)
{
    const uint8_t *at;
    int rc = take(r, 1, &at);
    uint8_t c;

    *v = (struct value){.type = VALUE_OTHER};
    if (rc != 0) {
        return rc;
    }
    c = *at;
    if (c < 0x80) {
        *v = (struct value){.type = VALUE_UINT, .number = c};
    } else if (c < 0x90) {
        *v = (struct value){.type = VALUE_MAP, .number = c & 0x0F};
    } else if (c < 0xA0) {
        *v = (struct value){.type = VALUE_ARRAY, .number = c & 0x0F};
    } else if (c < 0xC0) {
        return take_raw(r, c & 0x1F, v);
    } else if (c < 0xE0) {
        return take_long_value(r, c, v);
    }
    return 0; /* from 0xE0 on: small negative numbers */
}

/* The values within v, however deep: each takes a byte at least, so the input bounds the loop. */
static int
skip_rest(struct reader *r, const struct value *v)
{
    uint64_t left = v->type == VALUE_MAP ? 2 * v->number : (v->type == VALUE_ARRAY ? v->number : 0);
    struct value in;

    while (left > 0) {
        int rc = take_value(r, &in);

        if (rc != 0) {
            return rc;
        }
        left += in.type == VALUE_MAP ? 2 * in.number : (in.type == VALUE_ARRAY ? in.number : 0);
        left--;
    }
    return 0;
}

/* --- Fields ------------------------------------------------------------------------------------- */

static int
set_ip(struct pw_ml_addr *a, struct pw_slice raw)
{
    if (raw.len != 0 && raw.len != 4 && raw.len != 16) {
        return PW_PARSE_BAD;
    }
    a->ip_len = (uint8_t)raw.len;
    if (raw.len > 0) {
        memcpy(a->ip, raw.ptr, raw.len);
    }
    return 0;
}

static bool
fits_kind(enum kind kind, const struct value *v)
{
    switch (kind) {
    case KIND_UINT:
    case KIND_INT:
        return v->type == VALUE_UINT && v->number <= UINT32_MAX;
    case KIND_PORT:
        return v->type == VALUE_UINT && v->number <= UINT16_MAX;
    case KIND_BOOL:
        return v->type == VALUE_BOOL;
    case KIND_STRING:
    case KIND_BYTES:
    case KIND_IP:
        return v->type == VALUE_RAW;
    }
    PW_UNREACHABLE("kind of field");
}

static int
set_field(struct pw_ml_msg *m, const struct field *f, const struct value *v)
{
    void *at = (uint8_t *)m + f->offset;

    if (v->type == VALUE_NIL) {
        return 0;
    }
    if (!fits_kind(f->kind, v)) {
        return PW_PARSE_BAD;
    }
    switch (f->kind) {
    case KIND_UINT:
    case KIND_INT:
        *(uint32_t *)at = (uint32_t)v->number;
        return 0;
    case KIND_PORT:
        ((struct pw_ml_addr *)at)->port = (uint16_t)v->number;
        return 0;
    case KIND_BOOL:
        *(bool *)at = v->number != 0;
        return 0;
    case KIND_STRING:
    case KIND_BYTES:
        *(struct pw_slice *)at = v->raw;
        return 0;
    case KIND_IP:
        return set_ip(at, v->raw);
    }
    PW_UNREACHABLE("kind of field");
}

static int
take_field(struct reader *r, struct table t, struct pw_ml_msg *m)
{
    struct value key, v;
    int rc = take_value(r, &key);

    rc = rc != 0 ? rc : (key.type == VALUE_RAW ? 0 : PW_PARSE_BAD);
    rc = rc != 0 ? rc : take_value(r, &v);
    if (rc != 0) {
        return rc;
    }
    for (uint32_t i = 0; i < t.count; i++) {
        if (pw_slice_eq_str(key.raw, t.field[i].name)) {
            return set_field(m, &t.field[i], &v);
        }
    }
    return skip_rest(r, &v);
}

int64_t
pw_ml_msg_read(enum pw_ml_type type, struct pw_slice in, struct pw_ml_msg *m)
{
    struct reader r = {.p = in.ptr, .end = in.ptr + in.len};
    struct value map;
    int rc = take_value(&r, &map);

    *m = (struct pw_ml_msg){0};
    rc = rc != 0 || map.type == VALUE_MAP ? rc : PW_PARSE_BAD;
    for (uint64_t i = 0; rc == 0 && i < map.number; i++) {
        rc = take_field(&r, table_of(type), m);
    }
    if (rc == 0 &&
        (m->meta.len > PW_ML_META_MAX || (m->vsn.len != 0 && m->vsn.len != PW_ML_VSN_BYTES))) {
        rc = PW_PARSE_BAD;
    }
    return rc != 0 ? rc : r.p - in.ptr;
}

/* --- Written ------------------------------------------------------------------------------------ */

static void
put_number(struct pw_text *t, uint8_t code, uint32_t width, uint64_t v)
{
    pw_text_char(t, (char)code);
    for (uint32_t i = width; i > 0; i--) {
        pw_text_char(t, (char)(v >> (8 * (i - 1))));
    }
}

static void
put_uint(struct pw_text *t, uint32_t v)
{
    if (v < 0x80) {
        pw_text_char(t, (char)v);
    } else if (v <= UINT8_MAX) {
        put_number(t, 0xCC, 1, v);
    } else if (v <= UINT16_MAX) {
        put_number(t, 0xCD, 2, v);
    } else {
        put_number(t, 0xCE, 4, v);
    }
}

static void
put_int(struct pw_text *t, uint32_t v)
{
    if (v < 0x80) {
        pw_text_char(t, (char)v);
    } else if (v <= INT16_MAX) {
        put_number(t, 0xD1, 2, v);
    } else if (v <= INT32_MAX) {
        put_number(t, 0xD2, 4, v);
    } else {
        put_number(t, 0xD3, 8, v);
    }
}

/* The older form of the format: texts and bytes alike, no 8 bit lengths. */
static void
put_raw(struct pw_text *t, struct pw_slice s)
{
    if (s.len < 32) {
        pw_text_char(t, (char)(0xA0 | s.len));
    } else if (s.len <= UINT16_MAX) {
        put_number(t, 0xDA, 2, s.len);
    } else {
        put_number(t, 0xDB, 4, s.len);
    }
    pw_text_slice(t, s);
}

static void
put_bytes(struct pw_text *t, struct pw_slice s)
{
    if (s.len == 0) {
        pw_text_char(t, (char)0xC0);
    } else {
        put_raw(t, s);
    }
}

static void
put_field(struct pw_text *t, const struct pw_ml_msg *m, const struct field *f)
{
    const void *at = (const uint8_t *)m + f->offset;
    const struct pw_ml_addr *a = at;

    put_raw(t, pw_slice_str(f->name));
    switch (f->kind) {
    case KIND_UINT:
        put_uint(t, *(const uint32_t *)at);
        break;
    case KIND_INT:
        put_int(t, *(const uint32_t *)at);
        break;
    case KIND_PORT:
        put_uint(t, a->port);
        break;
    case KIND_BOOL:
        pw_text_char(t, (char)(*(const bool *)at ? 0xC3 : 0xC2));
        break;
    case KIND_STRING:
        put_raw(t, *(const struct pw_slice *)at);
        break;
    case KIND_BYTES:
        put_bytes(t, *(const struct pw_slice *)at);
        break;
    case KIND_IP:
        put_bytes(t, pw_slice(a->ip, a->ip_len));
        break;
    }
}

void
pw_ml_msg_write(enum pw_ml_type type, const struct pw_ml_msg *m, struct pw_text *t)
{
    struct table fields = table_of(type);

    if (type != PW_ML_NODE_STATE && type != PW_ML_USER_STREAM) {
        pw_text_char(t, (char)type);
    }
    pw_text_char(t, (char)(0x80 | fields.count));
    for (uint32_t i = 0; i < fields.count; i++) {
        put_field(t, m, &fields.field[i]);
    }
}

/* --- Addresses ---------------------------------------------------------------------------------- */

static const uint8_t ip4_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};

bool
pw_ml_addr_is_ip4(const struct pw_ml_addr *a, uint8_t ip[4])
{
    if (a->ip_len == 4) {
        memcpy(ip, a->ip, 4);
        return true;
    }
    if (a->ip_len == 16 && memcmp(a->ip, ip4_prefix, sizeof(ip4_prefix)) == 0) {
        memcpy(ip, a->ip + sizeof(ip4_prefix), 4);
        return true;
    }
    return false;
}

bool
pw_ml_addr_equal(const struct pw_ml_addr *a, const struct pw_ml_addr *b)
{
    uint8_t x[4], y[4];
    bool a4 = pw_ml_addr_is_ip4(a, x), b4 = pw_ml_addr_is_ip4(b, y);

    if (a->port != b->port || a4 != b4) {
        return false;
    }
    return a4 ? memcmp(x, y, 4) == 0
              : a->ip_len == b->ip_len && memcmp(a->ip, b->ip, a->ip_len) == 0;
}

struct pw_ml_addr
pw_ml_addr_ip4(const uint8_t ip[4], uint16_t port)
{
    struct pw_ml_addr a = {.ip_len = 16, .port = port};

    memcpy(a.ip, ip4_prefix, sizeof(ip4_prefix));
    memcpy(a.ip + sizeof(ip4_prefix), ip, 4);
    return a;
}

int
pw_ml_addr_read(const char *ip, uint16_t port, struct pw_ml_addr *a)
{
    uint8_t four[4];

    if (inet_pton(AF_INET, ip, four) == 1) {
        *a = pw_ml_addr_ip4(four, port);
        return 0;
    }
    *a = (struct pw_ml_addr){.ip_len = 16, .port = port};
    return inet_pton(AF_INET6, ip, a->ip) == 1 ? 0 : PW_EINVAL;
}

void
pw_ml_addr_ip_text(const struct pw_ml_addr *a, char text[PW_ML_IP_TEXT])
{
    uint8_t four[4];
    bool ip4 = pw_ml_addr_is_ip4(a, four);

    text[0] = 0;
    if (ip4 || a->ip_len == 16) {
        inet_ntop(ip4 ? AF_INET : AF_INET6, ip4 ? four : a->ip, text, PW_ML_IP_TEXT);
    }
}

void
pw_ml_addr_text(const struct pw_ml_addr *a, char text[PW_ML_ADDR_TEXT])
{
    char ip[PW_ML_IP_TEXT];

    pw_ml_addr_ip_text(a, ip);
    snprintf(text, PW_ML_ADDR_TEXT, strchr(ip, ':') != NULL ? "[%s]:%u" : "%s:%u", ip, a->port);
}
