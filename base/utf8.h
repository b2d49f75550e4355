/* base/utf8.h - is it UTF-8, and what is the next rune.
 *
 * Purpose  RFC 3629 validation (no surrogates, no overlong forms, at most U+10FFFF), as Go's
 *          unicode/utf8 judges it.
 * Owner    pure functions.
 * Context  hot.
 * Units    bytes; runes as uint32_t.
 * Errors   pw_utf8_next gives PW_UTF8_BAD and consumes one byte on an invalid sequence.
 * Limits   -
 */
#ifndef PW_BASE_UTF8_H
#define PW_BASE_UTF8_H

#include "base/fiber.h"
#include "base/types.h"

#define PW_UTF8_BAD 0xFFFFFFFFU

bool pw_utf8_valid(const uint8_t *p, size_t len);
/* The same with checkpoints, for text of any length. */
bool pw_utf8_valid_paused(struct pw_fiber *fiber, struct pw_slice s);
/* Decodes at p (len > 0) and sets *used >= 1. */
uint32_t pw_utf8_next(const uint8_t *p, size_t len, size_t *used);

#endif
