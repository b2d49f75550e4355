/* distributor/multipart.h - file parts of a multipart/form-data body (RFC 7578, RFC 2046 5.1).
 *
 * Purpose  find the parts `profile`, `sample_type_config`, `prev_profile` of /ingest.
 * Owner    pure; slices point into the body.
 * Context  hot.
 * Units    bytes.
 * Errors   next: 1 a part, 0 clean end, PW_EINVAL with the client's text.
 * Limits   PW_MULTIPART_BOUNDARY_MAX (RFC 2046: 70 characters).
 */
#ifndef PW_DISTRIBUTOR_MULTIPART_H
#define PW_DISTRIBUTOR_MULTIPART_H

#include "base/err.h"
#include "base/text.h"
#include "base/types.h"

enum { PW_MULTIPART_BOUNDARY_MAX = 70, PW_MULTIPART_NAME_MAX = 256 };

struct pw_multipart {
    struct pw_slice body;                         /* what is left */
    uint8_t delim[PW_MULTIPART_BOUNDARY_MAX + 4]; /* CRLF "--" boundary */
    size_t delim_len;
    bool bare_lf;           /* the sender ends lines with LF alone: the delimiter starts with it */
    bool any;               /* a part was read */
    struct pw_fiber *fiber; /* for checkpoints in long bodies; NULL: none */
};

struct pw_multipart_part {
    uint8_t name_buf[PW_MULTIPART_NAME_MAX];
    struct pw_slice name; /* empty: no usable Content-Disposition */
    bool file;            /* a non-empty filename was given */
    struct pw_slice data;
};

/* 0; PW_EINVAL when the header carries no usable boundary. Borrows body. */
PW_MUST_USE int pw_multipart_init(struct pw_multipart *m, struct pw_slice content_type,
                                  struct pw_slice body, struct pw_fiber *fiber);
PW_MUST_USE int pw_multipart_next(struct pw_multipart *m, struct pw_multipart_part *part,
                                  struct pw_text *err);

#endif
