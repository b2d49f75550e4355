/* tests/support/record_build.h - records of made-up profiles, and what is in them.
 *
 * Purpose  property tests of whoever takes records: everything a record says is a function of small
 *          numbers (the universe), so that what is read back can be judged without keeping a copy.
 * Owner    the caller's buffers.
 * Context  tests only.
 * Units    universe numbers: stack k < RB_STACKS, label set j.
 * Errors   build returns NULL when the buffer is too small.
 * Limits   RB_*.
 */
#ifndef PW_TESTS_RECORD_BUILD_H
#define PW_TESTS_RECORD_BUILD_H

#include "ingester/head.h"
#include "pprof/record.h"

enum {
    RB_STACKS = 3000,    /* stack 0 has no locations */
    RB_LOCATIONS = 4000, /* below RB_STACKS: the leaf of that stack alone */
    RB_FUNCTIONS = 700,
    RB_MAPPINGS = 5,
    RB_TYPES_MAX = 4,
    RB_SERIES_MAX = 8,
    RB_SAMPLES_MAX = 512, /* of one series */
    RB_DEPTH_MAX = 24,
};

struct rb_sample {
    uint32_t stack;
    uint32_t span; /* index + 1 into spans, 0 none */
    int64_t value[RB_TYPES_MAX];
};

struct rb_series {
    uint32_t label_set;
    uint32_t sample_count;
    struct rb_sample sample[RB_SAMPLES_MAX];
    uint8_t uuid[16];
};

struct rb_profile {
    const char *tenant;
    uint32_t types_count; /* of rb_type(0), rb_type(1), ... */
    bool has_period_type; /* cpu, nanoseconds */
    uint32_t span_count;  /* span i has span_id i in its first bytes */
    int64_t time_nanos, duration_nanos, period;
    uint32_t series_count;
    struct rb_series series[RB_SERIES_MAX];
};

uint64_t rb_random(uint64_t *seed);
/* type, unit */
const char *rb_type(uint32_t t);
const char *rb_unit(uint32_t t);

/* A profile with random content; label sets below label_sets, stacks below stacks. */
void rb_profile_random(struct rb_profile *p, uint64_t *seed, uint32_t label_sets, uint32_t stacks);
/* shuffle: order of the record's tables. buf 16-aligned. */
const struct pw_record *rb_build(const struct rb_profile *p, uint64_t hash_key, uint64_t shuffle,
                                 void *buf, size_t cap);

/* Which stack of the universe the head's stack is; asserts that all of its content is right. */
uint32_t rb_expect_stack(const struct pw_head_view *v, uint32_t stack);
/* Asserts that the series has exactly the final labels of that label set and type; its fingerprint. */
void rb_expect_series(const struct pw_head_view *v, uint32_t id, const struct rb_profile *p,
                      uint32_t label_set, uint32_t type);

#endif
