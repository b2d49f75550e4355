/* pprof/packed.h - many small varints at once: the inner loop of the walk.
 *
 * Purpose  the location ids of stacks are most of a profile, one or two bytes each. 32 bytes are
 *          looked at in one go: the mask of continuation bits gives, by one pext, which of the
 *          varints have two bytes, and a table of shuffles puts eight of them at a time in place.
 *          One test per 32 bytes, none per varint: lengths are as good as random to a predictor.
 * Owner    pure functions.
 * Context  hot.
 * Units    bytes in, varints out.
 * Errors   -1: not decodable here (longer than two bytes, cut, or not minimal); take the slow way.
 * Limits   reads up to PW_PACKED_SLACK bytes past the input, writes up to PW_PACKED_SLACK entries
 *          past the output.
 */
#ifndef PW_PPROF_PACKED_H
#define PW_PPROF_PACKED_H

#include "base/types.h"

enum { PW_PACKED_SLACK = 64 };

/* Decodes n bytes of varints of at most 14 bits each to out as value - 1 (an id becomes an index; 0
 * wraps). Gives their number or -1; out is garbage then. Zero bytes are refused: no minimal varint
 * but 0 itself holds one. */
int64_t pw_packed_u14_minus1(const uint8_t *p, size_t n, uint16_t *out);
/* The same one byte at a time: what the fast one must equal; used where AVX2 and BMI2 are missing. */
int64_t pw_packed_u14_minus1_scalar(const uint8_t *p, size_t n, uint16_t *out);
/* Values up to 65535, byte by byte: for what the fast one refuses. Same results and errors. */
int64_t pw_packed_u16_minus1(const uint8_t *p, size_t n, uint16_t *out);

#endif
