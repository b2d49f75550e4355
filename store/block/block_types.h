/* store/block/block_types.h - what a block is made of, for the writer's source and the reader's view.
 *
 * Purpose  one vocabulary for symbols, rows and samples: ids are 0-based indexes of their table.
 *          Shaped like the readers of ingester/head.h, which this room may not include.
 * Owner    slices and arrays belong to whoever hands the struct out.
 * Context  storage and query threads.
 * Units    ns since 1970 for row times.
 * Errors   struct pw_block_error: one line naming file, byte offset and what is wrong there.
 * Limits   PW_BLOCK_*.
 */
#ifndef PW_STORE_BLOCK_TYPES_H
#define PW_STORE_BLOCK_TYPES_H

#include "base/err.h"
#include "base/types.h"
#include "pprof/labels.h"

enum {
    PW_BLOCK_ERROR_BYTES = 256,
    PW_BLOCK_STRING_BYTES_MAX = 65535, /* storage.md 1.5: longer strings are cut when written */
    PW_BLOCK_LINES_MAX = 255,          /* of a location, likewise */
    PW_BLOCK_LABELS_MAX = 512,         /* of a series read from a block */
    PW_BLOCK_ROW_SAMPLES_MAX = 1 << 24,
    PW_BLOCK_STACK_DEPTH_MAX = 1 << 16,
};

struct pw_block_error {
    char text[PW_BLOCK_ERROR_BYTES];
};

struct pw_block_line {
    uint32_t function;
    uint32_t pad;
    int64_t line;
};

#define PW_BLOCK_NO_MAPPING UINT32_MAX

struct pw_block_location {
    uint64_t address;
    uint32_t mapping; /* PW_BLOCK_NO_MAPPING: none (written as the partition's empty mapping) */
    uint32_t line_count;
    const struct pw_block_line *line; /* [0] innermost inlined */
};

struct pw_block_function {
    uint32_t name, system_name, filename; /* string ids */
    uint32_t pad;
    int64_t start_line;
};

enum pw_block_mapping_flag { /* storage.md 1.5 */
                             PW_BLOCK_HAS_INLINE_FRAMES = 1,
                             PW_BLOCK_HAS_LINE_NUMBERS = 2,
                             PW_BLOCK_HAS_FILENAMES = 4,
                             PW_BLOCK_HAS_FUNCTIONS = 8,
};

struct pw_block_mapping {
    uint64_t memory_start, memory_limit, file_offset;
    uint32_t filename, build_id; /* string ids */
    uint32_t flags;              /* enum pw_block_mapping_flag */
    uint32_t pad;
};

struct pw_block_span {
    uint8_t span_id[8];
    uint8_t trace_id[16]; /* all zero: none */
};

#endif
