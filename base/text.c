#include "base/text.h"

#include "base/utf8.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { TEXT_CAP_FIRST = 512 };

void
pw_text_init(struct pw_text *t, size_t limit)
{
    *t = (struct pw_text){.limit = limit};
}

void
pw_text_fixed(struct pw_text *t, void *buf, size_t cap)
{
    *t = (struct pw_text){.ptr = (uint8_t *)buf, .cap = cap, .limit = cap, .fixed = true};
}

void
pw_text_fini(struct pw_text *t)
{
    if (!t->fixed) {
        free(t->ptr);
    }
    *t = (struct pw_text){0};
}

uint8_t *
pw_text_steal(struct pw_text *t, size_t *len)
{
    uint8_t *p = NULL;

    pw_text_char(t, 0);
    if (!t->failed && !t->fixed) {
        p = t->ptr;
        *len = t->len - 1;
        t->ptr = NULL;
    }
    pw_text_fini(t);
    return p;
}

uint8_t *
pw_text_grow(struct pw_text *t, size_t n)
{
    if (t->failed || n > t->limit - t->len) {
        t->failed = true;
        return NULL;
    }
    if (n > t->cap - t->len) {
        size_t cap = t->cap < TEXT_CAP_FIRST ? TEXT_CAP_FIRST : t->cap * 2;
        uint8_t *p;

        if (cap < t->len + n) {
            cap = t->len + n;
        }
        p = t->fixed ? NULL : realloc(t->ptr, cap);
        if (p == NULL) {
            t->failed = true;
            return NULL;
        }
        t->ptr = p;
        t->cap = cap;
    }
    t->len += n;
    return t->ptr + t->len - n;
}

void
pw_text_put(struct pw_text *t, const void *data, size_t n)
{
    uint8_t *p = n == 0 ? NULL : pw_text_grow(t, n);

    if (p != NULL) {
        memcpy(p, data, n);
    }
}

void
pw_text_slice(struct pw_text *t, struct pw_slice s)
{
    pw_text_put(t, s.ptr, s.len);
}

void
pw_text_str(struct pw_text *t, const char *s)
{
    pw_text_put(t, s, strlen(s));
}

static const char two_digits[] =
    "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
    "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
    "8081828384858687888990919293949596979899";

void
pw_text_u64(struct pw_text *t, uint64_t v)
{
    char buf[20];
    size_t i = sizeof(buf);

    while (v >= 100) { /* two digits a division: answers are mostly numbers */
        uint64_t q = v / 100;

        i -= 2;
        memcpy(buf + i, two_digits + 2 * (v - q * 100), 2);
        v = q;
    }
    if (v >= 10) {
        i -= 2;
        memcpy(buf + i, two_digits + 2 * v, 2);
    } else {
        buf[--i] = (char)('0' + v);
    }
    pw_text_put(t, buf + i, sizeof(buf) - i);
}

void
pw_text_i64(struct pw_text *t, int64_t v)
{
    if (v < 0) {
        pw_text_char(t, '-');
        pw_text_u64(t, 0 - (uint64_t)v);
    } else {
        pw_text_u64(t, (uint64_t)v);
    }
}

void
pw_text_printf(struct pw_text *t, const char *fmt, ...)
{
    va_list ap;
    char small[256];
    int n;

    va_start(ap, fmt);
    n = vsnprintf(small, sizeof(small), fmt, ap);
    va_end(ap);
    if (n < 0) {
        t->failed = true;
        return;
    }
    if ((size_t)n < sizeof(small)) {
        pw_text_put(t, small, (size_t)n);
        return;
    }
    /* Longer than the stack buffer: print in place; the NUL needs a byte, given back after. */
    uint8_t *p = pw_text_grow(t, (size_t)n + 1);

    if (p != NULL) {
        va_start(ap, fmt);
        vsnprintf((char *)p, (size_t)n + 1, fmt, ap);
        va_end(ap);
        t->len--;
    }
}

static void
put_rune(struct pw_text *t, const uint8_t *p, size_t used)
{
    pw_text_put(t, p, used);
}

/* Bytes from i on that stand for themselves in JSON, most of any name. */
static size_t
plain_run(struct pw_slice s, size_t i)
{
    size_t from = i;

    while (i < s.len && s.ptr[i] >= 0x20 && s.ptr[i] < 0x80 && s.ptr[i] != '"' &&
           s.ptr[i] != '\\' && s.ptr[i] != '<' && s.ptr[i] != '>' && s.ptr[i] != '&') {
        i++;
    }
    return i - from;
}

void
pw_text_json_string(struct pw_text *t, struct pw_slice s)
{
    size_t used;

    pw_text_char(t, '"');
    for (size_t i = 0; i < s.len; i += used) {
        used = plain_run(s, i);
        if (used > 0) {
            pw_text_put(t, s.ptr + i, used);
            continue;
        }
        uint32_t r = pw_utf8_next(s.ptr + i, s.len - i, &used);

        if (r == PW_UTF8_BAD) {
            pw_text_str(t, "\\ufffd");
        } else if (r == '"' || r == '\\') {
            pw_text_char(t, '\\');
            pw_text_char(t, (char)r);
        } else if (r == '\n') {
            pw_text_str(t, "\\n");
        } else if (r == '\r') {
            pw_text_str(t, "\\r");
        } else if (r == '\t') {
            pw_text_str(t, "\\t");
        } else if (r < 0x20 || r == '<' || r == '>' || r == '&' || r == 0x2028 || r == 0x2029) {
            pw_text_printf(t, "\\u%04x", r);
        } else {
            put_rune(t, s.ptr + i, used);
        }
    }
    pw_text_char(t, '"');
}

/* Go's strconv.IsPrint for what labels hold in practice: ASCII graphic and space, and beyond ASCII
 * everything but controls, separators, private use, surrogates and non-characters. */
static bool
go_is_print(uint32_t r)
{
    if (r < 0x20 || r == 0x7F || (r >= 0x80 && r <= 0xA0) || r == 0xAD) {
        return false;
    }
    if ((r >= 0x2000 && r <= 0x200F) || (r >= 0x2028 && r <= 0x202F) ||
        (r >= 0x205F && r <= 0x206F) || r == 0x3000 || r == 0xFEFF || r == 0x1680) {
        return false;
    }
    return !((r >= 0xE000 && r <= 0xF8FF) || (r >= 0xFFF0 && r <= 0xFFFB) ||
             (r & 0xFFFE) == 0xFFFE || r >= 0xE0000);
}

void
pw_text_go_quoted(struct pw_text *t, struct pw_slice s)
{
    static const char named[] = {
        [7] = 'a', [8] = 'b', [9] = 't', [10] = 'n', [11] = 'v', [12] = 'f', [13] = 'r'};
    size_t used;

    pw_text_char(t, '"');
    for (size_t i = 0; i < s.len; i += used) {
        uint32_t r = pw_utf8_next(s.ptr + i, s.len - i, &used);

        if (r == PW_UTF8_BAD) {
            pw_text_printf(t, "\\x%02x", s.ptr[i]);
        } else if (r == '"' || r == '\\') {
            pw_text_char(t, '\\');
            pw_text_char(t, (char)r);
        } else if (r >= 7 && r <= 13) {
            pw_text_char(t, '\\');
            pw_text_char(t, named[r]);
        } else if (r < 0x20 || r == 0x7F) {
            pw_text_printf(t, "\\x%02x", r);
        } else if (go_is_print(r)) {
            put_rune(t, s.ptr + i, used);
        } else {
            pw_text_printf(t, r < 0x10000 ? "\\u%04x" : "\\U%08x", r);
        }
    }
    pw_text_char(t, '"');
}

static void
size_text(struct pw_text *t, uint64_t bytes, double base, const char *const *units)
{
    double v = (double)bytes;
    size_t u = 0;

    if (bytes < 10) {
        pw_text_printf(t, "%" PRIu64 " B", bytes);
        return;
    }
    for (; v >= base && u < 6; u++) {
        v /= base;
    }
    v = (double)(uint64_t)(v * 10 + 0.5) / 10;
    pw_text_printf(t, v < 10 ? "%.1f %s" : "%.0f %s", v, units[u]);
}

void
pw_text_size_si(struct pw_text *t, uint64_t bytes)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};

    size_text(t, bytes, 1000, units);
}

void
pw_text_size_iec(struct pw_text *t, uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};

    size_text(t, bytes, 1024, units);
}

void
pw_text_base64(struct pw_text *t, struct pw_slice s)
{
    static const char abc[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < s.len; i += 3) {
        size_t n = s.len - i;
        uint32_t v = (uint32_t)s.ptr[i] << 16 | (n > 1 ? (uint32_t)s.ptr[i + 1] << 8 : 0) |
                     (n > 2 ? s.ptr[i + 2] : 0);
        char q[4] = {abc[v >> 18], abc[(v >> 12) & 63], n > 1 ? abc[(v >> 6) & 63] : '=',
                     n > 2 ? abc[v & 63] : '='};

        pw_text_put(t, q, 4);
    }
}
