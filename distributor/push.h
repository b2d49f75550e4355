/* distributor/push.h - the push.v1.PushRequest envelope, from protobuf or JSON.
 *
 * Purpose  series with their labels and raw profiles (contract write-path.md 1.1), read from a body
 *          that lies in pieces; profiles are not copied, they stay lists of pieces.
 * Owner    arrays lie in the caller's scratch; slices point into the body or into scratch.
 * Context  hot for protobuf; JSON is small or rare.
 * Units    bytes.
 * Errors   PW_EINVAL with the detail that follows "unmarshal message: ", PW_ENOMEM.
 * Limits   the scratch; PW_PUSH_SERIES_MAX series.
 */
#ifndef PW_DISTRIBUTOR_PUSH_H
#define PW_DISTRIBUTOR_PUSH_H

#include "base/scratch.h"
#include "base/text.h"
#include "pprof/labels.h"

struct pw_push_sample {
    const struct pw_slice *piece;
    uint32_t piece_count;
    uint32_t pad;
    size_t bytes;
    struct pw_slice id; /* not validated; only echoed */
};

struct pw_push_series {
    struct pw_label_pair *label;
    struct pw_push_sample *sample;
    uint32_t label_count;
    uint32_t sample_count;
};

struct pw_push {
    struct pw_push_series *series;
    uint32_t series_count;
    uint32_t sample_count; /* of all series */
};

PW_MUST_USE int pw_push_parse_proto(struct pw_push *out, const struct pw_slice *body,
                                    uint32_t body_count, struct pw_scratch *scratch,
                                    struct pw_text *err);
PW_MUST_USE int pw_push_parse_json(struct pw_push *out, struct pw_slice body,
                                   struct pw_scratch *scratch, struct pw_text *err);

/* Both parsers read twice: once to count and judge, once to fill arrays of exactly that size. */
struct pw_push_build {
    struct pw_push *out; /* NULL: counting */
    struct pw_scratch *scratch;
    struct pw_text *err;
    bool no_memory;
    bool said; /* err has its detail */
    uint32_t series, labels, samples, pieces;
    uint32_t turn; /* fields read: for checkpoints */
    struct pw_label_pair *label;
    struct pw_push_sample *sample;
    struct pw_slice *piece;
};

/* Between the passes: arrays for what was counted, counters back to zero. 0, PW_EINVAL, PW_ENOMEM. */
PW_MUST_USE int pw_push_build_alloc(struct pw_push_build *b, struct pw_push *out);

#endif
