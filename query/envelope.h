/* query/envelope.h - what surrounds a message: media types, compression, errors.
 *
 * Purpose  the Connect unary protocol on the way in and out (contract read-path.md 0 and 5).
 * Owner    pure but for the thread's compressors and the reply body it allocates (given to the caller).
 * Context  cold.
 * Units    bytes.
 * Errors   as the protocol has them: a reply is always filled.
 * Limits   PW_QUERY_BODY_BYTES_MAX on the wire, PW_ENVELOPE_UNPACKED_BYTES_MAX unpacked.
 */
#ifndef PW_QUERY_ENVELOPE_H
#define PW_QUERY_ENVELOPE_H

#include "query/call.h"

enum { PW_ENVELOPE_UNPACKED_BYTES_MAX = 4 << 20 };

enum pw_media {
    PW_MEDIA_JSON,
    PW_MEDIA_PROTO,
    PW_MEDIA_OTHER,
};

enum pw_media pw_envelope_media(struct pw_slice content_type);
/* Accept header: 0 and whether allow-utf8-labelnames=true is among its parameters; PW_EINVAL when it
 * is no list of media types. */
PW_MUST_USE int pw_envelope_accept(struct pw_slice accept, bool *utf8_names);
/* Version, timeout and encoding headers, then the body as plain bytes in the arena (or as it came).
 * PW_EINVAL: c->code and c->err say why. */
PW_MUST_USE int pw_envelope_open(struct pw_call *c, struct pw_slice *body);

/* Fills rep with a fixed text; NULL content_type and "" for an empty body. */
void pw_envelope_text(struct pw_query_reply *rep, uint16_t status, const char *content_type,
                      const char *text);
/* Fills rep with c's error as JSON. */
void pw_envelope_error(struct pw_call *c, struct pw_query_reply *rep);
/* Moves c->out into rep, compressed when the client takes gzip and it pays. */
void pw_envelope_close(struct pw_call *c, struct pw_query_reply *rep);
/* Appends a header line to the reply. */
void pw_envelope_header(struct pw_query_reply *rep, const char *line);

#endif
