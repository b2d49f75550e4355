/* tests/store/block_read_all.h - reads everything of a block there is to read.
 *
 * Purpose  for tests that damage a block and want to know that nobody falls over it, and for the fuzzer.
 * Owner    the caller's block.
 * Context  tests only.
 * Units    -
 * Errors   the first one met, after all parts were tried.
 * Limits   rows_max rows.
 */
#ifndef PW_TESTS_BLOCK_READ_ALL_H
#define PW_TESTS_BLOCK_READ_ALL_H

#include "store/block/block_reader.h"

struct block_sum { /* so that reading is not optimised away, and differences show */
    uint64_t rows, samples, labels, frames, hash;
};

PW_MUST_USE int block_read_all(const struct pw_block *b, uint64_t rows_max, struct block_sum *sum,
                               struct pw_block_error *err);

#endif
