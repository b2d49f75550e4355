/* The protobuf message Desc (contract ring.md 1.2): map<string, InstanceDesc> ingesters = 1. */
#include "pprof/wire.h"
#include "ring/desc.h"

#include <stdlib.h>

enum { DESC_INGESTERS = 1, ENTRY_KEY = 1, ENTRY_VALUE = 2 };

enum instance_field {
    FIELD_ADDR = 1,
    FIELD_TIMESTAMP = 2,
    FIELD_STATE = 3,
    FIELD_TOKENS = 6,
    FIELD_ZONE = 7,
    FIELD_REGISTERED = 8,
    FIELD_ID = 9,
    FIELD_READ_ONLY_UPDATED = 10,
    FIELD_READ_ONLY = 11,
    FIELD_VERSIONS = 12,
};

/* One InstanceDesc being read, before it is copied into the desc. */
struct reader {
    struct pw_instance in;
    uint64_t state;
    char id[PW_RING_NAME_MAX + 1], addr[PW_RING_NAME_MAX + 1], zone[PW_RING_NAME_MAX + 1];
    uint32_t token[PW_RING_TOKENS_MAX];
    struct pw_ring_version version[PW_RING_VERSIONS_MAX];
    struct pw_text *why;
};

static int
refuse(const struct reader *r, int rc, const char *text)
{
    if (r->why != NULL) {
        pw_text_str(r->why, text);
    }
    return rc;
}

static int
broken(const struct reader *r, const struct pw_wire *w)
{
    return refuse(r, PW_EPROTO, w->err != NULL ? w->err : "broken field");
}

static int
wrong_type(const struct reader *r)
{
    return refuse(r, PW_EPROTO, "a field of the ring has the wrong wire type");
}

static int
read_text(const struct reader *r, struct pw_wire_field f, char *to)
{
    if (f.type != PW_WIRE_LEN) {
        return wrong_type(r);
    }
    if (f.bytes.len > PW_RING_NAME_MAX) {
        return refuse(r, PW_EMSGSIZE, "a name in the ring is too long");
    }
    if (f.bytes.len > 0 && memchr(f.bytes.ptr, 0, f.bytes.len) != NULL) {
        return refuse(r, PW_EPROTO, "a name in the ring holds a NUL");
    }
    if (f.bytes.len > 0) {
        memcpy(to, f.bytes.ptr, f.bytes.len);
    }
    to[f.bytes.len] = 0;
    return 0;
}

static int
add_token(struct reader *r, uint64_t v)
{
    if (r->in.token_count == PW_RING_TOKENS_MAX) {
        return refuse(r, PW_EMSGSIZE, "an instance has too many tokens");
    }
    r->token[r->in.token_count++] = (uint32_t)v;
    return 0;
}

/* Packed, as it is written; one by one is as good protobuf. */
static int
read_tokens(struct reader *r, struct pw_wire_field f)
{
    const uint8_t *p, *end;
    int rc = 0;

    if (f.type == PW_WIRE_VARINT) {
        return add_token(r, f.varint);
    }
    if (f.type != PW_WIRE_LEN) {
        return wrong_type(r);
    }
    p = f.bytes.ptr;
    end = p + f.bytes.len; /* LEN: never without an address */
    while (p < end && rc == 0) {
        uint64_t v = 0;
        int used = pw_wire_varint(p, end, &v);

        if (used <= 0) {
            return refuse(r, PW_EPROTO, "a packed token is cut or too long");
        }
        p += used;
        rc = add_token(r, v);
    }
    return rc;
}

static int
put_version(struct reader *r, struct pw_ring_version v)
{
    uint32_t i = 0, n = r->in.version_count;

    while (i < n && r->version[i].component < v.component) {
        i++;
    }
    if (i == n || r->version[i].component != v.component) {
        if (n == PW_RING_VERSIONS_MAX) {
            return refuse(r, PW_EMSGSIZE, "an instance has too many versions");
        }
        memmove(&r->version[i + 1], &r->version[i], (n - i) * sizeof(v));
        r->in.version_count++;
    }
    r->version[i] = v;
    return 0;
}

static int
read_version(struct reader *r, struct pw_wire_field entry)
{
    struct pw_ring_version v = {0};
    struct pw_wire w;
    struct pw_wire_field f;
    int rc;

    if (entry.type != PW_WIRE_LEN) {
        return wrong_type(r);
    }
    pw_wire_init(&w, entry.bytes);
    while ((rc = pw_wire_next(&w, &f)) == 1) {
        if (f.number != ENTRY_KEY && f.number != ENTRY_VALUE) {
            continue;
        }
        if (f.type != PW_WIRE_VARINT) {
            return wrong_type(r);
        }
        *(f.number == ENTRY_KEY ? &v.component : &v.version) = f.varint;
    }
    return rc != 0 ? broken(r, &w) : put_version(r, v);
}

static int
read_number(struct reader *r, struct pw_wire_field f)
{
    if (f.type != PW_WIRE_VARINT) {
        return wrong_type(r);
    }
    switch (f.number) {
    case FIELD_TIMESTAMP:
        r->in.timestamp = (int64_t)f.varint;
        break;
    case FIELD_STATE:
        r->state = f.varint;
        break;
    case FIELD_REGISTERED:
        r->in.registered = (int64_t)f.varint;
        break;
    case FIELD_READ_ONLY_UPDATED:
        r->in.read_only_updated = (int64_t)f.varint;
        break;
    default:
        r->in.read_only = f.varint != 0;
        break;
    }
    return 0;
}

static int
read_field(struct reader *r, struct pw_wire_field f)
{
    switch (f.number) {
    case FIELD_ADDR:
        return read_text(r, f, r->addr);
    case FIELD_ZONE:
        return read_text(r, f, r->zone);
    case FIELD_TOKENS:
        return read_tokens(r, f);
    case FIELD_VERSIONS:
        return read_version(r, f);
    case FIELD_TIMESTAMP:
    case FIELD_STATE:
    case FIELD_REGISTERED:
    case FIELD_READ_ONLY_UPDATED:
    case FIELD_READ_ONLY:
        return read_number(r, f);
    default: /* 9, the id, equals the key; 4 and 5 are reserved; the rest is of a later version */
        return 0;
    }
}

static int
read_instance(struct reader *r, struct pw_slice bytes)
{
    struct pw_wire w;
    struct pw_wire_field f;
    int rc;

    pw_wire_init(&w, bytes);
    while ((rc = pw_wire_next(&w, &f)) == 1) {
        rc = read_field(r, f);
        if (rc != 0) {
            return rc;
        }
    }
    return rc == 0 ? 0 : broken(r, &w);
}

static void
start_instance(struct reader *r)
{
    r->id[0] = r->addr[0] = r->zone[0] = 0;
    r->state = PW_INSTANCE_ACTIVE;
    r->in = (struct pw_instance){
        .id = r->id, .addr = r->addr, .zone = r->zone, .token = r->token, .version = r->version};
}

/* A map entry: key and value in any order; a message that comes twice is merged field by field. */
static int
read_entry(struct reader *r, struct pw_slice bytes, struct pw_ring_desc *d)
{
    struct pw_wire w;
    struct pw_wire_field f;
    int rc;

    start_instance(r);
    pw_wire_init(&w, bytes);
    while ((rc = pw_wire_next(&w, &f)) == 1) {
        if (f.number == ENTRY_KEY) {
            rc = read_text(r, f, r->id);
        } else if (f.number == ENTRY_VALUE) {
            rc = f.type == PW_WIRE_LEN ? read_instance(r, f.bytes) : wrong_type(r);
        } else {
            rc = 0;
        }
        if (rc != 0) {
            return rc;
        }
    }
    if (rc != 0) {
        return broken(r, &w);
    }
    if (r->state > PW_INSTANCE_LEFT) {
        return 0;
    }
    r->in.state = (enum pw_instance_state)r->state;
    if (r->in.state == PW_INSTANCE_LEFT) {
        r->in.token_count = 0;
    }
    rc = pw_ring_desc_put(d, &r->in);
    return rc == 0 ? 0 : refuse(r, rc, rc == PW_EMSGSIZE ? "too many instances" : "no memory");
}

int
pw_ring_desc_decode(struct pw_ring_desc *d, struct pw_slice bytes, struct pw_text *why)
{
    struct reader *r = malloc(sizeof(*r));
    struct pw_wire w;
    struct pw_wire_field f;
    int rc;

    pw_ring_desc_fini(d);
    if (r == NULL) {
        return PW_ENOMEM;
    }
    r->why = why;
    pw_wire_init(&w, bytes);
    while ((rc = pw_wire_next(&w, &f)) == 1) {
        if (f.number == DESC_INGESTERS) {
            rc = f.type == PW_WIRE_LEN ? read_entry(r, f.bytes, d) : wrong_type(r);
            if (rc != 0) {
                break;
            }
        }
    }
    if (rc == PW_PARSE_BAD) {
        rc = broken(r, &w);
    }
    if (rc != 0) {
        pw_ring_desc_fini(d);
    }
    free(r);
    return rc;
}

/* --- Out -------------------------------------------------------------------------------------- */

static void
put_name(struct pw_text *t, uint32_t number, const char *s)
{
    if (s[0] != 0) {
        pw_wire_put_bytes(t, number, pw_slice_str(s));
    }
}

static void
put_tokens(struct pw_text *t, const struct pw_instance *in)
{
    struct pw_text packed;

    if (in->token_count == 0) {
        return;
    }
    pw_text_init(&packed, 5 * PW_RING_TOKENS_MAX);
    for (uint32_t i = 0; i < in->token_count; i++) {
        pw_wire_put_varint(&packed, in->token[i]);
    }
    t->failed = t->failed || packed.failed;
    pw_wire_put_bytes(t, FIELD_TOKENS, pw_slice(packed.ptr, packed.len));
    pw_text_fini(&packed);
}

/* Both fields of a map's entry are written whatever they are. */
static void
put_version_entry(struct pw_text *t, struct pw_ring_version v)
{
    uint8_t buf[24];
    struct pw_text entry;

    pw_text_fixed(&entry, buf, sizeof(buf));
    pw_text_char(&entry, ENTRY_KEY << 3 | PW_WIRE_VARINT);
    pw_wire_put_varint(&entry, v.component);
    pw_text_char(&entry, ENTRY_VALUE << 3 | PW_WIRE_VARINT);
    pw_wire_put_varint(&entry, v.version);
    pw_wire_put_bytes(t, FIELD_VERSIONS, pw_slice(entry.ptr, entry.len));
}

static void
put_instance(struct pw_text *t, const struct pw_instance *in)
{
    put_name(t, FIELD_ADDR, in->addr);
    pw_wire_put_tag_varint(t, FIELD_TIMESTAMP, (uint64_t)in->timestamp);
    pw_wire_put_tag_varint(t, FIELD_STATE, (uint64_t)in->state);
    put_tokens(t, in);
    put_name(t, FIELD_ZONE, in->zone);
    pw_wire_put_tag_varint(t, FIELD_REGISTERED, (uint64_t)in->registered);
    put_name(t, FIELD_ID, in->id);
    pw_wire_put_tag_varint(t, FIELD_READ_ONLY_UPDATED, (uint64_t)in->read_only_updated);
    pw_wire_put_tag_varint(t, FIELD_READ_ONLY, in->read_only);
    for (uint32_t i = 0; i < in->version_count; i++) {
        put_version_entry(t, in->version[i]);
    }
}

void
pw_ring_desc_encode(const struct pw_ring_desc *d, struct pw_text *t)
{
    struct pw_text value, entry;

    pw_text_init(&value, t->limit);
    pw_text_init(&entry, t->limit);
    for (uint32_t i = 0; i < d->count && !t->failed; i++) {
        value.len = entry.len = 0;
        put_instance(&value, &d->instance[i]);
        pw_wire_put_bytes(&entry, ENTRY_KEY, pw_slice_str(d->instance[i].id));
        pw_wire_put_bytes(&entry, ENTRY_VALUE, pw_slice(value.ptr, value.len));
        t->failed = t->failed || value.failed || entry.failed;
        pw_wire_put_bytes(t, DESC_INGESTERS, pw_slice(entry.ptr, entry.len));
    }
    pw_text_fini(&value);
    pw_text_fini(&entry);
}
