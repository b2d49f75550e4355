/* store/objstore/s3_http.h - signed requests to one S3 endpoint, several at once, with retries.
 *
 * Purpose  turn method, key and query into HTTP over libcurl's multi interface: connections are kept,
 *          every attempt is signed anew, what can pass is tried again after a jittered back-off.
 * Owner    the client belongs to one thread.
 * Context  blocking: storage and query threads.
 * Units    bytes, milliseconds.
 * Errors   per request, in `rc` (those of objstore.h) with a line for people in `why`.
 * Limits   PW_S3_ATTEMPTS_MAX, PW_S3_PARALLEL_MAX, the limit of the reply's pw_text.
 */
#ifndef PW_STORE_OBJSTORE_S3_HTTP_H
#define PW_STORE_OBJSTORE_S3_HTTP_H

#include "store/objstore/objstore.h"

enum {
    PW_S3_ATTEMPTS_MAX = 8,
    PW_S3_PARALLEL_MAX = 4, /* parts of one object under way */
    PW_S3_BACKOFF_FIRST_MS = 50,
    PW_S3_BACKOFF_MAX_MS = 5000,
};

struct pw_s3_request {
    const char *method;
    const char *key;                /* "": the bucket itself */
    const char *query;              /* encoded and sorted, "" none */
    struct pw_slice body;           /* of PUT and POST; borrowed */
    uint64_t range_from, range_len; /* range_len 0: no Range header; UINT64_MAX: to the end */
    struct pw_text *reply;          /* successful body; NULL: not wanted */

    /* Answer. */
    int rc;
    long status;
    char etag[128];
    char region[64]; /* of a refusal that names the right one */
    uint64_t size;   /* Content-Length */
    int64_t mtime_ns;

    /* The client's own. */
    void *transfer;
    uint32_t attempts;
    int64_t not_before_ms;
};

struct pw_s3_http;

/* cfg's strings are borrowed. region: what requests are signed for; may be changed later. stop, patience_ms: objstore.h. */
PW_MUST_USE int pw_s3_http_open(struct pw_s3_http **http, const struct pw_s3_cfg *cfg,
                                const atomic_bool *stop, uint32_t patience_ms,
                                struct pw_objstore_why *why);
void pw_s3_http_close(struct pw_s3_http *http);
void pw_s3_http_set_region(struct pw_s3_http *http, const char *region);

/* Runs all n, at most PW_S3_PARALLEL_MAX at a time. Returns the first failing rc with its reason, or
 * 0; after a final failure of one the others are not begun. */
PW_MUST_USE int pw_s3_http_run(struct pw_s3_http *http, struct pw_s3_request *req, uint32_t n,
                               struct pw_objstore_why *why);
uint64_t pw_s3_http_retries(const struct pw_s3_http *http);

#endif
