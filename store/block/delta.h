/* store/block/delta.h - the parquet encodings DELTA_BINARY_PACKED and the RLE/bit-packing hybrid.
 *
 * Purpose  integers of profiles.parquet and symbols.symdb; levels and dictionary indexes of parquet.
 *          Source: the parquet format's Encodings document.
 * Owner    pure.
 * Context  storage and query threads.
 * Units    values.
 * Errors   encoders: those of pw_text. Decoders: PW_EINVAL; the input decides nothing about memory.
 * Limits   blocks of 128 values in 4 miniblocks are written; other legal geometries are read.
 */
#ifndef PW_STORE_DELTA_H
#define PW_STORE_DELTA_H

#include "base/text.h"
#include "base/types.h"
#include "store/block/bytes.h"

/* bits: 32 or 64, the width that differences wrap around at. 32: values are taken modulo 2^32. */
void pw_delta_encode(struct pw_text *t, const int64_t *v, size_t n, uint32_t bits);
/* Exactly n values; leaves `in` behind the last byte that belongs to them. Values of 32 bits are
 * sign-extended. */
PW_MUST_USE int pw_delta_decode(struct pw_bytes *in, uint32_t bits, int64_t *out, size_t n);

/* The hybrid, written from runs. width <= 32. */
struct pw_rle {
    struct pw_text *t;
    uint32_t width;
    uint32_t run_value;
    uint64_t run;      /* open run of run_value */
    uint32_t group[8]; /* values of an unfinished bit-packed group */
    uint32_t group_count;
    size_t header_at; /* of the open bit-packed run; SIZE_MAX: none */
    uint32_t header_groups;
};

void pw_rle_begin(struct pw_rle *r, struct pw_text *t, uint32_t width);
void pw_rle_put(struct pw_rle *r, uint32_t value, uint64_t count);
void pw_rle_end(struct pw_rle *r);

/* Exactly n values below 2^width into out. */
PW_MUST_USE int pw_rle_decode(struct pw_bytes *in, uint32_t width, uint32_t *out, size_t n);
PW_MUST_USE int pw_rle_decode_u8(struct pw_bytes *in, uint32_t width, uint8_t *out, size_t n);

/* Bits needed for values 0..max. */
static inline uint32_t
pw_bit_width(uint64_t max)
{
    return max == 0 ? 0 : 64 - (uint32_t)__builtin_clzll(max);
}

#endif
