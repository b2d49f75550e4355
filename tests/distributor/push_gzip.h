/* tests/distributor/push_gzip.h - bodies of pushes whose profiles are gzip.
 *
 * Purpose  the usual push, which test_push.c's profiles as they are not.
 * Owner    the caller's texts, to be given back with pw_text_fini.
 * Context  tests only.
 */
#ifndef PW_TESTS_PUSH_GZIP_H
#define PW_TESTS_PUSH_GZIP_H

#include "base/text.h"

/* A profile as encoders write them, of about `bytes` bytes, as so many gzip members (RFC 1952 2.2). */
void push_gzip_profile(struct pw_text *out, size_t bytes, uint32_t members);
/* A push of n such bodies, each a series of its own. */
void push_gzip_body(struct pw_text *out, const struct pw_text *member, uint32_t n);

#endif
