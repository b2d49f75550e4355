/* dataplane/tcp_options.h - TCP options, parsed and built.
 *
 * Purpose  MSS (RFC 9293 3.7.1), window scale and timestamps (RFC 7323), SACK (RFC 2018).
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
    PW_TCP_OPT_SYN_BYTES_MAX = 24, /* MSS, NOP WS, NOP NOP TS, NOP NOP SACK-permitted */
    PW_TCP_OPT_BYTES_MAX = 40,
    PW_TCP_SACK_BLOCKS_MAX = 4, /* RFC 2018 3; three beside timestamps */
    PW_TCP_WSCALE_MAX = 14,     /* RFC 7323 2.3 */
};

/* Sequence numbers from left up to, not including, right. */
struct pw_tcp_range {
    uint32_t left;
    uint32_t right;
};

struct pw_tcp_options {
    const uint8_t *sack; /* sack_count blocks, borrowed from what was parsed */
    uint32_t ts_val;
    uint32_t ts_ecr;
    uint16_t mss; /* 0: none */
    uint8_t wscale;
    bool has_wscale;
    bool has_ts;
    bool sack_ok;
    uint8_t sack_count;
};

/* Bytes consumed (len), or PW_PARSE_BAD. Every option is wanted; the caller ignores MSS and window
 * scale outside a SYN, as the RFCs ask. */
PW_MUST_USE int pw_tcp_options_parse(const uint8_t *p, uint32_t len, struct pw_tcp_options *o);

/* For SYN,ACK: what o has, MSS always. dst has PW_TCP_OPT_SYN_BYTES_MAX bytes; returns a multiple
 * of four. */
uint32_t pw_tcp_options_put_syn(uint8_t *dst, const struct pw_tcp_options *o);

/* NOP NOP SACK with 1 to PW_TCP_SACK_BLOCKS_MAX blocks; 4 + 8 * count bytes. */
uint32_t pw_tcp_options_put_sack(uint8_t *dst, const struct pw_tcp_range *r, uint32_t count);
struct pw_tcp_range pw_tcp_options_sack_at(const struct pw_tcp_options *o, uint32_t i);

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
