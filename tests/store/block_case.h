/* tests/store/block_case.h - a made-up head for the block writer, kept whole so that what is read back
 * can be compared with it.
 *
 * Purpose  random strings, functions, mappings, locations, stacks, series and rows from a seed.
 * Owner    the test: pw_block_case_free.
 * Context  tests and benchmarks only.
 * Units    as struct pw_block_source.
 * Errors   aborts when memory runs out.
 * Limits   -
 */
#ifndef PW_TESTS_BLOCK_CASE_H
#define PW_TESTS_BLOCK_CASE_H

#include "store/block/block_writer.h"

struct block_case_cfg {
    uint64_t seed;
    uint32_t services, series, rows, stacks, locations, functions, mappings, strings;
    uint32_t samples_max; /* of a row; some rows have none */
    uint32_t depth_max;
    uint32_t spans; /* 0: no row has any */
    bool awkward;   /* empty stacks, no mappings, long strings, many lines, equal series */
};

struct block_case_row {
    struct pw_block_in_row row;
    struct pw_block_in_sample *sample;
};

struct block_case {
    struct block_case_cfg cfg;
    struct pw_block_source source; /* ctx is this case */
    struct pw_slice *string;
    struct pw_block_function *function;
    struct pw_block_mapping *mapping;
    struct pw_block_location *location;
    uint32_t **stack;
    uint32_t *stack_depth;
    struct pw_block_span *span; /* [0] unused */
    struct pw_block_in_series *series;
    struct block_case_row *row;
};

uint64_t block_case_random(uint64_t *seed);
struct block_case *block_case_make(const struct block_case_cfg *cfg);
void block_case_free(struct block_case *c);

/* "name;name;..." root first, with what else identifies a frame: how stacks are compared across ids.
 * Appends to t. */
struct pw_text;
void block_case_stack_text(const struct block_case *c, uint32_t stack, struct pw_text *t);

#endif
