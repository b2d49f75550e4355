/* store/block/bytes.h - numbers in and out of byte buffers, as blocks write them.
 *
 * Purpose  LEB128, zigzag, big and little endian; a reader that never passes its end.
 * Owner    pure.
 * Context  storage and query threads.
 * Units    bytes.
 * Errors   writers: those of pw_text. The reader's error is sticky: after the first read past the end
 *          `bad` is set and every further read gives 0.
 * Limits   -
 */
#ifndef PW_STORE_BYTES_H
#define PW_STORE_BYTES_H

#include "base/text.h"
#include "base/types.h"

static inline uint64_t
pw_zigzag(int64_t v)
{
    return ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
}

static inline int64_t
pw_unzigzag(uint64_t v)
{
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

static inline void
pw_put_be32(struct pw_text *t, uint32_t v)
{
    uint8_t *p = pw_text_grow(t, 4);

    if (p != NULL) {
        pw_store_be32(p, v);
    }
}

static inline void
pw_store_be64(uint8_t *p, uint64_t v)
{
    pw_store_be32(p, (uint32_t)(v >> 32));
    pw_store_be32(p + 4, (uint32_t)v);
}

static inline uint64_t
pw_load_be64(const uint8_t *p)
{
    return (uint64_t)pw_load_be32(p) << 32 | pw_load_be32(p + 4);
}

static inline void
pw_put_be64(struct pw_text *t, uint64_t v)
{
    uint8_t *p = pw_text_grow(t, 8);

    if (p != NULL) {
        pw_store_be64(p, v);
    }
}

static inline uint32_t
pw_load_le32(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t
pw_load_le64(const uint8_t *p)
{
    return pw_load_le32(p) | (uint64_t)pw_load_le32(p + 4) << 32;
}

/* Little endian, n <= 8 bytes. */
static inline void
pw_put_le(struct pw_text *t, uint64_t v, size_t n)
{
    uint8_t *p = pw_text_grow(t, n);

    for (size_t i = 0; p != NULL && i < n; i++, v >>= 8) {
        p[i] = (uint8_t)v;
    }
}

enum { PW_UVARINT_BYTES_MAX = 10 };

static inline size_t
pw_store_uvarint(uint8_t *p, uint64_t v)
{
    size_t n = 0;

    for (; v >= 0x80; v >>= 7) {
        p[n++] = (uint8_t)(v | 0x80);
    }
    p[n++] = (uint8_t)v;
    return n;
}

static inline void
pw_put_uvarint(struct pw_text *t, uint64_t v)
{
    uint8_t buf[PW_UVARINT_BYTES_MAX];

    pw_text_put(t, buf, pw_store_uvarint(buf, v));
}

static inline void
pw_put_string(struct pw_text *t, struct pw_slice s)
{
    pw_put_uvarint(t, s.len);
    pw_text_slice(t, s);
}

struct pw_bytes {
    const uint8_t *p;
    const uint8_t *end;
    bool bad;
};

static inline struct pw_bytes
pw_bytes(struct pw_slice s)
{
    /* An empty slice may have no address, and even 0 may not be added to that. */
    return (struct pw_bytes){.p = s.ptr, .end = s.len > 0 ? s.ptr + s.len : s.ptr};
}

static inline size_t
pw_bytes_left(const struct pw_bytes *b)
{
    return (size_t)(b->end - b->p);
}

/* n bytes in place, or NULL and bad. */
static inline const uint8_t *
pw_bytes_take(struct pw_bytes *b, uint64_t n)
{
    const uint8_t *p = b->p;

    if (b->bad || n > pw_bytes_left(b)) {
        b->bad = true;
        return NULL;
    }
    b->p += n;
    return p;
}

static inline uint8_t
pw_bytes_u8(struct pw_bytes *b)
{
    const uint8_t *p = pw_bytes_take(b, 1);

    return p == NULL ? 0 : *p;
}

static inline uint32_t
pw_bytes_be32(struct pw_bytes *b)
{
    const uint8_t *p = pw_bytes_take(b, 4);

    return p == NULL ? 0 : pw_load_be32(p);
}

static inline uint64_t
pw_bytes_be64(struct pw_bytes *b)
{
    const uint8_t *p = pw_bytes_take(b, 8);

    return p == NULL ? 0 : pw_load_be64(p);
}

static inline uint64_t
pw_bytes_uvarint(struct pw_bytes *b)
{
    uint64_t v = 0;

    for (int shift = 0; shift < 70; shift += 7) {
        const uint8_t *p = pw_bytes_take(b, 1);

        if (p == NULL) {
            return 0;
        }
        if (shift == 63 && *p > 1) {
            break;
        }
        v |= (uint64_t)(*p & 0x7F) << shift;
        if (*p < 0x80) {
            return v;
        }
    }
    b->bad = true;
    return 0;
}

static inline struct pw_slice
pw_bytes_string(struct pw_bytes *b)
{
    uint64_t n = pw_bytes_uvarint(b);
    const uint8_t *p = pw_bytes_take(b, n);

    return p == NULL ? pw_slice("", 0) : pw_slice(p, n);
}

#endif
