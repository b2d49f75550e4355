/* The protobuf message KeyValuePair (contract ring.md 4.4) and the list of them that push/pull carries. */
#include "base/log.h"
#include "pprof/wire.h"
#include "ring/compress.h"
#include "ring/kv.h"

static const char module[] = "pw.ring.kv";
static const char codec_ring[] = "ringDesc";

enum pair_field {
    FIELD_KEY = 1,
    FIELD_VALUE = 2,
    FIELD_CODEC = 3,
    FIELD_DELETED = 4,
    FIELD_UPDATE_TIME = 5,
};

static void
put_value(struct pw_text *t, const struct pw_ring_desc *desc)
{
    struct pw_text plain, packed;

    pw_text_init(&plain, PW_KV_VALUE_BYTES_MAX);
    pw_text_init(&packed, t->limit);
    pw_ring_desc_encode(desc, &plain);
    pw_snappy_encode(pw_slice(plain.ptr, plain.len), &packed);
    t->failed = t->failed || plain.failed || packed.failed;
    pw_wire_put_bytes(t, FIELD_VALUE, pw_slice(packed.ptr, packed.len));
    pw_text_fini(&plain);
    pw_text_fini(&packed);
}

void
pw_kv_put_pair(struct pw_text *t, const struct pw_kv_change *change)
{
    pw_wire_put_bytes(t, FIELD_KEY, pw_slice_str(change->key));
    put_value(t, change->desc);
    pw_wire_put_bytes(t, FIELD_CODEC, pw_slice_str(codec_ring));
    pw_wire_put_tag_varint(t, FIELD_DELETED, change->deleted);
    pw_wire_put_tag_varint(t, FIELD_UPDATE_TIME, (uint64_t)change->update_time_ms);
}

void
pw_kv_put_state(const struct pw_kv *kv, struct pw_text *t)
{
    struct pw_text pair;

    pw_text_init(&pair, t->limit);
    for (uint32_t i = 0; i < pw_kv_count(kv) && !t->failed; i++) {
        const struct pw_kv_entry e = pw_kv_entry(kv, i);
        const struct pw_kv_change all = {
            .key = e.key, .desc = e.desc, .deleted = e.deleted, .update_time_ms = e.update_time_ms};
        uint8_t len[4];

        pair.len = 0;
        pw_kv_put_pair(&pair, &all);
        t->failed = t->failed || pair.failed;
        pw_store_be32(len, (uint32_t)pair.len);
        pw_text_put(t, len, sizeof(len));
        pw_text_put(t, pair.ptr, pair.len);
    }
    pw_text_fini(&pair);
}

/* --- In --------------------------------------------------------------------------------------- */

static int
read_field(struct pw_kv_pair *p, struct pw_wire_field f)
{
    bool text = f.number <= FIELD_CODEC;

    if (f.number < FIELD_KEY || f.number > FIELD_UPDATE_TIME) {
        return 0;
    }
    if (f.type != (text ? (uint32_t)PW_WIRE_LEN : (uint32_t)PW_WIRE_VARINT)) {
        return PW_EPROTO;
    }
    switch ((enum pair_field)f.number) {
    case FIELD_KEY:
        p->key = f.bytes;
        break;
    case FIELD_VALUE:
        p->value = f.bytes;
        break;
    case FIELD_CODEC:
        p->codec = f.bytes;
        break;
    case FIELD_DELETED:
        p->deleted = f.varint != 0;
        break;
    case FIELD_UPDATE_TIME:
        p->update_time_ms = (int64_t)f.varint;
        break;
    }
    return 0;
}

int
pw_kv_read_pair(struct pw_slice bytes, struct pw_kv_pair *p)
{
    struct pw_wire w;
    struct pw_wire_field f;
    int rc;

    *p = (struct pw_kv_pair){0};
    pw_wire_init(&w, bytes);
    while ((rc = pw_wire_next(&w, &f)) == 1) {
        if (read_field(p, f) != 0) {
            return PW_EPROTO;
        }
    }
    if (rc != 0 || p->key.len == 0 || memchr(p->key.ptr, 0, p->key.len) != NULL ||
        p->update_time_ms < 0) {
        return PW_EPROTO;
    }
    return p->key.len > PW_KV_KEY_MAX ? PW_EMSGSIZE : 0;
}

static int
read_value(struct pw_ring_desc *desc, struct pw_slice value)
{
    struct pw_text plain;
    int rc;

    if (value.len == 0) {
        return 0;
    }
    pw_text_init(&plain, PW_KV_VALUE_BYTES_MAX);
    rc = pw_snappy_decode(value, &plain);
    rc = rc != 0 ? rc : pw_ring_desc_decode(desc, pw_slice(plain.ptr, plain.len), NULL);
    pw_text_fini(&plain);
    return rc;
}

static int
merge_pair(struct pw_kv *kv, struct pw_slice bytes, int64_t now_s)
{
    struct pw_kv_pair p;
    char key[PW_KV_KEY_MAX + 1];
    struct pw_ring_desc desc;
    int rc = pw_kv_read_pair(bytes, &p);

    if (rc != 0) {
        return rc;
    }
    memcpy(key, p.key.ptr, p.key.len);
    key[p.key.len] = 0;
    if (!pw_slice_eq_str(p.codec, codec_ring)) {
        pw_kv_note_received(kv, key, bytes, now_s);
        return PW_ENOTSUP;
    }
    pw_ring_desc_init(&desc);
    rc = p.deleted ? 0 : read_value(&desc, p.value);
    if (rc == 0) {
        const struct pw_kv_change in = {
            .key = key, .desc = &desc, .deleted = p.deleted, .update_time_ms = p.update_time_ms};

        rc = pw_kv_merge(kv, &in, now_s);
    }
    pw_kv_note_received(kv, key, bytes, now_s);
    pw_ring_desc_fini(&desc);
    return rc;
}

int
pw_kv_merge_pair(struct pw_kv *kv, struct pw_slice pair, int64_t now_s)
{
    struct pw_kv_stats *stats = pw_kv_stats_mutable(kv);
    int rc = merge_pair(kv, pair, now_s);

    stats->pairs++;
    stats->pairs_broken += rc == PW_EPROTO;
    stats->pairs_too_large += rc == PW_EMSGSIZE || rc == PW_ENOMEM;
    stats->pairs_unknown_codec += rc == PW_ENOTSUP;
    if (rc == PW_ENOTSUP) {
        pw_log(PW_LOG_DEBUG, module,
               "msg=\"a pair with another codec is left out\""); /* versions */
    }
    return rc;
}

int
pw_kv_merge_state(struct pw_kv *kv, struct pw_slice state, int64_t now_s)
{
    const uint8_t *p = state.ptr, *end = p + state.len;

    while (p < end) {
        uint32_t len;

        if (end - p < 4) {
            return PW_EPROTO;
        }
        len = pw_load_be32(p);
        p += 4;
        if (len > (size_t)(end - p)) {
            return PW_EPROTO;
        }
        if (pw_kv_merge_pair(kv, pw_slice(p, len), now_s) == PW_ENOMEM) {
            return PW_ENOMEM;
        }
        p += len;
    }
    return 0;
}
