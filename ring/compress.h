/* ring/compress.h - the two compressions of the gossip: snappy blocks and LZW.
 *
 * Purpose  values in the store are snappy blocks; packets and streams may be either (contract ring.md 4.3).
 * Owner    pure functions; the text is the caller's.
 * Context  cold: gossip thread, control thread.
 * Units    bytes.
 * Errors   decode: PW_EPROTO broken, PW_EMSGSIZE more than the text may hold; what was appended until
 *          then stays. encode: the text's `failed`.
 * Limits   the text's.
 */
#ifndef PW_RING_COMPRESS_H
#define PW_RING_COMPRESS_H

#include "base/text.h"

/* Append. */
PW_MUST_USE int pw_snappy_decode(struct pw_slice in, struct pw_text *out);
void pw_snappy_encode(struct pw_slice in, struct pw_text *out);

/* LZW with 8-bit literals, bits from the least significant on, codes of 9 to 12 bits, 256 = clear,
 * 257 = end: what Go's compress/lzw calls LSB. Append. */
PW_MUST_USE int pw_lzw_decode(struct pw_slice in, struct pw_text *out);
void pw_lzw_encode(struct pw_slice in, struct pw_text *out);

#endif
