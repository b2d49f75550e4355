/* query/far_wire.h - what one appliance asks another during a query, and the answer, as bytes.
 *
 * Purpose  the body of POST /pyrowire.v1.Reader/Select and of its answer, version 1.
 * Owner    encoders append to the caller's text. What is decoded lives in the arena and points into the bytes.
 * Context  cold, pure.
 * Units    ns in rows, ms in ranges. Numbers are LEB128 varints, signed ones zigzag; ids count within one part.
 * Errors   decode: PW_EINVAL (anything that is not exactly what encode makes: every count is checked against
 *          the bytes that are left, every id against its table), PW_ENOMEM.
 * Limits   memory of the query: a byte of the message becomes at most some 64 in the arena.
 *
 * Request: version 1, what, flags, range, columns, profile type, selector text, ids of profiles, spans, traces, then
 * for SUMS and SAMPLES, unless the flags say all, the rows that count: fingerprints, and by time (time, fingerprint, skip, take).
 * Answer: version 1, what, then parts to the end; a part is one head's or one partition's, with its own ids:
 *
 *     series    n, n x (fingerprint 8 bytes, labels m, m x (name, value))            text: length, bytes
 *     rows      uuids?, samples in all, n, n x (series, time since the row before, total, uuid 16, samples m,
 *               m x (stack, value, span + 1))
 *   for SAMPLES
 *     spans     n, n x (flags, span id 8, trace id 16)
 *   for SAMPLES and SUMS
 *     strings   n, n x text
 *     mappings  n, n x (start, limit, offset, file name, build id, flags)
 *     functions n, n x (name, system name, file name, start line)
 *     locations n, n x (address, mapping + 1, folded, lines m, m x (function, line))
 *     stacks    locations in all, n, n x (depth, depth x location, leaf first, for SUMS the sum)
 *
 * Integers of 8 bytes are little endian, as both ends are.
 */
#ifndef PW_QUERY_FAR_WIRE_H
#define PW_QUERY_FAR_WIRE_H

#include "base/text.h"
#include "ingester/head.h"
#include "query/arena.h"

enum { PW_FAR_VERSION = 1 };

enum pw_far_what {
    PW_FAR_SERIES = 1, /* series that have a row in range */
    PW_FAR_ROWS,       /* rows and their series, no samples */
    PW_FAR_SUMS,       /* of the rows named: sums by stack */
    PW_FAR_SAMPLES,    /* of the rows named: their samples */
    PW_FAR_TIMES,      /* one row with the oldest time and one with the newest */
};

enum { /* flags of a request */
       PW_FAR_ANY_TIME = 1,
       PW_FAR_STACKS = 2, /* samples: stacks are to be resolved */
       PW_FAR_ALL = 4,    /* SUMS, SAMPLES: every row that fits counts, none is named */
};

/* Which rows of a (fingerprint, time), in the order the replica comes upon them. */
struct pw_far_key {
    uint64_t fingerprint;
    int64_t time_ns;
    uint32_t skip, take;
};

struct pw_far_request {
    enum pw_far_what what;
    uint32_t flags;
    int64_t start_ms, end_ms;
    uint32_t columns; /* enum pw_block_column */
    struct pw_slice profile_type, selector;
    const uint8_t (*profile_id)[16];
    const uint8_t (*span)[8];
    const uint8_t (*trace)[16];
    uint32_t profile_id_count, span_count, trace_count;
    struct pw_far_key *key; /* ascending by time */
    uint32_t key_count;
};

bool pw_far_request_put(struct pw_text *t, const struct pw_far_request *r);
PW_MUST_USE int pw_far_request_read(struct pw_far_request *r, struct pw_slice bytes,
                                    struct pw_arena *a);

struct pw_far_row {
    int64_t time_ns;
    int64_t total;
    uint32_t series;
    uint32_t first, samples; /* in sample of the part */
    uint8_t uuid[16];
};

struct pw_far_part {
    struct pw_slice *string;
    struct pw_head_series *series;
    struct pw_far_row *row;
    struct pw_head_sample *sample; /* span: 0, or index + 1 into span */
    struct pw_record_span_id *span;
    struct pw_head_mapping *mapping;
    struct pw_head_function *function;
    struct pw_head_location *location;
    uint32_t *loc;   /* of all stacks */
    uint32_t *stack; /* [stack_count + 1]: where its locations begin in loc */
    int64_t *sum;    /* [stack_count]; NULL but for SUMS */
    bool has_uuid;   /* of rows */
    uint32_t string_count, series_count, row_count, sample_count, span_count;
    uint32_t mapping_count, function_count, location_count, loc_count, stack_count;
};

void pw_far_answer_begin(struct pw_text *t, enum pw_far_what what);
/* Only what `what` asks for is read of the part. */
void pw_far_part_put(struct pw_text *t, enum pw_far_what what, const struct pw_far_part *p);
/* *part: [*count]. */
PW_MUST_USE int pw_far_answer_read(struct pw_far_part **part, uint32_t *count,
                                   enum pw_far_what what, struct pw_slice bytes,
                                   struct pw_arena *a);

#endif
