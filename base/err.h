/* base/err.h - the one list of error values.
 *
 * Purpose  every call that can fail returns 0 or a negative enum pw_err.
 * Owner    nobody; constants only.
 * Context  any.
 * Units    values are negated errno numbers, so a system call's errno needs no translation.
 * Errors   -
 * Limits   -
 */
#ifndef PW_BASE_ERR_H
#define PW_BASE_ERR_H

#include <errno.h>

#define PW_MUST_USE          __attribute__((warn_unused_result))
#define PW_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

enum pw_err {
    PW_OK = 0,
    PW_EPERM = -EPERM,         /* not allowed: no root, no capability */
    PW_ENOENT = -ENOENT,       /* the named thing does not exist */
    PW_EIO = -EIO,             /* a device or a peer failed */
    PW_EAGAIN = -EAGAIN,       /* full now, try later: push back upstream */
    PW_ENOMEM = -ENOMEM,       /* a fixed pool or a byte limit is exhausted */
    PW_EBUSY = -EBUSY,         /* somebody else holds it: port in use, program attached */
    PW_EEXIST = -EEXIST,       /* already there */
    PW_EINVAL = -EINVAL,       /* malformed input or configuration */
    PW_ENOSPC = -ENOSPC,       /* the caller's buffer is too small; the disk is full, or the quota on it */
    PW_ERANGE = -ERANGE,       /* a number is outside its bounds */
    PW_ENOTSUP = -EOPNOTSUPP,  /* valid, but this build or device cannot */
    PW_EMSGSIZE = -EMSGSIZE,   /* larger than its limit */
    PW_ETIMEDOUT = -ETIMEDOUT, /* the deadline passed */
    PW_ECONNRESET = -ECONNRESET,
    PW_EPROTO = -EPROTO, /* the peer broke the protocol */
};

/* Parsers return bytes consumed (>= 0) or one of these; "not yet" and "never" are never mixed up. */
enum pw_parse {
    PW_PARSE_MORE = -1, /* well formed so far, more bytes are needed */
    PW_PARSE_BAD = -2,  /* can never become valid */
};

/* Static text such as "full, try again". Never NULL. */
const char *pw_err_text(int err);

#endif
