/* dataplane/http1_chars.h - character classes of RFC 9110 and 9112, for the parsers of http1.h only.
 *
 * Purpose  one table look-up instead of range checks.
 * Owner    constants.
 * Context  hot.
 * Units    -
 * Errors   -
 * Limits   -
 */
#ifndef PW_DATAPLANE_HTTP1_CHARS_H
#define PW_DATAPLANE_HTTP1_CHARS_H

#include <stdbool.h>
#include <stdint.h>

enum {
    PW_HTTP1_CH_TCHAR = 1, /* RFC 9110 5.6.2 */
    PW_HTTP1_CH_HOST = 2,  /* bytes of uri-host [ ":" port ], RFC 3986 3.2.2 */
    PW_HTTP1_CH_HEX = 4,
};

extern const uint8_t pw_http1_ch[256];

static inline bool
pw_http1_is_control(uint8_t c)
{
    return (c < 0x20 && c != '\t') || c == 0x7f;
}

#endif
