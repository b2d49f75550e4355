/* dataplane/tcp_options.h - TCP options, parsed and built.
 *
 * Purpose  MSS (RFC 9293 3.7.1), window scale and timestamps (RFC 7323).
 * Owner    pure functions; parse borrows its bytes.
 * Context  hot.
 * Units    bytes; timestamp values as on the wire.
 * Errors   parse returns PW_PARSE_BAD for a length that cannot be; unknown options are skipped.
 * Limits   40 bytes, by the header format.
 */
#ifndef PW_DATAPLANE_TCP_OPTIONS_H
#define PW_DATAPLANE_TCP_OPTIONS_H

#include "base/check.h"
#include "base/err.h"
#include "base/types.h"

enum {
    PW_TCP_OPT_TS_BYTES = 12,      /* NOP NOP TS */
    PW_TCP_OPT_SYN_BYTES_MAX = 20, /* MSS, NOP WS, NOP NOP TS */
    PW_TCP_WSCALE_MAX = 14,        /* RFC 7323 2.3 */
};

struct pw_tcp_options {
    uint32_t ts_val;
    uint32_t ts_ecr;
    uint16_t mss; /* 0: none */
    uint8_t wscale;
    bool has_wscale;
    bool has_ts;
};

/* Bytes consumed (len), or PW_PARSE_BAD. Every option is wanted; the caller ignores MSS and window
 * scale outside a SYN, as the RFCs ask. */
PW_MUST_USE int pw_tcp_options_parse(const uint8_t *p, uint32_t len, struct pw_tcp_options *o);

/* For SYN,ACK: what o has, MSS always. dst has PW_TCP_OPT_SYN_BYTES_MAX bytes; returns a multiple
 * of four. */
uint32_t pw_tcp_options_put_syn(uint8_t *dst, const struct pw_tcp_options *o);

/* NOP NOP TS: the layout RFC 7323 appendix A recommends, and every kernel sends. */
static inline uint32_t
pw_tcp_options_put_ts(uint8_t *dst, uint32_t ts_val, uint32_t ts_ecr)
{
    pw_store_be32(dst, 0x0101080AU);
    pw_store_be32(dst + 4, ts_val);
    pw_store_be32(dst + 8, ts_ecr);
    return PW_TCP_OPT_TS_BYTES;
}

#endif
