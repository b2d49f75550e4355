#include "base/utf8.h"

enum { STEP_BYTES = 16 << 10 };

uint32_t
pw_utf8_next(const uint8_t *p, size_t len, size_t *used)
{
    uint32_t c = p[0];
    uint32_t min;
    size_t n;

    *used = 1;
    if (c < 0x80) {
        return c;
    }
    if (c >= 0xC2 && c <= 0xDF) {
        n = 2, min = 0x80, c &= 0x1F;
    } else if ((c & 0xF0) == 0xE0) {
        n = 3, min = 0x800, c &= 0x0F;
    } else if (c >= 0xF0 && c <= 0xF4) {
        n = 4, min = 0x10000, c &= 0x07;
    } else {
        return PW_UTF8_BAD;
    }
    if (len < n) {
        return PW_UTF8_BAD;
    }
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xC0) != 0x80) {
            return PW_UTF8_BAD;
        }
        c = (c << 6) | (p[i] & 0x3FU);
    }
    if (c < min || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF)) {
        return PW_UTF8_BAD;
    }
    *used = n;
    return c;
}

/* A short text in two readings that may overlap, without a branch per byte. */
static inline bool
is_short_ascii(const uint8_t *p, size_t len)
{
    uint64_t a = 0, b = 0;

    if (len >= 8) {
        memcpy(&a, p, 8);
        memcpy(&b, p + len - 8, 8);
    } else if (len >= 4) {
        memcpy(&a, p, 4);
        memcpy(&b, p + len - 4, 4);
    } else if (len != 0) {
        a = p[0] | p[len / 2];
        b = p[len - 1];
    }
    return ((a | b) & 0x8080808080808080U) == 0;
}

bool
pw_utf8_valid(const uint8_t *p, size_t len)
{
    size_t i = 0;

    if (len <= 16 && is_short_ascii(p, len)) { /* most labels */
        return true;
    }

    while (i < len) {
        uint64_t w;
        size_t used;

        /* Symbol names are ASCII: eight bytes at a time while no high bit is set. */
        while (len - i >= 8) {
            memcpy(&w, p + i, 8);
            if (w & 0x8080808080808080U) {
                break;
            }
            i += 8;
        }
        if (i == len) {
            return true;
        }
        if (pw_utf8_next(p + i, len - i, &used) == PW_UTF8_BAD) {
            return false;
        }
        i += used;
    }
    return true;
}

bool
pw_utf8_valid_paused(struct pw_fiber *fiber, struct pw_slice s)
{
    size_t at = 0;

    while (s.len - at > STEP_BYTES) {
        size_t end = at + STEP_BYTES;

        for (int i = 0; i < 3 && (s.ptr[end] & 0xC0) == 0x80;
             i++) { /* a step ends where a rune does */
            end--;
        }
        if (!pw_utf8_valid(s.ptr + at, end - at)) {
            return false;
        }
        at = end;
        pw_fiber_pause(fiber);
    }
    return pw_utf8_valid(s.ptr + at, s.len - at);
}
