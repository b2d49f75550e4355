/* pprof/inflate.h - gunzip of request bodies and raw_profiles, piece by piece and bounded.
 *
 * Purpose  no bomb costs more memory than the limit: output goes to a buffer of fixed size and stops
 *          there. Multi-member gzip is unpacked as one stream (write-path.md 3.1).
 * Owner    one inflater per core; state is reused.
 * Context  hot; no allocation after init.
 * Units    bytes.
 * Errors   the enum below; each is one row of write-path.md 3.1 step 1.
 * Limits   out_cap of the call.
 */
#ifndef PW_PPROF_INFLATE_H
#define PW_PPROF_INFLATE_H

#include "base/err.h"
#include "base/types.h"

struct pw_fiber;
struct pw_inflater; /* opaque: ISA-L and libdeflate state */

enum pw_inflate_result {
    PW_INFLATE_OK = 0,
    PW_INFLATE_TOO_LARGE,    /* more than out_cap bytes come out */
    PW_INFLATE_BAD_HEADER,   /* not gzip where gzip was promised */
    PW_INFLATE_TRUNCATED,    /* the stream ends early: "unexpected EOF" */
    PW_INFLATE_CORRUPT,      /* a block that no deflate encoder writes */
    PW_INFLATE_BAD_CHECKSUM, /* CRC or length of a member does not match */
};

PW_MUST_USE int pw_inflater_init_ctl(struct pw_inflater **inf);
void pw_inflater_fini_ctl(struct pw_inflater *inf);
/* Its work runs on this fiber from now on: what promises to be long has checkpoints. */
void pw_inflater_set_fiber_ctl(struct pw_inflater *inf, struct pw_fiber *fiber);

/* True when the bytes begin as a gzip member (1f 8b). Looks at the first two bytes over the pieces. */
bool pw_inflate_is_gzip(const struct pw_slice *in, uint32_t in_count);

/* What the last member says it unpacks to (RFC 1952 2.3.1, ISIZE): a promise, nothing more. */
uint32_t pw_inflate_promised(const struct pw_slice *in, uint32_t in_count);

/* Unpacks all pieces into out. *out_len is what was written, also on failure. Borrows in. */
enum pw_inflate_result pw_inflate(struct pw_inflater *inf, const struct pw_slice *in,
                                  uint32_t in_count, uint8_t *out, size_t out_cap, size_t *out_len);

/* Client text of a failure as stock words it: "unexpected EOF", "gzip: invalid header", ... */
const char *pw_inflate_text(enum pw_inflate_result r);

#endif
