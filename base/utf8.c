#include "base/utf8.h"

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

bool
pw_utf8_valid(const uint8_t *p, size_t len)
{
    size_t i = 0;

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
