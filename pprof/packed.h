/* pprof/packed.h - many small varints at once: the inner loop of the walk and of merging.
 *
 * Purpose  the location ids of stacks are most of a profile, one or two bytes each. The walk judges and
 *          counts them where they lie, merging decodes one list at a time. 32 bytes are
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
 * but 0 itself holds one. *max gets the largest of out. */
int64_t pw_packed_u14_minus1(const uint8_t *p, size_t n, uint16_t *out, uint16_t *max);
/* Only the number of them. */
int64_t pw_packed_u14_count(const uint8_t *p, size_t n);
/* The same one byte at a time: what the fast ones must equal; used where AVX2 and BMI2 are missing. */
int64_t pw_packed_u14_minus1_scalar(const uint8_t *p, size_t n, uint16_t *out, uint16_t *max);
/* How many varints n bytes hold, of at most 9 bytes, none longer than it needs to be: -1 when one is not like that, or
 * 0. For what the fast one refuses. */
int64_t pw_packed_count(const uint8_t *p, size_t n);
/* Where the list without its first `skip` varints begins; it has as many. */
const uint8_t *pw_packed_skip(const uint8_t *p, size_t skip);

#endif
