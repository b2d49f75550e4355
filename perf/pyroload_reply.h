/* perf/pyroload_reply.h - reads HTTP/1.1 answers as they arrive, keeping no body.
 *
 * Purpose  find the end of an answer and its status; trusts the server under test only as far as a
 *          client must.
 * Owner    one per connection; plain values.
 * Context  perf; pure.
 * Units    bytes.
 * Errors   PW_PARSE_BAD: what came is no answer, the connection is of no more use.
 * Limits   PYROLOAD_LINE_MAX kept of a header line (longer ones are read and cut).
 */
#ifndef PW_PERF_PYROLOAD_REPLY_H
#define PW_PERF_PYROLOAD_REPLY_H

#include "base/err.h"
#include "base/types.h"

enum { PYROLOAD_LINE_MAX = 256, PYROLOAD_BODY_KEPT = 160 };

struct pyroload_reply {
    uint8_t state;
    bool chunked, close, has_length;
    uint16_t status;
    uint32_t line_len;
    uint64_t body_left;
    uint32_t body_kept;
    char line[PYROLOAD_LINE_MAX];
    char body[PYROLOAD_BODY_KEPT]; /* its beginning, for the text of errors */
};

/* For the next answer. */
void pyroload_reply_reset(struct pyroload_reply *r);
/* Takes bytes of one answer. >= 0: bytes used and the answer is complete; PW_PARSE_MORE: all used, more
 * is to come; PW_PARSE_BAD. */
PW_MUST_USE int64_t pyroload_reply_feed(struct pyroload_reply *r, struct pw_slice s);
/* The peer closed: true when that completes the answer (a body without a length). */
bool pyroload_reply_eof(const struct pyroload_reply *r);
/* Some byte of an answer came. */
bool pyroload_reply_begun(const struct pyroload_reply *r);

#endif
