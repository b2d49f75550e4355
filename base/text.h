/* base/text.h - a byte buffer that grows up to a limit, for answers, pages and metrics.
 *
 * Purpose  append bytes, formatted text and escaped JSON or Go-quoted strings.
 * Owner    the caller; pw_text_fini frees, pw_text_steal gives the bytes away (free() them).
 * Context  cold unless made with pw_text_fixed, which never allocates and is fit for a polling core.
 * Units    bytes.
 * Errors   sticky: after the first failed append `failed` is set, later appends do nothing.
 *          Check once at the end.
 * Limits   `limit` given at init.
 */
#ifndef PW_BASE_TEXT_H
#define PW_BASE_TEXT_H

#include "base/err.h"
#include "base/types.h"

#include <stdarg.h>

struct pw_text {
    uint8_t *ptr;
    size_t len;
    size_t cap;
    size_t limit;
    bool failed; /* an append did not fit; contents end before it */
    bool fixed;  /* ptr belongs to the caller and never grows */
};

void pw_text_init(struct pw_text *t, size_t limit);
/* Borrows buf until the caller stops using t. */
void pw_text_fixed(struct pw_text *t, void *buf, size_t cap);
void pw_text_fini(struct pw_text *t);
/* Gives the bytes (malloc'ed, NUL after len); t is empty afterwards. NULL when failed. */
uint8_t *pw_text_steal(struct pw_text *t, size_t *len);

/* Room for n more bytes, to be written by the caller; NULL when it does not fit. Advances len. */
uint8_t *pw_text_grow(struct pw_text *t, size_t n);
void pw_text_put(struct pw_text *t, const void *data, size_t n);
void pw_text_slice(struct pw_text *t, struct pw_slice s);
void pw_text_str(struct pw_text *t, const char *s);
static inline void
pw_text_char(struct pw_text *t, char c)
{
    if (t->len < t->cap && t->len < t->limit && !t->failed) {
        t->ptr[t->len++] = (uint8_t)c;
    } else {
        pw_text_put(t, &c, 1);
    }
}
void pw_text_u64(struct pw_text *t, uint64_t v);
void pw_text_i64(struct pw_text *t, int64_t v);
void pw_text_printf(struct pw_text *t, const char *fmt, ...) PW_PRINTF(2, 3);

/* JSON string with quotes, as Go's encoders write it (write-path.md 1.1): \" \\ control bytes,
 * < > & as \u003c \u003e \u0026, invalid UTF-8 as \ufffd, U+2028 and U+2029 escaped. */
void pw_text_json_string(struct pw_text *t, struct pw_slice s);
/* Go string quoting with double quotes (write-path.md conventions, LS()). */
void pw_text_go_quoted(struct pw_text *t, struct pw_slice s);
/* Human sizes of write-path.md: SI(n) "4.2 MB", IEC(n) "4.0 MiB". */
void pw_text_size_si(struct pw_text *t, uint64_t bytes);
void pw_text_size_iec(struct pw_text *t, uint64_t bytes);
/* base64, standard alphabet, padded. */
void pw_text_base64(struct pw_text *t, struct pw_slice s);

#endif
