/* base/types.h - slices, byte order, small helpers.
 *
 * Purpose  the few types every room shares.
 * Owner    a slice never owns its bytes; the contract that hands it out says how long it lives.
 * Context  any.
 * Units    len in bytes.
 * Errors   -
 * Limits   -
 */
#ifndef PW_BASE_TYPES_H
#define PW_BASE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct pw_slice {
    const uint8_t *ptr;
    size_t len;
};

#define PW_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* The bytes of a string literal, without its NUL. */
#define PW_SLICE_LIT(s) ((struct pw_slice){(const uint8_t *)(s), sizeof(s) - 1})

static inline struct pw_slice
pw_slice(const void *ptr, size_t len)
{
    return (struct pw_slice){(const uint8_t *)ptr, len};
}

static inline struct pw_slice
pw_slice_str(const char *s)
{
    return (struct pw_slice){(const uint8_t *)s, strlen(s)};
}

static inline bool
pw_slice_eq(struct pw_slice a, struct pw_slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool
pw_slice_eq_str(struct pw_slice a, const char *s)
{
    return pw_slice_eq(a, pw_slice_str(s));
}

/* Byte-wise order, a shorter prefix first: what Go and Prometheus sort labels by. */
static inline int
pw_slice_cmp(struct pw_slice a, struct pw_slice b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int c = n == 0 ? 0 : memcmp(a.ptr, b.ptr, n);

    return c != 0 ? c : (a.len > b.len) - (a.len < b.len);
}

static inline uint8_t
pw_ascii_lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

/* ASCII case-insensitive equality (header names, media types). */
static inline bool
pw_slice_caseeq_str(struct pw_slice a, const char *s)
{
    size_t i = 0;

    for (; i < a.len && s[i] != 0; i++) {
        if (pw_ascii_lower(a.ptr[i]) != pw_ascii_lower((uint8_t)s[i])) {
            return false;
        }
    }
    return i == a.len && s[i] == 0;
}

static inline uint16_t
pw_load_be16(const uint8_t *p)
{
    return (uint16_t)((p[0] << 8) | p[1]);
}

static inline uint32_t
pw_load_be32(const uint8_t *p)
{
    return ((uint32_t)p[0] << 24) | ((uint32_t)p[1] << 16) | ((uint32_t)p[2] << 8) | p[3];
}

static inline void
pw_store_be16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static inline void
pw_store_be32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
}

static inline size_t
pw_align_up(size_t n, size_t pow2)
{
    return (n + pow2 - 1) & ~(pow2 - 1);
}

#endif
