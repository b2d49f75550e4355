/* store/block/ulid.h - names of blocks: 48 bits of unix ms and 80 random ones (storage.md 0.1).
 *
 * Purpose  make, print and parse ULIDs.
 * Owner    plain values.
 * Context  any thread but polling ones (make asks the kernel for random bytes).
 * Units    ms since 1970.
 * Errors   parse: PW_EINVAL. make: PW_EIO when the kernel gives no random bytes.
 * Limits   the year 10889.
 */
#ifndef PW_STORE_ULID_H
#define PW_STORE_ULID_H

#include "base/err.h"
#include "base/types.h"

enum { PW_ULID_BYTES = 16, PW_ULID_CHARS = 26 };

struct pw_ulid {
    uint8_t byte[PW_ULID_BYTES]; /* big-endian: compares as it sorts */
};

PW_MUST_USE int pw_ulid_make(struct pw_ulid *u, int64_t unix_ms);
int64_t pw_ulid_ms(const struct pw_ulid *u);
/* Crockford base32, upper case, and a NUL. */
void pw_ulid_print(const struct pw_ulid *u, char out[PW_ULID_CHARS + 1]);
/* Exactly 26 characters of either case, first one at most '7'. */
PW_MUST_USE int pw_ulid_parse(struct pw_ulid *u, struct pw_slice text);

static inline int
pw_ulid_cmp(const struct pw_ulid *a, const struct pw_ulid *b)
{
    return memcmp(a->byte, b->byte, PW_ULID_BYTES);
}

#endif
