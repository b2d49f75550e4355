/* distributor/answer.h - replies to push requests: successes, and errors in the two JSON encodings.
 *
 * Purpose  headers and bodies of contract write-path.md 1.1 and 1.3, byte for byte.
 * Owner    borrows its arguments; large bodies wait in the bulk pool until they are sent.
 * Context  hot.
 * Units    -
 * Errors   a text that neither fits a copied reply nor the bulk pool is cut.
 * Limits   PW_HTTP_REPLY_COPY_MAX for copied bodies.
 */
#ifndef PW_DISTRIBUTOR_ANSWER_H
#define PW_DISTRIBUTOR_ANSWER_H

#include "base/scratch.h"
#include "dataplane/http_app.h"
#include "distributor/bulk.h"
#include "distributor/connect.h"

enum pw_answer_kind {
    PW_ANSWER_PUSH_PROTO,
    PW_ANSWER_PUSH_JSON,
    PW_ANSWER_PUSH_JSON_UTF8, /* application/json; charset=utf-8 */
    PW_ANSWER_INGEST_PPROF,   /* encoder (a), errors wrapped */
    PW_ANSWER_INGEST_FOLDED,  /* encoder (b), innermost message */
};

struct pw_answer_to {
    uint64_t conn;
    enum pw_answer_kind kind;
    bool gzip; /* push: the success body goes out as gzip */
};

struct pw_answerer { /* what is needed to answer */
    struct pw_http_server *http;
    struct pw_scratch *scratch; /* free for use during the call; what is used is given back */
    struct pw_bulk *bulk;
};

void pw_answer_ok(const struct pw_answerer *a, const struct pw_answer_to *to);
/* A failure to store, by reason; index is that of the series. */
void pw_answer_failure(const struct pw_answerer *a, const struct pw_answer_to *to,
                       enum pw_reason reason, uint32_t index, struct pw_slice message);
/* Encoder (a) with a status of its own; vary: the response carries Vary: Accept-Encoding. */
void pw_answer_plain(const struct pw_answerer *a, uint64_t conn, uint16_t status, bool vary,
                     struct pw_slice message);
/* Encoder (b) of the Push route. */
void pw_answer_connect(const struct pw_answerer *a, uint64_t conn, enum pw_code code,
                       struct pw_slice message);
/* A status without a body; headers may be empty. */
void pw_answer_empty(const struct pw_answerer *a, uint64_t conn, uint16_t status,
                     struct pw_slice headers);

#endif
