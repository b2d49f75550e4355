#include "ring/memberlist_packet.h"

#include "ring/compress.h"
#include "ring/memberlist_msg.h"

#include <openssl/evp.h>

enum { MD5_BYTES = 16, CRC_BYTES = 4, LABEL_HEAD = 2, LABEL_MAX = 255 };
enum { ALGO_LZW = 0, ALGO_SNAPPY = 1 };

uint32_t
pw_ml_crc32(struct pw_slice s)
{
    static const uint32_t nibble[16] = {
        0x00000000, 0x1DB71064, 0x3B6E20C8, 0x26D930AC, 0x76DC4190, 0x6B6B51F4,
        0x4DB26158, 0x5005713C, 0xEDB88320, 0xF00F9344, 0xD6D6A3E8, 0xCB61B38C,
        0x9B64C2B0, 0x86D3D2D4, 0xA00AE278, 0xBDBDF21C,
    };
    uint32_t c = UINT32_MAX;

    for (size_t i = 0; i < s.len; i++) {
        c ^= s.ptr[i];
        c = nibble[c & 15] ^ (c >> 4);
        c = nibble[c & 15] ^ (c >> 4);
    }
    return ~c;
}

static bool
md5(struct pw_slice s, uint8_t digest[MD5_BYTES])
{
    return EVP_Digest(s.ptr, s.len, digest, NULL, EVP_md5(), NULL) == 1;
}

/* --- Label ------------------------------------------------------------------------------------ */

int
pw_ml_label_read(const struct pw_ml_wire_cfg *cfg, struct pw_slice in)
{
    struct pw_slice label = {0};
    int used = 0;

    if (in.len == 0) {
        return PW_PARSE_MORE;
    }
    if (in.ptr[0] == PW_ML_LABEL) {
        if (in.len < LABEL_HEAD || in.len - LABEL_HEAD < in.ptr[1]) {
            return PW_PARSE_MORE;
        }
        label = pw_slice(in.ptr + LABEL_HEAD, in.ptr[1]);
        used = LABEL_HEAD + (int)label.len;
        if (label.len == 0) {
            return PW_PARSE_BAD;
        }
    }
    return cfg->label_unchecked || pw_slice_eq(label, cfg->label) ? used : PW_PARSE_BAD;
}

void
pw_ml_label_write(const struct pw_ml_wire_cfg *cfg, struct pw_text *t)
{
    if (cfg->label.len > 0 && cfg->label.len <= LABEL_MAX) {
        pw_text_char(t, (char)PW_ML_LABEL);
        pw_text_char(t, (char)cfg->label.len);
        pw_text_slice(t, cfg->label);
    }
}

/* --- Compression ------------------------------------------------------------------------------ */

int
pw_ml_decompress(struct pw_slice map, struct pw_text *plain)
{
    struct pw_ml_msg m;

    plain->len = 0;
    if (pw_ml_msg_read(PW_ML_COMPRESS, map, &m) < 0) {
        return PW_EPROTO;
    }
    switch (m.algo) {
    case ALGO_LZW:
        return pw_lzw_decode(m.bytes, plain);
    case ALGO_SNAPPY:
        return pw_snappy_decode(m.bytes, plain);
    default:
        return PW_EPROTO;
    }
}

void
pw_ml_compress(const struct pw_ml_wire_cfg *cfg, struct pw_slice in, struct pw_text *t)
{
    struct pw_text packed, whole;
    struct pw_ml_msg m = {0};

    if (cfg->compression == PW_ML_COMPRESSION_NONE) {
        pw_text_slice(t, in);
        return;
    }
    pw_text_init(&packed, 2 * in.len + 64);
    pw_text_init(&whole, 2 * in.len + 128);
    if (cfg->compression == PW_ML_COMPRESSION_LZW) {
        pw_lzw_encode(in, &packed);
    } else {
        pw_snappy_encode(in, &packed);
    }
    m.algo = cfg->compression == PW_ML_COMPRESSION_LZW ? ALGO_LZW : ALGO_SNAPPY;
    m.bytes = pw_slice(packed.ptr, packed.len);
    pw_ml_msg_write(PW_ML_COMPRESS, &m, &whole);
    if (!packed.failed && !whole.failed && whole.len < in.len) {
        pw_text_put(t, whole.ptr, whole.len);
    } else {
        pw_text_slice(t, in);
    }
    pw_text_fini(&packed);
    pw_text_fini(&whole);
}

/* --- A packet --------------------------------------------------------------------------------- */

/* Label, CRC, compression, each where it is there. */
static int
unwrap(const struct pw_ml_wire_cfg *cfg, struct pw_slice in, struct pw_text *plain,
       struct pw_slice *message)
{
    int used = pw_ml_label_read(cfg, in);

    if (used < 0) {
        return used == PW_PARSE_MORE ? PW_EPROTO : PW_EPERM;
    }
    in = pw_slice(in.ptr + used, in.len - (size_t)used);
    if (in.len > CRC_BYTES && in.ptr[0] == PW_ML_CRC) {
        uint32_t crc = pw_load_be32(in.ptr + 1);

        in = pw_slice(in.ptr + 1 + CRC_BYTES, in.len - 1 - CRC_BYTES);
        if (pw_ml_crc32(in) != crc) {
            return PW_EPROTO;
        }
    }
    if (in.len == 0) {
        return PW_EPROTO;
    }
    if (in.ptr[0] == PW_ML_COMPRESS) {
        int rc = pw_ml_decompress(pw_slice(in.ptr + 1, in.len - 1), plain);

        in = pw_slice(plain->ptr, plain->len);
        if (rc != 0 || in.len == 0) {
            return rc != 0 ? rc : PW_EPROTO;
        }
    }
    *message = in;
    return 0;
}

int
pw_ml_packet_read(const struct pw_ml_wire_cfg *cfg, struct pw_slice c, struct pw_text *plain,
                  struct pw_ml_packet *p)
{
    uint8_t digest[MD5_BYTES];
    struct pw_slice body;
    size_t head;

    *p = (struct pw_ml_packet){0};
    if (c.len < 2 || c.ptr[0] != PW_ML_CONNECTION_PACKET) {
        return PW_EPROTO;
    }
    head = 2 + (size_t)c.ptr[1];
    if (c.len < head + MD5_BYTES) {
        return PW_EPROTO;
    }
    p->from = pw_slice(c.ptr + 2, c.ptr[1]);
    body = pw_slice(c.ptr + head, c.len - head - MD5_BYTES);
    p->md5_differs = !md5(body, digest) || memcmp(digest, body.ptr + body.len, MD5_BYTES) != 0;
    return unwrap(cfg, body, plain, &p->message);
}

void
pw_ml_packet_write(const struct pw_ml_wire_cfg *cfg, const char *from, bool crc,
                   struct pw_slice message, struct pw_text *t)
{
    struct pw_slice address = pw_slice_str(from), body;
    struct pw_text packed;
    uint8_t bytes[MD5_BYTES];
    size_t start;

    pw_text_char(t, PW_ML_CONNECTION_PACKET);
    pw_text_char(t, (char)address.len);
    pw_text_slice(t, address);
    start = t->len;
    pw_ml_label_write(cfg, t);
    pw_text_init(&packed, message.len + 1);
    pw_ml_compress(cfg, message, &packed);
    if (crc) {
        pw_text_char(t, PW_ML_CRC);
        pw_store_be32(bytes, pw_ml_crc32(pw_slice(packed.ptr, packed.len)));
        pw_text_put(t, bytes, CRC_BYTES);
    }
    pw_text_put(t, packed.ptr, packed.len);
    t->failed = t->failed || packed.failed;
    pw_text_fini(&packed);
    if (t->failed) {
        return;
    }
    body = pw_slice(t->ptr + start, t->len - start);
    if (!md5(body, bytes)) {
        t->failed = true;
        return;
    }
    pw_text_put(t, bytes, MD5_BYTES);
}

int
pw_ml_compound_read(struct pw_slice in, void (*fn)(void *ctx, struct pw_slice part), void *ctx)
{
    size_t parts = in.len > 0 ? in.ptr[0] : 0, at = 1 + 2 * parts;

    if (in.len < 1 || in.len < at) {
        return PW_EPROTO;
    }
    for (size_t i = 0; i < parts; i++) {
        size_t n = pw_load_be16(in.ptr + 1 + 2 * i);

        if (n > in.len - at) {
            return PW_EPROTO;
        }
        fn(ctx, pw_slice(in.ptr + at, n));
        at += n;
    }
    return 0;
}
