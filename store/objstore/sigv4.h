/* store/objstore/sigv4.h - AWS Signature Version 4 of one request, in its Authorization header form.
 *
 * Purpose  canonical request, string to sign, derived key, signature, as the "Authenticating Requests
 *          (AWS Signature Version 4)" chapter of the S3 API reference describes them.
 * Owner    pure; OpenSSL computes the hashes.
 * Context  storage and query threads.
 * Units    -
 * Errors   PW_EINVAL when OpenSSL refuses (no SHA-256), PW_ENOSPC when `out` is too small.
 * Limits   -
 */
#ifndef PW_STORE_OBJSTORE_SIGV4_H
#define PW_STORE_OBJSTORE_SIGV4_H

#include "base/err.h"
#include "base/text.h"

enum { PW_SHA256_HEX = 64, PW_SIGV4_DATE_LEN = 16 /* 20130524T000000Z */ };

struct pw_sigv4_key {
    const char *access_key_id;
    const char *secret_access_key;
    const char *region;
    const char *service; /* "s3" */
};

struct pw_sigv4_header {
    const char *name; /* lower case */
    const char *value;
};

struct pw_sigv4_request {
    const char *method;
    const char *path;                     /* encoded, begins with '/' */
    const char *query;                    /* encoded, parameters sorted by name, "k=v&k2=" */
    const struct pw_sigv4_header *header; /* sorted by name; all of them are signed */
    uint32_t header_count;
    const char *payload_sha256; /* hex */
    const char *date;           /* 20130524T000000Z, the value of x-amz-date */
};

/* Appends the value of the Authorization header. */
PW_MUST_USE int pw_sigv4_authorization(const struct pw_sigv4_key *key,
                                       const struct pw_sigv4_request *req, struct pw_text *out);
/* hex has room for PW_SHA256_HEX + 1 bytes. */
PW_MUST_USE int pw_sha256_hex(struct pw_slice data, char *hex);
/* RFC 3986 unreserved characters stay, the rest becomes %XX; '/' stays when keep_slash. */
void pw_sigv4_encode(struct pw_text *out, struct pw_slice raw, bool keep_slash);

#endif
